/* Batches of images of which no two are in the same pseudo-class. */
#ifndef SIMCLR_BATCHES_H
#define SIMCLR_BATCHES_H

#include "convnet.h"

/* The fields are for reading. */
typedef struct batches {
    size_t count, batch; /* images, and images of a batch */
    size_t classes;
    const uint32_t *label; /* the pseudo-class of each image; NULL: each image is one of its own */
    size_t dealt, next;    /* batches of this deal, and how many of them were handed out */
    size_t *order, *image; /* images in random order; [count / batch][batch]: the batches */
    size_t *filled;        /* [count / batch]: how many images a batch has */
    size_t *after;         /* [classes]: every batch before this one has the class, or is full */
} batches;

/* label: [count], each below `classes`, needed until batches_close; with NULL classes is ignored.
 * Refused if there are too few images or pseudo-classes for a batch. Close it in either case. */
bool batches_open(batches *b, size_t count, size_t batch, size_t classes, const uint32_t *label,
                  cn_error *err);
/* The b->batch images of the next batch. After the last batch of a deal, the images are shuffled
 * and dealt anew. */
const size_t *batches_next(batches *b, cn_random *random);
void batches_close(batches *b);

#endif

/* The pairs of an image and a text that a batch is made of. */
#ifndef CONTRASTIVE_PAIRS_H
#define CONTRASTIVE_PAIRS_H

#include "convnet.h"
#include "texts.h"

/*
 * order    indices into `data`. Pair i of the batch is the image order[first + i], with a text of
 *          its class.
 * seed     of the batch. The crop, the mirroring and the text of a pair depend on it and on i
 *          alone, so they are the same however the batch is divided.
 * augment  whether images are cropped and mirrored
 */
typedef struct pairs {
    const cn_data *data;
    const texts *texts;
    const size_t *order;
    size_t first;
    uint64_t seed;
    bool augment;
} pairs;

/* For tower.fill, with a pairs as the context. */
void pairs_images(void *context, size_t first, size_t n, cn_real *inputs);
void pairs_texts(void *context, size_t first, size_t n, cn_real *inputs);

/* order <- the indices of those images of `data` whose class has this flag, in their order; returns
 * how many they are. order has room for data->count. */
size_t pairs_of(const cn_data *data, const bool *listed, bool flag, size_t *order);

#endif

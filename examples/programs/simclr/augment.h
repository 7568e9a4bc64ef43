/* Two random views of an image, for SimCLR, and noise, for the denoising autoencoder. */
#ifndef SIMCLR_AUGMENT_H
#define SIMCLR_AUGMENT_H

#include "convnet.h"

/* A zero switches a change off; least_area 0 stands for 1, which is no crop. */
typedef struct augment {
    double least_area; /* of a crop: this part of the image or more */
    double colour;     /* the strength s of colour jitter, at most 1 */
    double grey;       /* the share of views without colours */
    bool flip;         /* every second view is mirrored */
} augment;

/* image <- a view of picture number `index`, 3 x 32 x 32, normalized as cn_draw does it. */
void augment_view(const cn_data *data, size_t index, const augment *how, cn_random *random,
                  cn_real *image);
/* views <- two views each of n pictures: first one of each, then the other one of each. */
void augment_pairs(const cn_data *data, size_t n, const size_t *indices, const augment *how,
                   cn_random *random, cn_real *views);

/* noisy <- n pictures with normal noise of this deviation on a scale from 0 to 1, normalized;
 * clean <- the pictures without it, on the scale from 0 to 1. */
void augment_noise(const cn_data *data, size_t n, const size_t *indices, double deviation,
                   cn_random *random, cn_real *noisy, cn_real *clean);

#endif

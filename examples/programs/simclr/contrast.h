/* NT-Xent, the loss of SimCLR, with its gradient. */
#ifndef SIMCLR_CONTRAST_H
#define SIMCLR_CONTRAST_H

#include "convnet.h"

/* How many doubles contrast_loss needs as `room` for two views each of n images. */
size_t contrast_room(size_t n);

/*
 * Returns the normalized temperature-scaled cross entropy of two views each of n images, n >= 1:
 * T. Chen, S. Kornblith, M. Norouzi, G. Hinton, "A Simple Framework for Contrastive Learning of
 * Visual Representations", arXiv 2002.05709, equation 1 and algorithm 1.
 *   z            2n vectors of `dims` numbers. Vectors i and n + i belong to image i. They are
 *                taken as they are: a network that ends with CN_NORMALIZE makes unit vectors.
 *   temperature  above 0
 *   room         contrast_room(n) doubles, which the call overwrites
 *   gradient     receives the derivative by each number of z, in the same order; for
 *                cn_backward_from
 */
double contrast_loss(size_t n, size_t dims, const cn_real *z, double temperature, double *room,
                     cn_real *gradient);

#endif

/* The contrastive loss of images and texts, with its gradient. */
#ifndef CONTRASTIVE_LOSS_H
#define CONTRASTIVE_LOSS_H

#include "convnet.h"

/* The similarities are multiplied by exp(log_scale), which is one over the temperature. The scale
 * is at most 100, as in CLIP (arXiv 2103.00020, section 2.5). */
#define CONTRAST_LOG_SCALE_MOST 4.605170185988092

/*
 * Fill in the first part, then call contrast_loss.
 *   pairs, width   so many pairs, of embeddings with so many numbers
 *   group          each image is compared with the texts of so many neighbouring pairs, and each
 *                  text with their images; the last group has what is left. 0: all pairs are one
 *                  group
 *   images, texts  pairs x width; image i belongs to text i. Each row has length 1.
 *   log_scale      at most CONTRAST_LOG_SCALE_MOST
 *   image_slopes, text_slopes   pairs x width, written: the derivatives of the loss by each
 *                  embedding. Both may be NULL: the loss alone.
 *   room           2 x pairs doubles
 *   scale_slope    written: the derivative by log_scale
 */
typedef struct contrast {
    size_t pairs, width, group;
    const cn_real *images, *texts;
    double log_scale;
    cn_real *image_slopes, *text_slopes;
    double *room;
    double scale_slope;
} contrast;

/* Returns the mean over all pairs. */
double contrast_loss(contrast *c);

#endif

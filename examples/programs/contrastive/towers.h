/* The two networks of a contrastive training. */
#ifndef CONTRASTIVE_TOWERS_H
#define CONTRASTIVE_TOWERS_H

#include "convnet.h"

/*
 * A small residual network for 3 x 32 x 32 images: its first convolution has `width` channels, the
 * last ones 4 x width. It ends with a vector of `embedding` numbers and length 1. How many it
 * trains in one go is options->batch.
 */
cn_net *tower_images(size_t width, size_t embedding, const cn_options *options, cn_error *err);
/* From a bag of `words` words to a vector of the same kind. */
cn_net *tower_texts(size_t words, size_t hidden, size_t embedding, const cn_options *options,
                    cn_error *err);

#endif

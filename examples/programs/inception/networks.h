/*
 * networks.h - small Inception-v4, Inception-ResNet-v1 and -v2, as lists of convnet's layers
 *
 * C. Szegedy, S. Ioffe, V. Vanhoucke, A. Alemi, "Inception-v4, Inception-ResNet and the Impact of
 * Residual Connections on Learning", arXiv 1602.07261. The modules are those of the paper's figures
 * 3 to 19, with kernels of 1 x 7 and 7 x 1, branches with pools, and, in the two ResNets,
 * residuals that are scaled before they are added. What is smaller:
 *
 *   images    32 x 32 in place of 299 x 299. Three of the five places at which the paper's networks
 *             halve the image are left: in the stem, and in the two reductions; so the modules A, B
 *             and C see 16 x 16, 8 x 8 and 4 x 4 pixels in place of 35 x 35, 17 x 17 and 8 x 8. All
 *             convolutions and pools are padded.
 *   widths    the paper's over `divisor`. Where the paper has widths that do not add up
 *             (1154 of 1152, 2048 of 2144), those that do.
 *   modules   `modules` of each kind, in place of 4, 7 and 3, or 5, 10 and 5
 *   dropout   none
 */
#ifndef INCEPTION_NETWORKS_H
#define INCEPTION_NETWORKS_H

#include "convnet.h"

typedef enum inception_kind {
    INCEPTION_V4,
    INCEPTION_RESNET_V1,
    INCEPTION_RESNET_V2,
    INCEPTION_KINDS
} inception_kind;

/*
 *   scale       of the residuals, 0.1 to 0.3 in the paper; not 0
 *   additions   false: a module of a ResNet ends in its last convolution, and nothing is added to
 *               it. All layers with weights are the same.
 */
typedef struct inception {
    inception_kind kind;
    size_t divisor, modules[3];
    double scale;
    bool additions;
} inception;

/* Writes up to `capacity` layers; returns how many there are. */
size_t inception_layers(const inception *how, size_t classes, size_t capacity, cn_layer *layers);

#endif

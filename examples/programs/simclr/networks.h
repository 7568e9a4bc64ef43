/* The networks of the program, as lists of layers. */
#ifndef SIMCLR_NETWORKS_H
#define SIMCLR_NETWORKS_H

#include "convnet.h"

/* The last layer of the encoder, and that of the autoencoder's first half. The averages of what
 * they make are the features of an image. */
#define NETWORKS_ENCODED "relu4"
#define NETWORKS_LATENT  "encode.pool3"
/* All layers of the projection head have names that begin in this way. */
#define NETWORKS_HEAD "head."

/* The encoder, the average over the image, and the projection head, whose output has the length 1.
 */
cn_net *networks_simclr(const cn_options *options, cn_error *err);
/* What it makes is an image with numbers from 0 to 1. */
cn_net *networks_autoencoder(const cn_options *options, cn_error *err);
/* A network of its own: the layers of `net` up to the one of this name, with the values of their
 * parameters, and the average over all pixels. It is for networks whose cuts took out no layer. */
cn_net *networks_features(const cn_net *net, const char *layer, cn_error *err);
/* One linear layer. */
cn_net *networks_classifier(size_t features, size_t classes, const cn_options *options,
                            cn_error *err);

#endif

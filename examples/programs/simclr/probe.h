/* The linear probe: what a linear classifier can read from the features of an encoder. */
#ifndef SIMCLR_PROBE_H
#define SIMCLR_PROBE_H

#include "convnet.h"

/* Features of all pictures of a data set, in evaluation mode. */
typedef struct probe_features {
    size_t count, dims;
    cn_real *x; /* [count][dims] */
} probe_features;

/* net: its output is the features (networks_features). Free it with probe_features_free. */
bool probe_take(cn_net *net, const cn_data *data, probe_features *f, cn_error *err);
void probe_features_free(probe_features *f); /* all zero: nothing */

/*
 * Trains a linear classifier on the features and the labels of the training pictures, and says for
 * which part of the test pictures, in [0, 1], it is right. The numbers of both sets are first
 * shifted and scaled such that each feature has mean 0 and deviation 1 over the training pictures;
 * *train and *test are changed so.
 *   labels   of the training pictures, and of the test pictures; below `classes`
 */
typedef struct probe_labels {
    size_t classes;
    const uint8_t *train, *test;
} probe_labels;
bool probe_accuracy(probe_features *train, probe_features *test, const probe_labels *labels,
                    uint64_t seed, double *accuracy, cn_error *err);

/* All of the above: the features of `net` at the end of this layer, and the accuracy. */
typedef struct probe_data {
    const cn_data *train, *test;
    uint64_t seed;
} probe_data;
bool probe_network(const cn_net *net, const char *layer, const probe_data *data, double *accuracy,
                   cn_error *err);

#endif

/* One network: it is trained, pruned with mskp, and tuned. */
#ifndef INCEPTION_TRAIN_H
#define INCEPTION_TRAIN_H

#include "mskp_convnet.h"
#include "networks.h"

enum { TRAIN_TEXT = 300, TRAIN_POINTS = 2 }; /* measurements in an epoch */

typedef enum train_phase { TRAIN_DENSE, TRAIN_MASKED, TRAIN_TUNE, TRAIN_PHASES } train_phase;

/*
 *   epochs      of each phase: the whole network; the marked channels go to zero; after the cut
 *   keep        the share of the multiply-accumulates that is left; 1: nothing is pruned
 *   rate        the learning rate. It rises to `rate` in the first half epoch and falls to 0 along
 *               a cosine, and from half of it along another one while the network is pruned.
 */
typedef struct train_options {
    size_t epochs[TRAIN_PHASES], batch, threads, seed;
    double keep, rate;
} train_options;

/* What there was to measure. Errors are shares of the test images, in percent. */
typedef struct train_result {
    size_t points;
    double *epoch, *error, *loss; /* [points]: the loss since the point before */
    size_t units[2];              /* dense, pruned; so it is in the next three */
    mskp_cost cost[2];
    double speed[2];                  /* images per second, forward */
    double before, after, difference; /* errors right before and after the cut; of the outputs */
} train_result;

typedef struct train_data {
    cn_data train, test;
} train_data;

/* Trains the network and prunes it unless options->keep is 1; prints a line at each measurement.
 * False: text is a sentence. Free the result in any case. */
bool train_network(const char *name, const inception *how, const train_options *options,
                   const train_data *data, train_result *result, char text[TRAIN_TEXT]);
void train_free(train_result *result);

#endif

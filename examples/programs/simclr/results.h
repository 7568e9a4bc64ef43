/* What the program measured: as a table, as CSV, and as a picture. */
#ifndef SIMCLR_RESULTS_H
#define SIMCLR_RESULTS_H

#include "train.h"

enum { RESULTS_UNTRAINED, RESULTS_TRAINED, RESULTS_CUT, RESULTS_TUNED, RESULTS_STAGES };
extern const char *const RESULTS_STAGE_NAMES[RESULTS_STAGES];
enum { RESULTS_MOST_EPOCHS = 1000 };

typedef struct method {
    const char *name;
    double same;                  /* the share of pairs of a batch whose true labels are equal */
    double probe[RESULTS_STAGES]; /* accuracies of the linear probe, in [0, 1] */
    train_cut cut;
    size_t epochs; /* those that are known: further ones are not kept */
    size_t phase[RESULTS_MOST_EPOCHS];
    double loss[RESULTS_MOST_EPOCHS];
} method;

typedef struct results {
    size_t methods;
    method method[2];
} results;

void results_print(const results *r);
/* Lines of method, phase, epoch within the phase, loss. */
bool results_log(const results *r, const char *path, cn_error *err);
/* An SVG: the losses on the left, the probes on the right. */
bool results_draw(const results *r, const char *path, cn_error *err);

#endif

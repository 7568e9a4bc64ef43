/* What the program trains: the autoencoder, and the encoder with and without guidance. */
#ifndef SIMCLR_TRAIN_H
#define SIMCLR_TRAIN_H

#include "augment.h"
#include "batches.h"
#include "prune.h"

enum { PHASE_AUTOENCODER, PHASE_TRAIN, PHASE_MASKED, PHASE_TUNE, PHASES };
extern const char *const PHASE_NAMES[PHASES];

/* Called after each epoch with its mean loss. */
typedef struct train_listener {
    void *context;
    void (*epoch)(void *context, size_t phase, size_t epoch, size_t epochs, double loss);
} train_listener;

typedef struct train_options {
    size_t epochs[PHASES], batch, clusters, threads;
    double rate, temperature, macs;
    uint64_t seed;
} train_options;

/*
 * Trains the autoencoder, and divides the pictures by its features into how->clusters
 * pseudo-classes. No label of the pictures is read.
 *   label   [data->count] receives the pseudo-class of each picture
 *   spread  receives the mean squared distance of a picture's features from the mean of its class
 */
bool train_pseudo_classes(const cn_data *data, const train_options *how,
                          const train_listener *listener, uint32_t *label, double *spread,
                          cn_error *err);

/* A training by NT-Xent. */
typedef struct train {
    const cn_data *data;
    const train_options *how;
    const train_listener *listener;
    cn_net *net;
    batches batches;
    cn_random random;
    cn_real *views, *gradient; /* of a batch: two views of each image; the loss by the outputs */
    double *room;
} train;

/* label: the pseudo-classes, or NULL for SimCLR without guidance. Close it in either case. */
bool train_open(train *t, const cn_data *data, const train_options *how, const uint32_t *label,
                const train_listener *listener, cn_error *err);
void train_close(train *t);
/* The steps of one epoch: as many with pseudo-classes as without. */
size_t train_steps(const train *t);

bool train_encoder(train *t, cn_error *err);

/* What a cut did, measured in evaluation mode on the same views of one batch. */
typedef struct train_cut {
    mskp_cost before, after;
    double loss[2];    /* NT-Xent before and after */
    double difference; /* the largest of an output */
} train_cut;
/* Masked phase, cut, and the function `cut` if it is not NULL, then tuning. */
bool train_pruned(train *t, train_cut *result, bool (*cut)(void *context, cn_error *err),
                  void *context, cn_error *err);

#endif

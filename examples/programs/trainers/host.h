/*
 * host.h - what the programs of the three hosts share: command line, images, stages, table.
 *
 *     baseline -> mask -> masked training -> surgery -> tuning
 *
 * Nothing here knows mskp's graphs or any trainer: a program fills in a `host` with functions of its
 * own, and all that it has to do with mskp is in them. Pictures, batches and random numbers are
 * convnet's.
 */
#ifndef TRAINERS_HOST_H
#define TRAINERS_HOST_H

#include "convnet.h"
#include "mskp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the command line says; host_run reads it before it calls `open`. */
typedef struct host_options {
    const char *data; /* CIFAR-10's binary files; NULL: pictures drawn by cn_data_shapes */
    const char *out;  /* where `save` writes; NULL: nowhere */
    size_t images;    /* use only the first so many training pictures; 0: all */
    size_t epochs[3]; /* baseline, masked, tuning */
    size_t batch;     /* pictures in each batch that `train` gets */
    size_t threads;
    double macs;     /* part of the multiply-accumulates to keep */
    double strength; /* of the L1 term */
    double rate;     /* the first learning rate of a stage; tuning starts at half of it */
    size_t seed;
} host_options;

/* One training step. The host reads the upper part and fills in the lower. */
typedef struct host_step {
    size_t n;            /* pictures: always options.batch */
    const float *images; /* n x 3 x 32 x 32, normalised */
    const uint8_t *labels;
    double rate;
    int masked;             /* nonzero: the penalty pulls at what will be removed */
    double loss;            /* mean over the n pictures */
    double penalty_seconds; /* what the penalty took of this step; 0 if not masked */
} host_step;

/*
 * A trainer with mskp wired in. Functions return 0; or anything else after writing a sentence into
 * error (HOST_ERROR bytes).
 */
#define HOST_ERROR 320
typedef struct host {
    const char *name;     /* of the program: "darknet" */
    host_options options; /* the host's own defaults, before host_run; then what was asked */
    void *self;           /* the host's own; host_run never looks inside */
    char error[HOST_ERROR];

    /* Makes the network and describes it: options are read. */
    int (*open)(struct host *host);
    int (*train)(struct host *host, host_step *step);
    /* Classifies n <= options.batch pictures in evaluation mode. */
    int (*classify)(struct host *host, size_t n, const float *images, uint8_t *classes);
    /* The network's cost now. */
    int (*measure)(struct host *host, mskp_cost *cost);
    /* Marks the units that go, so that at most keep_macs multiply-accumulates are left. */
    int (*select)(struct host *host, double keep_macs, mskp_selection *selection);
    /* Surgery. */
    int (*cut)(struct host *host);
    /* Writes the network in the host's own format. */
    int (*save)(struct host *host, const char *path);
    void (*close)(struct host *host); /* also after a failure, and before open was called */
} host;

/* Reads the command line, runs all stages, prints progress and a table. Returns main's exit status:
 * 0; 1 after an error; 2 for a command line that makes no sense. */
int host_run(host *host, int argc, char **argv);

/* Writes a sentence into host->error; returns 1. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
int host_fail(host *host, const char *format, ...);

double host_seconds(void); /* since some moment in the past; never goes back */

#ifdef __cplusplus
}
#endif
#endif /* TRAINERS_HOST_H */

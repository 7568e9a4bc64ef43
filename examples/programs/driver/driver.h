/*
 * driver.h - one training program for every trainer
 *
 *     baseline -> global sparsity -> mask -> masked training -> surgery -> tuning
 *
 * These are the phases of [MaskSparsity] (see mskp.h). driver_run reads the command line, runs the
 * phases, and prints progress and a table. Masks, strengths and the selection within the budget
 * are a pruner's (mskp/pruner.h), which the driver makes, asks for its gauges, and saves in
 * checkpoints.
 *
 * A program fills in a `trainer` and calls driver_run. Its functions do what only the trainer can
 * do. Surgery is one of these functions, because a trainer must make its smaller tensors before it
 * gives up the old ones; the bridges do that.
 *
 * Images, batches and random numbers are convnet's.
 */
#ifndef DRIVER_DRIVER_H
#define DRIVER_DRIVER_H

#include <stdbool.h>

#include "common/args.h"
#include "convnet.h"
#include "mskp.h"
#include "mskp/pruner.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DRIVER_BASELINE, DRIVER_GLOBAL, DRIVER_MASKED, DRIVER_TUNE, DRIVER_STAGES };

/* The choices of an option, in the order in which its help names them. */
enum {
    DRIVER_PENALTY_NONE,
    DRIVER_PENALTY_L1,
    DRIVER_PENALTY_SMOOTH_L1,
    DRIVER_PENALTY_L2,
    DRIVER_PENALTY_PROX,
    DRIVER_PENALTY_DEADLINE
};
enum { DRIVER_ON_GAMMA, DRIVER_ON_GAMMA_BETA };
enum { DRIVER_MASK_GLOBAL, DRIVER_MASK_FILTERS };

/* What the command line asks for; --help describes each option. A program sets its own defaults
 * before driver_run: epochs, macs, rate, batch, threads, seed. Zero means the driver's default. */
typedef struct driver_options {
    /* paths; NULL: not given */
    const char *data, *weights, *out, *sparse, *save_sparse, *masked, *save_masked, *log, *gauges;
    const char *report, *checkpoint, *teacher;
    size_t model;       /* the number that the word of --model ends with; 0: not given */
    size_t images;      /* train on the first so many images only; 0: on all */
    size_t test_images; /* the same for the test */
    double macs, strength, global_strength, rate; /* strength 0: automatic */
    size_t penalty, on, mask;
    size_t constants;             /* an mskp_constants_way */
    size_t asked[DRIVER_STAGES];  /* epochs of the phases, as the command line has them */
    size_t epochs[DRIVER_STAGES]; /* those that are trained */
    size_t batch, threads, seed;
    arg_words lock; /* patterns for names of layers and parameters */
    bool evaluate, help, branches, resume;
} driver_options;

/* One training step. The driver fills in the upper part, the trainer the lower part. */
typedef struct driver_step {
    size_t n;            /* images: at most options.batch */
    const float *images; /* n x 3 x 32 x 32, normalized */
    const uint8_t *labels;
    double rate;
    mskp_pruner *pruner; /* to be called around the optimizer's step; NULL: in this step, none is */

    double loss;            /* mean over the n images */
    size_t right;           /* images that were classified correctly; unchanged if unknown */
    double penalty_seconds; /* += the time that the pruner took */
} driver_step;

typedef struct trainer trainer;
struct trainer {
    /* ---- What the program fills in before driver_run ---- */
    const char *name;       /* of the program */
    const char *models;     /* the words of --model, "resnet8|resnet20"; NULL: no such option */
    driver_options options; /* the program's defaults; afterwards what the command line asks for */
    double momentum;        /* of the optimizer */
    double gradient_scale;  /* as in mskp_pruner_options; `open` may set it */
    size_t drawn[2];        /* without --data: how many images are drawn to train, and to test */
    bool whole_batches;     /* a last batch that is not full is left out in training */
    bool branches;          /* the trainer's bridge can take out branches that vanish */
    bool checkpoints;       /* nothing but `values` and `state` decides what `train` does */
    bool teaches;           /* `train` can learn the outputs of another network, too */
    void *self;             /* the trainer's own data; the driver never looks at it */

    /* Functions return true; or false, after they wrote a sentence with trainer_fail. */

    /* Makes or loads the network and describes it. */
    bool (*open)(trainer *t);
    /* One step: forward, backward, driver_before, update, driver_after. */
    bool (*train)(trainer *t, driver_step *step);
    /* outputs[n][classes] <- the outputs of n <= options.batch images in evaluation mode. */
    bool (*infer)(trainer *t, size_t n, const float *images, float *outputs);
    /* Sets the state of the optimizer to zero. */
    bool (*reset)(trainer *t);
    /* Surgery: moves the constants and cuts by the plan. constants may be NULL if there is `load`:
     * then none are moved. The graph that was there before stays until `close`. */
    bool (*cut)(trainer *t, mskp_plan *plan, const mskp_constants *constants);
    /* Writes the network to a file that is replaced when the new one is complete, for instance by
     * driver_write; mask: NULL, or a text to be stored with it (only if there is `load`). */
    bool (*save)(trainer *t, const char *path, const char *mask);
    /* Is called after a failure, too, and if `open` was never called. */
    void (*close)(trainer *t);

    /* Optional. load reads values that `save` wrote; read_mask returns the text that was stored
     * with them, which the driver frees, or NULL. Without load there is no option that reads a
     * network, and none that writes one on the way. */
    bool (*load)(trainer *t, const char *path);
    char *(*read_mask)(trainer *t, const char *path);
    /* Optional, for trainers that keep some values where the driver cannot reach them. fetch copies
     * them into `values`; store writes `values` back. The driver calls fetch before it reads
     * values, and store after it changed some. */
    bool (*fetch)(trainer *t);
    bool (*store)(trainer *t);
    /* Optional. text <- line i about the widths that a mask leaves; false: there is no line i. */
    bool (*widths)(trainer *t, mskp_mask keep, size_t i, size_t size, char *text);

    /* ---- What `open` fills in, and `cut` brings up to date ---- */
    const char *model; /* the name of the network */
    size_t classes;
    const mskp_graph *graph;
    mskp_tensors values; /* parameters and running statistics, in main memory */
    mskp_tensors state; /* of the optimizer, to be saved and restored; {0, NULL}: `reset` instead */

    char error[400];
};

/* Runs the program. Returns the exit status of main: 0; 1 after an error; 2 for a command line that
 * cannot be carried out. */
int driver_run(trainer *t, int argc, char **argv);

/* Right before and right after the optimizer's step: what the pruner of the step does then. */
bool driver_before(trainer *t, driver_step *step, mskp_tensors values, mskp_tensors gradients);
bool driver_after(trainer *t, driver_step *step, mskp_tensors values);

/* Writes a sentence into t->error; returns false. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
bool trainer_fail(trainer *t, const char *format, ...);

/* Writes a file with a trainer's own functions: `write` is called with a temporary name beside
 * path, and the file gets its own name when that returns true (files.h). */
bool driver_write(trainer *t, const char *path, bool (*write)(trainer *t, const char *name));

double driver_seconds(void); /* since some moment in the past; never goes back */

#ifdef __cplusplus
}
#endif
#endif /* DRIVER_DRIVER_H */

/*
 * What the files of the driver share. They depend on each other in this order:
 *
 *     options.c     the command line
 *     snapshot.c    copies of a set of tensors, and of all values and the optimizer's state
 *     journal.c     lines that are written after each epoch
 *     pruning.c     the pruner: all calls of mskp but those of surgery
 *     report.c      what the page of --report shows, and the curves at the end
 *     checkpoint.c  the state of the job in a file
 *     training.c    epochs, accuracy, speed
 *     stages.c      the phases of training, and what they print
 *     driver.c      files, memory, main
 *
 * Functions that return bool return false after trainer_fail.
 */
#ifndef DRIVER_INTERNAL_H
#define DRIVER_INTERNAL_H

#include "common/page.h"
#include "common/progress.h"
#include "common/table.h"
#include "driver.h"

/* ---- options.c ---- */

/* Reads the command line into t->options. */
bool options_read(trainer *t, int argc, char **argv);
/* The options that a run must have in common with the one that it goes on with; NULL: no more. */
const arg *options_deciding(const trainer *t, size_t i);
void options_help(const trainer *t);
void options_show(const trainer *t, page *p); /* a section of a page */

/* ---- snapshot.c ---- */

size_t element_size(mskp_dtype dtype);

/* A packed copy of the tensors of a set. A snapshot that is all zero is empty. */
typedef struct snapshot {
    size_t n;
    mskp_tensor *view; /* into memory; no data where the set had none */
    void *memory;
    uint32_t *index; /* 0, 1, 2 ... */
} snapshot;

/* Makes room for copies of the set; it may be empty. */
bool snapshot_make(trainer *t, mskp_tensors set, snapshot *s);
bool snapshot_save(trainer *t, snapshot *s, mskp_tensors set);
bool snapshot_restore(trainer *t, const snapshot *s, mskp_tensors set);
void snapshot_free(snapshot *s);

/* ---- The job ---- */

/* A phase of training. */
typedef struct stage {
    const char *name;
    size_t epochs;
    double rate;      /* the first learning rate */
    bool pruned;      /* the pruner takes part in its steps */
    double *accuracy; /* <- the one at the end; NULL: it is not needed */
} stage;

/* The files for networks that a job may write. */
enum { JOB_OUTPUTS = 4 };

/* What the table at the end shows; NaN: it is not known yet. Index 0: the dense network, 1: the
 * pruned network. */
typedef struct results {
    double baseline, before, no_gamma, no_gamma_beta, after, tuned; /* accuracies on the test set */
    double inference[2], training[2];                               /* images per second */
    double penalty_share; /* of a training step, in the last phase with a penalty */
} results;

/* A file to which lines are added after each epoch; all zero but for its name: nobody reads it. */
typedef struct journal {
    const char *name, *path; /* path NULL: no option asks for the file */
    file_output file;
    FILE *copy; /* writes the same text to so_far; NULL: without --checkpoint */
    char *so_far;
    size_t size;
} journal;
enum { JOURNAL_LOG, JOURNAL_GAUGES, JOURNALS };

/* An epoch, as far as it has come. */
typedef struct epoch {
    size_t number, steps; /* from 0; and how many are done */
    cn_random drawn_from; /* the order of the images is drawn from this state */
    size_t images, right;
    bool counted; /* the trainer says how many images were classified correctly */
    double loss, started, seconds, penalty_seconds;
} epoch;

/* Whatever decides what a job does from here on is in its fields, and has a row in checkpoint.c. */
typedef struct job {
    trainer *t;
    cn_data train, test;
    float *images, *outputs; /* of one batch */
    uint8_t *labels;
    size_t *order; /* indices of images */
    cn_random random;
    progress progress;
    journal journals[JOURNALS];
    int held[JOB_OUTPUTS]; /* pipes that the job writes later; -1: none */
    int argc;
    char **argv;
    struct report *report; /* NULL: nothing is noted */
    results results;
    size_t phase; /* DRIVER_BASELINE ... */
    epoch epoch;  /* of its training */
    bool resumed; /* the phase and the epoch are those of a checkpoint, and go on */
    uint64_t fingerprint, images_hash; /* of the whole network, and of all images and labels */

    mskp_pruner *pruner;       /* counts the steps of the global and the masked phase */
    mskp_pruner_gauges gauges; /* at the end of the last epoch that it took part in */
    mskp_mask keep;            /* 0: the unit is marked; after the cut: it is gone */
    mskp_mask kept;            /* the same, but carriers stay; once the cut is planned */
    mskp_mask locked;          /* units that --lock names stay */
    size_t removed;            /* marked units; 0 before there is a mask */
    bool cut;                  /* the marked units are gone */
    mskp_cost dense;           /* of the whole network */
    mskp_cost selected;        /* of the network without the marked units */
    mskp_cost now;
    snapshot baseline, values, state;
} job;

/* t->values <- the values as they are now; and the network <- t->values. */
bool fetch(trainer *t);
bool store(trainer *t);

FILE_FORMAT(2, 3) void say(job *j, const char *format, ...);

/* ---- journal.c ---- */

/* Opens the files that options ask for, with the lines from before the job was resumed. */
bool journals_open(job *j);
/* From here on, the lines are also kept in memory, for checkpoints. */
bool journals_copy(job *j);
/* Adds to a journal. A failure is kept until the journal is closed. */
void journal_put(journal *a, const char *text, size_t length);
FILE_FORMAT(2, 3) void journal_add(journal *a, const char *format, ...);
/* Others may read the lines so far. */
void journals_flush(job *j);
bool journals_close(job *j);
void journals_free(job *j);

/* ---- snapshot.c, of the job ---- */

/* Makes room for all values and the state of the optimizer, as large as they are now. */
bool make_room(job *j);
/* Saves and restores all values, and the state of the optimizer if the trainer shows it. */
bool save_state(job *j);
bool restore_values(job *j, const snapshot *values);
bool restore_state(job *j);

/* ---- pruning.c ---- */

/* The slices that the penalty is on. The gamma of removed units counts as 0 in any case. */
uint32_t pruning_roles(const driver_options *o);
/* Whether a penalty is asked for whose strength the pruner finds. */
bool pruning_is_automatic(const driver_options *o);
/* Measures the network, and finds what --lock names. */
bool pruning_open(job *j);
void pruning_free(job *j);
/* Makes the pruner; with a text, as it was when it wrote it. *plan <- what was cut, or NULL. */
bool pruning_begin(job *j, const char *text, mskp_plan **plan);
/* Tries to choose or read the mask, because a budget that cannot be met, or a file that cannot be
 * read, should be known before hours are spent. */
bool pruning_try(job *j);
/* The mask is chosen from the values as they are, or read, and j->keep receives it. */
bool pruning_mark(job *j);
/* j->gauges <- how far the pruner is at the end of the epoch, with a line in the journal of
 * gauges; and in `text` a sentence about the masked phase. */
bool pruning_gauge(job *j, const stage *s, size_t size, char *text);

/* A cut that is planned: the masks j->keep and j->kept are those of this cut.
 *   more   how many units are marked now that were not before */
typedef struct planned {
    mskp_plan *plan;
    const mskp_constants *constants;
    mskp_constants_report report;
    mskp_cost cost;
    size_t more;
} planned;
bool pruning_prepare(job *j, planned *p);
/* The trainer cuts by the plan. */
bool pruning_cut(job *j, const planned *p);

/* These return NULL without memory; the caller frees the text. */
char *pruning_mask_text(const job *j);
char *pruning_text(const job *j); /* the state of the pruner */

/* Sets slices (MSKP_ROLE_*) of the marked units to zero. */
bool pruning_zero_marked(job *j, uint32_t roles);
/* The largest number in such slices; NaN if it cannot be told. */
double pruning_largest_marked(job *j, uint32_t roles);
/* The penalty's part of the loss, with the strength of the last step. */
double pruning_loss(const job *j);
/* What units are pulled by in a phase, for a reader. Returns the strength; 0: none, or it is found
 * in each step. */
double pruning_describe(const job *j, size_t phase, size_t size, char *text);
/* Says how far the penalty can move weights in the masked phase, and how far it has to. */
void pruning_print_reach(job *j, const stage *s);

/* ---- report.c ---- */

/* When gamma and beta are looked at. */
typedef enum moment { MOMENT_BASELINE, MOMENT_GLOBAL, MOMENT_CUT, MOMENTS } moment;

/* What an epoch gave. right: of the images that were trained on, NaN if it is not known. */
typedef struct epoch_result {
    double loss, right, test;
} epoch_result;

/* Makes the folder of --report if it is missing: whether a page can be written there should be
 * known before hours are spent. Without --report only the curves are noted. */
bool report_open(job *j);
/* These note something and, once report_open was called, cannot fail: what does not fit into memory
 * is missing, and report_finish says so. report_epoch also writes the page. */
void report_line(job *j, const char *text);
void report_epoch(job *j, const stage *s, size_t number, const epoch_result *e);
void report_moment(job *j, moment m);
/* The mask was chosen. */
void report_mask(job *j);
/* The mask is final, and so is what becomes of the constants. */
void report_cut(job *j, const mskp_constants *constants);
/* Prints the curves, if a terminal can show them, and writes the page. */
bool report_finish(job *j);
/* Writes the page of a run that failed, as far as that is possible. */
void report_failed(job *j);
void report_free(job *j);

/* ---- checkpoint.c ---- */

/* Without --checkpoint, all of these do nothing. */

/* A file that is there is only replaced by the run that goes on from it. */
bool checkpoint_check(job *j);
/* Comes after the data are read, and before the log is opened. */
bool checkpoint_open(job *j);
/* Writes the state as it is now, between two steps. */
bool checkpoint_write(job *j);
/* If a signal waits (files.h): writes a checkpoint, and ends the program by the signal. */
bool checkpoint_pause(job *j);
/* The job goes on where the file says. */
bool checkpoint_read(job *j);

/* ---- training.c ---- */

size_t steps_per_epoch(const job *j);
/* outputs of the first n <= options.batch test images, in j->outputs. */
bool infer_first(job *j, size_t n);
/* How many test images are classified correctly. */
bool count_right(job *j, size_t *right);
/* The same as a part of all, in [0, 1]. */
bool accuracy(job *j, double *part);
/* Trains for a phase, from j->epoch on if the job was resumed there. */
bool train(job *j, const stage *s);
/* Images per second: the median of some repetitions, each a whole number of batches. Measuring
 * training changes the network's state; the caller restores it. */
bool measure_speed(job *j, bool training, double *speed);

/* ---- stages.c ---- */

bool run_stages(job *j);
void print_table(job *j);
/* The rows of the table. */
enum { RESULT_PAIRS = 4, RESULT_PARTS = 6 };
void result_rows(const job *j, table_pair pairs[RESULT_PAIRS], table_part parts[RESULT_PARTS]);

#endif

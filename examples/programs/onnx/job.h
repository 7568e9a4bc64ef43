/*
 * One run of mskp-onnx: what the files of the program (all but those that work on a network) share.
 *
 *     options.c    the command line
 *     mskp-onnx.c  from the file to the smaller file, and main
 *     job.c        the network in memory
 *     print.c      the list of a network
 *     locks.c      which units stay in any case
 *     choose.c     scores, the rule, and the masks
 *     unfinite.c   weights that are infinite or no numbers
 *     texts.c      masks and reports as files
 *     report.c     the page of --report
 */
#ifndef ONNX_JOB_H
#define ONNX_JOB_H

#include "common/outcome.h"
#include "mskp/constants.h"
#include "mskp/tools.h"
#include "object.h"
#include "options.h"

enum { MOST_STUCK = 64, MOST_HELD = 200 };

typedef struct job {
    options o;
    mskp_onnx onnx;
    const mskp_graph *graph; /* of onnx */
    mskp_counts counts;
    mskp_cost dense, left; /* costs of the network, and of what `kept` leaves of it */
    file_parameters before, after;
    mskp_tensors values;
    mskp_scores scores;
    mskp_mask locked;          /* 1: the unit stays in any case */
    mskp_mask selected, kept;  /* without carriers of constants, and with them */
    mskp_constants *constants; /* NULL: without --constants */
    /* What is written appears under its name when all of it is complete. */
    model_output pruned, zeroed;
    file_output mask_file, report_file, page_file;
    int argc;
    char **argv;
    char uncounted[300]; /* for the page, too: which MACs no figure has; "": none */
    outcome outcome;     /* for the page: the network is cut when it is written */
    char *held[MOST_HELD];
    size_t held_count;
    size_t stuck[MOST_STUCK]; /* nodes that could not be corrected: all that reaches them stays */
    size_t stuck_count;
    failure f; /* functions that return false leave a sentence here */
} job;

/* False, with a sentence, if memory was short (memory.h): for each place where something is shown
 * or written. */
bool had_memory(job *j);

/* Writes the library's sentence. Returns false. */
bool refuse(job *j, const mskp_error *err);

/* Reads and describes the network of the options, and finds its units. */
bool job_open(job *j);
/* The arrays for values, scores and masks, all zero. They are not NULL even without units. */
bool job_allocate(job *j);
/* Back to what it was before job_open, but for the options, `stuck` and the sentence. */
void job_release(job *j);
/* What --length says. */
lengths job_lengths(const job *j);

/* Prints a line for each layer, what stays and why, and sums. */
bool print_network(const net *n, const mskp_cost *dense, const file_parameters *parameters);

/* locked <- the units that the options, the network or earlier attempts require to stay. */
bool lock_units(job *j);

/* values: those of the job, but 0 for each number that is not finite. unit[u]: 1 where a slice of
 * the unit in these roles has such a number. */
typedef struct unfinite {
    mskp_tensors values;
    uint8_t *unit;
    size_t units;      /* how many these are */
    const char *first; /* the first parameter of theirs */
    void **copies;
} unfinite;
bool unfinite_open(job *j, uint32_t roles, unfinite *u);
void unfinite_close(unfinite *u);

/* selected <- with more of the units that the rule removed, as far as they fit into its budget. */
bool refill(job *j, const mskp_rule *rule);

/* selected, kept, constants, left <- what the options ask for. */
bool choose_units(job *j);

/* selected <- the mask of the file that --mask names. */
bool read_mask(job *j);
/* The mask `kept`, and the report, if the options ask for them: first written under temporary
 * names, then shown under their own. */
bool prepare_texts(job *j);
bool show_texts(job *j);

/* The page, if the options ask for it. take_report notes what it shows of the network, and must
 * come before the cut; prepare_report writes it under a temporary name. */
bool take_report(job *j);
bool prepare_report(job *j);
bool show_report(job *j);

#endif

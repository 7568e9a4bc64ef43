/* What a penalty's call does, and its loops over elements. */
#ifndef MSKP_PENALTY_ELEMENTS_H
#define MSKP_PENALTY_ELEMENTS_H

#include <stdbool.h>

#include "base/view.h"
#include "mskp.h"
#include "mskp/tools.h"

typedef enum job_kind {
    GRADIENT, /* gradient += amount * slope(value) */
    SHRINK,   /* value <- the proximal map */
    DEADLINE, /* value <- (the start value, if there is one, otherwise value) * amount */
    FADE,     /* value <- value * max(0, 1 - amount * weight) */
    VALUE,    /* sum += R */
    MEASURE   /* *gauge <- with the elements counted; its mean is their sum */
} job_kind;

typedef struct penalty_job {
    const mskp_graph *graph;
    const uint8_t *keep;
    mskp_penalty how;
    job_kind kind;
    double amount;           /* strength, step, or the deadline's factor */
    const char *amount_name; /* for sentences */
    const char *values_name;
    uint64_t steps_left;         /* for DEADLINE */
    mskp_low_precision low;      /* all 0 if the penalty has none */
    bool careful;                /* stores are rounded at random, or counted */
    bool apart;                  /* refuse elements of two targeted units */
    mskp_tensors values, second; /* second: gradients of GRADIENT, start values of DEADLINE */
    double sum;                  /* the result of VALUE */
    mskp_gauge gauge;            /* that of MEASURE */
} penalty_job;

/* The sweep over one tensor and, where the job has two sets, over that of the second. */
typedef struct penalty_sweep {
    penalty_job *job;
    tensor_view value, second;
    uint32_t id, ndim;
    const uint32_t *unit[MSKP_MAX_DIMS]; /* the units of a targeted axis; NULL: not targeted */
    bool no_target[MSKP_MAX_DIMS + 1];   /* [d]: no axis from d on is targeted */
    uint8_t run[MSKP_MAX_DIMS + 1];      /* [d] 1: the axes from d on are one run of memory */
    size_t inner[MSKP_MAX_DIMS + 1];     /* [d] how many elements the axes from d on have */
    ptrdiff_t step, step_2;              /* bytes from one element of a run to the next */
    uint32_t chosen[MSKP_MAX_DIMS];      /* the targeted units of the current indices, each once */
} penalty_sweep;

/* What `second` is called in sentences; NULL: the job has no such set. */
const char *mskpi_second_name(const penalty_job *j);

/* Does the job for n elements of a run. factor: the sum of the weights of their targeted units; of
 * FADE the largest.
 * first: the logical index of the first element. second: NULL if the job has no such set. */
void mskpi_penalize(const penalty_sweep *s, char *value, char *second, double factor, size_t first,
                    size_t n);

#endif

/* What a penalty's call does, and its loops over elements of any format. */
#ifndef MSKP_PENALTY_ELEMENTS_H
#define MSKP_PENALTY_ELEMENTS_H

#include <math.h>
#include <stdbool.h>

#include "mskp.h"
#include "mskp/tools.h"
#include "penalty/vectors.h"

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
    uint64_t steps_left;          /* for DEADLINE */
    mskp_low_precision low;       /* all 0 if the penalty has none */
    bool careful;                 /* stores are rounded at random, or counted */
    bool apart;                   /* refuse elements of two targeted units */
    mskp_tensors values, second;  /* second: gradients of GRADIENT, start values of DEADLINE */
    size_t pieces;                /* into how many the largest tensor is divided */
    const vector_loops *loops[2]; /* of floats and of doubles; NULL: this job has none */
    double sum;                   /* the result of VALUE */
    mskp_gauge gauge;             /* that of MEASURE */
} penalty_job;

/* Elements of one tensor that have one factor, in memory one step after the other. */
typedef struct element_run {
    char *value, *second; /* second: NULL if the job has no such set */
    mskp_dtype dtype, dtype_2;
    ptrdiff_t step, step_2; /* bytes */
    uint32_t id;            /* of the tensor's parameter */
    size_t first, n;        /* the logical index of the first element, and how many there are */
} element_run;

/* What `second` is called in sentences; NULL: the job has no such set. */
const char *mskpi_second_name(const penalty_job *j);

static inline bool mskpi_only_reads(job_kind kind)
{
    return kind == VALUE || kind == MEASURE;
}

/* Whether a job does the same to each element, whatever it did to the others before. */
static inline bool mskpi_any_order(const penalty_job *j)
{
    return !j->careful && !mskpi_only_reads(j->kind);
}

/* By how much, or by what, an element is changed. factor: the sum of the weights of its targeted
 * units; of FADE the largest. */
static inline double mskpi_amount(const penalty_job *j, double factor)
{
    if (j->kind == DEADLINE) return j->amount;
    return j->kind == FADE ? fmax(0, 1 - j->amount * factor) : j->amount * factor;
}

/* Does the job for the elements of a run, in their order. */
void mskpi_penalize(penalty_job *j, const element_run *run, double factor);

#endif

/* Networks to cut that are nothing but parameters with bound axes, and what tests of cuts share. */
#ifndef CUTTING_SURGERY_H
#define CUTTING_SURGERY_H

#include "by_id/by_id.h"
#include "views.h"

enum { MOST_PARAMS = 4, MOST_UNITS = 4 * MSKP_MAX_DIMS * LONGEST_AXIS };

typedef struct network {
    mskp_graph *graph;
    mskp_plan *plan;
    size_t params, units;
    uint8_t keep[MOST_UNITS];
} network;

extern const mskp_dtype every_dtype[DTYPES];

/* A parameter called "layer<number>.weight". */
mskp_param network_param(mskp_graph *graph, size_t number, uint32_t ndim, const size_t *shape);
mskp_graph *network_finish(mskp_graph *graph);
/* Makes the plan of n->keep. */
void network_plan(network *n);
/* Axes are bound to fresh channels, to those of another axis (tied), to pinned ones, or to none. */
void network_random(rng *r, network *n, size_t params, size_t most_elements);
void network_free(network *n);

/* Compares what stays of a parameter with the indices that the plan keeps. */
void kept_of(const network *n, mskp_param param, kept_indices *kept);

/* On success a call leaves err alone, so each starts from this. */
extern const mskp_error untouched;
void must_be_untouched(const mskp_error *err);
void must_be_refused(mskp_status status, mskp_status expected, const mskp_error *err);

unsigned char *copy_of(guarded g);
void must_hold(guarded g, const unsigned char *image, const char *what);

/* Further tests of test_cut: which overlaps are allowed; large tensors; what is refused, how. */
TCase *arena_cases(void);
TCase *large_cases(void);
TCase *refusal_cases(void);

#endif

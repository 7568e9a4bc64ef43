/* The object mskp_constants, and the steps in which it is made and applied. */
#ifndef MSKP_CONSTANTS_CONSTANTS_H
#define MSKP_CONSTANTS_CONSTANTS_H

#include <stdbool.h>

#include "constants/consumers.h"
#include "mskp/constants.h"
#include "mskp/tools.h"

struct mskp_constants {
    mskp_services services;
    const mskp_graph *graph;
    mskp_constants_desc desc;
    consumer_list consumers;
    uint8_t *keep;          /* [units] 1: the unit is selected, and so it stays */
    uint8_t *carries;       /* [units] 1: the unit is not selected, but stays as a carrier */
    double *carrier_output; /* the constants of carriers, indexed as walker.constant */
    size_t *first;          /* [values + 1] where the channels of a value begin in carrier_output */
    uint32_t *norms;        /* [values + 1] the last norm that takes a constant from this value */
    uint32_t *next_norm;    /* [values + 1] the norm before this one that reads the same; 0: none */
    double *recorded;       /* the numbers to which sums are added or that columns replace, as they
                               were when the object was made, in the order of the writer */
    size_t recorded_count, recorded_capacity;
};

const mskp_graph *mskpi_constants_graph(const mskp_constants *constants);
/* Whether a unit stays, as selected or as a carrier; and whether it is a carrier. */
bool mskpi_constants_keeps(const mskp_constants *constants, size_t unit);
bool mskpi_constants_carries(const mskp_constants *constants, size_t unit);

mskp_status mskpi_constants_no_memory(mskp_error *err);

/* ---- targets.c ---- */

/* Whether a norm subtracts what is constant by itself; and whether it has running statistics, whose
 * mean nothing else uses. */
bool mskpi_is_absorbing(const graph_step *s);
bool mskpi_has_own_mean(const mskp_constants *c, const graph_step *s);
/* c->norms, c->next_norm <- for each value the norms that read it and can take a constant. A value
 * that anything else reads, too, has none. others: [values + 1] zeros, a buffer. */
void mskpi_find_norms(mskp_constants *c, uint8_t *others);
/* x->target, x->writes <- where the constants of a consumer can be folded. */
void mskpi_find_target(const mskp_constants *c, consumer *x);
/* Returns the way that was demanded or, of fold and drop, the one that loses less. */
group_way mskpi_without_merge(const mskp_constants *c, const consumer *x, const consumer_group *g);
/* The error that remains in a group, and, if it is not 0, the same as a share. */
double mskpi_error_of(const consumer *x, const consumer_group *g);
double mskpi_share_of(const consumer *x, const consumer_group *g);
/* Whether that error is worth keeping a unit as a carrier, for the ways that merge. */
bool mskpi_is_worth_carrier(const mskp_constants *c, const consumer *x, const consumer_group *g);

/* ---- carriers.c ---- */

/* c->carries <- the carriers, and WAY_MERGE for the groups that they serve. known: what each
 * channel outputs without carriers. given: NULL, or the carriers of another object, which then
 * carry here, too, and no others. */
mskp_status mskpi_merge(mskp_constants *c, walker *w, const double *known, const uint8_t *given);

/* ---- writing.c ---- */

/* c->recorded <- the numbers that would be changed, after checking that all results fit. Writes
 * nothing to the values. */
mskp_status mskpi_record_constants(mskp_constants *c, mskp_tensors values, mskp_error *err);
/* values <- the values with their constants moved, all or nothing. */
mskp_status mskpi_apply_constants(const mskp_constants *c, mskp_tensors values, mskp_error *err);

#endif

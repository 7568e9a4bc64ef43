/* A pruner, and what its files need of each other. */
#ifndef MSKP_PRUNER_INTERNAL_H
#define MSKP_PRUNER_INTERNAL_H

#include <stdbool.h>

#include "mskp/methods.h"
#include "mskp/pruner.h"

/* The penalty of the masked stage, prepared for a mask and the views of a step. It is no part of
 * the pruner's state. Copies of a pruner share it. */
typedef struct pruner_penalty {
    mskp_prepared *prepared; /* NULL: there is none */
    bool tried;              /* it was made for `keep`, or there was no memory for it */
    uint8_t *keep;           /* [units] */
} pruner_penalty;

struct mskp_pruner {
    mskp_services services; /* those of the graph */
    mskp_pruner_options how;
    const mskp_graph *first; /* the caller's graph of the whole network */
    mskp_graph *own;         /* of the network as it is; NULL until something was cut */
    mskp_cost dense;         /* of the whole network */
    double *amounts;         /* [rule.nbudgets] the same of each budget */

    uint64_t step;  /* steps that were counted */
    uint32_t round; /* cuts that were made */
    bool stepping;  /* between before_step and after_step */
    size_t units;   /* of the current graph; arrays have room for those of the first */

    uint8_t *total;  /* over the first graph: 1: was not cut */
    uint8_t *locked; /* of the rule, in numbers of the current graph */

    /* ---- The round ---- */
    bool marked; /* there is a mask */
    bool scored; /* the rule selected it, by `chosen` */
    bool again;  /* there was another mask before, in `before` */
    /* What a call works out lies in `work`, `spare`, `scores` and `order`, until nothing can fail
     * any more: then these change places with `keep`, `before`, `chosen` and `streak`. */
    uint8_t *keep, *before, *work, *spare;
    double *chosen, *scores;
    uint32_t *streak, *order, *buffer;
    double start, residue; /* as in mskp_pruner_gauges */

    pruner_penalty *penalty;

    /* ---- The strength ---- */
    double strength, move; /* of the last step */
    double
        response;  /* an automatic GRADIENT: what a gradient moves in the end, in learning rates */
    double seen;   /* the largest marked element when the window began */
    double pulled; /* the sum of rate * strength in the window */
    uint32_t window; /* steps in it so far */

    /* ---- A cut that was worked out ---- */
    mskp_constants *constants;
    mskp_plan *plan;
    mskp_graph *small;
    bool applied;  /* the constants were moved, and the cut is still to be done */
    bool prepared; /* the caller has the plan */
};

/* ---- stages.c: when ---- */

typedef struct pruner_time {
    mskp_pruner_stage stage;
    uint64_t left;      /* steps that are left in the stage or round, this one included */
    uint64_t pull_left; /* the same of the pull; 0: marked units are held at zero */
    uint64_t pull;      /* how many steps the whole pull has */
} pruner_time;

mskp_status mskpi_pruner_check_times(const mskp_pruner_options *how, mskp_error *err);
pruner_time mskpi_pruner_time(const mskp_pruner *p);
uint32_t mskpi_pruner_rounds(const mskp_pruner *p);
/* Whether the steps of this round are over. */
bool mskpi_pruner_cut_due(const mskp_pruner *p);
/* How far an automatic strength moves the largest marked element in a step: a parabola to zero, as
 * said at the head of pruner.c. left: steps of the pull, this one included. */
double mskpi_pruner_move(double largest, uint64_t left);

/* ---- pull.c: the calls of a masked step ---- */

bool mskpi_pruner_penalty_make(mskp_pruner *p);
void mskpi_pruner_penalty_free(mskp_pruner *p);
/* Forgets what was prepared: the graph goes. */
static inline void mskpi_pruner_penalty_forget(mskp_pruner *p)
{
    mskp_prepared_destroy(p->penalty->prepared);
    p->penalty->prepared = NULL;
    p->penalty->tried = false;
}
/* Prepares the penalty of the mask, unless it is prepared. */
void mskpi_pruner_penalty_prepare(mskp_pruner *p, mskp_tensors values, mskp_tensors gradients);

typedef enum pruner_call { CALL_GRADIENT, CALL_FADE, CALL_PROX, CALL_DEADLINE } pruner_call;
/* The call, with its strength, amount or step; or with the steps that are left. It allocates
 * nothing. gradients: {0, NULL} where the call has none. */
mskp_status mskpi_pruner_penalize(mskp_pruner *p, pruner_call call, double amount,
                                  uint64_t steps_left, mskp_tensors values, mskp_tensors gradients,
                                  mskp_error *err);

/* ---- round.c: masks and cuts ---- */

mskp_mask mskpi_pruner_keep(const mskp_pruner *p);
/* scores <- what units are worth now. */
mskp_status mskpi_pruner_score(const mskp_pruner *p, mskp_tensors values, mskp_scores scores,
                               mskp_error *err);
/* *gauge <- how far from zero the penalty's slices of the units are that `keep` removes. */
mskp_status mskpi_pruner_measure(const mskp_pruner *p, mskp_mask keep, mskp_tensors values,
                                 mskp_gauge *gauge, mskp_error *err);
/* The roles that the pull is on. */
uint32_t mskpi_pruner_roles(const mskp_pruner *p);
mskp_status mskpi_pruner_make_mask(mskp_pruner *p, mskp_tensors values, mskp_error *err);
/* Chooses the mask anew within a round. */
mskp_status mskpi_pruner_refresh(mskp_pruner *p, mskp_tensors values, mskp_error *err);
/* The desc of the constants of a cut. */
/* *constants <- what a cut with the mask of the round would do now; *unmarked <- how many units
 * would leave that the mask does not mark. Changes nothing. */
mskp_status mskpi_pruner_foresee(const mskp_pruner *pruner, mskp_tensors values,
                                 mskp_constants **constants, size_t *unmarked, mskp_error *err);
mskp_constants_desc mskpi_pruner_constants(const mskp_pruner *p);
/* Forgets what mskp_pruner_prepare worked out. */
void mskpi_pruner_unplan(mskp_pruner *p);

#endif

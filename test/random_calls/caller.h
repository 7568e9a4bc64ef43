/* The state that the calls on a finished graph share. */
#ifndef RANDOM_CALLS_CALLER_H
#define RANDOM_CALLS_CALLER_H

#include "by_id/by_id.h"
#include "random_calls.h"

typedef struct user {
    rng *r;
    limited_heap *heap;
    const mskp_graph *g;
    mskp_counts n;
    arena mem;
    uint8_t *keep;
    mskp_tensor *values, *others; /* two sets; those that are not too large */
    view_buf *buf, *slopes;       /* where values lie, and the others */
    bool reports;                 /* their text is read on networks of every size */
} user;

size_t wrong_or(user *u, size_t good);

/* Makes this call's n-th allocation fail now and then. */
void endanger(user *u);
/* A refusal has a sentence, MSKP_ERROR_NO_MEMORY is returned only if an allocation failed, and no
 * block is left. */
void require_refusal(user *u, mskp_status status, const mskp_error *err, size_t live);

uint8_t *random_keep(user *u);
/* Would a list be empty? */
bool empties(const user *u, const uint8_t *keep);
/* Whether something vanishes by the plan, which may be NULL. */
bool lets_vanish(const user *u, const mskp_plan *plan);
/* Scores of all units, few of them infinite or NaN; a rule with absurd fields now and then. */
double *any_scores(user *u);
mskp_rule any_rule(user *u, const uint8_t *locked);
/* Adds budgets, and rules of families now and then. */
void widen_rule(user *u, mskp_rule *rule);
/* By u->keep. NULL: refused, as it should be. */
mskp_plan *planned(user *u, mskp_graph **small);

/* What the plan keeps is u->keep, in its lists and in the smaller network. */
void require_plan(user *u, const mskp_plan *plan, const mskp_graph *small);

mskp_tensor *copy_of(user *u, const mskp_tensor *tensors);
/* Something of one tensor that makes the set wrong, whatever its memory. */
bool spoil_set(user *u, mskp_tensor *tensors);
/* A copy of the memory of all tensors; a second call with that copy restores it. */
unsigned char **bytes_of(user *u, unsigned char **restore);
void require_untouched(const user *u, unsigned char *const *was, const char *call);

/* good: nothing in *report is to be refused. */
void try_report(user *u, const uint8_t *keep, mskp_report_options *report, bool good);

/* ---- Further calls ---- */

void call_constants(user *u);
void call_constants_select(user *u);
void call_report(user *u);
void call_restore(user *u);
void call_compose(user *u);
void call_maps(user *u);
void call_rules(user *u);
void call_pruner(user *u);

#endif

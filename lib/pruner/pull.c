/*
 * The penalty of a masked step, prepared.
 *
 * A pruner penalizes the same units in the same tensors for many steps, so it prepares the penalty
 * and keeps the object. The mask changes in several places (a refresh, a cut, a state that is
 * read), and the views when the program likes. No such place has to know of the object: each call
 * compares the mask with that of the object, and the object compares the views. What does not fit
 * is made anew.
 */
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "mskp/methods.h"
#include "pruner/pruner.h"

bool mskpi_pruner_penalty_make(mskp_pruner *p)
{
    p->penalty = mskpi_alloc(&p->services, 1, sizeof *p->penalty);
    if (!p->penalty) return false;
    *p->penalty = (pruner_penalty){.keep = mskpi_alloc(&p->services, p->units, 1)};
    return p->penalty->keep != NULL;
}

void mskpi_pruner_penalty_free(mskp_pruner *p)
{
    if (!p->penalty) return;
    mskpi_pruner_penalty_forget(p);
    mskpi_free(&p->services, p->penalty->keep);
    mskpi_free(&p->services, p->penalty);
}

static mskp_status call_prepared(const mskp_prepared *prepared, pruner_call call, double amount,
                                 uint64_t steps_left, mskp_tensors values, mskp_tensors gradients,
                                 mskp_error *err)
{
    switch (call) {
    case CALL_GRADIENT:
        return mskp_prepared_gradient(prepared, amount, values, gradients, err);
    case CALL_FADE:
        return mskp_prepared_fade(prepared, amount, gradients, err);
    case CALL_PROX:
        return mskp_prepared_prox(prepared, amount, values, err);
    default:
        return mskp_prepared_deadline(prepared, steps_left, values, err);
    }
}

mskp_status mskpi_pruner_penalize(mskp_pruner *p, pruner_call call, double amount,
                                  uint64_t steps_left, mskp_tensors values, mskp_tensors gradients,
                                  mskp_error *err)
{
    pruner_penalty *penalty = p->penalty;
    const mskp_graph *graph = mskp_pruner_graph(p);
    const mskp_mask keep = mskpi_pruner_keep(p);
    const bool adds = gradients.view != NULL;
    const bool fits =
        penalty->prepared && (penalty->adds || !adds) && !memcmp(penalty->keep, keep.unit, keep.n);
    mskp_prepared *prepared = NULL;
    if (!adds && call == CALL_FADE) /* these refuse the set */
        return mskp_penalty_fade(graph, keep, &p->how.penalty, amount, gradients, err);
    if (!adds && call == CALL_GRADIENT)
        return mskp_penalty_gradient(graph, keep, &p->how.penalty, amount, values, gradients, err);
    /* A call that is refused changes nothing; the sentence is that of the second. */
    if (fits &&
        !call_prepared(penalty->prepared, call, amount, steps_left, values, gradients, NULL))
        return MSKP_OK;
    mskp_status status =
        mskp_prepared_create(graph, keep, &p->how.penalty, values, gradients, &prepared, err);
    if (!status) status = call_prepared(prepared, call, amount, steps_left, values, gradients, err);
    if (status) {
        mskp_prepared_destroy(prepared);
        return status;
    }
    mskpi_pruner_penalty_forget(p);
    penalty->prepared = prepared;
    penalty->adds = adds;
    memcpy(penalty->keep, keep.unit, keep.n);
    return MSKP_OK;
}

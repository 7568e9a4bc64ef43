/*
 * The penalty of a masked step, prepared.
 *
 * A pruner penalizes the same units in the same tensors for many steps. So the
 * mskp_pruner_before_step after the one that made the mask prepares the penalty for the views that
 * it is given, and the object is kept as long as the mask stays. The step that makes the mask does
 * not: scores may need tensors that no other step hands over. The mask changes in several places (a
 * refresh, a cut, a state that is read), and no such place has to know of the object: the mask that
 * it was made for is kept beside it and compared. Where there is no object, or it does not fit the
 * views of a step (a program may hand over one layer at a time), the plain call does the same, more
 * slowly. So nothing is allocated in later steps, and a lack of memory for the object is no error.
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

/* Whether the object was made, or could not be made, for this mask. */
static bool is_for(const pruner_penalty *penalty, mskp_mask keep)
{
    return penalty->tried && !memcmp(penalty->keep, keep.unit, keep.n);
}

void mskpi_pruner_penalty_prepare(mskp_pruner *p, mskp_tensors values, mskp_tensors gradients)
{
    pruner_penalty *penalty = p->penalty;
    const mskp_mask keep = mskpi_pruner_keep(p);
    const bool adds = p->how.pull == MSKP_PULL_GRADIENT || p->how.fade;
    if (is_for(penalty, keep)) return;
    mskpi_pruner_penalty_forget(p);
    const mskp_status status =
        mskp_prepared_create(mskp_pruner_graph(p), keep, &p->how.penalty, values,
                             adds ? gradients : (mskp_tensors){0, NULL}, &penalty->prepared, NULL);
    memcpy(penalty->keep, keep.unit, keep.n);
    /* Sets that are refused are refused by the call of the step, too, and then corrected. */
    penalty->tried = !status || status == MSKP_ERROR_NO_MEMORY;
}

static mskp_status call_prepared(const mskp_prepared *prepared, pruner_call call, double amount,
                                 uint64_t steps_left, mskp_tensors values, mskp_tensors gradients)
{
    switch (call) {
    case CALL_GRADIENT:
        return mskp_prepared_gradient(prepared, amount, values, gradients, NULL);
    case CALL_FADE:
        return mskp_prepared_fade(prepared, amount, gradients, NULL);
    case CALL_PROX:
        return mskp_prepared_prox(prepared, amount, values, NULL);
    default:
        return mskp_prepared_deadline(prepared, steps_left, values, NULL);
    }
}

mskp_status mskpi_pruner_penalize(mskp_pruner *p, pruner_call call, double amount,
                                  uint64_t steps_left, mskp_tensors values, mskp_tensors gradients,
                                  mskp_error *err)
{
    const mskp_graph *graph = mskp_pruner_graph(p);
    const mskp_mask keep = mskpi_pruner_keep(p);
    const mskp_penalty *how = &p->how.penalty;
    const mskp_prepared *prepared = is_for(p->penalty, keep) ? p->penalty->prepared : NULL;
    /* A call that is refused changes nothing; then the plain one says why, or does it. */
    if (prepared && !call_prepared(prepared, call, amount, steps_left, values, gradients))
        return MSKP_OK;
    switch (call) {
    case CALL_GRADIENT:
        return mskp_penalty_gradient(graph, keep, how, amount, values, gradients, err);
    case CALL_FADE:
        return mskp_penalty_fade(graph, keep, how, amount, gradients, err);
    case CALL_PROX:
        return mskp_penalty_prox(graph, keep, how, amount, values, err);
    default:
        return steps_left ? mskp_penalty_deadline(graph, keep, how, steps_left, values, err)
                          : mskp_penalty_zero(graph, keep, how, values, err);
    }
}

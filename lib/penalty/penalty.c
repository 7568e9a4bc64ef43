/*
 * Penalties: in each training step, the slices of the targeted units are pulled towards zero.
 *
 * Every tensor that holds such a slice is swept once (visit.c). The calls are the same sweep with
 * another job_kind for the elements (mskp_penalty_zero is a deadline with no step left,
 * mskp_penalty_group_prox a fade whose units share no elements). elements.c does what a job does to
 * one element of any format; vectors.c does the same to adjacent floats or doubles.
 *
 * Everything is checked before the first element changes, and nothing allocates. The work is
 * divided by parameter, and large tensors into pieces of their first axis, both by sizes alone. An
 * element's result does not depend on others, so it does not depend on threads; what is summed over
 * parameters (the value of R, and counts of steps) is computed by one thread, in one order.
 *
 * A new kind of penalty per element goes into mskp_penalty_kind (mskp.h), check_penalty here, and
 * slope, prox and penalty_of in elements.c; and, with a vector_operation of its own, into
 * operation_of here and `changed` in vectors.c. A penalty that needs a norm per unit (group lasso)
 * is no sum over elements; weights.c makes unit weights of the norms, with which a kind here
 * computes its gradient.
 */
#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/methods.h"
#include "mskp/tools.h"
#include "penalty/elements.h"
#include "penalty/penalty.h"
#include "penalty/visit.h"
#include "units/set.h"
#include "units/units.h"

/* ---- what is swept ---- */

static bool is_missing(const penalty_job *j, uint32_t id)
{
    return j->how.skip_missing &&
           (!j->values.view[id - 1].data || (j->kind == GRADIENT && !j->second.view[id - 1].data));
}

bool mskpi_penalty_targets(const penalty_job *j, uint32_t id, const uint32_t *unit[MSKP_MAX_DIMS])
{
    const mskp_graph *g = j->graph;
    const graph_param *p = &g->params[id];
    bool any = false;
    for (uint32_t d = 0; d < p->ndim; d++) {
        const graph_axis *a = &g->axes[p->axis + d];
        unit[d] = NULL;
        if (a->list == NO_LIST || !(a->roles & j->how.roles)) continue;
        const uint32_t *list = g->u->list_units + g->u->lists[a->list].first;
        size_t i = 0;
        MSKPI_ASSERT(g->u->lists[a->list].n == a->length);
        while (i < a->length && !mskpi_is_target(j, list[i])) i++;
        if (i == a->length) continue;
        unit[d] = list;
        any = true;
    }
    return any;
}

size_t mskpi_penalty_pieces(const mskp_graph *graph, uint32_t id)
{
    const graph_param *p = &graph->params[id];
    size_t elements = 1;
    for (uint32_t d = 0; d < p->ndim; d++) elements *= graph->axes[p->axis + d].length;
    return mskpi_visit_pieces(elements);
}

/* Sweeps one piece of a parameter's tensor. */
static void sweep_param(penalty_job *j, uint32_t id, size_t piece, size_t pieces, stripe_room *room)
{
    const char *second = mskpi_second_name(j);
    const uint32_t *unit[MSKP_MAX_DIMS];
    tensor_view view[2];
    penalty_sweep s;
    if (is_missing(j, id) || !mskpi_penalty_targets(j, id, unit)) return;
    MSKPI_MUST(mskpi_number_view(j->graph, id, j->values_name, j->values, &view[0], NULL));
    if (second) MSKPI_MUST(mskpi_number_view(j->graph, id, second, j->second, &view[1], NULL));
    mskpi_visit_make(&s, id, &view[0], second ? &view[1] : NULL, unit, mskpi_any_order(j));
    mskpi_visit(&s,
                &(sweep_piece){.job = j,
                               .value = view[0].data,
                               .second = second ? view[1].data : NULL,
                               .piece = piece,
                               .pieces = pieces},
                room);
}

/* Piece i / params of parameter i % params. Pieces that few tensors have come last. */
static void sweep_piece_of(void *context, size_t i)
{
    stripe_room room;
    penalty_job *j = context;
    const uint32_t id = (uint32_t)(i % j->graph->nparams) + 1;
    const size_t piece = i / j->graph->nparams, pieces = mskpi_penalty_pieces(j->graph, id);
    room.same = 0;
    if (piece < pieces) sweep_param(j, id, piece, pieces, &room);
}

/* Sweeps each tensor as a whole. */
static void sweep_all(penalty_job *j)
{
    stripe_room room;
    room.same = 0;
    for (uint32_t id = 1; id <= j->graph->nparams; id++) sweep_param(j, id, 0, 1, &room);
}

bool mskpi_penalty_divides(const penalty_job *j)
{
    return j->graph->services.parallel_for && !mskpi_only_reads(j->kind) && !j->low.asked &&
           !j->low.lost;
}

/* The vector loops of a job; NULL: it has none. */
static vector_operation operation_of(const penalty_job *j)
{
    const mskp_penalty_kind kind = j->how.kind;
    const bool curved = kind == MSKP_PENALTY_SMOOTH_L1 && j->how.knee > 0;
    switch (j->kind) {
    case GRADIENT:
        return kind == MSKP_PENALTY_L2 ? ADD_L2 : curved ? ADD_SMOOTH_L1 : ADD_L1;
    case SHRINK:
        return kind == MSKP_PENALTY_L2 ? SHRINK_L2 : curved ? SHRINK_SMOOTH_L1 : SHRINK_L1;
    case DEADLINE:
        return j->amount > 0 ? SCALE : CLEAR;
    default:
        return SCALE;
    }
}

void mskpi_penalty_choose_loops(penalty_job *j)
{
    const bool copies = j->kind == DEADLINE && mskpi_second_name(j); /* from other values */
    for (int doubles = 0; doubles < 2; doubles++)
        j->loops[doubles] = mskpi_any_order(j) && !copies
                                ? mskpi_vector_loops(operation_of(j), doubles != 0)
                                : NULL;
}

/* ---- the calls ---- */

/* Checks the views of all parameters, also of those that the call does not touch, so a set that
 * is wired wrongly is refused in the first step. */
static mskp_status check_views(const penalty_job *j, mskp_error *err)
{
    mskp_status status = MSKP_OK;
    const char *second = mskpi_second_name(j);
    tensor_view view;
    for (uint32_t id = 1; !status && id <= j->graph->nparams; id++) {
        status = mskpi_check_tensor(j->graph, id, j->values_name, j->values, &view, err);
        if (!status && second)
            status = mskpi_check_tensor(j->graph, id, second, j->second, &view, err);
    }
    return status;
}

mskp_status mskpi_check_targets(const mskp_penalty *p, const uint8_t *keep, mskp_error *err)
{
    if ((unsigned)p->target > MSKP_TARGET_KEPT)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "penalty: target is %u; the last is %u",
                          (unsigned)p->target, (unsigned)MSKP_TARGET_KEPT);
    if (!keep && p->target != MSKP_TARGET_ALL)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "keep is NULL, and the target is not MSKP_TARGET_ALL");
    return mskpi_check_roles(err, "penalty: roles", p->roles);
}

/* Checks what the caller asked for, apart from tensors and weights. */
static mskp_status check_penalty(const penalty_job *j, mskp_error *err)
{
    char number[32];
    const mskp_penalty *p = &j->how;
    if ((unsigned)p->kind > MSKP_PENALTY_L2)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "penalty: kind is %u; the last is %u",
                          (unsigned)p->kind, (unsigned)MSKP_PENALTY_L2);
    const mskp_status status = mskpi_check_targets(p, j->keep, err);
    if (status) return status;
    const bool has_knee =
        j->kind != DEADLINE && j->kind != FADE && p->kind == MSKP_PENALTY_SMOOTH_L1;
    const bool is_knee = p->knee >= 0 && isfinite(p->knee);
    if (has_knee && !is_knee)
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "penalty: knee is %s, not 0 or more",
                          mskpi_number(p->knee, number));
    if (!isfinite(j->amount) || (j->kind != GRADIENT && j->amount < 0))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "penalty: %s is %s, not %s", j->amount_name,
                          mskpi_number(j->amount, number),
                          j->kind == GRADIENT ? "finite" : "a finite number, 0 or more");
    return MSKP_OK;
}

/* A factor may be as large as the weights of MSKP_MAX_DIMS units together. */
static mskp_status check_weights(const penalty_job *j, mskp_error *err)
{
    char number[32];
    const double *weight = j->how.unit_weight;
    for (size_t u = 0; weight && u < j->graph->u->n; u++)
        if (!isfinite(weight[u]) || (weight[u] < 0 && (j->kind == SHRINK || j->kind == FADE)))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "penalty: unit_weight[%zu] is %s, not %s",
                              u, mskpi_number(weight[u], number),
                              isfinite(weight[u]) ? "0 or more" : "finite");
        else if (!isfinite(j->amount * weight[u] * MSKP_MAX_DIMS))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                              "penalty: unit_weight[%zu], %s, times %s is more than a double holds",
                              u, mskpi_number(weight[u], number), j->amount_name);
    return MSKP_OK;
}

/* Refuses a tensor with elements of two targeted units; unit[d] are the units of axis d, if it has
 * a targeted slice. Each slice of one axis crosses each slice of another. */
static mskp_status check_apart(const penalty_job *j, uint32_t id,
                               const uint32_t *const unit[MSKP_MAX_DIMS], mskp_error *err)
{
    const graph_param *p = &j->graph->params[id];
    uint32_t axis = MSKP_MAX_DIMS, first = MSKP_PINNED, other = MSKP_PINNED; /* two of one axis */
    char room[NAME_SIZE];
    for (uint32_t d = 0; d < p->ndim; d++)
        for (size_t i = 0; unit[d] && i < j->graph->axes[p->axis + d].length; i++) {
            const uint32_t u = unit[d][i];
            if (!mskpi_is_target(j, u)) continue;
            if (first == MSKP_PINNED) axis = d, first = u;
            if (axis == d && u != first) other = u;
            const uint32_t crossed = u != first ? first : other;
            if (axis == d || crossed == MSKP_PINNED) continue;
            return mskpi_fail(err, MSKP_ERROR_UNSUPPORTED,
                              "%s: units %u (axis %u) and %u (axis %u) share elements, so there is "
                              "no proximal map of each; choose fewer roles",
                              mskpi_short(mskpi_param_name(j->graph, id), room), crossed, axis, u,
                              d);
        }
    return MSKP_OK;
}

/* Checks the tensors that the call will read and write, and finds out how many pieces they have. */
static mskp_status check_targets(penalty_job *j, mskp_error *err)
{
    char room[NAME_SIZE];
    const char *second = mskpi_second_name(j);
    for (uint32_t id = 1; id <= j->graph->nparams; id++) {
        const uint32_t *unit[MSKP_MAX_DIMS];
        tensor_view view;
        if (is_missing(j, id) || !mskpi_penalty_targets(j, id, unit)) continue;
        const size_t pieces = mskpi_penalty_pieces(j->graph, id);
        if (pieces > j->pieces) j->pieces = pieces;
        if (second && j->values.view[id - 1].data &&
            j->values.view[id - 1].data == j->second.view[id - 1].data)
            return mskpi_fail(err, MSKP_ERROR_OVERLAP, "%s: values and %s are the same memory",
                              mskpi_short(mskpi_param_name(j->graph, id), room), second);
        mskp_status status = mskpi_number_view(j->graph, id, j->values_name, j->values, &view, err);
        if (!status && second)
            status = mskpi_number_view(j->graph, id, second, j->second, &view, err);
        if (!status && j->apart) status = check_apart(j, id, unit, err);
        if (status) return status;
    }
    return MSKP_OK;
}

/* Takes over the options for half precision, and works out a deadline's factor. */
static mskp_status check_low_precision(penalty_job *j, mskp_error *err)
{
    const bool deadline = j->kind == DEADLINE;
    if (j->how.low_precision) j->low = *j->how.low_precision;
    const mskp_low_precision *low = &j->low;
    if ((unsigned)low->rounding > MSKP_ROUNDING_STOCHASTIC)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "penalty: rounding is %u; the last one is %u", (unsigned)low->rounding,
                          (unsigned)MSKP_ROUNDING_STOCHASTIC);
    j->careful = !mskpi_only_reads(j->kind) &&
                 (low->rounding == MSKP_ROUNDING_STOCHASTIC || low->asked || low->lost);
    if (!deadline) return MSKP_OK;
    const double left = (double)j->steps_left;
    j->second = low->start;
    j->amount = left / (left + 1);
    if (!mskpi_second_name(j) && low->start_steps)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "penalty: start_steps is %llu, and start has no values",
                          (unsigned long long)low->start_steps);
    if (!mskpi_second_name(j)) return MSKP_OK;
    if (!low->start_steps || j->steps_left > low->start_steps)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "penalty: %llu steps are left of a deadline of %llu steps",
                          (unsigned long long)j->steps_left, (unsigned long long)low->start_steps);
    j->amount = left / (double)low->start_steps;
    return MSKP_OK;
}

mskp_status mskpi_penalty_check_how(penalty_job *j, mskp_error *err)
{
    if (!j->values_name) j->values_name = "values";
    const size_t params = j->graph->nparams;
    mskp_status status = check_penalty(j, err);
    if (!status) status = check_low_precision(j, err);
    if (!status) status = mskpi_check_set(j->values, j->values_name, params, err);
    if (!status && mskpi_second_name(j))
        status = mskpi_check_set(j->second, mskpi_second_name(j), params, err);
    if (!status && j->kind != DEADLINE) status = check_weights(j, err);
    if (!j->how.roles) j->how.roles = MSKP_ROLE_SCALE;
    /* Its reciprocal must be a number. Nothing but denormal doubles is within such a knee. */
    if (j->how.knee < DBL_MIN) j->how.knee = 0;
    return status;
}

mskp_status mskpi_penalty_check(penalty_job *j, mskp_mask keep, const mskp_penalty *given,
                                mskp_error *err)
{
    mskp_status status = mskpi_check_optional_mask(j->graph, "keep", keep, err);
    if (status) return status;
    if (given) j->how = *given;
    status = mskpi_penalty_check_how(j, err);
    if (!status) status = check_views(j, err);
    return status ? status : check_targets(j, err);
}

static mskp_status run(penalty_job *j, mskp_mask keep, const mskp_penalty *penalty, mskp_error *err)
{
    const mskp_status status = mskpi_penalty_check(j, keep, penalty, err);
    if (status) return status;
    mskpi_penalty_choose_loops(j);
    if (mskpi_penalty_divides(j))
        mskpi_parallel(&j->graph->services, j->graph->nparams * j->pieces, sweep_piece_of, j);
    else
        sweep_all(j);
    return MSKP_OK;
}

mskp_status mskp_penalty_gradient(const mskp_graph *graph, mskp_mask keep,
                                  const mskp_penalty *penalty, double strength, mskp_tensors values,
                                  mskp_tensors gradients, mskp_error *err)
{
    penalty_job j = {.graph = graph,
                     .keep = keep.unit,
                     .kind = GRADIENT,
                     .amount = strength,
                     .amount_name = "strength",
                     .values = values,
                     .second = gradients};
    return run(&j, keep, penalty, err);
}

mskp_status mskp_penalty_prox(const mskp_graph *graph, mskp_mask keep, const mskp_penalty *penalty,
                              double step, mskp_tensors values, mskp_error *err)
{
    penalty_job j = {.graph = graph,
                     .keep = keep.unit,
                     .kind = SHRINK,
                     .amount = step,
                     .amount_name = "step",
                     .values = values};
    return run(&j, keep, penalty, err);
}

mskp_status mskp_penalty_group_prox(const mskp_graph *graph, mskp_mask keep,
                                    const mskp_penalty *penalty, double step, mskp_tensors values,
                                    mskp_error *err)
{
    penalty_job j = {.graph = graph,
                     .keep = keep.unit,
                     .kind = FADE,
                     .amount = step,
                     .amount_name = "step",
                     .apart = true,
                     .values = values};
    mskp_status status = MSKPI_GIVEN(err, penalty);
    if (!status) status = MSKPI_GIVEN(err, penalty->unit_weight);
    return status ? status : run(&j, keep, penalty, err);
}

mskp_status mskp_penalty_fade(const mskp_graph *graph, mskp_mask keep, const mskp_penalty *penalty,
                              double amount, mskp_tensors set, mskp_error *err)
{
    penalty_job j = {.graph = graph,
                     .keep = keep.unit,
                     .kind = FADE,
                     .amount = amount,
                     .amount_name = "amount",
                     .values = set,
                     .values_name = "set"};
    return run(&j, keep, penalty, err);
}

mskp_status mskp_penalty_deadline(const mskp_graph *graph, mskp_mask keep,
                                  const mskp_penalty *penalty, uint64_t steps_left,
                                  mskp_tensors values, mskp_error *err)
{
    penalty_job j = {.graph = graph,
                     .keep = keep.unit,
                     .kind = DEADLINE,
                     .steps_left = steps_left,
                     .values = values};
    return run(&j, keep, penalty, err);
}

mskp_status mskp_penalty_zero(const mskp_graph *graph, mskp_mask keep, const mskp_penalty *penalty,
                              mskp_tensors values, mskp_error *err)
{
    return mskp_penalty_deadline(graph, keep, penalty, 0, values, err);
}

mskp_status mskp_penalty_value(const mskp_graph *graph, mskp_mask keep, const mskp_penalty *penalty,
                               mskp_tensors values, double *result, mskp_error *err)
{
    penalty_job j = {.graph = graph,
                     .keep = keep.unit,
                     .kind = VALUE,
                     .amount_name = "strength",
                     .values = values};
    mskp_status status = MSKPI_GIVEN(err, result);
    if (!status) status = run(&j, keep, penalty, err);
    if (!status) *result = j.sum;
    return status;
}

mskp_status mskp_penalty_gauge(const mskp_graph *graph, mskp_mask keep, const mskp_penalty *penalty,
                               mskp_tensors values, mskp_gauge *gauge, mskp_error *err)
{
    penalty_job j = {.graph = graph,
                     .keep = keep.unit,
                     .kind = MEASURE,
                     .amount_name = "amount",
                     .values = values};
    mskp_status status = MSKPI_GIVEN(err, gauge);
    if (!status) status = run(&j, keep, penalty, err);
    if (status) return status;
    if (j.gauge.elements) j.gauge.mean /= (double)j.gauge.elements;
    *gauge = j.gauge;
    return MSKP_OK;
}

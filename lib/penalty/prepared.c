/*
 * Prepared penalties: what a penalty's call finds out before it changes an element, kept for the
 * next calls.
 *
 * The object holds the layouts of all tensors (a view without its data), and a sweep for each
 * tensor with targets. So a call only compares the views that it is given with these layouts, which
 * is one comparison of memory for each tensor, and goes through the sweeps. A mask for each entry
 * of the graph's lists of units saves the look into the caller's mask, which is most of the time
 * where few elements are targeted.
 *
 * With two sets the sweeps are about both at once. Calls on one of them use the same sweeps: a run
 * of memory in both is one in each.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/element.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/methods.h"
#include "penalty/penalty.h"
#include "penalty/visit.h"
#include "units/units.h"

struct mskp_prepared {
    mskp_services services; /* those of the graph */
    const mskp_graph *graph;
    mskp_penalty how;
    uint8_t *keep; /* a copy; NULL: there is no mask */
    uint32_t sets; /* 1: there are no gradients */
    mskp_tensor *layout[2];
    penalty_sweep *sweeps;
    size_t nsweeps, pieces;
    int32_t *targets; /* [entries of the lists of units] -1: targeted */
};

static const char *const SET[] = {"values", "gradients"};

/* ---- making one ---- */

static size_t entries_of(const mskp_graph *g)
{
    const unit_list *last = g->u->nlists ? &g->u->lists[g->u->nlists - 1] : NULL;
    return last ? last->first + last->n : 0;
}

/* The sweeps of all parameters with targets, in the order of their ids. */
static void make_sweeps(mskp_prepared *p, const penalty_job *j, const mskp_tensors *set,
                        bool any_order)
{
    const mskp_graph *g = p->graph;
    for (uint32_t id = 1; id <= g->nparams; id++) {
        const uint32_t *unit[MSKP_MAX_DIMS];
        size_t shape[MSKP_MAX_DIMS];
        tensor_view view[2];
        const uint32_t ndim = mskp_param_shape(g, (mskp_param){id}, shape);
        const size_t pieces = mskpi_penalty_pieces(g, id);
        if (!mskpi_penalty_targets(j, id, unit)) continue;
        for (uint32_t k = 0; k < p->sets; k++)
            MSKPI_MUST(mskpi_view(&set[k].view[id - 1], "", ndim, shape, &view[k], NULL));
        mskpi_visit_make(&p->sweeps[p->nsweeps++], id, &view[0], p->sets > 1 ? &view[1] : NULL,
                         unit, any_order);
        if (pieces > p->pieces) p->pieces = pieces;
    }
    for (size_t i = 0; i < entries_of(g); i++)
        p->targets[i] = mskpi_is_target(j, g->u->list_units[i]) ? -1 : 0;
}

void mskp_prepared_destroy(mskp_prepared *prepared)
{
    if (!prepared) return;
    const mskp_services services = prepared->services;
    void *const arrays[] = {prepared->keep, prepared->layout[0], prepared->layout[1],
                            prepared->sweeps, prepared->targets};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) mskpi_free(&services, arrays[i]);
    mskpi_free(&services, prepared);
}

static mskp_prepared *allocate(const mskp_graph *g, const uint8_t *keep, uint32_t sets)
{
    const mskp_services *services = &g->services;
    mskp_prepared *p = mskpi_alloc(services, 1, sizeof *p);
    if (!p) return NULL;
    *p = (mskp_prepared){.services = *services, .graph = g, .sets = sets};
    bool good = true;
    if (keep) good = (p->keep = mskpi_alloc(services, g->u->n, 1)) != NULL;
    for (uint32_t k = 0; k < sets; k++) {
        p->layout[k] = mskpi_alloc(services, g->nparams, sizeof **p->layout);
        good = good && p->layout[k];
    }
    p->sweeps = mskpi_alloc(services, g->nparams, sizeof *p->sweeps);
    p->targets = mskpi_alloc(services, entries_of(g), sizeof *p->targets);
    if (good && p->sweeps && p->targets) return p;
    mskp_prepared_destroy(p);
    return NULL;
}

mskp_status mskp_prepared_create(const mskp_graph *graph, mskp_mask keep,
                                 const mskp_penalty *penalty, mskp_tensors values,
                                 mskp_tensors gradients, mskp_prepared **prepared, mskp_error *err)
{
    const bool adds = gradients.view || gradients.n;
    const mskp_tensors set[] = {values, gradients};
    penalty_job j = {.graph = graph,
                     .keep = keep.unit,
                     .kind = adds ? GRADIENT : MEASURE,
                     .amount_name = adds ? "strength" : "amount",
                     .values = values,
                     .second = gradients};
    mskp_status status = MSKPI_GIVEN(err, prepared);
    if (!status) status = mskpi_penalty_check(&j, keep, penalty, err);
    if (status) return status;
    mskp_prepared *p = allocate(graph, keep.unit, adds ? 2 : 1);
    if (!p)
        return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while preparing a penalty on %zu units",
                          mskp_status_text(MSKP_ERROR_NO_MEMORY), graph->u->n);
    p->how = j.how;
    if (keep.unit) memcpy(p->keep, keep.unit, graph->u->n);
    for (uint32_t k = 0; k < p->sets; k++)
        if (graph->nparams) memcpy(p->layout[k], set[k].view, graph->nparams * sizeof *set[k].view);
    /* What low_precision points to may ask for random numbers later, which are those of logical
     * indices. */
    make_sweeps(p, &j, set, !j.how.low_precision);
    *prepared = p;
    return MSKP_OK;
}

/* ---- calls ---- */

/* Names the first field that differs from what was prepared. */
static mskp_status refuse_view(const mskp_prepared *p, uint32_t id, uint32_t k,
                               const mskp_tensor *t, mskp_error *err)
{
    char room[NAME_SIZE], axis[32] = "";
    const mskp_tensor *was = &p->layout[k][id - 1];
    const char *name = mskpi_short(mskpi_param_name(p->graph, id), room), *what = "view";
    long long now = 0, then = 0;
    if (!t->data != !was->data)
        return mskpi_fail(err, MSKP_ERROR_BAD_STATE,
                          "%s (%s): there %s data; the penalty was prepared %s them", name, SET[k],
                          t->data ? "are" : "are no", was->data ? "with" : "without");
    if (t->ndim != was->ndim)
        what = "ndim", now = t->ndim, then = was->ndim;
    else if (t->dtype != was->dtype)
        what = "dtype", now = t->dtype, then = was->dtype;
    else if (t->elements != was->elements)
        what = "number of elements", now = (long long)t->elements, then = (long long)was->elements;
    else
        for (uint32_t d = 0; d < MSKP_MAX_DIMS && !axis[0]; d++) {
            if (t->shape[d] == was->shape[d] && t->stride[d] == was->stride[d]) continue;
            const bool length = t->shape[d] != was->shape[d];
            what = length ? "length" : "stride";
            now = length ? (long long)t->shape[d] : t->stride[d];
            then = length ? (long long)was->shape[d] : was->stride[d];
            snprintf(axis, sizeof axis, " of axis %u", d);
        }
    return mskpi_fail(err, MSKP_ERROR_BAD_STATE,
                      "%s (%s): the %s%s is %lld; the penalty was prepared for %lld", name, SET[k],
                      what, axis, now, then);
}

/* All fields but the first, data, are compared as one piece of memory: there is none between them.
 */
enum { AFTER_DATA = offsetof(mskp_tensor, dtype) };
_Static_assert(sizeof(mskp_tensor) - AFTER_DATA == sizeof(mskp_dtype) + sizeof(uint32_t) +
                                                       MSKP_MAX_DIMS * 2 * sizeof(size_t) +
                                                       sizeof(size_t),
               "the fields of mskp_tensor leave no gaps");

/* Whether the views of a set are those that were prepared. */
static mskp_status check_layouts(const mskp_prepared *p, uint32_t k, mskp_tensors set,
                                 mskp_error *err)
{
    for (size_t i = 0; i < set.n; i++) {
        const mskp_tensor *t = &set.view[i], *was = &p->layout[k][i];
        if (memcmp(&t->dtype, &was->dtype, sizeof *t - AFTER_DATA) != 0 || !t->data != !was->data)
            return refuse_view(p, (uint32_t)i + 1, k, t, err);
    }
    return MSKP_OK;
}

/* A call in progress. `set` is the number of the set that the job calls values. */
typedef struct prepared_call {
    penalty_job job;
    const mskp_prepared *prepared;
    uint32_t set;
} prepared_call;

static char *data_of(mskp_tensors set, uint32_t id)
{
    return set.view[id - 1].data;
}

static void sweep_one(prepared_call *c, const penalty_sweep *s, size_t piece, size_t pieces,
                      stripe_room *room)
{
    penalty_job *j = &c->job;
    char *value = data_of(j->values, s->id);
    char *second = mskpi_second_name(j) ? data_of(j->second, s->id) : NULL;
    if (!value || (mskpi_second_name(j) && !second)) return; /* skip_missing */
    mskpi_visit(s,
                &(sweep_piece){.job = j,
                               .targets = c->prepared->targets,
                               .set = c->set,
                               .value = value,
                               .second = second,
                               .piece = piece,
                               .pieces = pieces},
                room);
}

static void sweep_piece_of(void *context, size_t i)
{
    stripe_room room;
    prepared_call *c = context;
    const mskp_prepared *p = c->prepared;
    const penalty_sweep *s = &p->sweeps[i % p->nsweeps];
    const size_t piece = i / p->nsweeps, pieces = mskpi_penalty_pieces(p->graph, s->id);
    room.same = 0;
    if (piece < pieces) sweep_one(c, s, piece, pieces, &room);
}

/* What the layouts do not say of the data of targeted tensors. */
static mskp_status check_data(const prepared_call *c, mskp_error *err)
{
    char room[NAME_SIZE];
    const mskp_prepared *p = c->prepared;
    const char *second = mskpi_second_name(&c->job);
    for (size_t i = 0; i < p->nsweeps; i++) {
        const penalty_sweep *s = &p->sweeps[i];
        const char *name = mskpi_param_name(p->graph, s->id);
        const char *data[] = {data_of(c->job.values, s->id),
                              second ? data_of(c->job.second, s->id) : NULL};
        for (uint32_t k = 0; k < 2; k++) {
            const size_t element = s->element[k ? 1 : c->set];
            if (data[k] && (uintptr_t)data[k] % element)
                return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                                  "%s (%s): data is not aligned to its elements of %zu bytes",
                                  mskpi_short(name, room), SET[k ? 1 : c->set], element);
        }
        if (second && data[0] && data[0] == data[1])
            return mskpi_fail(err, MSKP_ERROR_OVERLAP, "%s: values and %s are the same memory",
                              mskpi_short(name, room), second);
    }
    return MSKP_OK;
}

static mskp_status run(prepared_call *c, mskp_error *err)
{
    stripe_room room;
    penalty_job *j = &c->job;
    const mskp_prepared *p = c->prepared;
    mskp_status status = mskpi_penalty_check_how(j, err);
    if (!status) status = check_layouts(p, c->set, j->values, err);
    if (!status && mskpi_second_name(j)) status = check_layouts(p, 1, j->second, err);
    if (!status) status = check_data(c, err);
    if (status) return status;
    mskpi_penalty_choose_loops(j);
    room.same = 0;
    if (mskpi_penalty_divides(j))
        mskpi_parallel(&p->services, p->nsweeps * p->pieces, sweep_piece_of, c);
    else
        for (size_t i = 0; i < p->nsweeps; i++) sweep_one(c, &p->sweeps[i], 0, 1, &room);
    return MSKP_OK;
}

static penalty_job job_of(const mskp_prepared *p, job_kind kind, double amount, const char *name)
{
    return (penalty_job){.graph = p->graph,
                         .keep = p->keep,
                         .how = p->how,
                         .kind = kind,
                         .amount = amount,
                         .amount_name = name};
}

mskp_status mskp_prepared_gradient(const mskp_prepared *prepared, double strength,
                                   mskp_tensors values, mskp_tensors gradients, mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, prepared);
    if (status) return status;
    if (prepared->sets < 2)
        return mskpi_fail(err, MSKP_ERROR_BAD_STATE, "the penalty was prepared without gradients");
    prepared_call c = {.job = job_of(prepared, GRADIENT, strength, "strength"),
                       .prepared = prepared};
    c.job.values = values;
    c.job.second = gradients;
    return run(&c, err);
}

mskp_status mskp_prepared_prox(const mskp_prepared *prepared, double step, mskp_tensors values,
                               mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, prepared);
    if (status) return status;
    prepared_call c = {.job = job_of(prepared, SHRINK, step, "step"), .prepared = prepared};
    c.job.values = values;
    return run(&c, err);
}

mskp_status mskp_prepared_deadline(const mskp_prepared *prepared, uint64_t steps_left,
                                   mskp_tensors values, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, prepared);
    if (status) return status;
    const mskp_penalty *how = &prepared->how;
    prepared_call c = {.job = job_of(prepared, DEADLINE, 0, NULL), .prepared = prepared};
    c.job.values = values;
    c.job.steps_left = steps_left;
    if (!how->low_precision || (!how->low_precision->start.view && !how->low_precision->start.n))
        return run(&c, err);
    /* Start values may lie in memory as they like, so there is no sweep for them. */
    status = mskpi_check_set(values, SET[0], prepared->graph->nparams, err);
    if (!status) status = check_layouts(prepared, 0, values, err);
    const mskp_mask keep = {prepared->keep ? prepared->graph->u->n : 0, prepared->keep};
    return status ? status
                  : mskp_penalty_deadline(prepared->graph, keep, how, steps_left, values, err);
}

mskp_status mskp_prepared_fade(const mskp_prepared *prepared, double amount, mskp_tensors set,
                               mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, prepared);
    if (status) return status;
    prepared_call c = {.job = job_of(prepared, FADE, amount, "amount"),
                       .prepared = prepared,
                       .set = prepared->sets - 1};
    c.job.values = set;
    c.job.values_name = "set";
    return run(&c, err);
}

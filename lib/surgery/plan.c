/*
 * The plan of surgery: which indices stay, and the views that tensors become.
 *
 * Every axis of a parameter and every value has one of the graph's distinct lists of units. So the
 * plan stores, for each distinct list, the ascending indices whose units stay, and an axis or a
 * value refers to its list. A list of which everything stays is not stored. What vanishes
 * (mask/vanish.c) refers to one more list, of which nothing stays. The plan copies what it
 * needs from the graph (shapes and names), so it outlives the graph, and it is immutable
 * except for awaits_constants, so any number of threads can use it.
 *
 * mskpi_cut_view chooses the view of a tensor after a cut in place. A dense tensor stays dense in
 * its own order of axes; a tensor with gaps keeps its strides, because other data may lie in the
 * gaps. Both keep the lowest address and the signs of the strides. Hence no element moves to a
 * higher address, which is what cut.c relies on.
 */
#include "surgery/plan.h"
#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mask/vanish.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "surgery/smaller.h"
#include "units/cost.h"
#include "units/units.h"

/* ---- the plan ---- */

static mskp_status no_memory(mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while planning",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY));
}

static mskp_status fill_lists(const mskp_graph *g, const uint8_t *keep, const size_t *length,
                              mskp_plan *plan, mskp_error *err)
{
    const unit_table *u = g->u;
    size_t stored = 0;
    plan->lists = mskpi_alloc(&plan->services, u->nlists + 1, sizeof *plan->lists);
    if (!plan->lists) return no_memory(err);
    for (size_t l = 0; l < u->nlists; l++) {
        plan->lists[l] = (kept_list){stored, length[l], u->lists[l].n};
        if (length[l] < u->lists[l].n) stored += length[l];
    }
    plan->lists[u->nlists] = (kept_list){0, 0, 1}; /* of what vanishes */
    plan->kept = mskpi_alloc(&plan->services, stored, sizeof *plan->kept);
    if (!plan->kept) return no_memory(err);
    for (size_t l = 0; l < u->nlists; l++) {
        const uint32_t *unit = u->list_units + u->lists[l].first;
        size_t at = plan->lists[l].first;
        if (length[l] == u->lists[l].n) continue;
        for (uint32_t i = 0; i < u->lists[l].n; i++)
            if (unit[i] == MSKP_PINNED || keep[unit[i]]) plan->kept[at++] = i;
        MSKPI_ASSERT(at == plan->lists[l].first + plan->lists[l].n);
    }
    return MSKP_OK;
}

/* Lets everything that vanishes refer to the list of which nothing stays. */
static void mark_vanished(const vanishing *v, uint32_t no_channels, mskp_plan *plan)
{
    for (uint32_t i = 1; i <= plan->nvalues; i++) {
        plan->fate[i] = (uint8_t)mskpi_fate(v, i);
        if (plan->fate[i] == MSKP_FATE_VANISHES) plan->values[i].list = no_channels;
    }
    for (uint32_t p = 1; p <= plan->nparams; p++)
        for (uint32_t d = 0; mskpi_param_vanishes(v, p) && d < plan->params[p].ndim; d++)
            plan->axes[plan->params[p].axis + d].list = no_channels;
}

/* Fills a plan whose services are set. */
static mskp_status fill_plan(const mskp_graph *graph, const uint8_t *keep, const size_t *length,
                             const vanishing *v, mskp_plan *plan, mskp_error *err)
{
    const mskp_services *services = &graph->services;
    plan->nparams = graph->nparams;
    plan->nvalues = graph->nvalues;
    plan->units = graph->u->n;
    plan->keep = mskpi_alloc(services, graph->u->n, sizeof *plan->keep);
    plan->params =
        mskpi_copy_of(services, graph->params, graph->nparams + 1, sizeof *graph->params);
    plan->axes = mskpi_copy_of(services, graph->axes, graph->naxes, sizeof *graph->axes);
    plan->values =
        mskpi_copy_of(services, graph->values, graph->nvalues + 1, sizeof *graph->values);
    plan->fate = mskpi_alloc(services, graph->nvalues + 1, sizeof *plan->fate);
    plan->text = mskpi_copy_of(services, graph->text, graph->text_used, 1);
    if (!plan->keep || !plan->params || !plan->axes || !plan->values || !plan->fate || !plan->text)
        return no_memory(err);
    mark_vanished(v, (uint32_t)graph->u->nlists, plan);
    for (size_t u = 0; u < plan->units; u++) plan->keep[u] = keep[u] != 0;
    return fill_lists(graph, keep, length, plan, err);
}

mskp_status mskp_plan_create(const mskp_graph *graph, mskp_mask keep, mskp_plan **out,
                             mskp_graph **small, mskp_error *err)
{
    mskp_status status = mskpi_check_mask(graph, "keep", keep, err);
    mskp_graph *made = NULL;
    if (status) return status;
    if (!out) return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "plan is NULL");
    const mskp_services *services = &graph->services;
    mskp_plan *plan = mskpi_alloc(services, 1, sizeof *plan);
    size_t *length = mskpi_alloc(services, graph->u->nlists, sizeof *length);
    vanishing v = {0};
    if (plan) plan->services = *services;
    status = plan && length ? mskpi_vanish_make(&v, graph, err) : no_memory(err);
    if (!status) {
        mskpi_list_lengths(graph, keep.unit, length);
        status = mskpi_vanish(&v, length, err);
    }
    if (!status) status = fill_plan(graph, keep.unit, length, &v, plan, err);
    if (!status && small) status = mskpi_smaller_graph(graph, keep.unit, &v, &made, err);
    mskpi_vanish_free(&v);
    mskpi_free(services, length);
    if (status) {
        mskp_plan_destroy(plan);
        return status;
    }
    *out = plan;
    if (small) *small = made;
    return MSKP_OK;
}

void mskp_plan_destroy(mskp_plan *plan)
{
    if (!plan) return;
    const mskp_services services = plan->services;
    mskpi_free(&services, plan->params);
    mskpi_free(&services, plan->axes);
    mskpi_free(&services, plan->values);
    mskpi_free(&services, plan->fate);
    mskpi_free(&services, plan->lists);
    mskpi_free(&services, plan->kept);
    mskpi_free(&services, plan->keep);
    mskpi_free(&services, plan->text);
    mskpi_free(&services, plan);
}

/* ---- what stays ---- */

static const uint32_t *kept_of(const mskp_plan *plan, uint32_t list, size_t *count)
{
    const kept_list *k = &plan->lists[list];
    *count = k->n;
    return k->n && k->n == k->full ? NULL : plan->kept + k->first;
}

size_t mskpi_plan_axis(const mskp_plan *plan, uint32_t param, uint32_t d, const uint32_t **kept)
{
    const graph_axis *a = &plan->axes[plan->params[param].axis + d];
    size_t count = a->length;
    *kept = a->list == NO_LIST ? NULL : kept_of(plan, a->list, &count);
    return count;
}

const uint32_t *mskp_plan_param_kept(const mskp_plan *plan, mskp_param param, uint32_t d,
                                     size_t *count)
{
    const uint32_t *kept;
    size_t unused;
    if (!count) count = &unused;
    *count = 0;
    if (!plan || !param.id || param.id > plan->nparams || d >= plan->params[param.id].ndim)
        return NULL;
    *count = mskpi_plan_axis(plan, param.id, d, &kept);
    return kept;
}

const uint32_t *mskp_plan_value_kept(const mskp_plan *plan, mskp_value value, size_t *count)
{
    size_t unused;
    if (!count) count = &unused;
    *count = 0;
    if (!plan || !value.id || value.id > plan->nvalues) return NULL;
    return kept_of(plan, plan->values[value.id].list, count);
}

mskp_fate mskp_plan_fate(const mskp_plan *plan, mskp_value value)
{
    if (!plan || !value.id || value.id > plan->nvalues) return MSKP_FATE_STAYS;
    return (mskp_fate)plan->fate[value.id];
}

size_t mskp_plan_channels_kept(const mskp_plan *plan, mskp_value value, size_t first, size_t count)
{
    size_t n, inside = 0;
    const uint32_t *kept = mskp_plan_value_kept(plan, value, &n);
    if (!kept) return first >= n ? 0 : count < n - first ? count : n - first;
    for (size_t i = 0; i < n; i++) inside += kept[i] >= first && kept[i] - first < count;
    return inside;
}

/* map[i] <- the new index of index i < n, of which `count` stay. kept NULL: all of them. */
static void map_kept(const uint32_t *kept, size_t count, size_t n, uint32_t *map)
{
    for (size_t i = 0; i < n; i++) map[i] = kept ? MSKP_REMOVED : (uint32_t)i;
    for (size_t i = 0; kept && i < count; i++) {
        MSKPI_ASSERT(kept[i] < n && (i == 0 || kept[i - 1] < kept[i]));
        map[kept[i]] = (uint32_t)i;
    }
}

mskp_status mskp_plan_param_map(const mskp_plan *plan, mskp_param param, uint32_t d, size_t n,
                                uint32_t *map, mskp_error *err)
{
    const uint32_t *kept;
    char room[NAME_SIZE];
    const mskp_status status = MSKPI_GIVEN(err, plan, map);
    if (status) return status;
    if (!param.id || param.id > plan->nparams || d >= plan->params[param.id].ndim)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "the plan has no axis %u of parameter %u",
                          d, param.id);
    const graph_param *info = &plan->params[param.id];
    const size_t length = plan->axes[info->axis + d].length;
    if (n != length)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE, "%s: axis %u has length %zu, the map %zu",
                          mskpi_short(plan->text + info->name, room), d, length, n);
    const size_t count = mskpi_plan_axis(plan, param.id, d, &kept);
    map_kept(kept, count, n, map);
    return MSKP_OK;
}

mskp_status mskp_plan_value_map(const mskp_plan *plan, mskp_value value, size_t n, uint32_t *map,
                                mskp_error *err)
{
    size_t count;
    char room[NAME_SIZE];
    const mskp_status status = MSKPI_GIVEN(err, plan, map);
    if (status) return status;
    if (!value.id || value.id > plan->nvalues)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "the plan has no value %u", value.id);
    const graph_value *info = &plan->values[value.id];
    if (n != info->view.n)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE, "%s has %zu channels, the map %zu",
                          mskpi_short(plan->text + info->name, room), info->view.n, n);
    const uint32_t *kept = kept_of(plan, info->list, &count);
    map_kept(kept, count, n, map);
    return MSKP_OK;
}

/* ---- views after the cut ---- */

void mskpi_cut_view(const tensor_view *full, const size_t *length, tensor_view *small)
{
    size_t packed = 1, span = 1;
    *small = *full;
    for (uint32_t d = 0; d < full->ndim; d++) {
        MSKPI_ASSERT(length[d] <= full->shape[d]);
        small->shape[d] = length[d];
        span *= full->shape[d];
    }
    if (full->extent == span * full->element)     /* dense */
        for (uint32_t k = full->ndim; k-- > 0;) { /* smallest stride first */
            const uint32_t d = full->order[k];
            small->stride[d] = full->stride[d] < 0 ? -(ptrdiff_t)packed : (ptrdiff_t)packed;
            packed *= length[d];
        }
    small->data = small->low;
    size_t last = 0; /* elements from the lowest address to the highest element */
    for (uint32_t d = 0; d < full->ndim; d++) {
        const size_t step =
            small->stride[d] < 0 ? (size_t)-small->stride[d] : (size_t)small->stride[d];
        if (length[d] < 2) continue; /* if one axis has vanished, all have */
        last += step * (length[d] - 1);
        if (small->stride[d] < 0 && small->low)
            small->data += step * (length[d] - 1) * full->element;
    }
    small->extent = mskpi_elements(small) ? (last + 1) * full->element : 0;
    MSKPI_ASSERT(small->low == full->low && small->extent <= full->extent);
}

mskp_status mskpi_plan_view(const mskp_plan *plan, uint32_t p, const mskp_tensor *full,
                            tensor_view *small, mskp_error *err)
{
    const graph_param *info = &plan->params[p];
    size_t shape[MSKP_MAX_DIMS], length[MSKP_MAX_DIMS];
    const uint32_t *kept;
    tensor_view view;
    for (uint32_t d = 0; d < info->ndim; d++) {
        shape[d] = plan->axes[info->axis + d].length;
        length[d] = mskpi_plan_axis(plan, p, d, &kept);
    }
    const mskp_status status =
        mskpi_view(full, plan->text + info->name, info->ndim, shape, &view, err);
    if (!status) mskpi_cut_view(&view, length, small);
    return status;
}

mskp_status mskp_plan_views(const mskp_plan *plan, mskp_tensors full, mskp_tensors small,
                            mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, plan);
    if (!status) status = mskpi_check_set(full, "full", plan->nparams, err);
    if (!status) status = mskpi_check_set(small, "small", plan->nparams, err);
    if (status) return status;
    tensor_view cut;
    for (uint32_t p = 1; p <= plan->nparams; p++)
        if ((status = mskpi_plan_view(plan, p, &full.view[p - 1], &cut, err)) != MSKP_OK)
            return status;
    for (uint32_t p = 1; p <= plan->nparams; p++) {
        mskp_tensor t = {.elements = full.view[p - 1].elements};
        MSKPI_MUST(mskpi_plan_view(plan, p, &full.view[p - 1], &cut, NULL));
        mskpi_describe_view(&cut, &t);
        small.view[p - 1] = t; /* which may be full.view[p - 1] */
    }
    return MSKP_OK;
}

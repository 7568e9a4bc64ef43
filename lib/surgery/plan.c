/*
 * Surgery, worked out: for each distinct list the ascending indices that stay, what follows for
 * parameters and values, and the views that tensors become.
 *
 * A tensor that is dense stays dense in its own order of axes, and one with gaps keeps its strides.
 * The lowest address is kept. So every element moves to an address at or below its own, in the same
 * order, and a cut in place overwrites nothing that is still to be read.
 */
#include "surgery/plan.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mask/measure.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "surgery/smaller.h"
#include "units/units.h"

/* ---- the plan ---- */

/* Every list keeps a channel. An axis has the list of a value, or that of the first of a value's groups,
 * which are tied: so that a list without channels is a value's. */
static mskp_status check_lists(const mskp_graph *g, const size_t *length, mskp_error *err)
{
    char room[NAME_SIZE];
    for (size_t l = 0; l < g->u->nlists; l++) {
        const unit_list *list = &g->u->lists[l];
        if (length[l]) continue;
        return mskpi_fail(err, MSKP_ERROR_NO_SOLUTION, "%s: the mask keeps 0 of %zu channels",
                          mskpi_short(mskpi_value_name(g, list->value), room), list->n);
    }
    return MSKP_OK;
}

static int fill_lists(const mskp_graph *g, const uint8_t *keep, const size_t *length,
                      mskp_plan *plan)
{
    const unit_table *u = g->u;
    size_t stored = 0;
    plan->lists = mskpi_alloc(&plan->host, u->nlists, sizeof *plan->lists);
    if (!plan->lists) return 1;
    for (size_t l = 0; l < u->nlists; l++) {
        plan->lists[l] = (kept_list){stored, length[l], u->lists[l].n};
        if (length[l] < u->lists[l].n) stored += length[l];
    }
    plan->kept = mskpi_alloc(&plan->host, stored, sizeof *plan->kept);
    if (!plan->kept) return 1;
    for (size_t l = 0; l < u->nlists; l++) {
        const uint32_t *unit = u->list_units + u->lists[l].first;
        size_t at = plan->lists[l].first;
        if (length[l] == u->lists[l].n) continue;
        for (uint32_t i = 0; i < u->lists[l].n; i++)
            if (unit[i] == MSKP_PINNED || keep[unit[i]]) plan->kept[at++] = i;
    }
    return 0;
}

mskp_status mskp_plan_create(const mskp_graph *graph, mskp_mask keep, mskp_plan **out,
                             mskp_graph **small, mskp_error *err)
{
    mskp_status status = mskpi_check_mask(graph, "keep", keep, err);
    mskp_plan *plan;
    mskp_graph *made = NULL;
    size_t *length;
    if (status) return status;
    if (!out) return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "plan is NULL");
    const mskp_services *host = &graph->services;
    plan = mskpi_alloc(host, 1, sizeof *plan);
    length = mskpi_alloc(host, graph->u->nlists, sizeof *length);
    if (!plan || !length) goto no_memory;
    mskpi_list_lengths(graph, keep.unit, length);
    if ((status = check_lists(graph, length, err)) != MSKP_OK) goto out;
    plan->host = *host;
    plan->nparams = graph->nparams;
    plan->nvalues = graph->nvalues;
    plan->units = graph->u->n;
    plan->keep = mskpi_alloc(host, graph->u->n, sizeof *plan->keep);
    plan->params = mskpi_copy_of(host, graph->params, graph->nparams + 1, sizeof *graph->params);
    plan->axes = mskpi_copy_of(host, graph->axes, graph->naxes, sizeof *graph->axes);
    plan->values = mskpi_copy_of(host, graph->values, graph->nvalues + 1, sizeof *graph->values);
    plan->text = mskpi_copy_of(host, graph->text, graph->text_used, 1);
    if (!plan->keep || !plan->params || !plan->axes || !plan->values || !plan->text ||
        fill_lists(graph, keep.unit, length, plan))
        goto no_memory;
    if (small && !(made = mskpi_smaller(graph, keep.unit, err))) {
        status = MSKP_ERROR_NO_MEMORY;
        goto out;
    }
    for (size_t u = 0; u < plan->units; u++) plan->keep[u] = keep.unit[u] != 0;
    mskpi_free(host, length);
    *out = plan;
    if (small) *small = made;
    return MSKP_OK;
no_memory:
    status = mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while planning",
                        mskp_status_text(MSKP_ERROR_NO_MEMORY));
out:
    mskpi_free(host, length);
    if (plan) plan->host = *host;
    mskp_plan_destroy(plan);
    return status;
}

void mskp_plan_destroy(mskp_plan *plan)
{
    if (!plan) return;
    const mskp_services host = plan->host;
    mskpi_free(&host, plan->params);
    mskpi_free(&host, plan->axes);
    mskpi_free(&host, plan->values);
    mskpi_free(&host, plan->lists);
    mskpi_free(&host, plan->kept);
    mskpi_free(&host, plan->keep);
    mskpi_free(&host, plan->text);
    mskpi_free(&host, plan);
}

/* ---- what stays ---- */

static const uint32_t *kept_of(const mskp_plan *plan, uint32_t list, size_t *count)
{
    const kept_list *k = &plan->lists[list];
    *count = k->n;
    return k->n == k->full ? NULL : plan->kept + k->first;
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

size_t mskp_plan_channels_kept(const mskp_plan *plan, mskp_value value, size_t first, size_t count)
{
    size_t n, in = 0;
    const uint32_t *kept = mskp_plan_value_kept(plan, value, &n);
    if (!kept) return first >= n ? 0 : count < n - first ? count : n - first;
    for (size_t i = 0; i < n; i++) in += kept[i] >= first && kept[i] - first < count;
    return in;
}

/* map[i] <- where index i goes. kept NULL: all stay. */
static void map_kept(const uint32_t *kept, size_t count, size_t n, uint32_t *map)
{
    for (size_t i = 0; i < n; i++) map[i] = kept ? MSKP_REMOVED : (uint32_t)i;
    for (size_t i = 0; kept && i < count; i++) map[kept[i]] = (uint32_t)i;
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

/*
 * What was dense stays dense in its own order of axes; what has gaps keeps its strides. So every
 * new address lies at or below the old one, in the same order: moving elements by ascending address
 * never overtakes one that is still to be read.
 */
void mskpi_cut_view(const tensor_view *full, const size_t *length, tensor_view *small)
{
    size_t packed = 1, span = 1;
    *small = *full;
    for (uint32_t d = 0; d < full->ndim; d++) {
        small->shape[d] = length[d];
        span *= full->shape[d];
    }
    if (full->extent == span * full->element)
        for (uint32_t k = full->ndim; k-- > 0;) { /* smallest stride first */
            const uint32_t d = full->order[k];
            small->stride[d] = full->stride[d] < 0 ? -(ptrdiff_t)packed : (ptrdiff_t)packed;
            packed *= length[d];
        }
    small->data = small->low;
    size_t reach = 0;
    for (uint32_t d = 0; d < full->ndim; d++) {
        const size_t step =
            small->stride[d] < 0 ? (size_t)-small->stride[d] : (size_t)small->stride[d];
        if (length[d] < 2) continue;
        reach += step * (length[d] - 1);
        if (small->stride[d] < 0 && small->low)
            small->data += step * (length[d] - 1) * full->element;
    }
    small->extent = (reach + 1) * full->element;
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
    for (int write = 0; write < 2; write++) /* check all, then write all */
        for (uint32_t p = 1; p <= plan->nparams; p++) {
            tensor_view cut;
            if ((status = mskpi_plan_view(plan, p, &full.view[p - 1], &cut, err)) != MSKP_OK)
                return status;
            if (!write) continue;
            mskp_tensor t = {.elements = full.view[p - 1].elements};
            mskpi_describe_view(&cut, &t);
            small.view[p - 1] = t;
        }
    return MSKP_OK;
}

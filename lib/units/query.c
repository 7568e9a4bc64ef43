/*
 * What a caller may ask a finished graph: counts, the units of values and parameters, the members
 * of units, families, and which units can be removed exactly. The checks of arrays that have one
 * entry per unit are here, too.
 *
 * The answers are pointers into the arrays that mskp_graph_finish made, so nothing is copied
 * and no call can run out of memory. A graph that is not finished has no units, and a question
 * about it is answered with NULL or 0.
 */
#include <string.h>

#include "base/assert.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/constants.h"
#include "mskp/tools.h"
#include "units/units.h"

static bool is_finished(const mskp_graph *graph)
{
    MSKPI_ASSERT(!graph || !graph->finished || graph->u);
    return graph && graph->finished;
}

/* ---- Checks ---- */

mskp_status mskpi_check_units(const mskp_graph *graph, const char *array, size_t n, mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, graph);
    if (status) return status;
    if (!graph->finished) return mskpi_fail(err, MSKP_ERROR_BAD_STATE, "the graph is not finished");
    if (n != graph->u->n)
        return mskpi_fail(err, MSKP_ERROR_OTHER_NETWORK, "%s has %zu units, the graph has %zu",
                          array, n, graph->u->n);
    return MSKP_OK;
}

static mskp_status check_array(const mskp_graph *graph, const char *name, const void *array,
                               size_t n, mskp_error *err)
{
    if (is_finished(graph) && !array)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s is NULL", name);
    return mskpi_check_units(graph, name, n, err);
}

mskp_status mskpi_check_mask(const mskp_graph *graph, const char *name, mskp_mask mask,
                             mskp_error *err)
{
    return check_array(graph, name, mask.unit, mask.n, err);
}

mskp_status mskpi_check_scores(const mskp_graph *graph, const char *name, mskp_scores scores,
                               mskp_error *err)
{
    return check_array(graph, name, scores.unit, scores.n, err);
}

mskp_status mskpi_check_optional_mask(const mskp_graph *graph, const char *name, mskp_mask mask,
                                      mskp_error *err)
{
    if (is_finished(graph) && !mask.unit && !mask.n) return MSKP_OK;
    if (is_finished(graph) && !mask.unit)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s is NULL, and has %zu units", name,
                          mask.n);
    return mskpi_check_units(graph, name, mask.n, err);
}

/* ---- Answers ---- */

const char *mskpi_family_name(const mskp_graph *graph, size_t family)
{
    const unit_table *u = graph->u;
    uint32_t first = UINT32_MAX;
    MSKPI_ASSERT(family < u->nfamilies);
    for (size_t i = u->incidence_first[family]; i < u->incidence_first[family + 1]; i++) {
        const uint32_t value = u->lists[u->incidences[i].list].value;
        if (value && value < first) first = value;
    }
    MSKPI_ASSERT(first <= graph->nvalues || first == UINT32_MAX);
    return first <= graph->nvalues ? mskpi_value_name(graph, first) : "-";
}

mskp_counts mskp_graph_counts(const mskp_graph *graph)
{
    mskp_counts counts = {0};
    if (is_finished(graph))
        counts = (mskp_counts){graph->u->n, graph->u->nfamilies, graph->nparams, graph->nvalues};
    return counts;
}

static const uint32_t *list_units(const mskp_graph *graph, uint32_t list, size_t *count)
{
    MSKPI_ASSERT(list < graph->u->nlists);
    if (count) *count = graph->u->lists[list].n;
    return graph->u->list_units + graph->u->lists[list].first;
}

const uint32_t *mskp_param_units(const mskp_graph *graph, mskp_param handle, uint32_t d,
                                 uint32_t *roles, size_t *count)
{
    if (count) *count = 0;
    if (roles) *roles = 0;
    if (!is_finished(graph) || !handle.id || handle.id > graph->nparams ||
        d >= graph->params[handle.id].ndim)
        return NULL;
    const graph_axis *a = &graph->axes[graph->params[handle.id].axis + d];
    if (a->list == NO_LIST) return NULL;
    if (roles) *roles = a->roles;
    return list_units(graph, a->list, count);
}

uint32_t mskp_param_roles(const mskp_graph *graph, mskp_param handle)
{
    uint32_t roles = 0;
    if (!is_finished(graph) || !handle.id || handle.id > graph->nparams) return 0;
    const graph_param *p = &graph->params[handle.id];
    for (uint32_t d = 0; d < p->ndim; d++) roles |= graph->axes[p->axis + d].roles;
    return roles;
}

const uint32_t *mskp_value_units(const mskp_graph *graph, mskp_value handle, size_t *count)
{
    if (count) *count = 0;
    if (!is_finished(graph) || !handle.id || handle.id > graph->nvalues) return NULL;
    return list_units(graph, graph->values[handle.id].list, count);
}

const mskp_member *mskp_unit_members(const mskp_graph *graph, size_t unit, size_t *count)
{
    if (count) *count = 0;
    if (!is_finished(graph) || unit >= graph->u->n) return NULL;
    const size_t first = graph->u->member_first[unit];
    if (count) *count = graph->u->member_first[unit + 1] - first;
    return graph->u->members + first;
}

const uint32_t *mskp_unit_families(const mskp_graph *graph, size_t *count)
{
    if (count) *count = is_finished(graph) ? graph->u->n : 0;
    return is_finished(graph) ? graph->u->family : NULL;
}

const uint32_t *mskp_family_units(const mskp_graph *graph, size_t family, size_t *count)
{
    if (count) *count = 0;
    if (!is_finished(graph) || family >= graph->u->nfamilies) return NULL;
    const size_t first = graph->u->family_first[family];
    if (count) *count = graph->u->family_first[family + 1] - first;
    return graph->u->family_units + first;
}

mskp_status mskp_value_coupling(const mskp_graph *graph, mskp_value handle, mskp_coupling *coupling,
                                mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, graph, coupling);
    if (status) return status;
    if (!graph->finished) return mskpi_fail(err, MSKP_ERROR_BAD_STATE, "the graph is not finished");
    if (!handle.id || handle.id > graph->nvalues)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "no value has handle %u, there are %zu",
                          handle.id, graph->nvalues);
    const graph_value *v = &graph->values[handle.id];
    const freedom *f = &graph->u->freedom[handle.id];
    MSKPI_ASSERT(f->units + f->pinned <= v->view.n && (f->tied < v->view.n || !v->view.n));
    *coupling = (mskp_coupling){.name = mskpi_value_name(graph, handle.id),
                                .op = v->op ? v->op : graph->text + v->own_op,
                                .channels = v->view.n,
                                .units = f->units,
                                .pinned = f->pinned,
                                .tied_by = {f->tied_by},
                                .tied = f->tied,
                                .pinned_by = {f->pinned_by},
                                .inexact = f->inexact,
                                .inexact_by = {f->inexact_by}};
    return MSKP_OK;
}

mskp_status mskp_exact(const mskp_graph *graph, uint32_t roles, mskp_mask exact, mskp_error *err)
{
    mskp_status status = mskpi_check_mask(graph, "exact", exact, err);
    if (!status) status = mskpi_check_roles(err, "roles", roles);
    if (status) return status;
    MSKPI_ASSERT(roles < 16); /* a bit of a zero table for each set of four roles */
    for (size_t u = 0; u < exact.n; u++) exact.unit[u] = graph->u->exact[u] >> roles & 1;
    return MSKP_OK;
}

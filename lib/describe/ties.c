/*
 * Ties between channels, pins, and bindings of parameters' axes to lists of channels.
 *
 * Tied channels can only be removed together. Ties are kept as a union-find forest: the channels of
 * one tree are one class, and the root of a tree stands for the class. Union is by size, the
 * smaller tree below the root of the larger, so the path from a channel to its root has at
 * most log2(n) edges.
 *
 * Paths are deliberately not compressed. Each edge remembers the event that made it, and events are
 * numbered in the order of time. A tree is attached as a whole, by an edge at its root, so
 * edges become younger on the path from a channel to its root. The forest thereby keeps its
 * history: where the paths of two channels meet, the younger of the two edges into the meeting
 * point is the one that joined their classes, and its event names the operator that tied them. The
 * file lib/units/trace.c reads this history.
 *
 * An axis that is bound a second time (tied weights) does not get a second list; the two lists are
 * tied instead. Every axis therefore has one list, and a shared parameter counts once.
 */
#include "describe/ties.h"
#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "describe/values.h"
#include "describe/zeros.h"
#include "mskp.h"
#include "mskp/operators.h"

/* ---- The forest ---- */

uint32_t mskpi_find_root(const mskp_graph *graph, uint32_t c)
{
    MSKPI_ASSERT(c < graph->nchannels);
    while (graph->channels[c].parent != c) {
        const uint32_t parent = graph->channels[c].parent;
        MSKPI_ASSERT(graph->channels[parent].parent == parent ||
                     graph->channels[parent].joined_at >= graph->channels[c].joined_at);
        c = parent;
    }
    return c;
}

/* *event <- the number of a new event: the operator of value `by` does something to channels. */
static mskp_status new_event(mskp_graph *graph, uint32_t by, uint32_t *event)
{
    *event = 0;
    MSKPI_ASSERT(by >= 1 && by <= graph->nvalues);
    if (graph->nevents >= MOST)
        return mskpi_graph_fail(graph, MSKP_ERROR_UNSUPPORTED,
                                "%zu ties and pins, and one more; a graph has at most %zu",
                                graph->nevents, (size_t)MOST);
    uint32_t *events = mskpi_grow(&graph->services, graph->events, &graph->events_capacity,
                                  graph->nevents, 1, sizeof *events);
    if (!events) return mskpi_no_memory(graph);
    graph->events = events;
    *event = (uint32_t)graph->nevents++;
    events[*event] = by;
    return MSKP_OK;
}

/* Joins the trees of the channels at two places of the arena. Among trees of one size, the root
 * with the lower number stays a root. */
static void join(mskp_graph *graph, size_t a, size_t b, uint32_t event)
{
    graph_channel *channels = graph->channels;
    uint32_t root = mskpi_find_root(graph, graph->listed[a]);
    uint32_t child = mskpi_find_root(graph, graph->listed[b]);
    if (root == child) return;
    if (channels[root].size < channels[child].size ||
        (channels[root].size == channels[child].size && child < root)) {
        const uint32_t swap = root;
        root = child;
        child = swap;
    }
    MSKPI_ASSERT(channels[root].size + channels[child].size <= graph->nchannels);
    channels[root].size += channels[child].size;
    channels[child].parent = root;
    channels[child].joined_at = event;
}

/* ---- Ties and pins ---- */

mskp_status mskpi_tie_lists(mskp_graph *graph, list_view a, list_view b, uint32_t by)
{
    uint32_t event;
    MSKPI_ASSERT(a.n == b.n);
    if (a.first == b.first) return MSKP_OK; /* one view */
    if (new_event(graph, by, &event)) return mskpi_first_error(graph);
    for (size_t i = 0; i < a.n; i++) join(graph, a.first + i, b.first + i, event);
    return MSKP_OK;
}

mskp_status mskpi_tie_all(mskp_graph *graph, list_view view, uint32_t by)
{
    uint32_t event;
    if (view.n < 2) return MSKP_OK;
    if (new_event(graph, by, &event)) return mskpi_first_error(graph);
    for (size_t i = 1; i < view.n; i++) join(graph, view.first, view.first + i, event);
    return MSKP_OK;
}

mskp_status mskpi_tie_parts(mskp_graph *graph, list_view view, size_t n, uint32_t by)
{
    const size_t part = view.n / n;
    uint32_t event;
    MSKPI_ASSERT(view.n % n == 0);
    if (n < 2) return MSKP_OK;
    if (new_event(graph, by, &event)) return mskpi_first_error(graph);
    for (size_t i = part; i < view.n; i++)
        join(graph, view.first + i % part, view.first + i, event);
    return MSKP_OK;
}

static mskp_status pin_list(mskp_graph *graph, list_view view, uint32_t by)
{
    uint32_t event;
    if (new_event(graph, by, &event)) return mskpi_first_error(graph);
    for (size_t i = 0; i < view.n; i++) {
        uint32_t *pinned = &graph->channels[graph->listed[view.first + i]].pinned;
        if (!*pinned) *pinned = 1 + event;
    }
    return MSKP_OK;
}

mskp_status mskpi_pin(mskp_graph *graph, const char *label, mskp_value handle, uint32_t by)
{
    graph_value v;
    const mskp_status status = mskpi_get_value(graph, label, handle, &v);
    return status ? status : pin_list(graph, v.view, by);
}

/* ---- Bindings ---- */

mskp_status mskpi_bind(mskp_graph *graph, mskp_param handle, uint32_t d, uint32_t roles,
                       list_view view, uint32_t by)
{
    graph_param *p = &graph->params[handle.id];
    graph_axis *a = &graph->axes[p->axis + d];
    MSKPI_ASSERT(handle.id >= 1 && handle.id <= graph->nparams && d < p->ndim);
    MSKPI_ASSERT(view.n == a->length);
    if (!p->owner) p->owner = by;
    a->roles |= roles;
    if (a->fixed_by && pin_list(graph, view, a->fixed_by)) return mskpi_first_error(graph);
    if (a->view.n) return mskpi_tie_lists(graph, a->view, view, by);
    a->view = view;
    return MSKP_OK;
}

mskp_status mskpi_fix_axis(mskp_graph *graph, mskp_param handle, uint32_t d, uint32_t by)
{
    MSKPI_ASSERT(handle.id >= 1 && handle.id <= graph->nparams);
    MSKPI_ASSERT(d < graph->params[handle.id].ndim && by);
    graph_axis *a = &graph->axes[graph->params[handle.id].axis + d];
    if (a->fixed_by) return MSKP_OK;
    a->fixed_by = by;
    return a->view.n ? pin_list(graph, a->view, by) : MSKP_OK;
}

mskp_status mskpi_bind_value(mskp_graph *graph, mskp_param handle, uint32_t d, uint32_t roles,
                             mskp_value to)
{
    graph_param p;
    graph_value v;
    char value[NAME_SIZE];
    const mskp_status status = mskpi_check_describing(graph);
    if (status) return status;
    if (mskpi_get_param(graph, "bind", "param", handle, &p) ||
        mskpi_get_value(graph, "bind", to, &v))
        return mskpi_first_error(graph);
    const char *name = mskpi_param_name(graph, handle.id);
    if (d >= p.ndim)
        return mskpi_refuse(graph, name, MSKP_ERROR_BAD_SHAPE,
                            "axis %u is bound, the parameter has %u axes", d, p.ndim);
    if (roles & ~(uint32_t)(MSKP_ROLES_UNIT | MSKP_ROLE_MEAN | MSKP_ROLE_VARIANCE))
        return mskpi_refuse(graph, name, MSKP_ERROR_BAD_ARGUMENT,
                            "roles 0x%x are no MSKP_ROLE_ bits", roles);
    const size_t length = graph->axes[p.axis + d].length;
    if (length != v.view.n)
        return mskpi_refuse(graph, name, MSKP_ERROR_BAD_SHAPE,
                            "axis %u has length %zu, %s has %zu channels", d, length,
                            mskpi_short(mskpi_value_name(graph, to.id), value), v.view.n);
    if (roles & MSKP_ROLE_CONSUMER) mskpi_mark_consumed(graph, to.id);
    return mskpi_bind(graph, handle, d, roles, v.view, to.id);
}

mskp_status mskpi_attach(mskp_graph *graph, mskp_param handle, mskp_value to)
{
    graph_param p;
    graph_value v;
    const mskp_status status = mskpi_get_value(graph, "attach", to, &v);
    if (status) return status;
    if (mskpi_get_param(graph, "attach", "param", handle, &p)) return mskpi_first_error(graph);
    if (!p.owner) graph->params[handle.id].owner = to.id;
    for (uint32_t d = 0; d < p.ndim; d++)
        if (mskpi_fix_axis(graph, handle, d, to.id)) return mskpi_first_error(graph);
    return MSKP_OK;
}

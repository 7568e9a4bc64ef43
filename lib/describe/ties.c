/*
 * Ties between channels, pins, and bindings of parameters' axes to lists of channels.
 *
 * Tied channels can only leave together. Ties are a union-find forest: the channels of one tree are
 * one class, and the root of a tree stands for the class. Trees are joined by size, the smaller
 * below the root of the larger, so that a way to the root has at most log2(n) edges. Paths are not
 * compressed on purpose. An edge remembers the event that made it, and events are numbered in the
 * order of time. A tree is attached as a whole, so edges become younger from a channel towards the
 * root. Therefore the forest also keeps its history: two channels were tied by the operator of the
 * younger of the two edges by which their ways to the root enter the point where these ways meet.
 * lib/units/trace.c reads this history.
 *
 * An axis that is bound a second time (tied weights) is not bound to a second list; the two lists
 * are tied instead. So every axis has one list, and a shared parameter counts once.
 */
#include "describe/ties.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "describe/values.h"
#include "describe/zeros.h"
#include "mskp.h"
#include "mskp/operators.h"

uint32_t mskpi_find_root(const mskp_graph *graph, uint32_t c)
{
    while (graph->channels[c].parent != c) c = graph->channels[c].parent;
    return c;
}

/* Something that a value's operator does to channels, in the order of time. 1: no memory. */
static int new_event(mskp_graph *graph, uint32_t by, uint32_t *event)
{
    if (graph->nevents >= MOST) return 1;
    uint32_t *events = mskpi_grow(&graph->services, graph->events, &graph->events_capacity,
                                  graph->nevents, 1, sizeof *events);
    if (!events) return 1;
    graph->events = events;
    *event = (uint32_t)graph->nevents++;
    events[*event] = by;
    return 0;
}

/* Joins the trees of two listed channels. */
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
    channels[root].size += channels[child].size;
    channels[child].parent = root;
    channels[child].joined_at = event;
}

mskp_status mskpi_tie_lists(mskp_graph *graph, list_view a, list_view b, uint32_t by)
{
    uint32_t event;
    if (a.first == b.first) return MSKP_OK;
    if (new_event(graph, by, &event)) return mskpi_no_memory(graph);
    for (size_t i = 0; i < a.n; i++) join(graph, a.first + i, b.first + i, event);
    return MSKP_OK;
}

mskp_status mskpi_tie_all(mskp_graph *graph, list_view view, uint32_t by)
{
    uint32_t event;
    if (view.n < 2) return MSKP_OK;
    if (new_event(graph, by, &event)) return mskpi_no_memory(graph);
    for (size_t i = 1; i < view.n; i++) join(graph, view.first, view.first + i, event);
    return MSKP_OK;
}

mskp_status mskpi_tie_parts(mskp_graph *graph, list_view view, size_t n, uint32_t by)
{
    const size_t part = view.n / n;
    uint32_t event;
    if (n < 2) return MSKP_OK;
    if (new_event(graph, by, &event)) return mskpi_no_memory(graph);
    for (size_t i = part; i < view.n; i++)
        join(graph, view.first + i % part, view.first + i, event);
    return MSKP_OK;
}

mskp_status mskpi_pin(mskp_graph *graph, const char *who, mskp_value handle, uint32_t by)
{
    mskp_status status;
    if (!mskpi_describing(graph, &status)) return status;
    const graph_value *v = mskpi_value(graph, who, handle);
    if (!v) return graph->error.status;
    uint32_t event;
    if (new_event(graph, by, &event)) return mskpi_no_memory(graph);
    for (size_t i = 0; i < v->view.n; i++) {
        uint32_t *pinned = &graph->channels[graph->listed[v->view.first + i]].pinned;
        if (!*pinned) *pinned = 1 + event;
    }
    return MSKP_OK;
}

mskp_status mskpi_bind(mskp_graph *graph, mskp_param handle, uint32_t d, uint32_t roles,
                       list_view view, uint32_t owner, uint32_t by)
{
    graph_param *p = &graph->params[handle.id];
    graph_axis *a = &graph->axes[p->axis + d];
    if (!p->owner) p->owner = owner;
    a->roles |= roles;
    if (a->view.n) return mskpi_tie_lists(graph, a->view, view, by);
    a->view = view;
    return MSKP_OK;
}

mskp_status mskpi_bind_value(mskp_graph *graph, mskp_param handle, uint32_t d, uint32_t roles,
                             mskp_value to)
{
    mskp_status status;
    char room_p[NAME_SIZE], room_v[NAME_SIZE];
    if (!mskpi_describing(graph, &status)) return status;
    const graph_param *p = mskpi_param(graph, "bind", "param", handle);
    const graph_value *v = mskpi_value(graph, "bind", to);
    if (!p || !v) return graph->error.status;
    const char *name = mskpi_short(mskpi_param_name(graph, handle.id), room_p);
    if (d >= p->ndim)
        return mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                                "%s: axis %u is bound, the parameter has %u axes", name, d,
                                p->ndim);
    if (roles & ~(uint32_t)(MSKP_ROLES_UNIT | MSKP_ROLE_MEAN | MSKP_ROLE_VARIANCE))
        return mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                                "%s: roles 0x%x are no MSKP_ROLE_ bits", name, roles);
    if (graph->axes[p->axis + d].length != v->view.n)
        return mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                                "%s: axis %u has length %zu, %s has %zu channels", name, d,
                                graph->axes[p->axis + d].length,
                                mskpi_short(mskpi_value_name(graph, to.id), room_v), v->view.n);
    if (roles & MSKP_ROLE_CONSUMER) mskpi_read(graph, to.id);
    return mskpi_bind(graph, handle, d, roles, v->view, to.id, to.id);
}

mskp_status mskpi_attach(mskp_graph *graph, mskp_param handle, mskp_value to)
{
    mskp_status status;
    if (!mskpi_describing(graph, &status)) return status;
    if (!mskpi_value(graph, "attach", to) || !mskpi_param(graph, "attach", "param", handle))
        return graph->error.status;
    graph_param *p = &graph->params[handle.id];
    if (!p->owner) p->owner = to.id;
    return MSKP_OK;
}

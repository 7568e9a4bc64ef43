/*
 * The public primitives, from which a host can build operators of its own: fresh, pick, concat,
 * tie, pin, bind, attach, macs.
 *
 * The library's operators do the same through the functions of values.c and ties.c. The public
 * primitives record more: something that the library does not know uses the value (OWN_READ), and
 * what it computes may be more than the recorded step (OWN_SCALED, OWN_CHANGED). The stage of
 * constants must then not rely on what it knows of the value.
 */
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "describe/step.h"
#include "describe/ties.h"
#include "describe/values.h"
#include "describe/zeros.h"
#include "mskp.h"
#include "mskp/operators.h"

/* ---- ties, pins, bindings, costs ---- */

mskp_status mskp_tie(mskp_graph *graph, mskp_value a, mskp_value b)
{
    mskp_status status;
    char room_a[NAME_SIZE], room_b[NAME_SIZE];
    if (!mskpi_describing(graph, &status)) return status;
    const graph_value *first = mskpi_value(graph, "tie", a), *second = mskpi_value(graph, "tie", b);
    if (!first || !second) return graph->error.status;
    if (first->view.n != second->view.n)
        return mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE, "tie: %s has %zu channels, %s has %zu",
                                mskpi_short(mskpi_value_name(graph, a.id), room_a), first->view.n,
                                mskpi_short(mskpi_value_name(graph, b.id), room_b), second->view.n);
    graph->steps[a.id].own |= OWN_READ;
    graph->steps[b.id].own |= OWN_READ;
    return mskpi_tie_lists(graph, first->view, second->view, a.id > b.id ? a.id : b.id);
}

mskp_status mskp_pin(mskp_graph *graph, mskp_value handle)
{
    const mskp_status status = mskpi_pin(graph, "pin", handle, handle.id);
    if (!status) graph->steps[handle.id].own |= OWN_READ;
    return status;
}

/* An operator of the host's own uses the parameter. It reads the value, or its result is called by
 * that name. */
static mskp_status own_use(mskp_graph *graph, own_reader use)
{
    own_reader *readers = mskpi_grow(&graph->services, graph->readers, &graph->readers_capacity,
                                     graph->nreaders, 1, sizeof *readers);
    if (!readers) return mskpi_no_memory(graph);
    graph->readers = readers;
    readers[graph->nreaders++] = use;
    graph->steps[use.value].own |= OWN_READ;
    return MSKP_OK;
}

/* And makes the value anything: when it is zero the library no longer knows. */
static void own_change(mskp_graph *graph, uint32_t value)
{
    graph->steps[value].own |= OWN_CHANGED;
    if (!(graph->steps[value].own & OWN_ZERO)) mskpi_zero_all(graph, value, ZERO_NEVER);
}

mskp_status mskp_bind(mskp_graph *graph, mskp_param handle, uint32_t d, uint32_t roles,
                      mskp_value to)
{
    mskp_status status = mskpi_bind_value(graph, handle, d, roles, to);
    if (!status) status = own_use(graph, (own_reader){handle.id, d, to.id, roles});
    if (status) return status;
    if (!roles || roles & ~(uint32_t)(MSKP_ROLE_CONSUMER | MSKP_ROLE_SCALE))
        own_change(graph, to.id);
    else if (roles != MSKP_ROLE_CONSUMER)
        graph->steps[to.id].own |= OWN_SCALED;
    return MSKP_OK;
}

mskp_status mskp_attach(mskp_graph *graph, mskp_param handle, mskp_value to)
{
    mskp_status status = mskpi_attach(graph, handle, to);
    if (!status) status = own_use(graph, (own_reader){.param = handle.id, .value = to.id});
    if (!status) own_change(graph, to.id);
    return status;
}

mskp_status mskp_add_macs(mskp_graph *graph, mskp_value of, mskp_param handle, uint64_t per_element)
{
    mskp_status status;
    if (!mskpi_describing(graph, &status)) return status;
    if (!mskpi_value(graph, "macs", of)) return graph->error.status;
    if (handle.id && !mskpi_param(graph, "macs", "param", handle)) return graph->error.status;
    mac_entry *macs =
        mskpi_grow(&graph->services, graph->macs, &graph->macs_capacity, graph->nmacs, 1, sizeof *macs);
    if (!macs) return mskpi_no_memory(graph);
    graph->macs = macs;
    macs[graph->nmacs++] = (mac_entry){of.id, handle.id, per_element};
    return MSKP_OK;
}

/* ---- values from lists ---- */

mskp_value mskp_fresh(mskp_graph *graph, const char *name, size_t channels, uint32_t nspatial,
                      const size_t *spatial)
{
    mskp_status status;
    list_view view;
    if (!mskpi_describing(graph, &status) ||
        mskpi_new_channels(graph, mskpi_who(name, "fresh"), channels, &view))
        return (mskp_value){0};
    return mskpi_new_value(graph, name, "fresh", view, nspatial, spatial);
}

mskp_value mskp_pick(mskp_graph *graph, const char *name, mskp_value from, size_t n,
                     const size_t *positions)
{
    const mskp_value none = {0};
    mskp_status status;
    list_view view;
    char room[NAME_SIZE];
    const char *who = mskpi_who(name, "pick");
    if (!mskpi_describing(graph, &status)) return none;
    const graph_value *v = mskpi_value(graph, who, from);
    if (!v) return none;
    if (!positions) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: positions is NULL",
                         mskpi_short(who, room));
        return none;
    }
    for (size_t i = 0; i < n; i++)
        if (positions[i] >= v->view.n) {
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                             "%s: position %zu is channel %zu, its input has %zu",
                             mskpi_short(who, room), i, positions[i], v->view.n);
            return none;
        }
    if (mskpi_new_list(graph, who, n, &view)) return none;
    for (size_t i = 0; i < n; i++)
        graph->listed[view.first + i] = graph->listed[v->view.first + positions[i]];
    const graph_value from_value = *v;
    const mskp_value out =
        mskpi_new_value(graph, name, "pick", view, from_value.nspatial, from_value.spatial);
    zero_table *zero = out.id ? mskpi_zero_each(graph, out.id) : NULL;
    if (!zero) return none;
    for (size_t i = 0; i < n; i++) zero[i] = mskpi_zero(graph, from.id, positions[i]);
    mskpi_zero_filled(graph, out.id);
    graph_step *step = mskpi_step(graph, out, STEP_PLACES, 1, &from);
    uint32_t *place = step ? mskpi_places(graph, n, &step->first) : NULL;
    if (!place) return none;
    for (size_t i = 0; i < n; i++) place[i] = (uint32_t)positions[i];
    return out;
}

mskp_value mskp_concat(mskp_graph *graph, const char *name, size_t n, const mskp_value *parts)
{
    const mskp_value none = {0};
    mskp_status status;
    list_view view;
    size_t total = 0, at;
    char room[NAME_SIZE], room_v[NAME_SIZE];
    const char *who = mskpi_who(name, "concat");
    if (!mskpi_describing(graph, &status)) return none;
    if (!n || !parts) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: concatenation of %zu values",
                         mskpi_short(who, room), parts ? n : 0);
        return none;
    }
    for (size_t i = 0; i < n; i++) {
        const graph_value *v = mskpi_value(graph, who, parts[i]);
        if (!v) return none;
        const graph_value *first = &graph->values[parts[0].id];
        if (v->nspatial != first->nspatial) {
            mskpi_graph_fail(
                graph, MSKP_ERROR_BAD_SHAPE, "%s: %s has %u spatial axes, the first value %u",
                mskpi_short(who, room), mskpi_short(mskpi_value_name(graph, parts[i].id), room_v),
                v->nspatial, first->nspatial);
            return none;
        }
        for (uint32_t d = 0; d < v->nspatial; d++) {
            if (v->spatial[d] == first->spatial[d]) continue;
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                             "%s: %s has length %zu on spatial axis %u, the first value %zu",
                             mskpi_short(who, room),
                             mskpi_short(mskpi_value_name(graph, parts[i].id), room_v),
                             v->spatial[d], d, first->spatial[d]);
            return none;
        }
        total += v->view.n;
        if (total >= MOST) break; /* refused below; and no overflow */
    }
    if (mskpi_new_list(graph, who, total, &view)) return none;
    at = view.first;
    for (size_t i = 0; i < n; i++) {
        const list_view part = graph->values[parts[i].id].view;
        memcpy(graph->listed + at, graph->listed + part.first, part.n * sizeof *graph->listed);
        at += part.n;
    }
    const graph_value first = graph->values[parts[0].id];
    const mskp_value out =
        mskpi_new_value(graph, name, "concat", view, first.nspatial, first.spatial);
    zero_table *zero = out.id ? mskpi_zero_each(graph, out.id) : NULL;
    if (!zero) return none;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < graph->values[parts[k].id].view.n; i++)
            *zero++ = mskpi_zero(graph, parts[k].id, i);
    mskpi_zero_filled(graph, out.id);
    return mskpi_step(graph, out, STEP_CONCAT, n, parts) ? out : none;
}

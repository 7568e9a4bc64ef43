/*
 * The public primitives, of which a caller can make operators of its own: tie, pin, bind, attach,
 * costs, fresh channels, pick, concat.
 *
 * The library's operators do the same things through the functions of values.c and ties.c. The
 * public primitives record more. An operator that the library does not know uses the value
 * (OWN_READ), and the value may be more than its recorded step computes (OWN_SCALED, OWN_CHANGED).
 * The stage of constants then does not rely on what it knows about the value, and the zero tables
 * of a value that may be anything are cleared.
 */
#include <string.h>

#include "base/assert.h"
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

/* ---- Ties, pins, bindings, costs ---- */

mskp_status mskp_tie(mskp_graph *graph, mskp_value a, mskp_value b)
{
    char name_a[NAME_SIZE], name_b[NAME_SIZE];
    graph_value first, second;
    mskp_status status = mskpi_get_value(graph, "tie", a, &first);
    if (!status) status = mskpi_get_value(graph, "tie", b, &second);
    if (status) return status;
    if (first.view.n != second.view.n)
        return mskpi_refuse(graph, "tie", MSKP_ERROR_BAD_SHAPE, "%s has %zu channels, %s has %zu",
                            mskpi_short(mskpi_value_name(graph, a.id), name_a), first.view.n,
                            mskpi_short(mskpi_value_name(graph, b.id), name_b), second.view.n);
    graph->steps[a.id].own |= OWN_READ | OWN_TIED;
    graph->steps[b.id].own |= OWN_READ | OWN_TIED;
    return mskpi_tie_lists(graph, first.view, second.view, a.id > b.id ? a.id : b.id);
}

mskp_status mskp_pin(mskp_graph *graph, mskp_value handle)
{
    const mskp_status status = mskpi_pin(graph, "pin", handle, handle.id);
    if (!status) graph->steps[handle.id].own |= OWN_READ;
    return status;
}

/* Records that an operator of the caller's own uses a parameter at a value. Such an operator reads
 * the value, or makes it under this name. */
static mskp_status add_reader(mskp_graph *graph, own_reader reader)
{
    own_reader *readers = mskpi_grow(&graph->services, graph->readers, &graph->readers_capacity,
                                     graph->nreaders, 1, sizeof *readers);
    if (!readers) return mskpi_no_memory(graph);
    graph->readers = readers;
    readers[graph->nreaders++] = reader;
    graph->steps[reader.value].own |= OWN_READ;
    return MSKP_OK;
}

/* Records that a value may be anything. Only mskp_zero_if can then state when it is zero. */
static void mark_changed(mskp_graph *graph, uint32_t value)
{
    graph->steps[value].own |= OWN_CHANGED;
    if (!(graph->steps[value].own & OWN_ZERO)) mskpi_zero_all(graph, value, ZERO_NEVER);
}

mskp_status mskp_bind(mskp_graph *graph, mskp_param handle, uint32_t d, uint32_t roles,
                      mskp_value to)
{
    mskp_status status = mskpi_bind_value(graph, handle, d, roles, to);
    if (!status) status = add_reader(graph, (own_reader){handle.id, d, to.id, roles});
    if (status) return status;
    if (!roles || roles & ~(uint32_t)(MSKP_ROLE_CONSUMER | MSKP_ROLE_SCALE))
        mark_changed(graph, to.id);
    else if (roles != MSKP_ROLE_CONSUMER)
        graph->steps[to.id].own |= OWN_SCALED;
    return MSKP_OK;
}

mskp_status mskp_attach(mskp_graph *graph, mskp_param handle, mskp_value to)
{
    mskp_status status = mskpi_attach(graph, handle, to);
    if (!status) status = add_reader(graph, (own_reader){.param = handle.id, .value = to.id});
    if (!status) mark_changed(graph, to.id);
    return status;
}

mskp_status mskp_add_macs(mskp_graph *graph, mskp_value of, mskp_param handle, uint64_t per_element)
{
    graph_value v;
    graph_param p;
    mskp_status status = mskpi_get_value(graph, "macs", of, &v);
    if (!status && handle.id) status = mskpi_get_param(graph, "macs", "param", handle, &p);
    if (status) return status;
    mac_entry *macs = mskpi_grow(&graph->services, graph->macs, &graph->macs_capacity, graph->nmacs,
                                 1, sizeof *macs);
    if (!macs) return mskpi_no_memory(graph);
    graph->macs = macs;
    macs[graph->nmacs++] = (mac_entry){of.id, handle.id, 0, per_element};
    return MSKP_OK;
}

mskp_status mskp_macs_for_each(mskp_graph *graph, mskp_value of, mskp_value by)
{
    graph_value v;
    mskp_status status = mskpi_get_value(graph, "macs", of, &v);
    if (!status) status = mskpi_get_value(graph, "macs", by, &v);
    for (size_t i = 0; !status && i < graph->nmacs; i++)
        if (graph->macs[i].value == of.id && graph->macs[i].each)
            status = mskpi_refuse(graph, "macs", MSKP_ERROR_BAD_STATE,
                                  "the cost of value %u is for each channel of value %u already",
                                  (unsigned)of.id, (unsigned)graph->macs[i].each);
    for (size_t i = 0; !status && i < graph->nmacs; i++)
        if (graph->macs[i].value == of.id) graph->macs[i].each = by.id;
    return status;
}

/* ---- Values from lists ---- */

mskp_value mskp_fresh(mskp_graph *graph, const char *name, size_t channels, uint32_t nspatial,
                      const size_t *spatial)
{
    const char *label = mskpi_label(name, "fresh");
    list_view view;
    mskp_value out;
    if (mskpi_check_describing(graph) || mskpi_new_channels(graph, label, channels, &view) ||
        mskpi_new_value(graph, name, "fresh", view, nspatial, spatial, &out))
        return NO_VALUE;
    return out;
}

static mskp_status check_pick(mskp_graph *graph, const char *label, size_t channels, size_t n,
                              const size_t *positions)
{
    if (!positions) return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT, "positions is NULL");
    for (size_t i = 0; i < n; i++)
        if (positions[i] >= channels)
            return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                                "position %zu is channel %zu, its input has %zu", i, positions[i],
                                channels);
    return MSKP_OK;
}

mskp_value mskp_pick(mskp_graph *graph, const char *name, mskp_value from, size_t n,
                     const size_t *positions)
{
    const char *label = mskpi_label(name, "pick");
    graph_value v;
    list_view view;
    zero_table *zero;
    graph_step *step;
    uint32_t *place;
    mskp_value out;
    if (mskpi_get_value(graph, label, from, &v) ||
        check_pick(graph, label, v.view.n, n, positions) || mskpi_new_list(graph, label, n, &view))
        return NO_VALUE;
    for (size_t i = 0; i < n; i++)
        graph->listed[view.first + i] = graph->listed[v.view.first + positions[i]];
    if (mskpi_new_value(graph, name, "pick", view, v.nspatial, v.spatial, &out) ||
        mskpi_zero_each(graph, out.id, &zero))
        return NO_VALUE;
    for (size_t i = 0; i < n; i++) zero[i] = mskpi_zero(graph, from.id, positions[i]);
    mskpi_zero_filled(graph, out.id);
    if (mskpi_add_step(graph, out, STEP_PLACES, 1, &from, &step) ||
        mskpi_add_places(graph, step, n, &place))
        return NO_VALUE;
    for (size_t i = 0; i < n; i++) place[i] = (uint32_t)positions[i];
    return out;
}

/* *total <- the number of channels of all parts. */
static mskp_status check_concat(mskp_graph *graph, const char *label, size_t n,
                                const mskp_value *parts, size_t *total)
{
    char part[NAME_SIZE];
    graph_value v, first;
    mskp_status status = mskpi_check_describing(graph);
    *total = 0;
    if (status) return status;
    if (!n || !parts)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT, "concatenation of %zu values",
                            parts ? n : 0);
    /* mskpi_new_list refuses a total of MOST or more, so what follows need not be looked at. */
    for (size_t i = 0; i < n && *total < MOST; i++) {
        status = mskpi_get_value(graph, label, parts[i], &v);
        if (status) return status;
        if (i == 0) first = v;
        const char *name = mskpi_short(mskpi_value_name(graph, parts[i].id), part);
        if (v.nspatial != first.nspatial)
            return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                                "%s has %u spatial axes, the first value %u", name, v.nspatial,
                                first.nspatial);
        for (uint32_t d = 0; d < v.nspatial; d++)
            if (v.spatial[d] != first.spatial[d])
                return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                                    "%s has length %zu on spatial axis %u, the first value %zu",
                                    name, v.spatial[d], d, first.spatial[d]);
        *total = mskpi_sum(*total, v.view.n);
    }
    return MSKP_OK;
}

mskp_value mskp_concat(mskp_graph *graph, const char *name, size_t n, const mskp_value *parts)
{
    const char *label = mskpi_label(name, "concat");
    list_view view;
    zero_table *zero;
    mskp_value out;
    size_t total;
    if (check_concat(graph, label, n, parts, &total) || mskpi_new_list(graph, label, total, &view))
        return NO_VALUE;
    size_t at = view.first;
    for (size_t k = 0; k < n; k++) {
        const list_view part = mskpi_view_of(graph, parts[k]);
        memcpy(graph->listed + at, graph->listed + part.first, part.n * sizeof *graph->listed);
        at += part.n;
    }
    MSKPI_ASSERT(at == view.first + view.n);
    const graph_value first = graph->values[parts[0].id];
    if (mskpi_new_value(graph, name, "concat", view, first.nspatial, first.spatial, &out) ||
        mskpi_zero_each(graph, out.id, &zero))
        return NO_VALUE;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < mskpi_view_of(graph, parts[k]).n; i++)
            *zero++ = mskpi_zero(graph, parts[k].id, i);
    mskpi_zero_filled(graph, out.id);
    return mskpi_add_step(graph, out, STEP_CONCAT, n, parts, NULL) ? NO_VALUE : out;
}

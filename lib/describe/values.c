/*
 * Parameters, values, lists of channels, and the record of what computes a value.
 *
 * A value is an ordered list of channels. Lists are views into one arena of channel numbers
 * (listed), so that operators that change no channels share their input's list, and a slice is a
 * part of one. All arrays grow while the network is described, so that pointers into them are valid
 * only until the next call that adds something. Every value has one graph_step, which says what
 * computes the value as far as the stage of constants must know.
 */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "describe/step.h"
#include "describe/values.h"
#include "describe/zeros.h"
#include "mskp.h"
#include "mskp/operators.h"
#include "mskp/tools.h"

/* ---- parameters ---- */

mskp_param mskp_parameter(mskp_graph *graph, const char *name, uint32_t ndim, const size_t *shape)
{
    const mskp_param none = {0};
    mskp_status status;
    char room[NAME_SIZE];
    size_t elements = 1;
    graph_param new_param = {0};
    if (!mskpi_describing(graph, &status)) return none;
    const char *who = mskpi_short(mskpi_who(name, "parameter"), room);
    if (!shape) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: shape is NULL", who);
        return none;
    }
    if (ndim < 1 || ndim > MSKP_MAX_DIMS) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE, "%s: %u axes, a parameter has 1 to %d", who,
                         ndim, MSKP_MAX_DIMS);
        return none;
    }
    for (uint32_t d = 0; d < ndim; d++) {
        if (!shape[d] || shape[d] >= MOST || !mskpi_product_fits(elements, shape[d], &elements) ||
            elements > PTRDIFF_MAX / 16) {
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE, "%s: axis %u has length %zu, which is %s",
                             who, d, shape[d], shape[d] ? "too long" : "empty");
            return none;
        }
    }
    if (graph->naxes >= MOST - MSKP_MAX_DIMS) { /* and as many parameters at most */
        mskpi_graph_fail(graph, MSKP_ERROR_UNSUPPORTED, "%s: more than %zu parameters", who,
                         graph->nparams);
        return none;
    }
    graph_param *params = mskpi_grow(&graph->services, graph->params, &graph->params_capacity,
                                     graph->nparams + 1, 1, sizeof *params);
    if (params) graph->params = params;
    graph_axis *axes = mskpi_grow(&graph->services, graph->axes, &graph->axes_capacity, graph->naxes,
                                  ndim, sizeof *axes);
    if (axes) graph->axes = axes;
    if (!params || !axes || mskpi_name_room(graph, &graph->param_names)) {
        mskpi_no_memory(graph);
        return none;
    }
    if (mskpi_name_add(graph, &graph->param_names, "parameter", name, (uint32_t)graph->nparams + 1,
                       &new_param.name))
        return none;
    new_param.ndim = ndim;
    new_param.axis = (uint32_t)graph->naxes;
    for (uint32_t d = 0; d < ndim; d++)
        axes[graph->naxes + d] = (graph_axis){.length = shape[d], .list = NO_LIST};
    graph->naxes += ndim;
    params[++graph->nparams] = new_param;
    return (mskp_param){(uint32_t)graph->nparams};
}

const graph_param *mskpi_param(mskp_graph *graph, const char *who, const char *what,
                               mskp_param handle)
{
    char room[NAME_SIZE];
    if (handle.id && handle.id <= graph->nparams) return &graph->params[handle.id];
    if (!handle.id)
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: %s is needed, and is none (handle 0)",
                         mskpi_short(who, room), what);
    else
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                         "%s: no parameter has handle %u, there are %zu", mskpi_short(who, room),
                         handle.id, graph->nparams);
    return NULL;
}

/* ---- values ---- */

const graph_value *mskpi_value(mskp_graph *graph, const char *who, mskp_value handle)
{
    char room[NAME_SIZE];
    if (handle.id && handle.id <= graph->nvalues) return &graph->values[handle.id];
    mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: no value has handle %u, there are %zu",
                     mskpi_short(who, room), handle.id, graph->nvalues);
    return NULL;
}

size_t mskpi_positions(const graph_value *v)
{
    size_t positions = 1;
    for (uint32_t d = 0; d < v->nspatial; d++) positions *= v->spatial[d];
    return positions;
}

/* The derived name ends in the value's number, which no other derived name does. */
static const char *derive_name(const char *op, uint32_t id, char room[48])
{
    snprintf(room, 48, "%s#%u", op, id);
    return room;
}

mskp_value mskpi_new_value(mskp_graph *graph, const char *name, const char *op, list_view view,
                           uint32_t nspatial, const size_t *spatial)
{
    const mskp_value none = {0};
    char derived[48], room[NAME_SIZE];
    size_t positions = 1;
    graph_value new_value = {.op = op, .view = view, .nspatial = nspatial, .list = NO_LIST};
    const uint32_t id = (uint32_t)graph->nvalues + 1;
    if (graph->error.status) return none; /* no memory for a part's name */
    if (!name) name = derive_name(op, id, derived);
    const char *who = mskpi_short(mskpi_who(name, op), room);
    if (nspatial > MSKP_MAX_SPATIAL) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE, "%s: %u spatial axes, a value has 0 to %d",
                         who, nspatial, MSKP_MAX_SPATIAL);
        return none;
    }
    if (nspatial && !spatial) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: spatial is NULL", who);
        return none;
    }
    for (uint32_t d = 0; d < nspatial; d++) {
        new_value.spatial[d] = spatial[d];
        if (!spatial[d] || !mskpi_product_fits(positions, spatial[d], &positions)) {
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                             "%s: spatial axis %u has length %zu, which is %s", who, d, spatial[d],
                             spatial[d] ? "too long" : "empty");
            return none;
        }
    }
    if (graph->nvalues >= MOST) {
        mskpi_graph_fail(graph, MSKP_ERROR_UNSUPPORTED, "%s: more than %zu values", who,
                         graph->nvalues);
        return none;
    }
    graph_value *values = mskpi_grow(&graph->services, graph->values, &graph->values_capacity,
                                     graph->nvalues + 1, 1, sizeof *values);
    if (values) graph->values = values;
    graph_step *steps = mskpi_grow(&graph->services, graph->steps, &graph->steps_capacity,
                                   graph->nvalues + 1, 1, sizeof *steps);
    if (steps) graph->steps = steps;
    if (!values || !steps || mskpi_name_room(graph, &graph->value_names)) {
        mskpi_no_memory(graph);
        return none;
    }
    if (mskpi_name_add(graph, &graph->value_names, "value", name, id, &new_value.name)) return none;
    values[++graph->nvalues] = new_value;
    return (mskp_value){id};
}

/* ---- What computes a value ---- */

graph_step *mskpi_step(mskp_graph *graph, mskp_value value, step_kind kind, size_t n,
                       const mskp_value *inputs)
{
    uint32_t *to = mskpi_grow(&graph->services, graph->step_inputs, &graph->step_inputs_capacity,
                              graph->nstep_inputs, n, sizeof *to);
    if (!to) {
        mskpi_no_memory(graph);
        return NULL;
    }
    graph->step_inputs = to;
    graph_step *s = &graph->steps[value.id];
    s->kind = kind;
    s->ninputs = (uint32_t)n;
    s->first_input = graph->nstep_inputs;
    for (size_t i = 0; i < n; i++) to[graph->nstep_inputs++] = inputs[i].id;
    return s;
}

uint32_t *mskpi_places(mskp_graph *graph, size_t n, size_t *first)
{
    uint32_t *places = mskpi_grow(&graph->services, graph->places, &graph->places_capacity,
                                  graph->nplaces, n, sizeof *places);
    if (!places) {
        mskpi_no_memory(graph);
        return NULL;
    }
    graph->places = places;
    *first = graph->nplaces;
    graph->nplaces += n;
    return places + *first;
}

int mskpi_new_list(mskp_graph *graph, const char *who, size_t n, list_view *view)
{
    char room[NAME_SIZE];
    if (!n || n >= MOST) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE, "%s: %zu channels, a value has 1 to %zu",
                         mskpi_short(who, room), n, (size_t)MOST - 1);
        return 1;
    }
    uint32_t *listed = mskpi_grow(&graph->services, graph->listed, &graph->listed_capacity,
                                  graph->nlisted, n, sizeof *listed);
    if (!listed) {
        mskpi_no_memory(graph);
        return 1;
    }
    graph->listed = listed;
    view->first = graph->nlisted;
    view->n = n;
    graph->nlisted += n;
    return 0;
}

int mskpi_new_channels(mskp_graph *graph, const char *who, size_t n, list_view *view)
{
    char room[NAME_SIZE];
    if (n >= MOST - graph->nchannels) {
        mskpi_graph_fail(graph, MSKP_ERROR_UNSUPPORTED,
                         "%s: %zu more channels; the graph has %zu of at most %zu",
                         mskpi_short(who, room), n, graph->nchannels, (size_t)MOST - 1);
        return 1;
    }
    graph_channel *channels = mskpi_grow(&graph->services, graph->channels, &graph->channels_capacity,
                                         graph->nchannels, n, sizeof *channels);
    if (!channels) {
        mskpi_no_memory(graph);
        return 1;
    }
    graph->channels = channels;
    if (mskpi_new_list(graph, who, n, view)) return 1;
    for (size_t i = 0; i < n; i++) {
        const uint32_t id = (uint32_t)graph->nchannels++;
        channels[id] = (graph_channel){.parent = id, .size = 1, .exact = ZERO_ALWAYS};
        graph->listed[view->first + i] = id;
    }
    return 0;
}

uint32_t mskp_value_shape(const mskp_graph *graph, mskp_value handle, size_t *channels,
                          size_t spatial[MSKP_MAX_SPATIAL])
{
    if (channels) *channels = 0;
    if (!graph || !handle.id || handle.id > graph->nvalues) return 0;
    const graph_value *v = &graph->values[handle.id];
    if (channels) *channels = v->view.n;
    if (spatial) memcpy(spatial, v->spatial, sizeof v->spatial);
    return v->nspatial;
}

uint32_t mskp_param_shape(const mskp_graph *graph, mskp_param handle, size_t shape[MSKP_MAX_DIMS])
{
    if (!graph || !handle.id || handle.id > graph->nparams) return 0;
    const graph_param *p = &graph->params[handle.id];
    for (uint32_t d = 0; shape && d < p->ndim; d++) shape[d] = graph->axes[p->axis + d].length;
    return p->ndim;
}

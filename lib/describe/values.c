/*
 * Parameters, values, lists of channels, and the record of what computes a value.
 *
 * A value is an ordered list of channels. Lists are views into one arena of channel numbers,
 * graph->listed. Operators that change no channels share the view of their input, a slice is a part
 * of a view, and only operators that make or reorder channels add to the arena. So a network of
 * many norms and activations costs little more than its convolutions.
 *
 * All arrays grow while the network is described. A pointer into one of them is therefore valid
 * only until the next call that adds something, and operators work on copies of what they read.
 *
 * Every value has one graph_step, which records what computes the value in as much detail as the
 * stage of constants needs. A value that no step was recorded for may be anything (STEP_UNKNOWN).
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
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

/* ---- Parameters ---- */

static mskp_status check_axes(mskp_graph *graph, const char *label, uint32_t ndim,
                              const size_t *shape)
{
    size_t elements = 1;
    if (!shape) return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT, "shape is NULL");
    if (ndim < 1 || ndim > MSKP_MAX_DIMS)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE, "%u axes, a parameter has 1 to %d",
                            ndim, MSKP_MAX_DIMS);
    for (uint32_t d = 0; d < ndim; d++)
        if (!shape[d] || shape[d] >= MOST || !mskpi_product_fits(elements, shape[d], &elements) ||
            elements > PTRDIFF_MAX / 16)
            return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                                "axis %u has length %zu, which is %s", d, shape[d],
                                shape[d] ? "too long" : "empty");
    /* Axes are numbered with 32 bits. A parameter has an axis, so ids fit, too. */
    if (ndim >= MOST - graph->naxes)
        return mskpi_refuse(graph, label, MSKP_ERROR_UNSUPPORTED,
                            "%u more axes; the parameters have %zu of at most %zu", ndim,
                            graph->naxes, (size_t)MOST - 1);
    return MSKP_OK;
}

mskp_param mskp_parameter(mskp_graph *graph, const char *name, uint32_t ndim, const size_t *shape)
{
    const mskp_param none = {0};
    graph_param p = {.ndim = ndim};
    if (mskpi_check_describing(graph) ||
        check_axes(graph, mskpi_label(name, "parameter"), ndim, shape))
        return none;
    graph_param *params = mskpi_grow(&graph->services, graph->params, &graph->params_capacity,
                                     graph->nparams + 1, 1, sizeof *params);
    if (params) graph->params = params;
    graph_axis *axes = mskpi_grow(&graph->services, graph->axes, &graph->axes_capacity,
                                  graph->naxes, ndim, sizeof *axes);
    if (axes) graph->axes = axes;
    if (!params || !axes) {
        mskpi_no_memory(graph);
        return none;
    }
    const uint32_t id = (uint32_t)graph->nparams + 1;
    if (mskpi_reserve_name(graph, &graph->param_names) ||
        mskpi_add_name(graph, &graph->param_names, "parameter", name, id, &p.name))
        return none;
    p.axis = (uint32_t)graph->naxes;
    for (uint32_t d = 0; d < ndim; d++)
        axes[graph->naxes++] = (graph_axis){.length = shape[d], .list = NO_LIST};
    params[id] = p;
    graph->nparams = id;
    return (mskp_param){id};
}

mskp_status mskpi_get_param(mskp_graph *graph, const char *label, const char *what,
                            mskp_param handle, graph_param *p)
{
    if (!handle.id)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                            "%s is needed, and is none (handle 0)", what);
    if (handle.id > graph->nparams)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                            "no parameter has handle %u, there are %zu", handle.id, graph->nparams);
    *p = graph->params[handle.id];
    MSKPI_ASSERT(p->axis + p->ndim <= graph->naxes && p->name < graph->text_used);
    return MSKP_OK;
}

/* ---- Values ---- */

mskp_status mskpi_get_value(mskp_graph *graph, const char *label, mskp_value handle, graph_value *v)
{
    const mskp_status status = mskpi_check_describing(graph);
    if (status) return status;
    if (!handle.id || handle.id > graph->nvalues)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                            "no value has handle %u, there are %zu", handle.id, graph->nvalues);
    *v = graph->values[handle.id];
    MSKPI_ASSERT(v->view.n > 0 && v->view.first + v->view.n <= graph->nlisted);
    return MSKP_OK;
}

size_t mskpi_positions(const graph_value *v)
{
    size_t positions = 1;
    for (uint32_t d = 0; d < v->nspatial; d++) positions *= v->spatial[d];
    MSKPI_ASSERT(positions > 0); /* no axis is empty */
    return positions;
}

static mskp_status check_spatial(mskp_graph *graph, const char *label, uint32_t nspatial,
                                 const size_t *spatial)
{
    size_t positions = 1;
    if (nspatial > MSKP_MAX_SPATIAL)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                            "%u spatial axes, a value has 0 to %d", nspatial, MSKP_MAX_SPATIAL);
    if (nspatial && !spatial)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT, "spatial is NULL");
    for (uint32_t d = 0; d < nspatial; d++)
        if (!spatial[d] || !mskpi_product_fits(positions, spatial[d], &positions))
            return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                                "spatial axis %u has length %zu, which is %s", d, spatial[d],
                                spatial[d] ? "too long" : "empty");
    if (graph->nvalues >= MOST - 1)
        return mskpi_refuse(graph, label, MSKP_ERROR_UNSUPPORTED,
                            "one more value; the graph has %zu of at most %zu", graph->nvalues,
                            (size_t)MOST - 1);
    return MSKP_OK;
}

mskp_status mskpi_new_value(mskp_graph *graph, const char *name, const char *op, list_view view,
                            uint32_t nspatial, const size_t *spatial, mskp_value *out)
{
    const uint32_t id = (uint32_t)graph->nvalues + 1;
    graph_value v = {.op = op, .view = view, .nspatial = nspatial, .list = NO_LIST};
    char derived[48];
    *out = NO_VALUE;
    MSKPI_ASSERT(!graph->error.status && view.n && view.first + view.n <= graph->nlisted);
    if (!name) { /* no other derived name ends in this id */
        snprintf(derived, sizeof derived, "%s#%u", op, id);
        name = derived;
    }
    if (check_spatial(graph, mskpi_label(name, op), nspatial, spatial))
        return mskpi_first_error(graph);
    for (uint32_t d = 0; d < nspatial; d++) v.spatial[d] = spatial[d];
    graph_value *values = mskpi_grow(&graph->services, graph->values, &graph->values_capacity,
                                     graph->nvalues + 1, 1, sizeof *values);
    if (values) graph->values = values;
    graph_step *steps = mskpi_grow(&graph->services, graph->steps, &graph->steps_capacity,
                                   graph->nvalues + 1, 1, sizeof *steps);
    if (steps) graph->steps = steps;
    if (!values || !steps) return mskpi_no_memory(graph);
    if (mskpi_reserve_name(graph, &graph->value_names) ||
        mskpi_add_name(graph, &graph->value_names, "value", name, id, &v.name))
        return mskpi_first_error(graph);
    MSKPI_ASSERT(steps[id].kind == STEP_UNKNOWN && !steps[id].own);
    values[id] = v;
    graph->nvalues = id;
    out->id = id;
    return MSKP_OK;
}

/* ---- Steps ---- */

mskp_status mskpi_add_step(mskp_graph *graph, mskp_value value, step_kind kind, size_t n,
                           const mskp_value *inputs, graph_step **step)
{
    uint32_t *to = mskpi_grow(&graph->services, graph->step_inputs, &graph->step_inputs_capacity,
                              graph->nstep_inputs, n, sizeof *to);
    if (!to) return mskpi_no_memory(graph);
    graph->step_inputs = to;
    graph_step *s = &graph->steps[value.id];
    MSKPI_ASSERT(kind != STEP_UNKNOWN && s->kind == STEP_UNKNOWN); /* recorded once */
    s->kind = kind;
    s->ninputs = (uint32_t)n;
    s->first_input = graph->nstep_inputs;
    for (size_t i = 0; i < n; i++) {
        MSKPI_ASSERT(inputs[i].id >= 1 && inputs[i].id <= graph->nvalues);
        to[graph->nstep_inputs++] = inputs[i].id;
    }
    if (step) *step = s;
    return MSKP_OK;
}

mskp_status mskpi_add_places(mskp_graph *graph, graph_step *step, size_t n, uint32_t **places)
{
    uint32_t *all = mskpi_grow(&graph->services, graph->places, &graph->places_capacity,
                               graph->nplaces, n, sizeof *all);
    if (!all) return mskpi_no_memory(graph);
    graph->places = all;
    step->first = graph->nplaces;
    *places = all + graph->nplaces;
    graph->nplaces += n;
    return MSKP_OK;
}

/* ---- Lists and channels ---- */

mskp_status mskpi_new_list(mskp_graph *graph, const char *label, size_t n, list_view *view)
{
    if (!n || n >= MOST)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                            "%zu channels, a value has 1 to %zu", n, (size_t)MOST - 1);
    uint32_t *listed = mskpi_grow(&graph->services, graph->listed, &graph->listed_capacity,
                                  graph->nlisted, n, sizeof *listed);
    if (!listed) return mskpi_no_memory(graph);
    graph->listed = listed;
    *view = (list_view){graph->nlisted, n};
    graph->nlisted += n;
    return MSKP_OK;
}

mskp_status mskpi_new_channels(mskp_graph *graph, const char *label, size_t n, list_view *view)
{
    MSKPI_ASSERT(graph->nchannels < MOST);
    if (n >= MOST - graph->nchannels)
        return mskpi_refuse(graph, label, MSKP_ERROR_UNSUPPORTED,
                            "%zu more channels; the graph has %zu of at most %zu", n,
                            graph->nchannels, (size_t)MOST - 1);
    graph_channel *channels =
        mskpi_grow(&graph->services, graph->channels, &graph->channels_capacity, graph->nchannels,
                   n, sizeof *channels);
    if (!channels) return mskpi_no_memory(graph);
    graph->channels = channels;
    if (mskpi_new_list(graph, label, n, view)) return mskpi_first_error(graph);
    for (size_t i = 0; i < n; i++) {
        const uint32_t id = (uint32_t)graph->nchannels++;
        channels[id] = (graph_channel){.parent = id, .size = 1, .exact = ZERO_ALWAYS};
        graph->listed[view->first + i] = id;
    }
    return MSKP_OK;
}

/* ---- Public look-ups ---- */

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

/*
 * The ends of what the library knows: inputs and outputs of the network, operators that the library
 * does not know (opaque), and parameters that are values themselves (embeddings, operands).
 *
 * The channels of inputs and outputs are pinned, because the world outside depends on their number.
 * An opaque operator may do anything, so the channels that it reads and makes are pinned, too.
 * A parameter as a value is a new list of channels, to which an axis of the parameter is bound.
 */
#include "base/status.h"
#include "describe/check.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "describe/step.h"
#include "describe/ties.h"
#include "describe/values.h"
#include "describe/zeros.h"
#include "mskp.h"
#include "mskp/operators.h"

/* ---- Ends of the network ---- */

mskp_value mskp_input(mskp_graph *graph, const char *name, size_t channels, uint32_t nspatial,
                      const size_t *spatial)
{
    const char *label = mskpi_label(name, "input");
    list_view view;
    mskp_value out;
    if (mskpi_check_describing(graph) || mskpi_new_channels(graph, label, channels, &view) ||
        mskpi_new_value(graph, name, "input", view, nspatial, spatial, &out) ||
        mskpi_pin(graph, "input", out, out.id))
        return NO_VALUE;
    return out;
}

mskp_status mskp_output(mskp_graph *graph, mskp_value v)
{
    const mskp_status status = mskpi_pin(graph, "output", v, v.id);
    if (!status) graph->steps[v.id].own |= OWN_READ;
    return status;
}

/* ---- Operators that the library does not know ---- */

static mskp_status check_inputs(mskp_graph *graph, const char *label, const mskp_opaque_desc *desc)
{
    graph_value v;
    if (desc->n && !desc->inputs)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT, "inputs is NULL");
    for (size_t i = 0; i < desc->n; i++)
        if (mskpi_get_value(graph, label, desc->inputs[i], &v)) return mskpi_first_error(graph);
    return MSKP_OK;
}

mskp_value mskp_opaque(mskp_graph *graph, const char *name, const mskp_opaque_desc *desc)
{
    list_view view;
    mskp_value out;
    size_t own_op;
    if (mskpi_check_describing(graph) || mskpi_check_desc(graph, mskpi_label(name, "opaque"), desc))
        return NO_VALUE;
    const char *label = mskpi_label(name, mskpi_label(desc->op, "opaque"));
    if (check_inputs(graph, label, desc) || mskpi_add_op(graph, label, desc->op, &own_op) ||
        mskpi_new_channels(graph, label, desc->channels, &view) ||
        mskpi_new_value(graph, name, desc->op, view, desc->nspatial, desc->spatial, &out))
        return NO_VALUE;
    graph->values[out.id].op = NULL;
    graph->values[out.id].own_op = own_op;
    for (size_t i = 0; i < desc->n; i++) {
        if (mskpi_pin(graph, label, desc->inputs[i], out.id)) return NO_VALUE;
        graph->steps[desc->inputs[i].id].own |= OWN_READ;
    }
    return mskpi_pin(graph, label, out, out.id) ? NO_VALUE : out;
}

/* ---- Parameters as values ---- */

/* Records that the value is a parameter, whose `axis` runs over the channels. */
static mskp_status param_step(mskp_graph *graph, mskp_value out, step_kind kind, mskp_param param,
                              uint32_t axis)
{
    graph_step *step;
    if (mskpi_add_step(graph, out, kind, 0, NULL, &step)) return mskpi_first_error(graph);
    step->params[0] = param.id;
    step->option = axis;
    return MSKP_OK;
}

static mskp_status check_table(mskp_graph *graph, const char *label, mskp_param table)
{
    static const size_t any[2] = {0, 0};
    graph_param p;
    if (mskpi_get_param(graph, label, "table", table, &p)) return mskpi_first_error(graph);
    return mskpi_check_param(graph, label, "table", table, 2, any);
}

mskp_value mskp_embedding(mskp_graph *graph, const char *name, mskp_param table, uint32_t nspatial,
                          const size_t *spatial)
{
    const char *label = mskpi_label(name, "embedding");
    list_view view;
    mskp_value out;
    if (mskpi_check_describing(graph) || check_table(graph, label, table) ||
        mskpi_new_channels(graph, label, mskpi_length(graph, table, 1), &view) ||
        mskpi_new_value(graph, name, "embedding", view, nspatial, spatial, &out))
        return NO_VALUE;
    mskpi_zero_all(graph, out.id, ZERO_FILTER);
    if (mskpi_bind(graph, table, 1, MSKP_ROLE_FILTER, view, out.id) ||
        mskpi_fix_axis(graph, table, 0, out.id) || param_step(graph, out, STEP_TABLE, table, 1))
        return NO_VALUE;
    return out;
}

static mskp_status check_operand(mskp_graph *graph, const char *label, mskp_param param,
                                 uint32_t axis)
{
    graph_param p;
    if (mskpi_get_param(graph, label, "param", param, &p)) return mskpi_first_error(graph);
    if (axis >= p.ndim)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                            "axis %u of a parameter with %u axes", axis, p.ndim);
    return MSKP_OK;
}

mskp_value mskp_param_operand(mskp_graph *graph, const char *name, mskp_param param, uint32_t axis,
                              uint32_t roles, uint32_t nspatial, const size_t *spatial)
{
    const char *label = mskpi_label(name, "param");
    list_view view;
    mskp_value out;
    if (mskpi_check_describing(graph) || check_operand(graph, label, param, axis) ||
        mskpi_new_channels(graph, label, mskpi_length(graph, param, axis), &view) ||
        mskpi_new_value(graph, name, "param", view, nspatial, spatial, &out) ||
        mskpi_bind_value(graph, param, axis, roles, out))
        return NO_VALUE;
    for (uint32_t d = 0; d < graph->params[param.id].ndim; d++)
        if (d != axis && mskpi_fix_axis(graph, param, d, out.id)) return NO_VALUE;
    /* The value is the slices themselves, in all of these roles, so any role makes it zero. */
    zero_table zero = ZERO_NEVER;
    if (roles & MSKP_ROLE_FILTER) zero |= ZERO_FILTER;
    if (roles & MSKP_ROLE_SCALE) zero |= ZERO_SCALE;
    if (roles & MSKP_ROLE_SHIFT) zero |= ZERO_SHIFT;
    mskpi_zero_all(graph, out.id, zero);
    return param_step(graph, out, STEP_PARAM, param, axis) ? NO_VALUE : out;
}

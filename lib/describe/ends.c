/*
 * The ends of what the library knows: inputs and outputs of the network, operators that the library
 * does not know (opaque), and parameters that are values themselves (embeddings, operands).
 *
 * Channels of inputs and outputs are pinned, because the world outside counts on their number. An
 * opaque operator may do anything, so that what it reads and what it makes is pinned, too.
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

static const mskp_value NO_VALUE = {0};

/* ---- ends of the network ---- */

mskp_value mskp_input(mskp_graph *graph, const char *name, size_t channels, uint32_t nspatial,
                      const size_t *spatial)
{
    mskp_status status;
    list_view view;
    if (!mskpi_describing(graph, &status) ||
        mskpi_new_channels(graph, mskpi_who(name, "input"), channels, &view))
        return NO_VALUE;
    const mskp_value v = mskpi_new_value(graph, name, "input", view, nspatial, spatial);
    return v.id && !mskpi_pin(graph, "input", v, v.id) ? v : NO_VALUE;
}

mskp_status mskp_output(mskp_graph *graph, mskp_value v)
{
    const mskp_status status = mskpi_pin(graph, "output", v, v.id);
    if (!status) graph->steps[v.id].own |= OWN_READ;
    return status;
}

mskp_value mskp_opaque(mskp_graph *graph, const char *name, const mskp_opaque_desc *desc)
{
    const char *who = mskpi_who(name, mskpi_who(desc ? desc->op : NULL, "opaque"));
    char room[NAME_SIZE];
    mskp_status status;
    graph_value v;
    list_view view;
    size_t own_op;
    if (!mskpi_describing(graph, &status) || mskpi_described(graph, who, desc)) return NO_VALUE;
    const size_t n = desc->n;
    const mskp_value *inputs = desc->inputs;
    if (n && !inputs) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: inputs is NULL",
                         mskpi_short(who, room));
        return NO_VALUE;
    }
    for (size_t i = 0; i < n; i++)
        if (mskpi_enter(graph, who, inputs[i], &v)) return NO_VALUE;
    if (mskpi_own_op(graph, who, desc->op, &own_op) ||
        mskpi_new_channels(graph, who, desc->channels, &view))
        return NO_VALUE;
    const mskp_value out =
        mskpi_new_value(graph, name, desc->op, view, desc->nspatial, desc->spatial);
    if (!out.id) return NO_VALUE;
    graph->values[out.id].op = NULL;
    graph->values[out.id].own_op = own_op;
    for (size_t i = 0; i < n; i++) {
        if (mskpi_pin(graph, who, inputs[i], out.id)) return NO_VALUE;
        graph->steps[inputs[i].id].own |= OWN_READ;
    }
    return mskpi_pin(graph, who, out, out.id) ? NO_VALUE : out;
}

/* ---- parameters as values ---- */

/* A parameter as a value. */
static mskp_value param_step(mskp_graph *graph, mskp_value out, step_kind kind, mskp_param param,
                             uint32_t axis)
{
    graph_step *step = mskpi_step(graph, out, kind, 0, NULL);
    if (!step) return NO_VALUE;
    step->params[0] = param.id;
    step->option = axis;
    return out;
}

mskp_value mskp_embedding(mskp_graph *graph, const char *name, mskp_param table, uint32_t nspatial,
                          const size_t *spatial)
{
    const char *who = mskpi_who(name, "embedding");
    static const size_t any[2] = {0, 0};
    mskp_status status;
    list_view view;
    if (!mskpi_describing(graph, &status) || !mskpi_param(graph, who, "table", table) ||
        mskpi_check_param(graph, who, "table", table, 2, any) ||
        mskpi_new_channels(graph, who, mskpi_length(graph, table, 1), &view))
        return NO_VALUE;
    const mskp_value out = mskpi_new_value(graph, name, "embedding", view, nspatial, spatial);
    if (!out.id) return NO_VALUE;
    mskpi_zero_all(graph, out.id, ZERO_FILTER);
    if (mskpi_bind(graph, table, 1, MSKP_ROLE_FILTER, view, out.id, out.id)) return NO_VALUE;
    return param_step(graph, out, STEP_TABLE, table, 1);
}

mskp_value mskp_param_operand(mskp_graph *graph, const char *name, mskp_param param, uint32_t axis,
                              uint32_t roles, uint32_t nspatial, const size_t *spatial)
{
    const char *who = mskpi_who(name, "param");
    mskp_status status;
    list_view view;
    char room[NAME_SIZE];
    if (!mskpi_describing(graph, &status)) return NO_VALUE;
    const graph_param *p = mskpi_param(graph, who, "param", param);
    if (!p) return NO_VALUE;
    if (axis >= p->ndim) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE, "%s: axis %u of a parameter with %u axes",
                         mskpi_short(who, room), axis, p->ndim);
        return NO_VALUE;
    }
    if (mskpi_new_channels(graph, who, mskpi_length(graph, param, axis), &view)) return NO_VALUE;
    const mskp_value out = mskpi_new_value(graph, name, "param", view, nspatial, spatial);
    if (!out.id || mskpi_bind_value(graph, param, axis, roles, out)) return NO_VALUE;
    /* It is nothing but these numbers: zero once any of its roles is. */
    zero_table zero = ZERO_NEVER;
    if (roles & MSKP_ROLE_FILTER) zero |= ZERO_FILTER;
    if (roles & MSKP_ROLE_SCALE) zero |= ZERO_SCALE;
    if (roles & MSKP_ROLE_SHIFT) zero |= ZERO_SHIFT;
    mskpi_zero_all(graph, out.id, zero);
    return param_step(graph, out, STEP_PARAM, param, axis);
}

/*
 * Operators that combine values position by position: element-wise sums, products, maxima and the
 * like, and concatenation along a spatial axis.
 *
 * Channel i of the result is computed from channel i of each operand, so channel i of all of
 * them can only be removed together. The lists are therefore tied, and the result shares the list
 * of the first of the widest operands. An operand with a single channel may be combined with all
 * channels of the others. Its channel is not tied to theirs, because they can be removed one by
 * one; but it acts on all of them, so it cannot itself be removed exactly.
 */
#include <string.h>

#include "base/assert.h"
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

static const char *const COMBINE_OP[] = {"add",     "subtract", "multiply", "maximum",
                                         "minimum", "average",  "divide"};
enum { COMBINE_KINDS = sizeof COMBINE_OP / sizeof *COMBINE_OP };

/* ---- Element-wise ---- */

/* all->spatial <- the spatial size of the values so far and of `part`. Axes of length 1, and values
 * without spatial axes, are broadcast. */
static mskp_status broadcast(mskp_graph *graph, const char *label, graph_value *all,
                             mskp_value part)
{
    const graph_value *v = &graph->values[part.id];
    char buffer[NAME_SIZE];
    const char *name = mskpi_short(mskpi_value_name(graph, part.id), buffer);
    if (!v->nspatial) return MSKP_OK;
    if (!all->nspatial) {
        all->nspatial = v->nspatial;
        memcpy(all->spatial, v->spatial, sizeof all->spatial);
        return MSKP_OK;
    }
    if (all->nspatial != v->nspatial)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                            "%s has %u spatial axes, the values before it have %u", name,
                            v->nspatial, all->nspatial);
    for (uint32_t d = 0; d < v->nspatial; d++) {
        if (all->spatial[d] == 1) all->spatial[d] = v->spatial[d];
        if (v->spatial[d] == 1 || v->spatial[d] == all->spatial[d]) continue;
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                            "%s has length %zu on spatial axis %u, the values before it have %zu",
                            name, v->spatial[d], d, all->spatial[d]);
    }
    return MSKP_OK;
}

/* *widest <- the first of the operands with most channels. Refuses others that have neither as many
 * channels nor one. */
static mskp_status check_channels(mskp_graph *graph, const char *label, size_t n,
                                  const mskp_value *values, mskp_value *widest)
{
    char narrow[NAME_SIZE], wide[NAME_SIZE];
    *widest = values[0];
    for (size_t i = 1; i < n; i++)
        if (mskpi_view_of(graph, values[i]).n > mskpi_view_of(graph, *widest).n)
            *widest = values[i];
    const size_t most = mskpi_view_of(graph, *widest).n;
    for (size_t i = 0; i < n; i++) {
        const size_t channels = mskpi_view_of(graph, values[i]).n;
        if (channels == 1 || channels == most) continue;
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE, "%s has %zu channels, %s has %zu",
                            mskpi_short(mskpi_value_name(graph, values[i].id), narrow), channels,
                            mskpi_short(mskpi_value_name(graph, widest->id), wide), most);
    }
    return MSKP_OK;
}

/* *all <- the list and the spatial size of the result. */
static mskp_status check_operands(mskp_graph *graph, const char *label, mskp_combine_kind kind,
                                  size_t n, const mskp_value *values, graph_value *all)
{
    graph_value v;
    mskp_value widest = NO_VALUE;
    const mskp_status status = mskpi_check_describing(graph);
    if (status) return status;
    if (!values) return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT, "values is NULL");
    if ((size_t)kind >= COMBINE_KINDS || !n)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                            "combine kind %u (there are %zu) of %zu values (1 at least)",
                            (unsigned)kind, (size_t)COMBINE_KINDS, n);
    for (size_t i = 0; i < n; i++)
        if (mskpi_get_value(graph, label, values[i], &v) || broadcast(graph, label, all, values[i]))
            return mskpi_first_error(graph);
    if (check_channels(graph, label, n, values, &widest)) return mskpi_first_error(graph);
    all->view = mskpi_view_of(graph, widest);
    return MSKP_OK;
}

/* A product is zero where one factor is, and other combinations are zero where all operands are.
 * Nothing is known of a quotient, which may be 0 / 0. The single channel of a narrow operand is of
 * another unit than the channels that it is combined with, and counts as never zero. */
static mskp_status combine_zeros(mskp_graph *graph, mskp_combine_kind kind, size_t n,
                                 const mskp_value *values, mskp_value out)
{
    const size_t channels = mskpi_view_of(graph, out).n;
    const bool product = kind == MSKP_COMBINE_MULTIPLY, quotient = kind == MSKP_COMBINE_DIVIDE;
    zero_table *zero;
    if (mskpi_zero_each(graph, out.id, &zero)) return mskpi_first_error(graph);
    for (size_t i = 0; i < channels; i++) {
        zero[i] = product || quotient ? ZERO_NEVER : ZERO_ALWAYS;
        for (size_t k = 0; k < n && !quotient; k++) {
            const bool wide = mskpi_view_of(graph, values[k]).n == channels;
            const zero_table z = wide ? mskpi_zero(graph, values[k].id, i) : ZERO_NEVER;
            if (product)
                zero[i] |= z;
            else
                zero[i] &= z;
        }
    }
    mskpi_zero_filled(graph, out.id);
    return MSKP_OK;
}

static mskp_status tie_operands(mskp_graph *graph, size_t n, const mskp_value *values,
                                mskp_value out)
{
    const list_view all = mskpi_view_of(graph, out);
    for (size_t i = 0; i < n; i++) {
        const list_view view = mskpi_view_of(graph, values[i]);
        MSKPI_ASSERT(view.n == all.n || view.n == 1);
        if (view.n == all.n) {
            if (mskpi_tie_lists(graph, all, view, out.id)) return mskpi_first_error(graph);
        } else {
            graph->channels[graph->listed[view.first]].exact = ZERO_NEVER;
        }
    }
    return MSKP_OK;
}

mskp_value mskp_combine(mskp_graph *graph, const char *name, mskp_combine_kind kind, size_t n,
                        const mskp_value *values)
{
    graph_value all = {0};
    graph_step *step;
    mskp_value out;
    if (check_operands(graph, mskpi_label(name, "combine"), kind, n, values, &all) ||
        mskpi_new_value(graph, name, COMBINE_OP[kind], all.view, all.nspatial, all.spatial, &out) ||
        tie_operands(graph, n, values, out) || combine_zeros(graph, kind, n, values, out) ||
        mskpi_add_step(graph, out, STEP_COMBINE, n, values, &step))
        return NO_VALUE;
    step->option = (uint32_t)kind;
    return out;
}

/* ---- Concatenation in space ---- */

/* *first <- the list of the first value, with the spatial size of the result. */
static mskp_status check_stack(mskp_graph *graph, const char *label, uint32_t axis, size_t n,
                               const mskp_value *values, graph_value *first)
{
    char buffer[NAME_SIZE];
    graph_value v;
    size_t length = 0;
    const mskp_status status = mskpi_check_describing(graph);
    if (status) return status;
    if (!values || !n)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT, "concatenation of %zu values",
                            values ? n : 0);
    for (size_t k = 0; k < n; k++) {
        if (mskpi_get_value(graph, label, values[k], &v)) return mskpi_first_error(graph);
        if (k == 0) *first = v;
        const char *part = mskpi_short(mskpi_value_name(graph, values[k].id), buffer);
        if (v.view.n != first->view.n || v.nspatial != first->nspatial || axis >= v.nspatial)
            return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                                "%s (%zu channels, %u spatial axes) does not continue the first "
                                "value (%zu, %u) on spatial axis %u",
                                part, v.view.n, v.nspatial, first->view.n, first->nspatial, axis);
        for (uint32_t d = 0; d < v.nspatial; d++)
            if (d != axis && v.spatial[d] != first->spatial[d])
                return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                                    "%s has length %zu on spatial axis %u, the first value %zu",
                                    part, v.spatial[d], d, first->spatial[d]);
        if (v.spatial[axis] > SIZE_MAX - length)
            return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                                "%s of length %zu on spatial axis %u, after %zu, is too long", part,
                                v.spatial[axis], axis, length);
        length += v.spatial[axis];
    }
    first->spatial[axis] = length;
    return MSKP_OK;
}

mskp_value mskp_concat_spatial(mskp_graph *graph, const char *name, uint32_t axis, size_t n,
                               const mskp_value *values)
{
    const char *const op = "concat_spatial";
    graph_value v = {0};
    mskp_value out;
    if (check_stack(graph, mskpi_label(name, op), axis, n, values, &v) ||
        mskpi_new_value(graph, name, op, v.view, v.nspatial, v.spatial, &out) ||
        tie_operands(graph, n, values, out) ||
        combine_zeros(graph, MSKP_COMBINE_ADD, n, values, out) ||
        mskpi_add_step(graph, out, STEP_STACK, n, values, NULL))
        return NO_VALUE;
    return out;
}

/*
 * Operators that combine values position by position: element-wise sums, products, maxima and the
 * like, and concatenation along a spatial axis. The lists are tied channel by channel, because
 * channel i of all of them can only leave together. An operand with one channel may go to all
 * channels of the others; its channel is not tied to theirs, and it cannot leave without a trace.
 */
#include <string.h>

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

/* The result's spatial size, where lengths of 1 and values without spatial axes broadcast. 1 after
 * a sentence: they do not fit. */
static int broadcast(mskp_graph *graph, const char *shown, graph_value *all, mskp_value part)
{
    const graph_value *v = &graph->values[part.id];
    char room[NAME_SIZE];
    const char *name = mskpi_short(mskpi_value_name(graph, part.id), room);
    if (!v->nspatial) return 0;
    if (!all->nspatial) {
        all->nspatial = v->nspatial;
        memcpy(all->spatial, v->spatial, sizeof all->spatial);
        return 0;
    }
    if (all->nspatial != v->nspatial) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                         "%s: %s has %u spatial axes, the values before it have %u", shown, name,
                         v->nspatial, all->nspatial);
        return 1;
    }
    for (uint32_t d = 0; d < v->nspatial; d++) {
        if (all->spatial[d] == 1) all->spatial[d] = v->spatial[d];
        if (v->spatial[d] == 1 || v->spatial[d] == all->spatial[d]) continue;
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                         "%s: %s has length %zu on spatial axis %u, the values before it have %zu",
                         shown, name, v->spatial[d], d, all->spatial[d]);
        return 1;
    }
    return 0;
}

/* A product is zero where one factor is, anything else where all are. A single channel that goes to
 * all is another unit's, and stays. What 0/0 is, nobody knows. */
static int combine_zeros(mskp_graph *graph, mskp_combine_kind kind, size_t n,
                         const mskp_value *values, mskp_value out)
{
    const size_t channels = graph->values[out.id].view.n;
    zero_table *zero = mskpi_zero_each(graph, out.id);
    if (!zero) return 1;
    for (size_t i = 0; i < channels; i++) {
        zero[i] =
            kind == MSKP_COMBINE_MULTIPLY || kind == MSKP_COMBINE_DIVIDE ? ZERO_NEVER : ZERO_ALWAYS;
        for (size_t k = 0; k < n; k++) {
            const int wide = graph->values[values[k].id].view.n == channels;
            const zero_table z = wide ? mskpi_zero(graph, values[k].id, i) : ZERO_NEVER;
            if (kind == MSKP_COMBINE_MULTIPLY)
                zero[i] |= z;
            else if (kind != MSKP_COMBINE_DIVIDE)
                zero[i] &= z;
        }
    }
    mskpi_zero_filled(graph, out.id);
    return 0;
}

mskp_value mskp_combine(mskp_graph *graph, const char *name, mskp_combine_kind kind, size_t n,
                        const mskp_value *values)
{
    static const char *const op[] = {"add",     "subtract", "multiply", "maximum",
                                     "minimum", "average",  "divide"};
    const char *who = mskpi_who(name, "combine");
    char room[NAME_SIZE], room_v[NAME_SIZE], room_w[NAME_SIZE];
    const char *shown = mskpi_short(who, room);
    mskp_status status;
    graph_value all = {0}, v;
    uint32_t widest = 0;
    if (!mskpi_describing(graph, &status)) return NO_VALUE;
    if (!values) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: values is NULL", shown);
        return NO_VALUE;
    }
    if ((size_t)kind >= sizeof op / sizeof *op || !n) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                         "%s: combine kind %u (there are %zu) of %zu values (1 at least)", shown,
                         (unsigned)kind, sizeof op / sizeof *op, n);
        return NO_VALUE;
    }
    /* The widest operand gives the list. */
    for (size_t i = 0; i < n; i++) {
        if (mskpi_enter(graph, who, values[i], &v)) return NO_VALUE;
        if (v.view.n > all.view.n) {
            all.view = v.view;
            widest = values[i].id;
        }
        if (broadcast(graph, shown, &all, values[i])) return NO_VALUE;
    }
    for (size_t i = 0; i < n; i++) {
        const size_t channels = graph->values[values[i].id].view.n;
        if (channels == 1 || channels == all.view.n) continue;
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE, "%s: %s has %zu channels, %s has %zu", shown,
                         mskpi_short(mskpi_value_name(graph, values[i].id), room_v), channels,
                         mskpi_short(mskpi_value_name(graph, widest), room_w), all.view.n);
        return NO_VALUE;
    }
    const mskp_value out =
        mskpi_new_value(graph, name, op[kind], all.view, all.nspatial, all.spatial);
    if (!out.id) return NO_VALUE;
    for (size_t i = 0; i < n; i++) {
        const list_view view = graph->values[values[i].id].view;
        if (view.n == all.view.n && mskpi_tie_lists(graph, all.view, view, out.id)) return NO_VALUE;
        /* What all channels read leaves a trace in all of them. */
        if (view.n < all.view.n) graph->channels[graph->listed[view.first]].exact = ZERO_NEVER;
    }
    if (combine_zeros(graph, kind, n, values, out)) return NO_VALUE;
    graph_step *step = mskpi_step(graph, out, STEP_COMBINE, n, values);
    if (!step) return NO_VALUE;
    step->option = (uint32_t)kind;
    return out;
}

mskp_value mskp_concat_spatial(mskp_graph *graph, const char *name, uint32_t axis, size_t n,
                               const mskp_value *values)
{
    const char *who = mskpi_who(name, "concat_spatial");
    char room[NAME_SIZE], room_v[NAME_SIZE];
    const char *shown = mskpi_short(who, room);
    mskp_status status;
    graph_value first = {0}, v;
    size_t length = 0;
    if (!mskpi_describing(graph, &status)) return NO_VALUE;
    if (!values || !n) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: concatenation of %zu values", shown,
                         values ? n : 0);
        return NO_VALUE;
    }
    for (size_t k = 0; k < n; k++) {
        if (mskpi_enter(graph, who, values[k], &v)) return NO_VALUE;
        if (k == 0) first = v;
        const char *part = mskpi_short(mskpi_value_name(graph, values[k].id), room_v);
        if (v.view.n != first.view.n || v.nspatial != first.nspatial || axis >= v.nspatial) {
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                             "%s: %s (%zu channels, %u spatial axes) does not continue the first "
                             "value (%zu, %u) on spatial axis %u",
                             shown, part, v.view.n, v.nspatial, first.view.n, first.nspatial, axis);
            return NO_VALUE;
        }
        for (uint32_t d = 0; d < v.nspatial; d++) {
            if (d == axis || v.spatial[d] == first.spatial[d]) continue;
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                             "%s: %s has length %zu on spatial axis %u, the first value %zu", shown,
                             part, v.spatial[d], d, first.spatial[d]);
            return NO_VALUE;
        }
        if (v.spatial[axis] > SIZE_MAX - length) {
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                             "%s: %s of length %zu on spatial axis %u, after %zu, is too long",
                             shown, part, v.spatial[axis], axis, length);
            return NO_VALUE;
        }
        length += v.spatial[axis];
    }
    first.spatial[axis] = length;
    const mskp_value out =
        mskpi_new_value(graph, name, "concat_spatial", first.view, first.nspatial, first.spatial);
    if (!out.id) return NO_VALUE;
    for (size_t k = 1; k < n; k++)
        if (mskpi_tie_lists(graph, first.view, graph->values[values[k].id].view, out.id))
            return NO_VALUE;
    if (combine_zeros(graph, MSKP_COMBINE_ADD, n, values, out)) return NO_VALUE;
    return mskpi_step(graph, out, STEP_STACK, n, values) ? out : NO_VALUE;
}

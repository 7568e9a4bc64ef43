/*
 * Operators that move channels to other places: slices, chunks, padding with zeros, flattening,
 * reshaping, shuffles of channels and pixels. Nothing is computed.
 *
 * A result's list holds the input's channel numbers in another order, or a part of them. Where one
 * channel of the result is made of several of the input (unflatten, pixel shuffle), these are tied.
 * Where several are made of one (flatten, pixel unshuffle), the same channel number stands several
 * times in the list.
 */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
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

/* Consecutive channels: a view into the list, and into its table. */
static mskp_value part_of(mskp_graph *graph, const char *name, const char *op, mskp_value in,
                          size_t first, size_t count)
{
    const graph_value v = graph->values[in.id];
    const mskp_value out = mskpi_new_value(
        graph, name, op, (list_view){v.view.first + first, count}, v.nspatial, v.spatial);
    if (!out.id) return NO_VALUE;
    mskpi_zero_same(graph, out.id, in.id);
    if (v.zeros) graph->values[out.id].zeros += first;
    graph_step *step = mskpi_step(graph, out, STEP_PART, 1, &in);
    if (!step) return NO_VALUE;
    step->first = first;
    return out;
}

mskp_value mskp_slice(mskp_graph *graph, const char *name, mskp_value in, size_t first,
                      size_t count)
{
    const char *who = mskpi_who(name, "slice");
    char room[NAME_SIZE];
    graph_value v;
    if (mskpi_enter(graph, who, in, &v)) return NO_VALUE;
    if (!count || first >= v.view.n || count > v.view.n - first) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                         "%s: %zu channels from channel %zu, its input has %zu",
                         mskpi_short(who, room), count, first, v.view.n);
        return NO_VALUE;
    }
    return part_of(graph, name, "slice", in, first, count);
}

mskp_status mskp_chunk(mskp_graph *graph, const char *name, mskp_value in, size_t n,
                       uint32_t rewritable, mskp_value *parts)
{
    const char *who = mskpi_who(name, "chunk");
    char room[NAME_SIZE], digits[24];
    graph_value v;
    mskp_status status;
    const size_t most =
        graph && in.id && in.id <= graph->nvalues ? graph->values[in.id].view.n : UINT32_MAX;
    for (size_t k = 0; parts && n <= most && k < n; k++) parts[k] = NO_VALUE;
    if (!mskpi_describing(graph, &status)) return status;
    if (mskpi_enter(graph, who, in, &v)) return graph->error.status;
    if (!parts)
        return mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: parts is NULL",
                                mskpi_short(who, room));
    if (rewritable > 1)
        return mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: rewritable is %u, not 0 or 1",
                                mskpi_short(who, room), rewritable);
    if (!n || v.view.n % n)
        return mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                                "%s: %zu channels do not make %zu equal parts",
                                mskpi_short(who, room), v.view.n, n);
    for (size_t k = 0; !status && k < n; k++) {
        snprintf(digits, sizeof digits, "%zu", k);
        parts[k] = part_of(graph, mskpi_part_name(graph, name, digits), "chunk", in,
                           k * (v.view.n / n), v.view.n / n);
        status = graph->error.status;
    }
    if (!status && !rewritable) status = mskpi_tie_parts(graph, v.view, n, parts[0].id);
    for (size_t k = 0; status && k < n; k++) parts[k] = NO_VALUE;
    return status;
}

mskp_value mskp_pad_channels(mskp_graph *graph, const char *name, mskp_value in, size_t before,
                             size_t after)
{
    const char *who = mskpi_who(name, "pad_channels");
    graph_value v;
    list_view head = {0}, tail = {0}, view;
    if (mskpi_enter(graph, who, in, &v)) return NO_VALUE;
    if ((before && mskpi_new_channels(graph, who, before, &head)) ||
        (after && mskpi_new_channels(graph, who, after, &tail)) ||
        mskpi_new_list(graph, who, before + v.view.n + after, &view))
        return NO_VALUE;
    const list_view parts[] = {head, v.view, tail};
    size_t at = view.first;
    for (size_t i = 0; i < 3; i++) {
        if (!parts[i].n) continue;
        memcpy(graph->listed + at, graph->listed + parts[i].first,
               parts[i].n * sizeof *graph->listed);
        at += parts[i].n;
    }
    const mskp_value out =
        mskpi_new_value(graph, name, "pad_channels", view, v.nspatial, v.spatial);
    zero_table *zero = out.id ? mskpi_zero_each(graph, out.id) : NULL;
    if (!zero) return NO_VALUE;
    for (size_t i = 0; i < view.n; i++)
        zero[i] = i < before || i >= before + v.view.n ? ZERO_ALWAYS
                                                       : mskpi_zero(graph, in.id, i - before);
    mskpi_zero_filled(graph, out.id);
    graph_step *step = mskpi_step(graph, out, STEP_PLACES, 1, &in);
    uint32_t *place = step ? mskpi_places(graph, view.n, &step->first) : NULL;
    if (!place) return NO_VALUE;
    for (size_t i = 0; i < view.n; i++)
        place[i] = i < before || i >= before + v.view.n ? NO_PLACE : (uint32_t)(i - before);
    return out;
}

/* ---- the same channels in other places ---- */

/* Which channel of the input is channel i of the result? */
typedef size_t place(size_t i, size_t a, size_t b);
static size_t divide(size_t i, size_t a, size_t b)
{
    (void)b;
    return i / a;
}
static size_t wrap(size_t i, size_t a, size_t b)
{
    (void)b;
    return i % a;
}
/* a rows of b, read by columns */
static size_t transpose(size_t i, size_t a, size_t b)
{
    return i % a * b + i / a;
}

static mskp_value rearranged(mskp_graph *graph, const char *name, const char *op, mskp_value in,
                             size_t n, place *from, size_t a, size_t b, uint32_t nspatial,
                             const size_t *spatial)
{
    list_view view;
    if (mskpi_new_list(graph, mskpi_who(name, op), n, &view)) return NO_VALUE;
    const size_t first = graph->values[in.id].view.first;
    for (size_t i = 0; i < n; i++)
        graph->listed[view.first + i] = graph->listed[first + from(i, a, b)];
    const mskp_value out = mskpi_new_value(graph, name, op, view, nspatial, spatial);
    zero_table *zero = out.id ? mskpi_zero_each(graph, out.id) : NULL;
    if (!zero) return NO_VALUE;
    for (size_t i = 0; i < n; i++) zero[i] = mskpi_zero(graph, in.id, from(i, a, b));
    mskpi_zero_filled(graph, out.id);
    graph_step *step = mskpi_step(graph, out, STEP_PLACES, 1, &in);
    uint32_t *places = step ? mskpi_places(graph, n, &step->first) : NULL;
    if (!places) return NO_VALUE;
    for (size_t i = 0; i < n; i++) places[i] = (uint32_t)from(i, a, b);
    return out;
}

/* Each channel of the result is made of `block` of the input's, which are tied: neighbours, or, if
 * strided, those that are `channels` apart. */
static mskp_value gathered(mskp_graph *graph, const char *name, const char *op, mskp_value in,
                           size_t channels, size_t block, int strided, uint32_t nspatial,
                           const size_t *spatial)
{
    list_view view;
    if (mskpi_new_list(graph, mskpi_who(name, op), channels, &view)) return NO_VALUE;
    const list_view from = graph->values[in.id].view;
    const size_t next = strided ? channels : 1, step = strided ? 1 : block;
    for (size_t c = 0; c < channels; c++)
        graph->listed[view.first + c] = graph->listed[from.first + c * step];
    const mskp_value out = mskpi_new_value(graph, name, op, view, nspatial, spatial);
    zero_table *zero = out.id ? mskpi_zero_each(graph, out.id) : NULL;
    if (!zero) return NO_VALUE;
    for (size_t c = 0; c < channels; c++) {
        zero[c] = ZERO_ALWAYS;
        for (size_t k = 0; k < block; k++) zero[c] &= mskpi_zero(graph, in.id, c * step + k * next);
    }
    mskpi_zero_filled(graph, out.id);
    graph_step *made = mskpi_step(graph, out, STEP_BLOCKS, 1, &in);
    uint32_t *places = made ? mskpi_places(graph, from.n, &made->first) : NULL;
    if (!places) return NO_VALUE;
    made->groups = block;
    for (size_t c = 0; c < channels; c++)
        for (size_t k = 0; k < block; k++) *places++ = (uint32_t)(c * step + k * next);
    if (strided) return mskpi_tie_parts(graph, from, block, out.id) ? NO_VALUE : out;
    for (size_t c = 0; c < channels; c++)
        if (mskpi_tie_all(graph, (list_view){from.first + c * block, block}, out.id))
            return NO_VALUE;
    return out;
}

mskp_value mskp_flatten(mskp_graph *graph, const char *name, mskp_value in, uint32_t channels_last)
{
    const char *who = mskpi_who(name, "flatten");
    char room[NAME_SIZE];
    graph_value v;
    if (mskpi_enter(graph, who, in, &v)) return NO_VALUE;
    const size_t positions = mskpi_positions(&v);
    if (channels_last > 1) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: channels_last is %u, not 0 or 1",
                         mskpi_short(who, room), channels_last);
        return NO_VALUE;
    }
    if (positions == 1) {
        const mskp_value out = mskpi_new_value(graph, name, "flatten", v.view, 0, NULL);
        if (out.id) mskpi_zero_same(graph, out.id, in.id);
        return out.id && mskpi_step(graph, out, STEP_PART, 1, &in) ? out : NO_VALUE;
    }
    return rearranged(graph, name, "flatten", in, mskpi_product(v.view.n, positions),
                      channels_last ? wrap : divide, channels_last ? v.view.n : positions, 0, 0,
                      NULL);
}

/* Where the value's own size, in channels and on axes, is too small or does not divide. */
static mskp_value misfit(mskp_graph *graph, const char *who, size_t channels, size_t parts)
{
    char room[NAME_SIZE];
    mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE, "%s: %zu channels do not make parts of %zu",
                     mskpi_short(who, room), channels, parts);
    return NO_VALUE;
}

mskp_value mskp_unflatten(mskp_graph *graph, const char *name, mskp_value in, uint32_t nspatial,
                          const size_t *spatial, uint32_t channels_last)
{
    const char *who = mskpi_who(name, "unflatten");
    char room[NAME_SIZE];
    graph_value v;
    size_t positions = 1;
    if (mskpi_enter(graph, who, in, &v)) return NO_VALUE;
    if (v.nspatial || channels_last > 1 || (nspatial && !spatial)) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                         "%s: input has %u spatial axes (0 are expected), channels_last is %u%s",
                         mskpi_short(who, room), v.nspatial, channels_last,
                         nspatial && !spatial ? ", spatial is NULL" : "");
        return NO_VALUE;
    }
    for (uint32_t d = 0; d < nspatial && d < MSKP_MAX_SPATIAL; d++)
        positions = mskpi_product(positions, spatial[d]);
    if (!positions || v.view.n % positions) return misfit(graph, who, v.view.n, positions);
    const size_t channels = v.view.n / positions;
    /* Channel c of the result is all of these: tied, and zero where all are. */
    return gathered(graph, name, "unflatten", in, channels, positions, channels_last != 0, nspatial,
                    spatial);
}

mskp_value mskp_reshape(mskp_graph *graph, const char *name, mskp_value in, uint32_t nspatial,
                        const size_t *spatial)
{
    const char *who = mskpi_who(name, "reshape");
    char room[NAME_SIZE];
    graph_value v;
    size_t positions = 1;
    if (mskpi_enter(graph, who, in, &v)) return NO_VALUE;
    if (nspatial && !spatial) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: spatial is NULL",
                         mskpi_short(who, room));
        return NO_VALUE;
    }
    for (uint32_t d = 0; d < nspatial && d < MSKP_MAX_SPATIAL; d++)
        positions = mskpi_product(positions, spatial[d]);
    if (positions != mskpi_positions(&v)) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE, "%s: %zu positions become %zu",
                         mskpi_short(who, room), mskpi_positions(&v), positions);
        return NO_VALUE;
    }
    const mskp_value out = mskpi_new_value(graph, name, "reshape", v.view, nspatial, spatial);
    if (out.id) mskpi_zero_same(graph, out.id, in.id);
    return out.id && mskpi_step(graph, out, STEP_PART, 1, &in) ? out : NO_VALUE;
}

mskp_value mskp_channel_shuffle(mskp_graph *graph, const char *name, mskp_value in, size_t groups,
                                uint32_t rewritable)
{
    const char *who = mskpi_who(name, "channel_shuffle");
    char room[NAME_SIZE];
    graph_value v;
    if (mskpi_enter(graph, who, in, &v)) return NO_VALUE;
    if (rewritable > 1) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: rewritable is %u, not 0 or 1",
                         mskpi_short(who, room), rewritable);
        return NO_VALUE;
    }
    if (!groups || v.view.n % groups) return misfit(graph, who, v.view.n, groups);
    const mskp_value out = rearranged(graph, name, "channel_shuffle", in, v.view.n, transpose,
                                      groups, v.view.n / groups, v.nspatial, v.spatial);
    if (out.id && !rewritable && mskpi_tie_parts(graph, v.view, groups, out.id)) return NO_VALUE;
    return out;
}

/* *block <- how many channels make one: factor ** nspatial, SIZE_MAX if that overflows. 1 after a
 * sentence. */
static int check_order(mskp_graph *graph, const char *who, const graph_value *v, size_t factor,
                       mskp_shuffle_order order, size_t *block)
{
    char room[NAME_SIZE];
    *block = 1;
    for (uint32_t d = 0; d < v->nspatial; d++) *block = mskpi_product(*block, factor);
    if (v->nspatial && factor && (unsigned)order <= MSKP_SHUFFLE_BLOCK_MAJOR) return 0;
    mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                     "%s: factor %zu on %u spatial axes, order %u (there are 2)",
                     mskpi_short(who, room), factor, v->nspatial, (unsigned)order);
    return 1;
}

mskp_value mskp_pixel_shuffle(mskp_graph *graph, const char *name, mskp_value in, size_t factor,
                              mskp_shuffle_order order)
{
    const char *who = mskpi_who(name, "pixel_shuffle");
    char room[NAME_SIZE];
    graph_value v;
    size_t block;
    if (mskpi_enter(graph, who, in, &v) || check_order(graph, who, &v, factor, order, &block))
        return NO_VALUE;
    if (v.view.n % block) return misfit(graph, who, v.view.n, block);
    for (uint32_t d = 0; d < v.nspatial; d++) {
        if (mskpi_product_fits(v.spatial[d], factor, &v.spatial[d])) continue;
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                         "%s: %zu times spatial axis %u of length %zu is too long",
                         mskpi_short(who, room), factor, d, v.spatial[d]);
        return NO_VALUE;
    }
    return gathered(graph, name, "pixel_shuffle", in, v.view.n / block, block,
                    order == MSKP_SHUFFLE_BLOCK_MAJOR, v.nspatial, v.spatial);
}

mskp_value mskp_pixel_unshuffle(mskp_graph *graph, const char *name, mskp_value in, size_t factor,
                                mskp_shuffle_order order)
{
    const char *who = mskpi_who(name, "pixel_unshuffle");
    char room[NAME_SIZE];
    graph_value v;
    size_t block;
    if (mskpi_enter(graph, who, in, &v) || check_order(graph, who, &v, factor, order, &block))
        return NO_VALUE;
    for (uint32_t d = 0; d < v.nspatial; d++) {
        if (v.spatial[d] % factor) {
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                             "%s: spatial axis %u of length %zu is no multiple of %zu",
                             mskpi_short(who, room), d, v.spatial[d], factor);
            return NO_VALUE;
        }
        v.spatial[d] /= factor;
    }
    const int major = order == MSKP_SHUFFLE_BLOCK_MAJOR;
    return rearranged(graph, name, "pixel_unshuffle", in, mskpi_product(v.view.n, block),
                      major ? wrap : divide, major ? v.view.n : block, 0, v.nspatial, v.spatial);
}

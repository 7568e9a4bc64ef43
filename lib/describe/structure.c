/*
 * Operators that move channels to other places: slices, chunks, padding with zeros, flattening,
 * reshaping, shuffles of channels and pixels. Nothing is computed.
 *
 * A result's list holds the input's channel numbers in another order, or a part of them. There are
 * four forms, and every operator here is one of them:
 *
 *   part_of      The result has consecutive channels of the input, and its view is a part of the
 *                input's (slice, chunk; reshape takes all channels).
 *   padded       The result has the input's channels between new ones.
 *   rearranged   Channel i of the result is one channel of the input, by a function of i. Several
 *                channels may be made of one (flatten, pixel unshuffle), whose number then stands
 *                several times in the list.
 *   gathered     Channel i of the result is made of a block of channels of the input, and these
 *                are tied (unflatten, pixel shuffle).
 *
 * The steps record places and not channel numbers, because a list may hold a number several times.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
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

/* ---- Consecutive channels ---- */

/* *out <- channels first .. first+count-1 of the input, with the given spatial axes. */
static mskp_status part_of(mskp_graph *graph, const char *name, const char *op, mskp_value in,
                           size_t first, size_t count, uint32_t nspatial, const size_t *spatial,
                           mskp_value *out)
{
    const graph_value v = graph->values[in.id];
    const list_view view = {v.view.first + first, count};
    graph_step *step;
    MSKPI_ASSERT(count && first + count <= v.view.n);
    if (mskpi_new_value(graph, name, op, view, nspatial, spatial, out))
        return mskpi_first_error(graph);
    mskpi_zero_same(graph, out->id, in.id);
    if (v.zeros) graph->values[out->id].zeros += first;
    if (mskpi_add_step(graph, *out, STEP_PART, 1, &in, &step)) return mskpi_first_error(graph);
    step->first = first;
    return MSKP_OK;
}

static mskp_status check_slice(mskp_graph *graph, const char *label, size_t channels, size_t first,
                               size_t count)
{
    if (count && first < channels && count <= channels - first) return MSKP_OK;
    return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                        "%zu channels from channel %zu, its input has %zu", count, first, channels);
}

mskp_value mskp_slice(mskp_graph *graph, const char *name, mskp_value in, size_t first,
                      size_t count)
{
    const char *label = mskpi_label(name, "slice");
    graph_value v;
    mskp_value out;
    if (mskpi_get_value(graph, label, in, &v) ||
        check_slice(graph, label, v.view.n, first, count) ||
        part_of(graph, name, "slice", in, first, count, v.nspatial, v.spatial, &out))
        return NO_VALUE;
    return out;
}

static mskp_status check_chunk(mskp_graph *graph, const char *label, size_t channels, size_t n,
                               uint32_t rewritable, const mskp_value *parts)
{
    if (!parts) return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT, "parts is NULL");
    if (mskpi_check_flag(graph, label, "rewritable", rewritable)) return mskpi_first_error(graph);
    if (!n || channels % n)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                            "%zu channels do not make %zu equal parts", channels, n);
    return MSKP_OK;
}

/* Makes the parts NAME.0, NAME.1 ... and ties them, unless the caller can rewrite them. */
static mskp_status make_chunks(mskp_graph *graph, const char *name, mskp_value in, size_t n,
                               bool rewritable, mskp_value *parts)
{
    const graph_value v = graph->values[in.id];
    const size_t count = v.view.n / n;
    char digits[24];
    const char *part;
    for (size_t k = 0; k < n; k++) {
        snprintf(digits, sizeof digits, "%zu", k);
        if (mskpi_part_name(graph, name, digits, &part) ||
            part_of(graph, part, "chunk", in, k * count, count, v.nspatial, v.spatial, &parts[k]))
            return mskpi_first_error(graph);
    }
    return rewritable ? MSKP_OK : mskpi_tie_parts(graph, v.view, n, parts[0].id);
}

mskp_status mskp_chunk(mskp_graph *graph, const char *name, mskp_value in, size_t n,
                       uint32_t rewritable, mskp_value *parts)
{
    const char *label = mskpi_label(name, "chunk");
    graph_value v;
    /* No value has MOST channels or more, and no array of parts is longer. */
    for (size_t k = 0; parts && n < MOST && k < n; k++) parts[k] = NO_VALUE;
    mskp_status status = mskpi_get_value(graph, label, in, &v);
    if (!status) status = check_chunk(graph, label, v.view.n, n, rewritable, parts);
    if (status) return status;
    status = make_chunks(graph, name, in, n, rewritable != 0, parts);
    for (size_t k = 0; status && k < n; k++) parts[k] = NO_VALUE;
    return status;
}

mskp_value mskp_reshape(mskp_graph *graph, const char *name, mskp_value in, uint32_t nspatial,
                        const size_t *spatial)
{
    const char *label = mskpi_label(name, "reshape");
    graph_value v;
    mskp_value out;
    size_t positions = 1;
    if (mskpi_get_value(graph, label, in, &v)) return NO_VALUE;
    if (nspatial && !spatial) {
        mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT, "spatial is NULL");
        return NO_VALUE;
    }
    for (uint32_t d = 0; d < nspatial && d < MSKP_MAX_SPATIAL; d++)
        positions = mskpi_product(positions, spatial[d]);
    if (positions != mskpi_positions(&v)) {
        mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE, "%zu positions become %zu",
                     mskpi_positions(&v), positions);
        return NO_VALUE;
    }
    if (part_of(graph, name, "reshape", in, 0, v.view.n, nspatial, spatial, &out)) return NO_VALUE;
    return out;
}

/* ---- Padding with zeros ---- */

/* *view <- the channels of `in` between new ones. */
static mskp_status pad_list(mskp_graph *graph, const char *label, list_view in, size_t before,
                            size_t after, list_view *view)
{
    list_view head = {0}, tail = {0};
    if ((before && mskpi_new_channels(graph, label, before, &head)) ||
        (after && mskpi_new_channels(graph, label, after, &tail)) ||
        mskpi_new_list(graph, label, before + in.n + after, view))
        return mskpi_first_error(graph);
    const list_view parts[] = {head, in, tail};
    size_t at = view->first;
    for (size_t i = 0; i < 3; i++) {
        memcpy(graph->listed + at, graph->listed + parts[i].first,
               parts[i].n * sizeof *graph->listed);
        at += parts[i].n;
    }
    MSKPI_ASSERT(at == view->first + view->n);
    return MSKP_OK;
}

mskp_value mskp_pad_channels(mskp_graph *graph, const char *name, mskp_value in, size_t before,
                             size_t after)
{
    const char *label = mskpi_label(name, "pad_channels");
    graph_value v;
    list_view view = {0};
    zero_table *zero;
    graph_step *step;
    uint32_t *place;
    mskp_value out;
    if (mskpi_get_value(graph, label, in, &v) ||
        pad_list(graph, label, v.view, before, after, &view) ||
        mskpi_new_value(graph, name, "pad_channels", view, v.nspatial, v.spatial, &out) ||
        mskpi_zero_each(graph, out.id, &zero))
        return NO_VALUE;
    const size_t end = before + v.view.n;
    for (size_t i = 0; i < view.n; i++)
        zero[i] = i < before || i >= end ? ZERO_ALWAYS : mskpi_zero(graph, in.id, i - before);
    mskpi_zero_filled(graph, out.id);
    if (mskpi_add_step(graph, out, STEP_PLACES, 1, &in, &step) ||
        mskpi_add_places(graph, step, view.n, &place))
        return NO_VALUE;
    for (size_t i = 0; i < view.n; i++)
        place[i] = i < before || i >= end ? NO_PLACE : (uint32_t)(i - before);
    return out;
}

/* ---- The same channels in other places ---- */

/* A function from a channel of the result to the channel of the input that it is. */
typedef struct arrangement {
    size_t (*from)(size_t i, size_t a, size_t b);
    size_t a, b;
} arrangement;

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
/* Reads a rows of b numbers by columns. */
static size_t transpose(size_t i, size_t a, size_t b)
{
    return i % a * b + i / a;
}

/* *out <- n channels, of which channel i is channel how.from(i) of the input. */
static mskp_status rearranged(mskp_graph *graph, const char *name, const char *op, mskp_value in,
                              size_t n, arrangement how, uint32_t nspatial, const size_t *spatial,
                              mskp_value *out)
{
    const list_view from = mskpi_view_of(graph, in);
    list_view view;
    zero_table *zero;
    graph_step *step;
    uint32_t *places;
    if (mskpi_new_list(graph, mskpi_label(name, op), n, &view)) return mskpi_first_error(graph);
    for (size_t i = 0; i < n; i++) {
        const size_t k = how.from(i, how.a, how.b);
        MSKPI_ASSERT(k < from.n);
        graph->listed[view.first + i] = graph->listed[from.first + k];
    }
    if (mskpi_new_value(graph, name, op, view, nspatial, spatial, out) ||
        mskpi_zero_each(graph, out->id, &zero))
        return mskpi_first_error(graph);
    for (size_t i = 0; i < n; i++) zero[i] = mskpi_zero(graph, in.id, how.from(i, how.a, how.b));
    mskpi_zero_filled(graph, out->id);
    if (mskpi_add_step(graph, *out, STEP_PLACES, 1, &in, &step) ||
        mskpi_add_places(graph, step, n, &places))
        return mskpi_first_error(graph);
    for (size_t i = 0; i < n; i++) places[i] = (uint32_t)how.from(i, how.a, how.b);
    return MSKP_OK;
}

/* Refuses channels that do not divide into parts of this size. */
static mskp_status check_divides(mskp_graph *graph, const char *label, size_t channels, size_t part)
{
    if (part && channels % part == 0) return MSKP_OK;
    return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE, "%zu channels do not make parts of %zu",
                        channels, part);
}

mskp_value mskp_flatten(mskp_graph *graph, const char *name, mskp_value in, uint32_t channels_last)
{
    const char *label = mskpi_label(name, "flatten");
    graph_value v;
    mskp_value out;
    if (mskpi_get_value(graph, label, in, &v) ||
        mskpi_check_flag(graph, label, "channels_last", channels_last))
        return NO_VALUE;
    const size_t channels = v.view.n, positions = mskpi_positions(&v);
    if (positions == 1)
        return part_of(graph, name, "flatten", in, 0, channels, 0, NULL, &out) ? NO_VALUE : out;
    const arrangement how = {channels_last ? wrap : divide, channels_last ? channels : positions,
                             0};
    if (rearranged(graph, name, "flatten", in, mskpi_product(channels, positions), how, 0, NULL,
                   &out))
        return NO_VALUE;
    return out;
}

mskp_value mskp_channel_shuffle(mskp_graph *graph, const char *name, mskp_value in, size_t groups,
                                uint32_t rewritable)
{
    const char *label = mskpi_label(name, "channel_shuffle");
    graph_value v;
    mskp_value out;
    if (mskpi_get_value(graph, label, in, &v) ||
        mskpi_check_flag(graph, label, "rewritable", rewritable) ||
        check_divides(graph, label, v.view.n, groups))
        return NO_VALUE;
    const arrangement how = {transpose, groups, v.view.n / groups};
    if (rearranged(graph, name, "channel_shuffle", in, v.view.n, how, v.nspatial, v.spatial,
                   &out) ||
        (!rewritable && mskpi_tie_parts(graph, v.view, groups, out.id)))
        return NO_VALUE;
    return out;
}

/* ---- One channel of several ---- */

/* *out <- channels that are each made of `block` channels of the input, which are tied. These are
 * neighbours or, if strided, as far apart as the result has channels. */
static mskp_status gathered(mskp_graph *graph, const char *name, const char *op, mskp_value in,
                            size_t block, bool strided, uint32_t nspatial, const size_t *spatial,
                            mskp_value *out)
{
    const list_view from = mskpi_view_of(graph, in);
    const size_t channels = from.n / block;
    /* Channel c is made of the channels c * step + k * next, k < block. */
    const size_t next = strided ? channels : 1, step = strided ? 1 : block;
    list_view view;
    zero_table *zero;
    graph_step *made;
    uint32_t *places;
    MSKPI_ASSERT(channels * block == from.n);
    if (mskpi_new_list(graph, mskpi_label(name, op), channels, &view))
        return mskpi_first_error(graph);
    for (size_t c = 0; c < channels; c++)
        graph->listed[view.first + c] = graph->listed[from.first + c * step];
    if (mskpi_new_value(graph, name, op, view, nspatial, spatial, out) ||
        mskpi_zero_each(graph, out->id, &zero))
        return mskpi_first_error(graph);
    for (size_t c = 0; c < channels; c++) {
        zero[c] = ZERO_ALWAYS;
        for (size_t k = 0; k < block; k++) zero[c] &= mskpi_zero(graph, in.id, c * step + k * next);
    }
    mskpi_zero_filled(graph, out->id);
    if (mskpi_add_step(graph, *out, STEP_BLOCKS, 1, &in, &made) ||
        mskpi_add_places(graph, made, from.n, &places))
        return mskpi_first_error(graph);
    made->groups = block;
    for (size_t c = 0; c < channels; c++)
        for (size_t k = 0; k < block; k++) *places++ = (uint32_t)(c * step + k * next);
    if (strided) return mskpi_tie_parts(graph, from, block, out->id);
    for (size_t c = 0; c < channels; c++)
        if (mskpi_tie_all(graph, (list_view){from.first + c * block, block}, out->id))
            return mskpi_first_error(graph);
    return MSKP_OK;
}

static mskp_status check_unflatten(mskp_graph *graph, const char *label, const graph_value *v,
                                   uint32_t nspatial, const size_t *spatial, uint32_t channels_last)
{
    const bool missing = nspatial && !spatial;
    if (!v->nspatial && channels_last <= 1 && !missing) return MSKP_OK;
    return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                        "input has %u spatial axes (0 are expected), channels_last is %u%s",
                        v->nspatial, channels_last, missing ? ", spatial is NULL" : "");
}

mskp_value mskp_unflatten(mskp_graph *graph, const char *name, mskp_value in, uint32_t nspatial,
                          const size_t *spatial, uint32_t channels_last)
{
    const char *label = mskpi_label(name, "unflatten");
    graph_value v;
    mskp_value out;
    size_t positions = 1;
    if (mskpi_get_value(graph, label, in, &v) ||
        check_unflatten(graph, label, &v, nspatial, spatial, channels_last))
        return NO_VALUE;
    for (uint32_t d = 0; d < nspatial && d < MSKP_MAX_SPATIAL; d++)
        positions = mskpi_product(positions, spatial[d]);
    if (check_divides(graph, label, v.view.n, positions) ||
        gathered(graph, name, "unflatten", in, positions, channels_last != 0, nspatial, spatial,
                 &out))
        return NO_VALUE;
    return out;
}

/* *block <- factor ** nspatial, the number of channels that become one; SIZE_MAX if that does not
 * fit. */
static mskp_status check_factor(mskp_graph *graph, const char *label, const graph_value *v,
                                size_t factor, mskp_shuffle_order order, size_t *block)
{
    *block = 1;
    for (uint32_t d = 0; d < v->nspatial; d++) *block = mskpi_product(*block, factor);
    if (v->nspatial && factor && (unsigned)order <= MSKP_SHUFFLE_BLOCK_MAJOR) return MSKP_OK;
    return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                        "factor %zu on %u spatial axes, order %u (there are 2)", factor,
                        v->nspatial, (unsigned)order);
}

mskp_value mskp_pixel_shuffle(mskp_graph *graph, const char *name, mskp_value in, size_t factor,
                              mskp_shuffle_order order)
{
    const char *label = mskpi_label(name, "pixel_shuffle");
    graph_value v;
    mskp_value out;
    size_t block;
    if (mskpi_get_value(graph, label, in, &v) ||
        check_factor(graph, label, &v, factor, order, &block) ||
        check_divides(graph, label, v.view.n, block))
        return NO_VALUE;
    for (uint32_t d = 0; d < v.nspatial; d++) {
        if (mskpi_product_fits(v.spatial[d], factor, &v.spatial[d])) continue;
        mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                     "%zu times spatial axis %u of length %zu is too long", factor, d,
                     v.spatial[d]);
        return NO_VALUE;
    }
    if (gathered(graph, name, "pixel_shuffle", in, block, order == MSKP_SHUFFLE_BLOCK_MAJOR,
                 v.nspatial, v.spatial, &out))
        return NO_VALUE;
    return out;
}

mskp_value mskp_pixel_unshuffle(mskp_graph *graph, const char *name, mskp_value in, size_t factor,
                                mskp_shuffle_order order)
{
    const char *label = mskpi_label(name, "pixel_unshuffle");
    graph_value v;
    mskp_value out;
    size_t block;
    if (mskpi_get_value(graph, label, in, &v) ||
        check_factor(graph, label, &v, factor, order, &block))
        return NO_VALUE;
    for (uint32_t d = 0; d < v.nspatial; d++) {
        if (v.spatial[d] % factor) {
            mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                         "spatial axis %u of length %zu is no multiple of %zu", d, v.spatial[d],
                         factor);
            return NO_VALUE;
        }
        v.spatial[d] /= factor;
    }
    const bool major = order == MSKP_SHUFFLE_BLOCK_MAJOR;
    const arrangement how = {major ? wrap : divide, major ? v.view.n : block, 0};
    if (rearranged(graph, name, "pixel_unshuffle", in, mskpi_product(v.view.n, block), how,
                   v.nspatial, v.spatial, &out))
        return NO_VALUE;
    return out;
}

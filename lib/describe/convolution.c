/*
 * Operators that mix channels by a weight: convolutions, transposed convolutions, linear layers.
 *
 * The result is a new list of channels. The weight's axis of outputs is bound to that list in role
 * FILTER, and its axis of inputs to the input's list in role CONSUMER. The bias is bound to the new
 * list in role SHIFT.
 *
 * With groups, one of the two axes has the channels of one group only, and there are two ways to
 * remove channels from such a convolution:
 *
 *   tied    All groups lose the same positions, so they stay equally wide. Position p of all
 *           groups is tied, on both sides, and the axis that has one group's channels is bound to
 *           the channels of the first group.
 *   whole   Whole groups are removed. The inputs and outputs of a group are tied to each other, and
 *           only the axis that runs over all groups is bound: the length of the other one does not
 *           change. A depthwise convolution is this case with groups of one input channel.
 */
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

/* A convolution whose description was checked. */
typedef struct conv_plan {
    const mskp_conv_desc *desc;
    const char *label;
    graph_value in;
    size_t groups, channels; /* channels of the result */
    bool transposed;
    bool whole;                                                  /* whole groups are removed */
    size_t stride[MSKP_MAX_SPATIAL], dilation[MSKP_MAX_SPATIAL]; /* with the defaults filled in */
    size_t spatial[MSKP_MAX_SPATIAL];                            /* of the result */
    size_t positions; /* how often each element of the weight is used */
} conv_plan;

/* ---- Checks ---- */

static mskp_status conv_weight(mskp_graph *graph, const conv_plan *c)
{
    graph_param weight;
    if (mskpi_get_param(graph, c->label, "weight", c->desc->weight, &weight))
        return mskpi_first_error(graph);
    if (c->in.nspatial < 1 || weight.ndim != c->in.nspatial + 2)
        return mskpi_refuse(graph, c->label, MSKP_ERROR_BAD_SHAPE,
                            "weight has %u axes, with an input of %u spatial axes (1 to %d) it "
                            "needs %u",
                            weight.ndim, c->in.nspatial, MSKP_MAX_SPATIAL, c->in.nspatial + 2);
    return MSKP_OK;
}

/* A transposed convolution reads nothing beyond the border, so it has one kind of padding. */
static mskp_status conv_padding(mskp_graph *graph, const conv_plan *c)
{
    const unsigned padding = (unsigned)c->desc->padding;
    const unsigned kinds = c->transposed ? 1 : MSKP_PADDING_EXTENDED + 1;
    if (padding < kinds) return MSKP_OK;
    return mskpi_refuse(graph, c->label, MSKP_ERROR_BAD_ARGUMENT, "padding %u, there are %u%s",
                        padding, kinds, c->transposed ? " when transposed" : "");
}

static mskp_status conv_channels(mskp_graph *graph, conv_plan *c)
{
    const mskp_grouping grouping = c->desc->grouping;
    const size_t in = c->in.view.n, groups = c->groups;
    const size_t first = mskpi_length(graph, c->desc->weight, 0);
    const size_t second = mskpi_length(graph, c->desc->weight, 1);
    if ((unsigned)grouping > MSKP_GROUPING_WHOLE)
        return mskpi_refuse(graph, c->label, MSKP_ERROR_BAD_ARGUMENT, "grouping %u, there are 3",
                            (unsigned)grouping);
    if (in % groups || (!c->transposed && first % groups))
        return mskpi_refuse(graph, c->label, MSKP_ERROR_BAD_SHAPE,
                            "%zu %s channels do not make %zu groups", in % groups ? in : first,
                            in % groups ? "input" : "output", groups);
    const size_t over_groups = mskpi_product(second, groups);
    const size_t expected = c->transposed ? first : over_groups;
    if (expected != in)
        return mskpi_refuse(graph, c->label, MSKP_ERROR_BAD_SHAPE,
                            "weight expects %zu input channels, its input has %zu", expected, in);
    c->channels = c->transposed ? over_groups : first;
    c->whole = groups > 1 && (grouping == MSKP_GROUPING_WHOLE ||
                              (grouping == MSKP_GROUPING_AUTO && groups == in));
    return mskpi_check_vector(graph, c->label, "bias", c->desc->bias, c->channels);
}

/* Refuses pads on spatial axis d that no length of the axis allows. */
static mskp_status conv_pads(mskp_graph *graph, const conv_plan *c, uint32_t d)
{
    const size_t before = c->desc->pad_before[d], after = c->desc->pad_after[d];
    const size_t stride = c->stride[d], dilation = c->dilation[d];
    const size_t pad = before > after ? before : after, output_pad = c->desc->output_pad[d];
    if (pad > SIZE_MAX / 8)
        return mskpi_refuse(graph, c->label, MSKP_ERROR_BAD_SHAPE,
                            "a pad of %zu on spatial axis %u of length %zu is too long", pad, d,
                            c->in.spatial[d]);
    if (!c->transposed && output_pad)
        return mskpi_refuse(graph, c->label, MSKP_ERROR_BAD_SHAPE,
                            "output_pad is %zu on spatial axis %u; only a transposed convolution "
                            "has one",
                            output_pad, d);
    /* With more output padding the result would have the length that a longer input gives. */
    if (output_pad >= (stride > dilation ? stride : dilation))
        return mskpi_refuse(graph, c->label, MSKP_ERROR_BAD_SHAPE,
                            "output_pad is %zu on spatial axis %u of length %zu, not below the "
                            "larger of stride %zu and dilation %zu",
                            output_pad, d, c->in.spatial[d], stride, dilation);
    return MSKP_OK;
}

/* Whether the kernel fits on spatial axis d. If so, *out <- the length of the result. */
static bool conv_fits(const conv_plan *c, uint32_t d, size_t kernel, size_t *out)
{
    const mskp_conv_desc *desc = c->desc;
    const size_t in = c->in.spatial[d], output_pad = desc->output_pad[d];
    size_t span, steps;
    if (!c->transposed)
        return mskpi_window_fits(in, desc->pad_before[d], desc->pad_after[d], kernel,
                                 c->dilation[d], c->stride[d], false, out);
    if (!mskpi_product_fits(c->dilation[d], kernel - 1, &span) ||
        !mskpi_product_fits(c->stride[d], in - 1, &steps) || span > SIZE_MAX / 8 ||
        steps > SIZE_MAX / 8 || output_pad > SIZE_MAX / 8)
        return false;
    const size_t full = steps + span + 1 + output_pad;
    const size_t cropped = desc->pad_before[d] + desc->pad_after[d];
    if (full <= cropped) return false;
    *out = full - cropped;
    return true;
}

static mskp_status conv_positions(mskp_graph *graph, conv_plan *c)
{
    const mskp_conv_desc *desc = c->desc;
    const size_t *const given[] = {desc->stride, desc->pad_before, desc->pad_after, desc->dilation,
                                   desc->output_pad};
    if (mskpi_check_beyond_axes(graph, c->label, c->in.nspatial, sizeof given / sizeof *given,
                                given))
        return mskpi_first_error(graph);
    c->positions = 1;
    for (uint32_t d = 0; d < c->in.nspatial; d++) {
        const size_t kernel = mskpi_length(graph, desc->weight, d + 2), in = c->in.spatial[d];
        c->stride[d] = desc->stride[d] ? desc->stride[d] : 1;
        c->dilation[d] = desc->dilation[d] ? desc->dilation[d] : 1;
        if (conv_pads(graph, c, d)) return mskpi_first_error(graph);
        if (!conv_fits(c, d, kernel, &c->spatial[d]) ||
            !mskpi_product_fits(c->positions, c->transposed ? in : c->spatial[d], &c->positions))
            return mskpi_refuse(graph, c->label, MSKP_ERROR_BAD_SHAPE,
                                "kernel %zu (dilation %zu) does not fit on spatial axis %u of "
                                "length %zu with pads %zu and %zu",
                                kernel, c->dilation[d], d, in, desc->pad_before[d],
                                desc->pad_after[d]);
    }
    return MSKP_OK;
}

/* ---- Zero tables, ties, bindings ---- */

/* A channel is zero once its filter and its bias are. In a group that is removed as a whole it is
 * also zero, but for the bias, where all channels are zero that the group reads. */
static mskp_status conv_zeros(mskp_graph *graph, const conv_plan *c, mskp_value in, mskp_value out)
{
    const zero_table shift = c->desc->bias.id ? ZERO_SHIFT : ZERO_ALWAYS;
    const size_t ni = c->in.view.n / c->groups, no = c->channels / c->groups;
    zero_table *zero;
    if (!c->whole) {
        mskpi_zero_all(graph, out.id, ZERO_FILTER & shift);
        return MSKP_OK;
    }
    if (mskpi_zero_each(graph, out.id, &zero)) return mskpi_first_error(graph);
    for (size_t g = 0; g < c->groups; g++) {
        zero_table read = ZERO_ALWAYS;
        for (size_t i = 0; i < ni; i++) read &= mskpi_zero(graph, in.id, g * ni + i);
        for (size_t o = 0; o < no; o++) *zero++ = (zero_table)((ZERO_FILTER | read) & shift);
    }
    mskpi_zero_filled(graph, out.id);
    return MSKP_OK;
}

/* Ties the channels of each group, on both sides, to each other. */
static mskp_status tie_groups(mskp_graph *graph, list_view in, list_view out, size_t groups,
                              uint32_t by)
{
    const size_t ni = in.n / groups, no = out.n / groups;
    MSKPI_ASSERT(ni * groups == in.n && no * groups == out.n);
    for (size_t g = 0; g < groups; g++) {
        const list_view read = {in.first + g * ni, ni}, made = {out.first + g * no, no};
        if (mskpi_tie_lists(graph, (list_view){read.first, 1}, (list_view){made.first, 1}, by) ||
            mskpi_tie_all(graph, read, by) || mskpi_tie_all(graph, made, by))
            return mskpi_first_error(graph);
    }
    return MSKP_OK;
}

static mskp_status bind_weight(mskp_graph *graph, const conv_plan *c, mskp_value in, mskp_value out)
{
    const mskp_param weight = c->desc->weight;
    const uint32_t out_axis = c->transposed ? 1 : 0;
    list_view read = mskpi_view_of(graph, in), made = mskpi_view_of(graph, out);
    for (uint32_t d = 0; d < c->in.nspatial; d++)
        if (mskpi_fix_axis(graph, weight, d + 2, out.id)) return mskpi_first_error(graph);
    if (c->whole) {
        if (mskpi_fix_axis(graph, weight, 1, out.id)) return mskpi_first_error(graph);
        if (tie_groups(graph, read, made, c->groups, out.id)) return mskpi_first_error(graph);
        return mskpi_bind(graph, weight, 0, MSKP_ROLE_FILTER, c->transposed ? read : made, out.id);
    }
    if (c->groups > 1) {
        if (mskpi_tie_parts(graph, read, c->groups, out.id) ||
            mskpi_tie_parts(graph, made, c->groups, out.id))
            return mskpi_first_error(graph);
        if (c->transposed)
            made.n /= c->groups;
        else
            read.n /= c->groups;
    }
    mskpi_mark_consumed(graph, in.id);
    if (mskpi_bind(graph, weight, out_axis, MSKP_ROLE_FILTER, made, out.id))
        return mskpi_first_error(graph);
    return mskpi_bind(graph, weight, !out_axis, MSKP_ROLE_CONSUMER, read, out.id);
}

/* Binds an optional bias to the channels of the result. */
static mskp_status bind_bias(mskp_graph *graph, mskp_param bias, mskp_value out)
{
    if (!bias.id) return MSKP_OK;
    return mskpi_bind(graph, bias, 0, MSKP_ROLE_SHIFT, mskpi_view_of(graph, out), out.id);
}

static mskp_status conv_step(mskp_graph *graph, const conv_plan *c, mskp_value in, mskp_value out)
{
    const step_kind kind = c->transposed ? STEP_TRANSPOSED : STEP_CONV;
    graph_step *s;
    if (mskpi_add_step(graph, out, kind, 1, &in, &s)) return mskpi_first_error(graph);
    s->params[0] = c->desc->weight.id;
    s->params[1] = c->desc->bias.id;
    s->groups = c->groups;
    s->whole = c->whole;
    s->uniform_padding = c->desc->padding == MSKP_PADDING_EXTENDED;
    for (uint32_t d = 0; d < c->in.nspatial; d++) {
        s->as.conv.stride[d] = c->stride[d];
        s->as.conv.dilation[d] = c->dilation[d];
        s->as.conv.before[d] = c->desc->pad_before[d];
    }
    return MSKP_OK;
}

/* ---- The operators ---- */

static mskp_value convolution(mskp_graph *graph, const char *name, const char *op, bool transposed,
                              mskp_value in, const mskp_conv_desc *desc)
{
    conv_plan c = {.desc = desc, .label = mskpi_label(name, op), .transposed = transposed};
    list_view view;
    mskp_value out;
    if (mskpi_get_value(graph, c.label, in, &c.in) || mskpi_check_desc(graph, c.label, desc))
        return NO_VALUE;
    c.groups = desc->groups ? desc->groups : 1;
    if (conv_weight(graph, &c) || conv_padding(graph, &c) || conv_channels(graph, &c) ||
        conv_positions(graph, &c) || mskpi_new_channels(graph, c.label, c.channels, &view) ||
        mskpi_new_value(graph, name, op, view, c.in.nspatial, c.spatial, &out) ||
        conv_zeros(graph, &c, in, out) || bind_weight(graph, &c, in, out) ||
        bind_bias(graph, desc->bias, out) || mskp_add_macs(graph, out, desc->weight, c.positions) ||
        conv_step(graph, &c, in, out))
        return NO_VALUE;
    return out;
}

mskp_value mskp_conv(mskp_graph *graph, const char *name, mskp_value in, const mskp_conv_desc *desc)
{
    return convolution(graph, name, "conv", false, in, desc);
}

mskp_value mskp_conv_transposed(mskp_graph *graph, const char *name, mskp_value in,
                                const mskp_conv_desc *desc)
{
    return convolution(graph, name, "conv_transposed", true, in, desc);
}

static mskp_status check_linear(mskp_graph *graph, const char *label, size_t channels,
                                mskp_param weight, mskp_param bias)
{
    graph_param w;
    if (mskpi_get_param(graph, label, "weight", weight, &w)) return mskpi_first_error(graph);
    if (w.ndim != 2)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                            "weight has %u axes, 2 are expected", w.ndim);
    const size_t expected = mskpi_length(graph, weight, 1);
    if (expected != channels)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                            "weight expects %zu input channels, its input has %zu", expected,
                            channels);
    return mskpi_check_vector(graph, label, "bias", bias, mskpi_length(graph, weight, 0));
}

mskp_value mskp_linear(mskp_graph *graph, const char *name, mskp_value in, mskp_param weight,
                       mskp_param bias)
{
    const char *label = mskpi_label(name, "linear");
    graph_value v;
    list_view view;
    graph_step *step;
    mskp_value out;
    if (mskpi_get_value(graph, label, in, &v) ||
        check_linear(graph, label, v.view.n, weight, bias) ||
        mskpi_new_channels(graph, label, mskpi_length(graph, weight, 0), &view) ||
        mskpi_new_value(graph, name, "linear", view, v.nspatial, v.spatial, &out))
        return NO_VALUE;
    mskpi_zero_all(graph, out.id, ZERO_FILTER & (bias.id ? ZERO_SHIFT : ZERO_ALWAYS));
    mskpi_mark_consumed(graph, in.id);
    if (mskpi_bind(graph, weight, 0, MSKP_ROLE_FILTER, view, out.id) ||
        mskpi_bind(graph, weight, 1, MSKP_ROLE_CONSUMER, v.view, out.id) ||
        bind_bias(graph, bias, out) || mskp_add_macs(graph, out, weight, mskpi_positions(&v)) ||
        mskpi_add_step(graph, out, STEP_LINEAR, 1, &in, &step))
        return NO_VALUE;
    step->params[0] = weight.id;
    step->params[1] = bias.id;
    return out;
}

/*
 * Operators that mix channels by a weight: convolutions, transposed convolutions, linear layers.
 *
 * The result is a new list of channels. The weight's axis of outputs is bound to that list
 * (FILTER), its axis of inputs to the input's list (CONSUMER). With groups there are two ways.
 * Either every group loses the same positions: position p of all groups is tied, on both sides, and
 * the axis that has one group's channels is bound to those of the first group. Or whole groups
 * leave: each group's inputs and outputs are one class, and only the axis that goes over all groups
 * is bound. A depthwise convolution is the second way with groups of one channel.
 */
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

/* What a convolution is made of, checked. */
typedef struct conv_plan {
    const char *who;
    graph_value in;
    size_t groups, channels; /* of the result */
    uint32_t out_axis;       /* of the weight; the other of the first two reads the input */
    int whole;               /* whole groups leave, or, depthwise, channels with their filters */
    size_t spatial[MSKP_MAX_SPATIAL];
    size_t positions; /* at which the whole weight is applied */
} conv_plan;

static int conv_channels(mskp_graph *graph, const mskp_conv_desc *desc, conv_plan *c)
{
    char room[NAME_SIZE];
    const char *shown = mskpi_short(c->who, room);
    const size_t in = c->in.view.n, groups = c->groups;
    const size_t first = mskpi_length(graph, desc->weight, 0);
    const size_t second = mskpi_length(graph, desc->weight, 1);
    if ((unsigned)desc->grouping > MSKP_GROUPING_WHOLE) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: grouping %u, there are 3", shown,
                         (unsigned)desc->grouping);
        return 1;
    }
    if (in % groups || (!c->out_axis && first % groups)) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE, "%s: %zu %s channels do not make %zu groups",
                         shown, in % groups ? in : first, in % groups ? "input" : "output", groups);
        return 1;
    }
    const size_t over_groups = mskpi_product(second, groups);
    const size_t expects = c->out_axis ? first : over_groups;
    if (expects != in) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                         "%s: weight expects %zu input channels, its input has %zu", shown, expects,
                         in);
        return 1;
    }
    c->channels = c->out_axis ? over_groups : first;
    c->whole = groups > 1 && (desc->grouping == MSKP_GROUPING_WHOLE ||
                              (desc->grouping == MSKP_GROUPING_AUTO && groups == in));
    return mskpi_check_vector(graph, c->who, "bias", desc->bias, c->channels);
}

/* The result's size on one spatial axis; 1: there is none. */
static int conv_size(const mskp_conv_desc *desc, int transposed, uint32_t d, size_t in,
                     size_t kernel, size_t *out)
{
    const size_t stride = desc->stride[d] ? desc->stride[d] : 1;
    const size_t dilation = desc->dilation[d] ? desc->dilation[d] : 1;
    size_t reach, steps;
    if (!transposed)
        return mskpi_window(in, desc->pad_before[d], desc->pad_after[d], kernel, dilation, stride,
                            0, out);
    if (!mskpi_product_fits(dilation, kernel - 1, &reach) || !mskpi_product_fits(stride, in - 1, &steps) ||
        reach > SIZE_MAX / 8 || steps > SIZE_MAX / 8 || desc->output_pad[d] > SIZE_MAX / 8)
        return 1;
    const size_t full = steps + reach + 1 + desc->output_pad[d];
    const size_t cropped = desc->pad_before[d] + desc->pad_after[d];
    if (full <= cropped) return 1;
    *out = full - cropped;
    return 0;
}

/* Pads that no size of image could have. 1 after a sentence. */
static int bad_pads(mskp_graph *graph, const mskp_conv_desc *desc, const conv_plan *c, uint32_t d)
{
    const size_t stride = desc->stride[d] ? desc->stride[d] : 1;
    const size_t dilation = desc->dilation[d] ? desc->dilation[d] : 1;
    const size_t step = stride > dilation ? stride : dilation;
    const size_t pad =
        desc->pad_before[d] > desc->pad_after[d] ? desc->pad_before[d] : desc->pad_after[d];
    char room[NAME_SIZE];
    if (pad > SIZE_MAX / 8)
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                         "%s: a pad of %zu on spatial axis %u of length %zu is too long",
                         mskpi_short(c->who, room), pad, d, c->in.spatial[d]);
    else if (!c->out_axis && desc->output_pad[d])
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                         "%s: output_pad is %zu on spatial axis %u; only a transposed convolution "
                         "has one",
                         mskpi_short(c->who, room), desc->output_pad[d], d);
    /* More than a step of output padding would be more than the next input makes. */
    else if (desc->output_pad[d] >= step)
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                         "%s: output_pad is %zu on spatial axis %u of length %zu, not below the "
                         "larger of stride %zu and dilation %zu",
                         mskpi_short(c->who, room), desc->output_pad[d], d, c->in.spatial[d],
                         stride, dilation);
    else
        return 0;
    return 1;
}

static int conv_positions(mskp_graph *graph, const mskp_conv_desc *desc, conv_plan *c)
{
    const int transposed = c->out_axis == 1;
    char room[NAME_SIZE];
    const size_t *const said[] = {desc->stride, desc->pad_before, desc->pad_after, desc->dilation,
                                  desc->output_pad};
    if (mskpi_beyond_axes(graph, c->who, c->in.nspatial, sizeof said / sizeof *said, said))
        return 1;
    c->positions = 1;
    for (uint32_t d = 0; d < c->in.nspatial; d++) {
        if (bad_pads(graph, desc, c, d)) return 1;
        const size_t kernel = mskpi_length(graph, desc->weight, d + 2), in = c->in.spatial[d];
        if (!conv_size(desc, transposed, d, in, kernel, &c->spatial[d]) &&
            mskpi_product_fits(c->positions, transposed ? in : c->spatial[d], &c->positions))
            continue;
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                         "%s: kernel %zu (dilation %zu) does not fit on spatial axis %u of "
                         "length %zu with pads %zu and %zu",
                         mskpi_short(c->who, room), kernel,
                         desc->dilation[d] ? desc->dilation[d] : 1, d, in, desc->pad_before[d],
                         desc->pad_after[d]);
        return 1;
    }
    return 0;
}

/* Group g's channels of both sides are one unit. */
static mskp_status tie_groups(mskp_graph *graph, list_view in, list_view out, size_t groups,
                              uint32_t by)
{
    const size_t ni = in.n / groups, no = out.n / groups;
    mskp_status status = MSKP_OK;
    for (size_t g = 0; !status && g < groups; g++) {
        const list_view first = {in.first + g * ni, 1}, filter = {out.first + g * no, 1};
        status = mskpi_tie_lists(graph, first, filter, by);
        if (!status && ni > 1) status = mskpi_tie_all(graph, (list_view){first.first, ni}, by);
        if (!status && no > 1) status = mskpi_tie_all(graph, (list_view){filter.first, no}, by);
    }
    return status;
}

/* Zero with its filter; a group that leaves as a whole also where all that it reads is zero. */
static int conv_zero(mskp_graph *graph, const conv_plan *c, mskp_value in, mskp_value out, int bias)
{
    const zero_table shift = bias ? ZERO_SHIFT : ZERO_ALWAYS;
    const size_t ni = c->in.view.n / c->groups, no = c->channels / c->groups;
    if (!c->whole) {
        mskpi_zero_all(graph, out.id, ZERO_FILTER & shift);
        return 0;
    }
    zero_table *zero = mskpi_zero_each(graph, out.id);
    if (!zero) return 1;
    for (size_t g = 0; g < c->groups; g++) {
        zero_table read = ZERO_ALWAYS;
        for (size_t i = 0; i < ni; i++) read &= mskpi_zero(graph, in.id, g * ni + i);
        for (size_t o = 0; o < no; o++) *zero++ = (zero_table)((ZERO_FILTER | read) & shift);
    }
    mskpi_zero_filled(graph, out.id);
    return 0;
}

/*
 * One group: the weight's axes are bound to both lists. Groups that lose the same positions: the
 * weight's axis that has one group's channels is bound to those of the first. Whole groups: filters
 * leave with what they read, so that only the axis that goes over all groups is bound.
 */
static mskp_status conv_bind(mskp_graph *graph, const mskp_conv_desc *desc, const conv_plan *c,
                             mskp_value in, mskp_value out)
{
    list_view read = mskpi_view_of(graph, in), made = mskpi_view_of(graph, out);
    const uint32_t out_axis = c->out_axis;
    mskp_status status = MSKP_OK;
    if (c->whole) {
        status = tie_groups(graph, read, made, c->groups, out.id);
        if (!status)
            status = mskpi_bind(graph, desc->weight, 0, MSKP_ROLE_FILTER, out_axis ? read : made,
                                out.id, out.id);
    } else {
        if (c->groups > 1) {
            status = mskpi_tie_parts(graph, read, c->groups, out.id);
            if (!status) status = mskpi_tie_parts(graph, made, c->groups, out.id);
            if (out_axis)
                made.n /= c->groups;
            else
                read.n /= c->groups;
        }
        mskpi_read(graph, in.id);
        if (!status)
            status =
                mskpi_bind(graph, desc->weight, out_axis, MSKP_ROLE_FILTER, made, out.id, out.id);
        if (!status)
            status = mskpi_bind(graph, desc->weight, !out_axis, MSKP_ROLE_CONSUMER, read, out.id,
                                out.id);
    }
    if (!status && desc->bias.id)
        status = mskpi_bind(graph, desc->bias, 0, MSKP_ROLE_SHIFT, mskpi_view_of(graph, out),
                            out.id, out.id);
    return status ? status : mskp_add_macs(graph, out, desc->weight, c->positions);
}

static int conv_step(mskp_graph *graph, const mskp_conv_desc *desc, const conv_plan *c,
                     mskp_value in, mskp_value out)
{
    graph_step *s = mskpi_step(graph, out, c->out_axis ? STEP_TRANSPOSED : STEP_CONV, 1, &in);
    if (!s) return 1;
    s->params[0] = desc->weight.id;
    s->params[1] = desc->bias.id;
    s->groups = c->groups;
    s->whole = c->whole != 0;
    s->uniform_padding = desc->padding == MSKP_PADDING_EXTENDED;
    for (uint32_t d = 0; d < c->in.nspatial; d++) {
        s->as.conv.stride[d] = desc->stride[d] ? desc->stride[d] : 1;
        s->as.conv.dilation[d] = desc->dilation[d] ? desc->dilation[d] : 1;
        s->as.conv.before[d] = desc->pad_before[d];
    }
    return 0;
}

/* What lies outside the image; a transposed convolution looks at nothing there. */
static int conv_padding(mskp_graph *graph, const mskp_conv_desc *desc, const conv_plan *c)
{
    char room[NAME_SIZE];
    if ((unsigned)desc->padding <= MSKP_PADDING_EXTENDED && !(c->out_axis && desc->padding))
        return 0;
    mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: padding %u, there are %d%s",
                     mskpi_short(c->who, room), (unsigned)desc->padding, c->out_axis ? 1 : 2,
                     c->out_axis ? " when transposed" : "");
    return 1;
}

static mskp_value convolution(mskp_graph *graph, const char *name, const char *op, int transposed,
                              mskp_value in, const mskp_conv_desc *desc)
{
    conv_plan c = {.who = mskpi_who(name, op), .out_axis = transposed ? 1 : 0};
    char room[NAME_SIZE];
    list_view view;
    if (mskpi_enter(graph, c.who, in, &c.in) || mskpi_described(graph, c.who, desc))
        return NO_VALUE;
    const graph_param *weight = mskpi_param(graph, c.who, "weight", desc->weight);
    if (!weight) return NO_VALUE;
    if (c.in.nspatial < 1 || weight->ndim != c.in.nspatial + 2) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                         "%s: weight has %u axes, with an input of %u spatial axes (1 to %d) it "
                         "needs %u",
                         mskpi_short(c.who, room), weight->ndim, c.in.nspatial, MSKP_MAX_SPATIAL,
                         c.in.nspatial + 2);
        return NO_VALUE;
    }
    c.groups = desc->groups ? desc->groups : 1;
    if (conv_padding(graph, desc, &c) || conv_channels(graph, desc, &c) ||
        conv_positions(graph, desc, &c) || mskpi_new_channels(graph, c.who, c.channels, &view))
        return NO_VALUE;
    const mskp_value out = mskpi_new_value(graph, name, op, view, c.in.nspatial, c.spatial);
    if (!out.id || conv_zero(graph, &c, in, out, desc->bias.id != 0) ||
        conv_bind(graph, desc, &c, in, out) || conv_step(graph, desc, &c, in, out))
        return NO_VALUE;
    return out;
}

mskp_value mskp_conv(mskp_graph *graph, const char *name, mskp_value in, const mskp_conv_desc *desc)
{
    return convolution(graph, name, "conv", 0, in, desc);
}

mskp_value mskp_conv_transposed(mskp_graph *graph, const char *name, mskp_value in,
                                const mskp_conv_desc *desc)
{
    return convolution(graph, name, "conv_transposed", 1, in, desc);
}

mskp_value mskp_linear(mskp_graph *graph, const char *name, mskp_value in, mskp_param weight,
                       mskp_param bias)
{
    const char *who = mskpi_who(name, "linear");
    char room[NAME_SIZE];
    graph_value v;
    list_view view;
    if (mskpi_enter(graph, who, in, &v)) return NO_VALUE;
    const graph_param *w = mskpi_param(graph, who, "weight", weight);
    if (!w) return NO_VALUE;
    if (w->ndim != 2) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE, "%s: weight has %u axes, 2 are expected",
                         mskpi_short(who, room), w->ndim);
        return NO_VALUE;
    }
    if (mskpi_length(graph, weight, 1) != v.view.n) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                         "%s: weight expects %zu input channels, its input has %zu",
                         mskpi_short(who, room), mskpi_length(graph, weight, 1), v.view.n);
        return NO_VALUE;
    }
    const size_t channels = mskpi_length(graph, weight, 0);
    if (mskpi_check_vector(graph, who, "bias", bias, channels) ||
        mskpi_new_channels(graph, who, channels, &view))
        return NO_VALUE;
    const mskp_value out = mskpi_new_value(graph, name, "linear", view, v.nspatial, v.spatial);
    if (!out.id) return NO_VALUE;
    mskpi_zero_all(graph, out.id, ZERO_FILTER & (bias.id ? ZERO_SHIFT : ZERO_ALWAYS));
    mskpi_read(graph, in.id);
    if (mskpi_bind(graph, weight, 0, MSKP_ROLE_FILTER, view, out.id, out.id) ||
        mskpi_bind(graph, weight, 1, MSKP_ROLE_CONSUMER, v.view, out.id, out.id) ||
        (bias.id && mskpi_bind(graph, bias, 0, MSKP_ROLE_SHIFT, view, out.id, out.id)) ||
        mskp_add_macs(graph, out, weight, mskpi_positions(&v)))
        return NO_VALUE;
    graph_step *step = mskpi_step(graph, out, STEP_LINEAR, 1, &in);
    if (!step) return NO_VALUE;
    step->params[0] = weight.id;
    step->params[1] = bias.id;
    return out;
}

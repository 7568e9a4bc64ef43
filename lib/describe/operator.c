/*
 * Operators, made from the primitives: new lists of channels, ties, pins, binds, costs.
 *
 * Here: ends of the network, what mixes channels, what works on each by itself. What brings lists
 * together or takes them apart is in structure.c, attention and recurrent layers in sequence.c.
 *
 * Every operator checks everything first, in the order in which a reader would, and then makes its
 * value. Handle 0 goes through all of them without a second sentence.
 */
#include <string.h>

#include "internal.h"

#define DEFAULT_EPSILON 1e-5

static const mskp_value NO_VALUE = {0};

int mskpi_enter(mskp_graph *graph, const char *who, mskp_value in, graph_value *v)
{
    mskp_status status;
    if (!mskpi_describing(graph, &status)) return 1;
    const graph_value *found = mskpi_value(graph, who, in);
    if (!found) return 1;
    *v = *found;
    return 0;
}

size_t mskpi_length(const mskp_graph *graph, mskp_param p, uint32_t axis)
{
    return graph->axes[graph->params[p.id].axis + axis].length;
}

int mskpi_check_param(mskp_graph *graph, const char *who, const char *what, mskp_param p,
                      uint32_t ndim, const size_t *shape)
{
    char room[NAME_ROOM];
    if (!p.id) return 0;
    const graph_param *found = mskpi_param(graph, who, what, p);
    if (!found) return 1;
    if (found->ndim != ndim) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: %s has %u axes, %u %s expected",
                         mskpi_short(who, room), what, found->ndim, ndim, ndim == 1 ? "is" : "are");
        return 1;
    }
    for (uint32_t d = 0; d < ndim; d++) {
        if (!shape[d] || mskpi_length(graph, p, d) == shape[d]) continue;
        if (ndim == 1)
            mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: %s has length %zu, there are %zu channels",
                             mskpi_short(who, room), what, mskpi_length(graph, p, d), shape[d]);
        else
            mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                             "%s: axis %u of %s has length %zu, expected %zu",
                             mskpi_short(who, room), d, what, mskpi_length(graph, p, d), shape[d]);
        return 1;
    }
    return 0;
}

int mskpi_unreserved(mskp_graph *graph, const char *who, const uint64_t *reserved, size_t n)
{
    char room[NAME_ROOM];
    if (!mskpi_used(reserved, n)) return 0;
    mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: reserved fields must be 0",
                     mskpi_short(who, room));
    return 1;
}

int mskpi_described(mskp_graph *graph, const char *who, const void *desc)
{
    char room[NAME_ROOM];
    if (desc) return 0;
    mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: desc is NULL", mskpi_short(who, room));
    return 1;
}

static int check_vector(mskp_graph *graph, const char *who, const char *what, mskp_param p,
                        size_t channels)
{
    return mskpi_check_param(graph, who, what, p, 1, &channels);
}

static list_view view_of(const mskp_graph *graph, mskp_value v)
{
    return graph->values[v.id].view;
}

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

mskp_value mskp_opaque(mskp_graph *graph, const char *name, const char *op, size_t n,
                       const mskp_value *inputs, size_t channels, uint32_t nspatial,
                       const size_t *spatial)
{
    const char *who = mskpi_who(name, mskpi_who(op, "opaque"));
    char room[NAME_ROOM];
    mskp_status status;
    graph_value v;
    list_view view;
    size_t own_op;
    if (!mskpi_describing(graph, &status)) return NO_VALUE;
    if (n && !inputs) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: inputs is NULL", mskpi_short(who, room));
        return NO_VALUE;
    }
    for (size_t i = 0; i < n; i++)
        if (mskpi_enter(graph, who, inputs[i], &v)) return NO_VALUE;
    if (mskpi_own_op(graph, who, op, &own_op) || mskpi_new_channels(graph, who, channels, &view))
        return NO_VALUE;
    const mskp_value out = mskpi_new_value(graph, name, op, view, nspatial, spatial);
    if (!out.id) return NO_VALUE;
    graph->values[out.id].op = NULL;
    graph->values[out.id].own_op = own_op;
    for (size_t i = 0; i < n; i++) {
        if (mskpi_pin(graph, who, inputs[i], out.id)) return NO_VALUE;
        graph->steps[inputs[i].id].own |= OWN_READ;
    }
    return mskpi_pin(graph, who, out, out.id) ? NO_VALUE : out;
}

/* What is said of spatial axes must be said of axes that are there. 1 after a sentence. */
static int beyond_axes(mskp_graph *graph, const char *who, uint32_t nspatial, size_t n,
                       const size_t *const *given)
{
    char room[NAME_ROOM];
    for (uint32_t d = nspatial; d < MSKP_MAX_SPATIAL; d++)
        for (size_t k = 0; k < n; k++) {
            if (!given[k][d]) continue;
            mskpi_graph_fail(
                graph, MSKP_BAD_ARGUMENT,
                "%s: %zu is said of spatial axis %u, counted from 0, but the input has "
                "%u",
                mskpi_short(who, room), given[k][d], d, nspatial);
            return 1;
        }
    return 0;
}

/* ---- operators that mix channels ---- */

/* out = (in + before + after - dilation * (size - 1) - 1) / stride + 1; 1 if there is no such size.
 */
static int window(size_t in, size_t before, size_t after, size_t size, size_t dilation,
                  size_t stride, int ceil_mode, size_t *out)
{
    size_t reach, padded;
    if (before > SIZE_MAX / 4 || after > SIZE_MAX / 4 || in > SIZE_MAX / 4 ||
        stride > SIZE_MAX / 4 || mskpi_times(dilation, size - 1, &reach))
        return 1;
    padded = in + before + after;
    if (reach >= padded) return 1;
    *out = (padded - reach - 1) / stride + 1;
    if (ceil_mode && (padded - reach - 1) % stride) {
        /* A window that would start in the right pad does not count. */
        if (*out * stride < in + before) ++*out;
    }
    return 0;
}

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
    char room[NAME_ROOM];
    const char *shown = mskpi_short(c->who, room);
    const size_t in = c->in.view.n, groups = c->groups;
    const size_t first = mskpi_length(graph, desc->weight, 0);
    const size_t second = mskpi_length(graph, desc->weight, 1);
    if ((unsigned)desc->grouping > MSKP_GROUPS_WHOLE) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: grouping %u, there are 3", shown,
                         (unsigned)desc->grouping);
        return 1;
    }
    if (in % groups || (!c->out_axis && first % groups)) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: %zu %s channels do not make %zu groups", shown,
                         in % groups ? in : first, in % groups ? "input" : "output", groups);
        return 1;
    }
    const size_t over_groups = mskpi_product(second, groups);
    const size_t expects = c->out_axis ? first : over_groups;
    if (expects != in) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                         "%s: weight expects %zu input channels, its input has %zu", shown, expects,
                         in);
        return 1;
    }
    c->channels = c->out_axis ? over_groups : first;
    c->whole = groups > 1 && (desc->grouping == MSKP_GROUPS_WHOLE ||
                              (desc->grouping == MSKP_GROUPS_AUTO && groups == in));
    return check_vector(graph, c->who, "bias", desc->bias, c->channels);
}

/* The result's size on one spatial axis; 1: there is none. */
static int conv_size(const mskp_conv_desc *desc, int transposed, uint32_t d, size_t in,
                     size_t kernel, size_t *out)
{
    const size_t stride = desc->stride[d] ? desc->stride[d] : 1;
    const size_t dilation = desc->dilation[d] ? desc->dilation[d] : 1;
    size_t reach, steps;
    if (!transposed)
        return window(in, desc->pad_before[d], desc->pad_after[d], kernel, dilation, stride, 0,
                      out);
    if (mskpi_times(dilation, kernel - 1, &reach) || mskpi_times(stride, in - 1, &steps) ||
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
    char room[NAME_ROOM];
    if (pad > SIZE_MAX / 8)
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                         "%s: a pad of %zu on spatial axis %u of length %zu is too long",
                         mskpi_short(c->who, room), pad, d, c->in.spatial[d]);
    else if (!c->out_axis && desc->output_pad[d])
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                         "%s: output_pad is %zu on spatial axis %u; only a transposed convolution "
                         "has one",
                         mskpi_short(c->who, room), desc->output_pad[d], d);
    /* More than a step of output padding would be more than the next input makes. */
    else if (desc->output_pad[d] >= step)
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
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
    char room[NAME_ROOM];
    const size_t *const said[] = {desc->stride, desc->pad_before, desc->pad_after, desc->dilation,
                                  desc->output_pad};
    if (beyond_axes(graph, c->who, c->in.nspatial, sizeof said / sizeof *said, said)) return 1;
    c->positions = 1;
    for (uint32_t d = 0; d < c->in.nspatial; d++) {
        if (bad_pads(graph, desc, c, d)) return 1;
        const size_t kernel = mskpi_length(graph, desc->weight, d + 2), in = c->in.spatial[d];
        if (!conv_size(desc, transposed, d, in, kernel, &c->spatial[d]) &&
            !mskpi_times(c->positions, transposed ? in : c->spatial[d], &c->positions))
            continue;
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
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
    list_view read = view_of(graph, in), made = view_of(graph, out);
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
        status =
            mskpi_bind(graph, desc->bias, 0, MSKP_ROLE_SHIFT, view_of(graph, out), out.id, out.id);
    return status ? status : mskp_macs(graph, out, desc->weight, c->positions);
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
    s->uniform_padding = desc->padding == MSKP_PAD_CONTINUED;
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
    char room[NAME_ROOM];
    if ((unsigned)desc->padding <= MSKP_PAD_CONTINUED && !(c->out_axis && desc->padding)) return 0;
    mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: padding %u, there are %d%s",
                     mskpi_short(c->who, room), (unsigned)desc->padding, c->out_axis ? 1 : 2,
                     c->out_axis ? " when transposed" : "");
    return 1;
}

static mskp_value convolution(mskp_graph *graph, const char *name, const char *op, int transposed,
                              mskp_value in, const mskp_conv_desc *desc)
{
    conv_plan c = {.who = mskpi_who(name, op), .out_axis = transposed ? 1 : 0};
    char room[NAME_ROOM];
    list_view view;
    if (mskpi_enter(graph, c.who, in, &c.in) || mskpi_described(graph, c.who, desc) ||
        mskpi_unreserved(graph, c.who, desc->reserved, 4))
        return NO_VALUE;
    const graph_param *weight = mskpi_param(graph, c.who, "weight", desc->weight);
    if (!weight) return NO_VALUE;
    if (c.in.nspatial < 1 || weight->ndim != c.in.nspatial + 2) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
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
    char room[NAME_ROOM];
    graph_value v;
    list_view view;
    if (mskpi_enter(graph, who, in, &v)) return NO_VALUE;
    const graph_param *w = mskpi_param(graph, who, "weight", weight);
    if (!w) return NO_VALUE;
    if (w->ndim != 2) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: weight has %u axes, 2 are expected",
                         mskpi_short(who, room), w->ndim);
        return NO_VALUE;
    }
    if (mskpi_length(graph, weight, 1) != v.view.n) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                         "%s: weight expects %zu input channels, its input has %zu",
                         mskpi_short(who, room), mskpi_length(graph, weight, 1), v.view.n);
        return NO_VALUE;
    }
    const size_t channels = mskpi_length(graph, weight, 0);
    if (check_vector(graph, who, "bias", bias, channels) ||
        mskpi_new_channels(graph, who, channels, &view))
        return NO_VALUE;
    const mskp_value out = mskpi_new_value(graph, name, "linear", view, v.nspatial, v.spatial);
    if (!out.id) return NO_VALUE;
    mskpi_zero_all(graph, out.id, ZERO_FILTER & (bias.id ? ZERO_SHIFT : ZERO_ALWAYS));
    mskpi_read(graph, in.id);
    if (mskpi_bind(graph, weight, 0, MSKP_ROLE_FILTER, view, out.id, out.id) ||
        mskpi_bind(graph, weight, 1, MSKP_ROLE_CONSUMER, v.view, out.id, out.id) ||
        (bias.id && mskpi_bind(graph, bias, 0, MSKP_ROLE_SHIFT, view, out.id, out.id)) ||
        mskp_macs(graph, out, weight, mskpi_positions(&v)))
        return NO_VALUE;
    graph_step *step = mskpi_step(graph, out, STEP_LINEAR, 1, &in);
    if (!step) return NO_VALUE;
    step->params[0] = weight.id;
    step->params[1] = bias.id;
    return out;
}

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

mskp_value mskp_param_value(mskp_graph *graph, const char *name, mskp_param param, uint32_t axis,
                            uint32_t roles, uint32_t nspatial, const size_t *spatial)
{
    const char *who = mskpi_who(name, "param");
    mskp_status status;
    list_view view;
    char room[NAME_ROOM];
    if (!mskpi_describing(graph, &status)) return NO_VALUE;
    const graph_param *p = mskpi_param(graph, who, "param", param);
    if (!p) return NO_VALUE;
    if (axis >= p->ndim) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: axis %u of a parameter with %u axes",
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

/* ---- operators on each channel by itself: the list goes through ---- */

/* Zero after a norm, by what comes in; `read`: of all that its statistics see. */
static zero_table norm_zero(const mskp_norm_desc *desc, zero_table read)
{
    const zero_table shift = desc->shift.id ? ZERO_SHIFT : ZERO_ALWAYS;
    const zero_table scale = desc->scale.id ? ZERO_SCALE : ZERO_NEVER;
    /* (0 - mean) / deviation: a running mean is not of this input, its own is 0 with it */
    if (desc->kind == MSKP_BATCH_NORM || desc->mean.id || desc->variance.id) return scale & shift;
    return (zero_table)((scale | read) & shift);
}

static int norm_zeros(mskp_graph *graph, const mskp_norm_desc *desc, mskp_value in, mskp_value out)
{
    const size_t n = view_of(graph, in).n;
    const size_t part = desc->kind == MSKP_GROUP_NORM ? n / (desc->groups ? desc->groups : 1)
                        : desc->kind == MSKP_LAYER_NORM || desc->kind == MSKP_RMS_NORM ? n
                                                                                       : 1;
    zero_table *zero = mskpi_zero_each(graph, out.id);
    if (!zero) return 1;
    for (size_t first = 0; first < n; first += part) {
        zero_table read = ZERO_ALWAYS;
        for (size_t i = 0; i < part; i++) read &= mskpi_zero(graph, in.id, first + i);
        for (size_t i = 0; i < part; i++) zero[first + i] = norm_zero(desc, read);
    }
    mskpi_zero_filled(graph, out.id);
    return 0;
}

/* Norms whose statistics run over channels: what may leave, and what it leaves behind. */
static mskp_status norm_couple(mskp_graph *graph, const mskp_norm_desc *desc, mskp_value in,
                               mskp_value out)
{
    const list_view view = view_of(graph, in);
    const size_t groups = desc->groups ? desc->groups : 1, part = view.n / groups;
    const int grouped = desc->kind == MSKP_GROUP_NORM && groups > 1;
    mskp_status status = MSKP_OK;
    if (desc->kind < MSKP_GROUP_NORM) return MSKP_OK;
    if (grouped && desc->grouping == MSKP_GROUPS_WHOLE) { /* statistics and all leave together */
        for (size_t g = 0; !status && g < groups; g++)
            status = mskpi_tie_all(graph, (list_view){view.first + g * part, part}, out.id);
        return status;
    }
    if (!desc->accept_inexact) return mskpi_pin(graph, "norm", in, out.id);
    if (grouped) status = mskpi_tie_parts(graph, view, groups, out.id);
    mskpi_inexact(graph, in.id, out.id);
    return status;
}

mskp_value mskp_norm(mskp_graph *graph, const char *name, mskp_value in, const mskp_norm_desc *desc)
{
    static const char *const op[] = {"norm",       "instance_norm", "affine",
                                     "group_norm", "layer_norm",    "rms_norm"};
    const char *who = mskpi_who(name, "norm");
    char room[NAME_ROOM];
    graph_value v;
    if (mskpi_enter(graph, who, in, &v) || mskpi_described(graph, who, desc) ||
        mskpi_unreserved(graph, who, desc->reserved, 4))
        return NO_VALUE;
    const char *shown = mskpi_short(who, room);
    if ((size_t)desc->kind >= sizeof op / sizeof *op ||
        (unsigned)desc->grouping > MSKP_GROUPS_WHOLE) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: norm kind %u (there are %zu), grouping %u",
                         shown, (unsigned)desc->kind, sizeof op / sizeof *op,
                         (unsigned)desc->grouping);
        return NO_VALUE;
    }
    if (desc->groups > 1 && desc->kind != MSKP_GROUP_NORM) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                         "%s: groups is %zu, but only a group norm has groups", shown,
                         desc->groups);
        return NO_VALUE;
    }
    if (desc->groups > 1 && v.view.n % desc->groups) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: %zu channels do not make %zu groups", shown,
                         v.view.n, desc->groups);
        return NO_VALUE;
    }
    if (!(desc->epsilon >= 0 && desc->epsilon <= 1) || desc->epsilon_outside_root > 1) {
        char number[32];
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT,
                         "%s: epsilon %s (0 to 1 is possible), epsilon_outside_root %u", shown,
                         mskpi_number(desc->epsilon, number), desc->epsilon_outside_root);
        return NO_VALUE;
    }
    if (desc->kind != MSKP_BATCH_NORM && desc->kind != MSKP_INSTANCE_NORM &&
        (desc->mean.id || desc->variance.id)) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: %s is given, but %s keeps no statistics",
                         shown, desc->mean.id ? "mean" : "variance", op[desc->kind]);
        return NO_VALUE;
    }
    const struct {
        const char *what;
        mskp_param param;
        uint32_t role;
    } part[] = {{"scale", desc->scale, MSKP_ROLE_SCALE},
                {"shift", desc->shift, MSKP_ROLE_SHIFT},
                {"mean", desc->mean, MSKP_ROLE_MEAN},
                {"variance", desc->variance, MSKP_ROLE_VARIANCE}};
    for (size_t i = 0; i < 4; i++) {
        if (check_vector(graph, who, part[i].what, part[i].param, v.view.n)) return NO_VALUE;
        for (size_t k = 0; k < i; k++) {
            if (!part[i].param.id || part[k].param.id != part[i].param.id) continue;
            mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: %s and %s are one parameter", shown,
                             part[k].what, part[i].what);
            return NO_VALUE;
        }
    }
    const mskp_value out =
        mskpi_new_value(graph, name, op[desc->kind], v.view, v.nspatial, v.spatial);
    if (!out.id || norm_zeros(graph, desc, in, out)) return NO_VALUE;
    for (size_t i = 0; i < 4; i++)
        if (part[i].param.id &&
            mskpi_bind(graph, part[i].param, 0, part[i].role, v.view, out.id, out.id))
            return NO_VALUE;
    if (norm_couple(graph, desc, in, out)) return NO_VALUE;
    graph_step *step = mskpi_step(graph, out, STEP_NORM, 1, &in);
    if (!step) return NO_VALUE;
    for (size_t i = 0; i < 4; i++) step->params[i] = part[i].param.id;
    step->option = (uint32_t)desc->kind;
    step->groups = desc->groups ? desc->groups : 1;
    step->whole = desc->kind == MSKP_GROUP_NORM && desc->grouping == MSKP_GROUPS_WHOLE;
    step->outside_root = desc->epsilon_outside_root != 0;
    step->as.epsilon = desc->epsilon > 0 ? desc->epsilon : DEFAULT_EPSILON;
    return out;
}

mskp_value mskp_prelu(mskp_graph *graph, const char *name, mskp_value in, mskp_param slope)
{
    const char *who = mskpi_who(name, "prelu");
    graph_value v;
    if (mskpi_enter(graph, who, in, &v) || !mskpi_param(graph, who, "slope", slope))
        return NO_VALUE;
    const int single = graph->params[slope.id].ndim == 1 && mskpi_length(graph, slope, 0) == 1;
    if (!single && check_vector(graph, who, "slope", slope, v.view.n)) return NO_VALUE;
    const mskp_value out = mskpi_new_value(graph, name, "prelu", v.view, v.nspatial, v.spatial);
    if (!out.id) return NO_VALUE;
    mskpi_zero_same(graph, out.id, in.id);
    graph_step *step = mskpi_step(graph, out, STEP_PRELU, 1, &in);
    if (!step) return NO_VALUE;
    step->params[0] = slope.id;
    if (single && v.view.n > 1) {
        (void)mskpi_attach(graph, slope, out); /* both are known: cannot fail */
        return out;
    }
    return mskpi_bind(graph, slope, 0, MSKP_ROLE_OTHER, v.view, out.id, out.id) ? NO_VALUE : out;
}

/* Parameters are finite, and given where something reads them. */
static int check_function(mskp_graph *graph, const char *who, const mskp_activation_desc *desc)
{
    const int own = desc->kind == MSKP_FUNCTION && desc->function != NULL;
    const int one =
        desc->kind == MSKP_LEAKY_RELU || desc->kind == MSKP_ELU || desc->kind == MSKP_TIMES;
    char room[NAME_ROOM], number[32];
    if (desc->function && !own) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: function is for kind %d, kind is %u",
                         mskpi_short(who, room), MSKP_FUNCTION, (unsigned)desc->kind);
        return 1;
    }
    for (size_t i = 0; i < MSKP_FUNCTION_PARAMETERS; i++) {
        const double x = desc->parameters[i];
        if (isfinite(x) && (own || x == 0 || (one && i == 0))) continue;
        mskpi_graph_fail(graph, isfinite(x) ? MSKP_BAD_ARGUMENT : MSKP_BAD_NUMBER,
                         "%s: parameters[%zu] is %s, %s", mskpi_short(who, room), i,
                         mskpi_number(x, number),
                         isfinite(x) ? "which kind does not read" : "not a finite number");
        return 1;
    }
    return 0;
}

mskp_value mskp_activation(mskp_graph *graph, const char *name, mskp_value in,
                           const mskp_activation_desc *desc)
{
    static const char *const op[] = {
        "identity", "relu", "relu6",        "leaky_relu", "elu",      "sigmoid", "tanh",
        "silu",     "gelu", "hard_sigmoid", "hard_swish", "function", "gelu",    "times"};
    char room[NAME_ROOM];
    graph_value v;
    const char *who = mskpi_who(name, "activation");
    const size_t kind = desc ? (size_t)desc->kind : 0;
    if (mskpi_enter(graph, who, in, &v) ||
        (desc && mskpi_unreserved(graph, who, desc->reserved, 4)) ||
        (desc && check_function(graph, who, desc)))
        return NO_VALUE;
    if (kind >= sizeof op / sizeof *op) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: activation kind %zu, there are %zu",
                         mskpi_short(who, room), kind, sizeof op / sizeof *op);
        return NO_VALUE;
    }
    const mskp_value out = mskpi_new_value(graph, name, op[kind], v.view, v.nspatial, v.spatial);
    if (!out.id) return NO_VALUE;
    /* sigmoid(0) is a half, and of an unknown function nothing is known */
    if (kind != MSKP_SIGMOID && kind != MSKP_HARD_SIGMOID && kind != MSKP_FUNCTION)
        mskpi_zero_same(graph, out.id, in.id);
    graph_step *step = mskpi_step(graph, out, STEP_FUNCTION, 1, &in);
    if (!step) return NO_VALUE;
    step->option = (uint32_t)kind;
    if (desc) {
        step->as.function.call = desc->function;
        memcpy(step->as.function.parameters, desc->parameters, sizeof desc->parameters);
    }
    if (kind == MSKP_LEAKY_RELU && desc->parameters[0] == 0) step->as.function.parameters[0] = 0.01;
    if (kind == MSKP_ELU && desc->parameters[0] == 0) step->as.function.parameters[0] = 1;
    return out;
}

/* Does a channel that is the same everywhere stay so? */
static uint32_t pool_keeps(const mskp_pool_desc *desc, const graph_value *v)
{
    int odd = desc->ceil_mode != 0;
    if (desc->keeps_constants || desc->kind == MSKP_POOL_MAX ||
        desc->kind == MSKP_POOL_GLOBAL_MAX || desc->kind == MSKP_POOL_GLOBAL_AVERAGE)
        return 1;
    for (uint32_t d = 0; d < v->nspatial; d++)
        odd |= desc->pad_before[d] || desc->pad_after[d] || desc->spatial[d];
    return !odd;
}

mskp_value mskp_pool(mskp_graph *graph, const char *name, mskp_value in, const mskp_pool_desc *desc)
{
    static const char *const op[] = {"max_pool", "average_pool", "global_max", "global_average",
                                     "resize"};
    const char *who = mskpi_who(name, "pool");
    char room[NAME_ROOM];
    graph_value v;
    size_t spatial[MSKP_MAX_SPATIAL] = {0};
    if (mskpi_enter(graph, who, in, &v) || mskpi_described(graph, who, desc) ||
        mskpi_unreserved(graph, who, desc->reserved, 8))
        return NO_VALUE;
    const char *shown = mskpi_short(who, room);
    if ((size_t)desc->kind >= sizeof op / sizeof *op || desc->keeps_constants > 1) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT,
                         "%s: pool kind %u, there are %zu; keeps_constants %u", shown,
                         (unsigned)desc->kind, sizeof op / sizeof *op, desc->keeps_constants);
        return NO_VALUE;
    }
    const size_t *const said[] = {desc->size, desc->stride, desc->pad_before, desc->pad_after,
                                  desc->spatial};
    if (beyond_axes(graph, who, v.nspatial, sizeof said / sizeof *said, said)) return NO_VALUE;
    const int resize = desc->kind == MSKP_POOL_RESIZE;
    const int global = desc->kind == MSKP_POOL_GLOBAL_MAX || desc->kind == MSKP_POOL_GLOBAL_AVERAGE;
    int windowed = desc->ceil_mode != 0;
    for (uint32_t d = 0; d < v.nspatial; d++)
        windowed |= desc->size[d] || desc->stride[d] || desc->pad_before[d] || desc->pad_after[d];
    if ((global || resize) && windowed) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: %s has no size, stride, pad or ceil_mode",
                         shown, global ? "global pooling" : "resizing");
        return NO_VALUE;
    }
    for (uint32_t d = 0; d < v.nspatial; d++) {
        const size_t size = desc->size[d] ? desc->size[d] : 1;
        if (resize && !desc->spatial[d]) {
            mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT,
                             "%s: resizing needs a length on each axis; spatial[%u] is 0", shown,
                             d);
            return NO_VALUE;
        }
        if (desc->spatial[d]) {
            spatial[d] = desc->spatial[d];
        } else if (global) {
            spatial[d] = 1;
        } else if (window(v.spatial[d], desc->pad_before[d], desc->pad_after[d], size, 1,
                          desc->stride[d] ? desc->stride[d] : size, desc->ceil_mode != 0,
                          &spatial[d])) {
            mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                             "%s: window %zu does not fit on spatial axis %u of length %zu with "
                             "pads %zu and %zu",
                             shown, size, d, v.spatial[d], desc->pad_before[d], desc->pad_after[d]);
            return NO_VALUE;
        }
    }
    const mskp_value out =
        mskpi_new_value(graph, name, op[desc->kind], v.view, v.nspatial, spatial);
    if (!out.id) return NO_VALUE;
    mskpi_zero_same(graph, out.id, in.id);
    graph_step *step = mskpi_step(graph, out, STEP_POOL, 1, &in);
    if (!step) return NO_VALUE;
    step->option = pool_keeps(desc, &v);
    return out;
}

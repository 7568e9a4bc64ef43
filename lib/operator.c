/*
 * Operators, made from the primitives: new lists of channels, ties, pins, binds, costs.
 *
 * Every operator checks everything first, in the order in which a reader would, and then makes its
 * value. Handle 0 goes through all of them without a second sentence.
 */
#include <string.h>

#include "internal.h"

static const mskp_value NO_VALUE = {0};

/* The value that enters an operator, by copy: the arrays of a graph move while it grows. */
static int enter(mskp_graph *graph, const char *who, mskp_value in, graph_value *v)
{
    mskp_status status;
    if (!mskpi_describing(graph, &status)) return 1;
    const graph_value *found = mskpi_value(graph, who, in);
    if (!found) return 1;
    *v = *found;
    return 0;
}

static size_t length_of(const mskp_graph *graph, mskp_param p, uint32_t axis)
{
    return graph->axes[graph->params[p.id].axis + axis].length;
}

/* A parameter with so many axes, whose first must have this length. {0} is fine if optional. */
static int check_vector(mskp_graph *graph, const char *who, const char *what, mskp_param p,
                        size_t channels)
{
    char room[NAME_ROOM];
    if (!p.id) return 0;
    const graph_param *found = mskpi_param(graph, who, p);
    if (!found) return 1;
    if (found->ndim == 1 && length_of(graph, p, 0) == channels) return 0;
    if (found->ndim != 1)
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: %s has %u axes, 1 is expected",
                         mskpi_short(who, room), what, found->ndim);
    else
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: %s has length %zu, there are %zu channels",
                         mskpi_short(who, room), what, length_of(graph, p, 0), channels);
    return 1;
}

static int unreserved(mskp_graph *graph, const char *who, const uint64_t *reserved, size_t n)
{
    char room[NAME_ROOM];
    if (!mskpi_used(reserved, n)) return 0;
    mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: reserved fields must be 0",
                     mskpi_short(who, room));
    return 1;
}

static int described(mskp_graph *graph, const char *who, const void *desc)
{
    char room[NAME_ROOM];
    if (desc) return 0;
    mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: desc is NULL", mskpi_short(who, room));
    return 1;
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
    return mskpi_pin(graph, "output", v, v.id);
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
        if (enter(graph, who, inputs[i], &v)) return NO_VALUE;
    if (mskpi_own_op(graph, who, op, &own_op) || mskpi_new_channels(graph, who, channels, &view))
        return NO_VALUE;
    const mskp_value out = mskpi_new_value(graph, name, op, view, nspatial, spatial);
    if (!out.id) return NO_VALUE;
    graph->values[out.id].op = NULL;
    graph->values[out.id].own_op = own_op;
    for (size_t i = 0; i < n; i++)
        if (mskpi_pin(graph, who, inputs[i], out.id)) return NO_VALUE;
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
            mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT,
                             "%s: %zu is said of spatial axis %u, but the input has %u (0 and up)",
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

mskp_value mskp_conv(mskp_graph *graph, const char *name, mskp_value in, const mskp_conv_desc *desc)
{
    const char *who = mskpi_who(name, "conv");
    char room[NAME_ROOM];
    graph_value v;
    list_view view;
    size_t spatial[MSKP_MAX_SPATIAL] = {0}, positions = 1;
    if (enter(graph, who, in, &v) || described(graph, who, desc) ||
        unreserved(graph, who, desc->reserved, 8))
        return NO_VALUE;
    const graph_param *weight = mskpi_param(graph, who, desc->weight);
    if (!weight) return NO_VALUE;
    const char *shown = mskpi_short(who, room);
    if (desc->groups > 1) {
        mskpi_graph_fail(graph, MSKP_UNSUPPORTED,
                         "%s: %zu groups; this version knows convolutions of 1 group", shown,
                         desc->groups);
        return NO_VALUE;
    }
    if (v.nspatial < 1 || weight->ndim != v.nspatial + 2) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                         "%s: weight has %u axes, with an input of %u spatial axes (1 to %d) it "
                         "needs %u",
                         shown, weight->ndim, v.nspatial, MSKP_MAX_SPATIAL, v.nspatial + 2);
        return NO_VALUE;
    }
    if (length_of(graph, desc->weight, 1) != v.view.n) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                         "%s: weight expects %zu input channels, its input has %zu", shown,
                         length_of(graph, desc->weight, 1), v.view.n);
        return NO_VALUE;
    }
    const size_t *const said[] = {desc->stride, desc->pad_before, desc->pad_after, desc->dilation};
    if (beyond_axes(graph, who, v.nspatial, sizeof said / sizeof *said, said)) return NO_VALUE;
    for (uint32_t d = 0; d < v.nspatial; d++) {
        const size_t kernel = length_of(graph, desc->weight, d + 2);
        if (window(v.spatial[d], desc->pad_before[d], desc->pad_after[d], kernel,
                   desc->dilation[d] ? desc->dilation[d] : 1, desc->stride[d] ? desc->stride[d] : 1,
                   0, &spatial[d]) ||
            mskpi_times(positions, spatial[d], &positions)) {
            mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                             "%s: kernel %zu (dilation %zu) does not fit on spatial axis %u of "
                             "length %zu with pads %zu and %zu",
                             shown, kernel, desc->dilation[d] ? desc->dilation[d] : 1, d,
                             v.spatial[d], desc->pad_before[d], desc->pad_after[d]);
            return NO_VALUE;
        }
    }
    const size_t channels = length_of(graph, desc->weight, 0);
    if (check_vector(graph, who, "bias", desc->bias, channels) ||
        mskpi_new_channels(graph, who, channels, &view))
        return NO_VALUE;
    const mskp_value out = mskpi_new_value(graph, name, "conv", view, v.nspatial, spatial);
    if (!out.id || mskpi_bind(graph, desc->weight, 0, MSKP_ROLE_FILTER, out.id, out.id) ||
        mskpi_bind(graph, desc->weight, 1, MSKP_ROLE_CONSUMER, in.id, out.id) ||
        (desc->bias.id && mskpi_bind(graph, desc->bias, 0, MSKP_ROLE_SHIFT, out.id, out.id)) ||
        mskp_macs(graph, out, desc->weight, positions))
        return NO_VALUE;
    return out;
}

mskp_value mskp_linear(mskp_graph *graph, const char *name, mskp_value in, mskp_param weight,
                       mskp_param bias)
{
    const char *who = mskpi_who(name, "linear");
    char room[NAME_ROOM];
    graph_value v;
    list_view view;
    if (enter(graph, who, in, &v)) return NO_VALUE;
    const graph_param *w = mskpi_param(graph, who, weight);
    if (!w) return NO_VALUE;
    if (w->ndim != 2) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: weight has %u axes, 2 are expected",
                         mskpi_short(who, room), w->ndim);
        return NO_VALUE;
    }
    if (length_of(graph, weight, 1) != v.view.n) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                         "%s: weight expects %zu input channels, its input has %zu",
                         mskpi_short(who, room), length_of(graph, weight, 1), v.view.n);
        return NO_VALUE;
    }
    const size_t channels = length_of(graph, weight, 0);
    if (check_vector(graph, who, "bias", bias, channels) ||
        mskpi_new_channels(graph, who, channels, &view))
        return NO_VALUE;
    const mskp_value out = mskpi_new_value(graph, name, "linear", view, v.nspatial, v.spatial);
    if (!out.id || mskpi_bind(graph, weight, 0, MSKP_ROLE_FILTER, out.id, out.id) ||
        mskpi_bind(graph, weight, 1, MSKP_ROLE_CONSUMER, in.id, out.id) ||
        (bias.id && mskpi_bind(graph, bias, 0, MSKP_ROLE_SHIFT, out.id, out.id)) ||
        mskp_macs(graph, out, weight, mskpi_positions(&v)))
        return NO_VALUE;
    return out;
}

/* ---- operators on each channel by itself: the list goes through ---- */

mskp_value mskp_norm(mskp_graph *graph, const char *name, mskp_value in, const mskp_norm_desc *desc)
{
    const char *who = mskpi_who(name, "norm");
    graph_value v;
    if (enter(graph, who, in, &v) || described(graph, who, desc) ||
        unreserved(graph, who, desc->reserved, 8))
        return NO_VALUE;
    const struct {
        const char *what;
        mskp_param param;
        uint32_t role;
    } part[] = {{"scale", desc->scale, MSKP_ROLE_SCALE},
                {"shift", desc->shift, MSKP_ROLE_SHIFT},
                {"mean", desc->mean, MSKP_ROLE_MEAN},
                {"variance", desc->variance, MSKP_ROLE_VARIANCE}};
    for (size_t i = 0; i < 4; i++)
        if (check_vector(graph, who, part[i].what, part[i].param, v.view.n)) return NO_VALUE;
    const mskp_value out = mskpi_new_value(graph, name, "norm", v.view, v.nspatial, v.spatial);
    if (!out.id) return NO_VALUE;
    for (size_t i = 0; i < 4; i++)
        if (part[i].param.id && mskpi_bind(graph, part[i].param, 0, part[i].role, out.id, out.id))
            return NO_VALUE;
    return out;
}

mskp_value mskp_activation(mskp_graph *graph, const char *name, mskp_value in,
                           const mskp_activation_desc *desc)
{
    static const char *const op[] = {"identity", "relu",         "relu6",      "leaky_relu",
                                     "elu",      "sigmoid",      "tanh",       "silu",
                                     "gelu",     "hard_sigmoid", "hard_swish", "function"};
    char room[NAME_ROOM];
    graph_value v;
    const char *who = mskpi_who(name, "activation");
    const size_t kind = desc ? (size_t)desc->kind : 0;
    if (enter(graph, who, in, &v) || (desc && unreserved(graph, who, desc->reserved, 8)))
        return NO_VALUE;
    if (kind >= sizeof op / sizeof *op) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: activation kind %zu, there are %zu",
                         mskpi_short(who, room), kind, sizeof op / sizeof *op);
        return NO_VALUE;
    }
    return mskpi_new_value(graph, name, op[kind], v.view, v.nspatial, v.spatial);
}

mskp_value mskp_pool(mskp_graph *graph, const char *name, mskp_value in, const mskp_pool_desc *desc)
{
    static const char *const op[] = {"max_pool", "average_pool", "global_max", "global_average",
                                     "resize"};
    const char *who = mskpi_who(name, "pool");
    char room[NAME_ROOM];
    graph_value v;
    size_t spatial[MSKP_MAX_SPATIAL] = {0};
    if (enter(graph, who, in, &v) || described(graph, who, desc) ||
        unreserved(graph, who, desc->reserved, 8))
        return NO_VALUE;
    const char *shown = mskpi_short(who, room);
    if ((size_t)desc->kind >= sizeof op / sizeof *op) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: pool kind %u, there are %zu", shown,
                         (unsigned)desc->kind, sizeof op / sizeof *op);
        return NO_VALUE;
    }
    const size_t *const said[] = {desc->size, desc->stride, desc->pad_before, desc->pad_after,
                                  desc->spatial};
    if (beyond_axes(graph, who, v.nspatial, sizeof said / sizeof *said, said)) return NO_VALUE;
    const int resize = desc->kind == MSKP_POOL_RESIZE;
    const int global = desc->kind == MSKP_POOL_GLOBAL_MAX || desc->kind == MSKP_POOL_GLOBAL_AVERAGE;
    for (uint32_t d = 0; d < v.nspatial; d++) {
        const size_t size = desc->size[d] ? desc->size[d] : 1;
        if ((global || resize) && (desc->size[d] || desc->stride[d] || desc->pad_before[d] ||
                                   desc->pad_after[d] || desc->ceil_mode)) {
            mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT,
                             "%s: %s has no size, stride, pad or ceil_mode", shown,
                             global ? "global pooling" : "resizing");
            return NO_VALUE;
        }
        if (resize && !desc->spatial[d]) {
            mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT,
                             "%s: resizing to length 0 on spatial axis %u", shown, d);
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
    return mskpi_new_value(graph, name, op[desc->kind], v.view, v.nspatial, spatial);
}

/* ---- operators that bring lists together, or take them apart ---- */

/* The result's spatial size, where lengths of 1 and values without spatial axes broadcast. 1 after
 * a sentence: they do not fit. */
static int broadcast(mskp_graph *graph, const char *shown, graph_value *all, mskp_value part)
{
    const graph_value *v = &graph->values[part.id];
    char room[NAME_ROOM];
    const char *name = mskpi_short(mskpi_value_name(graph, part.id), room);
    if (!v->nspatial) return 0;
    if (!all->nspatial) {
        all->nspatial = v->nspatial;
        memcpy(all->spatial, v->spatial, sizeof all->spatial);
        return 0;
    }
    if (all->nspatial != v->nspatial) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                         "%s: %s has %u spatial axes, the values before it have %u", shown, name,
                         v->nspatial, all->nspatial);
        return 1;
    }
    for (uint32_t d = 0; d < v->nspatial; d++) {
        if (all->spatial[d] == 1) all->spatial[d] = v->spatial[d];
        if (v->spatial[d] == 1 || v->spatial[d] == all->spatial[d]) continue;
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                         "%s: %s has length %zu on spatial axis %u, the values before it have %zu",
                         shown, name, v->spatial[d], d, all->spatial[d]);
        return 1;
    }
    return 0;
}

mskp_value mskp_combine(mskp_graph *graph, const char *name, mskp_combine_kind kind, size_t n,
                        const mskp_value *values)
{
    static const char *const op[] = {"add", "subtract", "multiply", "maximum"};
    const char *who = mskpi_who(name, "combine");
    char room[NAME_ROOM], room_v[NAME_ROOM];
    const char *shown = mskpi_short(who, room);
    mskp_status status;
    graph_value all = {0}, v;
    if (!mskpi_describing(graph, &status)) return NO_VALUE;
    if (!values) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: values is NULL", shown);
        return NO_VALUE;
    }
    if ((size_t)kind >= sizeof op / sizeof *op || !n) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT,
                         "%s: combine kind %u (there are %zu) of %zu values", shown, (unsigned)kind,
                         sizeof op / sizeof *op, n);
        return NO_VALUE;
    }
    /* The widest operand gives the list. */
    for (size_t i = 0; i < n; i++) {
        if (enter(graph, who, values[i], &v)) return NO_VALUE;
        if (v.view.n > all.view.n) all.view = v.view;
        if (broadcast(graph, shown, &all, values[i])) return NO_VALUE;
    }
    for (size_t i = 0; i < n; i++) {
        const size_t channels = graph->values[values[i].id].view.n;
        if (channels == 1 || channels == all.view.n) continue;
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: %s has %zu channels, another value has %zu",
                         shown, mskpi_short(mskpi_value_name(graph, values[i].id), room_v),
                         channels, all.view.n);
        return NO_VALUE;
    }
    const mskp_value out =
        mskpi_new_value(graph, name, op[kind], all.view, all.nspatial, all.spatial);
    if (!out.id) return NO_VALUE;
    for (size_t i = 0; i < n; i++) {
        const list_view view = graph->values[values[i].id].view;
        if (view.n == all.view.n && mskpi_tie_lists(graph, all.view, view, out.id)) return NO_VALUE;
    }
    return out;
}

mskp_value mskp_slice(mskp_graph *graph, const char *name, mskp_value in, size_t first,
                      size_t count)
{
    const char *who = mskpi_who(name, "slice");
    char room[NAME_ROOM];
    graph_value v;
    if (enter(graph, who, in, &v)) return NO_VALUE;
    if (!count || first >= v.view.n || count > v.view.n - first) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                         "%s: %zu channels from channel %zu, its input has %zu",
                         mskpi_short(who, room), count, first, v.view.n);
        return NO_VALUE;
    }
    return mskpi_new_value(graph, name, "slice", (list_view){v.view.first + first, count},
                           v.nspatial, v.spatial);
}

mskp_value mskp_pad_channels(mskp_graph *graph, const char *name, mskp_value in, size_t before,
                             size_t after)
{
    const char *who = mskpi_who(name, "pad_channels");
    graph_value v;
    list_view head = {0}, tail = {0}, view;
    if (enter(graph, who, in, &v)) return NO_VALUE;
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
    return mskpi_new_value(graph, name, "pad_channels", view, v.nspatial, v.spatial);
}

mskp_value mskp_flatten(mskp_graph *graph, const char *name, mskp_value in, uint32_t channels_last)
{
    const char *who = mskpi_who(name, "flatten");
    char room[NAME_ROOM];
    graph_value v;
    list_view view;
    size_t n;
    if (enter(graph, who, in, &v)) return NO_VALUE;
    const size_t positions = mskpi_positions(&v);
    if (channels_last > 1) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: channels_last is %u, not 0 or 1",
                         mskpi_short(who, room), channels_last);
        return NO_VALUE;
    }
    if (positions == 1) return mskpi_new_value(graph, name, "flatten", v.view, 0, NULL);
    if (mskpi_times(v.view.n, positions, &n)) n = SIZE_MAX;
    if (mskpi_new_list(graph, who, n, &view)) return NO_VALUE;
    const uint32_t *from = graph->listed + v.view.first;
    uint32_t *to = graph->listed + view.first;
    for (size_t i = 0; i < n; i++) to[i] = channels_last ? from[i % v.view.n] : from[i / positions];
    return mskpi_new_value(graph, name, "flatten", view, 0, NULL);
}

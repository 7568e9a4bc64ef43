/*
 * Describes operators that move channels (Slice, Split, Gather, Pad, Concat, DepthToSpace) and
 * operators that change positions only (pooling, Resize, reductions over positions, Softmax).
 */
#include <stdlib.h>
#include <string.h>

#include "describe.h"

/* ---- Pooling, resizing ---- */

static mskp_value image_of(net *n, const node_proto *node)
{
    size_t images;
    return image_value(n, net_input(n, node, 0), &images);
}

static bool image_made(net *n, const node_proto *node, mskp_value value)
{
    tensor *y = net_output(n, node, 0);
    if (is_image(n, &y->dims, 1))
        set_flow(n, y, value, 1);
    else /* several images */
        set_flow(n, y, resize_positions(n, value, &y->dims, 1, true), 1);
    y->pinned = net_input(n, node, 0)->pinned;
    return true;
}

bool describe_pool(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    tensor *indices = net_output(n, node, 1);
    mskp_pool_desc desc = {.kind = is_op(node, "MaxPool") ? MSKP_POOL_MAX : MSKP_POOL_AVERAGE};
    const mskp_value in = image_of(n, node);
    bool padded = false;
    window w;
    const bool unpooled = indices && indices->uses;
    if (!in.id || !node_window(node, &x->dims, NULL, &w) ||
        (unpooled && !is_unpooled(n, node, indices)))
        return false;
    for (size_t i = 0; i < w.axes; i++) {
        desc.size[i] = w.size[i];
        desc.stride[i] = w.stride[i];
        desc.pad_before[i] = w.before[i];
        desc.pad_after[i] = w.after[i];
        desc.spatial[i] = w.out[i];
        padded |= w.before[i] || w.after[i] || w.ceil;
    }
    desc.keeps_constants =
        is_op(node, "AveragePool") && (!padded || !attribute_int(node, "count_include_pad", 0));
    const mskp_value value = mskp_pool(n->graph, value_name(y), in, &desc);
    if (unpooled) {
        const mskp_activation_desc custom = {.kind = MSKP_ACTIVATION_CUSTOM};
        set_flow(n, indices, mskp_activation(n->graph, value_name(indices), value, &custom), 1);
        indices->pinned = x->pinned;
    }
    return image_made(n, node, value);
}

bool describe_global_pool(net *n, const node_proto *node)
{
    const mskp_pool_desc desc = {.kind = is_op(node, "GlobalMaxPool") ? MSKP_POOL_GLOBAL_MAX
                                                                      : MSKP_POOL_GLOBAL_AVERAGE};
    const mskp_value in = image_of(n, node);
    return in.id &&
           image_made(n, node, mskp_pool(n->graph, value_name(net_output(n, node, 0)), in, &desc));
}

/* Output k has other positions and the same channels. */
static bool other_positions(net *n, const node_proto *node, size_t k, size_t axis, bool keeps)
{
    const tensor *x = net_input(n, node, 0);
    tensor *y = net_output(n, node, k);
    if (!y) return true;
    set_flow(n, y, resize_positions(n, x->value, &y->dims, axis, keeps), axis);
    y->pinned = x->pinned;
    return true;
}

/* Whether the axis of channels has the same number and length in the result. */
static bool axis_stays(const tensor *x, const tensor *y)
{
    return x->axis == NO_AXIS ||
           (x->axis < y->dims.rank && x->dims.dim[x->axis] == y->dims.dim[x->axis]);
}

/* Whether constants stay what they are: all ways of interpolating do that, but for one that fills
 * the outside with a number of its own. */
static bool resize_keeps(const node_proto *node)
{
    return strcmp(attribute_text(node, "coordinate_transformation_mode", "half_pixel"), "?") != 0;
}

bool describe_resize(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    resizing r;
    if (!is_flow(x) || x->axis >= x->dims.rank || !axis_stays(x, y) ||
        !node_resizing(n, node, &x->dims, &r) || r.scaled[x->axis])
        return false;
    return other_positions(n, node, 0, x->axis, resize_keeps(node));
}

bool zero_resize(net *n, const node_proto *node)
{
    return zero_same(n, node) && resize_keeps(node);
}

bool describe_depth_to_space(net *n, const node_proto *node)
{
    const mskp_value in = image_of(n, node);
    const bool dcr = !strcmp(attribute_text(node, "mode", "DCR"), "DCR");
    if (!in.id) return false;
    return image_made(
        n, node,
        mskp_pixel_shuffle(n->graph, value_name(net_output(n, node, 0)), in,
                           (size_t)attribute_int(node, "blocksize", 1),
                           dcr ? MSKP_SHUFFLE_BLOCK_MAJOR : MSKP_SHUFFLE_CHANNEL_MAJOR));
}

bool describe_space_to_depth(net *n, const node_proto *node)
{
    const mskp_value in = image_of(n, node);
    if (!in.id) return false;
    return image_made(n, node,
                      mskp_pixel_unshuffle(n->graph, value_name(net_output(n, node, 0)), in,
                                           (size_t)attribute_int(node, "blocksize", 1),
                                           MSKP_SHUFFLE_BLOCK_MAJOR));
}

/* ---- Reductions, softmax ---- */

/* Whether channels that are zero change nothing in what the node computes over channels. */
static bool sums_or_tops(const net *n, const node_proto *node)
{
    if (is_op(node, "ReduceMean")) return is_mendable(n, net_input(n, node, 0)); /* correct_mean */
    static const char *const SUMS[] = {"ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare",
                                       NULL};
    for (size_t i = 0; SUMS[i]; i++)
        if (is_op(node, SUMS[i])) return true;
    return is_op(node, "ReduceMax") && sign_of(n, net_input(n, node, 0)) != ANY_SIGN;
}

/* Describes reductions over positions. If the reduction includes the axis of channels, they may be
 * removed only if zeros change nothing. */
bool describe_reduce(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    tensor *y = net_output(n, node, 0);
    uint8_t axes[MAX_RANK];
    bool given, all_spatial = x->dims.rank > 2 && is_image(n, &x->dims, x->axis);
    size_t axis = 0;
    if (!is_flow(x) || x->axis >= x->dims.rank ||
        !node_axes(n, node, 1, reduce_since(node), x->dims.rank, axes, &given))
        return false;
    const bool none = !given && attribute_int(node, "noop_with_empty_axes", 0);
    if (!none && (!given || axes[x->axis])) {
        leave_data(n, 1);
        return sums_or_tops(n, node) && sum_channels(n, net_input(n, node, 0), y, node->op_type);
    }
    const bool keep = none || attribute_int(node, "keepdims", 1);
    for (size_t k = 0; k < x->axis; k++) axis += keep || !axes[k];
    for (size_t k = 0; k < x->dims.rank; k++)
        if (k != x->axis && axes[k] != (k > 1)) all_spatial = false;
    leave_data(n, 1);
    const bool mean = is_op(node, "ReduceMean"), max = is_op(node, "ReduceMax");
    const bool keeps = mean || max || is_op(node, "ReduceMin");
    mskp_value value;
    if (all_spatial && (mean || max))
        value = mskp_pool(
            n->graph, value_name(y), x->value,
            &(mskp_pool_desc){.kind = mean ? MSKP_POOL_GLOBAL_AVERAGE : MSKP_POOL_GLOBAL_MAX});
    else
        value = resize_positions(n, x->value, &y->dims, axis, keeps);
    set_flow(n, y, value, axis);
    y->pinned = x->pinned;
    return true;
}

bool describe_softmax(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    tensor *y = net_output(n, node, 0);
    const bool old = n->m->opset < 13;
    size_t axis;
    if (!is_flow(x) || !to_axis(attribute_int(node, "axis", old ? 1 : -1), x->dims.rank, &axis))
        return false;
    if (!x->pinned && (old ? x->axis >= axis : x->axis == axis)) return false;
    set_flow(n, y,
             mskp_activation(n->graph, value_name(y), x->value,
                             &(mskp_activation_desc){.kind = MSKP_ACTIVATION_CUSTOM}),
             x->axis);
    y->pinned = x->pinned;
    return true;
}

/* A sum of all numbers before each one, on an axis of positions. */
bool describe_cumsum(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    tensor *along = net_input(n, node, 1);
    const numbers *k = along ? known_numbers(n, along) : NULL;
    size_t axis;
    if (!is_flow(x) || !k || !k->whole || k->count != 1 || k->varies ||
        !to_axis(k->whole[0], x->dims.rank, &axis) || (!x->pinned && axis == x->axis))
        return false;
    leave_data(n, 1);
    return pass_channels(n, node, false);
}

/* Reads each channel of an image at the same places, which are computed. */
bool describe_grid_sample(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    if (!is_flow(x) || (!x->pinned && x->axis != 1)) return false;
    pin(n, net_input(n, node, 1), node->op_type);
    return pass_channels(n, node, true);
}

/* ---- Parts and wholes ---- */

static bool slice_channels(net *n, tensor *x, tensor *y, size_t first)
{
    const size_t axis = x->axis;
    if (!y) return true;
    set_flow(n, y, mskp_slice(n->graph, value_name(y), x->value, first, y->dims.dim[axis]), axis);
    y->pinned = x->pinned;
    return true;
}

bool describe_split(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0);
    size_t axis, first = 0;
    if (!is_flow(x) || !to_axis(attribute_int(node, "axis", 0), x->dims.rank, &axis)) return false;
    for (size_t k = 0; k < node->n_output; k++) {
        tensor *y = net_output(n, node, k);
        if (!y || !y->sized) return false;
    }
    for (size_t k = 0; k < node->n_output; k++) {
        tensor *y = net_output(n, node, k);
        if (axis != x->axis) {
            other_positions(n, node, k, x->axis, true);
            continue;
        }
        slice_channels(n, x, y, first);
        first += y->dims.dim[axis];
    }
    return true;
}

/* Starts and ends may follow widths: only the axis of channels is cut, and correct_slice states
 * where. */
bool follows_slice(const net *n, const node_proto *node, size_t k)
{
    const tensor *x = net_input(n, node, 0);
    slicing s;
    if (!k || !is_flow(x) || x->pinned || !node_slicing(n, node, &x->dims, &s)) return false;
    for (size_t i = 0; i < x->dims.rank; i++)
        if (i != x->axis &&
            (s.open[i] || s.start[i] || s.step[i] != 1 || s.count[i] != x->dims.dim[i]))
            return false;
    return true;
}

bool follows_shape(const net *n, const node_proto *node, size_t k)
{
    return k == 1 && is_flow(net_input(n, node, 0));
}

bool follows_sizes(const net *n, const node_proto *node, size_t k)
{
    return k == 3 && is_flow(net_input(n, node, 0));
}

/* Reads data of the file along an axis that is cut at an open length, or by indices that flow. The
 * channels are on the last one of the other axes, which is `axis` of the data and `to` of the
 * result. */
static bool describe_part(net *n, const node_proto *node, size_t axis, size_t to)
{
    const tensor *x = net_input(n, node, 0);
    tensor *y = net_output(n, node, 0);
    size_t axes[MAX_RANK], count = 0, which = 0, spatial[MSKP_MAX_SPATIAL];
    for (size_t k = 0; k < x->dims.rank; k++) {
        if (x->from[k] == NO_AXIS || (x->dims.dim[k] == 1 && k != axis)) continue;
        if (k == axis) which = count;
        axes[count++] = k;
    }
    if (x->from[axis] == NO_AXIS || count > MSKP_MAX_DIMS || !is_real(x->data)) return false;
    const mskp_param param = take_param(n, node, 0, count, axes);
    if (!param.id) return false;
    pin_axes(n, x, param, UINT32_C(1) << which);
    const uint32_t ns = layout(n, &x->dims, axis, spatial);
    const mskp_value all =
        mskp_param_operand(n->graph, NULL, param, (uint32_t)which, MSKP_ROLE_FILTER, ns, spatial);
    set_flow(n, y, resize_positions(n, all, &y->dims, to, true), to);
    return true;
}

static bool describe_open_slice(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    slicing s;
    if (!x || !x->data || !node_slicing(n, node, &x->dims, &s)) return false;
    for (size_t k = x->dims.rank; k-- > 0;)
        if (!s.open[k] && s.count[k] == x->dims.dim[k] && s.step[k] == 1 && s.count[k] > 1)
            return describe_part(n, node, k, k);
    return false;
}

bool describe_slice(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    slicing s;
    if (!is_flow(x)) return describe_open_slice(n, node);
    if (!node_slicing(n, node, &x->dims, &s)) return false;
    if (x->axis < x->dims.rank && s.open[x->axis]) return false;
    if (axis_stays(x, y)) {
        if (x->axis < x->dims.rank && s.step[x->axis] < 0)
            return false; /* channels in reverse order */
        return other_positions(n, node, 0, x->axis, true);
    }
    if (s.step[x->axis] != 1) return false;
    for (size_t k = 0; k < x->dims.rank; k++)
        if (s.open[k] || (k != x->axis && y->dims.dim[k] != x->dims.dim[k]))
            return false; /* channels and positions at once */
    return slice_channels(n, x, y, (size_t)s.start[x->axis]);
}

bool describe_embedding(net *n, const node_proto *node)
{
    const tensor *table = net_input(n, node, 0);
    tensor *y = net_output(n, node, 0);
    size_t spatial[MSKP_MAX_SPATIAL];
    const size_t axes[] = {0, 1}, axis = y->dims.rank - 1;
    if (!table->data || table->dims.rank != 2 || attribute_int(node, "axis", 0)) return false;
    const mskp_param param = take_param(n, node, 0, 2, axes);
    if (!param.id) return false;
    pin_axes(n, table, param, 2);
    const uint32_t ns = layout(n, &y->dims, axis, spatial);
    set_flow(n, y, mskp_embedding(n->graph, value_name(y), param, ns, spatial), axis);
    return true;
}

bool describe_gather(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0), *at = net_input(n, node, 1);
    size_t axis;
    if (!x || !at) return false;
    if (is_flow(at) && !at->pinned) return false;
    if (!is_flow(x) && x->data && to_axis(attribute_int(node, "axis", 0), x->dims.rank, &axis) &&
        (axis || x->dims.rank != 2)) {
        size_t k = x->dims.rank;
        while (k-- > 0 && (k == axis || x->dims.dim[k] == 1))
            ;
        return k < x->dims.rank && describe_part(n, node, k, k < axis ? k : k + at->dims.rank - 1);
    }
    if (!is_flow(x)) return describe_embedding(n, node);
    if (!to_axis(attribute_int(node, "axis", 0), x->dims.rank, &axis)) return false;
    if (x->pinned) {
        set_pinned(n, y, x->pinned);
        leave_data(n, 1);
        return true;
    }
    leave_data(n, 1);
    if (axis != x->axis) {
        const size_t to = x->axis < axis ? x->axis : x->axis + at->dims.rank - 1;
        set_flow(n, y, resize_positions(n, x->value, &y->dims, to, true), to);
        return true;
    }
    const numbers *k = known_numbers(n, at);
    if (!k || !k->whole || k->shape.rank != 1 || k->varies || at->follow_count) return false;
    size_t *places = try_malloc((k->count + 1) * sizeof *places);
    bool good = places && k->count;
    for (size_t i = 0; good && i < k->count; i++) {
        good = to_axis(k->whole[i], x->dims.dim[axis], &places[i]);
    }
    if (good) set_flow(n, y, mskp_pick(n->graph, value_name(y), x->value, k->count, places), axis);
    free(places);
    return good;
}

static bool pads_zeros(const net *n, const node_proto *node)
{
    tensor *fill = n->m->opset >= 11 ? net_input(n, node, 2) : NULL;
    const numbers *with = fill ? known_numbers(n, fill) : NULL;
    const double number = fill ? (with && with->real && with->count == 1 ? with->real[0] : 1)
                               : attribute_float(node, "value", 0);
    return !(number > 0) && !(number < 0);
}

bool describe_pad(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    padding p;
    const bool constant = !strcmp(attribute_text(node, "mode", "constant"), "constant");
    const bool zeros = pads_zeros(n, node);
    if (!is_flow(x) || !node_pads(n, node, x->dims.rank, &p)) return false;
    mskp_value value = x->value;
    const size_t axis = x->axis;
    bool open = false; /* pads of channels are corrected, and those of open lengths cannot be */
    for (size_t k = 0; k < x->dims.rank; k++) open |= p.open[k];
    if (axis < x->dims.rank && (p.before[axis] || p.after[axis] || p.open[axis])) {
        if (!constant || !zeros || open || p.before[axis] < 0 || p.after[axis] < 0 || x->pinned ||
            y->dims.dim[axis] > MOST_CHANNELS)
            return false;
        value = mskp_pad_channels(n->graph, value_name(y), value, (size_t)p.before[axis],
                                  (size_t)p.after[axis]);
    }
    leave_data(n, 2);
    if (constant && !zeros) { /* a constant that is not 0 is added around zeros */
        value = mskp_activation(n->graph, NULL, value,
                                &(mskp_activation_desc){.kind = MSKP_ACTIVATION_CUSTOM});
    }
    set_flow(n, y, resize_positions(n, value, &y->dims, axis, !constant), axis);
    y->pinned = x->pinned;
    return true;
}

bool zero_pad(net *n, const node_proto *node)
{
    const bool constant = !strcmp(attribute_text(node, "mode", "constant"), "constant");
    return zero_same(n, node) && (!constant || pads_zeros(n, node));
}

/* ---- Concatenation ---- */

/* An operand as a value with channels on `axis`. Data of the file become a parameter; channels of
 * anything else are pinned. */
static mskp_value operand(net *n, const node_proto *node, size_t k, size_t axis)
{
    tensor *t = net_input(n, node, k);
    size_t axes[MAX_RANK], count = 0, which = 0, spatial[MSKP_MAX_SPATIAL];
    const uint32_t ns = layout(n, &t->dims, axis, spatial);
    if (is_flow(t)) {
        const mskp_value value = channels_on(n, t, axis);
        if (value.id) return fit(n, value, &t->dims, axis);
        pin(n, t, node->op_type);
        return new_pinned(n, node->op_type, t->dims.dim[axis], ns, spatial);
    }
    for (size_t i = 0; t->data && i < t->dims.rank; i++) {
        if (t->from[i] == NO_AXIS || (t->dims.dim[i] == 1 && i != axis)) continue;
        if (i == axis) which = count;
        axes[count++] = i;
    }
    const mskp_param param = t->data && t->from[axis] != NO_AXIS && count <= MSKP_MAX_DIMS
                                 ? take_param(n, node, k, count, axes)
                                 : (mskp_param){0};
    if (param.id) pin_axes(n, t, param, UINT32_C(1) << which);
    if (param.id)
        return mskp_param_operand(n->graph, NULL, param, (uint32_t)which, MSKP_ROLE_FILTER, ns,
                                  spatial);
    return new_pinned(n, "constant", t->dims.dim[axis], ns, spatial);
}

/* The axis of the channels that may be removed; NO_AXIS: there are none, and *pinned says why. */
static size_t channels_axis(const net *n, const node_proto *node, const char **pinned)
{
    for (size_t k = 0; k < node->n_input; k++) {
        const tensor *t = net_input(n, node, k);
        if (is_flow(t) && !t->pinned) return t->axis;
        if (is_flow(t)) *pinned = t->pinned;
    }
    return NO_AXIS;
}

bool describe_concat(net *n, const node_proto *node)
{
    tensor *y = net_output(n, node, 0);
    size_t along;
    if (!to_axis(attribute_int(node, "axis", 0), y->dims.rank, &along)) return false;
    const char *pinned = node->op_type;
    const size_t axis = channels_axis(n, node, &pinned);
    if (axis == NO_AXIS) {
        set_pinned(n, y, pinned);
        return true;
    }
    mskp_value *values = try_malloc((node->n_input + 1) * sizeof *values);
    if (!values || y->dims.dim[axis] > MOST_CHANNELS) {
        free(values);
        return false;
    }
    for (size_t k = 0; k < node->n_input; k++) values[k] = operand(n, node, k, axis);
    mskp_value value;
    if (along == axis) {
        value = mskp_concat(n->graph, value_name(y), node->n_input, values);
    } else {
        for (size_t k = 0; k < node->n_input; k++) { /* all positions become one axis */
            size_t p = 1, spatial[MSKP_MAX_SPATIAL];
            const uint32_t ns = mskp_value_shape(n->graph, values[k], NULL, spatial);
            for (uint32_t i = 0; i < ns; i++) p *= spatial[i];
            values[k] = mskp_reshape(n->graph, NULL, values[k], 1, &p);
        }
        value = mskp_concat_spatial(n->graph, value_name(y), 0, node->n_input, values);
    }
    free(values);
    set_flow(n, y, value, axis);
    return true;
}

/* Rows or parts of data are zero in a channel, once the data are. */
bool zero_part(net *n, const node_proto *node)
{
    return !is_flow(net_input(n, node, 0)) || zero_same(n, node);
}

bool zero_concat(net *n, const node_proto *node)
{
    for (size_t k = 0; k < node->n_input; k++)
        if (!is_zeroable(net_input(n, node, k))) return false;
    return true;
}

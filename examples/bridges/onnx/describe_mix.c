/*
 * Describes operators that mix channels: convolutions, norms, and products of matrices.
 *
 * A product with data of the file is a linear layer if the channels are the axis that is summed
 * over. If positions are summed over, the channels pass through; so do channels on a spatial axis
 * of a convolution whose kernel has length 1 there. In a product of two tensors that flow
 * (attention), the axis of channels is the batch, the outer or the inner axis of each operand, and
 * its place decides which channels are tied.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"

/* ---- Convolutions ---- */

static void fill_desc(const node_proto *node, const window *w, mskp_conv_desc *desc)
{
    desc->groups = (size_t)attribute_int(node, "group", 1);
    for (size_t i = 0; i < w->axes; i++) {
        desc->stride[i] = w->stride[i];
        desc->dilation[i] = w->dilation[i];
        desc->pad_before[i] = w->before[i];
        desc->pad_after[i] = w->after[i];
        desc->output_pad[i] = w->output_pad[i];
    }
}

/* Inputs of the node: kernel and bias. */
typedef struct layer_inputs {
    size_t kernel, bias;
} layer_inputs;

static bool convolve(net *n, const node_proto *node, layer_inputs in_at)
{
    const bool transposed = is_op(node, "ConvTranspose");
    tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    const tensor *kernel = net_input(n, node, in_at.kernel);
    size_t axes[MSKP_MAX_DIMS], images = 1;
    mskp_conv_desc desc = {0};
    window w;
    mskp_value in = image_value(n, x, &images);
    const bool deformed = is_op(node, "DeformConv"); /* reads a constant image as another one */
    if (in.id && deformed)
        in = mskp_activation(n->graph, NULL, in,
                             &(mskp_activation_desc){.kind = MSKP_ACTIVATION_CUSTOM});
    if (!in.id || !kernel || kernel->dims.rank > MSKP_MAX_DIMS) return false;
    if (!(transposed ? node_transposed : node_window)(node, &x->dims, kernel->dims.dim + 2, &w))
        return false;
    for (size_t k = 0; k < kernel->dims.rank; k++) axes[k] = k;
    desc.weight = take_param(n, node, in_at.kernel, kernel->dims.rank, axes);
    if (!desc.weight.id || !take_vector(n, node, in_at.bias, y->dims.dim[1], &desc.bias))
        return false;
    pin_axes(n, kernel, desc.weight, 3);
    fill_desc(node, &w, &desc);
    const mskp_value value =
        (transposed ? mskp_conv_transposed : mskp_conv)(n->graph, value_name(y), in, &desc);
    if (images > 1) { /* the cost is that of one image so far */
        const dims *d = transposed ? &x->dims : &y->dims;
        mskp_add_macs(n->graph, value, desc.weight, (images - 1) * product_of(d, 2, d->rank));
        y->value = resize_positions(n, value, &y->dims, 1, true);
        y->axis = 1;
        return true;
    }
    set_flow(n, y, value, 1);
    return true;
}

bool describe_conv_transposed(net *n, const node_proto *node)
{
    return convolve(n, node, (layer_inputs){1, 2});
}

/* Places and weights of what is read are computed, for all channels of a block of them together.
 * The node states how many blocks there are, so they lose the channels at the same places. */
bool describe_deform_conv(net *n, const node_proto *node)
{
    const int64_t blocks = attribute_int(node, "offset_group", 1);
    tensor *x = net_input(n, node, 0);
    const mskp_value in = is_flow(x) && x->dims.rank > 1 ? channels_on(n, x, 1) : (mskp_value){0};
    if (!in.id || blocks < 1 || x->dims.dim[1] % (uint64_t)blocks) return false;
    const size_t each = x->dims.dim[1] / (size_t)blocks;
    pin(n, net_input(n, node, 2), node->op_type);
    pin(n, net_input(n, node, 4), node->op_type);
    const mskp_value first = blocks > 1 ? mskp_slice(n->graph, NULL, in, 0, each) : in;
    for (size_t k = 1; k < (size_t)blocks; k++)
        mskp_tie(n->graph, first, mskp_slice(n->graph, NULL, in, k * each, each));
    return convolve(n, node, (layer_inputs){1, 3});
}

/* ---- Sums over channels ---- */

bool is_mendable(const net *n, const tensor *t)
{
    if (n->fixed) return false;
    return t->type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
           t->type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
}

/* Notes that the channels of x are summed over. False: they are not zero, once their units are. */
static bool note_sum(net *n, const tensor *x)
{
    mskp_value *more = try_realloc(n->contracted, (n->contracted_count + 1) * sizeof *more);
    if (!more) return false;
    n->contracted = more;
    if (!is_zeroable(x)) return false;
    more[n->contracted_count++] = x->value;
    return true;
}

bool sum_channels(net *n, tensor *x, tensor *y, const char *op)
{
    if (!note_sum(n, x)) return false;
    set_pinned(n, y, op);
    return true;
}

/* ---- Norms ---- */

/* Whether the channels are on another axis than those over which the norm has its statistics, from
 * `first` on. Scale and shift then have a number for each position, and stay. */
static bool is_over_positions(const net *n, const node_proto *node, size_t first)
{
    const tensor *x = net_input(n, node, 0);
    return is_flow(x) && !x->pinned && x->axis < first && node->n_output == 1;
}

static bool norm(net *n, const node_proto *node, mskp_norm_desc *desc, size_t axis)
{
    tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    const mskp_value in =
        is_flow(x) && axis < x->dims.rank ? channels_on(n, x, axis) : (mskp_value){0};
    if (!in.id || node->n_output != 1) return false;
    /* The variance of a channel that is zero everywhere is 0, so only epsilon keeps the result
     * finite. */
    if (desc->kind != MSKP_NORM_BATCH && !(attribute_float(node, "epsilon", 1e-5f) > 0))
        return false;
    const size_t channels = x->dims.dim[axis];
    const double least = 1e-300; /* an epsilon of 0 means 1e-5 to mskp */
    desc->epsilon = fmin(fmax(attribute_float(node, "epsilon", 1e-5f), least), 1);
    if (!take_vector(n, node, 1, channels, &desc->scale) ||
        !take_vector(n, node, 2, channels, &desc->shift))
        return false;
    set_flow(n, y, mskp_norm(n->graph, value_name(y), in, desc), axis);
    y->pinned = x->pinned;
    return true;
}

bool describe_batch_norm(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    mskp_norm_desc desc = {.kind = MSKP_NORM_BATCH};
    if (x->dims.rank < 2 || attribute_int(node, "training_mode", 0) ||
        !attribute_int(node, "spatial", 1))
        return false;
    return take_vector(n, node, 3, x->dims.dim[1], &desc.mean) &&
           take_vector(n, node, 4, x->dims.dim[1], &desc.variance) && norm(n, node, &desc, 1);
}

bool describe_instance_norm(net *n, const node_proto *node)
{
    return norm(n, node, &(mskp_norm_desc){.kind = MSKP_NORM_INSTANCE}, 1);
}

/* Whole groups may be removed, with their statistics. If there is one group, its channels stay.
 * Before opset 21 the operator has one scale for each group; runtimes refuse that form. */
bool describe_group_norm(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    const int64_t groups = attribute_int(node, "num_groups", 1);
    mskp_norm_desc desc = {.kind = MSKP_NORM_GROUP, .grouping = MSKP_GROUPING_WHOLE};
    if (n->m->opset < 21 || x->dims.rank < 2 || groups < 2 || x->dims.dim[1] % (size_t)groups)
        return false;
    desc.groups = (size_t)groups;
    return norm(n, node, &desc, 1);
}

bool describe_layer_norm(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    size_t axis;
    if (!to_axis(attribute_int(node, "axis", -1), x->dims.rank, &axis)) return false;
    if (is_over_positions(n, node, axis)) return pass_channels(n, node, false);
    if (axis + 1 != x->dims.rank) return false;
    return norm(n, node, &(mskp_norm_desc){.kind = MSKP_NORM_LAYER}, axis);
}

/* A mean of squares over channels changes with their number, in a way that correct_mean mends, if
 * the channels that leave are zero. */
bool describe_rms_norm(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0);
    size_t axis;
    if (!to_axis(attribute_int(node, "axis", -1), x->dims.rank, &axis)) return false;
    if (is_over_positions(n, node, axis)) return pass_channels(n, node, false);
    if (x->axis != axis || axis + 1 != x->dims.rank || !is_mendable(n, x) || !note_sum(n, x))
        return false;
    return norm(n, node, &(mskp_norm_desc){.kind = MSKP_NORM_RMS, .accept_inexact = 1}, axis);
}

/* ---- Products with a parameter ---- */

/* A product with a parameter that sums over axis `axis` of the operand that flows, which is axis
 * in_axis of the parameter. */
static bool linear(net *n, const node_proto *node, size_t flow, size_t axis, size_t in_axis,
                   mskp_param bias, tensor *y, size_t y_axis)
{
    tensor *x = net_input(n, node, flow);
    const mskp_value in = channels_on(n, x, axis);
    const size_t axes[] = {!in_axis, in_axis};
    if (!in.id) return false;
    const mskp_param matrix = take_param(n, node, !flow, 2, axes);
    if (!matrix.id) return false;
    set_flow(n, y, mskp_linear(n->graph, value_name(y), fit(n, in, &x->dims, axis), matrix, bias),
             y_axis);
    y->inner = y->outer = 1; /* these channels are new */
    return true;
}

/* A product and a bias that are scaled, each by its number: constants are not computed, and none is
 * moved into the bias. */
static mskp_value scaled(net *n, mskp_value product, mskp_param bias)
{
    const mskp_activation_desc custom = {.kind = MSKP_ACTIVATION_CUSTOM};
    mskp_value parts[2] = {mskp_activation(n->graph, NULL, product, &custom)};
    if (!bias.id) return parts[0];
    parts[1] = mskp_param_operand(n->graph, NULL, bias, 0, MSKP_ROLE_SHIFT, 0, NULL);
    return mskp_activation(n->graph, NULL, mskp_combine(n->graph, NULL, MSKP_COMBINE_ADD, 2, parts),
                           &custom);
}

bool describe_gemm(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0), *c = net_input(n, node, 2);
    tensor *y = net_output(n, node, 0);
    const double alpha = attribute_float(node, "alpha", 1), beta = attribute_float(node, "beta", 1);
    const bool plain = !(alpha < 1) && !(alpha > 1) && !(beta < 1) && !(beta > 1);
    mskp_param bias;
    if (!is_flow(x) || attribute_int(node, "transA", 0) || is_flow(net_input(n, node, 1)))
        return false;
    if (c && (c->dims.rank == 2 ? c->dims.dim[0] != 1 : c->dims.rank != 1)) return false;
    if (!take_vector(n, node, 2, y->dims.dim[1], &bias)) return false;
    if (!linear(n, node, 0, 1, attribute_int(node, "transB", 0) != 0,
                plain ? bias : (mskp_param){0}, y, 1))
        return false;
    if (!plain) y->value = scaled(n, y->value, bias);
    return true;
}

/* The Add behind a product, if it is the only reader of the product and adds a vector along the
 * channels. The vector is then the bias of the layer. */
static const node_proto *bias_node(const net *n, const tensor *y, size_t axis, size_t *k)
{
    if (y->uses != 1 || !y->consumer) return NULL;
    const node_proto *add = n->m->graph->node[y->consumer - 1];
    if (!is_op(add, "Add") || add->n_input != 2) return NULL;
    *k = net_input(n, add, 0) == y;
    const tensor *b = net_input(n, add, *k), *z = net_output(n, add, 0);
    if (!b || !b->data || b == y || !z || !z->sized || z->dims.rank != y->dims.rank) return NULL;
    const size_t length = y->dims.dim[axis];
    const size_t at = axis + b->dims.rank - y->dims.rank;
    const bool fits = b->sized && axis + b->dims.rank >= y->dims.rank &&
                      tensor_elements(b->data) == length && b->dims.dim[at] == length &&
                      b->from[at] != NO_AXIS;
    return fits && length > 1 ? add : NULL;
}

static bool linear_with_bias(net *n, const node_proto *node, size_t flow, size_t axis,
                             size_t in_axis, size_t y_axis)
{
    tensor *y = net_output(n, node, 0);
    size_t k;
    mskp_param bias = {0};
    const node_proto *add = bias_node(n, y, y_axis, &k);
    if (!channels_on(n, net_input(n, node, flow), axis).id) return false;
    if (add) {
        const uint64_t taken = n->taken;
        const size_t at = n->node;
        n->node = y->consumer - 1;
        if (!take_vector(n, add, k, y->dims.dim[y_axis], &bias)) add = NULL;
        n->node = at;
        n->taken = taken;
    }
    if (!linear(n, node, flow, axis, in_axis, bias, y, y_axis)) return false;
    if (add) {
        tensor *z = net_output(n, add, 0);
        n->done[y->consumer - 1] = DONE;
        set_flow(n, z, y->value, y_axis);
        z->zeroable = true;
    }
    return true;
}

/* A product with data that sums over positions: over axis `inner` of what flows, which makes axis
 * `out` of the result. */
typedef struct mixing {
    size_t flow, matrix; /* inputs of the node */
    size_t inner, out;
    size_t axes[2]; /* of the matrix: the positions that it makes, those that it sums over */
    bool plain;     /* it is a matrix, and has no other axes */
    uint64_t each;  /* multiply-accumulates for a number of the result */
} mixing;

/* The positions of a tensor with hidden units on axis `inner`, for one of its channels; 0: the
 * batch is among the channels. */
static size_t positions_of_one(const net *n, const tensor *x, size_t inner)
{
    size_t spatial[MSKP_MAX_SPATIAL], p = 1;
    const uint32_t ns = layout(n, &x->dims, inner, spatial);
    for (uint32_t i = 0; i < ns; i++) p *= spatial[i];
    return p % x->dims.dim[x->axis] ? 0 : p / x->dims.dim[x->axis];
}

/* Describes the product over hidden units, which x has on axis `inner`, or y has on axis `out`. It
 * costs as much for each channel that passes through. */
static bool hidden(net *n, const node_proto *node, const mixing *m)
{
    tensor *x = net_input(n, node, m->flow), *y = net_output(n, node, 0);
    const size_t one = positions_of_one(n, x, m->inner);
    mskp_param bias = {0};
    const mskp_value in = x->second.value.id
                              ? x->second.value
                              : new_pinned(n, "positions", x->dims.dim[m->inner], 0, NULL);
    if (!one || (node->n_input > 2 && !take_vector(n, node, 2, y->dims.dim[m->out], &bias)))
        return false;
    const mskp_param matrix = take_param(n, node, m->matrix, 2, m->axes);
    if (!matrix.id) return false;
    const mskp_value made =
        mskp_linear(n->graph, value_name(y), with_positions(n, in, one), matrix, bias);
    mskp_macs_for_each(n->graph, made, y->value);
    if (is_hidden(n, y, m->out))
        y->second = (second_axis){resize_positions(n, made, &y->dims, m->out, true), m->out};
    else
        pin_value(n, made, "positions");
    return true;
}

/* Each channel passes through by itself. The matrix stays as it is, unless it makes or reads hidden
 * units (describe_second.c). */
static bool mix_positions(net *n, const node_proto *node, const mixing *m)
{
    tensor *x = net_input(n, node, m->flow), *y = net_output(n, node, 0);
    size_t spatial[MSKP_MAX_SPATIAL], p = 1;
    const size_t axis = x->axis + y->dims.rank - x->dims.rank;
    if (x->second.value.id && (x->second.axis != m->inner || !m->plain))
        pin_second(n, x, node->op_type);
    const mskp_value value = tied(n, x->value, &y->dims, axis);
    const uint32_t ns = layout(n, &y->dims, axis, spatial);
    for (uint32_t i = 0; i < ns; i++) p *= spatial[i];
    set_flow(n, y, value, axis);
    if (!x->second.value.id && !(m->plain && is_hidden(n, y, m->out))) {
        mskp_add_macs(n->graph, value, (mskp_param){0}, (uint64_t)p * m->each);
        return true;
    }
    return hidden(n, node, m);
}

static bool matmul_positions(net *n, const node_proto *node, size_t flow)
{
    const tensor *x = net_input(n, node, flow), *y = net_output(n, node, 0);
    const size_t inner = x->dims.rank - (flow ? 2 : 1);
    if (x->pinned || x->axis == inner || net_input(n, node, !flow)->dims.rank != 2) return false;
    return mix_positions(n, node,
                         &(mixing){.flow = flow,
                                   .matrix = !flow,
                                   .inner = inner,
                                   .out = inner + y->dims.rank - x->dims.rank,
                                   .axes = {flow ? 0 : 1, flow ? 1 : 0},
                                   .plain = true,
                                   .each = x->dims.dim[inner]});
}

/* Whether the channels are on a spatial axis, along which the convolution does nothing. */
static bool passes_through(const node_proto *node, const tensor *x, const tensor *kernel,
                           bool *plain)
{
    window w;
    if (!is_flow(x) || x->pinned || x->axis < 2 || x->axis >= x->dims.rank || !kernel ||
        !kernel->data || kernel->dims.rank != x->dims.rank ||
        !node_window(node, &x->dims, kernel->dims.dim + 2, &w))
        return false;
    *plain = attribute_int(node, "group", 1) == 1;
    for (size_t i = 0; i < w.axes; i++) {
        const bool same = w.size[i] == 1 && w.stride[i] == 1 && !w.before[i] && !w.after[i];
        *plain = *plain && same;
        if (!same && i + 2 == x->axis) return false;
    }
    return true;
}

/* Tokens that are channels of a convolution. */
bool describe_conv(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0);
    const tensor *kernel = net_input(n, node, 1), *bias = net_input(n, node, 2);
    bool plain;
    if (!passes_through(node, x, kernel, &plain)) {
        pin_second(n, x, node->op_type);
        return convolve(n, node, (layer_inputs){1, 2});
    }
    if (bias && !bias->data) return false;
    return mix_positions(n, node,
                         &(mixing){.matrix = 1,
                                   .inner = 1,
                                   .out = 1,
                                   .axes = {0, 1},
                                   .plain = plain,
                                   .each = product_of(&kernel->dims, 1, kernel->dims.rank)});
}

/* A bias of positions is added to all channels that pass through. */
bool zero_conv(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    bool plain;
    if (!passes_through(node, x, net_input(n, node, 1), &plain)) return true;
    return is_zeroable(x) && !net_input(n, node, 2);
}

/* ---- Products of two tensors that flow ---- */

typedef enum part {
    NOTHING,
    BATCH,
    OUTER,
    INNER
} part; /* what the axis of channels is to the product */

static part part_of(const tensor *t, bool second)
{
    const size_t rank = t->dims.rank;
    if (t->pinned || t->axis >= rank) return NOTHING;
    if (t->axis + 2 < rank) return BATCH;
    return (t->axis == rank - 1) == second ? OUTER : INNER;
}

/* A product that sums over channels. A channel may be removed from both tensors together if one of
 * the two is then zero. The result has no channels. */
static bool contract(net *n, tensor *a, tensor *b, tensor *y, const char *op)
{
    size_t p = 1;
    mskp_value *more = try_realloc(n->contracted, (n->contracted_count + 1) * sizeof *more);
    if (more) n->contracted = more;
    if (!more || (!is_zeroable(a) && !is_zeroable(b))) {
        pin(n, a, op);
        pin(n, b, op);
        return false;
    }
    const mskp_value both = tied(n, a->value, &a->dims, a->axis);
    more[n->contracted_count++] = both;
    mskp_tie(n->graph, both, b->value);
    for (size_t k = 0; k < y->dims.rank; k++) p *= y->dims.dim[k];
    mskp_add_macs(n->graph, both, (mskp_param){0}, (uint64_t)(p / n->batch));
    set_pinned(n, y, op);
    return true;
}

/* The value of a product of matrices. The cost is the same for each channel of the result. */
static mskp_value product(net *n, mskp_value channels, const tensor *a, const tensor *y,
                          size_t axis)
{
    size_t spatial[MSKP_MAX_SPATIAL], p = 1;
    const mskp_value value = tied(n, channels, &y->dims, axis);
    const uint32_t ns = layout(n, &y->dims, axis, spatial);
    for (uint32_t i = 0; i < ns; i++) p *= spatial[i];
    mskp_add_macs(n->graph, value, (mskp_param){0}, (uint64_t)p * a->dims.dim[a->dims.rank - 1]);
    return value;
}

static bool multiply(net *n, const node_proto *node)
{
    tensor *a = net_input(n, node, 0), *b = net_input(n, node, 1), *y = net_output(n, node, 0);
    pin_second(n, a, node->op_type);
    pin_second(n, b, node->op_type);
    part pa = part_of(a, false), pb = part_of(b, true);
    const size_t rank = y->dims.rank;
    if (pa == INNER && pb == INNER) return contract(n, a, b, y, node->op_type);
    if (pa == INNER || (pa == OUTER && pb != NOTHING)) pin(n, a, node->op_type), pa = NOTHING;
    if (pb == INNER) pin(n, b, node->op_type), pb = NOTHING;
    const size_t at_a = a->axis + rank - a->dims.rank, at_b = b->axis + rank - b->dims.rank;
    if (pa && pb && at_a != at_b) pin(n, a, node->op_type), pa = NOTHING;
    if (!pa && !pb) return false;
    tensor *from = pa ? a : b, *other = pa ? b : a;
    const size_t axis = pa ? at_a : at_b;
    if (pa && pb &&
        a->dims.dim[a->axis] !=
            b->dims.dim[b->axis]) { /* one channel is multiplied with all others */
        pin(n, a, node->op_type);
        pin(n, b, node->op_type);
        return false;
    }
    if (pa && pb) {
        mskp_tie(n->graph, a->value, b->value);
    } else if ((pa ? pa : pb) == BATCH) {
        /* The other operand must have one matrix for all channels. If it has one for each channel,
         * all of them stay. */
        const bool reaches = axis + other->dims.rank >= rank;
        const size_t i = reaches ? axis + other->dims.rank - rank : 0;
        if (reaches && other->dims.dim[i] != 1) {
            pin(n, from, node->op_type);
            return false;
        }
    }
    set_flow(n, y, product(n, from->value, a, y, axis), axis);
    return true;
}

/* Pins hidden units that are not what a product with data sums over. */
static void pin_others(net *n, const node_proto *node, size_t flow)
{
    tensor *x = net_input(n, node, flow);
    if (x->second.value.id && x->second.axis + (flow ? 2 : 1) != x->dims.rank)
        pin_second(n, x, node->op_type);
}

bool describe_matmul(net *n, const node_proto *node)
{
    const tensor *a = net_input(n, node, 0), *b = net_input(n, node, 1);
    const tensor *y = net_output(n, node, 0);
    if (!a || !b || a->dims.rank < 2 || b->dims.rank < 2) return false;
    if (is_flow(a) && is_flow(b)) return multiply(n, node);
    pin_others(n, node, !is_flow(a));
    if (is_flow(a) && b->dims.rank == 2)
        return linear_with_bias(n, node, 0, a->dims.rank - 1, 0, y->dims.rank - 1) ||
               matmul_positions(n, node, 0);
    if (is_flow(b) && a->dims.rank == 2)
        return linear_with_bias(n, node, 1, b->dims.rank - 2, 1, y->dims.rank - 2) ||
               matmul_positions(n, node, 1);
    return false;
}

bool zero_matmul(net *n, const node_proto *node)
{
    const tensor *a = net_input(n, node, 0), *b = net_input(n, node, 1);
    const tensor *y = net_output(n, node, 0);
    if (is_flow(a) && is_flow(b)) return is_zeroable(a) || is_zeroable(b);
    const tensor *x = is_flow(a) ? a : b;
    const size_t rank = y->dims.rank;
    /* The matrix makes the channels, or they pass through. */
    return y->axis == (x == a ? rank - 1 : rank - 2) || is_zeroable(x);
}

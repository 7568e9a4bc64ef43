/*
 * What the program knows about each ONNX operator: one row for each operator, with a function for
 * each stage.
 */
#ifndef ONNX_OPERATORS_H
#define ONNX_OPERATORS_H

#include "net.h"

/* out[] <- the shapes of the node's outputs, from those of its operands. False: they are not
 * known. */
typedef bool rule(net *n, const node_proto *node, dims *out);

rule infer_same, infer_broadcast, infer_conv, infer_conv_transposed, infer_pool, infer_global_pool,
    infer_resize, infer_depth_to_space, infer_space_to_depth, infer_gemm, infer_matmul,
    infer_transpose, infer_unsqueeze, infer_squeeze, infer_flatten, infer_reshape, infer_expand,
    infer_constant_of_shape, infer_tile, infer_concat, infer_split, infer_slice, infer_gather,
    infer_pad, infer_reduce, infer_norm;
rule infer_recurrent, infer_einsum, infer_arg, infer_top, infer_gather_elements, infer_gather_nd,
    infer_grid_sample, infer_attention, infer_deform_conv, infer_one_hot, infer_range, infer_unpool,
    infer_dynamic_quantize;

/* Describes a node. False: the node cannot be described, and everything that it reads is pinned.
 * (Ties that were made before do no harm.) */
typedef bool handler(net *n, const node_proto *node);

handler describe_conv, describe_conv_transposed, describe_batch_norm, describe_instance_norm,
    describe_group_norm, describe_layer_norm, describe_rms_norm, describe_gemm, describe_matmul,
    describe_deform_conv;
handler describe_attention, describe_rotary;
handler describe_combine, describe_function, describe_reciprocal, describe_elementwise,
    describe_prelu, describe_identity;
handler describe_pool, describe_global_pool, describe_resize, describe_depth_to_space,
    describe_space_to_depth, describe_transpose, describe_reshape, describe_expand, describe_concat,
    describe_split, describe_slice, describe_gather, describe_pad, describe_reduce,
    describe_softmax, describe_tile, describe_cumsum, describe_grid_sample;
handler describe_gather_nd, describe_tensor_scatter, describe_unpool, describe_quantize,
    describe_dynamic_quantize, describe_question;
handler fixed_split, fixed_slice, fixed_gather, fixed_pad, fixed_expand;

/* Corrects what the current node states about widths, after the cut. False: the failure holds the
 * sentence. */
typedef struct writer writer;
typedef bool correction(writer *r);

correction correct_attention, correct_expand, correct_gather, correct_groups, correct_group_norm,
    correct_mean, correct_pad, correct_reshape, correct_sizes, correct_slice, correct_split,
    correct_unpool;

/* Whether operand k may be numbers that follow a width, because the node can be corrected, or
 * because the shape of its result states the same width. */
typedef bool follower(const net *n, const node_proto *node, size_t k);

follower follows_shape, follows_sizes, follows_slice, follows_unpool;

/* Whether the node's outputs are zero in a channel, once all slices of the channel's unit are
 * zero. */
typedef bool zero_test(net *n, const node_proto *node);

zero_test zero_always, zero_same, zero_function, zero_combine, zero_matmul, zero_concat, zero_pad,
    zero_resize, zero_attention, zero_part, zero_conv, zero_tensor_scatter, zero_quantize;

/*
 * What the program knows about one operator.
 *   infer      NULL: shapes are not known
 *   describe   NULL: what the node reads is pinned
 *   fixed      the same for a node that cannot be corrected; NULL: as `describe` says
 *   correct    NULL: the node states no width
 *   follows    NULL: no operand may follow a width
 *   zero       NULL: outputs are never known to be zero
 *   open       the description also holds if the axis of channels contains an open length: N x C
 */
typedef struct op_kind {
    const char *name;
    rule *infer;
    handler *describe, *fixed;
    correction *correct;
    follower *follows;
    zero_test *zero;
    bool open;
} op_kind;

/* NULL: the operator is not in the table, or of another domain. */
const op_kind *find_op_kind(const node_proto *node);

#endif

/* What is known of each ONNX operator: a row for each, for all stages. */
#ifndef ONNX_OPERATORS_H
#define ONNX_OPERATORS_H

#include "net.h"

/* The shapes of what the node makes, from those of its operands. False: not known. */
typedef bool rule(net *n, const node_proto *node, dims *out);

rule infer_same, infer_broadcast, infer_conv, infer_conv_transposed, infer_pool, infer_global_pool,
    infer_resize, infer_depth_to_space, infer_space_to_depth, infer_gemm, infer_matmul,
    infer_transpose, infer_unsqueeze, infer_squeeze, infer_flatten, infer_reshape, infer_expand,
    infer_constant_of_shape, infer_tile, infer_concat, infer_split, infer_slice, infer_gather,
    infer_pad, infer_reduce, infer_norm;
rule infer_recurrent, infer_einsum, infer_arg, infer_top, infer_gather_elements, infer_gather_nd,
    infer_grid_sample;

/* Describes a node. False: not this way; what reaches it is then pinned. What it has tied until
 * then does no harm. */
typedef bool handler(net *n, const node_proto *node);

handler describe_conv, describe_conv_transposed, describe_batch_norm, describe_instance_norm,
    describe_group_norm, describe_layer_norm, describe_gemm, describe_matmul;
handler describe_combine, describe_function, describe_elementwise, describe_prelu,
    describe_identity;
handler describe_pool, describe_global_pool, describe_resize, describe_depth_to_space,
    describe_space_to_depth, describe_transpose, describe_reshape, describe_expand, describe_concat,
    describe_split, describe_slice, describe_gather, describe_pad, describe_reduce,
    describe_softmax;

/* After the cut: what the node at hand says of widths becomes true again. False: sentence. */
typedef struct writer writer;
typedef bool correction(writer *r);

correction correct_expand, correct_gather, correct_groups, correct_pad, correct_reshape,
    correct_sizes, correct_slice, correct_split;

/* Operand k may be numbers that follow a width: the node is mended, or its result's shape says all
 * that they say. */
typedef bool follower(const net *n, const node_proto *node, size_t k);

follower follows_shape, follows_sizes, follows_slice;

/* Are its outputs silent, its operands being what they are? */
typedef bool zero_test(net *n, const node_proto *node);

zero_test zero_always, zero_same, zero_function, zero_combine, zero_matmul, zero_concat, zero_pad;

typedef struct op_kind {
    const char *name;
    rule *infer;         /* NULL: shapes are not known */
    handler *describe;   /* NULL: what reaches it is pinned */
    correction *correct; /* NULL: it says no width */
    follower *follows;   /* NULL: none does */
    zero_test *zero;     /* NULL: never */
    bool open;           /* right also where the channels' axis holds an open length, too: N x C */
} op_kind;

/* NULL: not known, or of another domain. */
const op_kind *find_op_kind(const node_proto *node);

#endif

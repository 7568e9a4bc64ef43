/*
 * What the files of describe_network share: describe.c, describe_ahead.c, describe_attention.c,
 * describe_cost.c, describe_each.c, describe_fixed.c, describe_index.c, describe_mix.c,
 * describe_move.c, describe_second.c, describe_shape.c, describe_sign.c, quantized.c.
 */
#ifndef ONNX_DESCRIBE_H
#define ONNX_DESCRIBE_H

#include "mskp/operators.h"
#include "mskp/tools.h"
#include "operators.h"

/* Values with more channels are not described but pinned. */
#define MOST_CHANNELS ((size_t)1 << 20)

/* The name of a tensor as the name of a value; NULL where mskp would refuse it. */
const char *value_name(const tensor *t);

/* The spatial axes of the value of a tensor with channels on `axis`, and their number. An image
 * (channels on axis 1, up to three axes behind it) keeps its own axes; any other tensor has one
 * axis of all positions, or none if there is one position. The batch does not count. */
uint32_t layout(const net *n, const dims *d, size_t axis, size_t spatial[MSKP_MAX_SPATIAL]);
bool is_image(const net *n, const dims *d, size_t axis);
/* The value of a tensor with channels on axis 1 as the image of one sample, also where several
 * images of one sample (windows) are on axis 0. *images <- their number. {0}: it is none. */
mskp_value image_value(net *n, tensor *x, size_t *images);

/* The same channels with the positions of such a tensor: by a reshape, or, if the number of
 * positions differs, as a new value that is tied to the old one. */
mskp_value fit(net *n, mskp_value value, const dims *d, size_t axis);
mskp_value fit_to(net *n, mskp_value value, uint32_t nspatial, const size_t *spatial);
/* The same channels with other positions. keeps: constants stay what they are. */
mskp_value resize_positions(net *n, mskp_value value, const dims *d, size_t axis, bool keeps);
/* The same channels, with constants, and p positions on one axis. */
mskp_value with_positions(net *n, mskp_value value, size_t p);
/* New channels that are tied to the old ones. */
mskp_value tied(net *n, mskp_value value, const dims *d, size_t axis);

/* New channels that stay, with these positions. op names the operator, or the reason. */
mskp_value new_pinned(net *n, const char *op, size_t channels, uint32_t nspatial,
                      const size_t *spatial);

/* The node's result t has the channels of `value` on `axis`. */
void set_flow(net *n, tensor *t, mskp_value value, size_t axis);
/* The node's result has channels that stay. op names the operator, or the reason. */
void set_pinned(net *n, tensor *t, const char *op);

/* The channels of a tensor on this axis; {0}: channels that may be removed are on another axis. */
mskp_value channels_on(net *n, tensor *t, size_t axis);
/* Pins the channels of a tensor, because of this operator. */
void pin(net *n, tensor *t, const char *op);

/* The data of input k as a parameter with these axes of the tensor, in this order. They must
 * include all axes that are longer than 1. A vector that other nodes read, too, is copied, so that
 * this node's copy can be cut by itself. {0}: there are no data, or another node uses them with
 * another order of axes. */
mskp_param take_param(net *n, const node_proto *node, size_t k, size_t ndim, const size_t *axes);
/* The axes that are not in `channels` (a bit for each axis) are positions to this node. If
 * something else reads the data, to which these axes may be channels, they are pinned. */
void pin_axes(net *n, const tensor *t, mskp_param param, uint32_t channels);
/* *param <- input k as a vector of this length; {0} if the node does not have the input. False: the
 * node has the input, but it is no such vector. */
bool take_vector(net *n, const node_proto *node, size_t k, size_t length, mskp_param *param);
/* Whether the node, an Expand, repeats one channel as many. */
bool repeats_channel(const net *n, const node_proto *node);
/* Whether the indices that a MaxPool makes say the same places after a cut, because they are read
 * by MaxUnpool alone, whose results have the shape of what was pooled. */
bool is_unpooled(const net *n, const node_proto *node, const tensor *indices);
/* Whether each channel of the tensor that may be removed is zero, once its unit is. */
bool is_zeroable(const tensor *t);
/* Whether nodes behind take this axis of the tensor apart, sum over it, or compute statistics of
 * it. */
bool is_taken_apart(const net *n, const tensor *t, size_t axis);
/* Whether all that reads this axis, but for functions of each element, is products with data that
 * sum over it. */
bool is_hidden(const net *n, const tensor *t, size_t axis);
/* Tensors with two axes of channels: see describe_second.c. */
void pin_second(net *n, tensor *t, const char *op);
void pin_seconds(net *n, const node_proto *node);
bool describe_seconds(net *n, const node_proto *node, handler *h);
/* Pins the channels of a value, because of this operator. */
void pin_value(net *n, mskp_value value, const char *op);
sign sign_of(const net *n, tensor *t);
/* Notes the signs of what the node makes. */
void set_signs(net *n, const node_proto *node);
/* The node sums over the channels of x, or takes their maximum. They may be removed if they are
 * zero then; the result has no channels. False: they are pinned. */
bool sum_channels(net *n, tensor *x, tensor *y, const char *op);
/* Whether a mean over the tensor's channels can be multiplied by a factor after the cut. */
bool is_mendable(const net *n, const tensor *t);
/* A quantized parameter: whole numbers, their scales and zero points (NULL: 0), the axis that these
 * may be along, and a factor of the scales. borrowed: something else cuts the scales, as they are
 * those of another parameter, or a parameter themselves. */
typedef struct quantized_parts {
    const tensor *whole, *scale, *zero;
    size_t axis;
    double by;
    bool borrowed;
} quantized_parts;
/* t gets the real numbers of a quantized parameter as its data. False: it is none that can be
 * cut. */
bool net_quantized(net *n, tensor *t, const quantized_parts *parts);
/* Handles a DequantizeLinear of such a parameter. False: the node is none. */
bool describe_stored(net *n, const node_proto *node);
/* Gives the parameters of a lowered node (lower.h) their real numbers. False: they cannot be
 * cut. */
bool take_lowered(net *n, const node_proto *node);
/* The result of a lowered node is rounded. */
void round_lowered(net *n, const node_proto *node);
/* Whether a result that is zero is the zero point of all that reads it. */
bool is_zero_point_known(net *n, const node_proto *node);
/* The data stay as they are, because something reads them in a way that is not described. */
void lock_data(net *n, const tensor *t);
/* The node picks rows of a table of the file: [entries][channels]. */
bool describe_embedding(net *n, const node_proto *node);
/* The result of the node, whose operand 0 has its channels on the same axis, as a function of each
 * channel that is not known. */
bool pass_channels(net *n, const node_proto *node, bool other_size);
/* Whether something else reads the data, by this name or by one from which it was made. */
bool is_shared(const tensor *t);
/* Handles a node that only gives data of the file another name or order: Identity, Transpose ...
 * False: the node is none. */
bool net_alias(net *n, const node_proto *node);
/* Adds the cost, for a batch of one, of a node that is not described to the value that it makes, or
 * notes that this cost is not known. */
void add_cost(net *n, const node_proto *node);
/* The cost of a node for a batch of one; 0: it is not known. */
uint64_t node_cost(const net *n, const node_proto *node);
/* Notes the nodes that multiply in graphs within a node: their costs are not known. */
void count_graphs(net *n, const node_proto *node);
/* Input k has data that follow the channels, or that this node uses in any width: they are not
 * pinned. */
void leave_data(net *n, size_t k);

#endif

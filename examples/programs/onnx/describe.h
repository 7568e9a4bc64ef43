/* Parts of describe_network: the nodes in mskp's graph. */
#ifndef ONNX_DESCRIBE_H
#define ONNX_DESCRIBE_H

#include "mskp/operators.h"
#include "mskp/tools.h"
#include "operators.h"

/* Values with more are not described, but pinned. */
#define MOST_CHANNELS ((size_t)1 << 20)

/* The name of a tensor as that of a value; NULL where mskp does not take such names. */
const char *value_name(const tensor *t);

/*
 * Where the positions of a tensor with channels on `axis` are in mskp's value: an image (channels on
 * axis 1, up to three axes behind it) has its own axes, anything else one axis of all positions, or
 * none if there is one position. The batch counts nowhere.
 */
uint32_t layout(const net *n, const dims *d, size_t axis, size_t spatial[MSKP_MAX_SPATIAL]);
bool is_image(const net *n, const dims *d, size_t axis);

/* The same channels with the positions of such a tensor. What cannot be said by a reshape is a new
 * value, tied to the old one. */
mskp_value fit(net *n, mskp_value value, const dims *d, size_t axis);
mskp_value fit_to(net *n, mskp_value value, uint32_t nspatial, const size_t *spatial);
/* The same channels, other positions; keeps: what is constant stays constant. */
mskp_value resize_positions(net *n, mskp_value value, const dims *d, size_t axis, bool keeps);
/* New channels, tied to the old ones. */
mskp_value tied(net *n, mskp_value value, const dims *d, size_t axis);

/* New channels that stay, with these positions. op: why they stay. */
mskp_value new_pinned(net *n, const char *op, size_t channels, uint32_t nspatial,
                      const size_t *spatial);

/* A node's result. */
void set_flow(net *n, tensor *t, mskp_value value, size_t axis);
/* The same, of channels that cannot leave. op: why. */
void set_pinned(net *n, tensor *t, const char *op);

/* The channels of a tensor on this axis; {0}: they are on another one, and may leave. */
mskp_value channels_on(net *n, tensor *t, size_t axis);
/* What flows in a tensor stays, because of this operator. */
void pin(net *n, tensor *t, const char *op);

/*
 * The data of input k as a parameter: `axes` of the tensor are its axes, in this order, and all that
 * are longer than 1. A vector that other nodes read, too, is copied, so that it can have a width of
 * its own here. {0}: no data, or used in another order of axes elsewhere.
 */
mskp_param take_param(net *n, const node_proto *node, size_t k, size_t ndim, const size_t *axes);
/* Axes but those of `channels` (a bit for each) are positions here: if something else reads the data,
 * for which they may be channels, they stay as they are. */
void pin_axes(net *n, const tensor *t, mskp_param param, uint32_t channels);
/* One that is `length` long on its only axis. Input k not given, or {0}: false if it is given. */
bool take_vector(net *n, const node_proto *node, size_t k, size_t length, mskp_param *param);
/* Zero in a channel that may leave, once its unit is. */
bool is_zeroable(const tensor *t);
/* Something else reads the data, by this name or one that led to it. */
bool is_shared(const tensor *t);
/* Data that do not follow any channel here. */
void leave_data(net *n, size_t k);

#endif

/*
 * mskp/operators.h - operators beyond those of a ResNet, and the primitives that all are made of
 *
 * Include this header if your network concatenates, slices, shuffles or reshapes channels, if it
 * has transposed convolutions, attention or recurrent layers, or an operator that mskp does not
 * know. Such an operator is described by mskp_opaque, which keeps all channels that it reads and
 * makes, or exactly, by the primitives at the end. The rules at the head of mskp.h hold here, too.
 */
#ifndef MSKP_OPERATORS_H
#define MSKP_OPERATORS_H

#include "../mskp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ============================================================================================== */
/*                                     Operators that compute                                     */
/* ============================================================================================== */

/*
 * Transposed convolution, with the fields of mskp_conv. padding must be MSKP_PADDING_ZEROS.
 *   weight   [in][out / groups][kernel ...]
 *   result   (in - 1) x stride - pads + dilation x (kernel - 1) + output_pad + 1 positions per
 *            axis; output_pad must be less than the larger of stride and dilation
 * MACs: input positions x elements of the weight.
 */
MSKP_STABLE mskp_value mskp_conv_transposed(mskp_graph *graph, const char *name, mskp_value in,
                                            const mskp_conv_desc *desc);

/* PReLU. slope is [channels], or [1] for all channels together. */
MSKP_STABLE mskp_value mskp_prelu(mskp_graph *graph, const char *name, mskp_value in,
                                  mskp_param slope);

/* Looks up rows of a table [entries][channels]. Makes new channels with the given spatial axes. All
 * entries stay: another operator that binds that axis (tied weights) pins its channels. */
MSKP_STABLE mskp_value mskp_embedding(mskp_graph *graph, const char *name, mskp_param table,
                                      uint32_t nspatial, const size_t *spatial);

/* A parameter as an operand: position embeddings that are added (MSKP_ROLE_FILTER), a learned scale
 * per channel that is multiplied (MSKP_ROLE_SCALE). Makes new channels, bound to this axis of the
 * parameter in these roles. */
MSKP_STABLE mskp_value mskp_param_operand(mskp_graph *graph, const char *name, mskp_param param,
                                          uint32_t axis, uint32_t roles, uint32_t nspatial,
                                          const size_t *spatial);

/* What may be removed from an attention. */
typedef enum mskp_attention_units {
    MSKP_ATTENTION_HEADS = 0, /* whole heads, with the key and value head that they share */
    MSKP_ATTENTION_DIMS = 1   /* one dimension of all heads together */
} mskp_attention_units;

/*
 * Multi-head attention (Vaswani et al., NIPS 2017) over all positions of the input.
 *   query, key, value   [heads x dim][in channels], with biases [heads x dim] or {0}. dim is
 *             head_dim for query and key, and value_dim (0: head_dim) for value.
 *   kv_heads  0: as many as heads. Fewer: each key and value head serves heads / kv_heads
 *             consecutive query heads (Ainslie et al., EMNLP 2023).
 *   packed    nonzero: query holds the rows of query, key and value, in this order
 *   output    [out channels][heads x value_dim], output_bias [out channels] or {0}
 *   units     what may be removed. The scale of the softmax must stay what it was.
 *   memory    {0}, or the value from which keys and values are computed (cross-attention)
 * Makes new channels. The lists inside are values, too: NAME.heads (or NAME.key_positions and
 * NAME.value_positions), NAME.query, NAME.key, NAME.value, NAME.result, and NAME.packed if packed.
 * MACs: positions x elements of the weights, and for each pair of positions one per channel of
 * query and of result.
 */
typedef struct mskp_attention_desc {
    mskp_param query, key, value, output;
    mskp_param query_bias, key_bias, value_bias, output_bias;
    size_t heads, kv_heads, head_dim, value_dim;
    uint32_t packed;
    mskp_attention_units units;
    mskp_value memory;
} mskp_attention_desc;
MSKP_EXPERIMENTAL mskp_value mskp_attention(mskp_graph *graph, const char *name, mskp_value in,
                                            const mskp_attention_desc *desc);

typedef enum mskp_recurrent_kind {
    MSKP_RECURRENT_LSTM = 0,
    MSKP_RECURRENT_GRU = 1,
    MSKP_RECURRENT_RNN = 2
} mskp_recurrent_kind;
typedef struct mskp_recurrent_params {
    mskp_param input, hidden, input_bias, hidden_bias;
} mskp_recurrent_params;

/*
 * Recurrent layers over the positions of the input, one step per position. A hidden unit occurs
 * once in each gate of both weights (LSTM 4, GRU 3, RNN 1, in any order) and is removed from all of
 * them.
 *   params   one entry per layer (and per direction: forward, backward, forward ...): input
 *            [gates x units][in], hidden [gates x units][units], biases [gates x units] or {0}. The
 *            number of units may differ from layer to layer.
 *   layers   0 means 1
 *   state_given   nonzero: the first state comes from outside, so the hidden units are pinned.
 *            0: the first state is zero.
 * The result is the units of the last layer (forward, then backward). Layer and direction k is a
 * value NAME.hk, and its gates are a value NAME.gatesk. MACs: positions x elements of the weights.
 */
typedef struct mskp_recurrent_desc {
    mskp_recurrent_kind kind;
    uint32_t bidirectional;
    size_t layers;
    const mskp_recurrent_params *params;
    uint32_t state_given;
} mskp_recurrent_desc;
MSKP_EXPERIMENTAL mskp_value mskp_recurrent(mskp_graph *graph, const char *name, mskp_value in,
                                            const mskp_recurrent_desc *desc);

/*
 * An operator that mskp does not know, and that may do anything with its inputs. The channels of
 * its n >= 0 inputs are pinned, and its result has `channels` new ones, pinned too. So nothing that
 * reaches it is cut, and channels elsewhere may still be removed.
 *   op   the caller's word for such operators ("yolo"), without blanks, at most MSKP_MAX_OP bytes,
 *        copied. mskp_value_coupling returns it, and names the operator in pinned_by.
 *   channels, nspatial, spatial   of the result, as for mskp_input
 * The operator's own parameters need not be declared.
 */
#define MSKP_MAX_OP 31
typedef struct mskp_opaque_desc {
    const char *op;
    size_t n;
    const mskp_value *inputs;
    size_t channels;
    uint32_t nspatial;
    const size_t *spatial;
} mskp_opaque_desc;
MSKP_STABLE mskp_value mskp_opaque(mskp_graph *graph, const char *name,
                                   const mskp_opaque_desc *desc);

/* ============================================================================================== */
/*                                  Operators that move channels                                  */
/* ============================================================================================== */

/* Channels first .. first+count-1 of a value, count >= 1. */
MSKP_STABLE mskp_value mskp_slice(mskp_graph *graph, const char *name, mskp_value in, size_t first,
                                  size_t count);

/*
 * n >= 1 equal parts, parts[0 .. n-1], called NAME.0, NAME.1 ... A network that stores "n equal
 * parts" must keep them equal: position p of every part is tied. If the caller can store the parts'
 * new widths (mskp_plan_value_kept), rewritable 1 ties nothing. Ties can chain: with chunk and
 * shuffle tied, the streams of a ShuffleNet-v2 keep 1, 1 and 29 units; rewritable, they keep all.
 * For parts of different widths use mskp_slice. On failure all parts are {0}.
 */
MSKP_STABLE mskp_status mskp_chunk(mskp_graph *graph, const char *name, mskp_value in, size_t n,
                                   uint32_t rewritable, mskp_value *parts);

/* The channels of n >= 1 values, one value after the other. Spatial sizes must be equal. */
MSKP_STABLE mskp_value mskp_concat(mskp_graph *graph, const char *name, size_t n,
                                   const mskp_value *values);

/* Adds channels of zeros before and after (the parameter-free shortcut of ResNets for CIFAR: He et
 * al., CVPR 2016, option A). They are new channels and may be removed like any other. */
MSKP_STABLE mskp_value mskp_pad_channels(mskp_graph *graph, const char *name, mskp_value in,
                                         size_t before, size_t after);

/* Turns spatial positions into channels, before a linear layer that mixes them. channels_last 0:
 * index = channel * positions + position (NCHW memory); 1: position * channels + channel (NHWC). */
MSKP_STABLE mskp_value mskp_flatten(mskp_graph *graph, const char *name, mskp_value in,
                                    uint32_t channels_last);

/* The inverse of mskp_flatten: channels become spatial positions. The channels that become one are
 * tied. */
MSKP_STABLE mskp_value mskp_unflatten(mskp_graph *graph, const char *name, mskp_value in,
                                      uint32_t nspatial, const size_t *spatial,
                                      uint32_t channels_last);

/* The same channels and positions with other spatial axes: an image of 14 x 14 as a sequence of
 * 196. The number of positions must not change. */
MSKP_STABLE mskp_value mskp_reshape(mskp_graph *graph, const char *name, mskp_value in,
                                    uint32_t nspatial, const size_t *spatial);

/*
 * Channel shuffle (Zhang et al., CVPR 2018): reshape to groups x n, transpose, flatten; channel
 * g x n + i moves to i x groups + g. So that the smaller network can be stored in this form,
 * position i of every group is tied, unless rewritable is 1: the caller then gathers. The gather
 * indices: let K be the kept list of the result and L that of the input (mskp_plan_value_kept, old
 * numbers). Channel j of the smaller result is the input's old channel K[j] % groups * n + K[j] /
 * groups; its place in L is the index.
 */
MSKP_STABLE mskp_value mskp_channel_shuffle(mskp_graph *graph, const char *name, mskp_value in,
                                            size_t groups, uint32_t rewritable);

/* Pixel shuffle (Shi et al., CVPR 2016): factor^nspatial channels become one channel of factor
 * times the length on each axis; and its inverse. The channels that become one are tied. */
typedef enum mskp_shuffle_order {
    MSKP_SHUFFLE_CHANNEL_MAJOR = 0, /* channel x block + place in the block: PyTorch; ONNX's CRD */
    MSKP_SHUFFLE_BLOCK_MAJOR = 1    /* place x channels + channel: TensorFlow; ONNX's DCR */
} mskp_shuffle_order;
MSKP_STABLE mskp_value mskp_pixel_shuffle(mskp_graph *graph, const char *name, mskp_value in,
                                          size_t factor, mskp_shuffle_order order);
MSKP_STABLE mskp_value mskp_pixel_unshuffle(mskp_graph *graph, const char *name, mskp_value in,
                                            size_t factor, mskp_shuffle_order order);

/* n >= 1 values one after the other along a spatial axis. Equal numbers of channels, which are tied
 * position by position; the other axes must be equal. */
MSKP_STABLE mskp_value mskp_concat_spatial(mskp_graph *graph, const char *name, uint32_t axis,
                                           size_t n, const mskp_value *values);

/* ============================================================================================== */
/*                                           Primitives                                           */
/* ============================================================================================== */

/*
 * All operators above and in mskp.h are made of these, and a custom operator can be, too. Bind
 * every axis of a parameter that follows channels: the library knows nothing of an axis that is not
 * bound, and the channels that it reads may be removed while its columns stay.
 */

/* New channels. Arguments as for mskp_input, but the channels may be removed. */
MSKP_STABLE mskp_value mskp_fresh(mskp_graph *graph, const char *name, size_t channels,
                                  uint32_t nspatial, const size_t *spatial);

/* n >= 1 channels of `from` by position, in any order, with repetitions. Keeps the spatial axes. */
MSKP_STABLE mskp_value mskp_pick(mskp_graph *graph, const char *name, mskp_value from, size_t n,
                                 const size_t *positions);

/* Channel i of a and channel i of b can only be removed together. Equal numbers of channels. */
MSKP_STABLE mskp_status mskp_tie(mskp_graph *graph, mskp_value a, mskp_value b);

/* The value's channels are never removed. */
MSKP_STABLE mskp_status mskp_pin(mskp_graph *graph, mskp_value value);

/* Index i of the axis is channel i of the value, in these roles (MSKP_ROLE_* bits). If the axis is
 * bound already, both lists of channels are tied, and the roles add up. Binding in a role other
 * than CONSUMER and SCALE makes the library forget when the value is zero: bind before an operator
 * reads the value, and see mskp_zero_if. If mskp_tie has tied the value, an axis that is bound as
 * CONSUMER counts as reading all tied values with the same units: a grouped convolution is
 * described by binding its weight to the channels of one group and tying the other groups to
 * them. */
MSKP_STABLE mskp_status mskp_bind(mskp_graph *graph, mskp_param param, uint32_t axis,
                                  uint32_t roles, mskp_value value);

/* Declares that the value's channels are zero, for every input, once all slices of their units in
 * these roles are zero. Without it mskp_exact takes the result of a custom operator for never zero.
 * Call it before an operator reads the value: operators keep what was known when they were
 * described. */
MSKP_STABLE mskp_status mskp_zero_if(mskp_graph *graph, mskp_value value, uint32_t roles);

/* Declares a parameter of the operator that makes this value, no axis of which follows channels
 * (one slope for all channels). It is not cut, and channels to which another operator binds it are
 * pinned. It counts once, however often it is bound or attached. The library forgets when the value
 * is zero: attach before an operator reads it. A parameter that is neither bound nor attached is
 * refused by mskp_graph_finish. */
MSKP_STABLE mskp_status mskp_attach(mskp_graph *graph, mskp_param param, mskp_value value);

/* Adds per_element multiply-accumulates to the cost of `value` for each kept element of `param`,
 * or, with param {0}, for each kept channel of `value`. */
MSKP_STABLE mskp_status mskp_add_macs(mskp_graph *graph, mskp_value value, mskp_param param,
                                      uint64_t per_element);

/* Multiplies the cost that `value` has so far by the number of kept channels of `by`, for an
 * operator that repeats its work for each of them: a product over tokens, whose matrix has hidden
 * tokens, for each of the channels that pass through (MLP-Mixer, Tolstikhin et al. 2021). Describe
 * the operator with the positions of one channel. What is added to the cost later is not
 * multiplied, and a value without a cost keeps none. Errors are those of mskp_add_macs; and
 * MSKP_ERROR_BAD_STATE if this cost has such a factor already. */
MSKP_EXPERIMENTAL mskp_status mskp_macs_for_each(mskp_graph *graph, mskp_value value,
                                                 mskp_value by);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_OPERATORS_H */

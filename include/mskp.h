/*
 * mskp - pruning-aware regularization of convolutional networks: masks, masked penalties, surgery
 *
 * Copyright (c) 2026, the mskp authors. BSD-2-Clause, see LICENSE.
 *
 *     describe  ->  units  ->  scores  ->  keep mask  ->  penalty  ->  constants  ->  surgery
 *
 * A host (your trainer) names its parameters and operators once. mskp finds the channels that can
 * only leave together (units), scores them, chooses which to keep, adds a penalty to the others
 * while the host trains, and at last cuts every tensor down to what was kept.
 *
 * After N. Jiang, X. Zhao, C. Zhao, Y. An, M. Tang, J. Wang: "Pruning-aware Sparse Regularization
 * for Network Pruning", Machine Intelligence Research 20(1), 2023 (arXiv 2201.06776), called
 * [MaskSparsity] below.
 *
 * Three kinds of things, three owners:
 *
 *   graph      what hangs together. Names and shapes, never a data pointer. Immutable once
 *              finished.
 *   sets       plain arrays of tensor views, one view per parameter, indexed by the parameter's
 *              id: ids start at 1, entry 0 must stay all zero. Values, gradients, momentum ... are
 *              a set each. The host owns them, passes them to each call together with `params`,
 *              the number of parameters that they are made for (params + 1 entries), and no call
 *              keeps a pointer. params must be mskp_count().params; else MSKP_OTHER_NETWORK. A call
 *              writes only to the sets that it says so of (gradients += ..., values <- ...).
 *   arrays     one number per unit: double scores[units], uint8_t keep[units] (nonzero: stays).
 *              They travel with their length, so that a mask of an older graph is refused.
 *
 * Rules that hold for every function, unless it says otherwise:
 *
 *   errors     A call that can fail returns an mskp_status; MSKP_OK is 0. On failure nothing that
 *              the host can see has changed, except *err, which then holds the status and one
 *              sentence. On success *err is not touched. err may be NULL.
 *   NULL       Pointers must not be NULL unless the function says that they may. NULL where it is
 *              not allowed is MSKP_BAD_ARGUMENT (of a name, MSKP_BAD_NAME), not a crash.
 *   aliasing   Arrays passed to one call must not overlap, unless the function says that they may.
 *   threads    A graph that is being described belongs to one thread. A finished graph and a plan
 *              are immutable: any number of threads may use them at once, with tensors of their
 *              own.
 *   memory     Everything goes through the host's allocator. The calls that belong into a training
 *              step (mskp_penalty_*, and the bare arrays) allocate nothing.
 *   handles    Handle 0 means "none" or "an earlier error".
 *   growth     Fields called reserved must be 0. The zero value of every option is its default.
 *   results    Same input, same result, bit for bit, whatever the number of threads.
 *
 * The library never prints, exits, aborts, opens files or starts threads, and has no global state.
 *
 * Version 0: the interface may still change with each minor version, until real trainers have
 * tried it. The soname stays libmskp.so.0 meanwhile.
 */
#ifndef MSKP_H
#define MSKP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MSKP_VERSION_MAJOR 0
#define MSKP_VERSION_MINOR 1
#define MSKP_VERSION_PATCH 0
#define MSKP_VERSION       (MSKP_VERSION_MAJOR * 10000 + MSKP_VERSION_MINOR * 100 + MSKP_VERSION_PATCH)

/* The build of the shared library sets this to export what is declared here, and nothing else. */
#ifndef MSKP_API
#define MSKP_API
#endif

/* An enum in a struct has one size on both sides of the interface, whatever -fshort-enums says. */
#define MSKP_ENUM_IS_32_BITS(name) name##_32_BITS = 0x7fffffff

/* ============================================================================================== */
/*                              Status, errors, the host's services                               */
/* ============================================================================================== */

/* X(name, value, text). Values are fixed: new ones are added at the end. */
#define MSKP_STATUS_TABLE(X)                                            \
    X(OK, 0, "success")                                                 \
    X(NO_MEMORY, 1, "the allocator returned NULL")                      \
    X(BAD_ARGUMENT, 2, "an argument is outside its range")              \
    X(BAD_SHAPE, 3, "shapes do not fit")                                \
    X(BAD_NAME, 4, "a name is missing, used twice, or contains blanks") \
    X(BAD_STATE, 5, "called too early, or too late")                    \
    X(BAD_NUMBER, 6, "a number is not finite")                          \
    X(NO_DATA, 7, "a tensor that must be touched has no data")          \
    X(OVERLAP, 8, "tensors overlap where they must not")                \
    X(NO_SOLUTION, 9, "no mask satisfies the rule")                     \
    X(OTHER_NETWORK, 10, "made for another network")                    \
    X(UNSUPPORTED, 11, "this combination is not supported")             \
    X(BAD_TEXT, 12, "a text is not what it should be")

typedef enum mskp_status {
#define MSKP_X(name, value, text) MSKP_##name = value,
    MSKP_STATUS_TABLE(MSKP_X)
#undef MSKP_X
        MSKP_ENUM_IS_32_BITS(MSKP_STATUS)
} mskp_status;

/* What went wrong: one sentence that names the thing and, where two numbers disagree, both.
 * Always terminated. Very long names are shortened in the middle. */
typedef struct mskp_error {
    mskp_status status;
    char text[252];
} mskp_error;

/*
 * What the library may use of the host's. All zero, or a NULL pointer to it: malloc, free, and no
 * threads.
 *
 *   allocate      returns memory aligned for any object, or NULL. bytes is never 0.
 *   release       gives it back; memory may be NULL. Set both or neither.
 *   parallel_for  runs work(work_context, i) once for each i in [0, n), in any order, on any
 *                 threads, and returns when all are done. Results do not depend on it.
 *
 * They are called from the thread that calls mskp; if several do at once, they must be thread-safe.
 */
typedef struct mskp_host {
    void *context;
    void *(*allocate)(void *context, size_t bytes);
    void (*release)(void *context, void *memory);
    void (*parallel_for)(void *context, size_t n, void (*work)(void *work_context, size_t i),
                         void *work_context);
    uint64_t reserved[4];
} mskp_host;

/* The library's version, to compare with MSKP_VERSION of the header that the host was built with.
 */
MSKP_API uint32_t mskp_version(void);

/* The text of the table above; never NULL, also for numbers that are not in the table. */
MSKP_API const char *mskp_status_text(mskp_status status);

/* ============================================================================================== */
/*                                            Tensors                                             */
/* ============================================================================================== */

#define MSKP_MAX_DIMS 6

typedef enum mskp_dtype {
    MSKP_F32 = 0,
    MSKP_F64 = 1,
    MSKP_F16 = 2,      /* IEEE binary16 */
    MSKP_BF16 = 3,     /* the upper half of a float */
    MSKP_BYTES_1 = 16, /* the rest: surgery moves them, nothing computes with them */
    MSKP_BYTES_2 = 17,
    MSKP_BYTES_4 = 18,
    MSKP_BYTES_8 = 19,
    MSKP_BYTES_16 = 20,
    MSKP_ENUM_IS_32_BITS(MSKP_DTYPE)
} mskp_dtype;

/*
 * A view of one parameter's elements (or of its gradient, momentum ...) in the host's memory.
 *
 * {.data = p} alone means: float, the parameter's shape, packed in row-major order. With ndim set,
 * shape must equal the parameter's; with every stride 0 the view is packed. dtype may be set alone.
 *
 * stride counts elements. The order of axes is the parameter's, memory layout is strides alone: a
 * convolution weight [O][I][H][W] that lies in memory as O,H,W,I is
 * {.ndim = 4, .shape = {O, I, H, W}, .stride = {H*W*I, 1, W*I, I}}.
 * Negative strides are fine. Strides of axes of length 1 are ignored. Axes must nest: sorted by
 * |stride|, each must step over all that the smaller ones span. Every view made by permuting,
 * slicing, padding or reversing a packed array does. Anything else, such as a stride of 0, is
 * MSKP_OVERLAP. data must be aligned to the element's size, 16 bytes to 8.
 *
 * elements: how many elements the view has, for hosts that know how much they allocated. Another
 * number than the parameter's shape asks for is refused; 0: not said. Surgery in place
 * corrects it.
 *
 * data NULL: this tensor is not here (frozen, on a device, not made yet). Surgery skips it; a call
 * that must read it fails with MSKP_NO_DATA. Where ndim or elements are set, penalties, surgery and
 * mskp_constants_apply check them all the same, and also those of tensors that they do not touch: a
 * wrong one shows in the first step and not in the one that needs it.
 */
typedef struct mskp_tensor {
    void *data;
    mskp_dtype dtype;
    uint32_t ndim;
    size_t shape[MSKP_MAX_DIMS];
    ptrdiff_t stride[MSKP_MAX_DIMS];
    size_t elements;
} mskp_tensor;

/* ============================================================================================== */
/*                                    1. Describe: the graph                                      */
/* ============================================================================================== */

typedef struct mskp_graph mskp_graph;

/* A parameter: a named tensor of the network. Ids count up from 1 in the order of declaration. */
typedef struct mskp_param {
    uint32_t id;
} mskp_param;

/* A value: what flows between operators. An ordered list of channels, and the size of the spatial
 * axes (positions) that each channel has at this point. Ids count up from 1. */
typedef struct mskp_value {
    uint32_t id;
} mskp_value;

#define MSKP_MAX_SPATIAL 3

/* An empty graph. host: copied; may be NULL. NULL is returned only when there is no memory. */
MSKP_API mskp_graph *mskp_graph_create(const mskp_host *host);

/* graph may be NULL. Plans made from it stay valid. */
MSKP_API void mskp_graph_destroy(mskp_graph *graph);

/*
 * Ends the description and computes the units. While describing, the first error sticks: later
 * calls do nothing and return handle 0 or that error's status, so that a host can describe without
 * checking and learn here what went wrong first. Refuses a parameter that is bound to no channels,
 * and more than 2^53 multiply-accumulates or elements (MSKP_UNSUPPORTED), which no double counts.
 * After MSKP_NO_MEMORY from finish itself it may be called again. After success the graph is
 * immutable, and calls that describe return {0} or MSKP_BAD_STATE.
 */
MSKP_API mskp_status mskp_graph_finish(mskp_graph *graph, mskp_error *err);

/*
 * Declares a parameter with ndim (1 to MSKP_MAX_DIMS) axes, none of length 0. The name is copied;
 * it must be unique among parameters, not empty, and without blanks or control characters.
 * A parameter that two operators use is one with tied weights: nothing more need be said.
 */
MSKP_API mskp_param mskp_parameter(mskp_graph *graph, const char *name, uint32_t ndim,
                                   const size_t *shape);

/* ---- Operators. Each makes one value. name: unique among values, as above; NULL derives one, the
 * operator's word and the value's id: "relu#7". ---- */

/* What enters the network: `channels` channels with nspatial (0 to 3) spatial axes; spatial may be
 * NULL if nspatial is 0. Pinned: these channels never leave. */
MSKP_API mskp_value mskp_input(mskp_graph *graph, const char *name, size_t channels,
                               uint32_t nspatial, const size_t *spatial);

/* What leaves the network: pins the value's channels. May be called for several values. Without it
 * the classes of a classifier may leave like any other channel. */
MSKP_API mskp_status mskp_output(mskp_graph *graph, mskp_value value);

/*
 * Convolution over 1 to 3 spatial axes, as many as the input has.
 *   weight   [out][in][kernel ...]
 *   bias     [out], or {0} for none
 *   stride, dilation: 0 means 1. pad_before, pad_after: per axis. Those of axes that the input does
 *            not have must be 0.
 *   groups   0 means 1. More: weight is [out][in / groups][kernel ...], and what may leave depends
 *            on grouping; with one group, grouping is ignored.
 *   output_pad  must be 0, see mskp_conv_transposed
 *   padding  what lies outside the image: only constants (see there) need to know
 * Makes one new channel per output channel. MACs: output positions x elements of the weight.
 */
typedef enum mskp_grouping {
    MSKP_GROUPS_AUTO = 0,  /* WHOLE where each group reads one channel (depthwise), else TIED */
    MSKP_GROUPS_TIED = 1,  /* position p of every group leaves at once: each group loses the same */
    MSKP_GROUPS_WHOLE = 2, /* a group leaves with all that it reads and makes */
    MSKP_ENUM_IS_32_BITS(MSKP_GROUPS)
} mskp_grouping;
typedef enum mskp_padding {
    MSKP_PAD_ZEROS = 0,
    MSKP_PAD_CONTINUED = 1, /* reflected, replicated, circular: what is constant stays constant */
    MSKP_ENUM_IS_32_BITS(MSKP_PAD)
} mskp_padding;
typedef struct mskp_conv_desc {
    mskp_param weight;
    mskp_param bias;
    size_t stride[MSKP_MAX_SPATIAL];
    size_t pad_before[MSKP_MAX_SPATIAL];
    size_t pad_after[MSKP_MAX_SPATIAL];
    size_t dilation[MSKP_MAX_SPATIAL];
    size_t groups;
    mskp_grouping grouping;
    mskp_padding padding;
    size_t output_pad[MSKP_MAX_SPATIAL];
    uint64_t reserved[4];
} mskp_conv_desc;
MSKP_API mskp_value mskp_conv(mskp_graph *graph, const char *name, mskp_value in,
                              const mskp_conv_desc *desc);

/*
 * Transposed convolution, with the same fields. padding must be MSKP_PAD_ZEROS.
 *   weight   [in][out / groups][kernel ...]
 *   result   (in - 1) x stride - pads + dilation x (kernel - 1) + output_pad + 1 positions per
 *            axis; output_pad below the larger of stride and dilation
 * MACs: input positions x elements of the weight.
 */
MSKP_API mskp_value mskp_conv_transposed(mskp_graph *graph, const char *name, mskp_value in,
                                         const mskp_conv_desc *desc);

/* Fully connected layer, applied to each spatial position by itself. weight [out][in]; bias [out],
 * or {0} for none. Flatten first what should be mixed over positions. */
MSKP_API mskp_value mskp_linear(mskp_graph *graph, const char *name, mskp_value in,
                                mskp_param weight, mskp_param bias);

/* A table of rows that are looked up: [entries][channels]. Makes new channels, at the positions
 * given. */
MSKP_API mskp_value mskp_embedding(mskp_graph *graph, const char *name, mskp_param table,
                                   uint32_t nspatial, const size_t *spatial);

/* A parameter as an operand: position embeddings to be added (FILTER), a learned scale of each
 * channel to be multiplied with (SCALE). Makes new channels, bound to this axis in these roles. */
MSKP_API mskp_value mskp_param_value(mskp_graph *graph, const char *name, mskp_param param,
                                     uint32_t axis, uint32_t roles, uint32_t nspatial,
                                     const size_t *spatial);

/*
 * Norms. Each parameter is [channels], or {0} for none. scale is gamma, shift is beta.
 * Where statistics run over several channels, the others change when one leaves, however small it
 * was: such channels are pinned, unless accept_inexact says that this is fine. mskp_value_get_info
 * tells how many of a value's channels cannot leave exactly for this reason.
 *   groups, grouping  of a group norm; groups 0 means 1. MSKP_GROUPS_WHOLE is exact: statistics
 *                     leave with their group. AUTO is TIED here. With one group, and for the other
 *                     kinds, grouping is ignored
 *   epsilon           0 (means 1e-5) to 1: what constants that pass a batch norm are computed with;
 *                     the other kinds ignore it. epsilon_outside_root 1: by sqrt(variance) +
 *                     epsilon, not sqrt(variance + epsilon)
 */
typedef enum mskp_norm_layer {
    MSKP_BATCH_NORM = 0,    /* with running statistics, or none */
    MSKP_INSTANCE_NORM = 1, /* statistics of each channel by itself */
    MSKP_AFFINE = 2,        /* scale and shift alone */
    MSKP_GROUP_NORM = 3,    /* statistics of groups of channels */
    MSKP_LAYER_NORM = 4,    /* of all channels */
    MSKP_RMS_NORM = 5,
    MSKP_ENUM_IS_32_BITS(MSKP_NORM_LAYER)
} mskp_norm_layer;
typedef struct mskp_norm_desc {
    mskp_param scale, shift, mean, variance;
    mskp_norm_layer kind;
    mskp_grouping grouping;
    size_t groups;
    uint32_t accept_inexact;
    uint32_t epsilon_outside_root;
    double epsilon;
    uint64_t reserved[4];
} mskp_norm_desc;
MSKP_API mskp_value mskp_norm(mskp_graph *graph, const char *name, mskp_value in,
                              const mskp_norm_desc *desc);

/*
 * A function of each element by itself, without parameters of the network. Which one makes no
 * difference to what can be removed; it is remembered as the operator's name, and carries constants
 * on.
 *   function    for MSKP_FUNCTION: f(x, parameters), called by mskp_constants_create from the thread
 *               that calls that, and always the same for the same x. NULL: unknown, constants end
 *               here.
 *   parameters  MSKP_LEAKY_RELU: the slope, 0 means 0.01. MSKP_ELU: alpha, 0 means 1. MSKP_TIMES:
 *               the factor. MSKP_FUNCTION with a function: all, copied. Else they must be 0.
 */
typedef enum mskp_activation_kind {
    MSKP_IDENTITY = 0, /* dropout, casts */
    MSKP_RELU = 1,
    MSKP_RELU6 = 2,
    MSKP_LEAKY_RELU = 3,
    MSKP_ELU = 4,
    MSKP_SIGMOID = 5,
    MSKP_TANH = 6,
    MSKP_SILU = 7,
    MSKP_GELU = 8,         /* by erf */
    MSKP_HARD_SIGMOID = 9, /* x / 6 + 1/2 within 0 and 1 */
    MSKP_HARD_SWISH = 10,  /* x times that */
    MSKP_FUNCTION = 11,    /* any other */
    MSKP_GELU_TANH = 12,   /* its approximation by tanh */
    MSKP_TIMES = 13,       /* x times a number */
    MSKP_ENUM_IS_32_BITS(MSKP_ACTIVATION)
} mskp_activation_kind;
#define MSKP_FUNCTION_PARAMETERS 4
typedef struct mskp_activation_desc {
    mskp_activation_kind kind;
    double (*function)(double x, const double *parameters);
    double parameters[MSKP_FUNCTION_PARAMETERS];
    uint64_t reserved[4];
} mskp_activation_desc;
/* desc NULL: identity. */
MSKP_API mskp_value mskp_activation(mskp_graph *graph, const char *name, mskp_value in,
                                    const mskp_activation_desc *desc);

/* PReLU. slope [channels], or [1] for all. */
MSKP_API mskp_value mskp_prelu(mskp_graph *graph, const char *name, mskp_value in,
                               mskp_param slope);

/*
 * Pooling over the spatial axes of each channel by itself.
 *   size     of the window, per spatial axis; 0 means 1. stride: 0 means size. What is said of axes
 *            that the input does not have must be 0.
 *   ceil_mode  nonzero: a last, partial window counts, if it starts inside the image or its left
 *            pad
 *   spatial  not 0: the result's size on that axis, whatever the rule says (resizing, odd rules)
 * The global kinds take the whole image and keep the number of spatial axes, each of length 1;
 * size, stride, pads and ceil_mode must then be 0. MSKP_POOL_RESIZE is any other change of size
 * (interpolating, sampling, cropping, padding by zeros): spatial says the result's, the rest is 0.
 *   keeps_constants  1: a channel that is the same everywhere stays so. 0: not said; maximum,
 *                    global pooling, and an average without pads, ceil_mode and spatial do, of the
 *                    others (an average that counts its padding, a resize that pads) only zeros
 *                    stay what they are
 */
typedef enum mskp_pool_kind {
    MSKP_POOL_MAX = 0,
    MSKP_POOL_AVERAGE = 1,
    MSKP_POOL_GLOBAL_MAX = 2,
    MSKP_POOL_GLOBAL_AVERAGE = 3,
    MSKP_POOL_RESIZE = 4,
    MSKP_ENUM_IS_32_BITS(MSKP_POOL)
} mskp_pool_kind;
typedef struct mskp_pool_desc {
    mskp_pool_kind kind;
    uint32_t ceil_mode;
    uint32_t keeps_constants;
    size_t size[MSKP_MAX_SPATIAL];
    size_t stride[MSKP_MAX_SPATIAL];
    size_t pad_before[MSKP_MAX_SPATIAL];
    size_t pad_after[MSKP_MAX_SPATIAL];
    size_t spatial[MSKP_MAX_SPATIAL];
    uint64_t reserved[8];
} mskp_pool_desc;
MSKP_API mskp_value mskp_pool(mskp_graph *graph, const char *name, mskp_value in,
                              const mskp_pool_desc *desc);

/* Element-wise over n >= 1 values with equal numbers of channels, which are tied position by
 * position. A value with one channel broadcasts over the channels, a spatial axis of length 1 over
 * positions, a value without spatial axes over all of them; else the numbers of spatial axes and
 * their lengths must be equal. */
typedef enum mskp_combine_kind {
    MSKP_ADD = 0,
    MSKP_SUBTRACT = 1,
    MSKP_MULTIPLY = 2,
    MSKP_MAXIMUM = 3,
    MSKP_MINIMUM = 4,
    MSKP_AVERAGE = 5,
    MSKP_DIVIDE = 6,
    MSKP_ENUM_IS_32_BITS(MSKP_COMBINE)
} mskp_combine_kind;
MSKP_API mskp_value mskp_combine(mskp_graph *graph, const char *name, mskp_combine_kind kind,
                                 size_t n, const mskp_value *values);

/* Channels first .. first+count-1, count >= 1. */
MSKP_API mskp_value mskp_slice(mskp_graph *graph, const char *name, mskp_value in, size_t first,
                               size_t count);

/*
 * n >= 1 equal parts, parts[0 .. n-1], called NAME.0, NAME.1 ... A network that says "in n equal
 * parts" must keep them equal: position p of every part leaves at once, unless rewritable is 1: the
 * host then writes the parts' new widths (mskp_plan_value), and nothing is tied. Ties can chain:
 * with chunk and shuffle tied, the streams of a ShuffleNet-v2 keep 1, 1 and 29 units, rewritable
 * all of them. Parts of any widths: mskp_slice. On failure the parts are handles 0, unless n is more
 * than there are channels: then parts is not touched.
 */
MSKP_API mskp_status mskp_chunk(mskp_graph *graph, const char *name, mskp_value in, size_t n,
                                uint32_t rewritable, mskp_value *parts);

/* Channels of zeros before and after (the parameter-free shortcut of ResNets for CIFAR: He et al.,
 * CVPR 2016, option A). They are new channels and may leave like any other. */
MSKP_API mskp_value mskp_pad_channels(mskp_graph *graph, const char *name, mskp_value in,
                                      size_t before, size_t after);

/* Spatial axes become channels. channels_last 0: channel * positions + position (NCHW memory);
 * 1: position * channels + channel (NHWC memory). */
MSKP_API mskp_value mskp_flatten(mskp_graph *graph, const char *name, mskp_value in,
                                 uint32_t channels_last);

/* The way back: channels become spatial axes. The channels that make one are tied. */
MSKP_API mskp_value mskp_unflatten(mskp_graph *graph, const char *name, mskp_value in,
                                   uint32_t nspatial, const size_t *spatial,
                                   uint32_t channels_last);

/* The same channels and positions, seen as other spatial axes: an image of 14 x 14 as a sequence of
 * 196. The number of positions must stay. */
MSKP_API mskp_value mskp_reshape(mskp_graph *graph, const char *name, mskp_value in,
                                 uint32_t nspatial, const size_t *spatial);

/* Channel g x n + i goes to i x groups + g (reshape to groups x n, transpose, flatten: Zhang et
 * al., CVPR 2018). So that the smaller network can be written that way, position i of every group
 * leaves at once, unless rewritable is 1: the host then gathers. Its indices: let K be the kept
 * list of the result and L that of the input (mskp_plan_value; both old numbers). Channel j of the
 * smaller result is old channel K[j], which is old channel K[j] % groups * (channels / groups) +
 * K[j] / groups of the input; where that stands in L is the index. */
MSKP_API mskp_value mskp_channel_shuffle(mskp_graph *graph, const char *name, mskp_value in,
                                         size_t groups, uint32_t rewritable);

/* factor^nspatial channels become one of factor times the size on each axis (Shi et al., CVPR
 * 2016), and the way back. Those that make one are tied. */
typedef enum mskp_shuffle_order {
    MSKP_CHANNEL_MAJOR = 0, /* channel x block + place in the block: PyTorch; ONNX's CRD */
    MSKP_BLOCK_MAJOR = 1,   /* place in the block x channels + channel: TensorFlow; ONNX's DCR */
    MSKP_ENUM_IS_32_BITS(MSKP_SHUFFLE_ORDER)
} mskp_shuffle_order;
MSKP_API mskp_value mskp_pixel_shuffle(mskp_graph *graph, const char *name, mskp_value in,
                                       size_t factor, mskp_shuffle_order order);
MSKP_API mskp_value mskp_pixel_unshuffle(mskp_graph *graph, const char *name, mskp_value in,
                                         size_t factor, mskp_shuffle_order order);

/* n >= 1 values one after the other along a spatial axis: equal numbers of channels, tied position
 * by position; the other axes must be equal. */
MSKP_API mskp_value mskp_concat_spatial(mskp_graph *graph, const char *name, uint32_t axis,
                                        size_t n, const mskp_value *values);

/*
 * Multi-head attention (Vaswani et al., NIPS 2017) over all positions of the input.
 *   query, key, value   [heads x dim][in channels], with biases [heads x dim] or {0}: query and key
 *            of `head_dim` rows for each head, value of `value_dim` (0: head_dim)
 *   kv_heads  0: as many as heads. Fewer: each key and value head serves heads / kv_heads query
 *            heads, one after the other (Ainslie et al., EMNLP 2023)
 *   packed   1: query holds the rows of query, key and value, one after the other
 *   output   [out channels][heads x value_dim], output_bias [out channels] or {0}
 *   units    what may leave: whole heads (with the key and value head that they share), or a
 *            position within all heads at once. The scale of the softmax must stay what it was.
 *   memory   {0}, or the value that keys and values are made of
 * Makes new channels. The lists within are values, too: NAME.heads (or NAME.key_positions and
 * NAME.value_positions), NAME.query, NAME.key, NAME.value, NAME.result, and NAME.packed of packed
 * rows. MACs: positions x elements of the weights, and for each pair of positions one for each
 * channel of query and of result.
 */
typedef enum mskp_attention_units {
    MSKP_HEADS = 0,
    MSKP_POSITIONS = 1,
    MSKP_ENUM_IS_32_BITS(MSKP_ATTENTION_UNITS)
} mskp_attention_units;
typedef struct mskp_attention_desc {
    mskp_param query, key, value, output;
    mskp_param query_bias, key_bias, value_bias, output_bias;
    size_t heads, kv_heads, head_dim, value_dim;
    uint32_t packed;
    mskp_attention_units units;
    mskp_value memory;
    uint64_t reserved[8];
} mskp_attention_desc;
MSKP_API mskp_value mskp_attention(mskp_graph *graph, const char *name, mskp_value in,
                                   const mskp_attention_desc *desc);

/*
 * Recurrent layers over the positions of the input, one step each. A hidden unit stands once in
 * each gate of both weights (LSTM 4, GRU 3, RNN 1; in any order) and leaves from all of them.
 *   params   one for each layer (and for each direction: forward, backward, forward ...): input
 *            [gates x units][in], hidden [gates x units][units], biases [gates x units] or {0};
 *            units may differ from layer to layer
 *   state_given  1: the first state comes from outside: the hidden units are pinned. 0: it is zero.
 * The result: the units of the last layer (forward, then backward). Layer and direction k is a
 * value of its own, NAME.hk, and so are its gates, NAME.gatesk. MACs: positions x elements of the
 * weights.
 */
typedef enum mskp_recurrent_kind {
    MSKP_LSTM = 0,
    MSKP_GRU = 1,
    MSKP_RNN = 2,
    MSKP_ENUM_IS_32_BITS(MSKP_RECURRENT)
} mskp_recurrent_kind;
typedef struct mskp_recurrent_params {
    mskp_param input, hidden, input_bias, hidden_bias;
} mskp_recurrent_params;
typedef struct mskp_recurrent_desc {
    mskp_recurrent_kind kind;
    uint32_t bidirectional;
    size_t layers; /* 0 means 1 */
    const mskp_recurrent_params *params;
    uint32_t state_given;
    uint64_t reserved[8];
} mskp_recurrent_desc;
MSKP_API mskp_value mskp_recurrent(mskp_graph *graph, const char *name, mskp_value in,
                                   const mskp_recurrent_desc *desc);

/*
 * An operator that mskp does not know, and that may do anything with its inputs: the channels of
 * the n >= 0 inputs are pinned, and the result is `channels` new ones, pinned too. Arguments else
 * as for mskp_input. So nothing that reaches it is cut, and what lies elsewhere still may be.
 *   op   what the host calls such operators ("yolo"): a word without blanks, of at most MSKP_MAX_OP
 *        bytes; copied. It is what reports name:
 *        mskp_value_get_info tells it of the value, and the value as pinned_by of all that it pins.
 * Parameters of its own need not be declared.
 */
#define MSKP_MAX_OP 31
MSKP_API mskp_value mskp_opaque(mskp_graph *graph, const char *name, const char *op, size_t n,
                                const mskp_value *inputs, size_t channels, uint32_t nspatial,
                                const size_t *spatial);

/*
 * ---- Primitives. Every operator above is made of these, and so may one of the host's own be. ----
 *
 * Bind each axis of a parameter that has something to do with channels: of an axis that is not bound
 * the library knows nothing, and the channels that it reads may leave while its columns stay.
 */

/* What an axis of a parameter is to the channels that it is bound to. Bits: in a tied weight an
 * axis may play two parts. A set of roles also says which slices a score or a penalty is about. */
typedef enum mskp_role {
    MSKP_ROLE_OTHER = 0,    /* cut, never scored or penalized */
    MSKP_ROLE_FILTER = 1,   /* the weight that makes these channels */
    MSKP_ROLE_CONSUMER = 2, /* the weight that reads these channels */
    MSKP_ROLE_SCALE = 4,    /* gamma */
    MSKP_ROLE_SHIFT = 8,    /* beta, or a bias */
    MSKP_ROLE_MEAN = 16,    /* running statistics */
    MSKP_ROLE_VARIANCE = 32,
    MSKP_ENUM_IS_32_BITS(MSKP_ROLE)
} mskp_role;
#define MSKP_ROLES_UNIT (MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER | MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT)

/* New channels. Arguments as for mskp_input, but they may leave. */
MSKP_API mskp_value mskp_fresh(mskp_graph *graph, const char *name, size_t channels,
                               uint32_t nspatial, const size_t *spatial);

/* n >= 1 channels of `from` by position, in any order, with repetitions. Keeps the spatial size. */
MSKP_API mskp_value mskp_pick(mskp_graph *graph, const char *name, mskp_value from, size_t n,
                              const size_t *positions);

/* The channels of n >= 1 values, one after the other. Spatial sizes must be equal. */
MSKP_API mskp_value mskp_concat(mskp_graph *graph, const char *name, size_t n,
                                const mskp_value *values);

/* Channel i of a and channel i of b can only leave together. Equal numbers of channels. */
MSKP_API mskp_status mskp_tie(mskp_graph *graph, mskp_value a, mskp_value b);

/* These channels never leave. */
MSKP_API mskp_status mskp_pin(mskp_graph *graph, mskp_value value);

/* Index i of the axis is channel i of the value, in these roles (MSKP_ROLE_* bits). An axis that is
 * bound again is tied: both lists of channels can only leave together, and the roles add up. In roles
 * other than CONSUMER and SCALE the value may then be anything: bind before it is read, and see
 * mskp_zero_if. */
MSKP_API mskp_status mskp_bind(mskp_graph *graph, mskp_param param, uint32_t axis, uint32_t roles,
                               mskp_value value);

/* The value's channels are zero once their units' slices of these roles are (all of them), whatever
 * comes in. For operators of the host's own: without it mskp_exact takes them for never zero. Say it
 * before the value is read: what has been described from it keeps what was known then. */
MSKP_API mskp_status mskp_zero_if(mskp_graph *graph, mskp_value value, uint32_t roles);

/* The parameter belongs to the operator that makes this value, but none of its axes follows
 * channels (a single slope for all): it stays as it is, and is counted once, however often it is
 * bound or attached. The value may then be anything (attach before it is read), and the parameter has
 * one user more. A parameter that is neither bound nor attached is refused by finish. */
MSKP_API mskp_status mskp_attach(mskp_graph *graph, mskp_param param, mskp_value value);

/* Computing `value` costs per_element multiply-accumulates for each kept element of `param`, or,
 * with param {0}, for each kept channel of `value`. Adds to what was said of this value before. */
MSKP_API mskp_status mskp_macs(mskp_graph *graph, mskp_value value, mskp_param param,
                               uint64_t per_element);

/* ============================================================================================== */
/*                                2. Units: what leaves together                                  */
/* ============================================================================================== */

/* A unit is a class of tied channels, none of them pinned; units are numbered from 0 by their first
 * channel. A family is the units that occur in the same values and axes, equally often: what
 * "layer" means for fractions, caps, rounding and votes. */

#define MSKP_PINNED UINT32_MAX

typedef struct mskp_counts {
    size_t units, families, params, values;
} mskp_counts;

/* All 0 before finish. Pointers that the functions below return live as long as the graph; before
 * finish they return NULL, 0 or {0}. */
MSKP_API mskp_counts mskp_count(const mskp_graph *graph);

/* {0} if there is none of that name. */
MSKP_API mskp_param mskp_param_find(const mskp_graph *graph, const char *name);
MSKP_API mskp_value mskp_value_find(const mskp_graph *graph, const char *name);

/* How many spatial axes a value has; *channels, spatial: may be NULL. Works while describing, too,
 * so that a bridge need not keep shapes of its own. 0 channels: the handle is not of this graph. */
MSKP_API uint32_t mskp_value_shape(const mskp_graph *graph, mskp_value value, size_t *channels,
                                   size_t spatial[MSKP_MAX_SPATIAL]);

/* Returns ndim, 0 for a handle that is not of this graph. name and shape may be NULL. */
MSKP_API uint32_t mskp_param_info(const mskp_graph *graph, mskp_param param, const char **name,
                                  size_t shape[MSKP_MAX_DIMS]);

/*
 * *view <- all of a parameter, packed, with its axes in another order in memory: order[0] is the
 * axis with the largest stride, order[ndim - 1] the one whose neighbours are next to each other;
 * NULL: as declared. A linear weight [out][in] that lies in memory as [in][out] has order {1, 0}, a
 * convolution weight in channels-last memory {0, 2, 3, 1}. With the graph of after the surgery, the
 * small view. data may be NULL. Errors: MSKP_BAD_ARGUMENT for a parameter that is not of this
 * graph, an order that does not name each axis once, a dtype that is none; MSKP_BAD_STATE before
 * finish.
 */
MSKP_API mskp_status mskp_param_view(const mskp_graph *graph, mskp_param param,
                                     const uint32_t *order, void *data, mskp_dtype dtype,
                                     mskp_tensor *view, mskp_error *err);

/* The unit of each index of an axis (MSKP_PINNED: none), *count of them; NULL: the axis is bound to
 * no channels. roles, count: may be NULL. This is how a host spreads keep[] over a tensor of its
 * own, on a device for instance: keep[units[i]]. */
MSKP_API const uint32_t *mskp_param_units(const mskp_graph *graph, mskp_param param, uint32_t axis,
                                          uint32_t *roles, size_t *count);

/* All roles of the parameter's axes together: does a score or a penalty with some of these roles
 * touch it? */
MSKP_API uint32_t mskp_param_roles(const mskp_graph *graph, mskp_param param);

/* The unit of each channel of a value; MSKP_PINNED for those that never leave. count may be NULL.
 */
MSKP_API const uint32_t *mskp_value_units(const mskp_graph *graph, mskp_value value, size_t *count);

/*
 * What a value is, and how much freedom is left in it: `units` different units among its channels,
 * besides `pinned` channels that never leave. tied_by is the value whose operator joined most of
 * the others with each other, in `tied` joins ({0}: none are joined), pinned_by the first that
 * pinned a channel of theirs or one tied to it ({0}: none).
 */
typedef struct mskp_value_info {
    const char *name;
    const char *op; /* "conv", "relu", "add" ... */
    uint32_t nspatial;
    size_t spatial[MSKP_MAX_SPATIAL];
    size_t channels, units, pinned, tied;
    mskp_value tied_by, pinned_by;
    size_t inexact;        /* channels that may leave, but change others' statistics when they do */
    mskp_value inexact_by; /* the first norm that sees one of them, or one tied to it; {0}: none */
} mskp_value_info;
/* MSKP_BAD_ARGUMENT for a handle that is not of this graph, MSKP_BAD_STATE before finish. */
MSKP_API mskp_status mskp_value_get_info(const mskp_graph *graph, mskp_value value,
                                         mskp_value_info *info, mskp_error *err);

/*
 * exact[u] <- 1 if unit u leaves without changing anything else, once its slices of these roles are
 * zero; else 0. Known before any training: what has to be penalized so that surgery costs nothing?
 * With gamma (MSKP_ROLE_SCALE) alone a unit of a batch norm with a shift still puts out a constant;
 * with gamma and beta it is silent behind relu, but not behind sigmoid; where MSKP_ROLE_CONSUMER is
 * zero nobody hears it. Never wrong when it says 1, as far as the description is true, and numbers
 * are finite (a zero column hears a quotient of two zeros). Operators of the host's own count as never
 * zero unless mskp_zero_if says more.
 *   roles   of MSKP_ROLES_UNIT; 0: as they are, with nothing zeroed
 *   units   length of exact, must be mskp_count().units
 */
MSKP_API mskp_status mskp_exact(const mskp_graph *graph, uint32_t roles, size_t units,
                                uint8_t *exact, mskp_error *err);

/* One slice of a parameter: everything with this index on this axis. */
typedef struct mskp_member {
    mskp_param param;
    uint32_t axis, index, roles;
} mskp_member;

/* The slices that leave with a unit, sorted by parameter, axis, index. count may be NULL. */
MSKP_API const mskp_member *mskp_unit_members(const mskp_graph *graph, size_t unit, size_t *count);

/* The family of each unit. count may be NULL. */
MSKP_API const uint32_t *mskp_unit_families(const mskp_graph *graph, size_t *count);

/* The units of one family, ascending. count may be NULL. */
MSKP_API const uint32_t *mskp_family_units(const mskp_graph *graph, size_t family, size_t *count);

/* ============================================================================================== */
/*                                          3. Scores                                             */
/* ============================================================================================== */

/* The norm of one slice. */
typedef enum mskp_norm_kind {
    MSKP_NORM_L1 = 0, /* sum |w| */
    MSKP_NORM_L2 = 1, /* sqrt(sum w^2) */
    MSKP_ENUM_IS_32_BITS(MSKP_NORM)
} mskp_norm_kind;

/* How the norms of a unit's slices become one number. */
typedef enum mskp_reduce {
    MSKP_REDUCE_SUM = 0,
    MSKP_REDUCE_MEAN = 1,
    MSKP_REDUCE_MAX = 2,
    MSKP_REDUCE_MIN = 3,
    MSKP_REDUCE_JOINT = 4, /* one norm over the elements of all slices together */
    MSKP_REDUCE_VOTE = 5,  /* [MaskSparsity]'s vote among tied batch norms: see vote_threshold */
    MSKP_ENUM_IS_32_BITS(MSKP_REDUCE)
} mskp_reduce;

/*
 * roles: which slices, by the bits MSKP_ROLE_FILTER, CONSUMER, SCALE and SHIFT; 0 means
 * MSKP_ROLE_SCALE. MSKP_ROLES_UNIT: all four. A unit is a set of elements: where two slices of one
 * tensor cross, the crossing belongs to the first of them (lower axis) alone.
 *
 * vote_threshold: for MSKP_REDUCE_VOTE, which follows the authors' published code: in each family,
 * every tied batch norm marks its channels with norm <= vote_threshold; let m be the smallest
 * number that any of them marks, and v the highest number of votes that at least m channels reach.
 * The score is the v-th smallest norm of the unit, so that mskp_select with the same threshold
 * removes the channels with at least v votes. With the other reductions it must be 0.
 */
typedef struct mskp_scoring {
    mskp_norm_kind norm;
    mskp_reduce reduce;
    uint32_t roles;
    double vote_threshold;
    uint64_t reserved[4];
} mskp_scoring;

/*
 * scores[u] <- how much unit u matters. scoring NULL: |gamma|, summed (network slimming: Liu et
 * al., ICCV 2017). Filters by L1 norm: Li et al., ICLR 2017. A unit of a residual stream has a
 * gamma in each of its batch norms, so that a sum favours it; MSKP_REDUCE_MEAN treats all alike.
 *   values  a set; only tensors with slices of these roles are read. NaN and infinities in slices
 *           of units are MSKP_BAD_NUMBER, and so are norms that no double holds; slices of pinned
 *           channels are not looked at.
 *   units   length of scores, must be mskp_count().units
 * A unit without any such slice scores +infinity: mskp_select never removes it. In a network without
 * batch norm that is all of them, with the default roles: ask for MSKP_ROLE_FILTER.
 */
MSKP_API mskp_status mskp_score(const mskp_graph *graph, const mskp_scoring *scoring, size_t params,
                                const mskp_tensor *values, size_t units, double *scores,
                                mskp_error *err);

/* The host's own numbers, one for each channel of a value. channels must be the value's. */
typedef struct mskp_channel_numbers {
    mskp_value value;
    size_t channels;
    const double *numbers;
} mskp_channel_numbers;

/* scores[u] <- the numbers of all channels of unit u in the n values given, reduced by SUM, MEAN,
 * MAX or MIN; +infinity for units that occur in none of them. For activations, relevance or anything
 * else that the host measures. Infinities are numbers here (mskp_select refuses -infinity). NaN is
 * refused, and so are infinities of both signs that would make one, and finite numbers whose sum is
 * not finite. */
MSKP_API mskp_status mskp_score_channels(const mskp_graph *graph, size_t n,
                                         const mskp_channel_numbers *given, mskp_reduce reduce,
                                         size_t units, double *scores, mskp_error *err);

/* ============================================================================================== */
/*                                         4. Keep mask                                           */
/* ============================================================================================== */

/* Multiply-accumulates of convolutions and linear layers (norms, activations, pooling count 0) for
 * one input, and elements of parameters (running statistics count 0). Whole numbers, exact. */
typedef struct mskp_cost {
    double macs, params;
} mskp_cost;

/*
 * The cost of the network under a mask. keep NULL: of the whole network (units is then ignored).
 *   total      may be NULL
 *   per_value  NULL, or an array of mskp_count().values + 1 (entry 0: 0): the cost by the value
 * that the operator makes; a parameter counts for the value that it was first bound to
 */
MSKP_API mskp_status mskp_measure(const mskp_graph *graph, size_t units, const uint8_t *keep,
                                  mskp_cost *total, mskp_cost *per_value, mskp_error *err);

/*
 * What is set holds, all of it; what is 0 is not asked. At least one demand must be asked.
 *
 * Demands on which units go (they never fail: floors, caps, locks and rounding hold units back):
 *   use_threshold, threshold   remove every unit with score <= threshold; use_threshold 0: not
 *                              asked, and threshold must be 0
 *   remove_family_fraction     remove floor(fraction x size) units of each family, in [0, 1]; units
 *                              that are locked or score +infinity are passed over
 * Demands on how much goes (MSKP_NO_SOLUTION if it cannot be reached):
 *   remove_fraction            remove at least floor(fraction x units) units, in [0, 1]
 *   max_macs, max_params       leave at most so many. Absolute: half of the first network is
 *                              0.5 * first.macs, in whatever round
 * Limits:
 *   min_channels               no value and no axis keeps fewer channels (or all, if it has fewer);
 *                              0 means 1
 *   round_to                   families shrink in blocks, so that they keep a multiple; 0 means 1
 *   max_family_fraction        no family loses more than floor(fraction x size); 0 means no cap
 *   locked                     [units], nonzero: stays; NULL: none
 * Fractions forgive the rounding of decimal numbers: 0.29 of 100 is 29.
 */
typedef struct mskp_rule {
    uint32_t use_threshold;
    double threshold;
    double remove_family_fraction;
    double remove_fraction;
    double max_macs, max_params;
    size_t min_channels;
    size_t round_to;
    double max_family_fraction;
    const uint8_t *locked;
    uint64_t reserved[8];
} mskp_rule;

/* What mskp_select did. The last three: axes with prunable channels that do not keep a multiple of
 * round_to (some are pinned, or a floor held them back): how many, and the first. */
typedef struct mskp_selection {
    size_t removed;
    mskp_cost cost;
    size_t unrounded;
    mskp_param unrounded_param;
    uint32_t unrounded_axis;
} mskp_selection;

/*
 * keep[u] <- 1 or 0. Units go smallest score first, ties by unit number (-0 equals 0). A family
 * collects its units in that order and gives them up in blocks of round_to (the first block takes
 * the remainder); a block that would break a limit closes its family. First the units that
 * threshold and remove_family_fraction name; then further units until every demand on amounts
 * holds, and not one block more. So a smaller budget removes a superset.
 *
 * +infinity is never removed; NaN and -infinity are MSKP_BAD_NUMBER. selection may be NULL. With
 * MSKP_NO_SOLUTION keep is not touched, the sentence names the demand, what was asked and the least
 * that can be had, and selection tells that end of the walk.
 */
MSKP_API mskp_status mskp_select(const mskp_graph *graph, size_t units, const double *scores,
                                 const mskp_rule *rule, uint8_t *keep, mskp_selection *selection,
                                 mskp_error *err);

/* ============================================================================================== */
/*                                        Masks as files                                          */
/* ============================================================================================== */

/* What decides the meaning of a mask, as one number: names and shapes of parameters, names and
 * lengths of values, and the unit of each channel and index of them. Not spatial sizes, roles,
 * costs. The same on every machine and for every build of the library, so that ranks can compare
 * it. 0 before finish and for NULL, never 0 after. */
MSKP_API uint64_t mskp_fingerprint(const mskp_graph *graph);

/*
 * text <- the mask as lines of text, to be read by people, compared by diff, and put into a file by
 * the host: docs/mask-file.md. What is kept of every family and every value, by name, and the
 * fingerprint. Equal masks (what is nonzero, not which number) of equal networks are equal texts.
 *   room    bytes that text has room for, the terminating 0 included; ignored if text is NULL
 *   text    NULL: only *length is wanted
 *   length  receives the length without the terminating 0, also where the room is too small: that
 *           is MSKP_BAD_ARGUMENT, and text is as it was
 * Allocates nothing.
 */
MSKP_API mskp_status mskp_mask_write(const mskp_graph *graph, size_t units, const uint8_t *keep,
                                     size_t room, char *text, size_t *length, mskp_error *err);

/*
 * keep[u] <- 1 or 0, from such a text: `length` bytes without a terminating 0. Lines may end in \n
 * or \r\n. All or nothing: a text that has been cut short, or that contradicts itself, is
 * MSKP_BAD_TEXT, with a sentence that says in which line and how; one of another network is
 * MSKP_OTHER_NETWORK, with the first name or length that differs; one of a later version of the
 * format is MSKP_UNSUPPORTED. The text may come from anywhere.
 */
MSKP_API mskp_status mskp_mask_read(const mskp_graph *graph, size_t length, const char *text,
                                    size_t units, uint8_t *keep, mskp_error *err);

/* both[u] <- 1 or 0: two rounds of pruning as one mask of the first network. keep: the first
 * round's. small_keep: the second's, over the units of the smaller graph, which are as many as keep
 * keeps. both may be keep, or small_keep where that has room for `units`. */
MSKP_API mskp_status mskp_mask_compose(const mskp_graph *first, size_t units, const uint8_t *keep,
                                       size_t small_units, const uint8_t *small_keep, uint8_t *both,
                                       mskp_error *err);

/* ============================================================================================== */
/*                                         5. Penalty                                             */
/* ============================================================================================== */

typedef enum mskp_penalty_kind {
    MSKP_L1 = 0,        /* R = sum |w|; its gradient is sign(w), 0 at 0 */
    MSKP_SMOOTH_L1 = 1, /* w^2 / (2 knee) below the knee, |w| - knee/2 above (Huber) */
    MSKP_L2 = 2,        /* sum w^2 / 2 */
    MSKP_ENUM_IS_32_BITS(MSKP_PENALTY)
} mskp_penalty_kind;

typedef enum mskp_target {
    MSKP_ON_REMOVED = 0, /* keep[u] == 0: [MaskSparsity] */
    MSKP_ON_ALL = 1,     /* every unit (Liu et al., ICCV 2017); keep may be NULL */
    MSKP_ON_KEPT = 2,
    MSKP_ENUM_IS_32_BITS(MSKP_TARGET)
} mskp_target;

/*
 * roles: which slices, as in mskp_scoring; 0 means MSKP_ROLE_SCALE (gamma). gamma and beta:
 * MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT. MSKP_ON_ALL means all units: pinned channels are never
 * penalized. knee >= 0, of MSKP_SMOOTH_L1, which at 0 is L1; the other kinds ignore it.
 * unit_weight: [units], a factor >= 0 for each unit's part of R; NULL: 1 each. An element that
 * belongs to two units counts for both.
 *
 * skip_missing: nonzero: a tensor without data, in values or in gradients, is passed over instead
 * of being MSKP_NO_DATA. For frozen parameters, for what lives on a device, and for trainers that
 * update layer by layer: in that layer's update, sets that hold nothing but its tensors.
 *
 * A product of alpha (or eta) and a unit_weight that is not finite is MSKP_BAD_NUMBER.
 */
typedef struct mskp_penalty {
    mskp_penalty_kind kind;
    mskp_target target;
    uint32_t roles;
    uint32_t skip_missing;
    double knee;
    const double *unit_weight;
    uint64_t reserved[4];
} mskp_penalty;

/*
 * gradients += alpha * dR/dw. penalty NULL: masked L1 on gamma, s * sum |gamma_c| over the channels
 * c that will be removed ([MaskSparsity], the regularization term of its loss).
 *   alpha   signed, finite: s; s * loss scale; -s * batch where a host keeps negative summed
 *           gradients; 0 is allowed
 *   values, gradients   sets; only slices in `roles` of targeted units are touched, and only
 *           tensors that hold some need data. A tensor whose gradient has no data is MSKP_NO_DATA,
 *           one that is its own gradient MSKP_OVERLAP.
 * Call it once per optimizer step, after accumulation and all-reduce, before the step. It reads
 * values in their own precision and rounds once into the gradient's. Weights that are not finite go
 * through without an error, as they do through an optimizer: NaN has the sign of its bit.
 */
MSKP_API mskp_status mskp_penalty_gradient(const mskp_graph *graph, size_t units,
                                           const uint8_t *keep, const mskp_penalty *penalty,
                                           double alpha, size_t params, const mskp_tensor *values,
                                           const mskp_tensor *gradients, mskp_error *err);

/* values <- prox of eta * R (for L1: soft threshold), after the optimizer's step; the form to use
 * under Adam, where a gradient is rescaled. eta = learning rate * s >= 0, finite. */
MSKP_API mskp_status mskp_penalty_shrink(const mskp_graph *graph, size_t units, const uint8_t *keep,
                                         const mskp_penalty *penalty, double eta, size_t params,
                                         const mskp_tensor *values, mskp_error *err);

/* values <- values * steps_left / (steps_left + 1), after the optimizer's step: a straight line to
 * zero. steps_left: optimizer steps still to come after this one; with 0 the targeted slices are
 * exactly +0. Of `penalty` the fields target, roles and skip_missing count; NULL: gamma of what is
 * removed. */
MSKP_API mskp_status mskp_penalty_deadline(const mskp_graph *graph, size_t units,
                                           const uint8_t *keep, const mskp_penalty *penalty,
                                           uint64_t steps_left, size_t params,
                                           const mskp_tensor *values, mskp_error *err);

/* values <- +0 in the targeted slices, to see what surgery will do before doing it (on a copy).
 * With roles MSKP_ROLES_UNIT, surgery then leaves the outputs as they are, unless inexact units leave
 * (mskp_norm_desc.accept_inexact) or something is not finite (a quotient of two zeros). Of `penalty`
 * the fields target, roles and skip_missing count; NULL: gamma of what is removed. */
MSKP_API mskp_status mskp_penalty_zero(const mskp_graph *graph, size_t units, const uint8_t *keep,
                                       const mskp_penalty *penalty, size_t params,
                                       const mskp_tensor *values, mskp_error *err);

/* *value <- R, for logs. */
MSKP_API mskp_status mskp_penalty_value(const mskp_graph *graph, size_t units, const uint8_t *keep,
                                        const mskp_penalty *penalty, size_t params,
                                        const mskp_tensor *values, double *value, mskp_error *err);

/* ============================================================================================== */
/*                                        6. Constants                                            */
/* ============================================================================================== */

/*
 * A channel whose gamma is 0 still puts out f(beta), the same at every position and for every input;
 * one whose filter is zero, f(bias). Cutting it takes that from all that read it. This step hands
 * such constants on before the cut, on the values at full size: once a host has zeroed what it
 * removes (mskp_penalty_zero, or training that ended there), outputs then stay what they are.
 *
 *   fold    into the bias of the operator that reads them (one that others use only if all of them
 *           need the same); or, where that has none and nothing but batch norms with running means
 *           of their own reads its result, into these means. Instance norms without running
 *           statistics take away by themselves what is the same everywhere. Exact where every
 *           position of the result sees the same weights; at the border of an image that is padded
 *           with zeros it does not.
 *   merge   one of the removed units stays and carries all constants of what reads it: its filters
 *           and scales become 0, its biases and shifts 1, and its column in what reads it the
 *           weighted sum of the columns that leave. Exact with any padding. It costs a unit, on top
 *           of the budget; mskp_constants_carriers tells which, for mskp_rule.locked.
 *   drop    neither: they are lost, as by surgery alone.
 *
 * What cannot be exact is named, with a bound, before anything is written: a host can train on, or
 * put its penalty on beta, too. Where a gate multiplies f(beta) (squeeze and excitation), the
 * product differs from input to input: neither way helps, only a beta of 0 does.
 *
 * Channels of units that leave are followed through the operators that the library knows; those of
 * the host's own count as not constant unless mskp_zero_if says that they are zero.
 *
 * Needs descriptions that say what is computed: padding of convolutions, epsilon of norms, kinds and
 * parameters of functions, keeps_constants of pools. Of a batch norm without a mean or a variance,
 * channels whose gamma is 0 are constantly beta; its others are not constant.
 *
 *     mskp_constants_create(graph, units, keep, NULL, params, values, kept, &constants, &err);
 *     mskp_constants_total(constants, &total, &err);
 *     if (total.bound <= tolerable) {
 *         mskp_plan_create(graph, units, kept, &plan, &small, &err);
 *         mskp_constants_apply(constants, params, values, &err);
 *         mskp_constants_carriers(constants, units, carrier, &err);
 *         for (size_t u = 0, n = 0; u < units; u++)
 *             if (kept[u]) locked[n++] = carrier[u];
 *         mskp_plan_cut(plan, params, 1, &(mskp_move){values, NULL}, &err);
 *     }
 *     mskp_constants_destroy(constants);
 *
 * It is kept that is cut, not keep: units that carry leave with keep, and their constants with them
 * (one array may serve as both). Unit u has become the unit numbered by the kept units below u:
 * locked is mskp_rule.locked of the next round, in small. A round that hands constants on again need
 * not lock: it may merge carriers of the last one with what it removes itself, into one. Each call
 * can fail, of course, and then the next must not follow; the plan comes first because it is what
 * refuses a mask that leaves a value without channels, and nothing is written yet. A mask file that
 * is to lead to the same network holds kept where values are those after apply, keep where another
 * process hands constants on itself; two rounds are composed of kept.
 */
typedef struct mskp_constants mskp_constants;

typedef enum mskp_constants_way {
    MSKP_CONSTANTS_AUTO = 0, /* fold where exact; merge where that is worth a unit; else what loses
                                less */
    MSKP_CONSTANTS_DROP = 1,
    MSKP_CONSTANTS_FOLD = 2,  /* also where it is not exact; drop where there is no place for it */
    MSKP_CONSTANTS_MERGE = 3, /* fold where exact; merge wherever a unit can carry; else as AUTO */
    MSKP_ENUM_IS_32_BITS(MSKP_CONSTANTS)
} mskp_constants_way;

/*
 *   zeroed       slices of removed units with these roles (of MSKP_ROLES_UNIT) are taken for zero,
 *                and set to zero by mskp_constants_apply. 0: values are as they are
 *   merge_above  for AUTO: merge where an output channel would otherwise be off by more than this
 *                share of what it varies by if the inputs that stay have variance 1 (the root of the
 *                sum of its squared weights), in [0, 1); 0 means 0.01
 */
typedef struct mskp_constants_desc {
    mskp_constants_way way;
    uint32_t zeroed;
    double merge_above;
    uint64_t reserved[4];
} mskp_constants_desc;

/*
 * Works out what becomes of the constants of the units that leave. Writes nothing but kept: a
 * preview, until mskp_constants_apply.
 *   desc    NULL: AUTO, and values as they are
 *   values  a set; only what has to be read, or would be written, needs data. NaN and infinities in
 *           what is read are MSKP_BAD_NUMBER, and so are results that do not fit their tensor's
 *           dtype
 *   kept    [units] receives keep, and 1 for carriers: the mask for mskp_plan_create; may be keep
 * The graph must live as long as the result is asked or applied.
 */
MSKP_API mskp_status mskp_constants_create(const mskp_graph *graph, size_t units,
                                           const uint8_t *keep, const mskp_constants_desc *desc,
                                           size_t params, const mskp_tensor *values, uint8_t *kept,
                                           mskp_constants **constants, mskp_error *err);

/* constants may be NULL. Also after mskp_graph_destroy. */
MSKP_API void mskp_constants_destroy(mskp_constants *constants);

/*
 * One operator that hears channels that leave: its weights for them, towards what stays, are not
 * all zero, and neither are they (norms whose statistics run over channels hear zeros, too).
 *   consumer, reads  its value, and the value whose channels these are; of an operator of the host's
 *                    own that one twice
 *   weight           its weight; {0}: a norm whose statistics see them, or attention's products
 *   folded, merged, dropped   how many channels, constant ones, by what becomes of them
 *   live             how many are not constant
 *   into             what was folded into: its bias, or the first mean behind it; {0}: nothing
 *   carriers         units that stay in order to carry what was merged here
 *   exact            1: nothing is lost here. If what it reads is what it was, so is its result, up
 *                    to rounding to the tensors' dtypes
 *   bound            0 if exact. Else no element of its result is further off, if the channels that
 *                    it still reads are what they were. Infinity: there is no bound, as where
 *                    channels are not constant
 *   share            the same, as a share of what an output channel varies by: the unit of
 *                    merge_above, which can be compared between consumers. The largest, maybe that
 *                    of another channel. Infinity also where no other weight of it is left
 *   why              why it is not exact; NULL if it is
 * Where norms behind it take constants away, by running means or by statistics of their own, exact,
 * bound and share are about its result minus the mean, with which they go on.
 */
typedef struct mskp_constants_report {
    mskp_value consumer, reads;
    mskp_param weight, into;
    size_t folded, merged, dropped, live, carriers;
    uint32_t exact;
    double bound, share;
    const char *why;
} mskp_constants_report;

/* How many reports there are, in the order of the description, those of mskp_bind after all others.
 * 0 for NULL. */
MSKP_API size_t mskp_constants_count(const mskp_constants *constants);
MSKP_API mskp_status mskp_constants_get(const mskp_constants *constants, size_t index,
                                        mskp_constants_report *report, mskp_error *err);

/* Sums over all consumers; carriers: all units that carry; exact: all are; bound, share: the largest;
 * why: of the first that is not exact. Handles are 0. */
MSKP_API mskp_status mskp_constants_total(const mskp_constants *constants,
                                          mskp_constants_report *total, mskp_error *err);

/* carrier[u] <- 1 if unit u stays in order to carry constants, else 0. Its gamma says nothing of
 * its worth from then on: mskp_rule.locked. */
MSKP_API mskp_status mskp_constants_carriers(const mskp_constants *constants, size_t units,
                                             uint8_t *carrier, mskp_error *err);

/*
 * Writes it to the values that mskp_constants_create has seen, or to a copy of them (of other
 * strides, or of another dtype that holds the same numbers), all or nothing. Sums are in double
 * precision, rounded once. Then mskp_plan_create with kept, and the cut. Optimizer states of what is
 * written are the host's to reset.
 *
 * Checked before: each element of a bias or mean that a constant is added to, and of a carrier's
 * column that a sum replaces, must be the number that it was. So a second time is refused (unless
 * the first only set elements to 0 or 1, which it may do again), and so are values that were trained on, if that changed one of these
 * elements. Other elements are not compared: beta, the weights that sums are made of, and what
 * becomes 0 or 1 whatever it was.
 *   MSKP_BAD_STATE      an element is not the number that it was
 *   MSKP_OVERLAP        a tensor that is written shares memory with another one, or axes of a view
 *                       do not nest
 *   MSKP_BAD_NUMBER     an element is not finite, or a result does not fit the tensor's dtype
 *   MSKP_NO_DATA        a tensor that is written has no data
 *   MSKP_BAD_SHAPE      a view has another shape than its parameter
 *   MSKP_BAD_ARGUMENT   NULL; entry 0 is set; a dtype that is none, or, where it is written, not one
 *                       of numbers; data that is not aligned
 *   MSKP_OTHER_NETWORK  another number of parameters
 *   MSKP_NO_MEMORY
 */
MSKP_API mskp_status mskp_constants_apply(const mskp_constants *constants, size_t params,
                                          const mskp_tensor *values, mskp_error *err);

/* ============================================================================================== */
/*                                            A report                                            */
/* ============================================================================================== */

/* scores: [units], what the mask was chosen by, or NULL. NaN and -infinity are MSKP_BAD_NUMBER;
 * +infinity stands in the report as null.
 * constants: what becomes of constants, of this graph, or NULL; keep is then the mask that
 * mskp_constants_create made (kept): another one is MSKP_BAD_ARGUMENT. */
typedef struct mskp_report {
    const double *scores;
    const mskp_constants *constants;
    uint64_t reserved[7];
} mskp_report;

/*
 * text <- what the mask does to the network, as JSON (RFC 8259, UTF-8) for other tools:
 * docs/report-schema.json. Widths and costs before and after, kept indices, and scores, of every
 * family and every value; who hears constants, and what becomes of them. Numbers read back as the
 * doubles that they were. Of a name that is not UTF-8, each byte that does not belong becomes
 * U+FFFD. keep NULL: the whole network (units is then ignored). report may be NULL. room, text and
 * length: as for mskp_mask_write.
 */
MSKP_API mskp_status mskp_report_json(const mskp_graph *graph, size_t units, const uint8_t *keep,
                                      const mskp_report *report, size_t room, char *text,
                                      size_t *length, mskp_error *err);

/* ============================================================================================== */
/*                                         7. Surgery                                             */
/* ============================================================================================== */

typedef struct mskp_plan mskp_plan;

/*
 * What has to be cut, worked out. Refuses a mask that would leave a value or an axis empty. The
 * plan keeps what it needs: the graph may be destroyed.
 *   plan   receives the plan, the caller's to destroy
 *   small  NULL, or receives the network after surgery: a finished graph, the caller's to destroy,
 *          with the same names, the same ids and smaller shapes. Unit u becomes the unit numbered
 *          by the kept units below u, so that the host can carry its own arrays over.
 */
MSKP_API mskp_status mskp_plan_create(const mskp_graph *graph, size_t units, const uint8_t *keep,
                                      mskp_plan **plan, mskp_graph **small, mskp_error *err);
MSKP_API void mskp_plan_destroy(mskp_plan *plan); /* plan may be NULL */

/* The indices that stay, ascending, for hosts that gather by themselves and to correct padding
 * counts, slice bounds and the like. What else a host may have to write anew: a grouped convolution
 * has new in channels / length of weight axis 1 groups, a transposed one new out channels / length
 * of that axis; an attention of MSKP_HEADS as many key and value heads as NAME.heads has channels,
 * and heads / kv_heads as before; a group norm whose groups leave whole as many groups as stay, each
 * as wide as before.
 * NULL with *count set: all of them stay (of an axis that is bound to no channels, too). NULL with
 * *count 0: no such thing. count may be NULL. */
MSKP_API const uint32_t *mskp_plan_param(const mskp_plan *plan, mskp_param param, uint32_t axis,
                                         size_t *count);
MSKP_API const uint32_t *mskp_plan_value(const mskp_plan *plan, mskp_value value, size_t *count);

/* The same the other way round: map[i] <- the index that index i has after surgery, MSKP_REMOVED if
 * it leaves. n must be the full length of the axis or value. MSKP_BAD_ARGUMENT: no such thing;
 * MSKP_BAD_SHAPE: another n. */
#define MSKP_REMOVED UINT32_MAX
MSKP_API mskp_status mskp_plan_param_map(const mskp_plan *plan, mskp_param param, uint32_t axis,
                                         size_t n, uint32_t *map, mskp_error *err);
MSKP_API mskp_status mskp_plan_value_map(const mskp_plan *plan, mskp_value value, size_t n,
                                         uint32_t *map, mskp_error *err);

/* How many of the channels first .. first+count-1 of a value stay; those beyond its end count as
 * none. A slice's new first channel is the count of what was before it, a padding's new widths are
 * the counts of its zeros. 0 for a handle that is not of the plan's graph. */
MSKP_API size_t mskp_plan_count(const mskp_plan *plan, mskp_value value, size_t first,
                                size_t count);

/*
 * small[] <- the views that full[] becomes when cut in place. What was dense stays dense, in its
 * own order of axes; what has gaps keeps its strides. The lowest address is kept (so with a
 * negative stride data moves). Views without data get their new shapes, too. small may be full.
 *   params  mskp_count().params; entries 1 to params of both sets are used
 */
MSKP_API mskp_status mskp_plan_views(const mskp_plan *plan, size_t params, const mskp_tensor *full,
                                     mskp_tensor *small, mskp_error *err);

/* One set to cut. to NULL: in place, and from's views get their new shapes, also those without data
 * that said one. */
typedef struct mskp_move {
    mskp_tensor *from;
    const mskp_tensor *to;
} mskp_move;

/*
 * Cuts all sets, or none: every view of every set is checked before the first byte moves. Tensors
 * without data in from are skipped; what `to` says of them must fit.
 *   params  mskp_count().params, as above
 *   to      has the small shapes ({.data = p} alone means packed) and from's dtype; it may point
 *           anywhere, with any strides. Where it overlaps a tensor that is still to be read, it
 *           must lie at or below its own source, with the strides that mskp_plan_views gives (a
 *           host's arena, closed up); anything else is MSKP_OVERLAP. Tensors are moved in
 *           ascending order of address.
 * Allocates only while checking.
 */
MSKP_API mskp_status mskp_plan_cut(const mskp_plan *plan, size_t params, size_t sets,
                                   const mskp_move *moves, mskp_error *err);

/*
 * The way back: to <- from in the full shape, with zeros (all bytes 0) where something was removed.
 * All sets or none; every view of every set is checked before the first byte is written.
 *   from  has the small shapes ({.data = p} alone means packed). Tensors without data are skipped,
 *         and their `to` stays as it was.
 *   to    has the full shapes and from's dtype; not NULL. No tensor of it may share a byte with
 *         another tensor of any set, or with its own source: MSKP_OVERLAP.
 * Cutting the result gives `from` again. As a network it computes what the small one does, unless
 * inexact units left: what reads a restored channel has zeros for it (its running variance is 0,
 * too, and epsilon keeps that finite). Constants that were handed on stay where they were put: for
 * the network as it was before, keep a copy. Allocates only while checking.
 */
MSKP_API mskp_status mskp_plan_restore(const mskp_plan *plan, size_t params, size_t sets,
                                       const mskp_move *moves, mskp_error *err);

/* ============================================================================================== */
/*                                 Bare arrays: no graph needed                                   */
/* ============================================================================================== */

/* In these four no pointer but keep may be NULL, unless n is 0. */

/* g[i] += alpha * sign(w[i]) where keep[i] == 0 (keep NULL: everywhere). sign(+-0) is 0; the sign
 * is read from its bit, so that denormal numbers count in every floating-point mode. */
MSKP_API void mskp_l1_gradient_f32(size_t n, const float *w, const uint8_t *keep, float alpha,
                                   float *g);
MSKP_API void mskp_l1_gradient_f64(size_t n, const double *w, const uint8_t *keep, double alpha,
                                   double *g);

/* w[i] <- sign(w[i]) * max(0, |w[i]| - step) where keep[i] == 0 (keep NULL: everywhere). step >= 0
 */
MSKP_API void mskp_l1_shrink_f32(size_t n, float *w, const uint8_t *keep, float step);
MSKP_API void mskp_l1_shrink_f64(size_t n, double *w, const uint8_t *keep, double step);

/* to[..., i, ...] <- from[..., index[i], ...] for i < n along one axis; any order, repetitions
 * allowed. Both views complete (ndim set); to has n on that axis, and must not overlap from. host:
 * NULL, or whose memory the check of overlaps may use. */
MSKP_API mskp_status mskp_take(const mskp_host *host, const mskp_tensor *from, uint32_t axis,
                               size_t n, const uint32_t *index, const mskp_tensor *to,
                               mskp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_H */

/*
 * mskp - pruning-aware regularization of convolutional networks: masks, masked penalties, surgery
 *
 * Copyright (c) 2026, the mskp authors. BSD-2-Clause, see LICENSE.
 *
 * mskp makes a convolutional network smaller while your program trains it. The program describes
 * the network by names and shapes. mskp finds the channels that can only be removed together
 * (units), scores them, selects which to keep, adds a penalty to the others during training, and
 * cuts every tensor down to the channels that are kept:
 *
 *     describe  ->  units  ->  scores  ->  keep mask  ->  penalty  ->  constants  ->  surgery
 *
 * The method: N. Jiang, X. Zhao, C. Zhao, Y. An, M. Tang, J. Wang, "Pruning-aware Sparse
 * Regularization for Network Pruning", Machine Intelligence Research 20(1), 2023 (arXiv
 * 2201.06776), called [MaskSparsity] below. Twelve calls do the whole job:
 *
 *     #include <mskp.h>
 *     #include <stdio.h>
 *     static float filter[8 * 27], gamma[8] = {9, 1, 8, 2, 7, 3, 6, 4}, head[2 * 8], slope[8];
 *     static mskp_tensor value[3], gradient[3]; // one view per parameter
 *     static mskp_conv_desc first, last;
 *     static mskp_norm_desc norm;
 *     static mskp_rule rule;
 *     int main(void)
 *     {
 *         size_t image[2] = {32, 32}, w0[4] = {8, 3, 3, 3}, w1[1] = {8}, w2[4] = {2, 8, 1, 1};
 *         const mskp_tensors values = {3, value}, gradients = {3, gradient};
 *         double score[8];
 *         unsigned char stays[8];
 *         const mskp_scores scores = {8, score}; // one number per unit
 *         const mskp_mask keep = {8, stays};     // one flag per unit
 *         const mskp_move move = {values, MSKP_INIT};
 *         mskp_plan *plan;
 *         mskp_error err;
 *         mskp_graph *g = mskp_graph_create(NULL);
 *         first.weight = mskp_parameter(g, "conv.weight", 4, w0), value[0].data = filter;
 *         norm.scale = mskp_parameter(g, "bn.weight", 1, w1), value[1].data = gamma;
 *         last.weight = mskp_parameter(g, "head.weight", 4, w2), value[2].data = head;
 *         mskp_value x = mskp_conv(g, "conv", mskp_input(g, "image", 3, 2, image), &first);
 *         mskp_output(g, mskp_conv(g, "head", mskp_norm(g, "bn", x, &norm), &last));
 *         rule.remove_fraction = 0.5, gradient[1].data = slope;
 *         int bad = mskp_graph_finish(g, &err) || mskp_score(g, NULL, values, scores, &err) ||
 *                   mskp_select(g, scores, &rule, keep, NULL, &err);
 *         for (int step = 0; step < 50 && !bad; step++) { // forward and backward, then:
 *             bad = mskp_penalty_gradient(g, keep, NULL, 1, values, gradients, &err) != MSKP_OK;
 *             for (int i = 0; i < 8; i++) gamma[i] -= .1f * slope[i], slope[i] = 0;
 *         }
 *         if (bad || mskp_plan_create(g, keep, &plan, NULL, &err) ||
 *             mskp_plan_cut(plan, 1, &move, &err)) return puts(err.text);
 *         return printf("%u channels stay\n", (unsigned)value[1].shape[0]) < 0;
 *     }
 *
 * This header holds what a ResNet with batch norm needs, in the order of use, and all kinds of
 * norms, activations and pooling. Others hold the rest: mskp/operators.h (other operators, and
 * primitives), mskp/constants.h (what a removed channel still outputs), mskp/methods.h (more scores
 * and penalties; with OpenBLAS: mskp/blas.h), mskp/rules.h, mskp/tools.h (masks as text, undo).
 *
 * A graph holds names and shapes, never a pointer to your data. Tensors (values, gradients,
 * momentum) stay yours: a set of views is passed to each call, and no call keeps a pointer. Scores
 * and masks are your arrays, one entry per unit. A length of another network is refused. These
 * rules hold for every function unless its comment says otherwise:
 *
 *   errors     A call that can fail returns an mskp_status; MSKP_OK is 0. A call that fails changes
 *              nothing but *err (so let output pointers start as NULL), which then holds the status
 *              and one sentence. A call that succeeds does not touch *err. err may be NULL.
 *              A call modifies only what its comment names as an output (x <- ..., x += ...).
 *   pointers   A NULL that the comment does not allow is MSKP_ERROR_BAD_ARGUMENT (or BAD_NAME).
 *              An array that is written must overlap no other; arrays per unit are checked for it.
 *   threads    One thread at a time may describe a graph. Any number of threads may use a finished
 *              graph or a plan at once, each with its own tensors. The library starts no threads.
 *   memory     All memory comes from the caller's allocator (mskp_services). The calls for a
 *              training step (mskp_penalty_*) allocate nothing.
 *   results    The same input gives the same result, bit for bit, with any number of threads.
 *   options    The zero value of every field of every struct is its default. MSKP_INIT sets it.
 *   handles    Handle {0} means "none", or that an earlier call failed.
 *   growth     Within one soname no struct, enumerator or parameter changes. Functions, and
 *              enumerators at the end, may be added.
 *
 * The library never prints, exits, aborts or opens files, and it has no global state. MSKP_STABLE
 * marks what version 1.0 will promise to keep, MSKP_EXPERIMENTAL what may change even then. In
 * version 0 everything may change; docs/changes.md lists the changes.
 */
#ifndef MSKP_H
#define MSKP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
/* clang-format off */
#define MSKP_INIT {}
#else
#define MSKP_INIT {0}
/* clang-format on */
#endif

#define MSKP_VERSION_MAJOR 0
#define MSKP_VERSION_MINOR 2
#define MSKP_VERSION_PATCH 0
#define MSKP_VERSION       200 /* major * 10000 + minor * 100 + patch */
#ifndef MSKP_API /* the build of the shared library defines it, to export what has it */
#define MSKP_API
#endif
#define MSKP_STABLE       MSKP_API
#define MSKP_EXPERIMENTAL MSKP_API

/* ---- Status, errors, services --------------------------------------------------------------- */
#define MSKP_STATUS_TABLE(X)                                                       \
    X(MSKP_OK, 0, "success")                                                       \
    X(MSKP_ERROR_NO_MEMORY, 1, "the allocator returned NULL")                      \
    X(MSKP_ERROR_BAD_ARGUMENT, 2, "an argument is outside its range")              \
    X(MSKP_ERROR_BAD_SHAPE, 3, "shapes do not fit")                                \
    X(MSKP_ERROR_BAD_NAME, 4, "a name is missing, used twice, or contains blanks") \
    X(MSKP_ERROR_BAD_STATE, 5, "called too early, or too late")                    \
    X(MSKP_ERROR_BAD_NUMBER, 6, "a number is not finite, or has the wrong sign")   \
    X(MSKP_ERROR_NO_DATA, 7, "a tensor that must be touched has no data")          \
    X(MSKP_ERROR_OVERLAP, 8, "arrays overlap where they must not")                 \
    X(MSKP_ERROR_NO_SOLUTION, 9, "no mask satisfies the rule")                     \
    X(MSKP_ERROR_OTHER_NETWORK, 10, "made for another network")                    \
    X(MSKP_ERROR_UNSUPPORTED, 11, "this combination is not supported")             \
    X(MSKP_ERROR_BAD_TEXT, 12, "a text is not what it should be")

typedef enum mskp_status {
#define MSKP_X(name, value, text) name = value,
    MSKP_STATUS_TABLE(MSKP_X)
#undef MSKP_X
} mskp_status; /* what a call returns; mskp_status_text has the texts */

typedef struct mskp_error { /* what a call that failed leaves in *err */
    mskp_status status;
    char text[252]; /* a sentence that names the thing and, where two numbers disagree, both */
} mskp_error;

typedef struct mskp_services mskp_services; /* the caller's memory and threads: mskp/tools.h */

/* ---- Tensors -------------------------------------------------------------------------------- */
#define MSKP_MAX_DIMS 6
/* clang-format off */
typedef enum mskp_dtype { /* F16: IEEE binary16. BF16: bfloat16. BYTES_n can only be cut. */
    MSKP_DTYPE_F32 = 0, MSKP_DTYPE_F64 = 1, MSKP_DTYPE_F16 = 2, MSKP_DTYPE_BF16 = 3,
    MSKP_DTYPE_BYTES_1 = 16, MSKP_DTYPE_BYTES_2 = 17, MSKP_DTYPE_BYTES_4 = 18,
    MSKP_DTYPE_BYTES_8 = 19, MSKP_DTYPE_BYTES_16 = 20
} mskp_dtype;
/* clang-format on */
/*
 * A view of one parameter's elements (or of its gradient, its momentum ...) in the caller's memory.
 * {.data = p} alone is a packed float tensor.
 *   data      NULL: the tensor is not here (frozen, on a device, not made yet). Surgery skips it; a
 *             call that must read it fails with MSKP_ERROR_NO_DATA. Otherwise it must be aligned to
 *             the size of an element (16-byte elements to 8).
 *   ndim      0: the parameter's shape, packed in row-major order. Otherwise shape must equal it.
 *   stride    in elements, per axis of the parameter; all 0: packed. A convolution weight
 *             [O][I][H][W] that lies in memory as O,H,W,I has the strides {H*W*I, 1, W*I, I}.
 *             Negative strides are allowed; those of axes of length 1 are ignored. The axes must
 *             nest: sorted by |stride|, each steps over all that the smaller ones span, as in every
 *             permuted, sliced, padded or reversed array. Otherwise: MSKP_ERROR_OVERLAP.
 *   elements  how many elements were allocated; 0: unknown. Set it: views that do not fit, or were
 *             cut already, are then refused. Surgery in place corrects it.
 * Penalties, surgery and mskp_constants_apply check ndim and elements of all views, also of those
 * that they do not touch, so a wrong view shows in the first step. Overlaps of data: see each call.
 */
typedef struct mskp_tensor {
    void *data;
    mskp_dtype dtype;
    uint32_t ndim;
    size_t shape[MSKP_MAX_DIMS];
    ptrdiff_t stride[MSKP_MAX_DIMS];
    size_t elements;
} mskp_tensor;

/* A set: one view per parameter, in the order of declaration. n must be mskp_graph_counts().params.
 * The view of parameter p is *mskp_tensor_of(set, p). */
typedef struct mskp_tensors {
    size_t n;
    mskp_tensor *view;
} mskp_tensors;

/* ---- 1. Describe the network ---------------------------------------------------------------- */
typedef struct mskp_graph mskp_graph; /* a network: names, shapes, what is tied to what */

/* A parameter: a named tensor of the network. Ids count from 1 in the order of declaration. */
typedef struct mskp_param {
    uint32_t id;
} mskp_param;

/* A value: what flows between operators, an ordered list of channels, all with the same spatial
 * axes (0 to 3). Ids count from 1 in the order of the operators. */
typedef struct mskp_value {
    uint32_t id;
} mskp_value;
#define MSKP_MAX_SPATIAL 3

/* NULL for a handle that is not of the set's network, such as {0}. */
static inline mskp_tensor *mskp_tensor_of(mskp_tensors set, mskp_param param)
{
    return param.id - 1 < set.n ? &set.view[param.id - 1] : NULL;
}

/* Makes an empty graph. services: copied, or NULL (malloc, no threads). Returns NULL: no memory. */
MSKP_STABLE mskp_graph *mskp_graph_create(const mskp_services *services);
/* Frees a graph, which may be NULL. Plans that were made from the graph stay valid. */
MSKP_STABLE void mskp_graph_destroy(mskp_graph *graph);

/*
 * Ends the description and finds the units. Calls that describe need no checks of their own: the
 * first error is kept, later calls return handle {0} or that status, and mskp_graph_finish returns
 * the error. It also refuses a parameter that no operator uses, and networks of more than 2^53
 * multiply-accumulates or elements. After MSKP_ERROR_NO_MEMORY it may be called again. A finished
 * graph is immutable: calls that describe return {0} or MSKP_ERROR_BAD_STATE.
 */
MSKP_STABLE mskp_status mskp_graph_finish(mskp_graph *graph, mskp_error *err);

/* Declares a parameter with ndim axes (1 to MSKP_MAX_DIMS), none of length 0. The name is copied;
 * it must be unique among parameters, not empty, and free of blanks and control characters. Tied
 * weights are one parameter of several operators; channels on which these disagree are pinned. Make
 * one call per statement, since C does not fix the order in which arguments are evaluated. */
MSKP_STABLE mskp_param mskp_parameter(mskp_graph *graph, const char *name, uint32_t ndim,
                                      const size_t *shape);

/* Operators. Each makes one value, whose name must be unique among values, with the same rules;
 * NULL derives a name from the operator and the id: "relu#7". */

/* The network's input: channels with nspatial axes (0 to 3) of the lengths in spatial, which may be
 * NULL if nspatial is 0. Its channels are pinned: they are never removed. */
MSKP_STABLE mskp_value mskp_input(mskp_graph *graph, const char *name, size_t channels,
                                  uint32_t nspatial, const size_t *spatial);
/* Declares a value an output of the network and pins its channels. May be called for several
 * values. Without it, the classes of a classifier may be removed like any other channels. */
MSKP_STABLE mskp_status mskp_output(mskp_graph *graph, mskp_value value);

/* How the channels of a grouped convolution or group norm may be removed. AUTO is WHOLE for a
 * convolution whose groups read one channel each (depthwise), and TIED otherwise. */
typedef enum mskp_grouping {
    MSKP_GROUPING_AUTO = 0,
    MSKP_GROUPING_TIED = 1, /* position p of all groups together, so the groups stay equal */
    MSKP_GROUPING_WHOLE = 2 /* whole groups, with everything that they read and make */
} mskp_grouping;
/* What is beyond the border, for mskp/constants.h; EXTENDED: reflect, replicate or circular. */
typedef enum mskp_padding { MSKP_PADDING_ZEROS = 0, MSKP_PADDING_EXTENDED = 1 } mskp_padding;

/*
 * Convolution over 1 to 3 spatial axes, as many as the input has. Makes one new channel per filter.
 *   weight       [out][in / groups][kernel ...]; bias [out], or {0} for none
 *   stride, dilation, pad_before, pad_after
 *                per spatial axis. A stride or dilation of 0 means 1. Entries for axes that the
 *                input does not have must be 0.
 *   groups       0 means 1. grouping is ignored if there is one group.
 *   output_pad   must be 0 here; see mskp_conv_transposed
 * Cost in multiply-accumulates (MACs): output positions x elements of the weight.
 */
typedef struct mskp_conv_desc {
    mskp_param weight, bias;
    size_t stride[MSKP_MAX_SPATIAL];
    size_t pad_before[MSKP_MAX_SPATIAL], pad_after[MSKP_MAX_SPATIAL];
    size_t dilation[MSKP_MAX_SPATIAL];
    size_t groups;
    mskp_grouping grouping;
    mskp_padding padding;
    size_t output_pad[MSKP_MAX_SPATIAL];
} mskp_conv_desc;
MSKP_STABLE mskp_value mskp_conv(mskp_graph *graph, const char *name, mskp_value in,
                                 const mskp_conv_desc *desc);

/* Fully connected layer, applied to each spatial position alone. weight: [out][in]; bias: [out], or
 * {0}. To mix positions, mskp_flatten the input first (after a global pool there is one). */
MSKP_STABLE mskp_value mskp_linear(mskp_graph *graph, const char *name, mskp_value in,
                                   mskp_param weight, mskp_param bias);
/* clang-format off */
typedef enum mskp_norm_kind { /* GROUP, LAYER, RMS: statistics over several channels */
    MSKP_NORM_BATCH = 0, MSKP_NORM_INSTANCE = 1, MSKP_NORM_AFFINE = 2, /* without statistics */
    MSKP_NORM_GROUP = 3, MSKP_NORM_LAYER = 4, MSKP_NORM_RMS = 5        /* without a mean */
} mskp_norm_kind;
/* clang-format on */
/*
 * Normalization by scale (gamma), shift (beta), mean and variance (running): [channels] or {0}.
 *   groups, grouping  of a group norm; groups 0 means 1. MSKP_GROUPING_WHOLE is exact, because the
 *                     statistics are removed with their group. Other kinds ignore grouping.
 *   accept_inexact    Statistics over several channels change when one is removed, even a zero one.
 *                     Such channels are pinned unless accept_inexact is nonzero.
 *   epsilon           0 (meaning 1e-5) to 1, for the constants of batch norms. With
 *                     epsilon_outside_root the norm divides by sqrt(variance) + epsilon.
 */
typedef struct mskp_norm_desc {
    mskp_param scale, shift, mean, variance;
    mskp_norm_kind kind;
    mskp_grouping grouping;
    size_t groups;
    uint32_t accept_inexact, epsilon_outside_root;
    double epsilon;
} mskp_norm_desc;
MSKP_STABLE mskp_value mskp_norm(mskp_graph *graph, const char *name, mskp_value in,
                                 const mskp_norm_desc *desc);
/* clang-format off */
typedef enum mskp_activation_kind {
    MSKP_ACTIVATION_IDENTITY = 0, /* also dropout and casts */
    MSKP_ACTIVATION_RELU = 1, MSKP_ACTIVATION_RELU6 = 2, MSKP_ACTIVATION_SIGMOID = 5,
    MSKP_ACTIVATION_LEAKY_RELU = 3, /* parameters[0]: the slope, 0 means 0.01 */
    MSKP_ACTIVATION_ELU = 4,        /* parameters[0]: alpha, 0 means 1 */
    MSKP_ACTIVATION_TANH = 6, MSKP_ACTIVATION_SILU = 7, MSKP_ACTIVATION_HARD_SIGMOID = 9,
    MSKP_ACTIVATION_GELU = 8, MSKP_ACTIVATION_GELU_TANH = 12, MSKP_ACTIVATION_HARD_SWISH = 10,
    MSKP_ACTIVATION_CUSTOM = 11,  /* function(x, parameters), see mskp/constants.h; or NULL */
    MSKP_ACTIVATION_MULTIPLY = 13 /* parameters[0]: the constant factor */
} mskp_activation_kind;
/* clang-format on */
/* A function of each element by itself, without trained parameters; desc NULL: the identity. It is
 * kept for reports and constants, and ties nothing. Parameters without a use must be 0. */
#define MSKP_MAX_FUNCTION_PARAMETERS 4
typedef struct mskp_activation_desc {
    mskp_activation_kind kind;
    double (*function)(double x, const double *parameters);
    double parameters[MSKP_MAX_FUNCTION_PARAMETERS];
} mskp_activation_desc;
MSKP_STABLE mskp_value mskp_activation(mskp_graph *graph, const char *name, mskp_value in,
                                       const mskp_activation_desc *desc);
/* clang-format off */
typedef enum mskp_pool_kind { /* RESIZE: interpolation, sampling, cropping, padding */
    MSKP_POOL_MAX = 0, MSKP_POOL_AVERAGE = 1, MSKP_POOL_GLOBAL_MAX = 2,
    MSKP_POOL_GLOBAL_AVERAGE = 3, MSKP_POOL_RESIZE = 4
} mskp_pool_kind;
/* clang-format on */
/*
 * Pooling over the spatial axes of each channel by itself. The global kinds read the whole image
 * and keep the number of spatial axes, each of length 1.
 *   size, stride, pad_before, pad_after
 *              per spatial axis. A size of 0 means 1, a stride of 0 the size. Entries for axes that
 *              the input does not have must be 0.
 *   ceil_mode  nonzero: a last, partial window counts if it starts inside the image or its left pad
 *   spatial    nonzero: the length of the result on that axis. MSKP_POOL_RESIZE needs it, and
 *              everything else must then be 0.
 *   keeps_constants   see mskp/constants.h
 */
typedef struct mskp_pool_desc {
    mskp_pool_kind kind;
    uint32_t ceil_mode, keeps_constants;
    size_t size[MSKP_MAX_SPATIAL], stride[MSKP_MAX_SPATIAL];
    size_t pad_before[MSKP_MAX_SPATIAL], pad_after[MSKP_MAX_SPATIAL];
    size_t spatial[MSKP_MAX_SPATIAL];
} mskp_pool_desc;
MSKP_STABLE mskp_value mskp_pool(mskp_graph *graph, const char *name, mskp_value in,
                                 const mskp_pool_desc *desc);
/* clang-format off */
typedef enum mskp_combine_kind {
    MSKP_COMBINE_ADD = 0, MSKP_COMBINE_SUBTRACT = 1, MSKP_COMBINE_MULTIPLY = 2,
    MSKP_COMBINE_MAXIMUM = 3, MSKP_COMBINE_MINIMUM = 4, MSKP_COMBINE_AVERAGE = 5,
    MSKP_COMBINE_DIVIDE = 6
} mskp_combine_kind;
/* clang-format on */
/* Combines n >= 1 values element by element (a residual addition, a gate). Their numbers of
 * channels must be equal, and the channels are tied position by position: they can only be removed
 * together. A value with one channel is broadcast over channels, a spatial axis of length 1 over
 * positions, and a value without spatial axes over all positions. */
MSKP_STABLE mskp_value mskp_combine(mskp_graph *graph, const char *name, mskp_combine_kind kind,
                                    size_t n, const mskp_value *values);

/* ---- 2. Units: channels that are removed together ------------------------------------------- */
/*
 * A unit is a class of tied channels, none of them pinned. Units are numbered from 0 in the order
 * of their first channel. A family is all units that occur in the same values and axes, equally
 * often: what "layer" means for fractions, caps, rounding and votes. The counts are 0 before
 * mskp_graph_finish. mskp/tools.h finds parameters and values by name, and the units of each.
 */
typedef struct mskp_counts {
    size_t units, families, params, values;
} mskp_counts;
MSKP_STABLE mskp_counts mskp_graph_counts(const mskp_graph *graph);

/* One flag per unit: a keep mask (nonzero: the unit stays), or what the function says. */
typedef struct mskp_mask {
    size_t n; /* mskp_graph_counts().units */
    uint8_t *unit;
} mskp_mask;

/* What an axis is to its channels, as bits: a set of roles chooses slices to score or penalize. */
typedef enum mskp_role {
    MSKP_ROLE_OTHER = 0,    /* cut, but never scored or penalized */
    MSKP_ROLE_FILTER = 1,   /* the weight that makes the channels */
    MSKP_ROLE_CONSUMER = 2, /* the weight that reads the channels */
    MSKP_ROLE_SCALE = 4,    /* gamma */
    MSKP_ROLE_SHIFT = 8,    /* beta, or a bias */
    MSKP_ROLE_MEAN = 16,    /* running statistics */
    MSKP_ROLE_VARIANCE = 32
} mskp_role;
#define MSKP_ROLES_UNIT (MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER | MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT)

/* ---- 3. Scores ------------------------------------------------------------------------------ */
/* One number per unit. Units with small scores are removed first. */
typedef struct mskp_scores {
    size_t n; /* mskp_graph_counts().units */
    double *unit;
} mskp_scores;

/* The magnitude of one slice: sum |w|, or sqrt(sum w^2). */
typedef enum mskp_magnitude { MSKP_MAGNITUDE_L1 = 0, MSKP_MAGNITUDE_L2 = 1 } mskp_magnitude;

/* How the magnitudes of a unit's slices become one number. JOINT is one norm over the elements of
 * all slices together, VOTE the vote of [MaskSparsity] among tied batch norms. */
/* clang-format off */
typedef enum mskp_reduce {
    MSKP_REDUCE_SUM = 0, MSKP_REDUCE_MEAN = 1, MSKP_REDUCE_MAX = 2, MSKP_REDUCE_MIN = 3,
    MSKP_REDUCE_JOINT = 4, MSKP_REDUCE_VOTE = 5, MSKP_REDUCE_PRODUCT = 6
} mskp_reduce;
/* clang-format on */
/*
 *   roles    which slices, of MSKP_ROLES_UNIT; 0 means MSKP_ROLE_SCALE. An element where two
 *            slices of a unit in one tensor cross counts once, for the lower axis.
 *   vote_threshold   for MSKP_REDUCE_VOTE, otherwise 0. As in the authors' code, each tied batch
 *            norm marks its channels with magnitude <= vote_threshold. With m the smallest number
 *            that any of a family's norms marks, and v the most votes that at least m channels
 *            reach, the score is the unit's v-th smallest magnitude: mskp_select with the same
 *            threshold removes the channels with at least v votes.
 */
typedef struct mskp_scoring {
    mskp_magnitude magnitude;
    mskp_reduce reduce;
    uint32_t roles;
    double vote_threshold;
} mskp_scoring;

/*
 * scores.unit[u] <- how much unit u matters. scoring NULL: the sum of |gamma| (network slimming:
 * Liu et al., ICCV 2017). The L1 norm of filters: Li et al., ICLR 2017. A unit of a residual stream
 * has a gamma in each of its batch norms, so a sum favours it; MSKP_REDUCE_MEAN treats all alike.
 * Only tensors with slices in these roles are read. NaN and infinities in slices of units, and
 * magnitudes or scores that a double cannot hold, are MSKP_ERROR_BAD_NUMBER (but a tiny product is
 * 0); slices of pinned channels are not read. A unit without any such slice scores +infinity and is
 * never removed: in a network without batch norm, ask for MSKP_ROLE_FILTER.
 */
MSKP_STABLE mskp_status mskp_score(const mskp_graph *graph, const mskp_scoring *scoring,
                                   mskp_tensors values, mskp_scores scores, mskp_error *err);

/* ---- 4. Selection: the keep mask ------------------------------------------------------------ */
/* The cost of one input: multiply-accumulates of convolutions and linear layers (norms, activations
 * and pooling count 0), and elements of parameters (running statistics count 0). Whole numbers. */
typedef struct mskp_cost {
    double macs, params;
} mskp_cost;

/*
 * *total <- the cost of the network under a mask; keep {0, NULL} means of the whole network. total
 * may be NULL. per_value, NULL or an array of mskp_graph_counts().values, receives the cost of the
 * operator that makes each value, by ascending id; a shared parameter counts for its first user.
 */
MSKP_STABLE mskp_status mskp_measure(const mskp_graph *graph, mskp_mask keep, mskp_cost *total,
                                     mskp_cost *per_value, mskp_error *err);

/*
 * All nonzero fields apply together; zero fields are ignored. At least one demand must be set.
 * Demands on which units are removed. They cannot fail; limits hold units back:
 *   use_threshold, threshold   remove every unit with score <= threshold
 *   remove_family_fraction     remove floor(fraction x size) units of each family, in [0, 1]; units
 *                              that are locked or score +infinity are passed over
 * Demands on how much is removed. MSKP_ERROR_NO_SOLUTION if the limits forbid it:
 *   remove_fraction            remove at least floor(fraction x units) units, in [0, 1]
 *   max_macs, max_params       leave at most so many. They are absolute: half of the original
 *                              network is 0.5 * original.macs in every round.
 * Limits:
 *   min_channels               no value and no axis keeps fewer channels (or all, if it has fewer);
 *                              0 means 1
 *   round_to                   families shrink in blocks, so they keep a multiple; 0 means 1
 *   max_family_fraction        no family loses more than floor(fraction x size); 0 means no limit
 *   locked                     one flag per unit, nonzero: it stays; {0, NULL}: none
 *   empty_branches             nonzero: a family may lose all if a branch goes with it: mskp_fate
 * In mskp/rules.h: families, fractions and limits of single families (nfamilies, or NULL); and
 * budgets, nbudgets further demands on how much: bytes, memory for activations, time.
 * Fractions tolerate the rounding of decimal numbers: 0.29 of 100 is 29.
 */
typedef struct mskp_rule {
    uint32_t use_threshold;
    double threshold, remove_family_fraction;
    double remove_fraction, max_macs, max_params;
    size_t min_channels, round_to;
    double max_family_fraction;
    mskp_mask locked;
    uint32_t empty_branches;
    size_t nfamilies, nbudgets;
    const struct mskp_family_rule *families;
    const struct mskp_budget *budgets;
} mskp_rule;

/* What mskp_select did. unrounded: axes with prunable channels that keep no multiple of a family's
 * round_to (some channels are pinned, or a floor held them back); the last two name the first. */
typedef struct mskp_selection {
    size_t removed, unrounded;
    mskp_cost cost;
    mskp_param unrounded_param;
    uint32_t unrounded_axis;
} mskp_selection;

/*
 * keep.unit[u] <- 1 or 0. Units are removed in the order of their scores, smallest first, ties by
 * unit number (-0 equals 0). A family collects its units in that order and gives them up in blocks
 * of round_to (the first block takes the remainder); a block that would break a limit closes its
 * family. The units named by threshold and remove_family_fraction come first; then further blocks,
 * until every demand on amounts holds, and not one block more. So a smaller budget removes a
 * superset. +infinity is never removed; NaN and -infinity are MSKP_ERROR_BAD_NUMBER. selection may
 * be NULL. On MSKP_ERROR_NO_SOLUTION keep is not touched, the sentence names the demand, what was
 * asked and the least that is possible, and *selection describes the end of the walk.
 */
MSKP_STABLE mskp_status mskp_select(const mskp_graph *graph, mskp_scores scores,
                                    const mskp_rule *rule, mskp_mask keep,
                                    mskp_selection *selection, mskp_error *err);

/* ---- 5. Penalty: each training step --------------------------------------------------------- */
/* L1: R = sum |w|, with the gradient sign(w), 0 at 0. SMOOTH_L1 (Huber): w^2 / (2 knee) below the
 * knee, |w| - knee / 2 above. L2: R = sum w^2 / 2. */
/* clang-format off */
typedef enum mskp_penalty_kind {
    MSKP_PENALTY_L1 = 0, MSKP_PENALTY_SMOOTH_L1 = 1, MSKP_PENALTY_L2 = 2
} mskp_penalty_kind;
/* Which units; pinned channels belong to none. REMOVED: those with keep 0 ([MaskSparsity]). ALL
 * (Liu et al., ICCV 2017): keep may be {0, NULL}. */
typedef enum mskp_target {
    MSKP_TARGET_REMOVED = 0, MSKP_TARGET_ALL = 1, MSKP_TARGET_KEPT = 2
} mskp_target;
/* clang-format on */
/*
 *   roles          which slices, of MSKP_ROLES_UNIT; 0 means MSKP_ROLE_SCALE (gamma). gamma and
 *                  beta: MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT
 *   knee           >= 0, for MSKP_PENALTY_SMOOTH_L1 (0: the same as L1); other kinds ignore it
 *   unit_weight    NULL, or a factor per unit for its part of R, >= 0 in a proximal map. An element
 *                  of two units counts for both. strength x unit_weight must be finite.
 *   skip_missing   nonzero: a tensor without data is passed over, not MSKP_ERROR_NO_DATA
 *   low_precision  F16 and BF16 lose small steps, and no error says so. This counts them, or rounds
 *                  such that none is lost: mskp_low_precision in mskp/tools.h. NULL: neither.
 */
typedef struct mskp_penalty {
    mskp_penalty_kind kind;
    mskp_target target;
    uint32_t roles, skip_missing;
    double knee;
    const double *unit_weight;
    const struct mskp_low_precision *low_precision;
} mskp_penalty;

/*
 * gradients += strength * dR/dw, once per optimizer step, after accumulation and all-reduce.
 * penalty NULL: masked L1 on gamma, the regularization term of [MaskSparsity]. A channel with gamma
 * 0 still outputs f(beta): where norms have a beta, penalize SCALE | SHIFT, or use
 * mskp/constants.h. The penalty can reach zero if strength / (1 - momentum) * (sum of the learning
 * rates) exceeds the largest marked |gamma|; see docs/guide.md. strength is finite and signed, or
 * 0: strength * scale with a loss scale, -strength * batch for trainers that keep negative summed
 * gradients. Only slices in `roles` of targeted units are touched, and only their tensors need
 * data. A tensor that is its own gradient is MSKP_ERROR_OVERLAP. Each result is rounded once, to
 * its tensor's dtype. Weights that are not finite pass without an error.
 */
MSKP_STABLE mskp_status mskp_penalty_gradient(const mskp_graph *graph, mskp_mask keep,
                                              const mskp_penalty *penalty, double strength,
                                              mskp_tensors values, mskp_tensors gradients,
                                              mskp_error *err);
/* values <- the proximal map of step * R (for L1: the soft threshold), after the optimizer's step.
 * For Adam, which rescales gradients. step = learning rate * strength, 0 or more. */
MSKP_STABLE mskp_status mskp_penalty_prox(const mskp_graph *graph, mskp_mask keep,
                                          const mskp_penalty *penalty, double step,
                                          mskp_tensors values, mskp_error *err);
/* values <- values * steps_left / (steps_left + 1), after the optimizer's step: a straight line to
 * zero. steps_left counts the optimizer steps after this one; with 0 the targeted slices become
 * exactly +0. NULL: gamma of removed units. penalty->kind, knee and unit_weight do not count. */
MSKP_STABLE mskp_status mskp_penalty_deadline(const mskp_graph *graph, mskp_mask keep,
                                              const mskp_penalty *penalty, uint64_t steps_left,
                                              mskp_tensors values, mskp_error *err);

/* ---- 6. Surgery (before it mskp/constants.h, unless beta is zero, too) ---------------------- */
typedef struct mskp_plan mskp_plan; /* for each axis, the indices that stay */

/*
 * *plan <- what has to be cut. A mask may leave a value without channels only if an addition or a
 * concatenation does without it and all that depends on it alone (mskp_fate in mskp/tools.h). The
 * plan does not need the graph afterwards; free it with mskp_plan_destroy.
 *   small  NULL, or receives the network after surgery: a finished graph with the same names and
 *          ids and smaller shapes; free it with mskp_graph_destroy. Unit u becomes the unit
 *          numbered by the kept units below u, so arrays per unit can be carried over.
 */
MSKP_STABLE mskp_status mskp_plan_create(const mskp_graph *graph, mskp_mask keep, mskp_plan **plan,
                                         mskp_graph **small, mskp_error *err);
MSKP_STABLE void mskp_plan_destroy(mskp_plan *plan); /* plan may be NULL */

/* One set to cut. to {0, NULL}: in place, and the views in `from` receive their new shapes, also
 * views without data that had one. */
typedef struct mskp_move {
    mskp_tensors from, to;
} mskp_move;

/*
 * Cuts n sets (values, gradients, momentum, averages ...), or none: every view is checked before
 * the first byte moves. Tensors of `from` without data are skipped. In place, dense tensors stay
 * dense in their own order of axes, tensors with gaps keep their strides, and the lowest address
 * stays. The call allocates only while it checks.
 *   to   has the small shapes ({.data = p} alone means packed) and from's dtype, anywhere, with any
 *        strides. Where it overlaps a tensor that is still to be read, it must lie at or below its
 *        own source, with the strides of mskp_plan_views; otherwise MSKP_ERROR_OVERLAP. Tensors
 *        move in ascending order of address.
 */
MSKP_STABLE mskp_status mskp_plan_cut(const mskp_plan *plan, size_t n, const mskp_move *moves,
                                      mskp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_H */

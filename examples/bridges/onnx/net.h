/*
 * An ONNX graph as mskp sees it.
 *
 *     infer (shapes, known numbers)  ->  describe (channels)  ->  a mask and a plan, by mskp  ->
 *     cut  ->  for each node: correct (what states widths), infer again, and compare
 *
 * An axis of a tensor is a product of factors: positions x channels x positions. What is cut are
 * indices of axes of data, and each index belongs to one unit, so only one factor of an axis can
 * carry channels; along the others they repeat. (Heads that are merged into the batch are an axis
 * N x heads, for example.) The value of mskp's graph that flows in a tensor has a channel for each
 * index of one axis, with these repetitions, and all other axes are positions. describe_shape.c
 * says how a Reshape moves the factor from axis to axis. Hidden units over tokens are a second axis
 * of channels, see describe_second.c. Where an operator would need more axes than that, or where
 * its effect on channels cannot be proved, channels are pinned, which is always correct.
 */
#ifndef ONNX_NET_H
#define ONNX_NET_H

#include "fold.h"

enum { NO_AXIS = MAX_RANK };

/* A shape. Lengths that the model leaves open have the number that the caller gave; varies is set
 * for them, as in `numbers`. */
typedef struct dims {
    size_t rank;
    size_t dim[MAX_RANK];
    uint8_t varies[MAX_RANK];
} dims;

/* Whether no length is 0, and the number of elements cannot overflow sums and products in this
 * program. */
bool is_sound(const dims *d);

/* The product of the lengths of axes first .. last-1. */
size_t product_of(const dims *d, size_t first, size_t last);

/* Known numbers may be computed from lengths of a tensor (its index in net.tensors) and so follow
 * these axes (a bit for each): they change when the tensor is cut. */
typedef struct followed {
    size_t tensor;
    uint32_t axes;
} followed;

/* Another axis of channels, which may be removed; value {0}: there is none. */
typedef struct second_axis {
    mskp_value value;
    size_t axis;
} second_axis;

typedef enum sign { ANY_SIGN, NOT_NEGATIVE, POSITIVE } sign;

typedef struct tensor {
    const char *name;
    bool sized;       /* the shape is known */
    bool stated;      /* ... from the file alone: it could not be inferred */
    bool known;       /* the numbers are known before the network runs */
    bool released;    /* ... and not kept, because they are many */
    bool varied;      /* one of the released numbers followed an open length */
    bool shared;      /* this is another name of a tensor that something else reads */
    bool uncounted;   /* a node whose cost is not known reads the data (of the root) */
    bool zeroable;    /* each channel is zero, once all slices of its unit are */
    bool unnamed;     /* the name is taken in the graph of mskp */
    mskp_value value; /* what flows in the tensor; {0}: nothing does */
    dims dims;
    int32_t type; /* a TensorProto.DataType of ONNX; 0: not known */
    sign sign;    /* of all numbers that flow */
    /* The known numbers, and the tensors whose lengths they follow. */
    numbers numbers;
    followed *follows;
    size_t follow_count;
    size_t shape_of;    /* the result of a Shape: the index of its tensor, + 1 */
    size_t shape_first; /* ... and its first axis */
    /* Data of the file. Axis k is axis from[k] of the data; NO_AXIS: an axis of length 1, or along
     * which the data are repeated. */
    tensor_proto *data;
    size_t from[MAX_RANK];
    size_t root;   /* the first tensor with these data */
    size_t weight; /* of that tensor: the index in net.weights, + 1 */
    /* What flows has its channels on `axis`. pinned: the operator that pins all of them, in which
     * case any axis may be taken for theirs; NULL: they may be removed. The axis is a product outer
     * x channels x inner: the channels repeat along the other two factors, which are positions. 0
     * means 1. */
    size_t axis, outer, inner;
    const char *pinned;
    second_axis second;
    size_t uses;     /* how often nodes, graphs within nodes and outputs read the tensor */
    size_t consumer; /* the last node that reads the tensor, + 1 */
} tensor;

/* A parameter of mskp's graph. Declared axis j is axis order[j] of the data. */
typedef struct weight {
    tensor_proto *data;
    mskp_param param;
    uint32_t ndim;
    uint32_t order[MSKP_MAX_DIMS];
    bool locked; /* something else reads the data in a way that cannot follow a cut */
    /* For the copy of a vector that several nodes share: the node and the input that read the copy,
     * and the name of the original. */
    node_proto *user;
    size_t input;
    char *original;
} weight;

typedef struct removed {
    ProtobufCMessage *message;
} removed;

/* Nodes that were described together with an earlier node. WITHIN: inside a shuffle that becomes
 * one node, so the node need not be correct after the cut. */
enum { DONE = 1, DONE_WITHIN = 2 };

typedef struct net net;
typedef struct opening opening;

/* A channel shuffle, whose last node becomes a Gather if its groups lose different channels. */
typedef struct shuffle {
    size_t node;
    const char *source; /* the tensor from which the Gather reads */
    size_t each;        /* channels of a group */
} shuffle;

struct net {
    model *m;
    mskp_graph *graph; /* NULL: only shapes are needed */
    bool fixed;        /* nodes cannot be corrected, and data only be cut: describe_fixed.c */
    bool cuts;         /* the model will be cut here, so quantized parameters may be */
    tensor *tensors;
    size_t tensor_count;
    struct table *names;
    weight *weights;
    size_t weight_count, weight_capacity;
    shuffle *shuffles; /* in the order of the nodes */
    size_t shuffle_count;
    mskp_value *contracted; /* channels of two tensors that are multiplied and summed over */
    size_t contracted_count;
    struct quantized *quantized; /* parameters that are whole numbers: quantized.c */
    size_t quantized_count;
    uint8_t *done;        /* [nodes] 0, DONE or DONE_WITHIN */
    const char **reasons; /* by value id - 1: why the value is pinned; NULL: see its operator */
    size_t reason_capacity;
    struct opening *openings; /* open lengths of inputs */
    size_t opening_count;
    uint8_t last_length;      /* the last number that names a length, see `varies` */
    const struct net *before; /* the network before the cut; NULL: this is the one */
    struct {
        size_t nodes; /* nodes that multiply, and whose costs are not known */
        double parameters;
        const node_proto *first;
    } uncounted;
    uint64_t taken; /* inputs (bits) of the current node whose data need not be pinned */
    /* Messages that were removed from the model. They stay in memory, because names of tensors
     * point into them. */
    removed *removed;
    size_t removed_count;
    size_t batch;
    size_t node;  /* the current node */
    size_t stuck; /* the node at which rewrite_network failed, + 1 */
    failure *f;
};

/* Numbers for open lengths, as "name=7" or, for lengths without a name, "input:axis=7". A length
 * that is the first one of an input is otherwise taken for 1. */
typedef struct lengths {
    size_t count;
    const char *const *text;
    const char *option; /* what gives them is called so */
} lengths;

/* Collects names, inputs and initializers. Refuses a node that reads a tensor which nothing before
 * it makes. graph may be NULL. */
bool net_open(net *n, model *m, mskp_graph *graph, const lengths *l, failure *f);
void net_close(net *n);

/* Takes a new initializer into the network, after net_open. */
tensor *net_adopt(net *n, tensor_proto *data);

tensor *net_tensor(const net *n, const char *name); /* NULL: there is none, or the name is "" */
tensor *net_input(const net *n, const node_proto *node, size_t k);
tensor *net_output(const net *n, const node_proto *node, size_t k);

/* Whether these are axes of channels that may be removed. */
bool follows_width(const net *n, const followed *f);

/* The numbers of a tensor; NULL: they are not known. */
const numbers *known_numbers(const net *n, tensor *t);
bool is_flow(const tensor *t);

/* ---- attributes ---- */
int64_t attribute_int(const node_proto *node, const char *name, int64_t otherwise);
double attribute_float(const node_proto *node, const char *name, double otherwise);
const char *attribute_text(const node_proto *node, const char *name, const char *otherwise);
bool is_op(const node_proto *node, const char *op);

/* axes[d] <- whether axis d is in the list of the attribute axes or, from opset `since` on, of
 * input k. *given: whether there is a list. False: the list is not known. */
bool node_axes(const net *n, const node_proto *node, size_t k, size_t since, size_t rank,
               uint8_t axes[MAX_RANK], bool *given);
/* *to <- an axis in [-rank, rank) as an index. False: it is outside. */
bool to_axis(int64_t axis, size_t rank, size_t *to);

/* Strides, pads ... of a node with a window over spatial axes, with defaults and auto_pad
 * resolved. */
typedef struct window {
    size_t axes;
    size_t size[MSKP_MAX_SPATIAL], stride[MSKP_MAX_SPATIAL], dilation[MSKP_MAX_SPATIAL];
    size_t before[MSKP_MAX_SPATIAL], after[MSKP_MAX_SPATIAL], out[MSKP_MAX_SPATIAL];
    size_t output_pad[MSKP_MAX_SPATIAL];
    bool ceil;
} window;
/* For a transposed convolution; false with auto_pad or output_shape. */
bool node_transposed(const node_proto *node, const dims *in, const size_t *kernel, window *w);
bool node_window(const node_proto *node, const dims *in, const size_t *kernel, window *w);

/* A Slice: which elements of each axis it reads. */
typedef struct slicing {
    int64_t start[MAX_RANK], step[MAX_RANK];
    size_t count[MAX_RANK];
    bool open[MAX_RANK];      /* where the slice begins or ends follows an open length */
    uint8_t varies[MAX_RANK]; /* of its length then, as in `dims` */
} slicing;
bool node_slicing(const net *n, const node_proto *node, const dims *in, slicing *s);
/* The lengths of the parts of a Split. */
bool node_parts(const net *n, const node_proto *node, size_t length, size_t parts, size_t *widths);
/* A Resize or Upsample: the length of each axis of the result, and whether the axis is scaled. A
 * factor other than 1 may leave a length as it is, because lengths are rounded. */
typedef struct resizing {
    size_t out[MAX_RANK];
    uint8_t varies[MAX_RANK];
    bool scaled[MAX_RANK];
} resizing;
bool node_resizing(const net *n, const node_proto *node, const dims *in, resizing *r);
/* axis[i] <- the axis of entry i in a Resize's list of sizes or scales. Returns the number of
 * entries; 0: the list of axes is wrong. */
size_t resized_axes(const node_proto *node, size_t rank, size_t axis[MAX_RANK]);
/* The widths of a Pad before and after each axis, and whether they follow open lengths. */
typedef struct padding {
    int64_t before[MAX_RANK], after[MAX_RANK];
    bool open[MAX_RANK];
} padding;
bool node_pads(const net *n, const node_proto *node, size_t rank, padding *p);

/* ---- the stages ---- */

/* Infers shapes and numbers of the outputs of one node, of all nodes. What cannot be known stays
 * unknown. False: no memory. */
bool infer_node(net *n, const node_proto *node);
/* Gives back long lists of numbers that no node behind the current one reads. */
void release_numbers(net *n, const node_proto *node);
bool infer_network(net *n);
/* The opset from which on a reduction has its axes as an input. */
size_t reduce_since(const node_proto *node);

/* Describes the network in mskp's graph. */
bool describe_network(net *n);

/* Real numbers that the file stores, without running statistics: all, and those that no operator of
 * mskp's graph has. copies: whether copies of shared vectors count. */
typedef struct file_parameters {
    double all, others;
} file_parameters;
file_parameters count_parameters(const net *n, bool copies);

/* values, a set of mskp's graph, <- views of the data of all weights. False: n->f holds the
 * sentence. */
bool network_values(net *n, mskp_tensors values);

/* Sets the whole numbers of quantized parameters to zero where their real numbers are. */
void requantize(net *n);
/* Cuts them as the plan cuts their real numbers, which it has not cut yet. */
bool cut_quantized(net *n, const mskp_plan *plan);
/* *d <- the shape of data that belong to one of them, after the cut. False: they do not. */
bool quantized_dims(const net *n, const tensor_proto *data, dims *d);
void net_free_quantized(net *n);
/* Their elements: all, and those of parameters that no operator of mskp's graph has. */
file_parameters count_quantized(const net *n);

/* Cuts the data, corrects nodes that state widths, and compares every shape with the one that it
 * must be. After a failure the model is of no further use. */
bool rewrite_network(net *n, const mskp_plan *plan, mskp_tensors values, const lengths *l);

#endif

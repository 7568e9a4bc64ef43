/*
 * An ONNX graph as mskp sees it.
 *
 *     infer (shapes, numbers)  ->  describe (channels)  ->  a mask and a plan, by mskp  ->  cut
 *     ->  for each node: mend (what names widths), infer again, and compare
 *
 * Each tensor has at most one axis of channels, and then a value of mskp's graph; its other axes are
 * positions. Where an operator would need more than one, or where its effect on channels cannot be
 * proved, channels are pinned: that is always right.
 */
#ifndef ONNX_NET_H
#define ONNX_NET_H

#include "fold.h"

enum { NO_AXIS = MAX_RANK };

/* A shape, and which lengths the model leaves open: they are taken for what the caller says. varies: as
 * of numbers. */
typedef struct dims {
    size_t rank;
    size_t dim[MAX_RANK];
    uint8_t varies[MAX_RANK];
} dims;

/* Of the lengths of axes first .. last-1. */
size_t product_of(const dims *d, size_t first, size_t last);

/* Numbers that follow the lengths of a tensor: its index in net.tensors, and a bit for each axis. */
typedef struct followed {
    size_t tensor;
    uint32_t axes;
} followed;

typedef struct tensor {
    const char *name;
    bool sized;       /* the shape is known */
    bool known;       /* what it holds is, before the network runs */
    bool shared;      /* something else reads a tensor that this one is another name of */
    bool zeroable;    /* each channel is zero, once all that belongs to its unit is */
    mskp_value value; /* what flows, see below */
    dims dims;
    /* What is known; and the tensors whose lengths these numbers follow. */
    numbers numbers;
    followed *follows;
    size_t follow_count;
    size_t shape_of, shape_first; /* a Shape: of which tensor (+ 1), from which axis on */
    /* Data of the file: axis k is axis from[k] of the data; NO_AXIS: of length 1, or repeated. */
    tensor_proto *data;
    size_t from[MAX_RANK];
    size_t root, weight; /* the tensor that has the data first; its index in weights, + 1 */
    /* What flows. pinned: by which operator all its channels are pinned, and any axis may stand for
     * them; NULL: they may leave. */
    size_t axis;
    const char *pinned;
    size_t uses;     /* by nodes, graphs within nodes, outputs */
    size_t consumer; /* the last node that reads it, + 1 */
} tensor;

/* A parameter of mskp's graph: declared axis j is axis order[j] of the data. */
typedef struct weight {
    tensor_proto *data;
    mskp_param param;
    uint32_t ndim;
    uint32_t order[MSKP_MAX_DIMS];
    bool locked; /* something else reads it, too */
    /* A vector that several nodes share: this one's copy, and where it is read. */
    node_proto *user;
    size_t input;
    char *original;
} weight;

typedef struct removed {
    ProtobufCMessage *message;
} removed;

/* WITHIN: of a shuffle that becomes one node; whether it still fits does not matter. */
enum { DONE = 1, DONE_WITHIN = 2 };

typedef struct net net;

/* A node that becomes a Gather of channels: a shuffle, whose parts need not stay equal. */
typedef struct shuffle {
    size_t node;
    const char *source; /* what it gathers from */
    size_t each;        /* channels of a group */
} shuffle;

struct net {
    model *m;
    mskp_graph *graph; /* NULL: only shapes are wanted */
    tensor *tensors;
    size_t tensor_count;
    struct table *names;
    weight *weights;
    size_t weight_count, weight_capacity;
    shuffle *shuffles; /* in the order of the nodes */
    size_t shuffle_count;
    mskp_value *contracted; /* channels that two tensors multiply and sum over */
    size_t contracted_count;
    uint8_t *done;  /* [nodes] 1: described with one before */
    uint64_t taken; /* of the node at hand: inputs whose data are in the graph now */
    /* What was taken out of the model; names of tensors are of it. */
    removed *removed;
    size_t removed_count;
    size_t batch;
    size_t node;  /* the one at hand */
    size_t stuck; /* rewrite_network failed at this one, + 1 */
    failure *f;
};

/* lengths: what open lengths are taken for, "name=7"; without one, the first of an input is 1. */
typedef struct lengths {
    size_t count;
    const char *const *text;
} lengths;

/* Names, inputs, initializers; refuses what reads a tensor that nothing before it makes. graph may be NULL. */
bool net_open(net *n, model *m, mskp_graph *graph, const lengths *l, failure *f);
void net_close(net *n);

/* A new initializer, after net_open. */
tensor *net_adopt(net *n, tensor_proto *data);

tensor *net_tensor(const net *n, const char *name); /* NULL: none, or "" */
tensor *net_input(const net *n, const node_proto *node, size_t k);
tensor *net_output(const net *n, const node_proto *node, size_t k);

/* Every name that graphs within a node read, of that graph or of the one around it. */
typedef void net_reader(net *n, const char *name);
void net_within(net *n, const node_proto *node, net_reader *see);

/* These numbers follow the width of a tensor whose channels may leave now. */
bool follows_width(const net *n, const followed *f);

/* Of a type whose elements mskp computes with. */
bool is_real(const tensor_proto *data);

/* The numbers of a tensor, if they are known. */
const numbers *known_numbers(const net *n, tensor *t);
bool is_flow(const tensor *t);

/* ---- attributes ---- */
int64_t attribute_int(const node_proto *node, const char *name, int64_t otherwise);
double attribute_float(const node_proto *node, const char *name, double otherwise);
const char *attribute_text(const node_proto *node, const char *name, const char *otherwise);
bool is_op(const node_proto *node, const char *op);

/* Axes from the attribute, or from input k in opsets from `since` on. False: not known. all: also
 * if none are given. */
bool node_axes(const net *n, const node_proto *node, size_t k, size_t since, size_t rank,
               uint8_t axes[MAX_RANK], bool *given);
/* axis in [-rank, rank) as an index; false: outside. */
bool to_axis(int64_t axis, size_t rank, size_t *to);

/* A window's strides, pads ... of a node over spatial axes, explicit. */
typedef struct window {
    size_t axes;
    size_t size[MSKP_MAX_SPATIAL], stride[MSKP_MAX_SPATIAL], dilation[MSKP_MAX_SPATIAL];
    size_t before[MSKP_MAX_SPATIAL], after[MSKP_MAX_SPATIAL], out[MSKP_MAX_SPATIAL];
    size_t output_pad[MSKP_MAX_SPATIAL];
    bool ceil;
} window;
/* of: of a transposed convolution, without auto_pad and output_shape */
bool node_transposed(const node_proto *node, const dims *in, const size_t *kernel, window *w);
bool node_window(const node_proto *node, const dims *in, const size_t *kernel, window *w);

/* A Slice: which elements of each axis. */
typedef struct slicing {
    int64_t start[MAX_RANK], step[MAX_RANK];
    size_t count[MAX_RANK];
} slicing;
bool node_slicing(const net *n, const node_proto *node, const dims *in, slicing *s);
/* Widths of a Split's parts. */
bool node_parts(const net *n, const node_proto *node, size_t length, size_t parts, size_t *widths);
/* Before and after, per axis. */
bool node_pads(const net *n, const node_proto *node, size_t rank, int64_t before[MAX_RANK],
               int64_t after[MAX_RANK]);

/* ---- the stages ---- */

/* Shapes and numbers of what the node makes, of what all do. What cannot be known stays unknown.
 * False: no memory. */
bool infer_node(net *n, const node_proto *node);
bool infer_network(net *n);
/* From which opset on a reduction has its axes as an input. */
size_t reduce_since(const node_proto *node);

/* The node in mskp's graph. */
bool describe_network(net *n);

/* Real numbers that the file stores, but for running statistics: all, and those that no operator of
 * mskp's graph has. copies: with vectors that several nodes shared and that were copied. */
typedef struct file_parameters {
    double all, others;
} file_parameters;
file_parameters count_parameters(const net *n, bool copies);

/* The views of values <- the data of all weights; the set is of mskp's graph. False: sentence. */
bool network_values(net *n, mskp_tensors values);

/* Cuts what the plan cuts, mends what names widths, and compares every shape with what it must be.
 * On failure the model is of no more use. */
bool rewrite_network(net *n, const mskp_plan *plan, mskp_tensors values, const lengths *l);

#endif

/*
 * Small networks as recipes: a list of operators with their attributes, and parameters in double.
 * One recipe describes a network to mskp (net_describe) and to the model; outputs are computed
 * (net_eval), and after surgery the smaller recipe is written as a caller would (net_cut).
 */
#ifndef INTERPRETER_NET_H
#define INTERPRETER_NET_H

#include "base.h"
#include "by_id/by_id.h"
#include "model.h"

#define NET_MAX_NODES  96
#define NET_MAX_PARAMS 96
#define NET_MAX_IN     4

typedef enum net_op {
    NET_INPUT,
    NET_CONV,
    NET_LINEAR,
    NET_NORM,
    NET_ACT,
    NET_POOL,
    NET_COMBINE,
    NET_SLICE,
    NET_PAD,
    NET_FLATTEN,
    NET_PICK,
    NET_CONCAT,
    NET_OPAQUE, /* mixes everything: channels and spatial are its own */
    NET_TCONV,
    NET_PRELU,
    NET_TABLE, /* an embedding, its entries looked up by position */
    NET_PARAM, /* a parameter as a value, the same at all positions */
    NET_CHUNK, /* part `first` of `count` */
    NET_CHANNEL_SHUFFLE,
    NET_PIXEL_SHUFFLE,
    NET_PIXEL_UNSHUFFLE,
    NET_UNFLATTEN,
    NET_RESHAPE,
    NET_STACK, /* one after the other on spatial axis `axis` */
    NET_ATTENTION,
    NET_RECURRENT,
    /* a custom, made of primitives */
    NET_GROUPED,   /* grouped convolution: position p of every group is tied */
    NET_DEPTHWISE, /* one or more filters for each channel */
    NET_SHUFFLE,   /* four channels become one of twice the size (pixel shuffle) */
    NET_SCALE,     /* a parameter times each channel */
    NET_OPS,
    /* rows of the table that are no nodes: what the caller ties and pins itself, and outputs */
    NET_HOST,
    NET_OUTPUT
} net_op;

typedef enum net_padding {
    NET_ZEROS,
    NET_REPLICATED,
    NET_REFLECTED, /* as far as there is something to reflect, then on as replicated */
    NET_CIRCULAR
} net_padding;

/* Nodes and parameters count from 1; a node is also the value that it makes. */
typedef struct net_node {
    net_op op;
    bool named; /* else the library derives a name */
    size_t inputs;
    size_t in[NET_MAX_IN];
    size_t weight, bias; /* parameters; 0: none */
    size_t norm[4];      /* scale, shift, mean, variance */
    size_t stride[3], before[3], after[3], dilation[3], window[3], resize[3];
    int kind; /* of activation, pooling, combination */
    bool ceil_mode, channels_last, pin;
    size_t tie;          /* this value is tied with an earlier one; 0: none */
    size_t first, count; /* slice: first and count; pad: before and after */
    size_t *positions;   /* pick: [count] */
    size_t groups;
    int grouping;             /* of convolutions and group norms */
    int norm_kind;            /* mskp_norm_kind */
    bool rewritable, inexact; /* of chunk and shuffle; of norms */
    size_t factor, axis;      /* of pixel shuffles; of a stack */
    size_t more[10];          /* further parameters, see net.c */
    size_t heads, kv_heads, dim, value_dim, layers;
    bool packed, bidirectional, by_position; /* by_position: a unit is one within all heads */
    double scale;                            /* of attention's softmax: what it was at first */
    /* worked out by net_add */
    size_t channels;
    uint32_t nspatial;
    size_t spatial[3];
    /* what only constants need to know */
    net_padding padding; /* of NET_CONV */
    bool count_padding;  /* of average pooling */
    bool said;           /* described: what a pool keeps, what an own function is */
    bool outside_root;
    double epsilon;   /* of batch norms; 0: 1e-5 */
    double parameter; /* of functions: 0: slope 0.1, alpha 1 */
    /* what surgery did */
    bool vanished; /* the value has no channels, and nothing computes it */
    bool shift;    /* NET_PARAM: what is left of an operand of an addition */
} net_node;

typedef struct net_param {
    uint32_t ndim;
    size_t shape[MSKP_MAX_DIMS];
    double *data;
} net_param;

typedef struct net {
    arena *mem;
    size_t nodes, params, outputs, room; /* room: of nodes */
    net_node *node;                      /* from 1 */
    net_param param[NET_MAX_PARAMS + 1];
    size_t output[8];
} net;

/* Room for as many nodes, at most NET_MAX_NODES. */
net *net_make(arena *mem, size_t room);

/* A parameter of random numbers, about 1/sqrt(fan-in) for weights, or those given. */
size_t net_param_add(net *n, rng *r, uint32_t ndim, const size_t *shape);

/* Appends the node, works out its value's shape. 0: it does not fit. */
size_t net_add(net *n, const net_node *node);

/* Recurrent layers: input and hidden weight, input and hidden bias (part 0 to 3) of layer and
 * direction k; shared by all layers but the first, whose input is another. */
size_t net_recurrent_param(const net_node *node, size_t k, int part);
size_t net_recurrent_units(const net *n, const net_node *node, size_t layer);

/* Positions of a value: the product of its spatial sizes. */
size_t net_positions(const net_node *node);

/* Options of the random generator; the zero value makes networks of all kinds. */
typedef struct net_options {
    size_t steps;        /* 0: 4 to 12 */
    size_t max_channels; /* of new layers; 0: 8 */
    bool no_primitives;  /* only the operators of the header */
    bool residual;       /* a residual stream with batch norms, nothing else */
    bool inexact;        /* norms whose channels leave inexactly, too */
    bool constants;      /* paddings, parameters of functions, epsilons of all kinds */
} net_options;
net *net_random(arena *mem, uint64_t seed, const net_options *options);
net *net_drawn(arena *mem, rng *r, const net_options *options);

/* Tells the library (graph not NULL) and the model (not NULL) the same, and finishes the model but
 * not the graph. value[node]: the number of its value in both, nodes + 1 entries, may be NULL. */
void net_describe(const net *n, mskp_graph *graph, model *m, size_t *value);

/* An activation's function, as the interpreter computes it. */
double net_own_function(double x, const double *parameters);

/* The values of all nodes, [channels][positions]; inputs by node. */
double **net_eval(const net *n, arena *mem, double *const *inputs);
double **net_random_inputs(const net *n, arena *mem, rng *r);

/* The indices that stay, of one list; index NULL: all of them. */
typedef struct net_kept {
    size_t n;
    const uint32_t *index;
} net_kept;

/* After surgery: values by node, axes by parameter, fates (mskp_fate) by node, or NULL. Returns
 * NULL, with a reason, where the lists do not make a network. */
net *net_cut(const net *n, arena *mem, const net_kept *values, net_kept (*axes)[MSKP_MAX_DIMS],
             const uint8_t *fate, const char **why);

/* Multiply-accumulates and parameters of the recipe, counted from its loops. */
mskp_cost net_count(const net *n);

#endif

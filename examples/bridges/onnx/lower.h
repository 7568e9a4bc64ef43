/* Takes quantized operators for those that they stand for: lower.c. */
#ifndef ONNX_LOWER_H
#define ONNX_LOWER_H

#include "net.h"

#define NO_INPUT SIZE_MAX

/* The inputs of a quantized node that have an operand, its scale, and its zero point. NO_INPUT: the
 * node does not have the input. */
typedef struct whole_operand {
    size_t value, scale, zero;
} whole_operand;

/* A node that was lowered. */
struct lowered {
    node_proto *node;
    const struct lower_form *form;
    char *op_type, *domain, *as; /* what the node is, and what it is taken for */
    char **input;                /* of the quantized node; NULL for what the lowered node has */
    size_t n_input;
    whole_operand *operand; /* [inputs of the lowered node] */
    whole_operand result;   /* scale and zero point of the result */
    size_t bias;            /* the input of the lowered node whose scale is a product; NO_INPUT */
    int32_t type;           /* of the result; 0: not known */
    bool sums;              /* the result is a sum of whole numbers, without a scale */
};

/* Lowers all nodes that can be, after net_open. What belongs to an earlier network of this model is
 * given back. False: no memory. */
bool lower_nodes(net *n);
/* The nodes are again what they were, with the changes that were made to the lowered ones. */
void lower_undo(model *m);
/* The same until lower_again, in order to write the model. */
void lower_pause(const model *m);
void lower_again(const model *m);
void lower_free(model *m);

/* NULL: the node was not lowered. */
const struct lowered *lowered_node(const model *m, const node_proto *node);
/* An input of the node, by its place in the quantized one. NULL: there is none. */
tensor *lowered_input(const net *n, const struct lowered *l, size_t k);
/* The operator that the node is in the file. */
const char *op_in_file(const model *m, const node_proto *node);

#endif

/*
 * What an exported network computes before it sees its input: the arithmetic on shapes, masks, index
 * tables. Operators over numbers that are known become numbers that are known.
 */
#ifndef ONNX_FOLD_H
#define ONNX_FOLD_H

#include "model.h"

enum { MAX_RANK = 8 };
/* Tensors with more elements are not computed. */
#define FOLD_LIMIT ((size_t)1 << 20)

typedef struct shape {
    size_t rank;
    size_t dim[MAX_RANK];
} shape;

size_t shape_count(const shape *s); /* SIZE_MAX: larger than memory can be */

typedef struct numbers {
    int32_t type; /* ONNX's TensorProto.DataType */
    shape shape;
    size_t count;
    int64_t *whole; /* [count] of integer types and BOOL (0 or 1); else NULL */
    double *real;   /* [count] of FLOAT, DOUBLE, FLOAT16, BFLOAT16; else NULL */
    uint8_t
        *varies; /* [count] 1: follows lengths that the model leaves open; from 2 on: is the one of
                        this number; NULL: none does */
} numbers;

void numbers_free(numbers *n); /* n is all zero then */

/* The numbers of a tensor of the file. False: too large, strings, no memory: not known. */
bool numbers_of_tensor(model *m, tensor_proto *t, numbers *to);

/*
 * outputs[] <- what the node makes of inputs (n of them; NULL: not given). As ONNX defines the
 * operator in this opset: types, broadcasting, negative axes and indices, integer division towards
 * zero. Sums of 32-bit types are taken in 64 bits or in double precision, then brought into the
 * type; one of whole numbers that does not fit is not known. False: not an operator that it knows,
 * not this way, too large, or an error in the node: nothing is known then, and the outputs are all
 * zero. Constant, and its tensors, too. Shape and Size are the caller's, who knows shapes of what is
 * not known.
 */
bool fold_node(model *m, const node_proto *node, size_t n, const numbers *const *inputs,
               size_t n_outputs, numbers *outputs);

/* outs <- the shape that both are broadcast to. False: they do not fit. */
bool shape_broadcast(const shape *a, const shape *b, shape *out);

#endif

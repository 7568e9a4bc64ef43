/*
 * What an exported network computes before it sees its input: arithmetic on shapes, masks, tables
 * of indices. An operator whose inputs are known numbers has outputs that are known numbers.
 */
#ifndef ONNX_FOLD_H
#define ONNX_FOLD_H

#include "model.h"

enum { MAX_RANK = 8 };
/* Tensors with more elements are not computed, unless fold_allow sets another limit for the
 * thread. */
#define FOLD_LIMIT ((size_t)1 << 20)
void fold_allow(size_t elements);

typedef struct shape {
    size_t rank;
    size_t dim[MAX_RANK];
} shape;

size_t shape_count(const shape *s); /* SIZE_MAX: larger than memory can be */

typedef struct numbers {
    int32_t type; /* a TensorProto.DataType of ONNX */
    shape shape;
    size_t count;
    int64_t *whole; /* [count] for integer types and BOOL (0 or 1); otherwise NULL */
    double *real;   /* [count] for FLOAT, DOUBLE, FLOAT16, BFLOAT16; otherwise NULL */
    uint8_t
        *varies; /* [count] 1: follows lengths that the model leaves open; from 2 on: is the one of
                        this number; NULL: none does */
} numbers;

void numbers_free(numbers *n); /* n is all zero afterwards */

/* The numbers of a tensor of the file. False: they count as not known (too many, strings, no
 * memory). */
bool numbers_of_tensor(model *m, tensor_proto *t, numbers *to);

/* outputs[] <- what the node makes of its n inputs (NULL: not given), as ONNX defines the operator
 * in this opset: types, broadcasting, negative axes and indices, integer division towards zero.
 * Sums of 32-bit types are computed in 64 bits or in double precision and then converted to the
 * type; a sum of whole numbers that does not fit is not known. False: the operator, or this form of
 * it, is not supported, the numbers are too many, or the node has an error. Nothing is then known
 * of the outputs, which are all zero. Constant is supported. Shape and Size are left to the caller,
 * which knows shapes also of tensors whose numbers are not known. */
bool fold_node(model *m, const node_proto *node, size_t n, const numbers *const *inputs,
               size_t n_outputs, numbers *outputs);

/* Whether the operator is one of those that fold_node computes. */
bool fold_knows(const node_proto *node);

/* *out <- the shape to which both are broadcast. False: the shapes do not fit. */
bool shape_broadcast(const shape *a, const shape *b, shape *out);

#endif

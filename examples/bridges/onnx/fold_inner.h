/*
 * What the files of fold.h share: fold.c (numbers, attributes, fold_node), fold_math.c (operators
 * that compute element by element, and sums), fold_layer.c (products of matrices, norms, softmax),
 * fold_conv.c (convolutions) and fold_move.c (operators that move elements).
 */
#ifndef ONNX_FOLD_INNER_H
#define ONNX_FOLD_INNER_H

#include "fold.h"

enum {
    T_FLOAT = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
    T_UINT8 = ONNX__TENSOR_PROTO__DATA_TYPE__UINT8,
    T_INT8 = ONNX__TENSOR_PROTO__DATA_TYPE__INT8,
    T_UINT16 = ONNX__TENSOR_PROTO__DATA_TYPE__UINT16,
    T_INT16 = ONNX__TENSOR_PROTO__DATA_TYPE__INT16,
    T_INT32 = ONNX__TENSOR_PROTO__DATA_TYPE__INT32,
    T_INT64 = ONNX__TENSOR_PROTO__DATA_TYPE__INT64,
    T_BOOL = ONNX__TENSOR_PROTO__DATA_TYPE__BOOL,
    T_FLOAT16 = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16,
    T_DOUBLE = ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE,
    T_UINT32 = ONNX__TENSOR_PROTO__DATA_TYPE__UINT32,
    T_UINT64 = ONNX__TENSOR_PROTO__DATA_TYPE__UINT64,
    T_BFLOAT16 = ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16
};

/* Sets of types. */
enum { REALS = 1, WHOLES = 2, BOOLS = 4, NUMERIC = REALS | WHOLES, ANY = NUMERIC | BOOLS };

typedef struct call {
    model *m;
    const node_proto *node;
    const struct fold_operator *op;
    size_t opset, n, n_out;
    const numbers *const *in;
    numbers *out;
} call;

typedef struct fold_operator {
    const char *name;
    size_t least, most; /* numbers of inputs; the first `least` must be given */
    bool (*run)(const call *c);
    /* Operators that work element by element have one or two of these instead of run: */
    bool (*whole)(int64_t a, int64_t b, int64_t *to);
    double (*real)(double a, double b);
    bool (*whole1)(int64_t a, int64_t *to);
    double (*real1)(double a);
    size_t broadcasts; /* from this opset on */
    unsigned types;    /* types that the operands may have */
    bool truth;        /* the result is BOOL */
} fold_operator;

/* The operator in a table, in the table of fold_math.c, fold_layer.c, fold_move.c. NULL: it is not
 * there. */
const fold_operator *fold_find(const fold_operator *table, size_t n, const char *name);
const fold_operator *fold_math(const char *name);
const fold_operator *fold_layer(const char *name);
const fold_operator *fold_move(const char *name);

bool fold_run_conv(const call *c); /* fold_conv.c */

/* ---- types ---- */

bool fold_is(int32_t type, unsigned types); /* whether the type is in this set */
double fold_round(int32_t type, double x);
/* *to <- x as the type holds it: types of up to 32 bits wrap around. False: the number does not fit
 * into int64_t. */
bool fold_wrap(int32_t type, int64_t x, int64_t *to);
bool fold_fits(int32_t type, int64_t x);
bool fold_truncate(int32_t type, double x, int64_t *to); /* False: out of range of the type */

/* ---- numbers ---- */

/* *to <- numbers that are all zero. False: too many, no memory, or an unknown type. */
bool fold_new(numbers *to, int32_t type, const shape *s, bool varies);
bool fold_copy(const numbers *from, const shape *s,
               numbers *to); /* s has as many elements as `from` */
bool fold_broadcast(const numbers *from, const shape *s, numbers *to);
bool fold_varies(const numbers *n); /* whether any number varies */

static inline void fold_put(numbers *to, size_t i, const numbers *from, size_t j)
{
    if (to->whole)
        to->whole[i] = from->whole[j];
    else
        to->real[i] = from->real[j];
    if (to->varies) to->varies[i] = from->varies ? from->varies[j] : 0;
}

/* A walk over all elements of a shape in order. offset is the place of the current element in a
 * tensor with these strides. */
typedef struct walk {
    shape over;
    size_t at[MAX_RANK];
    ptrdiff_t stride[MAX_RANK], offset;
} walk;

void fold_strides(const shape *s, ptrdiff_t stride[MAX_RANK]);
void walk_next(walk *w);
/* to <- the elements of `from` along the walk, in the shape of the walk. */
bool fold_view(const numbers *from, walk *w, numbers *to);

/* ---- attributes and inputs of the node ---- */

/* NULL: the input is not given. */
static inline const numbers *fold_input(const call *c, size_t i)
{
    return i < c->n ? c->in[i] : NULL;
}

typedef struct list {
    bool given;
    size_t n;
    const int64_t *at;
} list;

/* *to <- an attribute, or `otherwise`. False: the attribute is of another type. */
bool fold_int(const call *c, const char *name, int64_t otherwise, int64_t *to);
bool fold_float(const call *c, const char *name, double otherwise, double *to);
bool fold_flag(const call *c, const char *name, bool otherwise, bool *to);
bool fold_text(const call *c, const char *name,
               const char *expected); /* or the attribute is not given */
/* *to <- a list from this input or from the attribute. False: another type, or the list varies. */
bool fold_list(const call *c, bool by_input, size_t input, const char *name, list *to);
/* *to <- the number in an input of one element, or `otherwise`. */
bool fold_scalar(const call *c, size_t input, int64_t otherwise, int64_t *to);

bool fold_axis(int64_t axis, size_t rank, size_t *to);
bool fold_axis_of(const call *c, int64_t otherwise, size_t rank,
                  size_t *to);                                     /* the attribute "axis" */
bool fold_axes(const list *axes, size_t rank, bool set[MAX_RANK]); /* each axis at most once */
bool fold_dims(const list *dims, shape *to);

#endif

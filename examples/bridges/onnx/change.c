/*
 * What is added to a model: names, attributes, initializers. Messages and strings in the new parts
 * come from malloc, because protobuf-c frees them with free.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static void *make(size_t size)
{
    return try_calloc(1, size);
}

/* ---- nodes ---- */

bool model_set_string(char **field, const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = try_malloc(size);
    if (!copy) return false;
    memcpy(copy, text, size);
    free(*field);
    *field = copy;
    return true;
}

const attribute_proto *node_attribute(const node_proto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (node->attribute[i]->name && !strcmp(node->attribute[i]->name, name))
            return node->attribute[i];
    return NULL;
}

attribute_proto *node_add_attribute(node_proto *node, const char *name)
{
    attribute_proto **list = try_realloc(node->attribute, (node->n_attribute + 1) * sizeof(void *));
    if (!list) return NULL;
    node->attribute = list;
    attribute_proto *a = try_malloc(sizeof *a);
    if (!a) return NULL;
    onnx__attribute_proto__init(a);
    if (!model_set_string(&a->name, name)) {
        free(a);
        return NULL;
    }
    return list[node->n_attribute++] = a;
}

/* ---- initializers ---- */

/* Frees a tensor that new_tensor made. */
static void discard(tensor_proto *t)
{
    free(t->raw_data.data);
    free(t->name);
    free(t->dims);
    free(t);
}

static tensor_proto *new_tensor(const char *name, int32_t type, size_t ndim)
{
    tensor_proto *t = try_malloc(sizeof *t);
    if (!t) return NULL;
    onnx__tensor_proto__init(t);
    t->has_data_type = true;
    t->data_type = type;
    t->dims = try_malloc((ndim ? ndim : 1) * sizeof *t->dims);
    if (t->dims && model_set_string(&t->name, name)) {
        t->n_dims = ndim;
        return t;
    }
    discard(t);
    return NULL;
}

tensor_proto *tensor_floats_like(const tensor_proto *t)
{
    const size_t count = tensor_elements(t);
    tensor_proto *new = new_tensor("", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, t->n_dims);
    if (!new) return NULL;
    memcpy(new->dims, t->dims, t->n_dims * sizeof *t->dims);
    new->raw_data.data =
        count < SIZE_MAX / sizeof(float) ? try_malloc((count + 1) * sizeof(float)) : NULL;
    if (!new->raw_data.data) {
        discard(new);
        return NULL;
    }
    new->raw_data.len = count * sizeof(float);
    new->has_raw_data = true;
    return new;
}

static bool set_shape(Onnx__TensorShapeProto *shape, const tensor_proto *t)
{
    shape->dim = make((t->n_dims ? t->n_dims : 1) * sizeof(void *));
    for (; shape->dim && shape->n_dim < t->n_dims; shape->n_dim++) {
        Onnx__TensorShapeProto__Dimension *dim = shape->dim[shape->n_dim] = make(sizeof *dim);
        if (!dim) return false;
        onnx__tensor_shape_proto__dimension__init(dim);
        dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        dim->dim_value = t->dims[shape->n_dim];
    }
    return shape->dim != NULL;
}

static bool describe(Onnx__ValueInfoProto *info, const tensor_proto *t)
{
    if (!model_set_string(&info->name, t->name)) return false;
    Onnx__TypeProto *type = info->type = make(sizeof *type);
    if (!type) return false;
    onnx__type_proto__init(type);
    Onnx__TypeProto__Tensor *tensor = type->tensor_type = make(sizeof *tensor);
    if (!tensor) return false;
    onnx__type_proto__tensor__init(tensor);
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    tensor->has_elem_type = true;
    tensor->elem_type = t->data_type;
    Onnx__TensorShapeProto *shape = tensor->shape = make(sizeof *shape);
    if (!shape) return false;
    onnx__tensor_shape_proto__init(shape);
    return set_shape(shape, t);
}

/* Before version 4 of the format, an initializer must also be an input of the graph. */
static bool add_input(graph_proto *g, const tensor_proto *t)
{
    Onnx__ValueInfoProto **list = try_realloc(g->input, (g->n_input + 1) * sizeof(void *));
    if (!list) return false;
    g->input = list;
    Onnx__ValueInfoProto *info = make(sizeof *info);
    if (!info) return false;
    onnx__value_info_proto__init(info);
    list[g->n_input++] = info;
    if (describe(info, t)) return true;
    g->n_input--;
    onnx__value_info_proto__free_unpacked(info, model_allocator());
    return false;
}

/* Adds t as the last initializer. NULL: no memory, and t is freed. */
static tensor_proto *add(model *m, tensor_proto *t)
{
    graph_proto *g = m->graph;
    const bool old = m->proto->has_ir_version && m->proto->ir_version < 4;
    tensor_proto **list = try_realloc(g->initializer, (g->n_initializer + 1) * sizeof(void *));
    if (list) g->initializer = list;
    if (list && (!old || add_input(g, t))) return list[g->n_initializer++] = t;
    discard(t);
    return NULL;
}

tensor_proto *model_add_integers(model *m, const char *name, size_t ndim, const size_t *shape,
                                 const int64_t *values)
{
    failure f;
    tensor_proto *t = new_tensor(name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, ndim);
    if (!t) return NULL;
    for (size_t i = 0; i < ndim; i++) t->dims[i] = (int64_t)shape[i];
    const size_t elements = tensor_elements(t);
    if (elements != SIZE_MAX && tensor_set_raw(t, values, elements * sizeof *values, &f))
        return add(m, t);
    discard(t);
    return NULL;
}

tensor_proto *model_add_copy(model *m, tensor_proto *t, const char *name, size_t rank,
                             const size_t *dim)
{
    failure f;
    mskp_dtype dtype;
    void *data = NULL;
    if (!tensor_data(m, t, &data, &dtype, &f)) return NULL;
    tensor_proto *copy = new_tensor(name, t->data_type, rank);
    if (!copy) return NULL;
    for (size_t k = 0; k < rank; k++) copy->dims[k] = (int64_t)dim[k];
    copy->has_data_location = t->has_data_location;
    copy->data_location = t->data_location;
    if (tensor_set_raw(copy, data, tensor_bytes(t), &f)) return add(m, copy);
    discard(copy);
    return NULL;
}

/* ---- numbers as data ---- */

/* The bits of a number that a format with so many bits of exponent and mantissa can hold. */
static uint16_t narrow_bits(double x, int exponent_bits, int mantissa_bits)
{
    const int bias = (1 << (exponent_bits - 1)) - 1, most = (1 << exponent_bits) - 1;
    const unsigned sign = signbit(x) ? 1u << (exponent_bits + mantissa_bits) : 0;
    int exponent = 0;
    x = fabs(x);
    if (isnan(x)) return (uint16_t)(sign | (unsigned)most << mantissa_bits | 1u);
    if (isinf(x)) return (uint16_t)(sign | (unsigned)most << mantissa_bits);
    if (!(x > 0)) return (uint16_t)sign;
    (void)frexp(x, &exponent); /* x is in [2^(exponent - 1), 2^exponent) */
    int field = exponent - 1 + bias;
    if (field < 1) field = 0;
    const double unit = ldexp(1, (field ? field : 1) - bias - mantissa_bits);
    const unsigned mantissa = (unsigned)(x / unit) & ((1u << mantissa_bits) - 1);
    return (uint16_t)(sign | (unsigned)field << mantissa_bits | mantissa);
}

static void put_number(int32_t type, double x, size_t i, void *to)
{
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        ((float *)to)[i] = (float)x;
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        ((double *)to)[i] = x;
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
        ((uint16_t *)to)[i] = narrow_bits(x, 5, 10);
        break;
    default:
        ((uint16_t *)to)[i] = narrow_bits(x, 8, 7);
        break;
    }
}

tensor_proto *model_add_reals(model *m, const char *name, int32_t type, size_t ndim,
                              const size_t *dim, const double *values)
{
    const size_t size = type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE  ? 8
                        : type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ? 4
                                                                       : 2;
    tensor_proto *t = new_tensor(name, type, ndim);
    if (!t) return NULL;
    for (size_t k = 0; k < ndim; k++) t->dims[k] = (int64_t)dim[k];
    const size_t count = tensor_elements(t);
    t->raw_data.data = try_malloc(count * size);
    if (!t->raw_data.data) {
        discard(t);
        return NULL;
    }
    t->raw_data.len = count * size;
    t->has_raw_data = true;
    for (size_t i = 0; i < count; i++) put_number(type, values[i], i, t->raw_data.data);
    if (m->external) { /* as the data of the others */
        t->has_data_location = true;
        t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    }
    return add(m, t);
}

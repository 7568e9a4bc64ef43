/*
 * Numbers that are known before the network runs: their types, how they are read from tensors and
 * attributes, and fold_node, which finds the operator in one of three tables (Constant,
 * ConstantOfShape, Dropout and Identity in this file, the others in fold_math.c and fold_move.c)
 * and runs it.
 */
#include "fold_inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- types ---- */

/* Ranges of whole types. Of UINT64 only the range that int64_t can hold, too. */
static const struct type_range {
    int32_t type;
    unsigned kind;
    unsigned bits;
    int64_t least, most;
} types[] = {
    {T_FLOAT, REALS, 0, 0, 0},
    {T_DOUBLE, REALS, 0, 0, 0},
    {T_FLOAT16, REALS, 0, 0, 0},
    {T_BFLOAT16, REALS, 0, 0, 0},
    {T_UINT8, WHOLES, 8, 0, UINT8_MAX},
    {T_INT8, WHOLES, 8, INT8_MIN, INT8_MAX},
    {T_UINT16, WHOLES, 16, 0, UINT16_MAX},
    {T_INT16, WHOLES, 16, INT16_MIN, INT16_MAX},
    {T_UINT32, WHOLES, 32, 0, UINT32_MAX},
    {T_INT32, WHOLES, 32, INT32_MIN, INT32_MAX},
    {T_UINT64, WHOLES, 64, 0, INT64_MAX},
    {T_INT64, WHOLES, 64, INT64_MIN, INT64_MAX},
    {T_BOOL, BOOLS, 64, 0, 1},
};

static const struct type_range *type_range(int32_t type)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].type == type) return &types[i];
    return NULL;
}

bool fold_is(int32_t type, unsigned set)
{
    const struct type_range *r = type_range(type);
    return r && (r->kind & set);
}

/* Rounds x to `bits` significant bits, none of them below 2^lowest, with ties to even. */
static double round_bits(double x, int bits, int lowest, double most)
{
    int exponent = 0;
    if (x == 0 || !isfinite(x)) return x;
    (void)frexp(x, &exponent);
    const int unit = exponent - bits > lowest ? exponent - bits : lowest;
    const double r = ldexp(nearbyint(ldexp(x, -unit)), unit);
    return fabs(r) > most ? copysign((double)INFINITY, r) : r;
}

double fold_round(int32_t type, double x)
{
    if (type == T_FLOAT) return (double)(float)x;
    if (type == T_FLOAT16) return round_bits(x, 11, -24, 65504);
    if (type == T_BFLOAT16) return round_bits(x, 8, -133, 0x1.fep127);
    return x;
}

bool fold_fits(int32_t type, int64_t x)
{
    const struct type_range *r = type_range(type);
    return r && x >= r->least && x <= r->most;
}

bool fold_wrap(int32_t type, int64_t x, int64_t *to)
{
    const struct type_range *r = type_range(type);
    if (!r) return false;
    if (r->bits < 64) {
        const int64_t range = (int64_t)1 << r->bits;
        x = (int64_t)((uint64_t)x & (uint64_t)(range - 1));
        if (x > r->most) x -= range;
    }
    *to = x;
    return x >= r->least && x <= r->most;
}

bool fold_truncate(int32_t type, double x, int64_t *to)
{
    if (!(x >= -0x1p63 && x < 0x1p63)) return false;
    *to = (int64_t)x;
    return fold_fits(type, *to);
}

/* ---- numbers ---- */

static _Thread_local size_t limit = FOLD_LIMIT;

void fold_allow(size_t elements)
{
    limit = elements;
}

size_t shape_count(const shape *s)
{
    size_t count = 1;
    bool fits = true;
    for (size_t d = 0; d < s->rank; d++) {
        if (!s->dim[d]) return 0;
        fits = fits && count <= PTRDIFF_MAX / s->dim[d];
        if (fits) count *= s->dim[d];
    }
    return fits ? count : SIZE_MAX;
}

bool shape_broadcast(const shape *a, const shape *b, shape *out)
{
    const shape *wide = a->rank >= b->rank ? a : b, *slim = wide == a ? b : a;
    shape s = *wide;
    for (size_t d = 0; d < slim->rank; d++) {
        size_t *to = &s.dim[wide->rank - slim->rank + d];
        if (*to != slim->dim[d] && *to != 1 && slim->dim[d] != 1) return false;
        if (*to == 1) *to = slim->dim[d];
    }
    *out = s;
    return true;
}

void numbers_free(numbers *n)
{
    free(n->whole);
    free(n->real);
    free(n->varies);
    memset(n, 0, sizeof *n);
}

static bool is_sound(const shape *s)
{
    if (s->rank > MAX_RANK) return false;
    for (size_t d = 0; d < s->rank; d++)
        if (s->dim[d] > PTRDIFF_MAX) return false;
    return shape_count(s) <= limit;
}

bool fold_new(numbers *to, int32_t type, const shape *s, bool varies)
{
    *to = (numbers){.type = type};
    if (!fold_is(type, ANY) || !is_sound(s)) return false;
    to->shape = *s;
    to->count = shape_count(s);
    const size_t capacity = to->count ? to->count : 1;
    if (fold_is(type, REALS))
        to->real = try_calloc(capacity, sizeof *to->real);
    else
        to->whole = try_calloc(capacity, sizeof *to->whole);
    if (varies) to->varies = try_calloc(capacity, 1);
    if ((to->real || to->whole) && (!varies || to->varies)) return true;
    numbers_free(to);
    return false;
}

bool fold_copy(const numbers *from, const shape *s, numbers *to)
{
    if (shape_count(s) != from->count || !fold_new(to, from->type, s, from->varies)) return false;
    for (size_t i = 0; i < from->count; i++) fold_put(to, i, from, i);
    return true;
}

bool fold_varies(const numbers *n)
{
    for (size_t i = 0; n->varies && i < n->count; i++)
        if (n->varies[i]) return true;
    return false;
}

void fold_strides(const shape *s, ptrdiff_t stride[MAX_RANK])
{
    ptrdiff_t step = shape_count(s) <= limit && shape_count(s);
    for (size_t d = s->rank; d--; step *= step ? (ptrdiff_t)s->dim[d] : 1) stride[d] = step;
}

void walk_next(walk *w)
{
    for (size_t d = w->over.rank; d--;) {
        w->offset += w->stride[d];
        if (++w->at[d] < w->over.dim[d]) return;
        w->offset -= w->stride[d] * (ptrdiff_t)w->at[d];
        w->at[d] = 0;
    }
}

bool fold_view(const numbers *from, walk *w, numbers *to)
{
    if (!fold_new(to, from->type, &w->over, from->varies)) return false;
    for (size_t i = 0; i < to->count; i++, walk_next(w)) fold_put(to, i, from, (size_t)w->offset);
    return true;
}

bool fold_broadcast(const numbers *from, const shape *s, numbers *to)
{
    walk w = {.over = *s};
    ptrdiff_t stride[MAX_RANK];
    shape both;
    if (!shape_broadcast(&from->shape, s, &both) || both.rank != s->rank ||
        memcmp(both.dim, s->dim, s->rank * sizeof *s->dim) != 0)
        return false;
    fold_strides(&from->shape, stride);
    for (size_t d = 0; d < from->shape.rank; d++)
        if (from->shape.dim[d] != 1) w.stride[s->rank - from->shape.rank + d] = stride[d];
    return fold_view(from, &w, to);
}

bool numbers_of_tensor(model *m, tensor_proto *t, numbers *to)
{
    shape s = {.rank = t->n_dims};
    failure ignored;
    *to = (numbers){0};
    if (s.rank > MAX_RANK || tensor_elements(t) > limit) return false;
    for (size_t d = 0; d < s.rank; d++) s.dim[d] = (size_t)t->dims[d];
    bool ok = fold_new(to, t->data_type, &s, false);
    if (ok && to->real)
        ok = tensor_numbers(m, t, to->count, to->real, &ignored);
    else if (ok)
        ok = tensor_integers(m, t, to->count, to->whole, &ignored);
    for (size_t i = 0; ok && to->whole && i < to->count; i++) {
        if (to->type == T_BOOL) to->whole[i] = to->whole[i] != 0;
        ok = fold_fits(to->type, to->whole[i]);
    }
    if (!ok) numbers_free(to);
    return ok;
}

/* ---- what the node says ---- */

/* False: the attribute is of another type. *to NULL: the node does not have the attribute. */
static bool find_attribute(const call *c, const char *name,
                           Onnx__AttributeProto__AttributeType type, const attribute_proto **to)
{
    const attribute_proto *a = *to = node_attribute(c->node, name);
    if (!a) return true;
    if (a->ref_attr_name && *a->ref_attr_name) return false;
    return !a->has_type || a->type == type;
}

bool fold_int(const call *c, const char *name, int64_t otherwise, int64_t *to)
{
    const attribute_proto *a = NULL;
    if (!find_attribute(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT, &a)) return false;
    *to = a ? a->i : otherwise;
    return !a || a->has_type || a->has_i;
}

bool fold_float(const call *c, const char *name, double otherwise, double *to)
{
    const attribute_proto *a = NULL;
    if (!find_attribute(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT, &a)) return false;
    *to = a ? (double)a->f : otherwise;
    return !a || a->has_type || a->has_f;
}

bool fold_flag(const call *c, const char *name, bool otherwise, bool *to)
{
    int64_t i = 0;
    if (!fold_int(c, name, otherwise, &i)) return false;
    *to = i != 0;
    return true;
}

bool fold_text(const call *c, const char *name, const char *expected)
{
    const attribute_proto *a = NULL;
    if (!find_attribute(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING, &a)) return false;
    return !a || (a->s.len == strlen(expected) && !memcmp(a->s.data, expected, a->s.len));
}

bool fold_list(const call *c, bool by_input, size_t input, const char *name, list *to)
{
    *to = (list){0};
    if (!by_input) {
        const attribute_proto *a = NULL;
        if (!find_attribute(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS, &a)) return false;
        if (a) *to = (list){true, a->n_ints, a->ints};
        return true;
    }
    const numbers *n = fold_input(c, input);
    if (!n) return true;
    if ((n->type != T_INT64 && n->type != T_INT32) || n->shape.rank > 1 || fold_varies(n))
        return false;
    *to = (list){true, n->count, n->whole};
    return true;
}

bool fold_scalar(const call *c, size_t input, int64_t otherwise, int64_t *to)
{
    list l;
    if (!fold_list(c, true, input, NULL, &l) || (l.given && l.n != 1)) return false;
    *to = l.given ? l.at[0] : otherwise;
    return true;
}

bool fold_axis(int64_t axis, size_t rank, size_t *to)
{
    const int64_t most = (int64_t)rank;
    if (axis < -most || axis >= most) return false;
    *to = (size_t)(axis < 0 ? axis + most : axis);
    return true;
}

bool fold_axis_of(const call *c, int64_t otherwise, size_t rank, size_t *to)
{
    int64_t axis = 0;
    return fold_int(c, "axis", otherwise, &axis) && fold_axis(axis, rank, to);
}

bool fold_axes(const list *axes, size_t rank, bool set[MAX_RANK])
{
    memset(set, 0, MAX_RANK * sizeof *set);
    for (size_t i = 0; i < axes->n; i++) {
        size_t axis = 0;
        if (rank > MAX_RANK || !fold_axis(axes->at[i], rank, &axis) || set[axis]) return false;
        set[axis] = true;
    }
    return true;
}

bool fold_dims(const list *dims, shape *to)
{
    if (!dims->given || dims->n > MAX_RANK) return false;
    to->rank = dims->n;
    for (size_t d = 0; d < dims->n; d++) {
        if (dims->at[d] < 0 || (uint64_t)dims->at[d] > PTRDIFF_MAX) return false;
        to->dim[d] = (size_t)dims->at[d];
    }
    return true;
}

/* ---- nodes ---- */

/* The attributes that a Constant may have instead of a tensor. */
static bool constant_of(const call *c, const attribute_proto *a, int32_t type, bool is_list)
{
    const size_t n = !is_list ? 1 : type == T_FLOAT ? a->n_floats : a->n_ints;
    numbers *out = &c->out[0];
    if (!fold_new(out, type, &(shape){is_list, {n}}, false)) return false;
    for (size_t i = 0; i < n; i++)
        if (out->real)
            out->real[i] = (double)(is_list ? a->floats[i] : a->f);
        else
            out->whole[i] = is_list ? a->ints[i] : a->i;
    return true;
}

static bool run_constant(const call *c)
{
    static const struct {
        const char *name;
        Onnx__AttributeProto__AttributeType type;
        int32_t gives;
        bool is_list;
    } table[] = {
        {"value_int", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT, T_INT64, false},
        {"value_ints", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS, T_INT64, true},
        {"value_float", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT, T_FLOAT, false},
        {"value_floats", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS, T_FLOAT, true},
    };
    const attribute_proto *a = NULL;
    if (!find_attribute(c, "value", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR, &a))
        return false;
    if (a) return a->t && numbers_of_tensor(c->m, a->t, &c->out[0]);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (!find_attribute(c, table[i].name, table[i].type, &a)) return false;
        if (a) return constant_of(c, a, table[i].gives, table[i].is_list);
    }
    return false;
}

static bool run_constant_of_shape(const call *c)
{
    const attribute_proto *a = NULL;
    numbers *out = &c->out[0], value = {0};
    list dims;
    shape s = {0};
    if (!fold_list(c, true, 0, NULL, &dims) || !fold_dims(&dims, &s) ||
        !find_attribute(c, "value", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR, &a))
        return false;
    if (!a) return fold_new(out, T_FLOAT, &s, false);
    if (!a->t || !numbers_of_tensor(c->m, a->t, &value)) return false;
    const bool ok = value.count == 1 && fold_new(out, value.type, &s, false);
    for (size_t i = 0; ok && i < out->count; i++) fold_put(out, i, &value, 0);
    numbers_free(&value);
    return ok;
}

static bool run_identity(const call *c)
{
    return fold_copy(c->in[0], &c->in[0]->shape, &c->out[0]);
}

/* Outside of training, Dropout changes nothing, and its mask is true everywhere. */
static bool run_dropout(const call *c)
{
    const numbers *training = fold_input(c, 2);
    bool is_test = true;
    if (c->opset < 7 && (!fold_flag(c, "is_test", false, &is_test) || !is_test)) return false;
    if (training &&
        (training->count != 1 || !training->whole || training->whole[0] || fold_varies(training)))
        return false;
    if (!run_identity(c)) return false;
    if (c->n_out < 2) return true;
    numbers *mask = &c->out[1];
    const int32_t type = c->opset < 10 ? c->in[0]->type : T_BOOL;
    if (!fold_new(mask, type, &c->in[0]->shape, false)) return false;
    for (size_t i = 0; i < mask->count; i++)
        if (mask->real)
            mask->real[i] = 1;
        else
            mask->whole[i] = 1;
    return true;
}

static const fold_operator operators[] = {
    {"Constant", 0, 0, .run = run_constant},
    {"ConstantOfShape", 1, 1, .run = run_constant_of_shape},
    {"Dropout", 1, 3, .run = run_dropout},
    {"Identity", 1, 1, .run = run_identity},
};

const fold_operator *fold_find(const fold_operator *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(table[i].name, name)) return &table[i];
    return NULL;
}

static const fold_operator *find_operator(const node_proto *node)
{
    const fold_operator *op = NULL;
    if (!node->op_type) return NULL;
    if (node->domain && *node->domain && strcmp(node->domain, "ai.onnx") != 0) return NULL;
    op = fold_find(operators, sizeof operators / sizeof operators[0], node->op_type);
    if (!op) op = fold_math(node->op_type);
    if (!op) op = fold_layer(node->op_type);
    return op ? op : fold_move(node->op_type);
}

bool fold_knows(const node_proto *node)
{
    return find_operator(node) != NULL;
}

static bool is_complete(const numbers *n)
{
    return is_sound(&n->shape) && n->count == shape_count(&n->shape) && fold_is(n->type, ANY) &&
           (n->real != NULL) == fold_is(n->type, REALS) && (n->whole != NULL) != (n->real != NULL);
}

/* Whether the numbers of every input that the node names are known, and of every input that the
 * operator needs. */
static bool has_inputs(const call *c)
{
    if (c->n < c->op->least || c->n > c->op->most) return false;
    for (size_t i = 0; i < c->n; i++)
        if (c->in[i] ? !is_complete(c->in[i]) : i < c->op->least) return false;
    for (size_t i = 0; i < c->node->n_input; i++)
        if (c->node->input[i] && *c->node->input[i] && !fold_input(c, i)) return false;
    return true;
}

/* Removes the list `varies` if nothing varies. */
static void settle(numbers *n)
{
    if (fold_varies(n)) return;
    free(n->varies);
    n->varies = NULL;
}

bool fold_node(model *m, const node_proto *node, size_t n, const numbers *const *inputs,
               size_t n_outputs, numbers *outputs)
{
    const call c = {.m = m,
                    .node = node,
                    .op = find_operator(node),
                    .opset = m->opset,
                    .n = n,
                    .n_out = n_outputs,
                    .in = inputs,
                    .out = outputs};
    for (size_t i = 0; i < n_outputs; i++) outputs[i] = (numbers){0};
    bool ok = c.op && n_outputs && has_inputs(&c) && c.op->run(&c);
    /* The node may name an output that the operator does not have. */
    for (size_t i = 0; ok && i < n_outputs; i++) ok = outputs[i].whole || outputs[i].real;
    for (size_t i = 0; i < n_outputs; i++)
        if (ok)
            settle(&outputs[i]);
        else
            numbers_free(&outputs[i]);
    return ok;
}

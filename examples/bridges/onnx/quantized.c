/*
 * Quantized parameters: whole numbers q of the file that stand for (q - zero) x scale.
 *
 * A layer that reads such a parameter, behind a DequantizeLinear or as an operand of a quantized
 * operator (lower.c), is described with a second tensor, which holds the real numbers. These are
 * scored, and set to zero for the zeroed file. What is cut and written are the whole numbers
 * themselves, with the same indices; they do not change. Scale and zero point are cut along the
 * axis for which they have one number each; one number for the whole tensor stays. So the cut is
 * exact.
 *
 * A parameter stays as it is if something else reads its whole numbers, or scales that would be
 * cut, if scales are for blocks of an axis, or if a type is none of 8, 16 or 32 bits.
 */
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "internal.h"
#include "lower.h"

struct quantized {
    tensor_proto *reals;                /* not in the model */
    tensor_proto *whole, *scale, *zero; /* zero may be NULL: it is 0 */
    size_t axis;                        /* of the scales; NO_AXIS: there is one */
    bool borrowed;                      /* something else cuts the scales */
};

/* Whether a tensor has one number, or one for each index of the axis. */
static bool is_along(const tensor *t, const tensor_proto *whole, size_t axis, bool *each)
{
    const size_t count = tensor_elements(t->data);
    *each = t->data->n_dims == 1 && count > 1;
    return count == 1 ||
           (*each && axis < whole->n_dims && count == (size_t)whole->dims[axis] && t->uses == 1);
}

static bool is_whole(const tensor_proto *t)
{
    static const int32_t TYPES[] = {
        ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, ONNX__TENSOR_PROTO__DATA_TYPE__INT8,
        ONNX__TENSOR_PROTO__DATA_TYPE__UINT16, ONNX__TENSOR_PROTO__DATA_TYPE__INT16,
        ONNX__TENSOR_PROTO__DATA_TYPE__INT32};
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (t->data_type == TYPES[i]) return true;
    return false;
}

static bool is_plain(const tensor *t)
{
    for (size_t k = 0; t->data && k < t->dims.rank; k++)
        if (t->from[k] != k) return false;
    return t->data && t->sized && t->dims.rank == t->data->n_dims && tensor_elements(t->data);
}

static size_t index_along(const tensor_proto *t, size_t axis, size_t i)
{
    size_t inner = 1;
    if (axis == NO_AXIS) return 0;
    for (size_t k = axis + 1; k < t->n_dims; k++) inner *= (size_t)t->dims[k];
    return i / inner % (size_t)t->dims[axis];
}

static void *data_of(net *n, tensor_proto *t)
{
    void *data;
    mskp_dtype dtype;
    failure ignored;
    return t && tensor_data(n->m, t, &data, &dtype, &ignored) ? data : NULL;
}

/* The real numbers, as a runtime computes them. scale[]: the scales, times `by`. */
static bool compute(net *n, const struct quantized *q, const double *scale)
{
    float *to = (float *)q->reals->raw_data.data;
    const void *from = data_of(n, q->whole), *zeros = data_of(n, q->zero);
    const bool each = q->zero && tensor_elements(q->zero) > 1;
    for (size_t i = 0; from && i < tensor_elements(q->whole); i++) {
        const size_t at = index_along(q->whole, q->axis, i);
        int64_t x, zero = 0;
        if (!tensor_integer_at(q->whole, from, i, &x) ||
            (zeros && !tensor_integer_at(q->zero, zeros, each ? at : 0, &zero)))
            return false;
        to[i] = (float)(x - zero) * (float)scale[tensor_elements(q->scale) > 1 ? at : 0];
    }
    return from && (zeros || !q->zero);
}

static bool make_reals(net *n, struct quantized *q, double by)
{
    const size_t count = tensor_elements(q->scale);
    double *scale = try_malloc((count + 1) * sizeof *scale);
    failure ignored;
    q->reals = tensor_floats_like(q->whole);
    bool good = scale && q->reals && tensor_numbers(n->m, q->scale, count, scale, &ignored);
    for (size_t i = 0; good && i < count; i++) {
        scale[i] *= by;
        good = scale[i] > 1e-30 && scale[i] < 1e30; /* then 0 is the zero point alone */
    }
    good = good && compute(n, q, scale);
    free(scale);
    return good;
}

bool net_quantized(net *n, tensor *t, const quantized_parts *parts)
{
    const tensor *x = parts->whole, *s = parts->scale, *z = parts->zero;
    bool each_scale = false, each_zero = false;
    if (!n->cuts || !x || !s || !is_plain(x) || !is_plain(s) || (z && !is_plain(z)) ||
        !is_whole(x->data) || !is_real(s->data) || (z && !is_whole(z->data)) || x->uses != 1 ||
        !is_along(s, x->data, parts->axis, &each_scale) ||
        (z && !is_along(z, x->data, parts->axis, &each_zero)))
        return false;
    struct quantized *more = try_realloc(n->quantized, (n->quantized_count + 1) * sizeof *more);
    if (!more) return false;
    n->quantized = more;
    struct quantized q = {.whole = x->data,
                          .scale = s->data,
                          .zero = z ? z->data : NULL,
                          .axis = each_scale || each_zero ? parts->axis : NO_AXIS,
                          .borrowed = parts->borrowed};
    if (!make_reals(n, &q, parts->by)) {
        if (q.reals) onnx__tensor_proto__free_unpacked(q.reals, model_allocator());
        return false;
    }
    more[n->quantized_count++] = q;
    t->data = q.reals;
    t->root = (size_t)(t - n->tensors);
    for (size_t k = 0; k < t->dims.rank; k++) t->from[k] = k;
    return true;
}

void net_free_quantized(net *n)
{
    for (size_t i = 0; i < n->quantized_count; i++)
        onnx__tensor_proto__free_unpacked(n->quantized[i].reals, model_allocator());
    free(n->quantized);
}

/* ---- Nodes ---- */

bool describe_stored(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    size_t axis = NO_AXIS;
    if (!is_op(node, "DequantizeLinear") || !x || !x->data || !y || !y->sized || y->stated ||
        attribute_int(node, "block_size", 0))
        return false;
    (void)to_axis(attribute_int(node, "axis", 1), x->dims.rank, &axis);
    return net_quantized(
        n, y, &(quantized_parts){x, net_input(n, node, 1), net_input(n, node, 2), axis, 1, false});
}

/* Whether the tensor has one number. */
static bool is_one(const tensor *t)
{
    return t && t->data && tensor_elements(t->data) == 1;
}

bool describe_quantize(net *n, const node_proto *node)
{
    const tensor *zero = net_input(n, node, 2);
    if (!is_flow(net_input(n, node, 0)) || !is_one(net_input(n, node, 1)) ||
        (zero && !is_one(zero)))
        return false;
    leave_data(n, 1);
    leave_data(n, 2);
    return pass_channels(n, node, false);
}

/* Whether the tensor is the zero point of a node that reads whole numbers: the same tensor, or the
 * same number. */
static bool same_zero(net *n, const tensor *a, const tensor *b)
{
    if (a == b) return true;
    return is_one(a) && is_one(b) && tensor_same(n->m, a->data, b->data);
}

static bool passes_whole(const node_proto *node)
{
    static const char *const PASSING[] = {"MaxPool",   "Reshape",  "Transpose", "Flatten",
                                          "Unsqueeze", "Identity", "Squeeze"};
    bool found = false;
    for (size_t i = 0; i < sizeof PASSING / sizeof *PASSING; i++) found |= is_op(node, PASSING[i]);
    return found;
}

/* Whether the node takes `zero` for the zero point of all that it reads of these whole numbers. */
static bool reads_with(net *n, const node_proto *node, const tensor *t, const tensor *zero)
{
    const struct lowered *l = lowered_node(n->m, node);
    bool same = true;
    if (!l)
        return is_op(node, "DequantizeLinear") && net_input(n, node, 0) == t &&
               same_zero(n, net_input(n, node, 2), zero);
    for (size_t k = 0; k < node->n_input; k++)
        if (net_input(n, node, k) == t)
            same = same && same_zero(n, lowered_input(n, l, l->operand[k].zero), zero);
    return same;
}

/* Whether zero is this zero point to all that reads whole numbers, also behind nodes that only move
 * them or take a maximum. */
static bool all_read_with(net *n, const tensor *t, const tensor *zero)
{
    enum { MOST_READ = 16 };
    const graph_proto *g = n->m->graph;
    const tensor *read[MOST_READ] = {t};
    size_t count = 1;
    for (size_t at = 0; at < count; at++) {
        size_t uses = 0;
        for (size_t i = n->node + 1; i < g->n_node; i++)
            for (size_t k = 0; k < g->node[i]->n_input; k++) {
                if (net_input(n, g->node[i], k) != read[at]) continue;
                if (passes_whole(g->node[i]) && !k && count < MOST_READ)
                    read[count++] = net_output(n, g->node[i], 0);
                else if (!reads_with(n, g->node[i], read[at], zero))
                    return false;
                uses++;
            }
        if (!read[at] || uses != read[at]->uses) return false; /* graphs within nodes, outputs */
    }
    return true;
}

/* Zero is the zero point, and all readers take it for that. */
bool zero_quantize(net *n, const node_proto *node)
{
    const tensor *y = net_output(n, node, 0);
    return zero_same(n, node) && y && all_read_with(n, y, net_input(n, node, 2));
}

bool is_zero_point_known(net *n, const node_proto *node)
{
    const struct lowered *l = lowered_node(n->m, node);
    const tensor *y = net_output(n, node, 0);
    if (!l || l->sums || l->result.scale == NO_INPUT) return true;
    return y && all_read_with(n, y, lowered_input(n, l, l->result.zero));
}

/* The range of the numbers decides about scale and zero point, so channels that leave must be zero:
 * each range has the zero. */
bool describe_dynamic_quantize(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0), *scale = net_output(n, node, 1);
    if (!is_flow(x) || !sum_channels(n, x, scale, node->op_type)) return false;
    set_pinned(n, net_output(n, node, 2), node->op_type);
    return pass_channels(n, node, false);
}

/* ---- Lowered nodes ---- */

/* The axis along which an operand may have its scales. */
static size_t axis_of_scales(const node_proto *node, size_t k, const tensor *t)
{
    const size_t rank = t->dims.rank;
    if (is_op(node, "Conv")) return k ? 0 : NO_AXIS;
    if (is_op(node, "Gemm")) return k && attribute_int(node, "transB", 0) ? 0 : k;
    return is_op(node, "MatMul") && rank > 1 ? rank - 2 + k : NO_AXIS;
}

static const node_proto *only_reader(const net *n, const tensor *t)
{
    return t && t->uses == 1 && t->consumer ? n->m->graph->node[t->consumer - 1] : NULL;
}

static const node_proto *maker_of(const net *n, const tensor *t)
{
    const graph_proto *g = n->m->graph;
    for (size_t i = 0; t && i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            if (net_output(n, g->node[i], k) == t) return g->node[i];
    return NULL;
}

/* The scale of a parameter whose products are summed as whole numbers: the sums are multiplied by
 * it, or by its product with the scale of what flows. NULL: it is not found. */
static const tensor *scale_behind(const net *n, const node_proto *node)
{
    const tensor *y = net_output(n, node, 0);
    const node_proto *reader = only_reader(n, y);
    if (reader && is_op(reader, "Cast")) {
        y = net_output(n, reader, 0);
        reader = only_reader(n, y);
    }
    if (!reader || !is_op(reader, "Mul") || reader->n_input != 2) return NULL;
    const tensor *s = net_input(n, reader, net_input(n, reader, 0) == y);
    if (s && s->data) return s;
    const node_proto *maker = maker_of(n, s);
    if (!maker || !is_op(maker, "Mul") || maker->n_input != 2) return NULL;
    for (size_t k = 0; k < 2; k++) {
        const tensor *t = net_input(n, maker, k);
        if (t && t->data) return t;
    }
    return NULL;
}

/* Scales and zero points of what flows must be one number. */
static bool is_plain_flow(const net *n, const struct lowered *l, const whole_operand *o)
{
    const tensor *s = lowered_input(n, l, o->scale), *z = lowered_input(n, l, o->zero);
    return (!s || is_flow(s) || is_one(s)) && (!z || is_flow(z) || is_one(z));
}

static double one_scale(net *n, const tensor *s)
{
    double x = 0;
    failure ignored;
    return is_one(s) && tensor_numbers(n->m, s->data, 1, &x, &ignored) && x > 0 && x < 1e30 ? x : 0;
}

/* A bias of whole numbers, whose scale is the product of those of the two other operands. */
static bool take_bias(net *n, const struct lowered *l)
{
    tensor *bias = net_input(n, l->node, l->bias);
    const tensor *s = lowered_input(n, l, l->operand[1].scale);
    const double by = one_scale(n, lowered_input(n, l, l->operand[0].scale));
    return bias && by > 0 && net_quantized(n, bias, &(quantized_parts){bias, s, NULL, 0, by, true});
}

static bool take_operand(net *n, const struct lowered *l, size_t k)
{
    const whole_operand *o = &l->operand[k];
    tensor *t = net_input(n, l->node, k);
    if (k == l->bias) return take_bias(n, l);
    if (!t || is_flow(t)) return t && is_plain_flow(n, l, o);
    if (is_one(t)) return true; /* one number for all channels stays */
    if (o->scale == NO_INPUT && o->zero == NO_INPUT && !l->sums) return true; /* a condition */
    const tensor *s = l->sums ? scale_behind(n, l->node) : lowered_input(n, l, o->scale);
    const quantized_parts parts = {.whole = t,
                                   .scale = s,
                                   .zero = lowered_input(n, l, o->zero),
                                   .axis = axis_of_scales(l->node, k, t),
                                   .by = 1,
                                   .borrowed = l->sums};
    return t->data && net_quantized(n, t, &parts);
}

/* What else reads a scale that is one number must find it as it was. */
static void keep_numbers(net *n, const struct lowered *l)
{
    for (size_t k = 0; k < l->n_input; k++) {
        const tensor *t = lowered_input(n, l, k);
        if (is_one(t)) lock_data(n, t);
    }
}

bool take_lowered(net *n, const node_proto *node)
{
    const struct lowered *l = lowered_node(n->m, node);
    if (!l) return true;
    bool good = is_plain_flow(n, l, &l->result);
    for (size_t k = 0; good && k < node->n_input; k++) good = take_operand(n, l, k);
    keep_numbers(n, l);
    return good;
}

/* The result is rounded and limited, so nothing is known of its numbers. */
void round_lowered(net *n, const node_proto *node)
{
    tensor *y = net_output(n, node, 0);
    if (!lowered_node(n->m, node) || !is_flow(y)) return;
    const mskp_activation_desc custom = {.kind = MSKP_ACTIVATION_CUSTOM};
    if (!y->pinned) y->value = mskp_activation(n->graph, NULL, y->value, &custom);
    y->sign = ANY_SIGN;
}

/* ---- After the description ---- */

/* What stays of a tensor: kept[k] are the indices of axis k, NULL: all. */
typedef struct selection {
    const uint32_t *kept[MAX_RANK];
    size_t count[MAX_RANK];
} selection;

/* Moves what stays to the front. Indices ascend, so nothing is overwritten that is still read. */
static bool gather(net *n, tensor_proto *t, const selection *s)
{
    void *data;
    mskp_dtype dtype;
    size_t index[MAX_RANK] = {0}, left = 1;
    if (!tensor_writable(n->m, t, &data, &dtype, n->f)) return false;
    const size_t size = tensor_bytes(t) / tensor_elements(t);
    for (size_t k = 0; k < t->n_dims; k++) left *= s->count[k];
    for (size_t i = 0; i < left; i++) {
        size_t from = 0;
        for (size_t k = 0; k < t->n_dims; k++)
            from = from * (size_t)t->dims[k] + (s->kept[k] ? s->kept[k][index[k]] : index[k]);
        memmove((char *)data + i * size, (char *)data + from * size, size);
        for (size_t k = t->n_dims; k-- > 0 && ++index[k] == s->count[k];) index[k] = 0;
    }
    tensor_shrink(n->m, t, t->n_dims, s->count);
    return true;
}

static const weight *weight_with(const net *n, const tensor_proto *data)
{
    for (size_t i = 0; i < n->weight_count; i++)
        if (n->weights[i].data == data && n->weights[i].param.id) return &n->weights[i];
    return NULL;
}

bool cut_quantized(net *n, const mskp_plan *plan)
{
    bool good = true;
    for (size_t i = 0; good && i < n->quantized_count; i++) {
        const struct quantized *q = &n->quantized[i];
        const weight *w = weight_with(n, q->reals);
        selection s = {.kept = {NULL}};
        bool some = false;
        for (size_t k = 0; k < q->whole->n_dims; k++) s.count[k] = (size_t)q->whole->dims[k];
        for (uint32_t j = 0; w && j < w->ndim; j++) {
            size_t count;
            const uint32_t *kept = mskp_plan_param_kept(plan, w->param, j, &count);
            if (!kept || !count) continue;
            s.kept[w->order[j]] = kept;
            s.count[w->order[j]] = count;
            some = true;
        }
        if (!some) continue;
        good = gather(n, q->whole, &s);
        if (q->axis == NO_AXIS || !s.kept[q->axis]) continue;
        const selection one = {.kept = {s.kept[q->axis]}, .count = {s.count[q->axis]}};
        if (good && !q->borrowed && tensor_elements(q->scale) > 1) good = gather(n, q->scale, &one);
        if (good && q->zero && tensor_elements(q->zero) > 1) good = gather(n, q->zero, &one);
    }
    return good;
}

void requantize(net *n)
{
    for (size_t k = 0; k < n->quantized_count; k++) {
        const struct quantized *q = &n->quantized[k];
        const float *reals = (const float *)q->reals->raw_data.data;
        void *whole;
        mskp_dtype dtype;
        failure ignored;
        const char *zeros = data_of(n, q->zero);
        if (!tensor_writable(n->m, q->whole, &whole, &dtype, &ignored)) continue;
        const size_t count = tensor_elements(q->whole), size = tensor_bytes(q->whole) / count;
        const bool each = q->zero && tensor_elements(q->zero) > 1;
        for (size_t i = 0; i < count; i++) {
            char *to = (char *)whole + i * size;
            if (reals[i] > 0 || reals[i] < 0) continue;
            if (zeros)
                memcpy(to, zeros + (each ? index_along(q->whole, q->axis, i) : 0) * size, size);
            else
                memset(to, 0, size);
        }
    }
}

bool quantized_dims(const net *n, const tensor_proto *data, dims *d)
{
    bool found = false;
    for (size_t i = 0; i < n->quantized_count; i++) {
        const struct quantized *q = &n->quantized[i];
        found |= data == q->whole || data == q->scale || data == q->zero;
    }
    for (size_t k = 0; found && k < d->rank; k++) d->dim[k] = (size_t)data->dims[k];
    return found;
}

file_parameters count_quantized(const net *n)
{
    file_parameters sum = {0};
    for (size_t i = 0; i < n->quantized_count; i++) {
        const double elements = (double)tensor_elements(n->quantized[i].whole);
        sum.all += elements;
        if (!weight_with(n, n->quantized[i].reals)) sum.others += elements;
    }
    return sum;
}

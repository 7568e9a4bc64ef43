/*
 * Quantized parameters: whole numbers q of the file that stand for (q - zero) x scale.
 *
 * A layer that reads such a parameter, behind a DequantizeLinear or as an operand of QLinearConv,
 * is described with a second tensor, which holds the real numbers. These are scored, and set to
 * zero for the zeroed file. What is cut and written are the whole numbers themselves, with the
 * same indices; they do not change. Scale and zero point are cut along the axis for which they have
 * one number each; one number for the whole tensor stays. So the cut is exact.
 *
 * A parameter stays as it is if something else reads its whole numbers, or scales that would be
 * cut, if scales are for blocks of an axis, or if a type is none of 8, 16 or 32 bits.
 */
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "internal.h"

struct quantized {
    tensor_proto *reals;                /* not in the model */
    tensor_proto *whole, *scale, *zero; /* zero may be NULL: it is 0 */
    size_t axis;                        /* of the scales; NO_AXIS: there is one */
    bool borrowed; /* the scales are those of another parameter, with which they are cut */
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

/* Zero is the zero point, and all readers take it for that. */
bool zero_quantize(net *n, const node_proto *node)
{
    const graph_proto *g = n->m->graph;
    const tensor *y = net_output(n, node, 0), *zero = net_input(n, node, 2);
    size_t uses = 0;
    for (size_t i = n->node + 1; y && i < g->n_node; i++)
        uses += is_op(g->node[i], "DequantizeLinear") && net_input(n, g->node[i], 0) == y &&
                net_input(n, g->node[i], 2) == zero;
    return zero_same(n, node) && uses == y->uses;
}

/* The scale of what a QLinearConv reads; 0: it is not one number that is known. */
static double scale_of(net *n, const node_proto *node)
{
    tensor *s = net_input(n, node, 1);
    double x = 0;
    failure ignored;
    return is_one(s) && tensor_numbers(n->m, s->data, 1, &x, &ignored) && x > 0 && x < 1e30 ? x : 0;
}

/* Gives kernel and bias of a QLinearConv, inputs 3 and 8, their real numbers. */
bool take_quantized(net *n, const node_proto *node)
{
    tensor *w = net_input(n, node, 3), *s = net_input(n, node, 4), *z = net_input(n, node, 5);
    tensor *bias = net_input(n, node, 8);
    const double by = scale_of(n, node);
    for (size_t k = 1; k < 8; k++)
        if ((k < 3 || k > 5) && !is_one(net_input(n, node, k))) return false;
    if (!(by > 0) || (bias && (!is_plain(bias) || bias->uses != 1))) return false;
    if (!net_quantized(n, w, &(quantized_parts){w, s, z, 0, 1, false})) return false;
    if (bias && !net_quantized(n, bias, &(quantized_parts){bias, s, NULL, 0, by, true}))
        return false;
    for (size_t k = 1; k < 9; k++)
        if (k != 3 && k != 8) leave_data(n, k);
    return true;
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
        if (q->axis == NO_AXIS || !s.kept[q->axis] || q->borrowed) continue;
        const selection one = {.kept = {s.kept[q->axis]}, .count = {s.count[q->axis]}};
        if (good && tensor_elements(q->scale) > 1) good = gather(n, q->scale, &one);
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

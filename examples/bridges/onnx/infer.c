/*
 * Infers the shapes of all tensors, and the numbers that are known before the network runs.
 *
 * For each operator, operators.c names a function that makes the shapes of the outputs from the
 * shapes of the inputs. A length that the model leaves open is computed with the number that the
 * caller gave, and is marked as varying: from 2 on for one particular length, of an input or of the
 * tensor that first has it; 1 for a number that depends on open lengths in some way. If all inputs
 * are known numbers, fold_node computes the outputs. Numbers that come from the Shape of a tensor
 * are remembered as following its axes, because they change when the tensor is cut.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "infer.h"
#include "lower.h"

const dims *in_dims(const net *n, const node_proto *node, size_t k)
{
    const tensor *t = net_input(n, node, k);
    return t && t->sized ? &t->dims : NULL;
}

void set_axis(dims *out, size_t k, size_t length, uint8_t varies)
{
    if (k >= MAX_RANK) return;
    out->dim[k] = length;
    out->varies[k] = varies;
}

void copy_axis(dims *out, size_t k, const dims *in, size_t i)
{
    set_axis(out, k, in->dim[i], in->varies[i]);
}

/* `varies` of a length that is made of two lengths. */
static uint8_t both_open(uint8_t a, uint8_t b)
{
    return !a || a == b ? b : !b ? a : 1;
}

static bool any_varies(const dims *d)
{
    for (size_t k = 0; k < d->rank; k++)
        if (d->varies[k]) return true;
    return false;
}

/* ---- Element by element ---- */

bool infer_same(net *n, const node_proto *node, dims *out)
{
    const dims *in = in_dims(n, node, 0);
    if (!in) return false;
    for (size_t k = 0; k < node->n_output; k++) out[k] = *in;
    return true;
}

static bool broadcast_with(dims *out, const dims *in)
{
    const size_t rank = out->rank > in->rank ? out->rank : in->rank;
    dims wide = {.rank = rank};
    for (size_t k = 0; k < rank; k++) {
        const bool a = k + out->rank >= rank, b = k + in->rank >= rank;
        const size_t i = k + out->rank - rank, j = k + in->rank - rank;
        const bool same =
            a && b && in->dim[j] == out->dim[i]; /* the length is open if one of them is */
        if (same)
            set_axis(&wide, k, out->dim[i], both_open(out->varies[i], in->varies[j]));
        else if (a && (!b || in->dim[j] == 1))
            copy_axis(&wide, k, out, i);
        else if (b && (!a || out->dim[i] == 1 || out->dim[i] == in->dim[j]))
            copy_axis(&wide, k, in, j);
        else
            return false;
    }
    *out = wide;
    return true;
}

bool infer_broadcast(net *n, const node_proto *node, dims *out)
{
    *out = (dims){0};
    for (size_t k = 0; k < node->n_input; k++) {
        const dims *in = in_dims(n, node, k);
        if (!in || !broadcast_with(out, in)) return false;
    }
    return node->n_output == 1;
}

/* ---- Convolutions, pooling, resizing ---- */

bool infer_conv(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0), *w = in_dims(n, node, is_op(node, "QLinearConv") ? 3 : 1);
    window v;
    if (!x || !w || x->rank != w->rank || x->rank < 3 || !node_window(node, x, w->dim + 2, &v))
        return false;
    const size_t groups = (size_t)attribute_int(node, "group", 1);
    if (!groups || groups > x->dim[1] || w->dim[1] * groups != x->dim[1] || w->dim[0] % groups)
        return false;
    *out = *x;
    set_axis(out, 1, w->dim[0], false);
    for (size_t i = 0; i < v.axes; i++) out->dim[2 + i] = v.out[i];
    return true;
}

bool infer_conv_transposed(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0), *w = in_dims(n, node, 1);
    window v;
    if (!x || !w || x->rank != w->rank || x->rank < 3 || !node_transposed(node, x, w->dim + 2, &v))
        return false;
    const size_t groups = (size_t)attribute_int(node, "group", 1);
    if (!groups || w->dim[0] != x->dim[1] || groups > x->dim[1]) return false;
    *out = *x;
    set_axis(out, 1, w->dim[1] * groups, false);
    for (size_t i = 0; i < v.axes; i++) out->dim[2 + i] = v.out[i];
    return true;
}

bool infer_pool(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    window v;
    if (!x || !node_window(node, x, NULL, &v)) return false;
    for (size_t k = 0; k < node->n_output; k++) {
        out[k] = *x;
        for (size_t i = 0; i < v.axes; i++) out[k].dim[2 + i] = v.out[i];
    }
    return true;
}

bool infer_global_pool(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    if (!x || x->rank < 3) return false;
    *out = *x;
    for (size_t k = 2; k < x->rank; k++) set_axis(out, k, 1, false);
    return true;
}

bool infer_resize(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    resizing r;
    if (!x || !node_resizing(n, node, x, &r)) return false;
    out->rank = x->rank;
    for (size_t k = 0; k < x->rank; k++) set_axis(out, k, r.out[k], r.varies[k]);
    return true;
}

bool infer_depth_to_space(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    const size_t b = (size_t)attribute_int(node, "blocksize", 0);
    if (!x || x->rank != 4 || !b || b > 1024 || x->dim[1] % (b * b)) return false;
    *out = *x;
    out->dim[1] /= b * b;
    out->dim[2] *= b;
    out->dim[3] *= b;
    return true;
}

bool infer_space_to_depth(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    const size_t b = (size_t)attribute_int(node, "blocksize", 0);
    if (!x || x->rank != 4 || !b || b > 1024 || x->dim[2] % b || x->dim[3] % b) return false;
    *out = *x;
    out->dim[1] *= b * b;
    out->dim[2] /= b;
    out->dim[3] /= b;
    return true;
}

/* ---- Products ---- */

bool infer_gemm(net *n, const node_proto *node, dims *out)
{
    const dims *a = in_dims(n, node, 0), *b = in_dims(n, node, 1);
    const size_t ta = attribute_int(node, "transA", 0) != 0;
    const size_t tb = attribute_int(node, "transB", 0) != 0;
    if (!a || !b || a->rank != 2 || b->rank != 2 || a->dim[!ta] != b->dim[tb]) return false;
    *out = (dims){.rank = 2};
    copy_axis(out, 0, a, ta);
    copy_axis(out, 1, b, !tb);
    return true;
}

bool infer_matmul(net *n, const node_proto *node, dims *out)
{
    const dims *a = in_dims(n, node, 0),
               *b = in_dims(n, node, is_op(node, "QLinearMatMul") ? 3 : 1);
    if (!a || !b || a->rank < 2 || b->rank < 2 || a->dim[a->rank - 1] != b->dim[b->rank - 2])
        return false;
    dims batch_b = *b;
    *out = *a;
    out->rank -= 2;
    batch_b.rank -= 2;
    if (!broadcast_with(out, &batch_b)) return false;
    out->rank += 2;
    copy_axis(out, out->rank - 2, a, a->rank - 2);
    copy_axis(out, out->rank - 1, b, b->rank - 1);
    return true;
}

/* ---- Movement ---- */

bool infer_transpose(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    const attribute_proto *a = node_attribute(node, "perm");
    uint8_t seen[MAX_RANK] = {0};
    if (!x || (a && a->n_ints != x->rank)) return false;
    *out = (dims){.rank = x->rank};
    for (size_t k = 0; k < x->rank; k++) {
        const int64_t i = a ? a->ints[k] : (int64_t)(x->rank - 1 - k);
        if (i < 0 || (size_t)i >= x->rank || seen[i]++) return false;
        copy_axis(out, k, x, (size_t)i);
    }
    return true;
}

bool infer_unsqueeze(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    const attribute_proto *a = node_attribute(node, "axes");
    const tensor *t = n->m->opset >= 13 ? net_input(n, node, 1) : NULL;
    uint8_t axes[MAX_RANK];
    bool given;
    const size_t more = t   ? (t->known  ? t->numbers.count
                               : t->data ? tensor_elements(t->data)
                                         : 99)
                        : a ? a->n_ints
                            : 99;
    if (!x || more > MAX_RANK || x->rank + more > MAX_RANK) return false;
    const size_t rank = x->rank + more;
    if (!node_axes(n, node, 1, 13, rank, axes, &given)) return false;
    *out = (dims){.rank = rank};
    for (size_t k = 0, i = 0; k < rank; k++) {
        if (axes[k])
            set_axis(out, k, 1, false);
        else if (i < x->rank)
            copy_axis(out, k, x, i++);
        else
            return false;
    }
    return true;
}

bool infer_squeeze(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    uint8_t axes[MAX_RANK];
    bool given;
    if (!x || !node_axes(n, node, 1, 13, x->rank, axes, &given)) return false;
    *out = (dims){0};
    for (size_t k = 0; k < x->rank; k++) {
        if (!given && x->varies[k]) return false;
        if (given ? axes[k] : x->dim[k] == 1) {
            if (x->dim[k] != 1) return false;
        } else {
            copy_axis(out, out->rank++, x, k);
        }
    }
    return true;
}

bool infer_flatten(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    size_t axis;
    const int64_t at = attribute_int(node, "axis", 1);
    if (!x) return false;
    if (at == (int64_t)x->rank)
        axis = x->rank;
    else if (!to_axis(at, x->rank, &axis))
        return false;
    *out = (dims){.rank = 2};
    for (size_t k = 0; k < x->rank; k++)
        out->varies[k >= axis] = both_open(out->varies[k >= axis], x->varies[k]);
    out->dim[0] = product_of(x, 0, axis);
    out->dim[1] = product_of(x, axis, x->rank);
    return true;
}

/* `varies` of the length -1 in the target of a Reshape. The length is fixed if all open lengths of
 * x stand elsewhere in the target; it is an open length of x if only this one is left; otherwise it
 * depends on several. */
static uint8_t rest_varies(const dims *x, const dims *out, size_t rest)
{
    uint8_t used[MAX_RANK] = {0}, left = 0;
    for (size_t k = 0; k < x->rank; k++) {
        size_t i = 0;
        if (!x->varies[k]) continue;
        while (i < out->rank && (i == rest || used[i] || out->varies[i] != x->varies[k])) i++;
        if (x->varies[k] > 1 && i < out->rank)
            used[i] = 1;
        else
            left = left ? 1 : x->varies[k];
    }
    for (size_t i = 0; i < out->rank; i++)
        if (i != rest && out->varies[i] && !used[i])
            return 1; /* an open length in the target that x does not have */
    return left;
}

bool infer_reshape(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    tensor *t = net_input(n, node, 1);
    const attribute_proto *a = n->m->opset < 5 ? node_attribute(node, "shape") : NULL;
    const numbers *s = t ? known_numbers(n, t) : NULL;
    const int64_t *list = s ? s->whole : a ? a->ints : NULL;
    const size_t rank = s ? s->count : a ? a->n_ints : 0;
    const bool zero = attribute_int(node, "allowzero", 0) != 0;
    size_t rest = MAX_RANK, stated = 1;
    if (!x || !list || rank > MAX_RANK) return false;
    *out = (dims){.rank = rank};
    for (size_t k = 0; k < rank; k++) {
        if (list[k] == -1 && rest == MAX_RANK) {
            rest = k;
            continue;
        }
        if (!list[k] && !zero && k < x->rank)
            copy_axis(out, k, x, k);
        else if (list[k] > 0 && list[k] < INT32_MAX)
            set_axis(out, k, (size_t)list[k], s && s->varies ? s->varies[k] : 0);
        else
            return false;
        stated *= out->dim[k];
    }
    const size_t all = product_of(x, 0, x->rank);
    if (rest < MAX_RANK) {
        if (!stated || all % stated) return false;
        set_axis(out, rest, all / stated, rest_varies(x, out, rest));
        stated *= all / stated;
    }
    return stated == all;
}

/* out <- the shape that operand k states. */
static bool operand_shape(const net *n, const node_proto *node, size_t k, dims *out)
{
    tensor *t = net_input(n, node, k);
    const numbers *s = t ? known_numbers(n, t) : NULL;
    if (!s || !s->whole || s->count > MAX_RANK) return false;
    *out = (dims){.rank = s->count};
    for (size_t i = 0; i < s->count; i++) {
        if (s->whole[i] < 1 || s->whole[i] > INT32_MAX) return false;
        set_axis(out, i, (size_t)s->whole[i], s->varies ? s->varies[i] : 0);
    }
    return true;
}

bool infer_constant_of_shape(net *n, const node_proto *node, dims *out)
{
    return operand_shape(n, node, 0, out);
}

bool infer_expand(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    dims wide;
    if (!x || !operand_shape(n, node, 1, &wide)) return false;
    *out = *x;
    return broadcast_with(out, &wide);
}

bool infer_tile(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    tensor *t = net_input(n, node, 1);
    const numbers *s = t ? known_numbers(n, t) : NULL;
    if (!x || !s || !s->whole || s->count != x->rank) return false;
    *out = *x;
    for (size_t k = 0; k < x->rank; k++) {
        if (s->whole[k] < 1 || s->whole[k] > INT32_MAX) return false;
        out->dim[k] *= (size_t)s->whole[k];
        out->varies[k] = both_open(out->varies[k], s->varies ? s->varies[k] : 0);
    }
    return true;
}

bool infer_concat(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    size_t axis;
    if (!x || !to_axis(attribute_int(node, "axis", 0), x->rank, &axis)) return false;
    *out = *x;
    for (size_t k = 1; k < node->n_input; k++) {
        const dims *y = in_dims(n, node, k);
        if (!y || y->rank != out->rank) return false;
        for (size_t i = 0; i < y->rank; i++) {
            if (i != axis && y->dim[i] != out->dim[i]) return false;
            out->varies[i] = both_open(out->varies[i], y->varies[i]);
        }
        out->dim[axis] += y->dim[axis];
    }
    return true;
}

bool infer_split(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    size_t axis;
    if (!x || !to_axis(attribute_int(node, "axis", 0), x->rank, &axis)) return false;
    size_t *widths = try_calloc(node->n_output + 1, sizeof *widths);
    const bool good = widths && node_parts(n, node, x->dim[axis], node->n_output, widths);
    for (size_t k = 0; good && k < node->n_output; k++) {
        out[k] = *x;
        out[k].dim[axis] = widths[k];
    }
    free(widths);
    return good;
}

bool infer_slice(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    slicing s;
    if (!x || !node_slicing(n, node, x, &s)) return false;
    *out = *x;
    for (size_t k = 0; k < x->rank; k++) {
        out->dim[k] = s.count[k];
        if (s.open[k]) out->varies[k] = s.varies[k];
    }
    return true;
}

bool infer_gather(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0), *i = in_dims(n, node, 1);
    size_t axis;
    if (!x || !i || !to_axis(attribute_int(node, "axis", 0), x->rank, &axis) ||
        x->rank + i->rank > MAX_RANK + 1)
        return false;
    *out = (dims){0};
    for (size_t k = 0; k < axis; k++) copy_axis(out, out->rank++, x, k);
    for (size_t k = 0; k < i->rank; k++) copy_axis(out, out->rank++, i, k);
    for (size_t k = axis + 1; k < x->rank; k++) copy_axis(out, out->rank++, x, k);
    return true;
}

bool infer_pad(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    padding p;
    if (!x || !node_pads(n, node, x->rank, &p)) return false;
    *out = *x;
    for (size_t k = 0; k < x->rank; k++) {
        const int64_t length = (int64_t)x->dim[k];
        if (p.before[k] < -length || p.after[k] < -length || p.before[k] > INT32_MAX ||
            p.after[k] > INT32_MAX || length + p.before[k] + p.after[k] < 1)
            return false;
        if (p.open[k]) out->varies[k] = 1;
        out->dim[k] = (size_t)(length + p.before[k] + p.after[k]);
    }
    return true;
}

/* ReduceSum has its axes as an input from opset 13 on, the other reductions from 18 on. */
size_t reduce_since(const node_proto *node)
{
    return is_op(node, "ReduceSum") ? 13 : 18;
}

bool infer_reduce(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    const bool keep = attribute_int(node, "keepdims", 1) != 0;
    uint8_t axes[MAX_RANK];
    bool given;
    if (!x || !node_axes(n, node, 1, reduce_since(node), x->rank, axes, &given)) return false;
    if (!given && attribute_int(node, "noop_with_empty_axes", 0)) {
        *out = *x;
        return true;
    }
    *out = (dims){0};
    for (size_t k = 0; k < x->rank; k++) {
        if (given && !axes[k])
            copy_axis(out, out->rank++, x, k);
        else if (keep)
            set_axis(out, out->rank++, 1, false);
    }
    return true;
}

bool infer_norm(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    const bool running = is_op(node, "BatchNormalization") && n->m->opset >= 14;
    if (!x || (node->n_output != 1 && !(running && node->n_output == 3 && x->rank > 1)))
        return false;
    *out = *x;
    for (size_t k = 1; k < node->n_output; k++) /* the running mean and variance */
        out[k] = (dims){.rank = 1, .dim = {x->dim[1]}, .varies = {x->varies[1]}};
    return true;
}

/* One number of a Range. False: it is not known. */
static bool range_number(const net *n, const node_proto *node, size_t k, double *x, uint8_t *varies)
{
    tensor *t = net_input(n, node, k);
    const numbers *s = t ? known_numbers(n, t) : NULL;
    if (!s || s->count != 1) return false;
    *x = s->real ? s->real[0] : (double)s->whole[0];
    *varies = s->varies ? s->varies[0] : 0;
    return true;
}

/* A Range up to an open length is as long. */
bool infer_range(net *n, const node_proto *node, dims *out)
{
    double x[3];
    uint8_t varies[3];
    for (size_t k = 0; k < 3; k++)
        if (!range_number(n, node, k, &x[k], &varies[k])) return false;
    const double length = ceil((x[1] - x[0]) / x[2]);
    if (!(length >= 1) || length > INT32_MAX) return false;
    const bool whole =
        !varies[0] && !varies[2] && !(x[0] < 0) && !(x[0] > 0) && !(x[2] < 1) && !(x[2] > 1);
    *out = (dims){.rank = 1};
    set_axis(out, 0, (size_t)length, whole ? varies[1] : varies[0] || varies[1] || varies[2]);
    return true;
}

/* ---- Numbers ---- */

static bool follow(tensor *t, followed f)
{
    size_t k = 0;
    while (k < t->follow_count && t->follows[k].tensor != f.tensor) k++;
    if (k == t->follow_count) {
        followed *more = try_realloc(t->follows, (k + 1) * sizeof *more);
        if (!more) return false;
        t->follows = more;
        more[t->follow_count++] = (followed){.tensor = f.tensor};
    }
    t->follows[k].axes |= f.axes;
    return true;
}

/* A Gather, Slice or Split may pick some numbers of a Shape. axes[k] <- the axes that output k
 * states, a bit for each. They are found by running the node on the numbers of the axes. */
static void picked_axes(const net *n, const node_proto *node, const numbers *const *in,
                        uint32_t *axes)
{
    static const char *const PICKING[] = {"Gather", "Slice", "Split"};
    const tensor *x = net_input(n, node, 0);
    bool picks = false;
    for (size_t i = 0; i < sizeof PICKING / sizeof *PICKING; i++) picks |= is_op(node, PICKING[i]);
    for (size_t k = 0; k < node->n_output; k++) axes[k] = UINT32_MAX;
    if (!picks || !x || !x->shape_of) return;
    numbers places = *in[0], *out = try_calloc(node->n_output + 1, sizeof *out);
    places.whole = try_calloc(places.count + 1, sizeof *places.whole);
    if (out && places.whole) {
        const numbers *inputs[8] = {&places};
        for (size_t i = 0; i < places.count; i++) places.whole[i] = (int64_t)(x->shape_first + i);
        for (size_t i = 1; i < node->n_input && i < 8; i++) inputs[i] = in[i];
        const bool good =
            node->n_input <= 8 && fold_node(n->m, node, node->n_input, inputs, node->n_output, out);
        for (size_t k = 0; good && k < node->n_output; k++) {
            axes[k] = 0;
            for (size_t i = 0; i < out[k].count; i++) axes[k] |= UINT32_C(1) << out[k].whole[i];
            numbers_free(&out[k]);
        }
    }
    free(places.whole);
    free(out);
}

static void take_numbers(tensor *t, const numbers *k)
{
    t->known = t->sized = true;
    t->released = false;
    t->numbers = *k;
    t->dims = (dims){.rank = k->shape.rank};
    memcpy(t->dims.dim, k->shape.dim, sizeof t->dims.dim);
}

/* Shape and Size give known numbers if the shape of their input is known. */
static bool infer_lengths(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    tensor *y = net_output(n, node, 0);
    const bool size = is_op(node, "Size");
    if ((!size && !is_op(node, "Shape")) || !y || !x || !x->sized) return true;
    const int64_t rank = (int64_t)x->dims.rank;
    int64_t first = attribute_int(node, "start", 0), last = attribute_int(node, "end", rank);
    first = first < -rank ? 0 : first < 0 ? first + rank : first > rank ? rank : first;
    last = last < -rank ? 0 : last < 0 ? last + rank : last > rank ? rank : last;
    if (last < first) last = first;
    if (size) first = 0, last = rank;
    const size_t count = size ? 1 : (size_t)(last - first);
    numbers k = {.type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64, .count = count};
    k.shape.rank = !size;
    k.shape.dim[0] = count;
    k.whole = try_calloc(count + 1, sizeof *k.whole);
    k.varies = try_calloc(count + 1, 1);
    if (!k.whole || !k.varies) {
        numbers_free(&k);
        return fail(n->f, "no memory for the shape of %s", x->name);
    }
    for (size_t i = 0; !size && i < count; i++) {
        k.whole[i] = (int64_t)x->dims.dim[(size_t)first + i];
        k.varies[i] = x->dims.varies[(size_t)first + i];
    }
    if (size) {
        k.whole[0] = (int64_t)product_of(&x->dims, 0, x->dims.rank);
        k.varies[0] = any_varies(&x->dims);
    }
    take_numbers(y, &k);
    const followed f = {(size_t)(x - n->tensors), (UINT32_C(1) << last) - (UINT32_C(1) << first)};
    if (!size) y->shape_of = f.tensor + 1, y->shape_first = (size_t)first;
    if (!follow(y, f)) return fail(n->f, "no memory for the shape of %s", x->name);
    return true;
}

/* The output's numbers follow what the inputs' numbers follow; of the first input, only the axes in
 * `picked`. */
static bool follow_inputs(const net *n, const node_proto *node, tensor *t, uint32_t picked)
{
    for (size_t i = 0; i < node->n_input; i++) {
        const tensor *from = net_input(n, node, i);
        for (size_t k = 0; from && k < from->follow_count; k++) {
            followed f = from->follows[k];
            if (!i) f.axes &= picked;
            if (f.axes && !follow(t, f)) return false;
        }
    }
    return true;
}

/* If all inputs are known numbers, computes the outputs. */
static bool infer_numbers(net *n, const node_proto *node)
{
    const tensor *first = net_output(n, node, 0);
    if (first && first->data) return true; /* of a Constant: read when needed */
    enum { MOST = 64 };                    /* operands of arithmetic on shapes */
    const numbers *in[MOST] = {0};
    if (node->n_input > MOST) return true;
    numbers *out = try_calloc(node->n_output + 1, sizeof *out);
    uint32_t *axes = try_calloc(node->n_output + 1, sizeof *axes);
    bool known = out && axes, good = known;
    for (size_t k = 0; known && k < node->n_input; k++) {
        tensor *t = net_input(n, node, k);
        if (!*node->input[k]) continue;
        in[k] = t ? known_numbers(n, t) : NULL;
        known = in[k] != NULL;
    }
    if (known && fold_node(n->m, node, node->n_input, in, node->n_output, out)) {
        picked_axes(n, node, in, axes);
        for (size_t k = 0; k < node->n_output; k++) {
            tensor *t = net_output(n, node, k);
            if (!t) {
                numbers_free(&out[k]);
                continue;
            }
            take_numbers(t, &out[k]);
            good = good && follow_inputs(n, node, t, axes[k]);
        }
    }
    if (!good) fail(n->f, "no memory for the numbers of a %s", node->op_type);
    free(axes);
    free(out);
    return good;
}

/* Forgets the numbers of the outputs, which may be from before the node was corrected. */
static void forget(const net *n, const node_proto *node)
{
    for (size_t k = 0; k < node->n_output; k++) {
        tensor *t = net_output(n, node, k);
        if (!t || t->data) continue;
        numbers_free(&t->numbers);
        t->known = t->released = false;
        t->follow_count = t->shape_of = 0;
    }
}

/* Whether an operand has an axis or a number that is this open length. */
static bool is_given(const net *n, const node_proto *node, size_t length, uint8_t open)
{
    for (size_t k = 0; k < node->n_input; k++) {
        const tensor *t = net_input(n, node, k);
        for (size_t i = 0; t && t->sized && i < t->dims.rank; i++)
            if (t->dims.varies[i] == open && t->dims.dim[i] == length) return true;
        const numbers *x = t && t->known ? &t->numbers : NULL;
        for (size_t i = 0; x && x->whole && x->varies && i < x->count; i++)
            if (x->varies[i] == open && x->whole[i] == (int64_t)length) return true;
    }
    return false;
}

/* Lengths that no operand has were computed from an open length: they depend on it and are another
 * length. */
static void forget_names(const net *n, const node_proto *node, dims *d)
{
    for (size_t k = 0; k < d->rank; k++)
        if (d->varies[k] > 1 && !is_given(n, node, d->dim[k], d->varies[k])) d->varies[k] = 1;
}

/* The number that names a length of this tensor which is computed from open lengths: other axes
 * with the same number are as long. After the cut, numbers are those from before. 1: there are too
 * many lengths. */
static uint8_t name_length(net *n, const tensor *t, size_t axis)
{
    const tensor *before = n->before ? net_tensor(n->before, t->name) : NULL;
    if (n->before)
        return before && axis < before->dims.rank && before->dims.varies[axis]
                   ? before->dims.varies[axis]
                   : 1;
    return n->last_length < UINT8_MAX ? ++n->last_length : 1;
}

/* The first output has the type of the first operand, but for a few operators. */
static void infer_type(const net *n, const node_proto *node)
{
    static const struct {
        const char *op;
        size_t operand; /* that has the type; SIZE_MAX: no operand has */
    } OTHERS[] = {
        {"CastLike", 1},
        {"Where", 1},
        {"DequantizeLinear", 1},
        {"DynamicQuantizeLinear", SIZE_MAX},
        {"OneHot", 2},
        {"Cast", SIZE_MAX},
        {"And", SIZE_MAX},
        {"ArgMax", SIZE_MAX},
        {"ArgMin", SIZE_MAX},
        {"Bernoulli", SIZE_MAX},
        {"ConstantOfShape", SIZE_MAX},
        {"ConvInteger", SIZE_MAX},
        {"Equal", SIZE_MAX},
        {"Greater", SIZE_MAX},
        {"GreaterOrEqual", SIZE_MAX},
        {"IsInf", SIZE_MAX},
        {"IsNaN", SIZE_MAX},
        {"Less", SIZE_MAX},
        {"LessOrEqual", SIZE_MAX},
        {"MatMulInteger", SIZE_MAX},
        {"Or", SIZE_MAX},
        {"QLinearConv", SIZE_MAX},
        {"QLinearMatMul", SIZE_MAX},
        {"QuantizeLinear", SIZE_MAX},
        {"RandomNormalLike", SIZE_MAX},
        {"RandomUniformLike", SIZE_MAX},
        {"Xor", SIZE_MAX},
    };
    tensor *y = net_output(n, node, 0);
    const op_kind *kind = find_op_kind(node);
    size_t operand = 0;
    if (!y || y->type || y->data || !kind || !kind->infer) return;
    const struct lowered *l = lowered_node(n->m, node);
    if (l) {
        y->type = l->type;
        return;
    }
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        if (is_op(node, OTHERS[i].op)) operand = OTHERS[i].operand;
    const tensor *x = operand < SIZE_MAX ? net_input(n, node, operand) : NULL;
    if (x) y->type = x->type;
    if (is_op(node, "Cast")) y->type = (int32_t)attribute_int(node, "to", 0);
}

bool infer_node(net *n, const node_proto *node)
{
    const op_kind *kind = find_op_kind(node);
    rule *r = kind ? kind->infer : NULL;
    dims *out = try_calloc(node->n_output + 1, sizeof *out);
    forget(n, node);
    if (!out) return fail(n->f, "no memory for the shapes of a %s", node->op_type);
    const bool known = r && r(n, node, out);
    for (size_t k = 0; r && k < node->n_output; k++) {
        tensor *t = net_output(n, node, k);
        if (!t || (!known && t->stated)) continue; /* then the file says it */
        if (known) forget_names(n, node, &out[k]);
        for (size_t i = 0; known && i < out[k].rank; i++)
            if (out[k].varies[i] == 1) out[k].varies[i] = name_length(n, t, i);
        t->sized = known && is_sound(&out[k]);
        t->stated = false;
        t->dims = out[k];
    }
    free(out);
    infer_type(n, node);
    /* What a lowered node computes is not what the operator computes for which it is taken. */
    return infer_lengths(n, node) && (lowered_node(n->m, node) || infer_numbers(n, node));
}

void release_numbers(net *n, const node_proto *node)
{
    enum { MANY = 1 << 14 }; /* shorter lists may be read again: indices of a Gather, for example */
    for (size_t k = 0; k < node->n_input; k++) {
        tensor *t = net_input(n, node, k);
        if (!t || !t->known || t->numbers.count <= MANY || t->consumer != n->node + 1) continue;
        t->varied = false;
        for (size_t i = 0; t->numbers.varies && i < t->numbers.count; i++)
            t->varied |= t->numbers.varies[i] != 0;
        numbers_free(&t->numbers);
        t->released = true;
    }
}

bool infer_network(net *n)
{
    for (n->node = 0; n->node < n->m->graph->n_node; n->node++) {
        const node_proto *node = n->m->graph->node[n->node];
        if (!infer_node(n, node)) return false;
        release_numbers(n, node);
    }
    return true;
}

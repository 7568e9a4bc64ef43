/*
 * Operators on known numbers that move elements: other shapes, slices, parts, indices, padding.
 * The table at the end has a row for each operator. Most of them are a walk over the output in
 * order, in which each axis has a stride in the input.
 */
#include "fold_inner.h"

#include <string.h>

/* The product of lengths from .. to-1; SIZE_MAX: larger than memory can be. */
static size_t product(const shape *s, size_t from, size_t to)
{
    shape part = {.rank = to - from};
    memcpy(part.dim, s->dim + from, part.rank * sizeof *part.dim);
    return shape_count(&part);
}

/* ---- the same elements in another shape ---- */

static bool reshape_to(const call *c, const shape *s)
{
    return fold_copy(c->in[0], s, &c->out[0]);
}

/* to <- the target of a Reshape. A length of -1 is what the others leave; 0 means the input's
 * length, unless allow_zero is set. */
static bool resolve_shape(const list *target, const shape *before, bool allow_zero, shape *to)
{
    size_t unknown = MAX_RANK, rest = 0;
    if (!target->given || target->n > MAX_RANK) return false;
    to->rank = target->n;
    for (size_t d = 0; d < target->n; d++) {
        const int64_t dim = target->at[d];
        if (dim < -1 || (dim == -1 && unknown < MAX_RANK)) return false;
        if (!dim && !allow_zero && d >= before->rank) return false;
        if (dim == -1) unknown = d;
        to->dim[d] = dim == -1 ? 1 : !dim && !allow_zero ? before->dim[d] : (size_t)dim;
    }
    if (unknown == MAX_RANK) return true;
    rest = shape_count(to);
    if (!rest || rest == SIZE_MAX || shape_count(before) % rest) return false;
    to->dim[unknown] = shape_count(before) / rest;
    return true;
}

static bool run_reshape(const call *c)
{
    list target;
    shape s = {0};
    bool allow_zero = false;
    return fold_list(c, c->opset >= 5, 1, "shape", &target) &&
           fold_flag(c, "allowzero", false, &allow_zero) &&
           resolve_shape(&target, &c->in[0]->shape, allow_zero && c->opset >= 14, &s) &&
           reshape_to(c, &s);
}

static bool run_flatten(const call *c)
{
    const shape *s = &c->in[0]->shape;
    const int64_t rank = (int64_t)s->rank;
    int64_t axis = 0;
    if (!fold_int(c, "axis", 1, &axis) || axis < (c->opset < 11 ? 0 : -rank) || axis > rank)
        return false;
    const size_t middle = (size_t)(axis < 0 ? axis + rank : axis);
    return reshape_to(c, &(shape){2, {product(s, 0, middle), product(s, middle, s->rank)}});
}

static bool run_squeeze(const call *c)
{
    const shape *s = &c->in[0]->shape;
    list l;
    bool axes[MAX_RANK];
    shape slim = {0};
    if (!fold_list(c, c->opset >= 13, 1, "axes", &l) || !fold_axes(&l, s->rank, axes)) return false;
    for (size_t d = 0; d < s->rank; d++) {
        if (axes[d] && s->dim[d] != 1) return false;
        if (l.given ? !axes[d] : s->dim[d] != 1) slim.dim[slim.rank++] = s->dim[d];
    }
    return reshape_to(c, &slim);
}

static bool run_unsqueeze(const call *c)
{
    const shape *s = &c->in[0]->shape;
    list l;
    bool axes[MAX_RANK];
    shape wide = {0};
    if (!fold_list(c, c->opset >= 13, 1, "axes", &l) || !l.given || l.n > MAX_RANK ||
        !fold_axes(&l, s->rank + l.n, axes))
        return false;
    wide.rank = s->rank + l.n;
    for (size_t d = 0, from = 0; d < wide.rank; d++) wide.dim[d] = axes[d] ? 1 : s->dim[from++];
    return reshape_to(c, &wide);
}

/* ---- elements in another order, or some of them, or more than once ---- */

static bool run_transpose(const call *c)
{
    const shape *s = &c->in[0]->shape;
    ptrdiff_t stride[MAX_RANK];
    bool seen[MAX_RANK];
    walk w = {.over.rank = s->rank};
    list perm;
    if (!fold_list(c, false, 0, "perm", &perm) || !fold_axes(&perm, s->rank, seen) ||
        (perm.given && perm.n != s->rank))
        return false;
    fold_strides(s, stride);
    for (size_t d = 0; d < s->rank; d++) {
        size_t from = s->rank - 1 - d;
        if (perm.given && perm.at[d] < 0) return false;
        if (perm.given) from = (size_t)perm.at[d];
        w.over.dim[d] = s->dim[from];
        w.stride[d] = stride[from];
    }
    return fold_view(c->in[0], &w, &c->out[0]);
}

static bool run_expand(const call *c)
{
    list dims;
    shape s = {0};
    return fold_list(c, true, 1, NULL, &dims) && fold_dims(&dims, &s) &&
           shape_broadcast(&c->in[0]->shape, &s, &s) && fold_broadcast(c->in[0], &s, &c->out[0]);
}

static bool run_tile(const call *c)
{
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    walk w = {.over = in->shape};
    ptrdiff_t stride[MAX_RANK];
    list repeats;
    if (c->opset < 6 || !fold_list(c, true, 1, NULL, &repeats) || repeats.n != in->shape.rank)
        return false;
    for (size_t d = 0; d < repeats.n; d++)
        if (repeats.at[d] < 0 ||
            __builtin_mul_overflow(in->shape.dim[d], (size_t)repeats.at[d], &w.over.dim[d]))
            return false;
    if (!fold_new(out, in->type, &w.over, in->varies)) return false;
    fold_strides(&in->shape, stride);
    for (size_t i = 0; i < out->count; i++, walk_next(&w)) {
        size_t from = 0;
        for (size_t d = 0; d < w.over.rank; d++)
            from += w.at[d] % in->shape.dim[d] * (size_t)stride[d];
        fold_put(out, i, in, from);
    }
    return true;
}

typedef struct bounds {
    int64_t start, end, step;
} bounds;

static int64_t clamp(int64_t x, int64_t dim, int64_t least, int64_t most)
{
    if (x < 0) x += dim;
    return x < least ? least : x > most ? most : x;
}

/* Restricts one axis of w to the elements from start to before end. A slice backwards to the
 * greatest number is empty by the definition of ONNX, and goes all the way in ONNX Runtime, so its
 * result counts as not known. */
static bool slice_dim(walk *w, size_t d, bounds b)
{
    const int64_t dim = (int64_t)w->over.dim[d];
    const bool up = b.step > 0;
    uint64_t n = 0;
    if (!b.step || (!up && (b.end == INT32_MAX || b.end == INT64_MAX))) return false;
    b.start = clamp(b.start, dim, 0, up ? dim : dim - 1);
    b.end = clamp(b.end, dim, up ? 0 : -1, up ? dim : dim - 1);
    const int64_t span = up ? b.end - b.start : b.start - b.end;
    const uint64_t step = up ? (uint64_t)b.step : 0 - (uint64_t)b.step;
    if (dim && span > 0) n = ((uint64_t)span - 1) / step + 1;
    w->over.dim[d] = (size_t)n;
    if (n) w->offset += w->stride[d] * (ptrdiff_t)b.start;
    w->stride[d] *= n > 1 ? (ptrdiff_t)b.step : 1;
    return true;
}

static bool run_slice(const call *c)
{
    static const char *const names[] = {"starts", "ends", "axes", "steps"};
    walk w = {.over = c->in[0]->shape};
    list l[4];
    bool seen[MAX_RANK];
    for (size_t i = 0; i < 4; i++) {
        if (!fold_list(c, c->opset >= 10, i + 1, names[i], &l[i])) return false;
        if (i < 2 ? !l[i].given || l[i].n != l[0].n : l[i].given && l[i].n != l[0].n) return false;
    }
    if (c->opset < 10) l[3].given = false;
    if (l[0].n > w.over.rank || !fold_axes(&l[2], w.over.rank, seen)) return false;
    fold_strides(&w.over, w.stride);
    for (size_t i = 0; i < l[0].n; i++) {
        size_t axis = i;
        if (l[2].given && !fold_axis(l[2].at[i], w.over.rank, &axis)) return false;
        if (!slice_dim(&w, axis, (bounds){l[0].at[i], l[1].at[i], l[3].given ? l[3].at[i] : 1}))
            return false;
    }
    return fold_view(c->in[0], &w, &c->out[0]);
}

/* ---- Split and Concat ---- */

/* The length of part i; without a list, the parts are as equal as possible. */
static bool part_length(const call *c, const list *l, size_t dim, size_t i, size_t *length)
{
    const size_t n = c->n_out, part = dim / n + (dim % n != 0);
    if (l->given) {
        *length = (size_t)l->at[i];
        return l->at[i] >= 0 && *length <= dim;
    }
    if (c->opset < 18 && dim % n) return false;
    if (part && i > dim / part) return false;
    *length = i + 1 < n ? part : dim - part * i;
    return true;
}

static bool run_split(const call *c)
{
    const numbers *in = c->in[0];
    size_t axis = 0, from = 0;
    int64_t parts = 0;
    ptrdiff_t stride[MAX_RANK];
    list l;
    if (!fold_axis_of(c, 0, in->shape.rank, &axis) ||
        !fold_list(c, c->opset >= 13 || c->n > 1, 1, "split", &l) ||
        !fold_int(c, "num_outputs", 0, &parts) || (l.given && l.n != c->n_out))
        return false;
    if (c->opset >= 18 && !l.given && (parts < 1 || (uint64_t)parts != c->n_out)) return false;
    fold_strides(&in->shape, stride);
    for (size_t i = 0; i < c->n_out; i++) {
        walk w = {.over = in->shape, .offset = (ptrdiff_t)from * stride[axis]};
        size_t *length = &w.over.dim[axis];
        memcpy(w.stride, stride, sizeof stride);
        if (!part_length(c, &l, in->shape.dim[axis], i, length) ||
            *length > in->shape.dim[axis] - from || !fold_view(in, &w, &c->out[i]))
            return false;
        from += *length;
    }
    return from == in->shape.dim[axis];
}

static bool concat_shape(const call *c, size_t axis, shape *to)
{
    *to = c->in[0]->shape;
    to->dim[axis] = 0;
    for (size_t i = 0; i < c->n; i++) {
        const numbers *in = c->in[i];
        if (!in || in->type != c->in[0]->type || in->shape.rank != to->rank) return false;
        for (size_t d = 0; d < to->rank; d++)
            if (d != axis && in->shape.dim[d] != to->dim[d]) return false;
        if (__builtin_add_overflow(to->dim[axis], in->shape.dim[axis], &to->dim[axis]))
            return false;
    }
    return true;
}

static bool run_concat(const call *c)
{
    numbers *out = &c->out[0];
    size_t axis = 0, at = 0;
    bool varies = false;
    shape s;
    if ((c->opset >= 4 && !node_attribute(c->node, "axis")) ||
        !fold_axis_of(c, 1, c->in[0]->shape.rank, &axis) || !concat_shape(c, axis, &s))
        return false;
    for (size_t i = 0; i < c->n; i++) varies = varies || c->in[i]->varies;
    if (!fold_new(out, c->in[0]->type, &s, varies)) return false;
    if (!out->count) return true;
    const size_t row = product(&s, axis, s.rank), rows = out->count / row;
    for (size_t i = 0; i < c->n; i++) {
        const size_t n = c->in[i]->count / rows;
        for (size_t k = 0; k < c->in[i]->count; k++)
            fold_put(out, k / n * row + at + k % n, c->in[i], k);
        at += n;
    }
    return true;
}

/* ---- by index ---- */

static bool is_index(const numbers *n)
{
    return n->type == T_INT64 || n->type == T_INT32;
}

static void put_indexed(numbers *to, size_t i, const numbers *from, size_t j,
                        const numbers *indices, size_t k)
{
    fold_put(to, i, from, j);
    if (indices->varies && indices->varies[k]) to->varies[i] = 1;
}

/* The shape of a Gather: the lengths before the axis, then those of the indices, then those behind
 * the axis. */
static bool gather_shape(const shape *s, size_t axis, const shape *indices, shape *to)
{
    *to = *s;
    if (s->rank - 1 + indices->rank > MAX_RANK) return false;
    to->rank = s->rank - 1 + indices->rank;
    memcpy(to->dim + axis, indices->dim, indices->rank * sizeof *to->dim);
    memcpy(to->dim + axis + indices->rank, s->dim + axis + 1,
           (s->rank - axis - 1) * sizeof *to->dim);
    return true;
}

static bool run_gather(const call *c)
{
    const numbers *in = c->in[0], *indices = c->in[1];
    numbers *out = &c->out[0];
    size_t axis = 0;
    shape s;
    if (!is_index(indices) || !fold_axis_of(c, 0, in->shape.rank, &axis) ||
        !gather_shape(&in->shape, axis, &indices->shape, &s) ||
        !fold_new(out, in->type, &s, in->varies || indices->varies))
        return false;
    const size_t dim = in->shape.dim[axis];
    for (size_t k = 0; k < indices->count; k++) {
        size_t index = 0;
        if (!fold_axis(indices->whole[k], dim, &index)) return false;
    }
    if (!out->count || !indices->count) return true;
    const size_t inner = product(&in->shape, axis + 1, in->shape.rank);
    for (size_t i = 0; i < out->count; i++) {
        const size_t k = i / inner % indices->count, outer = i / inner / indices->count;
        size_t index = 0;
        if (!fold_axis(indices->whole[k], dim, &index)) return false;
        put_indexed(out, i, in, (outer * dim + index) * inner + i % inner, indices, k);
    }
    return true;
}

static bool run_gather_elements(const call *c)
{
    const numbers *in = c->in[0], *indices = c->in[1];
    numbers *out = &c->out[0];
    size_t axis = 0;
    walk w = {.over = indices->shape};
    if (!is_index(indices) || indices->shape.rank != in->shape.rank ||
        !fold_axis_of(c, 0, in->shape.rank, &axis))
        return false;
    for (size_t d = 0; d < w.over.rank; d++)
        if (d != axis && w.over.dim[d] > in->shape.dim[d]) return false;
    if (!fold_new(out, in->type, &w.over, in->varies || indices->varies)) return false;
    fold_strides(&in->shape, w.stride);
    const ptrdiff_t step = w.stride[axis];
    w.stride[axis] = 0;
    for (size_t i = 0; i < out->count; i++, walk_next(&w)) {
        size_t index = 0;
        if (!fold_axis(indices->whole[i], in->shape.dim[axis], &index)) return false;
        put_indexed(out, i, in, (size_t)(w.offset + step * (ptrdiff_t)index), indices, i);
    }
    return true;
}

/* Whether the updates have a slice of the data for each index. The last axis of `indices` has the
 * parts of one index. */
static bool scatter_fits(const shape *data, const shape *indices, const shape *updates)
{
    if (!data->rank || !indices->rank) return false;
    const size_t outer = indices->rank - 1, n = indices->dim[outer];
    if (n > data->rank || updates->rank != outer + data->rank - n) return false;
    return !memcmp(updates->dim, indices->dim, outer * sizeof *updates->dim) &&
           !memcmp(updates->dim + outer, data->dim + n, (data->rank - n) * sizeof *updates->dim);
}

static bool run_scatter_nd(const call *c)
{
    const numbers *in = c->in[0], *indices = c->in[1], *updates = c->in[2];
    numbers *out = &c->out[0];
    ptrdiff_t stride[MAX_RANK];
    if (indices->type != T_INT64 || fold_varies(indices) || updates->type != in->type ||
        !fold_text(c, "reduction", "none") ||
        !scatter_fits(&in->shape, &indices->shape, &updates->shape) ||
        !fold_new(out, in->type, &in->shape, in->varies || updates->varies))
        return false;
    for (size_t i = 0; i < in->count; i++) fold_put(out, i, in, i);
    fold_strides(&in->shape, stride);
    const size_t n = indices->shape.dim[indices->shape.rank - 1];
    const size_t slice = updates->count ? product(&in->shape, n, in->shape.rank) : 1;
    for (size_t i = 0; i < updates->count; i++) {
        size_t to = i % slice;
        for (size_t d = 0; d < n; d++) {
            size_t index = 0;
            if (!fold_axis(indices->whole[i / slice * n + d], in->shape.dim[d], &index))
                return false;
            to += index * (size_t)stride[d];
        }
        fold_put(out, to, updates, i);
    }
    return true;
}

static bool is_zero(const numbers *n, size_t i)
{
    return n->real ? n->real[i] == 0 : n->whole[i] == 0;
}

/* Not for a scalar, where the definition of ONNX and ONNX Runtime differ. */
static bool run_nonzero(const call *c)
{
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    walk w = {.over = in->shape};
    size_t n = 0, k = 0;
    if (!in->shape.rank || fold_varies(in)) return false;
    for (size_t i = 0; i < in->count; i++) n += !is_zero(in, i);
    if (!fold_new(out, T_INT64, &(shape){2, {in->shape.rank, n}}, false)) return false;
    for (size_t i = 0; i < in->count; i++, walk_next(&w)) {
        if (is_zero(in, i)) continue;
        for (size_t d = 0; d < w.over.rank; d++) out->whole[d * n + k] = (int64_t)w.at[d];
        k++;
    }
    return true;
}

/* ---- Pad, Trilu ---- */

/* The output of a Pad. w walks over the output; begins are the widths in front, negative if
 * elements are removed. */
static bool pad_dims(const call *c, walk *w, int64_t begins[MAX_RANK])
{
    const bool by_input = c->opset >= 11;
    list pads, axes = {0};
    bool seen[MAX_RANK];
    if (!fold_list(c, by_input, 1, c->opset < 2 ? "paddings" : "pads", &pads) ||
        (c->opset >= 18 && !fold_list(c, true, 3, NULL, &axes)) ||
        !fold_axes(&axes, w->over.rank, seen))
        return false;
    const size_t n = axes.given ? axes.n : w->over.rank;
    if (!pads.given || pads.n != 2 * n) return false;
    for (size_t i = 0; i < n; i++) {
        size_t axis = i;
        int64_t dim = 0;
        if (axes.given && !fold_axis(axes.at[i], w->over.rank, &axis)) return false;
        begins[axis] = pads.at[i];
        if (__builtin_add_overflow(pads.at[i], pads.at[n + i], &dim) ||
            __builtin_add_overflow((int64_t)w->over.dim[axis], dim, &dim) || dim < 0 ||
            (uint64_t)dim > PTRDIFF_MAX)
            return false;
        w->over.dim[axis] = (size_t)dim;
    }
    return true;
}

/* The number that a Pad adds. */
static bool pad_value(const call *c, numbers *to)
{
    const numbers *given = c->opset >= 11 ? fold_input(c, 2) : NULL;
    const int32_t type = c->in[0]->type;
    double value = 0;
    if (given && (given->count != 1 || given->type != type)) return false;
    if (given) return fold_copy(given, &(shape){0}, to);
    if (!fold_new(to, type, &(shape){0}, false)) return false;
    if (c->opset < 11 && (!fold_float(c, "value", 0, &value) || (!to->real && value != 0))) {
        numbers_free(to);
        return false;
    }
    if (to->real) to->real[0] = fold_round(type, value);
    return true;
}

/* *from <- the place of the output's element at w in the input, of shape s. False: the element was
 * added. */
static bool padded_from(const walk *w, const int64_t begins[MAX_RANK], const shape *s, size_t *from)
{
    *from = 0;
    for (size_t d = 0; d < s->rank; d++) {
        int64_t at = 0;
        if (__builtin_sub_overflow((int64_t)w->at[d], begins[d], &at) || at < 0 ||
            (uint64_t)at >= s->dim[d])
            return false;
        *from = *from * s->dim[d] + (size_t)at;
    }
    return true;
}

static bool run_pad(const call *c)
{
    const numbers *in = c->in[0];
    numbers value, *out = &c->out[0];
    walk w = {.over = in->shape};
    int64_t begins[MAX_RANK] = {0};
    if (!fold_text(c, "mode", "constant") || !pad_dims(c, &w, begins) || !pad_value(c, &value))
        return false;
    const bool ok = fold_new(out, in->type, &w.over, in->varies || value.varies);
    for (size_t i = 0; ok && i < out->count; i++, walk_next(&w)) {
        size_t from = 0;
        const bool inside = padded_from(&w, begins, &in->shape, &from);
        fold_put(out, i, inside ? in : &value, from * inside);
    }
    numbers_free(&value);
    return ok;
}

static bool run_trilu(const call *c)
{
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    const size_t rank = in->shape.rank;
    walk w = {.over = in->shape};
    int64_t k = 0;
    bool upper = true;
    if (rank < 2 || !fold_flag(c, "upper", true, &upper) || !fold_scalar(c, 1, 0, &k) ||
        !fold_new(out, in->type, &in->shape, in->varies))
        return false;
    for (size_t i = 0; i < in->count; i++, walk_next(&w)) {
        const int64_t diagonal = (int64_t)w.at[rank - 1] - (int64_t)w.at[rank - 2];
        if (upper ? diagonal >= k : diagonal <= k) fold_put(out, i, in, i);
    }
    return true;
}

/* ---- all of them ---- */

static const fold_operator operators[] = {
    {"Concat", 1, SIZE_MAX, .run = run_concat},
    {"Expand", 2, 2, .run = run_expand},
    {"Flatten", 1, 1, .run = run_flatten},
    {"Gather", 2, 2, .run = run_gather},
    {"GatherElements", 2, 2, .run = run_gather_elements},
    {"NonZero", 1, 1, .run = run_nonzero},
    {"Pad", 1, 4, .run = run_pad},
    {"Reshape", 1, 2, .run = run_reshape},
    {"ScatterND", 3, 3, .run = run_scatter_nd},
    {"Slice", 1, 5, .run = run_slice},
    {"Split", 1, 2, .run = run_split},
    {"Squeeze", 1, 2, .run = run_squeeze},
    {"Tile", 2, 2, .run = run_tile},
    {"Transpose", 1, 1, .run = run_transpose},
    {"Trilu", 1, 2, .run = run_trilu},
    {"Unsqueeze", 1, 2, .run = run_unsqueeze},
};

const fold_operator *fold_move(const char *name)
{
    return fold_find(operators, sizeof operators / sizeof operators[0], name);
}

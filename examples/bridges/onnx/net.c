/*
 * The network between reading and describing: tensors by name, attributes, windows, slices, and
 * the shapes that the file states for inputs, with the lengths that it leaves open.
 */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Names ---- */

typedef struct table {
    size_t capacity; /* a power of two, more than twice the number of names */
    size_t *slot;
} table;

static size_t hash(const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++) h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return (size_t)(h ^ h >> 29);
}

/* The slot of a name, or the empty slot where the name belongs. */
static size_t *find_slot(const net *n, const char *name)
{
    const table *t = n->names;
    for (size_t k = hash(name);; k++) {
        size_t *slot = &t->slot[k & (t->capacity - 1)];
        if (!*slot || !strcmp(n->tensors[*slot - 1].name, name)) return slot;
    }
}

tensor *net_tensor(const net *n, const char *name)
{
    const size_t *slot = name && *name ? find_slot(n, name) : NULL;
    return slot && *slot ? &n->tensors[*slot - 1] : NULL;
}

tensor *net_input(const net *n, const node_proto *node, size_t k)
{
    return k < node->n_input ? net_tensor(n, node->input[k]) : NULL;
}

tensor *net_output(const net *n, const node_proto *node, size_t k)
{
    return k < node->n_output ? net_tensor(n, node->output[k]) : NULL;
}

static tensor *add_tensor(net *n, const char *name)
{
    size_t *slot = find_slot(n, name);
    if (*slot) return NULL;
    tensor *t = &n->tensors[n->tensor_count++];
    *slot = n->tensor_count;
    *t = (tensor){.name = name, .axis = NO_AXIS, .root = n->tensor_count - 1};
    return t;
}

size_t product_of(const dims *d, size_t first, size_t last)
{
    size_t p = 1;
    for (size_t k = first; k < last; k++) p *= d->dim[k];
    return p;
}

bool is_sound(const dims *d)
{
    size_t left = (size_t)1 << 44;
    for (size_t k = 0; k < d->rank; k++) {
        if (!d->dim[k] || d->dim[k] > left) return false;
        left /= d->dim[k];
    }
    return true;
}

/* ---- Attributes ---- */

int64_t attribute_int(const node_proto *node, const char *name, int64_t otherwise)
{
    const attribute_proto *a = node_attribute(node, name);
    return a && a->has_i ? a->i : otherwise;
}

double attribute_float(const node_proto *node, const char *name, double otherwise)
{
    const attribute_proto *a = node_attribute(node, name);
    return a && a->has_f ? (double)a->f : otherwise;
}

const char *attribute_text(const node_proto *node, const char *name, const char *otherwise)
{
    static const char *const KNOWN[] = {"NOTSET",
                                        "SAME_UPPER",
                                        "SAME_LOWER",
                                        "VALID",
                                        "constant",
                                        "reflect",
                                        "edge",
                                        "wrap",
                                        "DCR",
                                        "CRD",
                                        "none",
                                        "tanh",
                                        "nearest",
                                        "linear",
                                        "cubic",
                                        "crop",
                                        "half_pixel",
                                        "pytorch_half_pixel",
                                        "half_pixel_symmetric",
                                        "asymmetric",
                                        "align_corners",
                                        "tf_half_pixel_for_nn",
                                        "stretch",
                                        "not_larger",
                                        "not_smaller"};
    const attribute_proto *a = node_attribute(node, name);
    if (!a || !a->has_s) return otherwise;
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
        if (a->s.len == strlen(KNOWN[i]) && !memcmp(a->s.data, KNOWN[i], a->s.len)) return KNOWN[i];
    return "?"; /* not a text that any caller expects */
}

bool is_op(const node_proto *node, const char *op)
{
    const char *domain = node->domain;
    return (!domain || !*domain || !strcmp(domain, "ai.onnx")) && node->op_type &&
           !strcmp(node->op_type, op);
}

bool to_axis(int64_t axis, size_t rank, size_t *to)
{
    const int64_t r = (int64_t)rank;
    if (axis < -r || axis >= r) return false;
    *to = (size_t)(axis < 0 ? axis + r : axis);
    return true;
}

/* The whole numbers of a tensor, if all are known and none depends on an open length. */
static const numbers *fixed_numbers(const net *n, tensor *t)
{
    const numbers *k = t ? known_numbers(n, t) : NULL;
    if (!k || !k->whole) return NULL;
    for (size_t i = 0; k->varies && i < k->count; i++)
        if (k->varies[i]) return NULL;
    return k;
}

bool node_axes(const net *n, const node_proto *node, size_t k, size_t since, size_t rank,
               uint8_t axes[MAX_RANK], bool *given)
{
    const attribute_proto *a = node_attribute(node, "axes");
    tensor *t = n->m->opset >= since ? net_input(n, node, k) : NULL;
    const numbers *known = t ? fixed_numbers(n, t) : NULL;
    const size_t count = t ? (known ? known->count : 0) : a ? a->n_ints : 0;
    memset(axes, 0, MAX_RANK);
    *given = count > 0; /* an empty list counts as not given */
    if (t && !known) return false;
    for (size_t i = 0; i < count; i++) {
        size_t axis;
        if (!to_axis(t ? known->whole[i] : a->ints[i], rank, &axis)) return false;
        axes[axis] = 1;
    }
    return true;
}

/* ---- Windows ---- */

static bool read_sizes(const node_proto *node, const char *name, size_t axes, size_t otherwise,
                       size_t *to)
{
    const attribute_proto *a = node_attribute(node, name);
    if (a && a->n_ints && a->n_ints != axes) return false;
    for (size_t i = 0; i < axes; i++) {
        const int64_t x = a && a->n_ints ? a->ints[i] : (int64_t)otherwise;
        if (x < 0 || x > INT32_MAX) return false;
        to[i] = (size_t)x;
    }
    return true;
}

static void same_pads(const window *w, size_t in, size_t i, bool upper, size_t *before,
                      size_t *after)
{
    const size_t out = (in + w->stride[i] - 1) / w->stride[i];
    const size_t need = (out - 1) * w->stride[i] + (w->size[i] - 1) * w->dilation[i] + 1;
    const size_t pad = need > in ? need - in : 0;
    *before = upper ? pad / 2 : pad - pad / 2;
    *after = pad - *before;
}

static bool window_out(window *w, size_t in, size_t i)
{
    const size_t span = (w->size[i] - 1) * w->dilation[i] + 1;
    const size_t all = in + w->before[i] + w->after[i];
    if (all < span) return false;
    w->out[i] = (all - span + (w->ceil ? w->stride[i] - 1 : 0)) / w->stride[i] + 1;
    if (w->ceil && (w->out[i] - 1) * w->stride[i] >= in + w->before[i]) w->out[i]--;
    return true;
}

/* The spatial axes are the axes from 2 on. */
bool node_window(const node_proto *node, const dims *in, const size_t *kernel, window *w)
{
    size_t pads[2 * MSKP_MAX_SPATIAL];
    const char *how = attribute_text(node, "auto_pad", "NOTSET");
    *w = (window){.axes = in->rank - 2, .ceil = attribute_int(node, "ceil_mode", 0) != 0};
    if (in->rank < 3 || w->axes > MSKP_MAX_SPATIAL) return false;
    for (size_t i = 0; kernel && i < w->axes; i++) w->size[i] = kernel[i];
    if ((!kernel && !read_sizes(node, "kernel_shape", w->axes, 0, w->size)) ||
        !read_sizes(node, "strides", w->axes, 1, w->stride) ||
        !read_sizes(node, "dilations", w->axes, 1, w->dilation) ||
        !read_sizes(node, "pads", 2 * w->axes, 0, pads) || !strcmp(how, "?"))
        return false;
    for (size_t i = 0; i < w->axes; i++) {
        if (!w->size[i] || !w->stride[i] || !w->dilation[i]) return false;
        w->before[i] = pads[i];
        w->after[i] = pads[w->axes + i];
        if (!strncmp(how, "SAME", 4))
            same_pads(w, in->dim[2 + i], i, !strcmp(how, "SAME_UPPER"), &w->before[i],
                      &w->after[i]);
        if (!window_out(w, in->dim[2 + i], i)) return false;
    }
    return true;
}

bool node_transposed(const node_proto *node, const dims *in, const size_t *kernel, window *w)
{
    size_t pads[2 * MSKP_MAX_SPATIAL];
    const char *how = attribute_text(node, "auto_pad", "NOTSET");
    *w = (window){.axes = in->rank - 2};
    if (in->rank < 3 || w->axes > MSKP_MAX_SPATIAL || node_attribute(node, "output_shape") ||
        (strcmp(how, "NOTSET") && strcmp(how, "VALID")) ||
        !read_sizes(node, "strides", w->axes, 1, w->stride) ||
        !read_sizes(node, "dilations", w->axes, 1, w->dilation) ||
        !read_sizes(node, "output_padding", w->axes, 0, w->output_pad) ||
        !read_sizes(node, "pads", 2 * w->axes, 0, pads))
        return false;
    for (size_t i = 0; i < w->axes; i++) {
        w->size[i] = kernel[i];
        w->before[i] = pads[i];
        w->after[i] = pads[w->axes + i];
        if (!w->size[i] || !w->stride[i] || !w->dilation[i]) return false;
        const size_t all = (in->dim[2 + i] - 1) * w->stride[i] + w->dilation[i] * (w->size[i] - 1) +
                           w->output_pad[i] + 1;
        if (all <= pads[i] + pads[w->axes + i]) return false;
        w->out[i] = all - pads[i] - pads[w->axes + i];
    }
    return true;
}

bool node_pads(const net *n, const node_proto *node, size_t rank, padding *p)
{
    const attribute_proto *a = node_attribute(node, "pads");
    tensor *widths = n->m->opset >= 11 ? net_input(n, node, 1) : NULL;
    const numbers *k = widths ? known_numbers(n, widths) : NULL;
    const numbers *axes = net_input(n, node, 3) ? fixed_numbers(n, net_input(n, node, 3)) : NULL;
    const size_t count = k ? k->count : a ? a->n_ints : 0;
    const int64_t *pads = k ? k->whole : a ? a->ints : NULL;
    const size_t listed = axes ? axes->count : rank;
    *p = (padding){.open = {false}};
    if (!pads || count != 2 * listed || (net_input(n, node, 3) && !axes)) return false;
    for (size_t i = 0; i < listed; i++) {
        size_t axis = i;
        if (axes && !to_axis(axes->whole[i], rank, &axis)) return false;
        p->before[axis] = pads[i];
        p->after[axis] = pads[listed + i];
        p->open[axis] = k && k->varies && (k->varies[i] || k->varies[listed + i]);
    }
    return true;
}

/* ---- Slices and parts ---- */

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

static bool slice_axis(slicing *s, size_t axis, size_t length, int64_t start, int64_t end,
                       int64_t step)
{
    const int64_t n = (int64_t)length;
    if (!step || step == INT64_MIN) return false;
    if (start < 0) start += start < -n ? 0 : n;
    if (end < 0) end += end < -n ? 0 : n;
    start = step > 0 ? clamp(start, 0, n) : clamp(start, 0, n - 1);
    end = step > 0 ? clamp(end, 0, n) : clamp(end, -1, n - 1);
    const int64_t span = step > 0 ? end - start : start - end, size = step > 0 ? step : -step;
    s->start[axis] = start;
    s->step[axis] = step;
    s->count[axis] = span > 0 ? (size_t)((span - 1) / size + 1) : 0;
    return true;
}

/* `varies` of a slice's length whose start or end is not fixed. A slice from 0 up to an open length
 * has this length; any other one depends on it in some way. */
static uint8_t slice_varies(const numbers *start, const numbers *end, size_t i, const slicing *s,
                            size_t axis)
{
    const bool whole = !(start->varies && start->varies[i]) && !s->start[axis] &&
                       s->step[axis] == 1 && end->whole[i] == (int64_t)s->count[axis];
    return whole && end->varies ? end->varies[i] : 1;
}

/* The lists of a Slice: starts, ends, axes, steps. Axes and steps must be fixed. */
static bool slice_lists(const net *n, const node_proto *node, const numbers *x[4],
                        const int64_t *list[4], size_t count[4])
{
    static const char *const NAMES[] = {"starts", "ends", "axes", "steps"};
    for (size_t k = 0; k < 4; k++) {
        const attribute_proto *a = n->m->opset < 10 ? node_attribute(node, NAMES[k]) : NULL;
        tensor *t = n->m->opset >= 10 ? net_input(n, node, k + 1) : NULL;
        x[k] = !t ? NULL : k < 2 ? known_numbers(n, t) : fixed_numbers(n, t);
        if (t && (!x[k] || !x[k]->whole)) return false;
        list[k] = x[k] ? x[k]->whole : a ? a->ints : NULL;
        count[k] = x[k] ? x[k]->count : a ? a->n_ints : 0;
    }
    return list[0] && list[1] && count[0] == count[1] && (!list[2] || count[2] == count[0]) &&
           (!list[3] || count[3] == count[0]);
}

bool node_slicing(const net *n, const node_proto *node, const dims *in, slicing *s)
{
    const numbers *x[4];
    const int64_t *list[4];
    size_t count[4];
    *s = (slicing){.open = {false}};
    if (!slice_lists(n, node, x, list, count)) return false;
    for (size_t i = 0; i < in->rank; i++) slice_axis(s, i, in->dim[i], 0, INT64_MAX, 1);
    for (size_t i = 0; i < count[0]; i++) {
        size_t axis;
        if (!to_axis(list[2] ? list[2][i] : (int64_t)i, in->rank, &axis)) return false;
        if (!slice_axis(s, axis, in->dim[axis], list[0][i], list[1][i], list[3] ? list[3][i] : 1))
            return false;
        for (size_t k = 0; k < 2; k++) s->open[axis] |= x[k] && x[k]->varies && x[k]->varies[i];
        if (s->open[axis]) s->varies[axis] = slice_varies(x[0], x[1], i, s, axis);
    }
    return true;
}

/* ---- Resizing ---- */

size_t resized_axes(const node_proto *node, size_t rank, size_t axis[MAX_RANK])
{
    const attribute_proto *a = node_attribute(node, "axes");
    const size_t count = a ? a->n_ints : rank;
    bool seen[MAX_RANK] = {false};
    for (size_t i = 0; i < count; i++) {
        axis[i] = i;
        if (count > rank || (a && !to_axis(a->ints[i], rank, &axis[i])) || seen[axis[i]]) return 0;
        seen[axis[i]] = true;
    }
    return count;
}

/* Entry i of the factors; 0: not known. */
static double factor_at(const numbers *s, const attribute_proto *a, size_t i)
{
    const double x = s ? (s->real ? s->real[i] : 0) : (double)a->floats[i];
    return x > 0 && x < 1e6 ? x : 0;
}

/* Sizes are limits, and all axes have the factor of the one that reaches its limit first ("not
 * larger") or last. */
static void keep_aspect(const dims *in, size_t count, const size_t *axis, bool larger, resizing *r)
{
    float factor = 0;
    bool open = false;
    for (size_t i = 0; i < count; i++) {
        const float f = (float)r->out[axis[i]] / (float)in->dim[axis[i]];
        if (!i || (larger ? f > factor : f < factor)) factor = f;
        open |= r->varies[axis[i]] || in->varies[axis[i]];
    }
    for (size_t i = 0; i < count; i++) {
        r->out[axis[i]] = (size_t)(factor * (float)in->dim[axis[i]] + 0.5f);
        r->varies[axis[i]] = open;
        r->scaled[axis[i]] = factor < 1 || factor > 1;
    }
}

bool node_resizing(const net *n, const node_proto *node, const dims *in, resizing *r)
{
    const bool first = is_op(node, "Upsample") || n->m->opset < 11; /* factors are operand 1 */
    const attribute_proto *a = n->m->opset < 9 ? node_attribute(node, "scales") : NULL;
    const char *policy = attribute_text(node, "keep_aspect_ratio_policy", "stretch");
    tensor *factors = net_input(n, node, first ? 1 : 2);
    tensor *sizes = first ? NULL : net_input(n, node, 3);
    const numbers *s = factors ? known_numbers(n, factors) : NULL;
    const numbers *z = sizes ? known_numbers(n, sizes) : NULL;
    size_t axis[MAX_RANK];
    const size_t count = resized_axes(node, in->rank, axis);
    const bool by_size = z && z->whole && z->count == count;
    const bool by_factor = !sizes && (s ? s->count : a ? a->n_floats : 0) == count;
    if (!count || (!by_size && !by_factor)) return false;
    *r = (resizing){.scaled = {false}};
    for (size_t k = 0; k < in->rank; k++) {
        r->out[k] = in->dim[k];
        r->varies[k] = in->varies[k];
    }
    for (size_t i = 0; i < count; i++) {
        const size_t k = axis[i];
        const double factor = by_factor ? factor_at(s, a, i) : 0;
        if (by_size ? z->whole[i] < 1 || z->whole[i] >= INT32_MAX : !(factor > 0)) return false;
        if (by_size) {
            r->out[k] = (size_t)z->whole[i];
            r->varies[k] = z->varies ? z->varies[i] : 0;
            r->scaled[k] = r->out[k] != in->dim[k];
        } else { /* in single precision, as runtimes do */
            r->out[k] = (size_t)((float)in->dim[k] * (float)factor);
            r->scaled[k] = factor < 1 || factor > 1;
        }
    }
    if (by_size && strcmp(policy, "stretch") != 0) {
        if (!strcmp(policy, "?")) return false;
        keep_aspect(in, count, axis, !strcmp(policy, "not_smaller"), r);
    }
    return true;
}

bool node_parts(const net *n, const node_proto *node, size_t length, size_t parts, size_t *widths)
{
    const attribute_proto *a = n->m->opset < 13 ? node_attribute(node, "split") : NULL;
    tensor *t = n->m->opset >= 13 ? net_input(n, node, 1) : NULL;
    const numbers *x = t ? fixed_numbers(n, t) : NULL;
    const int64_t *list = x ? x->whole : a ? a->ints : NULL;
    const size_t each = (length + parts - 1) / parts;
    size_t sum = 0;
    if ((t && !x) || (list && (x ? x->count : a->n_ints) != parts)) return false;
    if (!list && length % parts && !node_attribute(node, "num_outputs")) return false;
    for (size_t i = 0; i < parts; i++) {
        const size_t left = length - sum;
        if (list && (list[i] < 0 || (uint64_t)list[i] > left)) return false;
        widths[i] = list ? (size_t)list[i] : each < left ? each : left;
        sum += widths[i];
    }
    return sum == length;
}

/* ---- Tensors ---- */

bool is_flow(const tensor *t)
{
    return t && t->value.id;
}

static bool in_order(const tensor *t)
{
    for (size_t k = 0; k < t->dims.rank; k++)
        if (t->from[k] != k) return false;
    return t->dims.rank == t->data->n_dims;
}

bool follows_width(const net *n, const followed *f)
{
    const tensor *t = &n->tensors[f->tensor];
    return is_flow(t) && !t->pinned && t->axis < MAX_RANK && f->axes >> t->axis & 1;
}

const numbers *known_numbers(const net *n, tensor *t)
{
    enum { FEW = 64 }; /* longer lists of real numbers are weights */
    if (t->known) return t->released ? NULL : &t->numbers;
    if (!t->data) return NULL;
    const size_t count = tensor_elements(t->data);
    const bool real = is_real(t->data);
    if (count > FOLD_LIMIT || (real && count > FEW) || (count != 1 && !in_order(t))) return NULL;
    if (!numbers_of_tensor(n->m, t->data, &t->numbers)) return NULL;
    t->numbers.shape.rank = t->dims.rank;
    memcpy(t->numbers.shape.dim, t->dims.dim, sizeof t->dims.dim);
    t->known = true;
    return &t->numbers;
}

static void take_data(tensor_proto *data, tensor *t)
{
    t->type = data->data_type;
    if (data->n_dims > MAX_RANK) return; /* the tensor then counts as not known */
    t->data = data;
    t->sized = true;
    t->dims = (dims){.rank = data->n_dims};
    for (size_t k = 0; k < data->n_dims; k++) {
        t->dims.dim[k] = (size_t)data->dims[k];
        t->from[k] = k;
    }
}

/* ---- Shapes that the file states ---- */

typedef Onnx__TensorShapeProto__Dimension dimension;

/* An open length of an input. Lengths with the same name are one length; a length without a name is
 * one of its own. */
struct opening {
    const dimension *at;
    const char *name;  /* NULL: none */
    const char *input; /* the input and the axis where it stands first */
    size_t axis;
    bool first;    /* somewhere it is the first length of an input */
    size_t length; /* 0: not given */
};

/* Whether the text "name=7" gives this open length. */
static bool is_about(const char *text, const char *name)
{
    const size_t used = name ? strlen(name) : 0;
    return used && !strncmp(text, name, used) && text[used] == '=';
}

/* Whether the text is "input:axis=7", by which a length is given that has no name. */
static bool is_place(const char *text, const char *input, size_t axis)
{
    char place[32];
    const size_t used = strlen(input);
    snprintf(place, sizeof place, ":%zu=", axis);
    return !strncmp(text, input, used) && !strncmp(text + used, place, strlen(place));
}

static bool gives(const char *text, const opening *o)
{
    return is_about(text, o->name) || is_place(text, o->input, o->axis);
}

static const char *open_name(const dimension *x)
{
    const bool named = x->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    return named && x->dim_param && *x->dim_param ? x->dim_param : NULL;
}

static bool is_number(const dimension *x)
{
    return x->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
           x->dim_value > 0;
}

static const Onnx__TensorShapeProto *stated(const Onnx__ValueInfoProto *v)
{
    const Onnx__TypeProto *type = v->type;
    return type && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && type->tensor_type
               ? type->tensor_type->shape
               : NULL;
}

static int32_t stated_type(const Onnx__ValueInfoProto *v)
{
    const Onnx__TypeProto *type = v->type;
    return type && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && type->tensor_type
               ? type->tensor_type->elem_type
               : 0;
}

/* The open length that stands here; NULL: a length with another name. */
static opening *find_opening(const net *n, const dimension *x)
{
    const char *name = open_name(x);
    for (size_t i = 0; i < n->opening_count; i++) {
        opening *o = &n->openings[i];
        if (name ? o->name && !strcmp(o->name, name) : o->at == x) return o;
    }
    return NULL;
}

/* Collects the open lengths of inputs that are no initializers. */
static bool find_openings(net *n)
{
    const graph_proto *g = n->m->graph;
    size_t most = 0;
    for (size_t i = 0; i < g->n_input; i++)
        most += stated(g->input[i]) ? stated(g->input[i])->n_dim : 0;
    n->openings = try_calloc(most + 1, sizeof *n->openings);
    if (!n->openings) return fail(n->f, "no memory for %zu lengths", most);
    for (size_t i = 0; i < g->n_input; i++) {
        const Onnx__TensorShapeProto *s = stated(g->input[i]);
        if (!s || !g->input[i]->name || net_tensor(n, g->input[i]->name)) continue;
        for (size_t k = 0; k < s->n_dim; k++) {
            if (is_number(s->dim[k])) continue;
            opening *o = find_opening(n, s->dim[k]);
            if (!o) {
                o = &n->openings[n->opening_count++];
                *o = (opening){s->dim[k], open_name(s->dim[k]), g->input[i]->name, k, false, 0};
            }
            o->first |= !k;
        }
    }
    return true;
}

/* Reads what gives lengths. Each text must be "name=number" or "input:axis=number", at most one for
 * each open length. The first length of an input is 1 if no text gives it. */
static bool give_lengths(net *n, const lengths *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const char *text = l->text[i], *equals = strrchr(text, '=');
        char *end = NULL;
        const unsigned long long x = equals ? strtoull(equals + 1, &end, 10) : 0;
        if (!x || x >= UINT32_MAX || *end || equals[1] < '0' || equals[1] > '9')
            return fail(n->f, "%s %s: NAME=NUMBER is expected, with a number from 1 on", l->option,
                        text);
        opening *o = n->openings;
        while (o < n->openings + n->opening_count && !gives(text, o)) o++;
        if (o == n->openings + n->opening_count)
            return fail(n->f, "%s %s: no input has an open length of that name", l->option, text);
        for (size_t k = 0; k < i; k++)
            if (gives(l->text[k], o))
                return fail(n->f, "%s %s: %s was given before", l->option, text, l->text[k]);
        o->length = (size_t)x;
    }
    for (size_t i = 0; i < n->opening_count; i++)
        if (!n->openings[i].length && n->openings[i].first) n->openings[i].length = 1;
    return true;
}

/* Refuses a network with open lengths that are not given, and lists them. */
static bool all_given(const net *n, const lengths *l)
{
    char list[300] = "";
    size_t used = 0, missing = 0, shown = 0;
    for (size_t i = 0; i < n->opening_count; i++) {
        const opening *o = &n->openings[i];
        char one[120];
        if (o->length) continue;
        if (o->name)
            snprintf(one, sizeof one, "%s%.60s=N (axis %zu of %.30s)", missing ? ", " : "", o->name,
                     o->axis, o->input);
        else
            snprintf(one, sizeof one, "%s%.60s:%zu=N", missing ? ", " : "", o->input, o->axis);
        missing++;
        if (used + strlen(one) >= sizeof list) continue;
        memcpy(list + used, one, strlen(one) + 1);
        used += strlen(one);
        shown++;
    }
    char more[40] = "";
    if (shown < missing) snprintf(more, sizeof more, ", and %zu others", missing - shown);
    return !missing ||
           fail(n->f, "lengths of inputs are open; give each by %s: %s%s", l->option, list, more);
}

/* The number by which `varies` names an open length; 1: there are too many. */
static uint8_t number_of(const net *n, const opening *o)
{
    const size_t number = 2 + (size_t)(o - n->openings);
    return number > UINT8_MAX ? 1 : (uint8_t)number;
}

/* *d <- the shape that the file states. False: it states none, or a length that is not known. */
static bool stated_shape(const net *n, const Onnx__ValueInfoProto *v, dims *d)
{
    const Onnx__TensorShapeProto *s = stated(v);
    if (!s || s->n_dim > MAX_RANK) return false;
    *d = (dims){.rank = s->n_dim};
    for (size_t k = 0; k < s->n_dim; k++) {
        const opening *o = is_number(s->dim[k]) ? NULL : find_opening(n, s->dim[k]);
        if (!is_number(s->dim[k]) && (!o || !o->length)) return false;
        d->dim[k] = o ? o->length : (size_t)s->dim[k]->dim_value;
        d->varies[k] = o ? number_of(n, o) : 0;
    }
    return is_sound(d);
}

tensor *net_adopt(net *n, tensor_proto *data)
{
    tensor *t = add_tensor(n, data->name);
    if (t) take_data(data, t);
    return t;
}

static bool add_input(net *n, const Onnx__ValueInfoProto *v)
{
    if (net_tensor(n, v->name))
        return true; /* an initializer that a caller of the network may replace */
    tensor *t = add_tensor(n, v->name);
    t->sized = stated_shape(n, v, &t->dims);
    t->type = stated_type(v);
    return true;
}

static bool add_initializers(net *n)
{
    const graph_proto *g = n->m->graph;
    for (size_t i = 0; i < g->n_initializer; i++) {
        tensor *t = add_tensor(n, g->initializer[i]->name);
        if (!t) return fail(n->f, "there are two initializers named %s", g->initializer[i]->name);
        take_data(g->initializer[i], t);
    }
    for (size_t i = 0; i < g->n_sparse_initializer; i++) {
        const tensor_proto *values = g->sparse_initializer[i]->values;
        if (values && values->name && *values->name) add_tensor(n, values->name);
    }
    return true;
}

/* ---- Nodes ---- */

static void use(void *context, const char *name)
{
    net *n = context;
    tensor *t = net_tensor(n, name);
    if (!t) return;
    t->uses++;
    t->consumer = n->node + 1;
}

static bool add_node(net *n, const node_proto *node, size_t at)
{
    const char *op = node->op_type ? node->op_type : "?";
    n->node = at;
    for (size_t k = 0; k < node->n_input; k++) {
        if (!*node->input[k]) continue;
        if (!net_tensor(n, node->input[k]))
            return fail(n->f, "node %zu (%s) reads %s, which nothing before it makes", at, op,
                        node->input[k]);
        use(n, node->input[k]);
    }
    model_names_within(node, use, n);
    for (size_t k = 0; k < node->n_output; k++)
        if (*node->output[k] && !add_tensor(n, node->output[k]))
            return fail(n->f, "node %zu (%s) makes %s, which is there already", at, op,
                        node->output[k]);
    const attribute_proto *value = is_op(node, "Constant") ? node_attribute(node, "value") : NULL;
    tensor *t = net_output(n, node, 0);
    if (value && value->t && t) take_data(value->t, t);
    return true;
}

static void state_shapes(net *n)
{
    const graph_proto *g = n->m->graph;
    for (size_t i = 0; i < g->n_value_info + g->n_output; i++) {
        const Onnx__ValueInfoProto *v =
            i < g->n_value_info ? g->value_info[i] : g->output[i - g->n_value_info];
        tensor *t = net_tensor(n, v->name);
        if (t && !t->type) t->type = stated_type(v);
        if (t && !t->sized && !t->stated) t->stated = t->sized = stated_shape(n, v, &t->dims);
    }
}

static bool allocate(net *n)
{
    const graph_proto *g = n->m->graph;
    size_t count = g->n_input + g->n_initializer + g->n_sparse_initializer, capacity = 64;
    for (size_t i = 0; i < g->n_node; i++)
        count += g->node[i]->n_output + 2; /* the 2 are for net_adopt */
    while (capacity < 3 * count) capacity *= 2;
    n->tensors = try_calloc(count + 1, sizeof *n->tensors);
    n->names = try_calloc(1, sizeof *n->names);
    n->done = try_calloc(g->n_node + 1, 1);
    if (n->names) n->names->slot = try_calloc(capacity, sizeof *n->names->slot);
    if (!n->tensors || !n->done || !n->names || !n->names->slot)
        return fail(n->f, "no memory for %zu tensors", count);
    n->names->capacity = capacity;
    return true;
}

/* The batch is the first length of the first input that has more than one axis. */
static void find_batch(net *n)
{
    const graph_proto *g = n->m->graph;
    n->batch = 1;
    for (size_t i = g->n_input; i-- > 0;) {
        const tensor *t = net_tensor(n, g->input[i]->name);
        if (t && !t->data && t->sized && t->dims.rank > 1) n->batch = t->dims.dim[0];
    }
}

/* Operators of older opsets broadcast in another way; newer opsets may define anything. */
static bool check_opset(const net *n)
{
    enum { FIRST = 7, LAST = 26 };
    const model *m = n->m;
    bool wanted = false;
    for (size_t i = 0; i < m->graph->n_node; i++)
        wanted |= is_op(m->graph->node[i], m->graph->node[i]->op_type);
    if (!wanted || (m->opset >= FIRST && m->opset <= LAST)) return true;
    if (!m->opset) return fail(n->f, "the model does not state the opset of its operators");
    return fail(n->f, "the opset of the model is %zu; %d to %d are supported", m->opset, FIRST,
                LAST);
}

bool net_open(net *n, model *m, mskp_graph *graph, const lengths *l, failure *f)
{
    const graph_proto *g = m->graph;
    *n = (net){.m = m, .graph = graph, .f = f};
    for (size_t i = 0; i < g->n_input; i++)
        if (!g->input[i]->name || !*g->input[i]->name)
            return fail(f, "an input of the graph has no name");
    if (!check_opset(n) || !model_sort(m, f) || !allocate(n) || !add_initializers(n) ||
        !find_openings(n) || !give_lengths(n, l) || !all_given(n, l))
        return false;
    for (size_t i = 0; i < g->n_input; i++)
        if (!add_input(n, g->input[i])) return false;
    for (size_t i = 0; i < g->n_node; i++)
        if (!add_node(n, g->node[i], i)) return false;
    for (size_t i = 0; i < g->n_output; i++) {
        tensor *t = net_tensor(n, g->output[i]->name);
        if (!t) return fail(f, "output %s: no node makes this tensor", g->output[i]->name);
        t->uses++;
        t->consumer = 0;
    }
    state_shapes(n);
    n->last_length =
        (uint8_t)(1 + (n->opening_count < UINT8_MAX - 1 ? n->opening_count : UINT8_MAX - 1));
    find_batch(n);
    return true;
}

void net_close(net *n)
{
    for (size_t i = 0; i < n->tensor_count; i++) {
        numbers_free(&n->tensors[i].numbers);
        free(n->tensors[i].follows);
    }
    for (size_t i = 0; i < n->weight_count; i++) free(n->weights[i].original);
    for (size_t i = 0; i < n->removed_count; i++)
        protobuf_c_message_free_unpacked(n->removed[i].message, model_allocator());
    net_free_quantized(n);
    free(n->removed);
    free(n->tensors);
    if (n->names) free(n->names->slot);
    free(n->names);
    free(n->weights);
    free(n->shuffles);
    free(n->contracted);
    free(n->openings);
    free(n->reasons);
    free(n->done);
    *n = (net){0};
}

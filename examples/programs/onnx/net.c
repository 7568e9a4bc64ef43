/*
 * The network between reading and describing: tensors by name, attributes, windows, slices, and
 * the shapes that the file states for inputs, with the lengths that it leaves open.
 */
#include "net.h"

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
    static const char *const KNOWN[] = {"NOTSET",  "SAME_UPPER", "SAME_LOWER", "VALID",  "constant",
                                        "reflect", "edge",       "wrap",       "DCR",    "CRD",
                                        "none",    "tanh",       "nearest",    "linear", "cubic",
                                        "crop",    "half_pixel"};
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

bool node_pads(const net *n, const node_proto *node, size_t rank, int64_t before[MAX_RANK],
               int64_t after[MAX_RANK])
{
    const attribute_proto *a = node_attribute(node, "pads");
    const numbers *k = n->m->opset >= 11 ? fixed_numbers(n, net_input(n, node, 1)) : NULL;
    const numbers *axes = net_input(n, node, 3) ? fixed_numbers(n, net_input(n, node, 3)) : NULL;
    const size_t count = k ? k->count : a ? a->n_ints : 0;
    const int64_t *pads = k ? k->whole : a ? a->ints : NULL;
    const size_t listed = axes ? axes->count : rank;
    memset(before, 0, MAX_RANK * sizeof *before);
    memset(after, 0, MAX_RANK * sizeof *after);
    if (!pads || count != 2 * listed || (net_input(n, node, 3) && !axes)) return false;
    for (size_t i = 0; i < listed; i++) {
        size_t axis = i;
        if (axes && !to_axis(axes->whole[i], rank, &axis)) return false;
        before[axis] = pads[i];
        after[axis] = pads[listed + i];
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

bool node_slicing(const net *n, const node_proto *node, const dims *in, slicing *s)
{
    static const char *const NAMES[] = {"starts", "ends", "axes", "steps"};
    const int64_t *list[4] = {0};
    size_t count[4] = {0};
    for (size_t k = 0; k < 4; k++) {
        const attribute_proto *a = n->m->opset < 10 ? node_attribute(node, NAMES[k]) : NULL;
        tensor *t = n->m->opset >= 10 ? net_input(n, node, k + 1) : NULL;
        const numbers *x = t ? fixed_numbers(n, t) : NULL;
        if (t && !x) return false;
        list[k] = x ? x->whole : a ? a->ints : NULL;
        count[k] = x ? x->count : a ? a->n_ints : 0;
    }
    if (!list[0] || !list[1] || count[0] != count[1] || (list[2] && count[2] != count[0]) ||
        (list[3] && count[3] != count[0]))
        return false;
    for (size_t i = 0; i < in->rank; i++) slice_axis(s, i, in->dim[i], 0, INT64_MAX, 1);
    for (size_t i = 0; i < count[0]; i++) {
        size_t axis;
        if (!to_axis(list[2] ? list[2][i] : (int64_t)i, in->rank, &axis)) return false;
        if (!slice_axis(s, axis, in->dim[axis], list[0][i], list[1][i], list[3] ? list[3][i] : 1))
            return false;
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

bool is_real(const tensor_proto *data)
{
    return data->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
           data->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE ||
           data->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ||
           data->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16;
}

const numbers *known_numbers(const net *n, tensor *t)
{
    enum { FEW = 64 }; /* longer lists of real numbers are weights */
    if (t->known) return &t->numbers;
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

/* Whether the text "name=7" gives this open length. */
static bool is_about(const char *text, const char *name)
{
    const size_t used = name ? strlen(name) : 0;
    return used && !strncmp(text, name, used) && text[used] == '=';
}

static bool open_length(const lengths *l, const char *name, size_t *length)
{
    for (size_t i = 0; i < l->count; i++)
        if (is_about(l->text[i], name)) {
            *length = (size_t)strtoull(strrchr(l->text[i], '=') + 1, NULL, 10);
            return true;
        }
    return false;
}

static const char *open_name(const dimension *x)
{
    return x->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM ? x->dim_param
                                                                                 : NULL;
}

static const Onnx__TensorShapeProto *stated(const Onnx__ValueInfoProto *v)
{
    const Onnx__TypeProto *type = v->type;
    return type && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && type->tensor_type
               ? type->tensor_type->shape
               : NULL;
}

static bool is_open(const graph_proto *g, const char *text)
{
    for (size_t i = 0; i < g->n_input; i++) {
        const Onnx__TensorShapeProto *s = stated(g->input[i]);
        for (size_t k = 0; s && k < s->n_dim; k++)
            if (is_about(text, open_name(s->dim[k]))) return true;
    }
    return false;
}

/* Each text must be "name=number", with the name of an open length, at most one text for each
 * name. */
static bool check_lengths(const net *n, const lengths *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const char *text = l->text[i], *equals = strrchr(text, '=');
        char *end = NULL;
        const unsigned long long x = equals ? strtoull(equals + 1, &end, 10) : 0;
        if (!x || x >= UINT32_MAX || *end || equals[1] < '0' || equals[1] > '9')
            return fail(n->f, "--length %s: NAME=NUMBER is expected, with a number from 1 on",
                        text);
        if (!is_open(n->m->graph, text))
            return fail(n->f, "--length %s: no input has an open length of that name", text);
        for (size_t k = 0; k < i; k++)
            if (!strncmp(l->text[k], text, (size_t)(equals - text) + 1))
                return fail(n->f, "--length %s: %s was given before", text, l->text[k]);
    }
    return true;
}

/* The number of an open length, from 2 on. Lengths with the same name have the same number; a
 * length without a name has its own. 1: the length is not that of an input, or there are too
 * many. */
static uint8_t number_of(const graph_proto *g, const dimension *x)
{
    const char *name = open_name(x);
    unsigned number = 2;
    for (size_t i = 0; i < g->n_input; i++) {
        const Onnx__TensorShapeProto *s = stated(g->input[i]);
        for (size_t k = 0; s && k < s->n_dim; k++, number++) {
            const char *other = open_name(s->dim[k]);
            if (number > UINT8_MAX) return 1;
            if (name && *name ? other && !strcmp(name, other) : s->dim[k] == x)
                return (uint8_t)number;
        }
    }
    return 1;
}

/* *d <- the shape that the file states. The first length of an input, if open, is taken for 1.
 * False: a length is not known; *open is the first such axis. */
static bool stated_shape(const graph_proto *g, const Onnx__ValueInfoProto *v, const lengths *l,
                         bool input, dims *d, size_t *open)
{
    const Onnx__TensorShapeProto *s = stated(v);
    *open = MAX_RANK;
    if (!s || s->n_dim > MAX_RANK) return false;
    *d = (dims){.rank = s->n_dim};
    for (size_t k = 0; k < s->n_dim; k++) {
        const dimension *x = s->dim[k];
        const bool number = x->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
                            x->dim_value > 0;
        const char *name = open_name(x);
        *open = k;
        d->varies[k] = number ? 0 : number_of(g, x);
        if (number)
            d->dim[k] = (size_t)x->dim_value;
        else if (!open_length(l, name, &d->dim[k])) {
            if (!input || k) return false;
            d->dim[k] = 1;
        }
    }
    return true;
}

tensor *net_adopt(net *n, tensor_proto *data)
{
    tensor *t = add_tensor(n, data->name);
    if (t) take_data(data, t);
    return t;
}

static bool add_input(net *n, const Onnx__ValueInfoProto *v, const lengths *l)
{
    size_t open;
    tensor *t;
    if (!v->name || !*v->name) return fail(n->f, "an input of the graph has no name");
    if (net_tensor(n, v->name))
        return true; /* an initializer that a caller of the network may replace */
    t = add_tensor(n, v->name);
    t->sized = stated_shape(n->m->graph, v, l, true, &t->dims, &open);
    if (t->sized || open == MAX_RANK) return true;
    return fail(n->f, "input %s: the length of axis %zu is open; give it by --length NAME=LENGTH",
                v->name, open);
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

static void use(net *n, const char *name)
{
    tensor *t = net_tensor(n, name);
    if (!t) return;
    t->uses++;
    t->consumer = n->node + 1;
}

void net_within(net *n, const node_proto *node, net_reader *see)
{
    for (size_t k = 0; k < node->n_attribute; k++) {
        const attribute_proto *a = node->attribute[k];
        for (size_t g = 0; g < a->n_graphs + (a->g ? 1 : 0); g++) {
            const graph_proto *inner = g < a->n_graphs ? a->graphs[g] : a->g;
            for (size_t i = 0; i < inner->n_node; i++) {
                for (size_t j = 0; j < inner->node[i]->n_input; j++)
                    see(n, inner->node[i]->input[j]);
                net_within(n, inner->node[i], see);
            }
            for (size_t i = 0; i < inner->n_output; i++) see(n, inner->output[i]->name);
        }
    }
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
    net_within(n, node, use);
    for (size_t k = 0; k < node->n_output; k++)
        if (*node->output[k] && !add_tensor(n, node->output[k]))
            return fail(n->f, "node %zu (%s) makes %s, which is there already", at, op,
                        node->output[k]);
    const attribute_proto *value = is_op(node, "Constant") ? node_attribute(node, "value") : NULL;
    tensor *t = net_output(n, node, 0);
    if (value && value->t && t) take_data(value->t, t);
    return true;
}

static void state_shapes(net *n, const lengths *l)
{
    const graph_proto *g = n->m->graph;
    for (size_t i = 0; i < g->n_value_info + g->n_output; i++) {
        const Onnx__ValueInfoProto *v =
            i < g->n_value_info ? g->value_info[i] : g->output[i - g->n_value_info];
        tensor *t = net_tensor(n, v->name);
        size_t open;
        if (t && !t->sized) t->sized = stated_shape(g, v, l, false, &t->dims, &open);
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
    enum { FIRST = 7, LAST = 24 };
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
    if (!check_opset(n) || !check_lengths(n, l) || !allocate(n) || !add_initializers(n))
        return false;
    for (size_t i = 0; i < g->n_input; i++)
        if (!add_input(n, g->input[i], l)) return false;
    for (size_t i = 0; i < g->n_node; i++)
        if (!add_node(n, g->node[i], i)) return false;
    for (size_t i = 0; i < g->n_output; i++) {
        tensor *t = net_tensor(n, g->output[i]->name);
        if (!t) return fail(f, "output %s: no node makes this tensor", g->output[i]->name);
        t->uses++;
        t->consumer = 0;
    }
    state_shapes(n, l);
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
        protobuf_c_message_free_unpacked(n->removed[i].message, NULL);
    free(n->removed);
    free(n->tensors);
    if (n->names) free(n->names->slot);
    free(n->names);
    free(n->weights);
    free(n->shuffles);
    free(n->contracted);
    free(n->done);
    *n = (net){0};
}

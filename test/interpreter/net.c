/* Recipes: shapes, description, cutting. */
#include "net.h"

#include "trial.h"

#include "by_id/by_id.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

net *net_make(arena *mem, size_t room)
{
    net *n = arena_get(mem, 1, sizeof *n);
    n->mem = mem;
    n->room = room < NET_MAX_NODES ? room : NET_MAX_NODES;
    n->node = arena_get(mem, n->room + 1, sizeof *n->node);
    return n;
}

size_t net_param_add(net *n, rng *r, uint32_t ndim, const size_t *shape)
{
    if (n->params == NET_MAX_PARAMS) return 0;
    net_param *p = &n->param[++n->params];
    size_t count = shape_elements(ndim, shape);
    double width = 1 / sqrt((double)(count / shape[0]));
    p->ndim = ndim;
    memcpy(p->shape, shape, ndim * sizeof *shape);
    p->data = arena_get(n->mem, count, sizeof *p->data);
    for (size_t i = 0; i < count; i++) p->data[i] = width * rng_real(r, -1.5, 1.5);
    return n->params;
}

size_t net_positions(const net_node *node)
{
    return shape_elements(node->nspatial, node->spatial);
}

/* ---- Shapes ---- */

static bool slide(size_t in, size_t window, const net_node *t, size_t d, bool ceil_mode,
                  size_t *out)
{
    size_t dilation = t->dilation[d] ? t->dilation[d] : 1;
    size_t stride = t->stride[d] ? t->stride[d] : t->op == NET_POOL ? window : 1;
    size_t padded = in + t->before[d] + t->after[d], reach = dilation * (window - 1) + 1;
    if (window == 0 || padded < reach) return false;
    *out = (padded - reach) / stride + 1;
    if (ceil_mode && (padded - reach) % stride && *out * stride < in + t->before[d]) ++*out;
    return true;
}

static bool shape_combine(const net *n, net_node *t)
{
    t->channels = 1;
    for (size_t k = 0; k < t->inputs; k++) {
        const net_node *a = &n->node[t->in[k]];
        if (a->channels > 1 && t->channels > 1 && a->channels != t->channels) return false;
        if (a->channels > t->channels) t->channels = a->channels;
        if (a->nspatial && t->nspatial && a->nspatial != t->nspatial) return false;
        if (a->nspatial) {
            for (uint32_t d = 0; d < a->nspatial; d++) {
                size_t *s = &t->spatial[d];
                if (!t->nspatial || *s == 1)
                    *s = a->spatial[d];
                else if (a->spatial[d] != 1 && a->spatial[d] != *s)
                    return false;
            }
            t->nspatial = a->nspatial;
        }
    }
    return true;
}

static bool shape_of(const net *n, net_node *t)
{
    const net_node *in = t->inputs ? &n->node[t->in[0]] : NULL;
    const net_param *w = t->weight ? &n->param[t->weight] : NULL;
    if (t->op == NET_INPUT || t->op == NET_OPAQUE) return true;
    if (t->op == NET_TABLE || t->op == NET_PARAM) {
        t->channels = w->shape[t->op == NET_TABLE ? 1 : t->axis];
        return true;
    }
    t->channels = in->channels;
    t->nspatial = in->nspatial;
    memcpy(t->spatial, in->spatial, sizeof t->spatial);
    switch (t->op) {
    case NET_CONV:
    case NET_GROUPED:
    case NET_DEPTHWISE: {
        size_t groups = t->op == NET_DEPTHWISE ? in->channels : t->groups ? t->groups : 1;
        if (in->nspatial == 0 || w->ndim != in->nspatial + 2) return false;
        if (w->shape[1] * groups != in->channels || w->shape[0] % groups) return false;
        for (uint32_t d = 0; d < in->nspatial; d++)
            if (!slide(in->spatial[d], w->shape[2 + d], t, d, false, &t->spatial[d])) return false;
        t->channels = w->shape[0];
        return true;
    }
    case NET_TCONV:
        if (in->nspatial == 0 || w->ndim != in->nspatial + 2) return false;
        t->channels = w->shape[1] * (t->groups ? t->groups : 1);
        for (uint32_t d = 0; d < in->nspatial; d++) {
            size_t dilation = t->dilation[d] ? t->dilation[d] : 1;
            size_t full = (in->spatial[d] - 1) * (t->stride[d] ? t->stride[d] : 1) +
                          dilation * (w->shape[2 + d] - 1) + t->resize[d] + 1;
            if (full <= t->before[d] + t->after[d]) return false;
            t->spatial[d] = full - t->before[d] - t->after[d];
        }
        return w->shape[0] == in->channels && in->channels % (t->groups ? t->groups : 1) == 0;
    case NET_LINEAR:
        t->channels = w->shape[0];
        return w->shape[1] == in->channels;
    case NET_PRELU:
        return w->shape[0] == in->channels || w->shape[0] == 1;
    case NET_CHUNK:
        t->channels = in->channels / t->count;
        return in->channels % t->count == 0;
    case NET_CHANNEL_SHUFFLE:
        return in->channels % t->groups == 0;
    case NET_PIXEL_SHUFFLE:
    case NET_PIXEL_UNSHUFFLE: {
        size_t block = 1;
        for (uint32_t d = 0; d < in->nspatial; d++) {
            block *= t->factor;
            t->spatial[d] = t->op == NET_PIXEL_SHUFFLE ? in->spatial[d] * t->factor
                                                       : in->spatial[d] / t->factor;
            if (t->op == NET_PIXEL_UNSHUFFLE && in->spatial[d] % t->factor) return false;
        }
        t->channels = t->op == NET_PIXEL_SHUFFLE ? in->channels / block : in->channels * block;
        return in->nspatial > 0 && (t->op == NET_PIXEL_UNSHUFFLE || in->channels % block == 0);
    }
    case NET_UNFLATTEN: /* to `nspatial` = factor axes of the sizes in window */
        t->nspatial = (uint32_t)t->factor;
        for (uint32_t d = 0; d < t->nspatial; d++) t->spatial[d] = t->window[d];
        t->channels = in->channels / net_positions(t);
        return in->nspatial == 0 && in->channels % net_positions(t) == 0;
    case NET_RESHAPE: /* names its axes as NET_UNFLATTEN does */
        t->nspatial = (uint32_t)t->factor;
        for (uint32_t d = 0; d < t->nspatial; d++) t->spatial[d] = t->window[d];
        return net_positions(t) == net_positions(in);
    case NET_STACK:
        for (size_t k = 1; k < t->inputs; k++) {
            const net_node *b = &n->node[t->in[k]];
            if (b->channels != in->channels || b->nspatial != in->nspatial) return false;
            for (uint32_t d = 0; d < in->nspatial; d++)
                if (d != t->axis && b->spatial[d] != in->spatial[d]) return false;
            t->spatial[t->axis] += b->spatial[t->axis];
        }
        return t->axis < in->nspatial;
    case NET_ATTENTION:
        t->channels = n->param[t->more[3]].shape[0];
        return true;
    case NET_RECURRENT:
        t->channels = net_recurrent_units(n, t, t->layers - 1) * (t->bidirectional ? 2 : 1);
        return true;
    case NET_NORM:
        if (t->groups > 1 && in->channels % t->groups) return false;
        for (int k = 0; k < 4; k++)
            if (t->norm[k] && n->param[t->norm[k]].shape[0] != in->channels) return false;
        return true;
    case NET_POOL:
        for (uint32_t d = 0; d < in->nspatial; d++) {
            size_t window = t->window[d] ? t->window[d] : 1;
            if (t->kind >= MSKP_POOL_GLOBAL_MAX)
                t->spatial[d] = 1;
            else if (!slide(in->spatial[d], window, t, d, t->ceil_mode, &t->spatial[d]))
                return false;
            if (t->resize[d]) t->spatial[d] = t->resize[d];
        }
        return true;
    case NET_COMBINE:
        t->nspatial = 0;
        memset(t->spatial, 0, sizeof t->spatial);
        return shape_combine(n, t);
    case NET_SLICE:
        t->channels = t->count;
        return t->count && t->first + t->count <= in->channels;
    case NET_PAD:
        t->channels = t->first + in->channels + t->count;
        return true;
    case NET_FLATTEN:
        t->channels = in->channels * net_positions(in);
        t->nspatial = 0;
        return true;
    case NET_PICK:
        t->channels = t->count;
        for (size_t i = 0; i < t->count; i++)
            if (t->positions[i] >= in->channels) return false;
        return t->count > 0;
    case NET_CONCAT:
        for (size_t k = 1; k < t->inputs; k++) {
            const net_node *b = &n->node[t->in[k]];
            t->channels += b->channels;
            if (b->nspatial != in->nspatial) return false;
            for (uint32_t d = 0; d < in->nspatial; d++)
                if (b->spatial[d] != in->spatial[d]) return false;
        }
        return true;
    case NET_SHUFFLE:
        t->channels = in->channels / 4;
        for (int d = 0; d < 2; d++) t->spatial[d] = in->spatial[d] * 2;
        return in->nspatial == 2 && in->channels % 4 == 0;
    case NET_SCALE:
        return w->shape[0] == in->channels;
    default:
        return true;
    }
}

size_t net_add(net *n, const net_node *node)
{
    net_node t = *node;
    if (n->nodes == n->room || !shape_of(n, &t)) return 0;
    n->node[++n->nodes] = t;
    return n->nodes;
}

/* ---- Describe ---- */

typedef struct describer {
    const net *net;
    mskp_graph *graph; /* or NULL */
    model *model;      /* or NULL */
    size_t *value;     /* by node */
} describer;

static mskp_value value_of(const describer *t, size_t node)
{
    return (mskp_value){(uint32_t)t->value[node]};
}

static mskp_param param_of(size_t param)
{
    return (mskp_param){(uint32_t)param};
}

/* Both number values in the same order. */
static size_t agreed(const describer *t, mskp_value v, size_t m)
{
    mskp_error err = {0};
    if (t->graph && !v.id) (void)mskp_graph_finish(t->graph, &err);
    REQUIRE(!t->graph || v.id, "the library made no value where the model has %zu: %s", m,
            err.text);
    REQUIRE(!t->graph || !t->model || v.id == m, "value %u, the model has %zu", v.id, m);
    return t->graph ? v.id : m;
}

/* The same primitive is described to the library and to the model. */
static size_t describe_fresh(describer *t, const char *name, size_t channels, uint32_t nspatial,
                             const size_t *spatial)
{
    mskp_value v = {0};
    size_t m = 0;
    if (t->graph) v = mskp_fresh(t->graph, name, channels, nspatial, spatial);
    if (t->model) m = model_fresh(t->model, channels, nspatial, spatial);
    return agreed(t, v, m);
}

static size_t describe_slice(describer *t, size_t from, size_t first, size_t count)
{
    arena mem = {0};
    size_t *positions = arena_get(&mem, count, sizeof *positions);
    mskp_value v = {0};
    size_t m = 0;
    for (size_t i = 0; i < count; i++) positions[i] = first + i;
    if (t->graph) v = mskp_slice(t->graph, NULL, (mskp_value){(uint32_t)from}, first, count);
    if (t->model) m = model_pick(t->model, from, count, positions);
    arena_free(&mem);
    return agreed(t, v, m);
}

static size_t describe_pick(describer *t, const char *name, size_t from, size_t n,
                            const size_t *positions)
{
    mskp_value v = {0};
    size_t m = 0;
    if (t->graph) v = mskp_pick(t->graph, name, (mskp_value){(uint32_t)from}, n, positions);
    if (t->model) m = model_pick(t->model, from, n, positions);
    return agreed(t, v, m);
}

static void describe_tie(describer *t, size_t a, size_t b)
{
    if (t->graph) (void)mskp_tie(t->graph, (mskp_value){(uint32_t)a}, (mskp_value){(uint32_t)b});
    if (t->model) model_tie(t->model, a, b, 0);
}

static void describe_bind(describer *t, size_t param, uint32_t axis, uint32_t roles, size_t value)
{
    if (!param) return;
    if (t->graph)
        (void)mskp_bind(t->graph, param_of(param), axis, roles, (mskp_value){(uint32_t)value});
    if (t->model) model_bind(t->model, param, axis, roles, value, 0);
}

static void describe_macs(describer *t, size_t value, size_t param, uint64_t per_element)
{
    if (t->graph)
        (void)mskp_add_macs(t->graph, (mskp_value){(uint32_t)value}, param_of(param), per_element);
    if (t->model) model_macs(t->model, value, param, per_element);
}

/* What a caller would write for operators that the library does not have. */
static void describe_own(describer *t, const net_node *d, const char *name)
{
    size_t in = t->value[d->in[0]], ci = t->net->node[d->in[0]].channels, co = d->channels, out;
    arena mem = {0};
    size_t *positions = arena_get(&mem, ci + co, sizeof *positions);
    if (d->op == NET_SCALE) {
        describe_bind(t, d->weight, 0, MSKP_ROLE_SCALE, in);
        out = in;
    } else {
        out = describe_fresh(t, name, co, d->nspatial, d->spatial);
    }
    if (d->op == NET_GROUPED) {
        size_t i0 = 0, o0 = 0;
        for (size_t g = 0; g < d->groups; g++) {
            size_t ig = describe_slice(t, in, g * (ci / d->groups), ci / d->groups);
            size_t og = describe_slice(t, out, g * (co / d->groups), co / d->groups);
            if (g == 0)
                i0 = ig, o0 = og;
            else
                describe_tie(t, i0, ig), describe_tie(t, o0, og);
        }
        describe_bind(t, d->weight, 0, MSKP_ROLE_FILTER, out);
        describe_bind(t, d->weight, 1, MSKP_ROLE_CONSUMER, i0);
    } else if (d->op == NET_DEPTHWISE) {
        for (size_t j = 0; j < co; j++) positions[j] = j / (co / ci);
        describe_tie(t, out, describe_pick(t, NULL, in, co, positions));
        describe_bind(t, d->weight, 0, MSKP_ROLE_FILTER, out);
    } else if (d->op == NET_SHUFFLE) {
        for (size_t j = 0; j < ci; j++) positions[j] = j / 4;
        describe_tie(t, in, describe_pick(t, NULL, out, ci, positions));
    }
    if (d->op == NET_GROUPED || d->op == NET_DEPTHWISE) {
        describe_bind(t, d->bias, 0, MSKP_ROLE_SHIFT, out);
        describe_macs(t, out, d->weight, net_positions(d));
    }
    t->value[d - t->net->node] = out;
    arena_free(&mem);
}

size_t net_recurrent_units(const net *n, const net_node *d, size_t layer)
{
    return n->param[d->more[layer ? 5 : 1]].shape[1];
}

size_t net_recurrent_param(const net_node *d, size_t k, int part)
{
    const size_t directions = d->bidirectional ? 2 : 1;
    return d->more[(k < directions ? 0 : 4) + (size_t)part];
}

/* The library's operators, by their own calls. */
static mskp_value describe_graph(const describer *t, const net_node *d, const char *name)
{
    mskp_graph *g = t->graph;
    mskp_value in = d->inputs ? value_of(t, d->in[0]) : (mskp_value){0}, list[NET_MAX_IN];
    for (size_t k = 0; k < d->inputs; k++) list[k] = value_of(t, d->in[k]);
    switch (d->op) {
    case NET_INPUT:
        return mskp_input(g, name, d->channels, d->nspatial, d->nspatial ? d->spatial : NULL);
    case NET_CONV:
    case NET_TCONV: {
        mskp_conv_desc c = {.weight = param_of(d->weight), .bias = param_of(d->bias)};
        memcpy(c.stride, d->stride, sizeof c.stride);
        memcpy(c.pad_before, d->before, sizeof c.pad_before);
        memcpy(c.pad_after, d->after, sizeof c.pad_after);
        memcpy(c.dilation, d->dilation, sizeof c.dilation);
        c.groups = d->groups;
        c.grouping = (mskp_grouping)d->grouping;
        c.padding = d->padding ? MSKP_PADDING_EXTENDED : MSKP_PADDING_ZEROS;
        if (d->op == NET_TCONV) memcpy(c.output_pad, d->resize, sizeof c.output_pad);
        return d->op == NET_TCONV ? mskp_conv_transposed(g, name, in, &c)
                                  : mskp_conv(g, name, in, &c);
    }
    case NET_LINEAR:
        return mskp_linear(g, name, in, param_of(d->weight), param_of(d->bias));
    case NET_NORM:
        return mskp_norm(g, name, in,
                         &(mskp_norm_desc){.scale = param_of(d->norm[0]),
                                           .shift = param_of(d->norm[1]),
                                           .mean = param_of(d->norm[2]),
                                           .variance = param_of(d->norm[3]),
                                           .kind = (mskp_norm_kind)d->norm_kind,
                                           .groups = d->groups,
                                           .grouping = (mskp_grouping)d->grouping,
                                           .epsilon = d->epsilon,
                                           .epsilon_outside_root = d->outside_root,
                                           .accept_inexact = d->inexact});
    case NET_ACT: {
        mskp_activation_desc a = {.kind = (mskp_activation_kind)d->kind};
        if (d->kind == MSKP_ACTIVATION_LEAKY_RELU)
            a.parameters[0] = d->parameter != 0 ? d->parameter : 0.1;
        if (d->kind == MSKP_ACTIVATION_ELU || d->kind == MSKP_ACTIVATION_MULTIPLY)
            a.parameters[0] = d->parameter;
        if (d->kind == MSKP_ACTIVATION_CUSTOM && d->said) {
            a.function = net_own_function;
            a.parameters[3] = d->parameter;
        }
        return mskp_activation(g, name, in, d->kind == MSKP_ACTIVATION_IDENTITY ? NULL : &a);
    }
    case NET_POOL: {
        mskp_pool_desc p = {.kind = (mskp_pool_kind)d->kind, .ceil_mode = d->ceil_mode};
        p.keeps_constants = d->said && !d->count_padding;
        memcpy(p.size, d->window, sizeof p.size);
        memcpy(p.stride, d->stride, sizeof p.stride);
        memcpy(p.pad_before, d->before, sizeof p.pad_before);
        memcpy(p.pad_after, d->after, sizeof p.pad_after);
        memcpy(p.spatial, d->resize, sizeof p.spatial);
        return mskp_pool(g, name, in, &p);
    }
    case NET_COMBINE:
        return mskp_combine(g, name, (mskp_combine_kind)d->kind, d->inputs, list);
    case NET_SLICE:
        return mskp_slice(g, name, in, d->first, d->count);
    case NET_PAD:
        return mskp_pad_channels(g, name, in, d->first, d->count);
    case NET_FLATTEN:
        return mskp_flatten(g, name, in, d->channels_last);
    case NET_PICK:
        return mskp_pick(g, name, in, d->count, d->positions);
    case NET_OPAQUE:
        return mskp_opaque(g, name,
                           &(mskp_opaque_desc){"blend", d->inputs, list, d->channels, d->nspatial,
                                               d->nspatial ? d->spatial : NULL});
    case NET_PRELU:
        return mskp_prelu(g, name, in, param_of(d->weight));
    case NET_TABLE:
        return mskp_embedding(g, name, param_of(d->weight), d->nspatial, d->spatial);
    case NET_PARAM:
        return mskp_param_operand(g, name, param_of(d->weight), (uint32_t)d->axis, MSKP_ROLE_FILTER,
                                  d->nspatial, d->spatial);
    case NET_CHUNK: {
        mskp_value parts[8];
        REQUIRE_OK(mskp_chunk(g, name, in, d->count, d->rewritable, parts));
        return parts[d->first];
    }
    case NET_CHANNEL_SHUFFLE:
        return mskp_channel_shuffle(g, name, in, d->groups, d->rewritable);
    case NET_PIXEL_SHUFFLE:
        return mskp_pixel_shuffle(g, name, in, d->factor, (mskp_shuffle_order)d->kind);
    case NET_PIXEL_UNSHUFFLE:
        return mskp_pixel_unshuffle(g, name, in, d->factor, (mskp_shuffle_order)d->kind);
    case NET_UNFLATTEN:
        return mskp_unflatten(g, name, in, d->nspatial, d->spatial, d->channels_last);
    case NET_RESHAPE:
        return mskp_reshape(g, name, in, d->nspatial, d->nspatial ? d->spatial : NULL);
    case NET_STACK:
        return mskp_concat_spatial(g, name, (uint32_t)d->axis, d->inputs, list);
    case NET_ATTENTION: {
        mskp_attention_desc a = {.heads = d->heads,
                                 .kv_heads = d->kv_heads,
                                 .head_dim = d->dim,
                                 .value_dim = d->value_dim,
                                 .packed = d->packed,
                                 .units =
                                     d->by_position ? MSKP_ATTENTION_DIMS : MSKP_ATTENTION_HEADS};
        mskp_param *const weights[4] = {&a.query, &a.key, &a.value, &a.output};
        mskp_param *const biases[4] = {&a.query_bias, &a.key_bias, &a.value_bias, &a.output_bias};
        for (int k = 0; k < 4; k++) {
            *weights[k] = param_of(d->more[k]);
            *biases[k] = param_of(d->more[4 + k]);
        }
        if (d->inputs > 1) a.memory = list[1];
        return mskp_attention(g, name, in, &a);
    }
    case NET_RECURRENT: {
        mskp_recurrent_params p[4];
        const size_t n = d->layers * (d->bidirectional ? 2 : 1);
        for (size_t k = 0; k < n; k++)
            p[k] = (mskp_recurrent_params){
                param_of(net_recurrent_param(d, k, 0)), param_of(net_recurrent_param(d, k, 1)),
                param_of(net_recurrent_param(d, k, 2)), param_of(net_recurrent_param(d, k, 3))};
        return mskp_recurrent(g, name, in,
                              &(mskp_recurrent_desc){.kind = (mskp_recurrent_kind)d->kind,
                                                     .bidirectional = d->bidirectional,
                                                     .layers = d->layers,
                                                     .params = p});
    }
    default:
        return mskp_concat(g, name, d->inputs, list);
    }
}

/* ---- The header's operators, described to the model ---- */

static void tie_pick(model *m, size_t value, size_t n, const size_t *to, size_t by)
{
    /* Channel i is tied to channel to[i] of the same list. */
    for (size_t i = 0; i < n; i++)
        if (to[i] != i) model_join(m, value, i, value, to[i], by);
}

static size_t conv_model(const describer *t, const net_node *d, size_t in)
{
    model *m = t->model;
    const bool transposed = d->op == NET_TCONV;
    const size_t ci = m->value[in].n, co = d->channels, g = d->groups ? d->groups : 1;
    const size_t ni = ci / g, no = co / g, v = model_fresh(m, co, d->nspatial, d->spatial);
    const bool whole =
        g > 1 && (d->grouping == MSKP_GROUPING_WHOLE || (d->grouping == 0 && g == ci));
    const net_node *from = &t->net->node[d->in[0]];
    size_t all = m->values;
    for (uint32_t k = 2; k < m->param[d->weight].ndim; k++) model_fix(m, d->weight, k, v);
    if (whole) {
        model_fix(m, d->weight, 1, v);
        for (size_t k = 0; k < g; k++) {
            for (size_t i = 0; i < ni; i++) model_join(m, in, k * ni, in, k * ni + i, v);
            for (size_t o = 0; o < no; o++) model_join(m, in, k * ni, v, k * no + o, v);
        }
        model_bind_part(m, d->weight, 0, MSKP_ROLE_FILTER, transposed ? in : v,
                        transposed ? ci : co, v, v);
    } else {
        for (size_t i = ni; i < ci; i++) model_join(m, in, i % ni, in, i, v);
        for (size_t o = no; o < co; o++) model_join(m, v, o % no, v, o, v);
        model_bind_part(m, d->weight, transposed, MSKP_ROLE_FILTER, v, transposed ? no : co, v, v);
        model_bind_part(m, d->weight, !transposed, MSKP_ROLE_CONSUMER, in, transposed ? ci : ni, v,
                        v);
    }
    REQUIRE(all == m->values, "a value too many");
    if (d->bias) model_bind(m, d->bias, 0, MSKP_ROLE_SHIFT, v, v);
    model_macs(m, v, d->weight, net_positions(transposed ? from : d));
    return v;
}

static void norm_model(const describer *t, const net_node *d, size_t in, size_t v)
{
    static const uint32_t role[4] = {MSKP_ROLE_SCALE, MSKP_ROLE_SHIFT, MSKP_ROLE_MEAN,
                                     MSKP_ROLE_VARIANCE};
    model *m = t->model;
    const size_t n = m->value[in].n, g = d->groups ? d->groups : 1, part = n / g;
    for (int k = 0; k < 4; k++)
        if (d->norm[k]) model_bind(m, d->norm[k], 0, role[k], v, v);
    if (d->norm_kind < MSKP_NORM_GROUP) return;
    if (d->norm_kind == MSKP_NORM_GROUP && g > 1 && d->grouping == MSKP_GROUPING_WHOLE) {
        for (size_t i = 0; i < n; i++) model_join(m, in, i / part * part, in, i, v);
    } else if (!d->inexact) {
        model_pin(m, in, v);
    } else {
        for (size_t i = part; d->norm_kind == MSKP_NORM_GROUP && i < n; i++)
            model_join(m, in, i % part, in, i, v);
        model_inexact(m, in, v);
    }
}

static size_t attention_model(const describer *t, const net_node *d, const size_t *list)
{
    model *m = t->model;
    const size_t kv = d->kv_heads, g = d->heads / kv, dk = d->dim, dv = d->value_dim;
    const size_t in = list[0], memory = d->inputs > 1 ? list[1] : in;
    const size_t rows[4] = {kv * g * dk, kv * dk, kv * dv, kv * g * dv};
    size_t most = 0, part[4];
    size_t shared[2];
    for (int i = 0; i < 4; i++) most = rows[i] > most ? rows[i] : most;
    size_t *positions = arena_get(m->mem, most, sizeof *positions);
    shared[0] = model_fresh(m, d->by_position ? dk : kv, 0, NULL);
    shared[1] = d->by_position ? model_fresh(m, dv, 0, NULL) : shared[0];
    for (int i = 0; i < 4; i++) {
        const size_t dim = i < 2 ? dk : dv, per = (i == 0 || i == 3 ? g : 1) * dim;
        for (size_t k = 0; k < rows[i]; k++) positions[k] = d->by_position ? k % dim : k / per;
        part[i] = model_pick(m, shared[i / 2], rows[i], positions);
    }
    const size_t v = model_fresh(m, d->channels, d->nspatial, d->spatial);
    const size_t packed = d->packed ? model_concat(m, 3, part) : 0;
    for (int i = 0; i < 3; i++) {
        if (!d->more[i]) continue;
        model_own(m, d->more[i], v);
        model_bind(m, d->more[i], 0, MSKP_ROLE_FILTER, d->packed ? packed : part[i], v);
        model_bind(m, d->more[i], 1, MSKP_ROLE_CONSUMER, i ? memory : in, v);
        if (!d->more[4 + i]) continue;
        model_own(m, d->more[4 + i], v);
        model_bind(m, d->more[4 + i], 0, MSKP_ROLE_SHIFT, d->packed ? packed : part[i], v);
    }
    model_bind(m, d->more[3], 0, MSKP_ROLE_FILTER, v, v);
    model_bind(m, d->more[3], 1, MSKP_ROLE_CONSUMER, part[3], v);
    if (d->more[7]) model_bind(m, d->more[7], 0, MSKP_ROLE_SHIFT, v, v);
    const size_t here = net_positions(d);
    const size_t there = net_positions(&t->net->node[d->in[d->inputs > 1 ? 1 : 0]]);
    for (int i = 0; i < 4; i++)
        if (d->more[i]) model_macs(m, v, d->more[i], i == 1 || i == 2 ? there : here);
    model_macs(m, part[0], 0, here * there);
    model_macs(m, part[3], 0, here * there);
    return v;
}

static size_t recurrent_model(const describer *t, const net_node *d, size_t in)
{
    static const size_t gates[] = {4, 3, 1};
    model *m = t->model;
    const size_t directions = d->bidirectional ? 2 : 1;
    size_t both[2];
    for (size_t layer = 0; layer < d->layers; layer++) {
        const size_t units = net_recurrent_units(t->net, d, layer), n = units * gates[d->kind];
        size_t *positions = arena_get(m->mem, n, sizeof *positions);
        for (size_t i = 0; i < n; i++) positions[i] = i % units;
        for (size_t k = 0; k < directions; k++) {
            const size_t number = layer * directions + k;
            const size_t h = model_fresh(m, units, d->nspatial, d->spatial);
            const size_t all = model_pick(m, h, n, positions);
            m->value[all].nspatial = 0;
            for (int part = 0; part < 4; part++) {
                const size_t p = net_recurrent_param(d, number, part);
                if (!p) continue;
                model_own(m, p, h);
                model_bind(m, p, 0, part < 2 ? MSKP_ROLE_FILTER : MSKP_ROLE_SHIFT, all, h);
                if (part < 2) model_bind(m, p, 1, MSKP_ROLE_CONSUMER, part ? h : in, h);
                if (part < 2) model_macs(m, h, p, net_positions(d));
            }
            both[k] = h;
        }
        in = model_concat(m, directions, both);
    }
    return in;
}

/* The same operators in primitives, from the header's words. */
static size_t describe_model(const describer *t, const net_node *d)
{
    model *m = t->model;
    size_t in = d->inputs ? t->value[d->in[0]] : 0, list[NET_MAX_IN], v = 0, wide = 0;
    size_t ci = d->inputs ? m->value[in].n : 0;
    for (size_t k = 0; k < d->inputs; k++) {
        list[k] = t->value[d->in[k]];
        if (!wide && m->value[list[k]].n == d->channels) wide = list[k];
    }
    size_t *positions = arena_get(m->mem, d->channels + ci, sizeof *positions);
    switch (d->op) {
    case NET_INPUT:
        v = model_fresh(m, d->channels, d->nspatial, d->spatial);
        model_pin(m, v, v);
        return v;
    case NET_OPAQUE:
        v = model_fresh(m, d->channels, d->nspatial, d->spatial);
        for (size_t k = 0; k < d->inputs; k++) model_pin(m, list[k], v);
        model_pin(m, v, v);
        return v;
    case NET_CONV:
    case NET_TCONV:
        return conv_model(t, d, in);
    case NET_ATTENTION:
        return attention_model(t, d, list);
    case NET_RECURRENT:
        return recurrent_model(t, d, in);
    case NET_TABLE:
    case NET_PARAM:
        v = model_fresh(m, d->channels, d->nspatial, d->spatial);
        model_bind(m, d->weight, d->op == NET_TABLE ? 1 : (uint32_t)d->axis, MSKP_ROLE_FILTER, v,
                   v);
        for (uint32_t k = 0; k < m->param[d->weight].ndim; k++)
            if (k != (d->op == NET_TABLE ? 1 : (uint32_t)d->axis)) model_fix(m, d->weight, k, v);
        return v;
    case NET_PRELU:
        v = model_alias(m, in, d->nspatial, d->spatial);
        if (t->net->param[d->weight].shape[0] == ci)
            model_bind(m, d->weight, 0, MSKP_ROLE_OTHER, v, v);
        else {
            model_own(m, d->weight, v);
            model_fix(m, d->weight, 0, v);
        }
        return v;
    case NET_CHUNK: {
        size_t parts[8] = {0};
        for (size_t k = 0; k < d->count; k++) {
            for (size_t i = 0; i < d->channels; i++) positions[i] = k * d->channels + i;
            parts[k] = model_pick(m, in, d->channels, positions);
        }
        for (size_t k = 1; !d->rewritable && k < d->count; k++)
            model_tie(m, parts[0], parts[k], parts[0]);
        return parts[d->first];
    }
    case NET_CHANNEL_SHUFFLE:
        for (size_t i = 0; i < ci; i++)
            positions[i % (ci / d->groups) * d->groups + i / (ci / d->groups)] = i;
        v = model_pick(m, in, ci, positions);
        for (size_t i = 0; i < ci; i++) positions[i] = i % (ci / d->groups);
        if (!d->rewritable) tie_pick(m, in, ci, positions, v);
        return v;
    case NET_PIXEL_SHUFFLE:
    case NET_UNFLATTEN: {
        const size_t block = ci / d->channels;
        const bool far =
            d->op == NET_UNFLATTEN ? d->channels_last : d->kind == MSKP_SHUFFLE_BLOCK_MAJOR;
        for (size_t c = 0; c < d->channels; c++) positions[c] = far ? c : c * block;
        v = model_pick(m, in, d->channels, positions);
        for (size_t i = 0; i < ci; i++) positions[i] = far ? i % d->channels : i / block * block;
        tie_pick(m, in, ci, positions, v);
        break;
    }
    case NET_PIXEL_UNSHUFFLE:
        for (size_t i = 0; i < d->channels; i++)
            positions[i] = d->kind == MSKP_SHUFFLE_BLOCK_MAJOR ? i % ci : i / (d->channels / ci);
        v = model_pick(m, in, d->channels, positions);
        break;
    case NET_STACK:
        v = model_alias(m, in, d->nspatial, d->spatial);
        for (size_t k = 1; k < d->inputs; k++) model_tie(m, in, list[k], v);
        return v;
    case NET_LINEAR:
        v = model_fresh(m, d->channels, d->nspatial, d->spatial);
        model_bind(m, d->weight, 0, MSKP_ROLE_FILTER, v, v);
        model_bind(m, d->weight, 1, MSKP_ROLE_CONSUMER, in, v);
        /* Parameters of an operator count for the value that it makes. */
        if (d->bias) model_bind(m, d->bias, 0, MSKP_ROLE_SHIFT, v, v);
        model_macs(m, v, d->weight, net_positions(d));
        return v;
    case NET_COMBINE:
        v = model_alias(m, wide, d->nspatial, d->spatial);
        for (size_t k = 0; k < d->inputs; k++)
            if (m->value[list[k]].n == d->channels) model_tie(m, wide, list[k], v);
        return v;
    case NET_SLICE:
        for (size_t i = 0; i < d->count; i++) positions[i] = d->first + i;
        return model_pick(m, in, d->count, positions);
    case NET_PAD: {
        /* New channels around the list. They must not count as values of their own. */
        v = model_fresh(m, d->channels, d->nspatial, d->spatial);
        m->channels -= ci;
        for (size_t i = 0; i < ci; i++) m->value[v].channel[d->first + i] = m->value[in].channel[i];
        for (size_t i = 0; i < d->count; i++)
            m->value[v].channel[d->first + ci + i] -= (uint32_t)ci;
        return v;
    }
    case NET_FLATTEN: {
        size_t n = d->channels / ci;
        for (size_t i = 0; i < d->channels; i++) positions[i] = d->channels_last ? i % ci : i / n;
        v = model_pick(m, in, d->channels, positions);
        m->value[v].nspatial = 0;
        return v;
    }
    case NET_PICK:
        return model_pick(m, in, d->count, d->positions);
    case NET_CONCAT:
        return model_concat(m, d->inputs, list);
    default: /* norm, activation, pooling */
        v = model_alias(m, in, d->nspatial, d->spatial);
        if (d->op == NET_NORM) norm_model(t, d, in, v);
        return v;
    }
    m->value[v].nspatial = d->nspatial;
    memcpy(m->value[v].spatial, d->spatial, sizeof d->spatial);
    return v;
}

void net_describe(const net *n, mskp_graph *graph, model *m, size_t *value)
{
    arena mem = {0};
    describer t = {.net = n, .graph = graph, .model = m};
    char name[32];
    t.value = value ? value : arena_get(&mem, n->nodes + 1, sizeof *t.value);
    for (size_t p = 1; p <= n->params; p++) {
        (void)snprintf(name, sizeof name, "p%zu", p);
        if (graph) (void)mskp_parameter(graph, name, n->param[p].ndim, n->param[p].shape);
        if (m) (void)model_parameter(m, n->param[p].ndim, n->param[p].shape);
    }
    for (size_t k = 1; k <= n->nodes; k++) {
        const net_node *d = &n->node[k];
        (void)snprintf(name, sizeof name, "node%zu", k);
        if (m) m->row = (int)d->op;
        if (d->op >= NET_GROUPED) {
            describe_own(&t, d, d->named ? name : NULL);
        } else {
            const mskp_value v =
                graph ? describe_graph(&t, d, d->named ? name : NULL) : (mskp_value){0};
            t.value[k] = agreed(&t, v, m ? describe_model(&t, d) : 0);
        }
        if (m) model_rotate(m, t.value[k]);
        if (m) m->row = NET_HOST;
        if (d->tie) describe_tie(&t, t.value[k], t.value[d->tie]);
        if (d->pin && graph) (void)mskp_pin(graph, value_of(&t, k));
        if (d->pin && m) model_pin(m, t.value[k], t.value[k]);
    }
    if (m) m->row = NET_OUTPUT;
    for (size_t k = 0; k < n->outputs; k++) {
        if (graph) (void)mskp_output(graph, value_of(&t, n->output[k]));
        if (m) model_pin(m, t.value[n->output[k]], t.value[n->output[k]]);
    }
    if (m) model_finish(m);
    arena_free(&mem);
}

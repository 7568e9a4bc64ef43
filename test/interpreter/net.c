/* Recipes: shapes, description, cutting. */
#include "net.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

net *net_make(arena *mem)
{
    net *n = arena_get(mem, 1, sizeof *n);
    n->mem = mem;
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
    t->channels = in->channels;
    t->nspatial = in->nspatial;
    memcpy(t->spatial, in->spatial, sizeof t->spatial);
    switch (t->op) {
    case NET_CONV:
    case NET_GROUPED:
    case NET_DEPTHWISE: {
        size_t groups = t->op == NET_CONV ? 1 : t->op == NET_GROUPED ? t->groups : in->channels;
        if (in->nspatial == 0 || w->ndim != in->nspatial + 2) return false;
        if (w->shape[1] * groups != in->channels || w->shape[0] % groups) return false;
        for (uint32_t d = 0; d < in->nspatial; d++)
            if (!slide(in->spatial[d], w->shape[2 + d], t, d, false, &t->spatial[d])) return false;
        t->channels = w->shape[0];
        return true;
    }
    case NET_LINEAR:
        t->channels = w->shape[0];
        return w->shape[1] == in->channels;
    case NET_NORM:
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
    if (n->nodes == NET_MAX_NODES || !shape_of(n, &t)) return 0;
    n->node[++n->nodes] = t;
    return n->nodes;
}

/* ---- Describe ---- */

typedef struct teller {
    const net *net;
    mskp_graph *graph; /* or NULL */
    model *model;      /* or NULL */
    size_t *value;     /* by node */
    size_t made;       /* values so far */
} teller;

static mskp_value value_of(const teller *t, size_t node)
{
    return (mskp_value){(uint32_t)t->value[node]};
}

static mskp_param param_of(size_t param)
{
    return (mskp_param){(uint32_t)param};
}

/* The same primitive, said to both. */
static size_t tell_fresh(teller *t, const char *name, size_t channels, uint32_t nspatial,
                         const size_t *spatial)
{
    if (t->graph) (void)mskp_fresh(t->graph, name, channels, nspatial, spatial);
    if (t->model) (void)model_fresh(t->model, channels, nspatial, spatial);
    return ++t->made;
}

static size_t tell_slice(teller *t, size_t from, size_t first, size_t count)
{
    arena mem = {0};
    size_t *positions = arena_get(&mem, count, sizeof *positions);
    for (size_t i = 0; i < count; i++) positions[i] = first + i;
    if (t->graph) (void)mskp_slice(t->graph, NULL, (mskp_value){(uint32_t)from}, first, count);
    if (t->model) (void)model_pick(t->model, from, count, positions);
    arena_free(&mem);
    return ++t->made;
}

static size_t tell_pick(teller *t, const char *name, size_t from, size_t n, const size_t *positions)
{
    if (t->graph) (void)mskp_pick(t->graph, name, (mskp_value){(uint32_t)from}, n, positions);
    if (t->model) (void)model_pick(t->model, from, n, positions);
    return ++t->made;
}

static void tell_tie(teller *t, size_t a, size_t b)
{
    if (t->graph) (void)mskp_tie(t->graph, (mskp_value){(uint32_t)a}, (mskp_value){(uint32_t)b});
    if (t->model) model_tie(t->model, a, b, 0);
}

static void tell_bind(teller *t, size_t param, uint32_t axis, uint32_t roles, size_t value)
{
    if (!param) return;
    if (t->graph)
        (void)mskp_bind(t->graph, param_of(param), axis, roles, (mskp_value){(uint32_t)value});
    if (t->model) model_bind(t->model, param, axis, roles, value, 0);
}

static void tell_macs(teller *t, size_t value, size_t param, uint64_t per_element)
{
    if (t->graph)
        (void)mskp_macs(t->graph, (mskp_value){(uint32_t)value}, param_of(param), per_element);
    if (t->model) model_macs(t->model, value, param, per_element);
}

/* What a host would write for operators that the library does not have. */
static void tell_own(teller *t, const net_node *d, const char *name)
{
    size_t in = t->value[d->in[0]], ci = t->net->node[d->in[0]].channels, co = d->channels, out;
    arena mem = {0};
    size_t *positions = arena_get(&mem, ci + co, sizeof *positions);
    if (d->op == NET_SCALE) {
        tell_bind(t, d->weight, 0, MSKP_ROLE_SCALE, in);
        out = in;
    } else {
        out = tell_fresh(t, name, co, d->nspatial, d->spatial);
    }
    if (d->op == NET_GROUPED) {
        size_t i0 = 0, o0 = 0;
        for (size_t g = 0; g < d->groups; g++) {
            size_t ig = tell_slice(t, in, g * (ci / d->groups), ci / d->groups);
            size_t og = tell_slice(t, out, g * (co / d->groups), co / d->groups);
            if (g == 0)
                i0 = ig, o0 = og;
            else
                tell_tie(t, i0, ig), tell_tie(t, o0, og);
        }
        tell_bind(t, d->weight, 0, MSKP_ROLE_FILTER, out);
        tell_bind(t, d->weight, 1, MSKP_ROLE_CONSUMER, i0);
    } else if (d->op == NET_DEPTHWISE) {
        for (size_t j = 0; j < co; j++) positions[j] = j / (co / ci);
        tell_tie(t, out, tell_pick(t, NULL, in, co, positions));
        tell_bind(t, d->weight, 0, MSKP_ROLE_FILTER, out);
    } else if (d->op == NET_SHUFFLE) {
        for (size_t j = 0; j < ci; j++) positions[j] = j / 4;
        tell_tie(t, in, tell_pick(t, NULL, out, ci, positions));
    }
    if (d->op == NET_GROUPED || d->op == NET_DEPTHWISE) {
        tell_bind(t, d->bias, 0, MSKP_ROLE_SHIFT, out);
        tell_macs(t, out, d->weight, net_positions(d));
    }
    t->value[d - t->net->node] = out;
    arena_free(&mem);
}

/* The library's operators, by their own calls. */
static mskp_value tell_graph(const teller *t, const net_node *d, const char *name)
{
    mskp_graph *g = t->graph;
    mskp_value in = d->inputs ? value_of(t, d->in[0]) : (mskp_value){0}, list[NET_MAX_IN];
    for (size_t k = 0; k < d->inputs; k++) list[k] = value_of(t, d->in[k]);
    switch (d->op) {
    case NET_INPUT:
        return mskp_input(g, name, d->channels, d->nspatial, d->nspatial ? d->spatial : NULL);
    case NET_CONV: {
        mskp_conv_desc c = {.weight = param_of(d->weight), .bias = param_of(d->bias)};
        memcpy(c.stride, d->stride, sizeof c.stride);
        memcpy(c.pad_before, d->before, sizeof c.pad_before);
        memcpy(c.pad_after, d->after, sizeof c.pad_after);
        memcpy(c.dilation, d->dilation, sizeof c.dilation);
        c.groups = d->groups;
        return mskp_conv(g, name, in, &c);
    }
    case NET_LINEAR:
        return mskp_linear(g, name, in, param_of(d->weight), param_of(d->bias));
    case NET_NORM:
        return mskp_norm(g, name, in,
                         &(mskp_norm_desc){.scale = param_of(d->norm[0]),
                                           .shift = param_of(d->norm[1]),
                                           .mean = param_of(d->norm[2]),
                                           .variance = param_of(d->norm[3])});
    case NET_ACT: {
        mskp_activation_desc a = {.kind = (mskp_activation_kind)d->kind};
        return mskp_activation(g, name, in, d->kind == MSKP_IDENTITY ? NULL : &a);
    }
    case NET_POOL: {
        mskp_pool_desc p = {.kind = (mskp_pool_kind)d->kind, .ceil_mode = d->ceil_mode};
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
        return mskp_opaque(g, name, "blend", d->inputs, list, d->channels, d->nspatial,
                           d->nspatial ? d->spatial : NULL);
    default:
        return mskp_concat(g, name, d->inputs, list);
    }
}

/* The same operators in primitives, from the header's words. */
static size_t tell_model(const teller *t, const net_node *d)
{
    static const uint32_t norm_roles[4] = {MSKP_ROLE_SCALE, MSKP_ROLE_SHIFT, MSKP_ROLE_MEAN,
                                           MSKP_ROLE_VARIANCE};
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
        for (int k = 0; k < 4; k++)
            if (d->op == NET_NORM && d->norm[k]) model_bind(m, d->norm[k], 0, norm_roles[k], v, v);
        return v;
    }
}

void net_describe(const net *n, mskp_graph *graph, model *m, size_t *value)
{
    arena mem = {0};
    teller t = {.net = n, .graph = graph, .model = m};
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
        if (d->op >= NET_GROUPED) {
            tell_own(&t, d, d->named ? name : NULL);
        } else {
            if (graph) (void)tell_graph(&t, d, d->named ? name : NULL);
            if (m) (void)tell_model(&t, d);
            t.value[k] = ++t.made;
        }
        if (d->tie) tell_tie(&t, t.value[k], t.value[d->tie]);
        if (d->pin && graph) (void)mskp_pin(graph, value_of(&t, k));
        if (d->pin && m) model_pin(m, t.value[k], t.value[k]);
    }
    for (size_t k = 0; k < n->outputs; k++) {
        if (graph) (void)mskp_output(graph, value_of(&t, n->output[k]));
        if (m) model_pin(m, t.value[n->output[k]], t.value[n->output[k]]);
    }
    if (m) model_finish(m);
    arena_free(&mem);
}

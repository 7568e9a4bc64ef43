/* Random recipes. Each step adds one operator or one block to what is there; one that does not fit
 * is dropped. What nobody reads stays: dead ends are part of the trial. */
#include "net.h"

#include "by_id/by_id.h"
#include <math.h>
#include <string.h>

#define MAX_FLAT 40

/* One step adds at most so many nodes; the first layers and the heads add at most so many. */
enum { STEP_NODES = 8, SPARE_NODES = 24 };

typedef struct maker {
    net *n;
    rng r;
    net_options o;
    size_t pool[NET_MAX_NODES]; /* values that later steps may use */
    size_t count;
} maker;

static const net_node *node(const maker *m, size_t k)
{
    return &m->n->node[k];
}

static size_t some_channels(maker *m)
{
    return rng_from(&m->r, rng_chance(&m->r, 0.15) ? 1 : 2, m->o.max_channels);
}

/* A value, rather a late one. */
static size_t some_value(maker *m)
{
    size_t back = rng_below(&m->r, m->count);
    if (rng_chance(&m->r, 0.6) && back > 2) back = rng_below(&m->r, 3);
    return m->pool[m->count - 1 - back];
}

/* What nothing but constants depends on. */
static void vary(maker *m, net_node *t)
{
    if (t->op == NET_CONV && rng_chance(&m->r, 0.3))
        t->padding = (net_padding)rng_from(&m->r, NET_REPLICATED, NET_CIRCULAR);
    if (t->op == NET_NORM && rng_chance(&m->r, 0.5)) t->epsilon = rng_real(&m->r, 1e-4, 1);
    if (t->op == NET_NORM) t->outside_root = rng_chance(&m->r, 0.2);
    if (t->op == NET_POOL) {
        t->said = rng_chance(&m->r, 0.5);
        t->count_padding = t->kind == MSKP_POOL_AVERAGE && rng_chance(&m->r, 0.4) &&
                           !(t->resize[0] | t->resize[1] | t->resize[2]);
    }
    if (t->op == NET_COMBINE && rng_chance(&m->r, 0.1))
        t->kind = (int)rng_from(&m->r, MSKP_COMBINE_MINIMUM, MSKP_COMBINE_AVERAGE);
    if (t->op != NET_ACT) return;
    t->said = rng_chance(&m->r, 0.7);
    if (rng_chance(&m->r, 0.1))
        t->kind = (int)rng_from(&m->r, MSKP_ACTIVATION_GELU_TANH, MSKP_ACTIVATION_MULTIPLY);
    if (rng_chance(&m->r, 0.5) || t->kind == MSKP_ACTIVATION_MULTIPLY)
        t->parameter = rng_real(&m->r, 0.05, 1.5);
}

static size_t add(maker *m, net_node t)
{
    if (m->o.constants) vary(m, &t);
    t.named = rng_chance(&m->r, 0.7);
    return net_add(m->n, &t);
}

static size_t vector(maker *m, size_t length)
{
    return net_param_add(m->n, &m->r, 1, &length);
}

static size_t mix(maker *m, size_t in, size_t out);

/* ---- Single operators; all return 0 where they do not fit ---- */

/* An earlier node of this kind with the same shape, to share its parameters. */
static size_t twin(maker *m, net_op op, size_t in, size_t out)
{
    size_t found = 0;
    for (size_t k = 1; k <= m->n->nodes; k++) {
        const net_node *t = node(m, k);
        if (t->op == op && t->groups < 2 && node(m, t->in[0])->channels == node(m, in)->channels &&
            node(m, t->in[0])->nspatial == node(m, in)->nspatial && (!out || t->channels == out) &&
            rng_chance(&m->r, 0.5))
            found = k;
    }
    return found;
}

static size_t add_conv(maker *m, size_t in, size_t out, bool same)
{
    const net_node *x = node(m, in);
    net_node t = {.op = NET_CONV, .inputs = 1, .in = {in}};
    size_t shape[MSKP_MAX_DIMS] = {out, x->channels}, shared;
    if (x->nspatial == 0) return 0;
    for (uint32_t d = 0; d < x->nspatial; d++) {
        shape[2 + d] = rng_from(&m->r, 1, 3);
        t.dilation[d] = rng_below(&m->r, 3);
        t.stride[d] = same ? rng_below(&m->r, 2) : rng_below(&m->r, 3);
        size_t reach = (t.dilation[d] ? t.dilation[d] : 1) * (shape[2 + d] - 1);
        t.before[d] = same ? reach / 2 : rng_below(&m->r, 3);
        t.after[d] = same ? reach - reach / 2 : rng_below(&m->r, 3);
    }
    t.groups = rng_below(&m->r, 2);
    if (rng_chance(&m->r, 0.15) && (shared = twin(m, NET_CONV, in, out))) {
        const net_node *s = node(m, shared);
        t.weight = s->weight;
        if (rng_chance(&m->r, 0.5)) t.bias = s->bias;
        for (uint32_t d = 0; d < x->nspatial && same; d++) {
            size_t reach =
                (t.dilation[d] ? t.dilation[d] : 1) * (m->n->param[t.weight].shape[2 + d] - 1);
            t.before[d] = reach / 2;
            t.after[d] = reach - reach / 2;
        }
        return add(m, t);
    }
    /* See whether it fits before the parameter is made: unbound parameters are refused. */
    for (uint32_t d = 0; d < x->nspatial; d++) {
        size_t reach = (t.dilation[d] ? t.dilation[d] : 1) * (shape[2 + d] - 1) + 1;
        if (x->spatial[d] + t.before[d] + t.after[d] < reach) return 0;
    }
    t.weight = net_param_add(m->n, &m->r, x->nspatial + 2, shape);
    if (rng_chance(&m->r, 0.6)) t.bias = vector(m, out);
    return add(m, t);
}

static size_t add_linear(maker *m, size_t in, size_t out)
{
    net_node t = {.op = NET_LINEAR, .inputs = 1, .in = {in}};
    size_t shape[2] = {out, node(m, in)->channels}, shared;
    if (rng_chance(&m->r, 0.15) && (shared = twin(m, NET_LINEAR, in, out))) {
        t.weight = node(m, shared)->weight;
    } else {
        t.weight = net_param_add(m->n, &m->r, 2, shape);
        if (rng_chance(&m->r, 0.6)) t.bias = vector(m, out);
    }
    return add(m, t);
}

static size_t add_norm(maker *m, size_t in, bool all)
{
    net_node t = {.op = NET_NORM, .inputs = 1, .in = {in}};
    size_t shared = rng_chance(&m->r, 0.15) ? twin(m, NET_NORM, in, 0) : 0;
    for (int k = 0; k < 4; k++) {
        if (shared)
            t.norm[k] = node(m, shared)->norm[k];
        else if (all || rng_chance(&m->r, 0.8))
            t.norm[k] = vector(m, node(m, in)->channels);
    }
    return add(m, t);
}

static size_t add_act(maker *m, size_t in, int kind)
{
    if (kind < 0) kind = (int)rng_below(&m->r, MSKP_ACTIVATION_CUSTOM + 1);
    return add(m, (net_node){.op = NET_ACT, .inputs = 1, .in = {in}, .kind = kind});
}

static size_t add_pool(maker *m, size_t in)
{
    const net_node *x = node(m, in);
    net_node t = {.op = NET_POOL, .inputs = 1, .in = {in}, .kind = (int)rng_below(&m->r, 4)};
    if (x->nspatial == 0) return 0;
    if (t.kind >= MSKP_POOL_GLOBAL_MAX) return add(m, t);
    t.ceil_mode = rng_chance(&m->r, 0.5);
    bool resize = rng_chance(&m->r, 0.15);
    for (uint32_t d = 0; d < x->nspatial; d++) {
        t.window[d] = rng_below(&m->r, 4);
        t.stride[d] = rng_below(&m->r, 4);
        t.before[d] = t.window[d] > 1 ? rng_below(&m->r, 2) : 0;
        t.after[d] = t.window[d] > 1 ? rng_below(&m->r, 2) : 0;
        if (resize) t.resize[d] = rng_from(&m->r, 1, 4);
    }
    return add(m, t);
}

static size_t add_combine(maker *m, size_t inputs, const size_t *in)
{
    net_node t = {.op = NET_COMBINE, .inputs = inputs, .kind = (int)rng_below(&m->r, 4)};
    memcpy(t.in, in, inputs * sizeof *in);
    return add(m, t);
}

/* Two or three that fit together, one of them perhaps with one channel. */
static size_t add_any_combine(maker *m)
{
    size_t in[3] = {some_value(m)}, count = 1, want = rng_from(&m->r, 1, 3);
    for (int tries = 0; tries < 12 && count < want; tries++) {
        size_t v = some_value(m);
        if (node(m, v)->channels == node(m, in[0])->channels || node(m, v)->channels == 1)
            in[count++] = v;
    }
    return add_combine(m, count, in);
}

static size_t add_slice(maker *m, size_t in)
{
    size_t c = node(m, in)->channels, first = rng_below(&m->r, c);
    return add(m, (net_node){.op = NET_SLICE,
                             .inputs = 1,
                             .in = {in},
                             .first = first,
                             .count = rng_from(&m->r, 1, c - first)});
}

static size_t add_pick(maker *m, size_t in)
{
    size_t c = node(m, in)->channels, n = rng_from(&m->r, 1, c + 2);
    net_node t = {.op = NET_PICK, .inputs = 1, .in = {in}};
    t.positions = arena_get(m->n->mem, c + 2, sizeof *t.positions);
    for (size_t i = 0; i < c; i++) t.positions[i] = i;
    t.count = c;
    if (rng_chance(&m->r, 0.5)) {
        rng_shuffle(&m->r, c, t.positions);
    } else {
        t.count = n;
        for (size_t i = 0; i < n; i++) t.positions[i] = rng_below(&m->r, c);
    }
    return add(m, t);
}

static size_t add_concat(maker *m, size_t in)
{
    net_node t = {.op = NET_CONCAT, .inputs = rng_from(&m->r, 1, 3), .in = {in}};
    size_t total = node(m, in)->channels;
    for (size_t k = 1; k < t.inputs; k++) {
        t.in[k] = rng_chance(&m->r, 0.25) ? in : some_value(m);
        total += node(m, t.in[k])->channels;
    }
    return total > 2 * m->o.max_channels ? 0 : add(m, t);
}

static size_t add_flatten(maker *m, size_t in)
{
    if (node(m, in)->channels * net_positions(node(m, in)) > MAX_FLAT) return 0;
    size_t f = add(m, (net_node){.op = NET_FLATTEN,
                                 .inputs = 1,
                                 .in = {in},
                                 .channels_last = rng_chance(&m->r, 0.5)});
    return rng_chance(&m->r, 0.8) ? add_linear(m, f, some_channels(m)) : f;
}

static size_t add_grouped(maker *m, size_t in, bool depthwise)
{
    const net_node *x = node(m, in);
    size_t groups = depthwise ? x->channels : rng_from(&m->r, 2, 3);
    size_t out = groups * rng_from(&m->r, 1, depthwise ? 2 : 3);
    size_t shape[MSKP_MAX_DIMS] = {out, x->channels / groups};
    net_node t = {
        .op = depthwise ? NET_DEPTHWISE : NET_GROUPED, .inputs = 1, .in = {in}, .groups = groups};
    if (x->nspatial == 0 || x->channels % groups || out > 2 * m->o.max_channels) return 0;
    for (uint32_t d = 0; d < x->nspatial; d++) {
        shape[2 + d] = rng_from(&m->r, 1, 2);
        t.after[d] = 1;
    }
    t.weight = net_param_add(m->n, &m->r, x->nspatial + 2, shape);
    if (rng_chance(&m->r, 0.5)) t.bias = vector(m, out);
    return add(m, t);
}

static size_t add_shuffle(maker *m, size_t in)
{
    if (net_positions(node(m, in)) > 16) return 0;
    if (node(m, in)->nspatial == 2 && node(m, in)->channels % 4)
        in = add_conv(m, in, 4 * rng_from(&m->r, 1, 2), true);
    return in ? add(m, (net_node){.op = NET_SHUFFLE, .inputs = 1, .in = {in}}) : 0;
}

static size_t add_scale(maker *m, size_t in)
{
    return add(m, (net_node){.op = NET_SCALE,
                             .inputs = 1,
                             .in = {in},
                             .weight = vector(m, node(m, in)->channels)});
}

static size_t add_opaque(maker *m, size_t in)
{
    net_node t = {.op = NET_OPAQUE,
                  .inputs = rng_from(&m->r, 1, 2),
                  .in = {in, some_value(m)},
                  .channels = some_channels(m),
                  .nspatial = (uint32_t)rng_below(&m->r, 3)};
    for (uint32_t d = 0; d < t.nspatial; d++) t.spatial[d] = rng_from(&m->r, 1, 4);
    return add(m, t);
}

static size_t divisor(maker *m, size_t channels)
{
    size_t g = rng_from(&m->r, 2, 4);
    return channels % g ? 0 : g;
}

/* The library's own grouped convolutions, plain and transposed, depthwise among them. */
static size_t add_groups(maker *m, size_t in, bool transposed)
{
    const net_node *x = node(m, in);
    net_node t = {.op = transposed ? NET_TCONV : NET_CONV, .inputs = 1, .in = {in}};
    size_t g = rng_chance(&m->r, 0.4) ? x->channels : divisor(m, x->channels);
    if (transposed && rng_chance(&m->r, 0.5)) g = 1;
    if (x->nspatial == 0 || !g || x->channels % g) return 0;
    const size_t out = g * rng_from(&m->r, 1, 3);
    size_t shape[MSKP_MAX_DIMS] = {out, x->channels / g};
    if (transposed) {
        shape[0] = x->channels;
        shape[1] = out / g;
    }
    if (out > 2 * m->o.max_channels) return 0;
    for (uint32_t d = 0; d < x->nspatial; d++) {
        shape[2 + d] = rng_from(&m->r, 1, 3);
        t.stride[d] = rng_below(&m->r, 3);
        t.dilation[d] = rng_below(&m->r, 3);
        t.before[d] = transposed ? 0 : 1;
        t.after[d] = rng_below(&m->r, 2);
        const size_t reach = (t.dilation[d] ? t.dilation[d] : 1) * (shape[2 + d] - 1) + 1;
        if (transposed && t.stride[d] > 1) t.resize[d] = rng_below(&m->r, 2);
        if (transposed ? x->spatial[d] + reach <= 1 + t.after[d]
                       : x->spatial[d] + t.before[d] + t.after[d] < reach)
            return 0;
        if (transposed && x->spatial[d] > 4) t.stride[d] = 1, t.resize[d] = 0;
    }
    t.groups = g;
    t.grouping = (int)rng_below(&m->r, 3);
    t.weight = net_param_add(m->n, &m->r, x->nspatial + 2, shape);
    if (rng_chance(&m->r, 0.5)) t.bias = vector(m, out);
    return add(m, t);
}

static size_t add_other_norm(maker *m, size_t in)
{
    net_node t = {.op = NET_NORM, .inputs = 1, .in = {in}};
    const size_t channels = node(m, in)->channels;
    t.norm_kind = (int)rng_from(&m->r, MSKP_NORM_INSTANCE, MSKP_NORM_RMS);
    t.inexact = m->o.inexact && rng_chance(&m->r, 0.7);
    if (t.norm_kind == MSKP_NORM_GROUP && rng_chance(&m->r, 0.9)) {
        t.groups = divisor(m, channels);
        if (!t.groups) return 0;
        t.grouping = rng_chance(&m->r, 0.6) ? MSKP_GROUPING_WHOLE : (int)rng_below(&m->r, 2);
    } else if (t.norm_kind > MSKP_NORM_AFFINE && !t.inexact && rng_chance(&m->r, 0.7)) {
        t.norm_kind = MSKP_NORM_INSTANCE; /* a pinned list is no trial */
    }
    if (rng_chance(&m->r, 0.7)) t.norm[0] = vector(m, channels);
    if (rng_chance(&m->r, 0.7)) t.norm[1] = vector(m, channels);
    for (int k = 2; t.norm_kind == MSKP_NORM_INSTANCE && k < 4; k++)
        if (rng_chance(&m->r, 0.3)) t.norm[k] = vector(m, channels);
    return add(m, t);
}

static size_t add_prelu(maker *m, size_t in)
{
    const size_t one = rng_chance(&m->r, 0.7) ? node(m, in)->channels : 1;
    return add(m, (net_node){.op = NET_PRELU, .inputs = 1, .in = {in}, .weight = vector(m, one)});
}

/* A learned value, added to or multiplied with one that is there. */
static size_t add_learned(maker *m, size_t in)
{
    const net_node *x = node(m, in);
    const size_t shape[2] = {rng_from(&m->r, 1, 3), x->channels}, back[2] = {shape[1], shape[0]};
    net_node t = {.op = rng_chance(&m->r, 0.5) ? NET_TABLE : NET_PARAM, .nspatial = x->nspatial};
    memcpy(t.spatial, x->spatial, sizeof t.spatial);
    t.axis = t.op == NET_PARAM ? rng_below(&m->r, 2) : 0;
    if (t.op == NET_PARAM && rng_chance(&m->r, 0.4)) {
        t.axis = 0;
        t.weight = vector(m, x->channels);
    } else {
        t.weight = net_param_add(m->n, &m->r, 2, t.op == NET_PARAM && !t.axis ? back : shape);
    }
    const size_t learned = add(m, t);
    return learned ? add_combine(m, 2, (size_t[]){in, learned}) : 0;
}

static size_t add_chunk(maker *m, size_t in)
{
    const size_t n = divisor(m, node(m, in)->channels);
    if (!n) return 0;
    return add(m, (net_node){.op = NET_CHUNK,
                             .inputs = 1,
                             .in = {in},
                             .count = n,
                             .first = rng_below(&m->r, n),
                             .rewritable = rng_chance(&m->r, 0.5)});
}

static size_t add_channel_shuffle(maker *m, size_t in)
{
    const size_t n = divisor(m, node(m, in)->channels);
    if (!n) return 0;
    return add(m, (net_node){.op = NET_CHANNEL_SHUFFLE,
                             .inputs = 1,
                             .in = {in},
                             .groups = n,
                             .rewritable = rng_chance(&m->r, 0.5)});
}

static size_t add_pixels(maker *m, size_t in, bool up)
{
    net_node t = {.op = up ? NET_PIXEL_SHUFFLE : NET_PIXEL_UNSHUFFLE,
                  .inputs = 1,
                  .in = {in},
                  .factor = rng_from(&m->r, 1, 2),
                  .kind = (int)rng_below(&m->r, 2)};
    size_t block = 1;
    for (uint32_t d = 0; d < node(m, in)->nspatial; d++) {
        block *= t.factor;
        if (!up && node(m, in)->spatial[d] % t.factor) return 0;
    }
    if (node(m, in)->nspatial == 0) return 0;
    if (up ? net_positions(node(m, in)) > 16 : node(m, in)->channels * block > 24) return 0;
    if (up && node(m, in)->channels % block) in = add_conv(m, in, 2 * block, true);
    t.in[0] = in;
    return in ? add(m, t) : 0;
}

static size_t add_unflatten(maker *m, size_t in)
{
    net_node t = {.op = NET_UNFLATTEN, .factor = rng_from(&m->r, 1, 2)};
    size_t positions = 1;
    for (size_t d = 0; d < t.factor; d++) positions *= t.window[d] = rng_from(&m->r, 1, 3);
    size_t flat = in;
    if (node(m, in)->nspatial)
        flat = add(
            m,
            (net_node){.op = NET_POOL, .inputs = 1, .in = {in}, .kind = MSKP_POOL_GLOBAL_AVERAGE});
    if (flat && node(m, flat)->nspatial)
        flat = add(m, (net_node){.op = NET_FLATTEN, .inputs = 1, .in = {flat}});
    t.inputs = 1;
    if (!flat || !(t.in[0] = add_linear(m, flat, positions * rng_from(&m->r, 2, 4)))) return 0;
    t.channels_last = rng_chance(&m->r, 0.5);
    return add(m, t);
}

/* All positions on one axis, or the first two axes on one, or one more of length 1. */
static size_t add_reshape(maker *m, size_t in)
{
    const net_node *x = node(m, in);
    net_node t = {.op = NET_RESHAPE, .inputs = 1, .in = {in}};
    switch (rng_below(&m->r, 3)) {
    case 0:
        t.factor = 1;
        t.window[0] = net_positions(x);
        break;
    case 1:
        if (x->nspatial < 2) return 0;
        t.factor = x->nspatial - 1;
        t.window[0] = x->spatial[0] * x->spatial[1];
        t.window[1] = x->spatial[2];
        break;
    default:
        if (x->nspatial == 3) return 0;
        t.factor = x->nspatial + 1;
        memcpy(t.window, x->spatial, sizeof t.window);
        t.window[x->nspatial] = 1;
    }
    return add(m, t);
}

static size_t add_stack(maker *m, size_t in)
{
    net_node t = {.op = NET_STACK, .inputs = 1, .in = {in}};
    const size_t n = node(m, in)->nspatial, other = some_value(m);
    if (!n || net_positions(node(m, in)) > 30) return 0;
    t.axis = rng_below(&m->r, n);
    t.in[t.inputs++] =
        node(m, other)->channels == node(m, in)->channels && net_positions(node(m, other)) <= 30
            ? other
            : mix(m, in, node(m, in)->channels);
    return t.in[1] ? add(m, t) : 0;
}

static size_t weights(maker *m, size_t rows, size_t columns)
{
    return net_param_add(m->n, &m->r, 2, (const size_t[]){rows, columns});
}

static size_t add_attention(maker *m, size_t in)
{
    net_node t = {.op = NET_ATTENTION, .inputs = 1, .in = {in}};
    const size_t c = node(m, in)->channels;
    size_t from = in;
    if (net_positions(node(m, in)) > 20) return 0;
    t.kv_heads = rng_from(&m->r, 1, 3);
    t.heads = t.kv_heads * rng_from(&m->r, 1, 2);
    t.dim = rng_from(&m->r, 1, 3);
    t.value_dim = rng_from(&m->r, 1, 3);
    t.scale = 1 / sqrt((double)t.dim);
    t.by_position = rng_chance(&m->r, 0.5);
    t.packed = rng_chance(&m->r, 0.4);
    if (!t.packed && rng_chance(&m->r, 0.4)) {
        from = some_value(m);
        if (net_positions(node(m, from)) > 20) return 0;
        t.inputs = 2;
        t.in[1] = from;
    }
    const size_t rows[3] = {t.heads * t.dim, t.kv_heads * t.dim, t.kv_heads * t.value_dim};
    const size_t out = rng_chance(&m->r, 0.5) ? c : some_channels(m);
    const bool bias = rng_chance(&m->r, 0.6);
    for (size_t i = 0; i < (t.packed ? 1u : 3u); i++) {
        const size_t n = t.packed ? rows[0] + rows[1] + rows[2] : rows[i];
        t.more[i] = weights(m, n, node(m, i ? from : in)->channels);
        if (bias) t.more[4 + i] = vector(m, n);
    }
    t.more[3] = weights(m, out, t.heads * t.value_dim);
    if (bias) t.more[7] = vector(m, out);
    const size_t y = add(m, t);
    return y && out == c && rng_chance(&m->r, 0.6) ? add_combine(m, 2, (size_t[]){in, y}) : y;
}

static size_t add_recurrent(maker *m, size_t in)
{
    static const size_t gates[] = {4, 3, 1};
    net_node t = {.op = NET_RECURRENT,
                  .inputs = 1,
                  .in = {in},
                  .kind = (int)rng_below(&m->r, 3),
                  .layers = rng_from(&m->r, 1, 2),
                  .bidirectional = rng_chance(&m->r, 0.4),
                  .dim = rng_from(&m->r, 1, 4)};
    const size_t n = gates[t.kind] * t.dim;
    const bool bias = rng_chance(&m->r, 0.6);
    if (net_positions(node(m, in)) > 20) return 0;
    /* Both directions of a layer share their weights here, and so do the layers after the first. */
    for (size_t layer = 0; layer < t.layers; layer++) {
        const size_t reads = layer ? t.dim * (t.bidirectional ? 2 : 1) : node(m, in)->channels;
        t.more[4 * layer] = weights(m, n, reads);
        t.more[4 * layer + 1] = weights(m, n, t.dim);
        for (size_t b = 2; bias && b < 4; b++) t.more[4 * layer + b] = vector(m, n);
    }
    return add(m, t);
}

/* ---- Blocks ---- */

static size_t mix(maker *m, size_t in, size_t out)
{
    return node(m, in)->nspatial && rng_chance(&m->r, 0.9) ? add_conv(m, in, out, true)
                                                           : add_linear(m, in, out);
}

/* conv, norm, function, conv, norm, added to what came in. Without norms, the one layer touches
 * the stream with both axes of its weight. */
static size_t add_residual(maker *m, size_t in, bool norms)
{
    size_t c = node(m, in)->channels, y = in;
    if (norms) {
        y = add_norm(m, mix(m, in, some_channels(m)), rng_chance(&m->r, 0.8));
        y = add_norm(m, mix(m, add_act(m, y, -1), c), rng_chance(&m->r, 0.8));
    } else {
        y = mix(m, in, c);
    }
    y = add_combine(m, 2, rng_chance(&m->r, 0.5) ? (size_t[]){in, y} : (size_t[]){y, in});
    return y && norms ? add_act(m, y, -1) : y;
}

/* Squeeze and excitation; or a gate of a single channel. */
static size_t add_gate(maker *m, size_t in)
{
    size_t c = node(m, in)->channels, z = in;
    if (rng_chance(&m->r, 0.5)) {
        if (node(m, in)->nspatial)
            z = add(m,
                    (net_node){
                        .op = NET_POOL, .inputs = 1, .in = {in}, .kind = MSKP_POOL_GLOBAL_AVERAGE});
        z = add_linear(m, z, rng_from(&m->r, 1, 3));
        z = add_linear(m, add_act(m, z, MSKP_ACTIVATION_RELU), c);
    } else {
        z = mix(m, in, 1);
    }
    z = add_act(m, z, MSKP_ACTIVATION_SIGMOID);
    return add_combine(m, 2, (size_t[]){in, z});
}

/* Option A of He et al.: the stream padded with zeros, and a wider layer on it. */
static size_t add_padding(maker *m, size_t in)
{
    size_t before = rng_below(&m->r, 3), after = rng_below(&m->r, 4);
    size_t wide = node(m, in)->channels + before + after;
    if (wide > 2 * m->o.max_channels) return 0;
    size_t p =
        add(m, (net_node){.op = NET_PAD, .inputs = 1, .in = {in}, .first = before, .count = after});
    if (!p || rng_chance(&m->r, 0.3)) return p;
    return add_combine(m, 2, (size_t[]){p, mix(m, in, wide)});
}

static size_t other_step(maker *m, size_t in)
{
    switch (rng_below(&m->r, 16)) {
    case 0:
    case 1:
        return add_groups(m, in, false);
    case 2:
        return add_groups(m, in, true);
    case 3:
    case 4:
        return add_other_norm(m, in);
    case 5:
        return add_prelu(m, in);
    case 6:
        return add_learned(m, in);
    case 7:
        return add_chunk(m, in);
    case 8:
        return add_channel_shuffle(m, in);
    case 9:
        return add_pixels(m, in, true);
    case 10:
        return add_pixels(m, in, false);
    case 11:
        return add_unflatten(m, in);
    case 12:
        return add_stack(m, in);
    case 13:
        return add_attention(m, in);
    case 14:
        return add_reshape(m, in);
    default:
        return add_recurrent(m, in);
    }
}

static size_t step(maker *m)
{
    size_t in = some_value(m), what = rng_below(&m->r, m->o.no_primitives ? 34 : 40);
    if (!m->o.residual && rng_chance(&m->r, 0.45)) return other_step(m, in);
    if (m->o.residual) return add_residual(m, in, true);
    if (what < 5) return add_conv(m, in, some_channels(m), false);
    if (what < 8) {
        in = add_conv(m, in, some_channels(m), true);
        return in ? add_act(m, add_norm(m, in, rng_chance(&m->r, 0.7)), -1) : 0;
    }
    if (what < 10) return add_linear(m, in, some_channels(m));
    if (what < 12) return add_norm(m, in, false);
    if (what < 13) return add_act(m, in, -1);
    if (what < 15) return add_pool(m, in);
    if (what < 17) return add_any_combine(m);
    if (what < 19) return add_slice(m, in);
    if (what < 21) return add_padding(m, in);
    if (what < 23) return add_flatten(m, in);
    if (what < 25) return add_pick(m, in);
    if (what < 27) return add_concat(m, in);
    if (what < 30) return add_residual(m, in, true);
    if (what < 32) return add_residual(m, in, false);
    if (what < 34) return rng_chance(&m->r, 0.9) ? add_gate(m, in) : add_opaque(m, in);
    if (what < 36) return add_grouped(m, in, false);
    if (what < 37) return add_grouped(m, in, true);
    if (what < 38) return add_shuffle(m, in);
    return add_scale(m, in);
}

static void add_input(maker *m)
{
    net_node t = {.op = NET_INPUT, .channels = rng_from(&m->r, 1, 3)};
    t.nspatial = m->o.residual ? 1 : (uint32_t)rng_below(&m->r, 4);
    if (!m->o.residual && rng_chance(&m->r, 0.3)) t.nspatial = 2;
    static const size_t most[4] = {0, 7, 5, 3};
    for (uint32_t d = 0; d < t.nspatial; d++) t.spatial[d] = rng_from(&m->r, 1, most[t.nspatial]);
    m->pool[m->count++] = add(m, t);
}

net *net_random(arena *mem, uint64_t seed, const net_options *options)
{
    rng r = rng_make(seed);
    return net_drawn(mem, &r, options);
}

net *net_drawn(arena *mem, rng *r, const net_options *options)
{
    maker *m = arena_get(mem, 1, sizeof *m);
    m->r = *r;
    if (options) m->o = *options;
    if (!m->o.max_channels) m->o.max_channels = 8;
    size_t steps = m->o.steps ? m->o.steps : rng_from(&m->r, 4, 12);
    m->n = net_make(mem, SPARE_NODES + steps * STEP_NODES);

    add_input(m);
    if (!m->o.residual && rng_chance(&m->r, 0.25)) add_input(m);
    if (m->o.residual || rng_chance(&m->r, 0.8))
        m->pool[m->count++] = mix(m, m->pool[0], some_channels(m));
    for (size_t s = 0;
         s < steps && m->n->nodes < m->n->room - 16 && m->n->params < NET_MAX_PARAMS - 24; s++) {
        size_t v = step(m);
        if (!v) continue;
        net_node *t = &m->n->node[v];
        if (t->channels > 3 * m->o.max_channels || net_positions(t) > 80) continue;
        m->pool[m->count++] = v;
        if (m->o.residual || m->o.no_primitives) continue;
        if (rng_chance(&m->r, 0.02)) t->pin = true;
        size_t other = some_value(m);
        if (rng_chance(&m->r, 0.03) && other < v && node(m, other)->channels == t->channels)
            t->tie = other;
    }
    /* Heads: mostly a last layer, so that what is before it may leave. */
    size_t heads = rng_from(&m->r, 1, 3), last = m->pool[m->count - 1];
    for (size_t h = 0; h < heads; h++) {
        size_t v = h == 0 ? last : some_value(m);
        if (rng_chance(&m->r, 0.85)) v = mix(m, v, rng_from(&m->r, 1, 3));
        m->n->output[m->n->outputs++] = v;
    }
    *r = m->r;
    return m->n;
}

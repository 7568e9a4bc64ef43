/* The recipe after surgery: parameters gathered, attributes that name channels corrected. */
#include "net.h"

#include "by_id/by_id.h"
#include <string.h>

/* How many of the kept indices lie below `bound`, and the place of one of them. */
static size_t below(net_kept k, size_t bound)
{
    size_t n = 0;
    if (!k.index) return bound < k.n ? bound : k.n;
    for (size_t i = 0; i < k.n; i++) n += k.index[i] < bound;
    return n;
}

static bool contains(net_kept k, size_t index)
{
    return below(k, index + 1) > below(k, index);
}

static void gather(net *small, size_t p, const net_param *from, const net_kept *axes)
{
    net_param *to = &small->param[p];
    to->ndim = from->ndim;
    for (uint32_t d = 0; d < from->ndim; d++) to->shape[d] = axes[d].n;
    to->data = arena_get(small->mem, shape_elements(to->ndim, to->shape), sizeof *to->data);
    size_t index[MSKP_MAX_DIMS] = {0}, i = 0;
    if (!shape_elements(to->ndim, to->shape)) return;
    do {
        size_t at = 0;
        for (uint32_t d = 0; d < from->ndim; d++)
            at = at * from->shape[d] + (axes[d].index ? axes[d].index[index[d]] : index[d]);
        to->data[i++] = from->data[at];
    } while (next_index(to->ndim, to->shape, index));
}

/* Groups that still have a channel: as many as before, but where whole groups leave. */
static size_t groups_left(const net_node *t, net_kept in, size_t channels)
{
    const size_t each = channels / t->groups;
    size_t left = 0;
    for (size_t g = 0; g < t->groups; g++) left += below(in, (g + 1) * each) > below(in, g * each);
    return left;
}

/* Heads, or positions within them, from the rows and columns that are left. */
static void attention_left(net_node *t, net_kept (*axes)[MSKP_MAX_DIMS])
{
    const size_t per = t->heads / t->kv_heads;
    const size_t columns = axes[t->more[3]][1].n, rows = axes[t->more[0]][0].n;
    if (t->by_position) {
        t->value_dim = columns / t->heads;
        t->dim = t->packed ? (rows - t->kv_heads * t->value_dim) / (t->heads + t->kv_heads)
                           : rows / t->heads;
    } else {
        t->heads = columns / t->value_dim;
        t->kv_heads = t->heads / per;
    }
}

/* The nodes that vanished keep their places, and additions and concatenations go without them. */
static void add_vanished(net *small, const net_node *t)
{
    net_node *to = &small->node[++small->nodes];
    *to = *t;
    to->vanished = true;
    to->channels = 0;
}

static void drop_vanished(net_node *t, const uint8_t *fate)
{
    size_t n = 0;
    for (size_t i = 0; i < t->inputs; i++)
        if (fate[t->in[i]] != MSKP_FATE_VANISHES) t->in[n++] = t->in[i];
    t->inputs = n;
}

static net_node shift_left(const net_node *t)
{
    const size_t p = t->op == NET_NORM ? t->norm[1] : t->op == NET_ATTENTION ? t->more[7] : t->bias;
    return (net_node){.op = NET_PARAM, .named = t->named, .weight = p, .shift = true};
}

net *net_cut(const net *n, arena *mem, const net_kept *values, net_kept (*axes)[MSKP_MAX_DIMS],
             const uint8_t *fate, const char **why)
{
    net *small = net_make(mem, n->nodes);
    *why = NULL;
    for (size_t p = 1; p <= n->params; p++) gather(small, p, &n->param[p], axes[p]);
    small->params = n->params;
    for (size_t k = 1; k <= n->nodes; k++) {
        net_node t = n->node[k];
        net_kept in = t.inputs ? values[t.in[0]] : (net_kept){0}, out = values[k];
        size_t ci = t.inputs ? n->node[t.in[0]].channels : 0;
        if (fate && fate[k] == MSKP_FATE_VANISHES) {
            add_vanished(small, &t);
            continue;
        }
        if (fate && fate[k] == MSKP_FATE_SHIFT) t = shift_left(&t);
        if (fate) drop_vanished(&t, fate);
        if (t.op == NET_CONV || t.op == NET_TCONV || t.op == NET_NORM) {
            if (t.groups > 1 &&
                t.grouping == MSKP_GROUPING_AUTO) /* as it was, not as it looks now */
                t.grouping =
                    t.op != NET_NORM && t.groups == ci ? MSKP_GROUPING_WHOLE : MSKP_GROUPING_TIED;
            if (t.groups > 1) t.groups = groups_left(&n->node[k], in, ci);
        } else if (t.op == NET_CHUNK && t.rewritable) {
            t.op = NET_SLICE;
            t.first = below(in, n->node[k].first * n->node[k].channels);
            t.count = out.n;
        } else if (t.op == NET_CHANNEL_SHUFFLE && t.rewritable) {
            const size_t each = ci / t.groups;
            t.op = NET_PICK;
            t.positions = arena_get(mem, out.n, sizeof *t.positions);
            t.count = out.n;
            for (size_t i = 0; i < out.n; i++) {
                const size_t c = out.index ? out.index[i] : i;
                t.positions[i] = below(in, c % t.groups * each + c / t.groups);
            }
        } else if (t.op == NET_ATTENTION) {
            attention_left(&t, axes);
        } else if (t.op == NET_SLICE) {
            t.first = below(in, n->node[k].first);
            t.count = out.n;
        } else if (t.op == NET_PAD) {
            t.first = below(out, n->node[k].first);
            t.count = out.n - below(out, n->node[k].first + ci);
        } else if (t.op == NET_PICK) {
            t.positions = arena_get(mem, out.n, sizeof *t.positions);
            t.count = out.n;
            for (size_t i = 0; i < out.n; i++) {
                size_t from = n->node[k].positions[out.index ? out.index[i] : i];
                if (!contains(in, from)) *why = "a picked channel is gone";
                t.positions[i] = below(in, from);
            }
        }
        if (!net_add(small, &t)) {
            static const char *const names[] = {"input",
                                                "conv",
                                                "linear",
                                                "norm",
                                                "act",
                                                "pool",
                                                "combine",
                                                "slice",
                                                "pad",
                                                "flatten",
                                                "pick",
                                                "concat",
                                                "opaque",
                                                "tconv",
                                                "prelu",
                                                "table",
                                                "param",
                                                "chunk",
                                                "channel shuffle",
                                                "pixel shuffle",
                                                "pixel unshuffle",
                                                "unflatten",
                                                "reshape",
                                                "stack",
                                                "attention",
                                                "recurrent",
                                                "grouped",
                                                "depthwise",
                                                "shuffle",
                                                "scale"};
            *why = names[t.op]; /* does not fit */
            return NULL;
        }
        if (small->node[k].channels != out.n) *why = "a value has another number of channels";
    }
    memcpy(small->output, n->output, sizeof small->output);
    small->outputs = n->outputs;
    return *why ? NULL : small;
}

/* Projections at each position; for each pair of positions a product over query's and value's
 * positions of each head. */
static double attention_work(const net *n, const net_node *t)
{
    const net_node *in = &n->node[t->in[0]], *from = &n->node[t->in[t->inputs > 1 ? 1 : 0]];
    const size_t here = net_positions(in), there = net_positions(from);
    const size_t q = t->heads * t->dim, k = t->kv_heads * t->dim, v = t->kv_heads * t->value_dim;
    const size_t r = t->heads * t->value_dim;
    return (double)(here * q * in->channels + there * (k + v) * from->channels +
                    here * r * t->channels + here * there * (q + r));
}

static double recurrent_work(const net *n, const net_node *t)
{
    static const size_t gates[] = {4, 3, 1};
    const size_t directions = t->bidirectional ? 2 : 1;
    size_t macs = 0, reads = n->node[t->in[0]].channels;
    for (size_t layer = 0; layer < t->layers; layer++) {
        const size_t units = net_recurrent_units(n, t, layer);
        macs += directions * gates[t->kind] * units * (reads + units) * net_positions(t);
        reads = units * directions;
    }
    return (double)macs;
}

mskp_cost net_count(const net *n)
{
    mskp_cost c = {0};
    bool statistic[NET_MAX_PARAMS + 1] = {false}, other[NET_MAX_PARAMS + 1] = {false};
    for (size_t k = 1; k <= n->nodes; k++) {
        const net_node *t = &n->node[k];
        size_t taps = 1;
        if (t->vanished) continue;
        if (t->weight) other[t->weight] = true;
        if (t->bias) other[t->bias] = true;
        for (int j = 0; j < 10; j++)
            if (t->more[j]) other[t->more[j]] = true;
        if (t->op == NET_ATTENTION) c.macs += attention_work(n, t);
        if (t->op == NET_RECURRENT) c.macs += recurrent_work(n, t);
        for (int j = 0; t->op == NET_NORM && j < 4; j++)
            (j < 2 ? other : statistic)[t->norm[j]] = true;
        if (t->op != NET_CONV && t->op != NET_GROUPED && t->op != NET_DEPTHWISE &&
            t->op != NET_LINEAR && t->op != NET_TCONV)
            continue;
        const net_param *w = &n->param[t->weight];
        for (uint32_t d = 2; d < w->ndim; d++) taps *= w->shape[d];
        /* For each output element: one for each channel of its group and each tap. */
        const net_node *in = &n->node[t->in[0]];
        size_t groups = t->op == NET_DEPTHWISE ? in->channels : t->groups ? t->groups : 1;
        if (t->op == NET_TCONV) /* for each input element */
            c.macs += (double)(in->channels * net_positions(in) * taps * (t->channels / groups));
        else
            c.macs += (double)(t->channels * net_positions(t) * taps * (in->channels / groups));
    }
    for (size_t p = 1; p <= n->params; p++)
        if (!statistic[p] || other[p])
            c.params += (double)shape_elements(n->param[p].ndim, n->param[p].shape);
    return c;
}

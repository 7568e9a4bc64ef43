/* Budgets, slowly: everything is counted anew, and every moment is looked at by itself. */
#include "budgets.h"

#include "by_id/by_id.h"
#include <math.h>

/* ---- Bytes ---- */

static double slow_bytes(const trial *t, const mskp_budget *b, const uint8_t *keep)
{
    double bytes = 0;
    for (size_t p = 1; p <= t->model.params; p++) {
        const model_param *q = &t->model.param[p];
        double elements = 1;
        if (q->roles && !(q->roles & ~(uint32_t)(MSKP_ROLE_MEAN | MSKP_ROLE_VARIANCE))) continue;
        for (uint32_t d = 0; d < q->ndim; d++)
            elements *=
                (double)(q->axis[d].unit && keep ? model_kept(q->axis[d].unit, q->shape[d], keep)
                                                 : q->shape[d]);
        bytes += elements * (double)(b->element_sizes  ? b->element_sizes[p - 1]
                                     : b->element_size ? b->element_size
                                                       : 4);
    }
    return bytes;
}

/* ---- Activations ---- */

bool knows_readers(const net *n)
{
    for (size_t k = 1; n && k <= n->nodes; k++) {
        const net_op op = n->node[k].op;
        if (op == NET_ATTENTION || op == NET_RECURRENT || op >= NET_GROUPED) return false;
    }
    return n != NULL;
}

static bool moves_only(net_op op)
{
    static const net_op moving[] = {
        NET_INPUT,         NET_SLICE,  NET_CHUNK,           NET_RESHAPE,
        NET_PICK,          NET_PAD,    NET_FLATTEN,         NET_CHANNEL_SHUFFLE,
        NET_PIXEL_SHUFFLE, NET_CONCAT, NET_PIXEL_UNSHUFFLE, NET_UNFLATTEN};
    for (size_t i = 0; i < sizeof moving / sizeof *moving; i++)
        if (moving[i] == op) return true;
    return false;
}

static bool reads(const net_node *d, size_t node)
{
    for (size_t i = 0; i < d->inputs; i++)
        if (d->in[i] == node) return true;
    return false;
}

/* Does the caller or an unknown operator use the value? */
static bool is_anyones(const net *n, size_t node)
{
    bool any = n->node[node].pin || n->node[node].tie || n->node[node].op == NET_OPAQUE;
    for (size_t k = 0; k < n->outputs; k++) any |= n->output[k] == node;
    for (size_t k = 1; k <= n->nodes; k++)
        any |= n->node[k].tie == node || (n->node[k].op == NET_OPAQUE && reads(&n->node[k], node));
    return any;
}

static bool is_made(const net *n, size_t node)
{
    if (is_anyones(n, node) || !moves_only(n->node[node].op)) return true;
    for (size_t k = node + 1; k <= n->nodes; k++)
        if (reads(&n->node[k], node) && is_made(n, k)) return true;
    return false;
}

/* Is the value there while operator `now` runs? */
static bool is_there(const net *n, size_t node, size_t now)
{
    if (node > now || !is_made(n, node)) return false;
    if (node == now || is_anyones(n, node)) return true;
    for (size_t k = now; k <= n->nodes; k++)
        if (reads(&n->node[k], node) && is_made(n, k)) return true;
    return false;
}

static double slow_peak(const trial *t, const mskp_budget *b, const uint8_t *keep)
{
    const net *n = t->net;
    double peak = 0;
    for (size_t now = 1; now <= n->nodes; now++) {
        double sum = 0;
        for (size_t k = 1; k <= n->nodes; k++) {
            const model_value *v = &t->model.value[t->value[k]];
            if (n->node[k].op == NET_PARAM || !is_there(n, k, now)) continue;
            sum += (double)(keep ? model_kept(v->unit, v->n, keep) : v->n) *
                   (double)net_positions(&n->node[k]) *
                   (double)(b->element_sizes  ? b->element_sizes[t->value[k] - 1]
                            : b->element_size ? b->element_size
                                              : 4);
        }
        if (sum > peak) peak = sum;
    }
    return peak;
}

/* ---- Tables ---- */

/* The weight of number i of the widths for w. */
static double weight(size_t n, const size_t *widths, size_t i, size_t w)
{
    const double x = (double)(w < widths[0] ? widths[0] : w), at = (double)widths[i];
    if (x == at) return 1;
    if (x < at && i > 0 && x > (double)widths[i - 1])
        return (x - (double)widths[i - 1]) / (at - (double)widths[i - 1]);
    if (x > at && i + 1 < n && x < (double)widths[i + 1])
        return ((double)widths[i + 1] - x) / ((double)widths[i + 1] - at);
    return 0;
}

static size_t width_of(const trial *t, mskp_value value, const uint8_t *keep)
{
    const model_value *v = &t->model.value[value.id];
    return keep ? model_kept(v->unit, v->n, keep) : v->n;
}

static double slow_table(const trial *t, const mskp_budget *b, const uint8_t *keep)
{
    double cost = 0;
    for (size_t k = 0; k < b->nlayers; k++) {
        const mskp_layer_cost *l = &b->layers[k];
        const size_t columns = l->in.id ? l->nin : 1;
        for (size_t i = 0; i < l->nout; i++)
            for (size_t j = 0; j < columns; j++)
                cost += l->cost[i * columns + j] *
                        weight(l->nout, l->widths_out, i, width_of(t, l->out, keep)) *
                        (l->in.id ? weight(l->nin, l->widths_in, j, width_of(t, l->in, keep)) : 1);
    }
    return cost;
}

/* ---- Callbacks ---- */

static double own_function(void *context, const mskp_graph *graph, const size_t *channels)
{
    own_cost *c = context;
    double cost = 0;
    REQUIRE(mskp_graph_counts(graph).values == c->values, "another graph");
    c->calls++;
    for (size_t v = 0; v < c->values; v++) {
        const size_t n = channels[v];
        cost += c->price[v] * (double)(c->rises ? n + 3 * (n % 3) : (n + 3) / 4 * 4);
    }
    return c->calls == c->fail_at ? (double)NAN : cost;
}

double slow_budget(trial *t, const mskp_budget *b, const uint8_t *keep)
{
    if (b->kind == MSKP_BUDGET_BYTES) return slow_bytes(t, b, keep);
    if (b->kind == MSKP_BUDGET_ACTIVATIONS) return slow_peak(t, b, keep);
    if (b->kind == MSKP_BUDGET_TABLE) return slow_table(t, b, keep);
    size_t *channels = arena_get(&t->mem, t->model.values, sizeof *channels);
    for (size_t v = 0; v < t->model.values; v++)
        channels[v] = width_of(t, (mskp_value){(uint32_t)v + 1}, keep);
    return b->cost(b->context, t->graph, channels);
}

/* ---- Random budgets ---- */

/* Widths with gaps that are powers of two, up to one that is at least n. */
static size_t *random_widths(trial *t, size_t n, size_t *count)
{
    size_t *widths = arena_get(&t->mem, n + 2, sizeof *widths);
    *count = 1;
    widths[0] = rng_from(&t->r, 1, n);
    while (widths[*count - 1] < n || rng_chance(&t->r, 0.2)) {
        if (*count == n + 1) break;
        widths[*count] = widths[*count - 1] + ((size_t)1 << rng_below(&t->r, 3));
        ++*count;
    }
    return widths;
}

static mskp_layer_cost random_layer(trial *t)
{
    mskp_layer_cost l = {.out = {(uint32_t)rng_from(&t->r, 1, t->model.values)}};
    l.widths_out = random_widths(t, t->model.value[l.out.id].n, &l.nout);
    if (rng_chance(&t->r, 0.6)) {
        l.in.id = (uint32_t)rng_from(&t->r, 1, t->model.values);
        l.widths_in = random_widths(t, t->model.value[l.in.id].n, &l.nin);
    }
    const size_t n = l.nout * (l.in.id ? l.nin : 1);
    double *cost = arena_get(&t->mem, n, sizeof *cost);
    for (size_t i = 0; i < n; i++) cost[i] = (double)rng_below(&t->r, 64);
    l.cost = cost;
    return l;
}

static void random_sizes(trial *t, mskp_budget *b, size_t n)
{
    if (rng_chance(&t->r, 0.5)) b->element_size = rng_from(&t->r, 1, 8);
    if (!rng_chance(&t->r, 0.3)) return;
    size_t *sizes = arena_get(&t->mem, n, sizeof *sizes);
    for (size_t i = 0; i < n; i++) sizes[i] = rng_below(&t->r, 5);
    b->element_sizes = sizes;
}

mskp_budget random_budget(trial *t)
{
    mskp_budget b = {.kind = (mskp_budget_kind)rng_below(&t->r, 4)};
    if (b.kind == MSKP_BUDGET_ACTIVATIONS && !knows_readers(t->net)) b.kind = MSKP_BUDGET_BYTES;
    if (b.kind == MSKP_BUDGET_BYTES) random_sizes(t, &b, t->model.params);
    if (b.kind == MSKP_BUDGET_ACTIVATIONS) random_sizes(t, &b, t->model.values);
    if (b.kind == MSKP_BUDGET_TABLE) {
        b.nlayers = rng_from(&t->r, 1, 4);
        mskp_layer_cost *layers = arena_get(&t->mem, b.nlayers, sizeof *layers);
        for (size_t i = 0; i < b.nlayers; i++) layers[i] = random_layer(t);
        b.layers = layers;
    }
    if (b.kind == MSKP_BUDGET_CALLBACK) {
        own_cost *c = arena_get(&t->mem, 1, sizeof *c);
        double *price = arena_get(&t->mem, t->model.values, sizeof *price);
        for (size_t v = 0; v < t->model.values; v++) price[v] = (double)rng_below(&t->r, 9);
        *c = (own_cost){t->model.values, 0, 0, price, rng_chance(&t->r, 0.3)};
        b.cost = own_function;
        b.context = c;
    }
    const double full = slow_budget(t, &b, NULL);
    b.limit = rng_real(&t->r, 0.4, 1.1) * (full > 0 ? full : 1);
    return b;
}

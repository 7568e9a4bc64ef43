/*
 * What vanishes under a mask, from the words of docs/architecture.md ("Whole branches"), over the
 * recipe: a node vanishes whose channels are all removed, or all of whose inputs vanished.
 */
#include "vanish.h"

#include <string.h>

typedef struct vanisher {
    const net *net;
    const trial *t;
    const mskp_graph *graph;
    const size_t *value;
    const uint8_t *keep;
    uint8_t *fate;
    size_t *uses; /* by parameter */
} vanisher;

static size_t kept_count(const uint32_t *units, size_t n, const uint8_t *keep)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) kept += units[i] == MSKP_PINNED || keep[units[i]];
    return kept;
}

static size_t kept_channels(const vanisher *v, size_t node)
{
    size_t n;
    const uint32_t *u = mskp_value_units(v->graph, (mskp_value){(uint32_t)v->value[node]}, &n);
    return kept_count(u, n, v->keep);
}

static size_t kept_of_axis(const vanisher *v, size_t param, uint32_t axis)
{
    size_t n;
    const uint32_t *u = mskp_param_units(v->graph, (mskp_param){(uint32_t)param}, axis, NULL, &n);
    return u ? kept_count(u, n, v->keep) : v->net->param[param].shape[axis];
}

/* Parameter k of a node; 0: there is none. */
enum { NODE_PARAMS = 16 };
static size_t param_of_node(const net_node *t, size_t k)
{
    if (k < 4) return t->op == NET_NORM ? t->norm[k] : 0;
    if (k == 4) return t->weight;
    if (k == 5) return t->bias;
    return t->more[k - 6];
}

/* The parameter that a node adds to its result. */
static size_t shift_of_node(const net_node *t)
{
    switch (t->op) {
    case NET_NORM:
        return t->norm[1];
    case NET_CONV:
    case NET_TCONV:
    case NET_LINEAR:
        return t->bias;
    case NET_ATTENTION:
        return t->more[7];
    default:
        return 0;
    }
}

static bool gone(const vanisher *v, size_t node)
{
    return v->fate[node] != MSKP_FATE_STAYS;
}

static void forward(vanisher *v, size_t k)
{
    const net_node *t = &v->net->node[k];
    size_t vanished = 0, steady = 0;
    for (size_t i = 0; i < t->inputs; i++)
        if (gone(v, t->in[i]))
            vanished++;
        else
            steady += v->net->node[t->in[i]].op == NET_PARAM;
    const bool no_heads = t->op == NET_ATTENTION && !kept_of_axis(v, t->more[3], 1);
    if (!kept_channels(v, k) || no_heads || (vanished && vanished + steady == t->inputs))
        v->fate[k] = MSKP_FATE_VANISHES;
    for (size_t i = 0; vanished && !gone(v, k) && t->op == NET_COMBINE && i < t->inputs; i++) {
        const size_t p = shift_of_node(&v->net->node[t->in[i]]);
        if (gone(v, t->in[i]) && kept_channels(v, t->in[i]) && p && v->uses[p] == 1)
            v->fate[t->in[i]] = MSKP_FATE_SHIFT;
    }
}

/* Whether the library may not know all that reads or makes a node's value. */
static void mark_known(const vanisher *v, bool *known)
{
    const net *n = v->net;
    for (size_t k = 1; k <= n->nodes; k++) known[k] = true;
    for (size_t k = 1; k <= n->nodes; k++) {
        const net_node *t = &n->node[k];
        const bool own = t->op >= NET_GROUPED || t->op == NET_OPAQUE;
        if (own || t->op == NET_INPUT || t->pin || t->tie) known[k] = false;
        if (t->tie) known[t->tie] = false;
        /* The other parts of a chunk are no nodes, and nothing reads them. */
        for (size_t i = 0; (own || t->op == NET_CHUNK) && i < t->inputs; i++)
            known[t->in[i]] = false;
    }
    for (size_t k = 0; k < n->outputs; k++) known[n->output[k]] = false;
}

static void backward(vanisher *v, bool *known, bool *read)
{
    const net *n = v->net;
    mark_known(v, known);
    for (size_t k = n->nodes; k >= 1; k--) {
        size_t readers = 0;
        bool stays = false;
        for (size_t j = k + 1; j <= n->nodes; j++)
            for (size_t i = 0; i < n->node[j].inputs; i++)
                if (n->node[j].in[i] == k) {
                    readers++;
                    stays = stays || !gone(v, j);
                }
        read[k] = readers > 0;
        if (known[k] && readers && !stays) v->fate[k] = MSKP_FATE_VANISHES;
    }
}

bool net_vanish(const trial *t, const net *n, const mskp_graph *graph, const size_t *value,
                const uint8_t *keep, uint8_t *fate, bool *param)
{
    arena mem = {0};
    vanisher v = {n, t, graph, value, keep, fate, arena_get(&mem, n->params + 1, sizeof *v.uses)};
    bool *known = arena_get(&mem, n->nodes + 1, sizeof *known), modelled = true;
    bool *read = arena_get(&mem, n->nodes + 1, sizeof *read);
    memset(fate, MSKP_FATE_STAYS, n->nodes + 1);
    memset(param, 0, (n->params + 1) * sizeof *param);
    for (size_t k = 1; k <= n->nodes; k++)
        for (size_t i = 0; i < NODE_PARAMS; i++) v.uses[param_of_node(&n->node[k], i)]++;
    for (size_t k = 1; k <= n->nodes; k++) forward(&v, k);
    backward(&v, known, read);
    for (int stays = 0; stays <= 1; stays++)
        for (size_t k = 1; k <= n->nodes; k++) {
            const net_node *x = &n->node[k];
            for (size_t i = 0; i < NODE_PARAMS; i++) {
                const size_t p = param_of_node(x, i);
                const bool used =
                    !gone(&v, k) || (fate[k] == MSKP_FATE_SHIFT && p == shift_of_node(x));
                if (p && used == (stays == 1)) param[p] = !stays;
            }
            /* Layers within an operator are no nodes. */
            for (size_t i = 0; i < NODE_PARAMS && stays && !gone(&v, k); i++)
                for (uint32_t d = 0; d < n->param[param_of_node(x, i)].ndim; d++)
                    if (!kept_of_axis(&v, param_of_node(x, i), d)) modelled = false;
        }
    arena_free(&mem);
    return modelled;
}

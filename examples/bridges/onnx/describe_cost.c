/*
 * What nodes cost that no operator of mskp's graph describes, and which costs are not known.
 *
 * A budget is a part of the whole network, so the multiply-accumulates of a node whose channels all
 * stay count, too: they are added to the value of its result. That needs the shapes of what the
 * node reads and makes. Where a node multiplies and its cost is not known (a shape is not known,
 * the operator is of another domain, or it stands in a graph within a node), the network remembers
 * how many such nodes there are, and how many parameters they read, so that no figure is taken for
 * one of the whole network.
 */
#include <string.h>

#include "describe.h"

typedef uint64_t cost_rule(const net *n, const node_proto *node);

/* The shape of a tensor; NULL: it is not known, or the node does not have it. */
static const dims *shape_of(const tensor *t)
{
    return t && t->sized ? &t->dims : NULL;
}

static const dims *in_shape(const net *n, const node_proto *node, size_t k)
{
    return shape_of(net_input(n, node, k));
}

static uint64_t times(uint64_t a, uint64_t b)
{
    const uint64_t most = (uint64_t)1 << 52;
    return a && b > most / a ? 0 : a * b;
}

static uint64_t all_of(const dims *d)
{
    return product_of(d, 0, d->rank);
}

/* ---- Operators that multiply; 0: not known ---- */

static uint64_t conv_with(const net *n, const node_proto *node, size_t kernel, bool transposed)
{
    const dims *x = in_shape(n, node, 0), *w = in_shape(n, node, kernel),
               *y = shape_of(net_output(n, node, 0));
    if (!x || !w || !y || w->rank < 2) return 0;
    return times(all_of(transposed ? x : y), product_of(w, 1, w->rank));
}

static uint64_t conv_cost(const net *n, const node_proto *node)
{
    return conv_with(n, node, is_op(node, "QLinearConv") ? 3 : 1, is_op(node, "ConvTranspose"));
}

static uint64_t matmul_cost(const net *n, const node_proto *node)
{
    const dims *a = in_shape(n, node, 0), *y = shape_of(net_output(n, node, 0));
    return a && y && a->rank ? times(all_of(y), a->dim[a->rank - 1]) : 0;
}

static uint64_t gemm_cost(const net *n, const node_proto *node)
{
    const dims *a = in_shape(n, node, 0), *y = shape_of(net_output(n, node, 0));
    if (!a || !y || a->rank != 2) return 0;
    return times(all_of(y), a->dim[attribute_int(node, "transA", 0) ? 0 : 1]);
}

/* Both matrices of each gate, for each step. */
static uint64_t recurrent_cost(const net *n, const node_proto *node)
{
    const dims *x = in_shape(n, node, 0), *w = in_shape(n, node, 1), *r = in_shape(n, node, 2);
    if (!x || !w || !r || x->rank != 3 || w->rank != 3 || r->rank != 3) return 0;
    return times(x->dim[0] * x->dim[1], all_of(w) + all_of(r));
}

/* Each letter's length once: the cost without a cleverer order of products. */
static uint64_t einsum_cost(const net *n, const node_proto *node)
{
    const attribute_proto *a = node_attribute(node, "equation");
    bool seen[128] = {false};
    uint64_t all = 1;
    size_t at = 0;
    if (!a || !a->has_s || node->n_input < 2) return 0;
    for (size_t k = 0; k < node->n_input; k++) {
        const dims *d = in_shape(n, node, k);
        if (!d) return 0;
        for (size_t i = 0; at < a->s.len && a->s.data[at] != ',' && a->s.data[at] != '-'; at++) {
            const unsigned char c = a->s.data[at];
            if (c == ' ') continue;
            if (c >= 128 || c == '.' || i >= d->rank) return 0;
            if (!seen[c] || d->dim[i] > 1) all = seen[c] ? all : times(all, d->dim[i]);
            seen[c] |= d->dim[i] > 1;
            i++;
        }
        at++;
    }
    return all;
}

/* Scores and the sum of values, of each query for each key. */
static uint64_t attention_cost(const net *n, const node_proto *node)
{
    const dims *q = in_shape(n, node, 0), *k = in_shape(n, node, 1), *v = in_shape(n, node, 2);
    if (!q || !k || !v || q->rank != k->rank || v->rank != k->rank || net_input(n, node, 4))
        return 0;
    const uint64_t keys = k->dim[k->rank - 2];
    if (q->rank == 4) return times(product_of(q, 0, 3), times(keys, q->dim[3] + v->dim[3]));
    const int64_t heads = attribute_int(node, "q_num_heads", 0);
    const int64_t groups = attribute_int(node, "kv_num_heads", 0);
    if (q->rank != 3 || heads < 1 || groups < 1) return 0;
    const uint64_t width = q->dim[2] + v->dim[2] / (uint64_t)groups * (uint64_t)heads;
    return times(q->dim[0] * q->dim[1], times(keys, width));
}

static uint64_t never_known(const net *n, const node_proto *node)
{
    (void)n;
    (void)node;
    return 0;
}

static const struct {
    const char *op;
    cost_rule *cost;
} MULTIPLYING[] = {
    {"Attention", attention_cost},
    {"CausalConvWithState", never_known},
    {"Conv", conv_cost},
    {"ConvInteger", conv_cost},
    {"ConvTranspose", conv_cost},
    {"DeformConv", conv_cost},
    {"Einsum", einsum_cost},
    {"GRU", recurrent_cost},
    {"Gemm", gemm_cost},
    {"LSTM", recurrent_cost},
    {"LinearAttention", never_known},
    {"MatMul", matmul_cost},
    {"MatMulInteger", matmul_cost},
    {"QLinearConv", conv_cost},
    {"QLinearMatMul", matmul_cost},
    {"RNN", recurrent_cost},
};

/* NULL: the operator does not multiply. */
static cost_rule *cost_of(const node_proto *node)
{
    for (size_t i = 0; i < sizeof MULTIPLYING / sizeof *MULTIPLYING; i++)
        if (is_op(node, MULTIPLYING[i].op)) return node->n_input > 1 ? MULTIPLYING[i].cost : NULL;
    return is_op(node, node->op_type ? node->op_type : "") ? NULL
                                                           : never_known; /* of another domain */
}

/* ---- Costs that are not known ---- */

/* Data that several of these nodes read count once. */
static void add_unknown_data(void *context, const char *name)
{
    net *n = context;
    tensor *t = net_tensor(n, name), *root = t && t->data ? &n->tensors[t->root] : NULL;
    if (!root || root->uncounted || !is_real(t->data)) return;
    root->uncounted = true;
    n->uncounted.parameters += (double)tensor_elements(t->data);
}

static void count_unknown(net *n, const node_proto *node)
{
    if (!n->uncounted.nodes++) n->uncounted.first = node;
    for (size_t k = 0; k < node->n_input; k++) add_unknown_data(n, node->input[k]);
    model_names_within(node, add_unknown_data, n);
}

/* Counts the nodes of a graph within a node that multiply. */
static void count_within(net *n, const graph_proto *g)
{
    for (size_t i = 0; i < g->n_node; i++) {
        if (cost_of(g->node[i])) count_unknown(n, g->node[i]);
        count_graphs(n, g->node[i]);
    }
    for (size_t i = 0; i < g->n_initializer; i++)
        if (is_real(g->initializer[i]))
            n->uncounted.parameters += (double)tensor_elements(g->initializer[i]);
}

void count_graphs(net *n, const node_proto *node)
{
    for (size_t k = 0; k < node->n_attribute; k++) {
        const attribute_proto *a = node->attribute[k];
        if (a->g) count_within(n, a->g);
        for (size_t i = 0; i < a->n_graphs; i++) count_within(n, a->graphs[i]);
    }
}

uint64_t node_cost(const net *n, const node_proto *node)
{
    cost_rule *known = cost_of(node);
    const uint64_t all = known ? known(n, node) : 0;
    return all % n->batch ? all : all / n->batch;
}

void add_cost(net *n, const node_proto *node)
{
    const tensor *y = net_output(n, node, 0);
    cost_rule *known = cost_of(node);
    const uint64_t cost = node_cost(n, node);
    count_graphs(n, node);
    if (!known) return;
    if (!cost || !is_flow(y)) {
        count_unknown(n, node);
        return;
    }
    const size_t channels = y->axis < y->dims.rank ? y->dims.dim[y->axis] : 1;
    const bool even = y->pinned && !(cost % channels);
    const mskp_value one = even ? y->value : new_pinned(n, "node", 1, 0, NULL);
    mskp_add_macs(n->graph, one, (mskp_param){0}, even ? cost / channels : cost);
}

/*
 * Describes the operators of transformers that read heads: Attention and RotaryEmbedding.
 *
 * Whole heads may be removed. Heads are an axis of their own, [N, heads, positions, dim], or part
 * of the last one, [N, positions, heads x dim]: then all dimensions of a head are tied, and the
 * node states the number of heads, which is corrected after the cut. If several query heads share a
 * head of keys and values, all of them leave together with it.
 */
#include <stdlib.h>
#include <string.h>

#include "describe.h"

/* The heads of a tensor as a value with one channel for each; {0}: its channels are on another
 * axis, or the number does not divide the width. */
static mskp_value heads_of(net *n, tensor *t, size_t heads)
{
    const size_t axis = t->dims.rank == 4 ? 1 : 2, width = t->dims.dim[axis];
    const mskp_value value = channels_on(n, t, axis);
    if (!value.id || !heads || width % heads) return (mskp_value){0};
    if (width == heads) return value;
    size_t *at = try_malloc(heads * sizeof *at);
    if (!at) return (mskp_value){0};
    const mskp_value fresh = mskp_fresh(n->graph, NULL, heads, 0, NULL);
    const size_t dim = width / heads;
    for (size_t d = 0; d < dim; d++) {
        for (size_t h = 0; h < heads; h++) at[h] = h * dim + d;
        mskp_tie(n->graph, fresh, mskp_pick(n->graph, NULL, value, heads, at));
    }
    free(at);
    return fresh;
}

/* The value in which each channel occurs `times` times, one behind the other. */
static mskp_value repeated(net *n, mskp_value value, size_t channels, size_t times)
{
    if (times == 1) return value;
    size_t *at = try_malloc(channels * times * sizeof *at);
    if (!at) return (mskp_value){0};
    for (size_t k = 0; k < channels * times; k++) at[k] = k / times;
    const mskp_value many = mskp_pick(n->graph, NULL, value, channels * times, at);
    free(at);
    return many;
}

/* Result y has a channel for each head, or `dim` of them. */
static bool set_heads(net *n, tensor *y, mskp_value heads, size_t count)
{
    const size_t axis = y->dims.rank == 4 ? 1 : 2, dim = y->dims.dim[axis] / count;
    const mskp_value value = repeated(n, heads, count, dim);
    if (!value.id) return false;
    set_flow(n, y, tied(n, value, &y->dims, axis), axis);
    y->inner = dim;
    y->outer = 1;
    return true;
}

static size_t heads_at(const node_proto *node, const tensor *t, const char *attribute)
{
    const int64_t stated = attribute_int(node, attribute, 0);
    if (t->dims.rank == 4) return t->dims.dim[1];
    return t->dims.rank == 3 && stated > 0 && (uint64_t)stated <= t->dims.dim[2] ? (size_t)stated
                                                                                 : 0;
}

/* Whether a mask is the same for all heads. */
static bool is_common(const tensor *mask)
{
    return !mask ||
           (mask->sized && (mask->dims.rank < 3 || mask->dims.dim[mask->dims.rank - 3] == 1));
}

bool describe_attention(net *n, const node_proto *node)
{
    tensor *q = net_input(n, node, 0), *k = net_input(n, node, 1), *v = net_input(n, node, 2);
    tensor *mask = net_input(n, node, 3), *y = net_output(n, node, 0);
    if (!is_flow(q) || !is_flow(k) || !is_flow(v) || !is_common(mask) || node->n_output != 1 ||
        net_input(n, node, 4) || net_input(n, node, 5) || q->dims.rank != k->dims.rank ||
        q->dims.rank != v->dims.rank)
        return false;
    const size_t heads = heads_at(node, q, "q_num_heads");
    const size_t groups = heads_at(node, k, "kv_num_heads");
    if (!heads || !groups || heads % groups || heads_at(node, v, "kv_num_heads") != groups ||
        (q->pinned && k->pinned && v->pinned))
        return false;
    pin(n, mask, node->op_type);
    leave_data(n, 3);
    const mskp_value of_q = heads_of(n, q, heads), of_k = heads_of(n, k, groups),
                     of_v = heads_of(n, v, groups);
    if (!of_q.id || !of_k.id || !of_v.id) return false;
    const mskp_value shared_k = repeated(n, of_k, groups, heads / groups);
    const mskp_value shared_v = repeated(n, of_v, groups, heads / groups);
    if (!shared_k.id || !shared_v.id) return false;
    const mskp_value all = mskp_fresh(n->graph, value_name(y), heads, 0, NULL);
    const mskp_value parts[] = {of_q, shared_k, shared_v};
    for (size_t i = 0; i < 3; i++) mskp_tie(n->graph, all, parts[i]);
    mskp_add_macs(n->graph, all, (mskp_param){0}, node_cost(n, node) / heads);
    return set_heads(n, y, all, heads);
}

/* The result is zero if the values are: it is a mean of them. */
bool zero_attention(net *n, const node_proto *node)
{
    return is_zeroable(net_input(n, node, 2));
}

bool describe_rotary(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    if (!is_flow(x) || x->pinned || x->dims.rank < 3 || x->dims.rank > 4) return false;
    const size_t heads = heads_at(node, x, "num_heads");
    const mskp_value value = heads ? heads_of(n, x, heads) : (mskp_value){0};
    if (!value.id) return false;
    for (size_t k = 1; k < node->n_input; k++) /* angles, the same for all heads */
        pin(n, net_input(n, node, k), node->op_type);
    return set_heads(n, y, value, heads);
}

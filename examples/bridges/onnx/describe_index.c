/*
 * Describes operators that read or write places by index: GatherND, TensorScatter, MaxUnpool.
 *
 * Indices along positions say nothing about channels, so each channel passes through. The indices
 * of MaxPool count the elements of the whole tensor that it pools, channels included. After a cut
 * MaxPool counts those that are left; that is right for a MaxUnpool whose result has the shape of
 * what was pooled, if both lose the same channels, and for no other reader.
 */
#include "describe.h"

/* Elements or slices at index tuples, which are the last axis of the indices. Tuples of one index
 * pick rows of a table. */
bool describe_gather_nd(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0), *at = net_input(n, node, 1), *y = net_output(n, node, 0);
    if (!x || !at || (is_flow(at) && !at->pinned)) return false;
    if (!is_flow(x))
        return !attribute_int(node, "batch_dims", 0) && at->dims.rank &&
               at->dims.dim[at->dims.rank - 1] == 1 && describe_embedding(n, node);
    leave_data(n, 1);
    if (x->pinned) {
        set_pinned(n, y, x->pinned);
        return true;
    }
    const size_t first =
        (size_t)attribute_int(node, "batch_dims", 0) + at->dims.dim[at->dims.rank - 1];
    if (x->axis < first || x->axis >= x->dims.rank) return false; /* channels by index */
    const size_t to = x->axis - first + at->dims.rank - 1;
    set_flow(n, y, resize_positions(n, x->value, &y->dims, to, true), to);
    return true;
}

/* Writes new keys or values into those of earlier calls, at places along an axis that are given for
 * each sample. */
bool describe_tensor_scatter(net *n, const node_proto *node)
{
    tensor *old = net_input(n, node, 0), *new = net_input(n, node, 1), *y = net_output(n, node, 0);
    size_t along;
    if (!is_flow(old) || !is_flow(new) || is_flow(net_input(n, node, 2)) ||
        old->dims.rank != new->dims.rank ||
        !to_axis(attribute_int(node, "axis", -2), old->dims.rank, &along))
        return false;
    if (old->pinned && new->pinned) {
        set_pinned(n, y, old->pinned);
        return true;
    }
    const size_t axis = (old->pinned ? new : old)->axis;
    if (!axis || axis == along || axis >= old->dims.rank) return false;
    const mskp_value a = channels_on(n, old, axis), b = channels_on(n, new, axis);
    if (!a.id || !b.id) return false;
    const mskp_value value = tied(n, a, &y->dims, axis);
    mskp_tie(n->graph, value, b);
    set_flow(n, y, value, axis);
    leave_data(n, 2);
    return true;
}

bool zero_tensor_scatter(net *n, const node_proto *node)
{
    return zero_same(n, node) && is_zeroable(net_input(n, node, 1));
}

static bool same_dims(const dims *a, const dims *b)
{
    bool same = a->rank == b->rank;
    for (size_t k = 0; same && k < a->rank; k++) same = a->dim[k] == b->dim[k];
    return same;
}

bool is_unpooled(const net *n, const node_proto *node, const tensor *indices)
{
    const graph_proto *g = n->m->graph;
    const tensor *x = net_input(n, node, 0);
    size_t uses = 0;
    if (attribute_int(node, "storage_order", 0) || !is_image(n, &x->dims, 1) || x->dims.varies[1] ||
        !is_op(node, "MaxPool"))
        return false;
    for (size_t i = n->node + 1; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_input; k++) {
            const tensor *made = net_output(n, g->node[i], 0);
            if (net_input(n, g->node[i], k) != indices) continue;
            if (!is_op(g->node[i], "MaxUnpool") || k != 1 || !made || !made->sized ||
                made->stated || !same_dims(&made->dims, &x->dims))
                return false;
            uses++;
        }
    return uses == indices->uses;
}

bool follows_unpool(const net *n, const node_proto *node, size_t k)
{
    return k == 2 && is_flow(net_input(n, node, 0));
}

bool describe_unpool(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0), *at = net_input(n, node, 1), *y = net_output(n, node, 0);
    if (!is_flow(x) || !is_flow(at) || at->pinned || at->axis != 1) return false;
    const mskp_value value = channels_on(n, x, 1);
    if (!value.id) return false;
    mskp_tie(n->graph, value, at->value);
    leave_data(n, 2);
    set_flow(
        n, y,
        resize_positions(n,
                         mskp_activation(n->graph, NULL, value,
                                         &(mskp_activation_desc){.kind = MSKP_ACTIVATION_CUSTOM}),
                         &y->dims, 1, false),
        1);
    return true;
}

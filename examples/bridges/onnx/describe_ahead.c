/*
 * Looks ahead: what nodes behind do with an axis.
 *
 * Where a Reshape splits channels into several axes, one of these axes has the channels from now
 * on. An axis is of no use for that if something behind takes it apart (query, key and value), sums
 * over it, or computes statistics of it (a softmax over a radix, a norm over the dimensions of a
 * head), because its indices could then not be removed. is_taken_apart follows the axis through all
 * nodes that read it, in the order of the file, until the axis ends: where it becomes part of
 * another axis, or where a layer reads it.
 */
#include <string.h>

#include "describe.h"

/* Nodes that are looked at, and tensors that are followed. */
enum { MOST_NODES = 400, MOST_FOLLOWED = 64 };

typedef struct seen {
    const tensor *t;
    size_t axis;
} seen;

typedef struct track {
    seen list[MOST_FOLLOWED];
    size_t count;
} track;

/* SUMMED: by a product with data. */
typedef enum fate { ENDS, PASSES, TAKEN, SUMMED } fate;

static bool starts_with(const node_proto *node, const char *word)
{
    return node->op_type && is_op(node, node->op_type) &&
           !strncmp(node->op_type, word, strlen(word));
}

static bool is_any(const node_proto *node, const char *const *words)
{
    for (; *words; words++)
        if (is_op(node, *words)) return true;
    return false;
}

/* The axis of y that is this axis of x, with the same length and as many elements before it. */
static fate same_axis(const dims *x, size_t axis, const dims *y, size_t *to)
{
    for (*to = 0; *to < y->rank; ++*to)
        if (y->dim[*to] == x->dim[axis] && product_of(y, 0, *to) == product_of(x, 0, axis))
            return PASSES;
    return ENDS;
}

/* Axes are aligned at the last one. */
static fate aligned_axis(const dims *x, size_t axis, const dims *y, size_t *to)
{
    *to = axis + y->rank - x->rank;
    return y->rank >= x->rank && y->dim[*to] == x->dim[axis] ? PASSES : ENDS;
}

static fate through_matmul(const net *n, const node_proto *node, size_t k, const seen *s,
                           size_t *to)
{
    const tensor *other = net_input(n, node, !k), *y = net_output(n, node, 0);
    const size_t rank = s->t->dims.rank, inner = k ? rank - 2 : rank - 1;
    if (k > 1 || rank < 2 || !other) return ENDS;
    if (s->axis == inner) return other->data ? SUMMED : TAKEN;
    *to = s->axis + y->dims.rank - rank;
    return PASSES;
}

static fate through_reduce(const net *n, const node_proto *node, const seen *s, size_t *to)
{
    uint8_t axes[MAX_RANK];
    bool given;
    if (!node_axes(n, node, 1, reduce_since(node), s->t->dims.rank, axes, &given)) return ENDS;
    if (!given || axes[s->axis])
        return given || !attribute_int(node, "noop_with_empty_axes", 0) ? TAKEN : ENDS;
    const bool keep = attribute_int(node, "keepdims", 1);
    *to = 0;
    for (size_t i = 0; i < s->axis; i++) *to += keep || !axes[i];
    return PASSES;
}

/* Whether the convolution is a product with a matrix, at each position. */
static bool is_pointwise(const net *n, const node_proto *node)
{
    const tensor *kernel = net_input(n, node, 1);
    return kernel && kernel->data && attribute_int(node, "group", 1) == 1 &&
           product_of(&kernel->dims, 2, kernel->dims.rank) == 1;
}

/* What the node, whose operand k is s->t, does with the axis; *to <- the axis of its results. */
static fate through(const net *n, const node_proto *node, size_t k, const seen *s, size_t *to)
{
    static const char *const SHAPES[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", NULL};
    static const char *const ALONG[] = {"Softmax", "LogSoftmax", "Hardmax", "LpNormalization",
                                        "ArgMax",  "ArgMin",     "TopK",    NULL};
    static const char *const IMAGES[] = {"Conv",
                                         "ConvTranspose",
                                         "GroupNormalization",
                                         "DeformConv",
                                         "BatchNormalization",
                                         "DepthToSpace",
                                         "InstanceNormalization",
                                         "MaxPool",
                                         "AveragePool",
                                         NULL};
    const tensor *x = s->t, *y = net_output(n, node, 0);
    const op_kind *kind = find_op_kind(node);
    const size_t rank = x->dims.rank;
    size_t at;
    *to = s->axis;
    if (!kind || !y || !y->sized) return ENDS;
    if (is_any(node, SHAPES)) return k ? ENDS : same_axis(&x->dims, s->axis, &y->dims, to);
    if (is_op(node, "MatMul")) return through_matmul(n, node, k, s, to);
    if (starts_with(node, "Reduce")) return k ? ENDS : through_reduce(n, node, s, to);
    if (is_op(node, "Conv") && !k && s->axis == 1 && is_pointwise(n, node)) return SUMMED;
    if (is_any(node, IMAGES)) return s->axis != 1 ? TAKEN : ENDS;
    if (is_op(node, "Attention") && rank == 4) return s->axis > 1 ? TAKEN : PASSES;
    if (is_op(node, "LayerNormalization") || is_op(node, "RMSNormalization"))
        return to_axis(attribute_int(node, "axis", -1), rank, &at) && s->axis >= at ? TAKEN
                                                                                    : PASSES;
    if (is_any(node, ALONG)) {
        const bool rest = n->m->opset < 13 && strcmp(node->op_type, "TopK") != 0;
        const int64_t first = n->m->opset < 13 && strstr(node->op_type, "Softmax") ? 1 : -1;
        if (!to_axis(attribute_int(node, "axis", first), rank, &at)) return ENDS;
        return s->axis == at || (rest && s->axis > at) ? TAKEN : PASSES;
    }
    if (is_op(node, "Transpose")) {
        const attribute_proto *perm = node_attribute(node, "perm");
        for (*to = 0; *to < rank; ++*to)
            if ((perm ? (size_t)perm->ints[*to] : rank - 1 - *to) == s->axis) return PASSES;
        return ENDS;
    }
    if (is_op(node, "Gather") || is_op(node, "Split")) {
        if (k || !to_axis(attribute_int(node, "axis", 0), rank, &at)) return ENDS;
        if (s->axis > at) *to += y->dims.rank - rank;
        return at == s->axis ? TAKEN : PASSES;
    }
    if (is_op(node, "Slice"))
        return !k && y->dims.dim[s->axis] != x->dims.dim[s->axis] ? TAKEN : k ? ENDS : PASSES;
    if (kind->infer == infer_same || kind->infer == infer_broadcast || kind->infer == infer_expand)
        return aligned_axis(&x->dims, s->axis, &y->dims, to);
    return ENDS;
}

static void follow(track *all, const tensor *t, size_t axis)
{
    if (t && t->sized && axis < t->dims.rank && all->count < MOST_FOLLOWED)
        all->list[all->count++] = (seen){t, axis};
}

/* Follows an axis through the nodes behind; *any[f] <- whether a node does f with it. */
static void look_ahead(const net *n, const tensor *t, size_t axis, bool any[SUMMED + 1])
{
    const graph_proto *g = n->m->graph;
    track all = {.count = 0};
    memset(any, 0, (SUMMED + 1) * sizeof *any);
    follow(&all, t, axis);
    for (size_t i = n->node + 1; i < g->n_node && i - n->node < MOST_NODES && !any[TAKEN]; i++)
        for (size_t k = 0; k < g->node[i]->n_input; k++) {
            const tensor *x = net_input(n, g->node[i], k);
            const size_t count = all.count;
            for (size_t j = 0; x && j < count; j++) {
                size_t to;
                if (all.list[j].t != x) continue;
                const fate f = through(n, g->node[i], k, &all.list[j], &to);
                any[f] = true;
                for (size_t o = 0; f == PASSES && o < g->node[i]->n_output; o++)
                    follow(&all, net_output(n, g->node[i], o), to);
            }
        }
    any[ENDS] |= all.count == MOST_FOLLOWED;
}

bool is_taken_apart(const net *n, const tensor *t, size_t axis)
{
    bool any[SUMMED + 1];
    look_ahead(n, t, axis, any);
    return any[TAKEN];
}

bool is_hidden(const net *n, const tensor *t, size_t axis)
{
    bool any[SUMMED + 1];
    if (n->fixed) return false; /* a host is told of one axis of channels */
    look_ahead(n, t, axis, any);
    return any[SUMMED] && !any[TAKEN] && !any[ENDS];
}

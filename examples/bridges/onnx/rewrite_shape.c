/*
 * Corrects nodes that state the shape of their result: the target of a Reshape or Expand, the sizes
 * of a Resize, the shape of a MaxUnpool.
 *
 * Lengths that are open must stay so. The target of a Reshape can leave one of them to the runtime
 * (-1) and copy those that its input has on the same axis (0). Where that is not enough, the target
 * may be put together by a Concat, whose inputs that are widths are corrected one by one.
 */
#include <string.h>

#include "rewrite.h"

static const node_proto *maker_of(const writer *r, const char *name)
{
    const graph_proto *g = r->was->m->graph;
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            if (!strcmp(g->node[i]->output[k], name)) return g->node[i];
    return NULL;
}

/* Input k of a Concat that makes a shape <- the lengths of `want` from axis *at on. *at is then the
 * axis behind. */
static bool correct_part(writer *r, size_t k, const dims *want, size_t *at)
{
    tensor *t = net_input(&r->now, r->at, k);
    const numbers *x = t ? known_numbers(&r->now, t) : NULL;
    int64_t list[MAX_RANK];
    bool changed = false;
    if (!x || !x->whole || *at + x->count > want->rank) return false;
    for (size_t i = 0; i < x->count; i++, ++*at) {
        list[i] = x->whole[i];
        if (want->varies[*at] || list[i] < 1 || (size_t)list[i] == want->dim[*at]) continue;
        if (x->varies && x->varies[i]) return false;
        list[i] = (int64_t)want->dim[*at];
        changed = true;
    }
    return !changed || set_numbers(r, k, x->count, list);
}

/* Operand k is a shape that a Concat puts together from open lengths and widths. Corrects the
 * widths among the inputs of the Concat. */
static bool correct_parts(writer *r, size_t k, const dims *want)
{
    const node_proto *node = r->at;
    const tensor *t = net_input(&r->now, node, k);
    size_t at = 0;
    const node_proto *concat = maker_of(r, node->input[k]);
    if (!concat || !is_op(concat, "Concat") || t->uses != 1) return false;
    r->at = concat;
    bool good = true;
    for (size_t i = 0; good && i < concat->n_input; i++) good = correct_part(r, i, want, &at);
    good = good && at == want->rank && infer_node(&r->now, concat);
    r->at = node;
    return good && makes_dims(r, want);
}

/* Whether this axis of x has the open length that axis k of `want` has. */
static bool gives_length(const tensor *x, size_t axis, const dims *want, size_t k)
{
    return x && axis < x->dims.rank && want->varies[k] > 1 &&
           x->dims.varies[axis] == want->varies[k] && x->dims.dim[axis] == want->dim[k];
}

/* Corrects operand k, the target shape. An open length that the input has on the same axis is
 * stated as 0 (Reshape) or 1 (Expand); a Reshape may state one other open length as -1. */
static bool correct_shape(writer *r, size_t k, bool reshape)
{
    const tensor *x = net_input(&r->now, r->at, 0);
    int64_t list[MAX_RANK];
    bool rest = false;
    dims want;
    if (!dims_after(r, output_before(r, 0), &want) || makes_dims(r, &want)) return true;
    for (size_t i = 0; i < want.rank; i++) {
        list[i] = (int64_t)want.dim[i];
        if (!want.varies[i]) continue;
        const size_t before = reshape || !x ? 0 : want.rank - x->dims.rank;
        if (gives_length(x, i - before, &want, i))
            list[i] = reshape ? 0 : 1;
        else if (reshape && !rest)
            list[i] = -1, rest = true;
        else
            return correct_parts(r, k, &want) ||
                   fail(r->was->f, "%s: its shape has %s open length and a width that is cut",
                        r->at->output[0], reshape ? "a second" : "an");
    }
    if (reshape && attribute_int(r->at, "allowzero", 0))
        remove_attribute((node_proto *)r->at, "allowzero");
    return set_numbers(r, k, want.rank, list);
}

bool correct_reshape(writer *r)
{
    return correct_shape(r, 1, true);
}

bool correct_expand(writer *r)
{
    return correct_shape(r, 1, false);
}

/* Operand k, a list of lengths of the result, <- those after the cut. Entry i is for axis[i]. */
static bool correct_lengths(writer *r, size_t k, size_t count, const size_t *axis)
{
    dims want;
    if (!net_input(&r->now, r->at, k) || !dims_after(r, output_before(r, 0), &want) ||
        makes_dims(r, &want))
        return true;
    int64_t list[MAX_RANK];
    for (size_t i = 0; i < count; i++) {
        if (want.varies[axis[i]])
            return (count == want.rank && correct_parts(r, k, &want)) ||
                   fail(r->was->f, "%s: its size has an open length and a width that is cut",
                        r->at->output[0]);
        list[i] = (int64_t)want.dim[axis[i]];
    }
    return set_numbers(r, k, count, list);
}

bool correct_sizes(writer *r)
{
    const tensor *y = output_before(r, 0);
    size_t axis[MAX_RANK];
    return !y || correct_lengths(r, 3, resized_axes(r->at, y->dims.rank, axis), axis);
}

bool correct_unpool(writer *r)
{
    const tensor *y = output_before(r, 0);
    size_t axis[MAX_RANK];
    for (size_t i = 0; i < MAX_RANK; i++) axis[i] = i;
    return !y || correct_lengths(r, 2, y->dims.rank, axis);
}

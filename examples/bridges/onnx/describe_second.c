/*
 * Tensors with two axes of channels: hidden units over tokens.
 *
 * A product that sums over positions (tokens, in an MLP-Mixer) lets each channel pass through, and
 * makes new positions. If these positions are read by another product that sums over them, and by
 * nothing else than operators that work element by element on the way, they are hidden units, and
 * may be removed like those of any other layer. The tensors in between then have two axes of
 * channels: their own, and the hidden one, tensor.second.
 *
 * An operator that treats each axis by itself is described twice: once as ever, and once with the
 * two axes exchanged, where operands without a second axis have channels that stay. Any other
 * operator, but for the products and convolutions that sum over the units (describe_mix.c), pins
 * the second axis, which then is one of positions. The two products cost as much for each channel
 * that passes through.
 */
#include <string.h>

#include "describe.h"

static bool is_for_each_axis(const op_kind *kind)
{
    static handler *const EACH[] = {describe_function,   describe_combine,   describe_elementwise,
                                    describe_reciprocal, describe_transpose, describe_identity};
    for (size_t i = 0; kind && i < sizeof EACH / sizeof *EACH; i++)
        if (kind->describe == EACH[i]) return true;
    return false;
}

static bool has_second(const net *n, const node_proto *node)
{
    for (size_t k = 0; k < node->n_input; k++) {
        const tensor *t = net_input(n, node, k);
        if (is_flow(t) && t->second.value.id) return true;
    }
    return false;
}

void pin_second(net *n, tensor *t, const char *op)
{
    if (!t || !t->second.value.id) return;
    pin_value(n, t->second.value, op);
    t->second = (second_axis){{0}, 0};
}

void pin_seconds(net *n, const node_proto *node)
{
    const op_kind *kind = find_op_kind(node);
    if (is_for_each_axis(kind) ||
        (kind && (kind->describe == describe_matmul || kind->describe == describe_conv)))
        return;
    for (size_t k = 0; k < node->n_input; k++) pin_second(n, net_input(n, node, k), node->op_type);
}

/* What a tensor is while its second axis is described. */
static void exchange(tensor *t, const char *op)
{
    const second_axis first = {t->value, t->axis};
    const tensor was = *t;
    t->value = was.second.value.id ? was.second.value : was.value;
    t->axis = was.second.value.id ? was.second.axis : was.axis;
    t->second = first;
    t->zeroable = false;
    t->inner = t->outer = 0;
    if (!was.second.value.id) t->pinned = op;
}

enum { MOST_OPERANDS = 8 };

/* Describes the second axes of operands that a handler has just described the first ones of. */
bool describe_seconds(net *n, const node_proto *node, handler *h)
{
    tensor *y = net_output(n, node, 0), *operands[MOST_OPERANDS], saved[MOST_OPERANDS];
    size_t count = 0;
    if (!is_for_each_axis(find_op_kind(node)) || !has_second(n, node)) return true;
    const tensor first = *y;
    for (size_t k = 0; k < node->n_input; k++) {
        tensor *t = net_input(n, node, k);
        bool known = !is_flow(t);
        for (size_t i = 0; i < count; i++) known |= operands[i] == t;
        if (known) continue;
        if (count == MOST_OPERANDS) break;
        saved[count] = *t;
        operands[count++] = t;
    }
    for (size_t i = 0; i < count; i++) exchange(operands[i], node->op_type);
    y->value = (mskp_value){0};
    y->unnamed = true;
    bool good = node->n_input <= MOST_OPERANDS && h(n, node) && is_flow(y) && !y->pinned &&
                y->axis != first.axis;
    const second_axis second = {y->value, y->axis};
    for (size_t i = 0; i < count; i++) *operands[i] = saved[i];
    *y = first;
    if (good && !y->pinned)
        y->second = second;
    else
        for (size_t i = 0; i < count; i++) pin_second(n, operands[i], node->op_type);
    return good;
}

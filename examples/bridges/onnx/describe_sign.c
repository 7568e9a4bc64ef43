/*
 * Signs of what flows: whether all numbers of a tensor are positive, or at least not negative, in
 * any network that has the same nodes, and so also where channels are set to zero.
 *
 * A divisor may lose channels only if it stays positive (a norm's root of a mean of squares plus
 * epsilon). A maximum over channels may lose channels that are zero only if no number is negative.
 */
#include <math.h>
#include <string.h>

#include "describe.h"

sign sign_of(const net *n, tensor *t)
{
    if (!t) return ANY_SIGN;
    if (is_flow(t)) return t->sign;
    const numbers *x = known_numbers(n, t); /* several numbers may be cut, and set to zero */
    if (!x || x->count != 1 || !(x->real || x->whole)) return ANY_SIGN;
    const double number = x->real ? x->real[0] : (double)x->whole[0];
    return number > 0 ? POSITIVE : number >= 0 ? NOT_NEGATIVE : ANY_SIGN;
}

static sign least(sign a, sign b)
{
    return a < b ? a : b;
}

static sign most(sign a, sign b)
{
    return a > b ? a : b;
}

static sign input_sign(const net *n, const node_proto *node, size_t k)
{
    return sign_of(n, net_input(n, node, k));
}

static bool is_even(const net *n, tensor *power)
{
    const numbers *x = power ? known_numbers(n, power) : NULL;
    if (!x || x->count != 1 || !(x->real || x->whole)) return false;
    const double p = x->real ? x->real[0] : (double)x->whole[0];
    return p > 0 && !(fabs(fmod(p, 2)) > 0);
}

static sign clip_sign(const net *n, const node_proto *node)
{
    const sign x = input_sign(n, node, 0);
    if (n->m->opset >= 11) {
        const sign low = input_sign(n, node, 1), high = input_sign(n, node, 2);
        const bool limited = net_input(n, node, 2) != NULL;
        return limited ? least(high, most(x, low)) : most(x, low);
    }
    const double low = attribute_float(node, "min", -1), high = attribute_float(node, "max", 1);
    const sign at_least = low > 0 ? POSITIVE : low >= 0 ? NOT_NEGATIVE : ANY_SIGN;
    return high > 0 ? most(x, at_least) : ANY_SIGN;
}

/* The sign of a function of the node's operands. */
static sign node_sign(const net *n, const node_proto *node)
{
    static const char *const NEVER_NEGATIVE[] = {
        "Abs",      "Relu",     "Sigmoid",         "Exp", "Softplus", "Softmax", "HardSigmoid",
        "ReduceL1", "ReduceL2", "ReduceSumSquare", NULL};
    static const char *const SAME[] = {
        "Sqrt",    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "Identity",
        "Reshape", "Flatten",   "Transpose",  "Squeeze",   "Unsqueeze", "Expand",
        "Tile",    "Slice",     "Gather",     "Split",     NULL};
    /* A small number may become 0. */
    static const char *const SAME_BUT_SMALL[] = {
        "MaxPool",       "AveragePool", "GlobalAveragePool",
        "GlobalMaxPool", "Cast",        "CastLike",
        "Dropout",       "Reciprocal",  NULL};
    const sign a = input_sign(n, node, 0), b = input_sign(n, node, 1);
    for (size_t i = 0; NEVER_NEGATIVE[i]; i++)
        if (is_op(node, NEVER_NEGATIVE[i])) return NOT_NEGATIVE;
    for (size_t i = 0; SAME[i]; i++)
        if (is_op(node, SAME[i])) return a;
    for (size_t i = 0; SAME_BUT_SMALL[i]; i++)
        if (is_op(node, SAME_BUT_SMALL[i])) {
            const tensor *y = net_output(n, node, 0);
            const bool wide = y && (y->type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
                                    y->type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE);
            return is_op(node, "Cast") && wide ? a : least(a, NOT_NEGATIVE);
        }
    if (is_op(node, "Clip")) return clip_sign(n, node);
    if (is_op(node, "Pow")) return is_even(n, net_input(n, node, 1)) ? NOT_NEGATIVE : ANY_SIGN;
    if (node->n_input != 2) return ANY_SIGN;
    if (is_op(node, "Mul") && net_input(n, node, 0) == net_input(n, node, 1)) return NOT_NEGATIVE;
    if (is_op(node, "Mul") || is_op(node, "Div")) return least(least(a, b), NOT_NEGATIVE);
    if (is_op(node, "Min")) return least(a, b);
    if (is_op(node, "Max")) return most(a, b);
    if (is_op(node, "Add")) return least(a, b) == ANY_SIGN ? ANY_SIGN : most(a, b);
    return ANY_SIGN;
}

void set_signs(net *n, const node_proto *node)
{
    for (size_t k = 0; k < node->n_output; k++) {
        tensor *t = net_output(n, node, k);
        if (t && is_flow(t)) t->sign = k && !is_op(node, "Split") ? ANY_SIGN : node_sign(n, node);
    }
}

/*
 * Describes operators that cannot be corrected, because the network runs elsewhere and the model is
 * a picture of it (mskp_onnx_options.fixed). What the model states as a number, the network may
 * state as a number, too, or compute from a width; the model does not tell. So what is described
 * here holds either way, or the network fails where it runs:
 *
 * - parts of equal widths lose the channels at the same positions: n parts stay n equal parts;
 * - parts of other widths, channels by index and repeated channels stay;
 * - zeros that a Pad adds stay, and the channels between them may leave;
 * - channels of which a mean is computed stay, because no factor can be put behind it;
 * - hidden units over tokens stay;
 * - the groups of a shuffle lose the same channels (describe_shape.c).
 *
 * Where channels are split into heads, whole heads leave, as elsewhere. The host states their
 * number anew.
 */
#include "describe.h"

/* Whether the node works along the axis of channels that may leave. */
static bool takes_channels(const net *n, const node_proto *node, int64_t otherwise)
{
    const tensor *x = net_input(n, node, 0);
    size_t axis;
    return is_flow(x) && !x->pinned &&
           to_axis(attribute_int(node, "axis", otherwise), x->dims.rank, &axis) && axis == x->axis;
}

/* Ties position p of each of the equal parts that these channels have. */
static void tie_parts(net *n, mskp_value value, size_t channels, size_t length)
{
    const mskp_value first = mskp_slice(n->graph, NULL, value, 0, length);
    for (size_t at = length; at < channels; at += length)
        mskp_tie(n->graph, first, mskp_slice(n->graph, NULL, value, at, length));
}

bool fixed_split(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    size_t length = 0;
    if (!takes_channels(n, node, 0)) return describe_split(n, node);
    for (size_t k = 0; k < node->n_output; k++) {
        const tensor *y = net_output(n, node, k);
        if (!y || !y->sized || (k && y->dims.dim[x->axis] != length)) return false;
        length = y->dims.dim[x->axis];
    }
    if (!describe_split(n, node)) return false;
    tie_parts(n, x->value, x->dims.dim[x->axis], length);
    return true;
}

bool fixed_slice(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    slicing s;
    if (!is_flow(x) || x->pinned || x->axis >= x->dims.rank ||
        x->dims.dim[x->axis] == y->dims.dim[x->axis])
        return describe_slice(n, node);
    if (!node_slicing(n, node, &x->dims, &s)) return false;
    const size_t channels = x->dims.dim[x->axis], length = s.count[x->axis];
    if (!length || channels % length || (size_t)s.start[x->axis] % length ||
        !describe_slice(n, node))
        return false;
    tie_parts(n, x->value, channels, length);
    return true;
}

bool fixed_gather(net *n, const node_proto *node)
{
    return !takes_channels(n, node, 0) && describe_gather(n, node);
}

/* Pins channels that a Pad has added. */
static void pin_part(net *n, const node_proto *node, mskp_value value, size_t first, size_t count)
{
    if (!count) return;
    mskp_tie(n->graph, mskp_slice(n->graph, NULL, value, first, count),
             new_pinned(n, node->op_type, count, 0, NULL));
}

bool fixed_pad(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    padding p;
    if (!describe_pad(n, node)) return false;
    if (!is_flow(y) || y->pinned || y->axis >= y->dims.rank) return true;
    if (!node_pads(n, node, x->dims.rank, &p)) return false;
    const size_t before = (size_t)p.before[y->axis], after = (size_t)p.after[y->axis];
    pin_part(n, node, y->value, 0, before);
    pin_part(n, node, y->value, y->dims.dim[y->axis] - after, after);
    return true;
}

bool fixed_expand(net *n, const node_proto *node)
{
    return !repeats_channel(n, node) && describe_expand(n, node);
}

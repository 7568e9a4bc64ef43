/*
 * Describes operators that give the same elements another shape: Reshape, Flatten, Squeeze,
 * Unsqueeze, Transpose, Expand.
 *
 * A Reshape divides into groups of axes: the first axes of the input and the first axes of the
 * output whose lengths have the same product, then the next ones, and so on. Only the group with
 * the channels matters. Within the group:
 *
 * - one axis of the input longer than 1, and one of the output: the channels have another axis
 *   number, and nothing else changes.
 * - several of the output (channels split into heads, or the batch and heads that were merged): one
 *   of these axes has the channels from now on. Each of its channels is tied to all input channels
 *   that became part of it. In memory the group is positions x channels x positions, and an axis of
 *   the output covers a part of this product: the channels go to the first axis with several of
 *   them that nothing behind takes apart (describe_ahead.c).
 * - several of the input (channels and positions merged): the output's axis has a channel for each
 *   element, and those that come from one input channel are tied. Where the order is that of a
 *   flattened image, mskp_flatten says the same.
 *
 * A tensor remembers the factors of its axis (outer, inner), so that a later Reshape finds the
 * channels among them. Ties are made from the elements, not from the factors: wrong factors would
 * cost units, and never make a cut wrong.
 *
 * Reshape, Transpose, Reshape that shuffles channels is described by mskp_channel_shuffle.
 */
#include <stdlib.h>
#include <string.h>

#include "describe.h"

static size_t inner_of(const tensor *t)
{
    return t->inner ? t->inner : 1;
}

static bool moved(net *n, const tensor *x, tensor *y, size_t axis)
{
    set_flow(n, y, x->value, axis);
    y->pinned = x->pinned;
    return true;
}

bool describe_transpose(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    tensor *y = net_output(n, node, 0);
    const attribute_proto *perm = node_attribute(node, "perm");
    size_t axis = NO_AXIS;
    if (!is_flow(x)) return false;
    for (size_t k = 0; k < y->dims.rank; k++)
        if ((perm ? (size_t)perm->ints[k] : y->dims.rank - 1 - k) == x->axis) axis = k;
    return moved(n, x, y, axis);
}

/* The group with the channels: axes first_x .. end_x-1 of x become axes first_y .. end_y-1 of y. */
typedef struct group {
    size_t first_x, end_x, first_y, end_y;
} group;

static bool find_group(const dims *x, size_t axis, const dims *y, group *g)
{
    size_t i = 0, j = 0;
    while (i < x->rank) {
        size_t px = x->dim[i], py = 1;
        *g = (group){.first_x = i++, .first_y = j};
        while (px != py) {
            if (py < px && j < y->rank)
                py *= y->dim[j++];
            else if (px < py && i < x->rank)
                px *= x->dim[i++];
            else
                return false;
        }
        g->end_x = i;
        g->end_y = j;
        if (axis >= g->first_x && axis < i) return true;
    }
    return false;
}

/* How many of these axes have an open length. */
static size_t open_axes(const dims *d, size_t first, size_t end)
{
    size_t count = 0;
    for (size_t k = first; k < end; k++) count += d->varies[k] != 0;
    return count;
}

/* Whether at most one of these axes has an open length, and all axes before it have length 1. */
static bool is_outermost(const dims *d, size_t first, size_t end)
{
    bool any = false;
    for (size_t k = first; k < end; k++) {
        if (d->varies[k] && any) return false;
        any |= d->varies[k] || d->dim[k] != 1;
    }
    return true;
}

/* Whether an open length N of x stands right before the group, and has length 1. */
static bool comes_first(const dims *x, size_t first, uint8_t varies)
{
    while (first && x->dim[first - 1] == 1 && !x->varies[first - 1]) first--;
    return first && varies > 1 && x->varies[first - 1] == varies && x->dim[first - 1] == 1;
}

/* The product of the axes that come before the first open one of the group; *end <- that one. */
static size_t fixed_part(const dims *d, size_t first, size_t last, size_t *end)
{
    for (*end = first; *end < last && !d->varies[*end]; ++*end)
        ;
    return product_of(d, first, *end);
}

/* Whether the group begins with axes of fixed lengths that have the channels on both sides, and the
 * product of those on one side divides the product of those on the other one. Whatever the other
 * axes of the group are, each index of the side with the larger product then belongs to one index
 * of the other side: [C, H, W] and [G, C / G * H * W], for example. *axes <- how many axes of y
 * these are. */
static bool begins_fixed(const dims *x, size_t axis, const dims *y, const group *g, size_t *axes)
{
    size_t end_x, end_y, first_y = g->first_y;
    while (first_y < g->end_y && y->dim[first_y] == 1 && !y->varies[first_y]) first_y++;
    if (first_y < g->end_y && y->varies[first_y] && comes_first(x, g->first_x, y->varies[first_y]))
        first_y++;
    const size_t all_x = fixed_part(x, g->first_x, g->end_x, &end_x);
    const size_t all_y = fixed_part(y, first_y, g->end_y, &end_y);
    *axes = end_y;
    return axis < end_x && all_x > 1 && all_y > 1 && (all_x % all_y == 0 || all_y % all_x == 0);
}

/* Whether the group is regrouped in the same way for every value of an open length N. This is so if
 * the group does not contain N, if N comes first on both sides (N may be an axis of x before the
 * group), or if N comes behind the channels. */
static bool is_same_for_all(const dims *x, const dims *y, const group *g)
{
    const size_t in = open_axes(x, g->first_x, g->end_x), out = open_axes(y, g->first_y, g->end_y);
    size_t k = g->first_x;
    if (!is_outermost(x, k, g->end_x) || !is_outermost(y, g->first_y, g->end_y)) return false;
    if (in || !out) return in == out;
    while (k && x->dim[k - 1] == 1 && !x->varies[k - 1]) k--;
    return k && x->varies[k - 1] && x->dim[k - 1] == 1 &&
           open_axes(x, 0, k) > open_axes(y, 0, g->first_y);
}

/* The part of axis k of y that is made of channels of x. The group lies in memory as positions, the
 * channels, positions: an index of a channel stands for `low` elements behind it, and axis k covers
 * a range of the same kind. *length <- how many indices of the axis are then different channels,
 * with *inner equal ones behind each other; 1: the axis holds positions only. */
static size_t carried(const tensor *x, const dims *y, const group *g, size_t k, size_t *inner)
{
    const size_t channels = x->dims.dim[x->axis] / (x->outer ? x->outer : 1) / inner_of(x);
    const size_t low = product_of(&x->dims, x->axis + 1, g->end_x) * inner_of(x);
    const size_t behind = product_of(y, k + 1, g->end_y), high = behind * y->dim[k];
    const size_t first = low > behind ? low : behind;
    const size_t last = low * channels < high ? low * channels : high;
    *inner = first / behind;
    return last > first ? last / first : 1;
}

/* Which axis before `end` has the channels from now on: the first one with several of them that
 * nothing behind takes apart. */
static size_t choose(const net *n, const tensor *x, const tensor *y, const group *g, size_t end)
{
    size_t first = NO_AXIS, best = NO_AXIS, inner;
    for (size_t k = g->first_y; k < end; k++) {
        if (y->dims.dim[k] == 1) continue;
        if (first == NO_AXIS) first = k;
        if (carried(x, &y->dims, g, k, &inner) < 2) continue;
        if (best == NO_AXIS) best = k;
        if (!is_taken_apart(n, y, k)) return k;
    }
    return best == NO_AXIS ? first : best;
}

/* States which factor of the axis of y has the channels. */
static void set_factors(const tensor *x, tensor *y, const group *g, size_t axis)
{
    size_t inner;
    const size_t channels = carried(x, &y->dims, g, axis, &inner), length = y->dims.dim[axis];
    const bool even = inner && length % (inner * channels) == 0;
    y->inner = even ? inner : 1;
    y->outer = even ? length / (inner * channels) : 1;
}

static size_t common_divisor(size_t a, size_t b)
{
    while (b) {
        const size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Makes new channels on `axis` of y. Each is tied to the channels of x of all elements of the group
 * that become part of it. Elements come in runs that stay together on both sides, and one element
 * of each run is enough. */
static mskp_value regroup(net *n, const tensor *x, const tensor *y, const group *g, size_t axis)
{
    const size_t behind_x = product_of(&x->dims, x->axis + 1, g->end_x);
    const size_t behind_y = product_of(&y->dims, axis + 1, g->end_y);
    const size_t run = common_divisor(behind_x, behind_y);
    const size_t inner = behind_x / run, after = behind_y / run;
    const size_t channels = x->dims.dim[x->axis];
    const size_t all = product_of(&x->dims, g->first_x, g->end_x) / run;
    const size_t length = y->dims.dim[axis], each = length * after;
    const size_t before = each ? all / each : 0;
    size_t spatial[MSKP_MAX_SPATIAL];
    if (!before || !inner || all > 4 * MOST_CHANNELS) return (mskp_value){0};
    size_t *at = try_malloc(length * sizeof *at);
    if (!at) return (mskp_value){0};
    const uint32_t ns = layout(n, &y->dims, axis, spatial);
    const mskp_value fresh = mskp_fresh(n->graph, NULL, length, ns, spatial);
    uint64_t seen = 0; /* a hash of the last list; lists repeat from position to position */
    for (size_t b = 0; b < before; b++)
        for (size_t a = 0; a < after; a++) {
            uint64_t hash = 0;
            for (size_t k = 0; k < length; k++) {
                at[k] = ((b * length + k) * after + a) / inner % channels;
                hash = hash * UINT64_C(0x100000001b3) + at[k] + 1;
            }
            if ((b || a) && hash == seen) continue;
            seen = hash;
            mskp_tie(n->graph, fresh, mskp_pick(n->graph, NULL, x->value, length, at));
        }
    free(at);
    return fresh;
}

static size_t positions_of(const net *n, mskp_value value)
{
    size_t spatial[MSKP_MAX_SPATIAL], p = 1;
    const uint32_t ns = mskp_value_shape(n->graph, value, NULL, spatial);
    for (uint32_t i = 0; i < ns; i++) p *= spatial[i];
    return p;
}

/* All elements of the group become channels on one axis. */
static mskp_value merge(net *n, const tensor *x, const tensor *y, const group *g, size_t axis)
{
    const size_t inner = product_of(&x->dims, x->axis + 1, g->end_x);
    const size_t outer = product_of(&x->dims, g->first_x, x->axis);
    size_t spatial[MSKP_MAX_SPATIAL], p = 1;
    const uint32_t ns = layout(n, &y->dims, axis, spatial);
    for (uint32_t i = 0; i < ns; i++) p *= spatial[i];
    if (product_of(&x->dims, g->first_x, g->end_x) > MOST_CHANNELS) return (mskp_value){0};
    if (positions_of(n, x->value) == inner * outer) { /* otherwise the batch is among them */
        if (p == 1 && outer == 1) return mskp_flatten(n->graph, value_name(y), x->value, 0);
        if (p == 1 && inner == 1) return mskp_flatten(n->graph, value_name(y), x->value, 1);
    }
    return regroup(n, x, y, g, axis);
}

/* ---- Channel shuffle: [g x c] -> [g, c] -> [c, g] -> [g x c] ---- */

static const node_proto *only_consumer(const net *n, const tensor *t, const char *op, size_t *at)
{
    if (t->uses != 1 || !t->consumer) return NULL;
    *at = t->consumer - 1;
    const node_proto *node = n->m->graph->node[*at];
    return is_op(node, op) && net_input(n, node, 0) == t ? node : NULL;
}

static bool swaps(const node_proto *node, size_t first, size_t rank)
{
    const attribute_proto *perm = node_attribute(node, "perm");
    if (!perm || perm->n_ints != rank) return false;
    for (size_t k = 0; k < rank; k++) {
        const size_t want = k == first ? first + 1 : k == first + 1 ? first : k;
        if (perm->ints[k] != (int64_t)want) return false;
    }
    return true;
}

/* Whether the target shape was computed from a width, perhaps from the width of another tensor. */
static bool states_width(const net *n, const node_proto *node)
{
    const tensor *t = net_input(n, node, 1);
    for (size_t i = 0; t && i < t->follow_count; i++)
        if (follows_width(n, &t->follows[i])) return true;
    return false;
}

static bool describe_shuffle(net *n, const tensor *x, const tensor *y, const group *g)
{
    size_t turn, join, first = g->first_y;
    while (first < g->end_y && y->dims.dim[first] == 1) first++; /* a batch of one */
    if (g->end_y - first != 2 || g->end_x - g->first_x != 1 ||
        open_axes(&y->dims, first, first + 2))
        return false;
    const node_proto *transpose = only_consumer(n, y, "Transpose", &turn);
    if (!transpose || !swaps(transpose, first, y->dims.rank)) return false;
    const node_proto *back = only_consumer(n, net_output(n, transpose, 0), "Reshape", &join);
    tensor *z = back ? net_output(n, back, 0) : NULL;
    if (!z || !z->sized || z->dims.rank != x->dims.rank) return false;
    for (size_t k = 0; k < x->dims.rank; k++)
        if (z->dims.dim[k] != x->dims.dim[k]) return false;
    if (states_width(n, n->m->graph->node[n->node]) || states_width(n, back)) return false;
    shuffle *more = try_realloc(n->shuffles, (n->shuffle_count + 1) * sizeof *more);
    if (!more) return false;
    n->shuffles = more;
    more[n->shuffle_count++] = (shuffle){join, x->name, y->dims.dim[first + 1]};
    n->done[n->node] = n->done[turn] = DONE_WITHIN;
    n->done[join] = DONE;
    set_flow(n, z,
             mskp_channel_shuffle(n->graph, value_name(z), x->value, y->dims.dim[first], !n->fixed),
             x->axis);
    z->zeroable = is_zeroable(x);
    return true;
}

/* ---- Reshape, Flatten, Squeeze, Unsqueeze ---- */

bool describe_reshape(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    group g;
    if (!is_flow(x)) return false;
    if (x->pinned || x->dims.dim[x->axis] == 1) {
        set_pinned(n, y, x->pinned ? x->pinned : node->op_type);
        return true;
    }
    if (!find_group(&x->dims, x->axis, &y->dims, &g)) return false;
    const bool same = is_same_for_all(&x->dims, &y->dims, &g);
    size_t long_x = 0, long_y = 0, axis = NO_AXIS, fixed = 0;
    if (!same && !begins_fixed(&x->dims, x->axis, &y->dims, &g, &fixed)) return false;
    for (size_t k = g.first_x; k < g.end_x; k++) long_x += x->dims.dim[k] != 1;
    for (size_t k = g.first_y; k < g.end_y; k++) {
        if (y->dims.dim[k] == 1) continue;
        long_y++;
        axis = k;
    }
    if (same && long_x == 1 && long_y == 1) return moved(n, x, y, axis);
    if (same && long_x == 1 && describe_shuffle(n, x, y, &g)) return true;
    if (long_y > 1) axis = choose(n, x, y, &g, same ? g.end_y : fixed);
    if (axis == NO_AXIS || (!same && axis >= fixed)) return false;
    const mskp_value value = long_y == 1 ? merge(n, x, y, &g, axis) : regroup(n, x, y, &g, axis);
    if (!value.id) return false;
    set_flow(n, y, value, axis);
    set_factors(x, y, &g, axis);
    return true;
}

/* The axis along which Expand repeats one channel; NO_AXIS: there is none. Each copy may be
 * removed; the channel that is repeated stays. */
static size_t repeated_axis(const tensor *x, const tensor *y)
{
    const size_t lead = y->dims.rank - x->dims.rank;
    const size_t axis = x->pinned ? 1 : x->axis + lead;
    if (axis >= y->dims.rank || y->dims.dim[axis] < 2 || y->dims.varies[axis]) return NO_AXIS;
    return axis < lead || x->dims.dim[axis - lead] == 1 ? axis : NO_AXIS;
}

bool repeats_channel(const net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    return is_flow(x) && repeated_axis(x, net_output(n, node, 0)) != NO_AXIS;
}

bool describe_expand(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    size_t spatial[MSKP_MAX_SPATIAL];
    if (!is_flow(x)) return false;
    const size_t axis = x->axis + y->dims.rank - x->dims.rank, copies = repeated_axis(x, y);
    if (copies != NO_AXIS && y->dims.dim[copies] <= MOST_CHANNELS) {
        const uint32_t ns = layout(n, &y->dims, copies, spatial);
        pin(n, x, node->op_type);
        set_flow(n, y, mskp_fresh(n->graph, value_name(y), y->dims.dim[copies], ns, spatial),
                 copies);
        return true;
    }
    if (x->pinned) {
        set_pinned(n, y, x->pinned);
        return true;
    }
    if (x->dims.dim[x->axis] != y->dims.dim[axis]) return false;
    set_flow(n, y, resize_positions(n, x->value, &y->dims, axis, true), axis);
    return true;
}

/* Copies behind each other, of positions or of channels. */
bool describe_tile(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    tensor *y = net_output(n, node, 0);
    if (!is_flow(x)) return false;
    leave_data(n, 1);
    if (x->pinned) {
        set_pinned(n, y, x->pinned);
        return true;
    }
    const size_t axis = x->axis, channels = x->dims.dim[axis], length = y->dims.dim[axis];
    mskp_value value = x->value;
    if (length != channels) {
        size_t *at = length <= MOST_CHANNELS ? try_malloc(length * sizeof *at) : NULL;
        if (!at) return false;
        for (size_t k = 0; k < length; k++) at[k] = k % channels;
        value = mskp_pick(n->graph, NULL, value, length, at);
        free(at);
        y->inner = inner_of(x);
        y->outer = (x->outer ? x->outer : 1) * (length / channels);
    }
    set_flow(n, y, resize_positions(n, value, &y->dims, axis, true), axis);
    return true;
}

/*
 * Describes the network to mskp, node by node, in the order of the file. describe_network is at
 * the end. operators.c names the function for each operator, and the other describe_*.c have these
 * functions. This file has what they share:
 *
 * - values: what flows in a tensor becomes a value of mskp's graph, with the tensor's axis of
 *   channels, and all other axes as positions;
 * - parameters: data of the file that a node uses become parameters of mskp's graph, so that they
 *   are cut with the channels;
 * - what cannot be described: an operator without a function, or a node for which the function
 *   returns false, pins everything that it reads. If something else reads the data of a parameter
 *   in a way that cannot follow a cut, all axes of the parameter are pinned.
 */
#include "describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Values ---- */

const char *value_name(const tensor *t)
{
    if (t->unnamed) return NULL;
    for (const char *c = t->name; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 127) return NULL;
    return t->name;
}

bool is_image(const net *n, const dims *d, size_t axis)
{
    return axis == 1 && d->rank >= 2 && d->rank <= 2 + MSKP_MAX_SPATIAL &&
           (d->dim[0] == n->batch || d->dim[0] == 1);
}

static size_t positions(const net *n, const dims *d, size_t axis)
{
    size_t p = 1;
    for (size_t k = 0; k < d->rank; k++)
        if (k != axis) p *= d->dim[k];
    return p % n->batch ? p : p / n->batch;
}

uint32_t layout(const net *n, const dims *d, size_t axis, size_t spatial[MSKP_MAX_SPATIAL])
{
    if (is_image(n, d, axis)) {
        memcpy(spatial, d->dim + 2, (d->rank - 2) * sizeof *spatial);
        return (uint32_t)d->rank - 2;
    }
    spatial[0] = positions(n, d, axis);
    return spatial[0] != 1;
}

static mskp_value tied_to(net *n, mskp_value value, uint32_t nspatial, const size_t *spatial)
{
    size_t channels;
    mskp_value_shape(n->graph, value, &channels, NULL);
    const mskp_value fresh = mskp_fresh(n->graph, NULL, channels, nspatial, spatial);
    mskp_tie(n->graph, fresh, value);
    return fresh;
}

mskp_value tied(net *n, mskp_value value, const dims *d, size_t axis)
{
    size_t spatial[MSKP_MAX_SPATIAL];
    const uint32_t ns = layout(n, d, axis, spatial);
    return tied_to(n, value, ns, spatial);
}

mskp_value fit_to(net *n, mskp_value value, uint32_t nspatial, const size_t *spatial)
{
    size_t channels, have[MSKP_MAX_SPATIAL], p = 1, q = 1;
    const uint32_t nhave = mskp_value_shape(n->graph, value, &channels, have);
    bool same = nhave == nspatial;
    for (uint32_t i = 0; i < nhave; i++) p *= have[i];
    for (uint32_t i = 0; i < nspatial; i++) q *= spatial[i];
    for (uint32_t i = 0; same && i < nhave; i++) same = have[i] == spatial[i];
    if (same) return value;
    return p == q ? mskp_reshape(n->graph, NULL, value, nspatial, spatial)
                  : tied_to(n, value, nspatial, spatial);
}

mskp_value fit(net *n, mskp_value value, const dims *d, size_t axis)
{
    size_t spatial[MSKP_MAX_SPATIAL];
    const uint32_t ns = layout(n, d, axis, spatial);
    return fit_to(n, value, ns, spatial);
}

/* The same channels with p positions on one axis. */
static mskp_value resize_flat(net *n, mskp_value value, size_t p, bool keeps)
{
    size_t channels, have[MSKP_MAX_SPATIAL], all = 1;
    const uint32_t nhave = mskp_value_shape(n->graph, value, &channels, have);
    for (uint32_t i = 0; i < nhave; i++) all *= have[i];
    const mskp_value flat = mskp_reshape(n->graph, NULL, value, 1, &all);
    const mskp_pool_desc desc = {
        .kind = MSKP_POOL_RESIZE, .keeps_constants = keeps, .spatial = {p}};
    return mskp_pool(n->graph, NULL, flat, &desc);
}

mskp_value with_positions(net *n, mskp_value value, size_t p)
{
    return resize_flat(n, value, p, true);
}

mskp_value resize_positions(net *n, mskp_value value, const dims *d, size_t axis, bool keeps)
{
    size_t want[MSKP_MAX_SPATIAL], q = 1;
    const uint32_t nwant = layout(n, d, axis, want);
    for (uint32_t i = 0; i < nwant; i++) q *= want[i];
    return mskp_reshape(n->graph, NULL, resize_flat(n, value, q, keeps), nwant, want);
}

mskp_value image_value(net *n, tensor *x, size_t *images)
{
    if (!is_flow(x) || x->dims.rank < 3 || x->dims.rank > 2 + MSKP_MAX_SPATIAL)
        return (mskp_value){0};
    const mskp_value in = channels_on(n, x, 1);
    *images = 1;
    if (!in.id || is_image(n, &x->dims, 1)) return in.id ? fit(n, in, &x->dims, 1) : in;
    dims one = x->dims;
    *images = one.dim[0] % n->batch ? one.dim[0] : one.dim[0] / n->batch;
    one.dim[0] = 1;
    return resize_positions(n, in, &one, 1, true);
}

/* The operator's name as a word that mskp accepts. */
static const char *word(const char *op, char to[MSKP_MAX_OP + 1])
{
    size_t used = 0;
    for (; op && *op && used < MSKP_MAX_OP; op++) {
        const unsigned char c = (unsigned char)*op;
        to[used++] = (char)(c > ' ' && c < 127 ? c : '_');
    }
    to[used] = 0;
    return used ? to : "unknown";
}

void set_flow(net *n, tensor *t, mskp_value value, size_t axis)
{
    if (!t) return;
    t->value = t->sized ? fit(n, value, &t->dims, axis) : value;
    t->axis = axis;
}

/* Remembers why a value is pinned. op is the op_type of a node, by whose address the list finds the
 * node, or a word of this program. */
static mskp_value because(net *n, mskp_value value, const char *op)
{
    if (value.id > n->reason_capacity) {
        const size_t capacity = 2 * (size_t)value.id + 64;
        const char **more = try_realloc(n->reasons, capacity * sizeof *more);
        if (!more) return value;
        memset(more + n->reason_capacity, 0, (capacity - n->reason_capacity) * sizeof *more);
        n->reasons = more;
        n->reason_capacity = capacity;
    }
    if (value.id) n->reasons[value.id - 1] = op;
    return value;
}

static mskp_value opaque(net *n, const char *name, const char *op, size_t inputs,
                         const mskp_value *in, const dims *d, size_t axis)
{
    char buffer[MSKP_MAX_OP + 1];
    size_t spatial[MSKP_MAX_SPATIAL] = {1};
    const uint32_t ns = d ? layout(n, d, axis, spatial) : 0;
    const mskp_opaque_desc desc = {.op = word(op, buffer),
                                   .n = inputs,
                                   .inputs = in,
                                   .channels = d && axis < d->rank ? d->dim[axis] : 1,
                                   .nspatial = ns,
                                   .spatial = spatial};
    return because(n, mskp_opaque(n->graph, name, &desc), op);
}

mskp_value new_pinned(net *n, const char *op, size_t channels, uint32_t nspatial,
                      const size_t *spatial)
{
    char buffer[MSKP_MAX_OP + 1];
    const mskp_opaque_desc desc = {
        .op = word(op, buffer), .channels = channels, .nspatial = nspatial, .spatial = spatial};
    return because(n, mskp_opaque(n->graph, NULL, &desc), op);
}

void set_pinned(net *n, tensor *t, const char *op)
{
    if (!t) return;
    const bool many = t->sized && t->dims.rank > 1 && t->dims.dim[1] > MOST_CHANNELS;
    t->axis = t->sized && t->dims.rank > 1 && !many ? 1 : NO_AXIS;
    t->value = opaque(n, value_name(t), op, 0, NULL, t->sized ? &t->dims : NULL, t->axis);
    t->pinned = op ? op : "?";
}

void pin_value(net *n, mskp_value value, const char *op)
{
    (void)opaque(n, NULL, op, 1, &value, NULL, NO_AXIS);
}

void pin(net *n, tensor *t, const char *op)
{
    if (!is_flow(t) || t->pinned) return;
    pin_second(n, t, op);
    pin_value(n, t->value, op);
    t->pinned = op;
}

mskp_value channels_on(net *n, tensor *t, size_t axis)
{
    if (t->axis == axis) return t->value;
    if (!t->pinned) return (mskp_value){0};
    return opaque(n, NULL, t->pinned, 0, NULL, &t->dims, axis);
}

bool pass_channels(net *n, const node_proto *node, bool other_size)
{
    const tensor *x = net_input(n, node, 0);
    tensor *y = net_output(n, node, 0);
    const mskp_activation_desc desc = {.kind = MSKP_ACTIVATION_CUSTOM};
    mskp_value value =
        mskp_activation(n->graph, other_size ? NULL : value_name(y), x->value, &desc);
    if (other_size) value = resize_positions(n, value, &y->dims, x->axis, false);
    set_flow(n, y, value, x->axis);
    y->pinned = x->pinned;
    return true;
}

bool is_zeroable(const tensor *t)
{
    return is_flow(t) && !t->pinned && t->zeroable;
}

bool zero_always(net *n, const node_proto *node)
{
    (void)n;
    (void)node;
    return true;
}

bool zero_same(net *n, const node_proto *node)
{
    return is_zeroable(net_input(n, node, 0));
}

/* ---- Parameters ---- */

static weight *new_weight(net *n, tensor_proto *data)
{
    if (n->weight_count == n->weight_capacity) {
        const size_t capacity = 2 * n->weight_capacity + 64;
        weight *more = try_realloc(n->weights, capacity * sizeof *more);
        if (!more) return NULL;
        n->weights = more;
        n->weight_capacity = capacity;
    }
    weight *w = &n->weights[n->weight_count++];
    *w = (weight){.data = data};
    return w;
}

/* The weight that the tensor's data have, if any. */
static weight *find_weight(const net *n, const tensor *t)
{
    const size_t at = n->tensors[t->root].weight;
    return at ? &n->weights[at - 1] : NULL;
}

static weight *the_weight(net *n, const tensor *t)
{
    weight *w = find_weight(n, t);
    if (!w && (w = new_weight(n, t->data)) != NULL) n->tensors[t->root].weight = n->weight_count;
    return w;
}

void leave_data(net *n, size_t k)
{
    n->taken |= UINT64_C(1) << (k < 63 ? k : 63);
}

bool is_shared(const tensor *t)
{
    return t->shared || t->uses > 1;
}

/* Whether the tensor repeats its data along an axis. */
static bool is_repeated(const tensor *t)
{
    for (size_t k = 0; k < t->dims.rank; k++)
        if (t->from[k] == NO_AXIS && (t->dims.dim[k] != 1 || t->dims.varies[k])) return true;
    return false;
}

/* Makes a copy of a vector for this node alone. */
static tensor_proto *own_copy(net *n, const tensor *t, const node_proto *node, size_t k, weight *w)
{
    char name[400];
    const int used = snprintf(name, sizeof name, "%.300s/%zu/%zu", t->name, n->node, k);
    if (used < 0 || (size_t)used >= sizeof name || net_tensor(n, name)) return NULL;
    if (t->type && t->type != t->data->data_type)
        return NULL; /* the copy would be of another type */
    w->original = try_malloc(strlen(node->input[k]) + 1);
    if (!w->original) return NULL;
    memcpy(w->original, node->input[k], strlen(node->input[k]) + 1);
    tensor_proto *copy = model_add_copy(n->m, t->data, name, t->dims.rank, t->dims.dim);
    if (!copy || !model_set_string(&((node_proto *)node)->input[k], name)) return NULL;
    w->user = (node_proto *)node;
    w->input = k;
    return copy;
}

/* The name of the parameter: the tensor's name, or, where mskp would refuse that, a changed name
 * with a number behind it. */
static const char *param_name(const net *n, const tensor_proto *data, const tensor *t,
                              char buffer[400])
{
    const tensor *root = &n->tensors[t->root];
    const char *name = data != root->data && data->name ? data->name : root->name;
    size_t used = 0;
    bool same = true;
    for (; name[used] && used < 350; used++) {
        const bool good = (unsigned char)name[used] > ' ' && name[used] != 127;
        buffer[used] = (char)(good ? name[used] : '_');
        same &= good;
    }
    buffer[used] = 0;
    if (name[used] || !same) snprintf(buffer + used, 50, "#%zu", n->weight_count);
    return buffer;
}

static bool declare(net *n, weight *w, const tensor *t, size_t ndim, const size_t *axes)
{
    char buffer[400];
    size_t size[MSKP_MAX_DIMS];
    w->ndim = (uint32_t)ndim;
    for (size_t j = 0; j < ndim; j++) {
        w->order[j] = (uint32_t)t->from[axes[j]];
        size[j] = t->dims.dim[axes[j]];
    }
    w->locked |= n->fixed && t->root >= n->m->graph->n_initializer; /* the host has it elsewhere */
    w->param = mskp_parameter(n->graph, param_name(n, w->data, t, buffer), w->ndim, size);
    return w->param.id != 0;
}

static bool same_order(const weight *w, const tensor *t, size_t ndim, const size_t *axes)
{
    bool same = w->ndim == ndim;
    for (size_t j = 0; same && j < ndim; j++) same = w->order[j] == t->from[axes[j]];
    return same;
}

/* Whether every axis of the data that is longer than 1 is among these axes, once, with its full
 * length. */
static bool covers(const tensor *t, size_t ndim, const size_t *axes)
{
    size_t all = 1;
    for (size_t j = 0; j < ndim; j++) {
        const size_t from = t->from[axes[j]];
        if (from == NO_AXIS || (size_t)t->data->dims[from] != t->dims.dim[axes[j]]) return false;
        for (size_t i = 0; i < j; i++)
            if (t->from[axes[i]] == from) return false;
        all *= t->dims.dim[axes[j]];
    }
    return all == tensor_elements(t->data);
}

mskp_param take_param(net *n, const node_proto *node, size_t k, size_t ndim, const size_t *axes)
{
    tensor *t = net_input(n, node, k);
    if (!t || !t->data || !ndim || ndim > MSKP_MAX_DIMS || !is_real(t->data) ||
        !covers(t, ndim, axes))
        return (mskp_param){0};
    leave_data(n, k);
    if (ndim == 1 && !n->fixed && is_shared(t) && !is_repeated(t) && k < node->n_input) {
        weight *own = new_weight(n, NULL);
        if (own) own->data = own_copy(n, t, node, k, own);
        if (!own || !own->data || !declare(n, own, t, ndim, axes)) return (mskp_param){0};
        own->order[0] = (uint32_t)axes[0]; /* the copy has the tensor's axes */
        return own->param;
    }
    weight *w = the_weight(n, t);
    if (!w) return (mskp_param){0};
    if (!w->param.id && !declare(n, w, t, ndim, axes)) return (mskp_param){0};
    if (!same_order(w, t, ndim, axes)) {
        w->locked = true;
        return (mskp_param){0};
    }
    return w->param;
}

void pin_axes(net *n, const tensor *t, mskp_param param, uint32_t channels)
{
    const weight *w = is_shared(t) ? find_weight(n, t) : NULL;
    for (uint32_t d = 0; w && w->param.id == param.id && d < w->ndim; d++) {
        const size_t length = (size_t)w->data->dims[w->order[d]];
        if (!(channels >> d & 1) && length > 1)
            mskp_bind(n->graph, param, d, MSKP_ROLE_OTHER,
                      new_pinned(n, "shared", length, 0, NULL));
    }
}

bool take_vector(net *n, const node_proto *node, size_t k, size_t length, mskp_param *param)
{
    const tensor *t = net_input(n, node, k);
    *param = (mskp_param){0};
    if (!t) return k >= node->n_input || !*node->input[k];
    for (size_t axis = 0; t->data && t->sized && axis < t->dims.rank; axis++)
        if (t->from[axis] != NO_AXIS && t->dims.dim[axis] == length &&
            tensor_elements(t->data) == length) {
            *param = take_param(n, node, k, 1, &axis);
            return param->id != 0;
        }
    return false;
}

void lock_data(net *n, const tensor *t)
{
    weight *w = t->data ? the_weight(n, t) : NULL;
    if (w) w->locked = true;
}

/* Pins all axes of data that something reads in a way that cannot follow a cut. */
static void pin_locked(net *n)
{
    for (size_t i = 0; i < n->weight_count; i++) {
        const weight *w = &n->weights[i];
        for (uint32_t axis = 0; w->locked && w->param.id && axis < w->ndim; axis++) {
            const size_t length = (size_t)w->data->dims[w->order[axis]];
            mskp_bind(n->graph, w->param, axis, MSKP_ROLE_OTHER,
                      new_pinned(n, "shared", length, 0, NULL));
        }
    }
}

/* ---- What is not known ---- */

/* Pins the widths that these numbers follow, because an operator needs the numbers as they are. */
static void pin_followed(net *n, const tensor *t, const char *op)
{
    for (size_t i = 0; i < t->follow_count; i++)
        if (follows_width(n, &t->follows[i])) pin(n, &n->tensors[t->follows[i].tensor], op);
}

static void pin_named(net *n, const char *name, const char *op)
{
    tensor *t = net_tensor(n, name);
    if (!t) return;
    pin(n, t, op);
    lock_data(n, t);
    pin_followed(n, t, op);
}

/* Pins a tensor because of the node that is being described. */
static void pin_read(void *context, const char *name)
{
    net *n = context;
    pin_named(n, name, n->m->graph->node[n->node]->op_type);
}

static bool reads_flow(const net *n, const node_proto *node)
{
    for (size_t k = 0; k < node->n_input; k++)
        if (is_flow(net_input(n, node, k))) return true;
    return false;
}

static bool has_graphs(const node_proto *node)
{
    for (size_t k = 0; k < node->n_attribute; k++)
        if (node->attribute[k]->g || node->attribute[k]->n_graphs) return true;
    return false;
}

/* Pins everything that the node reads, and everything that it makes unless these are known
 * numbers. */
static void describe_unknown(net *n, const node_proto *node)
{
    const bool flows = reads_flow(n, node) || has_graphs(node);
    for (size_t k = 0; k < node->n_input; k++) pin_named(n, node->input[k], node->op_type);
    model_names_within(node, pin_read, n);
    for (size_t k = 0; k < node->n_output; k++) {
        tensor *t = net_output(n, node, k);
        if (t && !t->known && (flows || !t->sized)) set_pinned(n, t, node->op_type);
    }
    add_cost(n, node);
}

/* ---- All nodes ---- */

/* Pins widths whose numbers the node computes with, unless the node states a width with them and
 * can be corrected. */
static void pin_computed_with(net *n, const node_proto *node)
{
    const op_kind *kind = find_op_kind(node);
    for (size_t k = 0; k < node->n_input; k++) {
        const tensor *t = net_input(n, node, k);
        if (!t || !t->follow_count) continue;
        if (!kind || !kind->follows || !kind->follows(n, node, k))
            pin_followed(n, t, node->op_type);
    }
}

static bool all_sized(const net *n, const node_proto *node)
{
    for (size_t k = 0; k < node->n_input; k++) {
        const tensor *t = net_input(n, node, k);
        if (t && !t->sized) return false;
    }
    const tensor *y = net_output(n, node, 0);
    return y && y->sized && !y->stated;
}

static bool is_real_type(int32_t type)
{
    return type && is_real(&(tensor_proto){.data_type = type});
}

/* Whether the node is a Cast from real numbers to real numbers. */
static bool casts_reals(const net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    return (is_op(node, "Cast") || is_op(node, "CastLike")) && x && y && is_real_type(x->type) &&
           is_real_type(y->type);
}

bool net_alias(net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0);
    tensor *y = net_output(n, node, 0);
    const bool moves = is_op(node, "Transpose");
    const bool same = is_op(node, "Identity") || casts_reals(n, node);
    const bool shapes = is_op(node, "Reshape") || is_op(node, "Unsqueeze") ||
                        is_op(node, "Squeeze") || is_op(node, "Flatten") || is_op(node, "Expand");
    if (!x || !x->data || !y || !y->sized || !(moves || same || shapes)) return false;
    const attribute_proto *perm = node_attribute(node, "perm");
    size_t from[MAX_RANK], i = 0;
    for (size_t k = 0; k < y->dims.rank; k++) {
        if (moves) {
            from[k] = x->from[perm ? (size_t)perm->ints[k] : y->dims.rank - 1 - k];
        } else if (same) {
            from[k] = x->from[k];
        } else if (is_op(node, "Expand")) { /* axes are aligned at the last one */
            const size_t lead = y->dims.rank - x->dims.rank;
            const bool same_length = k >= lead && x->dims.dim[k - lead] == y->dims.dim[k];
            from[k] = same_length && y->dims.dim[k] != 1 ? x->from[k - lead] : NO_AXIS;
        } else {
            while (i < x->dims.rank && x->dims.dim[i] == 1 && y->dims.dim[k] != 1) i++;
            const bool found = i < x->dims.rank && x->dims.dim[i] == y->dims.dim[k];
            if (!found && y->dims.dim[k] != 1) return false;
            from[k] = found && x->dims.dim[i] != 1 ? x->from[i] : NO_AXIS;
            if (found) i++;
        }
    }
    y->data = x->data;
    y->shared = is_shared(x);
    y->root = x->root;
    memcpy(y->from, from, sizeof from);
    n->taken = UINT64_MAX;
    return true;
}

static void lock_inputs(net *n, const node_proto *node)
{
    for (size_t k = 0; k < node->n_input; k++) {
        const tensor *t = net_input(n, node, k);
        if (t) lock_data(n, t);
    }
}

/* Pins channels whose axis contains an open length, too, because their places are not known. */
static void pin_open(net *n, const node_proto *node)
{
    for (size_t k = 0; k < node->n_input; k++) {
        tensor *t = net_input(n, node, k);
        if (is_flow(t) && t->axis < t->dims.rank && t->sized && t->dims.varies[t->axis])
            pin(n, t, node->op_type);
    }
}

/* Data that are repeated along an open length (learned queries, for each image), or with which a
 * node computes that was not computed before (a Resize of a table of places), flow from here on,
 * with their channels on the last axis, or on the axis of an image. */
static void let_flow(net *n, const node_proto *node, size_t k)
{
    tensor *t = net_input(n, node, k);
    size_t axes[MAX_RANK], count = 0, which = 0, spatial[MSKP_MAX_SPATIAL];
    bool open = false;
    if (!t || !t->data || !t->sized || !t->dims.rank || tensor_elements(t->data) < 2) return;
    const size_t axis = t->dims.rank > 3 ? 1 : t->dims.rank - 1;
    for (size_t i = 0; i < t->dims.rank; i++) {
        open |= t->dims.varies[i] != 0;
        if (t->from[i] == NO_AXIS || (t->dims.dim[i] == 1 && i != axis)) continue;
        if (i == axis) which = count;
        axes[count++] = i;
    }
    if ((!open && n->fixed) || t->from[axis] == NO_AXIS || count > MSKP_MAX_DIMS) return;
    const mskp_param param = take_param(n, node, k, count, axes);
    if (!param.id) return;
    pin_axes(n, t, param, UINT32_C(1) << which);
    const uint32_t ns = layout(n, &t->dims, axis, spatial);
    t->value = mskp_param_operand(n->graph, value_name(t), param, (uint32_t)which, MSKP_ROLE_FILTER,
                                  ns, spatial);
    t->axis = axis;
    t->data = NULL;
    t->root = (size_t)(t - n->tensors);
    t->zeroable = true;
}

/* Whether a node that nothing flows into may have a description. */
static bool reads_data(const net *n, const node_proto *node)
{
    const tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    return (is_op(node, "Gather") || is_op(node, "GatherND") || is_op(node, "Slice")) && x &&
           x->data && y && y->sized && is_real(x->data);
}

/* The axis of channels of a result is the product that it is in the first operand with as many
 * channels. (Which factor has the channels matters where a Reshape splits the axis; wrong ones
 * would cost units, and nothing else.) */
static void keep_factors(const net *n, const node_proto *node)
{
    for (size_t o = 0; o < node->n_output; o++) {
        tensor *y = net_output(n, node, o);
        if (!is_flow(y) || y->pinned || y->inner || y->axis >= y->dims.rank) continue;
        for (size_t k = 0; k < node->n_input && !y->inner; k++) {
            const tensor *x = net_input(n, node, k);
            if (!is_flow(x) || x->pinned || x->axis >= x->dims.rank || !x->inner ||
                x->dims.dim[x->axis] != y->dims.dim[y->axis])
                continue;
            y->inner = x->inner;
            y->outer = x->outer;
        }
    }
}

static void describe_node(net *n, const node_proto *node)
{
    const op_kind *kind = find_op_kind(node);
    handler *h = !kind ? NULL : n->fixed && kind->fixed ? kind->fixed : kind->describe;
    const tensor *y = net_output(n, node, 0);
    n->taken = 0;
    if (net_alias(n, node) || describe_stored(n, node)) return;
    if (y && y->known && !has_graphs(node)) { /* arithmetic on shapes */
        lock_inputs(n, node);
        return;
    }
    if (!reads_flow(n, node) && !reads_data(n, node) && h && all_sized(n, node))
        for (size_t k = 0; k < node->n_input; k++) let_flow(n, node, k);
    if (!reads_flow(n, node) && !has_graphs(node) && !reads_data(n, node)) {
        lock_inputs(n, node);
        pin_computed_with(n, node);
        for (size_t k = 0; k < node->n_output; k++) {
            tensor *t = net_output(n, node, k);
            if (t && !t->sized) set_pinned(n, t, node->op_type);
        }
        return;
    }
    pin_computed_with(n, node);
    const size_t weights = n->weight_count;
    if (kind && !kind->open) pin_open(n, node);
    pin_seconds(n, node);
    if (!h || has_graphs(node) || !all_sized(n, node) || !take_lowered(n, node) || !h(n, node)) {
        for (size_t i = weights; i < n->weight_count; i++) n->weights[i].locked = true;
        describe_unknown(n, node);
        return;
    }
    for (size_t k = 0; k < node->n_output && kind->zero; k++) {
        tensor *t = net_output(n, node, k);
        if (is_flow(t) && !t->pinned)
            t->zeroable = kind->zero(n, node) && is_zero_point_known(n, node);
    }
    keep_factors(n, node);
    set_signs(n, node);
    round_lowered(n, node);
    (void)describe_seconds(n, node, h);
    for (size_t k = 0; k < node->n_input; k++) {
        const tensor *t = net_input(n, node, k);
        if (t && !(n->taken >> (k < 63 ? k : 63) & 1)) lock_data(n, t);
    }
}

static void describe_inputs(net *n)
{
    const graph_proto *g = n->m->graph;
    for (size_t i = 0; i < g->n_input; i++) {
        tensor *t = net_tensor(n, g->input[i]->name);
        if (t->data || is_flow(t)) continue;
        set_pinned(n, t, "input");
    }
    for (size_t i = 0; i < g->n_sparse_initializer; i++) {
        const tensor_proto *values = g->sparse_initializer[i]->values;
        tensor *t = values ? net_tensor(n, values->name) : NULL;
        if (t) set_pinned(n, t, "sparse");
    }
}

bool describe_network(net *n)
{
    const graph_proto *g = n->m->graph;
    describe_inputs(n);
    for (n->node = 0; n->node < g->n_node; n->node++)
        if (!n->done[n->node]) describe_node(n, g->node[n->node]);
    for (size_t i = 0; i < g->n_output; i++) {
        tensor *t = net_tensor(n, g->output[i]->name);
        if (is_flow(t)) mskp_output(n->graph, t->value);
        pin_named(n, t->name, "output");
    }
    pin_locked(n);
    return true;
}

/*
 * Cuts the network in memory. First the data of parameters are cut. Then the program passes over
 * all nodes once more, in order: it infers shapes and numbers anew from what is there now, and
 * corrects a node that states a width which is no longer true. At the end every tensor must have
 * the shape that the plan gives; otherwise rewrite_network fails, and no file is written.
 *
 * How a node is corrected depends on what it states: the target of a Reshape or Expand, starts and
 * ends of a Slice, parts of a Split, indices of a Gather, widths of a Pad, sizes of a Resize,
 * groups of a convolution. New numbers become new initializers, because other nodes may read the
 * old ones. A channel shuffle becomes a Gather.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mskp/tools.h"
#include "operators.h"

/* The result of a mean over channels is multiplied by a factor from now on. */
typedef struct mend {
    node_proto *node;
    int32_t type;
    double factor;
} mend;

struct writer {
    net *was; /* the network as described */
    net now;  /* the network as inferred anew */
    const mskp_plan *plan;
    const node_proto *at; /* the node that is being corrected */
    size_t made;          /* new initializers */
    mend *mends;
    size_t mend_count;
};

/* ---- Data ---- */

bool network_values(net *n, mskp_tensors values)
{
    mskp_error err;
    for (size_t i = 0; i < n->weight_count; i++) {
        const weight *w = &n->weights[i];
        uint32_t order[MSKP_MAX_DIMS];
        mskp_dtype dtype;
        void *data;
        if (!w->param.id || w->param.id > values.n) continue;
        if (!tensor_writable(n->m, w->data, &data, &dtype, n->f)) return false;
        /* Declared axes in the order in which they lie in memory. */
        for (uint32_t j = 0; j < w->ndim; j++) {
            uint32_t place = 0;
            for (uint32_t i2 = 0; i2 < w->ndim; i2++) place += w->order[i2] < w->order[j];
            order[place] = j;
        }
        if (mskp_param_view(n->graph, w->param, order, data, dtype,
                            mskp_tensor_of(values, w->param), &err))
            return fail(n->f, "%s", err.text);
    }
    return true;
}

static size_t kept(const mskp_plan *plan, const weight *w, uint32_t j, size_t length)
{
    size_t count = 0;
    mskp_plan_param_kept(plan, w->param, j, &count);
    return count ? count : length;
}

static void shrink(writer *r)
{
    net *n = r->was;
    for (size_t i = 0; i < n->weight_count; i++) {
        const weight *w = &n->weights[i];
        size_t size[MAX_RANK];
        bool changed = false;
        if (!w->param.id) continue;
        for (size_t k = 0; k < w->data->n_dims; k++) size[k] = (size_t)w->data->dims[k];
        for (uint32_t j = 0; j < w->ndim; j++) {
            const size_t left = kept(r->plan, w, j, size[w->order[j]]);
            changed |= left != size[w->order[j]];
            size[w->order[j]] = left;
        }
        if (changed) tensor_shrink(n->m, w->data, w->data->n_dims, size);
    }
}

/* Lets nodes read the original again where their copy of a vector was neither cut nor changed. */
static bool drop_copies(writer *r)
{
    net *n = r->was;
    for (size_t i = 0; i < n->weight_count; i++) {
        weight *w = &n->weights[i];
        const tensor *original = w->user ? net_tensor(n, w->original) : NULL;
        if (!original || !tensor_same(n->m, w->data, original->data)) continue;
        if (!model_set_string(&w->user->input[w->input], w->original))
            return fail(n->f, "no memory for a name");
    }
    return true;
}

/* ---- What each tensor must be ---- */

static size_t width(const writer *r, mskp_value value, size_t length)
{
    size_t count = 0;
    mskp_plan_value_kept(r->plan, value, &count);
    return count ? count : length;
}

static const weight *weight_of(const net *n, const tensor *t)
{
    const size_t at = t->data ? n->tensors[t->root].weight : 0;
    return at && n->weights[at - 1].param.id ? &n->weights[at - 1] : NULL;
}

/* *d <- the shape that the tensor must have after the cut. False: it is not known. */
static bool expected(const writer *r, const tensor *was, dims *d)
{
    if (!was || !was->sized) return false;
    *d = was->dims;
    if (was->data && quantized_dims(r->was, was->data, d)) return true;
    if (is_flow(was) && was->axis < d->rank && !was->pinned)
        d->dim[was->axis] = width(r, was->value, d->dim[was->axis]);
    if (is_flow(was) && was->second.value.id && was->second.axis < d->rank)
        d->dim[was->second.axis] = width(r, was->second.value, d->dim[was->second.axis]);
    const weight *w = weight_of(r->was, was);
    for (size_t k = 0; w && k < d->rank; k++)
        for (uint32_t j = 0; j < w->ndim; j++)
            if (w->order[j] == was->from[k]) d->dim[k] = kept(r->plan, w, j, d->dim[k]);
    return is_flow(was) || was->data || !was->known;
}

static const tensor *was_output(const writer *r, size_t k)
{
    return net_output(r->was, r->at, k);
}

/* ---- Correcting nodes ---- */

static bool no_memory(const writer *r)
{
    return fail(r->was->f, "no memory to write %s anew", r->at->op_type);
}

/* Input k of the node <- a new initializer with these numbers. */
static bool set_numbers(writer *r, size_t k, size_t count, const int64_t *list)
{
    node_proto *node = (node_proto *)r->at;
    char name[400];
    snprintf(name, sizeof name, "%.300s/mskp/%zu", r->at->output[0], k);
    while (net_tensor(&r->now, name))
        snprintf(name, sizeof name, "%.300s/mskp/%zu/%zu", r->at->output[0], k, ++r->made);
    tensor_proto *t = model_add_integers(r->was->m, name, 1, &count, list);
    if (!t || !net_adopt(&r->now, t)) return no_memory(r);
    while (node->n_input <= k) {
        char **more = try_realloc(node->input, (node->n_input + 1) * sizeof *more);
        if (!more) return no_memory(r);
        node->input = more;
        more[node->n_input] = NULL;
        if (!model_set_string(&more[node->n_input], "")) return no_memory(r);
        node->n_input++;
    }
    return model_set_string(&node->input[k], name) || no_memory(r);
}

static bool set_attribute(writer *r, const char *name, size_t count, const int64_t *list)
{
    node_proto *node = (node_proto *)r->at;
    attribute_proto *a = (attribute_proto *)node_attribute(node, name);
    if (!a && !(a = node_add_attribute(node, name))) return no_memory(r);
    int64_t *more = try_realloc(a->ints, (count + 1) * sizeof *more);
    if (!more) return no_memory(r);
    memcpy(more, list, count * sizeof *more);
    a->ints = more;
    a->n_ints = count;
    a->has_type = 1;
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    return true;
}

static void remove_attribute(node_proto *node, const char *name)
{
    for (size_t k = 0; k < node->n_attribute; k++)
        if (!strcmp(node->attribute[k]->name, name)) {
            protobuf_c_message_free_unpacked(&node->attribute[k]->base, model_allocator());
            node->attribute[k] = node->attribute[--node->n_attribute];
            return;
        }
}

static bool is_same(const dims *a, const dims *b)
{
    bool same = a->rank == b->rank;
    for (size_t k = 0; same && k < a->rank; k++) same = a->dim[k] == b->dim[k];
    return same;
}

/* Whether the node, as it is, makes an output of this shape. */
static bool makes(writer *r, const dims *want)
{
    const tensor *t = net_output(&r->now, r->at, 0);
    return infer_node(&r->now, r->at) && t && t->sized && is_same(&t->dims, want);
}

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
    return good && makes(r, want);
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
    if (!expected(r, was_output(r, 0), &want) || makes(r, &want)) return true;
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

/* Changes one number of a list that is an operand or, in old opsets, an attribute. */
static bool correct_list(writer *r, size_t k, const char *attribute, bool by_attribute,
                         size_t index, int64_t number)
{
    tensor *t = by_attribute ? NULL : net_input(&r->now, r->at, k);
    const attribute_proto *a = by_attribute ? node_attribute(r->at, attribute) : NULL;
    const numbers *x = t ? known_numbers(&r->now, t) : NULL;
    const size_t count = x ? x->count : a ? a->n_ints : 0;
    const int64_t *list = x ? x->whole : a ? a->ints : NULL;
    if (!list || index >= count)
        return fail(r->was->f, "%s: what it is cut by is not known", r->at->output[0]);
    int64_t *copy = try_malloc((count + 1) * sizeof *copy);
    if (!copy) return no_memory(r);
    memcpy(copy, list, count * sizeof *copy);
    copy[index] = number;
    const bool good =
        by_attribute ? set_attribute(r, attribute, count, copy) : set_numbers(r, k, count, copy);
    free(copy);
    return good;
}

/* The index of an axis in a node's list of axes. */
static size_t axis_index(writer *r, size_t k, bool by_attribute, size_t axis, size_t rank)
{
    tensor *t = by_attribute ? NULL : net_input(&r->now, r->at, k);
    const attribute_proto *a = by_attribute ? node_attribute(r->at, "axes") : NULL;
    const numbers *x = t ? known_numbers(&r->now, t) : NULL;
    const size_t count = x ? x->count : a ? a->n_ints : 0;
    const int64_t *list = x ? x->whole : a ? a->ints : NULL;
    size_t at, found = list ? SIZE_MAX : axis;
    for (size_t i = 0; i < count; i++)
        if (to_axis(list[i], rank, &at) && at == axis) found = i;
    return found;
}

/* Makes operand k INT64, because all numbers of a Slice must have the same type and new numbers are
 * INT64. */
static bool widen(writer *r, size_t k)
{
    tensor *t = net_input(&r->now, r->at, k);
    const numbers *x = t ? known_numbers(&r->now, t) : NULL;
    return !x || x->type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ||
           set_numbers(r, k, x->count, x->whole);
}

bool correct_slice(writer *r)
{
    const tensor *x = net_input(r->was, r->at, 0), *y = was_output(r, 0);
    slicing was, now;
    if (!is_flow(x) || x->pinned || x->axis >= x->dims.rank ||
        !node_slicing(r->was, r->at, &x->dims, &was))
        return true;
    const size_t axis = x->axis, first = (size_t)was.start[axis];
    if (x->dims.dim[axis] == y->dims.dim[axis] &&
        !first) { /* all channels, perhaps written as a slice to the end */
        dims want;
        if (!expected(r, y, &want) || makes(r, &want)) return true;
    }
    const size_t before = mskp_plan_channels_kept(r->plan, x->value, 0, first);
    const size_t count = mskp_plan_channels_kept(r->plan, x->value, first, was.count[axis]);
    const tensor *x_now = net_input(&r->now, r->at, 0);
    if (node_slicing(&r->now, r->at, &x_now->dims, &now) && (size_t)now.start[axis] == before &&
        now.count[axis] == count)
        return true;
    for (size_t k = 0; k < x->dims.rank; k++)
        if (was.open[k])
            return fail(r->was->f, "%s: it cuts at an open length and at a width that is cut",
                        r->at->output[0]);
    const bool old = r->was->m->opset < 10;
    const size_t index = axis_index(r, 3, old, axis, x->dims.rank);
    return correct_list(r, 1, "starts", old, index, (int64_t)before) &&
           correct_list(r, 2, "ends", old, index, (int64_t)(before + count)) &&
           (old || (widen(r, 3) && widen(r, 4)));
}

bool correct_split(writer *r)
{
    const tensor *x = net_input(r->was, r->at, 0);
    const tensor *x_now = net_input(&r->now, r->at, 0);
    size_t axis, first = 0;
    if (!is_flow(x) || x->pinned ||
        !to_axis(attribute_int(r->at, "axis", 0), x->dims.rank, &axis) || axis != x->axis)
        return true;
    const size_t parts = r->at->n_output;
    size_t *now = try_calloc(parts + 1, sizeof *now);
    int64_t *want = try_calloc(parts + 1, sizeof *want);
    bool good = now && want;
    bool same = good && node_parts(&r->now, r->at, x_now->dims.dim[axis], parts, now);
    for (size_t k = 0; good && k < parts; k++) {
        const size_t length = was_output(r, k)->dims.dim[axis];
        want[k] = (int64_t)mskp_plan_channels_kept(r->plan, x->value, first, length);
        same = same && now[k] == (size_t)want[k];
        first += length;
    }
    if (good && !same) {
        remove_attribute((node_proto *)r->at, "num_outputs");
        good = r->was->m->opset < 13 ? set_attribute(r, "split", parts, want)
                                     : set_numbers(r, 1, parts, want);
    } else if (!good) {
        no_memory(r);
    }
    free(now);
    free(want);
    return good;
}

/* Input 1 of the node <- for each channel that is left of `out`, its place among the channels that
 * are left of `in`. place[i] is the channel of `in` that channel i of `out` was before the cut. */
static bool set_places(writer *r, mskp_value in, size_t in_length, mskp_value out,
                       size_t out_length, const int64_t *place)
{
    uint32_t *map = try_malloc((in_length + 1) * sizeof *map);
    int64_t *list = try_malloc((out_length + 1) * sizeof *list);
    size_t count = 0;
    bool good = map && list;
    if (good && mskp_plan_value_map(r->plan, in, in_length, map, NULL)) good = false;
    const uint32_t *left = good ? mskp_plan_value_kept(r->plan, out, &count) : NULL;
    for (size_t i = 0; good && i < count; i++) {
        const int64_t old = place[left ? left[i] : i];
        list[i] = map[old];
        good = map[old] != MSKP_REMOVED;
    }
    good = good ? set_numbers(r, 1, count, list)
                : fail(r->was->f, "%s: channels that stay are made of some that are removed",
                       r->at->output[0]);
    free(map);
    free(list);
    return good;
}

bool correct_gather(writer *r)
{
    const tensor *x = net_input(r->was, r->at, 0), *y = was_output(r, 0);
    size_t axis;
    if (!is_flow(x) || x->pinned ||
        !to_axis(attribute_int(r->at, "axis", 0), x->dims.rank, &axis) || axis != x->axis ||
        !is_flow(y))
        return true;
    const size_t length = x->dims.dim[axis];
    const numbers *k = known_numbers(r->was, net_input(r->was, r->at, 1));
    if (width(r, x->value, length) == length) return true;
    int64_t *place = try_malloc((k->count + 1) * sizeof *place);
    if (!place) return no_memory(r);
    for (size_t i = 0; i < k->count; i++)
        place[i] = k->whole[i] < 0 ? k->whole[i] + (int64_t)length : k->whole[i];
    const bool good = set_places(r, x->value, length, y->value, k->count, place);
    free(place);
    return good;
}

/* The last node of a shuffle becomes a Gather that does what the three nodes did. */
static bool correct_shuffle(writer *r, const shuffle *s)
{
    node_proto *node = (node_proto *)r->at;
    const tensor *x = net_tensor(r->was, s->source), *y = was_output(r, 0);
    const size_t axis = x->axis, length = x->dims.dim[axis];
    if (width(r, x->value, length) == length) return true;
    const size_t each = s->each, groups = length / each; /* the result is [each][groups] */
    int64_t *place = try_malloc((length + 1) * sizeof *place);
    if (!place) return no_memory(r);
    for (size_t i = 0; i < length; i++) place[i] = (int64_t)(i % groups * each + i / groups);
    while (node->n_attribute) remove_attribute(node, node->attribute[0]->name);
    const int64_t at = (int64_t)axis;
    attribute_proto *a = node_add_attribute(node, "axis");
    bool good = a && model_set_string(&node->op_type, "Gather") &&
                model_set_string(&node->input[0], s->source);
    if (a) {
        a->has_i = a->has_type = 1;
        a->i = at;
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    }
    good = good ? set_places(r, x->value, length, y->value, length, place) : no_memory(r);
    free(place);
    return good;
}

bool correct_pad(writer *r)
{
    const tensor *x = net_input(r->was, r->at, 0), *y = was_output(r, 0);
    padding p;
    if (!is_flow(x) || x->pinned || x->axis >= x->dims.rank ||
        !node_pads(r->was, r->at, x->dims.rank, &p))
        return true;
    const size_t axis = x->axis;
    if (!p.before[axis] && !p.after[axis]) return true;
    const size_t b = mskp_plan_channels_kept(r->plan, y->value, 0, (size_t)p.before[axis]);
    const size_t a = mskp_plan_channels_kept(
        r->plan, y->value, (size_t)p.before[axis] + x->dims.dim[axis], (size_t)p.after[axis]);
    const bool old = r->was->m->opset < 11;
    const size_t index = old ? axis : axis_index(r, 3, false, axis, x->dims.rank);
    tensor *axes = old ? NULL : net_input(&r->now, r->at, 3);
    const size_t listed = axes ? known_numbers(&r->now, axes)->count : x->dims.rank;
    return correct_list(r, 1, "pads", old, index, (int64_t)b) &&
           correct_list(r, 1, "pads", old, index + listed, (int64_t)a);
}

/* Operand k, a list of lengths of the result, <- those after the cut. Entry i is for axis[i]. */
static bool correct_lengths(writer *r, size_t k, size_t count, const size_t *axis)
{
    dims want;
    if (!net_input(&r->now, r->at, k) || !expected(r, was_output(r, 0), &want) || makes(r, &want))
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
    const tensor *y = was_output(r, 0);
    size_t axis[MAX_RANK];
    return !y || correct_lengths(r, 3, resized_axes(r->at, y->dims.rank, axis), axis);
}

bool correct_unpool(writer *r)
{
    const tensor *y = was_output(r, 0);
    size_t axis[MAX_RANK];
    for (size_t i = 0; i < MAX_RANK; i++) axis[i] = i;
    return !y || correct_lengths(r, 2, y->dims.rank, axis);
}

bool correct_groups(writer *r)
{
    const tensor *x = net_input(&r->now, r->at, 0),
                 *w = net_input(&r->now, r->at, is_op(r->at, "QLinearConv") ? 3 : 1);
    attribute_proto *a = (attribute_proto *)node_attribute(r->at, "group");
    dims y;
    if (!a || a->i <= 1 || !x || !w || !expected(r, was_output(r, 0), &y)) return true;
    a->i = is_op(r->at, "ConvTranspose") ? (int64_t)(y.dim[1] / w->dims.dim[1])
                                         : (int64_t)(x->dims.dim[1] / w->dims.dim[1]);
    return true;
}

/* Groups are as wide as before. */
bool correct_group_norm(writer *r)
{
    const tensor *x = net_input(&r->now, r->at, 0), *was = net_input(r->was, r->at, 0);
    attribute_proto *a = (attribute_proto *)node_attribute(r->at, "num_groups");
    if (!a || a->i < 1 || !x || !x->sized || !was->sized || x->dims.rank < 2) return true;
    a->i = (int64_t)(x->dims.dim[1] / (was->dims.dim[1] / (size_t)a->i));
    return true;
}

/* Heads that are part of the last axis are as wide as before. */
bool correct_attention(writer *r)
{
    static const struct {
        const char *name;
        size_t input;
    } HEADS[] = {{"q_num_heads", 0}, {"kv_num_heads", 1}, {"num_heads", 0}};
    for (size_t i = 0; i < sizeof HEADS / sizeof *HEADS; i++) {
        attribute_proto *a = (attribute_proto *)node_attribute(r->at, HEADS[i].name);
        const tensor *x = net_input(&r->now, r->at, HEADS[i].input);
        const tensor *was = net_input(r->was, r->at, HEADS[i].input);
        if (!a || a->i < 1 || !x || !x->sized || !was->sized || x->dims.rank != 3) continue;
        const size_t dim = was->dims.dim[2] / (size_t)a->i;
        if (dim) a->i = (int64_t)(x->dims.dim[2] / dim);
    }
    return true;
}

static bool set_real(writer *r, const char *name, double number)
{
    attribute_proto *a = (attribute_proto *)node_attribute(r->at, name);
    if (!a && !(a = node_add_attribute((node_proto *)r->at, name))) return no_memory(r);
    a->has_f = a->has_type = 1;
    a->f = (float)number;
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    return true;
}

/* A mean over channels of which some leave, all of them zero: the sum stays, and the number by
 * which it is divided does not. A ReduceMean is multiplied by the part of the channels that is
 * left. RMSNormalization divides by the root of a mean of squares plus epsilon, so both epsilon and
 * the result change. */
bool correct_mean(writer *r)
{
    const tensor *x = net_input(r->was, r->at, 0), *y = was_output(r, 0);
    const bool norm = is_op(r->at, "RMSNormalization");
    uint8_t axes[MAX_RANK] = {0};
    bool given = true;
    if (!is_flow(x) || x->pinned || x->axis >= x->dims.rank) return true;
    if (norm ? x->axis + 1 != x->dims.rank
             : !node_axes(r->was, r->at, 1, reduce_since(r->at), x->dims.rank, axes, &given))
        return true;
    const bool none = !given && attribute_int(r->at, "noop_with_empty_axes", 0);
    if (none || (given && !norm && !axes[x->axis])) return true;
    const size_t length = x->dims.dim[x->axis], left = width(r, x->value, length);
    if (left == length) return true;
    mend *more = try_realloc(r->mends, (r->mend_count + 1) * sizeof *more);
    if (!more) return no_memory(r);
    r->mends = more;
    const double part = (double)left / (double)length;
    more[r->mend_count++] =
        (mend){(node_proto *)r->at, y->type ? y->type : x->type, norm ? 1 / sqrt(part) : part};
    return !norm || set_real(r, "epsilon", attribute_float(r->at, "epsilon", 1e-5f) / part);
}

static bool correct(writer *r, size_t index)
{
    const node_proto *node = r->at;
    for (size_t i = 0; i < r->was->shuffle_count; i++)
        if (r->was->shuffles[i].node == index) return correct_shuffle(r, &r->was->shuffles[i]);
    const op_kind *kind = find_op_kind(node);
    return !kind || !kind->correct || kind->correct(r);
}

/* ---- All nodes ---- */

static void shape_text(const dims *d, char *text, size_t capacity)
{
    size_t used = 0;
    *text = 0;
    for (size_t k = 0; k < d->rank && used < capacity; k++)
        used += (size_t)snprintf(text + used, capacity - used, "%s%zu", k ? " x " : "", d->dim[k]);
}

static bool check_outputs(writer *r)
{
    for (size_t k = 0; k < r->at->n_output; k++) {
        const tensor *was = was_output(r, k), *now = net_output(&r->now, r->at, k);
        char a[160], b[160];
        dims want;
        if (!was || (!is_flow(was) && !was->uses) || !expected(r, was, &want)) continue;
        const bool inferred = now->sized && (was->stated || !now->stated);
        if (inferred && is_same(&now->dims, &want)) continue;
        shape_text(&want, a, sizeof a);
        shape_text(&now->dims, b, sizeof b);
        return fail(r->was->f, "%s (%s) would be %s, and must be %s", was->name, r->at->op_type,
                    inferred ? b : "of unknown shape", a);
    }
    return true;
}

static bool rewrite_nodes(writer *r)
{
    const graph_proto *g = r->was->m->graph;
    for (size_t i = 0; i < g->n_node; i++) {
        r->at = g->node[i];
        r->now.node = i;
        const bool within =
            r->was->done[i] == DONE_WITHIN; /* the node will be removed, or stays as it is */
        if ((!within && !correct(r, i)) || !infer_node(&r->now, r->at) ||
            (!within && !check_outputs(r))) {
            r->was->stuck = i + 1;
            return false;
        }
        release_numbers(&r->now, r->at);
    }
    return true;
}

/* ---- Factors behind means ---- */

static node_proto *new_product(const char *name, const char *a, const char *b)
{
    node_proto *node = try_malloc(sizeof *node);
    if (!node) return NULL;
    onnx__node_proto__init(node);
    node->input = try_calloc(2, sizeof *node->input);
    node->output = try_calloc(1, sizeof *node->output);
    node->n_input = node->input ? 2 : 0;
    if (node->input && node->output && model_set_string(&node->op_type, "Mul") &&
        model_set_string(&node->name, name) && model_set_string(&node->input[0], a) &&
        model_set_string(&node->input[1], b))
        return node;
    protobuf_c_message_free_unpacked(&node->base, NULL);
    return NULL;
}

/* Adds a product behind the node: it makes what the node made, by the same name. */
static bool add_mend(net *n, const mend *m)
{
    graph_proto *g = n->m->graph;
    const char *old = m->node->output[0];
    char made[400], factor[400];
    const bool single = m->type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    const double number = single ? (double)(float)m->factor : m->factor;
    snprintf(made, sizeof made, "%.300s/mskp/mean", old);
    snprintf(factor, sizeof factor, "%.300s/mskp/factor", old);
    if (net_tensor(n, made) || net_tensor(n, factor))
        return fail(n->f, "%s: its name is taken", made);
    node_proto **more = try_realloc(g->node, (g->n_node + 1) * sizeof *more);
    if (!more) return fail(n->f, "no memory for a factor behind %s", old);
    g->node = more;
    node_proto *product = new_product(factor, made, factor);
    char *name = NULL;
    if (!product || !model_set_string(&name, made) ||
        !model_add_reals(n->m, factor, m->type, 0, NULL, &number)) {
        if (product) protobuf_c_message_free_unpacked(&product->base, NULL);
        free(name);
        return fail(n->f, "no memory for a factor behind %s", old);
    }
    product->output[0] = m->node->output[0];
    product->n_output = 1;
    m->node->output[0] = name;
    size_t at = 0;
    while (g->node[at] != m->node) at++;
    memmove(more + at + 2, more + at + 1, (g->n_node - at - 1) * sizeof *more);
    more[at + 1] = product;
    g->n_node++;
    return true;
}

static bool add_mends(writer *r)
{
    bool good = true;
    for (size_t i = 0; good && i < r->mend_count; i++) good = add_mend(r->was, &r->mends[i]);
    return good;
}

/* ---- What nothing reads any more ---- */

static bool take_out(net *n, ProtobufCMessage *message)
{
    removed *more = try_realloc(n->removed, (n->removed_count + 1) * sizeof *more);
    if (!more) return fail(n->f, "no memory for what is not used any more");
    n->removed = more;
    more[n->removed_count++].message = message;
    return true;
}

/* Whether something read the tensor before, and nothing reads it now. */
static bool lost_use(const writer *r, const net *now, const char *name)
{
    const tensor *was = net_tensor(r->was, name), *is = net_tensor(now, name);
    return is && !is->uses && (!was || was->uses);
}

/* *some <- whether nodes were removed. */
static bool remove_nodes(writer *r, const net *now, bool *some)
{
    graph_proto *g = r->was->m->graph;
    size_t left = 0;
    bool good = true; /* after a failure the rest stays, so that no node is lost or there twice */
    *some = false;
    for (size_t i = 0; i < g->n_node; i++) {
        node_proto *node = g->node[i];
        bool lost = node->n_output > 0;
        for (size_t k = 0; lost && k < node->n_output; k++)
            lost = !*node->output[k] || lost_use(r, now, node->output[k]);
        good = good && (!lost || take_out(r->was, &node->base));
        if (!lost || !good)
            g->node[left++] = node;
        else
            *some = true;
    }
    g->n_node = left;
    return good;
}

static bool remove_initializers(writer *r, const net *now)
{
    graph_proto *g = r->was->m->graph;
    size_t left = 0;
    bool good = true;
    for (size_t i = 0; i < g->n_initializer; i++) {
        tensor_proto *t = g->initializer[i];
        bool is_input = false;
        for (size_t k = 0; k < g->n_input; k++) is_input |= !strcmp(g->input[k]->name, t->name);
        const bool lost = !is_input && lost_use(r, now, t->name);
        good = good && (!lost || take_out(r->was, &t->base));
        if (!lost || !good) g->initializer[left++] = t;
    }
    g->n_initializer = left;
    return good;
}

static bool remove_unused(writer *r, const lengths *l)
{
    bool good = true, some = true;
    while (good && some) {
        net now;
        good = net_open(&now, r->was->m, NULL, l, r->was->f) && remove_nodes(r, &now, &some) &&
               (some || remove_initializers(r, &now));
        net_close(&now);
    }
    return good;
}

static void state_shape(const writer *r, Onnx__ValueInfoProto *v)
{
    const tensor *t = net_tensor(&r->now, v->name), *was = net_tensor(r->was, v->name);
    Onnx__TensorShapeProto *s =
        v->type && v->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE &&
                v->type->tensor_type
            ? v->type->tensor_type->shape
            : NULL;
    if (!t || !t->sized || !was || !was->sized || !s || s->n_dim != t->dims.rank) return;
    for (size_t k = 0; k < s->n_dim; k++)
        if (!t->dims.varies[k] && t->dims.dim[k] != was->dims.dim[k] &&
            s->dim[k]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
            s->dim[k]->dim_value = (int64_t)t->dims.dim[k];
}

static void state_shapes(const writer *r)
{
    graph_proto *g = r->was->m->graph;
    for (size_t i = 0; i < g->n_value_info; i++) state_shape(r, g->value_info[i]);
    for (size_t i = 0; i < g->n_output; i++) state_shape(r, g->output[i]);
    for (size_t i = 0; i < g->n_input; i++) state_shape(r, g->input[i]);
}

/* ---- Whole branches ---- */

static mskp_fate fate_of(const writer *r, const tensor *t)
{
    return t && is_flow(t) ? mskp_plan_fate(r->plan, t->value) : MSKP_FATE_STAYS;
}

/* Returns the node that makes a tensor. */
static node_proto *producer_of(const net *n, const tensor *t)
{
    graph_proto *g = n->m->graph;
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            if (net_tensor(n, g->node[i]->output[k]) == t) return g->node[i];
    return NULL;
}

/* Input k of an addition <- the shift that is left of it, as numbers along the axis of channels. */
static bool add_shift(writer *r, node_proto *node, size_t k, const tensor *x)
{
    const node_proto *maker = producer_of(r->was, x);
    char name[400];
    size_t dim[MAX_RANK], rank = x->dims.rank - x->axis;
    for (size_t i = 0; maker && i < maker->n_input; i++) {
        const weight *w = weight_of(r->was, net_input(r->was, maker, i));
        if (!w || w->ndim != 1) continue;
        mskp_plan_param_kept(r->plan, w->param, 0, &dim[0]);
        if (!dim[0]) continue;
        for (size_t d = 1; d < rank; d++) dim[d] = 1;
        snprintf(name, sizeof name, "%.300s/mskp/shift", x->name);
        return (model_add_copy(r->was->m, w->data, name, rank, dim) &&
                model_set_string(&node->input[k], name)) ||
               fail(r->was->f, "no memory to write %s anew", node->output[0]);
    }
    return fail(r->was->f, "%s (%s): what is left of it is not known", x->name,
                maker ? maker->op_type : "");
}

/* Additions and concatenations go without what vanishes; an addition of one operand is a copy. */
static bool take_inputs(writer *r, node_proto *node)
{
    size_t left = 0;
    if (!is_op(node, "Add") && !is_op(node, "Sub") && !is_op(node, "Sum") && !is_op(node, "Concat"))
        return true;
    const size_t n = node->n_input;
    for (size_t k = 0; k < n; k++) {
        const tensor *x = net_input(r->was, node, k);
        if (fate_of(r, x) == MSKP_FATE_VANISHES) {
            free(node->input[k]);
            continue;
        }
        node->input[left] = node->input[k];
        if (fate_of(r, x) == MSKP_FATE_SHIFT && !add_shift(r, node, left, x)) return false;
        left++;
    }
    node->n_input = left;
    if (left < n && left == 1 && !is_op(node, "Concat"))
        return model_set_string(&node->op_type, "Identity") || no_memory(r);
    return true;
}

/* Nodes of branches that vanish are not corrected any more, and remove_unused takes them out. */
static bool take_branches(writer *r)
{
    graph_proto *g = r->was->m->graph;
    for (size_t i = 0; i < g->n_node; i++) {
        node_proto *node = g->node[i];
        r->at = node;
        bool gone = false;
        for (size_t k = 0; k < node->n_output; k++)
            gone = gone || fate_of(r, net_output(r->was, node, k)) != MSKP_FATE_STAYS;
        if (gone)
            r->was->done[i] = DONE_WITHIN;
        else if (!take_inputs(r, node))
            return false;
    }
    return true;
}

/* Refuses a network in which something still reads a tensor that vanished, such as its shape. */
static bool are_taken_out(const writer *r)
{
    const graph_proto *g = r->was->m->graph;
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            if (fate_of(r, net_output(r->was, g->node[i], k)) != MSKP_FATE_STAYS)
                return fail(r->was->f, "%s (%s) vanishes with its branch, but is still read",
                            g->node[i]->output[k], g->node[i]->op_type);
    return true;
}

bool rewrite_network(net *n, const mskp_plan *plan, mskp_tensors values, const lengths *l)
{
    writer r = {.was = n, .plan = plan};
    mskp_error err;
    const mskp_move move = {.from = values};
    if (!cut_quantized(n, plan)) return false;
    if (mskp_plan_cut(plan, 1, &move, &err)) return fail(n->f, "%s", err.text);
    shrink(&r);
    if (!drop_copies(&r) || !take_branches(&r)) return false;
    bool good = net_open(&r.now, n->m, NULL, l, n->f);
    r.now.before = n;
    good = good && rewrite_nodes(&r);
    if (good) state_shapes(&r);
    net_close(&r.now);
    good = good && add_mends(&r);
    free(r.mends);
    return good && remove_unused(&r, l) && are_taken_out(&r);
}

/*
 * Corrects nodes that name channels by their places: starts and ends of a Slice, parts of a Split,
 * indices of a Gather, widths of a Pad. A channel shuffle becomes a Gather.
 */
#include <stdlib.h>
#include <string.h>

#include "rewrite.h"

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
    const tensor *x = net_input(r->was, r->at, 0), *y = output_before(r, 0);
    slicing was, now;
    if (!is_flow(x) || x->pinned || x->axis >= x->dims.rank ||
        !node_slicing(r->was, r->at, &x->dims, &was))
        return true;
    const size_t axis = x->axis, first = (size_t)was.start[axis];
    if (x->dims.dim[axis] == y->dims.dim[axis] &&
        !first) { /* all channels, perhaps written as a slice to the end */
        dims want;
        if (!dims_after(r, y, &want) || makes_dims(r, &want)) return true;
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
        const size_t length = output_before(r, k)->dims.dim[axis];
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
    const tensor *x = net_input(r->was, r->at, 0), *y = output_before(r, 0);
    size_t axis;
    if (!is_flow(x) || x->pinned ||
        !to_axis(attribute_int(r->at, "axis", 0), x->dims.rank, &axis) || axis != x->axis ||
        !is_flow(y))
        return true;
    const size_t length = x->dims.dim[axis];
    const numbers *k = known_numbers(r->was, net_input(r->was, r->at, 1));
    if (width_after(r, x->value, length) == length) return true;
    int64_t *place = try_malloc((k->count + 1) * sizeof *place);
    if (!place) return no_memory(r);
    for (size_t i = 0; i < k->count; i++)
        place[i] = k->whole[i] < 0 ? k->whole[i] + (int64_t)length : k->whole[i];
    const bool good = set_places(r, x->value, length, y->value, k->count, place);
    free(place);
    return good;
}

bool correct_shuffle(writer *r, const shuffle *s)
{
    node_proto *node = (node_proto *)r->at;
    const tensor *x = net_tensor(r->was, s->source), *y = output_before(r, 0);
    const size_t axis = x->axis, length = x->dims.dim[axis];
    if (width_after(r, x->value, length) == length) return true;
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
    const tensor *x = net_input(r->was, r->at, 0), *y = output_before(r, 0);
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

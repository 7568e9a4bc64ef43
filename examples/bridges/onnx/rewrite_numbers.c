/*
 * What the corrections of nodes share: how large a tensor must be after the cut, and how a node
 * gets other numbers. New numbers become new initializers, because other nodes may read the old
 * ones.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rewrite.h"

/* ---- What each tensor must be ---- */

size_t kept_along(const mskp_plan *plan, const weight *w, uint32_t j, size_t length)
{
    size_t count = 0;
    mskp_plan_param_kept(plan, w->param, j, &count);
    return count ? count : length;
}

size_t width_after(const writer *r, mskp_value value, size_t length)
{
    size_t count = 0;
    mskp_plan_value_kept(r->plan, value, &count);
    return count ? count : length;
}

const weight *weight_of(const net *n, const tensor *t)
{
    const size_t at = t->data ? n->tensors[t->root].weight : 0;
    return at && n->weights[at - 1].param.id ? &n->weights[at - 1] : NULL;
}

bool dims_after(const writer *r, const tensor *was, dims *d)
{
    if (!was || !was->sized) return false;
    *d = was->dims;
    if (was->data && quantized_dims(r->was, was->data, d)) return true;
    if (is_flow(was) && was->axis < d->rank && !was->pinned)
        d->dim[was->axis] = width_after(r, was->value, d->dim[was->axis]);
    if (is_flow(was) && was->second.value.id && was->second.axis < d->rank)
        d->dim[was->second.axis] = width_after(r, was->second.value, d->dim[was->second.axis]);
    const weight *w = weight_of(r->was, was);
    for (size_t k = 0; w && k < d->rank; k++)
        for (uint32_t j = 0; j < w->ndim; j++)
            if (w->order[j] == was->from[k]) d->dim[k] = kept_along(r->plan, w, j, d->dim[k]);
    return is_flow(was) || was->data || !was->known;
}

const tensor *output_before(const writer *r, size_t k)
{
    return net_output(r->was, r->at, k);
}

bool same_dims(const dims *a, const dims *b)
{
    bool same = a->rank == b->rank;
    for (size_t k = 0; same && k < a->rank; k++) same = a->dim[k] == b->dim[k];
    return same;
}

bool makes_dims(writer *r, const dims *want)
{
    const tensor *t = net_output(&r->now, r->at, 0);
    return infer_node(&r->now, r->at) && t && t->sized && same_dims(&t->dims, want);
}

/* ---- New numbers ---- */

bool no_memory(const writer *r)
{
    return fail(r->was->f, "no memory to write %s anew", r->at->op_type);
}

bool set_numbers(writer *r, size_t k, size_t count, const int64_t *list)
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

bool set_attribute(writer *r, const char *name, size_t count, const int64_t *list)
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

void remove_attribute(node_proto *node, const char *name)
{
    for (size_t k = 0; k < node->n_attribute; k++)
        if (!strcmp(node->attribute[k]->name, name)) {
            protobuf_c_message_free_unpacked(&node->attribute[k]->base, model_allocator());
            node->attribute[k] = node->attribute[--node->n_attribute];
            return;
        }
}

/*
 * Cuts the network in memory. First the data of parameters are cut. Then the program passes over
 * all nodes once more, in order: it infers shapes and numbers anew from what is there now, and
 * corrects a node that states a width which is no longer true. At the end every tensor must have
 * the shape that the plan gives; otherwise rewrite_network fails, and no file is written.
 *
 * How a node is corrected depends on what it states: rewrite_shape.c, rewrite_places.c,
 * rewrite_groups.c, rewrite_mean.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lower.h"
#include "rewrite.h"

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
            const size_t left = kept_along(r->plan, w, j, size[w->order[j]]);
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

/* ---- All nodes ---- */

static bool correct(writer *r, size_t index)
{
    const node_proto *node = r->at;
    for (size_t i = 0; i < r->was->shuffle_count; i++)
        if (r->was->shuffles[i].node == index) return correct_shuffle(r, &r->was->shuffles[i]);
    const op_kind *kind = find_op_kind(node);
    return !kind || !kind->correct || kind->correct(r);
}

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
        const tensor *was = output_before(r, k), *now = net_output(&r->now, r->at, k);
        char a[160], b[160];
        dims want;
        if (!was || (!is_flow(was) && !was->uses) || !dims_after(r, was, &want)) continue;
        const bool inferred = now->sized && (was->stated || !now->stated);
        if (inferred && same_dims(&now->dims, &want)) continue;
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
    lower_undo(n->m);
    return good && remove_unused(&r, l) && are_taken_out(&r);
}

/*
 * Corrects means over channels of which some leave, all of them zero: the sum stays, and the number
 * by which it is divided does not.
 *
 * A ReduceMean is multiplied by the part of the channels that is left. RMSNormalization divides by
 * the root of a mean of squares plus epsilon, so both epsilon and the result change. The factors
 * become nodes of their own, which are added when all nodes are corrected.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rewrite.h"

static bool set_real(writer *r, const char *name, double number)
{
    attribute_proto *a = (attribute_proto *)node_attribute(r->at, name);
    if (!a && !(a = node_add_attribute((node_proto *)r->at, name))) return no_memory(r);
    a->has_f = a->has_type = 1;
    a->f = (float)number;
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    return true;
}

bool correct_mean(writer *r)
{
    const tensor *x = net_input(r->was, r->at, 0), *y = output_before(r, 0);
    const bool norm = is_op(r->at, "RMSNormalization");
    uint8_t axes[MAX_RANK] = {0};
    bool given = true;
    if (!is_flow(x) || x->pinned || x->axis >= x->dims.rank) return true;
    if (norm ? x->axis + 1 != x->dims.rank
             : !node_axes(r->was, r->at, 1, reduce_since(r->at), x->dims.rank, axes, &given))
        return true;
    const bool none = !given && attribute_int(r->at, "noop_with_empty_axes", 0);
    if (none || (given && !norm && !axes[x->axis])) return true;
    const size_t length = x->dims.dim[x->axis], left = width_after(r, x->value, length);
    if (left == length) return true;
    mend *more = try_realloc(r->mends, (r->mend_count + 1) * sizeof *more);
    if (!more) return no_memory(r);
    r->mends = more;
    const double part = (double)left / (double)length;
    more[r->mend_count++] =
        (mend){(node_proto *)r->at, y->type ? y->type : x->type, norm ? 1 / sqrt(part) : part};
    return !norm || set_real(r, "epsilon", attribute_float(r->at, "epsilon", 1e-5f) / part);
}

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

bool add_mends(writer *r)
{
    bool good = true;
    for (size_t i = 0; good && i < r->mend_count; i++) good = add_mend(r->was, &r->mends[i]);
    return good;
}

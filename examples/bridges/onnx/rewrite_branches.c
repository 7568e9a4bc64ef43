/*
 * Takes out residual branches of which nothing is left, or only a constant: an addition goes
 * without such an operand, or reads the shift that is left of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lower.h"
#include "rewrite.h"

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
    for (size_t k = 0; lowered_node(r->was->m, node) && k < n; k++)
        if (fate_of(r, net_input(r->was, node, k)) != MSKP_FATE_STAYS)
            return fail(r->was->f, "%s (%s): an operand vanishes, and the others are quantized",
                        node->output[0], op_in_file(r->was->m, node));
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

bool take_branches(writer *r)
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

bool are_taken_out(const writer *r)
{
    const graph_proto *g = r->was->m->graph;
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            if (fate_of(r, net_output(r->was, g->node[i], k)) != MSKP_FATE_STAYS)
                return fail(r->was->f, "%s (%s) vanishes with its branch, but is still read",
                            g->node[i]->output[k], g->node[i]->op_type);
    return true;
}

/* How many parameters a file has: the real numbers that it stores, without running statistics. */
#include <string.h>

#include "mskp/tools.h"
#include "net.h"

/* Whether the data are parameters of mskp's graph (*described), and all of these are running
 * statistics. */
static bool is_statistic(const net *n, const tensor_proto *data, bool *described)
{
    const uint32_t other = ~(uint32_t)(MSKP_ROLE_MEAN | MSKP_ROLE_VARIANCE);
    bool found = false;
    *described = false;
    for (size_t i = 0; i < n->weight_count; i++) {
        const weight *w = &n->weights[i];
        const bool copy = w->original && data->name && !strcmp(w->original, data->name);
        if (!w->param.id || (w->data != data && !copy)) continue;
        *described = true;
        if (!mskp_param_roles(n->graph, w->param) || mskp_param_roles(n->graph, w->param) & other)
            return false;
        found = true;
    }
    return found;
}

static bool is_copy(const net *n, const tensor_proto *data)
{
    for (size_t i = 0; i < n->weight_count; i++)
        if (n->weights[i].user && n->weights[i].data == data) return true;
    return false;
}

static void add(const net *n, const tensor_proto *data, file_parameters *sum)
{
    bool described;
    const size_t elements = tensor_elements(data);
    if (!is_real(data) || elements == SIZE_MAX || is_statistic(n, data, &described)) return;
    sum->all += (double)elements;
    if (!described) sum->others += (double)elements;
}

file_parameters count_parameters(const net *n, bool copies)
{
    const graph_proto *g = n->m->graph;
    file_parameters sum = count_quantized(n), constants = {0};
    for (size_t i = 0; i < g->n_initializer; i++)
        if (copies || !is_copy(n, g->initializer[i])) add(n, g->initializer[i], &sum);
    for (size_t i = 0; i < g->n_node; i++) {
        const attribute_proto *value =
            is_op(g->node[i], "Constant") ? node_attribute(g->node[i], "value") : NULL;
        if (value && value->t) add(n, value->t, &constants);
    }
    sum.all +=
        constants.all - constants.others; /* the other constants are scales, limits and the like */
    return sum;
}

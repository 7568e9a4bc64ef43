/* Prints what can be removed, what cannot, and why: one line for each layer, then sums. */
#include "list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "mskp/tools.h"
#include "operators.h"

/* A name from the file, which may be missing. Whoever prints it uses file_print. */
static const char *text_of(const char *name)
{
    return name ? name : "";
}

/* The node for which a value of mskp's graph was made; NULL: none. */
static const node_proto *node_of(const net *n, mskp_value value)
{
    const graph_proto *g = n->m->graph;
    const node_proto *found = NULL;
    uint32_t least = UINT32_MAX; /* values are numbered in the order of the nodes */
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++) {
            const tensor *t = net_output(n, g->node[i], k);
            if (!t || t->value.id < value.id || t->value.id >= least) continue;
            least = t->value.id;
            found = g->node[i];
        }
    return found;
}

/* The operator that pins channels of a value, by its name in ONNX, or the reason ("output"). */
static const char *pinning_op(const net *n, mskp_value value, const mskp_coupling *info)
{
    static const char *const OURS[] = {"input", "output", "shared", "sparse"};
    mskp_coupling by;
    if (info->pinned_by.id == value.id) {
        const node_proto *maker = node_of(n, value);
        const tensor *t = maker ? net_output(n, maker, 0) : NULL;
        return t && t->value.id == value.id && t->pinned ? t->pinned : "output";
    }
    if (mskp_value_coupling(n->graph, info->pinned_by, &by, NULL)) return "?";
    for (size_t i = 0; i < sizeof OURS / sizeof *OURS; i++)
        if (!strcmp(by.op, OURS[i])) return OURS[i];
    const node_proto *node = by.op[0] >= 'a' ? node_of(n, info->pinned_by) : NULL;
    return node && find_op_kind(node) ? node->op_type : by.op;
}

/* text <- what ties channels to each other: a tensor of the file, or the node that made the tie. */
static void put_tie(const net *n, mskp_value value, size_t capacity, char *text)
{
    mskp_coupling by;
    const node_proto *node;
    if (mskp_value_coupling(n->graph, value, &by, NULL)) return;
    if (net_tensor(n, by.name))
        snprintf(text, capacity, "tied: %.150s", by.name);
    else if ((node = node_of(n, value)) != NULL)
        snprintf(text, capacity, "tied: %.40s of %.100s", text_of(node->op_type),
                 text_of(node->output[0]));
}

void list_words(const net *n, mskp_value value, const mskp_coupling *info, size_t size, char *name,
                char *why)
{
    const node_proto *node = net_tensor(n, info->name) ? NULL : node_of(n, value);
    snprintf(name, size, "%.120s", node ? text_of(node->output[0]) : info->name);
    *why = 0;
    if (info->pinned)
        snprintf(why, size, "%zu stay: %s", info->pinned, pinning_op(n, value, info));
    else if (info->units < info->channels)
        put_tie(n, info->tied_by, size, why);
}

static void print_value(const net *n, mskp_value value, const mskp_cost *cost)
{
    mskp_coupling info;
    char name[200], why[200];
    if (mskp_value_coupling(n->graph, value, &info, NULL)) return;
    if (!(cost->macs > 0) && strcmp(info.op, "embedding") != 0) return;
    list_words(n, value, &info, sizeof why, name, why);
    file_print(stdout, "%10.3f %10.0f %6zu %6zu  %s%s%s", 1e-6 * cost->macs, cost->params,
               info.channels, info.units, name, *why ? "  " : "", why);
}

size_t list_pins(const net *n, const mskp_cost *costs, size_t most, list_pin *pins)
{
    size_t count = 0;
    for (uint32_t v = 1; v <= mskp_graph_counts(n->graph).values; v++) {
        mskp_coupling info;
        const mskp_value value = {v};
        if (!(costs[v - 1].macs > 0) || mskp_value_coupling(n->graph, value, &info, NULL)) continue;
        if (!info.pinned) continue;
        const char *op = pinning_op(n, value, &info);
        size_t k = 0;
        while (k < count && strcmp(pins[k].op, op) != 0) k++;
        if (k == most) continue;
        if (k == count) pins[count++] = (list_pin){op, 0, 0};
        pins[k].channels += info.pinned;
        pins[k].layers++;
    }
    return count;
}

static void print_pinning(const net *n, const mskp_cost *costs)
{
    enum { MOST = 32 };
    list_pin pins[MOST];
    const size_t count = list_pins(n, costs, MOST, pins);
    for (size_t k = 0; k < count; k++)
        file_print(stdout, "pinned by %.120s: %zu channels of %zu layers", pins[k].op,
                   pins[k].channels, pins[k].layers);
}

/* Nodes whose outputs have no known shape cannot be described. */
static void print_unknown(const net *n)
{
    const graph_proto *g = n->m->graph;
    const node_proto *first = NULL;
    size_t count = 0;
    for (size_t i = 0; i < g->n_node; i++) {
        bool sized = true;
        for (size_t k = 0; k < g->node[i]->n_output; k++) {
            const tensor *t = net_output(n, g->node[i], k);
            sized = sized && (!t || t->sized || t->known);
        }
        if (sized) continue;
        if (!count++) first = g->node[i];
    }
    if (count)
        file_print(stdout,
                   "%zu of %zu nodes make tensors whose shapes are not known, the first is %.120s "
                   "(%.120s); channels that reach them stay",
                   count, g->n_node, text_of(first->output[0]), text_of(first->op_type));
}

bool list_uncounted(const net *n, size_t size, char *text)
{
    const node_proto *first = n->uncounted.first;
    if (!first) return false;
    snprintf(text, size,
             "%zu operators with %.0f parameters, whose costs are not known; the first is %.80s "
             "(%.40s)",
             n->uncounted.nodes, n->uncounted.parameters,
             first->n_output ? text_of(first->output[0]) : "", text_of(first->op_type));
    return true;
}

bool list_network(const net *n, const mskp_cost *dense, const file_parameters *parameters)
{
    const mskp_counts counts = mskp_graph_counts(n->graph);
    mskp_error err;
    mskp_cost *costs = try_calloc(counts.values ? counts.values : 1, sizeof *costs);
    if (!costs) return fail(n->f, "no memory for the costs of %zu values", counts.values);
    if (mskp_measure(n->graph, (mskp_mask){0, NULL}, NULL, costs, &err)) {
        free(costs);
        return fail(n->f, "%s", err.text);
    }
    printf("%10s %10s %6s %6s\n", "mio. MACs", "parameters", "width", "units");
    for (uint32_t v = 1; v <= counts.values; v++) print_value(n, (mskp_value){v}, &costs[v - 1]);
    print_pinning(n, costs);
    print_unknown(n);
    if (parameters->others > 0)
        printf("%.0f parameters belong to no layer above, and stay\n", parameters->others);
    printf("%zu units in %zu families, %.0f parameters, %.0f MACs (batch of one)\n", counts.units,
           counts.families, parameters->all, dense->macs);
    char without[300];
    if (list_uncounted(n, sizeof without, without))
        file_print(stdout, "MACs are without those of %s", without);
    free(costs);
    return true;
}

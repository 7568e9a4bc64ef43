/* What a list of a network says: what can be removed, what cannot, and why. */
#include "list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lower.h"
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

/* The node with this op_type, by its address: the reason for which a value is pinned. */
static const node_proto *node_with(const net *n, const char *op)
{
    const graph_proto *g = n->m->graph;
    for (size_t i = 0; op && i < g->n_node; i++)
        if (g->node[i]->op_type == op) return g->node[i];
    return NULL;
}

static const char *reason_of(const net *n, mskp_value value)
{
    return value.id <= n->reason_capacity ? n->reasons[value.id - 1] : NULL;
}

/* Whether the network returns what flows in this value, and no norm has its statistics over the
 * channels: then the channels stay because they are returned, whatever node makes them. */
static bool is_returned(const net *n, mskp_value value)
{
    const graph_proto *g = n->m->graph;
    bool found = false;
    for (size_t i = 0; i < g->n_output; i++) {
        const tensor *t = net_tensor(n, g->output[i]->name);
        found = found || (t && is_flow(t) && t->value.id == value.id);
    }
    const node_proto *maker = found ? node_of(n, value) : NULL;
    const op_kind *kind = maker ? find_op_kind(maker) : NULL;
    return found && !(kind && (kind->describe == describe_layer_norm ||
                               kind->describe == describe_group_norm));
}

/* The operator that pins channels of a value, by its name in ONNX, or the reason ("output").
 * *holder <- its node; NULL: there is none. */
static const char *pinning_op(const net *n, mskp_value value, const mskp_coupling *info,
                              const node_proto **holder)
{
    mskp_coupling by;
    const char *reason = reason_of(n, info->pinned_by);
    *holder = node_with(n, reason);
    if (*holder) return op_in_file(n->m, *holder);
    if (reason) return reason;
    if (info->pinned_by.id == value.id || is_returned(n, info->pinned_by)) return "output";
    if (mskp_value_coupling(n->graph, info->pinned_by, &by, NULL)) return "?";
    const node_proto *node = by.op[0] >= 'a' ? node_of(n, info->pinned_by) : NULL;
    if (!node || !find_op_kind(node)) return by.op;
    *holder = node;
    return op_in_file(n->m, node);
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
        snprintf(text, capacity, "tied: %.40s of %.100s", text_of(op_in_file(n->m, node)),
                 text_of(node->output[0]));
}

void list_words(const net *n, mskp_value value, const mskp_coupling *info, size_t size, char *name,
                char *why)
{
    const node_proto *node = net_tensor(n, info->name) ? NULL : node_of(n, value);
    snprintf(name, size, "%.120s", node ? text_of(node->output[0]) : info->name);
    const node_proto *holder = NULL;
    *why = 0;
    if (info->pinned)
        snprintf(why, size, "%zu stay: %s", info->pinned, pinning_op(n, value, info, &holder));
    else if (info->units < info->channels)
        put_tie(n, info->tied_by, size, why);
}

/* ---- What pins, and what to do about it ---- */

/* What can be done, by operator or reason. */
static const struct {
    const char *op, *advice;
} ADVICE[] = {
    {"output", "the network returns these channels"},
    {"input", "these channels are an input of the network"},
    {"shared", "something else reads the same data in another way; give it a copy of its own"},
    {"sparse", "sparse data are not cut; store them densely"},
    {"positions", "they are positions to the layers that read them"},
    {"constant", "a number is the same for all of these channels"},
    {"Conv", "its weight is quantized, or computed while the network runs"},
    {"ConvTranspose", "its weight is quantized, or computed while the network runs"},
    {"Gemm", "its matrix is quantized, turned, or computed while the network runs"},
    {"MatMul", "it multiplies two tensors that flow, and sums over channels or has them on axes "
               "that do not meet; behind a relu on one side the sums could be cut"},
    {"LayerNormalization", "its statistics are over channels, so the stream that it reads stays; "
                           "layers within branches can be cut"},
    {"RMSNormalization", "its statistics are over channels, so the stream that it reads stays; "
                         "layers within branches can be cut"},
    {"GroupNormalization", "it has one group; with several, whole groups can be cut"},
    {"InstanceNormalization", "its statistics are over several channels, as a group norm's of one "
                              "group are; with several groups, whole ones can be cut"},
    {"ReduceMean",
     "a mean over channels that are not zero where a unit is zero changes with their number"},
    {"Softmax", "its sums are over channels"},
    {"LogSoftmax", "its sums are over channels"},
    {"Div", "it divides by these channels, which must not become 0"},
    {"Reciprocal", "it divides by these channels, which must not become 0"},
    {"Pow", "these channels are a base that must not become 0"},
    {"Reshape", "it mixes channels with other axes, or with a length that is open; give the "
                "length in the file when it is exported"},
    {"Concat", "its operands have channels on different axes"},
    {"If", "graphs within nodes are not described; export without control flow"},
    {"Loop", "graphs within nodes are not described; export without control flow"},
    {"Scan", "graphs within nodes are not described; export without control flow"},
    {"QLinearConv", "its numbers are not of the file, or are read elsewhere, too; cut the network "
                    "before it is quantized"},
    {"DynamicQuantizeLinear", "the range of what it reads changes with channels that are not zero "
                              "where a unit is zero; behind a relu they could be cut"},
    {"QuantizeLinear", "its scale is not one number of the file; cut the network before it is "
                       "quantized"},
    {"DequantizeLinear", "its scale is not one number of the file, or something else reads what it "
                         "reads; cut the network before it is quantized"},
};

/* Whether the layer has a weight that is data of the file, so that something else is the reason. */
static bool has_weight(const net *n, const node_proto *node)
{
    const tensor *w = net_input(n, node, 1);
    return (is_op(node, "Conv") || is_op(node, "ConvTranspose")) && w && w->data;
}

static const char *advice_for(const net *n, const list_pin *pin)
{
    const op_kind *kind = pin->node[0] ? find_op_kind(pin->node[0]) : NULL;
    if (pin->node[0] && !lowered_node(n->m, pin->node[0]) && has_weight(n, pin->node[0]))
        return "its kernel runs along these channels and mixes neighbours, or other layers read "
               "its weight in another way";
    for (size_t i = 0; i < sizeof ADVICE / sizeof *ADVICE; i++)
        if (!strcmp(ADVICE[i].op, pin->op)) return ADVICE[i].advice;
    if (!pin->node[0]) return "";
    if (lowered_node(n->m, pin->node[0]))
        return "it has channels on different axes, or its whole numbers or scales are not of the "
               "file, or are read elsewhere, too; cut the network before it is quantized";
    if (!is_op(pin->node[0], pin->op))
        return "the operator is of another domain, and not known; export with standard operators";
    return kind && kind->describe
               ? "it reads channels on different axes, their places, or numbers that are computed "
                 "while the network runs"
               : "this operator is not described";
}

/* What a node is called: by its name, or by its result. */
static const char *node_text(const node_proto *node)
{
    if (node->name && *node->name) return node->name;
    return node->n_output ? text_of(node->output[0]) : "";
}

/* The place of the node among those that pin, if it is a new one. */
static void add_holder(const net *n, list_pin *pin, const node_proto *holder, uint8_t *seen)
{
    const graph_proto *g = n->m->graph;
    size_t i = 0;
    while (i < g->n_node && g->node[i] != holder) i++;
    if (i == g->n_node || seen[i]) return;
    seen[i] = 1;
    if (pin->nodes < LIST_NODES) pin->node[pin->nodes] = holder;
    pin->nodes++;
}

size_t list_pins(const net *n, const mskp_cost *costs, size_t most, list_pin *pins)
{
    size_t count = 0;
    uint8_t *seen = try_calloc(n->m->graph->n_node + 1, 1);
    for (uint32_t v = 1; seen && v <= mskp_graph_counts(n->graph).values; v++) {
        mskp_coupling info;
        const mskp_value value = {v};
        const node_proto *holder = NULL;
        if (!(costs[v - 1].macs > 0) || mskp_value_coupling(n->graph, value, &info, NULL)) continue;
        if (!info.pinned) continue;
        const char *op = pinning_op(n, value, &info, &holder);
        size_t k = 0;
        while (k < count && strcmp(pins[k].op, op) != 0) k++;
        if (k == most) continue;
        if (k == count) pins[count++] = (list_pin){.op = op};
        pins[k].channels += info.pinned;
        pins[k].layers++;
        if (holder) add_holder(n, &pins[k], holder, seen);
    }
    free(seen);
    return count;
}

void list_pin_text(const net *n, const list_pin *pin, size_t size, char *text)
{
    const char *advice = advice_for(n, pin);
    size_t used = (size_t)snprintf(text, size, "%.60s: %zu channels of %zu layer%s", pin->op,
                                   pin->channels, pin->layers, pin->layers == 1 ? "" : "s");
    for (size_t i = 0; i < LIST_NODES && i < pin->nodes && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%.80s", i ? ", " : ", by ",
                                 node_text(pin->node[i]));
    if (pin->nodes > LIST_NODES && used < size)
        used +=
            (size_t)snprintf(text + used, size - used, " and %zu others", pin->nodes - LIST_NODES);
    if (*advice && used < size) snprintf(text + used, size - used, "; %s", advice);
}

/* How many nodes make a tensor whose shape is not known, so that they cannot be described; *first
 * <- the first of them. */
static size_t count_unknown(const net *n, const node_proto **first)
{
    const graph_proto *g = n->m->graph;
    size_t count = 0;
    for (size_t i = 0; i < g->n_node; i++) {
        bool sized = true;
        for (size_t k = 0; k < g->node[i]->n_output; k++) {
            const tensor *t = net_output(n, g->node[i], k);
            sized = sized && (!t || t->sized || t->known);
        }
        if (!sized && !count++) *first = g->node[i];
    }
    return count;
}

bool list_reasons(const net *n, list_say *say, void *context)
{
    const mskp_counts counts = mskp_graph_counts(n->graph);
    list_pin pins[MOST_PINS];
    char text[LIST_TEXT + sizeof "pinned by "];
    mskp_error err;
    mskp_cost *costs = try_calloc(counts.values, sizeof *costs);
    if (!costs) return fail(n->f, "no memory for the costs of %zu values", counts.values);
    bool good =
        !mskp_measure(n->graph, (mskp_mask){0, NULL}, NULL, costs, &err) || fail_as(n->f, &err);
    const size_t count = good ? list_pins(n, costs, MOST_PINS, pins) : 0;
    free(costs);
    for (size_t k = 0; good && k < count; k++) {
        const int used = snprintf(text, sizeof text, "pinned by ");
        list_pin_text(n, &pins[k], LIST_TEXT, text + used);
        good = say(context, text);
    }
    const node_proto *first = NULL;
    const size_t unknown = count_unknown(n, &first);
    if (!good || !unknown) return good;
    snprintf(text, sizeof text,
             "%zu of %zu nodes make tensors whose shapes are not known, the first is %.120s "
             "(%.120s); channels that reach them stay",
             unknown, n->m->graph->n_node, text_of(first->output[0]),
             text_of(op_in_file(n->m, first)));
    return say(context, text);
}

bool list_reason(const net *n, size_t size, char *text)
{
    const mskp_counts counts = mskp_graph_counts(n->graph);
    list_pin pins[MOST_PINS];
    mskp_error err;
    char most[LIST_TEXT];
    mskp_cost *costs = try_calloc(counts.values ? counts.values : 1, sizeof *costs);
    if (!costs) return fail(n->f, "no memory for the costs of %zu values", counts.values);
    const bool good = !mskp_measure(n->graph, (mskp_mask){0, NULL}, NULL, costs, &err);
    size_t count = good ? list_pins(n, costs, MOST_PINS, pins) : 0, k = 0;
    free(costs);
    for (size_t i = 1; i < count; i++)
        if (pins[i].channels > pins[k].channels) k = i;
    const node_proto *first = NULL;
    const size_t unknown = count_unknown(n, &first);
    if (!count && unknown) {
        snprintf(text, size,
                 "%zu nodes make tensors whose shapes are not known, from %.120s (%.60s) on",
                 unknown, text_of(first->output[0]), text_of(op_in_file(n->m, first)));
        return true;
    }
    if (!count) {
        snprintf(text, size, "no node has a weight that can be cut");
        return true;
    }
    list_pin_text(n, &pins[k], sizeof most, most);
    snprintf(text, size, "all layers are pinned, most of their channels by %s", most);
    return true;
}

bool list_uncounted(const net *n, size_t size, char *text)
{
    const node_proto *first = n->uncounted.first;
    if (!first) return false;
    snprintf(text, size,
             "%zu operators with %.0f parameters, whose costs are not known; the first is %.80s "
             "(%.40s)",
             n->uncounted.nodes, n->uncounted.parameters,
             first->n_output ? text_of(first->output[0]) : "", text_of(op_in_file(n->m, first)));
    return true;
}

/*
 * Computes what a network computes from its parameters alone, and stores the result.
 *
 * Exporters leave operators between a weight and the layer that reads it: a Split of one matrix
 * into those of query, key and value, weight normalization, a table of positions that was too large
 * to be folded, the numbers behind a quantized weight. onnxruntime computes them once, when it
 * loads the network. The program does the same: a node all of whose operands are constant makes
 * constants (fold.h), and where a node that is not constant reads one of them, it reads a new
 * initializer from now on. Nodes and initializers that nothing reads any more are taken out.
 *
 * A constant is left as it is where the cut can go back to the parameter itself: behind operators
 * that only give data another name or order (net_alias), and for rows of a table by index, which
 * are described as an embedding. So is one that is much larger than what it is computed from.
 */
#include "precompute.h"

#include <stdlib.h>
#include <string.h>

#include "describe.h"

/* What is known of a tensor. */
enum {
    CONSTANT = 1, /* it follows from parameters alone */
    PLAIN = 2,    /* ... and is data of the file, perhaps in another order */
    ROWS = 4,     /* ... and is made of rows of a table */
    WANTED = 8,   /* a node that is not constant reads it */
    NEEDED = 16,  /* it is wanted, or what is wanted is computed from it */
    STORED = 32   /* there is an initializer for it */
};

typedef struct work {
    net n;
    uint8_t *state;   /* [tensors] */
    uint8_t *is_made; /* [nodes] 1: the node makes constants */
    numbers *value;   /* [tensors] */
    size_t *readers;  /* [tensors] nodes that are still to be computed from it */
    size_t *uses;     /* [tensors] as in `tensor`, while nodes are taken out */
    char **names;     /* [tensors] of new initializers */
    size_t tensors;   /* without those that are added */
    double *sources;  /* [tensors] elements of the data from which it is computed */
    bool quantized;
    removed *gone;
    size_t gone_count;
    precomputed *report;
} work;

static size_t index_of(const work *w, const tensor *t)
{
    return (size_t)(t - w->n.tensors);
}

/* ---- What is constant ---- */

/* A caller of the network may give another value to an initializer that is an input, too. Before
 * version 4 of the format all initializers are. */
static bool is_input(const model *m, const char *name)
{
    if (m->proto->has_ir_version && m->proto->ir_version < 4) return false;
    for (size_t i = 0; i < m->graph->n_input; i++)
        if (m->graph->input[i]->name && !strcmp(m->graph->input[i]->name, name)) return true;
    return false;
}

static void find_data(work *w)
{
    const graph_proto *g = w->n.m->graph;
    for (size_t i = 0; i < w->n.tensor_count; i++) {
        const tensor *t = &w->n.tensors[i];
        if (!t->data || is_input(w->n.m, t->name)) continue;
        w->state[i] = CONSTANT | PLAIN;
        w->sources[i] = (double)tensor_elements(t->data);
    }
    for (size_t i = 0; i < g->n_node; i++)
        w->quantized |=
            is_op(g->node[i], "QuantizeLinear") || is_op(g->node[i], "DynamicQuantizeLinear");
}

/* Whether these are numbers that are the same in every run, and after every cut. They may follow
 * lengths of what is constant itself, which is computed before the cut. depth: how often such a
 * tensor may be known by lengths of another one. */
static bool is_fixed_within(const work *w, const tensor *t, size_t depth)
{
    if (!t->known || (t->follow_count && !depth) || (t->released && t->varied)) return false;
    for (size_t i = 0; i < t->follow_count; i++) {
        const tensor *of = &w->n.tensors[t->follows[i].tensor];
        if (!(w->state[index_of(w, of)] & CONSTANT) && !is_fixed_within(w, of, depth - 1))
            return false;
    }
    for (size_t i = 0; !t->released && t->numbers.varies && i < t->numbers.count; i++)
        if (t->numbers.varies[i]) return false;
    return true;
}

static bool is_fixed(const work *w, const tensor *t)
{
    enum { DEPTH = 4 };
    return is_fixed_within(w, t, DEPTH);
}

static bool has_graph(const node_proto *node)
{
    for (size_t k = 0; k < node->n_attribute; k++)
        if (node->attribute[k]->g || node->attribute[k]->n_graphs) return true;
    return false;
}

/* Whether the tensor has numbers that state something, such as a shape, and no weights. */
static bool is_statement(const tensor *t)
{
    return t->known && !t->released && (t->numbers.whole || t->numbers.count < 2);
}

/* Whether the node makes constants from parameters, or numbers that were released. */
static bool makes_constants(work *w, const node_proto *node)
{
    bool any = false, known = true;
    if (!node->n_input || !node->n_output || !fold_knows(node) || has_graph(node)) return false;
    if (w->quantized && is_op(node, "DequantizeLinear")) return false; /* the runtime wants it */
    for (size_t k = 0; k < node->n_input; k++) {
        tensor *t = net_input(&w->n, node, k);
        if (!*node->input[k]) continue;
        if (!t) return false;
        if (w->state[index_of(w, t)] & CONSTANT)
            any = true;
        else if (!is_fixed(w, t) || t->released)
            return false;
    }
    for (size_t k = 0; k < node->n_output; k++) {
        const tensor *t = net_output(&w->n, node, k);
        known = known && (!t || is_statement(t));
        any = any || (t && t->released && is_fixed(w, t));
    }
    return any && !known;
}

/* Whether the node moves elements and computes nothing. */
static bool moves(const node_proto *node)
{
    static const char *const MOVING[] = {"Reshape",  "Transpose", "Unsqueeze", "Squeeze",
                                         "Identity", "Flatten",   "Cast"};
    bool found = false;
    for (size_t i = 0; i < sizeof MOVING / sizeof *MOVING; i++) found |= is_op(node, MOVING[i]);
    return found;
}

/* Whether the node picks what axis 0 of its operand has, each by one index. */
static bool picks_rows(const work *w, const node_proto *node)
{
    const tensor *at = net_input(&w->n, node, 1);
    if (is_op(node, "Gather")) return !attribute_int(node, "axis", 0);
    return is_op(node, "GatherND") && !attribute_int(node, "batch_dims", 0) && at && at->sized &&
           at->dims.rank && at->dims.dim[at->dims.rank - 1] == 1;
}

static uint8_t state_of(work *w, const node_proto *node)
{
    const tensor *x = net_input(&w->n, node, 0);
    const uint8_t from = x ? w->state[index_of(w, x)] : 0;
    if (from & PLAIN && net_alias(&w->n, node)) return CONSTANT | PLAIN;
    if (from & PLAIN && picks_rows(w, node) && x->dims.rank == 2) return CONSTANT | ROWS;
    return from & ROWS && moves(node) ? CONSTANT | ROWS : CONSTANT;
}

static void find_constants(work *w)
{
    const graph_proto *g = w->n.m->graph;
    for (w->n.node = 0; w->n.node < g->n_node; w->n.node++) {
        const node_proto *node = g->node[w->n.node];
        if (!makes_constants(w, node)) continue;
        w->is_made[w->n.node] = 1;
        const uint8_t state = state_of(w, node);
        double sources = 0;
        for (size_t k = 0; k < node->n_input; k++) {
            const tensor *t = net_input(&w->n, node, k);
            if (t) sources += w->sources[index_of(w, t)];
        }
        for (size_t k = 0; k < node->n_output; k++) {
            const tensor *t = net_output(&w->n, node, k);
            if (!t || is_statement(t)) continue;
            w->state[index_of(w, t)] = state;
            w->sources[index_of(w, t)] = sources;
        }
    }
}

/* ---- What is wanted ---- */

/* Whether the node reads its operands, but for the first one, as statements. */
static bool states_only(const node_proto *node, size_t k)
{
    return k && (is_op(node, "Resize") || is_op(node, "Upsample") || is_op(node, "Pad"));
}

/* Whether the tensor is not much larger than what it is computed from. */
static bool is_worth_it(const work *w, const tensor *t)
{
    enum { SMALL = 1 << 16 };
    const double elements = t->sized ? (double)product_of(&t->dims, 0, t->dims.rank) : 0;
    return t->sized && (elements <= SMALL || elements <= 2 * w->sources[index_of(w, t)]);
}

static void find_wanted(work *w)
{
    const graph_proto *g = w->n.m->graph;
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; !w->is_made[i] && k < g->node[i]->n_input; k++) {
            const tensor *t = net_input(&w->n, g->node[i], k);
            uint8_t *state = t ? &w->state[index_of(w, t)] : NULL;
            if (state && *state == CONSTANT && !states_only(g->node[i], k) &&
                w->sources[index_of(w, t)] > 0 && is_worth_it(w, t))
                *state |= WANTED | NEEDED;
        }
    for (size_t i = g->n_node; i-- > 0;) {
        bool needed = false;
        for (size_t k = 0; w->is_made[i] && k < g->node[i]->n_output; k++) {
            const tensor *t = net_output(&w->n, g->node[i], k);
            needed |= t && w->state[index_of(w, t)] & NEEDED;
        }
        if (!needed) continue;
        w->is_made[i] = 2;
        for (size_t k = 0; k < g->node[i]->n_input; k++) {
            const tensor *t = net_input(&w->n, g->node[i], k);
            if (!t) continue;
            w->state[index_of(w, t)] |= NEEDED;
            w->readers[index_of(w, t)]++;
        }
    }
}

/* ---- Computing ---- */

/* The numbers of an operand; NULL: they could not be computed. */
static const numbers *value_of(work *w, tensor *t)
{
    numbers *v = &w->value[index_of(w, t)];
    if (v->real || v->whole) return v;
    if (t->data && t->root == index_of(w, t))
        return numbers_of_tensor(w->n.m, t->data, v) ? v : NULL;
    return known_numbers(&w->n, t);
}

static bool store(work *w, const tensor *t)
{
    const size_t i = index_of(w, t), size = strlen(t->name) + 40;
    const numbers *v = &w->value[i];
    char *name = try_malloc(size);
    if (!name) return false;
    snprintf(name, size, "%s/folded", t->name);
    for (size_t k = 2; net_tensor(&w->n, name); k++)
        snprintf(name, size, "%s/folded%zu", t->name, k);
    w->names[i] = name;
    if (!model_add_reals(w->n.m, name, v->type, v->shape.rank, v->shape.dim, v->real)) return false;
    w->state[i] |= STORED;
    if (!w->report->tensors++)
        snprintf(w->report->first, sizeof w->report->first, "%.150s", t->name);
    return true;
}

/* Gives back what no node needs any more. */
static void release(work *w, const node_proto *node)
{
    for (size_t k = 0; k < node->n_input; k++) {
        const tensor *t = net_input(&w->n, node, k);
        if (t && !--w->readers[index_of(w, t)]) numbers_free(&w->value[index_of(w, t)]);
    }
    for (size_t k = 0; k < node->n_output; k++) {
        const tensor *t = net_output(&w->n, node, k);
        if (t && !w->readers[index_of(w, t)]) numbers_free(&w->value[index_of(w, t)]);
    }
}

/* Computes a node. What cannot be computed stays as it is, with all that is computed from it. */
static bool compute(work *w, const node_proto *node)
{
    enum { MOST = 64 };
    const numbers *in[MOST] = {0};
    numbers *out = try_calloc(node->n_output + 1, sizeof *out);
    bool known = out && node->n_input <= MOST, good = out != NULL;
    for (size_t k = 0; known && k < node->n_input; k++) {
        tensor *t = net_input(&w->n, node, k);
        if (t && !(in[k] = value_of(w, t))) known = false;
    }
    known = known && fold_node(w->n.m, node, node->n_input, in, node->n_output, out);
    for (size_t k = 0; known && k < node->n_output; k++) {
        const tensor *t = net_output(&w->n, node, k);
        if (!t) {
            numbers_free(&out[k]);
            continue;
        }
        w->value[index_of(w, t)] = out[k];
        if (good && w->state[index_of(w, t)] & WANTED && out[k].real) good = store(w, t);
    }
    release(w, node);
    free(out);
    return good;
}

/* ---- Reading what is stored ---- */

static bool redirect(work *w)
{
    const graph_proto *g = w->n.m->graph;
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; !w->is_made[i] && k < g->node[i]->n_input; k++) {
            const tensor *t = net_input(&w->n, g->node[i], k);
            if (!t || !(w->state[index_of(w, t)] & STORED)) continue;
            w->uses[index_of(w, t)]--;
            if (!model_set_string(&g->node[i]->input[k], w->names[index_of(w, t)])) return false;
        }
    return true;
}

/* Whether something read the tensor before, and nothing reads it now. */
static bool is_lost(const work *w, const char *name)
{
    const tensor *t = net_tensor(&w->n, name);
    return t && t->uses && !w->uses[index_of(w, t)];
}

static bool take_out(work *w, ProtobufCMessage *message)
{
    removed *more = try_realloc(w->gone, (w->gone_count + 1) * sizeof *more);
    if (!more) return false;
    w->gone = more;
    more[w->gone_count++].message = message;
    return true;
}

static bool remove_nodes(work *w)
{
    graph_proto *g = w->n.m->graph;
    size_t left = g->n_node;
    for (size_t i = g->n_node; i-- > 0;) {
        node_proto *node = g->node[i];
        bool lost = node->n_output > 0;
        for (size_t k = 0; lost && k < node->n_output; k++)
            lost = is_lost(w, node->output[k]) || !net_output(&w->n, node, k);
        if (!lost) {
            g->node[--left] = node;
            continue;
        }
        w->report->nodes++;
        for (size_t k = 0; k < node->n_input; k++) {
            const tensor *t = net_input(&w->n, node, k);
            if (t) w->uses[index_of(w, t)]--;
        }
        if (!take_out(w, &node->base)) {
            g->node[--left] = node;
            return false;
        }
    }
    memmove(g->node, g->node + left, (g->n_node - left) * sizeof *g->node);
    g->n_node -= left;
    return true;
}

static bool remove_initializers(work *w)
{
    graph_proto *g = w->n.m->graph;
    size_t left = 0;
    bool good = true;
    for (size_t i = 0; i < g->n_initializer; i++) {
        tensor_proto *t = g->initializer[i];
        const bool lost = is_lost(w, t->name) && !is_input(w->n.m, t->name);
        for (size_t k = 0; lost && k < g->n_input; k++)
            if (!strcmp(g->input[k]->name, t->name)) { /* before version 4 */
                good = good && take_out(w, &g->input[k]->base);
                memmove(g->input + k, g->input + k + 1, (--g->n_input - k) * sizeof *g->input);
                break;
            }
        good = good && (!lost || take_out(w, &t->base));
        if (!lost || !good) g->initializer[left++] = t;
    }
    g->n_initializer = left;
    return good;
}

/* ---- All of it ---- */

static bool allocate(work *w)
{
    const size_t tensors = w->n.tensor_count, nodes = w->n.m->graph->n_node;
    w->tensors = tensors;
    w->state = try_calloc(tensors + 1, 1);
    w->is_made = try_calloc(nodes + 1, 1);
    w->sources = try_calloc(tensors + 1, sizeof *w->sources);
    w->value = try_calloc(tensors + 1, sizeof *w->value);
    w->readers = try_calloc(tensors + 1, sizeof *w->readers);
    w->uses = try_calloc(tensors + 1, sizeof *w->uses);
    w->names = try_calloc(tensors + 1, sizeof *w->names);
    for (size_t i = 0; w->uses && i < tensors; i++) w->uses[i] = w->n.tensors[i].uses;
    return w->state && w->is_made && w->sources && w->value && w->readers && w->uses && w->names;
}

static void close(work *w)
{
    for (size_t i = 0; i < w->tensors; i++) {
        if (w->value) numbers_free(&w->value[i]);
        if (w->names) free(w->names[i]);
    }
    free(w->state);
    free(w->is_made);
    free(w->sources);
    free(w->value);
    free(w->readers);
    free(w->uses);
    free(w->names);
    net_close(&w->n); /* names of tensors point into what is freed now */
    for (size_t i = 0; i < w->gone_count; i++)
        protobuf_c_message_free_unpacked(w->gone[i].message, model_allocator());
    free(w->gone);
}

static bool run(work *w)
{
    const graph_proto *g = w->n.m->graph;
    bool good = true;
    find_data(w);
    find_constants(w);
    find_wanted(w);
    for (size_t i = 0; good && i < g->n_node; i++)
        if (w->is_made[i] == 2) good = compute(w, g->node[i]);
    if (!good || !w->report->tensors) return good;
    return redirect(w) && remove_nodes(w) && remove_initializers(w);
}

bool precompute(model *m, const lengths *l, precomputed *report, failure *f)
{
    enum { PART = 32 }; /* numbers in memory are up to four times 8 bytes for each element */
    work w = {.report = report};
    const size_t part = m->bytes / PART;
    *report = (precomputed){.tensors = 0};
    bool good = net_open(&w.n, m, NULL, l, f) && infer_network(&w.n);
    if (good) {
        fold_allow(part > FOLD_LIMIT ? part : FOLD_LIMIT);
        good = (allocate(&w) && run(&w)) || fail(f, "no memory to compute what parameters make");
        fold_allow(FOLD_LIMIT);
    }
    close(&w);
    return good;
}

/*
 * Puts nodes into an order in which each stands behind the nodes that it reads. ONNX demands this
 * order, but some programs write files without it, and onnxruntime runs them. A depth-first search
 * in the order of the file writes a node when all it reads are written; so nodes that are in order
 * stay as they are. Names that graphs within a node read count as read by the node. In a cycle no
 * order is right, and the nodes stay as they are; net_open then names the first node that reads
 * what nothing before it makes.
 */
#include <stdlib.h>
#include <string.h>

#include "model.h"

typedef struct made {
    const char *name;
    size_t node;
} made;

typedef struct sorter {
    const graph_proto *g;
    made *made; /* what nodes make, by name */
    size_t made_count;
    size_t *reads; /* the nodes that each node reads: those of node i from first[i] on */
    size_t *first;
    size_t read_count, read_capacity;
    bool good;
} sorter;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const made *)a)->name, ((const made *)b)->name);
}

static void read_name(void *context, const char *name)
{
    sorter *s = context;
    const made key = {name, 0};
    if (!name || !*name) return;
    const made *m = bsearch(&key, s->made, s->made_count, sizeof *s->made, by_name);
    if (!m || !s->good) return;
    if (s->read_count == s->read_capacity) {
        const size_t capacity = 2 * s->read_capacity + 64;
        size_t *more = try_realloc(s->reads, capacity * sizeof *more);
        s->good = more != NULL;
        if (!more) return;
        s->reads = more;
        s->read_capacity = capacity;
    }
    s->reads[s->read_count++] = m->node;
}

/* Finds what each node reads. Returns whether some node reads one that does not stand before it. */
static bool find_reads(sorter *s)
{
    bool late = false;
    for (size_t i = 0; i < s->g->n_node; i++)
        for (size_t k = 0; k < s->g->node[i]->n_output; k++)
            if (*s->g->node[i]->output[k])
                s->made[s->made_count++] = (made){s->g->node[i]->output[k], i};
    qsort(s->made, s->made_count, sizeof *s->made, by_name);
    for (size_t i = 0; i < s->g->n_node; i++) {
        const node_proto *node = s->g->node[i];
        s->first[i] = s->read_count;
        for (size_t k = 0; k < node->n_input; k++) read_name(s, node->input[k]);
        model_names_within(node, read_name, s);
        for (size_t r = s->first[i]; r < s->read_count; r++) late |= s->reads[r] >= i;
    }
    s->first[s->g->n_node] = s->read_count;
    return late;
}

enum { NEW, OPEN, WRITTEN };

/* order[] <- the nodes in an order that is right. False: there is a cycle. at[i] is the next of the
 * nodes that node i reads, path is the way to the current node. */
static bool find_order(const sorter *s, uint8_t *state, size_t *at, size_t *path, size_t *order)
{
    size_t written = 0;
    memcpy(at, s->first, s->g->n_node * sizeof *at);
    for (size_t root = 0; root < s->g->n_node; root++) {
        size_t depth = 0;
        if (state[root] == WRITTEN) continue;
        path[depth++] = root;
        state[root] = OPEN;
        while (depth) {
            const size_t i = path[depth - 1];
            if (at[i] == s->first[i + 1]) {
                state[i] = WRITTEN;
                order[written++] = i;
                depth--;
                continue;
            }
            const size_t next = s->reads[at[i]++];
            if (state[next] == OPEN) return false;
            if (state[next] == NEW) path[depth++] = next;
            if (state[next] == NEW) state[next] = OPEN;
        }
    }
    return true;
}

static bool put_in_order(const sorter *s)
{
    const size_t n = s->g->n_node;
    size_t *at = try_malloc((n + 1) * sizeof *at), *path = try_malloc((n + 1) * sizeof *path);
    size_t *order = try_malloc((n + 1) * sizeof *order);
    uint8_t *state = try_calloc(n + 1, 1);
    node_proto **nodes = try_malloc((n + 1) * sizeof *nodes);
    const bool good = at && path && order && state && nodes;
    if (good && find_order(s, state, at, path, order)) {
        for (size_t i = 0; i < n; i++) nodes[i] = s->g->node[order[i]];
        memcpy(s->g->node, nodes, n * sizeof *nodes);
    }
    free(at);
    free(path);
    free(order);
    free(state);
    free(nodes);
    return good;
}

bool model_sort(model *m, failure *f)
{
    sorter s = {.g = m->graph, .good = true};
    size_t outputs = 0;
    for (size_t i = 0; i < s.g->n_node; i++) outputs += s.g->node[i]->n_output;
    s.made = try_malloc((outputs + 1) * sizeof *s.made);
    s.first = try_malloc((s.g->n_node + 1) * sizeof *s.first);
    s.good = s.made && s.first;
    const bool late = s.good && find_reads(&s);
    const bool good = s.good && (!late || put_in_order(&s));
    free(s.made);
    free(s.first);
    free(s.reads);
    return good || fail(f, "no memory for the order of %zu nodes", m->graph->n_node);
}

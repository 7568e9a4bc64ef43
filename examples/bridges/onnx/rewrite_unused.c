/*
 * Removes nodes and initializers that something read before the cut, and nothing reads any more.
 */
#include <string.h>

#include "rewrite.h"

static bool take_out(net *n, ProtobufCMessage *message)
{
    removed *more = try_realloc(n->removed, (n->removed_count + 1) * sizeof *more);
    if (!more) return fail(n->f, "no memory for what is not used any more");
    n->removed = more;
    more[n->removed_count++].message = message;
    return true;
}

/* Whether something read the tensor before, and nothing reads it now. */
static bool lost_use(const writer *r, const net *now, const char *name)
{
    const tensor *was = net_tensor(r->was, name), *is = net_tensor(now, name);
    return is && !is->uses && (!was || was->uses);
}

/* *some <- whether nodes were removed. */
static bool remove_nodes(writer *r, const net *now, bool *some)
{
    graph_proto *g = r->was->m->graph;
    size_t left = 0;
    bool good = true; /* after a failure the rest stays, so that no node is lost or there twice */
    *some = false;
    for (size_t i = 0; i < g->n_node; i++) {
        node_proto *node = g->node[i];
        bool lost = node->n_output > 0;
        for (size_t k = 0; lost && k < node->n_output; k++)
            lost = !*node->output[k] || lost_use(r, now, node->output[k]);
        good = good && (!lost || take_out(r->was, &node->base));
        if (!lost || !good)
            g->node[left++] = node;
        else
            *some = true;
    }
    g->n_node = left;
    return good;
}

static bool remove_initializers(writer *r, const net *now)
{
    graph_proto *g = r->was->m->graph;
    size_t left = 0;
    bool good = true;
    for (size_t i = 0; i < g->n_initializer; i++) {
        tensor_proto *t = g->initializer[i];
        bool is_input = false;
        for (size_t k = 0; k < g->n_input; k++) is_input |= !strcmp(g->input[k]->name, t->name);
        const bool lost = !is_input && lost_use(r, now, t->name);
        good = good && (!lost || take_out(r->was, &t->base));
        if (!lost || !good) g->initializer[left++] = t;
    }
    g->n_initializer = left;
    return good;
}

bool remove_unused(writer *r, const lengths *l)
{
    bool good = true, some = true;
    while (good && some) {
        net now;
        good = net_open(&now, r->was->m, NULL, l, r->was->f) && remove_nodes(r, &now, &some) &&
               (some || remove_initializers(r, &now));
        net_close(&now);
    }
    return good;
}

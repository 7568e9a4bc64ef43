/* The recipe after surgery: parameters gathered, attributes that name channels corrected. */
#include "net.h"

#include <string.h>

/* How many of the kept indices lie below `bound`, and the place of one of them. */
static size_t below(net_kept k, size_t bound)
{
    size_t n = 0;
    if (!k.index) return bound < k.n ? bound : k.n;
    for (size_t i = 0; i < k.n; i++) n += k.index[i] < bound;
    return n;
}

static bool contains(net_kept k, size_t index)
{
    return below(k, index + 1) > below(k, index);
}

static void gather(net *small, size_t p, const net_param *from, const net_kept *axes)
{
    net_param *to = &small->param[p];
    to->ndim = from->ndim;
    for (uint32_t d = 0; d < from->ndim; d++) to->shape[d] = axes[d].n;
    to->data = arena_get(small->mem, shape_elements(to->ndim, to->shape), sizeof *to->data);
    size_t index[MSKP_MAX_DIMS] = {0}, i = 0;
    do {
        size_t at = 0;
        for (uint32_t d = 0; d < from->ndim; d++)
            at = at * from->shape[d] + (axes[d].index ? axes[d].index[index[d]] : index[d]);
        to->data[i++] = from->data[at];
    } while (next_index(to->ndim, to->shape, index));
}

net *net_cut(const net *n, arena *mem, const net_kept *values, net_kept (*axes)[MSKP_MAX_DIMS],
             const char **why)
{
    net *small = net_make(mem);
    *why = NULL;
    for (size_t p = 1; p <= n->params; p++) gather(small, p, &n->param[p], axes[p]);
    small->params = n->params;
    for (size_t k = 1; k <= n->nodes; k++) {
        net_node t = n->node[k];
        net_kept in = t.inputs ? values[t.in[0]] : (net_kept){0}, out = values[k];
        size_t ci = t.inputs ? n->node[t.in[0]].channels : 0;
        if (t.op == NET_SLICE) {
            t.first = below(in, n->node[k].first);
            t.count = out.n;
        } else if (t.op == NET_PAD) {
            t.first = below(out, n->node[k].first);
            t.count = out.n - below(out, n->node[k].first + ci);
        } else if (t.op == NET_PICK) {
            t.positions = arena_get(mem, out.n, sizeof *t.positions);
            t.count = out.n;
            for (size_t i = 0; i < out.n; i++) {
                size_t from = n->node[k].positions[out.index ? out.index[i] : i];
                if (!contains(in, from)) *why = "a picked channel is gone";
                t.positions[i] = below(in, from);
            }
        }
        if (!net_add(small, &t)) {
            *why = "an operator does not fit";
            return NULL;
        }
        if (small->node[k].channels != out.n) *why = "a value has another number of channels";
    }
    memcpy(small->output, n->output, sizeof small->output);
    small->outputs = n->outputs;
    return *why ? NULL : small;
}

mskp_cost net_count(const net *n)
{
    mskp_cost c = {0};
    bool statistic[NET_MAX_PARAMS + 1] = {false}, other[NET_MAX_PARAMS + 1] = {false};
    for (size_t k = 1; k <= n->nodes; k++) {
        const net_node *t = &n->node[k];
        size_t taps = 1;
        if (t->weight) other[t->weight] = true;
        if (t->bias) other[t->bias] = true;
        for (int j = 0; t->op == NET_NORM && j < 4; j++)
            (j < 2 ? other : statistic)[t->norm[j]] = true;
        if (t->op != NET_CONV && t->op != NET_GROUPED && t->op != NET_DEPTHWISE &&
            t->op != NET_LINEAR)
            continue;
        const net_param *w = &n->param[t->weight];
        for (uint32_t d = 2; d < w->ndim; d++) taps *= w->shape[d];
        /* For each output element: one for each channel of its group and each tap. */
        size_t groups = t->op == NET_GROUPED     ? t->groups
                        : t->op == NET_DEPTHWISE ? n->node[t->in[0]].channels
                                                 : 1;
        c.macs +=
            (double)(t->channels * net_positions(t) * taps * (n->node[t->in[0]].channels / groups));
    }
    for (size_t p = 1; p <= n->params; p++)
        if (!statistic[p] || other[p])
            c.params += (double)shape_elements(n->param[p].ndim, n->param[p].shape);
    return c;
}

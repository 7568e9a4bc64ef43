/*
 * The numbering of units, and the distinct lists of units.
 *
 * A unit is a class of tied channels (a tree of the forest of lib/describe/ties.c) without a pinned
 * channel. Units are numbered in the order of their first channels. Then every list of channels is
 * turned into a list of units, in which MSKP_PINNED stands for pinned channels.
 *
 * Many values have the same list. Equal views (the same place in the arena) are found by a hash
 * table of places; lists with equal contents by a second hash table and a comparison of the
 * contents. So each distinct list is stored once, and later stages loop over distinct lists alone.
 */
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "describe/graph.h"
#include "describe/ties.h"
#include "describe/zeros.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/make.h"
#include "units/units.h"

/* ---- channels to units ---- */

int mskpi_number_units(mskp_graph *graph, unit_table *u)
{
    const mskp_services *host = &graph->services;
    const size_t n = graph->nchannels;
    uint32_t *number = mskpi_alloc(host, n, sizeof *number); /* by root; 0: not yet, else 1 + it */
    u->of_channel = mskpi_alloc(host, n, sizeof *u->of_channel);
    if (!number || !u->of_channel) {
        mskpi_free(host, number);
        return 1;
    }
    for (uint32_t c = 0; c < n; c++)
        if (graph->channels[c].pinned) { /* the root remembers the first event that pinned */
            const uint32_t root = mskpi_find_root(graph, c), event = graph->channels[c].pinned;
            uint32_t *first = &graph->channels[root].pinned;
            if (!*first || event < *first) *first = event;
            number[root] = MSKP_PINNED;
        }
    for (uint32_t c = 0; c < n; c++) {
        uint32_t *root = &number[mskpi_find_root(graph, c)];
        if (!*root) *root = (uint32_t)++u->n;
        u->of_channel[c] = *root == MSKP_PINNED ? MSKP_PINNED : *root - 1;
    }
    mskpi_free(host, number);
    u->exact = mskpi_alloc(host, u->n, sizeof *u->exact);
    u->inexact = mskpi_alloc(host, u->n, sizeof *u->inexact);
    if (!u->exact || !u->inexact) return 1;
    for (size_t i = 0; i < u->n; i++) u->exact[i] = ZERO_ALWAYS;
    for (uint32_t c = 0; c < n; c++) {
        if (u->of_channel[c] == MSKP_PINNED) continue;
        u->exact[u->of_channel[c]] &= graph->channels[c].exact;
        const uint32_t by = graph->channels[c].inexact;
        uint32_t *first = &u->inexact[u->of_channel[c]];
        if (by && (!*first || by < *first)) *first = by;
    }
    return 0;
}

/* ---- distinct lists ---- */

typedef struct view_slot {
    list_view view;
    uint32_t list; /* 1 + it; 0: empty */
} view_slot;

typedef struct list_maker {
    const mskp_graph *graph;
    unit_table *u;
    size_t used, capacity, lists_capacity; /* of list_units, lists */
    view_slot *by_view;                    /* hash tables */
    uint32_t *by_content;                  /* 1 + list; 0: empty */
    size_t mask;
    list_view last; /* the view that was asked for last, and its list: neighbours often share */
    uint32_t last_list;
} list_maker;

/* Looks it up, or makes it. 1: no memory. */
static int find_list(list_maker *m, list_view view, uint32_t value_id, uint32_t *number)
{
    const mskp_services *host = &m->graph->services;
    unit_table *u = m->u;
    size_t slot = mskpi_hash(&view, sizeof view) & m->mask, content;
    for (; m->by_view[slot].list; slot = (slot + 1) & m->mask)
        if (m->by_view[slot].view.first == view.first && m->by_view[slot].view.n == view.n) {
            *number = m->by_view[slot].list - 1;
            return 0;
        }
    uint32_t *grown = mskpi_grow(host, u->list_units, &m->capacity, m->used, view.n, sizeof *grown);
    if (!grown) return 1;
    u->list_units = grown;
    uint32_t *made = grown + m->used;
    for (size_t i = 0; i < view.n; i++) made[i] = u->of_channel[m->graph->listed[view.first + i]];
    content = mskpi_hash(made, view.n * sizeof *made) & m->mask;
    for (; m->by_content[content]; content = (content + 1) & m->mask) {
        const unit_list *l = &u->lists[m->by_content[content] - 1];
        if (l->n == view.n && !memcmp(grown + l->first, made, view.n * sizeof *made)) break;
    }
    if (!m->by_content[content]) {
        unit_list *lists =
            mskpi_grow(host, u->lists, &m->lists_capacity, u->nlists, 1, sizeof *lists);
        if (!lists) return 1;
        u->lists = lists;
        lists[u->nlists] = (unit_list){m->used, view.n, value_id, 0};
        m->by_content[content] = (uint32_t)++u->nlists;
        m->used += view.n;
    }
    m->by_view[slot] = (view_slot){view, m->by_content[content]};
    *number = m->by_content[content] - 1;
    return 0;
}

/* The list of a view. Equal views are one list, and so are equal contents. 1: no memory. */
static int list_of(list_maker *m, list_view view, uint32_t value_id, uint32_t *number)
{
    if (view.first != m->last.first || view.n != m->last.n) {
        if (find_list(m, view, value_id, &m->last_list)) return 1;
        m->last = view;
    }
    *number = m->last_list;
    return 0;
}

int mskpi_make_lists(mskp_graph *graph, unit_table *u)
{
    const mskp_services *host = &graph->services;
    list_maker m = {.graph = graph, .u = u};
    size_t slots = 16;
    int failed;
    while (slots < 2 * (graph->nvalues + graph->naxes + 1)) slots *= 2;
    m.mask = slots - 1;
    m.by_view = mskpi_alloc(host, slots, sizeof *m.by_view);
    m.by_content = mskpi_alloc(host, slots, sizeof *m.by_content);
    failed = !m.by_view || !m.by_content;
    for (uint32_t v = 1; !failed && v <= graph->nvalues; v++)
        failed = list_of(&m, graph->values[v].view, v, &graph->values[v].list);
    for (uint32_t p = 1; !failed && p <= graph->nparams; p++)
        for (uint32_t d = 0; !failed && d < graph->params[p].ndim; d++) {
            graph_axis *a = &graph->axes[graph->params[p].axis + d];
            if (a->view.n) failed = list_of(&m, a->view, 0, &a->list);
        }
    mskpi_free(host, m.by_view);
    mskpi_free(host, m.by_content);
    return failed;
}

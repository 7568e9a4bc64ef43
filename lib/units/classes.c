/*
 * The numbers of units, and the distinct lists of units.
 *
 * A unit is a class of tied channels, that is, a tree of the forest of lib/describe/ties.c, without
 * a pinned channel. One pass over the channels marks the roots of trees with a pinned channel. A
 * second pass numbers the other trees in the order of their first channels. Then every list of
 * channels is turned into a list of units, in which MSKP_PINNED stands for channels of pinned
 * trees.
 *
 * Many values have the same list, and each distinct list is stored once, so later stages loop
 * over distinct lists alone. Values usually share a view (the same place in the arena), and a hash
 * table of views finds the list without looking at the channels. For a new view the list of units
 * is appended to the stored ones, and a second hash table of contents finds equal lists, by hash
 * and then by comparison. If there is one, the appended list is dropped.
 */
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "describe/graph.h"
#include "describe/ties.h"
#include "describe/zeros.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/make.h"
#include "units/units.h"

/* ---- Channels to units ---- */

/* number[root] <- MSKP_PINNED for trees with a pinned channel. Their roots note the first event
 * that pinned one of the channels. */
static void mark_pinned(mskp_graph *graph, uint32_t *number)
{
    for (uint32_t c = 0; c < graph->nchannels; c++) {
        const uint32_t pinned = graph->channels[c].pinned;
        if (!pinned) continue;
        const uint32_t root = mskpi_find_root(graph, c);
        uint32_t *first = &graph->channels[root].pinned;
        MSKPI_ASSERT(pinned <= graph->nevents);
        if (!*first || pinned < *first) *first = pinned;
        number[root] = MSKP_PINNED;
    }
}

/* A unit can be removed exactly if all its channels can, and is inexact by the first operator that
 * mixes one of them. */
static void collect_channels(const mskp_graph *graph, unit_table *u)
{
    for (size_t i = 0; i < u->n; i++) u->exact[i] = ZERO_ALWAYS;
    for (uint32_t c = 0; c < graph->nchannels; c++) {
        const uint32_t unit = u->of_channel[c], by = graph->channels[c].inexact;
        if (unit == MSKP_PINNED) continue;
        MSKPI_ASSERT(unit < u->n);
        u->exact[unit] &= graph->channels[c].exact;
        if (by && (!u->inexact[unit] || by < u->inexact[unit])) u->inexact[unit] = by;
    }
}

mskp_status mskpi_number_units(mskp_graph *graph, unit_table *u, mskp_error *err)
{
    const mskp_services *services = &graph->services;
    const size_t n = graph->nchannels;
    uint32_t *number = mskpi_alloc(services, n, sizeof *number); /* [root] 1 + unit; 0: not yet */
    u->of_channel = mskpi_alloc(services, n, sizeof *u->of_channel);
    if (!number || !u->of_channel) {
        mskpi_free(services, number);
        return mskpi_no_units(graph, err);
    }
    mark_pinned(graph, number);
    for (uint32_t c = 0; c < n; c++) {
        uint32_t *of_root = &number[mskpi_find_root(graph, c)];
        if (!*of_root) *of_root = (uint32_t)++u->n;
        u->of_channel[c] = *of_root == MSKP_PINNED ? MSKP_PINNED : *of_root - 1;
    }
    MSKPI_ASSERT(u->n <= n);
    mskpi_free(services, number);
    u->exact = mskpi_alloc(services, u->n, sizeof *u->exact);
    u->inexact = mskpi_alloc(services, u->n, sizeof *u->inexact);
    if (!u->exact || !u->inexact) return mskpi_no_units(graph, err);
    collect_channels(graph, u);
    return MSKP_OK;
}

/* ---- Distinct lists ---- */

typedef struct view_slot {
    list_view view;
    uint32_t list; /* 1 + the list's number; 0: the slot is empty */
} view_slot;

typedef struct list_maker {
    const mskp_graph *graph;
    unit_table *u;
    mskp_error *err;
    size_t used, capacity; /* of u->list_units */
    size_t lists_capacity;
    view_slot *by_view;   /* a hash table with open addressing, and so is the next */
    uint32_t *by_content; /* 1 + the list's number; 0: the slot is empty */
    size_t mask;          /* of both tables: their number of slots, a power of two, less one */
    list_view last;       /* the view that was looked up last, since neighbours often share it */
    uint32_t last_list;
} list_maker;

/* The slot of a view, or the empty slot where it belongs. */
static view_slot *slot_of_view(const list_maker *m, list_view view)
{
    size_t at = mskpi_hash(&view, sizeof view) & m->mask;
    for (;; at = (at + 1) & m->mask) {
        view_slot *slot = &m->by_view[at];
        if (!slot->list || (slot->view.first == view.first && slot->view.n == view.n)) return slot;
    }
}

/* The slot of the list with these units, or the empty slot where it belongs. */
static uint32_t *slot_of_units(const list_maker *m, const uint32_t *units, size_t n)
{
    size_t at = mskpi_hash(units, n * sizeof *units) & m->mask;
    for (;; at = (at + 1) & m->mask) {
        uint32_t *slot = &m->by_content[at];
        if (!*slot) return slot;
        const unit_list *l = &m->u->lists[*slot - 1];
        if (l->n == n && !memcmp(m->u->list_units + l->first, units, n * sizeof *units))
            return slot;
    }
}

/* *list <- 1 + the number of the list with the units of a view, which is new as a view. */
static mskp_status list_of_new_view(list_maker *m, list_view view, uint32_t value, uint32_t *list)
{
    const mskp_services *services = &m->graph->services;
    unit_table *u = m->u;
    uint32_t *all = mskpi_grow(services, u->list_units, &m->capacity, m->used, view.n, sizeof *all);
    *list = 0;
    if (!all) return mskpi_no_units(m->graph, m->err);
    u->list_units = all;
    uint32_t *units = all + m->used;
    for (size_t i = 0; i < view.n; i++) units[i] = u->of_channel[m->graph->listed[view.first + i]];
    uint32_t *slot = slot_of_units(m, units, view.n);
    if (!*slot) {
        unit_list *lists =
            mskpi_grow(services, u->lists, &m->lists_capacity, u->nlists, 1, sizeof *lists);
        if (!lists) return mskpi_no_units(m->graph, m->err);
        u->lists = lists;
        lists[u->nlists] = (unit_list){.first = m->used, .n = view.n, .value = value};
        m->used += view.n;
        *slot = (uint32_t)++u->nlists;
        MSKPI_ASSERT(2 * u->nlists <= m->mask + 1); /* half of the slots stay empty */
    }
    *list = *slot;
    return MSKP_OK;
}

/* *number <- the number of the list with the units of a view. */
static mskp_status list_of(list_maker *m, list_view view, uint32_t value, uint32_t *number)
{
    if (view.first != m->last.first || view.n != m->last.n) {
        view_slot *slot = slot_of_view(m, view);
        if (!slot->list) {
            uint32_t list;
            const mskp_status status = list_of_new_view(m, view, value, &list);
            if (status) return status;
            *slot = (view_slot){view, list};
        }
        m->last = view;
        m->last_list = slot->list - 1;
    }
    *number = m->last_list;
    MSKPI_ASSERT(m->u->lists[*number].n == view.n);
    return MSKP_OK;
}

mskp_status mskpi_make_lists(mskp_graph *graph, unit_table *u, mskp_error *err)
{
    const mskp_services *services = &graph->services;
    list_maker m = {.graph = graph, .u = u, .err = err, .last = {0, SIZE_MAX}};
    mskp_status status = MSKP_OK;
    size_t slots = 16;
    while (slots < 2 * (graph->nvalues + graph->naxes + 1)) slots *= 2;
    m.mask = slots - 1;
    m.by_view = mskpi_alloc(services, slots, sizeof *m.by_view);
    m.by_content = mskpi_alloc(services, slots, sizeof *m.by_content);
    if (!m.by_view || !m.by_content) status = mskpi_no_units(graph, err);
    for (uint32_t v = 1; !status && v <= graph->nvalues; v++)
        status = list_of(&m, graph->values[v].view, v, &graph->values[v].list);
    for (uint32_t p = 1; !status && p <= graph->nparams; p++)
        for (uint32_t d = 0; !status && d < graph->params[p].ndim; d++) {
            graph_axis *a = &graph->axes[graph->params[p].axis + d];
            if (mskpi_is_bound(a)) status = list_of(&m, a->view, 0, &a->list);
        }
    mskpi_free(services, m.by_view);
    mskpi_free(services, m.by_content);
    return status;
}

/* What a custom operator may read beside the value that its axis is bound to restricts exactness,
 * too: the channel is zero, or the weights that read it are. */
void mskpi_restrict_exact(const mskp_graph *graph, unit_table *u)
{
    for (size_t k = 0; k < graph->nreaders; k++) {
        const own_reader *r = &graph->readers[k];
        for (uint32_t v = mskpi_next_read(graph, r, 1); v; v = mskpi_next_read(graph, r, v + 1)) {
            const uint32_t *unit = u->list_units + u->lists[graph->values[v].list].first;
            for (size_t i = 0; i < graph->values[v].view.n; i++)
                if (unit[i] != MSKP_PINNED)
                    u->exact[unit[i]] &= (zero_table)(mskpi_zero(graph, v, i) | ZERO_CONSUMER);
        }
    }
}

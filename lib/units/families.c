/*
 * Families: units that stand in the same lists, equally often in each.
 *
 * A unit's incidence is the sequence of pairs (list, times) of the lists that the unit stands in.
 * The incidences are the paths of a trie. Every unit begins at the root. For each list in turn, the
 * units in the list are counted, and every unit that stands there k times moves from its node to
 * that node's child for (list, k), which is made when the first unit needs it. At the end, units at
 * the same node have the same incidence and are a family. The path from the root to the node is the
 * incidence itself, and is stored once for the family.
 *
 * No hashes are compared, so the result is exact. The children of a node are linked from the
 * newest to the oldest. Since lists come in ascending order, children for the current list are the
 * newest ones, and a search stops at the first child for another list. There are few to search: a
 * list of n channels holds units in at most sqrt(2n) different multiplicities. Otherwise the time
 * is linear in the lengths of all lists.
 */
#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/make.h"
#include "units/units.h"

typedef struct node {
    uint32_t parent, list, times;
    uint32_t child,
        sibling; /* the newest child; the next older child of the same parent; 0: none */
} node;

typedef struct trie {
    node *nodes; /* node 0 is the root, for units in no list */
    size_t n, capacity;
} trie;

/* *at <- the child of node *at for (list, times). */
static mskp_status move_to_child(const mskp_graph *graph, trie *t, uint32_t list, uint32_t times,
                                 uint32_t *at, mskp_error *err)
{
    const uint32_t parent = *at;
    MSKPI_ASSERT(parent < t->n && times > 0);
    for (uint32_t c = t->nodes[parent].child; c && t->nodes[c].list == list;
         c = t->nodes[c].sibling)
        if (t->nodes[c].times == times) {
            *at = c;
            return MSKP_OK;
        }
    node *nodes = mskpi_grow(&graph->services, t->nodes, &t->capacity, t->n, 1, sizeof *nodes);
    if (!nodes) return mskpi_no_units(graph, err);
    t->nodes = nodes;
    if (t->n >= MOST)
        return mskpi_fail(err, MSKP_ERROR_UNSUPPORTED,
                          "the units stand in %zu combinations of lists and one more; at most %zu "
                          "are told apart",
                          t->n - 1, (size_t)MOST - 1);
    MSKPI_ASSERT(!parent || nodes[parent].list < list); /* a path ascends */
    nodes[t->n] = (node){parent, list, times, 0, nodes[parent].child};
    *at = nodes[parent].child = (uint32_t)t->n++;
    return MSKP_OK;
}

/* Moves the units of one list. times[unit] is 0 for all units, before and after the call. */
static mskp_status add_list(const mskp_graph *graph, unit_table *u, uint32_t l, trie *t,
                            uint32_t *times, uint32_t *touched, uint32_t *at, mskp_error *err)
{
    const uint32_t *list = u->list_units + u->lists[l].first;
    mskp_status status = MSKP_OK;
    size_t ntouched = 0;
    for (size_t i = 0; i < u->lists[l].n; i++)
        if (list[i] != MSKP_PINNED && !times[list[i]]++) touched[ntouched++] = list[i];
    for (size_t i = 0; !status && i < ntouched; i++) {
        const uint32_t unit = touched[i];
        status = move_to_child(graph, t, l, times[unit], &at[unit], err);
        if (times[unit] > 1) u->lists[l].repeats = true;
        times[unit] = 0;
    }
    return status;
}

/* at[unit] <- the node where the unit ends. */
static mskp_status make_trie(const mskp_graph *graph, unit_table *u, trie *t, uint32_t *at,
                             mskp_error *err)
{
    const mskp_services *services = &graph->services;
    uint32_t *times = mskpi_alloc(services, u->n, sizeof *times);
    uint32_t *touched = mskpi_alloc(services, u->n, sizeof *touched);
    mskp_status status = MSKP_OK;
    t->nodes = mskpi_grow(services, NULL, &t->capacity, 0, 1, sizeof *t->nodes);
    t->n = 1;
    if (!times || !touched || !t->nodes) status = mskpi_no_units(graph, err);
    for (uint32_t l = 0; !status && l < u->nlists; l++)
        status = add_list(graph, u, l, t, times, touched, at, err);
    mskpi_free(services, times);
    mskpi_free(services, touched);
    return status;
}

/* u->family: from nodes to families, which are numbered in the order of their first units.
 * end_of[family] <- the node. */
static mskp_status number_families(const mskp_graph *graph, unit_table *u, const trie *t,
                                   uint32_t *end_of, mskp_error *err)
{
    uint32_t *number = mskpi_alloc(&graph->services, t->n, sizeof *number); /* [node] 1 + family */
    if (!number) return mskpi_no_units(graph, err);
    for (size_t i = 0; i < u->n; i++) {
        const uint32_t end = u->family[i];
        MSKPI_ASSERT(end < t->n); /* the root: all values of the unit have vanished */
        if (!number[end]) {
            end_of[u->nfamilies] = end;
            number[end] = (uint32_t)++u->nfamilies;
        }
        u->family[i] = number[end] - 1;
    }
    mskpi_free(&graph->services, number);
    return MSKP_OK;
}

/* The incidence of each family, read off the path from its node to the root. */
static mskp_status make_incidences(const mskp_graph *graph, unit_table *u, const trie *t,
                                   const uint32_t *end_of, mskp_error *err)
{
    const mskp_services *services = &graph->services;
    size_t total = 0;
    u->incidence_first = mskpi_alloc(services, u->nfamilies + 1, sizeof *u->incidence_first);
    if (!u->incidence_first) return mskpi_no_units(graph, err);
    for (size_t f = 0; f < u->nfamilies; f++) {
        for (uint32_t k = end_of[f]; k; k = t->nodes[k].parent) total++;
        u->incidence_first[f + 1] = total;
    }
    u->incidences = mskpi_alloc(services, total, sizeof *u->incidences);
    if (!u->incidences) return mskpi_no_units(graph, err);
    for (size_t f = 0; f < u->nfamilies; f++) {
        size_t at = u->incidence_first[f + 1];
        for (uint32_t k = end_of[f]; k; k = t->nodes[k].parent)
            u->incidences[--at] = (incidence){t->nodes[k].list, t->nodes[k].times};
        MSKPI_ASSERT(at == u->incidence_first[f]);
    }
    return MSKP_OK;
}

/* The units of each family, by a counting sort. Counts are kept two places late, so that their sums
 * are starts one place late, and filling moves the starts to where they belong. */
static mskp_status list_family_units(const mskp_graph *graph, unit_table *u, mskp_error *err)
{
    const mskp_services *services = &graph->services;
    u->family_first = mskpi_alloc(services, u->nfamilies + 2, sizeof *u->family_first);
    u->family_units = mskpi_alloc(services, u->n, sizeof *u->family_units);
    if (!u->family_first || !u->family_units) return mskpi_no_units(graph, err);
    for (size_t i = 0; i < u->n; i++) u->family_first[u->family[i] + 2]++;
    mskpi_prefix_sum(u->family_first + 1, u->nfamilies);
    for (size_t i = 0; i < u->n; i++)
        u->family_units[u->family_first[u->family[i] + 1]++] = (uint32_t)i;
    MSKPI_ASSERT(u->family_first[u->nfamilies] == u->n);
    return MSKP_OK;
}

mskp_status mskpi_make_families(const mskp_graph *graph, unit_table *u, mskp_error *err)
{
    const mskp_services *services = &graph->services;
    trie t = {0};
    uint32_t *end_of = mskpi_alloc(services, u->n, sizeof *end_of); /* [family] its node */
    mskp_status status = MSKP_OK;
    u->family = mskpi_alloc(services, u->n, sizeof *u->family); /* at first, the units' nodes */
    if (!u->family || !end_of) status = mskpi_no_units(graph, err);
    if (!status) status = make_trie(graph, u, &t, u->family, err);
    if (!status) status = number_families(graph, u, &t, end_of, err);
    if (!status) status = make_incidences(graph, u, &t, end_of, err);
    if (!status) status = list_family_units(graph, u, err);
    mskpi_free(services, t.nodes);
    mskpi_free(services, end_of);
    return status;
}

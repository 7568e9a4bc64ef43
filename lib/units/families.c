/*
 * Families: units that stand in the same lists, equally often in each.
 *
 * A unit's incidence is the sequence of pairs (list, how often) of the lists that it stands in. The
 * sequences are kept as paths of a trie. Every unit begins at the root. The lists are gone through
 * in order; each list moves every unit that it holds, k times, from its node to that node's child
 * for (list, k), which is made when it is first needed. Units that end at the same node have the
 * same incidence and are a family, and the path from the root to this node is the incidence itself.
 *
 * No hashes are compared, so that the result is exact. A node's children are linked from the newest
 * to the oldest. The children for the current list are the newest, so that the search for one of
 * them stops at the first child of another list. The time is linear in the lengths of all lists.
 */
#include "base/memory.h"
#include "describe/graph.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/make.h"
#include "units/units.h"

typedef struct node {
    uint32_t parent, list, times;
    uint32_t child, sibling; /* newest child; the child before it */
} node;

typedef struct tree {
    node *nodes; /* 0: the root, a unit in no list */
    size_t n, capacity;
} tree;

/* The child of `at` for so many times in this list. 1: no memory. */
static int child_of(const mskp_services *host, tree *t, uint32_t at, uint32_t list, uint32_t times,
                    uint32_t *found)
{
    for (uint32_t c = t->nodes[at].child; c && t->nodes[c].list == list; c = t->nodes[c].sibling)
        if (t->nodes[c].times == times) {
            *found = c;
            return 0;
        }
    node *nodes = mskpi_grow(host, t->nodes, &t->capacity, t->n, 1, sizeof *nodes);
    if (!nodes || t->n >= UINT32_MAX) return 1;
    t->nodes = nodes;
    nodes[t->n] = (node){at, list, times, 0, nodes[at].child};
    *found = nodes[at].child = (uint32_t)t->n++;
    return 0;
}

static int grow_tree(const mskp_services *host, unit_table *u, tree *t, uint32_t *at)
{
    uint32_t *times = mskpi_alloc(host, u->n, sizeof *times);
    uint32_t *touched = mskpi_alloc(host, u->n, sizeof *touched);
    int failed = !times || !touched;
    t->nodes = mskpi_grow(host, NULL, &t->capacity, 0, 1, sizeof *t->nodes);
    t->n = 1;
    failed |= !t->nodes;
    for (uint32_t l = 0; !failed && l < u->nlists; l++) {
        const uint32_t *list = u->list_units + u->lists[l].first;
        size_t ntouched = 0;
        for (size_t i = 0; i < u->lists[l].n; i++)
            if (list[i] != MSKP_PINNED && !times[list[i]]++) touched[ntouched++] = list[i];
        for (size_t i = 0; !failed && i < ntouched; i++) {
            const uint32_t unit = touched[i];
            failed = child_of(host, t, at[unit], l, times[unit], &at[unit]);
            u->lists[l].repeats |= times[unit] > 1;
            times[unit] = 0;
        }
    }
    mskpi_free(host, times);
    mskpi_free(host, touched);
    return failed;
}

int mskpi_make_families(const mskp_graph *graph, unit_table *u)
{
    const mskp_services *host = &graph->services;
    tree t = {0};
    size_t total = 0;
    int failed;
    uint32_t *number = NULL, *end_of = NULL; /* node -> 1 + family; family -> node */
    u->family = mskpi_alloc(host, u->n, sizeof *u->family);
    u->family_units = mskpi_alloc(host, u->n, sizeof *u->family_units);
    failed = !u->family || !u->family_units || grow_tree(host, u, &t, u->family);
    if (!failed) {
        number = mskpi_alloc(host, t.n, sizeof *number);
        end_of = mskpi_alloc(host, t.n, sizeof *end_of);
        failed = !number || !end_of;
    }
    for (size_t i = 0; !failed && i < u->n; i++) { /* from nodes to families, by first unit */
        uint32_t *f = &number[u->family[i]];
        if (!*f) {
            end_of[u->nfamilies] = u->family[i];
            *f = (uint32_t)++u->nfamilies;
        }
        u->family[i] = *f - 1;
    }
    if (!failed) {
        u->family_first = mskpi_alloc(host, u->nfamilies + 2, sizeof *u->family_first);
        u->incidence_first = mskpi_alloc(host, u->nfamilies + 1, sizeof *u->incidence_first);
        failed = !u->family_first || !u->incidence_first;
    }
    for (size_t f = 0; !failed && f < u->nfamilies; f++) {
        u->incidence_first[f] = total;
        for (uint32_t k = end_of[f]; k; k = t.nodes[k].parent) total++;
        u->incidence_first[f + 1] = total;
    }
    if (!failed) {
        u->incidences = mskpi_alloc(host, total, sizeof *u->incidences);
        failed = !u->incidences;
    }
    if (!failed) {
        for (size_t f = 0; f < u->nfamilies; f++) {
            size_t at = u->incidence_first[f + 1];
            for (uint32_t k = end_of[f]; k; k = t.nodes[k].parent)
                u->incidences[--at] = (incidence){t.nodes[k].list, t.nodes[k].times};
        }
        /* Counting sort: starts one place late, so that filling moves them where they belong. */
        for (size_t i = 0; i < u->n; i++) u->family_first[u->family[i] + 2]++;
        mskpi_prefix_sum(u->family_first + 1, u->nfamilies);
        for (size_t i = 0; i < u->n; i++)
            u->family_units[u->family_first[u->family[i] + 1]++] = (uint32_t)i;
    }
    mskpi_free(host, t.nodes);
    mskpi_free(host, number);
    mskpi_free(host, end_of);
    return failed;
}

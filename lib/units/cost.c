/*
 * The cost of a network whose lists have been shortened.
 *
 * mskp_graph_finish has written every cost as a sum of terms (members.c), each a coefficient times
 * the lengths of some lists of channels: a convolution costs coefficient x |out| x |in|
 * multiply-accumulates. A unit shortens the lists that it stands in, so the difference that it
 * makes is found in the terms of these lists alone. All units of a family stand in the same lists,
 * equally often, and make the same difference.
 */
#include "units/cost.h"
#include "base/assert.h"
#include "base/memory.h"
#include "describe/graph.h"
#include "mskp.h"
#include "units/units.h"

uint64_t mskpi_term_value(const cost_term *term, const size_t *list_length)
{
    uint64_t product = term->coefficient;
    MSKPI_ASSERT(term->nlists <= MSKP_MAX_DIMS + 1);
    for (uint32_t k = 0; k < term->nlists; k++) product *= list_length[term->lists[k]];
    return product;
}

void mskpi_list_lengths(const mskp_graph *graph, const uint8_t *keep, size_t *length)
{
    for (size_t l = 0; l < graph->u->nlists; l++) {
        const uint32_t *unit = graph->u->list_units + graph->u->lists[l].first;
        const size_t n = graph->u->lists[l].n;
        size_t removed = 0;
        for (size_t i = 0; keep && i < n;
             i++) /* without a branch on the mask, which is hard to predict */
            if (unit[i] != MSKP_PINNED) removed += !keep[unit[i]];
        MSKPI_ASSERT(removed <= n);
        length[l] = n - removed;
    }
}

/* The cost of the terms of a family's lists, each term once. `mark` was in no element of seen. */
static mskp_cost family_terms(const unit_table *u, size_t family, const size_t *length,
                              size_t *seen, size_t mark)
{
    mskp_cost cost = {0, 0};
    for (size_t i = u->incidence_first[family]; i < u->incidence_first[family + 1]; i++) {
        const uint32_t list = u->incidences[i].list;
        for (size_t k = u->list_term_first[list]; k < u->list_term_first[list + 1]; k++) {
            const uint32_t t = u->list_terms[k];
            if (seen[t] == mark) continue;
            seen[t] = mark;
            const double x = (double)mskpi_term_value(&u->terms[t], length);
            *(u->terms[t].is_params ? &cost.params : &cost.macs) += x;
        }
    }
    return cost;
}

/* What the network saves if one unit of a family is removed. length: [lists] of the whole network,
 * changed and restored. seen: [terms], for the marks of family_terms. */
static mskp_cost unit_cost(const mskp_graph *graph, size_t family, size_t *length, size_t *seen)
{
    const unit_table *u = graph->u;
    const size_t first = u->incidence_first[family], end = u->incidence_first[family + 1];
    const size_t mark = 2 * family + 1;
    const mskp_cost whole = family_terms(u, family, length, seen, mark);
    for (size_t i = first; i < end; i++) {
        MSKPI_ASSERT(length[u->incidences[i].list] >= u->incidences[i].times);
        length[u->incidences[i].list] -= u->incidences[i].times;
    }
    const mskp_cost left = family_terms(u, family, length, seen, mark + 1);
    for (size_t i = first; i < end; i++) length[u->incidences[i].list] += u->incidences[i].times;
    return (mskp_cost){whole.macs - left.macs, whole.params - left.params};
}

bool mskpi_unit_costs(const mskp_graph *graph, mskp_cost *cost)
{
    const mskp_services *services = &graph->services;
    size_t *length = mskpi_alloc(services, graph->u->nlists, sizeof *length);
    size_t *seen = mskpi_alloc(services, graph->u->nterms, sizeof *seen);
    const bool good = length && seen;
    if (good) {
        mskpi_list_lengths(graph, NULL, length);
        for (size_t f = 0; f < graph->u->nfamilies; f++)
            cost[f] = unit_cost(graph, f, length, seen);
    }
    mskpi_free(services, length);
    mskpi_free(services, seen);
    return good;
}

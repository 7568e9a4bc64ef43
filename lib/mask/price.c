/*
 * Scores per unit of a budget: what a unit is worth, over what its removal saves.
 *
 * A budget of time alone decides when a selection stops, and not which units leave: their order is
 * that of the scores. Divided by what a unit saves, the scores put units first whose removal makes
 * the network faster. Savings are measured on the whole network, family by family, for a block of
 * units, because measured times often fall in steps of several channels. A peak is no sum: one
 * family alone often does not lower it, though several together do. So savings of a peak are
 * refused.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "mskp.h"
#include "mskp/rules.h"
#include "mskp/tools.h"
#include "units/units.h"

static mskp_status check_score(double x, size_t unit, mskp_error *err)
{
    char number[NUMBER_SIZE];
    if (x >= 0) return MSKP_OK;
    return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "unit %zu scores %s, not 0 or more", unit,
                      mskpi_number(x, number));
}

/* price[f] <- what one unit of each family saves. keep: all 1, before and after. */
static mskp_status find_prices(const mskp_graph *graph, const mskp_budget *budget, size_t block,
                               mskp_mask keep, double *price, mskp_error *err)
{
    double whole = 0, left = 0;
    mskp_status status = mskp_budget_measure(graph, keep, budget, &whole, err);
    for (size_t f = 0; !status && f < graph->u->nfamilies; f++) {
        size_t size;
        const uint32_t *unit = mskp_family_units(graph, f, &size);
        const size_t n = block < size ? block : size;
        for (size_t i = 0; i < n; i++) keep.unit[unit[i]] = 0;
        status = mskp_budget_measure(graph, keep, budget, &left, err);
        for (size_t i = 0; i < n; i++) keep.unit[unit[i]] = 1;
        price[f] = (whole - left) / (double)n;
    }
    return status;
}

mskp_status mskp_score_per_budget(const mskp_graph *graph, const mskp_budget *budget, size_t block,
                                  mskp_scores scores, mskp_error *err)
{
    char number[NUMBER_SIZE];
    mskp_status status = mskpi_check_scores(graph, "scores", scores, err);
    if (!status) status = MSKPI_GIVEN(err, budget);
    if (!status && budget->kind == MSKP_BUDGET_ACTIVATIONS)
        status = mskpi_fail(err, MSKP_ERROR_UNSUPPORTED,
                            "budget: a peak of activations is no sum: a unit that is not at the "
                            "peak would save nothing, and never leave");
    for (size_t u = 0; !status && u < scores.n; u++) status = check_score(scores.unit[u], u, err);
    if (status) return status;
    const mskp_services *services = &graph->services;
    const mskp_mask keep = {scores.n, mskpi_alloc(services, scores.n, 1)};
    double *price = mskpi_alloc(services, graph->u->nfamilies, sizeof *price);
    if (!keep.unit || !price) {
        status = mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while measuring %zu families",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY), graph->u->nfamilies);
    } else {
        memset(keep.unit, 1, scores.n);
        status = find_prices(graph, budget, block ? block : 1, keep, price, err);
    }
    for (size_t u = 0; !status && u < scores.n; u++) {
        const double x = scores.unit[u], p = price[graph->u->family[u]];
        if (p > 0 && isfinite(x) && !isfinite(x / p))
            status = mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                                "unit %zu: no double can hold its score over %s", u,
                                mskpi_number(p, number));
    }
    for (size_t u = 0; !status && u < scores.n; u++) {
        const double p = price[graph->u->family[u]];
        scores.unit[u] = p > 0 ? scores.unit[u] / p : INFINITY;
    }
    mskpi_free(services, keep.unit);
    mskpi_free(services, price);
    return status;
}

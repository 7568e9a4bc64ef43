/*
 * The cost of the network under a mask.
 *
 * To measure a mask is to count the channels of each list that stay, once, and to multiply the
 * terms of the cost out (units/cost.c); what vanishes (vanish.c) counts 0. mskp_graph_finish made
 * sure that the whole network costs at most 2^53, so sums are exact in whole numbers and in
 * doubles, in any order.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "base/overlap.h"
#include "base/status.h"
#include "describe/graph.h"
#include "mask/vanish.h"
#include "mskp.h"
#include "units/cost.h"
#include "units/units.h"

mskp_status mskp_measure(const mskp_graph *graph, mskp_mask keep, mskp_cost *total,
                         mskp_cost *per_value, mskp_error *err)
{
    mskp_status status = mskpi_check_optional_mask(graph, "keep", keep, err);
    vanishing gone;
    if (!status)
        status = mskpi_check_apart(
            (call_array){"per_value", per_value, graph->nvalues * sizeof *per_value},
            mskpi_mask_array("keep", keep), err);
    if (!status) status = mskpi_vanish_make(&gone, graph, err);
    if (status) return status;
    size_t *length = mskpi_alloc(&graph->services, graph->u->nlists, sizeof *length);
    if (!length) {
        mskpi_vanish_free(&gone);
        return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while measuring",
                          mskp_status_text(MSKP_ERROR_NO_MEMORY));
    }
    mskpi_list_lengths(graph, keep.unit, length);
    (void)mskpi_vanish(&gone, length, NULL); /* a mask that a plan would refuse can be measured */
    if (total) *total = (mskp_cost){0, 0};
    for (size_t v = 0; per_value && v < graph->nvalues; v++) per_value[v] = (mskp_cost){0, 0};
    for (size_t t = 0; t < graph->u->nterms; t++) {
        const cost_term *term = &graph->u->terms[t];
        MSKPI_ASSERT(term->value >= 1 && term->value <= graph->nvalues);
        const double x = (double)mskpi_term_left(&gone, term, length);
        if (total) *(term->is_params ? &total->params : &total->macs) += x;
        if (per_value) {
            mskp_cost *cost = &per_value[term->value - 1];
            *(term->is_params ? &cost->params : &cost->macs) += x;
        }
    }
    mskpi_free(&graph->services, length);
    mskpi_vanish_free(&gone);
    return MSKP_OK;
}

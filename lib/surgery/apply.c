/*
 * Surgery of a network whose constants are moved first: the plan, then the constants, then the cut.
 *
 * The plan comes first because it is the plan that refuses a mask, and nothing is written yet then.
 * mskp_constants_apply asks for the plan, so that it cannot come before it. A plan that was made for
 * constants is not ready until they are applied: mskp_plan_cut refuses it.
 */
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "constants/constants.h"
#include "describe/graph.h"
#include "mskp.h"
#include "mskp/constants.h"
#include "surgery/plan.h"
#include "units/units.h"

mskp_status mskp_constants_plan(const mskp_constants *constants, mskp_plan **plan,
                                mskp_graph **small, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, constants, plan);
    if (status) return status;
    const mskp_graph *graph = mskpi_constants_graph(constants);
    mskp_mask kept = {graph->u->n, mskpi_alloc(&graph->services, graph->u->n, 1)};
    if (!kept.unit)
        return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while planning",
                          mskp_status_text(MSKP_ERROR_NO_MEMORY));
    for (size_t u = 0; u < kept.n; u++) kept.unit[u] = mskpi_constants_keep(constants, u) != 0;
    status = mskp_plan_create(graph, kept, plan, small, err);
    if (!status) (*plan)->awaits_constants = true;
    mskpi_free(&graph->services, kept.unit);
    return status;
}

/* The plan must cut the network of these constants, and keep what they keep. */
static mskp_status check_plan(const mskp_constants *constants, const mskp_plan *plan,
                              mskp_error *err)
{
    const mskp_graph *graph = mskpi_constants_graph(constants);
    if (plan->units != graph->u->n || plan->nparams != graph->nparams ||
        plan->nvalues != graph->nvalues)
        return mskpi_fail(err, MSKP_ERROR_OTHER_NETWORK,
                          "the plan is of a network of %zu units, the constants are of one of %zu",
                          plan->units, graph->u->n);
    for (size_t u = 0; u < plan->units; u++)
        if (plan->keep[u] != (mskpi_constants_keep(constants, u) != 0))
            return mskpi_fail(err, MSKP_ERROR_OTHER_NETWORK,
                              "unit %zu %s by the plan, but not by the constants; make the plan "
                              "by mskp_constants_plan",
                              u, plan->keep[u] ? "stays" : "is removed");
    return MSKP_OK;
}

mskp_status mskp_constants_apply(const mskp_constants *constants, mskp_plan *plan,
                                 mskp_tensors values, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, constants, plan);
    if (!status) status = check_plan(constants, plan, err);
    if (!status)
        status = mskpi_check_set(values, "values", mskpi_constants_graph(constants)->nparams, err);
    if (!status) status = mskpi_write_constants(constants, values, NULL, 1, err);
    if (!status) plan->awaits_constants = false;
    return status;
}

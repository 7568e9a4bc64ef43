/*
 * Surgery of a network whose constants are moved first: the plan, then the constants, then the cut.
 *
 * The plan must come first, because only mskp_plan_create refuses a mask, and at that time nothing
 * has been written yet. mskp_constants_apply needs the plan, so a program cannot apply the
 * constants before it has one. A plan that was made by mskp_constants_plan awaits its constants:
 * mskp_plan_cut refuses the plan until mskp_constants_apply has succeeded with it. So a program can
 * neither write constants into a network that cannot be cut nor lose them in a cut.
 *
 * Applying is a matter of the stage of constants (constants/writing.c). These calls stand here
 * because they know plans, which is a later stage.
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
    for (size_t u = 0; u < kept.n; u++) kept.unit[u] = mskpi_constants_keeps(constants, u);
    status = mskp_plan_create(graph, kept, plan, small, err);
    if (!status) (*plan)->awaits_constants = true;
    mskpi_free(&graph->services, kept.unit);
    return status;
}

/* Refuses a plan of another network, or one that keeps another mask than the constants. */
static mskp_status check_plan(const mskp_constants *constants, const mskp_plan *plan,
                              mskp_error *err)
{
    const mskp_graph *graph = mskpi_constants_graph(constants);
    if (plan->units != graph->u->n || plan->nparams != graph->nparams ||
        plan->nvalues != graph->nvalues)
        return mskpi_fail(err, MSKP_ERROR_OTHER_NETWORK,
                          "the plan is of a network of %zu units, %zu parameters and %zu values, "
                          "the constants are of one of %zu, %zu and %zu",
                          plan->units, plan->nparams, plan->nvalues, graph->u->n, graph->nparams,
                          graph->nvalues);
    for (size_t u = 0; u < plan->units; u++)
        if (plan->keep[u] != mskpi_constants_keeps(constants, u))
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
    if (!status) status = mskpi_apply_constants(constants, values, err);
    if (!status) plan->awaits_constants = false;
    return status;
}

/*
 * The end of the description: mskp_graph_finish finds the units, and mskp_graph_destroy frees the
 * graph with its units.
 *
 * The other files of this stage make the arrays of one unit_table, each in time linear in the
 * lists:
 *
 *   classes.c    channels -> units, and the distinct lists of units
 *   families.c   units -> families
 *   members.c    units -> slices of parameters; the terms of the cost
 *   trace.c      values -> the operators that limit which channels can be removed
 *
 * The graph gets the table only when all of it is made. After a failure everything is freed, and
 * mskp_graph_finish may be called again.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/make.h"
#include "units/units.h"

static void free_units(const mskp_services *services, unit_table *u)
{
    if (!u) return;
    mskpi_free(services, u->of_channel);
    mskpi_free(services, u->exact);
    mskpi_free(services, u->inexact);
    mskpi_free(services, u->lists);
    mskpi_free(services, u->list_units);
    mskpi_free(services, u->family);
    mskpi_free(services, u->family_first);
    mskpi_free(services, u->family_units);
    mskpi_free(services, u->incidence_first);
    mskpi_free(services, u->incidences);
    mskpi_free(services, u->member_first);
    mskpi_free(services, u->members);
    mskpi_free(services, u->terms);
    mskpi_free(services, u->list_term_first);
    mskpi_free(services, u->list_terms);
    mskpi_free(services, u->freedom);
    mskpi_free(services, u);
}

mskp_status mskpi_units_make(mskp_graph *graph, mskp_error *err)
{
    unit_table *u = mskpi_alloc(&graph->services, 1, sizeof *u);
    if (!u) return mskpi_no_units(graph, err);
    mskp_status status = mskpi_number_units(graph, u, err);
    if (!status) status = mskpi_make_lists(graph, u, err);
    if (!status) mskpi_restrict_exact(graph, u);
    if (!status) status = mskpi_make_families(graph, u, err);
    if (!status) status = mskpi_make_members(graph, u, err);
    if (!status) status = mskpi_make_freedom(graph, u, err);
    if (!status) status = mskpi_make_terms(graph, u, err);
    if (status)
        free_units(&graph->services, u);
    else
        graph->u = u;
    return status;
}

mskp_status mskp_graph_finish(mskp_graph *graph, mskp_error *err)
{
    char buffer[NAME_SIZE];
    mskp_status status = MSKPI_GIVEN(err, graph);
    if (status) return status;
    if (graph->finished)
        return mskpi_fail(err, MSKP_ERROR_BAD_STATE, "the graph is finished already");
    if (graph->error.status) {
        if (err) *err = graph->error;
        return graph->error.status;
    }
    for (uint32_t p = 1; p <= graph->nparams; p++)
        if (!graph->params[p].owner)
            return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                              "%s: the parameter is bound to no channels: no operator uses it",
                              mskpi_short(mskpi_param_name(graph, p), buffer));
    status = mskpi_units_make(graph, err);
    if (status) return status;
    MSKPI_ASSERT(graph->u);
    graph->finished = true;
    return MSKP_OK;
}

void mskp_graph_destroy(mskp_graph *graph)
{
    if (!graph) return;
    free_units(&graph->services, graph->u);
    mskpi_description_free(graph);
}

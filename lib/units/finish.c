/*
 * The end of the description: mskp_graph_finish turns the ties into units, mskp_graph_destroy frees
 * the graph with its units.
 *
 * The units are made by the other files of this stage, one array after the other, into one
 * unit_table. The graph gets the table only when all of it is made; after a failure everything is
 * freed, and the graph is as it was before.
 */
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/make.h"
#include "units/units.h"

static void free_units(const mskp_services *host, unit_table *u)
{
    if (!u) return;
    mskpi_free(host, u->of_channel);
    mskpi_free(host, u->exact);
    mskpi_free(host, u->inexact);
    mskpi_free(host, u->lists);
    mskpi_free(host, u->list_units);
    mskpi_free(host, u->family);
    mskpi_free(host, u->family_first);
    mskpi_free(host, u->family_units);
    mskpi_free(host, u->incidence_first);
    mskpi_free(host, u->incidences);
    mskpi_free(host, u->member_first);
    mskpi_free(host, u->members);
    mskpi_free(host, u->terms);
    mskpi_free(host, u->list_term_first);
    mskpi_free(host, u->list_terms);
    mskpi_free(host, u->freedom);
    mskpi_free(host, u);
}

mskp_status mskpi_units_make(mskp_graph *graph, mskp_error *err)
{
    unit_table *u = mskpi_alloc(&graph->services, 1, sizeof *u);
    mskp_status status = MSKP_ERROR_NO_MEMORY;
    if (u && !mskpi_number_units(graph, u) && !mskpi_make_lists(graph, u) &&
        !mskpi_make_families(graph, u) && !mskpi_make_members(graph, u) &&
        !mskpi_make_freedom(graph, u))
        status = mskpi_make_terms(graph, u, err);
    if (!status) {
        graph->u = u;
        return MSKP_OK;
    }
    free_units(&graph->services, u);
    if (status == MSKP_ERROR_NO_MEMORY)
        mskpi_fail(err, status, "%s while finishing a graph of %zu channels",
                   mskp_status_text(status), graph->nchannels);
    return status;
}

mskp_status mskp_graph_finish(mskp_graph *graph, mskp_error *err)
{
    char room[NAME_SIZE];
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
                              mskpi_short(mskpi_param_name(graph, p), room));
    status = mskpi_units_make(graph, err);
    if (status) return status;
    graph->finished = 1;
    return MSKP_OK;
}

void mskp_graph_destroy(mskp_graph *graph)
{
    if (!graph) return;
    free_units(&graph->services, graph->u);
    mskpi_description_free(graph);
}

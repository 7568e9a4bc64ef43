/*
 * The lifetime of a description: making an empty graph, freeing what the description owns, and the
 * state of its errors.
 *
 * The first error while describing sticks. It is kept in the graph, all later calls that describe
 * return its status, and mskp_graph_finish reports it. mskp_graph_destroy is in the stage of units,
 * because it must free the units, too.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/memory.h"
#include "describe/graph.h"
#include "describe/step.h"
#include "mskp.h"
#include "mskp/operators.h"
#include "mskp/tools.h"

mskp_graph *mskp_graph_create(const mskp_services *host)
{
    mskp_services services;
    mskp_graph *graph;
    mskpi_host_init(&services, host);
    graph = mskpi_alloc(&services, 1, sizeof *graph);
    if (!graph) return NULL;
    graph->host = services;
    graph->params = mskpi_grow(&services, NULL, &graph->params_capacity, 0, 1, sizeof(graph_param));
    graph->values = mskpi_grow(&services, NULL, &graph->values_capacity, 0, 1, sizeof(graph_value));
    graph->steps = mskpi_grow(&services, NULL, &graph->steps_capacity, 0, 1, sizeof(graph_step));
    if (!graph->params || !graph->values || !graph->steps) {
        mskpi_description_free(graph);
        return NULL;
    }
    (void)mskpi_check_host(host, &graph->error);
    return graph;
}

void mskpi_description_free(mskp_graph *graph)
{
    const mskp_services host = graph->host;
    mskpi_free(&host, graph->params);
    mskpi_free(&host, graph->axes);
    mskpi_free(&host, graph->values);
    mskpi_free(&host, graph->listed);
    mskpi_free(&host, graph->channels);
    mskpi_free(&host, graph->events);
    mskpi_free(&host, graph->zeros);
    mskpi_free(&host, graph->macs);
    mskpi_free(&host, graph->steps);
    mskpi_free(&host, graph->step_inputs);
    mskpi_free(&host, graph->places);
    mskpi_free(&host, graph->readers);
    mskpi_free(&host, graph->text);
    mskpi_free(&host, graph->param_names.slot);
    mskpi_free(&host, graph->value_names.slot);
    mskpi_free(&host, graph);
}

mskp_status mskpi_graph_fail(mskp_graph *graph, mskp_status status, const char *format, ...)
{
    va_list arguments;
    if (graph->error.status) return graph->error.status;
    graph->error.status = status;
    va_start(arguments, format);
    vsnprintf(graph->error.text, sizeof graph->error.text, format, arguments);
    va_end(arguments);
    return status;
}

mskp_status mskpi_no_memory(mskp_graph *graph)
{
    return mskpi_graph_fail(graph, MSKP_ERROR_NO_MEMORY, "%s while describing the network",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY));
}

int mskpi_describing(const mskp_graph *graph, mskp_status *status)
{
    *status = !graph            ? MSKP_ERROR_BAD_ARGUMENT
              : graph->finished ? MSKP_ERROR_BAD_STATE
                                : graph->error.status;
    return *status == MSKP_OK;
}

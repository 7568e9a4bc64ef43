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
    mskpi_services_init(&services, host);
    graph = mskpi_alloc(&services, 1, sizeof *graph);
    if (!graph) return NULL;
    graph->services = services;
    graph->params = mskpi_grow(&services, NULL, &graph->params_capacity, 0, 1, sizeof(graph_param));
    graph->values = mskpi_grow(&services, NULL, &graph->values_capacity, 0, 1, sizeof(graph_value));
    graph->steps = mskpi_grow(&services, NULL, &graph->steps_capacity, 0, 1, sizeof(graph_step));
    if (!graph->params || !graph->values || !graph->steps) {
        mskpi_description_free(graph);
        return NULL;
    }
    (void)mskpi_check_services(host, &graph->error);
    return graph;
}

void mskpi_description_free(mskp_graph *graph)
{
    const mskp_services services = graph->services;
    mskpi_free(&services, graph->params);
    mskpi_free(&services, graph->axes);
    mskpi_free(&services, graph->values);
    mskpi_free(&services, graph->listed);
    mskpi_free(&services, graph->channels);
    mskpi_free(&services, graph->events);
    mskpi_free(&services, graph->zeros);
    mskpi_free(&services, graph->macs);
    mskpi_free(&services, graph->steps);
    mskpi_free(&services, graph->step_inputs);
    mskpi_free(&services, graph->places);
    mskpi_free(&services, graph->readers);
    mskpi_free(&services, graph->text);
    mskpi_free(&services, graph->param_names.slot);
    mskpi_free(&services, graph->value_names.slot);
    mskpi_free(&services, graph);
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

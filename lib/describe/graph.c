/*
 * The lifetime of a description, and the state of its errors.
 *
 * Calls that describe a network need no checks of their own. The first error is kept in the graph
 * with its sentence, every later call that describes fails with the same status and changes
 * nothing, and mskp_graph_finish reports the error. Inside the library a function of this stage
 * that can fail fills the graph's error and returns its status. Therefore a caller that sees any
 * failure may return mskpi_first_error(graph).
 *
 * mskp_graph_destroy is in the stage of units, because it must free the units, too.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/step.h"
#include "mskp.h"
#include "mskp/operators.h"
#include "mskp/tools.h"

mskp_graph *mskp_graph_create(const mskp_services *given)
{
    mskp_services services;
    mskpi_services_init(&services, given);
    mskp_graph *graph = mskpi_alloc(&services, 1, sizeof *graph);
    if (!graph) return NULL;
    graph->services = services;
    graph->params = mskpi_grow(&services, NULL, &graph->params_capacity, 0, 1, sizeof(graph_param));
    graph->values = mskpi_grow(&services, NULL, &graph->values_capacity, 0, 1, sizeof(graph_value));
    graph->steps = mskpi_grow(&services, NULL, &graph->steps_capacity, 0, 1, sizeof(graph_step));
    if (!graph->params || !graph->values || !graph->steps) {
        mskpi_description_free(graph);
        return NULL;
    }
    (void)mskpi_check_services(given, &graph->error); /* mskp_graph_finish reports this error */
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

/* Fills the graph's error with a sentence that begins with `prefix`. */
static mskp_status fail(mskp_graph *graph, mskp_status status, const char *prefix,
                        const char *format, va_list arguments)
{
    mskp_error *e = &graph->error;
    const size_t length = strlen(prefix);
    MSKPI_ASSERT(status != MSKP_OK && !graph->finished && length < sizeof e->text);
    MSKPI_ASSERT(!e->status); /* whoever sees a failure describes no further */
    e->status = status;
    memcpy(e->text, prefix, length);
    vsnprintf(e->text + length, sizeof e->text - length, format, arguments);
    return status;
}

mskp_status mskpi_graph_fail(mskp_graph *graph, mskp_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    status = fail(graph, status, "", format, arguments);
    va_end(arguments);
    return status;
}

mskp_status mskpi_refuse(mskp_graph *graph, const char *label, mskp_status status,
                         const char *format, ...)
{
    va_list arguments;
    char name[NAME_SIZE], prefix[NAME_SIZE + 2];
    snprintf(prefix, sizeof prefix, "%s: ", mskpi_short(label, name));
    va_start(arguments, format);
    status = fail(graph, status, prefix, format, arguments);
    va_end(arguments);
    return status;
}

mskp_status mskpi_no_memory(mskp_graph *graph)
{
    return mskpi_graph_fail(graph, MSKP_ERROR_NO_MEMORY, "%s while describing the network",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY));
}

mskp_status mskpi_check_describing(const mskp_graph *graph)
{
    if (!graph) return MSKP_ERROR_BAD_ARGUMENT;
    if (graph->finished) return MSKP_ERROR_BAD_STATE;
    return graph->error.status;
}

/* Parameters, values, lists of channels, and recorded steps. */
#ifndef MSKP_DESCRIBE_VALUES_H
#define MSKP_DESCRIBE_VALUES_H

#include "base/assert.h"
#include "describe/graph.h"
#include "mskp/operators.h"

/* What operators return on failure. */
#define NO_VALUE ((mskp_value){0})

/* Functions below take the `label` of the operator that calls them (mskpi_label), for error
 * messages. */

/* *v <- a copy of the value behind a handle: the arrays of a graph move while it grows. Refuses a
 * handle that is not of this graph, and a graph that is not being described. */
mskp_status mskpi_get_value(mskp_graph *graph, const char *label, mskp_value handle,
                            graph_value *v);
/* *p <- a copy of the parameter behind a handle. `what` is the operator's word for it. */
mskp_status mskpi_get_param(mskp_graph *graph, const char *label, const char *what,
                            mskp_param handle, graph_param *p);

/* *out <- a new value over a list. name NULL: the name is derived from op. */
mskp_status mskpi_new_value(mskp_graph *graph, const char *name, const char *op, list_view view,
                            uint32_t nspatial, const size_t *spatial, mskp_value *out);
/* *view <- a new list of n new channels. */
mskp_status mskpi_new_channels(mskp_graph *graph, const char *label, size_t n, list_view *view);
/* *view <- a new list of n entries in graph->listed, which the operator fills in. */
mskp_status mskpi_new_list(mskp_graph *graph, const char *label, size_t n, list_view *view);

/* Records what computes a value. *step <- the record, in which the operator sets the fields of its
 * kind. step may be NULL if there are none. */
mskp_status mskpi_add_step(mskp_graph *graph, mskp_value value, step_kind kind, size_t n,
                           const mskp_value *inputs, graph_step **step);
/* *places <- n places for a step, which the operator fills in. Sets step->first. */
mskp_status mskpi_add_places(mskp_graph *graph, graph_step *step, size_t n, uint32_t **places);

/* The number of spatial positions: the product of the lengths of the spatial axes. */
size_t mskpi_positions(const graph_value *v);

static inline list_view mskpi_view_of(const mskp_graph *graph, mskp_value v)
{
    MSKPI_ASSERT(v.id >= 1 && v.id <= graph->nvalues);
    return graph->values[v.id].view;
}

#endif

/* Parameters, values, lists of channels, and recorded steps. */
#ifndef MSKP_DESCRIBE_VALUES_H
#define MSKP_DESCRIBE_VALUES_H

#include "describe/graph.h"
#include "mskp/operators.h"

/* The value behind a handle, or NULL after a sentence. `who` is the operator's name, for it. */
const graph_value *mskpi_value(mskp_graph *graph, const char *who, mskp_value handle);
/* `what`: what the operator calls it, for sentences. */
const graph_param *mskpi_param(mskp_graph *graph, const char *who, const char *what,
                               mskp_param handle);

/* A value over a list; handle 0 on failure. name NULL: derived from op. */
mskp_value mskpi_new_value(mskp_graph *graph, const char *name, const char *op, list_view view,
                           uint32_t nspatial, const size_t *spatial);
/* n new channels, listed. 0: done. */
int mskpi_new_channels(mskp_graph *graph, const char *who, size_t n, list_view *view);
/* Room for a new list of n channels, not yet filled. 0: done. */
int mskpi_new_list(mskp_graph *graph, const char *who, size_t n, list_view *view);

/* What computes a value; to be filled in. NULL: no memory, which has been said. */
graph_step *mskpi_step(mskp_graph *graph, mskp_value value, step_kind kind, size_t n,
                       const mskp_value *inputs);
/* Room for n places; *first <- where they begin. NULL: no memory, which has been said. */
uint32_t *mskpi_places(mskp_graph *graph, size_t n, size_t *first);

size_t mskpi_positions(const graph_value *v);

static inline list_view mskpi_view_of(const mskp_graph *graph, mskp_value v)
{
    return graph->values[v.id].view;
}

#endif

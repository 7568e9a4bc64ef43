/* Ties, pins, and bindings of axes. */
#ifndef MSKP_DESCRIBE_TIES_H
#define MSKP_DESCRIBE_TIES_H

#include "describe/graph.h"
#include "mskp/operators.h"

/* `by`: the value whose operator pins. */
mskp_status mskpi_pin(mskp_graph *graph, const char *who, mskp_value handle, uint32_t by);

mskp_status mskpi_tie_lists(mskp_graph *graph, list_view a, list_view b, uint32_t by);
/* All channels of a list, with each other; position p of every one of n equal parts. */
mskp_status mskpi_tie_all(mskp_graph *graph, list_view view, uint32_t by);
mskp_status mskpi_tie_parts(mskp_graph *graph, list_view view, size_t n, uint32_t by);
/* `owner`: the value that a parameter counts for, if this binds it first; `by`: the one whose
 * operator binds. */
mskp_status mskpi_bind(mskp_graph *graph, mskp_param handle, uint32_t axis, uint32_t roles,
                       list_view view, uint32_t owner, uint32_t by);
/* mskp_bind and mskp_attach by an operator that the library knows. */
mskp_status mskpi_bind_value(mskp_graph *graph, mskp_param handle, uint32_t axis, uint32_t roles,
                             mskp_value value);
mskp_status mskpi_attach(mskp_graph *graph, mskp_param handle, mskp_value value);

uint32_t mskpi_find_root(const mskp_graph *graph, uint32_t channel);

#endif

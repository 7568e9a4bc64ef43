/* Ties, pins, and bindings of axes. */
#ifndef MSKP_DESCRIBE_TIES_H
#define MSKP_DESCRIBE_TIES_H

#include "describe/graph.h"
#include "mskp/operators.h"

/* `by` is the value whose operator ties, pins or binds. */

/* Ties channel i of list a to channel i of list b, for all i. The lists have equal lengths. */
mskp_status mskpi_tie_lists(mskp_graph *graph, list_view a, list_view b, uint32_t by);
/* Ties all channels of a list to each other. */
mskp_status mskpi_tie_all(mskp_graph *graph, list_view view, uint32_t by);
/* Ties channel p of each of the n equal parts of a list to each other, for all p. */
mskp_status mskpi_tie_parts(mskp_graph *graph, list_view view, size_t n, uint32_t by);

/* Pins the channels of a value: they are never removed. `label` is for sentences. */
mskp_status mskpi_pin(mskp_graph *graph, const char *label, mskp_value handle, uint32_t by);

/* Binds an axis to a list of as many channels. The parameter's cost counts for value `by`, unless
 * it was bound or attached before. */
mskp_status mskpi_bind(mskp_graph *graph, mskp_param handle, uint32_t axis, uint32_t roles,
                       list_view view, uint32_t by);
/* The operator reads the axis as it is, whatever is removed: it must not be cut, and the channels
 * that another operator binds it to are pinned. */
mskp_status mskpi_fix_axis(mskp_graph *graph, mskp_param handle, uint32_t axis, uint32_t by);
/* These are mskp_bind and mskp_attach, but record no operator of the caller's own. */
mskp_status mskpi_bind_value(mskp_graph *graph, mskp_param handle, uint32_t axis, uint32_t roles,
                             mskp_value value);
mskp_status mskpi_attach(mskp_graph *graph, mskp_param handle, mskp_value value);

/* The root of a channel's tree. */
uint32_t mskpi_find_root(const mskp_graph *graph, uint32_t channel);

#endif

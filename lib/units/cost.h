/* Costs, as sums of terms over the lengths of lists. */
#ifndef MSKP_UNITS_COST_H
#define MSKP_UNITS_COST_H

#include "units/units.h"

/* Returns a term's cost, in multiply-accumulates or elements, for lists of these lengths. */
uint64_t mskpi_term_value(const cost_term *term, const size_t *list_length);
/* length[l] <- how many channels of list l stay. keep NULL: all of them. */
void mskpi_list_lengths(const mskp_graph *graph, const uint8_t *keep, size_t *length);

/* What the whole network saves if one unit of a family is removed.
 *   length   [lists] of the whole network; changed and restored
 *   seen     [terms] zeros at first; for this function alone */
mskp_cost mskpi_unit_cost(const mskp_graph *graph, size_t family, size_t *length, size_t *seen);

#endif

/* Costs, as sums of terms over the lengths of lists. */
#ifndef MSKP_UNITS_COST_H
#define MSKP_UNITS_COST_H

#include <stdbool.h>

#include "units/units.h"

/* Returns a term's cost, in multiply-accumulates or elements, for lists of these lengths. */
uint64_t mskpi_term_value(const cost_term *term, const size_t *list_length);
/* length[l] <- how many channels of list l stay. keep NULL: all of them. */
void mskpi_list_lengths(const mskp_graph *graph, const uint8_t *keep, size_t *length);

/* cost[f] <- what the whole network saves if one unit of family f is removed, for all families.
 * Returns false if there is no memory. */
bool mskpi_unit_costs(const mskp_graph *graph, mskp_cost *cost);

#endif

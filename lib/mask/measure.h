/* The cost of a network under a mask. */
#ifndef MSKP_MASK_MEASURE_H
#define MSKP_MASK_MEASURE_H

#include "units/units.h"

/* Returns a term's cost, in multiply-accumulates or elements, for lists of these lengths. */
uint64_t mskpi_term_value(const cost_term *term, const size_t *list_length);
/* length[l] <- how many channels of list l stay. keep NULL: all of them. */
void mskpi_list_lengths(const mskp_graph *graph, const uint8_t *keep, size_t *length);

#endif

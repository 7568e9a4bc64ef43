/* Costs under a mask. */
#ifndef MSKP_MASK_MEASURE_H
#define MSKP_MASK_MEASURE_H

#include "units/units.h"

uint64_t mskpi_term_value(const cost_term *term, const size_t *list_length);
/* length[list] <- channels that stay. keep NULL: all. */
void mskpi_list_lengths(const mskp_graph *graph, const uint8_t *keep, size_t *length);

#endif

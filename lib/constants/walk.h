/* What channels emit. */
#ifndef MSKP_CONSTANTS_WALK_H
#define MSKP_CONSTANTS_WALK_H

#include "constants/reading.h"
#include "mskp/constants.h"

mskp_status mskpi_walk_make(walker *w, const mskp_graph *graph, const uint8_t *keep,
                            uint32_t zeroed, mskp_tensors values, mskp_error *err);
void mskpi_walk_free(walker *w);
/* constant <- what each channel is. */
mskp_status mskpi_walk(walker *w);
/* The same, where carriers emit: what others emit is known. */
mskp_status mskpi_walk_carriers(walker *w, const uint8_t *carrier, const double *known);

#endif

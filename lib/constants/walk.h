/* What each channel outputs: a constant, or live. */
#ifndef MSKP_CONSTANTS_WALK_H
#define MSKP_CONSTANTS_WALK_H

#include "constants/reading.h"
#include "mskp/constants.h"

/* *w <- a walk that has not begun. Free it with mskpi_walk_free, unless this fails. */
mskp_status mskpi_walk_make(walker *w, const mskp_graph *graph, const uint8_t *keep,
                            const vanishing *gone, uint32_t zeroed, mskp_tensors values,
                            mskp_error *err);
void mskpi_walk_free(walker *w);
/* w->constant[] <- what each channel outputs. */
mskp_status mskpi_walk(walker *w);
/* The same once the carriers (1 for each, [units]) carry. Channels of other units are not computed
 * again; their constants are `known`, from a walk without carriers. */
mskp_status mskpi_walk_carriers(walker *w, const uint8_t *carrier, const double *known);

#endif

/* Sums over the slices of a network: what scores are made of. */
#ifndef MSKP_SCORE_SLICE_H
#define MSKP_SCORE_SLICE_H

#include <stdbool.h>

#include "mskp.h"
#include "mskp/tools.h"

/* The sums over all slices of some roles. The sum of index i on axis a (an index into graph->axes)
 * is sums[first[a] + i]. An element of two slices of one unit counts for the lower axis alone. The
 * sums of pinned channels mean nothing. */
typedef struct slice_sums {
    size_t *first; /* [axes] where the sums of an axis begin; NO_SUMS: the axis has none */
    double *sums;
} slice_sums;
#define NO_SUMS SIZE_MAX

/* *out <- the sums of |w|, or of w^2 if squared. The caller's threads share the work. Free the
 * result with mskpi_slice_sums_free. */
mskp_status mskpi_slice_sums(const mskp_graph *graph, uint32_t roles, bool squared,
                             mskp_tensors values, slice_sums *out, mskp_error *err);
void mskpi_slice_sums_free(const mskp_services *services, slice_sums *s);

#endif

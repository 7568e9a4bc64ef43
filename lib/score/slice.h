/* Sums over slices. */
#ifndef MSKP_SCORE_SLICE_H
#define MSKP_SCORE_SLICE_H

#include "mskp.h"
#include "mskp/tools.h"

/* Sums over slices of some roles, each element of two slices of one unit counted for the first. */
typedef struct slice_sums {
    size_t *first; /* [axes] where those of an axis begin; NO_SUMS: it has none */
    double *sums;  /* those of pinned channels mean nothing */
} slice_sums;
#define NO_SUMS SIZE_MAX

/* Sums of |w|, or squared: of w^2, by the host's threads. */
mskp_status mskpi_slice_sums(const mskp_graph *graph, uint32_t roles, int squared,
                             mskp_tensors values, slice_sums *out, mskp_error *err);
void mskpi_slice_sums_free(const mskp_services *host, slice_sums *s);

#endif

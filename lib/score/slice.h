/* Sums over the slices of a network: what scores are made of. */
#ifndef MSKP_SCORE_SLICE_H
#define MSKP_SCORE_SLICE_H

#include <stdbool.h>

#include "base/assert.h"
#include "describe/graph.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "score/kernel.h"

/* The sums over all slices of some roles. The sum of index i on axis a (an index into graph->axes)
 * is sums[first[a] + i]. An element of two slices of one unit counts for the lower axis alone. The
 * sums of pinned channels mean nothing. */
typedef struct slice_sums {
    size_t *first; /* [axes] where the sums of an axis begin; NO_SUMS: the axis has none */
    double *sums;
    mskp_tensors values, gradients; /* what was summed; {0, NULL}: no gradients */
} slice_sums;
#define NO_SUMS SIZE_MAX

/* *out <- the sums. `gradients`, the second set, is read for products alone. The caller's threads
 * share the work. Free the result with mskpi_slice_sums_free. */
mskp_status mskpi_slice_sums(const mskp_graph *graph, uint32_t roles, slice_term term,
                             mskp_tensors values, mskp_tensors gradients, slice_sums *out,
                             mskp_error *err);
/* The sum of a unit's slice, which is in one of the roles. */
static inline double mskpi_slice_sum(const mskp_graph *graph, const slice_sums *s,
                                     const mskp_member *m)
{
    const graph_param *p = &graph->params[m->param.id];
    MSKPI_ASSERT(m->axis < p->ndim && m->index < graph->axes[p->axis + m->axis].length);
    MSKPI_ASSERT(s->first[p->axis + m->axis] != NO_SUMS); /* a unit has a slice there */
    return s->sums[s->first[p->axis + m->axis] + m->index];
}
/* Fails for a unit whose score is not finite, and names the element that made it so, or the slice,
 * if one did. The tensors that were summed must still be there. */
mskp_status mskpi_refuse_sum(const mskp_graph *graph, const slice_sums *s, uint32_t roles,
                             uint32_t unit, mskp_error *err);
void mskpi_slice_sums_free(const mskp_services *services, slice_sums *s);

#endif

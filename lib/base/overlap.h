/* Do tensors share memory? */
#ifndef MSKP_BASE_OVERLAP_H
#define MSKP_BASE_OVERLAP_H

#include "base/view.h"
#include "mskp/tools.h"

/* Do the ranges of their addresses meet? */
int mskpi_ranges_meet(const tensor_view *a, const tensor_view *b);
/* *hit <- do they share a byte? Exact, also for views that interleave. */
mskp_status mskpi_elements_meet(const mskp_services *host, const tensor_view *a,
                                const tensor_view *b, int *hit, mskp_error *err);
/* Calls `meet` for each two of n views whose ranges meet, until one fails: a sweep by address. */
mskp_status mskpi_overlaps(const mskp_services *host, size_t n,
                           const tensor_view *(*view)(const void *context, uint32_t k),
                           mskp_status (*meet)(void *context, uint32_t a, uint32_t b,
                                               mskp_error *err),
                           void *context, mskp_error *err);

#endif

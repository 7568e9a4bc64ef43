/* Which tensors share memory. */
#ifndef MSKP_BASE_OVERLAP_H
#define MSKP_BASE_OVERLAP_H

#include <stdbool.h>

#include "base/view.h"
#include "mskp/tools.h"

/* Whether the address ranges of two views meet. The views may still have no common byte. */
bool mskpi_ranges_meet(const tensor_view *a, const tensor_view *b);
/* *meet <- whether two views share a byte. The answer is exact, also for views that interleave.
 * Allocates a bitmap where the ranges meet and a view has gaps. */
mskp_status mskpi_elements_meet(const mskp_services *services, const tensor_view *a,
                                const tensor_view *b, bool *meet, mskp_error *err);
/* Calls meet(context, a, b, err) for each two of n views whose ranges meet, until a call fails, and
 * returns the status of that call. view(context, k) returns view k. */
mskp_status mskpi_overlaps(const mskp_services *services, size_t n,
                           const tensor_view *(*view)(const void *context, uint32_t k),
                           mskp_status (*meet)(void *context, uint32_t a, uint32_t b,
                                               mskp_error *err),
                           void *context, mskp_error *err);

#endif

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
/* An array of a call, with its name for sentences. */
typedef struct call_array {
    const char *name;
    const void *first; /* NULL: there is none */
    size_t bytes;
} call_array;

static inline call_array mskpi_mask_array(const char *name, mskp_mask mask)
{
    return (call_array){name, mask.unit, mask.n};
}

static inline call_array mskpi_scores_array(const char *name, mskp_scores scores)
{
    return (call_array){name, scores.unit, scores.n * sizeof *scores.unit};
}

/* Refuses an array that the call writes if it shares a byte with another array of the call. The
 * second function lets both be the same array. */
mskp_status mskpi_check_apart(call_array written, call_array other, mskp_error *err);
mskp_status mskpi_check_apart_or_same(call_array written, call_array other, mskp_error *err);

/* Calls meet(context, a, b, err) for each two of n views whose ranges meet, until a call fails, and
 * returns the status of that call. view(context, k) returns view k. */
mskp_status mskpi_overlaps(const mskp_services *services, size_t n,
                           const tensor_view *(*view)(const void *context, uint32_t k),
                           mskp_status (*meet)(void *context, uint32_t a, uint32_t b,
                                               mskp_error *err),
                           void *context, mskp_error *err);

#endif

/* Tensors with any fields, right or wrong, whose elements lie within a buffer all the same. */
#ifndef BLAS_ANY_TENSOR_H
#define BLAS_ANY_TENSOR_H

#include "interpreter/base.h"

enum { ANY_BYTES = 1 << 15 };

/* `shape` is right for a tensor with `ndim` axes of at most 3; it is kept in half of the cases. */
static inline mskp_tensor any_tensor(rng *r, char *buffer, uint32_t ndim, const size_t *shape)
{
    static const int dtypes[] = {0, 1, 2, 3, 16, 18, 19, 20, 4, -1};
    mskp_tensor t = {.dtype = (mskp_dtype)dtypes[rng_below(r, rng_chance(r, 0.7) ? 4 : 10)]};
    t.data = buffer + ANY_BYTES / 2 + (rng_chance(r, 0.1) ? rng_below(r, 16) : 0);
    if (rng_chance(r, 0.05)) t.data = NULL;
    t.ndim = rng_chance(r, 0.8) ? ndim : (uint32_t)rng_below(r, MSKP_MAX_DIMS + 2);
    size_t step = 1;
    for (uint32_t d = MSKP_MAX_DIMS; d-- > 0;) {
        t.shape[d] = rng_chance(r, 0.9) && d < ndim ? shape[d] : rng_below(r, 4);
        if (rng_chance(r, 0.3)) t.stride[d] = (ptrdiff_t)rng_below(r, 101) - 50;
        if (rng_chance(r, 0.3)) t.stride[d] = (ptrdiff_t)step * (rng_chance(r, 0.2) ? -1 : 1);
        step = step * (t.shape[d] ? t.shape[d] : 1) % 50 + 1;
    }
    if (rng_chance(r, 0.2)) t.elements = rng_below(r, 50);
    if (!rng_chance(r, 0.1)) return t;
    memset(t.shape, 0, sizeof t.shape);
    memset(t.stride, 0, sizeof t.stride);
    t.ndim = 0;
    return t;
}

#endif

/*
 * Tensors as matrices of doubles, which is what BLAS and LAPACK read.
 *
 * The order of a row's columns is the same for all rows of a tensor, and no method of this folder
 * depends on it. So it is the order of the addresses: filters in channels-last memory are then read
 * one element after the other. Adjacent floats, which most weights are, have loops that a compiler
 * can write with vectors; they leave denormal floats to mskpi_load (base/element.h).
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/element.h"
#include "blas/rows.h"

row_view mskpi_rows(const tensor_view *v, uint32_t axis)
{
    row_view r = {.data = v->data, .dtype = v->dtype, .rows = v->shape[axis], .columns = 1};
    r.row_step = v->stride[axis] * (ptrdiff_t)v->element;
    for (uint32_t k = 0; k < v->ndim; k++) {
        const uint32_t d = v->order[k];
        if (d == axis || v->shape[d] < 2) continue;
        const ptrdiff_t step = v->stride[d] * (ptrdiff_t)v->element;
        r.columns *= v->shape[d];
        if (r.ndim && r.step[r.ndim - 1] == step * (ptrdiff_t)v->shape[d]) {
            r.length[r.ndim - 1] *= v->shape[d];
        } else {
            r.length[r.ndim] = v->shape[d];
            r.ndim++;
        }
        r.step[r.ndim - 1] = step;
    }
    if (!r.ndim) r.length[r.ndim++] = 1;
    return r;
}

/* A place in a row, as indices. */
typedef struct place {
    size_t index[MSKP_MAX_DIMS];
    const char *at;
} place;

static place place_of(const row_view *r, size_t row, size_t column)
{
    place p = {.at = r->data + r->row_step * (ptrdiff_t)row};
    for (uint32_t d = r->ndim; d-- > 0; column /= r->length[d]) {
        p.index[d] = column % r->length[d];
        p.at += r->step[d] * (ptrdiff_t)p.index[d];
    }
    return p;
}

/* Steps over n columns, which end on the last axis or before. */
static void advance(const row_view *r, place *p, size_t n)
{
    uint32_t d = r->ndim - 1;
    MSKPI_ASSERT(p->index[d] + n <= r->length[d]);
    p->index[d] += n;
    p->at += r->step[d] * (ptrdiff_t)n;
    for (; d > 0 && p->index[d] == r->length[d]; d--) {
        p->at += r->step[d - 1] - r->step[d] * (ptrdiff_t)r->length[d];
        p->index[d] = 0;
        p->index[d - 1]++;
    }
}

/* Whether one run of elements is a packed array of floats. */
static bool is_packed(const row_view *r)
{
    return r->dtype == MSKP_DTYPE_F32 && r->step[r->ndim - 1] == sizeof(float);
}

/* to[] <- factor times n adjacent floats. Returns false if one is denormal. */
static bool read_floats(const char *from, size_t n, double factor, double *to)
{
    uint32_t denormal = 0;
    for (size_t i = 0; i < n; i++) {
        float f;
        uint32_t bits;
        memcpy(&f, from + i * sizeof f, sizeof f);
        memcpy(&bits, from + i * sizeof bits, sizeof bits);
        denormal |= (bits & 0x7f800000) == 0 && (bits & 0x7fffff) != 0;
        to[i] = factor * (double)f;
    }
    return !denormal;
}

/* Returns the largest magnitude of n adjacent floats, as bits: these are ordered like the numbers,
 * with infinity and then NaN at the end. */
static uint32_t largest_bits(const char *from, size_t n)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, from + i * sizeof bits, sizeof bits);
        bits &= 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

void mskpi_read_row(const row_view *r, size_t row, size_t first, size_t n, double factor,
                    double *to)
{
    const uint32_t last = r->ndim - 1;
    const bool packed = is_packed(r);
    place p = place_of(r, row, first);
    MSKPI_ASSERT(first + n <= r->columns);
    while (n) {
        const size_t left = r->length[last] - p.index[last], run = left < n ? left : n;
        if (!packed || !read_floats(p.at, run, factor, to))
            for (size_t i = 0; i < run; i++)
                to[i] = factor * mskpi_load(p.at + r->step[last] * (ptrdiff_t)i, r->dtype);
        to += run;
        n -= run;
        advance(r, &p, run);
    }
}

/* The largest magnitude of n elements with these distances; or *bad is set. */
static double run_size(const char *from, mskp_dtype dtype, ptrdiff_t step, size_t n,
                       const char **bad)
{
    double size = 0;
    for (size_t i = 0; i < n; i++, from += step) {
        const double x = fabs(mskpi_load(from, dtype));
        if (!isfinite(x)) {
            *bad = from;
            return -1;
        }
        size = x > size ? x : size;
    }
    return size;
}

double mskpi_row_size(const row_view *r, size_t row, const char **bad)
{
    const size_t run = r->length[r->ndim - 1];
    const ptrdiff_t step = r->step[r->ndim - 1];
    const bool packed = is_packed(r);
    double size = 0;
    place p = place_of(r, row, 0);
    for (size_t n = r->columns; n; n -= run) {
        double x;
        const uint32_t bits = packed ? largest_bits(p.at, run) : UINT32_MAX;
        if (bits < 0x7f800000)
            x = mskpi_load((const char *)&bits, MSKP_DTYPE_F32);
        else
            x = run_size(p.at, r->dtype, step, run, bad);
        if (*bad) return -1;
        size = x > size ? x : size;
        advance(r, &p, run);
    }
    return size;
}

int mskpi_scale_of(double size)
{
    int exponent = 0;
    frexp(size, &exponent);
    /* 2^-exponent, too, must be a normal number. */
    return exponent < -1000 ? -1000 : exponent > 1000 ? 1000 : exponent;
}

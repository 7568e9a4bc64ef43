/*
 * Tensors as matrices of doubles, which is what BLAS and LAPACK read.
 *
 * The order of a row's columns is the same for all rows of a tensor, and no method of this folder
 * depends on it. So it is the order of the addresses: filters in channels-last memory are then read
 * one element after the other.
 */
#include <math.h>
#include <stdbool.h>

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

void mskpi_read_row(const row_view *r, size_t row, size_t first, size_t n, double factor,
                    double *to)
{
    const uint32_t last = r->ndim - 1;
    place p = place_of(r, row, first);
    MSKPI_ASSERT(first + n <= r->columns);
    while (n) {
        const size_t left = r->length[last] - p.index[last], run = left < n ? left : n;
        const char *from = p.at;
        for (size_t i = 0; i < run; i++, from += r->step[last])
            to[i] = factor * mskpi_load(from, r->dtype);
        to += run;
        n -= run;
        advance(r, &p, run);
    }
}

double mskpi_row_size(const row_view *r, size_t row, const char **bad)
{
    const uint32_t last = r->ndim - 1;
    double size = 0;
    place p = place_of(r, row, 0);
    for (size_t n = r->columns; n; n -= r->length[last]) {
        const char *from = p.at;
        for (size_t i = 0; i < r->length[last]; i++, from += r->step[last]) {
            const double x = fabs(mskpi_load(from, r->dtype));
            if (!isfinite(x)) {
                *bad = from;
                return -1;
            }
            size = x > size ? x : size;
        }
        advance(r, &p, r->length[last]);
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

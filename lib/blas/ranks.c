/*
 * The ranks of feature maps (HRank): a singular value decomposition without vectors for each map.
 *
 * A map is a matrix in the order of its addresses, so it may be the transpose of the caller's, with
 * rows or columns reversed. None of that changes its singular values. It is scaled by a power of
 * two first, which changes no ratio of them.
 */
#include <math.h>

#include "base/memory.h"
#include "blas/maps.h"
#include "blas/openblas.h"
#include "mskp/blas.h"

/* LAPACK's work arrays stay below 2^31 elements for maps of at most so many rows and columns. */
enum { LONGEST = 1 << 15 };

typedef struct decomposition {
    blas_int m, n, lwork; /* columns of n lie one after the other, with m elements each */
    blas_int *iwork;
    double *a, *s, *work;
    double least; /* this times the largest singular value counts as 0 */
} decomposition;

static blas_int decompose(const decomposition *d)
{
    const blas_int one = 1;
    blas_int info = 0;
    dgesdd_("N", &d->m, &d->n, d->a, &d->m, d->s, NULL, &one, NULL, &one, d->work, &d->lwork,
            d->iwork, &info, 1);
    return info;
}

/* Sizes and memory. */
static mskp_status begin(decomposition *d, const map_batch *b, mskp_error *err)
{
    const tensor_view *v = &b->view;
    uint32_t inner = 2; /* the axis with the smaller stride, or with length 1 */
    double size = 0;
    for (uint32_t k = 0; k < v->ndim; k++)
        if (v->order[k] >= 2) inner = v->order[k];
    const size_t m = v->shape[inner], n = b->positions / m, least = m < n ? m : n;
    if (m > LONGEST || n > LONGEST) return mskpi_refuse_length(b, n, m, err);
    *d = (decomposition){.m = (blas_int)m, .n = (blas_int)n, .lwork = -1, .work = &size};
    d->least = (v->dtype == MSKP_DTYPE_F64 ? 0x1p-52 : 0x1p-23) * (double)(m > n ? m : n);
    d->a = mskpi_matrix(b, b->positions);
    d->s = mskpi_alloc(&b->services, least, sizeof *d->s);
    d->iwork = mskpi_alloc(&b->services, 8 * least, sizeof *d->iwork);
    (void)decompose(d); /* asks for the length of work */
    d->lwork = (blas_int)size;
    d->work = mskpi_alloc(&b->services, (size_t)d->lwork, sizeof *d->work);
    return d->a && d->s && d->iwork && d->work ? MSKP_OK : mskpi_refuse_memory(b, err);
}

static void end(decomposition *d, const map_batch *b)
{
    mskpi_free(&b->services, d->a);
    mskpi_free(&b->services, d->s);
    mskpi_free(&b->services, d->iwork);
    mskpi_free(&b->services, d->work);
}

/* Adds the ranks of one image's maps. */
static mskp_status add_image(const decomposition *d, map_batch *b, size_t image, mskp_error *err)
{
    const row_view r = mskpi_image(b, image);
    const char *bad = NULL;
    for (size_t c = 0; c < b->channels; c++) {
        const double size = mskpi_row_size(&r, c, &bad);
        if (bad) return mskpi_refuse_element(b, bad, err);
        if (!(size > 0)) continue;
        mskpi_read_row(&r, c, 0, r.columns, ldexp(1, -mskpi_scale_of(size)), d->a);
        if (decompose(d)) return mskpi_refuse_image(b, image, err);
        for (blas_int i = 0; i < d->m && i < d->n; i++)
            if (d->s[i] > d->least * d->s[0]) b->sum[c]++;
    }
    return MSKP_OK;
}

mskp_status mskp_channel_ranks(const mskp_services *services, const mskp_tensor *maps, size_t n,
                               double *channel, mskp_error *err)
{
    map_batch b = {0};
    decomposition d = {0};
    mskp_status status = mskpi_begin_maps(&b, "ranks", services, maps, 4, 4, n, channel, err);
    if (status) return status;
    status = begin(&d, &b, err);
    for (size_t i = 0; !status && i < b.view.shape[0]; i++) status = add_image(&d, &b, i, err);
    end(&d, &b);
    return mskpi_end_maps(&b, status, channel, err);
}

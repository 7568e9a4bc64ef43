/*
 * The independence of channels (CHIP): how much of the nuclear norm of an image's maps is lost with
 * one channel.
 *
 * X is [channels][positions], and its singular values are s_1 >= ... >= s_m. With row i set to 0,
 * X has the singular values t_k, which lie between them: s_k >= t_k >= s_{k+1}. The eigenvalues of
 * X X^T without row and column i are the zeros of
 *
 *     f(x) = sum_j w_j / (s_j^2 - x),    w_j = u_ij^2,
 *
 * where u_ij is the element of channel i in the j-th left singular vector of X; channels beyond m
 * have s = 0 and together the weight w_0 = 1 - sum_j w_j. So one decomposition of X serves all
 * channels, and each t_k costs a few evaluations of f.
 *
 * Precision. f is never written with squares: s^2 - t^2 is (s - t)(s + t). The orthogonal matrix
 * that LAPACK computes is exact up to rounding, and it is the matrix of a problem whose singular
 * values differ by a multiple of 2^-52 s_1. Forming X X^T would lose half of the digits instead.
 * Therefore also w_0 is not computed as a difference, which would be wrong by 2^-52 and its root by
 * 2^-26, but as the squared length of e_i - U U^T e_i. The sum of the differences s_k - t_k, none
 * of which is negative, is the result; no norms are subtracted.
 *
 * The zero between two poles is found as in LAPACK's dlaed4: f is replaced by a function with these
 * two poles alone that has the same value and slope, for the poles on either side, and whose zero
 * is that of a quadratic equation. The zero is always kept between bounds, and the interval is
 * halved when a step leaves them or when steps do not end. A pole whose weight is 0 is no pole. It
 * is then itself a t_k, which is what the halving finds.
 *
 * Where there are more positions than channels, X^T = Q R, and R takes the place of X.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "blas/maps.h"
#include "blas/openblas.h"
#include "mskp/blas.h"

/* LAPACK's work arrays stay below 2^31 elements for so many channels, and any fewer positions. */
enum { MOST_CHANNELS = 1 << 14, MOST_COLUMNS = 1 << 30 };

typedef struct decomposition {
    map_batch *batch;
    blas_int p, m, n; /* positions; min(p, n); channels */
    double *a;        /* [n][p] X */
    double *r;        /* [n][m] the columns of R; a itself where no more rows than columns are */
    double *s, *u;    /* [m] singular values; [m][m] */
    double *vectors;  /* [n][m] the elements of each channel in the singular vectors */
    double *tau;      /* [m] */
    double *lost;     /* [n] */
    blas_int *iwork;  /* [8 m] */
    double *work;
    blas_int lwork;
} decomposition;

/* ---- One channel ---- */

/* f of one channel at x^2, the part of the poles 0 .. k and that of the others, and the slopes of
 * both as functions of x^2. */
typedef struct secular {
    double above, below, above_slope, below_slope;
} secular;

static secular evaluate(const decomposition *d, const double *u, double rest, blas_int k, double x)
{
    secular f = {.below = 0};
    for (blas_int j = 0; j <= k; j++) {
        const double inverse = 1 / ((d->s[j] - x) * (d->s[j] + x)), q = u[j] * u[j] * inverse;
        f.above += q;
        f.above_slope += q * inverse;
    }
    for (blas_int j = k + 1; j < d->m; j++) {
        const double inverse = 1 / ((d->s[j] - x) * (d->s[j] + x)), q = u[j] * u[j] * inverse;
        f.below += q;
        f.below_slope += q * inverse;
    }
    const double inverse = 1 / (-x * x);
    f.below += rest * inverse;
    f.below_slope += rest * inverse * inverse;
    return f;
}

/* Where the function with poles at low and high that agrees with f at x is zero. */
static double next_guess(const secular *f, double low, double high, double x)
{
    const double below = (low - x) * (low + x), above = (high - x) * (high + x);
    const double value = f->above + f->below;
    const double constant = value - f->above_slope * above - f->below_slope * below;
    const double linear = constant * (below + above) + f->above_slope * above * above +
                          f->below_slope * below * below;
    const double last = below * above * value, square = linear * linear - 4 * constant * last;
    const double root = sqrt(fmax(square, 0)); /* it is below 0 by rounding alone */
    const double step = linear > 0 ? 2 * last / (linear + root) : (linear - root) / (2 * constant);
    const double squared = x * x + step;
    return squared > 0 ? x + step / (x + sqrt(squared)) : 0;
}

/* s_k - t_k of a channel with these elements in the singular vectors. */
static double lost_between(const decomposition *d, const double *u, double rest, blas_int k)
{
    enum { STEPS = 16 }; /* of the first kind; a handful is usual */
    const double low = k + 1 < d->m ? d->s[k + 1] : 0, high = d->s[k];
    const double close = 2 * DBL_EPSILON * d->s[0];
    double from = low, to = high;
    double x = low + (high - low) / 2;
    for (int step = 0; to - from > 2 * close; step++) {
        const secular f = evaluate(d, u, rest, k, x);
        const double value = f.above + f.below;
        if (fabs(value) <= DBL_EPSILON * (f.above - f.below)) return high - x;
        if (value < 0)
            from = x;
        else
            to = x;
        double next = step < STEPS ? next_guess(&f, low, high, x) : -1;
        if (fabs(next - x) <= close) break;
        if (!(next > from + close / 2 && next < to - close / 2)) next = from + (to - from) / 2;
        x = next;
    }
    return high - x;
}

/* The squared length of what the singular vectors leave of the unit vector of channel i. */
static double rest_of(const decomposition *d, size_t i)
{
    const size_t m = (size_t)d->m, n = (size_t)d->n;
    double all = 0;
    for (size_t c = 0; c < n && n > m; c++) {
        double product = 0;
        for (size_t j = 0; j < m; j++) product += d->vectors[c * m + j] * d->vectors[i * m + j];
        const double left = (c == i ? 1 : 0) - product;
        all += left * left;
    }
    return all;
}

static void measure_channel(void *context, size_t i)
{
    const decomposition *d = context;
    const double *u = d->vectors + i * (size_t)d->m;
    double all = 0;
    if (!(d->lost[i] > 0)) return; /* a channel of zeros */
    const double rest = rest_of(d, i);
    for (blas_int k = 0; k < d->m; k++) all += lost_between(d, u, rest, k);
    d->lost[i] = all;
}

/* ---- One image ---- */

/* It reports wrong arguments alone. */
static void find_r(const decomposition *d)
{
    blas_int info = 0;
    dgeqrf_(&d->p, &d->n, d->a, &d->p, d->tau, d->work, &d->lwork, &info);
    MSKPI_ASSERT(!info);
}

static blas_int decompose(const decomposition *d)
{
    blas_int info = 0;
    dgesdd_("S", &d->m, &d->n, d->r, &d->m, d->s, d->u, &d->m, d->vectors, &d->m, d->work,
            &d->lwork, d->iwork, &info, 1);
    return info;
}

static mskp_status begin(decomposition *d, map_batch *b, mskp_error *err)
{
    const size_t p = b->positions, n = b->channels, m = p < n ? p : n;
    double first = 0, second = 0;
    if (n > MOST_CHANNELS || p > MOST_COLUMNS) return mskpi_refuse_length(b, n, p, err);
    *d = (decomposition){.batch = b, .p = (blas_int)p, .m = (blas_int)m, .n = (blas_int)n};
    d->lwork = -1;
    /* Both calls ask for the length of work. */
    d->work = &first;
    find_r(d);
    d->work = &second;
    (void)decompose(d);
    d->lwork = (blas_int)(first > second ? first : second);
    d->work = mskpi_alloc(&b->services, (size_t)d->lwork, sizeof *d->work);
    d->a = mskpi_matrix(b, n * p);
    d->r = p > n ? mskpi_matrix(b, n * n) : d->a;
    d->s = mskpi_alloc(&b->services, m, sizeof *d->s);
    d->u = mskpi_matrix(b, m * m);
    d->vectors = mskpi_matrix(b, n * m);
    d->tau = mskpi_alloc(&b->services, m, sizeof *d->tau);
    d->lost = mskpi_alloc(&b->services, n, sizeof *d->lost);
    d->iwork = mskpi_alloc(&b->services, 8 * m, sizeof *d->iwork);
    if (!d->work || !d->a || !d->r || !d->s || !d->u || !d->vectors || !d->tau || !d->lost ||
        !d->iwork)
        return mskpi_refuse_memory(b, err);
    return MSKP_OK;
}

static void end(decomposition *d, const map_batch *b)
{
    mskpi_free(&b->services, d->work);
    if (d->r != d->a) mskpi_free(&b->services, d->r);
    mskpi_free(&b->services, d->a);
    mskpi_free(&b->services, d->s);
    mskpi_free(&b->services, d->u);
    mskpi_free(&b->services, d->vectors);
    mskpi_free(&b->services, d->tau);
    mskpi_free(&b->services, d->lost);
    mskpi_free(&b->services, d->iwork);
}

/* d->r <- R of the QR decomposition of X^T, where that has fewer elements. */
static void shrink(const decomposition *d)
{
    const size_t p = (size_t)d->p, m = (size_t)d->m;
    if (d->r == d->a) return;
    find_r(d);
    for (size_t c = 0; c < m; c++) {
        memcpy(d->r + c * m, d->a + c * p, (c + 1) * sizeof *d->r);
        memset(d->r + c * m + c + 1, 0, (m - c - 1) * sizeof *d->r);
    }
}

/* Adds the numbers of one image's channels. */
static mskp_status add_image(decomposition *d, map_batch *b, size_t image, mskp_error *err)
{
    const row_view rows = mskpi_image(b, image);
    const char *bad = NULL;
    double size = 0;
    for (size_t c = 0; c < b->channels; c++) {
        d->lost[c] = mskpi_row_size(&rows, c, &bad);
        if (bad) return mskpi_refuse_element(b, bad, err);
        size = d->lost[c] > size ? d->lost[c] : size;
    }
    if (!(size > 0)) return MSKP_OK;
    const int exponent = mskpi_scale_of(size);
    for (size_t c = 0; c < b->channels; c++)
        mskpi_read_row(&rows, c, 0, b->positions, ldexp(1, -exponent), d->a + c * b->positions);
    shrink(d);
    if (decompose(d)) return mskpi_refuse_image(b, image, err);
    mskpi_parallel(&b->services, b->channels, measure_channel, d);
    for (size_t c = 0; c < b->channels; c++) b->sum[c] += ldexp(d->lost[c], exponent);
    return MSKP_OK;
}

mskp_status mskp_channel_independence(const mskp_services *services, const mskp_tensor *maps,
                                      size_t n, double *channel, mskp_error *err)
{
    map_batch b = {0};
    decomposition d = {0};
    mskp_status status =
        mskpi_begin_maps(&b, "independence", services, maps, 2, MSKP_MAX_DIMS, n, channel, err);
    if (status) return status;
    status = begin(&d, &b, err);
    for (size_t i = 0; !status && i < b.view.shape[0]; i++) status = add_image(&d, &b, i, err);
    end(&d, &b);
    return mskpi_end_maps(&b, status, channel, err);
}

#define _GNU_SOURCE /* RTLD_NEXT */
/*
 * Numbers of channels from feature maps: ranks and independence, against a singular value
 * decomposition by Jacobi rotations, one for each matrix, and against ranks by exact elimination.
 */
#include "interpreter/elements.h"

#include "blas/any_tensor.h"
#include "blas/failing.h"
#include "by_id/by_id.h"
#include <check.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mskp/blas.h"

/* ---- A LAPACK that can fail, in front of the one that is linked ---- */

static int failing_info; /* what dgesdd reports once its work is done */

/* Functions of the linked LAPACK; the arguments are those of lib/blas/openblas.h. */
typedef void gesdd(const char *, const int *, const int *, double *, const int *, double *,
                   double *, const int *, double *, const int *, double *, const int *, int *,
                   int *, size_t);
gesdd dgesdd_;

void dgesdd_(const char *jobz, const int *m, const int *n, double *a, const int *lda, double *s,
             double *u, const int *ldu, double *vt, const int *ldvt, double *work, const int *lwork,
             int *iwork, int *info, size_t length)
{
    static gesdd *linked;
    if (!linked) {
        void *found = dlsym(RTLD_NEXT, "dgesdd_");
        memcpy(&linked, &found, sizeof linked);
    }
    linked(jobz, m, n, a, lda, s, u, ldu, vt, ldvt, work, lwork, iwork, info, length);
    if (*lwork > 0 && failing_info) *info = failing_info;
}

/* ---- The slow model ---- */

/* Singular values of m rows of n numbers, unordered: rows are rotated in pairs until all are
 * orthogonal (Hestenes). The rows are overwritten. */
static void jacobi(double *a, size_t m, size_t n, double *s)
{
    bool again = true;
    for (int sweep = 0; again && sweep < 60; sweep++) {
        again = false;
        for (size_t p = 0; p < m; p++)
            for (size_t q = p + 1; q < m; q++) {
                double pp = 0, qq = 0, pq = 0;
                for (size_t i = 0; i < n; i++) {
                    pp += a[p * n + i] * a[p * n + i];
                    qq += a[q * n + i] * a[q * n + i];
                    pq += a[p * n + i] * a[q * n + i];
                }
                if (fabs(pq) <= 1e-16 * sqrt(pp * qq)) continue;
                again = true;
                const double zeta = (qq - pp) / (2 * pq);
                const double t = (zeta < 0 ? -1 : 1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
                const double c = 1 / sqrt(1 + t * t), d = c * t;
                for (size_t i = 0; i < n; i++) {
                    const double x = a[p * n + i], y = a[q * n + i];
                    a[p * n + i] = c * x - d * y;
                    a[q * n + i] = d * x + c * y;
                }
            }
    }
    for (size_t p = 0; p < m; p++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += a[p * n + i] * a[p * n + i];
        s[p] = sqrt(sum);
    }
}

static double nuclear_norm(arena *mem, const double *x, size_t m, size_t n)
{
    double sum = 0, *s = arena_get(mem, m, sizeof *s);
    jacobi(arena_copy(mem, x, m * n, sizeof *x), m, n, s);
    for (size_t i = 0; i < m; i++) sum += s[i];
    return sum;
}

/* The rank of a matrix of whole numbers, by elimination without fractions (Bareiss). */
static size_t exact_rank(const double *x, size_t m, size_t n)
{
    long long a[8][8], last = 1;
    size_t rank = 0;
    ck_assert(m <= 8 && n <= 8);
    for (size_t i = 0; i < m * n; i++) a[i / n][i % n] = (long long)x[i];
    for (size_t c = 0; c < n && rank < m; c++) {
        size_t pivot = rank;
        while (pivot < m && !a[pivot][c]) pivot++;
        if (pivot == m) continue;
        for (size_t k = 0; k < n; k++) {
            const long long swap = a[rank][k];
            a[rank][k] = a[pivot][k], a[pivot][k] = swap;
        }
        for (size_t i = rank + 1; i < m; i++) {
            for (size_t k = c + 1; k < n; k++)
                a[i][k] = (a[rank][c] * a[i][k] - a[i][c] * a[rank][k]) / last;
            a[i][c] = 0;
        }
        last = a[rank][c];
        rank++;
    }
    return rank;
}

/* ---- Random batches ---- */

enum { IMAGES, CHANNELS, HEIGHT, WIDTH };
typedef struct batch {
    arena mem;
    rng r;
    size_t shape[MSKP_MAX_DIMS], positions;
    mskp_dtype dtype;
    double *x; /* [images][channels][positions] whole numbers from -2 to 2, or real ones */
    mskp_tensor maps;
} batch;

/* A tensor of the batch's numbers in any kind of view, complete. */
static void batch_view(batch *b, uint32_t ndim)
{
    size_t index[MSKP_MAX_DIMS] = {0}, e = 0;
    const view_buf buf = view_make(&b->mem, &b->r, b->dtype, ndim, b->shape,
                                   (view_style)rng_below(&b->r, VIEW_STYLES));
    b->maps = buf.view;
    if (!b->maps.ndim) {
        b->maps.ndim = ndim;
        memcpy(b->maps.shape, b->shape, ndim * sizeof *b->shape);
    }
    const mskp_tensor v = view_resolve(&b->maps, ndim, b->shape);
    do {
        view_set(&v, index, b->x[e]);
        b->x[e++] = view_get(&v, index); /* as rounded */
    } while (next_index(ndim, b->shape, index));
}

static void batch_begin(batch *b, uint64_t seed, bool whole, size_t most_channels)
{
    static const mskp_dtype floating[] = {MSKP_DTYPE_F32, MSKP_DTYPE_F64, MSKP_DTYPE_F16,
                                          MSKP_DTYPE_BF16};
    memset(b, 0, sizeof *b);
    trial_seed = seed;
    b->r = rng_make(seed);
    b->shape[IMAGES] = rng_from(&b->r, 1, 2);
    b->shape[CHANNELS] = rng_from(&b->r, 1, most_channels);
    b->shape[HEIGHT] = rng_from(&b->r, 1, 5), b->shape[WIDTH] = rng_from(&b->r, 1, 5);
    b->dtype = floating[rng_below(&b->r, 4)];
    b->positions = b->shape[HEIGHT] * b->shape[WIDTH];
    const size_t n = b->shape[CHANNELS], p = b->positions;
    b->x = arena_get(&b->mem, b->shape[IMAGES] * n * p, sizeof *b->x);
    const bool sparse = rng_chance(&b->r, 0.4);
    for (size_t i = 0; i < b->shape[IMAGES] * n * p; i++) {
        const double x = whole ? (double)rng_below(&b->r, 5) - 2 : rng_real(&b->r, -1, 1);
        b->x[i] = sparse && x < 0 ? 0 : x;
    }
    /* Some channels are copies, multiples and sums of others, or 0. */
    for (size_t image = 0; image < b->shape[IMAGES]; image++)
        for (size_t k = rng_below(&b->r, 4); k > 0; k--) {
            double *x = b->x + image * n * p;
            const size_t to = rng_below(&b->r, n), from = rng_below(&b->r, n);
            const size_t other = rng_below(&b->r, n), kind = rng_below(&b->r, 4);
            for (size_t i = 0; i < p; i++)
                x[to * p + i] = kind == 0   ? 0
                                : kind == 1 ? x[from * p + i]
                                : kind == 2
                                    ? -x[from * p + i]
                                    : (x[from * p + i] + x[other * p + i]) / (whole ? 1 : 2);
        }
    batch_view(b, 4);
}

static void batch_end(batch *b)
{
    arena_free(&b->mem);
}

/* ---- Ranks ---- */

START_TEST(ranks_are_exact)
{
    size_t deficient = 0, full = 0;
    float_mode(_i);
    for (size_t k = 0; k < test_count(600); k++) {
        batch b;
        batch_begin(&b, test_seed() * 1000000 + k, true, 6);
        const size_t n = b.shape[CHANNELS];
        double *sum = arena_get(&b.mem, n, sizeof *sum);
        mskp_error err = {0};
        for (size_t c = 0; c < n; c++) sum[c] = 5;
        REQUIRE(!mskp_channel_ranks(NULL, &b.maps, n, sum, &err), "%s", err.text);
        for (size_t c = 0; c < n; c++) {
            double expected = 5;
            for (size_t i = 0; i < b.shape[IMAGES]; i++) {
                const size_t least =
                    b.shape[HEIGHT] < b.shape[WIDTH] ? b.shape[HEIGHT] : b.shape[WIDTH];
                const size_t rank =
                    exact_rank(b.x + (i * n + c) * b.positions, b.shape[HEIGHT], b.shape[WIDTH]);
                expected += (double)rank;
                deficient += rank < least, full += rank == least;
            }
            REQUIRE(sum[c] == expected, "channel %zu: %g, not %g", c, sum[c], expected);
        }
        batch_end(&b);
    }
    float_mode(0);
    REQUIRE(test_count(600) < 100 || (deficient && full), "%zu, %zu", deficient, full);
}
END_TEST

/* diag(1, x) with x on either side of max(height, width) * epsilon; numpy and PyTorch say the same
 * of F32 and F64. A map of 2 x 4 has twice the bound. */
START_TEST(the_bound_of_a_rank)
{
    static const mskp_dtype dtypes[] = {MSKP_DTYPE_F32, MSKP_DTYPE_F64, MSKP_DTYPE_BF16};
    static const double epsilon[] = {0x1p-23, 0x1p-52, 0x1p-23};
    for (int d = 0; d < 3; d++)
        for (size_t width = 2; width <= 4; width += 2)
            for (int above = 0; above < 2; above++)
                for (int size = -2; size < 3; size++) {
                    arena mem = {0};
                    rng r = rng_make(1);
                    const size_t shape[4] = {1, 1, 2, width};
                    const view_buf buf = view_make(&mem, &r, dtypes[d], 4, shape, VIEW_PACKED);
                    const double scale = ldexp(1, 15 * size);
                    const double x = (double)width * epsilon[d] * (above ? 1.25 : 0.75);
                    double rank = 0;
                    memset(buf.view.data, 0, 2 * width * dtype_size(dtypes[d]));
                    const mskp_tensor v = view_resolve(&buf.view, 4, shape);
                    view_set(&v, (size_t[]){0, 0, 0, 0}, scale);
                    view_set(&v, (size_t[]){0, 0, 1, 1}, -scale * x);
                    ck_assert_int_eq(mskp_channel_ranks(NULL, &buf.view, 1, &rank, NULL), MSKP_OK);
                    ck_assert_msg(rank == 1 + above, "dtype %d, width %zu: %g", d, width, rank);
                    arena_free(&mem);
                }
}
END_TEST

/* ---- Independence ---- */

START_TEST(independence_is_a_difference_of_norms)
{
    size_t more_positions = 0, more_channels = 0, zeros = 0;
    float_mode(_i);
    for (size_t k = 0; k < test_count(300); k++) {
        batch b;
        batch_begin(&b, test_seed() * 1000000 + k, k % 3 == 0, 14);
        const size_t n = b.shape[CHANNELS], p = b.positions;
        double *sum = arena_get(&b.mem, n, sizeof *sum), *expected = arena_get(&b.mem, n, 8);
        double scale = 0;
        mskp_error err = {0};
        for (size_t i = 0; i < b.shape[IMAGES]; i++) {
            const double *x = b.x + i * n * p, all = nuclear_norm(&b.mem, x, n, p);
            scale += all;
            for (size_t c = 0; c < n; c++) {
                double *without = arena_copy(&b.mem, x, n * p, sizeof *x);
                memset(without + c * p, 0, p * sizeof *x);
                expected[c] += all - nuclear_norm(&b.mem, without, n, p);
            }
        }
        const mskp_services *services = k % 2 ? &backwards_services : NULL;
        REQUIRE(!mskp_channel_independence(services, &b.maps, n, sum, &err), "%s", err.text);
        for (size_t c = 0; c < n; c++) {
            bool zero = true;
            for (size_t i = 0; i < b.shape[IMAGES]; i++)
                for (size_t e = 0; e < p; e++) zero &= b.x[(i * n + c) * p + e] == 0;
            REQUIRE(fabs(sum[c] - expected[c]) <= 1e-14 * (double)n * scale,
                    "channel %zu of %zu x %zu: %.17g, not %.17g", c, n, p, sum[c], expected[c]);
            REQUIRE(sum[c] >= 0 && (!zero || sum[c] == 0), "channel %zu: %g", c, sum[c]);
            zeros += zero;
        }
        /* A second call adds the same. */
        double *twice = arena_copy(&b.mem, sum, n, sizeof *sum);
        REQUIRE(!mskp_channel_independence(services, &b.maps, n, twice, &err), "%s", err.text);
        for (size_t c = 0; c < n; c++)
            REQUIRE(fabs(twice[c] - 2 * sum[c]) <= 1e-14 * (double)n * scale, "channel %zu", c);
        more_positions += p > n, more_channels += n > p;
        batch_end(&b);
    }
    float_mode(0);
    REQUIRE(test_count(300) < 100 || (more_positions && more_channels && zeros), "%zu, %zu, %zu",
            more_positions, more_channels, zeros);
}
END_TEST

/* Larger than what fits into one block of LAPACK, with clusters of singular values: of orthogonal
 * rows, in which every norm is known, and of equal rows. */
START_TEST(known_norms)
{
    enum { N = 96 };
    arena mem = {0};
    double *x = arena_get(&mem, N * N, sizeof *x), *sum = arena_get(&mem, N, sizeof *sum);
    mskp_tensor maps = {.data = x, .dtype = MSKP_DTYPE_F64, .ndim = 3, .shape = {1, N, N}};
    /* Rows of a Hadamard matrix of order 32, three times, with three lengths. */
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < 32; j++) {
            unsigned bits = (unsigned)(i % 32 & j);
            int sign = 1;
            for (; bits; bits &= bits - 1) sign = -sign;
            x[i * N + i / 32 * 32 + j] = sign * (double)(1 + i / 32);
        }
    ck_assert_int_eq(mskp_channel_independence(NULL, &maps, N, sum, NULL), MSKP_OK);
    for (size_t i = 0; i < N; i++)
        ck_assert(fabs(sum[i] - sqrt(32) * (double)(1 + i / 32)) < 1e-11);
    /* All rows equal, of length r: ||X||* is r sqrt(N), and without a row r sqrt(N - 1). */
    for (size_t i = 0; i < N * N; i++) x[i] = (double)(i % N), sum[i / N] = 0;
    double r = 0;
    for (size_t i = 0; i < N; i++) r += (double)(i * i);
    r = sqrt(r);
    ck_assert_int_eq(mskp_channel_independence(NULL, &maps, N, sum, NULL), MSKP_OK);
    for (size_t i = 0; i < N; i++)
        ck_assert_msg(fabs(sum[i] - r * (sqrt(N) - sqrt(N - 1))) < 1e-10 * r, "%g", sum[i]);
    arena_free(&mem);
}
END_TEST

/* Three orthogonal columns, of lengths 365 (364 and 27 are its numbers), 29 and 15. Each channel
 * has one number, so without it the column that holds the number is shorter, and the others stay.
 * The first channel leaves 27, between 15 and 29. A step towards it leads beyond it, to where the
 * quadratic equation for the next step has a negative linear term. */
START_TEST(known_steps)
{
    double x[4][3] = {{364, 0, 0}, {0, 29, 0}, {0, 0, 15}, {27, 0, 0}}, sum[4] = {0};
    static const double lost[4] = {365 - 27, 29, 15, 365 - 364};
    mskp_tensor maps = {.data = x, .dtype = MSKP_DTYPE_F64, .ndim = 3, .shape = {1, 4, 3}};
    ck_assert_int_eq(mskp_channel_independence(NULL, &maps, 4, sum, NULL), MSKP_OK);
    for (size_t i = 0; i < 4; i++)
        ck_assert_msg(fabs(sum[i] - lost[i]) < 365 * 1e-14, "channel %zu: %.17g", i, sum[i]);
    /* The same as images of 3 by 2, with a column of zeros, that lie apart. */
    double apart[4][3][5] = {{{0}}};
    for (int c = 0; c < 4; c++)
        for (int i = 0; i < 3; i++) apart[c][i][0] = x[c][i];
    maps = (mskp_tensor){.data = apart,
                         .dtype = MSKP_DTYPE_F64,
                         .ndim = 4,
                         .shape = {1, 4, 3, 2},
                         .stride = {60, 15, 5, 2}};
    ck_assert_int_eq(mskp_channel_independence(NULL, &maps, 4, sum, NULL), MSKP_OK);
    for (size_t i = 0; i < 4; i++)
        ck_assert_msg(fabs(sum[i] - 2 * lost[i]) < 365 * 2e-14, "channel %zu: %.17g", i, sum[i]);
}
END_TEST

/* ---- Both ---- */

typedef mskp_status maps_call(const mskp_services *services, const mskp_tensor *maps, size_t n,
                              double *channel, mskp_error *err);
static maps_call *const calls[] = {mskp_channel_ranks, mskp_channel_independence};
static const char *const names[] = {"ranks: ", "independence: "};

START_TEST(a_number_that_is_none)
{
    double x[2][4] = {{1, 2, 3, 4}, {5, 6, (double)NAN, 8}}, sum[2] = {9, 9};
    const mskp_tensor maps = {.data = x, .dtype = MSKP_DTYPE_F64, .ndim = 4, .shape = {1, 2, 2, 2}};
    for (int k = 0; k < 2; k++) {
        mskp_error err = {0};
        char text[64];
        ck_assert_int_eq(calls[k](NULL, &maps, 2, sum, &err), MSKP_ERROR_BAD_NUMBER);
        snprintf(text, sizeof text, "%selement 0,1,1,0 of maps is NaN", names[k]);
        ck_assert_str_eq(err.text, text);
        ck_assert(sum[0] == 9 && sum[1] == 9);
    }
}
END_TEST

/* Numbers whose squares no double can hold, and whose squares vanish. */
START_TEST(large_and_small_numbers)
{
    static const double sizes[] = {1, 1e300, 1e-300, 0x1p-1070};
    for (int i = 0; i < 4; i++) {
        const double s = sizes[i];
        double x[2][4] = {{3 * s, 0, 0, 4 * s}, {0, 5 * s, 0, 0}}, sum[2] = {0};
        const mskp_tensor maps = {
            .data = x, .dtype = MSKP_DTYPE_F64, .ndim = 4, .shape = {1, 2, 2, 2}};
        ck_assert_int_eq(mskp_channel_ranks(NULL, &maps, 2, sum, NULL), MSKP_OK);
        ck_assert_msg(sum[0] == 2 && sum[1] == 1, "%g: %g, %g", s, sum[0], sum[1]);
        sum[0] = sum[1] = 0;
        ck_assert_int_eq(mskp_channel_independence(NULL, &maps, 2, sum, NULL), MSKP_OK);
        ck_assert_msg(fabs(sum[0] / (5 * s) - 1) < 1e-14 && fabs(sum[1] / (5 * s) - 1) < 1e-14,
                      "%g: %g, %g", s, sum[0] / s, sum[1] / s);
    }
    double x[2][4] = {{1.5e308, 1.5e308, 1.5e308, 1.5e308}}, sum[2] = {7, 7};
    const mskp_tensor maps = {.data = x, .dtype = MSKP_DTYPE_F64, .ndim = 4, .shape = {1, 2, 2, 2}};
    mskp_error err = {0};
    ck_assert_int_eq(mskp_channel_independence(NULL, &maps, 2, sum, &err), MSKP_ERROR_BAD_NUMBER);
    ck_assert_msg(strstr(err.text, "no double can hold the number of channel 0"), "%s", err.text);
    ck_assert(sum[0] == 7 && sum[1] == 7);
}
END_TEST

START_TEST(bad_numbers)
{
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (size_t k = 0; k < test_count(200); k++) {
        batch b;
        batch_begin(&b, test_seed() * 1000000 + k, true, 6);
        const size_t n = b.shape[CHANNELS];
        const mskp_tensor v = view_resolve(&b.maps, 4, b.shape);
        size_t index[MSKP_MAX_DIMS];
        char element[128];
        double *sum = arena_get(&b.mem, n, sizeof *sum), *before = arena_get(&b.mem, n, 8);
        mskp_error err = {0};
        for (int d = 0; d < 4; d++) index[d] = rng_below(&b.r, b.shape[d]);
        snprintf(element, sizeof element, "%selement %zu,%zu,%zu,%zu of maps is ", names[k % 2],
                 index[0], index[1], index[2], index[3]);
        view_set(&v, index, bad[rng_below(&b.r, 3)]);
        REQUIRE(calls[k % 2](NULL, &b.maps, n, sum, &err) == MSKP_ERROR_BAD_NUMBER, "no error");
        REQUIRE(strstr(err.text, element), "%s: %s", element, err.text);
        REQUIRE(!memcmp(sum, before, n * sizeof *sum), "changed");
        view_set(&v, index, 1);
        sum[n - 1] = bad[rng_below(&b.r, 3)];
        REQUIRE(calls[k % 2](NULL, &b.maps, n, sum, &err) == MSKP_ERROR_BAD_NUMBER, "no error");
        snprintf(element, sizeof element, "the number of channel %zu is ", n - 1);
        REQUIRE(strstr(err.text, element), "%s", err.text);
        REQUIRE(n == 1 || sum[0] == 0, "changed");
        batch_end(&b);
    }
}
END_TEST

START_TEST(arguments_are_checked)
{
    static float x[1 << 16];
    double sum[3] = {7, 7, 7}, *many = calloc(1 << 15, sizeof *many);
    const mskp_tensor good = {.data = x, .ndim = 4, .shape = {2, 3, 4, 5}};
    const mskp_services half = {.release = failing_release};
    mskp_error err = {0};
    maps_call *call = calls[_i];
#define REFUSED(expected, words, services, maps, n, channel)            \
    ck_assert_int_eq(call(services, maps, n, channel, NULL), expected); \
    ck_assert_int_eq(call(services, maps, n, channel, &err), expected); \
    ck_assert_int_eq(err.status, expected);                             \
    ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);     \
    ck_assert(sum[0] == 7 && sum[1] == 7 && sum[2] == 7)
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "services", &half, &good, 3, sum);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "maps is NULL", NULL, NULL, 3, sum);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "channel is NULL", NULL, &good, 3, NULL);
    REFUSED(MSKP_ERROR_BAD_SHAPE, "4 numbers, maps has 3 channels", NULL, &good, 4, sum);
    mskp_tensor bad = good;
    bad.data = NULL;
    REFUSED(MSKP_ERROR_NO_DATA, "maps has no data", NULL, &bad, 3, sum);
    bad = good, bad.dtype = MSKP_DTYPE_BYTES_4;
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "dtype BYTES_4 of maps holds no numbers", NULL, &bad, 3, sum);
    bad = good, bad.dtype = (mskp_dtype)77;
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "maps: 77 is no dtype", NULL, &bad, 3, sum);
    bad = good, bad.ndim = 1;
    REFUSED(MSKP_ERROR_BAD_SHAPE, _i ? "maps has 1 axes, not 2 to 6" : "maps has 1 axes, not 4",
            NULL, &bad, 3, sum);
    bad = good, bad.ndim = 7;
    REFUSED(MSKP_ERROR_BAD_SHAPE, "maps has 7 axes", NULL, &bad, 3, sum);
    bad = good, bad.shape[3] = 0;
    REFUSED(MSKP_ERROR_BAD_SHAPE, "axis 3 of maps has length 0", NULL, &bad, 3, sum);
    bad = good, bad.shape[3] = SIZE_MAX / 128;
    REFUSED(MSKP_ERROR_BAD_SHAPE, "axis 3 of maps has length 14411", NULL, &bad, 3, sum);
    bad = good, bad.shape[2] = SIZE_MAX;
    REFUSED(MSKP_ERROR_BAD_SHAPE, "axis 2 of maps has length 18446744073709551615", NULL, &bad, 3,
            sum);
    bad = good, bad.stride[3] = 1, bad.stride[2] = 1, bad.stride[1] = 20, bad.stride[0] = 60;
    REFUSED(MSKP_ERROR_OVERLAP, names[_i], NULL, &bad, 3, sum);
    bad = good, bad.elements = 119;
    REFUSED(MSKP_ERROR_BAD_SHAPE, "maps: the tensor has 119 elements", NULL, &bad, 3, sum);
    /* Longer than LAPACK's integers allow. */
    bad = (mskp_tensor){.data = x, .ndim = 4, .shape = {1, 1, 2, (1 << 15) + 1}};
    if (_i) bad.shape[1] = (1 << 14) + 1, bad.shape[2] = bad.shape[3] = 1;
    REFUSED(MSKP_ERROR_UNSUPPORTED, "LAPACK cannot decompose", NULL, &bad, bad.shape[1], many);
    bad.shape[1] = 1, bad.shape[2] = _i ? ((size_t)1 << 30) + 1 : (1 << 15) + 1, bad.shape[3] = 1;
    REFUSED(MSKP_ERROR_UNSUPPORTED, "LAPACK cannot decompose", NULL, &bad, 1, sum);
    bad.shape[2] = 1;
    ck_assert_int_eq(call(NULL, &bad, 1, sum, NULL), MSKP_OK);
    free(many);
}
END_TEST

/* Any arguments: an error leaves the numbers alone and has a sentence. */
START_TEST(any_arguments)
{
    size_t good = 0, bad = 0;
    const size_t count = test_count(4000);
    char *buffer = calloc(ANY_BYTES, 1);
    rng r = rng_make(test_seed());
    for (size_t k = 0; k < count; k++) {
        const size_t shape[4] = {1 + rng_below(&r, 2), 1 + rng_below(&r, 3), 1 + rng_below(&r, 3),
                                 1 + rng_below(&r, 3)};
        for (size_t i = 0; i < ANY_BYTES; i++) /* no number is infinite or NaN in any dtype */
            buffer[i] = (char)(rng_chance(&r, 0.5) ? rng_next(&r) & 0x3f : 0);
        mskp_tensor maps = any_tensor(&r, buffer, 4, shape);
        const size_t n = rng_chance(&r, 0.9) ? maps.shape[1] : rng_below(&r, 4);
        double sum[4] = {1, 1, 1, 1};
        mskp_error err = {0};
        const mskp_status status = calls[k % 2](k % 4 < 2 ? NULL : &backwards_services,
                                                rng_chance(&r, 0.98) ? &maps : NULL, n,
                                                rng_chance(&r, 0.98) ? sum : NULL, &err);
        ck_assert_int_eq(err.status, status);
        ck_assert((err.text[0] != 0) == (status != MSKP_OK));
        for (size_t i = 0; i < 4; i++) ck_assert(status || i >= n ? sum[i] == 1 : sum[i] >= 1);
        good += !status, bad += status != MSKP_OK;
    }
    free(buffer);
    ck_assert_msg(count < 100 || (good > count / 20 && bad > count / 20), "%zu, %zu", good, bad);
}
END_TEST

START_TEST(no_convergence)
{
    const float x[2][6] = {{1, 2, 3}, {4, 5, 6}};
    const mskp_tensor maps = {.data = (void *)x, .ndim = 4, .shape = {2, 2, 1, 3}};
    double sum[2] = {7, 7};
    mskp_error err = {0};
    failing_info = 1;
    ck_assert_int_eq(calls[_i](NULL, &maps, 2, sum, &err), MSKP_ERROR_BAD_NUMBER);
    failing_info = 0;
    ck_assert_msg(strstr(err.text, "did not converge for image 0"), "%s", err.text);
    ck_assert(sum[0] == 7 && sum[1] == 7);
    ck_assert_int_eq(calls[_i](NULL, &maps, 2, sum, &err), MSKP_OK);
}
END_TEST

START_TEST(allocations_fail)
{
    float x[2][3][16];
    for (int i = 0; i < 2 * 3 * 16; i++) (&x[0][0][0])[i] = sinf((float)(i * i));
    for (int wide = 0; wide < 2; wide++) { /* more positions than channels, or fewer */
        const size_t side = wide ? 4 : 1;
        const mskp_tensor maps = {.data = x, .ndim = 4, .shape = {2, 3, side, side}};
        double sum[3] = {7, 7, 7};
        mskp_status status = MSKP_ERROR_NO_MEMORY;
        size_t k = 0;
        while (status) {
            failing_heap heap = {.fail_at = ++k};
            const mskp_services services = failing_services(&heap);
            mskp_error err = {0};
            status = calls[_i](&services, &maps, 3, sum, &err);
            ck_assert_uint_eq(heap.live, 0);
            if (!status) break;
            ck_assert_int_eq(status, MSKP_ERROR_NO_MEMORY);
            ck_assert_msg(strstr(err.text, names[_i]) == err.text, "%s", err.text);
            ck_assert(sum[0] == 7 && sum[1] == 7 && sum[2] == 7);
        }
        ck_assert_uint_gt(k, 4);
        ck_assert(sum[0] > 7 && sum[1] > 7 && sum[2] > 7);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("maps");
    TCase *tcase = tcase_create("maps");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, ranks_are_exact, 0, 2);
    tcase_add_test(tcase, the_bound_of_a_rank);
    tcase_add_loop_test(tcase, independence_is_a_difference_of_norms, 0, 2);
    tcase_add_test(tcase, known_norms);
    tcase_add_test(tcase, known_steps);
    tcase_add_test(tcase, a_number_that_is_none);
    tcase_add_test(tcase, large_and_small_numbers);
    tcase_add_test(tcase, bad_numbers);
    tcase_add_loop_test(tcase, arguments_are_checked, 0, 2);
    tcase_add_test(tcase, any_arguments);
    tcase_add_loop_test(tcase, no_convergence, 0, 2);
    tcase_add_loop_test(tcase, allocations_fail, 0, 2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

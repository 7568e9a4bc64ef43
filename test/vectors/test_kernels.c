#define _POSIX_C_SOURCE 200809L
/*
 * The order of sums over slices, in every kernel that this processor can run.
 *
 * MSKP_TEST_PROCESSOR says which (test.mk). The sums that the head of lib/score/sweep.c promises
 * are worked out here once more, from the words alone, by one number after the other in logical
 * order. Scores must be these to the last bit: in all shapes of tiles, formats and strides, with
 * denormal numbers and -0, in both floating-point modes, and with a parallel_for of the caller.
 */
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interpreter/elements.h"

#include "by_id/by_id.h"
#include <check.h>

static const char *const widest[] = {"3", "2", "1", "0"}; /* processor_set */
enum { MACHINES = sizeof widest / sizeof *widest, MOST_UNITS = 20000 };

/* The terms: 0 |w|, 1 w^2; from 2 on those of mskp_taylor, of which each score is one sum. */
enum { TERMS = 2 + 4 };

/* ---- One parameter, in two sets ---- */

typedef struct tensor {
    uint32_t ndim;
    size_t shape[4], n;
    double *number[2];
    mskp_tensor view[2][2]; /* by id */
    void *memory[2];
} tensor;

static size_t size_of(mskp_dtype dtype)
{
    return dtype == MSKP_DTYPE_F64 ? 8 : dtype == MSKP_DTYPE_F32 ? 4 : 2;
}

/* Writes a finite number of a format, often a denormal one or -0, and returns it as a double. */
static double put(char *to, mskp_dtype dtype, rng *r)
{
    const bool denormal = rng_below(r, 8) == 0, zero = rng_below(r, 16) == 0;
    const int exponent = (int)rng_below(r, 60) - 30;
    const double sign = rng_below(r, 2) ? 1 : -1;
    double x = sign * ldexp(rng_real(r, 1, 2), exponent);
    float f = (float)x;
    uint32_t bits = (uint32_t)rng_next(r) & 0x807fffff;
    uint16_t half = (uint16_t)rng_next(r);
    if (zero) x = -0.0, f = -0.0F, half = 0x8000;
    switch ((int)dtype) {
    case MSKP_DTYPE_F64:
        memcpy(to, &x, sizeof x);
        return x;
    case MSKP_DTYPE_F32:
        if (!denormal) memcpy(&bits, &f, sizeof bits);
        memcpy(to, &bits, sizeof bits);
        x = ldexp((double)(bits & 0x7fffff), -149);
        return denormal ? (bits >> 31 ? -x : x) : (double)f;
    case MSKP_DTYPE_F16:
        if (denormal) half &= 0x83ff;
        if ((half & 0x7c00) == 0x7c00) half &= 0xbfff;
        memcpy(to, &half, sizeof half);
        return half_decode(half);
    default:
        memcpy(&bits, &f, sizeof bits);
        half = denormal ? half & 0x807f : (uint16_t)(bits >> 16);
        memcpy(to, &half, sizeof half);
        return bfloat_decode(half);
    }
}

/* Contiguous, channels last, or any order of the axes with gaps and negative strides. */
static void make_view(tensor *t, int which, int layout, mskp_dtype dtype, rng *r)
{
    uint32_t order[4] = {0, 1, 2, 3};
    mskp_tensor *v = &t->view[which][1];
    size_t span = 1, first = 0, index[4] = {0};
    *v = (mskp_tensor){.dtype = dtype, .ndim = t->ndim};
    if (layout == 1 && t->ndim > 2) {
        for (uint32_t d = 1; d + 1 < t->ndim; d++) order[d] = d + 1;
        order[t->ndim - 1] = 1;
    }
    for (uint32_t d = t->ndim; layout == 2 && d-- > 1;) {
        const size_t other = rng_below(r, d + 1);
        const uint32_t o = order[d];
        order[d] = order[other];
        order[other] = o;
    }
    for (uint32_t k = t->ndim; k-- > 0;) {
        const uint32_t d = order[k];
        v->shape[d] = t->shape[d];
        v->stride[d] = (ptrdiff_t)span;
        if (layout == 2 && rng_below(r, 3) == 0) v->stride[d] += (ptrdiff_t)rng_below(r, 3);
        span = (size_t)v->stride[d] * (t->shape[d] - 1) + span;
        if (layout == 2 && rng_below(r, 3) == 0) {
            first += (size_t)v->stride[d] * (t->shape[d] - 1);
            v->stride[d] = -v->stride[d];
        }
    }
    t->memory[which] = calloc(span, size_of(dtype));
    t->number[which] = calloc(t->n, sizeof(double));
    v->data = (char *)t->memory[which] + first * size_of(dtype);
    for (size_t e = 0; e < t->n; e++) {
        ptrdiff_t at = 0;
        for (uint32_t d = 0; d < t->ndim; d++) at += v->stride[d] * (ptrdiff_t)index[d];
        t->number[which][e] = put((char *)v->data + at * (ptrdiff_t)size_of(dtype), dtype, r);
        for (uint32_t d = t->ndim; d-- > 0 && ++index[d] == t->shape[d];) index[d] = 0;
    }
}

/* ---- The promise ---- */

static double term_of(const tensor *t, int term, size_t e)
{
    const double w = t->number[0][e], x = w * t->number[1][e];
    if (term == 0) return fabs(w);
    if (term == 1) return w * w;
    if (term - 2 == MSKP_TAYLOR_SUM_OF_ABSOLUTES) return fabs(x);
    return term - 2 == MSKP_TAYLOR_SUM_OF_SQUARES ? x * x : x;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* to[] <- the sums of all slices on axis d, as the head of sweep.c says. */
static void promised(const tensor *t, int term, uint32_t d, double *to)
{
    const size_t rows = t->ndim > 1 ? t->shape[0] : 1, columns = t->shape[t->ndim > 1];
    const size_t taps = t->n / rows / columns, tile_taps = least(taps, 128);
    const size_t tile_columns = 4608 / tile_taps / 8 * 8;
    const int what = t->ndim == 1 ? 1 : d == 0 ? 0 : d == 1 ? 1 : 2; /* row, column, further */
    size_t inner = 1;
    double *part = calloc(t->shape[d], sizeof *part);
    for (uint32_t k = d + 1; k < t->ndim; k++) inner *= t->shape[k];
    memset(to, 0, t->shape[d] * sizeof *to);
    for (size_t r0 = 0; r0 < rows; r0 += 256)
        for (size_t c0 = 0; c0 < columns; c0 += tile_columns)
            for (size_t t0 = 0; t0 < taps; t0 += tile_taps) {
                const size_t r1 = least(rows, r0 + 256), c1 = least(columns, c0 + tile_columns);
                const size_t t1 = least(taps, t0 + tile_taps);
                memset(part, 0, t->shape[d] * sizeof *part);
                for (size_t r = r0; r < r1 && what == 0; r++) {
                    double lane[8] = {0};
                    for (size_t l = 0; l < 8; l++)
                        for (size_t k = t0; k < t1; k++) {
                            double sum = 0;
                            for (size_t c = c0 + l; c < c1; c += 8)
                                sum += term_of(t, term, (r * columns + c) * taps + k);
                            lane[l] += sum;
                        }
                    part[r] = ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
                              ((lane[1] + lane[5]) + (lane[3] + lane[7]));
                }
                for (size_t c = c0; c < c1 && what != 0; c++)
                    for (size_t k = t0; k < t1; k++) {
                        double sum = 0;
                        for (size_t r = r0; r < r1; r++)
                            sum += term_of(t, term, (r * columns + c) * taps + k);
                        part[what == 1 ? c : k / inner % t->shape[d]] += sum;
                    }
                for (size_t i = 0; i < t->shape[d]; i++) to[i] += part[i];
            }
    free(part);
}

/* ---- A parallel_for with two threads, from both ends ---- */

typedef struct half {
    size_t n;
    void (*work)(void *context, size_t i);
    void *context;
    size_t first;
} half;

static void *odd(void *context)
{
    const half *h = context;
    for (size_t i = h->first; i < h->n; i += 2) h->work(h->context, i);
    return NULL;
}

static void parallel_for(void *context, size_t n, void (*work)(void *work_context, size_t i),
                         void *work_context)
{
    pthread_t thread;
    half one = {n, work, work_context, 1}, other = {n, work, work_context, 0};
    (void)context;
    const int failed = pthread_create(&thread, NULL, odd, &one);
    odd(&other);
    if (failed)
        odd(&one);
    else
        pthread_join(thread, NULL);
}

/* ---- Tests ---- */

static void random_shape(tensor *t, rng *r)
{
    const int kind = (int)rng_below(r, 6);
    t->ndim = 1 + (uint32_t)rng_below(r, 4);
    for (uint32_t d = 0; d < t->ndim; d++) t->shape[d] = 1 + rng_below(r, d < 2 ? 40 : 4);
    if (kind == 0) t->shape[0] = 200 + rng_below(r, 400);
    if (kind == 1 && t->ndim > 1)
        t->shape[0] = 1 + rng_below(r, 3), t->shape[1] = 4000 + rng_below(r, 6000);
    if (kind == 2 && t->ndim > 2)
        t->shape[1] = 1 + rng_below(r, 90), t->shape[2] = 100 + rng_below(r, 200);
    if (kind == 3 && t->ndim == 4)
        t->shape[2] = t->shape[3] = 3, t->shape[1] = 500 + rng_below(r, 40);
    t->n = 1;
    for (uint32_t d = 0; d < t->ndim; d++) t->n *= t->shape[d];
    if (t->n > 150000) t->shape[0] = 1 + rng_below(r, 3);
    t->n = 1;
    for (uint32_t d = 0; d < t->ndim; d++) t->n *= t->shape[d];
}

START_TEST(scores_are_promised_to_the_last_bit)
{
    static const mskp_dtype dtypes[] = {MSKP_DTYPE_F32, MSKP_DTYPE_F64, MSKP_DTYPE_F16,
                                        MSKP_DTYPE_BF16};
    static double score[MOST_UNITS], sums[MOST_UNITS];
    const mskp_services threads = {.parallel_for = parallel_for};
    const size_t count = test_count(400);
    size_t compared = 0;
    if (FLT_EVAL_METHOD != 0) { /* as on i386, where sums are wider than double at times */
        puts("skipped: this machine does not compute in double");
        return;
    }
    for (size_t k = 0; k < count; k++) {
        rng r = rng_make(test_seed() * 1000000 + k);
        tensor t = {0};
        mskp_error err = {0};
        random_shape(&t, &r);
        mskp_graph *g = mskp_graph_create(rng_below(&r, 2) ? &threads : NULL);
        const mskp_param p = mskp_parameter(g, "w", t.ndim, t.shape);
        uint32_t bound = 1 + (uint32_t)rng_below(&r, (1u << t.ndim) - 1); /* bit d: axis d */
        for (uint32_t d = 0; d < t.ndim; d++)
            if (bound >> d & 1)
                mskp_bind(g, p, d, MSKP_ROLE_FILTER, mskp_fresh(g, NULL, t.shape[d], 0, NULL));
        ck_assert_msg(!mskp_graph_finish(g, &err), "%s", err.text);
        const size_t units = mskp_graph_counts(g).units;
        ck_assert(units <= MOST_UNITS);
        const mskp_dtype first = dtypes[rng_below(&r, 4)];
        for (int which = 0; which < 2; which++)
            make_view(&t, which, (int)rng_below(&r, 3),
                      rng_below(&r, 4) ? first : dtypes[rng_below(&r, 4)], &r);
        const int term = (int)rng_below(&r, TERMS);
        for (int machine = 0; machine < MACHINES; machine++)
            for (int mode = 0; mode < 2; mode++) {
                setenv("MSKP_TEST_PROCESSOR", widest[machine], 1);
                memset(score, 0, sizeof score);
                const mskp_scoring how = {.magnitude = (mskp_magnitude)(term == 1),
                                          .reduce = MSKP_REDUCE_JOINT,
                                          .roles = MSKP_ROLE_FILTER};
                float_mode(mode);
                const mskp_status status =
                    term < 2 ? mskp_score(g, &how, set_by_id(1, t.view[0]), scores_of(units, score),
                                          &err)
                             : mskp_score_taylor(g, (mskp_taylor)(term - 2), MSKP_ROLE_FILTER,
                                                 set_by_id(1, t.view[0]), set_by_id(1, t.view[1]),
                                                 scores_of(units, score), &err);
                float_mode(0);
                ck_assert_msg(!status, "seed %zu: %s", k, err.text);
                for (uint32_t d = 0; d < t.ndim; d++) {
                    size_t n;
                    const uint32_t *unit = mskp_param_units(g, p, d, NULL, &n);
                    if (!(bound >> d & 1)) continue;
                    promised(&t, term, d, sums);
                    for (size_t i = 0; i < n; i++) {
                        double x = sums[i];
                        if (term == 1) x = sqrt(x);
                        if (term - 2 == MSKP_TAYLOR_SQUARED_SUM) x *= x;
                        if (term > 1) x = fabs(x);
                        ck_assert_msg(memcmp(&x, &score[unit[i]], sizeof x) == 0,
                                      "network %zu, set %s, mode %d, term %d, axis %u, "
                                      "index %zu of %zu: %a, not %a",
                                      k, widest[machine], mode, term, d, i, n, score[unit[i]], x);
                        compared++;
                    }
                }
            }
        for (int which = 0; which < 2; which++) {
            free(t.memory[which]);
            free(t.number[which]);
        }
        mskp_graph_destroy(g);
    }
    ck_assert(count < 100 || compared > 100 * count);
}
END_TEST

/* What is no number is refused by every kernel, and named. */
START_TEST(what_is_no_number_is_refused)
{
    const size_t shape[] = {3, 17};
    float w[3 * 17];
    double score[3];
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param p = mskp_parameter(g, "w", 2, shape);
    mskp_bind(g, p, 0, MSKP_ROLE_FILTER, mskp_fresh(g, NULL, 3, 0, NULL));
    ck_assert(!mskp_graph_finish(g, NULL));
    const mskp_tensor views[2] = {{0}, {.data = w, .dtype = MSKP_DTYPE_F32}};
    const mskp_scoring how = {.roles = MSKP_ROLE_FILTER};
    for (int machine = 0; machine < MACHINES; machine++)
        for (size_t e = 0; e < 3 * 17; e++)
            for (int what = 0; what < 3; what++) {
                char sentence[80];
                mskp_error err = {0};
                setenv("MSKP_TEST_PROCESSOR", widest[machine], 1);
                for (size_t i = 0; i < 3 * 17; i++) w[i] = (float)i;
                w[e] = what == 0 ? NAN : what == 1 ? INFINITY : -INFINITY;
                ck_assert_int_eq(
                    mskp_score(g, &how, set_by_id(1, views), scores_of(3, score), &err),
                    MSKP_ERROR_BAD_NUMBER);
                snprintf(sentence, sizeof sentence, "w (values): element %zu,%zu is %s", e / 17,
                         e % 17,
                         what == 0   ? ""
                         : what == 1 ? "inf"
                                     : "-inf");
                ck_assert_msg(strstr(err.text, sentence) != NULL, "'%s' lacks '%s'", err.text,
                              sentence);
            }
    mskp_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tcase = tcase_create("kernels");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, scores_are_promised_to_the_last_bit);
    tcase_add_test(tcase, what_is_no_number_is_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*
 * Statistics of activations, against sums over all batches at once in long double; random scores;
 * valleys of histograms, against a model that looks at every bin and at samples whose groups are
 * known.
 */
#include "interpreter/elements.h"

#include "by_id/by_id.h"
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Activations ---- */

enum { CHANNELS = 5, BATCHES = 4 };

/* All that a channel has seen. */
typedef struct seen {
    double *x;
    size_t n;
} seen;

static void require_near(double x, long double expected, long double scale, const char *what)
{
    REQUIRE(fabsl((long double)x - expected) <= 1e-13L * scale, "%s is %.17g, not %.17g", what, x,
            (double)expected);
}

static void require_statistics(const mskp_channel_stats *a, const seen *s)
{
    long double mean = 0, magnitude = 0, squares = 0, size = 0;
    size_t zeros = 0;
    for (size_t i = 0; i < s->n; i++) {
        mean += (long double)s->x[i];
        magnitude += fabsl((long double)s->x[i]);
        zeros += s->x[i] == 0;
        size = fmaxl(size, fabsl((long double)s->x[i]));
    }
    if (s->n) mean /= (long double)s->n, magnitude /= (long double)s->n;
    for (size_t i = 0; i < s->n; i++)
        squares += ((long double)s->x[i] - mean) * ((long double)s->x[i] - mean);
    REQUIRE(a->count == (double)s->n && a->zeros == (double)zeros, "%g elements, %g zeros",
            a->count, a->zeros);
    require_near(a->mean, mean, size, "mean");
    require_near(a->magnitude, magnitude, size, "magnitude");
    require_near(a->squares, squares, squares + (long double)s->n * 1e-3L * size * size, "squares");
}

/* A batch of random shape, type and view, with its channels on some axis; every other number is 0
 * now and then, and all lie around `centre`. Adds the numbers to seen. */
static mskp_tensor random_batch(arena *mem, rng *r, double centre, uint32_t *axis, seen *s)
{
    const uint32_t ndim = (uint32_t)rng_from(r, 1, 4);
    size_t shape[MSKP_MAX_DIMS], index[MSKP_MAX_DIMS] = {0};
    *axis = (uint32_t)rng_below(r, ndim);
    for (uint32_t d = 0; d < ndim; d++) shape[d] = d == *axis ? CHANNELS : rng_from(r, 1, 4);
    const mskp_dtype dtype = (mskp_dtype)rng_below(r, 4);
    const view_buf buf = view_make(mem, r, dtype, ndim, shape, VIEW_STYLES);
    mskp_tensor v = view_resolve(&buf.view, ndim, shape);
    do {
        const double x = rng_chance(r, 0.3) ? 0 : centre + rng_real(r, -1, 1);
        view_set(&v, index, x);
        seen *of = &s[index[*axis]];
        of->x = realloc(of->x, (of->n + 1) * sizeof *of->x);
        of->x[of->n++] = view_get(&v, index);
    } while (next_index(ndim, shape, index));
    return v;
}

START_TEST(statistics_are_those_of_all_batches)
{
    float_mode(_i);
    for (size_t k = 0; k < test_count(500); k++) {
        arena mem = {0};
        rng r = rng_make(trial_seed = test_seed() * 1000000 + k);
        seen s[CHANNELS] = {{0}};
        mskp_channel_stats one[CHANNELS] = {{0}}, parts[2][CHANNELS] = {{{0}}};
        const double centre = rng_chance(&r, 0.5) ? 0 : 1000;
        for (int b = 0; b < BATCHES; b++) {
            uint32_t axis;
            mskp_error err = {0};
            const mskp_tensor v = random_batch(&mem, &r, centre, &axis, s);
            const mskp_services *services = rng_chance(&r, 0.5) ? &backwards_services : NULL;
            REQUIRE(!mskp_channel_stats_add(services, &v, axis, CHANNELS, one, &err), "%s",
                    err.text);
            REQUIRE(!mskp_channel_stats_add(NULL, &v, axis, CHANNELS, parts[b % 2], &err), "%s",
                    err.text);
            for (int c = 0; c < CHANNELS; c++) require_statistics(&one[c], &s[c]);
        }
        REQUIRE_OK(mskp_channel_stats_merge(CHANNELS, parts[1], parts[0], NULL));
        for (int c = 0; c < CHANNELS; c++) require_statistics(&parts[0][c], &s[c]);
        for (int c = 0; c < CHANNELS; c++) free(s[c].x);
        arena_free(&mem);
    }
    float_mode(0);
}
END_TEST

/* Nothing and something are something; the order of the two does not matter. */
START_TEST(nothing_merges)
{
    const mskp_channel_stats some = {2, 0, 3, 3, 2};
    mskp_channel_stats a[2] = {some}, b[2] = {{0}, some};
    ck_assert_int_eq(mskp_channel_stats_merge(2, b, a, NULL), MSKP_OK);
    ck_assert_mem_eq(&a[0], &some, sizeof some);
    ck_assert_mem_eq(&a[1], &some, sizeof some);
    ck_assert_int_eq(mskp_channel_stats_merge(0, NULL, NULL, NULL), MSKP_OK);
}
END_TEST

static void let_go(void *context, void *memory)
{
    (void)context;
    free(memory);
}

START_TEST(bad_batches_change_nothing)
{
    float x[2][3] = {{1, 2, 3}, {4, 5, 6}};
    double wide[3] = {1, 2, 3};
    const mskp_tensor good = {.data = x, .ndim = 2, .shape = {2, 3}};
    mskp_tensor no_data = good, no_axes = good, no_number = good, empty = good, nested = good;
    mskp_tensor longer = good, longest = good, many_axes = good, many_elements = good;
    many_axes.ndim = 7;
    many_elements.ndim = 3, many_elements.shape[0] = PTRDIFF_MAX / 64;
    many_elements.shape[2] = SIZE_MAX;
    mskp_tensor huge = {.data = wide, .dtype = MSKP_DTYPE_F64, .ndim = 2, .shape = {1, 3}};
    no_data.data = NULL, no_axes.ndim = 0, no_number.dtype = MSKP_DTYPE_BYTES_4;
    longer.shape[0] = PTRDIFF_MAX / 16, longest.shape[0] = SIZE_MAX;
    empty.shape[0] = 0, nested.stride[0] = 1, nested.stride[1] = 1;
    const mskp_services half = {.release = let_go};
    mskp_channel_stats channel[3], before[3];
    const struct {
        const mskp_tensor *batch;
        uint32_t axis;
        size_t n;
        mskp_status status;
        const char *word;
    } wrong[] = {
        {NULL, 1, 3, MSKP_ERROR_BAD_ARGUMENT, "batch is NULL"},
        {&no_data, 1, 3, MSKP_ERROR_NO_DATA, "the batch has no data"},
        {&good, 1, 0, MSKP_ERROR_BAD_SHAPE, "3 channels on axis 1, and there is room for 0"},
        {&many_axes, 0, 3, MSKP_ERROR_BAD_SHAPE, "axis 0 of a batch with 7 axes"},
        {&no_axes, 0, 3, MSKP_ERROR_BAD_SHAPE, "axis 0 of a batch with 0 axes"},
        {&good, 2, 3, MSKP_ERROR_BAD_SHAPE, "axis 2 of a batch with 2 axes"},
        {&good, 0, 3, MSKP_ERROR_BAD_SHAPE, "2 channels on axis 0, and there is room for 3"},
        {&empty, 1, 3, MSKP_ERROR_BAD_SHAPE, "axis 0 of the batch has length 0"},
        {&longer, 1, 3, MSKP_ERROR_BAD_SHAPE, "axis 1 of the batch has length 3"},
        {&longest, 1, 3, MSKP_ERROR_BAD_SHAPE, "axis 0 of the batch has length"},
        {&many_elements, 1, 3, MSKP_ERROR_BAD_SHAPE, "axis 2 of the batch has length"},
        {&no_number, 1, 3, MSKP_ERROR_BAD_ARGUMENT, "dtype 18, which holds no numbers"},
        {&nested, 1, 3, MSKP_ERROR_OVERLAP, "does not step over"},
    };
    memset(channel, 0, sizeof channel);
    ck_assert_int_eq(mskp_channel_stats_add(NULL, &good, 1, 3, channel, NULL), MSKP_OK);
    memcpy(before, channel, sizeof before);
    mskp_error err = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(
            mskp_channel_stats_add(NULL, wrong[i].batch, wrong[i].axis, wrong[i].n, channel, &err),
            wrong[i].status);
        ck_assert_msg(strstr(err.text, wrong[i].word) != NULL, "%s", err.text);
    }
    ck_assert_int_eq(mskp_channel_stats_add(&half, &good, 1, 3, channel, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_channel_stats_add(NULL, &good, 1, 3, NULL, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    x[1][2] = (float)NAN;
    ck_assert_int_eq(mskp_channel_stats_add(NULL, &good, 1, 3, channel, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_str_eq(err.text, "activations: element [1,2] is NaN");
    wide[2] = 1e200; /* far from the mean of the others */
    ck_assert_int_eq(mskp_channel_stats_add(NULL, &huge, 1, 3, channel, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_str_eq(err.text, "activations: channel 2: no double can hold the sum of squares");
    huge.shape[0] = 3, huge.shape[1] = 1; /* the same three numbers of one channel */
    ck_assert_int_eq(mskp_channel_stats_add(NULL, &huge, 1, 1, channel, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_str_eq(err.text, "activations: channel 0: no double can hold the sum of squares");
    ck_assert_mem_eq(channel, before, sizeof before);
    /* What is no statistic. */
    for (size_t i = 0; i < 9; i++) {
        mskp_channel_stats odd[3];
        memcpy(odd, before, sizeof odd);
        const struct {
            double *field, number;
        } bad[] = {{&odd[1].count, -1},
                   {&odd[1].count, (double)INFINITY},
                   {&odd[1].zeros, -1},
                   {&odd[1].zeros, 7},
                   {&odd[1].mean, (double)NAN},
                   {&odd[1].magnitude, -1},
                   {&odd[1].squares, -1},
                   {&odd[1].magnitude, (double)INFINITY},
                   {&odd[1].squares, (double)INFINITY}};
        *bad[i].field = bad[i].number;
        ck_assert_int_eq(mskp_channel_stats_merge(3, odd, channel, &err), MSKP_ERROR_BAD_NUMBER);
        ck_assert_str_eq(err.text, "activations: the numbers of channel 1 are no statistic");
        ck_assert_mem_eq(channel, before, sizeof before);
        ck_assert_int_eq(mskp_channel_stats_merge(3, channel, odd, &err), MSKP_ERROR_BAD_NUMBER);
        ck_assert_str_eq(err.text, "activations: the numbers of channel 1 are no statistic");
    }
    ck_assert_int_eq(mskp_channel_stats_merge(1, NULL, channel, &err), MSKP_ERROR_BAD_ARGUMENT);
}
END_TEST

/* ---- Random scores ---- */

START_TEST(random_scores_are_uniform)
{
    enum { N = 20000, CELLS = 20 };
    static double a[N], b[N];
    const size_t n = N;
    size_t cells[CELLS] = {0}, equal = 0;
    double chi = 0, together = 0;
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param p = mskp_parameter(g, "gamma", 1, &n);
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, mskp_fresh(g, "v", N, 0, NULL)), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    for (uint64_t seed = 0; seed < 50; seed++) {
        ck_assert_int_eq(mskp_score_random(g, seed, scores_of(N, a), NULL), MSKP_OK);
        ck_assert_int_eq(mskp_score_random(g, seed, scores_of(N, b), NULL), MSKP_OK);
        ck_assert_mem_eq(a, b, sizeof a);
        ck_assert_int_eq(mskp_score_random(g, seed + 1, scores_of(N, b), NULL), MSKP_OK);
        for (size_t i = 0; i < N; i++) {
            ck_assert(a[i] >= 0 && a[i] < 1);
            cells[(size_t)(a[i] * CELLS)]++;
            equal += a[i] == b[i];
            together += (a[i] - 0.5) * (b[i] - 0.5) * 12;
            if (i) together += (a[i] - 0.5) * (a[i - 1] - 0.5) * 12;
        }
    }
    for (int c = 0; c < CELLS; c++) {
        const double expected = 50.0 * N / CELLS, d = (double)cells[c] - expected;
        chi += d * d / expected;
    }
    /* 19 degrees of freedom: a mean of 19, a deviation of 6.2. Two million products: 1414. */
    ck_assert_msg(chi < 50, "chi square %g", chi);
    ck_assert_msg(fabs(together) < 6 * 1414, "%g", together);
    ck_assert_msg(equal == 0, "%zu are equal", equal);
    mskp_graph_destroy(g);
}
END_TEST

/* ---- Valleys ---- */

/* The header's words, with as many comparisons as it takes. */
static bool brute_valley(const double *score, size_t n, size_t bins, double *threshold,
                         double *depth)
{
    double least = INFINITY, most = -INFINITY;
    size_t *count = calloc(bins + 1, sizeof *count), best = 0, longest = 0;
    for (size_t i = 0; i < n; i++)
        if (score[i] > 0 && isfinite(score[i])) {
            least = fmin(least, log10(score[i]));
            most = fmax(most, log10(score[i]));
        }
    for (size_t i = 0; i < n; i++) {
        if (isinf(score[i])) continue;
        size_t b = 0;
        if (score[i] > 0) {
            const double at =
                most > least ? (log10(score[i]) - least) / ((most - least) / (double)bins) : 0;
            b = 1 + (at >= (double)bins ? bins - 1 : (size_t)at);
        }
        count[b]++;
    }
    for (int pass = 0; pass < 2; pass++)
        for (size_t b = 0, run = 0; b <= bins; b++) {
            size_t left = 0, right = 0;
            for (size_t i = 0; i < b; i++) left = count[i] > left ? count[i] : left;
            for (size_t i = b + 1; i <= bins; i++) right = count[i] > right ? count[i] : right;
            const size_t low = left < right ? left : right;
            const size_t prominence = low > count[b] ? low - count[b] : 0;
            if (!pass && prominence > best) best = prominence;
            run = pass && prominence == best ? run + 1 : 0;
            if (run > longest) {
                longest = run;
                *threshold =
                    pow(10, least + (most - least) / (double)bins * ((double)b - (double)run / 2));
                *depth = (double)best / (double)(best + count[b]);
            }
        }
    free(count);
    return best > 0;
}

START_TEST(valleys_are_the_most_prominent)
{
    size_t found = 0, count = test_count(2000);
    for (size_t k = 0; k < count; k++) {
        rng r = rng_make(trial_seed = test_seed() * 1000000 + k);
        double score[60], threshold = -1, depth = -1, expected = -2, deep = -2;
        const size_t n = rng_below(&r, 61), bins = rng_from(&r, 2, 40);
        mskp_error err = {0};
        for (size_t i = 0; i < n; i++) {
            score[i] = pow(10, rng_real(&r, -3, 0));
            if (rng_chance(&r, 0.3)) score[i] = 1;
            if (rng_chance(&r, 0.05)) score[i] = 0;
            if (rng_chance(&r, 0.05)) score[i] = (double)INFINITY;
        }
        const bool there = brute_valley(score, n, bins, &expected, &deep);
        const mskp_status status = mskp_valley(scores_of(n, score), bins, &threshold,
                                               rng_chance(&r, 0.9) ? &depth : NULL, &err);
        REQUIRE(status == (there ? MSKP_OK : MSKP_ERROR_NO_SOLUTION), "%s", err.text);
        REQUIRE(there || threshold == -1, "a threshold without a valley");
        if (!there) continue;
        REQUIRE(fabs(threshold - expected) <= 1e-12 * expected, "%.17g, not %.17g", threshold,
                expected);
        REQUIRE(depth == -1 || fabs(depth - deep) < 1e-15, "depth %g, not %g", depth, deep);
        found++;
    }
    REQUIRE(found > count / 4, "%zu valleys", found);
}
END_TEST

/* Two groups of gammas, as a penalty leaves them, with sizes from 5 to 95 %: the threshold parts
 * them, wherever they are and with a lone gamma far away. */
START_TEST(valleys_part_two_groups)
{
    enum { N = 2000 };
    static double score[N];
    for (size_t k = 0; k < test_count(200); k++) {
        rng r = rng_make(trial_seed = test_seed() * 1000000 + k);
        const size_t small = rng_from(&r, N / 20, N - N / 20);
        const double apart = rng_real(&r, 1.5, 5), unit = pow(10, rng_real(&r, -6, 3));
        double threshold, depth;
        for (size_t i = 0; i < N; i++) {
            const double x = rng_real(&r, -0.5, 0.5) + rng_real(&r, -0.5, 0.5); /* a triangle */
            score[i] = unit * pow(10, x * 0.4 - (i < small ? apart : 0));
        }
        if (rng_chance(&r, 0.5)) score[N - 1] = unit * 1e4;
        if (rng_chance(&r, 0.3)) score[0] = 0;
        mskp_error err = {0};
        REQUIRE(!mskp_valley(scores_of(N, score), 0, &threshold, &depth, &err), "%s", err.text);
        for (size_t i = 0; i < N; i++)
            REQUIRE((score[i] <= threshold) == (i < small), "score %zu, %g, threshold %g", i,
                    score[i], threshold);
        REQUIRE(depth == 1, "depth %g", depth);
    }
}
END_TEST

/* Two scores of 1, one of 10 and two of 100, in three bins: of the two in each peak, one is left in
 * the valley, whose middle is 10. */
START_TEST(a_valley_by_hand)
{
    const double score[5] = {100, 1, 10, 1, 100};
    double threshold = 7, depth = 7;
    ck_assert_int_eq(mskp_valley(scores_of(5, score), 3, &threshold, &depth, NULL), MSKP_OK);
    ck_assert(fabs(threshold - 10) < 1e-14 && depth == 0.5);
    threshold = 7;
    ck_assert_int_eq(mskp_valley(scores_of(5, score), 3, &threshold, NULL, NULL), MSKP_OK);
    ck_assert(fabs(threshold - 10) < 1e-14);
}
END_TEST

START_TEST(wrong_valleys)
{
    double score[4] = {1, 2, 2, 1}, threshold = 7, depth = 7;
    mskp_error err = {0};
    ck_assert_int_eq(mskp_valley(scores_of(4, score), 257, &threshold, &depth, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "valley: 257 bins, more than 256");
    ck_assert_int_eq(mskp_valley(scores_of(4, score), 1, &threshold, &depth, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "valley: 1 bin, fewer than 2");
    ck_assert_int_eq(mskp_valley(scores_of(4, score), 0, NULL, &depth, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "threshold is NULL");
    ck_assert_int_eq(mskp_valley((mskp_scores){4, NULL}, 0, &threshold, &depth, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "scores.unit is NULL");
    ck_assert_int_eq(mskp_valley((mskp_scores){0}, 0, &threshold, &depth, &err),
                     MSKP_ERROR_NO_SOLUTION);
    ck_assert_str_eq(err.text, "valley: a histogram of 0 scores in 64 bins has no valley");
    ck_assert_int_eq(mskp_valley(scores_of(4, (double[]){2, 2, 2, 2}), 0, &threshold, &depth, &err),
                     MSKP_ERROR_NO_SOLUTION);
    score[2] = -1;
    ck_assert_int_eq(mskp_valley(scores_of(4, score), 0, &threshold, &depth, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_str_eq(err.text, "valley: score 2 is -1, not 0 or more");
    ck_assert(threshold == 7 && depth == 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("statistics");
    TCase *tcase = tcase_create("statistics");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, statistics_are_those_of_all_batches, 0, 2);
    tcase_add_test(tcase, nothing_merges);
    tcase_add_test(tcase, bad_batches_change_nothing);
    tcase_add_test(tcase, random_scores_are_uniform);
    tcase_add_test(tcase, valleys_are_the_most_prominent);
    tcase_add_test(tcase, valleys_part_two_groups);
    tcase_add_test(tcase, a_valley_by_hand);
    tcase_add_test(tcase, wrong_valleys);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

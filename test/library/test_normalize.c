/* Normalized scores, against the words of methods.h, unit by unit. */
#include "interpreter/elements.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = MSKP_NORMALIZER_QUANTILE + 1 };

/* What the network saves without one unit, by counting the network twice. */
static mskp_cost price_of(const trial *t, uint32_t unit)
{
    uint8_t *stays = malloc(t->units);
    mskp_cost all, left;
    memset(stays, 1, t->units);
    stays[unit] = 0;
    left = model_cost(&t->model, stays, NULL);
    stays[unit] = 1;
    all = model_cost(&t->model, stays, NULL);
    free(stays);
    return (mskp_cost){all.macs - left.macs, all.params - left.params};
}

static bool costs(int by)
{
    return by >= MSKP_NORMALIZER_SIZE && by <= MSKP_NORMALIZER_PARAMS;
}

static double quotient(double x, double y)
{
    return x == 0 ? 0 : x / y;
}

static bool takes_any_sign(int by)
{
    return by == MSKP_NORMALIZER_STANDARD || by == MSKP_NORMALIZER_RANGE;
}

/* percent: the share of a quantile. */
static double brute_normal(const trial *t, mskp_normalizer by, size_t percent, const double *score,
                           uint32_t unit)
{
    const uint32_t *family = mskp_unit_families(t->graph, NULL);
    const double x = score[unit];
    double sum = 0, most = -(double)INFINITY, least = (double)INFINITY, after = 0, squares = 0;
    double energy = 0, before = 0, at_place = 0;
    size_t n = 0;
    if (isinf(x)) return x;
    for (uint32_t u = 0; u < t->units; u++) {
        const double y = score[u];
        if (family[u] != family[unit] || isinf(y)) continue;
        n++;
        sum += y;
        most = fmax(most, y);
        least = fmin(least, y);
        energy += y * y;
        if (y > x || (y == x && u >= unit)) after += y;
        if (y < x || (y == x && u <= unit)) before += y * y;
    }
    const double mean = sum / (double)n;
    for (uint32_t u = 0; u < t->units; u++)
        if (family[u] == family[unit] && !isinf(score[u])) squares += pow(score[u] - mean, 2);
    if (by == MSKP_NORMALIZER_ENERGY) return quotient(before, energy);
    for (uint32_t u = 0; u < t->units; u++) { /* the score that is at a place, ties included */
        const size_t place = percent * n / 100 < n ? percent * n / 100 : n - 1;
        size_t below = 0, equal = 0;
        if (family[u] != family[unit] || isinf(score[u])) continue;
        for (uint32_t w = 0; w < t->units; w++) {
            if (family[w] != family[unit]) continue;
            below += score[w] < score[u] ? 1 : 0;
            equal += score[w] == score[u] ? 1 : 0;
        }
        if (below <= place && place < below + equal) at_place = score[u];
    }
    const mskp_cost price = price_of(t, unit);
    const double over[] = {mean,       most,
                           sum,        sqrt(squares / (double)n),
                           after,      sqrt(price.params),
                           price.macs, price.params,
                           0,          most - least,
                           at_place};
    if (costs((int)by) && over[by] == 0) return (double)INFINITY;
    const double from = by == MSKP_NORMALIZER_STANDARD ? mean
                        : by == MSKP_NORMALIZER_RANGE  ? least
                                                       : 0;
    return quotient(x - from, over[by]);
}

/* Whole numbers, so that sums are exact; some are equal, some 0, some infinite. Sometimes all are
 * equal, or most are 0. */
static void draw_scores(trial *t, double *score, bool negative)
{
    const size_t range = rng_chance(&t->r, 0.7) ? 9 : 1 + rng_below(&t->r, 2);
    for (size_t u = 0; u < t->units; u++) {
        score[u] = (double)rng_below(&t->r, range);
        if (negative && rng_chance(&t->r, 0.5)) score[u] = -score[u];
        if (rng_chance(&t->r, 0.1)) score[u] = (double)INFINITY;
    }
}

START_TEST(normalized_as_the_header_says)
{
    size_t finite = 0, infinite = 0, by_zero = 0, ties[WAYS] = {0};
    const size_t count = test_count(400);
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        double *given = arena_get(&t.mem, t.units, sizeof *given);
        double *scores = arena_get(&t.mem, t.units, sizeof *scores);
        for (int by = 0; by < WAYS; by++) {
            mskp_error err = {0};
            const size_t percent = by == MSKP_NORMALIZER_QUANTILE ? rng_below(&t.r, 101) : 0;
            draw_scores(&t, given, takes_any_sign(by));
            memcpy(scores, given, t.units * sizeof *scores);
            REQUIRE(!mskp_score_normalize(t.graph, (mskp_normalizer)by, (double)percent / 100,
                                          scores_of(t.units, scores), &err),
                    "by %d: %s", by, err.text);
            for (uint32_t u = 0; u < t.units; u++) {
                const double x =
                    brute_normal(&t, (mskp_normalizer)by, percent ? percent : 50, given, u);
                REQUIRE(scores[u] == x || fabs(scores[u] - x) <= 1e-13 * fabs(x) + 1e-15,
                        "by %d (%zu %%), unit %u, %g: %.17g, not %.17g", by, percent, u, given[u],
                        scores[u], x);
                finite += isfinite(x) ? 1 : 0;
                infinite += isinf(x) ? 1 : 0;
                by_zero += isfinite(given[u]) && isinf(x) && !costs(by);
                for (uint32_t w = 0; w < u; w++) ties[by] += isfinite(x) && given[u] == given[w];
            }
        }
        trial_end(&t);
    }
    REQUIRE(finite > count && infinite > count, "%zu finite, %zu infinite", finite, infinite);
    REQUIRE(count < 100 || by_zero > count / 10, "%zu scores over a quantile of 0", by_zero);
    for (int by = 0; by < WAYS; by++) REQUIRE(ties[by] > count, "by %d: %zu ties", by, ties[by]);
}
END_TEST

/* A factor of all scores does not show in scores over a statistic, and scores over costs keep it.
 * No normalizer changes the order of two scores of a family. */
START_TEST(order_and_scale)
{
    for (size_t k = 0; k < test_count(300); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        const uint32_t *family = mskp_unit_families(t.graph, NULL);
        double *given = arena_get(&t.mem, t.units, sizeof *given);
        double *scores = arena_get(&t.mem, t.units, sizeof *scores);
        double *scaled = arena_get(&t.mem, t.units, sizeof *scaled);
        for (int by = 0; by < WAYS; by++) {
            draw_scores(&t, given, false);
            for (size_t u = 0; u < t.units; u++) {
                if (by == MSKP_NORMALIZER_QUANTILE) given[u]++; /* no quantile is 0 */
                scores[u] = given[u];
                scaled[u] = 4 * given[u];
            }
            ck_assert(!mskp_score_normalize(t.graph, (mskp_normalizer)by, 0,
                                            scores_of(t.units, scores), NULL));
            ck_assert(!mskp_score_normalize(t.graph, (mskp_normalizer)by, 0,
                                            scores_of(t.units, scaled), NULL));
            const double factor = costs(by) ? 4 : 1;
            for (uint32_t u = 0; u < t.units; u++) {
                REQUIRE(scaled[u] == factor * scores[u], "by %d, unit %u: %g, %g", by, u, scores[u],
                        scaled[u]);
                for (uint32_t w = 0; w < u; w++)
                    if (family[u] == family[w] && given[u] != given[w])
                        REQUIRE((given[u] < given[w]) == (scores[u] < scores[w]) ||
                                    (isinf(scores[u]) && isinf(scores[w])),
                                "by %d, units %u and %u change places", by, u, w);
            }
        }
        trial_end(&t);
    }
}
END_TEST

START_TEST(options_are_checked)
{
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(g, "v", 2, 0, NULL);
    const mskp_param p = mskp_parameter(g, "gamma", 1, (size_t[]){2});
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, v), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    static const double big = 1.5e308; /* a literal has more digits on an x87 */
    static const struct {
        double score;
        mskp_normalizer by;
        double parameter;
        mskp_status status;
        const char *word;
    } wrong[] = {
        {1, (mskp_normalizer)11, 0, MSKP_ERROR_BAD_ARGUMENT, "by is 11, the last is 10"},
        {(double)NAN, MSKP_NORMALIZER_MEAN, 0, MSKP_ERROR_BAD_NUMBER, "unit 1 scores NaN"},
        {-(double)INFINITY, MSKP_NORMALIZER_STANDARD, 0, MSKP_ERROR_BAD_NUMBER,
         "unit 1 scores -infinity"},
        {-(double)INFINITY, MSKP_NORMALIZER_RANGE, 0, MSKP_ERROR_BAD_NUMBER,
         "unit 1 scores -infinity"},
        {-1, MSKP_NORMALIZER_LAMP, 0, MSKP_ERROR_BAD_NUMBER,
         "unit 1 scores -1; only MSKP_NORMALIZER_STANDARD and _RANGE take"},
        {-1, MSKP_NORMALIZER_QUANTILE, 0, MSKP_ERROR_BAD_NUMBER, "unit 1 scores -1"},
        {1.5e308, MSKP_NORMALIZER_STANDARD, 0, MSKP_ERROR_BAD_NUMBER, "family of 2"},
        {-1.5e308, MSKP_NORMALIZER_RANGE, 0, MSKP_ERROR_BAD_NUMBER, "family of 2"},
        {1, MSKP_NORMALIZER_ENERGY, 0, MSKP_ERROR_BAD_NUMBER, "family of 2"},
        {1, MSKP_NORMALIZER_QUANTILE, 1.5, MSKP_ERROR_BAD_ARGUMENT,
         "parameter is 1.5, outside 0 to 1"},
        {1, MSKP_NORMALIZER_QUANTILE, -0.5, MSKP_ERROR_BAD_ARGUMENT, "parameter is -0.5, outside"},
        {1, MSKP_NORMALIZER_QUANTILE, (double)NAN, MSKP_ERROR_BAD_NUMBER, "parameter is NaN"},
        {1, MSKP_NORMALIZER_MAX, 0.5, MSKP_ERROR_BAD_ARGUMENT,
         "parameter is 0.5, but by is 1, not MSKP_NORMALIZER_QUANTILE (10)"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        double score[2] = {big, wrong[i].score};
        mskp_error err = {0};
        ck_assert_int_eq(
            mskp_score_normalize(g, wrong[i].by, wrong[i].parameter, scores_of(2, score), &err),
            wrong[i].status);
        ck_assert_msg(strstr(err.text, wrong[i].word) != NULL, "%s", err.text);
        ck_assert(score[0] == big);
        ck_assert(isnan(wrong[i].score) || score[1] == wrong[i].score);
    }
    /* A family of equal scores. */
    double score[2] = {3, 3};
    ck_assert(!mskp_score_normalize(g, MSKP_NORMALIZER_STANDARD, 0, scores_of(2, score), NULL));
    ck_assert(score[0] == 0 && score[1] == 0);
    score[0] = score[1] = -3;
    ck_assert(!mskp_score_normalize(g, MSKP_NORMALIZER_RANGE, 0, scores_of(2, score), NULL));
    ck_assert(score[0] == 0 && score[1] == 0);
    for (int by = 0; by < WAYS; by++)
        if (!costs(by))
            ck_assert(!mskp_score_normalize(g, (mskp_normalizer)by, 0, scores_of(2, score), NULL));
    ck_assert(score[0] == 0 && score[1] == 0);
    /* The quantile of an even number of scores, and the largest share. */
    for (int i = 0; i < 2; i++) {
        score[0] = 8, score[1] = 2;
        ck_assert(!mskp_score_normalize(g, MSKP_NORMALIZER_QUANTILE, i, scores_of(2, score), NULL));
        ck_assert(score[0] == 1 && score[1] == 0.25);
    }
    score[0] = 8, score[1] = 2;
    ck_assert(!mskp_score_normalize(g, MSKP_NORMALIZER_QUANTILE, 0.4, scores_of(2, score), NULL));
    ck_assert(score[0] == 4 && score[1] == 1);
    const double almost_0[] = {0, -0.0, 0x1p-1074};
    for (size_t i = 0; i < 3; i++) {
        score[0] = 8, score[1] = almost_0[i];
        ck_assert(
            !mskp_score_normalize(g, MSKP_NORMALIZER_QUANTILE, 0.4, scores_of(2, score), NULL));
        ck_assert(isinf(score[0]) && score[0] > 0 && score[1] == (i == 2 ? 1 : 0));
    }
    /* A scale costs no MACs. */
    ck_assert(!mskp_score_normalize(g, MSKP_NORMALIZER_MACS, 0, scores_of(2, score), NULL));
    ck_assert(isinf(score[0]) && isinf(score[1]));
    mskp_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("normalize");
    TCase *tcase = tcase_create("normalize");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, normalized_as_the_header_says);
    tcase_add_test(tcase, order_and_scale);
    tcase_add_test(tcase, options_are_checked);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

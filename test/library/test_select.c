/*
 * mskp_select against the header's words, followed literally and slowly: everything is counted anew
 * at each block. Votes against a transcription of the authors' rule.
 */
#include "interpreter/walk.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- The rule, literally ---- */

START_TEST(same_as_the_words)
{
    size_t solved = 0, unsolved = 0, count = test_count(2000), rules = 3;
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        for (size_t j = 0; j < rules; j++) {
            double *scores = random_scores(&t);
            mskp_rule rule = random_rule(&t);
            if (require_selected(&t, scores, &rule))
                solved++;
            else
                unsolved++;
        }
        trial_end(&t);
    }
    REQUIRE(solved * 4 > count && unsolved * 20 > count, "%zu solved, %zu not", solved, unsolved);
}
END_TEST

/* ---- What follows from the words ---- */

START_TEST(smaller_budgets_remove_supersets)
{
    for (size_t k = 0; k < test_count(600); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        double *scores = random_scores(&t);
        mskp_rule rule = random_rule(&t);
        uint8_t *last = arena_get(&t.mem, t.units, 1), *keep = arena_get(&t.mem, t.units, 1);
        mskp_cost full = model_cost(&t.model, NULL, NULL);
        size_t steps = 12;
        rule.remove_fraction = rule.max_macs = rule.max_params = 0;
        memset(last, 1, t.units);
        for (size_t i = 0; i < steps && full.params > 0; i++) {
            rule.max_params = full.params * (1 - (double)i / (double)steps);
            if (mskp_select(t.graph, scores_of(t.units, scores), &rule, mask_of(t.units, keep),
                            NULL, NULL))
                break;
            for (size_t u = 0; u < t.units; u++)
                REQUIRE(last[u] || !keep[u], "unit %zu came back at budget %zu", u, i);
            memcpy(last, keep, t.units);
        }
        trial_end(&t);
    }
}
END_TEST

/* With blocks of one and no limits but the floor of one: no shorter walk satisfies the budget. */
START_TEST(no_shorter_prefix_is_enough)
{
    size_t tried = 0;
    for (size_t k = 0; k < test_count(1500); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, &(net_options){.steps = 3, .max_channels = 4},
                    NULL);
        mskp_cost full = model_cost(&t.model, NULL, NULL);
        if (t.units == 0 || t.units > 10 || full.macs == 0) {
            trial_end(&t);
            continue;
        }
        double *scores = random_scores(&t);
        mskp_rule rule = {.max_macs = floor(full.macs * rng_real(&t.r, 0.1, 1.05)) + 0.5};
        uint8_t *keep = arena_get(&t.mem, t.units, 1), *best = arena_get(&t.mem, t.units, 1);
        mskp_status status = mskp_select(t.graph, scores_of(t.units, scores), &rule,
                                         mask_of(t.units, keep), NULL, NULL);

        /* All subsets of what may leave: those that are prefixes of the order, with the units left
         * out that would empty a list at their turn. */
        bool found = false;
        for (size_t length = 0; length <= t.units && !found; length++) {
            memset(best, 1, t.units);
            bool *closed = arena_get(&t.mem, t.units, sizeof *closed);
            for (size_t i = 0, seen = 0; i < t.units && seen < length; i++) {
                uint32_t next = 0;
                for (uint32_t u = 0; u < t.units; u++) {
                    size_t rank = 0;
                    for (uint32_t v = 0; v < t.units; v++) rank += scored_before(scores, v, u);
                    if (rank == i) next = u;
                }
                seen++;
                if (isinf(scores[next]) || closed[t.model.family[next]]) continue;
                best[next] = 0;
                if (!model_mask_allowed(&t.model, best)) {
                    best[next] = 1;
                    closed[t.model.family[next]] = true;
                }
            }
            found = model_cost(&t.model, best, NULL).macs <= rule.max_macs;
        }
        REQUIRE(found == (status == MSKP_OK), "%s", mskp_status_text(status));
        REQUIRE(!found || memcmp(best, keep, t.units) == 0, "not the shortest prefix");
        tried++;
        trial_end(&t);
    }
    REQUIRE(tried > 0, "nothing was tried");
}
END_TEST

/* ---- Refusals ---- */

START_TEST(refusals_leave_everything)
{
    trial t;
    uint8_t keep[512], untouched[512];
    double scores[512];
    mskp_error err;
    mskp_rule good = {.remove_fraction = 0.5};
    trial_begin(&t, test_seed() * 1000000 + 2, NULL, NULL);
    for (size_t k = 3; t.units <= 3; k++) { /* some networks have so few */
        trial_end(&t);
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
    }
    ck_assert_uint_lt(t.units, 512);
    memset(untouched, 0x77, sizeof untouched);
    memcpy(keep, untouched, sizeof keep);
    for (size_t u = 0; u < t.units; u++) scores[u] = (double)u;

#define REFUSED(code, scores_, rule_, units_)                                                    \
    do {                                                                                         \
        err = (mskp_error){0};                                                                   \
        mskp_status got = mskp_select(t.graph, scores_of(units_, scores_), rule_,                \
                                      mask_of(units_, keep), NULL, &err);                        \
        ck_assert_msg(got == (code), "%s, %s: %s (%s)", #rule_, #scores_, mskp_status_text(got), \
                      err.text);                                                                 \
        ck_assert_int_eq(err.status, (code));                                                    \
        ck_assert_uint_gt(strlen(err.text), 0);                                                  \
        ck_assert_mem_eq(keep, untouched, sizeof keep);                                          \
    } while (0)
#define RULE(...) (&(mskp_rule){__VA_ARGS__})
    REFUSED(MSKP_ERROR_OTHER_NETWORK, scores, &good, t.units + 1);
    REFUSED(MSKP_ERROR_OTHER_NETWORK, scores, &good, t.units - 1);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, scores, NULL, t.units);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, NULL, &good, t.units);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, scores, RULE(.min_channels = 1), t.units);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, scores, RULE(.round_to = 8, .max_family_fraction = 0.5),
            t.units);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, scores, RULE(.remove_fraction = 1.01), t.units);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, scores, RULE(.remove_fraction = -0.1), t.units);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, scores, RULE(.remove_family_fraction = 1.5), t.units);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, scores, RULE(.max_macs = -1), t.units);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, scores, RULE(.max_macs = -1e300), t.units);
    ck_assert_ptr_nonnull(strstr(err.text, "max_macs is -1e+300"));
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, scores, RULE(.threshold = -0.5, .remove_fraction = 0.5),
            t.units);
    ck_assert_ptr_nonnull(strstr(err.text, "threshold is -0.5"));
    ck_assert_int_eq(
        mskp_select(t.graph, scores_of(t.units, scores), &good, (mskp_mask){0}, NULL, &err),
        MSKP_ERROR_BAD_ARGUMENT);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, scores, RULE(.max_params = -1), t.units);
    REFUSED(MSKP_ERROR_NO_SOLUTION, scores, RULE(.max_params = 0.5), t.units);

    /* Not a number: either status of the table fits, success does not. */
    mskp_rule nans[] = {{.use_threshold = 1, .threshold = (double)NAN},
                        {.remove_fraction = (double)NAN},
                        {.remove_family_fraction = (double)NAN},
                        {.max_macs = (double)NAN},
                        {.max_params = (double)NAN},
                        {.remove_fraction = 0.5, .max_family_fraction = (double)NAN}};
    for (size_t i = 0; i < sizeof nans / sizeof *nans; i++) {
        mskp_status got = mskp_select(t.graph, scores_of(t.units, scores), &nans[i],
                                      mask_of(t.units, keep), NULL, &err);
        ck_assert_msg(got == MSKP_ERROR_BAD_ARGUMENT || got == MSKP_ERROR_BAD_NUMBER, "rule %zu",
                      i);
        ck_assert_mem_eq(keep, untouched, sizeof keep);
    }
    scores[t.units / 2] = (double)NAN;
    REFUSED(MSKP_ERROR_BAD_NUMBER, scores, &good, t.units);
    scores[t.units / 2] = -(double)INFINITY;
    REFUSED(MSKP_ERROR_BAD_NUMBER, scores, &good, t.units);
    trial_end(&t);
}
END_TEST

START_TEST(no_solution_names_the_least)
{
    /* x(1) -> a: 6 channels -> y(1): at least one of 6 stays, 4 with the floor. */
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_param wa = mskp_parameter(g, "a.w", 2, (size_t[]){6, 1});
    mskp_param wy = mskp_parameter(g, "y.w", 2, (size_t[]){1, 6});
    mskp_value x = mskp_input(g, "x", 1, 0, NULL);
    mskp_value a = mskp_linear(g, "a", x, wa, (mskp_param){0});
    mskp_value y = mskp_linear(g, "y", a, wy, (mskp_param){0});
    ck_assert_int_eq(mskp_output(g, y), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    const double scores[6] = {5, 4, 3, 2, 1, -0.0};
    uint8_t keep[6] = {9, 9, 9, 9, 9, 9};
    mskp_error err = {0};
    mskp_selection s = {0};
    mskp_rule rule = {.max_macs = 6, .min_channels = 4};
    ck_assert_int_eq(mskp_select(g, scores_of(6, scores), &rule, mask_of(6, keep), &s, &err),
                     MSKP_ERROR_NO_SOLUTION);
    ck_assert_ptr_nonnull(strstr(err.text, "6"));
    ck_assert_ptr_nonnull(strstr(err.text, "8"));
    ck_assert_uint_eq(s.removed, 2);
    ck_assert_double_eq(s.cost.macs, 8);
    ck_assert_uint_eq(keep[0], 9);
    rule.max_macs = 8;
    ck_assert_int_eq(mskp_select(g, scores_of(6, scores), &rule, mask_of(6, keep), &s, &err),
                     MSKP_OK);
    ck_assert_mem_eq(keep, ((uint8_t[]){1, 1, 1, 1, 0, 0}), 6);
    rule = (mskp_rule){.remove_fraction = 1};
    ck_assert_int_eq(mskp_select(g, scores_of(6, scores), &rule, mask_of(6, keep), &s, &err),
                     MSKP_ERROR_NO_SOLUTION);
    ck_assert_ptr_nonnull(strstr(err.text, "6"));
    ck_assert_ptr_nonnull(strstr(err.text, "5"));
    rule = (mskp_rule){.use_threshold = 1, .threshold = 100};
    ck_assert_int_eq(mskp_select(g, scores_of(6, scores), &rule, mask_of(6, keep), &s, &err),
                     MSKP_OK);
    ck_assert_mem_eq(keep, ((uint8_t[]){1, 0, 0, 0, 0, 0}), 6);
    rule = (mskp_rule){.remove_family_fraction = 0.5};
    ck_assert_int_eq(mskp_select(g, scores_of(6, scores), &rule, mask_of(6, keep), &s, &err),
                     MSKP_OK);
    ck_assert_mem_eq(keep, ((uint8_t[]){1, 1, 1, 0, 0, 0}), 6);
    /* Blocks of four: the first takes the remainder of 6, two. */
    rule = (mskp_rule){.remove_fraction = 0.2, .round_to = 4};
    ck_assert_int_eq(mskp_select(g, scores_of(6, scores), &rule, mask_of(6, keep), &s, &err),
                     MSKP_OK);
    ck_assert_mem_eq(keep, ((uint8_t[]){1, 1, 1, 1, 0, 0}), 6);
    mskp_graph_destroy(g);
}
END_TEST

/* ---- The authors' vote ---- */

/* Hundredths are rounded as decimal numbers, what is really below a whole number is not rounded
 * up. */
START_TEST(fractions_are_decimal)
{
    for (size_t n = 1; n <= 100; n++) {
        mskp_graph *g = mskp_graph_create(NULL);
        uint8_t keep[100];
        double scores[100] = {0};
        mskp_selection got;
        mskp_bind(g, mskp_parameter(g, "p", 1, &n), 0, MSKP_ROLE_SCALE,
                  mskp_fresh(g, "v", n, 0, NULL));
        REQUIRE_OK(mskp_graph_finish(g, NULL));
        for (size_t percent = 1; percent <= 100; percent++) {
            const size_t whole = percent * n / 100;
            const double x = (double)percent / 100, below = x - 1e-11;
            if (whole == n || !whole) continue; /* one stays; nothing is asked */
            REQUIRE_OK(mskp_select(g, scores_of(n, scores),
                                   &(mskp_rule){.remove_family_fraction = x}, mask_of(n, keep),
                                   &got, NULL));
            REQUIRE(got.removed == whole, "%zu %% of %zu: %zu", percent, n, got.removed);
            REQUIRE_OK(mskp_select(g, scores_of(n, scores),
                                   &(mskp_rule){.remove_family_fraction = below}, mask_of(n, keep),
                                   &got, NULL));
            REQUIRE(got.removed == (percent * n - 1) / 100, "below %zu %% of %zu: %zu", percent, n,
                    got.removed);
        }
        mskp_graph_destroy(g);
    }
}
END_TEST

START_TEST(votes_are_the_authors)
{
    size_t families = 0, marked = 0;
    for (size_t k = 0; k < test_count(400); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, &(net_options){.residual = true}, NULL);
        set values = set_make(&t.mem, &t.r, t.net, MSKP_DTYPE_F64, VIEW_PERMUTED);
        for (size_t p = 1; p <= t.net->params; p++) {
            size_t n = shape_elements(t.net->param[p].ndim, t.net->param[p].shape);
            for (size_t i = 0; i < n; i++)
                t.net->param[p].data[i] = (double)rng_below(&t.r, 9) / 8 - 0.5;
        }
        set_numbers(&values, t.net);
        double threshold = (double)rng_below(&t.r, 4) / 8;
        double *scores = arena_get(&t.mem, t.units, sizeof *scores);
        mskp_scoring how = {.reduce = MSKP_REDUCE_VOTE, .vote_threshold = threshold};
        REQUIRE_OK(mskp_score(t.graph, &how,
                              set_by_id(mskp_graph_counts(t.graph).params, values.views),
                              scores_of(t.units, scores), NULL));

        for (size_t f = 0; f < t.model.families; f++) {
            size_t norms = 0, fewest = SIZE_MAX, votes = 0;
            size_t *got = arena_get(&t.mem, t.units, sizeof *got);
            bool once = true;
            for (size_t p = 1; p <= t.model.params; p++) {
                const model_param *q = &t.model.param[p];
                size_t marks = 0, here = 0;
                if (q->roles != MSKP_ROLE_SCALE) continue;
                for (size_t i = 0; i < q->shape[0]; i++) {
                    uint32_t u = q->axis[0].unit[i];
                    if (u == MSKP_PINNED || t.model.family[u] != f) continue;
                    for (size_t j = 0; j < i; j++) once &= q->axis[0].unit[j] != u;
                    here++;
                    if (fabs(t.net->param[p].data[i]) > threshold) continue;
                    marks++;
                    got[u]++;
                }
                if (!here) continue;
                norms++;
                if (marks < fewest) fewest = marks;
            }
            if (!norms || !once) continue;
            /* The highest number of votes that at least `fewest` channels reach. */
            for (size_t v = 1; v <= norms; v++) {
                size_t reach = 0;
                for (uint32_t u = 0; u < t.units; u++)
                    reach += t.model.family[u] == f && got[u] >= v;
                if (reach >= fewest) votes = v;
            }
            for (uint32_t u = 0; u < t.units; u++) {
                if (t.model.family[u] != f) continue;
                bool expected = got[u] >= votes && fewest > 0;
                REQUIRE((scores[u] <= threshold) == expected,
                        "unit %u: %zu of %zu votes, %zu needed, score %g", u, got[u], norms, votes,
                        scores[u]);
                marked += expected;
            }
            families += norms > 1;
        }
        trial_end(&t);
    }
    REQUIRE(families > 0 && marked > 0, "nothing was tied");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("select");
    TCase *tcase = tcase_create("select");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, same_as_the_words);
    tcase_add_test(tcase, smaller_budgets_remove_supersets);
    tcase_add_test(tcase, no_shorter_prefix_is_enough);
    tcase_add_test(tcase, refusals_leave_everything);
    tcase_add_test(tcase, no_solution_names_the_least);
    tcase_add_test(tcase, fractions_are_decimal);
    tcase_add_test(tcase, votes_are_the_authors);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

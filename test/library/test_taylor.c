/*
 * Scores from values and gradients, against sums over sets of elements in every type and kind of
 * view, and against what a loss really changes by.
 */
#include "interpreter/elements.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMS = 5 };

static const uint32_t role_sets[] = {0,
                                     MSKP_ROLE_FILTER,
                                     MSKP_ROLE_CONSUMER,
                                     MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT,
                                     MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER,
                                     MSKP_ROLES_UNIT};
enum { ROLE_SETS = sizeof role_sets / sizeof *role_sets };

/* A network with exact numbers, and gradients of other exact numbers for it. */
typedef struct batch {
    trial t;
    double **gradient; /* [params + 1] */
    set values, gradients;
    size_t params;
} batch;

static void batch_begin(batch *b, uint64_t seed, const mskp_services *services)
{
    trial_begin(&b->t, seed, NULL, services);
    trial *t = &b->t;
    double **value = arena_get(&t->mem, t->net->params + 1, sizeof *value);
    b->gradient = arena_get(&t->mem, t->net->params + 1, sizeof *b->gradient);
    b->params = mskp_graph_counts(t->graph).params;
    exact_net(t->net, &t->r);
    b->values = exact_set(t, t->net);
    for (size_t p = 1; p <= t->net->params; p++) {
        net_param *q = &t->net->param[p];
        value[p] = arena_copy(&t->mem, q->data, shape_elements(q->ndim, q->shape), sizeof(double));
    }
    exact_net(t->net, &t->r);
    b->gradients = exact_set(t, t->net);
    for (size_t p = 1; p <= t->net->params; p++) {
        b->gradient[p] = t->net->param[p].data;
        t->net->param[p].data = value[p];
    }
}

static mskp_status batch_score(const batch *b, mskp_taylor form, uint32_t roles, double *scores,
                               mskp_error *err)
{
    return mskp_score_taylor(b->t.graph, form, roles, set_by_id(b->params, b->values.views),
                             set_by_id(b->params, b->gradients.views),
                             scores_of(b->t.units, scores), err);
}

/* The words of methods.h, element by element. The numbers are exact, so order does not matter. */
static double brute_taylor(const batch *b, mskp_taylor form, uint32_t roles, uint32_t unit)
{
    const model *m = &b->t.model;
    double sum = 0, magnitudes = 0, squares = 0;
    bool any = false;
    for (size_t p = 1; p <= m->params; p++) {
        size_t index[MSKP_MAX_DIMS] = {0}, e = 0;
        if (shape_elements(m->param[p].ndim, m->param[p].shape) == 0) continue;
        for (uint32_t d = 0; d < m->param[p].ndim; d++)
            for (size_t i = 0; m->param[p].axis[d].unit && i < m->param[p].shape[d]; i++)
                any |= m->param[p].axis[d].unit[i] == unit && (m->param[p].axis[d].roles & roles);
        do {
            const double product = b->t.net->param[p].data[e] * b->gradient[p][e];
            e++;
            if (element_axis(m, p, index, unit, roles) == MSKP_MAX_DIMS) continue;
            sum += product;
            magnitudes += fabs(product);
            squares += product * product;
        } while (next_index(m->param[p].ndim, m->param[p].shape, index));
    }
    if (!any) return (double)INFINITY;
    switch (form) {
    case MSKP_TAYLOR_ABSOLUTE_SUM:
        return fabs(sum);
    case MSKP_TAYLOR_SQUARED_SUM:
        return sum * sum;
    case MSKP_TAYLOR_SUM_OF_ABSOLUTES:
        return magnitudes;
    case MSKP_TAYLOR_SUM:
        return sum;
    default:
        return squares;
    }
}

START_TEST(scores_are_sums_over_elements)
{
    size_t finite = 0, count = test_count(600);
    float_mode(_i);
    for (size_t k = 0; k < count; k++) {
        batch b;
        batch_begin(&b, test_seed() * 1000000 + k, k % 2 ? &backwards_services : NULL);
        double *scores = arena_get(&b.t.mem, b.t.units, sizeof *scores);
        for (int form = 0; form < FORMS; form++) {
            const uint32_t given = role_sets[rng_below(&b.t.r, ROLE_SETS)];
            const uint32_t roles = given ? given : MSKP_ROLE_SCALE;
            const double before = (double)rng_below(&b.t.r, 3);
            mskp_error err = {0};
            for (size_t u = 0; u < b.t.units; u++) scores[u] = before;
            REQUIRE(!batch_score(&b, (mskp_taylor)form, given, scores, &err), "%s", err.text);
            for (uint32_t u = 0; u < b.t.units; u++) {
                const double expected = brute_taylor(&b, (mskp_taylor)form, roles, u);
                REQUIRE(scores[u] == before + expected,
                        "form %d, roles %u, unit %u: %.17g, not %.17g", form, roles, u, scores[u],
                        before + expected);
                finite += isfinite(expected) ? 1 : 0;
            }
        }
        trial_end(&b.t);
    }
    float_mode(0);
    REQUIRE(finite > count, "%zu finite scores only", finite);
}
END_TEST

/* w = (1 2 / 3 4) and g = (1 -1 / 2 1), so the products are (1 -2 / 6 4): the rows have the sums -1
 * and 10, the columns 7 and 2. */
START_TEST(sums_by_hand)
{
    static const double expected[FORMS][4] = {{1, 10, 7, 2},
                                              {1, 100, 49, 4},
                                              {3, 10, 7, 6},
                                              {1 + 4, 36 + 16, 1 + 36, 4 + 16},
                                              {-1, 10, 7, 2}};
    float w[2][2] = {{1, 2}, {3, 4}}, d[2][2] = {{1, -1}, {2, 1}};
    double wide[2][2] = {{1, -1}, {2, 1}};
    mskp_tensor values = {.data = w};
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param p = mskp_parameter(g, "w", 2, (size_t[]){2, 2});
    const mskp_value out = mskp_fresh(g, "out", 2, 0, NULL), in = mskp_fresh(g, "in", 2, 0, NULL);
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_FILTER, out), MSKP_OK);
    ck_assert_int_eq(mskp_bind(g, p, 1, MSKP_ROLE_CONSUMER, in), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    float_mode(_i);
    for (int form = 0; form < FORMS; form++)
        for (uint32_t k = 0; k < 6; k++) {
            const uint32_t which = 1 + k / 2;
            const bool plain = k % 2;
            mskp_tensor slopes = {.data = plain ? (void *)d : (void *)wide,
                                  .dtype = plain ? MSKP_DTYPE_F32 : MSKP_DTYPE_F64};
            const uint32_t roles =
                (which & 1 ? MSKP_ROLE_FILTER : 0) | (which & 2 ? MSKP_ROLE_CONSUMER : 0);
            double score[4] = {0};
            ck_assert_int_eq(
                mskp_score_taylor(g, (mskp_taylor)form, roles, (mskp_tensors){1, &values},
                                  (mskp_tensors){1, &slopes}, scores_of(4, score), NULL),
                MSKP_OK);
            for (uint32_t u = 0; u < 4; u++)
                ck_assert_msg(which & 1u << u / 2 ? score[u] == expected[form][u] : isinf(score[u]),
                              "form %d, roles %u, unit %u: %g", form, roles, u, score[u]);
        }
    float_mode(0);
    mskp_graph_destroy(g);
}
END_TEST

/* The loss is linear in the weights, so the first order is all that there is: without a unit, it
 * changes by the unit's score. */
START_TEST(a_linear_loss_changes_by_the_score)
{
    size_t units = 0;
    for (size_t k = 0; k < test_count(200); k++) {
        batch b;
        batch_begin(&b, test_seed() * 1000000 + k, NULL);
        double *scores = arena_get(&b.t.mem, b.t.units, sizeof *scores);
        mskp_error err = {0};
        REQUIRE(!batch_score(&b, MSKP_TAYLOR_ABSOLUTE_SUM, MSKP_ROLES_UNIT, scores, &err), "%s",
                err.text);
        for (uint32_t u = 0; u < b.t.units; u++) {
            const model *m = &b.t.model;
            double loss = 0, without = 0;
            for (size_t p = 1; p <= m->params; p++) {
                size_t index[MSKP_MAX_DIMS] = {0}, e = 0;
                do {
                    const double product = b.t.net->param[p].data[e] * b.gradient[p][e];
                    e++;
                    loss += product;
                    if (element_axis(m, p, index, u, MSKP_ROLES_UNIT) == MSKP_MAX_DIMS)
                        without += product;
                } while (next_index(m->param[p].ndim, m->param[p].shape, index));
            }
            if (isinf(scores[u])) continue;
            REQUIRE(scores[u] == fabs(loss - without), "unit %u: %.17g, not %.17g", u, scores[u],
                    fabs(loss - without));
            units++;
        }
        trial_end(&b.t);
    }
    REQUIRE(units > 0, "no units");
}
END_TEST

/* "p3 (gradients): element 1,0 is NaN" */
static void bad_element(char *sentence, size_t n, size_t param, const char *of, const net_param *p,
                        const size_t *index, double x)
{
    int at = snprintf(sentence, n, "p%zu (%s): element ", param, of);
    for (uint32_t d = 0; d < p->ndim; d++)
        at += snprintf(sentence + at, n - (size_t)at, "%s%zu", d ? "," : "", index[d]);
    (void)snprintf(sentence + at, n - (size_t)at, " is %s",
                   isnan(x) ? "NaN"
                   : x > 0  ? "infinity"
                            : "-infinity");
}

/* One element of each parameter, in one of the two sets, becomes a bad number, and is named. */
START_TEST(bad_numbers_and_missing_data)
{
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    size_t refused = 0, ignored = 0, missing = 0;
    const size_t count = test_count(150);
    for (size_t k = 0; k < count; k++) {
        batch b;
        batch_begin(&b, test_seed() * 1000000 + k, NULL);
        trial *t = &b.t;
        const uint32_t roles = role_sets[1 + rng_below(&t->r, ROLE_SETS - 1)];
        double *scores = arena_get(&t->mem, t->units, sizeof *scores);
        double *before = arena_get(&t->mem, t->units, sizeof *scores);
        for (size_t p = 1; p <= t->net->params; p++) {
            const net_param *q = &t->net->param[p];
            set *s = rng_below(&t->r, 2) ? &b.values : &b.gradients;
            const mskp_taylor form = (mskp_taylor)rng_below(&t->r, FORMS);
            mskp_tensor v = view_resolve(&s->views[p], q->ndim, q->shape);
            size_t index[MSKP_MAX_DIMS] = {0};
            for (uint32_t d = 0; d < q->ndim; d++) index[d] = rng_below(&t->r, q->shape[d]);
            bool read = false;
            for (uint32_t u = 0; u < t->units; u++)
                read |= element_axis(&t->model, p, index, u, roles) != MSKP_MAX_DIMS;
            const double good = view_get(&v, index);
            mskp_error err = {0};
            const double x = bad[rng_below(&t->r, 3)];
            char sentence[200];
            view_set(&v, index, x);
            mskp_status status = batch_score(&b, form, roles, scores, &err);
            view_set(&v, index, good);
            REQUIRE(status == (read ? MSKP_ERROR_BAD_NUMBER : MSKP_OK), "parameter %zu: %s", p,
                    mskp_status_text(status));
            REQUIRE(!read || !memcmp(scores, before, t->units * sizeof *scores), "scores changed");
            bad_element(sentence, sizeof sentence, p, s == &b.values ? "values" : "gradients", q,
                        index, x);
            REQUIRE(!read || !strcmp(err.text, sentence), "\"%s\", not \"%s\"", err.text, sentence);
            memset(scores, 0, t->units * sizeof *scores);
            refused += read;
            ignored += !read;

            void *data = s->views[p].data;
            s->views[p].data = NULL;
            const bool needed = tensor_has(&t->model, p, roles, NULL);
            status = batch_score(&b, form, roles, scores, &err);
            s->views[p].data = data;
            REQUIRE(status == (needed ? MSKP_ERROR_NO_DATA : MSKP_OK), "parameter %zu: %s", p,
                    mskp_status_text(status));
            if (needed)
                REQUIRE(strstr(err.text, s == &b.values ? "values" : "gradients"), "%s", err.text);
            REQUIRE(!needed || !memcmp(scores, before, t->units * sizeof *scores), "changed");
            memset(scores, 0, t->units * sizeof *scores);
            missing += needed;
        }
        trial_end(t);
    }
    REQUIRE(refused >= count / 2 && ignored >= count / 2 && missing >= count / 2, "%zu, %zu, %zu",
            refused, ignored, missing);
}
END_TEST

START_TEST(options_are_checked)
{
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(g, "v", 2, 0, NULL);
    const mskp_param p = mskp_parameter(g, "gamma", 1, (size_t[]){2});
    double gamma[2] = {2, 1e200}, slope[2] = {3, 1}, score[2] = {1, 1};
    mskp_tensor value = {.data = gamma, .dtype = MSKP_DTYPE_F64};
    mskp_tensor gradient = {.data = slope, .dtype = MSKP_DTYPE_F64};
    const mskp_tensors values = {1, &value}, gradients = {1, &gradient}, none = {0, NULL};
    const mskp_scores scores = scores_of(2, score);
    mskp_error err = {0};
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, v), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
#define REFUSED(status, word, form, roles, values, gradients, scores)                             \
    ck_assert_int_eq(mskp_score_taylor(g, form, roles, values, gradients, scores, &err), status); \
    ck_assert_msg(strstr(err.text, word) != NULL, "%s", err.text);                                \
    ck_assert(score[0] == 1)
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "form is 5, the last is 4", (mskp_taylor)5, 0, values,
            gradients, scores);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "roles", MSKP_TAYLOR_SQUARED_SUM, 64, values, gradients,
            scores);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "values is NULL", MSKP_TAYLOR_SQUARED_SUM, 0, none, gradients,
            scores);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "gradients is NULL", MSKP_TAYLOR_SQUARED_SUM, 0, values, none,
            scores);
    REFUSED(MSKP_ERROR_OTHER_NETWORK, "scores", MSKP_TAYLOR_SQUARED_SUM, 0, values, gradients,
            scores_of(3, score));
    /* Each product is a number, a square is none. */
    REFUSED(MSKP_ERROR_BAD_NUMBER, "unit 1", MSKP_TAYLOR_SQUARED_SUM, 0, values, gradients, scores);
    REFUSED(
        MSKP_ERROR_BAD_NUMBER,
        "gamma: axis 0, index 1: no double can hold the sum over products of values and gradients",
        MSKP_TAYLOR_SUM_OF_SQUARES, 0, values, gradients, scores);
    static const double odd[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (int i = 0; i < 3; i++) {
        score[1] = odd[i];
        REFUSED(MSKP_ERROR_BAD_NUMBER, "scores: unit 1", MSKP_TAYLOR_ABSOLUTE_SUM, 0, values,
                gradients, scores);
    }
    score[1] = 1;
    /* No unit has a filter: +infinity, again and again, but not after -infinity. */
    for (int i = 0; i < 2; i++) {
        ck_assert(!mskp_score_taylor(g, MSKP_TAYLOR_ABSOLUTE_SUM, MSKP_ROLE_FILTER, values,
                                     gradients, scores, &err));
        ck_assert(isinf(score[0]) && score[0] > 0 && isinf(score[1]) && score[1] > 0);
    }
    score[0] = 1, score[1] = -(double)INFINITY;
    REFUSED(MSKP_ERROR_BAD_NUMBER, "scores: unit 1", MSKP_TAYLOR_ABSOLUTE_SUM, MSKP_ROLE_FILTER,
            values, gradients, scores);
    /* Batches add up, and absolute values are taken in each. */
    score[0] = score[1] = 0, gamma[1] = -1;
    for (int i = 0; i < 2; i++) {
        ck_assert(
            !mskp_score_taylor(g, MSKP_TAYLOR_ABSOLUTE_SUM, 0, values, gradients, scores, NULL));
        slope[0] = -slope[0], slope[1] = -slope[1];
    }
    ck_assert(score[0] == 12 && score[1] == 2);
    /* A sum keeps its sign, and takes away from what is there. */
    ck_assert(!mskp_score_taylor(g, MSKP_TAYLOR_SUM, 0, values, gradients, scores, NULL));
    ck_assert(score[0] == 12 + 2 * slope[0] && score[1] == 2 - slope[1]);
    ck_assert(slope[1] > 0);
    mskp_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("taylor");
    TCase *tcase = tcase_create("taylor");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, sums_by_hand, 0, 2);
    tcase_add_loop_test(tcase, scores_are_sums_over_elements, 0, 2);
    tcase_add_test(tcase, a_linear_loss_changes_by_the_score);
    tcase_add_test(tcase, bad_numbers_and_missing_data);
    tcase_add_test(tcase, options_are_checked);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

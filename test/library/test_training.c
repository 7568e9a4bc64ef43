/*
 * Where the penalty goes in a training step: the rows of docs/training-step.md, each against plain
 * gradient descent. The loss of a micro-batch is half the squared distance of all weights from
 * targets of its own. All scale factors are powers of 2, so ways that should be equal are equal bit
 * for bit.
 */
#include "by_id/by_id.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNITS = 4, SIZE = 6, COUNT = UNITS * SIZE, PARTS = 4, STEPS = 200 };
static const double STRENGTH = 0.75;

/* Parameter 1: filters [UNITS][SIZE], parameter 2: gamma [UNITS]. Units 0 and 1 leave. */
typedef struct training {
    mskp_graph *graph;
    uint8_t keep[UNITS];
    double filter[COUNT], gamma[UNITS];
    double filter_slope[COUNT], gamma_slope[UNITS];
    double filter_target[PARTS][COUNT], gamma_target[PARTS][UNITS];
    mskp_tensor values[3], gradients[3];
    mskp_penalty penalty;
} training;

static void begin(training *t)
{
    const size_t shape[2] = {UNITS, SIZE};
    memset(t, 0, sizeof *t);
    t->graph = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(t->graph, "v", UNITS, 0, NULL);
    const mskp_param filter = mskp_parameter(t->graph, "filter", 2, shape);
    const mskp_param gamma = mskp_parameter(t->graph, "gamma", 1, shape);
    ck_assert_int_eq(mskp_bind(t->graph, filter, 0, MSKP_ROLE_FILTER, v), MSKP_OK);
    ck_assert_int_eq(mskp_bind(t->graph, gamma, 0, MSKP_ROLE_SCALE, v), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(t->graph, NULL), MSKP_OK);
    t->keep[2] = t->keep[3] = 1;
    for (int i = 0; i < COUNT; i++) t->filter[i] = (i * 7 % 16 - 8) / 16.0;
    for (int u = 0; u < UNITS; u++) t->gamma[u] = 1;
    for (int p = 0; p < PARTS; p++) {
        for (int i = 0; i < COUNT; i++) t->filter_target[p][i] = ((i + p) * 5 % 16 - 8) / 16.0;
        for (int u = 0; u < UNITS; u++) t->gamma_target[p][u] = (4 + (u + p) % 4) / 8.0;
    }
    t->values[1] = (mskp_tensor){.data = t->filter, .dtype = MSKP_DTYPE_F64};
    t->values[2] = (mskp_tensor){.data = t->gamma, .dtype = MSKP_DTYPE_F64};
    t->gradients[1] = (mskp_tensor){.data = t->filter_slope, .dtype = MSKP_DTYPE_F64};
    t->gradients[2] = (mskp_tensor){.data = t->gamma_slope, .dtype = MSKP_DTYPE_F64};
    t->penalty.roles = MSKP_ROLE_FILTER | MSKP_ROLE_SCALE;
}

static void zero_slopes(training *t)
{
    memset(t->filter_slope, 0, sizeof t->filter_slope);
    memset(t->gamma_slope, 0, sizeof t->gamma_slope);
}

/* Adds factor times the gradient of one micro-batch's loss. */
static void add_slopes(training *t, int part, double factor)
{
    for (int i = 0; i < COUNT; i++) { /* an x87 would add a product with more digits */
        const double slope = factor * (t->filter[i] - t->filter_target[part][i]);
        t->filter_slope[i] += slope;
    }
    for (int u = 0; u < UNITS; u++) {
        const double slope = factor * (t->gamma[u] - t->gamma_target[part][u]);
        t->gamma_slope[u] += slope;
    }
}

static void add_penalty(training *t, double strength)
{
    mskp_error err = {0};
    ck_assert_msg(!mskp_penalty_gradient(t->graph, mask_of(UNITS, t->keep), &t->penalty, strength,
                                         set_by_id(2, t->values), set_by_id(2, t->gradients), &err),
                  "%s", err.text);
}

static void descend(training *t, double rate)
{
    for (int i = 0; i < COUNT; i++) t->filter[i] -= rate * t->filter_slope[i];
    for (int u = 0; u < UNITS; u++) t->gamma[u] -= rate * t->gamma_slope[u];
}

/* What every way is compared with: the mean gradient of all micro-batches, then the penalty. */
static void train_plainly(training *t)
{
    for (int step = 0; step < STEPS; step++) {
        zero_slopes(t);
        for (int p = 0; p < PARTS; p++) add_slopes(t, p, 1.0 / PARTS);
        add_penalty(t, STRENGTH);
        descend(t, 1.0 / 64);
    }
}

static void require_same(const training *a, const training *b)
{
    for (int i = 0; i < COUNT; i++)
        ck_assert_msg(a->filter[i] == b->filter[i], "weight %d: %.17g, not %.17g", i, b->filter[i],
                      a->filter[i]);
    for (int u = 0; u < UNITS; u++)
        ck_assert_msg(a->gamma[u] == b->gamma[u], "gamma %d: %.17g, not %.17g", u, b->gamma[u],
                      a->gamma[u]);
}

/* Gradients that still hold a loss scale, or a negative sum over the batch. */
START_TEST(scaled_and_negative_gradients)
{
    static const double factors[] = {1024, -1, -PARTS, 1.0 / 16};
    training a, b;
    begin(&a);
    begin(&b);
    train_plainly(&a);
    for (int step = 0; step < STEPS; step++) {
        zero_slopes(&b);
        for (int p = 0; p < PARTS; p++) add_slopes(&b, p, factors[_i] / PARTS);
        add_penalty(&b, factors[_i] * STRENGTH);
        descend(&b, 1.0 / 64 / factors[_i]);
    }
    require_same(&a, &b);
    mskp_graph_destroy(a.graph);
    mskp_graph_destroy(b.graph);
}
END_TEST

/* Micro-batches one after the other, or one on each rank: the penalty is added once. In each of
 * them it would count as often as there are. */
START_TEST(accumulated_gradients)
{
    training a, b;
    begin(&a);
    begin(&b);
    train_plainly(&a);
    for (int step = 0; step < STEPS; step++) {
        training rank[PARTS];
        zero_slopes(&b);
        for (int p = 0; p < PARTS; p++) { /* each rank has the same weights */
            rank[p] = b;
            add_slopes(&rank[p], p, 1.0 / PARTS);
        }
        for (int p = 0; p < PARTS; p++) { /* the all-reduce */
            for (int i = 0; i < COUNT; i++) b.filter_slope[i] += rank[p].filter_slope[i];
            for (int u = 0; u < UNITS; u++) b.gamma_slope[u] += rank[p].gamma_slope[u];
        }
        add_penalty(&b, STRENGTH);
        descend(&b, 1.0 / 64);
    }
    require_same(&a, &b);

    double slope[UNITS];
    zero_slopes(&b);
    add_penalty(&b, STRENGTH);
    memcpy(slope, b.gamma_slope, sizeof slope);
    for (int p = 1; p < PARTS; p++) add_penalty(&b, STRENGTH);
    for (int u = 0; u < UNITS; u++) ck_assert(b.gamma_slope[u] == PARTS * slope[u]);
    mskp_graph_destroy(a.graph);
    mskp_graph_destroy(b.graph);
}
END_TEST

/* Clipping before the penalty leaves its strength alone; after it, it shrinks with the task's
 * gradient. The filters' targets are far away here, so all steps are clipped. */
START_TEST(clipped_gradients)
{
    double reached[2];
    for (int after = 0; after < 2; after++) {
        training t;
        begin(&t);
        for (int p = 0; p < PARTS; p++)
            for (int i = 0; i < COUNT; i++) t.filter_target[p][i] *= 4096;
        for (int u = 0; u < UNITS; u++) t.gamma_target[0][u] = t.gamma[u]; /* no pull */
        t.penalty.roles = MSKP_ROLE_SCALE;
        for (int step = 0; step < STEPS; step++) {
            double squares = 0;
            zero_slopes(&t);
            add_slopes(&t, 0, 1);
            memset(t.gamma_slope, 0, sizeof t.gamma_slope);
            if (after) add_penalty(&t, STRENGTH);
            for (int i = 0; i < COUNT; i++) squares += t.filter_slope[i] * t.filter_slope[i];
            for (int u = 0; u < UNITS; u++) squares += t.gamma_slope[u] * t.gamma_slope[u];
            ck_assert(squares > 1);
            for (int i = 0; i < COUNT; i++) t.filter_slope[i] /= sqrt(squares);
            for (int u = 0; u < UNITS; u++) t.gamma_slope[u] /= sqrt(squares);
            if (!after) add_penalty(&t, STRENGTH);
            descend(&t, 1.0 / 256);
        }
        reached[after] = 1 - t.gamma[0];
        mskp_graph_destroy(t.graph);
    }
    ck_assert_msg(fabs(reached[0] - STRENGTH * STEPS / 256) < 1e-12, "%g", reached[0]);
    ck_assert_msg(reached[1] < reached[0] / 1000, "%g", reached[1]);
}
END_TEST

static uint16_t to_bfloat(double x)
{
    const float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static double from_bfloat(uint16_t b)
{
    const uint32_t bits = (uint32_t)b << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

/* Master weights: the network sees bfloat16 copies, the penalty and the step are on the F64 (or
 * F32) numbers. Without them, the same steps move nothing. */
START_TEST(master_weights)
{
    training t;
    uint16_t half[UNITS];
    begin(&t);
    t.penalty.roles = MSKP_ROLE_SCALE;
    mskp_tensor copies[3] = {{0}, {0}, {.data = half, .dtype = MSKP_DTYPE_BF16}};
    for (int step = 0; step < STEPS; step++) {
        zero_slopes(&t);
        for (int u = 0; u < UNITS; u++) { /* the loss is computed with the copies */
            half[u] = to_bfloat(t.gamma[u]);
            t.gamma_slope[u] = from_bfloat(half[u]) - 1;
        }
        add_penalty(&t, 2); /* in equilibrium at 0, since the task pulls with 1 at most */
        for (int u = 0; u < UNITS; u++) t.gamma[u] -= t.gamma_slope[u] / 1024;
    }
    for (int u = 0; u < UNITS; u++) /* w' = -(w - 1) - 2 from w = 1: 1 - 2 (1 - (1023/1024)^200) */
        ck_assert_msg(fabs(t.gamma[u] - (t.keep[u] ? 1 : 0.645)) < 0.01, "gamma %d is %g", u,
                      t.gamma[u]);
    for (int u = 0; u < UNITS; u++) half[u] = to_bfloat(1);
    t.penalty.skip_missing = 1;
    for (int step = 0; step < STEPS; step++)
        ck_assert_int_eq(mskp_penalty_prox(t.graph, mask_of(UNITS, t.keep), &t.penalty, 2.0 / 2048,
                                           set_by_id(2, copies), NULL),
                         MSKP_OK);
    for (int u = 0; u < UNITS; u++) ck_assert_int_eq(half[u], to_bfloat(1));
    mskp_graph_destroy(t.graph);
}
END_TEST

/* Adam, and AdamW with its decay apart: a gradient of the penalty leaves marked gammas swinging
 * around 0, the proximal map makes them exactly 0, and the others reach their targets. */
START_TEST(adam_and_adamw)
{
    const double rate = 1.0 / 512, decay = _i ? 0.01 : 0;
    for (int prox = 0; prox < 2; prox++) {
        training t;
        double first[UNITS] = {0}, second[UNITS] = {0}, largest = 0;
        begin(&t);
        t.penalty.roles = MSKP_ROLE_SCALE;
        for (int step = 1; step <= 4000; step++) {
            for (int u = 0; u < UNITS; u++) t.gamma_slope[u] = t.gamma[u] - t.gamma_target[0][u];
            if (!prox) add_penalty(&t, 2);
            for (int u = 0; u < UNITS; u++) {
                first[u] = 0.9 * first[u] + 0.1 * t.gamma_slope[u];
                second[u] = 0.999 * second[u] + 0.001 * t.gamma_slope[u] * t.gamma_slope[u];
                const double m = first[u] / (1 - pow(0.9, step));
                const double v = second[u] / (1 - pow(0.999, step));
                t.gamma[u] -= rate * (m / (sqrt(v) + 1e-8) + decay * t.gamma[u]);
            }
            if (prox)
                ck_assert_int_eq(mskp_penalty_prox(t.graph, mask_of(UNITS, t.keep), &t.penalty,
                                                   rate * 2, set_by_id(2, t.values), NULL),
                                 MSKP_OK);
            if (step > 3000) largest = fmax(largest, fmax(fabs(t.gamma[0]), fabs(t.gamma[1])));
        }
        ck_assert_msg(prox ? largest == 0 : largest > rate / 4, "prox %d: %g", prox, largest);
        for (int u = 2; u < UNITS; u++)
            ck_assert_msg(fabs(t.gamma[u] - t.gamma_target[0][u]) < 0.02, "gamma %d is %g", u,
                          t.gamma[u]);
        mskp_graph_destroy(t.graph);
    }
}
END_TEST

/* Fading the task's gradient out, with a deadline: nothing pulls back at the end, so the marked
 * weights are exactly 0 while the others stay where the task wants them. */
START_TEST(faded_gradients)
{
    training t;
    begin(&t);
    for (int step = 1; step <= STEPS; step++) {
        zero_slopes(&t);
        for (int p = 0; p < PARTS; p++) add_slopes(&t, p, 1.0 / PARTS);
        ck_assert_int_eq(mskp_penalty_fade(t.graph, mask_of(UNITS, t.keep), &t.penalty,
                                           (double)step / STEPS, set_by_id(2, t.gradients), NULL),
                         MSKP_OK);
        descend(&t, 1.0 / 4);
        ck_assert_int_eq(mskp_penalty_deadline(t.graph, mask_of(UNITS, t.keep), &t.penalty,
                                               (uint64_t)(STEPS - step), set_by_id(2, t.values),
                                               NULL),
                         MSKP_OK);
    }
    for (int u = 0; u < UNITS; u++) {
        double mean = 0;
        for (int p = 0; p < PARTS; p++) mean += t.gamma_target[p][u] / PARTS;
        ck_assert_msg(fabs(t.gamma[u] - (t.keep[u] ? mean : 0)) < 1e-9, "gamma %d is %g", u,
                      t.gamma[u]);
        for (int i = 0; !t.keep[u] && i < SIZE; i++) ck_assert(t.filter[u * SIZE + i] == 0);
    }
    mskp_graph_destroy(t.graph);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("training");
    TCase *tcase = tcase_create("training");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, scaled_and_negative_gradients, 0, 4);
    tcase_add_test(tcase, accumulated_gradients);
    tcase_add_test(tcase, clipped_gradients);
    tcase_add_test(tcase, master_weights);
    tcase_add_loop_test(tcase, adam_and_adamw, 0, 2);
    tcase_add_test(tcase, faded_gradients);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

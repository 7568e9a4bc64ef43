/*
 * Penalties under Adam, which divides each gradient by its own size, so the gradient of a
 * penalty does not bring weights to 0. Eight scales are trained in four ways, and half of them are
 * to be removed. The task pulls each scale to a target: loss = sum (scale - target)^2 / 2.
 *
 *     gradient   mskp_penalty_gradient before Adam's step: the scales swing around 0
 *     smooth     the same with MSKP_PENALTY_SMOOTH_L1: the scales come to rest near 0
 *     prox       mskp_penalty_prox after the step: the scales become exactly 0 and stay 0
 *     deadline   mskp_penalty_deadline after the step: the last step makes the scales exactly 0
 *
 * At the end, Adam's two moments and a moving average are cut together with the values. Trainers
 * whose scales lie in one array need no graph for a penalty: the functions for bare arrays do it.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/operators.h> /* mskp_fresh, mskp_bind */
#include <mskp/tools.h>
#include <stdio.h>
#include <string.h>

enum { UNITS = 8, STEPS = 8000, DEADLINE = 500 };
enum { GRADIENT, SMOOTH, PROX, LINE, WAYS };
static const double rate = 0.001, strength = 2, knee = 0.01;
static float scale[UNITS], slope[UNITS], first[UNITS], second[UNITS];
static double average[UNITS]; /* of the scales, in another precision than they have */
static const float target[UNITS] = {0.5f, -0.3f, 0.2f, -0.4f, 1, -1.5f, 2, -0.8f};

/* One step of Adam (Kingma and Ba, ICLR 2015) on what is in slope. */
static void adam(int step)
{
    for (size_t u = 0; u < UNITS; u++) {
        first[u] = 0.9f * first[u] + 0.1f * slope[u];
        second[u] = 0.999f * second[u] + 0.001f * slope[u] * slope[u];
        const double m = first[u] / (1 - pow(0.9, step)), v = second[u] / (1 - pow(0.999, step));
        scale[u] -= (float)(rate * m / (sqrt(v) + 1e-8));
        average[u] = 0.99 * average[u] + 0.01 * (double)scale[u];
    }
}

int main(void)
{
    static const char *const name[WAYS] = {"gradient", "smooth", "prox", "deadline"};
    mskp_tensor view[5] = {{.data = scale}, {.data = slope}, {.data = first}, {.data = second}};
    view[4] = (mskp_tensor){.data = average, .dtype = MSKP_DTYPE_F64};
    const mskp_tensors values = {1, &view[0]}, gradients = {1, &view[1]};
    const mskp_move moves[4] = {{.from = values},
                                {.from = {1, &view[2]}},
                                {.from = {1, &view[3]}},
                                {.from = {1, &view[4]}}};
    const mskp_penalty l1 = {.kind = MSKP_PENALTY_L1};
    const mskp_penalty smooth = {.kind = MSKP_PENALTY_SMOOTH_L1, .knee = knee};
    uint8_t stays[UNITS] = {0, 0, 0, 0, 1, 1, 1, 1};
    const mskp_mask keep = {UNITS, stays};
    size_t zeros[WAYS] = {0};
    double rest[WAYS];
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    int wrong = 0;
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value x = mskp_fresh(g, "x", UNITS, 0, NULL);
    mskp_bind(g, mskp_parameter(g, "scale", 1, (size_t[]){UNITS}), 0, MSKP_ROLE_SCALE, x);
    if (mskp_graph_finish(g, &err)) goto failed;
    for (int way = 0; way < WAYS; way++) {
        const mskp_penalty *penalty = way == SMOOTH ? &smooth : &l1;
        for (size_t u = 0; u < UNITS; u++) scale[u] = 1, average[u] = first[u] = second[u] = 0;
        for (int step = 1; step <= STEPS; step++) {
            const int left = STEPS - step;
            for (size_t u = 0; u < UNITS; u++) slope[u] = scale[u] - target[u];
            if (way <= SMOOTH &&
                mskp_penalty_gradient(g, keep, penalty, strength, values, gradients, &err))
                goto failed;
            adam(step);
            if (way == PROX && mskp_penalty_prox(g, keep, &l1, rate * strength, values, &err))
                goto failed;
            if (way == LINE && left < DEADLINE &&
                mskp_penalty_deadline(g, keep, NULL, (uint64_t)left, values, &err))
                goto failed;
        }
        if (mskp_penalty_value(g, keep, &l1, values, &rest[way], &err)) goto failed;
        for (size_t u = 0; u < UNITS; u++) {
            zeros[way] += !(scale[u] < 0 || scale[u] > 0);
            if (stays[u]) wrong |= !(fabsf(scale[u] - target[u]) < 1e-3f);
        }
        printf("%-9s %zu of 4 scales are 0, and the 4 add up to %g\n", name[way], zeros[way],
               rest[way]);
    }
    /* Where smooth L1 rests: scale - target + strength * scale / knee = 0, with targets of 1.4. */
    wrong |= zeros[GRADIENT] || zeros[SMOOTH] || zeros[PROX] != 4 || zeros[LINE] != 4;
    wrong |= !(fabs(rest[SMOOTH] - 1.4 / (1 + strength / knee)) < 1e-4 * rest[SMOOTH]);
    if (wrong) fprintf(stderr, "adam: some scale is not where its penalty should bring it\n");

    /* A trainer whose scales are one array, one per unit, needs no graph in its training step. */
    float w[UNITS];
    double w64[UNITS], slope64[UNITS] = {0};
    memset(slope, 0, sizeof slope);
    for (size_t u = 0; u < UNITS; u++) w64[u] = w[u] = scale[u] = target[u];
    if (mskp_penalty_gradient(g, keep, &l1, strength, values, gradients, &err) ||
        mskp_penalty_prox(g, keep, &l1, 0.25, values, &err))
        goto failed;
    mskp_l1_gradient_f64(UNITS, w64, stays, strength, slope64);
    mskp_l1_prox_f32(UNITS, w, stays, 0.25f);
    mskp_l1_prox_f64(UNITS, w64, stays, 0.25);
    for (size_t u = 0; u < UNITS; u++)
        if (fabsf(w[u] - scale[u]) > 0 || fabs(w64[u] - scale[u]) > 0 ||
            fabs(slope64[u] - slope[u]) > 0)
            wrong = 1, fprintf(stderr, "adam: the bare arrays differ for unit %zu\n", u);

    if (mskp_plan_create(g, keep, &plan, NULL, &err) || mskp_plan_cut(plan, 4, moves, &err))
        goto failed;
    printf("after surgery the scales are %g %g %g %g, and the first moving average is %.4f\n",
           (double)scale[0], (double)scale[1], (double)scale[2], (double)scale[3], average[0]);
    if (view[4].shape[0] != 4 || fabs(average[0] - target[4]) > 1e-3)
        wrong = 1, fprintf(stderr, "adam: surgery left %zu averages\n", view[4].shape[0]);
failed:
    if (err.status) fprintf(stderr, "adam: %s\n", err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    return wrong || err.status;
}

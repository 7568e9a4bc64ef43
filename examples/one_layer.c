/*
 * The smallest host: one hidden layer in bare arrays, y = sum_j out[j] relu(scale[j] (in[j] . x)).
 * It learns |x0 - x1| + |x2|; half of its channels are marked, an L1 term drives their scales to 0,
 * and they are cut. Three kinds of calls describe it: channels, parameters, which axis is which.
 */
#include <math.h>
#include <stdio.h>

#include "mskp.h"

enum { INPUTS = 6, HIDDEN = 12, STEPS = 20000 };
static float in[HIDDEN][INPUTS], scale[HIDDEN], out[HIDDEN];
static size_t hidden = HIDDEN;
static uint32_t state;

static float number(void) /* from -1 to 1 */
{
    state = state * 1664525 + 1013904223;
    return (float)(state >> 8) / 8388608.0f - 1;
}

/* The mean squared error. rate 0: only looks, at the same numbers each time. keep: penalty. */
static double run(float rate, float strength, const uint8_t *keep)
{
    double sum = 0;
    if (rate <= 0) state = 1;
    for (int k = 0; k < STEPS; k++) {
        float x[INPUTS], a[HIDDEN] = {0}, y = 0, dscale[HIDDEN] = {0};
        for (size_t i = 0; i < INPUTS; i++) x[i] = number();
        for (size_t j = 0; j < hidden; j++) {
            for (size_t i = 0; i < INPUTS; i++) a[j] += in[j][i] * x[i];
            y += out[j] * fmaxf(scale[j] * a[j], 0);
        }
        const float error = y - fabsf(x[0] - x[1]) - fabsf(x[2]);
        sum += (double)(error * error);
        for (size_t j = 0; rate > 0 && j < hidden; j++) {
            const float on = scale[j] * a[j] > 0 ? error : 0, d = on * out[j] * scale[j];
            dscale[j] = on * out[j] * a[j];
            out[j] -= rate * on * scale[j] * a[j];
            for (size_t i = 0; i < INPUTS; i++) in[j][i] -= rate * d * x[i];
        }
        if (keep) mskp_l1_gradient_f32(hidden, scale, keep, strength, dscale);
        for (size_t j = 0; j < hidden; j++) scale[j] -= rate * dscale[j];
    }
    return sum / STEPS;
}

int main(void)
{
    double scores[HIDDEN];
    uint8_t keep[HIDDEN];
    mskp_tensor values[] = {{0}, {.data = in}, {.data = scale}, {.data = out}};
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    for (size_t k = 0; k < HIDDEN * INPUTS; k++) in[k / INPUTS][k % INPUTS] = number();
    for (size_t j = 0; j < HIDDEN; j++) scale[j] = 1, out[j] = number();
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value h = mskp_fresh(g, "hidden", HIDDEN, 0, NULL);
    mskp_bind(g, mskp_parameter(g, "in", 2, (size_t[]){HIDDEN, INPUTS}), 0, MSKP_ROLE_FILTER, h);
    mskp_bind(g, mskp_parameter(g, "scale", 1, (size_t[]){HIDDEN}), 0, MSKP_ROLE_SCALE, h);
    mskp_bind(g, mskp_parameter(g, "out", 1, (size_t[]){HIDDEN}), 0, MSKP_ROLE_CONSUMER, h);
    run(0.02f, 0, NULL);
    printf("dense:         error %.6f with %zu channels\n", run(0, 0, NULL), hidden);
    if (mskp_graph_finish(g, &err) || mskp_score(g, NULL, 3, values, HIDDEN, scores, &err) ||
        mskp_select(g, HIDDEN, scores, &(mskp_rule){.remove_fraction = 0.5}, keep, NULL, &err))
        goto failed;
    run(0.02f, 0.05f, keep);
    printf("masked L1:     error %.6f with %zu channels\n", run(0, 0, NULL), hidden);
    if (mskp_plan_create(g, HIDDEN, keep, &plan, NULL, &err) ||
        mskp_plan_cut(plan, 3, 1, &(mskp_move){values, NULL}, &err))
        goto failed;
    hidden = values[2].shape[0];
    printf("after surgery: error %.6f with %zu channels\n", run(0, 0, NULL), hidden);
failed:
    if (err.status) fprintf(stderr, "one_layer: %s\n", err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    return err.status != MSKP_OK;
}

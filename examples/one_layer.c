/*
 * The smallest trainer: one hidden layer in bare arrays, sum_j out[j] relu(scale[j] (in[j] . x)),
 * which learns |x0 - x1| + |x2|. mskp marks half of its channels, an L1 penalty moves their scales
 * to 0, and surgery removes them. Three kinds of calls describe the network: mskp_fresh makes
 * channels, mskp_parameter names an array, and mskp_bind connects an axis of it to the channels. A
 * network of common operators needs none of these but mskp_parameter, as resnet_block.c shows.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/operators.h> /* mskp_fresh, mskp_bind */
#include <mskp/tools.h>     /* mskp_l1_gradient_f32 */
#include <stdio.h>

enum { INPUTS = 6, HIDDEN = 12, STEPS = 20000 };
static float in[HIDDEN][INPUTS], scale[HIDDEN], out[HIDDEN];
static size_t hidden = HIDDEN;
static uint32_t state;

static float number(void) /* from -1 to 1 */
{
    state = state * 1664525 + 1013904223;
    return (float)(state >> 8) / 8388608.0f - 1;
}

/* Runs STEPS examples and returns the mean squared error. With rate 0 nothing is trained, and the
 * examples are the same in each call. With a mask the channels whose flag is 0 are penalized. */
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
    mskp_tensor view[3] = {{.data = in}, {.data = scale}, {.data = out}};
    const mskp_tensors values = {3, view}; /* one view per parameter, in the order of declaration */
    double score[HIDDEN], error[3] = {0};
    uint8_t stays[HIDDEN];
    const mskp_scores scores = {HIDDEN, score};
    const mskp_mask keep = {HIDDEN, stays};
    const mskp_rule half = {.remove_fraction = 0.5};
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
    printf("dense:         error %.6f with %zu channels\n", error[0] = run(0, 0, NULL), hidden);
    if (mskp_graph_finish(g, &err) || mskp_score(g, NULL, values, scores, &err) ||
        mskp_select(g, scores, &half, keep, NULL, &err))
        goto failed;
    run(0.02f, 0.05f, stays);
    printf("masked L1:     error %.6f with %zu channels\n", error[1] = run(0, 0, NULL), hidden);
    if (mskp_plan_create(g, keep, &plan, NULL, &err) ||
        mskp_plan_cut(plan, 1, &(mskp_move){.from = values}, &err))
        goto failed;
    hidden = view[1].shape[0];
    printf("after surgery: error %.6f with %zu channels\n", error[2] = run(0, 0, NULL), hidden);
failed:
    if (err.status) fprintf(stderr, "one_layer: %s\n", err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    if (err.status) return 1;
    /* Surgery changes nothing, and half of the channels explain 99 % of the variance, 0.31. */
    if (hidden == HIDDEN / 2 && fabs(error[2] - error[1]) < 0.01 * error[1] && error[2] < 0.0031)
        return 0;
    fprintf(stderr, "one_layer: %zu channels have an error of %g\n", hidden, error[2]);
    return 1;
}

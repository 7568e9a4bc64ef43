/*
 * An operator that the library does not have, said in primitives: a bilinear layer of low rank,
 * y[o] = sum_k mix[o][k] (left[k] . x) (right[k] . x). What it reads, its ranks k and what it makes
 * can all be pruned. The network: h = relu(first x), y = bilinear(h). Half of its units are zeroed
 * and cut, and it computes the same.
 */
#include <math.h>
#include <stdio.h>

#include "mskp.h"
enum { INPUTS = 8, HIDDEN = 16, RANKS = 12, OUTPUTS = 3, UNITS = HIDDEN + RANKS, PARAMS = 4 };
static float first[HIDDEN * INPUTS], left[RANKS * HIDDEN], right[RANKS * HIDDEN];
static float mix[OUTPUTS * RANKS];

/* The description: one list of channels for each thing that can shrink, and which axis is which. */
static mskp_value bilinear(mskp_graph *g, mskp_value in, mskp_param a, mskp_param b, mskp_param c)
{
    const mskp_value rank = mskp_fresh(g, "bilinear.rank", RANKS, 0, NULL);
    const mskp_value out = mskp_fresh(g, "bilinear", OUTPUTS, 0, NULL);
    mskp_bind(g, a, 0, MSKP_ROLE_FILTER, rank);
    mskp_bind(g, a, 1, MSKP_ROLE_CONSUMER, in);
    mskp_bind(g, b, 0, MSKP_ROLE_FILTER, rank); /* the same ranks: a row of each leaves at once */
    mskp_bind(g, b, 1, MSKP_ROLE_CONSUMER, in);
    mskp_zero_if(g, rank, MSKP_ROLE_FILTER); /* a product of zeros */
    mskp_bind(g, c, 0, MSKP_ROLE_FILTER, out);
    mskp_bind(g, c, 1, MSKP_ROLE_CONSUMER, rank);
    mskp_add_macs(g, rank, a, 1); /* one multiply-accumulate for each weight */
    mskp_add_macs(g, rank, b, 1);
    mskp_add_macs(g, out, c, 1);
    return out;
}

/* The network itself, of whatever size the tensors now have. */
static void compute(const mskp_tensor *t, const float *x, float *y)
{
    const size_t ranks = t[4].ndim ? t[4].shape[1] : RANKS;
    const size_t hidden = t[2].ndim ? t[2].shape[1] : HIDDEN;
    float h[HIDDEN] = {0};
    for (size_t j = 0; j < hidden; j++) {
        for (size_t i = 0; i < INPUTS; i++) h[j] += first[j * INPUTS + i] * x[i];
        h[j] = fmaxf(h[j], 0);
    }
    for (size_t o = 0; o < OUTPUTS; o++) y[o] = 0;
    for (size_t k = 0; k < ranks; k++) {
        float a = 0, b = 0;
        for (size_t j = 0; j < hidden; j++) a += left[k * hidden + j] * h[j];
        for (size_t j = 0; j < hidden; j++) b += right[k * hidden + j] * h[j];
        for (size_t o = 0; o < OUTPUTS; o++) y[o] += mix[o * ranks + k] * a * b;
    }
}

static void fill(float *w, size_t n)
{
    for (size_t i = 0; i < n; i++) w[i] = sinf((float)(i * i % 97) + 0.3f * (float)i);
}

int main(void)
{
    const mskp_scoring filters = {.roles = MSKP_ROLE_FILTER, .norm = MSKP_MAGNITUDE_L2};
    mskp_tensor t[] = {{0}, {.data = first}, {.data = left}, {.data = right}, {.data = mix}};
    double scores[UNITS];
    uint8_t keep[UNITS], exact[UNITS];
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    size_t kept = 0, exactly = 0;
    float x[INPUTS], y[2][OUTPUTS] = {{0}}, worst = 0;
    fill(first, HIDDEN * INPUTS), fill(left, RANKS * HIDDEN), fill(right, RANKS * HIDDEN);
    fill(mix, OUTPUTS * RANKS), fill(x, INPUTS);
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param w = mskp_parameter(g, "first", 2, (size_t[]){HIDDEN, INPUTS});
    const mskp_param a = mskp_parameter(g, "left", 2, (size_t[]){RANKS, HIDDEN});
    const mskp_param b = mskp_parameter(g, "right", 2, (size_t[]){RANKS, HIDDEN});
    const mskp_param c = mskp_parameter(g, "mix", 2, (size_t[]){OUTPUTS, RANKS});
    mskp_value h = mskp_linear(g, "h", mskp_input(g, "x", INPUTS, 0, NULL), w, (mskp_param){0});
    h = mskp_activation(g, "relu", h, &(mskp_activation_desc){.kind = MSKP_ACTIVATION_RELU});
    mskp_output(g, bilinear(g, h, a, b, c));
    if (mskp_graph_finish(g, &err) || mskp_score(g, &filters, PARAMS, t, UNITS, scores, &err) ||
        mskp_select(g, UNITS, scores, &(mskp_rule){.remove_fraction = 0.5}, keep, NULL, &err) ||
        mskp_exact(g, MSKP_ROLE_FILTER, UNITS, exact, &err) ||
        mskp_penalty_zero(g, UNITS, keep, &(mskp_penalty){.roles = MSKP_ROLES_UNIT}, PARAMS, t,
                          &err))
        goto failed;
    compute(t, x, y[0]);
    if (mskp_plan_create(g, UNITS, keep, &plan, NULL, &err) ||
        mskp_plan_cut(plan, PARAMS, 1, &(mskp_move){t, NULL}, &err))
        goto failed;
    compute(t, x, y[1]);
    for (size_t u = 0; u < UNITS; u++) kept += keep[u], exactly += exact[u];
    for (size_t o = 0; o < OUTPUTS; o++) worst = fmaxf(worst, fabsf(y[1][o] - y[0][o]));
    printf("%zu of %d units stay; %zu would leave exactly once their filters are zero\n", kept,
           UNITS, exactly);
    printf("y[0]: zeroed %g, cut %g; largest difference %g\n", (double)y[0][0], (double)y[1][0],
           (double)worst);
failed:
    if (err.status) fprintf(stderr, "own_operator: %s\n", err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    return err.status != MSKP_OK || worst > 1e-5f * fabsf(y[0][0]);
}

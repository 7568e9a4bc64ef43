/*
 * An operator that mskp does not have, described by primitives: a bilinear layer of low rank,
 *
 *     y[o] = slope * sum_k mix[o][k] (left[k] . x) (right[k] . reverse(x))
 *
 * The channels x that it reads, its ranks k and its outputs o can shrink. The network is
 * y = bilinear(relu(first x)). Half of the units are set to zero and cut, and the network still
 * computes the same. Two further primitives, mskp_tie and mskp_pin, restrict what may be removed.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/constants.h> /* mskp_exact */
#include <mskp/operators.h>
#include <mskp/tools.h> /* mskp_penalty_zero */
#include <stdio.h>

enum { INPUTS = 8, HIDDEN = 16, RANKS = 12, OUTPUTS = 4, PARAMS = 5 };
enum { UNITS = HIDDEN / 2 - 1 + RANKS }; /* all pairs of mirrored channels but one; ranks */
enum { FIRST, LEFT, RIGHT, MIX, SLOPE }; /* the parameters, in the order of declaration */
static float number[PARAMS][RANKS * HIDDEN];
static const size_t shape[PARAMS][2] = {
    {HIDDEN, INPUTS}, {RANKS, HIDDEN}, {RANKS, HIDDEN}, {OUTPUTS, RANKS}, {1, 1}};

/* One mskp_fresh for each list of channels that can shrink, one mskp_bind for each axis that
 * follows such a list. Everything about a value is declared before another operator reads it. */
static mskp_value bilinear(mskp_graph *g, mskp_value in, const mskp_param *p)
{
    size_t backwards[HIDDEN], middle[2] = {HIDDEN / 2 - 1, HIDDEN / 2};
    for (size_t j = 0; j < HIDDEN; j++) backwards[j] = HIDDEN - 1 - j;
    const mskp_value reverse = mskp_pick(g, "reverse", in, HIDDEN, backwards);
    mskp_tie(g, reverse, in); /* this kernel reverses by index: j needs its mirror image */
    mskp_pin(g, mskp_pick(g, "middle", in, 2, middle)); /* and a middle to count from */
    const mskp_value rank = mskp_fresh(g, "bilinear.rank", RANKS, 0, NULL);
    mskp_bind(g, p[LEFT], 0, MSKP_ROLE_FILTER, rank);
    mskp_bind(g, p[LEFT], 1, MSKP_ROLE_CONSUMER, in);
    mskp_bind(g, p[RIGHT], 0, MSKP_ROLE_FILTER, rank); /* one row of each is removed */
    mskp_bind(g, p[RIGHT], 1, MSKP_ROLE_CONSUMER, reverse);
    mskp_zero_if(g, rank, MSKP_ROLE_FILTER); /* a product of zeros is zero */
    const mskp_value out = mskp_fresh(g, "bilinear", OUTPUTS, 0, NULL);
    mskp_bind(g, p[MIX], 0, MSKP_ROLE_FILTER, out);
    mskp_bind(g, p[MIX], 1, MSKP_ROLE_CONSUMER, rank);
    mskp_attach(g, p[SLOPE], out); /* no axis of it follows channels, so it is never cut */
    mskp_add_macs(g, rank, (mskp_param){0}, 1); /* the cost: the product of two numbers, */
    mskp_macs_for_each(g, rank, out);           /* which each output computes anew, */
    for (int k = LEFT; k <= MIX; k++)           /* one multiply-accumulate for each weight, */
        mskp_add_macs(g, k == MIX ? out : rank, p[k], 1);
    mskp_add_macs(g, out, (mskp_param){0}, 1); /* and one for each output, for the slope */
    return out;
}

/* The network itself, with whatever sizes the tensors have now. */
static void compute(const mskp_tensor *t, const float *x, float *y)
{
    const size_t hidden = t[LEFT].shape[1], ranks = t[LEFT].shape[0];
    float h[HIDDEN] = {0};
    for (size_t j = 0; j < hidden; j++) {
        for (size_t i = 0; i < INPUTS; i++) h[j] += number[FIRST][j * INPUTS + i] * x[i];
        h[j] = fmaxf(h[j], 0);
    }
    for (size_t o = 0; o < OUTPUTS; o++) y[o] = 0;
    for (size_t k = 0; k < ranks; k++) {
        float a = 0, b = 0;
        for (size_t j = 0; j < hidden; j++) {
            a += number[LEFT][k * hidden + j] * h[j];
            b += number[RIGHT][k * hidden + j] * h[hidden - 1 - j];
        }
        for (size_t o = 0; o < OUTPUTS; o++) y[o] += number[MIX][o * ranks + k] * a * b;
    }
    for (size_t o = 0; o < OUTPUTS; o++) y[o] *= number[SLOPE][0];
}

int main(void)
{
    static const char *const name[PARAMS] = {"first", "left", "right", "mix", "slope"};
    const mskp_scoring filters = {.roles = MSKP_ROLE_FILTER, .magnitude = MSKP_MAGNITUDE_L2};
    mskp_tensor t[PARAMS] = {{0}};
    const mskp_tensors values = {PARAMS, t};
    double score[UNITS];
    uint8_t stays[UNITS], exact[UNITS];
    const mskp_scores scores = {UNITS, score};
    const mskp_mask keep = {UNITS, stays};
    const float x[INPUTS] = {1, -2, 0.5f, 3, -1, 2, -0.5f, 1};
    float y[2][OUTPUTS];
    mskp_param p[PARAMS];
    size_t kept = 0, exactly = 0, same = 0;
    mskp_cost before, after;
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    mskp_graph *g = mskp_graph_create(NULL);
    for (size_t k = 0; k < PARAMS; k++) {
        p[k] = mskp_parameter(g, name[k], 2, shape[k]);
        t[k] = (mskp_tensor){number[k], .ndim = 2, .shape = {shape[k][0], shape[k][1]}};
        for (size_t i = 0; i < RANKS * HIDDEN; i++) number[k][i] = sinf((float)(i * i % 97 + k));
    }
    mskp_value h = mskp_input(g, "x", INPUTS, 0, NULL);
    h = mskp_linear(g, "h", h, p[FIRST], (mskp_param){0});
    h = mskp_activation(g, "relu", h, &(mskp_activation_desc){.kind = MSKP_ACTIVATION_RELU});
    mskp_output(g, bilinear(g, h, p));
    if (mskp_graph_finish(g, &err) || mskp_score(g, &filters, values, scores, &err) ||
        mskp_select(g, scores, &(mskp_rule){.remove_fraction = 0.5}, keep, NULL, &err) ||
        mskp_exact(g, MSKP_ROLE_FILTER, (mskp_mask){UNITS, exact}, &err) ||
        mskp_measure(g, (mskp_mask){0}, &before, NULL, &err) ||
        mskp_measure(g, keep, &after, NULL, &err) ||
        mskp_penalty_zero(g, keep, &(mskp_penalty){.roles = MSKP_ROLES_UNIT}, values, &err))
        goto failed;
    compute(t, x, y[0]);
    if (mskp_plan_create(g, keep, &plan, NULL, &err) ||
        mskp_plan_cut(plan, 1, &(mskp_move){.from = values}, &err))
        goto failed;
    compute(t, x, y[1]);
    for (size_t u = 0; u < UNITS; u++) kept += stays[u], exactly += exact[u];
    for (size_t o = 0; o < OUTPUTS; o++) same += fabsf(y[1][o] - y[0][o]) < 1e-6f * fabsf(y[0][o]);
    printf("%zu of %d units stay; zero filters make %zu exact\n", kept, UNITS, exactly);
    printf("%g of %g multiply-accumulates stay\n", after.macs, before.macs);
    printf("y[0]: %g with zeros, %g after surgery\n", (double)y[0][0], (double)y[1][0]);
failed:
    if (err.status) fprintf(stderr, "own_operator: %s\n", err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    if (err.status) return 1;
    if (same == OUTPUTS && exactly == UNITS && kept == UNITS - UNITS / 2) return 0;
    fprintf(stderr, "own_operator: %zu outputs are the same, %zu units exact\n", same, exactly);
    return 1;
}

/*
 * What a removed channel still outputs: with a gamma of 0, it is relu(beta) at every position.
 * Surgery alone would take this away from both consumers of the channel.
 *
 *     signal -> conv -> norm -> relu -> edges (three taps, zeros beyond the border, no bias)
 *                                   \-> classes (one tap, with a bias)
 *
 * `classes` adds the constants to its bias. `edges` has none, and sees fewer constants at the
 * border, so one unit, which is within the budget, stays to carry them. No output changes.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/constants.h>
#include <mskp/tools.h> /* mskp_value_name */
#include <stdio.h>

enum { LENGTH = 12, WIDTH = 16, OUT = 2, RESULTS = 2 * OUT * LENGTH };
enum { CONV, GAMMA, BETA, EDGES, CLASSES, BIAS, PARAMS };
static const char *const name[PARAMS] = {"conv", "gamma", "beta", "edges", "classes", "bias"};
static const size_t axes[PARAMS][3] = {{WIDTH, 1, 1},   {WIDTH},         {WIDTH},
                                       {OUT, WIDTH, 3}, {OUT, WIDTH, 1}, {OUT}};
static float number[PARAMS][OUT * WIDTH * 3];

static mskp_graph *describe(void)
{
    mskp_param p[PARAMS];
    mskp_graph *g = mskp_graph_create(NULL);
    for (size_t i = 0; i < PARAMS; i++)
        p[i] = mskp_parameter(g, name[i], axes[i][1] ? 3 : 1, axes[i]);
    const mskp_conv_desc conv = {.weight = p[CONV]};
    const mskp_conv_desc edges = {.weight = p[EDGES], .pad_before = {1}, .pad_after = {1}};
    const mskp_conv_desc classes = {.weight = p[CLASSES], .bias = p[BIAS]};
    const mskp_norm_desc norm = {.kind = MSKP_NORM_AFFINE, .scale = p[GAMMA], .shift = p[BETA]};
    mskp_value v = mskp_input(g, "signal", 1, 1, (size_t[]){LENGTH});
    v = mskp_norm(g, "norm", mskp_conv(g, "conv", v, &conv), &norm);
    v = mskp_activation(g, "relu", v, &(mskp_activation_desc){.kind = MSKP_ACTIVATION_RELU});
    mskp_output(g, mskp_conv(g, "edges", v, &edges));
    mskp_output(g, mskp_conv(g, "classes", v, &classes));
    return g;
}

/* Both results, one after the other, with the first `width` channels. */
static void run(size_t width, float *result)
{
    float x[WIDTH][LENGTH + 2] = {{0}}; /* with a zero beyond each border */
    for (size_t c = 0; c < width; c++)
        for (size_t i = 0; i < LENGTH; i++)
            x[c][i + 1] =
                fmaxf(number[GAMMA][c] * number[CONV][c] * cosf((float)i) + number[BETA][c], 0);
    for (size_t o = 0; o < OUT; o++)
        for (size_t i = 0; i < LENGTH; i++) {
            float *edge = &result[o * LENGTH + i], *class = edge + OUT * LENGTH;
            *edge = 0, *class = number[BIAS][o];
            for (size_t c = 0; c < width; c++) {
                const float *taps = &number[EDGES][(o * width + c) * 3];
                for (size_t k = 0; k < 3; k++) *edge += taps[k] * x[c][i + k];
                *class += number[CLASSES][o * width + c] * x[c][i + 1];
            }
        }
}

/* Prints what the ways do with the same selection, and the most that an element loses. */
static int compare(const mskp_graph *g, mskp_mask selected, mskp_tensors values, mskp_error *err)
{
    static const char *const name_of[] = {"merge above 50%", "drop", "fold", "merge"};
    mskp_constants_report of[MSKP_CONSTANTS_MERGE + 1];
    for (int way = MSKP_CONSTANTS_AUTO; way <= MSKP_CONSTANTS_MERGE; way++) {
        const mskp_constants_desc desc = {.way = (mskp_constants_way)way, .merge_above = 0.5};
        mskp_constants *constants = NULL;
        if (mskp_constants_create(g, selected, &desc, values, &constants, err) ||
            mskp_constants_total(constants, &of[way], err))
            return mskp_constants_destroy(constants), 1;
        printf("%-15s folds %zu, merges %zu, loses at most %.2g, a share of %.2g\n", name_of[way],
               of[way].folded, of[way].merged, of[way].bound, of[way].share);
        mskp_constants_destroy(constants);
    }
    return of[MSKP_CONSTANTS_AUTO].merged || of[MSKP_CONSTANTS_DROP].folded ||
           !of[MSKP_CONSTANTS_FOLD].folded || !of[MSKP_CONSTANTS_MERGE].exact;
}

int main(void)
{
    mskp_tensor view[PARAMS] = {{0}};
    const mskp_tensors values = {PARAMS, view};
    uint8_t flag[2][WIDTH];
    const mskp_mask selected = {WIDTH, flag[0]}, carriers = {WIDTH, flag[1]};
    const mskp_scores scores = {WIDTH, (double[WIDTH]){0}};
    float before[RESULTS], after[RESULTS], worst = 0;
    mskp_constants_report one;
    mskp_constants *constants = NULL;
    mskp_plan *plan = NULL;
    mskp_graph *g = describe();
    mskp_error err = {0};
    int wrong = 0;
    for (size_t i = 0; i < PARAMS; i++) {
        view[i].data = number[i];
        for (size_t k = 0; k < OUT * WIDTH * 3; k++)
            number[i][k] = (i == BETA ? .05f : .5f) + .04f * sinf((float)(k * k % 101 + i));
    }
    for (size_t c = 0; c < WIDTH; c++) number[GAMMA][c] *= c % 4 == 3 ? 1.0f : 0.0f;
    run(WIDTH, before);
    if (mskp_graph_finish(g, &err) || mskp_score(g, NULL, values, scores, &err) ||
        mskp_constants_select(g, scores, &(mskp_rule){.remove_fraction = 0.5}, NULL, values,
                              &constants, &err) ||
        mskp_constants_masks(constants, selected, carriers, (mskp_mask){0}, &err))
        goto failed;
    for (size_t i = 0; i < mskp_constants_consumers(constants); i++) {
        if (mskp_constants_consumer(constants, i, &one, &err)) goto failed;
        printf("%s reads %s, folds %zu, merges %zu: %s\n", mskp_value_name(g, one.consumer),
               mskp_value_name(g, one.reads), one.folded, one.merged, one.why ? one.why : "exact");
    }
    wrong |= compare(g, selected, values, &err);
    if (err.status || mskp_constants_plan(constants, &plan, NULL, &err) ||
        mskp_constants_apply(constants, plan, values, &err) ||
        mskp_plan_cut(plan, 1, &(mskp_move){.from = values}, &err))
        goto failed;
    size_t stay = view[GAMMA].shape[0], carry = 0;
    run(stay, after);
    for (size_t i = 0; i < RESULTS; i++) worst = fmaxf(worst, fabsf(after[i] - before[i]));
    for (size_t c = 0; c < WIDTH; c++) carry += carriers.unit[c];
    printf("%zu units stay, %zu to carry; outputs change by %g\n", stay, carry, (double)worst);
    wrong |= worst > 1e-6f || stay != WIDTH / 2 || carry != 1;
    if (wrong) fprintf(stderr, "constants: a number above is not what this page promises\n");
failed:
    if (err.status) fprintf(stderr, "constants: %s\n", err.text);
    mskp_constants_destroy(constants);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    return wrong || err.status;
}

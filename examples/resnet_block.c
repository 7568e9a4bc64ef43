/*
 * A residual block, of which a ResNet is made: describe it, score and select its units, penalize
 * them while it trains, and cut its values together with the optimizer's momentum.
 *
 *     image -> layer 0 -> layer 1 -> layer 2 -> add -> relu -> layer 3
 *                     \________________________/
 *
 * A layer is a convolution of three taps and a batch norm, with relu behind layers 0, 1 and 3. The
 * addition ties the channels of layer 0 to those of layer 2, so they are removed together. To keep
 * the page short, the training step computes no gradient of a task, so only the penalty acts.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/tools.h> /* mskp_version, mskp_param_shape, mskp_penalty_zero, mskp_status_text */
#include <stdio.h>

enum { LENGTH = 12, WIDTH = 8, LAYERS = 4, PARAMS = 5 * LAYERS, UNITS = 2 * WIDTH };
enum { VALUES, GRADIENTS, MOMENTUM, SETS, ROOM = WIDTH * WIDTH * 3 };
static float number[SETS][PARAMS * ROOM]; /* as much room for each parameter */
static mskp_tensor view[SETS][PARAMS];

static mskp_value describe(mskp_graph *g, size_t k, mskp_value in, size_t channels, size_t width)
{
    static const char *const kind[5] = {"conv", "gamma", "beta", "mean", "variance"};
    mskp_param p[5];
    char name[32];
    for (size_t i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "%s%zu", kind[i], k);
        p[i] = mskp_parameter(g, name, i ? 1 : 3, (size_t[]){width, channels, 3});
        for (size_t set = 0; set < SETS; set++)
            view[set][5 * k + i].data = &number[set][(5 * k + i) * ROOM];
    }
    const mskp_conv_desc conv = {.weight = p[0], .pad_before = {1}, .pad_after = {1}};
    const mskp_norm_desc norm = {.scale = p[1], .shift = p[2], .mean = p[3], .variance = p[4]};
    return mskp_norm(g, NULL, mskp_conv(g, NULL, in, &conv), &norm);
}

/* Layer k and relu, with the sizes of graph g; the shortcut, if any, is added before relu. */
static void run(const mskp_graph *g, size_t k, const float *x, const float *shortcut, float *y)
{
    const float *p[5];
    for (size_t i = 0; i < 5; i++) p[i] = &number[VALUES][(5 * k + i) * ROOM];
    size_t shape[MSKP_MAX_DIMS];
    mskp_param_shape(g, (mskp_param){(uint32_t)(5 * k + 1)}, shape);
    for (size_t i = 0; i < shape[0] * LENGTH; i++) {
        const size_t o = i / LENGTH, at = i % LENGTH, taps = shape[1] * 3;
        float sum = 0;
        for (size_t t = 0; t < taps; t++)
            if (at + t % 3 >= 1 && at + t % 3 <= LENGTH)
                sum += p[0][o * taps + t] * x[t / 3 * LENGTH + at + t % 3 - 1];
        sum = p[1][o] * (sum - p[3][o]) / sqrtf(p[4][o] + 1e-5f) + p[2][o];
        y[i] = fmaxf(shortcut ? sum + shortcut[i] : sum, 0);
    }
}

static void forward(const mskp_graph *g, float *result)
{
    float image[3 * LENGTH], x[WIDTH * LENGTH], y[WIDTH * LENGTH], z[WIDTH * LENGTH];
    for (size_t i = 0; i < 3 * LENGTH; i++) image[i] = cosf((float)i);
    run(g, 0, image, NULL, x), run(g, 1, x, NULL, y), run(g, 2, y, x, z);
    run(g, 3, z, NULL, result);
}

int main(void)
{
    if (mskp_version() != MSKP_VERSION) return puts("the header is of another version"), 1;
    const mskp_activation_desc relu = {.kind = MSKP_ACTIVATION_RELU};
    const mskp_scoring mean = {.reduce = MSKP_REDUCE_MEAN}; /* a unit has one gamma, or two */
    const mskp_penalty penalty = {.roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT};
    const mskp_tensors values = {PARAMS, view[VALUES]}, gradients = {PARAMS, view[GRADIENTS]};
    const mskp_move moves[] = {{.from = values}, {.from = {PARAMS, view[MOMENTUM]}}};
    double score[UNITS];
    uint8_t stays[UNITS];
    float result[2][LENGTH];
    const mskp_scores scores = {UNITS, score};
    const mskp_mask keep = {UNITS, stays};
    mskp_rule rule = {.round_to = 2}; /* keep even numbers of channels */
    mskp_cost dense, cut;
    mskp_plan *plan = NULL;
    mskp_graph *small = NULL, *g = mskp_graph_create(NULL);
    mskp_error err = {0};
    int wrong = 0;

    mskp_value v[2] = {mskp_input(g, "image", 3, 1, (size_t[]){LENGTH})};
    v[0] = mskp_activation(g, "relu0", describe(g, 0, v[0], 3, WIDTH), &relu);
    v[1] = mskp_activation(g, "relu1", describe(g, 1, v[0], WIDTH, WIDTH), &relu);
    v[1] = describe(g, 2, v[1], WIDTH, WIDTH);
    v[0] = mskp_combine(g, "add", MSKP_COMBINE_ADD, 2, v);
    v[0] = describe(g, 3, mskp_activation(g, "relu2", v[0], &relu), WIDTH, 1);
    mskp_output(g, mskp_activation(g, "relu3", v[0], &relu));
    if (mskp_graph_finish(g, &err)) goto failed; /* reports also what failed above */
    for (size_t i = 0; i < PARAMS * ROOM; i++)
        number[VALUES][i] = 0.5f + 0.4f * sinf((float)(i * i % 1009));
    if (mskp_measure(g, (mskp_mask){0}, &dense, NULL, &err)) goto failed;
    rule.max_macs = dense.macs / 2;
    if (mskp_score(g, &mean, values, scores, &err) ||
        mskp_select(g, scores, &rule, keep, NULL, &err))
        goto failed;
    for (int step = 0; step < 100; step++) { /* a trainer adds up its gradients, and then: */
        if (mskp_penalty_gradient(g, keep, &penalty, 0.1, values, gradients, &err)) goto failed;
        for (size_t i = 0; i < PARAMS * ROOM; i++) {
            number[MOMENTUM][i] = 0.9f * number[MOMENTUM][i] + number[GRADIENTS][i];
            number[VALUES][i] -= 0.02f * number[MOMENTUM][i], number[GRADIENTS][i] = 0;
        }
    }
    if (mskp_penalty_zero(g, keep, &penalty, values, &err)) goto failed; /* the last remainder */
    forward(g, result[0]);
    if (mskp_plan_create(g, keep, &plan, &small, &err) || mskp_plan_cut(plan, 2, moves, &err) ||
        mskp_measure(small, (mskp_mask){0}, &cut, NULL, &err))
        goto failed;
    forward(small, result[1]);
    printf("MACs: %g, budget %g, after surgery %g\n", dense.macs, rule.max_macs, cut.macs);
    printf("first output: %g, after surgery %g\n", (double)result[0][0], (double)result[1][0]);
    for (size_t i = 0; i < LENGTH; i++)
        wrong |= !(fabsf(result[1][i] - result[0][i]) < 1e-6f * result[0][i]);
    if (wrong) fprintf(stderr, "resnet_block: surgery changed the output\n");
    if (cut.macs > rule.max_macs) wrong = 1, fprintf(stderr, "resnet_block: over the budget\n");
failed:
    if (err.status) fprintf(stderr, "%s: %s\n", mskp_status_text(err.status), err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    mskp_graph_destroy(g);
    return wrong || err.status;
}

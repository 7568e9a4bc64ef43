/*
 * Whole branches: where a mask removes all channels within a residual branch, the branch vanishes.
 *
 *     image -> layer 0 -> block 0 -> block 1 -> block 2 -> mean -> class scores
 *
 * A block adds two layers to what it reads; a layer is a convolution of three taps and a batch
 * norm. The first layer of block 1 has small gammas, so mskp_select removes its channels first.
 * With mskp_rule.empty_branches it may remove the last one, too. All that is then left of the block
 * is what it adds to each channel, a constant. mskp_constants_apply writes it into the beta of the
 * block's second batch norm, and the program adds beta in place of the branch.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/constants.h>
#include <mskp/tools.h> /* mskp_penalty_zero, mskp_plan_fate */
#include <stdio.h>

enum { LENGTH = 16, WIDTH = 6, BLOCKS = 3, LAYERS = 1 + 2 * BLOCKS, PARAMS = 5 * LAYERS + 1 };
enum { ROOM = WIDTH * WIDTH * 3, UNITS = WIDTH * (1 + BLOCKS), WEIGHT = 0, GAMMA, BETA, MEAN, VAR };
static double number[PARAMS][ROOM];
static mskp_tensor view[PARAMS]; /* after surgery they have the small shapes */
static mskp_value ends[BLOCKS];  /* what each block adds */

static mskp_param parameter(mskp_graph *g, size_t k, uint32_t ndim, const size_t *shape)
{
    char name[16];
    snprintf(name, sizeof name, "p%zu", k);
    view[k] = (mskp_tensor){.data = number[k], .dtype = MSKP_DTYPE_F64, .ndim = ndim};
    for (uint32_t d = 0; d < ndim; d++) view[k].shape[d] = shape[d];
    return mskp_parameter(g, name, ndim, shape);
}

static mskp_value describe_layer(mskp_graph *g, size_t k, mskp_value in, size_t channels)
{
    mskp_param p[5];
    for (size_t i = 0; i < 5; i++)
        p[i] = parameter(g, 5 * k + i, i ? 1 : 3, (size_t[]){WIDTH, channels, 3});
    const mskp_conv_desc conv = {.weight = p[0], .pad_before = {1}, .pad_after = {1}};
    const mskp_norm_desc norm = {.scale = p[1], .shift = p[2], .mean = p[3], .variance = p[4]};
    return mskp_norm(g, NULL, mskp_conv(g, NULL, in, &conv), &norm);
}

/* y <- layer k of x, or, if only its beta is left, beta. */
static void run_layer(size_t k, mskp_fate fate, double (*x)[LENGTH], double (*y)[LENGTH])
{
    const mskp_tensor *w = &view[5 * k];
    const double *p[5];
    for (size_t i = 0; i < 5; i++) p[i] = view[5 * k + i].data;
    for (size_t o = 0; o < w[BETA].shape[0]; o++)
        for (size_t at = 0; at < LENGTH; at++) {
            const size_t inputs = w[WEIGHT].shape[1];
            double sum = 0;
            for (size_t i = 0; i < inputs; i++)
                for (size_t t = 0; t < 3; t++)
                    if (at + t >= 1 && at + t <= LENGTH)
                        sum += p[WEIGHT][(o * inputs + i) * 3 + t] * x[i][at + t - 1];
            y[o][at] = p[BETA][o];
            if (fate == MSKP_FATE_STAYS)
                y[o][at] += p[GAMMA][o] * (sum - p[MEAN][o]) / sqrt(p[VAR][o] + 1e-5);
        }
}

/* The mean of the network's first output over all positions. plan NULL: the whole network. */
static double run(const mskp_plan *plan)
{
    double x[WIDTH][LENGTH] = {{0}}, y[WIDTH][LENGTH] = {{0}}, z[WIDTH][LENGTH] = {{0}}, sum = 0;
    for (size_t i = 0; i < 3 * LENGTH; i++) z[i / LENGTH][i % LENGTH] = cos((double)i);
    run_layer(0, MSKP_FATE_STAYS, z, x);
    for (size_t b = 0; b < BLOCKS; b++) {
        const mskp_fate fate = mskp_plan_fate(plan, ends[b]);
        if (fate == MSKP_FATE_STAYS) run_layer(1 + 2 * b, fate, x, y);
        for (size_t i = 0; i < WIDTH * LENGTH; i++)
            y[i / LENGTH][i % LENGTH] = fmax(y[i / LENGTH][i % LENGTH], 0);
        run_layer(2 + 2 * b, fate, y, z);
        for (size_t i = 0; i < view[BETA].shape[0] * LENGTH; i++)
            x[i / LENGTH][i % LENGTH] =
                fmax(x[i / LENGTH][i % LENGTH] + z[i / LENGTH][i % LENGTH], 0);
    }
    for (size_t i = 0; i < view[PARAMS - 1].shape[1] * LENGTH; i++)
        sum += number[PARAMS - 1][i / LENGTH] * x[i / LENGTH][i % LENGTH] / LENGTH;
    return sum;
}

int main(void)
{
    const mskp_activation_desc relu = {.kind = MSKP_ACTIVATION_RELU};
    const mskp_pool_desc mean = {.kind = MSKP_POOL_GLOBAL_AVERAGE};
    const mskp_scoring scoring = {.reduce = MSKP_REDUCE_MEAN};
    const mskp_penalty penalty = {.roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT};
    const mskp_tensors values = {PARAMS, view};
    const mskp_move move = {.from = values};
    double score[UNITS], result[2];
    uint8_t stays[UNITS];
    const mskp_mask keep = {UNITS, stays};
    mskp_rule rule = {.empty_branches = 1};
    mskp_cost dense, cut;
    mskp_constants_report total;
    mskp_constants *constants = NULL;
    mskp_plan *plan = NULL;
    mskp_graph *small = NULL, *g = mskp_graph_create(NULL);
    mskp_error err = {0};
    int wrong = 0;

    mskp_value v[2] = {mskp_input(g, "image", 3, 1, (size_t[]){LENGTH})};
    v[0] = describe_layer(g, 0, v[0], 3);
    for (size_t b = 0; b < BLOCKS; b++) {
        v[1] = mskp_activation(g, NULL, describe_layer(g, 1 + 2 * b, v[0], WIDTH), &relu);
        v[1] = ends[b] = describe_layer(g, 2 + 2 * b, v[1], WIDTH);
        v[0] = mskp_activation(g, NULL, mskp_combine(g, NULL, MSKP_COMBINE_ADD, 2, v), &relu);
    }
    const mskp_param head = parameter(g, PARAMS - 1, 2, (size_t[]){1, WIDTH});
    v[0] = mskp_linear(g, NULL, mskp_pool(g, NULL, v[0], &mean), head, (mskp_param){0});
    mskp_output(g, v[0]);
    if (mskp_graph_finish(g, &err)) goto failed;
    for (size_t i = 0; i < PARAMS * ROOM; i++)
        number[i / ROOM][i % ROOM] = 0.5 + 0.4 * sin((double)(i * i % 1009));
    for (size_t i = 0; i < WIDTH; i++) number[5 * 3 + GAMMA][i] *= 0.01; /* layer 3: in block 1 */

    if (mskp_measure(g, (mskp_mask){0}, &dense, NULL, &err)) goto failed;
    rule.max_macs = 0.7 * dense.macs;
    if (mskp_score(g, &scoring, values, (mskp_scores){UNITS, score}, &err) ||
        mskp_select(g, (mskp_scores){UNITS, score}, &rule, keep, NULL, &err) ||
        mskp_penalty_zero(g, keep, &penalty, values, &err)) /* which training would reach */
        goto failed;
    result[0] = run(NULL);
    if (mskp_constants_create(g, keep, NULL, values, &constants, &err) ||
        mskp_constants_total(constants, &total, &err) ||
        mskp_constants_plan(constants, &plan, &small, &err) ||
        mskp_constants_apply(constants, plan, values, &err) ||
        mskp_plan_cut(plan, 1, &move, &err) ||
        mskp_measure(small, (mskp_mask){0}, &cut, NULL, &err))
        goto failed;
    result[1] = run(plan);
    for (size_t b = 0; b < BLOCKS; b++)
        printf("block %zu %s\n", b, mskp_plan_fate(plan, ends[b]) ? "adds its beta" : "stays");
    printf("MACs: %g, budget %g, after surgery %g\n", dense.macs, rule.max_macs, cut.macs);
    printf("output: %.12g, after surgery %.12g\n", result[0], result[1]);
    if (mskp_plan_fate(plan, ends[1]) != MSKP_FATE_SHIFT)
        wrong = 1, fprintf(stderr, "branches: block 1 did not vanish\n");
    if (!total.exact || !(fabs(result[1] - result[0]) < 1e-12 * fabs(result[0])))
        wrong = 1, fprintf(stderr, "branches: surgery changed the output\n");
    if (cut.macs > rule.max_macs) wrong = 1, fprintf(stderr, "branches: over the budget\n");
failed:
    if (err.status) fprintf(stderr, "branches: %s\n", err.text);
    mskp_constants_destroy(constants);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    mskp_graph_destroy(g);
    return wrong || err.status;
}

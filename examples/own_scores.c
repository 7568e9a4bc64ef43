/*
 * Scores that the trainer measures itself, and why some channels cannot be removed. The network:
 *
 *     in -> h = relu(w1 in) -> r = relu(w2 h) -> s = h + r -> boxes = w3 s -> yolo
 *                                                         \-> t = relu(w4 s) -> out = w5 t
 *
 * mskp does not know yolo and therefore pins what yolo reads. The score of a channel is the mean of
 * its activations, which are never negative. Some channels are dead here, never active, so they can
 * be removed without a trace.
 *
 * mskp_score_channels is the way for every score that mskp_score cannot compute: from activations,
 * gradients, or pairs of filters. Measure one number per channel of a value, and mskp reduces them
 * to one per unit.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/methods.h>   /* mskp_channel_stats_*, mskp_score_channels */
#include <mskp/operators.h> /* mskp_opaque */
#include <mskp/tools.h>
#include <stdbool.h>
#include <stdio.h>

enum { IN = 4, WIDTH = 8, BOXES = 3, OUT = 2, PARAMS = 5, UNITS = 2 * WIDTH, INPUTS = 50 };
static const size_t shape[PARAMS][2] = {
    {WIDTH, IN}, {WIDTH, WIDTH}, {BOXES, WIDTH}, {WIDTH, WIDTH}, {OUT, WIDTH}};
static float weight[PARAMS][WIDTH * WIDTH];
static mskp_tensor view[PARAMS];
static mskp_channel_stats seen[2][3][WIDTH]; /* by two ranks, of the channels of h, r and t */

/* y <- w x, of one input. */
static void linear(size_t k, const float *x, float *y)
{
    const size_t out = view[k].shape[0], in = view[k].shape[1];
    for (size_t o = 0; o < out; o++) {
        y[o] = 0;
        for (size_t i = 0; i < in; i++) y[o] += weight[k][o * in + i] * x[i];
    }
}

/* y <- relu(w x), with statistics of each channel unless stats is NULL. */
static void active(size_t k, const float *x, float *y, mskp_channel_stats *stats, mskp_error *err)
{
    const size_t out = view[k].shape[0];
    const mskp_tensor batch = {.data = y, .ndim = 1, .shape = {out}}; /* [N][C][H][W] is as good */
    linear(k, x, y);
    for (size_t o = 0; o < out; o++) y[o] = fmaxf(y[o], 0);
    if (stats) mskp_channel_stats_add(NULL, &batch, 0, out, stats, err);
}

/* Runs all inputs, which are never negative, and returns the sum of all results. */
static double run(bool measure, mskp_error *err)
{
    double sum = 0;
    for (int n = 0; n < INPUTS; n++) {
        float x[IN], h[WIDTH], r[WIDTH], t[WIDTH], boxes[BOXES], out[OUT];
        mskp_channel_stats(*stats)[WIDTH] = seen[n % 2];
        for (int i = 0; i < IN; i++) x[i] = 1 + cosf((float)(n * IN + i));
        active(0, x, h, measure ? stats[0] : NULL, err);
        active(1, h, r, measure ? stats[1] : NULL, err);
        for (size_t j = 0; j < view[0].shape[0]; j++) r[j] += h[j];
        linear(2, r, boxes);
        active(3, r, t, measure ? stats[2] : NULL, err);
        linear(4, t, out);
        for (int i = 0; i < BOXES; i++) sum += (double)boxes[i];
        for (int i = 0; i < OUT; i++) sum += (double)out[i];
    }
    return sum;
}

int main(void)
{
    const mskp_activation_desc relu = {.kind = MSKP_ACTIVATION_RELU};
    const mskp_param none = {0};
    const mskp_rule dead = {.use_threshold = 1, .threshold = 0};
    double score[UNITS], mean[3][WIDTH];
    uint8_t stays[UNITS];
    const mskp_scores scores = {UNITS, score};
    const mskp_mask keep = {UNITS, stays};
    mskp_param w[PARAMS];
    mskp_coupling c;
    size_t members, size;
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    mskp_graph *g = mskp_graph_create(NULL);
    int wrong = 0;
    for (size_t k = 0; k < PARAMS; k++) {
        static const char *const name[PARAMS] = {"w1", "w2", "w3", "w4", "w5"};
        w[k] = mskp_parameter(g, name[k], 2, shape[k]);
        view[k] = (mskp_tensor){.data = weight[k], .ndim = 2, .shape = {shape[k][0], shape[k][1]}};
        for (size_t i = 0; i < WIDTH * WIDTH; i++) weight[k][i] = sinf((float)(i * i % 101 + k));
    }
    for (size_t i = 0; i < IN; i++) weight[0][5 * IN + i] = -1; /* channel 5 of h is dead, */
    for (size_t i = 0; i < WIDTH; i++)
        weight[1][5 * WIDTH + i] = weight[3][2 * WIDTH + i] = -1; /* and 5 of r, and 2 of t */
    const mskp_value in = mskp_input(g, "in", IN, 0, NULL);
    const mskp_value h = mskp_activation(g, "h", mskp_linear(g, "w1in", in, w[0], none), &relu);
    const mskp_value r = mskp_activation(g, "r", mskp_linear(g, "w2h", h, w[1], none), &relu);
    const mskp_value s = mskp_combine(g, "s", MSKP_COMBINE_ADD, 2, (mskp_value[]){h, r});
    const mskp_value boxes = mskp_linear(g, "boxes", s, w[2], none);
    mskp_opaque(g, "yolo",
                &(mskp_opaque_desc){.op = "yolo", .n = 1, .inputs = &boxes, .channels = 1});
    const mskp_value t = mskp_activation(g, "t", mskp_linear(g, "w4s", s, w[3], none), &relu);
    mskp_output(g, mskp_linear(g, "out", t, w[4], none));
    if (mskp_graph_finish(g, &err)) goto failed;

    /* Why can't a channel be removed? And what is removed together with channel 5 of s? */
    for (uint32_t id = 1; id <= mskp_graph_counts(g).values; id++) {
        if (mskp_value_coupling(g, (mskp_value){id}, &c, &err)) goto failed;
        const char *by = mskp_value_name(g, c.pinned_by); /* NULL for {0}, nothing is pinned */
        printf("%-5s %zu channels, %zu units%s%s\n", c.name, c.channels, c.units,
               by ? ", pinned by " : "", by ? by : "");
    }
    const uint32_t unit5 = mskp_value_units(g, mskp_value_find(g, "s"), &size)[5];
    const uint32_t dead_t = mskp_value_units(g, t, &size)[2];
    const mskp_member *member = mskp_unit_members(g, unit5, &members);
    const uint32_t family = mskp_unit_families(g, NULL)[unit5];
    mskp_family_units(g, family, &size);
    printf("unit %u, one of %zu of family %u, is", unit5, size, family);
    for (size_t i = 0; i < members; i++)
        printf(" %s[%s%u]", mskp_param_name(g, member[i].param), member[i].axis ? ":, " : "",
               member[i].index);

    const double before = run(true, &err);
    if (err.status || mskp_channel_stats_merge(3 * WIDTH, seen[1][0], seen[0][0], &err))
        goto failed;
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < WIDTH; i++) mean[k][i] = seen[0][k][i].mean;
    const mskp_channel_scores given[] = {
        {h, WIDTH, mean[0]}, {r, WIDTH, mean[1]}, {t, WIDTH, mean[2]}};
    if (mskp_score_channels(g, 3, given, MSKP_REDUCE_MAX, scores, &err) ||
        mskp_select(g, scores, &dead, keep, NULL, &err) ||
        mskp_plan_create(g, keep, &plan, NULL, &err) ||
        mskp_plan_cut(plan, 1, &(mskp_move){.from = {PARAMS, view}}, &err))
        goto failed;
    const double after = run(false, &err);
    printf("\nsum of all results: %g, and %g without dead units\n", before, after);
    if (stays[unit5] || stays[dead_t] || members != 5 || size != WIDTH ||
        fabs(after - before) > 1e-9 * fabs(before))
        wrong = 1, fprintf(stderr, "own_scores: dead units stay, or left a trace\n");
failed:
    if (err.status) fprintf(stderr, "own_scores: %s\n", err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    return wrong || err.status;
}

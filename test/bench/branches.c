/*
 * What whole branches are worth: branches WEIGHTS CIFAR KEEP [CALIBRATION [TEST [blocks]]]. A
 * trained CIFAR ResNet is scored by the squared Taylor sums of its batch norms (mskp_score_taylor)
 * over so many batches of 64 training images, and cut at once, with and without
 * mskp_rule.empty_branches, to the fraction KEEP of its multiply-accumulates. With `blocks`, each
 * channel within a block scores what all channels of the block score together, and the residual
 * streams are locked, so that blocks leave one after the other. Printed are the accuracy right
 * after the cut, on the first TEST test images, and the time of an image of each network, measured
 * in turn.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mskp/methods.h"
#include "mskp_convnet.h"
#include "timing.h"

enum { BATCH = 64, ROUNDS = 7 };

typedef struct network {
    cn_net *net;
    mskp_graph *graph;
    mskp_tensors values, gradients;
    double seconds[ROUNDS];
} network;

static int fail(const char *text)
{
    fprintf(stderr, "branches: %s\n", text);
    return 1;
}

static int open_network(network *n, const char *weights, mskp_error *err)
{
    cn_error error;
    const cn_options options = {.batch = BATCH, .threads = 2};
    n->net = cn_load(weights, &options, &error);
    if (!n->net) return fail(error.text);
    n->graph = mskp_graph_create(NULL);
    cn_describe(n->net, n->graph);
    if (mskp_graph_finish(n->graph, err)) return fail(err->text);
    n->values =
        (mskp_tensors){n->net->param_count, calloc(n->net->param_count, sizeof *n->values.view)};
    n->gradients =
        (mskp_tensors){n->net->param_count, calloc(n->net->param_count, sizeof *n->values.view)};
    if (!n->values.view || !n->gradients.view) return fail("no memory");
    cn_values(n->net, n->values);
    cn_gradients(n->net, n->gradients);
    return 0;
}

/* The batch norms take the running statistics, which must not move: they are put back. */
static int score(network *n, const cn_data *data, size_t batches, mskp_scores scores,
                 mskp_error *err)
{
    static cn_real images[BATCH * CN_PIXELS];
    uint8_t labels[BATCH];
    size_t indices[BATCH];
    cn_random random = {1};
    memset(scores.unit, 0, scores.n * sizeof *scores.unit);
    for (size_t b = 0; b < batches; b++) {
        for (size_t i = 0; i < BATCH; i++) indices[i] = (b * BATCH + i) % data->count;
        cn_draw(data, BATCH, indices, &random, images, labels);
        cn_forward(n->net, BATCH, images, true);
        cn_loss(n->net, labels, NULL);
        cn_backward(n->net);
        if (mskp_score_taylor(n->graph, MSKP_TAYLOR_SQUARED_SUM, MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT,
                              n->values, n->gradients, scores, err))
            return fail(err->text);
    }
    return 0;
}

/* Each unit of a family within a block <- the sum over the family; locked <- the streams. */
static void score_blocks(const network *n, mskp_scores scores, uint8_t *locked)
{
    const mskp_counts counts = mskp_graph_counts(n->graph);
    memset(locked, 0, scores.n);
    for (uint32_t k = 0; k < n->net->layer_count; k++) {
        size_t channels = 0;
        const uint32_t *unit = mskp_value_units(n->graph, (mskp_value){k + 1}, &channels);
        for (size_t c = 0; n->net->layers[k].kind == CN_ADD && c < channels; c++)
            if (unit[c] != MSKP_PINNED) locked[unit[c]] = 1;
    }
    for (size_t f = 0; f < counts.families; f++) {
        size_t size;
        double sum = 0;
        const uint32_t *unit = mskp_family_units(n->graph, f, &size);
        for (size_t i = 0; i < size; i++) sum += scores.unit[unit[i]];
        for (size_t i = 0; i < size; i++) scores.unit[unit[i]] = sum;
    }
}

static int prune(network *n, const mskp_rule *rule, mskp_scores scores, size_t *vanished,
                 mskp_error *err)
{
    const mskp_constants_desc desc = {.way = MSKP_CONSTANTS_FOLD, .zeroed = MSKP_ROLE_SCALE};
    mskp_mask keep = {scores.n, malloc(scores.n)};
    mskp_constants *constants = NULL;
    mskp_plan *plan = NULL;
    cn_error error = {""};
    int bad = !keep.unit || mskp_select(n->graph, scores, rule, keep, NULL, err) ||
              mskp_constants_create(n->graph, keep, &desc, n->values, &constants, err) ||
              mskp_constants_plan(constants, &plan, NULL, err);
    const size_t layers = n->net->layer_count;
    bad = bad || !cn_prune(n->net, n->graph, plan, constants, &error);
    *vanished = (layers - n->net->layer_count) / 4; /* two convolutions, a norm, and relu */
    mskp_constants_destroy(constants);
    mskp_plan_destroy(plan);
    free(keep.unit);
    return bad ? fail(error.text[0] ? error.text : err->text) : 0;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *seconds)
{
    double sorted[ROUNDS];
    memcpy(sorted, seconds, sizeof sorted);
    qsort(sorted, ROUNDS, sizeof *sorted, by_size);
    return sorted[ROUNDS / 2];
}

/* The processor time of an image; the networks take turns, so that all see the same machine. */
static void measure(network *all, size_t n)
{
    static cn_real images[BATCH * CN_PIXELS];
    for (size_t r = 0; r < ROUNDS; r++)
        for (size_t k = 0; k < n; k++) {
            const double start = timing_cpu();
            for (int i = 0; i < 2; i++) cn_forward(all[k].net, BATCH, images, false);
            all[k].seconds[r] = (timing_cpu() - start) / (2 * BATCH);
        }
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"dense", "channels", "branches"};
    network all[3] = {{0}};
    size_t vanished[3] = {0};
    mskp_cost dense = {0, 0};
    mskp_error err = {0};
    cn_error error = {""};
    cn_data training = {0}, test = {0};
    if (argc < 4) return puts("branches WEIGHTS CIFAR KEEP [CALIBRATION [TEST]]: not run") < 0;
    const double keep = strtod(argv[3], NULL);
    const size_t batches = argc > 4 ? strtoul(argv[4], NULL, 10) : 10;
    if (!cn_data_cifar10(argv[2], true, &training, &error) ||
        !cn_data_cifar10(argv[2], false, &test, &error))
        return fail(error.text);
    if (argc > 5 && strtoul(argv[5], NULL, 10) < test.count)
        test.count = strtoul(argv[5], NULL, 10);
    for (size_t k = 0; k < 3; k++)
        if (open_network(&all[k], argv[1], &err)) return 1;
    const size_t units = mskp_graph_counts(all[0].graph).units;
    const mskp_scores scores = {units, malloc(units * sizeof *scores.unit)};
    const mskp_mask locked = {units, calloc(units, 1)};
    if (!scores.unit || !locked.unit) return fail("no memory");
    if (score(&all[0], &training, batches, scores, &err)) return 1;
    if (argc > 6) score_blocks(&all[0], scores, locked.unit);
    cn_destroy(all[0].net); /* its running statistics have moved */
    mskp_graph_destroy(all[0].graph);
    if (open_network(&all[0], argv[1], &err)) return 1;
    if (mskp_measure(all[0].graph, (mskp_mask){0}, &dense, NULL, &err)) return fail(err.text);
    for (uint32_t k = 1; k < 3; k++) {
        const mskp_rule rule = {.max_macs = keep * dense.macs,
                                .min_channels = 2,
                                .locked = locked,
                                .empty_branches = k == 2};
        if (prune(&all[k], &rule, scores, &vanished[k], &err)) return 1;
    }
    measure(all, 3);
    printf("%-10s %8s %8s %10s %10s %8s\n", "", "blocks", "MACs", "params", "accuracy", "ms/image");
    for (size_t k = 0; k < 3; k++) {
        mskp_graph *g = mskp_graph_create(NULL);
        mskp_cost cost = {0, 0};
        cn_describe(all[k].net, g);
        if (mskp_graph_finish(g, &err) || mskp_measure(g, (mskp_mask){0}, &cost, NULL, &err))
            return fail(err.text);
        const size_t right = cn_evaluate(all[k].net, &test, NULL, NULL);
        printf("%-10s %8zu %7.1f%% %9.1f%% %9.2f%% %8.3f\n", names[k], vanished[k],
               100 * cost.macs / dense.macs, 100 * cost.params / dense.params,
               100 * (double)right / (double)test.count, 1e3 * median(all[k].seconds));
        mskp_graph_destroy(g);
        mskp_graph_destroy(all[k].graph);
        cn_destroy(all[k].net);
        free(all[k].values.view);
        free(all[k].gradients.view);
    }
    free(scores.unit);
    free(locked.unit);
    cn_data_free(&training);
    cn_data_free(&test);
    return 0;
}

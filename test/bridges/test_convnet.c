/* The bridge of the small runtime: the description fits the network, and a network that is cut by a
 * plan computes what it computed before. */
#include "mskp_convnet.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 5 };

static const double close_enough = sizeof(cn_real) == sizeof(double) ? 1e-11 : 1e-4;

/* Layers that ResNets do not have. */
static const cn_layer BRANCHED[] = {
    {.kind = CN_INPUT, .name = "x", .channels = 3, .height = CN_SIDE, .width = CN_SIDE},
    {.kind = CN_CONV, .name = "stem", .in = {0}, .channels = 8, .size = {3, 3}, .stride = {2, 2}},
    {.kind = CN_BATCH_NORM, .name = "stem.bn", .in = {1}},
    {.kind = CN_RELU, .name = "stem.relu", .in = {2}},
    {.kind = CN_CONV, .name = "a", .in = {3}, .channels = 6, .size = {1, 3}, .pad = {0, 1}},
    {.kind = CN_BATCH_NORM, .name = "a.bn", .in = {4}},
    {.kind = CN_SIGMOID, .name = "a.sigmoid", .in = {5}},
    {.kind = CN_CONV, .name = "b", .in = {3}, .channels = 5, .size = {3, 1}, .pad = {1, 0}},
    {.kind = CN_BATCH_NORM, .name = "b.bn", .in = {7}},
    {.kind = CN_RELU, .name = "b.relu", .in = {8}},
    {.kind = CN_POOL_MAX, .name = "c", .in = {3}, .size = {3, 3}, .pad = {1, 1}},
    {.kind = CN_CONCAT, .name = "abc", .in = {6, 9, 10}, .inputs = 3},
    {.kind = CN_CONV, .name = "up", .in = {11}, .channels = 8},
    {.kind = CN_BATCH_NORM, .name = "up.bn", .in = {12}},
    {.kind = CN_SCALE, .name = "up.scale", .in = {13}, .factor = 0.3},
    {.kind = CN_ADD, .name = "add", .in = {3, 14}},
    {.kind = CN_POOL_AVERAGE, .name = "small", .in = {15}, .size = {3, 3}, .stride = {3, 3}},
    {.kind = CN_UPSAMPLE, .name = "large", .in = {16}, .size = {2, 3}},
    {.kind = CN_CONV, .name = "d", .in = {17}, .channels = 7, .size = {3, 3}},
    {.kind = CN_BATCH_NORM, .name = "d.bn", .in = {18}},
    {.kind = CN_RELU, .name = "d.relu", .in = {19}},
    {.kind = CN_GLOBAL_AVERAGE, .name = "average", .in = {20}},
    {.kind = CN_LINEAR, .name = "vector", .in = {21}, .channels = 6, .bias = true},
    {.kind = CN_NORMALIZE, .name = "unit", .in = {22}},
    {.kind = CN_LINEAR, .name = "classes", .in = {23}, .channels = 10, .bias = true},
};
enum { BRANCHED_LAYERS = sizeof BRANCHED / sizeof *BRANCHED };

/* A ResNet; depth 0: BRANCHED. */
static cn_net *make(size_t depth)
{
    cn_error err = {""};
    cn_random random = {depth};
    const cn_options options = {.batch = N, .threads = 2, .seed = 1};
    cn_net *net = depth ? cn_resnet(depth, 10, &options, &err)
                        : cn_create("branched", BRANCHED_LAYERS, BRANCHED, &options, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    for (size_t i = 0; i < net->param_count;
         i++) /* statistics, gammas and betas of a network that has seen something */
        for (size_t k = 0; net->params[i].dims == 1 && k < net->params[i].count; k++)
            net->params[i].value[k] += (cn_real)(0.3 * cn_random_unit(&random));
    return net;
}

static mskp_graph *describe(const cn_net *net)
{
    mskp_error error = {0};
    mskp_graph *graph = mskp_graph_create(
        &(mskp_services){.context = (void *)(uintptr_t)net, .parallel_for = cn_parallel_for});
    ck_assert_ptr_nonnull(graph);
    cn_describe(net, graph);
    ck_assert_msg(mskp_graph_finish(graph, &error) == MSKP_OK, "%s", error.text);
    return graph;
}

static void random_images(cn_random *random, cn_real *images)
{
    for (size_t i = 0; i < N * CN_PIXELS; i++) images[i] = (cn_real)cn_random_normal(random);
}

START_TEST(description)
{
    for (size_t depth = 8; depth <= 20; depth += 6) {
        cn_net *net = make(depth);
        mskp_graph *graph = describe(net);
        const mskp_counts counts = mskp_graph_counts(graph);
        mskp_cost cost = {0};
        double macs = 0, elements = 0;
        ck_assert_uint_eq(counts.params, net->param_count);
        ck_assert_uint_eq(counts.values, net->layer_count);
        /* 16 + 32 + 64 of the streams (the wider ones contain the narrower), and the first
         * convolution of each block */
        ck_assert_uint_eq(counts.units, 64 + (depth - 2) / 6 * (16 + 32 + 64));
        for (size_t i = 0; i < net->param_count; i++) {
            const cn_param *p = &net->params[i];
            size_t shape[MSKP_MAX_DIMS];
            ck_assert_uint_eq(mskp_param_find(graph, p->name).id, i + 1);
            ck_assert_uint_eq(mskp_param_shape(graph, (mskp_param){(uint32_t)i + 1}, shape),
                              p->dims);
            ck_assert_mem_eq(shape, p->shape, p->dims * sizeof *shape);
        }
        for (size_t i = 0; i < net->layer_count; i++) {
            const cn_layer *l = &net->layers[i];
            mskp_coupling info;
            size_t channels, spatial[MSKP_MAX_SPATIAL];
            ck_assert_uint_eq(mskp_value_find(graph, l->name).id, i + 1);
            ck_assert_int_eq(mskp_value_coupling(graph, (mskp_value){(uint32_t)i + 1}, &info, NULL),
                             MSKP_OK);
            ck_assert_uint_eq(info.channels, l->channels);
            const uint32_t axes =
                mskp_value_shape(graph, (mskp_value){(uint32_t)i + 1}, &channels, spatial);
            ck_assert_uint_eq(channels, l->channels);
            for (uint32_t axis = 0; axis < axes; axis++)
                ck_assert_uint_eq(spatial[axis], axis ? l->width : l->height);
            if (l->kind == CN_CONV || l->kind == CN_LINEAR)
                macs += (double)(net->params[l->weight].count * l->height * l->width);
        }
        for (size_t i = 0; i < net->param_count; i++)
            elements += net->params[i].trained ? (double)net->params[i].count : 0;
        ck_assert_int_eq(mskp_measure(graph, (mskp_mask){0}, &cost, NULL, NULL), MSKP_OK);
        ck_assert(cost.macs == macs);
        if (depth == 20) ck_assert(macs == 40551040 && elements == 269722);
        mskp_graph_destroy(graph);
        cn_destroy(net);
    }
}
END_TEST

/* Sets gamma and beta of the removed units to 0, so that the cut changes nothing but the size. In
 * BRANCHED, where sigmoids make constants of zeros, all their weights. */
static void silence(const cn_net *net, const mskp_graph *graph, size_t units, const uint8_t *keep)
{
    if (!strcmp(net->model, "branched")) {
        const mskp_tensors values = {net->param_count,
                                     calloc(net->param_count, sizeof(mskp_tensor))};
        ck_assert_ptr_nonnull(values.view);
        cn_values(net, values);
        ck_assert_int_eq(mskp_penalty_zero(graph, (mskp_mask){units, (uint8_t *)(uintptr_t)keep},
                                           &(mskp_penalty){.roles = MSKP_ROLES_UNIT}, values, NULL),
                         MSKP_OK);
        free(values.view);
        return;
    }
    for (size_t u = 0; u < units; u++) {
        size_t count;
        const mskp_member *m = mskp_unit_members(graph, u, &count);
        for (size_t i = 0; i < count && !keep[u]; i++)
            if (m[i].roles & (MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT))
                net->params[m[i].param.id - 1].value[m[i].index] = 0;
    }
}

/* In a file and back. cn_load knows ResNets alone. */
static void check_loaded(const cn_net *net, const cn_real *images, const cn_real *logits)
{
    char path[64];
    cn_error err = {""};
    if (!strcmp(net->model, "branched")) return;
    snprintf(path, sizeof path, "/tmp/test_describe_%ld", (long)getpid());
    ck_assert_msg(cn_save(net, path, 0, NULL, &err), "%s", err.text);
    cn_net *again = cn_load(path, &(cn_options){.batch = N}, &err);
    remove(path);
    ck_assert_msg(again != NULL, "%s", err.text);
    ck_assert_mem_eq(cn_forward(again, N, images, false), logits, N * 10 * sizeof *logits);
    cn_destroy(again);
}

static void check_small_graph(const cn_net *net, const mskp_graph *small)
{
    mskp_graph *graph = describe(net);
    const mskp_counts a = mskp_graph_counts(graph), b = mskp_graph_counts(small);
    ck_assert_mem_eq(&a, &b, sizeof a);
    for (uint32_t id = 1; id <= a.params; id++) {
        size_t p[MSKP_MAX_DIMS] = {0}, q[MSKP_MAX_DIMS] = {0};
        ck_assert_uint_eq(mskp_param_shape(graph, (mskp_param){id}, p),
                          mskp_param_shape(small, (mskp_param){id}, q));
        ck_assert_mem_eq(p, q, sizeof p);
    }
    mskp_graph_destroy(graph);
}

/* Three steps of training lower the loss, which needs the gradients of the small network. */
static void check_training(cn_net *net, const cn_real *images)
{
    const uint8_t labels[N] = {0, 1, 2, 3, 4};
    cn_forward(net, N, images, true);
    const double before = cn_loss(net, labels, NULL);
    for (int step = 0; step < 3; step++) {
        cn_backward(net);
        cn_sgd_step(net, &(cn_sgd){.rate = 0.01});
        cn_forward(net, N, images, true);
    }
    ck_assert_double_lt(cn_loss(net, labels, NULL), before);
}

static void prune_once(size_t depth, double fraction, uint64_t seed)
{
    cn_random random = {seed};
    cn_error err = {""};
    mskp_error error = {0};
    cn_net *net = make(depth);
    mskp_graph *graph = describe(net), *small = NULL;
    mskp_plan *plan = NULL;
    const size_t units = mskp_graph_counts(graph).units;
    double *scores = malloc(units * sizeof *scores);
    uint8_t *keep = malloc(units);
    static cn_real images[N * CN_PIXELS];
    cn_real logits[N * 10];
    ck_assert(scores && keep);
    for (size_t u = 0; u < units; u++) scores[u] = cn_random_unit(&random);
    ck_assert_msg(mskp_select(graph, scores_of(units, scores),
                              &(mskp_rule){.remove_fraction = fraction}, mask_of(units, keep), NULL,
                              &error) == MSKP_OK,
                  "%s", error.text);
    silence(net, graph, units, keep);
    for (size_t i = 0; i < net->param_count; i++)
        for (size_t k = 0; net->params[i].trained && k < net->params[i].count; k++)
            net->params[i].momentum[k] = 2 * net->params[i].value[k];
    random_images(&random, images);
    memcpy(logits, cn_forward(net, N, images, false), sizeof logits);

    ck_assert_msg(mskp_plan_create(graph, mask_of(units, keep), &plan, &small, &error) == MSKP_OK,
                  "%s", error.text);
    ck_assert_msg(cn_prune(net, graph, plan, NULL, &err), "%s", err.text);
    const cn_real *after = cn_forward(net, N, images, false);
    for (size_t i = 0; i < N * 10; i++)
        ck_assert_double_lt(fabs((double)(after[i] - logits[i])),
                            close_enough * (1 + fabs((double)logits[i])));
    for (size_t i = 0; i < net->param_count; i++)
        for (size_t k = 0; net->params[i].trained && k < net->params[i].count; k++)
            ck_assert(net->params[i].momentum[k] == 2 * net->params[i].value[k]);
    check_small_graph(net, small);
    check_loaded(net, images, after);
    /* A plan for another network: refused, and nothing has changed. */
    memcpy(logits, after, sizeof logits);
    ck_assert(!cn_prune(net, graph, plan, NULL, &err));
    ck_assert_uint_ne(strlen(err.text), 0);
    ck_assert_mem_eq(cn_forward(net, N, images, false), logits, sizeof logits);
    check_training(net, images);
    free(scores);
    free(keep);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    mskp_graph_destroy(graph);
    cn_destroy(net);
}

START_TEST(surgery)
{
    for (uint64_t seed = 1; seed <= 6; seed++) prune_once(8, 0.15 * (double)seed, seed);
    prune_once(20, 0.5, 7);
    for (uint64_t seed = 1; seed <= 6; seed++) prune_once(0, 0.13 * (double)seed, seed);
}
END_TEST

/* The largest difference of logits between the network with gamma 0 in the removed units, and the
 * cut network. beta is not 0, so the removed channels output constants. */
static double cut_with_constants(size_t depth, mskp_constants_way way, uint64_t seed,
                                 mskp_constants_report *total)
{
    cn_random random = {seed};
    cn_error err = {""};
    mskp_error error = {0};
    cn_net *net = make(depth);
    mskp_graph *graph = describe(net);
    const size_t units = mskp_graph_counts(graph).units, params = net->param_count;
    const mskp_scores scores = {units, malloc(units * sizeof(double))};
    const mskp_mask selected = {units, malloc(units)}, none = {0, NULL};
    const mskp_tensors values = {params, calloc(params, sizeof(mskp_tensor))};
    const mskp_rule rule = {.remove_fraction = 0.3 + 0.1 * (double)(seed % 4)};
    const mskp_constants_desc desc = {.way = way, .zeroed = MSKP_ROLE_SCALE};
    const mskp_penalty gamma = {.roles = MSKP_ROLE_SCALE};
    mskp_constants *constants;
    mskp_plan *plan;
    static cn_real images[N * CN_PIXELS];
    cn_real dense[N * 10], before[N * 10];
    double difference = 0;
    ck_assert(scores.unit && selected.unit && values.view);
    for (size_t u = 0; u < units; u++) scores.unit[u] = cn_random_unit(&random);
    cn_values(net, values);
    ck_assert_msg(!mskp_constants_select(graph, scores, &rule, &desc, values, &constants, &error) &&
                      !mskp_constants_masks(constants, selected, none, none, &error) &&
                      !mskp_constants_total(constants, total, &error) &&
                      !mskp_constants_plan(constants, &plan, NULL, &error),
                  "seed %d: %s", (int)seed, error.text);

    /* The plan alone is refused, because the constants would be lost. Nothing changes. */
    random_images(&random, images);
    memcpy(dense, cn_forward(net, N, images, false), sizeof dense);
    ck_assert(!cn_prune(net, graph, plan, NULL, &err));
    ck_assert_uint_ne(strlen(err.text), 0);
    ck_assert_mem_eq(cn_forward(net, N, images, false), dense, sizeof dense);

    cn_real *copies = malloc(sizeof(cn_real));
    for (size_t i = 0, used = 0; i < params; used += net->params[i++].count) {
        copies = realloc(copies, (used + net->params[i].count) * sizeof *copies);
        ck_assert_ptr_nonnull(copies);
        memcpy(copies + used, net->params[i].value, net->params[i].count * sizeof *copies);
    }
    ck_assert_msg(!mskp_penalty_zero(graph, selected, &gamma, values, &error), "%s", error.text);
    memcpy(before, cn_forward(net, N, images, false), sizeof before);
    for (size_t i = 0, used = 0; i < params; used += net->params[i++].count)
        memcpy(net->params[i].value, copies + used, net->params[i].count * sizeof *copies);

    ck_assert_msg(cn_prune(net, graph, plan, constants, &err), "seed %d: %s", (int)seed, err.text);
    const cn_real *after = cn_forward(net, N, images, false);
    for (size_t i = 0; i < N * 10; i++)
        difference =
            fmax(difference, fabs((double)(after[i] - before[i])) / (1 + fabs((double)before[i])));
    free(copies);
    free(scores.unit);
    free(selected.unit);
    free(values.view);
    mskp_constants_destroy(constants);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(graph);
    cn_destroy(net);
    return difference;
}

/* Merged constants leave the outputs as they were; dropped ones do not. */
START_TEST(constants)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        mskp_constants_report merged, dropped;
        const double exact = cut_with_constants(8, MSKP_CONSTANTS_MERGE, seed, &merged);
        const double lossy = cut_with_constants(8, MSKP_CONSTANTS_DROP, seed, &dropped);
        ck_assert_msg(merged.exact && merged.merged > 0, "seed %d", (int)seed);
        ck_assert_msg(exact < close_enough, "seed %d: off by %g", (int)seed, exact);
        ck_assert_msg(!dropped.exact && dropped.dropped > 0, "seed %d", (int)seed);
        ck_assert_msg(lossy > 1e-2, "seed %d: off by %g only", (int)seed, lossy);
        const double branched = cut_with_constants(0, MSKP_CONSTANTS_MERGE, seed, &merged);
        ck_assert_msg(merged.exact && merged.folded + merged.merged > 0, "branched, seed %d",
                      (int)seed);
        ck_assert_msg(branched < close_enough, "branched, seed %d: off by %g", (int)seed, branched);
    }
}
END_TEST

/* ---- Whole branches ---- */

/* A concatenation does without a branch that vanishes. */
START_TEST(concatenation)
{
    cn_random random = {4};
    cn_error err = {""};
    mskp_error error = {0};
    cn_net *net = make(0);
    mskp_graph *graph = describe(net);
    const size_t units = mskp_graph_counts(graph).units, layers = net->layer_count;
    const mskp_mask keep = {units, malloc(units)};
    mskp_plan *plan = NULL;
    static cn_real images[N * CN_PIXELS];
    cn_real before[N * 10];
    size_t n;
    ck_assert_ptr_nonnull(keep.unit);
    memset(keep.unit, 1, units);
    const uint32_t *unit = mskp_value_units(graph, mskp_value_find(graph, "b"), &n);
    for (size_t i = 0; i < n; i++) keep.unit[unit[i]] = 0;
    silence(net, graph, units, keep.unit);
    random_images(&random, images);
    memcpy(before, cn_forward(net, N, images, false), sizeof before);
    ck_assert_msg(!mskp_plan_create(graph, keep, &plan, NULL, &error) &&
                      cn_prune(net, graph, plan, NULL, &err),
                  "%s %s", error.text, err.text);
    ck_assert_uint_eq(net->layer_count, layers - 3); /* a convolution, a norm, and relu */
    ck_assert_uint_eq(net->layers[cn_find_layer(net, "abc")].inputs, 2);
    const cn_real *after = cn_forward(net, N, images, false);
    for (size_t i = 0; i < N * 10; i++)
        ck_assert_double_lt(fabs((double)(after[i] - before[i])),
                            close_enough * (1 + fabs((double)before[i])));
    check_training(net, images);
    free(keep.unit);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(graph);
    cn_destroy(net);
}
END_TEST

static double training_loss(cn_net *net, const cn_real *images)
{
    const uint8_t labels[N] = {0, 1, 2, 3, 4};
    cn_forward(net, N, images, true);
    return cn_loss(net, labels, NULL);
}

/* The gradient of what is left of a block, against differences. */
static void check_shift_gradient(cn_net *net, const char *name, const cn_real *images)
{
    const size_t i = cn_find_param(net, name);
    ck_assert_uint_ne(i, CN_NONE);
    const double step = sizeof(cn_real) == 8 ? 1e-5 : 1e-2;
    for (size_t k = 0; k < net->params[i].count; k += 5) {
        cn_real *x = &net->params[i].value[k];
        const cn_real was = *x;
        training_loss(net, images);
        cn_backward(net);
        const double slope = (double)net->params[i].gradient[k];
        *x = was + (cn_real)step;
        const double above = training_loss(net, images);
        *x = was - (cn_real)step;
        const double below = training_loss(net, images);
        *x = was;
        ck_assert_double_lt(fabs((above - below) / (2 * step) - slope),
                            (sizeof(cn_real) == 8 ? 1e-6 : 2e-2) * (1 + fabs(slope)));
    }
}

/* Blocks vanish; what they add stays. The network is what it was, in memory and in a file. */
START_TEST(branches)
{
    static const char *const blocks[][2] = {
        {"layer1.0.", ""}, {"layer2.0.", ""}, {"layer1.0.", "layer3.0."}};
    for (size_t c = 0; c < sizeof blocks / sizeof *blocks; c++) {
        cn_random random = {c + 1};
        cn_error err = {""};
        mskp_error error = {0};
        cn_net *net = make(8);
        mskp_graph *graph = describe(net);
        const size_t units = mskp_graph_counts(graph).units, layers = net->layer_count;
        const mskp_mask keep = {units, malloc(units)};
        const mskp_tensors values = {net->param_count,
                                     calloc(net->param_count, sizeof(mskp_tensor))};
        mskp_constants_report total;
        mskp_constants *moved = NULL;
        mskp_plan *plan = NULL;
        static cn_real images[N * CN_PIXELS];
        cn_real before[N * 10];
        char name[CN_NAME_SIZE];
        size_t taken = 0;
        ck_assert(keep.unit && values.view);
        memset(keep.unit, 1, units);
        for (int b = 0; b < 2; b++) {
            size_t n;
            snprintf(name, sizeof name, "%sconv1", blocks[c][b]);
            if (!*blocks[c][b]) continue;
            const uint32_t *unit = mskp_value_units(graph, mskp_value_find(graph, name), &n);
            for (size_t i = 0; i < n; i++) keep.unit[unit[i]] = 0;
            taken += 4; /* two convolutions, a norm, and relu */
        }
        silence(net, graph, units, keep.unit);
        random_images(&random, images);
        memcpy(before, cn_forward(net, N, images, false), sizeof before);
        cn_values(net, values);
        ck_assert_msg(!mskp_constants_create(graph, keep, NULL, values, &moved, &error) &&
                          !mskp_constants_total(moved, &total, &error) &&
                          !mskp_constants_plan(moved, &plan, NULL, &error) &&
                          cn_prune(net, graph, plan, moved, &err),
                      "%s %s", error.text, err.text);
        ck_assert(total.exact && total.folded && !total.carriers);
        ck_assert_uint_eq(net->layer_count, layers - taken);
        const cn_real *after = cn_forward(net, N, images, false);
        for (size_t i = 0; i < N * 10; i++)
            ck_assert_double_lt(fabs((double)(after[i] - before[i])),
                                close_enough * (1 + fabs((double)before[i])));
        check_loaded(net, images, after);
        snprintf(name, sizeof name, "%sbn2.bias", blocks[c][0]);
        check_shift_gradient(net, name, images);
        check_training(net, images);
        free(keep.unit);
        free(values.view);
        mskp_constants_destroy(moved);
        mskp_plan_destroy(plan);
        mskp_graph_destroy(graph);
        cn_destroy(net);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("describe");
    TCase *cases = tcase_create("describe");
    tcase_set_timeout(cases, 300);
    tcase_add_test(cases, description);
    tcase_add_test(cases, surgery);
    tcase_add_test(cases, constants);
    tcase_add_test(cases, branches);
    tcase_add_test(cases, concatenation);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

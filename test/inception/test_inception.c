/*
 * The small Inception networks: at full width their modules have the weights of timm's; what is
 * pruned computes what the silenced network computed; gradients through whole networks agree with
 * difference quotients.
 */
#include "inception/networks.h"
#include "mskp/methods.h"
#include "mskp_convnet.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1024, N = 9, CLASSES = 10 };

static const bool exact = sizeof(cn_real) == sizeof(double);

/* ---- weights at full width ---- */

static cn_layer layers[MOST];

/* The trained parameters of the layers whose names begin so, from the list alone: a network of full
 * width would take gigabytes. */
static size_t weights(size_t count, const char *prefix)
{
    size_t channels[MOST], sum = 0;
    for (size_t i = 0; i < count; i++) {
        const cn_layer *l = &layers[i];
        size_t more = 0;
        channels[i] = l->channels ? l->channels : channels[l->in[0]];
        for (size_t k = 1; k < l->inputs; k++) channels[i] += channels[l->in[k]];
        if (l->kind == CN_CONV) /* a size of 0 means 1 */
            more = l->channels * channels[l->in[0]] * (l->size[0] ? l->size[0] : 1) *
                   (l->size[1] ? l->size[1] : 1);
        if (l->kind == CN_LINEAR) more = l->channels * channels[l->in[0]];
        if (l->kind == CN_BATCH_NORM) more = 2 * channels[i];
        if (l->bias) more += channels[i];
        if (!strncmp(l->name, prefix, strlen(prefix))) sum += more;
    }
    return sum;
}

/*
 * Those of timm 1.0's inception_v4. Its inception_resnet_v2 has 320, 1088 and 2080 channels where
 * the paper's figures add up to 384, 1152 and 2144; so to the numbers of its modules (in brackets)
 * come what 64 more channels add to each layer that reads or makes them. No public network has the
 * widths of Inception-ResNet-v1; these sums are written down from the paper's figures 10, 11, 13.
 */
START_TEST(full_width)
{
    static const struct {
        inception_kind kind;
        const char *module;
        size_t weights;
    } expected[] = {
        {INCEPTION_V4, "stem1.", 928 + 9280 + 18560},
        {INCEPTION_V4, "stem2.", 55488},
        {INCEPTION_V4, "stem3.", 189312},
        {INCEPTION_V4, "stem4.", 332160},
        {INCEPTION_V4, "a1.", 317632},
        {INCEPTION_V4, "reduction_a.", 2306112},
        {INCEPTION_V4, "b1.", 2936256},
        {INCEPTION_V4, "reduction_b.", 2747392},
        {INCEPTION_V4, "c1.", 4553088},
        {INCEPTION_RESNET_V2, "a1.", (123168) + 64 * (96 + 128 + 1)},
        {INCEPTION_RESNET_V2, "reduction_a.", (2664960) + 64 * (384 * 9 + 256)},
        {INCEPTION_RESNET_V2, "b1.", (1126784) + 64 * (192 + 128 + 384 + 1)},
        {INCEPTION_RESNET_V2, "reduction_b.", (3880960) + 64 * 3 * 256},
        {INCEPTION_RESNET_V2, "c1.", (2035424) + 64 * (192 + 192 + 448 + 1)},
        {INCEPTION_RESNET_V1, "a1.", 256 * 96 + 3 * 32 * 32 * 9 + 12 * 32 + 97 * 256},
        {INCEPTION_RESNET_V1, "b1.", 896 * 256 + 2 * 128 * 128 * 7 + 8 * 128 + 257 * 896},
        {INCEPTION_RESNET_V1, "c1.", 1792 * 384 + 2 * 192 * 192 * 3 + 8 * 192 + 385 * 1792},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const inception how = {expected[i].kind, 1, {4, 7, 3}, 0.2, true};
        const size_t count = inception_layers(&how, 1000, MOST, layers);
        ck_assert_uint_le(count, MOST);
        ck_assert_msg(weights(count, expected[i].module) == expected[i].weights,
                      "network %d, %s: %zu weights, not %zu", (int)how.kind, expected[i].module,
                      weights(count, expected[i].module), expected[i].weights);
        if (how.kind == INCEPTION_V4) /* all of it */
            ck_assert_uint_eq(weights(count, ""), 42679816);
    }
}
END_TEST

/* ---- small ones ---- */

static cn_net *make(const inception *how)
{
    cn_error err = {""};
    cn_random random = {how->divisor};
    const size_t count = inception_layers(how, CLASSES, MOST, layers);
    ck_assert_uint_le(count, MOST);
    cn_net *net = cn_create("inception", count, layers, &(cn_options){.batch = N, .seed = 3}, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    for (size_t i = 0; i < net->param_count; i++) /* norms that have seen something */
        for (size_t k = 0; net->params[i].dims == 1 && k < net->params[i].count; k++)
            net->params[i].value[k] += (cn_real)(0.3 * cn_random_unit(&random));
    return net;
}

static cn_real *draw(uint8_t labels[N])
{
    cn_random random = {11};
    cn_real *images = malloc(N * CN_PIXELS * sizeof *images);
    ck_assert_ptr_nonnull(images);
    for (size_t i = 0; i < N * CN_PIXELS; i++) images[i] = (cn_real)cn_random_normal(&random);
    for (size_t i = 0; i < N; i++) labels[i] = (uint8_t)(i % CLASSES);
    return images;
}

/* The residual network and the one without additions have the same parameters, and only the first
 * one changes with the scale. */
START_TEST(additions)
{
    uint8_t labels[N];
    cn_real *images = draw(labels), logits[4][N * CLASSES];
    for (int kind = INCEPTION_RESNET_V1; kind <= INCEPTION_RESNET_V2; kind++) {
        for (int i = 0; i < 4; i++) {
            const inception how = {(inception_kind)kind, 16, {1, 2, 1}, i % 2 ? 0.1 : 0.3, i < 2};
            cn_net *net = make(&how);
            memcpy(logits[i], cn_forward(net, N, images, false), sizeof logits[i]);
            const size_t add = cn_find_layer(net, "b2.add");
            ck_assert_uint_eq(add == CN_NONE, i >= 2);
            if (add != CN_NONE) {
                ck_assert_str_eq(net->layers[net->layers[add].in[0]].name, "b1.relu");
                ck_assert_str_eq(net->layers[net->layers[add].in[1]].name, "b2.scale");
            }
            ck_assert_uint_ne(cn_find_param(net, "b2.up.bias"), CN_NONE);
            cn_destroy(net);
        }
        ck_assert(memcmp(logits[0], logits[1], sizeof logits[0]) != 0);
        ck_assert_mem_eq(logits[2], logits[3], sizeof logits[2]);
    }
    free(images);
}
END_TEST

/* Half of the multiply-accumulates go, with units that all their slices have left. */
static void prune(const inception *how, uint64_t seed)
{
    cn_error err = {""};
    mskp_error error = {0};
    uint8_t labels[N];
    cn_net *net = make(how);
    cn_real *images = draw(labels), before[N * CLASSES];
    mskp_graph *graph = mskp_graph_create(NULL), *small = NULL;
    mskp_plan *plan = NULL;
    mskp_cost cost, left;
    cn_describe(net, graph);
    ck_assert_msg(!mskp_graph_finish(graph, &error), "%s", error.text);
    ck_assert_int_eq(mskp_measure(graph, (mskp_mask){0}, &cost, NULL, NULL), MSKP_OK);
    const size_t units = mskp_graph_counts(graph).units;
    const mskp_scores scores = {units, malloc(units * sizeof(double))};
    const mskp_mask keep = {units, malloc(units)};
    const mskp_tensors values = {net->param_count, calloc(net->param_count, sizeof(mskp_tensor))};
    ck_assert(scores.unit && keep.unit && values.view);
    cn_values(net, values);
    const mskp_rule rule = {.max_macs = 0.5 * cost.macs, .min_channels = 1};
    ck_assert_msg(!mskp_score_random(graph, seed, scores, &error) &&
                      !mskp_select(graph, scores, &rule, keep, NULL, &error) &&
                      !mskp_penalty_zero(graph, keep, &(mskp_penalty){.roles = MSKP_ROLES_UNIT},
                                         values, &error),
                  "%s", error.text);
    memcpy(before, cn_forward(net, N, images, false), sizeof before);
    ck_assert_msg(!mskp_plan_create(graph, keep, &plan, &small, &error) &&
                      cn_prune(net, graph, plan, NULL, &err),
                  "%s%s", error.text, err.text);
    ck_assert_int_eq(mskp_measure(small, (mskp_mask){0}, &left, NULL, NULL), MSKP_OK);
    ck_assert(left.macs <= 0.5 * cost.macs && left.macs > 0.4 * cost.macs);
    const cn_real *after = cn_forward(net, N, images, false);
    for (size_t i = 0; i < N * CLASSES; i++)
        ck_assert_msg(fabs((double)(after[i] - before[i])) <
                          (exact ? 1e-11 : 1e-4) * (1 + fabs((double)before[i])),
                      "network %d, seed %llu: %g was %g", (int)how->kind, (unsigned long long)seed,
                      (double)after[i], (double)before[i]);
    free(scores.unit);
    free(keep.unit);
    free(values.view);
    free(images);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    mskp_graph_destroy(graph);
    cn_destroy(net);
}

START_TEST(pruning)
{
    for (int kind = 0; kind < INCEPTION_KINDS; kind++)
        for (uint64_t seed = 1; seed <= 2; seed++)
            prune(&(inception){(inception_kind)kind, 16, {1, 2, 1}, 0.2, true}, seed);
}
END_TEST

static double loss_of(cn_net *net, const cn_real *images, const uint8_t *labels)
{
    cn_forward(net, N, images, true);
    return cn_loss(net, labels, NULL);
}

/* One element of each trained parameter, against a central difference. A step can carry a ReLU or a
 * maximum over its kink, so a few elements may be off. */
START_TEST(gradients)
{
    if (!exact) return; /* differences in float would show nothing */
    for (int kind = 0; kind < INCEPTION_KINDS; kind++) {
        const inception how = {(inception_kind)kind, 32, {1, 1, 1}, 0.3, true};
        const double h = 1e-7;
        cn_random random = {5};
        uint8_t labels[N];
        cn_net *net = make(&how);
        cn_real *images = draw(labels);
        double size = 0;
        size_t checked = 0, off = 0;
        loss_of(net, images, labels);
        cn_backward(net);
        for (size_t i = 0; i < net->param_count; i++)
            for (size_t k = 0; net->params[i].trained && k < net->params[i].count; k++)
                size = fmax(size, fabs((double)net->params[i].gradient[k]));
        for (size_t i = 0; i < net->param_count; i++) {
            const cn_param *p = &net->params[i];
            if (!p->trained) continue;
            const size_t k = cn_random_below(&random, p->count);
            const cn_real was = p->value[k], slope = p->gradient[k];
            p->value[k] = was + (cn_real)h;
            const double above = loss_of(net, images, labels);
            p->value[k] = was - (cn_real)h;
            const double below = loss_of(net, images, labels);
            p->value[k] = was;
            off += fabs((above - below) / (2 * h) - (double)slope) > 2e-6 * size;
            checked++;
        }
        printf("network %d: %zu of %zu gradients differ from their quotients\n", kind, off,
               checked);
        ck_assert_uint_ge(checked, 100);
        ck_assert_uint_le(off, 3);
        free(images);
        cn_destroy(net);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inception");
    TCase *cases = tcase_create("inception");
    tcase_set_timeout(cases, 300);
    tcase_add_test(cases, full_width);
    tcase_add_test(cases, additions);
    tcase_add_test(cases, pruning);
    tcase_add_test(cases, gradients);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

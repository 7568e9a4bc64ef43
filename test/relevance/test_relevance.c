/* The parts of the program `relevance`: relevance is conserved and is what the rules' formulas say,
 * a cut of dead channels leaves it as it was, saliency is that of a plain implementation, and the
 * sheet is read back from its file. */
#define _POSIX_C_SOURCE 200809L
#include "relevance/maps.h"
#include "relevance/prune.h"
#include "relevance/saliency.h"
#include "relevance/sheet.h"

#include <check.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t seed = 1; /* MSKP_TEST_SEED */

static size_t elements(const cn_layer *l)
{
    return l->channels * l->height * l->width;
}

/* ---- networks ---- */

/* Statistics, gammas, betas and biases of a network that has seen something. */
static void season(cn_net *net, cn_random *random)
{
    for (size_t i = 0; i < net->param_count; i++)
        for (size_t k = 0; net->params[i].dims == 1 && k < net->params[i].count; k++)
            net->params[i].value[k] += (cn_real)(0.6 * cn_random_unit(random) - 0.3);
}

static cn_net *make(size_t count, const cn_layer *layers)
{
    cn_error err = {""};
    cn_random random = {seed};
    cn_net *net = cn_create("", count, layers, &(cn_options){.batch = 8, .seed = seed}, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    season(net, &random);
    return net;
}

static cn_net *resnet8(void)
{
    cn_error err = {""};
    cn_random random = {seed};
    cn_net *net = cn_resnet(8, 10, &(cn_options){.batch = 8, .seed = seed}, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    season(net, &random);
    return net;
}

/* Layers of every kind; windows that overlap, leave pixels out, and reach into the padding. */
static cn_net *kinds(void)
{
    static const cn_layer layers[] = {
        {.kind = CN_INPUT, .name = "in", .channels = 3, .height = 9, .width = 8},
        {.kind = CN_CONV, .name = "a", .channels = 5, .size = {3, 3}, .pad = {1, 1}, .bias = true},
        {.kind = CN_BATCH_NORM, .name = "an", .in = {1}},
        {.kind = CN_RELU, .name = "ar", .in = {2}},
        {.kind = CN_POOL_MAX,
         .name = "max",
         .in = {3},
         .size = {3, 2},
         .stride = {2, 2},
         .pad = {1, 0}},
        {.kind = CN_CONV,
         .name = "b",
         .in = {4},
         .channels = 6,
         .size = {1, 3},
         .pad = {0, 1},
         .bias = true},
        {.kind = CN_CONV, .name = "c", .in = {4}, .channels = 4, .size = {3, 1}, .pad = {1, 0}},
        {.kind = CN_BATCH_NORM, .name = "cn", .in = {6}},
        {.kind = CN_PAD_CHANNELS, .name = "pad", .in = {7}, .before = 1, .after = 1},
        {.kind = CN_ADD, .name = "sum", .in = {5, 8}},
        {.kind = CN_SHIFT, .name = "shift", .channels = 6},
        {.kind = CN_ADD, .name = "shifted", .in = {9, 10}},
        {.kind = CN_RELU, .name = "r", .in = {11}},
        {.kind = CN_ADD, .name = "again", .in = {12, 8}},
        {.kind = CN_POOL_AVERAGE,
         .name = "mean",
         .in = {13},
         .size = {2, 2},
         .stride = {1, 1},
         .pad = {1, 0}},
        {.kind = CN_POOL_AVERAGE, .name = "pick", .in = {14}, .stride = {2, 1}},
        {.kind = CN_CONV,
         .name = "d",
         .in = {15},
         .channels = 7,
         .size = {2, 2},
         .stride = {1, 2},
         .bias = true},
        {.kind = CN_RELU, .name = "dr", .in = {16}},
        {.kind = CN_SCALE, .name = "third", .in = {17}, .factor = -0.3},
        {.kind = CN_UPSAMPLE, .name = "up", .in = {18}, .size = {3, 2}},
        {.kind = CN_CONV, .name = "e", .in = {17}, .channels = 2},
        {.kind = CN_UPSAMPLE, .name = "too", .in = {20}, .size = {3, 2}},
        {.kind = CN_CONCAT, .name = "both", .in = {19, 21, 19}, .inputs = 3},
        {.kind = CN_CONV, .name = "f", .in = {22}, .channels = 5, .size = {3, 3}, .pad = {1, 1}},
        {.kind = CN_RELU, .name = "fr", .in = {23}},
        {.kind = CN_GLOBAL_AVERAGE, .name = "all", .in = {24}},
        {.kind = CN_LINEAR, .name = "fc", .in = {25}, .channels = 4, .bias = true}};
    return make(sizeof layers / sizeof *layers, layers);
}

static cn_real *random_images(size_t n, const cn_layer *in, uint64_t salt)
{
    cn_random random = {seed + salt};
    cn_real *images = malloc(n * elements(in) * sizeof *images);
    ck_assert_ptr_nonnull(images);
    for (size_t k = 0; k < n * elements(in); k++) images[k] = (cn_real)cn_random_normal(&random);
    return images;
}

static lrp_rules rules_of(lrp_rule first, lrp_rule inner, lrp_rule last)
{
    lrp_rules r = lrp_rules_of(LRP_PRESET_PLUS);
    r.first = first;
    r.inner = inner;
    r.last = last;
    return r;
}

static lrp *open_lrp(const cn_net *net, const lrp_rules *rules)
{
    cn_error err = {""};
    lrp *e = lrp_create(net, rules, &err);
    ck_assert_msg(e != NULL, "%s", err.text);
    return e;
}

/* ---- relevance ---- */

START_TEST(forward)
{
    cn_net *nets[] = {resnet8(), kinds()};
    for (size_t k = 0; k < 2; k++) {
        const lrp_rules rules = lrp_rules_of(LRP_PRESET_PLUS);
        const cn_layer *in = &nets[k]->layers[0];
        cn_real *images = random_images(3, in, 7);
        lrp *e = open_lrp(nets[k], &rules);
        const cn_real *logits = cn_forward(nets[k], 3, images, false);
        for (size_t i = 0; i < 3; i++) {
            const double *mine = lrp_forward(e, images + i * elements(in));
            size_t best = 0;
            for (size_t c = 0; c < nets[k]->classes; c++) {
                const double theirs = (double)logits[i * nets[k]->classes + c];
                ck_assert_double_le(fabs(mine[c] - theirs), 1e-5 * (1 + fabs(theirs)));
                if (mine[c] > mine[best]) best = c;
            }
            ck_assert_uint_eq(lrp_predicted(e), best);
        }
        lrp_destroy(e);
        free(images);
        cn_destroy(nets[k]);
    }
}
END_TEST

/* The logit is the sum of the image's relevance and of what biases and stabilizers kept. */
START_TEST(conservation)
{
    cn_net *nets[] = {resnet8(), kinds()};
    for (size_t k = 0; k < 2; k++) {
        const cn_layer *in = &nets[k]->layers[0];
        cn_real *image = random_images(1, in, 11);
        for (size_t rule = 0; rule < 12; rule++) {
            const lrp_rules rules =
                rules_of((lrp_rule)(rule % 4), (lrp_rule)(rule / 4), (lrp_rule)((rule + 1) % 3));
            lrp *e = open_lrp(nets[k], &rules);
            lrp_forward(e, image);
            for (size_t class = 0; class < nets[k]->classes; class ++) {
                double size = 0;
                lrp_backward(e, class);
                for (size_t i = 0; i < elements(in); i++) size += fabs(e->node[0].relevance[i]);
                for (size_t i = 0; i < e->count; i++)
                    size += fabs(e->node[i].bias) + fabs(e->node[i].stabilizer);
                ck_assert_double_le(fabs(lrp_missing(e, class)), 1e-10 * size);
            }
            lrp_destroy(e);
        }
        free(image);
        cn_destroy(nets[k]);
    }
}
END_TEST

/* Without biases nothing is kept but what the stabilizer takes: the image alone gets the logit. */
START_TEST(conservation_without_biases)
{
    cn_net *net = resnet8();
    const cn_layer *in = &net->layers[0];
    cn_real *image = random_images(1, in, 13);
    for (size_t i = 0; i < net->layer_count; i++) { /* norms without a shift and a mean */
        const cn_layer *l = &net->layers[i];
        if (l->shift != CN_NONE)
            memset(net->params[l->shift].value, 0, l->channels * sizeof(cn_real));
        if (l->kind == CN_BATCH_NORM)
            memset(net->params[l->mean].value, 0, l->channels * sizeof(cn_real));
    }
    for (size_t rule = 0; rule < 4; rule++) {
        lrp_rules rules = rules_of((lrp_rule)rule, LRP_POSITIVE, LRP_EPSILON);
        rules.stabilizer = 1e-13;
        lrp *e = open_lrp(net, &rules);
        const size_t class = (lrp_forward(e, image), lrp_predicted(e));
        double sum = 0;
        lrp_backward(e, class);
        for (size_t i = 0; i < elements(in); i++) sum += e->node[0].relevance[i];
        const double logit = e->node[e->count - 1].value[class];
        ck_assert_double_le(fabs(sum - logit), 1e-8 * fabs(logit));
        lrp_destroy(e);
    }
    free(image);
    cn_destroy(net);
}
END_TEST

/* A network without ReLUs is linear. By LRP_EPSILON a pixel then gets itself times the gradient,
 * which is the difference that a one in its place makes to the runtime's logits. */
START_TEST(linear_network)
{
    const cn_layer layers[] = {
        {.kind = CN_INPUT, .name = "in", .channels = 2, .height = 6, .width = 5},
        {.kind = CN_CONV,
         .name = "a",
         .channels = 4,
         .size = {3, 3},
         .stride = {2, 1},
         .pad = {1, 1}},
        {.kind = CN_BATCH_NORM, .name = "an", .in = {1}},
        {.kind = CN_CONV, .name = "side", .channels = 4, .stride = {2, 1}, .bias = true},
        {.kind = CN_ADD, .name = "sum", .in = {2, 3}},
        {.kind = CN_POOL_AVERAGE, .name = "mean", .in = {4}, .size = {2, 2}, .pad = {1, 1}},
        {.kind = CN_PAD_CHANNELS, .name = "pad", .in = {5}, .before = 1, .after = 2},
        {.kind = CN_GLOBAL_AVERAGE, .name = "all", .in = {6}},
        {.kind = CN_LINEAR, .name = "fc", .in = {7}, .channels = 3, .bias = true}};
    cn_net *net = make(sizeof layers / sizeof *layers, layers);
    const size_t n = elements(&net->layers[0]);
    lrp_rules rules = rules_of(LRP_EPSILON, LRP_EPSILON, LRP_EPSILON);
    rules.stabilizer = 1e-12;
    lrp *e = open_lrp(net, &rules);
    cn_real *image = random_images(1, &net->layers[0], 17), *probe = calloc(n, sizeof *probe);
    double base[3];
    for (size_t c = 0; c < 3; c++) base[c] = (double)cn_forward(net, 1, probe, false)[c];
    lrp_forward(e, image);
    for (size_t class = 0; class < 3; class ++) {
        lrp_backward(e, class);
        for (size_t i = 0; i < n; i++) {
            probe[i] = 1;
            const double gradient = (double)cn_forward(net, 1, probe, false)[class] - base[class];
            probe[i] = 0;
            ck_assert_double_le(fabs(e->node[0].relevance[i] - (double)image[i] * gradient), 2e-5);
        }
    }
    free(probe);
    free(image);
    lrp_destroy(e);
    cn_destroy(net);
}
END_TEST

/* ---- one convolution by its formula ---- */

/* What input (channel, y, x) contributes to result (out, oy, ox): the weight between them. */
static double weight_between(const lrp *e, const size_t to[3], const size_t from[3], size_t kind)
{
    const cn_layer *l = &e->layers[1], *in = &e->layers[0];
    const ptrdiff_t ky = (ptrdiff_t)(from[1] + l->pad[0]) - (ptrdiff_t)(to[1] * l->stride[0]),
                    kx = (ptrdiff_t)(from[2] + l->pad[1]) - (ptrdiff_t)(to[2] * l->stride[1]);
    if (ky < 0 || kx < 0 || ky >= (ptrdiff_t)l->size[0] || kx >= (ptrdiff_t)l->size[1]) return 0;
    return e->node[1]
        .weight[kind][((to[0] * in->channels + from[0]) * l->size[0] + (size_t)ky) * l->size[1] +
                      (size_t)kx];
}

static void split(const cn_layer *l, size_t k, size_t at[3])
{
    at[0] = k / (l->height * l->width);
    at[1] = k / l->width % l->height;
    at[2] = k % l->width;
}

/* The share of R that input j has of result k, and what all inputs and the bias have: the terms of
 * a rule. sign: of the contributions that count, or 0 for all. */
static double term_of(const lrp *e, size_t k, size_t j, int sign, bool box)
{
    size_t to[3], from[3];
    split(&e->layers[1], k, to);
    split(&e->layers[0], j, from);
    const double x = e->node[0].value[j], z = x * weight_between(e, to, from, 0);
    if (box)
        return z - e->rules.low[from[0]] * weight_between(e, to, from, 1) -
               e->rules.high[from[0]] * weight_between(e, to, from, 2);
    return sign > 0 ? fmax(z, 0) : sign < 0 ? fmin(z, 0) : z;
}

static double by_formula(const lrp *e, size_t j, int sign, bool box)
{
    const cn_layer *l = &e->layers[1], *in = &e->layers[0];
    double r = 0;
    for (size_t k = 0; k < elements(l); k++) {
        const double mine = term_of(e, k, j, sign, box);
        const double bias = e->node[1].shift[0][k / (l->height * l->width)];
        double all = box ? 0 : sign > 0 ? fmax(bias, 0) : sign < 0 ? fmin(bias, 0) : bias;
        if (mine == 0) continue;
        for (size_t i = 0; i < elements(in); i++) all += term_of(e, k, i, sign, box);
        all += all < 0 ? -e->rules.stabilizer : e->rules.stabilizer;
        r += mine / all * e->node[1].relevance[k];
    }
    return r;
}

START_TEST(rule_by_formula)
{
    const cn_layer layers[] = {
        {.kind = CN_INPUT, .name = "in", .channels = 3, .height = 5, .width = 6},
        {.kind = CN_CONV,
         .name = "a",
         .channels = 4,
         .size = {3, 2},
         .stride = {1, 2},
         .pad = {1, 1},
         .bias = true},
        {.kind = CN_RELU, .name = "r", .in = {1}},
        {.kind = CN_GLOBAL_AVERAGE, .name = "all", .in = {2}},
        {.kind = CN_LINEAR, .name = "fc", .in = {3}, .channels = 2, .bias = true}};
    cn_net *net = make(sizeof layers / sizeof *layers, layers);
    cn_real *image = random_images(1, &net->layers[0], 19);
    for (size_t rule = 0; rule < 4; rule++) {
        const lrp_rules rules = rules_of((lrp_rule)rule, LRP_EPSILON, LRP_EPSILON);
        lrp *e = open_lrp(net, &rules);
        lrp_forward(e, image);
        lrp_backward(e, 1);
        for (size_t j = 0; j < elements(&net->layers[0]); j++) {
            const double expected =
                rule == LRP_EPSILON    ? by_formula(e, j, 0, false)
                : rule == LRP_POSITIVE ? by_formula(e, j, 1, false)
                : rule == LRP_TWO_ONE ? 2 * by_formula(e, j, 1, false) - by_formula(e, j, -1, false)
                                      : by_formula(e, j, 0, true);
            ck_assert_double_le(fabs(e->node[0].relevance[j] - expected), 1e-12);
        }
        lrp_destroy(e);
    }
    free(image);
    cn_destroy(net);
}
END_TEST

START_TEST(refusals)
{
    cn_error err;
    cn_layer layers[] = {{.kind = CN_INPUT, .name = "in", .channels = 2, .height = 4, .width = 4},
                         {.kind = CN_CONV, .name = "a", .channels = 4},
                         {.kind = CN_RELU, .name = "r", .in = {1}},
                         {.kind = CN_BATCH_NORM, .name = "late", .in = {2}},
                         {.kind = CN_GLOBAL_AVERAGE, .name = "all", .in = {3}},
                         {.kind = CN_LINEAR, .name = "fc", .in = {4}, .channels = 2}};
    lrp_rules rules = lrp_rules_of(LRP_PRESET_EPSILON);
    cn_net *net = make(6, layers);
    ck_assert_ptr_null(lrp_create(net, &rules, &err));
    ck_assert_str_eq(err.text, "late: the batch norm reads r, which is no convolution, so they "
                               "cannot be merged");
    rules.stabilizer = 0;
    ck_assert_ptr_null(lrp_create(net, &rules, &err));
    ck_assert_str_eq(err.text, "the stabilizer is 0, and has to be above 0");
    rules = lrp_rules_of(LRP_PRESET_PLUS);
    ck_assert_ptr_null(lrp_create(net, &rules, &err));
    ck_assert_str_eq(err.text, "in: images have 2 colours, and the box has the bounds of 3");
    cn_destroy(net);

    layers[3].kind = CN_SIGMOID;
    rules = lrp_rules_of(LRP_PRESET_EPSILON);
    net = make(6, layers);
    ck_assert_ptr_null(lrp_create(net, &rules, &err));
    ck_assert_str_eq(err.text, "late: relevance has no rule for a sigmoid");
    cn_destroy(net);
    net = make(3, layers);
    ck_assert_ptr_null(lrp_create(net, &rules, &err));
    ck_assert_str_eq(err.text, "r: the network has 64 outputs that are no classes, and relevance "
                               "begins at a class");
    cn_destroy(net);

    layers[2].kind = CN_BATCH_NORM; /* a is read by a norm and by an addition */
    layers[3] = (cn_layer){.kind = CN_ADD, .name = "sum", .in = {1, 2}};
    rules = lrp_rules_of(LRP_PRESET_EPSILON);
    net = make(6, layers);
    ck_assert_ptr_null(lrp_create(net, &rules, &err));
    ck_assert_str_eq(err.text, "r: the batch norm reads a, which is read by other layers, too, so "
                               "they cannot be merged");
    cn_destroy(net);

    net = resnet8();
    net->params[0].value[3] = (cn_real)NAN;
    ck_assert_ptr_null(lrp_create(net, &rules, &err));
    ck_assert_str_eq(err.text, "conv1.weight: element 3 is not a finite number");
    cn_destroy(net);
}
END_TEST

/* ---- pruning ---- */

static network open_network(cn_net *net)
{
    network n;
    cn_error err = {""};
    ck_assert_msg(network_open(&n, net, &err), "%s", err.text);
    return n;
}

/* Makes a third of the units dead, by zeros in gamma and beta; dead[u]: which. */
static void kill_units(network *n, unsigned char *dead)
{
    mskp_error err;
    const size_t units = mskp_graph_counts(n->graph).units;
    cn_random random = {seed + 23};
    mskp_mask keep = {units, malloc(units)};
    const mskp_penalty penalty = {.roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT};
    for (size_t u = 0; u < units; u++) {
        dead[u] = cn_random_below(&random, 3) == 0;
        keep.unit[u] = !dead[u];
    }
    ck_assert_int_eq(mskp_penalty_zero(n->graph, keep, &penalty, n->values, &err), MSKP_OK);
    free(keep.unit);
}

/* Dead channels have no relevance, so removing them leaves the relevance of all others as it is. */
START_TEST(cut_of_dead_channels)
{
    network n = open_network(resnet8());
    const size_t units = mskp_graph_counts(n.graph).units, pixels = CN_PIXELS;
    const lrp_rules rules = lrp_rules_of(LRP_PRESET_PLUS);
    unsigned char *dead = malloc(units);
    double *score = malloc(units * sizeof *score), *before = malloc(pixels * sizeof *before), left;
    cn_real *image = random_images(1, &n.net->layers[0], 29);
    cn_error err = {""};
    kill_units(&n, dead);
    size_t gone = 0, most = 0;
    for (size_t u = 0; u < units; u++) gone += dead[u];

    lrp *e = open_lrp(n.net, &rules);
    lrp_forward(e, image);
    const size_t class = lrp_predicted(e);
    lrp_backward(e, class);
    memcpy(before, e->node[0].relevance, pixels * sizeof *before);
    lrp_destroy(e);

    /* The dead units come first; the budget is what is left without them. */
    mskp_mask keep = {units, malloc(units)};
    mskp_cost full, rest;
    mskp_error error;
    for (size_t u = 0; u < units; u++) {
        score[u] = dead[u] ? 0 : 1;
        keep.unit[u] = !dead[u];
    }
    ck_assert_int_eq(mskp_measure(n.graph, (mskp_mask){0}, &full, NULL, &error), MSKP_OK);
    ck_assert_int_eq(mskp_measure(n.graph, keep, &rest, NULL, &error), MSKP_OK);
    const double part = rest.macs / full.macs * (1 + 1e-9);
    ck_assert_msg(network_cut(&n, (mskp_scores){units, score}, part, &left, &err), "%s", err.text);
    ck_assert_double_le(left, part);
    ck_assert_uint_eq(mskp_graph_counts(n.graph).units, units - gone);

    e = open_lrp(n.net, &rules);
    lrp_forward(e, image);
    ck_assert_uint_eq(lrp_predicted(e), class);
    lrp_backward(e, class);
    for (size_t k = 0; k < pixels; k++)
        if (fabs(before[k]) > fabs(before[most])) most = k;
    ck_assert_double_gt(fabs(before[most]), 0);
    for (size_t k = 0; k < pixels; k++)
        ck_assert_double_le(fabs(e->node[0].relevance[k] - before[k]), 1e-9 * fabs(before[most]));
    lrp_destroy(e);
    free(keep.unit);
    free(image);
    free(before);
    free(score);
    free(dead);
    network_close(&n);
}
END_TEST

/* The score of a unit: |R| of its channels behind a ReLU, summed over images and positions. */
START_TEST(score_by_relevance)
{
    enum { IMAGES = 3 };
    network n = open_network(resnet8());
    const size_t units = mskp_graph_counts(n.graph).units;
    unsigned char *dead = malloc(units);
    double *score = malloc(units * sizeof *score), *sum = calloc(units, sizeof *sum),
           *channels = calloc(units, sizeof *channels);
    cn_data data;
    cn_error err = {""};
    ck_assert(cn_data_shapes(IMAGES, seed, &data, &err));
    kill_units(&n, dead);
    const scoring how = {
        SCORE_RELEVANCE, NORMALIZE_NONE, &data, 100, seed, lrp_rules_of(LRP_PRESET_PLUS)};
    ck_assert_msg(network_score(&n, &how, (mskp_scores){units, score}, &err), "%s", err.text);

    lrp *e = open_lrp(n.net, &how.rules);
    for (size_t i = 0; i < IMAGES; i++) {
        cn_real image[CN_PIXELS];
        uint8_t label;
        cn_draw(&data, 1, &i, NULL, image, &label);
        lrp_forward(e, image);
        lrp_backward(e, label);
        for (size_t l = 0; l < e->count; l++) {
            const cn_layer *layer = &e->layers[l];
            size_t count;
            const uint32_t *unit = mskp_value_units(n.graph, (mskp_value){(uint32_t)l + 1}, &count);
            for (size_t k = 0; layer->kind == CN_RELU && k < elements(layer); k++) {
                const size_t u = unit[k / (layer->height * layer->width)];
                sum[u] += fabs(e->node[l].relevance[k]);
                if (i == 0 && k % (layer->height * layer->width) == 0) channels[u] += 1;
            }
        }
    }
    for (size_t u = 0; u < units; u++) {
        ck_assert_double_gt(channels[u], 0);
        ck_assert_double_le(fabs(score[u] - sum[u] / channels[u]), 1e-10 * (1 + score[u]));
        if (dead[u]) ck_assert_double_eq(score[u], 0);
    }
    lrp_destroy(e);
    cn_data_free(&data);
    free(channels);
    free(sum);
    free(score);
    free(dead);
    network_close(&n);
}
END_TEST

/* Every score can be cut by; scoring leaves the network as it was. */
START_TEST(all_scores)
{
    cn_data data;
    cn_error err = {""};
    ck_assert(cn_data_shapes(20, seed, &data, &err));
    for (size_t kind = SCORE_RELEVANCE; kind <= SCORE_CHANCE; kind++) {
        network n = open_network(resnet8()), copy;
        const size_t units = mskp_graph_counts(n.graph).units;
        const mskp_scores scores = {units, malloc(units * sizeof(double))};
        const scoring how = {
            (score_kind)kind, NORMALIZE_OWN, &data, 20, seed, lrp_rules_of(LRP_PRESET_PLUS)};
        double left = 0;
        ck_assert_msg(network_copy(&n, &copy, &err), "%s", err.text);
        ck_assert_msg(network_score(&n, &how, scores, &err), "%s", err.text);
        for (size_t p = 0; p < n.net->param_count; p++)
            ck_assert_mem_eq(n.net->params[p].value, copy.net->params[p].value,
                             n.net->params[p].count * sizeof(cn_real));
        ck_assert_msg(network_cut(&n, scores, 0.5, &left, &err), "%s", err.text);
        ck_assert_double_le(left, 0.5);
        ck_assert_double_gt(left, 0.4);
        const lesson one = {&data, 1, 0.01, seed};
        ck_assert_msg(network_train(&n, &one, &err), "%s", err.text);
        free(scores.unit);
        network_close(&copy);
        network_close(&n);
    }
    network n = open_network(resnet8());
    data.count = 5;
    ck_assert(!network_train(&n, &(lesson){&data, 1, 0.01, seed}, &err));
    ck_assert_str_eq(err.text, "5 images are fewer than a batch of 8");
    data.count = 20;
    network_close(&n);
    cn_data_free(&data);
}
END_TEST

/* ---- saliency ---- */

enum { TALL = 12, WIDE = 10, BLOCKS = 60 };

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A map of h x w, which divide BLOCKS up to a power of the map's own sides: every element is
 * repeated BLOCKS times in both directions, and the means of the blocks are taken. */
static void means(const double *map, size_t h, size_t w, double *to)
{
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w; x++) {
            double sum = 0;
            const size_t tall = TALL * BLOCKS / h, wide = WIDE * BLOCKS / w;
            for (size_t i = 0; i < tall; i++)
                for (size_t j = 0; j < wide; j++)
                    sum += map[(y * tall + i) / BLOCKS * WIDE + (x * wide + j) / BLOCKS];
            to[y * w + x] = sum / (double)(tall * wide);
        }
}

static double padded(const double *map, size_t h, size_t w, ptrdiff_t y, ptrdiff_t x)
{
    y = y < 0 ? 0 : y >= (ptrdiff_t)h ? (ptrdiff_t)h - 1 : y; /* a mirror of depth 1 */
    x = x < 0 ? 0 : x >= (ptrdiff_t)w ? (ptrdiff_t)w - 1 : x;
    return map[(size_t)y * w + (size_t)x];
}

static size_t distances(const double *own, const size_t size[2], size_t i, const double *other,
                        const size_t length[2], double *to)
{
    size_t n = 0;
    for (size_t k = 0; k < length[0] * length[1]; k++) {
        double sum = 0;
        if (own == other && i == k) continue;
        for (ptrdiff_t dy = -1; dy <= 1; dy++)
            for (ptrdiff_t dx = -1; dx <= 1; dx++)
                sum += pow(padded(own, size[0], size[1], (ptrdiff_t)(i / size[1]) + dy,
                                  (ptrdiff_t)(i % size[1]) + dx) -
                               padded(other, length[0], length[1], (ptrdiff_t)(k / length[1]) + dy,
                                      (ptrdiff_t)(k % length[1]) + dx),
                           2);
        const double y = ((double)(i / size[1]) + 0.5) / (double)size[0] -
                         ((double)(k / length[1]) + 0.5) / (double)length[0],
                     x = ((double)(i % size[1]) + 0.5) / (double)size[0] -
                         ((double)(k % length[1]) + 0.5) / (double)length[0];
        to[n++] = sqrt(sum / 9) / (1 + 3 * sqrt(y * y + x * x));
    }
    return n;
}

/* The formulas of saliency.c, with all distances sorted. */
static void plainly(const double *map, double *saliency)
{
    static const size_t sides[3][2][2] = {{{12, 10}, {6, 5}}, {{10, 8}, {5, 4}}, {{6, 5}, {3, 3}}};
    double number[TALL * WIDE], most = 0, top = 0;
    for (size_t k = 0; k < TALL * WIDE; k++) most = fmax(most, fabs(map[k]));
    for (size_t k = 0; k < TALL * WIDE; k++) number[k] = fabs(map[k]) / most;
    memset(saliency, 0, TALL * WIDE * sizeof *saliency);
    for (size_t s = 0; s < 3; s++) {
        const size_t *size = sides[s][0], *half = sides[s][1];
        double own[TALL * WIDE], other[TALL * WIDE], result[TALL * WIDE], all[400];
        means(number, size[0], size[1], own);
        means(number, half[0], half[1], other);
        for (size_t i = 0; i < size[0] * size[1]; i++) {
            size_t n = distances(own, size, i, own, size, all);
            n += distances(own, size, i, other, half, all + n);
            qsort(all, n, sizeof *all, ascending);
            double sum = 0;
            for (size_t k = 0; k < 16; k++) sum += all[k] / 16;
            result[i] = 1 - exp(-sum);
        }
        for (size_t k = 0; k < TALL * WIDE; k++) {
            const double y = ((double)(k / WIDE) + 0.5) * (double)size[0] / TALL - 0.5,
                         x = ((double)(k % WIDE) + 0.5) * (double)size[1] / WIDE - 0.5,
                         fy = y - floor(y), fx = x - floor(x);
            const ptrdiff_t iy = (ptrdiff_t)floor(y), ix = (ptrdiff_t)floor(x);
            saliency[k] += (1 - fy) * ((1 - fx) * padded(result, size[0], size[1], iy, ix) +
                                       fx * padded(result, size[0], size[1], iy, ix + 1)) +
                           fy * ((1 - fx) * padded(result, size[0], size[1], iy + 1, ix) +
                                 fx * padded(result, size[0], size[1], iy + 1, ix + 1));
        }
    }
    for (size_t k = 0; k < TALL * WIDE; k++) top = fmax(top, saliency[k]);
    for (size_t k = 0; k < TALL * WIDE; k++) number[k] = saliency[k] / top;
    for (size_t k = 0; k < TALL * WIDE; k++) {
        double near = 1;
        for (size_t f = 0; f < TALL * WIDE; f++)
            if (number[f] > 0.8)
                near = fmin(near, hypot((double)(k / WIDE) - (double)(f / WIDE),
                                        (double)(k % WIDE) - (double)(f % WIDE)) /
                                      TALL);
        saliency[k] = number[k] * (1 - near);
    }
}

START_TEST(saliency_by_definition)
{
    cn_random random = {seed + 31};
    double map[TALL * WIDE], mine[TALL * WIDE], plain[TALL * WIDE];
    for (size_t round = 0; round < 4; round++) {
        for (size_t k = 0; k < TALL * WIDE; k++) {
            map[k] = cn_random_normal(&random) * (cn_random_below(&random, 3) == 0);
            if (round == 3) map[k] = k == 47; /* ties */
        }
        plainly(map, plain);
        ck_assert(saliency_of(TALL, WIDE, map, mine));
        for (size_t k = 0; k < TALL * WIDE; k++)
            ck_assert_double_le(fabs(mine[k] - plain[k]), 1e-12);
    }
}
END_TEST

START_TEST(saliency_laws)
{
    cn_random random = {seed + 37};
    double map[MAP], other[MAP], a[MAP], b[MAP];
    for (size_t k = 0; k < MAP; k++) map[k] = 3; /* nothing differs from anything */
    ck_assert(saliency_of(32, 32, map, a));
    for (size_t k = 0; k < MAP; k++) ck_assert_double_eq(a[k], 0);
    memset(map, 0, sizeof map);
    ck_assert(saliency_of(32, 32, map, a));
    for (size_t k = 0; k < MAP; k++) ck_assert_double_eq(a[k], 0);

    /* In [0, 1]; the size and the sign of numbers do not matter; axes can be exchanged. */
    for (size_t k = 0; k < MAP; k++) map[k] = cn_random_normal(&random);
    for (size_t k = 0; k < MAP; k++) other[k % 32 * 32 + k / 32] = -1000 * map[k];
    ck_assert(saliency_of(32, 32, map, a) && saliency_of(32, 32, other, b));
    double most = 0;
    for (size_t k = 0; k < MAP; k++) {
        ck_assert(a[k] >= 0 && a[k] <= 1);
        ck_assert_double_le(fabs(a[k] - b[k % 32 * 32 + k / 32]), 1e-9);
        most = fmax(most, a[k]);
    }
    ck_assert_double_eq(most, 1);

    /* A spot on a flat ground: it is salient, and what is far from it is not. */
    memset(map, 0, sizeof map);
    for (size_t k = 0; k < 9; k++) map[(10 + k / 3) * 32 + 20 + k % 3] = 1;
    ck_assert(saliency_of(32, 32, map, a));
    size_t best = 0;
    for (size_t k = 0; k < MAP; k++)
        if (a[k] > a[best]) best = k;
    ck_assert(best / 32 >= 9 && best / 32 <= 13 && best % 32 >= 19 && best % 32 <= 23);
    ck_assert_double_le(a[31 * 32], 0.05);
}
END_TEST

START_TEST(correlation)
{
    const double a[4] = {1, 2, 3, 4}, b[4] = {-2, -4, -6, -8}, c[4] = {5, 5, 5, 5},
                 d[4] = {1, 3, 2, 4};
    ck_assert_double_eq_tol(saliency_correlation(4, a, a), 1, 1e-15);
    ck_assert_double_eq_tol(saliency_correlation(4, a, b), -1, 1e-15);
    ck_assert_double_eq(saliency_correlation(4, a, c), 0);
    ck_assert_double_eq_tol(saliency_correlation(4, a, d), 0.8, 1e-15);
}
END_TEST

/* ---- the sheet ---- */

static const uint8_t *pixel(const uint8_t *pixels, size_t width, size_t y, size_t x)
{
    return pixels + (y * width + x) * 3;
}

START_TEST(sheet_file)
{
    char path[] = "/tmp/test_relevance.XXXXXX";
    const int descriptor = mkstemp(path);
    uint8_t image[CN_PIXELS];
    double map[MAP] = {0};
    sheet s;
    cn_error err = {""};
    ck_assert_int_ge(descriptor, 0);
    close(descriptor);
    for (size_t k = 0; k < CN_PIXELS; k++) image[k] = (uint8_t)(k * 7);
    ck_assert_msg(sheet_open(&s, 2, 3, &err), "%s", err.text);
    sheet_image(&s, 0, 0, image);
    map[33] = -2;
    map[34] = 1;
    sheet_signed(&s, 1, 2, map);
    map[33] = 0.5;
    sheet_heat(&s, 1, 1, map);
    ck_assert_msg(sheet_write(&s, path, &err), "%s", err.text);
    sheet_free(&s);

    png_image picture = {.version = PNG_IMAGE_VERSION};
    ck_assert(png_image_begin_read_from_file(&picture, path));
    picture.format = PNG_FORMAT_RGB;
    ck_assert_uint_eq(picture.width, 3 * 100 + 4);
    ck_assert_uint_eq(picture.height, 2 * 100 + 4);
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(picture));
    ck_assert(png_image_finish_read(&picture, NULL, pixels, 0, NULL));
    const size_t w = picture.width;
    ck_assert_mem_eq(pixel(pixels, w, 0, 0), ((uint8_t[]){255, 255, 255}), 3);
    for (size_t k = 0; k < MAP; k++)
        ck_assert_mem_eq(pixel(pixels, w, 4 + k / 32 * 3 + k % 3, 4 + k % 32 * 3 + k % 2),
                         ((uint8_t[]){image[k], image[MAP + k], image[2 * MAP + k]}), 3);
    const size_t y = 104 + 3, x = 204 + 3; /* element 33 */
    ck_assert_mem_eq(pixel(pixels, w, y, x), ((uint8_t[]){0, 0, 255}), 3);
    ck_assert_mem_eq(pixel(pixels, w, y, x + 3), ((uint8_t[]){255, 128, 128}), 3);
    ck_assert_mem_eq(pixel(pixels, w, y, x + 6), ((uint8_t[]){255, 255, 255}), 3);
    ck_assert_mem_eq(pixel(pixels, w, y, x - 100), ((uint8_t[]){255, 128, 0}), 3);
    ck_assert_mem_eq(pixel(pixels, w, y, x - 97), ((uint8_t[]){255, 255, 255}), 3);
    ck_assert_mem_eq(pixel(pixels, w, y, x - 94), ((uint8_t[]){0, 0, 0}), 3);
    free(pixels);
    png_image_free(&picture);
    unlink(path);

    ck_assert(sheet_open(&s, 1, 1, &err));
    ck_assert(!sheet_write(&s, "/tmp/no/such/folder/sheet.png", &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/tmp/no/such/folder/sheet.png: "));
    sheet_free(&s);
}
END_TEST

int main(void)
{
    const char *text = getenv("MSKP_TEST_SEED");
    if (text) seed = strtoull(text, NULL, 10);
    printf("seed %llu\n", (unsigned long long)seed);
    Suite *suite = suite_create("relevance");
    TCase *tests = tcase_create("relevance");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, forward);
    tcase_add_test(tests, conservation);
    tcase_add_test(tests, conservation_without_biases);
    tcase_add_test(tests, linear_network);
    tcase_add_test(tests, rule_by_formula);
    tcase_add_test(tests, refusals);
    tcase_add_test(tests, cut_of_dead_channels);
    tcase_add_test(tests, score_by_relevance);
    tcase_add_test(tests, all_scores);
    tcase_add_test(tests, saliency_by_definition);
    tcase_add_test(tests, saliency_laws);
    tcase_add_test(tests, correlation);
    tcase_add_test(tests, sheet_file);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

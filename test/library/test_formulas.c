/*
 * What the library computes constants with, and the interpreter everything, is what PyTorch
 * computes: functions of a number, PReLU, batch norm, and which positions of an image windows see.
 */
#include "interpreter/trial.h"
#include "torch/values.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double celu(double x, const double *parameters)
{
    const double a = parameters[0];
    return fmax(0, x) + fmin(0, a * (exp(x / a) - 1));
}

static double hardtanh(double x, const double *parameters)
{
    return fmin(fmax(x, parameters[0]), parameters[1]);
}

/* Differences of numbers near 1 lose what is small: ours, or PyTorch's (ELU has exp(x) - 1). */
static double lost(const torch_curve *t, double x)
{
    switch (t->kind) {
    case MSKP_ACTIVATION_ELU:
    case MSKP_ACTIVATION_GELU:
    case MSKP_ACTIVATION_GELU_TANH:
    case MSKP_ACTIVATION_HARD_SIGMOID:
    case MSKP_ACTIVATION_HARD_SWISH:
    case MSKP_ACTIVATION_CUSTOM:
        return 4e-16 * fmax(1, fabs(x));
    default:
        return 0;
    }
}

static void require_curve(const torch_curve *t, const double *y, const char *whose)
{
    for (size_t i = 0; i < TORCH_POINTS; i++)
        REQUIRE(fabs(y[i] - t->y[i]) <= 1e-12 * fabs(t->y[i]) + lost(t, torch_x[i]),
                "%s, %g, %s: f(%.17g) is %.17g, %.17g there", t->name, t->parameters[0], whose,
                torch_x[i], y[i], t->y[i]);
}

/* ---- The library: how constants of removed channels are folded ---- */

enum { CHANNELS = TORCH_POINTS + 1 }; /* the last one stays */

typedef struct network {
    mskp_graph *graph;
    uint32_t params;
    const double *data[16];
} network;

static mskp_param declare(network *t, uint32_t ndim, const size_t *shape, const double *data)
{
    const char name[3] = {'p', (char)('a' + t->params), 0};
    t->data[++t->params] = data;
    return mskp_parameter(t->graph, name, ndim, shape);
}

static mskp_param declare_vector(network *t, arena *mem, double number)
{
    const size_t n = CHANNELS;
    double *data = arena_get(mem, n, sizeof *data);
    for (size_t i = 0; i < n; i++) data[i] = number;
    return declare(t, 1, &n, data);
}

static mskp_value describe_layer(network *t, arena *mem, mskp_value in, const torch_curve *c)
{
    mskp_param p[4];
    mskp_activation_desc a = {.kind = c->kind};
    memcpy(a.parameters, c->parameters, sizeof a.parameters);
    switch (c->layer) {
    case TORCH_CELU:
        a.function = celu;
        break;
    case TORCH_HARDTANH:
        a.function = hardtanh;
        break;
    case TORCH_PRELU:
        return mskp_prelu(t->graph, NULL, in, declare_vector(t, mem, c->parameters[0]));
    case TORCH_BATCH_NORM:
        for (int k = 0; k < 4; k++) p[k] = declare_vector(t, mem, c->parameters[k]);
        return mskp_norm(t->graph, NULL, in,
                         &(mskp_norm_desc){.scale = p[0],
                                           .shift = p[1],
                                           .mean = p[2],
                                           .variance = p[3],
                                           .epsilon = c->parameters[4]});
    default:
        break;
    }
    return mskp_activation(t->graph, NULL, in, &a);
}

/* What all units but that of channel `stays` of the value say to what reads them. */
static mskp_constants_report report_of(network *t, mskp_value value, size_t stays,
                                       mskp_constants_way way)
{
    mskp_error err = {0};
    uint8_t keep[CHANNELS + 1], kept[CHANNELS + 1];
    mskp_tensor values[16] = {{0}};
    mskp_constants *c = NULL;
    mskp_constants_report total;
    const mskp_constants_desc desc = {.way = way};
    REQUIRE(mskp_graph_finish(t->graph, &err) == MSKP_OK, "%s", err.text);
    const size_t units = mskp_graph_counts(t->graph).units;
    REQUIRE(units <= sizeof keep, "%zu units", units);
    memset(keep, 0, sizeof keep);
    keep[mskp_value_units(t->graph, value, NULL)[stays]] = 1;
    for (uint32_t p = 1; p <= t->params; p++)
        values[p] = (mskp_tensor){.data = (void *)(uintptr_t)t->data[p], .dtype = MSKP_DTYPE_F64};
    REQUIRE(create_constants(t->graph, units, keep, &desc, t->params, values, kept, &c, &err) ==
                MSKP_OK,
            "%s", err.text);
    REQUIRE_OK(mskp_constants_total(c, &total, NULL));
    REQUIRE(apply_constants(c, t->params, values, &err) == MSKP_OK, "%s", err.text);
    mskp_constants_destroy(c);
    mskp_graph_destroy(t->graph);
    return total;
}

/* linear with weights 0 and biases torch_x, the layer, linear with one output for each channel. */
static void library_curve(const torch_curve *c, double *y)
{
    arena mem = {0};
    network t = {.graph = mskp_graph_create(NULL)};
    const size_t one = 1, n = CHANNELS, m = TORCH_POINTS, first[2] = {n, one}, last[2] = {m, n};
    double *weight = arena_get(&mem, n, sizeof *weight), *bias = arena_get(&mem, n, sizeof *bias);
    double *matrix = arena_get(&mem, m * n, sizeof *matrix);
    memcpy(bias, torch_x, sizeof torch_x);
    weight[m] = 1;
    for (size_t i = 0; i < m; i++) matrix[i * n + i] = 1;
    memset(y, 0, m * sizeof *y);
    const mskp_param w = declare(&t, 2, first, weight), b = declare(&t, 1, &n, bias);
    const mskp_value x = mskp_linear(t.graph, "x", mskp_input(t.graph, "in", 1, 0, NULL), w, b);
    const mskp_value z = describe_layer(&t, &mem, x, c);
    const mskp_param v = declare(&t, 2, last, matrix), d = declare(&t, 1, &m, y);
    mskp_output(t.graph, mskp_linear(t.graph, "y", z, v, d));
    const mskp_constants_report r = report_of(&t, z, m, MSKP_CONSTANTS_FOLD);
    REQUIRE(r.exact && r.live == 0 && r.dropped == 0, "%s: %zu live", c->name, r.live);
    arena_free(&mem);
}

/* ---- The interpreter ---- */

static bool interpreter_curve(const torch_curve *c, double *y)
{
    if (c->layer == TORCH_CELU || c->layer == TORCH_HARDTANH) return false;
    arena mem = {0};
    rng r = rng_make(1);
    net *n = net_make(&mem, NET_MAX_NODES);
    const size_t points = TORCH_POINTS;
    const net_node in = {.op = NET_INPUT, .channels = points};
    net_node t = {.op = NET_ACT, .inputs = 1, .kind = (int)c->kind, .parameter = c->parameters[0]};
    double **inputs = arena_get(&mem, 3, sizeof *inputs);
    if (c->kind == MSKP_ACTIVATION_LEAKY_RELU && !(t.parameter < 0 || t.parameter > 0))
        t.parameter = 0.01;
    t.in[0] = net_add(n, &in);
    if (c->layer == TORCH_PRELU) {
        t.op = NET_PRELU;
        t.weight = net_param_add(n, &r, 1, &points);
        for (size_t i = 0; i < points; i++) n->param[t.weight].data[i] = c->parameters[0];
    }
    if (c->layer == TORCH_BATCH_NORM) {
        t.op = NET_NORM;
        t.epsilon = c->parameters[4];
        for (int k = 0; k < 4; k++) {
            t.norm[k] = net_param_add(n, &r, 1, &points);
            for (size_t i = 0; i < points; i++) n->param[t.norm[k]].data[i] = c->parameters[k];
        }
    }
    inputs[1] = arena_copy(&mem, torch_x, points, sizeof *torch_x);
    const size_t v = net_add(n, &t);
    memcpy(y, net_eval(n, &mem, inputs)[v], points * sizeof *y);
    arena_free(&mem);
    return true;
}

START_TEST(functions_are_pytorchs)
{
    double y[TORCH_POINTS];
    bool known[MSKP_ACTIVATION_MULTIPLY + 1] = {false};
    for (size_t i = 0; i < TORCH_CURVES; i++) {
        library_curve(&torch_curves[i], y);
        require_curve(&torch_curves[i], y, "the library's");
        if (interpreter_curve(&torch_curves[i], y))
            require_curve(&torch_curves[i], y, "the interpreter's");
        known[torch_curves[i].kind] = true;
    }
    for (size_t k = 0; k <= MSKP_ACTIVATION_MULTIPLY; k++)
        REQUIRE(known[k], "function %zu is not there", k);
}
END_TEST

/* ---- Windows over an image ---- */

static mskp_value describe_image(network *t, mskp_value in, const torch_image *i, uint32_t keeps)
{
    const size_t shape[4] = {1, 2, i->kernel, i->kernel}, other[4] = {2, 1, i->kernel, i->kernel};
    const bool transposed = i->op == TORCH_CONV_TRANSPOSED;
    static double weight[18], bias[1];
    if (i->op == TORCH_AVERAGE || i->op == TORCH_MAX)
        return mskp_pool(
            t->graph, NULL, in,
            &(mskp_pool_desc){.kind = i->op == TORCH_MAX ? MSKP_POOL_MAX : MSKP_POOL_AVERAGE,
                              .size = {i->kernel, i->kernel},
                              .stride = {i->stride, i->stride},
                              .pad_before = {i->pad, i->pad},
                              .pad_after = {i->pad, i->pad},
                              .ceil_mode = (uint32_t)i->ceil_mode,
                              .keeps_constants = keeps});
    memcpy(weight, torch_weight, i->kernel * i->kernel * sizeof *weight);
    bias[0] = 0;
    const mskp_conv_desc c = {.weight = declare(t, 4, transposed ? other : shape, weight),
                              .bias = declare(t, 1, shape, bias),
                              .stride = {i->stride, i->stride},
                              .pad_before = {i->pad, i->pad},
                              .pad_after = {i->pad, i->pad},
                              .dilation = {i->dilation, i->dilation},
                              .padding = i->padding ? MSKP_PADDING_EXTENDED : MSKP_PADDING_ZEROS,
                              .output_pad = {i->output_pad, i->output_pad}};
    return transposed ? mskp_conv_transposed(t->graph, NULL, in, &c)
                      : mskp_conv(t->graph, NULL, in, &c);
}

/* Of two channels the first leaves, an image of ones; what is folded or lost, and how much.
 * *folded: what the result's bias becomes. */
static mskp_constants_report library_image(const torch_image *i, mskp_constants_way way,
                                           uint32_t keeps, double *folded)
{
    static double weight[2] = {0, 1}, bias[2], column[2] = {1, 0}, sum[1];
    const size_t two = 2, one = 1, first[4] = {2, 1, 1, 1}, last[2] = {1, 2};
    network t = {.graph = mskp_graph_create(NULL)};
    bias[0] = 1;
    sum[0] = 0;
    const mskp_conv_desc c = {.weight = declare(&t, 4, first, weight),
                              .bias = declare(&t, 1, &two, bias)};
    const mskp_value x = mskp_input(t.graph, "in", 1, 2, (size_t[]){TORCH_HEIGHT, TORCH_WIDTH}),
                     y = mskp_conv(t.graph, "x", x, &c);
    mskp_value z = describe_image(&t, y, i, keeps);
    const bool pool = i->op == TORCH_AVERAGE || i->op == TORCH_MAX;
    size_t hw[MSKP_MAX_SPATIAL];
    REQUIRE(mskp_value_shape(t.graph, z, NULL, hw) == 2 && hw[0] == i->height && hw[1] == i->width,
            "%s: another size", i->name);
    const double *taker = pool ? sum : t.data[t.params];
    if (pool) {
        const mskp_param v = declare(&t, 2, last, column), b = declare(&t, 1, &one, sum);
        z = mskp_linear(t.graph, "z", z, v, b);
    }
    mskp_output(t.graph, z);
    const mskp_constants_report r = report_of(&t, y, 1, way);
    *folded = *taker;
    return r;
}

static bool close_to(double x, double y)
{
    return fabs(x - y) <= 1e-11 * fmax(1, fabs(y));
}

/* Of all positions: the largest difference from x, and whether one has it. */
static double furthest(const torch_image *i, double from)
{
    double most = 0;
    for (size_t k = 0; k < i->height * i->width; k++) most = fmax(most, fabs(i->of_ones[k] - from));
    return most;
}

static bool somewhere(const torch_image *i, double x)
{
    for (size_t k = 0; k < i->height * i->width; k++)
        if (close_to(i->of_ones[k], x)) return true;
    return false;
}

/* A convolution is exact where PyTorch's result is the same everywhere; else its bounds are what
 * PyTorch's is off by. */
static void require_mixed(const torch_image *i)
{
    double folded;
    mskp_constants_report r = library_image(i, MSKP_CONSTANTS_FOLD, 0, &folded);
    const double off = furthest(i, folded);
    REQUIRE(r.folded == 1 && r.exact == (off < 1e-12) && close_to(r.bound, off),
            "%s: %s, the bound is %g, off by %g", i->name, r.exact ? "exact" : "lossy", r.bound,
            off);
    REQUIRE(somewhere(i, folded), "%s: %g is folded", i->name, folded);
    r = library_image(i, MSKP_CONSTANTS_DROP, 0, &folded);
    REQUIRE(r.dropped == 1 && close_to(r.bound, furthest(i, 0)), "%s: %g is lost, %g said", i->name,
            furthest(i, 0), r.bound);
}

/* Constants that a kind of pool keeps are kept, and keeps_constants is believed. */
static void require_pooled(const torch_image *i)
{
    double folded;
    const bool kept = furthest(i, 1) < 1e-12;
    mskp_constants_report r = library_image(i, MSKP_CONSTANTS_FOLD, 0, &folded);
    REQUIRE(r.folded + r.live == 1 && (kept || r.live), "%s: said to be constant", i->name);
    REQUIRE(r.live || close_to(folded, 1), "%s: %g", i->name, folded);
    REQUIRE(!i->pad || i->op == TORCH_MAX || r.live, "%s: constant, but nobody said so", i->name);
    if (!kept) return;
    r = library_image(i, MSKP_CONSTANTS_FOLD, 1, &folded);
    REQUIRE(r.folded == 1 && close_to(folded, 1), "%s: %g", i->name, folded);
}

static void interpreter_image(const torch_image *i, const double *pixels, const double *expected)
{
    static const net_op ops[] = {NET_CONV, NET_TCONV, NET_POOL, NET_POOL};
    static const net_padding paddings[] = {NET_ZEROS, NET_REPLICATED, NET_REFLECTED, NET_CIRCULAR};
    arena mem = {0};
    rng r = rng_make(1);
    net *n = net_make(&mem, NET_MAX_NODES);
    const size_t shape[4] = {1, 1, i->kernel, i->kernel};
    const net_node in = {
        .op = NET_INPUT, .channels = 1, .nspatial = 2, .spatial = {TORCH_HEIGHT, TORCH_WIDTH}};
    net_node t = {.op = ops[i->op],
                  .inputs = 1,
                  .kind = i->op == TORCH_MAX ? MSKP_POOL_MAX : MSKP_POOL_AVERAGE,
                  .padding = paddings[i->padding],
                  .ceil_mode = i->ceil_mode,
                  .count_padding = i->counts_padding};
    double **inputs = arena_get(&mem, 3, sizeof *inputs);
    t.in[0] = net_add(n, &in);
    for (size_t d = 0; d < 2; d++) {
        t.stride[d] = i->stride;
        t.before[d] = t.after[d] = i->pad;
        t.dilation[d] = i->dilation;
        t.window[d] = i->kernel;
        t.resize[d] = i->output_pad;
    }
    if (t.op != NET_POOL) {
        t.weight = net_param_add(n, &r, 4, shape);
        memcpy(n->param[t.weight].data, torch_weight, i->kernel * i->kernel * sizeof *torch_weight);
    }
    const size_t v = net_add(n, &t);
    REQUIRE(v && n->node[v].spatial[0] == i->height && n->node[v].spatial[1] == i->width,
            "%s: another size", i->name);
    inputs[1] = arena_copy(&mem, pixels, TORCH_HEIGHT * TORCH_WIDTH, sizeof *pixels);
    const double *y = net_eval(n, &mem, inputs)[v];
    for (size_t k = 0; k < i->height * i->width; k++)
        REQUIRE(close_to(y[k], expected[k]), "%s: position %zu is %.17g, %.17g there", i->name, k,
                y[k], expected[k]);
    arena_free(&mem);
}

START_TEST(windows_are_pytorchs)
{
    double ones[TORCH_HEIGHT * TORCH_WIDTH];
    for (size_t k = 0; k < TORCH_HEIGHT * TORCH_WIDTH; k++) ones[k] = 1;
    for (size_t k = 0; k < TORCH_IMAGES; k++) {
        const torch_image *i = &torch_images[k];
        if (i->op == TORCH_AVERAGE || i->op == TORCH_MAX)
            require_pooled(i);
        else
            require_mixed(i);
        interpreter_image(i, ones, i->of_ones);
        interpreter_image(i, torch_pixels, i->of_x);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("formulas");
    TCase *tcase = tcase_create("formulas");
    tcase_add_test(tcase, functions_are_pytorchs);
    tcase_add_test(tcase, windows_are_pytorchs);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

/*
 * A whole pruning with the pruner, which knows the stages, finds the strengths, and says when to
 * cut. A network with 16 hidden units learns what a teacher with 4 of them computes, under SGD with
 * momentum, and loses 10 units in two rounds:
 *
 *     train(-1)    the whole loop; the loss right before and right after each cut must be equal
 *     train(STOP)  the same, interrupted: the pruner's text and the weights are all that is left of
 *                  it, and the training ends with the same bytes
 *     by_hand()    a mask and a cut of the program's own, and a look at what a cut would do
 */
#include <math.h>
#include <mskp.h>
#include <mskp/pruner.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN = 4, WIDTH = 16, TEACHER = 4, IMAGES = 64, STEPS = 4000, STOP = 1500 };
enum { VALUES, GRADIENTS, MOMENTUM, SETS };
static const double rate = 0.02, momentum = 0.9;

/* Parameters: weight [hidden][IN], bias [hidden], head [1][hidden]; each has three tensors. */
static double weight[SETS][WIDTH * IN], bias[SETS][WIDTH], head[SETS][WIDTH];
static mskp_tensor view[SETS][3];
static double image[IMAGES][IN], wanted[IMAGES];
static mskp_error err;

static mskp_tensors set(int which)
{
    return (mskp_tensors){3, view[which]};
}

static double draw(void) /* in [-1, 1) */
{
    static unsigned state = 1;
    state = state * 1664525u + 1013904223u;
    return (double)(state >> 8) / 8388608 - 1;
}

static mskp_graph *describe(void)
{
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param w = mskp_parameter(g, "hidden.weight", 2, (size_t[]){WIDTH, IN});
    const mskp_param b = mskp_parameter(g, "hidden.bias", 1, (size_t[]){WIDTH});
    const mskp_param h = mskp_parameter(g, "head.weight", 2, (size_t[]){1, WIDTH});
    const mskp_activation_desc relu = {.kind = MSKP_ACTIVATION_RELU};
    mskp_value v = mskp_linear(g, "hidden", mskp_input(g, "image", IN, 0, NULL), w, b);
    v = mskp_activation(g, "relu", v, &relu);
    mskp_output(g, mskp_linear(g, "head", v, h, (mskp_param){0}));
    return mskp_graph_finish(g, &err) ? (mskp_graph_destroy(g), NULL) : g;
}

/* New weights, and views of the whole shapes. */
static void begin(void)
{
    for (int s = 0; s < SETS; s++) {
        memset(weight[s], 0, sizeof weight[s]);
        memset(bias[s], 0, sizeof bias[s]);
        memset(head[s], 0, sizeof head[s]);
        view[s][0] = (mskp_tensor){.data = weight[s], .dtype = MSKP_DTYPE_F64};
        view[s][1] = (mskp_tensor){.data = bias[s], .dtype = MSKP_DTYPE_F64};
        view[s][2] = (mskp_tensor){.data = head[s], .dtype = MSKP_DTYPE_F64};
    }
    for (int i = 0; i < WIDTH * IN; i++) weight[VALUES][i] = 0.7 * sin(i * 1.7);
    for (int i = 0; i < WIDTH; i++) head[VALUES][i] = 0.7 * cos(i * 2.3);
}

/* Returns the loss; the gradients <- its slopes. The layout is dense, also after cuts. */
static double forward_and_backward(size_t width)
{
    double loss = 0;
    for (int p = 0; p < 3; p++)
        memset(view[GRADIENTS][p].data, 0, (p ? width : width * IN) * sizeof(double));
    for (int n = 0; n < IMAGES; n++) {
        double h[WIDTH], y = 0;
        for (size_t j = 0; j < width; j++) {
            h[j] = bias[VALUES][j];
            for (size_t i = 0; i < IN; i++) h[j] += weight[VALUES][j * IN + i] * image[n][i];
            h[j] = fmax(h[j], 0);
            y += head[VALUES][j] * h[j];
        }
        const double slope = (y - wanted[n]) / IMAGES;
        loss += 0.5 * slope * (y - wanted[n]);
        for (size_t j = 0; j < width; j++) {
            const double back = h[j] > 0 ? slope * head[VALUES][j] : 0;
            head[GRADIENTS][j] += slope * h[j];
            bias[GRADIENTS][j] += back;
            for (size_t i = 0; i < IN; i++) weight[GRADIENTS][j * IN + i] += back * image[n][i];
        }
    }
    return loss;
}

static void descend(size_t width)
{
    for (int p = 0; p < 3; p++) {
        double *w = view[VALUES][p].data, *g = view[GRADIENTS][p].data;
        double *m = view[MOMENTUM][p].data;
        for (size_t i = 0; i < (p ? width : width * IN); i++) {
            m[i] = momentum * m[i] + g[i];
            w[i] -= rate * m[i];
        }
    }
}

static size_t width_of(const mskp_pruner *p)
{
    size_t shape[MSKP_MAX_DIMS];
    mskp_param_shape(mskp_pruner_graph(p), (mskp_param){2}, shape); /* the bias */
    return shape[0];
}

/* The interruption: only text and weights survive, as in a file. */
static bool interrupt(mskp_pruner **p, const mskp_graph *g, const mskp_pruner_options *options)
{
    mskp_plan *plan = NULL;
    size_t length;
    if (mskp_pruner_write(*p, 0, NULL, &length, &err)) return false;
    char *text = malloc(length + 1);
    bool good = text && !mskp_pruner_write(*p, length + 1, text, &length, &err);
    double saved[SETS][3][WIDTH * IN];
    for (int s = 0; s < SETS; s++)
        for (int k = 0; k < 3; k++)
            memcpy(saved[s][k], view[s][k].data, (k ? WIDTH : WIDTH * IN) * sizeof(double));
    mskp_pruner_destroy(*p);
    *p = NULL;
    begin(); /* the whole network again */
    const mskp_move moves[SETS] = {
        {.from = set(VALUES)}, {.from = set(GRADIENTS)}, {.from = set(MOMENTUM)}};
    good = good && !mskp_pruner_read(g, options, length, text, p, &plan, &err);
    good = good && (!plan || !mskp_plan_cut(plan, SETS, moves, &err));
    for (int s = 0; s < SETS; s++)
        for (int k = 0; k < 3; k++)
            memcpy(view[s][k].data, saved[s][k], (k ? WIDTH : WIDTH * IN) * sizeof(double));
    mskp_plan_destroy(plan);
    free(text);
    return good;
}

/* Trains and prunes; *last <- the loss at the end. stop: the step of the interruption; -1: none. */
static bool train(const mskp_graph *g, int stop, double *last)
{
    mskp_pruner *p = NULL;
    const mskp_pruner_options options = {.rule = {.remove_fraction = 10.0 / WIDTH},
                                         .scoring = {.roles = MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER,
                                                     .magnitude = MSKP_MAGNITUDE_L2,
                                                     .reduce = MSKP_REDUCE_JOINT},
                                         .penalty = {.roles = MSKP_ROLE_FILTER | MSKP_ROLE_SHIFT},
                                         .steps = STEPS,
                                         .wait = 0.25,
                                         .masked = 0.5,
                                         .settle = 0.25,
                                         .rounds = 2};
    begin();
    bool good = !mskp_pruner_create(g, &options, &p, &err);
    for (int step = 0; good && step < STEPS; step++) {
        if (step == stop) good = interrupt(&p, g, &options);
        if (good && mskp_pruner_due(p) == MSKP_PRUNER_DUE_CUT) {
            const mskp_move moves[SETS] = {
                {.from = set(VALUES)}, {.from = set(GRADIENTS)}, {.from = set(MOMENTUM)}};
            char line[2000];
            size_t length;
            mskp_pruner_gauges gauges;
            const double before = forward_and_backward(width_of(p));
            good = !mskp_pruner_gauge(p, set(VALUES), &gauges, &err) &&
                   !mskp_pruner_gauge_json(&gauges, sizeof line, line, &length, &err) &&
                   !mskp_pruner_cut(p, SETS, moves, &err);
            if (!good) break;
            const double after = forward_and_backward(width_of(p));
            if (stop < 0) printf("%s\n", line);
            if (stop < 0)
                printf("step %d: %zu units are left, the loss was %.6f and is %.6f\n", step,
                       width_of(p), before, after);
            good = fabs(after - before) < 1e-12 && gauges.ready;
        }
        if (!good) break;
        *last = forward_and_backward(width_of(p));
        good = !mskp_pruner_before_step(p, rate, set(VALUES), set(GRADIENTS), &err);
        if (good) descend(width_of(p));
        good = good && !mskp_pruner_after_step(p, rate, set(VALUES), &err);
    }
    good = good && width_of(p) == WIDTH - 10;
    mskp_pruner_destroy(p);
    return good;
}

/* A mask of the program's own; marked units are looked at, and cut before the round is over. */
static bool by_hand(const mskp_graph *g)
{
    mskp_pruner *p = NULL;
    mskp_plan *plan = NULL;
    const mskp_constants *constants = NULL;
    mskp_constants_report total = {.exact = 0};
    mskp_gauge gauge;
    uint8_t stays[WIDTH];
    const mskp_pruner_options options = {.rule = {.remove_fraction = 0.5},
                                         .penalty = {.roles = MSKP_ROLE_FILTER | MSKP_ROLE_SHIFT},
                                         .scoring = {.roles = MSKP_ROLE_FILTER},
                                         .pull = MSKP_PULL_DEADLINE,
                                         .steps = 1000,
                                         .masked = 1};
    const mskp_penalty marked = {.roles = MSKP_ROLE_FILTER};
    begin();
    for (int u = 0; u < WIDTH; u++) stays[u] = u != 5;
    bool good = !mskp_pruner_create(g, &options, &p, &err) &&
                mskp_pruner_due(p) == MSKP_PRUNER_DUE_MASK &&
                !mskp_pruner_mark(p, set(VALUES), (mskp_mask){WIDTH, stays}, &err);
    for (int step = 0; good && step < 900; step++) {
        forward_and_backward(WIDTH);
        good = !mskp_pruner_before_step(p, rate, set(VALUES), set(GRADIENTS), &err);
        descend(WIDTH);
        good = good && !mskp_pruner_after_step(p, rate, set(VALUES), &err);
    }
    good = good && !mskp_penalty_gauge(g, mskp_pruner_mask(p), &marked, set(VALUES), &gauge, &err);
    if (good) printf("by hand: the largest marked weight is %.4f\n", gauge.largest);
    const mskp_move moves[SETS] = {
        {.from = set(VALUES)}, {.from = set(GRADIENTS)}, {.from = set(MOMENTUM)}};
    good = good && !mskp_pruner_prepare(p, set(VALUES), &plan, &constants, &err) &&
           !mskp_constants_total(constants, &total, &err) &&
           !mskp_constants_apply(constants, plan, set(VALUES), &err) &&
           !mskp_plan_cut(plan, SETS, moves, &err) && !mskp_pruner_cut_done(p, &err);
    good = good && total.exact && width_of(p) == WIDTH - 1;
    mskp_pruner_destroy(p);
    return good;
}

int main(void)
{
    double teacher[TEACHER][IN + 1], last = 1, again = 2;
    mskp_graph *g = describe();
    for (int j = 0; j < TEACHER; j++)
        for (int i = 0; i <= IN; i++) teacher[j][i] = draw();
    for (int n = 0; n < IMAGES; n++) {
        for (int i = 0; i < IN; i++) image[n][i] = draw();
        for (int j = 0; j < TEACHER; j++) {
            double h = 0;
            for (int i = 0; i < IN; i++) h += teacher[j][i] * image[n][i];
            wanted[n] += teacher[j][IN] * fmax(h, 0);
        }
    }
    bool good = g && train(g, -1, &last) && train(g, STOP, &again) && by_hand(g);
    printf("the loss at the end is %.6f, and %.6f after an interruption\n", last, again);
    if (good && !(last < 0.01 && !(again < last) && !(again > last)))
        good = false, fprintf(stderr, "pruner: the losses differ, or are too large\n");
    if (err.status) fprintf(stderr, "pruner: %s\n", err.text);
    mskp_graph_destroy(g);
    return !good;
}

/*
 * The whole network is trained; then the pruner marks units by the mean magnitude of their filters
 * over that of their family, takes all slices of marked units to zero in a straight line, and cuts
 * them; the small network is tuned.
 *
 * All slices, not gamma and beta alone, because the last convolution of a residual module has no
 * norm: what it adds to a channel stops only when its filter and bias are 0.
 */
#define _POSIX_C_SOURCE 200809L
#include "train.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/args.h"
#include "mskp/pruner.h"

static const double MOMENTUM = 0.9, DECAY = 1e-4;

typedef struct work {
    const char *name;
    const train_options *options;
    const train_data *data;
    train_result *result;
    char *text;
    cn_net *net;
    mskp_graph *graph; /* of the whole network */
    mskp_pruner *pruner;
    mskp_tensors values, gradients;
    cn_random random;
    size_t steps, *order; /* steps: of one epoch */
    cn_real *images;
    uint8_t *labels;
    double loss; /* since the last measurement */
    size_t losses;
} work;

#define FAIL(w, ...) args_refuse(TRAIN_TEXT, (w)->text, __VA_ARGS__)

/* ---- the network ---- */

static void show(work *w)
{
    cn_values(w->net, w->values);
    cn_gradients(w->net, w->gradients);
}

static bool describe(work *w)
{
    mskp_error err;
    const mskp_services services = {.context = w->net, .parallel_for = cn_parallel_for};
    w->graph = mskp_graph_create(&services);
    if (!w->graph) return FAIL(w, "%s: no memory for its description", w->name);
    cn_describe(w->net, w->graph);
    if (mskp_graph_finish(w->graph, &err) ||
        mskp_measure(w->graph, (mskp_mask){0}, &w->result->cost[0], NULL, &err))
        return FAIL(w, "%s: %s", w->name, err.text);
    w->result->units[0] = mskp_graph_counts(w->graph).units;
    return true;
}

static bool open_network(work *w, const inception *how)
{
    enum { MOST = 4096 };
    const train_options *o = w->options;
    const size_t n = w->data->train.count, batch = o->batch;
    const size_t points = 1 + TRAIN_POINTS * (o->epochs[TRAIN_DENSE] + o->epochs[TRAIN_MASKED] +
                                              o->epochs[TRAIN_TUNE]);
    cn_error err;
    cn_layer *layers = calloc(MOST, sizeof *layers);
    if (!layers) return FAIL(w, "%s: no memory for %d layers", w->name, MOST);
    const size_t count = inception_layers(how, w->data->train.classes, MOST, layers);
    if (count <= MOST)
        w->net = cn_create(w->name, count, layers, &(cn_options){batch, o->threads, o->seed}, &err);
    free(layers);
    if (count > MOST)
        return FAIL(w, "%s: has %zu layers, and at most %d are allowed", w->name, count, MOST);
    if (!w->net) return FAIL(w, "%s", err.text);
    const size_t params = w->net->param_count;
    w->values = (mskp_tensors){params, calloc(params, sizeof(mskp_tensor))};
    w->gradients = (mskp_tensors){params, calloc(params, sizeof(mskp_tensor))};
    w->order = malloc(n * sizeof *w->order);
    w->images = malloc(batch * CN_PIXELS * sizeof *w->images);
    w->labels = malloc(batch);
    w->result->epoch = malloc(3 * points * sizeof(double));
    if (!w->values.view || !w->gradients.view || !w->order || !w->images || !w->labels ||
        !w->result->epoch)
        return FAIL(w, "%s: no memory to train it with %zu images", w->name, n);
    w->result->error = w->result->epoch + points;
    w->result->loss = w->result->error + points;
    for (size_t i = 0; i < n; i++) w->order[i] = i;
    w->random = (cn_random){o->seed};
    w->steps = n / batch;
    show(w);
    return describe(w);
}

static void close_network(work *w)
{
    mskp_pruner_destroy(w->pruner);
    mskp_graph_destroy(w->graph);
    cn_destroy(w->net);
    free(w->values.view);
    free(w->gradients.view);
    free(w->order);
    free(w->images);
    free(w->labels);
}

/* ---- measurements ---- */

static bool test_error(work *w, double *percent)
{
    const cn_data *test = &w->data->test;
    const size_t right = cn_evaluate(w->net, test, NULL, NULL);
    if (right == SIZE_MAX) return FAIL(w, "%s: no memory to test it", w->name);
    *percent = 100 * (1 - (double)right / (double)test->count);
    return true;
}

static bool measure(work *w, double epoch)
{
    train_result *r = w->result;
    const size_t i = r->points;
    if (!test_error(w, &r->error[i])) return false;
    r->epoch[i] = epoch;
    r->loss[i] = w->losses ? w->loss / (double)w->losses : (double)NAN;
    r->points++;
    printf("%-16s epoch %4.1f: test error %.2f %%", w->name, epoch, r->error[i]);
    if (w->losses) printf(", loss %.4f", r->loss[i]);
    puts("");
    fflush(stdout);
    w->loss = 0;
    w->losses = 0;
    return true;
}

/* The first images of the test set, as a batch. */
static size_t first_images(work *w)
{
    size_t n = w->data->test.count, *index = calloc(w->options->batch, sizeof *index);
    if (n > w->options->batch) n = w->options->batch;
    if (!index) return 0;
    for (size_t i = 0; i < n; i++) index[i] = i;
    cn_draw(&w->data->test, n, index, NULL, w->images, w->labels);
    free(index);
    return n;
}

static double speed(work *w)
{
    const size_t n = first_images(w);
    struct timespec begin, now;
    double best = 0, spent = 0;
    for (size_t i = 0; n && (i < 3 || spent < 0.5); i++) {
        clock_gettime(CLOCK_MONOTONIC, &begin);
        cn_forward(w->net, n, w->images, false);
        clock_gettime(CLOCK_MONOTONIC, &now);
        const double took =
            (double)(now.tv_sec - begin.tv_sec) + 1e-9 * (double)(now.tv_nsec - begin.tv_nsec);
        best = fmax(best, (double)n / took);
        spent += took;
    }
    return best;
}

/* ---- training ---- */

static bool gradients(work *w, size_t step)
{
    const size_t at = step % w->steps * w->options->batch, n = w->options->batch;
    if (!at) cn_shuffle(&w->random, w->data->train.count, w->order);
    cn_draw(&w->data->train, n, w->order + at, &w->random, w->images, w->labels);
    cn_forward(w->net, n, w->images, true);
    const double loss = cn_loss(w->net, w->labels, NULL);
    if (!isfinite(loss))
        return FAIL(w, "%s: the loss is not finite in step %zu; try a smaller --rate", w->name,
                    step + 1);
    w->loss += loss;
    w->losses++;
    cn_backward(w->net);
    return true;
}

static void update(work *w, double rate)
{
    cn_sgd_step(w->net, &(cn_sgd){rate, MOMENTUM, DECAY, true});
}

/* After step number `step` of `steps`: a measurement, if one is due. */
static bool look(work *w, size_t step, double first_epoch)
{
    const size_t a = step * TRAIN_POINTS / w->steps, b = (step + 1) * TRAIN_POINTS / w->steps;
    return a == b || measure(w, first_epoch + (double)b / TRAIN_POINTS);
}

static bool train(work *w)
{
    const size_t steps = w->options->epochs[TRAIN_DENSE] * w->steps;
    for (size_t step = 0; step < steps; step++) {
        /* The first half epoch begins slowly: the residual networks' outputs are not normalized. */
        const double begun = fmin(1, 2 * (double)(step + 1) / (double)w->steps);
        if (!gradients(w, step)) return false;
        update(w, begun * cn_rate_cosine(w->options->rate, step, steps));
        if (!look(w, step, 0)) return false;
    }
    return true;
}

/* ---- pruning ---- */

/* Before the training, so that what cannot be pruned is refused at once. */
static bool make_pruner(work *w)
{
    const size_t masked = w->options->epochs[TRAIN_MASKED] * w->steps;
    const size_t steps = masked + w->options->epochs[TRAIN_TUNE] * w->steps;
    mskp_error err;
    if (w->options->keep >= 1) return true;
    const mskp_pruner_options options = {
        .rule = {.max_macs = w->options->keep * w->result->cost[0].macs, .min_channels = 2},
        .scoring = {.roles = MSKP_ROLE_FILTER, .reduce = MSKP_REDUCE_MEAN},
        .use_normalizer = 1,
        .normalizer = MSKP_NORMALIZER_MEAN,
        .penalty = {.roles = MSKP_ROLES_UNIT},
        .pull = MSKP_PULL_DEADLINE,
        .steps = steps,
        .masked = (double)masked / (double)steps};
    return !mskp_pruner_create(w->graph, &options, &w->pruner, &err) ||
           FAIL(w, "%s: %s", w->name, err.text);
}

/* The cut, and what it changes: the error, and the outputs for the first images. */
static bool cut(work *w)
{
    const size_t n = first_images(w), count = n * w->net->outputs;
    train_result *r = w->result;
    mskp_plan *plan;
    const mskp_constants *constants;
    mskp_error err;
    cn_error error;
    cn_real *outputs = malloc((count + 1) * sizeof *outputs);
    if (!outputs || !n) {
        free(outputs);
        return FAIL(w, "%s: no memory for outputs of %zu images", w->name, n);
    }
    memcpy(outputs, cn_forward(w->net, n, w->images, false), count * sizeof *outputs);
    bool good = test_error(w, &r->before);
    if (good && mskp_pruner_prepare(w->pruner, w->values, &plan, &constants, &err))
        good = FAIL(w, "%s: %s", w->name, err.text);
    if (good && !cn_prune(w->net, mskp_pruner_graph(w->pruner), plan, constants, &error))
        good = FAIL(w, "%s: %s", w->name, error.text);
    if (good && mskp_pruner_cut_done(w->pruner, &err)) good = FAIL(w, "%s: %s", w->name, err.text);
    if (good) {
        show(w);
        first_images(w);
        const cn_real *now = cn_forward(w->net, n, w->images, false);
        for (size_t i = 0; i < count; i++)
            r->difference = fmax(r->difference, fabs((double)(now[i] - outputs[i])));
        good = test_error(w, &r->after);
    }
    free(outputs);
    return good;
}

static bool prune(work *w)
{
    const size_t *epochs = w->options->epochs;
    const size_t steps = (epochs[TRAIN_MASKED] + epochs[TRAIN_TUNE]) * w->steps;
    mskp_error err;
    for (size_t step = 0; step <= steps; step++) {
        const double rate = cn_rate_cosine(w->options->rate / 2, step, steps);
        if (mskp_pruner_due(w->pruner) == MSKP_PRUNER_DUE_CUT && !cut(w)) return false;
        if (step == steps) break;
        if (!gradients(w, step)) return false;
        if (mskp_pruner_before_step(w->pruner, rate, w->values, w->gradients, &err))
            return FAIL(w, "%s: %s", w->name, err.text);
        update(w, rate);
        if (mskp_pruner_after_step(w->pruner, rate, w->values, &err))
            return FAIL(w, "%s: %s", w->name, err.text);
        if (!look(w, step, (double)epochs[TRAIN_DENSE])) return false;
    }
    const mskp_graph *graph = mskp_pruner_graph(w->pruner);
    w->result->units[1] = mskp_graph_counts(graph).units;
    w->result->speed[1] = speed(w);
    return !mskp_measure(graph, (mskp_mask){0}, &w->result->cost[1], NULL, &err) ||
           FAIL(w, "%s: %s", w->name, err.text);
}

bool train_network(const char *name, const inception *how, const train_options *options,
                   const train_data *data, train_result *result, char text[TRAIN_TEXT])
{
    work w = {.name = name, .options = options, .data = data, .result = result};
    w.text = text;
    *result = (train_result){0};
    bool good = open_network(&w, how) && make_pruner(&w) && measure(&w, 0) && train(&w);
    if (good) result->speed[0] = speed(&w);
    if (good && w.pruner) good = prune(&w);
    close_network(&w);
    return good;
}

void train_free(train_result *result)
{
    free(result->epoch);
    result->epoch = NULL;
}

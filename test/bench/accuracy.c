/*
 * What each score is worth on real images: a trained ResNet is cut at once to half of its
 * multiply-accumulates, by the mask that the score gives, and then tuned.
 *
 *     accuracy CIFAR NETWORK.safetensors RESULTS.csv [EPOCHS [SEEDS [SCORE ...]]]
 *
 * CIFAR is a folder with CIFAR-10's binary files (make cifar). Writes one line per score and seed
 * to RESULTS: score, seed, units removed, MACs left, accuracy right after the cut, after EPOCHS (2)
 * of tuning. Lines that are there already are not computed again, so a run that was stopped can go
 * on. The seed (1 to SEEDS, 3) chooses the images that scores are measured on, their order in
 * tuning, and the numbers of `random`.
 *
 * Every mask is chosen by mskp_constants_select within the same budget, carriers included, and the
 * constants of what leaves are moved. Scores that grow with the size of a layer are divided by the
 * mean of their family. Tuning: batches of 128, SGD with momentum 0.9 (Nesterov), decay 1e-4, lr
 * from 0.02 along a cosine.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h" /* of the runtime: the results of its layers */
#include "mskp/blas.h"
#include "mskp/constants.h"
#include "mskp/methods.h"
#include "mskp_convnet.h"
#include "timing.h"

enum { BATCH = 128, MEASURED = 20 }; /* batches on which scores are measured */
static const double RATE = 0.02, KEEP = 0.5;

typedef struct work {
    cn_data train, test;
    cn_net *net;
    mskp_graph *graph;
    mskp_tensors values, gradients;
    mskp_scores scores;
    mskp_error err;
    cn_random random;
    size_t *order;
    cn_real *images;
    uint8_t labels[BATCH];
    uint64_t seed;
} work;

/* ---- scores ---- */

static bool norm(work *w, mskp_magnitude magnitude, mskp_reduce reduce, uint32_t roles)
{
    const mskp_scoring scoring = {.magnitude = magnitude, .reduce = reduce, .roles = roles};
    return !mskp_score(w->graph, &scoring, w->values, w->scores, &w->err);
}

static bool by(work *w, mskp_normalizer normalizer)
{
    return !mskp_score_normalize(w->graph, normalizer, 0, w->scores, &w->err);
}

static void draw(work *w, size_t n)
{
    for (size_t i = 0; i < n; i++) w->order[i] = cn_random_below(&w->random, w->train.count);
    cn_draw(&w->train, n, w->order, NULL, w->images, w->labels);
}

/* Adds up a Taylor score over batches of n images. The network computes as in training, because
 * only then does it keep what its gradients need; the running statistics are put back later. */
static bool taylor(work *w, mskp_taylor form, uint32_t roles, size_t batches, size_t n)
{
    memset(w->scores.unit, 0, w->scores.n * sizeof *w->scores.unit);
    for (size_t b = 0; b < batches; b++) {
        draw(w, n);
        cn_forward(w->net, n, w->images, true);
        cn_loss(w->net, w->labels, NULL);
        cn_backward(w->net);
        if (mskp_score_taylor(w->graph, form, roles, w->values, w->gradients, w->scores, &w->err))
            return false;
    }
    return true;
}

/* What a layer computed for slice s, as a batch: [images][channels][height][width]. */
static mskp_tensor layer_maps(const work *w, size_t layer, size_t s)
{
    const cn_engine *e = w->net->engine;
    const cn_layer *l = &w->net->layers[layer];
    const size_t first = s * CN_SLICE, left = e->images - first;
    const size_t n = left < CN_SLICE ? left : CN_SLICE;
    const size_t plane = cn_plane(l->height, l->width, n);
    const cn_buffer *b = e->nodes[layer].value;
    return (mskp_tensor){
        .data = b->data + s * b->slice,
        .dtype = CN_DTYPE,
        .ndim = 4,
        .shape = {n, l->channels, l->height, l->width},
        .stride = {1, (ptrdiff_t)plane, (ptrdiff_t)(l->width * n), (ptrdiff_t)n},
    };
}

typedef bool measure_layer(work *w, const mskp_tensor *maps, size_t channels, void *numbers);

/* Runs some batches and passes what each ReLU computed to `measure`, whose numbers have `size`
 * bytes per channel; then `number` makes a score of each channel's. */
static bool activations(work *w, measure_layer *measure, size_t size, size_t batches,
                        double (*number)(const void *numbers))
{
    const cn_net *net = w->net;
    char **numbers = calloc(net->layer_count, sizeof *numbers);
    mskp_channel_scores *given = calloc(net->layer_count, sizeof *given);
    bool good = numbers && given;
    size_t n = 0;
    for (size_t l = 0; good && l < net->layer_count; l++)
        if (net->layers[l].kind == CN_RELU)
            good = (numbers[l] = calloc(net->layers[l].channels, size)) != NULL;
    for (size_t b = 0; good && b < batches; b++) {
        draw(w, BATCH);
        cn_forward(w->net, BATCH, w->images, true);
        for (size_t l = 0; l < net->layer_count; l++)
            for (size_t s = 0; numbers[l] && good && s < BATCH / CN_SLICE; s++) {
                const mskp_tensor maps = layer_maps(w, l, s);
                good = measure(w, &maps, net->layers[l].channels, numbers[l]);
            }
    }
    for (size_t l = 0; good && l < net->layer_count; l++) {
        if (!numbers[l]) continue;
        const size_t channels = net->layers[l].channels;
        double *score = malloc(channels * sizeof *score);
        for (size_t c = 0; score && c < channels; c++) score[c] = number(numbers[l] + c * size);
        given[n++] =
            (mskp_channel_scores){mskp_value_find(w->graph, net->layers[l].name), channels, score};
        good = score != NULL;
    }
    good = good && !mskp_score_channels(w->graph, n, given, MSKP_REDUCE_MEAN, w->scores, &w->err);
    for (size_t l = 0; numbers && l < net->layer_count; l++) free(numbers[l]);
    for (size_t k = 0; k < n; k++) free((void *)given[k].channel);
    free(numbers);
    free(given);
    return good;
}

static bool add_stats(work *w, const mskp_tensor *maps, size_t n, void *numbers)
{
    return !mskp_channel_stats_add(NULL, maps, 1, n, numbers, &w->err);
}

static bool add_ranks(work *w, const mskp_tensor *maps, size_t n, void *numbers)
{
    return !mskp_channel_ranks(NULL, maps, n, numbers, &w->err);
}

static bool add_independence(work *w, const mskp_tensor *maps, size_t n, void *numbers)
{
    return !mskp_channel_independence(NULL, maps, n, numbers, &w->err);
}

static double mean_of(const void *numbers)
{
    return ((const mskp_channel_stats *)numbers)->mean;
}

static double active_of(const void *numbers)
{
    const mskp_channel_stats *s = numbers;
    return 1 - s->zeros / s->count;
}

static double variance_of(const void *numbers)
{
    const mskp_channel_stats *s = numbers;
    return s->squares / s->count;
}

static double as_it_is(const void *number)
{
    return *(const double *)number;
}

enum {
    GATE = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT,
    UNIT = MSKP_ROLES_UNIT,
    FILTER = MSKP_ROLE_FILTER
};

static bool gamma_mean(work *w)
{
    return norm(w, MSKP_MAGNITUDE_L1, MSKP_REDUCE_MEAN, MSKP_ROLE_SCALE);
}

static bool gamma_sum(work *w)
{
    return norm(w, MSKP_MAGNITUDE_L1, MSKP_REDUCE_SUM, MSKP_ROLE_SCALE);
}

static bool filters_l1(work *w)
{
    return norm(w, MSKP_MAGNITUDE_L1, MSKP_REDUCE_MEAN, FILTER) && by(w, MSKP_NORMALIZER_MEAN);
}

static bool filters_l2(work *w)
{
    return norm(w, MSKP_MAGNITUDE_L2, MSKP_REDUCE_MEAN, FILTER) && by(w, MSKP_NORMALIZER_MEAN);
}

static bool unit_l2(work *w)
{
    return norm(w, MSKP_MAGNITUDE_L2, MSKP_REDUCE_JOINT, UNIT) && by(w, MSKP_NORMALIZER_MEAN);
}

static bool lamp(work *w)
{
    if (!norm(w, MSKP_MAGNITUDE_L2, MSKP_REDUCE_JOINT, UNIT)) return false;
    for (size_t u = 0; u < w->scores.n; u++) w->scores.unit[u] *= w->scores.unit[u];
    return by(w, MSKP_NORMALIZER_LAMP);
}

static bool taylor_gate(work *w)
{
    return taylor(w, MSKP_TAYLOR_ABSOLUTE_SUM, GATE, MEASURED, BATCH);
}

static bool taylor_gate_squared(work *w)
{
    return taylor(w, MSKP_TAYLOR_SQUARED_SUM, GATE, MEASURED, BATCH);
}

static bool taylor_weights(work *w)
{
    return taylor(w, MSKP_TAYLOR_SUM_OF_SQUARES, FILTER, MEASURED, BATCH);
}

static bool fisher(work *w)
{
    return taylor(w, MSKP_TAYLOR_SUM_OF_SQUARES, UNIT, (size_t)MEASURED * 8, CN_SLICE);
}

static bool fpgm(work *w)
{
    return !mskp_score_filters(NULL, w->graph, MSKP_RESEMBLANCE_DISTANCE, MSKP_REDUCE_MEAN,
                               w->values, w->scores, &w->err) &&
           by(w, MSKP_NORMALIZER_MEAN);
}

static bool cosine(work *w)
{
    return !mskp_score_filters(NULL, w->graph, MSKP_RESEMBLANCE_COSINE, MSKP_REDUCE_MEAN, w->values,
                               w->scores, &w->err);
}

static bool mean_activation(work *w)
{
    return activations(w, add_stats, sizeof(mskp_channel_stats), MEASURED, mean_of) &&
           by(w, MSKP_NORMALIZER_MEAN);
}

static bool apoz(work *w)
{
    return activations(w, add_stats, sizeof(mskp_channel_stats), MEASURED, active_of);
}

static bool variance(work *w)
{
    return activations(w, add_stats, sizeof(mskp_channel_stats), MEASURED, variance_of) &&
           by(w, MSKP_NORMALIZER_MEAN);
}

static bool hrank(work *w)
{
    return activations(w, add_ranks, sizeof(double), 1, as_it_is) && by(w, MSKP_NORMALIZER_MEAN);
}

static bool chip(work *w)
{
    return activations(w, add_independence, sizeof(double), 1, as_it_is) &&
           by(w, MSKP_NORMALIZER_MEAN);
}

static bool chance(work *w)
{
    return !mskp_score_random(w->graph, w->seed, w->scores, &w->err);
}

static bool constant(work *w)
{
    for (size_t u = 0; u < w->scores.n; u++) w->scores.unit[u] = 1;
    return true;
}

static const struct method {
    const char *name;
    bool (*score)(work *w);
} methods[] = {{"gamma-mean", gamma_mean},
               {"gamma-sum", gamma_sum},
               {"filters-l1", filters_l1},
               {"filters-l2", filters_l2},
               {"unit-l2", unit_l2},
               {"lamp", lamp},
               {"taylor-gate", taylor_gate},
               {"taylor-gate-squared", taylor_gate_squared},
               {"taylor-weights", taylor_weights},
               {"fisher", fisher},
               {"fpgm", fpgm},
               {"cosine", cosine},
               {"mean-activation", mean_activation},
               {"apoz", apoz},
               {"variance", variance},
               {"hrank", hrank},
               {"chip", chip},
               {"random", chance},
               {"constant", constant}};
enum { METHODS = sizeof methods / sizeof *methods };

/* ---- one line ---- */

static bool fail(const char *what, const char *sentence)
{
    fprintf(stderr, "accuracy: %s: %s\n", what, sentence);
    return false;
}

static bool open_network(work *w, const char *path)
{
    const cn_options options = {.batch = BATCH, .threads = 1, .seed = 1};
    cn_error err;
    w->net = cn_load(path, &options, &err);
    if (!w->net) return fail(path, err.text);
    w->graph = mskp_graph_create(NULL);
    cn_describe(w->net, w->graph);
    if (mskp_graph_finish(w->graph, &w->err)) return fail(path, w->err.text);
    const size_t n = w->net->param_count, units = mskp_graph_counts(w->graph).units;
    w->values = (mskp_tensors){n, calloc(n, sizeof(mskp_tensor))};
    w->gradients = (mskp_tensors){n, calloc(n, sizeof(mskp_tensor))};
    w->scores = (mskp_scores){units, calloc(units, sizeof(double))};
    if (!w->values.view || !w->gradients.view || !w->scores.unit) return fail(path, "no memory");
    cn_values(w->net, w->values);
    cn_gradients(w->net, w->gradients);
    return true;
}

static void close_network(work *w)
{
    mskp_graph_destroy(w->graph);
    cn_destroy(w->net);
    free(w->values.view);
    free(w->gradients.view);
    free(w->scores.unit);
    w->graph = NULL, w->net = NULL;
    w->values.view = w->gradients.view = NULL;
    w->scores.unit = NULL;
}

/* Scores a copy, so that running statistics that were moved do not count; cuts the other. */
static bool cut(work *w, const char *path, const struct method *m, size_t *removed, double *left)
{
    mskp_cost all, cost;
    mskp_constants *constants = NULL;
    mskp_plan *plan = NULL;
    mskp_graph *small = NULL;
    cn_error error;
    if (!open_network(w, path)) return false;
    const bool scored = m->score(w);
    const mskp_scores scores = w->scores;
    w->scores.unit = NULL;
    close_network(w);
    bool good = (scored || fail(m->name, w->err.text)) && open_network(w, path);
    const size_t units = scores.n;
    uint8_t *kept = malloc(units + 1);
    const mskp_mask keep = {units, kept};
    if (good && (!kept || mskp_measure(w->graph, (mskp_mask){0}, &all, NULL, &w->err)))
        good = fail(m->name, w->err.text);
    const mskp_rule rule = {.max_macs = KEEP * all.macs, .min_channels = 2};
    if (good &&
        (mskp_constants_select(w->graph, scores, &rule, NULL, w->values, &constants, &w->err) ||
         mskp_constants_masks(constants, (mskp_mask){0}, (mskp_mask){0}, keep, &w->err) ||
         mskp_measure(w->graph, keep, &cost, NULL, &w->err) ||
         mskp_constants_plan(constants, &plan, &small, &w->err)))
        good = fail(m->name, w->err.text);
    if (good && !cn_prune(w->net, w->graph, plan, constants, &error))
        good = fail(m->name, error.text);
    *removed = 0;
    for (size_t u = 0; good && u < units; u++) *removed += !kept[u];
    if (good) *left = cost.macs / all.macs;
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    mskp_constants_destroy(constants);
    free(kept);
    free(scores.unit);
    return good;
}

static void tune(work *w, size_t epochs)
{
    const size_t steps = w->train.count / BATCH * epochs;
    size_t *order = malloc(w->train.count * sizeof *order), step = 0;
    if (!order) return;
    for (size_t i = 0; i < w->train.count; i++) order[i] = i;
    cn_sgd_reset(w->net);
    for (size_t e = 0; e < epochs; e++) {
        cn_shuffle(&w->random, w->train.count, order);
        for (size_t at = 0; at + BATCH <= w->train.count; at += BATCH, step++) {
            cn_draw(&w->train, BATCH, order + at, &w->random, w->images, w->labels);
            cn_forward(w->net, BATCH, w->images, true);
            cn_loss(w->net, w->labels, NULL);
            cn_backward(w->net);
            cn_sgd_step(w->net, &(cn_sgd){.rate = cn_rate_cosine(RATE, step, steps),
                                          .momentum = 0.9,
                                          .decay = 1e-4,
                                          .nesterov = true});
        }
    }
    free(order);
}

/* Whether the file has a line for this score and seed. */
static bool is_there(const char *path, const char *name, uint64_t seed)
{
    char begin[80], line[256];
    bool found = false;
    FILE *file = fopen(path, "r");
    snprintf(begin, sizeof begin, "%s,%llu,", name, (unsigned long long)seed);
    while (file && !found && fgets(line, sizeof line, file))
        found = !strncmp(line, begin, strlen(begin));
    if (file) fclose(file);
    return found;
}

static bool run(work *w, const char *network, const char *results, const struct method *m,
                size_t epochs)
{
    size_t removed;
    double left;
    const double start = timing_now();
    w->random = (cn_random){w->seed};
    memset(&w->err, 0, sizeof w->err);
    bool good = cut(w, network, m, &removed, &left);
    if (good) {
        const size_t after = cn_evaluate(w->net, &w->test, NULL, NULL);
        if (epochs) tune(w, epochs);
        const size_t tuned = epochs ? cn_evaluate(w->net, &w->test, NULL, NULL) : after;
        FILE *file = fopen(results, "a");
        good = file != NULL || fail(results, "it cannot be written");
        for (int k = 0; good && k < 2; k++)
            fprintf(k ? stdout : file, "%s,%llu,%zu,%.4f,%.2f,%.2f\n", m->name,
                    (unsigned long long)w->seed, removed, left,
                    100.0 * (double)after / (double)w->test.count,
                    100.0 * (double)tuned / (double)w->test.count);
        printf("%.0f s\n", timing_now() - start);
        fflush(stdout);
        if (file) fclose(file);
    }
    close_network(w);
    return good;
}

int main(int argc, char **argv)
{
    work w = {.order = NULL};
    cn_error err;
    if (argc < 4) {
        printf("accuracy: skipped; it needs CIFAR NETWORK.safetensors RESULTS.csv\n");
        return 0;
    }
    const size_t epochs = argc > 4 ? strtoul(argv[4], NULL, 10) : 2;
    const size_t seeds = argc > 5 ? strtoul(argv[5], NULL, 10) : 3;
    w.order = malloc(BATCH * sizeof *w.order);
    w.images = malloc(BATCH * CN_PIXELS * sizeof *w.images);
    bool good = w.order && w.images;
    if (good && (!cn_data_cifar10(argv[1], true, &w.train, &err) ||
                 !cn_data_cifar10(argv[1], false, &w.test, &err)))
        good = fail(argv[1], err.text);
    for (w.seed = 1; good && w.seed <= seeds; w.seed++)
        for (size_t k = 0; good && k < METHODS; k++) {
            bool wanted = argc <= 6;
            for (int i = 6; i < argc; i++) wanted |= !strcmp(argv[i], methods[k].name);
            if (wanted && !is_there(argv[3], methods[k].name, w.seed))
                good = run(&w, argv[2], argv[3], &methods[k], epochs);
        }
    cn_data_free(&w.train);
    cn_data_free(&w.test);
    free(w.order);
    free(w.images);
    return good ? 0 : 1;
}

/*
 * Whether it pays to regularize channels before they are cut: one run for each method, on real
 * images, with equal epochs.
 *
 *     study CIFAR NETWORK.safetensors RESULTS.csv EPOCHS SEED KEEP RATE [METHOD ...]
 *
 * CIFAR is a folder with CIFAR-10's binary files (make cifar), NETWORK a trained ResNet. Each
 * method starts from NETWORK and trains for EPOCHS in all, from the learning rate RATE along one
 * cosine to 0. It ends with at most the share KEEP of the multiply-accumulates, carriers included.
 * What differs is what a method scores, what it drives to zero and for how long: the table METHODS.
 * Those whose name begins with "cut" remove channels in the first step.
 *
 * The last 5000 training images are held out, to choose RATE by; 45,000 are trained on. SGD with
 * momentum 0.9 (Nesterov), decay 1e-4, batches of 128. Writes one line per run to RESULTS: method,
 * epochs, seed, keep, rate; units that left; the share of MACs that is left; accuracy in percent on
 * the images held out and on the test images, right after the (last) cut and at the end; seconds.
 * Lines that are there already are not computed again, so a study that was stopped can go on.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mskp/pruner.h"
#include "mskp_convnet.h"
#include "timing.h"

enum { BATCH = 128, HELD_OUT = 5000, MEASURED = 20 };

typedef enum score_kind { BY_FILTERS, BY_GAMMA, BY_TAYLOR, BY_CHANCE, UNIFORM } score_kind;
enum { GAMMA = MSKP_ROLE_SCALE, BOTH = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT, UNIT = MSKP_ROLES_UNIT };

static const struct method {
    const char *name;
    score_kind score;
    mskp_pull pull;
    uint32_t roles, fade, rounds;
    double wait, sparse, masked, settle;
} METHODS[] = {
    {.name = "cut-filters", .score = BY_FILTERS, .roles = GAMMA},
    {.name = "cut-gamma", .score = BY_GAMMA, .roles = GAMMA},
    {.name = "cut-taylor", .score = BY_TAYLOR, .roles = GAMMA},
    {.name = "cut-chance", .score = BY_CHANCE, .roles = GAMMA},
    {.name = "cut-uniform", .score = UNIFORM, .roles = GAMMA},
    {.name = "slimming", .score = BY_GAMMA, .roles = GAMMA, .sparse = 0.3},
    {.name = "masked-gamma", .roles = GAMMA, .masked = 0.1, .settle = 0.25},
    {.name = "masked", .roles = BOTH, .masked = 0.1, .settle = 0.25},
    {.name = "masked-long", .roles = BOTH, .masked = 0.3, .settle = 0.25},
    {.name = "masked-gradient",
     .roles = BOTH,
     .pull = MSKP_PULL_GRADIENT,
     .masked = 0.1,
     .settle = 0.25},
    {.name = "masked-fade", .roles = BOTH, .fade = 1, .masked = 0.1, .settle = 0.25},
    {.name = "masked-taylor", .score = BY_TAYLOR, .roles = BOTH, .masked = 0.1, .settle = 0.25},
    {.name = "deadline", .roles = BOTH, .pull = MSKP_PULL_DEADLINE, .masked = 0.1},
    {.name = "deadline-unit", .roles = UNIT, .pull = MSKP_PULL_DEADLINE, .masked = 0.1},
    {.name = "rounds-5", .roles = BOTH, .masked = 0.3, .settle = 0.25, .rounds = 5},
    {.name = "rounds-5-taylor",
     .score = BY_TAYLOR,
     .roles = BOTH,
     .masked = 0.3,
     .settle = 0.25,
     .rounds = 5},
};
enum { COUNT = sizeof METHODS / sizeof *METHODS };

typedef struct work {
    cn_data train, held, test;
    cn_net *net;
    mskp_graph *graph; /* of the whole network */
    mskp_tensors values, gradients;
    const struct method *method;
    cn_random random, chance;
    size_t *order, batch[BATCH];
    cn_real *images;
    uint8_t labels[BATCH];
    mskp_error err;
} work;

static bool fail(const char *what, const char *text)
{
    fprintf(stderr, "study: %s: %s\n", what, text);
    return false;
}

/* ---- scores ---- */

/* Running statistics are moved by forward passes in training mode, so they are put back. */
static mskp_status taylor(work *w, const mskp_graph *graph, mskp_tensors values, mskp_scores scores,
                          mskp_error *err)
{
    const size_t n = w->net->param_count;
    cn_real **saved = calloc(n, sizeof *saved);
    mskp_status status = saved ? MSKP_OK : MSKP_ERROR_NO_MEMORY;
    for (size_t p = 0; saved && p < n; p++) {
        const cn_param *q = &w->net->params[p];
        if (q->trained) continue;
        saved[p] = malloc(q->count * sizeof **saved);
        if (saved[p])
            memcpy(saved[p], q->value, q->count * sizeof **saved);
        else
            status = MSKP_ERROR_NO_MEMORY;
    }
    memset(scores.unit, 0, scores.n * sizeof *scores.unit);
    for (size_t b = 0; !status && b < MEASURED; b++) {
        for (size_t i = 0; i < BATCH; i++)
            w->batch[i] = cn_random_below(&w->chance, w->train.count);
        cn_draw(&w->train, BATCH, w->batch, NULL, w->images, w->labels);
        cn_forward(w->net, BATCH, w->images, true);
        cn_loss(w->net, w->labels, NULL);
        cn_backward(w->net);
        status = mskp_score_taylor(graph, MSKP_TAYLOR_ABSOLUTE_SUM, BOTH, values, w->gradients,
                                   scores, err);
    }
    for (size_t p = 0; saved && p < n; p++) {
        if (saved[p])
            memcpy(w->net->params[p].value, saved[p], w->net->params[p].count * sizeof **saved);
        free(saved[p]);
    }
    free(saved);
    return status;
}

/* A unit's score becomes its place in its family, so that all families lose the same share. */
static void places(const mskp_graph *graph, mskp_scores scores)
{
    const size_t families = mskp_graph_counts(graph).families;
    double *was = malloc(scores.n * sizeof *was);
    if (!was) return;
    memcpy(was, scores.unit, scores.n * sizeof *was);
    for (size_t f = 0; f < families; f++) {
        size_t n;
        const uint32_t *unit = mskp_family_units(graph, f, &n);
        for (size_t i = 0; i < n; i++) {
            size_t below = 0;
            for (size_t k = 0; k < n; k++)
                below += was[unit[k]] < was[unit[i]] || (was[unit[k]] <= was[unit[i]] && k < i);
            scores.unit[unit[i]] = (double)(below + 1) / (double)n;
        }
    }
    free(was);
}

static mskp_status score(void *context, const mskp_graph *graph, mskp_tensors values,
                         mskp_scores scores, mskp_error *err)
{
    work *w = context;
    const mskp_scoring filters = {.roles = MSKP_ROLE_FILTER, .reduce = MSKP_REDUCE_MEAN};
    const mskp_scoring gamma = {.reduce = MSKP_REDUCE_MEAN};
    const score_kind kind = w->method->score;
    if (kind == BY_TAYLOR) return taylor(w, graph, values, scores, err);
    if (kind == BY_CHANCE) return mskp_score_random(graph, w->chance.state, scores, err);
    mskp_status status =
        mskp_score(graph, kind == BY_GAMMA ? &gamma : &filters, values, scores, err);
    if (!status && kind != BY_GAMMA)
        status = mskp_score_normalize(graph, MSKP_NORMALIZER_MEAN, 0, scores, err);
    if (!status && kind == UNIFORM) places(graph, scores);
    return status;
}

/* ---- a run ---- */

static void show(work *w)
{
    cn_values(w->net, w->values);
    cn_gradients(w->net, w->gradients);
}

static bool open_network(work *w, const char *path, uint64_t seed)
{
    cn_error error;
    const cn_options options = {.batch = BATCH, .threads = 1, .seed = seed};
    w->net = cn_load(path, &options, &error);
    if (!w->net) return fail(path, error.text);
    w->graph = mskp_graph_create(NULL);
    cn_describe(w->net, w->graph);
    if (mskp_graph_finish(w->graph, &w->err)) return fail(path, w->err.text);
    const size_t n = w->net->param_count;
    w->values = (mskp_tensors){n, calloc(n, sizeof(mskp_tensor))};
    w->gradients = (mskp_tensors){n, calloc(n, sizeof(mskp_tensor))};
    if (!w->values.view || !w->gradients.view) return fail(path, "no memory");
    show(w);
    w->random = (cn_random){seed};
    w->chance = (cn_random){seed + 1000};
    return true;
}

static void close_network(work *w)
{
    mskp_graph_destroy(w->graph);
    cn_destroy(w->net);
    free(w->values.view);
    free(w->gradients.view);
    w->graph = NULL, w->net = NULL;
    w->values.view = w->gradients.view = NULL;
}

static double percent(work *w, const cn_data *data)
{
    return 100.0 * (double)cn_evaluate(w->net, data, NULL, NULL) / (double)data->count;
}

typedef struct result {
    size_t removed;
    double left, held_after, test_after, held, test;
} result;

static bool cut(work *w, mskp_pruner *p, result *r)
{
    mskp_plan *plan;
    const mskp_constants *constants;
    cn_error error;
    if (mskp_pruner_prepare(p, w->values, &plan, &constants, &w->err))
        return fail(w->method->name, w->err.text);
    if (!cn_prune(w->net, mskp_pruner_graph(p), plan, constants, &error))
        return fail(w->method->name, error.text);
    show(w);
    if (mskp_pruner_cut_done(p, &w->err)) return fail(w->method->name, w->err.text);
    r->held_after = percent(w, &w->held);
    r->test_after = percent(w, &w->test);
    return true;
}

static bool train(work *w, mskp_pruner *p, size_t epochs, double rate, result *r)
{
    const size_t per_epoch = w->train.count / BATCH, steps = epochs * per_epoch;
    for (size_t step = 0; step < steps; step++) {
        const size_t at = step % per_epoch * BATCH;
        const double now = cn_rate_cosine(rate, step, steps);
        while (mskp_pruner_due(p) == MSKP_PRUNER_DUE_CUT)
            if (!cut(w, p, r)) return false;
        if (!at) cn_shuffle(&w->random, w->train.count, w->order);
        cn_draw(&w->train, BATCH, w->order + at, &w->random, w->images, w->labels);
        if (mskp_pruner_due(p) == MSKP_PRUNER_DUE_MASK) { /* scores may use the images' memory */
            if (mskp_pruner_mark(p, w->values, (mskp_mask){0}, &w->err))
                return fail(w->method->name, w->err.text);
            cn_draw(&w->train, BATCH, w->order + at, &w->random, w->images, w->labels);
        }
        cn_forward(w->net, BATCH, w->images, true);
        const double loss = cn_loss(w->net, w->labels, NULL);
        cn_backward(w->net);
        if (!isfinite(loss)) return fail(w->method->name, "the loss is not finite");
        if (mskp_pruner_before_step(p, now, w->values, w->gradients, &w->err))
            return fail(w->method->name, w->err.text);
        cn_sgd_step(w->net,
                    &(cn_sgd){.rate = now, .momentum = 0.9, .decay = 1e-4, .nesterov = true});
        if (mskp_pruner_after_step(p, now, w->values, &w->err))
            return fail(w->method->name, w->err.text);
    }
    while (mskp_pruner_due(p) == MSKP_PRUNER_DUE_CUT)
        if (!cut(w, p, r)) return false;
    r->held = percent(w, &w->held);
    r->test = percent(w, &w->test);
    return true;
}

static bool run(work *w, const char *network, size_t epochs, uint64_t seed, double keep,
                double rate, result *r)
{
    const struct method *m = w->method;
    mskp_pruner *p = NULL;
    mskp_cost all, now;
    if (!open_network(w, network, seed)) return false;
    for (size_t i = 0; i < w->train.count; i++) w->order[i] = i;
    bool good = !mskp_measure(w->graph, (mskp_mask){0}, &all, NULL, &w->err);
    const mskp_pruner_options options = {.rule = {.max_macs = keep * all.macs, .min_channels = 2},
                                         .score = score,
                                         .context = w,
                                         .penalty = {.roles = m->roles},
                                         .pull = m->pull,
                                         .momentum = 0.9,
                                         .fade = m->fade,
                                         .steps = epochs * (w->train.count / BATCH),
                                         .wait = m->wait,
                                         .sparse = m->sparse,
                                         .sparse_strength = 0.002,
                                         .masked = m->masked,
                                         .settle = m->settle,
                                         .rounds = m->rounds};
    good = good && !mskp_pruner_create(w->graph, &options, &p, &w->err);
    if (!good) fail(m->name, w->err.text);
    const size_t units = mskp_graph_counts(w->graph).units;
    good = good && train(w, p, epochs, rate, r);
    if (good && !mskp_measure(mskp_pruner_graph(p), (mskp_mask){0}, &now, NULL, &w->err)) {
        r->left = now.macs / all.macs;
        r->removed = units - mskp_graph_counts(mskp_pruner_graph(p)).units;
    }
    mskp_pruner_destroy(p);
    close_network(w);
    return good;
}

static bool is_there(const char *path, const char *begin)
{
    char line[256];
    bool found = false;
    FILE *file = fopen(path, "r");
    while (file && !found && fgets(line, sizeof line, file))
        found = !strncmp(line, begin, strlen(begin));
    if (file) fclose(file);
    return found;
}

int main(int argc, char **argv)
{
    static work w;
    cn_error error;
    if (argc < 8) {
        printf("study: skipped; it needs CIFAR NETWORK.safetensors RESULTS.csv EPOCHS SEED KEEP "
               "RATE\n");
        return 0;
    }
    const size_t epochs = strtoul(argv[4], NULL, 10), seed = strtoul(argv[5], NULL, 10);
    const double keep = strtod(argv[6], NULL), rate = strtod(argv[7], NULL);
    bool good = (cn_data_cifar10(argv[1], true, &w.train, &error) &&
                 cn_data_cifar10(argv[1], false, &w.test, &error)) ||
                fail(argv[1], error.text);
    if (!good || w.train.count <= HELD_OUT) return 1;
    w.train.count -= HELD_OUT;
    w.held = (cn_data){.count = HELD_OUT,
                       .classes = w.train.classes,
                       .pixels = w.train.pixels + w.train.count * CN_PIXELS,
                       .labels = w.train.labels + w.train.count};
    w.order = malloc(w.train.count * sizeof *w.order);
    w.images = malloc(BATCH * CN_PIXELS * sizeof *w.images);
    good = w.order && w.images;
    for (size_t k = 0; good && k < COUNT; k++) {
        char begin[120];
        result r = {0};
        bool wanted = argc == 8;
        w.method = &METHODS[k];
        for (int i = 8; i < argc; i++) wanted |= !strcmp(argv[i], w.method->name);
        snprintf(begin, sizeof begin, "%s,%zu,%zu,%g,%g,", w.method->name, epochs, seed, keep,
                 rate);
        if (!wanted || is_there(argv[3], begin)) continue;
        const double start = timing_cpu();
        good = run(&w, argv[2], epochs, seed, keep, rate, &r);
        FILE *file = good ? fopen(argv[3], "a") : NULL;
        if (good && !file) good = fail(argv[3], "it cannot be written");
        if (file) {
            fprintf(file, "%s%zu,%.4f,%.2f,%.2f,%.2f,%.2f,%.0f\n", begin, r.removed, r.left,
                    r.held_after, r.test_after, r.held, r.test, timing_cpu() - start);
            fclose(file);
        }
    }
    cn_data_free(&w.train);
    cn_data_free(&w.test);
    free(w.order);
    free(w.images);
    return good ? 0 : 1;
}

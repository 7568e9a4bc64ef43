/*
 * Whether a network can shrink while it is trained for the first time: ResNets from random weights,
 * on real images, with equal epochs.
 *
 *     once CIFAR DEPTH RESULTS.csv EPOCHS SEED KEEP RATE [METHOD ...]
 *
 * CIFAR is a folder with CIFAR-10's binary files (make cifar), DEPTH that of the ResNet (20, 56).
 * Training takes EPOCHS in all. The learning rate falls from RATE to 0 along one cosine, except for
 * dense-cut. All methods but `dense` end with at most the share KEEP of the multiply-accumulates.
 * Images, optimizer and batches are those of `study`: 45,000 images, of 50,000.
 *
 *   once            the network shrinks in 8 rounds between 10 and 50 % of the steps. Each round
 *                   marks units by the filters' L1 norm over the mean of the family, takes their
 *                   gammas and betas to zero in a straight line, and cuts them. Momentum is cut
 *                   with the weights, so training goes on as if nothing had happened.
 *   once-late       the same between 20 and 70 %
 *   once-gamma      as once, by gamma
 *   dense           nothing is removed
 *   dense-cut       the first half of the steps, a cut at once by the filters, the other half. Each
 *                   half has its own cosine, the second one from RATE / 2.
 *   dense-cut-one   the same along one cosine
 *   scratch         the shape that `once` of the same arguments gave, from random weights
 *
 * Writes one line per run to RESULTS: method, depth, epochs, seed, keep, rate; units that left; the
 * share of MACs that is left; the MACs of the training over those of `dense`; accuracy in percent
 * on the images held out and on the test images; seconds of the processor in training, without
 * these tests. Lines that are there already are not computed again; the line of `dense` has a keep
 * of 1, so that other KEEPs find it. The networks of `once` are written to files beside RESULTS,
 * from which `scratch` takes its shape.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timing.h"
#include "training.h"

/* cut, two, saved, scratch: the units are cut, with two cosines; the network is written to a file,
 * or its shape comes from there. */
static const struct method {
    const char *name;
    double wait, masked;
    uint32_t rounds;
    bool cut, by_gamma, two, saved, scratch;
} METHODS[] = {
    {.name = "once", .wait = 0.1, .masked = 0.4, .rounds = 8, .cut = true, .saved = true},
    {.name = "once-late", .wait = 0.2, .masked = 0.5, .rounds = 8, .cut = true},
    {.name = "once-gamma", .wait = 0.1, .masked = 0.4, .rounds = 8, .cut = true, .by_gamma = true},
    {.name = "dense"},
    {.name = "dense-cut", .wait = 0.5, .cut = true, .two = true},
    {.name = "dense-cut-one", .wait = 0.5, .cut = true},
    {.name = "scratch", .scratch = true},
};
enum { COUNT = sizeof METHODS / sizeof *METHODS };

typedef struct asked {
    size_t depth, epochs, seed;
    double keep, rate;
    const char *results;
} asked;

typedef struct result {
    size_t removed;
    double left, spent, held, test, seconds;
} result;

static double rate_at(const struct method *m, double rate, size_t step, size_t steps)
{
    const size_t half = (size_t)(m->wait * (double)steps);
    if (!m->two) return cn_rate_cosine(rate, step, steps);
    return step < half ? cn_rate_cosine(rate, step, half)
                       : cn_rate_cosine(rate / 2, step - half, steps - half);
}

static bool macs_of(training *t, const mskp_graph *graph, double *macs)
{
    mskp_cost cost;
    if (mskp_measure(graph, (mskp_mask){0}, &cost, NULL, &t->err))
        return training_fail(t, "MACs", t->err.text);
    *macs = cost.macs;
    return true;
}

/* p NULL: nothing is removed. macs: of a step, in any unit; *sum <- of all steps. */
static bool train(training *t, mskp_pruner *p, const struct method *m, const asked *a, double *macs,
                  double *sum)
{
    const size_t steps = a->epochs * training_steps(t);
    *sum = 0;
    for (size_t step = 0; step < steps; step++) {
        const double rate = rate_at(m, a->rate, step, steps);
        while (mskp_pruner_due(p) == MSKP_PRUNER_DUE_CUT)
            if (!training_cut(t, p) || !macs_of(t, mskp_pruner_graph(p), macs)) return false;
        if (!training_gradients(t, step)) return false;
        if (p && mskp_pruner_before_step(p, rate, t->values, t->gradients, &t->err))
            return training_fail(t, m->name, t->err.text);
        training_update(t, rate);
        if (p && mskp_pruner_after_step(p, rate, t->values, &t->err))
            return training_fail(t, m->name, t->err.text);
        *sum += *macs;
    }
    return true;
}

/* Where `once` writes its network. */
static void path_of(const asked *a, char *path, size_t capacity)
{
    snprintf(path, capacity, "%s.resnet%zu-%zu-%zu-%g-%g.safetensors", a->results, a->depth,
             a->epochs, a->seed, a->keep, a->rate);
}

static bool open_network(training *t, const struct method *m, const asked *a, const char *path)
{
    if (!m->scratch) return training_make(t, a->depth, a->seed);
    return (training_load(t, path, a->seed) && training_restart(t, a->seed)) ||
           training_fail(t, m->name, "its shape is that of `once`, which has to run first");
}

static bool run(training *t, const struct method *m, const asked *a, result *r)
{
    char path[512];
    double all = 1, macs = 0, sum;
    mskp_pruner *p = NULL;
    cn_error error;
    path_of(a, path, sizeof path);
    bool good = training_make(t, a->depth, a->seed) && macs_of(t, t->graph, &all);
    const size_t units = good ? mskp_graph_counts(t->graph).units : 0;
    training_close(t);
    good = good && open_network(t, m, a, path) && macs_of(t, t->graph, &macs);
    if (!good) return false;
    const mskp_pruner_options options = {
        .rule = {.max_macs = a->keep * all, .min_channels = 2},
        .scoring = {.roles = m->by_gamma ? MSKP_ROLE_SCALE : MSKP_ROLE_FILTER,
                    .reduce = MSKP_REDUCE_MEAN},
        .use_normalizer = !m->by_gamma,
        .penalty = {.roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT},
        .pull = MSKP_PULL_DEADLINE,
        .steps = a->epochs * training_steps(t),
        .wait = m->wait,
        .masked = m->masked,
        .rounds = m->rounds};
    if (m->cut && mskp_pruner_create(t->graph, &options, &p, &t->err))
        return training_fail(t, m->name, t->err.text);
    const double start = timing_cpu();
    good = train(t, p, m, a, &macs, &sum);
    r->seconds = timing_cpu() - start;
    const mskp_graph *graph = p ? mskp_pruner_graph(p) : t->graph;
    r->removed = units - mskp_graph_counts(graph).units;
    r->left = macs / all;
    r->spent = sum / (all * (double)options.steps);
    if (good) r->held = training_accuracy(t, &t->held), r->test = training_accuracy(t, &t->test);
    if (good && m->saved && !cn_save(t->net, path, 0, NULL, &error))
        good = training_fail(t, path, error.text);
    mskp_pruner_destroy(p);
    return good;
}

static const struct method *find(const char *name)
{
    for (size_t k = 0; k < COUNT; k++)
        if (!strcmp(METHODS[k].name, name)) return &METHODS[k];
    return NULL;
}

int main(int argc, char **argv)
{
    static const char HEADER[] =
        "method,depth,epochs,seed,keep,rate,removed,left,macs_spent,held,test,seconds";
    static training t = {.program = "once"};
    if (argc < 8) {
        printf("once: skipped; it needs CIFAR DEPTH RESULTS.csv EPOCHS SEED KEEP RATE\n");
        return 0;
    }
    const asked a = {.results = argv[3],
                     .depth = strtoul(argv[2], NULL, 10),
                     .epochs = strtoul(argv[4], NULL, 10),
                     .seed = strtoul(argv[5], NULL, 10),
                     .keep = strtod(argv[6], NULL),
                     .rate = strtod(argv[7], NULL)};
    const size_t n = argc > 8 ? (size_t)argc - 8 : COUNT;
    bool good = true;
    for (size_t k = 0; good && argc > 8 && k < n; k++)
        good = find(argv[8 + k]) || training_fail(&t, argv[8 + k], "there is no such method");
    good = good && training_images(&t, argv[1]);
    for (size_t k = 0; good && k < n; k++) {
        const struct method *m = argc > 8 ? find(argv[8 + k]) : &METHODS[k];
        char key[120], line[256];
        result r = {.removed = 0};
        snprintf(key, sizeof key, "%s,%zu,%zu,%zu,%g,%g,", m->name, a.depth, a.epochs, a.seed,
                 m->cut || m->scratch ? a.keep : 1, a.rate);
        if (training_has_line(a.results, key)) continue;
        good = run(&t, m, &a, &r);
        training_close(&t);
        snprintf(line, sizeof line, "%s%zu,%.4f,%.4f,%.2f,%.2f,%.0f", key, r.removed, r.left,
                 r.spent, r.held, r.test, r.seconds);
        good = good && training_add_line(&t, a.results, HEADER, line);
    }
    training_images_free(&t);
    return good ? 0 : 1;
}

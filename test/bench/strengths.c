/*
 * Whether a pruner finds its strengths on networks that are trained on real images:
 *
 *     strengths CIFAR STEPS NETWORK.safetensors ...
 *
 * CIFAR is a folder with CIFAR-10's binary files (make cifar). Each network is trained on for STEPS
 * steps with batches of 64, by each optimizer, with each schedule of the learning rate, and with
 * each pull. In the first four fifths of the steps, half of the multiply-accumulates are driven to
 * zero (gamma and beta of the channels whose filters are smallest), and then they are held there.
 * Nothing is set but the pull, and for the gradient's the momentum, told or not.
 *
 * Prints, of the marked gamma and beta: the largest when the mask was made; the largest right
 * before the last step of the pull, as a part of the former; and how many are not 0 at the end.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mskp/pruner.h"
#include "mskp_convnet.h"

enum { BATCH = 64 };
enum { DESCENT, MOMENTUM, ADAM, OPTIMIZERS };
enum { CONSTANT, COSINE, IN_STEPS, SCHEDULES };
static const char *const OPTIMIZER[] = {"descent", "momentum", "adam"};
static const char *const SCHEDULE[] = {"constant", "cosine", "steps"};
static const double RATE[OPTIMIZERS] = {0.1, 0.02, 0.001};

static const struct way {
    const char *name;
    mskp_pull pull;
    double momentum; /* that the pruner is told */
} WAYS[] = {{"proximal", MSKP_PULL_PROXIMAL, 0},
            {"gradient", MSKP_PULL_GRADIENT, 0},
            {"gradient, told", MSKP_PULL_GRADIENT, 0.9},
            {"deadline", MSKP_PULL_DEADLINE, 0}};

typedef struct work {
    cn_net *net;
    mskp_graph *graph;
    mskp_tensors values, gradients;
    double **first, **second; /* Adam's moments of each parameter */
    cn_data data;
    cn_real images[BATCH * CN_PIXELS];
    uint8_t labels[BATCH];
    size_t order[BATCH];
    mskp_error err;
} work;

static int fail(const char *what, const char *text)
{
    fprintf(stderr, "strengths: %s: %s\n", what, text);
    return 1;
}

static int open_network(work *w, const char *path)
{
    cn_error error;
    const cn_options options = {.batch = BATCH, .threads = 1};
    w->net = cn_load(path, &options, &error);
    if (!w->net) return fail(path, error.text);
    const size_t n = w->net->param_count;
    w->graph = mskp_graph_create(NULL);
    cn_describe(w->net, w->graph);
    if (mskp_graph_finish(w->graph, &w->err)) return fail(path, w->err.text);
    w->values = (mskp_tensors){n, calloc(n, sizeof(mskp_tensor))};
    w->gradients = (mskp_tensors){n, calloc(n, sizeof(mskp_tensor))};
    w->first = calloc(n, sizeof *w->first);
    w->second = calloc(n, sizeof *w->second);
    if (!w->values.view || !w->gradients.view || !w->first || !w->second)
        return fail(path, "no memory");
    cn_values(w->net, w->values);
    cn_gradients(w->net, w->gradients);
    for (size_t p = 0; p < n; p++) {
        const size_t count = w->net->params[p].count;
        w->first[p] = calloc(count + 1, sizeof(double));
        w->second[p] = calloc(count + 1, sizeof(double));
        if (!w->first[p] || !w->second[p]) return fail(path, "no memory");
    }
    return 0;
}

static void close_network(work *w)
{
    for (size_t p = 0; w->first && w->second && p < w->values.n; p++) {
        free(w->first[p]);
        free(w->second[p]);
    }
    free(w->first);
    free(w->second);
    free(w->values.view);
    free(w->gradients.view);
    mskp_graph_destroy(w->graph);
    cn_destroy(w->net);
    w->first = w->second = NULL;
    w->values.view = w->gradients.view = NULL;
    w->graph = NULL;
    w->net = NULL;
}

static void update(work *w, int optimizer, double rate, size_t step)
{
    if (optimizer != ADAM) {
        cn_sgd_step(w->net, &(cn_sgd){.rate = rate,
                                      .momentum = optimizer == MOMENTUM ? 0.9 : 0,
                                      .decay = 1e-4,
                                      .nesterov = false});
        return;
    }
    const double a = 1 - pow(0.9, (double)step + 1), b = 1 - pow(0.999, (double)step + 1);
    for (size_t p = 0; p < w->values.n; p++) {
        const cn_param *q = &w->net->params[p];
        for (size_t i = 0; q->gradient && i < q->count; i++) {
            const double g = (double)q->gradient[i];
            double *m = &w->first[p][i], *v = &w->second[p][i];
            *m = 0.9 * *m + 0.1 * g;
            *v = 0.999 * *v + 0.001 * g * g;
            q->value[i] -= (cn_real)(rate * (*m / a) / (sqrt(*v / b) + 1e-8));
        }
    }
}

static double rate_of(int optimizer, int schedule, size_t step, size_t steps)
{
    static const size_t milestone[] = {1, 2};
    if (schedule == COSINE) return cn_rate_cosine(RATE[optimizer], step, steps);
    if (schedule == CONSTANT) return RATE[optimizer];
    return cn_rate_step(RATE[optimizer], 0.1, 3 * step / steps, 2, milestone);
}

static int run(work *w, const char *path, const struct way *way, int optimizer, int schedule,
               size_t steps)
{
    if (open_network(w, path)) return 1;
    mskp_cost all;
    mskp_pruner *p = NULL;
    mskp_pruner_gauges g;
    cn_random random = {1};
    double right = 0;
    int bad = mskp_measure(w->graph, (mskp_mask){0}, &all, NULL, &w->err) != MSKP_OK;
    const mskp_pruner_options options = {
        .rule = {.max_macs = 0.5 * all.macs, .min_channels = 2},
        .scoring = {.roles = MSKP_ROLE_FILTER, .reduce = MSKP_REDUCE_MEAN},
        .use_normalizer = 1,
        .penalty = {.roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT},
        .pull = way->pull,
        .momentum = way->momentum,
        .steps = steps,
        .masked = 1,
        .settle = 0.2};
    bad = bad || mskp_pruner_create(w->graph, &options, &p, &w->err);
    for (size_t step = 0; !bad && step < steps; step++) {
        const double rate = rate_of(optimizer, schedule, step, steps);
        for (size_t i = 0; i < BATCH; i++) w->order[i] = cn_random_below(&random, w->data.count);
        cn_draw(&w->data, BATCH, w->order, &random, w->images, w->labels);
        cn_forward(w->net, BATCH, w->images, true);
        size_t hits = 0;
        cn_loss(w->net, w->labels, &hits);
        if (step * 10 >= steps * 9) right += (double)hits / BATCH;
        cn_backward(w->net);
        bad = mskp_pruner_before_step(p, rate, w->values, w->gradients, &w->err) != MSKP_OK;
        update(w, optimizer, rate, step);
        bad = bad || mskp_pruner_after_step(p, rate, w->values, &w->err);
    }
    bad = bad || mskp_pruner_gauge(p, w->values, &g, &w->err);
    if (bad)
        fail(path, w->err.text);
    else
        printf("%s,%s,%s,%s,%.3g,%.2g,%llu,%.1f\n", w->net->model, OPTIMIZER[optimizer],
               SCHEDULE[schedule], way->name, g.start, g.residue / g.start,
               (unsigned long long)(g.left.elements - g.left.zeros),
               100 * right / ceil((double)steps / 10));
    fflush(stdout);
    mskp_pruner_destroy(p);
    close_network(w);
    return bad;
}

int main(int argc, char **argv)
{
    static work w;
    cn_error error;
    if (argc < 4) {
        printf("strengths: skipped; it needs CIFAR STEPS NETWORK.safetensors ...\n");
        return 0;
    }
    if (!cn_data_cifar10(argv[1], true, &w.data, &error)) return fail(argv[1], error.text);
    const size_t steps = strtoul(argv[2], NULL, 10);
    int bad = 0;
    printf("network,optimizer,rates,pull,start,left of it,not zero,training accuracy\n");
    for (int i = 3; !bad && i < argc; i++)
        for (int optimizer = 0; optimizer < OPTIMIZERS; optimizer++)
            for (int schedule = 0; schedule < SCHEDULES; schedule++)
                for (size_t k = 0; !bad && k < sizeof WAYS / sizeof *WAYS; k++) {
                    const bool gradient = WAYS[k].pull == MSKP_PULL_GRADIENT;
                    if (gradient && optimizer == ADAM) continue; /* which rescales it */
                    if (WAYS[k].momentum > 0 && optimizer != MOMENTUM) continue;
                    bad = run(&w, argv[i], &WAYS[k], optimizer, schedule, steps);
                }
    cn_data_free(&w.data);
    return bad;
}

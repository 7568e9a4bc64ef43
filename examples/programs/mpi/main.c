/*
 * mpi - trains, prunes and fine-tunes a CIFAR ResNet of the small runtime over the ranks of MPI
 *
 * Data parallel: every rank has the whole network, and the images of a step are divided. To make
 * the result independent of the number of ranks, they are divided into parts of a fixed size, of
 * which each rank computes some. A part is all that a batch norm sees (its statistics are those of
 * its part, and not synchronized), and the running statistics of a step are the mean over parts. So
 * the arithmetic within a part knows nothing of ranks, and mskp_mpi_sum adds parts up in a way that
 * does not, either: masks and weights are the same bit for bit for any number of ranks.
 *
 *     in each step   gradients and statistics of this rank's parts
 *                    mskp_mpi_sum: their mean, the same on all ranks
 *                    mskp_penalty_gradient, once, on every rank; the optimizer's step
 *     after each phase
 *                    mskp_mpi_same: are the ranks still equal?
 *     once           mskp_mpi_score, mskp_mpi_select; later the cut, of a copy of the network,
 *                    which replaces the network when all ranks have succeeded
 *
 * With --average the gradients are added up as floats by MPI, as trainers do. Masks are still equal
 * on all ranks, but weights and masks depend on the number of ranks: first in the last bits of the
 * weights, and after some steps in all.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "mskp_bridge.h"
#include "mskp_convnet.h"
#include "mskp_mpi.h"

typedef struct options {
    const char *data;
    size_t depth, parts, images, steps, tests, seed, taylor;
    double rate, strength, macs;
    bool average, help;
} options;

#define FIELD(name) offsetof(options, name)
static const arg TABLE[] = {
    {"data", "FOLDER", ARG_PATH, FIELD(data), 0, 0, "CIFAR-10's binary files; without it, shapes"},
    {"depth", "N", ARG_COUNT, FIELD(depth), 8, 110, "of the ResNet, 6n+2 (8)"},
    {"parts", "N", ARG_COUNT, FIELD(parts), 1, 4096, "parts of a step, divided over ranks (12)"},
    {"images", "N", ARG_COUNT, FIELD(images), 2, 4096, "images of a part (8)"},
    {"steps", "N", ARG_COUNT, FIELD(steps), 1, 1e9, "of each of the three phases (60)"},
    {"tests", "N", ARG_COUNT, FIELD(tests), 1, 1e6, "images of the test (1000)"},
    {"seed", "N", ARG_COUNT, FIELD(seed), 0, 1e9, "of weights and order of images (1)"},
    {"rate", "X", ARG_NUMBER, FIELD(rate), 1e-9, 10, "learning rate (0.05)"},
    {"strength", "X", ARG_NUMBER, FIELD(strength), 0, 100, "of the penalty, gamma and beta (0.05)"},
    {"macs", "X", ARG_NUMBER, FIELD(macs), 0.01, 1, "share of the MACs to keep (0.5)"},
    {"taylor", "N", ARG_COUNT, FIELD(taylor), 0, 1e9,
     "score by the Taylor numbers of gamma and beta in the last N steps of the first phase, not by "
     "|gamma| (0)"},
    {"average", "", ARG_FLAG, FIELD(average), 0, 0, "add gradients as floats, by MPI"},
    {"help", "", ARG_FLAG, FIELD(help), 0, 0, "this text"}};
enum { OPTIONS = sizeof TABLE / sizeof *TABLE };

typedef struct program {
    options o;
    mskp_mpi mpi;
    mskp_error err;
    cn_data data, test;
    cn_net *net;
    mskp_graph *graph;
    mskp_tensors values, gradients;
    mskp_mask keep; /* unit NULL: no penalty */
    mskp_scores scores;
    size_t numbers; /* trained parameters, then running statistics */
    float **part, *sum;
    size_t mine; /* parts of a step that this rank computes */
    float *images;
    uint8_t *labels;
    size_t *order;    /* the images of a step */
    cn_random random; /* the same on all ranks */
    size_t seen;      /* parts of this phase */
    uint64_t sent;    /* bytes that --average has sent */
    double loss;
} program;

/* ---- Errors ---- */

static bool fail(program *p, const char *text)
{
    p->err.status = MSKP_ERROR_NO_MEMORY;
    (void)snprintf(p->err.text, sizeof p->err.text, "%.251s", text);
    return false;
}

/* All ranks go on, or none. */
static bool together(program *p, bool good)
{
    const mskp_status status = mskp_mpi_agree(&p->mpi, good ? MSKP_OK : p->err.status, &p->err);
    return status == MSKP_OK;
}

/* ---- The network ---- */

static void show(program *p)
{
    cn_values(p->net, p->values);
    cn_gradients(p->net, p->gradients);
}

static bool open_network(program *p)
{
    const options *o = &p->o;
    cn_error error;
    p->net = cn_resnet(o->depth, 10, &(cn_options){.batch = o->images, .seed = o->seed}, &error);
    if (!p->net) return fail(p, error.text);
    const size_t n = p->net->param_count;
    mskp_tensor *views = calloc(2 * n, sizeof *views);
    p->graph = mskp_graph_create(NULL);
    if (!views || !p->graph) return free(views), fail(p, "no memory for the description");
    p->values = (mskp_tensors){n, views};
    p->gradients = (mskp_tensors){n, views + n};
    cn_describe(p->net, p->graph);
    if (mskp_graph_finish(p->graph, &p->err)) return false;
    show(p);
    const size_t units = mskp_graph_counts(p->graph).units;
    p->scores = (mskp_scores){units, calloc(units + 1, sizeof *p->scores.unit)};
    return p->scores.unit || fail(p, "no memory for scores");
}

/* Memory for the parts of a step. */
static bool open_parts(program *p)
{
    const options *o = &p->o;
    const size_t rank = (size_t)p->mpi.rank, ranks = (size_t)p->mpi.ranks;
    for (size_t k = 0; k < o->parts; k++) p->mine += k % ranks == rank;
    for (size_t i = 0; i < p->net->param_count; i++) p->numbers += p->net->params[i].count;
    p->part = calloc(p->mine + 1, sizeof *p->part);
    p->sum = malloc(p->numbers * sizeof *p->sum);
    p->images = malloc(o->images * CN_PIXELS * sizeof *p->images);
    p->labels = malloc(o->images);
    p->order = malloc((o->parts * o->images + 1) * sizeof *p->order);
    for (size_t k = 0; p->part && k < p->mine; k++)
        if (!(p->part[k] = malloc(p->numbers * sizeof **p->part)))
            return fail(p, "no memory for gradients");
    return (p->part && p->sum && p->images && p->labels && p->order) ||
           fail(p, "no memory for the images of a step");
}

static bool open_data(program *p)
{
    const options *o = &p->o;
    cn_error error;
    const bool good = o->data ? cn_data_cifar10(o->data, true, &p->data, &error) &&
                                    cn_data_cifar10(o->data, false, &p->test, &error)
                              : cn_data_shapes(4000, 1, &p->data, &error) &&
                                    cn_data_shapes(o->tests, 2, &p->test, &error);
    if (!good) return fail(p, error.text);
    if (p->test.count > o->tests) p->test.count = o->tests;
    return true;
}

/* ---- A step ---- */

/* Copies gradients and running statistics to a part, or back. */
static void exchange(program *p, float *part, bool back)
{
    for (size_t i = 0; i < p->net->param_count; i++) {
        const cn_param *q = &p->net->params[i];
        float *here = q->trained ? q->gradient : q->value;
        memcpy(back ? here : part, back ? part : here, q->count * sizeof *part);
        part += q->count;
    }
}

/* The running statistics of a part begin where those of the step begin. p->sum holds them. */
static void reset_statistics(program *p)
{
    const float *from = p->sum;
    for (size_t i = 0; i < p->net->param_count; from += p->net->params[i++].count)
        if (!p->net->params[i].trained)
            memcpy(p->net->params[i].value, from, p->net->params[i].count * sizeof *from);
}

static bool add_up(program *p)
{
    const float share = (float)p->o.parts;
    if (!p->o.average) {
        if (mskp_mpi_sum(&p->mpi, p->mine, (const float *const *)p->part, p->numbers, p->sum,
                         &p->err))
            return false;
    } else {
        memset(p->sum, 0, p->numbers * sizeof *p->sum);
        for (size_t k = 0; k < p->mine; k++)
            for (size_t i = 0; i < p->numbers; i++) p->sum[i] += p->part[k][i];
        MPI_Allreduce(MPI_IN_PLACE, p->sum, (int)p->numbers, MPI_FLOAT, MPI_SUM, p->mpi.comm);
        p->sent += p->numbers * sizeof *p->sum;
    }
    for (size_t i = 0; i < p->numbers; i++) p->sum[i] /= share;
    return true;
}

/* Adds the numbers of this step, whose gradients are the same on all ranks, to the scores. */
static bool add_taylor(program *p)
{
    const mskp_mpi_scoring scoring = {.values.roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT,
                                      .gradients = p->gradients,
                                      .form = MSKP_TAYLOR_SQUARED_SUM};
    return !mskp_mpi_score(&p->mpi, p->graph, &scoring, NULL, p->values, p->scores, &p->err);
}

/* Step number `step` of a phase. */
static bool train(program *p, size_t step)
{
    const options *o = &p->o;
    const size_t n = o->parts * o->images, ranks = (size_t)p->mpi.ranks;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) p->order[i] = cn_random_below(&p->random, p->data.count);
    const uint64_t augment = cn_random_bits(&p->random);
    exchange(p, p->sum, false);
    for (size_t k = (size_t)p->mpi.rank; k < o->parts; k += ranks) {
        cn_random random = {augment + k};
        reset_statistics(p);
        cn_draw(&p->data, o->images, p->order + k * o->images, &random, p->images, p->labels);
        cn_forward(p->net, o->images, p->images, true);
        p->loss += cn_loss(p->net, p->labels, NULL);
        p->seen++;
        cn_backward(p->net);
        exchange(p, p->part[at++], false);
    }
    if (!add_up(p)) return false;
    exchange(p, p->sum, true);
    /* The scores are there in the first phase alone. */
    if (p->scores.unit && step + o->taylor >= o->steps && !add_taylor(p)) return false;
    if (p->keep.unit) {
        const mskp_penalty penalty = {.roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT};
        /* The same numbers on all ranks, so an error, too, is the same. */
        if (mskp_penalty_gradient(p->graph, p->keep, &penalty, o->strength, p->values, p->gradients,
                                  &p->err))
            return false;
    }
    cn_sgd_step(p->net, &(cn_sgd){o->rate, 0.9, 1e-4, true});
    return true;
}

/* ---- Phases ---- */

/* Of a part of the images on each rank. Counts of whole numbers have one sum. */
static bool evaluate(program *p, double *accuracy)
{
    const size_t rank = (size_t)p->mpi.rank, ranks = (size_t)p->mpi.ranks, n = p->test.count;
    const size_t first = n * rank / ranks, end = n * (rank + 1) / ranks;
    const cn_data some = {end - first, p->test.classes, p->test.pixels + first * CN_PIXELS,
                          p->test.labels + first};
    const size_t right = some.count ? cn_evaluate(p->net, &some, NULL, NULL) : 0;
    if (!together(p, right != SIZE_MAX || fail(p, "no memory for a test"))) return false;
    uint64_t all = right;
    MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_UINT64_T, MPI_SUM, p->mpi.comm);
    *accuracy = 100.0 * (double)all / (double)n;
    return true;
}

static bool phase(program *p, const char *name)
{
    const double start = MPI_Wtime();
    const uint64_t bytes = p->mpi.bytes + p->sent;
    double sums[2], accuracy;
    p->loss = 0;
    p->seen = 0;
    for (size_t i = 0; i < p->o.steps; i++)
        if (!train(p, i)) return false;
    const double seconds = MPI_Wtime() - start;
    const double sent = (double)(p->mpi.bytes + p->sent - bytes) / (double)p->o.steps;
    if (mskp_mpi_same(&p->mpi, p->graph, p->keep, p->values, &p->err) || !evaluate(p, &accuracy))
        return false;
    sums[0] = p->loss;
    sums[1] = (double)p->seen;
    MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_DOUBLE, MPI_SUM, p->mpi.comm);
    if (!p->mpi.rank)
        printf("%-7s loss %.4f, accuracy %.2f %%, %.0f images a second, %.0f bytes a step\n", name,
               sums[0] / sums[1], accuracy, sums[1] * (double)p->o.images / seconds, sent);
    return true;
}

/* p->keep <- the mask, which all ranks find together. */
static bool select_units(program *p)
{
    const mskp_mpi_scoring scoring = {.values.reduce = MSKP_REDUCE_MEAN};
    mskp_rule rule = {.min_channels = 4};
    mskp_selection selection = {0};
    mskp_cost cost;
    p->keep = mskp_bridge_mask(p->graph);
    bool good = together(p, p->keep.unit || fail(p, "no memory for a mask"));
    good = good && !mskp_measure(p->graph, (mskp_mask){0}, &cost, NULL, &p->err);
    if (good) rule.max_macs = p->o.macs * cost.macs;
    const uint64_t bytes = p->mpi.bytes;
    if (!p->o.taylor) /* otherwise they are there */
        good = good &&
               !mskp_mpi_score(&p->mpi, p->graph, &scoring, NULL, p->values, p->scores, &p->err);
    good =
        good && !mskp_mpi_select(&p->mpi, p->graph, p->scores, &rule, p->keep, &selection, &p->err);
    free(p->scores.unit);
    p->scores = (mskp_scores){0};
    if (good && !p->mpi.rank)
        printf("%zu of %zu units are marked, %.1f %% of the MACs stay; %" PRIu64
               " bytes were sent\n",
               selection.removed, p->keep.n, 100 * selection.cost.macs / cost.macs,
               p->mpi.bytes - bytes);
    return good;
}

/* A network with the same values and momentum. */
static cn_net *copy_of(const cn_net *net, size_t depth, cn_error *error)
{
    cn_net *copy = cn_resnet(depth, net->classes, &net->options, error);
    for (size_t i = 0; copy && i < net->param_count; i++) {
        const cn_param *from = &net->params[i], *to = &copy->params[i];
        memcpy(to->value, from->value, from->count * sizeof *from->value);
        if (from->trained) memcpy(to->momentum, from->momentum, from->count * sizeof *from->value);
    }
    return copy;
}

/* Cuts a copy of the network, which replaces it if all ranks have succeeded. */
static bool cut(program *p)
{
    const mskp_constants_desc desc = mskp_bridge_constants();
    const mskp_branches branches = {NULL, "no branch goes out of this network"};
    mskp_surgery s = MSKP_INIT;
    cn_error error = {"no memory"};
    cn_net *small = copy_of(p->net, p->o.depth, &error);
    bool good = small || fail(p, error.text);
    if (good) cn_values(small, p->values);
    good = good && !mskp_surgery_plan(&s, p->graph, p->keep, &desc, p->values, &branches, &p->err);
    if (good && !cn_prune(small, p->graph, s.plan, s.constants, &error)) good = fail(p, error.text);
    good = together(p, good);
    if (good) {
        cn_destroy(p->net);
        mskp_graph_destroy(p->graph);
        free(p->keep.unit);
        p->net = small;
        p->graph = s.small;
        p->keep = (mskp_mask){0};
        small = NULL;
        s.small = NULL;
        p->numbers = 0; /* fewer, so the memory of the parts is enough */
        for (size_t i = 0; i < p->net->param_count; i++) p->numbers += p->net->params[i].count;
    }
    cn_destroy(small);
    mskp_surgery_free(&s);
    show(p);
    return good;
}

/* A number to compare between runs: FNV-1a. */
static uint64_t hash_of(uint64_t hash, size_t n, const void *bytes)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static void print_hash(const program *p, const char *what, uint64_t hash)
{
    if (!p->mpi.rank) printf("%s %016" PRIx64 "\n", what, hash);
}

static bool run(program *p)
{
    const uint64_t START = UINT64_C(0xcbf29ce484222325);
    if (!together(p, open_network(p) && open_parts(p) && open_data(p))) return false;
    p->random.state = p->o.seed;
    if (!p->mpi.rank)
        printf("%d ranks, %zu parts of %zu images a step, statistics of each part\n", p->mpi.ranks,
               p->o.parts, p->o.images);
    if (!phase(p, "first") || !select_units(p)) return false;
    print_hash(p, "mask", hash_of(START, p->keep.n, p->keep.unit));
    if (!phase(p, "masked") || !cut(p) || !phase(p, "tuned")) return false;
    uint64_t hash = START;
    for (size_t i = 0; i < p->net->param_count; i++)
        hash = hash_of(hash, p->net->params[i].count * sizeof(cn_real), p->net->params[i].value);
    print_hash(p, "weights", hash);
    return true;
}

static void close_program(program *p)
{
    for (size_t k = 0; p->part && k < p->mine; k++) free(p->part[k]);
    free(p->part);
    free(p->sum);
    free(p->images);
    free(p->labels);
    free(p->order);
    free(p->values.view);
    free(p->keep.unit);
    free(p->scores.unit);
    cn_destroy(p->net);
    mskp_graph_destroy(p->graph);
    cn_data_free(&p->data);
    cn_data_free(&p->test);
    mskp_mpi_close(&p->mpi);
}

int main(int argc, char **argv)
{
    program p = {.o = {.depth = 8,
                       .parts = 12,
                       .images = 8,
                       .steps = 60,
                       .tests = 1000,
                       .seed = 1,
                       .rate = 0.05,
                       .strength = 0.05,
                       .macs = 0.5}};
    char text[256];
    int rank = 0;
    if (MPI_Init(&argc, &argv)) return 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    bool good = args_read(argc, argv, OPTIONS, TABLE, &p.o, sizeof p.o, text);
    if (good && p.o.help) {
        if (!rank) args_help(OPTIONS, TABLE);
        MPI_Finalize();
        return 0;
    }
    /* Every rank has the same command line, so all of them see what is wrong with it. */
    if (!good && !rank) (void)fprintf(stderr, "mpi: %s\n", text);
    if (good) {
        good = !mskp_mpi_open(MPI_COMM_WORLD, NULL, &p.mpi, &p.err) && run(&p);
        if (!good && !rank) (void)fprintf(stderr, "mpi: %s\n", p.err.text);
        close_program(&p);
    }
    MPI_Finalize();
    return good ? 0 : 1;
}

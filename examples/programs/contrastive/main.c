/*
 * contrastive - trains an image tower and a text tower on pairs, and prunes the image tower
 *
 *     build/contrastive --data CIFAR
 *
 * Two networks learn together that an image and its text have the same embedding, and other pairs
 * have not (arXiv 2111.10050). Nothing is a classifier; classes are found by their names (judge.c).
 *
 *     train    the batch's contrastive loss, whose gradient is accumulated over micro-batches
 *              (accumulate.c)
 *     masked   the same loss; |gamma| says which channels of the image tower go, such that `macs`
 *              of its MACs stay, and their gamma and beta go to zero in a straight line
 *     tune     the same loss, after these channels were cut
 *
 * Once per step, whatever the number of micro-batches, the pruner has its say: before the step of
 * the optimizer, when the gradient is that of the whole batch, and after it.
 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accumulate.h"
#include "common/args.h"
#include "common/progress.h"
#include "judge.h"
#include "loss.h"
#include "mskp/pruner.h"
#include "mskp_convnet.h"
#include "pairs.h"
#include "towers.h"

enum { PHASES = 3 };

typedef struct options {
    const char *data, *unseen, *csv;
    size_t images, tests, batch, micro, contrast, width, embedding, seed, threads;
    size_t epochs[PHASES];
    double rate, macs;
    bool help;
} options;

#define FIELD(name) offsetof(options, name)
static const arg TABLE[] = {
    {"data", "FOLDER", ARG_PATH, FIELD(data), 0, 0, "CIFAR-10's binary files; without it, shapes"},
    {"images", "N", ARG_COUNT, FIELD(images), 2, 50000, "the first images of the data (8000)"},
    {"tests", "N", ARG_COUNT, FIELD(tests), 1, 10000, "the first test images (2000)"},
    {"unseen", "A,B", ARG_PATH, FIELD(unseen), 0, 0,
     "classes that are left out, with their names: deer,truck, or of shapes disc,frame; none"},
    {"batch", "N", ARG_COUNT, FIELD(batch), 2, 16384, "pairs of a step (512)"},
    {"micro", "N", ARG_COUNT, FIELD(micro), 1, 4096, "pairs that are in memory together (64)"},
    {"contrast", "N", ARG_COUNT, FIELD(contrast), 2, 16384,
     "pairs of the batch that the loss compares with each other (all)"},
    {"width", "N", ARG_COUNT, FIELD(width), 4, 256, "channels of the first convolution (16)"},
    {"embedding", "N", ARG_COUNT, FIELD(embedding), 2, 256, "numbers of an embedding (32)"},
    {"epochs", "A,B,C", ARG_COUNTS, FIELD(epochs), PHASES, 1000,
     "before the mask, until the cut, after it (12,3,4)"},
    {"rate", "X", ARG_NUMBER, FIELD(rate), 1e-9, 10,
     "learning rate, which falls to 0 in each phase; halved after the first (0.2)"},
    {"macs", "X", ARG_NUMBER, FIELD(macs), 0.01, 1,
     "share of the image tower's MACs to keep (0.5)"},
    {"seed", "N", ARG_COUNT, FIELD(seed), 0, 1e9, "of weights, order, crops and texts (1)"},
    {"threads", "N", ARG_COUNT, FIELD(threads), 1, 256, "of the towers (1)"},
    {"csv", "FILE", ARG_PATH, FIELD(csv), 0, 0, "add a line of results for each stage"},
    {"help", "", ARG_FLAG, FIELD(help), 0, 0, "this text"}};
enum { OPTIONS = sizeof TABLE / sizeof *TABLE };

typedef struct program {
    options o;
    char text[300]; /* what went wrong */
    cn_data data, test;
    texts words;
    bool unseen[TEXTS_CLASSES];
    size_t count, *order; /* the images that are trained on */
    pairs batch;
    tower images, texts;
    contrast loss;
    double momentum; /* of the scale */
    mskp_graph *graph;
    mskp_pruner *pruner;
    mskp_tensors values, gradients;
    cn_random random;
    double macs, started; /* MACs of the whole tower; seconds */
} program;

static bool fail(program *p, const char *what, const char *sentence)
{
    snprintf(p->text, sizeof p->text, "%s%s%s", what, *what ? ": " : "", sentence);
    return false;
}

/* ---- Opening ---- */

static bool open_data(program *p)
{
    options *o = &p->o;
    cn_error err;
    const char *unseen = o->unseen ? o->unseen : o->data ? "deer,truck" : "disc,frame";
    texts_open(&p->words, o->data ? TEXTS_CIFAR10 : TEXTS_SHAPES);
    if (!texts_classes_named(&p->words, strcmp(unseen, "none") ? unseen : "", p->unseen, &err))
        return fail(p, "--unseen", err.text);
    const bool good = o->data ? cn_data_cifar10(o->data, true, &p->data, &err) &&
                                    cn_data_cifar10(o->data, false, &p->test, &err)
                              : cn_data_shapes(o->images, 1, &p->data, &err) &&
                                    cn_data_shapes(o->tests, 2, &p->test, &err);
    if (!good) return fail(p, "", err.text);
    if (p->data.count > o->images) p->data.count = o->images;
    if (p->test.count > o->tests) p->test.count = o->tests;
    p->order = malloc((p->data.count + 1) * sizeof *p->order);
    if (!p->order) return fail(p, "", "no memory for the order of the images");
    p->count = pairs_of(&p->data, p->unseen, false, p->order);
    if (p->count < o->batch) {
        snprintf(p->text, sizeof p->text,
                 "--batch asks for %zu pairs, but of %zu images only %zu are of classes that are "
                 "trained on",
                 o->batch, p->data.count, p->count);
        return false;
    }
    return true;
}

static bool open_towers(program *p)
{
    options *o = &p->o;
    cn_error err;
    if (o->micro > o->batch) o->micro = o->batch;
    if (!o->contrast || o->contrast > o->batch) o->contrast = o->batch;
    const cn_options how = {o->micro, o->threads, o->seed};
    p->images = (tower){.batch = o->batch, .fill = pairs_images, .context = &p->batch};
    p->texts = (tower){.batch = o->batch, .fill = pairs_texts, .context = &p->batch};
    p->images.net = tower_images(o->width, o->embedding, &how, &err);
    if (p->images.net)
        p->texts.net = tower_texts(p->words.words, 2 * o->embedding, o->embedding, &how, &err);
    if (!p->images.net || !p->texts.net || !tower_open(&p->images, &err) ||
        !tower_open(&p->texts, &err))
        return fail(p, "", err.text);
    p->loss = (contrast){.pairs = o->batch,
                         .width = o->embedding,
                         .group = o->contrast,
                         .images = p->images.embeddings,
                         .texts = p->texts.embeddings,
                         .log_scale = log(10),
                         .image_slopes = p->images.slopes,
                         .text_slopes = p->texts.slopes,
                         .room = malloc(2 * o->batch * sizeof(double))};
    return p->loss.room || fail(p, "", "no memory for the loss");
}

static void show(program *p)
{
    cn_values(p->images.net, p->values);
    cn_gradients(p->images.net, p->gradients);
}

static size_t steps_of(const program *p, size_t phase)
{
    return p->o.epochs[phase] * (p->count / p->o.batch);
}

static bool open_pruner(program *p)
{
    const size_t n = p->images.net->param_count;
    mskp_tensor *views = calloc(2 * n, sizeof *views);
    mskp_error err;
    mskp_cost cost;
    p->graph = mskp_graph_create(NULL);
    if (!views || !p->graph) return free(views), fail(p, "", "no memory for the description");
    p->values = (mskp_tensors){n, views};
    p->gradients = (mskp_tensors){n, views + n};
    cn_describe(p->images.net, p->graph);
    show(p);
    if (mskp_graph_finish(p->graph, &err) ||
        mskp_measure(p->graph, (mskp_mask){0}, &cost, NULL, &err))
        return fail(p, "", err.text);
    p->macs = (double)cost.macs;
    const double steps = (double)(steps_of(p, 0) + steps_of(p, 1) + steps_of(p, 2));
    const mskp_pruner_options how = {.rule = {.max_macs = p->o.macs * p->macs, .min_channels = 4},
                                     .scoring = {.reduce = MSKP_REDUCE_MEAN},
                                     .penalty = {.roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT},
                                     .pull = MSKP_PULL_DEADLINE,
                                     .steps = (uint64_t)steps,
                                     .wait = (double)steps_of(p, 0) / steps,
                                     .masked = (double)steps_of(p, 1) / steps};
    return !mskp_pruner_create(p->graph, &how, &p->pruner, &err) || fail(p, "", err.text);
}

/* ---- Looking ---- */

static bool add_line(program *p, const char *stage, const judgement *train, const judgement *test)
{
    FILE *file = fopen(p->o.csv, "a");
    if (!file) return fail(p, p->o.csv, "it cannot be written");
    fseek(file, 0, SEEK_END);
    bool good = ftell(file) > 0 ||
                fprintf(file, "seed,batch,micro,contrast,stage,train_loss,test_loss,train_seen,"
                              "test_seen,test_unseen,test_among_all,macs\n") > 0;
    mskp_cost cost = {0};
    mskp_measure(mskp_pruner_graph(p->pruner), (mskp_mask){0}, &cost, NULL, NULL);
    good =
        fprintf(file, "%zu,%zu,%zu,%zu,%s,%.5f,%.5f,%.4f,%.4f,%.4f,%.4f,%.4f\n", p->o.seed,
                p->o.batch, p->o.micro, p->o.contrast, stage, train->loss, test->loss, train->seen,
                test->seen, test->unseen, test->among_all, (double)cost.macs / p->macs) > 0 &&
        good;
    return (!fclose(file) && good) || fail(p, p->o.csv, "it cannot be written");
}

/* Prints what the towers are worth, on images that were trained on and on others. */
static bool look(program *p, const char *stage)
{
    judgement train, test;
    cn_error err;
    const judge of_train = {&p->data, &p->words, p->unseen};
    const judge of_test = {&p->test, &p->words, p->unseen};
    if (!judge_towers(&of_train, p->images.net, p->texts.net, p->loss.log_scale, &train, &err) ||
        !judge_towers(&of_test, p->images.net, p->texts.net, p->loss.log_scale, &test, &err))
        return fail(p, "", err.text);
    printf("%-22s loss %.4f, of test images %.4f; right: %.2f %% of seen classes, %.2f %% of "
           "unseen ones (%.2f %% among all names)\n",
           stage, train.loss, test.loss, 100 * test.seen, 100 * test.unseen, 100 * test.among_all);
    fflush(stdout);
    return !p->o.csv || add_line(p, stage, &train, &test);
}

/* What would be left if marked channels were cut now, without being driven to zero. */
static bool look_ahead(program *p)
{
    const mskp_penalty penalty = {.roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT};
    const cn_net *net = p->images.net;
    mskp_error err;
    size_t count = 1;
    for (size_t i = 0; i < net->param_count; i++) count += net->params[i].count;
    cn_real *const before = malloc(count * sizeof *before), *to = before;
    if (!before) return fail(p, "", "no memory for the values");
    for (size_t i = 0; i < net->param_count; to += net->params[i++].count)
        memcpy(to, net->params[i].value, net->params[i].count * sizeof *to);
    bool good =
        !mskp_penalty_zero(p->graph, mskp_pruner_mask(p->pruner), &penalty, p->values, &err);
    if (!good) fail(p, "", err.text);
    good = good && look(p, "if cut at once");
    to = before;
    for (size_t i = 0; i < net->param_count; to += net->params[i++].count)
        memcpy(net->params[i].value, to, net->params[i].count * sizeof *to);
    free(before);
    return good;
}

/* ---- Pruning ---- */

static bool mark(program *p)
{
    mskp_error err;
    if (!look(p, "trained")) return false;
    if (mskp_pruner_mark(p->pruner, p->values, (mskp_mask){0}, &err)) return fail(p, "", err.text);
    return look_ahead(p);
}

static bool cut(program *p)
{
    mskp_error err;
    cn_error error;
    mskp_plan *plan;
    const mskp_constants *constants;
    mskp_cost cost;
    if (!look(p, "driven to zero")) return false;
    if (mskp_pruner_prepare(p->pruner, p->values, &plan, &constants, &err))
        return fail(p, "", err.text);
    if (!cn_prune(p->images.net, mskp_pruner_graph(p->pruner), plan, constants, &error))
        return fail(p, "", error.text);
    p->values.n = p->gradients.n = p->images.net->param_count;
    show(p);
    if (mskp_pruner_cut_done(p->pruner, &err) ||
        mskp_measure(mskp_pruner_graph(p->pruner), (mskp_mask){0}, &cost, NULL, &err))
        return fail(p, "", err.text);
    printf("the image tower has %.1f %% of its %.2f million MACs, and these channels:",
           100 * (double)cost.macs / p->macs, 1e-6 * p->macs);
    for (size_t i = 0; i < p->images.net->layer_count; i++)
        if (p->images.net->layers[i].kind == CN_CONV)
            printf(" %zu", p->images.net->layers[i].channels);
    printf("\n");
    return look(p, "cut");
}

static bool do_what_is_due(program *p)
{
    bool good = true;
    if (mskp_pruner_due(p->pruner) == MSKP_PRUNER_DUE_MASK) good = mark(p);
    if (good && mskp_pruner_due(p->pruner) == MSKP_PRUNER_DUE_CUT) good = cut(p);
    return good;
}

/* ---- Training ---- */

/* One step of both towers and the scale. *loss <- the batch's. */
static bool step(program *p, double rate, double *loss)
{
    const size_t n = p->o.batch;
    const cn_sgd sgd = {.rate = rate, .momentum = 0.9, .decay = 1e-4, .nesterov = true};
    mskp_error err;
    p->batch.seed = cn_random_bits(&p->random);
    tower_embed_all(&p->images, n);
    tower_embed_all(&p->texts, n);
    *loss = contrast_loss(&p->loss);
    if (!isfinite(*loss)) return fail(p, "", "the loss is not finite: try a smaller --rate");
    tower_return_all(&p->images, n);
    tower_return_all(&p->texts, n);
    if (mskp_pruner_before_step(p->pruner, rate, p->values, p->gradients, &err))
        return fail(p, "", err.text);
    cn_sgd_step(p->images.net, &sgd);
    cn_sgd_step(p->texts.net, &sgd);
    p->momentum = sgd.momentum * p->momentum + p->loss.scale_slope;
    p->loss.log_scale -= 0.1 * rate * p->momentum; /* slowly: all pairs pull at one number */
    if (p->loss.log_scale > CONTRAST_LOG_SCALE_MOST) p->loss.log_scale = CONTRAST_LOG_SCALE_MOST;
    return !mskp_pruner_after_step(p->pruner, rate, p->values, &err) || fail(p, "", err.text);
}

static bool phase(program *p, size_t number)
{
    static const char *const NAMES[PHASES] = {"train", "masked", "tune"};
    const size_t each = p->count / p->o.batch, steps = steps_of(p, number);
    const double rate = number ? p->o.rate / 2 : p->o.rate;
    double sum = 0;
    for (size_t i = 0; i < steps; i++) {
        double loss;
        if (!do_what_is_due(p)) return false;
        if (i % each == 0) sum = 0, cn_shuffle(&p->random, p->count, p->order);
        p->batch.first = i % each * p->o.batch;
        if (!step(p, cn_rate_cosine(rate, i, steps), &loss)) return false;
        sum += loss;
        if ((i + 1) % each == 0) {
            printf("%-6s epoch %zu of %zu: loss %.4f, scale %.1f, %.0f s\n", NAMES[number],
                   i / each + 1, p->o.epochs[number], sum / (double)each, exp(p->loss.log_scale),
                   seconds() - p->started);
            fflush(stdout);
        }
    }
    return true;
}

static bool run(program *p)
{
    const options *o = &p->o;
    p->random = (cn_random){o->seed};
    p->started = seconds();
    if (!o->epochs[0] && !o->epochs[1] && !o->epochs[2])
        return fail(p, "--epochs", "there is nothing to do in 0,0,0 epochs");
    if (!open_data(p)) return false;
    p->batch = (pairs){.data = &p->data, .texts = &p->words, .order = p->order, .augment = true};
    if (!open_towers(p) || !open_pruner(p)) return false;
    printf("%zu pairs, %zu in a step, %zu compared, %zu in memory; %zu words\n", p->count, o->batch,
           o->contrast, o->micro, p->words.words);
    for (size_t i = 0; i < PHASES; i++)
        if (!phase(p, i)) return false;
    return do_what_is_due(p) && look(p, "at the end");
}

static void close_program(program *p)
{
    mskp_pruner_destroy(p->pruner);
    mskp_graph_destroy(p->graph);
    free(p->values.view);
    tower_close(&p->images);
    tower_close(&p->texts);
    cn_destroy(p->images.net);
    cn_destroy(p->texts.net);
    free(p->loss.room);
    free(p->order);
    cn_data_free(&p->data);
    cn_data_free(&p->test);
}

int main(int argc, char **argv)
{
    program p = {.o = {.images = 8000,
                       .tests = 2000,
                       .batch = 512,
                       .micro = 64,
                       .width = 16,
                       .embedding = 32,
                       .epochs = {12, 3, 4},
                       .rate = 0.2,
                       .macs = 0.5,
                       .seed = 1,
                       .threads = 1}};
    char text[256];
    bool good = args_read(argc, argv, OPTIONS, TABLE, &p.o, sizeof p.o, text);
    if (!good) {
        fprintf(stderr, "contrastive: %s\n", text);
        return 2;
    }
    if (p.o.help) {
        args_help(OPTIONS, TABLE);
        return 0;
    }
    good = run(&p);
    if (!good) fprintf(stderr, "contrastive: %s\n", p.text);
    close_program(&p);
    return good ? 0 : 1;
}

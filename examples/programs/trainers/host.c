#include "host.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/progress.h"
#include "common/table.h"

enum { BASELINE, MASKED, TUNING, STAGES };
static const char *const STAGE[STAGES] = {"baseline", "masked", "tuning"};
enum { DRAWN_IMAGES = 4000, DRAWN_TESTS = 1000 };

/* What the command line is read into: the host's options, and what only host_run asks for. */
typedef struct command {
    host_options o;
    bool help;
} command;

#define AT(field) offsetof(command, field)
static const arg OPTIONS[] = {
    {"data", "DIR", ARG_PATH, AT(o.data), 0, 0,
     "CIFAR-10's binary files [images of ten kinds of shapes, drawn here]"},
    {"images", "N", ARG_COUNT, AT(o.images), 0, 50000,
     "train on the first N images only; 0: on all [0]"},
    {"epochs", "BASE,MASKED,TUNE", ARG_COUNTS, AT(o.epochs), STAGES, 10000,
     "epochs of the stages; gamma after BASE gives the mask"},
    {"macs", "KEEP", ARG_NUMBER, AT(o.macs), 1e-6, 1,
     "the part of the multiply-accumulates to keep"},
    {"strength", "S", ARG_NUMBER, AT(o.strength), 0, 1e6,
     "of the L1 term on gamma and beta of the channels that will leave"},
    {"lr", "LR", ARG_NUMBER, AT(o.rate), 1e-9, 100,
     "learning rate, falling to 0 along a cosine in each stage; TUNE starts from LR/2"},
    {"batch", "N", ARG_COUNT, AT(o.batch), 1, 4096, "images in a batch"},
    {"threads", "N", ARG_COUNT, AT(o.threads), 1, 256, "as far as the trainer has any"},
    {"seed", "N", ARG_COUNT, AT(o.seed), 0, 1e9, "of the first weights and of the batches"},
    {"out", "FILE", ARG_PATH, AT(o.out), 0, 0, "write the pruned network in the trainer's format"},
    {"help", NULL, ARG_FLAG, AT(help), 0, 0, "this text"},
};
enum { OPTION_COUNT = sizeof OPTIONS / sizeof *OPTIONS };

typedef struct job {
    host *host;
    cn_data train, test;
    float *images; /* a batch */
    uint8_t *labels, *classes;
    size_t *order;
    cn_random random;
    progress progress;
    mskp_cost cost[2]; /* of the dense network, of the pruned one */
    double images_per_second[STAGES], tests_per_second[2];
    double penalty_share; /* of the masked stage's training steps */
    double accuracy[STAGES], after;
    bool made; /* --out, by writable() */
} job;

int host_fail(host *h, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(h->error, sizeof h->error, format, list);
    va_end(list);
    return 1;
}

double host_seconds(void)
{
    return seconds();
}

static void say(job *j, const char *format, ...)
{
    char text[400];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    progress_print(&j->progress, false, text);
}

/* ---- training ---- */

static int accuracy(job *j, double *part, double *per_second)
{
    const host *h = j->host;
    const double start = seconds();
    size_t right = 0;
    for (size_t at = 0; at < j->test.count; at += h->options.batch) {
        const size_t left = j->test.count - at;
        const size_t n = left < h->options.batch ? left : h->options.batch;
        for (size_t i = 0; i < n; i++) j->order[i] = at + i;
        cn_draw(&j->test, n, j->order, NULL, j->images, j->labels);
        if (h->classify(j->host, n, j->images, j->classes)) return 1;
        for (size_t i = 0; i < n; i++) right += j->classes[i] == j->labels[i];
        j->progress.done += (double)n;
    }
    *part = (double)right / (double)j->test.count;
    if (per_second) *per_second = (double)j->test.count / (seconds() - start);
    return 0;
}

static int train_epoch(job *j, int stage, size_t epoch, double rate)
{
    const host *h = j->host;
    const size_t batch = h->options.batch, steps = j->train.count / batch;
    double loss = 0, spent = 0, penalty = 0;
    char line[120];
    for (size_t i = 0; i < j->train.count; i++) j->order[i] = i;
    cn_shuffle(&j->random, j->train.count, j->order);
    for (size_t k = 0; k < steps; k++) {
        const size_t step = epoch * steps + k, all = h->options.epochs[stage] * steps;
        host_step s = {.n = batch,
                       .images = j->images,
                       .labels = j->labels,
                       .rate = cn_rate_cosine(rate, step, all),
                       .masked = stage == MASKED};
        cn_draw(&j->train, batch, j->order + k * batch, &j->random, j->images, j->labels);
        const double start = seconds();
        if (h->train(j->host, &s)) return 1;
        spent += seconds() - start;
        penalty += s.penalty_seconds;
        if (!isfinite(s.loss))
            return host_fail(j->host, "%s, epoch %zu: the loss is not finite; try a lower --lr",
                             STAGE[stage], epoch + 1);
        loss += s.loss;
        j->progress.done += 3 * (double)batch;
        snprintf(line, sizeof line, "%-8s epoch %zu/%zu   loss %.4f", STAGE[stage], epoch + 1,
                 h->options.epochs[stage], loss / (double)(k + 1));
        progress_show(&j->progress, line);
    }
    if (accuracy(j, &j->accuracy[stage], NULL)) return 1;
    snprintf(line, sizeof line, "%-8s epoch %zu/%zu   loss %.4f   test %6.2f %%", STAGE[stage],
             epoch + 1, h->options.epochs[stage], loss / (double)steps, 100 * j->accuracy[stage]);
    progress_print(&j->progress, true, line);
    j->images_per_second[stage] = (double)(steps * batch) / spent; /* of the last epoch */
    if (stage == MASKED) j->penalty_share = penalty / spent;
    return 0;
}

static int train(job *j, int stage, double rate)
{
    for (size_t i = 0; i < j->host->options.epochs[stage]; i++)
        if (train_epoch(j, stage, i, rate)) return 1;
    return j->host->options.epochs[stage] ? 0 : accuracy(j, &j->accuracy[stage], NULL);
}

/* ---- the stages ---- */

static int run_stages(job *j)
{
    host *h = j->host;
    const host_options *o = &h->options;
    mskp_selection selection = {0};
    double before;
    /* What cannot be had should be known before epochs are spent: the mask of the first weights. */
    if (h->measure(h, &j->cost[0]) || h->select(h, o->macs * j->cost[0].macs, &selection)) return 1;
    say(j, "%s: %.0f parameters, %.2f million MACs; %zu images, %zu to test", h->name,
        j->cost[0].params, 1e-6 * j->cost[0].macs, j->train.count, j->test.count);
    if (train(j, BASELINE, o->rate) || h->select(h, o->macs * j->cost[0].macs, &selection))
        return 1;
    say(j, "mask: %zu units are marked, %.1f %% of the MACs stay", selection.removed,
        100 * selection.cost.macs / j->cost[0].macs);
    if (train(j, MASKED, o->rate) || accuracy(j, &before, &j->tests_per_second[0])) return 1;
    /* Once more within the same budget, because training has changed which carriers are needed. */
    if (h->select(h, o->macs * j->cost[0].macs, &selection) || h->cut(h) ||
        h->measure(h, &j->cost[1]))
        return 1;
    if (j->cost[1].macs != selection.cost.macs || j->cost[1].params != selection.cost.params)
        return host_fail(h, "surgery left %.0f MACs, the mask promised %.0f", j->cost[1].macs,
                         selection.cost.macs);
    if (accuracy(j, &j->after, &j->tests_per_second[1])) return 1;
    say(j, "surgery: %.1f %% of the MACs stay; test %.2f %% before, %.2f %% right after",
        100 * j->cost[1].macs / j->cost[0].macs, 100 * before, 100 * j->after);
    if (train(j, TUNING, o->rate / 2)) return 1;
    return o->out ? h->save(h, o->out) : 0;
}

static void table(job *j)
{
    const double *epoch = j->images_per_second;
    const table_pair pairs[] = {
        {"parameters", j->cost[0].params, j->cost[1].params},
        {"MACs", j->cost[0].macs, j->cost[1].macs},
        {"images/s, inference", j->tests_per_second[0], j->tests_per_second[1]},
        {"images/s, training", epoch[MASKED], epoch[TUNING]}};
    const table_part parts[] = {{"baseline", j->accuracy[BASELINE]},
                                {"before surgery", j->accuracy[MASKED]},
                                {"right after surgery", j->after},
                                {"after fine-tuning", j->accuracy[TUNING]}};
    const bool trained = epoch[MASKED] > 0 && epoch[TUNING] > 0;
    table_print(&j->progress, trained ? 4 : 3, pairs, 4, parts);
    if (epoch[MASKED] > 0)
        say(j, "the penalty's share of a training step: %.4f %%", 100 * j->penalty_share);
}

/* ---- the job ---- */

static int open_data(job *j)
{
    const host_options *o = &j->host->options;
    cn_error error;
    const bool good = o->data ? cn_data_cifar10(o->data, true, &j->train, &error) &&
                                    cn_data_cifar10(o->data, false, &j->test, &error)
                              : cn_data_shapes(DRAWN_IMAGES, 1, &j->train, &error) &&
                                    cn_data_shapes(DRAWN_TESTS, 2, &j->test, &error);
    if (!good) return host_fail(j->host, "%s", error.text);
    if (o->images && o->images < j->train.count) j->train.count = o->images;
    if (o->batch > j->train.count)
        return host_fail(j->host, "a batch of %zu images, but there are %zu", o->batch,
                         j->train.count);
    j->images = malloc(o->batch * CN_PIXELS * sizeof *j->images);
    j->labels = malloc(o->batch);
    j->classes = malloc(o->batch);
    j->order = malloc(j->train.count * sizeof *j->order);
    if (!j->images || !j->labels || !j->classes || !j->order)
        return host_fail(j->host, "no memory for batches of %zu images", o->batch);
    return 0;
}

/* Better to know before hours are spent. */
static int writable(job *j)
{
    host *h = j->host;
    if (!h->options.out) return 0;
    FILE *file = fopen(h->options.out, "rb");
    const bool existed = file;
    if (file) fclose(file);
    file = fopen(h->options.out, "ab");
    if (!file) return host_fail(h, "%s: cannot be written: %s", h->options.out, strerror(errno));
    fclose(file);
    j->made = !existed;
    return 0;
}

static int run(job *j)
{
    host *h = j->host;
    const host_options *o = &h->options;
    double work = 4; /* in images that go forward */
    if (open_data(j) || writable(j) || h->open(h)) return 1;
    for (size_t i = 0; i < STAGES; i++)
        work += (double)o->epochs[i] * (3 * (double)j->train.count + (double)j->test.count);
    progress_start(&j->progress, work + 2 * (double)j->test.count);
    j->random = (cn_random){o->seed};
    if (run_stages(j)) return 1;
    table(j);
    say(j, "%.0f seconds in all", seconds() - j->progress.started);
    return 0;
}

int host_run(host *h, int argc, char **argv)
{
    job j = {.host = h};
    command c = {.o = h->options};
    if (!args_read(argc, argv, OPTION_COUNT, OPTIONS, &c, sizeof h->error, h->error)) {
        fprintf(stderr, "%s: %s\n", h->name, h->error);
        return 2;
    }
    if (c.help) {
        printf("%s: train a network, mark channels, drive them to zero, cut them out, tune.\n"
               "Defaults: --epochs %zu,%zu,%zu --macs %g --strength %g --lr %g --batch %zu "
               "--threads %zu --seed %llu\n\n%s [option ...]\n",
               h->name, c.o.epochs[0], c.o.epochs[1], c.o.epochs[2], c.o.macs, c.o.strength,
               c.o.rate, c.o.batch, c.o.threads, (unsigned long long)c.o.seed, h->name);
        args_help(OPTION_COUNT, OPTIONS);
        return 0;
    }
    h->options = c.o;
    int failed = run(&j);
    progress_clear(&j.progress);
    if ((fflush(stdout) || ferror(stdout)) && !failed)
        failed = host_fail(h, "the output cannot be written: %s", strerror(errno));
    if (failed) fprintf(stderr, "%s: %s\n", h->name, h->error);
    if (failed && j.made) remove(h->options.out);
    h->close(h);
    free(j.images);
    free(j.labels);
    free(j.classes);
    free(j.order);
    cn_data_free(&j.train);
    cn_data_free(&j.test);
    return failed ? 1 : 0;
}

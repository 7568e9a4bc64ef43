/*
 * inception - small Inception networks with and without residual connections, trained, pruned
 * with mskp, and tuned; networks.h says what is smaller than in the paper, train.c how they are
 * pruned. docs/inception.md shows what came out.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>

#include "common/args.h"
#include "common/curves.h"
#include "train.h"

enum { ALL, NETWORKS = 4 };
/* What --network lists. The last one is not pruned: it shows what the additions do. */
static const struct network {
    const char *name;
    inception_kind kind;
    bool additions;
} NETWORK[NETWORKS] = {
    {"v4", INCEPTION_V4, false},
    {"resnet-v1", INCEPTION_RESNET_V1, true},
    {"resnet-v2", INCEPTION_RESNET_V2, true},
    {"v2-no-additions", INCEPTION_RESNET_V2, false},
};

typedef struct options {
    const char *data, *picture;
    size_t images, test_images, network, modules[3], divisor;
    double scale;
    train_options train;
    bool help;
} options;

#define AT(field) offsetof(options, field)
static const arg OPTIONS[] = {
    {"data", "DIR", ARG_PATH, AT(data), 0, 0,
     "A folder with CIFAR-10's binary files. By default the program draws images of ten kinds\n"
     "of shapes."},
    {"images", "N", ARG_COUNT, AT(images), 1, 50000, "Train on so many images [3000]."},
    {"test-images", "N", ARG_COUNT, AT(test_images), 1, 10000, "Test on so many images [1000]."},
    {"network", "all|v4|resnet-v1|resnet-v2|v2-no-additions", ARG_CHOICE, AT(network), 0, 0,
     "Which network. The last one is resnet-v2 with nothing added to what its modules compute;\n"
     "it is trained, but not pruned [all]."},
    {"modules", "A,B,C", ARG_COUNTS, AT(modules), 3, 100,
     "How many modules of each kind the ResNets have. v4 has half as many, rounded up, because\n"
     "they cost about twice as much [2,4,2]."},
    {"divisor", "N", ARG_COUNT, AT(divisor), 1, 64, "Widths are the paper's over N [8]."},
    {"scale", "S", ARG_NUMBER, AT(scale), 0.001, 1,
     "Residuals are multiplied by S before they are added [0.2]."},
    {"epochs", "DENSE,MASKED,TUNE", ARG_COUNTS, AT(train.epochs), 3, 1000,
     "Epochs of the whole network, of the network while marked channels go to zero, and of the\n"
     "network that was cut. With a MASKED of 0 channels are cut as they are [4,1,2]."},
    {"macs", "KEEP", ARG_NUMBER, AT(train.keep), 1e-3, 1,
     "The fraction of the multiply-accumulates to keep; with 1 nothing is pruned [0.5]."},
    {"rate", "RATE", ARG_NUMBER, AT(train.rate), 1e-6, 10, "The learning rate [0.05]."},
    {"batch", "N", ARG_COUNT, AT(train.batch), 2, 1024, "Images in a batch [32]."},
    {"threads", "N", ARG_COUNT, AT(train.threads), 1, 256,
     "Threads; they change no figure but the speed [2]."},
    {"seed", "N", ARG_COUNT, AT(train.seed), 0, 1e9,
     "Of the first weights, and of the order of the images [1]."},
    {"picture", "FILE", ARG_PATH, AT(picture), 0, 0, "Write the curves of the errors as SVG."},
    {"help", NULL, ARG_FLAG, AT(help), 0, 0, "Print this text."},
};
enum { OPTION_COUNT = sizeof OPTIONS / sizeof *OPTIONS };

typedef struct job {
    options o;
    train_data data;
    train_result result[NETWORKS];
    bool done[NETWORKS];
    char text[TRAIN_TEXT];
} job;

static size_t at_most(size_t count, size_t most)
{
    return count < most ? count : most;
}

static bool open_data(job *j)
{
    const options *o = &j->o;
    cn_error err;
    const bool good = o->data ? cn_data_cifar10(o->data, true, &j->data.train, &err) &&
                                    cn_data_cifar10(o->data, false, &j->data.test, &err)
                              : cn_data_shapes(o->images, 1, &j->data.train, &err) &&
                                    cn_data_shapes(o->test_images, 2, &j->data.test, &err);
    if (!good) return args_refuse(sizeof j->text, j->text, "%s", err.text);
    j->data.train.count = at_most(j->data.train.count, o->images);
    j->data.test.count = at_most(j->data.test.count, o->test_images);
    return true;
}

static bool check(job *j)
{
    const options *o = &j->o;
    const size_t *epochs = o->train.epochs;
    int held;
    file_error err;
    if (!epochs[TRAIN_DENSE])
        return args_refuse(sizeof j->text, j->text,
                           "--epochs begins with 0, and a network has to be trained to be pruned");
    if (o->train.keep < 1 && !epochs[TRAIN_MASKED] && !epochs[TRAIN_TUNE])
        return args_refuse(sizeof j->text, j->text,
                           "--epochs %zu,0,0 leaves no epoch to prune in; use --macs 1 to prune "
                           "nothing",
                           epochs[TRAIN_DENSE]);
    if (o->train.batch > o->images)
        return args_refuse(sizeof j->text, j->text,
                           "a batch of %zu images is asked for, but there are %zu to train on",
                           o->train.batch, o->images);
    if (o->picture && !file_check(o->picture, &held, &err))
        return args_refuse(sizeof j->text, j->text, "%.150s: %s", o->picture, err.text);
    return true;
}

static bool train(job *j, size_t i)
{
    const options *o = &j->o;
    const struct network *n = &NETWORK[i];
    const bool v4 = n->kind == INCEPTION_V4, pruned = v4 || n->additions;
    train_options how = o->train;
    inception shape = {n->kind, o->divisor, {0}, o->scale, n->additions};
    for (size_t k = 0; k < 3; k++) shape.modules[k] = v4 ? (o->modules[k] + 1) / 2 : o->modules[k];
    if (!pruned) how.keep = 1;
    return j->done[i] = train_network(n->name, &shape, &how, &j->data, &j->result[i], j->text);
}

static double last_error(const train_result *r)
{
    return r->error[r->points - 1];
}

/* The error at the end of the epochs of the whole network. */
static double dense_error(const job *j, const train_result *r)
{
    return r->error[TRAIN_POINTS * j->o.train.epochs[TRAIN_DENSE]];
}

static void print_table(const job *j)
{
    printf("\n%-16s %-13s %-16s %-18s %-31s %s\n", "", "units", "million MACs", "weights",
           "test error, %", "images/s");
    printf("%-16s %-13s %-16s %-18s %-31s\n", "", "", "", "", "whole, before, after cut, tuned");
    for (size_t i = 0; i < NETWORKS; i++) {
        const train_result *r = &j->result[i];
        if (!j->done[i]) continue;
        if (!r->units[1])
            printf("%-16s %-13zu %-16.2f %-18.0f %-31.2f %.0f\n", NETWORK[i].name, r->units[0],
                   1e-6 * r->cost[0].macs, r->cost[0].params, dense_error(j, r), r->speed[0]);
        else
            printf("%-16s %4zu -> %4zu %6.2f -> %5.2f %7.0f -> %6.0f  %5.2f  %5.2f  %5.2f  %5.2f"
                   "        %.0f -> %.0f\n",
                   NETWORK[i].name, r->units[0], r->units[1], 1e-6 * r->cost[0].macs,
                   1e-6 * r->cost[1].macs, r->cost[0].params, r->cost[1].params, dense_error(j, r),
                   r->before, r->after, last_error(r), r->speed[0], r->speed[1]);
    }
    for (size_t i = 0; i < NETWORKS; i++)
        if (j->done[i] && j->result[i].units[1])
            printf("%s: the cut changed outputs by at most %.2g\n", NETWORK[i].name,
                   j->result[i].difference);
}

static bool draw(job *j)
{
    const size_t *epochs = j->o.train.epochs;
    curves_line line[NETWORKS];
    char y[80];
    const curves_part part[] = {
        {"whole networks", (double)epochs[TRAIN_DENSE]},
        {"masked", (double)(epochs[TRAIN_DENSE] + epochs[TRAIN_MASKED])},
        {"cut and tuned",
         (double)(epochs[TRAIN_DENSE] + epochs[TRAIN_MASKED] + epochs[TRAIN_TUNE])}};
    curves c = {.title = "Inception with and without residual connections, trained, pruned, tuned",
                .x = "epoch",
                .y = y,
                .unit = " %",
                .line = line,
                .parts = j->o.train.keep < 1 ? 3 : 1,
                .part = part};
    file_error err;
    snprintf(y, sizeof y, "error on %zu test images", j->data.test.count);
    for (size_t i = 0; i < NETWORKS; i++) {
        const train_result *r = &j->result[i];
        /* the first point, of random weights, would stretch the axis */
        if (j->done[i])
            line[c.lines++] =
                (curves_line){NETWORK[i].name, r->points - 1, r->epoch + 1, r->error + 1};
    }
    return !j->o.picture || curves_write(&c, j->o.picture, &err) ||
           args_refuse(sizeof j->text, j->text, "%.150s: %s", j->o.picture, err.text);
}

static bool run(job *j)
{
    if (!open_data(j)) return false;
    for (size_t i = 0; i < NETWORKS; i++)
        if (j->o.network == ALL || j->o.network == i + 1)
            if (!train(j, i)) return false;
    print_table(j);
    return draw(j);
}

static int help(void)
{
    puts("inception trains small Inception-v4, Inception-ResNet-v1 and -v2 on images of\n"
         "32 x 32 pixels, and the second ResNet without its additions, too. The first three are\n"
         "then pruned to a share of their multiply-accumulates, and tuned. The networks are those\n"
         "of arXiv 1602.07261, with fewer channels and modules.\n"
         "\n"
         "inception [option ...]\n");
    args_help(OPTION_COUNT, OPTIONS);
    return 0;
}

int main(int argc, char **argv)
{
    job j = {.o = {.images = 3000,
                   .test_images = 1000,
                   .modules = {2, 4, 2},
                   .divisor = 8,
                   .scale = 0.2,
                   .train = {.epochs = {4, 1, 2},
                             .batch = 32,
                             .threads = 2,
                             .seed = 1,
                             .keep = 0.5,
                             .rate = 0.05}}};
    file_catch_signals();
    bool good = args_read(argc, argv, OPTION_COUNT, OPTIONS, &j.o, sizeof j.text, j.text);
    int status = !good || (!j.o.help && !check(&j)) ? 2 : 0;
    if (!status) status = j.o.help ? help() : run(&j) ? 0 : 1;
    if ((fflush(stdout) || ferror(stdout)) && !status) {
        args_refuse(sizeof j.text, j.text, "the output cannot be written");
        status = 1;
    }
    if (status) file_print(stderr, "inception: %s", j.text);
    for (size_t i = 0; i < NETWORKS; i++) train_free(&j.result[i]);
    cn_data_free(&j.data.train);
    cn_data_free(&j.data.test);
    return status;
}

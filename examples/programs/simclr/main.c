/*
 * simclr - trains an encoder without labels by SimCLR and by G-SimCLR, and prunes both
 *
 * S. Chakraborty, A. R. Gosthipaty, S. Paul, "G-SimCLR: Self-Supervised Contrastive Learning with
 * Guided Projection via Pseudo Labelling", arXiv 2009.12007:
 *
 *     denoising autoencoder -> features -> k-means -> pseudo-classes -> batches without two images
 *     of one pseudo-class -> two views of each image -> encoder, projection head -> NT-Xent
 *
 * Then channels of the encoder are driven to zero and cut, with the same loss and without a label,
 * and the rest is tuned. A linear probe, which reads labels, says after each stage what the
 * encoder is good for. docs/simclr.md is the page about this program.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/progress.h"
#include "files.h"
#include "networks.h"
#include "probe.h"
#include "results.h"
#include "train.h"

enum { DRAWN = 5000, DRAWN_TEST = 2000, TEXT = 512, OUTPUTS = 3 };
enum { BATCHES_BOTH, BATCHES_PLAIN, BATCHES_GUIDED };

typedef struct options {
    bool help;
    const char *data, *out, *log, *picture;
    size_t images, test_images, batches, seed;
    train_options train;
} options;

#define FIELD(name) offsetof(options, name)
static const arg TABLE[] = {
    {"data", "DIR", ARG_PATH, FIELD(data), 0, 0,
     "A folder with CIFAR-10's binary files. By default the program draws images of ten kinds\n"
     "of shapes."},
    {"images", "N", ARG_COUNT, FIELD(images), 1, 1e6, "Train on the first N images only [5000]."},
    {"test-images", "N", ARG_COUNT, FIELD(test_images), 0, 1e6,
     "Test the linear probe on the first N test images only; 0 means all [0]."},
    {"batches", "both|plain|guided", ARG_CHOICE, FIELD(batches), 0, 0,
     "plain trains by SimCLR alone, guided by G-SimCLR alone [both]."},
    {"clusters", "K", ARG_COUNT, FIELD(train.clusters), 1, 1e6,
     "The number of pseudo-classes. A batch needs as many as it has images [128]."},
    {"batch", "N", ARG_COUNT, FIELD(train.batch), 2, 4096,
     "Images of a batch, each of which has two views [64]."},
    {"epochs", "AUTOENCODER,TRAIN,MASKED,TUNE", ARG_COUNTS, FIELD(train.epochs), PHASES, 1e5,
     "The epochs of the phases. With MASKED 0 channels are cut as they are [2,10,4,3]."},
    {"macs", "KEEP", ARG_NUMBER, FIELD(train.macs), 1e-6, 1,
     "The fraction of the multiply-accumulates to keep [0.5]."},
    {"temperature", "T", ARG_NUMBER, FIELD(train.temperature), 1e-3, 1e3, "Of NT-Xent [0.1]."},
    {"lr", "LR", ARG_NUMBER, FIELD(train.rate), 1e-6, 100,
     "The first learning rate of TRAIN and MASKED, in each of which it falls to 0 along a cosine.\n"
     "TUNE starts from LR/2 [0.05]."},
    {"threads", "N", ARG_COUNT, FIELD(train.threads), 1, 256,
     "Threads that compute; results do not depend on them [2]."},
    {"seed", "N", ARG_COUNT, FIELD(seed), 0, 1e15,
     "Decides the first weights, the order of the images, their views and the clusters [1]."},
    {"out", "FILE", ARG_PATH, FIELD(out), 0, 0,
     "Write the pruned network (that of G-SimCLR, if there are two) to this safetensors file."},
    {"log", "FILE.csv", ARG_PATH, FIELD(log), 0, 0, "Write the loss of each epoch to this file."},
    {"picture", "FILE.svg", ARG_PATH, FIELD(picture), 0, 0,
     "Write a picture of the losses and of the probes to this file."},
    {"help", NULL, ARG_FLAG, FIELD(help), 0, 0, "Print this text and end."}};
enum { OPTIONS = sizeof TABLE / sizeof *TABLE };

typedef struct program {
    options o;
    cn_data train, test;
    uint32_t *pseudo; /* the pseudo-class of each training image */
    results results;
    method *now; /* that is being trained */
    train *training;
    progress progress;
    int held[OUTPUTS]; /* pipes stay open until the end: see file_check */
    cn_error err;
} program;

static bool fail(program *p, const char *format, size_t a, size_t b)
{
    snprintf(p->err.text, sizeof p->err.text, format, a, b);
    return false;
}

/* ---- the command line ---- */

static void print_help(void)
{
    puts("simclr trains an encoder of images without labels, by SimCLR and by G-SimCLR, prunes it\n"
         "with the same loss, and says by a linear probe what the encoder is good for before and\n"
         "after. Without options it uses images that it draws.\n\n"
         "simclr [option ...]\n");
    args_help(OPTIONS, TABLE);
}

static bool read_options(program *p, int argc, char **argv)
{
    options *o = &p->o;
    *o = (options){.images = DRAWN,
                   .seed = 1,
                   .train = {.epochs = {2, 10, 4, 3},
                             .batch = 64,
                             .clusters = 128,
                             .threads = 2,
                             .rate = 0.05,
                             .temperature = 0.1,
                             .macs = 0.5}};
    if (!args_read(argc, argv, OPTIONS, TABLE, o, sizeof p->err.text, p->err.text)) return false;
    o->train.seed = o->seed;
    if (o->train.batch > o->images)
        return fail(p, "--batch: %zu images of a batch are more than %zu images", o->train.batch,
                    o->images);
    if (o->batches == BATCHES_PLAIN) return true;
    if (o->train.clusters > o->images)
        return fail(p, "--clusters: %zu clusters cannot be made of %zu images", o->train.clusters,
                    o->images);
    if (o->train.clusters < o->train.batch)
        return fail(p,
                    "--clusters: a batch of %zu images needs as many pseudo-classes, but there are "
                    "to be %zu",
                    o->train.batch, o->train.clusters);
    return true;
}

/* So that no hour of training is lost at its end. */
static bool check_outputs(program *p)
{
    const options *o = &p->o;
    const char *const path[OUTPUTS] = {o->out, o->log, o->picture};
    file_error why;
    for (size_t i = 0; i < OUTPUTS; i++) {
        for (size_t k = 0; k < i; k++)
            if (path[i] && path[k] && file_same(path[i], path[k]))
                return args_refuse(sizeof p->err.text, p->err.text,
                                   "two outputs would be written to one file, %.80s", path[i]);
        if (path[i] && !file_check(path[i], &p->held[i], &why))
            return args_refuse(sizeof p->err.text, p->err.text, "%.100s: %.150s", path[i],
                               why.text);
    }
    return true;
}

/* ---- images ---- */

static bool open_images(program *p)
{
    const options *o = &p->o;
    if (o->data && (!cn_data_cifar10(o->data, true, &p->train, &p->err) ||
                    !cn_data_cifar10(o->data, false, &p->test, &p->err)))
        return false;
    if (!o->data &&
        (!cn_data_shapes(o->images, 1, &p->train, &p->err) ||
         !cn_data_shapes(o->test_images ? o->test_images : DRAWN_TEST, 2, &p->test, &p->err)))
        return false;
    if (o->images > p->train.count)
        return fail(p, "--images: there are %zu images, not %zu", p->train.count, o->images);
    p->train.count = o->images;
    if (o->test_images && o->test_images < p->test.count) p->test.count = o->test_images;
    p->pseudo = calloc(p->train.count, sizeof *p->pseudo);
    return p->pseudo ||
           fail(p, "no memory for %zu labels of %zu images", p->train.count, p->train.count);
}

/* ---- training ---- */

static void after_epoch(void *context, size_t phase, size_t epoch, size_t epochs, double loss)
{
    program *p = context;
    char text[TEXT];
    if (p->now && p->now->epochs < RESULTS_MOST_EPOCHS) {
        p->now->phase[p->now->epochs] = phase;
        p->now->loss[p->now->epochs++] = loss;
    }
    p->progress.done += phase == PHASE_AUTOENCODER ? 1 : 2;
    snprintf(text, sizeof text, "%-9s %-11s %2zu/%zu   loss %.4f", p->now ? p->now->name : "",
             PHASE_NAMES[phase], epoch, epochs, loss);
    progress_print(&p->progress, true, text);
}

static bool probe(program *p, const cn_net *net, size_t stage)
{
    const probe_data data = {&p->train, &p->test, p->o.seed};
    if (!probe_network(net, NETWORKS_ENCODED, &data, &p->now->probe[stage], &p->err)) return false;
    char text[TEXT];
    snprintf(text, sizeof text, "%-9s %-11s linear probe %.2f %%", p->now->name,
             RESULTS_STAGE_NAMES[stage], 100 * p->now->probe[stage]);
    progress_print(&p->progress, false, text);
    return true;
}

static bool after_cut(void *context, cn_error *err)
{
    program *p = context;
    (void)err; /* is p->err */
    return probe(p, p->training->net, RESULTS_CUT);
}

/* How many pairs of a batch have the same true label: this alone, and the probe, reads labels. */
static void count_pairs(const program *p, const batches *from, method *m)
{
    batches copy;
    cn_random random = {p->o.seed};
    size_t same = 0, all = 0;
    cn_error err;
    if (batches_open(&copy, from->count, from->batch, from->classes, from->label, &err))
        for (size_t s = 0; s < from->count / from->batch; s++) {
            const size_t *image = batches_next(&copy, &random);
            for (size_t i = 0; i < from->batch; i++)
                for (size_t k = 0; k < i; k++, all++)
                    same += p->train.labels[image[i]] == p->train.labels[image[k]];
        }
    batches_close(&copy);
    m->same = all ? (double)same / (double)all : 0;
}

static bool run_method(program *p, method *m, const uint32_t *label)
{
    const train_listener listener = {p, after_epoch};
    train t;
    p->now = m;
    p->training = &t;
    bool good = train_open(&t, &p->train, &p->o.train, label, &listener, &p->err);
    if (good) count_pairs(p, &t.batches, m);
    good = good && probe(p, t.net, RESULTS_UNTRAINED) && train_encoder(&t, &p->err) &&
           probe(p, t.net, RESULTS_TRAINED) && train_pruned(&t, &m->cut, after_cut, p, &p->err) &&
           probe(p, t.net, RESULTS_TUNED) &&
           (!p->o.out || cn_save(t.net, p->o.out, 0, NULL, &p->err));
    train_close(&t);
    p->now = NULL;
    p->training = NULL;
    return good;
}

static bool make_pseudo_classes(program *p)
{
    const train_listener listener = {p, after_epoch};
    char text[TEXT];
    double spread;
    if (!train_pseudo_classes(&p->train, &p->o.train, &listener, p->pseudo, &spread, &p->err))
        return false;
    snprintf(text, sizeof text, "%zu pseudo-classes; mean squared distance from their means %.4g",
             p->o.train.clusters, spread);
    progress_print(&p->progress, false, text);
    return true;
}

static bool run(program *p)
{
    const size_t *e = p->o.train.epochs;
    const bool plain = p->o.batches != BATCHES_GUIDED, guided = p->o.batches != BATCHES_PLAIN;
    results *r = &p->results;
    const size_t methods = (size_t)plain + (size_t)guided;
    progress_start(&p->progress,
                   (double)((guided ? e[PHASE_AUTOENCODER] : 0) +
                            2 * methods * (e[PHASE_TRAIN] + e[PHASE_MASKED] + e[PHASE_TUNE])));
    if (plain) {
        method *m = &r->method[r->methods++];
        m->name = "SimCLR";
        if (!run_method(p, m, NULL)) return false;
    }
    if (guided) {
        method *m = &r->method[r->methods++];
        m->name = "G-SimCLR";
        if (!make_pseudo_classes(p) || !run_method(p, m, p->pseudo)) return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    program p = {0};
    file_catch_signals();
    if (!read_options(&p, argc, argv)) {
        file_print(stderr, "simclr: %s", p.err.text);
        return 2;
    }
    if (p.o.help) return print_help(), 0;
    const bool good = check_outputs(&p) && open_images(&p) && run(&p) &&
                      (!p.o.log || results_log(&p.results, p.o.log, &p.err)) &&
                      (!p.o.picture || results_draw(&p.results, p.o.picture, &p.err));
    progress_clear(&p.progress);
    if (good) {
        results_print(&p.results);
        printf("%.0f seconds\n", seconds() - p.progress.started);
    } else {
        file_print(stderr, "simclr: %s", p.err.text);
    }
    cn_data_free(&p.train);
    cn_data_free(&p.test);
    free(p.pseudo);
    return !good;
}

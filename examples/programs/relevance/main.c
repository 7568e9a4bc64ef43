/*
 * relevance - Salient Relevance of a CIFAR ResNet before and after pruning, and relevance as a
 * score
 *
 * H. Li, Y. Tian, K. Mueller, X. Chen, "Beyond saliency: understanding convolutional neural
 * networks from saliency prediction on layer-wise relevance propagation", arXiv 1712.08268: the
 * logit of the predicted class is propagated to the pixels (lrp.c), and the context-aware saliency
 * of that relevance map shows the areas that the network attends to (saliency.c).
 *
 *     a network is read or trained
 *     for each score   a copy is scored and cut at once (prune.c), explained, tuned, explained
 *     one sheet        rows of images, with the maps of the network and of each tuned copy
 *
 * docs/relevance.md says what is measured, and how.
 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/progress.h"
#include "files.h"
#include "maps.h"
#include "prune.h"
#include "sheet.h"

enum { SCORES = 4, CLASSES = 10, LINE = 400 };
static const char SCORE_WORDS[] = "relevance|gamma|taylor|chance";
static const char *const SCORE_NAMES[SCORES] = {"relevance", "gamma", "taylor", "chance"};

typedef struct options {
    const char *data, *weights, *sheet, *maps;
    size_t model, epochs, tune, images, scored, compared, rows, batch, threads, seed, rules,
        normalize;
    arg_words scores;
    double rate, tune_rate, macs;
    bool help;
} options;

#define FIELD(name) offsetof(options, name)
static const arg OPTIONS[] = {
    {"data", "FOLDER", ARG_PATH, FIELD(data), 0, 0,
     "CIFAR-10's binary files; without it, shapes are drawn"},
    {"weights", "FILE", ARG_PATH, FIELD(weights), 0, 0,
     "a trained network, as safetensors; without it, one is trained"},
    {"model", "resnet8|resnet20|resnet32|resnet56", ARG_CHOICE_NUMBER, FIELD(model), 0, 0,
     "what is trained [resnet8]"},
    {"epochs", "N", ARG_COUNT, FIELD(epochs), 1, 10000, "of that training [6]"},
    {"rate", "X", ARG_NUMBER, FIELD(rate), 1e-9, 10, "learning rate of that training [0.1]"},
    {"macs", "FRACTION", ARG_NUMBER, FIELD(macs), 0.01, 1,
     "the part of the multiply-accumulates that is left [0.5]"},
    {"score", SCORE_WORDS, ARG_WORDS, FIELD(scores), 0, SCORES,
     "a score to prune by; can be given several times [relevance, gamma, taylor]"},
    {"scored", "N", ARG_COUNT, FIELD(scored), 1, 1e6,
     "training images that relevance and Taylor scores are measured on [500]"},
    {"normalize", "own|none|mean", ARG_CHOICE, FIELD(normalize), 0, 0,
     "scores are divided by the mean of their family: those of relevance, none, or all [own]"},
    {"tune", "N", ARG_COUNT, FIELD(tune), 0, 10000, "epochs after the cut [2]"},
    {"tune-rate", "X", ARG_NUMBER, FIELD(tune_rate), 1e-9, 10, "their learning rate [0.02]"},
    {"images", "N", ARG_COUNT, FIELD(images), 1, 1e6,
     "the first N training images, and as many test images, are all there are; 6000 and 2000\n"
     "shapes are drawn otherwise [all]"},
    {"rules", "plus|epsilon|paper", ARG_CHOICE, FIELD(rules), 0, 0,
     "how relevance is divided: by positive contributions with the box rule at the image, by all\n"
     "contributions, or as the paper's code does [plus]"},
    {"compared", "N", ARG_COUNT, FIELD(compared), 1, 1e5,
     "test images whose maps are compared before and after [100]"},
    {"sheet", "FILE", ARG_PATH, FIELD(sheet), 0, 0, "the picture [relevance.png]"},
    {"rows", "N", ARG_COUNT, FIELD(rows), 1, CLASSES,
     "images in the picture: of each class the first that the network knows [6]"},
    {"maps", "FILE", ARG_PATH, FIELD(maps), 0, 0,
     "only write the relevances of the first --compared test images as safetensors, and end"},
    {"batch", "N", ARG_COUNT, FIELD(batch), 1, 4096, "images of a step [128]"},
    {"threads", "N", ARG_COUNT, FIELD(threads), 1, 256, "threads of the trainings [1]"},
    {"seed", "N", ARG_COUNT, FIELD(seed), 0, 1e9, "of weights, images and their order [1]"},
    {"help", NULL, ARG_FLAG, FIELD(help), 0, 0, "print this text"},
};
enum { OPTION_COUNT = sizeof OPTIONS / sizeof *OPTIONS };

typedef struct program {
    options o;
    cn_error err;
    cn_data train, test;
    network whole; /* before pruning */
    lrp_rules rules;
    size_t kinds;
    score_kind kind[SCORES];
    size_t *compared;          /* 0, 1 ...: the test images whose maps are compared */
    size_t rows, row[CLASSES]; /* the test images in the picture */
    maps before, rows_before, rows_after[SCORES];
} program;

static bool refuse(program *p, const char *text)
{
    return args_refuse(sizeof p->err.text, p->err.text, "%s", text);
}

/* ---- options ---- */

static bool read_scores(program *p)
{
    const arg_words *words = &p->o.scores;
    for (size_t i = 0; i < words->count; i++) {
        size_t k = 0;
        while (k < SCORES && strcmp(words->text[i], SCORE_NAMES[k]) != 0) k++;
        if (k == SCORES)
            return args_refuse(sizeof p->err.text, p->err.text, "--score: \"%.80s\" is not %s",
                               words->text[i], SCORE_WORDS);
        for (size_t j = 0; j < p->kinds; j++)
            if (p->kind[j] == k)
                return args_refuse(sizeof p->err.text, p->err.text, "--score %s is given twice",
                                   SCORE_NAMES[k]);
        p->kind[p->kinds++] = (score_kind)k;
    }
    for (; !words->count && p->kinds < 3; p->kinds++) p->kind[p->kinds] = (score_kind)p->kinds;
    return true;
}

static bool check_output(program *p, const char *path)
{
    file_error why;
    int held;
    if (!file_check(path, &held, &why))
        return args_refuse(sizeof p->err.text, p->err.text, "%.120s: %.120s", path, why.text);
    /* A pipe's reader waits for as long as this program runs. */
    if (p->o.weights && file_same(p->o.weights, path))
        return args_refuse(sizeof p->err.text, p->err.text, "%.200s would be overwritten", path);
    return true;
}

/* ---- images and network ---- */

static bool open_images(program *p)
{
    const options *o = &p->o;
    const size_t train = o->images ? o->images : 6000, test = o->images ? o->images : 2000;
    if (!o->data)
        return cn_data_shapes(train, o->seed, &p->train, &p->err) &&
               cn_data_shapes(test, o->seed + 1, &p->test, &p->err);
    if (!cn_data_cifar10(o->data, true, &p->train, &p->err) ||
        !cn_data_cifar10(o->data, false, &p->test, &p->err))
        return false;
    if (o->images && o->images < p->train.count) p->train.count = o->images;
    if (o->images && o->images < p->test.count) p->test.count = o->images;
    return true;
}

static bool check_network(program *p)
{
    const cn_net *net = p->whole.net;
    const cn_layer *in = &net->layers[0];
    if (net->classes != p->train.classes)
        return args_refuse(sizeof p->err.text, p->err.text,
                           "%.120s: the network has %zu classes, the images %zu", p->o.weights,
                           net->classes, p->train.classes);
    return (in->channels == 3 && in->height == CN_SIDE && in->width == CN_SIDE) ||
           args_refuse(sizeof p->err.text, p->err.text,
                       "%.120s: the network reads %zu x %zu x %zu, the images are 3 x %d x %d",
                       p->o.weights, in->channels, in->height, in->width, CN_SIDE, CN_SIDE);
}

static bool open_network(program *p)
{
    const options *o = &p->o;
    const cn_options how = {o->batch, o->threads, o->seed};
    cn_net *net = o->weights ? cn_load(o->weights, &how, &p->err)
                             : cn_resnet(o->model, p->train.classes, &how, &p->err);
    if (!net || !network_open(&p->whole, net, &p->err) || !check_network(p)) return false;
    if (o->weights) return true;
    const lesson l = {&p->train, o->epochs, o->rate, o->seed};
    const double start = seconds();
    if (!network_train(&p->whole, &l, &p->err)) return false;
    printf("trained %s for %zu epochs in %.0f s\n", net->model, o->epochs, seconds() - start);
    fflush(stdout);
    return true;
}

static double accuracy(const program *p, const network *n)
{
    return 100.0 * (double)cn_evaluate(n->net, &p->test, NULL, NULL) / (double)p->test.count;
}

/* ---- maps ---- */

/* Of each class, the first test image that the network knows, until there are enough. */
static bool choose_rows(program *p)
{
    uint8_t *prediction = malloc(p->test.count + 1);
    if (!prediction) return refuse(p, "no memory for predictions");
    cn_evaluate(p->whole.net, &p->test, NULL, prediction);
    for (size_t c = 0; c < p->test.classes && p->rows < p->o.rows; c++)
        for (size_t i = 0; i < p->test.count; i++)
            if (p->test.labels[i] == c && prediction[i] == c) {
                p->row[p->rows++] = i;
                break;
            }
    free(prediction);
    return p->rows || refuse(p, "the network knows none of the test images, so there is nothing "
                                "to show");
}

static bool explain_whole(program *p)
{
    const size_t n = p->o.compared;
    p->compared = malloc(n * sizeof *p->compared);
    if (!p->compared) return refuse(p, "no memory for the images that are compared");
    for (size_t i = 0; i < n; i++) p->compared[i] = i;
    if (!choose_rows(p) ||
        !maps_make(p->whole.net, &p->rules, &p->test, n, p->compared, NULL, &p->before, &p->err) ||
        !maps_make(p->whole.net, &p->rules, &p->test, p->rows, p->row, NULL, &p->rows_before,
                   &p->err))
        return false;
    printf("relevance of %zu test images: biases kept %.1f %% of the logits, and %.1e of a logit "
           "is missing\n",
           n, 100 * p->before.bias, p->before.missing);
    return true;
}

/* How much of the whole network's maps another network has, for the same classes. */
static bool compare_maps(program *p, const network *n, double *relevance, double *saliency)
{
    maps m;
    const bool good = maps_make(n->net, &p->rules, &p->test, p->o.compared, p->compared,
                                p->before.class, &m, &p->err);
    if (good) maps_compare(&p->before, &m, relevance, saliency);
    maps_free(&m);
    return good;
}

/* ---- pruning ---- */

static bool cut(program *p, network *n, size_t k, double *left)
{
    const size_t units = mskp_graph_counts(n->graph).units;
    const mskp_scores scores = {units, calloc(units + 1, sizeof *scores.unit)};
    const scoring how = {
        p->kind[k], (normalize_kind)p->o.normalize, &p->train, p->o.scored, p->o.seed, p->rules};
    const bool good = scores.unit ? network_score(n, &how, scores, &p->err) &&
                                        network_cut(n, scores, p->o.macs, left, &p->err)
                                  : refuse(p, "no memory for scores");
    free(scores.unit);
    return good;
}

static bool prune(program *p, size_t k)
{
    network n;
    double left = 0, relevance[2], saliency[2], right[2];
    const lesson l = {&p->train, p->o.tune, p->o.tune_rate, p->o.seed};
    const double start = seconds();
    bool good = network_copy(&p->whole, &n, &p->err);
    const size_t units = good ? mskp_graph_counts(n.graph).units : 0;
    good = good && cut(p, &n, k, &left) && compare_maps(p, &n, &relevance[0], &saliency[0]);
    if (good) right[0] = accuracy(p, &n);
    good = good && (!l.epochs || network_train(&n, &l, &p->err)) &&
           compare_maps(p, &n, &relevance[1], &saliency[1]) &&
           maps_make(n.net, &p->rules, &p->test, p->rows, p->row, p->rows_before.class,
                     &p->rows_after[k], &p->err);
    if (good) {
        right[1] = accuracy(p, &n);
        printf("%-10s %4zu %6.3f %8.2f %7.2f %9.3f %6.3f %9.3f %6.3f %7.0f\n",
               SCORE_NAMES[p->kind[k]], units - mskp_graph_counts(n.graph).units, left, right[0],
               right[1], relevance[0], relevance[1], saliency[0], saliency[1], seconds() - start);
        fflush(stdout);
    }
    network_close(&n);
    return good;
}

static bool prune_all(program *p)
{
    printf("\n%-10s %4s %6s %16s %16s %16s %7s\n%-10s %4s %6s %8s %7s %9s %6s %9s %6s %7s\n", "",
           "", "", "accuracy, %", "R, correlation", "SR, correlation", "", "score", "gone", "MACs",
           "cut", "tuned", "cut", "tuned", "cut", "tuned", "seconds");
    printf("%-10s %4d %6.3f %8.2f\n", "none", 0, 1.0, accuracy(p, &p->whole));
    fflush(stdout);
    for (size_t k = 0; k < p->kinds; k++)
        if (!prune(p, k)) return false;
    return true;
}

/* ---- the sheet ---- */

/* Columns: the image; R before and after by each score; SR before and after by each score. */
static bool write_sheet(program *p)
{
    sheet s;
    const size_t each = 1 + p->kinds;
    if (!sheet_open(&s, p->rows, 1 + 2 * each, &p->err)) return false;
    for (size_t r = 0; r < p->rows; r++) {
        sheet_image(&s, r, 0, p->test.pixels + p->row[r] * CN_PIXELS);
        for (size_t k = 0; k < each; k++) {
            const maps *m = k ? &p->rows_after[k - 1] : &p->rows_before;
            sheet_signed(&s, r, 1 + k, m->relevance + r * MAP);
            sheet_heat(&s, r, 1 + each + k, m->saliency + r * MAP);
        }
    }
    const bool good = sheet_write(&s, p->o.sheet, &p->err);
    sheet_free(&s);
    if (!good) return false;
    printf("\n%s: the image; then its relevance, before pruning", p->o.sheet);
    for (size_t k = 0; k < p->kinds; k++) printf(", by %s", SCORE_NAMES[p->kind[k]]);
    printf(";\nthen Salient Relevance of the same networks\n");
    return true;
}

/* ---- main ---- */

static bool run(program *p)
{
    const options *o = &p->o;
    const double start = seconds();
    const char *advice = cn_kernels_advice();
    if (!check_output(p, o->maps ? o->maps : o->sheet) || !open_images(p)) return false;
    if (o->compared > p->test.count)
        return args_refuse(sizeof p->err.text, p->err.text,
                           "--compared %zu is more than the %zu test images", o->compared,
                           p->test.count);
    if (advice) file_print(stderr, "relevance: %s", advice);
    p->rules = lrp_rules_of((lrp_preset)o->rules);
    if (!open_network(p)) return false;
    if (o->maps)
        return maps_write(o->maps, p->whole.net, &p->rules, &p->test, o->compared, &p->err);
    if (!explain_whole(p) || !prune_all(p) || !write_sheet(p)) return false;
    printf("%.0f s in all, seed %zu\n", seconds() - start, o->seed);
    return true;
}

static void clean_up(program *p)
{
    network_close(&p->whole);
    cn_data_free(&p->train);
    cn_data_free(&p->test);
    maps_free(&p->before);
    maps_free(&p->rows_before);
    for (size_t k = 0; k < SCORES; k++) maps_free(&p->rows_after[k]);
    free(p->compared);
}

static int help(void)
{
    puts("relevance prunes a network by several scores, relevance among them, and shows what the\n"
         "network looks at before and after: layer-wise relevance propagation, and its\n"
         "context-aware saliency (Salient Relevance).\n"
         "\n"
         "relevance [option ...]\n");
    args_help(OPTION_COUNT, OPTIONS);
    if (!fflush(stdout) && !ferror(stdout)) return 0;
    fputs("relevance: the output cannot be written\n", stderr);
    return 1;
}

int main(int argc, char **argv)
{
    program p = {.o = {.sheet = "relevance.png",
                       .model = 8,
                       .epochs = 6,
                       .tune = 2,
                       .scored = 500,
                       .compared = 100,
                       .rows = 6,
                       .batch = 128,
                       .threads = 1,
                       .seed = 1,
                       .rate = 0.1,
                       .tune_rate = 0.02,
                       .macs = 0.5}};
    file_catch_signals();
    bool good = args_read(argc, argv, OPTION_COUNT, OPTIONS, &p.o, sizeof p.err.text, p.err.text);
    if (good && p.o.help) return help();
    good = good && read_scores(&p);
    const int status = !good ? 2 : run(&p) ? 0 : 1;
    clean_up(&p);
    if (status) file_print(stderr, "relevance: %s", p.err.text);
    return status;
}

/*
 * Zero-shot classification (arXiv 2103.00020, section 3.1): each class is described by texts, their
 * embeddings are averaged, and an image belongs to the class whose average is nearest. No layer was
 * trained for these classes, so other names could be put in their place.
 */
#include "judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loss.h"
#include "pairs.h"

typedef struct room {
    size_t width;
    size_t *order; /* indices of images */
    cn_real *inputs, *images, *texts, *names;
    double *loss;
} room;

static void forward(cn_net *net, size_t n, const cn_real *inputs, cn_real *embeddings)
{
    memcpy(embeddings, cn_forward(net, n, inputs, false), n * net->outputs * sizeof *embeddings);
}

/* The embeddings of the pairs, micro-batch by micro-batch. */
static void embed(room *r, pairs *p, size_t n, cn_net *net,
                  void (*fill)(void *context, size_t first, size_t n, cn_real *inputs),
                  cn_real *embeddings)
{
    const size_t micro = net->options.batch;
    for (size_t at = 0; at < n; at += micro) {
        const size_t some = n - at < micro ? n - at : micro;
        fill(p, at, some, r->inputs);
        forward(net, some, r->inputs, embeddings + at * r->width);
    }
}

/* r->names <- the sums of the embeddings of each class' texts. Their lengths differ, which the
 * cosine does not see. */
static void name_classes(room *r, const texts *t, cn_net *net)
{
    memset(r->names, 0, TEXTS_CLASSES * r->width * sizeof *r->names);
    for (size_t c = 0; c < TEXTS_CLASSES; c++)
        for (size_t i = 0; i < TEXTS_EACH; i++) {
            char text[TEXTS_LENGTH];
            texts_write(t, c, i, text);
            texts_bag(t, text, r->inputs);
            const cn_real *y = cn_forward(net, 1, r->inputs, false);
            for (size_t k = 0; k < r->width; k++) r->names[c * r->width + k] += y[k];
        }
}

/* The nearest name among those with this flag; flags NULL: among all. */
static size_t nearest(const room *r, const cn_real *x, const bool *flags, bool flag)
{
    size_t best = 0;
    double most = -2;
    for (size_t c = 0; c < TEXTS_CLASSES; c++) {
        double product = 0, square = 1e-24;
        for (size_t k = 0; k < r->width; k++) {
            const double y = (double)r->names[c * r->width + k];
            product += (double)x[k] * y;
            square += y * y;
        }
        if ((!flags || flags[c] == flag) && product / sqrt(square) > most)
            most = product / sqrt(square), best = c;
    }
    return best;
}

/* The share of the n images of r->order that are nearest to their own name. */
static double right(const room *r, const judge *j, size_t n, const bool *flags, bool flag)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += nearest(r, r->images + i * r->width, flags, flag) == j->data->labels[r->order[i]];
    return n ? (double)sum / (double)n : (double)NAN;
}

/* r->order <- the images of seen or unseen classes, and their embeddings; returns how many. */
static size_t look_at(room *r, const judge *j, bool unseen, cn_net *images)
{
    const size_t n = pairs_of(j->data, j->unseen, unseen, r->order);
    pairs p = {.data = j->data, .texts = j->texts, .order = r->order};
    embed(r, &p, n, images, pairs_images, r->images);
    return n;
}

/* The data may be sorted by class, and a group must not be: the pairs are shuffled. */
static double loss_of(room *r, const judge *j, cn_net *images, cn_net *words, double log_scale)
{
    pairs p = {.data = j->data, .texts = j->texts, .order = r->order, .seed = 1};
    const size_t seen = pairs_of(j->data, j->unseen, false, r->order);
    const size_t n = seen < JUDGE_GROUP ? seen : seen - seen % JUDGE_GROUP; /* whole groups */
    cn_random random = {1};
    cn_shuffle(&random, seen, r->order);
    embed(r, &p, n, images, pairs_images, r->images);
    embed(r, &p, n, words, pairs_texts, r->texts);
    return n ? contrast_loss(&(contrast){.pairs = n,
                                         .width = r->width,
                                         .group = JUDGE_GROUP,
                                         .images = r->images,
                                         .texts = r->texts,
                                         .log_scale = log_scale,
                                         .room = r->loss})
             : (double)NAN;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static bool open_room(room *r, const judge *j, const cn_net *images)
{
    const size_t n = j->data->count + 1, width = r->width = images->outputs;
    r->order = malloc(n * sizeof *r->order);
    r->inputs =
        malloc(images->options.batch * larger(CN_PIXELS, j->texts->words) * sizeof *r->inputs);
    r->images = malloc(n * width * sizeof *r->images);
    r->texts = malloc(n * width * sizeof *r->texts);
    r->names = malloc(TEXTS_CLASSES * width * sizeof *r->names);
    r->loss = malloc(2 * n * sizeof *r->loss);
    return r->order && r->inputs && r->images && r->texts && r->names && r->loss;
}

bool judge_towers(const judge *j, cn_net *images, cn_net *words, double log_scale, judgement *out,
                  cn_error *err)
{
    room r = {0};
    const bool good = open_room(&r, j, images);
    if (good) {
        name_classes(&r, j->texts, words);
        size_t n = look_at(&r, j, true, images);
        out->unseen = right(&r, j, n, j->unseen, true);
        out->among_all = right(&r, j, n, NULL, false);
        n = look_at(&r, j, false, images);
        out->seen = right(&r, j, n, j->unseen, false);
        out->loss = loss_of(&r, j, images, words, log_scale);
    } else if (err) {
        snprintf(err->text, sizeof err->text, "no memory for the embeddings of %zu images",
                 j->data->count);
    }
    free(r.order);
    free(r.inputs);
    free(r.images);
    free(r.texts);
    free(r.names);
    free(r.loss);
    return good;
}

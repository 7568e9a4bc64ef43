/*
 * The parts of the program contrastive. The loss is compared with finite differences, and with
 * PyTorch (pytorch.h, which test/torch/make-contrastive made); the accumulated gradient also with
 * PyTorch, with one forward and backward of the whole batch, and, where there are batch norms, with
 * networks that each hold one micro-batch. Then a whole training on few images: the same with any
 * micro-batch where no batch norm sees it, the budget of the pruning, and a cut that changes
 * nothing.
 */
#include "contrastive/session.h"
#include "contrastive/towers.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pytorch.h"

enum { PAIRS = 10, MICRO = 4, CHANNELS = 2, HEIGHT = 4, WIDTH = 3, WORDS = 7, HIDDEN = 6 };
enum { EMBEDDING = 5, PIXELS = CHANNELS * HEIGHT * WIDTH, PARTS = 64 };
#define LOG_SCALE   1.5
#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static const bool is_double = sizeof(cn_real) == sizeof(double);

/* ---- Networks ---- */

static const cn_layer PLAIN[] = {
    {.kind = CN_INPUT, .name = "x", .channels = CHANNELS, .height = HEIGHT, .width = WIDTH},
    {.kind = CN_CONV, .name = "a", .in = {0}, .channels = 4, .size = {3, 3}, .pad = {1, 1}},
    {.kind = CN_RELU, .name = "b", .in = {1}},
    {.kind = CN_CONV, .name = "c", .in = {2}, .channels = 5, .size = {3, 3}, .pad = {1, 1}},
    {.kind = CN_RELU, .name = "d", .in = {3}},
    {.kind = CN_GLOBAL_AVERAGE, .name = "e", .in = {4}},
    {.kind = CN_LINEAR, .name = "f", .in = {5}, .channels = EMBEDDING, .bias = true},
    {.kind = CN_NORMALIZE, .name = "g", .in = {6}}};

static const cn_layer NORMED[] = {
    {.kind = CN_INPUT, .name = "x", .channels = CHANNELS, .height = HEIGHT, .width = WIDTH},
    {.kind = CN_CONV, .name = "a", .in = {0}, .channels = 4, .size = {3, 3}, .pad = {1, 1}},
    {.kind = CN_BATCH_NORM, .name = "n", .in = {1}},
    {.kind = CN_RELU, .name = "b", .in = {2}},
    {.kind = CN_CONV, .name = "c", .in = {3}, .channels = 5, .size = {3, 3}, .pad = {1, 1}},
    {.kind = CN_RELU, .name = "d", .in = {4}},
    {.kind = CN_GLOBAL_AVERAGE, .name = "e", .in = {5}},
    {.kind = CN_LINEAR, .name = "f", .in = {6}, .channels = EMBEDDING, .bias = true},
    {.kind = CN_NORMALIZE, .name = "g", .in = {7}}};

static const cn_layer TEXT[] = {
    {.kind = CN_INPUT, .name = "x", .channels = WORDS, .height = 1, .width = 1},
    {.kind = CN_LINEAR, .name = "a", .in = {0}, .channels = HIDDEN, .bias = true},
    {.kind = CN_RELU, .name = "b", .in = {1}},
    {.kind = CN_LINEAR, .name = "c", .in = {2}, .channels = EMBEDDING, .bias = true},
    {.kind = CN_NORMALIZE, .name = "d", .in = {3}}};

/* The formula of make-contrastive. */
static double number(size_t i, size_t factor, size_t modulus, double divisor, size_t first)
{
    return ((double)((factor * i + first) % modulus) - (double)(modulus / 2)) / divisor;
}

static void image_inputs(void *context, size_t first, size_t n, cn_real *to)
{
    (void)context;
    for (size_t i = 0; i < n * PIXELS; i++)
        to[i] = (cn_real)number(first * PIXELS + i, 5, 17, 8, 0);
}

static void text_inputs(void *context, size_t first, size_t n, cn_real *to)
{
    (void)context;
    for (size_t i = first * WORDS; i < (first + n) * WORDS; i++)
        *to++ = (cn_real)((number(i, 3, 11, 1, 0) == 0) + fabs(number(i, 5, 7, 8, 0)));
}

static cn_net *make(size_t count, const cn_layer *layers, size_t micro)
{
    cn_error err = {""};
    cn_net *net = cn_create("", count, layers, &(cn_options){.batch = micro}, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    for (size_t i = 0; i < net->param_count; i++) {
        const cn_param *p = &net->params[i];
        const bool variance = strstr(p->name, "running_var") != NULL;
        for (size_t k = 0; k < p->count; k++)
            p->value[k] = (cn_real)(variance + number(k, 7, 13, 16, 3 * i));
    }
    return net;
}

/* ---- A batch through both towers ---- */

typedef struct batch {
    tower images, texts;
    contrast c;
    double loss, room[2 * PARTS];
} batch;

static void open_batch(batch *b, size_t count, const cn_layer *layers, size_t micro, size_t n)
{
    cn_error err = {""};
    ck_assert_uint_le(n, PARTS);
    *b = (batch){.images = {.net = make(count, layers, micro), .batch = n, .fill = image_inputs},
                 .texts = {.net = make(COUNT(TEXT), TEXT, micro), .batch = n, .fill = text_inputs}};
    ck_assert(tower_open(&b->images, &err) && tower_open(&b->texts, &err));
    b->c = (contrast){.pairs = n,
                      .width = EMBEDDING,
                      .images = b->images.embeddings,
                      .texts = b->texts.embeddings,
                      .log_scale = LOG_SCALE,
                      .image_slopes = b->images.slopes,
                      .text_slopes = b->texts.slopes,
                      .room = b->room};
}

static void gradients(batch *b, size_t group)
{
    b->c.group = group;
    tower_embed_all(&b->images, b->c.pairs);
    tower_embed_all(&b->texts, b->c.pairs);
    b->loss = contrast_loss(&b->c);
    tower_return_all(&b->images, b->c.pairs);
    tower_return_all(&b->texts, b->c.pairs);
}

static void close_batch(batch *b)
{
    cn_destroy(b->images.net);
    cn_destroy(b->texts.net);
    tower_close(&b->images);
    tower_close(&b->texts);
}

static double farthest(size_t count, const cn_real *a, const cn_real *b)
{
    double most = 0;
    for (size_t i = 0; i < count; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* The greatest difference of two networks' gradients, over the greatest gradient. */
static double gradients_differ(const cn_net *a, const cn_net *b)
{
    double most = 0, size = 0;
    for (size_t i = 0; i < a->param_count; i++) {
        const cn_param *p = &a->params[i], *q = &b->params[i];
        if (!p->trained) continue;
        most = fmax(most, farthest(p->count, p->gradient, q->gradient));
        for (size_t k = 0; k < p->count; k++) size = fmax(size, fabs((double)q->gradient[k]));
    }
    ck_assert_double_gt(size, 0);
    return most / size;
}

/* ---- PyTorch ---- */

static double off(size_t count, const cn_real *a, const double *b)
{
    double most = 0;
    for (size_t i = 0; i < count; i++) most = fmax(most, fabs((double)a[i] - b[i]));
    return most;
}

/* Rows of `width`, one for each trained parameter of both networks. */
static double gradients_off(const cn_net *net, const double **row, size_t width)
{
    double most = 0;
    for (size_t i = 0; i < net->param_count; i++) {
        if (!net->params[i].trained) continue;
        most = fmax(most, off(net->params[i].count, net->params[i].gradient, *row));
        *row += width;
    }
    return most;
}

#define AGAINST_PYTORCH(name, b)                                                      \
    against_pytorch(#name, b, name##_loss[0], name##_embeddings[0], name##_slopes[0], \
                    name##_gradients[0], COUNT(name##_gradients[0]))
static void against_pytorch(const char *name, const batch *b, const double *loss,
                            const double *embeddings, const double *slopes, const double *rows,
                            size_t width)
{
    const size_t n = (size_t)PAIRS * EMBEDDING;
    const double tolerance = is_double ? 1e-13 : 5e-6;
    const double loss_off = fmax(fabs(b->loss - loss[0]), fabs(b->c.scale_slope - loss[1]));
    const double embeddings_off =
        fmax(off(n, b->images.embeddings, embeddings), off(n, b->texts.embeddings, embeddings + n));
    const double slopes_off =
        fmax(off(n, b->images.slopes, slopes), off(n, b->texts.slopes, slopes + n));
    double gradient_off = gradients_off(b->images.net, &rows, width);
    gradient_off = fmax(gradient_off, gradients_off(b->texts.net, &rows, width));
    printf("%s %s, from PyTorch: loss %.2g, embeddings %.2g, slopes %.2g, gradients %.2g\n", name,
           CN_DTYPE_NAME, loss_off, embeddings_off, slopes_off, gradient_off);
    ck_assert_double_lt(loss_off, tolerance);
    ck_assert_double_lt(embeddings_off, tolerance);
    ck_assert_double_lt(slopes_off, tolerance);
    ck_assert_double_lt(gradient_off, tolerance);
}

START_TEST(pytorch)
{
    batch b;
    open_batch(&b, COUNT(PLAIN), PLAIN, 3, PAIRS);
    gradients(&b, 0);
    AGAINST_PYTORCH(plain, &b);
    gradients(&b, 3);
    AGAINST_PYTORCH(grouped, &b);
    close_batch(&b);

    open_batch(&b, COUNT(NORMED), NORMED, MICRO, PAIRS);
    gradients(&b, PAIRS);
    AGAINST_PYTORCH(normed, &b);
    const cn_net *net = b.images.net;
    const cn_param *mean = &net->params[cn_find_param(net, "n.running_mean")];
    const cn_param *variance = &net->params[cn_find_param(net, "n.running_var")];
    const double tolerance = is_double ? 1e-14 : 1e-6;
    ck_assert_double_lt(off(4, mean->value, normed_statistics[0]), tolerance);
    ck_assert_double_lt(off(4, variance->value, normed_statistics[1]), tolerance);
    close_batch(&b);
}
END_TEST

/* ---- The loss ---- */

/* Differences of the loss to both sides of one number. */
static double difference(contrast *c, cn_real *number_of, double step)
{
    const cn_real before = *number_of;
    *number_of = (cn_real)((double)before + step);
    const double above = contrast_loss(c);
    *number_of = (cn_real)((double)before - step);
    const double below = contrast_loss(c);
    *number_of = before;
    return (above - below) / (2 * step);
}

START_TEST(finite_differences)
{
    if (!is_double) return; /* floats have too few digits */
    cn_real embeddings[2][PAIRS * EMBEDDING], slopes[2][PAIRS * EMBEDDING];
    double room[2 * PAIRS], worst = 0;
    cn_random random = {5};
    for (size_t i = 0; i < 2 * PAIRS; i++) {
        cn_real *row = embeddings[i / PAIRS] + i % PAIRS * EMBEDDING;
        double square = 0;
        for (size_t k = 0; k < EMBEDDING; k++) {
            row[k] = (cn_real)cn_random_normal(&random);
            square += (double)row[k] * (double)row[k];
        }
        for (size_t k = 0; k < EMBEDDING; k++) row[k] /= (cn_real)sqrt(square);
    }
    for (size_t group = 0; group <= PAIRS; group += 4) {
        contrast c = {PAIRS,     EMBEDDING, group,     embeddings[0], embeddings[1],
                      LOG_SCALE, slopes[0], slopes[1], room,          0};
        contrast_loss(&c);
        const double scale_slope = c.scale_slope;
        c.image_slopes = c.text_slopes = NULL;
        for (size_t i = 0; i < PAIRS * EMBEDDING; i++)
            for (size_t s = 0; s < 2; s++)
                worst = fmax(worst,
                             fabs(difference(&c, &embeddings[s][i], 1e-5) - (double)slopes[s][i]));
        c.log_scale = LOG_SCALE + 1e-5;
        const double above = contrast_loss(&c);
        c.log_scale = LOG_SCALE - 1e-5;
        worst = fmax(worst, fabs((above - contrast_loss(&c)) / 2e-5 - scale_slope));
    }
    printf("seed 5: slopes within %.2g of finite differences\n", worst);
    ck_assert_double_lt(worst, 1e-9);
}
END_TEST

/* Equal embeddings: every choice is among n equals. And the largest scale, with pairs that fit. */
START_TEST(extremes)
{
    cn_real x[4 * 4] = {0}, slope[2 * 4 * 4];
    double room[8];
    contrast c = {4, 4, 0, x, x, CONTRAST_LOG_SCALE_MOST, slope, slope + 16, room, 0};
    for (size_t i = 0; i < 4; i++) x[4 * i] = 1;
    ck_assert_double_lt(fabs(contrast_loss(&c) - log(4)), 1e-12);
    c.group = 1;
    ck_assert_double_lt(fabs(contrast_loss(&c)), 1e-12);
    c.group = 3; /* three of four choose among three */
    ck_assert_double_lt(fabs(contrast_loss(&c) - 0.75 * log(3)), 1e-12);
    for (size_t i = 0; i < 4; i++) x[4 * i] = 0, x[5 * i] = 1;
    c.group = 4;
    ck_assert_double_lt(contrast_loss(&c), 1e-12);
    for (size_t i = 0; i < 4; i++) x[5 * i] = -1; /* still its own text's */
    ck_assert(isfinite(contrast_loss(&c)));
    for (size_t i = 0; i < 2 * 16; i++) ck_assert(isfinite((double)slope[i]));
}
END_TEST

/* ---- The law of accumulation ---- */

static const double law = sizeof(cn_real) == sizeof(double) ? 1e-10 : 2e-5;

/* Without batch norm: any micro-batch gives the gradient of one forward over all. */
START_TEST(whole_batch)
{
    batch whole, parts;
    open_batch(&whole, COUNT(PLAIN), PLAIN, PAIRS, PAIRS);
    tower_embed_all(&whole.images, PAIRS); /* one micro-batch: the whole */
    tower_embed_all(&whole.texts, PAIRS);
    whole.loss = contrast_loss(&whole.c);
    cn_backward_from(whole.images.net, whole.images.slopes);
    cn_backward_from(whole.texts.net, whole.texts.slopes);
    double worst = 0;
    for (size_t micro = 1; micro <= PAIRS + 2; micro++) {
        open_batch(&parts, COUNT(PLAIN), PLAIN, micro, PAIRS);
        gradients(&parts, 0);
        worst = fmax(worst, gradients_differ(parts.images.net, whole.images.net));
        worst = fmax(worst, gradients_differ(parts.texts.net, whole.texts.net));
        worst = fmax(worst, fabs(parts.loss - whole.loss));
        worst = fmax(worst, fabs(parts.c.scale_slope - whole.c.scale_slope));
        close_batch(&parts);
    }
    printf("%s: gradients of micro-batches of 1 to %d within %.2g of the whole batch's\n",
           CN_DTYPE_NAME, PAIRS + 2, worst);
    ck_assert_double_lt(worst, law);
    close_batch(&whole);
}
END_TEST

/* With batch norm: as many networks as micro-batches, of which each keeps what it computed, and no
 * forward is done twice. Running statistics are handed on from one to the next. */
START_TEST(kept_micro_batches)
{
    enum { NETS = (PAIRS + MICRO - 1) / MICRO };
    batch b;
    cn_net *net[NETS];
    open_batch(&b, COUNT(NORMED), NORMED, MICRO, PAIRS);
    gradients(&b, 0);
    cn_real inputs[MICRO * PIXELS], embeddings[PAIRS * EMBEDDING], slopes[PAIRS * EMBEDDING];
    for (size_t k = 0; k < NETS; k++) {
        const size_t first = k * MICRO, n = PAIRS - first < MICRO ? PAIRS - first : MICRO;
        net[k] = make(COUNT(NORMED), NORMED, MICRO);
        for (size_t i = 0; k && i < net[k]->param_count; i++)
            memcpy(net[k]->params[i].value, net[k - 1]->params[i].value,
                   net[k]->params[i].count * sizeof(cn_real));
        image_inputs(NULL, first, n, inputs);
        memcpy(embeddings + first * EMBEDDING, cn_forward(net[k], n, inputs, true),
               n * EMBEDDING * sizeof *embeddings);
    }
    contrast c = b.c;
    c.images = embeddings;
    c.image_slopes = slopes;
    ck_assert_double_lt(fabs(contrast_loss(&c) - b.loss), law);
    for (size_t k = 0; k < NETS; k++) cn_backward_from(net[k], slopes + k * MICRO * EMBEDDING);
    cn_net *last = net[NETS - 1];
    for (size_t i = 0; i < last->param_count; i++) {
        const cn_param *p = &last->params[i], *q = &b.images.net->params[i];
        for (size_t n = 0; !p->trained && n < p->count; n++) ck_assert(p->value[n] == q->value[n]);
        for (size_t k = 0; p->trained && k + 1 < NETS; k++)
            for (size_t n = 0; n < p->count; n++) p->gradient[n] += net[k]->params[i].gradient[n];
    }
    const double worst = gradients_differ(b.images.net, last);
    printf("%s: with batch norm, gradients within %.2g of those of kept micro-batches\n",
           CN_DTYPE_NAME, worst);
    ck_assert_double_lt(worst, law);
    for (size_t k = 0; k < NETS; k++) cn_destroy(net[k]);
    close_batch(&b);
}
END_TEST

/* What is usually called accumulation, a loss for each micro-batch, is no whole batch: the tests
 * above can see the difference. */
START_TEST(separate_losses)
{
    batch whole, parts;
    open_batch(&whole, COUNT(PLAIN), PLAIN, PAIRS, PAIRS);
    open_batch(&parts, COUNT(PLAIN), PLAIN, MICRO, PAIRS);
    gradients(&whole, 0);
    gradients(&parts, MICRO);
    const double differ = gradients_differ(parts.images.net, whole.images.net);
    printf("a loss for each micro-batch: gradients differ by %.2g\n", differ);
    ck_assert_double_gt(differ, 0.01);
    close_batch(&whole);
    close_batch(&parts);
}
END_TEST

/* ---- Texts ---- */

START_TEST(vocabulary)
{
    for (size_t kind = 0; kind < 2; kind++) {
        texts t;
        cn_real bag[TEXTS_MOST_WORDS];
        bool used[TEXTS_MOST_WORDS] = {false};
        texts_open(&t, kind ? TEXTS_SHAPES : TEXTS_CIFAR10);
        ck_assert(t.words > 20 && t.words < TEXTS_MOST_WORDS); /* none was left out */
        for (size_t i = 1; i < t.words; i++) ck_assert(strcmp(t.word[i - 1], t.word[i]) < 0);
        for (size_t c = 0; c < TEXTS_CLASSES; c++)
            for (size_t i = 0; i < TEXTS_EACH; i++) {
                char text[TEXTS_LENGTH];
                double sum = 0;
                texts_write(&t, c, i, text);
                ck_assert(strlen(text) + 1 < sizeof text && !strpbrk(text, "{}"));
                ck_assert(texts_bag(&t, text, bag) > 1);
                for (size_t w = 0; w < t.words; w++) {
                    sum += (double)bag[w];
                    if (bag[w] > 0) used[w] = true;
                    /* A word that counts is in the text. */
                    ck_assert(!(bag[w] > 0) || strstr(text, t.word[w]));
                }
                ck_assert_double_lt(fabs(sum - 1), 1e-6);
            }
        for (size_t w = 0; w < t.words; w++) ck_assert(used[w]);
    }
}
END_TEST

START_TEST(bags)
{
    texts t;
    cn_real bag[TEXTS_MOST_WORDS];
    texts_open(&t, TEXTS_CIFAR10);
    ck_assert_uint_eq(texts_bag(&t, "a cat, a zebra; a dog and fur", bag), 7);
    double found[3] = {0};
    for (size_t w = 0; w < t.words; w++) {
        if (!strcmp(t.word[w], "a")) found[0] = (double)bag[w];
        if (!strcmp(t.word[w], "cat")) found[1] = (double)bag[w];
        if (!strcmp(t.word[w], "horse")) found[2] = (double)bag[w];
    }
    ck_assert(fabs(found[0] - 3.0 / 7) < 1e-6 && fabs(found[1] - 1.0 / 7) < 1e-6 && found[2] == 0);
    ck_assert_uint_eq(texts_bag(&t, "", bag), 0);
    for (size_t w = 0; w < t.words; w++) ck_assert(bag[w] == 0);
}
END_TEST

START_TEST(lists_of_classes)
{
    static const struct {
        const char *list, *says;
    } REFUSED[] = {{"cat,wolf", "no class is called \"wolf\"; they are airplane, automobile"},
                   {"cat,cat", "the class cat is named twice"},
                   {"cat,", "no class is called \"\""},
                   {"ca", "no class is called \"ca\""},
                   {"catfish", "no class is called \"catfish\""}};
    texts t;
    bool listed[TEXTS_CLASSES];
    cn_error err;
    texts_open(&t, TEXTS_CIFAR10);
    ck_assert(texts_classes_named(&t, "truck,cat", listed, &err));
    for (size_t c = 0; c < TEXTS_CLASSES; c++) ck_assert(listed[c] == (c == 3 || c == 9));
    ck_assert(texts_classes_named(&t, NULL, listed, NULL) && !listed[3]);
    for (size_t i = 0; i < COUNT(REFUSED); i++) {
        ck_assert(!texts_classes_named(&t, REFUSED[i].list, listed, &err));
        ck_assert_msg(strstr(err.text, REFUSED[i].says) != NULL, "%s", err.text);
        ck_assert(!texts_classes_named(&t, REFUSED[i].list, listed, NULL));
    }
}
END_TEST

/* ---- Whole trainings, on shapes ---- */

static session_options small(void)
{
    return (session_options){.images = 120,
                             .tests = 60,
                             .batch = 32,
                             .micro = 8,
                             .width = 4,
                             .embedding = 8,
                             .epochs = {2, 1, 1},
                             .rate = 0.05,
                             .macs = 0.5,
                             .seed = 3,
                             .threads = 1};
}

static bool step(session *s, session_phase phase, size_t i)
{
    const double rate = session_begin(s, phase, i);
    tower_embed_all(&s->images, s->o.batch);
    tower_embed_all(&s->texts, s->o.batch);
    contrast_loss(&s->loss);
    tower_return_all(&s->images, s->o.batch);
    tower_return_all(&s->texts, s->o.batch);
    return session_update(s, rate);
}

/* The text tower has no batch norm. If the embeddings of the images are the same, so is its
 * gradient, whatever the micro-batch. Images and texts do not depend on it, either. */
START_TEST(pairs_do_not_depend_on_micro_batches)
{
    session_options o = small();
    session a = {0}, b = {0};
    ck_assert_msg(session_open(&a, &o), "%s", a.text);
    o.micro = 5;
    ck_assert_msg(session_open(&b, &o), "%s", b.text);
    session_begin(&a, SESSION_TRAIN, 0);
    session_begin(&b, SESSION_TRAIN, 0);
    cn_real *x = malloc(2 * 32 * CN_PIXELS * sizeof *x), *y = x + 32 * CN_PIXELS;
    ck_assert_ptr_nonnull(x);
    pairs_images(&a.batch, 0, 32, x);
    for (size_t at = 0; at < 32; at += 4) pairs_images(&b.batch, at, 4, y + at * CN_PIXELS);
    ck_assert_int_eq(memcmp(x, y, 32 * CN_PIXELS * sizeof *x), 0);
    free(x);
    tower_embed_all(&a.images, 32);
    memcpy(b.images.embeddings, a.images.embeddings, 32 * 8 * sizeof(cn_real));
    tower_embed_all(&a.texts, 32);
    tower_embed_all(&b.texts, 32);
    contrast_loss(&a.loss);
    contrast_loss(&b.loss);
    tower_return_all(&a.texts, 32);
    tower_return_all(&b.texts, 32);
    ck_assert_double_lt(gradients_differ(b.texts.net, a.texts.net), law);
    session_close(&a);
    session_close(&b);
}
END_TEST

/* Nobody trains on unseen classes. */
START_TEST(unseen_classes)
{
    session_options o = small();
    session s = {0};
    o.unseen = "ring,rows";
    ck_assert_msg(session_open(&s, &o), "%s", s.text);
    ck_assert(s.count < s.data.count);
    for (size_t i = 0; i < s.count; i++) {
        const uint8_t label = s.data.labels[s.order[i]];
        ck_assert(label != 1 && label != 6);
    }
    session_close(&s);
}
END_TEST

/* The mask leaves at most half of the MACs, marked channels reach zero, and the cut changes no
 * judgement. */
START_TEST(pruned)
{
    const session_options o = small();
    session s = {0};
    judgement before[2], after[2];
    ck_assert_msg(session_open(&s, &o), "%s", s.text);
    ck_assert(session_macs(&s) == 1);
    for (size_t phase = SESSION_TRAIN; phase <= SESSION_MASKED; phase++)
        for (size_t i = 0; i < session_steps(&s, (session_phase)phase); i++)
            ck_assert_msg(step(&s, (session_phase)phase, i), "%s", s.text);
    ck_assert_int_eq(mskp_pruner_due(s.pruner), MSKP_PRUNER_DUE_CUT);
    ck_assert(session_judge(&s, &before[0], &before[1]));
    ck_assert_msg(session_cut(&s), "%s", s.text);
    ck_assert(session_judge(&s, &after[0], &after[1]));
    ck_assert(session_macs(&s) <= 0.5 && session_macs(&s) > 0.2);
    printf("%s: %.1f %% of the MACs are left, and the loss moves by %.2g\n", CN_DTYPE_NAME,
           100 * session_macs(&s), fabs(after[0].loss - before[0].loss));
    ck_assert_double_lt(fabs(after[0].loss - before[0].loss), is_double ? 1e-12 : 1e-5);
    ck_assert_double_lt(fabs(after[1].loss - before[1].loss), is_double ? 1e-12 : 1e-5);
    ck_assert(after[1].seen == before[1].seen && after[1].unseen == before[1].unseen);
    for (size_t i = 0; i < session_steps(&s, SESSION_TUNE); i++)
        ck_assert_msg(step(&s, SESSION_TUNE, i), "%s", s.text);
    session_close(&s);
}
END_TEST

START_TEST(refused)
{
    session s = {0};
    session_options o = small();
    o.epochs[0] = o.epochs[1] = o.epochs[2] = 0;
    ck_assert(!session_open(&s, &o) && strstr(s.text, "--epochs"));
    session_close(&s);
    s = (session){0};
    o = small();
    o.batch = 200;
    ck_assert(!session_open(&s, &o) && strstr(s.text, "has 200 pairs, but of 120 images only"));
    session_close(&s);
    s = (session){0};
    o = small();
    o.data = "/nowhere";
    ck_assert(!session_open(&s, &o) && strstr(s.text, "/nowhere/data_batch_1.bin"));
    session_close(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("contrastive");
    TCase *cases = tcase_create("contrastive");
    tcase_add_test(cases, pytorch);
    tcase_add_test(cases, finite_differences);
    tcase_add_test(cases, extremes);
    tcase_add_test(cases, whole_batch);
    tcase_add_test(cases, kept_micro_batches);
    tcase_add_test(cases, separate_losses);
    tcase_add_test(cases, vocabulary);
    tcase_add_test(cases, bags);
    tcase_add_test(cases, lists_of_classes);
    tcase_add_test(cases, pairs_do_not_depend_on_micro_batches);
    tcase_add_test(cases, unseen_classes);
    tcase_add_test(cases, pruned);
    tcase_add_test(cases, refused);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

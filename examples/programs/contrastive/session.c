/* Opens a training, and does what a step needs beside the gradients. */
#include "session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "towers.h"

bool session_fail(session *s, const char *what, const char *sentence)
{
    snprintf(s->text, sizeof s->text, "%s%s%s", what, *what ? ": " : "", sentence);
    return false;
}

/* ---- Opening ---- */

static bool read_data(session *s)
{
    const session_options *o = &s->o;
    cn_error err;
    const bool good = o->data ? cn_data_cifar10(o->data, true, &s->data, &err) &&
                                    cn_data_cifar10(o->data, false, &s->test, &err)
                              : cn_data_shapes(o->images, 1, &s->data, &err) &&
                                    cn_data_shapes(o->tests, 2, &s->test, &err);
    if (!good) return session_fail(s, "", err.text);
    if (s->data.count > o->images) s->data.count = o->images;
    if (s->test.count > o->tests) s->test.count = o->tests;
    return true;
}

static bool open_data(session *s)
{
    const session_options *o = &s->o;
    cn_error err;
    const char *unseen = o->unseen ? o->unseen : o->data ? "deer,truck" : "disc,frame";
    texts_open(&s->words, o->data ? TEXTS_CIFAR10 : TEXTS_SHAPES);
    if (!texts_classes_named(&s->words, strcmp(unseen, "none") ? unseen : "", s->unseen, &err))
        return session_fail(s, "--unseen", err.text);
    if (!read_data(s)) return false;
    s->order = malloc((s->data.count + 1) * sizeof *s->order);
    if (!s->order) return session_fail(s, "", "no memory for the order of the images");
    s->count = pairs_of(&s->data, s->unseen, false, s->order);
    s->batch =
        (pairs){.data = &s->data, .texts = &s->words, .order = s->order, .augment = !o->plain};
    if (s->count >= o->batch) return true;
    snprintf(s->text, sizeof s->text,
             "a step has %zu pairs, but of %zu images only %zu are of classes that are trained on",
             o->batch, s->data.count, s->count);
    return false;
}

static bool open_towers(session *s)
{
    const session_options *o = &s->o;
    cn_error err;
    const cn_options how = {o->micro, o->threads, o->seed};
    s->images = (tower){.batch = o->batch, .fill = pairs_images, .context = &s->batch};
    s->texts = (tower){.batch = o->batch, .fill = pairs_texts, .context = &s->batch};
    s->images.net = tower_images(o->width, o->embedding, &how, &err);
    if (s->images.net)
        s->texts.net = tower_texts(s->words.words, 2 * o->embedding, o->embedding, &how, &err);
    if (!s->images.net || !s->texts.net || !tower_open(&s->images, &err) ||
        !tower_open(&s->texts, &err))
        return session_fail(s, "", err.text);
    s->loss = (contrast){.pairs = o->batch,
                         .width = o->embedding,
                         .group = o->contrast,
                         .images = s->images.embeddings,
                         .texts = s->texts.embeddings,
                         .log_scale = log(10),
                         .image_slopes = s->images.slopes,
                         .text_slopes = s->texts.slopes,
                         .room = malloc(2 * o->batch * sizeof(double))};
    return s->loss.room || session_fail(s, "", "no memory for the loss");
}

static void show(session *s)
{
    s->values.n = s->gradients.n = s->images.net->param_count;
    cn_values(s->images.net, s->values);
    cn_gradients(s->images.net, s->gradients);
}

static bool describe(session *s)
{
    const size_t n = s->images.net->param_count;
    mskp_error err;
    mskp_cost cost;
    s->graph = mskp_graph_create(NULL);
    s->values.view = calloc(n, sizeof *s->values.view);
    s->gradients.view = calloc(n, sizeof *s->gradients.view);
    if (!s->graph || !s->values.view || !s->gradients.view)
        return session_fail(s, "", "no memory for the description");
    cn_describe(s->images.net, s->graph);
    show(s);
    if (mskp_graph_finish(s->graph, &err) ||
        mskp_measure(s->graph, (mskp_mask){0}, &cost, NULL, &err))
        return session_fail(s, "", err.text);
    s->macs = (double)cost.macs;
    return true;
}

static bool open_pruner(session *s)
{
    const double train = (double)session_steps(s, SESSION_TRAIN),
                 masked = (double)session_steps(s, SESSION_MASKED),
                 steps = train + masked + (double)session_steps(s, SESSION_TUNE);
    const mskp_pruner_options how = {.rule = {.max_macs = s->o.macs * s->macs, .min_channels = 4},
                                     .scoring = {.reduce = MSKP_REDUCE_MEAN},
                                     .penalty = {.roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT},
                                     .pull = MSKP_PULL_DEADLINE,
                                     .steps = (uint64_t)steps,
                                     .wait = train / steps,
                                     .masked = masked / steps};
    mskp_error err;
    return !mskp_pruner_create(s->graph, &how, &s->pruner, &err) || session_fail(s, "", err.text);
}

bool session_open(session *s, const session_options *o)
{
    size_t epochs = 0;
    for (size_t i = 0; i < SESSION_PHASES; i++) epochs += o->epochs[i];
    s->o = *o;
    if (s->o.micro > o->batch) s->o.micro = o->batch;
    if (!o->contrast || o->contrast > o->batch) s->o.contrast = o->batch;
    s->random = (cn_random){o->seed};
    if (!epochs) return session_fail(s, "--epochs", "0,0,0 is no training");
    return open_data(s) && open_towers(s) && describe(s) && open_pruner(s);
}

void session_close(session *s)
{
    mskp_pruner_destroy(s->pruner);
    mskp_graph_destroy(s->graph);
    free(s->values.view);
    free(s->gradients.view);
    tower_close(&s->images);
    tower_close(&s->texts);
    cn_destroy(s->images.net);
    cn_destroy(s->texts.net);
    free(s->loss.room);
    free(s->order);
    cn_data_free(&s->data);
    cn_data_free(&s->test);
}

/* ---- Steps ---- */

size_t session_steps(const session *s, session_phase phase)
{
    return s->o.epochs[phase] * (s->count / s->o.batch);
}

double session_begin(session *s, session_phase phase, size_t step)
{
    const size_t each = s->count / s->o.batch;
    if (step % each == 0) cn_shuffle(&s->random, s->count, s->order);
    s->batch.first = step % each * s->o.batch;
    s->batch.seed = cn_random_bits(&s->random);
    return cn_rate_cosine(phase == SESSION_TRAIN ? s->o.rate : s->o.rate / 2, step,
                          session_steps(s, phase));
}

bool session_update(session *s, double rate)
{
    const cn_sgd sgd = {.rate = rate, .momentum = 0.9, .decay = 1e-4, .nesterov = true};
    mskp_error err;
    if (mskp_pruner_before_step(s->pruner, rate, s->values, s->gradients, &err))
        return session_fail(s, "", err.text);
    cn_sgd_step(s->images.net, &sgd);
    cn_sgd_step(s->texts.net, &sgd);
    /* More slowly than weights: all pairs pull at this one number. */
    s->momentum = sgd.momentum * s->momentum + s->loss.scale_slope;
    s->loss.log_scale = fmin(s->loss.log_scale - 0.1 * rate * s->momentum, CONTRAST_LOG_SCALE_MOST);
    return !mskp_pruner_after_step(s->pruner, rate, s->values, &err) ||
           session_fail(s, "", err.text);
}

bool session_cut(session *s)
{
    mskp_error err;
    cn_error error;
    mskp_plan *plan;
    const mskp_constants *constants;
    if (mskp_pruner_prepare(s->pruner, s->values, &plan, &constants, &err))
        return session_fail(s, "", err.text);
    if (!cn_prune(s->images.net, mskp_pruner_graph(s->pruner), plan, constants, &error))
        return session_fail(s, "", error.text);
    show(s);
    return !mskp_pruner_cut_done(s->pruner, &err) || session_fail(s, "", err.text);
}

double session_macs(const session *s)
{
    mskp_cost cost = {0};
    if (mskp_measure(mskp_pruner_graph(s->pruner), (mskp_mask){0}, &cost, NULL, NULL)) return NAN;
    return (double)cost.macs / s->macs;
}

bool session_judge(session *s, judgement *train, judgement *test)
{
    cn_error err;
    const judge of_train = {&s->data, &s->words, s->unseen};
    const judge of_test = {&s->test, &s->words, s->unseen};
    return (judge_towers(&of_train, s->images.net, s->texts.net, s->loss.log_scale, train, &err) &&
            judge_towers(&of_test, s->images.net, s->texts.net, s->loss.log_scale, test, &err)) ||
           session_fail(s, "", err.text);
}

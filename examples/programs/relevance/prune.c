/*
 * Everything that calls mskp: a network is described, its units are scored, and it is cut at once.
 * The only score that mskp does not compute itself is the relevance; mskp_score_channels makes the
 * numbers of channels into scores of units.
 */
#include "prune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "mskp/methods.h"

static bool refuse(cn_error *err, const char *text)
{
    return args_refuse(sizeof err->text, err->text, "%.250s", text);
}

/* ---- the network and its description ---- */

static void show(network *n)
{
    cn_values(n->net, n->values);
    cn_gradients(n->net, n->gradients);
}

bool network_open(network *n, cn_net *net, cn_error *err)
{
    mskp_error error;
    const size_t count = net->param_count;
    *n = (network){.net = net, .graph = mskp_graph_create(NULL)};
    n->values = (mskp_tensors){count, calloc(count, sizeof *n->values.view)};
    n->gradients = (mskp_tensors){count, calloc(count, sizeof *n->gradients.view)};
    if (!n->graph || !n->values.view || !n->gradients.view)
        return args_refuse(sizeof err->text, err->text, "no memory for %zu parameters", count);
    cn_describe(net, n->graph);
    if (mskp_graph_finish(n->graph, &error)) return refuse(err, error.text);
    show(n);
    return true;
}

bool network_copy(const network *from, network *to, cn_error *err)
{
    const cn_net *net = from->net;
    *to = (network){0};
    cn_net *copy = cn_create(net->model, net->layer_count, net->layers, &net->options, err);
    if (!copy) return false;
    for (size_t i = 0; i < net->param_count; i++)
        memcpy(copy->params[i].value, net->params[i].value, net->params[i].count * sizeof(cn_real));
    return network_open(to, copy, err);
}

void network_close(network *n)
{
    mskp_graph_destroy(n->graph);
    cn_destroy(n->net);
    free(n->values.view);
    free(n->gradients.view);
    *n = (network){0};
}

/* ---- training ---- */

/* Room for a batch, and the order of the images. */
typedef struct batches {
    size_t size, count; /* images of a batch, and of all */
    size_t *order;
    cn_real *images;
    uint8_t *labels;
} batches;

static bool batches_open(batches *b, size_t size, size_t count, cn_error *err)
{
    *b = (batches){.size = size, .count = count};
    b->order = malloc((count + 1) * sizeof *b->order);
    b->images = malloc(size * CN_PIXELS * sizeof *b->images);
    b->labels = malloc(size);
    for (size_t i = 0; b->order && i < count; i++) b->order[i] = i;
    return (b->order && b->images && b->labels) ||
           args_refuse(sizeof err->text, err->text, "no memory for batches of %zu images", size);
}

static void batches_close(batches *b)
{
    free(b->order);
    free(b->images);
    free(b->labels);
}

static bool train(network *n, const lesson *l, batches *b, cn_error *err)
{
    const size_t each = b->count / b->size, steps = l->epochs * each;
    cn_random random = {l->seed};
    cn_sgd_reset(n->net);
    for (size_t step = 0; step < steps; step++) {
        const size_t at = step % each * b->size;
        if (!at) cn_shuffle(&random, b->count, b->order);
        cn_draw(l->images, b->size, b->order + at, &random, b->images, b->labels);
        cn_forward(n->net, b->size, b->images, true);
        const double loss = cn_loss(n->net, b->labels, NULL);
        if (!isfinite(loss))
            return args_refuse(sizeof err->text, err->text,
                               "the loss of step %zu of %zu is not finite; the rate of %g is too "
                               "large",
                               step + 1, steps, l->rate);
        cn_backward(n->net);
        cn_sgd_step(n->net, &(cn_sgd){.rate = cn_rate_cosine(l->rate, step, steps),
                                      .momentum = 0.9,
                                      .decay = 1e-4,
                                      .nesterov = true});
    }
    return true;
}

bool network_train(network *n, const lesson *l, cn_error *err)
{
    batches b;
    const size_t size = n->net->options.batch;
    if (l->images->count < size)
        return args_refuse(sizeof err->text, err->text, "%zu images are fewer than a batch of %zu",
                           l->images->count, size);
    const bool good = batches_open(&b, size, l->images->count, err) && train(n, l, &b, err);
    batches_close(&b);
    return good;
}

/* ---- scores ---- */

/* The numbers of channels of all values behind a ReLU. */
typedef struct measures {
    size_t n;
    size_t *layer;
    mskp_channel_scores *given;
    mskp_channel_stats **stats;
    double **sum;
} measures;

static bool measures_open(measures *m, const cn_net *net)
{
    const size_t n = net->layer_count;
    *m = (measures){.layer = calloc(n, sizeof *m->layer),
                    .given = calloc(n, sizeof *m->given),
                    .stats = calloc(n, sizeof *m->stats),
                    .sum = calloc(n, sizeof *m->sum)};
    if (!m->layer || !m->given || !m->stats || !m->sum) return false;
    for (size_t i = 0; i < n; i++) {
        const size_t channels = net->layers[i].channels, k = m->n;
        if (net->layers[i].kind != CN_RELU) continue;
        m->n++;
        m->layer[k] = i;
        m->stats[k] = calloc(channels, sizeof **m->stats);
        m->sum[k] = calloc(channels, sizeof **m->sum);
        if (!m->stats[k] || !m->sum[k]) return false;
        m->given[k] = (mskp_channel_scores){{(uint32_t)i + 1}, channels, m->sum[k]};
    }
    return true;
}

static void measures_close(measures *m)
{
    for (size_t k = 0; k < m->n; k++) {
        free(m->stats[k]);
        free(m->sum[k]);
    }
    free(m->layer);
    free(m->given);
    free(m->stats);
    free(m->sum);
}

/* Adds the relevances of one image to the statistics of the channels. */
static mskp_status measure(const lrp *e, measures *m, mskp_error *err)
{
    mskp_status status = MSKP_OK;
    for (size_t k = 0; !status && k < m->n; k++) {
        const cn_layer *l = &e->layers[m->layer[k]];
        const mskp_tensor view = {.data = e->node[m->layer[k]].relevance,
                                  .dtype = MSKP_DTYPE_F64,
                                  .ndim = 2,
                                  .shape = {l->channels, l->height * l->width}};
        status = mskp_channel_stats_add(NULL, &view, 0, l->channels, m->stats[k], err);
    }
    return status;
}

static mskp_status relevance(const network *n, const scoring *how, lrp *e, batches *b,
                             mskp_scores scores, mskp_error *err)
{
    measures m;
    mskp_status status = measures_open(&m, n->net) ? MSKP_OK : MSKP_ERROR_NO_MEMORY;
    if (status) strcpy(err->text, "no memory for the relevance of channels");
    for (size_t i = 0; !status && i < b->count; i++) {
        cn_draw(how->images, 1, b->order + i, NULL, b->images, b->labels);
        lrp_forward(e, b->images);
        lrp_backward(e, *b->labels);
        status = measure(e, &m, err);
    }
    for (size_t k = 0; k < m.n; k++)
        for (size_t c = 0; c < m.given[k].n; c++)
            m.sum[k][c] = m.stats[k][c].magnitude * m.stats[k][c].count;
    if (!status)
        status = mskp_score_channels(n->graph, m.n, m.given, MSKP_REDUCE_MEAN, scores, err);
    measures_close(&m);
    return status;
}

/* of: a copy, because a forward in training mode moves the running statistics. */
static mskp_status taylor(const network *of, const scoring *how, batches *b, mskp_scores scores,
                          mskp_error *err)
{
    mskp_status status = MSKP_OK;
    memset(scores.unit, 0, scores.n * sizeof *scores.unit);
    for (size_t at = 0; !status && at < b->count; at += b->size) {
        const size_t left = b->count - at, count = left < b->size ? left : b->size;
        cn_draw(how->images, count, b->order + at, NULL, b->images, b->labels);
        cn_forward(of->net, count, b->images, true);
        cn_loss(of->net, b->labels, NULL);
        cn_backward(of->net);
        status = mskp_score_taylor(of->graph, MSKP_TAYLOR_ABSOLUTE_SUM,
                                   MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT, of->values, of->gradients,
                                   scores, err);
    }
    return status;
}

/* The scores that are measured on images. */
static bool score_by_images(const network *n, const scoring *how, mskp_scores scores, cn_error *err)
{
    const size_t count = how->images->count;
    network copy = {0};
    lrp *e = NULL;
    batches b;
    mskp_error error = {0};
    mskp_status status = MSKP_OK;
    bool good = batches_open(&b, n->net->options.batch, count, err);
    if (good) cn_shuffle(&(cn_random){how->seed}, count, b.order);
    b.count = how->count < count ? how->count : count;
    if (good && how->kind == SCORE_RELEVANCE) {
        e = lrp_create(n->net, &how->rules, err);
        good = e != NULL;
        if (good) status = relevance(n, how, e, &b, scores, &error);
    } else if (good) {
        good = network_copy(n, &copy, err);
        if (good) status = taylor(&copy, how, &b, scores, &error);
    }
    if (status) good = refuse(err, error.text);
    lrp_destroy(e);
    network_close(&copy);
    batches_close(&b);
    return good;
}

bool network_score(const network *n, const scoring *how, mskp_scores scores, cn_error *err)
{
    const mskp_scoring gamma = {.reduce = MSKP_REDUCE_MEAN};
    const bool images = how->kind == SCORE_RELEVANCE || how->kind == SCORE_TAYLOR;
    const bool mean = how->normalize == NORMALIZE_MEAN ||
                      (how->normalize == NORMALIZE_OWN && how->kind == SCORE_RELEVANCE);
    mskp_error error;
    mskp_status status = MSKP_OK;
    if (images && !score_by_images(n, how, scores, err)) return false;
    if (how->kind == SCORE_GAMMA) status = mskp_score(n->graph, &gamma, n->values, scores, &error);
    if (how->kind == SCORE_CHANCE) status = mskp_score_random(n->graph, how->seed, scores, &error);
    if (!status && mean)
        status = mskp_score_normalize(n->graph, MSKP_NORMALIZER_MEAN, 0, scores, &error);
    return !status || refuse(err, error.text);
}

/* ---- the cut ---- */

/* After a cut the network is described anew. */
static bool describe_again(network *n, cn_error *err)
{
    cn_net *net = n->net;
    n->net = NULL;
    network_close(n);
    return network_open(n, net, err);
}

bool network_cut(network *n, mskp_scores scores, double part, double *left, cn_error *err)
{
    mskp_mask keep = {scores.n, malloc(scores.n + 1)};
    mskp_plan *plan = NULL;
    mskp_cost full = {0}, rest = {0};
    mskp_error error = {0};
    if (!keep.unit)
        return args_refuse(sizeof err->text, err->text, "no memory for %zu units", scores.n);
    mskp_status status = mskp_measure(n->graph, (mskp_mask){0}, &full, NULL, &error);
    const mskp_rule rule = {.max_macs = part * full.macs, .min_channels = 2};
    if (!status) status = mskp_select(n->graph, scores, &rule, keep, NULL, &error);
    if (!status) status = mskp_measure(n->graph, keep, &rest, NULL, &error);
    if (!status) status = mskp_plan_create(n->graph, keep, &plan, NULL, &error);
    bool good = !status || refuse(err, error.text);
    good = good && cn_prune(n->net, n->graph, plan, NULL, err) && describe_again(n, err);
    if (good) *left = rest.macs / full.macs;
    mskp_plan_destroy(plan);
    free(keep.unit);
    return good;
}

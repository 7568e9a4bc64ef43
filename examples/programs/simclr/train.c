/*
 * The autoencoder minimizes the mean squared error of its image by SGD with momentum (the authors
 * use Adam). The encoder sees both views of a batch at once, as in SimCLR, so the statistics of
 * batch norm are those of both. In each phase the learning rate falls to 0 along a cosine.
 */
#include "train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "contrast.h"
#include "networks.h"
#include "probe.h"

const char *const PHASE_NAMES[PHASES] = {"autoencoder", "train", "masked", "tune"};

static const double MOMENTUM = 0.9, DECAY = 1e-4;
/* The authors' noise, on a scale from 0 to 1. */
static const double NOISE = 0.01;
/* The mean squared error has slopes that are much smaller than those of NT-Xent. */
static const double AUTOENCODER_RATE = 1;
/* SimCLR's crops, and its jitter on CIFAR-10. Its crops are of 0.08 of the area and more; with few
 * epochs such views have too little in common. */
static const augment VIEWS = {.least_area = 0.2, .colour = 0.5, .grey = 0.2, .flip = true};
static const augment PLAIN = {.least_area = 1};

static bool fail(cn_error *err, const char *format, size_t a, size_t b)
{
    if (err) snprintf(err->text, sizeof err->text, format, a, b);
    return false;
}

static void step(cn_net *net, double rate)
{
    cn_sgd_step(net, &(cn_sgd){.rate = rate, .momentum = MOMENTUM, .decay = DECAY});
}

static void tell(const train_listener *l, size_t phase, size_t epoch, size_t epochs, double loss)
{
    if (l) l->epoch(l->context, phase, epoch, epochs, loss);
}

/* ---- the autoencoder ---- */

/* gradient <- the derivative of the mean squared error, which is returned. */
static double squared_error(size_t count, const cn_real *made, const cn_real *wanted,
                            cn_real *gradient)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const double off = (double)made[i] - (double)wanted[i];
        sum += off * off;
        gradient[i] = (cn_real)(2 * off / (double)count);
    }
    return sum / (double)count;
}

static bool train_autoencoder(cn_net *net, const cn_data *data, const train_options *how,
                              const train_listener *listener, cn_error *err)
{
    const size_t numbers = how->batch * CN_PIXELS, epochs = how->epochs[PHASE_AUTOENCODER];
    cn_random random = {how->seed};
    cn_real *noisy = calloc(3 * numbers, sizeof *noisy);
    batches order = {0};
    if (!noisy) return fail(err, "no memory for %zu images and %zu numbers", how->batch, numbers);
    bool good = batches_open(&order, data->count, how->batch, 0, NULL, err);
    const size_t steps = data->count / how->batch;
    for (size_t e = 0; good && e < epochs; e++) {
        double loss = 0;
        for (size_t s = 0; s < steps; s++) {
            augment_noise(data, how->batch, batches_next(&order, &random), NOISE, &random, noisy,
                          noisy + numbers);
            loss += squared_error(numbers, cn_forward(net, how->batch, noisy, true),
                                  noisy + numbers, noisy + 2 * numbers);
            cn_backward_from(net, noisy + 2 * numbers);
            step(net, cn_rate_cosine(AUTOENCODER_RATE, e * steps + s, epochs * steps));
        }
        tell(listener, PHASE_AUTOENCODER, e + 1, epochs, loss / (double)steps);
        if (!isfinite(loss))
            good = fail(err, "epoch %zu of %zu: the loss is not finite", e + 1, epochs);
    }
    batches_close(&order);
    free(noisy);
    return good;
}

bool train_pseudo_classes(const cn_data *data, const train_options *how,
                          const train_listener *listener, uint32_t *label, double *spread,
                          cn_error *err)
{
    const cn_options options = {how->batch, how->threads, how->seed};
    cn_random random = {how->seed};
    probe_features features = {0};
    cn_net *net = networks_autoencoder(&options, err), *part = NULL;
    bool good = net && train_autoencoder(net, data, how, listener, err);
    if (good) part = networks_features(net, NETWORKS_LATENT, err);
    good = part && probe_take(part, data, &features, err) &&
           cluster_points_into((cluster_points){features.count, features.dims, features.x},
                               how->clusters, &random, label, spread, err);
    probe_features_free(&features);
    cn_destroy(part);
    cn_destroy(net);
    return good;
}

/* ---- the encoder ---- */

bool train_open(train *t, const cn_data *data, const train_options *how, const uint32_t *label,
                const train_listener *listener, cn_error *err)
{
    const cn_options options = {2 * how->batch, how->threads, how->seed};
    *t = (train){.data = data, .how = how, .listener = listener, .random = {how->seed}};
    if (!batches_open(&t->batches, data->count, how->batch, how->clusters, label, err))
        return false;
    t->net = networks_simclr(&options, err);
    if (!t->net) return false;
    t->views = calloc(2 * how->batch * CN_PIXELS, sizeof *t->views);
    t->gradient = calloc(2 * how->batch * t->net->outputs, sizeof *t->gradient);
    t->room = calloc(contrast_room(how->batch), sizeof *t->room);
    return (t->views && t->gradient && t->room) ||
           fail(err, "no memory for %zu views of %zu images", 2 * how->batch, how->batch);
}

void train_close(train *t)
{
    batches_close(&t->batches);
    cn_destroy(t->net);
    free(t->views);
    free(t->gradient);
    free(t->room);
    *t = (train){0};
}

size_t train_steps(const train *t)
{
    return t->data->count / t->how->batch;
}

/* The loss of the next batch, and all gradients. */
static double descend(train *t)
{
    const size_t n = t->how->batch, *image = batches_next(&t->batches, &t->random);
    augment_pairs(t->data, n, image, &VIEWS, &t->random, t->views);
    const cn_real *z = cn_forward(t->net, 2 * n, t->views, true);
    const double loss =
        contrast_loss(n, t->net->outputs, z, t->how->temperature, t->room, t->gradient);
    cn_backward_from(t->net, t->gradient);
    return loss;
}

/* One epoch of a phase, whose rate begins with `rate`. p: NULL, or what prunes in this phase. */
static bool run_epoch(train *t, size_t phase, size_t epoch, double rate, prune *p, cn_error *err)
{
    const size_t steps = train_steps(t), epochs = t->how->epochs[phase];
    double sum = 0;
    for (size_t s = 0; s < steps; s++) {
        const double now = cn_rate_cosine(rate, epoch * steps + s, epochs * steps);
        const double loss = descend(t);
        if (!isfinite(loss))
            return fail(err, "epoch %zu of %zu: the loss is not finite; a smaller --lr may help",
                        epoch + 1, epochs);
        sum += loss;
        if (p && !prune_before_step(p, now, err)) return false;
        step(t->net, now);
        if (p && !prune_after_step(p, now, err)) return false;
    }
    tell(t->listener, phase, epoch + 1, epochs, sum / (double)steps);
    return true;
}

bool train_encoder(train *t, cn_error *err)
{
    for (size_t e = 0; e < t->how->epochs[PHASE_TRAIN]; e++)
        if (!run_epoch(t, PHASE_TRAIN, e, t->how->rate, NULL, err)) return false;
    return true;
}

/* ---- pruning ---- */

/* z <- the outputs for views of the first images, in evaluation mode; their loss. */
static double look(train *t, cn_real *z)
{
    const size_t n = t->how->batch;
    cn_random random = {t->how->seed};
    for (size_t i = 0; i < 2 * n; i++)
        augment_view(t->data, i % n, i < n ? &PLAIN : &VIEWS, &random, t->views + i * CN_PIXELS);
    memcpy(z, cn_forward(t->net, 2 * n, t->views, false), 2 * n * t->net->outputs * sizeof *z);
    return contrast_loss(n, t->net->outputs, z, t->how->temperature, t->room, t->gradient);
}

static bool cut_and_compare(train *t, prune *p, train_cut *result, cn_error *err)
{
    const size_t count = 2 * t->how->batch * t->net->outputs;
    cn_real *z = calloc(2 * count, sizeof *z);
    if (!z) return fail(err, "no memory for %zu outputs of %zu views", count, 2 * t->how->batch);
    result->before = p->dense;
    result->loss[0] = look(t, z);
    const bool good = prune_cut(p, err) && prune_cost(p, &result->after, err);
    if (good) result->loss[1] = look(t, z + count);
    result->difference = 0;
    for (size_t i = 0; good && i < count; i++)
        result->difference = fmax(result->difference, fabs((double)z[count + i] - (double)z[i]));
    free(z);
    return good;
}

bool train_pruned(train *t, train_cut *result, bool (*cut)(void *context, cn_error *err),
                  void *context, cn_error *err)
{
    const train_options *how = t->how;
    const size_t masked = how->epochs[PHASE_MASKED], tune = how->epochs[PHASE_TUNE];
    const size_t steps = train_steps(t);
    prune p;
    cn_sgd_reset(t->net);
    /* A pruner has a step at least, also if there is nothing but a cut. */
    bool good = prune_open(&p, t->net, how->macs, masked + tune ? (masked + tune) * steps : 1,
                           masked * steps, err);
    for (size_t e = 0; good && e < masked; e++)
        good = run_epoch(t, PHASE_MASKED, e, how->rate, &p, err);
    if (good && !prune_is_due(&p))
        good = fail(err, "no cut is due after %zu of %zu epochs", masked, masked + tune);
    good = good && cut_and_compare(t, &p, result, err) && (!cut || cut(context, err));
    for (size_t e = 0; good && e < tune; e++)
        good = run_epoch(t, PHASE_TUNE, e, how->rate / 2, NULL, err);
    prune_close(&p);
    return good;
}

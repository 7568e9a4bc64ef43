/*
 * The classifier is the runtime's own: a network of one linear layer with softmax cross entropy,
 * trained by SGD with momentum on the features of all training pictures, without augmentation. The
 * encoder does not change. The loss is convex, so a rate that falls to 0 finds its minimum.
 */
#include "probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "networks.h"

enum { BATCH = 100, EPOCHS = 60 };
static const double RATE = 0.1, MOMENTUM = 0.9, DECAY = 1e-4;

static bool no_memory(cn_error *err, size_t count)
{
    if (err) snprintf(err->text, sizeof err->text, "no memory for features of %zu images", count);
    return false;
}

void probe_features_free(probe_features *f)
{
    free(f->x);
    *f = (probe_features){0};
}

bool probe_take(cn_net *net, const cn_data *data, probe_features *f, cn_error *err)
{
    const size_t most = net->options.batch;
    *f = (probe_features){data->count, net->outputs, NULL};
    f->x = calloc(data->count * net->outputs + 1, sizeof *f->x);
    cn_real *images = calloc(most * CN_PIXELS, sizeof *images);
    size_t *indices = calloc(most, sizeof *indices);
    uint8_t *labels = calloc(most, 1);
    const bool good = f->x && images && indices && labels;
    for (size_t at = 0; good && at < data->count; at += most) {
        const size_t n = data->count - at < most ? data->count - at : most;
        for (size_t i = 0; i < n; i++) indices[i] = at + i;
        cn_draw(data, n, indices, NULL, images, labels);
        memcpy(f->x + at * f->dims, cn_forward(net, n, images, false), n * f->dims * sizeof *f->x);
    }
    free(images);
    free(indices);
    free(labels);
    return good || no_memory(err, data->count);
}

/* A feature that is the same for all training pictures becomes 0. */
static void standardize(probe_features *train, probe_features *test)
{
    for (size_t d = 0; d < train->dims; d++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < train->count; i++) sum += (double)train->x[i * train->dims + d];
        const double mean = sum / (double)train->count;
        for (size_t i = 0; i < train->count; i++) {
            const double off = (double)train->x[i * train->dims + d] - mean;
            squares += off * off;
        }
        const double deviation = sqrt(squares / (double)train->count);
        const double scale = deviation > 1e-6 * fabs(mean) ? 1 / deviation : 0;
        probe_features *const sets[] = {train, test};
        for (size_t s = 0; s < 2; s++)
            for (size_t i = 0; i < sets[s]->count; i++) {
                cn_real *x = &sets[s]->x[i * train->dims + d];
                *x = (cn_real)(scale * ((double)*x - mean));
            }
    }
}

static void train_epoch(cn_net *net, const probe_features *train, const uint8_t *labels,
                        const size_t *order, double rate)
{
    cn_real x[BATCH * CN_MOST_CLASSES];
    uint8_t label[BATCH];
    for (size_t at = 0; at < train->count; at += BATCH) {
        const size_t n = train->count - at < BATCH ? train->count - at : BATCH;
        for (size_t i = 0; i < n; i++) {
            memcpy(x + i * train->dims, train->x + order[at + i] * train->dims,
                   train->dims * sizeof *x);
            label[i] = labels[order[at + i]];
        }
        cn_forward(net, n, x, true);
        cn_loss(net, label, NULL);
        cn_backward(net);
        cn_sgd_step(net, &(cn_sgd){.rate = rate, .momentum = MOMENTUM, .decay = DECAY});
    }
}

static double accuracy_of(cn_net *net, const probe_features *test, const uint8_t *labels)
{
    size_t right = 0;
    for (size_t at = 0; at < test->count; at += BATCH) {
        const size_t n = test->count - at < BATCH ? test->count - at : BATCH;
        size_t more = 0;
        cn_forward(net, n, test->x + at * test->dims, false);
        cn_loss(net, labels + at, &more);
        right += more;
    }
    return test->count ? (double)right / (double)test->count : 0;
}

bool probe_accuracy(probe_features *train, probe_features *test, const probe_labels *labels,
                    uint64_t seed, double *accuracy, cn_error *err)
{
    if (train->dims != test->dims || train->dims > CN_MOST_CLASSES) {
        if (err)
            snprintf(err->text, sizeof err->text,
                     "a probe of %zu training and %zu test features; it takes as many of both, %d "
                     "at most",
                     train->dims, test->dims, CN_MOST_CLASSES);
        return false;
    }
    const cn_options options = {.batch = BATCH, .seed = seed};
    cn_net *net = networks_classifier(train->dims, labels->classes, &options, err);
    size_t *order = calloc(train->count + 1, sizeof *order);
    cn_random random = {seed};
    if (!net || !order) {
        if (net) no_memory(err, train->count);
        cn_destroy(net);
        free(order);
        return false;
    }
    standardize(train, test);
    for (size_t i = 0; i < train->count; i++) order[i] = i;
    for (size_t e = 0; e < EPOCHS; e++) {
        cn_shuffle(&random, train->count, order);
        train_epoch(net, train, labels->train, order, cn_rate_cosine(RATE, e, EPOCHS));
    }
    *accuracy = accuracy_of(net, test, labels->test);
    cn_destroy(net);
    free(order);
    return true;
}

bool probe_network(const cn_net *net, const char *layer, const probe_data *data, double *accuracy,
                   cn_error *err)
{
    probe_features train = {0}, test = {0};
    const probe_labels labels = {data->train->classes, data->train->labels, data->test->labels};
    cn_net *part = networks_features(net, layer, err);
    const bool good = part && probe_take(part, data->train, &train, err) &&
                      probe_take(part, data->test, &test, err) &&
                      probe_accuracy(&train, &test, &labels, data->seed, accuracy, err);
    probe_features_free(&train);
    probe_features_free(&test);
    cn_destroy(part);
    return good;
}

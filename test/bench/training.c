#include "training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool training_fail(const training *t, const char *what, const char *sentence)
{
    fprintf(stderr, "%s: %s: %s\n", t->program, what, sentence);
    return false;
}

/* ---- images ---- */

static void limit(cn_data *data, size_t most)
{
    if (data->count > most) data->count = most;
}

bool training_images(training *t, const char *folder)
{
    cn_error error;
    const char *const text = getenv("MSKP_BENCH_IMAGES");
    const size_t most = text ? strtoul(text, NULL, 10) : SIZE_MAX;
    if (!cn_data_cifar10(folder, true, &t->train, &error) ||
        !cn_data_cifar10(folder, false, &t->test, &error))
        return training_fail(t, folder, error.text);
    if (t->train.count < TRAINING_HELD_OUT + TRAINING_BATCH || most < TRAINING_BATCH)
        return training_fail(t, folder, "there are too few images for a batch");
    t->train.count -= TRAINING_HELD_OUT;
    t->held = (cn_data){.count = TRAINING_HELD_OUT,
                        .classes = t->train.classes,
                        .pixels = t->train.pixels + t->train.count * CN_PIXELS,
                        .labels = t->train.labels + t->train.count};
    limit(&t->train, most);
    limit(&t->held, most);
    limit(&t->test, most);
    t->order = malloc(t->train.count * sizeof *t->order);
    t->images = malloc(TRAINING_BATCH * CN_PIXELS * sizeof *t->images);
    return (t->order && t->images) || training_fail(t, folder, "there is no memory for a batch");
}

void training_images_free(training *t)
{
    cn_data_free(&t->train); /* those that are held out are a part of them */
    cn_data_free(&t->test);
    free(t->order);
    free(t->images);
}

size_t training_steps(const training *t)
{
    return t->train.count / TRAINING_BATCH;
}

double training_accuracy(const training *t, const cn_data *data)
{
    const size_t right = cn_evaluate(t->net, data, NULL, NULL);
    return right == SIZE_MAX ? (double)NAN : 100.0 * (double)right / (double)data->count;
}

/* ---- networks ---- */

static void show(training *t)
{
    cn_values(t->net, t->values);
    cn_gradients(t->net, t->gradients);
}

static bool describe(training *t, const char *what, uint64_t seed)
{
    t->graph = mskp_graph_create(NULL);
    cn_describe(t->net, t->graph);
    if (mskp_graph_finish(t->graph, &t->err)) return training_fail(t, what, t->err.text);
    const size_t n = t->net->param_count;
    t->values = (mskp_tensors){n, calloc(n, sizeof(mskp_tensor))};
    t->gradients = (mskp_tensors){n, calloc(n, sizeof(mskp_tensor))};
    if (!t->values.view || !t->gradients.view)
        return training_fail(t, what, "there is no memory for its views");
    show(t);
    t->random = (cn_random){seed};
    for (size_t i = 0; i < t->train.count; i++) t->order[i] = i;
    return true;
}

bool training_load(training *t, const char *path, uint64_t seed)
{
    cn_error error;
    const cn_options options = {.batch = TRAINING_BATCH, .threads = 1, .seed = seed};
    t->net = cn_load(path, &options, &error);
    return t->net ? describe(t, path, seed) : training_fail(t, path, error.text);
}

bool training_make(training *t, size_t depth, uint64_t seed)
{
    cn_error error;
    const cn_options options = {.batch = TRAINING_BATCH, .threads = 1, .seed = seed};
    t->net = cn_resnet(depth, t->train.classes, &options, &error);
    return t->net ? describe(t, "resnet", seed) : training_fail(t, "resnet", error.text);
}

void training_close(training *t)
{
    mskp_graph_destroy(t->graph);
    cn_destroy(t->net);
    free(t->values.view);
    free(t->gradients.view);
    t->graph = NULL;
    t->net = NULL;
    t->values.view = t->gradients.view = NULL;
}

bool training_restart(training *t, uint64_t seed)
{
    cn_error error;
    cn_options options = t->net->options;
    options.seed = seed;
    cn_net *net = cn_create(t->net->model, t->net->layer_count, t->net->layers, &options, &error);
    if (!net) return training_fail(t, t->net->model, error.text);
    cn_destroy(t->net);
    t->net = net;
    show(t);
    return true;
}

/* ---- steps ---- */

bool training_gradients(training *t, size_t step)
{
    const size_t at = step % training_steps(t) * TRAINING_BATCH;
    if (!at) cn_shuffle(&t->random, t->train.count, t->order);
    cn_draw(&t->train, TRAINING_BATCH, t->order + at, &t->random, t->images, t->labels);
    cn_forward(t->net, TRAINING_BATCH, t->images, true);
    cn_distillation from = {NULL, TRAINING_TEMPERATURE, TRAINING_SHARE};
    if (t->teacher) from.teacher = cn_forward(t->teacher, TRAINING_BATCH, t->images, false);
    const double loss = from.teacher ? cn_loss_distilled(t->net, t->labels, &from, NULL)
                                     : cn_loss(t->net, t->labels, NULL);
    cn_backward(t->net);
    return isfinite(loss) || training_fail(t, t->net->model, "the loss is not finite");
}

void training_update(training *t, double rate)
{
    cn_sgd_step(
        t->net,
        &(cn_sgd){.rate = rate, .momentum = TRAINING_MOMENTUM, .decay = 1e-4, .nesterov = true});
}

bool training_cut(training *t, mskp_pruner *pruner)
{
    mskp_plan *plan;
    const mskp_constants *constants;
    cn_error error;
    if (mskp_pruner_prepare(pruner, t->values, &plan, &constants, &t->err))
        return training_fail(t, "cut", t->err.text);
    if (!cn_prune(t->net, mskp_pruner_graph(pruner), plan, constants, &error))
        return training_fail(t, "cut", error.text);
    show(t);
    return !mskp_pruner_cut_done(pruner, &t->err) || training_fail(t, "cut", t->err.text);
}

/* ---- results ---- */

bool training_has_line(const char *path, const char *begin)
{
    char line[256];
    bool found = false;
    FILE *file = fopen(path, "r");
    while (file && !found && fgets(line, sizeof line, file))
        found = !strncmp(line, begin, strlen(begin));
    if (file) fclose(file);
    return found;
}

bool training_add_line(const training *t, const char *path, const char *header, const char *line)
{
    FILE *file = fopen(path, "a");
    if (!file) return training_fail(t, path, "it cannot be written");
    fseek(file, 0, SEEK_END);
    const bool good =
        (ftell(file) != 0 || fprintf(file, "%s\n", header) > 0) && fprintf(file, "%s\n", line) > 0;
    return (!fclose(file) && good) || training_fail(t, path, "it cannot be written");
}

/*
 * masksparsity - trains, prunes and fine-tunes the CIFAR ResNets of the small runtime, convnet.
 *
 * The phases and all options are the driver's. Here are the functions that only the trainer knows;
 * the calls of mskp among them are what a bridge adds to convnet.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/driver.h"
#include "mskp_convnet.h"

static const double MOMENTUM = 0.9, DECAY = 1e-4;
/* Of --teacher: its logits are divided by the temperature, and have this share of the loss. */
static const double TEMPERATURE = 4, SHARE = 0.9;
/* The key of the mask in the metadata of a safetensors file. */
static const char MASK_KEY[] = "mskp.mask";

typedef struct program {
    cn_net *net, *teacher;     /* teacher: NULL, or what the network learns from */
    mskp_graph *graph, *whole; /* as the network is; as it was before the cut */
    mskp_tensors values, gradients, momentum;
} program;

static bool describe(trainer *t)
{
    program *p = t->self;
    mskp_error err = {0};
    mskp_graph *graph =
        mskp_graph_create(&(mskp_services){.context = p->net, .parallel_for = cn_parallel_for});
    if (!graph) return trainer_fail(t, "no memory for the description of the network");
    cn_describe(p->net, graph);
    if (mskp_graph_finish(graph, &err)) {
        mskp_graph_destroy(graph);
        return trainer_fail(t, "%s", err.text);
    }
    p->graph = graph;
    return true;
}

/* Cutting and training may have moved the tensors. */
static void show(trainer *t)
{
    program *p = t->self;
    p->values.n = p->gradients.n = p->momentum.n = p->net->param_count;
    cn_values(p->net, p->values);
    cn_gradients(p->net, p->gradients);
    cn_momentum(p->net, p->momentum);
    t->graph = p->graph;
    t->values = p->values;
    t->state = p->momentum;
}

static bool open_teacher(trainer *t, const cn_options *how)
{
    program *p = t->self;
    const char *path = t->options.teacher;
    cn_error error;
    if (!path) return true;
    p->teacher = cn_load(path, how, &error);
    if (!p->teacher) return trainer_fail(t, "%s", error.text);
    return p->teacher->classes == t->classes ||
           trainer_fail(t, "%s: the network has %zu classes, the one that is trained %zu", path,
                        p->teacher->classes, t->classes);
}

static bool open_network(trainer *t)
{
    program *p = t->self;
    const driver_options *o = &t->options;
    const cn_options how = {o->batch, o->threads, o->seed};
    cn_error error;
    char model[CN_NAME_SIZE];
    snprintf(model, sizeof model, "resnet%zu", o->model);
    p->net = o->weights ? cn_load(o->weights, &how, &error)
                        : cn_resnet(o->model ? o->model : 8, 10, &how, &error);
    if (!p->net) return trainer_fail(t, "%s", error.text);
    if (o->weights && o->model && strcmp(p->net->model, model) != 0)
        return trainer_fail(t, "%s: holds %s, but --model asks for %s", o->weights, p->net->model,
                            model);
    const size_t n = p->net->param_count;
    mskp_tensor *views = calloc(3 * n, sizeof *views);
    if (!views) return trainer_fail(t, "no memory for views of %zu parameters", n);
    p->values = (mskp_tensors){n, views};
    p->gradients = (mskp_tensors){n, views + n};
    p->momentum = (mskp_tensors){n, views + 2 * n};
    t->model = p->net->model;
    t->classes = p->net->classes;
    if (!open_teacher(t, &how) || !describe(t)) return false;
    show(t);
    return true;
}

static bool train(trainer *t, driver_step *step)
{
    program *p = t->self;
    cn_distillation from = {.temperature = TEMPERATURE, .share = SHARE};
    if (p->teacher) from.teacher = cn_forward(p->teacher, step->n, step->images, false);
    cn_forward(p->net, step->n, step->images, true);
    step->loss = from.teacher ? cn_loss_distilled(p->net, step->labels, &from, &step->right)
                              : cn_loss(p->net, step->labels, &step->right);
    cn_backward(p->net);
    if (!driver_before(t, step, p->values, p->gradients)) return false;
    cn_sgd_step(p->net, &(cn_sgd){step->rate, MOMENTUM, DECAY, true});
    return driver_after(t, step, p->values);
}

static bool infer(trainer *t, size_t n, const float *images, float *outputs)
{
    const program *p = t->self;
    memcpy(outputs, cn_forward(p->net, n, images, false), n * t->classes * sizeof *outputs);
    return true;
}

static bool reset(trainer *t)
{
    cn_sgd_reset(((program *)t->self)->net);
    return true;
}

static bool cut(trainer *t, mskp_plan *plan, const mskp_constants *constants)
{
    program *p = t->self;
    mskp_constants_report report = {0};
    mskp_error err;
    cn_error error;
    if (constants && mskp_constants_total(constants, &report, &err))
        return trainer_fail(t, "%s", err.text);
    if (!cn_prune(p->net, p->graph, plan, constants, &error))
        return trainer_fail(t, "%s", error.text);
    /* The momentum of what the constants replaced is stale. */
    if (report.folded + report.merged) cn_sgd_reset(p->net);
    p->whole = p->graph;
    p->graph = NULL;
    if (!describe(t)) return false;
    show(t);
    return true;
}

/* ---- files ---- */

static bool save(trainer *t, const char *path, const char *mask)
{
    cn_error error;
    const char *const extra[] = {MASK_KEY, mask};
    return cn_save(((program *)t->self)->net, path, mask ? 1 : 0, extra, &error) ||
           trainer_fail(t, "%s", error.text);
}

static bool load(trainer *t, const char *path)
{
    cn_error error;
    cn_tensors file;
    if (!cn_tensors_read(path, &file, &error)) return trainer_fail(t, "%s", error.text);
    const bool good = cn_load_values(((program *)t->self)->net, &file, &error) ||
                      trainer_fail(t, "%s: %s", path, error.text);
    cn_tensors_free(&file);
    return good;
}

static char *read_mask(trainer *t, const char *path)
{
    cn_error error;
    cn_tensors file;
    char *text = NULL;
    if (!cn_tensors_read(path, &file, &error)) {
        trainer_fail(t, "%s", error.text);
        return NULL;
    }
    const char *mask = cn_tensors_meta(&file, MASK_KEY);
    if (mask) text = strdup(mask);
    if (!text)
        trainer_fail(
            t, mask ? "%s: no memory for its mask" : "%s: holds no mask; --save-masked writes one",
            path);
    cn_tensors_free(&file);
    return text;
}

/* ---- what the mask leaves ---- */

static size_t channels_kept(const program *p, mskp_mask keep, const char *layer)
{
    size_t n = 0, kept = 0;
    const uint32_t *unit = mskp_value_units(p->graph, mskp_value_find(p->graph, layer), &n);
    for (size_t i = 0; i < n; i++) kept += unit[i] == MSKP_PINNED || keep.unit[unit[i]];
    return kept;
}

/* Stage i of the ResNet, layer1 ...: its stream, which the second convolutions write, and the
 * channels inside its blocks, which the first ones write. */
static bool widths(trainer *t, mskp_mask keep, size_t i, size_t size, char *text)
{
    const program *p = t->self;
    char stage[24], inside[600] = "", stream[60] = "";
    snprintf(stage, sizeof stage, "layer%zu.", i + 1);
    for (size_t k = 0; k < p->net->layer_count; k++) {
        const cn_layer *l = &p->net->layers[k];
        if (l->kind != CN_CONV || strncmp(l->name, stage, strlen(stage)) != 0) continue;
        const size_t kept = channels_kept(p, keep, l->name), used = strlen(inside);
        if (strstr(l->name, ".conv1"))
            snprintf(inside + used, sizeof inside - used, " %zu/%zu", kept, l->channels);
        else
            snprintf(stream, sizeof stream, "%zu/%zu", kept, l->channels);
    }
    snprintf(text, size, "layer%zu: stream %s, inside%s", i + 1, stream, inside);
    return *stream;
}

static void close_network(trainer *t)
{
    program *p = t->self;
    mskp_graph_destroy(p->graph);
    mskp_graph_destroy(p->whole);
    free(p->values.view);
    cn_destroy(p->net);
    cn_destroy(p->teacher);
}

int main(int argc, char **argv)
{
    program p = {0};
    trainer t = {.name = "masksparsity",
                 .models = "resnet8|resnet20|resnet32|resnet44|resnet56|resnet110",
                 .options = {.epochs = {3, 2, 3, 2}, .seed = 1},
                 .momentum = MOMENTUM,
                 .drawn = {6000, 2000},
                 .branches = true,
                 .checkpoints = true,
                 .teaches = true,
                 .self = &p,
                 .open = open_network,
                 .train = train,
                 .infer = infer,
                 .reset = reset,
                 .cut = cut,
                 .save = save,
                 .close = close_network,
                 .load = load,
                 .read_mask = read_mask,
                 .widths = widths};
    return driver_run(&t, argc, argv);
}

/* A small residual network, trained by darknet. The phases and options are the driver's. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/driver.h"
#include "files.h"
#include "mskp_darknet.h"

#define CFG "examples/programs/trainers/darknet/resnet.cfg"

typedef struct program {
    const char *cfg;
    network *net;
    mskp_darknet mskp;
    file_output pruned_cfg; /* gets its name when the weights are complete */
} program;

/* darknet trains batches of the size in the .cfg, or smaller ones. For a multiple of that size it
 * adds up the gradients of several such batches: darknet's subdivisions. */
static bool set_batch(trainer *t, network *net)
{
    const size_t batch = t->options.batch, most = (size_t)net->batch;
    if (batch > most && batch % most)
        return trainer_fail(t, "a batch of %zu: %s allows at most %zu, or a multiple of that",
                            batch, ((program *)t->self)->cfg, most);
    net->subdivisions = batch > most ? (int)(batch / most) : 1;
    set_batch_network(net, (int)(batch > most ? most : batch));
    return true;
}

static void show(trainer *t)
{
    const mskp_darknet *d = &((program *)t->self)->mskp;
    t->graph = d->graph;
    t->values = d->sets[MSKP_DARKNET_VALUES];
    t->state = d->sets[MSKP_DARKNET_UPDATES];
}

static bool open_network(trainer *t)
{
    program *p = t->self;
    mskp_error err;
    const char *cfg = getenv("MSKP_DARKNET_CFG");
    p->cfg = cfg ? cfg : CFG;
    if (access(p->cfg, R_OK)) /* darknet would end the process, with exit status 0 */
        return trainer_fail(t,
                            "%s: %s; start the program in mskp's folder, or set MSKP_DARKNET_CFG",
                            p->cfg, strerror(errno));
    srand((unsigned)t->options.seed);
    p->net = parse_network_cfg((char *)p->cfg);
    if (p->net->inputs != CN_PIXELS || p->net->outputs != 10)
        return trainer_fail(t, "%s: has %d inputs and %d outputs; %d and 10 are needed", p->cfg,
                            p->net->inputs, p->net->outputs, CN_PIXELS);
    p->net->policy = CONSTANT; /* the rate of each step is what learning_rate says */
    p->net->burn_in = 0;
    if (!set_batch(t, p->net)) return false;
    if (mskp_darknet_describe(&p->mskp, p->net, &err) || mskp_darknet_hook(&p->mskp, &err))
        return trainer_fail(t, "%s", err.text);
    t->model = "darknet";
    t->classes = (size_t)p->net->outputs;
    t->momentum = (double)p->net->momentum;
    t->gradient_scale = mskp_darknet_scale(&p->mskp);
    show(t);
    return true;
}

/* The bridge calls the pruner before the update, which darknet does after the last subdivision. */
static bool train(trainer *t, driver_step *step)
{
    program *p = t->self;
    network *net = p->net;
    const size_t part = (size_t)net->batch, classes = (size_t)net->truths;
    const double before = p->mskp.seconds;
    net->learning_rate = (float)step->rate;
    p->mskp.pruner = step->pruner;
    for (size_t at = 0; at < step->n; at += part) {
        memcpy(net->input, step->images + at * CN_PIXELS, part * CN_PIXELS * sizeof *net->input);
        memset(net->truth, 0, part * classes * sizeof *net->truth);
        for (size_t i = 0; i < part; i++) net->truth[i * classes + step->labels[at + i]] = 1;
        step->loss += (double)train_network_datum(net) / (double)step->n;
    }
    step->penalty_seconds = p->mskp.seconds - before;
    if (p->mskp.error.status) return trainer_fail(t, "%s", p->mskp.error.text);
    return driver_after(t, step, t->values);
}

static bool infer(trainer *t, size_t n, const float *images, float *outputs)
{
    network *net = ((program *)t->self)->net;
    const size_t most = (size_t)net->batch, classes = t->classes;
    for (size_t at = 0; at < n; at += most) {
        const size_t part = n - at < most ? n - at : most;
        set_batch_network(net, (int)part);
        /* network_predict only reads the images, although its argument is not const. */
        const float *out = network_predict(net, (float *)images + at * CN_PIXELS);
        memcpy(outputs + at * classes, out, part * classes * sizeof *out);
    }
    set_batch_network(net, (int)most);
    return true;
}

static bool reset(trainer *t)
{
    const mskp_darknet *d = &((program *)t->self)->mskp;
    for (int set = MSKP_DARKNET_UPDATES; set < MSKP_DARKNET_SETS; set++)
        for (size_t i = 0; i < d->sets[set].n; i++) {
            const mskp_tensor *view = &d->sets[set].view[i];
            if (view->data) memset(view->data, 0, view->elements * sizeof(float));
        }
    return true;
}

/* The name of the pruned .cfg: that of --out, with .cfg instead of .weights. The caller frees
 * it. */
static char *name_cfg(trainer *t)
{
    const char *out = t->options.out, *end = ".weights";
    const size_t n = strlen(out), m = strlen(end);
    char *name = malloc(n + 5);
    if (!name) {
        trainer_fail(t, "no memory for a name of %zu letters", n);
        return NULL;
    }
    strcpy(name, out);
    strcpy(name + (n > m && !strcmp(out + n - m, end) ? n - m : n), ".cfg");
    return name;
}

static bool create_cfg(trainer *t)
{
    program *p = t->self;
    struct stat source, target;
    file_error err;
    if (!stat(t->options.out, &target) && !S_ISREG(target.st_mode))
        return trainer_fail(t, "%s: it is no regular file, and a .cfg must stand beside it",
                            t->options.out);
    char *name = name_cfg(t);
    if (!name) return false;
    const bool own = !stat(p->cfg, &source) && !stat(name, &target) &&
                     source.st_dev == target.st_dev && source.st_ino == target.st_ino;
    const bool good =
        own ? trainer_fail(t, "%s would be written over the network's own .cfg", name)
            : file_create(&p->pruned_cfg, name, &err) || trainer_fail(t, "%s: %s", name, err.text);
    free(name);
    return good;
}

/* Without --out, nobody needs the pruned .cfg. */
static bool name_temporary(trainer *t, size_t size, char *name)
{
    snprintf(name, size, "/tmp/mskp_darknet_XXXXXX");
    const int file = mkstemp(name);
    if (file < 0) return trainer_fail(t, "%s: it cannot be made: %s", name, strerror(errno));
    close(file);
    return true;
}

static bool cut(trainer *t, mskp_plan *plan, const mskp_constants *constants)
{
    program *p = t->self;
    const bool out = t->options.out != NULL;
    char name[40];
    mskp_error err;
    if (out ? !create_cfg(t) : !name_temporary(t, sizeof name, name)) return false;
    const bool good = !mskp_darknet_prune(&p->mskp, plan, constants, p->cfg,
                                          out ? p->pruned_cfg.name : name, &err) ||
                      trainer_fail(t, "%s", err.text);
    if (!out) unlink(name);
    show(t);
    return good;
}

/* The bytes of a whole file: darknet's writer does not notice if the disk is full. */
static size_t bytes_of(const network *net)
{
    size_t numbers = 0;
    for (int i = 0; i < net->n; i++) {
        const layer *l = &net->layers[i];
        if (l->type != CONVOLUTIONAL && l->type != CONNECTED) continue;
        const int n = l->type == CONNECTED ? l->outputs : l->n;
        numbers += (size_t)(l->type == CONNECTED ? n * l->inputs : l->nweights);
        numbers += (size_t)n * (l->batch_normalize ? 4 : 1);
    }
    return 3 * sizeof(int) + sizeof *net->seen + numbers * sizeof(float);
}

static bool write_weights(trainer *t, const char *name)
{
    program *p = t->self;
    struct stat file;
    save_weights(p->net, (char *)name);
    if (stat(name, &file)) return trainer_fail(t, "%s: %s", name, strerror(errno));
    return (size_t)file.st_size == bytes_of(p->net) ||
           trainer_fail(t, "%s: darknet wrote %lld bytes instead of %zu", name,
                        (long long)file.st_size, bytes_of(p->net));
}

/* Both files are complete before the first of them gets its name. */
static bool save(trainer *t, const char *path, const char *mask)
{
    program *p = t->self;
    file_error err;
    (void)mask;
    if (!file_complete(&p->pruned_cfg, &err))
        return trainer_fail(t, "%s: its .cfg: %s", path, err.text);
    return driver_write(t, path, write_weights) &&
           (file_commit(&p->pruned_cfg, &err) ||
            trainer_fail(t, "%s: its .cfg: %s", path, err.text));
}

static void close_network(trainer *t)
{
    program *p = t->self;
    file_discard(&p->pruned_cfg);
    mskp_darknet_free(&p->mskp);
    if (p->net) free_network(p->net);
}

int main(int argc, char **argv)
{
    program p = {0};
    trainer t = {.name = "darknet",
                 .options = {.epochs = {12, 0, 8, 6}, .threads = 1},
                 .drawn = {4000, 1000},
                 .whole_batches = true,
                 .self = &p,
                 .open = open_network,
                 .train = train,
                 .infer = infer,
                 .reset = reset,
                 .cut = cut,
                 .save = save,
                 .close = close_network};
    return driver_run(&t, argc, argv);
}

/* A small residual network, trained by darknet, penalized and cut by mskp. The stages are
 * host.c's. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"
#include "mskp_darknet.h"

#define CFG "examples/programs/trainers/darknet/resnet.cfg"

static const size_t LEAST_CHANNELS = 2; /* so that no layer collapses */

typedef struct program {
    const char *cfg;
    char *pruned_cfg;
    network *net;
    mskp_darknet mskp;
} program;

static int failed(host *h, const mskp_error *err)
{
    return host_fail(h, "%s", err->text);
}

/* A batch is as large as the .cfg says, or a multiple of that, with darknet's subdivisions. */
static int set_batch(host *h, network *net)
{
    const size_t batch = h->options.batch, room = (size_t)net->batch;
    if (batch > room && batch % room)
        return host_fail(h, "a batch of %zu: %s asks for at most %zu, or a multiple", batch,
                         ((program *)h->self)->cfg, room);
    net->subdivisions = batch > room ? (int)(batch / room) : 1;
    set_batch_network(net, (int)(batch > room ? room : batch));
    return 0;
}

static int open_network(host *h)
{
    program *p = h->self;
    mskp_error err;
    const char *cfg = getenv("MSKP_DARKNET_CFG");
    p->cfg = cfg ? cfg : CFG;
    if (access(p->cfg, R_OK)) /* darknet would end the process, with exit status 0 */
        return host_fail(h, "%s: %s; start the program in mskp's folder, or set MSKP_DARKNET_CFG",
                         p->cfg, strerror(errno));
    srand((unsigned)h->options.seed);
    p->net = parse_network_cfg((char *)p->cfg);
    if (p->net->inputs != CN_PIXELS || p->net->outputs != 10)
        return host_fail(h, "%s: a network for 3 x 32 x 32 images of ten classes is needed",
                         p->cfg);
    p->net->policy = CONSTANT; /* the rate of each step is what learning_rate says */
    p->net->burn_in = 0;
    if (set_batch(h, p->net)) return 1;
    if (mskp_darknet_describe(&p->mskp, p->net, &err) || mskp_darknet_hook(&p->mskp, &err))
        return failed(h, &err);
    return 0;
}

static int train(host *h, host_step *step)
{
    program *p = h->self;
    network *net = p->net;
    const size_t part = (size_t)net->batch, classes = (size_t)net->truths;
    const double before = p->mskp.seconds;
    step->loss = 0;
    net->learning_rate = (float)step->rate;
    p->mskp.strength = step->masked ? h->options.strength : 0;
    for (size_t at = 0; at < step->n; at += part) { /* darknet updates after the last subdivision */
        memcpy(net->input, step->images + at * CN_PIXELS, part * CN_PIXELS * sizeof *net->input);
        memset(net->truth, 0, part * classes * sizeof *net->truth);
        for (size_t i = 0; i < part; i++) net->truth[i * classes + step->labels[at + i]] = 1;
        step->loss += (double)train_network_datum(net) / (double)step->n;
    }
    step->penalty_seconds = p->mskp.seconds - before;
    return p->mskp.error.status ? failed(h, &p->mskp.error) : 0;
}

static int classify(host *h, size_t n, const float *images, uint8_t *classes)
{
    network *net = ((program *)h->self)->net;
    const size_t room = (size_t)net->batch, outputs = (size_t)net->outputs;
    for (size_t at = 0; at < n; at += room) {
        const size_t part = n - at < room ? n - at : room;
        set_batch_network(net, (int)part);
        float *out = network_predict(net, (float *)images + at * CN_PIXELS); /* only reads them */
        for (size_t i = 0; i < part; i++)
            classes[at + i] = (uint8_t)max_index(out + i * outputs, (int)outputs);
    }
    set_batch_network(net, (int)room);
    return 0;
}

static int measure(host *h, mskp_cost *cost)
{
    mskp_error err;
    return mskp_measure(((program *)h->self)->mskp.graph, (mskp_mask){0}, cost, NULL, &err)
               ? failed(h, &err)
               : 0;
}

static int select_units(host *h, double keep_macs, mskp_selection *selection)
{
    mskp_darknet *d = &((program *)h->self)->mskp;
    const mskp_scoring mean = {.reduce = MSKP_REDUCE_MEAN}; /* of |gamma| */
    const mskp_rule rule = {.max_macs = keep_macs, .min_channels = LEAST_CHANNELS};
    mskp_error err;
    return mskp_darknet_select(d, &mean, &rule, selection, &err) ? failed(h, &err) : 0;
}

/* The weights go to --out, and the .cfg beside it; without --out, into a temporary file. */
static int name_cfg(host *h)
{
    program *p = h->self;
    const char *out = h->options.out, *end = ".weights", *temporary = "/tmp/mskp_darknet_XXXXXX";
    const size_t n = out ? strlen(out) : strlen(temporary), m = strlen(end);
    p->pruned_cfg = malloc(n + 5);
    if (!p->pruned_cfg) return host_fail(h, "no memory for a name");
    strcpy(p->pruned_cfg, out ? out : temporary);
    if (out) {
        strcpy(p->pruned_cfg + (n > m && !strcmp(out + n - m, end) ? n - m : n), ".cfg");
        return 0;
    }
    const int file = mkstemp(p->pruned_cfg);
    if (file < 0) return host_fail(h, "no temporary file: %s", strerror(errno));
    close(file);
    return 0;
}

static int cut(host *h)
{
    program *p = h->self;
    mskp_error err;
    if (name_cfg(h)) return 1;
    const mskp_status status = mskp_darknet_cut(&p->mskp, p->cfg, p->pruned_cfg, &err);
    if (!h->options.out) unlink(p->pruned_cfg);
    return status ? failed(h, &err) : 0;
}

/* darknet's writer does not look whether the disk is full: a whole file has this many bytes. */
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

static int save(host *h, const char *path)
{
    program *p = h->self;
    struct stat file;
    if (access(path, W_OK)) return host_fail(h, "%s: cannot be written: %s", path, strerror(errno));
    save_weights(p->net, (char *)path);
    if (stat(path, &file) || (size_t)file.st_size != bytes_of(p->net))
        return host_fail(h, "%s: darknet wrote %lld bytes instead of %zu", path,
                         (long long)file.st_size, bytes_of(p->net));
    return 0;
}

static void close_network(host *h)
{
    program *p = h->self;
    mskp_darknet_free(&p->mskp);
    if (p->net) free_network(p->net);
    free(p->pruned_cfg);
}

int main(int argc, char **argv)
{
    program p = {0};
    host h = {.name = "darknet",
              .options = {.epochs = {12, 8, 6},
                          .batch = 64,
                          .threads = 1,
                          .macs = 0.5,
                          .strength = 0.05,
                          .rate = 0.1},
              .self = &p,
              .open = open_network,
              .train = train,
              .classify = classify,
              .measure = measure,
              .select = select_units,
              .cut = cut,
              .save = save,
              .close = close_network};
    return host_run(&h, argc, argv);
}

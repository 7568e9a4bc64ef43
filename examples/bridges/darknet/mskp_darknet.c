/*
 * The bridge to darknet. mskp_darknet.h says what each call does, and README.md how to use them.
 *
 * Each layer of darknet becomes one or more operators of the graph, and its arrays become
 * parameters. The penalty replaces the update function of the first layer that is trained: it is
 * added for all layers once per optimizer step, right before that update. A cut writes the .cfg
 * with the new widths, lets darknet make the small network from it, fills that network with what
 * stays, and then takes over its layers. So everything that can fail comes before the caller's
 * network changes.
 */
#include "mskp_darknet.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "mskp/operators.h"

enum { WEIGHTS, BIASES, SCALES, MEAN, VARIANCE, KINDS };
static const char *const KIND[KINDS] = {".weights", ".biases", ".scales", ".rolling_mean",
                                        ".rolling_variance"};

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static mskp_status
refuse(mskp_error *err, mskp_status status, const char *format, ...)
{
    va_list list;
    if (!err) return status;
    err->status = status;
    va_start(list, format);
    vsnprintf(err->text, sizeof err->text, format, list);
    va_end(list);
    return status;
}

/* ---- describe ---- */

float activate(float x, ACTIVATION a); /* in the library, but not in darknet.h */

/* What a layer makes. Layers without an image (softmax ...) make one of 1 x 1. */
typedef struct shape {
    size_t c, hw[2];
} shape;

static shape shape_of(const layer *l)
{
    if (l->out_c * l->out_h * l->out_w != l->outputs) return (shape){(size_t)l->outputs, {1, 1}};
    return (shape){(size_t)l->out_c, {(size_t)l->out_h, (size_t)l->out_w}};
}

/* The word for a layer that is described as an opaque operator, NULL for all others. With size=1
 * darknet multiplies the image as it lies in memory: where a stride or padding changes the size of
 * the result, such a convolution mixes channels. */
static const char *opaque_word(const layer *l)
{
    static const char *const word[] = {[DECONVOLUTIONAL] = "deconvolutional",
                                       [SOFTMAX] = "softmax",
                                       [DETECTION] = "detection",
                                       [CROP] = "crop",
                                       [COST] = "cost",
                                       [NORMALIZATION] = "normalization",
                                       [LOCAL] = "local",
                                       [RNN] = "rnn",
                                       [GRU] = "gru",
                                       [LSTM] = "lstm",
                                       [CRNN] = "crnn",
                                       [BATCHNORM] = "batchnorm",
                                       [REGION] = "region",
                                       [YOLO] = "yolo",
                                       [ISEG] = "iseg",
                                       [REORG] = "reorg",
                                       [LOGXENT] = "logistic",
                                       [L2NORM] = "l2norm",
                                       [BLANK] = "blank"};
    if (l->type == UPSAMPLE) return l->reverse ? "downsample" : NULL;
    if (l->type != CONVOLUTIONAL) return word[l->type];
    if (l->size == 1 && (l->stride != 1 || l->pad)) return "strided_1x1";
    return l->xnor ? "xnor" : l->binary ? "binary" : l->groups > 1 ? "groups" : NULL;
}

typedef struct name {
    char text[40];
} name;

static name name_of(int i, const char *part)
{
    name n;
    snprintf(n.text, sizeof n.text, "layer%d%s", i, part);
    return n;
}

static mskp_param find(const mskp_graph *g, int i, int kind)
{
    return mskp_param_find(g, name_of(i, KIND[kind]).text);
}

static mskp_param parameter(mskp_graph *g, int i, int kind, uint32_t ndim, const size_t *size)
{
    return mskp_parameter(g, name_of(i, KIND[kind]).text, ndim, size);
}

/* darknet's own function, for those that mskp does not know. */
static double activated(double x, const double *parameters)
{
    return (double)activate((float)x, (ACTIVATION)parameters[0]);
}

/* The last step of each layer that is described; its value has the layer's name. */
static mskp_value activation(mskp_graph *g, int i, mskp_value in, ACTIVATION function)
{
    mskp_activation_desc desc = {
        .kind = MSKP_ACTIVATION_CUSTOM, .function = activated, .parameters = {(double)function}};
    if (function == LINEAR) desc = (mskp_activation_desc){.kind = MSKP_ACTIVATION_IDENTITY};
    if (function == RELU) desc = (mskp_activation_desc){.kind = MSKP_ACTIVATION_RELU};
    if (function == ELU) desc = (mskp_activation_desc){.kind = MSKP_ACTIVATION_ELU};
    if (function == LOGISTIC) desc = (mskp_activation_desc){.kind = MSKP_ACTIVATION_SIGMOID};
    if (function == TANH) desc = (mskp_activation_desc){.kind = MSKP_ACTIVATION_TANH};
    if (function == LEAKY)
        desc = (mskp_activation_desc){.kind = MSKP_ACTIVATION_LEAKY_RELU, .parameters = {0.1}};
    return mskp_activation(g, name_of(i, "").text, in, &desc);
}

/* A connected layer is a convolution as large as its image: its weights [out][c * h * w] lie in
 * memory as [out][c][h][w]. With batch norm, biases are beta. */
static mskp_value convolution(mskp_graph *g, int i, const layer *l, mskp_value in)
{
    const bool whole = l->type == CONNECTED, norm = l->batch_normalize;
    const size_t stride = whole ? 1 : (size_t)l->stride, pad = whole ? 0 : (size_t)l->pad;
    const size_t n = shape_of(l).c;
    size_t channels, size[MSKP_MAX_SPATIAL] = {0};
    mskp_value_shape(g, in, &channels, size);
    if (!whole) size[0] = size[1] = (size_t)l->size;
    const mskp_param weights =
        parameter(g, i, WEIGHTS, 4, (size_t[]){n, channels, size[0], size[1]});
    const mskp_param biases = parameter(g, i, BIASES, 1, &n);
    const mskp_value v = mskp_conv(g, name_of(i, ".conv").text, in,
                                   &(mskp_conv_desc){.weight = weights,
                                                     .bias = norm ? (mskp_param){0} : biases,
                                                     .stride = {stride, stride},
                                                     .pad_before = {pad, pad},
                                                     .pad_after = {pad, pad}});
    if (!norm) return v;
    return mskp_norm(g, name_of(i, ".norm").text, v,
                     &(mskp_norm_desc){.scale = parameter(g, i, SCALES, 1, &n),
                                       .shift = biases,
                                       .mean = parameter(g, i, MEAN, 1, &n),
                                       .variance = parameter(g, i, VARIANCE, 1, &n),
                                       .epsilon = 1e-6,
                                       .epsilon_outside_root = 1});
}

/* keeps_constants: every position of the result is one of the input's, and none is filled with
 * 0. */
static mskp_value resize(mskp_graph *g, mskp_value in, const size_t hw[2], bool keeps_constants)
{
    const mskp_pool_desc desc = {
        .kind = MSKP_POOL_RESIZE, .keeps_constants = keeps_constants, .spatial = {hw[0], hw[1]}};
    return mskp_pool(g, NULL, in, &desc);
}

/* The product with a factor. Where the factor applies to a part of the numbers only, the result
 * of a constant is not constant: a function that the description does not give. */
static mskp_value scaled(mskp_graph *g, mskp_value v, double factor, bool everywhere)
{
    mskp_activation_desc desc = {.kind = MSKP_ACTIVATION_CUSTOM};
    if (factor >= 1 && factor <= 1) return v;
    if (everywhere)
        desc = (mskp_activation_desc){.kind = MSKP_ACTIVATION_MULTIPLY, .parameters = {factor}};
    return mskp_activation(g, NULL, v, &desc);
}

/* darknet adds the first min(c1, c2) channels. Where sizes differ it samples the larger image,
 * or adds to some pixels of the larger one. alpha scales only the numbers that something is
 * added to. */
static mskp_value shortcut(mskp_graph *g, const layer *l, mskp_value in, mskp_value from)
{
    const size_t channels = (size_t)l->out_c, others = (size_t)l->c;
    const bool same = others >= channels && l->h == l->out_h && l->w == l->out_w;
    in = scaled(g, in, l->alpha, same);
    from = scaled(g, from, l->beta, true);
    if (others > channels) from = mskp_slice(g, NULL, from, 0, channels);
    if (others < channels) from = mskp_pad_channels(g, NULL, from, 0, channels - others);
    if (l->h != l->out_h || l->w != l->out_w)
        from = resize(g, from, shape_of(l).hw, l->h >= l->out_h && l->w >= l->out_w);
    return mskp_combine(g, NULL, MSKP_COMBINE_ADD, 2, (mskp_value[]){in, from});
}

/* The channels of all inputs, one after the other. If the images differ in size, darknet takes all
 * numbers of each as channels of one pixel. */
static mskp_value route(mskp_graph *g, const layer *l, const mskp_value *made)
{
    mskp_value all = {0};
    for (int k = 0; k < l->n; k++) {
        mskp_value v = made[l->input_layers[k]];
        if (!l->out_c) v = mskp_flatten(g, NULL, v, 0);
        all = k ? mskp_concat(g, NULL, 2, (mskp_value[]){all, v}) : v;
    }
    if (l->out_c) return all;
    return mskp_reshape(g, NULL, all, 2, (size_t[]){1, 1});
}

static mskp_value describe_layer(mskp_graph *g, const network *net, int i, mskp_value in,
                                 const mskp_value *made)
{
    const layer *l = &net->layers[i];
    const shape out = shape_of(l);
    ACTIVATION function = LINEAR;
    if (opaque_word(l))
        return mskp_opaque(g, name_of(i, "").text,
                           &(mskp_opaque_desc){.op = opaque_word(l),
                                               .n = 1,
                                               .inputs = &in,
                                               .channels = out.c,
                                               .nspatial = 2,
                                               .spatial = out.hw});
    if (l->type == CONVOLUTIONAL || l->type == CONNECTED) in = convolution(g, i, l, in);
    if (l->type == MAXPOOL)
        in = mskp_pool(g, NULL, in, &(mskp_pool_desc){.spatial = {out.hw[0], out.hw[1]}});
    if (l->type == AVGPOOL)
        in = mskp_pool(g, NULL, in, &(mskp_pool_desc){.kind = MSKP_POOL_GLOBAL_AVERAGE});
    if (l->type == UPSAMPLE) in = scaled(g, resize(g, in, out.hw, true), (double)l->scale, true);
    if (l->type == SHORTCUT) in = shortcut(g, l, in, made[l->index]);
    if (l->type == ROUTE) in = route(g, l, made);
    if (l->type == CONVOLUTIONAL || l->type == CONNECTED || l->type == SHORTCUT ||
        l->type == ACTIVE)
        function = l->activation;
    return activation(g, i, in, function); /* all other layers, such as dropout: the identity */
}

/* The option with which darknet's loader does not read what its writer wrote. */
static const char *lost_in_file(const layer *l)
{
    if (l->dontload) return "dontload";
    if (l->dontsave) return "dontsave";
    if (l->dontloadscales) return "dontloadscales";
    if (l->numload) return "numload";
    return l->flipped ? "flipped" : NULL;
}

/* Layers read those before them; darknet does not check. */
static bool reads_ahead(const layer *l, int i)
{
    if (l->type == SHORTCUT) return l->index < 0 || l->index >= i;
    for (int k = 0; l->type == ROUTE && k < l->n; k++)
        if (l->input_layers[k] < 0 || l->input_layers[k] >= i) return true;
    return false;
}

static mskp_status check_layers(const network *net, mskp_error *err)
{
    for (int i = 0; i < net->n; i++) {
        const layer *l = &net->layers[i];
        if (!l->forward)
            return refuse(err, MSKP_ERROR_UNSUPPORTED, "layer %d: darknet does not know its type",
                          i);
        if (reads_ahead(l, i))
            return refuse(err, MSKP_ERROR_UNSUPPORTED,
                          "layer %d reads a layer that is not before it", i);
        if (lost_in_file(l))
            return refuse(err, MSKP_ERROR_UNSUPPORTED,
                          "layer %d: with %s= darknet does not load the weights that it saves", i,
                          lost_in_file(l));
    }
    return MSKP_OK;
}

/* The arrays of a network of the graph's shape, dense or pruned. The numbers of elements are
 * darknet's own, and mskp compares them with the graph's. */
static void wire(const mskp_graph *g, const network *net, const mskp_tensors *sets)
{
    for (int i = 0; i < net->n; i++) {
        const layer *l = &net->layers[i];
        float *const data[KINDS][MSKP_DARKNET_SETS] = {
            [WEIGHTS] = {l->weights, l->weight_updates, l->m, l->v},
            [BIASES] = {l->biases, l->bias_updates, l->bias_m, l->bias_v},
            [SCALES] = {l->scales, l->scale_updates, l->scale_m, l->scale_v},
            [MEAN] = {l->rolling_mean},
            [VARIANCE] = {l->rolling_variance}};
        const bool whole = l->type == CONNECTED;
        const size_t n = (size_t)(whole ? l->outputs : l->n);
        const size_t weights = whole ? n * (size_t)l->inputs : (size_t)l->nweights;
        for (int kind = 0; kind < KINDS; kind++) {
            const mskp_param p = find(g, i, kind);
            for (int s = 0; p.id && s < MSKP_DARKNET_SETS; s++)
                *mskp_tensor_of(sets[s], p) =
                    (mskp_tensor){.data = data[kind][s], .elements = kind == WEIGHTS ? weights : n};
        }
    }
}

static mskp_status allocate_sets(size_t params, mskp_tensors *sets, mskp_error *err)
{
    for (int s = 0; s < MSKP_DARKNET_SETS; s++) {
        sets[s] = (mskp_tensors){params, calloc(params + 1, sizeof *sets[s].view)};
        if (!sets[s].view)
            return refuse(err, MSKP_ERROR_NO_MEMORY, "no memory for tensors of %zu parameters",
                          params);
    }
    return MSKP_OK;
}

static void free_sets(const mskp_tensors *sets)
{
    for (int s = 0; s < MSKP_DARKNET_SETS; s++) free(sets[s].view);
}

static mskp_status describe(mskp_darknet *d, mskp_value *made, mskp_error *err)
{
    const network *net = d->net;
    const size_t hw[] = {net->c ? (size_t)net->h : 1, net->c ? (size_t)net->w : 1};
    mskp_value v = mskp_input(d->graph, "input", (size_t)(net->c ? net->c : net->inputs), 2, hw);
    for (int i = 0; i < net->n; i++) {
        v = made[i] = describe_layer(d->graph, net, i, v, made);
        if (net->layers[i].truth) mskp_output(d->graph, v); /* the truth of other layers */
    }
    mskp_output(d->graph, v);
    return mskp_graph_finish(d->graph, err);
}

mskp_status mskp_darknet_describe(mskp_darknet *d, network *net, mskp_error *err)
{
    *d = (mskp_darknet){.net = net,
                        .first = -1,
                        .penalty.roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT,
                        .constants = mskp_bridge_constants()};
    mskp_status status = check_layers(net, err);
    if (status) return status;
    d->graph = mskp_graph_create(NULL);
    mskp_value *made = calloc((size_t)net->n, sizeof *made);
    if (d->graph && made)
        status = describe(d, made, err);
    else
        status = refuse(err, MSKP_ERROR_NO_MEMORY, "no memory for %d layers", net->n);
    free(made);
    if (!status) {
        d->keep = mskp_bridge_mask(d->graph);
        status = d->keep.unit ? allocate_sets(mskp_graph_counts(d->graph).params, d->sets, err)
                              : mskp_bridge_no_memory(d->keep.n, err);
    }
    if (status) {
        mskp_darknet_free(d);
        return status;
    }
    wire(d->graph, net, d->sets);
    return MSKP_OK;
}

/* What is left of a branch is a vector, which is added to each pixel. */
static const mskp_branches BRANCHES = {
    .because = "darknet has no layer that could add what is left of it"};

mskp_status mskp_darknet_select(mskp_darknet *d, const mskp_scoring *scoring, const mskp_rule *rule,
                                mskp_selection *selection, mskp_error *err)
{
    if (rule && rule->empty_branches)
        return refuse(err, MSKP_ERROR_UNSUPPORTED, "empty_branches: %s", BRANCHES.because);
    return mskp_bridge_select(d->graph, scoring, rule, &d->constants, d->sets[MSKP_DARKNET_VALUES],
                              d->keep, selection, err);
}

/* ---- penalty ---- */

double mskp_darknet_scale(const mskp_darknet *d)
{
    return -(double)d->net->batch * (double)d->net->subdivisions;
}

/* All hooked networks. darknet's hook has no pointer of the caller's, and receives its layer by
 * value, so the bridge finds its own data by the layer's output array. One thread at a time
 * may hook and train. */
static mskp_darknet *hooked;

static void update_with_penalty(layer l, update_args args)
{
    mskp_darknet *d = hooked;
    while (d->net->layers[d->first].output != l.output) d = d->next;
    if (d->pruner || d->strength != 0) {
        const double start = what_time_is_it_now();
        const mskp_tensors values = d->sets[MSKP_DARKNET_VALUES];
        const mskp_tensors updates = d->sets[MSKP_DARKNET_UPDATES];
        mskp_error err;
        /* Updates are negative, and summed over args.batch images: update divides by it. */
        const mskp_status status =
            d->pruner ? mskp_pruner_before_step(d->pruner, (double)args.learning_rate, values,
                                                updates, &err)
                      : mskp_penalty_gradient(d->graph, d->keep, &d->penalty,
                                              -d->strength * args.batch, values, updates, &err);
        if (status && !d->error.status) d->error = err;
        d->seconds += what_time_is_it_now() - start;
    }
    d->update(l, args);
}

/* darknet updates layer by layer, each once per optimizer step, also those that are frozen. */
mskp_status mskp_darknet_hook(mskp_darknet *d, mskp_error *err)
{
    int i = 0;
    if (d->first >= 0) return refuse(err, MSKP_ERROR_BAD_STATE, "the network is hooked already");
    while (i < d->net->n && !d->net->layers[i].update) i++;
    if (i == d->net->n)
        return refuse(err, MSKP_ERROR_UNSUPPORTED, "no layer of the network is trained");
    d->first = i;
    d->update = d->net->layers[i].update;
    d->next = hooked;
    d->net->layers[i].update = update_with_penalty;
    hooked = d;
    return MSKP_OK;
}

static void unhook(mskp_darknet *d)
{
    mskp_darknet **link = &hooked;
    if (d->first < 0 || !d->net) return;
    d->net->layers[d->first].update = d->update;
    while (*link != d) link = &(*link)->next;
    *link = d->next;
}

/* ---- surgery: the .cfg ---- */

static char *read_file_text(const char *path, mskp_error *err)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t n = 0, got = 1;
    while (file && got) {
        char *more = realloc(text, n + 4097);
        if (!more) break;
        text = more;
        n += got = fread(text + n, 1, 4096, file);
        text[n] = 0;
    }
    if (!file || got || ferror(file)) {
        refuse(err, MSKP_ERROR_BAD_ARGUMENT, "%.180s: cannot be read: %s", path, strerror(errno));
        free(text);
        text = NULL;
    }
    if (file) fclose(file);
    return text;
}

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t");
}

/* Where the value of "key = value" begins, or NULL. Blanks count nowhere, not even inside words. */
static const char *value_of(const char *line, const char *key)
{
    for (line = skip_blanks(line); *key; key++, line = skip_blanks(line + 1))
        if (*line != *key) return NULL;
    return *line == '=' ? skip_blanks(line + 1) : NULL;
}

/* Copies a line, with another number as its value. */
static void write_number(FILE *out, const char *line, size_t length, const char *value, size_t n)
{
    const char *end = value;
    for (const char *p = value; strchr("+-0123456789", *p) && *p; p = skip_blanks(p + 1))
        end = p + 1;
    fprintf(out, "%.*s%zu", (int)(value - line), line, n);
    fwrite(end, 1, (size_t)(line + length - end), out);
}

/* Section i is layer i, and [net] is section -1. In layers that were cut, filters= (or output=)
 * changes. A section without such a line has one filter, which is never removed. */
static int copy_cfg(const mskp_graph *small, const network *net, const char *text, FILE *out)
{
    int i = -2;
    for (size_t length; *text; text += length) {
        length = strcspn(text, "\n");
        length += text[length] == '\n';
        if (*skip_blanks(text) == '[') i++;
        size_t size[MSKP_MAX_DIMS];
        const mskp_param weights = i < 0 ? (mskp_param){0} : find(small, i, WEIGHTS);
        const char *value = NULL;
        if (i < net->n && mskp_param_shape(small, weights, size))
            value = value_of(text, net->layers[i].type == CONNECTED ? "output" : "filters");
        if (value)
            write_number(out, text, length, value, size[0]);
        else
            fwrite(text, 1, length, out);
    }
    return i + 1;
}

static mskp_status write_cfg(const mskp_graph *small, const network *net, const char *cfg,
                             const char *pruned_cfg, mskp_error *err)
{
    struct stat source, target;
    if (!stat(cfg, &source) && !stat(pruned_cfg, &target) && source.st_dev == target.st_dev &&
        source.st_ino == target.st_ino)
        return refuse(err, MSKP_ERROR_BAD_ARGUMENT,
                      "%.180s would be written over the network's own .cfg", pruned_cfg);
    char *text = read_file_text(cfg, err);
    if (!text) return MSKP_ERROR_BAD_ARGUMENT;
    FILE *out = fopen(pruned_cfg, "wb");
    const int layers = out ? copy_cfg(small, net, text, out) : 0;
    const bool failed = !out || ferror(out);
    free(text);
    if ((out && fclose(out)) || failed)
        return refuse(err, MSKP_ERROR_BAD_ARGUMENT, "%.180s: cannot be written: %s", pruned_cfg,
                      strerror(errno));
    if (layers != net->n)
        return refuse(err, MSKP_ERROR_OTHER_NETWORK, "%.180s has %d layers, the network has %d",
                      cfg, layers, net->n);
    return MSKP_OK;
}

/* ---- surgery: the network ---- */

/* Are the layers equal, except in their numbers of channels? */
static bool same_layer(const layer *a, const layer *b)
{
    if (a->type != b->type || a->activation != b->activation || a->size != b->size ||
        a->stride != b->stride || a->pad != b->pad || a->index != b->index ||
        a->batch_normalize != b->batch_normalize || a->out_h != b->out_h || a->out_w != b->out_w)
        return false;
    if (a->type == ROUTE)
        return a->n == b->n &&
               !memcmp(a->input_layers, b->input_layers, (size_t)a->n * sizeof *a->input_layers);
    return !opaque_word(a) ||
           (a->inputs == b->inputs && a->outputs == b->outputs && a->nweights == b->nweights);
}

static mskp_status compare_layers(const network *net, const network *small, const char *cfg,
                                  mskp_error *err)
{
    for (int i = 0; i < net->n; i++)
        if (!same_layer(&net->layers[i], &small->layers[i]))
            return refuse(err, MSKP_ERROR_OTHER_NETWORK,
                          "%.180s: layer %d is not that of the network", cfg, i);
    if (net->inputs != small->inputs || net->truths != small->truths)
        return refuse(err, MSKP_ERROR_OTHER_NETWORK,
                      "%.180s has %d inputs and %d truths, the network has %d and %d", cfg,
                      small->inputs, small->truths, net->inputs, net->truths);
    return MSKP_OK;
}

/* Frees a network, and what free_network does not free. */
static void discard(network *net)
{
    free(net->seen);
    free(net->t);
    free(net->cost);
    free(net->workspace);
    free_network(net);
}

/* The network takes over the small one's layers, with what a program may have set in a layer.
 * Opaque layers stay as they are, because nothing is cut from them and they may hold anything. */
static void take_layers(network *net, network *small)
{
    layer *layers = small->layers;
    for (int i = 0; i < net->n; i++) {
        layer *from = &net->layers[i], *to = &layers[i];
        if (opaque_word(from)) {
            const layer swap = *from;
            *from = *to;
            *to = swap;
        }
        to->forward = from->forward;
        to->backward = from->backward;
        to->update = from->update;
        to->learning_rate_scale = from->learning_rate_scale;
        to->stopbackward = from->stopbackward;
        if (to->type == DROPOUT && i) { /* works in the memory of the layer before */
            to->output = layers[i - 1].output;
            to->delta = layers[i - 1].delta;
        }
    }
    small->layers = net->layers;
    net->layers = layers;
    net->output = get_network_output_layer(net).output;
    discard(small); /* with its workspace: the network's is as large or larger */
}

/* Copies of all values at full size, in which the constants are moved. views keeps darknet's
 * numbers of elements. */
static float *copy_values(mskp_tensors values, mskp_tensors copy, mskp_error *err)
{
    size_t n = 1;
    for (size_t p = 0; p < values.n; p++) n += values.view[p].data ? values.view[p].elements : 0;
    float *memory = malloc(n * sizeof *memory), *to = memory;
    if (!memory) refuse(err, MSKP_ERROR_NO_MEMORY, "no memory for a copy of %zu numbers", n);
    for (size_t p = 0; memory && p < values.n; p++) {
        copy.view[p] = values.view[p];
        if (!copy.view[p].data) continue;
        copy.view[p].data = memcpy(to, values.view[p].data, values.view[p].elements * sizeof *to);
        to += values.view[p].elements;
    }
    return memory;
}

/* The new arrays receive what stays of the old ones. */
static mskp_status fill_new(const mskp_darknet *d, mskp_surgery *surgery, const mskp_tensors *sets,
                            mskp_error *err)
{
    const mskp_tensors *old = d->sets;
    mskp_tensors copy = {old[0].n, calloc(old[0].n + 1, sizeof *copy.view)};
    float *memory = copy.view ? copy_values(old[MSKP_DARKNET_VALUES], copy, err) : NULL;
    mskp_status status = memory ? MSKP_OK : MSKP_ERROR_NO_MEMORY;
    if (!copy.view) refuse(err, status, "no memory for tensors of %zu parameters", copy.n);
    if (!status) {
        mskp_move moves[MSKP_DARKNET_SETS];
        for (int s = 0; s < MSKP_DARKNET_SETS; s++)
            moves[s] = (mskp_move){s == MSKP_DARKNET_VALUES ? copy : old[s], sets[s]};
        status = mskp_surgery_cut(surgery, d->graph, MSKP_DARKNET_SETS, moves, err);
    }
    free(memory);
    free(copy.view);
    return status;
}

/* Everything that can fail. *net <- the pruned network, with its weights. */
static mskp_status cut(mskp_darknet *d, mskp_surgery *surgery, const char *cfg,
                       const char *pruned_cfg, mskp_tensors *sets, network **net, mskp_error *err)
{
    mskp_status status = write_cfg(surgery->small, d->net, cfg, pruned_cfg, err);
    if (status) return status;
    *net = parse_network_cfg((char *)pruned_cfg);
    set_batch_network(*net, d->net->batch);
    status = compare_layers(d->net, *net, cfg, err);
    if (!status) status = allocate_sets(d->sets[0].n, sets, err);
    if (status) return status;
    wire(surgery->small, *net, sets);
    return fill_new(d, surgery, sets, err);
}

/* Carries out a surgery, which it frees. */
static mskp_status carry_out(mskp_darknet *d, mskp_surgery *surgery, const char *cfg,
                             const char *pruned_cfg, mskp_error *err)
{
    mskp_tensors sets[MSKP_DARKNET_SETS] = {{0}};
    network *net = NULL;
    const mskp_status status = cut(d, surgery, cfg, pruned_cfg, sets, &net, err);
    if (status) {
        if (net) discard(net);
        free_sets(sets);
        mskp_surgery_free(surgery);
        return status;
    }
    take_layers(d->net, net);
    if (surgery->own || d->whole) /* not the graph that a pruner was made for */
        mskp_graph_destroy(d->graph);
    else
        d->whole = d->graph;
    free_sets(d->sets);
    d->graph = surgery->small;
    surgery->small = NULL;
    memcpy(d->sets, sets, sizeof sets);
    d->keep.n = mskp_graph_counts(d->graph).units;
    memset(d->keep.unit, 1, d->keep.n);
    d->report = surgery->report;
    mskp_surgery_free(surgery);
    return MSKP_OK;
}

mskp_status mskp_darknet_cut(mskp_darknet *d, const char *cfg, const char *pruned_cfg,
                             mskp_error *err)
{
    mskp_surgery surgery;
    const mskp_status status = mskp_surgery_plan(&surgery, d->graph, d->keep, &d->constants,
                                                 d->sets[MSKP_DARKNET_VALUES], &BRANCHES, err);
    return status ? status : carry_out(d, &surgery, cfg, pruned_cfg, err);
}

mskp_status mskp_darknet_prune(mskp_darknet *d, mskp_plan *plan, const mskp_constants *constants,
                               const char *cfg, const char *pruned_cfg, mskp_error *err)
{
    mskp_surgery surgery;
    const mskp_status status = mskp_surgery_of(&surgery, d->graph, plan, constants, &BRANCHES, err);
    return status ? status : carry_out(d, &surgery, cfg, pruned_cfg, err);
}

void mskp_darknet_free(mskp_darknet *d)
{
    unhook(d);
    mskp_graph_destroy(d->graph);
    mskp_graph_destroy(d->whole);
    free_sets(d->sets);
    free(d->keep.unit);
    *d = (mskp_darknet){.first = -1};
}

/* Networks as lists: shapes, parameters, the ResNet builder. */
#include "internal.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the CIFAR ResNets ---- */

typedef struct list {
    cn_layer *layers;
    size_t count, capacity;
} list;

static size_t append(list *l, cn_layer layer, const char *prefix, const char *name)
{
    snprintf(layer.name, sizeof layer.name, "%s%s", prefix, name);
    if (l->count < l->capacity) l->layers[l->count] = layer;
    return l->count++;
}

static size_t conv3(list *l, size_t in, size_t channels, size_t stride, const char *prefix,
                    const char *name)
{
    return append(l,
                  (cn_layer){.kind = CN_CONV,
                             .in = {in},
                             .channels = channels,
                             .size = {3, 3},
                             .stride = {stride, stride},
                             .pad = {1, 1}},
                  prefix, name);
}

size_t cn_resnet_layers(size_t depth, size_t classes, cn_layer *layers, size_t capacity)
{
    list l = {layers, 0, layers ? capacity : 0};
    if (depth < 8 || (depth - 2) % 6) return 0;
    size_t at = append(&l, (cn_layer){.kind = CN_INPUT, .channels = 3, .height = 32, .width = 32},
                       "", "image");
    at = conv3(&l, at, 16, 1, "", "conv1");
    at = append(&l, (cn_layer){.kind = CN_BATCH_NORM, .in = {at}}, "", "bn1");
    at = append(&l, (cn_layer){.kind = CN_RELU, .in = {at}}, "", "relu1");
    for (size_t stage = 1; stage <= 3; stage++)
        for (size_t block = 0; block < (depth - 2) / 6; block++) {
            const size_t channels = (size_t)8 << stage, stride = stage > 1 && block == 0 ? 2 : 1;
            char prefix[48];
            snprintf(prefix, sizeof prefix, "layer%zu.%zu.", stage, block);
            size_t shortcut = at;
            at = conv3(&l, at, channels, stride, prefix, "conv1");
            at = append(&l, (cn_layer){.kind = CN_BATCH_NORM, .in = {at}}, prefix, "bn1");
            at = append(&l, (cn_layer){.kind = CN_RELU, .in = {at}}, prefix, "relu1");
            at = conv3(&l, at, channels, 1, prefix, "conv2");
            at = append(&l, (cn_layer){.kind = CN_BATCH_NORM, .in = {at}}, prefix, "bn2");
            if (stride == 2) {
                shortcut = append(&l,
                                  (cn_layer){.kind = CN_POOL_AVERAGE,
                                             .in = {shortcut},
                                             .size = {1, 1},
                                             .stride = {2, 2}},
                                  prefix, "shortcut.pixels");
                shortcut = append(&l,
                                  (cn_layer){.kind = CN_PAD_CHANNELS,
                                             .in = {shortcut},
                                             .before = channels / 4,
                                             .after = channels / 4},
                                  prefix, "shortcut");
            }
            at = append(&l, (cn_layer){.kind = CN_ADD, .in = {at, shortcut}}, prefix, "add");
            at = append(&l, (cn_layer){.kind = CN_RELU, .in = {at}}, prefix, "relu2");
        }
    at = append(&l, (cn_layer){.kind = CN_GLOBAL_AVERAGE, .in = {at}}, "", "average");
    append(&l, (cn_layer){.kind = CN_LINEAR, .in = {at}, .channels = classes, .bias = true}, "",
           "linear");
    return l.count;
}

/* ---- shapes ---- */

static bool slide(cn_layer *layer, size_t axis, size_t in, size_t *out, cn_error *err)
{
    if (!layer->size[axis]) layer->size[axis] = 1;
    if (!layer->stride[axis]) layer->stride[axis] = 1;
    const size_t size = layer->size[axis], pad = layer->pad[axis], limit = INT32_MAX / 8;
    if (size > limit || pad > limit || layer->stride[axis] > limit)
        return cn_fail(err, "%s: size %zu, stride %zu or padding %zu is above the limit of %zu",
                       layer->name, size, layer->stride[axis], pad, limit);
    if (layer->kind != CN_CONV && pad >= size)
        return cn_fail(err, "%s: a padding of %zu would leave windows of size %zu empty",
                       layer->name, pad, size);
    if (in + 2 * pad < size)
        return cn_fail(err, "%s: a kernel of size %zu does not fit into %zu pixels padded by %zu",
                       layer->name, size, in, pad);
    *out = (in + 2 * pad - size) / layer->stride[axis] + 1;
    return true;
}

static bool check_inputs(const cn_layer *layers, size_t i, const cn_layer *l, cn_error *err)
{
    if (l->kind == CN_CONCAT && (!l->inputs || l->inputs > CN_MOST_INPUTS))
        return cn_fail(err, "%s: a concatenation of %zu layers; it can read 1 to %d", l->name,
                       l->inputs, CN_MOST_INPUTS);
    for (size_t k = 0; k < cn_input_count(l); k++) {
        if (l->in[k] >= i)
            return cn_fail(err, "%s: layer %zu cannot read layer %zu, which is not before it",
                           l->name, i, l->in[k]);
        const cn_layer *in = &layers[l->in[k]], *first = &layers[l->in[0]];
        if (in->kind == CN_SHIFT && (l->kind != CN_ADD || (k && first->kind == CN_SHIFT)))
            return cn_fail(err, "%s: reads %s, a shift; only an addition with another layer can",
                           l->name, in->name);
        if (l->kind == CN_CONCAT && (in->height != first->height || in->width != first->width))
            return cn_fail(err, "%s: %s has %zu x %zu pixels, but %s has %zu x %zu", l->name,
                           first->name, first->height, first->width, in->name, in->height,
                           in->width);
    }
    return true;
}

static bool check_one_pixel(const cn_layer *l, const cn_layer *in, cn_error *err)
{
    if (in->height == 1 && in->width == 1) return true;
    return cn_fail(err, "%s: reads one pixel, but %s has %zu x %zu", l->name, in->name, in->height,
                   in->width);
}

static bool magnify(cn_layer *layer, size_t axis, size_t in, size_t *out, cn_error *err)
{
    if (!layer->size[axis]) layer->size[axis] = 1;
    if (cn_mul(in, layer->size[axis], out)) return true;
    return cn_fail(err, "%s: %zu pixels times %zu are too many", layer->name, in,
                   layer->size[axis]);
}

static bool infer_one(const cn_layer *layers, size_t i, cn_error *err, cn_layer *l)
{
    if (!check_inputs(layers, i, l, err)) return false;
    const cn_layer *a = &layers[l->in[0]], *b = &layers[l->in[1]];
    const size_t given = l->channels;
    if (l->kind == CN_ADD && a->kind == CN_SHIFT) { /* it has the shape of the other operand */
        a = b;
        b = &layers[l->in[0]];
    }
    l->channels = a->channels;
    l->height = a->height;
    l->width = a->width;
    switch (l->kind) {
    case CN_BATCH_NORM:
    case CN_RELU:
    case CN_SIGMOID:
        return true;
    case CN_ADD:
        if (b->kind == CN_SHIFT && a->channels == b->channels) return true;
        if (a->channels != b->channels || a->height != b->height || a->width != b->width)
            return cn_fail(err, "%s: %s is %zu x %zu x %zu, but %s is %zu x %zu x %zu", l->name,
                           a->name, a->channels, a->height, a->width, b->name, b->channels,
                           b->height, b->width);
        return true;
    case CN_PAD_CHANNELS:
        if (l->before > INT32_MAX || l->after > INT32_MAX)
            return cn_fail(err, "%s: %zu and %zu channels of padding are too many", l->name,
                           l->before, l->after);
        l->channels += l->before + l->after;
        return true;
    case CN_CONCAT: /* a layer has at most INT32_MAX / 64 channels, see cn_infer */
        for (size_t k = 1; k < l->inputs; k++) l->channels += layers[l->in[k]].channels;
        return true;
    case CN_SCALE:
        if (isfinite(l->factor) && l->factor != 0) return true;
        return cn_fail(err, "%s: a factor of %g; it must be finite and not 0", l->name, l->factor);
    case CN_POOL_MAX:
    case CN_POOL_AVERAGE:
        return slide(l, 0, a->height, &l->height, err) && slide(l, 1, a->width, &l->width, err);
    case CN_GLOBAL_AVERAGE:
        l->height = l->width = 1;
        return true;
    case CN_UPSAMPLE:
        return magnify(l, 0, a->height, &l->height, err) && magnify(l, 1, a->width, &l->width, err);
    case CN_NORMALIZE:
        return check_one_pixel(l, a, err);
    case CN_SHIFT:
        l->channels = given;
        l->height = l->width = 1;
        return true;
    case CN_CONV:
        l->channels = given;
        return slide(l, 0, a->height, &l->height, err) && slide(l, 1, a->width, &l->width, err);
    case CN_LINEAR:
        l->channels = given;
        l->size[0] = l->size[1] = l->stride[0] = l->stride[1] = 1;
        l->pad[0] = l->pad[1] = 0;
        return check_one_pixel(l, a, err);
    case CN_INPUT:
        break;
    }
    return cn_fail(err,
                   "%s: layer %zu has kind %d, which only layer 0 can have or which does not exist",
                   l->name, i, (int)l->kind);
}

bool cn_infer(size_t count, cn_layer *layers, cn_error *err)
{
    if (count < 2 || layers[0].kind != CN_INPUT)
        return cn_fail(err, "a network begins with its input and has at least 2 layers, not %zu",
                       count);
    for (size_t i = 0; i < count; i++) {
        cn_layer *l = &layers[i];
        if (!memchr(l->name, 0, sizeof l->name) || !l->name[0] || strpbrk(l->name, " \t\n"))
            return cn_fail(
                err, "layer %zu has no name, or one with blanks, or one of more than %d bytes", i,
                CN_NAME_SIZE - 1);
        if (strlen(l->name) > CN_NAME_SIZE - sizeof ".running_mean")
            return cn_fail(err,
                           "the name of layer %zu has %zu bytes, which leaves no room for its "
                           "parameters' names",
                           i, strlen(l->name));
        for (size_t k = 0; k < i; k++)
            if (!strcmp(layers[k].name, l->name))
                return cn_fail(err, "layers %zu and %zu are both called %s", k, i, l->name);
        if (i && !infer_one(layers, i, err, l)) return false;
        size_t elements = 0; /* BLAS counts in int */
        if (!cn_mul(l->height, l->width, &elements) || !cn_mul(elements, l->channels, &elements) ||
            !elements || elements > INT32_MAX / 64)
            return cn_fail(err, "%s: %zu x %zu x %zu is empty or too large", l->name, l->channels,
                           l->height, l->width);
    }
    return true;
}

/* ---- parameters ---- */

static size_t add_param(cn_param *params, size_t index, const cn_layer *layer, const char *suffix,
                        bool trained, size_t dims, const size_t *shape)
{
    if (!params) return index;
    cn_param *p = &params[index];
    *p = (cn_param){.dims = dims, .count = 1, .trained = trained};
    snprintf(p->name, sizeof p->name, "%.*s.%s", (int)(sizeof p->name - sizeof ".running_mean"),
             layer->name, suffix);
    for (size_t d = 0; d < dims; d++) {
        p->shape[d] = shape[d];
        p->count *= shape[d];
    }
    return index;
}

size_t cn_list_params(size_t count, cn_layer *layers, cn_param *params)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        cn_layer *l = &layers[i];
        const size_t in = layers[l->in[0]].channels;
        l->weight = l->shift = l->mean = l->variance = CN_NONE;
        if (l->kind == CN_CONV || l->kind == CN_LINEAR) {
            l->weight = add_param(params, n++, l, "weight", true, l->kind == CN_CONV ? 4 : 2,
                                  (size_t[]){l->channels, in, l->size[0], l->size[1]});
            if (l->bias) l->shift = add_param(params, n++, l, "bias", true, 1, &l->channels);
        } else if (l->kind == CN_BATCH_NORM) {
            l->weight = add_param(params, n++, l, "weight", true, 1, &l->channels);
            l->shift = add_param(params, n++, l, "bias", true, 1, &l->channels);
            l->mean = add_param(params, n++, l, "running_mean", false, 1, &l->channels);
            l->variance = add_param(params, n++, l, "running_var", false, 1, &l->channels);
        } else if (l->kind == CN_SHIFT) {
            l->shift = add_param(params, n++, l, "bias", true, 1, &l->channels);
        }
    }
    return n;
}

static bool allocate_params(cn_net *net, cn_error *err)
{
    for (size_t i = 0; i < net->param_count; i++) {
        cn_param *p = &net->params[i];
        p->value = calloc(p->count * (p->trained ? 3 : 1), sizeof *p->value);
        if (!p->value) return cn_fail(err, "%s: no memory for %zu elements", p->name, p->count);
        if (p->trained) {
            p->gradient = p->value + p->count;
            p->momentum = p->gradient + p->count;
        }
    }
    return true;
}

static void first_values(cn_net *net)
{
    cn_random random = {net->options.seed};
    for (size_t i = 0; i < net->layer_count; i++) {
        const cn_layer *l = &net->layers[i];
        if (l->weight == CN_NONE) continue;
        const cn_param *w = &net->params[l->weight];
        if (l->kind == CN_BATCH_NORM) {
            for (size_t k = 0; k < w->count; k++)
                w->value[k] = net->params[l->variance].value[k] = 1;
            continue;
        }
        const double deviation = sqrt(2 / (double)(w->count / w->shape[0]));
        for (size_t k = 0; k < w->count; k++)
            w->value[k] = (cn_real)(deviation * cn_random_normal(&random));
    }
}

/* ---- networks ---- */

cn_net *cn_create(const char *model, size_t count, const cn_layer *layers,
                  const cn_options *options, cn_error *err)
{
    cn_net *net = calloc(1, sizeof *net);
    if (net) net->layers = calloc(count ? count : 1, sizeof *net->layers);
    if (!net || !net->layers) {
        cn_fail(err, "no memory for a list of %zu layers", count);
        goto failed;
    }
    snprintf(net->model, sizeof net->model, "%s", model ? model : "");
    if (options) net->options = *options;
    if (!net->options.batch) net->options.batch = 128;
    if (!net->options.threads) net->options.threads = 1;
    if (net->options.batch > 1 << 20 || net->options.threads > 1024) {
        cn_fail(err, "a batch of %zu images on %zu threads is too large", net->options.batch,
                net->options.threads);
        goto failed;
    }
    net->layer_count = count;
    memcpy(net->layers, layers, count * sizeof *layers);
    if (!cn_infer(count, net->layers, err)) goto failed;
    const cn_layer *last = &net->layers[count - 1];
    net->outputs = last->channels * last->height * last->width;
    if (last->height == 1 && last->width == 1 && net->outputs <= CN_MOST_CLASSES)
        net->classes = net->outputs;
    net->param_count = cn_list_params(count, net->layers, NULL);
    net->params = calloc(net->param_count + 1, sizeof *net->params);
    if (!net->params) {
        cn_fail(err, "no memory for a list of %zu parameters", net->param_count);
        goto failed;
    }
    cn_list_params(count, net->layers, net->params);
    if (!allocate_params(net, err)) goto failed;
    net->engine = cn_engine_create(net, err);
    if (!net->engine) goto failed;
    net->engine->pool = cn_pool_create(net->options.threads, err);
    if (!net->engine->pool) goto failed;
    openblas_set_num_threads(1); /* the threads are ours */
    first_values(net);
    return net;
failed:
    cn_destroy(net);
    return NULL;
}

cn_net *cn_resnet(size_t depth, size_t classes, const cn_options *options, cn_error *err)
{
    const size_t count = cn_resnet_layers(depth, classes, NULL, 0);
    if (!count || depth > 1202) {
        cn_fail(err, "a CIFAR ResNet has 6n+2 layers (8, 20, 32 ... 1202), not %zu", depth);
        return NULL;
    }
    cn_layer *layers = calloc(count, sizeof *layers);
    if (!layers) {
        cn_fail(err, "no memory for a list of %zu layers", count);
        return NULL;
    }
    char model[CN_NAME_SIZE];
    snprintf(model, sizeof model, "resnet%zu", depth);
    cn_resnet_layers(depth, classes, layers, count);
    cn_net *net = cn_create(model, count, layers, options, err);
    free(layers);
    return net;
}

void cn_destroy(cn_net *net)
{
    if (!net) return;
    if (net->engine) cn_pool_destroy(net->engine->pool);
    cn_engine_destroy(net->engine);
    for (size_t i = 0; net->params && i < net->param_count; i++) free(net->params[i].value);
    free(net->params);
    free(net->layers);
    free(net);
}

size_t cn_find_layer(const cn_net *net, const char *name)
{
    for (size_t i = 0; i < net->layer_count; i++)
        if (!strcmp(net->layers[i].name, name)) return i;
    return CN_NONE;
}

size_t cn_find_param(const cn_net *net, const char *name)
{
    for (size_t i = 0; i < net->param_count; i++)
        if (!strcmp(net->params[i].name, name)) return i;
    return CN_NONE;
}

size_t cn_summary(const cn_net *net, char *text, size_t capacity)
{
    static const char *const kinds[] = {
        [CN_INPUT] = "input",
        [CN_CONV] = "convolution",
        [CN_BATCH_NORM] = "batch norm",
        [CN_RELU] = "relu",
        [CN_ADD] = "add",
        [CN_PAD_CHANNELS] = "channel padding",
        [CN_POOL_MAX] = "max pool",
        [CN_POOL_AVERAGE] = "average",
        [CN_GLOBAL_AVERAGE] = "global average",
        [CN_LINEAR] = "linear",
        [CN_SHIFT] = "shift",
        [CN_CONCAT] = "concatenation",
        [CN_SCALE] = "scale",
        [CN_SIGMOID] = "sigmoid",
        [CN_UPSAMPLE] = "upsampling",
        [CN_NORMALIZE] = "normalization",
    };
    size_t length = 0;
    for (size_t i = 0; i < net->layer_count; i++) {
        const cn_layer *l = &net->layers[i];
        const size_t room = length < capacity ? capacity - length : 0;
        const int n = snprintf(room ? text + length : NULL, room, "%-28s %-16s %4zu x %zu x %zu\n",
                               l->name, kinds[l->kind], l->channels, l->height, l->width);
        length += n > 0 ? (size_t)n : 0;
    }
    return length;
}

void cn_parallel_for(void *net, size_t n, void (*work)(void *context, size_t i), void *context)
{
    cn_pool_run(((cn_net *)net)->engine->pool, n, work, context);
}

/* Networks in safetensors files. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void pad_key(const cn_layer *layer, char key[CN_NAME_SIZE + 8])
{
    snprintf(key, CN_NAME_SIZE + 8, "%s.pad", layer->name);
}

bool cn_save(const cn_net *net, const char *path, size_t extras, const char *const *extra,
             cn_error *err)
{
    typedef struct pad {
        char key[CN_NAME_SIZE + 8], value[48];
    } pad;
    cn_tensors file = {.count = net->param_count};
    pad *pads = calloc(net->layer_count, sizeof *pads);
    file.tensors = calloc(file.count + 1, sizeof *file.tensors);
    file.meta = calloc(2 * (2 + net->layer_count + extras), sizeof *file.meta);
    size_t elements = 0;
    for (size_t i = 0; i < net->param_count; i++) elements += net->params[i].count;
    unsigned char *bytes = file.bytes = calloc(elements + 1, sizeof(cn_real));
    bool good = pads && file.tensors && file.meta && bytes;
    if (good) {
        for (size_t i = 0; i < net->param_count; i++) {
            const cn_param *p = &net->params[i];
            cn_encode(p->value, p->count, bytes);
            file.tensors[i] = (cn_tensor){
                .name = p->name, .dtype = CN_DTYPE_NAME, .dims = p->dims, .data = bytes};
            bytes += p->count * sizeof(cn_real);
            memcpy(file.tensors[i].shape, p->shape, sizeof p->shape);
        }
        const char **meta = file.meta;
        *meta++ = "format";
        *meta++ = "pt";
        if (*net->model) {
            *meta++ = "model";
            *meta++ = net->model;
        }
        for (size_t i = 0; i < net->layer_count; i++) {
            const cn_layer *l = &net->layers[i];
            if (l->kind != CN_PAD_CHANNELS) continue;
            pad_key(l, pads[i].key);
            snprintf(pads[i].value, sizeof pads[i].value, "%zu,%zu", l->before, l->after);
            *meta++ = pads[i].key;
            *meta++ = pads[i].value;
        }
        for (size_t i = 0; i < 2 * extras; i++) *meta++ = extra[i];
        file.meta_count = (size_t)(meta - file.meta) / 2;
        good = cn_tensors_write(path, &file, err);
    } else {
        cn_fail(err, "%s: no memory for a list of %zu tensors", path, file.count);
    }
    cn_tensors_free(&file);
    free(pads);
    return good;
}

/* Does the file have these parameters, in these shapes and of finite numbers, and no others? */
static bool check_params(const cn_tensors *file, size_t count, const cn_param *params,
                         cn_error *err)
{
    size_t found = 0, counters = 0;
    for (size_t i = 0; i < count; i++, found++) {
        const cn_param *p = &params[i];
        const cn_tensor *t = cn_tensors_find(file, p->name);
        if (!t) return cn_fail(err, "%s: is not in the file", p->name);
        if (t->dims != p->dims)
            return cn_fail(err, "%s: has %zu dimensions in the file, %zu here", p->name, t->dims,
                           p->dims);
        for (size_t d = 0; d < p->dims; d++)
            if (t->shape[d] != p->shape[d])
                return cn_fail(err, "%s: dimension %zu has %zu elements in the file, %zu here",
                               p->name, d, t->shape[d], p->shape[d]);
        if (!cn_tensor_check_finite(t, err)) return false;
    }
    for (size_t i = 0; i < file->count; i++) { /* PyTorch counts batches, which nobody needs */
        const char *counter = strstr(file->tensors[i].name, ".num_batches_tracked");
        counters += counter && !strcmp(counter, ".num_batches_tracked");
    }
    if (file->count != found + counters)
        return cn_fail(err, "the file has %zu tensors, the network %zu", file->count - counters,
                       found);
    return true;
}

bool cn_load_values(cn_net *net, const cn_tensors *file, cn_error *err)
{
    if (!check_params(file, net->param_count, net->params, err)) return false;
    for (size_t i = 0; i < net->param_count; i++)
        cn_tensor_copy(cn_tensors_find(file, net->params[i].name), net->params[i].count,
                       net->params[i].value, NULL);
    return true;
}

/* The depth from the model's name, or, in files that do not tell, from the number of blocks of the
 * first stage. */
static size_t find_depth(const cn_tensors *file, char model[CN_NAME_SIZE], cn_error *err)
{
    const char *name = cn_tensors_meta(file, "model");
    size_t depth = 0, blocks = 0;
    if (name &&
        (sscanf(name, "resnet%5zu", &depth) != 1 ||
         snprintf(model, CN_NAME_SIZE, "resnet%zu", depth) < 0 || strcmp(model, name) != 0)) {
        cn_fail(err, "the file's model is \"%.80s\", not \"resnet\" and a depth", name);
        return 0;
    }
    if (!name)
        for (size_t found = 1; found && blocks <= 200; blocks += found) {
            char first[64];
            snprintf(first, sizeof first, "layer1.%zu.conv1.weight", blocks);
            found = cn_tensors_find(file, first) != NULL;
        }
    if (!name) depth = 6 * blocks + 2;
    if (depth < 8 || depth > 1202 || (depth - 2) % 6) {
        cn_fail(err, "a CIFAR ResNet has 6n+2 layers, 8 to 1202, not %zu", depth);
        return 0;
    }
    snprintf(model, CN_NAME_SIZE, "resnet%zu", depth);
    return depth;
}

static bool has_tensor(const cn_tensors *file, const char *block, size_t length, const char *name)
{
    char full[2 * CN_NAME_SIZE];
    snprintf(full, sizeof full, "%.*s.%s", (int)length, block, name);
    return cn_tensors_find(file, full);
}

/* Of a block that vanished, bn2's bias is left: what leads to it is taken out. Returns how many
 * layers stay. */
static size_t take_out_blocks(const cn_tensors *file, size_t count, cn_layer *layers)
{
    size_t stay = 0, place[8 * 1202]; /* a block of two convolutions has at most 8 layers */
    for (size_t i = 0; i < count; i++) {
        cn_layer l = layers[i];
        const char *name = strrchr(l.name, '.');
        const size_t block = name ? (size_t)(name - l.name) : 0;
        const bool gone = block && !has_tensor(file, l.name, block, "bn2.weight") &&
                          !has_tensor(file, l.name, block, "conv1.weight") &&
                          has_tensor(file, l.name, block, "bn2.bias");
        place[i] = stay;
        if (gone && !strcmp(name, ".bn2")) {
            char full[CN_NAME_SIZE + 8];
            snprintf(full, sizeof full, "%s.bias", l.name);
            l = (cn_layer){.kind = CN_SHIFT, .channels = cn_tensors_find(file, full)->shape[0]};
            memcpy(l.name, layers[i].name, sizeof l.name);
        } else if (gone && (!strcmp(name, ".conv1") || !strcmp(name, ".bn1") ||
                            !strcmp(name, ".relu1") || !strcmp(name, ".conv2"))) {
            continue;
        } else {
            for (size_t k = 0; k < 2; k++) l.in[k] = place[l.in[k]];
        }
        layers[stay++] = l;
    }
    return stay;
}

static bool read_widths(const cn_tensors *file, size_t count, cn_layer *layers, cn_error *err)
{
    for (size_t i = 0; i < count; i++) {
        cn_layer *l = &layers[i];
        if (l->kind == CN_CONV || l->kind == CN_LINEAR) {
            char name[CN_NAME_SIZE + 8];
            snprintf(name, sizeof name, "%s.weight", l->name);
            const cn_tensor *t = cn_tensors_find(file, name);
            const size_t dims = l->kind == CN_CONV ? 4 : 2;
            if (!t) return cn_fail(err, "%s: is not in the file", name);
            if (t->dims != dims)
                return cn_fail(err, "%s: has %zu dimensions in the file, %zu here", name, t->dims,
                               dims);
            l->channels = t->shape[0];
        } else if (l->kind == CN_PAD_CHANNELS) {
            char key[CN_NAME_SIZE + 8], again[48];
            pad_key(l, key);
            const char *value = cn_tensors_meta(file, key);
            if (!value) continue;
            if (sscanf(value, "%9zu,%9zu", &l->before, &l->after) != 2 ||
                snprintf(again, sizeof again, "%zu,%zu", l->before, l->after) < 0 ||
                strcmp(again, value) != 0)
                return cn_fail(err, "%s: is \"%.40s\" in the file, not two numbers with a comma",
                               key, value);
        }
    }
    return true;
}

/* The list of layers of the network in the file, checked against all its tensors; NULL on failure.
 */
static cn_layer *read_layers(const cn_tensors *file, char model[CN_NAME_SIZE], size_t *count,
                             cn_error *err)
{
    const size_t depth = find_depth(file, model, err);
    if (!depth) return NULL;
    *count = cn_resnet_layers(depth, 10, NULL, 0);
    cn_layer *layers = calloc(*count, sizeof *layers);
    cn_param *params = calloc(4 * *count, sizeof *params); /* no layer has more */
    bool good = layers && params;
    if (good) {
        cn_resnet_layers(depth, 10, layers, *count);
        *count = take_out_blocks(file, *count, layers);
        good = read_widths(file, *count, layers, err) && cn_infer(*count, layers, err) &&
               check_params(file, cn_list_params(*count, layers, params), params, err);
    } else {
        cn_fail(err, "no memory for a list of %zu layers", *count);
    }
    free(params);
    if (good) return layers;
    free(layers);
    return NULL;
}

cn_net *cn_load(const char *path, const cn_options *options, cn_error *err)
{
    cn_tensors file;
    char model[CN_NAME_SIZE];
    cn_error inner = {""};
    cn_net *net = NULL;
    size_t count = 0;
    if (!cn_tensors_read(path, &file, err)) return NULL;
    cn_layer *layers = read_layers(&file, model, &count, &inner);
    if (layers) net = cn_create(model, count, layers, options, &inner);
    if (net) cn_load_values(net, &file, &inner); /* what could fail has been checked */
    if (!net) cn_fail(err, "%.100s: %.150s", path, inner.text);
    free(layers);
    cn_tensors_free(&file);
    return net;
}

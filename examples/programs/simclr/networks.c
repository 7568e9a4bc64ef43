/*
 * Both networks are made of the same blocks: convolution 3 x 3, batch norm, ReLU. The authors of
 * G-SimCLR train a ResNet-20 with a head of 256, 128 and 50 numbers, and an autoencoder of 32, 64
 * and 128 channels. Here the encoder has four blocks and 2.4 million multiply-accumulates, and the
 * autoencoder a quarter of their channels, so that a whole run takes minutes on one core.
 */
#include "networks.h"

#include <stdio.h>
#include <string.h>

enum { MOST_LAYERS = 32, HIDDEN = 64, PROJECTED = 32 };
/* Channels of the encoder's blocks, and of the autoencoder's first half. */
static const size_t ENCODER[] = {16, 24, 48, 64}, AUTOENCODER[] = {8, 16, 32};

typedef struct list {
    size_t count;
    cn_layer layer[MOST_LAYERS];
} list;

/* Appends a layer that reads the one before it. */
static void add(list *l, const char *name, cn_layer layer)
{
    layer.in[0] = l->count ? l->count - 1 : 0;
    snprintf(layer.name, sizeof layer.name, "%s", name);
    l->layer[l->count++] = layer;
}

/* prefix + number: conv1, encode.conv1 ... */
static void add_numbered(list *l, const char *prefix, size_t number, const char *suffix,
                         cn_layer layer)
{
    char name[CN_NAME_SIZE];
    snprintf(name, sizeof name, "%s%s%zu", prefix, suffix, number);
    add(l, name, layer);
}

static void add_image(list *l)
{
    add(l, "image",
        (cn_layer){.kind = CN_INPUT, .channels = 3, .height = CN_SIDE, .width = CN_SIDE});
}

static void add_block(list *l, const char *prefix, size_t number, size_t channels)
{
    add_numbered(l, prefix, number, "conv",
                 (cn_layer){.kind = CN_CONV, .channels = channels, .size = {3, 3}, .pad = {1, 1}});
    add_numbered(l, prefix, number, "bn", (cn_layer){.kind = CN_BATCH_NORM});
    add_numbered(l, prefix, number, "relu", (cn_layer){.kind = CN_RELU});
}

static void add_halving(list *l, const char *prefix, size_t number)
{
    add_numbered(l, prefix, number, "pool",
                 (cn_layer){.kind = CN_POOL_MAX, .size = {2, 2}, .stride = {2, 2}});
}

cn_net *networks_simclr(const cn_options *options, cn_error *err)
{
    list l = {0};
    add_image(&l);
    for (size_t i = 1; i <= 4; i++) {
        add_block(&l, "", i, ENCODER[i - 1]);
        if (i < 4) add_halving(&l, "", i);
    }
    add(&l, "average", (cn_layer){.kind = CN_GLOBAL_AVERAGE});
    add(&l, NETWORKS_HEAD "linear1",
        (cn_layer){.kind = CN_LINEAR, .channels = HIDDEN, .bias = true});
    add(&l, NETWORKS_HEAD "relu1", (cn_layer){.kind = CN_RELU});
    add(&l, NETWORKS_HEAD "linear2",
        (cn_layer){.kind = CN_LINEAR, .channels = PROJECTED, .bias = true});
    add(&l, NETWORKS_HEAD "normalize", (cn_layer){.kind = CN_NORMALIZE});
    return cn_create("simclr", l.count, l.layer, options, err);
}

cn_net *networks_autoencoder(const cn_options *options, cn_error *err)
{
    list l = {0};
    add_image(&l);
    for (size_t i = 1; i <= 3; i++) {
        add_block(&l, "encode.", i, AUTOENCODER[i - 1]);
        add_halving(&l, "encode.", i);
    }
    for (size_t i = 1; i <= 3; i++) {
        add_numbered(&l, "decode.", i, "up", (cn_layer){.kind = CN_UPSAMPLE, .size = {2, 2}});
        add_block(&l, "decode.", i, AUTOENCODER[3 - i]);
    }
    add(&l, "decode.conv4",
        (cn_layer){.kind = CN_CONV, .channels = 3, .size = {3, 3}, .pad = {1, 1}, .bias = true});
    add(&l, "decode.sigmoid", (cn_layer){.kind = CN_SIGMOID});
    return cn_create("autoencoder", l.count, l.layer, options, err);
}

cn_net *networks_features(const cn_net *net, const char *layer, cn_error *err)
{
    list l = {.count = 0};
    const size_t last = cn_find_layer(net, layer);
    if (last == CN_NONE || last + 2 > MOST_LAYERS) {
        if (err) snprintf(err->text, sizeof err->text, "the network has no layer %s", layer);
        return NULL;
    }
    l.count = last + 1;
    memcpy(l.layer, net->layers, l.count * sizeof *l.layer);
    add(&l, "average", (cn_layer){.kind = CN_GLOBAL_AVERAGE});
    cn_net *part = cn_create(net->model, l.count, l.layer, &net->options, err);
    for (size_t i = 0; part && i < part->param_count; i++)
        memcpy(part->params[i].value, net->params[i].value,
               part->params[i].count * sizeof *part->params[i].value);
    return part;
}

cn_net *networks_classifier(size_t features, size_t classes, const cn_options *options,
                            cn_error *err)
{
    list l = {0};
    add(&l, "features",
        (cn_layer){.kind = CN_INPUT, .channels = features, .height = 1, .width = 1});
    add(&l, "linear", (cn_layer){.kind = CN_LINEAR, .channels = classes, .bias = true});
    return cn_create("classifier", l.count, l.layer, options, err);
}

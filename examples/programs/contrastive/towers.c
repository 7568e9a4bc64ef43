/*
 * The paper's towers are large: convolutions with attention above for images, and a transformer for
 * texts. Here images pass five convolutions and texts two linear layers. A text is the mean of the
 * vectors of its words, so their order says nothing.
 */
#include "towers.h"

#include <stdio.h>

enum { MOST_LAYERS = 32 };

typedef struct builder {
    cn_layer layers[MOST_LAYERS];
    size_t count;
} builder;

static size_t append(builder *b, cn_layer layer, const char *name)
{
    snprintf(layer.name, sizeof layer.name, "%s", name);
    b->layers[b->count] = layer;
    return b->count++;
}

/* Convolution number n, 3 x 3, and its batch norm; returns the norm. */
static size_t convolution(builder *b, size_t in, size_t n, size_t channels, size_t stride)
{
    char conv[16], norm[16];
    snprintf(conv, sizeof conv, "conv%zu", n);
    snprintf(norm, sizeof norm, "bn%zu", n);
    in = append(b,
                (cn_layer){.kind = CN_CONV,
                           .in = {in},
                           .channels = channels,
                           .size = {3, 3},
                           .stride = {stride, stride},
                           .pad = {1, 1}},
                conv);
    return append(b, (cn_layer){.kind = CN_BATCH_NORM, .in = {in}}, norm);
}

static size_t relu(builder *b, size_t in, size_t n)
{
    char name[16];
    snprintf(name, sizeof name, "relu%zu", n);
    return append(b, (cn_layer){.kind = CN_RELU, .in = {in}}, name);
}

cn_net *tower_images(size_t width, size_t embedding, const cn_options *options, cn_error *err)
{
    builder b = {.count = 0};
    size_t at =
        append(&b, (cn_layer){.kind = CN_INPUT, .channels = 3, .height = CN_SIDE, .width = CN_SIDE},
               "image");
    at = relu(&b, convolution(&b, at, 1, width, 2), 1);
    at = relu(&b, convolution(&b, at, 2, 2 * width, 1), 2);
    const size_t shortcut = at = relu(&b, convolution(&b, at, 3, 4 * width, 2), 3);
    at = relu(&b, convolution(&b, at, 4, 4 * width, 1), 4);
    at = convolution(&b, at, 5, 4 * width, 1);
    at = relu(&b, append(&b, (cn_layer){.kind = CN_ADD, .in = {shortcut, at}}, "add"), 5);
    at = append(&b, (cn_layer){.kind = CN_GLOBAL_AVERAGE, .in = {at}}, "pool");
    at = append(&b, (cn_layer){.kind = CN_LINEAR, .in = {at}, .channels = embedding, .bias = true},
                "linear");
    append(&b, (cn_layer){.kind = CN_NORMALIZE, .in = {at}}, "embedding");
    return cn_create("images", b.count, b.layers, options, err);
}

cn_net *tower_texts(size_t words, size_t hidden, size_t embedding, const cn_options *options,
                    cn_error *err)
{
    builder b = {.count = 0};
    size_t at = append(&b, (cn_layer){.kind = CN_INPUT, .channels = words, .height = 1, .width = 1},
                       "words");
    at = append(&b, (cn_layer){.kind = CN_LINEAR, .in = {at}, .channels = hidden, .bias = true},
                "hidden");
    at = relu(&b, at, 1);
    at = append(&b, (cn_layer){.kind = CN_LINEAR, .in = {at}, .channels = embedding, .bias = true},
                "linear");
    append(&b, (cn_layer){.kind = CN_NORMALIZE, .in = {at}}, "embedding");
    return cn_create("texts", b.count, b.layers, options, err);
}

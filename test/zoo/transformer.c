/*
 * ConvNeXt: Liu et al., CVPR 2022. ViT: Dosovitskiy et al., ICLR 2021. Layer norms look at all
 * channels of the residual stream; they pin it, or accept that their statistics change.
 */
#include "by_id/by_id.h"
#include "zoo/layers.h"

static map mlp(net *n, map x, size_t hidden)
{
    const size_t out = x.channels;
    x = activate(n, linear(n, "mlp1", x, hidden), MSKP_ACTIVATION_GELU);
    return linear(n, "mlp2", x, out);
}

static map convnext_block(net *n, map x, bool accept_inexact)
{
    map y = conv(n, "depthwise", x, biased(grouped(same(x.channels, 7, 1), x.channels)));
    y = mlp(n, layer_norm(n, "norm", y, accept_inexact), 4 * x.channels);
    const mskp_param scale = parameter(n, "scale", "", 3, (size_t[]){x.channels, 1, 1});
    map factor = y;
    factor.value =
        mskp_param_operand(n->graph, named(n, "scale", "").s, scale, 0, MSKP_ROLE_SCALE, 0, NULL);
    return add(n, "sum", x, multiply(n, y, factor));
}

void zoo_convnext(net *n, int accept_inexact)
{
    static const size_t width[4] = {96, 192, 384, 768}, blocks[4] = {3, 3, 9, 3};
    const bool inexact = accept_inexact == INEXACT;
    at(n, "stem.");
    map x =
        layer_norm(n, "norm", conv(n, "conv", input(n, 3, 224), biased(valid(96, 4, 4))), inexact);
    for (size_t stage = 0; stage < 4; stage++) {
        at(n, "shrink%zu.", stage + 1);
        if (stage)
            x = conv(n, "conv", layer_norm(n, "norm", x, inexact),
                     biased(valid(width[stage], 2, 2)));
        for (size_t block = 0; block < blocks[stage]; block++) {
            at(n, "stage%zu.%zu.", stage + 1, block + 1);
            x = convnext_block(n, x, inexact);
        }
    }
    at(n, "%s", "");
    x = layer_norm(n, "norm", global_average(n, x), inexact);
    output(n, linear(n, "classifier", flatten(n, x), 1000));
}

static map attention(net *n, const char *name, map x, size_t heads)
{
    const size_t width = x.channels, packed = 3 * width;
    const mskp_attention_desc desc = {
        .query = parameter(n, name, ".in.weight", 2, (size_t[]){packed, width}),
        .query_bias = parameter(n, name, ".in.bias", 1, &packed),
        .output = parameter(n, name, ".out.weight", 2, (size_t[]){width, width}),
        .output_bias = parameter(n, name, ".out.bias", 1, &width),
        .heads = heads,
        .head_dim = width / heads,
        .packed = 1,
    };
    x.value = mskp_attention(n->graph, named(n, name, "").s, x.value, &desc);
    record(n, &(zoo_layer){.kind = ZOO_ATTENTION,
                           .in = width,
                           .out = width,
                           .groups = 1,
                           .kernel = {1, 1},
                           .in_size = {x.size[0], x.size[1]},
                           .out_size = {x.size[0], x.size[1]},
                           .weight = desc.query,
                           .projection = desc.output});
    return x;
}

/* A parameter [1][positions][channels] as a map. */
static map embedding(net *n, const char *name, size_t positions, size_t channels)
{
    const mskp_param p = parameter(n, name, "", 3, (size_t[]){1, positions, channels});
    return (map){.value = mskp_param_operand(n->graph, named(n, name, "").s, p, 2, MSKP_ROLE_FILTER,
                                             1, &positions),
                 .channels = channels,
                 .size = {positions, 1},
                 .nspatial = 1};
}

/* Patches of 16 x 16, in a row, after the class token. */
static map tokens(net *n)
{
    map x = conv(n, "patches", input(n, 3, 224), biased(valid(768, 16, 16)));
    const size_t patches = x.size[0] * x.size[1];
    const map token = embedding(n, "class_token", 1, x.channels);
    const mskp_value row = mskp_reshape(n->graph, NULL, x.value, 1, &patches);
    x.value = mskp_concat_spatial(n->graph, NULL, 0, 2, (mskp_value[]){token.value, row});
    x.nspatial = 1;
    x.size[0] = patches + 1;
    x.size[1] = 1;
    return add(n, NULL, x, embedding(n, "positions", patches + 1, x.channels));
}

void zoo_vit(net *n, int accept_inexact)
{
    const bool inexact = accept_inexact == INEXACT;
    map x = tokens(n);
    for (size_t layer = 0; layer < 12; layer++) {
        at(n, "layer%zu.", layer + 1);
        x = add(n, "sum1", x, attention(n, "attention", layer_norm(n, "norm1", x, inexact), 12));
        x = add(n, "sum2", x, mlp(n, layer_norm(n, "norm2", x, inexact), 3072));
    }
    at(n, "%s", "");
    x = resize(n, layer_norm(n, "norm", x, inexact), 1, 1); /* the class token is left */
    output(n, linear(n, "classifier", x, 1000));
}

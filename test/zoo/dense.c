/*
 * Networks that carry channels along. DenseNet: Huang et al., CVPR 2017. ShuffleNet-v2: Ma et al.,
 * ECCV 2018.
 */
#include "by_id/by_id.h"
#include "zoo/layers.h"

/* Norm and activation come before the convolution here. */
static map norm_conv(net *n, const char *norm, const char *name, map x, shape s)
{
    return conv(n, name, activate(n, batch_norm(n, norm, x), MSKP_ACTIVATION_RELU), s);
}

static map dense_layer(net *n, map x, size_t growth)
{
    map y = norm_conv(n, "norm1", "conv1", x, same(4 * growth, 1, 1));
    y = norm_conv(n, "norm2", "conv2", y, same(growth, 3, 1));
    return concat(n, "out", 2, (map[]){x, y});
}

void zoo_densenet(net *n, int depth)
{
    const size_t layers[4] = {6, 12,
                              depth == 121   ? 24
                              : depth == 169 ? 32
                                             : 48,
                              depth == 121 ? 16 : 32};
    map x = conv_norm(n, "stem", input(n, 3, 224), same(64, 7, 2), MSKP_ACTIVATION_RELU);
    x = max_pool(n, x, 3, 2, 1);
    for (size_t block = 0; block < 4; block++) {
        for (size_t layer = 0; layer < layers[block]; layer++) {
            at(n, "block%zu.%zu.", block + 1, layer + 1);
            x = dense_layer(n, x, 32);
        }
        at(n, "transition%zu.", block + 1);
        if (block < 3)
            x = average_pool(n, norm_conv(n, "norm", "conv", x, same(x.channels / 2, 1, 1)), 2, 2,
                             0);
    }
    at(n, "%s", "");
    classify(n, activate(n, batch_norm(n, "norm", x), MSKP_ACTIVATION_RELU));
}

static map depthwise(net *n, map x, size_t stride)
{
    return conv_norm(n, "depthwise", x, grouped(same(x.channels, 3, stride), x.channels),
                     MSKP_ACTIVATION_IDENTITY);
}

static map shuffle_branch(net *n, map x, size_t out, size_t stride)
{
    x = conv_norm(n, "conv1", x, same(out, 1, 1), MSKP_ACTIVATION_RELU);
    return conv_norm(n, "conv2", depthwise(n, x, stride), same(out, 1, 1), MSKP_ACTIVATION_RELU);
}

/* Half of the channels pass by; where the image shrinks, both halves are made of all channels. */
static map shuffle_unit(net *n, const char *name, map x, size_t out, bool shrink, int rewritable)
{
    map half[2] = {x, x};
    at(n, "%s.", name);
    if (shrink) {
        half[1] = shuffle_branch(n, x, out / 2, 2);
        at(n, "%s.shortcut.", name);
        half[0] =
            conv_norm(n, "conv", depthwise(n, x, 2), same(out / 2, 1, 1), MSKP_ACTIVATION_RELU);
    } else {
        mskp_value parts[2] = {{0}, {0}};
        mskp_chunk(n->graph, named(n, "half", "").s, x.value, 2, rewritable == REWRITABLE, parts);
        for (int i = 0; i < 2; i++) half[i].value = parts[i];
        half[0].channels = half[1].channels = out / 2;
        half[1] = shuffle_branch(n, half[1], out / 2, 1);
    }
    at(n, "%s.", name);
    map y = concat(n, "both", 2, half);
    y.value =
        mskp_channel_shuffle(n->graph, named(n, "out", "").s, y.value, 2, rewritable == REWRITABLE);
    return y;
}

void zoo_shufflenet_v2(net *n, int rewritable)
{
    static const size_t width[3] = {116, 232, 464}, repeats[3] = {4, 8, 4};
    map x = conv_norm(n, "stem", input(n, 3, 224), same(24, 3, 2), MSKP_ACTIVATION_RELU);
    x = max_pool(n, x, 3, 2, 1);
    for (size_t stage = 0; stage < 3; stage++)
        for (size_t unit = 0; unit < repeats[stage]; unit++) {
            const char name[] = {
                's', 't', 'a', 'g', 'e', (char)('2' + stage), '.', (char)('1' + unit), 0};
            x = shuffle_unit(n, name, x, width[stage], unit == 0, rewritable);
        }
    at(n, "%s", "");
    classify(n, conv_norm(n, "last", x, same(1024, 1, 1), MSKP_ACTIVATION_RELU));
}

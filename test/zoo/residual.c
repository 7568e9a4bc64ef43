/*
 * ResNet: He et al., CVPR 2016; the stride of a bottleneck is in its 3x3 convolution, as in
 * torchvision and most others. ResNeXt: Xie et al., CVPR 2017. RegNet: Radosavovic et al., CVPR
 * 2020.
 */
#include "by_id/by_id.h"
#include "zoo/layers.h"

/* The shortcut: a projection where the sizes differ. */
static map shortcut(net *n, map x, size_t out, size_t stride)
{
    if (x.channels == out && stride == 1) return x;
    return conv_norm(n, "shortcut", x, same(out, 1, stride), MSKP_ACTIVATION_IDENTITY);
}

static map join(net *n, map branch, map x)
{
    return activate(n, add(n, "sum", branch, x), MSKP_ACTIVATION_RELU);
}

static map basic_block(net *n, map x, size_t out, size_t stride)
{
    map y = conv_norm(n, "conv1", x, same(out, 3, stride), MSKP_ACTIVATION_RELU);
    y = conv_norm(n, "conv2", y, same(out, 3, 1), MSKP_ACTIVATION_IDENTITY);
    return join(n, y, shortcut(n, x, out, stride));
}

static map bottleneck(net *n, map x, size_t width, size_t groups, size_t out, size_t stride)
{
    map y = conv_norm(n, "conv1", x, same(width, 1, 1), MSKP_ACTIVATION_RELU);
    y = conv_norm(n, "conv2", y, grouped(same(width, 3, stride), groups), MSKP_ACTIVATION_RELU);
    y = conv_norm(n, "conv3", y, same(out, 1, 1), MSKP_ACTIVATION_IDENTITY);
    return join(n, y, shortcut(n, x, out, stride));
}

void zoo_resnet(net *n, int which)
{
    static const struct {
        size_t blocks[4], groups, width; /* width: of the bottlenecks of stage 1; 0: basic blocks */
    } table[] = {[RESNET_18] = {{2, 2, 2, 2}, 1, 0},
                 [RESNET_50] = {{3, 4, 6, 3}, 1, 64},
                 [RESNEXT_50] = {{3, 4, 6, 3}, 32, 128}};
    map x = conv_norm(n, "stem", input(n, 3, 224), same(64, 7, 2), MSKP_ACTIVATION_RELU);
    x = max_pool(n, x, 3, 2, 1);
    for (size_t stage = 0; stage < 4; stage++)
        for (size_t block = 0; block < table[which].blocks[stage]; block++) {
            const size_t stride = stage && !block ? 2 : 1, out = (size_t)64 << stage;
            at(n, "stage%zu.%zu.", stage + 1, block + 1);
            x = table[which].width ? bottleneck(n, x, table[which].width << stage,
                                                table[which].groups, 4 * out, stride)
                                   : basic_block(n, x, out, stride);
        }
    classify(n, x);
}

/* Y: a squeeze-and-excitation of a quarter of the block's input. Groups of 8 channels. */
static map regnet_block(net *n, map x, size_t out, size_t stride)
{
    map y = conv_norm(n, "conv1", x, same(out, 1, 1), MSKP_ACTIVATION_RELU);
    y = conv_norm(n, "conv2", y, grouped(same(out, 3, stride), out / 8), MSKP_ACTIVATION_RELU);
    y = squeeze_excite(n, y, x.channels / 4, MSKP_ACTIVATION_RELU, MSKP_ACTIVATION_SIGMOID);
    y = conv_norm(n, "conv3", y, same(out, 1, 1), MSKP_ACTIVATION_IDENTITY);
    return join(n, y, shortcut(n, x, out, stride));
}

/* Y-400MF: depth 16, w_0 = 48, w_a = 27.89, w_m = 2.09, which the paper's rule turns into these. */
void zoo_regnet_y(net *n, int unused)
{
    static const size_t width[4] = {48, 104, 208, 440}, blocks[4] = {1, 3, 6, 6};
    (void)unused;
    map x = conv_norm(n, "stem", input(n, 3, 224), same(32, 3, 2), MSKP_ACTIVATION_RELU);
    for (size_t stage = 0; stage < 4; stage++)
        for (size_t block = 0; block < blocks[stage]; block++) {
            at(n, "stage%zu.%zu.", stage + 1, block + 1);
            x = regnet_block(n, x, width[stage], block ? 1 : 2);
        }
    classify(n, x);
}

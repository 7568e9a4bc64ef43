/*
 * VGG: Simonyan, Zisserman, ICLR 2015, with batch norms. SqueezeNet: Iandola et al., arXiv
 * 1602.07360. U-Net: Ronneberger et al., MICCAI 2015.
 */
#include "by_id/by_id.h"
#include "zoo/layers.h"

/* Configuration D; 0: max pooling. */
void zoo_vgg16(net *n, int unused)
{
    static const size_t table[] = {64, 64,  0,   128, 128, 0,   256, 256, 256,
                                   0,  512, 512, 512, 0,   512, 512, 512, 0};
    (void)unused;
    map x = input(n, 3, 224);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        at(n, "features.%zu.", i);
        x = table[i] ? conv_norm(n, "conv", x, biased(same(table[i], 3, 1)), MSKP_ACTIVATION_RELU)
                     : max_pool(n, x, 2, 2, 0);
    }
    at(n, "classifier.");
    x = activate(n, linear(n, "1", flatten(n, x), 4096), MSKP_ACTIVATION_RELU);
    x = activate(n, linear(n, "2", x, 4096), MSKP_ACTIVATION_RELU);
    output(n, linear(n, "3", x, 1000));
}

static map fire(net *n, map x, size_t squeeze, size_t expand)
{
    x = activate(n, conv(n, "squeeze", x, biased(same(squeeze, 1, 1))), MSKP_ACTIVATION_RELU);
    const map both[2] = {
        activate(n, conv(n, "expand1x1", x, biased(same(expand, 1, 1))), MSKP_ACTIVATION_RELU),
        activate(n, conv(n, "expand3x3", x, biased(same(expand, 3, 1))), MSKP_ACTIVATION_RELU)};
    return concat(n, "out", 2, both);
}

/* 1.0 is the paper's; 1.1 has a smaller first layer and pools earlier. */
void zoo_squeezenet(net *n, int minor_version)
{
    static const size_t squeeze[8] = {16, 16, 32, 32, 48, 48, 64, 64};
    const bool first = minor_version == 0;
    map x = conv(n, "stem", input(n, 3, 224), biased(first ? valid(96, 7, 2) : valid(64, 3, 2)));
    x = max_pool_ceil(n, activate(n, x, MSKP_ACTIVATION_RELU), 3, 2);
    for (size_t i = 0; i < 8; i++) {
        at(n, "fire%zu.", i + 2);
        x = fire(n, x, squeeze[i], 4 * squeeze[i]);
        if (first ? i == 2 || i == 6 : i == 1 || i == 3) x = max_pool_ceil(n, x, 3, 2);
    }
    at(n, "%s", "");
    x = activate(n, conv(n, "classifier", x, biased(same(1000, 1, 1))), MSKP_ACTIVATION_RELU);
    output(n, global_average(n, x));
}

static map double_conv(net *n, map x, size_t out)
{
    x = activate(n, conv(n, "conv1", x, biased(valid(out, 3, 1))), MSKP_ACTIVATION_RELU);
    return activate(n, conv(n, "conv2", x, biased(valid(out, 3, 1))), MSKP_ACTIVATION_RELU);
}

/* Grey images, two classes, convolutions without pads: 572 x 572 in, 388 x 388 out. */
void zoo_unet(net *n, int unused)
{
    map left[4];
    (void)unused;
    map x = input(n, 1, 572);
    for (size_t level = 0; level < 4; level++) {
        at(n, "down%zu.", level);
        left[level] = double_conv(n, x, (size_t)64 << level);
        x = max_pool(n, left[level], 2, 2, 0);
    }
    at(n, "bottom.");
    x = double_conv(n, x, 1024);
    for (size_t level = 4; level-- > 0;) {
        const size_t width = (size_t)64 << level;
        at(n, "up%zu.", level);
        x = conv_transposed(n, "up", x, biased(valid(width, 2, 2)));
        const map both[2] = {resize(n, left[level], x.size[0], x.size[1]), x};
        x = double_conv(n, concat(n, "both", 2, both), width);
    }
    at(n, "%s", "");
    output(n, conv(n, "classifier", x, biased(same(2, 1, 1))));
}

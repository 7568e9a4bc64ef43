/*
 * Inverted residuals. MobileNet-v2: Sandler et al., CVPR 2018. MobileNet-v3: Howard et al., ICCV
 * 2019. EfficientNet: Tan, Le, ICML 2019.
 */
#include "by_id/by_id.h"
#include "zoo/layers.h"

typedef struct inverted {
    size_t kernel, expanded, out, stride;
    size_t squeezed; /* 0: no squeeze-and-excitation */
    mskp_activation_kind kind, squeeze, gate;
} inverted;

static map inverted_residual(net *n, map x, const inverted *b)
{
    map y = x;
    if (b->expanded != x.channels) y = conv_norm(n, "expand", x, same(b->expanded, 1, 1), b->kind);
    y = conv_norm(n, "depthwise", y, grouped(same(b->expanded, b->kernel, b->stride), b->expanded),
                  b->kind);
    if (b->squeezed) y = squeeze_excite(n, y, b->squeezed, b->squeeze, b->gate);
    y = conv_norm(n, "project", y, same(b->out, 1, 1), MSKP_ACTIVATION_IDENTITY);
    return b->stride == 1 && b->out == x.channels ? add(n, "sum", x, y) : y;
}

void zoo_mobilenet_v2(net *n, int unused)
{
    static const struct {
        size_t expansion, out, repeats, stride;
    } table[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                 {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    (void)unused;
    map x = conv_norm(n, "stem", input(n, 3, 224), same(32, 3, 2), MSKP_ACTIVATION_RELU6);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (size_t k = 0; k < table[i].repeats; k++) {
            at(n, "stage%zu.%zu.", i + 1, k + 1);
            x = inverted_residual(n, x,
                                  &(inverted){.kernel = 3,
                                              .expanded = table[i].expansion * x.channels,
                                              .out = table[i].out,
                                              .stride = k ? 1 : table[i].stride,
                                              .kind = MSKP_ACTIVATION_RELU6});
        }
    at(n, "%s", "");
    classify(n, conv_norm(n, "last", x, same(1280, 1, 1), MSKP_ACTIVATION_RELU6));
}

/* Large. A squeezed width is a quarter of the expanded one, to the next multiple of 8 that does not
 * lose more than a tenth. */
void zoo_mobilenet_v3(net *n, int unused)
{
    enum { RE = MSKP_ACTIVATION_RELU, HS = MSKP_ACTIVATION_HARD_SWISH };
    static const struct {
        size_t kernel, expanded, out, squeezed, kind, stride;
    } table[] = {{3, 16, 16, 0, RE, 1},     {3, 64, 24, 0, RE, 2},     {3, 72, 24, 0, RE, 1},
                 {5, 72, 40, 24, RE, 2},    {5, 120, 40, 32, RE, 1},   {5, 120, 40, 32, RE, 1},
                 {3, 240, 80, 0, HS, 2},    {3, 200, 80, 0, HS, 1},    {3, 184, 80, 0, HS, 1},
                 {3, 184, 80, 0, HS, 1},    {3, 480, 112, 120, HS, 1}, {3, 672, 112, 168, HS, 1},
                 {5, 672, 160, 168, HS, 2}, {5, 960, 160, 240, HS, 1}, {5, 960, 160, 240, HS, 1}};
    (void)unused;
    map x = conv_norm(n, "stem", input(n, 3, 224), same(16, 3, 2), MSKP_ACTIVATION_HARD_SWISH);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        at(n, "block%zu.", i + 1);
        x = inverted_residual(n, x,
                              &(inverted){.kernel = table[i].kernel,
                                          .expanded = table[i].expanded,
                                          .out = table[i].out,
                                          .stride = table[i].stride,
                                          .squeezed = table[i].squeezed,
                                          .kind = (mskp_activation_kind)table[i].kind,
                                          .squeeze = MSKP_ACTIVATION_RELU,
                                          .gate = MSKP_ACTIVATION_HARD_SIGMOID});
    }
    at(n, "%s", "");
    x = global_average(n, conv_norm(n, "last", x, same(960, 1, 1), MSKP_ACTIVATION_HARD_SWISH));
    x = activate(n, linear(n, "hidden", flatten(n, x), 1280), MSKP_ACTIVATION_HARD_SWISH);
    output(n, linear(n, "classifier", x, 1000));
}

/* B0. A squeezed width is a quarter of the block's input. */
void zoo_efficientnet(net *n, int unused)
{
    static const struct {
        size_t expansion, kernel, stride, out, repeats;
    } table[] = {{1, 3, 1, 16, 1},  {6, 3, 2, 24, 2},  {6, 5, 2, 40, 2}, {6, 3, 2, 80, 3},
                 {6, 5, 1, 112, 3}, {6, 5, 2, 192, 4}, {6, 3, 1, 320, 1}};
    (void)unused;
    map x = conv_norm(n, "stem", input(n, 3, 224), same(32, 3, 2), MSKP_ACTIVATION_SILU);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (size_t k = 0; k < table[i].repeats; k++) {
            at(n, "stage%zu.%zu.", i + 1, k + 1);
            x = inverted_residual(n, x,
                                  &(inverted){.kernel = table[i].kernel,
                                              .expanded = table[i].expansion * x.channels,
                                              .out = table[i].out,
                                              .stride = k ? 1 : table[i].stride,
                                              .squeezed = x.channels / 4,
                                              .kind = MSKP_ACTIVATION_SILU,
                                              .squeeze = MSKP_ACTIVATION_SILU,
                                              .gate = MSKP_ACTIVATION_SIGMOID});
        }
    at(n, "%s", "");
    classify(n, conv_norm(n, "last", x, same(1280, 1, 1), MSKP_ACTIVATION_SILU));
}

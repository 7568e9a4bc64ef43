#include "small_network.h"
#include "by_id/by_id.h"

static mskp_param weight(mskp_graph *g, const char *name, size_t out, size_t in, size_t kernel)
{
    return mskp_parameter(g, name, 4, (size_t[]){out, in, kernel, kernel});
}

mskp_graph *small_network_make(small_change change, const mskp_services *services)
{
    static const size_t reversed[] = {3, 2, 1, 0};
    const size_t four = 4, wide = change == SMALL_WIDER ? 6 : 5;
    const size_t size = change == SMALL_LARGER ? 7 : 4, kernel = change == SMALL_KERNEL ? 3 : 1;
    mskp_graph *g = mskp_graph_create(services);
    if (!g) return NULL;
    mskp_conv_desc same = {.pad_before = {1, 1}, .pad_after = {1, 1}}, point = {.groups = 1};
    if (kernel == 3) point = same;

    const mskp_value x = mskp_input(g, "x", 2, 2, (size_t[]){size, size});
    same.weight = weight(g, "c1.weight", 4, 2, 3);
    mskp_value v = mskp_conv(g, "c1", x, &same);
    const mskp_norm_desc norm = {.scale = mskp_parameter(g, "n1.gamma", 1, &four),
                                 .shift = mskp_parameter(g, "n1.beta", 1, &four)};
    v = mskp_norm(g, "n1", v, &norm);
    v = mskp_activation(g, "r\"1\\\xc3\xa4", v,
                        &(mskp_activation_desc){.kind = MSKP_ACTIVATION_RELU});
    same.weight = weight(g, "c2.weight", 4, 4, 3);
    const mskp_value c2 = mskp_conv(g, change == SMALL_VALUE_RENAMED ? "c2x" : "c2", v, &same);
    mskp_value turned = mskp_pick(g, "p\xff", c2, 4, reversed);
    if (change == SMALL_REVERSED) turned = c2;
    v = mskp_combine(g, "sum", MSKP_COMBINE_ADD, 2, (mskp_value[]){v, turned});
    v = mskp_pad_channels(g, "pad", v, 0, 2);
    point.weight = weight(g, "c3.weight", wide, 6, kernel);
    v = mskp_conv(g, "c3", v, &point);
    const mskp_value s0 = mskp_slice(g, "s0", v, 0, 1), s1 = mskp_slice(g, "s1", v, 1, 1);
    const mskp_value s2 = mskp_slice(g, "s2", v, 2, 1);
    mskp_output(g, s0);
    if (change == SMALL_TIED) mskp_tie(g, s1, s2);
    v = mskp_pool(g, "resize", v, &(mskp_pool_desc){.kind = MSKP_POOL_RESIZE, .spatial = {2, 2}});
    v = mskp_flatten(g, "f", v, 0);
    if (change != SMALL_SHORTER) {
        const char *name = change == SMALL_PARAM_RENAMED ? "z.weight" : "y.weight";
        const mskp_param y = mskp_parameter(g, name, 2, (size_t[]){3, wide * 4});
        v = mskp_linear(g, "y", v, y, (mskp_param){0});
    }
    if (change == SMALL_LONGER) v = mskp_activation(g, "more", v, NULL);
    mskp_output(g, v);
    if (mskp_graph_finish(g, NULL)) {
        mskp_graph_destroy(g);
        return NULL;
    }
    return g;
}

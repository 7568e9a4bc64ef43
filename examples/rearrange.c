/*
 * Operators that move or mix channels, and which channels they tie. For each operator a network is
 * described in which a value x of 8 channels at 4 x 4 positions goes through it. x alone has 8
 * units. Where fewer are left, the smaller network could not be stored in the operator's form if
 * one channel were removed without others. A norm over channels pins all of them, unless the caller
 * accepts that removing them is inexact.
 */
#include <mskp.h>
#include <mskp/operators.h>
#include <mskp/tools.h> /* mskp_value_shape, mskp_value_coupling, mskp_value_name */
#include <stdio.h>

enum { CHANNELS = 8 };
/* clang-format off */
enum operation {
    PRELU, SLICE, CONCAT, PAD, TRANSPOSED, RESHAPE, FLATTEN, UNFLATTEN, CHUNK, CHUNK_REWRITABLE,
    SHUFFLE, PIXELS, UNPIXELS, CONCAT_SPATIAL, GROUPS_TIED, GROUPS_WHOLE, GROUP_NORM, LAYER_NORM,
    RMS_INEXACT, POOL, OPERATIONS
};
/* clang-format on */

static const struct {
    const char *name;
    size_t channels, height, units; /* of the result, of the network */
    size_t tied, inexact;           /* joins among channels of x, and its inexact channels */
    const char *why;
} expected[OPERATIONS] = {
    [PRELU] = {"prelu", 8, 4, 8, 0, 0, "the slope of a channel is removed with it"},
    [SLICE] = {"slice", 3, 4, 8, 0, 0, "only the slice's first channel and width change"},
    [CONCAT] = {"concat", 16, 4, 8, 0, 0, "x and dropout(x) have the same units"},
    [PAD] = {"pad_channels", 10, 4, 10, 0, 0, "the 2 channels of zeros may be removed, too"},
    [TRANSPOSED] = {"conv_transposed", 5, 8, 13, 0, 0, "each of 5 filters makes a channel"},
    [RESHAPE] = {"reshape", 8, 16, 8, 0, 0, "channels stay what they are"},
    [FLATTEN] = {"flatten", 128, 0, 8, 0, 0, "a unit has one channel for each of 16 positions"},
    [UNFLATTEN] = {"unflatten", 2, 4, 2, 6, 0, "4 channels become the positions of one"},
    [CHUNK] = {"chunk", 4, 4, 4, 4, 0, "both parts must stay equally wide"},
    [CHUNK_REWRITABLE] = {"chunk, rewritable", 4, 4, 8, 0, 0, "the caller stores both widths"},
    [SHUFFLE] = {"channel_shuffle", 8, 4, 4, 4, 0, "both groups must stay equally wide"},
    [PIXELS] = {"pixel_shuffle", 2, 8, 2, 6, 0, "4 channels become one of twice the size"},
    [UNPIXELS] = {"pixel_unshuffle", 32, 2, 8, 0, 0, "4 channels of one unit are made from each"},
    [CONCAT_SPATIAL] = {"concat_spatial", 8, 5, 8, 0, 0, "x is tied to the other value"},
    [GROUPS_TIED] = {"conv, tied", 6, 4, 7, 4, 0, "both groups lose the same position"},
    [GROUPS_WHOLE] = {"conv, whole", 6, 4, 2, 6, 0, "a unit is all that a group reads and makes"},
    [GROUP_NORM] = {"group norm, whole", 8, 4, 2, 6, 0, "statistics are removed with their group"},
    [LAYER_NORM] = {"layer norm", 8, 4, 0, 0, 0, "the statistics mix all channels: pinned"},
    [RMS_INEXACT] = {"rms norm, accepted", 8, 4, 8, 0, 8, "the caller accepts other statistics"},
    [POOL] = {"pool, ceil_mode", 8, 2, 8, 0, 0, "channels stay what they are"},
};

static mskp_value operate(mskp_graph *g, enum operation operation, mskp_value x)
{
    const mskp_pool_desc average = {.kind = MSKP_POOL_GLOBAL_AVERAGE};
    mskp_norm_desc norm = {.accept_inexact = operation == RMS_INEXACT};
    mskp_conv_desc up = {.stride = {2, 2}}, groups = {.groups = 2};
    mskp_value v[2] = {x};
    switch (operation) {
    case PRELU:
        return mskp_prelu(g, "y", x, mskp_parameter(g, "slope", 1, (size_t[]){CHANNELS}));
    case SLICE:
        return mskp_slice(g, "y", x, 2, 3);
    case CONCAT:
        return mskp_concat(g, "y", 2, (mskp_value[]){x, mskp_activation(g, "dropout", x, NULL)});
    case PAD:
        return mskp_pad_channels(g, "y", x, 0, 2);
    case TRANSPOSED:
        up.weight = mskp_parameter(g, "up", 4, (size_t[]){CHANNELS, 5, 2, 2});
        return mskp_conv_transposed(g, "y", x, &up);
    case RESHAPE:
        return mskp_reshape(g, "y", x, 1, (size_t[]){16});
    case FLATTEN:
        return mskp_flatten(g, "y", x, 0);
    case UNFLATTEN:
        x = mskp_flatten(g, "flat", mskp_pool(g, "average", x, &average), 0);
        return mskp_unflatten(g, "y", x, 1, (size_t[]){4}, 0);
    case CHUNK:
    case CHUNK_REWRITABLE:
        mskp_chunk(g, "y", x, 2, operation == CHUNK_REWRITABLE, v);
        return v[0];
    case SHUFFLE:
        return mskp_channel_shuffle(g, "y", x, 2, 0);
    case PIXELS:
        return mskp_pixel_shuffle(g, "y", x, 2, MSKP_SHUFFLE_CHANNEL_MAJOR);
    case UNPIXELS:
        return mskp_pixel_unshuffle(g, "y", x, 2, MSKP_SHUFFLE_CHANNEL_MAJOR);
    case CONCAT_SPATIAL:
        v[1] = mskp_fresh(g, "row", CHANNELS, 2, (size_t[]){1, 4});
        return mskp_concat_spatial(g, "y", 0, 2, v);
    case GROUPS_TIED:
    case GROUPS_WHOLE:
        groups.grouping = operation == GROUPS_TIED ? MSKP_GROUPING_TIED : MSKP_GROUPING_WHOLE;
        groups.weight = mskp_parameter(g, "w", 4, (size_t[]){6, CHANNELS / 2, 1, 1});
        return mskp_conv(g, "y", x, &groups);
    case POOL:
        return mskp_pool(g, "y", x, &(mskp_pool_desc){.ceil_mode = 1, .size = {3, 3}});
    case GROUP_NORM:
        norm.kind = MSKP_NORM_GROUP, norm.groups = 2, norm.grouping = MSKP_GROUPING_WHOLE;
        return mskp_norm(g, "y", x, &norm);
    default:
        norm.kind = operation == LAYER_NORM ? MSKP_NORM_LAYER : MSKP_NORM_RMS;
        return mskp_norm(g, "y", x, &norm);
    }
}

int main(void)
{
    int wrong = 0;
    for (int k = 0; k < OPERATIONS; k++) {
        size_t channels, spatial[MSKP_MAX_SPATIAL] = {0};
        mskp_coupling c = {0};
        mskp_error err = {0};
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_value x = mskp_fresh(g, "x", CHANNELS, 2, (size_t[]){4, 4});
        const mskp_value y = operate(g, (enum operation)k, x);
        if (mskp_graph_finish(g, &err) || mskp_value_coupling(g, x, &c, &err))
            wrong = 1, fprintf(stderr, "rearrange: %s\n", err.text);
        const uint32_t axes = mskp_value_shape(g, y, &channels, spatial);
        const size_t units = mskp_graph_counts(g).units;
        printf("%-18s %3zu channels", expected[k].name, channels);
        for (uint32_t axis = 0; axis < axes; axis++) printf(" x %zu", spatial[axis]);
        printf(", %zu units, %zu joins", units, c.tied);
        if (c.inexact) printf(", %zu inexact by %s", c.inexact, mskp_value_name(g, c.inexact_by));
        printf(": %s\n", expected[k].why);
        if (channels != expected[k].channels || spatial[0] != expected[k].height ||
            units != expected[k].units || c.tied != expected[k].tied ||
            c.inexact != expected[k].inexact || c.inexact_by.id != (c.inexact ? y.id : 0))
            wrong = 1, fprintf(stderr, "rearrange: %s gives other numbers\n", expected[k].name);
        mskp_graph_destroy(g);
    }
    return wrong;
}

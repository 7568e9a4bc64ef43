/*
 * Operators that move channels, and which channels they tie. For each operator a network is
 * described in which a value x of 8 channels at 4 x 4 positions goes through it. x alone has 8
 * units. Where fewer are left, the operator tied some channels of x: the smaller network could not
 * be stored in the operator's form if one of them were removed without the others.
 */
#include <mskp.h>
#include <mskp/operators.h>
#include <mskp/tools.h> /* mskp_value_shape, mskp_value_coupling, mskp_value_name */
#include <stdio.h>

enum { CHANNELS = 8 };
/* clang-format off */
enum operation {
    PRELU, SLICE, CONCAT, PAD, TRANSPOSED, RESHAPE, FLATTEN, UNFLATTEN, CHUNK, CHUNK_REWRITABLE,
    SHUFFLE, PIXELS, UNPIXELS, CONCAT_SPATIAL, OPERATIONS
};
/* clang-format on */

static const struct {
    const char *name;
    size_t channels, units, tied; /* of the result, of the network, joins among channels of x */
    const char *why;
} expected[OPERATIONS] = {
    [PRELU] = {"prelu", 8, 8, 0, "the slope of a channel is removed with it"},
    [SLICE] = {"slice", 3, 8, 0, "a smaller slice needs another first channel and width only"},
    [CONCAT] = {"concat", 16, 8, 0, "x and relu(x) have the same units"},
    [PAD] = {"pad_channels", 10, 10, 0, "the 2 channels of zeros may be removed, too"},
    [TRANSPOSED] = {"conv_transposed", 5, 13, 0, "each of 5 filters makes a channel"},
    [RESHAPE] = {"reshape", 8, 8, 0, "channels stay what they are"},
    [FLATTEN] = {"flatten", 128, 8, 0, "a unit has one channel for each of 16 positions"},
    [UNFLATTEN] = {"unflatten", 2, 2, 6, "4 channels become the positions of one"},
    [CHUNK] = {"chunk", 4, 4, 4, "both parts must stay equally wide"},
    [CHUNK_REWRITABLE] = {"chunk, rewritable", 4, 8, 0, "the caller stores the width of each part"},
    [SHUFFLE] = {"channel_shuffle", 8, 4, 4, "both groups must stay equally wide"},
    [PIXELS] = {"pixel_shuffle", 2, 2, 6, "4 channels become one with twice the height and width"},
    [UNPIXELS] = {"pixel_unshuffle", 32, 8, 0, "4 channels are made from each, removed together"},
    [CONCAT_SPATIAL] = {"concat_spatial", 8, 8, 0,
                        "x is tied to the other value, as by an addition"},
};

static mskp_value operate(mskp_graph *g, enum operation operation, mskp_value x)
{
    const mskp_pool_desc average = {.kind = MSKP_POOL_GLOBAL_AVERAGE};
    const mskp_activation_desc relu = {.kind = MSKP_ACTIVATION_RELU};
    mskp_conv_desc up = {.stride = {2, 2}};
    mskp_value v[2] = {x};
    switch (operation) {
    case PRELU:
        return mskp_prelu(g, "y", x, mskp_parameter(g, "slope", 1, (size_t[]){CHANNELS}));
    case SLICE:
        return mskp_slice(g, "y", x, 2, 3);
    case CONCAT:
        v[1] = mskp_activation(g, "relu", x, &relu);
        return mskp_concat(g, "y", 2, v);
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
    default:
        return (mskp_value){0};
    }
}

int main(void)
{
    int wrong = 0;
    for (int k = 0; k < OPERATIONS; k++) {
        size_t channels, spatial[MSKP_MAX_SPATIAL];
        mskp_coupling coupling = {0};
        mskp_error err = {0};
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_value x = mskp_fresh(g, "x", CHANNELS, 2, (size_t[]){4, 4});
        const mskp_value y = operate(g, (enum operation)k, x);
        if (mskp_graph_finish(g, &err) || mskp_value_coupling(g, x, &coupling, &err))
            wrong = 1, fprintf(stderr, "rearrange: %s\n", err.text);
        const size_t units = mskp_graph_counts(g).units;
        const uint32_t axes = mskp_value_shape(g, y, &channels, spatial);
        printf("%-17s %3zu channels", expected[k].name, channels);
        for (uint32_t axis = 0; axis < axes; axis++) printf(" x %zu", spatial[axis]);
        printf(", %zu units, %zu joins: %s\n", units, coupling.tied, expected[k].why);
        if (channels != expected[k].channels || units != expected[k].units ||
            coupling.tied != expected[k].tied)
            wrong = 1, fprintf(stderr, "rearrange: %s gives other numbers\n", expected[k].name);
        mskp_graph_destroy(g);
    }
    return wrong;
}

/*
 * How is a moving average of the weights cut together with the weights?
 *
 * Constants are moved by sums of the values, and an average has other values than the network it
 * belongs to. If each set decided alone, the two could choose different carriers, and no plan could
 * cut both. mskp_constants_again takes the decision of the first object, its masks and carriers,
 * and works out the sums of the second set. One plan and one cut then serve both.
 *
 * The network: one input channel, a scale and a shift for each of four channels, relu, and a padded
 * convolution that reads them. Two channels have scale 0 and still output their shift.
 */
#include <math.h>
#include <stdio.h>

#include <mskp.h>
#include <mskp/constants.h>
#include <mskp/operators.h>

enum { CHANNELS = 4, LENGTH = 5, TAPS = 3, PARAMS = 4, SETS = 2 };

/* The values of one set. */
typedef struct network {
    double filter[CHANNELS], scale[CHANNELS], shift[CHANNELS], reader[CHANNELS * TAPS];
} network;

static double at_least_zero(double x)
{
    return x > 0 ? x : 0;
}

/* out <- what a network of so many channels computes of the picture `x`. */
static void forward(const network *n, size_t channels, const double *x, double *out)
{
    for (int i = 0; i < LENGTH; i++) {
        out[i] = 0;
        for (size_t c = 0; c < channels; c++)
            for (int k = 0; k < TAPS; k++) {
                const int from = i + k - 1;
                if (from < 0 || from >= LENGTH) continue; /* the padding is zero */
                out[i] += n->reader[c * TAPS + (size_t)k] *
                          at_least_zero(n->scale[c] * n->filter[c] * x[from] + n->shift[c]);
            }
    }
}

int main(void)
{
    network set[SETS] = {{{1, 2, 3, 4}, {1, 0, 2, 0}, {.1, .5, .2, .7}, {0}},
                         {{1, 2, 2, 4}, {.9, 0, 1.8, 0}, {.2, .4, .1, .9}, {0}}};
    const double x[LENGTH] = {1, -2, 3, .5, 2};
    double before[SETS][LENGTH], after[SETS][LENGTH], off = 0;
    unsigned char stays[CHANNELS] = {1, 0, 1, 0};
    const size_t length = LENGTH, vector = CHANNELS;
    mskp_tensor view[SETS][PARAMS] = {{{0}}};
    mskp_move move[SETS] = {{{0}, {0}}};
    mskp_conv_desc first = MSKP_INIT, padded = {.pad_before = {1}, .pad_after = {1}};
    mskp_norm_desc affine = {.kind = MSKP_NORM_AFFINE};
    const mskp_activation_desc relu = {.kind = MSKP_ACTIVATION_RELU};
    const mskp_mask keep = {CHANNELS, stays};
    mskp_constants *constants = NULL, *again = NULL;
    mskp_constants_report report[SETS];
    mskp_plan *plan = NULL;
    mskp_error err = MSKP_INIT;

    mskp_graph *g = mskp_graph_create(NULL);
    first.weight = mskp_parameter(g, "filter", 3, (size_t[]){CHANNELS, 1, 1});
    affine.scale = mskp_parameter(g, "scale", 1, &vector);
    affine.shift = mskp_parameter(g, "shift", 1, &vector);
    padded.weight = mskp_parameter(g, "reader", 3, (size_t[]){1, CHANNELS, TAPS});
    mskp_value v = mskp_conv(g, "conv", mskp_input(g, "x", 1, 1, &length), &first);
    v = mskp_activation(g, "relu", mskp_norm(g, "norm", v, &affine), &relu);
    mskp_output(g, mskp_conv(g, "out", v, &padded));
    for (int s = 0; s < SETS; s++) {
        double *data[PARAMS] = {set[s].filter, set[s].scale, set[s].shift, set[s].reader};
        for (int i = 0; i < CHANNELS * TAPS; i++) set[s].reader[i] = .1 * (i + 1) + s;
        for (int p = 0; p < PARAMS; p++)
            view[s][p] = (mskp_tensor){.data = data[p], .dtype = MSKP_DTYPE_F64};
        move[s].from = (mskp_tensors){PARAMS, view[s]};
        forward(&set[s], CHANNELS, x, before[s]);
    }
    if (mskp_graph_finish(g, &err) ||
        mskp_constants_create(g, keep, NULL, move[0].from, &constants, &err) ||
        mskp_constants_again(constants, move[1].from, &again, &err) ||
        mskp_constants_total(constants, &report[0], &err) ||
        mskp_constants_total(again, &report[1], &err) ||
        mskp_constants_plan(constants, &plan, NULL, &err) ||
        mskp_constants_apply(constants, plan, move[0].from, &err) ||
        mskp_constants_apply(again, plan, move[1].from, &err) ||
        mskp_plan_cut(plan, SETS, move, &err))
        goto done;
    for (int s = 0; s < SETS; s++) {
        forward(&set[s], view[s][1].shape[0], x, after[s]);
        for (int i = 0; i < LENGTH; i++) off = fmax(off, fabs(after[s][i] - before[s][i]));
    }
    printf("%zu of 4 channels stay, %zu of them to carry constants; the outputs of the weights and "
           "of their average differ by %.1g\n",
           view[0][1].shape[0], report[0].carriers, off);
    if (!report[0].exact || !report[1].exact || report[0].carriers != 1 || off > 1e-12)
        snprintf(err.text, sizeof err.text, "surgery changed an output"),
            err.status = MSKP_ERROR_BAD_NUMBER;
done:
    if (err.status) fprintf(stderr, "average: %s\n", err.text);
    mskp_constants_destroy(constants);
    mskp_constants_destroy(again);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    return err.status != MSKP_OK;
}

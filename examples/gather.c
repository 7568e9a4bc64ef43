/*
 * A trainer that holds its tensors where mskp cannot reach them, for instance on a device. It asks
 * for indices and moves the numbers itself. Its convolutions lie in channels-last memory,
 * [out][taps][in]. Two convolutions are joined, and a linear layer reads a slice of both:
 *
 *     signal -> a -> concat -> slice of channels 6 to 13 -> head
 *           \-> b --/
 *
 * An ordinary cut of a copy in host memory shows that the gathered tensors are right.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/operators.h> /* mskp_concat, mskp_slice */
#include <mskp/tools.h>
#include <stdio.h>
#include <string.h>

enum { IN = 3, WIDTH = 8, TAPS = 3, FIRST = 6, OUT = 2, PARAMS = 3, UNITS = 2 * WIDTH };
enum { ROOM = WIDTH * TAPS * IN };
static float device[PARAMS][ROOM], smaller[PARAMS][ROOM], copy[PARAMS][ROOM];

int main(void)
{
    const size_t conv[] = {WIDTH, IN, TAPS}, linear[] = {OUT, WIDTH};
    const uint32_t channels_last[] = {0, 2, 1};
    mskp_tensor from[PARAMS], to[PARAMS], host[PARAMS];
    const mskp_tensors full = {PARAMS, from}, small = {PARAMS, to}, hosts = {PARAMS, host};
    const mskp_scoring filters = {.roles = MSKP_ROLE_FILTER};
    double score[2][UNITS] = {{0}};
    uint8_t stays[UNITS];
    const mskp_mask keep = {UNITS, stays};
    const mskp_scores own = {UNITS, score[0]}, library = {UNITS, score[1]};
    size_t shape[MSKP_MAX_DIMS], count;
    uint32_t roles;
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    int wrong = 0;
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param a = mskp_parameter(g, "a.weight", 3, conv);
    const mskp_param b = mskp_parameter(g, "b.weight", 3, conv);
    mskp_parameter(g, "head.weight", 2, linear); /* can be found by its name */
    const mskp_param head = mskp_param_find(g, "head.weight");
    mskp_value v[2] = {mskp_input(g, "signal", IN, 1, (size_t[]){20})};
    v[1] = mskp_conv(g, "b", v[0], &(mskp_conv_desc){.weight = b});
    v[0] = mskp_conv(g, "a", v[0], &(mskp_conv_desc){.weight = a});
    const mskp_value both = mskp_concat(g, "both", 2, v);
    const mskp_value slice = mskp_slice(g, "slice", both, FIRST, WIDTH);
    mskp_output(g, mskp_linear(g, "head", slice, head, (mskp_param){0}));
    if (mskp_graph_finish(g, &err)) goto failed;

    /* The trainer's own loops compute scores, here the L1 norms of filters: an array tells the unit
     * of each index of an axis. A mask is spread over channels in the same way. */
    for (uint32_t k = 0; k < PARAMS; k++) {
        const mskp_param p = {k + 1};
        const uint32_t *order = mskp_param_shape(g, p, shape) == 3 ? channels_last : NULL;
        for (size_t i = 0; i < ROOM; i++)
            copy[k][i] = device[k][i] = sinf((float)(i * i % 101 + k));
        if (mskp_param_view(g, p, order, device[k], MSKP_DTYPE_F32, &from[k], &err)) goto failed;
        host[k] = from[k], host[k].data = copy[k];
        if (!(mskp_param_roles(g, p) & MSKP_ROLE_FILTER)) continue;
        const uint32_t *unit = mskp_param_units(g, p, 0, &roles, &count);
        for (size_t i = 0; i < count * IN * TAPS; i++)
            if (unit[i / (IN * TAPS)] != MSKP_PINNED)
                own.unit[unit[i / (IN * TAPS)]] += fabs((double)device[k][i]);
    }
    if (mskp_score(g, &filters, hosts, library, &err) ||
        mskp_select(g, own, &(mskp_rule){.remove_fraction = 0.5}, keep, NULL, &err) ||
        mskp_plan_create(g, keep, &plan, NULL, &err) || mskp_plan_views(plan, full, small, &err) ||
        mskp_plan_cut(plan, 1, &(mskp_move){.from = hosts}, &err))
        goto failed;
    for (size_t u = 0; u < UNITS; u++) wrong |= fabs(own.unit[u] - library.unit[u]) > 1e-12;

    /* mskp_gather stands for a kernel on the device. mskp_plan_views gave its result a shape and
     * strides. Each parameter shrinks on one axis here; several axes are gathered one by one. */
    for (uint32_t k = 0; k < PARAMS; k++) {
        const mskp_param p = {k + 1};
        size_t bytes = sizeof(float);
        to[k].data = smaller[k];
        for (uint32_t axis = 0; axis < mskp_param_shape(g, p, shape); axis++) {
            const uint32_t *kept = mskp_plan_param_kept(plan, p, axis, &count);
            if (kept && mskp_gather(NULL, &from[k], axis, count, kept, &to[k], &err)) goto failed;
            bytes *= count;
        }
        wrong |= memcmp(smaller[k], copy[k], bytes) ||
                 memcmp(to[k].stride, host[k].stride, sizeof to[k].stride);
        printf("%-11s [%zu][%zu][%zu]\n", mskp_param_name(g, p), to[k].shape[0], to[k].shape[1],
               to[k].ndim > 2 ? to[k].shape[2] : 1);
    }

    /* A trainer must also correct what it stores about channels: where a slice begins, how wide the
     * slice is, and lists of indices. */
    const uint32_t *kept = mskp_plan_value_kept(plan, slice, &count);
    const size_t first = mskp_plan_channels_kept(plan, both, 0, FIRST);
    printf("the slice began at channel %d of %d, and now at %zu of %zu; it reads %zu channels\n",
           FIRST, UNITS, first, mskp_plan_channels_kept(plan, both, 0, UNITS), count);
    uint32_t of_value[WIDTH], of_axis[WIDTH];
    if (mskp_plan_value_map(plan, slice, WIDTH, of_value, &err) ||
        mskp_plan_param_map(plan, head, 1, WIDTH, of_axis, &err))
        goto failed;
    for (size_t i = 0; i < count; i++) wrong |= of_value[kept[i]] != i;
    wrong |=
        memcmp(of_value, of_axis, sizeof of_axis) || count != mskp_tensor_of(small, head)->shape[1];
    if (wrong) fprintf(stderr, "gather: scores, tensors or indices differ from those of mskp\n");
failed:
    if (err.status) fprintf(stderr, "gather: %s\n", err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    return wrong || err.status;
}

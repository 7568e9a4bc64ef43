/*
 * Which rule? The same network, a residual block, is pruned by five rules:
 *
 *     image -> stem -> bn1 = x -> conv1 -> bn2 -> relu -> conv2 -> bn3 -> + x -> relu = y
 *     concat(y, image) -> head
 *
 *   vote       as in the authors' code of MaskSparsity: a channel of the stream is removed if
 *              enough of its tied batch norms, here bn1 and bn3, have a gamma below a threshold
 *   fraction   half of all units, but of no family more than half
 *   budget     at most 60% of the multiply-accumulates (MACs), in multiples of 4 channels
 *   per MAC    60% without multiples, the scores divided by the MACs that a unit costs, which are
 *              more for a unit of the stream
 *   weighted   what a penalty drives to zero if it costs a unit what the unit costs the network:
 *              A. Gordon et al., "MorphNet", CVPR 2018
 *
 * Units 0 to 7 are the channels of the stream, units 8 to 13 those between conv1 and conv2.
 */
#include <mskp.h>
#include <mskp/methods.h>   /* mskp_score_normalize, mskp_unit_weights */
#include <mskp/operators.h> /* mskp_concat */
#include <mskp/tools.h>     /* mskp_param_name, mskp_penalty_value */
#include <stdio.h>
#include <string.h>

enum { STREAM = 8, MIDDLE = 6, UNITS = STREAM + MIDDLE };
enum { STEM, CONV1, CONV2, HEAD, BN1, BN2, BN3, PARAMS };
static float gamma1[] = {.05f, .09f, .02f, .8f, .7f, .9f, .65f, .5f};
static float gamma2[] = {.03f, .3f, .06f, .4f, .2f, .9f};
static float gamma3[] = {.5f, .04f, .08f, .6f, .55f, .9f, .85f, .7f};
static mskp_tensor view[PARAMS];
static const mskp_tensors values = {PARAMS, view};

static mskp_graph *describe(void)
{
    static const char *const name[] = {"stem", "conv1", "conv2", "head", "bn1", "bn2", "bn3"};
    /* clang-format off */
    static const size_t shape[][4] = {
        {STREAM, 3, 3, 3}, {MIDDLE, STREAM, 3, 3}, {STREAM, MIDDLE, 3, 3}, {16, STREAM + 3, 3, 3},
        {STREAM}, {MIDDLE}, {STREAM}}; /* clang-format on */
    const mskp_activation_desc relu = {.kind = MSKP_ACTIVATION_RELU};
    mskp_conv_desc conv[BN1];
    mskp_norm_desc norm[PARAMS - BN1];
    mskp_value v[2];
    mskp_graph *g = mskp_graph_create(NULL);
    for (int k = 0; k < PARAMS; k++) {
        const mskp_param p = mskp_parameter(g, name[k], k < BN1 ? 4 : 1, shape[k]);
        if (k < BN1)
            conv[k] = (mskp_conv_desc){p, .pad_before = {1, 1}, .pad_after = {1, 1}};
        else
            norm[k - BN1] = (mskp_norm_desc){.scale = p};
    }
    const mskp_value image = mskp_input(g, "image", 3, 2, (size_t[]){8, 8});
    v[0] = mskp_norm(g, "bn1", mskp_conv(g, "stem", image, &conv[STEM]), &norm[0]);
    v[1] = mskp_norm(g, "bn2", mskp_conv(g, "conv1", v[0], &conv[CONV1]), &norm[1]);
    v[1] = mskp_conv(g, "conv2", mskp_activation(g, "relu", v[1], &relu), &conv[CONV2]);
    v[1] = mskp_norm(g, "bn3", v[1], &norm[2]);
    v[0] = mskp_activation(g, "y", mskp_combine(g, "sum", MSKP_COMBINE_ADD, 2, v), &relu);
    v[1] = image;
    mskp_output(g, mskp_conv(g, "head", mskp_concat(g, "all", 2, v), &conv[HEAD]));
    view[BN1].data = gamma1, view[BN2].data = gamma2, view[BN3].data = gamma3;
    return g;
}

/* Prints a mask, 1 for each unit that stays, and compares it with what this page promises. */
static int differs(const char *rule, mskp_mask keep, const mskp_selection *did,
                   const char *expected)
{
    char text[UNITS + 1] = {0};
    for (size_t u = 0; u < UNITS; u++) text[u] = keep.unit[u] ? '1' : '.';
    printf("%-9s %.8s %s, %zu removed, %g MACs left\n", rule, text, text + STREAM, did->removed,
           did->cost.macs);
    if (!strcmp(text, expected)) return 0;
    return fprintf(stderr, "rules: %s should give %s\n", rule, expected), 1;
}

int main(void)
{
    const mskp_scoring vote = {.reduce = MSKP_REDUCE_VOTE, .vote_threshold = .1};
    const mskp_scoring mean = {.reduce = MSKP_REDUCE_MEAN};
    const mskp_rule below = {.use_threshold = 1, .threshold = .1}, zero = {.use_threshold = 1};
    const mskp_rule half = {.remove_fraction = .5, .max_family_fraction = .5};
    mskp_rule budget = {.round_to = 4};
    double score[UNITS], weight[UNITS];
    uint8_t stays[UNITS];
    const mskp_scores scores = {UNITS, score};
    const mskp_mask keep = {UNITS, stays};
    const mskp_weighting cost = {.kind = MSKP_WEIGHTING_MACS};
    mskp_penalty weighted = {.target = MSKP_TARGET_ALL, .unit_weight = weight};
    mskp_selection did;
    mskp_cost all;
    mskp_error err = {0};
    double left[3];
    size_t unrounded = 0;
    int wrong = 0;
    mskp_graph *g = describe();
    if (mskp_graph_finish(g, &err) || mskp_measure(g, (mskp_mask){0}, &all, NULL, &err) ||
        mskp_score(g, &vote, values, scores, &err) ||
        mskp_select(g, scores, &below, keep, &did, &err))
        goto failed;
    wrong |= differs("vote", keep, &did, "1..11111.1.111");
    if (mskp_score(g, &mean, values, scores, &err) ||
        mskp_select(g, scores, &half, keep, &did, &err))
        goto failed;
    wrong |= differs("fraction", keep, &did, "...1111..1.1.1");
    budget.max_macs = .6 * all.macs;
    if (mskp_select(g, scores, &budget, keep, &did, &err)) goto failed;
    wrong |= differs("budget", keep, &did, "...1111..1.111");
    const char *by = mskp_param_name(g, did.unrounded_param); /* it reads the image, too */
    printf("no multiple of 4: axis %u of %s, %zu in all\n", did.unrounded_axis, by, did.unrounded);
    unrounded = by && !strcmp(by, "head") && did.unrounded_axis == 1 ? did.unrounded : 0;
    budget.round_to = 0;
    if (mskp_score_normalize(g, MSKP_NORMALIZER_MACS, 0, scores, &err) ||
        mskp_select(g, scores, &budget, keep, &did, &err))
        goto failed;
    wrong |= differs("per MAC", keep, &did, "...11111.1.1.1");
    if (mskp_unit_weights(g, (mskp_mask){0}, &weighted, &cost, (mskp_scores){0},
                          (mskp_scores){UNITS, weight}, &err) ||
        mskp_penalty_prox(g, (mskp_mask){0}, &weighted, .45, values, &err) ||
        mskp_score(g, NULL, values, scores, &err) ||
        mskp_select(g, scores, &zero, keep, &did, &err))
        goto failed;
    wrong |= differs("weighted", keep, &did, "...11111.1.1.1");
    for (int k = MSKP_TARGET_REMOVED; k <= MSKP_TARGET_KEPT; k++) {
        weighted.target = (mskp_target)k;
        if (mskp_penalty_value(g, keep, &weighted, values, &left[k], &err)) goto failed;
    }
    printf("R is %g in the units that stay, and %g in the others\n", left[MSKP_TARGET_KEPT],
           left[0]);
    if (left[MSKP_TARGET_REMOVED] != 0 || !(left[MSKP_TARGET_KEPT] > 0) || unrounded != 1)
        wrong = 1, fprintf(stderr, "rules: R or an axis is not what this page promises\n");
failed:
    if (err.status) fprintf(stderr, "rules: %s\n", err.text);
    mskp_graph_destroy(g);
    return wrong || err.status;
}

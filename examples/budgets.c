/*
 * Rules for layers by name, budgets of bytes, memory and time, and masks over several rounds:
 *
 *     image -> stem -> layer1.conv -> pool -> layer2.conv -> layer3.conv -> pool -> fc
 *
 * Each convolution but the last layer has a batch norm and a ReLU behind it.
 *
 *   names         the stem is left alone, layer3 loses a quarter in multiples of 8
 *   budgets       together: bytes of weights in 8 bits, peak memory of activations, a time that was
 *                 measured on the device for one layer, and an energy that a function computes
 *   sensitivity   no layer loses more than what costs a point of accuracy when it alone is pruned
 *   rounds        a cubic schedule; a unit changes its state if two rounds in a row say so
 *   vote          removed is what two of three criteria remove
 */
#include <math.h>
#include <mskp.h>
#include <mskp/rules.h>
#include <mskp/tools.h> /* mskp_family_units */
#include <stdio.h>
#include <string.h>

enum { STEM = 16, LAYER1 = 16, LAYER2 = 32, LAYER3 = 32, CONVS = 4, FAMILIES = 4 };
enum { UNITS = STEM + LAYER1 + LAYER2 + LAYER3, ROUNDS = 6 };
static const char *const conv_name[] = {"stem", "layer1.conv", "layer2.conv", "layer3.conv"};
static const size_t width[] = {3, STEM, LAYER1, LAYER2, LAYER3};
static double gamma_of[UNITS]; /* what a trainer would have learned */

static mskp_graph *describe(mskp_value made[CONVS])
{
    char name[24];
    const mskp_activation_desc relu = {.kind = MSKP_ACTIVATION_RELU};
    const mskp_pool_desc half = {.size = {2, 2}}, mean = {.kind = MSKP_POOL_GLOBAL_AVERAGE};
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_value v = mskp_input(g, "image", 3, 2, (size_t[]){16, 16});
    for (int k = 0; k < CONVS; k++) {
        const size_t shape[] = {width[k + 1], width[k], 3, 3};
        snprintf(name, sizeof name, "%s.weight", conv_name[k]);
        const mskp_param weight = mskp_parameter(g, name, 4, shape);
        snprintf(name, sizeof name, "%s.gamma", conv_name[k]);
        const mskp_norm_desc norm = {.scale = mskp_parameter(g, name, 1, shape)};
        const mskp_conv_desc conv = {weight, .pad_before = {1, 1}, .pad_after = {1, 1}};
        v = made[k] = mskp_conv(g, conv_name[k], v, &conv);
        v = mskp_activation(g, NULL, mskp_norm(g, NULL, v, &norm), &relu);
        if (k == 1) v = mskp_pool(g, "pool", v, &half);
    }
    v = mskp_pool(g, "mean", v, &mean);
    const mskp_param fc = mskp_parameter(g, "fc.weight", 2, (size_t[]){10, LAYER3});
    mskp_output(g, mskp_linear(g, "fc", v, fc, (mskp_param){0}));
    return g;
}

/* In a trainer: evaluate with the removed units zeroed. Here: what is left of the gamma. */
static double accuracy(void *context, mskp_mask keep, size_t family, double fraction)
{
    const double *points = context; /* how many a layer is worth */
    double lost = 0;
    (void)fraction;
    for (size_t u = 0; u < keep.n; u++)
        if (!keep.unit[u]) lost += points[family] * gamma_of[u] * gamma_of[u];
    return 90 - lost;
}

/* Joules, let us say: each channel of a convolution costs as much as it has neighbours. */
static double energy(void *context, const mskp_graph *graph, const size_t *channels)
{
    const mskp_value *made = context;
    double sum = 0;
    (void)graph;
    for (int k = 1; k < CONVS; k++)
        sum += 1e-3 * (double)(channels[made[k].id - 1] * channels[made[k - 1].id - 1]);
    return sum;
}

/* How many units of a family stay. */
static size_t left_of(const mskp_graph *g, mskp_mask keep, size_t family)
{
    size_t n, left = 0;
    const uint32_t *unit = mskp_family_units(g, family, &n);
    for (size_t i = 0; i < n; i++) left += keep.unit[unit[i]] != 0;
    return left;
}

static int is_wrong(const char *what, int good)
{
    return good ? 0 : (fprintf(stderr, "budgets: %s\n", what), 1);
}

int main(void)
{
    const char *const stem = "stem", *const layer3 = "layer3.*";
    const size_t out_widths[] = {8, 16, 24, 32}, in_widths[] = {8, 16};
    const double milliseconds[] = {1.0, 1.4, 1.1, 1.7, 1.9, 2.8, 2.0, 3.0}; /* [out][in] */
    const double fractions[] = {.125, .25, .5, .75}, points[FAMILIES] = {4, 1, .5, .1};
    double score[UNITS], table[FAMILIES * 4], before, after;
    uint8_t flag[5][UNITS];
    uint32_t streak[UNITS] = {0};
    mskp_family_rule families[FAMILIES] = {{0}};
    const mskp_scores scores = {UNITS, score};
    const mskp_mask keep = {UNITS, flag[0]}, which = {UNITS, flag[1]};
    mskp_value made[CONVS];
    mskp_error err = {0};
    int wrong = 0;
    mskp_graph *g = describe(made);
    for (size_t u = 0; u < UNITS; u++) score[u] = gamma_of[u] = .1 + fabs(sin((double)(u * u)));

    /* Names. The fields that are set here replace those of the rule, for these layers alone. */
    const mskp_family_rule alone = {.locked = 1};
    const mskp_family_rule quarter = {.remove_fraction = .25, .round_to = 8};
    mskp_rule rule = {.families = families, .nfamilies = FAMILIES};
    if (mskp_graph_finish(g, &err) || mskp_mask_match(g, 1, &stem, 0, which, &err) ||
        mskp_family_rules_set(g, which, &alone, FAMILIES, families, &err) ||
        mskp_mask_match(g, 1, &layer3, 0, which, &err) ||
        mskp_family_rules_set(g, which, &quarter, FAMILIES, families, &err) ||
        mskp_select(g, scores, &rule, keep, NULL, &err))
        goto failed;
    printf("names: %zu of %d units of layer3 stay\n", left_of(g, keep, 3), LAYER3);
    wrong |= is_wrong("layer3 alone should lose 8 units",
                      left_of(g, keep, 3) == 24 && left_of(g, keep, 2) == LAYER2);

    /* Budgets. What they are about is asked first, because limits are absolute. */
    const mskp_layer_cost layer2 = {made[2], made[1], 4, 2, out_widths, in_widths, milliseconds};
    mskp_budget budgets[] = {
        {.kind = MSKP_BUDGET_BYTES, .element_size = 1, .name = "flash"},
        {.kind = MSKP_BUDGET_ACTIVATIONS, .element_size = 1, .name = "peak memory"},
        {.kind = MSKP_BUDGET_TABLE, .nlayers = 1, .layers = &layer2, .name = "milliseconds"},
        {.kind = MSKP_BUDGET_CALLBACK, .cost = energy, .context = made, .name = "joules"}};
    const double share[] = {.6, .8, .7, .5};
    for (int i = 0; i < 4; i++) {
        if (mskp_budget_measure(g, (mskp_mask){0}, &budgets[i], &before, &err)) goto failed;
        budgets[i].limit = share[i] * before;
    }
    rule.nbudgets = 4, rule.budgets = budgets;
    families[0].locked = 0; /* the peak is at the stem */
    if (mskp_select(g, scores, &rule, keep, NULL, &err)) goto failed;
    for (int i = 0; i < 4; i++) {
        if (mskp_budget_measure(g, keep, &budgets[i], &after, &err)) goto failed;
        printf("%-12s %g of at most %g\n", budgets[i].name, after, budgets[i].limit);
        wrong |= is_wrong("a budget does not hold", after <= budgets[i].limit);
    }
    /* Bytes alone, by scores as they are, and by scores per byte that a unit saves. */
    const mskp_rule bytes = {.nbudgets = 1, .budgets = budgets};
    double lost[2] = {0};
    for (int i = 0; i < 2; i++) {
        if ((i && mskp_score_per_budget(g, &budgets[0], 1, scores, &err)) ||
            mskp_select(g, scores, &bytes, keep, NULL, &err))
            goto failed;
        for (size_t u = 0; u < UNITS; u++) lost[i] += keep.unit[u] ? 0 : gamma_of[u];
    }
    printf("for as many bytes, gammas of %g leave, or of %g by scores per byte\n", lost[0],
           lost[1]);
    wrong |= is_wrong("scores per byte lose less", lost[1] < lost[0]);
    for (size_t u = 0; u < UNITS; u++) score[u] = gamma_of[u];
    families[0].locked = 1;
    if (mskp_select(g, scores, &rule, keep, NULL, &err) != MSKP_ERROR_NO_SOLUTION)
        wrong |= is_wrong("with all of the stem, the memory cannot be enough", 0);
    printf("with all of the stem: %s\n", err.text);
    err.status = MSKP_OK;

    /* Sensitivity: at most one point for each layer alone, then 60 % of all MACs. */
    const mskp_sensitivity_desc scan = {4, fractions, accuracy, (void *)points, NULL};
    mskp_cost all, left;
    memset(families, 0, sizeof families);
    if (mskp_sensitivity(g, scores, &scan, FAMILIES * 4, table, &err) ||
        mskp_sensitivity_caps(g, &scan, table, 90 - 1, FAMILIES, families, &err) ||
        mskp_measure(g, (mskp_mask){0}, &all, NULL, &err))
        goto failed;
    for (int f = 0; f < FAMILIES; f++)
        printf("%s: at most %g%s\n", conv_name[f], families[f].max_fraction,
               families[f].locked ? ", locked" : "");
    rule = (mskp_rule){.max_macs = .6 * all.macs, .families = families, .nfamilies = FAMILIES};
    if (mskp_select(g, scores, &rule, keep, NULL, &err) || mskp_measure(g, keep, &left, NULL, &err))
        goto failed;
    wrong |= is_wrong("40 % of the MACs should go", left.macs <= .6 * all.macs);

    /* Rounds. The scores of a network in training move; a unit is not to flicker. */
    memset(flag[0], 1, UNITS);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        rule = (mskp_rule){.remove_fraction =
                               mskp_schedule_at(MSKP_SCHEDULE_CUBIC, 0, .5, round, ROUNDS)};
        for (size_t u = 0; u < UNITS; u++)
            score[u] = gamma_of[u] + .02 * sin((double)(u + 7 * round));
        mskp_selection did;
        if (mskp_select(g, scores, &rule, which, &did, &err) ||
            mskp_mask_hysteresis(g, which, 2, UNITS, streak, keep, &err))
            goto failed;
        size_t stay = 0;
        for (size_t u = 0; u < UNITS; u++) stay += keep.unit[u];
        printf("round %d: %zu are proposed to go, %zu stay\n", (int)round, did.removed, stay);
        wrong |= is_wrong("round 1 changes nothing yet", round > 1 || stay == UNITS);
    }

    /* A vote of three criteria: the last scores, those of before, and a random one. */
    mskp_mask three[3];
    for (size_t i = 0; i < 3; i++) {
        three[i] = (mskp_mask){UNITS, flag[2 + i]};
        for (size_t u = 0; i && u < UNITS; u++)
            score[u] = i == 1 ? gamma_of[u] : fabs(sin((double)(31 * u)));
        if (mskp_select(g, scores, &rule, three[i], NULL, &err)) goto failed;
    }
    if (mskp_mask_vote(g, 3, three, 2, keep, &err)) goto failed;
    for (size_t u = 0; u < UNITS; u++)
        wrong |= keep.unit[u] != (flag[2][u] + flag[3][u] + flag[4][u] >= 2);
    wrong |= is_wrong("two of three decide", !wrong);
failed:
    if (err.status) fprintf(stderr, "budgets: %s\n", err.text);
    mskp_graph_destroy(g);
    return wrong || err.status;
}

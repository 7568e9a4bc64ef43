/* Calls with any arguments: patterns, rules of families, budgets, masks of masks, scans. */
#include "caller.h"

#include "by_id/by_id.h"
#include <math.h>
#include <string.h>

/* ---- Rules of families, and budgets ---- */

static double any_share(user *u)
{
    if (rng_chance(u->r, 0.02)) return rng_chance(u->r, 0.5) ? 2 : (double)NAN;
    return rng_chance(u->r, 0.5) ? 0 : (double)rng_below(u->r, 9) / 8;
}

static mskp_family_rule any_family_rule(user *u)
{
    mskp_family_rule f = {.remove_fraction = any_share(u), .max_fraction = any_share(u)};
    f.min_channels = rng_chance(u->r, 0.2) ? wrong_or(u, 2) : 0;
    f.round_to = rng_chance(u->r, 0.2) ? wrong_or(u, 3) : 0;
    f.locked = rng_chance(u->r, 0.1);
    return f;
}

static double sum_of_channels(void *context, const mskp_graph *graph, const size_t *channels)
{
    const size_t n = mskp_graph_counts(graph).values;
    double sum = 0;
    (void)context;
    for (size_t v = 0; v < n; v++) sum += (double)channels[v];
    return n == 13 ? (double)NAN : sum;
}

static mskp_layer_cost any_layer(user *u)
{
    mskp_layer_cost l = {.out = {(uint32_t)wrong_or(u, rng_below(u->r, u->n.values + 1))}};
    if (rng_chance(u->r, 0.5)) l.in.id = (uint32_t)wrong_or(u, rng_below(u->r, u->n.values + 1));
    l.nout = rng_from(u->r, 1, 3);
    if (l.in.id) l.nin = rng_from(u->r, 1, 3);
    size_t *widths[2], count[2] = {l.nout, l.nin};
    for (int i = 0; i < 2; i++) {
        size_t channels = 1;
        (void)mskp_value_shape(u->g, i ? l.in : l.out, &channels, NULL);
        widths[i] = arena_get(&u->mem, 3, sizeof **widths);
        for (size_t k = 0; k < count[i]; k++)
            widths[i][k] = wrong_or(u, k + 1 < count[i] ? k + 1 : channels + k);
    }
    double *cost = arena_get(&u->mem, 9, sizeof *cost);
    for (size_t k = 0; k < 9; k++) cost[k] = (double)rng_below(u->r, 8);
    if (rng_chance(u->r, 0.02)) cost[0] = (double)INFINITY;
    l.widths_out = widths[0];
    l.widths_in = l.in.id ? widths[1] : NULL;
    l.cost = cost;
    return l;
}

static mskp_budget any_budget(user *u)
{
    mskp_budget b = {.kind = (mskp_budget_kind)rng_below(u->r, rng_chance(u->r, 0.03) ? 9 : 4)};
    double amount = 0;
    b.element_size = rng_below(u->r, 4);
    if (rng_chance(u->r, 0.1)) b.element_size = wrong_or(u, 8);
    if (rng_chance(u->r, 0.2)) {
        const size_t n = u->n.params > u->n.values ? u->n.params : u->n.values;
        size_t *sizes = arena_get(&u->mem, n, sizeof *sizes);
        for (size_t i = 0; i < n; i++) sizes[i] = wrong_or(u, rng_below(u->r, 5));
        b.element_sizes = sizes;
    }
    if (b.kind == MSKP_BUDGET_TABLE) {
        b.nlayers = rng_below(u->r, 3);
        mskp_layer_cost *layers = arena_get(&u->mem, b.nlayers, sizeof *layers);
        for (size_t i = 0; i < b.nlayers; i++) layers[i] = any_layer(u);
        b.layers = layers;
    }
    if (rng_chance(u->r, 0.98)) b.cost = sum_of_channels;
    if (rng_chance(u->r, 0.5)) b.name = "a budget";
    limited_heap_fail(u->heap, 0);
    if (mskp_budget_measure(u->g, (mskp_mask){0}, &b, &amount, NULL)) amount = 1;
    b.limit = rng_chance(u->r, 0.03) ? -1 : amount * rng_real(u->r, 0.3, 1.1);
    return b;
}

/* Where something is measured, all budgets hold. */
static void require_budgets(user *u, const mskp_rule *rule, const uint8_t *keep)
{
    for (size_t i = 0; i < rule->nbudgets; i++) {
        double amount = -1;
        const mskp_status status =
            mskp_budget_measure(u->g, mask_of(u->n.units, keep), &rule->budgets[i], &amount, NULL);
        if (status == MSKP_ERROR_NO_MEMORY) continue; /* the heap is small */
        REQUIRE(!status && amount <= rule->budgets[i].limit, "budget %zu: %g of %g", i, amount,
                rule->budgets[i].limit);
    }
}

void widen_rule(user *u, mskp_rule *rule)
{
    mskp_budget *budgets = arena_get(&u->mem, 3, sizeof *budgets);
    if (rng_chance(u->r, 0.5)) {
        mskp_family_rule *f = arena_get(&u->mem, u->n.families, sizeof *f);
        for (size_t i = 0; i < u->n.families; i++) f[i] = any_family_rule(u);
        rule->families = f;
        rule->nfamilies = wrong_or(u, u->n.families);
    }
    rule->nbudgets = rng_below(u->r, 4);
    for (size_t i = 0; i < rule->nbudgets; i++) budgets[i] = any_budget(u);
    rule->budgets = budgets;
}

static void call_select_by_rules(user *u)
{
    mskp_rule rule = any_rule(u, random_keep(u));
    const double *scores = any_scores(u);
    uint8_t *keep = arena_get(&u->mem, u->n.units, 1);
    mskp_error err = {0};
    widen_rule(u, &rule);
    memset(keep, 0xEE, u->n.units);
    const size_t live = u->heap->live;
    endanger(u);
    const mskp_status status = mskp_select(u->g, scores_of(u->n.units, scores), &rule,
                                           mask_of(u->n.units, keep), NULL, &err);
    if (status) {
        require_refusal(u, status, &err, live);
        for (size_t i = 0; i < u->n.units; i++)
            REQUIRE(keep[i] == 0xEE, "keep[%zu] was touched", i);
        return;
    }
    REQUIRE(u->heap->live == live, "selection keeps memory");
    limited_heap_fail(u->heap, 0);
    REQUIRE(rule.empty_branches || !empties(u, keep), "an empty list");
    require_budgets(u, &rule, keep);
    for (size_t i = 0; i < u->n.units; i++)
        REQUIRE(keep[i] || !rule.families ||
                    !rule.families[mskp_unit_families(u->g, NULL)[i]].locked,
                "unit %zu left a locked family", i);
}

/* ---- Names ---- */

static void call_match(user *u)
{
    char text[2][10];
    const char *patterns[2] = {text[0], text[1]};
    const size_t n = rng_below(u->r, 3);
    uint8_t *flags = arena_get(&u->mem, u->n.units, 1);
    mskp_family_rule *f = arena_get(&u->mem, u->n.families, sizeof *f);
    const mskp_family_rule rule = any_family_rule(u);
    mskp_error err = {0};
    for (size_t i = 0; i < n; i++) {
        const size_t length = rng_below(u->r, 9);
        for (size_t k = 0; k < length; k++) text[i][k] = "*?[]!^-\\#1a\x80"[rng_below(u->r, 12)];
        text[i][length] = 0;
        if (rng_chance(u->r, 0.3)) text[i][0] = '*', text[i][1] = 0;
    }
    memset(flags, 0xEE, u->n.units);
    const size_t asked = u->heap->asked;
    const mskp_status status = mskp_mask_match(u->g, n, patterns, (uint32_t)rng_below(u->r, 18),
                                               mask_of(wrong_or(u, u->n.units), flags), &err);
    if (status) require_sentence(status, &err);
    for (size_t i = 0; i < u->n.units; i++)
        REQUIRE(status ? flags[i] == 0xEE : flags[i] <= 1, "flag %zu: %d", i, flags[i]);
    const mskp_status copied = mskp_family_rules_set(u->g, mask_of(u->n.units, flags), &rule,
                                                     wrong_or(u, u->n.families), f, &err);
    if (copied) require_sentence(copied, &err);
    for (size_t i = 0; i < u->n.families; i++)
        REQUIRE(!copied || (!f[i].locked && !f[i].round_to), "family %zu was touched", i);
    REQUIRE(u->heap->asked == asked, "matching allocates");
}

static void call_score_per_budget(user *u)
{
    const mskp_budget b = any_budget(u);
    double *scores = any_scores(u);
    const double *before = arena_copy(&u->mem, scores, u->n.units, sizeof *scores);
    const size_t live = u->heap->live;
    mskp_error err = {0};
    endanger(u);
    const mskp_status status = mskp_score_per_budget(
        u->g, &b, rng_below(u->r, 4), scores_of(wrong_or(u, u->n.units), scores), &err);
    if (status) require_refusal(u, status, &err, live);
    limited_heap_fail(u->heap, 0);
    for (size_t i = 0; i < u->n.units; i++)
        REQUIRE(status ? isnan(before[i]) || scores[i] == before[i] : scores[i] >= 0,
                "score %zu: %g", i, scores[i]);
}

/* ---- Masks of masks ---- */

static void call_masks(user *u)
{
    mskp_mask masks[4];
    uint32_t *streak = arena_get(&u->mem, u->n.units, sizeof *streak);
    uint8_t *keep = random_keep(u);
    mskp_error err = {0};
    const size_t n = rng_from(u->r, 1, 4), votes = rng_below(u->r, 6), asked = u->heap->asked;
    for (size_t i = 0; i < n; i++) masks[i] = mask_of(wrong_or(u, u->n.units), random_keep(u));
    mskp_status status =
        mskp_mask_vote(u->g, n, masks, wrong_or(u, votes), mask_of(u->n.units, keep), &err);
    if (status) require_sentence(status, &err);
    for (size_t i = 0; !status && i < u->n.units; i++)
        REQUIRE(keep[i] <= 1, "keep %zu: %d", i, keep[i]);
    for (size_t i = 0; i < u->n.units; i++) streak[i] = (uint32_t)wrong_or(u, 1);
    status = mskp_mask_hysteresis(u->g, masks[0], (uint32_t)wrong_or(u, votes),
                                  wrong_or(u, u->n.units), streak, mask_of(u->n.units, keep), &err);
    if (status) require_sentence(status, &err);
    for (size_t i = 0; !status && i < u->n.units; i++)
        REQUIRE(keep[i] <= 1, "keep %zu: %d", i, keep[i]);
    REQUIRE(u->heap->asked == asked, "masks of masks allocate");
}

/* ---- Scans ---- */

static double kept_flags(void *context, mskp_mask keep, size_t family, double fraction)
{
    size_t *left = context;
    double sum = 0;
    for (size_t i = 0; i < keep.n; i++) sum += keep.unit[i];
    (void)family, (void)fraction;
    return --*left ? sum : (double)NAN;
}

static void call_scan(user *u)
{
    double fractions[4];
    size_t left = rng_chance(u->r, 0.3) ? rng_from(u->r, 1, 9) : SIZE_MAX;
    const mskp_rule limits = any_rule(u, random_keep(u));
    mskp_sensitivity_desc desc = {rng_below(u->r, 5), fractions, kept_flags, &left,
                                  rng_chance(u->r, 0.5) ? &limits : NULL};
    const double *scores = any_scores(u);
    mskp_family_rule *f = arena_get(&u->mem, u->n.families, sizeof *f);
    double *table = arena_get(&u->mem, u->n.families * 4, sizeof *table);
    mskp_error err = {0};
    for (size_t i = 0; i < 4; i++) fractions[i] = ((double)i + any_share(u)) / 5;
    for (size_t i = 0; i < u->n.families * 4; i++) table[i] = -77;
    const size_t n = wrong_or(u, u->n.families * desc.nfractions), live = u->heap->live;
    endanger(u);
    mskp_status status =
        mskp_sensitivity(u->g, scores_of(u->n.units, scores), &desc, n, table, &err);
    if (status) require_refusal(u, status, &err, live);
    REQUIRE(u->heap->live == live, "a scan keeps memory");
    limited_heap_fail(u->heap, 0);
    for (size_t i = 0; i < u->n.families * desc.nfractions; i++)
        REQUIRE(status ? table[i] == -77 : table[i] >= 0, "number %zu: %g", i, table[i]);
    status = mskp_sensitivity_caps(u->g, &desc, table, (double)rng_below(u->r, 20),
                                   wrong_or(u, u->n.families), f, &err);
    if (status) require_sentence(status, &err);
    for (size_t i = 0; i < u->n.families; i++)
        REQUIRE(status ? !f[i].locked && f[i].max_fraction == 0
                       : f[i].locked == !(f[i].max_fraction > 0),
                "family %zu", i);
}

void call_rules(user *u)
{
    static void (*const all[])(user *) = {call_select_by_rules, call_match, call_masks, call_scan,
                                          call_score_per_budget};
    for (size_t n = rng_from(u->r, 1, 3); n > 0; n--)
        all[rng_below(u->r, sizeof all / sizeof *all)](u);
}

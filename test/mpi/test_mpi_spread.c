/* Selections among scores that are spread over ranks against mskp_select in one process. */
#include "ranks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "spread.h"

/* A number from 0 to 1 that rises and falls from block to block. */
static double hash_channels(void *context, const mskp_graph *graph, const size_t *channels)
{
    uint64_t hash = 1;
    (void)context;
    for (size_t v = 0; v < mskp_graph_counts(graph).values; v++)
        hash = (hash ^ channels[v]) * UINT64_C(0x9e3779b97f4a7c15), hash ^= hash >> 29;
    return (double)(hash >> 11) * 0x1p-53;
}

enum { MOST_BUDGETS = 2 };

typedef struct drawn_rule {
    mskp_rule rule;
    mskp_budget budgets[MOST_BUDGETS];
} drawn_rule;

static void draw_families(trial *t, mskp_rule *rule)
{
    const size_t n = mskp_graph_counts(t->graph).families;
    mskp_family_rule *f = arena_get(&t->mem, n, sizeof *f);
    for (size_t i = 0; i < n; i++) {
        if (rng_chance(&t->r, 0.3)) f[i].remove_fraction = rng_real(&t->r, 0, 1);
        if (rng_chance(&t->r, 0.3)) f[i].max_fraction = rng_real(&t->r, 0, 1);
        if (rng_chance(&t->r, 0.3)) f[i].min_channels = rng_below(&t->r, 6);
        if (rng_chance(&t->r, 0.3)) f[i].round_to = rng_below(&t->r, 5);
        f[i].locked = rng_chance(&t->r, 0.1);
    }
    rule->families = f;
    rule->nfamilies = n;
}

static void draw_budgets(trial *t, drawn_rule *d)
{
    const size_t n = rng_from(&t->r, 1, MOST_BUDGETS);
    for (size_t i = 0; i < n; i++) {
        mskp_budget *b = &d->budgets[i];
        double full = 0;
        *b = (mskp_budget){.kind = rng_chance(&t->r, 0.3)   ? MSKP_BUDGET_CALLBACK
                                   : rng_chance(&t->r, 0.5) ? MSKP_BUDGET_BYTES
                                                            : MSKP_BUDGET_ACTIVATIONS,
                           .cost = hash_channels};
        REQUIRE_OK(mskp_budget_measure(t->graph, (mskp_mask){0, NULL}, b, &full, NULL));
        b->limit = (b->kind == MSKP_BUDGET_CALLBACK ? 0.1 : full * rng_real(&t->r, 0.3, 1)) + 1e-3;
    }
    d->rule.budgets = d->budgets;
    d->rule.nbudgets = n;
}

static void draw_rule(trial *t, drawn_rule *d)
{
    rng *r = &t->r;
    mskp_cost full = {0, 0};
    *d = (drawn_rule){.rule.remove_fraction = rng_chance(r, 0.6) ? rng_real(r, 0, 0.8) : 0};
    mskp_rule *rule = &d->rule;
    REQUIRE_OK(mskp_measure(t->graph, (mskp_mask){0, NULL}, &full, NULL, NULL));
    if (rng_chance(r, 0.3)) rule->use_threshold = 1, rule->threshold = rng_real(r, -0.1, 1);
    if (rng_chance(r, 0.2)) rule->remove_family_fraction = rng_real(r, 0, 1);
    if (rng_chance(r, 0.3)) rule->max_macs = full.macs * rng_real(r, 0.2, 1) + 1;
    if (rng_chance(r, 0.2)) rule->max_params = full.params * rng_real(r, 0.2, 1) + 1;
    if (rng_chance(r, 0.5))
        rule->min_channels = rng_from(r, 1, rng_chance(r, 0.5) ? 12 : t->units / 3 + 1);
    if (rng_chance(r, 0.3)) rule->round_to = rng_from(r, 1, rng_chance(r, 0.5) ? 5 : 40);
    if (rng_chance(r, 0.2)) rule->max_family_fraction = rng_real(r, 0, 1);
    if (rng_chance(r, 0.3)) rule->empty_branches = 1;
    if (rng_chance(r, 0.2)) draw_families(t, rule);
    if (rng_chance(r, 0.2)) draw_budgets(t, d);
    if (rng_chance(r, 0.2)) {
        uint8_t *locked = arena_get(&t->mem, t->units, 1);
        for (size_t u = 0; u < t->units; u++) locked[u] = rng_chance(r, 0.2);
        rule->locked = mask_of(t->units, locked);
    }
}

/* One of several kinds of numbers: many ties, none, all close together, of all magnitudes, families
 * that are small together. */
static double draw_score(rng *r, int kind, uint32_t family)
{
    if (rng_chance(r, 0.02)) return (double)INFINITY;
    if (rng_chance(r, 0.02)) return rng_chance(r, 0.5) ? 0.0 : -0.0;
    if (kind == 0) return (double)rng_below(r, 3) / 3;
    if (kind == 1) return rng_real(r, 0, 1);
    if (kind == 2) return 1 + ldexp((double)rng_below(r, 200), -50);
    if (kind == 3) return ldexp(rng_real(r, -1, 1), -(int)rng_below(r, 1000));
    if (kind == 4) return (family * 7 % 5) * 0.25 + rng_real(r, 0, 0.3);
    return 0.5;
}

typedef struct seen {
    size_t removed, split, tied, unsolved, refused, missing;
} seen;

/* Gives each unit to some ranks; others than the lowest have something else. */
static bool spread_out(trial *t, const double *one, double *scores, uint8_t *here)
{
    const bool several = rng_chance(&t->r, 0.3), lost = rng_chance(&t->r, 0.02);
    bool whole = true;
    for (size_t u = 0; u < t->units; u++) {
        const uint64_t everyone = (UINT64_C(1) << all_ranks.ranks) - 1;
        uint64_t ranks = UINT64_C(1) << rng_below(&t->r, (size_t)all_ranks.ranks);
        if (several) ranks |= rng_below(&t->r, (size_t)everyone + 1);
        if (lost && rng_chance(&t->r, 0.1)) ranks = 0;
        here[u] = ranks >> all_ranks.rank & 1;
        const bool lowest = here[u] && !(ranks & ((UINT64_C(1) << all_ranks.rank) - 1));
        scores[u] = lowest ? one[u] : here[u] ? 99 : (double)NAN;
        whole &= ranks != 0;
    }
    return whole;
}

static void count_tied(const trial *t, const mskp_rule *rule, seen *s)
{
    const size_t families = mskp_graph_counts(t->graph).families;
    bool tied[1000] = {false};
    if (families > 1000) return;
    REQUIRE_OK(mskpmpi_find_tied(&all_ranks, t->graph, rule, tied, NULL));
    for (size_t f = 0; f < families; f++) s->tied += tied[f];
}

static void compare(trial *t, seen *s)
{
    const int kind = (int)rng_below(&t->r, 6);
    const uint32_t *family = mskp_unit_families(t->graph, NULL);
    double *one = arena_get(&t->mem, t->units, sizeof *one);
    double *scores = arena_get(&t->mem, t->units, sizeof *scores);
    uint8_t *here = arena_get(&t->mem, t->units, 1);
    uint8_t *keep = arena_get(&t->mem, t->units, 1), *kept = arena_get(&t->mem, t->units, 1);
    mskp_selection a = {0}, b = {0};
    mskp_error err = {0}, error = {0};
    drawn_rule d;
    for (size_t u = 0; u < t->units; u++)
        one[u] = draw_score(&t->r, kind, family[u]), keep[u] = kept[u] = 7;
    draw_rule(t, &d);
    const bool whole = spread_out(t, one, scores, here);
    const mskp_status expected = mskp_select(t->graph, scores_of(t->units, one), &d.rule,
                                             mask_of(t->units, keep), &a, &error);
    const mskp_mpi_spread spread = {scores_of(t->units, scores), mask_of(t->units, here)};
    const mskp_status status = mskp_mpi_select_spread(&all_ranks, t->graph, spread, &d.rule,
                                                      mask_of(t->units, kept), &b, &err);
    require_same_answer(status, &err);
    if (!whole && t->units) {
        REQUIRE(status == MSKP_ERROR_NO_DATA, "%d, a unit is nowhere", status);
        s->missing++;
        return;
    }
    REQUIRE(status == expected, "%d, not %d: %s, %s", status, expected, err.text, error.text);
    REQUIRE(!status || strstr(err.text, error.text), "\"%s\", not \"%s\"", err.text, error.text);
    REQUIRE(!memcmp(keep, kept, t->units), "masks differ, kind %d", kind);
    REQUIRE(a.removed == b.removed && a.cost.macs == b.cost.macs &&
                a.cost.params == b.cost.params && a.unrounded == b.unrounded &&
                a.unrounded_param.id == b.unrounded_param.id &&
                a.unrounded_axis == b.unrounded_axis,
            "selections differ");
    s->unsolved += status == MSKP_ERROR_NO_SOLUTION;
    s->refused += status && status != MSKP_ERROR_NO_SOLUTION;
    if (status) return;
    s->removed += a.removed;
    s->split += t->units > 16 * mskp_graph_counts(t->graph).families;
    count_tied(t, &d.rule, s);
}

/* Channels of which random ranges are values of their own: few families, many units of each, and
 * which family a limit closes depends on the order of all. */
static mskp_graph *describe_ranges(rng *r, size_t n)
{
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value all = mskp_fresh(g, NULL, n, 0, NULL);
    const size_t ranges = rng_from(r, 2, 4);
    for (size_t i = 0; i < ranges; i++) {
        char name[40];
        size_t index[1000];
        const size_t first = rng_below(r, n / 2), count = rng_from(r, n / 4, n - first);
        for (size_t k = 0; k < count; k++) index[k] = first + k;
        (void)snprintf(name, sizeof name, "w%zu", i);
        mskp_bind(g, mskp_parameter(g, name, 2, (size_t[]){count, 3}), 0, MSKP_ROLE_FILTER,
                  mskp_pick(g, NULL, all, count, index));
    }
    REQUIRE_OK(mskp_graph_finish(g, NULL));
    return g;
}

static void test_ranges(seen *s, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        trial t = {.r = rng_make(trial_seed = test_seed() * 1000000 + k)};
        t.graph = describe_ranges(&t.r, rng_from(&t.r, 16, 1000));
        t.units = mskp_graph_counts(t.graph).units;
        for (int j = 0; j < 3; j++) compare(&t, s);
        mskp_graph_destroy(t.graph);
        arena_free(&t.mem);
    }
}

void test_spread(void)
{
    seen s = {0};
    const size_t count = test_count(400);
    for (size_t k = 0; k < count; k++) {
        trial t;
        const bool large = k % 3 == 2;
        const net_options options = {.residual = k % 4 == 1,
                                     .max_channels = large ? 260 : 0,
                                     .steps = large ? 2 + k % 6 : 0};
        trial_begin(&t, test_seed() * 1000000 + k, &options, NULL);
        for (int j = 0; j < 3; j++) compare(&t, &s);
        trial_end(&t);
    }
    test_ranges(&s, count);
    if (!all_ranks.rank)
        printf("  %zu units removed, %zu tied families, %zu with split buckets, %zu unsolved, %zu "
               "refused, %zu incomplete\n",
               s.removed, s.tied, s.split, s.unsolved, s.refused, s.missing);
    REQUIRE(count < 100 || (s.removed > 10 * count && s.tied > count / 20 && s.split > count / 4 &&
                            s.unsolved > count / 20 && s.missing),
            "%zu units removed, %zu tied families, %zu splits, %zu unsolved, %zu incomplete only",
            s.removed, s.tied, s.split, s.unsolved, s.missing);
}

/* ---- Families for which it depends on others when a limit closes them ---- */

/* A graph of random lists of channels, some of which are pinned, or are twice in their list. */
static mskp_graph *describe_lists(rng *r)
{
    enum { MOST = 16 };
    const size_t n = rng_from(r, 2, MOST), lists = rng_from(r, 1, 4);
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value all = mskp_fresh(g, NULL, n, 0, NULL);
    for (size_t i = 0; i < lists; i++) {
        char name[40];
        size_t index[2 * MOST], count = 0;
        const size_t first = rng_below(r, n), last = rng_from(r, first + 1, n);
        const bool twice = rng_chance(r, 0.4);
        for (size_t c = first; c < last; c++)
            for (int k = 0; k < (twice ? 2 : 1); k++) index[count++] = c;
        (void)snprintf(name, sizeof name, "w%zu", i);
        mskp_bind(g, mskp_parameter(g, name, 1, &count), 0, MSKP_ROLE_FILTER,
                  mskp_pick(g, NULL, all, count, index));
    }
    if (rng_chance(r, 0.4)) {
        const size_t pinned = rng_below(r, n);
        mskp_pin(g, mskp_pick(g, NULL, all, 1, &pinned));
    }
    REQUIRE_OK(mskp_graph_finish(g, NULL));
    return g;
}

/* removed[f] <- how many units of each family go if as much goes as the limits allow, in a random
 * order. */
static void remove_all(trial *t, const mskp_rule *rule, size_t *removed)
{
    double *scores = arena_get(&t->mem, t->units, sizeof *scores);
    uint8_t *keep = arena_get(&t->mem, t->units, 1);
    const uint32_t *family = mskp_unit_families(t->graph, NULL);
    mskp_rule all = *rule;
    all.use_threshold = 1;
    all.threshold = 2;
    for (size_t u = 0; u < t->units; u++) scores[u] = rng_real(&t->r, 0, 1);
    REQUIRE_OK(mskp_select(t->graph, scores_of(t->units, scores), &all, mask_of(t->units, keep),
                           NULL, NULL));
    memset(removed, 0, mskp_graph_counts(t->graph).families * sizeof *removed);
    for (size_t u = 0; u < t->units; u++) removed[family[u]] += !keep[u];
}

/* A parameter whose axis has all channels of family f, `times` times, and then others. */
static void bind_alone(mskp_graph *g, const char *name, mskp_value all, size_t f, size_t times,
                       size_t first, size_t others)
{
    enum { EACH = 8, MOST = 3 * EACH + 8 };
    size_t index[MOST], n = 0;
    char text[20];
    for (size_t k = 0; k < times; k++)
        for (size_t i = 0; i < EACH; i++) index[n++] = f * EACH + i;
    for (size_t i = 0; i < others; i++) index[n++] = first + i;
    (void)snprintf(text, sizeof text, "%s%zu", name, f);
    mskp_bind(g, mskp_parameter(g, text, 1, &n), 0, MSKP_ROLE_FILTER,
              mskp_pick(g, NULL, all, n, index));
}

/* What is said of a family in a concatenation of two families of 8 channels each, of which each is
 * `times` times in a value that it has alone, with `pinned` further channels there. Of two further
 * values of its own, the one before keeps one of its channels at most, and the one after none,
 * because of the pinned channels there. */
static bool is_tied_by_hand(size_t min_channels, size_t times, size_t pinned)
{
    enum { EACH = 8, FIRST = 2 * EACH, MANY = 8 };
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value all = mskp_fresh(g, NULL, FIRST + MANY, 0, NULL);
    const size_t n = FIRST;
    size_t both[FIRST];
    bool tied[2] = {false, false};
    for (size_t i = 0; i < FIRST; i++) both[i] = i;
    mskp_bind(g, mskp_parameter(g, "both", 1, &n), 0, MSKP_ROLE_FILTER,
              mskp_pick(g, NULL, all, n, both));
    for (size_t f = 0; f < 2; f++) {
        bind_alone(g, "before", all, f, 1, FIRST, min_channels > pinned ? min_channels - 1 : MANY);
        bind_alone(g, "alone", all, f, times, FIRST, pinned);
        bind_alone(g, "after", all, f, 1, FIRST, MANY);
    }
    for (size_t i = 0; i < MANY; i++) {
        const size_t at = FIRST + i;
        mskp_pin(g, mskp_pick(g, NULL, all, 1, &at));
    }
    REQUIRE_OK(mskp_graph_finish(g, NULL));
    REQUIRE(mskp_graph_counts(g).families == 2, "%zu families", mskp_graph_counts(g).families);
    const mskp_rule rule = {.min_channels = min_channels};
    REQUIRE_OK(mskpmpi_find_tied(&all_ranks, g, &rule, tied, NULL));
    REQUIRE(tied[0] == tied[1], "two families that are alike differ");
    mskp_graph_destroy(g);
    return tied[0];
}

/* Each family keeps ceil((min - pinned) / times) by the value that it has alone, and the two tie
 * where that is less than half of min. A family of which another number goes in another order is
 * tied in any case. */
void test_tied(void)
{
    const size_t count = test_count(3000);
    size_t moved = 0, untied = 0;
    for (size_t least = 1; least <= 8; least++)
        for (size_t times = 1; times <= 3; times++)
            for (size_t pinned = 0; pinned <= 3; pinned++) {
                const size_t kept = least > pinned ? (least - pinned + times - 1) / times : 0;
                REQUIRE(is_tied_by_hand(least, times, pinned) == (2 * kept < least),
                        "min_channels %zu, %zu times, %zu pinned: each keeps %zu", least, times,
                        pinned, kept);
            }
    for (size_t k = 0; k < count; k++) {
        enum { ORDERS = 6, MOST = 16 };
        size_t removed[ORDERS][MOST];
        bool tied[MOST] = {false};
        trial t = {.r = rng_make(trial_seed = test_seed() * 1000000 + k)};
        t.graph = describe_lists(&t.r);
        t.units = mskp_graph_counts(t.graph).units;
        const size_t families = mskp_graph_counts(t.graph).families;
        mskp_rule rule = {.min_channels = rng_from(&t.r, 1, 10), .round_to = rng_from(&t.r, 1, 3)};
        REQUIRE(families <= MOST, "%zu families", families);
        REQUIRE_OK(mskpmpi_find_tied(&all_ranks, t.graph, &rule, tied, NULL));
        for (size_t o = 0; o < ORDERS; o++) remove_all(&t, &rule, removed[o]);
        for (size_t f = 0; f < families; f++) {
            bool moves = false;
            for (size_t o = 1; o < ORDERS; o++) moves |= removed[o][f] != removed[0][f];
            REQUIRE(tied[f] || !moves, "family %zu of %zu depends on others, and is not tied", f,
                    families);
            moved += moves;
            untied += !tied[f];
        }
        mskp_graph_destroy(t.graph);
        arena_free(&t.mem);
    }
    REQUIRE(count < 100 || (moved > count / 20 && untied > count / 20),
            "%zu families depend on others, %zu are not tied", moved, untied);
}

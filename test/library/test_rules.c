/*
 * Rules beyond those of mskp.h: layers by name, limits of single families, budgets, and what goes
 * on over several rounds. Against slow models, brute force, and numbers that were worked out by
 * hand. test_select compares whole selections with a slow walk that knows families and budgets.
 */
#include "interpreter/budgets.h"
#include "interpreter/walk.h"

#include "by_id/by_id.h"
#include "mskp/operators.h"
#include "mskp/rules.h"
#include "zoo/zoo.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Patterns ---- */

/* Recursively, element by element. A set is looked at byte by byte. */
static bool slow_match(const char *p, const char *s)
{
    if (!*p) return !*s;
    if (*p == '*') return slow_match(p + 1, s) || (*s && slow_match(p, s + 1));
    if (!*s) return false;
    if (*p == '?') return slow_match(p + 1, s + 1);
    if (*p == '\\' && p[1]) return p[1] == *s && slow_match(p + 2, s + 1);
    if (*p == '[') {
        size_t i = 1, n = 0;
        bool has[256] = {false};
        const bool inverse = p[i] == '!' || p[i] == '^';
        if (inverse) i++;
        for (; p[i] && (p[i] != ']' || n == 0); n++) {
            if (p[i] == '\\' && p[i + 1]) i++;
            int low = (unsigned char)p[i], high = low;
            i++;
            if (p[i] == '-' && p[i + 1] && p[i + 1] != ']') {
                i++;
                if (p[i] == '\\' && p[i + 1]) i++;
                high = (unsigned char)p[i++];
            }
            for (int c = low; c <= high; c++) has[c] = true;
        }
        if (p[i] == ']') return has[(unsigned char)*s] != inverse && slow_match(p + i + 1, s + 1);
    }
    return *p == *s && slow_match(p + 1, s + 1);
}

static void random_text(rng *r, const char *letters, size_t most, char *text)
{
    const size_t n = rng_from(r, 1, most);
    for (size_t i = 0; i < n; i++) text[i] = letters[rng_below(r, strlen(letters))];
    text[n] = 0;
}

START_TEST(patterns_mean_what_the_header_says)
{
    enum { NAMES = 60 };
    char names[NAMES][12] = {{0}};
    uint8_t flags[NAMES];
    size_t fit = 0, refused = 0;
    rng r = rng_make(test_seed());
    mskp_graph *g = mskp_graph_create(NULL);
    for (size_t i = 0; i < NAMES; i++) {
        do random_text(&r, "abc.-!]", 7, names[i]);
        while (mskp_value_find(g, names[i]).id);
        (void)mskp_fresh(g, names[i], 1, 0, NULL);
    }
    REQUIRE_OK(mskp_graph_finish(g, NULL));
    const mskp_mask mask = mask_of(NAMES, flags);
    for (size_t k = 0; k < test_count(30000); k++) {
        char pattern[12];
        const char *one = pattern;
        bool any = false;
        random_text(&r, "ab.**??[]!^-\\", 9, pattern);
        memset(flags, 7, sizeof flags);
        mskp_error err = {0};
        const mskp_status status = mskp_mask_match(g, 1, &one, 0, mask, &err);
        for (size_t i = 0; i < NAMES; i++) any |= slow_match(pattern, names[i]);
        ck_assert_msg(status == (any ? MSKP_OK : MSKP_ERROR_BAD_NAME), "%s: %s", pattern, err.text);
        for (size_t i = 0; i < NAMES; i++) {
            const int due = any ? slow_match(pattern, names[i]) : 7;
            ck_assert_msg(flags[i] == due, "%s, %s: %d", pattern, names[i], flags[i]);
            fit += flags[i] == 1;
        }
        refused += !any;
    }
    ck_assert_uint_gt(fit, test_count(3000));
    ck_assert_uint_gt(refused, test_count(3000));
    mskp_graph_destroy(g);
}
END_TEST

START_TEST(patterns_by_hand)
{
    static const struct {
        const char *pattern, *name;
        bool fits;
    } cases[] = {
        {"a?c", "abc", true},     {"a?c", "ac", false},    {"a*c", "ac", true},
        {"\\*", "*", true},       {"\\*", "b", false},     {"\\?", "?", true},
        {"a\\", "a\\", true},     {"[b-d]", "b", true},    {"[b-d]", "d", true},
        {"[b-d]", "a", false},    {"[b-d]", "e", false},   {"[!b-d]", "a", true},
        {"[^b-d]", "c", false},   {"[]a]", "]", true},     {"[!]a]", "b", true},
        {"[!]a]", "]", false},    {"[a-]", "-", true},     {"[a-]", "b", false},
        {"[\\]]", "]", true},     {"[\\]]", "\\", false},  {"[\\!a]", "!", true},
        {"[+-\\-]", ",", true},   {"[+-\\-]", ".", false}, {"[b", "[b", true},
        {"[b", "b", false},       {"[b-", "[b-", true},    {"[\\", "[\\", true},
        {"[b-\\", "[b-\\", true}, {"[b-\\", "c", false},   {"[!", "[!", true},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        uint8_t flag = 7;
        mskp_graph *g = mskp_graph_create(NULL);
        (void)mskp_fresh(g, cases[k].name, 1, 0, NULL);
        REQUIRE_OK(mskp_graph_finish(g, NULL));
        const mskp_status status =
            mskp_mask_match(g, 1, &cases[k].pattern, 0, mask_of(1, &flag), NULL);
        ck_assert_msg(status == (cases[k].fits ? MSKP_OK : MSKP_ERROR_BAD_NAME) &&
                          flag == (cases[k].fits ? 1 : 7),
                      "%s, %s: %d", cases[k].pattern, cases[k].name, (int)status);
        mskp_graph_destroy(g);
    }
}
END_TEST

/* A matcher that tries every place of every star would never end here. */
START_TEST(many_stars_take_no_time)
{
    enum { LONG = 20000 };
    char *name = malloc(LONG + 1);
    uint8_t flag = 0;
    mskp_error err;
    memset(name, 'a', LONG);
    name[LONG] = 0;
    mskp_graph *g = mskp_graph_create(NULL);
    (void)mskp_fresh(g, name, 1, 0, NULL);
    REQUIRE_OK(mskp_graph_finish(g, NULL));
    const char *const none = "*a*a*a*a*a*a*a*a*a*a*a*a*b", *const some = "*a*a*a*a*a*a*a*a*a*a*a";
    ck_assert_int_eq(mskp_mask_match(g, 1, &none, 0, mask_of(1, &flag), &err), MSKP_ERROR_BAD_NAME);
    ck_assert_ptr_nonnull(strstr(err.text, none));
    REQUIRE_OK(mskp_mask_match(g, 1, &some, 0, mask_of(1, &flag), &err));
    ck_assert_uint_eq(flag, 1);
    mskp_graph_destroy(g);
    free(name);
}
END_TEST

/* The units of values and parameters with this name, by the public lists. */
static bool mark_named(const trial *t, const char *name, uint32_t roles, uint8_t *due)
{
    const mskp_counts n = mskp_graph_counts(t->graph);
    bool any = false;
    size_t count;
    for (uint32_t v = 1; v <= n.values; v++) {
        if (!slow_match(name, mskp_value_name(t->graph, (mskp_value){v}))) continue;
        const uint32_t *units = mskp_value_units(t->graph, (mskp_value){v}, &count);
        for (size_t i = 0; i < count; i++)
            if (units[i] != MSKP_PINNED) due[units[i]] = 1;
        any = true;
    }
    for (uint32_t p = 1; p <= n.params; p++)
        for (uint32_t d = 0; d < mskp_param_shape(t->graph, (mskp_param){p}, NULL); d++) {
            uint32_t is;
            const uint32_t *units = mskp_param_units(t->graph, (mskp_param){p}, d, &is, &count);
            if (!units || !slow_match(name, mskp_param_name(t->graph, (mskp_param){p}))) continue;
            if (roles ? !(is & roles) : is == MSKP_ROLE_CONSUMER) continue;
            for (size_t i = 0; i < count; i++)
                if (units[i] != MSKP_PINNED) due[units[i]] = 1;
            any = true;
        }
    return any;
}

START_TEST(names_mark_their_units)
{
    size_t marked = 0, refused = 0;
    for (size_t k = 0; k < test_count(600); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        const mskp_counts n = mskp_graph_counts(t.graph);
        char text[3][80];
        const char *patterns[3];
        uint8_t *due = arena_get(&t.mem, t.units, 1), *got = arena_get(&t.mem, t.units, 1);
        const size_t count = rng_from(&t.r, 0, 3);
        const uint32_t roles = rng_chance(&t.r, 0.5) ? 0 : (uint32_t)rng_below(&t.r, 16);
        bool all = true;
        for (size_t i = 0; i < count; i++) {
            const mskp_param p = {(uint32_t)rng_from(&t.r, 1, n.params ? n.params : 1)};
            const mskp_value v = {(uint32_t)rng_from(&t.r, 1, n.values)};
            const char *name = n.params && rng_chance(&t.r, 0.5) ? mskp_param_name(t.graph, p)
                                                                 : mskp_value_name(t.graph, v);
            (void)snprintf(text[i], sizeof text[i], "%.70s", name);
            if (rng_chance(&t.r, 0.3))
                text[i][strlen(text[i]) - 1] = rng_chance(&t.r, 0.5) ? '*' : '?';
            patterns[i] = text[i];
            all &= mark_named(&t, text[i], roles, due);
        }
        memset(got, 9, t.units);
        mskp_error err = {0};
        const mskp_status status =
            mskp_mask_match(t.graph, count, patterns, roles, mask_of(t.units, got), &err);
        REQUIRE(status == (all ? MSKP_OK : MSKP_ERROR_BAD_NAME), "%d: %s", (int)status, err.text);
        for (size_t u = 0; u < t.units; u++) {
            REQUIRE(got[u] == (all ? due[u] : 9), "unit %zu: %d", u, got[u]);
            marked += got[u] == 1;
        }
        refused += !all;
        trial_end(&t);
    }
    REQUIRE(marked && refused, "%zu marked, %zu refused", marked, refused);
}
END_TEST

/* ---- Rules of families ---- */

START_TEST(fields_are_set_one_by_one)
{
    for (size_t k = 0; k < test_count(300); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        const uint32_t *family = mskp_unit_families(t.graph, NULL);
        const size_t n = mskp_graph_counts(t.graph).families;
        mskp_family_rule *got = arena_get(&t.mem, n, sizeof *got);
        mskp_family_rule *due = arena_get(&t.mem, n, sizeof *due);
        uint8_t *which = arena_get(&t.mem, t.units, 1);
        for (int round = 0; round < 4; round++) {
            mskp_family_rule rule = {.locked = rng_chance(&t.r, 0.2) ? 3 : 0};
            if (rng_chance(&t.r, 0.5)) rule.remove_fraction = rng_real(&t.r, 0, 1);
            if (rng_chance(&t.r, 0.5)) rule.max_fraction = rng_real(&t.r, 0, 1);
            if (rng_chance(&t.r, 0.5)) rule.min_channels = rng_below(&t.r, 9);
            if (rng_chance(&t.r, 0.5)) rule.round_to = rng_below(&t.r, 9);
            for (size_t u = 0; u < t.units; u++) {
                which[u] = rng_chance(&t.r, 0.2) ? 5 : 0;
                if (!which[u]) continue;
                mskp_family_rule *d = &due[family[u]];
                if (rule.remove_fraction > 0) d->remove_fraction = rule.remove_fraction;
                if (rule.max_fraction > 0) d->max_fraction = rule.max_fraction;
                if (rule.min_channels) d->min_channels = rule.min_channels;
                if (rule.round_to) d->round_to = rule.round_to;
                if (rule.locked) d->locked = rule.locked;
            }
            REQUIRE_OK(
                mskp_family_rules_set(t.graph, mask_of(t.units, which), &rule, n, got, NULL));
            for (size_t f = 0; f < n; f++)
                REQUIRE(got[f].remove_fraction == due[f].remove_fraction &&
                            got[f].max_fraction == due[f].max_fraction &&
                            got[f].min_channels == due[f].min_channels &&
                            got[f].round_to == due[f].round_to && got[f].locked == due[f].locked,
                        "family %zu", f);
        }
        trial_end(&t);
    }
}
END_TEST

/* What the rule of a family says is true of its units. */
START_TEST(families_keep_to_their_rules)
{
    size_t rounded = 0, capped = 0;
    for (size_t k = 0; k < test_count(1000); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        const size_t n = mskp_graph_counts(t.graph).families;
        double *scores = random_scores(&t);
        uint8_t *keep = arena_get(&t.mem, t.units, 1);
        mskp_family_rule *rules = arena_get(&t.mem, n, sizeof *rules);
        for (size_t f = 0; f < n; f++) {
            rules[f].round_to = rng_from(&t.r, 0, 4);
            rules[f].max_fraction = (double)rng_from(&t.r, 0, 4) / 4;
            rules[f].locked = rng_chance(&t.r, 0.1);
        }
        const mskp_rule rule = {
            .use_threshold = 1, .threshold = 2, .nfamilies = n, .families = rules};
        REQUIRE_OK(mskp_select(t.graph, scores_of(t.units, scores), &rule, mask_of(t.units, keep),
                               NULL, NULL));
        for (size_t f = 0; f < n; f++) {
            size_t size, kept = 0;
            const uint32_t *unit = mskp_family_units(t.graph, f, &size);
            for (size_t i = 0; i < size; i++) kept += keep[unit[i]];
            REQUIRE(kept == size || !rules[f].locked, "family %zu is locked", f);
            REQUIRE(kept == size || rules[f].round_to < 2 || kept % rules[f].round_to == 0,
                    "family %zu keeps %zu, in blocks of %zu", f, kept, rules[f].round_to);
            REQUIRE(rules[f].max_fraction <= 0 ||
                        (double)(size - kept) <= rules[f].max_fraction * (double)size,
                    "family %zu keeps %zu of %zu, cap %g", f, kept, size, rules[f].max_fraction);
            rounded += kept < size && rules[f].round_to > 1;
            capped += kept < size && rules[f].max_fraction > 0;
        }
        trial_end(&t);
    }
    REQUIRE(rounded && capped, "%zu rounded, %zu capped", rounded, capped);
}
END_TEST

/* ---- Budgets ---- */

static double measured(const mskp_graph *g, mskp_mask keep, const mskp_budget *b)
{
    mskp_error err = {0};
    double amount = -1;
    REQUIRE(mskp_budget_measure(g, keep, b, &amount, &err) == MSKP_OK, "%s", err.text);
    return amount;
}

/* A score over what a block of the unit's family saves. budgets_measure_what_is_left compares the
 * amounts with the slow model. */
START_TEST(scores_per_budget)
{
    size_t finite = 0, infinite = 0;
    const size_t count = test_count(500);
    for (size_t k = 0; k < count; k++) {
        trial t;
        mskp_error err = {0};
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        const size_t block = rng_below(&t.r, 4);
        mskp_budget b = random_budget(&t);
        if (b.kind == MSKP_BUDGET_ACTIVATIONS) b = (mskp_budget){.kind = MSKP_BUDGET_BYTES};
        double *scores = random_scores(&t), *given = arena_get(&t.mem, t.units, sizeof *given);
        for (size_t u = 0; u < t.units; u++) scores[u] = fabs(scores[u]);
        memcpy(given, scores, t.units * sizeof *given);
        uint8_t *keep = arena_get(&t.mem, t.units, 1);
        memset(keep, 1, t.units);
        REQUIRE(!mskp_score_per_budget(t.graph, &b, block, scores_of(t.units, scores), &err), "%s",
                err.text);
        const double whole = measured(t.graph, mask_of(t.units, keep), &b);
        const uint32_t *family = mskp_unit_families(t.graph, NULL);
        for (size_t u = 0; u < t.units; u++) {
            size_t size;
            const uint32_t *unit = mskp_family_units(t.graph, family[u], &size);
            size_t n = block ? block : 1;
            if (n > size) n = size;
            for (size_t i = 0; i < n; i++) keep[unit[i]] = 0;
            const double left = measured(t.graph, mask_of(t.units, keep), &b);
            const double saved = (whole - left) / (double)n;
            for (size_t i = 0; i < n; i++) keep[unit[i]] = 1;
            const double expected = saved > 0 ? given[u] / saved : (double)INFINITY;
            REQUIRE(scores[u] == expected, "kind %d, block %zu, unit %zu: %.17g, not %.17g",
                    (int)b.kind, block, u, scores[u], expected);
            finite += isfinite(expected) ? 1 : 0;
            infinite += isinf(expected) && isfinite(given[u]) ? 1 : 0;
        }
        trial_end(&t);
    }
    REQUIRE(count < 100 || (finite > 0 && infinite > 0), "%zu finite, %zu infinite", finite,
            infinite);
}
END_TEST

static double tiny_cost(void *context, const mskp_graph *graph, const size_t *channels)
{
    (void)graph;
    return *(const double *)context * (double)channels[0];
}

static double of_first(void *context, const mskp_graph *graph, const size_t *channels)
{
    (void)graph;
    return ((const double *)context)[channels[0]];
}

/* The first of two units saves what the cost falls by; a cost that does not fall saves nothing. */
START_TEST(prices_by_hand)
{
    static const struct {
        double cost[3];
        size_t block;
        double score[2], expected[2];
    } cases[] = {
        {{1, 3, 7}, 0, {1, 6}, {0.25, 1.5}},
        {{1, 3, 7}, 2, {1, 6}, {1 / 3.0, 2}},
        {{1, 3, 7}, 9, {0, 6}, {0, 2}},
        {{1, 3, 7}, 1, {8, (double)INFINITY}, {2, (double)INFINITY}},
        {{7, 7, 7}, 1, {1, 2}, {(double)INFINITY, (double)INFINITY}},
        {{9, 8, 7}, 1, {1, 2}, {(double)INFINITY, (double)INFINITY}},
    };
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(g, "v", 2, 0, NULL);
    const mskp_param p = mskp_parameter(g, "gamma", 1, (size_t[]){2});
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, v), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double score[2] = {cases[k].score[0], cases[k].score[1]}, cost[3];
        memcpy(cost, cases[k].cost, sizeof cost);
        const mskp_budget b = {.kind = MSKP_BUDGET_CALLBACK, .cost = of_first, .context = cost};
        mskp_error err = {0};
        REQUIRE(!mskp_score_per_budget(g, &b, cases[k].block, scores_of(2, score), &err), "%s",
                err.text);
        ck_assert_msg(score[0] == cases[k].expected[0] && score[1] == cases[k].expected[1],
                      "case %zu: %g %g", k, score[0], score[1]);
    }
    mskp_graph_destroy(g);
}
END_TEST

START_TEST(mistakes_of_scores_per_budget)
{
    double tiny = 0x1p-1000, score[2] = {1, 2};
    const mskp_budget b = {.kind = MSKP_BUDGET_CALLBACK, .cost = tiny_cost, .context = &tiny};
    const mskp_budget odd = {.kind = (mskp_budget_kind)9};
    const mskp_budget peak = {.kind = MSKP_BUDGET_ACTIVATIONS};
    mskp_error err = {0};
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(g, "v", 2, 0, NULL);
    const mskp_param p = mskp_parameter(g, "gamma", 1, (size_t[]){2});
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, v), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_score_per_budget(g, NULL, 0, scores_of(2, score), &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "budget is NULL");
    ck_assert_int_eq(mskp_score_per_budget(g, &odd, 0, scores_of(2, score), &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "budget (of no kind): kind is 9, the last is 3");
    ck_assert_int_eq(mskp_score_per_budget(g, &peak, 0, scores_of(2, score), &err),
                     MSKP_ERROR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "a peak of activations is no sum"));
    score[1] = 1e300;
    ck_assert_int_eq(mskp_score_per_budget(g, &b, 0, scores_of(2, score), &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_ptr_nonnull(strstr(err.text, "unit 1: no double can hold its score over 9.33"));
    score[1] = -1;
    ck_assert_int_eq(mskp_score_per_budget(g, &b, 0, scores_of(2, score), &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_str_eq(err.text, "unit 1 scores -1, not 0 or more");
    tiny = (double)NAN, score[1] = 2;
    ck_assert_int_eq(mskp_score_per_budget(g, &b, 0, scores_of(2, score), &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert(score[0] == 1 && score[1] == 2);
    mskp_graph_destroy(g);
}
END_TEST

/* What a mask leaves is what the network after surgery has, what the slow model counts, and no more
 * than what a larger mask leaves. */
START_TEST(budgets_measure_what_is_left)
{
    size_t known = 0, kinds[4] = {0};
    for (size_t k = 0; k < test_count(1500); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        uint8_t *keep = model_random_mask(&t.model, &t.mem, &t.r, 0.6);
        uint8_t *more = arena_copy(&t.mem, keep, t.units, 1);
        for (size_t u = 0; u < t.units; u++) more[u] |= rng_chance(&t.r, 0.5);
        mskp_graph *small = NULL;
        mskp_plan *plan = NULL;
        REQUIRE_OK(mskp_plan_create(t.graph, mask_of(t.units, keep), &plan, &small, NULL));
        for (int i = 0; i < 3; i++) {
            mskp_budget b = random_budget(&t);
            if (i == 0) b = (mskp_budget){.kind = MSKP_BUDGET_ACTIVATIONS};
            const double left = measured(t.graph, mask_of(t.units, keep), &b);
            const double after = measured(small, (mskp_mask){0}, &b);
            REQUIRE(left == after, "kind %d: %.17g, then %.17g", (int)b.kind, left, after);
            if (b.kind <= MSKP_BUDGET_ACTIVATIONS)
                REQUIRE(left <= measured(t.graph, mask_of(t.units, more), &b), "it rose");
            if (b.kind != MSKP_BUDGET_ACTIVATIONS || knows_readers(t.net)) {
                const double due = slow_budget(&t, &b, keep);
                REQUIRE(left == due, "kind %d: %.17g, expected %.17g", (int)b.kind, left, due);
                known += b.kind == MSKP_BUDGET_ACTIVATIONS;
            }
            kinds[b.kind]++;
        }
        mskp_plan_destroy(plan);
        mskp_graph_destroy(small);
        trial_end(&t);
    }
    REQUIRE(known > test_count(200), "%zu peaks were known", known);
    for (int i = 0; i < 4; i++) REQUIRE(kinds[i] > test_count(200), "kind %d: %zu", i, kinds[i]);
}
END_TEST

/* Joint budgets all hold; without the last unit that was removed one of them does not; with smaller
 * limits more is removed, and nothing comes back. */
START_TEST(joint_budgets_hold_and_are_minimal)
{
    size_t solved = 0;
    for (size_t k = 0; k < test_count(1000); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        double *scores = random_scores(&t);
        uint8_t *keep = arena_get(&t.mem, t.units, 1), *less = arena_get(&t.mem, t.units, 1);
        mskp_budget b[3];
        const mskp_rule rule = {.nbudgets = rng_from(&t.r, 1, 3), .budgets = b};
        for (size_t i = 0; i < 3; i++) b[i] = random_budget(&t);
        const mskp_scores s = scores_of(t.units, scores);
        if (mskp_select(t.graph, s, &rule, mask_of(t.units, keep), NULL, NULL)) {
            trial_end(&t);
            continue;
        }
        size_t last = t.units;
        for (size_t i = 0; i < rule.nbudgets; i++)
            REQUIRE(measured(t.graph, mask_of(t.units, keep), &b[i]) <= b[i].limit, "budget %zu",
                    i);
        for (size_t u = 0; u < t.units; u++)
            if (!keep[u] && (last == t.units || scored_before(scores, (uint32_t)last, (uint32_t)u)))
                last = u;
        if (last < t.units) {
            bool holds = true;
            keep[last] = 1;
            for (size_t i = 0; i < rule.nbudgets; i++)
                holds &= measured(t.graph, mask_of(t.units, keep), &b[i]) <= b[i].limit;
            REQUIRE(!holds, "unit %zu need not go", last);
            keep[last] = 0;
            solved++;
        }
        /* What is left is enough if it is the limit itself. */
        for (size_t i = 0; i < rule.nbudgets; i++) {
            const double left = measured(t.graph, mask_of(t.units, keep), &b[i]);
            if (left > 0) b[i].limit = left;
        }
        REQUIRE_OK(mskp_select(t.graph, s, &rule, mask_of(t.units, less), NULL, NULL));
        REQUIRE(!memcmp(keep, less, t.units), "at the limit itself");
        b[rng_below(&t.r, rule.nbudgets)].limit *= 0.8;
        if (!mskp_select(t.graph, s, &rule, mask_of(t.units, less), NULL, NULL))
            for (size_t u = 0; u < t.units; u++)
                REQUIRE(keep[u] || !less[u], "unit %zu came back", u);
        trial_end(&t);
    }
    REQUIRE(test_count(1000) < 100 || solved > test_count(100), "%zu solved", solved);
}
END_TEST

/* The callback is asked at most once for each block and once before, and only if the rest holds. */
START_TEST(callbacks_are_called_seldom)
{
    size_t calls = 0;
    for (size_t k = 0; k < test_count(500); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        double *scores = random_scores(&t);
        uint8_t *keep = arena_get(&t.mem, t.units, 1);
        mskp_budget b = random_budget(&t);
        while (b.kind != MSKP_BUDGET_CALLBACK) b = random_budget(&t);
        own_cost *c = b.context;
        const mskp_rule alone = {.nbudgets = 1, .budgets = &b};
        mskp_rule behind = {.remove_fraction = 1, .nbudgets = 1, .budgets = &b};
        mskp_selection did = {0};
        c->calls = 0;
        (void)mskp_select(t.graph, scores_of(t.units, scores), &alone, mask_of(t.units, keep), &did,
                          NULL);
        REQUIRE(c->calls == did.removed + 1, "%zu calls, %zu removed", c->calls, did.removed);
        calls += c->calls;
        c->calls = 0;
        (void)mskp_select(t.graph, scores_of(t.units, scores), &behind, mask_of(t.units, keep),
                          &did, NULL);
        REQUIRE(c->calls == (did.removed == t.units), "%zu calls", c->calls);
        trial_end(&t);
    }
    REQUIRE(calls > test_count(500), "%zu calls", calls);
}
END_TEST

/* image 1 x 4 x 4 -> a: 6 -> relu -> b: 2 -> out, with a skip from the relu to the sum with c. */
typedef struct by_hand {
    mskp_graph *g;
    mskp_value a, relu, b;
} by_hand;

static by_hand make_by_hand(void)
{
    by_hand h = {.g = mskp_graph_create(NULL)};
    mskp_graph *g = h.g;
    const mskp_param wa = mskp_parameter(g, "a.w", 4, (size_t[]){6, 1, 1, 1});
    const mskp_param wb = mskp_parameter(g, "b.w", 4, (size_t[]){2, 6, 1, 1});
    const mskp_value x = mskp_input(g, "image", 1, 2, (size_t[]){4, 4});
    h.a = mskp_conv(g, "a", x, &(mskp_conv_desc){.weight = wa});
    h.relu = mskp_activation(g, "relu", h.a, NULL);
    h.b = mskp_conv(g, "b", h.relu, &(mskp_conv_desc){.weight = wb});
    REQUIRE_OK(mskp_output(g, h.b));
    REQUIRE_OK(mskp_graph_finish(g, NULL));
    return h;
}

START_TEST(amounts_by_hand)
{
    by_hand h = make_by_hand();
    const uint8_t four[6] = {1, 1, 1, 0, 0, 1};
    const mskp_mask keep = mask_of(6, four), whole = {0};
    const size_t params[2] = {1, 3}, values[4] = {1, 0, 2, 8};
    mskp_budget b = {.kind = MSKP_BUDGET_BYTES};
    ck_assert_double_eq(measured(h.g, whole, &b), (6 + 12) * 4);
    ck_assert_double_eq(measured(h.g, keep, &b), (4 + 8) * 4);
    b.element_size = 2;
    ck_assert_double_eq(measured(h.g, keep, &b), (4 + 8) * 2);
    b.element_sizes = params;
    ck_assert_double_eq(measured(h.g, keep, &b), 4 * 1 + 8 * 3);
    /* At the relu both a and its result are there; the image is gone. */
    b = (mskp_budget){.kind = MSKP_BUDGET_ACTIVATIONS};
    ck_assert_double_eq(measured(h.g, whole, &b), (6 + 6) * 16 * 4);
    ck_assert_double_eq(measured(h.g, keep, &b), (4 + 4) * 16 * 4);
    /* With these sizes at b: the result of the relu, and b. */
    b.element_sizes = values;
    ck_assert_double_eq(measured(h.g, keep, &b), (4 * 2 + 2 * 8) * 16);

    /* A table: 4 lies between 2 and 6, below 2 it is flat. */
    const size_t out[2] = {2, 6}, in[2] = {1, 6};
    const double one[2] = {3, 5}, two[4] = {10, 20, 30, 60};
    mskp_layer_cost layers[2] = {{.out = h.a, .nout = 2, .widths_out = out, .cost = one},
                                 {.out = h.relu,
                                  .in = h.a,
                                  .nout = 2,
                                  .nin = 2,
                                  .widths_out = out,
                                  .widths_in = in,
                                  .cost = two}};
    b = (mskp_budget){.kind = MSKP_BUDGET_TABLE, .nlayers = 1, .layers = layers};
    ck_assert_double_eq(measured(h.g, whole, &b), 5);
    ck_assert_double_eq(measured(h.g, keep, &b), 4);
    ck_assert_double_eq(measured(h.g, mask_of(6, ((uint8_t[]){1, 0, 0, 0, 0, 0})), &b), 3);
    b.nlayers = 2;
    ck_assert_double_eq(measured(h.g, whole, &b), 5 + 60);
    /* Half way down, and 3/5 across: (10 + 6) and (30 + 18), the mean of which is 32. */
    ck_assert_double_eq_tol(measured(h.g, keep, &b), 4 + 32, 1e-12);
    mskp_graph_destroy(h.g);
}
END_TEST

/* Networks of the literature, with the operators at which the peak is, at 224 x 224. */
START_TEST(peaks_of_the_literature)
{
    static const struct {
        const char *network;
        double elements;
    } row[] = {
        {"vgg16_bn", 2.0 * 64 * 224 * 224},     /* conv1_1 and its norm */
        {"resnet50", 3.0 * 256 * 56 * 56},      /* an addition in layer1: both operands and a sum */
        {"vit_b_16", (768 + 2.0 * 3072) * 197}, /* GELU of an MLP, beside the residual stream */
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        mskp_graph *g = zoo_make(row[i].network, NULL);
        REQUIRE_OK(mskp_graph_finish(g, NULL));
        ck_assert_double_eq(
            measured(g, (mskp_mask){0}, &(mskp_budget){.kind = MSKP_BUDGET_ACTIVATIONS}),
            4 * row[i].elements);
        mskp_graph_destroy(g);
    }
}
END_TEST

/* Who may read a value or make it is not known: it is there to the end. */
START_TEST(unknown_operators_by_hand)
{
    for (int opaque = 0; opaque < 2; opaque++) {
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_value x = mskp_input(g, "x", 3, 0, NULL);
        const mskp_value y = mskp_activation(g, "y", x, NULL);
        const mskp_opaque_desc unknown = {"unknown", 1, &x, 5, 0, NULL};
        if (opaque) (void)mskp_opaque(g, "made", &unknown);
        (void)mskp_activation(g, "z", y, NULL);
        REQUIRE_OK(mskp_graph_finish(g, NULL));
        const mskp_budget b = {.kind = MSKP_BUDGET_ACTIVATIONS, .element_size = 1};
        ck_assert_double_eq(measured(g, (mskp_mask){0}, &b), opaque ? 3 + 3 + 5 + 3 : 3 + 3);
        mskp_graph_destroy(g);
    }
}
END_TEST

/* y reads x, which is there to the end, and has 4 channels as x does. Nothing reads what is made
 * of y: if it only moves channels, it is not made. */
START_TEST(moves_by_hand)
{
    enum { SLICE, PICK, UNFLATTEN, SHUFFLE, CONCAT, FRESH, ACTIVATION, CASES };
    for (int k = 0; k < CASES; k++) {
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_value x = mskp_input(g, "x", 4, k != UNFLATTEN, (size_t[]){1});
        REQUIRE_OK(mskp_pin(g, x));
        const mskp_value y = mskp_activation(g, "y", x, NULL);
        if (k == SLICE) mskp_slice(g, "z", y, 0, 4);
        if (k == PICK) mskp_pick(g, "z", y, 4, (size_t[]){3, 2, 1, 0});
        if (k == UNFLATTEN) mskp_unflatten(g, "z", y, 1, (size_t[]){2}, 0);
        if (k == SHUFFLE) mskp_pixel_shuffle(g, "z", y, 2, MSKP_SHUFFLE_CHANNEL_MAJOR);
        if (k == CONCAT) mskp_concat(g, "z", 1, &y);
        if (k == FRESH) mskp_fresh(g, "z", 4, 1, (size_t[]){1});
        if (k == ACTIVATION) mskp_activation(g, "z", y, NULL);
        mskp_error err = {0};
        ck_assert_msg(!mskp_graph_finish(g, &err), "%d: %s", k, err.text);
        const mskp_budget b = {.kind = MSKP_BUDGET_ACTIVATIONS, .element_size = 1};
        ck_assert_msg(measured(g, (mskp_mask){0}, &b) == (k == ACTIVATION ? 12 : 8), "%d: %g", k,
                      measured(g, (mskp_mask){0}, &b));
        mskp_graph_destroy(g);
    }
}
END_TEST

/* image: 1 -> x: 2 -> a: 4 -> relu -> b: 2, and x + b, at 10 positions. Without the channels of a,
 * a bias is all that is left of b, and a parameter is no activation. */
START_TEST(branches_by_hand)
{
    for (int bias = 0; bias < 2; bias++) {
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_param wx = mskp_parameter(g, "x.w", 2, (size_t[]){2, 1});
        const mskp_param wa = mskp_parameter(g, "a.w", 2, (size_t[]){4, 2});
        const mskp_param wb = mskp_parameter(g, "b.w", 2, (size_t[]){2, 4});
        const mskp_param bb = bias ? mskp_parameter(g, "b.b", 1, (size_t[]){2}) : (mskp_param){0};
        const mskp_value image = mskp_input(g, "image", 1, 1, (size_t[]){10});
        const mskp_value x = mskp_linear(g, "x", image, wx, (mskp_param){0});
        const mskp_value a = mskp_linear(g, "a", x, wa, (mskp_param){0});
        const mskp_value b = mskp_linear(g, "b", mskp_activation(g, "relu", a, NULL), wb, bb);
        const mskp_value sum = mskp_combine(g, "sum", MSKP_COMBINE_ADD, 2, (mskp_value[]){x, b});
        REQUIRE_OK(mskp_output(g, sum));
        REQUIRE_OK(mskp_graph_finish(g, NULL));
        const mskp_budget peak = {.kind = MSKP_BUDGET_ACTIVATIONS, .element_size = 1};
        uint8_t keep[4];
        const mskp_mask mask = mask_of(mskp_graph_counts(g).units, keep);
        ck_assert_uint_eq(mask.n, 4); /* x and b are pinned */
        memset(keep, 1, sizeof keep);
        ck_assert_double_eq(measured(g, mask, &peak), 10 * (2 + 4 + 4)); /* x, a, relu */
        keep[1] = 0;
        ck_assert_double_eq(measured(g, mask, &peak), 10 * (2 + 3 + 3));
        memset(keep, 0, sizeof keep);
        ck_assert_double_eq(measured(g, mask, &peak), 10 * (2 + 2)); /* x, sum */
        /* What has vanished takes no time, nor does what reads it. */
        const size_t four = 4, two = 2;
        const double one = 1;
        const mskp_layer_cost layers[2] = {{a, x, 1, 1, &four, &two, &one},
                                           {x, a, 1, 1, &two, &four, &one}};
        const mskp_budget time = {.kind = MSKP_BUDGET_TABLE, .nlayers = 2, .layers = layers};
        ck_assert_double_eq(measured(g, (mskp_mask){0}, &time), 2);
        ck_assert_double_eq(measured(g, mask, &time), 0);
        mskp_graph_destroy(g);
    }
}
END_TEST

/* A sequence of 5 positions with 8 channels, two heads of 3, values of 3: query, key and value have
 * 6 channels at 5 positions each. Separate projections and a packed one need the same. */
START_TEST(attention_by_hand)
{
    for (uint32_t packed = 0; packed < 2; packed++) {
        mskp_graph *g = mskp_graph_create(NULL);
        mskp_attention_desc a = {.heads = 2, .head_dim = 3, .packed = packed};
        const mskp_value x = mskp_input(g, "x", 8, 1, (size_t[]){5});
        a.query = mskp_parameter(g, "q", 2, (size_t[]){packed ? 18 : 6, 8});
        if (!packed) a.key = mskp_parameter(g, "k", 2, (size_t[]){6, 8});
        if (!packed) a.value = mskp_parameter(g, "v", 2, (size_t[]){6, 8});
        a.output = mskp_parameter(g, "o", 2, (size_t[]){8, 6});
        const mskp_value y = mskp_attention(g, "attention", x, &a);
        REQUIRE_OK(mskp_output(g, y));
        REQUIRE_OK(mskp_graph_finish(g, NULL));
        const mskp_budget b = {.kind = MSKP_BUDGET_ACTIVATIONS, .element_size = 1};
        /* While the last projection reads x, all three are there. */
        ck_assert_double_eq(measured(g, (mskp_mask){0}, &b), 5 * (8 + 6 + 6 + 6));
        const size_t units = mskp_graph_counts(g).units;
        ck_assert_uint_eq(units, 2);
        ck_assert_double_eq(measured(g, mask_of(2, ((uint8_t[]){1, 0})), &b), 5 * (8 + 3 + 3 + 3));
        mskp_graph_destroy(g);
    }
}
END_TEST

static double no_number(void *context, const mskp_graph *graph, const size_t *channels)
{
    (void)context, (void)graph, (void)channels;
    return (double)NAN;
}

static double a_third(void *context, const mskp_graph *graph, const size_t *channels)
{
    (void)graph, ++*(size_t *)context;
    return 100 + (double)channels[1] / 3;
}

START_TEST(mistakes_of_budgets_are_named)
{
    by_hand h = make_by_hand();
    const size_t up[2] = {3, 6}, down[2] = {6, 3}, narrow[2] = {2, 5};
    static const size_t huge[4] = {SIZE_MAX / 4, SIZE_MAX / 4, SIZE_MAX / 4, SIZE_MAX / 4};
    const double cost[4] = {1, 2, 3, 4}, wrong_cost[2] = {1, (double)INFINITY};
    const mskp_layer_cost good = {.out = h.a, .nout = 2, .widths_out = up, .cost = cost};
    mskp_layer_cost l[12];
    for (int i = 0; i < 12; i++) l[i] = good;
    l[0].out = (mskp_value){99};
    l[1].nout = 0;
    l[2].widths_out = down;
    l[3].widths_out = narrow;
    l[4].cost = NULL;
    l[5].cost = wrong_cost;
    l[6].nin = 2;
    l[7].in = h.b;
    l[8].in = (mskp_value){5};
    l[9].out = (mskp_value){0};
    l[10].widths_out = NULL;
    l[11].widths_in = up;
#define TABLE(n)                                                             \
    {                                                                        \
        .kind = MSKP_BUDGET_TABLE, .limit = 1, .nlayers = 1, .layers = &l[n] \
    }
    const struct {
        mskp_budget budget;
        mskp_status status;
        const char *text;
    } row[] = {
        {{.kind = (mskp_budget_kind)4, .limit = 1},
         MSKP_ERROR_BAD_ARGUMENT,
         "budgets[0] (of no kind): kind is 4, the last is 3"},
        {{.limit = 0}, MSKP_ERROR_BAD_ARGUMENT, "budgets[0] (bytes): limit is 0"},
        {{.limit = -2}, MSKP_ERROR_BAD_ARGUMENT, "limit is -2, it must be above 0"},
        {{.limit = (double)NAN, .name = "flash"}, MSKP_ERROR_BAD_NUMBER, "budgets[0] (flash)"},
        {{.limit = 1, .element_sizes = huge}, MSKP_ERROR_UNSUPPORTED, "over 2^53 bytes"},
        {{.kind = MSKP_BUDGET_ACTIVATIONS, .limit = 1, .element_sizes = huge},
         MSKP_ERROR_UNSUPPORTED,
         "budgets[0] (activations): the whole network has over 2^53 bytes"},
        {{.kind = MSKP_BUDGET_CALLBACK, .limit = 1}, MSKP_ERROR_BAD_ARGUMENT, "cost is NULL"},
        {{.kind = MSKP_BUDGET_CALLBACK, .limit = 1, .cost = no_number, .name = "time"},
         MSKP_ERROR_BAD_NUMBER,
         "budgets[0] (time): the cost is NaN"},
        {{.kind = MSKP_BUDGET_TABLE, .limit = 1}, MSKP_ERROR_BAD_ARGUMENT, "has no layers"},
        {{.kind = MSKP_BUDGET_TABLE, .limit = 1, .nlayers = 1},
         MSKP_ERROR_BAD_ARGUMENT,
         "has no layers"},
        {TABLE(0), MSKP_ERROR_BAD_ARGUMENT, "layers[0]: out is no value, there are 4"},
        {TABLE(1), MSKP_ERROR_BAD_ARGUMENT, "widths_out are 0"},
        {TABLE(2), MSKP_ERROR_BAD_ARGUMENT, "widths_out[1] is 3, after 6; they must ascend"},
        {TABLE(3), MSKP_ERROR_BAD_ARGUMENT, "the last of widths_out is 5, a has 6 channels"},
        {TABLE(4), MSKP_ERROR_BAD_ARGUMENT, "layers[0]: cost is NULL"},
        {TABLE(5), MSKP_ERROR_BAD_NUMBER, "cost[1] is infinity"},
        {TABLE(6), MSKP_ERROR_BAD_ARGUMENT, "nin is 2, but in is {0}"},
        {TABLE(7), MSKP_ERROR_BAD_ARGUMENT, "widths_in are 0"},
        {TABLE(8), MSKP_ERROR_BAD_ARGUMENT, "in is no value"},
        {TABLE(9), MSKP_ERROR_BAD_ARGUMENT, "out is no value"},
        {TABLE(10), MSKP_ERROR_BAD_ARGUMENT, "widths_out are 0"},
        {TABLE(11), MSKP_ERROR_BAD_ARGUMENT, "nin is 0, but in is {0}"},
        /* One channel of a stays. */
        {{.limit = 11},
         MSKP_ERROR_NO_SOLUTION,
         "budgets[0] (bytes) is 11, the least that can be had is 12"},
        {{.kind = MSKP_BUDGET_ACTIVATIONS, .limit = 100},
         MSKP_ERROR_NO_SOLUTION,
         "budgets[0] (activations) is 100, the least that can be had is 192"},
        {TABLE(2), MSKP_ERROR_BAD_ARGUMENT, "ascend"},
        {{.kind = MSKP_BUDGET_TABLE, .limit = 0.5, .nlayers = 1, .layers = &good},
         MSKP_ERROR_NO_SOLUTION,
         "budgets[0] (table) is 0.5, what is left when nothing more can go is 1"},
    };
    const double scores[6] = {1, 2, 3, 4, 5, 6};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        uint8_t keep[6] = {9, 9, 9, 9, 9, 9};
        double amount = -7;
        mskp_error err = {0};
        const mskp_rule rule = {.nbudgets = 1, .budgets = &row[i].budget};
        /* Sizes of 32 bits cannot be that large. */
        if (row[i].status == MSKP_ERROR_UNSUPPORTED && SIZE_MAX <= UINT32_MAX) continue;
        const mskp_status status =
            mskp_select(h.g, scores_of(6, scores), &rule, mask_of(6, keep), NULL, &err);
        ck_assert_msg(status == row[i].status && strstr(err.text, row[i].text), "%zu: %d %s", i,
                      (int)status, err.text);
        ck_assert_uint_eq(keep[0], 9);
        if (strstr(row[i].text, "limit") || row[i].status == MSKP_ERROR_NO_SOLUTION) continue;
        if (isnan(row[i].budget.limit)) continue;
        ck_assert_int_eq(mskp_budget_measure(h.g, (mskp_mask){0}, &row[i].budget, &amount, NULL),
                         row[i].status);
        ck_assert_double_eq(amount, -7);
    }
    size_t calls = 0;
    mskp_error err = {0};
    uint8_t keep[6];
    const mskp_budget slow = {.kind = MSKP_BUDGET_CALLBACK,
                              .limit = 100,
                              .cost = a_third,
                              .context = &calls,
                              .name = "time"};
    ck_assert_int_eq(mskp_select(h.g, scores_of(6, scores),
                                 &(mskp_rule){.nbudgets = 1, .budgets = &slow}, mask_of(6, keep),
                                 NULL, &err),
                     MSKP_ERROR_NO_SOLUTION);
    ck_assert_msg(strstr(err.text,
                         "budgets[0] (time) is 100, what is left when nothing more can go "
                         "is 100.333333") != NULL,
                  "%s", err.text);
    ck_assert_uint_eq(calls, 6);
    /* The second of two; a limit of time may be a fraction. */
    const mskp_budget two[2] = {{.kind = MSKP_BUDGET_BYTES, .limit = 60},
                                {.kind = MSKP_BUDGET_CALLBACK,
                                 .limit = 0.5,
                                 .cost = a_third,
                                 .context = &calls,
                                 .name = "time"}};
    ck_assert_int_eq(mskp_select(h.g, scores_of(6, scores),
                                 &(mskp_rule){.nbudgets = 2, .budgets = two}, mask_of(6, keep),
                                 NULL, &err),
                     MSKP_ERROR_NO_SOLUTION);
    ck_assert_msg(!strncmp(err.text,
                           "budgets[1] (time) is 0.5, what is left when nothing more can go is 100",
                           70),
                  "%s", err.text);
    ck_assert_int_eq(mskp_select(h.g, scores_of(6, scores), &(mskp_rule){.nbudgets = 1},
                                 mask_of(6, keep), NULL, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "rule: budgets is NULL, nbudgets is 1");
    mskp_graph_destroy(h.g);
}
END_TEST

START_TEST(mistakes_of_families_are_named)
{
    by_hand h = make_by_hand();
    const mskp_family_rule f[2] = {{.remove_fraction = 0.5}, {.remove_fraction = 0.5}};
    const mskp_family_rule over = {.max_fraction = 1.5}, nan = {.remove_fraction = (double)NAN};
    const double scores[6] = {1, 2, 3, 4, 5, 6};
    uint8_t keep[6] = {9, 9, 9, 9, 9, 9}, which[6] = {1};
    mskp_family_rule to[2] = {{0}};
    const struct {
        mskp_rule rule;
        mskp_status status;
        const char *text;
    } row[] = {
        {{.nfamilies = 2, .families = f},
         MSKP_ERROR_OTHER_NETWORK,
         "nfamilies is 2, the graph has 1 families"},
        {{.nfamilies = 1}, MSKP_ERROR_BAD_ARGUMENT, "families is NULL"},
        {{.families = f}, MSKP_ERROR_OTHER_NETWORK, "nfamilies is 0, the graph has"},
        {{.nfamilies = 1, .families = &over},
         MSKP_ERROR_BAD_ARGUMENT,
         "rule: families[0] (a): max_fraction is 1.5, outside 0 to 1"},
        {{.nfamilies = 1, .families = &nan},
         MSKP_ERROR_BAD_NUMBER,
         "rule: families[0] (a): remove_fraction is NaN"},
        {{.nfamilies = 1, .families = to}, MSKP_ERROR_BAD_ARGUMENT, "nothing is asked"},
        {{.remove_fraction = 0.5, .budgets = &(mskp_budget){.limit = 1}},
         MSKP_ERROR_BAD_ARGUMENT,
         "rule: budgets is set, but nbudgets is 0"},
    };
    mskp_error err;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const mskp_status status =
            mskp_select(h.g, scores_of(6, scores), &row[i].rule, mask_of(6, keep), NULL, &err);
        ck_assert_msg(status == row[i].status && strstr(err.text, row[i].text), "%zu: %d %s", i,
                      (int)status, err.text);
        ck_assert_uint_eq(keep[0], 9);
    }
    REQUIRE_OK(mskp_select(h.g, scores_of(6, scores), &(mskp_rule){.nfamilies = 1, .families = f},
                           mask_of(6, keep), NULL, NULL));
    ck_assert_mem_eq(keep, ((uint8_t[]){0, 0, 0, 1, 1, 1}), 6);
    ck_assert_int_eq(mskp_family_rules_set(h.g, mask_of(6, which), &over, 1, to, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "rule: max_fraction is 1.5, outside 0 to 1");
    ck_assert_int_eq(mskp_family_rules_set(h.g, mask_of(6, which), f, 2, to, &err),
                     MSKP_ERROR_OTHER_NETWORK);
    ck_assert_int_eq(mskp_family_rules_set(h.g, mask_of(6, which), f, 1, NULL, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert(to[0].remove_fraction == 0);
    const char *none[2] = {"a", NULL};
    ck_assert_int_eq(mskp_mask_match(h.g, 2, none, 0, mask_of(6, keep), &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "patterns[1] is NULL");
    ck_assert_int_eq(mskp_mask_match(h.g, 1, NULL, 0, mask_of(6, keep), &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    none[1] = "layer3.*";
    ck_assert_int_eq(mskp_mask_match(h.g, 2, none, 0, mask_of(6, keep), &err), MSKP_ERROR_BAD_NAME);
    ck_assert_str_eq(err.text, "patterns[1]: no value, and no parameter in these roles, has a name "
                               "like layer3.*");
    ck_assert_int_eq(mskp_mask_match(h.g, 1, none, 64, mask_of(6, keep), &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    /* What b reads is what a makes. */
    none[0] = "b.w";
    REQUIRE_OK(mskp_mask_match(h.g, 1, none, 0, mask_of(6, keep), NULL));
    ck_assert_mem_eq(keep, ((uint8_t[]){0, 0, 0, 0, 0, 0}), 6);
    REQUIRE_OK(mskp_mask_match(h.g, 1, none, MSKP_ROLE_CONSUMER, mask_of(6, keep), NULL));
    ck_assert_mem_eq(keep, ((uint8_t[]){1, 1, 1, 1, 1, 1}), 6);
    mskp_graph_destroy(h.g);
}
END_TEST

/* ---- Masks of masks ---- */

static mskp_graph *of_units(size_t n)
{
    mskp_graph *g = mskp_graph_create(NULL);
    (void)mskp_fresh(g, "v", n, 0, NULL);
    REQUIRE_OK(mskp_graph_finish(g, NULL));
    return g;
}

enum { UNITS = 40, MASKS = 5 };

START_TEST(votes_are_counted)
{
    mskp_graph *g = of_units(UNITS);
    rng r = rng_make(test_seed());
    for (size_t k = 0; k < test_count(500); k++) {
        uint8_t flags[MASKS][UNITS], keep[UNITS];
        mskp_mask masks[MASKS];
        const size_t n = rng_from(&r, 1, MASKS), votes = rng_from(&r, 1, n);
        for (size_t i = 0; i < n; i++) {
            masks[i] = mask_of(UNITS, flags[i]);
            for (size_t u = 0; u < UNITS; u++) flags[i][u] = (uint8_t)(rng_below(&r, 3) * 7);
        }
        REQUIRE_OK(mskp_mask_vote(g, n, masks, votes, mask_of(UNITS, keep), NULL));
        for (size_t u = 0; u < UNITS; u++) {
            size_t against = 0;
            for (size_t i = 0; i < n; i++) against += flags[i][u] == 0;
            ck_assert_uint_eq(keep[u], against >= votes ? 0 : 1);
        }
        REQUIRE_OK(mskp_mask_vote(g, n, masks, votes, masks[n - 1], NULL)); /* in place */
        ck_assert_mem_eq(keep, flags[n - 1], UNITS);
        mskp_error err;
        ck_assert_int_eq(mskp_mask_vote(g, n, masks, n + 1, mask_of(UNITS, keep), &err),
                         MSKP_ERROR_BAD_ARGUMENT);
        ck_assert_int_eq(mskp_mask_vote(g, n, masks, 0, mask_of(UNITS, keep), &err),
                         MSKP_ERROR_BAD_ARGUMENT);
        ck_assert_ptr_nonnull(strstr(err.text, "votes is 0, outside 1 to"));
        ck_assert_mem_eq(keep, flags[n - 1], UNITS);
    }
    mskp_graph_destroy(g);
}
END_TEST

/* Two of three: with the masks of two thresholds, a unit changes only beyond both. */
START_TEST(two_thresholds_are_a_vote)
{
    mskp_graph *g = of_units(UNITS);
    rng r = rng_make(test_seed());
    uint8_t keep[UNITS], low[UNITS], high[UNITS];
    bool due[UNITS];
    size_t between = 0;
    memset(keep, 1, sizeof keep);
    for (size_t u = 0; u < UNITS; u++) due[u] = true;
    for (size_t k = 0; k < test_count(300); k++) {
        double scores[UNITS];
        for (size_t u = 0; u < UNITS; u++) {
            scores[u] = rng_real(&r, 0, 1);
            if (scores[u] <= 0.3) due[u] = false;
            if (scores[u] > 0.7) due[u] = true;
            between += scores[u] > 0.3 && scores[u] <= 0.7 && !due[u];
        }
        scores[0] = (double)INFINITY; /* a value keeps a channel */
        due[0] = true;
        const mskp_scores s = scores_of(UNITS, scores);
        REQUIRE_OK(mskp_select(g, s, &(mskp_rule){.use_threshold = 1, .threshold = 0.3},
                               mask_of(UNITS, low), NULL, NULL));
        REQUIRE_OK(mskp_select(g, s, &(mskp_rule){.use_threshold = 1, .threshold = 0.7},
                               mask_of(UNITS, high), NULL, NULL));
        const mskp_mask three[3] = {mask_of(UNITS, keep), mask_of(UNITS, low),
                                    mask_of(UNITS, high)};
        REQUIRE_OK(mskp_mask_vote(g, 3, three, 2, three[0], NULL));
        for (size_t u = 0; u < UNITS; u++) ck_assert_int_eq(keep[u], due[u]);
    }
    ck_assert_uint_gt(between, 10);
    mskp_graph_destroy(g);
}
END_TEST

/* Against the whole history: a unit changes if the last so many proposals differed from it, all of
 * them after its last change. */
START_TEST(hysteresis_waits)
{
    enum { ROUNDS = 60 };
    mskp_graph *g = of_units(UNITS);
    rng r = rng_make(test_seed());
    size_t changes = 0, held = 0;
    for (uint32_t wait = 0; wait < 5; wait++) {
        uint8_t history[ROUNDS][UNITS], keep[UNITS];
        uint32_t streak[UNITS] = {0};
        size_t changed[UNITS] = {0}; /* the round after the last change */
        bool state[UNITS];
        for (size_t u = 0; u < UNITS; u++) {
            state[u] = rng_chance(&r, 0.5);
            keep[u] = state[u] ? 4 : 0;
        }
        for (size_t k = 0; k < ROUNDS; k++) {
            for (size_t u = 0; u < UNITS; u++) history[k][u] = rng_chance(&r, 0.5) ? 0 : 9;
            REQUIRE_OK(mskp_mask_hysteresis(g, mask_of(UNITS, history[k]), wait, UNITS, streak,
                                            mask_of(UNITS, keep), NULL));
            for (size_t u = 0; u < UNITS; u++) {
                const size_t least = wait ? wait : 1;
                size_t n = 0;
                while (n <= k && k - n + 1 > changed[u] && (history[k - n][u] != 0) != state[u])
                    n++;
                if (n >= least) {
                    state[u] = !state[u];
                    changed[u] = k + 1;
                    changes++;
                } else {
                    held += n > 0;
                }
                ck_assert_msg(keep[u] == (state[u] ? 1 : 0), "wait %u, round %zu, unit %zu", wait,
                              k, u);
            }
        }
    }
    ck_assert(changes > 100 && held > 100);
    uint8_t keep[UNITS] = {1}, proposed[UNITS] = {0};
    uint32_t streak[UNITS];
    mskp_error err;
    memset(streak, 0xFF, sizeof streak); /* more rounds than can be counted */
    REQUIRE_OK(mskp_mask_hysteresis(g, mask_of(UNITS, proposed), UINT32_MAX, UNITS, streak,
                                    mask_of(UNITS, keep), NULL));
    ck_assert(keep[0] == 0 && streak[0] == 0 && streak[1] == 0);
    ck_assert_int_eq(mskp_mask_hysteresis(g, mask_of(UNITS, proposed), 2, UNITS - 1, streak,
                                          mask_of(UNITS, keep), &err),
                     MSKP_ERROR_OTHER_NETWORK);
    ck_assert_str_eq(err.text, "streak has 39 units, the graph has 40");
    ck_assert_int_eq(mskp_mask_hysteresis(g, mask_of(UNITS, proposed), 2, UNITS, NULL,
                                          mask_of(UNITS, keep), &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    mskp_graph_destroy(g);
}
END_TEST

/* ---- Schedules ---- */

START_TEST(schedules_follow_their_formulas)
{
    rng r = rng_make(test_seed());
    for (size_t k = 0; k < test_count(2000); k++) {
        const size_t rounds = rng_from(&r, 1, 20);
        double from = (double)rng_below(&r, 5) / 4, to = rng_real(&r, 0, 1);
        if (rng_chance(&r, 0.2)) to = 1;
        for (int s = MSKP_SCHEDULE_LINEAR; s <= MSKP_SCHEDULE_EXPONENTIAL; s++) {
            double before = from;
            ck_assert(mskp_schedule_at((mskp_schedule)s, from, to, 0, rounds) == from);
            for (size_t i = 1; i <= rounds; i++) {
                const double t = (double)i / (double)rounds;
                const double due[3] = {from * (1 - t) + to * t, to + (from - to) * pow(1 - t, 3),
                                       1 - pow(1 - from, 1 - t) * pow(1 - to, t)};
                const double x = mskp_schedule_at((mskp_schedule)s, from, to, i, rounds);
                ck_assert_msg(fabs(x - due[s]) <= 1e-14, "%d: %g to %g at %zu of %zu: %.17g, %.17g",
                              s, from, to, i, rounds, x, due[s]);
                ck_assert(from <= to ? before <= x && x <= to : before >= x && x >= to);
                before = x;
            }
            ck_assert(before == to);
            ck_assert(mskp_schedule_at((mskp_schedule)s, from, to, UINT64_MAX, rounds) == to);
            ck_assert(mskp_schedule_at((mskp_schedule)s, from, to, 0, 0) == to);
        }
    }
    /* Each round of an exponential schedule removes the same share of what is left: 1 - 0.6 = 0.4
     * of it stays after two rounds, so sqrt(0.4) after one. */
    ck_assert_double_eq_tol(mskp_schedule_at(MSKP_SCHEDULE_EXPONENTIAL, 0, 0.6, 1, 2),
                            1 - sqrt(0.4), 1e-15);
    ck_assert(isnan(mskp_schedule_at(MSKP_SCHEDULE_LINEAR, -0.1, 1, 0, 1)));
    ck_assert(isnan(mskp_schedule_at(MSKP_SCHEDULE_LINEAR, 0, 1.1, 0, 1)));
    ck_assert(isnan(mskp_schedule_at(MSKP_SCHEDULE_LINEAR, 1.1, 1, 0, 1)));
    ck_assert(isnan(mskp_schedule_at(MSKP_SCHEDULE_LINEAR, 0, -0.1, 0, 1)));
    ck_assert(isnan(mskp_schedule_at(MSKP_SCHEDULE_LINEAR, (double)NAN, 1, 0, 1)));
    ck_assert(isnan(mskp_schedule_at((mskp_schedule)3, 0, 1, 0, 1)));
}
END_TEST

/* ---- Sensitivity ---- */

typedef struct prober {
    const trial *t;
    const double *worth; /* of each unit */
    size_t calls, fail_at;
} prober;

/* What the units are worth that stay. */
static double worth_of(const prober *p, const uint8_t *keep)
{
    double sum = 0;
    for (size_t u = 0; u < p->t->units; u++) sum += keep[u] ? p->worth[u] : 0;
    return sum;
}

static double probe(void *context, mskp_mask keep, size_t family, double fraction)
{
    prober *p = context;
    (void)fraction;
    for (size_t u = 0; u < keep.n; u++)
        REQUIRE(keep.unit[u] || p->t->model.family[u] == family, "unit %zu left with family %zu", u,
                family);
    return ++p->calls == p->fail_at ? (double)NAN : worth_of(p, keep.unit);
}

static void random_fractions(rng *r, size_t n, double *fractions)
{
    fractions[0] = rng_chance(r, 0.3) ? 0 : rng_real(r, 0, 1.0 / (double)n);
    for (size_t i = 1; i < n; i++) fractions[i] = ((double)i + rng_real(r, 0, 1)) / (double)n;
}

START_TEST(scans_and_caps)
{
    size_t calls = 0, numbers = 0, locked = 0, capped = 0;
    for (size_t k = 0; k < test_count(400); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        const size_t families = mskp_graph_counts(t.graph).families, n = rng_from(&t.r, 1, 6);
        double fractions[6], *scores = random_scores(&t), *worth = random_scores(&t);
        double *table = arena_get(&t.mem, families * n, sizeof *table);
        double *untouched = arena_get(&t.mem, families * n, sizeof *table);
        uint8_t *keep = arena_get(&t.mem, t.units, 1);
        mskp_family_rule *own = arena_get(&t.mem, families, sizeof *own);
        for (size_t u = 0; u < t.units; u++)
            if (isinf(worth[u])) worth[u] = 1;
        random_fractions(&t.r, n, fractions);
        mskp_rule limits = random_rule(&t);
        if (rng_chance(&t.r, 0.5)) limits = (mskp_rule){0};
        prober p = {&t, worth, 0, 0};
        const mskp_sensitivity_desc desc = {n, fractions, probe, &p,
                                            limits.round_to ? &limits : NULL};
        mskp_error err = {0};
        const mskp_scores s = scores_of(t.units, scores);
        REQUIRE(mskp_sensitivity(t.graph, s, &desc, families * n, table, &err) == MSKP_OK, "%s",
                err.text);
        REQUIRE(p.calls <= families * n + 1, "%zu calls", p.calls);
        calls += p.calls, numbers += families * n;
        for (size_t f = 0; f < families; f++)
            for (size_t i = 0; i < n; i++) {
                mskp_rule rule = {.nfamilies = families, .families = own};
                for (size_t j = 0; j < families; j++) {
                    own[j] =
                        desc.limits && limits.families ? limits.families[j] : (mskp_family_rule){0};
                    own[j].remove_fraction = 0;
                }
                if (desc.limits) {
                    rule.min_channels = limits.min_channels, rule.round_to = limits.round_to;
                    rule.max_family_fraction = limits.max_family_fraction;
                    rule.locked = limits.locked;
                }
                own[f].remove_fraction = fractions[i];
                memset(keep, 1, t.units);
                if (fractions[i] > 0)
                    REQUIRE_OK(mskp_select(t.graph, s, &rule, mask_of(t.units, keep), NULL, NULL));
                REQUIRE(table[f * n + i] == worth_of(&p, keep), "family %zu, fraction %g", f,
                        fractions[i]);
            }
        /* The caps. */
        const double least =
            worth_of(&p, arena_copy(&t.mem, memset(keep, 1, t.units), t.units, 1)) -
            rng_real(&t.r, 0, 3);
        for (size_t f = 0; f < families; f++) own[f] = (mskp_family_rule){.round_to = f + 1};
        if (families) own[0].max_fraction = 0.25;
        REQUIRE_OK(mskp_sensitivity_caps(t.graph, &desc, table, least, families, own, NULL));
        for (size_t f = 0; f < families; f++) {
            double cap = 0;
            for (size_t i = 0; i < n; i++) {
                bool good = true;
                for (size_t j = 0; j <= i; j++) good &= table[f * n + j] >= least;
                if (good) cap = fractions[i];
            }
            REQUIRE(own[f].locked == (cap > 0 ? 0u : 1u) && own[f].round_to == f + 1, "family %zu",
                    f);
            if (f == 0) cap = cap > 0 && cap < 0.25 ? cap : 0.25;
            REQUIRE(own[f].max_fraction == cap, "family %zu: %g, %g", f, own[f].max_fraction, cap);
            locked += own[f].locked, capped += !own[f].locked;
        }
        /* NaN ends the scan, and the table stays as it was. */
        memcpy(untouched, table, families * n * sizeof *table);
        for (size_t i = 0; i < families * n; i++) untouched[i] = table[i] = -5;
        p.fail_at = p.calls ? rng_from(&t.r, 1, p.calls) : 0;
        p.calls = 0;
        if (p.fail_at) {
            REQUIRE(mskp_sensitivity(t.graph, s, &desc, families * n, table, &err) ==
                            MSKP_ERROR_BAD_NUMBER &&
                        strstr(err.text, "the accuracy is NaN"),
                    "%s", err.text);
            REQUIRE(p.calls == p.fail_at, "%zu calls", p.calls);
            REQUIRE(!memcmp(table, untouched, families * n * sizeof *table), "the table changed");
        }
        trial_end(&t);
    }
    REQUIRE(calls < numbers && locked && capped, "%zu calls, %zu numbers; %zu locked, %zu capped",
            calls, numbers, locked, capped);
}
END_TEST

static double count_kept(void *context, mskp_mask keep, size_t family, double fraction)
{
    double kept = 0;
    (void)family, (void)fraction;
    ++*(size_t *)context;
    for (size_t u = 0; u < keep.n; u++) kept += keep.unit[u];
    return kept;
}

static double no_accuracy(void *context, mskp_mask keep, size_t family, double fraction)
{
    (void)context, (void)keep, (void)family, (void)fraction;
    return (double)NAN;
}

/* The accuracy is the number of units that stay, of 6 in one family. */
START_TEST(scans_by_hand)
{
    static const struct {
        double fraction[2];
        mskp_family_rule family;
        size_t round_to; /* of the whole rule */
        double expected[2];
        size_t calls;
    } cases[] = {
        {{0.25, 0.5}, {.locked = 0}, 0, {5, 3}, 2},
        {{0, 0.5}, {.locked = 0}, 0, {6, 3}, 2},
        {{0.5, 0.55}, {.locked = 0}, 0, {3, 3}, 1},         /* 3.3 of 6 are 3 */
        {{0.25, 0.5}, {.max_fraction = 0.4}, 0, {5, 4}, 2}, /* 2.4 are 2 */
        {{0.25, 0.5}, {.locked = 1}, 0, {6, 6}, 1},
        {{0.4, 0.8}, {.remove_fraction = 1}, 0, {4, 2}, 2}, /* a demand does not count */
        {{0.4, 0.8}, {.round_to = 3}, 2, {6, 3}, 2},
        {{0.4, 0.8}, {.locked = 0}, 2, {4, 2}, 2},
    };
    by_hand h = make_by_hand();
    const double scores[6] = {1, 2, 3, 4, 5, 6};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        size_t calls = 0;
        double table[2];
        mskp_error err = {0};
        mskp_family_rule own = cases[k].family;
        const mskp_rule limits = {.nfamilies = 1, .families = &own, .round_to = cases[k].round_to};
        const mskp_sensitivity_desc desc = {2, cases[k].fraction, count_kept, &calls, &limits};
        ck_assert_msg(!mskp_sensitivity(h.g, scores_of(6, scores), &desc, 2, table, &err), "%s",
                      err.text);
        ck_assert_msg(table[0] == cases[k].expected[0] && table[1] == cases[k].expected[1],
                      "case %zu: %g %g", k, table[0], table[1]);
        ck_assert_msg(calls == cases[k].calls, "case %zu: %zu calls", k, calls);
    }
    for (int removed = 0; removed < 2; removed++) { /* of the whole network, or without a part */
        const double fraction = removed;
        double table = 7;
        mskp_error err = {0};
        const mskp_sensitivity_desc desc = {1, &fraction, no_accuracy, NULL, NULL};
        ck_assert_int_eq(mskp_sensitivity(h.g, scores_of(6, scores), &desc, 1, &table, &err),
                         MSKP_ERROR_BAD_NUMBER);
        ck_assert_msg(strstr(err.text, "the accuracy is NaN") && table == 7, "%s", err.text);
    }
    mskp_graph_destroy(h.g);
}
END_TEST

START_TEST(mistakes_of_scans_are_named)
{
    by_hand h = make_by_hand();
    const double down[2] = {0.5, 0.25}, over[2] = {0.5, 1.5}, under[1] = {-0.5},
                 nan[1] = {(double)NAN}, good[2] = {0, 1};
    const double scores[6] = {1, 2, 3, 4, 5, 6}, bad_scores[6] = {1, (double)NAN};
    const mskp_rule wrong = {.max_family_fraction = 2};
    double table[2] = {7, 7};
    mskp_family_rule f[1] = {{0}};
    const struct {
        mskp_sensitivity_desc desc;
        size_t n;
        const double *scores;
        mskp_status status;
        const char *text;
    } row[] = {
        {{2, down, probe, NULL, NULL},
         2,
         scores,
         MSKP_ERROR_BAD_ARGUMENT,
         "fractions[1] is 0.25, after 0.5"},
        {{2, over, probe, NULL, NULL},
         2,
         scores,
         MSKP_ERROR_BAD_ARGUMENT,
         "fractions[1] is 1.5, outside 0 to 1"},
        {{1, under, probe, NULL, NULL},
         1,
         scores,
         MSKP_ERROR_BAD_ARGUMENT,
         "fractions[0] is -0.5, outside 0 to 1"},
        {{1, nan, probe, NULL, NULL}, 1, scores, MSKP_ERROR_BAD_NUMBER, "fractions[0] is NaN"},
        {{0, good, probe, NULL, NULL}, 0, scores, MSKP_ERROR_BAD_ARGUMENT, "no fractions"},
        {{2, NULL, probe, NULL, NULL}, 2, scores, MSKP_ERROR_BAD_ARGUMENT, "no fractions"},
        {{2, good, probe, NULL, NULL},
         3,
         scores,
         MSKP_ERROR_OTHER_NETWORK,
         "table has 3 numbers, 1 families by 2"},
        {{2, good, NULL, NULL, NULL}, 2, scores, MSKP_ERROR_BAD_ARGUMENT, "accuracy is NULL"},
        {{2, good, probe, NULL, &wrong},
         2,
         scores,
         MSKP_ERROR_BAD_ARGUMENT,
         "max_family_fraction is 2"},
        {{2, good, probe, NULL, NULL},
         2,
         bad_scores,
         MSKP_ERROR_BAD_NUMBER,
         "the score of unit 1 is NaN"},
    };
    mskp_error err;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const mskp_status status =
            mskp_sensitivity(h.g, scores_of(6, row[i].scores), &row[i].desc, row[i].n, table, &err);
        ck_assert_msg(status == row[i].status && strstr(err.text, row[i].text), "%zu: %d %s", i,
                      (int)status, err.text);
        ck_assert(table[0] == 7 && table[1] == 7);
    }
    const mskp_sensitivity_desc desc = {2, good, NULL, NULL, NULL};
    ck_assert_int_eq(mskp_sensitivity_caps(h.g, &desc, table, (double)NAN, 1, f, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_int_eq(mskp_sensitivity_caps(h.g, &desc, table, 1, 2, f, &err),
                     MSKP_ERROR_OTHER_NETWORK);
    ck_assert_int_eq(mskp_sensitivity_caps(h.g, NULL, table, 1, 1, f, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_sensitivity_caps(NULL, &desc, table, 1, 1, f, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    mskp_graph *unfinished = mskp_graph_create(NULL);
    ck_assert_int_eq(mskp_sensitivity_caps(unfinished, &desc, table, 1, 1, f, &err),
                     MSKP_ERROR_BAD_STATE);
    mskp_graph_destroy(unfinished);
    ck_assert(f[0].locked == 0 && f[0].max_fraction == 0);
    mskp_graph_destroy(h.g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rules");
    TCase *tcase = tcase_create("rules");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, patterns_mean_what_the_header_says);
    tcase_add_test(tcase, patterns_by_hand);
    tcase_add_test(tcase, many_stars_take_no_time);
    tcase_add_test(tcase, names_mark_their_units);
    tcase_add_test(tcase, fields_are_set_one_by_one);
    tcase_add_test(tcase, families_keep_to_their_rules);
    tcase_add_test(tcase, budgets_measure_what_is_left);
    tcase_add_test(tcase, scores_per_budget);
    tcase_add_test(tcase, prices_by_hand);
    tcase_add_test(tcase, mistakes_of_scores_per_budget);
    tcase_add_test(tcase, joint_budgets_hold_and_are_minimal);
    tcase_add_test(tcase, callbacks_are_called_seldom);
    tcase_add_test(tcase, amounts_by_hand);
    tcase_add_test(tcase, peaks_of_the_literature);
    tcase_add_test(tcase, unknown_operators_by_hand);
    tcase_add_test(tcase, moves_by_hand);
    tcase_add_test(tcase, branches_by_hand);
    tcase_add_test(tcase, attention_by_hand);
    tcase_add_test(tcase, mistakes_of_budgets_are_named);
    tcase_add_test(tcase, mistakes_of_families_are_named);
    tcase_add_test(tcase, votes_are_counted);
    tcase_add_test(tcase, two_thresholds_are_a_vote);
    tcase_add_test(tcase, hysteresis_waits);
    tcase_add_test(tcase, schedules_follow_their_formulas);
    tcase_add_test(tcase, scans_and_caps);
    tcase_add_test(tcase, scans_by_hand);
    tcase_add_test(tcase, mistakes_of_scans_are_named);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

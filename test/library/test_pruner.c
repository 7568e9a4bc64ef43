/*
 * The pruner: strengths that are found, stages, cuts within budgets, and texts that bring a pruner
 * back.
 *
 * The loss is half the squared distance of all weights from targets of their own, so it pulls every
 * marked weight back in each step. Optimizers are written out here.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id/by_id.h"
#include "interpreter/elements.h"
#include "interpreter/laws.h"
#include "mskp/pruner.h"

/* ---- one layer of scales, trained by several optimizers ---- */

enum { UNITS = 12, STEPS = 600 };

typedef enum optimizer { DESCENT, MOMENTUM, ADAM, OPTIMIZERS } optimizer;
typedef enum rates { CONSTANT, COSINE, IN_STEPS, RATES } rates;

static double rate_at(rates how, double first, int step, int steps)
{
    const double done = (double)step / steps;
    if (how == COSINE) return first * (1 + cos(3.141592653589793 * done)) / 2;
    return how == CONSTANT ? first : first * (done < 0.5 ? 1 : done < 0.75 ? 0.1 : 0.01);
}

typedef struct scales {
    mskp_graph *graph;
    _Alignas(8) double gamma[UNITS]; /* also where doubles are aligned to 4 */
    _Alignas(8) double slope[UNITS];
    double target[UNITS], first[UNITS], second[UNITS];
    mskp_tensor value, gradient;
} scales;

static void scales_begin(scales *s)
{
    memset(s, 0, sizeof *s);
    s->graph = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(s->graph, "v", UNITS, 0, NULL);
    const mskp_param gamma = mskp_parameter(s->graph, "gamma", 1, (size_t[]){UNITS});
    ck_assert_int_eq(mskp_bind(s->graph, gamma, 0, MSKP_ROLE_SCALE, v), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(s->graph, NULL), MSKP_OK);
    for (int u = 0; u < UNITS; u++) s->gamma[u] = s->target[u] = (u % 2 ? 1 : -1) * (0.2 + 0.1 * u);
    s->value = (mskp_tensor){.data = s->gamma, .dtype = MSKP_DTYPE_F64};
    s->gradient = (mskp_tensor){.data = s->slope, .dtype = MSKP_DTYPE_F64};
}

static void scales_slopes(scales *s)
{
    for (int u = 0; u < UNITS; u++) s->slope[u] = 0.1 * (s->gamma[u] - s->target[u]);
}

static void scales_step(scales *s, optimizer how, double rate, int step)
{
    for (int u = 0; u < UNITS; u++) {
        const double g = s->slope[u];
        if (how == ADAM) {
            s->first[u] = 0.9 * s->first[u] + 0.1 * g;
            s->second[u] = 0.999 * s->second[u] + 0.001 * g * g;
            const double m = s->first[u] / (1 - pow(0.9, step + 1));
            const double v = s->second[u] / (1 - pow(0.999, step + 1));
            s->gamma[u] -= rate * m / (sqrt(v) + 1e-8);
        } else {
            s->first[u] = (how == MOMENTUM ? 0.9 : 0) * s->first[u] + g;
            s->gamma[u] -= rate * s->first[u];
        }
    }
}

/* Whatever the optimizer and its rates, marked scales are exactly 0 at the end of the pull, what is
 * taken off in its last step is small, and the others are where the loss wants them. */
static double train_scales(optimizer how, rates schedule, mskp_pull pull, bool told, bool fade)
{
    scales s;
    scales_begin(&s);
    mskp_pruner *p = NULL;
    mskp_error err = {0};
    const mskp_pruner_options options = {.rule = {.remove_fraction = 0.5},
                                         .pull = pull,
                                         .fade = fade,
                                         .momentum = told && how == MOMENTUM ? 0.9 : 0,
                                         .steps = STEPS,
                                         .masked = 1};
    const mskp_tensors values = {1, &s.value}, gradients = {1, &s.gradient};
    ck_assert_int_eq(mskp_pruner_create(s.graph, &options, &p, &err), MSKP_OK);
    ck_assert_int_eq(mskp_pruner_due(p), MSKP_PRUNER_DUE_MASK);
    double left = 0, back = 0; /* of marked scales: before the last step; the largest way back */
    for (int step = 0; step < STEPS; step++) {
        const double rate = rate_at(schedule, how == ADAM ? 0.01 : 0.1, step, STEPS);
        scales_slopes(&s);
        ck_assert_msg(!mskp_pruner_before_step(p, rate, values, gradients, &err), "%s", err.text);
        double were[UNITS];
        memcpy(were, s.gamma, sizeof were);
        scales_step(&s, how, rate, step);
        for (int u = 0; u < UNITS / 2; u++) {
            back = fmax(back, fabs(s.gamma[u]) - fabs(were[u]));
            if (step + 1 == STEPS) left = fmax(left, fabs(were[u]));
        }
        ck_assert_msg(!mskp_pruner_after_step(p, rate, values, &err), "%s", err.text);
    }
    ck_assert_int_eq(mskp_pruner_due(p), MSKP_PRUNER_DUE_CUT);
    mskp_pruner_gauges g;
    ck_assert_int_eq(mskp_pruner_gauge(p, values, &g, &err), MSKP_OK);
    ck_assert_msg(g.residue >= 0 && g.residue < 2 * g.start, "residue %g", g.residue);
    ck_assert_msg(g.ready && g.marked == UNITS / 2 && g.left.largest == 0 && g.left.zeros == 6 &&
                      g.exact && g.start == fabs(s.target[UNITS / 2 - 1]),
                  "%d %zu %g %g", (int)g.ready, g.marked, g.left.largest, g.start);
    if (getenv("MSKP_TEST_VERBOSE"))
        printf("optimizer %d, rates %d, pull %d, told %d, fade %d: %.2g of the start was left, "
               "%.2g back\n",
               (int)how, (int)schedule, (int)pull, told, fade, left / g.start, back);
    /* What the loss moves back in a step is left for the last step, and of a deadline's straight
     * line 1 / STEPS of the start; there, what is moved back adds up to a harmonic sum. */
    const double line = pull == MSKP_PULL_DEADLINE ? g.start / STEPS + back * (1 + log(STEPS))
                                                   : g.start / STEPS / STEPS + 2 * back;
    ck_assert_msg(left <= line || pull == MSKP_PULL_GRADIENT,
                  "%d %d %d: %g is left, the line is at %g", (int)how, (int)schedule, (int)pull,
                  left, line);
    for (int u = UNITS / 2; u < UNITS; u++)
        ck_assert_msg(fabs(s.gamma[u] - s.target[u]) < 0.02, "gamma[%d] is %g, not %g", u,
                      s.gamma[u], s.target[u]);
    mskp_pruner_destroy(p);
    mskp_graph_destroy(s.graph);
    return left / g.start;
}

START_TEST(strengths_are_found)
{
    for (int how = 0; how < OPTIMIZERS; how++)
        for (int schedule = 0; schedule < RATES; schedule++)
            for (int pull = 0; pull < 3; pull++)
                for (int k = 0; k < 4; k++) {
                    if (pull == MSKP_PULL_GRADIENT && how == ADAM) continue;
                    const double left = train_scales((optimizer)how, (rates)schedule,
                                                     (mskp_pull)pull, k & 1, k & 2);
                    /* Where the loss's pull ends with its gradient or its rate, so does the
                     * way that is left. */
                    if (k & 2 && schedule != CONSTANT && pull != MSKP_PULL_DEADLINE)
                        ck_assert_msg(left < (pull == MSKP_PULL_PROXIMAL ? 1e-3 : 1e-2),
                                      "%d %d %d %d: %g", how, schedule, pull, k, left);
                }
}
END_TEST

/* Gradients that are negative sums over 16 images, as darknet keeps them, move the scales in the
 * same way, bit for bit: all factors are powers of 2. */
START_TEST(negative_sums)
{
    double left[2][UNITS];
    for (int k = 0; k < 2; k++) {
        scales s;
        scales_begin(&s);
        mskp_pruner *p = NULL;
        mskp_error err = {0};
        const double scale = k ? -16 : 1;
        const mskp_pruner_options options = {.rule = {.remove_fraction = 0.5},
                                             .pull = MSKP_PULL_GRADIENT,
                                             .gradient_scale = k ? scale : 0,
                                             .sparse_strength = 0.25,
                                             .steps = 64,
                                             .sparse = 0.25,
                                             .masked = 0.5,
                                             .fade = 1};
        const mskp_tensors values = {1, &s.value}, gradients = {1, &s.gradient};
        ck_assert_int_eq(mskp_pruner_create(s.graph, &options, &p, &err), MSKP_OK);
        for (int step = 0; step < 47; step++) {
            scales_slopes(&s);
            for (int u = 0; u < UNITS; u++) s.slope[u] *= scale;
            ck_assert_msg(!mskp_pruner_before_step(p, 0.125, values, gradients, &err), "%s",
                          err.text);
            for (int u = 0; u < UNITS; u++) s.slope[u] /= scale;
            scales_step(&s, DESCENT, 0.125, step);
            ck_assert_int_eq(mskp_pruner_after_step(p, 0.125, values, &err), MSKP_OK);
        }
        memcpy(left[k], s.gamma, sizeof s.gamma);
        ck_assert(s.gamma[0] != s.target[0] && fabs(s.gamma[0]) < 0.01);
        mskp_pruner_destroy(p);
        mskp_graph_destroy(s.graph);
    }
    ck_assert_mem_eq(left[0], left[1], sizeof left[0]);
}
END_TEST

/* ---- random networks ---- */

enum { SETS = 4 }; /* values, gradients, targets, momentum */

typedef struct training {
    trial t;
    set sets[SETS];
    mskp_pruner_options options;
    mskp_pruner *p;
    mskp_cost dense;
    size_t cuts, surprises; /* cuts for which units would have to leave that were not marked */
} training;

static mskp_tensors set_of(const training *w, int which)
{
    return set_by_id(w->t.net->params, w->sets[which].views);
}

/* A rule whose amounts can be met by most networks. */
static mskp_rule easy_rule(training *w)
{
    rng *r = &w->t.r;
    mskp_rule rule = {.min_channels = 1, .empty_branches = rng_chance(r, 0.3)};
    if (rng_chance(r, 0.5)) rule.max_macs = rng_real(r, 0.5, 1) * w->dense.macs;
    if (rng_chance(r, 0.5)) rule.max_params = rng_real(r, 0.5, 1) * w->dense.params;
    if (!(rule.max_macs > 0) && !(rule.max_params > 0))
        rule.remove_fraction = rng_real(r, 0.1, 0.6);
    if (rng_chance(r, 0.3)) {
        uint8_t *locked = arena_get(&w->t.mem, w->t.units, 1);
        for (size_t u = 0; u < w->t.units; u++) locked[u] = rng_chance(r, 0.2);
        rule.locked = mask_of(w->t.units, locked);
    }
    return rule;
}

static bool training_begin(training *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    trial_begin(&w->t, seed, &(net_options){.constants = true}, NULL);
    rng *r = &w->t.r;
    for (int k = 0; k < SETS; k++) {
        w->sets[k] = set_make(&w->t.mem, r, w->t.net, MSKP_DTYPE_F64, VIEW_STYLES);
        set_numbers(&w->sets[k], w->t.net);
    }
    w->dense = model_cost(&w->t.model, NULL, NULL);
    w->options = (mskp_pruner_options){
        .rule = easy_rule(w),
        .scoring = {.roles = rng_chance(r, 0.5) ? MSKP_ROLES_UNIT : MSKP_ROLE_FILTER},
        .use_normalizer = rng_chance(r, 0.3),
        .penalty = {.roles = rng_chance(r, 0.5) ? MSKP_ROLES_UNIT : MSKP_ROLE_SCALE},
        .pull = (mskp_pull)rng_below(r, 3),
        .fade = rng_chance(r, 0.3),
        .strength = rng_chance(r, 0.2) ? 0.5 : 0,
        .steps = rng_from(r, 12, 40),
        .wait = rng_real(r, 0, 0.2),
        .sparse = rng_real(r, 0, 0.2),
        .sparse_strength = 0.01,
        .masked = rng_chance(r, 0.1) ? 0 : rng_real(r, 0.2, 0.6),
        .settle = rng_real(r, 0, 0.5),
        .rounds = (uint32_t)rng_below(r, 4),
        .schedule = (mskp_schedule)rng_below(r, 3),
        .refresh = rng_below(r, 4),
        .hysteresis = (uint32_t)rng_below(r, 3)};
    mskp_error err = {0};
    const mskp_status status = mskp_pruner_create(w->t.graph, &w->options, &w->p, &err);
    /* Some networks have no gamma. */
    REQUIRE(!status ||
                ((status == MSKP_ERROR_NO_SOLUTION || strstr(err.text, "has a slice")) && !w->p),
            "%s", err.text);
    return !status;
}

static void training_end(training *w)
{
    mskp_pruner_destroy(w->p);
    trial_end(&w->t);
}

/* w[0] -= rate x momentum, with momentum = 0.5 momentum + gradient. */
static void descend(const training *w, double rate)
{
    for (size_t q = 1; q <= w->t.net->params; q++) {
        mskp_tensor v[SETS];
        size_t shape[MSKP_MAX_DIMS], index[MSKP_MAX_DIMS] = {0};
        const uint32_t ndim =
            mskp_param_shape(mskp_pruner_graph(w->p), (mskp_param){(uint32_t)q}, shape);
        if (!shape_elements(ndim, shape)) continue;
        for (int k = 0; k < SETS; k++) v[k] = view_resolve(&w->sets[k].views[q], ndim, shape);
        do {
            const double m = 0.5 * view_get(&v[3], index) + view_get(&v[1], index);
            view_set(&v[3], index, m);
            view_set(&v[0], index, view_get(&v[0], index) - rate * m);
        } while (next_index(ndim, shape, index));
    }
}

static void slopes(const training *w)
{
    for (size_t q = 1; q <= w->t.net->params; q++) {
        mskp_tensor v[SETS];
        size_t shape[MSKP_MAX_DIMS], index[MSKP_MAX_DIMS] = {0};
        const uint32_t ndim =
            mskp_param_shape(mskp_pruner_graph(w->p), (mskp_param){(uint32_t)q}, shape);
        if (!shape_elements(ndim, shape)) continue;
        for (int k = 0; k < SETS; k++) v[k] = view_resolve(&w->sets[k].views[q], ndim, shape);
        do view_set(&v[1], index, 0.1 * (view_get(&v[0], index) - view_get(&v[2], index)));
        while (next_index(ndim, shape, index));
    }
}

/* What is left of the rule after a round that was the k-th of n. */
static double after_round(const training *w, double all, double limit)
{
    const uint32_t n = w->options.rounds ? w->options.rounds : 1;
    const double f = mskp_schedule_at(w->options.schedule, 0, 1, w->cuts, n);
    return limit < all ? all - f * (all - limit) : all;
}

/* The network after a cut is within this round's part of each demand. */
static void require_budgets(const training *w)
{
    const mskp_rule *rule = &w->options.rule;
    mskp_cost now;
    const mskp_graph *graph = mskp_pruner_graph(w->p);
    REQUIRE_OK(mskp_measure(graph, mask_of(0, NULL), &now, NULL, NULL));
    if (rule->max_macs > 0)
        REQUIRE(now.macs <= after_round(w, w->dense.macs, rule->max_macs) * (1 + 1e-12),
                "%.17g MACs of %g, limit %g, cut %zu", now.macs, w->dense.macs, rule->max_macs,
                w->cuts);
    if (rule->max_params > 0)
        REQUIRE(now.params <= after_round(w, w->dense.params, rule->max_params) * (1 + 1e-12),
                "%.17g parameters of %g, limit %g, cut %zu", now.params, w->dense.params,
                rule->max_params, w->cuts);
    const size_t units = mskp_graph_counts(graph).units;
    const double f = after_round(w, 1, 1 - rule->remove_fraction);
    REQUIRE((double)units <= ceil(f * (double)w->t.units + 1e-6), "%zu of %zu units, cut %zu",
            units, w->t.units, w->cuts);
}

/* What the gauges say of a cut now, against the cut that is worked out. */
static void require_foresight(training *w)
{
    mskp_error err = {0};
    mskp_pruner_gauges g;
    const mskp_constants *constants = NULL;
    mskp_constants_report total;
    const mskp_mask mask = mskp_pruner_mask(w->p), none = mask_of(0, NULL);
    uint8_t *selected = arena_get(&w->t.mem, w->t.units, 1);
    size_t unmarked = 0;
    if (!mask.n) return;
    REQUIRE(!mskp_pruner_gauge(w->p, set_of(w, 0), &g, &err), "gauge: %s", err.text);
    const mskp_status status = mskp_pruner_prepare(w->p, set_of(w, 0), NULL, &constants, &err);
    REQUIRE(!status || status == MSKP_ERROR_NO_SOLUTION, "prepare: %s", err.text);
    REQUIRE(!status || !g.exact, "exact, and the cut is refused: %s", err.text);
    if (status) return;
    REQUIRE_OK(mskp_constants_masks(constants, mask_of(mask.n, selected), none, none, NULL));
    REQUIRE_OK(mskp_constants_total(constants, &total, NULL));
    for (size_t u = 0; u < mask.n; u++) unmarked += mask.unit[u] && !selected[u];
    REQUIRE(g.unmarked == unmarked, "%zu units would leave unmarked, the cut removes %zu",
            g.unmarked, unmarked);
    REQUIRE(!g.exact == !(total.exact && !unmarked && !(g.left.largest > 0)), "exact is %u",
            g.exact);
    REQUIRE(unmarked ? isinf(g.bound) : !(g.bound < total.bound || g.bound > total.bound),
            "the bound is %g, of the cut %g", g.bound, total.bound);
    w->surprises += unmarked > 0;
}

/* One step, or a cut before it. false: carriers broke a budget, and training ends. */
static bool go_on(training *w, uint64_t step)
{
    const double rate = rate_at(COSINE, 0.2, (int)step, (int)w->options.steps);
    mskp_error err = {0};
    while (mskp_pruner_due(w->p) == MSKP_PRUNER_DUE_CUT) {
        mskp_move moves[SETS];
        for (int k = 0; k < SETS; k++) moves[k] = (mskp_move){.from = set_of(w, k)};
        require_foresight(w);
        const mskp_status status = mskp_pruner_cut(w->p, SETS, moves, &err);
        REQUIRE(!status || status == MSKP_ERROR_NO_SOLUTION, "cut: %s", err.text);
        if (status) return false;
        w->cuts++;
        require_budgets(w);
    }
    slopes(w);
    mskp_status status = mskp_pruner_before_step(w->p, rate, set_of(w, 0), set_of(w, 1), &err);
    REQUIRE(!status || status == MSKP_ERROR_NO_SOLUTION, "before: %s", err.text);
    if (status) return false;
    descend(w, rate);
    status = mskp_pruner_after_step(w->p, rate, set_of(w, 0), &err);
    REQUIRE(!status, "after: %s", err.text);
    return true;
}

static char *text_of(const mskp_pruner *p, arena *mem, size_t *length)
{
    REQUIRE_OK(mskp_pruner_write(p, 0, NULL, length, NULL));
    char *text = arena_get(mem, *length + 1, 1);
    REQUIRE_OK(mskp_pruner_write(p, *length + 1, text, length, NULL));
    REQUIRE(strlen(text) == *length, "%zu", *length);
    return text;
}

/* The same training with and without interruptions ends with the same bytes; each cut is within its
 * part of the rule; at the end of each automatic pull, nothing marked is left. */
START_TEST(rounds_and_checkpoints)
{
    const size_t count = test_count(400);
    size_t refused = 0, stopped = 0, cuts = 0, interrupted = 0, shrunk = 0, pulls = 0,
           surprises = 0;
    for (size_t k = 0; k < count; k++) {
        training a, b;
        const uint64_t seed = test_seed() * 1000000 + k;
        const bool made = training_begin(&a, seed);
        REQUIRE(training_begin(&b, seed) == made, "another rule");
        refused += !made;
        rng r = rng_make(seed + 77);
        bool going = made;
        for (uint64_t step = 0; going && step < a.options.steps; step++) {
            going = go_on(&a, step);
            if (rng_chance(&r, 0.2)) {
                size_t length;
                char *text = text_of(b.p, &b.t.mem, &length);
                mskp_plan *plan = NULL;
                mskp_error err = {0};
                mskp_pruner_destroy(b.p);
                b.p = NULL;
                REQUIRE(!mskp_pruner_read(b.t.graph, &b.options, length, text, &b.p, &plan, &err),
                        "%s\n%s", err.text, text);
                REQUIRE((plan != NULL) == (b.cuts > 0), "%zu cuts", b.cuts);
                for (uint32_t q = 1; plan && q <= b.t.net->params; q++) {
                    size_t shape[MSKP_MAX_DIMS], n;
                    const uint32_t ndim =
                        mskp_param_shape(mskp_pruner_graph(b.p), (mskp_param){q}, shape);
                    for (uint32_t d = 0; d < ndim; d++)
                        if (mskp_plan_param_kept(plan, (mskp_param){q}, d, &n) || n)
                            REQUIRE(n == shape[d], "parameter %u: %zu, %zu", q, n, shape[d]);
                }
                mskp_plan_destroy(plan);
                interrupted++;
            }
            REQUIRE(go_on(&b, step) == going, "step %llu", (unsigned long long)step);
            mskp_gauge left;
            if (going && mskp_pruner_due(a.p) == MSKP_PRUNER_DUE_CUT && mskp_pruner_mask(a.p).n &&
                (a.options.pull == MSKP_PULL_DEADLINE || !(a.options.strength > 0))) {
                REQUIRE_OK(mskp_penalty_gauge(mskp_pruner_graph(a.p), mskp_pruner_mask(a.p),
                                              &a.options.penalty, set_of(&a, 0), &left, NULL));
                REQUIRE(left.largest == 0 && left.zeros == left.elements, "%g is left",
                        left.largest);
                pulls += left.elements > 0;
            }
        }
        stopped += made && !going;
        cuts += a.cuts;
        surprises += a.surprises;
        for (int s = 0; s < SETS; s++)
            REQUIRE(set_same(&a.sets[s], &b.sets[s]), "set %d differs", s);
        if (a.cuts) {
            require_same_graph(mskp_pruner_graph(a.p), mskp_pruner_graph(b.p));
            shrunk += mskp_graph_counts(mskp_pruner_graph(a.p)).units < a.t.units;
        }
        training_end(&a);
        training_end(&b);
    }
    if (getenv("MSKP_TEST_VERBOSE"))
        printf("%zu networks: %zu rules refused, %zu stopped, %zu cuts, %zu shrunk, %zu pulls to "
               "zero, %zu interruptions, %zu surprises\n",
               count, refused, stopped, cuts, shrunk, pulls, interrupted, surprises);
    REQUIRE(count < 100 || (cuts > count / 2 && shrunk > count / 3 && interrupted > count &&
                            pulls > count / 8),
            "%zu networks: %zu refused, %zu stopped, %zu cuts, %zu shrunk, %zu pulls, %zu "
            "interruptions, %zu surprises",
            count, refused, stopped, cuts, shrunk, pulls, interrupted, surprises);
}
END_TEST

/* ---- texts ---- */

/* Any other byte at any place of a state is refused, and so is each beginning of it, but for the
 * one that lacks the last line feed alone. */
START_TEST(damaged_states)
{
    training w;
    uint64_t seed = test_seed() * 1000000;
    while (!training_begin(&w, seed++)) training_end(&w);
    for (uint64_t step = 0; step < w.options.steps / 2 && go_on(&w, step); step++) {
    }
    size_t length;
    char *text = text_of(w.p, &w.t.mem, &length);
    for (size_t i = 0; i < length; i++) {
        mskp_pruner *p = NULL;
        mskp_error err = {0};
        const char was = text[i];
        if (i + 1 < length)
            REQUIRE(mskp_pruner_read(w.t.graph, &w.options, i, text, &p, NULL, &err) && !p, "%zu",
                    i);
        text[i] = (char)(was ^ (1 << (i % 7)));
        REQUIRE(mskp_pruner_read(w.t.graph, &w.options, length, text, &p, NULL, &err) && !p,
                "byte %zu", i);
        REQUIRE(err.text[0] && strlen(err.text) < sizeof err.text, "byte %zu", i);
        text[i] = was;
    }
    training_end(&w);
}
END_TEST

/* ---- gauges ---- */

/* mskp_penalty_gauge against a count element by element. */
START_TEST(gauges_count_elements)
{
    for (size_t k = 0; k < test_count(300); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        exact_net(t.net, &t.r);
        const set values = exact_set(&t, t.net);
        uint8_t *keep = random_mask(&t);
        bool *wanted = arena_get(&t.mem, t.units, sizeof *wanted);
        const mskp_penalty penalty = {.target = (mskp_target)rng_below(&t.r, 3),
                                      .roles = (uint32_t)rng_from(&t.r, 1, MSKP_ROLES_UNIT)};
        mskp_gauge g, slow = {0};
        for (size_t u = 0; u < t.units; u++)
            wanted[u] = penalty.target == MSKP_TARGET_ALL ||
                        (keep[u] == 0) == (penalty.target == MSKP_TARGET_REMOVED);
        for (size_t q = 1; q <= t.net->params; q++) {
            const net_param *param = &t.net->param[q];
            const mskp_tensor v = view_resolve(&values.views[q], param->ndim, param->shape);
            size_t index[MSKP_MAX_DIMS] = {0};
            do {
                bool any = false;
                for (uint32_t u = 0; u < t.units && !any; u++)
                    any = wanted[u] &&
                          element_axis(&t.model, q, index, u, penalty.roles) < MSKP_MAX_DIMS;
                if (!any) continue;
                const double a = fabs(view_get(&v, index));
                slow.elements++;
                slow.zeros += a == 0;
                slow.largest = fmax(slow.largest, a);
                slow.mean += a;
                for (int d = 0; d < MSKP_GAUGE_DECADES; d++) slow.below[d] += a < pow(10, -d);
            } while (next_index(param->ndim, param->shape, index));
        }
        if (slow.elements) slow.mean /= (double)slow.elements;
        REQUIRE_OK(mskp_penalty_gauge(t.graph, mask_of(t.units, keep), &penalty,
                                      set_by_id(t.net->params, values.views), &g, NULL));
        REQUIRE(!memcmp(&g, &slow, sizeof g), "%llu %llu, %g %g, %g %g",
                (unsigned long long)g.elements, (unsigned long long)slow.elements, g.largest,
                slow.largest, g.mean, slow.mean);
        trial_end(&t);
    }
}
END_TEST

/* ---- calls at the wrong time ---- */

START_TEST(order_of_calls)
{
    scales s;
    scales_begin(&s);
    mskp_pruner *p = NULL;
    mskp_error err = {0};
    mskp_plan *plan = NULL;
    const mskp_tensors values = {1, &s.value}, gradients = {1, &s.gradient};
    mskp_pruner_options options = {
        .rule = {.remove_fraction = 0.5}, .steps = 4, .wait = 0.25, .masked = 0.5};
    const mskp_move move = {.from = values};
    ck_assert_int_eq(mskp_pruner_create(s.graph, &options, &p, &err), MSKP_OK);
    ck_assert_int_eq(mskp_pruner_due(p), MSKP_PRUNER_DUE_NOTHING);
    ck_assert_int_eq(mskp_pruner_mark(p, values, mask_of(0, NULL), &err), MSKP_ERROR_BAD_STATE);
    ck_assert_str_eq(err.text, "pruner: no mask is due at step 0");
    ck_assert_int_eq(mskp_pruner_after_step(p, 0.1, values, &err), MSKP_ERROR_BAD_STATE);
    ck_assert_str_eq(err.text, "pruner: step 0 ends, but mskp_pruner_before_step did not begin it");
    ck_assert_int_eq(mskp_pruner_cut(p, 1, &move, &err), MSKP_ERROR_BAD_STATE);
    ck_assert_str_eq(err.text, "pruner: no cut is due at step 0");
    ck_assert_int_eq(mskp_pruner_prepare(p, values, &plan, NULL, &err), MSKP_ERROR_BAD_STATE);
    ck_assert_str_eq(err.text, "pruner: there is no mask at step 0, so there is nothing to cut");
    ck_assert_int_eq(mskp_pruner_cut_done(p, &err), MSKP_ERROR_BAD_STATE);
    ck_assert_str_eq(err.text, "pruner: no cut was prepared since step 0");
    ck_assert_int_eq(mskp_pruner_before_step(p, (double)NAN, values, gradients, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_str_eq(err.text, "pruner: rate is NaN, not a finite number, 0 or more");
    for (int step = 0; step < 3; step++) {
        ck_assert_int_eq(mskp_pruner_before_step(p, 0.1, values, gradients, &err), MSKP_OK);
        ck_assert_int_eq(mskp_pruner_after_step(p, 0.1, values, &err), MSKP_OK);
    }
    ck_assert_int_eq(mskp_pruner_before_step(p, 0.1, values, gradients, &err),
                     MSKP_ERROR_BAD_STATE);
    ck_assert_str_eq(err.text, "pruner: a cut is due at step 3");
    ck_assert_int_eq(mskp_pruner_cut(p, 0, &move, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_pruner_cut(p, 1, &move, &err), MSKP_OK);
    ck_assert_uint_eq(s.value.shape[0], UNITS / 2);
    ck_assert_int_eq(mskp_pruner_cut(p, 1, &move, &err), MSKP_ERROR_BAD_STATE);
    mskp_pruner_destroy(p);
    mskp_graph_destroy(s.graph);
}
END_TEST

/* A cut that is refused half way, after constants were moved, goes on with the next call. */
START_TEST(cut_in_two_attempts)
{
    scales s;
    scales_begin(&s);
    mskp_pruner *p = NULL;
    mskp_error err = {0};
    size_t length;
    double other[UNITS] = {0};
    mskp_tensor wrong = {.data = s.gamma, .dtype = MSKP_DTYPE_F64}, good = wrong;
    const mskp_tensors values = {1, &s.value};
    const mskp_pruner_options options = {.rule = {.remove_fraction = 0.25}, .steps = 1};
    good.data = other;
    ck_assert_int_eq(mskp_pruner_create(s.graph, &options, &p, &err), MSKP_OK);
    ck_assert_int_eq(mskp_pruner_due(p), MSKP_PRUNER_DUE_CUT);
    mskp_move moves[2] = {{.from = values}, {.from = {1, &wrong}}};
    ck_assert_int_eq(mskp_pruner_cut(p, 2, moves, &err), MSKP_ERROR_OVERLAP);
    ck_assert_int_eq(mskp_pruner_write(p, 0, NULL, &length, &err), MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_pruner_mark(p, values, mask_of(0, NULL), &err), MSKP_ERROR_BAD_STATE);
    ck_assert_str_eq(err.text, "pruner: the cut was begun and is not complete at step 0");
    ck_assert_int_eq(mskp_pruner_cut_done(p, &err), MSKP_ERROR_BAD_STATE);
    moves[1].from.view = &good;
    ck_assert_msg(!mskp_pruner_cut(p, 2, moves, &err), "%s", err.text);
    ck_assert_uint_eq(good.shape[0], 9);
    mskp_pruner_destroy(p);
    mskp_graph_destroy(s.graph);
}
END_TEST

/* A cut before its time: the steps that are left of the round are for tuning. */
START_TEST(early_cut)
{
    scales s;
    scales_begin(&s);
    mskp_pruner *p = NULL;
    mskp_plan *plan = NULL;
    const mskp_constants *constants = NULL;
    mskp_error err = {0};
    uint8_t keep[UNITS];
    const mskp_tensors values = {1, &s.value}, gradients = {1, &s.gradient};
    const mskp_pruner_options options = {
        .rule = {.remove_fraction = 0.5}, .steps = 8, .masked = 1, .rounds = 2};
    for (int u = 0; u < UNITS; u++) keep[u] = u != 3;
    ck_assert_int_eq(mskp_pruner_create(s.graph, &options, &p, &err), MSKP_OK);
    ck_assert(!mskp_pruner_mask(NULL).unit && !mskp_pruner_mask(NULL).n);
    ck_assert(!mskp_pruner_mask(p).unit && !mskp_pruner_mask(p).n);
    ck_assert_int_eq(mskp_pruner_mark(p, values, mask_of(UNITS, keep), &err), MSKP_OK);
    ck_assert_uint_eq(mskp_pruner_mask(p).n, UNITS);
    ck_assert_mem_eq(mskp_pruner_mask(p).unit, keep, UNITS);
    ck_assert_int_eq(mskp_pruner_before_step(p, 0.1, values, gradients, &err), MSKP_OK);
    ck_assert_int_eq(mskp_pruner_after_step(p, 0.1, values, &err), MSKP_OK);
    mskp_pruner_gauges mid;
    ck_assert_int_eq(mskp_pruner_gauge(p, values, &mid, &err), MSKP_OK);
    ck_assert(mid.left.largest > 0 && !mid.exact && !mid.ready && isnan(mid.residue));
    ck_assert_int_eq(mskp_pruner_prepare(p, values, &plan, &constants, &err), MSKP_OK);
    ck_assert_int_eq(mskp_constants_apply(constants, plan, values, &err), MSKP_OK);
    const mskp_move move = {.from = values};
    ck_assert_int_eq(mskp_plan_cut(plan, 1, &move, &err), MSKP_OK);
    ck_assert_int_eq(mskp_pruner_cut_done(p, &err), MSKP_OK);
    ck_assert_uint_eq(mskp_graph_counts(mskp_pruner_graph(p)).units, UNITS - 1);
    s.gradient = (mskp_tensor){.data = s.slope, .dtype = MSKP_DTYPE_F64};
    for (int step = 1; step < 8; step++) {
        mskp_pruner_gauges g;
        ck_assert_int_eq(mskp_pruner_gauge(p, values, &g, &err), MSKP_OK);
        ck_assert_int_eq(g.stage, step < 4 ? MSKP_PRUNER_STAGE_TUNE : MSKP_PRUNER_STAGE_MASKED);
        ck_assert_msg(!mskp_pruner_before_step(p, 0.1, values, gradients, &err), "%s", err.text);
        ck_assert_int_eq(mskp_pruner_after_step(p, 0.1, values, &err), MSKP_OK);
    }
    ck_assert_int_eq(mskp_pruner_due(p), MSKP_PRUNER_DUE_CUT);
    ck_assert_int_eq(mskp_pruner_cut(p, 1, &move, &err), MSKP_OK);
    ck_assert_uint_eq(s.value.shape[0], UNITS / 2);
    mskp_pruner_destroy(p);
    mskp_graph_destroy(s.graph);
}
END_TEST

/* ---- options ---- */

START_TEST(options_are_checked)
{
    static const double weight[UNITS];
    const mskp_rule half = {.remove_fraction = 0.5};
    const struct {
        mskp_pruner_options options;
        const char *sentence;
    } CASES[] = {
        {{.rule = half}, "pruner: steps is 0, outside 1 to 2^53"},
        {{.rule = half, .steps = 9, .wait = -0.5}, "pruner: wait is -0.5, outside 0 to 1"},
        {{.rule = half, .steps = 9, .sparse = 2}, "pruner: sparse is 2, outside 0 to 1"},
        {{.rule = half, .steps = 9, .masked = (double)NAN},
         "pruner: masked is NaN, outside 0 to 1"},
        {{.rule = half, .steps = 9, .settle = 1.5}, "pruner: settle is 1.5, outside 0 to 1"},
        {{.rule = half, .steps = 9, .wait = 0.5, .masked = 0.75},
         "pruner: wait, sparse and masked are 1.25 together, more than 1"},
        {{.rule = half, .steps = 9, .penalty = {.target = MSKP_TARGET_ALL}},
         "pruner: the penalty's target is not MSKP_TARGET_REMOVED; the pruner sets it"},
        {{.rule = half, .steps = 9, .penalty = {.unit_weight = weight}},
         "pruner: the penalty's unit_weight is not NULL; the pruner sets it"},
        {{.rule = half, .steps = 9, .pull = (mskp_pull)3}, "pruner: pull is 3; the last is 2"},
        {{.rule = half, .steps = 9, .strength = -1}, "pruner: strength is -1, not 0 or more"},
        {{.rule = half, .steps = 9, .sparse_strength = (double)INFINITY},
         "pruner: sparse_strength is infinity, not 0 or more"},
        {{.rule = half, .steps = 9, .gradient_scale = (double)INFINITY},
         "pruner: gradient_scale is infinity, not finite"},
        {{.rule = half, .steps = 9, .sparse_strength = 1e300, .gradient_scale = -1e9},
         "pruner: a strength of 1e+300 times gradient_scale is not finite"},
        {{.rule = half, .steps = 9, .momentum = 1}, "pruner: momentum is 1, not from 0 to below 1"},
        {{.rule = half, .steps = 9, .penalty = {.kind = MSKP_PENALTY_L2}},
         "pruner: strength is 0, and an automatic strength is for MSKP_PENALTY_L1; kind 2 needs a "
         "strength"},
        {{.rule = half, .steps = 9, .schedule = (mskp_schedule)3},
         "pruner: schedule is 3; the last is 2"},
        {{.rule = {.use_threshold = 1}, .steps = 9, .rounds = 2},
         "pruner: 2 rounds, and a rule with use_threshold, which is about one mask"},
        {{.rule = {.remove_family_fraction = 0.5}, .steps = 9, .rounds = 2},
         "pruner: 2 rounds, and a rule with remove_family_fraction, which is about one mask"},
    };
    /* What the calls of a round would refuse hours later. */
    const struct {
        mskp_pruner_options options;
        const char *words;
    } LATER[] = {
        {{.scoring = {.reduce = (mskp_reduce)77}}, "reduce is 77"},
        {{.scoring = {.roles = 999}}, "scoring: roles is"},
        {{.scoring = {.roles = MSKP_ROLE_FILTER}}, "scoring has the roles 0x1, and none of the 1"},
        {{.penalty = {.kind = (mskp_penalty_kind)9}, .strength = 1}, "kind is 9"},
        {{.penalty = {.roles = 512}}, "penalty: roles is"},
        {{.penalty = {.roles = MSKP_ROLE_SHIFT}}, "the penalty has the roles 0x8, and none"},
        {{.constants = {.way = (mskp_constants_way)5}}, "way is 5"},
        {{.constants = {.merge_above = 1}}, "merge_above is 1"},
        {{.use_normalizer = 1, .normalizer = (mskp_normalizer)99}, "99"},
        {{.use_normalizer = 1, .normalizer_parameter = (double)NAN}, "NaN"},
    };
    scales s;
    scales_begin(&s);
    for (size_t i = 0; i < sizeof LATER / sizeof *LATER; i++) {
        mskp_pruner *p = NULL;
        mskp_error err = {0};
        mskp_pruner_options options = LATER[i].options;
        options.rule = half;
        options.steps = 9;
        options.masked = 0.5;
        ck_assert_msg(mskp_pruner_create(s.graph, &options, &p, &err) && !p, "case %zu", i);
        ck_assert_msg(strstr(err.text, LATER[i].words), "case %zu: %s", i, err.text);
    }
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        mskp_pruner *p = NULL;
        mskp_error err = {0};
        ck_assert_msg(mskp_pruner_create(s.graph, &CASES[i].options, &p, &err) && !p, "case %zu",
                      i);
        ck_assert_str_eq(err.text, CASES[i].sentence);
    }
    mskp_pruner *p = NULL;
    mskp_error err = {0};
    const mskp_pruner_options all = {.rule = {.remove_fraction = 1}, .steps = 9};
    ck_assert_int_eq(mskp_pruner_create(s.graph, &all, &p, &err), MSKP_ERROR_NO_SOLUTION);
    mskp_graph_destroy(s.graph);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pruner");
    TCase *tcase = tcase_create("pruner");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, strengths_are_found);
    tcase_add_test(tcase, negative_sums);
    tcase_add_test(tcase, rounds_and_checkpoints);
    tcase_add_test(tcase, damaged_states);
    tcase_add_test(tcase, gauges_count_elements);
    tcase_add_test(tcase, order_of_calls);
    tcase_add_test(tcase, cut_in_two_attempts);
    tcase_add_test(tcase, early_cut);
    tcase_add_test(tcase, options_are_checked);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

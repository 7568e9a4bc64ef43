/*
 * Whole branches: masks that leave values without channels. Laws over random networks: once what is
 * removed is zero, cutting it changes no output; two rounds are one; costs are those of the smaller
 * recipe; what is cut in place is what is cut elsewhere, and comes back with zeros.
 */
#include "interpreter/constants_trial.h"
#include "interpreter/laws.h"
#include "interpreter/vanish.h"
#include "mskp/methods.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const net_options OPTIONS[] = {
    {0}, {.residual = true}, {.constants = true}, {.steps = 14, .max_channels = 4}};
enum { KINDS = sizeof OPTIONS / sizeof *OPTIONS };

/* Whether a plan takes the mask, and the model can say what vanishes. */
static bool is_allowed(trial *t, const mskp_graph *graph, const net *n, size_t units,
                       const uint8_t *keep)
{
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    const mskp_status status = mskp_plan_create(graph, mask_of(units, keep), &plan, NULL, &err);
    mskp_plan_destroy(plan);
    if (status) {
        REQUIRE(status == MSKP_ERROR_NO_SOLUTION && strstr(err.text, "the mask keeps 0 of"), "%s",
                err.text);
        return false;
    }
    return net_vanish(t, n, graph, t->value, keep, arena_get(&t->mem, n->nodes + 1, 1),
                      arena_get(&t->mem, n->params + 1, sizeof(bool)));
}

/* Removes some families as a whole, where that is allowed. Returns how many. */
static size_t empty_families(trial *t, const mskp_graph *graph, const net *n, uint8_t *keep)
{
    const mskp_counts c = mskp_graph_counts(graph);
    uint8_t *before = arena_get(&t->mem, c.units, 1);
    size_t emptied = 0;
    for (size_t f = 0; f < c.families; f++) {
        size_t size;
        const uint32_t *unit = mskp_family_units(graph, f, &size);
        if (rng_chance(&t->r, 0.4)) continue;
        memcpy(before, keep, c.units);
        for (size_t i = 0; i < size; i++) keep[unit[i]] = 0;
        if (is_allowed(t, graph, n, c.units, keep))
            emptied++;
        else
            memcpy(keep, before, c.units);
    }
    return emptied;
}

typedef struct tally {
    size_t tried, vanished, shifts, nothing_left, compared, differed;
} tally;

/* Zeroes the parameters that vanish, on top of the removed slices. Returns whether then every
 * operand that vanishes adds nothing, or its shift. */
static bool zero_vanished(const trial *t, const surgery *s, double *const *whole)
{
    const net *n = t->net;
    for (size_t k = 1; k <= n->nodes; k++) {
        const net_node *x = &n->node[k];
        if (x->op != NET_COMBINE || s->fate[k] != MSKP_FATE_STAYS) continue;
        for (size_t i = 0; i < x->inputs; i++) {
            const net_node *in = &n->node[x->in[i]];
            const size_t p = net_positions(in);
            const uint8_t fate = s->fate[x->in[i]];
            const size_t shift = in->op == NET_NORM        ? in->norm[1]
                                 : in->op == NET_ATTENTION ? in->more[7]
                                                           : in->bias;
            for (size_t j = 0; fate && j < in->channels * p; j++) {
                const double wanted = fate == MSKP_FATE_SHIFT ? n->param[shift].data[j / p] : 0;
                if (!(fabs(whole[x->in[i]][j] - wanted) <= 1e-14)) return false;
            }
        }
    }
    return true;
}

static void count_fates(const trial *t, const surgery *s, tally *y)
{
    y->tried++;
    if (!s->any) return;
    y->vanished++;
    for (size_t k = 1; k <= t->net->nodes; k++) y->shifts += s->fate[k] == MSKP_FATE_SHIFT;
}

static void require_law(trial *t, const uint8_t *keep, tally *y)
{
    surgery s;
    double **inputs = net_random_inputs(t->net, &t->mem, &t->r);
    surgery_begin(&s, t, t->graph, t->net, t->value, t->units, keep);
    count_fates(t, &s, y);

    /* The control: what is not zero is missed. */
    double **whole = net_eval(t->net, &t->mem, inputs);
    double d = output_difference(t->net, whole, s.net, net_eval(s.net, &t->mem, inputs), s.values);
    const bool differed = !isnan(d) && d > 1e-6;
    surgery_end(&s);

    zero_removed(t, keep, UINT32_MAX);
    surgery_begin(&s, t, t->graph, t->net, t->value, t->units, keep);
    for (size_t p = 1; p <= t->net->params; p++) {
        const net_param *q = &t->net->param[p];
        if (s.vanished[p]) memset(q->data, 0, shape_elements(q->ndim, q->shape) * sizeof *q->data);
    }
    whole = net_eval(t->net, &t->mem, inputs);
    if (s.any && zero_vanished(t, &s, whole)) {
        d = output_difference(t->net, whole, s.net, net_eval(s.net, &t->mem, inputs), s.values);
        REQUIRE(isnan(d) || d <= 1e-12, "outputs differ by %g", d);
        y->compared += isnan(d) ? 0 : 1;
        y->differed += differed;
    }
    surgery_end(&s);
}

/* The costs are those of the smaller recipe's loops. */
static void require_counted(trial *t, const uint8_t *keep)
{
    surgery s;
    mskp_cost total, sum = {0}, *each = arena_get(&t->mem, t->model.values, sizeof *each);
    surgery_begin(&s, t, t->graph, t->net, t->value, t->units, keep);
    const mskp_cost brute = net_count(s.net);
    for (int small = 0; small < 2; small++) {
        const mskp_mask mask = small ? (mskp_mask){0, NULL} : mask_of(t->units, keep);
        REQUIRE_OK(mskp_measure(small ? s.small : t->graph, mask, &total, each, NULL));
        REQUIRE(total.macs == brute.macs, "%.0f MACs, the loops have %.0f", total.macs, brute.macs);
        REQUIRE(total.params == brute.params, "%.0f parameters, %.0f expected", total.params,
                brute.params);
        sum = (mskp_cost){0};
        for (size_t v = 0; v < t->model.values; v++)
            sum.macs += each[v].macs, sum.params += each[v].params;
        REQUIRE(sum.macs == total.macs && sum.params == total.params, "the parts are no whole");
    }
    surgery_end(&s);
}

/* What was cut comes back, with zeros where something was removed, also where nothing was left. */
static void require_undone(trial *t, const uint8_t *keep)
{
    surgery s;
    surgery_begin(&s, t, t->graph, t->net, t->value, t->units, keep);
    set full = set_make(&t->mem, &t->r, t->net, MSKP_DTYPE_F64, VIEW_STYLES);
    set back = set_make(&t->mem, &t->r, t->net, MSKP_DTYPE_F64, VIEW_STYLES);
    set_numbers(&full, t->net);
    REQUIRE_OK(cut_by_id(s.plan, full.params, 1, &(move_by_id){full.views, NULL}, NULL));
    for (size_t p = 1; p <= full.params; p++)
        if (s.vanished[p] && rng_chance(&t->r, 0.5)) full.views[p].data = NULL;
    mskp_error err = {0};
    const mskp_move move = {set_by_id(full.params, full.views), set_by_id(back.params, back.views)};
    const mskp_status status = mskp_plan_restore(s.plan, 1, &move, &err);
    REQUIRE(status == MSKP_OK, "restore: %s", err.text);
    for (size_t p = 1; p <= back.params; p++) {
        const net_param *q = &t->net->param[p];
        mskp_tensor v = view_resolve(&back.views[p], q->ndim, q->shape);
        size_t index[MSKP_MAX_DIMS] = {0}, i = 0;
        do {
            bool stays = !s.vanished[p];
            for (uint32_t d = 0; d < q->ndim; d++) {
                const uint32_t *u =
                    mskp_param_units(t->graph, (mskp_param){(uint32_t)p}, d, NULL, NULL);
                stays = stays && (!u || u[index[d]] == MSKP_PINNED || keep[u[index[d]]]);
            }
            const double wanted = stays ? q->data[i] : 0, x = view_get(&v, index);
            REQUIRE(memcmp(&x, &wanted, sizeof x) == 0, "parameter %zu, element %zu", p, i);
            i++;
        } while (next_index(q->ndim, q->shape, index));
    }
    surgery_end(&s);
}

/* All calls work on a graph in which values have vanished. */
static void require_usable(trial *t, const surgery *s)
{
    const mskp_graph *g = s->small;
    const size_t units = mskp_graph_counts(g).units;
    double *number = arena_get(&t->mem, units + 1, sizeof *number);
    uint8_t *keep = arena_get(&t->mem, units + 1, 1), *read = arena_get(&t->mem, units + 1, 1);
    set values = set_make(&t->mem, &t->r, s->net, MSKP_DTYPE_F64, VIEW_STYLES);
    set slopes = set_make(&t->mem, &t->r, s->net, MSKP_DTYPE_F32, VIEW_STYLES);
    set_numbers(&values, s->net);
    set_numbers(&slopes, s->net);
    const mskp_tensors v = set_by_id(values.params, values.views);
    const mskp_tensors d = set_by_id(slopes.params, slopes.views);
    const mskp_scores scores = scores_of(units, number);
    const mskp_scoring scoring = {.roles = MSKP_ROLES_UNIT, .reduce = MSKP_REDUCE_JOINT};
    const mskp_penalty penalty = {.roles = MSKP_ROLES_UNIT, .target = MSKP_TARGET_REMOVED};
    for (size_t u = 0; u < units; u++) keep[u] = rng_chance(&t->r, 0.5);
    const mskp_mask mask = mask_of(units, keep);
    REQUIRE_OK(mskp_score(g, &scoring, v, scores, NULL));
    for (size_t u = 0; u < units; u++) {
        size_t n;
        (void)mskp_unit_members(g, u, &n);
        REQUIRE(n || isinf(number[u]), "unit %zu without members scores %g", u, number[u]);
    }
    REQUIRE_OK(mskp_score_taylor(g, MSKP_TAYLOR_ABSOLUTE_SUM, MSKP_ROLES_UNIT, v, d, scores, NULL));
    REQUIRE_OK(mskp_penalty_gradient(g, mask, &penalty, 0.1, v, d, NULL));
    REQUIRE_OK(mskp_penalty_prox(g, mask, &penalty, 0.1, v, NULL));
    REQUIRE_OK(mskp_penalty_zero(g, mask, &penalty, v, NULL));
    size_t length;
    REQUIRE_OK(mskp_mask_write(g, mask, 0, NULL, &length, NULL));
    char *text = arena_get(&t->mem, length + 1, 1);
    REQUIRE_OK(mskp_mask_write(g, mask, length + 1, text, &length, NULL));
    mskp_error err = {0};
    REQUIRE(!mskp_mask_read(g, length, text, mask_of(units, read), &err), "%s", err.text);
    REQUIRE(!memcmp(read, keep, units), "another mask was read");
    REQUIRE_OK(mskp_report_json(g, mask, NULL, 0, NULL, &length, NULL));
    const mskp_rule rule = {.remove_fraction = 0.01, .empty_branches = 1};
    const mskp_status status = mskp_select(g, scores, &rule, mask, NULL, NULL);
    REQUIRE(!status || status == MSKP_ERROR_NO_SOLUTION, "%s", mskp_status_text(status));
}

/* Two rounds, in both of which something may vanish, are one round with the composed mask. */
static size_t require_twice(trial *t, const uint8_t *first)
{
    surgery one, two, both;
    surgery_begin(&one, t, t->graph, t->net, t->value, t->units, first);
    const size_t left = mskp_graph_counts(one.small).units;
    require_usable(t, &one);
    uint8_t *second = arena_get(&t->mem, left, 1), *all = arena_get(&t->mem, t->units, 1);
    memset(second, 1, left);
    for (size_t u = 0; u < left; u++) {
        second[u] = rng_chance(&t->r, 0.7);
        if (!second[u] && !is_allowed(t, one.small, one.net, left, second)) second[u] = 1;
    }
    const size_t emptied = empty_families(t, one.small, one.net, second);
    REQUIRE_OK(mskp_mask_compose(t->graph, mask_of(t->units, first), mask_of(left, second),
                                 mask_of(t->units, all), NULL));
    if (is_allowed(t, one.small, one.net, left, second)) {
        REQUIRE(is_allowed(t, t->graph, t->net, t->units, all),
                "allowed in two rounds, not in one");
        surgery_begin(&two, t, one.small, one.net, t->value, left, second);
        surgery_begin(&both, t, t->graph, t->net, t->value, t->units, all);
        require_same_graph(two.small, both.small);
        for (size_t p = 1; p <= t->net->params; p++) {
            const net_param *x = &two.net->param[p], *y = &both.net->param[p];
            const size_t n = shape_elements(x->ndim, x->shape);
            REQUIRE(n == shape_elements(y->ndim, y->shape) &&
                        (!n || !memcmp(x->data, y->data, n * sizeof *x->data)),
                    "parameter %zu", p);
        }
        surgery_end(&two);
        surgery_end(&both);
    }
    surgery_end(&one);
    return emptied;
}

START_TEST(branches_vanish)
{
    const size_t count = test_count(8000);
    size_t twice = 0;
    tally y = {0};
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, &OPTIONS[k % KINDS], NULL);
        uint8_t *keep = arena_get(&t.mem, t.units, 1);
        memset(keep, 1, t.units);
        if (rng_chance(&t.r, 0.5)) keep = random_mask(&t);
        if (empty_families(&t, t.graph, t.net, keep)) {
            require_counted(&t, keep);
            require_undone(&t, keep);
            require_sets_move_alike(&t, keep);
            twice += require_twice(&t, keep) > 0;
            require_law(&t, keep, &y);
        }
        trial_end(&t);
    }
    if (getenv("MSKP_TEST_VERBOSE"))
        printf(
            "%zu networks: %zu lost families, %zu branches, %zu shifts stayed, %zu compared (%zu "
            "differ unless zero), %zu twice\n",
            count, y.tried, y.vanished, y.shifts, y.compared, y.differed, twice);
    if (count < 400) return;
    REQUIRE(y.vanished * 4 > count && y.shifts * 10 > count, "%zu, %zu", y.vanished, y.shifts);
    REQUIRE(y.compared * 2 > y.vanished && y.differed * 2 > y.compared, "%zu, %zu", y.compared,
            y.differed);
}
END_TEST

/* ---- Constants ---- */

typedef struct constants_tally {
    size_t vanished, ends, exact, exact_ends, bounds, off, dropped;
} constants_tally;

/* Moves the constants of a mask that empties families. The library's word is law: what is exact is
 * exact, and what is lost is within its bound. */
static void try_constants(uint64_t seed, mskp_constants_way way, uint32_t roles, bool zeroed,
                          constants_tally *y)
{
    constants_trial h = {0};
    ratios r = {.most = 0};
    trial_begin(&h.t, seed, &(net_options){.constants = true, .residual = seed % 3 == 0}, NULL);
    constants_trial_open(&h);
    h.keep = random_mask(&h.t);
    if (rng_chance(&h.t.r, 0.3)) memset(h.keep, 1, h.units);
    if (!empty_families(&h.t, h.graph, h.net, h.keep)) {
        trial_end(&h.t);
        return;
    }
    move_constants(&h, &(mskp_constants_desc){.way = way, .zeroed = zeroed ? roles : 0}, roles);
    size_t ends = 0;
    for (size_t k = 0; k < mskp_constants_consumers(h.c); k++) {
        mskp_constants_report report;
        REQUIRE_OK(mskp_constants_consumer(h.c, k, &report, NULL));
        ends += !report.weight.id && report.into.id;
        y->dropped += way != MSKP_CONSTANTS_DROP && !report.weight.id && report.dropped &&
                      isfinite(report.bound);
    }
    const double d = outputs_off(&h);
    if (h.s.any && !isnan(d)) {
        y->vanished++;
        y->ends += ends > 0;
        y->off += d > 1e-6;
        y->exact += h.total.exact;
        y->exact_ends += h.total.exact && ends;
        if (h.total.exact) REQUIRE(d <= 1e-12, "said to be exact, off by %g", d);
        y->bounds += check_bounds(&h, &r);
    }
    constants_trial_end(&h);
}

/* A second round on a network in which branches have vanished. */
START_TEST(constants_after_branches)
{
    const size_t count = test_count(2000);
    size_t tried = 0, seen = 0, exact = 0;
    for (size_t k = 0; k < count; k++) {
        constants_trial h = {0}, b;
        trial_begin(&h.t, test_seed() * 1000000 + k, &(net_options){.constants = true}, NULL);
        constants_trial_open(&h);
        h.keep = arena_get(&h.t.mem, h.units, 1);
        memset(h.keep, 1, h.units);
        if (!empty_families(&h.t, h.graph, h.net, h.keep)) {
            trial_end(&h.t);
            continue;
        }
        move_constants(&h, &(mskp_constants_desc){.way = MSKP_CONSTANTS_FOLD}, MSKP_ROLE_SCALE);
        const bool vanished = h.s.any;
        second_round_begin(&b, &h);
        if (second_round_remove(&b)) {
            move_constants(&b, &(mskp_constants_desc){.way = MSKP_CONSTANTS_AUTO},
                           MSKP_ROLE_SCALE | MSKP_ROLE_FILTER);
            const double d = outputs_off(&b);
            const bool any = vanished && b.total.folded + b.total.merged > 0;
            tried += vanished;
            seen += any;
            exact += any && b.total.exact;
            if (b.total.exact) REQUIRE(isnan(d) || d <= 1e-12, "in round two: off by %g", d);
            round_end(&b);
        }
        second_round_end(&b, &h);
        constants_trial_end(&h);
    }
    if (getenv("MSKP_TEST_VERBOSE"))
        printf("second rounds after branches: %zu, constants seen in %zu, exact in %zu\n", tried,
               seen, exact);
    REQUIRE(count < 500 || exact * 40 > count, "%zu, %zu, %zu of %zu", tried, seen, exact, count);
}
END_TEST

START_TEST(constants_of_branches)
{
    const size_t count = test_count(4000);
    constants_tally y = {0}, drop = {0};
    for (size_t k = 0; k < count; k++) {
        const uint64_t seed = test_seed() * 1000000 + k;
        const mskp_constants_way ways[] = {MSKP_CONSTANTS_AUTO, MSKP_CONSTANTS_FOLD,
                                           MSKP_CONSTANTS_MERGE};
        const uint32_t roles[] = {MSKP_ROLE_SCALE, MSKP_ROLE_SCALE | MSKP_ROLE_FILTER,
                                  MSKP_ROLE_SCALE | MSKP_ROLE_FILTER | MSKP_ROLE_SHIFT,
                                  MSKP_ROLES_UNIT};
        try_constants(seed, ways[k % 3], roles[k / 3 % 4], k % 2, &y);
        if (k % 4 == 0) try_constants(seed, MSKP_CONSTANTS_DROP, roles[k / 4 % 3], k % 8, &drop);
    }
    if (getenv("MSKP_TEST_VERBOSE"))
        printf("constants of %zu branches: at an end in %zu, exact in %zu (%zu of them at an end), "
               "%zu bounds, off in %zu, %zu dropped; without them off in %zu of %zu\n",
               y.vanished, y.ends, y.exact, y.exact_ends, y.bounds, y.off, y.dropped, drop.off,
               drop.vanished);
    if (count < 400) return;
    REQUIRE(y.vanished * 5 > count && y.exact_ends * 20 > y.vanished, "%zu, %zu", y.vanished,
            y.exact_ends);
    REQUIRE(drop.off * 3 > drop.vanished, "%zu of %zu", drop.off, drop.vanished);
}
END_TEST

/* ---- By hand ---- */

/* A stream x of 4 channels on 6 positions, and what a branch can be made of. */
typedef struct made {
    mskp_graph *g;
    mskp_value image, x;
    size_t params;
} made;

static mskp_param weight_of(made *m, uint32_t ndim, const size_t *shape)
{
    char name[16];
    snprintf(name, sizeof name, "p%zu", ++m->params);
    return mskp_parameter(m->g, name, ndim, shape);
}

static mskp_value conv_to(made *m, const char *name, mskp_value in, size_t width, bool bias)
{
    size_t channels;
    mskp_value_shape(m->g, in, &channels, NULL);
    mskp_conv_desc d = {.weight = weight_of(m, 3, (size_t[]){width, channels, 1})};
    if (bias) d.bias = weight_of(m, 1, &width);
    return mskp_conv(m->g, name, in, &d);
}

static mskp_value norm_of(made *m, const char *name, mskp_value in)
{
    size_t n;
    mskp_value_shape(m->g, in, &n, NULL);
    mskp_norm_desc d = {.scale = weight_of(m, 1, &n)};
    d.shift = weight_of(m, 1, &n);
    d.mean = weight_of(m, 1, &n);
    d.variance = weight_of(m, 1, &n);
    return mskp_norm(m->g, name, in, &d);
}

static mskp_value relu_of(made *m, const char *name, mskp_value in)
{
    return mskp_activation(m->g, name, in, &(mskp_activation_desc){.kind = MSKP_ACTIVATION_RELU});
}

static mskp_value join(made *m, mskp_combine_kind kind, mskp_value a, mskp_value b)
{
    return mskp_combine(m->g, "join", kind, 2, (mskp_value[]){a, b});
}

static made make_begin(void)
{
    made m = {.g = mskp_graph_create(NULL)};
    m.image = mskp_input(m.g, "image", 3, 1, (size_t[]){6});
    m.x = conv_to(&m, "x", m.image, 4, false);
    return m;
}

/* Empties the named values, and compares the fates of others ("bn shift; conv vanishes") or the
 * sentence of the refusal with what is expected. */
static void try_emptied(made *m, mskp_value out, const char *const emptied[2],
                        const char *const *names, const mskp_fate *fates, const char *refusal)
{
    mskp_error err = {0};
    mskp_plan *plan = NULL;
    mskp_graph *small = NULL;
    mskp_output(m->g, conv_to(m, "head", out, 2, true));
    ck_assert_msg(!mskp_graph_finish(m->g, &err), "%s", err.text);
    const size_t units = mskp_graph_counts(m->g).units;
    uint8_t keep[64];
    ck_assert_uint_le(units, sizeof keep);
    memset(keep, 1, sizeof keep);
    for (int i = 0; i < 2 && emptied[i]; i++) {
        size_t n;
        const mskp_value v = mskp_value_find(m->g, emptied[i]);
        const uint32_t *unit = mskp_value_units(m->g, v, &n);
        for (size_t c = 0; c < n; c++)
            if (unit[c] != MSKP_PINNED) keep[unit[c]] = 0;
    }
    const mskp_status status = mskp_plan_create(m->g, mask_of(units, keep), &plan, &small, &err);
    if (refusal) {
        ck_assert_int_eq(status, MSKP_ERROR_NO_SOLUTION);
        ck_assert_str_eq(err.text, refusal);
        ck_assert(!plan && !small);
    } else {
        ck_assert_msg(!status, "%s", err.text);
        for (size_t i = 0; names[i]; i++) {
            const mskp_value v = mskp_value_find(m->g, names[i]);
            size_t n = 9;
            ck_assert_msg(v.id && mskp_plan_fate(plan, v) == fates[i], "%s: %d", names[i],
                          (int)mskp_plan_fate(plan, v));
            mskp_value_shape(small, v, &n, NULL);
            ck_assert_msg(!n == (fates[i] == MSKP_FATE_VANISHES), "%s: %zu channels", names[i], n);
        }
        mskp_cost masked, cut;
        ck_assert(!mskp_measure(m->g, mask_of(units, keep), &masked, NULL, NULL) &&
                  !mskp_measure(small, (mskp_mask){0}, &cut, NULL, NULL));
        ck_assert(masked.macs == cut.macs && masked.params == cut.params);
        ck_assert_int_eq(mskp_plan_fate(plan, (mskp_value){0}), MSKP_FATE_STAYS);
        ck_assert_int_eq(mskp_plan_fate(plan, (mskp_value){9999}), MSKP_FATE_STAYS);
    }
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    mskp_graph_destroy(m->g);
}

#define EMPTIED(...)       \
    (const char *const[2]) \
    {                      \
        __VA_ARGS__        \
    }
#define FATES(...)      \
    (const mskp_fate[]) \
    {                   \
        __VA_ARGS__     \
    }
#define NAMES(...)        \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

START_TEST(what_vanishes)
{
    const mskp_fate stays = MSKP_FATE_STAYS, gone = MSKP_FATE_VANISHES, shift = MSKP_FATE_SHIFT;
    ck_assert_int_eq(mskp_plan_fate(NULL, (mskp_value){1}), stays);

    /* A bottleneck: what leads to the convolution that is emptied is read by nothing. */
    made m = make_begin();
    mskp_value a = norm_of(&m, "bn1", conv_to(&m, "c1", m.x, 3, false));
    a = norm_of(&m, "bn2", conv_to(&m, "c2", relu_of(&m, "r1", a), 3, false));
    a = norm_of(&m, "bn3", conv_to(&m, "c3", relu_of(&m, "r2", a), 4, false));
    try_emptied(&m, join(&m, MSKP_COMBINE_ADD, a, m.x), EMPTIED("c2"),
                NAMES("x", "c1", "bn1", "r1", "c2", "bn2", "r2", "c3", "bn3", "join"),
                FATES(stays, gone, gone, gone, gone, gone, gone, gone, shift, stays), NULL);

    /* A bias stays as a shift does; behind relu nothing is left; a shared bias does not stay. */
    m = make_begin();
    a = conv_to(&m, "c2", conv_to(&m, "c1", m.x, 3, true), 4, true);
    try_emptied(&m, join(&m, MSKP_COMBINE_SUBTRACT, m.x, a), EMPTIED("c1"),
                NAMES("c1", "c2", "join"), FATES(gone, shift, stays), NULL);
    m = make_begin();
    a = relu_of(&m, "r", conv_to(&m, "c2", conv_to(&m, "c1", m.x, 3, true), 4, true));
    try_emptied(&m, join(&m, MSKP_COMBINE_ADD, m.x, a), EMPTIED("c1"),
                NAMES("c1", "c2", "r", "join"), FATES(gone, gone, gone, stays), NULL);

    /* A weight that an operator shares with one that stays; it costs only where it is used. */
    m = make_begin();
    const mskp_conv_desc shared = {.weight = weight_of(&m, 3, (size_t[]){4, 3, 1}),
                                   .bias = weight_of(&m, 1, (size_t[]){4})};
    const mskp_conv_desc other = {.weight = shared.weight};
    a = conv_to(&m, "c2", conv_to(&m, "c1", m.x, 2, true), 3, true);
    a = join(&m, MSKP_COMBINE_ADD, m.x, mskp_conv(m.g, "c3", a, &shared));
    a = mskp_conv(m.g, "d", conv_to(&m, "d1", a, 3, true), &other);
    try_emptied(&m, a, EMPTIED("c1"), NAMES("c1", "c2", "c3", "join", "d1", "d"),
                FATES(gone, gone, shift, stays, stays, stays), NULL);

    /* A gate whose branch vanishes vanishes with it; a parameter as factor does, too. */
    m = make_begin();
    a = conv_to(&m, "c2", conv_to(&m, "c1", m.x, 3, true), 4, true);
    mskp_value gamma = mskp_param_operand(m.g, "gamma", weight_of(&m, 1, (size_t[]){4}), 0,
                                          MSKP_ROLE_SCALE, 0, NULL);
    a = mskp_combine(m.g, "scaled", MSKP_COMBINE_MULTIPLY, 2, (mskp_value[]){a, gamma});
    try_emptied(&m, join(&m, MSKP_COMBINE_ADD, m.x, a), EMPTIED("c1"),
                NAMES("c1", "c2", "scaled", "gamma", "join"), FATES(gone, gone, gone, gone, stays),
                NULL);

    /* Three operands, of which two stay. */
    m = make_begin();
    a = conv_to(&m, "c2", conv_to(&m, "c1", m.x, 3, true), 4, true);
    a = mskp_combine(m.g, "join", MSKP_COMBINE_ADD, 3,
                     (mskp_value[]){m.x, a, conv_to(&m, "d", m.x, 4, false)});
    try_emptied(&m, a, EMPTIED("c1"), NAMES("c1", "c2", "d", "join"),
                FATES(gone, shift, stays, stays), NULL);

    /* What nothing reads any more, but something unknown may read, stays. */
    m = make_begin();
    a = conv_to(&m, "c1", m.x, 3, true);
    mskp_pin(m.g, a);
    a = conv_to(&m, "c3", conv_to(&m, "c2", a, 2, true), 4, true);
    try_emptied(&m, join(&m, MSKP_COMBINE_ADD, m.x, a), EMPTIED("c2"),
                NAMES("c1", "c2", "c3", "join"), FATES(stays, gone, shift, stays), NULL);

    /* A concatenation goes without what has no channels. */
    m = make_begin();
    a = mskp_concat(m.g, "join", 2, (mskp_value[]){m.x, conv_to(&m, "c1", m.x, 3, false)});
    try_emptied(&m, a, EMPTIED("c1"), NAMES("c1", "join"), FATES(gone, stays), NULL);

    /* All heads of an attention: what is left is the bias of its output. */
    m = make_begin();
    const mskp_attention_desc heads = {.query = weight_of(&m, 2, (size_t[]){4, 4}),
                                       .key = weight_of(&m, 2, (size_t[]){4, 4}),
                                       .value = weight_of(&m, 2, (size_t[]){4, 4}),
                                       .output = weight_of(&m, 2, (size_t[]){4, 4}),
                                       .output_bias = weight_of(&m, 1, (size_t[]){4}),
                                       .heads = 2,
                                       .head_dim = 2};
    a = mskp_attention(m.g, "attention", m.x, &heads);
    try_emptied(&m, join(&m, MSKP_COMBINE_ADD, m.x, a), EMPTIED("attention.heads"),
                NAMES("attention.heads", "attention.result", "attention", "join"),
                FATES(gone, gone, shift, stays), NULL);
}
END_TEST

START_TEST(what_is_refused)
{
    static const char no_c1[] = "c1: the mask keeps 0 of 3 channels";
    char text[252];
    made m = make_begin();
    try_emptied(&m, m.x, EMPTIED("x"), NULL, NULL,
                "x: the mask keeps 0 of 4 channels, and head, which must stay, depends on nothing "
                "else");

    m = make_begin(); /* both operands of an addition */
    mskp_value a = conv_to(&m, "c2", conv_to(&m, "c1", m.x, 3, false), 4, true);
    mskp_value b = conv_to(&m, "d2", conv_to(&m, "d1", m.x, 3, false), 4, true);
    snprintf(text, sizeof text, "%s, and head, which must stay, depends on nothing else", no_c1);
    try_emptied(&m, join(&m, MSKP_COMBINE_ADD, a, b), EMPTIED("c1", "d1"), NULL, NULL, text);

    static const struct {
        mskp_combine_kind kind;
        const char *op;
    } kinds[] = {{MSKP_COMBINE_SUBTRACT, "subtract"}, {MSKP_COMBINE_MULTIPLY, "multiply"},
                 {MSKP_COMBINE_MAXIMUM, "maximum"},   {MSKP_COMBINE_AVERAGE, "average"},
                 {MSKP_COMBINE_DIVIDE, "divide"},     {MSKP_COMBINE_MINIMUM, "minimum"}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        m = make_begin();
        a = conv_to(&m, "c2", conv_to(&m, "c1", m.x, 3, true), 4, true);
        snprintf(text, sizeof text, "%s, so c2 vanishes; join (%s) cannot do without it", no_c1,
                 kinds[k].op);
        try_emptied(&m, join(&m, kinds[k].kind, a, m.x), EMPTIED("c1"), NULL, NULL, text);
    }

    m = make_begin(); /* a concatenation, of a value that has channels left */
    a = conv_to(&m, "c2", conv_to(&m, "c1", m.x, 3, true), 4, true);
    snprintf(text, sizeof text, "%s, so c2 vanishes; join (concat) cannot do without it", no_c1);
    try_emptied(&m, mskp_concat(m.g, "join", 2, (mskp_value[]){m.x, a}), EMPTIED("c1"), NULL, NULL,
                text);

    for (int subtract = 0; subtract < 2; subtract++) { /* what would be left is broadcast */
        m = make_begin();
        a = conv_to(&m, "c2", conv_to(&m, "c1", m.x, 3, true), 4, true);
        b = mskp_pool(m.g, "mean", m.x, &(mskp_pool_desc){.kind = MSKP_POOL_GLOBAL_AVERAGE});
        snprintf(text, sizeof text, "%s, so c2 vanishes; join (%s) cannot do without it", no_c1,
                 subtract ? "subtract" : "add");
        const mskp_combine_kind kind = subtract ? MSKP_COMBINE_SUBTRACT : MSKP_COMBINE_ADD;
        try_emptied(&m, join(&m, kind, b, a), EMPTIED("c1"), NULL, NULL, text);
    }

    m = make_begin(); /* something unknown reads it */
    a = conv_to(&m, "c2", conv_to(&m, "c1", m.x, 3, true), 4, true);
    mskp_pin(m.g, a);
    snprintf(text, sizeof text, "%s, and c2, which must stay, depends on nothing else", no_c1);
    try_emptied(&m, join(&m, MSKP_COMBINE_ADD, m.x, a), EMPTIED("c1"), NULL, NULL, text);
}
END_TEST

/* c1 is read twice, so its units stand in lists of 3 and of 6 channels, and both lists become
 * empty. c0 leads to nothing else: it vanishes although its units stay. In the smaller network
 * these units stand nowhere, and their family is without a name. */
START_TEST(what_is_selected)
{
    made m = make_begin();
    const mskp_value c0 = conv_to(&m, "c0", m.x, 2, false);
    const mskp_value c1 = conv_to(&m, "c1", c0, 3, false);
    mskp_value a = conv_to(&m, "c2", mskp_concat(m.g, "twice", 2, (mskp_value[]){c1, c1}), 4, true);
    a = join(&m, MSKP_COMBINE_ADD, m.x, a);
    mskp_output(m.g, conv_to(&m, "head", a, 2, true));
    mskp_error err = {0};
    ck_assert_msg(!mskp_graph_finish(m.g, &err), "%s", err.text);
    double score[9];
    uint8_t keep[9];
    const mskp_mask mask = mask_of(mskp_graph_counts(m.g).units, keep);
    ck_assert_uint_eq(mask.n, 4 + 2 + 3);
    for (size_t u = 0; u < 9; u++) score[u] = 9;
    for (size_t i = 0; i < 3; i++) score[mskp_value_units(m.g, c1, NULL)[i]] = 1;
    const mskp_rule rule = {.use_threshold = 1, .threshold = 5, .empty_branches = 1};
    ck_assert_msg(!mskp_select(m.g, scores_of(9, score), &rule, mask, NULL, &err), "%s", err.text);
    for (size_t u = 0; u < 9; u++) ck_assert_int_eq(keep[u], score[u] > 5);

    mskp_plan *plan;
    mskp_graph *small;
    char text[4000];
    size_t length;
    ck_assert_msg(!mskp_plan_create(m.g, mask, &plan, &small, &err), "%s", err.text);
    ck_assert_uint_eq(mskp_graph_counts(small).units, 4 + 2);
    ck_assert_int_eq(mskp_plan_fate(plan, c0), MSKP_FATE_VANISHES);
    memset(keep, 1, sizeof keep);
    keep[mskp_value_units(small, m.x, NULL)[0]] = 0;
    ck_assert_msg(!mskp_mask_write(small, mask_of(6, keep), sizeof text, text, &length, &err), "%s",
                  err.text);
    ck_assert_msg(strstr(text, "family 0 at x keep") && strstr(text, "family 1 at - keep"), "%s",
                  text);
    uint8_t read[6] = {7, 7, 7, 7, 7, 7};
    ck_assert_msg(!mskp_mask_read(small, length, text, mask_of(6, read), &err), "%s", err.text);
    ck_assert_mem_eq(read, keep, 6);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    mskp_graph_destroy(m.g);
}
END_TEST

/* A concatenation of 4 channels and of 3, all of which may leave: if 4 are enough. */
START_TEST(a_floor_of_a_concatenation)
{
    for (size_t floor = 3; floor <= 5; floor++) {
        made m = make_begin();
        const mskp_value c1 = conv_to(&m, "c1", m.x, 3, false);
        const mskp_value all = mskp_concat(m.g, "join", 2, (mskp_value[]){m.x, c1});
        mskp_output(m.g, conv_to(&m, "head", all, 2, true));
        mskp_error err = {0};
        ck_assert_msg(!mskp_graph_finish(m.g, &err), "%s", err.text);
        double score[7];
        uint8_t keep[7];
        const mskp_mask mask = mask_of(mskp_graph_counts(m.g).units, keep);
        ck_assert_uint_eq(mask.n, 7);
        for (size_t u = 0; u < 7; u++) score[u] = 9;
        for (size_t i = 0; i < 3; i++) score[mskp_value_units(m.g, c1, NULL)[i]] = 1;
        const mskp_rule rule = {
            .use_threshold = 1, .threshold = 5, .empty_branches = 1, .min_channels = floor};
        ck_assert_msg(!mskp_select(m.g, scores_of(7, score), &rule, mask, NULL, &err), "%s",
                      err.text);
        for (size_t u = 0; u < 7; u++)
            ck_assert_msg(keep[u] == (floor == 5 || score[u] > 5), "floor %zu, unit %zu", floor, u);
        mskp_graph_destroy(m.g);
    }
}
END_TEST

/* ---- Each allocation fails ---- */

typedef struct failing {
    size_t left, live; /* allocations until one fails; blocks that were not freed */
} failing;

static void *allocate(void *context, size_t bytes)
{
    failing *f = context;
    if (!f->left) return NULL;
    f->left--;
    f->live++;
    return malloc(bytes);
}

static void release(void *context, void *memory)
{
    failing *f = context;
    if (memory) f->live--;
    free(memory);
}

START_TEST(allocations_fail)
{
    failing f = {.left = SIZE_MAX};
    made m = {.g = mskp_graph_create(&(mskp_services){&f, allocate, release, NULL})};
    m.image = mskp_input(m.g, "image", 3, 1, (size_t[]){6});
    m.x = conv_to(&m, "x", m.image, 4, false);
    mskp_value a = relu_of(&m, "r1", norm_of(&m, "bn1", conv_to(&m, "c1", m.x, 3, false)));
    a = norm_of(&m, "bn2", conv_to(&m, "c2", a, 4, false));
    mskp_output(m.g, conv_to(&m, "head", join(&m, MSKP_COMBINE_ADD, a, m.x), 2, true));
    ck_assert(!mskp_graph_finish(m.g, NULL));
    double number[32][32], score[16];
    mskp_tensor view[32];
    memset(view, 0, sizeof view);
    for (size_t i = 0; i < 32 * 32; i++) number[i / 32][i % 32] = 0.5 + (double)(i % 7);
    for (size_t p = 0; p < m.params; p++)
        view[p] = (mskp_tensor){.data = number[p], .dtype = MSKP_DTYPE_F64};
    const mskp_tensors values = {m.params, view};
    const size_t units = mskp_graph_counts(m.g).units, live = f.live;
    uint8_t keep[16] = {0};
    size_t n, calls = 0, failures = 0;
    const uint32_t *unit = mskp_value_units(m.g, mskp_value_find(m.g, "c1"), &n);
    for (size_t u = 0; u < units; u++) score[u] = 9;
    for (size_t i = 0; i < n; i++) score[unit[i]] = (double)i;
    const mskp_rule rule = {.use_threshold = 1, .threshold = 5, .empty_branches = 1};
    const mskp_constants_desc desc = {.zeroed = MSKP_ROLE_SCALE};
    for (int call = 0; call < 5; call++)
        for (size_t left = 0;; left++) {
            mskp_error err = {0};
            mskp_constants *c = NULL;
            mskp_plan *plan = NULL;
            mskp_graph *small = NULL;
            mskp_cost cost;
            size_t length;
            mskp_status status;
            f.left = left;
            if (call == 0)
                status = mskp_select(m.g, scores_of(units, score), &rule, mask_of(units, keep),
                                     NULL, &err);
            else if (call == 1)
                status = mskp_plan_create(m.g, mask_of(units, keep), &plan, &small, &err);
            else if (call == 2)
                status = mskp_measure(m.g, mask_of(units, keep), &cost, NULL, &err);
            else if (call == 3)
                status = mskp_constants_create(m.g, mask_of(units, keep), &desc, values, &c, &err);
            else
                status = mskp_report_json(m.g, mask_of(units, keep), NULL, 0, NULL, &length, &err);
            f.left = SIZE_MAX;
            ck_assert(!status || status == MSKP_ERROR_NO_MEMORY);
            if (call == 3 && !status) {
                mskp_constants_report total;
                ck_assert(!mskp_constants_total(c, &total, NULL) && total.folded == 3 + 4);
            }
            mskp_constants_destroy(c);
            mskp_plan_destroy(plan);
            mskp_graph_destroy(small);
            ck_assert_uint_eq(f.live, live);
            if (!status) break;
            ck_assert(err.status == status && err.text[0]);
            failures++;
        }
    for (size_t i = 0; i < n; i++) calls += !keep[unit[i]];
    ck_assert_uint_eq(calls, n); /* the branch was emptied */
    ck_assert_uint_gt(failures, 60);
    mskp_graph_destroy(m.g);
    ck_assert_uint_eq(f.live, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("branches");
    TCase *c = tcase_create("laws");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, branches_vanish);
    tcase_add_test(c, constants_of_branches);
    tcase_add_test(c, constants_after_branches);
    tcase_add_test(c, what_vanishes);
    tcase_add_test(c, what_is_refused);
    tcase_add_test(c, what_is_selected);
    tcase_add_test(c, a_floor_of_a_concatenation);
    tcase_add_test(c, allocations_fail);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

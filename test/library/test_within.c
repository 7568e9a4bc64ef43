/*
 * mskp_constants_select: the units that stay to carry constants are within the rule, too.
 *
 * The order of blocks is that of the slow walk. For every number of blocks, the network that would
 * be left is worked out by the words of the header: the mask, the carriers that
 * mskp_constants_create adds to it (which test_constants holds against laws of its own), and the
 * units that stay for the sake of round_to. The library's answer must be one of these networks, all
 * demands must hold for it, and they must not hold for the network with one block less removed.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id/by_id.h"
#include "interpreter/budgets.h"
#include "interpreter/constants_trial.h"
#include "interpreter/walk.h"

typedef struct left {
    uint8_t *selected, *kept;
    bool enough;
} left;

typedef struct within {
    constants_trial h; /* a trial with possible variances */
    double *scores;
    mskp_rule rule;
    mskp_constants_desc desc;
    size_t *block, blocks, named;
    size_t rounds; /* in which units stayed for round_to */
} within;

/* Highest score first: is unit a to stay before unit b? */
static bool stays_before(const within *w, size_t a, size_t b)
{
    if (w->block[a] != w->block[b]) return w->block[a] > w->block[b];
    return scored_before(w->scores, (uint32_t)b, (uint32_t)a);
}

/* One more unit of each family that keeps no multiple, and all of one that is complete with its
 * carriers; false if there is none. */
static bool fill_one(const within *w, uint8_t *selected, uint8_t *kept)
{
    const trial *t = &w->h.t;
    bool more = false;
    for (size_t f = 0; f < t->model.families; f++) {
        const size_t round_to = round_of(&w->rule, f);
        size_t n = 0, best = t->units;
        for (size_t u = 0; u < t->units; u++) {
            if (t->model.family[u] != f) continue;
            n += kept[u];
            if (!kept[u] && w->block[u] && (best == t->units || stays_before(w, u, best))) best = u;
        }
        if (n == t->model.family_size[f])
            for (size_t u = 0; u < t->units; u++)
                if (t->model.family[u] == f && !selected[u]) selected[u] = 1, more = true;
        if (n % round_to == 0 || best == t->units) continue;
        selected[best] = kept[best] = 1;
        more = true;
    }
    return more;
}

/* The network that is left when so many blocks are removed. */
static left leave(within *w, size_t blocks)
{
    trial *t = &w->h.t;
    left l = {arena_get(&t->mem, t->units, 1), arena_get(&t->mem, t->units, 1), false};
    for (size_t u = 0; u < t->units; u++) l.selected[u] = !w->block[u] || w->block[u] > blocks;
    for (;;) {
        mskp_constants *c;
        bool more = false;
        REQUIRE_OK(create_constants(t->graph, t->units, l.selected, &w->desc, t->net->params,
                                    w->h.values.views, l.kept, &c, NULL));
        mskp_constants_destroy(c);
        while (fill_one(w, l.selected, l.kept)) more = true;
        if (!more) break;
        w->rounds++;
    }
    l.enough = slow_amounts_hold(t, &w->rule, l.kept);
    return l;
}

static void within_begin(within *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    trial *t = &w->h.t;
    trial_begin(t, seed, &(net_options){.constants = true}, NULL);
    constants_trial_open(&w->h);
    w->h.values = set_make(&t->mem, &t->r, t->net, MSKP_DTYPE_F64, VIEW_STYLES);
    set_numbers(&w->h.values, t->net);
    w->scores = random_scores(t);
    w->rule = random_rule(t);
    const mskp_cost full = model_cost(&t->model, NULL, NULL);
    if (w->rule.max_macs <= 0 && full.macs > 0 && rng_chance(&t->r, 0.5))
        w->rule.max_macs = rng_real(&t->r, 0.2, 1) * full.macs;
    if (rng_chance(&t->r, 0.3)) { /* a cost that carriers can lower */
        mskp_budget *b = arena_get(&t->mem, 1, sizeof *b);
        do *b = random_budget(t);
        while (b->kind != MSKP_BUDGET_CALLBACK);
        ((own_cost *)b->context)->rises = true;
        b->limit = rng_real(&t->r, 0.6, 1.1) * slow_budget(t, b, NULL);
        w->rule = (mskp_rule){.nbudgets = 1, .budgets = b};
        if (!(b->limit > 0)) b->limit = 1;
    }
    w->desc = (mskp_constants_desc){
        .way = rng_chance(&t->r, 0.6) ? MSKP_CONSTANTS_MERGE : MSKP_CONSTANTS_AUTO,
        .zeroed = rng_chance(&t->r, 0.8) ? MSKP_ROLE_SCALE | MSKP_ROLE_FILTER : MSKP_ROLE_SCALE};
    w->block = arena_get(&t->mem, t->units, sizeof *w->block);
    w->blocks = slow_blocks(t, w->scores, &w->rule, w->block, &w->named);
}

static bool same(const trial *t, const left *l, const uint8_t *selected, const uint8_t *kept)
{
    return !memcmp(l->selected, selected, t->units) && !memcmp(l->kept, kept, t->units);
}

/* The limits of the rule hold for the units that the library keeps. */
static void require_limits(const within *w, const uint8_t *kept)
{
    const trial *t = &w->h.t;
    for (size_t f = 0; f < t->model.families; f++) {
        const size_t round_to = round_of(&w->rule, f);
        size_t n = 0, size = t->model.family_size[f];
        for (size_t u = 0; u < t->units; u++) n += t->model.family[u] == f && kept[u];
        REQUIRE(n == size || n % round_to == 0, "family %zu keeps %zu of %zu, no multiple of %zu",
                f, n, size, round_to);
    }
    for (size_t u = 0; u < t->units; u++)
        REQUIRE(kept[u] || !(w->rule.locked.unit && w->rule.locked.unit[u]), "unit %zu is locked",
                u);
}

typedef struct tally {
    size_t solved, unsolved, carriers, would_break, rounds;
} tally;

static void try_one(uint64_t seed, tally *y)
{
    within w;
    within_begin(&w, seed);
    trial *t = &w.h.t;
    const mskp_tensors values = set_by_id(t->net->params, w.h.values.views);
    uint8_t *selected = arena_get(&t->mem, t->units, 1), *kept = arena_get(&t->mem, t->units, 1);
    uint8_t *alone = arena_get(&t->mem, t->units, 1);
    const set before = set_copy(&t->mem, &w.h.values);
    mskp_constants *c = NULL;
    mskp_error err = {0};
    const mskp_status status = mskp_constants_select(t->graph, scores_of(t->units, w.scores),
                                                     &w.rule, &w.desc, values, &c, &err);
    REQUIRE(set_same(&before, &w.h.values), "values changed");
    if (status) {
        REQUIRE(status == MSKP_ERROR_NO_SOLUTION && err.status == status && !c, "%d %s",
                (int)status, err.text);
        /* Where carriers can lower a cost, fewer blocks may be enough, too. */
        bool rises = false;
        for (size_t i = 0; i < w.rule.nbudgets; i++)
            rises |= w.rule.budgets[i].kind >= MSKP_BUDGET_TABLE;
        REQUIRE(rises || !leave(&w, w.blocks).enough, "there is a solution: %s", err.text);
        y->unsolved++;
    } else {
        const mskp_mask none = {0};
        bool found = false;
        REQUIRE_OK(mskp_constants_masks(c, mask_of(t->units, selected), none,
                                        mask_of(t->units, kept), NULL));
        require_limits(&w, kept);
        REQUIRE(slow_amounts_hold(t, &w.rule, kept), "a demand does not hold");
        for (size_t b = w.named; b <= w.blocks && !found; b++) {
            const left l = leave(&w, b);
            found = l.enough && same(t, &l, selected, kept) &&
                    (b == w.named || !leave(&w, b - 1).enough);
        }
        REQUIRE(found, "no number of blocks leaves this, or one block less is enough");
        for (size_t u = 0; u < t->units; u++) y->carriers += kept[u] && !selected[u];
        y->solved++;
        y->rounds += w.rounds > 0;
        /* How often would the selection alone, with carriers on top, have broken the rule? */
        if (!mskp_select(t->graph, scores_of(t->units, w.scores), &w.rule, mask_of(t->units, alone),
                         NULL, NULL)) {
            mskp_constants *on_top;
            REQUIRE_OK(create_constants(t->graph, t->units, alone, &w.desc, t->net->params,
                                        w.h.values.views, alone, &on_top, NULL));
            mskp_constants_destroy(on_top);
            y->would_break += !slow_amounts_hold(t, &w.rule, alone);
        }
        mskp_constants_destroy(c);
    }
    trial_end(t);
}

START_TEST(carriers_are_within_the_rule)
{
    const size_t count = test_count(2000);
    tally y = {0};
    for (size_t k = 0; k < count; k++) try_one(test_seed() * 1000000 + k, &y);
    if (getenv("MSKP_TEST_VERBOSE"))
        printf("%zu networks: %zu solved, %zu not; %zu carriers; %zu would have broken the rule; "
               "in %zu units stayed for round_to\n",
               count, y.solved, y.unsolved, y.carriers, y.would_break, y.rounds);
    if (count < 500) return;
    REQUIRE(y.solved * 4 > count && y.unsolved * 50 > count, "%zu solved, %zu not", y.solved,
            y.unsolved);
    REQUIRE(y.would_break * 100 > count && y.rounds * 200 > count,
            "the test checks too little: %zu would have broken the rule, %zu rounds", y.would_break,
            y.rounds);
}
END_TEST

/* A callback may return NaN at any call: nothing is made, and nothing is left. */
START_TEST(callbacks_that_fail)
{
    size_t failed = 0;
    for (size_t k = 0; k < test_count(400); k++) {
        within w;
        within_begin(&w, test_seed() * 1000000 + k);
        trial *t = &w.h.t;
        mskp_budget b = random_budget(t);
        while (b.kind != MSKP_BUDGET_CALLBACK) b = random_budget(t);
        own_cost *c = b.context;
        const mskp_rule rule = {.nbudgets = 1, .budgets = &b};
        const mskp_tensors values = set_by_id(t->net->params, w.h.values.views);
        const mskp_scores scores = scores_of(t->units, w.scores);
        mskp_constants *made = NULL;
        mskp_error err = {0};
        c->calls = 0;
        const mskp_status status =
            mskp_constants_select(t->graph, scores, &rule, &w.desc, values, &made, &err);
        mskp_constants_destroy(made);
        REQUIRE(!status || status == MSKP_ERROR_NO_SOLUTION, "%s", err.text);
        const size_t calls = c->calls;
        for (c->fail_at = 1; c->fail_at <= calls; c->fail_at++, failed++) {
            made = NULL;
            c->calls = 0;
            REQUIRE(mskp_constants_select(t->graph, scores, &rule, &w.desc, values, &made, &err) ==
                            MSKP_ERROR_BAD_NUMBER &&
                        !made && strstr(err.text, "budgets[0] (callback): the cost is NaN"),
                    "call %zu of %zu: %s", c->fail_at, calls, err.text);
            REQUIRE(c->calls == c->fail_at, "call %zu came after NaN", c->calls);
        }
        trial_end(t);
    }
    REQUIRE(failed > test_count(400), "%zu calls failed", failed);
}
END_TEST

/* Sixteen channels of a batch norm with beta, which a padded convolution reads. If half of them are
 * to be removed, the carrier is one of the eight that stay or a ninth, depending on the demand. */
START_TEST(by_hand)
{
    double filter[16], scale[16], shift[16], reader[16 * 9];
    double score[16];
    uint8_t selected[16], kept[16], carrier[16];
    mskp_tensor view[4] = {{.data = filter, .dtype = MSKP_DTYPE_F64},
                           {.data = scale, .dtype = MSKP_DTYPE_F64},
                           {.data = shift, .dtype = MSKP_DTYPE_F64},
                           {.data = reader, .dtype = MSKP_DTYPE_F64}};
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_conv_desc first = {0}, second = {.pad_before = {1, 1}, .pad_after = {1, 1}};
    mskp_norm_desc norm = {0};
    mskp_constants *c = NULL;
    mskp_cost full, cost;
    mskp_error err = {0};
    for (int i = 0; i < 16; i++) filter[i] = 1, scale[i] = shift[i] = score[i] = 1 + i;
    for (int i = 0; i < 16 * 9; i++) reader[i] = 1;
    first.weight = mskp_parameter(g, "filter", 4, (size_t[]){16, 1, 1, 1});
    norm.scale = mskp_parameter(g, "scale", 1, (size_t[]){16});
    norm.shift = mskp_parameter(g, "shift", 1, (size_t[]){16});
    second.weight = mskp_parameter(g, "reader", 4, (size_t[]){1, 16, 3, 3});
    mskp_value x = mskp_conv(g, "a", mskp_input(g, "x", 1, 2, (size_t[]){4, 4}), &first);
    x = mskp_norm(g, "n", x, &norm);
    mskp_output(g, mskp_conv(g, "b", x, &second));
    ck_assert_int_eq(mskp_graph_finish(g, &err), MSKP_OK);
    ck_assert_int_eq(mskp_measure(g, (mskp_mask){0}, &full, NULL, NULL), MSKP_OK);
    const mskp_constants_desc zeroed = {.zeroed = MSKP_ROLE_SCALE};
    const mskp_tensors values = {4, view};
    const mskp_scores scores = {16, score};
    const struct {
        mskp_rule rule;
        size_t selected, kept;
    } cases[] = {
        {{.max_macs = full.macs / 2}, 7, 8},          /* eight with the carrier */
        {{.remove_fraction = 0.5}, 7, 8},             /* eight are removed */
        {{.use_threshold = 1, .threshold = 8}, 8, 9}, /* these eight are removed, except one */
        {{.max_macs = full.macs / 2, .round_to = 4}, 7, 8}, /* blocks of 4; three are not enough */
        {{.max_macs = full.macs * 9 / 16, .round_to = 4}, 7, 8},
        {{.max_macs = full.macs / 16 * 2}, 1, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t stay[2] = {0}, carriers = 0;
        ck_assert_msg(!mskp_constants_select(g, scores, &cases[i].rule, &zeroed, values, &c, &err),
                      "case %zu: %s", i, err.text);
        ck_assert_int_eq(mskp_constants_masks(c, mask_of(16, selected), mask_of(16, carrier),
                                              mask_of(16, kept), NULL),
                         MSKP_OK);
        for (size_t u = 0; u < 16; u++) {
            stay[0] += selected[u];
            stay[1] += kept[u];
            carriers += carrier[u];
        }
        ck_assert_msg(stay[0] == cases[i].selected && stay[1] == cases[i].kept && carriers == 1,
                      "case %zu: %zu selected, %zu kept, %zu carriers", i, stay[0], stay[1],
                      carriers);
        ck_assert_int_eq(mskp_measure(g, mask_of(16, kept), &cost, NULL, NULL), MSKP_OK);
        ck_assert(!(cases[i].rule.max_macs > 0) || cost.macs <= cases[i].rule.max_macs);
        mskp_constants_destroy(c);
    }
    c = NULL;
    /* Eight of sixteen may be removed at once; one of them carries, and the others stay for
     * round_to. */
    const mskp_rule coarse = {.max_macs = full.macs * 11 / 16, .round_to = 8};
    ck_assert_int_eq(mskp_constants_select(g, scores, &coarse, &zeroed, values, &c, &err),
                     MSKP_ERROR_NO_SOLUTION);
    const mskp_rule least = {.max_macs =
                                 full.macs / 16}; /* one channel cannot carry and be removed */
    ck_assert_int_eq(mskp_constants_select(g, scores, &least, &zeroed, values, &c, &err),
                     MSKP_ERROR_NO_SOLUTION);
    ck_assert_ptr_null(c);
    ck_assert_msg(strstr(err.text, "max_macs is ") && strstr(err.text, "carry constants"), "%s",
                  err.text);
    mskp_graph_destroy(g);
}
END_TEST

/* The plan comes before the constants, and the constants before the cut. */
START_TEST(the_order_is_the_only_one)
{
    double weight[4] = {1, 1, 1, 1}, bias[4] = {1, 2, 3, 4}, reader[4] = {1, 1, 1, 1}, out = 0;
    double score[4] = {1, 2, 3, 4};
    uint8_t other[4] = {1, 1, 1, 1};
    mskp_tensor view[4] = {{.data = weight, .dtype = MSKP_DTYPE_F64},
                           {.data = bias, .dtype = MSKP_DTYPE_F64},
                           {.data = reader, .dtype = MSKP_DTYPE_F64},
                           {.data = &out, .dtype = MSKP_DTYPE_F64}};
    const mskp_tensors values = {4, view};
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_constants *c;
    mskp_plan *plan, *another;
    mskp_error err = {0};
    const mskp_param w = mskp_parameter(g, "w", 2, (size_t[]){4, 1});
    const mskp_param b = mskp_parameter(g, "b", 1, (size_t[]){4});
    const mskp_param r = mskp_parameter(g, "r", 2, (size_t[]){1, 4});
    const mskp_param o = mskp_parameter(g, "o", 1, (size_t[]){1});
    mskp_value x = mskp_linear(g, "a", mskp_input(g, "x", 1, 0, NULL), w, b);
    mskp_output(g, mskp_linear(g, "y", x, r, o));
    ck_assert_int_eq(mskp_graph_finish(g, &err), MSKP_OK);
    const mskp_constants_desc zeroed = {.zeroed = MSKP_ROLE_FILTER};
    const mskp_rule half = {.remove_fraction = 0.5};
    const mskp_move move = {values, {0}};
    ck_assert_int_eq(
        mskp_constants_select(g, (mskp_scores){4, score}, &half, &zeroed, values, &c, &err),
        MSKP_OK);
    ck_assert_int_eq(mskp_constants_apply(c, NULL, values, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_plan_create(g, mask_of(4, other), &another, NULL, &err), MSKP_OK);
    ck_assert_int_eq(mskp_constants_apply(c, another, values, &err), MSKP_ERROR_OTHER_NETWORK);
    ck_assert_msg(strstr(err.text, "unit 0 stays by the plan") != NULL, "%s", err.text);
    ck_assert_int_eq(mskp_constants_plan(c, &plan, NULL, &err), MSKP_OK);
    ck_assert_int_eq(mskp_plan_cut(plan, 1, &move, &err), MSKP_ERROR_BAD_STATE);
    ck_assert(view[0].ndim == 0 && !(out > 0));
    ck_assert_int_eq(mskp_constants_apply(c, plan, values, &err), MSKP_OK);
    ck_assert_msg(out >= 3 && out <= 3, "biases 1 and 2 make %g", out);
    ck_assert_int_eq(mskp_plan_cut(plan, 1, &move, &err), MSKP_OK);
    ck_assert(view[0].shape[0] == 2 && view[2].shape[1] == 2);
    mskp_plan_destroy(plan);
    mskp_plan_destroy(another);
    mskp_constants_destroy(c);
    mskp_graph_destroy(g);
}
END_TEST

START_TEST(refusals)
{
    constants_trial h;
    memset(&h, 0, sizeof h);
    trial *t = &h.t;
    trial_begin(t, 7, &(net_options){.constants = true}, NULL);
    constants_trial_open(&h);
    h.values = set_make(&t->mem, &t->r, t->net, MSKP_DTYPE_F64, VIEW_STYLES);
    set_numbers(&h.values, t->net);
    double *score = random_scores(t);
    const mskp_tensors values = set_by_id(t->net->params, h.values.views);
    const mskp_tensors fewer = {values.n - 1, values.view};
    const mskp_rule rule = {.remove_fraction = 0.5}, nothing = {0};
    const mskp_constants_desc wrong = {.way = (mskp_constants_way)9};
    mskp_constants *const untouched = (mskp_constants *)&h, *c = untouched;
    mskp_error err = {0};
    const mskp_scores good = scores_of(t->units, score), none = scores_of(t->units, NULL);
    const mskp_scores longer = scores_of(t->units + 1, score);
#define REFUSED(call, code)                 \
    do {                                    \
        err.status = MSKP_OK;               \
        ck_assert_int_eq(call, code);       \
        ck_assert_int_eq(err.status, code); \
        ck_assert_ptr_eq(c, untouched);     \
    } while (0)
    REFUSED(mskp_constants_select(NULL, good, &rule, NULL, values, &c, &err),
            MSKP_ERROR_BAD_ARGUMENT);
    REFUSED(mskp_constants_select(t->graph, none, &rule, NULL, values, &c, &err),
            MSKP_ERROR_BAD_ARGUMENT);
    REFUSED(mskp_constants_select(t->graph, longer, &rule, NULL, values, &c, &err),
            MSKP_ERROR_OTHER_NETWORK);
    REFUSED(mskp_constants_select(t->graph, good, NULL, NULL, values, &c, &err),
            MSKP_ERROR_BAD_ARGUMENT);
    REFUSED(mskp_constants_select(t->graph, good, &nothing, NULL, values, &c, &err),
            MSKP_ERROR_BAD_ARGUMENT);
    REFUSED(mskp_constants_select(t->graph, good, &rule, &wrong, values, &c, &err),
            MSKP_ERROR_BAD_ARGUMENT);
    REFUSED(mskp_constants_select(t->graph, good, &rule, NULL, fewer, &c, &err),
            MSKP_ERROR_OTHER_NETWORK);
    REFUSED(mskp_constants_select(t->graph, good, &rule, NULL, values, NULL, &err),
            MSKP_ERROR_BAD_ARGUMENT);
    trial_end(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("within");
    TCase *tests = tcase_create("within");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, carriers_are_within_the_rule);
    tcase_add_test(tests, callbacks_that_fail);
    tcase_add_test(tests, by_hand);
    tcase_add_test(tests, the_order_is_the_only_one);
    tcase_add_test(tests, refusals);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

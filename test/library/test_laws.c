/*
 * Laws that hold for every network, tried on thousands of random ones: what belongs to nobody can
 * be cut without a trace, twice is once, in place is elsewhere, and costs are what is left.
 */
#include "interpreter/laws.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Zero, cut, same outputs ---- */

START_TEST(zero_then_cut)
{
    size_t count = test_count(10000), with_removed = 0, control = 0, control_differs = 0;
    size_t overflowed = 0;
    for (size_t k = 0; k < count; k++) {
        trial t;
        surgery s;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        uint8_t *keep = random_mask(&t);
        double **inputs = net_random_inputs(t.net, &t.mem, &t.r);
        size_t removed = 0;
        for (size_t u = 0; u < t.units; u++) removed += !keep[u];

        /* The control first: cut what was not zeroed. */
        surgery_begin(&s, &t, t.graph, t.net, t.value, t.units, keep);
        double **whole = net_eval(t.net, &t.mem, inputs);
        double d =
            output_difference(t.net, whole, s.net, net_eval(s.net, &t.mem, inputs), s.values);
        surgery_end(&s);
        if (removed && !isnan(d)) {
            control++;
            control_differs += d > 1e-6;
        }

        d = zero_and_cut(&t, keep, inputs);
        if (isnan(d))
            overflowed++;
        else
            REQUIRE(d <= 1e-12, "outputs differ by %g", d);
        with_removed += removed > 0;
        trial_end(&t);
    }
    REQUIRE(overflowed * 50 <= count, "%zu networks of %zu are not finite", overflowed, count);
    if (count < 200) return; /* too few for shares */
    REQUIRE(with_removed * 2 > count, "only %zu of %zu networks lost units", with_removed, count);
    REQUIRE(control_differs * 3 > control * 2, "the control differs in %zu of %zu only",
            control_differs, control);
}
END_TEST

/* ---- Units that mskp_exact calls exact are exact ---- */

START_TEST(exact_is_never_wrong)
{
    size_t count = test_count(2500), tried[2] = {0}, differs = 0, overflowed = 0;
    for (size_t k = 0; k < count; k++)
        for (int wanted = 1; wanted >= 0; wanted--) {
            trial t;
            mskp_error err = {0};
            trial_begin(&t, test_seed() * 1000000 + k, &(net_options){.inexact = k % 2}, NULL);
            const uint32_t roles = (uint32_t)rng_below(&t.r, 16);
            uint8_t *keep = random_mask(&t), *exact = arena_get(&t.mem, t.units, 1);
            double **inputs = net_random_inputs(t.net, &t.mem, &t.r);
            REQUIRE(!mskp_exact(t.graph, roles, mask_of(t.units, exact), &err), "%s", err.text);
            if (remove_only(&t, exact, wanted, keep)) {
                const double d = cut_difference(&t, keep, roles, inputs);
                tried[wanted] += isnan(d) ? 0 : 1;
                overflowed += isnan(d) ? 1 : 0;
                if (wanted)
                    REQUIRE(isnan(d) || d <= 1e-12, "roles %u: off by %g", roles, d);
                else
                    differs += d > 1e-9;
            }
            trial_end(&t);
        }
    if (getenv("MSKP_TEST_VERBOSE"))
        printf("exact: %zu cuts; not exact: %zu of %zu cuts differ\n", tried[1], differs, tried[0]);
    REQUIRE(overflowed * 50 <= count, "%zu networks of %zu are not finite", overflowed, count);
    if (count < 200) return; /* too few for shares */
    REQUIRE(tried[1] * 4 > count, "only %zu networks of %zu had exact units", tried[1], count);
    REQUIRE(differs * 2 > tried[0], "where it says no, %zu of %zu differ only", differs, tried[0]);
}
END_TEST

/* The textbook's cases, by name. */
START_TEST(exact_is_what_the_textbook_says)
{
    static const struct {
        mskp_activation_kind function;
        int bias, norm, shift;
        uint32_t roles;
        int exact;
    } cases[] = {
        {MSKP_ACTIVATION_RELU, 0, 1, 1, MSKP_ROLE_SCALE, 0}, /* beta speaks on */
        {MSKP_ACTIVATION_RELU, 0, 1, 1, MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT, 1},
        {MSKP_ACTIVATION_RELU, 0, 1, 0, MSKP_ROLE_SCALE, 1},
        {MSKP_ACTIVATION_RELU, 0, 1, 1, MSKP_ROLE_FILTER | MSKP_ROLE_SHIFT,
         0}, /* -mean/deviation * gamma */
        {MSKP_ACTIVATION_SIGMOID, 0, 1, 1, MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT, 0},
        {MSKP_ACTIVATION_SIGMOID, 0, 1, 1, MSKP_ROLE_CONSUMER, 1},
        {MSKP_ACTIVATION_CUSTOM, 0, 1, 1, MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT, 0},
        {MSKP_ACTIVATION_GELU, 1, 0, 0, MSKP_ROLE_FILTER, 0},
        {MSKP_ACTIVATION_GELU, 1, 0, 0, MSKP_ROLE_FILTER | MSKP_ROLE_SHIFT, 1},
        {MSKP_ACTIVATION_TANH, 0, 0, 0, MSKP_ROLE_FILTER, 1},
        {MSKP_ACTIVATION_TANH, 0, 0, 0, 0, 0},
        {MSKP_ACTIVATION_SIGMOID, 1, 0, 0, MSKP_ROLES_UNIT, 1},
    };
    const size_t four = 4;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_param in = mskp_parameter(g, "in", 2, (size_t[]){4, 3});
        const mskp_param out = mskp_parameter(g, "out", 2, (size_t[]){2, 4});
        mskp_param bias = {0}, gamma = {0}, beta = {0};
        if (cases[i].bias) bias = mskp_parameter(g, "bias", 1, &four);
        if (cases[i].norm) gamma = mskp_parameter(g, "gamma", 1, &four);
        if (cases[i].shift) beta = mskp_parameter(g, "beta", 1, &four);
        mskp_value v = mskp_linear(g, "hidden", mskp_input(g, "x", 3, 0, NULL), in, bias);
        if (cases[i].norm)
            v = mskp_norm(g, "bn", v, &(mskp_norm_desc){.scale = gamma, .shift = beta});
        v = mskp_activation(g, "f", v, &(mskp_activation_desc){.kind = cases[i].function});
        mskp_output(g, mskp_linear(g, "y", v, out, (mskp_param){0}));
        uint8_t exact[4] = {9, 9, 9, 9};
        mskp_error err = {0};
        ck_assert_int_eq(mskp_exact(g, 0, mask_of(4, exact), &err), MSKP_ERROR_BAD_STATE);
        ck_assert_int_eq(mskp_graph_finish(g, &err), MSKP_OK);
        ck_assert_int_eq(mskp_exact(g, cases[i].roles, mask_of(3, exact), &err),
                         MSKP_ERROR_OTHER_NETWORK);
        ck_assert_int_eq(mskp_exact(g, 16, mask_of(4, exact), &err), MSKP_ERROR_BAD_ARGUMENT);
        ck_assert_int_eq(mskp_exact(g, cases[i].roles, (mskp_mask){0}, &err),
                         MSKP_ERROR_BAD_ARGUMENT);
        ck_assert_int_eq(exact[0], 9);
        ck_assert_int_eq(mskp_exact(g, cases[i].roles, mask_of(4, exact), &err), MSKP_OK);
        for (int u = 0; u < 4; u++)
            ck_assert_msg(exact[u] == cases[i].exact, "case %zu, unit %d: %d", i, u, exact[u]);
        mskp_graph_destroy(g);
    }
}
END_TEST

/* ---- Wrong readings are caught ---- */

enum { WRONG_INDEX, WRONG_SLICE, WRONG_FLATTEN, WRONG_ZERO, WRONG_PAD, WRONG_KINDS };

/* Spoils the smaller recipe; false where this network has nothing to spoil. */
static bool spoil(trial *t, surgery *s, int how, const uint8_t *keep)
{
    bool done = false;
    const char *why;
    if (how == WRONG_ZERO) {
        /* Producers alone are not enough: f(0), shifts and broadcasts speak on. */
        uint32_t own = MSKP_ROLE_FILTER | MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT;
        zero_removed(t, keep, own);
        s->net = net_cut(t->net, &t->mem, s->values, s->axes, NULL, &why);
        for (size_t u = 0; u < t->units; u++) done |= !keep[u];
        return done;
    }
    zero_removed(t, keep, UINT32_MAX);
    for (size_t p = 1; p <= t->net->params && how == WRONG_INDEX; p++) {
        net_kept *x = &s->axes[p][0];
        if (!x->index || x->n < 2) continue;
        uint32_t *index = arena_copy(&t->mem, x->index, x->n, sizeof *index);
        index[x->n - 1] = index[x->n - 1] != x->n - 1 ? index[x->n - 1] - 1 : index[0];
        x->index = index;
        done = true;
    }
    s->net = net_cut(t->net, &t->mem, s->values, s->axes, NULL, &why);
    for (size_t k = 1; s->net && k <= s->net->nodes; k++) {
        net_node *a = &s->net->node[k];
        const net_node *in = &s->net->node[a->in[0]];
        if (how == WRONG_SLICE && a->op == NET_SLICE && a->count < in->channels) {
            a->first = a->first ? a->first - 1 : 1;
            done = true;
        }
        if (how == WRONG_FLATTEN && a->op == NET_FLATTEN && in->channels > 1 &&
            net_positions(in) > 1) {
            a->channels_last = !a->channels_last;
            done = true;
        }
        if (how == WRONG_PAD && a->op == NET_PAD && a->first != a->count) {
            size_t first = a->first;
            a->first = a->count;
            a->count = first;
            done = true;
        }
    }
    return done;
}

START_TEST(wrong_readings_are_caught)
{
    static const char *const names[] = {"index", "slice", "flatten", "zero", "pad"};
    /* The share that must be caught, in percent: dead ends and dead functions hide the others. */
    static const size_t share[] = {50, 30, 40, 5, 30};
    size_t count = test_count(400);
    for (int how = 0; how < WRONG_KINDS; how++) {
        size_t tried = 0, caught = 0;
        /* Some are rare: more networks, so that their share means something. */
        for (size_t k = 0; k < count || (tried < 300 && k < 10 * count); k++) {
            trial t;
            surgery s;
            trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
            uint8_t *keep = random_mask(&t);
            double **inputs = net_random_inputs(t.net, &t.mem, &t.r);
            surgery_begin(&s, &t, t.graph, t.net, t.value, t.units, keep);
            if (spoil(&t, &s, how, keep)) {
                double **whole = net_eval(t.net, &t.mem, inputs);
                double d = output_difference(t.net, whole, s.net, net_eval(s.net, &t.mem, inputs),
                                             s.values);
                tried += isnan(d) ? 0 : 1;
                caught += d > 1e-9;
            }
            surgery_end(&s);
            trial_end(&t);
        }
        if (getenv("MSKP_TEST_VERBOSE"))
            printf("wrong %s: %zu of %zu caught\n", names[how], caught, tried);
        REQUIRE(count < 200 || (tried >= 10 && caught * 100 >= tried * share[how]),
                "wrong %s: %zu of %zu caught", names[how], caught, tried);
    }
}
END_TEST

/* ---- Wrong ties are caught ---- */

/* A row of the table of couplings (docs/architecture.md) that the model gets wrong on purpose. */
static const struct {
    const char *row;
    model_fault fault;
} wrong_rows[] = {
    {"convolution, groups tied or whole", {MODEL_NO_TIES, NET_CONV, 0}},
    {"convolution, filters", {MODEL_MISBOUND, NET_CONV, MSKP_ROLE_FILTER}},
    {"convolution, consumers", {MODEL_MISBOUND, NET_CONV, MSKP_ROLE_CONSUMER}},
    {"convolution, bias", {MODEL_MISBOUND, NET_CONV, MSKP_ROLE_SHIFT}},
    {"transposed convolution, groups", {MODEL_NO_TIES, NET_TCONV, 0}},
    {"transposed convolution, filters", {MODEL_MISBOUND, NET_TCONV, MSKP_ROLE_FILTER}},
    {"transposed convolution, consumers", {MODEL_MISBOUND, NET_TCONV, MSKP_ROLE_CONSUMER}},
    {"linear, filters", {MODEL_MISBOUND, NET_LINEAR, MSKP_ROLE_FILTER}},
    {"linear, consumers", {MODEL_MISBOUND, NET_LINEAR, MSKP_ROLE_CONSUMER}},
    {"shared weights", {MODEL_NO_TIES, NET_LINEAR, 0}},
    {"embedding", {MODEL_MISBOUND, NET_TABLE, MSKP_ROLE_FILTER}},
    {"parameter as operand", {MODEL_MISBOUND, NET_PARAM, MSKP_ROLE_FILTER}},
    {"norm, gamma", {MODEL_MISBOUND, NET_NORM, MSKP_ROLE_SCALE}},
    {"norm, beta", {MODEL_MISBOUND, NET_NORM, MSKP_ROLE_SHIFT}},
    {"norm, mean", {MODEL_MISBOUND, NET_NORM, MSKP_ROLE_MEAN}},
    {"norm, variance", {MODEL_MISBOUND, NET_NORM, MSKP_ROLE_VARIANCE}},
    {"group norm, whole groups", {MODEL_NO_TIES, NET_NORM, 0}},
    {"layer norm, pinned", {MODEL_NO_PINS, NET_NORM, 0}},
    {"PReLU", {MODEL_MISBOUND, NET_PRELU, MSKP_ROLE_OTHER}},
    {"activation", {MODEL_ROTATED, NET_ACT, 0}},
    {"pooling", {MODEL_ROTATED, NET_POOL, 0}},
    {"element-wise, tied", {MODEL_NO_TIES, NET_COMBINE, 0}},
    {"element-wise, order", {MODEL_ROTATED, NET_COMBINE, 0}},
    {"slice", {MODEL_ROTATED, NET_SLICE, 0}},
    {"chunk, tied", {MODEL_NO_TIES, NET_CHUNK, 0}},
    {"chunk, order", {MODEL_ROTATED, NET_CHUNK, 0}},
    {"channel padding", {MODEL_ROTATED, NET_PAD, 0}},
    {"pick", {MODEL_ROTATED, NET_PICK, 0}},
    {"concatenation", {MODEL_ROTATED, NET_CONCAT, 0}},
    {"flatten", {MODEL_ROTATED, NET_FLATTEN, 0}},
    {"unflatten, tied", {MODEL_NO_TIES, NET_UNFLATTEN, 0}},
    {"unflatten, order", {MODEL_ROTATED, NET_UNFLATTEN, 0}},
    {"reshape of positions", {MODEL_ROTATED, NET_RESHAPE, 0}},
    {"channel shuffle, tied", {MODEL_NO_TIES, NET_CHANNEL_SHUFFLE, 0}},
    {"channel shuffle, order", {MODEL_ROTATED, NET_CHANNEL_SHUFFLE, 0}},
    {"pixel shuffle, tied", {MODEL_NO_TIES, NET_PIXEL_SHUFFLE, 0}},
    {"pixel shuffle, order", {MODEL_ROTATED, NET_PIXEL_SHUFFLE, 0}},
    {"pixel unshuffle", {MODEL_ROTATED, NET_PIXEL_UNSHUFFLE, 0}},
    {"concatenation in space, tied", {MODEL_NO_TIES, NET_STACK, 0}},
    {"concatenation in space, order", {MODEL_ROTATED, NET_STACK, 0}},
    {"attention, rows", {MODEL_MISBOUND, NET_ATTENTION, MSKP_ROLE_FILTER}},
    {"attention, columns", {MODEL_MISBOUND, NET_ATTENTION, MSKP_ROLE_CONSUMER}},
    {"attention, biases", {MODEL_MISBOUND, NET_ATTENTION, MSKP_ROLE_SHIFT}},
    {"recurrent, gates", {MODEL_MISBOUND, NET_RECURRENT, MSKP_ROLE_FILTER}},
    {"recurrent, columns", {MODEL_MISBOUND, NET_RECURRENT, MSKP_ROLE_CONSUMER}},
    {"recurrent, biases", {MODEL_MISBOUND, NET_RECURRENT, MSKP_ROLE_SHIFT}},
    {"recurrent, order", {MODEL_ROTATED, NET_RECURRENT, 0}},
    {"input, pinned", {MODEL_NO_PINS, NET_INPUT, 0}},
    {"output, pinned", {MODEL_NO_PINS, NET_OUTPUT, 0}},
    {"unknown operator, pinned", {MODEL_NO_PINS, NET_OPAQUE, 0}},
    {"custom grouped convolution", {MODEL_NO_TIES, NET_GROUPED, 0}},
    {"custom depthwise convolution", {MODEL_NO_TIES, NET_DEPTHWISE, 0}},
    {"custom pixel shuffle", {MODEL_NO_TIES, NET_SHUFFLE, 0}},
    {"custom scale", {MODEL_MISBOUND, NET_SCALE, MSKP_ROLE_SCALE}},
};

static net_kept kept_of(arena *mem, const uint32_t *units, size_t n, const uint8_t *keep)
{
    uint32_t *index = arena_get(mem, n, sizeof *index);
    net_kept k = {0, index};
    for (size_t i = 0; i < n; i++)
        if (units[i] == MSKP_PINNED || keep[units[i]]) index[k.n++] = (uint32_t)i;
    if (k.n == n) k.index = NULL;
    return k;
}

/* Zeroed and cut as a model says, right or wrong; the library has no part in it. False: there was
 * nothing to get wrong, or nothing was removed. *d: how far the outputs are off; INFINITY where
 * what is left is no network. */
static bool cut_by_model(uint64_t seed, model_fault fault, double *d)
{
    trial t = {.r = rng_make(seed ^ 0x5EEDu)};
    const char *why;
    trial_seed = seed;
    t.net = net_random(&t.mem, seed, NULL);
    t.model = model_make(&t.mem);
    t.model.fault = fault;
    t.value = arena_get(&t.mem, t.net->nodes + 1, sizeof *t.value);
    net_describe(t.net, NULL, &t.model, t.value);
    t.units = t.model.units;
    uint8_t *keep = random_mask(&t);
    bool tried = (t.model.faults || !fault.kind) && memchr(keep, 0, t.units);
    if (tried) {
        double **inputs = net_random_inputs(t.net, &t.mem, &t.r);
        net_kept *values = arena_get(&t.mem, t.net->nodes + 1, sizeof *values);
        net_kept(*axes)[MSKP_MAX_DIMS] = arena_get(&t.mem, t.net->params + 1, sizeof *axes);
        for (size_t k = 1; k <= t.net->nodes; k++) {
            const model_value *v = &t.model.value[t.value[k]];
            values[k] = kept_of(&t.mem, v->unit, v->n, keep);
        }
        for (size_t p = 1; p <= t.net->params; p++)
            for (uint32_t x = 0; x < t.net->param[p].ndim; x++) {
                const uint32_t *units = t.model.param[p].axis[x].unit;
                const size_t n = t.net->param[p].shape[x];
                axes[p][x] = units ? kept_of(&t.mem, units, n, keep) : (net_kept){n, NULL};
            }
        zero_removed(&t, keep, UINT32_MAX);
        net *small = net_cut(t.net, &t.mem, values, axes, NULL, &why);
        for (size_t k = 0; small && k < t.net->outputs; k++)
            if (values[t.net->output[k]].index) small = NULL;
        *d = (double)INFINITY;
        if (small)
            *d = output_difference(t.net, net_eval(t.net, &t.mem, inputs), small,
                                   net_eval(small, &t.mem, inputs), values);
        tried = !isnan(*d);
    }
    arena_free(&t.mem);
    return tried;
}

START_TEST(wrong_ties_are_caught)
{
    enum { ENOUGH = 200, FEWEST = 20 };
    const size_t rows = sizeof wrong_rows / sizeof *wrong_rows, count = test_count(3000);
    size_t right = 0;
    double d;
    for (size_t k = 0; k < count; k++)
        if (cut_by_model(test_seed() * 1000000 + k, (model_fault){MODEL_NO_FAULT, 0, 0}, &d)) {
            REQUIRE(d <= 1e-12, "the right rule, off by %g", d);
            right++;
        }
    REQUIRE(right * 2 > count, "only %zu of %zu networks were cut", right, count);
    for (size_t i = 0; i < rows; i++) {
        size_t tried = 0, caught = 0;
        /* Rare rows get more networks, so that a check of few networks tries them often enough. */
        for (size_t k = 0;
             (k < count && tried < ENOUGH) || (count >= 1000 && tried < FEWEST && k < 3000); k++)
            if (cut_by_model(test_seed() * 1000000 + k, wrong_rows[i].fault, &d)) {
                tried++;
                caught += d > 1e-9;
            }
        if (getenv("MSKP_TEST_VERBOSE"))
            printf("wrong %s: %zu of %zu caught\n", wrong_rows[i].row, caught, tried);
        /* Dead ends and dead functions hide some. */
        REQUIRE(count < 1000 || (tried >= FEWEST && caught >= 3 && caught * 30 > tried),
                "wrong %s: %zu of %zu caught", wrong_rows[i].row, caught, tried);
    }
}
END_TEST

/* ---- Prune nothing ---- */

START_TEST(nothing_is_identity)
{
    for (size_t k = 0; k < test_count(400); k++) {
        trial t;
        surgery s;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        uint8_t *keep = arena_get(&t.mem, t.units, 1);
        memset(keep, 1, t.units);
        surgery_begin(&s, &t, t.graph, t.net, t.value, t.units, keep);
        require_same_graph(t.graph, s.small);
        for (uint32_t p = 0; p <= t.net->params + 1; p++) {
            bool none = p == 0 || p > t.net->params;
            size_t n = 77;
            uint32_t axis = none ? 0 : t.net->param[p].ndim;
            REQUIRE(!mskp_plan_param_kept(s.plan, (mskp_param){p}, axis, &n) && n == 0,
                    "no such axis");
        }
        set a = set_make(&t.mem, &t.r, t.net, MSKP_DTYPE_F32, VIEW_STYLES);
        set_pattern(&a, t.net, k);
        set before = set_copy(&t.mem, &a);
        mskp_tensor *small = arena_get(&t.mem, t.net->params + 1, sizeof *small);
        REQUIRE_OK(mskp_plan_views(s.plan, set_by_id(t.net->params, a.views),
                                   set_by_id(t.net->params, small), NULL));
        for (int round = 0; round < 2; round++) {
            const mskp_tensor *views = round ? a.views : small;
            for (size_t p = 1; p <= t.net->params; p++) {
                const net_param *q = &t.net->param[p];
                mskp_tensor v = view_resolve(&before.buf[p].view, q->ndim, q->shape);
                mskp_tensor w = view_resolve(&views[p], q->ndim, q->shape);
                size_t index[MSKP_MAX_DIMS] = {0};
                do
                    REQUIRE(view_at(&v, index) - before.buf[p].memory ==
                                view_at(&w, index) - a.buf[p].memory,
                            "parameter %zu is viewed otherwise", p);
                while (next_index(q->ndim, q->shape, index));
                REQUIRE(memcmp(a.buf[p].memory, before.buf[p].memory, a.buf[p].bytes) == 0,
                        "parameter %zu changed", p);
            }
            if (round == 0)
                REQUIRE_OK(cut_by_id(s.plan, t.net->params, 1, &(move_by_id){a.views, NULL}, NULL));
        }
        surgery_end(&s);
        trial_end(&t);
    }
}
END_TEST

/* ---- Twice is once; the smaller network describes itself ---- */

START_TEST(twice_is_once)
{
    size_t again = 0, count = test_count(800);
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        again += require_twice_is_once(&t, random_mask(&t));
        trial_end(&t);
    }
    REQUIRE(again * 10 > count * 8, "only %zu of %zu described again", again, count);
}
END_TEST

/* ---- Sets move alike, in place as elsewhere ---- */

START_TEST(sets_move_alike)
{
    for (size_t k = 0; k < test_count(500); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        require_sets_move_alike(&t, random_mask(&t));
        trial_end(&t);
    }
}
END_TEST

/* ---- Costs ---- */

START_TEST(costs_are_what_is_left)
{
    for (size_t k = 0; k < test_count(800); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        require_costs(&t, random_mask(&t));
        trial_end(&t);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("laws");
    TCase *tcase = tcase_create("laws");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, zero_then_cut);
    tcase_add_test(tcase, exact_is_never_wrong);
    tcase_add_test(tcase, exact_is_what_the_textbook_says);
    tcase_add_test(tcase, wrong_readings_are_caught);
    tcase_add_test(tcase, wrong_ties_are_caught);
    tcase_add_test(tcase, nothing_is_identity);
    tcase_add_test(tcase, twice_is_once);
    tcase_add_test(tcase, sets_move_alike);
    tcase_add_test(tcase, costs_are_what_is_left);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

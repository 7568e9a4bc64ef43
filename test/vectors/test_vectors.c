/*
 * Penalties by vector loops and by prepared objects, against the loops of lib/penalty/elements.c
 * and the simple calls: the same bytes in all tensors and between their elements.
 *
 * MSKP_TEST_PROCESSOR says how far the loops may go (test.mk): 0 none, 1 those of the baseline, 2
 * AVX2, 3 AVX-512. What the processor does not have is passed over. The networks are wider than
 * those of test/interpreter, so that vectors, their rests, several stripes of one row and several
 * pieces of one tensor occur.
 */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id/by_id.h"
#include "interpreter/elements.h"

enum { LEVELS = 4, NONE = 0 };
enum { GRADIENT, PROX, DEADLINE, ZERO, FADE, FADE_VALUES, CALLS };
static const char *const CALL[CALLS] = {"gradient", "prox", "deadline",
                                        "zero",     "fade", "fade of values"};

typedef struct work {
    arena mem;
    rng r;
    mskp_graph *graph, *threaded;
    size_t params, units;
    uint8_t *keep;
    double *weight;
    mskp_penalty penalty;
    mskp_low_precision low;
    double amount;
    set values, gradients;
} work;

/* ---- networks ---- */

static mskp_param weight_of(mskp_graph *g, int layer, size_t out, size_t in, size_t kernel)
{
    char name[32];
    snprintf(name, sizeof name, "conv%d.weight", layer);
    return mskp_parameter(g, name, 4, (size_t[]){out, in, kernel, kernel});
}

static mskp_value normed(mskp_graph *g, int layer, mskp_value x, size_t width)
{
    char name[32];
    mskp_norm_desc norm = MSKP_INIT;
    snprintf(name, sizeof name, "bn%d.weight", layer);
    norm.scale = mskp_parameter(g, name, 1, &width);
    snprintf(name, sizeof name, "bn%d.bias", layer);
    norm.shift = mskp_parameter(g, name, 1, &width);
    return mskp_norm(g, NULL, x, &norm);
}

static mskp_graph *network(rng r, const mskp_services *services)
{
    mskp_graph *g = mskp_graph_create(services);
    size_t width = 3;
    mskp_value x = mskp_input(g, NULL, width, 2, (size_t[]){8, 8});
    for (int layer = 0; layer < 4; layer++) {
        const size_t kernel = rng_chance(&r, 0.5) ? 1 : 3, pad = kernel / 2;
        mskp_conv_desc conv = {.pad_before = {pad, pad}, .pad_after = {pad, pad}};
        const int kind = layer ? (int)rng_below(&r, 3) : 0;
        if (kind == 0) { /* another width; sometimes more than a stripe has room for */
            const size_t out = rng_chance(&r, 0.1) ? rng_from(&r, 520, 1100) : rng_from(&r, 1, 90);
            conv.weight = weight_of(g, layer, out, width, kernel);
            width = out;
            x = mskp_conv(g, NULL, x, &conv);
        } else if (kind ==
                   1) { /* a residual branch without a norm: both axes have the same units */
            conv.weight = weight_of(g, layer, width, width, width > 100 ? 1 : kernel);
            if (width > 100) conv.pad_before[0] = conv.pad_before[1] = 0;
            if (width > 100) conv.pad_after[0] = conv.pad_after[1] = 0;
            const mskp_value branch = mskp_conv(g, NULL, x, &conv);
            x = mskp_combine(g, NULL, MSKP_COMBINE_ADD, 2, (mskp_value[]){x, branch});
        } else { /* depthwise */
            conv.weight = weight_of(g, layer, width, 1, kernel);
            conv.groups = width;
            x = mskp_conv(g, NULL, x, &conv);
        }
        if (rng_chance(&r, 0.6)) x = normed(g, layer, x, width);
    }
    mskp_conv_desc last = MSKP_INIT;
    last.weight = weight_of(g, 9, 5, width, 1);
    mskp_output(g, mskp_conv(g, "head", x, &last));
    REQUIRE_OK(mskp_graph_finish(g, NULL));
    return g;
}

/* ---- sets ---- */

static double any_number(rng *r, bool gradient)
{
    static const double special[] = {0,         -0.0,       0x1p-149,   -0x1p-149,
                                     0x1p-130,  -0x1p-1040, 0x1.8p-127, 0x1.fffffep-127,
                                     0x1p-1074, INFINITY,   -INFINITY,  3e38,
                                     -3e38,     0.25,       -0.25,      1e-9};
    const size_t n = sizeof special / sizeof *special;
    if (rng_chance(r, 0.7)) return rng_real(r, -1, 1);
    /* Which of two NaN a sum keeps is the compiler's choice, so gradients have none. */
    const size_t k = rng_below(r, gradient ? n : n + 2);
    return k < n ? special[k] : k == n ? (double)NAN : -(double)NAN;
}

static set make_set(work *w, mskp_dtype dtype, bool gradient)
{
    set s = {.params = w->params};
    s.views = arena_get(&w->mem, w->params + 1, sizeof *s.views);
    s.buf = arena_get(&w->mem, w->params + 1, sizeof *s.buf);
    const bool wild = rng_chance(&w->r, 0.3);
    for (uint32_t p = 1; p <= w->params; p++) {
        size_t shape[MSKP_MAX_DIMS], index[MSKP_MAX_DIMS] = {0};
        const uint32_t ndim = mskp_param_shape(w->graph, (mskp_param){p}, shape);
        const view_style style = wild ? (view_style)rng_below(&w->r, VIEW_STYLES)
                                 : rng_chance(&w->r, 0.5) ? VIEW_PERMUTED
                                                          : VIEW_PACKED;
        s.buf[p] = view_make(&w->mem, &w->r, dtype, ndim, shape, style);
        s.views[p] = s.buf[p].view;
        const mskp_tensor view = view_resolve(&s.views[p], ndim, shape);
        do view_set(&view, index, any_number(&w->r, gradient));
        while (next_index(ndim, shape, index));
    }
    return s;
}

static void begin(work *w, uint64_t seed)
{
    static const uint32_t roles[] = {0,
                                     MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT,
                                     MSKP_ROLE_FILTER,
                                     MSKP_ROLE_CONSUMER,
                                     MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER,
                                     MSKP_ROLES_UNIT};
    trial_seed = seed;
    *w = (work){.r = rng_make(seed)};
    rng *r = &w->r;
    w->graph = network(*r, NULL);
    w->threaded = network(*r, &backwards_services);
    w->params = mskp_graph_counts(w->graph).params;
    w->units = mskp_graph_counts(w->graph).units;
    w->keep = arena_get(&w->mem, w->units, 1);
    w->weight = arena_get(&w->mem, w->units, sizeof *w->weight);
    rng_next(r);
    for (size_t u = 0; u < w->units; u++) {
        w->keep[u] = rng_chance(r, 0.5);
        w->weight[u] = rng_chance(r, 0.2) ? 0 : rng_real(r, 0, 2);
    }
    w->penalty = (mskp_penalty){.kind = (mskp_penalty_kind)rng_below(r, 3),
                                .target = (mskp_target)rng_below(r, 3),
                                .roles = roles[rng_below(r, 6)],
                                .knee = rng_chance(r, 0.8) ? 0.25 : 0,
                                .unit_weight = rng_chance(r, 0.5) ? w->weight : NULL,
                                .skip_missing = rng_chance(r, 0.5)};
    w->amount = rng_chance(r, 0.1) ? 0 : rng_real(r, 0, 1.5);
    static const mskp_dtype dtypes[] = {MSKP_DTYPE_F32, MSKP_DTYPE_F32, MSKP_DTYPE_F64,
                                        MSKP_DTYPE_F64, MSKP_DTYPE_F16};
    const mskp_dtype dtype = dtypes[rng_below(r, 5)];
    w->values = make_set(w, dtype, false);
    w->gradients = make_set(w, rng_chance(r, 0.9) ? dtype : dtypes[rng_below(r, 5)], true);
    if (rng_chance(r, 0.2)) {
        w->low = (mskp_low_precision){.rounding = MSKP_ROUNDING_STOCHASTIC, .seed = seed};
        w->penalty.low_precision = &w->low;
    }
    for (uint32_t p = 1; w->penalty.skip_missing && p <= w->params; p++)
        if (rng_chance(r, 0.2))
            (rng_chance(r, 0.5) ? &w->values : &w->gradients)->views[p].data = NULL;
}

static void end(work *w)
{
    mskp_graph_destroy(w->graph);
    mskp_graph_destroy(w->threaded);
    arena_free(&w->mem);
}

/* ---- calls ---- */

static mskp_status penalize(const work *w, const mskp_graph *g, int call, const set *values,
                            const set *gradients, mskp_error *err)
{
    const mskp_mask keep = mask_of(w->units, w->keep);
    const mskp_tensors v = set_by_id(w->params, values->views);
    const mskp_tensors s = set_by_id(w->params, gradients->views);
    switch (call) {
    case GRADIENT:
        return mskp_penalty_gradient(g, keep, &w->penalty, w->amount - 0.5, v, s, err);
    case PROX:
        return mskp_penalty_prox(g, keep, &w->penalty, w->amount, v, err);
    case DEADLINE:
        return mskp_penalty_deadline(g, keep, &w->penalty, 7, v, err);
    case ZERO:
        return mskp_penalty_zero(g, keep, &w->penalty, v, err);
    default:
        return mskp_penalty_fade(g, keep, &w->penalty, w->amount, call == FADE ? s : v, err);
    }
}

static mskp_prepared *prepare(const work *w, const mskp_graph *g, int call)
{
    mskp_prepared *prepared = NULL;
    mskp_error err = {MSKP_OK, ""};
    const mskp_status status = mskp_prepared_create(
        g, mask_of(w->units, w->keep), &w->penalty, set_by_id(w->params, w->values.views),
        call == FADE_VALUES ? (mskp_tensors){0} : set_by_id(w->params, w->gradients.views),
        &prepared, &err);
    REQUIRE(status == MSKP_OK, "%s", err.text);
    return prepared;
}

static mskp_status penalize_prepared(const work *w, const mskp_prepared *p, int call,
                                     const set *values, const set *gradients, mskp_error *err)
{
    const mskp_tensors v = set_by_id(w->params, values->views);
    const mskp_tensors s = set_by_id(w->params, gradients->views);
    switch (call) {
    case GRADIENT:
        return mskp_prepared_gradient(p, w->amount - 0.5, v, s, err);
    case PROX:
        return mskp_prepared_prox(p, w->amount, v, err);
    case DEADLINE:
    case ZERO:
        return mskp_prepared_deadline(p, call == ZERO ? 0 : 7, v, err);
    default:
        return mskp_prepared_fade(p, w->amount, call == FADE ? s : v, err);
    }
}

static void allow(int level)
{
    REQUIRE(setenv("MSKP_TEST_PROCESSOR", (const char[]){(char)('0' + level), 0}, 1) == 0,
            "no environment");
}

/* ---- tests ---- */

START_TEST(all_ways_give_the_same_bytes)
{
    size_t changed = 0, count = test_count(300);
    for (size_t k = 0; k < count; k++) {
        work w;
        begin(&w, test_seed() * 1000000 + k);
        const int call = (int)rng_below(&w.r, CALLS);
        set values = set_copy(&w.mem, &w.values), gradients = set_copy(&w.mem, &w.gradients);
        mskp_error err = {MSKP_OK, ""};
        float_mode(_i);
        allow(NONE);
        const mskp_status status = penalize(&w, w.graph, call, &values, &gradients, &err);
        REQUIRE(status == MSKP_OK, "%s", err.text);
        changed += !set_same(&values, &w.values) || !set_same(&gradients, &w.gradients);
        for (int way = 1; way < 4 * LEVELS; way++) {
            const mskp_graph *g = way & 1 ? w.threaded : w.graph;
            const set v = set_copy(&w.mem, &w.values), s = set_copy(&w.mem, &w.gradients);
            allow(way / 4);
            if (way & 2) {
                mskp_prepared *prepared = prepare(&w, g, call);
                REQUIRE_OK(penalize_prepared(&w, prepared, call, &v, &s, NULL));
                mskp_prepared_destroy(prepared);
            } else {
                REQUIRE_OK(penalize(&w, g, call, &v, &s, NULL));
            }
            for (uint32_t p = 1; p <= w.params; p++)
                REQUIRE(!memcmp(v.buf[p].memory, values.buf[p].memory, v.buf[p].bytes) &&
                            !memcmp(s.buf[p].memory, gradients.buf[p].memory, s.buf[p].bytes),
                        "%s of %s, level %d, %s, %s (kind %d, roles %u, knee %g)", CALL[call],
                        mskp_param_name(w.graph, (mskp_param){p}), way / 4,
                        way & 1 ? "threads" : "one thread", way & 2 ? "prepared" : "simple",
                        (int)w.penalty.kind, w.penalty.roles, w.penalty.knee);
        }
        float_mode(0);
        end(&w);
    }
    REQUIRE(count < 100 || changed > count / 2, "only %zu of %zu calls changed anything", changed,
            count);
}
END_TEST

/* The mask is copied; weights are read in each call, as they are then. */
START_TEST(a_copy_of_the_mask_and_weights_of_the_step)
{
    for (size_t k = 0; k < test_count(100); k++) {
        work w;
        begin(&w, test_seed() * 1000000 + 500000 + k);
        const int call = (int)rng_below(&w.r, CALLS);
        mskp_prepared *prepared = prepare(&w, w.graph, call);
        const set v = set_copy(&w.mem, &w.values), s = set_copy(&w.mem, &w.gradients);
        uint8_t *keep = arena_copy(&w.mem, w.keep, w.units, 1);
        for (size_t u = 0; u < w.units; u++) w.weight[u] = rng_real(&w.r, 0, 2);
        w.low.seed++;
        REQUIRE_OK(penalize(&w, w.graph, call, &w.values, &w.gradients, NULL));
        for (size_t u = 0; u < w.units; u++) w.keep[u] = !keep[u];
        REQUIRE_OK(penalize_prepared(&w, prepared, call, &v, &s, NULL));
        for (uint32_t p = 1; p <= w.params; p++)
            REQUIRE(!memcmp(v.buf[p].memory, w.values.buf[p].memory, v.buf[p].bytes) &&
                        !memcmp(s.buf[p].memory, w.gradients.buf[p].memory, s.buf[p].bytes),
                    "%s of parameter %u", CALL[call], p);
        mskp_prepared_destroy(prepared);
        end(&w);
    }
}
END_TEST

/* Changes one field of a view such that the view is another one. */
static const char *change_view(rng *r, mskp_tensor *t)
{
    const size_t axis = rng_below(r, MSKP_MAX_DIMS);
    switch (rng_below(r, 6)) {
    case 0:
        t->shape[axis]++;
        return "length";
    case 1:
        t->stride[axis]--;
        return "stride";
    case 2:
        t->dtype = t->dtype == MSKP_DTYPE_F32 ? MSKP_DTYPE_F64 : MSKP_DTYPE_F32;
        return "dtype";
    case 3:
        t->ndim++;
        return "ndim";
    case 4:
        t->elements++;
        return "number of elements";
    default:
        t->data = t->data ? NULL : t;
        return "data";
    }
}

START_TEST(other_views_are_refused)
{
    for (size_t k = 0; k < test_count(400); k++) {
        work w;
        mskp_error err = {MSKP_OK, ""};
        begin(&w, test_seed() * 1000000 + 700000 + k);
        const int call = (int)rng_below(&w.r, CALLS);
        mskp_prepared *prepared = prepare(&w, w.graph, call);
        const set v = set_copy(&w.mem, &w.values), s = set_copy(&w.mem, &w.gradients);
        const uint32_t p = (uint32_t)rng_from(&w.r, 1, w.params);
        const bool gradients = call == FADE || (call == GRADIENT && rng_chance(&w.r, 0.5));
        mskp_tensor *view = &(gradients ? &s : &v)->views[p], was = *view;
        const char *what = change_view(&w.r, view);
        REQUIRE(penalize_prepared(&w, prepared, call, &v, &s, &err) == MSKP_ERROR_BAD_STATE,
                "%s of parameter %u: status %d", what, p, (int)err.status);
        REQUIRE(strstr(err.text, mskp_param_name(w.graph, (mskp_param){p})) &&
                    strstr(err.text, what) && strstr(err.text, gradients ? "grad" : "values"),
                "%s: %s", what, err.text);
        for (uint32_t q = 1; q <= w.params; q++)
            REQUIRE(!memcmp(v.buf[q].memory, w.values.buf[q].memory, v.buf[q].bytes) &&
                        !memcmp(s.buf[q].memory, w.gradients.buf[q].memory, s.buf[q].bytes),
                    "parameter %u changed", q);
        *view = was;
        REQUIRE_OK(penalize_prepared(&w, prepared, call, &v, &s, NULL));
        mskp_prepared_destroy(prepared);
        end(&w);
    }
}
END_TEST

/* What no layout says: where the data is. */
START_TEST(wrong_data_is_refused)
{
    float w[9] = {0, 1, 2, 3}, g[9] = {0};
    const size_t eight = 8;
    mskp_error err;
    mskp_prepared *prepared = NULL, *alone = NULL;
    mskp_graph *graph = mskp_graph_create(NULL);
    const mskp_value x = mskp_fresh(graph, "x", 8, 0, NULL);
    mskp_bind(graph, mskp_parameter(graph, "gamma", 1, &eight), 0, MSKP_ROLE_SCALE, x);
    ck_assert_int_eq(mskp_graph_finish(graph, NULL), MSKP_OK);
    mskp_tensor value = {.data = w}, gradient = {.data = g};
    const mskp_tensors values = {1, &value}, gradients = {1, &gradient}, none = {0};
    const mskp_mask keep = {8, (uint8_t[8]){0}};
    ck_assert_int_eq(mskp_prepared_create(graph, keep, NULL, values, gradients, &prepared, NULL),
                     MSKP_OK);
    ck_assert_int_eq(mskp_prepared_create(graph, keep, NULL, values, none, &alone, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_prepared_gradient(alone, 1, values, gradients, &err),
                     MSKP_ERROR_BAD_STATE);
    ck_assert_ptr_nonnull(strstr(err.text, "without gradients"));
    gradient.data = w;
    ck_assert_int_eq(mskp_prepared_gradient(prepared, 1, values, gradients, &err),
                     MSKP_ERROR_OVERLAP);
    ck_assert_ptr_nonnull(strstr(err.text, "gamma"));
    gradient.data = (char *)g + 2;
    ck_assert_int_eq(mskp_prepared_gradient(prepared, 1, values, gradients, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "gradients"));
    value.data = (char *)w + 1;
    ck_assert_int_eq(mskp_prepared_prox(prepared, 1, values, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "values"));
    value.data = w;
    ck_assert_int_eq(mskp_prepared_prox(prepared, -1, values, &err), MSKP_ERROR_BAD_NUMBER);
    ck_assert_int_eq(mskp_prepared_prox(prepared, 1, none, &err), MSKP_ERROR_BAD_ARGUMENT);
    for (int i = 0; i < 8; i++) ck_assert(w[i] == (float)(i < 4 ? i : 0) && g[i] == 0);
    ck_assert_int_eq(mskp_prepared_prox(prepared, 1, values, NULL), MSKP_OK);
    for (int i = 0; i < 8; i++) ck_assert(w[i] == (float)(i > 0 && i < 4 ? i - 1 : 0));
    mskp_prepared_destroy(prepared);
    mskp_prepared_destroy(alone);
    mskp_prepared_destroy(NULL);
    mskp_graph_destroy(graph);
}
END_TEST

/* A deadline from start values, whose views a prepared penalty does not know. */
START_TEST(deadlines_from_start_values)
{
    for (size_t k = 0; k < test_count(60); k++) {
        work w;
        begin(&w, test_seed() * 1000000 + 900000 + k);
        for (uint32_t p = 1; p <= w.params; p++) w.values.views[p].data = w.values.buf[p].view.data;
        const set start = make_set(&w, MSKP_DTYPE_F64, true);
        w.low.start = set_by_id(w.params, start.views);
        w.low.start_steps = 9;
        w.penalty.low_precision = &w.low;
        mskp_prepared *prepared = prepare(&w, w.graph, FADE_VALUES);
        const set v = set_copy(&w.mem, &w.values);
        REQUIRE_OK(penalize(&w, w.graph, DEADLINE, &w.values, &w.gradients, NULL));
        REQUIRE_OK(penalize_prepared(&w, prepared, DEADLINE, &v, &w.gradients, NULL));
        for (uint32_t p = 1; p <= w.params; p++)
            REQUIRE(!memcmp(v.buf[p].memory, w.values.buf[p].memory, v.buf[p].bytes),
                    "parameter %u", p);
        v.views[1].elements++;
        REQUIRE(penalize_prepared(&w, prepared, DEADLINE, &v, &w.gradients, NULL) ==
                    MSKP_ERROR_BAD_STATE,
                "other views");
        mskp_prepared_destroy(prepared);
        end(&w);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vectors");
    TCase *tcase = tcase_create("vectors");
    tcase_set_timeout(tcase, 900);
    tcase_add_loop_test(tcase, all_ways_give_the_same_bytes, 0, 2);
    tcase_add_test(tcase, a_copy_of_the_mask_and_weights_of_the_step);
    tcase_add_test(tcase, other_views_are_refused);
    tcase_add_test(tcase, wrong_data_is_refused);
    tcase_add_test(tcase, deadlines_from_start_values);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

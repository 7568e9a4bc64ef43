/*
 * Penalties against sums over sets of elements: gradients, proximal steps, deadlines, values. All
 * numbers are exact in every type, so almost everything is compared bit for bit, and every byte
 * that no targeted slice owns must stay.
 */
#include "interpreter/penalty_case.h"

#include "by_id/by_id.h"
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct pair {
    const set *values, *other;
    double number;
    size_t touched;
} pair;

/* Tensors that hold nothing targeted need no data: hides them in random trials. */
static void hide_unused(trial *t, const penalty_case *a, set *s)
{
    for (size_t p = 1; p <= t->net->params; p++)
        if (!tensor_has(&t->model, p, a->roles, a->wanted)) s->views[p].data = NULL;
}

/* ---- Gradients ---- */

static void add_slope(trial *t, const penalty_case *a, size_t p, const size_t *index, void *context)
{
    pair *c = context;
    double n = share_of(t, a, p, index);
    if (n < 0) return;
    mskp_tensor v = element_view(t, c->values, p), g = element_view(t, c->other, p);
    double sum = view_get(&g, index) + c->number * n * slope_of(a, view_get(&v, index));
    view_set(&g, index, sum);
    c->touched++;
}

START_TEST(gradients_touch_their_slices_alone)
{
    size_t touched = 0, count = test_count(1200);
    float_mode(_i);
    for (size_t k = 0; k < count; k++) {
        trial t;
        mskp_error err = {0};
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        penalty_case *a = random_penalty_case(&t);
        exact_net(t.net, &t.r);
        set values = exact_set(&t, t.net), was = set_copy(&t.mem, &values);
        for (size_t p = 1; p <= t.net->params; p++) {
            size_t n = shape_elements(t.net->param[p].ndim, t.net->param[p].shape);
            for (size_t i = 0; i < n; i++)
                t.net->param[p].data[i] = (double)(2 * rng_below(&t.r, 99) + 1) / 16 - 6;
        }
        set gradients = exact_set(&t, t.net), expected = set_copy(&t.mem, &gradients);
        double alpha = ((double)rng_below(&t.r, 65) - 32) / 16;
        pair c = {.values = &was, .other = &expected, .number = alpha};
        each_element(&t, a, add_slope, &c);
        bool hide = rng_chance(&t.r, 0.5);
        if (hide) {
            hide_unused(&t, a, &values);
            hide_unused(&t, a, &was);
            hide_unused(&t, a, &gradients);
            hide_unused(&t, a, &expected);
        }
        mskp_status status = mskp_penalty_gradient(
            t.graph, mask_of(t.units, a->keep), a->given, alpha,
            set_by_id(mskp_graph_counts(t.graph).params, values.views),
            set_by_id(mskp_graph_counts(t.graph).params, gradients.views), &err);
        REQUIRE(status == MSKP_OK, "%s", err.text);
        REQUIRE(set_same(&values, &was), "the values changed");
        for (size_t p = 1; p <= t.net->params; p++)
            REQUIRE(memcmp(gradients.buf[p].memory, expected.buf[p].memory,
                           gradients.buf[p].bytes) == 0,
                    "gradient of parameter %zu (kind %d, target %d, roles %u, knee %g, alpha %g, "
                    "types %d and %d)",
                    p, (int)a->penalty.kind, (int)a->penalty.target, a->roles, a->penalty.knee,
                    alpha, (int)values.views[p].dtype, (int)gradients.views[p].dtype);
        touched += c.touched;
        trial_end(&t);
    }
    float_mode(0);
    REQUIRE(touched > 5 * count, "%zu elements only", touched);
}
END_TEST

/* ---- The value, and its differences ---- */

static void add_value(trial *t, const penalty_case *a, size_t p, const size_t *index, void *context)
{
    pair *c = context;
    mskp_tensor v = element_view(t, c->values, p);
    double n = share_of(t, a, p, index);
    if (n > 0) c->number += n * penalty_of(a, view_get(&v, index));
}

START_TEST(gradient_is_the_difference_of_values)
{
    const double h = 1.0 / 1024;
    size_t moved = 0, count = test_count(400);
    float_mode(_i);
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        penalty_case *a = random_penalty_case(&t);
        exact_net(t.net, &t.r);
        set values = set_make(&t.mem, &t.r, t.net, MSKP_DTYPE_F64, VIEW_STYLES);
        set gradients = set_make(&t.mem, &t.r, t.net, MSKP_DTYPE_F64, VIEW_STYLES);
        set_numbers(&values, t.net);
        for (size_t p = 1; p <= t.net->params; p++)
            memset(t.net->param[p].data, 0,
                   shape_elements(t.net->param[p].ndim, t.net->param[p].shape) * sizeof(double));
        set_numbers(&gradients, t.net);
        double base = -1, up, down;
        pair c = {.values = &values};
        each_element(&t, a, add_value, &c);
        REQUIRE_OK(mskp_penalty_value(t.graph, mask_of(t.units, a->keep), a->given,
                                      set_by_id(mskp_graph_counts(t.graph).params, values.views),
                                      &base, NULL));
        REQUIRE(base == c.number, "R is %.17g, not %.17g", base, c.number);
        REQUIRE_OK(mskp_penalty_gradient(
            t.graph, mask_of(t.units, a->keep), a->given, 1,
            set_by_id(mskp_graph_counts(t.graph).params, values.views),
            set_by_id(mskp_graph_counts(t.graph).params, gradients.views), NULL));
        for (size_t p = 1; p <= t.net->params; p++) {
            size_t index[MSKP_MAX_DIMS] = {0};
            mskp_tensor v = element_view(&t, &values, p), g = element_view(&t, &gradients, p);
            for (uint32_t d = 0; d < v.ndim; d++) index[d] = rng_below(&t.r, v.shape[d]);
            double w = view_get(&v, index);
            view_set(&v, index, w + h);
            REQUIRE_OK(mskp_penalty_value(
                t.graph, mask_of(t.units, a->keep), a->given,
                set_by_id(mskp_graph_counts(t.graph).params, values.views), &up, NULL));
            view_set(&v, index, w - h);
            REQUIRE_OK(mskp_penalty_value(
                t.graph, mask_of(t.units, a->keep), a->given,
                set_by_id(mskp_graph_counts(t.graph).params, values.views), &down, NULL));
            view_set(&v, index, w);
            REQUIRE((up - down) / (2 * h) == view_get(&g, index),
                    "parameter %zu: the slope is %g, the gradient %g", p, (up - down) / (2 * h),
                    view_get(&g, index));
            moved += up != down;
        }
        trial_end(&t);
    }
    float_mode(0);
    REQUIRE(moved > count / 2, "%zu slopes only", moved);
}
END_TEST

/* ---- Proximal steps ---- */

typedef struct stepped {
    const set *before, *after;
    double eta;
    size_t touched;
} stepped;

static double energy(const penalty_case *a, double v, double w, double step)
{
    return (v - w) * (v - w) / 2 + step * penalty_of(a, v);
}

static void require_prox(trial *t, const penalty_case *a, size_t p, const size_t *index,
                         void *context)
{
    stepped *c = context;
    mskp_tensor from = element_view(t, c->before, p), to = element_view(t, c->after, p);
    double n = share_of(t, a, p, index), w = view_get(&from, index), v = view_get(&to, index);
    if (n < 0) {
        REQUIRE(memcmp(view_at(&from, index), view_at(&to, index), dtype_size(to.dtype)) == 0,
                "parameter %zu: an element of no targeted slice changed", p);
        return;
    }
    double step = c->eta * n, x = prox_of(a, w, step), e = 4 * DBL_EPSILON;
    bool close = to.dtype == MSKP_DTYPE_F64 && fabs(v - x) <= e * fabs(x);
    REQUIRE(close || v == rounded(to.dtype, x) || v == rounded(to.dtype, x * (1 - e)) ||
                v == rounded(to.dtype, x * (1 + e)),
            "parameter %zu: %.17g becomes %.17g, not %.17g (kind %d, step %g)", p, w, v, x,
            (int)a->penalty.kind, step);
    if (to.dtype == MSKP_DTYPE_F64)
        for (double d = 1e-1; d > 1e-7; d /= 10)
            REQUIRE(energy(a, v, w, step) <= energy(a, v + d, w, step) &&
                        energy(a, v, w, step) <= energy(a, v - d, w, step),
                    "parameter %zu: %.17g from %.17g is no minimum within %g", p, v, w, d);
    if (w == 0) REQUIRE(v == 0, "zero moved");
    c->touched++;
}

START_TEST(shrink_is_the_proximal_step)
{
    size_t touched = 0, count = test_count(1000);
    float_mode(_i);
    for (size_t k = 0; k < count; k++) {
        trial t;
        mskp_error err = {0};
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        penalty_case *a = random_penalty_case(&t);
        exact_net(t.net, &t.r);
        set values = exact_set(&t, t.net), was = set_copy(&t.mem, &values);
        stepped c = {&was, &values, (double)rng_below(&t.r, 17) / 16, 0};
        if (rng_chance(&t.r, 0.5)) {
            hide_unused(&t, a, &values);
            hide_unused(&t, a, &was);
        }
        mskp_status status =
            mskp_penalty_prox(t.graph, mask_of(t.units, a->keep), a->given, c.eta,
                              set_by_id(mskp_graph_counts(t.graph).params, values.views), &err);
        REQUIRE(status == MSKP_OK, "%s", err.text);
        each_element(&t, a, require_prox, &c);
        touched += c.touched;
        trial_end(&t);
    }
    float_mode(0);
    REQUIRE(touched > 5 * count, "%zu elements only", touched);
}
END_TEST

/* ---- Deadlines ---- */

typedef struct line {
    const set *start, *now;
    uint64_t left, steps;
} line;

static void require_line(trial *t, const penalty_case *a, size_t p, const size_t *index,
                         void *context)
{
    const line *c = context;
    mskp_tensor from = element_view(t, c->start, p), to = element_view(t, c->now, p);
    static const unsigned char zero[8];
    /* Weights of units do not count here, nor how many units own the element. */
    double w = view_get(&from, index), v = view_get(&to, index), n = share_of(t, a, p, index);
    size_t size = dtype_size(to.dtype);
    if (n < 0) {
        REQUIRE(memcmp(view_at(&from, index), view_at(&to, index), size) == 0,
                "parameter %zu: an element of no targeted slice changed", p);
    } else if (c->left == 0) {
        REQUIRE(memcmp(view_at(&to, index), zero, size) == 0, "%g at the end, from %g", v, w);
    } else {
        static const double ulp[] = {FLT_EPSILON, DBL_EPSILON, 1.0 / 1024, 1.0 / 128};
        double straight = w * (double)c->left / (double)c->steps;
        double error = (double)(c->steps - c->left) * ulp[to.dtype] * fabs(w);
        REQUIRE(fabs(v - straight) <= error, "%g from %g, %llu of %llu left", v, w,
                (unsigned long long)c->left, (unsigned long long)c->steps);
    }
}

START_TEST(deadline_is_a_straight_line_to_zero)
{
    float_mode(_i);
    for (size_t k = 0; k < test_count(500); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        penalty_case *a = random_penalty_case(&t);
        exact_net(t.net, &t.r);
        set values = exact_set(&t, t.net), was = set_copy(&t.mem, &values);
        line c = {.start = &was, .now = &values, .steps = rng_from(&t.r, 1, 12)};
        for (c.left = c.steps; c.left-- > 0;) {
            REQUIRE_OK(mskp_penalty_deadline(
                t.graph, mask_of(t.units, a->keep), a->given, c.left,
                set_by_id(mskp_graph_counts(t.graph).params, values.views), NULL));
            each_element(&t, a, require_line, &c);
        }
        trial_end(&t);
    }
    float_mode(0);
}
END_TEST

/* Whatever stood there: at the end it is +0, and its neighbour is not touched. */
START_TEST(deadline_ends_at_zero_from_anywhere)
{
    const float starts[] = {(float)INFINITY, -(float)INFINITY, (float)NAN, -0.0f, 1e-45f, -3e38f};
    const size_t two = 2;
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_param p = mskp_parameter(g, "gamma", 1, &two);
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, mskp_fresh(g, "v", 2, 0, NULL)), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        float w[2] = {starts[i], starts[i]};
        uint32_t bits;
        mskp_tensor values[2] = {{0}, {.data = w}};
        ck_assert_int_eq(mskp_penalty_deadline(g, mask_of(2, (uint8_t[]){0, 1}), NULL, 0,
                                               set_by_id(mskp_graph_counts(g).params, values),
                                               NULL),
                         MSKP_OK);
        memcpy(&bits, &w[0], sizeof bits);
        ck_assert_msg(bits == 0, "%g ends at %g", (double)starts[i], (double)w[0]);
        ck_assert_mem_eq(&w[1], &starts[i], sizeof w[1]);
    }
    mskp_graph_destroy(g);
}
END_TEST

/* ---- Every half-precision pattern, with its sign ---- */

START_TEST(half_precision_keeps_its_sign)
{
    static uint16_t bits[65536];
    static double gradients[65536];
    const size_t n = 65536;
    float_mode(_i % 2);
    mskp_dtype dtype = _i < 2 ? MSKP_DTYPE_F16 : MSKP_DTYPE_BF16;
    double (*decode)(uint16_t) = _i < 2 ? half_decode : bfloat_decode;
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_param p = mskp_parameter(g, "gamma", 1, &n);
    mskp_value v = mskp_fresh(g, "v", n, 0, NULL);
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, v), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    mskp_tensor values[2] = {{0}, {.data = bits, .dtype = dtype}};
    mskp_tensor grads[2] = {{0}, {.data = gradients, .dtype = MSKP_DTYPE_F64}};
    mskp_penalty l2 = {.kind = MSKP_PENALTY_L2, .target = MSKP_TARGET_ALL},
                 l1 = {.target = MSKP_TARGET_ALL};
    for (size_t i = 0; i < n; i++) bits[i] = isfinite(decode((uint16_t)i)) ? (uint16_t)i : 0;
    memset(gradients, 0, sizeof gradients);
    ck_assert_int_eq(mskp_penalty_gradient(g, (mskp_mask){0}, &l2, 1,
                                           set_by_id(mskp_graph_counts(g).params, values),
                                           set_by_id(mskp_graph_counts(g).params, grads), NULL),
                     MSKP_OK);
    for (size_t i = 0; i < n; i++)
        if (gradients[i] != decode(bits[i])) ck_abort_msg("%zx: %a", i, gradients[i]);
    memset(gradients, 0, sizeof gradients);
    ck_assert_int_eq(mskp_penalty_gradient(g, (mskp_mask){0}, &l1, 1,
                                           set_by_id(mskp_graph_counts(g).params, values),
                                           set_by_id(mskp_graph_counts(g).params, grads), NULL),
                     MSKP_OK);
    for (size_t i = 0; i < n; i++) {
        double w = decode(bits[i]);
        if (gradients[i] != (w > 0) - (w < 0)) ck_abort_msg("%zx: %a", i, gradients[i]);
    }
    /* A step of 0 gives every number back: decoding and rounding are inverse. */
    ck_assert_int_eq(mskp_penalty_prox(g, (mskp_mask){0}, &l1, 0,
                                       set_by_id(mskp_graph_counts(g).params, values), NULL),
                     MSKP_OK);
    for (size_t i = 0; i < n; i++)
        if (decode(bits[i]) != (isfinite(decode((uint16_t)i)) ? decode((uint16_t)i) : 0))
            ck_abort_msg("%zx becomes %x", i, (unsigned)bits[i]);
    mskp_graph_destroy(g);
    float_mode(0);
}
END_TEST

/* Numbers between the representable ones round to nearest, ties to even, in one step. */
START_TEST(gradients_round_once)
{
    rng r = rng_make(test_seed());
    const size_t one = 1;
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_param p = mskp_parameter(g, "gamma", 1, &one);
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, mskp_fresh(g, "v", 1, 0, NULL)), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    for (int k = 0; k < 200000; k++) {
        double w = rng_chance(&r, 0.5) ? 1 : -1;
        mskp_dtype dtype = k % 2 ? MSKP_DTYPE_F16 : MSKP_DTYPE_BF16;
        double (*decode)(uint16_t) = k % 2 ? half_decode : bfloat_decode;
        uint16_t bits, expected;
        do bits = (uint16_t)rng_next(&r);
        while (!isfinite(decode(bits)));
        double start = decode(bits), alpha = ldexp(rng_real(&r, -2, 2), -(int)rng_below(&r, 16));
        if (rng_chance(&r, 0.3)) {
            /* Just at, above or below the middle between two neighbours. */
            double next = decode((uint16_t)(bits + 1));
            if (!isfinite(next) || (next < 0) != (start < 0)) continue;
            alpha = (next - start) / 2 * w;
            if (rng_chance(&r, 0.5)) alpha = nextafter(alpha, rng_chance(&r, 0.5) ? 1e9 : -1e9);
        }
        double sum = start + alpha * w;
        expected = k % 2 ? half_encode(sum) : bfloat_encode(sum);
        mskp_tensor values[2] = {{0}, {.data = &w, .dtype = MSKP_DTYPE_F64}};
        mskp_tensor grads[2] = {{0}, {.data = &bits, .dtype = dtype}};
        mskp_penalty all = {.target = MSKP_TARGET_ALL};
        if (mskp_penalty_gradient(g, (mskp_mask){0}, &all, alpha,
                                  set_by_id(mskp_graph_counts(g).params, values),
                                  set_by_id(mskp_graph_counts(g).params, grads), NULL) != MSKP_OK)
            ck_abort_msg("refused");
        if (bits != expected && decode(bits) != decode(expected))
            ck_abort_msg("%a + %a is %x (%a), not %x", start, alpha * w, (unsigned)bits,
                         decode(bits), (unsigned)expected);
    }
    mskp_graph_destroy(g);
}
END_TEST

/* What is not here is passed over; the others get what they get without that. */
START_TEST(missing_tensors_are_skipped_when_asked)
{
    size_t hidden = 0, hit = 0, refused = 0, count = test_count(600);
    for (size_t k = 0; k < count; k++) {
        trial t;
        mskp_error err = {0};
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        penalty_case *a = random_penalty_case(&t);
        exact_net(t.net, &t.r);
        const int call = (int)(k % 5);
        set values[2] = {exact_set(&t, t.net)}, gradients[2] = {exact_set(&t, t.net)};
        values[1] = set_copy(&t.mem, &values[0]);
        gradients[1] = set_copy(&t.mem, &gradients[0]);
        const set values_were = set_copy(&t.mem, &values[0]);
        const set gradients_were = set_copy(&t.mem, &gradients[0]);
        bool gone[NET_MAX_PARAMS + 1] = {false}, needed = false;
        for (size_t p = 1; p <= t.net->params; p++) {
            if (!rng_chance(&t.r, 0.4)) continue;
            const bool gradient = call == 0 && rng_chance(&t.r, 0.5);
            (gradient ? gradients : values)[1].views[p].data = NULL;
            gone[p] = true;
            needed |= tensor_has(&t.model, p, a->roles, a->wanted);
        }
        double r[2] = {0, 0};
        mskp_status got[3];
        for (int skip = 2; skip >= 0; skip--) { /* all are here; skipped; refused */
            const int i = skip == 2 ? 0 : 1;
            mskp_penalty penalty = a->penalty;
            penalty.skip_missing = skip == 1;
            const mskp_tensor *v = values[i].views;
            if (call == 0)
                got[skip] = mskp_penalty_gradient(
                    t.graph, mask_of(t.units, a->keep), &penalty, 0.5, set_by_id(t.net->params, v),
                    set_by_id(t.net->params, gradients[i].views), &err);
            else if (call == 1)
                got[skip] = mskp_penalty_prox(t.graph, mask_of(t.units, a->keep), &penalty, 0.25,
                                              set_by_id(t.net->params, v), &err);
            else if (call == 2)
                got[skip] = mskp_penalty_deadline(t.graph, mask_of(t.units, a->keep), &penalty, 1,
                                                  set_by_id(t.net->params, v), &err);
            else if (call == 3)
                got[skip] = mskp_penalty_zero(t.graph, mask_of(t.units, a->keep), &penalty,
                                              set_by_id(t.net->params, v), &err);
            else
                got[skip] = mskp_penalty_value(t.graph, mask_of(t.units, a->keep), &penalty,
                                               set_by_id(t.net->params, v), &r[i], &err);
            /* The last one, strict, must not change anything: it runs into a missing tensor. */
            if (skip == 1 && !needed) break;
        }
        REQUIRE(got[2] == MSKP_OK && got[1] == MSKP_OK, "%s", err.text);
        if (needed) REQUIRE(got[0] == MSKP_ERROR_NO_DATA, "a missing tensor is not refused");
        refused += needed;
        REQUIRE(call != 4 || r[1] <= r[0], "R grew from %g to %g", r[0], r[1]);
        for (size_t p = 1; p <= t.net->params; p++) {
            const view_buf *v = gone[p] ? values_were.buf : values[0].buf;
            const view_buf *g = gone[p] ? gradients_were.buf : gradients[0].buf;
            REQUIRE(!memcmp(values[1].buf[p].memory, v[p].memory, v[p].bytes) &&
                        !memcmp(gradients[1].buf[p].memory, g[p].memory, g[p].bytes),
                    "call %d: parameter %zu, %s", call, p, gone[p] ? "missing" : "here");
            hidden += gone[p];
            hit += !gone[p] && (memcmp(v[p].memory, values_were.buf[p].memory, v[p].bytes) ||
                                memcmp(g[p].memory, gradients_were.buf[p].memory, g[p].bytes));
        }
        trial_end(&t);
    }
    REQUIRE(count < 200 || (hidden > count && hit > count / 4 && refused > count / 4),
            "%zu hidden, %zu hit, %zu refused only", hidden, hit, refused);
}
END_TEST

/* Beyond the largest number by half a step or more is infinity, by less is the largest. */
START_TEST(gradients_overflow_as_ieee_says)
{
    const struct {
        mskp_dtype dtype;
        double alpha;
        uint16_t from, to;
    } cases[] = {{MSKP_DTYPE_F16, 16, 0x7BFF, 0x7C00},
                 {MSKP_DTYPE_F16, 15.99, 0x7BFF, 0x7BFF},
                 {MSKP_DTYPE_F16, -1e6, 0x3C00, 0xFC00},
                 {MSKP_DTYPE_BF16, 0x1p119, 0x7F7F, 0x7F80},
                 {MSKP_DTYPE_BF16, 0x1.ffffp118, 0x7F7F, 0x7F7F},
                 {MSKP_DTYPE_BF16, 0x1.fffffffffffffp118, 0x7F7F, 0x7F80}, /* the sum is a double */
                 {MSKP_DTYPE_BF16, -0x1p119, 0xFF7F, 0xFF80},
                 {MSKP_DTYPE_BF16, 0x1p200, 0x3F80, 0x7F80}};
    const size_t one = 1;
    double w = 1;
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_param p = mskp_parameter(g, "gamma", 1, &one);
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, mskp_fresh(g, "v", 1, 0, NULL)), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint16_t bits = cases[i].from;
        mskp_tensor values[2] = {{0}, {.data = &w, .dtype = MSKP_DTYPE_F64}};
        mskp_tensor grads[2] = {{0}, {.data = &bits, .dtype = cases[i].dtype}};
        mskp_penalty all = {.target = MSKP_TARGET_ALL};
        ck_assert_int_eq(mskp_penalty_gradient(g, (mskp_mask){0}, &all, cases[i].alpha,
                                               set_by_id(mskp_graph_counts(g).params, values),
                                               set_by_id(mskp_graph_counts(g).params, grads), NULL),
                         MSKP_OK);
        ck_assert_msg(bits == cases[i].to, "case %zu: %x, not %x", i, (unsigned)bits,
                      (unsigned)cases[i].to);
    }
    mskp_graph_destroy(g);
}
END_TEST

/* Weights and gradients that are not finite go through. */
START_TEST(not_finite_goes_through)
{
    const size_t one = 1;
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param p = mskp_parameter(g, "gamma", 1, &one);
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, mskp_fresh(g, "v", 1, 0, NULL)), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    mskp_penalty how = {.target = MSKP_TARGET_ALL, .knee = 0.25};
    for (int kind = MSKP_PENALTY_L1; kind <= MSKP_PENALTY_L2; kind++) {
        const double weights[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
        how.kind = (mskp_penalty_kind)kind;
        for (int i = 0; i < 3; i++) {
            double w = weights[i];
            mskp_tensor values[2] = {{0}, {.data = &w, .dtype = MSKP_DTYPE_F64}};
            ck_assert_int_eq(
                mskp_penalty_prox(g, (mskp_mask){0}, &how, 0.5, set_by_id(1, values), NULL),
                MSKP_OK);
            ck_assert_msg(i ? w == weights[i] : isnan(w), "kind %d: %g becomes %g", kind,
                          weights[i], w);
            float single = (float)weights[i];
            values[1] = (mskp_tensor){.data = &single};
            ck_assert_int_eq(
                mskp_penalty_prox(g, (mskp_mask){0}, &how, 0.5, set_by_id(1, values), NULL),
                MSKP_OK);
            ck_assert_msg(i ? single == (float)weights[i] : isnan(single),
                          "kind %d, float: %g becomes %g", kind, weights[i], (double)single);
        }
    }
    how.kind = MSKP_PENALTY_L1;
    const struct {
        mskp_dtype dtype;
        uint16_t bits;
    } gradients[] = {{MSKP_DTYPE_F16, 0x7C00},  {MSKP_DTYPE_F16, 0xFC00},
                     {MSKP_DTYPE_F16, 0x7E01},  {MSKP_DTYPE_F16, 0xFC01},
                     {MSKP_DTYPE_BF16, 0x7F80}, {MSKP_DTYPE_BF16, 0xFF80},
                     {MSKP_DTYPE_BF16, 0x7FC1}, {MSKP_DTYPE_BF16, 0xFF81}};
    for (size_t i = 0; i < sizeof gradients / sizeof *gradients; i++) {
        double w = 1;
        uint16_t bits = gradients[i].bits;
        const uint16_t infinity = gradients[i].dtype == MSKP_DTYPE_F16 ? 0x7C00 : 0x7F80;
        const int nan = (bits & 0x7FFF) > infinity;
        mskp_tensor values[2] = {{0}, {.data = &w, .dtype = MSKP_DTYPE_F64}};
        mskp_tensor grads[2] = {{0}, {.data = &bits, .dtype = gradients[i].dtype}};
        ck_assert_int_eq(mskp_penalty_gradient(g, (mskp_mask){0}, &how, 3, set_by_id(1, values),
                                               set_by_id(1, grads), NULL),
                         MSKP_OK);
        ck_assert_msg(nan ? (bits & 0x7FFF) > infinity : bits == gradients[i].bits, "%x becomes %x",
                      (unsigned)gradients[i].bits, (unsigned)bits);
    }
    mskp_graph_destroy(g);
}
END_TEST

/* ---- Refusals ---- */

/* ---- What is refused changes nothing ---- */

typedef struct refusing {
    trial t;
    penalty_case *a;
    set values, gradients, values_were, gradients_were;
    double value;
} refusing;

static void refusing_begin(refusing *f, size_t k)
{
    memset(f, 0, sizeof *f);
    trial *t = &f->t;
    trial_begin(t, test_seed() * 1000000 + k, NULL, NULL);
    f->a = random_penalty_case(t);
    f->a->given = &f->a->penalty;
    exact_net(t->net, &t->r);
    f->values = exact_set(t, t->net);
    f->gradients = exact_set(t, t->net);
    f->values_were = set_copy(&t->mem, &f->values);
    f->gradients_were = set_copy(&t->mem, &f->gradients);
    f->value = 77;
}

static void require_unchanged(const refusing *f, const char *what)
{
    REQUIRE(set_same(&f->values, &f->values_were), "values changed: %s", what);
    REQUIRE(set_same(&f->gradients, &f->gradients_were), "gradients changed: %s", what);
    REQUIRE(f->value == 77, "the value changed: %s", what);
}

/* The calls on penalties, as bits. `number` is the strength of a gradient and the step of prox. */
enum {
    GRADIENT = 1,
    PROX = 2,
    DEADLINE = 4,
    VALUE = 8,
    WITH_KIND = GRADIENT | PROX | VALUE, /* a deadline has no kind */
    EACH_CALL = WITH_KIND | DEADLINE
};

static mskp_status call_one(refusing *f, unsigned call, mskp_mask keep, const mskp_penalty *penalty,
                            double number, mskp_error *err)
{
    const size_t params = mskp_graph_counts(f->t.graph).params;
    const mskp_tensors values = set_by_id(params, f->values.views);
    const mskp_tensors gradients = set_by_id(params, f->gradients.views);
    switch (call) {
    case GRADIENT:
        return mskp_penalty_gradient(f->t.graph, keep, penalty, number, values, gradients, err);
    case PROX:
        return mskp_penalty_prox(f->t.graph, keep, penalty, number, values, err);
    case DEADLINE:
        return mskp_penalty_deadline(f->t.graph, keep, penalty, 3, values, err);
    default:
        return mskp_penalty_value(f->t.graph, keep, penalty, values, &f->value, err);
    }
}

/* code MSKP_OK: any status but success is right. */
static void require_refused(refusing *f, const char *what, unsigned calls, mskp_status code,
                            mskp_mask keep, const mskp_penalty *penalty, double number)
{
    for (unsigned call = GRADIENT; call <= VALUE; call *= 2) {
        mskp_error err = {0};
        if (!(calls & call)) continue;
        const mskp_status got = call_one(f, call, keep, penalty, number, &err);
        REQUIRE(code ? got == code : got != MSKP_OK, "call %u, %s: %s (%s)", call, what,
                mskp_status_text(got), err.text);
        REQUIRE(err.status == got && err.text[0], "%s: no sentence", what);
        require_unchanged(f, what);
    }
}

START_TEST(wrong_penalties_change_nothing)
{
    const double nan = (double)NAN, inf = (double)INFINITY;
    for (size_t k = 0, count = test_count(150); k < count; k++) {
        refusing f;
        refusing_begin(&f, k);
        const mskp_penalty *good = &f.a->penalty;
        double *weight = arena_get(&f.t.mem, f.t.units, sizeof *weight);
        const mskp_mask keep = mask_of(f.t.units, f.a->keep), none = {f.t.units, NULL};
        const mskp_mask longer = mask_of(f.t.units + 1, f.a->keep);
        mskp_penalty kind = *good, target = *good, roles = *good, kept = *good, removed = *good;
        mskp_penalty weighted = *good, smooth = *good;
        kind.kind = (mskp_penalty_kind)3;
        target.target = (mskp_target)3;
        roles.roles = 128;
        kept.target = MSKP_TARGET_KEPT;
        removed.target = MSKP_TARGET_REMOVED;
        weighted.unit_weight = weight;
        smooth.kind = MSKP_PENALTY_SMOOTH_L1;
        const size_t some = f.t.units ? rng_below(&f.t.r, f.t.units) : 0;
        const struct {
            const char *what;
            unsigned calls;
            mskp_status code; /* MSKP_OK: the header leaves open which */
            mskp_mask keep;
            const mskp_penalty *penalty;
            double number, weight, knee; /* 0: as they are */
        } cases[] = {
            {"one unit more", f.a->keep ? EACH_CALL : 0, MSKP_ERROR_OTHER_NETWORK, longer, good, 1,
             0, 0},
            {"kind 3", GRADIENT | PROX, MSKP_ERROR_BAD_ARGUMENT, keep, &kind, 1, 0, 0},
            {"target 3", EACH_CALL, MSKP_ERROR_BAD_ARGUMENT, keep, &target, 1, 0, 0},
            {"roles 128", EACH_CALL, MSKP_ERROR_BAD_ARGUMENT, keep, &roles, 1, 0, 0},
            {"no mask, kept", f.t.units ? EACH_CALL : 0, MSKP_ERROR_BAD_ARGUMENT, none, &kept, 1, 0,
             0},
            {"no mask, removed", f.t.units ? EACH_CALL : 0, MSKP_ERROR_BAD_ARGUMENT, none, &removed,
             1, 0, 0},
            {"strength NaN", GRADIENT | PROX, MSKP_OK, keep, good, nan, 0, 0},
            {"strength inf", GRADIENT | PROX, MSKP_OK, keep, good, inf, 0, 0},
            {"strength -inf", GRADIENT, MSKP_OK, keep, good, -inf, 0, 0},
            {"step -1", PROX, MSKP_OK, keep, good, -1, 0, 0},
            {"weight NaN", f.t.units ? VALUE : 0, MSKP_OK, keep, &weighted, 1, nan, 0},
            {"weight inf", f.t.units ? VALUE : 0, MSKP_OK, keep, &weighted, 1, inf, 0},
            {"weight -1", f.t.units ? PROX : 0, MSKP_OK, keep, &weighted, 1, -1, 0},
            {"knee NaN", VALUE, MSKP_OK, keep, &smooth, 1, 0, nan},
            {"knee inf", VALUE, MSKP_OK, keep, &smooth, 1, 0, inf},
            {"knee -1", VALUE, MSKP_OK, keep, &smooth, 1, 0, -1},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            if (f.t.units) weight[some] = cases[i].weight;
            smooth.knee = cases[i].knee;
            require_refused(&f, cases[i].what, cases[i].calls, cases[i].code, cases[i].keep,
                            cases[i].penalty, cases[i].number);
        }
        trial_end(&f.t);
    }
}
END_TEST

/* Finite numbers whose product is more than a double holds; and no place for the value. */
START_TEST(numbers_that_do_not_fit_change_nothing)
{
    for (size_t k = 0, count = test_count(150); k < count; k++) {
        refusing f;
        mskp_error err = {0};
        refusing_begin(&f, k);
        const mskp_mask keep = mask_of(f.t.units, f.a->keep);
        const mskp_tensors values = set_by_id(mskp_graph_counts(f.t.graph).params, f.values.views);
        double *weight = arena_get(&f.t.mem, f.t.units, sizeof *weight);
        mskp_penalty penalty = f.a->penalty;
        penalty.unit_weight = weight;
        if (f.t.units) {
            weight[rng_below(&f.t.r, f.t.units)] = 1e300;
            const mskp_status got = call_one(&f, GRADIENT, keep, &penalty, -1e10, &err);
            REQUIRE(got == MSKP_ERROR_BAD_NUMBER && strstr(err.text, "1e+300") &&
                        strstr(err.text, "strength"),
                    "%s", err.text);
        }
        REQUIRE(mskp_penalty_value(f.t.graph, keep, f.a->given, values, NULL, &err) ==
                    MSKP_ERROR_BAD_ARGUMENT,
                "no place for the value");
        require_unchanged(&f, "no place for the value");
        penalty = f.a->penalty;
        penalty.kind = MSKP_PENALTY_L1; /* which ignores the knee */
        penalty.knee = -1;
        REQUIRE_OK(mskp_penalty_value(f.t.graph, keep, &penalty, values, &f.value, NULL));
        trial_end(&f.t);
    }
}
END_TEST

/* A tensor of the last parameter with a target has no data: the first must not move. */
START_TEST(missing_data_changes_nothing)
{
    size_t missing = 0, count = test_count(150);
    for (size_t k = 0; k < count; k++) {
        refusing f;
        refusing_begin(&f, k);
        const mskp_mask keep = mask_of(f.t.units, f.a->keep);
        size_t p = f.t.net->params;
        while (p && !tensor_has(&f.t.model, p, f.a->roles, f.a->wanted)) p--;
        if (p) {
            f.values.views[p].data = f.values_were.views[p].data = NULL;
            require_refused(&f, "no values", EACH_CALL, MSKP_ERROR_NO_DATA, keep, f.a->given, 0.5);
            f.values.views[p].data = f.values.buf[p].view.data;
            f.values_were.views[p].data = f.values_were.buf[p].view.data;
            f.gradients.views[p].data = f.gradients_were.views[p].data = NULL;
            require_refused(&f, "no gradients", GRADIENT, MSKP_ERROR_NO_DATA, keep, f.a->given,
                            0.5);
            missing++;
        }
        trial_end(&f.t);
    }
    REQUIRE(missing * 4 > count, "%zu with missing data only", missing);
}
END_TEST

/* ---- Threads ---- */

/* Two layers on a stream: large enough to be split. */
static mskp_graph *wide_graph(const mskp_services *services, size_t n)
{
    mskp_graph *g = mskp_graph_create(services);
    mskp_param w[2];
    w[0] = mskp_parameter(g, "w0", 2, (size_t[]){n, n});
    w[1] = mskp_parameter(g, "w1", 2, (size_t[]){n, n});
    mskp_value x = mskp_fresh(g, "x", n, 0, NULL);
    for (int i = 0; i < 2; i++) {
        mskp_value y = mskp_linear(g, NULL, x, w[i], (mskp_param){0});
        x = mskp_combine(g, NULL, MSKP_COMBINE_ADD, 2, (mskp_value[]){x, y});
    }
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    ck_assert_uint_eq(mskp_graph_counts(g).units, n);
    return g;
}

START_TEST(threads_do_not_show)
{
    enum { N = 300 };
    static float values[2][2][N * N], gradients[2][2][N * N];
    static uint8_t keep[N];
    rng r = rng_make(test_seed());
    mskp_graph *g[2] = {wide_graph(NULL, N), wide_graph(&backwards_services, N)};
    mskp_penalty p = {.roles = MSKP_ROLES_UNIT, .kind = MSKP_PENALTY_SMOOTH_L1, .knee = 0.3};
    double sum[2], scores[2][N];
    for (size_t i = 0; i < N; i++) keep[i] = rng_chance(&r, 0.5);
    for (size_t i = 0; i < 2; i++)
        for (size_t e = 0; e < (size_t)N * N; e++) {
            values[0][i][e] = values[1][i][e] = (float)rng_real(&r, -1, 1);
            gradients[0][i][e] = gradients[1][i][e] = (float)rng_real(&r, -1, 1);
        }
    for (size_t k = 0; k < 2; k++) {
        mskp_tensor v[3] = {{0}, {.data = values[k][0]}, {.data = values[k][1]}};
        mskp_tensor d[3] = {{0}, {.data = gradients[k][0]}, {.data = gradients[k][1]}};
        mskp_scoring how = {.roles = MSKP_ROLES_UNIT, .magnitude = MSKP_MAGNITUDE_L2};
        ck_assert_int_eq(mskp_penalty_value(g[k], mask_of(N, keep), &p,
                                            set_by_id(mskp_graph_counts(g[k]).params, v), &sum[k],
                                            NULL),
                         MSKP_OK);
        ck_assert_int_eq(mskp_penalty_gradient(g[k], mask_of(N, keep), &p, 0.1,
                                               set_by_id(mskp_graph_counts(g[k]).params, v),
                                               set_by_id(mskp_graph_counts(g[k]).params, d), NULL),
                         MSKP_OK);
        ck_assert_int_eq(mskp_penalty_prox(g[k], mask_of(N, keep), &p, 0.01,
                                           set_by_id(mskp_graph_counts(g[k]).params, v), NULL),
                         MSKP_OK);
        p.target = MSKP_TARGET_KEPT;
        ck_assert_int_eq(mskp_penalty_deadline(g[k], mask_of(N, keep), &p, 5,
                                               set_by_id(mskp_graph_counts(g[k]).params, v), NULL),
                         MSKP_OK);
        p.target = MSKP_TARGET_REMOVED;
        ck_assert_int_eq(mskp_score(g[k], &how, set_by_id(mskp_graph_counts(g[k]).params, v),
                                    scores_of(N, scores[k]), NULL),
                         MSKP_OK);
    }
    ck_assert_mem_eq(values[0], values[1], sizeof values[0]);
    ck_assert_mem_eq(gradients[0], gradients[1], sizeof gradients[0]);
    ck_assert_mem_eq(&sum[0], &sum[1], sizeof sum[0]);
    ck_assert_mem_eq(scores[0], scores[1], sizeof scores[0]);
    mskp_graph_destroy(g[0]);
    mskp_graph_destroy(g[1]);
}
END_TEST

/* ---- Bare arrays ---- */

START_TEST(bare_arrays)
{
    rng r = rng_make(test_seed() + (uint64_t)_i);
    float_mode(_i);
    for (int k = 0; k < 3000; k++) {
        float w[96], g[96], w0[96], g0[96];
        double v[96], h[96], v0[96], h0[96];
        uint8_t keep[96];
        size_t n = rng_below(&r, 80), from = rng_below(&r, 8);
        bool all = rng_chance(&r, 0.3);
        float a = (float)rng_real(&r, -1, 1), s = (float)rng_real(&r, 0, 1);
        for (size_t i = 0; i < 96; i++) {
            keep[i] = rng_chance(&r, 0.5) ? 0 : (uint8_t)rng_from(&r, 1, 255);
            v[i] = v0[i] = exact_number(&r);
            w[i] = w0[i] = (float)exact_number(&r);
            h[i] = h0[i] = rng_real(&r, -1, 1);
            g[i] = g0[i] = (float)rng_real(&r, -1, 1);
        }
        const uint8_t *mask = all ? NULL : keep + from;
        mskp_l1_gradient_f32(n, w + from, mask, a, g + from);
        mskp_l1_gradient_f64(n, v + from, mask, (double)a, h + from);
        for (size_t i = 0; i < 96; i++) {
            bool in = i >= from && i < from + n && (all || !keep[i]);
            float gf = in && w0[i] != 0 ? g0[i] + (w0[i] > 0 ? a : -a) : g0[i];
            double hd = in && v0[i] != 0 ? h0[i] + (v0[i] > 0 ? (double)a : -(double)a) : h0[i];
            if (memcmp(&g[i], &gf, sizeof gf) != 0 || memcmp(&h[i], &hd, sizeof hd) != 0)
                ck_abort_msg("gradient %a, not %a; %a, not %a", (double)g[i], (double)gf, h[i], hd);
        }
        ck_assert_mem_eq(w, w0, sizeof w);
        ck_assert_mem_eq(v, v0, sizeof v);
        mskp_l1_prox_f32(n, w + from, mask, s);
        mskp_l1_prox_f64(n, v + from, mask, (double)s);
        for (size_t i = 0; i < 96; i++) {
            bool in = i >= from && i < from + n && (all || !keep[i]);
            float wf = fmaxf(0, fabsf(w0[i]) - s);
            double vd = fmax(0, fabs(v0[i]) - (double)s);
            if (!in) {
                if (memcmp(&w[i], &w0[i], sizeof w[i]) != 0 ||
                    memcmp(&v[i], &v0[i], sizeof v[i]) != 0)
                    ck_abort_msg("an element outside was touched");
            } else if (w[i] != (w0[i] < 0 ? -wf : wf) || v[i] != (v0[i] < 0 ? -vd : vd)) {
                ck_abort_msg("%a becomes %a, %a becomes %a (step %a)", (double)w0[i], (double)w[i],
                             v0[i], v[i], (double)s);
            }
        }
    }
    float_mode(0);
}
END_TEST

/* The sign of a denormal number counts in every mode. */
START_TEST(bare_arrays_see_denormals)
{
    enum { N = 37 };
    const uint32_t small[] = {0, 1, 2, 0x7FFFFF, 0x400000, 0x800000, 0x3F800000};
    float w[N], g[N];
    double v[N], h[N];
    int sign[N];
    for (size_t i = 0; i < N; i++) {
        uint32_t bits = small[i % 7] | (i % 2 ? 0x80000000u : 0);
        uint64_t wide = (uint64_t)small[(i + 3) % 7] | (i % 2 ? (uint64_t)1 << 63 : 0);
        memcpy(&w[i], &bits, sizeof bits);
        memcpy(&v[i], &wide, sizeof wide);
        g[i] = 2;
        h[i] = 2;
        sign[i] = i % 2 ? -1 : 1;
    }
    float_mode(_i);
    mskp_l1_gradient_f32(N, w, NULL, 0.5f, g);
    mskp_l1_gradient_f64(N, v, NULL, 0.5, h);
    float_mode(0);
    for (size_t i = 0; i < N; i++) {
        float gf = small[i % 7] ? 2 + 0.5f * (float)sign[i] : 2;
        double hd = small[(i + 3) % 7] ? 2 + 0.5 * sign[i] : 2;
        ck_assert_mem_eq(&g[i], &gf, sizeof gf);
        ck_assert_mem_eq(&h[i], &hd, sizeof hd);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("penalty");
    TCase *tcase = tcase_create("penalty");
    tcase_set_timeout(tcase, 600);
    /* Once more with denormal numbers switched off. */
    tcase_add_loop_test(tcase, gradients_touch_their_slices_alone, 0, 2);
    tcase_add_loop_test(tcase, gradient_is_the_difference_of_values, 0, 2);
    tcase_add_loop_test(tcase, shrink_is_the_proximal_step, 0, 2);
    tcase_add_loop_test(tcase, deadline_is_a_straight_line_to_zero, 0, 2);
    tcase_add_loop_test(tcase, half_precision_keeps_its_sign, 0, 4);
    tcase_add_loop_test(tcase, bare_arrays, 0, 2);
    tcase_add_loop_test(tcase, bare_arrays_see_denormals, 0, 2);
    tcase_add_test(tcase, deadline_ends_at_zero_from_anywhere);
    tcase_add_test(tcase, gradients_round_once);
    tcase_add_test(tcase, missing_tensors_are_skipped_when_asked);
    tcase_add_test(tcase, gradients_overflow_as_ieee_says);
    tcase_add_test(tcase, not_finite_goes_through);
    tcase_add_test(tcase, wrong_penalties_change_nothing);
    tcase_add_test(tcase, numbers_that_do_not_fit_change_nothing);
    tcase_add_test(tcase, missing_data_changes_nothing);
    tcase_add_test(tcase, threads_do_not_show);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

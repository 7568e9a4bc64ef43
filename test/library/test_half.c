/*
 * Penalties in half precision: which steps are lost, that counting them changes nothing, and what
 * stochastic rounding and a deadline from start values promise. Numbers are decoded and rounded by
 * the interpreter. Laws about means are checked with fixed seeds, against five standard deviations.
 */
#include "interpreter/penalty_case.h"

#include "by_id/by_id.h"
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- One vector of scales, all of whose units are targeted ---- */

typedef struct vector {
    mskp_graph *graph;
    size_t n;
} vector;

static vector vector_of(size_t n, const mskp_services *services)
{
    vector v = {mskp_graph_create(services), n};
    mskp_param p = mskp_parameter(v.graph, "gamma", 1, &n);
    mskp_bind(v.graph, p, 0, MSKP_ROLE_SCALE, mskp_fresh(v.graph, "v", n, 0, NULL));
    ck_assert_int_eq(mskp_graph_finish(v.graph, NULL), MSKP_OK);
    return v;
}

static const mskp_mask no_mask = {0, NULL};

static double decode(mskp_dtype dtype, uint16_t bits)
{
    return dtype == MSKP_DTYPE_F16 ? half_decode(bits) : bfloat_decode(bits);
}

static uint16_t encode(mskp_dtype dtype, double x)
{
    return dtype == MSKP_DTYPE_F16 ? half_encode(x) : bfloat_encode(x);
}

/* bits[i] <- bits[i] + step, by the gradient of L1 with weights of 1. */
static void add(const vector *v, mskp_dtype dtype, uint16_t *bits, double step,
                const mskp_low_precision *low)
{
    double *ones = malloc(v->n * sizeof *ones);
    for (size_t i = 0; i < v->n; i++) ones[i] = 1;
    mskp_tensor values = {.data = ones, .dtype = MSKP_DTYPE_F64};
    mskp_tensor gradients = {.data = bits, .dtype = dtype};
    const mskp_penalty all = {.target = MSKP_TARGET_ALL, .low_precision = low};
    ck_assert_int_eq(mskp_penalty_gradient(v->graph, no_mask, &all, step,
                                           (mskp_tensors){1, &values},
                                           (mskp_tensors){1, &gradients}, NULL),
                     MSKP_OK);
    free(ones);
}

/* ---- What the fault looked like ---- */

START_TEST(small_steps_are_lost_and_counted)
{
    enum { STEPS = 1000 };
    vector v = vector_of(1, NULL);
    uint16_t bits = bfloat_encode(1), line = bits;
    float single = 1;
    uint64_t asked = 0, lost = 0;
    mskp_low_precision low = {.asked = &asked, .lost = &lost};
    const mskp_penalty all = {.target = MSKP_TARGET_ALL, .low_precision = &low};
    mskp_tensor values = {.data = &bits, .dtype = MSKP_DTYPE_BF16};
    const mskp_tensors views = {1, &values};
    for (int i = 0; i < STEPS; i++)
        ck_assert_int_eq(mskp_penalty_prox(v.graph, no_mask, &all, 1e-3, views, NULL), MSKP_OK);
    ck_assert_uint_eq(bits, bfloat_encode(1));
    ck_assert_uint_eq(asked, STEPS);
    ck_assert_uint_eq(lost, STEPS);
    /* A deadline stands still until 1 / (left + 1) is more than 2^-9, then nothing is lost. */
    asked = lost = 0;
    values.data = &line;
    for (uint64_t left = STEPS; left-- > 0;)
        ck_assert_int_eq(mskp_penalty_deadline(v.graph, no_mask, &all, left, views, NULL), MSKP_OK);
    ck_assert_uint_eq(line, 0);
    ck_assert(lost >= STEPS - 512);
    ck_assert_uint_eq(asked, STEPS);
    /* Nothing is lost in F32, and an element that is 0 is not asked. */
    asked = lost = 0;
    values = (mskp_tensor){.data = &single};
    for (uint64_t left = STEPS; left-- > 0;)
        ck_assert_int_eq(mskp_penalty_deadline(v.graph, no_mask, &all, left, views, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_penalty_deadline(v.graph, no_mask, &all, 0, views, NULL), MSKP_OK);
    ck_assert_uint_eq(asked, STEPS);
    ck_assert_uint_eq(lost, 0);
    mskp_graph_destroy(v.graph);
}
END_TEST

/* ---- Counting changes nothing, and counts what the interpreter counts ---- */

enum { GRADIENT, PROX, DEADLINE, CALLS };

typedef struct counting {
    int call;
    double number; /* strength, step, or the deadline's factor */
    const set *values, *gradients;
    uint64_t asked, lost;
} counting;

static void count_element(trial *t, const penalty_case *a, size_t p, const size_t *index,
                          void *context)
{
    counting *c = context;
    const double n = share_of(t, a, p, index);
    if (n < 0) return;
    const mskp_tensor v = element_view(t, c->values, p), g = element_view(t, c->gradients, p);
    const double w = view_get(&v, index), old = c->call == GRADIENT ? view_get(&g, index) : w;
    const mskp_dtype dtype = c->call == GRADIENT ? g.dtype : v.dtype;
    const double x = c->call == GRADIENT ? old + c->number * n * slope_of(a, w)
                     : c->call == PROX   ? prox_of(a, w, c->number * n)
                                         : w * c->number;
    c->asked += x != old;
    c->lost += x != old && rounded(dtype, x) == old;
}

static mskp_status call_one(const trial *t, int call, const penalty_case *a, const mskp_penalty *p,
                            double number, const set *values, const set *gradients, mskp_error *err)
{
    const mskp_mask keep = mask_of(t->units, a->keep);
    const size_t params = mskp_graph_counts(t->graph).params;
    const mskp_tensors v = set_by_id(params, values->views);
    if (call == GRADIENT)
        return mskp_penalty_gradient(t->graph, keep, p, number, v,
                                     set_by_id(params, gradients->views), err);
    if (call == PROX) return mskp_penalty_prox(t->graph, keep, p, number, v, err);
    return mskp_penalty_deadline(t->graph, keep, p, (uint64_t)number, v, err);
}

START_TEST(counting_changes_nothing)
{
    uint64_t all_asked = 0, all_lost = 0;
    for (size_t k = 0; k < test_count(900); k++) {
        trial t;
        mskp_error err = {0};
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        penalty_case *a = random_penalty_case(&t);
        exact_net(t.net, &t.r);
        set values = exact_set(&t, t.net), gradients = exact_set(&t, t.net);
        set values_2 = set_copy(&t.mem, &values), gradients_2 = set_copy(&t.mem, &gradients);
        const set was = set_copy(&t.mem, &values), gradients_were = set_copy(&t.mem, &gradients);
        const int call = (int)rng_below(&t.r, CALLS);
        /* A factor of 1 / 2^i is exact in double, and so are sums with 2^-i. */
        const double left = ldexp(1, (int)rng_below(&t.r, 12)) - 1;
        const double number = call == DEADLINE ? left : ldexp(1, -(int)rng_below(&t.r, 16));
        uint64_t asked = 5, lost = 7;
        mskp_low_precision low = {.asked = rng_chance(&t.r, 0.8) ? &asked : NULL, .lost = &lost};
        mskp_penalty counted = a->penalty;
        counted.low_precision = &low;
        REQUIRE_OK(call_one(&t, call, a, a->given, number, &values, &gradients, &err));
        REQUIRE_OK(call_one(&t, call, a, &counted, number, &values_2, &gradients_2, &err));
        REQUIRE(set_same(&values, &values_2), "counting changes values of call %d", call);
        REQUIRE(set_same(&gradients, &gradients_2), "counting changes gradients");
        counting c = {.call = call,
                      .number = call == DEADLINE ? left / (left + 1) : number,
                      .values = &was,
                      .gradients = &gradients_were};
        each_element(&t, a, count_element, &c);
        REQUIRE(lost == 7 + c.lost, "call %d: %llu lost, not %llu", call,
                (unsigned long long)lost - 7, (unsigned long long)c.lost);
        REQUIRE(asked == (low.asked ? 5 + c.asked : 5), "call %d: %llu asked, not %llu", call,
                (unsigned long long)asked - 5, (unsigned long long)c.asked);
        all_asked += c.asked;
        all_lost += c.lost;
        trial_end(&t);
    }
    REQUIRE(all_lost > 0 && all_asked > all_lost, "%llu of %llu only", (unsigned long long)all_lost,
            (unsigned long long)all_asked);
}
END_TEST

/* ---- Stochastic rounding ---- */

/* From every finite number a fraction of the way to its neighbour: one of the two comes out, and
 * the farther one as often as the fraction says, over all numbers and over seeds. */
START_TEST(stochastic_rounding_takes_a_neighbour)
{
    enum { N = 65536, SEEDS = 8 };
    static uint16_t bits[N], from[N];
    const mskp_dtype dtype = _i % 2 ? MSKP_DTYPE_F16 : MSKP_DTYPE_BF16;
    static const double fractions[] = {0.5, 0.25, 1.0 / 64, 0.96875, 0.3};
    float_mode(_i / 2);
    vector v = vector_of(1, NULL);
    rng r = rng_make(test_seed());
    for (size_t f = 0; f < sizeof fractions / sizeof *fractions; f++) {
        size_t n = 0, up = 0;
        for (uint32_t i = 0; i < N; i += 1 + (uint32_t)rng_below(&r, 32)) {
            const double low = decode(dtype, (uint16_t)i), high = decode(dtype, (uint16_t)(i + 1));
            if (!isfinite(low) || !isfinite(high) || signbit(low) != signbit(high)) continue;
            for (uint64_t seed = 0; seed < SEEDS; seed++, n++) {
                const mskp_low_precision how = {
                    MSKP_ROUNDING_STOCHASTIC, rng_next(&r), {0, NULL}, 0, NULL, NULL};
                bits[0] = from[0] = (uint16_t)i;
                add(&v, dtype, bits, fractions[f] * (high - low), &how);
                if (bits[0] != i && bits[0] != i + 1)
                    ck_abort_msg("%a: from %x to %x", fractions[f], (unsigned)i, bits[0]);
                up += bits[0] == i + 1;
            }
        }
        const double p = fractions[f], mean = (double)up / (double)n;
        ck_assert_msg(fabs(mean - p) < 5 * sqrt(p * (1 - p) / (double)n),
                      "%g of %zu numbers moved up, not %g", mean, n, p);
    }
    mskp_graph_destroy(v.graph);
    float_mode(0);
}
END_TEST

/* Beyond the largest number there is only infinity: the nearer of the two is taken. A number that
 * the format holds stays, and what is not finite stays so. */
START_TEST(stochastic_rounding_at_the_ends)
{
    static const struct {
        mskp_dtype dtype;
        double from, step, to;
    } cases[] = {{MSKP_DTYPE_F16, 65504, 15.99, 65504},
                 {MSKP_DTYPE_F16, 65504, 16, INFINITY},
                 {MSKP_DTYPE_F16, -65504, -15.99, -65504},
                 {MSKP_DTYPE_F16, 1, 0, 1},
                 {MSKP_DTYPE_F16, 1, 1, 2},
                 {MSKP_DTYPE_F16, -0.0, 0, 0},
                 {MSKP_DTYPE_F16, INFINITY, -1, INFINITY},
                 {MSKP_DTYPE_BF16, 1, 0x1p-7, 1.0078125},
                 {MSKP_DTYPE_BF16, 1, 1e300, INFINITY},
                 {MSKP_DTYPE_F16, 1, -1, 0},
                 {MSKP_DTYPE_BF16, 0x1.fep127, 1e30, 0x1.fep127}};
    vector v = vector_of(1, NULL);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (uint64_t seed = 0; seed < 100; seed++) {
            const mskp_low_precision how = {
                MSKP_ROUNDING_STOCHASTIC, seed, {0, NULL}, 0, NULL, NULL};
            uint16_t bits = encode(cases[k].dtype, cases[k].from);
            add(&v, cases[k].dtype, &bits, cases[k].step, &how);
            ck_assert_msg(decode(cases[k].dtype, bits) == cases[k].to, "%g + %g is %g",
                          cases[k].from, cases[k].step, decode(cases[k].dtype, bits));
        }
    mskp_graph_destroy(v.graph);
}
END_TEST

/* 4096 scales of 1 and a step that nearest rounding always loses: each walks to 0, and the mean is
 * on the line that F32 follows. */
START_TEST(stochastic_steps_arrive_in_the_mean)
{
    enum { N = 4096, STEPS = 1400 };
    static uint16_t bits[N];
    const mskp_dtype dtype = _i ? MSKP_DTYPE_F16 : MSKP_DTYPE_BF16;
    const double step = _i ? 1.0 / 8192 : 1e-3, spacing = _i ? 0x1p-11 : 0x1p-8;
    const int steps = _i ? 10000 : STEPS, half = (int)(0.5 / step);
    vector v = vector_of(N, NULL);
    uint64_t asked = 0, lost = 0;
    mskp_low_precision low = {.rounding = MSKP_ROUNDING_STOCHASTIC, .asked = &asked, .lost = &lost};
    const mskp_penalty all = {.target = MSKP_TARGET_ALL, .low_precision = &low};
    mskp_tensor values = {.data = bits, .dtype = dtype};
    size_t zeros = 0;
    for (size_t i = 0; i < N; i++) bits[i] = encode(dtype, 1);
    for (int s = 1; s <= steps; s++) {
        low.seed = (uint64_t)s;
        ck_assert_int_eq(
            mskp_penalty_prox(v.graph, no_mask, &all, step, (mskp_tensors){1, &values}, NULL),
            MSKP_OK);
        if (s != half) continue;
        double mean = 0;
        for (size_t i = 0; i < N; i++) mean += decode(dtype, bits[i]) / N;
        const double deviation = sqrt(half * step * spacing / N);
        ck_assert_msg(fabs(mean - (1 - half * step)) < 5 * deviation,
                      "the mean is %g after %d steps of %g", mean, s, step);
    }
    for (size_t i = 0; i < N; i++) zeros += bits[i] == 0;
    ck_assert_uint_eq(zeros, N);
    ck_assert_msg(lost > 0 && lost < asked, "%llu of %llu steps moved nothing",
                  (unsigned long long)lost, (unsigned long long)asked);
    mskp_graph_destroy(v.graph);
}
END_TEST

/* Neighbouring elements, neighbouring seeds, and the same element of two parameters are rounded
 * independently: correlations vanish. */
START_TEST(random_numbers_are_independent)
{
    enum { N = 2000, SEEDS = 200 };
    static uint16_t bits[2][N];
    static signed char sign[SEEDS + 1][2][N];
    static float ones[2][N];
    const size_t n = N;
    mskp_graph *g = mskp_graph_create(NULL);
    for (int p = 0; p < 2; p++) {
        mskp_param param = mskp_parameter(g, p ? "b" : "a", 1, &n);
        mskp_bind(g, param, 0, MSKP_ROLE_SCALE, mskp_fresh(g, NULL, n, 0, NULL));
        for (size_t i = 0; i < N; i++) ones[p][i] = 1;
    }
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    mskp_tensor values[2] = {{.data = ones[0]}, {.data = ones[1]}};
    mskp_tensor gradients[2] = {{.data = bits[0], .dtype = MSKP_DTYPE_BF16},
                                {.data = bits[1], .dtype = MSKP_DTYPE_BF16}};
    for (uint64_t seed = 0; seed <= SEEDS; seed++) {
        const mskp_low_precision low = {.rounding = MSKP_ROUNDING_STOCHASTIC, .seed = seed};
        const mskp_penalty all = {.target = MSKP_TARGET_ALL, .low_precision = &low};
        for (size_t i = 0; i < N; i++) bits[0][i] = bits[1][i] = bfloat_encode(1);
        ck_assert_int_eq(mskp_penalty_gradient(g, no_mask, &all, 0x1p-8, (mskp_tensors){2, values},
                                               (mskp_tensors){2, gradients}, NULL),
                         MSKP_OK);
        for (size_t p = 0; p < 2; p++)
            for (size_t i = 0; i < N; i++)
                sign[seed][p][i] = bits[p][i] == bfloat_encode(1) ? -1 : 1;
    }
    long mean = 0, elements = 0, far = 0, seeds = 0, params = 0;
    for (size_t s = 0; s < SEEDS; s++)
        for (size_t i = 0; i < N; i++) {
            const int x = sign[s][0][i];
            mean += x;
            elements += x * sign[s][0][(i + 1) % N];
            far += x * sign[s][0][(i + 1024) % N];
            seeds += x * sign[s + 1][0][i];
            params += x * sign[s][1][i];
        }
    const long most = (long)(5 * sqrt((double)N * SEEDS));
    ck_assert_msg(labs(mean) < most, "mean %ld", mean);
    ck_assert_msg(labs(elements) < most, "neighbours %ld", elements);
    ck_assert_msg(labs(far) < most, "elements that are 1024 apart %ld", far);
    ck_assert_msg(labs(seeds) < most, "seeds %ld", seeds);
    ck_assert_msg(labs(params) < most, "parameters %ld", params);
    mskp_graph_destroy(g);
}
END_TEST

/* Neither strides, nor threads, nor what else is targeted decide how an element is rounded. */
static void same_numbers(trial *t, const penalty_case *a, size_t p, const size_t *index,
                         void *context)
{
    const set *const *sets = context;
    const mskp_tensor x = element_view(t, sets[0], p), y = element_view(t, sets[1], p);
    (void)a;
    REQUIRE(view_get(&x, index) == view_get(&y, index), "parameter %zu: %g and %g", p,
            view_get(&x, index), view_get(&y, index));
}

START_TEST(layouts_and_threads_do_not_show)
{
    for (size_t k = 0; k < test_count(400); k++) {
        trial t, u;
        mskp_error err = {0};
        const uint64_t seed = test_seed() * 1000000 + k;
        trial_begin(&t, seed, NULL, NULL);
        trial_begin(&u, seed, NULL, &backwards_services);
        penalty_case *a = random_penalty_case(&t);
        const mskp_dtype dtype = k % 2 ? MSKP_DTYPE_F16 : MSKP_DTYPE_BF16;
        mskp_low_precision low = {.rounding = MSKP_ROUNDING_STOCHASTIC, .seed = k};
        mskp_penalty p = a->penalty;
        p.low_precision = &low;
        const int call = (int)rng_below(&t.r, CALLS);
        const double number = call == DEADLINE ? 100 : 1.0 / 512;
        exact_net(t.net, &t.r);
        set values = set_make(&t.mem, &t.r, t.net, dtype, VIEW_BARE);
        set gradients = set_make(&t.mem, &t.r, t.net, dtype, VIEW_BARE);
        set values_2 = set_make(&t.mem, &t.r, t.net, dtype, VIEW_STYLES);
        set gradients_2 = set_make(&t.mem, &t.r, t.net, dtype, VIEW_STYLES);
        const set *all[] = {&values, &gradients, &values_2, &gradients_2};
        for (size_t i = 0; i < 4; i++) set_numbers(all[i], t.net);
        REQUIRE_OK(call_one(&t, call, a, &p, number, &values, &gradients, &err));
        REQUIRE_OK(call_one(&u, call, a, &p, number, &values_2, &gradients_2, &err));
        const set *pairs[2][2] = {{&values, &values_2}, {&gradients, &gradients_2}};
        each_element(&t, a, same_numbers, pairs[0]);
        each_element(&t, a, same_numbers, pairs[1]);
        trial_end(&u);
        trial_end(&t);
    }
}
END_TEST

/* F32 and F64 do not know the rounding. */
START_TEST(wide_formats_round_to_nearest)
{
    vector v = vector_of(3, NULL);
    const mskp_low_precision low = {.rounding = MSKP_ROUNDING_STOCHASTIC, .seed = 9};
    const mskp_penalty l1 = {.target = MSKP_TARGET_ALL};
    mskp_penalty random = l1;
    random.low_precision = &low;
    float f[2][3] = {{1, 3, 1e-3f}, {1, 3, 1e-3f}};
    double d[2][3] = {{1, 3, 1e-3}, {1, 3, 1e-3}};
    for (int i = 0; i < 100; i++)
        for (int k = 0; k < 2; k++) {
            mskp_tensor x = {.data = f[k]}, y = {.data = d[k], .dtype = MSKP_DTYPE_F64};
            ck_assert_int_eq(mskp_penalty_prox(v.graph, no_mask, k ? &random : &l1, 1e-4,
                                               (mskp_tensors){1, &x}, NULL),
                             MSKP_OK);
            ck_assert_int_eq(mskp_penalty_prox(v.graph, no_mask, k ? &random : &l1, 1e-4,
                                               (mskp_tensors){1, &y}, NULL),
                             MSKP_OK);
        }
    ck_assert_mem_eq(f[0], f[1], sizeof f[0]);
    ck_assert_mem_eq(d[0], d[1], sizeof d[0]);
    mskp_graph_destroy(v.graph);
}
END_TEST

/* ---- Deadlines from start values ---- */

typedef struct line {
    const set *start, *before, *now;
    double left, steps;
} line;

static void require_line(trial *t, const penalty_case *a, size_t p, const size_t *index,
                         void *context)
{
    const line *c = context;
    const mskp_tensor from = element_view(t, c->start, p), to = element_view(t, c->now, p);
    const mskp_tensor was = element_view(t, c->before, p);
    if (share_of(t, a, p, index) < 0) {
        REQUIRE(!memcmp(view_at(&was, index), view_at(&to, index), dtype_size(to.dtype)),
                "parameter %zu: an element of no targeted slice changed", p);
    } else {
        const double w = view_get(&from, index), x = w * (c->left / c->steps);
        const double e = 2 * DBL_EPSILON, is = view_get(&to, index); /* the x87 rounds elsewhere */
        REQUIRE(is == rounded(to.dtype, x) || is == rounded(to.dtype, x * (1 - e)) ||
                    is == rounded(to.dtype, x * (1 + e)) ||
                    (to.dtype == MSKP_DTYPE_F64 && fabs(is - x) <= e * fabs(x)),
                "%g from %g, %g of %g left", is, w, c->left, c->steps);
        REQUIRE(c->left > 0 || !signbit(view_get(&to, index)), "the end is -0");
    }
}

START_TEST(a_line_from_the_start_is_straight)
{
    for (size_t k = 0; k < test_count(400); k++) {
        trial t;
        mskp_error err = {0};
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        penalty_case *a = random_penalty_case(&t);
        exact_net(t.net, &t.r);
        set start = exact_set(&t, t.net), same = set_copy(&t.mem, &start);
        exact_net(t.net, &t.r);
        set values = exact_set(&t, t.net), was = set_copy(&t.mem, &values);
        const uint64_t steps = rng_from(&t.r, 1, 2000), left = rng_below(&t.r, (size_t)steps + 1);
        const size_t params = mskp_graph_counts(t.graph).params;
        mskp_low_precision low = {.start = set_by_id(params, start.views), .start_steps = steps};
        mskp_penalty p = a->penalty;
        p.low_precision = &low;
        const mskp_mask keep = mask_of(t.units, a->keep);
        const bool zero = rng_chance(&t.r, 0.1);
        const mskp_tensors v = set_by_id(params, values.views);
        REQUIRE_OK(zero ? mskp_penalty_zero(t.graph, keep, &p, v, &err)
                        : mskp_penalty_deadline(t.graph, keep, &p, left, v, &err));
        line c = {&start, &was, &values, zero ? 0 : (double)left, (double)steps};
        each_element(&t, a, require_line, &c);
        REQUIRE(set_same(&start, &same), "the start values changed");
        trial_end(&t);
    }
}
END_TEST

/* Steps from or to what is not finite are taken, and not counted. */
START_TEST(infinite_steps_are_not_asked)
{
    uint16_t bits[3] = {bfloat_encode(1), bfloat_encode(INFINITY), bfloat_encode(1)};
    float from[3] = {1, 1, (float)INFINITY};
    uint64_t asked = 0;
    vector v = vector_of(3, NULL);
    mskp_tensor values = {.data = bits, .dtype = MSKP_DTYPE_BF16}, start = {.data = from};
    mskp_low_precision low = {.start = {1, &start}, .start_steps = 2, .asked = &asked};
    const mskp_penalty all = {.target = MSKP_TARGET_ALL, .low_precision = &low};
    ck_assert_int_eq(
        mskp_penalty_deadline(v.graph, no_mask, &all, 1, (mskp_tensors){1, &values}, NULL),
        MSKP_OK);
    ck_assert(bits[0] == bfloat_encode(0.5) && bits[1] == bfloat_encode(0.5));
    ck_assert(bits[2] == bfloat_encode(INFINITY));
    ck_assert_uint_eq(asked, 1);
    mskp_graph_destroy(v.graph);
}
END_TEST

/* ---- Refusals ---- */

START_TEST(wrong_options_change_nothing)
{
    uint16_t bits[2] = {0x3f80, 0x3f80}, start[2] = {0x3f80, 0x4000};
    uint64_t asked = 3, lost = 4;
    vector v = vector_of(2, NULL);
    mskp_tensor values = {.data = bits, .dtype = MSKP_DTYPE_BF16};
    mskp_tensor from[2] = {{.data = start, .dtype = MSKP_DTYPE_BF16}};
    mskp_tensor same = {.data = bits, .dtype = MSKP_DTYPE_BF16}, none = {0};
    mskp_tensor bytes = {.data = start, .dtype = MSKP_DTYPE_BYTES_2};
    const struct {
        mskp_low_precision low;
        mskp_status status;
        const char *says;
    } cases[] = {
        {{.rounding = (mskp_rounding)2}, MSKP_ERROR_BAD_ARGUMENT, "rounding is 2"},
        {{.start = {1, from}}, MSKP_ERROR_BAD_ARGUMENT, "5 steps are left of a deadline of 0"},
        {{.start = {1, from}, .start_steps = 4}, MSKP_ERROR_BAD_ARGUMENT, "5 steps are left"},
        {{.start = {2, from}, .start_steps = 9}, MSKP_ERROR_OTHER_NETWORK, "start"},
        {{.start = {1, NULL}, .start_steps = 9}, MSKP_ERROR_BAD_ARGUMENT, "start is NULL"},
        {{.start_steps = 9}, MSKP_ERROR_BAD_ARGUMENT, "start_steps is 9, and start"},
        {{.start = {1, &same}, .start_steps = 9}, MSKP_ERROR_OVERLAP, "values and start"},
        {{.start = {1, &none}, .start_steps = 9}, MSKP_ERROR_NO_DATA, "start"},
        {{.start = {1, &bytes}, .start_steps = 9}, MSKP_ERROR_BAD_ARGUMENT, "start"}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        mskp_low_precision low = cases[k].low;
        mskp_penalty all = {.target = MSKP_TARGET_ALL, .low_precision = &low};
        mskp_error err = {0};
        low.asked = &asked;
        low.lost = &lost;
        const mskp_status status =
            mskp_penalty_deadline(v.graph, no_mask, &all, 5, (mskp_tensors){1, &values}, &err);
        ck_assert_msg(status == cases[k].status && strstr(err.text, cases[k].says),
                      "case %zu: %s, %s", k, mskp_status_text(status), err.text);
        ck_assert(bits[0] == 0x3f80 && bits[1] == 0x3f80 && asked == 3 && lost == 4);
        all.skip_missing = 1; /* is about values: one without a start would never become 0 */
        ck_assert_int_eq(
            mskp_penalty_deadline(v.graph, no_mask, &all, 5, (mskp_tensors){1, &values}, NULL),
            cases[k].status);
        ck_assert(bits[0] == 0x3f80 && bits[1] == 0x3f80 && asked == 3 && lost == 4);
    }
    mskp_graph_destroy(v.graph);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("half");
    TCase *tcase = tcase_create("half");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, small_steps_are_lost_and_counted);
    tcase_add_test(tcase, counting_changes_nothing);
    /* Once more with denormal numbers switched off. */
    tcase_add_loop_test(tcase, stochastic_rounding_takes_a_neighbour, 0, 4);
    tcase_add_test(tcase, stochastic_rounding_at_the_ends);
    tcase_add_loop_test(tcase, stochastic_steps_arrive_in_the_mean, 0, 2);
    tcase_add_test(tcase, random_numbers_are_independent);
    tcase_add_test(tcase, layouts_and_threads_do_not_show);
    tcase_add_test(tcase, wide_formats_round_to_nearest);
    tcase_add_test(tcase, a_line_from_the_start_is_straight);
    tcase_add_test(tcase, infinite_steps_are_not_asked);
    tcase_add_test(tcase, wrong_options_change_nothing);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

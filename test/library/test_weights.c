/*
 * Penalties that depend on norms of units, against their formulas: the gradient against finite
 * differences of R, which is computed from elements one by one; the proximal map of group lasso
 * against its condition of optimality; fading element by element.
 */
#include "interpreter/penalty_case.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NORMS = 4, KINDS = 7 }; /* the kinds below NORMS are functions of norms */

/* A network with random numbers, a random choice of targets, and all elements of each unit. */
typedef struct group_case {
    trial t;
    penalty_case *a;
    mskp_weighting weighting;
    set values, gradients;
    size_t params;
    double *norm, *weight; /* [units] */
} group_case;

static mskp_tensors tensors_of(const group_case *c, const set *s)
{
    return set_by_id(c->params, s->views);
}

static void group_begin(group_case *c, uint64_t seed, mskp_weighting_kind kind)
{
    *c = (group_case){.weighting = {.kind = kind}};
    trial_begin(&c->t, seed, NULL, seed % 2 ? &backwards_services : NULL);
    trial *t = &c->t;
    c->a = random_penalty_case(t);
    c->a->penalty.roles = c->a->roles;
    c->a->penalty.kind = kind == MSKP_WEIGHTING_POLARIZATION ? MSKP_PENALTY_L1 : MSKP_PENALTY_L2;
    c->a->given = &c->a->penalty;
    c->params = mskp_graph_counts(t->graph).params;
    if (kind == MSKP_WEIGHTING_POLARIZATION || kind == MSKP_WEIGHTING_ADAPTIVE)
        c->weighting.parameter = (double)rng_below(&t->r, 9) / 2;
    for (size_t p = 1; p <= t->net->params; p++)
        for (size_t i = 0; i < shape_elements(t->net->param[p].ndim, t->net->param[p].shape); i++)
            t->net->param[p].data[i] = rng_real(&t->r, -0.5, 0.5);
    c->values = set_make(&t->mem, &t->r, t->net, MSKP_DTYPE_F64, VIEW_STYLES);
    set_numbers(&c->values, t->net);
    for (size_t p = 1; p <= t->net->params; p++)
        memset(t->net->param[p].data, 0,
               shape_elements(t->net->param[p].ndim, t->net->param[p].shape) * sizeof(double));
    c->gradients = set_make(&t->mem, &t->r, t->net, MSKP_DTYPE_F64, VIEW_STYLES);
    set_numbers(&c->gradients, t->net);
    c->norm = arena_get(&t->mem, t->units, sizeof *c->norm);
    c->weight = arena_get(&t->mem, t->units, sizeof *c->weight);
}

static bool is_l1(const group_case *c)
{
    return c->weighting.kind == MSKP_WEIGHTING_POLARIZATION;
}

/* The norms and sizes of the units, element by element; -1: no elements. */
static void brute_norms(const group_case *c, double *norm, double *size)
{
    const trial *t = &c->t;
    for (uint32_t u = 0; u < t->units; u++) {
        norm[u] = 0, size[u] = -1;
        for (size_t p = 1; p <= t->net->params; p++) {
            size_t index[MSKP_MAX_DIMS] = {0};
            const mskp_tensor v = element_view(t, &c->values, p);
            do {
                if (element_axis(&t->model, p, index, u, c->a->roles) == MSKP_MAX_DIMS) continue;
                const double w = view_get(&v, index);
                norm[u] += is_l1(c) ? fabs(w) : w * w;
                size[u] = fmax(size[u], 0) + 1;
            } while (next_index(v.ndim, v.shape, index));
        }
        if (!is_l1(c)) norm[u] = sqrt(norm[u]);
    }
}

/* R by its definition in methods.h. */
static double brute_penalty(const group_case *c)
{
    const size_t units = c->t.units;
    double *norm = calloc(units + 1, sizeof *norm), *size = calloc(units + 1, sizeof *size);
    double sum = 0, squares = 0, apart = 0, weighted = 0, n = 0;
    ck_assert_ptr_nonnull(norm);
    ck_assert_ptr_nonnull(size);
    brute_norms(c, norm, size);
    for (size_t u = 0; u < units; u++) {
        if (!c->a->wanted[u] || size[u] < 0) continue;
        n++;
        sum += norm[u];
        squares += norm[u] * norm[u];
        weighted += sqrt(size[u]) * norm[u];
    }
    for (size_t u = 0; u < units; u++)
        if (c->a->wanted[u] && size[u] >= 0) apart += fabs(norm[u] - sum / n);
    free(norm);
    free(size);
    switch ((int)c->weighting.kind) {
    case MSKP_WEIGHTING_GROUP_LASSO:
        return sum;
    case MSKP_WEIGHTING_GROUP_LASSO_SIZE:
        return weighted;
    case MSKP_WEIGHTING_HOYER:
        return squares > 0 ? sum * sum / squares : 0;
    default:
        return c->weighting.parameter * sum - apart;
    }
}

static mskp_status find_weights(group_case *c, mskp_error *err)
{
    trial *t = &c->t;
    const mskp_scoring scoring = {.magnitude = is_l1(c) ? MSKP_MAGNITUDE_L1 : MSKP_MAGNITUDE_L2,
                                  .reduce = is_l1(c) ? MSKP_REDUCE_SUM : MSKP_REDUCE_JOINT,
                                  .roles = c->a->roles};
    REQUIRE_OK(mskp_score(t->graph, &scoring, tensors_of(c, &c->values),
                          scores_of(t->units, c->norm), err));
    const bool costs = c->weighting.kind >= MSKP_WEIGHTING_MACS;
    return mskp_unit_weights(t->graph, mask_of(t->units, c->a->keep), c->a->given, &c->weighting,
                             costs ? (mskp_scores){0} : scores_of(t->units, c->norm),
                             scores_of(t->units, c->weight), err);
}

START_TEST(gradients_are_differences_of_the_formula)
{
    const double h = 1.0 / 65536 / 16;
    size_t moved = 0, count = test_count(150);
    for (size_t k = 0; k < count; k++) {
        group_case c;
        mskp_error err = {0};
        group_begin(&c, test_seed() * 1000000 + k, (mskp_weighting_kind)_i);
        trial *t = &c.t;
        c.a->penalty.unit_weight = c.weight;
        REQUIRE(find_weights(&c, &err) == MSKP_OK, "%s", err.text);
        REQUIRE_OK(mskp_penalty_gradient(t->graph, mask_of(t->units, c.a->keep), c.a->given, 1,
                                         tensors_of(&c, &c.values), tensors_of(&c, &c.gradients),
                                         &err));
        for (size_t p = 1; p <= t->net->params; p++) {
            size_t index[MSKP_MAX_DIMS] = {0};
            mskp_tensor v = element_view(t, &c.values, p), g = element_view(t, &c.gradients, p);
            for (uint32_t d = 0; d < v.ndim; d++) index[d] = rng_below(&t->r, v.shape[d]);
            const double w = view_get(&v, index);
            if (fabs(w) < 0.01) continue; /* |w| has a corner at 0 */
            view_set(&v, index, w + h);
            const double up = brute_penalty(&c);
            view_set(&v, index, w - h);
            const double down = brute_penalty(&c), slope = (up - down) / (2 * h);
            view_set(&v, index, w);
            REQUIRE(fabs(slope - view_get(&g, index)) < 1e-5 * fmax(1, fabs(slope)),
                    "kind %d, parameter %zu: the gradient is %.17g, R changes by %.17g", _i, p,
                    view_get(&g, index), slope);
            moved += slope != 0;
        }
        trial_end(t);
    }
    REQUIRE(moved > count / 2, "%zu elements only", moved);
}
END_TEST

/* Adaptive weights and costs, unit by unit, and what all kinds have in common. */
START_TEST(weights_follow_their_words)
{
    size_t weighed = 0;
    for (size_t k = 0; k < test_count(300); k++) {
        group_case c;
        mskp_error err = {0};
        const mskp_weighting_kind kind = (mskp_weighting_kind)(k % KINDS);
        group_begin(&c, test_seed() * 1000000 + k, kind);
        trial *t = &c.t;
        REQUIRE(find_weights(&c, &err) == MSKP_OK, "%s", err.text);
        double most = -INFINITY, least = INFINITY, sum = 0, n = 0;
        const double rate = c.weighting.parameter > 0 ? c.weighting.parameter : 4;
        mskp_cost all, without;
        double *price = arena_get(&t->mem, t->units, sizeof *price);
        uint8_t *keep = arena_get(&t->mem, t->units, 1);
        memset(keep, 1, t->units);
        all = model_cost(&t->model, keep, NULL);
        for (size_t u = 0; u < t->units; u++) {
            memset(keep, 1, t->units);
            keep[u] = 0;
            without = model_cost(&t->model, keep, NULL);
            price[u] =
                kind == MSKP_WEIGHTING_MACS ? all.macs - without.macs : all.params - without.params;
            if (!c.a->wanted[u]) continue;
            if (kind >= MSKP_WEIGHTING_MACS) {
                sum += price[u];
                n++;
            } else if (isfinite(c.norm[u])) {
                most = fmax(most, c.norm[u]);
                least = fmin(least, c.norm[u]);
            }
        }
        for (size_t u = 0; u < t->units; u++) {
            double expected = NAN;
            if (!c.a->wanted[u] || (kind < MSKP_WEIGHTING_MACS && isinf(c.norm[u])))
                expected = 0;
            else if (kind >= MSKP_WEIGHTING_MACS)
                expected = sum > 0 ? price[u] * n / sum : 0;
            else if (kind == MSKP_WEIGHTING_ADAPTIVE)
                expected = most > least ? pow(2, rate * (most - c.norm[u]) / (most - least)) : 1;
            if (isnan(expected)) continue;
            REQUIRE(fabs(c.weight[u] - expected) <= 1e-12 * fabs(expected),
                    "kind %d, unit %zu: %.17g, not %.17g", (int)kind, u, c.weight[u], expected);
            weighed += expected > 0;
        }
        trial_end(t);
    }
    REQUIRE(weighed > 0, "no weights");
}
END_TEST

/* The map's result x is optimal for each unit: (w - x) / step is the gradient of the norm at x, or,
 * where x is 0, no longer than 1. */
START_TEST(group_prox_is_optimal)
{
    size_t zeros = 0, refused = 0, shrunk = 0;
    const size_t count = test_count(400);
    for (size_t k = 0; k < count; k++) {
        group_case c;
        mskp_error err = {0};
        group_begin(&c, test_seed() * 1000000 + k, MSKP_WEIGHTING_GROUP_LASSO);
        trial *t = &c.t;
        const double step = rng_real(&t->r, 0, 2);
        bool shared = false;
        REQUIRE(find_weights(&c, &err) == MSKP_OK, "%s", err.text);
        c.a->penalty.unit_weight = c.weight;
        set was = set_copy(&t->mem, &c.values);
        for (size_t p = 1; p <= t->net->params; p++) {
            size_t index[MSKP_MAX_DIMS] = {0};
            do {
                size_t owners = 0;
                for (uint32_t u = 0; u < t->units; u++)
                    owners += c.a->wanted[u] &&
                              element_axis(&t->model, p, index, u, c.a->roles) != MSKP_MAX_DIMS;
                shared |= owners > 1;
            } while (next_index(t->net->param[p].ndim, t->net->param[p].shape, index));
        }
        const mskp_status status =
            mskp_penalty_group_prox(t->graph, mask_of(t->units, c.a->keep), c.a->given, step,
                                    tensors_of(&c, &c.values), &err);
        REQUIRE(status == (shared ? MSKP_ERROR_UNSUPPORTED : MSKP_OK), "shared %d: %s", shared,
                status ? err.text : "accepted");
        REQUIRE(!status || set_same(&was, &c.values), "a refused call changed values");
        refused += shared;
        for (size_t p = 1; p <= t->net->params; p++) {
            size_t index[MSKP_MAX_DIMS] = {0};
            const mskp_tensor v = element_view(t, &c.values, p), w = element_view(t, &was, p);
            do
                REQUIRE(share_of(t, c.a, p, index) >= 0 ||
                            view_get(&v, index) == view_get(&w, index),
                        "parameter %zu: an element of no target moved", p);
            while (next_index(v.ndim, v.shape, index));
        }
        for (uint32_t u = 0; !status && u < t->units; u++) {
            double length = 0, moved = 0, along = 0;
            for (size_t p = 1; p <= t->net->params; p++) {
                size_t index[MSKP_MAX_DIMS] = {0};
                const mskp_tensor v = element_view(t, &c.values, p), w = element_view(t, &was, p);
                do {
                    if (element_axis(&t->model, p, index, u, c.a->roles) == MSKP_MAX_DIMS) continue;
                    const double x = view_get(&v, index), d = view_get(&w, index) - x;
                    length += x * x, moved += d * d, along += x * d;
                } while (next_index(v.ndim, v.shape, index));
            }
            length = sqrt(length), moved = sqrt(moved);
            if (!c.a->wanted[u]) continue;
            if (length > 0) {
                REQUIRE(fabs(moved - step) < 1e-12, "unit %u moved by %g of %g", u, moved, step);
                REQUIRE(fabs(along - length * moved) < 1e-12, "unit %u turned", u);
                shrunk++;
            } else {
                REQUIRE(moved <= step * (1 + 1e-12), "unit %u: %g is longer than %g", u, moved,
                        step);
                zeros += moved > 0;
            }
        }
        trial_end(t);
    }
    REQUIRE(count < 100 || (refused > 0 && zeros > 0 && shrunk > 0),
            "%zu refused, %zu zeros, %zu shrunk", refused, zeros, shrunk);
}
END_TEST

START_TEST(fading_scales_targeted_elements_alone)
{
    size_t touched = 0, count = test_count(500);
    float_mode(_i);
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        const penalty_case *a = random_penalty_case(&t);
        exact_net(t.net, &t.r);
        set now = exact_set(&t, t.net), was = set_copy(&t.mem, &now);
        const double amount = (double)rng_below(&t.r, 9) / 4;
        mskp_error err = {0};
        REQUIRE(!mskp_penalty_fade(t.graph, mask_of(t.units, a->keep), a->given, amount,
                                   set_by_id(mskp_graph_counts(t.graph).params, now.views), &err),
                "%s", err.text);
        for (size_t p = 1; p <= t.net->params; p++) {
            size_t index[MSKP_MAX_DIMS] = {0};
            const mskp_tensor from = element_view(&t, &was, p), to = element_view(&t, &now, p);
            do {
                double most = -1;
                for (uint32_t u = 0; u < t.units; u++)
                    if (a->wanted[u] &&
                        element_axis(&t.model, p, index, u, a->roles) != MSKP_MAX_DIMS)
                        most = fmax(most, a->weight[u]);
                const double w = view_get(&from, index), x = view_get(&to, index);
                const double left = most < 0 ? 1 : fmax(0, 1 - amount * most);
                REQUIRE(x == rounded(to.dtype, w * left), "parameter %zu: %g from %g, by %g", p, x,
                        w, left);
                touched += most > 0;
            } while (next_index(from.ndim, from.shape, index));
        }
        trial_end(&t);
    }
    float_mode(0);
    REQUIRE(touched > count, "%zu elements only", touched);
}
END_TEST

/* ---- Corners, worked out by hand: two units of three, one gamma each ---- */

typedef struct corner {
    mskp_weighting weighting;
    double norm[3], weight[3];
} corner;

static const corner corners[] = {
    {{.kind = MSKP_WEIGHTING_GROUP_LASSO}, {0, 4, 1}, {0, 0.25, 0}},
    {{.kind = MSKP_WEIGHTING_GROUP_LASSO}, {0x1p-1060, 4, 1}, {0x1p1000, 0.25, 0}},
    {{.kind = MSKP_WEIGHTING_HOYER}, {0, 4, 1}, {0, 0, 0}}, /* one norm alone is the minimum */
    {{.kind = MSKP_WEIGHTING_HOYER}, {0, 0, 1}, {0, 0, 0}},
    {{.kind = MSKP_WEIGHTING_HOYER}, {1, 3, 1}, {2 * 0.4 * 0.6, 2 * 0.4 * (1 / 3.0 - 0.4), 0}},
    {{.kind = MSKP_WEIGHTING_POLARIZATION, .parameter = 1}, {1, 3, 9}, {2, 0, 0}},
    {{.kind = MSKP_WEIGHTING_POLARIZATION, .parameter = 1}, {2, 2, 9}, {1, 1, 0}},
    {{.kind = MSKP_WEIGHTING_ADAPTIVE, .parameter = 4}, {-1, 1, 9}, {16, 1, 0}},
    {{.kind = MSKP_WEIGHTING_ADAPTIVE, .parameter = 4}, {5, 5, 9}, {1, 1, 0}},
    {{.kind = MSKP_WEIGHTING_ADAPTIVE}, {-1, 1, 9}, {16, 1, 0}},
    {{.kind = MSKP_WEIGHTING_ADAPTIVE, .parameter = -1}, {-1, 1, 9}, {0.5, 1, 0}},
    {{.kind = MSKP_WEIGHTING_ADAPTIVE, .parameter = 4}, {5, (double)INFINITY, 9}, {1, 0, 0}},
    {{.kind = MSKP_WEIGHTING_MACS}, {0}, {0, 0, 0}}, /* nothing costs MACs */
    {{.kind = MSKP_WEIGHTING_PARAMS}, {0}, {1, 1, 0}},
};
enum { CORNERS = sizeof corners / sizeof *corners };

static mskp_graph *three_scales(void)
{
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(g, "v", 3, 0, NULL);
    const mskp_param p = mskp_parameter(g, "gamma", 1, (size_t[]){3});
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, v), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    return g;
}

START_TEST(corners_by_hand)
{
    const corner *c = &corners[_i];
    const mskp_scores none = {0};
    double weight[3] = {7, 7, 7};
    mskp_error err = {0};
    const mskp_penalty penalty = {.kind = c->weighting.kind == MSKP_WEIGHTING_POLARIZATION
                                              ? MSKP_PENALTY_L1
                                              : MSKP_PENALTY_L2};
    mskp_graph *g = three_scales();
    const mskp_status status =
        mskp_unit_weights(g, mask_of(3, (uint8_t[]){0, 0, 1}), &penalty, &c->weighting,
                          c->weighting.kind < MSKP_WEIGHTING_MACS ? scores_of(3, c->norm) : none,
                          scores_of(3, weight), &err);
    ck_assert_msg(status == MSKP_OK, "%s", err.text);
    for (size_t u = 0; u < 3; u++)
        ck_assert_msg(fabs(weight[u] - c->weight[u]) <= 1e-15 * fabs(c->weight[u]),
                      "unit %zu: %.17g, not %.17g", u, weight[u], c->weight[u]);
    mskp_graph_destroy(g);
}
END_TEST

static const struct refusal {
    mskp_weighting weighting;
    mskp_penalty penalty;
    double norm[3];
    mskp_status status;
    const char *sentence;
} refusals[] = {
    {{.kind = MSKP_WEIGHTING_HOYER, .parameter = -2},
     {.kind = MSKP_PENALTY_L2},
     {1, 1, 1},
     MSKP_ERROR_BAD_ARGUMENT,
     "weights: parameter is -2, and HOYER takes none"},
    {{.kind = (mskp_weighting_kind)7},
     {0},
     {1, 1, 1},
     MSKP_ERROR_BAD_ARGUMENT,
     "weights: kind is 7, the last is 6"},
    {{.kind = MSKP_WEIGHTING_HOYER, .parameter = 2},
     {.kind = MSKP_PENALTY_L2},
     {1, 1, 1},
     MSKP_ERROR_BAD_ARGUMENT,
     "weights: parameter is 2, and HOYER takes none"},
    {{.kind = MSKP_WEIGHTING_ADAPTIVE, .parameter = (double)NAN},
     {.kind = MSKP_PENALTY_L2},
     {1, 1, 1},
     MSKP_ERROR_BAD_NUMBER,
     "weights: parameter is NaN, not finite"},
    {{.kind = MSKP_WEIGHTING_MACS},
     {0},
     {1, 1, 1},
     MSKP_ERROR_BAD_ARGUMENT,
     "weights: MACS takes no norms, and 3 are given"},
    {{.kind = MSKP_WEIGHTING_GROUP_LASSO},
     {.kind = MSKP_PENALTY_L2},
     {1, -2, 1},
     MSKP_ERROR_BAD_NUMBER,
     "weights: the norm of unit 1 is -2, not 0 or more"},
    {{.kind = MSKP_WEIGHTING_GROUP_LASSO},
     {.kind = MSKP_PENALTY_L2},
     {1, 1, (double)NAN},
     MSKP_ERROR_BAD_NUMBER,
     "weights: the norm of unit 2 is NaN, not 0 or more"},
    {{.kind = MSKP_WEIGHTING_ADAPTIVE},
     {.kind = MSKP_PENALTY_L2},
     {1, -(double)INFINITY, 1},
     MSKP_ERROR_BAD_NUMBER,
     "weights: the norm of unit 1 is -infinity, not a number"},
    {{.kind = MSKP_WEIGHTING_HOYER},
     {.kind = MSKP_PENALTY_L2},
     {1e-200, 1e-200, 1},
     MSKP_ERROR_BAD_NUMBER,
     "weights: no double can hold the weight of unit 0, whose norm is 1e-200"},
    {{.kind = MSKP_WEIGHTING_ADAPTIVE, .parameter = 1e6},
     {.kind = MSKP_PENALTY_L2},
     {1, 2, 1},
     MSKP_ERROR_BAD_NUMBER,
     "weights: no double can hold the weight of unit 0, whose norm is 1"},
    {{.kind = MSKP_WEIGHTING_HOYER},
     {.target = (mskp_target)3},
     {1, 1, 1},
     MSKP_ERROR_BAD_ARGUMENT,
     "penalty: target is 3; the last is 2"},
    {{.kind = MSKP_WEIGHTING_HOYER},
     {.roles = MSKP_ROLE_MEAN},
     {1, 1, 1},
     MSKP_ERROR_BAD_ARGUMENT,
     "penalty: roles"},
    {{.kind = MSKP_WEIGHTING_GROUP_LASSO},
     {0},
     {1, 1, 1},
     MSKP_ERROR_BAD_ARGUMENT,
     "weights: GROUP_LASSO needs a penalty of kind MSKP_PENALTY_L2, not 0"},
    {{.kind = MSKP_WEIGHTING_POLARIZATION},
     {.kind = MSKP_PENALTY_L2},
     {1, 1, 1},
     MSKP_ERROR_BAD_ARGUMENT,
     "weights: POLARIZATION needs a penalty of kind MSKP_PENALTY_L1, not 2"},
};
enum { REFUSALS = sizeof refusals / sizeof *refusals };

START_TEST(wrong_weightings_change_nothing)
{
    const struct refusal *c = &refusals[_i];
    double weight[3] = {7, 8, 9};
    mskp_error err = {0};
    mskp_graph *g = three_scales();
    const mskp_status status =
        mskp_unit_weights(g, mask_of(3, (uint8_t[]){0, 0, 1}), &c->penalty, &c->weighting,
                          scores_of(3, c->norm), scores_of(3, weight), &err);
    ck_assert_msg(status == c->status, "%s: %s", mskp_status_text(status), err.text);
    ck_assert_msg(!strncmp(err.text, c->sentence, strlen(c->sentence)), "%s", err.text);
    ck_assert(weight[0] == 7 && weight[1] == 8 && weight[2] == 9);
    mskp_graph_destroy(g);
}
END_TEST

START_TEST(arguments_that_are_missing)
{
    const mskp_weighting macs = {.kind = MSKP_WEIGHTING_MACS};
    double number[3] = {7, 8, 9};
    mskp_error err = {0};
    mskp_graph *g = three_scales();
    const mskp_mask keep = mask_of(3, (uint8_t[]){0, 0, 1});
    ck_assert_int_eq(
        mskp_unit_weights(g, keep, NULL, NULL, scores_of(3, number), scores_of(3, number), &err),
        MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "weighting is NULL");
    ck_assert_int_eq(
        mskp_unit_weights(g, keep, NULL, &macs, scores_of(0, number), scores_of(3, number), &err),
        MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "weights: MACS takes no norms, and 0 are given");
    ck_assert(number[0] == 7 && number[1] == 8 && number[2] == 9);
    mskp_graph_destroy(g);
}
END_TEST

/* A proximal map and a fade take no weight below 0, a gradient does. */
START_TEST(negative_weights_are_for_gradients)
{
    float w[3] = {1, 2, 3}, slope[3] = {0};
    double weight[3] = {-0.5, 1, 1}, value = 0;
    mskp_tensor view[2] = {{.data = w}, {.data = slope}};
    const mskp_tensors values = {1, &view[0]}, gradients = {1, &view[1]};
    const mskp_penalty p = {.target = MSKP_TARGET_ALL, .unit_weight = weight};
    const char *sentence = "penalty: unit_weight[0] is -0.5, not 0 or more";
    mskp_error err = {0};
    mskp_graph *g = three_scales();
    ck_assert_int_eq(mskp_penalty_gradient(g, (mskp_mask){0}, &p, 1, values, gradients, &err), 0);
    ck_assert(slope[0] == -0.5f && slope[1] == 1 && slope[2] == 1);
    ck_assert_int_eq(mskp_penalty_value(g, (mskp_mask){0}, &p, values, &value, &err), 0);
    ck_assert(value == 4.5);
    ck_assert_int_eq(mskp_penalty_prox(g, (mskp_mask){0}, &p, 1, values, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_str_eq(err.text, sentence);
    ck_assert_int_eq(mskp_penalty_fade(g, (mskp_mask){0}, &p, 1, values, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_str_eq(err.text, sentence);
    ck_assert_int_eq(mskp_penalty_group_prox(g, (mskp_mask){0}, &p, 1, values, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_str_eq(err.text, sentence);
    weight[0] = (double)INFINITY;
    ck_assert_int_eq(mskp_penalty_gradient(g, (mskp_mask){0}, &p, 1, values, gradients, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_str_eq(err.text, "penalty: unit_weight[0] is infinity, not finite");
    weight[0] = 1;
    ck_assert_int_eq(mskp_penalty_fade(g, (mskp_mask){0}, &p, -1, values, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_str_eq(err.text, "penalty: amount is -1, not a finite number, 0 or more");
    ck_assert_int_eq(mskp_penalty_fade(g, (mskp_mask){0}, &p, 1, (mskp_tensors){0}, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "set"));
    ck_assert_int_eq(mskp_penalty_group_prox(g, (mskp_mask){0}, NULL, 1, values, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "penalty is NULL");
    ck_assert(w[0] == 1 && w[1] == 2 && w[2] == 3);
    mskp_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("weights");
    TCase *tcase = tcase_create("weights");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, gradients_are_differences_of_the_formula, 0, NORMS);
    tcase_add_test(tcase, weights_follow_their_words);
    tcase_add_test(tcase, group_prox_is_optimal);
    tcase_add_loop_test(tcase, fading_scales_targeted_elements_alone, 0, 2);
    tcase_add_loop_test(tcase, corners_by_hand, 0, CORNERS);
    tcase_add_loop_test(tcase, wrong_weightings_change_nothing, 0, REFUSALS);
    tcase_add_test(tcase, arguments_that_are_missing);
    tcase_add_test(tcase, negative_weights_are_for_gradients);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

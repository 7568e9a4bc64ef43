/* Scores against sums over sets of elements, in every type and kind of view. */
#include "interpreter/elements.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Norms and reductions ---- */

static double brute_score(const trial *t, const mskp_scoring *how, uint32_t unit)
{
    uint32_t roles = how->roles ? how->roles : MSKP_ROLE_SCALE;
    const model *m = &t->model;
    double sum = 0, most = 0, least = (double)INFINITY, joint = 0, product = 1;
    size_t slices = 0;
    for (size_t p = 1; p <= m->params; p++)
        for (uint32_t d = 0; d < m->param[p].ndim; d++)
            for (size_t i = 0; m->param[p].axis[d].unit && i < m->param[p].shape[d]; i++) {
                double norm = 0;
                size_t index[MSKP_MAX_DIMS] = {0}, e = 0;
                if (m->param[p].axis[d].unit[i] != unit || !(m->param[p].axis[d].roles & roles))
                    continue;
                do {
                    double w = fabs(t->net->param[p].data[e++]);
                    if (index[d] != i || element_axis(m, p, index, unit, roles) != d) continue;
                    norm += how->magnitude == MSKP_MAGNITUDE_L1 ? w : w * w;
                } while (next_index(m->param[p].ndim, m->param[p].shape, index));
                joint += norm;
                if (how->magnitude == MSKP_MAGNITUDE_L2) norm = sqrt(norm);
                sum += norm;
                most = fmax(most, norm);
                least = fmin(least, norm);
                product *= norm;
                slices++;
            }
    if (slices == 0) return (double)INFINITY;
    switch (how->reduce) {
    case MSKP_REDUCE_SUM:
        return sum;
    case MSKP_REDUCE_MEAN:
        return sum / (double)slices;
    case MSKP_REDUCE_MAX:
        return most;
    case MSKP_REDUCE_MIN:
        return least;
    case MSKP_REDUCE_PRODUCT:
        return product;
    default:
        return how->magnitude == MSKP_MAGNITUDE_L1 ? joint : sqrt(joint);
    }
}

/* Products, and sums of roots, depend on their order in the last bits; all else is exact. */
static bool close_enough(const mskp_scoring *how, double got, double expected)
{
    bool roots = how->magnitude == MSKP_MAGNITUDE_L2 &&
                 (how->reduce == MSKP_REDUCE_SUM || how->reduce == MSKP_REDUCE_MEAN);
    if (got == expected) return true;
    return (roots || how->reduce == MSKP_REDUCE_PRODUCT) &&
           fabs(got - expected) <= 1e-14 * expected;
}

static const uint32_t role_sets[] = {0,
                                     MSKP_ROLE_FILTER,
                                     MSKP_ROLE_CONSUMER,
                                     MSKP_ROLE_SHIFT,
                                     MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT,
                                     MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER,
                                     MSKP_ROLES_UNIT,
                                     MSKP_ROLE_CONSUMER | MSKP_ROLE_SHIFT};
enum { ROLE_SETS = sizeof role_sets / sizeof *role_sets };

START_TEST(scores_are_sums_over_elements)
{
    static const mskp_reduce reduces[] = {MSKP_REDUCE_SUM, MSKP_REDUCE_MEAN,  MSKP_REDUCE_MAX,
                                          MSKP_REDUCE_MIN, MSKP_REDUCE_JOINT, MSKP_REDUCE_PRODUCT};
    size_t finite = 0, products = 0, count = test_count(1000);
    float_mode(_i);
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        exact_net(t.net, &t.r);
        set values = exact_set(&t, t.net);
        double *scores = arena_get(&t.mem, t.units, sizeof *scores);
        for (int j = 0; j < 4; j++) {
            mskp_scoring how = {.magnitude = (mskp_magnitude)rng_below(&t.r, 2),
                                .reduce = reduces[rng_below(&t.r, 6)],
                                .roles = role_sets[rng_below(&t.r, ROLE_SETS)]};
            bool plain = j == 3;
            if (plain) how = (mskp_scoring){0};
            uint32_t roles = how.roles ? how.roles : MSKP_ROLE_SCALE;
            mskp_error err = {0};
            /* What is not read need not be there. */
            mskp_tensor *views = arena_copy(&t.mem, values.views, t.net->params + 1, sizeof *views);
            for (size_t p = 1; p <= t.net->params; p++)
                if (!tensor_has(&t.model, p, roles, NULL)) views[p].data = NULL;
            mskp_status status = mskp_score(t.graph, plain ? NULL : &how,
                                            set_by_id(mskp_graph_counts(t.graph).params, views),
                                            scores_of(t.units, scores), &err);
            REQUIRE(status == MSKP_OK, "norm %d, reduce %d, roles %u: %s", (int)how.magnitude,
                    (int)how.reduce, how.roles, err.text);
            for (uint32_t u = 0; u < t.units; u++) {
                double expected = brute_score(&t, &how, u);
                REQUIRE(close_enough(&how, scores[u], expected),
                        "norm %d, reduce %d, roles %u, unit %u: %.17g, not %.17g",
                        (int)how.magnitude, (int)how.reduce, how.roles, u, scores[u], expected);
                finite += isfinite(expected) ? 1 : 0;
                products += how.reduce == MSKP_REDUCE_PRODUCT && isfinite(expected) && expected > 0;
            }
        }
        trial_end(&t);
    }
    float_mode(0);
    REQUIRE(finite > count && products > count / 4, "%zu finite scores, %zu products only", finite,
            products);
}
END_TEST

START_TEST(bad_numbers_and_missing_data)
{
    size_t refused = 0, ignored = 0, missing = 0, count = test_count(300);
    const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    float_mode(_i);
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        uint32_t roles = role_sets[rng_below(&t.r, ROLE_SETS)];
        mskp_scoring how = {.roles = roles};
        if (!roles) roles = MSKP_ROLE_SCALE;
        exact_net(t.net, &t.r);
        set values = exact_set(&t, t.net);
        double *scores = arena_get(&t.mem, t.units, sizeof *scores);
        memset(scores, 0x5A, t.units * sizeof *scores);
        double *before = arena_copy(&t.mem, scores, t.units, sizeof *scores);
        for (size_t p = 1; p <= t.net->params; p++) {
            const net_param *q = &t.net->param[p];
            mskp_tensor v = view_resolve(&values.views[p], q->ndim, q->shape);
            size_t index[MSKP_MAX_DIMS] = {0};
            for (uint32_t d = 0; d < q->ndim; d++) index[d] = rng_below(&t.r, q->shape[d]);
            bool read = false;
            for (uint32_t u = 0; u < t.units; u++)
                read |= element_axis(&t.model, p, index, u, roles) != MSKP_MAX_DIMS;
            double good = view_get(&v, index);
            view_set(&v, index, bad[rng_below(&t.r, 3)]);
            mskp_status status = mskp_score(
                t.graph, &how, set_by_id(mskp_graph_counts(t.graph).params, values.views),
                scores_of(t.units, scores), NULL);
            view_set(&v, index, good);
            REQUIRE(status == (read ? MSKP_ERROR_BAD_NUMBER : MSKP_OK), "parameter %zu: %s", p,
                    mskp_status_text(status));
            if (read)
                REQUIRE(memcmp(scores, before, t.units * sizeof *scores) == 0, "scores changed");
            memcpy(scores, before, t.units * sizeof *scores);
            refused += read;
            ignored += !read;

            void *data = values.views[p].data;
            values.views[p].data = NULL;
            bool needed = tensor_has(&t.model, p, roles, NULL);
            mskp_error err = {0};
            status = mskp_score(t.graph, &how,
                                set_by_id(mskp_graph_counts(t.graph).params, values.views),
                                scores_of(t.units, scores), &err);
            REQUIRE(status == (needed ? MSKP_ERROR_NO_DATA : MSKP_OK), "parameter %zu: %s", p,
                    mskp_status_text(status));
            if (needed) {
                char name[32];
                (void)snprintf(name, sizeof name, "p%zu", p);
                REQUIRE(strstr(err.text, name), "\"%s\" lacks %s", err.text, name);
                REQUIRE(memcmp(scores, before, t.units * sizeof *scores) == 0, "scores changed");
                values.views[p].dtype = MSKP_DTYPE_BYTES_4;
                values.views[p].data = data;
                REQUIRE(mskp_score(t.graph, &how,
                                   set_by_id(mskp_graph_counts(t.graph).params, values.views),
                                   scores_of(t.units, scores), NULL) != MSKP_OK,
                        "bytes are no numbers");
                values.views[p].dtype = v.dtype;
            }
            memcpy(scores, before, t.units * sizeof *scores);
            values.views[p].data = data;
            missing += needed;
        }
        trial_end(&t);
    }
    float_mode(0);
    REQUIRE(refused >= count && ignored >= count && missing >= count, "%zu, %zu, %zu", refused,
            ignored, missing);
}
END_TEST

START_TEST(options_are_checked)
{
    trial t;
    mskp_error err = {0};
    double scores[512];
    trial_begin(&t, test_seed() * 1000000 + 3, NULL, NULL);
    set values = set_make(&t.mem, &t.r, t.net, MSKP_DTYPE_F32, VIEW_PACKED);
    set_numbers(&values, t.net);
    const mskp_scoring wrong[] = {{.magnitude = (mskp_magnitude)2},
                                  {.reduce = (mskp_reduce)7},
                                  {.roles = 64},
                                  {.vote_threshold = 0.5},
                                  {.reduce = MSKP_REDUCE_JOINT, .vote_threshold = (double)NAN},
                                  {.reduce = MSKP_REDUCE_VOTE, .vote_threshold = (double)NAN},
                                  {.reduce = MSKP_REDUCE_VOTE, .vote_threshold = -1},
                                  {.reduce = MSKP_REDUCE_VOTE, .vote_threshold = (double)INFINITY}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mskp_status s = mskp_score(t.graph, &wrong[i],
                                   set_by_id(mskp_graph_counts(t.graph).params, values.views),
                                   scores_of(t.units, scores), &err);
        ck_assert_msg(s == MSKP_ERROR_BAD_ARGUMENT || (i >= 5 && s == MSKP_ERROR_BAD_NUMBER),
                      "%zu: %d", i, (int)s);
        ck_assert_int_eq(err.status, s);
    }
    ck_assert_int_eq(mskp_score(t.graph, NULL,
                                set_by_id(mskp_graph_counts(t.graph).params, values.views),
                                scores_of(t.units + 1, scores), &err),
                     MSKP_ERROR_OTHER_NETWORK);
    ck_assert_int_eq(mskp_score(t.graph, NULL, set_by_id(mskp_graph_counts(t.graph).params, NULL),
                                scores_of(t.units, scores), &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_score(t.graph, NULL,
                                set_by_id(mskp_graph_counts(t.graph).params, values.views),
                                scores_of(t.units, NULL), &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_score(NULL, NULL, set_by_id(mskp_graph_counts(NULL).params, values.views),
                                scores_of(t.units, scores), &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    trial_end(&t);
}
END_TEST

/* Two gammas, one unit. What is not finite has no score, and is named, if it is one element. */
START_TEST(scores_that_are_no_numbers)
{
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(g, "v", 2, 0, NULL);
    double gamma[2][2];
    for (int i = 0; i < 2; i++) {
        const mskp_param p = mskp_parameter(g, i ? "second" : "first", 1, (size_t[]){2});
        ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, v), MSKP_OK);
    }
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    mskp_tensor values[3] = {{0},
                             {.data = gamma[0], .dtype = MSKP_DTYPE_F64},
                             {.data = gamma[1], .dtype = MSKP_DTYPE_F64}};
    const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    double scores[2] = {7, 7};
    for (int reduce = MSKP_REDUCE_SUM; reduce <= MSKP_REDUCE_PRODUCT; reduce++) {
        const mskp_scoring how = {.reduce = (mskp_reduce)reduce,
                                  .vote_threshold = reduce == MSKP_REDUCE_VOTE ? 0.5 : 0};
        mskp_error err = {0};
        for (int i = 0; i < 3; i++) {
            /* One vote each: the smaller norm alone would be a score. */
            gamma[0][0] = 1, gamma[1][0] = 0;
            gamma[0][1] = 0, gamma[1][1] = bad[i];
            const mskp_status status =
                mskp_score(g, &how, set_by_id(2, values), scores_of(2, scores), &err);
            ck_assert_int_eq(status, MSKP_ERROR_BAD_NUMBER);
            ck_assert_ptr_nonnull(strstr(err.text, "second (values): element 1 is "));
            ck_assert(scores[0] == 7 && scores[1] == 7);
        }
        /* Each is a number, their sum or product is none. */
        gamma[0][1] = gamma[1][1] = 1.5e308;
        const mskp_status status =
            mskp_score(g, &how, set_by_id(2, values), scores_of(2, scores), &err);
        const int sums = reduce == MSKP_REDUCE_SUM || reduce == MSKP_REDUCE_MEAN ||
                         reduce == MSKP_REDUCE_JOINT || reduce == MSKP_REDUCE_PRODUCT;
        ck_assert_int_eq(status, sums ? MSKP_ERROR_BAD_NUMBER : MSKP_OK);
        if (sums) ck_assert_ptr_nonnull(strstr(err.text, "unit 1"));
        ck_assert(scores[1] == (double)(sums ? 7 : 1.5e308));
        scores[0] = scores[1] = 7;
    }
    mskp_error err = {0};
    values[2].dtype = (mskp_dtype)9;
    ck_assert_int_eq(mskp_score(g, NULL, set_by_id(2, values), scores_of(2, scores), &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "second (values): 9 is no dtype"));
    values[2].dtype = MSKP_DTYPE_F64;
    ck_assert(scores[0] == 7 && scores[1] == 7);
    mskp_graph_destroy(g);
}
END_TEST

/* All elements of a slice are numbers, their sum is none. */
START_TEST(slices_without_a_sum)
{
    mskp_graph *g = mskp_graph_create(NULL);
    double w[2][2] = {{1, 2}, {1.5e308, -1.5e308}}, scores[2] = {7, 7};
    mskp_tensor values[2] = {{0}, {.data = w, .dtype = MSKP_DTYPE_F64}};
    const mskp_param p = mskp_parameter(g, "w", 2, (size_t[]){2, 2});
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_FILTER, mskp_fresh(g, "v", 2, 0, NULL)), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    for (int reduce = MSKP_REDUCE_SUM; reduce <= MSKP_REDUCE_PRODUCT; reduce++) {
        const mskp_scoring how = {.reduce = (mskp_reduce)reduce, .roles = MSKP_ROLE_FILTER};
        mskp_error err = {0};
        ck_assert_int_eq(mskp_score(g, &how, set_by_id(1, values), scores_of(2, scores), &err),
                         MSKP_ERROR_BAD_NUMBER);
        ck_assert_str_eq(err.text,
                         "w: axis 0, index 1: no double can hold the sum over the values");
        ck_assert(scores[0] == 7 && scores[1] == 7);
    }
    mskp_graph_destroy(g);
}
END_TEST

/* ---- Half precision, every pattern ---- */

static mskp_graph *vector_graph(size_t n)
{
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_param p = mskp_parameter(g, "gamma", 1, &n);
    mskp_value v = mskp_fresh(g, "v", n, 0, NULL);
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, v), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    return g;
}

START_TEST(half_precision_is_decoded)
{
    static uint16_t bits[65536];
    static double scores[65536];
    double one;
    float_mode(_i % 2);
    mskp_dtype dtype = _i < 2 ? MSKP_DTYPE_F16 : MSKP_DTYPE_BF16;
    double (*decode)(uint16_t) = _i < 2 ? half_decode : bfloat_decode;
    mskp_graph *all = vector_graph(65536), *single = vector_graph(1);
    mskp_tensor views[2] = {{0}, {.data = bits, .dtype = dtype}};
    for (size_t i = 0; i < 65536; i++) {
        bits[i] = (uint16_t)i;
        if (isfinite(decode((uint16_t)i))) continue;
        views[1].data = &bits[i];
        one = -1;
        if (mskp_score(single, NULL, set_by_id(mskp_graph_counts(single).params, views),
                       scores_of(1, &one), NULL) != MSKP_ERROR_BAD_NUMBER ||
            one != -1)
            ck_abort_msg("pattern %zx is taken for a number", i);
        bits[i] = 0;
    }
    views[1].data = bits;
    ck_assert_int_eq(mskp_score(all, NULL, set_by_id(mskp_graph_counts(all).params, views),
                                scores_of(65536, scores), NULL),
                     MSKP_OK);
    for (size_t i = 0; i < 65536; i++)
        if (scores[i] != fabs(decode(bits[i])))
            ck_abort_msg("pattern %zx: %a instead of %a", i, scores[i], fabs(decode(bits[i])));
    mskp_graph_destroy(all);
    mskp_graph_destroy(single);
    float_mode(0);
}
END_TEST

/* ---- Infinities that the caller gives ---- */

START_TEST(infinities_of_both_signs)
{
    mskp_graph *g = vector_graph(2);
    const mskp_value v = mskp_value_find(g, "v");
    const double up[2] = {1, (double)INFINITY}, down[2] = {2, -(double)INFINITY};
    const mskp_channel_scores given[] = {{v, 2, up}, {v, 2, down}};
    double scores[2] = {7, 7};
    mskp_error err = {0};
    for (int reduce = MSKP_REDUCE_SUM; reduce <= MSKP_REDUCE_MEAN; reduce++) {
        ck_assert_int_eq(
            mskp_score_channels(g, 2, given, (mskp_reduce)reduce, scores_of(2, scores), &err),
            MSKP_ERROR_BAD_NUMBER);
        ck_assert_ptr_nonnull(strstr(err.text, "unit 1: infinities of both signs among its 2"));
        ck_assert(scores[0] == 7 && scores[1] == 7);
    }
    const double huge[2] = {1, 1.7e308};
    ck_assert_int_eq(mskp_score_channels(g, 2, (mskp_channel_scores[]){{v, 2, huge}, {v, 2, huge}},
                                         MSKP_REDUCE_SUM, scores_of(2, scores), &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_ptr_nonnull(strstr(err.text, "unit 1: no double can hold the sum of its 2"));
    /* In any order: what one infinity makes of sums that no double holds. */
    for (int first = 0; first < 3; first++) {
        mskp_channel_scores three[3];
        for (int i = 0; i < 3; i++)
            three[i] = (mskp_channel_scores){v, 2, i == first ? down : huge};
        ck_assert_int_eq(
            mskp_score_channels(g, 3, three, MSKP_REDUCE_MEAN, scores_of(2, scores), NULL), 0);
        ck_assert(scores[1] == -(double)INFINITY);
    }
    ck_assert_int_eq(mskp_score_channels(g, 2, given, MSKP_REDUCE_MAX, scores_of(2, scores), NULL),
                     MSKP_OK);
    ck_assert(scores[0] == 2 && scores[1] == (double)INFINITY);
    mskp_graph_destroy(g);
}
END_TEST

/* ---- Products ---- */

/* One unit with four gammas, and four numbers for its channel. */
typedef struct four {
    mskp_graph *graph;
    double gamma[4];
    mskp_tensor values[5];
    mskp_channel_scores given[4];
    double by_norms, by_numbers;
    mskp_error err;
} four;

static void four_begin(four *f)
{
    char name[] = "gamma0";
    memset(f, 0, sizeof *f);
    f->graph = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(f->graph, "v", 1, 0, NULL);
    for (size_t i = 0; i < 4; i++, name[5]++) {
        const mskp_param p = mskp_parameter(f->graph, name, 1, (size_t[]){1});
        ck_assert_int_eq(mskp_bind(f->graph, p, 0, MSKP_ROLE_SCALE, v), MSKP_OK);
        f->values[i + 1] = (mskp_tensor){.data = &f->gamma[i], .dtype = MSKP_DTYPE_F64};
        f->given[i] = (mskp_channel_scores){v, 1, &f->gamma[i]};
    }
    ck_assert_int_eq(mskp_graph_finish(f->graph, NULL), MSKP_OK);
}

/* The factors, beginning with number `first`. The magnitudes of gammas are multiplied if `norms`,
 * otherwise the numbers as they are. */
static mskp_status four_score(four *f, const double factor[4], size_t first, bool norms)
{
    const mskp_scoring how = {.reduce = MSKP_REDUCE_PRODUCT};
    for (size_t i = 0; i < 4; i++) f->gamma[i] = factor[(first + i) % 4];
    f->by_norms = f->by_numbers = 7;
    if (norms)
        return mskp_score(f->graph, &how, set_by_id(4, f->values), scores_of(1, &f->by_norms),
                          &f->err);
    return mskp_score_channels(f->graph, 4, f->given, MSKP_REDUCE_PRODUCT,
                               scores_of(1, &f->by_numbers), &f->err);
}

/* In any order, also where the product of some factors leaves the range of a double. */
START_TEST(products)
{
    const double infinity = (double)INFINITY;
    const struct {
        double factor[4], product; /* powers of 2, so products are exact; NaN: none */
        const char *words;
    } cases[] = {
        {{0x1p-900, 0x1p-900, -0x1p1000, 0x1p1000}, -0x1p200, ""},
        {{0x1p-1074, 0x1p-1074, 0x1p1023, 0x1p1023}, 0x1p-102, ""},
        {{0x1p-900, 0x1p-900, 1, -1}, -0.0, ""},
        {{0x1p-600, 0x1p-470, 1, 1}, 0x1p-1070, ""}, /* a denormal number */
        {{0, 0x1p1000, 0x1p1000, 0x1p1000}, 0, ""},
        {{0x1p600, 0x1p600, 1, 1}, (double)NAN, "no double can hold the product of its 4"},
        {{0x1p1000, 0x1p1000, 0x1p1000, 2}, (double)NAN, "no double can hold the product of its 4"},
        {{0x1p-1000, 0x1p-1000, 0x1p-1000, 2}, 0, ""},
        {{infinity, 0x1p-1074, -2, 1}, -infinity, ""},
        {{infinity, -infinity, 0x1p1000, -0x1p1000}, infinity, ""},
        {{-infinity, 0, 1, 1}, (double)NAN, "0 and an infinity among its 4"},
    };
    four f;
    four_begin(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t first = 0; first < 4; first++) {
            const double expected = cases[i].product;
            bool finite = isfinite(expected);
            for (size_t k = 0; k < 4; k++) finite = finite && isfinite(cases[i].factor[k]);
            mskp_status status = four_score(&f, cases[i].factor, first, false);
            ck_assert_int_eq(status, isnan(expected) ? MSKP_ERROR_BAD_NUMBER : MSKP_OK);
            ck_assert_msg(f.by_numbers == (isnan(expected) ? 7 : expected), "%zu: %g, not %g", i,
                          f.by_numbers, expected);
            if (status) ck_assert_msg(strstr(f.err.text, cases[i].words) != NULL, "%s", f.err.text);
            status = four_score(&f, cases[i].factor, first, true);
            ck_assert_int_eq(status, finite ? MSKP_OK : MSKP_ERROR_BAD_NUMBER);
            ck_assert_msg(f.by_norms == (finite ? fabs(expected) : 7), "%zu: %g, not %g", i,
                          f.by_norms, fabs(expected));
        }
    mskp_graph_destroy(f.graph);
}
END_TEST

/* ---- Rows longer than what is summed at once ---- */

/* Whole numbers, so that sums are exact in any order. */
static double whole(const size_t index[MSKP_MAX_DIMS])
{
    return (double)((index[0] * 7919 + index[1] * 104729 + index[2] * 31) % 2001) - 1000;
}

START_TEST(long_rows)
{
    enum { OUT = 5, IN = 1403, TAPS = 3 };
    static const uint32_t orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {2, 1, 0}};
    static double row[OUT], column[IN], got[OUT + IN];
    const size_t shape[MSKP_MAX_DIMS] = {OUT, IN, TAPS};
    const bool squared = _i % 2;
    const mskp_dtype dtype = _i / 2 % 2 ? MSKP_DTYPE_F64 : MSKP_DTYPE_F32;
    mskp_graph *graph = mskp_graph_create(NULL);
    const mskp_param w = mskp_parameter(graph, "w", 3, shape);
    const mskp_value in = mskp_fresh(graph, "in", IN, 1, (size_t[]){9});
    mskp_conv(graph, "conv", in, &(mskp_conv_desc){.weight = w});
    mskp_tensor values[2] = {{0}};
    size_t index[MSKP_MAX_DIMS] = {0};
    ck_assert_int_eq(mskp_graph_finish(graph, NULL), MSKP_OK);
    ck_assert_uint_eq(mskp_graph_counts(graph).units, OUT + IN);
    void *data = malloc(OUT * IN * TAPS * sizeof(double));
    ck_assert_ptr_nonnull(data);
    mskp_param_view(graph, w, orders[_i / 4], data, dtype, &values[1], NULL);
    memset(row, 0, sizeof row);
    memset(column, 0, sizeof column);
    do {
        const double x = whole(index), part = squared ? x * x : fabs(x);
        view_set(&values[1], index, x);
        row[index[0]] += part;
        column[index[1]] += part;
    } while (next_index(3, shape, index));
    const uint32_t *unit[2] = {mskp_param_units(graph, w, 0, NULL, NULL),
                               mskp_param_units(graph, w, 1, NULL, NULL)};
    const mskp_magnitude norm = squared ? MSKP_MAGNITUDE_L2 : MSKP_MAGNITUDE_L1;
    for (uint32_t roles = 1; roles <= 3; roles++) { /* filters, consumers, both */
        const mskp_scoring how = {.roles = roles, .magnitude = norm, .reduce = MSKP_REDUCE_JOINT};
        ck_assert_int_eq(
            mskp_score(graph, &how, set_by_id(1, values), scores_of(OUT + IN, got), NULL), MSKP_OK);
        for (size_t i = 0; i < OUT + IN; i++) {
            const bool is_row = i < OUT;
            const double sum = is_row ? row[i] : column[i - OUT];
            const double score = got[is_row ? unit[0][i] : unit[1][i - OUT]];
            if (!(roles & (is_row ? MSKP_ROLE_FILTER : MSKP_ROLE_CONSUMER)))
                ck_assert(score == (double)INFINITY);
            else
                ck_assert_double_eq(score, squared ? sqrt(sum) : sum);
        }
    }
    free(data);
    mskp_graph_destroy(graph);
}
END_TEST

/* ---- The caller's numbers ---- */

typedef struct own_numbers {
    trial t;
    size_t n;
    mskp_channel_scores given[4];
    double *scores;
} own_numbers;

static void own_numbers_begin(own_numbers *o, size_t k)
{
    trial *t = &o->t;
    trial_begin(t, test_seed() * 1000000 + k, NULL, NULL);
    o->n = rng_from(&t->r, 1, 4);
    for (size_t j = 0; j < o->n; j++) {
        const size_t v = rng_from(&t->r, 1, t->model.values), c = t->model.value[v].n;
        double *numbers = arena_get(&t->mem, c, sizeof *numbers);
        for (size_t i = 0; i < c; i++) numbers[i] = exact_number(&t->r);
        o->given[j] = (mskp_channel_scores){{(uint32_t)v}, c, numbers};
    }
    o->scores = arena_get(&t->mem, t->units, sizeof *o->scores);
}

/* One unit's numbers, by the words of the header. */
static double slow_reduce(const own_numbers *o, mskp_reduce reduce, uint32_t unit)
{
    double sum = 0, most = -(double)INFINITY, least = (double)INFINITY, product = 1;
    size_t seen = 0;
    for (size_t j = 0; j < o->n; j++)
        for (size_t i = 0; i < o->given[j].n; i++) {
            if (o->t.model.value[o->given[j].value.id].unit[i] != unit) continue;
            sum += o->given[j].channel[i];
            most = fmax(most, o->given[j].channel[i]);
            least = fmin(least, o->given[j].channel[i]);
            product *= o->given[j].channel[i];
            seen++;
        }
    if (!seen) return (double)INFINITY;
    return reduce == MSKP_REDUCE_SUM       ? sum
           : reduce == MSKP_REDUCE_MEAN    ? sum / (double)seen
           : reduce == MSKP_REDUCE_MAX     ? most
           : reduce == MSKP_REDUCE_PRODUCT ? product
                                           : least;
}

START_TEST(channel_numbers_are_reduced)
{
    for (size_t k = 0; k < test_count(400); k++) {
        own_numbers o;
        own_numbers_begin(&o, k);
        const mskp_scores scores = scores_of(o.t.units, o.scores);
        for (int reduce = MSKP_REDUCE_SUM; reduce <= MSKP_REDUCE_PRODUCT; reduce++) {
            if (reduce == MSKP_REDUCE_JOINT || reduce == MSKP_REDUCE_VOTE) continue;
            REQUIRE_OK(
                mskp_score_channels(o.t.graph, o.n, o.given, (mskp_reduce)reduce, scores, NULL));
            for (uint32_t u = 0; u < o.t.units; u++) {
                const double expected = slow_reduce(&o, (mskp_reduce)reduce, u);
                const bool product = reduce == MSKP_REDUCE_PRODUCT;
                REQUIRE(o.scores[u] == expected ||
                            (product && fabs(o.scores[u] - expected) <= 1e-14 * fabs(expected)),
                        "reduce %d, unit %u: %g, not %g", reduce, u, o.scores[u], expected);
            }
        }
        REQUIRE_OK(mskp_score_channels(o.t.graph, 0, NULL, MSKP_REDUCE_SUM, scores, NULL));
        for (uint32_t u = 0; u < o.t.units; u++)
            REQUIRE(o.scores[u] == (double)INFINITY, "unit %u scores %g by nothing", u,
                    o.scores[u]);
        trial_end(&o.t);
    }
}
END_TEST

/* One call that is refused: the last of the caller's arrays, and what else is wrong. */
typedef struct wrong_numbers {
    const char *what;
    mskp_channel_scores last;
    mskp_reduce reduce;
    mskp_scores scores;
    mskp_status code; /* MSKP_OK: the header leaves open which */
    const char *words;
} wrong_numbers;

static void require_refused(own_numbers *o, const wrong_numbers *w)
{
    const double *before = arena_copy(&o->t.mem, o->scores, o->t.units, sizeof *before);
    mskp_channel_scores *last = &o->given[o->n - 1];
    const mskp_channel_scores good = *last;
    mskp_error err = {0};
    *last = w->last;
    const mskp_status got =
        mskp_score_channels(o->t.graph, o->n, o->given, w->reduce, w->scores, &err);
    *last = good;
    REQUIRE(w->code ? got == w->code : got != MSKP_OK, "%s: %s (%s)", w->what,
            mskp_status_text(got), err.text);
    REQUIRE(err.status == got && strstr(err.text, w->words), "%s: %s", w->what, err.text);
    REQUIRE(!memcmp(before, o->scores, o->t.units * sizeof *before), "%s: scores changed", w->what);
}

START_TEST(wrong_channel_numbers_change_nothing)
{
    const mskp_status bad = MSKP_ERROR_BAD_ARGUMENT;
    const mskp_reduce sum = MSKP_REDUCE_SUM;
    for (size_t k = 0; k < test_count(400); k++) {
        own_numbers o;
        own_numbers_begin(&o, k);
        const mskp_scores scores = scores_of(o.t.units, o.scores);
        const mskp_scores missing = {o.t.units, NULL}, longer = {o.t.units + 1, o.scores};
        REQUIRE_OK(mskp_score_channels(o.t.graph, o.n, o.given, MSKP_REDUCE_MIN, scores, NULL));
        const mskp_channel_scores g = o.given[o.n - 1];
        const mskp_value beyond = {(uint32_t)o.t.model.values + 1}, none = {0};
        double *nan = arena_copy(&o.t.mem, g.channel, g.n, sizeof *nan);
        nan[g.n - 1] = (double)NAN;
        const wrong_numbers cases[] = {
            {"NaN", {g.value, g.n, nan}, sum, scores, MSKP_ERROR_BAD_NUMBER, ""},
            {"one channel more", {g.value, g.n + 1, g.channel}, sum, scores, MSKP_OK, ""},
            {"a foreign value", {beyond, g.n, g.channel}, sum, scores, bad, ""},
            {"no value", {none, g.n, g.channel}, sum, scores, bad, ""},
            {"no numbers", {g.value, g.n, NULL}, sum, scores, bad, "channel is NULL"},
            {"no scores", g, sum, missing, bad, "scores is NULL"},
            {"a joint norm", g, MSKP_REDUCE_JOINT, scores, MSKP_OK, ""},
            {"a vote", g, MSKP_REDUCE_VOTE, scores, bad, "or PRODUCT (6), not 5"},
            {"no reduction", g, (mskp_reduce)7, scores, bad, "not 7"},
            {"another length", g, sum, longer, MSKP_ERROR_OTHER_NETWORK, ""},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) require_refused(&o, &cases[i]);
        REQUIRE(mskp_score_channels(o.t.graph, o.n, NULL, MSKP_REDUCE_SUM, scores, NULL) == bad,
                "NULL was taken");
        trial_end(&o.t);
    }
}
END_TEST

START_TEST(threads_do_not_show)
{
    for (size_t k = 0; k < test_count(60); k++) {
        trial a, b;
        trial_begin(&a, test_seed() * 1000000 + k, NULL, NULL);
        trial_begin(&b, test_seed() * 1000000 + k, NULL, &backwards_services);
        set values = set_make(&a.mem, &a.r, a.net, MSKP_DTYPE_F32, VIEW_STYLES);
        set_numbers(&values, a.net);
        double *x = arena_get(&a.mem, a.units, sizeof *x), *y = arena_get(&a.mem, a.units, 8);
        for (int reduce = 0; reduce <= MSKP_REDUCE_PRODUCT; reduce++) {
            mskp_scoring how = {.magnitude = MSKP_MAGNITUDE_L2,
                                .reduce = (mskp_reduce)reduce,
                                .roles = MSKP_ROLES_UNIT,
                                .vote_threshold = reduce == MSKP_REDUCE_VOTE ? 0.5 : 0};
            REQUIRE_OK(mskp_score(a.graph, &how,
                                  set_by_id(mskp_graph_counts(a.graph).params, values.views),
                                  scores_of(a.units, x), NULL));
            REQUIRE_OK(mskp_score(b.graph, &how,
                                  set_by_id(mskp_graph_counts(b.graph).params, values.views),
                                  scores_of(a.units, y), NULL));
            REQUIRE(memcmp(x, y, a.units * sizeof *x) == 0, "reduce %d differs", reduce);
        }
        trial_end(&a);
        trial_end(&b);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("score");
    TCase *tcase = tcase_create("score");
    tcase_set_timeout(tcase, 600);
    /* Once more with denormal numbers switched off. */
    tcase_add_loop_test(tcase, scores_are_sums_over_elements, 0, 2);
    tcase_add_loop_test(tcase, bad_numbers_and_missing_data, 0, 2);
    tcase_add_loop_test(tcase, half_precision_is_decoded, 0, 4);
    tcase_add_test(tcase, infinities_of_both_signs);
    tcase_add_test(tcase, products);
    tcase_add_loop_test(tcase, long_rows, 0, 16);
    tcase_add_test(tcase, options_are_checked);
    tcase_add_test(tcase, scores_that_are_no_numbers);
    tcase_add_test(tcase, slices_without_a_sum);
    tcase_add_test(tcase, channel_numbers_are_reduced);
    tcase_add_test(tcase, wrong_channel_numbers_change_nothing);
    tcase_add_test(tcase, threads_do_not_show);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

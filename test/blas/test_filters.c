/*
 * Scores that compare filters, against distances and angles that are computed one by one from the
 * words of the header, on random networks in every type and kind of view.
 */
#include "interpreter/elements.h"

#include "blas/any_tensor.h"
#include "blas/failing.h"
#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mskp/blas.h"

static const mskp_resemblance kinds[] = {MSKP_RESEMBLANCE_DISTANCE, MSKP_RESEMBLANCE_COSINE};
enum { REDUCES = 4 };

/* ---- The slow model ---- */

/* A matrix of rows of doubles; of a weight: one row for each index on the axis. */
typedef struct matrix {
    size_t rows, columns;
    double *row;
} matrix;

static matrix matrix_of(arena *mem, const net_param *q, uint32_t axis)
{
    size_t index[MSKP_MAX_DIMS] = {0}, e = 0;
    matrix m = {.rows = q->shape[axis]};
    m.columns = shape_elements(q->ndim, q->shape) / m.rows;
    m.row = arena_get(mem, m.rows * m.columns, sizeof *m.row);
    size_t *used = arena_get(mem, m.rows, sizeof *used);
    do {
        const size_t r = index[axis];
        m.row[r * m.columns + used[r]++] = q->data[e++];
    } while (next_index(q->ndim, q->shape, index));
    return m;
}

static double norm_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

static double distance(const double *x, const double *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (x[i] - y[i]) * (x[i] - y[i]);
    return sqrt(sum);
}

/* 1 - cosine, as half of the squared distance of the unit vectors. */
static double apart(const double *x, const double *y, size_t n)
{
    const double a = norm_of(x, n), b = norm_of(y, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (x[i] / a - y[i] / b) * (x[i] / a - y[i] / b);
    return sum / 2;
}

static double number_of(const matrix *m, mskp_resemblance kind, size_t i)
{
    const double *x = m->row + i * m->columns;
    double sum = 0, least = (double)INFINITY;
    if (kind == MSKP_RESEMBLANCE_COSINE && norm_of(x, m->columns) == 0) return 0;
    for (size_t j = 0; j < m->rows; j++) {
        const double *y = m->row + j * m->columns;
        if (j == i) continue;
        if (kind == MSKP_RESEMBLANCE_DISTANCE)
            sum += distance(x, y, m->columns);
        else if (norm_of(y, m->columns) > 0)
            least = fmin(least, apart(x, y, m->columns));
    }
    if (kind == MSKP_RESEMBLANCE_DISTANCE) return sum;
    return isinf(least) ? 1 : least;
}

static bool has_filters(const model *m, size_t p, uint32_t axis)
{
    const model_axis *a = &m->param[p].axis[axis];
    for (size_t i = 0; a->unit && (a->roles & MSKP_ROLE_FILTER) && i < m->param[p].shape[axis]; i++)
        if (a->unit[i] != MSKP_PINNED) return true;
    return false;
}

static bool is_read(const model *m, size_t p)
{
    bool any = false;
    for (uint32_t d = 0; d < m->param[p].ndim; d++) any |= has_filters(m, p, d);
    return any;
}

/* expected[u] <- the scores. */
static void slow_scores(trial *t, mskp_resemblance kind, mskp_reduce reduce, double *expected)
{
    const model *m = &t->model;
    size_t *count = arena_get(&t->mem, t->units, sizeof *count);
    for (size_t u = 0; u < t->units; u++) expected[u] = reduce == MSKP_REDUCE_MIN ? 1e300 : 0;
    for (size_t p = 1; p <= m->params; p++)
        for (uint32_t d = 0; d < m->param[p].ndim; d++) {
            if (!has_filters(m, p, d)) continue;
            const matrix rows = matrix_of(&t->mem, &t->net->param[p], d);
            for (size_t i = 0; i < rows.rows; i++) {
                const uint32_t u = m->param[p].axis[d].unit[i];
                if (u == MSKP_PINNED) continue;
                const double x = number_of(&rows, kind, i);
                count[u]++;
                if (reduce == MSKP_REDUCE_MAX)
                    expected[u] = fmax(expected[u], x);
                else if (reduce == MSKP_REDUCE_MIN)
                    expected[u] = fmin(expected[u], x);
                else
                    expected[u] += x;
            }
        }
    for (size_t u = 0; u < t->units; u++) {
        if (!count[u]) expected[u] = (double)INFINITY;
        if (reduce == MSKP_REDUCE_MEAN && count[u]) expected[u] /= (double)count[u];
    }
}

/* ---- Random networks ---- */

/* Some rows become copies, multiples, negatives or neighbours of others, and some become 0. */
static void resemble(trial *t)
{
    for (size_t p = 1; p <= t->net->params; p++) {
        net_param *q = &t->net->param[p];
        for (uint32_t d = 0; d < q->ndim; d++) {
            if (!has_filters(&t->model, p, d) || !rng_chance(&t->r, 0.6)) continue;
            static const double factors[] = {1, 2, -1, 0, 0.5};
            const size_t from = rng_below(&t->r, q->shape[d]), to = rng_below(&t->r, q->shape[d]);
            const double factor = factors[rng_below(&t->r, 5)];
            size_t index[MSKP_MAX_DIMS] = {0}, inner = 1, e = 0;
            for (uint32_t k = d + 1; k < q->ndim; k++) inner *= q->shape[k];
            do {
                if (index[d] == to) q->data[e] = factor * q->data[e + inner * from - inner * to];
                e++;
            } while (next_index(q->ndim, q->shape, index));
        }
    }
}

static bool is_near(double x, double expected)
{
    return (isinf(expected) && isinf(x)) || fabs(x - expected) <= 1e-12 * fmax(1, fabs(expected));
}

START_TEST(scores_are_those_of_the_slow_model)
{
    size_t finite = 0, zeros = 0, count = test_count(300);
    float_mode(_i);
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, k % 2 ? &backwards_services : NULL);
        exact_net(t.net, &t.r);
        resemble(&t);
        const set s = exact_set(&t, t.net);
        const size_t params = mskp_graph_counts(t.graph).params;
        double *scores = arena_get(&t.mem, t.units, sizeof *scores);
        double *expected = arena_get(&t.mem, t.units, sizeof *expected);
        for (int form = 0; form < 2 * REDUCES; form++) {
            mskp_error err = {0};
            const mskp_reduce reduce = (mskp_reduce)(form / 2);
            REQUIRE(!mskp_score_filters(NULL, t.graph, kinds[form % 2], reduce,
                                        set_by_id(params, s.views), scores_of(t.units, scores),
                                        &err),
                    "%s", err.text);
            slow_scores(&t, kinds[form % 2], reduce, expected);
            for (size_t u = 0; u < t.units; u++) {
                REQUIRE(is_near(scores[u], expected[u]), "form %d, unit %zu: %.17g, not %.17g",
                        form, u, scores[u], expected[u]);
                REQUIRE(expected[u] != 0 || scores[u] == 0, "form %d, unit %zu: %.17g, not 0", form,
                        u, scores[u]);
                finite += isfinite(expected[u]) ? 1 : 0;
                zeros += expected[u] == 0;
            }
        }
        trial_end(&t);
    }
    float_mode(0);
    REQUIRE(count < 50 || (finite > count && zeros > count), "%zu finite scores, %zu zeros", finite,
            zeros);
}
END_TEST

/* One element of each parameter becomes a bad number, or the data are not there. */
START_TEST(bad_numbers_and_missing_data)
{
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    size_t refused = 0, ignored = 0;
    const size_t count = test_count(60);
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        exact_net(t.net, &t.r);
        const set s = exact_set(&t, t.net);
        const mskp_tensors values = set_by_id(mskp_graph_counts(t.graph).params, s.views);
        double *scores = arena_get(&t.mem, t.units, sizeof *scores);
        double *before = arena_get(&t.mem, t.units, sizeof *before);
        for (size_t p = 1; p <= t.net->params; p++) {
            const net_param *q = &t.net->param[p];
            const mskp_resemblance kind = kinds[rng_below(&t.r, 2)];
            mskp_tensor v = view_resolve(&s.views[p], q->ndim, q->shape);
            size_t index[MSKP_MAX_DIMS] = {0};
            char element[128] = "";
            for (uint32_t d = 0; d < q->ndim; d++) {
                index[d] = rng_below(&t.r, q->shape[d]);
                snprintf(element + strlen(element), sizeof element - strlen(element),
                         d ? ",%zu" : "element %zu", index[d]);
            }
            const bool read = is_read(&t.model, p);
            const double good = view_get(&v, index);
            for (int missing = 0; missing < 2; missing++) {
                mskp_error err = {0};
                void *data = s.views[p].data;
                view_set(&v, index, missing ? good : bad[rng_below(&t.r, 3)]);
                if (missing) s.views[p].data = NULL;
                const mskp_status status = mskp_score_filters(
                    NULL, t.graph, kind, MSKP_REDUCE_SUM, values, scores_of(t.units, scores), &err);
                s.views[p].data = data;
                view_set(&v, index, good);
                REQUIRE(status == (!read     ? MSKP_OK
                                   : missing ? MSKP_ERROR_NO_DATA
                                             : MSKP_ERROR_BAD_NUMBER),
                        "parameter %zu: %s", p, err.text);
                REQUIRE(!read || !memcmp(scores, before, t.units * sizeof *scores), "changed");
                REQUIRE(!read ||
                            strstr(err.text, mskp_param_name(t.graph, (mskp_param){(uint32_t)p})),
                        "%s", err.text);
                REQUIRE(!read || missing || strstr(err.text, element), "%s: %s", element, err.text);
                memset(scores, 0, t.units * sizeof *scores);
                refused += read, ignored += !read;
            }
        }
        trial_end(&t);
    }
    REQUIRE(count < 20 || (refused >= count / 2 && ignored >= count / 2), "%zu, %zu", refused,
            ignored);
}
END_TEST

/* ---- One weight ---- */

typedef struct layer {
    mskp_graph *graph;
    mskp_value value;
    mskp_tensor view;
} layer;

/* A weight [n][parts][k / parts] whose first `pinned` rows make channels that stay. */
static layer layer_make_in(size_t n, size_t parts, size_t k, size_t pinned)
{
    layer l = {.graph = mskp_graph_create(NULL)};
    l.value = mskp_fresh(l.graph, "v", n, 0, NULL);
    const mskp_param p = mskp_parameter(l.graph, "weight", 3, (size_t[]){n, parts, k / parts});
    ck_assert_int_eq(mskp_bind(l.graph, p, 0, MSKP_ROLE_FILTER, l.value), MSKP_OK);
    for (size_t i = 0; i < pinned; i++)
        ck_assert_int_eq(mskp_pin(l.graph, mskp_slice(l.graph, NULL, l.value, i, 1)), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(l.graph, NULL), MSKP_OK);
    return l;
}

static layer layer_make(size_t n, size_t k, size_t pinned)
{
    return layer_make_in(n, 1, k, pinned);
}

static mskp_status layer_score(layer *l, mskp_resemblance kind, size_t units, double *score,
                               mskp_error *err)
{
    return mskp_score_filters(NULL, l->graph, kind, MSKP_REDUCE_SUM, (mskp_tensors){1, &l->view},
                              (mskp_scores){units, score}, err);
}

/* More rows and columns than are compared at a time, in three layouts: packed; columns one after
 * the other; and rows in three parts with gaps, so that a panel ends within a part. Rows 3 and 2090
 * are equal, 5 and 1080 nearly, and 7 is 2091 times 3. */
START_TEST(large_weights)
{
    enum { N = 2100, K = 900, PART = K / 3, GAP = 7 };
    static const ptrdiff_t strides[][3] = {
        {K, PART, 1}, {1, (ptrdiff_t)N * PART, N}, {K + 3 * GAP, PART + GAP, 1}};
    static const double tolerance[] = {1e-12, 1e-9};
    if (_i >= 2 && test_count(100) < 10) return; /* under valgrind */
    const ptrdiff_t *const stride = strides[_i / 2];
    arena mem = {0};
    rng r = rng_make(test_seed());
    matrix m = {.rows = N, .columns = K};
    m.row = arena_get(&mem, (size_t)N * K, sizeof *m.row);
    for (size_t i = 0; i < (size_t)N * K; i++) m.row[i] = rng_real(&r, -1, 1);
    memcpy(m.row + (size_t)2090 * K, m.row + (size_t)3 * K, K * sizeof *m.row);
    for (size_t i = 0; i < K; i++) {
        m.row[1080 * K + i] = m.row[5 * K + i] * (1 + rng_real(&r, -1e-7, 1e-7));
        m.row[7 * K + i] = 3 * m.row[2091 * K + i];
    }
    double *w = arena_get(&mem, (size_t)N * (K + 3 * GAP), sizeof *w);
    for (size_t i = 0; i < (size_t)N * K; i++)
        w[(ptrdiff_t)(i / K) * stride[0] + (ptrdiff_t)(i % K / PART) * stride[1] +
          (ptrdiff_t)(i % PART) * stride[2]] = m.row[i];
    layer l = layer_make_in(N, 3, K, 0);
    l.view = (mskp_tensor){.data = w, .dtype = MSKP_DTYPE_F64, .ndim = 3, .shape = {N, 3, PART}};
    memcpy(l.view.stride, stride, 3 * sizeof *stride);
    double *score = arena_get(&mem, N, sizeof *score);
    mskp_error err = {0};
    const mskp_resemblance kind = kinds[_i % 2];
    ck_assert_msg(!layer_score(&l, kind, N, score, &err), "%s", err.text);
    static const size_t rows[] = {0, 3, 5, 7, 500, 1023, 1024, 1080, 1500, 2047, 2090, 2091, 2099};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        const double expected = number_of(&m, kind, rows[k]);
        ck_assert_msg(fabs(score[rows[k]] - expected) <= tolerance[_i % 2] * expected + 1e-30,
                      "row %zu: %.17g, not %.17g", rows[k], score[rows[k]], expected);
    }
    if (_i % 2) ck_assert(score[3] == 0 && score[2090] == 0);
    arena_free(&mem);
    mskp_graph_destroy(l.graph);
}
END_TEST

/* Filters that differ in the last bit have the distance of that bit, and equal ones exactly 0. */
START_TEST(near_filters)
{
    float w[3][40];
    double score[3];
    for (int i = 0; i < 40; i++) w[0][i] = w[1][i] = w[2][i] = 1.0F + (float)i / 64;
    layer l = layer_make(3, 40, 0);
    l.view.data = w;
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(layer_score(&l, kinds[k], 3, score, NULL), MSKP_OK);
        ck_assert(score[0] == 0 && score[1] == 0 && score[2] == 0);
    }
    w[1][3] = nextafterf(w[1][3], 2);
    ck_assert_int_eq(layer_score(&l, MSKP_RESEMBLANCE_DISTANCE, 3, score, NULL), MSKP_OK);
    ck_assert(score[0] == 0x1p-23 && score[1] == 0x1p-22 && score[2] == 0x1p-23);
    mskp_graph_destroy(l.graph);
}
END_TEST

/* Pinned rows are neighbours, and get no score. */
START_TEST(pinned_filters)
{
    double w[3][2] = {{0, 0}, {3, 4}, {6, 8}}, score[2];
    layer l = layer_make(3, 2, 1);
    l.view = (mskp_tensor){.data = w, .dtype = MSKP_DTYPE_F64};
    ck_assert_uint_eq(mskp_graph_counts(l.graph).units, 2);
    ck_assert_int_eq(layer_score(&l, MSKP_RESEMBLANCE_DISTANCE, 2, score, NULL), MSKP_OK);
    ck_assert(score[0] == 10 && score[1] == 15);
    w[0][0] = (double)NAN;
    ck_assert_int_eq(layer_score(&l, MSKP_RESEMBLANCE_DISTANCE, 2, score, NULL),
                     MSKP_ERROR_BAD_NUMBER);
    mskp_graph_destroy(l.graph);
    /* Only pinned: not read. */
    l = layer_make(2, 2, 2);
    l.view = (mskp_tensor){0};
    ck_assert_int_eq(layer_score(&l, MSKP_RESEMBLANCE_DISTANCE, 0, score, NULL), MSKP_OK);
    mskp_graph_destroy(l.graph);
}
END_TEST

/* Units without a filter: +infinity. */
START_TEST(units_without_filters)
{
    double w[2][2] = {{3, 4}, {6, 8}}, score[3];
    mskp_tensor view[2] = {{.data = w, .dtype = MSKP_DTYPE_F64}, {0}};
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param weight = mskp_parameter(g, "weight", 2, (size_t[]){2, 2});
    const mskp_param scale = mskp_parameter(g, "scale", 1, (size_t[]){1});
    const mskp_value filters = mskp_fresh(g, "v", 2, 0, NULL),
                     none = mskp_fresh(g, "w", 1, 0, NULL);
    ck_assert_int_eq(mskp_bind(g, weight, 0, MSKP_ROLE_FILTER, filters), MSKP_OK);
    ck_assert_int_eq(mskp_bind(g, scale, 0, MSKP_ROLE_SCALE, none), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_score_filters(NULL, g, MSKP_RESEMBLANCE_DISTANCE, MSKP_REDUCE_SUM,
                                        (mskp_tensors){2, view}, scores_of(3, score), NULL),
                     MSKP_OK);
    ck_assert(score[0] == 5 && score[1] == 5 && isinf(score[2]));
    mskp_graph_destroy(g);
}
END_TEST

/* One filter, filters of zeros, and opposite ones. */
START_TEST(cosines_at_the_ends)
{
    double w[4][2] = {{3, 4}, {-6, -8}, {0, 0}, {0, 0}}, score[4];
    static const double expected[3][4] = {{1}, {2, 2}, {2, 2, 0, 0}};
    static const size_t rows[] = {1, 2, 4};
    for (size_t k = 0; k < 3; k++) {
        layer l = layer_make(rows[k], 2, 0);
        l.view = (mskp_tensor){.data = w, .dtype = MSKP_DTYPE_F64};
        ck_assert_int_eq(layer_score(&l, MSKP_RESEMBLANCE_COSINE, rows[k], score, NULL), MSKP_OK);
        for (size_t i = 0; i < rows[k]; i++) ck_assert(fabs(score[i] - expected[k][i]) < 1e-15);
        mskp_graph_destroy(l.graph);
    }
    layer l = layer_make(1, 2, 0);
    l.view = (mskp_tensor){.data = w, .dtype = MSKP_DTYPE_F64};
    ck_assert_int_eq(layer_score(&l, MSKP_RESEMBLANCE_DISTANCE, 1, score, NULL), MSKP_OK);
    ck_assert(score[0] == 0);
    mskp_graph_destroy(l.graph);
}
END_TEST

/* Numbers whose squares no double can hold, and whose squares vanish. */
START_TEST(large_and_small_numbers)
{
    static const double sizes[] = {1, 1e300, 1e-300, 5e-324, 0x1p-1040};
    double score[3] = {7, 7, 7};
    mskp_error err = {0};
    layer l = layer_make(3, 2, 0);
    for (int i = 0; i < 5; i++) {
        const double s = sizes[i];
        double w[3][2] = {{0, 0}, {3 * s, 4 * s}, {6 * s, 8 * s}};
        l.view = (mskp_tensor){.data = w, .dtype = MSKP_DTYPE_F64};
        ck_assert_int_eq(layer_score(&l, MSKP_RESEMBLANCE_DISTANCE, 3, score, NULL), MSKP_OK);
        ck_assert_msg(fabs(score[0] / (15 * s) - 1) < 1e-15 &&
                          fabs(score[1] / (10 * s) - 1) < 1e-15,
                      "%g: %g %g", s, score[0], score[1]);
        ck_assert_int_eq(layer_score(&l, MSKP_RESEMBLANCE_COSINE, 3, score, NULL), MSKP_OK);
        ck_assert(score[0] == 0 && score[1] == 0 && score[2] == 0);
    }
    /* A small filter beside large ones still has a direction. */
    double mixed[3][2] = {{1e-200, 0}, {0, 1e200}, {0, -1e200}};
    l.view = (mskp_tensor){.data = mixed, .dtype = MSKP_DTYPE_F64};
    ck_assert_int_eq(layer_score(&l, MSKP_RESEMBLANCE_COSINE, 3, score, NULL), MSKP_OK);
    ck_assert(fabs(score[0] - 1) < 1e-15 && fabs(score[1] - 1) < 1e-15);
    score[0] = score[1] = score[2] = 7;
    double large[3][2] = {{1.5e308, 0}, {-1.5e308, 0}, {0, 0}};
    l.view.data = large;
    ck_assert_int_eq(layer_score(&l, MSKP_RESEMBLANCE_DISTANCE, 3, score, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_msg(strstr(err.text, "unit 0: no double can hold"), "%s", err.text);
    ck_assert(score[0] == 7 && score[1] == 7 && score[2] == 7);
    /* The largest numbers, also where denormal scales would be 0. */
    double most[3][2] = {{1.5e308, 0}, {0, 1.5e308}, {0, -1.5e308}};
    l.view.data = most;
    for (int mode = 0; mode < 2; mode++) {
        double cosine[3];
        float_mode(mode);
        const mskp_status status = layer_score(&l, MSKP_RESEMBLANCE_COSINE, 3, cosine, NULL);
        float_mode(0);
        ck_assert_int_eq(status, MSKP_OK);
        ck_assert(fabs(cosine[0] - 1) < 1e-15 && fabs(cosine[1] - 1) < 1e-15);
    }
    /* Denormal floats, which the hardware may read as 0. */
    float tiny[3][2] = {{0, 0}, {0x3p-149F, 0x4p-149F}, {0x6p-149F, 0x8p-149F}};
    l.view = (mskp_tensor){.data = tiny};
    for (int mode = 0; mode < 2; mode++) {
        float_mode(mode);
        const mskp_status status = layer_score(&l, MSKP_RESEMBLANCE_DISTANCE, 3, score, NULL);
        float_mode(0);
        ck_assert_int_eq(status, MSKP_OK);
        ck_assert(score[0] == 0xfp-149 && score[1] == 0xap-149);
    }
    mskp_graph_destroy(l.graph);
}
END_TEST

START_TEST(arguments_are_checked)
{
    double w[3][2] = {{0, 0}, {3, 4}, {6, 8}}, score[3] = {7, 7, 7};
    layer l = layer_make(3, 2, 0);
    l.view = (mskp_tensor){.data = w, .dtype = MSKP_DTYPE_F64};
    mskp_graph *open = mskp_graph_create(NULL);
    const mskp_services half = {.release = failing_release};
    const mskp_scores scores = {3, score};
    mskp_tensors values = {1, &l.view};
    mskp_error err = {0};
#define REFUSED(expected, words, services, graph, kind, reduce, values, scores)               \
    ck_assert_int_eq(mskp_score_filters(services, graph, kind, reduce, values, scores, NULL), \
                     expected);                                                               \
    ck_assert_int_eq(mskp_score_filters(services, graph, kind, reduce, values, scores, &err), \
                     expected);                                                               \
    ck_assert_int_eq(err.status, expected);                                                   \
    ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);                           \
    ck_assert(score[0] == 7 && score[1] == 7 && score[2] == 7)
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "services", &half, l.graph, kinds[0], MSKP_REDUCE_SUM, values,
            scores);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "graph is NULL", NULL, NULL, kinds[0], MSKP_REDUCE_SUM, values,
            scores);
    REFUSED(MSKP_ERROR_BAD_STATE, "not finished", NULL, open, kinds[0], MSKP_REDUCE_SUM, values,
            scores);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "scores is NULL", NULL, l.graph, kinds[0], MSKP_REDUCE_SUM,
            values, ((mskp_scores){3, NULL}));
    REFUSED(MSKP_ERROR_OTHER_NETWORK, "scores has 2 units, the graph has 3", NULL, l.graph,
            kinds[0], MSKP_REDUCE_SUM, values, ((mskp_scores){2, score}));
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "kind is 2, the last is 1", NULL, l.graph, (mskp_resemblance)2,
            MSKP_REDUCE_SUM, values, scores);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "not 4", NULL, l.graph, kinds[0], MSKP_REDUCE_JOINT, values,
            scores);
    REFUSED(MSKP_ERROR_OTHER_NETWORK, "made for 2 parameters, the network has 1", NULL, l.graph,
            kinds[0], MSKP_REDUCE_SUM, ((mskp_tensors){2, &l.view}), scores);
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "values is NULL", NULL, l.graph, kinds[0], MSKP_REDUCE_SUM,
            ((mskp_tensors){1, NULL}), scores);
    l.view.dtype = MSKP_DTYPE_BYTES_8;
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "weight: dtype BYTES_8 in values holds no numbers", NULL,
            l.graph, kinds[0], MSKP_REDUCE_SUM, values, scores);
    l.view.dtype = (mskp_dtype)77;
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, "77 is no dtype", NULL, l.graph, kinds[0], MSKP_REDUCE_SUM,
            values, scores);
    l.view = (mskp_tensor){.data = w, .dtype = MSKP_DTYPE_F64, .elements = 5};
    REFUSED(MSKP_ERROR_BAD_SHAPE, "weight (values): the tensor has 5 elements", NULL, l.graph,
            kinds[0], MSKP_REDUCE_SUM, values, scores);
    l.view = (mskp_tensor){.data = w, .dtype = MSKP_DTYPE_F64, .ndim = 3, .shape = {2, 1, 3}};
    REFUSED(MSKP_ERROR_BAD_SHAPE, "length 2, 3 is expected", NULL, l.graph, kinds[0],
            MSKP_REDUCE_SUM, values, scores);
    mskp_graph_destroy(open);
    mskp_graph_destroy(l.graph);
}
END_TEST

/* Any arguments: an error leaves the scores alone and has a sentence. */
START_TEST(any_arguments)
{
    static const size_t shape[3] = {3, 2, 3};
    size_t good = 0, bad = 0;
    const size_t count = test_count(4000);
    char *buffer = calloc(ANY_BYTES, 1);
    rng r = rng_make(test_seed());
    layer l = layer_make_in(3, 2, 6, 0);
    for (size_t k = 0; k < count; k++) {
        double score[4] = {-1, -1, -1, -1};
        mskp_error err = {0};
        for (size_t i = 0; i < ANY_BYTES; i++)
            buffer[i] = (char)(rng_chance(&r, 0.5) ? rng_next(&r) & 0x3f : 0);
        l.view = any_tensor(&r, buffer, 3, shape);
        const mskp_tensors values = {rng_chance(&r, 0.98) ? 1 : rng_below(&r, 3),
                                     rng_chance(&r, 0.98) ? &l.view : NULL};
        const mskp_scores scores = {rng_chance(&r, 0.98) ? 3 : rng_below(&r, 5),
                                    rng_chance(&r, 0.98) ? score : NULL};
        const mskp_status status = mskp_score_filters(
            rng_chance(&r, 0.5) ? NULL : &backwards_services, rng_chance(&r, 0.98) ? l.graph : NULL,
            (mskp_resemblance)rng_below(&r, rng_chance(&r, 0.98) ? 2 : 4),
            (mskp_reduce)rng_below(&r, rng_chance(&r, 0.98) ? 4 : 8), values, scores, &err);
        ck_assert_int_eq(err.status, status);
        ck_assert((err.text[0] != 0) == (status != MSKP_OK));
        for (size_t i = 0; i < 4; i++) ck_assert(status || i == 3 ? score[i] == -1 : score[i] >= 0);
        good += !status, bad += status != MSKP_OK;
    }
    free(buffer);
    mskp_graph_destroy(l.graph);
    ck_assert_msg(count < 100 || (good > count / 20 && bad > count / 20), "%zu, %zu", good, bad);
}
END_TEST

START_TEST(allocations_fail)
{
    double w[3][2] = {{0, 0}, {3, 4}, {6, 8}}, score[3] = {7, 7, 7};
    layer l = layer_make(3, 2, 0);
    l.view = (mskp_tensor){.data = w, .dtype = MSKP_DTYPE_F64};
    mskp_status status = MSKP_ERROR_NO_MEMORY;
    size_t k = 0;
    while (status) {
        failing_heap heap = {.fail_at = ++k};
        const mskp_services services = failing_services(&heap);
        mskp_error err = {0};
        status = mskp_score_filters(&services, l.graph, kinds[0], MSKP_REDUCE_SUM,
                                    (mskp_tensors){1, &l.view}, (mskp_scores){3, score}, &err);
        ck_assert_uint_eq(heap.live, 0);
        if (!status) break;
        ck_assert_int_eq(status, MSKP_ERROR_NO_MEMORY);
        ck_assert_int_eq(err.status, MSKP_ERROR_NO_MEMORY);
        ck_assert(score[0] == 7 && score[1] == 7 && score[2] == 7);
    }
    ck_assert_uint_gt(k, 3);
    ck_assert(score[0] == 15 && score[1] == 10);
    mskp_graph_destroy(l.graph);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("filters");
    TCase *tcase = tcase_create("filters");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, scores_are_those_of_the_slow_model, 0, 2);
    tcase_add_test(tcase, bad_numbers_and_missing_data);
    tcase_add_loop_test(tcase, large_weights, 0, 6);
    tcase_add_test(tcase, near_filters);
    tcase_add_test(tcase, pinned_filters);
    tcase_add_test(tcase, units_without_filters);
    tcase_add_test(tcase, cosines_at_the_ends);
    tcase_add_test(tcase, large_and_small_numbers);
    tcase_add_test(tcase, arguments_are_checked);
    tcase_add_test(tcase, any_arguments);
    tcase_add_test(tcase, allocations_fail);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

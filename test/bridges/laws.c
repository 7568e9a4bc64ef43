#include "bridges/laws.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- elements of a view, one by one ---- */

typedef struct walk {
    uint32_t ndim;
    size_t shape[MSKP_MAX_DIMS], index[MSKP_MAX_DIMS], at; /* at: number in the logical order */
    ptrdiff_t stride[MSKP_MAX_DIMS];
    const char *name;
    int more;
} walk;

static walk walk_start(const mskp_graph *graph, uint32_t id, const mskp_tensor *t)
{
    walk w = {.more = 1};
    ptrdiff_t packed = 1;
    int strides = 0;
    w.ndim = param_info(graph, (mskp_param){id}, &w.name, w.shape);
    ck_assert_msg(w.ndim > 0, "no parameter %u", id);
    for (uint32_t d = 0; t && t->ndim && d < w.ndim; d++) {
        ck_assert_msg(t->shape[d] == w.shape[d], "%s: axis %u has length %zu, expected %zu", w.name,
                      d, t->shape[d], w.shape[d]);
        strides |= t->stride[d] != 0;
    }
    for (uint32_t d = w.ndim; d-- > 0;) {
        w.stride[d] = strides ? t->stride[d] : packed;
        packed *= (ptrdiff_t)w.shape[d];
    }
    return w;
}

static void walk_on(walk *w)
{
    w->at++;
    for (uint32_t d = w->ndim; d-- > 0;) {
        if (++w->index[d] < w->shape[d]) return;
        w->index[d] = 0;
    }
    w->more = 0;
}

static float *element(const walk *w, const mskp_tensor *t)
{
    ptrdiff_t offset = 0;
    for (uint32_t d = 0; d < w->ndim; d++) offset += (ptrdiff_t)w->index[d] * w->stride[d];
    return (float *)t->data + offset;
}

/* Bits, so that NaN equals itself and -0 differs from 0. */
static int same(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* ---- copies ---- */

float **law_copy(const mskp_graph *graph, const mskp_tensor *set)
{
    const size_t params = mskp_graph_counts(graph).params;
    float **copy = calloc(params + 1, sizeof *copy);
    ck_assert_ptr_nonnull(copy);
    for (uint32_t p = 1; p <= params; p++) {
        size_t n = 1;
        if (!set[p].data) continue;
        ck_assert_int_eq(set[p].dtype, MSKP_DTYPE_F32);
        walk w = walk_start(graph, p, &set[p]);
        for (uint32_t d = 0; d < w.ndim; d++) n *= w.shape[d];
        copy[p] = malloc(n * sizeof *copy[p]);
        ck_assert_ptr_nonnull(copy[p]);
        for (; w.more; walk_on(&w)) copy[p][w.at] = *element(&w, &set[p]);
    }
    return copy;
}

void law_free(const mskp_graph *graph, float **copy)
{
    for (size_t p = 1; p <= mskp_graph_counts(graph).params; p++) free(copy[p]);
    free(copy);
}

/* ---- the penalty ---- */

/* In how many different removed units does this element lie, by slices of these roles? */
static size_t units_at(const mskp_graph *graph, const uint8_t *keep, uint32_t roles, uint32_t id,
                       const walk *w)
{
    uint32_t met[MSKP_MAX_DIMS];
    size_t n = 0;
    for (uint32_t d = 0; d < w->ndim; d++) {
        uint32_t role;
        const uint32_t *unit = mskp_param_units(graph, (mskp_param){id}, d, &role, NULL);
        if (!unit || !(role & roles)) continue;
        const uint32_t u = unit[w->index[d]];
        if (u == MSKP_PINNED || keep[u]) continue;
        size_t k = 0;
        while (k < n && met[k] != u) k++;
        if (k == n) met[n++] = u;
    }
    return n;
}

size_t law_penalty_landed(const mskp_graph *graph, const uint8_t *keep, uint32_t roles,
                          double alpha, const mskp_tensor *values, float *const *values_before,
                          const mskp_tensor *gradients, float *const *gradients_before)
{
    size_t hits = 0;
    for (uint32_t p = 1; p <= mskp_graph_counts(graph).params; p++) {
        if (values_before[p])
            for (walk w = walk_start(graph, p, &values[p]); w.more; walk_on(&w))
                ck_assert_msg(same(*element(&w, &values[p]), values_before[p][w.at]),
                              "%s: the penalty changed value %zu", w.name, w.at);
        if (!gradients_before[p]) {
            ck_assert_msg(!gradients[p].data, "parameter %u: a gradient came from nowhere", p);
            continue;
        }
        ck_assert_msg(gradients[p].data && values_before[p], "parameter %u: no data", p);
        for (walk w = walk_start(graph, p, &gradients[p]); w.more; walk_on(&w)) {
            const size_t units = units_at(graph, keep, roles, p, &w);
            const float was = gradients_before[p][w.at], is = *element(&w, &gradients[p]);
            const float value = values_before[p][w.at];
            uint32_t bits;
            memcpy(&bits, &value, sizeof bits);
            const int sign = !(bits << 1) ? 0 : bits >> 31 ? -1 : 1;
            const float expected = (float)((double)was + alpha * (double)units * sign);
            ck_assert_msg(units ? fabsf(is - expected) <= 1e-6F * fabsf(expected) : same(is, was),
                          "%s: gradient %zu was %g and is %g, expected %g (%zu units leave)",
                          w.name, w.at, (double)was, (double)is, (double)expected, units);
            hits += units > 0;
        }
    }
    ck_assert_msg(hits > 0, "the penalty reached nothing");
    return hits;
}

/* ---- surgery ---- */

/* *kept <- the indices of an axis that the mask keeps; all if the axis is bound to no channels. */
static size_t kept_indices(const mskp_graph *graph, const uint8_t *keep, uint32_t id, uint32_t axis,
                           size_t length, size_t *kept)
{
    const uint32_t *unit = mskp_param_units(graph, (mskp_param){id}, axis, NULL, NULL);
    size_t n = 0;
    for (size_t i = 0; i < length; i++)
        if (!unit || unit[i] == MSKP_PINNED || keep[unit[i]]) kept[n++] = i;
    return n;
}

void law_cut_exact(const mskp_graph *full, const uint8_t *keep, float *const *before,
                   const mskp_graph *small, const mskp_tensor *small_set)
{
    size_t compared = 0;
    for (uint32_t p = 1; p <= mskp_graph_counts(full).params; p++) {
        size_t shape[MSKP_MAX_DIMS], *kept[MSKP_MAX_DIMS];
        const char *name;
        const uint32_t ndim = param_info(full, (mskp_param){p}, &name, shape);
        ck_assert_msg(!before[p] == !small_set[p].data, "%s: had data %s the cut only", name,
                      before[p] ? "before" : "after");
        if (!before[p]) continue;
        walk w = walk_start(small, p, &small_set[p]);
        for (uint32_t d = 0; d < ndim; d++) {
            kept[d] = malloc(shape[d] * sizeof *kept[d]);
            ck_assert_ptr_nonnull(kept[d]);
            const size_t n = kept_indices(full, keep, p, d, shape[d], kept[d]);
            ck_assert_msg(n == w.shape[d], "%s: axis %u has %zu left, the mask keeps %zu", name, d,
                          w.shape[d], n);
        }
        for (; w.more; walk_on(&w), compared++) {
            size_t from = 0;
            for (uint32_t d = 0; d < ndim; d++) from = from * shape[d] + kept[d][w.index[d]];
            ck_assert_msg(same(*element(&w, &small_set[p]), before[p][from]),
                          "%s: element %zu is %g, it was element %zu, %g", name, w.at,
                          (double)*element(&w, &small_set[p]), from, (double)before[p][from]);
        }
        for (uint32_t d = 0; d < ndim; d++) free(kept[d]);
    }
    ck_assert_msg(compared > 0, "there was nothing to compare");
}

/* ---- outputs ---- */

void law_close(const char *what, size_t n, const float *a, const float *b, double tolerance)
{
    double largest = 1, apart = 0;
    ck_assert_msg(n > 0, "%s: nothing to compare", what);
    for (size_t i = 0; i < n; i++) {
        ck_assert_msg(isfinite(a[i]) && isfinite(b[i]), "%s: number %zu is %g and %g", what, i,
                      (double)a[i], (double)b[i]);
        largest = fmax(largest, fabs((double)a[i]));
        apart = fmax(apart, fabs((double)a[i] - (double)b[i]));
    }
    ck_assert_msg(apart <= tolerance * largest, "%s: apart by %g, allowed are %g * %g", what, apart,
                  tolerance, largest);
}

/* ---- masks ---- */

static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Does this list keep a unit, or a channel that is pinned? */
static int alive(const uint32_t *unit, size_t n, const uint8_t *keep)
{
    for (size_t i = 0; i < n; i++)
        if (unit[i] == MSKP_PINNED || keep[unit[i]]) return 1;
    return n == 0;
}

void law_random_mask(const mskp_graph *graph, double part, uint64_t seed, uint8_t *keep)
{
    const mskp_counts counts = mskp_graph_counts(graph);
    const uint64_t start = seed;
    size_t n, removed = 0;
    for (size_t u = 0; u < counts.units; u++)
        keep[u] = (double)(draw(&seed) >> 11) * 0x1p-53 >= part;
    for (uint32_t v = 1; v <= counts.values; v++) {
        const uint32_t *unit = mskp_value_units(graph, (mskp_value){v}, &n);
        if (!alive(unit, n, keep)) keep[unit[draw(&seed) % n]] = 1;
    }
    for (uint32_t p = 1; p <= counts.params; p++)
        for (uint32_t d = 0; d < MSKP_MAX_DIMS; d++) {
            const uint32_t *unit = mskp_param_units(graph, (mskp_param){p}, d, NULL, &n);
            if (unit && !alive(unit, n, keep)) keep[unit[draw(&seed) % n]] = 1;
        }
    for (size_t u = 0; u < counts.units; u++) removed += !keep[u];
    ck_assert_msg(removed > 0, "seed %llu: the mask removes none of %zu units",
                  (unsigned long long)start, counts.units);
}

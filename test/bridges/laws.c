#include "bridges/laws.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mskp/operators.h"
#include "mskp/tools.h"

/* ---- random numbers ---- */

static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* In [0, 1). */
static double draw_part(uint64_t *state)
{
    return (double)(draw(state) >> 11) * 0x1p-53;
}

/* ---- elements of a view, one by one ---- */

typedef struct walk {
    uint32_t ndim;
    size_t shape[MSKP_MAX_DIMS], index[MSKP_MAX_DIMS], at; /* at: number in the logical order */
    ptrdiff_t stride[MSKP_MAX_DIMS];
    const char *name;
    int more;
} walk;

static walk walk_start(const mskp_graph *graph, mskp_param param, const mskp_tensor *t)
{
    walk w = {.more = law_elements(graph, param) > 0, .name = mskp_param_name(graph, param)};
    ptrdiff_t packed = 1;
    int strides = 0;
    w.ndim = mskp_param_shape(graph, param, w.shape);
    ck_assert_msg(w.ndim > 0, "no parameter %u", param.id);
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

static mskp_param param_at(size_t i)
{
    return (mskp_param){(uint32_t)i + 1};
}

float **law_copy(const mskp_graph *graph, mskp_tensors set)
{
    const size_t params = mskp_graph_counts(graph).params;
    float **copy = calloc(params + 1, sizeof *copy);
    ck_assert_ptr_nonnull(copy);
    ck_assert_uint_eq(set.n, params);
    for (size_t p = 0; p < params; p++) {
        const mskp_tensor *t = &set.view[p];
        if (!t->data) continue;
        ck_assert_int_eq(t->dtype, MSKP_DTYPE_F32);
        copy[p] = malloc((law_elements(graph, param_at(p)) + 1) * sizeof *copy[p]);
        ck_assert_ptr_nonnull(copy[p]);
        for (walk w = walk_start(graph, param_at(p), t); w.more; walk_on(&w))
            copy[p][w.at] = *element(&w, t);
    }
    return copy;
}

void law_free(const mskp_graph *graph, float **copy)
{
    for (size_t p = 0; p < mskp_graph_counts(graph).params; p++) free(copy[p]);
    free(copy);
}

size_t law_elements(const mskp_graph *graph, mskp_param param)
{
    size_t shape[MSKP_MAX_DIMS], n = 1;
    const uint32_t ndim = mskp_param_shape(graph, param, shape);
    for (uint32_t d = 0; d < ndim; d++) n *= shape[d];
    return ndim ? n : 0;
}

void law_zero(const mskp_graph *graph, mskp_mask keep, uint32_t roles, mskp_tensors set)
{
    mskp_error err = {0};
    const mskp_penalty penalty = {.roles = roles, .skip_missing = 1};
    ck_assert_msg(!mskp_penalty_zero(graph, keep, &penalty, set, &err), "%s", err.text);
}

/* Elements of removed units in tensors of one axis with this role <- low + range * (a part). */
static void draw_vectors(const mskp_graph *graph, mskp_mask keep, uint32_t role, double low,
                         double range, uint64_t *seed, mskp_tensors values)
{
    for (size_t p = 0; p < values.n; p++) {
        uint32_t roles;
        const mskp_tensor *t = &values.view[p];
        const uint32_t *unit = mskp_param_units(graph, param_at(p), 0, &roles, NULL);
        if (!unit || roles != role || !t->data) continue;
        for (walk w = walk_start(graph, param_at(p), t); w.more; walk_on(&w)) {
            const uint32_t u = unit[w.index[0]];
            if (u != MSKP_PINNED && !keep.unit[u])
                *element(&w, t) = (float)(low + range * draw_part(seed));
        }
    }
}

void law_make_constant(const mskp_graph *graph, mskp_mask keep, uint64_t seed, mskp_tensors values)
{
    mskp_mask scale = {keep.n, malloc(keep.n + 1)}, others = {keep.n, malloc(keep.n + 1)};
    ck_assert(scale.unit && others.unit);
    for (size_t u = 0; u < keep.n; u++) {
        scale.unit[u] = keep.unit[u] || draw_part(&seed) < 0.5;
        others.unit[u] = keep.unit[u] || !scale.unit[u];
    }
    law_zero(graph, keep, MSKP_ROLE_FILTER, values);
    law_zero(graph, scale, MSKP_ROLE_SCALE, values);
    draw_vectors(graph, keep, MSKP_ROLE_SHIFT, 0.25, 0.75, &seed, values);
    draw_vectors(graph, others, MSKP_ROLE_VARIANCE, 5e-4, 1e-3, &seed, values);
    free(scale.unit);
    free(others.unit);
}

/* ---- the penalty ---- */

double law_largest(const mskp_graph *graph, mskp_mask keep, mskp_tensors values, size_t *count)
{
    double largest = 0;
    *count = 0;
    for (size_t p = 0; p < values.n; p++) {
        uint32_t roles;
        const mskp_tensor *t = &values.view[p];
        const uint32_t *unit = mskp_param_units(graph, param_at(p), 0, &roles, NULL);
        if (!unit || !(roles & (MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT)) || !t->data) continue;
        for (walk w = walk_start(graph, param_at(p), t); w.more; walk_on(&w)) {
            const uint32_t u = unit[w.index[0]];
            if (u == MSKP_PINNED || keep.unit[u]) continue;
            largest = fmax(largest, fabs((double)*element(&w, t)));
            ++*count;
        }
    }
    return largest;
}

mskp_pruner_options law_options(const mskp_graph *graph, uint64_t steps, double momentum)
{
    mskp_cost dense;
    mskp_error err = {0};
    ck_assert_msg(!mskp_measure(graph, (mskp_mask){0}, &dense, NULL, &err), "%s", err.text);
    return (mskp_pruner_options){
        .rule = {.max_macs = 0.6 * dense.macs, .min_channels = 1},
        .scoring = {.reduce = MSKP_REDUCE_MEAN},
        .penalty = {.roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT, .skip_missing = 1},
        .pull = MSKP_PULL_GRADIENT,
        .momentum = momentum,
        .steps = steps,
        .masked = 1,
        .rounds = 2};
}

/* In how many different removed units does this element lie, by slices of these roles? */
static size_t units_at(const mskp_graph *graph, mskp_mask keep, uint32_t roles, mskp_param param,
                       const walk *w)
{
    uint32_t met[MSKP_MAX_DIMS];
    size_t n = 0;
    for (uint32_t d = 0; d < w->ndim; d++) {
        uint32_t role;
        const uint32_t *unit = mskp_param_units(graph, param, d, &role, NULL);
        if (!unit || !(role & roles)) continue;
        const uint32_t u = unit[w->index[d]];
        if (u == MSKP_PINNED || keep.unit[u]) continue;
        size_t k = 0;
        while (k < n && met[k] != u) k++;
        if (k == n) met[n++] = u;
    }
    return n;
}

size_t law_penalty_landed(const mskp_graph *graph, mskp_mask keep, uint32_t roles, double alpha,
                          mskp_tensors values, float *const *values_before, mskp_tensors gradients,
                          float *const *gradients_before)
{
    size_t hits = 0;
    for (size_t p = 0; p < mskp_graph_counts(graph).params; p++) {
        const mskp_tensor *value_view = &values.view[p], *gradient_view = &gradients.view[p];
        if (values_before[p])
            for (walk w = walk_start(graph, param_at(p), value_view); w.more; walk_on(&w))
                ck_assert_msg(same(*element(&w, value_view), values_before[p][w.at]),
                              "%s: the penalty changed value %zu", w.name, w.at);
        if (!gradients_before[p]) {
            ck_assert_msg(!gradient_view->data, "parameter %zu has a gradient and had none", p + 1);
            continue;
        }
        ck_assert_msg(gradient_view->data && values_before[p], "parameter %zu: no data", p + 1);
        for (walk w = walk_start(graph, param_at(p), gradient_view); w.more; walk_on(&w)) {
            const size_t units = units_at(graph, keep, roles, param_at(p), &w);
            const float was = gradients_before[p][w.at], is = *element(&w, gradient_view);
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
static size_t kept_indices(const mskp_graph *graph, mskp_mask keep, mskp_param param, uint32_t axis,
                           size_t length, size_t *kept)
{
    const uint32_t *unit = mskp_param_units(graph, param, axis, NULL, NULL);
    size_t n = 0;
    for (size_t i = 0; i < length; i++)
        if (!unit || unit[i] == MSKP_PINNED || keep.unit[unit[i]]) kept[n++] = i;
    return n;
}

void law_cut_exact(const mskp_graph *full, mskp_mask keep, float *const *before,
                   const mskp_graph *small, mskp_tensors small_set)
{
    size_t compared = 0;
    for (size_t p = 0; p < mskp_graph_counts(full).params; p++) {
        size_t shape[MSKP_MAX_DIMS], *kept[MSKP_MAX_DIMS];
        const char *name = mskp_param_name(full, param_at(p));
        const mskp_tensor *t = &small_set.view[p];
        const uint32_t ndim = mskp_param_shape(full, param_at(p), shape);
        if (!law_elements(small, param_at(p))) continue; /* it vanished with its branch */
        ck_assert_msg(!before[p] == !t->data, "%s: had data %s the cut only", name,
                      before[p] ? "before" : "after");
        if (!before[p]) continue;
        walk w = walk_start(small, param_at(p), t);
        for (uint32_t d = 0; d < ndim; d++) {
            kept[d] = malloc(shape[d] * sizeof *kept[d]);
            ck_assert_ptr_nonnull(kept[d]);
            const size_t n = kept_indices(full, keep, param_at(p), d, shape[d], kept[d]);
            ck_assert_msg(n == w.shape[d], "%s: axis %u has %zu left, the mask keeps %zu", name, d,
                          w.shape[d], n);
        }
        for (; w.more; walk_on(&w), compared++) {
            size_t from = 0;
            for (uint32_t d = 0; d < ndim; d++) from = from * shape[d] + kept[d][w.index[d]];
            ck_assert_msg(same(*element(&w, t), before[p][from]),
                          "%s: element %zu is %g, it was element %zu, %g", name, w.at,
                          (double)*element(&w, t), from, (double)before[p][from]);
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

double law_apart(size_t n, const float *a, const float *b)
{
    double apart = 0;
    for (size_t i = 0; i < n; i++) apart = fmax(apart, fabs((double)a[i] - (double)b[i]));
    return apart;
}

int law_carried(const char *what, const mskp_constants_report *total, size_t n, const float *before,
                const float *carried, const float *dropped, double tolerance)
{
    const double lost = law_apart(n, before, dropped);
    ck_assert_msg(lost > 100 * tolerance,
                  "%s: without their constants the outputs are only %g apart", what, lost);
    ck_assert_msg(total->exact == !total->why, "%s: exact is %u, and why is %s", what, total->exact,
                  total->why ? total->why : "NULL");
    if (total->exact) law_close(what, n, before, carried, tolerance);
    return total->exact != 0;
}

law_constants law_ask_constants(const mskp_graph *graph, mskp_mask keep,
                                const mskp_constants_desc *desc, mskp_tensors values)
{
    const mskp_mask none = {0};
    mskp_error err = {0};
    mskp_constants *constants;
    law_constants a = {.carriers = {keep.n, malloc(keep.n + 1)},
                       .kept = {keep.n, malloc(keep.n + 1)},
                       .params = values.n,
                       .folded = calloc(values.n + 1, 1)};
    ck_assert(a.carriers.unit && a.kept.unit && a.folded);
    mskp_constants_create(graph, keep, desc, values, &constants, &err);
    ck_assert_msg(!err.status, "%s", err.text);
    ck_assert_int_eq(mskp_constants_masks(constants, none, a.carriers, a.kept, &err), MSKP_OK);
    for (size_t i = 0; i < mskp_constants_consumers(constants); i++) {
        mskp_constants_report r;
        ck_assert_int_eq(mskp_constants_consumer(constants, i, &r, &err), MSKP_OK);
        if (r.into.id && r.folded) a.folded[r.into.id - 1] = 1;
    }
    mskp_constants_destroy(constants);
    return a;
}

void law_forget_constants(law_constants *asked)
{
    free(asked->carriers.unit);
    free(asked->kept.unit);
    free(asked->folded);
}

size_t law_stale_cleared(const law_constants *asked, const mskp_graph *small, mskp_tensors set)
{
    size_t cleared = 0, others = 0, unit = 0;
    for (size_t u = 0; u < asked->kept.n; u++) {
        size_t n = 0;
        const int carries = asked->carriers.unit[u];
        const mskp_member *m = asked->kept.unit[u] ? mskp_unit_members(small, unit++, &n) : NULL;
        for (size_t i = 0; i < n; i++) {
            const mskp_tensor *t = mskp_tensor_of(set, m[i].param);
            const int vector = m[i].roles == MSKP_ROLE_SCALE || m[i].roles == MSKP_ROLE_SHIFT;
            if (!t->data || !(m[i].roles & MSKP_ROLES_UNIT) || !(carries || vector)) continue;
            for (walk w = walk_start(small, m[i].param, t); w.more; walk_on(&w)) {
                if (w.index[m[i].axis] != m[i].index) continue;
                ck_assert_msg(!carries || *element(&w, t) == 0,
                              "%s, element %zu: unit %zu carries constants, its state is %g",
                              w.name, w.at, u, (double)*element(&w, t));
                cleared += carries != 0;
                others += !carries && *element(&w, t) != 0;
            }
        }
    }
    for (size_t p = 0; p < asked->params; p++) {
        const mskp_tensor *t = &set.view[p];
        if (!asked->folded[p] || !t->data) continue;
        for (walk w = walk_start(small, param_at(p), t); w.more; walk_on(&w), cleared++)
            ck_assert_msg(*element(&w, t) == 0, "%s, element %zu: constants were folded, state %g",
                          w.name, w.at, (double)*element(&w, t));
    }
    ck_assert_msg(cleared > 0, "constants replaced nothing that has state");
    return others;
}

/* ---- masks ---- */

/* Does the mask keep a unit of this list, or is one of its channels pinned? */
static int alive(const uint32_t *unit, size_t n, mskp_mask keep)
{
    for (size_t i = 0; i < n; i++)
        if (unit[i] == MSKP_PINNED || keep.unit[unit[i]]) return 1;
    return n == 0;
}

void law_random_mask(const mskp_graph *graph, double part, uint64_t seed, mskp_mask keep)
{
    const mskp_counts counts = mskp_graph_counts(graph);
    const uint64_t start = seed;
    size_t n, removed = 0;
    ck_assert_uint_eq(keep.n, counts.units);
    for (size_t u = 0; u < counts.units; u++) keep.unit[u] = draw_part(&seed) >= part;
    for (uint32_t v = 1; v <= counts.values; v++) {
        const uint32_t *unit = mskp_value_units(graph, (mskp_value){v}, &n);
        if (!alive(unit, n, keep)) keep.unit[unit[draw(&seed) % n]] = 1;
    }
    for (uint32_t p = 1; p <= counts.params; p++)
        for (uint32_t d = 0; d < MSKP_MAX_DIMS; d++) {
            const uint32_t *unit = mskp_param_units(graph, (mskp_param){p}, d, NULL, &n);
            if (unit && !alive(unit, n, keep)) keep.unit[unit[draw(&seed) % n]] = 1;
        }
    for (size_t u = 0; u < counts.units; u++) removed += !keep.unit[u];
    ck_assert_msg(removed > 0, "seed %llu: the mask removes none of %zu units",
                  (unsigned long long)start, counts.units);
}

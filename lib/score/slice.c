/*
 * Sums over slices: sum |w|, sum w^2, or, with a second set of tensors, sum w*g, sum |w*g| or
 * sum (w*g)^2 over all elements of a parameter that have one index on one axis. One sweep over a
 * parameter yields the sums of all slices on all of its chosen axes, and reads each element once.
 *
 * A row is everything that has one index on the first axis, in logical order; a place is a position
 * within a row. The sweep takes BLOCK places of every row, then the next BLOCK places, and so on:
 *
 *     for each block of places
 *         for each row: add the elements of the block to the row's sum (in LANES partial sums,
 *             which the compiler can keep in one vector), and each also to the sum of its place
 *         add the sums of the places to the slices on the other axes that the places lie in
 *
 * The order of additions depends on logical indices alone, and all sums are in double precision, so
 * the result does not depend on strides, threads or the vector unit.
 *
 * If a unit has slices on two axes of one parameter (a residual branch without a norm), these
 * slices cross, and the elements at the crossing must count once. Such a parameter is summed slice
 * by slice, and each slice skips the elements where it crosses a slice of its unit on a lower axis.
 *
 * A new kind of sum goes into slice_term (slice.h), and into `part` and `add_plain` here.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/element.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "score/slice.h"
#include "units/set.h"
#include "units/units.h"

enum { BLOCK = 2048, LANES = 8 };

typedef struct summing {
    const mskp_graph *graph;
    uint32_t roles;
    slice_term term;
    const tensor_view *views; /* [2 * (params + 1)] of those that have sums: values, second set */
    const uint8_t *crossing;  /* [params + 1] 1: a unit has slices on two axes */
    slice_sums *out;
} summing;

/* A parameter in one or two sets; view[1] is NULL unless the term is a product. */
typedef struct operands {
    const tensor_view *view[2];
    slice_term term;
} operands;

static bool is_product(slice_term term)
{
    return term >= SLICE_PRODUCT;
}

/* g is 1 unless the term is a product. */
static inline double part(double w, double g, slice_term term)
{
    const double x = w * g;
    if (term == SLICE_PRODUCT) return x;
    return term == SLICE_SQUARES || term == SLICE_PRODUCT_SQUARES ? x * x : fabs(x);
}

/* ---- Rows of floats that lie next to each other ---- */

static inline double sum_of_lanes(const double lane[LANES])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* Returns the sum of n elements. Each element j also adds to place[j], unless place is NULL. The
 * callers pass constants for the term and for what is NULL, so no loop has a branch. */
static inline double add_floats(const float *x, const float *g, size_t n, slice_term term,
                                double *restrict place)
{
    double lane[LANES] = {0};
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (size_t k = 0; k < LANES; k++) {
            const double w = part((double)x[j + k], g ? (double)g[j + k] : 1, term);
            if (place) place[j + k] += w;
            lane[k] += w;
        }
    for (size_t k = 0; j + k < n; k++) {
        const double w = part((double)x[j + k], g ? (double)g[j + k] : 1, term);
        if (place) place[j + k] += w;
        lane[k] += w;
    }
    return sum_of_lanes(lane);
}

static double add_plain(const float *x, const float *g, size_t n, slice_term term, double *place)
{
#define ADD(term, g) (place ? add_floats(x, g, n, term, place) : add_floats(x, g, n, term, NULL))
    if (term == SLICE_MAGNITUDES) return ADD(SLICE_MAGNITUDES, NULL);
    if (term == SLICE_SQUARES) return ADD(SLICE_SQUARES, NULL);
    if (term == SLICE_PRODUCT) return ADD(SLICE_PRODUCT, g);
    if (term == SLICE_PRODUCT_MAGNITUDES) return ADD(SLICE_PRODUCT_MAGNITUDES, g);
    return ADD(SLICE_PRODUCT_SQUARES, g);
#undef ADD
}

/* Whether conversions from float keep denormal numbers in this thread's floating-point mode. */
static bool keeps_denormals(void)
{
    const volatile float least = 0x1p-149F;
    return (double)least != 0;
}

/* Whether every row is an array of floats, which add_plain can read without mskpi_load. */
static bool has_plain_rows(const tensor_view *v)
{
    ptrdiff_t next = 1;
    for (uint32_t d = v->ndim; d-- > 1;) {
        if (v->shape[d] > 1 && v->stride[d] != next) return false;
        next *= (ptrdiff_t)v->shape[d];
    }
    return v->dtype == MSKP_DTYPE_F32 && keeps_denormals();
}

/* ---- Any other row ---- */

/* A position in a view that moves through a row in logical order. */
typedef struct cursor {
    const tensor_view *view;
    const char *at;
    size_t index[MSKP_MAX_DIMS];
} cursor;

static cursor cursor_at(const tensor_view *v, const char *row, size_t place)
{
    cursor c = {.view = v, .at = row};
    for (uint32_t d = v->ndim; d-- > 1;) {
        c.index[d] = place % v->shape[d];
        place /= v->shape[d];
        c.at += v->stride[d] * (ptrdiff_t)(c.index[d] * v->element);
    }
    MSKPI_ASSERT(!place); /* the place lies in the row */
    return c;
}

/* Returns the element, and goes on to the next. */
static double cursor_next(cursor *c)
{
    const tensor_view *v = c->view;
    const double x = mskpi_load(c->at, v->dtype);
    for (uint32_t d = v->ndim; d-- > 1;) {
        const ptrdiff_t step = v->stride[d] * (ptrdiff_t)v->element;
        c->at += step;
        if (++c->index[d] < v->shape[d]) break;
        c->at -= step * (ptrdiff_t)v->shape[d];
        c->index[d] = 0;
    }
    return x;
}

/* The same for places first .. first+n-1 of a row with any strides and dtype. */
static double add_any(const operands *o, const char *const row[2], size_t first, size_t n,
                      double *place)
{
    double lane[LANES] = {0};
    cursor w = cursor_at(o->view[0], row[0], first), g = {0};
    if (o->view[1]) g = cursor_at(o->view[1], row[1], first);
    for (size_t j = 0; j < n; j++) {
        const double x = cursor_next(&w);
        const double sum = part(x, o->view[1] ? cursor_next(&g) : 1, o->term);
        if (place) place[j] += sum;
        lane[j % LANES] += sum;
    }
    return sum_of_lanes(lane);
}

/* ---- All slices of a parameter ---- */

/* Adds the sums of places first .. first+n-1 to the slices on an axis of this length. `inner`
 * neighbouring places have the same index on the axis. */
static void add_places(const double *place, size_t first, size_t n, size_t inner, size_t length,
                       double *sums)
{
    size_t index = first / inner % length, end = inner - first % inner;
    for (size_t j = 0; j < n; end += inner) {
        MSKPI_ASSERT(index < length);
        for (; j < n && j < end; j++) sums[index] += place[j];
        if (++index == length) index = 0;
    }
}

static ptrdiff_t row_step(const tensor_view *v)
{
    return v ? v->stride[0] * (ptrdiff_t)v->element : 0;
}

/* sums[d] += the sums of the slices on axis d, unless sums[d] is NULL. */
static void sweep(const operands *o, double *const sums[MSKP_MAX_DIMS])
{
    const tensor_view *v = o->view[0], *second = o->view[1];
    const ptrdiff_t step[2] = {row_step(v), row_step(second)};
    const bool plain = has_plain_rows(v) && (!second || has_plain_rows(second));
    const uint32_t ndim = v->ndim;
    size_t inner[MSKP_MAX_DIMS], row = 1;
    double place[BLOCK];
    bool columns = false; /* whether another axis than the first has sums */
    for (uint32_t d = ndim; d-- > 1;) {
        inner[d] = row;
        row *= v->shape[d];
        columns = columns || sums[d];
    }
    for (size_t first = 0; first < row; first += BLOCK) {
        const size_t n = row - first < BLOCK ? row - first : BLOCK;
        const char *at[2] = {v->data, second ? second->data : NULL};
        memset(place, 0, n * sizeof *place);
        for (size_t i = 0; i < v->shape[0]; i++) {
            double *add = columns ? place : NULL, sum;
            if (plain)
                sum = add_plain((const float *)(const void *)at[0] + first,
                                second ? (const float *)(const void *)at[1] + first : NULL, n,
                                o->term, add);
            else
                sum = add_any(o, at, first, n, add);
            if (sums[0]) sums[0][i] += sum;
            at[0] += step[0];
            if (second) at[1] += step[1];
        }
        for (uint32_t d = 1; d < ndim; d++)
            if (sums[d]) add_places(place, first, n, inner[d], v->shape[d], sums[d]);
    }
}

/* ---- Crossings ---- */

/* One slice: everything at one index of the axis `fixed`, which belongs to `unit`. It skips the
 * elements that a slice of the same unit on a lower axis has, too. */
typedef struct slice {
    const operands *of;
    const uint32_t *skip[MSKP_MAX_DIMS]; /* units of a lower axis; NULL: nothing to skip */
    uint32_t unit, fixed;
    double sum;
} slice;

/* Adds the elements of a slice below these addresses, whose indices on the axes before d are
 * chosen. */
static void add_elements(slice *s, const char *at, const char *second, uint32_t d)
{
    const tensor_view *v = s->of->view[0], *w = s->of->view[1];
    while (d == s->fixed) d++;
    if (d >= v->ndim) {
        s->sum += part(mskpi_load(at, v->dtype), w ? mskpi_load(second, w->dtype) : 1, s->of->term);
        return;
    }
    const ptrdiff_t step = v->stride[d] * (ptrdiff_t)v->element;
    for (size_t i = 0; i < v->shape[d]; i++, at += step) {
        if (!s->skip[d] || s->skip[d][i] != s->unit) add_elements(s, at, second, d + 1);
        if (w) second += w->stride[d] * (ptrdiff_t)w->element;
    }
}

/* The units of an axis in one of these roles; NULL for any other axis. */
static const uint32_t *chosen_units(const mskp_graph *g, const graph_axis *a, uint32_t roles)
{
    if (a->list == NO_LIST || !(a->roles & roles)) return NULL;
    return g->u->list_units + g->u->lists[a->list].first;
}

/* As sweep, for a parameter with crossings. units[d]: those of axis d; NULL: no sums. */
static void slice_by_slice(const operands *o, const uint32_t *const units[MSKP_MAX_DIMS],
                           double *const sums[MSKP_MAX_DIMS])
{
    slice s = {.of = o};
    const tensor_view *v = o->view[0], *w = o->view[1];
    for (uint32_t d = 0; d < v->ndim; d++) {
        const ptrdiff_t step = v->stride[d] * (ptrdiff_t)v->element;
        s.fixed = d;
        MSKPI_ASSERT((units[d] != NULL) == (sums[d] != NULL));
        for (size_t i = 0; units[d] && i < v->shape[d]; i++) {
            s.unit = units[d][i];
            s.sum = 0;
            if (s.unit == MSKP_PINNED) continue;
            const char *second = w ? w->data + w->stride[d] * (ptrdiff_t)(i * w->element) : NULL;
            add_elements(&s, v->data + step * (ptrdiff_t)i, second, 0);
            sums[d][i] = s.sum;
        }
        s.skip[d] = units[d];
    }
}

static void sum_param(void *context, size_t i)
{
    const summing *job = context;
    const uint32_t id = (uint32_t)i + 1;
    const graph_param *p = &job->graph->params[id];
    const uint32_t *units[MSKP_MAX_DIMS] = {0};
    double *sums[MSKP_MAX_DIMS] = {0};
    bool chosen = false;
    for (uint32_t d = 0; d < p->ndim; d++) {
        const size_t first = job->out->first[p->axis + d];
        if (first == NO_SUMS) continue;
        units[d] = chosen_units(job->graph, &job->graph->axes[p->axis + d], job->roles);
        sums[d] = job->out->sums + first;
        chosen = true;
    }
    MSKPI_ASSERT(!chosen || job->views[id].ndim == p->ndim); /* view_params has made the view */
    const tensor_view *second = &job->views[job->graph->nparams + 1 + id];
    const operands o = {{&job->views[id], is_product(job->term) ? second : NULL}, job->term};
    if (chosen && job->crossing[id])
        slice_by_slice(&o, units, sums);
    else if (chosen)
        sweep(&o, sums);
}

/* ---- Which slices ---- */

/*
 * first[] <- where the sums of each axis begin, NO_SUMS for an axis without units in these roles.
 * crossing[] <- 1 for the parameters in which two slices of one unit cross. Returns how many sums
 * there are in all. seen: [units] zeros; the last parameter in which a unit had a slice.
 */
static size_t place_sums(const mskp_graph *g, uint32_t roles, uint8_t *crossing, uint32_t *seen,
                         size_t *first)
{
    size_t n = 0;
    for (uint32_t id = 1; id <= g->nparams; id++)
        for (uint32_t d = 0; d < g->params[id].ndim; d++) {
            const graph_axis *a = &g->axes[g->params[id].axis + d];
            const uint32_t *unit = chosen_units(g, a, roles);
            bool any = false;
            MSKPI_ASSERT(!unit || g->u->lists[a->list].n == a->length);
            for (size_t i = 0; unit && i < a->length; i++) {
                if (unit[i] == MSKP_PINNED) continue;
                any = true;
                if (seen[unit[i]] == id) crossing[id] = 1;
            }
            for (size_t i = 0; any && i < a->length; i++)
                if (unit[i] != MSKP_PINNED) seen[unit[i]] = id;
            first[g->params[id].axis + d] = any ? n : NO_SUMS;
            if (any) n = mskpi_sum(n, a->length);
        }
    return n;
}

/* views[] <- the views of the parameters that have sums. */
static mskp_status view_params(const mskp_graph *g, const size_t *first, const char *set,
                               mskp_tensors values, tensor_view *views, mskp_error *err)
{
    for (uint32_t id = 1; id <= g->nparams; id++) {
        const graph_param *p = &g->params[id];
        bool chosen = false;
        for (uint32_t d = 0; d < p->ndim; d++) chosen = chosen || first[p->axis + d] != NO_SUMS;
        if (!chosen) continue;
        const mskp_status status = mskpi_number_view(g, id, set, values, &views[id], err);
        if (status) return status;
    }
    return MSKP_OK;
}

mskp_status mskpi_slice_sums(const mskp_graph *graph, uint32_t roles, slice_term term,
                             mskp_tensors values, mskp_tensors gradients, slice_sums *out,
                             mskp_error *err)
{
    const mskp_services *services = &graph->services;
    mskp_status status = MSKP_ERROR_NO_MEMORY;
    tensor_view *views = mskpi_alloc(services, 2 * (graph->nparams + 1), sizeof *views);
    uint8_t *crossing = mskpi_alloc(services, graph->nparams + 1, sizeof *crossing);
    uint32_t *seen = mskpi_alloc(services, graph->u->n, sizeof *seen);
    *out = (slice_sums){.first = mskpi_alloc(services, graph->naxes, sizeof *out->first),
                        .values = values,
                        .gradients = is_product(term) ? gradients : (mskp_tensors){0}};
    if (views && crossing && seen && out->first) {
        const size_t n = place_sums(graph, roles, crossing, seen, out->first);
        out->sums = mskpi_alloc(services, n, sizeof *out->sums);
    }
    if (!out->sums)
        mskpi_fail(err, status, "%s while scoring %zu units", mskp_status_text(status),
                   graph->u->n);
    else
        status = view_params(graph, out->first, "values", values, views, err);
    if (!status && is_product(term))
        status =
            view_params(graph, out->first, "gradients", gradients, views + graph->nparams + 1, err);
    if (!status) {
        summing job = {graph, roles, term, views, crossing, out};
        mskpi_parallel(services, graph->nparams, sum_param, &job);
    }
    mskpi_free(services, views);
    mskpi_free(services, crossing);
    mskpi_free(services, seen);
    if (status) mskpi_slice_sums_free(services, out);
    return status;
}

double mskpi_slice_sum(const mskp_graph *graph, const slice_sums *s, const mskp_member *m)
{
    const graph_param *p = &graph->params[m->param.id];
    MSKPI_ASSERT(m->axis < p->ndim && m->index < graph->axes[p->axis + m->axis].length);
    MSKPI_ASSERT(s->first[p->axis + m->axis] != NO_SUMS); /* a unit has a slice there */
    return s->sums[s->first[p->axis + m->axis] + m->index];
}

/* Returns the address of the first element that is not finite, NULL if there is none, among those
 * below `at`, whose indices on the axes before d and on the axis `fixed` are chosen. */
static const char *find_bad(const tensor_view *v, const char *at, uint32_t d, uint32_t fixed)
{
    while (d == fixed) d++;
    if (d >= v->ndim) return isfinite(mskpi_load(at, v->dtype)) ? NULL : at;
    const ptrdiff_t step = v->stride[d] * (ptrdiff_t)v->element;
    for (size_t i = 0; i < v->shape[d]; i++, at += step) {
        const char *bad = find_bad(v, at, d + 1, fixed);
        if (bad) return bad;
    }
    return NULL;
}

/* Fails if an element of a slice is not finite, and names it and its set. */
static mskp_status check_slice(const mskp_graph *graph, mskp_tensors set, const char *name,
                               const mskp_member *m, mskp_error *err)
{
    tensor_view v;
    if (!set.view) return MSKP_OK;
    MSKPI_MUST(mskpi_number_view(graph, m->param.id, name, set, &v, NULL)); /* as for the sums */
    const char *first = v.data + v.stride[m->axis] * (ptrdiff_t)(m->index * v.element);
    const char *bad = find_bad(&v, first, 0, m->axis);
    return bad ? mskpi_refuse_number(graph, m->param.id, name, &v, bad, err) : MSKP_OK;
}

mskp_status mskpi_refuse_sum(const mskp_graph *graph, const slice_sums *s, uint32_t roles,
                             uint32_t unit, mskp_error *err)
{
    size_t n;
    char room[NAME_SIZE];
    const mskp_member *m = mskp_unit_members(graph, unit, &n);
    for (size_t i = 0; i < n; i++) {
        if (!(m[i].roles & roles) || isfinite(mskpi_slice_sum(graph, s, &m[i]))) continue;
        mskp_status status = check_slice(graph, s->values, "values", &m[i], err);
        if (!status) status = check_slice(graph, s->gradients, "gradients", &m[i], err);
        if (status) return status;
        return mskpi_fail(
            err, MSKP_ERROR_BAD_NUMBER, "%s: axis %u, index %u: no double can hold the sum over %s",
            mskpi_short(mskpi_param_name(graph, m[i].param.id), room), m[i].axis, m[i].index,
            s->gradients.view ? "products of values and gradients" : "the values");
    }
    return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "unit %u: the score is not finite", unit);
}

void mskpi_slice_sums_free(const mskp_services *services, slice_sums *s)
{
    mskpi_free(services, s->first);
    mskpi_free(services, s->sums);
    *s = (slice_sums){0};
}

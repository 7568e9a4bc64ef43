/*
 * Sums over slices: sum |w| or sum w^2 over all elements of a parameter that have one index on one
 * axis. One sweep over a parameter yields the sums of all slices on all of its chosen axes, and
 * reads each element once.
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
 * A new kind of sum goes into `part`, whose `squared` then becomes a kind, and into mskp_score,
 * which asks for it.
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
#include "mskp.h"
#include "mskp/tools.h"
#include "score/slice.h"
#include "units/set.h"
#include "units/units.h"

enum { BLOCK = 2048, LANES = 8 };

typedef struct summing {
    const mskp_graph *graph;
    uint32_t roles;
    bool squared;
    const tensor_view *views; /* [params + 1] of those that have sums */
    const uint8_t *crossing;  /* [params + 1] 1: a unit has slices on two axes */
    slice_sums *out;
} summing;

static inline double part(double x, bool squared)
{
    return squared ? x * x : fabs(x);
}

/* ---- Rows of floats that lie next to each other ---- */

static inline double sum_of_lanes(const double lane[LANES])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* Returns the sum of n elements. If places is true, each element j also adds to place[j]. The
 * callers pass constants for squared and places, so no loop has a branch. */
static inline double add_floats(const float *x, size_t n, bool squared, bool places,
                                double *restrict place)
{
    double lane[LANES] = {0};
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (size_t k = 0; k < LANES; k++) {
            const double w = part((double)x[j + k], squared);
            if (places) place[j + k] += w;
            lane[k] += w;
        }
    for (size_t k = 0; j + k < n; k++) {
        const double w = part((double)x[j + k], squared);
        if (places) place[j + k] += w;
        lane[k] += w;
    }
    return sum_of_lanes(lane);
}

static double add_plain(const float *x, size_t n, bool squared, double *place)
{
    if (squared)
        return place ? add_floats(x, n, true, true, place) : add_floats(x, n, true, false, NULL);
    return place ? add_floats(x, n, false, true, place) : add_floats(x, n, false, false, NULL);
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

/* The same for places first .. first+n-1 of a row with any strides and dtype. */
static double add_any(const tensor_view *v, const char *row, size_t first, size_t n, bool squared,
                      double *place)
{
    size_t index[MSKP_MAX_DIMS] = {0};
    double lane[LANES] = {0};
    const char *at = row;
    for (uint32_t d = v->ndim; d-- > 1;) {
        index[d] = first % v->shape[d];
        first /= v->shape[d];
        at += v->stride[d] * (ptrdiff_t)(index[d] * v->element);
    }
    MSKPI_ASSERT(!first); /* the place lies in the row */
    for (size_t j = 0; j < n; j++) {
        const double w = part(mskpi_load(at, v->dtype), squared);
        if (place) place[j] += w;
        lane[j % LANES] += w;
        for (uint32_t d = v->ndim; d-- > 1;) {
            const ptrdiff_t step = v->stride[d] * (ptrdiff_t)v->element;
            at += step;
            if (++index[d] < v->shape[d]) break;
            at -= step * (ptrdiff_t)v->shape[d];
            index[d] = 0;
        }
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

/* sums[d] += the sums of the slices on axis d, unless sums[d] is NULL. */
static void sweep(const tensor_view *v, bool squared, double *const sums[MSKP_MAX_DIMS])
{
    const ptrdiff_t step = v->stride[0] * (ptrdiff_t)v->element;
    const bool plain = has_plain_rows(v);
    size_t inner[MSKP_MAX_DIMS], row = 1;
    double place[BLOCK];
    bool columns = false; /* whether another axis than the first has sums */
    for (uint32_t d = v->ndim; d-- > 1;) {
        inner[d] = row;
        row *= v->shape[d];
        columns = columns || sums[d];
    }
    for (size_t first = 0; first < row; first += BLOCK) {
        const size_t n = row - first < BLOCK ? row - first : BLOCK;
        const char *at = v->data;
        memset(place, 0, n * sizeof *place);
        for (size_t i = 0; i < v->shape[0]; i++, at += step) {
            double *add = columns ? place : NULL;
            const double sum =
                plain ? add_plain((const float *)(const void *)at + first, n, squared, add)
                      : add_any(v, at, first, n, squared, add);
            if (sums[0]) sums[0][i] += sum;
        }
        for (uint32_t d = 1; d < v->ndim; d++)
            if (sums[d]) add_places(place, first, n, inner[d], v->shape[d], sums[d]);
    }
}

/* ---- Crossings ---- */

/* One slice: everything at one index of the axis `fixed`, which belongs to `unit`. It skips the
 * elements that a slice of the same unit on a lower axis has, too. */
typedef struct slice {
    const tensor_view *view;
    const uint32_t *skip[MSKP_MAX_DIMS]; /* units of a lower axis; NULL: nothing to skip */
    uint32_t unit, fixed;
    bool squared;
    double sum;
} slice;

/* Adds the elements of a slice below `at`, whose indices on the axes before d are chosen. */
static void add_elements(slice *s, const char *at, uint32_t d)
{
    const tensor_view *v = s->view;
    while (d == s->fixed) d++;
    if (d >= v->ndim) {
        s->sum += part(mskpi_load(at, v->dtype), s->squared);
        return;
    }
    const ptrdiff_t step = v->stride[d] * (ptrdiff_t)v->element;
    for (size_t i = 0; i < v->shape[d]; i++, at += step)
        if (!s->skip[d] || s->skip[d][i] != s->unit) add_elements(s, at, d + 1);
}

/* The units of an axis in one of these roles; NULL for any other axis. */
static const uint32_t *chosen_units(const mskp_graph *g, const graph_axis *a, uint32_t roles)
{
    if (a->list == NO_LIST || !(a->roles & roles)) return NULL;
    return g->u->list_units + g->u->lists[a->list].first;
}

/* As sweep, for a parameter with crossings. units[d]: those of axis d; NULL: no sums. */
static void slice_by_slice(const tensor_view *v, bool squared,
                           const uint32_t *const units[MSKP_MAX_DIMS],
                           double *const sums[MSKP_MAX_DIMS])
{
    slice s = {.view = v, .squared = squared};
    for (uint32_t d = 0; d < v->ndim; d++) {
        const ptrdiff_t step = v->stride[d] * (ptrdiff_t)v->element;
        s.fixed = d;
        MSKPI_ASSERT((units[d] != NULL) == (sums[d] != NULL));
        for (size_t i = 0; units[d] && i < v->shape[d]; i++) {
            s.unit = units[d][i];
            s.sum = 0;
            if (s.unit == MSKP_PINNED) continue;
            add_elements(&s, v->data + step * (ptrdiff_t)i, 0);
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
    if (chosen && job->crossing[id])
        slice_by_slice(&job->views[id], job->squared, units, sums);
    else if (chosen)
        sweep(&job->views[id], job->squared, sums);
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
static mskp_status view_params(const mskp_graph *g, const size_t *first, mskp_tensors values,
                               tensor_view *views, mskp_error *err)
{
    for (uint32_t id = 1; id <= g->nparams; id++) {
        const graph_param *p = &g->params[id];
        bool chosen = false;
        for (uint32_t d = 0; d < p->ndim; d++) chosen = chosen || first[p->axis + d] != NO_SUMS;
        if (!chosen) continue;
        const mskp_status status = mskpi_number_view(g, id, "values", values, &views[id], err);
        if (status) return status;
    }
    return MSKP_OK;
}

mskp_status mskpi_slice_sums(const mskp_graph *graph, uint32_t roles, bool squared,
                             mskp_tensors values, slice_sums *out, mskp_error *err)
{
    const mskp_services *services = &graph->services;
    mskp_status status = MSKP_ERROR_NO_MEMORY;
    tensor_view *views = mskpi_alloc(services, graph->nparams + 1, sizeof *views);
    uint8_t *crossing = mskpi_alloc(services, graph->nparams + 1, sizeof *crossing);
    uint32_t *seen = mskpi_alloc(services, graph->u->n, sizeof *seen);
    *out = (slice_sums){.first = mskpi_alloc(services, graph->naxes, sizeof *out->first)};
    if (views && crossing && seen && out->first) {
        const size_t n = place_sums(graph, roles, crossing, seen, out->first);
        out->sums = mskpi_alloc(services, n, sizeof *out->sums);
    }
    if (!out->sums)
        mskpi_fail(err, status, "%s while scoring %zu units", mskp_status_text(status),
                   graph->u->n);
    else
        status = view_params(graph, out->first, values, views, err);
    if (!status) {
        summing job = {graph, roles, squared, views, crossing, out};
        mskpi_parallel(services, graph->nparams, sum_param, &job);
    }
    mskpi_free(services, views);
    mskpi_free(services, crossing);
    mskpi_free(services, seen);
    if (status) mskpi_slice_sums_free(services, out);
    return status;
}

void mskpi_slice_sums_free(const mskp_services *services, slice_sums *s)
{
    mskpi_free(services, s->first);
    mskpi_free(services, s->sums);
    *s = (slice_sums){0};
}

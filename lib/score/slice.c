/*
 * Sums over slices: sum |w|, sum w^2, or, with a second set of tensors, sum w*g, sum |w*g| or
 * sum (w*g)^2 over all elements of a parameter that have one index on one axis.
 *
 * One sweep over a parameter gives the sums of all slices on all of its chosen axes (sweep.c). It
 * consists of tiles. The work is divided into pieces, which are neighbouring tiles, of one or of
 * several parameters, with about equally many elements. So a parameter that is much larger than the
 * others keeps no thread waiting, and small ones cost no call of their own. How the work is divided
 * does not depend on threads.
 *
 * If a unit has slices on two axes of one parameter (a residual branch without a norm), these
 * slices cross, and the elements at the crossing must count once. Such a parameter is summed slice
 * by slice, and each slice skips the elements where it crosses a slice of its unit on a lower axis.
 *
 * A new kind of sum goes into slice_term and mskpi_term (kernel.h), and into KERNELS (kernel.c).
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
#include "score/kernel.h"
#include "score/slice.h"
#include "score/sweep.h"
#include "units/set.h"
#include "units/units.h"

/* Elements of a piece of work; the last tile of one may exceed it. */
enum { PIECE = 1 << 18 };

/* Where a piece of work begins: a tile of a parameter. It ends where the next one begins. */
typedef struct piece {
    uint32_t param;
    size_t tile;
} piece;

/* All sweeps of one call, and what they read. */
typedef struct summing {
    const mskp_graph *graph;
    uint32_t roles;
    slice_term term;
    const kernels *kernels;
    tensor_view *views[2];   /* [params + 1] of those that have sums; of the second set, or NULL */
    const uint8_t *crossing; /* [params + 1] 1: a unit has slices on two axes */
    sweep *sweeps;           /* [params + 1] */
    double *parts;           /* of all sweeps */
    piece *pieces;           /* [npieces] */
    size_t npieces;
    slice_sums *out;
} summing;

static bool is_product(slice_term term)
{
    return term >= SLICE_PRODUCT;
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
        s->sum +=
            mskpi_term(mskpi_load(at, v->dtype), w ? mskpi_load(second, w->dtype) : 1, s->of->term);
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

static void sum_crossing(const summing *job, uint32_t id)
{
    const graph_param *p = &job->graph->params[id];
    const uint32_t *units[MSKP_MAX_DIMS] = {0};
    for (uint32_t d = 0; d < p->ndim; d++)
        if (job->sweeps[id].sums[d])
            units[d] = chosen_units(job->graph, &job->graph->axes[p->axis + d], job->roles);
    slice_by_slice(&job->sweeps[id].of, units, job->sweeps[id].sums);
}

/* ---- Pieces of work ---- */

/* A parameter with crossings counts as one tile. */
static size_t tiles_of(const summing *job, uint32_t id)
{
    return job->crossing[id] ? 1 : job->sweeps[id].tiles;
}

/* pieces[] <- where each piece begins, unless it is NULL. Returns how many there are. */
static size_t divide(const summing *job, piece *pieces)
{
    size_t n = 0, elements = PIECE; /* of the piece that is being filled */
    for (uint32_t id = 1; id <= job->graph->nparams; id++)
        for (size_t tile = 0; tile < tiles_of(job, id); tile++) {
            if (elements >= PIECE) {
                if (pieces) pieces[n] = (piece){id, tile};
                n++;
                elements = 0;
            }
            elements += mskpi_tile_elements(&job->sweeps[id]);
        }
    return n;
}

static void sum_piece(void *context, size_t i)
{
    const summing *job = context;
    const piece end =
        i + 1 < job->npieces ? job->pieces[i + 1] : (piece){(uint32_t)job->graph->nparams + 1, 0};
    size_t tile = job->pieces[i].tile;
    for (uint32_t id = job->pieces[i].param; id <= job->graph->nparams; id++, tile = 0)
        for (; tile < tiles_of(job, id); tile++) {
            if (id == end.param && tile == end.tile) return;
            if (job->crossing[id])
                sum_crossing(job, id);
            else
                mskpi_sum_tile(&job->sweeps[id], job->kernels, tile);
        }
}

/* Makes the sweep of each parameter that has sums. Returns the length of job->parts. */
static size_t make_sweeps(summing *job)
{
    size_t parts = 0;
    for (uint32_t id = 1; id <= job->graph->nparams; id++) {
        const graph_param *p = &job->graph->params[id];
        sweep *s = &job->sweeps[id];
        for (uint32_t d = 0; d < p->ndim; d++) {
            const size_t first = job->out->first[p->axis + d];
            if (first == NO_SUMS) continue;
            if (!s->of.view[0])
                *s = mskpi_sweep((operands){
                    {job->views[0] + id, job->views[1] ? job->views[1] + id : NULL}, job->term});
            s->sums[d] = job->out->sums + first;
            if (!job->crossing[id]) parts = mskpi_sum(parts, mskpi_sweep_parts(s, d));
        }
    }
    return parts;
}

/* Divides job->parts, zeros, among the sweeps. */
static void place_parts(summing *job)
{
    double *at = job->parts;
    for (uint32_t id = 1; id <= job->graph->nparams; id++)
        for (uint32_t d = 0; !job->crossing[id] && d < job->graph->params[id].ndim; d++) {
            if (!job->sweeps[id].sums[d]) continue;
            job->sweeps[id].parts[d] = at;
            at += mskpi_sweep_parts(&job->sweeps[id], d);
        }
}

/* Sums everything. false: no memory. */
static bool sum_all(summing *job)
{
    const mskp_services *services = &job->graph->services;
    job->sweeps = mskpi_alloc(services, job->graph->nparams + 1, sizeof *job->sweeps);
    if (job->sweeps) job->parts = mskpi_alloc(services, make_sweeps(job), sizeof *job->parts);
    if (job->parts) {
        job->npieces = divide(job, NULL);
        job->pieces = mskpi_alloc(services, job->npieces, sizeof *job->pieces);
    }
    const bool enough = job->pieces != NULL;
    if (enough) {
        place_parts(job);
        divide(job, job->pieces);
        job->kernels = mskpi_kernels();
        mskpi_parallel(services, job->npieces, sum_piece, job);
        for (uint32_t id = 1; id <= job->graph->nparams; id++)
            if (job->sweeps[id].of.view[0] && !job->crossing[id])
                mskpi_join_tiles(&job->sweeps[id]);
    }
    mskpi_free(services, job->sweeps);
    mskpi_free(services, job->parts);
    mskpi_free(services, job->pieces);
    return enough;
}

/* ---- Which slices ---- */

static bool has_units(const uint32_t *unit, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (unit[i] != MSKP_PINNED) return true;
    return false;
}

/* Writes down that the units have slices in parameter `id`. */
static void see(const uint32_t *unit, size_t n, uint32_t id, uint32_t *seen)
{
    for (size_t i = 0; i < n; i++)
        if (unit[i] != MSKP_PINNED) seen[unit[i]] = id;
}

/* Whether one of the units does. */
static bool is_seen(const uint32_t *unit, size_t n, uint32_t id, const uint32_t *seen)
{
    for (size_t i = 0; i < n; i++)
        if (unit[i] != MSKP_PINNED && seen[unit[i]] == id) return true;
    return false;
}

/*
 * first[] <- where the sums of each axis begin, NO_SUMS for an axis without units in these roles.
 * crossing[] <- 1 for the parameters in which two slices of one unit cross. Returns how many sums
 * there are in all. seen: [units] zeros; the last parameter in which a unit had a slice.
 */
static size_t place_sums(const mskp_graph *g, uint32_t roles, uint8_t *crossing, uint32_t *seen,
                         size_t *first)
{
    size_t n = 0;
    for (uint32_t id = 1; id <= g->nparams; id++) {
        bool chosen = false;
        for (uint32_t d = 0; d < g->params[id].ndim; d++) {
            const graph_axis *a = &g->axes[g->params[id].axis + d];
            const uint32_t *unit = chosen_units(g, a, roles);
            const bool any = unit && has_units(unit, a->length);
            MSKPI_ASSERT(!unit || g->u->lists[a->list].n == a->length);
            if (any && chosen) crossing[id] = crossing[id] || is_seen(unit, a->length, id, seen);
            if (any && d + 1 < g->params[id].ndim) see(unit, a->length, id, seen);
            chosen = chosen || any;
            first[g->params[id].axis + d] = any ? n : NO_SUMS;
            if (any) n = mskpi_sum(n, a->length);
        }
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

static mskp_status no_memory(const mskp_graph *graph, mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while scoring %zu units",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY), graph->u->n);
}

mskp_status mskpi_slice_sums(const mskp_graph *graph, uint32_t roles, slice_term term,
                             mskp_tensors values, mskp_tensors gradients, slice_sums *out,
                             mskp_error *err)
{
    const mskp_services *services = &graph->services;
    const size_t sets = is_product(term) ? 2 : 1;
    mskp_status status = MSKP_OK;
    tensor_view *views = mskpi_alloc(services, sets * (graph->nparams + 1), sizeof *views);
    uint8_t *crossing = mskpi_alloc(services, graph->nparams + 1, sizeof *crossing);
    uint32_t *seen = mskpi_alloc(services, graph->u->n, sizeof *seen);
    *out = (slice_sums){.first = mskpi_alloc(services, graph->naxes, sizeof *out->first),
                        .values = values,
                        .gradients = sets == 2 ? gradients : (mskp_tensors){0}};
    if (views && crossing && seen && out->first) {
        const size_t n = place_sums(graph, roles, crossing, seen, out->first);
        out->sums = mskpi_alloc(services, n, sizeof *out->sums);
    }
    summing job = {.graph = graph,
                   .roles = roles,
                   .term = term,
                   .views = {views, sets == 2 ? views + graph->nparams + 1 : NULL},
                   .crossing = crossing,
                   .out = out};
    if (!out->sums) status = no_memory(graph, err);
    if (!status) status = view_params(graph, out->first, "values", values, job.views[0], err);
    if (!status && sets == 2)
        status = view_params(graph, out->first, "gradients", gradients, job.views[1], err);
    if (!status && !sum_all(&job)) status = no_memory(graph, err);
    mskpi_free(services, views);
    mskpi_free(services, crossing);
    mskpi_free(services, seen);
    if (status) mskpi_slice_sums_free(services, out);
    return status;
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

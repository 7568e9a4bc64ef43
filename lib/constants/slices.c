/*
 * What does not depend on sums: the filters, scales and consumer weights of carriers become 0,
 * their biases and shifts 1, and the zeroed roles of the other removed units 0.
 *
 * Each tensor is written once, in the order of its addresses: not unit by unit, because the columns
 * of sixteen units may lie in one cache line. For each axis a byte per index says what becomes of
 * the slice (content of walker's numbers, reading.h). An element becomes 0 if one of its slices
 * does, and otherwise 1 if one of them does. The loops run over the axes, the largest stride
 * outermost. A slice of zeros is cleared with everything in it; on the last axis that has any
 * marks, only the indices of zeros are visited, from a list.
 *
 * Large tensors are divided along the outermost axis into pieces of PIECE bytes, which run on the
 * caller's threads. Everything that can fail is in mskpi_slices_make.
 */
#include <string.h>

#include "base/assert.h"
#include "base/element.h"
#include "base/memory.h"
#include "constants/constants.h"
#include "constants/reading.h"
#include "constants/slices.h"
#include "describe/graph.h"
#include "mskp.h"
#include "units/units.h"

enum { PIECE = 1 << 18 };

/* One tensor that is written. */
typedef struct slice_job {
    const tensor_view *v;
    slice_axis axis[MSKP_MAX_DIMS];  /* in the order of v->order */
    size_t block[MSKP_MAX_DIMS + 1]; /* bytes of the axes from here on; 0: they have gaps */
    uint32_t levels;                 /* the axes from here on have no marks */
} slice_job;

typedef struct slice_work {
    const slice_changes *s;
    const tensor_view *views;
} slice_work;

/* ---- What is written ---- */

static content content_of(const mskp_constants *c, uint32_t unit, uint32_t roles)
{
    const uint32_t off = MSKP_ROLE_FILTER | MSKP_ROLE_SCALE | MSKP_ROLE_CONSUMER;
    if (!mskpi_is_removed(c->keep, unit)) return STORED;
    if (!c->carries[unit]) return roles & c->desc.zeroed ? ZERO : STORED;
    return roles & off ? ZERO : roles & MSKP_ROLE_SHIFT ? ONE : STORED;
}

bool mskpi_slices_change(const mskp_constants *c, uint32_t param)
{
    for (uint32_t d = 0; d < c->graph->params[param].ndim; d++) {
        uint32_t roles;
        const uint32_t *units = mskpi_axis_units(c->graph, param, d, &roles);
        const size_t n = c->graph->axes[c->graph->params[param].axis + d].length;
        for (size_t i = 0; units && i < n; i++)
            if (content_of(c, units[i], roles) != STORED) return true;
    }
    return false;
}

mskp_status mskpi_slices_make(const mskp_constants *c, const uint8_t *written,
                              const tensor_view *views, slice_changes *s, mskp_error *err)
{
    const mskp_graph *g = c->graph;
    size_t lengths = 0, pieces = 0;
    *s = (slice_changes){.c = c};
    for (uint32_t p = 1; p <= g->nparams; p++) {
        if (!written[p]) continue;
        for (uint32_t d = 0; d < views[p].ndim; d++)
            lengths = mskpi_sum(lengths, views[p].shape[d]);
        pieces += views[p].extent / PIECE + 1;
    }
    s->axis = mskpi_alloc(&c->services, g->naxes, sizeof *s->axis);
    s->state = mskpi_alloc(&c->services, lengths, sizeof *s->state);
    s->zeros = mskpi_alloc(&c->services, lengths, sizeof *s->zeros);
    s->pieces = mskpi_alloc(&c->services, pieces, sizeof *s->pieces);
    if (!s->axis || !s->state || !s->zeros || !s->pieces) return mskpi_constants_no_memory(err);
    uint8_t *state = s->state;
    uint32_t *zeros = s->zeros;
    for (uint32_t p = 1; p <= g->nparams; p++) {
        const tensor_view *v = &views[p];
        if (!written[p] || !v->extent || !mskpi_slices_change(c, p)) continue;
        for (uint32_t d = 0; d < v->ndim; d++) {
            uint32_t roles;
            const uint32_t *units = mskpi_axis_units(g, p, d, &roles);
            slice_axis *a = &s->axis[g->params[p].axis + d];
            if (!units) continue;
            *a = (slice_axis){.state = state, .zeros = zeros};
            for (uint32_t i = 0; i < v->shape[d]; i++) {
                state[i] = (uint8_t)content_of(c, units[i], roles);
                if (state[i] == ZERO) zeros[a->nzeros++] = i;
                a->ones = a->ones || state[i] == ONE;
            }
            state += v->shape[d];
            zeros += a->nzeros;
            if (!a->nzeros && !a->ones) a->state = NULL;
        }
        const size_t n = v->shape[v->order[0]], most = v->extent / PIECE + 1;
        const size_t each = (n + most - 1) / most;
        for (size_t first = 0; first < n; first += each)
            s->pieces[s->npieces++] = (slice_piece){p, first, n - first < each ? n : first + each};
    }
    MSKPI_ASSERT(s->npieces <= pieces);
    return MSKP_OK;
}

void mskpi_slices_free(slice_changes *s)
{
    if (!s->c) return;
    mskpi_free(&s->c->services, s->axis);
    mskpi_free(&s->c->services, s->state);
    mskpi_free(&s->c->services, s->zeros);
    mskpi_free(&s->c->services, s->pieces);
}

/* ---- Writing ---- */

static inline ptrdiff_t step_of(const tensor_view *v, uint32_t level)
{
    const uint32_t d = v->order[level];
    return v->shape[d] > 1 ? v->stride[d] * (ptrdiff_t)v->element : 0;
}

/* Sets everything from `level` on to x. */
static void fill(const slice_job *j, uint32_t level, char *at, double x)
{
    if (j->block[level] && x == 0) {
        memset(at, 0, j->block[level]);
        return;
    }
    if (level == j->v->ndim) {
        mskpi_store(at, j->v->dtype, x);
        return;
    }
    const size_t n = j->v->shape[j->v->order[level]];
    for (size_t i = 0; i < n; i++) fill(j, level + 1, at + step_of(j->v, level) * (ptrdiff_t)i, x);
}

/* Clears n blocks of `bytes` bytes. Inlined for the sizes of single elements, a block is one
 * store. */
static inline void clear_blocks(char *at, ptrdiff_t step, const uint32_t *index, size_t n,
                                size_t bytes)
{
    for (size_t i = 0; i < n; i++) memset(at + step * (ptrdiff_t)index[i], 0, bytes);
}

static void clear_slices(const slice_job *j, uint32_t level, char *at, const uint32_t *index,
                         size_t n)
{
    const ptrdiff_t step = step_of(j->v, level);
    switch (j->block[level + 1]) {
    case 0:
        for (size_t i = 0; i < n; i++) fill(j, level + 1, at + step * (ptrdiff_t)index[i], 0);
        break;
    case 2:
        clear_blocks(at, step, index, n, 2);
        break;
    case 4:
        clear_blocks(at, step, index, n, 4);
        break;
    case 8:
        clear_blocks(at, step, index, n, 8);
        break;
    case 36:
        clear_blocks(at, step, index, n, 36);
        break;
    default:
        clear_blocks(at, step, index, n, j->block[level + 1]);
    }
}

/* Writes the slices from `level` on, of indices first .. end-1 on its axis. one: a slice that
 * becomes 1 has all of them. */
static void write_level(const slice_job *j, uint32_t level, char *at, bool one, size_t first,
                        size_t end)
{
    const slice_axis *a = &j->axis[level];
    const ptrdiff_t step = step_of(j->v, level);
    if (level + 1 == j->levels && !one && !a->ones) {
        size_t from = 0, to;
        while (from < a->nzeros && a->zeros[from] < first) from++;
        for (to = from; to < a->nzeros && a->zeros[to] < end;) to++;
        clear_slices(j, level, at, a->zeros + from, to - from);
        return;
    }
    for (size_t i = first; i < end; i++) {
        char *slice = at + step * (ptrdiff_t)i;
        const uint8_t state = a->state ? a->state[i] : STORED;
        const bool becomes_one = one || state == ONE;
        if (state == ZERO)
            fill(j, level + 1, slice, 0);
        else if (level + 1 < j->levels)
            write_level(j, level + 1, slice, becomes_one, 0, j->v->shape[j->v->order[level + 1]]);
        else if (becomes_one)
            fill(j, level + 1, slice, 1);
    }
}

static void write_piece(void *context, size_t i)
{
    const slice_work *w = context;
    const slice_piece *p = &w->s->pieces[i];
    const tensor_view *v = &w->views[p->param];
    slice_job j = {.v = v};
    j.block[v->ndim] = v->element;
    for (uint32_t k = v->ndim; k-- > 0;) {
        const uint32_t d = v->order[k];
        const bool follows = v->shape[d] < 2 || step_of(v, k) == (ptrdiff_t)j.block[k + 1];
        j.axis[k] = w->s->axis[w->s->c->graph->params[p->param].axis + d];
        if (j.axis[k].state && !j.levels) j.levels = k + 1;
        j.block[k] = follows ? j.block[k + 1] * v->shape[d] : 0;
    }
    write_level(&j, 0, v->data, false, p->first, p->end);
}

void mskpi_slices_write(const slice_changes *s, const tensor_view *views)
{
    slice_work w = {s, views};
    mskpi_parallel(&s->c->services, s->npieces, write_piece, &w);
}

/*
 * The cut: every set of tensors is reduced to what stays, in place or elsewhere; and its inverse,
 * which puts zeros where something was removed.
 *
 * A call makes a job for each tensor of each set, checks all jobs, and then moves all tensors.
 * Nothing is written before everything was checked.
 *
 * In place, mskpi_cut_view (plan.c) lets a tensor begin at its lowest address as before, and keeps
 * the order and the signs of its strides, none of which grows. So every element moves to an address
 * at or below its own, and the new addresses are in the same order as the old ones. move.c moves
 * elements in ascending order of their old addresses: when an element is written, everything at and
 * below its new address was read already. Hence no buffer is necessary. The same holds for a target
 * elsewhere that overlaps its own source, if it lies at or below the source with the same strides.
 *
 * Among tensors the same argument holds. Jobs are sorted by the lowest address of their sources. A
 * target may lie on the source of an earlier job, which is read before, but not on that of a later
 * one, nor on another target or on a tensor that is not moved. mskpi_overlaps finds all pairs whose
 * ranges meet by a sweep over the addresses, and check_pair decides about each pair. Jobs run one
 * after the other if a target lies on another job's source.
 *
 * Otherwise they run on the caller's threads, in pieces of PIECE bytes, so that no thread waits for
 * one large tensor. In place, a piece would overwrite what earlier rows still have to be read for.
 * So the pieces come in waves: a wave takes, of each tensor, as many rows as have their targets
 * below the sources of the whole wave. Such targets lie where everything was read in the waves
 * before, and the pieces of a wave may run in any order. If a tensor becomes r times as long, each
 * wave can be 1/r times as long as all waves before it; so there are few. Pieces depend on shapes
 * and addresses, and not on the threads.
 *
 * The inverse exchanges source and target. It writes to higher addresses, so no order of moves
 * would save a source that lies in a target, and nothing may overlap.
 */
#include <stdbool.h>

#include "base/assert.h"
#include "base/element.h"
#include "base/memory.h"
#include "base/overlap.h"
#include "base/sort.h"
#include "base/status.h"
#include "base/view.h"
#include "describe/graph.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "surgery/move.h"
#include "surgery/plan.h"

/* One tensor that has data. */
typedef struct job {
    tensor_view from, to;
    const uint32_t *kept[MSKP_MAX_DIMS];
    mskp_tensor *write_back; /* in place: the caller's view, which receives the new shape */
    uint32_t param;
    size_t set;
    bool idle;  /* the tensor stays whole, and where it is */
    bool moves; /* there is something to do: the tensor has data, or vanished and is restored */
    size_t rows, done, piece; /* of the mover: all, those of waves before, in a piece of work */
} job;

/* Rows of a job that are one piece of work. */
typedef struct piece {
    const job *job;
    size_t first, n;
} piece;

typedef struct cutter {
    const mskp_plan *plan;
    bool restore; /* the inverse: from the parts to the wholes */
    bool checks;  /* checks alone, and moves nothing */
    job *jobs;
    size_t n;
    uint32_t *order;  /* [n] jobs by source address */
    uint32_t *buffer; /* [n] for sorting */
    bool serial;      /* some target lies on another tensor's source */
    piece *pieces;    /* of one wave */
    size_t npieces;
} cutter;

enum { PIECE = 1 << 18 }; /* bytes of the larger tensor */

static const char *name_of(const mskp_plan *plan, const job *j, char room[NAME_SIZE])
{
    return mskpi_short(plan->text + plan->params[j->param].name, room);
}

/* ---- one job ---- */

/* Whether the target, which overlaps its own source, follows it as a cut in place would: at or
 * below the source, with the strides that keep the order of addresses. */
static bool is_below_source(const job *j, const tensor_view *in_place)
{
    if ((uintptr_t)j->to.low > (uintptr_t)j->from.low) return false;
    for (uint32_t d = 0; d < j->to.ndim; d++)
        if (j->to.shape[d] > 1 && j->to.stride[d] != in_place->stride[d]) return false;
    return true;
}

/* Completes a cut to a target elsewhere that may overlap its own source. */
static mskp_status check_own_source(const cutter *c, job *j, bool whole, mskp_error *err)
{
    tensor_view in_place;
    char room[NAME_SIZE];
    bool hit = false;
    if (!mskpi_ranges_meet(&j->from, &j->to)) return MSKP_OK;
    mskpi_cut_view(&j->from, j->to.shape, &in_place);
    const bool below = is_below_source(j, &in_place);
    if (!below) {
        const mskp_status status =
            mskpi_elements_meet(&c->plan->services, &j->from, &j->to, &hit, err);
        if (status) return status;
    }
    if (hit)
        return mskpi_fail(
            err, MSKP_ERROR_OVERLAP,
            "%s: `to` of set %zu overlaps its own source, and is not below it with the "
            "strides of mskp_plan_views",
            name_of(c->plan, j, room), j->set);
    j->idle = below && whole && j->to.low == j->from.low;
    return MSKP_OK;
}

static mskp_status check_target(const cutter *c, const mskp_tensor *to, mskp_dtype dtype,
                                const job *j, mskp_error *err)
{
    char room[NAME_SIZE];
    if (!to->data)
        return mskpi_fail(err, MSKP_ERROR_NO_DATA,
                          "%s: set %zu has data to move, but `to` has none",
                          name_of(c->plan, j, room), j->set);
    if (to->dtype != dtype)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "%s: `to` of set %zu has dtype %s, `from` has %s",
                          name_of(c->plan, j, room), j->set, mskpi_dtype_name(to->dtype),
                          mskpi_dtype_name(dtype));
    return MSKP_OK;
}

/* *j <- the job of one tensor of one set. A tensor without data is only checked. */
static mskp_status make_job(const cutter *c, const mskp_move *move, size_t set, uint32_t p, job *j,
                            mskp_error *err)
{
    const mskp_plan *plan = c->plan;
    const graph_param *info = &plan->params[p];
    const char *name = plan->text + info->name;
    mskp_tensor *from = &move->from.view[p - 1];
    const mskp_tensor *to = move->to.view ? &move->to.view[p - 1] : NULL;
    size_t full[MSKP_MAX_DIMS], small[MSKP_MAX_DIMS];
    bool whole = true;  /* nothing of this parameter is removed */
    bool empty = false; /* all of it is, so that there is nothing to move */
    *j = (job){.param = p, .set = set};
    for (uint32_t d = 0; d < info->ndim; d++) {
        full[d] = plan->axes[info->axis + d].length;
        small[d] = mskpi_plan_axis(plan, p, d, &j->kept[d]);
        whole = whole && !j->kept[d];
        empty = empty || !small[d];
    }
    const size_t *target_shape = c->restore ? full : small;
    mskp_status status =
        mskpi_view(from, name, info->ndim, c->restore ? small : full, &j->from, err);
    if (status) return status;
    if (!from->data || (empty && to)) {
        if (!to || (!to->data && !to->ndim && !to->elements)) return MSKP_OK;
        j->moves = empty && c->restore && to->data;
        return mskpi_view_in(to, name, "to", info->ndim, target_shape, &j->to, err);
    }
    j->moves = true;
    if (!to) {
        MSKPI_ASSERT(!c->restore); /* check_moves refuses it */
        mskpi_cut_view(&j->from, small, &j->to);
        j->write_back = from;
        j->idle = whole;
        return MSKP_OK;
    }
    status = check_target(c, to, from->dtype, j, err);
    if (!status) status = mskpi_view_in(to, name, "to", info->ndim, target_shape, &j->to, err);
    if (status || c->restore) return status;
    return check_own_source(c, j, whole, err);
}

/* ---- all jobs ---- */

static bool source_before(const void *context, uint32_t a, uint32_t b)
{
    const job *jobs = context;
    const uintptr_t x = (uintptr_t)jobs[a].from.low, y = (uintptr_t)jobs[b].from.low;
    return x != y ? x < y : a < b;
}

/* The views of the sweep over addresses: view 2i is the source of the job at place i of the order,
 * and view 2i + 1 its target. */
static const tensor_view *source_or_target(const void *context, uint32_t k)
{
    const cutter *c = context;
    MSKPI_ASSERT(k / 2 < c->n);
    const job *j = &c->jobs[c->order[k / 2]];
    return k % 2 ? &j->to : &j->from;
}

static bool is_written(const cutter *c, uint32_t k)
{
    return k % 2 && !c->jobs[c->order[k / 2]].idle;
}

/* Refuses two views whose ranges meet if one would be written onto the other too early. */
static mskp_status check_pair(void *context, uint32_t a, uint32_t b, mskp_error *err)
{
    cutter *c = context;
    char room_a[NAME_SIZE], room_b[NAME_SIZE];
    bool hit;
    if (!is_written(c, a)) { /* let a be the view that is written, if one is */
        const uint32_t swap = a;
        a = b;
        b = swap;
    }
    if (!is_written(c, a)) return MSKP_OK;
    if (!c->restore && a / 2 == b / 2) return MSKP_OK; /* check_own_source has looked at it */
    if (!c->restore && b % 2 == 0) {
        c->serial = true;
        if (b / 2 < a / 2 && !c->jobs[c->order[b / 2]].idle) return MSKP_OK; /* b is read before */
    }
    const job *writer = &c->jobs[c->order[a / 2]], *victim = &c->jobs[c->order[b / 2]];
    const mskp_status status = mskpi_elements_meet(&c->plan->services, source_or_target(c, a),
                                                   source_or_target(c, b), &hit, err);
    if (status || !hit) return status;
    return mskpi_fail(err, MSKP_ERROR_OVERLAP, "%s (set %zu) would be written onto %s (set %zu)%s",
                      name_of(c->plan, writer, room_a), writer->set,
                      name_of(c->plan, victim, room_b), victim->set,
                      b % 2 ? "" : ", which is still needed");
}

static void make_mover(const cutter *c, const job *j, mover *m)
{
    mskpi_mover_make(c->restore ? &j->to : &j->from, c->restore ? &j->from : &j->to, j->kept, m);
}

static void do_piece(void *context, size_t i)
{
    const cutter *c = context;
    const piece *p = &c->pieces[i];
    mover m;
    make_mover(c, p->job, &m);
    if (c->restore)
        mskpi_restore(&m, &p->job->to, p->first, m.rows ? p->n : 0);
    else
        mskpi_gather(&m, p->first, p->n);
}

static mskp_status check_moves(const cutter *c, size_t sets, const mskp_move *moves,
                               mskp_error *err)
{
    const mskp_plan *plan = c->plan;
    if (!plan || (sets && !moves))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s is NULL", plan ? "moves" : "plan");
    for (size_t s = 0; s < sets; s++) {
        mskp_status status = mskpi_check_set(moves[s].from, "from", plan->nparams, err);
        if (!status && moves[s].to.view)
            status = mskpi_check_set(moves[s].to, "to", plan->nparams, err);
        if (status) return status;
        if (c->restore && !moves[s].to.view)
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                              "set %zu: `to` is NULL: what was larger cannot be restored in place",
                              s);
    }
    if (sets > (MOST / 2 - 1) / (plan->nparams + 1)) /* two views for each job */
        return mskpi_fail(err, MSKP_ERROR_UNSUPPORTED, "%zu sets of %zu parameters are too many",
                          sets, plan->nparams);
    return MSKP_OK;
}

/* Makes and checks all jobs. */
static mskp_status make_jobs(cutter *c, size_t sets, const mskp_move *moves, mskp_error *err)
{
    const mskp_services *services = &c->plan->services;
    const size_t params = c->plan->nparams;
    for (size_t s = 0; s < sets; s++)
        for (uint32_t p = 1; p <= params; p++) {
            /* A job that does nothing is overwritten by the next. The array has an entry for it. */
            const mskp_status status = make_job(c, &moves[s], s, p, &c->jobs[c->n], err);
            if (status) return status;
            c->n += c->jobs[c->n].moves;
        }
    MSKPI_ASSERT(c->n <= sets * params);
    for (uint32_t i = 0; i < c->n; i++) c->order[i] = i;
    mskpi_sort(c->order, c->buffer, c->n, source_before, c->jobs);
    return mskpi_overlaps(services, 2 * c->n, source_or_target, check_pair, c, err);
}

/* After a cut in place, views without data that had a shape receive their new one. A set that was
 * passed twice has it already, and then its view no longer fits the plan. */
static void shrink_absent(const mskp_plan *plan, mskp_tensors set)
{
    for (uint32_t p = 1; p <= plan->nparams; p++) {
        tensor_view cut;
        mskp_tensor *t = &set.view[p - 1];
        if (t->data || (!t->ndim && !t->elements)) continue;
        if (mskpi_plan_view(plan, p, t, &cut, NULL)) continue;
        mskpi_describe_view(&cut, t);
    }
}

static mskp_status no_memory(size_t sets, mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while checking %zu sets",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY), sets);
}

/* Divides the jobs, and makes room for the pieces of any wave. */
static mskp_status divide_jobs(cutter *c, size_t sets, mskp_error *err)
{
    const mskp_services *services = &c->plan->services;
    size_t most = 0;
    for (size_t i = 0; i < c->n; i++) {
        job *j = &c->jobs[i];
        mover m;
        if (j->idle) continue;
        make_mover(c, j, &m);
        j->rows = m.rows ? m.rows : c->restore; /* without rows there is still what is cleared */
        if (!j->rows) continue;
        const size_t row = (size_t)(m.high - m.low) / j->rows;
        const bool divides = !c->serial && services->parallel_for && (m.dense || !c->restore);
        j->piece = !divides ? j->rows : row < PIECE ? PIECE / (row ? row : 1) : 1;
        most += j->rows / j->piece + 1;
    }
    c->pieces = mskpi_alloc(services, most, sizeof *c->pieces);
    return c->pieces ? MSKP_OK : no_memory(sets, err);
}

/* Makes the pieces of the next wave. Returns whether there are any. */
static bool next_wave(cutter *c)
{
    c->npieces = 0;
    for (size_t i = 0; i < c->n; i++) {
        job *j = &c->jobs[c->order[i]];
        if (j->done == j->rows) continue;
        size_t end = j->rows;
        if (!c->restore && mskpi_ranges_meet(&j->from, &j->to)) {
            mover m;
            make_mover(c, j, &m);
            end = j->done + mskpi_gather_at_once(&m, j->done, j->piece);
        }
        for (size_t n; j->done < end; j->done += n) {
            n = end - j->done < j->piece ? end - j->done : j->piece;
            c->pieces[c->npieces++] = (piece){j, j->done, n};
        }
    }
    return c->npieces > 0;
}

static void do_jobs(cutter *c, size_t sets, const mskp_move *moves)
{
    while (next_wave(c))
        if (c->serial)
            for (size_t i = 0; i < c->npieces; i++) do_piece(c, i);
        else
            mskpi_parallel(&c->plan->services, c->npieces, do_piece, c);
    for (size_t i = 0; i < c->n; i++)
        if (c->jobs[i].write_back) mskpi_describe_view(&c->jobs[i].to, c->jobs[i].write_back);
    for (size_t s = 0; s < sets; s++)
        if (!moves[s].to.view) shrink_absent(c->plan, moves[s].from);
}

static mskp_status move_sets(cutter c, size_t sets, const mskp_move *moves, mskp_error *err)
{
    mskp_status status = check_moves(&c, sets, moves, err);
    if (status) return status;
    const size_t most = sets * c.plan->nparams;
    const mskp_services *services = &c.plan->services;
    c.jobs = mskpi_alloc(services, most + 1, sizeof *c.jobs);
    c.order = mskpi_alloc(services, most, sizeof *c.order);
    c.buffer = mskpi_alloc(services, most, sizeof *c.buffer);
    if (!c.jobs || !c.order || !c.buffer)
        status = no_memory(sets, err);
    else
        status = make_jobs(&c, sets, moves, err);
    if (!status && !c.checks) status = divide_jobs(&c, sets, err);
    if (!status && !c.checks) do_jobs(&c, sets, moves);
    mskpi_free(services, c.jobs);
    mskpi_free(services, c.order);
    mskpi_free(services, c.buffer);
    mskpi_free(services, c.pieces);
    return status;
}

/* A plan of mskp_constants_plan cuts only what mskp_constants_apply has changed. */
static mskp_status cut_sets(cutter c, size_t sets, const mskp_move *moves, mskp_error *err)
{
    if (c.plan && c.plan->awaits_constants)
        return mskpi_fail(err, MSKP_ERROR_BAD_STATE,
                          "the plan is of mskp_constants_plan, and mskp_constants_apply has not "
                          "been called with it");
    return move_sets(c, sets, moves, err);
}

mskp_status mskp_plan_cut(const mskp_plan *plan, size_t n, const mskp_move *moves, mskp_error *err)
{
    return cut_sets((cutter){.plan = plan}, n, moves, err);
}

mskp_status mskp_plan_check(const mskp_plan *plan, size_t n, const mskp_move *moves,
                            mskp_error *err)
{
    return cut_sets((cutter){.plan = plan, .checks = true}, n, moves, err);
}

mskp_status mskp_plan_restore(const mskp_plan *plan, size_t n, const mskp_move *moves,
                              mskp_error *err)
{
    return move_sets((cutter){.plan = plan, .restore = true}, n, moves, err);
}

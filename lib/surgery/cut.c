/*
 * The cut: every set of tensors is compacted, in place or elsewhere. And the way back, with zeros
 * for what is gone. All checks come before the first byte moves.
 *
 * Elements move in ascending order of their source addresses by nested loops over the axes, the
 * largest stride outermost; the innermost loops are specialized by element size. The way back is
 * the same loops with source and target exchanged, after the target was cleared; nothing may
 * overlap there. Which tensors share memory is found over all sets at once (base/overlap.c).
 */
#include <string.h>

#include "base/element.h"
#include "base/memory.h"
#include "base/overlap.h"
#include "base/sort.h"
#include "base/status.h"
#include "base/view.h"
#include "describe/graph.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "surgery/plan.h"

/* ---- moving one tensor ---- */

/* Between a whole tensor and the part of it that is kept. */
typedef enum direction {
    GATHER,  /* part <- whole */
    SCATTER, /* whole <- part */
    CLEAR    /* part <- zeros */
} direction;

/* One axis of the move. Iteration t visits kept element `reverse ? n-1-t : t`, so that addresses of
 * the whole ascend. */
typedef struct loop {
    size_t n;
    const uint32_t *kept;  /* NULL: all */
    ptrdiff_t whole, part; /* bytes per index */
    int reverse;
} loop;

typedef struct mover {
    loop loops[MSKP_MAX_DIMS];
    uint32_t nloops;
    size_t bytes; /* contiguous in both, moved at once */
    direction direction;
} mover;

static inline void move_item(direction how, char *whole, char *part, size_t bytes)
{
    if (how == GATHER)
        memmove(part, whole, bytes);
    else if (how == SCATTER)
        memmove(whole, part, bytes);
    else
        memset(part, 0, bytes);
}

/* The innermost loop. Where bytes and direction are constants, an item is one instruction; more so
 * where items lie side by side in both. */
static inline void move_items(const loop *l, direction how, char *whole, char *part, size_t bytes)
{
    const ptrdiff_t next = l->reverse ? -1 : 1, item = (ptrdiff_t)bytes;
    ptrdiff_t i = l->reverse ? (ptrdiff_t)l->n - 1 : 0;
    if (l->kept && l->whole == item && l->part == item && !l->reverse)
        for (size_t t = 0; t < l->n; t++, part += item)
            move_item(how, whole + item * (ptrdiff_t)l->kept[t], part, bytes);
    else if (l->kept)
        for (size_t t = 0; t < l->n; t++, i += next)
            move_item(how, whole + l->whole * (ptrdiff_t)l->kept[i], part + l->part * i, bytes);
    else
        for (size_t t = 0; t < l->n; t++, i += next)
            move_item(how, whole + l->whole * i, part + l->part * i, bytes);
}

/* Single elements of all sizes, and kernels of 3 x 3 floats. */
static inline void move_sized(const loop *l, direction how, char *whole, char *part, size_t bytes)
{
    switch (bytes) {
    case 1:
        move_items(l, how, whole, part, 1);
        break;
    case 2:
        move_items(l, how, whole, part, 2);
        break;
    case 4:
        move_items(l, how, whole, part, 4);
        break;
    case 8:
        move_items(l, how, whole, part, 8);
        break;
    case 36:
        move_items(l, how, whole, part, 36);
        break;
    default:
        move_items(l, how, whole, part, bytes);
    }
}

static void move_loops(const mover *m, uint32_t level, char *whole, char *part)
{
    if (level == m->nloops) {
        move_item(m->direction, whole, part, m->bytes);
        return;
    }
    const loop *l = &m->loops[level];
    if (level + 1 < m->nloops) {
        for (size_t t = 0; t < l->n; t++) {
            const size_t i = l->reverse ? l->n - 1 - t : t;
            const size_t at = l->kept ? l->kept[i] : i;
            move_loops(m, level + 1, whole + l->whole * (ptrdiff_t)at,
                       part + l->part * (ptrdiff_t)i);
        }
        return;
    }
    switch (m->direction) {
    case GATHER:
        move_sized(l, GATHER, whole, part, m->bytes);
        break;
    case SCATTER:
        move_sized(l, SCATTER, whole, part, m->bytes);
        break;
    default:
        move_sized(l, CLEAR, whole, part, m->bytes);
    }
}

/* part[i...] and whole[kept[i]...]; kept[d] NULL: all of axis d. Addresses of the whole ascend. */
static void move_tensor(direction how, const tensor_view *whole, const tensor_view *part,
                        const uint32_t *const kept[MSKP_MAX_DIMS])
{
    mover m = {.bytes = whole->element, .direction = how};
    const ptrdiff_t element = (ptrdiff_t)whole->element;
    uint32_t inner = whole->ndim;
    /* Axes that follow each other without a gap in both are one block of bytes. */
    while (inner > 0) {
        const uint32_t d = whole->order[inner - 1];
        if (part->shape[d] > 1 || whole->shape[d] > 1) {
            if (kept[d] || whole->stride[d] * element != (ptrdiff_t)m.bytes ||
                part->stride[d] * element != (ptrdiff_t)m.bytes)
                break;
            m.bytes *= part->shape[d];
        }
        inner--;
    }
    for (uint32_t k = 0; k < inner; k++) {
        const uint32_t d = whole->order[k];
        m.loops[m.nloops++] = (loop){.n = part->shape[d],
                                     .kept = kept[d],
                                     .whole = whole->shape[d] > 1 ? whole->stride[d] * element : 0,
                                     .part = part->shape[d] > 1 ? part->stride[d] * element : 0,
                                     .reverse = whole->shape[d] > 1 && whole->stride[d] < 0};
    }
    move_loops(&m, 0, whole->data, part->data);
}

static void clear_tensor(const tensor_view *v)
{
    const uint32_t *const all[MSKP_MAX_DIMS] = {NULL};
    move_tensor(CLEAR, v, v, all);
}

/* ---- the cut, and the way back ---- */

typedef struct job {
    tensor_view from, to;
    const uint32_t *kept[MSKP_MAX_DIMS];
    mskp_tensor *write_back; /* in place: the host's view to correct */
    uint32_t param;
    size_t set;
    int idle; /* stays where it is, whole */
} job;

typedef struct cutter {
    const mskp_plan *plan;
    int restore; /* from the parts to the wholes */
    job *jobs;
    size_t n;
    uint32_t *order; /* jobs by source address */
    uint32_t *other; /* for sorting */
    int serial;      /* some target lies on another tensor's source */
} cutter;

static const char *name_of(const mskp_plan *plan, const job *j, char room[NAME_SIZE])
{
    return mskpi_short(plan->text + plan->params[j->param].name, room);
}

/* What one tensor of one set asks for. */
static mskp_status make_job(const cutter *c, const mskp_move *move, size_t set, uint32_t p, job *j,
                            mskp_error *err)
{
    const mskp_plan *plan = c->plan;
    const graph_param *info = &plan->params[p];
    const char *name = plan->text + info->name;
    char room[NAME_SIZE];
    size_t shape[MSKP_MAX_DIMS], length[MSKP_MAX_DIMS];
    tensor_view in_place;
    int whole = 1;
    *j = (job){.param = p, .set = set};
    for (uint32_t d = 0; d < info->ndim; d++) {
        shape[d] = plan->axes[info->axis + d].length;
        length[d] = mskpi_plan_axis(plan, p, d, &j->kept[d]);
        whole &= !j->kept[d];
    }
    mskp_status status = mskpi_view(&move->from.view[p - 1], name, info->ndim,
                                    c->restore ? length : shape, &j->from, err);
    if (status) return status;
    const mskp_tensor *to = move->to.view ? &move->to.view[p - 1] : NULL;
    if (!move->from.view[p - 1].data) {
        if (!to || (!to->data && !to->ndim && !to->elements)) return MSKP_OK;
        return mskpi_view_in(to, name, "to", info->ndim, c->restore ? shape : length, &j->to, err);
    }
    if (!c->restore) mskpi_cut_view(&j->from, length, &in_place);
    if (!to) {
        j->to = in_place;
        j->write_back = &move->from.view[p - 1];
        j->idle = whole;
        return MSKP_OK;
    }
    if (!to->data)
        return mskpi_fail(err, MSKP_ERROR_NO_DATA,
                          "%s: set %zu has data to move, but `to` has none",
                          mskpi_short(name, room), set);
    if (to->dtype != move->from.view[p - 1].dtype)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "%s: `to` of set %zu has dtype %s, `from` has %s",
                          mskpi_short(name, room), set, mskpi_dtype_name(to->dtype),
                          mskpi_dtype_name(move->from.view[p - 1].dtype));
    status = mskpi_view_in(to, name, "to", info->ndim, c->restore ? shape : length, &j->to, err);
    if (status) return status;
    if (c->restore || !mskpi_ranges_meet(&j->from, &j->to)) return MSKP_OK;
    /* On its own source: downwards, with the strides that keep the order of addresses. */
    int same = (uintptr_t)j->to.low <= (uintptr_t)j->from.low;
    bool hit = false;
    for (uint32_t d = 0; d < info->ndim; d++)
        same &= length[d] < 2 || j->to.stride[d] == in_place.stride[d];
    if (!same && (status = mskpi_elements_meet(&plan->host, &j->from, &j->to, &hit, err)))
        return status;
    if (hit)
        return mskpi_fail(
            err, MSKP_ERROR_OVERLAP,
            "%s: `to` of set %zu overlaps its own source, and is not below it with the "
            "strides of mskp_plan_views",
            mskpi_short(name, room), set);
    j->idle = same && whole && j->to.low == j->from.low;
    return MSKP_OK;
}

/* In place, views without data get their new shapes, where they said one. */
static void shrink_absent(const mskp_plan *plan, mskp_tensors set)
{
    for (uint32_t p = 1; p <= plan->nparams; p++) {
        tensor_view cut;
        mskp_tensor *t = &set.view[p - 1];
        if (t->data || (!t->ndim && !t->elements)) continue;
        if (mskpi_plan_view(plan, p, t, &cut, NULL)) continue; /* a set twice: done */
        mskpi_describe_view(&cut, t);
    }
}

static bool source_before(const void *context, uint32_t a, uint32_t b)
{
    const job *jobs = context;
    const uintptr_t x = (uintptr_t)jobs[a].from.low, y = (uintptr_t)jobs[b].from.low;
    return x != y ? x < y : a < b;
}

/* Interval 2i is the source of the job at place i of the order, 2i + 1 its target. */
static const tensor_view *interval(const void *context, uint32_t k)
{
    const cutter *c = context;
    const job *j = &c->jobs[c->order[k / 2]];
    return k % 2 ? &j->to : &j->from;
}

/* Is interval k written to? */
static int written(const cutter *c, uint32_t k)
{
    return k % 2 && !c->jobs[c->order[k / 2]].idle;
}

/* Two intervals whose ranges meet: may both be? */
static mskp_status check_pair(void *context, uint32_t a, uint32_t b, mskp_error *err)
{
    cutter *c = context;
    char room_a[NAME_SIZE], room_b[NAME_SIZE];
    bool hit;
    if (!written(c, a)) { /* a: written to; b: anything */
        const uint32_t swap = a;
        a = b;
        b = swap;
    }
    if (!written(c, a)) return MSKP_OK;                /* two that stay */
    if (!c->restore && a / 2 == b / 2) return MSKP_OK; /* a tensor and itself */
    if (!c->restore && b % 2 == 0) {
        c->serial = 1;
        if (b / 2 < a / 2 && !c->jobs[c->order[b / 2]].idle) return MSKP_OK; /* read before */
    }
    const job *writer = &c->jobs[c->order[a / 2]], *victim = &c->jobs[c->order[b / 2]];
    const mskp_status status =
        mskpi_elements_meet(&c->plan->host, interval(c, a), interval(c, b), &hit, err);
    if (status || !hit) return status;
    return mskpi_fail(err, MSKP_ERROR_OVERLAP, "%s (set %zu) would be written onto %s (set %zu)%s",
                      name_of(c->plan, writer, room_a), writer->set,
                      name_of(c->plan, victim, room_b), victim->set,
                      b % 2 ? "" : ", which is still needed");
}

static void move_one(void *context, size_t i)
{
    const cutter *c = context;
    const job *j = &c->jobs[c->order[i]];
    if (c->restore) {
        clear_tensor(&j->to);
        move_tensor(SCATTER, &j->to, &j->from, j->kept);
    } else if (!j->idle) {
        move_tensor(GATHER, &j->from, &j->to, j->kept);
    }
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
    if (sets > (UINT32_MAX / 2 - 1) / (plan->nparams + 1))
        return mskpi_fail(err, MSKP_ERROR_UNSUPPORTED, "%zu sets of %zu parameters are too many",
                          sets, plan->nparams);
    return MSKP_OK;
}

static mskp_status move_sets(cutter c, size_t sets, const mskp_move *moves, mskp_error *err)
{
    mskp_status status = check_moves(&c, sets, moves, err);
    if (status) return status;
    const size_t params = c.plan->nparams;
    const mskp_services *host = &c.plan->host;
    c.jobs =
        mskpi_alloc(host, sets * params + 1, sizeof *c.jobs); /* a last one for absent tensors */
    c.order = mskpi_alloc(host, sets * params, sizeof *c.order);
    c.other = mskpi_alloc(host, sets * params, sizeof *c.other);
    if (!c.jobs || !c.order || !c.other)
        status = mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while checking %zu sets",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY), sets);
    for (size_t s = 0; !status && s < sets; s++)
        for (uint32_t p = 1; !status && p <= params; p++) {
            status = make_job(&c, &moves[s], s, p, &c.jobs[c.n], err);
            c.n += moves[s].from.view[p - 1].data != NULL;
        }
    if (!status) {
        for (uint32_t i = 0; i < c.n; i++) c.order[i] = i;
        mskpi_sort(c.order, c.other, c.n, source_before, c.jobs);
        status = mskpi_overlaps(host, 2 * c.n, interval, check_pair, &c, err);
    }
    if (!status) {
        if (c.serial)
            for (size_t i = 0; i < c.n; i++) move_one(&c, i);
        else
            mskpi_parallel(host, c.n, move_one, &c);
        for (size_t i = 0; i < c.n; i++)
            if (c.jobs[i].write_back) mskpi_describe_view(&c.jobs[i].to, c.jobs[i].write_back);
        for (size_t s = 0; s < sets; s++)
            if (!moves[s].to.view) shrink_absent(c.plan, moves[s].from);
    }
    mskpi_free(host, c.jobs);
    mskpi_free(host, c.order);
    mskpi_free(host, c.other);
    return status;
}

mskp_status mskp_plan_cut(const mskp_plan *plan, size_t n, const mskp_move *moves, mskp_error *err)
{
    if (plan && plan->awaits_constants)
        return mskpi_fail(err, MSKP_ERROR_BAD_STATE,
                          "the plan is of mskp_constants_plan, and mskp_constants_apply has not "
                          "been called with it");
    return move_sets((cutter){.plan = plan}, n, moves, err);
}

mskp_status mskp_plan_restore(const mskp_plan *plan, size_t n, const mskp_move *moves,
                              mskp_error *err)
{
    return move_sets((cutter){.plan = plan, .restore = 1}, n, moves, err);
}

/* ---- bare ---- */

mskp_status mskp_gather(const mskp_services *given, const mskp_tensor *from, uint32_t axis,
                        size_t n, const uint32_t *index, const mskp_tensor *to, mskp_error *err)
{
    mskp_services host;
    tensor_view source, target;
    const uint32_t *kept[MSKP_MAX_DIMS] = {NULL};
    size_t shape[MSKP_MAX_DIMS], span = 1;
    bool hit = false;
    mskp_status status = mskpi_check_services(given, err);
    if (!status) status = MSKPI_GIVEN(err, from, to);
    if (!status && n) status = MSKPI_GIVEN(err, index);
    if (status) return status;
    if (!from->data || !to->data)
        return mskpi_fail(err, MSKP_ERROR_NO_DATA, "gather: %s has no data",
                          from->data ? "to" : "from");
    if (from->ndim < 1 || from->ndim > MSKP_MAX_DIMS || axis >= from->ndim)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                          "gather: axis %u of a tensor with %u axes (1 to %d)", axis, from->ndim,
                          MSKP_MAX_DIMS);
    if (to->ndim != from->ndim)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE, "gather: to has %u axes, from has %u",
                          to->ndim, from->ndim);
    if (to->dtype != from->dtype)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "gather: to has dtype %s, from has %s",
                          mskpi_dtype_name(to->dtype), mskpi_dtype_name(from->dtype));
    for (uint32_t d = 0; d < from->ndim; d++) {
        if (!from->shape[d] || !mskpi_product_fits(span, from->shape[d], &span) || span > PTRDIFF_MAX / 16)
            return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE, "gather: axis %u of from has length %zu",
                              d, from->shape[d]);
        shape[d] = d == axis ? n : from->shape[d];
    }
    if (!n || !mskpi_product_fits(span / from->shape[axis], n, &span) || span > PTRDIFF_MAX / 16)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE, "gather: %zu indices", n);
    for (size_t i = 0; i < n; i++)
        if (index[i] >= from->shape[axis])
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                              "gather: index %zu is %u, axis %u of from has length %zu", i,
                              index[i], axis, from->shape[axis]);
    status = mskpi_view(from, "gather: from", from->ndim, from->shape, &source, err);
    if (!status) status = mskpi_view(to, "gather: to", to->ndim, shape, &target, err);
    if (status) return status;
    mskpi_services_init(&host, given);
    status = mskpi_elements_meet(&host, &source, &target, &hit, err);
    if (status) return status;
    if (hit) return mskpi_fail(err, MSKP_ERROR_OVERLAP, "gather: from and to overlap");
    kept[axis] = index;
    move_tensor(GATHER, &source, &target, kept);
    return MSKP_OK;
}

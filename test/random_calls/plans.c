/* Plans with any arguments: maps, the way back; two masks as one. */
#include "caller.h"

#include "by_id/by_id.h"
#include <string.h>

/* ---- Maps ---- */

static void require_map(const uint32_t *map, const uint32_t *units, size_t n, const uint8_t *keep,
                        bool vanishes)
{
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const bool stays = vanishes ? false : !units || units[i] == MSKP_PINNED || keep[units[i]];
        REQUIRE(map[i] == (stays ? at : MSKP_REMOVED), "index %zu becomes %u", i, map[i]);
        at += stays;
    }
}

/* More numbers than that are not made. */
enum { MOST_INDICES = 1 << 16 };

typedef struct asked {
    size_t n, there; /* the length that is given, and what there is; 0: nothing */
    uint32_t *map;
} asked;

static asked ask(user *u, size_t there)
{
    const size_t room = there > MOST_INDICES ? 1 : there;
    asked a = {wrong_or(u, room), there, arena_get(&u->mem, room, sizeof *a.map)};
    for (size_t i = 0; i < room; i++) a.map[i] = 77;
    return a;
}

static void require_answer(user *u, const asked *a, const uint32_t *units, bool vanishes,
                           mskp_status status, const mskp_error *err)
{
    const mskp_status due = !a->there          ? MSKP_ERROR_BAD_ARGUMENT
                            : a->n != a->there ? MSKP_ERROR_BAD_SHAPE
                                               : MSKP_OK;
    REQUIRE(status == due, "%d for %zu of %zu", (int)status, a->n, a->there);
    if (!status) {
        require_map(a->map, units, a->n, u->keep, vanishes);
        return;
    }
    require_refusal(u, status, err, u->heap->live);
    REQUIRE(!a->there || a->map[0] == 77, "a refused map");
}

void call_maps(user *u)
{
    mskp_graph *small = NULL;
    mskp_error err = {0};
    size_t channels = 0, shape[MSKP_MAX_DIMS] = {0};
    mskp_plan *plan = planned(u, &small);
    if (!plan) return;
    const mskp_value v = {(uint32_t)wrong_or(u, rng_below(u->r, u->n.values + 1))};
    const uint32_t *units = mskp_value_units(u->g, v, &channels);
    asked a = ask(u, units ? channels : 0);
    mskp_status status = mskp_plan_value_map(plan, v, a.n, a.map, &err);
    require_answer(u, &a, units, mskp_plan_fate(plan, v) == MSKP_FATE_VANISHES, status, &err);

    const mskp_param p = {(uint32_t)wrong_or(u, rng_below(u->r, u->n.params + 1))};
    const uint32_t ndim = mskp_param_shape(u->g, p, shape);
    const uint32_t axis = (uint32_t)wrong_or(u, rng_below(u->r, MSKP_MAX_DIMS));
    a = ask(u, axis < ndim ? shape[axis] : 0);
    status = mskp_plan_param_map(plan, p, axis, a.n, a.map, &err);
    size_t count;
    (void)mskp_plan_param_kept(plan, p, axis, &count);
    require_answer(u, &a, mskp_param_units(u->g, p, axis, NULL, NULL), !count, status, &err);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
}

/* ---- Two masks as one ---- */

void call_compose(user *u)
{
    size_t left = 0, at = 0;
    mskp_error err = {0};
    uint8_t *both = arena_get(&u->mem, u->n.units, 1);
    for (size_t i = 0; i < u->n.units; i++) left += u->keep[i] != 0;
    uint8_t *second = arena_get(&u->mem, left, 1);
    for (size_t i = 0; i < left; i++) second[i] = (uint8_t)rng_below(u->r, 3);
    const size_t units = wrong_or(u, u->n.units), small = wrong_or(u, left), live = u->heap->live;
    const bool alone = rng_chance(u->r, 0.3);
    memset(both, 0xEE, u->n.units);
    if (alone && u->n.units) memcpy(both, u->keep, u->n.units);
    const mskp_status status =
        mskp_mask_compose(u->g, mask_of(units, alone ? both : u->keep), mask_of(small, second),
                          mask_of(units, both), &err);
    REQUIRE(!status == (units == u->n.units && small == left), "%d for %zu of %zu and %zu of %zu",
            (int)status, units, u->n.units, small, left);
    if (status) require_refusal(u, status, &err, live);
    for (size_t i = 0; i < u->n.units; i++) {
        const uint8_t due = u->keep[i] && second[at] ? 1 : 0;
        at += u->keep[i] && at + 1 < left;
        REQUIRE(both[i] == (!status ? due : alone ? u->keep[i] : 0xEE), "unit %zu: %u", i, both[i]);
    }
}

/* ---- The way back ---- */

/* New memory for the set's tensors, in the shapes of the graph. */
static mskp_tensor *new_set(user *u, const mskp_graph *g, view_buf *buf)
{
    mskp_tensor *all = arena_get(&u->mem, u->n.params + 1, sizeof *all);
    for (uint32_t p = 1; p <= u->n.params; p++) {
        size_t shape[MSKP_MAX_DIMS];
        const uint32_t ndim = mskp_param_shape(g, (mskp_param){p}, shape);
        if (!u->values[p].data) continue;
        buf[p] = view_make(&u->mem, u->r, u->values[p].dtype, ndim, shape,
                           (view_style)rng_below(u->r, VIEW_STYLES));
        all[p] = buf[p].view;
    }
    return all;
}

/* What stayed is what it was, the rest zero. */
static void require_restored(const user *u, uint32_t p, const mskp_tensor *full, bool vanished)
{
    size_t shape[MSKP_MAX_DIMS], index[MSKP_MAX_DIMS] = {0};
    const uint32_t *units[MSKP_MAX_DIMS];
    const unsigned char zero[16] = {0};
    const uint32_t ndim = mskp_param_shape(u->g, (mskp_param){p}, shape);
    const mskp_tensor was = view_resolve(&u->values[p], ndim, shape);
    const mskp_tensor is = view_resolve(full, ndim, shape);
    for (uint32_t d = 0; d < ndim; d++)
        units[d] = mskp_param_units(u->g, (mskp_param){p}, d, NULL, NULL);
    do {
        bool stays = !vanished;
        for (uint32_t d = 0; d < ndim; d++) {
            const uint32_t unit = units[d] ? units[d][index[d]] : MSKP_PINNED;
            stays = stays && (unit == MSKP_PINNED || u->keep[unit]);
        }
        REQUIRE(
            !memcmp(view_at(&is, index), stays ? view_at(&was, index) : zero, dtype_size(is.dtype)),
            "parameter %u: an element is not what it was", p);
    } while (next_index(ndim, shape, index));
}

void call_restore(user *u)
{
    mskp_graph *small = NULL;
    mskp_error err = {0};
    mskp_plan *plan = planned(u, &small);
    if (!plan) return;
    view_buf *buf = arena_get(&u->mem, u->n.params + 1, sizeof *buf);
    mskp_tensor *from = copy_of(u, u->values), *less = new_set(u, small, buf);
    mskp_tensor *full = new_set(u, u->g, buf);
    const move_by_id cut = {from, less}, back = {less, full};
    const size_t live = u->heap->live, params = wrong_or(u, u->n.params);
    mskp_status status = cut_by_id(plan, u->n.params, 1, &cut, &err);
    if (!status) {
        const bool wrong =
            rng_chance(u->r, 0.2) && spoil_set(u, rng_chance(u->r, 0.5) ? full : less);
        endanger(u);
        status = restore_by_id(plan, params, 1, &back, &err);
        REQUIRE(status ? wrong || params != u->n.params || status == MSKP_ERROR_NO_MEMORY
                       : !wrong && params == u->n.params,
                "restore: %d %s", (int)status, err.text);
        for (uint32_t p = 1; p <= u->n.params; p++) {
            if (!u->values[p].data) continue;
            size_t count;
            (void)mskp_plan_param_kept(plan, (mskp_param){p}, 0, &count);
            if (!status) require_restored(u, p, &full[p], !count);
            for (size_t i = 0; status && i < buf[p].bytes; i++)
                REQUIRE(buf[p].memory[i] == 0xA5, "a refused restore wrote");
        }
    }
    if (status) require_refusal(u, status, &err, live);
    limited_heap_fail(u->heap, 0);
    REQUIRE(u->heap->live == live, "a plan keeps memory");
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
}

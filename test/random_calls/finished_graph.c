/* Calls on a finished graph with any arguments: plans, cuts, scores, selection, penalties. */
#include "caller.h"

#include "by_id/by_id.h"
#include <math.h>
#include <string.h>

enum { MOST_ELEMENTS = 512 };

size_t wrong_or(user *u, size_t good)
{
    return rng_chance(u->r, 0.03) ? absurd(u->r) : good;
}

void endanger(user *u)
{
    limited_heap_fail(u->heap, rng_chance(u->r, 0.3) ? rng_from(u->r, 1, 40) : 0);
}

void require_refusal(user *u, mskp_status status, const mskp_error *err, size_t live)
{
    require_sentence(status, err);
    REQUIRE(status == MSKP_ERROR_NO_MEMORY ? may_be_empty(u->heap) : !u->heap->empty, "%s",
            err->text);
    REQUIRE(u->heap->live == live, "%zu blocks are left: %s", u->heap->live - live, err->text);
    limited_heap_fail(u->heap, 0);
}

uint8_t *random_keep(user *u)
{
    uint8_t *keep = arena_get(&u->mem, u->n.units, 1);
    const double share = (double)rng_below(u->r, 5) / 4;
    for (size_t i = 0; i < u->n.units; i++)
        keep[i] = rng_chance(u->r, share) ? (uint8_t)rng_from(u->r, 1, 255) : 0;
    return keep;
}

static size_t kept_in(const uint32_t *units, size_t n, const uint8_t *keep)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) kept += units[i] == MSKP_PINNED || keep[units[i]];
    return kept;
}

/* ---- Plans ---- */

bool empties(const user *u, const uint8_t *keep)
{
    bool empty = false;
    size_t n;
    for (uint32_t v = 1; v <= u->n.values; v++) {
        const uint32_t *units = mskp_value_units(u->g, (mskp_value){v}, &n);
        empty |= !kept_in(units, n, keep);
    }
    for (uint32_t p = 1; p <= u->n.params; p++)
        for (uint32_t d = 0; d < MSKP_MAX_DIMS; d++) {
            const uint32_t *units = mskp_param_units(u->g, (mskp_param){p}, d, NULL, &n);
            empty |= units && !kept_in(units, n, keep);
        }
    return empty;
}

static void require_indices(const uint32_t *index, size_t count, const uint32_t *units, size_t n,
                            const uint8_t *keep, bool vanishes)
{
    size_t at = 0;
    if (vanishes) n = 0;
    for (size_t i = 0; i < n; i++) {
        if (units && units[i] != MSKP_PINNED && !keep[units[i]]) continue;
        REQUIRE(at < count && (index ? index[at] : at) == i, "index %zu should be %zu", at, i);
        at++;
    }
    REQUIRE(at == count, "%zu indices, %zu expected", count, at);
}

static void require_count(user *u, const mskp_plan *plan, mskp_value v, const uint32_t *units,
                          size_t n)
{
    const size_t first = wrong_or(u, rng_below(u->r, n + 1)),
                 count = wrong_or(u, rng_below(u->r, n + 2));
    size_t kept = 0;
    if (mskp_plan_fate(plan, v) == MSKP_FATE_VANISHES) n = 0;
    for (size_t i = 0; i < n; i++)
        kept += i >= first && i - first < count && (units[i] == MSKP_PINNED || u->keep[units[i]]);
    const size_t said = mskp_plan_channels_kept(plan, v, first, count);
    REQUIRE(said == kept, "%zu of %zu from %zu on, %zu expected", said, count, first, kept);
}

void require_plan(user *u, const mskp_plan *plan, const mskp_graph *small)
{
    size_t n, count, shape[MSKP_MAX_DIMS], is[MSKP_MAX_DIMS];
    mskp_cost before, after;
    for (uint32_t v = 1; v <= u->n.values; v++) {
        const uint32_t *units = mskp_value_units(u->g, (mskp_value){v}, &n);
        const uint32_t *index = mskp_plan_value_kept(plan, (mskp_value){v}, &count);
        const bool vanishes = mskp_plan_fate(plan, (mskp_value){v}) == MSKP_FATE_VANISHES;
        REQUIRE(vanishes || count, "value %u stays, without channels", v);
        require_indices(index, count, units, n, u->keep, vanishes);
        require_count(u, plan, (mskp_value){v}, units, n);
        (void)mskp_value_shape(small, (mskp_value){v}, &n, NULL);
        REQUIRE(n == count, "value %u: %zu channels, %zu planned", v, n, count);
    }
    for (uint32_t p = 1; p <= u->n.params; p++) {
        const uint32_t ndim = mskp_param_shape(u->g, (mskp_param){p}, shape);
        REQUIRE(mskp_param_shape(small, (mskp_param){p}, is) == ndim, "parameter %u", p);
        for (uint32_t d = 1; d < ndim; d++)
            REQUIRE(!is[d] == !is[0], "parameter %u vanishes on some axes", p);
        for (uint32_t d = 0; d < ndim; d++) {
            const uint32_t *units = mskp_param_units(u->g, (mskp_param){p}, d, NULL, NULL);
            const uint32_t *index = mskp_plan_param_kept(plan, (mskp_param){p}, d, &count);
            REQUIRE(count == is[d], "parameter %u: %zu, %zu planned", p, is[d], count);
            if (units || index) require_indices(index, count, units, shape[d], u->keep, !is[0]);
        }
    }
    REQUIRE_OK(mskp_measure(u->g, mask_of(u->n.units, u->keep), &before, NULL, NULL));
    REQUIRE_OK(mskp_measure(small, (mskp_mask){0}, &after, NULL, NULL));
    REQUIRE(before.macs == after.macs && before.params == after.params,
            "%.0f MACs, %.0f parameters under the mask, then %.0f, %.0f", before.macs,
            before.params, after.macs, after.params);
    require_consistent(small);
}

bool lets_vanish(const user *u, const mskp_plan *plan)
{
    for (uint32_t v = 1; v <= u->n.values; v++)
        if (mskp_plan_fate(plan, (mskp_value){v}) == MSKP_FATE_VANISHES) return true;
    return false;
}

mskp_plan *planned(user *u, mskp_graph **small)
{
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    const size_t live = u->heap->live, units = wrong_or(u, u->n.units);
    endanger(u);
    mskp_status status = mskp_plan_create(u->g, mask_of(units, u->keep), &plan, small, &err);
    if (status) {
        require_refusal(u, status, &err, live);
        REQUIRE(!plan && !*small, "a plan, and %s", err.text);
    }
    if (status ==
        MSKP_ERROR_NO_MEMORY) /* the same once more; the heap may be too small for the plan */
        status = mskp_plan_create(u->g, mask_of(units, u->keep), &plan, small, &err);
    limited_heap_fail(u->heap, 0);
    if (status == MSKP_ERROR_NO_MEMORY) return NULL;
    const bool empty = units == u->n.units && empties(u, u->keep);
    const mskp_status due = units != u->n.units              ? MSKP_ERROR_OTHER_NETWORK
                            : empty && !lets_vanish(u, plan) ? MSKP_ERROR_NO_SOLUTION
                                                             : MSKP_OK;
    REQUIRE(status == due, "status %d, %d expected: %s", (int)status, (int)due, err.text);
    return plan;
}

/* ---- Sets ---- */

/* More elements than that are not made. */
static bool is_large(uint32_t ndim, const size_t *shape)
{
    size_t elements = 1;
    for (uint32_t d = 0; d < ndim; d++) {
        if (shape[d] > MOST_ELEMENTS) return true;
        elements *= shape[d];
        if (elements > MOST_ELEMENTS) return true;
    }
    return false;
}

static mskp_tensor *make_set(user *u, view_buf *buf)
{
    mskp_tensor *all = arena_get(&u->mem, u->n.params + 1, sizeof *all);
    for (uint32_t p = 1; p <= u->n.params; p++) {
        size_t shape[MSKP_MAX_DIMS], index[MSKP_MAX_DIMS] = {0}, i = 0;
        const uint32_t ndim = mskp_param_shape(u->g, (mskp_param){p}, shape);
        if (is_large(ndim, shape)) continue;
        buf[p] = view_make(&u->mem, u->r, (mskp_dtype)rng_below(u->r, 4), ndim, shape,
                           (view_style)rng_below(u->r, VIEW_STYLES));
        all[p] = buf[p].view;
        const mskp_tensor v = view_resolve(&all[p], ndim, shape);
        do view_set(&v, index, (double)(int)(i++ % 15) - 7.5);
        while (next_index(ndim, shape, index));
    }
    return all;
}

static void make_sets(user *u)
{
    u->buf = arena_get(&u->mem, u->n.params + 1, sizeof *u->buf);
    u->values = make_set(u, u->buf);
    u->slopes = arena_get(&u->mem, u->n.params + 1, sizeof *u->slopes);
    u->others = make_set(u, u->slopes);
}

bool spoil_set(user *u, mskp_tensor *tensors)
{
    if (!u->n.params) return false;
    mskp_tensor *t = &tensors[rng_from(u->r, 1, u->n.params)];
    if (!t->data || !t->ndim) return false;
    switch (rng_below(u->r, 5)) {
    case 0:
        t->elements = absurd(u->r) | 1u << 20;
        break;
    case 1:
        t->ndim = (uint32_t)rng_below(u->r, 2) ? t->ndim + 1 : UINT32_MAX;
        break;
    case 2:
        t->shape[rng_below(u->r, t->ndim)] += rng_from(u->r, 1, 3);
        break;
    case 3:
        t->dtype = (mskp_dtype)rng_from(u->r, 4, 15);
        break;
    default:
        t->data = (char *)t->data + 1; /* all types are wider */
    }
    return true;
}

mskp_tensor *copy_of(user *u, const mskp_tensor *tensors)
{
    return arena_copy(&u->mem, tensors, u->n.params + 1, sizeof *tensors);
}

unsigned char **bytes_of(user *u, unsigned char **restore)
{
    unsigned char **all = arena_get(&u->mem, u->n.params + 1, sizeof *all);
    for (size_t p = 1; p <= u->n.params; p++) {
        if (!u->buf[p].memory) continue;
        all[p] = arena_copy(&u->mem, u->buf[p].memory, u->buf[p].bytes, 1);
        if (restore) memcpy(u->buf[p].memory, restore[p], u->buf[p].bytes);
    }
    return all;
}

void require_untouched(const user *u, unsigned char *const *was, const char *call)
{
    for (size_t p = 1; p <= u->n.params; p++)
        REQUIRE(!was[p] || !memcmp(was[p], u->buf[p].memory, u->buf[p].bytes),
                "%s: parameter %zu changed", call, p);
}

/* ---- Cuts ---- */

static void require_gathered(user *u, const mskp_plan *plan, uint32_t p, const mskp_tensor *cut,
                             const unsigned char *was)
{
    size_t shape[MSKP_MAX_DIMS], less[MSKP_MAX_DIMS], index[MSKP_MAX_DIMS] = {0},
                                                      from[MSKP_MAX_DIMS];
    const uint32_t *kept[MSKP_MAX_DIMS];
    const uint32_t ndim = mskp_param_shape(u->g, (mskp_param){p}, shape);
    for (uint32_t d = 0; d < ndim; d++)
        kept[d] = mskp_plan_param_kept(plan, (mskp_param){p}, d, &less[d]);
    const mskp_tensor before = view_resolve(&u->buf[p].view, ndim, shape);
    const mskp_tensor after = view_resolve(cut, ndim, less);
    if (!shape_elements(ndim, less)) return;
    do {
        for (uint32_t d = 0; d < ndim; d++) from[d] = kept[d] ? kept[d][index[d]] : index[d];
        const unsigned char *x = was + (view_at(&before, from) - u->buf[p].memory);
        REQUIRE(!memcmp(x, view_at(&after, index), dtype_size(after.dtype)), "parameter %u", p);
    } while (next_index(ndim, less, index));
}

static void use_plan(user *u, const mskp_plan *plan)
{
    mskp_tensor *tensors = copy_of(u, u->values), *said = copy_of(u, u->values);
    unsigned char **was = bytes_of(u, NULL);
    const size_t live = u->heap->live;
    mskp_error err = {0};
    const bool wrong = rng_chance(u->r, 0.25) && spoil_set(u, tensors);
    mskp_tensor *before = copy_of(u, tensors);
    const move_by_id move = {tensors, NULL};
    endanger(u);
    mskp_status status = cut_by_id(plan, u->n.params, 1, &move, &err);
    if (status) {
        require_refusal(u, status, &err, live);
        require_untouched(u, was, "a refused cut");
        REQUIRE(!memcmp(tensors, before, (u->n.params + 1) * sizeof *tensors),
                "views of a refused cut");
    }
    if (status == MSKP_ERROR_NO_MEMORY && !wrong)
        status = cut_by_id(plan, u->n.params, 1, &move, &err);
    limited_heap_fail(u->heap, 0);
    REQUIRE(wrong ? status != MSKP_OK : !status || status == MSKP_ERROR_NO_MEMORY, "cut: %d %s",
            (int)status, err.text);
    if (!status) {
        REQUIRE(u->heap->live == live, "a cut keeps memory");
        REQUIRE_OK(mskp_plan_views(plan, set_by_id(u->n.params, u->values),
                                   set_by_id(u->n.params, said), NULL));
        for (uint32_t p = 1; p <= u->n.params; p++) {
            if (!u->values[p].data) continue;
            REQUIRE(said[p].data == tensors[p].data, "parameter %u lies elsewhere", p);
            require_gathered(u, plan, p, &tensors[p], was[p]);
        }
    }
    (void)bytes_of(u, was);
}

static void call_plan(user *u)
{
    mskp_graph *small = NULL;
    mskp_plan *plan = planned(u, &small);
    if (!plan) return;
    require_plan(u, plan, small);
    for (size_t n = rng_from(u->r, 1, 2); n > 0; n--) use_plan(u, plan);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
}

/* ---- Scores ---- */

static bool has_role(const user *u, size_t unit, uint32_t roles)
{
    size_t n;
    const mskp_member *m = mskp_unit_members(u->g, unit, &n);
    for (size_t i = 0; i < n; i++)
        if (m[i].roles & roles) return true;
    return false;
}

static void call_score(user *u)
{
    mskp_scoring s = {.magnitude = (mskp_magnitude)rng_below(u->r, 2),
                      .reduce = (mskp_reduce)rng_below(u->r, 7),
                      .roles = (uint32_t)rng_below(u->r, 16),
                      .vote_threshold = (double)rng_below(u->r, 4)};
    if (s.reduce != MSKP_REDUCE_VOTE) s.vote_threshold = 0;
    mskp_error err = {0};
    double *scores = arena_get(&u->mem, u->n.units, sizeof *scores);
    mskp_tensor *tensors = copy_of(u, u->values);
    const bool odd = rng_chance(u->r, 0.1), null = rng_chance(u->r, 0.1);
    const uint32_t roles = null || !s.roles ? MSKP_ROLE_SCALE : s.roles;
    const size_t live = u->heap->live;
    if (odd) spoil(u->r, &s, sizeof s);
    for (size_t i = 0; i < u->n.units; i++) scores[i] = -77;
    endanger(u);
    const mskp_status status = mskp_score(u->g, null ? NULL : &s, set_by_id(u->n.params, tensors),
                                          scores_of(wrong_or(u, u->n.units), scores), &err);
    if (status) require_refusal(u, status, &err, live);
    for (size_t i = 0; i < u->n.units; i++) {
        REQUIRE(status ? scores[i] == -77 : scores[i] >= 0, "score %zu: %g", i, scores[i]);
        if (!status && (null || !odd))
            REQUIRE(isinf(scores[i]) == !has_role(u, i, roles), "score %zu: %g with roles %u", i,
                    scores[i], roles);
    }
    limited_heap_fail(u->heap, 0);
    require_untouched(u, bytes_of(u, NULL), "score");
}

static void call_score_normalize(user *u, double *scores)
{
    mskp_error err = {0};
    const double *before = arena_copy(&u->mem, scores, u->n.units, sizeof *scores);
    const size_t live = u->heap->live;
    endanger(u);
    const mskp_normalizer by = (mskp_normalizer)rng_below(u->r, MSKP_NORMALIZER_QUANTILE + 2);
    const double share = by == MSKP_NORMALIZER_QUANTILE ? rng_real(u->r, -0.1, 1.1) : 0;
    const mskp_status status =
        mskp_score_normalize(u->g, by, share, scores_of(wrong_or(u, u->n.units), scores), &err);
    if (status) require_refusal(u, status, &err, live);
    for (size_t i = 0; i < u->n.units; i++) {
        REQUIRE(!status || scores[i] == before[i], "normalize: score %zu changed", i);
        REQUIRE(isinf(before[i]) ? isinf(scores[i]) : !isnan(scores[i]), "score %zu: %g", i,
                scores[i]);
    }
    limited_heap_fail(u->heap, 0);
}

/* The values are their own gradients, so that no sum w g is negative. Then the scores, or what was
 * there before a refusal, are normalized. */
static void call_score_taylor(user *u)
{
    mskp_error err = {0};
    double *scores = arena_get(&u->mem, u->n.units, sizeof *scores);
    mskp_tensor *tensors = copy_of(u, u->values);
    const uint32_t given = (uint32_t)rng_below(u->r, 18), roles = given ? given : MSKP_ROLE_SCALE;
    const size_t live = u->heap->live;
    endanger(u);
    const mskp_status status = mskp_score_taylor(
        u->g, (mskp_taylor)rng_below(u->r, 6), given, set_by_id(u->n.params, tensors),
        set_by_id(u->n.params, tensors), scores_of(wrong_or(u, u->n.units), scores), &err);
    if (status) require_refusal(u, status, &err, live);
    for (size_t i = 0; i < u->n.units; i++)
        REQUIRE(status ? scores[i] == 0 : isinf(scores[i]) == !has_role(u, i, roles),
                "score %zu: %g with roles %u", i, scores[i], roles);
    limited_heap_fail(u->heap, 0);
    require_untouched(u, bytes_of(u, NULL), "score_taylor");
    call_score_normalize(u, scores);
}

static void call_score_channels(user *u)
{
    mskp_channel_scores given[3];
    mskp_error err = {0};
    double *scores = arena_get(&u->mem, u->n.units, sizeof *scores);
    bool *there = arena_get(&u->mem, u->n.units, sizeof *there);
    const size_t n = rng_below(u->r, 4), live = u->heap->live;
    for (size_t k = 0; k < n; k++) {
        const mskp_value v = {(uint32_t)wrong_or(u, rng_below(u->r, u->n.values + 1))};
        size_t channels = 1;
        const uint32_t *units = mskp_value_units(u->g, v, &channels);
        double *numbers = arena_get(&u->mem, channels, sizeof *numbers);
        for (size_t i = 0; i < channels; i++) {
            numbers[i] = rng_real(u->r, -1, 1);
            if (units && units[i] != MSKP_PINNED) there[units[i]] = true;
        }
        given[k] = (mskp_channel_scores){v, channels, numbers};
    }
    endanger(u);
    const mskp_status status = mskp_score_channels(u->g, n, given, (mskp_reduce)rng_below(u->r, 7),
                                                   scores_of(u->n.units, scores), &err);
    if (status) require_refusal(u, status, &err, live);
    for (size_t i = 0; i < u->n.units && !status; i++)
        REQUIRE(isinf(scores[i]) ? !there[i] : there[i], "score %zu: %g", i, scores[i]);
    limited_heap_fail(u->heap, 0);
}

/* ---- Selection ---- */

static double fraction(user *u)
{
    static const double odd[] = {-1, 2, 1e300};
    if (rng_chance(u->r, 0.02)) return odd[rng_below(u->r, 3)];
    return rng_chance(u->r, 0.5) ? (double)rng_below(u->r, 9) / 8 : 0;
}

mskp_rule any_rule(user *u, const uint8_t *locked)
{
    mskp_rule rule = {.use_threshold = (uint32_t)rng_below(u->r, 2),
                      .round_to = rng_below(u->r, 4)};
    mskp_cost full;
    REQUIRE_OK(mskp_measure(u->g, (mskp_mask){0}, &full, NULL, NULL));
    if (rule.use_threshold) rule.threshold = (double)rng_below(u->r, 9) / 4;
    rule.remove_family_fraction = fraction(u);
    rule.remove_fraction = fraction(u);
    rule.max_macs = full.macs * fraction(u);
    rule.max_params = full.params * fraction(u);
    rule.max_family_fraction = fraction(u);
    rule.min_channels = rng_below(u->r, 3);
    rule.empty_branches = (uint32_t)rng_below(u->r, 3) / 2;
    if (rng_chance(u->r, 0.2)) rule.round_to = wrong_or(u, 5);
    if (rng_chance(u->r, 0.3)) rule.locked = mask_of(wrong_or(u, u->n.units), locked);
    return rule;
}

/* The mask can be planned, and its cost is the one that *selection reports. */
static void require_chosen(user *u, const uint8_t *keep, const mskp_selection *s,
                           const mskp_rule *rule, const double *scores)
{
    mskp_cost cost;
    size_t removed = 0;
    for (size_t i = 0; i < u->n.units; i++) {
        removed += !keep[i];
        REQUIRE(keep[i] <= 1, "keep %d", keep[i]);
        REQUIRE(keep[i] || (!isinf(scores[i]) && !(rule->locked.unit && rule->locked.unit[i])),
                "unit %zu left", i);
    }
    REQUIRE(removed == s->removed, "%zu removed, %zu said", removed, s->removed);
    REQUIRE_OK(mskp_measure(u->g, mask_of(u->n.units, keep), &cost, NULL, NULL));
    REQUIRE(cost.macs == s->cost.macs && cost.params == s->cost.params, "costs");
    REQUIRE(!(rule->max_macs > 0) || cost.macs <= rule->max_macs, "MACs");
    REQUIRE(!(rule->max_params > 0) || cost.params <= rule->max_params, "parameters");
    REQUIRE(rule->empty_branches || !empties(u, keep), "an empty list");
}

double *any_scores(user *u)
{
    double *scores = arena_get(&u->mem, u->n.units, sizeof *scores);
    for (size_t i = 0; i < u->n.units; i++) {
        const size_t x = rng_below(u->r, 64);
        scores[i] = x == 63 ? (double)INFINITY : (double)(x % 16) / 8;
        if (x == 62 && rng_chance(u->r, 0.1)) scores[i] = (double)NAN;
    }
    return scores;
}

static void call_select(user *u)
{
    double *scores = any_scores(u);
    uint8_t *keep = arena_get(&u->mem, u->n.units, 1);
    mskp_selection s = {0};
    mskp_error err = {0};
    const mskp_rule rule = any_rule(u, random_keep(u));
    const size_t live = u->heap->live;
    memset(keep, 0xEE, u->n.units);
    endanger(u);
    const mskp_status status = mskp_select(u->g, scores_of(wrong_or(u, u->n.units), scores), &rule,
                                           mask_of(wrong_or(u, u->n.units), keep), &s, &err);
    if (!status) {
        REQUIRE(u->heap->live == live, "selection keeps memory");
        limited_heap_fail(u->heap, 0);
        require_chosen(u, keep, &s, &rule, scores);
        u->keep = keep;
        return;
    }
    require_refusal(u, status, &err, live);
    for (size_t i = 0; i < u->n.units; i++) REQUIRE(keep[i] == 0xEE, "keep[%zu] was touched", i);
}

/* ---- Penalties ---- */

/* What mskp_penalty_value reads, and the others write. */
enum { ZERO, SHRINK, DEADLINE, GRADIENT, VALUE };

/* Is the element in a slice with one of these roles of a targeted unit? */
static bool is_target(const user *u, uint32_t p, const size_t *index, uint32_t ndim,
                      const mskp_penalty *penalty, const uint8_t *keep)
{
    for (uint32_t d = 0; d < ndim; d++) {
        uint32_t roles;
        const uint32_t *units = mskp_param_units(u->g, (mskp_param){p}, d, &roles, NULL);
        if (!units || !(roles & (penalty->roles ? penalty->roles : MSKP_ROLE_SCALE))) continue;
        const uint32_t unit = units[index[d]];
        if (unit == MSKP_PINNED) continue;
        if (penalty->target == MSKP_TARGET_ALL ||
            !keep[unit] == (penalty->target == MSKP_TARGET_REMOVED))
            return true;
    }
    return false;
}

static mskp_status penalize(user *u, const mskp_penalty *p, size_t which,
                            const mskp_tensor *tensors, mskp_error *err)
{
    double value = -1;
    mskp_status status;
    switch (which) {
    case ZERO:
        return mskp_penalty_zero(u->g, mask_of(u->n.units, u->keep), p,
                                 set_by_id(u->n.params, tensors), err);
    case SHRINK:
        return mskp_penalty_prox(u->g, mask_of(u->n.units, u->keep), p, 0.25,
                                 set_by_id(u->n.params, tensors), err);
    case DEADLINE:
        return mskp_penalty_deadline(u->g, mask_of(u->n.units, u->keep), p, rng_below(u->r, 3),
                                     set_by_id(u->n.params, tensors), err);
    default:
        status = mskp_penalty_value(u->g, mask_of(u->n.units, u->keep), p,
                                    set_by_id(u->n.params, tensors), &value, err);
        REQUIRE(status ? value == -1 : value >= 0, "penalty %g", value);
        return status;
    }
}

/* Only targeted elements change, and mskp_penalty_zero makes them 0. */
static void require_only_targets(const user *u, const mskp_penalty *p, size_t which,
                                 unsigned char *const *was)
{
    for (uint32_t k = 1; k <= u->n.params; k++) {
        size_t shape[MSKP_MAX_DIMS], index[MSKP_MAX_DIMS] = {0};
        const uint32_t ndim = mskp_param_shape(u->g, (mskp_param){k}, shape);
        if (!was[k]) continue;
        const mskp_tensor v = view_resolve(&u->buf[k].view, ndim, shape);
        do {
            const bool hit = which < VALUE && is_target(u, k, index, ndim, p, u->keep);
            const unsigned char *x = view_at(&v, index);
            REQUIRE(hit || !memcmp(x, was[k] + (x - u->buf[k].memory), dtype_size(v.dtype)),
                    "parameter %u: an element that is no target changed", k);
            REQUIRE(!hit || which != ZERO || view_get(&v, index) == 0, "parameter %u: not zero", k);
        } while (next_index(ndim, shape, index));
    }
}

static void call_penalty(user *u)
{
    mskp_penalty p = {.kind = (mskp_penalty_kind)rng_below(u->r, 3),
                      .target = (mskp_target)rng_below(u->r, 3),
                      .roles = (uint32_t)rng_below(u->r, 16),
                      .skip_missing = 1,
                      .knee = (double)rng_below(u->r, 3) / 2};
    const bool odd = rng_chance(u->r, 0.1);
    const size_t which = rng_below(u->r, VALUE + 1), asked = u->heap->asked;
    mskp_tensor *tensors = copy_of(u, u->values);
    uint64_t steps = 0, lost = 0;
    mskp_low_precision low = {.rounding = (mskp_rounding)rng_below(u->r, 2),
                              .seed = rng_below(u->r, 1000),
                              .asked = &steps,
                              .lost = rng_chance(u->r, 0.5) ? &lost : NULL};
    if (rng_chance(u->r, 0.5)) p.low_precision = &low;
    if (odd && rng_chance(u->r, 0.5)) spoil(u->r, &low, offsetof(mskp_low_precision, start));
    unsigned char **was = bytes_of(u, NULL);
    mskp_error err = {0};
    if (odd) spoil(u->r, &p, offsetof(mskp_penalty, unit_weight));
    const bool wrong = rng_chance(u->r, 0.15) && spoil_set(u, tensors);
    const mskp_status status = penalize(u, &p, which, tensors, &err);
    REQUIRE(u->heap->asked == asked, "a penalty allocates");
    REQUIRE(!wrong || status, "a wrong set was taken");
    REQUIRE(odd || wrong || !status, "%s", err.text);
    REQUIRE(lost <= steps && (!status || !steps), "%llu of %llu steps lost",
            (unsigned long long)lost, (unsigned long long)steps);
    if (status) {
        require_sentence(status, &err);
        require_untouched(u, was, "a refused penalty");
    } else if (!odd) {
        require_only_targets(u, &p, which, was);
    }
    (void)bytes_of(u, was);
}

/* Statistics of a tensor of values as a batch, and a threshold between any scores. */
static void call_statistics(user *u)
{
    enum { MOST = 8 };
    mskp_channel_stats stats[MOST] = {{0}}, none[MOST] = {{0}};
    const mskp_services services = limited_heap_services(u->heap);
    const uint32_t p = (uint32_t)rng_below(u->r, u->n.params + 1);
    size_t shape[MSKP_MAX_DIMS];
    double threshold = -1, depth = -1;
    mskp_error err = {0};
    const uint32_t ndim = mskp_param_shape(u->g, (mskp_param){p}, shape);
    const size_t live = u->heap->live;
    mskp_status status = mskp_valley(scores_of(u->n.units, any_scores(u)), rng_below(u->r, 300),
                                     &threshold, &depth, &err);
    if (status) require_sentence(status, &err);
    REQUIRE(status ? threshold == -1 && depth == -1 : threshold > 0 && depth > 0 && depth <= 1,
            "threshold %g, depth %g", threshold, depth);
    if (!u->values[p].data) return;
    const mskp_tensor batch = view_resolve(&u->values[p], ndim, shape);
    const uint32_t axis = (uint32_t)wrong_or(u, rng_below(u->r, ndim));
    if (axis < ndim && shape[axis] > MOST) return;
    endanger(u);
    status = mskp_channel_stats_add(&services, &batch, axis,
                                    wrong_or(u, axis < ndim ? shape[axis] : 1), stats, &err);
    if (status) require_refusal(u, status, &err, live);
    limited_heap_fail(u->heap, 0);
    REQUIRE(!status || !memcmp(stats, none, sizeof none), "a refused batch counts");
    REQUIRE(status || stats[0].count > 0, "a batch without elements");
}

/* Weights of any scores, and the calls on one set that take them. */
static void call_weights(user *u)
{
    const mskp_weighting weighting = {.kind = (mskp_weighting_kind)rng_below(u->r, 8),
                                      .parameter = (double)rng_below(u->r, 3)};
    mskp_penalty p = {.target = (mskp_target)rng_below(u->r, 3),
                      .roles = (uint32_t)rng_below(u->r, 16),
                      .skip_missing = 1};
    const double *scores = any_scores(u);
    double *weights = arena_get(&u->mem, u->n.units, sizeof *weights);
    mskp_tensor *tensors = copy_of(u, u->values);
    const bool none = rng_chance(u->r, 0.3);
    const size_t live = u->heap->live;
    mskp_error err = {0};
    endanger(u);
    mskp_status status =
        mskp_unit_weights(u->g, mask_of(u->n.units, u->keep), &p, &weighting,
                          none ? (mskp_scores){0} : scores_of(wrong_or(u, u->n.units), scores),
                          scores_of(u->n.units, weights), &err);
    if (status) require_refusal(u, status, &err, live);
    limited_heap_fail(u->heap, 0);
    for (size_t i = 0; i < u->n.units; i++)
        REQUIRE(status ? weights[i] == 0 : isfinite(weights[i]), "weight %zu: %g", i, weights[i]);
    const size_t asked = u->heap->asked;
    unsigned char **was = bytes_of(u, NULL);
    const bool wrong = rng_chance(u->r, 0.15) && spoil_set(u, tensors),
               fades = rng_chance(u->r, 0.5);
    p.unit_weight = rng_chance(u->r, 0.7) ? weights : NULL;
    status = fades ? mskp_penalty_fade(u->g, mask_of(u->n.units, u->keep), &p, 0.25,
                                       set_by_id(u->n.params, tensors), &err)
                   : mskp_penalty_group_prox(u->g, mask_of(u->n.units, u->keep), &p, 0.25,
                                             set_by_id(u->n.params, tensors), &err);
    REQUIRE(u->heap->asked == asked, "a penalty allocates");
    if (fades && !status && u->n.units % 2) { /* the same once more, prepared: it changes nothing */
        mskp_prepared *prepared = NULL;
        const mskp_tensors again = set_by_id(u->n.params, tensors);
        const size_t held = u->heap->live;
        endanger(u);
        const mskp_status made = mskp_prepared_create(u->g, mask_of(u->n.units, u->keep), &p, again,
                                                      (mskp_tensors){0}, &prepared, &err);
        limited_heap_fail(u->heap, 0);
        if (!made) REQUIRE_OK(mskp_prepared_fade(prepared, 0, again, NULL));
        if (made) require_refusal(u, made, &err, held);
        mskp_prepared_destroy(prepared);
    }
    REQUIRE(!wrong || status, "a wrong set was taken");
    if (status) {
        require_sentence(status, &err);
        require_untouched(u, was, "a refused penalty");
    } else {
        require_only_targets(u, &p, DEADLINE, was);
    }
    (void)bytes_of(u, was);
}

/* ---- Without a network ---- */

static void require_taken(const mskp_tensor *from, uint32_t axis, const uint32_t *index,
                          const mskp_tensor *to)
{
    size_t at[MSKP_MAX_DIMS] = {0}, was[MSKP_MAX_DIMS];
    do {
        memcpy(was, at, sizeof was);
        was[axis] = index[at[axis]];
        REQUIRE(!memcmp(view_at(to, at), view_at(from, was), dtype_size(to->dtype)), "taken");
    } while (next_index(to->ndim, to->shape, at));
}

static void call_take(user *u)
{
    const uint32_t p = (uint32_t)rng_below(u->r, u->n.params + 1);
    size_t shape[MSKP_MAX_DIMS];
    const uint32_t ndim = mskp_param_shape(u->g, (mskp_param){p}, shape);
    uint32_t index[8];
    if (!u->values[p].data) return;
    const mskp_tensor from = view_resolve(&u->values[p], ndim, shape);
    const uint32_t axis = (uint32_t)rng_below(u->r, ndim);
    const size_t length = shape[axis], n = rng_from(u->r, 1, 8), live = u->heap->live;
    bool outside = false;
    for (size_t i = 0; i < n; i++) {
        index[i] = (uint32_t)wrong_or(u, rng_below(u->r, length));
        outside |= index[i] >= length;
    }
    shape[axis] = n;
    const view_buf buf = view_make(&u->mem, u->r, from.dtype, ndim, shape,
                                   (view_style)rng_from(u->r, VIEW_PERMUTED, VIEW_WILD));
    const unsigned char *was = arena_copy(&u->mem, buf.memory, buf.bytes, 1);
    const mskp_services services = limited_heap_services(u->heap);
    mskp_error err = {0};
    endanger(u);
    const mskp_status status = mskp_gather(&services, &from, axis, n, index, &buf.view, &err);
    if (!status) {
        REQUIRE(!outside && u->heap->live == live, "beyond the end, or memory is kept");
        require_taken(&from, axis, index, &buf.view);
    } else {
        REQUIRE(outside || status == MSKP_ERROR_NO_MEMORY, "%s", err.text);
        REQUIRE(!memcmp(was, buf.memory, buf.bytes), "a refused take wrote");
        require_refusal(u, status, &err, live);
    }
    limited_heap_fail(u->heap, 0);
}

/* Packed, in the order that was asked. */
static void call_view(user *u)
{
    const mskp_param p = {(uint32_t)rng_below(u->r, u->n.params + 2)};
    size_t shape[MSKP_MAX_DIMS], axes[MSKP_MAX_DIMS] = {0, 1, 2, 3, 4, 5}, step = 1;
    const uint32_t ndim = mskp_param_shape(u->g, p, shape);
    uint32_t order[MSKP_MAX_DIMS] = {0};
    mskp_tensor view = {.elements = 77};
    mskp_error err = {0};
    rng_shuffle(u->r, ndim, axes);
    const bool twice = ndim > 1 && rng_chance(u->r, 0.1);
    for (uint32_t d = 0; d < ndim; d++) order[d] = (uint32_t)axes[twice ? 0 : d];
    const mskp_status status = mskp_param_view(u->g, p, order, NULL, MSKP_DTYPE_F16, &view, &err);
    REQUIRE(status == (ndim && !twice ? MSKP_OK : MSKP_ERROR_BAD_ARGUMENT), "%d %s", (int)status,
            err.text);
    if (status) {
        require_sentence(status, &err);
        REQUIRE(view.elements == 77 && !view.ndim, "a refused view");
        return;
    }
    for (uint32_t k = ndim; k-- > 0; step *= shape[order[k]])
        REQUIRE(view.stride[order[k]] == (ptrdiff_t)step && view.shape[order[k]] == shape[order[k]],
                "axis %u", order[k]);
    REQUIRE(view.ndim == ndim && view.dtype == MSKP_DTYPE_F16, "%u axes", view.ndim);
}

/* The number of cases stays as it is, because the inputs of the corpus choose by it. Later calls
 * have bytes of their own, after these. */
static void first_calls(user *u)
{
    for (size_t n = rng_from(u->r, 1, 4); n > 0; n--) switch (rng_below(u->r, 6)) {
        case 0:
            u->keep = random_keep(u);
            call_plan(u);
            break;
        case 1:
            call_score(u);
            break;
        case 2:
            call_score_channels(u);
            break;
        case 3:
            call_select(u);
            call_plan(u);
            break;
        case 4:
            call_penalty(u);
            break;
        default:
            call_take(u);
        }
}

static void further_calls(user *u)
{
    static void (*const all[])(user *) = {
        call_constants, call_constants_select, call_restore, call_compose,
        call_maps,      call_report,           call_view};
    for (size_t n = rng_from(u->r, 1, 2); n > 0; n--)
        all[rng_below(u->r, sizeof all / sizeof *all)](u);
}

void calls_finished(rng *r, limited_heap *p, const mskp_graph *graph)
{
    user u = {.r = r, .heap = p, .g = graph, .n = mskp_graph_counts(graph)};
    limited_heap_fail(p, 0);
    u.keep = random_keep(&u);
    make_sets(&u);
    first_calls(&u);
    further_calls(&u);
    if (rng_chance(r, 0.25)) call_score_taylor(&u);
    if (rng_chance(r, 0.25)) call_weights(&u);
    if (rng_chance(r, 0.25)) call_statistics(&u);
    if (rng_chance(r, 0.25)) call_rules(&u);
    if (rng_chance(r, 0.25)) call_pruner(&u);
    arena_free(&u.mem);
}

void calls_report(rng *r, limited_heap *p, const mskp_graph *graph)
{
    user u = {.r = r, .heap = p, .g = graph, .n = mskp_graph_counts(graph), .reports = true};
    limited_heap_fail(p, 0);
    u.keep = random_keep(&u);
    call_report(&u);
    if (rng_chance(r, 0.5)) {
        make_sets(&u);
        call_constants(&u);
    }
    arena_free(&u.mem);
}

/* Constants with any arguments. */
#include "caller.h"

#include "by_id/by_id.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Constants ---- */

static mskp_constants_desc any_desc(user *u, bool *odd)
{
    mskp_constants_desc desc = {.way = (mskp_constants_way)rng_below(u->r, 4),
                                .zeroed = (uint32_t)rng_below(u->r, MSKP_ROLES_UNIT + 1),
                                .merge_above = (double)rng_below(u->r, 8) / 8};
    *odd = rng_chance(u->r, 0.1);
    if (*odd) spoil(u->r, &desc, sizeof desc);
    return desc;
}

static void require_report(const user *u, const mskp_constants_report *r, size_t k)
{
    size_t channels;
    (void)mskp_value_shape(u->g, r->reads, &channels, NULL);
    REQUIRE(r->consumer.id && r->consumer.id <= u->n.values && channels,
            "report %zu: value %u reads %u", k, r->consumer.id, r->reads.id);
    REQUIRE(r->weight.id <= u->n.params && r->into.id <= u->n.params, "report %zu: parameters", k);
    const size_t counted = r->folded + r->merged + r->dropped + r->live;
    REQUIRE(counted && counted <= channels, "report %zu: %zu of %zu channels", k, counted,
            channels);
    REQUIRE(r->exact ? !r->why && r->bound <= 0 && !r->live : r->why && r->why[0] && r->bound > 0,
            "report %zu: exact %u, a bound of %g", k, r->exact, r->bound);
    REQUIRE(r->exact ? r->share <= 0 : r->share > 0 && (isfinite(r->bound) || isinf(r->share)),
            "report %zu: exact %u, a share of %g", k, r->exact, r->share);
    REQUIRE(!r->merged == !r->carriers && r->carriers <= r->merged + channels,
            "report %zu: carriers", k);
}

static void require_sum(user *u, const mskp_constants *c, const uint8_t *carrier)
{
    mskp_constants_report r, t, sum = {.exact = 1};
    mskp_error err = {0};
    const size_t n = mskp_constants_consumers(c), live = u->heap->live;
    for (size_t k = 0; k < n; k++) {
        REQUIRE_OK(mskp_constants_consumer(c, k, &r, NULL));
        require_report(u, &r, k);
        sum.folded += r.folded;
        sum.merged += r.merged;
        sum.dropped += r.dropped;
        sum.live += r.live;
        sum.exact = sum.exact && r.exact;
        sum.bound = fmax(sum.bound, r.bound);
        sum.share = fmax(sum.share, r.share);
    }
    for (size_t i = 0; i < u->n.units; i++) sum.carriers += carrier[i];
    REQUIRE_OK(mskp_constants_total(c, &t, NULL));
    REQUIRE(sum.folded == t.folded && sum.merged == t.merged && sum.dropped == t.dropped &&
                sum.live == t.live && sum.exact == t.exact && sum.carriers == t.carriers &&
                !(sum.bound < t.bound) && !(sum.bound > t.bound) && !(sum.share < t.share) &&
                !(sum.share > t.share),
            "the total is no sum");
    r = (mskp_constants_report){.folded = 77};
    const size_t beyond = n + wrong_or(u, 0);
    const mskp_status status = mskp_constants_consumer(c, beyond < n ? n : beyond, &r, &err);
    require_refusal(u, status, &err, live);
    REQUIRE(r.folded == 77, "a report too many");
}

static void require_carriers(user *u, const mskp_constants *c, const uint8_t *kept,
                             uint8_t *carrier)
{
    const size_t units = wrong_or(u, u->n.units), live = u->heap->live;
    mskp_error err = {0};
    memset(carrier, 0xEE, u->n.units);
    if (units != u->n.units) {
        const mskp_status status = get_carriers(c, units, carrier, &err);
        REQUIRE(status == MSKP_ERROR_OTHER_NETWORK, "%d %s", (int)status, err.text);
        require_refusal(u, status, &err, live);
        for (size_t i = 0; i < u->n.units; i++) REQUIRE(carrier[i] == 0xEE, "carrier %zu", i);
    }
    REQUIRE_OK(get_carriers(c, u->n.units, carrier, NULL));
    for (size_t i = 0; i < u->n.units; i++)
        REQUIRE(carrier[i] ? carrier[i] == 1 && !u->keep[i] && kept[i] == 1
                           : kept[i] == (u->keep[i] != 0),
                "unit %zu: kept %u of %u, carrier %u", i, kept[i], u->keep[i], carrier[i]);
}

/* The plan of the constants, which keeps the mask `kept`. NULL: that is refused, as it should
 * be. */
static mskp_plan *plan_of(user *u, const mskp_constants *c, const uint8_t *kept, mskp_graph **small)
{
    const size_t live = u->heap->live;
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    endanger(u);
    mskp_status status = mskp_constants_plan(c, &plan, small, &err);
    if (status) {
        require_refusal(u, status, &err, live);
        REQUIRE(!plan && !*small, "a plan, and %s", err.text);
    }
    if (status == MSKP_ERROR_NO_MEMORY) status = mskp_constants_plan(c, &plan, small, &err);
    limited_heap_fail(u->heap, 0);
    if (status == MSKP_ERROR_NO_MEMORY) return NULL;
    REQUIRE(status ==
                (empties(u, kept) && !lets_vanish(u, plan) ? MSKP_ERROR_NO_SOLUTION : MSKP_OK),
            "%d: %s", (int)status, err.text);
    return plan;
}

/* Until the constants were applied the plan cuts nothing. */
static void require_not_ready(user *u, const mskp_plan *plan)
{
    const size_t live = u->heap->live;
    mskp_tensor *tensors = copy_of(u, u->values);
    unsigned char **was = bytes_of(u, NULL);
    mskp_error err = {0};
    const mskp_status status = cut_by_id(plan, u->n.params, 1, &(move_by_id){tensors, NULL}, &err);
    REQUIRE(status == MSKP_ERROR_BAD_STATE, "a cut before the constants: %d", (int)status);
    require_refusal(u, status, &err, live);
    require_untouched(u, was, "a cut before the constants");
    REQUIRE(!memcmp(tensors, u->values, (u->n.params + 1) * sizeof *tensors), "views changed");
}

/* A plan that keeps another mask is none of these constants. */
static void require_other_plan_refused(user *u, const mskp_constants *c, const uint8_t *kept)
{
    uint8_t *other = arena_copy(&u->mem, kept, u->n.units, 1);
    unsigned char **was = bytes_of(u, NULL);
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    for (size_t i = 0; i < u->n.units; i++) other[i] = 1;
    if (!memcmp(other, kept, u->n.units)) return;
    if (mskp_plan_create(u->g, mask_of(u->n.units, other), &plan, NULL, NULL)) return;
    const size_t live = u->heap->live;
    const mskp_status status =
        mskp_constants_apply(c, plan, set_by_id(u->n.params, copy_of(u, u->values)), &err);
    REQUIRE(status == MSKP_ERROR_OTHER_NETWORK, "a plan of another mask: %d", (int)status);
    require_refusal(u, status, &err, live);
    require_untouched(u, was, "a plan of another mask");
    mskp_plan_destroy(plan);
}

/* All or nothing; what lies there afterwards are numbers, and the plan is ready if all went
 * well. */
static void apply(user *u, const mskp_constants *c, mskp_plan *plan)
{
    mskp_tensor *tensors = copy_of(u, u->values);
    unsigned char **was = bytes_of(u, NULL);
    const size_t live = u->heap->live, params = wrong_or(u, u->n.params);
    const bool wrong = rng_chance(u->r, 0.15) && spoil_set(u, tensors);
    mskp_error err = {0};
    endanger(u);
    const mskp_status status = mskp_constants_apply(c, plan, set_by_id(params, tensors), &err);
    if (status) {
        require_refusal(u, status, &err, live);
        require_untouched(u, was, "refused constants");
        REQUIRE(wrong || params != u->n.params || status == MSKP_ERROR_NO_MEMORY, "%s", err.text);
    }
    limited_heap_fail(u->heap, 0);
    REQUIRE(u->heap->live == live, "constants keep memory");
    for (uint32_t p = 1; !status && p <= u->n.params; p++) {
        size_t shape[MSKP_MAX_DIMS], index[MSKP_MAX_DIMS] = {0};
        const uint32_t ndim = mskp_param_shape(u->g, (mskp_param){p}, shape);
        if (!was[p]) continue;
        const mskp_tensor v = view_resolve(&u->buf[p].view, ndim, shape);
        do REQUIRE(isfinite(view_get(&v, index)), "parameter %u: not finite", p);
        while (next_index(ndim, shape, index));
    }
    if (status) {
        require_not_ready(u, plan);
    } else {
        tensors = copy_of(u, u->values);
        const mskp_status cut = cut_by_id(plan, u->n.params, 1, &(move_by_id){tensors, NULL}, &err);
        REQUIRE(!cut || cut == MSKP_ERROR_NO_MEMORY, "the cut: %s", err.text);
    }
    (void)bytes_of(u, was);
}

static void plan_and_apply(user *u, const mskp_constants *c, const uint8_t *kept)
{
    const size_t live = u->heap->live;
    uint8_t *keep = u->keep;
    mskp_graph *small = NULL;
    mskp_plan *plan = plan_of(u, c, kept, &small);
    if (plan) {
        u->keep = arena_copy(&u->mem, kept, u->n.units, 1);
        require_plan(u, plan, small);
        u->keep = keep;
        require_not_ready(u, plan);
        require_other_plan_refused(u, c, kept);
        apply(u, c, plan);
    }
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    REQUIRE(u->heap->live == live, "a plan of constants keeps memory");
}

static void use_constants(user *u, const mskp_constants *c, const uint8_t *kept)
{
    uint8_t *carrier = arena_get(&u->mem, u->n.units, 1), *keep = u->keep;
    mskp_report_options report = {.constants = c};
    require_carriers(u, c, kept, carrier);
    require_sum(u, c, carrier);
    try_report(u, kept, &report, true);
    if (u->n.units) { /* a report on another mask is refused */
        uint8_t *other = arena_copy(&u->mem, kept, u->n.units, 1);
        const size_t i = rng_below(u->r, u->n.units), live = u->heap->live;
        size_t length = 77;
        mskp_error err = {0};
        other[i] = !other[i];
        const mskp_status status =
            mskp_report_json(u->g, mask_of(u->n.units, other), &report, 0, NULL, &length, &err);
        REQUIRE(status == MSKP_ERROR_BAD_ARGUMENT && length == 77, "%d, another mask", (int)status);
        require_refusal(u, status, &err, live);
    }
    plan_and_apply(u, c, kept);
    u->keep = arena_copy(&u->mem, kept, u->n.units, 1);
    mskp_graph *small = NULL;
    mskp_plan *plan = planned(u, &small);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    u->keep = keep;
}

/* Arguments of the calls that make constants; each may be missing or absurd. */
typedef struct given {
    mskp_constants_desc desc;
    mskp_tensor *tensors;
    size_t hole, units, params; /* hole: the argument that is NULL; 0: none is */
    bool odd, wrong;            /* the desc, or one of the tensors, is spoiled */
} given;
enum { NO_GRAPH = 1, NO_UNITS, NO_VALUES, NO_RESULT, NO_RULE };

static given any_given(user *u, size_t last_hole)
{
    given a = {.hole = 0};
    a.desc = any_desc(u, &a.odd);
    a.hole = rng_chance(u->r, 0.05) ? rng_from(u->r, 1, last_hole) : 0;
    a.units = wrong_or(u, u->n.units);
    a.params = wrong_or(u, u->n.params);
    a.tensors = copy_of(u, u->values);
    a.wrong = rng_chance(u->r, 0.15) && spoil_set(u, a.tensors);
    return a;
}

/* What was taken must have been right. A network without parameters needs no views. */
static void require_taken_rightly(const user *u, const given *a)
{
    const bool unneeded = a->hole == NO_VALUES && !u->n.params;
    REQUIRE((!a->hole || unneeded) && a->units == u->n.units && a->params == u->n.params,
            "hole %zu, %zu of %zu units, %zu of %zu parameters: taken", a->hole, a->units,
            u->n.units, a->params, u->n.params);
}

void call_constants(user *u)
{
    const size_t live = u->heap->live;
    given a = any_given(u, NO_RESULT);
    const mskp_constants_desc *desc = rng_chance(u->r, 0.1) ? NULL : &a.desc;
    const mskp_tensors values = set_by_id(a.params, a.hole == NO_VALUES ? NULL : a.tensors);
    unsigned char **bytes = bytes_of(u, NULL);
    mskp_constants *c = NULL;
    mskp_error err = {0};
    if (rng_chance(u->r, 0.5)) u->keep = random_keep(u);
    const mskp_mask keep = mask_of(a.units, a.hole == NO_UNITS ? NULL : u->keep);
    const uint8_t *was = arena_copy(&u->mem, u->keep, u->n.units, 1);
    endanger(u);
    const mskp_status status = mskp_constants_create(a.hole == NO_GRAPH ? NULL : u->g, keep, desc,
                                                     values, a.hole == NO_RESULT ? NULL : &c, &err);
    require_untouched(u, bytes, "mskp_constants_create");
    REQUIRE(!u->n.units || !memcmp(was, u->keep, u->n.units), "the mask changed");
    if (status) {
        require_refusal(u, status, &err, live);
        REQUIRE(!c, "a result, and %s", err.text);
        REQUIRE(a.odd || a.hole || a.wrong || a.units != u->n.units || a.params != u->n.params ||
                    status == MSKP_ERROR_NO_MEMORY || status == MSKP_ERROR_NO_DATA ||
                    status == MSKP_ERROR_BAD_NUMBER,
                "%s", err.text);
        return;
    }
    limited_heap_fail(u->heap, 0);
    require_taken_rightly(u, &a);
    uint8_t *kept = arena_get(&u->mem, u->n.units, 1);
    REQUIRE_OK(
        mskp_constants_masks(c, (mskp_mask){0}, (mskp_mask){0}, mask_of(u->n.units, kept), NULL));
    if (!a.wrong) use_constants(u, c, kept);
    mskp_constants_destroy(c);
    REQUIRE(u->heap->live == live, "constants keep memory");
}

/* What stays is within the rule, with the carriers counted. */
static void require_within(user *u, const mskp_rule *rule, const double *scores,
                           const uint8_t *kept)
{
    mskp_cost cost;
    size_t removed = 0;
    for (size_t i = 0; i < u->n.units; i++) {
        removed += !kept[i];
        REQUIRE(kept[i] || (isfinite(scores[i]) && !(rule->locked.unit && rule->locked.unit[i])),
                "unit %zu left", i);
    }
    REQUIRE_OK(mskp_measure(u->g, mask_of(u->n.units, kept), &cost, NULL, NULL));
    REQUIRE(!(rule->max_macs > 0) || cost.macs <= rule->max_macs, "%.0f MACs, at most %.0f",
            cost.macs, rule->max_macs);
    REQUIRE(!(rule->max_params > 0) || cost.params <= rule->max_params,
            "%.0f parameters, at most %.0f", cost.params, rule->max_params);
    REQUIRE((double)removed >= floor(rule->remove_fraction * (double)u->n.units),
            "%zu of %zu units left, remove_fraction is %g", removed, u->n.units,
            rule->remove_fraction);
    REQUIRE(rule->empty_branches || !empties(u, kept), "an empty list");
}

void call_constants_select(user *u)
{
    const double *scores = any_scores(u);
    const mskp_rule rule = any_rule(u, random_keep(u));
    const size_t live = u->heap->live;
    given a = any_given(u, NO_RULE);
    const mskp_constants_desc *desc = rng_chance(u->r, 0.1) ? NULL : &a.desc;
    const mskp_tensors values = set_by_id(a.params, a.hole == NO_VALUES ? NULL : a.tensors);
    uint8_t *selected = arena_get(&u->mem, u->n.units, 1), *keep = u->keep;
    uint8_t *kept = arena_get(&u->mem, u->n.units, 1);
    unsigned char **bytes = bytes_of(u, NULL);
    mskp_constants *c = NULL;
    mskp_error err = {0};
    const mskp_status without = mskp_select(u->g, scores_of(u->n.units, scores), &rule,
                                            mask_of(u->n.units, selected), NULL, NULL);
    endanger(u);
    const mskp_status status = mskp_constants_select(
        a.hole == NO_GRAPH ? NULL : u->g, scores_of(a.units, a.hole == NO_UNITS ? NULL : scores),
        a.hole == NO_RULE ? NULL : &rule, desc, values, a.hole == NO_RESULT ? NULL : &c, &err);
    require_untouched(u, bytes, "mskp_constants_select");
    if (status) {
        require_refusal(u, status, &err, live);
        REQUIRE(!c, "a result, and %s", err.text);
        return;
    }
    limited_heap_fail(u->heap, 0);
    require_taken_rightly(u, &a);
    /* Carriers only add to what mskp_select leaves. */
    REQUIRE(!without || without == MSKP_ERROR_NO_MEMORY, "mskp_select refuses this: %d",
            (int)without);
    REQUIRE_OK(mskp_constants_masks(c, mask_of(u->n.units, selected), (mskp_mask){0},
                                    mask_of(u->n.units, kept), NULL));
    require_within(u, &rule, scores, kept);
    u->keep = selected;
    if (!a.wrong) use_constants(u, c, kept);
    u->keep = keep;
    mskp_constants_destroy(c);
    REQUIRE(u->heap->live == live, "constants keep memory");
}

/*
 * The masks of a pruner, and its cuts.
 *
 * A round selects units within its part of the rule, together with the carriers of the constants
 * that are foreseen. When the cut is made the values are others, and with them the constants, so
 * other carriers may be needed. If they cost more, the network would exceed the budget. So units
 * are selected again within the same rule, in this order: all marked units first, in the order in
 * which they were marked, because training has prepared the network for their removal; then the
 * others, in the order of what they are worth now. If the carriers are as foreseen, this gives the
 * same mask. The order is made of ranks, so scores may be of any sign and size.
 *
 * Nothing of a pruner changes before the last call that can fail: masks, scores and streaks are
 * made in arrays for work, which then change places with those that hold, and a cut is worked out
 * in objects of its own. mskp_pruner_before_step makes a mask for a copy of the pruner, so that
 * the pruner still has the old one if the step fails after that.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/sort.h"
#include "base/status.h"
#include "pruner/pruner.h"

const mskp_graph *mskp_pruner_graph(const mskp_pruner *pruner)
{
    if (!pruner) return NULL;
    return pruner->own ? pruner->own : pruner->first;
}

mskp_mask mskpi_pruner_keep(const mskp_pruner *p)
{
    return (mskp_mask){p->units, p->keep};
}

mskp_mask mskp_pruner_mask(const mskp_pruner *pruner)
{
    if (!pruner || !pruner->marked) return (mskp_mask){0, NULL};
    return mskpi_pruner_keep(pruner);
}

uint32_t mskpi_pruner_roles(const mskp_pruner *p)
{
    return p->how.penalty.roles ? p->how.penalty.roles : MSKP_ROLE_SCALE;
}

/* ---- the rule of a round ---- */

/* What is left of an amount after a round: the part f of the way from all of it to the limit. */
static double limit_of(double all, double limit, double f)
{
    return limit < all ? all - f * (all - limit) : limit;
}

/* The rule of this round. budgets: room for its budgets, with the limits of the round. */
static mskp_rule rule_of(const mskp_pruner *p, mskp_budget *budgets)
{
    mskp_rule rule = p->how.rule;
    const uint32_t rounds = mskpi_pruner_rounds(p);
    if (rule.locked.unit) rule.locked = (mskp_mask){p->units, p->locked};
    if (rounds == 1) return rule;
    const double f = mskp_schedule_at(p->how.schedule, 0, 1, p->round + 1, rounds);
    if (rule.max_macs > 0) rule.max_macs = limit_of(p->dense.macs, rule.max_macs, f);
    if (rule.max_params > 0) rule.max_params = limit_of(p->dense.params, rule.max_params, f);
    if (rule.remove_fraction > 0) {
        /* The fraction is of the first network's units, some of which are gone. A demand that is
         * met already stays a demand, for none of the units. */
        const size_t all = mskp_graph_counts(p->first).units, gone = all - p->units;
        const size_t to_go = mskpi_fraction(f * rule.remove_fraction, all);
        const double more = to_go > gone ? (double)(to_go - gone) : 0.5;
        rule.remove_fraction = fmin(more / (double)p->units, 1);
    }
    for (size_t i = 0; i < rule.nbudgets; i++) {
        budgets[i] = rule.budgets[i];
        budgets[i].limit = limit_of(p->amounts[i], budgets[i].limit, f);
    }
    if (rule.nbudgets) rule.budgets = budgets;
    return rule;
}

mskp_constants_desc mskpi_pruner_constants(const mskp_pruner *p)
{
    mskp_constants_desc desc = p->how.constants;
    /* A shift that did not reach zero is a constant, which is moved rather than lost. */
    if (!desc.zeroed) desc.zeroed = mskpi_pruner_roles(p) & ~(uint32_t)MSKP_ROLE_SHIFT;
    return desc;
}

static mskp_scores work_scores(const mskp_pruner *p)
{
    return (mskp_scores){p->units, p->scores};
}

mskp_status mskpi_pruner_score(const mskp_pruner *p, mskp_tensors values, mskp_scores scores,
                               mskp_error *err)
{
    const mskp_graph *graph = mskp_pruner_graph(p);
    if (p->how.score) return p->how.score(p->how.context, graph, values, scores, err);
    mskp_status status = mskp_score(graph, &p->how.scoring, values, scores, err);
    if (!status && p->how.use_normalizer)
        status = mskp_score_normalize(graph, p->how.normalizer, p->how.normalizer_parameter, scores,
                                      err);
    return status;
}

/* *constants <- what this round's rule selects by the scores. */
static mskp_status select_units(const mskp_pruner *p, mskp_scores scores,
                                const mskp_constants_desc *desc, mskp_tensors values,
                                mskp_constants **constants, mskp_error *err)
{
    const size_t n = p->how.rule.nbudgets;
    mskp_budget *budgets = mskpi_alloc(&p->services, n, sizeof *budgets);
    if (!budgets)
        return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s for the budgets of a round",
                          mskp_status_text(MSKP_ERROR_NO_MEMORY));
    const mskp_rule rule = rule_of(p, budgets);
    const mskp_status status =
        mskp_constants_select(mskp_pruner_graph(p), scores, &rule, desc, values, constants, err);
    mskpi_free(&p->services, budgets);
    return status;
}

/* ---- masks ---- */

/* p->scores <- scores, p->work <- the mask that the rule selects by them, constants foreseen: what
 * the pull is on counts as 0, and everything else as it is now. */
static mskp_status propose(mskp_pruner *p, mskp_tensors values, mskp_error *err)
{
    const mskp_mask none = {0, NULL}, work = {p->units, p->work};
    mskp_constants_desc desc = p->how.constants;
    mskp_constants *constants = NULL;
    if (!desc.zeroed) desc.zeroed = mskpi_pruner_roles(p);
    mskp_status status = mskpi_pruner_score(p, values, work_scores(p), err);
    if (!status) status = select_units(p, work_scores(p), &desc, values, &constants, err);
    if (!status) status = mskp_constants_masks(constants, work, none, none, err);
    mskp_constants_destroy(constants);
    return status;
}

mskp_status mskpi_pruner_measure(const mskp_pruner *p, mskp_mask keep, mskp_tensors values,
                                 mskp_gauge *gauge, mskp_error *err)
{
    return mskp_penalty_gauge(mskp_pruner_graph(p), keep, &p->how.penalty, values, gauge, err);
}

/* p->scores become the scores of the mask, and p->order its streaks. */
static void take_scores(mskp_pruner *p)
{
    double *const scores = p->scores;
    p->scores = p->chosen;
    p->chosen = scores;
}

static void take_streaks(mskp_pruner *p)
{
    uint32_t *const streak = p->order;
    p->order = p->streak;
    p->streak = streak;
}

/* Takes p->work over as the mask of a new round. */
static void begin_round(mskp_pruner *p, double largest)
{
    uint8_t *const keep = p->work;
    p->work = p->keep;
    p->keep = keep;
    memset(p->order, 0, p->units * sizeof *p->order);
    take_streaks(p);
    p->marked = true;
    p->again = false;
    p->start = largest;
    p->residue = (double)NAN;
    p->response = 1 / (1 - p->how.momentum);
    p->window = 0;
}

mskp_status mskpi_pruner_make_mask(mskp_pruner *p, mskp_tensors values, mskp_error *err)
{
    mskp_gauge gauge;
    mskp_status status = propose(p, values, err);
    if (!status)
        status = mskpi_pruner_measure(p, (mskp_mask){p->units, p->work}, values, &gauge, err);
    if (status) return status;
    take_scores(p);
    p->scored = true;
    begin_round(p, gauge.largest);
    return MSKP_OK;
}

mskp_status mskpi_pruner_refresh(mskp_pruner *p, mskp_tensors values, mskp_error *err)
{
    const mskp_graph *graph = mskp_pruner_graph(p);
    const mskp_status status = propose(p, values, err);
    if (status) return status;
    uint8_t *const keep = p->spare;
    memcpy(keep, p->keep, p->units);
    memcpy(p->order, p->streak, p->units * sizeof *p->order);
    MSKPI_MUST(mskp_mask_hysteresis(graph, (mskp_mask){p->units, p->work}, p->how.hysteresis,
                                    p->units, p->order, (mskp_mask){p->units, keep}, err));
    p->spare = p->before;
    p->before = p->keep;
    p->keep = keep;
    take_scores(p);
    take_streaks(p);
    p->again = true;
    return MSKP_OK;
}

mskp_status mskp_pruner_mark(mskp_pruner *pruner, mskp_tensors values, mskp_mask keep,
                             mskp_error *err)
{
    mskp_gauge gauge;
    mskp_status status = MSKPI_GIVEN(err, pruner);
    if (status) return status;
    mskp_pruner *p = pruner;
    if (p->marked || p->applied || mskp_pruner_due(p) == MSKP_PRUNER_DUE_NOTHING)
        return mskpi_fail(err, MSKP_ERROR_BAD_STATE, "pruner: %s at step %llu",
                          p->marked    ? "there is a mask already"
                          : p->applied ? "the cut was begun and is not complete"
                                       : "no mask is due",
                          (unsigned long long)p->step);
    if (!keep.unit && !keep.n) {
        status = mskpi_pruner_make_mask(p, values, err);
        if (!status) mskpi_pruner_unplan(p);
        return status;
    }
    /* The plan refuses a mask that cannot be cut now, and not at the end of the round. */
    mskp_plan *plan = NULL;
    status = mskp_plan_create(mskp_pruner_graph(p), keep, &plan, NULL, err);
    mskp_plan_destroy(plan);
    if (!status) status = mskpi_pruner_measure(p, keep, values, &gauge, err);
    if (status) return status;
    for (size_t u = 0; u < p->units; u++) p->work[u] = keep.unit[u] != 0;
    mskpi_pruner_unplan(p);
    p->scored = false;
    begin_round(p, gauge.largest);
    return MSKP_OK;
}

/* ---- cuts ---- */

void mskpi_pruner_unplan(mskp_pruner *p)
{
    mskp_plan_destroy(p->plan);
    mskp_graph_destroy(p->small);
    mskp_constants_destroy(p->constants);
    p->plan = NULL;
    p->small = NULL;
    p->constants = NULL;
    p->applied = p->prepared = false;
}

static bool comes_first(const void *context, uint32_t a, uint32_t b)
{
    const mskp_pruner *p = context;
    if (p->keep[a] != p->keep[b]) return !p->keep[a];
    const double *score = p->keep[a] ? p->scores : p->chosen;
    if (score[a] < score[b] || score[a] > score[b]) return score[a] < score[b];
    return a < b;
}

/* p->scores <- ranks: marked units first. A score of +infinity stays. */
static mskp_status rank_again(mskp_pruner *p, mskp_tensors values, mskp_error *err)
{
    const mskp_status status = mskpi_pruner_score(p, values, work_scores(p), err);
    if (status) return status;
    for (size_t u = 0; u < p->units; u++) p->order[u] = (uint32_t)u;
    mskpi_sort(p->order, p->buffer, p->units, comes_first, p);
    for (size_t i = 0; i < p->units; i++) {
        const uint32_t u = p->order[i];
        if (!p->keep[u] || p->scores[u] < (double)INFINITY) p->scores[u] = (double)i;
    }
    return MSKP_OK;
}

/* *constants <- what leaves in a cut now, and where its constants go: the mask that was given, or
 * what the rule selects. Uses p->scores, p->order and p->buffer. */
static mskp_status choose(mskp_pruner *p, mskp_tensors values, mskp_constants **constants,
                          mskp_error *err)
{
    const mskp_constants_desc desc = mskpi_pruner_constants(p);
    if (p->marked && !p->scored)
        return mskp_constants_create(mskp_pruner_graph(p), mskpi_pruner_keep(p), &desc, values,
                                     constants, err);
    const mskp_status status =
        p->marked ? rank_again(p, values, err) : mskpi_pruner_score(p, values, work_scores(p), err);
    return status ? status : select_units(p, work_scores(p), &desc, values, constants, err);
}

mskp_status mskpi_pruner_foresee(const mskp_pruner *pruner, mskp_tensors values,
                                 mskp_constants **constants, size_t *unmarked, mskp_error *err)
{
    const mskp_services *services = &pruner->services;
    const size_t n = pruner->units;
    const mskp_mask none = {0, NULL}, selected = {n, mskpi_alloc(services, n, 1)};
    mskp_pruner copy = *pruner;
    mskp_error refused; /* *err stays as it is where there is another way */
    copy.scores = mskpi_alloc(services, n, sizeof *copy.scores);
    copy.order = mskpi_alloc(services, n, sizeof *copy.order);
    copy.buffer = mskpi_alloc(services, n, sizeof *copy.buffer);
    mskp_status status = MSKP_OK;
    if (!selected.unit || !copy.scores || !copy.order || !copy.buffer)
        status = mskpi_fail(&refused, MSKP_ERROR_NO_MEMORY, "%s for the gauges of a pruner",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY));
    if (!status) status = choose(&copy, values, constants, &refused);
    *unmarked = 0;
    if (!status) status = mskp_constants_masks(*constants, selected, none, none, &refused);
    for (size_t u = 0; !status && u < n; u++) *unmarked += pruner->keep[u] && !selected.unit[u];
    mskpi_free(services, copy.buffer);
    mskpi_free(services, copy.order);
    mskpi_free(services, copy.scores);
    mskpi_free(services, selected.unit);
    if (status && err) *err = refused;
    return status;
}

/* In place of what was worked out before. */
static mskp_status work_out(mskp_pruner *pruner, mskp_tensors values, mskp_error *err)
{
    mskp_pruner next = *pruner, *const p = &next;
    p->constants = NULL;
    p->plan = NULL;
    p->small = NULL;
    p->prepared = false;
    mskp_status status = choose(p, values, &p->constants, err);
    if (!status) status = mskp_constants_plan(p->constants, &p->plan, &p->small, err);
    mskpi_pruner_unplan(status ? p : pruner);
    if (!status) *pruner = next;
    return status;
}

mskp_status mskp_pruner_prepare(mskp_pruner *pruner, mskp_tensors values, mskp_plan **plan,
                                const mskp_constants **constants, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, pruner);
    if (status) return status;
    if (!pruner->marked && !mskpi_pruner_cut_due(pruner))
        return mskpi_fail(err, MSKP_ERROR_BAD_STATE,
                          "pruner: there is no mask at step %llu, so there is nothing to cut",
                          (unsigned long long)pruner->step);
    if (!pruner->applied) status = work_out(pruner, values, err);
    if (status) return status;
    pruner->prepared = true;
    if (plan) *plan = pruner->plan;
    if (constants) *constants = pruner->constants;
    return MSKP_OK;
}

/* Renumbers the flags of units that stay; returns their number. */
static size_t renumber(const uint8_t *kept, size_t n, uint8_t *flag)
{
    size_t left = 0;
    for (size_t u = 0; u < n; u++)
        if (kept[u]) flag[left++] = flag[u];
    return left;
}

/* The network has been cut by p->plan. */
static void begin_next(mskp_pruner *p)
{
    mskp_error *const err = NULL;
    const mskp_mask none = {0, NULL}, kept = {p->units, p->work};
    const mskp_mask total = {mskp_graph_counts(p->first).units, p->total};
    MSKPI_MUST(mskp_constants_masks(p->constants, none, none, kept, err));
    MSKPI_MUST(mskp_mask_compose(p->first, total, kept, total, err));
    p->units = renumber(p->work, p->units, p->locked);
    memset(p->keep, 1, p->units);
    mskpi_pruner_penalty_forget(p);
    mskp_graph_destroy(p->own);
    p->own = p->small;
    p->small = NULL;
    mskpi_pruner_unplan(p);
    p->round++;
    p->marked = p->scored = p->again = p->stepping = false;
    p->strength = p->move = 0;
}

mskp_status mskp_pruner_cut_done(mskp_pruner *pruner, mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, pruner);
    if (status) return status;
    if (!pruner->prepared)
        return mskpi_fail(err, MSKP_ERROR_BAD_STATE, "pruner: no cut was prepared since step %llu",
                          (unsigned long long)pruner->step);
    begin_next(pruner);
    return MSKP_OK;
}

mskp_status mskp_pruner_cut(mskp_pruner *pruner, size_t n, const mskp_move *moves, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, pruner, moves);
    if (status) return status;
    mskp_pruner *p = pruner;
    if (!n)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "pruner: 0 sets; the first set must be the values");
    if (!mskpi_pruner_cut_due(p))
        return mskpi_fail(err, MSKP_ERROR_BAD_STATE, "pruner: no cut is due at step %llu",
                          (unsigned long long)p->step);
    const mskp_tensors values = moves[0].from;
    if (!p->applied) status = work_out(p, values, err);
    if (!status && !p->applied) {
        status = mskp_constants_apply(p->constants, p->plan, values, err);
        p->applied = !status;
        if (status) mskpi_pruner_unplan(p);
    }
    if (!status) status = mskp_plan_cut(p->plan, n, moves, err);
    if (!status) begin_next(p);
    return status;
}

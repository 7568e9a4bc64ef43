/*
 * The selection of a keep mask: a greedy walk that removes units in the order of their scores until
 * every demand of the rule holds.
 *
 *     sort the units by (score, unit number)
 *     for each unit that the threshold or the family fraction names, then for each unit:
 *         add the unit to the pending units of its family
 *         if these are a block:
 *             if the block breaks no limit, remove it; otherwise close the family
 *         after all units that are named, stop as soon as all demands hold
 *
 * A block has as many units as the rule's round_to says. A family's first block instead has the
 * units left over when the family's size is not a multiple of round_to. A family that is closed
 * stays closed: the numbers of channels only fall, so a block that breaks a floor now would break
 * it later, too. The walk stops at the first block after which every demand holds. Hence not one
 * block more is removed than is necessary, and a smaller budget removes a superset.
 *
 * With empty_branches the rest of a family may go in one block, below the floor, if a branch
 * vanishes with it (vanish.c). The family then collects its units until it has the rest.
 *
 * A walk costs little more than its sort. The sort is a radix sort of the scores' bits. What is
 * left after a block is counted in amounts.c. Pending units are chained by their places in the
 * order, so they need no memory of their own.
 *
 * A new field of mskp_rule is checked in rule.c. A limit goes into block_fits (and, if a family can
 * have its own, into mskpi_family_limits), a demand on which units into walk_named, and a demand on
 * how much into mskpi_amounts_met and mskpi_amounts_unmet, or into budget.c as a kind of budget.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/overlap.h"
#include "base/sort.h"
#include "base/status.h"
#include "describe/graph.h"
#include "mask/amounts.h"
#include "mask/rule.h"
#include "mask/select.h"
#include "mask/vanish.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/units.h"

/* Walking the units in removal order jumps between families. Data used by one visit is therefore
 * kept together, and other data is stored by position in that order where possible. */
typedef struct family_state {
    family_limits limits;
    size_t removed;
    size_t pending;    /* units that were collected, but not removed yet */
    size_t ranked;     /* units that the walk of the named units has passed */
    size_t first, end; /* its incidences */
    uint32_t last;     /* 1 + the place of the unit that was collected last; 0: none is pending */
    bool closed;
} family_state;

typedef struct walk {
    const mskp_graph *graph;
    const mskp_rule *rule;
    const double *scores;

    sort_item *order; /* the units that may be removed, smallest score first; a place indexes it */
    size_t norder;
    uint32_t *next; /* [norder] the chain of a family's pending units: 0: the unit at this place was
                       not collected; otherwise 1 + what `last` of its family was before it */
    uint8_t *keep;
    family_state *families;
    amounts left; /* what stays */
    bool met;     /* whether all demands on amounts hold for it */

    removal_order *record; /* receives the blocks, unless it is NULL */
} walk;

/* ---- the order ---- */

/* Returns a key that ascends with the score. It is made of the bits, so denormal numbers count
 * in every floating-point mode. */
static uint64_t key_of(double score)
{
    const uint64_t sign = UINT64_C(1) << 63;
    uint64_t bits;
    memcpy(&bits, &score, sizeof bits);
    if (bits == sign) bits = 0; /* -0 equals 0 */
    return bits & sign ? ~bits : bits | sign;
}

static mskp_status no_memory(size_t units, mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while selecting among %zu units",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY), units);
}

static mskp_status make_order(walk *w, mskp_error *err)
{
    const mskp_services *services = &w->graph->services;
    const size_t n = w->graph->u->n;
    const uint8_t *locked = w->rule->locked.unit;
    sort_item *items = mskpi_alloc(services, n, sizeof *items);
    sort_item *buffer = mskpi_alloc(services, n, sizeof *buffer);
    const bool failed = !items || !buffer;
    w->order = items;
    if (!failed) {
        for (uint32_t i = 0; i < n; i++)
            if (w->scores[i] < INFINITY && (!locked || !locked[i]) &&
                !w->families[w->graph->u->family[i]].limits.locked)
                items[w->norder++] = (sort_item){key_of(w->scores[i]), i, w->graph->u->family[i]};
        w->order = mskpi_sort_items(items, buffer, w->norder);
        MSKPI_ASSERT(w->order == items || w->order == buffer);
    }
    for (size_t i = 1; i < w->norder; i++)
        MSKPI_ASSERT(
            w->order[i - 1].key < w->order[i].key ||
            (w->order[i - 1].key == w->order[i].key && w->order[i - 1].unit < w->order[i].unit));
    mskpi_free(services, w->order == items ? buffer : items);
    return failed ? no_memory(n, err) : MSKP_OK;
}

/* ---- blocks ---- */

/* Whether the limits allow n more units of the family to be removed. */
static bool block_fits(const walk *w, const family_state *f, size_t n)
{
    const unit_table *u = w->graph->u;
    if (f->removed + n > f->limits.most) return false;
    for (size_t k = f->first; k < f->end; k++) {
        const incidence *i = &u->incidences[k];
        size_t least = f->limits.floor;
        if (least > 1 && u->lists[i->list].n < least) least = u->lists[i->list].n;
        if (w->left.length[i->list] < least + n * i->times) return false;
    }
    return true;
}

/* Whether a branch vanishes with the rest of a family, so that the rest can be removed. A list
 * keeps as many channels as the floor says, or none. */
static bool rest_fits(walk *w, const family_state *f)
{
    const unit_table *u = w->graph->u;
    const size_t rest = f->limits.size - f->removed;
    bool fits = f->limits.size <= f->limits.most;
    for (size_t k = f->first; k < f->end; k++) {
        const incidence *i = &u->incidences[k];
        const size_t least =
            u->lists[i->list].n < f->limits.floor ? u->lists[i->list].n : f->limits.floor;
        w->left.length[i->list] -= rest * i->times;
        fits = fits && (!w->left.length[i->list] || w->left.length[i->list] >= least);
    }
    fits = fits && !mskpi_vanish(&w->left.gone, w->left.length, NULL);
    for (size_t k = f->first; k < f->end; k++)
        w->left.length[u->incidences[k].list] += rest * u->incidences[k].times;
    if (!fits)
        MSKPI_MUST(
            mskpi_vanish(&w->left.gone, w->left.length, NULL)); /* what has vanished so far */
    return fits;
}

/* Removes the pending units of a family. */
static void remove_block(walk *w, family_state *f)
{
    mskpi_amounts_remove(&w->left, (size_t)(f - w->families), f->pending);
    size_t at = w->left.removed; /* the chain begins with the last unit of the block */
    for (uint32_t place = f->last; place; place = w->next[place - 1] - 1) {
        const uint32_t unit = w->order[place - 1].unit;
        MSKPI_ASSERT(w->keep[unit] && w->next[place - 1]);
        w->keep[unit] = 0;
        --at;
        if (w->record) w->record->unit[at] = unit;
    }
    MSKPI_ASSERT(at + f->pending ==
                 w->left.removed); /* the chain has as many units as are pending */
    f->removed += f->pending;
    MSKPI_ASSERT(f->removed <= f->limits.size && w->left.removed <= w->norder);
    if (w->record) w->record->end[++w->record->nblocks] = w->left.removed;
    f->last = 0;
    f->pending = 0;
}

/* Collects the unit at this place of the order, unless it was collected or its family is closed.
 * Returns whether a block was complete and is removed now. */
static bool collect(walk *w, size_t place)
{
    family_state *f = &w->families[w->order[place].family];
    MSKPI_ASSERT(place < w->norder);
    if (w->next[place] || f->closed) return false;
    MSKPI_ASSERT(!f->last || w->next[f->last - 1]); /* the chain has collected units alone */
    w->next[place] = 1 + f->last;
    f->last = (uint32_t)place + 1;
    f->pending++;
    const size_t remainder = f->limits.size % f->limits.round;
    const size_t block = !f->removed && remainder ? remainder : f->limits.round;
    const size_t rest = f->limits.size - f->removed;
    MSKPI_ASSERT(f->pending <= block || w->rule->empty_branches);
    if (f->pending < block) return false;
    if (!block_fits(w, f, f->pending)) {
        if (w->rule->empty_branches && f->pending < rest) return false; /* until it has the rest */
        f->closed = !w->rule->empty_branches || !rest_fits(w, f);
        if (f->closed) return false; /* for good, because lengths only fall */
    }
    remove_block(w, f);
    return true;
}

/* ---- demands ---- */

static mskp_status ask(walk *w, mskp_error *err)
{
    return mskpi_amounts_met(&w->left, &w->met, err);
}

/* Collects the units that the threshold or the fraction of a family names. */
static void walk_named(walk *w)
{
    const mskp_rule *r = w->rule;
    if (!mskpi_names_units(w->graph, r)) return;
    for (size_t i = 0; i < w->norder; i++) {
        family_state *f = &w->families[w->order[i].family];
        const size_t rank = f->ranked++;
        if ((r->use_threshold && w->scores[w->order[i].unit] <= r->threshold) ||
            rank < f->limits.named)
            collect(w, i);
    }
}

/* The walk of mskp_select: the units that are named, then as many more as the amounts demand. */
static mskp_status walk_until_met(walk *w, mskp_error *err)
{
    walk_named(w);
    mskp_status status = ask(w, err);
    for (size_t i = 0; !status && !w->met && i < w->norder; i++)
        if (collect(w, i)) status = ask(w, err);
    return status;
}

/* The walk of mskpi_removal_order: the same, but it goes on to the end of the order. */
static mskp_status walk_to_end(walk *w, mskp_error *err)
{
    walk_named(w);
    w->record->named = w->record->enough = w->record->nblocks;
    mskp_status status = ask(w, err);
    for (size_t i = 0; !status && i < w->norder; i++)
        if (collect(w, i) && !w->met) {
            status = ask(w, err);
            w->record->enough = w->record->nblocks;
        }
    MSKPI_ASSERT(w->record->named <= w->record->enough && w->record->enough <= w->record->nblocks);
    MSKPI_ASSERT(w->record->end[w->record->nblocks] == w->left.removed);
    return status;
}

/* Fails with the demand that does not hold, what it asks for, and the least that is possible. The
 * sentence also counts the units that can never be removed, because in a network without gamma that
 * is scored by gamma these are all units. */
static mskp_status no_solution(const walk *w, mskp_error *err)
{
    const size_t n = w->graph->u->n, never = n - w->norder;
    char limits[LIMITS_SIZE];
    const char *held = mskpi_limits_text(w->graph, w->rule, limits);
    const unmet_demand d = mskpi_amounts_unmet(&w->left);
    char asked[NUMBER_SIZE], possible[NUMBER_SIZE];
    if (d.units)
        return mskpi_fail(
            err, MSKP_ERROR_NO_SOLUTION,
            "remove_fraction asks for %zu units, %zu of %zu can go (%zu are locked or "
            "score +infinity%s)",
            d.units, w->left.removed, n, never, held);
    return mskpi_fail(err, MSKP_ERROR_NO_SOLUTION,
                      "%s is %s%s, %s is %s (%zu of %zu units are locked or score "
                      "+infinity%s)",
                      d.text, mskpi_number(d.limit, asked),
                      d.limit <= 1 && !d.may_rise ? " (it is absolute, not a fraction)" : "",
                      d.may_rise ? "what is left when nothing more can go"
                                 : "the least that can be had",
                      mskpi_number(d.left, possible), never, n, held);
}

/* Makes the state of a walk before its first unit. free_walk frees it, also after an error. */
static mskp_status start_walk(walk *w, mskp_error *err)
{
    const mskp_services *services = &w->graph->services;
    const unit_table *u = w->graph->u;
    mskp_status status = mskpi_amounts_open(&w->left, w->graph, w->rule, err);
    if (status) return status;
    w->families = mskpi_alloc(services, u->nfamilies, sizeof *w->families);
    if (!w->families) return no_memory(u->n, err);
    for (size_t f = 0; f < u->nfamilies; f++)
        w->families[f] = (family_state){.limits = mskpi_family_limits(w->graph, w->rule, f),
                                        .first = u->incidence_first[f],
                                        .end = u->incidence_first[f + 1]};
    status = make_order(w, err);
    if (status) return status;
    w->keep = mskpi_alloc(services, u->n, sizeof *w->keep);
    w->next = mskpi_alloc(services, w->norder, sizeof *w->next);
    if (!w->keep || !w->next) return no_memory(u->n, err);
    memset(w->keep, 1, u->n);
    return MSKP_OK;
}

static void free_walk(walk *w)
{
    const mskp_services *services = &w->graph->services;
    mskpi_amounts_close(&w->left);
    mskpi_free(services, w->order);
    mskpi_free(services, w->keep);
    mskpi_free(services, w->next);
    mskpi_free(services, w->families);
}

/* Whether a list with units keeps no multiple of what some family of it is rounded to. */
static bool is_unrounded(const walk *w, uint32_t list)
{
    const unit_table *u = w->graph->u;
    bool any = false;
    for (size_t i = 0; i < u->lists[list].n; i++) {
        const uint32_t unit = u->list_units[u->lists[list].first + i];
        any |= unit != MSKP_PINNED &&
               w->left.length[list] % w->families[u->family[unit]].limits.round != 0;
    }
    return any;
}

/* *selection <- what the walk did. */
static void report(walk *w, mskp_selection *selection)
{
    const mskp_graph *g = w->graph;
    mskp_selection s = {.removed = w->left.removed, .cost = mskpi_amounts_cost(&w->left)};
    bool rounds = false;
    for (size_t f = 0; f < g->u->nfamilies; f++) rounds |= w->families[f].limits.round > 1;
    for (uint32_t p = 1; rounds && p <= g->nparams; p++)
        for (uint32_t d = 0; d < g->params[p].ndim; d++) {
            const uint32_t l = g->axes[g->params[p].axis + d].list;
            if (l == NO_LIST || !is_unrounded(w, l)) continue;
            if (!s.unrounded++) {
                s.unrounded_param = (mskp_param){p};
                s.unrounded_axis = d;
            }
        }
    *selection = s;
}

static mskp_status check_call(const mskp_graph *graph, mskp_scores scores, const mskp_rule *rule,
                              mskp_error *err)
{
    mskp_status status = mskpi_check_scores(graph, "scores", scores, err);
    if (!status) status = MSKPI_GIVEN(err, rule);
    if (!status) status = mskpi_check_optional_mask(graph, "rule: locked", rule->locked, err);
    if (!status) status = mskpi_check_rule(graph, rule, err);
    if (!status) status = mskpi_check_selectable(scores, err);
    return status;
}

static walk new_walk(const mskp_graph *graph, mskp_scores scores, const mskp_rule *rule)
{
    return (walk){.graph = graph, .rule = rule, .scores = scores.unit, .left = {.graph = graph}};
}

mskp_status mskp_select(const mskp_graph *graph, mskp_scores scores, const mskp_rule *rule,
                        mskp_mask keep, mskp_selection *selection, mskp_error *err)
{
    mskp_status status = check_call(graph, scores, rule, err);
    if (!status) status = mskpi_check_mask(graph, "keep", keep, err);
    const call_array written = mskpi_mask_array("keep", keep);
    if (!status) status = mskpi_check_apart(written, mskpi_scores_array("scores", scores), err);
    if (!status) status = mskpi_check_apart(written, mskpi_mask_array("locked", rule->locked), err);
    if (status) return status;
    walk w = new_walk(graph, scores, rule);
    status = start_walk(&w, err);
    if (!status) status = walk_until_met(&w, err);
    if (!status) {
        if (!w.met) status = no_solution(&w, err);
        if (selection) report(&w, selection);
    }
    if (!status && keep.n) memcpy(keep.unit, w.keep, keep.n);
    free_walk(&w);
    return status;
}

mskp_status mskpi_removal_order(const mskp_graph *graph, mskp_scores scores, const mskp_rule *rule,
                                removal_order *out, mskp_error *err)
{
    mskp_status status = check_call(graph, scores, rule, err);
    if (status) return status;
    const mskp_services *services = &graph->services;
    removal_order o = {.unit = mskpi_alloc(services, scores.n, sizeof *o.unit),
                       .end = mskpi_alloc(services, scores.n + 1, sizeof *o.end)};
    walk w = new_walk(graph, scores, rule);
    w.record = &o;
    status = o.unit && o.end ? start_walk(&w, err) : no_memory(scores.n, err);
    if (!status) status = walk_to_end(&w, err);
    if (!status && !w.met) status = no_solution(&w, err);
    free_walk(&w);
    if (status)
        mskpi_removal_order_free(services, &o);
    else
        *out = o;
    return status;
}

void mskpi_removal_order_free(const mskp_services *services, removal_order *o)
{
    mskpi_free(services, o->unit);
    mskpi_free(services, o->end);
}

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
 * A walk costs little more than its sort. The sort is a radix sort of the scores' bits. A block
 * changes only the lengths of the lists that its family occurs in, and only the cost terms of these
 * lists are computed again. Pending units are chained by their places in the order, so they need no
 * memory of their own.
 *
 * A new demand or limit goes into mskp_rule (mskp.h), check_rule, and no_solution if it can fail. A
 * limit goes into block_fits, a demand on which units into walk_named, and a demand on how much
 * into mskpi_amounts_met.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/sort.h"
#include "base/status.h"
#include "describe/graph.h"
#include "mask/select.h"
#include "mask/vanish.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/cost.h"
#include "units/units.h"

/* Walking the units in removal order jumps between families. Data used by one visit is therefore
 * kept together, and other data is stored by position in that order where possible. */
typedef struct family_state {
    size_t size;
    size_t removed;
    size_t pending;    /* units that were collected, but not removed yet */
    size_t ranked;     /* units that the walk of the named units has passed */
    size_t first, end; /* its incidences */
    uint32_t last;     /* 1 + the place of the unit that was collected last; 0: none is pending */
    bool closed;
} family_state;

typedef struct term_state {
    uint64_t value;
    uint64_t stamp; /* the number of the block for which it was computed last */
} term_state;

typedef struct walk {
    const mskp_graph *graph;
    const mskp_rule *rule;
    const double *scores;
    size_t floor, round;

    sort_item *order; /* the units that may be removed, smallest score first; a place indexes it */
    size_t norder;
    uint32_t *next; /* [norder] the chain of a family's pending units: 0: the unit at this place was
                       not collected; otherwise 1 + what `last` of its family was before it */
    uint8_t *keep;
    family_state *families;
    size_t *length; /* [lists] channels that stay */
    term_state *terms;
    uint64_t blocks;
    vanishing vanish; /* used with empty_branches */
    bool has_budget;  /* max_macs or max_params: costs follow each block, not only the last one */

    size_t removed;
    uint64_t cost[2]; /* MACs, elements of parameters */

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
    sort_item *items = mskpi_alloc(services, n, sizeof *items);
    sort_item *buffer = mskpi_alloc(services, n, sizeof *buffer);
    const bool failed = !items || !buffer;
    w->order = items;
    if (!failed) {
        for (uint32_t i = 0; i < n; i++)
            if (w->scores[i] < INFINITY && !(w->rule->locked.unit && w->rule->locked.unit[i]))
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
    const double cap = w->rule->max_family_fraction;
    if (cap > 0 && f->removed + n > mskpi_fraction(cap, f->size)) return false;
    for (size_t k = f->first; k < f->end; k++) {
        const incidence *i = &u->incidences[k];
        size_t least = w->floor;
        if (least > 1 && u->lists[i->list].n < least) least = u->lists[i->list].n;
        if (w->length[i->list] < least + n * i->times) return false;
    }
    return true;
}

/* Whether a branch vanishes with the rest of a family, so that the rest can be removed. A list
 * keeps as many channels as the floor says, or none. */
static bool rest_fits(walk *w, const family_state *f)
{
    const unit_table *u = w->graph->u;
    const size_t rest = f->size - f->removed;
    bool fits = !(w->rule->max_family_fraction > 0) ||
                f->size <= mskpi_fraction(w->rule->max_family_fraction, f->size);
    for (size_t k = f->first; k < f->end; k++) {
        const incidence *i = &u->incidences[k];
        const size_t least = u->lists[i->list].n < w->floor ? u->lists[i->list].n : w->floor;
        w->length[i->list] -= rest * i->times;
        fits = fits && (!w->length[i->list] || w->length[i->list] >= least);
    }
    fits = fits && !mskpi_vanish(&w->vanish, w->length, NULL);
    for (size_t k = f->first; k < f->end; k++)
        w->length[u->incidences[k].list] += rest * u->incidences[k].times;
    if (!fits) MSKPI_MUST(mskpi_vanish(&w->vanish, w->length, NULL)); /* what has vanished so far */
    return fits;
}

/* Computes all terms: at the start, when a branch has vanished, and at the end of a walk during
 * which costs did not matter. */
static void count_costs(walk *w)
{
    const unit_table *u = w->graph->u;
    memset(w->cost, 0, sizeof w->cost);
    for (size_t t = 0; t < u->nterms; t++) {
        w->terms[t].value = mskpi_term_left(&w->vanish, &u->terms[t], w->length);
        w->cost[u->terms[t].is_params] += w->terms[t].value;
    }
}

/* Computes the terms of a list whose length has changed again, each once for a block. */
static void recount(walk *w, uint32_t list)
{
    const unit_table *u = w->graph->u;
    for (size_t j = u->list_term_first[list]; j < u->list_term_first[list + 1]; j++) {
        const uint32_t t = u->list_terms[j];
        term_state *state = &w->terms[t];
        if (state->stamp == w->blocks) continue;
        state->stamp = w->blocks;
        uint64_t *cost = &w->cost[u->terms[t].is_params];
        MSKPI_ASSERT(*cost >= state->value);
        *cost -= state->value;
        state->value = mskpi_term_left(&w->vanish, &u->terms[t], w->length);
        *cost += state->value;
    }
}

/* Removes the pending units of a family. */
static void remove_block(walk *w, family_state *f)
{
    const incidence *incidences = w->graph->u->incidences;
    bool emptied = false;
    for (size_t k = f->first; k < f->end; k++) {
        MSKPI_ASSERT(w->length[incidences[k].list] >= f->pending * incidences[k].times);
        w->length[incidences[k].list] -= f->pending * incidences[k].times;
        emptied = emptied || !w->length[incidences[k].list];
    }
    w->blocks++;
    if (w->has_budget && emptied) count_costs(w);
    for (size_t k = f->first; w->has_budget && !emptied && k < f->end; k++)
        recount(w, incidences[k].list);
    size_t at = w->removed + f->pending; /* the chain begins with the last unit of the block */
    for (uint32_t place = f->last; place; place = w->next[place - 1] - 1) {
        const uint32_t unit = w->order[place - 1].unit;
        MSKPI_ASSERT(w->keep[unit] && w->next[place - 1]);
        w->keep[unit] = 0;
        --at;
        if (w->record) w->record->unit[at] = unit;
    }
    MSKPI_ASSERT(at == w->removed); /* the chain has as many units as are pending */
    f->removed += f->pending;
    w->removed += f->pending;
    MSKPI_ASSERT(f->removed <= f->size && w->removed <= w->norder);
    if (w->record) w->record->end[++w->record->nblocks] = w->removed;
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
    const size_t remainder = f->size % w->round, rest = f->size - f->removed;
    const size_t block = !f->removed && remainder ? remainder : w->round;
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

static bool amounts_met(const walk *w)
{
    const mskp_cost cost = {(double)w->cost[0], (double)w->cost[1]};
    return mskpi_amounts_met(w->rule, w->graph->u->n, w->removed, &cost);
}

/* Collects the units that the threshold or the family fraction names. */
static void walk_named(walk *w)
{
    const mskp_rule *r = w->rule;
    if (!r->use_threshold && !(r->remove_family_fraction > 0)) return;
    for (size_t i = 0; i < w->norder; i++) {
        family_state *f = &w->families[w->order[i].family];
        const size_t rank = f->ranked++;
        if ((r->use_threshold && w->scores[w->order[i].unit] <= r->threshold) ||
            rank < mskpi_fraction(r->remove_family_fraction, f->size))
            collect(w, i);
    }
}

/* The walk of mskp_select: the units that are named, then as many more as the amounts demand. */
static void walk_until_met(walk *w)
{
    walk_named(w);
    if (amounts_met(w)) return;
    for (size_t i = 0; i < w->norder; i++)
        if (collect(w, i) && amounts_met(w)) return;
}

/* The walk of mskpi_removal_order: the same, but it goes on to the end of the order. Returns
 * whether the amounts were met at some block. */
static bool walk_to_end(walk *w)
{
    bool met;
    walk_named(w);
    w->record->named = w->record->enough = w->record->nblocks;
    met = amounts_met(w);
    for (size_t i = 0; i < w->norder; i++)
        if (collect(w, i) && !met) {
            met = amounts_met(w);
            w->record->enough = w->record->nblocks;
        }
    MSKPI_ASSERT(w->record->named <= w->record->enough && w->record->enough <= w->record->nblocks);
    MSKPI_ASSERT(w->record->nblocks == w->blocks && w->record->end[w->blocks] == w->removed);
    return met;
}

/* Fails with the demand that does not hold, what it asks for, and the least that is possible. The
 * sentence also counts the units that can never be removed, because in a network without gamma that
 * is scored by gamma these are all units. */
static mskp_status no_solution(const walk *w, mskp_error *err)
{
    const mskp_rule *r = w->rule;
    const size_t n = w->graph->u->n, never = n - w->norder;
    const size_t asked_units = mskpi_fraction(r->remove_fraction, n);
    const bool limits = w->floor > 1 || w->round > 1 || r->max_family_fraction > 0;
    const char *held =
        limits ? "; min_channels, round_to or max_family_fraction hold others back" : "";
    char asked[32], possible[32];
    if (w->removed < asked_units)
        return mskpi_fail(
            err, MSKP_ERROR_NO_SOLUTION,
            "remove_fraction asks for %zu units, %zu of %zu can go (%zu are locked or "
            "score +infinity%s)",
            asked_units, w->removed, n, never, held);
    const bool params = !(r->max_macs > 0 && (double)w->cost[0] > r->max_macs);
    const double budget = params ? r->max_params : r->max_macs;
    return mskpi_fail(
        err, MSKP_ERROR_NO_SOLUTION,
        "%s is %s%s, the least that can be had is %s (%zu of %zu units are locked or score "
        "+infinity%s)",
        params ? "max_params" : "max_macs", mskpi_number(budget, asked),
        budget <= 1 ? " (it is absolute, not a fraction)" : "",
        mskpi_number((double)w->cost[params], possible), never, n, held);
}

static mskp_status check_rule(const mskp_rule *r, mskp_error *err)
{
    char value[32];
    const struct {
        const char *name;
        double x, most;
    } number[] = {{"remove_family_fraction", r->remove_family_fraction, 1},
                  {"remove_fraction", r->remove_fraction, 1},
                  {"max_family_fraction", r->max_family_fraction, 1},
                  {"max_macs", r->max_macs, HUGE_VAL},
                  {"max_params", r->max_params, HUGE_VAL}};
    if (isnan(r->threshold))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "rule: threshold is NaN");
    if (!r->use_threshold && (r->threshold < 0 || r->threshold > 0))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "rule: threshold is %s, but use_threshold is 0",
                          mskpi_number(r->threshold, value));
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        if (isnan(number[i].x))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "rule: %s is NaN", number[i].name);
        if (number[i].x < 0 || number[i].x > number[i].most)
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "rule: %s is %s, outside 0 to %s",
                              number[i].name, mskpi_number(number[i].x, value),
                              number[i].most > 1 ? "infinity" : "1");
    }
    if (!r->use_threshold && !(r->remove_family_fraction > 0) && !(r->remove_fraction > 0) &&
        !(r->max_macs > 0) && !(r->max_params > 0))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "rule: nothing is asked: set a threshold, a fraction or a budget");
    return MSKP_OK;
}

static mskp_status check_scores(size_t n, const double *scores, mskp_error *err)
{
    for (size_t u = 0; u < n; u++)
        if (isnan(scores[u]) || scores[u] == -INFINITY)
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "the score of unit %zu is %s", u,
                              isnan(scores[u]) ? "NaN" : "-infinity");
    return MSKP_OK;
}

/* Makes the state of a walk before its first unit. free_walk frees it, also after an error. */
static mskp_status start_walk(walk *w, mskp_error *err)
{
    const mskp_services *services = &w->graph->services;
    const unit_table *u = w->graph->u;
    const mskp_status status = make_order(w, err);
    if (status) return status;
    w->keep = mskpi_alloc(services, u->n, sizeof *w->keep);
    w->next = mskpi_alloc(services, w->norder, sizeof *w->next);
    w->families = mskpi_alloc(services, u->nfamilies, sizeof *w->families);
    w->length = mskpi_alloc(services, u->nlists, sizeof *w->length);
    w->terms = mskpi_alloc(services, u->nterms, sizeof *w->terms);
    if (!w->keep || !w->next || !w->families || !w->length || !w->terms)
        return no_memory(u->n, err);
    memset(w->keep, 1, u->n);
    for (size_t f = 0; f < u->nfamilies; f++)
        w->families[f] = (family_state){.size = u->family_first[f + 1] - u->family_first[f],
                                        .first = u->incidence_first[f],
                                        .end = u->incidence_first[f + 1]};
    mskpi_list_lengths(w->graph, NULL, w->length);
    if (w->rule->empty_branches && mskpi_vanish_make(&w->vanish, w->graph, err))
        return MSKP_ERROR_NO_MEMORY;
    w->has_budget = w->rule->max_macs > 0 || w->rule->max_params > 0;
    count_costs(w);
    return MSKP_OK;
}

static void free_walk(walk *w)
{
    const mskp_services *services = &w->graph->services;
    mskpi_free(services, w->order);
    mskpi_free(services, w->keep);
    mskpi_free(services, w->next);
    mskpi_free(services, w->families);
    mskpi_free(services, w->length);
    mskpi_free(services, w->terms);
    mskpi_vanish_free(&w->vanish);
}

/* *selection <- what the walk did. */
static void report(const walk *w, mskp_selection *selection)
{
    const mskp_graph *g = w->graph;
    mskp_selection s = {.removed = w->removed, .cost = {(double)w->cost[0], (double)w->cost[1]}};
    for (uint32_t p = 1; w->round > 1 && p <= g->nparams; p++)
        for (uint32_t d = 0; d < g->params[p].ndim; d++) {
            const uint32_t l = g->axes[g->params[p].axis + d].list;
            size_t prunable = 0;
            if (l == NO_LIST || w->length[l] % w->round == 0) continue;
            for (size_t i = 0; i < g->u->lists[l].n; i++)
                prunable += g->u->list_units[g->u->lists[l].first + i] != MSKP_PINNED;
            if (prunable && !s.unrounded++) {
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
    if (!status) status = check_rule(rule, err);
    if (!status) status = check_scores(scores.n, scores.unit, err);
    return status;
}

static walk new_walk(const mskp_graph *graph, mskp_scores scores, const mskp_rule *rule)
{
    return (walk){.graph = graph,
                  .rule = rule,
                  .scores = scores.unit,
                  .floor = rule->min_channels ? rule->min_channels : 1,
                  .round = rule->round_to ? rule->round_to : 1};
}

mskp_status mskp_select(const mskp_graph *graph, mskp_scores scores, const mskp_rule *rule,
                        mskp_mask keep, mskp_selection *selection, mskp_error *err)
{
    mskp_status status = check_call(graph, scores, rule, err);
    if (!status) status = mskpi_check_mask(graph, "keep", keep, err);
    if (status) return status;
    walk w = new_walk(graph, scores, rule);
    status = start_walk(&w, err);
    if (!status) {
        walk_until_met(&w);
        if (!w.has_budget) count_costs(&w);
        if (!amounts_met(&w)) status = no_solution(&w, err);
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
    if (!status && !walk_to_end(&w)) status = no_solution(&w, err);
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

bool mskpi_amounts_met(const mskp_rule *r, size_t units, size_t removed, const mskp_cost *cost)
{
    return removed >= mskpi_fraction(r->remove_fraction, units) &&
           (!(r->max_macs > 0) || cost->macs <= r->max_macs) &&
           (!(r->max_params > 0) || cost->params <= r->max_params);
}

/*
 * The selection of a keep mask: units leave in the order of their scores until every demand holds.
 *
 * Units are sorted by (score, unit number) once. They leave in blocks of their family, of the size
 * that the rule asks for. A block that would break a floor or a cap closes its family for good,
 * because counts only fall. The walk ends with the first block after which every demand holds, so
 * that the result is minimal, and a smaller budget removes a superset. Each block changes only the
 * lengths of the lists that its family touches, and only the cost terms of these lists are computed
 * again.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/sort.h"
#include "base/status.h"
#include "describe/graph.h"
#include "mask/measure.h"
#include "mask/select.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/units.h"

/* Units come in a random order: what is touched together lies together, and what can be is by place
 * in the order. */
typedef struct family_state {
    size_t size;
    size_t out;        /* units that left */
    size_t pending;    /* collected, not yet left */
    size_t ranked;     /* units that the order has shown so far */
    size_t first, end; /* its incidences */
    uint32_t last;     /* 1 + the place that was collected last; 0: none */
    uint32_t closed;
} family_state;

typedef struct term_state {
    uint64_t value;
    uint64_t stamp; /* the commit that counted it last */
} term_state;

typedef struct walk {
    const mskp_graph *graph;
    const mskp_rule *rule;
    const double *scores;
    size_t floor, round;

    sort_item *order; /* units that may leave, smallest score first */
    size_t norder;
    uint32_t *next; /* by place: 0: not collected; else 1 + what was its family's last before */
    uint8_t *keep;
    family_state *families;
    size_t *length; /* by list */
    term_state *terms;
    uint64_t commits;
    int budget; /* is there one? Else costs are counted once, at the end */

    size_t removed;
    uint64_t cost[2]; /* MACs, parameters */

    removal_order *record; /* NULL: not asked for */
} walk;

/* ---- the order ---- */

/* Ascending for ascending numbers. From the bits, so that denormal numbers count in every
 * floating-point mode. */
static uint64_t key_of(double score)
{
    const uint64_t sign = UINT64_C(1) << 63;
    uint64_t bits;
    memcpy(&bits, &score, sizeof bits);
    if (bits == sign) bits = 0; /* -0 equals 0 */
    return bits & sign ? ~bits : bits | sign;
}

/* 1: no memory. */
static int make_order(walk *w)
{
    const mskp_services *host = &w->graph->services;
    const size_t n = w->graph->u->n;
    sort_item *items = mskpi_alloc(host, n, sizeof *items);
    sort_item *room = mskpi_alloc(host, n, sizeof *room);
    w->order = items;
    if (items && room) {
        for (uint32_t i = 0; i < n; i++)
            if (w->scores[i] < INFINITY && !(w->rule->locked.unit && w->rule->locked.unit[i]))
                items[w->norder++] = (sort_item){key_of(w->scores[i]), i, w->graph->u->family[i]};
        w->order = mskpi_sort_items(items, room, w->norder);
    }
    mskpi_free(host, w->order == items ? room : items);
    return !items || !room;
}

/* ---- blocks ---- */

/* May n more units of the family leave? */
static int feasible(const walk *w, const family_state *f, size_t n)
{
    const unit_table *u = w->graph->u;
    const double cap = w->rule->max_family_fraction;
    if (cap > 0 && f->out + n > mskpi_fraction(cap, f->size)) return 0;
    for (size_t k = f->first; k < f->end; k++) {
        const incidence *i = &u->incidences[k];
        size_t least = w->floor;
        if (least > 1 && u->lists[i->list].n < least) least = u->lists[i->list].n;
        if (w->length[i->list] < least + n * i->times) return 0;
    }
    return 1;
}

/* The terms of a list whose length has changed. */
static void recount(walk *w, uint32_t list)
{
    const unit_table *u = w->graph->u;
    for (size_t j = u->list_term_first[list]; j < u->list_term_first[list + 1]; j++) {
        const cost_term *term = &u->terms[u->list_terms[j]];
        term_state *state = &w->terms[u->list_terms[j]];
        if (state->stamp == w->commits) continue;
        state->stamp = w->commits;
        uint64_t *cost = &w->cost[term->is_params];
        *cost -= state->value;
        state->value = mskpi_term_value(term, w->length);
        *cost += state->value;
    }
}

static void commit(walk *w, family_state *f)
{
    const incidence *incidences = w->graph->u->incidences;
    for (size_t k = f->first; k < f->end; k++)
        w->length[incidences[k].list] -= f->pending * incidences[k].times;
    w->commits++;
    for (size_t k = f->first; w->budget && k < f->end; k++) recount(w, incidences[k].list);
    size_t at = w->removed + f->pending; /* the chain begins with the last unit of the block */
    for (uint32_t place = f->last; place; place = w->next[place - 1] - 1) {
        const uint32_t unit = w->order[place - 1].unit;
        w->keep[unit] = 0;
        if (w->record) w->record->unit[--at] = unit;
    }
    f->out += f->pending;
    w->removed += f->pending;
    if (w->record) w->record->end[++w->record->nblocks] = w->removed;
    f->last = 0;
    f->pending = 0;
}

/* The unit at this place of the order wants to leave. 1 if with it a block left. */
static int collect(walk *w, size_t place)
{
    family_state *f = &w->families[w->order[place].family];
    if (w->next[place] || f->closed) return 0;
    w->next[place] = 1 + f->last;
    f->last = (uint32_t)place + 1;
    f->pending++;
    const size_t remainder = f->size % w->round;
    const size_t block = !f->out && remainder ? remainder : w->round;
    if (f->pending < block) return 0;
    if (!feasible(w, f, block)) {
        f->closed = 1; /* lengths only fall: never again */
        return 0;
    }
    commit(w, f);
    return 1;
}

/* ---- demands ---- */

static bool amounts_met(const walk *w)
{
    const mskp_cost cost = {(double)w->cost[0], (double)w->cost[1]};
    return mskpi_amounts_met(w->rule, w->graph->u->n, w->removed, &cost);
}

/* All terms at once: at the start, and at the end of a walk that did not follow them. */
static void count_costs(walk *w)
{
    const unit_table *u = w->graph->u;
    memset(w->cost, 0, sizeof w->cost);
    for (size_t t = 0; t < u->nterms; t++) {
        w->terms[t].value = mskpi_term_value(&u->terms[t], w->length);
        w->cost[u->terms[t].is_params] += w->terms[t].value;
    }
}

/* The units that are named. */
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

/* Then as many more as the amounts need. */
static void walk_down(walk *w)
{
    walk_named(w);
    if (amounts_met(w)) return;
    for (size_t i = 0; i < w->norder; i++)
        if (collect(w, i) && amounts_met(w)) return;
}

/* The same walk, which goes on to its end. Returns whether the amounts were met on the way. */
static bool walk_on(walk *w)
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
    return met;
}

/* Names the demand, what it asks and the least that can be had. Units that can never leave are
 * told, too: a network without gamma, scored by gamma, has nothing else. */
static mskp_status out_of_reach(const walk *w, mskp_error *err)
{
    const mskp_rule *r = w->rule;
    const size_t n = w->graph->u->n, stuck = n - w->norder;
    const size_t asked_units = mskpi_fraction(r->remove_fraction, n);
    const int limits = w->floor > 1 || w->round > 1 || r->max_family_fraction > 0;
    const char *held =
        limits ? "; min_channels, round_to or max_family_fraction hold others back" : "";
    char asked[32], had[32];
    if (w->removed < asked_units)
        return mskpi_fail(
            err, MSKP_ERROR_NO_SOLUTION,
            "remove_fraction asks for %zu units, %zu of %zu can go (%zu are locked or "
            "score +infinity%s)",
            asked_units, w->removed, n, stuck, held);
    const int params = !(r->max_macs > 0 && (double)w->cost[0] > r->max_macs);
    return mskpi_fail(
        err, MSKP_ERROR_NO_SOLUTION,
        "%s is %s, the least that can be had is %s (%zu of %zu units are locked or score "
        "+infinity%s)",
        params ? "max_params" : "max_macs",
        mskpi_number(params ? r->max_params : r->max_macs, asked),
        mskpi_number((double)w->cost[params], had), stuck, n, held);
}

static mskp_status check_rule(const mskp_rule *r, mskp_error *err)
{
    char room[32];
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
                          mskpi_number(r->threshold, room));
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        if (isnan(number[i].x))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "rule: %s is NaN", number[i].name);
        if (number[i].x < 0 || number[i].x > number[i].most)
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "rule: %s is %s, outside 0 to %s",
                              number[i].name, mskpi_number(number[i].x, room),
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

static int start(walk *w)
{
    const mskp_services *host = &w->graph->services;
    const unit_table *u = w->graph->u;
    if (make_order(w)) return 1;
    w->keep = mskpi_alloc(host, u->n, sizeof *w->keep);
    w->next = mskpi_alloc(host, w->norder, sizeof *w->next);
    w->families = mskpi_alloc(host, u->nfamilies, sizeof *w->families);
    w->length = mskpi_alloc(host, u->nlists, sizeof *w->length);
    w->terms = mskpi_alloc(host, u->nterms, sizeof *w->terms);
    if (!w->keep || !w->next || !w->families || !w->length || !w->terms) return 1;
    memset(w->keep, 1, u->n);
    for (size_t f = 0; f < u->nfamilies; f++)
        w->families[f] = (family_state){.size = u->family_first[f + 1] - u->family_first[f],
                                        .first = u->incidence_first[f],
                                        .end = u->incidence_first[f + 1]};
    mskpi_list_lengths(w->graph, NULL, w->length);
    w->budget = w->rule->max_macs > 0 || w->rule->max_params > 0;
    count_costs(w);
    return 0;
}

static void stop(const walk *w)
{
    const mskp_services *host = &w->graph->services;
    mskpi_free(host, w->order);
    mskpi_free(host, w->keep);
    mskpi_free(host, w->next);
    mskpi_free(host, w->families);
    mskpi_free(host, w->length);
    mskpi_free(host, w->terms);
}

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

static mskp_status no_memory(size_t units, mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while selecting among %zu units",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY), units);
}

mskp_status mskp_select(const mskp_graph *graph, mskp_scores scores, const mskp_rule *rule,
                        mskp_mask keep, mskp_selection *selection, mskp_error *err)
{
    mskp_status status = check_call(graph, scores, rule, err);
    if (!status) status = mskpi_check_mask(graph, "keep", keep, err);
    if (status) return status;
    walk w = new_walk(graph, scores, rule);
    if (start(&w)) {
        stop(&w);
        return no_memory(scores.n, err);
    }
    walk_down(&w);
    if (!w.budget) count_costs(&w);
    if (!amounts_met(&w)) status = out_of_reach(&w, err);
    if (selection) report(&w, selection);
    if (!status && keep.n) memcpy(keep.unit, w.keep, keep.n);
    stop(&w);
    return status;
}

mskp_status mskpi_removal_order(const mskp_graph *graph, mskp_scores scores, const mskp_rule *rule,
                                removal_order *out, mskp_error *err)
{
    mskp_status status = check_call(graph, scores, rule, err);
    if (status) return status;
    const mskp_services *host = &graph->services;
    removal_order o = {.unit = mskpi_alloc(host, scores.n, sizeof *o.unit),
                       .end = mskpi_alloc(host, scores.n + 1, sizeof *o.end)};
    walk w = new_walk(graph, scores, rule);
    w.record = &o;
    if (!o.unit || !o.end || start(&w))
        status = no_memory(scores.n, err);
    else if (!walk_on(&w))
        status = out_of_reach(&w, err);
    stop(&w);
    if (status)
        mskpi_removal_order_free(host, &o);
    else
        *out = o;
    return status;
}

void mskpi_removal_order_free(const mskp_services *host, removal_order *o)
{
    mskpi_free(host, o->unit);
    mskpi_free(host, o->end);
}

bool mskpi_amounts_met(const mskp_rule *r, size_t units, size_t removed, const mskp_cost *cost)
{
    return removed >= mskpi_fraction(r->remove_fraction, units) &&
           (!(r->max_macs > 0) || cost->macs <= r->max_macs) &&
           (!(r->max_params > 0) || cost->params <= r->max_params);
}

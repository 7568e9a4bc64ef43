/*
 * Keep mask: units leave in the order of their scores, in blocks of their family, until every
 * demand holds. Each block changes only the lists and costs that its family touches.
 */
#include <math.h>
#include <string.h>

#include "internal.h"

typedef struct walk {
    const mskp_graph *graph;
    const mskp_rule *rule;
    const double *scores;
    size_t floor, round;

    uint32_t *order; /* units that may leave, smallest score first */
    size_t norder;
    uint8_t *keep;
    uint8_t *collected; /* [units] */

    /* by family */
    uint8_t *closed;
    size_t *out;     /* units that left */
    size_t *ranked;  /* units that the order has shown so far */
    size_t *pending; /* collected, not yet left */
    uint32_t *last;  /* 1 + the last of them; next[] leads to those before */
    uint32_t *next;  /* [units] */

    size_t *length;  /* by list */
    uint64_t *term;  /* by term: its value */
    uint32_t *stamp; /* by term: the commit that counted it last */
    uint32_t commits;

    size_t removed;
    uint64_t cost[2]; /* MACs, parameters */
} walk;

/* ---- the order ---- */

static int leaves_before(const void *context, uint32_t a, uint32_t b)
{
    const double *scores = context;
    return scores[a] != scores[b] ? scores[a] < scores[b] : a < b;
}

/* ---- blocks ---- */

static size_t family_size(const walk *w, uint32_t family)
{
    return w->graph->u.family_first[family + 1] - w->graph->u.family_first[family];
}

/* May n more units of the family leave? */
static int feasible(const walk *w, uint32_t family, size_t n)
{
    const unit_table *u = &w->graph->u;
    const double cap = w->rule->max_family_fraction;
    if (cap > 0 && w->out[family] + n > mskpi_fraction(cap, family_size(w, family))) return 0;
    for (size_t k = u->incidence_first[family]; k < u->incidence_first[family + 1]; k++) {
        const incidence *i = &u->incidences[k];
        const size_t full = u->lists[i->list].n, least = w->floor < full ? w->floor : full;
        if (w->length[i->list] < least + n * i->times) return 0;
    }
    return 1;
}

static void commit(walk *w, uint32_t family)
{
    const unit_table *u = &w->graph->u;
    const size_t n = w->pending[family];
    for (size_t k = u->incidence_first[family]; k < u->incidence_first[family + 1]; k++)
        w->length[u->incidences[k].list] -= n * u->incidences[k].times;
    w->commits++;
    for (size_t k = u->incidence_first[family]; k < u->incidence_first[family + 1]; k++) {
        const uint32_t l = u->incidences[k].list;
        for (size_t j = u->list_term_first[l]; j < u->list_term_first[l + 1]; j++) {
            const uint32_t t = u->list_terms[j];
            if (w->stamp[t] == w->commits) continue;
            w->stamp[t] = w->commits;
            uint64_t *cost = &w->cost[u->terms[t].is_params];
            *cost -= w->term[t];
            w->term[t] = mskpi_term_value(&u->terms[t], w->length);
            *cost += w->term[t];
        }
    }
    for (uint32_t unit = w->last[family]; unit; unit = w->next[unit - 1]) w->keep[unit - 1] = 0;
    w->last[family] = 0;
    w->pending[family] = 0;
    w->out[family] += n;
    w->removed += n;
}

/* The next unit of the order wants to leave. 1 if with it a block left. */
static int collect(walk *w, uint32_t unit)
{
    const uint32_t family = w->graph->u.family[unit];
    if (w->collected[unit] || w->closed[family]) return 0;
    w->collected[unit] = 1;
    w->next[unit] = w->last[family];
    w->last[family] = unit + 1;
    w->pending[family]++;
    const size_t remainder = family_size(w, family) % w->round;
    const size_t block = !w->out[family] && remainder ? remainder : w->round;
    if (w->pending[family] < block) return 0;
    if (!feasible(w, family, block)) {
        w->closed[family] = 1; /* lengths only fall: never again */
        return 0;
    }
    commit(w, family);
    return 1;
}

/* ---- demands ---- */

static int amounts_met(const walk *w)
{
    const mskp_rule *r = w->rule;
    return w->removed >= mskpi_fraction(r->remove_fraction, w->graph->u.n) &&
           (!(r->max_macs > 0) || (double)w->cost[0] <= r->max_macs) &&
           (!(r->max_params > 0) || (double)w->cost[1] <= r->max_params);
}

static void walk_down(walk *w)
{
    const mskp_rule *r = w->rule;
    for (size_t i = 0; i < w->norder; i++) { /* the units that are named */
        const uint32_t unit = w->order[i], family = w->graph->u.family[unit];
        const size_t rank = w->ranked[family]++;
        if ((r->use_threshold && w->scores[unit] <= r->threshold) ||
            rank < mskpi_fraction(r->remove_family_fraction, family_size(w, family)))
            collect(w, unit);
    }
    if (amounts_met(w)) return;
    for (size_t i = 0; i < w->norder; i++) /* then as many more as the amounts need */
        if (collect(w, w->order[i]) && amounts_met(w)) return;
}

/* Names the demand, what it asks and the least that can be had. Units that can never leave are
 * told, too: a network without gamma, scored by gamma, has nothing else. */
static mskp_status out_of_reach(const walk *w, mskp_error *err)
{
    const mskp_rule *r = w->rule;
    const size_t n = w->graph->u.n, stuck = n - w->norder;
    const size_t asked_units = mskpi_fraction(r->remove_fraction, n);
    char asked[32], had[32];
    if (w->removed < asked_units)
        return mskpi_fail(
            err, MSKP_NO_SOLUTION,
            "remove_fraction asks for %zu units, %zu of %zu can go (%zu are locked or "
            "score +infinity)",
            asked_units, w->removed, n, stuck);
    const int params = !(r->max_macs > 0 && (double)w->cost[0] > r->max_macs);
    return mskpi_fail(
        err, MSKP_NO_SOLUTION,
        "%s is %s, the least that can be had is %s (%zu of %zu units are locked or score "
        "+infinity)",
        params ? "max_params" : "max_macs",
        mskpi_number(params ? r->max_params : r->max_macs, asked),
        mskpi_number((double)w->cost[params], had), stuck, n);
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
    if (mskpi_used(r->reserved, 8))
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "rule: reserved fields must be 0");
    if (isnan(r->threshold)) return mskpi_fail(err, MSKP_BAD_NUMBER, "rule: threshold is NaN");
    if (!r->use_threshold && (r->threshold < 0 || r->threshold > 0))
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "rule: threshold is %s, but use_threshold is 0",
                          mskpi_number(r->threshold, room));
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        if (isnan(number[i].x))
            return mskpi_fail(err, MSKP_BAD_NUMBER, "rule: %s is NaN", number[i].name);
        if (number[i].x < 0 || number[i].x > number[i].most)
            return mskpi_fail(err, MSKP_BAD_ARGUMENT, "rule: %s is %s, outside 0 to %s",
                              number[i].name, mskpi_number(number[i].x, room),
                              number[i].most > 1 ? "infinity" : "1");
    }
    if (!r->use_threshold && !(r->remove_family_fraction > 0) && !(r->remove_fraction > 0) &&
        !(r->max_macs > 0) && !(r->max_params > 0))
        return mskpi_fail(err, MSKP_BAD_ARGUMENT,
                          "rule: nothing is asked: set a threshold, a fraction or a budget");
    return MSKP_OK;
}

static mskp_status check_scores(size_t n, const double *scores, mskp_error *err)
{
    for (size_t u = 0; u < n; u++)
        if (isnan(scores[u]) || scores[u] == -INFINITY)
            return mskpi_fail(err, MSKP_BAD_NUMBER, "the score of unit %zu is %s", u,
                              isnan(scores[u]) ? "NaN" : "-infinity");
    return MSKP_OK;
}

static int start(walk *w, const mskp_graph *graph)
{
    const mskp_host *host = &graph->host;
    const unit_table *u = &graph->u;
    uint32_t *other = mskpi_alloc(host, u->n, sizeof *other);
    w->order = mskpi_alloc(host, u->n, sizeof *w->order);
    w->keep = mskpi_alloc(host, u->n, sizeof *w->keep);
    w->collected = mskpi_alloc(host, u->n, sizeof *w->collected);
    w->closed = mskpi_alloc(host, u->nfamilies, sizeof *w->closed);
    w->out = mskpi_alloc(host, u->nfamilies, sizeof *w->out);
    w->ranked = mskpi_alloc(host, u->nfamilies, sizeof *w->ranked);
    w->pending = mskpi_alloc(host, u->nfamilies, sizeof *w->pending);
    w->last = mskpi_alloc(host, u->nfamilies, sizeof *w->last);
    w->next = mskpi_alloc(host, u->n, sizeof *w->next);
    w->length = mskpi_alloc(host, u->nlists, sizeof *w->length);
    w->term = mskpi_alloc(host, u->nterms, sizeof *w->term);
    w->stamp = mskpi_alloc(host, u->nterms, sizeof *w->stamp);
    if (!other || !w->order || !w->keep || !w->collected || !w->closed || !w->out || !w->ranked ||
        !w->pending || !w->last || !w->next || !w->length || !w->term || !w->stamp) {
        mskpi_free(host, other);
        return 1;
    }
    memset(w->keep, 1, u->n);
    for (uint32_t i = 0; i < u->n; i++)
        if (w->scores[i] < INFINITY && !(w->rule->locked && w->rule->locked[i]))
            w->order[w->norder++] = i;
    mskpi_sort(w->order, other, w->norder, leaves_before, w->scores);
    mskpi_free(host, other);
    mskpi_list_lengths(graph, NULL, w->length);
    for (size_t t = 0; t < u->nterms; t++) {
        w->term[t] = mskpi_term_value(&u->terms[t], w->length);
        w->cost[u->terms[t].is_params] += w->term[t];
    }
    return 0;
}

static void stop(const walk *w)
{
    const mskp_host *host = &w->graph->host;
    mskpi_free(host, w->order);
    mskpi_free(host, w->keep);
    mskpi_free(host, w->collected);
    mskpi_free(host, w->closed);
    mskpi_free(host, w->out);
    mskpi_free(host, w->ranked);
    mskpi_free(host, w->pending);
    mskpi_free(host, w->last);
    mskpi_free(host, w->next);
    mskpi_free(host, w->length);
    mskpi_free(host, w->term);
    mskpi_free(host, w->stamp);
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
            for (size_t i = 0; i < g->u.lists[l].n; i++)
                prunable += g->u.list_units[g->u.lists[l].first + i] != MSKP_PINNED;
            if (prunable && !s.unrounded++) {
                s.unrounded_param = (mskp_param){p};
                s.unrounded_axis = d;
            }
        }
    *selection = s;
}

mskp_status mskp_select(const mskp_graph *graph, size_t units, const double *scores,
                        const mskp_rule *rule, uint8_t *keep, mskp_selection *selection,
                        mskp_error *err)
{
    walk w = {.graph = graph, .rule = rule, .scores = scores};
    mskp_status status = mskpi_check_units(graph, units, err);
    if (status) return status;
    if (!scores || !rule || !keep)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "scores, rule or keep is NULL");
    if ((status = check_rule(rule, err)) != MSKP_OK) return status;
    if ((status = check_scores(units, scores, err)) != MSKP_OK) return status;
    w.floor = rule->min_channels ? rule->min_channels : 1;
    w.round = rule->round_to ? rule->round_to : 1;
    if (start(&w, graph)) {
        stop(&w);
        return mskpi_fail(err, MSKP_NO_MEMORY, "%s while selecting among %zu units",
                          mskp_status_text(MSKP_NO_MEMORY), units);
    }
    walk_down(&w);
    if (!amounts_met(&w)) status = out_of_reach(&w, err);
    if (selection) report(&w, selection);
    if (!status && units) memcpy(keep, w.keep, units);
    stop(&w);
    return status;
}

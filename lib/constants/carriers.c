/*
 * Units that stay in order to carry the constants of others (merging).
 *
 * A group of a consumer that would lose too much needs a carrier: a unit that leaves, whose channel
 * among the group's inputs emits a constant that is not 0. The channel's weights then take the
 * sums, divided by that constant. Candidates are units that nothing but weights and functions of
 * one channel read; one walk in which every candidate emits 1 where it is made tells what each of
 * them emits where it is read.
 *
 * Few carriers should serve many groups. A greedy cover chooses them: the unit that most groups
 * without a carrier can use, the first of equals, then the same among the groups that are left,
 * until no unit is of use. In a group that has several carriers among its inputs, the first one
 * takes all.
 */
#include <math.h>

#include "base/memory.h"
#include "constants/constants.h"
#include "constants/hearing.h"
#include "constants/reading.h"
#include "constants/walk.h"
#include "describe/graph.h"
#include "describe/step.h"
#include "mskp.h"
#include "mskp/constants.h"
#include "mskp/tools.h"
#include "units/units.h"

/* Units that leave and that nothing but weights and functions of one channel know. */
static void find_candidates(const mskp_constants *c, uint8_t *candidate)
{
    const mskp_graph *g = c->graph;
    for (size_t u = 0; u < g->u->n; u++) candidate[u] = !c->keep[u];
    for (uint32_t v = 1; v <= g->nvalues; v++) {
        const graph_step *s = &g->steps[v];
        const int mixes_more = s->kind == STEP_RECURRENT || s->kind == STEP_ATTEND ||
                               (s->kind == STEP_NORM && s->option >= MSKP_NORM_GROUP);
        for (size_t k = 0; mixes_more && k <= s->ninputs; k++) {
            const uint32_t value = k ? g->step_inputs[s->first_input + k - 1] : v;
            const uint32_t *units = mskpi_units_of(g, value);
            if (k && s->kind == STEP_RECURRENT) continue; /* what it reads may carry */
            for (size_t i = 0; i < g->values[value].view.n; i++)
                if (units[i] != MSKP_PINNED) candidate[units[i]] = 0;
        }
    }
}

static int can_carry(const mskp_constants *c, const uint8_t *candidate, const hearing *x, size_t i)
{
    const uint32_t unit = mskpi_units_of(c->graph, x->reads)[i];
    const double m = c->emits[c->first[x->reads] + i];
    return unit != MSKP_PINNED && candidate[unit] && m != 0 && isfinite(m);
}

/* A group that needs a carrier, and the units that could be it. */
typedef struct need {
    size_t hearing, group, first, n; /* first: in cover.units */
    int met;
} need;

typedef struct cover {
    need *needs;
    size_t n;
    uint32_t *units; /* of each need, each once */
    uint32_t *reach; /* [units] needs that are not met yet */
    uint32_t *seen;  /* [units] 1 + the need that it was last seen in */
} cover;

/* fill 0: counts. */
static size_t list_needs(const mskp_constants *c, const uint8_t *candidate, cover *v, int fill)
{
    size_t needs = 0, units = 0;
    for (size_t k = 0; k < c->h.n; k++) {
        const hearing *x = &c->h.all[k];
        const uint32_t *unit = mskpi_units_of(c->graph, x->reads);
        const size_t each = x->form.in / x->form.groups;
        for (size_t q = 0; x->mixes && q < x->form.groups; q++) {
            if (!mskpi_needs_merge(c, x, &x->group[q])) continue;
            if (fill) v->needs[needs] = (need){k, q, units, 0, 0};
            for (size_t i = q * each; i < (q + 1) * each; i++) {
                if (!can_carry(c, candidate, x, i)) continue;
                if (fill && v->seen[unit[i]] != needs + 1) {
                    v->seen[unit[i]] = (uint32_t)needs + 1;
                    v->units[units + v->needs[needs].n++] = unit[i];
                    v->reach[unit[i]]++;
                }
                if (!fill) units++;
            }
            if (fill) units += v->needs[needs].n;
            needs++;
        }
    }
    v->n = needs;
    return units;
}

static int has_unit(const cover *v, const need *x, uint32_t unit)
{
    for (size_t i = 0; i < x->n; i++)
        if (v->units[x->first + i] == unit) return 1;
    return 0;
}

/* The unit that most needs can use, the first of equals, until none is of use. */
static void choose(mskp_constants *c, cover *v)
{
    for (;;) {
        uint32_t best = 0;
        for (uint32_t u = 1; u < c->graph->u->n; u++)
            if (v->reach[u] > v->reach[best]) best = u;
        if (!v->reach[best]) return;
        c->carries[best] = 1;
        for (size_t k = 0; k < v->n; k++) {
            need *x = &v->needs[k];
            if (x->met || !has_unit(v, x, best)) continue;
            x->met = 1;
            for (size_t i = 0; i < x->n; i++) v->reach[v->units[x->first + i]]--;
        }
    }
}

/* The first of the group's channels that carries takes all. */
static void merge_needs(mskp_constants *c, const cover *v)
{
    for (size_t k = 0; k < v->n; k++) {
        const need *y = &v->needs[k];
        const hearing *x = &c->h.all[y->hearing];
        size_t i = y->group * (x->form.in / x->form.groups);
        if (!y->met) continue;
        while (!can_carry(c, c->carries, x, i)) i++;
        x->group[y->group].way = WAY_MERGE;
        x->group[y->group].column = i;
    }
}

mskp_status mskpi_merge(mskp_constants *c, walker *w, const double *known)
{
    const mskp_services *host = &c->host;
    const size_t n = c->graph->u->n;
    cover v = {0};
    mskp_status status = MSKP_OK;
    uint8_t *candidate = mskpi_alloc(host, n, sizeof *candidate);
    v.reach = mskpi_alloc(host, n, sizeof *v.reach);
    v.seen = mskpi_alloc(host, n, sizeof *v.seen);
    if (candidate && v.reach && v.seen) {
        find_candidates(c, candidate);
        status = mskpi_walk_carriers(w, candidate, known);
        c->emits = w->constant;
        const size_t units = status ? 0 : list_needs(c, candidate, &v, 0);
        v.needs = mskpi_alloc(host, v.n, sizeof *v.needs);
        v.units = mskpi_alloc(host, units, sizeof *v.units);
    }
    if (!status && (!v.needs || !v.units)) status = mskpi_constants_no_memory(w->err);
    if (!status) {
        (void)list_needs(c, candidate, &v, 1);
        choose(c, &v);
        merge_needs(c, &v);
    }
    mskpi_free(host, candidate);
    mskpi_free(host, v.reach);
    mskpi_free(host, v.seen);
    mskpi_free(host, v.needs);
    mskpi_free(host, v.units);
    return status;
}

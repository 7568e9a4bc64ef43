/*
 * Carriers: units that stay only to carry the constants of others (merge).
 *
 * A group of a consumer whose error is worth a carrier can take one of its own input channels, if
 * the channel's unit is removed and the channel's constant m is not 0. The channel's column in the
 * weight then becomes sums[o][t] / m, so the column times the constant is the sum of all
 * constants times their columns. This is exact at every position, because the carrier's channel is
 * padded as the removed channels were.
 *
 * A candidate is a removed unit whose channels only weights and functions of one channel read, and
 * that stands in no value that vanishes; so carriers do not change what vanishes. One
 * walk with all candidates as carriers tells the constant of each where it is read (walk.c).
 *
 * To keep as few units as possible for all groups is a set cover: the elements are the groups that
 * are worth a carrier, and each candidate is the set of groups that it can serve. The greedy
 * algorithm repeatedly takes the unit that serves the most unserved groups, among equals the one
 * with the lowest number, until no unit serves any. If several carriers are among the inputs of a
 * group, the first of these channels takes all of its constants.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "constants/constants.h"
#include "constants/consumers.h"
#include "constants/reading.h"
#include "constants/walk.h"
#include "describe/graph.h"
#include "describe/step.h"
#include "mskp.h"
#include "mskp/constants.h"
#include "mskp/tools.h"
#include "units/units.h"

/* A value of one channel that an element-wise operator broadcasts over many: all that it computes
 * would change with what the channel outputs as a carrier. */
static void exclude_broadcasts(const mskp_graph *g, uint32_t value, uint8_t *candidate)
{
    const graph_step *s = &g->steps[value];
    for (size_t k = 0; k < s->ninputs; k++) {
        const uint32_t in = g->step_inputs[s->first_input + k];
        if (!mskpi_is_broadcast(g, value, in)) continue;
        const uint32_t unit = *mskpi_units_of(g, in);
        if (unit != MSKP_PINNED) candidate[unit] = 0;
    }
}

static void exclude_value(const mskp_graph *g, uint32_t value, uint8_t *candidate)
{
    const uint32_t *units = mskpi_units_of(g, value);
    for (size_t i = 0; i < g->values[value].view.n; i++)
        if (units[i] != MSKP_PINNED) candidate[units[i]] = 0;
}

/* candidate[u] <- 1 if unit u is removed and none of its channels is an input or output of an
 * operator that mixes channels otherwise than by weights. The norm kinds from MSKP_NORM_GROUP on
 * are those with statistics over several channels. */
static void find_candidates(const mskp_constants *c, const vanishing *gone, uint8_t *candidate)
{
    const mskp_graph *g = c->graph;
    for (size_t u = 0; u < g->u->n; u++) candidate[u] = !c->keep[u];
    for (uint32_t v = 1; v <= g->nvalues; v++) {
        const graph_step *s = &g->steps[v];
        const bool mixes_otherwise = s->kind == STEP_RECURRENT || s->kind == STEP_ATTEND ||
                                     (s->kind == STEP_NORM && s->option >= MSKP_NORM_GROUP);
        if (s->kind == STEP_COMBINE) exclude_broadcasts(g, v, candidate);
        if (mskpi_fate(gone, v)) exclude_value(g, v, candidate);
        for (size_t k = 0; mixes_otherwise && k <= s->ninputs; k++) {
            const uint32_t value = k ? g->step_inputs[s->first_input + k - 1] : v;
            if (k && s->kind == STEP_RECURRENT) continue; /* it reads its input by a weight */
            exclude_value(g, value, candidate);
        }
    }
}

/* Whether input i of a consumer can carry, if its unit is one of these candidates. */
static bool can_carry(const mskp_constants *c, const uint8_t *candidate, const consumer *x,
                      size_t i)
{
    const uint32_t unit = mskpi_units_of(c->graph, x->reads)[i];
    const double m = c->carrier_output[c->first[x->reads] + i];
    MSKPI_ASSERT(i < x->form.in);
    return unit != MSKP_PINNED && candidate[unit] && m != 0 && isfinite(m);
}

/* An element of the cover: a group that is worth a carrier, and the units that can serve it. */
typedef struct element {
    size_t consumer, group;
    size_t first, n; /* in cover.units */
    bool served;
} element;

typedef struct cover {
    element *elements;
    size_t n;
    uint32_t *units;    /* the units that can serve each element, each unit once per element */
    uint32_t *unserved; /* [units] how many unserved elements the unit can serve */
    uint32_t *last;     /* [units] 1 + the last element in which the unit was listed */
} cover;

/* Lists the elements of the cover. If fill is false, they are only counted: v->n <- how many there
 * are. Returns how many entries v->units needs at most. */
static size_t list_elements(const mskp_constants *c, const uint8_t *candidate, cover *v, bool fill)
{
    size_t elements = 0, units = 0;
    for (size_t k = 0; k < c->consumers.n; k++) {
        const consumer *x = &c->consumers.all[k];
        const uint32_t *unit = mskpi_units_of(c->graph, x->reads);
        const size_t each = x->form.in / x->form.groups;
        for (size_t q = 0; x->mixes && q < x->form.groups; q++) {
            if (!mskpi_is_worth_carrier(c, x, &x->group[q])) continue;
            if (fill) v->elements[elements] = (element){k, q, units, 0, false};
            for (size_t i = q * each; i < (q + 1) * each; i++) {
                if (!can_carry(c, candidate, x, i)) continue;
                if (fill && v->last[unit[i]] != elements + 1) {
                    v->last[unit[i]] = (uint32_t)elements + 1;
                    v->units[units + v->elements[elements].n++] = unit[i];
                    v->unserved[unit[i]]++;
                }
                if (!fill) units++;
            }
            if (fill) units += v->elements[elements].n;
            elements++;
        }
    }
    MSKPI_ASSERT(!fill || elements == v->n);
    v->n = elements;
    return units;
}

static bool is_served_by(const cover *v, const element *e, uint32_t unit)
{
    for (size_t i = 0; i < e->n; i++)
        if (v->units[e->first + i] == unit) return true;
    return false;
}

/* The greedy set cover. c->carries <- the units that it takes. */
static void choose_carriers(mskp_constants *c, cover *v)
{
    for (;;) {
        uint32_t best = 0;
        for (uint32_t u = 1; u < c->graph->u->n; u++)
            if (v->unserved[u] > v->unserved[best]) best = u;
        if (!v->unserved[best]) return;
        MSKPI_ASSERT(!c->keep[best] && !c->carries[best]);
        c->carries[best] = 1;
        for (size_t k = 0; k < v->n; k++) {
            element *e = &v->elements[k];
            if (e->served || !is_served_by(v, e, best)) continue;
            e->served = true;
            for (size_t i = 0; i < e->n; i++) {
                MSKPI_ASSERT(v->unserved[v->units[e->first + i]] > 0);
                v->unserved[v->units[e->first + i]]--;
            }
        }
        MSKPI_ASSERT(!v->unserved[best]); /* so that the loop ends */
    }
}

/* Lets the first channel of each served group that carries take the group's constants. */
static void merge_groups(mskp_constants *c, const cover *v)
{
    for (size_t k = 0; k < v->n; k++) {
        const element *e = &v->elements[k];
        const consumer *x = &c->consumers.all[e->consumer];
        const size_t each = x->form.in / x->form.groups;
        size_t i = e->group * each;
        if (!e->served) continue;
        while (!can_carry(c, c->carries, x, i)) i++;
        MSKPI_ASSERT(i < (e->group + 1) * each); /* a served group has a carrier among its inputs */
        x->group[e->group].way = WAY_MERGE;
        x->group[e->group].column = i;
    }
}

/* The carriers of another object carry: the elements that they can serve are served. */
static void take_carriers(mskp_constants *c, cover *v, const uint8_t *given)
{
    for (size_t u = 0; u < c->graph->u->n; u++) c->carries[u] = given[u];
    for (size_t k = 0; k < v->n; k++) v->elements[k].served = v->elements[k].n > 0;
}

mskp_status mskpi_merge(mskp_constants *c, walker *w, const double *known, const uint8_t *given)
{
    const mskp_services *services = &c->services;
    const size_t n = c->graph->u->n;
    cover v = {0};
    mskp_status status = MSKP_OK;
    uint8_t *candidate = mskpi_alloc(services, n, sizeof *candidate);
    v.unserved = mskpi_alloc(services, n, sizeof *v.unserved);
    v.last = mskpi_alloc(services, n, sizeof *v.last);
    if (!candidate || !v.unserved || !v.last) {
        status = mskpi_constants_no_memory(w->err);
    } else {
        MSKPI_ASSERT(w->constant == c->carrier_output); /* where the walk writes */
        if (given)
            memcpy(candidate, given, n);
        else
            find_candidates(c, w->gone, candidate);
        status = mskpi_walk_carriers(w, candidate, known);
    }
    if (!status) {
        const size_t units = list_elements(c, candidate, &v, false);
        v.elements = mskpi_alloc(services, v.n, sizeof *v.elements);
        v.units = mskpi_alloc(services, units, sizeof *v.units);
        if (!v.elements || !v.units) status = mskpi_constants_no_memory(w->err);
    }
    if (!status) {
        (void)list_elements(c, candidate, &v, true);
        if (given)
            take_carriers(c, &v, given);
        else
            choose_carriers(c, &v);
        merge_groups(c, &v);
    }
    mskpi_free(services, candidate);
    mskpi_free(services, v.unserved);
    mskpi_free(services, v.last);
    mskpi_free(services, v.elements);
    mskpi_free(services, v.units);
    return status;
}

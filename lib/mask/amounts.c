/*
 * What is left of a network from which units are removed, and the demands on it.
 *
 * All units of a family stand in the same lists, equally often, so removing some of them changes
 * the lengths of these lists and nothing else. MACs, parameters and bytes are sums of terms, each a
 * coefficient times the lengths of some lists: only the terms of the lists that change are computed
 * again, each once. Sums are whole numbers of at most 2^53, so they do not depend on the order. If
 * no demand needs the sums, they are computed once, when somebody asks for the cost. Where a list
 * has lost its last channel, a branch vanishes (vanish.c), and everything is counted again.
 *
 * Demands are asked in one order: units, MACs, parameters, then the budgets in theirs. The first
 * that does not hold ends the question, so an expensive budget behind it is not measured.
 */
#include "mask/amounts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "mask/budget.h"
#include "mskp.h"
#include "mskp/rules.h"
#include "units/cost.h"
#include "units/units.h"

static mskp_status no_memory(const mskp_graph *graph, mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while selecting among %zu units",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY), graph->u->n);
}

/* ---- Sums over terms ---- */

/* Adds the change of a term to the sums. Whole numbers of 64 bits wrap around, so the term may also
 * have become smaller. */
static void add_change(amounts *a, const cost_term *term, uint64_t change)
{
    *(term->is_params ? &a->params : &a->macs) += change;
    for (size_t i = 0; term->is_params && i < a->rule->nbudgets; i++)
        a->budgets[i].bytes += mskpi_budget_element(&a->budgets[i], term->param) * change;
}

static void count_terms(amounts *a)
{
    const unit_table *u = a->graph->u;
    a->macs = a->params = 0;
    for (size_t i = 0; i < a->rule->nbudgets; i++) a->budgets[i].bytes = 0;
    for (size_t t = 0; t < u->nterms; t++) {
        a->terms[t].value = mskpi_term_left(&a->gone, &u->terms[t], a->length);
        add_change(a, &u->terms[t], a->terms[t].value);
    }
}

/* Computes the terms of a list whose length has changed again, each once for a change. */
static void recount(amounts *a, uint32_t list)
{
    const unit_table *u = a->graph->u;
    for (size_t j = u->list_term_first[list]; j < u->list_term_first[list + 1]; j++) {
        const cost_term *term = &u->terms[u->list_terms[j]];
        term_state *state = &a->terms[u->list_terms[j]];
        if (state->stamp == a->changes) continue;
        state->stamp = a->changes;
        const uint64_t before = state->value;
        state->value = mskpi_term_left(&a->gone, term, a->length);
        add_change(a, term, state->value - before);
    }
}

/* ---- What is left ---- */

static mskp_status open_budget(amounts *a, size_t i, mskp_error *err)
{
    const mskp_budget *budget = &a->rule->budgets[i];
    char label[LABEL_SIZE], value[NUMBER_SIZE];
    const mskp_status status =
        mskpi_budget_open(&a->budgets[i], &a->gone, budget, i, a->length, err);
    if (!status && !(budget->limit > 0))
        return mskpi_fail(err,
                          isnan(budget->limit) ? MSKP_ERROR_BAD_NUMBER : MSKP_ERROR_BAD_ARGUMENT,
                          "rule: %s: limit is %s, it must be above 0",
                          mskpi_budget_label(budget, i, label), mskpi_number(budget->limit, value));
    a->follows |= !status && budget->kind == MSKP_BUDGET_BYTES;
    return status;
}

mskp_status mskpi_amounts_open(amounts *a, const mskp_graph *graph, const mskp_rule *rule,
                               mskp_error *err)
{
    const mskp_services *services = &graph->services;
    mskp_status status = MSKP_OK;
    *a = (amounts){.graph = graph, .rule = rule};
    a->length = mskpi_alloc(services, graph->u->nlists, sizeof *a->length);
    a->terms = mskpi_alloc(services, graph->u->nterms, sizeof *a->terms);
    a->budgets = mskpi_alloc(services, rule->nbudgets, sizeof *a->budgets);
    if (!a->length || !a->terms || !a->budgets) return no_memory(graph, err);
    status = mskpi_vanish_make(&a->gone, graph, err);
    mskpi_list_lengths(graph, NULL, a->length);
    a->follows = rule->max_macs > 0 || rule->max_params > 0;
    for (size_t i = 0; !status && i < rule->nbudgets; i++) status = open_budget(a, i, err);
    if (!status && a->follows) count_terms(a);
    return status;
}

void mskpi_amounts_close(amounts *a)
{
    const mskp_services *services = &a->graph->services;
    for (size_t i = 0; a->budgets && i < a->rule->nbudgets; i++)
        mskpi_budget_close(a->graph, &a->budgets[i]);
    mskpi_free(services, a->budgets);
    mskpi_free(services, a->length);
    mskpi_free(services, a->terms);
    mskpi_vanish_free(&a->gone);
}

void mskpi_amounts_set(amounts *a, const uint8_t *keep)
{
    mskpi_list_lengths(a->graph, keep, a->length);
    (void)mskpi_vanish(&a->gone, a->length, NULL); /* a plan refuses what cannot vanish */
    a->removed = 0;
    for (size_t u = 0; u < a->graph->u->n; u++) a->removed += !keep[u];
    if (a->follows) count_terms(a);
}

void mskpi_amounts_remove(amounts *a, size_t family, size_t n)
{
    const unit_table *u = a->graph->u;
    const size_t first = u->incidence_first[family], end = u->incidence_first[family + 1];
    bool emptied = false;
    for (size_t k = first; k < end; k++) {
        size_t *length = &a->length[u->incidences[k].list];
        MSKPI_ASSERT(*length >= n * u->incidences[k].times);
        *length -= n * u->incidences[k].times;
        emptied = emptied || !*length;
    }
    a->removed += n;
    a->changes++;
    if (emptied) MSKPI_MUST(mskpi_vanish(&a->gone, a->length, NULL));
    if (emptied && a->follows) count_terms(a); /* what vanishes has terms of other lists, too */
    for (size_t k = first; a->follows && !emptied && k < end; k++)
        recount(a, u->incidences[k].list);
}

mskp_cost mskpi_amounts_cost(amounts *a)
{
    if (!a->follows) count_terms(a);
    return (mskp_cost){(double)a->macs, (double)a->params};
}

/* ---- Demands ---- */

static size_t asked_units(const amounts *a)
{
    return mskpi_fraction(a->rule->remove_fraction, a->graph->u->n);
}

static bool macs_hold(const amounts *a)
{
    return !(a->rule->max_macs > 0) || (double)a->macs <= a->rule->max_macs;
}

static bool params_hold(const amounts *a)
{
    return !(a->rule->max_params > 0) || (double)a->params <= a->rule->max_params;
}

mskp_status mskpi_amounts_met(amounts *a, bool *met, mskp_error *err)
{
    mskp_status status = MSKP_OK;
    *met = a->removed >= asked_units(a) && macs_hold(a) && params_hold(a);
    for (size_t i = 0; *met && i < a->rule->nbudgets; i++) {
        status = mskpi_budget_measure(&a->budgets[i], &a->gone, a->length, err);
        *met = !status && a->budgets[i].value <= a->rule->budgets[i].limit;
    }
    return status;
}

static bool may_rise(const mskp_budget *budget)
{
    return budget->kind == MSKP_BUDGET_TABLE || budget->kind == MSKP_BUDGET_CALLBACK;
}

bool mskpi_amounts_may_rise(const mskp_rule *rule)
{
    bool any = false;
    for (size_t i = 0; i < rule->nbudgets; i++) any |= may_rise(&rule->budgets[i]);
    return any;
}

unmet_demand mskpi_amounts_unmet(const amounts *a)
{
    const mskp_rule *r = a->rule;
    unmet_demand d = {.units = 0};
    size_t i = 0;
    if (a->removed < asked_units(a)) {
        d.units = asked_units(a);
    } else if (!macs_hold(a)) {
        (void)snprintf(d.text, sizeof d.text, "max_macs");
        d.limit = r->max_macs;
        d.left = (double)a->macs;
    } else if (!params_hold(a)) {
        (void)snprintf(d.text, sizeof d.text, "max_params");
        d.limit = r->max_params;
        d.left = (double)a->params;
    } else {
        for (; a->budgets[i].value <= r->budgets[i].limit; i++) MSKPI_ASSERT(i + 1 < r->nbudgets);
        (void)mskpi_budget_label(&r->budgets[i], i, d.text);
        d.limit = r->budgets[i].limit;
        d.left = a->budgets[i].value;
        d.may_rise = may_rise(&r->budgets[i]);
    }
    return d;
}

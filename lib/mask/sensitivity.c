/*
 * How sensitive each family is: the accuracy of the network without a part of the family, for
 * several parts.
 *
 * Each mask is what mskp_select makes of a rule that names a fraction of one family and holds to
 * the caller's limits. Masks of one family are prefixes of one order, so two that remove equally
 * many units are equal, and the second is not measured. This matters where families are small or
 * rounded, because measuring takes as long as an evaluation of the network.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/overlap.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mask/rule.h"
#include "mskp.h"
#include "mskp/rules.h"
#include "units/units.h"

typedef struct scan {
    const mskp_graph *graph;
    const mskp_sensitivity_desc *desc;
    mskp_scores scores;
    mskp_rule rule;
    mskp_family_rule *families; /* what `rule` points to */
    mskp_mask keep;
    double *table;
    bool whole_known;
    double whole; /* the accuracy of the whole network */
    mskp_error *err;
} scan;

static mskp_status check_fractions(const mskp_sensitivity_desc *desc, mskp_error *err)
{
    char value[NUMBER_SIZE], before[NUMBER_SIZE];
    if (!desc->nfractions || !desc->fractions)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "desc: no fractions");
    for (size_t i = 0; i < desc->nfractions; i++) {
        const double x = desc->fractions[i];
        if (isnan(x))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "desc: fractions[%zu] is NaN", i);
        if (!(x >= 0 && x <= 1))
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                              "desc: fractions[%zu] is %s, outside 0 to 1", i,
                              mskpi_number(x, value));
        if (i && !(x > desc->fractions[i - 1]))
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                              "desc: fractions[%zu] is %s, after %s; they must ascend", i,
                              mskpi_number(x, value), mskpi_number(desc->fractions[i - 1], before));
    }
    return MSKP_OK;
}

/* Checks what both calls have. n is the number of entries of the table. */
static mskp_status check_scan(const mskp_graph *graph, const mskp_sensitivity_desc *desc, size_t n,
                              const double *table, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, desc, table);
    if (!status) status = check_fractions(desc, err);
    if (status) return status;
    const size_t expected = mskpi_product(graph->u->nfamilies, desc->nfractions);
    if (n != expected)
        return mskpi_fail(err, MSKP_ERROR_OTHER_NETWORK,
                          "table has %zu numbers, %zu families by %zu fractions are expected", n,
                          graph->u->nfamilies, desc->nfractions);
    return MSKP_OK;
}

/* ---- The scan ---- */

/* The caller's limits without its demands. */
static void take_limits(scan *s, const mskp_rule *limits)
{
    s->rule = (mskp_rule){.families = s->families, .nfamilies = s->graph->u->nfamilies};
    if (!limits) return;
    s->rule.min_channels = limits->min_channels;
    s->rule.round_to = limits->round_to;
    s->rule.max_family_fraction = limits->max_family_fraction;
    s->rule.locked = limits->locked;
    for (size_t f = 0; limits->families && f < limits->nfamilies; f++) {
        s->families[f] = limits->families[f];
        s->families[f].remove_fraction = 0;
    }
}

/* *accuracy <- that of s->keep, which removes a fraction of a family. */
static mskp_status measure(scan *s, size_t family, double fraction, double *accuracy)
{
    char name[NAME_SIZE], value[NUMBER_SIZE];
    *accuracy = s->desc->accuracy(s->desc->context, s->keep, family, fraction);
    if (!isnan(*accuracy)) return MSKP_OK;
    return mskpi_fail(
        s->err, MSKP_ERROR_BAD_NUMBER, "family %zu (%s), fraction %s: the accuracy is NaN", family,
        mskpi_short(mskpi_family_name(s->graph, family), name), mskpi_number(fraction, value));
}

/* s->keep <- the mask that removes a fraction of a family. *removed <- how many units these are. */
static mskp_status select_part(scan *s, size_t family, double fraction, size_t *removed)
{
    mskp_selection did = {.removed = 0};
    mskp_status status = MSKP_OK;
    memset(s->keep.unit, 1, s->keep.n);
    if (fraction > 0) { /* without a demand there would be no rule */
        s->families[family].remove_fraction = fraction;
        status = mskp_select(s->graph, s->scores, &s->rule, s->keep, &did, s->err);
        s->families[family].remove_fraction = 0;
    }
    *removed = did.removed;
    return status;
}

static mskp_status scan_family(scan *s, size_t family)
{
    double *row = s->table + family * s->desc->nfractions;
    size_t before = 0;
    mskp_status status = MSKP_OK;
    for (size_t i = 0; !status && i < s->desc->nfractions; i++) {
        const double fraction = s->desc->fractions[i];
        size_t removed;
        status = select_part(s, family, fraction, &removed);
        if (status) break;
        if (!removed && s->whole_known)
            row[i] = s->whole;
        else if (removed && i && removed == before)
            row[i] = row[i - 1];
        else
            status = measure(s, family, fraction, &row[i]);
        if (!removed && !status) {
            s->whole_known = true;
            s->whole = row[i];
        }
        before = removed;
    }
    return status;
}

/* Refuses scores and limits before the first call of the caller's function. */
static mskp_status check_limits(const mskp_graph *graph, mskp_scores scores,
                                const mskp_sensitivity_desc *desc, mskp_error *err)
{
    mskp_rule rule = desc->limits ? *desc->limits : (mskp_rule){.use_threshold = 0};
    if (!desc->accuracy) return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "desc: accuracy is NULL");
    rule.use_threshold = 1; /* some demand */
    rule.nbudgets = 0, rule.budgets = NULL;
    mskp_status status = mskpi_check_rule(graph, &rule, err);
    if (!status) status = mskpi_check_optional_mask(graph, "rule: locked", rule.locked, err);
    if (!status) status = mskpi_check_selectable(scores, err);
    return status;
}

mskp_status mskp_sensitivity(const mskp_graph *graph, mskp_scores scores,
                             const mskp_sensitivity_desc *desc, size_t n, double *table,
                             mskp_error *err)
{
    scan s = {.graph = graph, .desc = desc, .scores = scores, .err = err};
    mskp_status status = mskpi_check_scores(graph, "scores", scores, err);
    if (!status) status = check_scan(graph, desc, n, table, err);
    if (!status) status = check_limits(graph, scores, desc, err);
    if (!status)
        status = mskpi_check_apart((call_array){"table", table, n * sizeof *table},
                                   mskpi_scores_array("scores", scores), err);
    if (status) return status;
    const mskp_services *services = &graph->services;
    s.families = mskpi_alloc(services, graph->u->nfamilies, sizeof *s.families);
    s.keep = (mskp_mask){graph->u->n, mskpi_alloc(services, graph->u->n, 1)};
    s.table = mskpi_alloc(services, n, sizeof *s.table);
    if (!s.families || !s.keep.unit || !s.table) {
        status = mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s for a table of %zu numbers",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY), n);
    } else {
        take_limits(&s, desc->limits);
        for (size_t f = 0; !status && f < graph->u->nfamilies; f++) status = scan_family(&s, f);
    }
    if (!status && n) memcpy(table, s.table, n * sizeof *table);
    mskpi_free(services, s.families);
    mskpi_free(services, s.keep.unit);
    mskpi_free(services, s.table);
    return status;
}

/* ---- The rule that uses the table ---- */

mskp_status mskp_sensitivity_caps(const mskp_graph *graph, const mskp_sensitivity_desc *desc,
                                  const double *table, double least, size_t n,
                                  mskp_family_rule *families, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, graph);
    if (!status) status = mskpi_check_units(graph, "graph", graph->u ? graph->u->n : 0, err);
    if (!status) status = mskpi_check_families(graph, n, families, err);
    if (!status)
        status = check_scan(graph, desc, desc ? mskpi_product(n, desc->nfractions) : 0, table, err);
    if (!status)
        status = mskpi_check_apart(
            (call_array){"families", families, n * sizeof *families},
            (call_array){"table", table, n * desc->nfractions * sizeof *table}, err);
    if (status) return status;
    if (isnan(least)) return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "least is NaN");
    for (size_t f = 0; f < n; f++) {
        const double *row = table + f * desc->nfractions;
        double cap = 0;
        for (size_t i = 0; i < desc->nfractions && row[i] >= least; i++) cap = desc->fractions[i];
        if (cap > 0 && (!(families[f].max_fraction > 0) || cap < families[f].max_fraction))
            families[f].max_fraction = cap;
        if (!(cap > 0)) families[f].locked = 1;
    }
    return MSKP_OK;
}

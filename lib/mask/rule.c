/*
 * The fields of a rule: checks, and the limits of each family.
 *
 * A family has a rule of its own if the caller passes an array of them. Each of its fields that is
 * 0 says what the field of the whole rule says, so the two are merged here, once, and the walk of
 * a selection sees one struct of limits per family.
 */
#include "mask/rule.h"

#include <math.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/rules.h"
#include "units/units.h"

family_limits mskpi_family_limits(const mskp_graph *graph, const mskp_rule *rule, size_t family)
{
    const mskp_family_rule none = {.locked = 0},
                           *own = rule->families ? rule->families + family : &none;
    const unit_table *u = graph->u;
    MSKPI_ASSERT(family < u->nfamilies);
    const double named =
        own->remove_fraction > 0 ? own->remove_fraction : rule->remove_family_fraction;
    const double cap = own->max_fraction > 0 ? own->max_fraction : rule->max_family_fraction;
    const size_t floor = own->min_channels ? own->min_channels : rule->min_channels;
    const size_t round = own->round_to ? own->round_to : rule->round_to;
    const size_t size = u->family_first[family + 1] - u->family_first[family];
    return (family_limits){.size = size,
                           .named = mskpi_fraction(named, size),
                           .most = cap > 0 ? mskpi_fraction(cap, size) : size,
                           .floor = floor ? floor : 1,
                           .round = round ? round : 1,
                           .locked = own->locked != 0};
}

const char *mskpi_limits_text(const mskp_graph *graph, const mskp_rule *rule,
                              char buffer[LIMITS_SIZE])
{
    bool floor = false, round = false, most = false;
    for (size_t f = 0; f < graph->u->nfamilies; f++) {
        const family_limits l = mskpi_family_limits(graph, rule, f);
        floor |= l.floor > 1;
        round |= l.round > 1;
        most |= l.most < l.size;
    }
    if (floor || round || most)
        (void)snprintf(buffer, LIMITS_SIZE, "; others are held back by%s%s%s%s%s",
                       floor ? " min_channels" : "", floor && (round || most) ? "," : "",
                       round ? " round_to" : "", round && most ? "," : "",
                       most ? " the largest fraction of a family" : "");
    else
        buffer[0] = 0;
    return buffer;
}

bool mskpi_names_units(const mskp_graph *graph, const mskp_rule *rule)
{
    bool any = rule->use_threshold || rule->remove_family_fraction > 0;
    for (size_t f = 0; rule->families && f < graph->u->nfamilies; f++)
        any |= rule->families[f].remove_fraction > 0;
    return any;
}

/* ---- Checks ---- */

typedef struct named_number {
    const char *name;
    double x, most;
} named_number;

static mskp_status check_numbers(const char *prefix, const char *more, const named_number *number,
                                 size_t n, mskp_error *err)
{
    char value[NUMBER_SIZE];
    for (size_t i = 0; i < n; i++) {
        if (isnan(number[i].x))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "%s%s: %s is NaN", prefix, more,
                              number[i].name);
        if (number[i].x < 0 || number[i].x > number[i].most)
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s%s: %s is %s, outside 0 to %s",
                              prefix, more, number[i].name, mskpi_number(number[i].x, value),
                              number[i].most > 1 ? "infinity" : "1");
    }
    return MSKP_OK;
}

mskp_status mskpi_check_family_rule(const char *name, const char *more,
                                    const mskp_family_rule *rule, mskp_error *err)
{
    const named_number number[] = {{"remove_fraction", rule->remove_fraction, 1},
                                   {"max_fraction", rule->max_fraction, 1}};
    return check_numbers(name, more, number, sizeof number / sizeof *number, err);
}

mskp_status mskpi_check_families(const mskp_graph *graph, size_t n,
                                 const mskp_family_rule *families, mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, families);
    if (!status && n != graph->u->nfamilies)
        return mskpi_fail(err, MSKP_ERROR_OTHER_NETWORK,
                          "nfamilies is %zu, the graph has %zu families", n, graph->u->nfamilies);
    return status;
}

static mskp_status check_each_family(const mskp_graph *graph, const mskp_rule *r, mskp_error *err)
{
    mskp_status status = MSKP_OK;
    if (r->families || r->nfamilies)
        status = mskpi_check_families(graph, r->nfamilies, r->families, err);
    for (size_t f = 0; !status && r->families && f < r->nfamilies; f++) {
        char name[NAME_SIZE], label[NAME_SIZE + 40];
        (void)snprintf(label, sizeof label, "families[%zu] (%s)", f,
                       mskpi_short(mskpi_family_name(graph, f), name));
        status = mskpi_check_family_rule("rule: ", label, &r->families[f], err);
    }
    return status;
}

mskp_status mskpi_check_rule(const mskp_graph *graph, const mskp_rule *r, mskp_error *err)
{
    char value[NUMBER_SIZE];
    const named_number number[] = {{"remove_family_fraction", r->remove_family_fraction, 1},
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
    if (r->budgets && !r->nbudgets)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "rule: budgets is set, but nbudgets is 0");
    mskp_status status = check_numbers("rule", "", number, sizeof number / sizeof *number, err);
    if (!status) status = check_each_family(graph, r, err);
    if (!status && r->nbudgets && !r->budgets)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "rule: budgets is NULL, nbudgets is %zu",
                          r->nbudgets);
    if (!status && !mskpi_names_units(graph, r) && !(r->remove_fraction > 0) &&
        !(r->max_macs > 0) && !(r->max_params > 0) && !r->nbudgets)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "rule: nothing is asked: set a threshold, a fraction or a budget");
    return status;
}

mskp_status mskpi_check_selectable(mskp_scores scores, mskp_error *err)
{
    char number[NUMBER_SIZE];
    for (size_t u = 0; u < scores.n; u++)
        if (isnan(scores.unit[u]) || scores.unit[u] == -INFINITY)
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "the score of unit %zu is %s", u,
                              mskpi_number(scores.unit[u], number));
    return MSKP_OK;
}

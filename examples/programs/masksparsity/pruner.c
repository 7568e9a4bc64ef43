#include "pruner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So that no layer collapses. */
static const size_t LEAST_CHANNELS = 2;

/* Describe: names and shapes of the network, once. cn_describe goes through the list of layers. */
bool pruner_describe(pruner *p, cn_net *net, mskp_error *err)
{
    p->graph = mskp_graph_create(&(mskp_services){.context = net, .parallel_for = cn_parallel_for});
    if (!p->graph) goto no_memory;
    cn_describe(net, p->graph);
    if (mskp_graph_finish(p->graph, err)) return false;

    const mskp_counts counts = mskp_graph_counts(p->graph);
    p->params = counts.params;
    p->units = counts.units;
    p->values = calloc(counts.params + 1, sizeof *p->values);
    p->gradients = calloc(counts.params + 1, sizeof *p->gradients);
    p->scores = calloc(p->units + 1, sizeof *p->scores);
    p->keep = calloc(p->units + 1, sizeof *p->keep);
    p->kept = calloc(p->units + 1, sizeof *p->kept);
    if (!p->values || !p->gradients || !p->scores || !p->keep || !p->kept) goto no_memory;
    cn_values(net, p->values);
    cn_gradients(net, p->gradients);
    if (mskp_measure(p->graph, 0, NULL, &p->dense, NULL, err)) return false;
    p->cost = p->dense;
    return true;
no_memory:
    snprintf(err->text, sizeof err->text, "no memory for the description of the network");
    return false;
}

void pruner_free(pruner *p)
{
    mskp_graph_destroy(p->graph);
    free(p->values);
    free(p->gradients);
    free(p->scores);
    free(p->keep);
    free(p->kept);
}

/* Norms of filters in parts of their family's mean, since they grow with a filter's size. */
static void compare_within_families(pruner *p)
{
    for (size_t f = 0; f < mskp_graph_counts(p->graph).families; f++) {
        size_t n;
        const uint32_t *unit = mskp_family_units(p->graph, f, &n);
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += p->scores[unit[i]];
        for (size_t i = 0; sum > 0 && i < n; i++) p->scores[unit[i]] *= (double)n / sum;
    }
}

/* What the mask leaves, with the units that will carry constants. */
static bool foresee(pruner *p, const mskp_constants_desc *desc, mskp_cost *cost, mskp_error *err)
{
    mskp_constants *constants;
    if (mskp_constants_create(p->graph, p->units, p->keep, desc, p->params, p->values, p->kept,
                              &constants, err))
        return false;
    mskp_constants_destroy(constants);
    return !mskp_measure(p->graph, p->units, p->kept, cost, NULL, err);
}

/* Score and select. A residual stream has a gamma in each of its layers, an inner channel has one:
 * the mean treats them alike. The budget shrinks by what carriers cost until all fit into it. */
bool pruner_select(pruner *p, const aim *a, mskp_error *err)
{
    const mskp_scoring scoring = {.reduce = MSKP_REDUCE_MEAN,
                                  .roles = a->filters ? MSKP_ROLE_FILTER : MSKP_ROLE_SCALE};
    const double budget = a->macs * p->dense.macs;
    mskp_rule rule = {.max_macs = budget, .min_channels = LEAST_CHANNELS};
    mskp_cost cost;
    if (mskp_score(p->graph, &scoring, p->params, p->values, p->units, p->scores, err))
        return false;
    if (a->filters) compare_within_families(p);
    for (;;) {
        if (mskp_select(p->graph, p->units, p->scores, &rule, p->keep, &p->selection, err) ||
            !foresee(p, &a->constants, &cost, err))
            return false;
        if (cost.macs <= budget) return true;
        rule.max_macs -= cost.macs - budget;
        if (rule.max_macs > 0) continue;
        snprintf(
            err->text, sizeof err->text,
            "%.0f multiply-accumulates are asked for, and the units that would carry constants "
            "alone take more",
            budget);
        return false;
    }
}

char *pruner_mask_text(const pruner *p)
{
    size_t length = 0;
    if (mskp_mask_write(p->graph, p->units, p->keep, 0, NULL, &length, NULL)) return NULL;
    char *text = malloc(length + 1);
    if (text && mskp_mask_write(p->graph, p->units, p->keep, length + 1, text, &length, NULL)) {
        free(text);
        text = NULL;
    }
    return text;
}

bool pruner_take_mask(pruner *p, const char *text, mskp_error *err)
{
    if (mskp_mask_read(p->graph, strlen(text), text, p->units, p->keep, err)) return false;
    p->selection.removed = 0;
    for (size_t u = 0; u < p->units; u++) p->selection.removed += !p->keep[u];
    return !mskp_measure(p->graph, p->units, p->keep, &p->selection.cost, NULL, err);
}

/* The penalty as a gradient ... */
bool pruner_before_step(const pruner *p, const drive *d, mskp_error *err)
{
    return d->form != GRADIENT ||
           !mskp_penalty_gradient(p->graph, p->units, p->keep, &d->penalty, d->strength, p->params,
                                  p->values, p->gradients, err);
}

/* ... or as a step of its own. */
bool pruner_after_step(const pruner *p, const drive *d, double rate, size_t steps_left,
                       mskp_error *err)
{
    if (d->form == PROXIMAL)
        return !mskp_penalty_prox(p->graph, p->units, p->keep, &d->penalty, rate * d->strength,
                                    p->params, p->values, err);
    if (d->form == DEADLINE)
        return !mskp_penalty_deadline(p->graph, p->units, p->keep, &d->penalty, steps_left,
                                      p->params, p->values, err);
    return true;
}

/* Constants: worked out, told, written; the mask then keeps the units that carry some. */
bool pruner_hand_on(pruner *p, mskp_constants_way way, mskp_constants_report *total,
                    mskp_error *err)
{
    const mskp_constants_desc desc = {.way = way, .zeroed = MSKP_ROLE_SCALE};
    mskp_constants *constants;
    if (mskp_constants_create(p->graph, p->units, p->keep, &desc, p->params, p->values, p->keep,
                              &constants, err))
        return false;
    const bool good = !mskp_constants_total(constants, total, err) &&
                      !mskp_constants_apply(constants, p->params, p->values, err);
    mskp_constants_destroy(constants);
    return good && !mskp_measure(p->graph, p->units, p->keep, &p->selection.cost, NULL, err);
}

/* Surgery: a plan, then values and momentum, in place. cn_prune calls mskp_plan_cut for them and
 * takes over the new widths. */
bool pruner_cut(pruner *p, cn_net *net, mskp_error *err)
{
    mskp_plan *plan;
    cn_error error;
    if (mskp_plan_create(p->graph, p->units, p->keep, &plan, NULL, err)) return false;
    const bool good = cn_prune(net, p->graph, plan, &error);
    mskp_plan_destroy(plan);
    if (good)
        p->cost = p->selection.cost;
    else
        snprintf(err->text, sizeof err->text, "%.250s", error.text);
    return good;
}

/* ---- to look at what is going on ---- */

/* A deadline that is now. */
bool pruner_zero_marked(const pruner *p, uint32_t roles, mskp_error *err)
{
    return !mskp_penalty_zero(p->graph, p->units, p->keep, &(mskp_penalty){.roles = roles},
                              p->params, p->values, err);
}

double pruner_largest_marked(const pruner *p, uint32_t roles)
{
    const mskp_scoring scoring = {.reduce = MSKP_REDUCE_MAX, .roles = roles};
    double largest = 0;
    if (mskp_score(p->graph, &scoring, p->params, p->values, p->units, p->scores, NULL)) return NAN;
    for (size_t u = 0; u < p->units; u++)
        if (!p->keep[u] && p->scores[u] > largest) largest = p->scores[u];
    return largest;
}

double pruner_loss(const pruner *p, const drive *d)
{
    double value = 0;
    if (d->form == FREE || d->form == DEADLINE) return 0;
    if (mskp_penalty_value(p->graph, p->units, p->keep, &d->penalty, p->params, p->values, &value,
                           NULL))
        return NAN;
    return d->strength * value;
}

size_t pruner_channels_kept(const pruner *p, const char *layer)
{
    size_t n = 0, kept = 0;
    const uint32_t *unit = mskp_value_units(p->graph, mskp_value_find(p->graph, layer), &n);
    for (size_t i = 0; i < n; i++) kept += unit[i] == MSKP_PINNED || p->keep[unit[i]];
    return kept;
}

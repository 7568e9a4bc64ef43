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
    p->values = (mskp_tensors){counts.params, calloc(counts.params, sizeof *p->values.view)};
    p->gradients = (mskp_tensors){counts.params, calloc(counts.params, sizeof *p->values.view)};
    p->scores = (mskp_scores){counts.units, calloc(counts.units, sizeof *p->scores.unit)};
    p->keep = (mskp_mask){counts.units, calloc(counts.units, 1)};
    if (!p->values.view || !p->gradients.view || !p->scores.unit || !p->keep.unit) goto no_memory;
    cn_values(net, p->values);
    cn_gradients(net, p->gradients);
    if (mskp_measure(p->graph, (mskp_mask){0}, &p->dense, NULL, err)) return false;
    p->cost = p->dense;
    return true;
no_memory:
    snprintf(err->text, sizeof err->text, "no memory for the description of the network");
    return false;
}

void pruner_free(pruner *p)
{
    mskp_graph_destroy(p->graph);
    mskp_plan_destroy(p->plan);
    free(p->values.view);
    free(p->gradients.view);
    free(p->scores.unit);
    free(p->keep.unit);
}

/* Norms of filters in parts of their family's mean, since they grow with a filter's size. */
static void compare_within_families(pruner *p)
{
    for (size_t f = 0; f < mskp_graph_counts(p->graph).families; f++) {
        size_t n;
        const uint32_t *unit = mskp_family_units(p->graph, f, &n);
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += p->scores.unit[unit[i]];
        for (size_t i = 0; sum > 0 && i < n; i++) p->scores.unit[unit[i]] *= (double)n / sum;
    }
}

static bool count_removed(pruner *p, mskp_error *err)
{
    p->selection.removed = 0;
    for (size_t u = 0; u < p->keep.n; u++) p->selection.removed += !p->keep.unit[u];
    return !mskp_measure(p->graph, p->keep, &p->selection.cost, NULL, err);
}

/* Score and select. A residual stream has a gamma in each of its layers, an inner channel has one:
 * the mean treats them alike. */
bool pruner_select(pruner *p, const aim *a, mskp_error *err)
{
    const mskp_scoring scoring = {.reduce = MSKP_REDUCE_MEAN,
                                  .roles = a->filters ? MSKP_ROLE_FILTER : MSKP_ROLE_SCALE};
    const mskp_rule rule = {.max_macs = a->macs * p->dense.macs, .min_channels = LEAST_CHANNELS};
    mskp_constants *constants;
    if (mskp_score(p->graph, &scoring, p->values, p->scores, err)) return false;
    if (a->filters) compare_within_families(p);
    if (mskp_constants_select(p->graph, p->scores, &rule, &a->constants, p->values, &constants,
                              err))
        return false;
    const bool good =
        !mskp_constants_masks(constants, p->keep, (mskp_mask){0}, (mskp_mask){0}, err) &&
        count_removed(p, err);
    mskp_constants_destroy(constants);
    return good;
}

char *pruner_mask_text(const pruner *p)
{
    size_t length = 0;
    if (mskp_mask_write(p->graph, p->keep, 0, NULL, &length, NULL)) return NULL;
    char *text = malloc(length + 1);
    if (text && mskp_mask_write(p->graph, p->keep, length + 1, text, &length, NULL)) {
        free(text);
        text = NULL;
    }
    return text;
}

bool pruner_take_mask(pruner *p, const char *text, mskp_error *err)
{
    if (mskp_mask_read(p->graph, strlen(text), text, p->keep, err)) return false;
    return count_removed(p, err);
}

/* The penalty as a gradient ... */
bool pruner_before_step(const pruner *p, const drive *d, mskp_error *err)
{
    return d->form != GRADIENT || !mskp_penalty_gradient(p->graph, p->keep, &d->penalty,
                                                         d->strength, p->values, p->gradients, err);
}

/* ... or as a step of its own. */
bool pruner_after_step(const pruner *p, const drive *d, double rate, size_t steps_left,
                       mskp_error *err)
{
    if (d->form == PROXIMAL)
        return !mskp_penalty_prox(p->graph, p->keep, &d->penalty, rate * d->strength, p->values,
                                  err);
    if (d->form == DEADLINE)
        return !mskp_penalty_deadline(p->graph, p->keep, &d->penalty, steps_left, p->values, err);
    return true;
}

/* Constants are moved only after the plan exists, so that nothing was written if there is none. */
bool pruner_hand_on(pruner *p, mskp_constants_way way, mskp_constants_report *total,
                    mskp_error *err)
{
    const mskp_constants_desc desc = {.way = way, .zeroed = MSKP_ROLE_SCALE};
    mskp_constants *constants;
    if (mskp_constants_create(p->graph, p->keep, &desc, p->values, &constants, err)) return false;
    const bool good =
        !mskp_constants_total(constants, total, err) &&
        !mskp_constants_plan(constants, &p->plan, NULL, err) &&
        !mskp_constants_apply(constants, p->plan, p->values, err) &&
        !mskp_constants_masks(constants, (mskp_mask){0}, (mskp_mask){0}, p->keep, err);
    mskp_constants_destroy(constants);
    return good && count_removed(p, err);
}

/* Values and momentum are cut in place. cn_prune calls mskp_plan_cut for them and takes over the
 * new widths. */
bool pruner_cut(pruner *p, cn_net *net, mskp_error *err)
{
    cn_error error;
    const bool good = cn_prune(net, p->graph, p->plan, &error);
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
    return !mskp_penalty_zero(p->graph, p->keep, &(mskp_penalty){.roles = roles}, p->values, err);
}

double pruner_largest_marked(const pruner *p, uint32_t roles)
{
    const mskp_scoring scoring = {.reduce = MSKP_REDUCE_MAX, .roles = roles};
    double largest = 0;
    if (mskp_score(p->graph, &scoring, p->values, p->scores, NULL)) return NAN;
    for (size_t u = 0; u < p->keep.n; u++)
        if (!p->keep.unit[u] && p->scores.unit[u] > largest) largest = p->scores.unit[u];
    return largest;
}

double pruner_loss(const pruner *p, const drive *d)
{
    double value = 0;
    if (d->form == FREE || d->form == DEADLINE) return 0;
    if (mskp_penalty_value(p->graph, p->keep, &d->penalty, p->values, &value, NULL)) return NAN;
    return d->strength * value;
}

size_t pruner_channels_kept(const pruner *p, const char *layer)
{
    size_t n = 0, kept = 0;
    const uint32_t *unit = mskp_value_units(p->graph, mskp_value_find(p->graph, layer), &n);
    for (size_t i = 0; i < n; i++) kept += unit[i] == MSKP_PINNED || p->keep.unit[unit[i]];
    return kept;
}

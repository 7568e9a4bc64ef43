#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "mskp/methods.h"
#include "mskp/rules.h"
#include "mskp/tools.h"

/* So that no layer collapses. */
static const size_t LEAST_CHANNELS = 2;

static bool failed(const job *j, const mskp_error *err)
{
    return trainer_fail(j->t, "%s", err->text);
}

uint32_t pruning_roles(const driver_options *o)
{
    return MSKP_ROLE_SCALE | (o->on == DRIVER_ON_GAMMA_BETA ? MSKP_ROLE_SHIFT : 0u);
}

bool pruning_open(job *j)
{
    const size_t units = mskp_graph_counts(j->t->graph).units;
    mskp_error err;
    j->keep = (mskp_mask){units, malloc(units + 1)};
    j->work = (mskp_mask){units, calloc(units + 1, 1)};
    j->locked = (mskp_mask){units, calloc(units + 1, 1)};
    j->scores = (mskp_scores){units, calloc(units + 1, sizeof *j->scores.unit)};
    j->chosen = (mskp_scores){0, calloc(units + 1, sizeof *j->chosen.unit)};
    if (!j->keep.unit || !j->work.unit || !j->locked.unit || !j->scores.unit || !j->chosen.unit)
        return trainer_fail(j->t, "no memory for masks and scores of %zu units", units);
    memset(j->keep.unit, 1, units);
    const arg_words *lock = &j->t->options.lock;
    if (mskp_measure(j->t->graph, (mskp_mask){0}, &j->dense, NULL, &err)) return failed(j, &err);
    if (mskp_mask_match(j->t->graph, lock->count, lock->text, 0, j->locked, &err))
        return trainer_fail(j->t, "--lock: %s", err.text);
    j->now = j->selected = j->dense;
    j->fingerprint = mskp_fingerprint(j->t->graph);
    return true;
}

void pruning_free(job *j)
{
    free(j->keep.unit);
    free(j->work.unit);
    free(j->locked.unit);
    free(j->scores.unit);
    free(j->chosen.unit);
}

/* ---- scores and masks ---- */

/* j->scores <- what each unit is worth now. A unit of a residual stream has a gamma in each of its
 * batch norms, a unit inside a block has one; the mean treats both alike. */
static bool score(job *j)
{
    const bool filters = j->t->options.mask == DRIVER_MASK_FILTERS;
    const mskp_scoring scoring = {.reduce = MSKP_REDUCE_MEAN,
                                  .roles = filters ? MSKP_ROLE_FILTER : MSKP_ROLE_SCALE};
    mskp_error err;
    if (!fetch(j->t)) return false;
    if (mskp_score(j->t->graph, &scoring, j->t->values, j->scores, &err)) return failed(j, &err);
    return !filters ||
           !mskp_score_normalize(j->t->graph, MSKP_NORMALIZER_MEAN, 0, j->scores, &err) ||
           failed(j, &err); /* norms of filters grow with their size */
}

/* What the marked units leave. */
static bool measure_mask(job *j)
{
    mskp_error err;
    j->removed = 0;
    for (size_t u = 0; u < j->keep.n; u++) j->removed += !j->keep.unit[u];
    return !mskp_measure(j->t->graph, j->keep, &j->selected, NULL, &err) || failed(j, &err);
}

static bool select_within_budget(job *j, const mskp_constants_desc *desc)
{
    const mskp_rule rule = {.max_macs = j->t->options.macs * j->dense.macs,
                            .min_channels = LEAST_CHANNELS,
                            .locked = j->locked,
                            .empty_branches = j->t->options.branches};
    mskp_constants *constants;
    mskp_error err;
    if (mskp_constants_select(j->t->graph, j->scores, &rule, desc, j->t->values, &constants, &err))
        return failed(j, &err);
    const bool good =
        !mskp_constants_masks(constants, j->keep, (mskp_mask){0}, (mskp_mask){0}, &err) ||
        failed(j, &err);
    mskp_constants_destroy(constants);
    return good && measure_mask(j);
}

/* The constants of the cut are foreseen: what the penalty is on counts as 0, and everything else
 * as it is now. */
bool pruning_select(job *j)
{
    const driver_options *o = &j->t->options;
    const mskp_constants_desc desc = {.way = (mskp_constants_way)o->constants,
                                      .zeroed = o->penalty ? pruning_roles(o) : MSKP_ROLE_SCALE};
    if (!score(j) || !select_within_budget(j, &desc)) return false;
    j->chosen.n = j->scores.n;
    memcpy(j->chosen.unit, j->scores.unit, j->scores.n * sizeof *j->scores.unit);
    return true;
}

/*
 * The values have changed since the mask was chosen, and with them the constants: surgery may need
 * other carriers than were foreseen. If it needs more, the network would exceed the budget. So the
 * units are selected again, within the same rule. All units that are marked come first, in the
 * order in which they were marked, because training has prepared the network for their removal. If
 * the carriers are as foreseen, this gives the same mask. If they cost more, units that were not
 * marked have to go, too, in the order of what they are worth now. If they cost less, the marked
 * units with the highest scores stay.
 *   A mask that was read from a file has no scores here, and its budget is not known either. It is
 * cut as it is.
 */
bool pruning_select_again(job *j, const mskp_constants_desc *desc, size_t *more)
{
    double highest = 0; /* of the scores of marked units */
    *more = 0;
    if (!j->chosen.n || !j->removed) return true;
    if (!score(j)) return false;
    for (size_t u = 0; u < j->keep.n; u++)
        if (!j->keep.unit[u]) highest = fmax(highest, j->chosen.unit[u]);
    for (size_t u = 0; u < j->keep.n; u++) {
        if (!j->keep.unit[u])
            j->scores.unit[u] = j->chosen.unit[u];
        else
            j->scores.unit[u] += 1 + highest; /* scores are not negative */
    }
    memcpy(j->work.unit, j->keep.unit, j->keep.n);
    if (!select_within_budget(j, desc)) return false;
    for (size_t u = 0; u < j->keep.n; u++) *more += j->work.unit[u] && !j->keep.unit[u];
    return true;
}

bool pruning_foresee(job *j, const mskp_constants_desc *desc, mskp_cost *cost,
                     void (*see)(job *j, const mskp_constants *constants))
{
    const mskp_graph *graph = j->t->graph;
    const mskp_mask none = {0, NULL};
    mskp_constants *constants;
    mskp_error err;
    if (!fetch(j->t)) return false;
    if (mskp_constants_create(graph, j->keep, desc, j->t->values, &constants, &err))
        return failed(j, &err);
    const bool good = !mskp_constants_masks(constants, none, none, j->work, &err) &&
                      !mskp_measure(graph, j->work, cost, NULL, &err);
    if (good) see(j, constants);
    mskp_constants_destroy(constants);
    return good || failed(j, &err);
}

char *pruning_mask_text(const job *j)
{
    size_t length = 0;
    if (mskp_mask_write(j->t->graph, j->keep, 0, NULL, &length, NULL)) return NULL;
    char *text = malloc(length + 1);
    if (text && mskp_mask_write(j->t->graph, j->keep, length + 1, text, &length, NULL)) {
        free(text);
        text = NULL;
    }
    return text;
}

bool pruning_read_mask(job *j, const char *path)
{
    mskp_error err;
    char *text = j->t->read_mask(j->t, path);
    if (!text) return false;
    const bool good = !mskp_mask_read(j->t->graph, strlen(text), text, j->keep, &err) ||
                      trainer_fail(j->t, "%s: its mask: %s", path, err.text);
    free(text);
    j->chosen.n = 0;
    return good && measure_mask(j);
}

/* ---- penalties ---- */

bool pruning_after_step(job *j, const stage *s, double rate, size_t steps_left)
{
    trainer *t = j->t;
    mskp_status status;
    mskp_error err;
    if (s->form != FORM_PROXIMAL && s->form != FORM_DEADLINE) return true;
    if (!fetch(t)) return false;
    if (s->form == FORM_PROXIMAL)
        status =
            mskp_penalty_prox(t->graph, j->keep, &s->penalty, rate * s->strength, t->values, &err);
    else
        status = mskp_penalty_deadline(t->graph, j->keep, &s->penalty, steps_left, t->values, &err);
    return status ? failed(j, &err) : store(t);
}

bool pruning_zero_marked(job *j, uint32_t roles)
{
    const mskp_penalty penalty = {.roles = roles};
    mskp_error err;
    if (!fetch(j->t)) return false;
    if (mskp_penalty_zero(j->t->graph, j->keep, &penalty, j->t->values, &err))
        return failed(j, &err);
    return store(j->t);
}

double pruning_largest_marked(job *j, uint32_t roles)
{
    const mskp_penalty marked = {.roles = roles};
    mskp_gauge gauge;
    if (!fetch(j->t) ||
        mskp_penalty_gauge(j->t->graph, j->keep, &marked, j->t->values, &gauge, NULL))
        return NAN;
    return gauge.largest;
}

double pruning_loss(const job *j, const stage *s)
{
    double value = 0;
    if (s->form == FORM_NONE || s->form == FORM_DEADLINE) return 0;
    if (!fetch(j->t) ||
        mskp_penalty_value(j->t->graph, j->keep, &s->penalty, j->t->values, &value, NULL))
        return NAN;
    return s->strength * value;
}

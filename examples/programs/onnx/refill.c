/*
 * Puts units back where a budget of multiply-accumulates is missed by more than needed.
 *
 * A rule removes the units with the lowest scores until the budget is met. The last one may be
 * large (a head, a group of channels), so that less is left than was asked for. Then the units that
 * were removed are tried again, the highest score first, and each that fits into the budget stays.
 */
#include <math.h>
#include <stdlib.h>

#include "job.h"

enum { MOST_TRIED = 400 };

/* A budget is met well enough if no more than this share of all multiply-accumulates is missing. */
static const double CLOSE = 5e-4;

typedef struct candidate {
    double score;
    size_t unit;
} candidate;

/* The highest score first. */
static int by_score(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
    return (x->unit > y->unit) - (x->unit < y->unit);
}

/* Whether the budget alone says which units are removed, and their constants do not matter. */
static bool may_refill(const job *j, const mskp_rule *rule)
{
    const bool other = rule->use_threshold || rule->remove_family_fraction > 0 ||
                       rule->max_params > 0 || rule->families || rule->round_to > 1 ||
                       rule->empty_branches;
    return rule->max_macs > 0 && !other && j->o.constants == NO_CONSTANTS;
}

static bool refill_from(job *j, double most, const candidate *list, size_t count)
{
    mskp_cost left;
    mskp_error err;
    if (mskp_measure(j->graph, j->selected, &left, NULL, &err)) return refuse(j, &err);
    for (size_t i = 0; i < count && i < MOST_TRIED; i++) {
        if (most - left.macs <= CLOSE * j->dense.macs) break;
        mskp_cost with;
        j->selected.unit[list[i].unit] = 1;
        if (mskp_measure(j->graph, j->selected, &with, NULL, &err)) return refuse(j, &err);
        if (with.macs <= most)
            left = with;
        else
            j->selected.unit[list[i].unit] = 0;
    }
    return true;
}

bool refill(job *j, const mskp_rule *rule)
{
    size_t count = 0;
    if (!may_refill(j, rule)) return true;
    candidate *list = try_malloc((j->counts.units + 1) * sizeof *list);
    if (!list) return fail(&j->f, "no memory for the scores of %zu units", j->counts.units);
    for (size_t u = 0; u < j->counts.units; u++)
        if (!j->selected.unit[u]) list[count++] = (candidate){j->scores.unit[u], u};
    qsort(list, count, sizeof *list, by_score);
    const bool good = refill_from(j, rule->max_macs, list, count);
    free(list);
    return good;
}

/*
 * Which units are removed, and what becomes of their constants: scores, the rule of the command
 * line, and the masks that follow, or the masks that follow from a mask in a file.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "job.h"
#include "list.h"
#include "mskp/rules.h"

/* ---- Scores ---- */

/* A norm grows with the size of its layer's filters. Each score is divided by its family's mean, so
 * that the scores of different families can be compared. */
static void compare_within_families(job *j)
{
    double *score = j->scores.unit;
    for (size_t f = 0; f < j->counts.families; f++) {
        size_t n, counted = 0;
        const uint32_t *unit = mskp_family_units(j->graph, f, &n);
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            if (score[unit[i]] > 1e300) continue;
            sum += score[unit[i]];
            counted++;
        }
        for (size_t i = 0; sum > 0 && i < n; i++) score[unit[i]] *= (double)counted / sum;
    }
}

static bool any_finite(mskp_scores scores)
{
    for (size_t u = 0; u < scores.n; u++)
        if (scores.unit[u] < HUGE_VAL) return true;
    return false;
}

/* By the words of --score. */
static const uint32_t ROLES[] = {MSKP_ROLE_FILTER, MSKP_ROLE_FILTER, MSKP_ROLE_SCALE,
                                 MSKP_ROLES_UNIT, MSKP_ROLES_UNIT};

/* The library refuses weights that are not finite, and hardly any file has some: so they are looked
 * for when it does, or where constants read other slices, too. */
static bool score(job *j, unfinite *u)
{
    const options *o = &j->o;
    const bool l2 = o->score == SCORE_L2 || o->score == SCORE_UNIT_L2;
    const mskp_scoring how = {.magnitude = l2 ? MSKP_MAGNITUDE_L2 : MSKP_MAGNITUDE_L1,
                              .reduce = (mskp_reduce)o->reduce,
                              .roles = ROLES[o->score]};
    const bool moves = o->constants != NO_CONSTANTS;
    mskp_error err;
    *u = (unfinite){.first = NULL};
    mskp_status status = MSKP_ERROR_BAD_NUMBER;
    if (!moves) status = mskp_score(j->graph, &how, j->values, j->scores, &err);
    if (status == MSKP_ERROR_BAD_NUMBER) {
        if (!unfinite_open(j, moves ? UINT32_MAX : how.roles, u)) return false;
        status = mskp_score(j->graph, &how, u->values, j->scores, &err);
    }
    if (status) return refuse(j, &err);
    for (size_t k = 0; u->units && k < j->scores.n; k++)
        if (u->unit[k]) j->scores.unit[k] = HUGE_VAL;
    if (o->score == SCORE_GAMMA)
        return any_finite(j->scores) ||
               fail(&j->f, "--score gamma: no unit has a batch norm. Perhaps the batch norms were "
                           "folded into the convolutions when the file was exported");
    if (!(o->threshold >= 0)) compare_within_families(j);
    return true;
}

/* ---- Masks ---- */

static mskp_constants_desc constants_desc(const options *o)
{
    return (mskp_constants_desc){.way = (mskp_constants_way)o->constants,
                                 .zeroed = MSKP_ROLE_SCALE | MSKP_ROLE_FILTER};
}

/* selected, kept <- the masks of the constants, or, without --constants, the one that is selected;
 * left <- the cost of what is kept. */
static bool take_masks(job *j)
{
    mskp_error err;
    if (!j->constants)
        memcpy(j->kept.unit, j->selected.unit, j->kept.n);
    else if (mskp_constants_masks(j->constants, j->selected, (mskp_mask){0, NULL}, j->kept, &err))
        return refuse(j, &err);
    return !mskp_measure(j->graph, j->kept, &j->left, NULL, &err) || refuse(j, &err);
}

/* The constants of a mask that is given: selected. */
static bool take_selected(job *j)
{
    const mskp_constants_desc desc = constants_desc(&j->o);
    mskp_error err;
    if (j->o.constants != NO_CONSTANTS &&
        mskp_constants_create(j->graph, j->selected, &desc, j->values, &j->constants, &err))
        return refuse(j, &err);
    return take_masks(j);
}

/* The library's sentence begins with the name of a field of the rule. Adds the option's name. */
static bool refuse_rule(job *j, const mskp_error *err)
{
    if (!strncmp(err->text, "max_macs", 8)) return fail(&j->f, "--macs: %s", err->text);
    if (!strncmp(err->text, "max_params", 10)) return fail(&j->f, "--params: %s", err->text);
    return refuse(j, err);
}

static bool select_by_rule(job *j, const mskp_rule *rule, const unfinite *u)
{
    const mskp_constants_desc desc = constants_desc(&j->o);
    mskp_error err;
    const mskp_status status = j->o.constants == NO_CONSTANTS
                                   ? mskp_select(j->graph, j->scores, rule, j->selected, NULL, &err)
                                   : mskp_constants_select(j->graph, j->scores, rule, &desc,
                                                           u->values, &j->constants, &err);
    if (status) return refuse_rule(j, &err);
    return refill(j, rule) && take_masks(j);
}

/* ---- Layers by their names ---- */

/* families <- what one option says of the layers of its pattern. */
static bool set_layers(job *j, const char *option, const char *word, bool most,
                       mskp_family_rule *families)
{
    const char *equals = strrchr(word, '=');
    char *end = NULL, pattern[400];
    mskp_error err;
    const double part = equals ? strtod(equals + 1, &end) : -1;
    if (!equals || equals == word || end == equals + 1 || *end || !(part >= 0 && part <= 1))
        return fail(&j->f, "--%s %.200s: write PATTERN=R, with R from 0 to 1", option, word);
    if ((size_t)snprintf(pattern, sizeof pattern, "%.*s", (int)(equals - word), word) >=
        sizeof pattern)
        return fail(&j->f, "--%s: the pattern %.80s... is too long", option, word);
    const char *const patterns[] = {pattern};
    mskp_family_rule rule = {.locked = !(part > 0)}; /* a fraction of 0 says nothing */
    if (most)
        rule.max_fraction = part;
    else
        rule.remove_fraction = part;
    const mskp_mask which = {j->counts.units, j->kept.unit}; /* written anew later */
    if (mskp_mask_match(j->graph, 1, patterns, 0, which, &err) ||
        mskp_family_rules_set(j->graph, which, &rule, j->counts.families, families, &err))
        return fail(&j->f, "--%s %.200s: no layer or parameter has such a name", option, word);
    return true;
}

/* *families <- what --layer-ratio and --layer-most say of each family; NULL: nothing. The caller
 * frees them. */
static bool rules_of_layers(job *j, mskp_family_rule **families)
{
    const options *o = &j->o;
    bool good = true;
    *families = NULL;
    if (!o->layer_ratio.count && !o->layer_most.count) return true;
    *families = try_calloc(j->counts.families + 1, sizeof **families);
    if (!*families) return fail(&j->f, "no memory for the rules of %zu layers", j->counts.families);
    for (size_t i = 0; good && i < o->layer_ratio.count; i++)
        good = set_layers(j, "layer-ratio", o->layer_ratio.text[i], false, *families);
    for (size_t i = 0; good && i < o->layer_most.count; i++)
        good = set_layers(j, "layer-most", o->layer_most.text[i], true, *families);
    return good;
}

/* The mask of a file must keep what --constants locks. */
static bool keeps_locked(job *j)
{
    for (size_t u = 0; u < j->counts.units; u++)
        if (j->locked.unit[u] && !j->selected.unit[u])
            return fail(&j->f,
                        "--constants: the mask removes unit %zu, whose channels are multiplied "
                        "with each other and summed over",
                        u);
    return true;
}

/* Scores are of finite weights. A unit with another weight in a slice that is read stays: with
 * --constants all of its slices are. */
static bool choose_by_scores(job *j, const mskp_rule *rule)
{
    const bool all = !(rule->use_threshold || rule->remove_family_fraction > 0 ||
                       rule->max_macs > 0 || rule->max_params > 0 || rule->families);
    unfinite u;
    bool good = score(j, &u);
    if (good && u.units)
        file_print(stdout, "%zu units stay because weights are not finite, the first in %.120s",
                   u.units, u.first);
    if (good && !all) good = select_by_rule(j, rule, &u);
    unfinite_close(&u);
    if (!good || !all) return good;
    memset(j->selected.unit, 1, j->selected.n); /* --ratio 0, which the rule takes for no demand */
    return take_selected(j);
}

/* A part of the multiply-accumulates that are known is no part of the network's. */
static bool is_counted(job *j)
{
    if (!(j->o.macs > 0) || j->o.count_known || !*j->uncounted) return true;
    return fail(&j->f,
                "--macs: MACs are without those of %s. With --count-known, --macs is of the "
                "others",
                j->uncounted);
}

/* What is moved into a quantized parameter would be rounded. */
static bool may_move(job *j)
{
    return j->o.constants == NO_CONSTANTS || !j->onnx.n.quantized_count ||
           fail(&j->f,
                "--constants: %zu parameters are quantized, and what is moved into them would "
                "be rounded",
                j->onnx.n.quantized_count);
}

bool choose_units(job *j)
{
    const options *o = &j->o;
    /* Parameters of the file that belong to no layer stay, and count. */
    const double params = o->params * j->before.all + j->dense.params - j->before.all;
    mskp_rule rule = {.use_threshold = o->threshold >= 0,
                      .threshold = o->threshold >= 0 ? o->threshold : 0,
                      .remove_family_fraction = o->ratio > 0 ? o->ratio : 0,
                      .max_macs = o->macs * j->dense.macs,
                      .max_params = o->params > 0 ? params : 0,
                      .min_channels = o->min_channels,
                      .round_to = o->round_to,
                      .locked = j->locked,
                      .empty_branches = o->branches};
    if (!may_move(j) || !is_counted(j) || !lock_units(j)) return false;
    if (o->mask) return read_mask(j) && keeps_locked(j) && take_selected(j);
    if (!j->counts.units) {
        char why[LIST_TEXT];
        return list_reason(&j->onnx.n, sizeof why, why) &&
               fail(&j->f, "nothing can be removed from this network: %s", why);
    }
    if (o->params > 0 && !(params > 0))
        return fail(&j->f,
                    "--params %g: %.0f of %.0f parameters belong to no layer that can be cut",
                    o->params, j->before.all - j->dense.params, j->before.all);
    mskp_family_rule *families;
    bool good = rules_of_layers(j, &families);
    rule.families = families;
    rule.nfamilies = families ? j->counts.families : 0;
    good = good && choose_by_scores(j, &rule);
    free(families);
    return good;
}

/*
 * Names in place of units: patterns that choose layers, and the rules of single families.
 *
 * A pattern is matched from left to right. When the text does not fit what follows a star, the star
 * takes one byte more, and the match goes on from there. Only the last star is ever widened: an
 * earlier one has done its part when the star behind it is reached. So the time is at most the
 * product of both lengths, whatever the pattern.
 */
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/overlap.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mask/rule.h"
#include "mskp.h"
#include "mskp/rules.h"
#include "units/units.h"

/* ---- Patterns ---- */

/* *end <- behind the set that begins at p with '['. Returns whether the set has byte c. A '[' that
 * no ']' closes stands for itself; then *end is behind it. */
static bool in_set(const char *p, unsigned char c, const char **end)
{
    const char *at = p + 1;
    const bool inverse = *at == '!' || *at == '^';
    bool found = false;
    at += inverse;
    for (const char *first = at; *at && (*at != ']' || at == first); at++) {
        if (*at == '\\' && at[1]) at++;
        const unsigned char low = (unsigned char)*at;
        unsigned char high = low;
        if (at[1] == '-' && at[2] && at[2] != ']') {
            at += 2;
            if (*at == '\\' && at[1]) at++;
            high = (unsigned char)*at;
        }
        found |= low <= c && c <= high;
    }
    *end = *at ? at + 1 : p + 1;
    return *at ? found != inverse : c == '[';
}

/* Whether the first element of the pattern, which is not a star, takes byte c. *end <- behind the
 * element. */
static bool takes(const char *pattern, unsigned char c, const char **end)
{
    if (*pattern == '[') return in_set(pattern, c, end);
    if (*pattern == '\\' && pattern[1])
        pattern++;
    else if (*pattern == '?') {
        *end = pattern + 1;
        return true;
    }
    *end = pattern + 1;
    return (unsigned char)*pattern == c;
}

static bool matches(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL; /* behind the last star, and where its bytes end */
    for (;;) {
        const char *next;
        if (*pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (!*text) {
            return !*pattern;
        } else if (*pattern && takes(pattern, (unsigned char)*text, &next)) {
            pattern = next;
            text++;
        } else if (star) {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
}

/* ---- Units by name ---- */

static void mark_list(const mskp_graph *graph, uint32_t list, mskp_mask mask)
{
    const unit_list *l = &graph->u->lists[list];
    for (size_t i = 0; i < l->n; i++) {
        const uint32_t unit = graph->u->list_units[l->first + i];
        if (unit != MSKP_PINNED) mask.unit[unit] = 1;
    }
}

/* Marks the units of all values and parameters whose names match, unless mask is {0, NULL}. Returns
 * whether there is any such value or axis. */
static bool mark_matches(const mskp_graph *graph, const char *pattern, uint32_t roles,
                         mskp_mask mask)
{
    bool any = false;
    for (uint32_t v = 1; v <= graph->nvalues; v++)
        if (matches(pattern, mskpi_value_name(graph, v))) {
            any = true;
            if (mask.unit) mark_list(graph, graph->values[v].list, mask);
        }
    for (uint32_t p = 1; p <= graph->nparams; p++) {
        if (!matches(pattern, mskpi_param_name(graph, p))) continue;
        for (uint32_t d = 0; d < graph->params[p].ndim; d++) {
            const graph_axis *a = &graph->axes[graph->params[p].axis + d];
            if (a->list == NO_LIST || !(roles ? a->roles & roles : a->roles != MSKP_ROLE_CONSUMER))
                continue;
            any = true;
            if (mask.unit) mark_list(graph, a->list, mask);
        }
    }
    return any;
}

mskp_status mskp_mask_match(const mskp_graph *graph, size_t n, const char *const *patterns,
                            uint32_t roles, mskp_mask mask, mskp_error *err)
{
    mskp_status status = mskpi_check_mask(graph, "mask", mask, err);
    if (!status && n) status = MSKPI_GIVEN(err, patterns);
    if (!status) status = mskpi_check_roles(err, "roles", roles);
    for (size_t i = 0; !status && i < n; i++) {
        char buffer[NAME_SIZE];
        if (!patterns[i])
            status = mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "patterns[%zu] is NULL", i);
        else if (!mark_matches(graph, patterns[i], roles, (mskp_mask){0, NULL}))
            status = mskpi_fail(err, MSKP_ERROR_BAD_NAME,
                                "patterns[%zu]: no value, and no parameter in these roles, has a "
                                "name like %s",
                                i, mskpi_short(patterns[i], buffer));
    }
    if (status) return status;
    if (mask.n) memset(mask.unit, 0, mask.n);
    for (size_t i = 0; i < n; i++) (void)mark_matches(graph, patterns[i], roles, mask);
    return MSKP_OK;
}

/* ---- Rules of families ---- */

mskp_status mskp_family_rules_set(const mskp_graph *graph, mskp_mask which,
                                  const mskp_family_rule *rule, size_t n,
                                  mskp_family_rule *families, mskp_error *err)
{
    mskp_status status = mskpi_check_mask(graph, "which", which, err);
    if (!status) status = MSKPI_GIVEN(err, rule);
    if (!status) status = mskpi_check_families(graph, n, families, err);
    if (!status) status = mskpi_check_family_rule("rule", "", rule, err);
    if (!status)
        status = mskpi_check_apart((call_array){"families", families, n * sizeof *families},
                                   mskpi_mask_array("which", which), err);
    for (size_t u = 0; !status && u < which.n; u++) {
        mskp_family_rule *f = families + graph->u->family[u];
        if (!which.unit[u]) continue;
        if (rule->remove_fraction > 0) f->remove_fraction = rule->remove_fraction;
        if (rule->max_fraction > 0) f->max_fraction = rule->max_fraction;
        if (rule->min_channels) f->min_channels = rule->min_channels;
        if (rule->round_to) f->round_to = rule->round_to;
        if (rule->locked) f->locked = rule->locked;
    }
    return status;
}

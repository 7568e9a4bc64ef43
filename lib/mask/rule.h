/* A rule's fields, checked, and what they say of one family. */
#ifndef MSKP_MASK_RULE_H
#define MSKP_MASK_RULE_H

#include <stdbool.h>

#include "describe/graph.h"
#include "mskp.h"
#include "mskp/rules.h"

/* What a rule says of one family, its own fields before those of the whole rule. */
typedef struct family_limits {
    size_t size;  /* units */
    size_t named; /* so many units are named by a fraction of the family */
    size_t most;  /* no more are removed */
    size_t floor; /* so many channels stay in each value and axis, or all */
    size_t round; /* units of a block */
    bool locked;
} family_limits;
family_limits mskpi_family_limits(const mskp_graph *graph, const mskp_rule *rule, size_t family);

/* The end of a sentence: what of the rule holds back units that are neither locked nor score
 * +infinity. Empty if nothing does. */
enum { LIMITS_SIZE = 96 };
const char *mskpi_limits_text(const mskp_graph *graph, const mskp_rule *rule,
                              char buffer[LIMITS_SIZE]);
/* Whether the rule names units: by a threshold, or by a fraction of a family. */
bool mskpi_names_units(const mskp_graph *graph, const mskp_rule *rule);

/* Refuses a rule whose fields are out of range, contradict each other or ask for nothing. The
 * contents of budgets are checked when they are opened (amounts.h). */
mskp_status mskpi_check_rule(const mskp_graph *graph, const mskp_rule *rule, mskp_error *err);
/* Refuses an array of rules of families that is NULL or has another length. */
mskp_status mskpi_check_families(const mskp_graph *graph, size_t n,
                                 const mskp_family_rule *families, mskp_error *err);
/* Refuses a rule of a family whose numbers are out of range. `name` and `more` together are its
 * name in sentences. */
mskp_status mskpi_check_family_rule(const char *name, const char *more,
                                    const mskp_family_rule *rule, mskp_error *err);

/* Refuses scores of NaN and -infinity. */
mskp_status mskpi_check_selectable(mskp_scores scores, mskp_error *err);

#endif

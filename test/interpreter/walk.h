/* What mskp_select must do, by the header's words. */
#ifndef INTERPRETER_WALK_H
#define INTERPRETER_WALK_H

#include "by_id/by_id.h"
#include "trial.h"

double *random_scores(trial *t);
mskp_rule random_rule(trial *t);

/* Smaller score first, ties by number. */
bool scored_before(const double *scores, uint32_t a, uint32_t b);

/* mskp_select against a slow walk through the units. Was there a solution? */
bool require_selected(trial *t, const double *scores, const mskp_rule *rule);

#endif

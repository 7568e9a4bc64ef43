/* What mskp_select must do, by the header's words. */
#ifndef INTERPRETER_WALK_H
#define INTERPRETER_WALK_H

#include "by_id/by_id.h"
#include "trial.h"

double *random_scores(trial *t);
mskp_rule random_rule(trial *t);

/* What the channels of a family are to be a multiple of. */
size_t round_of(const mskp_rule *rule, size_t family);

/* Smaller score first, ties by number. */
bool scored_before(const double *scores, uint32_t a, uint32_t b);

/* mskp_select against a slow walk through the units. Was there a solution? */
bool require_selected(trial *t, const double *scores, const mskp_rule *rule);

/* The blocks that units leave in, by the slow walk, on and on until nothing more may leave:
 * block[u] <- the number, from 1, of the block with which unit u leaves; 0: never. *named <- how
 * many of them threshold and remove_family_fraction name. Returns how many there are. */
size_t slow_blocks(trial *t, const double *scores, const mskp_rule *rule, size_t *block,
                   size_t *named);

/* Do the demands on amounts hold for this mask? By the model's costs. */
bool slow_amounts_hold(trial *t, const mskp_rule *rule, const uint8_t *keep);

#endif

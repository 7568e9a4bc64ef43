/* What the calls on penalties check alike. */
#ifndef MSKP_PENALTY_PENALTY_H
#define MSKP_PENALTY_PENALTY_H

#include <stdbool.h>

#include "mskp.h"
#include "penalty/elements.h"

/* Checks a penalty's target and roles. keep: the mask's flags, or NULL. */
mskp_status mskpi_check_targets(const mskp_penalty *penalty, const uint8_t *keep, mskp_error *err);

/* Checks what the caller asked for, and the lengths of the job's sets; and completes the job's
 * amount and roles. */
mskp_status mskpi_penalty_check_how(penalty_job *j, mskp_error *err);
/* Checks all that a call is about: also the mask, the given penalty (or NULL) and all views. */
mskp_status mskpi_penalty_check(penalty_job *j, mskp_mask keep, const mskp_penalty *given,
                                mskp_error *err);

/* Whether a parameter has a targeted slice. unit[d] <- the units of axis d if it has a targeted
 * slice, otherwise NULL. */
bool mskpi_penalty_targets(const penalty_job *j, uint32_t id, const uint32_t *unit[MSKP_MAX_DIMS]);
/* Into how many pieces the tensor of a parameter is divided. */
size_t mskpi_penalty_pieces(const mskp_graph *graph, uint32_t id);
/* Whether the caller's threads share the work: a sum has one order, and the caller's counters have
 * one writer. */
bool mskpi_penalty_divides(const penalty_job *j);
/* j->loops <- by what the processor has. */
void mskpi_penalty_choose_loops(penalty_job *j);

#endif

/* What the calls on penalties check alike. */
#ifndef MSKP_PENALTY_PENALTY_H
#define MSKP_PENALTY_PENALTY_H

#include "mskp.h"

/* Checks a penalty's target and roles. keep: the mask's flags, or NULL. */
mskp_status mskpi_check_targets(const mskp_penalty *penalty, const uint8_t *keep, mskp_error *err);

#endif

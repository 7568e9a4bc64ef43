/* A slow model of what vanishes under a mask (lib/mask/vanish.c), over the recipe. */
#ifndef INTERPRETER_VANISH_H
#define INTERPRETER_VANISH_H

#include "trial.h"

/* fate[nodes + 1] <- an mskp_fate, param[params + 1] <- whether the parameter vanishes, for a mask
 * that the library does not refuse. Returns false where a part of an operator vanishes whose parts
 * are no nodes (one layer of a recurrent network): the model does not say. */
bool net_vanish(const trial *t, const net *n, const mskp_graph *graph, const size_t *value,
                const uint8_t *keep, uint8_t *fate, bool *param);

#endif

/* What budgets measure, by the header's words. */
#ifndef INTERPRETER_BUDGETS_H
#define INTERPRETER_BUDGETS_H

#include "by_id/by_id.h"
#include "mskp/rules.h"
#include "trial.h"

/* A budget of any kind that the network can be measured by, with a limit below or above what the
 * whole network has. Numbers are such that no sum and no interpolation is rounded. */
mskp_budget random_budget(trial *t);

/* keep NULL: the whole network. */
double slow_budget(trial *t, const mskp_budget *budget, const uint8_t *keep);

/* Are all operators such that the model knows who reads what? n NULL: there is no recipe. */
bool knows_readers(const net *n);

/* The context of the callbacks that random_budget makes. */
typedef struct own_cost {
    size_t values, calls;
    size_t fail_at;      /* the call that returns NaN; 0: none */
    const double *price; /* of a channel of each value */
    bool rises;          /* also when channels leave */
} own_cost;

#endif

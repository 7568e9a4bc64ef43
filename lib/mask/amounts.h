/*
 * How much of a network is left while units are removed from it: channels in each list, costs, and
 * what the rule's budgets measure; and whether the rule's demands on amounts hold.
 */
#ifndef MSKP_MASK_AMOUNTS_H
#define MSKP_MASK_AMOUNTS_H

#include <stdbool.h>

#include "describe/graph.h"
#include "mask/budget.h"
#include "mask/vanish.h"
#include "mskp.h"
#include "units/units.h"

typedef struct term_state {
    uint64_t value;
    uint64_t stamp; /* the number of the change for which it was computed last */
} term_state;

typedef struct amounts {
    const mskp_graph *graph;
    const mskp_rule *rule;
    size_t *length; /* [lists] channels that stay */
    size_t removed; /* units */
    uint64_t macs, params;
    budget_state *budgets; /* [rule->nbudgets] */
    vanishing gone;        /* what has vanished at these lengths */
    term_state *terms;
    uint64_t changes;
    bool follows; /* a demand needs the sums over terms after each change, not only at the end */
} amounts;

/* Makes the amounts of the whole network. Checks the rule's budgets. mskpi_amounts_close frees what
 * was made, also after an error. */
mskp_status mskpi_amounts_open(amounts *a, const mskp_graph *graph, const mskp_rule *rule,
                               mskp_error *err);
void mskpi_amounts_close(amounts *a);

/* Makes them those of the network under a mask. */
void mskpi_amounts_set(amounts *a, const uint8_t *keep);
/* Removes n more units of a family. A list may become empty only if a branch vanishes with it. */
void mskpi_amounts_remove(amounts *a, size_t family, size_t n);
/* The costs, also where no demand needed them until now. */
mskp_cost mskpi_amounts_cost(amounts *a);

/* *met <- whether all demands on amounts hold. Budgets are measured in their order, up to the first
 * that does not hold. */
mskp_status mskpi_amounts_met(amounts *a, bool *met, mskp_error *err);

/* The first demand that does not hold, after mskpi_amounts_met has found one. */
typedef struct unmet_demand {
    size_t units;          /* that remove_fraction asks for; 0: the demand is a budget */
    char text[LABEL_SIZE]; /* "max_macs", "budgets[1] (latency)" */
    double limit, left;
    bool may_rise; /* fewer removed units may leave less */
} unmet_demand;
unmet_demand mskpi_amounts_unmet(const amounts *a);

/* Whether a budget can rise when a unit is removed. */
bool mskpi_amounts_may_rise(const mskp_rule *rule);

#endif

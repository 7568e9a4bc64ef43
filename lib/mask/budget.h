/* One budget of a rule, measured for given numbers of channels. */
#ifndef MSKP_MASK_BUDGET_H
#define MSKP_MASK_BUDGET_H

#include <stdbool.h>

#include "describe/graph.h"
#include "mask/vanish.h"
#include "mskp.h"
#include "mskp/rules.h"

/* Values that are alive at once: made at their own step, and freed after that of their last reader.
 */
typedef struct lifetimes {
    uint64_t *bytes; /* [values + 1] of one channel, at all positions */
    size_t *first;   /* [values + 2] where, in `freed`, the values begin that step v frees */
    uint32_t *freed; /* [values] */
} lifetimes;

typedef struct budget_state {
    const mskp_budget *budget;
    size_t number;    /* its place in the rule */
    double value;     /* what was measured last */
    uint64_t bytes;   /* of BYTES: the sum that amounts.c keeps up to date */
    lifetimes alive;  /* of ACTIVATIONS */
    size_t *channels; /* [values] of CALLBACK */
} budget_state;

/* Checks a budget, and makes what measuring it needs. *b is all 0 before. `gone` is of the whole
 * network, from which nothing has vanished, and `length` holds the lengths of its lists.
 * mskpi_budget_close frees what was made, also after an error. */
mskp_status mskpi_budget_open(budget_state *b, const vanishing *gone, const mskp_budget *budget,
                              size_t number, const size_t *length, mskp_error *err);
void mskpi_budget_close(const mskp_graph *graph, budget_state *b);

/* The bytes of one element of a parameter, for BYTES; 0 for other kinds. */
uint64_t mskpi_budget_element(const budget_state *b, uint32_t param);

/* b->value <- the amount at these lengths, where `gone` has vanished. Refuses NaN. */
mskp_status mskpi_budget_measure(budget_state *b, const vanishing *gone, const size_t *length,
                                 mskp_error *err);

/* "budgets[1] (latency)"; "budget (latency)" for ONLY_BUDGET. Returns buffer. */
enum { LABEL_SIZE = NAME_SIZE + 40 };
#define ONLY_BUDGET SIZE_MAX
const char *mskpi_budget_label(const mskp_budget *budget, size_t number, char buffer[LABEL_SIZE]);

#endif

/* Loops over adjacent floats or doubles, as wide as the processor computes. */
#ifndef MSKP_PENALTY_VECTORS_H
#define MSKP_PENALTY_VECTORS_H

#include <stdbool.h>

#include "mskp.h"

/*
 * to[i] <- what an operation makes of to[i], for i < n. No two of the arrays overlap.
 *   from    the values w, for gradients; otherwise NULL
 *   amount  of a run: one number; of a stripe: one for each element
 *   factor  mskpi_vector_factor of each amount; of operations that have none it is not read
 *   mask    of a stripe: -1, or 0: this element stays as it is, bit for bit
 *   knee    of smooth L1
 */
typedef void vector_loop(size_t n, void *to, const void *from, const double *amount,
                         const double *factor, const int32_t *mask, double knee);

/* What becomes of x, with an amount a. */
typedef enum vector_operation {
    ADD_L1,        /* x + a * sign(w) */
    ADD_SMOOTH_L1, /* x + a * (w / knee, or beyond the knee sign(w)) */
    ADD_L2,        /* x + a * w */
    SHRINK_L1,     /* the proximal maps, with the step a */
    SHRINK_SMOOTH_L1,
    SHRINK_L2,
    SCALE, /* x * a; +0 if a is 0 */
    CLEAR, /* +0 */
    VECTOR_OPERATIONS
} vector_operation;

/* The loops of one operation for one number format. */
typedef struct vector_loops {
    vector_loop *run, *stripe;
    vector_operation operation;
} vector_loops;

/* Whether an operation multiplies by a number that takes a division, and this number. In a stripe
 * it serves all elements with the same index, and a division takes as long as a dozen
 * multiplications. */
static inline bool mskpi_has_factor(vector_operation operation)
{
    return operation == SHRINK_SMOOTH_L1 || operation == SHRINK_L2;
}
static inline double mskpi_vector_factor(vector_operation operation, double amount, double knee)
{
    return operation == SHRINK_L2 ? 1 / (1 + amount) : knee / (knee + amount);
}

/* The loops for floats and for doubles; NULL: this build has none. */
const vector_loops *mskpi_vector_loops(vector_operation operation, bool doubles);

/* Whether this thread computes as vector loops assume: it keeps denormal numbers, and rounds to the
 * nearest number. */
bool mskpi_usual_arithmetic(void);

#endif

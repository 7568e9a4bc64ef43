/* Networks of another model of units, a script of the shared data: rebuilt from lists of channels
 * by the primitives alone. */
#ifndef INTERPRETER_ORACLE_H
#define INTERPRETER_ORACLE_H

#include "trial.h"

/* Compares `count` networks from `first` on. NULL, or why there is nothing to compare with. */
const char *oracle_compare(uint64_t first, size_t count);

/* The same for constants. Networks that differ on purpose are passed over. */
typedef struct oracle_tally {
    size_t networks, differ, channels, constants; /* channels that leave, of all values */
    size_t reports, exact, exact_networks;        /* of all ways */
} oracle_tally;
const char *oracle_compare_constants(uint64_t first, size_t count, oracle_tally *tally);

#endif

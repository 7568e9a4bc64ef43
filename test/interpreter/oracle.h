/* Networks of another model of units, a script of the shared data: rebuilt from lists of channels
 * by the primitives alone. */
#ifndef INTERPRETER_ORACLE_H
#define INTERPRETER_ORACLE_H

#include "trial.h"

/* Compares `count` networks from `first` on. NULL, or why there is nothing to compare with. */
const char *oracle_compare(uint64_t first, size_t count);

#endif

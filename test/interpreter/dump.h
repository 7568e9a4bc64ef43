/* What reads the oracle's dumps. */
#ifndef INTERPRETER_DUMP_H
#define INTERPRETER_DUMP_H

#include "trial.h"

#include <cJSON.h>

/* Each fails the test where the dump is not as it should be. */
const cJSON *dump_get(const cJSON *object, const char *name);
size_t dump_number(const cJSON *item);
size_t *dump_numbers(arena *mem, const cJSON *list, size_t *n);

/* Describes the network once more, by the library's operators, and compares units, kept lists and
 * costs: what the operators tie and bind is what the oracle says. */
void operators_compare(const cJSON *dump);

#endif

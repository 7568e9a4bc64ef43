/* What reads the oracle's dumps. */
#ifndef INTERPRETER_DUMP_H
#define INTERPRETER_DUMP_H

#include "trial.h"

#include "by_id/by_id.h"
#include <cJSON.h>

/* Each fails the test where the dump is not as it should be. */
const cJSON *dump_get(const cJSON *object, const char *name);
size_t dump_number(const cJSON *item);
size_t *dump_numbers(arena *mem, const cJSON *list, size_t *n);

/* A dumped network, described by the library's operators. */
typedef struct described {
    arena mem;
    mskp_graph *graph;
    const cJSON *dump;
    mskp_value *values; /* by the oracle's number */
    size_t nvalues;
} described;

/* Parameters have the ids of their places in the dump. What else is said before dump_finish is the
 * caller's. */
void dump_describe(described *d, const cJSON *dump);
void dump_finish(described *d);
/* All units must be the oracle's, in all values and parameters; the mask of those it removes. */
uint8_t *dump_keep(described *d);
void dump_end(described *d);

/* Each line of what python3 prints, if run with these arguments on `count` networks from `first`
 * on. NULL, or why that cannot be done here. */
const char *dump_each(const char *arguments, uint64_t first, size_t count,
                      void (*each)(const cJSON *dump, void *context), void *context);

/* Describes the network once more, by the library's operators, and compares units, kept lists and
 * costs: what the operators tie and bind is what the oracle says. */
void operators_compare(const cJSON *dump);

#endif

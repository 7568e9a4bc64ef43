/* The table at the end of a job: the dense network, the pruned network, and accuracies. */
#ifndef COMMON_TABLE_H
#define COMMON_TABLE_H

#include "progress.h"

typedef struct table_pair {
    const char *name;
    double dense, pruned;
} table_pair;

typedef struct table_part {
    const char *name;
    double part; /* in [0, 1]; NaN if it was not measured, which prints no line */
} table_part;

void table_print(progress *p, size_t pairs, const table_pair *pair, size_t parts,
                 const table_part *part);

#endif

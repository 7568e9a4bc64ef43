#include "table.h"

#include <math.h>
#include <stdio.h>

void table_print(progress *p, size_t pairs, const table_pair *pair, size_t parts,
                 const table_part *part)
{
    char line[160];
    snprintf(line, sizeof line, "\n%-30s %12s %12s %9s", "", "dense", "pruned", "ratio");
    progress_print(p, false, line);
    for (size_t i = 0; i < pairs; i++) {
        snprintf(line, sizeof line, "%-30s %12.0f %12.0f %9.3f", pair[i].name, pair[i].dense,
                 pair[i].pruned, pair[i].pruned / pair[i].dense);
        progress_print(p, false, line);
    }
    snprintf(line, sizeof line, "%-30s %12s", "accuracy on the test set", "%");
    progress_print(p, false, line);
    for (size_t i = 0; i < parts; i++) {
        if (isnan(part[i].part)) continue;
        snprintf(line, sizeof line, "%-30s %12.2f", part[i].name, 100 * part[i].part);
        progress_print(p, false, line);
    }
}

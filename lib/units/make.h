/* The parts of a unit table, in the order in which they are made: each uses those before it. */
#ifndef MSKP_UNITS_MAKE_H
#define MSKP_UNITS_MAKE_H

#include <stdbool.h>

#include "base/memory.h"
#include "base/status.h"
#include "units/units.h"

/* Numbers the units, and notes for each when it can be removed exactly. */
mskp_status mskpi_number_units(mskp_graph *graph, unit_table *u, mskp_error *err);
/* Finds the distinct lists of units, and notes the list of each value and axis in the graph. */
mskp_status mskpi_make_lists(mskp_graph *graph, unit_table *u, mskp_error *err);
/* Takes back exactness where a custom operator reads what is tied to the channels of its axis. */
void mskpi_restrict_exact(const mskp_graph *graph, unit_table *u);
/* Finds the families, and their incidences. */
mskp_status mskpi_make_families(const mskp_graph *graph, unit_table *u, mskp_error *err);
/* Finds the slices of each unit. */
mskp_status mskpi_make_members(const mskp_graph *graph, unit_table *u, mskp_error *err);
/* Finds which operators tied or pinned the channels of each value. */
mskp_status mskpi_make_freedom(const mskp_graph *graph, unit_table *u, mskp_error *err);
/* Finds the terms of the network's cost. */
mskp_status mskpi_make_terms(const mskp_graph *graph, unit_table *u, mskp_error *err);

/* Fills *err and returns MSKP_ERROR_NO_MEMORY. */
static inline mskp_status mskpi_no_units(const mskp_graph *graph, mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while finishing a graph of %zu channels",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY), graph->nchannels);
}

/* Whether a comes before b among the members of a unit: by parameter, axis and index. */
static inline bool mskpi_is_before(const mskp_member *a, const mskp_member *b)
{
    if (a->param.id != b->param.id) return a->param.id < b->param.id;
    return a->axis != b->axis ? a->axis < b->axis : a->index < b->index;
}

/* first[i] <- the sum of first[0 .. i], for i <= n, at most SIZE_MAX. A counting sort counts the
 * elements of part i in first[i + 1], so first[i] is then where part i begins. */
static inline void mskpi_prefix_sum(size_t *first, size_t n)
{
    for (size_t i = 0; i < n; i++) first[i + 1] = mskpi_sum(first[i + 1], first[i]);
}

#endif

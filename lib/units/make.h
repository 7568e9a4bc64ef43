/* The arrays of a unit table, in the order in which they are made. Not 0: no memory. */
#ifndef MSKP_UNITS_MAKE_H
#define MSKP_UNITS_MAKE_H

#include "units/units.h"

int mskpi_number_units(mskp_graph *graph, unit_table *u);
int mskpi_make_lists(mskp_graph *graph, unit_table *u);
int mskpi_make_families(const mskp_graph *graph, unit_table *u);
int mskpi_make_members(const mskp_graph *graph, unit_table *u);
int mskpi_make_freedom(const mskp_graph *graph, unit_table *u);
mskp_status mskpi_make_terms(const mskp_graph *graph, unit_table *u, mskp_error *err);

/* Turns counts at [i + 1] into starts at [i]. */
static inline void mskpi_prefix_sum(size_t *first, size_t n)
{
    for (size_t i = 0; i < n; i++) first[i + 1] += first[i];
}

#endif

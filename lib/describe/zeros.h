/* Zero tables: once which slices are zero is a channel zero? */
#ifndef MSKP_DESCRIBE_ZEROS_H
#define MSKP_DESCRIBE_ZEROS_H

#include "mskp.h"
#include "mskp/operators.h"

/* One bit for each set of the roles FILTER, CONSUMER, SCALE and SHIFT: bit r is set if a statement
 * holds once the slices in the roles of set r are zero. The statements combine as their tables do:
 * "and" is &, "or" is |. ZERO_FILTER is "the slices in role FILTER are zero", which holds for each
 * set that contains FILTER, and so on. */
typedef uint16_t zero_table;
#define ZERO_NEVER    ((zero_table)0)
#define ZERO_ALWAYS   ((zero_table)0xffff)
#define ZERO_FILTER   ((zero_table)0xaaaa)
#define ZERO_CONSUMER ((zero_table)0xcccc)
#define ZERO_SCALE    ((zero_table)0xf0f0)
#define ZERO_SHIFT    ((zero_table)0xff00)

/* The table of one channel of a value. */
zero_table mskpi_zero(const mskp_graph *graph, uint32_t value, size_t channel);

/* Gives all channels of a value the same table. */
void mskpi_zero_all(mskp_graph *graph, uint32_t value, zero_table zero);
/* Gives the channels of a value the tables of the same channels of another value. */
void mskpi_zero_same(mskp_graph *graph, uint32_t value, uint32_t from);
/* Gives each channel of a value its own table: *zero <- an array for them, which the operator fills
 * in. Then it must call mskpi_zero_filled, and no other function of this file in between but
 * mskpi_zero. */
mskp_status mskpi_zero_each(mskp_graph *graph, uint32_t value, zero_table **zero);
void mskpi_zero_filled(mskp_graph *graph, uint32_t value);

/* Notes that an operator reads the value's channels linearly, through slices in role CONSUMER. */
void mskpi_mark_consumed(mskp_graph *graph, uint32_t value);
/* Notes that the operator of value `by` has statistics over several of the value's channels, so
 * the removal of one changes what becomes of the others. */
void mskpi_mark_inexact(mskp_graph *graph, uint32_t value, uint32_t by);

#endif

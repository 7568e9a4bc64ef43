/* Zero tables: when is a channel zero? */
#ifndef MSKP_DESCRIBE_ZEROS_H
#define MSKP_DESCRIBE_ZEROS_H

#include "mskp.h"
#include "mskp/operators.h"

/* By set of roles (FILTER, CONSUMER, SCALE, SHIFT: 16 sets): bit r is set if something holds once
 * the slices of these roles r are zero. */
typedef uint16_t zero_table;
#define ZERO_NEVER    ((zero_table)0)
#define ZERO_ALWAYS   ((zero_table)0xffff)
#define ZERO_FILTER   ((zero_table)0xaaaa)
#define ZERO_CONSUMER ((zero_table)0xcccc)
#define ZERO_SCALE    ((zero_table)0xf0f0)
#define ZERO_SHIFT    ((zero_table)0xff00)

zero_table mskpi_zero(const mskp_graph *graph, uint32_t value, size_t channel);
/* The same for all channels of a value. */
void mskpi_zero_all(mskp_graph *graph, uint32_t value, zero_table zero);
/* One for each channel, to be filled in; NULL: no memory. Then mskpi_zero_filled. */
zero_table *mskpi_zero_each(mskp_graph *graph, uint32_t value);
void mskpi_zero_filled(mskp_graph *graph, uint32_t value);
/* Channel i of a value is channel i of another. */
void mskpi_zero_same(mskp_graph *graph, uint32_t value, uint32_t from);
/* Something that is linear in these channels, by consumer slices of weights, reads them. */
void mskpi_read(mskp_graph *graph, uint32_t value);
/* They may leave, but not without a trace. */
void mskpi_inexact(mskp_graph *graph, uint32_t value, uint32_t by);

#endif

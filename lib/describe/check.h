/* Checks that several operators share. Each refuses with a sentence that begins with the operator's
 * label (mskpi_label). */
#ifndef MSKP_DESCRIBE_CHECK_H
#define MSKP_DESCRIBE_CHECK_H

#include <stdbool.h>

#include "describe/graph.h"
#include "mskp/operators.h"

/* Refuses a description that is NULL. */
mskp_status mskpi_check_desc(mskp_graph *graph, const char *label, const void *desc);

/* Refuses a flag other than 0 and 1. `name` is the argument's name. */
mskp_status mskpi_check_flag(mskp_graph *graph, const char *label, const char *name, uint32_t flag);

/* The length of an axis of a parameter of this graph. */
size_t mskpi_length(const mskp_graph *graph, mskp_param p, uint32_t axis);

/* Refuses a parameter that has not `ndim` axes of these lengths; a length of 0 allows any. Handle
 * {0} is accepted, as an optional parameter that is not given. `what` is the operator's word for
 * the parameter. */
mskp_status mskpi_check_param(mskp_graph *graph, const char *label, const char *what, mskp_param p,
                              uint32_t ndim, const size_t *shape);
/* The same for a parameter with one axis, of this many channels. */
mskp_status mskpi_check_vector(mskp_graph *graph, const char *label, const char *what, mskp_param p,
                               size_t channels);

/* Refuses numbers that are given for spatial axes which the input does not have. given[k] is an
 * array of MSKP_MAX_SPATIAL numbers, all of which may be 0 beyond axis nspatial. */
mskp_status mskpi_check_beyond_axes(mskp_graph *graph, const char *label, uint32_t nspatial,
                                    size_t n, const size_t *const *given);

/* Whether a window fits on an axis of length `in` with these pads. If so, *out <- the number of its
 * positions: (in + before + after - dilation * (size - 1) - 1) / stride + 1, where ceil_mode rounds
 * the quotient up unless the last window would begin in the pad at the end. */
bool mskpi_window_fits(size_t in, size_t before, size_t after, size_t size, size_t dilation,
                       size_t stride, bool ceil_mode, size_t *out);

#endif

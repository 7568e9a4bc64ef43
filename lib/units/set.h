/* Sets of tensors, checked against a graph. */
#ifndef MSKP_UNITS_SET_H
#define MSKP_UNITS_SET_H

#include "base/view.h"

/* Whatever the set says of a parameter's tensor, here or not: does it fit? *view <- its view, if
 * something is said. */
mskp_status mskpi_check_tensor(const mskp_graph *graph, uint32_t id, const char *set,
                             mskp_tensors tensors, tensor_view *view, mskp_error *err);

/* The view of a parameter's tensor in a set that is to be computed with. `set` is for sentences. */
mskp_status mskpi_number_view(const mskp_graph *graph, uint32_t id, const char *set,
                              mskp_tensors tensors, tensor_view *view, mskp_error *err);

/* MSKP_ERROR_BAD_NUMBER, of the element at `at`: "bn1.bias: element 3 is nan". */
mskp_status mskpi_refuse_number(const mskp_graph *graph, uint32_t id, const tensor_view *v,
                             const char *at, mskp_error *err);

#endif

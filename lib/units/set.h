/* Sets of tensors, checked against a graph. */
#ifndef MSKP_UNITS_SET_H
#define MSKP_UNITS_SET_H

#include "base/view.h"

/* Functions below take a set's name for sentences: "gradients". */

/* *view <- the view of a parameter's tensor in a set. Refuses a tensor whose shape, strides or
 * number of elements do not fit, whether its data is there or not. A tensor with all fields 0 fits,
 * and leaves *view unchanged. */
mskp_status mskpi_check_tensor(const mskp_graph *graph, uint32_t param, const char *set,
                               mskp_tensors tensors, tensor_view *view, mskp_error *err);

/* The same for a tensor whose elements must be read or written as numbers. Refuses tensors without
 * data, and those of other dtypes. */
mskp_status mskpi_number_view(const mskp_graph *graph, uint32_t param, const char *set,
                              mskp_tensors tensors, tensor_view *view, mskp_error *err);

/* Refuses the number at address `at`, which is not finite: "bn1.bias (values): element 3 is NaN".
 */
mskp_status mskpi_refuse_number(const mskp_graph *graph, uint32_t param, const char *set,
                                const tensor_view *v, const char *at, mskp_error *err);

#endif

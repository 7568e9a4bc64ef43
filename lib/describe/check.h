/* What all operators check. */
#ifndef MSKP_DESCRIBE_CHECK_H
#define MSKP_DESCRIBE_CHECK_H

#include "describe/graph.h"
#include "mskp/operators.h"

/* The value that enters an operator, by copy: the arrays of a graph move while it grows. 1 after a
 * sentence. */
int mskpi_enter(mskp_graph *graph, const char *who, mskp_value in, graph_value *v);
size_t mskpi_length(const mskp_graph *graph, mskp_param p, uint32_t axis);
/* A parameter with so many axes, of these lengths (0: any). {0} is fine if it is optional. */
int mskpi_check_param(mskp_graph *graph, const char *who, const char *what, mskp_param p,
                      uint32_t ndim, const size_t *shape);
int mskpi_described(mskp_graph *graph, const char *who, const void *desc);

int mskpi_check_vector(mskp_graph *graph, const char *who, const char *what, mskp_param p,
                       size_t channels);

/* What is said of spatial axes must be said of axes that are there. 1 after a sentence. */
int mskpi_beyond_axes(mskp_graph *graph, const char *who, uint32_t nspatial, size_t n,
                      const size_t *const *given);

/* out = (in + before + after - dilation * (size - 1) - 1) / stride + 1; 1 if there is no
 * such size. */
int mskpi_window(size_t in, size_t before, size_t after, size_t size, size_t dilation,
                 size_t stride, int ceil_mode, size_t *out);

#endif

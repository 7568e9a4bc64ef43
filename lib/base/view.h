/* Tensor views, without knowledge of a graph. */
#ifndef MSKP_BASE_VIEW_H
#define MSKP_BASE_VIEW_H

#include "mskp.h"

/* A complete view, and the range of addresses that it spans. */
typedef struct tensor_view {
    char *data;
    char *low;      /* the lowest address */
    size_t extent;  /* bytes from low to the end of the highest element */
    size_t element; /* bytes of one element */
    mskp_dtype dtype;
    uint32_t ndim;
    size_t shape[MSKP_MAX_DIMS];
    ptrdiff_t stride[MSKP_MAX_DIMS]; /* in elements */
    uint32_t order[MSKP_MAX_DIMS];   /* the axes by |stride|, largest first */
} tensor_view;

/* *out <- the complete view of a tensor, checked against the shape that it must have. `name` is the
 * tensor's name for sentences. tensor->data may be NULL. */
mskp_status mskpi_view(const mskp_tensor *tensor, const char *name, uint32_t ndim,
                       const size_t *shape, tensor_view *out, mskp_error *err);
/* The same, with sentences that also name the tensor's set: "gamma (gradients): ...". */
mskp_status mskpi_view_in(const mskp_tensor *tensor, const char *name, const char *set,
                          uint32_t ndim, const size_t *shape, tensor_view *view, mskp_error *err);
/* Refuses a set that is NULL, or that has not exactly one view for each of `params` parameters. */
mskp_status mskpi_check_set(mskp_tensors set, const char *name, size_t params, mskp_error *err);

/* The indices of the element at address `at`, on all axes: "3", or "3,0,1,1". Returns buffer. */
enum { INDEX_SIZE = 21 * MSKP_MAX_DIMS };
const char *mskpi_index_text(const tensor_view *v, const char *at, char buffer[INDEX_SIZE]);

/* The number of elements of a view. */
size_t mskpi_elements(const tensor_view *v);
/* *t <- the view as a caller's tensor. t->elements is set unless it is 0, which stays so. */
void mskpi_describe_view(const tensor_view *v, mskp_tensor *t);

/* run_axes[d] <- 1 if the axes d .. ndim-1 are one run in each of the n views; otherwise 0.
 * run_axes[ndim] is 1. */
void mskpi_runs(const tensor_view *const *views, size_t n, uint32_t ndim, uint8_t *run_axes);
/* The stride, in elements, of the run of axes axis .. ndim-1. */
ptrdiff_t mskpi_run_step(const tensor_view *v, uint32_t axis);

#endif

/* Tensor views, without knowledge of a graph. */
#ifndef MSKP_BASE_VIEW_H
#define MSKP_BASE_VIEW_H

#include "mskp.h"

/* A complete view with its address range. */
typedef struct tensor_view {
    char *data;
    char *low;     /* lowest address */
    size_t extent; /* bytes from low to the end of the highest element */
    size_t element;
    mskp_dtype dtype;
    uint32_t ndim;
    size_t shape[MSKP_MAX_DIMS];
    ptrdiff_t stride[MSKP_MAX_DIMS]; /* elements */
    uint32_t order[MSKP_MAX_DIMS];   /* axes by |stride|, largest first */
} tensor_view;

/* Completes and checks a tensor that has data against the shape that it must have. */
mskp_status mskpi_view(const mskp_tensor *tensor, const char *name, uint32_t ndim,
                       const size_t *shape, tensor_view *out, mskp_error *err);

/* Refuses a set that is NULL, or that has not one view for each of `params` parameters. */
mskp_status mskpi_check_set(mskp_tensors set, const char *name, size_t params, mskp_error *err);
/* mskpi_view, whose sentence says which set the tensor is of: "gamma (gradients): ...". */
mskp_status mskpi_view_in(const mskp_tensor *tensor, const char *name, const char *set,
                          uint32_t ndim, const size_t *shape, tensor_view *view, mskp_error *err);

/* Where the element at `at` stands: "3", or "3,0,1,1" where there are several axes. */
enum { INDEX_ROOM = 21 * MSKP_MAX_DIMS };
const char *mskpi_index_text(const tensor_view *v, const char *at, char room[INDEX_ROOM]);

size_t mskpi_elements(const tensor_view *v);
/* The view as the host has it. Where t->elements is 0, it stays so. */
void mskpi_describe_view(const tensor_view *v, mskp_tensor *t);
/* run_axes[d] <- 1 if axes d .. ndim-1 are one run in each of the n views; [ndim] is 1. */
void mskpi_runs(const tensor_view *const *views, size_t n, uint32_t ndim, uint8_t *run_axes);
/* Elements from one of such a run to the next. */
ptrdiff_t mskpi_run_step(const tensor_view *v, uint32_t axis);

#endif

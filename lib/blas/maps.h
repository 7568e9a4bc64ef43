/* Feature maps: what the methods that read them have in common. */
#ifndef MSKP_BLAS_MAPS_H
#define MSKP_BLAS_MAPS_H

#include "base/view.h"
#include "blas/rows.h"
#include "mskp.h"
#include "mskp/tools.h"

/* One batch of a value's activations, [images][channels][...], and its numbers. */
typedef struct map_batch {
    mskp_services services;
    const char *what; /* the method, for sentences */
    tensor_view view;
    size_t channels, positions;
    double *sum; /* [channels] */
} map_batch;

/* *b <- the batch, checked, with sums of 0. It must have `least` to `most` axes. */
mskp_status mskpi_begin_maps(map_batch *b, const char *what, const mskp_services *services,
                             const mskp_tensor *maps, uint32_t least, uint32_t most, size_t n,
                             const double *channel, mskp_error *err);
/* If the status is MSKP_OK, channel[] += the batch's sums. Frees these, and returns the status. */
mskp_status mskpi_end_maps(map_batch *b, mskp_status status, double *channel, mskp_error *err);

/* Returns memory for a matrix of n numbers, or NULL. It is longer than that: OpenBLAS's kernels for
 * Core 2 and Prescott, which it also takes for processors that it does not know, read the number
 * behind a matrix (dgemv_n of version 0.3.21). */
double *mskpi_matrix(const map_batch *b, size_t n);

/* The maps of one image as the rows of a matrix. */
row_view mskpi_image(const map_batch *b, size_t image);

/* These refuse the element at an address, which is not finite; maps for which there is no memory;
 * lengths that LAPACK cannot count; maps of an image for which LAPACK found no singular values. */
mskp_status mskpi_refuse_element(const map_batch *b, const char *at, mskp_error *err);
mskp_status mskpi_refuse_memory(const map_batch *b, mskp_error *err);
mskp_status mskpi_refuse_length(const map_batch *b, size_t rows, size_t columns, mskp_error *err);
mskp_status mskpi_refuse_image(const map_batch *b, size_t image, mskp_error *err);

#endif

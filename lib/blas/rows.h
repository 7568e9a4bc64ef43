/* A tensor as a matrix of doubles: one axis is the row, all others are flattened. */
#ifndef MSKP_BLAS_ROWS_H
#define MSKP_BLAS_ROWS_H

#include "base/view.h"
#include "mskp.h"
#include "mskp/tools.h"

/* The columns are all axes but `axis`, in the order of their addresses. A group of axes through
 * which one stride leads has become one axis. */
typedef struct row_view {
    const char *data;
    mskp_dtype dtype;
    size_t rows, columns;
    ptrdiff_t row_step; /* in bytes, as the steps below */
    uint32_t ndim;      /* at least 1 */
    size_t length[MSKP_MAX_DIMS];
    ptrdiff_t step[MSKP_MAX_DIMS];
} row_view;
row_view mskpi_rows(const tensor_view *v, uint32_t axis);

/* to[] <- columns first .. first + n - 1 of one row, times `factor`. */
void mskpi_read_row(const row_view *r, size_t row, size_t first, size_t n, double factor,
                    double *to);
/* Returns the largest |element| of one row, or a negative number and *bad <- the address of an
 * element that is not finite. */
double mskpi_row_size(const row_view *r, size_t row, const char **bad);

/* Numbers whose largest magnitude is `size` are scaled by 2^-exponent, so that their squares can
 * neither overflow nor all vanish. Returns the exponent. */
int mskpi_scale_of(double size);

#endif

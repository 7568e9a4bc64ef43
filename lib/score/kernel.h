/* The inner loops of sums over slices, as this processor runs them fastest. */
#ifndef MSKP_SCORE_KERNEL_H
#define MSKP_SCORE_KERNEL_H

#include <math.h>
#include <stddef.h>

/* What is summed: of elements w of the values, and, in products, g of a second set. */
typedef enum slice_term {
    SLICE_MAGNITUDES,         /* |w| */
    SLICE_SQUARES,            /* w^2 */
    SLICE_PRODUCT,            /* w g; this and what follows are the products */
    SLICE_PRODUCT_MAGNITUDES, /* |w g| */
    SLICE_PRODUCT_SQUARES     /* (w g)^2 */
} slice_term;
enum { SLICE_TERMS = SLICE_PRODUCT_SQUARES + 1 };

/* The term of one element; g is ignored unless the term is a product. */
static inline double mskpi_term(double w, double g, slice_term term)
{
    const double x = term >= SLICE_PRODUCT ? w * g : w;
    if (term == SLICE_PRODUCT) return x;
    return term == SLICE_SQUARES || term == SLICE_PRODUCT_SQUARES ? x * x : fabs(x);
}

/* So many partial sums go side by side. */
enum { LANES = 8 };

/* The formats of elements; kernels know those of one format at a time. */
typedef enum kernel_format { DOUBLES, FLOATS, HALVES, BFLOATS } kernel_format;
enum { FORMATS = BFLOATS + 1 };

/*
 * Adds the terms of n elements that lie side by side: that of element k to sum[k % period], in the
 * order of k, and to place[k]. `g` is read for products alone. `period` is a multiple of LANES. No
 * two of the arrays overlap.
 */
typedef void kernel_add(const void *w, const void *g, size_t n, double *sum, size_t period,
                        double *place);
/* to[0 .. n-1] <- n elements that lie side by side. */
typedef void kernel_load(const void *from, size_t n, double *to);

/* Of floats and bfloats, they may take denormal ones for 0, if the caller's floating-point mode
 * does. */
typedef struct kernels {
    kernel_add *add[FORMATS][SLICE_TERMS]; /* NULL: there is none, halves and bfloats are loaded */
    kernel_load *load[FORMATS];            /* NULL for DOUBLES */
} kernels;

extern const kernels mskpi_kernels_avx512; /* if PROCESSOR_WIDE */

/* Those for this processor. All give the same bits. */
const kernels *mskpi_kernels(void);

#endif

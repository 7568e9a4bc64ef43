/* What lib/blas calls of OpenBLAS: CBLAS by its header, LAPACK by the names of its symbols, since
 * Debian's OpenBLAS has no LAPACKE. A Fortran compiler appends the lengths of strings to the
 * arguments, and a LAPACK that was translated to C ignores them. */
#ifndef MSKP_BLAS_OPENBLAS_H
#define MSKP_BLAS_OPENBLAS_H

#include <cblas.h>
#include <stddef.h>

/* A = Q R. Matrices are stored by columns. With lwork -1, work[0] <- the size of work. */
void dgeqrf_(const blasint *m, const blasint *n, double *a, const blasint *lda, double *tau,
             double *work, const blasint *lwork, blasint *info);
/* A = U diag(s) V^T. jobz "N": s alone; "S": also the first min(m, n) columns of U and V. */
void dgesdd_(const char *jobz, const blasint *m, const blasint *n, double *a, const blasint *lda,
             double *s, double *u, const blasint *ldu, double *vt, const blasint *ldvt,
             double *work, const blasint *lwork, blasint *iwork, blasint *info, size_t jobz_length);

#endif

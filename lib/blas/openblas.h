/*
 * What lib/blas calls of BLAS and LAPACK, by the names that a Fortran compiler gives them. OpenBLAS
 * has them all, and so has any other BLAS with a LAPACK. No header is needed: Debian's OpenBLAS has
 * none for LAPACK. Integers have 32 bits, as they have in each library that pkg-config calls
 * openblas; builds with 64 bits have other names for it and for their symbols.
 *
 * Matrices are stored by columns, with ld elements from one column to the next. The size_t at the
 * end are the lengths of the strings; a LAPACK that was translated to C ignores them. Where lwork
 * is -1, work[0] <- the length that work should have, and nothing else is done.
 */
#ifndef MSKP_BLAS_OPENBLAS_H
#define MSKP_BLAS_OPENBLAS_H

#include <stddef.h>
#include <stdint.h>

typedef int32_t blas_int;

/* C <- alpha A^T A + beta C, for uplo "U", trans "T" and A of k x n: the upper triangle of C. */
void dsyrk_(const char *uplo, const char *trans, const blas_int *n, const blas_int *k,
            const double *alpha, const double *a, const blas_int *lda, const double *beta,
            double *c, const blas_int *ldc, size_t, size_t);
/* C <- alpha A^T B + beta C, for transa "T", transb "N", A of k x m and B of k x n. */
void dgemm_(const char *transa, const char *transb, const blas_int *m, const blas_int *n,
            const blas_int *k, const double *alpha, const double *a, const blas_int *lda,
            const double *b, const blas_int *ldb, const double *beta, double *c,
            const blas_int *ldc, size_t, size_t);

/* A = Q R; R takes the place of the upper triangle of A. */
void dgeqrf_(const blas_int *m, const blas_int *n, double *a, const blas_int *lda, double *tau,
             double *work, const blas_int *lwork, blas_int *info);
/* A = U diag(s) V^T. jobz "N": s alone; "S": also the first min(m, n) columns of U and V. */
void dgesdd_(const char *jobz, const blas_int *m, const blas_int *n, double *a, const blas_int *lda,
             double *s, double *u, const blas_int *ldu, double *vt, const blas_int *ldvt,
             double *work, const blas_int *lwork, blas_int *iwork, blas_int *info, size_t);

#endif

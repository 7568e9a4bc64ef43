/*
 * Sums that do not depend on their order.
 *
 * Floating-point addition is not associative, so a sum over ranks depends on how many there are and
 * on how the implementation of MPI adds. Integers can be added in any order. For each block of 1024
 * numbers:
 *
 *     e    the smallest exponent with |x| < 2^e for all numbers of the block in all parts
 *     q    e + (the bits of the number of parts) - 62: the exponent of the unit
 *     sum  the sum of the numbers in units of 2^q, each rounded to a whole number
 *
 * No sum reaches 2^62, so no integer overflows. A float has 24 bits, so numbers of a block are
 * rounded only if they are smaller than the largest by a factor of 2^37 / parts or more. All that
 * the result depends on, e and the rounded numbers, does not depend on the ranks.
 *
 * The exponents are known before the first number is sent: one all-reduce of 4 bytes for each
 * block, and then one of 8 bytes for each number.
 */
#include "internal.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 1024, NO_EXPONENT = INT_MIN };

static size_t blocks_of(size_t n)
{
    return n / BLOCK + (n % BLOCK != 0);
}

static size_t end_of(size_t block, size_t n)
{
    return n - block * BLOCK < BLOCK ? n : (block + 1) * BLOCK;
}

/* 2^q. Exponents of floats are -148 to 128, so q fits a double, and so does -q. */
static double unit_of(int exponent, int bits)
{
    return exponent == NO_EXPONENT ? 1 : ldexp(1, exponent + bits - 62);
}

/* Memory for n numbers and their blocks, kept from call to call. */
static mskp_status get_room(mskp_mpi *mpi, size_t n, int64_t **number, int **exponent,
                            mskp_error *error)
{
    const size_t bytes =
        n <= SIZE_MAX / 32 ? n * sizeof **number + blocks_of(n) * sizeof **exponent : SIZE_MAX;
    if (bytes > mpi->room_bytes) {
        void *room = mskpmpi_get(mpi, bytes, 1);
        if (!room) return mskpmpi_no_memory(error, "numbers", n);
        mskpmpi_free(mpi, mpi->room);
        mpi->room = room;
        mpi->room_bytes = bytes;
    }
    *number = mpi->room;
    *exponent = (int *)(*number + n);
    return MSKP_OK;
}

/* exponent[b] <- of the largest number of block b in this rank's parts. */
static mskp_status find_exponents(size_t parts, const float *const *part, size_t n, int *exponent,
                                  mskp_error *error)
{
    for (size_t b = 0; b < blocks_of(n); b++) {
        const size_t end = end_of(b, n);
        float most = 0;
        int e;
        for (size_t k = 0; k < parts; k++)
            for (size_t i = b * BLOCK; i < end; i++) {
                const float x = fabsf(part[k][i]);
                if (!(x <= most)) most = x; /* NaN, too */
                if (!isfinite(most))
                    return mskpmpi_fail(error, MSKP_ERROR_BAD_NUMBER, "part %zu[%zu] is %g", k, i,
                                        (double)part[k][i]);
            }
        (void)frexp((double)most, &e);
        exponent[b] = most > 0 ? e : NO_EXPONENT;
    }
    return MSKP_OK;
}

static mskp_status add_up(mskp_mpi *mpi, size_t parts, const float *const *part, size_t n,
                          float *sum, mskp_error *error)
{
    int64_t *number = mpi->room;
    int *exponent = (int *)(number + n), bits = 0;
    uint64_t all = parts;
    mskp_status status = mskpmpi_reduce(mpi, 1, &all, MPI_UINT64_T, MPI_SUM, error);
    if (!status) status = mskpmpi_reduce(mpi, blocks_of(n), exponent, MPI_INT, MPI_MAX, error);
    if (status) return status;
    while (all >> bits) bits++;
    for (size_t b = 0; b < blocks_of(n); b++) {
        const double unit = unit_of(exponent[b], bits), scale = 1 / unit; /* powers of two */
        const size_t end = end_of(b, n);
        for (size_t i = b * BLOCK; i < end; i++) number[i] = 0;
        for (size_t k = 0; k < parts; k++)
            for (size_t i = b * BLOCK; i < end; i++)
                number[i] += (int64_t)rint((double)part[k][i] * scale);
    }
    status = mskpmpi_reduce(mpi, n, number, MPI_INT64_T, MPI_SUM, error);
    for (int write = 0; !status && write < 2; write++) /* first look, then write */
        for (size_t i = 0; i < n; i++) {
            const float x = (float)((double)number[i] * unit_of(exponent[i / BLOCK], bits));
            if (isinf(x)) /* all ranks see it */
                return mskpmpi_fail(error, MSKP_ERROR_BAD_NUMBER,
                                    "no float can hold the sum of number %zu", i);
            if (write) sum[i] = x;
        }
    return status;
}

static mskp_status check_part(size_t k, const float *part, size_t n, const float *sum,
                              mskp_error *error)
{
    char name[40];
    if (!part) return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "part %zu is NULL", k);
    if (part == sum) return MSKP_OK;
    (void)snprintf(name, sizeof name, "part %zu", k);
    return mskpmpi_check_apart((call_array){"sum", sum, n * sizeof *sum},
                               (call_array){name, part, n * sizeof *part}, error);
}

mskp_status mskp_mpi_sum(mskp_mpi *mpi, size_t parts, const float *const *part, size_t n,
                         float *sum, mskp_error *err)
{
    mskp_error error = {0};
    int64_t *number = NULL;
    int *exponent = NULL;
    mskp_status status = mskpmpi_check_open(mpi, err);
    if (status) return status;
    if (parts && !part) status = mskpmpi_fail(&error, MSKP_ERROR_BAD_ARGUMENT, "part is NULL");
    if (!status && n && !sum) status = mskpmpi_fail(&error, MSKP_ERROR_BAD_ARGUMENT, "sum is NULL");
    for (size_t k = 0; !status && n && k < parts; k++)
        status = check_part(k, part[k], n, sum, &error);
    if (!status) status = get_room(mpi, n, &number, &exponent, &error);
    if (!status) status = find_exponents(parts, part, n, exponent, &error);
    const call_field field = {"the number of numbers is", FIELD_COUNT, MSKP_ERROR_BAD_ARGUMENT, n};
    status = mskpmpi_enter(mpi, CALL_SUM, 1, &field, status, &error);
    if (!status) status = add_up(mpi, parts, part, n, sum, &error);
    return mskpmpi_return(status, &error, err);
}

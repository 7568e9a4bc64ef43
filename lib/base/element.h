/* Elements of tensors as numbers. */
#ifndef MSKP_BASE_ELEMENT_H
#define MSKP_BASE_ELEMENT_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "mskp.h"

/* The bytes of one element; 0 if there is no such dtype. */
size_t mskpi_element_size(mskp_dtype dtype);
/* The name of a dtype in sentences: "F32". */
const char *mskpi_dtype_name(mskp_dtype dtype);

/* Whether elements of this dtype are numbers, which the library can compute with. Elements of the
 * other dtypes are only moved. */
bool mskpi_is_number(mskp_dtype dtype);

/* Reads or writes one element of any dtype of numbers, in every floating-point mode. Neither
 * address needs to be aligned. */
double mskpi_load_any(const char *from, mskp_dtype dtype);
void mskpi_store_any(char *to, mskp_dtype dtype, double x);

/* Writes one element of half precision, rounded to one of the two neighbours of x: to the one that
 * is farther from 0 if `random`, in [0, 1), is less than the distance of x from the other one,
 * divided by the distance between the two. So the mean over uniform random numbers is x. Where one
 * neighbour is infinite, the nearer one is taken. */
void mskpi_store_random(char *to, mskp_dtype dtype, double x, double random);

/* The first two functions for inner loops, where most tensors hold floats. A denormal float is left
 * to the functions above, because the hardware may read it as 0. */
static inline double mskpi_load(const char *from, mskp_dtype dtype)
{
    uint32_t bits;
    float f;
    if (dtype != MSKP_DTYPE_F32) return mskpi_load_any(from, dtype);
    memcpy(&bits, from, sizeof bits);
    memcpy(&f, from, sizeof f);
    return bits & 0x7f800000 ? (double)f : mskpi_load_any(from, dtype);
}

static inline void mskpi_store(char *to, mskp_dtype dtype, double x)
{
    const float f = (float)x;
    if (dtype == MSKP_DTYPE_F32 && fabs(x) >= 0x1p-126)
        memcpy(to, &f, sizeof f);
    else
        mskpi_store_any(to, dtype, x);
}

#endif

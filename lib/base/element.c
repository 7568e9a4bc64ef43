/*
 * Elements of tensors as numbers: the formats, and how one element of each is read and written.
 *
 * The library computes in double precision, which holds every number of the other formats exactly.
 * Reading is therefore exact, and writing rounds once, to nearest with ties to even. Half precision
 * can also be rounded up or down at random, such that the mean is exact.
 *
 * Some libraries switch the processor to a mode in which denormal numbers are zero, for the whole
 * process. Such a mode must not change what this library computes. So binary16, bfloat16 and
 * denormal floats are taken apart and put together by their bits, with arithmetic on normal doubles
 * alone: the smallest denormal float, 2^-149, is a normal double.
 */
#if defined __FAST_MATH__ || (defined __FINITE_MATH_ONLY__ && __FINITE_MATH_ONLY__)
#error "mskp tells NaN and infinities from numbers: build it without -ffast-math"
#endif

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/element.h"
#include "mskp.h"

size_t mskpi_element_size(mskp_dtype dtype)
{
    switch ((int)dtype) {
    case MSKP_DTYPE_BYTES_1:
        return 1;
    case MSKP_DTYPE_F16:
    case MSKP_DTYPE_BF16:
    case MSKP_DTYPE_BYTES_2:
        return 2;
    case MSKP_DTYPE_F32:
    case MSKP_DTYPE_BYTES_4:
        return 4;
    case MSKP_DTYPE_F64:
    case MSKP_DTYPE_BYTES_8:
        return 8;
    case MSKP_DTYPE_BYTES_16:
        return 16;
    default:
        return 0;
    }
}

const char *mskpi_dtype_name(mskp_dtype dtype)
{
    static const struct {
        mskp_dtype dtype;
        const char *name;
    } table[] = {{MSKP_DTYPE_F32, "F32"},          {MSKP_DTYPE_F64, "F64"},
                 {MSKP_DTYPE_F16, "F16"},          {MSKP_DTYPE_BF16, "BF16"},
                 {MSKP_DTYPE_BYTES_1, "BYTES_1"},  {MSKP_DTYPE_BYTES_2, "BYTES_2"},
                 {MSKP_DTYPE_BYTES_4, "BYTES_4"},  {MSKP_DTYPE_BYTES_8, "BYTES_8"},
                 {MSKP_DTYPE_BYTES_16, "BYTES_16"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].dtype == dtype) return table[i].name;
    return "unknown";
}

bool mskpi_is_number(mskp_dtype dtype)
{
    return dtype == MSKP_DTYPE_F32 || dtype == MSKP_DTYPE_F64 || dtype == MSKP_DTYPE_F16 ||
           dtype == MSKP_DTYPE_BF16;
}

/* binary16: a sign bit, 5 bits of exponent with bias 15, 10 bits of mantissa. A float's exponent
 * has bias 127, and its 13 further bits of mantissa are 0. Infinities and NaN have all bits of the
 * exponent in both formats. */
static double half_to_double(uint16_t h)
{
    const uint32_t size = h & 0x7fff;
    uint32_t bits = (size << 13) + (112u << 23);
    float f;
    if (size < 0x400) return (h & 0x8000 ? -1 : 1) * ((double)size * 0x1p-24);
    if (size >= 0x7c00) bits += 112u << 23;
    bits |= (uint32_t)(h & 0x8000) << 16;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

/* Rounds y >= 0 to nearest with ties to even, or, with `random` in [0, 1), up with a probability of
 * its fraction. */
enum { NEAREST = -1 };
static double rounded(double y, double random)
{
    const double below = floor(y);
    return random < 0 ? nearbyint(y) : below + (random < y - below ? 1 : 0);
}

/* Returns the bits of |x| in a narrower format, rounded as `random` says. The format has `mantissa`
 * bits of mantissa, its smallest normal number is 2^smallest, and `infinity` is the bits of its
 * infinity. Below that number all multiples of 2^(smallest - mantissa) are representable, so the
 * rounded multiple itself is the bits. */
static uint32_t narrow(double x, int mantissa, int smallest, uint32_t infinity, double random)
{
    const double a = fabs(x);
    int exponent;
    MSKPI_ASSERT(mantissa > 0 && mantissa < 24 && smallest < 0);
    if (isnan(x)) return infinity | 1u << (mantissa - 1);
    if (isinf(x)) return infinity;
    const double fraction = frexp(a, &exponent); /* in [0.5, 1), or 0 */
    if (fraction <= 0 || exponent - 1 < smallest)
        return (uint32_t)rounded(ldexp(a, mantissa - smallest), random); /* or up to 2^smallest */
    /* The rounded fraction has its leading bit, which adds 1 to the exponent field below it. */
    const uint32_t field = (uint32_t)(exponent - 1 - smallest) << mantissa;
    const double scaled = ldexp(fraction, mantissa + 1);
    if (field + (uint32_t)scaled + 1 >= infinity) random = NEAREST;
    const uint32_t bits = field + (uint32_t)rounded(scaled, random);
    return bits < infinity ? bits : infinity;
}

static double float_bits_to_double(uint32_t bits)
{
    float f;
    if (!(bits & 0x7f800000)) {
        const double x = (double)(bits & 0x7fffff) * 0x1p-149;
        return bits >> 31 ? -x : x;
    }
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

double mskpi_load_any(const char *from, mskp_dtype dtype)
{
    uint16_t h;
    uint32_t bits;
    double d;
    MSKPI_ASSERT(mskpi_is_number(dtype));
    switch ((int)dtype) {
    case MSKP_DTYPE_F32:
        memcpy(&bits, from, sizeof bits);
        return float_bits_to_double(bits);
    case MSKP_DTYPE_F64:
        memcpy(&d, from, sizeof d);
        return d;
    case MSKP_DTYPE_F16:
        memcpy(&h, from, sizeof h);
        return half_to_double(h);
    default:
        memcpy(&h, from, sizeof h);
        return float_bits_to_double((uint32_t)h << 16);
    }
}

void mskpi_store_random(char *to, mskp_dtype dtype, double x, double random)
{
    const uint32_t sign = signbit(x) ? 1 : 0;
    MSKPI_ASSERT(dtype == MSKP_DTYPE_F16 || dtype == MSKP_DTYPE_BF16);
    const uint16_t half =
        (uint16_t)(sign << 15 | (dtype == MSKP_DTYPE_F16 ? narrow(x, 10, -14, 0x7c00u, random)
                                                         : narrow(x, 7, -126, 0x7f80u, random)));
    memcpy(to, &half, sizeof half);
}

void mskpi_store_any(char *to, mskp_dtype dtype, double x)
{
    const uint32_t sign = signbit(x) ? 1 : 0;
    uint32_t bits;
    float f;
    MSKPI_ASSERT(mskpi_is_number(dtype));
    switch ((int)dtype) {
    case MSKP_DTYPE_F64:
        memcpy(to, &x, sizeof x);
        return;
    case MSKP_DTYPE_F32:
        f = (float)x;
        memcpy(&bits, &f, sizeof bits);
        if (fabs(x) < 0x1p-126) bits = sign << 31 | narrow(x, 23, -126, 0x7f800000u, NEAREST);
        memcpy(to, &bits, sizeof bits);
        return;
    default:
        mskpi_store_random(to, dtype, x, NEAREST);
        return;
    }
}

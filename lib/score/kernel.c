/*
 * The inner loops of sums over slices.
 *
 * Each loop is written in plain C, and compiled twice: for the machine that the whole library is
 * compiled for, and, by gcc and clang on x86-64, for processors with AVX2. A lane of a vector does
 * what the plain loop does to one element, so the bits are the same. kernel_avx512.c has the same
 * loops once more. mskpi_kernels chooses by what the processor can run.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/processor.h"
#include "score/kernel.h"

/* A loop is compiled for the machine of the function that it is put into. */
#ifdef __GNUC__
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* ---- Adding ---- */

/* Number k of an array of floats or doubles. */
INLINE double number(const void *x, size_t k, bool floats)
{
    return floats ? (double)((const float *)x)[k] : ((const double *)x)[k];
}

/* LANES sums, which the compiler keeps in registers: they are local, so no store to a place can be
 * taken for one to them. A lane's sums follow one another only every LANES elements, which hides
 * the time that an addition takes. */
INLINE void add_lanes(const void *restrict w, const void *restrict g, size_t n,
                      double *restrict sum, double *restrict place, slice_term term, bool floats)
{
    double lane[LANES];
    size_t j = 0;
    memcpy(lane, sum, sizeof lane);
    for (; j + LANES <= n; j += LANES)
        for (size_t k = 0; k < LANES; k++) {
            const double y = term >= SLICE_PRODUCT ? number(g, j + k, floats) : 0;
            const double x = mskpi_term(number(w, j + k, floats), y, term);
            place[j + k] += x;
            lane[k] += x;
        }
    for (size_t k = 0; j + k < n; k++) {
        const double y = term >= SLICE_PRODUCT ? number(g, j + k, floats) : 0;
        const double x = mskpi_term(number(w, j + k, floats), y, term);
        place[j + k] += x;
        lane[k] += x;
    }
    memcpy(sum, lane, sizeof lane);
}

/* More sums than registers: they stay in the nearest cache, as the places do. Element k of a period
 * meets sum k and place k, so all three go side by side and no element is moved within a vector. */
INLINE void add_period(const void *restrict w, const void *restrict g, size_t n,
                       double *restrict sum, size_t period, double *restrict place, slice_term term,
                       bool floats)
{
    for (size_t j = 0; j < n; j += period) {
        const size_t m = n - j < period ? n - j : period;
        for (size_t k = 0; k < m; k++) {
            const double y = term >= SLICE_PRODUCT ? number(g, j + k, floats) : 0;
            const double x = mskpi_term(number(w, j + k, floats), y, term);
            place[j + k] += x;
            sum[k] += x;
        }
    }
}

INLINE void add(const void *w, const void *g, size_t n, double *sum, size_t period, double *place,
                slice_term term, bool floats)
{
    MSKPI_ASSERT(period > 0 && period % LANES == 0);
    if (period == LANES)
        add_lanes(w, g, n, sum, place, term, floats);
    else
        add_period(w, g, n, sum, period, place, term, floats);
}

/* ---- Reading ---- */

INLINE double of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

INLINE void load_floats(const float *restrict from, size_t n, double *restrict to)
{
    for (size_t k = 0; k < n; k++) to[k] = (double)from[k];
}

/* The bits of a bfloat are the upper half of a float's. */
INLINE void load_bfloats(const uint16_t *restrict from, size_t n, double *restrict to)
{
    for (size_t k = 0; k < n; k++) to[k] = of_bits((uint32_t)from[k] << 16);
}

/*
 * The exponent and mantissa of a half are those of a float whose exponent is less by 112. A
 * denormal half is a multiple of 2^-24. Each element goes both ways, and a mask chooses: with a
 * branch the compiler would make no vectors, and weights in halves are often denormal. No
 * intermediate number is denormal, so the result does not depend on the floating-point mode.
 */
INLINE void load_halves(const uint16_t *restrict from, size_t n, double *restrict to)
{
    for (size_t k = 0; k < n; k++) {
        const uint32_t h = from[k], size = h & 0x7fff;
        const uint32_t is_small = 0u - (uint32_t)(size < 0x400);
        const uint32_t no_number = 0u - (uint32_t)(size >= 0x7c00); /* infinities and NaN */
        const uint32_t normal = (size << 13) + (112u << 23) + (no_number & 112u << 23);
        const float small = (float)(int32_t)size * 0x1p-24F;
        uint32_t bits;
        memcpy(&bits, &small, sizeof bits);
        to[k] = of_bits(((normal & ~is_small) | (bits & is_small)) | (h & 0x8000) << 16);
    }
}

/* ---- The kernels of one machine ---- */

/* Names are put together from whole names alone, which lib/amalgamate.awk may change, and begin
 * with mskpi_, because the script cannot change what is put together. */
#define ADD(machine, target, term)                                                                 \
    target static void mskpi_floats_##term##_##machine(const void *w, const void *g, size_t n,     \
                                                       double *sum, size_t period, double *place)  \
    {                                                                                              \
        add(w, g, n, sum, period, place, term, true);                                              \
    }                                                                                              \
    target static void mskpi_doubles_##term##_##machine(const void *w, const void *g, size_t n,    \
                                                        double *sum, size_t period, double *place) \
    {                                                                                              \
        add(w, g, n, sum, period, place, term, false);                                             \
    }
#define LOAD(machine, target, load)                                             \
    target static void load##_##machine(const void *from, size_t n, double *to) \
    {                                                                           \
        load(from, n, to);                                                      \
    }
#define TERM(type, machine, term) [term] = mskpi_##type##_##term##_##machine
#define TERMS(type, machine)                                                                   \
    {                                                                                          \
        TERM(type, machine, SLICE_MAGNITUDES), TERM(type, machine, SLICE_SQUARES),             \
            TERM(type, machine, SLICE_PRODUCT), TERM(type, machine, SLICE_PRODUCT_MAGNITUDES), \
            TERM(type, machine, SLICE_PRODUCT_SQUARES)                                         \
    }
#define LOADER(load, machine) load##_##machine
#define KERNELS(machine, target)                                                  \
    ADD(machine, target, SLICE_MAGNITUDES)                                        \
    ADD(machine, target, SLICE_SQUARES)                                           \
    ADD(machine, target, SLICE_PRODUCT)                                           \
    ADD(machine, target, SLICE_PRODUCT_MAGNITUDES)                                \
    ADD(machine, target, SLICE_PRODUCT_SQUARES)                                   \
    LOAD(machine, target, load_floats)                                            \
    LOAD(machine, target, load_halves)                                            \
    LOAD(machine, target, load_bfloats)                                           \
    static const kernels mskpi_kernels_##machine = {                              \
        {[DOUBLES] = TERMS(doubles, machine), [FLOATS] = TERMS(floats, machine)}, \
        {[FLOATS] = LOADER(load_floats, machine),                                 \
         [HALVES] = LOADER(load_halves, machine),                                 \
         [BFLOATS] = LOADER(load_bfloats, machine)}};

KERNELS(plain, )
#if PROCESSOR_WIDE
KERNELS(avx2, __attribute__((target("avx2"))))
#endif

const kernels *mskpi_kernels(void)
{
    static const kernels *const all[] = {
        [PROCESSOR_PLAIN] = &mskpi_kernels_plain,
        [PROCESSOR_BASELINE] = &mskpi_kernels_plain,
#if PROCESSOR_WIDE
        [PROCESSOR_AVX2] = &mskpi_kernels_avx2,
        [PROCESSOR_AVX512] = &mskpi_kernels_avx512,
#endif
    };
    return all[mskpi_processor()];
}

/*
 * The inner loops of kernel.c for processors with AVX-512, written with intrinsics.
 *
 * From the plain loops gcc 12 and clang 14 make vectors of 256 bits where floats become doubles:
 * they read 8 floats and convert them in two halves, which takes twice as many instructions for an
 * element as one conversion to 512 bits does, and the sums are then bound by instructions instead
 * of by memory. Lane k of a vector is element k of the plain loop, and each is added in the same
 * order, so the bits are the same. What is left at the end of an array is one more vector, whose
 * other lanes are 0: sums begin with +0 and are never -0, so adding 0 changes none of them.
 */
#include "base/processor.h"
#include "score/kernel.h"

#if PROCESSOR_WIDE
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* F16C is older than AVX-512, and clang 14 cannot ask for it. */
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,f16c")))
#define INLINE TARGET static inline __attribute__((always_inline))

/* ---- Reading ---- */

/* Up to LANES elements as numbers, and 0 in the other lanes. The processor's own conversion of
 * halves is the same in every floating-point mode. */
INLINE __m512d number(const void *x, size_t k, kernel_format format, __mmask8 lanes)
{
    const uint16_t *two_bytes = x;
    if (format == DOUBLES) return _mm512_maskz_loadu_pd(lanes, (const double *)x + k);
    if (format == FLOATS)
        return _mm512_cvtps_pd(_mm256_maskz_loadu_ps(lanes, (const float *)x + k));
    const __m128i bits = _mm_maskz_loadu_epi16(lanes, two_bytes + k);
    if (format == HALVES) return _mm512_cvtps_pd(_mm256_cvtph_ps(bits));
    return _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)));
}

enum { ALL = (1 << LANES) - 1 };

/* The lanes that are left of n elements, at most LANES. */
INLINE __mmask8 lanes_of(size_t n)
{
    return n < LANES ? (__mmask8)((1u << n) - 1) : (__mmask8)ALL;
}

INLINE void load(const void *from, size_t n, double *to, kernel_format format)
{
    for (size_t k = 0; k < n; k += LANES) {
        const __mmask8 lanes = lanes_of(n - k);
        _mm512_mask_storeu_pd(to + k, lanes, number(from, k, format, lanes));
    }
}

/* ---- Adding ---- */

/* Adds the terms of up to LANES elements to the places, and returns them. */
INLINE __m512d add_vector(const void *w, const void *g, size_t k, double *place, slice_term term,
                          kernel_format format, __mmask8 lanes)
{
    __m512d x = number(w, k, format, lanes);
    if (term >= SLICE_PRODUCT) x = _mm512_mul_pd(x, number(g, k, format, lanes));
    if (term == SLICE_SQUARES || term == SLICE_PRODUCT_SQUARES)
        x = _mm512_mul_pd(x, x);
    else if (term != SLICE_PRODUCT)
        x = _mm512_abs_pd(x);
    const __m512d sum = _mm512_add_pd(_mm512_maskz_loadu_pd(lanes, place + k), x);
    _mm512_mask_storeu_pd(place + k, lanes, sum);
    return x;
}

INLINE void add_lanes(const void *w, const void *g, size_t n, double *sum, double *place,
                      slice_term term, kernel_format format)
{
    __m512d lane = _mm512_loadu_pd(sum);
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        lane = _mm512_add_pd(lane, add_vector(w, g, j, place, term, format, ALL));
    if (j < n)
        lane = _mm512_add_pd(lane, add_vector(w, g, j, place, term, format, lanes_of(n - j)));
    _mm512_storeu_pd(sum, lane);
}

/* Stores with a mask of lanes are kept out of the loop: what is loaded soon after from their
 * address has to wait until they have left for the cache. */
INLINE void add_period(const void *w, const void *g, size_t n, double *sum, size_t period,
                       double *place, slice_term term, kernel_format format)
{
    size_t j = 0;
    double *to = sum;
    for (; j + LANES <= n; j += LANES) {
        const __m512d x = add_vector(w, g, j, place, term, format, ALL);
        _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), x));
        to = to + LANES < sum + period ? to + LANES : sum;
    }
    if (j < n) {
        const __mmask8 lanes = lanes_of(n - j);
        const __m512d x = add_vector(w, g, j, place, term, format, lanes);
        _mm512_mask_storeu_pd(to, lanes, _mm512_add_pd(_mm512_maskz_loadu_pd(lanes, to), x));
    }
}

/* ---- All of them ---- */

/* Names are put together from whole names alone, which lib/amalgamate.awk may change, and begin
 * with mskpi_, because the script cannot change what is put together. */
#define ADD(format, term)                                                                     \
    TARGET static void mskpi_add_##format##_##term(const void *w, const void *g, size_t n,    \
                                                   double *sum, size_t period, double *place) \
    {                                                                                         \
        if (period == LANES)                                                                  \
            add_lanes(w, g, n, sum, place, term, format);                                     \
        else                                                                                  \
            add_period(w, g, n, sum, period, place, term, format);                            \
    }
#define FORMAT(format)                                                             \
    ADD(format, SLICE_MAGNITUDES)                                                  \
    ADD(format, SLICE_SQUARES)                                                     \
    ADD(format, SLICE_PRODUCT)                                                     \
    ADD(format, SLICE_PRODUCT_MAGNITUDES)                                          \
    ADD(format, SLICE_PRODUCT_SQUARES)                                             \
    TARGET static void mskpi_load_##format(const void *from, size_t n, double *to) \
    {                                                                              \
        load(from, n, to, format);                                                 \
    }
#define TERM(format, term) [term] = mskpi_add_##format##_##term
#define TERMS(format)                                                                \
    [format] = {TERM(format, SLICE_MAGNITUDES), TERM(format, SLICE_SQUARES),         \
                TERM(format, SLICE_PRODUCT), TERM(format, SLICE_PRODUCT_MAGNITUDES), \
                TERM(format, SLICE_PRODUCT_SQUARES)}
#define LOADER(format) [format] = mskpi_load_##format

FORMAT(DOUBLES)
FORMAT(FLOATS)
FORMAT(HALVES)
FORMAT(BFLOATS)

const kernels mskpi_kernels_avx512 = {
    {TERMS(DOUBLES), TERMS(FLOATS), TERMS(HALVES), TERMS(BFLOATS)},
    {LOADER(DOUBLES), LOADER(FLOATS), LOADER(HALVES), LOADER(BFLOATS)}};
#else
/* A file of C must not be empty. */
typedef int no_kernels;
#endif

/* The tiles of direct.h with vectors of 8 floats. 16 registers: 12 sums, 2 vectors of pixels, and a
 * weight; or 12 sums, 3 vectors of one factor, and one of the other. */
#include "direct.h"

#if CN_HAS_DIRECT
#include <immintrin.h>

#define TARGET              __attribute__((target("avx2,fma")))
#define VECTOR              __m256
#define LANES               ((size_t)8)
#define LOAD(p)             _mm256_loadu_ps(p)
#define STORE(p, v)         _mm256_storeu_ps(p, v)
#define SPREAD(x)           _mm256_set1_ps(x)
#define ZERO()              _mm256_setzero_ps()
#define FMA(a, b, c)        _mm256_fmadd_ps(a, b, c)
#define TOTAL(v)            total(v)
#define MASK                __m256i
#define MASK_OF(n)          mask_of(n)
#define LOAD_SOME(p, m)     _mm256_maskload_ps(p, m)
#define STORE_SOME(p, m, v) _mm256_maskstore_ps(p, m, v)
#define BLOCK               6
#define OUTER_OUT           4
#define OUTER_IN            3

TARGET static inline __m256i mask_of(size_t n)
{
    static const int32_t BITS[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i_u *)(BITS + LANES - n));
}

TARGET static inline float total(__m256 v)
{
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

#include "direct_tiles.h"

const cn_direct cn_direct_avx2 = {BLOCK, run, OUTER_OUT, OUTER_IN, outer};
#endif

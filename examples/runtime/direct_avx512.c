/* The tiles of direct.h with vectors of 16 floats, for 32 registers. */
#include "direct.h"

#if CN_HAS_DIRECT
#include <immintrin.h>

#define TARGET              __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define VECTOR              __m512
#define LANES               ((size_t)16)
#define LOAD(p)             _mm512_loadu_ps(p)
#define STORE(p, v)         _mm512_storeu_ps(p, v)
#define SPREAD(x)           _mm512_set1_ps(x)
#define ZERO()              _mm512_setzero_ps()
#define FMA(a, b, c)        _mm512_fmadd_ps(a, b, c)
#define TOTAL(v)            _mm512_reduce_add_ps(v)
#define MASK                __mmask16
#define MASK_OF(n)          ((__mmask16)((1u << (n)) - 1))
#define LOAD_SOME(p, m)     _mm512_maskz_loadu_ps(m, p)
#define STORE_SOME(p, m, v) _mm512_mask_storeu_ps(p, m, v)
#define BLOCK               12
#define OUTER_OUT           8
#define OUTER_IN            3

#include "direct_tiles.h"

const cn_direct cn_direct_avx512 = {BLOCK, run, OUTER_OUT, OUTER_IN, outer};
#endif

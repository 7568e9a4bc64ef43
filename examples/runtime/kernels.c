/*
 * Which kernels a network computes with: those of direct.h, or OpenBLAS. OpenBLAS chooses its own
 * when it is loaded, by the processor's model. A processor that is newer than OpenBLAS gets those
 * that every x86-64 processor can run.
 */
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "direct.h"

const cn_direct *cn_direct_kernels(void)
{
#if CN_HAS_DIRECT
    const char *asked = getenv("CN_KERNELS");
    if (asked && !strcmp(asked, "openblas")) return NULL;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        !(asked && !strcmp(asked, "avx2")))
        return &cn_direct_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &cn_direct_avx2;
#endif
    return NULL;
}

const char *cn_kernels_advice(void)
{
#if defined(__x86_64__)
    if (cn_direct_kernels() || strcmp(openblas_get_corename(), "Prescott") != 0) return NULL;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return "OpenBLAS does not know this processor, and computes without AVX-512; "
               "OPENBLAS_CORETYPE=SkylakeX in the environment makes it faster";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return "OpenBLAS does not know this processor, and computes without AVX2; "
               "OPENBLAS_CORETYPE=Haswell in the environment makes it faster";
#endif
    return NULL;
}

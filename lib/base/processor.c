/*
 * Which instructions the processor has, as the compiler's own library says.
 *
 * A build with -DMSKP_TEST_PROCESSOR, which is the tests' alone, lets the environment variable
 * MSKP_TEST_PROCESSOR say the widest set that may be used (0 for PROCESSOR_PLAIN, and so on), so
 * that one machine goes through all of them.
 */
#include "base/processor.h"

#ifdef MSKP_TEST_PROCESSOR
#include <stdlib.h>
static processor_set widest(void)
{
    const char *number = getenv("MSKP_TEST_PROCESSOR");
    return number ? (processor_set)atoi(number) : PROCESSOR_AVX512;
}
#else
static processor_set widest(void)
{
    return PROCESSOR_AVX512;
}
#endif

/* All of the sets are asked, so that a processor which lacks one takes the same way as others. */
static processor_set has(void)
{
#if PROCESSOR_WIDE
    const int avx512 =
        (__builtin_cpu_supports("avx512f") != 0) & (__builtin_cpu_supports("avx512bw") != 0) &
        (__builtin_cpu_supports("avx512dq") != 0) & (__builtin_cpu_supports("avx512vl") != 0);
    const int avx2 = __builtin_cpu_supports("avx2") != 0;
    return (processor_set)(PROCESSOR_BASELINE + avx2 + (avx2 & avx512));
#else
    return PROCESSOR_BASELINE;
#endif
}

processor_set mskpi_processor(void)
{
    const processor_set most = widest(), own = has();
    return own < most ? own : most;
}

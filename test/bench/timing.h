/* What the benchmarks share: a clock, medians, and an allocator that counts. */
#ifndef BENCH_TIMING_H
#define BENCH_TIMING_H

#include "by_id/by_id.h"

/* Seconds of a clock that only goes forward. */
double timing_now(void);

/* Seconds that the process has had a processor, on all of its threads together: for one thread what
 * timing_now measures on a machine with nothing else to do, save for shared caches and memory. */
double timing_cpu(void);

/* The median of n >= 1 numbers, which are sorted. */
double timing_median(double *x, size_t n);

/* Bytes that a graph holds, and the most that it held. For one thread. */
typedef struct timing_memory {
    size_t live, peak;
} timing_memory;

/* A caller whose allocator counts there. */
mskp_services timing_services(timing_memory *memory);

#endif

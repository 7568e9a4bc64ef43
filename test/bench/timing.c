#define _POSIX_C_SOURCE 200809L
#include "timing.h"

#include "by_id/by_id.h"
#include <stdlib.h>
#include <time.h>

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double timing_now(void)
{
    return seconds(CLOCK_MONOTONIC);
}

double timing_cpu(void)
{
    return seconds(CLOCK_PROCESS_CPUTIME_ID);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double timing_median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, ascending);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* In front of each block. */
typedef union header {
    size_t bytes;
    max_align_t align;
} header;

static void *allocate(void *context, size_t bytes)
{
    timing_memory *m = context;
    header *h = bytes <= SIZE_MAX - sizeof *h ? malloc(sizeof *h + bytes) : NULL;
    if (!h) return NULL;
    h->bytes = bytes;
    m->live += bytes;
    if (m->live > m->peak) m->peak = m->live;
    return h + 1;
}

static void release(void *context, void *memory)
{
    timing_memory *m = context;
    header *h = memory;
    if (!h) return;
    m->live -= h[-1].bytes;
    free(h - 1);
}

mskp_services timing_services(timing_memory *memory)
{
    return (mskp_services){.context = memory, .allocate = allocate, .release = release};
}

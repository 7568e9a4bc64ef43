/*
 * The host's services (memory and parallel loops), and checks of numbers that come from outside.
 *
 * All memory of the library comes from the host's allocate, or from malloc where the host gives
 * none; no other file calls malloc. Memory is cleared. A growing array doubles its capacity, so
 * that n appended elements cost O(n) moves in all.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "mskp.h"
#include "mskp/tools.h"

static void *default_allocate(void *context, size_t bytes)
{
    (void)context;
    return malloc(bytes);
}

static void default_release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

mskp_status mskpi_check_host(const mskp_services *host, mskp_error *err)
{
    if (host && (host->allocate == NULL) != (host->release == NULL))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "services: allocate and release must both be set, or neither");
    return MSKP_OK;
}

void mskpi_host_init(mskp_services *to, const mskp_services *from)
{
    memset(to, 0, sizeof *to);
    if (from) *to = *from;
    if (!to->allocate || !to->release) {
        to->allocate = default_allocate;
        to->release = default_release;
    }
}

void *mskpi_alloc(const mskp_services *host, size_t n, size_t size)
{
    size_t bytes;
    void *memory;
    if (mskpi_times(n ? n : 1, size, &bytes)) return NULL;
    memory = host->allocate(host->context, bytes);
    if (memory) memset(memory, 0, bytes);
    return memory;
}

void mskpi_free(const mskp_services *host, void *memory)
{
    if (memory) host->release(host->context, memory);
}

void *mskpi_grow(const mskp_services *host, void *array, size_t *capacity, size_t used, size_t more,
                 size_t size)
{
    void *memory;
    size_t bytes, want;
    if (array && more <= *capacity - used) return array;
    /* Below, capacity < used + more <= most: twice the capacity, in bytes, does not overflow. */
    if (more > SIZE_MAX / 2 / size - used) return NULL;
    want = used + more > 2 * *capacity ? used + more : 2 * *capacity;
    if (want < 16) want = 16;
    bytes = want * size;
    memory = host->allocate(host->context, bytes);
    if (!memory) return NULL;
    if (used) memcpy(memory, array, used * size);
    memset((char *)memory + used * size, 0, bytes - used * size);
    mskpi_free(host, array);
    *capacity = want;
    return memory;
}

void mskpi_parallel(const mskp_services *host, size_t n, void (*work)(void *context, size_t i),
                    void *context)
{
    if (host->parallel_for && n > 1) {
        host->parallel_for(host->context, n, work, context);
        return;
    }
    for (size_t i = 0; i < n; i++) work(context, i);
}

int mskpi_times(size_t a, size_t b, size_t *product)
{
    if (b && a > SIZE_MAX / b) return 1;
    *product = a * b;
    return 0;
}

size_t mskpi_product(size_t a, size_t b)
{
    size_t product;
    return mskpi_times(a, b, &product) ? SIZE_MAX : product;
}

size_t mskpi_fraction(double fraction, size_t n)
{
    const double x = fraction * (double)n, near = floor(x + 0.5);
    const size_t whole = (size_t)(fabs(x - near) <= 4 * DBL_EPSILON * (double)n ? near : x);
    return whole < n ? whole : n;
}

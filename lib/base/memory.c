/*
 * The caller's services (memory and parallel loops), and arithmetic on sizes.
 *
 * All memory of the library comes from the caller's allocate function, or from malloc where the
 * caller gives none; no other file calls malloc. The services have no function that grows a block,
 * so that a growing array is copied into a new block. Its capacity at least doubles each time, and
 * therefore n appended elements cost O(n) moves in all.
 *
 * All bytes of new memory are set to 0, so structs and counters begin with their defaults, and
 * results cannot depend on what the memory held before.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
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

mskp_status mskpi_check_services(const mskp_services *services, mskp_error *err)
{
    if (services && (services->allocate == NULL) != (services->release == NULL))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "services: allocate and release must both be set, or neither");
    return MSKP_OK;
}

void mskpi_services_init(mskp_services *to, const mskp_services *from)
{
    memset(to, 0, sizeof *to);
    if (from) *to = *from;
    if (!to->allocate || !to->release) {
        to->allocate = default_allocate;
        to->release = default_release;
    }
}

/* Returns memory whose bytes from `used` on are 0. calloc may know which pages are 0 without
 * touching them, and arrays that grow are never filled to the end. */
static void *allocate_zeros(const mskp_services *services, size_t bytes, size_t used)
{
    if (services->allocate == default_allocate) return calloc(1, bytes);
    char *memory = services->allocate(services->context, bytes);
    if (memory) memset(memory + used, 0, bytes - used);
    return memory;
}

void *mskpi_alloc(const mskp_services *services, size_t n, size_t size)
{
    MSKPI_ASSERT(size > 0); /* allocate is promised that bytes is never 0 */
    if (n > MOST_BYTES / size) return NULL;
    return allocate_zeros(services, (n ? n : 1) * size, 0);
}

void mskpi_free(const mskp_services *services, void *memory)
{
    if (memory) services->release(services->context, memory);
}

void *mskpi_grow(const mskp_services *services, void *array, size_t *capacity, size_t used,
                 size_t more, size_t size)
{
    void *memory;
    size_t bytes, wanted;
    const size_t most = MOST_BYTES / size;
    MSKPI_ASSERT(size > 0 && used <= *capacity);
    MSKPI_ASSERT(array || !*capacity);
    MSKPI_ASSERT(*capacity <= most && most >= 16);
    if (array && more <= *capacity - used) return array;
    if (more > most - used) return NULL;
    wanted = used + more > 2 * *capacity ? used + more : 2 * *capacity;
    if (wanted < 16) wanted = 16;
    if (wanted > most) wanted = most;
    MSKPI_ASSERT(wanted >= used + more && wanted > *capacity);
    bytes = wanted * size;
    memory = allocate_zeros(services, bytes, used * size);
    if (!memory) return NULL;
    if (used) memcpy(memory, array, used * size);
    mskpi_free(services, array);
    *capacity = wanted;
    return memory;
}

void mskpi_parallel(const mskp_services *services, size_t n, void (*work)(void *context, size_t i),
                    void *context)
{
    if (services->parallel_for && n > 1) {
        services->parallel_for(services->context, n, work, context);
        return;
    }
    for (size_t i = 0; i < n; i++) work(context, i);
}

bool mskpi_product_fits(size_t a, size_t b, size_t *product)
{
    if (b && a > SIZE_MAX / b) return false;
    *product = a * b;
    return true;
}

size_t mskpi_product(size_t a, size_t b)
{
    size_t product;
    return mskpi_product_fits(a, b, &product) ? product : SIZE_MAX;
}

size_t mskpi_sum(size_t a, size_t b)
{
    return a <= SIZE_MAX - b ? a + b : SIZE_MAX;
}

size_t mskpi_fraction(double fraction, size_t n)
{
    MSKPI_ASSERT(fraction >= 0 && fraction <= 1);
    const double x = fraction * (double)n, near = floor(x + 0.5);
    const size_t whole = (size_t)(fabs(x - near) <= 4 * DBL_EPSILON * (double)n ? near : x);
    return whole < n ? whole : n;
}

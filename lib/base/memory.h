/* The host's services, and checks of numbers from outside. */
#ifndef MSKP_BASE_MEMORY_H
#define MSKP_BASE_MEMORY_H

#include "mskp.h"
#include "mskp/tools.h"

mskp_status mskpi_check_host(const mskp_services *host, mskp_error *err);
void mskpi_host_init(mskp_services *to, const mskp_services *from);
/* n elements of `size` bytes, cleared. n = 0 gives memory, too. NULL: no memory, or overflow. */
void *mskpi_alloc(const mskp_services *host, size_t n, size_t size);
void mskpi_free(const mskp_services *host, void *memory);
/* A growing array: returns it with room for `more` elements after `used`, perhaps moved, the new
 * room cleared. NULL: no memory, and the old array stays. */
void *mskpi_grow(const mskp_services *host, void *array, size_t *capacity, size_t used, size_t more,
                 size_t size);
void mskpi_parallel(const mskp_services *host, size_t n, void (*work)(void *context, size_t i),
                    void *context);
/* *product <- a * b; 1 if that overflows. */
int mskpi_times(size_t a, size_t b, size_t *product);
/* a * b; SIZE_MAX if that overflows. */
size_t mskpi_product(size_t a, size_t b);
/* floor(fraction * n) for a fraction in [0, 1], forgiving the rounding of the product: 0.29 * 100 is
 * 29. */
size_t mskpi_fraction(double fraction, size_t n);

#endif

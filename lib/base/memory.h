/* The caller's services, and arithmetic on sizes that cannot overflow. */
#ifndef MSKP_BASE_MEMORY_H
#define MSKP_BASE_MEMORY_H

#include <stdbool.h>

#include "mskp.h"
#include "mskp/tools.h"

/* Refuses services with only one of allocate and release. services may be NULL. */
mskp_status mskpi_check_services(const mskp_services *services, mskp_error *err);
/* *to <- the given services, which may be NULL, with malloc and free in place of missing ones. */
void mskpi_services_init(mskp_services *to, const mskp_services *from);

/* Returns memory for n elements of `size` bytes, all bytes 0; also for n = 0. Returns NULL if there
 * is no memory, or if the size overflows. */
void *mskpi_alloc(const mskp_services *services, size_t n, size_t size);
/* Frees memory, which may be NULL. */
void mskpi_free(const mskp_services *services, void *memory);
/* Grows an array of `used` elements so that it can hold `more` further ones, whose bytes are 0.
 * Returns the array, which may have moved. Returns NULL if there is no memory; then the array stays
 * valid where it was. array may be NULL if used is 0. */
void *mskpi_grow(const mskp_services *services, void *array, size_t *capacity, size_t used,
                 size_t more, size_t size);

/* Calls work(context, i) once for each i in [0, n), possibly on several threads. */
void mskpi_parallel(const mskp_services *services, size_t n, void (*work)(void *context, size_t i),
                    void *context);

/* Whether a * b fits into a size_t. If so, *product <- a * b, otherwise *product is unchanged. */
bool mskpi_product_fits(size_t a, size_t b, size_t *product);
/* a * b, or SIZE_MAX where the product does not fit. */
size_t mskpi_product(size_t a, size_t b);
/* a + b, or SIZE_MAX where the sum does not fit. Values and axes share their lists, so the sum of
 * their lengths has no bound in the memory that is there: with a size_t of 32 bits it can overflow.
 * No allocation of SIZE_MAX succeeds. */
size_t mskpi_sum(size_t a, size_t b);
/* floor(fraction * n) for a fraction in [0, 1]. A product that a rounding error puts just below a
 * whole number counts as that number: 0.29 * 100 gives 29. */
size_t mskpi_fraction(double fraction, size_t n);

#endif

/* Sorting with a context, in an order that does not depend on the platform. */
#ifndef MSKP_BASE_SORT_H
#define MSKP_BASE_SORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sorts n numbers by a strict total order. `buffer` holds n numbers, too. */
void mskpi_sort(uint32_t *numbers, uint32_t *buffer, size_t n,
                bool (*before)(const void *context, uint32_t a, uint32_t b), const void *context);

/* A key, and what belongs to it. */
typedef struct sort_item {
    uint64_t key;
    uint32_t unit, family;
} sort_item;
/* Sorts n items by ascending keys; items with equal keys keep their order. `buffer` holds n items,
 * too. Returns where the result is: items or buffer. */
sort_item *mskpi_sort_items(sort_item *items, sort_item *buffer, size_t n);

#endif

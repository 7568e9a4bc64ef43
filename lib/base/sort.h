/* Sorting. */
#ifndef MSKP_BASE_SORT_H
#define MSKP_BASE_SORT_H

#include <stddef.h>
#include <stdint.h>

/* Merge sort by a strict total order; room for n more. */
void mskpi_sort(uint32_t *numbers, uint32_t *room, size_t n,
                int (*before)(const void *context, uint32_t a, uint32_t b), const void *context);

/* A key, and what goes with it. */
typedef struct sort_item {
    uint64_t key;
    uint32_t unit, family;
} sort_item;
/* Radix sort by ascending keys, equals in the order given; room for n more. Returns where the
 * result is: one of the two. */
sort_item *mskpi_sort_items(sort_item *items, sort_item *room, size_t n);

#endif

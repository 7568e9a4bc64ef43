/*
 * Sorting. libc's qsort takes no context, and it leaves the order of equal elements to the
 * platform.
 *
 * mskpi_sort is a merge sort from the bottom up: runs of 1, 2, 4 ... elements are merged in pairs
 * from one array into the other, which then change places. An element of the left run goes first
 * only if it comes before the right one, which is enough for a strict total order.
 *
 * mskpi_sort_items is a radix sort from the lowest byte of the key to the highest. One pass over
 * the items counts the values of all eight bytes. Each further pass moves the items to where the
 * counts below their byte say that they begin, in the order in which they stand, so that equal keys
 * keep their order. A byte that all keys share needs no pass.
 */
#include <string.h>

#include "base/sort.h"
#include "mskp.h"

void mskpi_sort(uint32_t *numbers, uint32_t *room, size_t n,
                int (*before)(const void *context, uint32_t a, uint32_t b), const void *context)
{
    uint32_t *from = numbers, *to = room;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t low = 0; low < n; low += 2 * width) {
            const size_t middle = low + width < n ? low + width : n;
            const size_t high = low + 2 * width < n ? low + 2 * width : n;
            size_t a = low, b = middle;
            for (size_t k = low; k < high; k++)
                to[k] = a < middle && (b == high || before(context, from[a], from[b])) ? from[a++]
                                                                                       : from[b++];
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != numbers) memcpy(numbers, from, n * sizeof *numbers);
}

/* The byte of a key that a pass sorts by, from the lowest. */
static size_t digit(const sort_item *item, int pass)
{
    return item->key >> 8 * pass & 255;
}

sort_item *mskpi_sort_items(sort_item *items, sort_item *room, size_t n)
{
    size_t first[8][256] = {{0}};
    for (size_t i = 0; i < n; i++)
        for (int pass = 0; pass < 8; pass++) first[pass][digit(&items[i], pass)]++;
    for (int pass = 0; n && pass < 8; pass++) {
        size_t *at = first[pass], sum = 0;
        if (at[digit(items, pass)] == n) continue; /* all have the same */
        for (size_t d = 0; d < 256; d++) {
            const size_t count = at[d];
            at[d] = sum;
            sum += count;
        }
        for (size_t i = 0; i < n; i++) room[at[digit(&items[i], pass)]++] = items[i];
        sort_item *swap = items;
        items = room;
        room = swap;
    }
    return items;
}

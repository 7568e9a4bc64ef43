/*
 * Sorting. The C library's qsort takes no context, and it leaves the order of equal elements to the
 * platform, while results of this library must be the same everywhere.
 *
 * mskpi_sort is a bottom-up merge sort. Runs of 1, 2, 4 ... elements are merged in pairs from one
 * array into the other, and then the two arrays change places. The order is total, so no two
 * elements are equal, and one comparison decides each step of a merge.
 *
 * mskpi_sort_items is a radix sort from the lowest byte of the key to the highest. One pass over
 * the items counts the values of all eight bytes. Then, for each byte, the sums of its counts are
 * the places where the items with each value of the byte begin, and a pass moves the items there in
 * the order in which they stand. So a pass keeps the order of the passes before it among items with
 * equal bytes, and at the end equal keys are in the order given. A byte that all keys share needs
 * no pass.
 */
#include <string.h>

#include "base/assert.h"
#include "base/sort.h"
#include "mskp.h"

void mskpi_sort(uint32_t *numbers, uint32_t *buffer, size_t n,
                bool (*before)(const void *context, uint32_t a, uint32_t b), const void *context)
{
    uint32_t *from = numbers, *to = buffer;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t low = 0; low < n; low += 2 * width) {
            const size_t middle = low + width < n ? low + width : n;
            const size_t high = low + 2 * width < n ? low + 2 * width : n;
            size_t a = low, b = middle;
            for (size_t k = low; k < high; k++)
                to[k] = a < middle && (b == high || before(context, from[a], from[b])) ? from[a++]
                                                                                       : from[b++];
            MSKPI_ASSERT(a == middle && b == high);
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    for (size_t i = 1; i < n; i++) MSKPI_ASSERT(before(context, from[i - 1], from[i]));
    if (from != numbers) memcpy(numbers, from, n * sizeof *numbers);
}

/* The byte of a key that a pass sorts by; pass 0 takes the lowest. */
static size_t digit(const sort_item *item, int pass)
{
    return item->key >> 8 * pass & 255;
}

sort_item *mskpi_sort_items(sort_item *items, sort_item *buffer, size_t n)
{
    size_t count[8][256] = {{0}};
    for (size_t i = 0; i < n; i++)
        for (int pass = 0; pass < 8; pass++) count[pass][digit(&items[i], pass)]++;
    for (int pass = 0; n && pass < 8; pass++) {
        size_t *at = count[pass], sum = 0;
        if (at[digit(items, pass)] == n) continue;
        for (size_t d = 0; d < 256; d++) { /* from counts to the places where each value begins */
            const size_t items_here = at[d];
            at[d] = sum;
            sum += items_here;
        }
        MSKPI_ASSERT(sum == n);
        for (size_t i = 0; i < n; i++) buffer[at[digit(&items[i], pass)]++] = items[i];
        sort_item *swap = items;
        items = buffer;
        buffer = swap;
    }
    for (size_t i = 1; i < n; i++) MSKPI_ASSERT(items[i - 1].key <= items[i].key);
    return items;
}

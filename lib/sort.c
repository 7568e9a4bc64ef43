/* Sorting numbers. libc's qsort has no context, and leaves the order of equals to the platform. */
#include <string.h>

#include "internal.h"

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

/*
 * The images are shuffled and dealt one by one. Each goes to the first batch that is not full and
 * does not yet have its pseudo-class. Batches that are full at the end are handed out.
 *
 * If batch t is not full at the end, then whatever is in batch t + 1 has its pseudo-class in batch
 * t, too; so batch t + 1 is not full either. The full batches are therefore the first ones, at most
 * count / batch of them, and what would go to a later one need not be kept.
 *
 * Where a pseudo-class has more images than there are batches, some of its images are in none. They
 * have the same chance as others of their class in the next deal. Without labels every image is a
 * class of its own, and the deal is a shuffle.
 */
#include "batches.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(cn_error *err, const char *format, size_t a, size_t b)
{
    if (err) snprintf(err->text, sizeof err->text, format, a, b);
    return false;
}

/* How many pseudo-classes have images; SIZE_MAX without memory. */
static size_t count_classes(const batches *b, cn_error *err)
{
    size_t n = 0;
    unsigned char *seen = calloc(b->classes + 1, 1);
    if (!seen) return refuse(err, "no memory for %zu classes of %zu images", b->classes, b->count);
    for (size_t i = 0; i < b->count; i++) {
        if (b->label[i] >= b->classes) {
            free(seen);
            return refuse(err, "image %zu has a label that is not below %zu", i, b->classes);
        }
        n += !seen[b->label[i]];
        seen[b->label[i]] = 1;
    }
    free(seen);
    return n;
}

bool batches_open(batches *b, size_t count, size_t batch, size_t classes, const uint32_t *label,
                  cn_error *err)
{
    *b = (batches){
        .count = count, .batch = batch, .classes = label ? classes : count, .label = label};
    if (!batch || batch > count)
        return refuse(err, "a batch of %zu images cannot be made of %zu", batch, count);
    if (label) {
        const size_t n = count_classes(b, err);
        if (!n) return false;
        if (n < batch)
            return refuse(err,
                          "a batch of %zu images needs as many pseudo-classes, but there are %zu",
                          batch, n);
    }
    b->order = calloc(count, sizeof *b->order);
    b->image = calloc(count, sizeof *b->image);
    b->filled = calloc(count / batch, sizeof *b->filled);
    b->after = calloc(b->classes, sizeof *b->after);
    if (!b->order || !b->image || !b->filled || !b->after)
        return refuse(err, "no memory for %zu images in batches of %zu", count, batch);
    return true;
}

static void deal(batches *b, cn_random *random)
{
    const size_t most = b->count / b->batch;
    for (size_t i = 0; i < b->count; i++) b->order[i] = i;
    cn_shuffle(random, b->count, b->order);
    memset(b->filled, 0, most * sizeof *b->filled);
    memset(b->after, 0, b->classes * sizeof *b->after);
    for (size_t k = 0; k < b->count; k++) {
        const size_t i = b->order[k];
        size_t *at = &b->after[b->label ? b->label[i] : i];
        while (*at < most && b->filled[*at] == b->batch) ++*at;
        if (*at == most) continue;
        b->image[*at * b->batch + b->filled[*at]++] = i;
        ++*at;
    }
    b->next = 0;
    for (b->dealt = 0; b->dealt < most && b->filled[b->dealt] == b->batch;) b->dealt++;
}

/* The first images of `batch` classes fill the first batch, so a deal is never empty. */
const size_t *batches_next(batches *b, cn_random *random)
{
    if (b->next == b->dealt) deal(b, random);
    return b->image + b->batch * b->next++;
}

void batches_close(batches *b)
{
    free(b->order);
    free(b->image);
    free(b->filled);
    free(b->after);
    *b = (batches){0};
}

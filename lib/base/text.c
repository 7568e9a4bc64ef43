/*
 * Texts whose length is not known before they are written.
 *
 * One function makes the text and is called twice. The first call gets a writer that only counts
 * bytes, so the length is known, and a buffer that is too small is refused unchanged. The
 * second call gets a writer that appends to the caller's memory. No memory is allocated for the
 * text, and there is no second function that could count wrongly.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "mskp.h"

void mskpi_put_bytes(text_writer *w, const char *bytes, size_t n)
{
    if (w->to) memcpy(w->to + w->length, bytes, n);
    w->length = mskpi_sum(w->length, n);
}

void mskpi_put(text_writer *w, const char *string)
{
    mskpi_put_bytes(w, string, strlen(string));
}

void mskpi_put_count(text_writer *w, uint64_t n)
{
    char digits[3 * sizeof n];
    size_t first = sizeof digits;
    do digits[--first] = (char)('0' + n % 10);
    while (n /= 10);
    mskpi_put_bytes(w, digits + first, sizeof digits - first);
}

void mskpi_put_json(text_writer *w, double x)
{
    char number[NUMBER_SIZE];
    mskpi_put(w, isfinite(x) ? mskpi_exact_number(x, number) : "null");
}

mskp_status mskpi_write(void (*put)(text_writer *w, const void *context), const void *context,
                        size_t capacity, char *text, size_t *length, mskp_error *err)
{
    text_writer w = {NULL, 0};
    put(&w, context);
    *length = w.length;
    if (!text) return MSKP_OK;
    if (capacity <= w.length)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "text has room for %zu bytes, needed are %zu", capacity,
                          mskpi_sum(w.length, 1));
    w = (text_writer){text, 0};
    put(&w, context);
    MSKPI_ASSERT(w.length == *length);
    text[w.length] = 0;
    return MSKP_OK;
}

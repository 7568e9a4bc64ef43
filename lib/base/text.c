/*
 * Text whose length is not known before. A function that writes such a text is called twice: first
 * with a writer that only counts bytes, and then with one that puts them into memory of that size.
 * So the length is known before anything is written, and no memory is allocated for the text.
 */
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "mskp.h"

void mskpi_put_bytes(text_writer *w, const char *bytes, size_t n)
{
    if (w->to) memcpy(w->to + w->length, bytes, n);
    w->length += n;
}

void mskpi_put(text_writer *w, const char *string)
{
    mskpi_put_bytes(w, string, strlen(string));
}

void mskpi_put_count(text_writer *w, size_t n)
{
    char digits[3 * sizeof n];
    size_t first = sizeof digits;
    do digits[--first] = (char)('0' + n % 10);
    while (n /= 10);
    mskpi_put_bytes(w, digits + first, sizeof digits - first);
}

mskp_status mskpi_write(void (*tell)(text_writer *w, const void *what), const void *what,
                        size_t room, char *text, size_t *length, mskp_error *err)
{
    text_writer w = {NULL, 0};
    tell(&w, what);
    *length = w.length;
    if (!text) return MSKP_OK;
    if (room <= w.length)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "text has room for %zu bytes, needed are %zu", room, w.length + 1);
    w = (text_writer){text, 0};
    tell(&w, what);
    text[w.length] = 0;
    return MSKP_OK;
}

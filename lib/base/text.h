/* Texts whose length is not known before they are written. */
#ifndef MSKP_BASE_TEXT_H
#define MSKP_BASE_TEXT_H

#include "mskp.h"

typedef struct text_writer {
    char *to; /* the caller's memory; NULL: the writer only counts */
    size_t length;
} text_writer;

/* Append bytes, a string, or a whole number in decimal digits. */
void mskpi_put_bytes(text_writer *w, const char *bytes, size_t n);
void mskpi_put(text_writer *w, const char *string);
void mskpi_put_count(text_writer *w, uint64_t n);
/* Appends a number as JSON has it: with all its digits, or null where it is not finite. */
void mskpi_put_json(text_writer *w, double x);

/* Writes the text that put(w, context) appends. *length <- its length without the terminating 0.
 * Then text, unless it is NULL, <- the text and a 0, if `capacity` bytes can hold both. put is
 * called twice and must append the same bytes. */
mskp_status mskpi_write(void (*put)(text_writer *w, const void *context), const void *context,
                        size_t capacity, char *text, size_t *length, mskp_error *err);

#endif

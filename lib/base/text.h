/* Text whose length is not known before. */
#ifndef MSKP_BASE_TEXT_H
#define MSKP_BASE_TEXT_H

#include "mskp.h"

/* Text for the host's memory. */
typedef struct text_writer {
    char *to; /* NULL: only counts */
    size_t length;
} text_writer;
void mskpi_put_bytes(text_writer *w, const char *bytes, size_t n);
void mskpi_put(text_writer *w, const char *string);
void mskpi_put_count(text_writer *w, size_t n);
/* *length <- bytes of what `tell` puts; then puts it into text (NULL: not) with a 0 behind it, if
 * there is room for both. `tell` is called twice and must put the same. */
mskp_status mskpi_write(void (*tell)(text_writer *w, const void *what), const void *what,
                        size_t room, char *text, size_t *length, mskp_error *err);

#endif

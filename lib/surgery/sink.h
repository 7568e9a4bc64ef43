/* A sequence of bytes on its way to memory. */
#ifndef MSKP_SURGERY_SINK_H
#define MSKP_SURGERY_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MSKPI_LINE = 64 }; /* bytes of a cache line */

/* Whether there are streaming stores. */
#if defined __SSE2__
#define MSKPI_STREAMS true
#else
#define MSKPI_STREAMS false
#endif

typedef struct sink {
    char *to;              /* where line[0] belongs; aligned to a line once head is 0 */
    size_t head;           /* bytes up to the first line, which are written as they are */
    bool streams;          /* past the caches */
    size_t used;           /* of line */
    char line[MSKPI_LINE]; /* the begin of the next line */
} sink;

void mskpi_sink_open(sink *s, char *to, bool streams);
/* Appends n bytes, which may lie above the place where they belong and overlap it. */
void mskpi_sink_put(sink *s, const char *from, size_t n);
void mskpi_sink_zeros(sink *s, size_t n);
/* Writes what is left. Other threads see everything from then on. */
void mskpi_sink_close(sink *s);

#endif

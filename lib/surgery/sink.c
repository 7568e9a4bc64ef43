/*
 * A sequence of bytes on its way to memory, in whole cache lines.
 *
 * A processor reads a cache line from memory before it changes a part of the line. Where more is
 * written than caches hold, that read costs as much as the write. Streaming stores fill a line
 * beside the caches and need no read, but only if the whole line is written at a time. So bytes
 * are collected until a line is full. Before the first line and behind the last one, bytes are
 * written as they are.
 *
 * Bytes are written later than without this, and never earlier. In place that is allowed, as
 * reading earlier is (move.c).
 *
 * There is one instruction set here, because SSE2 is part of x86-64, and no compiler makes such
 * stores of a loop by itself. Elsewhere lines are copied.
 */
#include <string.h>

#include "surgery/sink.h"

/* Stores that pass the caches; and the fence after which other threads see them. */
#if defined __SSE2__
#include <emmintrin.h>
static inline void stream_line(char *to, const char *from)
{
    for (int i = 0; i < MSKPI_LINE / 16; i++)
        _mm_stream_si128((__m128i *)(void *)to + i,
                         _mm_loadu_si128((const __m128i *)(const void *)from + i));
}
static inline void stream_fence(void)
{
    _mm_sfence();
}
#else
static inline void stream_line(char *to, const char *from)
{
    memcpy(to, from, MSKPI_LINE);
}
static inline void stream_fence(void)
{
}
#endif

void mskpi_sink_open(sink *s, char *to, bool streams)
{
    s->to = to;
    s->streams = streams;
    s->head = (MSKPI_LINE - (uintptr_t)to % MSKPI_LINE) % MSKPI_LINE;
    s->used = 0;
}

static void sink_line(sink *s, const char *from)
{
    if (s->streams)
        stream_line(s->to, from);
    else
        memmove(s->to, from, MSKPI_LINE);
    s->to += MSKPI_LINE;
}

void mskpi_sink_put(sink *s, const char *from, size_t n)
{
    if (s->head) {
        const size_t k = n < s->head ? n : s->head;
        memmove(s->to, from, k);
        s->to += k;
        s->head -= k;
        from += k;
        n -= k;
    }
    if (s->used && n) {
        const size_t k = n < MSKPI_LINE - s->used ? n : MSKPI_LINE - s->used;
        memcpy(s->line + s->used, from, k);
        s->used += k;
        from += k;
        n -= k;
        if (s->used < MSKPI_LINE) return;
        sink_line(s, s->line);
        s->used = 0;
    }
    for (; n >= MSKPI_LINE; n -= MSKPI_LINE, from += MSKPI_LINE) sink_line(s, from);
    memcpy(s->line, from, n);
    s->used += n;
}

void mskpi_sink_zeros(sink *s, size_t n)
{
    static const char zeros[1024];
    for (; n > sizeof zeros; n -= sizeof zeros) mskpi_sink_put(s, zeros, sizeof zeros);
    mskpi_sink_put(s, zeros, n);
}

void mskpi_sink_close(sink *s)
{
    memcpy(s->to, s->line, s->used);
    if (s->streams) stream_fence();
}

/*
 * Moving the elements of one tensor: rows of items, the largest stride outermost.
 *
 * Axes that are whole and follow each other without a gap in both tensors are joined into one item,
 * a block of bytes. The next axis makes a row of such items, and the other axes are loops over
 * rows. A long item is a row by itself. A loop over an axis with a negative stride runs backwards,
 * so the addresses in the whole tensor ascend. This order is what makes a cut in place possible
 * (cut.c): at the time when an item is written, everything up to its end was read.
 *
 * Three things decide how fast the rows move, and each has its place here.
 *
 * Memory has to be asked early. A cut skips rows, and where each row is a few hundred bytes long, a
 * processor's own prefetching starts anew in each. So a second cursor runs over the rows, AHEAD
 * bytes before the first, and prefetches (fetch). It advances by as many bytes as were read.
 *
 * Small items are moved in groups of eight (move_group). All eight are read before the first is
 * written: reading earlier is always allowed, and then a compiler may keep eight loads in flight,
 * although the two tensors may overlap. move_items is inlined for the common sizes, so an item is
 * one or a few instructions there.
 *
 * Eight kept indices that follow each other are a run, which extends as far as the next eights do,
 * and moves as one block (run_length). The indices are compared for each row anew, because a
 * comparison for each eight costs less than a table of runs would take in memory.
 *
 * The inverse goes over the whole once: it clears up to the end of a stretch of items, and puts the
 * items in while the stretch is still in a cache. Everything between two items of a tensor without
 * gaps was removed, so a stretch can begin where the one before ended.
 *
 * Streaming stores past the caches were tried for what is written, and measured slower: the
 * sequence of bytes has to be put together in a buffer first, which costs more than the lines that
 * then need not be read.
 */
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "mskp.h"
#include "surgery/move.h"

#if defined __GNUC__
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)(address))
#endif

enum {
    LINE = 64,         /* bytes of a cache line */
    AHEAD = 8192,      /* how far prefetching is ahead, in bytes that are prefetched */
    STRETCH = 2048,    /* about the bytes of items that are moved between two prefetches */
    LONG_ITEM = 256,   /* from this many bytes on, an item is a row */
    LONG_FETCH = 4096, /* a longer item is prefetched by the processor from here on */
    GROUP = 8
};

/* ---- Where things are ---- */

static inline ptrdiff_t whole_at(const move_axis *a, size_t t)
{
    return a->whole * (ptrdiff_t)(a->kept ? a->kept[a->next * (ptrdiff_t)t] : t);
}

/* A place in the loops over rows. */
typedef struct cursor {
    size_t step[MSKP_MAX_DIMS];
    char *whole, *part;
} cursor;

static void seek(const mover *m, size_t row, cursor *c)
{
    c->whole = m->whole;
    c->part = m->part;
    for (uint32_t k = m->nouter; k-- > 0;) {
        const move_axis *a = &m->outer[k];
        c->step[k] = row % a->n;
        row /= a->n;
        c->whole += whole_at(a, c->step[k]);
        c->part += a->part * (ptrdiff_t)c->step[k];
    }
}

/* Goes to the next row; from the last one to the first. */
static inline void advance(const mover *m, cursor *c)
{
    for (uint32_t k = m->nouter; k-- > 0;) {
        const move_axis *a = &m->outer[k];
        const ptrdiff_t before = whole_at(a, c->step[k]);
        const bool wraps = ++c->step[k] == a->n;
        if (wraps) c->step[k] = 0;
        c->whole += whole_at(a, c->step[k]) - before;
        c->part += wraps ? -a->part * (ptrdiff_t)(a->n - 1) : a->part;
        if (!wraps) return;
    }
}

/* ---- Prefetching ---- */

typedef struct ahead {
    cursor at;
    size_t rows;   /* from its row on */
    size_t offset; /* in its row */
} ahead;

/* Prefetches the next `bytes` bytes of the rows, of each of which m->fetched count, and at most so
 * many. */
static void fetch(const mover *m, ahead *a, size_t bytes)
{
    const ptrdiff_t first = whole_at(&m->row, 0);
    if (bytes > m->fetched) bytes = m->fetched;
    while (a->rows && bytes) {
        const char *from = a->at.whole + first + a->offset;
        const size_t left = m->fetched - a->offset, n = bytes < left ? bytes : left;
        for (size_t b = 0; b < n; b += LINE) PREFETCH(from + b);
        a->offset += n;
        bytes -= n;
        if (a->offset < m->fetched) continue;
        a->offset = 0;
        a->rows--;
        advance(m, &a->at);
    }
}

/* ---- Items ---- */

typedef enum direction {
    GATHER,  /* part <- whole */
    SCATTER, /* whole <- part */
    CLEAR    /* whole <- zeros */
} direction;

/* Copies bytes upwards. `to` may overlap `from` from below. */
static inline void copy_up(char *to, const char *from, size_t bytes)
{
    char block[16];
    for (; bytes >= 16; bytes -= 16, to += 16, from += 16) {
        memcpy(block, from, 16);
        memcpy(to, block, 16);
    }
    for (size_t n = 8; n > 0; n /= 2) {
        if (!(bytes & n)) continue;
        memcpy(block, from, n);
        memcpy(to, block, n);
        to += n;
        from += n;
    }
}

/* Moves one item; where bytes and direction are constants, by one or a few instructions. */
static inline void move_item(direction how, char *whole, char *part, size_t bytes)
{
    if (how == CLEAR)
        memset(whole, 0, bytes);
    else if (bytes >= LONG_ITEM)
        memmove(how == GATHER ? part : whole, how == GATHER ? whole : part, bytes);
    else
        copy_up(how == GATHER ? part : whole, how == GATHER ? whole : part, bytes);
}

static inline bool is_run(const uint32_t *kept)
{
    uint32_t differs = 0;
    if (kept[GROUP - 1] - kept[0] != GROUP - 1) return false; /* decides for nearly all */
    for (uint32_t i = 1; i < GROUP - 1; i++) differs |= kept[i] ^ (kept[0] + i);
    return !differs;
}

/* Returns how many of n >= GROUP indices are a run, in steps of GROUP. */
static inline size_t run_length(const uint32_t *kept, size_t n)
{
    size_t length = 0;
    while (n - length >= GROUP && kept[length] - kept[0] == length && is_run(kept + length))
        length += GROUP;
    return length;
}

/* The place of index k, where `whole` is that of index `first`. */
static inline char *place(char *whole, uint32_t k, uint32_t first, size_t bytes)
{
    return whole + (ptrdiff_t)bytes * ((ptrdiff_t)k - (ptrdiff_t)first);
}

/* Moves GROUP items, of sizes up to 8 bytes all at a time. `whole` is the place of index `first`,
 * and `part` that of the group. */
static inline void move_group(direction how, char *whole, uint32_t first, char *part,
                              const uint32_t *kept, size_t bytes)
{
    if (bytes > 8) {
        for (size_t i = 0; i < GROUP; i++)
            move_item(how, place(whole, kept[i], first, bytes), part + bytes * i, bytes);
    } else {
        char item[GROUP][8];
        for (size_t i = 0; i < GROUP; i++)
            memcpy(item[i], how == GATHER ? place(whole, kept[i], first, bytes) : part + bytes * i,
                   bytes);
        for (size_t i = 0; i < GROUP; i++)
            memcpy(how == GATHER ? part + bytes * i : place(whole, kept[i], first, bytes), item[i],
                   bytes);
    }
}

/* Moves n items that lie side by side in both tensors. */
static inline void move_packed(direction how, char *whole, char *part, const uint32_t *kept,
                               size_t n, size_t bytes)
{
    const uint32_t first = kept[0];
    while (n >= GROUP) {
        size_t length = run_length(kept, n);
        if (length) {
            move_item(how, place(whole, kept[0], first, bytes), part, bytes * length);
        } else {
            length = GROUP;
            move_group(how, whole, first, part, kept, bytes);
        }
        kept += length;
        part += bytes * length;
        n -= length;
    }
    for (size_t i = 0; i < n; i++)
        move_item(how, place(whole, kept[i], first, bytes), part + bytes * i, bytes);
}

/* Moves the n > 0 items of a row from step t on. `whole` and `part` are the places of the first. */
static inline void move_items(const mover *m, direction how, size_t t, size_t n, char *whole,
                              char *part, size_t bytes)
{
    const move_axis *a = &m->row;
    const ptrdiff_t first = whole_at(a, t);
    if (how != CLEAR && a->kept && a->whole == (ptrdiff_t)bytes && a->part == (ptrdiff_t)bytes)
        move_packed(how, whole, part, a->kept + t, n, bytes);
    else
        for (size_t i = 0; i < n; i++)
            move_item(how, whole + (whole_at(a, t + i) - first), part + a->part * (ptrdiff_t)i,
                      bytes);
}

/* The sizes of single elements, and of kernels of 3 x 3 elements of 2, 4 and 8 bytes. */
static inline void move_sized(const mover *m, direction how, size_t t, size_t n, char *whole,
                              char *part)
{
    switch (m->bytes) {
    case 1:
        move_items(m, how, t, n, whole, part, 1);
        break;
    case 2:
        move_items(m, how, t, n, whole, part, 2);
        break;
    case 4:
        move_items(m, how, t, n, whole, part, 4);
        break;
    case 8:
        move_items(m, how, t, n, whole, part, 8);
        break;
    case 18:
        move_items(m, how, t, n, whole, part, 18);
        break;
    case 36:
        move_items(m, how, t, n, whole, part, 36);
        break;
    case 72:
        move_items(m, how, t, n, whole, part, 72);
        break;
    default:
        move_items(m, how, t, n, whole, part, m->bytes);
    }
}

/* ---- Rows ---- */

/* The bytes of the whole from step t of a row to step `end`, or to the end of the row. */
static inline size_t bytes_between(const mover *m, size_t t, size_t end)
{
    const ptrdiff_t to = end < m->row.n ? whole_at(&m->row, end)
                                        : whole_at(&m->row, m->row.n - 1) + (ptrdiff_t)m->bytes;
    return (size_t)(to - whole_at(&m->row, t));
}

/* The end of the stretch of items that begins with step t. At most STRETCH bytes of the whole,
 * unless that is one item; a multiple of GROUP where possible. */
static size_t stretch_end(const mover *m, size_t t)
{
    size_t n = STRETCH / m->bytes / GROUP * GROUP;
    n = n ? n : m->bytes >= STRETCH / GROUP ? 1 : GROUP;
    if (n > m->row.n - t) n = m->row.n - t;
    while (n > 1 && whole_at(&m->row, t + n - 1) - whole_at(&m->row, t) >
                        (ptrdiff_t)STRETCH - (ptrdiff_t)m->bytes)
        n /= 2;
    return t + n;
}

void mskpi_gather(const mover *m, size_t first, size_t n)
{
    cursor c;
    ahead a = {.rows = 0};
    MSKPI_ASSERT(first <= m->rows && n <= m->rows - first);
    if (!n) return;
    seek(m, first, &c);
    if (m->fetched) {
        a = (ahead){.at = c, .rows = n};
        for (size_t b = 0; b < AHEAD; b += m->fetched) fetch(m, &a, AHEAD - b);
    }
    for (; n > 0; n--, advance(m, &c))
        for (size_t t = 0, end; t < m->row.n; t = end) {
            end = stretch_end(m, t);
            if (a.rows) fetch(m, &a, bytes_between(m, t, end));
            move_sized(m, GATHER, t, end - t, c.whole + whole_at(&m->row, t),
                       c.part + m->row.part * (ptrdiff_t)t);
        }
}

/* ---- The inverse ---- */

/* Sets the elements of a view with gaps to 0. */
static void clear(const tensor_view *v)
{
    const uint32_t *const all[MSKP_MAX_DIMS] = {NULL};
    mover m;
    cursor c;
    mskpi_mover_make(v, v, all, &m);
    if (m.rows) seek(&m, 0, &c);
    for (size_t row = 0; row < m.rows; row++, advance(&m, &c))
        move_sized(&m, CLEAR, 0, m.row.n, c.whole + whole_at(&m.row, 0), c.part);
}

static void scatter(const mover *m)
{
    cursor c;
    if (m->rows) seek(m, 0, &c);
    for (size_t row = 0; row < m->rows; row++, advance(m, &c))
        move_sized(m, SCATTER, 0, m->row.n, c.whole + whole_at(&m->row, 0), c.part);
}

static void clear_up_to(char *done, char *to)
{
    MSKPI_ASSERT(done <= to);
    memset(done, 0, (size_t)(to - done));
}

void mskpi_restore(const mover *m, const tensor_view *whole, size_t first, size_t n)
{
    const bool last = first + n == m->rows;
    cursor c = {.whole = m->low};
    MSKPI_ASSERT(first <= m->rows && n <= m->rows - first);
    MSKPI_ASSERT(m->dense || n == m->rows);
    if (!m->dense) {
        clear(whole);
        scatter(m);
        return;
    }
    if (n) seek(m, first, &c);
    char *done = first ? c.whole + whole_at(&m->row, 0) : m->low;
    for (; n > 0; n--, advance(m, &c))
        for (size_t t = 0, end; t < m->row.n; t = end) {
            end = stretch_end(m, t);
            char *item = c.whole + whole_at(&m->row, end - 1);
            clear_up_to(done, end - t == 1 ? item : item + m->bytes);
            move_sized(m, SCATTER, t, end - t, c.whole + whole_at(&m->row, t),
                       c.part + m->row.part * (ptrdiff_t)t);
            done = item + m->bytes;
        }
    clear_up_to(done, last ? m->high : c.whole + whole_at(&m->row, 0));
}

/* ---- Pieces ---- */

size_t mskpi_gather_at_once(const mover *m, size_t first, size_t piece)
{
    size_t n = piece;
    cursor c;
    MSKPI_ASSERT(first < m->rows && piece > 0);
    seek(m, first, &c);
    const char *source = c.whole + whole_at(&m->row, 0);
    for (; n < m->rows - first; n += piece) {
        const size_t last = m->rows - first - n < piece ? m->rows - 1 : first + n + piece - 1;
        seek(m, last, &c);
        const char *end = c.part + m->row.part * (ptrdiff_t)(m->row.n - 1) + m->bytes;
        if (end > source) break;
    }
    return n < m->rows - first ? n : m->rows - first;
}

/* ---- The loops ---- */

/* The loop over axis d. Shifts the places of the first item where all indices descend. */
static move_axis axis_of(const tensor_view *whole, const tensor_view *part, uint32_t d,
                         const uint32_t *kept, mover *m)
{
    const ptrdiff_t element = (ptrdiff_t)whole->element, last = (ptrdiff_t)part->shape[d] - 1;
    move_axis a = {.n = part->shape[d],
                   .kept = kept,
                   .next = 1,
                   .whole = whole->shape[d] > 1 ? whole->stride[d] * element : 0,
                   .part = part->shape[d] > 1 ? part->stride[d] * element : 0};
    if (a.whole >= 0) return a;
    m->part += a.part * last;
    a.part = -a.part;
    if (kept) {
        a.kept += last;
        a.next = -1;
    } else {
        m->whole += a.whole * last;
        a.whole = -a.whole;
    }
    return a;
}

/* Which bytes of each row to prefetch: none where most lines hold nothing that moves. */
static size_t fetched_of(const mover *m)
{
    const size_t span = bytes_between(m, 0, m->row.n);
    if (m->rows == 1 && span <= AHEAD) return 0;
    if (m->row.n == 1) return span < LONG_FETCH ? span : LONG_FETCH;
    return span / (2 * LINE) <= m->row.n ? span : 0;
}

void mskpi_mover_make(const tensor_view *whole, const tensor_view *part,
                      const uint32_t *const kept[MSKP_MAX_DIMS], mover *m)
{
    const ptrdiff_t element = (ptrdiff_t)whole->element;
    uint32_t inner = whole->ndim; /* whole->order[inner] and later axes are in the item */
    MSKPI_ASSERT(whole->ndim == part->ndim && whole->element == part->element);
    *m = (mover){.bytes = whole->element,
                 .row = {.n = 1, .next = 1},
                 .whole = whole->data,
                 .part = part->data,
                 .low = whole->low,
                 .high = whole->low + whole->extent,
                 .dense = mskpi_elements(whole) * whole->element == whole->extent};
    if (!mskpi_elements(part)) return;
    MSKPI_ASSERT(whole->data && part->data);
    for (; inner > 0; inner--) {
        const uint32_t d = whole->order[inner - 1];
        MSKPI_ASSERT(kept[d] || part->shape[d] == whole->shape[d]);
        if (part->shape[d] < 2 && whole->shape[d] < 2) continue;
        if (kept[d] || whole->stride[d] * element != (ptrdiff_t)m->bytes ||
            part->stride[d] * element != (ptrdiff_t)m->bytes)
            break;
        m->bytes *= part->shape[d];
    }
    for (uint32_t k = 0; k < inner; k++) {
        const uint32_t d = whole->order[k];
        if (part->shape[d] < 2 && whole->shape[d] < 2) continue;
        m->outer[m->nouter] = axis_of(whole, part, d, kept[d], m);
        m->nouter++;
    }
    if (m->nouter && m->bytes < LONG_ITEM) m->row = m->outer[--m->nouter];
    m->rows = 1;
    for (uint32_t k = 0; k < m->nouter; k++) m->rows *= m->outer[k].n;
    m->fetched = fetched_of(m);
}

/*
 * Moving the elements of one tensor: nested loops over the axes, the largest stride outermost.
 *
 * Axes that are whole and follow each other without a gap in both tensors are joined into one block
 * of bytes first. The other axes become loops. A loop over an axis with a negative stride runs
 * backwards, so the addresses in the whole tensor ascend. This order is what makes a cut in
 * place possible (cut.c).
 *
 * The innermost loop takes nearly all of the time. move_items is inlined for each direction and for
 * the common sizes of a block, so a block moves by one or a few instructions there.
 */
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "mskp.h"
#include "surgery/move.h"

typedef enum direction {
    GATHER,  /* part <- whole */
    SCATTER, /* whole <- part */
    CLEAR    /* part <- zeros */
} direction;

/* The loop over one axis. Iteration t visits index `reverse ? n-1-t : t` of the part. */
typedef struct loop {
    size_t n;
    const uint32_t *kept;  /* [n] indices of the whole; NULL: all of them */
    ptrdiff_t whole, part; /* bytes per index */
    bool reverse;
} loop;

typedef struct mover {
    loop loops[MSKP_MAX_DIMS];
    uint32_t nloops;
    size_t bytes; /* of a block that is contiguous in both tensors */
    direction direction;
} mover;

static inline void move_item(direction how, char *whole, char *part, size_t bytes)
{
    if (how == GATHER)
        memmove(part, whole, bytes);
    else if (how == SCATTER)
        memmove(whole, part, bytes);
    else
        memset(part, 0, bytes);
}

/* The innermost loop. Where bytes and direction are constants, an item is one instruction. A gather
 * of items that lie side by side in both tensors has a simpler loop still. */
static inline void move_items(const loop *l, direction how, char *whole, char *part, size_t bytes)
{
    const ptrdiff_t next = l->reverse ? -1 : 1, item = (ptrdiff_t)bytes;
    ptrdiff_t i = l->reverse ? (ptrdiff_t)l->n - 1 : 0;
    MSKPI_ASSERT(!l->reverse || l->whole < 0);
    if (l->kept && l->whole == item && l->part == item)
        for (size_t t = 0; t < l->n; t++, part += item)
            move_item(how, whole + item * (ptrdiff_t)l->kept[t], part, bytes);
    else if (l->kept)
        for (size_t t = 0; t < l->n; t++, i += next)
            move_item(how, whole + l->whole * (ptrdiff_t)l->kept[i], part + l->part * i, bytes);
    else
        for (size_t t = 0; t < l->n; t++, i += next)
            move_item(how, whole + l->whole * i, part + l->part * i, bytes);
}

/* The sizes of single elements, and of kernels of 3 x 3 floats. */
static inline void move_sized(const loop *l, direction how, char *whole, char *part, size_t bytes)
{
    switch (bytes) {
    case 1:
        move_items(l, how, whole, part, 1);
        break;
    case 2:
        move_items(l, how, whole, part, 2);
        break;
    case 4:
        move_items(l, how, whole, part, 4);
        break;
    case 8:
        move_items(l, how, whole, part, 8);
        break;
    case 36:
        move_items(l, how, whole, part, 36);
        break;
    default:
        move_items(l, how, whole, part, bytes);
    }
}

static void move_innermost(const loop *l, direction how, char *whole, char *part, size_t bytes)
{
    switch (how) {
    case GATHER:
        move_sized(l, GATHER, whole, part, bytes);
        break;
    case SCATTER:
        move_sized(l, SCATTER, whole, part, bytes);
        break;
    default:
        move_sized(l, CLEAR, whole, part, bytes);
    }
}

static void move_loops(const mover *m, uint32_t level, char *whole, char *part)
{
    MSKPI_ASSERT(level <= m->nloops);
    if (level == m->nloops) { /* without any loop, the tensor is one block */
        move_item(m->direction, whole, part, m->bytes);
        return;
    }
    const loop *l = &m->loops[level];
    if (level + 1 == m->nloops) {
        move_innermost(l, m->direction, whole, part, m->bytes);
        return;
    }
    for (size_t t = 0; t < l->n; t++) {
        const size_t i = l->reverse ? l->n - 1 - t : t;
        const size_t at = l->kept ? l->kept[i] : i;
        move_loops(m, level + 1, whole + l->whole * (ptrdiff_t)at, part + l->part * (ptrdiff_t)i);
    }
}

static void move_tensor(direction how, const tensor_view *whole, const tensor_view *part,
                        const uint32_t *const kept[MSKP_MAX_DIMS])
{
    mover m = {.bytes = whole->element, .direction = how};
    const ptrdiff_t element = (ptrdiff_t)whole->element;
    uint32_t inner = whole->ndim; /* whole->order[inner] and later axes are in the block */
    if (!mskpi_elements(part)) return;
    MSKPI_ASSERT(whole->data && part->data && whole->ndim == part->ndim);
    MSKPI_ASSERT(whole->element == part->element);
    for (uint32_t d = 0; d < whole->ndim; d++)
        MSKPI_ASSERT(kept[d] || part->shape[d] == whole->shape[d]);
    while (inner > 0) {
        const uint32_t d = whole->order[inner - 1];
        if (part->shape[d] > 1 || whole->shape[d] > 1) {
            if (kept[d] || whole->stride[d] * element != (ptrdiff_t)m.bytes ||
                part->stride[d] * element != (ptrdiff_t)m.bytes)
                break;
            m.bytes *= part->shape[d];
        }
        inner--;
    }
    for (uint32_t k = 0; k < inner; k++) {
        const uint32_t d = whole->order[k];
        m.loops[m.nloops++] = (loop){.n = part->shape[d],
                                     .kept = kept[d],
                                     .whole = whole->shape[d] > 1 ? whole->stride[d] * element : 0,
                                     .part = part->shape[d] > 1 ? part->stride[d] * element : 0,
                                     .reverse = whole->shape[d] > 1 && whole->stride[d] < 0};
    }
    move_loops(&m, 0, whole->data, part->data);
}

void mskpi_gather(const tensor_view *part, const tensor_view *whole,
                  const uint32_t *const kept[MSKP_MAX_DIMS])
{
    move_tensor(GATHER, whole, part, kept);
}

void mskpi_scatter(const tensor_view *whole, const tensor_view *part,
                   const uint32_t *const kept[MSKP_MAX_DIMS])
{
    move_tensor(SCATTER, whole, part, kept);
}

void mskpi_clear(const tensor_view *v)
{
    const uint32_t *const all[MSKP_MAX_DIMS] = {NULL};
    move_tensor(CLEAR, v, v, all);
}

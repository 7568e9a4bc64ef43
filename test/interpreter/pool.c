/*
 * A pool is a list of chunks, and a block is the next part of the first chunk. A chunk is poisoned
 * as a whole when the pool gets it, and a block is what is not poisoned. Between two blocks there
 * are at least REDZONE bytes that belong to none.
 *
 * Emptied pools leave their chunks to the next one, up to MOST_SPARE.
 */
#include "pool.h"

#if POOLED
#include <sanitizer/asan_interface.h>
#include <stdlib.h>

enum { CHUNK = 1 << 18, REDZONE = 16, MOST_SPARE = 64 };

typedef struct pool_chunk {
    struct pool_chunk *next;
    size_t room, used; /* bytes behind this head */
    max_align_t start[];
} pool_chunk;

static pool_chunk *spare;
static size_t spares;

static pool_chunk *take_chunk(size_t bytes)
{
    pool_chunk *c = spare;
    if (bytes <= CHUNK && c) {
        spare = c->next;
        spares--;
        return c;
    }
    const size_t room = bytes > CHUNK ? bytes : CHUNK;
    c = malloc(sizeof *c + room);
    if (!c) return NULL;
    c->room = room;
    c->used = 0;
    ASAN_POISON_MEMORY_REGION(c->start, room);
    return c;
}

void *pool_get(block_pool *p, size_t bytes)
{
    const size_t step = REDZONE + (bytes + 15) / 16 * 16;
    if (step < bytes || step > SIZE_MAX - sizeof(pool_chunk)) return NULL;
    if (!p->first || p->first->room - p->first->used < step) {
        pool_chunk *c = take_chunk(step);
        if (!c) return NULL;
        c->next = p->first;
        p->first = c;
    }
    unsigned char *block = (unsigned char *)p->first->start + p->first->used + REDZONE;
    p->first->used += step;
    ASAN_UNPOISON_MEMORY_REGION(block, bytes);
    return block;
}

void pool_poison(void *block, size_t bytes)
{
    ASAN_POISON_MEMORY_REGION(block, bytes);
}

void pool_unpoison(void *block, size_t bytes)
{
    ASAN_UNPOISON_MEMORY_REGION(block, bytes);
}

void pool_empty(block_pool *p)
{
    for (pool_chunk *c = p->first, *next; c; c = next) {
        next = c->next;
        if (c->room > CHUNK || spares == MOST_SPARE) {
            free(c);
            continue;
        }
        ASAN_POISON_MEMORY_REGION(c->start, c->used);
        c->used = 0;
        c->next = spare;
        spare = c;
        spares++;
    }
    p->first = NULL;
}
#else
extern int pool_is_not_needed; /* ISO C wants a declaration in every file. */
#endif

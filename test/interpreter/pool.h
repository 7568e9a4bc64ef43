/*
 * Blocks for programs with AddressSanitizer, whose malloc takes most of the time of small tests. A
 * block's bytes can be touched while it is out; what is around it, and what was given back, is
 * poisoned, and is not used again before the pool is emptied. So reads and writes beyond a block's
 * ends and after its release are found as with malloc, only without the place of its allocation.
 * Without the sanitizer there is no pool: valgrind must see each block by itself.
 *
 * All pools share what they hold between their uses, so they belong to one thread.
 */
#ifndef INTERPRETER_POOL_H
#define INTERPRETER_POOL_H

#include <stddef.h>

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define POOLED 1
#else
#define POOLED 0
#endif

#if POOLED
typedef struct block_pool {
    struct pool_chunk *first; /* the one that blocks come from, then those that are full */
} block_pool;

/* Aligned for every type; the bytes are anything. NULL: no memory. */
void *pool_get(block_pool *p, size_t bytes);
void pool_poison(void *block, size_t bytes);
void pool_unpoison(void *block, size_t bytes);
/* Takes back all blocks. */
void pool_empty(block_pool *p);
#endif

#endif

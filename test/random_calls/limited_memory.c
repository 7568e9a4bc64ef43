/* A heap of limited size, absurd numbers, and what every error sentence must be. */
#include "random_calls.h"

#include "by_id/by_id.h"
#include <stdlib.h>
#include <string.h>

typedef union block {
    size_t bytes;
    max_align_t align;
} block;

/* The size of blocks that are not out any more: no size that was ever asked for. */
#define GIVEN_BACK SIZE_MAX

/* A block of the pool is closed again up to what its user may touch. */
#if POOLED
static block *open_block(limited_heap *p, size_t bytes)
{
    block *b = pool_get(&p->blocks, sizeof *b + bytes);
    if (b) b->bytes = bytes;
    if (b) pool_poison(b, sizeof *b);
    return b;
}

static size_t close_block(limited_heap *p, block *b)
{
    pool_unpoison(b, sizeof *b);
    const size_t bytes = b->bytes;
    REQUIRE(bytes != GIVEN_BACK, "a block is released twice");
    b->bytes = GIVEN_BACK;
    pool_poison(b, sizeof *b + bytes);
    if (p->live == 1) pool_empty(&p->blocks);
    return bytes;
}
#else
static block *open_block(limited_heap *p, size_t bytes)
{
    block *b = malloc(sizeof *b + bytes);
    (void)p;
    if (b) b->bytes = bytes;
    return b;
}

static size_t close_block(limited_heap *p, block *b)
{
    const size_t bytes = b->bytes;
    (void)p;
    free(b);
    return bytes;
}
#endif

static void *take(void *context, size_t bytes)
{
    limited_heap *p = context;
    REQUIRE(bytes, "0 bytes are asked for");
    p->asked++;
    const bool none = p->asked == p->fail_at || bytes > p->most - p->bytes;
    block *b = none ? NULL : open_block(p, bytes);
    if (!b) {
        p->empty = true;
        return NULL;
    }
    p->bytes += bytes;
    p->live++;
    memset(b + 1, 0xA5, bytes);
    return b + 1;
}

static void give(void *context, void *memory)
{
    limited_heap *p = context;
    if (!memory) return;
    p->bytes -= close_block(p, (block *)memory - 1);
    p->live--;
}

/* Results do not depend on the order. */
static void backwards(void *context, size_t n, void (*work)(void *work_context, size_t i),
                      void *work_context)
{
    (void)context;
    while (n > 0) work(work_context, --n);
}

mskp_services limited_heap_services(limited_heap *p)
{
    return (mskp_services){
        .context = p, .allocate = take, .release = give, .parallel_for = backwards};
}

void limited_heap_fail(limited_heap *p, size_t n)
{
    p->fail_at = n ? p->asked + n : 0;
    p->empty = false;
}

size_t absurd(rng *r)
{
    static const size_t some[] = {0,
                                  1,
                                  2,
                                  3,
                                  7,
                                  255,
                                  1u << 16,
                                  INT32_MAX,
                                  (size_t)INT32_MAX + 1,
                                  UINT32_MAX - 2,
                                  UINT32_MAX - 1,
                                  UINT32_MAX,
                                  (size_t)UINT32_MAX + 1,
                                  SIZE_MAX >> 11,
                                  SIZE_MAX / 32,
                                  SIZE_MAX / 2,
                                  SIZE_MAX / 2 + 1,
                                  SIZE_MAX - 1,
                                  SIZE_MAX};
    return some[rng_below(r, sizeof some / sizeof *some)];
}

void spoil(rng *r, void *what, size_t bytes)
{
    const size_t number = absurd(r), width = rng_chance(r, 0.5) ? 4 : 8;
    const uint32_t low = (uint32_t)number;
    char *at = (char *)what + width * rng_below(r, bytes / width);
    if (width == 8)
        memcpy(at, &number, sizeof number);
    else
        memcpy(at, &low, sizeof low);
}

void require_sentence(mskp_status status, const mskp_error *err)
{
    REQUIRE(status > MSKP_OK && strcmp(mskp_status_text(status), "unknown status") != 0,
            "status %d", (int)status);
    REQUIRE(err->status == status, "the sentence is of status %d, not %d", (int)err->status,
            (int)status);
    REQUIRE(memchr(err->text, 0, sizeof err->text) && err->text[0], "no sentence, or no end");
    for (const char *c = err->text; *c; c++)
        REQUIRE((unsigned char)*c >= ' ' && *c != 127, "a control character: %s", err->text);
}

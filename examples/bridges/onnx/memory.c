#include "memory.h"

#include <stdlib.h>

/* Of a thread, because a host may describe several networks at once. */
static _Thread_local bool short_of_memory;

static void *noted(void *memory)
{
    if (!memory) short_of_memory = true;
    return memory;
}

void *try_malloc(size_t size)
{
    return noted(malloc(size ? size : 1));
}

void *try_calloc(size_t count, size_t size)
{
    return noted(calloc(count ? count : 1, size ? size : 1));
}

void *try_realloc(void *old, size_t size)
{
    return noted(realloc(old, size ? size : 1));
}

void memory_note(void)
{
    short_of_memory = true;
}

void memory_watch(void)
{
    short_of_memory = false;
}

bool memory_was_short(void)
{
    return short_of_memory;
}

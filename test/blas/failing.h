/* A heap whose k-th allocation fails, and which counts its blocks. */
#ifndef BLAS_FAILING_H
#define BLAS_FAILING_H

#include <stdlib.h>

#include "mskp/tools.h"

typedef struct failing_heap {
    size_t calls, live, fail_at; /* fail_at 0: never */
} failing_heap;

static inline void *failing_allocate(void *context, size_t bytes)
{
    failing_heap *h = context;
    void *memory = ++h->calls == h->fail_at ? NULL : malloc(bytes);
    h->live += memory != NULL;
    return memory;
}

static inline void failing_release(void *context, void *memory)
{
    failing_heap *h = context;
    h->live -= memory != NULL;
    free(memory);
}

static inline mskp_services failing_services(failing_heap *h)
{
    return (mskp_services){.context = h, .allocate = failing_allocate, .release = failing_release};
}

#endif

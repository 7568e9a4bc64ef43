#define _DEFAULT_SOURCE
#include "guarded_memory.h"

#include "by_id/by_id.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void test_format(char text[400], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, 400, format, arguments);
    va_end(arguments);
}

size_t scaled(size_t n)
{
    const char *text = getenv("MSKP_TEST_SCALE");
    double factor = text ? strtod(text, NULL) : 1;
    double result = (double)n * (factor > 0 ? factor : 1);
    return result < 1 ? 1 : (size_t)result;
}

/* splitmix64 (S. Vigna, public domain). */
uint64_t rng_next(rng *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

size_t rng_below(rng *r, size_t n)
{
    return (size_t)((rng_next(r) >> 32) * (uint64_t)n >> 32);
}

bool rng_chance(rng *r, size_t one_in)
{
    return rng_below(r, one_in) == 0;
}

double rng_real(rng *r)
{
    return (double)(rng_next(r) >> 11) / 4503599627370496.0 - 1;
}

void rng_fill(rng *r, void *memory, size_t bytes)
{
    unsigned char *p = memory;
    while (bytes > 0) {
        uint64_t x = rng_next(r);
        size_t n = bytes < sizeof x ? bytes : sizeof x;
        memcpy(p, &x, n);
        p += n;
        bytes -= n;
    }
}

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

guarded guarded_make(size_t bytes)
{
    size_t page = page_size(), size = (bytes + page - 1) / page * page;
    unsigned char *map = mmap(NULL, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(map != MAP_FAILED, "%zu bytes", size);
    guarded g = {.start = map + page, .size = size};
    guarded_write(g, true);
    return g;
}

void guarded_write(guarded g, bool allowed)
{
    int changed = mprotect(g.start, g.size, allowed ? PROT_READ | PROT_WRITE : PROT_READ);
    must(changed == 0, "%zu bytes", g.size);
}

void guarded_free(guarded g)
{
    size_t page = page_size();
    munmap(g.start - page, g.size + 2 * page);
}

/* FNV-1a, by words of 8 bytes. */
uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    while (n > 0) {
        uint64_t word = n;
        size_t step = n < sizeof word ? n : sizeof word;
        memcpy(&word, p, step);
        hash = (hash ^ word) * UINT64_C(0x100000001b3);
        hash ^= hash >> 29;
        p += step;
        n -= step;
    }
    return hash;
}

static uint64_t hash_number(uint64_t hash, uint64_t number)
{
    return hash_bytes(hash, &number, sizeof number);
}

static uint64_t hash_list(uint64_t hash, const uint32_t *list, size_t n)
{
    hash = hash_number(hash, list ? n : UINT64_MAX);
    return list ? hash_bytes(hash, list, n * sizeof *list) : hash;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    return hash_bytes(hash, text, strlen(text) + 1);
}

uint64_t graph_fingerprint(const mskp_graph *graph)
{
    mskp_counts count = mskp_graph_counts(graph);
    uint64_t hash = HASH_START;
    hash = hash_number(hash, count.units);
    hash = hash_number(hash, count.families);
    hash = hash_number(hash, count.params);
    hash = hash_number(hash, count.values);
    for (uint32_t p = 1; p <= count.params; p++) {
        mskp_param param = {p};
        const char *name = "";
        size_t shape[MSKP_MAX_DIMS] = {0};
        uint32_t ndim = param_info(graph, param, &name, shape);
        hash = hash_number(hash_text(hash, name), ndim);
        hash = hash_number(hash, mskp_param_find(graph, name).id);
        for (uint32_t a = 0; a < ndim; a++) {
            uint32_t roles = 0;
            size_t n = 0;
            const uint32_t *units = mskp_param_units(graph, param, a, &roles, &n);
            hash = hash_number(hash_number(hash, shape[a]), roles);
            hash = hash_list(hash, units, n);
        }
    }
    for (uint32_t v = 1; v <= count.values; v++) {
        mskp_value value = {v};
        mskp_coupling info = {0};
        mskp_error err = {.text = ""};
        must(mskp_value_coupling(graph, value, &info, &err) == MSKP_OK, "%s", err.text);
        hash = hash_text(hash_text(hash, info.name), info.op);
        hash = hash_number(hash, mskp_value_find(graph, info.name).id);
        size_t spatial[MSKP_MAX_SPATIAL];
        const uint32_t axes = mskp_value_shape(graph, value, NULL, spatial);
        hash = hash_number(hash, axes);
        for (uint32_t i = 0; i < axes; i++) hash = hash_number(hash, spatial[i]);
        const uint64_t numbers[] = {info.channels,   info.units, info.pinned,
                                    info.tied_by.id, info.tied,  info.pinned_by.id};
        hash = hash_bytes(hash, numbers, sizeof numbers);
        size_t n = 0;
        const uint32_t *units = mskp_value_units(graph, value, &n);
        hash = hash_list(hash, units, n);
    }
    for (size_t u = 0; u < count.units; u++) {
        size_t n = 0;
        const mskp_member *members = mskp_unit_members(graph, u, &n);
        hash = hash_number(hash, n);
        for (size_t i = 0; i < n; i++) {
            const uint32_t numbers[] = {members[i].param.id, members[i].axis, members[i].index,
                                        members[i].roles};
            hash = hash_bytes(hash, numbers, sizeof numbers);
        }
    }
    size_t n = 0;
    const uint32_t *families = mskp_unit_families(graph, &n);
    hash = hash_list(hash, families, n);
    for (size_t f = 0; f < count.families; f++) {
        const uint32_t *units = mskp_family_units(graph, f, &n);
        hash = hash_list(hash, units, n);
    }
    return hash;
}

/* ---- The heap: [block header][what was asked for][tail], all poisoned. ---- */

#if defined __GLIBC__
/* So that a test may put a malloc of its own in between (see test_alloc.c). */
void *__libc_malloc(size_t bytes);
void __libc_free(void *memory);
#define real_malloc __libc_malloc
#define real_free   __libc_free
#else
#define real_malloc malloc
#define real_free   free
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#undef real_malloc
#undef real_free
#define real_malloc malloc
#define real_free   free
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#undef real_malloc
#undef real_free
#define real_malloc malloc
#define real_free   free
#endif
#endif

#define LIVE UINT64_C(0x6d736b706c697665)
#define DEAD UINT64_C(0x6d736b7064656164)
enum { TAIL = 16, FRESH = 0xa5, GONE = 0xdd, FENCE = 0x7e };

typedef union block {
    struct {
        uint64_t mark;
        size_t bytes;
    } is;
    max_align_t align;
} block;

static void *heap_allocate(void *context, size_t bytes)
{
    heap *h = context;
    h->calls++;
    if (bytes == 0) h->bad = "asked for 0 bytes";
    if (h->fail_at && (h->calls == h->fail_at || (h->for_good && h->calls > h->fail_at))) {
        h->fired = true;
        return NULL;
    }
    block *b = bytes > SIZE_MAX / 2 ? NULL : real_malloc(sizeof *b + bytes + TAIL);
    if (b == NULL) return NULL;
    b->is.mark = LIVE;
    b->is.bytes = bytes;
    memset(b + 1, FRESH, bytes);
    memset((unsigned char *)(b + 1) + bytes, FENCE, TAIL);
    h->live++;
    return b + 1;
}

static void heap_release(void *context, void *memory)
{
    heap *h = context;
    if (memory == NULL) return;
    block *b = (block *)memory - 1;
    if (b->is.mark != LIVE) {
        h->bad = b->is.mark == DEAD ? "released twice" : "released what was not allocated";
        return;
    }
    const unsigned char *tail = (unsigned char *)memory + b->is.bytes;
    for (int i = 0; i < TAIL; i++)
        if (tail[i] != FENCE) h->bad = "wrote behind a block";
    b->is.mark = DEAD;
    memset(memory, GONE, b->is.bytes);
    h->live--;
    h->releases++;
    real_free(b);
}

mskp_services heap_services(heap *h)
{
    return (mskp_services){.context = h, .allocate = heap_allocate, .release = heap_release};
}

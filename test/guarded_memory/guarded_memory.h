/* What the robustness tests share: random numbers, memory between guard pages, a counting heap. */
#ifndef GUARDED_MEMORY_GUARDED_MEMORY_H
#define GUARDED_MEMORY_GUARDED_MEMORY_H

#include "by_id/by_id.h"

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Like ck_assert_msg, but silent and cheap when the condition holds. For the main thread only. */
#define must(condition, ...)                                \
    do {                                                    \
        if (!(condition)) {                                 \
            char must_text_[400];                           \
            test_format(must_text_, __VA_ARGS__);           \
            ck_abort_msg("%s: %s", #condition, must_text_); \
        }                                                   \
    } while (0)
#if defined __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
void test_format(char text[400], const char *format, ...);

/* n times the factor in MSKP_TEST_SCALE (1 if unset), at least 1. */
size_t scaled(size_t n);

typedef struct rng {
    uint64_t state;
} rng;
uint64_t rng_next(rng *r);
size_t rng_below(rng *r, size_t n);
bool rng_chance(rng *r, size_t one_in);
/* Uniform in [-1, 1). */
double rng_real(rng *r);
void rng_fill(rng *r, void *memory, size_t bytes);

/* Whole pages between two pages that nobody may touch. */
typedef struct guarded {
    unsigned char *start;
    size_t size;
} guarded;
guarded guarded_make(size_t bytes);
void guarded_write(guarded g, bool allowed);
void guarded_free(guarded g);

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n);
#define HASH_START UINT64_C(0xcbf29ce484222325)

/* Everything that a finished graph tells, in one number. */
uint64_t graph_fingerprint(const mskp_graph *graph);

/* A heap that counts, poisons, and fails on demand. Not thread-safe. */
typedef struct heap {
    size_t calls;    /* allocations asked for */
    size_t releases; /* of blocks, not of NULL */
    size_t live;     /* blocks not yet released */
    size_t fail_at;  /* the call that fails; 0: none */
    bool for_good;   /* and all that follow it */
    bool fired;      /* one has failed */
    const char *bad; /* what the library did wrong, or NULL */
} heap;
mskp_services heap_services(heap *h);

#endif

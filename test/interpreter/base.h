/*
 * What all tests of random networks share: a seeded generator, memory that is freed in one go,
 * tensor views of every kind. Nothing here is taken from the library.
 */
#ifndef INTERPRETER_BASE_H
#define INTERPRETER_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "by_id/by_id.h"
#include "pool.h"

/* ---- Pseudo-random numbers (splitmix64, Steele et al. 2014) ---- */

/* A fuzzer steers choices by its bytes: while there are some, rng_below and what is made of it take
 * theirs from them. Reals stay the seed's, because the numbers of a network would eat them up. */
typedef struct rng {
    uint64_t state;
    const uint8_t *bytes;
    size_t left;
} rng;

rng rng_make(uint64_t seed);
rng rng_steered(uint64_t seed, size_t n, const uint8_t *bytes);
uint64_t rng_next(rng *r);
size_t rng_below(rng *r, size_t n);            /* 0 .. n-1 */
size_t rng_from(rng *r, size_t lo, size_t hi); /* lo .. hi */
double rng_real(rng *r, double lo, double hi);
bool rng_chance(rng *r, double p);
void rng_shuffle(rng *r, size_t n, size_t *items);

/* MSKP_TEST_SEED (default 1) and MSKP_TEST_SCALE (default 1): how many networks a test tries. */
uint64_t test_seed(void);
size_t test_count(size_t full);

/* ---- Memory: each block by itself, so that a sanitizer sees its ends; freed together ---- */

typedef struct arena {
#if POOLED
    block_pool blocks;
#else
    void *first;
#endif
} arena;

void *arena_get(arena *a, size_t n, size_t size); /* zeroed; ends the test if there is none */
void *arena_copy(arena *a, const void *from, size_t n, size_t size);
void arena_free(arena *a);

/* ---- Views ---- */

typedef enum view_style {
    VIEW_BARE,     /* data and dtype alone */
    VIEW_PACKED,   /* shape given, strides 0 */
    VIEW_PERMUTED, /* dense, any order of axes */
    VIEW_GAPS,     /* any order of axes, unused elements between */
    VIEW_NEGATIVE, /* dense, any order, some strides negative */
    VIEW_WILD,     /* gaps and negative strides */
    VIEW_STYLES
} view_style;

/* A view and the memory that it lies in; what is around and between its elements is 0xA5. */
typedef struct view_buf {
    mskp_tensor view;
    unsigned char *memory;
    size_t bytes;
} view_buf;

size_t dtype_size(mskp_dtype dtype);
size_t shape_elements(uint32_t ndim, const size_t *shape);

/* The next index in row-major order; false after the last. Start with all 0. */
bool next_index(uint32_t ndim, const size_t *shape, size_t *index);

view_buf view_make(arena *a, rng *r, mskp_dtype dtype, uint32_t ndim, const size_t *shape,
                   view_style style);

/* The same view with ndim, shape and strides written out. */
mskp_tensor view_resolve(const mskp_tensor *view, uint32_t ndim, const size_t *shape);

/* Where an element is; the view must be resolved. */
unsigned char *view_at(const mskp_tensor *view, const size_t *index);

/* The lowest address of a resolved view, and how many elements lie between the ends. */
unsigned char *view_lowest(const mskp_tensor *view, size_t *span);

/* A number of an element that can be read: F32, F64, F16 and BF16. */
double view_get(const mskp_tensor *view, const size_t *index);
void view_set(const mskp_tensor *view, const size_t *index, double number);

/* Decoders from the definition of the formats, through ldexp. Encoders round to nearest even. */
double half_decode(uint16_t bits);
double bfloat_decode(uint16_t bits);
uint16_t half_encode(double number);
uint16_t bfloat_encode(double number);

#endif

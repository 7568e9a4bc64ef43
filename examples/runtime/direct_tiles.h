/*
 * The tiles of direct.h for one kind of vector. A file defines these macros, then includes this
 * one:
 *
 *     TARGET        the attribute of functions that use the vectors
 *     VECTOR, LANES     the type, and how many floats it has
 *     LOAD(p), STORE(p, v), SPREAD(x), ZERO(), FMA(a, b, c), TOTAL(v)
 *     MASK, MASK_OF(n), LOAD_SOME(p, m), STORE_SOME(p, m, v)     the first n lanes; others read 0
 *     BLOCK, OUTER_OUT, OUTER_IN    the sizes of tiles, for which there are registers enough
 *
 * A tile is a function with constant sizes, so the compiler unrolls its loops and keeps its sums in
 * registers. It is written for a processor that loads two vectors and multiplies two in each cycle:
 * for `channels` x `vectors` products it loads `vectors` vectors and spreads `channels` numbers.
 */
#include <string.h>

#define INLINE TARGET static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum { WIDE = 4 }; /* vectors of the widest tile */

INLINE void tile(const cn_run *r, size_t first, size_t at, const size_t channels,
                 const size_t vectors, bool some, MASK lanes)
{
    VECTOR sum[BLOCK][WIDE];
    const float *const weights = r->weight + first * r->elements * r->in;
    float *const to = r->to + first * r->to_plane + at;
    UNROLL for (size_t o = 0; o < channels; o++)
    {
        const VECTOR start = r->bias ? SPREAD(r->bias[first + o]) : ZERO();
        UNROLL for (size_t v = 0; v < vectors; v++)
        {
            const float *const here = to + o * r->to_plane + v * LANES;
            sum[o][v] = !r->add ? start : some ? LOAD_SOME(here, lanes) : LOAD(here);
        }
    }
    for (size_t t = 0; t < r->taps; t++) {
        const float *from = r->tap[t].from + at;
        const float *w = weights + r->tap[t].element * r->in * channels;
        for (size_t c = 0; c < r->in; c++, from += r->from_plane, w += channels) {
            VECTOR x[WIDE];
            UNROLL for (size_t v = 0; v < vectors; v++) x[v] =
                some ? LOAD_SOME(from, lanes) : LOAD(from + v * LANES);
            UNROLL for (size_t o = 0; o < channels; o++)
            {
                const VECTOR factor = SPREAD(w[o]);
                UNROLL for (size_t v = 0; v < vectors; v++) sum[o][v] =
                    FMA(factor, x[v], sum[o][v]);
            }
        }
    }
    UNROLL for (size_t o = 0; o < channels; o++) UNROLL for (size_t v = 0; v < vectors; v++)
    {
        float *const here = to + o * r->to_plane + v * LANES;
        if (some)
            STORE_SOME(here, lanes, sum[o][v]);
        else
            STORE(here, sum[o][v]);
    }
}

typedef void tile_function(const cn_run *r, size_t first, size_t at, size_t vectors, MASK lanes);

/* vectors: WIDE, 2 or 1 whole ones; 0: some lanes of one. A tile of many channels has registers for
 * 2 vectors only, and is called with no more. */
#define TILE(CHANNELS)                                                                           \
    TARGET static void tile_##CHANNELS(const cn_run *r, size_t first, size_t at, size_t vectors, \
                                       MASK lanes)                                               \
    {                                                                                            \
        if (vectors == WIDE && CHANNELS <= BLOCK / 2)                                            \
            tile(r, first, at, CHANNELS, WIDE, false, lanes);                                    \
        else if (vectors == 2)                                                                   \
            tile(r, first, at, CHANNELS, 2, false, lanes);                                       \
        else if (vectors)                                                                        \
            tile(r, first, at, CHANNELS, 1, false, lanes);                                       \
        else                                                                                     \
            tile(r, first, at, CHANNELS, 1, true, lanes);                                        \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
#if BLOCK > 6
TILE(7)
TILE(8)
TILE(9)
TILE(10)
TILE(11)
TILE(12)
#endif

static tile_function *const TILES[BLOCK + 1] = {
    NULL,   tile_1, tile_2, tile_3,  tile_4,  tile_5,  tile_6,
#if BLOCK > 6
    tile_7, tile_8, tile_9, tile_10, tile_11, tile_12,
#endif
};

/* The pixels of a tile are read for all channels of the result while they are in the cache. */
TARGET static void run(const cn_run *r)
{
    const size_t blocks = cn_blocks(r->out, BLOCK);
    const bool wide = cn_block(r->out, blocks, 1) <= BLOCK / 2; /* the first is the largest */
    for (size_t at = 0; at < r->n;) {
        const size_t left = (r->n - at) / LANES;
        const size_t vectors = left >= WIDE && wide ? WIDE : left >= 2 ? 2 : left;
        const size_t count = vectors ? vectors * LANES : r->n - at;
        const MASK lanes = MASK_OF(vectors ? LANES : count);
        for (size_t b = 0; b < blocks; b++) {
            const size_t first = cn_block(r->out, blocks, b);
            TILES[cn_block(r->out, blocks, b + 1) - first](r, first, at, vectors, lanes);
        }
        at += count;
    }
}

INLINE void add_products(const cn_outer *p, const float *a, const float *b, const size_t outs,
                         const size_t ins, VECTOR sum[OUTER_OUT][OUTER_IN], bool some, MASK lanes)
{
    VECTOR x[OUTER_IN];
    UNROLL for (size_t k = 0; k < ins; k++)
    {
        const float *const here = b + k * p->b_plane;
        x[k] = some ? LOAD_SOME(here, lanes) : LOAD(here);
    }
    UNROLL for (size_t i = 0; i < outs; i++)
    {
        const float *const here = a + i * p->a_plane;
        const VECTOR g = some ? LOAD_SOME(here, lanes) : LOAD(here);
        UNROLL for (size_t k = 0; k < ins; k++) sum[i][k] = FMA(g, x[k], sum[i][k]);
    }
}

INLINE void products(const cn_outer *p, size_t o, size_t c, const size_t outs, const size_t ins)
{
    VECTOR sum[OUTER_OUT][OUTER_IN];
    const size_t whole = p->n / LANES * LANES;
    const MASK lanes = MASK_OF(p->n - whole);
    UNROLL for (size_t i = 0; i < outs; i++) UNROLL for (size_t k = 0; k < ins; k++) sum[i][k] =
        ZERO();
    for (size_t row = 0; row < p->rows; row++) {
        const float *const a = p->a + o * p->a_plane + row * p->a_row;
        const float *const b = p->b + c * p->b_plane + row * p->b_row;
        for (size_t at = 0; at < whole; at += LANES)
            add_products(p, a + at, b + at, outs, ins, sum, false, lanes);
        if (whole < p->n) add_products(p, a + whole, b + whole, outs, ins, sum, true, lanes);
    }
    UNROLL for (size_t i = 0; i < outs; i++) UNROLL for (size_t k = 0; k < ins; k++)
        p->to[(o + i) * p->in + c + k] += TOTAL(sum[i][k]);
}

#define OUTER(OUTS)                                                                       \
    TARGET static void products_##OUTS(const cn_outer *p, size_t o, size_t c, size_t ins) \
    {                                                                                     \
        if (ins == 1)                                                                     \
            products(p, o, c, OUTS, 1);                                                   \
        else if (ins == 2)                                                                \
            products(p, o, c, OUTS, 2);                                                   \
        else                                                                              \
            products(p, o, c, OUTS, 3);                                                   \
    }
OUTER(1)
OUTER(2)
OUTER(3)
OUTER(4)
#if OUTER_OUT > 4
OUTER(5)
OUTER(6)
OUTER(7)
OUTER(8)
#endif

TARGET static void outer(const cn_outer *p, size_t o, size_t outs, size_t c, size_t ins)
{
    static void (*const PRODUCTS[OUTER_OUT + 1])(const cn_outer *, size_t, size_t, size_t) = {
        NULL,
        products_1,
        products_2,
        products_3,
        products_4,
#if OUTER_OUT > 4
        products_5,
        products_6,
        products_7,
        products_8,
#endif
    };
    PRODUCTS[outs](p, o, c, ins);
}

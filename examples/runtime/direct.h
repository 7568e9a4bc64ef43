/*
 * Products of a few channels, for convolutions: the two inner loops of conv.c in the processor's
 * own instructions, where it has them. Otherwise conv.c calls OpenBLAS.
 *
 * OpenBLAS copies both factors before it multiplies, and a convolution of few channels multiplies
 * each number too few times to make up for that: with 16 channels, a quarter of the time is spent
 * on copies, and another quarter on reading and writing results once per kernel element. Here the
 * results of a tile (a few channels, two vectors of pixels) stay in registers while all kernel
 * elements and channels are added. The values are read where they lie, because a row of a channel
 * is contiguous already; only weights are packed, once per step.
 */
#ifndef CONVNET_DIRECT_H
#define CONVNET_DIRECT_H

#include "internal.h"

/* On Windows gcc does not align the stack for vectors of 32 bytes. */
#if !defined(CN_DOUBLE) && defined(__x86_64__) && defined(__GNUC__) && !defined(_WIN32)
#define CN_HAS_DIRECT 1
#else
#define CN_HAS_DIRECT 0
#endif

/* The most kernel elements of one call. */
enum { CN_MOST_TAPS = 32 };

/* A kernel element, and where the run that it reads begins in the first channel. */
typedef struct cn_tap {
    const cn_real *from;
    size_t element;
} cn_tap;

/*
 * A run of n numbers in each channel o of a result:
 *
 *     to[o][i] = start + sum over taps t and channels c of weight[o][t.element][c] * t.from[c][i]
 *
 * start: what is there, with `add`, or bias[o], or 0. weight: as cn_blocks_pack packs it, for
 * `elements` kernel elements in all.
 */
typedef struct cn_run {
    size_t n, taps;
    const cn_tap *tap;
    const cn_real *weight, *bias; /* bias may be NULL */
    size_t elements, in, out;
    size_t from_plane, to_plane;
    cn_real *to;
    bool add;
} cn_run;

/*
 * The gradient of one kernel element's weights, from `rows` runs of n numbers:
 *
 *     to[o * in + c] += sum over rows r and numbers i of a[o][r][i] * b[c][r][i]
 *
 * a_row, b_row: elements from one row to the next.
 */
typedef struct cn_outer {
    size_t n, rows, out, in;
    const cn_real *a, *b;
    size_t a_plane, b_plane, a_row, b_row;
    cn_real *to;
} cn_outer;

struct cn_direct {
    size_t block; /* the most channels of a tile */
    void (*run)(const cn_run *r);
    /* For channels o .. o+outs-1 and c .. c+ins-1, at most outer_out and outer_in. */
    size_t outer_out, outer_in;
    void (*outer)(const cn_outer *p, size_t o, size_t outs, size_t c, size_t ins);
};

/* NULL: this processor, this compiler or this cn_real has none. */
const cn_direct *cn_direct_kernels(void);

/* Divides n channels into as few blocks as possible, none larger than `most`, which differ by at
 * most 1. Returns how many there are; block b is [cn_block(n, blocks, b), cn_block(n, blocks, b +
 * 1)). */
static inline size_t cn_blocks(size_t n, size_t most)
{
    return (n + most - 1) / most;
}
static inline size_t cn_block(size_t n, size_t blocks, size_t b)
{
    return b * (n / blocks) + (b < n % blocks ? b : n % blocks);
}

#if CN_HAS_DIRECT
extern const cn_direct cn_direct_avx2, cn_direct_avx512;
#endif

#endif

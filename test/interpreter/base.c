/* Seeded numbers, memory, tensor views. */
#include "base.h"

#include "by_id/by_id.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Pseudo-random numbers ---- */

rng rng_make(uint64_t seed)
{
    rng r = {.state = seed * 0x9E3779B97F4A7C15u + 0x1234567u};
    (void)rng_next(&r);
    return r;
}

uint64_t rng_next(rng *r)
{
    uint64_t z = r->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

rng rng_steered(uint64_t seed, size_t n, const uint8_t *bytes)
{
    rng r = rng_make(seed);
    r.bytes = bytes;
    r.left = n;
    return r;
}

/* As many bytes as n needs. */
static size_t steered_below(rng *r, size_t n)
{
    size_t x = 0;
    for (size_t most = n - 1; most && r->left; most >>= 8, r->left--) x = x << 8 | *r->bytes++;
    return x % n;
}

size_t rng_below(rng *r, size_t n)
{
    if (r->left) return steered_below(r, n);
    return (size_t)((rng_next(r) >> 11) % n);
}

size_t rng_from(rng *r, size_t lo, size_t hi)
{
    return lo + rng_below(r, hi - lo + 1);
}

double rng_real(rng *r, double lo, double hi)
{
    return lo + (hi - lo) * ldexp((double)(rng_next(r) >> 11), -53);
}

bool rng_chance(rng *r, double p)
{
    if (r->left) return (double)steered_below(r, 256) < 256 * p;
    return rng_real(r, 0, 1) < p;
}

void rng_shuffle(rng *r, size_t n, size_t *items)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = rng_below(r, i), t = items[i - 1];
        items[i - 1] = items[j];
        items[j] = t;
    }
}

uint64_t test_seed(void)
{
    const char *s = getenv("MSKP_TEST_SEED");
    return s && *s ? strtoull(s, NULL, 10) : 1;
}

size_t test_count(size_t full)
{
    const char *s = getenv("MSKP_TEST_SCALE");
    double n = (double)full * (s && *s ? strtod(s, NULL) : 1.0);
    return n < 1 ? 1 : (size_t)n;
}

/* ---- Memory ---- */

static void *or_exit(void *block)
{
    if (!block) {
        fputs("no memory for the test itself\n", stderr);
        exit(3);
    }
    return block;
}

#if POOLED
void *arena_get(arena *a, size_t n, size_t size)
{
    const size_t bytes = (n ? n : 1) * size;
    return memset(or_exit(n > SIZE_MAX / size ? NULL : pool_get(&a->blocks, bytes)), 0, bytes);
}

void arena_free(arena *a)
{
    pool_empty(&a->blocks);
}
#else
typedef struct block {
    struct block *next;
    void *memory;
} block;

void *arena_get(arena *a, size_t n, size_t size)
{
    block *b = or_exit(malloc(sizeof *b));
    b->memory = or_exit(calloc(n ? n : 1, size));
    b->next = a->first;
    a->first = b;
    return b->memory;
}

void arena_free(arena *a)
{
    for (block *b = a->first; b;) {
        block *next = b->next;
        free(b->memory);
        free(b);
        b = next;
    }
    a->first = NULL;
}
#endif

void *arena_copy(arena *a, const void *from, size_t n, size_t size)
{
    void *p = arena_get(a, n, size);
    if (n) memcpy(p, from, n * size);
    return p;
}

/* ---- Views ---- */

size_t dtype_size(mskp_dtype dtype)
{
    switch ((int)dtype) {
    case MSKP_DTYPE_BYTES_1:
        return 1;
    case MSKP_DTYPE_F16:
    case MSKP_DTYPE_BF16:
    case MSKP_DTYPE_BYTES_2:
        return 2;
    case MSKP_DTYPE_F32:
    case MSKP_DTYPE_BYTES_4:
        return 4;
    case MSKP_DTYPE_F64:
    case MSKP_DTYPE_BYTES_8:
        return 8;
    default:
        return 16;
    }
}

size_t shape_elements(uint32_t ndim, const size_t *shape)
{
    size_t n = 1;
    for (uint32_t d = 0; d < ndim; d++) n *= shape[d];
    return n;
}

bool next_index(uint32_t ndim, const size_t *shape, size_t *index)
{
    for (uint32_t d = ndim; d-- > 0;) {
        if (++index[d] < shape[d]) return true;
        index[d] = 0;
    }
    return false;
}

view_buf view_make(arena *a, rng *r, mskp_dtype dtype, uint32_t ndim, const size_t *shape,
                   view_style style)
{
    size_t size = dtype_size(dtype), order[MSKP_MAX_DIMS], step = 1, margin = 3, lowest = margin;
    bool gaps = style == VIEW_GAPS || style == VIEW_WILD;
    bool negative = style == VIEW_NEGATIVE || style == VIEW_WILD;
    view_buf v = {.view = {.dtype = dtype}};

    for (uint32_t d = 0; d < ndim; d++) order[d] = ndim - 1 - d; /* fastest first */
    if (style >= VIEW_PERMUTED) rng_shuffle(r, ndim, order);
    if (gaps && rng_chance(r, 0.5)) step = 2;
    for (uint32_t k = 0; k < ndim; k++) {
        size_t d = order[k];
        bool back = negative && rng_chance(r, 0.5);
        v.view.shape[d] = shape[d];
        v.view.stride[d] = back ? -(ptrdiff_t)step : (ptrdiff_t)step;
        if (back) lowest += step * (shape[d] - 1);
        step *= shape[d];
        if (gaps) step += rng_below(r, 3);
    }
    v.view.ndim = ndim;
    v.bytes = (step + 2 * margin) * size;
    v.memory = arena_get(a, v.bytes, 1);
    memset(v.memory, 0xA5, v.bytes);
    v.view.data = v.memory + lowest * size;
    if (style == VIEW_PACKED) memset(v.view.stride, 0, sizeof v.view.stride);
    if (style == VIEW_BARE) v.view = (mskp_tensor){.data = v.view.data, .dtype = dtype};
    return v;
}

mskp_tensor view_resolve(const mskp_tensor *view, uint32_t ndim, const size_t *shape)
{
    mskp_tensor t = {.data = view->data, .dtype = view->dtype, .ndim = ndim};
    bool packed = true;
    size_t step = 1;
    for (uint32_t d = 0; d < ndim; d++) {
        t.shape[d] = view->ndim ? view->shape[d] : shape[d];
        t.stride[d] = view->stride[d];
        if (view->ndim && view->stride[d] != 0) packed = false;
    }
    if (packed)
        for (uint32_t d = ndim; d-- > 0;) {
            t.stride[d] = (ptrdiff_t)step;
            step *= t.shape[d];
        }
    return t;
}

unsigned char *view_at(const mskp_tensor *view, const size_t *index)
{
    ptrdiff_t at = 0;
    for (uint32_t d = 0; d < view->ndim; d++)
        if (view->shape[d] > 1) at += view->stride[d] * (ptrdiff_t)index[d];
    return (unsigned char *)view->data + at * (ptrdiff_t)dtype_size(view->dtype);
}

unsigned char *view_lowest(const mskp_tensor *view, size_t *span)
{
    ptrdiff_t low = 0, high = 0;
    for (uint32_t d = 0; d < view->ndim; d++) {
        ptrdiff_t end = view->shape[d] > 1 ? view->stride[d] * (ptrdiff_t)(view->shape[d] - 1) : 0;
        if (end < 0)
            low += end;
        else
            high += end;
    }
    if (span) *span = (size_t)(high - low) + 1;
    return (unsigned char *)view->data + low * (ptrdiff_t)dtype_size(view->dtype);
}

double half_decode(uint16_t bits)
{
    int sign = bits >> 15, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    double x;
    if (exponent == 31)
        x = fraction ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        x = ldexp(fraction, -24);
    else
        x = ldexp(1024 + fraction, exponent - 25);
    return sign ? -x : x;
}

double bfloat_decode(uint16_t bits)
{
    int sign = bits >> 15, exponent = (bits >> 7) & 255, fraction = bits & 127;
    double x;
    if (exponent == 255)
        x = fraction ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        x = ldexp(fraction, -133);
    else
        x = ldexp(128 + fraction, exponent - 134);
    return sign ? -x : x;
}

/* The nearest by search: the positive patterns 0 .. infinity are in ascending order. */
static uint16_t encode(double number, double (*decode)(uint16_t), uint16_t infinity)
{
    uint16_t sign = signbit(number) ? 0x8000 : 0, lo = 0, hi = infinity;
    double x = fabs(number);
    if (isnan(number)) return (uint16_t)(sign | infinity | 1);
    while (hi - lo > 1) {
        uint16_t mid = (uint16_t)((lo + hi) / 2);
        if (decode(mid) <= x)
            lo = mid;
        else
            hi = mid;
    }
    double below = decode(lo), above = decode(hi), last = decode((uint16_t)(infinity - 1));
    if (hi == infinity) above = last + (last - decode((uint16_t)(infinity - 2)));
    if (isinf(x)) return (uint16_t)(sign | infinity);
    if (x - below < above - x || (x - below == above - x && lo % 2 == 0))
        return (uint16_t)(sign | lo);
    return (uint16_t)(sign | hi);
}

uint16_t half_encode(double number)
{
    return encode(number, half_decode, 0x7C00);
}

uint16_t bfloat_encode(double number)
{
    return encode(number, bfloat_decode, 0x7F80);
}

double view_get(const mskp_tensor *view, const size_t *index)
{
    const unsigned char *p = view_at(view, index);
    double d;
    float f;
    uint16_t h;
    switch ((int)view->dtype) {
    case MSKP_DTYPE_F32:
        memcpy(&f, p, sizeof f);
        return (double)f;
    case MSKP_DTYPE_F64:
        memcpy(&d, p, sizeof d);
        return d;
    default:
        memcpy(&h, p, sizeof h);
        return view->dtype == MSKP_DTYPE_F16 ? half_decode(h) : bfloat_decode(h);
    }
}

void view_set(const mskp_tensor *view, const size_t *index, double number)
{
    unsigned char *p = view_at(view, index);
    float f = (float)number;
    uint16_t h;
    switch ((int)view->dtype) {
    case MSKP_DTYPE_F32:
        memcpy(p, &f, sizeof f);
        return;
    case MSKP_DTYPE_F64:
        memcpy(p, &number, sizeof number);
        return;
    default:
        h = view->dtype == MSKP_DTYPE_F16 ? half_encode(number) : bfloat_encode(number);
        memcpy(p, &h, sizeof h);
    }
}

/*
 * Context-aware saliency. An element is salient if its patch differs from all other patches, also
 * from the most similar ones, and less so if these are far, as those of a background are:
 *
 *     d(p, q) = |p - q| / (1 + C distance(p, q))
 *     S(p)    = 1 - exp(-(1/K) sum of d(p, q) over the K patches q that are most similar to p)
 *
 * |p - q| is the root of the mean of the squared differences, the distance is over the longer side
 * of the map, and numbers are magnitudes over the largest one. This is done at several scales r;
 * the patches q are those at the scales r and r / 2. The mean over the scales, resized to the map,
 * over its largest element, is S. Elements above FOCUS are foci of attention, and elements near a
 * focus belong to what is there: the result is S (1 - distance to the nearest focus).
 *
 * Where the numbers differ from Goferman et al.: they take images of 250 pixels, patches of 7 x 7
 * that overlap by half, scales 1, 0.8, 0.5 and 0.3, candidates also at r / 4, and K = 64
 * of about 9000 candidates. Maps here have 32 pixels: patches of 3 x 3 at every pixel, scales 1,
 * 0.8 and 0.5, and K = 16 of 320 to 1280 candidates. Their patches are colours, these have one
 * number per pixel; beyond the border, the map is mirrored.
 */
#include "saliency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 3, PATCH = SIDE * SIDE, NEAREST = 16, SCALES = 3 };
static const double SCALE[SCALES] = {1, 0.8, 0.5}, NEARNESS = 3, FOCUS = 0.8;

typedef struct grid {
    size_t height, width;
    double *number; /* [height][width] */
    double *patch;  /* [height][width][PATCH] */
    double *place;  /* [height][width][2]: where it is in a map whose longer side is 1 */
} grid;

static void grid_free(grid *g)
{
    free(g->number);
    free(g->patch);
    free(g->place);
    *g = (grid){0};
}

static void locate(size_t height, size_t width, size_t k, double at[2])
{
    const double longer = (double)(height > width ? height : width);
    at[0] = ((double)(k / width) + 0.5) / longer;
    at[1] = ((double)(k % width) + 0.5) / longer;
}

/* The element at a place that may lie beyond the border by less than n. */
static size_t mirrored(ptrdiff_t at, size_t n)
{
    if (at < 0) at = -1 - at;
    if ((size_t)at >= n) at = 2 * (ptrdiff_t)n - 1 - at;
    return at < 0 ? 0 : (size_t)at;
}

/* The share of target pixel k, of `small` pixels, that source pixel i, of `large`, covers. */
static double covered(size_t k, size_t small, size_t i, size_t large)
{
    const double step = (double)large / (double)small;
    const double begin = fmax((double)k * step, (double)i),
                 end = fmin((double)(k + 1) * step, (double)(i + 1));
    return fmax(end - begin, 0) / step;
}

/* A smaller length, and at least 1. */
static size_t scaled(size_t length, double scale)
{
    const size_t less = (size_t)round((double)length * scale);
    return less ? less : 1;
}

/* A smaller map whose elements are means over the areas that they stand for, and its patches. */
static bool shrink(size_t height, size_t width, const double *map, double scale, grid *g)
{
    g->height = scaled(height, scale);
    g->width = scaled(width, scale);
    const size_t n = g->height * g->width;
    g->number = calloc(n, sizeof *g->number);
    g->patch = malloc(n * PATCH * sizeof *g->patch);
    g->place = malloc(n * 2 * sizeof *g->place);
    if (!g->number || !g->patch || !g->place) return false;
    for (size_t k = 0; k < n; k++) {
        const size_t y = k / g->width, x = k % g->width;
        for (size_t i = y * height / g->height; i < height && i * g->height < (y + 1) * height; i++)
            for (size_t j = x * width / g->width; j < width && j * g->width < (x + 1) * width; j++)
                g->number[k] += map[i * width + j] * covered(y, g->height, i, height) *
                                covered(x, g->width, j, width);
    }
    for (size_t k = 0; k < n; k++) locate(g->height, g->width, k, g->place + 2 * k);
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < PATCH; i++) {
            const size_t y = mirrored((ptrdiff_t)(k / g->width + i / SIDE) - SIDE / 2, g->height),
                         x = mirrored((ptrdiff_t)(k % g->width + i % SIDE) - SIDE / 2, g->width);
            g->patch[k * PATCH + i] = g->number[y * g->width + x];
        }
    return true;
}

/* The smallest differences so far, in ascending order. */
typedef struct nearest {
    size_t kept;
    double least[NEAREST];
} nearest;

static void keep(nearest *n, double d)
{
    size_t at = n->kept < NEAREST ? n->kept++ : NEAREST - 1;
    for (; at && n->least[at - 1] > d; at--) n->least[at] = n->least[at - 1];
    n->least[at] = d;
}

/* Compares patch i of `own` with all of the other grid, but with itself. Nearly all patches are
 * farther than those that are kept, and are told by their squares. */
static void compare(const grid *own, size_t i, const grid *other, nearest *n)
{
    const double *patch = own->patch + i * PATCH;
    const double *p = own->place + 2 * i;
    for (size_t k = 0; k < other->height * other->width; k++) {
        const double *candidate = other->patch + k * PATCH, *q = other->place + 2 * k;
        double sum = 0;
        if (own == other && k == i) continue;
        for (size_t e = 0; e < PATCH; e++)
            sum += (patch[e] - candidate[e]) * (patch[e] - candidate[e]);
        const double apart = 1 + NEARNESS * sqrt((p[0] - q[0]) * (p[0] - q[0]) +
                                                 (p[1] - q[1]) * (p[1] - q[1])),
                     bound = n->kept < NEAREST ? HUGE_VAL : n->least[NEAREST - 1] * apart;
        if (sum < PATCH * bound * bound) keep(n, sqrt(sum / PATCH) / apart);
    }
}

/* S of one element. */
static double element(const grid *own, const grid *half, size_t i)
{
    nearest n = {0};
    double sum = 0;
    compare(own, i, own, &n);
    compare(own, i, half, &n);
    for (size_t k = 0; k < n.kept; k++) sum += n.least[k];
    return n.kept ? 1 - exp(-sum / (double)n.kept) : 0;
}

/* The number at a place between elements, as weighted mean of the four around it. */
static double between(const grid *g, double y, double x)
{
    const double top = floor(y), left = floor(x);
    double sum = 0;
    for (size_t k = 0; k < 4; k++) {
        const double a = top + (double)(k / 2), b = left + (double)(k % 2);
        const size_t i = (size_t)fmin(fmax(a, 0), (double)(g->height - 1)),
                     j = (size_t)fmin(fmax(b, 0), (double)(g->width - 1));
        sum += g->number[i * g->width + j] * (1 - fabs(y - a)) * (1 - fabs(x - b));
    }
    return sum;
}

/* saliency += S at one scale. */
static bool add_scale(size_t height, size_t width, const double *map, double scale,
                      double *saliency)
{
    grid own = {0}, half = {0}, result = {0};
    const bool good = shrink(height, width, map, scale, &own) &&
                      shrink(height, width, map, scale / 2, &half) &&
                      shrink(height, width, map, scale, &result);
    for (size_t i = 0; good && i < own.height * own.width; i++)
        result.number[i] = element(&own, &half, i);
    for (size_t k = 0; good && k < height * width; k++) {
        const double y = ((double)(k / width) + 0.5) * (double)own.height / (double)height - 0.5,
                     x = ((double)(k % width) + 0.5) * (double)own.width / (double)width - 0.5;
        saliency[k] += between(&result, y, x);
    }
    grid_free(&own);
    grid_free(&half);
    grid_free(&result);
    return good;
}

static double largest(size_t n, const double *number)
{
    double most = 0;
    for (size_t k = 0; k < n; k++) most = fmax(most, fabs(number[k]));
    return most;
}

/* Multiplies S by 1 - the distance to the nearest focus. foci: room for height * width. */
static void attract(size_t height, size_t width, double *saliency, size_t *foci)
{
    size_t n = 0;
    for (size_t k = 0; k < height * width; k++)
        if (saliency[k] > FOCUS) foci[n++] = k;
    for (size_t k = 0; k < height * width; k++) {
        double least = 1, p[2], q[2];
        locate(height, width, k, p);
        for (size_t i = 0; i < n; i++) {
            locate(height, width, foci[i], q);
            least = fmin(least, hypot(p[0] - q[0], p[1] - q[1]));
        }
        saliency[k] *= 1 - least;
    }
}

bool saliency_of(size_t height, size_t width, const double *map, double *saliency)
{
    const size_t n = height * width;
    double *magnitude = calloc(n + 1, sizeof *magnitude);
    size_t *foci = malloc((n + 1) * sizeof *foci);
    bool good = magnitude && foci;
    if (good) {
        const double most = largest(n, map);
        for (size_t k = 0; k < n; k++) magnitude[k] = most > 0 ? fabs(map[k]) / most : 0;
        memset(saliency, 0, n * sizeof *saliency);
    }
    for (size_t s = 0; good && s < SCALES; s++)
        good = add_scale(height, width, magnitude, SCALE[s], saliency);
    if (good) {
        /* Rounding alone makes no focus: differences of a map that does not vary. */
        const double most = largest(n, saliency);
        for (size_t k = 0; k < n; k++) saliency[k] = most > 1e-12 ? saliency[k] / most : 0;
        attract(height, width, saliency, foci);
    }
    free(magnitude);
    free(foci);
    return good;
}

double saliency_correlation(size_t n, const double *a, const double *b)
{
    double mean[2] = {0, 0}, product = 0, square[2] = {0, 0};
    for (size_t k = 0; k < n; k++) {
        mean[0] += a[k] / (double)n;
        mean[1] += b[k] / (double)n;
    }
    for (size_t k = 0; k < n; k++) {
        const double x = a[k] - mean[0], y = b[k] - mean[1];
        product += x * y;
        square[0] += x * x;
        square[1] += y * y;
    }
    return square[0] > 0 && square[1] > 0 ? product / sqrt(square[0] * square[1]) : 0;
}

/*
 * Lloyd's algorithm, from the centres of k-means++ (D. Arthur, S. Vassilvitskii, "k-means++: The
 * Advantages of Careful Seeding", SODA 2007): the first centre is any point, and each further one
 * is a point that is drawn with a probability proportional to its squared distance from the nearest
 * centre so far. Then each point goes to the nearest centre, the first among equals, and each
 * centre to the mean of its points, until no point changes, at most CLUSTER_MOST_ROUNDS times.
 *
 * A cluster that loses all its points takes the one that is farthest from its own centre, among
 * clusters of two points or more. So there are k clusters at the end.
 *
 * This is written here because no library of Debian 12 that pkg-config finds has it for C programs:
 * FLANN, the only one that comes near, returns the centres of a tree of clusters, and no labels.
 * docs/simclr.md says more.
 */
#include "cluster.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct work {
    cluster_points points;
    size_t k;
    double *centre; /* [k][dims] */
    size_t *size;   /* [k] */
    double *far;    /* [n]: the squared distance of a point from its centre */
    uint32_t *label;
} work;

static double distance(const work *w, size_t i, size_t c)
{
    const size_t dims = w->points.dims;
    const cn_real *x = w->points.x + i * dims;
    const double *y = w->centre + c * dims;
    double sum = 0;
    for (size_t d = 0; d < dims; d++) sum += ((double)x[d] - y[d]) * ((double)x[d] - y[d]);
    return sum;
}

static void move_centre(work *w, size_t c, size_t i)
{
    const size_t dims = w->points.dims;
    for (size_t d = 0; d < dims; d++) w->centre[c * dims + d] = (double)w->points.x[i * dims + d];
}

/* A point, with a probability proportional to `far`; any point if all are 0. */
static size_t draw(const work *w, cn_random *random)
{
    const size_t n = w->points.n;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += w->far[i];
    if (!(sum > 0)) return cn_random_below(random, n);
    double rest = sum * cn_random_unit(random);
    size_t last = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(w->far[i] > 0)) continue;
        last = i;
        rest -= w->far[i];
        if (rest < 0) break;
    }
    return last;
}

static void seed_centres(work *w, cn_random *random)
{
    for (size_t i = 0; i < w->points.n; i++) w->far[i] = INFINITY;
    move_centre(w, 0, cn_random_below(random, w->points.n));
    for (size_t c = 0;;) {
        for (size_t i = 0; i < w->points.n; i++) w->far[i] = fmin(w->far[i], distance(w, i, c));
        if (++c == w->k) return;
        move_centre(w, c, draw(w, random));
    }
}

/* Whether a point has changed its cluster. */
static bool assign(work *w)
{
    bool changed = false;
    memset(w->size, 0, w->k * sizeof *w->size);
    for (size_t i = 0; i < w->points.n; i++) {
        uint32_t best = 0;
        double least = distance(w, i, 0);
        for (size_t c = 1; c < w->k; c++) {
            const double d = distance(w, i, c);
            if (d < least) least = d, best = (uint32_t)c;
        }
        changed |= w->label[i] != best;
        w->label[i] = best;
        w->far[i] = least;
        w->size[best]++;
    }
    return changed;
}

/* Whether a cluster was empty, which then has a point. */
static bool fill(work *w)
{
    bool changed = false;
    for (size_t c = 0; c < w->k; c++) {
        if (w->size[c]) continue;
        size_t farthest = SIZE_MAX;
        for (size_t i = 0; i < w->points.n; i++)
            if (w->size[w->label[i]] > 1 && (farthest == SIZE_MAX || w->far[i] > w->far[farthest]))
                farthest = i;
        w->size[w->label[farthest]]--;
        w->label[farthest] = (uint32_t)c;
        w->far[farthest] = 0;
        w->size[c] = 1;
        changed = true;
    }
    return changed;
}

static void take_means(work *w)
{
    const size_t dims = w->points.dims;
    memset(w->centre, 0, w->k * dims * sizeof *w->centre);
    for (size_t i = 0; i < w->points.n; i++)
        for (size_t d = 0; d < dims; d++)
            w->centre[w->label[i] * dims + d] += (double)w->points.x[i * dims + d];
    for (size_t c = 0; c < w->k; c++)
        for (size_t d = 0; d < dims; d++) w->centre[c * dims + d] /= (double)w->size[c];
}

static void lloyd(work *w, cn_random *random, double *spread)
{
    double sum = 0;
    seed_centres(w, random);
    for (size_t i = 0; i < w->points.n; i++) w->label[i] = UINT32_MAX;
    for (size_t round = 0; round < CLUSTER_MOST_ROUNDS; round++) {
        const bool moved = assign(w), filled = fill(w);
        if (!moved && !filled) break;
        take_means(w);
    }
    for (size_t i = 0; i < w->points.n; i++) sum += distance(w, i, w->label[i]);
    if (spread) *spread = sum / (double)w->points.n;
}

static bool refuse(cn_error *err, const char *format, size_t a, size_t b)
{
    if (err) snprintf(err->text, sizeof err->text, format, a, b);
    return false;
}

bool cluster_points_into(cluster_points points, size_t k, cn_random *random, uint32_t *label,
                         double *spread, cn_error *err)
{
    if (!k || k > points.n || k >= UINT32_MAX)
        return refuse(err, "%zu clusters cannot be made of %zu points", k, points.n);
    for (size_t i = 0; i < points.n * points.dims; i++)
        if (!isfinite(points.x[i]))
            return refuse(err, "number %zu of point %zu is not finite", i % points.dims,
                          i / points.dims);
    work w = {.points = points,
              .k = k,
              .centre = calloc(k * points.dims + 1, sizeof(double)),
              .size = calloc(k, sizeof(size_t)),
              .far = calloc(points.n, sizeof(double))};
    w.label = label;
    const bool good = w.centre && w.size && w.far;
    if (good) lloyd(&w, random, spread);
    free(w.centre);
    free(w.size);
    free(w.far);
    return good || refuse(err, "no memory for %zu clusters of %zu points", k, points.n);
}

/*
 * Scores that compare filters (mskp/blas.h): all distances between the rows of a matrix.
 *
 * lib/blas is a library of its own and not a stage of libmskp, because a libmskp.so with these
 * files would bring OpenBLAS, and its threads, into every process that prunes by a norm. It is a
 * program like any other to libmskp: it uses the public headers. From lib/base it takes views,
 * elements, sentences and memory; libmskp-blas.so has its own copy of these objects, hidden, and
 * libmskp-blas.a finds them in libmskp.a.
 *
 * The distance of two rows a and b follows from three products, |a - b|^2 = aa + bb - 2 ab, and all
 * products of a matrix with its transpose are what BLAS computes fastest. The subtraction loses
 * digits if the rows are almost equal, and those are the filters that FPGM is to find. So
 * everything is computed in double precision, and where less than NEAR of aa + bb is left, the sum
 * of (a - b)^2 is computed directly. It is exactly 0 for equal rows, and its relative error is that
 * of a sum of positive numbers. With NEAR 2^-14, the other distances lose at most 14 of 53 bits.
 *
 * For cosines, each row is divided by its norm first. Then 1 - cosine is |a - b|^2 / 2, and the
 * same cure helps against the same loss.
 *
 * Memory is bounded: the matrix of products is computed in tiles of TILE x TILE, from panels of
 * TILE rows and DEPTH columns, which are converted to double when they are needed. A weight with
 * more than TILE filters is therefore converted several times, which costs O(n^2 k / TILE).
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/element.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "blas/openblas.h"
#include "blas/rows.h"
#include "mskp.h"
#include "mskp/blas.h"
#include "mskp/tools.h"

enum { TILE = 1024, DEPTH = 512 };
static const double NEAR = 0x1p-14;

typedef struct comparison {
    mskp_services services;
    const mskp_graph *graph;
    mskp_tensors values;
    mskp_resemblance kind;
    mskp_reduce reduce;
    /* What the largest weight needs. */
    size_t rows, tile, depth;
    double *panel[2];      /* [tile][depth] */
    double *product;       /* [tile][tile] products of rows, then squares of distances */
    uint8_t *near;         /* [tile][tile] is the distance to be computed directly? */
    double *scale;         /* [rows] what each row is multiplied by */
    double *inverse;       /* [rows] 1 / the norm of the scaled row, for cosines; 0: all is 0 */
    double *square, *best; /* [rows] aa; the number of each row */
    size_t *count;         /* [units] */
    double *reduced;       /* [units] */
} comparison;

/* ---- Distances between the rows of one matrix ---- */

/* The sum of (a - b)^2, in eight sums that a compiler can keep in vectors. */
static double squared_distance(const double *a, const double *b, size_t n)
{
    double sum[8] = {0}, all = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t l = 0; l < 8; l++) {
            const double d = a[i + l] - b[i + l];
            sum[l] += d * d;
        }
    for (; i < n; i++) all += (a[i] - b[i]) * (a[i] - b[i]);
    for (size_t l = 0; l < 8; l++) all += sum[l];
    return all;
}

/* A tile: rows first[0] .. +n[0] - 1 against rows first[1] .. +n[1] - 1. On the diagonal of the
 * matrix the two are the same, and only the lower triangle counts. */
typedef struct tile {
    size_t first[2], n[2];
    bool diagonal;
} tile;

static size_t row_end(const tile *t, size_t i)
{
    return t->diagonal ? i : t->n[1];
}

/* Reads columns first .. first + n - 1 of the tile's rows. */
static void read_panels(const comparison *c, const row_view *r, const tile *t, size_t first,
                        size_t n)
{
    for (int side = 0; side < (t->diagonal ? 1 : 2); side++)
        for (size_t i = 0; i < t->n[side]; i++) {
            const size_t row = t->first[side] + i;
            double *to = c->panel[side] + i * c->depth;
            mskpi_read_row(r, row, first, n, c->scale[row], to);
            for (size_t l = 0; l < n && c->kind == MSKP_RESEMBLANCE_COSINE; l++)
                to[l] *= c->inverse[row];
        }
}

static size_t panel_width(const comparison *c, const row_view *r, size_t first)
{
    return r->columns - first < c->depth ? r->columns - first : c->depth;
}

/* c->product <- the products of the tile's rows; of a tile on the diagonal, aa, too. To BLAS, the
 * rows of a panel are columns, and the lower triangle is the upper one. */
static void multiply_tile(const comparison *c, const row_view *r, const tile *t)
{
    const blas_int ld = (blas_int)c->depth, ldc = (blas_int)c->tile, m = (blas_int)t->n[1],
                   n = (blas_int)t->n[0];
    const double one = 1;
    for (size_t first = 0; first < r->columns; first += c->depth) {
        const size_t width = panel_width(c, r, first);
        const blas_int k = (blas_int)width;
        const double beta = first ? 1 : 0;
        read_panels(c, r, t, first, width);
        if (t->diagonal)
            dsyrk_("U", "T", &n, &k, &one, c->panel[0], &ld, &beta, c->product, &ldc, 1, 1);
        else
            dgemm_("T", "N", &m, &n, &k, &one, c->panel[1], &ld, c->panel[0], &ld, &beta,
                   c->product, &ldc, 1, 1);
    }
}

/* Products become squares of distances. Returns whether some are too near, which get 0. */
static bool subtract_tile(const comparison *c, const tile *t)
{
    bool any = false;
    for (size_t i = 0; i < t->n[0]; i++)
        for (size_t j = 0; j < row_end(t, i); j++) {
            double *product = &c->product[i * c->tile + j];
            const double sum = c->square[t->first[0] + i] + c->square[t->first[1] + j];
            const double left = sum - 2 * *product;
            const bool near = left <= NEAR * sum;
            c->near[i * c->tile + j] = near;
            *product = near ? 0 : left;
            any |= near && sum > 0;
        }
    return any;
}

/* The squares of distances that are near, directly. */
static void measure_near(const comparison *c, const row_view *r, const tile *t)
{
    const double *other = c->panel[t->diagonal ? 0 : 1];
    for (size_t k = 0; k < r->columns; k += c->depth) {
        const size_t width = panel_width(c, r, k);
        read_panels(c, r, t, k, width);
        for (size_t i = 0; i < t->n[0]; i++)
            for (size_t j = 0; j < row_end(t, i); j++)
                if (c->near[i * c->tile + j])
                    c->product[i * c->tile + j] +=
                        squared_distance(c->panel[0] + i * c->depth, other + j * c->depth, width);
    }
}

/* The tile's distances become part of the numbers of its rows. */
static void count_tile(const comparison *c, const tile *t)
{
    for (size_t i = 0; i < t->n[0]; i++)
        for (size_t j = 0; j < row_end(t, i); j++) {
            const size_t a = t->first[0] + i, b = t->first[1] + j;
            const double squared = c->product[i * c->tile + j];
            if (c->kind == MSKP_RESEMBLANCE_DISTANCE) {
                const double distance = sqrt(squared);
                c->best[a] += distance;
                c->best[b] += distance;
            } else if (c->inverse[a] > 0 && c->inverse[b] > 0) {
                const double apart = squared / 2;
                c->best[a] = apart < c->best[a] ? apart : c->best[a];
                c->best[b] = apart < c->best[b] ? apart : c->best[b];
            }
        }
}

/* c->scale[] <- powers of 2 that bring the rows into the range where squares are safe: the same one
 * for all rows, or, for cosines, one for each, and c->inverse[]. Returns the exponent by which
 * distances are scaled; or *bad <- the address of an element that is not finite. */
static int scale_rows(const comparison *c, const row_view *r, const char **bad)
{
    double size = 0;
    for (size_t i = 0; i < r->rows; i++) {
        c->square[i] = mskpi_row_size(r, i, bad);
        if (*bad) return 0;
        size = c->square[i] > size ? c->square[i] : size;
    }
    const int exponent = mskpi_scale_of(size);
    for (size_t i = 0; i < r->rows; i++) {
        double sum = 0;
        c->scale[i] = ldexp(1, -exponent);
        if (c->kind == MSKP_RESEMBLANCE_DISTANCE) continue;
        c->scale[i] = ldexp(1, -mskpi_scale_of(c->square[i]));
        for (size_t k = 0; k < r->columns; k += c->depth) {
            const size_t width = panel_width(c, r, k);
            mskpi_read_row(r, i, k, width, c->scale[i], c->panel[0]);
            for (size_t l = 0; l < width; l++) sum += c->panel[0][l] * c->panel[0][l];
        }
        c->inverse[i] = sum > 0 ? 1 / sqrt(sum) : 0;
    }
    return exponent;
}

/* Compares the rows of one tile. The tiles on the diagonal find aa, which the others need. */
static void compare_tile(const comparison *c, const row_view *r, const tile *t)
{
    multiply_tile(c, r, t);
    for (size_t i = 0; t->diagonal && i < t->n[0]; i++)
        c->square[t->first[0] + i] = c->product[i * c->tile + i];
    if (subtract_tile(c, t)) measure_near(c, r, t);
    count_tile(c, t);
}

static size_t tile_rows(const comparison *c, const row_view *r, size_t first)
{
    return r->rows - first < c->tile ? r->rows - first : c->tile;
}

/* c->best[] <- the number of each row; or *bad <- the address of an element that is not finite. */
static void compare_rows(const comparison *c, const row_view *r, const char **bad)
{
    const bool cosine = c->kind == MSKP_RESEMBLANCE_COSINE;
    const int exponent = scale_rows(c, r, bad);
    if (*bad) return;
    for (size_t i = 0; i < r->rows; i++) c->best[i] = cosine ? INFINITY : 0;
    for (size_t a = 0; a < r->rows; a += c->tile) {
        tile t = {.first = {a, a}, .n = {tile_rows(c, r, a), tile_rows(c, r, a)}, .diagonal = true};
        compare_tile(c, r, &t);
        t.diagonal = false;
        for (size_t b = 0; b < a; b += c->tile) {
            t.first[1] = b;
            t.n[1] = tile_rows(c, r, b);
            compare_tile(c, r, &t);
        }
    }
    for (size_t i = 0; i < r->rows; i++)
        if (!cosine)
            c->best[i] = ldexp(c->best[i], exponent);
        else if (!(c->inverse[i] > 0))
            c->best[i] = 0;
        else if (isinf(c->best[i]))
            c->best[i] = 1;
}

/* ---- All weights of a network ---- */

/* The units of a parameter's axis, *n of them, if filters of units lie along it; otherwise NULL. */
static const uint32_t *filter_units(const mskp_graph *graph, uint32_t id, uint32_t axis, size_t *n)
{
    uint32_t roles = 0;
    const uint32_t *unit = mskp_param_units(graph, (mskp_param){id}, axis, &roles, n);
    if (!unit || !(roles & MSKP_ROLE_FILTER)) return NULL;
    for (size_t i = 0; i < *n; i++)
        if (unit[i] != MSKP_PINNED) return unit;
    return NULL;
}

/* *view <- the tensor of a parameter that is read. */
static mskp_status read_view(const comparison *c, uint32_t id, tensor_view *view, mskp_error *err)
{
    char buffer[NAME_SIZE];
    size_t shape[MSKP_MAX_DIMS];
    const mskp_tensor *tensor = &c->values.view[id - 1];
    const char *name = mskp_param_name(c->graph, (mskp_param){id});
    const uint32_t ndim = mskp_param_shape(c->graph, (mskp_param){id}, shape);
    if (!tensor->data)
        return mskpi_fail(err, MSKP_ERROR_NO_DATA, "%s: its tensor in values has no data",
                          mskpi_short(name, buffer));
    if (mskpi_element_size(tensor->dtype) && !mskpi_is_number(tensor->dtype))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: dtype %s in values holds no numbers",
                          mskpi_short(name, buffer), mskpi_dtype_name(tensor->dtype));
    return mskpi_view_in(tensor, name, "values", ndim, shape, view, err);
}

/* Adds the numbers of one weight to those of its units. */
static mskp_status add_weight(comparison *c, uint32_t id, uint32_t axis, const uint32_t *unit,
                              mskp_error *err)
{
    char name[NAME_SIZE], index[INDEX_SIZE], number[NUMBER_SIZE];
    tensor_view view = {.ndim = 0};
    const char *bad = NULL;
    MSKPI_MUST(read_view(c, id, &view, NULL));
    const row_view rows = mskpi_rows(&view, axis);
    compare_rows(c, &rows, &bad);
    if (bad)
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "%s: element %s is %s",
                          mskpi_short(mskp_param_name(c->graph, (mskp_param){id}), name),
                          mskpi_index_text(&view, bad, index),
                          mskpi_number(mskpi_load(bad, view.dtype), number));
    for (size_t i = 0; i < rows.rows; i++) {
        if (unit[i] == MSKP_PINNED) continue;
        double *score = &c->reduced[unit[i]];
        const double x = c->best[i];
        if (!c->count[unit[i]]++)
            *score = x;
        else if (c->reduce == MSKP_REDUCE_MAX)
            *score = x > *score ? x : *score;
        else if (c->reduce == MSKP_REDUCE_MIN)
            *score = x < *score ? x : *score;
        else
            *score += x;
    }
    return MSKP_OK;
}

/* Calls of work(c, id, axis, unit, err) for each axis of filters, until one fails. */
static mskp_status each_weight(comparison *c,
                               mskp_status (*work)(comparison *c, uint32_t id, uint32_t axis,
                                                   const uint32_t *unit, mskp_error *err),
                               mskp_error *err)
{
    mskp_status status = MSKP_OK;
    for (uint32_t id = 1; !status && id <= c->values.n; id++) {
        const uint32_t ndim = mskp_param_shape(c->graph, (mskp_param){id}, NULL);
        for (uint32_t axis = 0; !status && axis < ndim; axis++) {
            size_t n;
            const uint32_t *unit = filter_units(c->graph, id, axis, &n);
            if (unit) status = work(c, id, axis, unit, err);
        }
    }
    return status;
}

/* Checks the tensor of one weight, and how much memory it needs. */
static mskp_status check_weight(comparison *c, uint32_t id, uint32_t axis, const uint32_t *unit,
                                mskp_error *err)
{
    tensor_view view;
    const mskp_status status = read_view(c, id, &view, err);
    (void)unit;
    if (status) return status;
    const row_view rows = mskpi_rows(&view, axis);
    c->rows = rows.rows > c->rows ? rows.rows : c->rows;
    c->depth = rows.columns > c->depth ? rows.columns : c->depth;
    return MSKP_OK;
}

static mskp_status finish_scores(const comparison *c, size_t units, mskp_error *err)
{
    for (size_t u = 0; u < units; u++) {
        if (!c->count[u]) {
            c->reduced[u] = INFINITY;
            continue;
        }
        if (c->reduce == MSKP_REDUCE_MEAN) c->reduced[u] /= (double)c->count[u];
        if (isinf(c->reduced[u]))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                              "unit %zu: no double can hold what its %zu filters make", u,
                              c->count[u]);
    }
    return MSKP_OK;
}

static mskp_status check_arguments(const comparison *c, mskp_scores scores, mskp_error *err)
{
    const mskp_graph *graph = c->graph;
    mskp_status status = MSKPI_GIVEN(err, graph);
    if (status) return status;
    if (!mskp_fingerprint(c->graph))
        return mskpi_fail(err, MSKP_ERROR_BAD_STATE, "the graph is not finished");
    const mskp_counts counts = mskp_graph_counts(c->graph);
    if (!scores.unit) return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "scores is NULL");
    if (scores.n != counts.units)
        return mskpi_fail(err, MSKP_ERROR_OTHER_NETWORK, "scores has %zu units, the graph has %zu",
                          scores.n, counts.units);
    if ((unsigned)c->kind > MSKP_RESEMBLANCE_COSINE)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "filters: kind is %u, the last is %d",
                          (unsigned)c->kind, MSKP_RESEMBLANCE_COSINE);
    if ((unsigned)c->reduce > MSKP_REDUCE_MIN)
        return mskpi_fail(
            err, MSKP_ERROR_BAD_ARGUMENT,
            "numbers of filters are reduced by SUM, MEAN, MAX or MIN (0 to %d), not %u",
            MSKP_REDUCE_MIN, (unsigned)c->reduce);
    return mskpi_check_set(c->values, "values", counts.params, err);
}

/* Allocates what the largest weight needs. */
static mskp_status get_memory(comparison *c, size_t units, mskp_error *err)
{
    c->tile = c->rows < TILE ? c->rows : TILE;
    c->depth = c->depth < DEPTH ? c->depth : DEPTH;
    const size_t panel = c->tile * c->depth, product = c->tile * c->tile;
    c->panel[0] = mskpi_alloc(&c->services, 2 * panel, sizeof(double));
    c->product = mskpi_alloc(&c->services, product, sizeof *c->product);
    c->near = mskpi_alloc(&c->services, product, sizeof *c->near);
    c->scale = mskpi_alloc(&c->services, c->rows, 4 * sizeof *c->scale);
    c->count = mskpi_alloc(&c->services, units, sizeof *c->count);
    c->reduced = mskpi_alloc(&c->services, units, sizeof *c->reduced);
    if (!c->panel[0] || !c->product || !c->near || !c->scale || !c->count || !c->reduced)
        return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while comparing filters of %zu units",
                          mskp_status_text(MSKP_ERROR_NO_MEMORY), units);
    c->panel[1] = c->panel[0] + panel;
    c->inverse = c->scale + c->rows;
    c->square = c->inverse + c->rows;
    c->best = c->square + c->rows;
    return MSKP_OK;
}

mskp_status mskp_score_filters(const mskp_services *services, const mskp_graph *graph,
                               mskp_resemblance kind, mskp_reduce reduce, mskp_tensors values,
                               mskp_scores scores, mskp_error *err)
{
    comparison c = {.graph = graph, .values = values, .kind = kind, .reduce = reduce};
    mskp_status status = mskpi_check_services(services, err);
    if (!status) status = check_arguments(&c, scores, err);
    if (!status) status = each_weight(&c, check_weight, err);
    if (status) return status;
    mskpi_services_init(&c.services, services);
    status = get_memory(&c, scores.n, err);
    if (!status) status = each_weight(&c, add_weight, err);
    if (!status) status = finish_scores(&c, scores.n, err);
    if (!status && scores.n) memcpy(scores.unit, c.reduced, scores.n * sizeof *scores.unit);
    mskpi_free(&c.services, c.panel[0]);
    mskpi_free(&c.services, c.product);
    mskpi_free(&c.services, c.near);
    mskpi_free(&c.services, c.scale);
    mskpi_free(&c.services, c.count);
    mskpi_free(&c.services, c.reduced);
    return status;
}

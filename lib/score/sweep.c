/*
 * One sweep over a parameter gives the sums of all slices on all of its chosen axes, and reads each
 * element once.
 *
 * The order of additions. A row is an index on the first axis, a column one on the second, and taps
 * are the indices on all further axes in logical order; a parameter of one axis is one row. The
 * parameter is divided into tiles of up to ROWS rows, so many taps, up to TAPS, and so many columns
 * that it has up to PLACES places, which are pairs of a column and a tap. Within a tile
 *
 *     sum of a row      = the sum, as a tree, over LANES lanes l
 *                           of the sum over taps t
 *                             of the sum over columns l, l + LANES, l + 2 LANES ... at t
 *     sum of a column   = the sum over taps of the sum over rows
 *     sum of an index on a further axis
 *                       = the sum over columns and then taps that have the index, over rows
 *
 * and each sum begins with 0 and goes on in ascending order. Sums of several tiles are added in the
 * order of the tiles. So the order depends on logical indices alone, and all sums are in double
 * precision: the result does not depend on strides, threads or the processor's vectors.
 *
 * The two layouts that matter have few steps that way. Where the places of a row lie side by side
 * (contiguous), LANES columns with all their taps are a period of neighbouring elements, each of
 * which has a partial sum of its own. Where only the columns do (channels last), a row is summed
 * tap by tap, with LANES partial sums. Both are the same partial sums, and both read memory from
 * one end to the other, which alone runs at its full speed: to take several rows at once, and so
 * add to the places less often, was half as fast. Where the rows lie side by side instead
 * (transposed, as the second operand of a matrix product is), a band of BAND rows is copied into
 * their order, some columns at a time. Any other layout is read element by element, tap by tap.
 */
#include <string.h>

#include "base/assert.h"
#include "base/element.h"
#include "score/sweep.h"

enum {
    ROWS = 256,
    TAPS = 128,
    PLACES = 4608, /* 36 KiB of doubles; a row of 512 columns and 3 x 3 taps */
    CHUNK = 512,   /* elements that are read at once */
    BAND = 16,     /* rows that are copied at once: a cache line of floats */
    COLUMNS = 64,  /* and columns of theirs, a multiple of LANES */
    AHEAD = 8192,  /* bytes from what is read to what is asked for */
    LINE = 64      /* bytes of a cache line */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t pieces(size_t n, size_t piece)
{
    return n / piece + (n % piece != 0);
}

/* ---- Tiles ---- */

/* The axis of the columns. */
static uint32_t column_axis(const sweep *s)
{
    return s->of.view[0]->ndim > 1;
}

sweep mskpi_sweep(operands of)
{
    const tensor_view *v = of.view[0];
    sweep s = {.of = of, .rows = 1, .taps = 1};
    if (v->ndim > 1) s.rows = v->shape[0];
    s.columns = v->shape[column_axis(&s)];
    for (uint32_t d = 2; d < v->ndim; d++) s.taps *= v->shape[d];
    if (!s.rows || !s.columns || !s.taps) return s;
    s.tile_taps = smaller(s.taps, TAPS);
    s.tile_columns = PLACES / s.tile_taps / LANES * LANES;
    s.row_tiles = pieces(s.rows, ROWS);
    s.column_tiles = pieces(s.columns, s.tile_columns);
    s.tiles = s.row_tiles * s.column_tiles * pieces(s.taps, s.tile_taps);
    return s;
}

size_t mskpi_tile_elements(const sweep *s)
{
    return smaller(s->rows, ROWS) * smaller(s->columns, s->tile_columns) * s->tile_taps;
}

/* The rows, columns and taps of one tile, each from `first` on, and its numbers. */
typedef struct tile {
    size_t first_row, rows, first_column, columns, first_tap, taps;
    size_t row_tile, column_tile, tap_tile, number;
} tile;

static tile tile_of(const sweep *s, size_t number)
{
    const size_t tap_tiles = pieces(s->taps, s->tile_taps);
    tile t = {.number = number,
              .tap_tile = number % tap_tiles,
              .column_tile = number / tap_tiles % s->column_tiles,
              .row_tile = number / tap_tiles / s->column_tiles};
    t.first_row = t.row_tile * ROWS;
    t.first_column = t.column_tile * s->tile_columns;
    t.first_tap = t.tap_tile * s->tile_taps;
    t.rows = smaller(s->rows - t.first_row, ROWS);
    t.columns = smaller(s->columns - t.first_column, s->tile_columns);
    t.taps = smaller(s->taps - t.first_tap, s->tile_taps);
    return t;
}

/* How many parts, one after the other, give the sums of an axis. */
static size_t parts_of(const sweep *s, uint32_t d)
{
    if (!s->tiles) return 1;
    if (d > column_axis(s)) return s->tiles;
    return s->tiles / (d == column_axis(s) ? s->column_tiles : s->row_tiles);
}

size_t mskpi_sweep_parts(const sweep *s, uint32_t d)
{
    return (parts_of(s, d) - 1) * s->of.view[0]->shape[d];
}

/* Where a tile's sums of an axis stand: the first part at their final place. */
static double *part_of(const sweep *s, uint32_t d, const tile *t)
{
    const size_t tap_tiles = pieces(s->taps, s->tile_taps);
    size_t part = t->number;
    if (d == column_axis(s))
        part = t->row_tile * tap_tiles + t->tap_tile;
    else if (d < column_axis(s))
        part = t->column_tile * tap_tiles + t->tap_tile;
    return part ? s->parts[d] + (part - 1) * s->of.view[0]->shape[d] : s->sums[d];
}

void mskpi_join_tiles(const sweep *s)
{
    const tensor_view *v = s->of.view[0];
    for (uint32_t d = 0; d < v->ndim; d++) {
        const double *part = s->parts[d];
        for (size_t k = parts_of(s, d); s->sums[d] && k > 1; k--, part += v->shape[d])
            for (size_t i = 0; i < v->shape[d]; i++) s->sums[d][i] += part[i];
    }
}

/* ---- Reading ---- */

/* How the elements of one set are read, in one tile. */
typedef struct reader {
    const char *at;      /* the first element of the row, column and tap that come first */
    ptrdiff_t row, next; /* bytes from a row to the next one, from an element to the next one */
    ptrdiff_t tap[TAPS]; /* bytes from the first tap of the tile */
    kernel_load *load;   /* how n elements are read; NULL: the kernels read them, */
    bool one_by_one;     /* or, if this is true, mskpi_load does */
    bool across;         /* rows lie side by side, and are copied in bands before */
    mskp_dtype dtype;
    size_t element; /* bytes */
    kernel_format format;
    ptrdiff_t width; /* bytes of a row, if it is longer than AHEAD and has no gaps; else 0 */
    size_t ahead;    /* memory is asked for so many rows before it is read; 0: never */
} reader;

typedef struct reading {
    const sweep *s;
    tile t;
    reader set[2];
    bool two_sets;
    bool in_one; /* the elements of a row are read in one go, else tap by tap */
    size_t band; /* so many rows are summed at once */
    kernel_add *add;
} reading;

/* Whether conversions from float keep denormal numbers in this thread's floating-point mode. */
static bool keeps_denormals(void)
{
    const volatile float least = 0x1p-149F;
    return (double)least != 0;
}

static ptrdiff_t bytes_of(const tensor_view *v, uint32_t d)
{
    return v->stride[d] * (ptrdiff_t)v->element;
}

static kernel_format format_of(mskp_dtype dtype)
{
    return dtype == MSKP_DTYPE_F64   ? DOUBLES
           : dtype == MSKP_DTYPE_F32 ? FLOATS
           : dtype == MSKP_DTYPE_F16 ? HALVES
                                     : BFLOATS;
}

static void place_reader(reader *r, const tensor_view *v, const reading *j)
{
    const tile *t = &j->t;
    const uint32_t c = column_axis(j->s);
    const size_t width = t->columns * t->taps * v->element;
    r->dtype = v->dtype;
    r->element = v->element;
    r->format = format_of(v->dtype);
    r->row = c ? bytes_of(v, 0) : 0;
    r->next = j->in_one ? (ptrdiff_t)v->element : bytes_of(v, c);
    r->at =
        v->data + r->row * (ptrdiff_t)t->first_row + bytes_of(v, c) * (ptrdiff_t)t->first_column;
    for (size_t i = 0; i < t->taps; i++) {
        size_t rest = t->first_tap + i;
        r->tap[i] = 0;
        for (uint32_t d = v->ndim; d-- > 2; rest /= v->shape[d])
            r->tap[i] += bytes_of(v, d) * (ptrdiff_t)(rest % v->shape[d]);
    }
    /* A mode in which denormal floats are 0 must not change what is read. */
    const bool apart = r->next != (ptrdiff_t)v->element && v->shape[c] > 1;
    const bool careful = (r->format == FLOATS || r->format == BFLOATS) && !keeps_denormals();
    r->across = apart && !careful && r->row == (ptrdiff_t)v->element;
    r->one_by_one = careful || (apart && !r->across);
    r->ahead = r->one_by_one || r->across ? 0 : pieces(AHEAD, width);
    if (r->ahead == 1 && (t->taps == 1 || j->in_one || r->row == (ptrdiff_t)width))
        r->width = (ptrdiff_t)width;
}

static reading reading_of(const sweep *s, const kernels *k, size_t number)
{
    reading j = {.s = s, .t = tile_of(s, number), .two_sets = s->of.view[1] != NULL};
    uint8_t runs[MSKP_MAX_DIMS + 1];
    kernel_format format = format_of(s->of.view[0]->dtype); /* what the kernels read */
    const size_t sets = j.two_sets ? 2 : 1;
    mskpi_runs(s->of.view, sets, s->of.view[0]->ndim, runs);
    j.in_one = runs[column_axis(s)] && s->taps > 1 && s->taps == j.t.taps;
    for (size_t i = 0; i < sets; i++)
        j.in_one = j.in_one && mskpi_run_step(s->of.view[i], column_axis(s)) == 1;
    for (size_t i = 0; i < sets; i++) {
        place_reader(&j.set[i], s->of.view[i], &j);
        if (j.set[i].one_by_one || j.set[i].format != format || !k->add[format][s->of.term])
            format = DOUBLES;
    }
    for (size_t i = 0; i < sets; i++)
        if (j.set[i].format != format) j.set[i].load = k->load[j.set[i].format];
    j.band = j.set[0].across || j.set[1].across ? BAND : 1;
    j.add = k->add[format][s->of.term];
    return j;
}

/* Returns what the kernels read in place of n elements: these, or their numbers in the buffer. */
static const void *numbers(const reader *r, const char *from, size_t n, double *buffer)
{
    if (r->one_by_one)
        for (size_t k = 0; k < n; k++)
            buffer[k] = mskpi_load(from + r->next * (ptrdiff_t)k, r->dtype);
    else if (r->load)
        r->load(from, n, buffer);
    return r->one_by_one || r->load ? buffer : (const void *)from;
}

/* Asks for memory that is read AHEAD bytes later: further on in the row, or in a row that follows.
 * Processors do so themselves where one address follows the other, but not far enough ahead while
 * sums are added to places. */
static void ask_for(const char *from, size_t bytes)
{
#ifdef __GNUC__
    for (size_t b = 0; b < bytes; b += LINE) __builtin_prefetch(from + b);
#else
    (void)from;
    (void)bytes;
#endif
}

/* Adds n elements, those of each set at x[k], to partial sums and places. */
static void add_read(const reading *j, const char *const x[2], size_t n, double *sum, size_t period,
                     double *place)
{
    _Alignas(LINE) double buffer[2][CHUNK];
    const void *w = numbers(&j->set[0], x[0], n, buffer[0]);
    j->add(w, j->two_sets ? numbers(&j->set[1], x[1], n, buffer[1]) : NULL, n, sum, period, place);
}

/* Where row i of a set begins, and `from` bytes more. */
static const char *place_in_row(const reader *r, size_t i, ptrdiff_t from)
{
    return r->at + r->row * (ptrdiff_t)i + from;
}

/* Adds n elements of row i, from this one on, to partial sums and places. */
static void add_elements(const reading *j, size_t i, const ptrdiff_t from[2], size_t n, double *sum,
                         size_t period, double *place)
{
    const char *x[2] = {NULL, NULL};
    for (size_t k = 0; k < (j->two_sets ? 2 : 1); k++) {
        const reader *r = &j->set[k];
        const ptrdiff_t row = r->row * (ptrdiff_t)r->ahead;
        x[k] = place_in_row(r, i, from[k]);
        if (r->width && from[k] + AHEAD < r->width)
            ask_for(x[k] + AHEAD, n * r->element);
        else if (r->ahead && i + r->ahead < j->t.rows)
            ask_for(x[k] + row + (r->width ? AHEAD - r->width : 0), n * r->element);
    }
    add_read(j, x, n, sum, period, place);
}

/* to[r * COLUMNS + c] <- element c of row r, of `rows` rows that lie side by side. */
static void copy_across(const reader *r, const char *from, size_t rows, size_t n, char *to)
{
    const size_t element = r->element;
    for (size_t c = 0; c < n; c++, from += r->next, to += element)
        for (size_t i = 0; i < rows; i++)
            if (element == 4)
                memcpy(to + i * COLUMNS * 4, from + i * 4, 4);
            else if (element == 2)
                memcpy(to + i * COLUMNS * 2, from + i * 2, 2);
            else
                memcpy(to + i * COLUMNS * 8, from + i * 8, 8);
}

/* The same as add_elements for each of `rows` rows from row i on, at most COLUMNS elements of each,
 * with LANES partial sums. */
static void add_band(const reading *j, size_t i, size_t rows, const ptrdiff_t from[2], size_t n,
                     double (*sum)[LANES], double *place)
{
    _Alignas(LINE) char band[2][BAND * COLUMNS * sizeof(double)];
    const size_t sets = j->two_sets ? 2 : 1;
    for (size_t k = 0; k < sets; k++)
        if (j->set[k].across)
            copy_across(&j->set[k], place_in_row(&j->set[k], i, from[k]), rows, n, band[k]);
    for (size_t row = 0; row < rows; row++) {
        const char *x[2] = {NULL, NULL};
        for (size_t k = 0; k < sets; k++)
            x[k] = j->set[k].across ? band[k] + row * COLUMNS * j->set[k].element
                                    : place_in_row(&j->set[k], i + row, from[k]);
        add_read(j, x, n, sum[row], LANES, place);
    }
}

/* ---- Adding ---- */

static double sum_of_lanes(const double lane[LANES])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* Returns the sum of row i whose elements lie side by side, by column and tap. */
static double sum_in_one(const reading *j, size_t i, double *place)
{
    const size_t taps = j->t.taps, n = j->t.columns * taps, period = LANES * taps;
    const size_t lanes = smaller(j->t.columns, LANES);
    const size_t most = period < CHUNK ? CHUNK / period * period : CHUNK;
    _Alignas(LINE) double sum[LANES * TAPS];
    double lane[LANES] = {0};
    memset(sum, 0, lanes * taps * sizeof *sum);
    for (size_t p = 0, m; p < n; p += m) {
        const ptrdiff_t from[2] = {j->set[0].next * (ptrdiff_t)p, j->set[1].next * (ptrdiff_t)p};
        m = smaller(smaller(n - p, most), period < CHUNK ? CHUNK : period - p % period);
        add_elements(j, i, from, m, sum + p % period, period, place + p);
    }
    for (size_t t = 0; t < taps; t++)
        for (size_t l = 0; l < lanes; l++) lane[l] += sum[l * taps + t];
    return sum_of_lanes(lane);
}

/* sums[r] <- the sum of row i + r, tap by tap, of `rows` rows, at most j->band. Places are in the
 * same order. */
static void sum_by_taps(const reading *j, size_t i, size_t rows, double *place, double *sums)
{
    double lane[BAND][LANES];
    const size_t most = j->band > 1 ? COLUMNS : CHUNK;
    memset(lane, 0, rows * sizeof *lane);
    for (size_t t = 0; t < j->t.taps; t++) {
        _Alignas(LINE) double sum[BAND][LANES];
        memset(sum, 0, rows * sizeof *sum);
        for (size_t c = 0, m; c < j->t.columns; c += m, place += m) {
            const ptrdiff_t from[2] = {j->set[0].tap[t] + j->set[0].next * (ptrdiff_t)c,
                                       j->set[1].tap[t] + j->set[1].next * (ptrdiff_t)c};
            m = smaller(j->t.columns - c, most);
            if (j->band > 1)
                add_band(j, i, rows, from, m, sum, place);
            else
                add_elements(j, i, from, m, sum[0], LANES, place);
        }
        for (size_t r = 0; r < rows; r++)
            for (size_t l = 0; l < LANES; l++) lane[r][l] += sum[r][l];
    }
    for (size_t r = 0; r < rows; r++) sums[r] = sum_of_lanes(lane[r]);
}

/* to[c] += the sums of the places of column c. */
static void add_to_columns(const reading *j, const double *place, double *to)
{
    const size_t taps = j->t.taps, columns = j->t.columns;
    if (j->in_one)
        for (size_t c = 0; c < columns; c++)
            for (size_t k = 0; k < taps; k++) to[c] += place[c * taps + k];
    else
        for (size_t k = 0; k < taps; k++)
            for (size_t c = 0; c < columns; c++) to[c] += place[k * columns + c];
}

/* to[i] += the sums of the places whose taps have index i on axis d. */
static void add_to_taps(const reading *j, const double *place, uint32_t d, double *to)
{
    const tile *t = &j->t;
    const tensor_view *v = j->s->of.view[0];
    size_t inner = 1; /* so many neighbouring taps have the same index */
    for (uint32_t e = v->ndim; e-- > d + 1;) inner *= v->shape[e];
    for (size_t c = 0; c < t->columns; c++)
        for (size_t k = 0; k < t->taps; k++)
            to[(t->first_tap + k) / inner % v->shape[d]] +=
                place[j->in_one ? c * t->taps + k : k * t->columns + c];
}

void mskpi_sum_tile(const sweep *s, const kernels *k, size_t number)
{
    _Alignas(LINE) double place[PLACES];
    const reading j = reading_of(s, k, number);
    double *row = NULL;
    if (column_axis(s) && s->sums[0]) row = part_of(s, 0, &j.t) + j.t.first_row;
    memset(place, 0, j.t.columns * j.t.taps * sizeof *place);
    for (size_t i = 0, n; i < j.t.rows; i += n) {
        double sums[BAND];
        n = smaller(j.t.rows - i, j.band);
        if (j.in_one)
            sums[0] = sum_in_one(&j, i, place);
        else
            sum_by_taps(&j, i, n, place, sums);
        if (row) memcpy(row + i, sums, n * sizeof *row);
    }
    for (uint32_t d = column_axis(s); d < s->of.view[0]->ndim; d++)
        if (s->sums[d] && d == column_axis(s))
            add_to_columns(&j, place, part_of(s, d, &j.t) + j.t.first_column);
        else if (s->sums[d])
            add_to_taps(&j, place, d, part_of(s, d, &j.t));
}

/*
 * The order in which units leave, known in part.
 *
 * A place in the order is a pair (key, unit), where the key is made of the score's bits and ascends
 * with it. Each rank has some of the units and keeps them sorted, so how many of a family lie in a
 * span of the order is a binary search there, and a sum over ranks. A bucket is a span with these
 * numbers for some families. Two operations make it known more precisely:
 *
 *     split    first the span shrinks to the first and the last unit that any rank has in it; then
 *              the span of keys is divided into PIECES equal pieces, and each family's units in
 *              each of them are counted. Once all units have one key, the span of numbers is
 *              divided instead, so ties are nothing of their own
 *     reveal   all ranks get all units of the bucket
 */
#include "order.h"

#include <limits.h>
#include <string.h>

/* ---- this rank's units ---- */

uint64_t mskpmpi_key_of(double score)
{
    const uint64_t sign = UINT64_C(1) << 63;
    uint64_t bits = mskpmpi_bits(score);
    if (bits == sign) bits = 0; /* -0 equals 0 */
    return bits & sign ? ~bits : bits | sign;
}

static unsigned digit(const place *p, int pass)
{
    return (pass < 4 ? p->unit >> 8 * pass : (unsigned)(p->key >> 8 * (pass - 4))) & 255;
}

/* Sorts places by key, then by unit: a radix sort. Returns a or b, where the result is. */
static place *sort_places(place *a, place *b, size_t n)
{
    for (int pass = 0; pass < 12; pass++) {
        size_t start[257] = {0};
        for (size_t i = 0; i < n; i++) start[digit(&a[i], pass) + 1]++;
        if (n && start[digit(a, pass) + 1] == n) continue; /* all have the same digit */
        for (int d = 0; d < 256; d++) start[d + 1] += start[d];
        for (size_t i = 0; i < n; i++) b[start[digit(&a[i], pass)]++] = a[i];
        place *const other = a;
        a = b;
        b = other;
    }
    return a;
}

mskp_status mskpmpi_order_open(ordering *o, mskp_error *error)
{
    place *buffer = mskpmpi_get(o->mpi, o->nmine, sizeof *buffer);
    o->first = mskpmpi_get(o->mpi, o->families + 2, sizeof *o->first);
    if (!buffer || !o->first) {
        mskpmpi_free(o->mpi, buffer);
        return mskpmpi_no_memory(error, "units", o->nmine);
    }
    place *sorted = sort_places(o->mine, buffer, o->nmine);
    place *other = sorted == buffer ? o->mine : buffer;
    /* first[f + 1] is where the next unit of f goes, and at last where f + 1 begins. */
    for (size_t i = 0; i < o->nmine; i++) o->first[sorted[i].family + 2]++;
    for (size_t f = 0; f < o->families; f++) o->first[f + 1] += o->first[f];
    for (size_t i = 0; i < o->nmine; i++) other[o->first[sorted[i].family + 1]++] = sorted[i];
    o->mine = other;
    mskpmpi_free(o->mpi, sorted);
    return MSKP_OK;
}

void mskpmpi_order_close(ordering *o)
{
    mskpmpi_free(o->mpi, o->mine);
    mskpmpi_free(o->mpi, o->first);
}

/* The first of this rank's units of a family whose place is not before (key, unit). */
static size_t first_from(const ordering *o, uint32_t family, uint64_t key, uint32_t unit)
{
    size_t low = o->first[family], high = o->first[family + 1];
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const place *p = &o->mine[middle];
        if (p->key < key || (p->key == key && p->unit < unit))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What this rank has of a family in a span: *begin, and how many. */
static size_t find_mine(const ordering *o, uint32_t family, const span *s, size_t *begin)
{
    *begin = first_from(o, family, s->key[0], s->unit[0]);
    size_t end = first_from(o, family, s->key[1], s->unit[1]);
    if (end < o->first[family + 1] && o->mine[end].key == s->key[1] &&
        o->mine[end].unit == s->unit[1])
        end++;
    return end - *begin;
}

size_t mskpmpi_mine_in(const ordering *o, uint32_t family, const span *s)
{
    size_t begin;
    return find_mine(o, family, s, &begin);
}

/* ---- split ---- */

static uint64_t piece_width(uint64_t first, uint64_t last)
{
    return (last - first) / PIECES + 1;
}

size_t mskpmpi_pieces(const span *s)
{
    if (s->key[0] < s->key[1])
        return (size_t)((s->key[1] - s->key[0]) / piece_width(s->key[0], s->key[1])) + 1;
    return (s->unit[1] - s->unit[0]) / (size_t)piece_width(s->unit[0], s->unit[1]) + 1;
}

span mskpmpi_piece(const span *s, size_t i)
{
    span piece = *s;
    if (s->key[0] < s->key[1]) {
        const uint64_t width = piece_width(s->key[0], s->key[1]);
        piece.key[0] += width * i;
        if (s->key[1] - piece.key[0] >= width) piece.key[1] = piece.key[0] + width - 1;
    } else {
        const uint32_t width = (uint32_t)piece_width(s->unit[0], s->unit[1]);
        piece.unit[0] += width * (uint32_t)i;
        if (s->unit[1] - piece.unit[0] >= width) piece.unit[1] = piece.unit[0] + width - 1;
    }
    return piece;
}

/* The ends of a bucket as numbers of which the least over all ranks is wanted. Signed, because
 * MPICH 4.0 compares MPI_UINT64_T as signed numbers. */
enum { LEAST_KEY, MOST_KEY, LEAST_UNIT, MOST_UNIT, ENDS };

static int64_t ordered(uint64_t key)
{
    const uint64_t bits = key ^ UINT64_C(1) << 63;
    int64_t x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint64_t unordered(int64_t x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ UINT64_C(1) << 63;
}

static void least(int64_t *a, int64_t b)
{
    if (b < *a) *a = b;
}

static void find_ends(const ordering *o, const bucket *b, int64_t *end)
{
    for (int i = 0; i < ENDS; i++) end[i] = INT64_MAX;
    for (size_t k = 0; k < b->nparts; k++) {
        size_t begin;
        const size_t n = find_mine(o, b->part[k].family, &b->span, &begin);
        if (!n) continue;
        const place *from = &o->mine[begin], *to = &o->mine[begin + n - 1];
        least(&end[LEAST_KEY], ordered(from->key));
        least(&end[MOST_KEY], ordered(~to->key));
        /* Numbers matter only if all units have one key. */
        least(&end[LEAST_UNIT], (int64_t)from->unit);
        least(&end[MOST_UNIT], -(int64_t)to->unit);
    }
}

/* A bucket has units, so each number is of one of them. */
static void shrink(bucket *b, const int64_t *end)
{
    b->span.key[0] = unordered(end[LEAST_KEY]);
    b->span.key[1] = ~unordered(end[MOST_KEY]);
    if (b->span.key[0] < b->span.key[1]) return;
    b->span.unit[0] = (uint32_t)end[LEAST_UNIT];
    b->span.unit[1] = (uint32_t)-end[MOST_UNIT];
}

mskp_status mskpmpi_split(ordering *o, size_t n, bucket *const *chosen, uint32_t **counts,
                          mskp_error *error)
{
    size_t parts = 0, at = 0;
    for (size_t i = 0; i < n; i++) parts += chosen[i]->nparts;
    int64_t *ends = mskpmpi_get(o->mpi, n * ENDS, sizeof *ends);
    *counts = mskpmpi_get(o->mpi, parts * PIECES, sizeof **counts);
    mskp_status status = MSKP_OK;
    if (!ends || !*counts) status = mskpmpi_no_memory(error, "families", parts);
    status = mskpmpi_agree(o->mpi, status, error);
    for (size_t i = 0; !status && i < n; i++) find_ends(o, chosen[i], ends + i * ENDS);
    if (!status) status = mskpmpi_reduce(o->mpi, n * ENDS, ends, MPI_INT64_T, MPI_MIN, error);
    for (size_t i = 0; !status && i < n; i++) {
        bucket *b = chosen[i];
        shrink(b, ends + i * ENDS);
        const size_t pieces = mskpmpi_pieces(&b->span);
        for (size_t k = 0; k < b->nparts; k++, at++)
            for (size_t j = 0; j < pieces; j++) {
                const span piece = mskpmpi_piece(&b->span, j);
                (*counts)[at * PIECES + j] =
                    (uint32_t)mskpmpi_mine_in(o, b->part[k].family, &piece);
            }
    }
    if (!status)
        status = mskpmpi_reduce(o->mpi, parts * PIECES, *counts, MPI_UINT32_T, MPI_SUM, error);
    mskpmpi_free(o->mpi, ends);
    return status;
}

/* ---- reveal ---- */

/* A unit that is sent. */
typedef struct sent_unit {
    uint64_t key;
    uint32_t unit, bucket;
} sent_unit;

typedef struct revealing {
    sent_unit *mine, *all;
    place *buffer;
    size_t nmine, nall, longest;
    int *counts, *starts; /* [ranks] */
} revealing;

static mskp_status get_room(const ordering *o, size_t n, bucket *const *chosen, revealing *r,
                            mskp_error *error)
{
    const size_t ranks = (size_t)o->mpi->ranks;
    bool got = true;
    for (size_t i = 0; i < n; i++) {
        const bucket *b = chosen[i];
        r->nall += b->units;
        if (b->units > r->longest) r->longest = b->units;
        for (size_t k = 0; k < b->nparts; k++)
            r->nmine += mskpmpi_mine_in(o, b->part[k].family, &b->span);
    }
    r->mine = mskpmpi_get(o->mpi, r->nmine, sizeof *r->mine);
    r->all = mskpmpi_get(o->mpi, r->nall, sizeof *r->all);
    r->buffer = mskpmpi_get(o->mpi, r->longest, sizeof *r->buffer);
    r->counts = mskpmpi_get(o->mpi, ranks, sizeof *r->counts);
    r->starts = mskpmpi_get(o->mpi, ranks, sizeof *r->starts);
    for (size_t i = 0; got && i < n; i++) {
        chosen[i]->known = mskpmpi_get(o->mpi, chosen[i]->units, sizeof *chosen[i]->known);
        got = chosen[i]->known != NULL;
    }
    if (!got || !r->mine || !r->all || !r->buffer || !r->counts || !r->starts)
        return mskpmpi_no_memory(error, "units", r->nall);
    if (r->nall > INT_MAX)
        return mskpmpi_fail(error, MSKP_ERROR_UNSUPPORTED,
                            "%zu units have to be sent, at most %d are possible", r->nall, INT_MAX);
    return MSKP_OK;
}

static void pack_units(const ordering *o, size_t n, bucket *const *chosen, revealing *r)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < chosen[i]->nparts; k++) {
            size_t begin;
            const size_t count = find_mine(o, chosen[i]->part[k].family, &chosen[i]->span, &begin);
            for (size_t j = begin; j < begin + count; j++)
                r->mine[at++] = (sent_unit){o->mine[j].key, o->mine[j].unit, (uint32_t)i};
        }
}

/* known <- the units of each bucket, in order. */
static void unpack_units(const ordering *o, size_t n, bucket *const *chosen, revealing *r)
{
    for (size_t i = 0; i < n; i++) chosen[i]->units = 0;
    for (size_t j = 0; j < r->nall; j++) {
        const sent_unit *u = &r->all[j];
        bucket *b = chosen[u->bucket];
        b->known[b->units++] = (place){u->key, u->unit, o->family[u->unit]};
    }
    for (size_t i = 0; i < n; i++) {
        bucket *b = chosen[i];
        const place *sorted = sort_places(b->known, r->buffer, b->units);
        if (sorted != b->known) memcpy(b->known, sorted, b->units * sizeof *sorted);
    }
}

static mskp_status send_units(ordering *o, revealing *r, mskp_error *error)
{
    const int mine = (int)r->nmine;
    MPI_Datatype type;
    mskp_status status = mskpmpi_gather_all(o->mpi, sizeof mine, &mine, r->counts, error);
    for (int rank = 1; rank < o->mpi->ranks; rank++)
        r->starts[rank] = r->starts[rank - 1] + r->counts[rank - 1];
    if (status) return status;
    status = mskpmpi_returned(MPI_Type_contiguous(sizeof *r->mine, MPI_BYTE, &type),
                              "MPI_Type_contiguous", error);
    if (status) return status;
    status = mskpmpi_returned(MPI_Type_commit(&type), "MPI_Type_commit", error);
    if (!status)
        status = mskpmpi_returned(
            MPI_Allgatherv(r->mine, mine, type, r->all, r->counts, r->starts, type, o->mpi->comm),
            "MPI_Allgatherv", error);
    o->mpi->calls++;
    o->mpi->bytes += r->nmine * sizeof *r->mine;
    MPI_Type_free(&type);
    return status;
}

mskp_status mskpmpi_reveal(ordering *o, size_t n, bucket *const *chosen, mskp_error *error)
{
    revealing r = {0};
    mskp_status status = mskpmpi_agree(o->mpi, get_room(o, n, chosen, &r, error), error);
    if (!status) pack_units(o, n, chosen, &r);
    if (!status) status = send_units(o, &r, error);
    if (!status) unpack_units(o, n, chosen, &r);
    mskpmpi_free(o->mpi, r.mine);
    mskpmpi_free(o->mpi, r.all);
    mskpmpi_free(o->mpi, r.buffer);
    mskpmpi_free(o->mpi, r.counts);
    mskpmpi_free(o->mpi, r.starts);
    return status;
}

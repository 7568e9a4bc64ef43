/*
 * Who has which rows of a parameter, and who sums them up.
 *
 * Each rank tells all others, for each parameter, its rows and their dtype (table.c). From this all
 * ranks work out the same, without a further word: of replicas one sums up, and those of parameter
 * p take turns.
 *
 * A parameter of which slices on other axes than the first are asked has to be whole on one rank.
 * If no rank has it whole, its rows are sent to the rank to which least was sent so far.
 */
#include "shards.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { LONG = 100 }; /* characters of a name that is shown with rows */

const char *mskpmpi_rows_name(const sharding *s, uint32_t id, mskp_mpi_rows rows,
                              char text[ROWS_NAME])
{
    const char *name = mskp_param_name(s->graph, (mskp_param){id});
    const shard *p = &s->shard[id - 1];
    char number[16] = ""; /* so that names that are cut off stay different */
    if (rows.count == p->shape[0]) return name;
    if (strlen(name) > LONG) (void)snprintf(number, sizeof number, "...%" PRIu32, id);
    (void)snprintf(text, ROWS_NAME, "%.*s%s[%zu:%zu]", LONG, name, number, rows.first,
                   rows.first + rows.count);
    return text;
}

/* ---- what is known without communication ---- */

/* seen: [units] zeros, then the last parameter in which a unit had a slice. */
static void find_slices(sharding *s, uint32_t id, uint32_t *seen)
{
    shard *p = &s->shard[id - 1];
    p->ndim = mskp_param_shape(s->graph, (mskp_param){id}, p->shape);
    for (uint32_t d = 0; d < p->ndim; d++) {
        uint32_t roles;
        size_t n;
        bool any = false;
        const uint32_t *unit = mskp_param_units(s->graph, (mskp_param){id}, d, &roles, &n);
        if (p->shape[d] > s->longest) s->longest = p->shape[d];
        if (!unit || !(roles & s->how.roles)) continue;
        for (size_t i = 0; i < n; i++) {
            if (unit[i] == MSKP_PINNED) continue;
            any = true;
            p->crosses |= seen[unit[i]] == id;
        }
        for (size_t i = 0; i < n; i++)
            if (unit[i] != MSKP_PINNED) seen[unit[i]] = id;
        if (any) p->chosen |= 1U << d;
    }
}

static mskp_status check_piece(sharding *s, uint32_t id, mskp_mpi_rows rows, mskp_error *error)
{
    shard *p = &s->shard[id - 1];
    char room[ROWS_NAME];
    size_t shape[MSKP_MAX_DIMS];
    memcpy(shape, p->shape, sizeof shape);
    if (rows.first > shape[0] || rows.count > shape[0] - rows.first)
        return mskpmpi_fail(
            error, MSKP_ERROR_BAD_SHAPE, "%.80s: %zu rows from row %zu on, the parameter has %zu",
            mskp_param_name(s->graph, (mskp_param){id}), rows.count, rows.first, shape[0]);
    if (!p->chosen || !rows.count) return MSKP_OK;
    shape[0] = rows.count;
    const char *name = mskpmpi_rows_name(s, id, rows, room);
    if (!s->pieces.view[id - 1].data)
        return mskpmpi_fail(error, MSKP_ERROR_NO_DATA, "%.120s has no data", name);
    const mskp_status status =
        mskpmpi_view(&s->pieces.view[id - 1], name, p->ndim, shape, &p->piece, error);
    if (!status && p->piece.dtype > MSKP_DTYPE_BF16)
        return mskpmpi_fail(error, MSKP_ERROR_UNSUPPORTED,
                            "%.120s has dtype %u, which has no numbers", name,
                            (unsigned)p->piece.dtype);
    return status;
}

static void lay_out_sums(sharding *s)
{
    for (size_t i = 0; i < s->params; i++) {
        shard *p = &s->shard[i];
        for (uint32_t d = 0; !p->crosses && d < p->ndim; d++) {
            p->first[d] = s->nsums;
            if (p->chosen & 1U << d) s->nsums += p->shape[d];
        }
    }
}

mskp_status mskpmpi_shards_open(sharding *s, mskp_error *error)
{
    const mskp_counts counts = mskp_graph_counts(s->graph);
    const size_t ranks = (size_t)s->mpi->ranks;
    mskp_status status = MSKP_OK;
    s->params = counts.params;
    s->units = counts.units;
    s->longest = 1;
    s->shard = mskpmpi_get(s->mpi, s->params, sizeof *s->shard);
    uint32_t *seen = mskpmpi_get(s->mpi, s->units, sizeof *seen);
    s->entry = mskpmpi_get(s->mpi, s->params * ROWS_ENTRY, sizeof *s->entry);
    s->table = (row_table){.graph = s->graph, .width = ROWS_ENTRY};
    s->counts = mskpmpi_get(s->mpi, ranks, sizeof *s->counts);
    s->starts = mskpmpi_get(s->mpi, ranks, sizeof *s->starts);
    s->load = mskpmpi_get(s->mpi, ranks, sizeof *s->load);
    if (!s->shard || !seen || !s->entry || !s->counts || !s->starts || !s->load)
        status = mskpmpi_no_memory(error, "parameters", s->params);
    if (!status) status = mskpmpi_table_open(s->mpi, &s->table, error);
    for (uint32_t id = 1; !status && id <= s->params; id++) {
        shard *p = &s->shard[id - 1];
        find_slices(s, id, seen);
        const mskp_mpi_rows rows = s->rows ? s->rows[id - 1] : (mskp_mpi_rows){0, p->shape[0]};
        status = check_piece(s, id, rows, error);
        s->entry[(id - 1) * ROWS_ENTRY + ROWS_FIRST] = rows.first;
        s->entry[(id - 1) * ROWS_ENTRY + ROWS_COUNT] = rows.count;
        s->entry[(id - 1) * ROWS_ENTRY + ROWS_DTYPE] = (uint64_t)p->piece.dtype;
    }
    mskpmpi_free(s->mpi, seen);
    for (uint32_t id = 1; id <= counts.values; id++) {
        size_t n;
        mskp_value_units(s->graph, (mskp_value){id}, &n);
        if (n > s->longest) s->longest = n;
    }
    if (status) return status;
    lay_out_sums(s);
    s->sums = mskpmpi_get(s->mpi, s->nsums, sizeof *s->sums);
    s->maker = mskpmpi_get(s->mpi, s->nsums, sizeof *s->maker);
    return s->sums && s->maker ? MSKP_OK : mskpmpi_no_memory(error, "slices", s->nsums);
}

void mskpmpi_shards_close(sharding *s)
{
    for (size_t i = 0; s->shard && i < s->params; i++) mskpmpi_free(s->mpi, s->shard[i].buffer);
    mskpmpi_free(s->mpi, s->shard);
    mskpmpi_free(s->mpi, s->entry);
    mskpmpi_table_close(s->mpi, &s->table);
    mskpmpi_free(s->mpi, s->counts);
    mskpmpi_free(s->mpi, s->starts);
    mskpmpi_free(s->mpi, s->load);
    mskpmpi_free(s->mpi, s->sums);
    mskpmpi_free(s->mpi, s->maker);
}

/* ---- who sums up what ---- */

static size_t row_bytes(const shard *p, size_t element)
{
    size_t bytes = element;
    for (uint32_t d = 1; d < p->ndim; d++) bytes *= p->shape[d];
    return bytes;
}

static size_t element_of(uint64_t dtype)
{
    return dtype == MSKP_DTYPE_F64 ? 8 : dtype == MSKP_DTYPE_F32 ? 4 : 2;
}

/* Chooses the rank on which the rows meet. */
static mskp_status choose_target(sharding *s, uint32_t id, uint64_t dtype, mskp_error *error)
{
    shard *p = &s->shard[id - 1];
    const size_t bytes = row_bytes(p, element_of(dtype));
    if (bytes > INT_MAX || p->shape[0] > INT_MAX)
        return mskpmpi_fail(error, MSKP_ERROR_UNSUPPORTED,
                            "%.80s: %zu rows of %zu bytes have to be sent, at most %d are possible",
                            mskp_param_name(s->graph, (mskp_param){id}), p->shape[0], bytes,
                            INT_MAX);
    p->sent = true;
    for (int rank = 1; rank < s->mpi->ranks; rank++)
        if (s->load[rank] < s->load[p->target]) p->target = rank;
    s->load[p->target] += bytes * p->shape[0];
    return MSKP_OK;
}

/* A rank sums up these rows; they are all where slices on other axes are asked. */
static void note_maker(sharding *s, const shard *p, mskp_mpi_rows rows, int rank)
{
    for (uint32_t d = 0; !p->crosses && d < p->ndim; d++) {
        if (!(p->chosen & 1U << d)) continue;
        const size_t first = d ? 0 : rows.first, n = d ? p->shape[d] : rows.count;
        for (size_t i = first; i < first + n; i++) s->maker[p->first[d] + i] = rank;
    }
}

static mskp_status place(sharding *s, uint32_t id, mskp_error *error)
{
    shard *p = &s->shard[id - 1];
    const size_t me = (size_t)s->mpi->rank, n = mskpmpi_sort_ranks(&s->table, id);
    const mskp_status status = mskpmpi_check_rows(&s->table, id, n, error);
    if (status) return status;
    const uint64_t dtype = mskpmpi_entry(&s->table, s->table.order[0], id)[ROWS_DTYPE];
    const bool whole = mskpmpi_entry(&s->table, s->table.order[0], id)[ROWS_COUNT] == p->shape[0];
    p->dtype = (mskp_dtype)dtype;
    if (p->crosses || (p->chosen != 1 && !whole)) {
        const mskp_status chosen = choose_target(s, id, dtype, error);
        if (!chosen) note_maker(s, p, (mskp_mpi_rows){0, p->shape[0]}, p->target);
        return chosen;
    }
    for (size_t i = 0, same; i < n; i += same) { /* one rank of each group of replicas */
        const uint64_t *e = mskpmpi_entry(&s->table, s->table.order[i], id);
        same = mskpmpi_replicas(&s->table, id, n, i);
        const size_t rank = s->table.order[i + id % same];
        const mskp_mpi_rows rows = {e[ROWS_FIRST], e[ROWS_COUNT]};
        note_maker(s, p, rows, (int)rank);
        if (rank == me) p->summed = rows;
    }
    return MSKP_OK;
}

/* How many sums this rank makes; and buffers for what it receives. */
static mskp_status get_buffers(sharding *s, mskp_error *error)
{
    for (size_t i = 0; i < s->params; i++) {
        shard *p = &s->shard[i];
        if (p->sent && !p->crosses && p->target == s->mpi->rank)
            p->summed = (mskp_mpi_rows){0, p->shape[0]};
        if (p->sent && (p->crosses || p->target == s->mpi->rank)) {
            const size_t bytes = row_bytes(p, element_of((uint64_t)p->dtype));
            p->buffer = mskpmpi_get(s->mpi, p->shape[0], bytes);
            if (!p->buffer) return mskpmpi_no_memory(error, "rows of a parameter", p->shape[0]);
        }
        for (uint32_t d = 0; p->summed.count && d < p->ndim; d++)
            if (p->chosen & 1U << d) s->slices += d ? p->shape[d] : p->summed.count;
    }
    return MSKP_OK;
}

mskp_status mskpmpi_shards_place(sharding *s, mskp_error *error)
{
    mskp_status status = mskpmpi_table_fill(s->mpi, &s->table, s->entry, error);
    for (uint32_t id = 1; !status && id <= s->params; id++) /* the same on all ranks */
        if (s->shard[id - 1].chosen) status = place(s, id, error);
    if (status) return status;
    return mskpmpi_agree(s->mpi, get_buffers(s, error), error);
}

/* ---- sending ---- */

/* target's buffer <- the rows of all ranks. packed: this rank's rows. */
static mskp_status gather_rows(sharding *s, uint32_t id, const void *packed, mskp_error *error)
{
    shard *p = &s->shard[id - 1];
    const size_t bytes = row_bytes(p, element_of((uint64_t)p->dtype));
    size_t end = 0;
    MPI_Datatype row;
    memset(s->counts, 0, (size_t)s->mpi->ranks * sizeof *s->counts);
    memset(s->starts, 0, (size_t)s->mpi->ranks * sizeof *s->starts);
    for (size_t i = 0, n = mskpmpi_sort_ranks(&s->table, id); i < n; i++) {
        const uint64_t *e = mskpmpi_entry(&s->table, s->table.order[i], id);
        if (e[ROWS_FIRST] != end) continue; /* a replica */
        s->counts[s->table.order[i]] = (int)e[ROWS_COUNT];
        s->starts[s->table.order[i]] = (int)end;
        end += e[ROWS_COUNT];
    }
    mskp_status status = mskpmpi_returned(MPI_Type_contiguous((int)bytes, MPI_BYTE, &row),
                                          "MPI_Type_contiguous", error);
    if (status) return status;
    status = mskpmpi_returned(MPI_Type_commit(&row), "MPI_Type_commit", error);
    const int mine = s->counts[s->mpi->rank];
    if (!status)
        status = mskpmpi_returned(MPI_Gatherv(packed, mine, row, p->buffer, s->counts, s->starts,
                                              row, p->target, s->mpi->comm),
                                  "MPI_Gatherv", error);
    s->mpi->calls++;
    s->mpi->bytes += (size_t)mine * bytes;
    MPI_Type_free(&row);
    return status;
}

mskp_status mskpmpi_shards_move(sharding *s, mskp_error *error)
{
    size_t most = 0;
    bool any = false;
    for (size_t i = 0; i < s->params; i++) {
        const shard *p = &s->shard[i];
        any |= p->sent;
        if (p->sent && p->piece.elements * p->piece.element > most)
            most = p->piece.elements * p->piece.element;
    }
    if (!any) return MSKP_OK;
    char *packed = mskpmpi_get(s->mpi, most, 1);
    mskp_status status = mskpmpi_agree(
        s->mpi, packed ? MSKP_OK : mskpmpi_no_memory(error, "bytes of rows", most), error);
    for (uint32_t id = 1; !status && id <= s->params; id++) {
        shard *p = &s->shard[id - 1];
        if (!p->sent) continue;
        if (p->piece.data) mskpmpi_pack(&p->piece, 0, p->piece.elements, packed);
        status = gather_rows(s, id, packed, error);
        if (!status && p->crosses)
            status = mskpmpi_broadcast(s->mpi, p->target,
                                       p->shape[0] * row_bytes(p, element_of((uint64_t)p->dtype)),
                                       p->buffer, error);
    }
    mskpmpi_free(s->mpi, packed);
    return status;
}

/*
 * Who has which range of a parameter, and who sums it up.
 *
 * Each rank tells all others, for each parameter, its range and the dtypes (table.c). From this all
 * ranks work out the same, without a further word: of replicas one sums up, and those of parameter
 * p take turns.
 *
 * A range is summed up where it is if slices on its axis alone are asked, and this is axis 0 or 1
 * (score.c says why). For any other slices the parameter has to be whole on one rank. If no rank
 * has it whole, its ranges are sent to the rank to which least was sent so far.
 */
#include "shards.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { LONG = 100 }; /* characters of a name that is shown with a range */

const char *mskpmpi_range_name(const sharding *s, uint32_t id, mskp_mpi_range range,
                               char text[RANGE_NAME])
{
    static const char before[] = ":,:,:,:,:,:,:,"; /* the axes before that of the range */
    const char *name = mskp_param_name(s->graph, (mskp_param){id});
    char number[16] = ""; /* so that names that are cut off stay different */
    if (range.count == s->shard[id - 1].shape[range.axis]) return name;
    if (strlen(name) > LONG) (void)snprintf(number, sizeof number, "...%" PRIu32, id);
    (void)snprintf(text, RANGE_NAME, "%.*s%s[%.*s%zu:%zu]", LONG, name, number,
                   (int)(2 * range.axis), before, range.first, range.first + range.count);
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

/* The view of this rank's range in each set. */
static mskp_status check_piece(sharding *s, uint32_t id, mskp_mpi_range range, mskp_error *error)
{
    static const char *const of[MOST_SETS] = {"", " (gradients)"};
    shard *p = &s->shard[id - 1];
    char room[RANGE_NAME], name[RANGE_NAME + 20];
    size_t shape[MSKP_MAX_DIMS];
    mskp_status status = mskpmpi_check_range(s->graph, id, range, error);
    if (status || !p->chosen || !range.count) return status;
    memcpy(shape, p->shape, sizeof shape);
    shape[range.axis] = range.count;
    for (size_t k = 0; !status && k < s->sets; k++) {
        (void)snprintf(name, sizeof name, "%.*s%s", RANGE_NAME,
                       mskpmpi_range_name(s, id, range, room), of[k]);
        if (!s->set[k].view[id - 1].data)
            return mskpmpi_fail(error, MSKP_ERROR_NO_DATA, "%.160s has no data", name);
        status = mskpmpi_view(&s->set[k].view[id - 1], name, p->ndim, shape, &p->piece[k], error);
        if (!status && p->piece[k].dtype > MSKP_DTYPE_BF16)
            return mskpmpi_fail(error, MSKP_ERROR_UNSUPPORTED,
                                "%.160s has dtype %u, which has no numbers", name,
                                (unsigned)p->piece[k].dtype);
    }
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
    s->entry = mskpmpi_get(s->mpi, s->params * RANGE_ENTRY, sizeof *s->entry);
    s->table = (range_table){.graph = s->graph, .width = RANGE_ENTRY};
    s->counts = mskpmpi_get(s->mpi, ranks, sizeof *s->counts);
    s->starts = mskpmpi_get(s->mpi, ranks, sizeof *s->starts);
    s->load = mskpmpi_get(s->mpi, ranks, sizeof *s->load);
    if (!s->shard || !seen || !s->entry || !s->counts || !s->starts || !s->load)
        status = mskpmpi_no_memory(error, "parameters", s->params);
    if (!status) status = mskpmpi_table_open(s->mpi, &s->table, error);
    for (uint32_t id = 1; !status && id <= s->params; id++) {
        shard *p = &s->shard[id - 1];
        find_slices(s, id, seen);
        mskp_mpi_range range = mskpmpi_range_of(s->ranges, id, p->shape);
        status = check_piece(s, id, range, error);
        if (status) break;
        range = mskpmpi_canonical(range, p->shape);
        uint64_t *e = s->entry + (id - 1) * RANGE_ENTRY;
        e[RANGE_FIRST] = range.first;
        e[RANGE_COUNT] = range.count;
        e[RANGE_FORMAT] = mskpmpi_format(range.axis, p->piece[0].dtype, p->piece[1].dtype);
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
    for (size_t i = 0; s->shard && i < s->params; i++)
        for (size_t k = 0; k < MOST_SETS; k++) mskpmpi_free(s->mpi, s->shard[i].buffer[k]);
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

/* The bytes of one index of the ranges' axis. */
static size_t index_bytes(const shard *p, size_t set)
{
    size_t bytes = mskpmpi_element_size(p->dtype[set]);
    for (uint32_t d = 0; d < p->ndim; d++)
        if (d != p->axis) bytes *= p->shape[d];
    return bytes;
}

static mskp_mpi_range whole(const shard *p)
{
    return (mskp_mpi_range){0, p->shape[p->axis], p->axis};
}

/* Chooses the rank on which the ranges meet. */
static mskp_status choose_target(sharding *s, uint32_t id, mskp_error *error)
{
    shard *p = &s->shard[id - 1];
    const size_t n = p->shape[p->axis];
    p->sent = true;
    for (int rank = 1; rank < s->mpi->ranks; rank++)
        if (s->load[rank] < s->load[p->target]) p->target = rank;
    for (size_t k = 0; k < s->sets; k++) {
        const size_t bytes = index_bytes(p, k);
        if (bytes > INT_MAX || n > INT_MAX)
            return mskpmpi_fail(error, MSKP_ERROR_UNSUPPORTED,
                                "%.80s: %zu times %zu bytes have to be sent, at most %d times %d "
                                "are possible",
                                mskp_param_name(s->graph, (mskp_param){id}), n, bytes, INT_MAX,
                                INT_MAX);
        s->load[p->target] += bytes * n;
    }
    return MSKP_OK;
}

/* A rank sums up this range. */
static void note_maker(sharding *s, const shard *p, mskp_mpi_range range, int rank)
{
    for (uint32_t d = 0; !p->crosses && d < p->ndim; d++) {
        if (!(p->chosen & 1U << d)) continue;
        const size_t first = mskpmpi_first_of(range, d), n = mskpmpi_count_of(p, range, d);
        for (size_t i = first; i < first + n; i++) s->maker[p->first[d] + i] = rank;
    }
}

/* Whether a sum of a slice of a range is that of the slice of the whole. */
static bool can_stay(const shard *p, uint64_t count)
{
    const bool is_whole = count == p->shape[p->axis];
    return !p->crosses && (is_whole || (p->chosen == 1U << p->axis && p->axis <= 1));
}

static mskp_status place(sharding *s, uint32_t id, mskp_error *error)
{
    shard *p = &s->shard[id - 1];
    const size_t me = (size_t)s->mpi->rank, n = mskpmpi_sort_ranks(&s->table, id);
    const mskp_status status = mskpmpi_check_whole(&s->table, id, n, error);
    if (status) return status;
    const uint64_t *lowest = mskpmpi_entry(&s->table, s->table.order[0], id);
    p->axis = mskpmpi_axis_of(lowest);
    for (size_t k = 0; k < s->sets; k++) p->dtype[k] = mskpmpi_dtype_of(lowest, k);
    if (!can_stay(p, lowest[RANGE_COUNT])) {
        const mskp_status chosen = choose_target(s, id, error);
        if (!chosen) note_maker(s, p, whole(p), p->target);
        return chosen;
    }
    for (size_t i = 0, same; i < n; i += same) { /* one rank of each group of replicas */
        const uint64_t *e = mskpmpi_entry(&s->table, s->table.order[i], id);
        same = mskpmpi_replicas(&s->table, id, n, i);
        const size_t rank = s->table.order[i + id % same];
        const mskp_mpi_range range = {e[RANGE_FIRST], e[RANGE_COUNT], p->axis};
        note_maker(s, p, range, (int)rank);
        if (rank == me) p->summed = range;
    }
    return MSKP_OK;
}

/* How many sums this rank makes; and buffers for what it receives. */
static mskp_status get_buffers(sharding *s, mskp_error *error)
{
    for (size_t i = 0; i < s->params; i++) {
        shard *p = &s->shard[i];
        const bool here = p->target == s->mpi->rank;
        if (p->sent && !p->crosses && here) p->summed = whole(p);
        for (size_t k = 0; p->sent && (p->crosses || here) && k < s->sets; k++) {
            p->buffer[k] = mskpmpi_get(s->mpi, p->shape[p->axis], index_bytes(p, k));
            if (!p->buffer[k])
                return mskpmpi_no_memory(error, "indices of a parameter", p->shape[p->axis]);
        }
        for (uint32_t d = 0; p->summed.count && d < p->ndim; d++)
            if (p->chosen & 1U << d) s->slices += mskpmpi_count_of(p, p->summed, d);
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

/* What one rank sends of a parameter, and what meets on its target before it is in place. */
typedef struct traffic {
    char *packed, *met;
    size_t packed_bytes, met_bytes;
} traffic;

/* Packed ranges of axis 0, one after the other, are the packed parameter. */
static bool meets_in_place(const shard *p)
{
    return p->axis == 0;
}

/* counts, starts <- which indices come from which rank; of replicas one sends. */
static void lay_out_ranges(sharding *s, uint32_t id)
{
    size_t end = 0;
    memset(s->counts, 0, (size_t)s->mpi->ranks * sizeof *s->counts);
    memset(s->starts, 0, (size_t)s->mpi->ranks * sizeof *s->starts);
    for (size_t i = 0, n = mskpmpi_sort_ranks(&s->table, id); i < n; i++) {
        const uint64_t *e = mskpmpi_entry(&s->table, s->table.order[i], id);
        if (e[RANGE_FIRST] != end) continue; /* a replica */
        s->counts[s->table.order[i]] = (int)e[RANGE_COUNT];
        s->starts[s->table.order[i]] = (int)end;
        end += e[RANGE_COUNT];
    }
}

/* The target's buffer <- the ranges that have met. */
static mskp_status put_in_place(const sharding *s, uint32_t id, size_t set, const char *met,
                                mskp_error *error)
{
    const shard *p = &s->shard[id - 1];
    const size_t bytes = index_bytes(p, set);
    const mskp_tensor all = {.data = p->buffer[set], .dtype = p->dtype[set]};
    whole_view v;
    const mskp_status status = mskpmpi_view(&all, mskp_param_name(s->graph, (mskp_param){id}),
                                            p->ndim, p->shape, &v, error);
    for (int rank = 0; !status && rank < s->mpi->ranks; rank++) {
        if (!s->counts[rank]) continue;
        const size_t first = (size_t)s->starts[rank], n = (size_t)s->counts[rank];
        const whole_view part = mskpmpi_part(v, p->axis, first, n);
        mskpmpi_unpack(&part, 0, part.elements, met + first * bytes);
    }
    return status;
}

/* target's buffer <- the ranges of all ranks. */
static mskp_status gather_ranges(sharding *s, uint32_t id, size_t set, const traffic *t,
                                 mskp_error *error)
{
    const shard *p = &s->shard[id - 1];
    const size_t bytes = index_bytes(p, set);
    const int mine = s->counts[s->mpi->rank];
    MPI_Datatype index;
    if (p->piece[set].data) mskpmpi_pack(&p->piece[set], 0, p->piece[set].elements, t->packed);
    mskp_status status = mskpmpi_returned(MPI_Type_contiguous((int)bytes, MPI_BYTE, &index),
                                          "MPI_Type_contiguous", error);
    if (status) return status;
    status = mskpmpi_returned(MPI_Type_commit(&index), "MPI_Type_commit", error);
    if (!status)
        status = mskpmpi_returned(MPI_Gatherv(t->packed, mine, index,
                                              meets_in_place(p) ? p->buffer[set] : t->met,
                                              s->counts, s->starts, index, p->target, s->mpi->comm),
                                  "MPI_Gatherv", error);
    s->mpi->calls++;
    s->mpi->bytes += (size_t)mine * bytes;
    MPI_Type_free(&index);
    if (status || meets_in_place(p) || p->target != s->mpi->rank) return status;
    return put_in_place(s, id, set, t->met, error);
}

static mskp_status send_param(sharding *s, uint32_t id, const traffic *t, mskp_error *error)
{
    const shard *p = &s->shard[id - 1];
    mskp_status status = MSKP_OK;
    lay_out_ranges(s, id);
    for (size_t k = 0; !status && k < s->sets; k++) {
        status = gather_ranges(s, id, k, t, error);
        if (!status && p->crosses)
            status = mskpmpi_broadcast(s->mpi, p->target, p->shape[p->axis] * index_bytes(p, k),
                                       p->buffer[k], error);
    }
    return status;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

mskp_status mskpmpi_shards_move(sharding *s, mskp_error *error)
{
    traffic t = {0};
    bool any = false;
    for (size_t i = 0; i < s->params; i++) {
        const shard *p = &s->shard[i];
        any |= p->sent;
        for (size_t k = 0; p->sent && k < s->sets; k++) {
            t.packed_bytes = larger(t.packed_bytes, p->piece[k].elements * p->piece[k].element);
            if (p->target == s->mpi->rank && !meets_in_place(p))
                t.met_bytes = larger(t.met_bytes, p->shape[p->axis] * index_bytes(p, k));
        }
    }
    if (!any) return MSKP_OK;
    t.packed = mskpmpi_get(s->mpi, t.packed_bytes, 1);
    t.met = mskpmpi_get(s->mpi, t.met_bytes, 1);
    mskp_status status = t.packed && t.met ? MSKP_OK
                                           : mskpmpi_no_memory(error, "bytes of ranges",
                                                               t.packed_bytes + t.met_bytes);
    status = mskpmpi_agree(s->mpi, status, error);
    for (uint32_t id = 1; !status && id <= s->params; id++)
        if (s->shard[id - 1].sent) status = send_param(s, id, &t, error);
    mskpmpi_free(s->mpi, t.packed);
    mskpmpi_free(s->mpi, t.met);
    return status;
}

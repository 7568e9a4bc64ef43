/*
 * Which range of a parameter every rank has. Each rank tells all others, and then all ranks work
 * out the same:
 *
 *     sort the ranks that have a range by (first index, rank)
 *     ranks with the same range are replicas
 *     each group of replicas must begin where the one before it ends
 */
#include "shards.h"

#include <inttypes.h>
#include <limits.h>

mskp_status mskpmpi_check_range(const mskp_graph *graph, uint32_t id, mskp_mpi_range range,
                                mskp_error *error)
{
    const char *name = mskp_param_name(graph, (mskp_param){id});
    size_t shape[MSKP_MAX_DIMS];
    const uint32_t ndim = mskp_param_shape(graph, (mskp_param){id}, shape);
    if (range.axis >= ndim)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT,
                            "%.80s: a range of axis %" PRIu32 ", the parameter has %" PRIu32
                            " axes",
                            name, range.axis, ndim);
    if (range.first > shape[range.axis] || range.count > shape[range.axis] - range.first)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_SHAPE,
                            "%.80s: %zu indices from %zu on, axis %" PRIu32 " has %zu", name,
                            range.count, range.first, range.axis, shape[range.axis]);
    return MSKP_OK;
}

mskp_mpi_range mskpmpi_range_of(const mskp_mpi_range *ranges, uint32_t id, const size_t *shape)
{
    return ranges ? ranges[id - 1] : (mskp_mpi_range){.count = shape[0]};
}

mskp_mpi_range mskpmpi_canonical(mskp_mpi_range range, const size_t *shape)
{
    if (!range.count) return (mskp_mpi_range){0, 0, 0};
    return range.count == shape[range.axis] ? (mskp_mpi_range){.count = shape[0]} : range;
}

mskp_status mskpmpi_table_open(mskp_mpi *mpi, range_table *table, mskp_error *error)
{
    table->ranks = (size_t)mpi->ranks;
    table->params = mskp_graph_counts(table->graph).params;
    const size_t bytes = table->params * table->width * sizeof *table->entries;
    if (bytes > INT_MAX)
        return mskpmpi_fail(error, MSKP_ERROR_UNSUPPORTED,
                            "%zu parameters, at most %zu are possible", table->params,
                            INT_MAX / (table->width * sizeof *table->entries));
    table->entries = mskpmpi_get(mpi, table->ranks, bytes + 1);
    table->order = mskpmpi_get(mpi, table->ranks, sizeof *table->order);
    if (!table->entries || !table->order)
        return mskpmpi_no_memory(error, "parameters", table->params);
    return MSKP_OK;
}

mskp_status mskpmpi_table_fill(mskp_mpi *mpi, range_table *table, const uint64_t *mine,
                               mskp_error *error)
{
    return mskpmpi_gather_all(mpi, (int)(table->params * table->width * sizeof *mine), mine,
                              table->entries, error);
}

void mskpmpi_table_close(const mskp_mpi *mpi, range_table *table)
{
    mskpmpi_free(mpi, table->entries);
    mskpmpi_free(mpi, table->order);
}

/* Ranks mostly are in order already. */
size_t mskpmpi_sort_ranks(const range_table *t, uint32_t id)
{
    size_t n = 0;
    for (size_t rank = 0; rank < t->ranks; rank++) {
        const uint64_t *e = mskpmpi_entry(t, rank, id);
        size_t at = n;
        if (!e[RANGE_COUNT]) continue;
        for (; at > 0 && mskpmpi_entry(t, t->order[at - 1], id)[RANGE_FIRST] > e[RANGE_FIRST]; at--)
            t->order[at] = t->order[at - 1];
        t->order[at] = rank;
        n++;
    }
    return n;
}

size_t mskpmpi_replicas(const range_table *t, uint32_t id, size_t n, size_t i)
{
    const uint64_t first = mskpmpi_entry(t, t->order[i], id)[RANGE_FIRST];
    size_t same = 1;
    while (i + same < n && mskpmpi_entry(t, t->order[i + same], id)[RANGE_FIRST] == first) same++;
    return same;
}

/* Whether all ranges are of one axis, in one dtype. */
static mskp_status check_formats(const range_table *t, uint32_t id, size_t n, mskp_error *error)
{
    const char *name = mskp_param_name(t->graph, (mskp_param){id});
    for (size_t i = 1; i < n; i++) {
        const size_t one = t->order[0], other = t->order[i];
        const uint64_t *a = mskpmpi_entry(t, one, id), *b = mskpmpi_entry(t, other, id);
        if (mskpmpi_axis_of(a) != mskpmpi_axis_of(b))
            return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT,
                                "%.80s: rank %zu has a range of axis %" PRIu32
                                ", rank %zu one of axis %" PRIu32,
                                name, one, mskpmpi_axis_of(a), other, mskpmpi_axis_of(b));
        for (size_t k = 0; k < MOST_SETS; k++)
            if (mskpmpi_dtype_of(a, k) != mskpmpi_dtype_of(b, k))
                return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT,
                                    "%.80s%s: rank %zu has dtype %u, rank %zu has %u", name,
                                    k ? " (gradients)" : "", one, (unsigned)mskpmpi_dtype_of(a, k),
                                    other, (unsigned)mskpmpi_dtype_of(b, k));
    }
    return MSKP_OK;
}

mskp_status mskpmpi_check_whole(const range_table *t, uint32_t id, size_t n, mskp_error *error)
{
    const char *name = mskp_param_name(t->graph, (mskp_param){id});
    size_t shape[MSKP_MAX_DIMS];
    uint64_t end = 0, begin = 0;
    mskp_param_shape(t->graph, (mskp_param){id}, shape);
    const mskp_status status = check_formats(t, id, n, error);
    if (status) return status;
    const uint32_t axis = n ? mskpmpi_axis_of(mskpmpi_entry(t, t->order[0], id)) : 0;
    for (size_t i = 0; i < n; i++) {
        const size_t rank = t->order[i], before = i ? t->order[i - 1] : 0;
        const uint64_t *e = mskpmpi_entry(t, rank, id);
        const uint64_t first = e[RANGE_FIRST], last = first + e[RANGE_COUNT];
        if (i && first == begin && last == end) continue;
        if (first < end)
            return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT,
                                "%.80s, axis %" PRIu32 ": rank %zu has %" PRIu64 " to %" PRIu64
                                ", rank %zu has %" PRIu64 " to %" PRIu64
                                ": neither the same nor apart",
                                name, axis, before, begin, end - 1, rank, first, last - 1);
        if (first > end) break;
        begin = first;
        end = last;
    }
    if (end < shape[axis])
        return mskpmpi_fail(error, MSKP_ERROR_NO_DATA,
                            "%.80s: no rank has index %" PRIu64 " of axis %" PRIu32
                            ", which has %zu",
                            name, end, axis, shape[axis]);
    return MSKP_OK;
}

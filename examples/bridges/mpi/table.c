/*
 * Which rows of a parameter every rank has. Each rank tells all others, and then all ranks work out
 * the same:
 *
 *     sort the ranks that have rows by (first row, rank)
 *     ranks with the same rows are replicas
 *     each group of replicas must begin where the one before it ends
 */
#include "shards.h"

#include <inttypes.h>
#include <limits.h>

mskp_status mskpmpi_table_open(mskp_mpi *mpi, row_table *table, mskp_error *error)
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

mskp_status mskpmpi_table_fill(mskp_mpi *mpi, row_table *table, const uint64_t *mine,
                               mskp_error *error)
{
    return mskpmpi_gather_all(mpi, (int)(table->params * table->width * sizeof *mine), mine,
                              table->entries, error);
}

void mskpmpi_table_close(const mskp_mpi *mpi, row_table *table)
{
    mskpmpi_free(mpi, table->entries);
    mskpmpi_free(mpi, table->order);
}

/* Ranks mostly are in order already. */
size_t mskpmpi_sort_ranks(const row_table *t, uint32_t id)
{
    size_t n = 0;
    for (size_t rank = 0; rank < t->ranks; rank++) {
        const uint64_t *e = mskpmpi_entry(t, rank, id);
        size_t at = n;
        if (!e[ROWS_COUNT]) continue;
        for (; at > 0 && mskpmpi_entry(t, t->order[at - 1], id)[ROWS_FIRST] > e[ROWS_FIRST]; at--)
            t->order[at] = t->order[at - 1];
        t->order[at] = rank;
        n++;
    }
    return n;
}

size_t mskpmpi_replicas(const row_table *t, uint32_t id, size_t n, size_t i)
{
    const uint64_t first = mskpmpi_entry(t, t->order[i], id)[ROWS_FIRST];
    size_t same = 1;
    while (i + same < n && mskpmpi_entry(t, t->order[i + same], id)[ROWS_FIRST] == first) same++;
    return same;
}

mskp_status mskpmpi_check_rows(const row_table *t, uint32_t id, size_t n, mskp_error *error)
{
    const char *name = mskp_param_name(t->graph, (mskp_param){id});
    size_t shape[MSKP_MAX_DIMS];
    uint64_t end = 0, begin = 0;
    mskp_param_shape(t->graph, (mskp_param){id}, shape);
    for (size_t i = 0; i < n; i++) {
        const size_t rank = t->order[i], before = i ? t->order[i - 1] : 0;
        const uint64_t *e = mskpmpi_entry(t, rank, id), *b = mskpmpi_entry(t, before, id);
        const uint64_t first = e[ROWS_FIRST], last = first + e[ROWS_COUNT];
        if (i && first == begin && last == end) {
            if (e[ROWS_DTYPE] == b[ROWS_DTYPE]) continue;
        } else if (first < end) {
            return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT,
                                "%.80s: rank %zu has rows %" PRIu64 " to %" PRIu64
                                ", rank %zu has %" PRIu64 " to %" PRIu64
                                ": neither the same nor apart",
                                name, before, begin, end - 1, rank, first, last - 1);
        } else if (first > end) {
            break;
        }
        if (i && e[ROWS_DTYPE] != b[ROWS_DTYPE])
            return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT,
                                "%.80s: rank %zu has dtype %" PRIu64 ", rank %zu has %" PRIu64,
                                name, before, b[ROWS_DTYPE], rank, e[ROWS_DTYPE]);
        begin = first;
        end = last;
    }
    if (end < shape[0])
        return mskpmpi_fail(error, MSKP_ERROR_NO_DATA,
                            "%.80s: no rank has row %" PRIu64 ", the parameter has %zu", name, end,
                            shape[0]);
    return MSKP_OK;
}

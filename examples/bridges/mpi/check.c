/*
 * What a rank finds wrong by itself: the first lines of every function. Sentences are those of the
 * library, where it has such a check.
 */
#include "internal.h"

#include <stdio.h>

mskp_status mskpmpi_check_open(const mskp_mpi *mpi, mskp_error *err)
{
    mskp_error error = {0};
    if (!mpi)
        mskpmpi_fail(&error, MSKP_ERROR_BAD_ARGUMENT, "mpi is NULL");
    else if (mpi->ranks < 1)
        mskpmpi_fail(&error, MSKP_ERROR_BAD_STATE,
                     "mpi has %d ranks: it is not open, or was closed", mpi->ranks);
    return mskpmpi_return(error.status, &error, err);
}

mskp_status mskpmpi_check_graph(const mskp_graph *graph, mskp_error *error)
{
    if (!graph) return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "graph is NULL");
    if (!mskp_fingerprint(graph))
        return mskpmpi_fail(error, MSKP_ERROR_BAD_STATE, "the graph is not finished");
    return MSKP_OK;
}

static mskp_status check_units(const mskp_graph *graph, const char *name, const void *array,
                               size_t n, mskp_error *error)
{
    const size_t units = mskp_graph_counts(graph).units;
    if (!array && (n || units))
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "%s is NULL", name);
    if (n != units)
        return mskpmpi_fail(error, MSKP_ERROR_OTHER_NETWORK, "%s has %zu units, the graph has %zu",
                            name, n, units);
    return MSKP_OK;
}

mskp_status mskpmpi_check_mask(const mskp_graph *graph, const char *name, mskp_mask mask,
                               mskp_error *error)
{
    return check_units(graph, name, mask.unit, mask.n, error);
}

mskp_status mskpmpi_check_scores(const mskp_graph *graph, mskp_scores scores, mskp_error *error)
{
    return check_units(graph, "scores", scores.unit, scores.n, error);
}

mskp_status mskpmpi_check_set(const mskp_graph *graph, const char *name, mskp_tensors set,
                              mskp_error *error)
{
    const size_t params = mskp_graph_counts(graph).params;
    if (!set.view && (set.n || params))
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "%s is NULL", name);
    if (set.n != params)
        return mskpmpi_fail(error, MSKP_ERROR_OTHER_NETWORK, "%s have %zu views, not %zu", name,
                            set.n, params);
    return MSKP_OK;
}

mskp_status mskpmpi_check_apart(call_array written, call_array other, mskp_error *error)
{
    const uintptr_t a = (uintptr_t)written.first, b = (uintptr_t)other.first;
    const bool both = a && b && written.bytes && other.bytes;
    if (!both || (a <= b ? b - a >= written.bytes : a - b >= other.bytes)) return MSKP_OK;
    return mskpmpi_fail(error, MSKP_ERROR_OVERLAP, "%s and %s overlap", written.name, other.name);
}

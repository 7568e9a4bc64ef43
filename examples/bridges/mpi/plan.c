/*
 * The plan by which a rank cuts the ranges that it has.
 *
 * A plan of the whole network says which indices of an axis stay, and how many come before those of
 * this rank. The plan of the pieces is that of another graph: the same units, and the same
 * parameters with the ranges that are here. A parameter of which nothing is here, or of which
 * nothing stays here, is a single element in that graph, because a plan leaves no axis without
 * indices unless a branch vanishes; its view is {0}, which surgery passes over.
 */
#include "internal.h"
#include "mskp/operators.h"

#include <string.h>

typedef struct planning {
    mskp_mpi *mpi;
    const mskp_graph *graph;
    size_t params, units;
    mskp_mpi_range *here, *left; /* [params] ranges of this rank, and what stays of them */
    size_t *index;               /* [longest axis] */
    mskp_plan *whole, *plan;
    mskp_graph *pieces;
} planning;

static mskp_status check_plan(const mskp_graph *graph, mskp_mask keep, const mskp_mpi_range *ranges,
                              const mskp_mpi_range *small, mskp_plan *const *plan,
                              mskp_error *error)
{
    const size_t bytes = mskp_graph_counts(graph).params * sizeof *small;
    const call_array written = {"small", small, bytes};
    mskp_status status = mskpmpi_check_graph(graph, error);
    if (!status) status = mskpmpi_check_mask(graph, "keep", keep, error);
    if (!status && (!plan || (bytes && !small)))
        status =
            mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "%s is NULL", plan ? "small" : "plan");
    if (!status) status = mskpmpi_check_apart(written, mskpmpi_mask_array("keep", keep), error);
    if (status || small == ranges) return status;
    return mskpmpi_check_apart(written, (call_array){"ranges", ranges, bytes}, error);
}

/* What stays of the range of one parameter. All axes of one that vanishes have length 0. */
static mskp_mpi_range what_stays(const planning *p, uint32_t id, mskp_mpi_range range)
{
    mskp_mpi_range left = {.axis = range.axis};
    size_t count;
    const uint32_t *kept = mskp_plan_param_kept(p->whole, (mskp_param){id}, range.axis, &count);
    if (!kept) return count ? range : left;
    for (size_t i = 0; i < count; i++) {
        left.first += kept[i] < range.first;
        left.count += kept[i] >= range.first && kept[i] < range.first + range.count;
    }
    if (!left.count) left.first = 0;
    return left;
}

static mskp_status find_ranges(planning *p, const mskp_mpi_range *ranges, size_t *longest,
                               mskp_error *error)
{
    for (uint32_t id = 1; id <= p->params; id++) {
        size_t shape[MSKP_MAX_DIMS];
        const uint32_t ndim = mskp_param_shape(p->graph, (mskp_param){id}, shape);
        const mskp_mpi_range range = mskpmpi_range_of(ranges, id, shape);
        const mskp_status status = mskpmpi_check_range(p->graph, id, range, error);
        if (status) return status;
        p->here[id - 1] = range;
        p->left[id - 1].axis = range.axis;
        if (range.count) p->left[id - 1] = what_stays(p, id, range);
        for (uint32_t d = 0; d < ndim; d++)
            if (shape[d] > *longest) *longest = shape[d];
    }
    return MSKP_OK;
}

/* Declares the range of a parameter in the graph of the pieces. */
static void declare(planning *p, uint32_t id, mskp_value all, mskp_value pinned)
{
    size_t shape[MSKP_MAX_DIMS];
    const char *name = mskp_param_name(p->graph, (mskp_param){id});
    const uint32_t ndim = mskp_param_shape(p->graph, (mskp_param){id}, shape);
    const mskp_mpi_range range = p->here[id - 1];
    shape[range.axis] = range.count;
    if (!p->left[id - 1].count) {
        mskp_attach(p->pieces, mskp_parameter(p->pieces, name, 1, &(size_t){1}), pinned);
        return;
    }
    const mskp_param param = mskp_parameter(p->pieces, name, ndim, shape);
    bool bound = false;
    for (uint32_t d = 0; d < ndim; d++) {
        const uint32_t *unit = mskp_param_units(p->graph, (mskp_param){id}, d, NULL, NULL);
        const size_t first = d == range.axis ? range.first : 0;
        if (!unit) continue;
        for (size_t i = 0; i < shape[d]; i++)
            p->index[i] = unit[first + i] == MSKP_PINNED ? p->units : unit[first + i];
        mskp_bind(p->pieces, param, d, MSKP_ROLE_OTHER,
                  mskp_pick(p->pieces, NULL, all, shape[d], p->index));
        bound = true;
    }
    if (!bound) mskp_attach(p->pieces, param, pinned);
}

static mskp_status make_plan(planning *p, mskp_mask keep, const mskp_mpi_range *ranges,
                             mskp_error *error)
{
    size_t longest = 1;
    const mskp_counts counts = mskp_graph_counts(p->graph);
    p->params = counts.params;
    p->units = counts.units;
    p->here = mskpmpi_get(p->mpi, p->params, sizeof *p->here);
    p->left = mskpmpi_get(p->mpi, p->params, sizeof *p->left);
    p->pieces = mskp_graph_create(&p->mpi->services);
    if (!p->here || !p->left || !p->pieces)
        return mskpmpi_no_memory(error, "parameters", p->params);
    mskp_status status = mskp_plan_create(p->graph, keep, &p->whole, NULL, error);
    if (!status) status = find_ranges(p, ranges, &longest, error);
    if (status) return status;
    p->index = mskpmpi_get(p->mpi, longest, sizeof *p->index);
    if (!p->index) return mskpmpi_no_memory(error, "indices", longest);
    const mskp_value all = mskp_fresh(p->pieces, NULL, p->units + 1, 0, NULL);
    const mskp_value pinned = mskp_pick(p->pieces, NULL, all, 1, &p->units);
    mskp_pin(p->pieces, pinned);
    for (uint32_t id = 1; id <= p->params; id++) declare(p, id, all, pinned);
    status = mskp_graph_finish(p->pieces, error);
    return status ? status : mskp_plan_create(p->pieces, keep, &p->plan, NULL, error);
}

mskp_status mskp_mpi_shard_plan(mskp_mpi *mpi, const mskp_graph *graph, mskp_mask keep,
                                const mskp_mpi_range *ranges, mskp_mpi_range *small,
                                mskp_plan **plan, mskp_error *err)
{
    mskp_error error = {0};
    planning p = {.mpi = mpi, .graph = graph};
    mskp_status status = mskpmpi_check_open(mpi, err);
    if (status) return status;
    status = check_plan(graph, keep, ranges, small, plan, &error);
    if (!status) status = make_plan(&p, keep, ranges, &error);
    const call_field field = {"the network's fingerprint is", FIELD_COUNT, MSKP_ERROR_OTHER_NETWORK,
                              status ? 0 : mskp_fingerprint(graph)};
    status = mskpmpi_enter(mpi, CALL_PLAN, 1, &field, status, &error);
    if (!status) status = mskpmpi_compare_masks(mpi, keep, &error);
    if (!status) {
        if (p.params) memcpy(small, p.left, p.params * sizeof *small);
        *plan = p.plan;
        p.plan = NULL;
    }
    mskp_plan_destroy(p.whole);
    mskp_plan_destroy(p.plan);
    mskp_graph_destroy(p.pieces);
    mskpmpi_free(mpi, p.here);
    mskpmpi_free(mpi, p.left);
    mskpmpi_free(mpi, p.index);
    return mskpmpi_return(status, &error, err);
}

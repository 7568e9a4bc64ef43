/* Ranges that move to other ranks. */
#include "ranks.h"

#include <string.h>

/* Requires that a rank has got what it wanted. */
static void require_got(const mskp_tensor *piece, const net_param *q, const mskp_tensor *all,
                        mskp_mpi_range range)
{
    size_t shape[MSKP_MAX_DIMS];
    memcpy(shape, q->shape, sizeof shape);
    shape[range.axis] = range.count;
    const mskp_tensor a = view_resolve(piece, q->ndim, shape);
    const mskp_tensor b = view_resolve(all, q->ndim, q->shape);
    require_range(&a, &b, range, NULL);
}

/* What every rank is to have: an equal share of one axis, or anything, in any kind of view. */
static void draw_wanted(trial *t, const set *values, mskp_mpi_range *to, mskp_tensor *views)
{
    rng own = rng_make(rng_next(&t->r) + (uint64_t)all_ranks.rank);
    const bool even = rng_chance(&t->r, 0.5);
    for (size_t i = 1; i <= t->net->params; i++) {
        const net_param *q = &t->net->param[i];
        size_t shape[MSKP_MAX_DIMS];
        memcpy(shape, q->shape, sizeof shape);
        const uint32_t axis = (uint32_t)rng_below(even ? &t->r : &own, q->ndim);
        mskp_mpi_range range = mskp_mpi_share(shape[axis], all_ranks.rank, all_ranks.ranks);
        if (!even) {
            range.first = rng_below(&own, shape[axis]);
            range.count = rng_below(&own, shape[axis] - range.first + 1);
        }
        range.axis = axis;
        to[i - 1] = range;
        shape[axis] = range.count;
        if (range.count)
            views[i] = view_make(&t->mem, &own, values->views[i].dtype, q->ndim, shape,
                                 (view_style)rng_below(&own, VIEW_STYLES))
                           .view;
    }
}

/* One rank has no data of one parameter. */
static void require_missing(trial *t, const pieces *p, mskp_mpi_range *to, mskp_tensor *views)
{
    const size_t params = t->net->params;
    mskp_tensor *from = arena_copy(&t->mem, p->views, params + 1, sizeof *from);
    mskp_error err;
    const size_t id = rng_from(&t->r, 1, params), odd = rng_below(&t->r, (size_t)all_ranks.ranks);
    const bool had = (size_t)all_ranks.rank == odd && p->ranges[id - 1].count;
    int lost = had, wanted = to[id - 1].count != 0;
    if (had) from[id].data = NULL; /* replicas may still have the range */
    MPI_Allreduce(MPI_IN_PLACE, &lost, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    MPI_Allreduce(MPI_IN_PLACE, &wanted, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    const mskp_move move = {set_by_id(params, from), set_by_id(params, views)};
    const mskp_status status = mskp_mpi_move(&all_ranks, t->graph, p->ranges, to, 1, &move, &err);
    require_same_answer(status, &err);
    REQUIRE(!status || (status == MSKP_ERROR_NO_DATA && lost && wanted), "%d: %s", status,
            err.text);
    REQUIRE(all_ranks.ranks > 1 || !lost || !wanted || status, "a range came from nowhere");
}

void test_move(void)
{
    const size_t count = test_count(300);
    size_t moved = 0;
    for (size_t k = 0; k < count; k++) {
        trial t;
        mskp_error err = {0};
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        const size_t params = t.net->params;
        const set values = exact_set(&t, t.net);
        const pieces p = pieces_draw(&t, &values);
        mskp_mpi_range *to = arena_get(&t.mem, params, sizeof *to);
        mskp_tensor *one = arena_get(&t.mem, params + 1, sizeof *one);
        mskp_tensor *from = arena_copy(&t.mem, p.views, params + 1, sizeof *from);
        draw_wanted(&t, &values, to, one);
        /* A second set, of which some parameters are nowhere. */
        mskp_tensor *two = arena_get(&t.mem, params + 1, sizeof *two);
        for (size_t i = 1; i <= params; i++) {
            const net_param *q = &t.net->param[i];
            size_t shape[MSKP_MAX_DIMS];
            memcpy(shape, q->shape, sizeof shape);
            shape[to[i - 1].axis] = to[i - 1].count;
            if (rng_chance(&t.r, 0.3)) {
                from[i].data = NULL;
            } else if (to[i - 1].count) {
                two[i] =
                    view_make(&t.mem, &t.r, values.views[i].dtype, q->ndim, shape, VIEW_BARE).view;
            }
        }
        all_ranks.most_bytes = rng_chance(&t.r, 0.5) ? rng_from(&t.r, 1, 400) : 0;
        const mskp_move moves[2] = {{set_by_id(params, p.views), set_by_id(params, one)},
                                    {set_by_id(params, from), set_by_id(params, two)}};
        const uint64_t bytes = all_ranks.bytes;
        const mskp_status status = mskp_mpi_move(&all_ranks, t.graph, p.ranges, to, 2, moves, &err);
        require_same_answer(status, &err);
        REQUIRE(!status, "%s", err.text);
        moved += all_ranks.bytes - bytes > 96 * params + 400;
        for (size_t i = 1; i <= params; i++) {
            const net_param *q = &t.net->param[i];
            if (one[i].data) require_got(&one[i], q, &values.views[i], to[i - 1]);
            if (two[i].data) require_got(&two[i], q, &values.views[i], to[i - 1]);
        }
        require_missing(&t, &p, to, one);
        all_ranks.most_bytes = 0;
        trial_end(&t);
    }
    for (size_t length = 0; length < 20; length++)
        for (int ranks = 1; ranks < 9; ranks++)
            for (int rank = 0, at = 0; rank < ranks; rank++) {
                const mskp_mpi_range rows = mskp_mpi_share(length, rank, ranks);
                REQUIRE(rows.first == (size_t)at && rows.count >= length / (size_t)ranks &&
                            rows.count <= length / (size_t)ranks + 1,
                        "rank %d of %d: %zu rows from %zu on", rank, ranks, rows.count, rows.first);
                at += (int)rows.count;
                REQUIRE(rank < ranks - 1 || (size_t)at == length, "%d rows, not %zu", at, length);
            }
    MPI_Allreduce(MPI_IN_PLACE, &moved, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
    REQUIRE(count < 100 || all_ranks.ranks == 1 || moved > count / 4, "%zu moves only", moved);
}

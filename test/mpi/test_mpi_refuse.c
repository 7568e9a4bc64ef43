/* What each rank can find wrong by itself: all ranks say the same, and nothing was written. */
#include "ranks.h"

#include <stdio.h>
#include <string.h>

/* A network, and one array for everything that the calls write, in which arrays can overlap. */
typedef struct desk {
    trial t;
    set values; /* whole */
    pieces p;
    size_t units, params, bytes;
    uint8_t *room, *before;
    double *scores;             /* in room, as are: */
    uint8_t *here, *keep, *low; /* low: flags in the memory of the scores */
    mskp_mpi_range *small;
    bool odd; /* this rank has the fault */
} desk;

static mskp_tensors pieces_in(const desk *d)
{
    return set_by_id(d->params, d->p.views);
}

static void desk_open(desk *d, uint64_t seed)
{
    memset(d, 0, sizeof *d);
    trial_begin(&d->t, seed, NULL, NULL);
    d->values = exact_set(&d->t, d->t.net);
    d->p = pieces_draw(&d->t, &d->values);
    d->units = d->t.units;
    d->params = d->t.net->params;
    const size_t ranges = d->params * sizeof *d->small;
    d->bytes = d->units * (sizeof *d->scores + 2) + ranges;
    d->room = arena_get(&d->t.mem, d->bytes, 1);
    d->before = arena_get(&d->t.mem, d->bytes, 1);
    d->small = (mskp_mpi_range *)d->room;
    d->scores = (double *)(d->room + ranges);
    d->low = (uint8_t *)d->scores;
    d->here = (uint8_t *)(d->scores + d->units);
    d->keep = d->here + d->units;
    memcpy(d->small, d->p.ranges, ranges);
    for (size_t u = 0; u < d->units; u++) d->scores[u] = 1 + (double)u, d->here[u] = 1;
    memset(d->keep, 1, d->units);
    memcpy(d->before, d->room, d->bytes);
    d->odd = all_ranks.rank == (int)rng_below(&d->t.r, (size_t)all_ranks.ranks);
}

static void require_refused(const desk *d, mskp_status status, const mskp_error *err,
                            mskp_status expected, const char *sentence)
{
    require_same_answer(status, err);
    REQUIRE(status == expected && strstr(err->text, sentence), "%d and \"%s\", not %d and \"%s\"",
            status, err->text, expected, sentence);
    REQUIRE(!memcmp(d->room, d->before, d->bytes), "after \"%s\" something is written", sentence);
}

/* Arrays per unit that overlap on one rank. */
static void overlap(desk *d)
{
    mskp_error err = {0};
    const mskp_status e = MSKP_ERROR_OVERLAP;
    mskp_mpi *m = &all_ranks;
    const mskp_graph *g = d->t.graph;
    const mskp_scores scores = scores_of(d->units, d->scores);
    const mskp_mask here = mask_of(d->units, d->odd ? d->low : d->here);
    const mskp_mask keep = mask_of(d->units, d->odd ? d->low : d->keep);
    const mskp_mask keep_here = mask_of(d->units, d->odd ? d->here : d->keep);
    const mskp_mpi_spread spread = {scores, mask_of(d->units, d->here)};
    const mskp_rule rule = {.use_threshold = 1, .locked = mask_of(d->units, d->here)};
    const mskp_rule plain = {.use_threshold = 1};
    require_refused(d,
                    mskp_mpi_score_spread(m, g, NULL, d->p.ranges, pieces_in(d),
                                          (mskp_mpi_spread){scores, here}, &err),
                    &err, e, "scores and here overlap");
    require_refused(d, mskp_mpi_join(m, g, here, scores, &err), &err, e, "scores and here overlap");
    require_refused(d, mskp_mpi_select(m, g, scores, &plain, keep, NULL, &err), &err, e,
                    "keep and scores overlap");
    require_refused(d, mskp_mpi_select(m, g, scores, &rule, keep_here, NULL, &err), &err, e,
                    "keep and locked overlap");
    require_refused(d, mskp_mpi_select_spread(m, g, spread, &plain, keep, NULL, &err), &err, e,
                    "keep and scores overlap");
    require_refused(d, mskp_mpi_select_spread(m, g, spread, &rule, keep_here, NULL, &err), &err, e,
                    "keep and locked overlap");
    require_refused(d, mskp_mpi_select_spread(m, g, spread, &plain, keep_here, NULL, &err), &err, e,
                    "keep and here overlap");
    float sum[5] = {1, 2, 3, 4, 5};
    const float *part = d->odd ? sum + 1 : sum;
    require_refused(d, mskp_mpi_sum(m, 1, &part, 4, sum, &err), &err, e, "sum and part 0 overlap");
}

/* A NULL in place of what is needed, on one rank. */
static void missing(desk *d)
{
    mskp_error err = {0};
    const mskp_status e = MSKP_ERROR_BAD_ARGUMENT;
    mskp_mpi *m = &all_ranks;
    mskp_plan *plan = NULL;
    const mskp_graph *g = d->t.graph, *none = d->odd ? NULL : g;
    const mskp_scores scores = scores_of(d->units, d->scores);
    const mskp_scores no_scores = {d->units, d->odd ? NULL : d->scores};
    const mskp_mask keep = mask_of(d->units, d->keep), here = mask_of(d->units, d->here);
    const mskp_mask no_mask = {d->units, d->odd ? NULL : d->keep};
    const mskp_mask no_here = {d->units, d->odd ? NULL : d->here};
    const mskp_tensors sets = pieces_in(d), no_set = {d->params, d->odd ? NULL : sets.view};
    const mskp_tensors whole = set_by_id(d->params, d->values.views);
    const mskp_tensors no_whole = {d->params, d->odd ? NULL : whole.view};
    const mskp_mpi_scoring gradients = {.gradients = no_set};
    const mskp_rule rule = {.use_threshold = 1};
    const mskp_mpi_range *ranges = d->p.ranges, *no_ranges = d->odd ? NULL : ranges;
    const struct {
        mskp_status status;
        const char *sentence;
        mskp_error err;
    } calls[] = {
#define CALL(call, sentence) {(call), (sentence), err}
        CALL(mskp_mpi_score(m, none, NULL, ranges, sets, scores, &err), "graph is NULL"),
        CALL(mskp_mpi_score(m, g, NULL, ranges, no_set, scores, &err), "pieces is NULL"),
        CALL(mskp_mpi_score(m, g, &gradients, ranges, sets, scores, &err), "gradients is NULL"),
        CALL(mskp_mpi_score(m, g, NULL, ranges, sets, no_scores, &err), "scores is NULL"),
        CALL(mskp_mpi_join(m, none, here, scores, &err), "graph is NULL"),
        CALL(mskp_mpi_join(m, g, no_here, scores, &err), "here is NULL"),
        CALL(mskp_mpi_select(m, none, scores, &rule, keep, NULL, &err), "graph is NULL"),
        CALL(mskp_mpi_select(m, g, scores, &rule, no_mask, NULL, &err), "keep is NULL"),
        CALL(mskp_mpi_select_spread(m, g, (mskp_mpi_spread){scores, no_here}, &rule, keep, NULL,
                                    &err),
             "here is NULL"),
        CALL(mskp_mpi_same(m, none, keep, sets, &err), "graph is NULL"),
        CALL(mskp_mpi_same(m, g, keep, no_whole, &err), "values is NULL"),
        CALL(mskp_mpi_same(m, g, no_mask, whole, &err), "keep is NULL"),
        CALL(mskp_mpi_shard_plan(m, none, keep, ranges, d->small, &plan, &err), "graph is NULL"),
        CALL(mskp_mpi_shard_plan(m, g, keep, ranges, d->odd ? NULL : d->small, &plan, &err),
             "small is NULL"),
        CALL(mskp_mpi_shard_plan(m, g, keep, ranges, d->small, d->odd ? NULL : &plan, &err),
             "plan is NULL"),
        CALL(mskp_mpi_move(m, none, ranges, ranges, 0, NULL, &err), "graph is NULL"),
        CALL(mskp_mpi_move(m, g, no_ranges, ranges, 0, NULL, &err), "from is NULL"),
        CALL(mskp_mpi_move(m, g, ranges, no_ranges, 0, NULL, &err), "to is NULL"),
        CALL(mskp_mpi_cut(m, NULL, 0, NULL, &err), "plan is NULL"),
        CALL(mskp_mpi_sum(m, 1, NULL, 4, (float[4]){0}, &err), "part is NULL"),
        CALL(mskp_mpi_sum(m, 0, NULL, 4, NULL, &err), "sum is NULL"),
#undef CALL
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        require_refused(d, calls[i].status, &calls[i].err, e, calls[i].sentence);
    REQUIRE(!plan, "a plan was made");
    mskp_graph *open = mskp_graph_create(NULL);
    require_refused(d, mskp_mpi_select(m, d->odd ? open : g, scores, &rule, keep, NULL, &err), &err,
                    MSKP_ERROR_BAD_STATE, "the graph is not finished");
    mskp_graph_destroy(open);
}

/* Another mask on one rank, and another network with sets of its own length. */
static void differ(desk *d)
{
    mskp_error err = {0};
    char text[40];
    mskp_plan *plan = NULL;
    if (all_ranks.ranks == 1) return;
    uint8_t *mine = arena_get(&d->t.mem, d->units, 1);
    memset(mine, 1, d->units);
    for (size_t u = 0; u < d->units; u++) { /* a unit that may go alone */
        mine[u] = 0;
        if (!mskp_plan_create(d->t.graph, mask_of(d->units, mine), &plan, NULL, NULL)) {
            mskp_plan_destroy(plan);
            plan = NULL;
            (void)snprintf(text, sizeof text, "keep of unit %zu is ", u);
            if (!d->odd) mine[u] = 1;
            require_refused(d,
                            mskp_mpi_shard_plan(&all_ranks, d->t.graph, mask_of(d->units, mine),
                                                d->p.ranges, d->small, &plan, &err),
                            &err, MSKP_ERROR_BAD_STATE, text);
            REQUIRE(!plan, "a plan was made");
            break;
        }
        mine[u] = 1;
    }
    mskp_graph *other = mskp_graph_create(NULL);
    const mskp_value image = mskp_fresh(other, "image", 2, 0, NULL);
    mskp_pin(other, image);
    mskp_attach(other, mskp_parameter(other, "alone", 1, &(size_t){3}), image);
    REQUIRE_OK(mskp_graph_finish(other, &err));
    require_refused(d,
                    mskp_mpi_same(&all_ranks, d->odd ? other : d->t.graph, (mskp_mask){0, NULL},
                                  pieces_in(d), &err),
                    &err, MSKP_ERROR_OTHER_NETWORK, "fingerprint is");
    mskp_graph_destroy(other);
}

/* Ranks that are not open, on all ranks: each says so by itself. */
static void not_open(desk *d)
{
    mskp_error err = {0};
    mskp_mpi m = {.ranks = 0};
    mskp_plan *plan = NULL;
    const mskp_graph *g = d->t.graph;
    const mskp_scores scores = scores_of(d->units, d->scores);
    const mskp_mask keep = mask_of(d->units, d->keep), here = mask_of(d->units, d->here);
    const mskp_mpi_spread spread = {scores, here};
    const mskp_tensors sets = pieces_in(d);
    const mskp_rule rule = {.use_threshold = 1};
    const mskp_mpi_range *ranges = d->p.ranges;
    for (int closed = 0; closed < 2; closed++) {
        if (closed) {
            REQUIRE_OK(mskp_mpi_open(MPI_COMM_WORLD, NULL, &m, NULL));
            mskp_mpi_close(&m);
        }
        for (int null = 0; null < 2; null++) {
            mskp_mpi *ranks = null ? NULL : &m;
            const mskp_status statuses[] = {
                mskp_mpi_score(ranks, g, NULL, ranges, sets, scores, &err),
                mskp_mpi_join(ranks, g, here, scores, &err),
                mskp_mpi_score_spread(ranks, g, NULL, ranges, sets, spread, &err),
                mskp_mpi_select_spread(ranks, g, spread, &rule, keep, NULL, &err),
                mskp_mpi_select(ranks, g, scores, &rule, keep, NULL, &err),
                mskp_mpi_same(ranks, g, keep, sets, &err),
                mskp_mpi_sum(ranks, 0, NULL, 0, NULL, &err),
                mskp_mpi_cut(ranks, NULL, 0, NULL, &err),
                mskp_mpi_shard_plan(ranks, g, keep, ranges, d->small, &plan, &err),
                mskp_mpi_move(ranks, g, ranges, ranges, 0, NULL, &err),
                mskp_mpi_agree(ranks, MSKP_OK, &err)};
            for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
                require_refused(d, statuses[i], &err,
                                null ? MSKP_ERROR_BAD_ARGUMENT : MSKP_ERROR_BAD_STATE,
                                null ? "mpi is NULL" : "mpi has 0 ranks");
        }
    }
    mskp_mpi_close(&m);
    const mskp_mpi before = m;
    require_refused(d, mskp_mpi_open(MPI_COMM_NULL, NULL, &m, &err), &err, MSKP_ERROR_BAD_ARGUMENT,
                    "comm is MPI_COMM_NULL");
    mskp_services half = heap_services();
    if (d->odd) half.release = NULL;
    require_refused(d, mskp_mpi_open(MPI_COMM_WORLD, &half, &m, &err), &err,
                    MSKP_ERROR_BAD_ARGUMENT, "allocate and release must both be set, or neither");
    REQUIRE(!memcmp(&m, &before, sizeof m), "ranks were opened");
}

void test_refusals(void)
{
    const size_t count = test_count(20);
    for (size_t k = 0; k < count; k++) {
        desk d;
        desk_open(&d, test_seed() * 1000000 + k);
        if (d.units) {
            overlap(&d);
            missing(&d);
            differ(&d);
            not_open(&d);
        }
        trial_end(&d.t);
    }
    /* Together the shares are the length, and there is none where there is no such rank. */
    for (size_t length = 0; length < 9; length++)
        for (int ranks = -1; ranks < 5; ranks++) {
            size_t at = 0;
            for (int rank = -1; rank <= ranks + 1; rank++) {
                const mskp_mpi_range r = mskp_mpi_share(length, rank, ranks);
                const bool is = rank >= 0 && rank < ranks;
                REQUIRE(r.first == (is ? at : 0) && (is || !r.count), "%zu over %d, rank %d: %zu",
                        length, ranks, rank, r.first);
                at += r.count;
            }
            REQUIRE(ranks < 1 || at == length, "%zu of %zu are shared", at, length);
        }
}

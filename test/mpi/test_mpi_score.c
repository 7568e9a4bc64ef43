/* Scores and masks over ranks against those of one process, bit for bit. */
#include "ranks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const uint32_t role_sets[] = {0,
                                     MSKP_ROLE_FILTER,
                                     MSKP_ROLE_CONSUMER,
                                     MSKP_ROLE_SHIFT,
                                     MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT,
                                     MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER,
                                     MSKP_ROLES_UNIT};
enum { ROLE_SETS = sizeof role_sets / sizeof *role_sets };

static mskp_scoring draw_scoring(rng *r)
{
    mskp_scoring how = {.magnitude = (mskp_magnitude)rng_below(r, 2),
                        .reduce = (mskp_reduce)rng_below(r, MSKP_REDUCE_PRODUCT + 1),
                        .roles = role_sets[rng_below(r, ROLE_SETS)]};
    if (how.reduce == MSKP_REDUCE_VOTE) how.vote_threshold = rng_real(r, 0, 1);
    return how;
}

static mskp_rule draw_rule(rng *r)
{
    mskp_rule rule = {.remove_fraction = rng_real(r, 0, 1)};
    if (rng_chance(r, 0.3)) rule.use_threshold = 1, rule.threshold = rng_real(r, 0, 1);
    if (rng_chance(r, 0.3)) rule.remove_family_fraction = rng_real(r, 0, 1);
    if (rng_chance(r, 0.3)) rule.round_to = rng_from(r, 1, 4);
    return rule;
}

/* Puts something that is no number at a random place of a random parameter. */
static void spoil(trial *t, const set *values)
{
    const size_t p = rng_from(&t->r, 1, t->net->params);
    const net_param *q = &t->net->param[p];
    const mskp_tensor v = view_resolve(&values->views[p], q->ndim, q->shape);
    size_t index[MSKP_MAX_DIMS];
    for (uint32_t d = 0; d < q->ndim; d++) index[d] = rng_below(&t->r, q->shape[d]);
    view_set(&v, index, rng_chance(&t->r, 0.5) ? (double)NAN : (double)INFINITY);
}

typedef struct seen {
    size_t finite, split, refused, removed, ties, elsewhere;
} seen;

static void compare_masks(trial *t, double *scores, seen *s)
{
    const mskp_rule rule = draw_rule(&t->r);
    uint8_t *one = arena_get(&t->mem, t->units, 1), *over = arena_get(&t->mem, t->units, 1);
    mskp_selection a = {0}, b = {0};
    mskp_error err = {0};
    const mskp_status expected =
        mskp_select(t->graph, scores_of(t->units, scores), &rule, mask_of(t->units, one), &a, NULL);
    const mskp_status status = mskp_mpi_select(&all_ranks, t->graph, scores_of(t->units, scores),
                                               &rule, mask_of(t->units, over), &b, &err);
    require_same_answer(status, &err);
    REQUIRE(status == expected, "select: %d, not %d: %s", status, expected, err.text);
    REQUIRE(!memcmp(one, over, t->units), "masks differ");
    REQUIRE(a.removed == b.removed && a.cost.macs == b.cost.macs, "selections differ");
    s->removed += a.removed;
    for (size_t u = 0; u + 1 < t->units; u++) s->ties += scores[u] == scores[u + 1];
}

/* Each unit's score on one rank alone; and the mask that these scores give. */
static void compare_spread(trial *t, const mskp_scoring *how, const mskp_mpi_rows *rows,
                           mskp_tensors part, mskp_status expected, double *one, seen *s)
{
    double *scores = arena_get(&t->mem, t->units, sizeof *scores);
    uint8_t *here = arena_get(&t->mem, t->units, 1), *keep = arena_get(&t->mem, t->units, 1);
    int *ranks = arena_get(&t->mem, t->units, sizeof *ranks);
    uint8_t *kept = arena_get(&t->mem, t->units, 1);
    const mskp_mpi_spread spread = {scores_of(t->units, scores), mask_of(t->units, here)};
    mskp_error err = {0};
    for (size_t u = 0; u < t->units; u++) scores[u] = 99, here[u] = 7;
    mskp_status status = mskp_mpi_score_spread(&all_ranks, t->graph, how, rows, part, spread, &err);
    require_same_answer(status, &err);
    REQUIRE(status == expected, "%d, not %d: %s", status, expected, err.text);
    for (size_t u = 0; u < t->units; u++) {
        const bool mine = !status && here[u] == 1;
        REQUIRE(here[u] == (status ? 7 : mine), "unit %zu: here is %d", u, here[u]);
        const double x = mine ? one[u] : 99;
        REQUIRE(!memcmp(&scores[u], &x, sizeof x), "unit %zu: %.17g, not %.17g", u, scores[u], x);
        ranks[u] = mine;
    }
    if (status) return;
    MPI_Allreduce(MPI_IN_PLACE, ranks, (int)t->units, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    for (size_t u = 0; u < t->units; u++) REQUIRE(ranks[u] == 1, "unit %zu: %d ranks", u, ranks[u]);
    const mskp_rule rule = draw_rule(&t->r);
    const mskp_status solved =
        mskp_select(t->graph, scores_of(t->units, one), &rule, mask_of(t->units, keep), NULL, NULL);
    status = mskp_mpi_select_spread(&all_ranks, t->graph, spread, &rule, mask_of(t->units, kept),
                                    NULL, &err);
    require_same_answer(status, &err);
    REQUIRE(status == solved, "%d, not %d: %s", status, solved, err.text);
    REQUIRE(!memcmp(keep, kept, t->units), "masks differ");
    for (size_t u = 0; u < t->units; u++) s->elsewhere += !here[u];
}

static void compare_scores(trial *t, const set *values, bool spoiled, seen *s)
{
    const mskp_scoring how = draw_scoring(&t->r);
    const bool everywhere = rng_chance(&t->r, 0.1);
    double *one = arena_get(&t->mem, t->units, sizeof *one);
    double *over = arena_get(&t->mem, t->units, sizeof *over);
    mskp_error err = {0}, error = {0};
    const mskp_status expected = mskp_score(
        t->graph, &how, set_by_id(t->net->params, values->views), scores_of(t->units, one), &error);
    const pieces p = pieces_draw(t, values);
    const mskp_status status =
        mskp_mpi_score(&all_ranks, t->graph, &how, everywhere ? NULL : p.rows,
                       set_by_id(t->net->params, everywhere ? values->views : p.views),
                       scores_of(t->units, over), &err);
    require_same_answer(status, &err);
    REQUIRE(status == expected, "magnitude %d, reduce %d, roles %u: %d, not %d: %s, %s",
            how.magnitude, how.reduce, how.roles, status, expected, err.text, error.text);
    REQUIRE(spoiled || status == MSKP_OK, "%s", err.text);
    for (size_t u = 0; u < t->units; u++) {
        REQUIRE(!memcmp(&one[u], &over[u], sizeof *one),
                "magnitude %d, reduce %d, roles %u, unit %zu: %.17g, not %.17g", how.magnitude,
                how.reduce, how.roles, u, over[u], one[u]);
        s->finite += isfinite(one[u]) != 0;
    }
    s->split += p.split;
    s->refused += status != MSKP_OK;
    if (status == MSKP_OK) compare_masks(t, over, s);
    compare_spread(t, &how, everywhere ? NULL : p.rows,
                   set_by_id(t->net->params, everywhere ? values->views : p.views), expected, one,
                   s);
}

void test_scores(void)
{
    seen s = {0};
    const size_t count = test_count(400);
    for (size_t k = 0; k < count; k++) {
        trial t;
        const net_options options = {.residual = k % 5 == 1,
                                     .max_channels = k % 25 == 2 ? 260 : 0,
                                     .steps = k % 25 == 2 ? 3 : 0};
        const bool ties = k % 4 == 3, spoiled = k % 6 == 5;
        trial_begin(&t, test_seed() * 1000000 + k, &options, NULL);
        if (ties) exact_net(t.net, &t.r); /* many scores are then equal */
        const set values = exact_set(&t, t.net);
        if (spoiled) spoil(&t, &values);
        for (int j = 0; j < 4; j++) compare_scores(&t, &values, spoiled, &s);
        trial_end(&t);
    }
    size_t split = s.split;
    MPI_Allreduce(MPI_IN_PLACE, &split, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    REQUIRE(count < 100 || (s.finite > count && s.refused > count / 100 && s.removed > count &&
                            s.ties > count &&
                            (all_ranks.ranks == 1 || (split > count && s.elsewhere > count))),
            "%zu finite scores, %zu refusals, %zu units removed, %zu ties, %zu pieces, %zu units "
            "elsewhere only",
            s.finite, s.refused, s.removed, s.ties, split, s.elsewhere);
}

/* Two families whose units are in the same axes, and of which one is also in a slice: each has its
 * own number of votes. Of the first four units, one norm marks two and the other the other two, so
 * one vote is enough; of the last four, both mark the same two, so two votes are needed. */
void test_votes(void)
{
    const double one[8] = {.1, .2, 3, 4, .3, .4, 5, 6}, two[8] = {7, 8, .1, .2, .2, .1, 9, 9};
    const size_t image[2] = {8, 8}, w[4] = {8, 3, 1, 1}, last[4] = {2, 8, 1, 1}, eight = 8;
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_value in = mskp_input(g, "image", 3, 2, image), branch[2];
    mskp_tensor view[5] = {{0}};
    double scores[8];
    mskp_error err = {0};
    for (int i = 0; i < 2; i++) {
        mskp_conv_desc conv = {.weight = mskp_parameter(g, i ? "conv2" : "conv1", 4, w)};
        const mskp_value v = mskp_conv(g, NULL, in, &conv);
        mskp_norm_desc norm = {.scale = mskp_parameter(g, i ? "bn2" : "bn1", 1, &eight)};
        branch[i] = mskp_norm(g, NULL, v, &norm);
        view[2 * i + 1] =
            (mskp_tensor){.data = (void *)(uintptr_t)(i ? two : one), .dtype = MSKP_DTYPE_F64};
    }
    const mskp_value sum = mskp_combine(g, NULL, MSKP_COMBINE_ADD, 2, branch);
    mskp_slice(g, "half", sum, 0, 4);
    mskp_conv_desc conv = {.weight = mskp_parameter(g, "last", 4, last)};
    mskp_output(g, mskp_conv(g, NULL, sum, &conv));
    REQUIRE_OK(mskp_graph_finish(g, NULL));
    REQUIRE(mskp_graph_counts(g).units == 8 && mskp_graph_counts(g).families == 2, "%zu families",
            mskp_graph_counts(g).families);
    const mskp_scoring how = {.reduce = MSKP_REDUCE_VOTE, .vote_threshold = 0.5};
    const mskp_status status = mskp_mpi_score(&all_ranks, g, &how, NULL, (mskp_tensors){5, view},
                                              scores_of(8, scores), &err);
    require_same_answer(status, &err);
    REQUIRE(!status, "%s", err.text);
    for (int u = 0; u < 8; u++) {
        const double expected = u < 4 ? fmin(one[u], two[u]) : fmax(one[u], two[u]);
        REQUIRE(scores[u] == expected, "unit %d: %g, not %g", u, scores[u], expected);
    }
    mskp_graph_destroy(g);
}

/* Rows that are missing, or on two ranks in part. */
void test_incomplete(void)
{
    size_t missing = 0, count = test_count(100);
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        const set values = exact_set(&t, t.net);
        const mskp_scoring how = draw_scoring(&t.r);
        double *scores = arena_get(&t.mem, t.units, sizeof *scores);
        for (size_t u = 0; u < t.units; u++) scores[u] = 7;
        const size_t id = rng_from(&t.r, 1, t.net->params);
        const size_t length = t.net->param[id].shape[0], row = rng_below(&t.r, length);
        mskp_mpi_rows *rows = arena_get(&t.mem, t.net->params, sizeof *rows);
        mskp_tensor *views = arena_copy(&t.mem, values.views, t.net->params + 1, sizeof *views);
        for (size_t i = 1; i <= t.net->params; i++) rows[i - 1].count = t.net->param[i].shape[0];
        /* All ranks end one row before `row`, so the first of these is on no rank. */
        const net_param *q = &t.net->param[id];
        size_t shape[MSKP_MAX_DIMS];
        memcpy(shape, q->shape, sizeof shape);
        shape[0] = row;
        rows[id - 1].count = row;
        views[id] = row ? view_make(&t.mem, &t.r, MSKP_DTYPE_F32, q->ndim, shape, VIEW_BARE).view
                        : (mskp_tensor){.data = NULL};
        if (row) memset(views[id].data, 0, shape_elements(q->ndim, shape) * sizeof(float));
        const bool read = tensor_has(&t.model, id, how.roles ? how.roles : MSKP_ROLE_SCALE, NULL);
        mskp_error err = {0};
        mskp_status status =
            mskp_mpi_score(&all_ranks, t.graph, &how, rows, set_by_id(t.net->params, views),
                           scores_of(t.units, scores), &err);
        require_same_answer(status, &err);
        REQUIRE(status == (read ? MSKP_ERROR_NO_DATA : MSKP_OK), "parameter %zu: %d, %s", id,
                status, err.text);
        for (size_t u = 0; read && u < t.units; u++) REQUIRE(scores[u] == 7, "scores changed");
        missing += read;
        /* Rank 0 has all rows, and the others have some. */
        if (all_ranks.ranks > 1 && row) {
            if (!all_ranks.rank) rows[id - 1].count = length, views[id] = values.views[id];
            status =
                mskp_mpi_score(&all_ranks, t.graph, &how, rows, set_by_id(t.net->params, views),
                               scores_of(t.units, scores), &err);
            require_same_answer(status, &err);
            REQUIRE(status == (read ? MSKP_ERROR_BAD_ARGUMENT : MSKP_OK), "parameter %zu: %d, %s",
                    id, status, err.text);
        }
        trial_end(&t);
    }
    REQUIRE(count < 100 || missing > count / 5, "%zu only", missing);
}

void test_join(void)
{
    const size_t count = test_count(200);
    size_t missing = 0;
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        double *expected = arena_get(&t.mem, t.units, sizeof *expected);
        double *scores = arena_get(&t.mem, t.units, sizeof *scores);
        uint8_t *here = arena_get(&t.mem, t.units, 1);
        bool whole = true;
        for (size_t u = 0; u < t.units; u++) {
            const uint64_t ranks =
                rng_chance(&t.r, 0.005) ? 0 : rng_from(&t.r, 1, ((size_t)1 << all_ranks.ranks) - 1);
            expected[u] = (double)rng_below(&t.r, 5) - 1; /* ties, and numbers below 0 */
            if (rng_chance(&t.r, 0.1)) expected[u] = (double)INFINITY;
            here[u] = ranks >> all_ranks.rank & 1;
            /* The lowest rank counts: others have something else. */
            const bool lowest = here[u] && !(ranks & (((uint64_t)1 << all_ranks.rank) - 1));
            scores[u] = lowest ? expected[u] : 99;
            whole &= ranks != 0;
        }
        mskp_error err = {0};
        const mskp_status status = mskp_mpi_join(&all_ranks, t.graph, mask_of(t.units, here),
                                                 scores_of(t.units, scores), &err);
        require_same_answer(status, &err);
        REQUIRE(status == (whole ? MSKP_OK : MSKP_ERROR_NO_DATA), "%s", err.text);
        REQUIRE(status || !memcmp(scores, expected, t.units * sizeof *scores), "scores differ");
        missing += !whole;
        if (!status) {
            seen s = {0};
            compare_masks(&t, scores, &s);
        }
        trial_end(&t);
    }
    REQUIRE(count < 100 || missing, "no unit was missing");
}

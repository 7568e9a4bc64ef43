/* Differences are named; sums do not depend on who adds; surgery on all ranks. */
#include "ranks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- mskp_mpi_same ---- */

/* Changes the last bit of one element. */
static void change(const trial *t, const set *values, size_t p, const size_t *index)
{
    const net_param *q = &t->net->param[p];
    const mskp_tensor v = view_resolve(&values->views[p], q->ndim, q->shape);
    view_at(&v, index)[0] ^= 1;
}

static void require_named(const char *text, const char *part)
{
    REQUIRE(strstr(text, part), "\"%s\" does not say \"%s\"", text, part);
}

void test_same(void)
{
    const size_t count = test_count(200);
    for (size_t k = 0; k < count; k++) {
        trial t;
        mskp_error err = {0};
        char text[300];
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        const set values = exact_set(&t, t.net);
        const mskp_tensors views = set_by_id(t.net->params, values.views);
        uint8_t *keep = arena_get(&t.mem, t.units, 1);
        for (size_t u = 0; u < t.units; u++) keep[u] = rng_chance(&t.r, 0.5);
        const int odd = (int)rng_below(&t.r, (size_t)all_ranks.ranks);
        const bool here = all_ranks.rank == odd;
        /* Of two ranks, the second is said to differ. */
        const int named = all_ranks.ranks == 2 ? 1 : odd;
        mskp_status status =
            mskp_mpi_same(&all_ranks, t.graph, mask_of(t.units, keep), views, &err);
        require_same_answer(status, &err);
        REQUIRE(!status, "%s", err.text);

        const size_t p = rng_from(&t.r, 1, t.net->params);
        const net_param *q = &t.net->param[p];
        size_t index[MSKP_MAX_DIMS];
        for (uint32_t d = 0; d < q->ndim; d++) index[d] = rng_below(&t.r, q->shape[d]);
        if (here) change(&t, &values, p, index);
        status = mskp_mpi_same(&all_ranks, t.graph, mask_of(t.units, keep), views, &err);
        require_same_answer(status, &err);
        REQUIRE(status == (all_ranks.ranks > 1 ? MSKP_ERROR_BAD_STATE : MSKP_OK), "%d", status);
        if (status) {
            int used = snprintf(text, sizeof text, "rank %d: %s", named,
                                mskp_param_name(t.graph, (mskp_param){(uint32_t)p}));
            for (uint32_t d = 0; d < q->ndim; d++)
                used += snprintf(text + used, sizeof text - (size_t)used, "[%zu]", index[d]);
            require_named(err.text, text);
        }
        if (here) change(&t, &values, p, index);

        const size_t unit = t.units ? rng_below(&t.r, t.units) : 0;
        if (t.units && here) keep[unit] = !keep[unit];
        status = mskp_mpi_same(&all_ranks, t.graph, mask_of(t.units, keep), views, &err);
        require_same_answer(status, &err);
        REQUIRE(status == (all_ranks.ranks > 1 && t.units ? MSKP_ERROR_BAD_STATE : MSKP_OK), "%d",
                status);
        (void)snprintf(text, sizeof text, "rank %d: keep of unit %zu is", named, unit);
        if (status) require_named(err.text, text);
        trial_end(&t);
    }
}

/* ---- mskp_mpi_sum ---- */

enum { MOST_PARTS = 7, MOST_NUMBERS = 3000 };

/* This rank's parts, if part k is on rank where[k]. */
static size_t mine(float (*all)[MOST_NUMBERS], size_t parts, const int *where, const float **part)
{
    size_t n = 0;
    for (size_t k = 0; k < parts; k++)
        if (where[k] == all_ranks.rank) part[n++] = all[k];
    return n;
}

/* *sum + *rest += x, where *rest is what was rounded off (Knuth's TwoSum). */
static void add(double *sum, double *rest, double x)
{
    const double a = *sum, s = a + x, b = s - a;
    *sum = s;
    *rest += (a - (s - b)) + (x - b);
}

void test_sum(void)
{
    static float all[MOST_PARTS][MOST_NUMBERS], first[MOST_NUMBERS], sum[MOST_NUMBERS];
    const size_t count = test_count(200);
    for (size_t k = 0; k < count; k++) {
        rng r = rng_make(trial_seed = test_seed() * 1000000 + k);
        const size_t parts = rng_from(&r, 1, MOST_PARTS), n = rng_below(&r, MOST_NUMBERS + 1);
        const bool whole = rng_chance(&r, 0.3); /* numbers whose sums are exact */
        const int spread = (int)rng_below(&r, 60);
        int where[MOST_PARTS];
        const float *part[MOST_PARTS];
        mskp_error err = {0};
        for (size_t j = 0; j < parts; j++)
            for (size_t i = 0; i < n; i++)
                all[j][i] = whole ? (float)rng_below(&r, 1000) - 500
                                  : (float)ldexp(rng_real(&r, -1, 1),
                                                 -(int)rng_below(&r, (size_t)spread + 1));
        for (int turn = 0; turn < 3; turn++) {
            for (size_t j = 0; j < parts; j++)
                where[j] = turn ? (int)rng_below(&r, (size_t)all_ranks.ranks) : 0;
            const size_t mines = mine(all, parts, where, part);
            const mskp_status status =
                mskp_mpi_sum(&all_ranks, mines, part, n, turn ? sum : first, &err);
            require_same_answer(status, &err);
            REQUIRE(!status, "%s", err.text);
            REQUIRE(!turn || !memcmp(sum, first, n * sizeof *sum), "the sum depends on ranks");
        }
        require_same_bytes("the sum", n * sizeof *first, first);
        double most = 0;
        for (size_t i = 0; i < n; i++) {
            double exact = 0, rest = 0; /* together as exact as 106 bits */
            for (size_t at = i; i % 1024 == 0 && at < n && at < i + 1024; at++)
                for (size_t j = 0; j < parts; j++)
                    most = fmax(at == i && !j ? 0 : most, fabs((double)all[j][at]));
            for (size_t j = 0; j < parts; j++) add(&exact, &rest, (double)all[j][i]);
            const double error = fabs((double)first[i] - exact - rest);
            /* Each part is rounded by half a unit of at most 2^-60 parts x the largest. */
            const double bound = (double)(parts * parts) * ldexp(most, -60);
            REQUIRE(!whole || (double)first[i] == exact, "%g, not %g", (double)first[i], exact);
            REQUIRE(error <= bound + ldexp(fabs(exact), -24) + 0x1p-149,
                    "number %zu: %.9g, not %.17g", i, (double)first[i], exact);
        }
        if (!n) continue;
        /* What is no number is refused, and the sum stays. */
        const size_t bad = rng_below(&r, n);
        for (size_t i = 0; i < n; i++) sum[i] = 7;
        all[0][bad] = rng_chance(&r, 0.5) ? (float)NAN : (float)INFINITY;
        mskp_status status =
            mskp_mpi_sum(&all_ranks, mine(all, parts, where, part), part, n, sum, &err);
        require_same_answer(status, &err);
        REQUIRE(status == MSKP_ERROR_BAD_NUMBER, "%d: %s", status, err.text);
        for (size_t i = 0; i < n; i++) REQUIRE(sum[i] == 7, "the sum was written");
        all[0][bad] = 3e38F;
        const float *large[2] = {all[0], all[0]};
        status = mskp_mpi_sum(&all_ranks, 2, large, n, sum, &err);
        require_same_answer(status, &err);
        REQUIRE(status == MSKP_ERROR_BAD_NUMBER, "%d: %s", status, err.text);
        for (size_t i = 0; i < n; i++) REQUIRE(sum[i] == 7, "the sum was written");
    }
}

/* ---- mskp_mpi_cut ---- */

void test_cut(void)
{
    const size_t count = test_count(200);
    size_t removed = 0;
    for (size_t k = 0; k < count; k++) {
        trial t;
        mskp_plan *plan = NULL;
        mskp_error err = {0};
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        double *scores = arena_get(&t.mem, t.units, sizeof *scores);
        uint8_t *keep = arena_get(&t.mem, t.units, 1);
        for (size_t u = 0; u < t.units; u++) scores[u] = rng_real(&t.r, 0, 1);
        const mskp_rule rule = {.use_threshold = 1, .threshold = rng_real(&t.r, 0, 1)};
        mskp_selection selection = {0};
        REQUIRE_OK(mskp_select(t.graph, scores_of(t.units, scores), &rule, mask_of(t.units, keep),
                               &selection, NULL));
        removed += selection.removed;
        REQUIRE_OK(mskp_plan_create(t.graph, mask_of(t.units, keep), &plan, NULL, NULL));
        /* Two sets in place, of which each rank has its own kinds of views. */
        rng own = rng_make(rng_next(&t.r) + (uint64_t)all_ranks.rank);
        set one[2], two[2];
        mskp_move moves[2], expected[2];
        for (int i = 0; i < 2; i++) {
            one[i] =
                set_make(&t.mem, &own, t.net, i ? MSKP_DTYPE_BYTES_2 : MSKP_DTYPE_F32, VIEW_STYLES);
            set_pattern(&one[i], t.net, 5);
            for (size_t p = 1; p <= t.net->params; p++)
                if (rng_chance(&own, 0.1)) one[i].views[p].data = NULL;
            two[i] = set_copy(&t.mem, &one[i]);
            moves[i] = (mskp_move){.from = set_by_id(t.net->params, one[i].views)};
            expected[i] = (mskp_move){.from = set_by_id(t.net->params, two[i].views)};
        }
        /* A move that is wrong on one rank: nothing happens on any. */
        const int odd = (int)rng_below(&t.r, (size_t)all_ranks.ranks);
        const set before[2] = {set_copy(&t.mem, &one[0]), set_copy(&t.mem, &one[1])};
        if (all_ranks.rank == odd) moves[1].from.n--;
        mskp_status status = mskp_mpi_cut(&all_ranks, plan, 2, moves, &err);
        require_same_answer(status, &err);
        REQUIRE(status != MSKP_OK, "a set of another network was cut");
        for (int i = 0; i < 2; i++) REQUIRE(set_same(&one[i], &before[i]), "set %d was changed", i);
        if (all_ranks.rank == odd) moves[1].from.n++;
        status = mskp_mpi_cut(&all_ranks, plan, 2, moves, &err);
        require_same_answer(status, &err);
        REQUIRE(!status, "%s", err.text);
        REQUIRE_OK(mskp_plan_cut(plan, 2, expected, NULL));
        for (int i = 0; i < 2; i++)
            for (size_t p = 1; p <= t.net->params; p++) {
                const mskp_tensor *a = &one[i].views[p], *b = &two[i].views[p];
                size_t index[MSKP_MAX_DIMS] = {0};
                REQUIRE(!a->data == !b->data && a->ndim == b->ndim && a->elements == b->elements &&
                            !memcmp(a->shape, b->shape, sizeof a->shape) &&
                            !memcmp(a->stride, b->stride, sizeof a->stride),
                        "set %d, parameter %zu: another view", i, p);
                if (!a->data) continue;
                /* The same place in memory of its own. */
                REQUIRE((unsigned char *)a->data - one[i].buf[p].memory ==
                            (unsigned char *)b->data - two[i].buf[p].memory,
                        "set %d, parameter %zu: another place", i, p);
                const mskp_tensor va = view_resolve(a, a->ndim, a->shape);
                const mskp_tensor vb = view_resolve(b, b->ndim, b->shape);
                if (shape_elements(a->ndim, a->shape)) do
                        REQUIRE(
                            !memcmp(view_at(&va, index), view_at(&vb, index), dtype_size(a->dtype)),
                            "set %d, parameter %zu: another element", i, p);
                    while (next_index(a->ndim, a->shape, index));
            }
        mskp_plan_destroy(plan);
        trial_end(&t);
    }
    REQUIRE(count < 100 || removed > count, "%zu units removed only", removed);
}

/* Two sets in one array: set 1 begins `shift` numbers after set 0. Returns how many a set has. */
static size_t lay_two(const net *n, float *numbers, size_t shift, mskp_tensor *views[2])
{
    size_t at = 0;
    for (size_t p = 1; p <= n->params; p++) {
        for (size_t i = 0; i < 2; i++)
            views[i][p] = (mskp_tensor){.data = numbers ? numbers + at + i * shift : NULL};
        at += shape_elements(n->param[p].ndim, n->param[p].shape);
    }
    return at;
}

/* Sets that overlap on one rank: what mskp_plan_cut refuses there is refused on all ranks, and what
 * it accepts gives the same numbers. One rank cuts to other memory, which stays as it was. */
void test_overlaps(void)
{
    const size_t count = test_count(200);
    size_t refused = 0, accepted = 0;
    for (size_t k = 0; k < count; k++) {
        trial t;
        mskp_plan *plan = NULL;
        mskp_error err = {0}, core = {0};
        mskp_move moves[2] = {{{0}, {0}}}, expected[2] = {{{0}, {0}}};
        mskp_tensor *one[2], *two[2];
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        const size_t params = t.net->params;
        uint8_t *keep = arena_get(&t.mem, t.units, 1);
        double *scores = arena_get(&t.mem, t.units, sizeof *scores);
        for (size_t u = 0; u < t.units; u++) scores[u] = rng_real(&t.r, 0, 1);
        REQUIRE_OK(mskp_select(t.graph, scores_of(t.units, scores),
                               &(mskp_rule){.use_threshold = 1, .threshold = 0.5},
                               mask_of(t.units, keep), NULL, NULL));
        REQUIRE_OK(mskp_plan_create(t.graph, mask_of(t.units, keep), &plan, NULL, NULL));
        for (int i = 0; i < 2; i++) {
            one[i] = arena_get(&t.mem, params + 1, sizeof *one[i]);
            two[i] = arena_get(&t.mem, params + 1, sizeof *two[i]);
        }
        const size_t n = lay_two(t.net, NULL, 0, one);
        const int odd = (int)rng_below(&t.r, (size_t)all_ranks.ranks);
        size_t shift = k % 4 ? rng_below(&t.r, n + 1) : 0; /* 0: the same set twice */
        const bool apart = all_ranks.rank != odd;
        if (apart) shift = n;
        float *numbers = arena_get(&t.mem, 3 * n, sizeof *numbers);
        float *copy = arena_get(&t.mem, 3 * n, sizeof *copy);
        for (size_t i = 0; i < 3 * n; i++) numbers[i] = copy[i] = (float)i;
        lay_two(t.net, numbers, shift, one);
        lay_two(t.net, copy, shift, two);
        for (int i = 0; i < 2; i++) {
            moves[i].from = set_by_id(params, one[i]);
            expected[i].from = set_by_id(params, two[i]);
        }
        /* Other ranks cut set 1 to memory behind both. */
        mskp_tensor *there = arena_get(&t.mem, params + 1, sizeof *there);
        mskp_tensor *unused = arena_get(&t.mem, params + 1, sizeof *unused);
        mskp_tensor *thirds[2] = {unused, there};
        lay_two(t.net, numbers, 2 * n, thirds);
        if (apart) moves[1].to = set_by_id(params, there);
        /* mskp_plan_check says what mskp_plan_cut does, and moves nothing. */
        const mskp_status checked = mskp_plan_check(plan, 2, expected, &err);
        REQUIRE(!memcmp(copy, numbers, 3 * n * sizeof *copy), "the check moved something");
        const int core_status = (int)mskp_plan_cut(plan, 2, expected, &core);
        REQUIRE((int)checked == core_status && (!checked || !strcmp(err.text, core.text)),
                "%d and %d: %s", (int)checked, core_status, core.text);
        int right = core_status;
        MPI_Bcast(&right, 1, MPI_INT, odd, MPI_COMM_WORLD);
        const mskp_status status = mskp_mpi_cut(&all_ranks, plan, 2, moves, &err);
        require_same_answer(status, &err);
        REQUIRE((int)status == right, "%d, not %d: %s", (int)status, right, err.text);
        for (size_t i = 0; right && i < 3 * n; i++)
            REQUIRE(numbers[i] == (float)i, "number %zu of %zu was changed", i, 3 * n);
        if (right && !apart)
            REQUIRE(strstr(err.text, core.text), "%s, not %s", err.text, core.text);
        if (!right && !apart)
            REQUIRE(!memcmp(numbers, copy, 3 * n * sizeof *copy), "other numbers");
        refused += right == MSKP_ERROR_OVERLAP;
        accepted += !right && shift < n;
        mskp_plan_destroy(plan);
        trial_end(&t);
    }
    int all = (int)accepted;
    MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    REQUIRE(count < 100 || (refused > count / 4 && all), "%zu refused, %d accepted", refused, all);
}

/* ---- mskp_mpi_shard_plan ---- */

void test_shard_plan(void)
{
    const size_t count = test_count(200);
    size_t compared_pieces = 0, emptied = 0, columns = 0;
    for (size_t k = 0; k < count; k++) {
        trial t;
        mskp_plan *whole = NULL, *plan = NULL;
        mskp_error err = {0};
        trial_begin(&t, test_seed() * 1000000 + k, &(net_options){.residual = k % 4 == 1}, NULL);
        const size_t params = t.net->params;
        double *scores = arena_get(&t.mem, t.units, sizeof *scores);
        uint8_t *keep = arena_get(&t.mem, t.units, 1);
        for (size_t u = 0; u < t.units; u++) scores[u] = rng_real(&t.r, 0, 1);
        const mskp_rule rule = {
            .use_threshold = 1, .threshold = rng_real(&t.r, 0, 1), .empty_branches = k % 2};
        REQUIRE_OK(mskp_select(t.graph, scores_of(t.units, scores), &rule, mask_of(t.units, keep),
                               NULL, NULL));
        set values = exact_set(&t, t.net);
        const pieces p = pieces_draw(&t, &values);
        mskp_mpi_range *small = arena_get(&t.mem, params, sizeof *small);
        REQUIRE_OK(mskp_plan_create(t.graph, mask_of(t.units, keep), &whole, NULL, NULL));
        mskp_status status = mskp_mpi_shard_plan(&all_ranks, t.graph, mask_of(t.units, keep),
                                                 p.ranges, small, &plan, &err);
        require_same_answer(status, &err);
        REQUIRE(!status, "%s", err.text);
        for (size_t i = 1; i <= params; i++) {
            emptied += p.ranges[i - 1].count && !small[i - 1].count;
            if (!small[i - 1].count) p.views[i] = (mskp_tensor){.data = NULL};
        }
        const mskp_move move = {.from = set_by_id(params, p.views)};
        status = mskp_mpi_cut(&all_ranks, plan, 1, &move, &err);
        require_same_answer(status, &err);
        REQUIRE(!status, "%s", err.text);
        REQUIRE_OK(
            mskp_plan_cut(whole, 1, &(mskp_move){.from = set_by_id(params, values.views)}, NULL));
        for (size_t i = 1; i <= params; i++) {
            /* All ranks together have every element. */
            const mskp_tensor *v = &values.views[i];
            const size_t elements = shape_elements(v->ndim, v->shape);
            uint8_t *found = arena_get(&t.mem, elements + 1, 1);
            if (small[i - 1].count) {
                const mskp_tensor *piece = &p.views[i];
                const mskp_tensor a = view_resolve(piece, piece->ndim, piece->shape);
                const mskp_tensor all = view_resolve(v, v->ndim, v->shape);
                require_range(&a, &all, small[i - 1], found);
            }
            MPI_Allreduce(MPI_IN_PLACE, found, (int)elements, MPI_UINT8_T, MPI_MAX, MPI_COMM_WORLD);
            for (size_t e = 0; e < elements; e++)
                REQUIRE(found[e], "parameter %zu: element %zu of %zu is nowhere", i, e, elements);
            if (!small[i - 1].count) continue;
            columns += small[i - 1].axis == 1;
            compared_pieces++;
        }
        mskp_plan_destroy(whole);
        mskp_plan_destroy(plan);
        trial_end(&t);
    }
    REQUIRE(count < 100 || all_ranks.ranks == 1 || (compared_pieces > count && emptied && columns),
            "%zu pieces, %zu emptied, %zu of columns", compared_pieces, emptied, columns);
}

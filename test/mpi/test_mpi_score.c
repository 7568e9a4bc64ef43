/* Scores of values and of gradients, and masks, over ranks against those of one process, bit for
 * bit. */
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
    size_t finite, split, columns, refused, removed, ties, elsewhere, crossed;
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

/* What one process says. */
typedef struct answer {
    double *before, *one; /* [units] scores before and after the call */
    mskp_status status;
} answer;

/* Each unit's score on one rank alone; and the mask that these scores give. */
static void compare_spread(trial *t, const mskp_mpi_scoring *how, const mskp_mpi_range *ranges,
                           mskp_tensors part, const answer *a, seen *s)
{
    const double *before = a->before;
    double *one = a->one;
    double *scores = arena_get(&t->mem, t->units, sizeof *scores);
    uint8_t *here = arena_get(&t->mem, t->units, 1), *keep = arena_get(&t->mem, t->units, 1);
    int *ranks = arena_get(&t->mem, t->units, sizeof *ranks);
    uint8_t *kept = arena_get(&t->mem, t->units, 1);
    const mskp_mpi_spread spread = {scores_of(t->units, scores), mask_of(t->units, here)};
    mskp_error err = {0};
    for (size_t u = 0; u < t->units; u++) scores[u] = before[u], here[u] = 7;
    mskp_status status =
        mskp_mpi_score_spread(&all_ranks, t->graph, how, ranges, part, spread, &err);
    require_same_answer(status, &err);
    REQUIRE(status == a->status, "%d, not %d: %s", status, a->status, err.text);
    for (size_t u = 0; u < t->units; u++) {
        const bool mine = !status && here[u] == 1;
        REQUIRE(here[u] == (status ? 7 : mine), "unit %zu: here is %d", u, here[u]);
        const double x = mine ? one[u] : before[u];
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

/* Whether a unit has slices in these roles on two axes of a parameter. */
static bool any_crossing(const trial *t, uint32_t roles)
{
    bool any = false;
    for (uint32_t u = 0; u < t->units; u++) {
        size_t n;
        const mskp_member *m = mskp_unit_members(t->graph, u, &n);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < i; k++)
                any |= m[i].param.id == m[k].param.id && m[i].axis != m[k].axis &&
                       (m[i].roles & roles) && (m[k].roles & roles);
    }
    return any;
}

/* gradients NULL: scores of values. */
static void compare_scores(trial *t, const set *values, const set *gradients, bool spoiled, seen *s)
{
    const bool everywhere = rng_chance(&t->r, 0.1);
    const size_t params = t->net->params;
    answer a = {.before = arena_get(&t->mem, t->units, sizeof *a.before),
                .one = arena_get(&t->mem, t->units, sizeof *a.one)};
    double *over = arena_get(&t->mem, t->units, sizeof *over);
    mskp_mpi_scoring how = {.values = draw_scoring(&t->r)};
    mskp_error err = {0}, error = {0};
    const mskp_tensors all = set_by_id(params, values->views);
    for (size_t u = 0; u < t->units; u++)
        a.before[u] = a.one[u] = over[u] =
            gradients ? (double)rng_below(&t->r, 3) * rng_real(&t->r, 0, 1) : 99;
    const pieces p = pieces_draw(t, values);
    if (gradients) {
        const uint32_t roles = how.values.roles;
        how = (mskp_mpi_scoring){.values.roles = roles,
                                 .form = (mskp_taylor)rng_below(&t->r, MSKP_TAYLOR_SUM + 1)};
        how.gradients =
            set_by_id(params, everywhere ? gradients->views : pieces_of(t, gradients, p.ranges));
        a.status =
            mskp_score_taylor(t->graph, how.form, roles, all, set_by_id(params, gradients->views),
                              scores_of(t->units, a.one), &error);
        s->crossed += how.form == MSKP_TAYLOR_SUM_OF_SQUARES && any_crossing(t, roles);
    } else {
        a.status = mskp_score(t->graph, &how.values, all, scores_of(t->units, a.one), &error);
    }
    const mskp_mpi_range *ranges = everywhere ? NULL : p.ranges;
    const mskp_tensors part = everywhere ? all : set_by_id(params, p.views);
    const mskp_status status =
        mskp_mpi_score(&all_ranks, t->graph, &how, ranges, part, scores_of(t->units, over), &err);
    require_same_answer(status, &err);
    REQUIRE(status == a.status, "form %d, magnitude %d, reduce %d, roles %u: %d, not %d: %s, %s",
            how.form, how.values.magnitude, how.values.reduce, how.values.roles, status, a.status,
            err.text, error.text);
    REQUIRE(spoiled || status == MSKP_OK, "%s", err.text);
    for (size_t u = 0; u < t->units; u++) {
        REQUIRE(!memcmp(&a.one[u], &over[u], sizeof *over),
                "form %d, magnitude %d, reduce %d, roles %u, unit %zu: %.17g, not %.17g", how.form,
                how.values.magnitude, how.values.reduce, how.values.roles, u, over[u], a.one[u]);
        s->finite += isfinite(over[u]) != 0;
    }
    s->split += p.split;
    s->columns += p.columns;
    s->refused += status != MSKP_OK;
    if (status == MSKP_OK) compare_masks(t, over, s);
    compare_spread(t, &how, ranges, part, &a, s);
}

/* Another set of numbers, in types and views of their own. */
static set draw_gradients(trial *t, bool ties)
{
    double **kept = arena_get(&t->mem, t->net->params + 1, sizeof *kept);
    for (size_t p = 1; p <= t->net->params; p++) {
        net_param *q = &t->net->param[p];
        const size_t n = shape_elements(q->ndim, q->shape);
        kept[p] = q->data;
        q->data = arena_get(&t->mem, n, sizeof *q->data);
        for (size_t e = 0; e < n; e++)
            q->data[e] = ties ? exact_number(&t->r) : rng_real(&t->r, -1, 1);
    }
    const set gradients = exact_set(t, t->net);
    for (size_t p = 1; p <= t->net->params; p++) t->net->param[p].data = kept[p];
    return gradients;
}

static void run_scores(bool with_gradients)
{
    seen s = {0};
    const size_t count = test_count(with_gradients ? 200 : 300);
    for (size_t k = 0; k < count; k++) {
        trial t;
        const net_options options = {.residual = k % 5 == 1,
                                     .max_channels = k % 25 == 2 ? 260 : 0,
                                     .steps = k % 25 == 2 ? 3 : 0};
        const bool ties = k % 4 == 3, spoiled = k % 6 == 5;
        trial_begin(&t, test_seed() * 1000000 + k, &options, NULL);
        if (ties) exact_net(t.net, &t.r); /* many scores are then equal */
        const set values = exact_set(&t, t.net);
        const set gradients = with_gradients ? draw_gradients(&t, ties) : values;
        if (spoiled) spoil(&t, with_gradients && rng_chance(&t.r, 0.5) ? &gradients : &values);
        for (int j = 0; j < 4; j++)
            compare_scores(&t, &values, with_gradients ? &gradients : NULL, spoiled, &s);
        trial_end(&t);
    }
    size_t parts[2] = {s.split, s.columns};
    MPI_Allreduce(MPI_IN_PLACE, parts, 2, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    REQUIRE(count < 100 || (s.finite > count && s.refused > count / 100 && s.removed > count &&
                            s.ties > count && (!with_gradients || s.crossed) &&
                            (all_ranks.ranks == 1 ||
                             (parts[0] > count && parts[1] > count / 4 && s.elsewhere > count))),
            "%zu finite scores, %zu refusals, %zu units removed, %zu ties, %zu pieces, %zu of "
            "columns, %zu units elsewhere only, %zu with crossings of squares",
            s.finite, s.refused, s.removed, s.ties, parts[0], parts[1], s.elsewhere, s.crossed);
}

void test_scores(void)
{
    run_scores(false);
}

void test_gradients(void)
{
    run_scores(true);
}

/* Two linear layers, split as tensor parallel programs do it: the first by outputs, the second by
 * inputs. The scores of what is between them need no weight of another rank. */
void test_layers(void)
{
    enum { IN = 300, HIDDEN = 530, OUT = 290 };
    static float w1[HIDDEN][IN], w2[OUT][HIDDEN], g1[HIDDEN][IN], g2[OUT][HIDDEN];
    static double one[HIDDEN], over[HIDDEN];
    rng r = rng_make(trial_seed = test_seed());
    for (size_t i = 0; i < HIDDEN; i++)
        for (size_t k = 0; k < IN; k++)
            w1[i][k] = (float)rng_real(&r, -1, 1), g1[i][k] = (float)rng_real(&r, -1, 1);
    for (size_t i = 0; i < OUT; i++)
        for (size_t k = 0; k < HIDDEN; k++)
            w2[i][k] = (float)rng_real(&r, -1, 1), g2[i][k] = (float)rng_real(&r, -1, 1);
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param p1 = mskp_parameter(g, "up", 2, (size_t[]){HIDDEN, IN});
    const mskp_param p2 = mskp_parameter(g, "down", 2, (size_t[]){OUT, HIDDEN});
    const mskp_value in = mskp_input(g, "in", IN, 0, NULL);
    const mskp_value hidden = mskp_linear(g, NULL, in, p1, (mskp_param){0});
    mskp_output(g, mskp_linear(g, NULL, hidden, p2, (mskp_param){0}));
    REQUIRE_OK(mskp_graph_finish(g, NULL));
    REQUIRE(mskp_graph_counts(g).units == HIDDEN, "%zu units", mskp_graph_counts(g).units);
    const mskp_mpi_range share = mskp_mpi_share(HIDDEN, all_ranks.rank, all_ranks.ranks);
    const mskp_mpi_range ranges[2] = {share, {share.first, share.count, 1}};
    mskp_tensor values[2] = {{.data = w1}, {.data = w2}}, slopes[2] = {{.data = g1}, {.data = g2}};
    mskp_tensor part[2][2];
    for (int k = 0; k < 2; k++) {
        part[k][0] = (mskp_tensor){.data = (k ? g1 : w1)[share.first]};
        part[k][1] = (mskp_tensor){.data = &(k ? g2 : w2)[0][share.first],
                                   .ndim = 2,
                                   .shape = {OUT, share.count},
                                   .stride = {HIDDEN, 1}};
    }
    for (int form = -1; form <= MSKP_TAYLOR_SUM; form++) {
        const uint32_t roles = MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER;
        mskp_mpi_scoring how = {.values.roles = roles};
        mskp_error err = {0};
        for (size_t u = 0; u < HIDDEN; u++) one[u] = over[u] = (double)u;
        if (form < 0) {
            REQUIRE_OK(mskp_score(g, &how.values, (mskp_tensors){2, values}, scores_of(HIDDEN, one),
                                  NULL));
        } else {
            how.form = (mskp_taylor)form;
            how.gradients = (mskp_tensors){2, part[1]};
            REQUIRE_OK(mskp_score_taylor(g, how.form, roles, (mskp_tensors){2, values},
                                         (mskp_tensors){2, slopes}, scores_of(HIDDEN, one), NULL));
        }
        const uint64_t bytes = all_ranks.bytes;
        const mskp_status status = mskp_mpi_score(
            &all_ranks, g, &how, ranges, (mskp_tensors){2, part[0]}, scores_of(HIDDEN, over), &err);
        require_same_answer(status, &err);
        REQUIRE(!status && !memcmp(one, over, sizeof one), "form %d: %s", form, err.text);
        const uint64_t sent = all_ranks.bytes - bytes, most = 8 * 2 * HIDDEN + 24 * 2 + 200;
        REQUIRE(sent < most, "%llu bytes", (unsigned long long)sent);
    }
    mskp_graph_destroy(g);
}

/* Scores of one parameter whose range is on one axis, against one process. */
static void compare_alone(mskp_graph *g, uint32_t ndim, const size_t *shape, uint32_t axis,
                          double *w, double *slope)
{
    enum { MOST = 80 };
    const size_t units = mskp_graph_counts(g).units;
    mskp_mpi_range share = mskp_mpi_share(shape[axis], all_ranks.rank, all_ranks.ranks);
    mskp_tensor all[2] = {{.data = w, .dtype = MSKP_DTYPE_F64},
                          {.data = slope, .dtype = MSKP_DTYPE_F64}};
    mskp_tensor part[2];
    share.axis = axis;
    for (int k = 0; k < 2; k++) {
        part[k] = view_resolve(&all[k], ndim, shape);
        part[k].data = (double *)part[k].data + part[k].stride[axis] * (ptrdiff_t)share.first;
        part[k].elements = 0;
        part[k].shape[axis] = share.count;
    }
    for (int form = -1; form <= MSKP_TAYLOR_SUM; form++) {
        double one[MOST] = {0}, over[MOST] = {0};
        mskp_mpi_scoring how = {.values.roles = MSKP_ROLES_UNIT};
        mskp_error err = {0};
        REQUIRE(units <= MOST, "%zu units", units);
        if (form >= 0) {
            how.form = (mskp_taylor)form;
            how.gradients = (mskp_tensors){1, &part[1]};
        }
        const mskp_tensors values = {1, all}, slopes = {1, all + 1};
        const mskp_status expected =
            form < 0 ? mskp_score(g, &how.values, values, scores_of(units, one), NULL)
                     : mskp_score_taylor(g, how.form, MSKP_ROLES_UNIT, values, slopes,
                                         scores_of(units, one), NULL);
        const mskp_status status =
            mskp_mpi_score(&all_ranks, g, &how, share.count ? &share : &(mskp_mpi_range){0},
                           (mskp_tensors){1, part}, scores_of(units, over), &err);
        require_same_answer(status, &err);
        REQUIRE(!expected && !status && !memcmp(one, over, sizeof one), "form %d: %s", form,
                err.text);
    }
}

/* Ranges of a third axis whose slices are longer than a tile of the library's sums; and elements
 * that no unit has, which may be anything, beside slices that cross. */
void test_corners(void)
{
    static double w[6 * 40 * 70 * 3], slope[6 * 40 * 70 * 3];
    const size_t large[4] = {6, 40, 70, 3}, small[2] = {5, 5};
    rng r = rng_make(trial_seed = test_seed());
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        w[i] = rng_real(&r, -1, 1), slope[i] = rng_real(&r, -1, 1);
    for (uint32_t axis = 0; axis < 4; axis++)
        for (uint32_t bound = 0; bound < 4; bound++) {
            mskp_graph *g = mskp_graph_create(NULL);
            mskp_bind(g, mskp_parameter(g, "w", 4, large), bound, MSKP_ROLE_FILTER,
                      mskp_fresh(g, NULL, large[bound], 0, NULL));
            REQUIRE_OK(mskp_graph_finish(g, NULL));
            compare_alone(g, 4, large, axis, w, slope);
            mskp_graph_destroy(g);
        }
    for (uint32_t axis = 0; axis < 2; axis++) {
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_param p = mskp_parameter(g, "w", 2, small);
        const mskp_value stream = mskp_fresh(g, NULL, 5, 0, NULL);
        mskp_bind(g, p, 0, MSKP_ROLE_FILTER, stream);
        mskp_bind(g, p, 1, MSKP_ROLE_CONSUMER, stream);
        mskp_pin(g, mskp_pick(g, NULL, stream, 2, (size_t[]){1, 4}));
        REQUIRE_OK(mskp_graph_finish(g, NULL));
        w[1 * 5 + 4] = slope[4 * 5 + 4] = (double)NAN;
        w[4 * 5 + 1] = w[1 * 5 + 1] = (double)INFINITY;
        compare_alone(g, 2, small, axis, w, slope);
        mskp_graph_destroy(g);
    }
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
    const mskp_mpi_scoring how = {.values = {.reduce = MSKP_REDUCE_VOTE, .vote_threshold = 0.5}};
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

/* Ranges that are missing, on two ranks in part, or of several axes. */
void test_incomplete(void)
{
    size_t missing = 0, mixed = 0, count = test_count(100);
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        const set values = exact_set(&t, t.net);
        const mskp_mpi_scoring how = {.values = draw_scoring(&t.r)};
        const uint32_t roles = how.values.roles;
        double *scores = arena_get(&t.mem, t.units, sizeof *scores);
        for (size_t u = 0; u < t.units; u++) scores[u] = 7;
        const size_t id = rng_from(&t.r, 1, t.net->params);
        const net_param *q = &t.net->param[id];
        const uint32_t axis = (uint32_t)rng_below(&t.r, q->ndim);
        const size_t length = q->shape[axis], at = rng_below(&t.r, length);
        mskp_mpi_range *ranges = arena_get(&t.mem, t.net->params, sizeof *ranges);
        mskp_tensor *views = arena_copy(&t.mem, values.views, t.net->params + 1, sizeof *views);
        for (size_t i = 1; i <= t.net->params; i++) ranges[i - 1].count = t.net->param[i].shape[0];
        /* All ranks end one index before `at`, so the first of these is on no rank. */
        size_t shape[MSKP_MAX_DIMS];
        memcpy(shape, q->shape, sizeof shape);
        shape[axis] = at;
        ranges[id - 1] = (mskp_mpi_range){0, at, axis};
        views[id] = at ? view_make(&t.mem, &t.r, MSKP_DTYPE_F32, q->ndim, shape, VIEW_BARE).view
                       : (mskp_tensor){.data = NULL};
        if (at) memset(views[id].data, 0, shape_elements(q->ndim, shape) * sizeof(float));
        const bool read = tensor_has(&t.model, id, roles ? roles : MSKP_ROLE_SCALE, NULL);
        mskp_error err = {0};
        mskp_status status =
            mskp_mpi_score(&all_ranks, t.graph, &how, ranges, set_by_id(t.net->params, views),
                           scores_of(t.units, scores), &err);
        require_same_answer(status, &err);
        REQUIRE(status == (read ? MSKP_ERROR_NO_DATA : MSKP_OK), "parameter %zu: %d, %s", id,
                status, err.text);
        for (size_t u = 0; read && u < t.units; u++) REQUIRE(scores[u] == 7, "scores changed");
        missing += read;
        /* Rank 0 has all, and the others have some. */
        const mskp_tensor some = views[id];
        if (all_ranks.ranks > 1 && at) {
            if (!all_ranks.rank) ranges[id - 1].count = length, views[id] = values.views[id];
            status =
                mskp_mpi_score(&all_ranks, t.graph, &how, ranges, set_by_id(t.net->params, views),
                               scores_of(t.units, scores), &err);
            require_same_answer(status, &err);
            REQUIRE(status == (read ? MSKP_ERROR_BAD_ARGUMENT : MSKP_OK), "parameter %zu: %d, %s",
                    id, status, err.text);
        }
        /* The last rank has a range of another axis. */
        const uint32_t other = (axis + 1) % q->ndim;
        if (all_ranks.ranks > 1 && at && other != axis && q->shape[other] > 1) {
            ranges[id - 1] = (mskp_mpi_range){0, at, axis};
            views[id] = some;
            if (all_ranks.rank == all_ranks.ranks - 1) {
                memcpy(shape, q->shape, sizeof shape);
                shape[other] = 1;
                ranges[id - 1] = (mskp_mpi_range){0, 1, other};
                views[id] = view_make(&t.mem, &t.r, MSKP_DTYPE_F32, q->ndim, shape, VIEW_BARE).view;
                memset(views[id].data, 0, shape_elements(q->ndim, shape) * sizeof(float));
            }
            status =
                mskp_mpi_score(&all_ranks, t.graph, &how, ranges, set_by_id(t.net->params, views),
                               scores_of(t.units, scores), &err);
            require_same_answer(status, &err);
            REQUIRE(status == (read ? MSKP_ERROR_BAD_ARGUMENT : MSKP_OK) &&
                        (!read || strstr(err.text, "of axis")),
                    "parameter %zu: %d, %s", id, status, err.text);
            mixed += read;
        }
        trial_end(&t);
    }
    REQUIRE(count < 100 || (missing > count / 5 && (all_ranks.ranks == 1 || mixed)),
            "%zu missing, %zu mixed only", missing, mixed);
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

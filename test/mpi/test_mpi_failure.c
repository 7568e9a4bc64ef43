/* One rank fails, or calls something else: all ranks say the same, and nothing has changed. */
#include "ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A network with everything that a call needs, and what the calls write. */
typedef struct stage {
    trial t;
    set values;
    pieces p;
    double *scores, *in;
    uint8_t *keep, *here, *flags;
    mskp_plan *plan, *made;
    mskp_mpi_range *small, *wanted;
    set got; /* all rows on every rank */
    mskp_move move;
    mskp_mpi_scoring how;
    mskp_taylor form;
    mskp_rule rule;
    float numbers[40], sum[40];
    mskp_error err;
    mskp_mpi mpi; /* where a call has room of its own, of this test alone */
} stage;

enum {
    SCORE,
    JOIN,
    SELECT,
    SCORE_SPREAD,
    SELECT_SPREAD,
    SCORE_GRADIENTS,
    SCORE_SPREAD_GRADIENTS,
    SAME,
    PLAN,
    SUM,
    CUT,
    MOVE,
    AGREE,
    FUNCTIONS
};
static const char *const NAMES[] = {"mskp_mpi_score",
                                    "mskp_mpi_join",
                                    "mskp_mpi_select",
                                    "mskp_mpi_score_spread",
                                    "mskp_mpi_select_spread",
                                    "mskp_mpi_score with gradients",
                                    "mskp_mpi_score_spread with gradients",
                                    "mskp_mpi_same",
                                    "mskp_mpi_shard_plan",
                                    "mskp_mpi_sum",
                                    "mskp_mpi_cut",
                                    "mskp_mpi_move",
                                    "mskp_mpi_agree"};

static mskp_status call(stage *s, int function)
{
    const size_t units = s->t.units, params = s->t.net->params;
    const float *part = s->numbers;
    /* The values as their own gradients. */
    const mskp_mpi_scoring gradients = {.values.roles = s->how.values.roles,
                                        .gradients = set_by_id(params, s->p.views),
                                        .form = s->form};
    switch (function) {
    case SCORE:
        return mskp_mpi_score(&s->mpi, s->t.graph, &s->how, s->p.ranges,
                              set_by_id(params, s->p.views), scores_of(units, s->scores), &s->err);
    case JOIN:
        return mskp_mpi_join(&s->mpi, s->t.graph, mask_of(units, s->here),
                             scores_of(units, s->scores), &s->err);
    case SELECT:
        return mskp_mpi_select(&s->mpi, s->t.graph, scores_of(units, s->in), &s->rule,
                               mask_of(units, s->keep), NULL, &s->err);
    case SCORE_SPREAD:
        return mskp_mpi_score_spread(
            &s->mpi, s->t.graph, &s->how, s->p.ranges, set_by_id(params, s->p.views),
            (mskp_mpi_spread){scores_of(units, s->scores), mask_of(units, s->flags)}, &s->err);
    case SELECT_SPREAD:
        return mskp_mpi_select_spread(
            &s->mpi, s->t.graph,
            (mskp_mpi_spread){scores_of(units, s->in), mask_of(units, s->here)}, &s->rule,
            mask_of(units, s->keep), NULL, &s->err);
    case SCORE_GRADIENTS:
        return mskp_mpi_score(&s->mpi, s->t.graph, &gradients, s->p.ranges,
                              set_by_id(params, s->p.views), scores_of(units, s->scores), &s->err);
    case SCORE_SPREAD_GRADIENTS:
        return mskp_mpi_score_spread(
            &s->mpi, s->t.graph, &gradients, s->p.ranges, set_by_id(params, s->p.views),
            (mskp_mpi_spread){scores_of(units, s->scores), mask_of(units, s->flags)}, &s->err);
    case SAME:
        return mskp_mpi_same(&s->mpi, s->t.graph, mask_of(units, s->here),
                             set_by_id(params, s->values.views), &s->err);
    case PLAN:
        mskp_plan_destroy(s->made);
        s->made = NULL;
        return mskp_mpi_shard_plan(&s->mpi, s->t.graph, mask_of(units, s->here), s->p.ranges,
                                   s->small, &s->made, &s->err);
    case SUM:
        return mskp_mpi_sum(&s->mpi, 1, &part, 40, s->sum, &s->err);
    case CUT:
        return mskp_mpi_cut(&s->mpi, s->plan, 1, &s->move, &s->err);
    case MOVE:
        return mskp_mpi_move(
            &s->mpi, s->t.graph, s->p.ranges, s->wanted, 1,
            &(mskp_move){set_by_id(params, s->p.views), set_by_id(params, s->got.views)}, &s->err);
    default:
        return mskp_mpi_agree(&s->mpi, MSKP_OK, &s->err);
    }
}

static void stage_open(stage *s, uint64_t seed, const net_options *options)
{
    const mskp_services services = heap_services();
    memset(s, 0, sizeof *s);
    trial_begin(&s->t, seed, options, &services);
    const size_t units = s->t.units;
    s->values = exact_set(&s->t, s->t.net);
    s->p = pieces_draw(&s->t, &s->values);
    s->got = set_copy(&s->t.mem, &s->values);
    set_pattern(&s->got, s->t.net, 5);
    s->wanted = arena_get(&s->t.mem, s->t.net->params, sizeof *s->wanted);
    for (size_t i = 0; i < s->t.net->params; i++)
        s->wanted[i].count = s->t.net->param[i + 1].shape[0];
    s->scores = arena_get(&s->t.mem, units, sizeof *s->scores);
    s->in = arena_get(&s->t.mem, units, sizeof *s->in);
    s->keep = arena_get(&s->t.mem, units, 1);
    s->here = arena_get(&s->t.mem, units, 1);
    s->flags = arena_get(&s->t.mem, units, 1);
    s->small = arena_get(&s->t.mem, s->t.net->params, sizeof *s->small);
    for (size_t u = 0; u < units; u++)
        s->scores[u] = s->in[u] = rng_real(&s->t.r, 0, 1), s->keep[u] = s->here[u] = 1;
    s->how.values =
        (mskp_scoring){.roles = MSKP_ROLES_UNIT, .magnitude = (mskp_magnitude)(seed % 2)};
    s->form = seed % 2 ? MSKP_TAYLOR_SUM_OF_SQUARES : MSKP_TAYLOR_SQUARED_SUM;
    s->rule = (mskp_rule){.use_threshold = 1, .threshold = 0.5};
    REQUIRE_OK(mskp_select(s->t.graph, scores_of(units, s->in), &s->rule, mask_of(units, s->keep),
                           NULL, NULL));
    REQUIRE_OK(mskp_plan_create(s->t.graph, mask_of(units, s->keep), &s->plan, NULL, NULL));
    memset(s->keep, 1, units);
    s->move.from = set_by_id(s->t.net->params, s->values.views);
    for (int i = 0; i < 40; i++) s->numbers[i] = (float)i, s->sum[i] = 7;
    REQUIRE_OK(mskp_mpi_open(MPI_COMM_WORLD, &services, &s->mpi, NULL));
}

static void stage_close(stage *s)
{
    mskp_mpi_close(&s->mpi);
    mskp_plan_destroy(s->plan);
    mskp_plan_destroy(s->made);
    trial_end(&s->t);
}

/* Everything that a call may write, in one number. */
static uint64_t state_of(const stage *s)
{
    uint64_t hash = 1;
    const size_t units = s->t.units;
    const struct {
        const void *bytes;
        size_t n;
    } parts[] = {{s->scores, units * sizeof *s->scores},
                 {s->keep, units},
                 {s->flags, units},
                 {s->sum, sizeof s->sum},
                 {s->small, s->t.net->params * sizeof *s->small},
                 {s->values.views, (s->t.net->params + 1) * sizeof *s->values.views}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (size_t k = 0; k < parts[i].n; k++)
            hash = (hash ^ ((const unsigned char *)parts[i].bytes)[k]) * 0x100000001b3u;
    for (size_t p = 1; p <= s->t.net->params; p++)
        for (size_t k = 0; k < s->values.buf[p].bytes; k++) {
            hash = (hash ^ s->values.buf[p].memory[k]) * 0x100000001b3u;
            hash = (hash ^ s->got.buf[p].memory[k]) * 0x100000001b3u;
        }
    return hash;
}

/* Every allocation of every function fails on one rank. */
void test_failures(void)
{
    const size_t count = test_count(8);
    size_t failures = 0;
    for (size_t k = 0; k < count; k++)
        for (int f = 0; f < FUNCTIONS; f++) {
            stage s;
            mskp_status status = MSKP_ERROR_NO_MEMORY;
            stage_open(&s, test_seed() * 1000000 + k,
                       &(net_options){.steps = 4,
                                      .residual = k % 3 == 1,
                                      .max_channels = k % 4 == 3 ? 200 : 0});
            const int odd = (int)rng_below(&s.t.r, (size_t)all_ranks.ranks);
            const uint64_t before = state_of(&s);
            const size_t live = heap.live;
            for (size_t at = 1; status; at++) {
                heap.calls = 0;
                heap.fail_at = all_ranks.rank == odd ? at : 0;
                status = call(&s, f);
                heap.fail_at = 0;
                require_same_answer(status, &s.err);
                if (!status) break;
                char text[20];
                (void)snprintf(text, sizeof text, "rank %d: ", odd);
                REQUIRE(status == MSKP_ERROR_NO_MEMORY, "%s: %s", NAMES[f], s.err.text);
                REQUIRE(!strncmp(s.err.text, text, strlen(text)), "%s: %s", NAMES[f], s.err.text);
                REQUIRE(state_of(&s) == before, "%s changed something", NAMES[f]);
                /* mskp_mpi_sum keeps its room where it has got one. */
                REQUIRE(heap.live == live + (s.mpi.room != NULL), "%s: %zu blocks, then %zu",
                        NAMES[f], live, heap.live);
                failures++;
            }
            stage_close(&s);
        }
    REQUIRE(count < 8 || failures > 500, "%zu failures only", failures);
}

/* Options that mean nothing together, and ranges that are none. */
static void require_refused_scoring(stage *s)
{
    const size_t params = s->t.net->params;
    const mskp_tensors views = set_by_id(params, s->p.views);
    const mskp_scores scores = scores_of(s->t.units, s->scores);
    const struct {
        mskp_mpi_scoring how;
        const char *sentence;
    } cases[] = {
        {{.form = MSKP_TAYLOR_SQUARED_SUM}, "form is 1, and there are no gradients"},
        {{.values.reduce = MSKP_REDUCE_MAX, .gradients = views}, "reduce is 2"},
        {{.values.magnitude = MSKP_MAGNITUDE_L2, .gradients = views}, "magnitude is 1"},
        {{.values.vote_threshold = 0.5, .gradients = views}, "vote_threshold is 0.5"},
        {{.gradients = views, .form = (mskp_taylor)5}, "form is 5, the last is 4"},
        {{.gradients = {params + 1, views.view}}, "gradients have"},
    };
    const uint64_t before = state_of(s);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const mskp_status status =
            mskp_mpi_score(&s->mpi, s->t.graph, &cases[i].how, s->p.ranges, views, scores, &s->err);
        require_same_answer(status, &s->err);
        REQUIRE(status && strstr(s->err.text, cases[i].sentence), "\"%s\" does not say \"%s\"",
                s->err.text, cases[i].sentence);
    }
    const mskp_mpi_range kept = s->p.ranges[0];
    const mskp_mpi_range odd[] = {{0, 1, 99}, {0, 100000, 0}, {100000, 1, 0}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        s->p.ranges[0] = odd[i];
        const int functions[] = {SCORE, SCORE_GRADIENTS, SCORE_SPREAD, PLAN, MOVE};
        for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
            const mskp_status status = call(s, functions[f]);
            require_same_answer(status, &s->err);
            REQUIRE(status == (i ? MSKP_ERROR_BAD_SHAPE : MSKP_ERROR_BAD_ARGUMENT), "%s: %d, %s",
                    NAMES[functions[f]], status, s->err.text);
        }
    }
    s->p.ranges[0] = kept;
    REQUIRE(state_of(s) == before, "something changed");
}

/* Ranks that call other functions, with other options, for other networks, or wrongly. */
void test_disagreement(void)
{
    const size_t count = test_count(10);
    for (size_t k = 0; k < count; k++) {
        stage s, other;
        stage_open(&s, test_seed() * 1000000 + k, NULL);
        stage_open(&other, test_seed() * 1000000 + k + 500, NULL);
        const int odd = (int)rng_below(&s.t.r, (size_t)all_ranks.ranks);
        const bool here = all_ranks.rank == odd, alone = all_ranks.ranks == 1;
        const uint64_t before = state_of(&s);
        mskp_status status;
        for (int f = 0; f < FUNCTIONS; f++)
            for (int g = 0; g < FUNCTIONS; g++) {
                if (f == g || alone) continue;
                status = call(&s, here ? g : f);
                require_same_answer(status, &s.err);
                REQUIRE(status == MSKP_ERROR_BAD_STATE && strstr(s.err.text, NAMES[f]) &&
                            strstr(s.err.text, NAMES[g]),
                        "%s and %s: %d, %s", NAMES[f], NAMES[g], status, s.err.text);
                REQUIRE(state_of(&s) == before, "something changed");
            }
        /* Another network: its graph in place of this one. */
        const bool equal = mskp_fingerprint(s.t.graph) == mskp_fingerprint(other.t.graph);
        for (int f = SCORE; f <= SAME && !equal && !alone; f++) {
            if ((f == SELECT || f == SELECT_SPREAD) && s.t.units == 0) continue;
            mskp_error *err = here ? &other.err : &s.err;
            /* Both know the same ranks. */
            const mskp_mpi kept = other.mpi;
            other.mpi = s.mpi;
            status = call(here ? &other : &s, f);
            other.mpi = kept;
            require_same_answer(status, err);
            REQUIRE(status == MSKP_ERROR_OTHER_NETWORK, "%s: %d, %s", NAMES[f], status, err->text);
            REQUIRE(state_of(&s) == before, "something changed");
        }
        /* Other options. */
        if (here && !alone) s.how.values.reduce = MSKP_REDUCE_MAX;
        status = alone ? MSKP_OK : call(&s, SCORE);
        require_same_answer(status, &s.err);
        REQUIRE(alone || (status == MSKP_ERROR_BAD_ARGUMENT && strstr(s.err.text, "reduce is 2")) ||
                    strstr(s.err.text, "on rank 0 it is 2"),
                "%d: %s", status, s.err.text);
        s.how.values.reduce = MSKP_REDUCE_SUM;
        /* Gradients on one rank, or other scores to which numbers are added. */
        if (!alone) {
            const mskp_taylor form = s.form;
            if (here) s.form = MSKP_TAYLOR_ABSOLUTE_SUM;
            status = call(&s, SCORE_GRADIENTS);
            require_same_answer(status, &s.err);
            REQUIRE(status == MSKP_ERROR_BAD_ARGUMENT && strstr(s.err.text, "form is"), "%d: %s",
                    status, s.err.text);
            s.form = form;
            const double score = s.t.units ? s.scores[0] : 0;
            if (here && s.t.units) s.scores[0] += 1;
            status = s.t.units ? call(&s, SCORE_GRADIENTS) : MSKP_ERROR_BAD_NUMBER;
            if (s.t.units) s.scores[0] = score;
            if (s.t.units) require_same_answer(status, &s.err);
            REQUIRE(status == MSKP_ERROR_BAD_NUMBER, "%d: %s", status, s.err.text);
        }
        require_refused_scoring(&s);
        if (here && !alone) s.rule.min_channels = 2;
        status = alone ? MSKP_OK : call(&s, SELECT);
        require_same_answer(status, &s.err);
        REQUIRE(alone || (status == MSKP_ERROR_BAD_ARGUMENT && strstr(s.err.text, "rule")),
                "%d: %s", status, s.err.text);
        s.rule.min_channels = 0;
        /* Scores that differ in one unit. */
        if (s.t.units && !alone) {
            char text[60];
            const size_t u = rng_below(&s.t.r, s.t.units);
            if (here) s.in[u] += 1;
            status = call(&s, SELECT);
            require_same_answer(status, &s.err);
            (void)snprintf(text, sizeof text, "rank %d: the score of unit %zu is ",
                           all_ranks.ranks == 2 ? 1 : odd, u);
            REQUIRE(status == MSKP_ERROR_BAD_NUMBER && strstr(s.err.text, text), "%s, not %s",
                    s.err.text, text);
            if (here) s.in[u] -= 1;
        }
        /* Arguments that one rank has wrong. */
        for (int f = SCORE; f <= MOVE; f++) {
            const stage kept = s;
            if (here) {
                s.scores = s.in = NULL;
                s.keep = s.here = s.flags = NULL;
                s.values.views = NULL;
                s.plan = NULL;
                s.wanted = NULL;
                if (f == SAME) s.t.graph = NULL;
            }
            status = f == SUM ? mskp_mpi_sum(&s.mpi, 1, here ? NULL : &(const float *){s.numbers},
                                             40, s.sum, &s.err)
                              : call(&s, f);
            const mskp_error err = s.err;
            const mskp_mpi mpi = s.mpi;
            mskp_plan *made = s.made;
            s = kept;
            s.mpi = mpi;
            s.made = made;
            require_same_answer(status, &err);
            REQUIRE(status || (!s.t.units && f != CUT && f != MOVE), "%s accepted NULL", NAMES[f]);
            REQUIRE(state_of(&s) == before || !status, "something changed");
        }
        /* A failure of the program's own. */
        mskp_error err = {MSKP_ERROR_NO_DATA, "the disk is full"};
        status = mskp_mpi_agree(&s.mpi, here ? MSKP_ERROR_NO_DATA : MSKP_OK, &err);
        require_same_answer(status, &err);
        REQUIRE(status == MSKP_ERROR_NO_DATA && strstr(err.text, "the disk is full"), "%s",
                err.text);
        stage_close(&other);
        stage_close(&s);
    }
}

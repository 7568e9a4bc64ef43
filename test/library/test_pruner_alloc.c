/*
 * Each allocation of the pruner's calls fails in turn: once, and together with all later ones.
 *
 * A call that runs out of memory returns MSKP_ERROR_NO_MEMORY, leaves the pruner and all sets as
 * they were, releases its blocks, and does the same as without a failure when it is called again.
 * Steps in which no mask is made allocate nothing, but for the first one after a mask.
 */
#include "guarded_memory/guarded_memory.h"

#include "mskp/pruner.h"
#include "small_network/small_network.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 3, PARAMS = 6, ROOM = 400, TEXT = 4096, STEPS = 16 };

/* Values, gradients and momentum; what a call may change is in `sets` and in the pruner. */
typedef struct trainee {
    heap heap;
    mskp_graph *graph;
    mskp_budget budget;
    uint8_t locked[64];
    mskp_pruner_options options;
    mskp_pruner *p;
    mskp_plan *plan; /* of the last mskp_pruner_prepare */
    struct {
        _Alignas(8) double number[SETS][ROOM]; /* also where doubles are aligned to 4 */
        mskp_tensor view[SETS][PARAMS + 1];
    } sets;
    /* What the call has made, apart from that. */
    char text[TEXT];
    size_t length;
    mskp_pruner *read;
    mskp_plan *read_plan;
} trainee;

static mskp_tensors set_of(trainee *t, int which)
{
    return set_by_id(PARAMS, t->sets.view[which]);
}

/* Rounds: steps 3 to 7, and 8 to 12; the mask is refreshed in steps 6 and 11. */
static void trainee_open(trainee *t, mskp_pull pull)
{
    memset(t, 0, sizeof *t);
    const mskp_services services = heap_services(&t->heap);
    rng r = {5};
    mskp_cost all;
    t->graph = small_network_make(SMALL_PLAIN, &services);
    must(t->graph && mskp_graph_counts(t->graph).params == PARAMS, "another network");
    must(!mskp_measure(t->graph, (mskp_mask){0}, &all, NULL, NULL), "no costs");
    for (int s = 0; s < SETS; s++) {
        size_t used = 0;
        for (uint32_t p = 1; p <= PARAMS; p++) {
            size_t shape[MSKP_MAX_DIMS], n = 1;
            const uint32_t ndim = mskp_param_shape(t->graph, (mskp_param){p}, shape);
            for (uint32_t d = 0; d < ndim; d++) n *= shape[d];
            must(used + n <= ROOM, "%zu numbers", used + n);
            t->sets.view[s][p] =
                (mskp_tensor){.data = t->sets.number[s] + used, .dtype = MSKP_DTYPE_F64};
            used += n;
        }
        for (size_t i = 0; i < ROOM; i++) t->sets.number[s][i] = rng_real(&r);
    }
    t->locked[mskp_graph_counts(t->graph).units - 1] = 1;
    t->budget = (mskp_budget){.kind = MSKP_BUDGET_BYTES, .limit = 0.8 * 4 * all.params};
    t->options = (mskp_pruner_options){
        .rule = {.remove_fraction = 0.3,
                 .nbudgets = 1,
                 .budgets = &t->budget,
                 .locked = {mskp_graph_counts(t->graph).units, t->locked}},
        .constants = {.way = MSKP_CONSTANTS_MERGE},
        .scoring = {.roles = MSKP_ROLES_UNIT},
        .use_normalizer = 1,
        .pull = pull,
        .fade = 1,
        .steps = STEPS,
        .sparse = 3.0 / STEPS,
        .sparse_strength = 0.01,
        .masked = 10.0 / STEPS,
        .rounds = 2,
        .refresh = 3,
    };
    must(!mskp_pruner_create(t->graph, &t->options, &t->p, NULL), "no pruner");
}

static void trainee_close(trainee *t)
{
    mskp_pruner_destroy(t->p);
    mskp_graph_destroy(t->graph);
    must(!t->heap.bad, "%s", t->heap.bad);
    must(!t->heap.live, "%zu blocks are left", t->heap.live);
}

/* ---- Calls ---- */

typedef mskp_status call(trainee *t, mskp_error *err);

static mskp_status call_create(trainee *t, mskp_error *err)
{
    return mskp_pruner_create(t->graph, &t->options, &t->read, err);
}

static mskp_status call_mark(trainee *t, mskp_error *err)
{
    return mskp_pruner_mark(t->p, set_of(t, 0), (mskp_mask){0}, err);
}

static mskp_status call_mark_given(trainee *t, mskp_error *err)
{
    uint8_t keep[64];
    for (size_t u = 0; u < sizeof keep; u++) keep[u] = u != 1;
    return mskp_pruner_mark(t->p, set_of(t, 0),
                            (mskp_mask){mskp_graph_counts(t->graph).units, keep}, err);
}

static mskp_status call_before_step(trainee *t, mskp_error *err)
{
    return mskp_pruner_before_step(t->p, 0.1, set_of(t, 0), set_of(t, 1), err);
}

static mskp_status call_gauge(trainee *t, mskp_error *err)
{
    mskp_pruner_gauges g;
    const mskp_status status = mskp_pruner_gauge(t->p, set_of(t, 0), &g, err);
    return status ? status : mskp_pruner_gauge_json(&g, TEXT, t->text, &t->length, err);
}

static mskp_status call_prepare(trainee *t, mskp_error *err)
{
    return mskp_pruner_prepare(t->p, set_of(t, 0), &t->plan, NULL, err);
}

/* A plan that is there survives a call that fails. */
static mskp_status call_prepare_again(trainee *t, mskp_error *err)
{
    mskp_plan *const plan = t->plan;
    const mskp_status status = call_prepare(t, err);
    must(!status || (t->plan == plan && mskp_plan_channels_kept(plan, (mskp_value){1}, 0, 2) == 2),
         "another plan");
    return status;
}

static mskp_status call_cut(trainee *t, mskp_error *err)
{
    mskp_move moves[SETS];
    for (int s = 0; s < SETS; s++) moves[s] = (mskp_move){.from = set_of(t, s)};
    return mskp_pruner_cut(t->p, SETS, moves, err);
}

static mskp_status call_write(trainee *t, mskp_error *err)
{
    return mskp_pruner_write(t->p, TEXT, t->text, &t->length, err);
}

static mskp_status call_read(trainee *t, mskp_error *err)
{
    if (!t->length) must(!call_write(t, err), "%s", err->text);
    return mskp_pruner_read(t->graph, &t->options, t->length, t->text, &t->read, &t->read_plan,
                            err);
}

static mskp_status call_read_without_plan(trainee *t, mskp_error *err)
{
    if (!t->length) must(!call_write(t, err), "%s", err->text);
    return mskp_pruner_read(t->graph, &t->options, t->length, t->text, &t->read, NULL, err);
}

enum { NO_STEPS = 0, FIRST_MASK = 3, REFRESHED = 6, FIRST_CUT = 8, SECOND_CUT = 13 };

/* `step`: before which step the call is made; the cut that is due there is not made yet, or, if
 * `cut` is set, it is. */
static const struct {
    const char *name;
    call *run;
    int step;
    bool cut, prepared, allocates_nothing;
} calls[] = {
    {"create", call_create, NO_STEPS, false, false, false},
    {"before_step, nothing to do", call_before_step, NO_STEPS, false, false, true},
    {"gauge without a mask", call_gauge, NO_STEPS, false, false, false},
    {"write", call_write, NO_STEPS, false, false, true},
    {"read without a cut", call_read, NO_STEPS, false, false, false},
    {"mark", call_mark, FIRST_MASK, false, false, false},
    {"mark a given mask", call_mark_given, FIRST_MASK, false, false, false},
    {"before_step with a mask", call_before_step, FIRST_MASK, false, false, false},
    {"before_step that prepares", call_before_step, FIRST_MASK + 1, false, false, false},
    {"before_step with a term", call_before_step, FIRST_MASK + 2, false, false, true},
    {"before_step with a new mask", call_before_step, REFRESHED, false, false, false},
    {"gauge", call_gauge, REFRESHED, false, false, false},
    {"prepare early", call_prepare, REFRESHED, false, false, false},
    {"read with a mask", call_read, REFRESHED, false, false, false},
    {"gauge before a cut", call_gauge, FIRST_CUT, false, false, false},
    {"prepare", call_prepare, FIRST_CUT, false, false, false},
    {"prepare again", call_prepare_again, FIRST_CUT, false, true, false},
    {"cut", call_cut, FIRST_CUT, false, false, false},
    {"cut after prepare", call_cut, FIRST_CUT, false, true, false},
    {"read after a cut", call_read, FIRST_CUT, true, false, false},
    {"read after a cut, no plan", call_read_without_plan, FIRST_CUT, true, false, false},
    {"before_step with a second mask", call_before_step, FIRST_CUT, true, false, false},
    {"second cut", call_cut, SECOND_CUT, false, false, false},
    {"before_step after all", call_before_step, SECOND_CUT, true, false, true},
};
enum { CALLS = sizeof calls / sizeof *calls };

/* Steps in which no mask is made ask for no memory, but for the first one after a mask. */
static void go_to(trainee *t, size_t c)
{
    mskp_error err = {0};
    bool masks = false;
    for (int step = 0; step <= calls[c].step; step++) {
        const bool there = step == calls[c].step;
        if (mskp_pruner_due(t->p) == MSKP_PRUNER_DUE_CUT && (!there || calls[c].cut))
            must(!call_cut(t, &err), "%s", err.text);
        if (there) break;
        const bool prepares = masks;
        masks = mskp_pruner_due(t->p) == MSKP_PRUNER_DUE_MASK || step == REFRESHED ||
                step == SECOND_CUT - 2;
        const size_t asked = t->heap.calls;
        must(!call_before_step(t, &err), "%s", err.text);
        must(t->heap.calls > asked ? masks || prepares : !masks, "step %d: %zu allocations", step,
             t->heap.calls - asked);
        const size_t then = t->heap.calls;
        for (size_t i = 0; i < ROOM; i++) t->sets.number[0][i] -= 0.01 * t->sets.number[1][i];
        must(!mskp_pruner_after_step(t->p, 0.1, set_of(t, 0), &err), "%s", err.text);
        must(t->heap.calls == then, "after step %d", step);
    }
    if (calls[c].prepared) must(!call_prepare(t, &err), "%s", err.text);
    t->heap.calls = 0;
}

/* All that is there after a call, in one number. */
static uint64_t result_of(trainee *t)
{
    char text[TEXT];
    size_t length = 0;
    uint64_t hash = hash_bytes(HASH_START, t->text, t->length);
    must(!mskp_pruner_write(t->p, TEXT, text, &length, NULL), "no text");
    hash = hash_bytes(hash, text, length);
    hash = hash_bytes(hash, t->sets.number, sizeof t->sets.number);
    for (uint32_t p = 1; p <= PARAMS; p++)
        hash = hash_bytes(hash, t->sets.view[0][p].shape, sizeof t->sets.view[0][p].shape);
    const uint64_t graph = graph_fingerprint(mskp_pruner_graph(t->p));
    hash = hash_bytes(hash, &graph, sizeof graph);
    for (uint32_t p = 1; t->plan && p <= PARAMS; p++) {
        size_t n = 0;
        const uint32_t *list = mskp_plan_param_kept(t->plan, (mskp_param){p}, 0, &n);
        if (list) hash = hash_bytes(hash, list, n * sizeof *list);
    }
    if (!t->read) return hash;
    must(!mskp_pruner_write(t->read, TEXT, text, &length, NULL), "no text");
    return hash_bytes(hash, text, length);
}

/* A cut whose constants are in the values already goes on with the next call: the one thing that a
 * call may leave half done. */
static bool is_half_done(const trainee *t)
{
    size_t length;
    return mskp_pruner_write(t->p, 0, NULL, &length, NULL) == MSKP_ERROR_BAD_STATE;
}

/* Frees what the call has made. */
static void forget(trainee *t)
{
    mskp_pruner_destroy(t->read);
    mskp_plan_destroy(t->read_plan);
    t->read = NULL;
    t->read_plan = NULL;
}

/* The n-th allocation fails, and then the call goes well. n = 0: no failure. Returns whether it
 * failed; *result: what is there at the end. */
static bool attempt(size_t c, mskp_pull pull, size_t n, bool for_good, uint64_t *result)
{
    static trainee t, was;
    mskp_error err = {0};
    trainee_open(&t, pull);
    go_to(&t, c);
    if (calls[c].run == call_read || calls[c].run == call_read_without_plan)
        must(!call_write(&t, &err), "%s", err.text);
    /* What cuts without being told of an earlier plan makes it void, also if it fails. */
    const bool plan_lost = calls[c].run == call_cut;
    if (plan_lost) t.plan = NULL;
    const uint64_t before = result_of(&t);
    const size_t live = t.heap.live;
    t.heap.fail_at = n;
    t.heap.for_good = for_good;
    was = t;
    mskp_status status = calls[c].run(&t, &err);
    const bool fired = t.heap.fired;
    /* A step does without a prepared penalty, with the same result. */
    const bool unprepared = calls[c].run == call_before_step && status == MSKP_OK;
    if (fired && !unprepared) {
        must(status == MSKP_ERROR_NO_MEMORY && err.status == status && err.text[0],
             "%s, allocation %zu: %d (%s)", calls[c].name, n, (int)status, err.text);
        t.heap.fail_at = 0;
        const bool half = calls[c].run == call_cut && is_half_done(&t);
        if (half) memcpy(was.sets.number[0], t.sets.number[0], sizeof was.sets.number[0]);
        must(!memcmp(&was.sets, &t.sets, sizeof t.sets), "%s: a set changed, at %zu", calls[c].name,
             n);
        must(was.read == t.read && was.read_plan == t.read_plan && was.length == t.length,
             "%s: changed something, at %zu", calls[c].name, n);
        must(half || result_of(&t) == before, "%s: the pruner changed, at %zu", calls[c].name, n);
        must(half || t.heap.live == live || (plan_lost && calls[c].prepared && t.heap.live < live),
             "%s, allocation %zu: %zu blocks instead of %zu", calls[c].name, n, t.heap.live, live);
        status = calls[c].run(&t, &err);
    }
    must(status == MSKP_OK, "%s: %d: %s", calls[c].name, (int)status, err.text);
    must(!calls[c].allocates_nothing || !t.heap.calls, "%s: %zu allocations", calls[c].name,
         t.heap.calls);
    *result = result_of(&t);
    forget(&t);
    trainee_close(&t);
    return fired;
}

START_TEST(every_allocation_fails)
{
    size_t failures = 0;
    for (int pull = MSKP_PULL_PROXIMAL; pull <= MSKP_PULL_DEADLINE; pull++)
        for (size_t c = 0; c < CALLS; c++) {
            uint64_t whole, result;
            must(!attempt(c, (mskp_pull)pull, 0, false, &whole), "no failure was asked for");
            /* Under valgrind, some of many. */
            const size_t each = scaled(100) < 50 ? 29 : 1;
            size_t n = 1;
            for (bool fired = false;; n += each) {
                for (int for_good = 0; for_good < 2; for_good++) {
                    fired = attempt(c, (mskp_pull)pull, n, for_good, &result);
                    must(result == whole, "%s: another result after failure %zu", calls[c].name, n);
                    failures += fired;
                }
                if (!fired) break;
            }
            must((n == 1) == calls[c].allocates_nothing, "%s: %zu allocations", calls[c].name,
                 n - 1);
            if (getenv("MSKP_TEST_VERBOSE")) printf("%s: %zu allocations\n", calls[c].name, n - 1);
        }
    printf("%d calls, %zu failed allocations\n", CALLS, failures);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pruner_alloc");
    TCase *tests = tcase_create("pruner_alloc");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, every_allocation_fails);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

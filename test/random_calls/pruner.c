/* Pruners with any options, sets and order of calls, and a heap that fails. */
#include "mskp/pruner.h"
#include "caller.h"

#include <math.h>
#include <string.h>

enum { SETS = 2, MOST_CALLS = 24 };

/* A pruner in use. Its sets are copies of the caller's views, which cuts change. */
typedef struct use {
    user *u;
    mskp_pruner *p;
    mskp_pruner_options options;
    mskp_tensor *set[SETS]; /* values, gradients */
    char *text;             /* its state */
    size_t length;
    bool begun; /* mskp_pruner_before_step went well, and its step is not over */
    bool half;  /* constants were moved, and the cut is still to be done */
} use;

/* ---- Options ---- */

/* Scores by hand; refuses now and then. */
static mskp_status score(void *context, const mskp_graph *graph, mskp_tensors values,
                         mskp_scores scores, mskp_error *err)
{
    user *u = context;
    (void)graph;
    if (rng_chance(u->r, 0.1) || values.n != u->n.params) {
        *err = (mskp_error){.status = MSKP_ERROR_UNSUPPORTED, .text = "no scores today"};
        return err->status;
    }
    for (size_t i = 0; i < scores.n; i++) scores.unit[i] = (double)rng_below(u->r, 16) / 8;
    if (scores.n && rng_chance(u->r, 0.1)) scores.unit[0] = (double)NAN;
    return MSKP_OK;
}

static double any_part(user *u)
{
    return rng_chance(u->r, 0.03) ? 2 : (double)rng_below(u->r, 5) / 8;
}

static mskp_pruner_options any_options(user *u)
{
    mskp_pruner_options o = {
        .rule = rng_chance(u->r, 0.5) ? (mskp_rule){.remove_fraction = 0.25}
                                      : any_rule(u, random_keep(u)),
        .scoring = {.magnitude = (mskp_magnitude)rng_below(u->r, 2),
                    .reduce = (mskp_reduce)rng_below(u->r, 5),
                    .roles = (uint32_t)rng_below(u->r, MSKP_ROLES_UNIT + 1)},
        .use_normalizer = rng_chance(u->r, 0.3),
        .normalizer = (mskp_normalizer)rng_below(u->r, 8),
        .score = rng_chance(u->r, 0.2) ? score : NULL,
        .context = u,
        .constants = {.way = (mskp_constants_way)rng_below(u->r, 4),
                      .zeroed = (uint32_t)rng_below(u->r, MSKP_ROLES_UNIT + 1)},
        .penalty = {.kind = (mskp_penalty_kind)rng_below(u->r, 2),
                    .roles = (uint32_t)rng_below(u->r, MSKP_ROLES_UNIT + 1),
                    .knee = (double)rng_below(u->r, 3) / 2,
                    .skip_missing = rng_chance(u->r, 0.8)},
        .pull = (mskp_pull)rng_below(u->r, 3),
        .fade = rng_chance(u->r, 0.3),
        .strength = (double)rng_below(u->r, 3) / 4,
        .momentum = (double)rng_below(u->r, 3) / 4,
        .gradient_scale = (double)rng_below(u->r, 3) - 1,
        .steps = rng_from(u->r, 1, 12),
        .wait = any_part(u) / 4,
        .sparse = any_part(u) / 2,
        .sparse_strength = rng_chance(u->r, 0.9) ? (double)rng_from(u->r, 1, 3) / 4 : 0,
        .masked = any_part(u),
        .settle = any_part(u),
        .rounds = (uint32_t)rng_below(u->r, 4),
        .schedule = (mskp_schedule)rng_below(u->r, 3),
        .refresh = rng_below(u->r, 3),
        .hysteresis = (uint32_t)rng_below(u->r, 3)};
    if (rng_chance(u->r, 0.2)) widen_rule(u, &o.rule);
    if (rng_chance(u->r, 0.05)) spoil(u->r, &o.scoring, sizeof o.scoring);
    if (rng_chance(u->r, 0.05)) spoil(u->r, &o.constants, sizeof o.constants);
    if (rng_chance(u->r, 0.05)) spoil(u->r, &o.penalty, offsetof(mskp_penalty, unit_weight));
    if (rng_chance(u->r, 0.05))
        spoil(u->r, &o.pull, sizeof o - offsetof(mskp_pruner_options, pull));
    return o;
}

/* ---- What every call keeps ---- */

static mskp_tensors tensors(const use *c, int which)
{
    return set_by_id(c->u->n.params, c->set[which]);
}

/* The state as text; NULL: a cut is half done. */
static char *state(use *c, const mskp_pruner *p, size_t *length)
{
    size_t again = 0;
    mskp_error err = {0};
    *length = 0;
    const mskp_status status = mskp_pruner_write(p, 0, NULL, length, &err);
    REQUIRE(status == (c->half ? MSKP_ERROR_BAD_STATE : MSKP_OK), "%s", err.text);
    if (status) return NULL;
    char *text = arena_get(&c->u->mem, *length + 2, 1);
    text[*length + 1] = 0x5A;
    REQUIRE(mskp_pruner_write(p, *length, text, &again, &err) == MSKP_ERROR_BAD_ARGUMENT && !*text,
            "no room for the 0");
    REQUIRE_OK(mskp_pruner_write(p, *length + 1, text, &again, NULL));
    REQUIRE(again == *length && strlen(text) == again && text[again + 1] == 0x5A,
            "%zu bytes, %zu said", again, *length);
    return text;
}

/* All that a refused call must leave: bytes of the sets, their views, and the state. */
typedef struct snapshot {
    unsigned char **bytes, **slopes;
    mskp_tensor *set[SETS];
    size_t live;
} snapshot;

static snapshot remember(use *c)
{
    user *u = c->u;
    snapshot s = {.bytes = bytes_of(u, NULL), .live = u->heap->live};
    s.slopes = arena_get(&u->mem, u->n.params + 1, sizeof *s.slopes);
    for (size_t p = 1; p <= u->n.params; p++)
        if (u->slopes[p].memory)
            s.slopes[p] = arena_copy(&u->mem, u->slopes[p].memory, u->slopes[p].bytes, 1);
    for (int k = 0; k < SETS; k++) s.set[k] = copy_of(u, c->set[k]);
    c->text = state(c, c->p, &c->length);
    return s;
}

static void require_unchanged(use *c, const snapshot *s, const char *call)
{
    const user *u = c->u;
    size_t length;
    require_untouched(u, s->bytes, call);
    for (size_t p = 1; p <= u->n.params; p++)
        REQUIRE(!s->slopes[p] || !memcmp(s->slopes[p], u->slopes[p].memory, u->slopes[p].bytes),
                "%s: gradient %zu changed", call, p);
    for (int k = 0; k < SETS; k++)
        REQUIRE(!memcmp(s->set[k], c->set[k], (u->n.params + 1) * sizeof **s->set),
                "%s: views of set %d changed", call, k);
    const char *text = state(c, c->p, &length);
    REQUIRE(!text == !c->text && (!text || !strcmp(text, c->text)), "%s: changed\n%sto\n%s", call,
            c->text, text);
}

/* A refusal of a call that keeps no memory. */
static void refused(use *c, mskp_status status, const mskp_error *err, const snapshot *s,
                    const char *call)
{
    require_refusal(c->u, status, err, s->live);
    require_unchanged(c, s, call);
}

/* ---- Calls ---- */

static double any_rate(user *u)
{
    return rng_chance(u->r, 0.02) ? (double)NAN : (double)rng_below(u->r, 4) / 4;
}

/* One tensor of the set is wrong now and then. */
static mskp_tensors any_set(use *c, int which)
{
    mskp_tensor *views = copy_of(c->u, c->set[which]);
    if (rng_chance(c->u->r, 0.05)) (void)spoil_set(c->u, views);
    return set_by_id(wrong_or(c->u, c->u->n.params), views);
}

static void call_before(use *c)
{
    user *u = c->u;
    const double rate = any_rate(u);
    const bool cut = mskp_pruner_due(c->p) == MSKP_PRUNER_DUE_CUT;
    const snapshot s = remember(c);
    mskp_error err = {0};
    const mskp_tensors values = any_set(c, 0);
    const mskp_tensors slopes = rng_chance(u->r, 0.1) ? (mskp_tensors){0, NULL} : any_set(c, 1);
    endanger(u);
    const mskp_status status = mskp_pruner_before_step(c->p, rate, values, slopes, &err);
    REQUIRE(!cut || isnan(rate) || status == MSKP_ERROR_BAD_STATE, "%d %s", (int)status, err.text);
    if (status) refused(c, status, &err, &s, "before_step");
    limited_heap_fail(u->heap, 0);
    if (status) return;
    c->begun = true;
    REQUIRE(mskp_pruner_due(c->p) == MSKP_PRUNER_DUE_NOTHING, "something is due in a step");
    require_untouched(u, s.bytes, "before_step");
}

static void call_after(use *c)
{
    user *u = c->u;
    const double rate = any_rate(u);
    const bool cut = mskp_pruner_due(c->p) == MSKP_PRUNER_DUE_CUT;
    const snapshot s = remember(c);
    mskp_error err = {0};
    const size_t asked = u->heap->asked;
    const mskp_tensors values = any_set(c, 0);
    const mskp_status status = mskp_pruner_after_step(c->p, rate, values, &err);
    REQUIRE(u->heap->asked == asked, "after_step allocates");
    REQUIRE(isnan(rate) || (c->begun && !cut) || status == MSKP_ERROR_BAD_STATE, "%d %s",
            (int)status, err.text);
    if (status) refused(c, status, &err, &s, "after_step");
    if (!status) c->begun = false;
}

static void call_step(use *c)
{
    if (!c->begun) call_before(c);
    if (c->begun) call_after(c);
}

static void call_mark(use *c)
{
    user *u = c->u;
    const bool due = mskp_pruner_due(c->p) == MSKP_PRUNER_DUE_MASK;
    const snapshot s = remember(c);
    mskp_error err = {0};
    mskp_mask keep = {0, NULL};
    if (rng_chance(u->r, 0.5))
        keep =
            mask_of(wrong_or(u, mskp_graph_counts(mskp_pruner_graph(c->p)).units), random_keep(u));
    const mskp_tensors values = any_set(c, 0);
    endanger(u);
    const mskp_status status = mskp_pruner_mark(c->p, values, keep, &err);
    REQUIRE(due || status == MSKP_ERROR_BAD_STATE, "%d %s", (int)status, err.text);
    if (status) refused(c, status, &err, &s, "mark");
    limited_heap_fail(u->heap, 0);
    const mskp_mask mask = mskp_pruner_mask(c->p);
    REQUIRE(status || mask.unit, "no mask");
    for (size_t i = 0; i < mask.n; i++)
        REQUIRE(mask.unit[i] <= 1 && (status || !keep.unit || !mask.unit[i] == !keep.unit[i]),
                "unit %zu: %d", i, mask.unit[i]);
}

/* A cut is due, or there is a mask. */
static void require_cut_allowed(const use *c, mskp_status status, const mskp_error *err)
{
    const bool due = mskp_pruner_due(c->p) == MSKP_PRUNER_DUE_CUT;
    REQUIRE(due || mskp_pruner_mask(c->p).unit || status == MSKP_ERROR_BAD_STATE, "%d %s",
            (int)status, err->text);
}

/* The network was cut. */
static void was_cut(use *c, size_t units, bool here)
{
    const mskp_counts n = mskp_graph_counts(mskp_pruner_graph(c->p));
    REQUIRE(n.units <= units && n.params == c->u->n.params, "%zu units, %zu before", n.units,
            units);
    REQUIRE(!mskp_pruner_mask(c->p).unit, "a mask after the cut");
    REQUIRE(here, "cut, and not said");
    c->begun = c->half = false;
}

/* Plans a cut, and carries it out now and then. */
static void call_prepare(use *c)
{
    user *u = c->u;
    const size_t units = mskp_graph_counts(mskp_pruner_graph(c->p)).units;
    mskp_plan *plan = NULL;
    const mskp_constants *constants = NULL;
    mskp_error err = {0};
    const bool again = rng_chance(u->r, 0.3);
    const snapshot s = remember(c);
    const mskp_tensors values = any_set(c, 0);
    endanger(u);
    mskp_status status = mskp_pruner_prepare(c->p, values, &plan, &constants, &err);
    require_cut_allowed(c, status, &err);
    if (status) refused(c, status, &err, &s, "prepare");
    limited_heap_fail(u->heap, 0);
    if (status) return;
    REQUIRE(plan && constants, "no plan");
    require_unchanged(c, &s, "prepare");
    if (again || c->half) return;
    const mskp_move moves[SETS] = {{.from = tensors(c, 0)}, {.from = tensors(c, 1)}};
    status = mskp_constants_apply(constants, plan, moves[0].from, NULL);
    if (!status) status = mskp_plan_cut(plan, SETS, moves, NULL);
    if (status) { /* the heap is small; nothing tells the pruner */
        (void)bytes_of(u, s.bytes);
        return;
    }
    status = mskp_pruner_cut_done(c->p, &err);
    REQUIRE(!status, "%s", err.text);
    was_cut(c, units, true);
}

static void call_done(use *c)
{
    const size_t live = c->u->heap->live;
    mskp_error err = {0};
    mskp_plan *plan = NULL;
    if (rng_chance(c->u->r, 0.5) && c->begun && !c->half &&
        !mskp_pruner_prepare(c->p, tensors(c, 0), &plan, NULL, &err)) {
        call_after(c);
        if (c->begun) return;
    } else if (mskp_pruner_due(c->p) != MSKP_PRUNER_DUE_NOTHING || mskp_pruner_mask(c->p).unit) {
        return; /* there may be a plan */
    }
    /* No plan is there, or a step was taken since. */
    const mskp_status status = mskp_pruner_cut_done(c->p, &err);
    REQUIRE(status == MSKP_ERROR_BAD_STATE, "%d", (int)status);
    require_sentence(status, &err);
    REQUIRE(c->u->heap->live <= live, "blocks are left");
}

static void call_cut(use *c)
{
    user *u = c->u;
    const size_t units = mskp_graph_counts(mskp_pruner_graph(c->p)).units;
    const bool due = mskp_pruner_due(c->p) == MSKP_PRUNER_DUE_CUT;
    const snapshot s = remember(c);
    size_t length;
    mskp_error err = {0};
    mskp_tensor *wrong = copy_of(u, c->set[1]);
    const bool spoiled = rng_chance(u->r, 0.2) && spoil_set(u, wrong);
    const mskp_move moves[SETS] = {{.from = tensors(c, 0)},
                                   {.from = set_by_id(u->n.params, spoiled ? wrong : c->set[1])}};
    endanger(u);
    const mskp_status status = mskp_pruner_cut(c->p, SETS, moves, &err);
    REQUIRE(due || status == MSKP_ERROR_BAD_STATE, "%d %s", (int)status, err.text);
    if (!status) {
        limited_heap_fail(u->heap, 0);
        REQUIRE(!spoiled, "a wrong set was cut");
        was_cut(c, units, due);
        return;
    }
    require_refusal(u, status, &err, u->heap->live);
    REQUIRE(due || u->heap->live == s.live, "blocks are left");
    if (!c->half && mskp_pruner_write(c->p, 0, NULL, &length, NULL)) {
        /* The one thing that may be left half done: the constants are in the values. */
        c->half = true;
        for (int k = 0; k < SETS; k++)
            REQUIRE(!memcmp(s.set[k], c->set[k], (u->n.params + 1) * sizeof **s.set),
                    "views of a half cut");
        return;
    }
    require_unchanged(c, &s, "cut");
}

static void call_gauge(use *c)
{
    user *u = c->u;
    mskp_pruner_gauges g = {.step = 777777};
    mskp_error err = {0};
    char text[3000];
    size_t length;
    const snapshot s = remember(c);
    const mskp_tensors values = any_set(c, 0);
    endanger(u);
    const mskp_status status = mskp_pruner_gauge(c->p, values, &g, &err);
    if (status) refused(c, status, &err, &s, "gauge");
    limited_heap_fail(u->heap, 0);
    require_unchanged(c, &s, "gauge");
    REQUIRE(u->heap->live == s.live, "gauges keep memory");
    REQUIRE(!status || g.step == 777777, "gauges of a refused call");
    if (status) return;
    REQUIRE((unsigned)g.stage <= MSKP_PRUNER_STAGE_TUNE && g.round <= g.rounds &&
                g.marked <= g.units && g.left.zeros <= g.left.elements &&
                g.kept.zeros <= g.kept.elements,
            "stage %u, round %u of %u, %zu of %zu units", (unsigned)g.stage, g.round, g.rounds,
            g.marked, g.units);
    REQUIRE(!(g.macs_after > g.macs) && !(g.params_after > g.params) && !(g.macs > 1),
            "%g MACs, then %g", g.macs, g.macs_after);
    REQUIRE(g.ready || g.marked, "nothing is marked, and not ready");
    REQUIRE_OK(mskp_pruner_gauge_json(&g, sizeof text, text, &length, NULL));
    for (size_t i = 0; i < length; i++) REQUIRE(text[i] >= ' ' && text[i] < 127, "byte %zu", i);
    REQUIRE(length > 2 && text[0] == '{' && text[length - 1] == '}', "%s", text);
}

/* What was written is read, gives the same text, and goes on in place of the first. */
static void call_read(use *c)
{
    user *u = c->u;
    mskp_pruner *q = NULL;
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    size_t length, again;
    const size_t live = u->heap->live;
    char *text = state(c, c->p, &length);
    if (!text) return;
    const bool cut = mskp_pruner_graph(c->p) != u->g, damaged = rng_chance(u->r, 0.2);
    if (damaged) text[rng_below(u->r, length)] ^= (char)(1u << rng_below(u->r, 7));
    const size_t given = rng_chance(u->r, 0.1) ? rng_below(u->r, length) : length;
    endanger(u);
    const mskp_status status = mskp_pruner_read(u->g, &c->options, given, text, &q, &plan, &err);
    REQUIRE(!damaged || status, "a damaged text was read");
    if (status) {
        require_refusal(u, status, &err, live);
        REQUIRE(status == MSKP_ERROR_NO_MEMORY || damaged || given < length, "%s\n%s", err.text,
                text);
        REQUIRE(!q && !plan, "a pruner, and %s", err.text);
        return;
    }
    limited_heap_fail(u->heap, 0);
    REQUIRE(given == length && (plan != NULL) == cut, "a part was read, or no plan");
    const char *same = state(c, q, &again);
    REQUIRE(again == length && !strcmp(same, text), "read from\n%swritten as\n%s", text, same);
    for (uint32_t p = 1; plan && p <= u->n.params; p++) {
        size_t shape[MSKP_MAX_DIMS], n;
        const uint32_t ndim = mskp_param_shape(mskp_pruner_graph(q), (mskp_param){p}, shape);
        for (uint32_t d = 0; d < ndim; d++)
            if (mskp_plan_param_kept(plan, (mskp_param){p}, d, &n) || n)
                REQUIRE(n == shape[d], "parameter %u: %zu, %zu", p, n, shape[d]);
    }
    mskp_plan_destroy(plan);
    mskp_pruner_destroy(c->p);
    c->p = q;
}

static bool created(use *c)
{
    user *u = c->u;
    const size_t live = u->heap->live;
    mskp_error err = {0};
    endanger(u);
    const mskp_status status = mskp_pruner_create(u->g, &c->options, &c->p, &err);
    if (status) {
        require_refusal(u, status, &err, live);
        REQUIRE(!c->p, "a pruner, and %s", err.text);
    }
    limited_heap_fail(u->heap, 0);
    return !status;
}

void call_pruner(user *u)
{
    static void (*const all[])(use *) = {call_step,  call_step,    call_step,  call_step,
                                         call_step,  call_before,  call_after, call_mark,
                                         call_gauge, call_prepare, call_done,  call_read};
    use c = {.u = u, .options = any_options(u)};
    const size_t live = u->heap->live;
    unsigned char **was = bytes_of(u, NULL);
    c.set[0] = copy_of(u, u->values);
    c.set[1] = copy_of(u, u->others);
    if (!created(&c)) return;
    for (size_t n = rng_from(u->r, 4, MOST_CALLS); n > 0; n--) {
        const bool cut = mskp_pruner_due(c.p) == MSKP_PRUNER_DUE_CUT;
        if (cut ? rng_chance(u->r, 0.5) : rng_chance(u->r, 0.05))
            call_cut(&c);
        else
            all[rng_below(u->r, sizeof all / sizeof *all)](&c);
    }
    mskp_pruner_destroy(c.p);
    REQUIRE(u->heap->live == live, "%zu blocks are left", u->heap->live - live);
    (void)bytes_of(u, was);
}

/*
 * Networks made of bytes. The first byte chooses how:
 *
 *   operators   a random recipe, whose choices are the bytes', against the model and the laws
 *   constants   such a recipe, some units are removed, and their constants are moved: against
 *               the laws
 *   primitives  fresh, pick, concat, tie, pin, bind, macs in any order, against the model
 *   calls       the public interface with any arguments, good or absurd, and a heap of limited size
 */
#include <math.h>
#include <string.h>

#include "by_id/by_id.h"
#include "failed.h"
#include "fuzz.h"
#include "interpreter/constants_trial.h"
#include "interpreter/walk.h"
#include "random_calls/random_calls.h"

/* ---- Laws ---- */

static void try_cut(trial *t)
{
    const uint8_t *keep = random_mask(t);
    const double d = zero_and_cut(t, keep, net_random_inputs(t->net, &t->mem, &t->r));
    REQUIRE(isnan(d) || d <= 1e-12, "outputs differ by %g", d);
}

static void try_exact(trial *t)
{
    const uint32_t roles = (uint32_t)rng_below(&t->r, 16);
    uint8_t *keep = random_mask(t), *exact = arena_get(&t->mem, t->units, 1);
    double **inputs = net_random_inputs(t->net, &t->mem, &t->r);
    REQUIRE_OK(mskp_exact(t->graph, roles, mask_of(t->units, exact), NULL));
    if (!remove_only(t, exact, 1, keep)) return;
    const double d = cut_difference(t, keep, roles, inputs);
    REQUIRE(isnan(d) || d <= 1e-12, "roles %u: off by %g", roles, d);
}

static void try_select(trial *t)
{
    const mskp_rule rule = random_rule(t);
    (void)require_selected(t, random_scores(t), &rule);
}

static void try_law(trial *t, size_t which)
{
    switch (which) {
    case 0:
        try_cut(t);
        break;
    case 1:
        try_exact(t);
        break;
    case 2:
        (void)require_twice_is_once(t, random_mask(t));
        break;
    case 3:
        require_sets_move_alike(t, random_mask(t));
        break;
    case 4:
        require_costs(t, random_mask(t));
        break;
    case 5:
        try_select(t);
        break;
    default:
        require_consistent(t->graph);
    }
}

static void operators(rng *r)
{
    trial t;
    limited_heap p = {.most = SIZE_MAX};
    const mskp_services services = limited_heap_services(&p);
    const size_t law = rng_below(r, 7);
    const net_options options = {
        .steps = rng_from(r, 1, 6), .max_channels = rng_from(r, 2, 6), .inexact = law == 1};
    trial_steered(&t, *r, &options, &services);
    require_model(t.graph, &t.model);
    try_law(&t, law);
    trial_end(&t);
    REQUIRE(!p.live, "%zu blocks are left", p.live);
}

/* ---- Constants ---- */

static void require_moved(constants_trial *h)
{
    double room[NET_MAX_NODES];
    ratios r = {room, 0, NET_MAX_NODES};
    const double d = outputs_off(h);
    if (h->total.exact) REQUIRE(isnan(d) || d <= 1e-12, "said to be exact, off by %g", d);
    if (!isnan(d)) (void)check_bounds(h, &r);
    require_consistent(h->s.small);
}

static void constants(rng *r)
{
    constants_trial h = {0}, b;
    limited_heap p = {.most = SIZE_MAX};
    const mskp_services services = limited_heap_services(&p);
    const uint32_t roles = (uint32_t)rng_below(r, MSKP_ROLES_UNIT + 1);
    const bool by_library = rng_chance(r, 0.5), again = rng_chance(r, 0.25);
    const mskp_constants_desc desc = {.way = (mskp_constants_way)rng_below(r, 4),
                                      .zeroed = by_library ? roles : 0,
                                      .merge_above = (double)rng_below(r, 4) / 4};
    const net_options options = {.steps = rng_from(r, 1, 6),
                                 .max_channels = rng_from(r, 2, 6),
                                 .inexact = rng_chance(r, 0.2),
                                 .constants = true};
    const size_t spare = r->left / 4; /* for what comes after the recipe */
    rng first = *r;
    first.left -= spare;
    trial_steered(&h.t, first, &options, &services);
    h.t.r.left += spare;
    constants_trial_open(&h);
    h.keep = random_mask(&h.t);
    move_constants(&h, &desc, roles);
    require_moved(&h);
    if (again) {
        second_round_begin(&b, &h);
        if (second_round_remove(&b)) {
            move_constants(&b, &desc, roles);
            require_moved(&b);
            round_end(&b);
        }
        second_round_end(&b, &h);
    }
    constants_trial_end(&h);
    REQUIRE(!p.live, "%zu blocks are left", p.live);
}

/* ---- Primitives ---- */

enum { MOST_STEPS = 64, MOST_VALUES = 16, MOST_CHANNELS = 20 };

static mskp_value handle(size_t v)
{
    return (mskp_value){(uint32_t)v};
}

static size_t any(trial *t)
{
    return t->model.values - rng_below(&t->r, t->model.values);
}

/* Both make a value with this number. */
static void agree(const trial *t, mskp_value made, size_t expected)
{
    mskp_error err = {0};
    if (!made.id) (void)mskp_graph_finish(t->graph, &err);
    REQUIRE(made.id == expected, "value %u, %zu expected: %s", made.id, expected, err.text);
}

static void describe_fresh(trial *t)
{
    const size_t n = rng_from(&t->r, 1, 6);
    agree(t, mskp_fresh(t->graph, NULL, n, 0, NULL), model_fresh(&t->model, n, 0, NULL));
}

static void describe_pick(trial *t)
{
    size_t positions[8];
    const size_t from = any(t), n = rng_from(&t->r, 1, 8);
    for (size_t i = 0; i < n; i++) positions[i] = rng_below(&t->r, t->model.value[from].n);
    agree(t, mskp_pick(t->graph, NULL, handle(from), n, positions),
          model_pick(&t->model, from, n, positions));
}

static void describe_concat(trial *t)
{
    size_t values[3], n = rng_from(&t->r, 1, 3), total = 0;
    mskp_value same[3];
    for (size_t k = 0; k < n; k++) {
        values[k] = any(t);
        same[k] = handle(values[k]);
        total += t->model.value[values[k]].n;
    }
    if (total > MOST_CHANNELS) return;
    agree(t, mskp_concat(t->graph, NULL, n, same), model_concat(&t->model, n, values));
}

static void describe_slice(trial *t)
{
    size_t positions[MOST_CHANNELS];
    const size_t from = any(t), n = t->model.value[from].n, first = rng_below(&t->r, n);
    const size_t count = rng_from(&t->r, 1, n - first);
    for (size_t i = 0; i < count; i++) positions[i] = first + i;
    agree(t, mskp_slice(t->graph, NULL, handle(from), first, count),
          model_pick(&t->model, from, count, positions));
}

static void describe_tie(trial *t)
{
    const size_t a = any(t), b = any(t), by = a > b ? a : b;
    if (t->model.value[a].n != t->model.value[b].n) return;
    REQUIRE_OK(mskp_tie(t->graph, handle(a), handle(b)));
    model_tie(&t->model, a, b, by);
}

/* To an axis of its length that is there, or to a new parameter's. */
static void describe_bind(trial *t)
{
    const size_t v = any(t), n = t->model.value[v].n;
    const uint32_t roles = (uint32_t)rng_below(&t->r, 64);
    size_t shape[3] = {rng_from(&t->r, 1, 4), rng_from(&t->r, 1, 4), rng_from(&t->r, 1, 4)};
    uint32_t ndim = (uint32_t)rng_from(&t->r, 1, 3), axis = (uint32_t)rng_below(&t->r, ndim);
    size_t p = t->model.params ? rng_from(&t->r, 1, t->model.params) : 0;
    const bool old = p && axis < t->model.param[p].ndim && t->model.param[p].shape[axis] == n;
    if (!old) {
        char name[24];
        shape[axis] = n;
        p = model_parameter(&t->model, ndim, shape);
        (void)snprintf(name, sizeof name, "p%zu", p);
        REQUIRE(mskp_parameter(t->graph, name, ndim, shape).id == p, "parameter %zu", p);
    }
    REQUIRE_OK(mskp_bind(t->graph, (mskp_param){(uint32_t)p}, axis, roles, handle(v)));
    model_bind(&t->model, p, axis, roles, v, v);
}

static void describe_macs(trial *t)
{
    const size_t v = any(t), p = rng_below(&t->r, t->model.params + 1), each = rng_below(&t->r, 9);
    REQUIRE_OK(mskp_add_macs(t->graph, handle(v), (mskp_param){(uint32_t)p}, each));
    model_macs(&t->model, v, p, each);
}

static void describe_pin(trial *t)
{
    const size_t v = any(t);
    REQUIRE_OK(mskp_pin(t->graph, handle(v)));
    model_pin(&t->model, v, v);
}

static void describe_step(trial *t)
{
    static void (*const ways[])(trial *) = {
        describe_fresh, describe_pick, describe_pick, describe_concat, describe_slice, describe_tie,
        describe_tie,   describe_bind, describe_bind, describe_macs,   describe_fresh};
    const size_t what = rng_below(&t->r, 32);
    if (!t->model.values)
        describe_fresh(t);
    else if (what == 31)
        describe_pin(t);
    else
        ways[what % (sizeof ways / sizeof *ways)](t);
}

/* Who tied and who pinned, and the costs under a mask. */
static void require_reasons(trial *t)
{
    mskp_coupling info;
    size_t *joins = arena_get(&t->mem, t->model.values + 1, sizeof *joins);
    for (uint32_t v = 1; v <= t->model.values; v++) {
        size_t most = 0;
        REQUIRE_OK(mskp_value_coupling(t->graph, (mskp_value){v}, &info, NULL));
        REQUIRE(info.pinned_by.id == model_pinned_by(&t->model, v), "%s: pinned by %u", info.name,
                info.pinned_by.id);
        model_joins(&t->model, v, joins);
        for (size_t b = 1; b <= t->model.values; b++)
            if (joins[b] > most) most = joins[b];
        REQUIRE(info.tied == most, "%s: %zu joins, %zu expected", info.name, info.tied, most);
        REQUIRE(most ? joins[info.tied_by.id] == most : !info.tied_by.id, "%s: tied by %u",
                info.name, info.tied_by.id);
    }
    const uint8_t *keep = random_mask(t);
    const mskp_cost slow = model_cost(&t->model, keep, NULL);
    mskp_cost fast;
    REQUIRE_OK(mskp_measure(t->graph, mask_of(t->units, keep), &fast, NULL, NULL));
    REQUIRE(slow.macs == fast.macs && slow.params == fast.params, "%.0f MACs, %.0f expected",
            fast.macs, slow.macs);
}

static void primitives(rng *r)
{
    trial t = {.r = *r};
    limited_heap p = {.most = 1 << 20};
    const mskp_services services = limited_heap_services(&p);
    mskp_error err = {0};
    t.model = model_make(&t.mem);
    t.graph = mskp_graph_create(&services);
    REQUIRE(t.graph, "no graph");
    const size_t spare = 16; /* bytes for what comes after */
    for (int n = 0; n < MOST_STEPS && t.r.left > spare && t.model.values < MOST_VALUES; n++)
        describe_step(&t);
    if (t.model.values) {
        model_finish(&t.model);
        REQUIRE(!mskp_graph_finish(t.graph, &err), "%s", err.text);
        t.units = mskp_graph_counts(t.graph).units;
        require_model(t.graph, &t.model);
        switch (rng_below(&t.r, 4)) {
        case 0:
            require_reasons(&t);
            break;
        case 1:
            try_select(&t);
            break;
        default:
            require_consistent(t.graph);
            calls_finished(&t.r, &p, t.graph);
        }
    }
    trial_end(&t);
    REQUIRE(!p.live, "%zu blocks are left", p.live);
}

/* ---- Calls ---- */

static void calls(rng *r)
{
    limited_heap p = {.most = 1 << 18};
    const size_t fails = rng_below(r, 256);
    /* In few descriptions, and then early as often as late. */
    if (fails >= 192) limited_heap_fail(&p, 1 + (fails < 224 ? fails - 192 : rng_below(r, 256)));
    const size_t spare = r->left / 4;
    rng first = *r;
    first.left -= spare;
    mskp_graph *graph = calls_describe(&first, &p);
    if (graph) {
        *r = rng_steered(first.state, first.left + spare, first.bytes);
        limited_heap_fail(&p, 0);
        require_consistent(graph);
        calls_finished(r, &p, graph);
        mskp_graph_destroy(graph);
    }
    REQUIRE(!p.live, "%zu blocks are left", p.live);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const layers[2][4])(rng *) = {{operators, primitives, calls, calls},
                                                {constants, primitives, calls, calls}};
    if (size < 2) return 0;
    rng r = rng_steered(data[1], size - 2, data + 2);
    layers[data[0] >= 128][data[0] % 4](&r);
    return 0;
}

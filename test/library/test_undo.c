/*
 * Masks of masks, indices of before and after, and the way back: what is restored and cut again is
 * what it was, bit for bit.
 */
#include "interpreter/trial.h"
#include "small_network/small_network.h"

#include "by_id/by_id.h"
#include <check.h>
#include <stdlib.h>
#include <string.h>

static const mskp_dtype all_dtypes[] = {
    MSKP_DTYPE_F32,     MSKP_DTYPE_F64,     MSKP_DTYPE_F16,
    MSKP_DTYPE_BF16,    MSKP_DTYPE_BYTES_1, MSKP_DTYPE_BYTES_2,
    MSKP_DTYPE_BYTES_4, MSKP_DTYPE_BYTES_8, MSKP_DTYPE_BYTES_16};
enum { DTYPES = sizeof all_dtypes / sizeof *all_dtypes };

static uint8_t *random_mask(trial *t)
{
    return model_random_mask(&t->model, &t->mem, &t->r, rng_real(&t->r, 0.2, 0.9));
}

/* Elements of both sets, whatever their views. */
static void require_same_elements(const set *a, const set *b, const net *n)
{
    for (size_t p = 1; p <= a->params; p++) {
        const net_param *q = &n->param[p];
        const mskp_tensor v = view_resolve(&a->views[p], q->ndim, q->shape);
        const mskp_tensor w = view_resolve(&b->views[p], q->ndim, q->shape);
        size_t index[MSKP_MAX_DIMS] = {0}, i = 0;
        do {
            REQUIRE(!memcmp(view_at(&v, index), view_at(&w, index), dtype_size(v.dtype)),
                    "parameter %zu, element %zu", p, i);
            i++;
        } while (next_index(q->ndim, q->shape, index));
    }
}

/* ---- Masks of masks ---- */

START_TEST(composed_is_both)
{
    size_t two_rounds = 0, count = test_count(400);
    for (size_t k = 0; k < count; k++) {
        trial t;
        surgery one, two, both;
        mskp_error err = {0};
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        uint8_t *keep = random_mask(&t), *last = arena_copy(&t.mem, keep, t.units, 1);
        size_t left = 0, gone = 0;
        for (size_t u = 0; u < t.units; u++) {
            if (keep[u] && rng_chance(&t.r, 0.4)) {
                last[u] = 0;
                if (!model_mask_allowed(&t.model, last)) last[u] = 1;
            }
            if (keep[u]) keep[u] = (uint8_t)rng_from(&t.r, 1, 255);
        }
        uint8_t *second = arena_get(&t.mem, t.units, 1), *composed = arena_get(&t.mem, t.units, 1);
        for (size_t u = 0; u < t.units; u++) {
            if (!keep[u]) continue;
            gone += !last[u];
            second[left++] = last[u] ? (uint8_t)rng_from(&t.r, 1, 255) : 0;
        }
        two_rounds += left < t.units && gone;
        memset(composed, 9, t.units);
        REQUIRE(!mskp_mask_compose(t.graph, mask_of(t.units, keep), mask_of(left, second),
                                   mask_of(t.units, composed), &err),
                "%s", err.text);
        REQUIRE(!memcmp(composed, last, t.units), "another mask");

        surgery_begin(&one, &t, t.graph, t.net, t.value, t.units, keep);
        surgery_begin(&two, &t, one.small, one.net, t.value, left, second);
        surgery_begin(&both, &t, t.graph, t.net, t.value, t.units, composed);
        set a = set_make(&t.mem, &t.r, t.net, MSKP_DTYPE_F64, VIEW_STYLES);
        set_numbers(&a, t.net);
        set b = set_copy(&t.mem, &a);
        REQUIRE_OK(cut_by_id(one.plan, t.net->params, 1, &(move_by_id){a.views, NULL}, NULL));
        REQUIRE_OK(cut_by_id(two.plan, t.net->params, 1, &(move_by_id){a.views, NULL}, NULL));
        REQUIRE_OK(cut_by_id(both.plan, t.net->params, 1, &(move_by_id){b.views, NULL}, NULL));
        require_same_elements(&a, &b, both.net);
        require_same_graph(two.small, both.small);

        /* Onto the first mask. */
        const uint8_t *first = arena_copy(&t.mem, keep, t.units, 1);
        REQUIRE_OK(mskp_mask_compose(t.graph, mask_of(t.units, keep), mask_of(left, second),
                                     mask_of(t.units, keep), NULL));
        REQUIRE(!memcmp(keep, last, t.units), "another mask in place");
        /* Onto the second. */
        uint8_t *room = arena_get(&t.mem, t.units + 1, 1);
        memcpy(room, second, left);
        REQUIRE_OK(mskp_mask_compose(t.graph, mask_of(t.units, first), mask_of(left, room),
                                     mask_of(t.units, room), NULL));
        REQUIRE(!memcmp(room, last, t.units) && !room[t.units], "another mask onto the second");
        surgery_end(&one);
        surgery_end(&two);
        surgery_end(&both);
        trial_end(&t);
    }
    REQUIRE(count < 200 || two_rounds * 2 > count, "only %zu of %zu lost units twice", two_rounds,
            count);
}
END_TEST

START_TEST(composing_is_refused)
{
    mskp_graph *g = small_network_make(SMALL_PLAIN, NULL), *unfinished = mskp_graph_create(NULL);
    const uint8_t keep[10] = {1, 0, 1, 1, 1, 1, 1, 1, 1, 1}, second[10] = {1};
    uint8_t both[10];
    mskp_error err = {0};
    memset(both, 7, sizeof both);
    ck_assert_int_eq(
        mskp_mask_compose(NULL, mask_of(10, keep), mask_of(9, second), mask_of(10, both), &err),
        MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_mask_compose(unfinished, mask_of(10, keep), mask_of(9, second),
                                       mask_of(10, both), &err),
                     MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(
        mskp_mask_compose(g, mask_of(9, keep), mask_of(9, second), mask_of(9, both), &err),
        MSKP_ERROR_OTHER_NETWORK);
    ck_assert_int_eq(
        mskp_mask_compose(g, (mskp_mask){0}, mask_of(9, second), mask_of(10, both), &err),
        MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(
        mskp_mask_compose(g, mask_of(10, keep), (mskp_mask){0}, mask_of(10, both), &err),
        MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(
        mskp_mask_compose(g, mask_of(10, keep), mask_of(9, second), (mskp_mask){0}, &err),
        MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(
        mskp_mask_compose(g, mask_of(10, keep), mask_of(10, second), mask_of(10, both), &err),
        MSKP_ERROR_OTHER_NETWORK);
    ck_assert_str_eq(err.text, "small_keep has 10 units, keep keeps 9 of 10");
    for (int i = 0; i < 10; i++) ck_assert_int_eq(both[i], 7);
    mskp_graph_destroy(g);
    mskp_graph_destroy(unfinished);
}
END_TEST

/* ---- Old indices to new ones ---- */

static void require_map(const uint32_t *map, size_t n, net_kept kept, const char *what, size_t id)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const bool stays = at < kept.n && (kept.index ? kept.index[at] : at) == i;
        REQUIRE(map[i] == (stays ? at : MSKP_REMOVED), "%s %zu: %zu goes to %u", what, id, i,
                map[i]);
        at += stays;
    }
    REQUIRE(at == kept.n && map[n] == 12345, "%s %zu", what, id);
}

START_TEST(maps_are_the_lists_turned_round)
{
    for (size_t k = 0; k < test_count(400); k++) {
        trial t;
        surgery s;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        surgery_begin(&s, &t, t.graph, t.net, t.value, t.units, random_mask(&t));
        for (size_t p = 1; p <= t.net->params; p++)
            for (uint32_t d = 0; d < t.net->param[p].ndim; d++) {
                const size_t n = t.net->param[p].shape[d];
                uint32_t *map = arena_get(&t.mem, n + 1, sizeof *map);
                map[n] = 12345;
                REQUIRE_OK(mskp_plan_param_map(s.plan, (mskp_param){(uint32_t)p}, d, n, map, NULL));
                require_map(map, n, s.axes[p][d], "parameter", p);
            }
        for (size_t v = 1; v <= t.net->nodes; v++) {
            const size_t n = t.net->node[v].channels;
            uint32_t *map = arena_get(&t.mem, n + 1, sizeof *map);
            map[n] = 12345;
            REQUIRE_OK(
                mskp_plan_value_map(s.plan, (mskp_value){(uint32_t)t.value[v]}, n, map, NULL));
            require_map(map, n, s.values[v], "value", v);
        }
        surgery_end(&s);
        trial_end(&t);
    }
}
END_TEST

START_TEST(maps_are_refused)
{
    mskp_graph *g = small_network_make(SMALL_PLAIN, NULL);
    const uint8_t keep[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const mskp_param c3 = mskp_param_find(g, "c3.weight"), none = {0}, beyond = {99};
    const mskp_value y = mskp_value_find(g, "y");
    uint32_t map[6] = {7, 7, 7, 7, 7, 7};
    mskp_plan *plan;
    mskp_error err = {0};
    ck_assert_int_eq(mskp_plan_create(g, mask_of(10, keep), &plan, NULL, &err), MSKP_OK);
    ck_assert_int_eq(mskp_plan_param_map(NULL, c3, 0, 5, map, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_plan_param_map(plan, c3, 0, 5, NULL, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_plan_param_map(plan, none, 0, 5, map, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_plan_param_map(plan, beyond, 0, 5, map, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "the plan has no axis 0 of parameter 99");
    ck_assert_int_eq(mskp_plan_param_map(plan, c3, 4, 5, map, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_plan_param_map(plan, c3, 0, 6, map, &err), MSKP_ERROR_BAD_SHAPE);
    ck_assert_str_eq(err.text, "c3.weight: axis 0 has length 5, the map 6");
    ck_assert_int_eq(mskp_plan_value_map(NULL, y, 3, map, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_plan_value_map(plan, y, 3, NULL, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_plan_value_map(plan, (mskp_value){0}, 3, map, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_plan_value_map(plan, (mskp_value){99}, 3, map, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "the plan has no value 99");
    ck_assert_int_eq(mskp_plan_value_map(plan, y, 2, map, &err), MSKP_ERROR_BAD_SHAPE);
    ck_assert_str_eq(err.text, "y has 3 channels, the map 2");
    for (int i = 0; i < 6; i++) ck_assert_uint_eq(map[i], 7);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
}
END_TEST

/* ---- The way back ---- */

/* Is an index of the full shape kept on every axis? */
static bool is_kept(const net_kept *axes, uint32_t ndim, const size_t *index)
{
    for (uint32_t d = 0; d < ndim; d++) {
        bool found = !axes[d].index;
        for (size_t i = 0; !found && i < axes[d].n; i++) found = axes[d].index[i] == index[d];
        if (!found) return false;
    }
    return true;
}

/* `to` is `full` with zeros where something left, and around its elements as it `was`. */
static void require_restored(const set *to, const set *was, const set *full, const net *n,
                             const surgery *s, size_t p)
{
    static const unsigned char zeros[16] = {0};
    const net_param *q = &n->param[p];
    const mskp_tensor v = view_resolve(&to->views[p], q->ndim, q->shape);
    const mskp_tensor w = view_resolve(&full->views[p], q->ndim, q->shape);
    size_t index[MSKP_MAX_DIMS] = {0}, i = 0;
    const size_t size = dtype_size(v.dtype);
    do {
        unsigned char *at = view_at(&v, index);
        const unsigned char *expected =
            is_kept(s->axes[p], q->ndim, index) ? view_at(&w, index) : zeros;
        REQUIRE(!memcmp(at, expected, size), "parameter %zu, element %zu", p, i);
        memcpy(at, was->buf[p].memory + (at - to->buf[p].memory), size);
        i++;
    } while (next_index(q->ndim, q->shape, index));
    REQUIRE(!memcmp(to->buf[p].memory, was->buf[p].memory, to->buf[p].bytes),
            "parameter %zu: something between its elements", p);
}

START_TEST(restored_is_what_it_was)
{
    for (size_t k = 0; k < test_count(400); k++) {
        trial t;
        surgery s;
        mskp_error err = {0};
        set full[DTYPES], small[DTYPES], small_was[DTYPES], to[DTYPES], to_was[DTYPES];
        set again[DTYPES];
        move_by_id there[DTYPES], back[DTYPES], once_more[DTYPES];
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        surgery_begin(&s, &t, t.graph, t.net, t.value, t.units, random_mask(&t));
        const size_t params = t.net->params, absent = rng_below(&t.r, 3 * params + 1) + 1;
        for (size_t i = 0; i < DTYPES; i++) {
            full[i] = set_make(&t.mem, &t.r, t.net, all_dtypes[i], VIEW_STYLES);
            small[i] = set_make(&t.mem, &t.r, s.net, all_dtypes[i], VIEW_STYLES);
            to[i] = set_make(&t.mem, &t.r, t.net, all_dtypes[i], VIEW_STYLES);
            again[i] = set_make(&t.mem, &t.r, s.net, all_dtypes[i], VIEW_STYLES);
            set_pattern(&full[i], t.net, i);
            set_pattern(&to[i], t.net, 100 + i);
            there[i] = (move_by_id){full[i].views, small[i].views};
            back[i] = (move_by_id){small[i].views, to[i].views};
            once_more[i] = (move_by_id){to[i].views, again[i].views};
        }
        REQUIRE_OK(cut_by_id(s.plan, params, DTYPES, there, NULL));
        for (size_t i = 0; i < DTYPES; i++) {
            if (absent <= params) small[i].views[absent].data = NULL;
            small_was[i] = set_copy(&t.mem, &small[i]);
            to_was[i] = set_copy(&t.mem, &to[i]);
        }

        /* All or nothing: the last set is wrong. */
        set wrong = set_copy(&t.mem, &to[DTYPES - 1]);
        for (size_t p = 1; p <= params; p++) wrong.views[p].dtype = MSKP_DTYPE_BYTES_1;
        back[DTYPES - 1].to = wrong.views;
        if (params > (absent <= params ? 1 : 0))
            REQUIRE(restore_by_id(s.plan, params, DTYPES, back, &err) == MSKP_ERROR_BAD_ARGUMENT &&
                        err.text[0],
                    "another type was taken");
        for (size_t i = 0; i < DTYPES; i++)
            REQUIRE(set_same(&to[i], &to_was[i]), "a refused call wrote something");
        back[DTYPES - 1].to = to[DTYPES - 1].views;

        REQUIRE(!restore_by_id(s.plan, params, DTYPES, back, &err), "%s", err.text);
        for (size_t i = 0; i < DTYPES; i++)
            REQUIRE(set_same(&small[i], &small_was[i]), "the source changed");
        REQUIRE_OK(cut_by_id(s.plan, params, DTYPES, once_more, NULL));
        for (size_t i = 0; i < DTYPES; i++) {
            if (absent <= params) {
                REQUIRE(!memcmp(to[i].buf[absent].memory, to_was[i].buf[absent].memory,
                                to[i].buf[absent].bytes),
                        "something came from nowhere");
                small[i].views[absent] = again[i].views[absent]; /* not compared */
            }
            require_same_elements(&small[i], &again[i], s.net);
            for (size_t p = 1; p <= params; p++)
                if (p != absent) require_restored(&to[i], &to_was[i], &full[i], t.net, &s, p);
        }
        surgery_end(&s);
        trial_end(&t);
    }
}
END_TEST

/* A linear layer of 4 to 3 whose input loses channels 1 and 2, or nothing. */
typedef struct layer {
    mskp_graph *graph;
    mskp_plan *plan;
    mskp_tensor from[3], to[3];
    float memory[64];
} layer;

static void layer_make(layer *l, bool whole)
{
    const uint8_t keep[4] = {1, whole, whole, 1};
    const size_t three = 3;
    *l = (layer){.graph = mskp_graph_create(NULL)};
    const mskp_param w = mskp_parameter(l->graph, "w", 2, (size_t[]){3, 4});
    const mskp_param b = mskp_parameter(l->graph, "b", 1, &three);
    const mskp_value y = mskp_linear(l->graph, "y", mskp_fresh(l->graph, "x", 4, 0, NULL), w, b);
    mskp_output(l->graph, y);
    ck_assert_int_eq(mskp_graph_finish(l->graph, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_plan_create(l->graph, mask_of(4, keep), &l->plan, NULL, NULL), MSKP_OK);
    for (int i = 0; i < 64; i++) l->memory[i] = (float)i;
    l->from[1].data = l->memory;      /* 6 of 3 x 2 */
    l->from[2].data = l->memory + 12; /* 3 */
    l->to[1].data = l->memory + 16;   /* 12 */
    l->to[2].data = l->memory + 28;   /* 3 */
}

static void layer_end(layer *l)
{
    mskp_plan_destroy(l->plan);
    mskp_graph_destroy(l->graph);
}

static mskp_status restore(layer *l, mskp_error *err)
{
    *err = (mskp_error){0};
    return restore_by_id(l->plan, 2, 1, &(move_by_id){l->from, l->to}, err);
}

START_TEST(by_hand)
{
    layer l;
    mskp_error err;
    layer_make(&l, false);
    ck_assert_int_eq(restore(&l, &err), MSKP_OK);
    for (int o = 0; o < 3; o++) {
        const float *row = l.memory + 16 + 4 * o;
        ck_assert(row[0] == (float)(2 * o) && row[1] == 0 && row[2] == 0 && row[3] == row[0] + 1);
        ck_assert(l.memory[28 + o] == (float)(12 + o));
    }
    layer_end(&l);
}
END_TEST

START_TEST(restoring_is_refused)
{
    layer l;
    mskp_error err = {0};
    layer_make(&l, false);
    const move_by_id good = {l.from, l.to}, in_place = {l.from, NULL}, nothing = {NULL, l.to};
    ck_assert_int_eq(restore_by_id(NULL, 2, 1, &good, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(restore_by_id(l.plan, 2, 1, NULL, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(restore_by_id(l.plan, 2, 1, &nothing, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(restore_by_id(l.plan, 3, 1, &good, &err), MSKP_ERROR_OTHER_NETWORK);
    ck_assert_int_eq(restore_by_id(l.plan, 2, 0, NULL, &err), MSKP_OK);
    ck_assert_int_eq(restore_by_id(l.plan, 2, 1, &in_place, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "set 0: `to` is NULL: what was larger cannot be restored in place");

    l.to[2].data = NULL;
    ck_assert_int_eq(restore(&l, &err), MSKP_ERROR_NO_DATA);
    ck_assert_str_eq(err.text, "b: set 0 has data to move, but `to` has none");
    l.to[2].data = l.memory + 28;
    l.to[2].dtype = MSKP_DTYPE_BYTES_4;
    ck_assert_int_eq(restore(&l, &err), MSKP_ERROR_BAD_ARGUMENT);
    l.to[2].dtype = MSKP_DTYPE_F32;
    l.from[1].ndim = 2, l.from[1].shape[0] = 3, l.from[1].shape[1] = 4;
    ck_assert_int_eq(restore(&l, &err), MSKP_ERROR_BAD_SHAPE); /* that is the full shape */
    l.from[1].data = NULL;
    ck_assert_int_eq(restore(&l, &err), MSKP_ERROR_BAD_SHAPE); /* also of one that is not here */
    l.from[1] = (mskp_tensor){.data = l.memory};
    l.to[1].ndim = 2, l.to[1].shape[0] = 3, l.to[1].shape[1] = 2;
    ck_assert_int_eq(restore(&l, &err), MSKP_ERROR_BAD_SHAPE);
    for (int i = 0; i < 64; i++) ck_assert(l.memory[i] == (float)i);
    layer_end(&l);
}
END_TEST

START_TEST(overlaps_are_refused)
{
    static const struct {
        int from_w, from_b, to_w, to_b;
        const char *sentence;
    } cases[] = {
        {0, 12, 5, 28, "w (set 0) would be written onto w (set 0), which is still needed"},
        {0, 12, 0, 28, "w (set 0) would be written onto w (set 0), which is still needed"},
        {20, 12, 16, 40, "w (set 0) would be written onto w (set 0), which is still needed"},
        {0, 12, 16, 12, "b (set 0) would be written onto b (set 0), which is still needed"},
        {0, 12, 16, 4, "b (set 0) would be written onto w (set 0), which is still needed"},
        {0, 18, 16, 40, "w (set 0) would be written onto b (set 0), which is still needed"},
        {40, 8, 4, 50, "w (set 0) would be written onto b (set 0), which is still needed"},
        {0, 12, 16, 27, "w (set 0) would be written onto b (set 0)"},
    };
    for (int whole = 0; whole < 2; whole++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            layer l;
            mskp_error err;
            layer_make(&l, whole);
            l.from[1].data = l.memory + cases[i].from_w;
            l.from[2].data = l.memory + cases[i].from_b;
            l.to[1].data = l.memory + cases[i].to_w;
            l.to[2].data = l.memory + cases[i].to_b;
            const mskp_status status = restore(&l, &err);
            ck_assert_msg(status == MSKP_ERROR_OVERLAP, "case %zu: %d", i, (int)status);
            if (!whole) ck_assert_str_eq(err.text, cases[i].sentence);
            for (int k = 0; k < 64; k++) ck_assert(l.memory[k] == (float)k);
            layer_end(&l);
        }
}
END_TEST

/* Two full matrices in the columns of one: their ranges meet, their elements do not. */
START_TEST(interleaved_is_fine)
{
    layer l;
    mskp_error err = {0};
    layer_make(&l, false);
    mskp_tensor even[3] = {{0}}, odd[3] = {{0}}, none[3] = {{0}};
    even[1] = (mskp_tensor){
        .data = l.memory + 16, .ndim = 2, .shape = {3, 4}, .stride = {8, 2}}; /* to 16 + 24 */
    odd[1] = even[1];
    odd[1].data = l.memory + 17;
    l.from[2].data = NULL;
    const move_by_id moves[2] = {{l.from, even}, {l.from, odd}};
    ck_assert_msg(!restore_by_id(l.plan, 2, 2, moves, &err), "%s", err.text);
    for (int o = 0; o < 3; o++)
        for (int i = 0; i < 8; i++) {
            const float x = i < 2 ? (float)(2 * o) : i < 6 ? 0 : (float)(2 * o + 1);
            ck_assert(l.memory[16 + 8 * o + i] == x);
        }
    odd[1].data = even[1].data;
    ck_assert_int_eq(restore_by_id(l.plan, 2, 2, moves, &err), MSKP_ERROR_OVERLAP);
    ck_assert_int_eq(restore_by_id(l.plan, 2, 1, &(move_by_id){none, even}, &err), MSKP_OK);
    layer_end(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("undo");
    TCase *tcase = tcase_create("undo");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, composed_is_both);
    tcase_add_test(tcase, composing_is_refused);
    tcase_add_test(tcase, maps_are_the_lists_turned_round);
    tcase_add_test(tcase, maps_are_refused);
    tcase_add_test(tcase, restored_is_what_it_was);
    tcase_add_test(tcase, by_hand);
    tcase_add_test(tcase, restoring_is_refused);
    tcase_add_test(tcase, overlaps_are_refused);
    tcase_add_test(tcase, interleaved_is_fine);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

/* Many tensors in one arena: which overlaps are allowed, and that those are right. */
#include "surgery.h"

#include "by_id/by_id.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SETS = 3, MOST_TENSORS = MOST_PARAMS * MOST_SETS, ARENA_BYTES = 16384 };

typedef struct tensor {
    mskp_tensor source, target; /* resolved; source.data NULL: none */
    mskp_tensor in_place;
    kept_indices kept;
} tensor;

typedef struct scene {
    network net;
    size_t sets;
    guarded arena;
    uint64_t map[ARENA_BYTES];
    tensor tensors[MOST_TENSORS]; /* [set][param - 1] */
    mskp_tensor from[MOST_SETS][MOST_PARAMS + 1], to[MOST_SETS][MOST_PARAMS + 1];
    move_by_id moves[MOST_SETS];
} scene;

static size_t aligned(size_t bytes, size_t size)
{
    return (bytes + size - 1) / size * size;
}

/* Sources: one after the other, or interleaved. Some find no place: they have no data. */
static void place_sources(rng *r, scene *s, bool packed)
{
    size_t n = s->net.params * s->sets, at = 256 + rng_below(r, 3) * 16, order[MOST_TENSORS];
    for (size_t i = 0; i < n; i++) {
        size_t j = rng_below(r, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    memset(s->map, 0, sizeof s->map);
    for (size_t k = 0; k < n; k++) {
        size_t i = order[k], size = dtype_size(s->tensors[i].source.dtype);
        mskp_tensor *view = &s->tensors[i].source;
        view->data = NULL;
        for (size_t attempt = 0; attempt < 8; attempt++) {
            size_t start = packed ? aligned(at, size) : 256 + rng_below(r, 600) / size * size;
            mskp_tensor placed = *view;
            view_place(&placed, s->arena.start + start);
            if (start + view_extent(&placed) > ARENA_BYTES ||
                view_marked(&placed, s->arena.start, s->map))
                continue;
            *view = placed;
            at = start + view_extent(view);
            view_mark(view, s->arena.start, s->map, UINT64_C(1) << i);
            break;
        }
        if (rng_chance(r, 20) && view->data != NULL) {
            for (size_t b = 0; b < ARENA_BYTES; b++) s->map[b] &= ~(UINT64_C(1) << i);
            view->data = NULL;
        }
    }
}

/* Targets of one set: a little below or above their sources, or anywhere. */
static void place_targets(rng *r, scene *s, size_t set)
{
    for (size_t p = 0; p < s->net.params; p++) {
        tensor *t = &s->tensors[set * s->net.params + p];
        if (t->source.data == NULL) continue;
        size_t size = dtype_size(t->source.dtype);
        bool same = rng_chance(r, 2);
        t->target = same ? t->in_place
                         : view_random_layout(r, LAYOUT_GAPS, t->source.dtype, t->in_place.ndim,
                                              t->in_place.shape);
        size_t own = (size_t)(view_start(&t->source) - s->arena.start), start = own;
        if (rng_chance(r, 2))
            start = own - (rng_below(r, 3) + 1) * size;
        else if (rng_chance(r, 2))
            start = rng_chance(r, 2) ? rng_below(r, 1500) : 8192 + rng_below(r, 5000);
        else if (rng_chance(r, 4))
            start = own + size;
        view_place(&t->target, s->arena.start + start / size * size);
        if (view_start(&t->target) + view_extent(&t->target) > s->arena.start + ARENA_BYTES)
            t->target = t->in_place;
    }
}

/* All targets one after the other, in the order of their sources. */
static void close_up(scene *s, size_t start)
{
    size_t n = s->net.params * s->sets;
    bool done[MOST_TENSORS] = {false};
    for (size_t k = 0; k < n; k++) {
        size_t next = n;
        for (size_t i = 0; i < n; i++)
            if (!done[i] && s->tensors[i].source.data != NULL &&
                (next == n ||
                 view_start(&s->tensors[i].source) < view_start(&s->tensors[next].source)))
                next = i;
        if (next == n) break;
        tensor *t = &s->tensors[next];
        done[next] = true;
        t->target = t->in_place;
        start = aligned(start, dtype_size(t->source.dtype));
        view_place(&t->target, s->arena.start + start);
        start += view_extent(&t->target);
    }
}

enum verdict { ALLOWED, REFUSED, EITHER };

/* The header's rule. EITHER: at or below its own source, but over that of another, too. */
static enum verdict judge(scene *s)
{
    size_t n = s->net.params * s->sets;
    bool over[MOST_TENSORS][MOST_TENSORS] = {{false}};
    enum verdict verdict = ALLOWED;
    for (size_t i = 0; i < n; i++)
        if (s->tensors[i].source.data != NULL)
            view_mark(&s->tensors[i].target, s->arena.start, s->map, UINT64_C(1) << (16 + i));
    for (size_t b = 0; b < ARENA_BYTES; b++) {
        uint64_t targets = s->map[b] >> 16;
        if (targets & (targets - 1)) return REFUSED;
        for (size_t i = 0; targets && i < n; i++)
            for (size_t j = 0; j < n; j++)
                if ((targets >> i & 1) && (s->map[b] >> j & 1)) over[i][j] = true;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const tensor *t = &s->tensors[i];
            if (t->source.data == NULL) continue;
            unsigned char *own = view_start(&t->source);
            bool low = view_start(&t->target) <= own && strides_agree(&t->target, &t->in_place);
            if (!over[i][j] || view_start(&s->tensors[j].source) < own) continue;
            if (!low) return REFUSED;
            if (i != j) verdict = EITHER;
        }
    return verdict;
}

static enum verdict random_scene(rng *r, scene *s, bool closed)
{
    network_random(r, &s->net, 1 + rng_below(r, MOST_PARAMS), 24);
    s->sets = 1 + rng_below(r, MOST_SETS);
    size_t params = s->net.params;
    bool one_type = rng_chance(r, 2);
    mskp_dtype type = every_dtype[rng_below(r, DTYPES)];
    for (size_t i = 0; i < params * s->sets; i++) {
        size_t shape[MSKP_MAX_DIMS];
        mskp_param param = {(uint32_t)(i % params) + 1};
        uint32_t ndim = mskp_param_shape(s->net.graph, param, shape);
        layout_kind kind = rng_chance(r, 3) ? LAYOUT_GAPS : LAYOUT_DENSE;
        tensor *t = &s->tensors[i];
        t->source = view_random_layout(r, kind, one_type ? type : every_dtype[rng_below(r, DTYPES)],
                                       ndim, shape);
        kept_of(&s->net, param, &t->kept);
    }
    place_sources(r, s, closed || rng_chance(r, 2));
    rng_fill(r, s->arena.start, s->arena.size);
    for (size_t i = 0; i < params * s->sets; i++) {
        tensor *t = &s->tensors[i];
        if (t->source.data) view_number(&t->source, s->arena.start, s->arena.start);
        t->in_place = view_after_cut(&t->source, &t->kept);
        t->target = t->in_place;
    }
    if (closed) close_up(s, 256 - 16 * rng_below(r, 3));
    memset(s->to, 0x5a, sizeof s->to);
    for (size_t set = 0; set < s->sets; set++) {
        bool in_place = !closed && rng_chance(r, 2);
        if (!closed && !in_place) place_targets(r, s, set);
        s->moves[set] = (move_by_id){s->from[set], in_place ? NULL : s->to[set]};
        s->from[set][0] = s->to[set][0] = (mskp_tensor){0};
        for (size_t p = 0; p < params; p++) {
            const tensor *t = &s->tensors[set * params + p];
            s->from[set][p + 1] = t->source;
            s->to[set][p + 1] = t->source.data ? t->target : (mskp_tensor){0};
        }
    }
    return judge(s);
}

static void cut_scene(scene *s, enum verdict verdict, size_t counts[3])
{
    mskp_tensor from[MOST_SETS][MOST_PARAMS + 1];
    memcpy(from, s->from, sizeof from);
    size_t n = s->net.params * s->sets;
    unsigned char *before = copy_of(s->arena), *image = copy_of(s->arena);
    mskp_error err = untouched;
    mskp_status status = cut_by_id(s->net.plan, s->net.params, s->sets, s->moves, &err);
    counts[verdict]++;
    if (verdict == REFUSED || (verdict == EITHER && status != MSKP_OK)) {
        must_be_refused(status, MSKP_ERROR_OVERLAP, &err);
        must_hold(s->arena, before, "refused, but written");
        must(memcmp(from, s->from, sizeof from) == 0, "refused, but views changed");
    } else {
        must(status == MSKP_OK, "%d: %s", (int)status, err.text);
        must_be_untouched(&err);
        for (size_t i = 0; i < n; i++) {
            const tensor *t = &s->tensors[i];
            size_t set = i / s->net.params, p = i % s->net.params + 1;
            const mskp_tensor *view = &s->from[set][p];
            if (t->source.data == NULL || s->moves[set].to != NULL) {
                must(t->source.data == NULL ? view->data == NULL
                                            : memcmp(view, &from[set][p], sizeof *view) == 0,
                     "from changed");
            } else {
                mskp_tensor got = view_resolved(*view, t->target.ndim, t->target.shape);
                must(views_agree(&got, &t->target), "set %zu, parameter %zu", set, p);
            }
            if (t->source.data)
                view_gather(&t->source, &t->kept, s->arena.start, before, &t->target,
                            s->arena.start, image);
        }
        must_hold(s->arena, image, "arena");
    }
    free(before);
    free(image);
    network_free(&s->net);
}

START_TEST(overlaps_in_one_arena)
{
    size_t cases = scaled(20000), counts[3] = {0};
    scene *s = calloc(1, sizeof *s);
    rng r = {3};
    must(s != NULL, "no memory");
    s->arena = guarded_make(ARENA_BYTES);
    for (size_t i = 0; i < cases; i++) cut_scene(s, random_scene(&r, s, false), counts);
    printf("arena: %zu allowed, %zu refused, %zu either\n", counts[0], counts[1], counts[2]);
    must(counts[ALLOWED] > cases / 10 && counts[REFUSED] > cases / 10, "one-sided cases");
    guarded_free(s->arena);
    free(s);
}
END_TEST

START_TEST(arena_closed_up)
{
    size_t cases = scaled(5000), counts[3] = {0};
    scene *s = calloc(1, sizeof *s);
    rng r = {4};
    must(s != NULL, "no memory");
    s->arena = guarded_make(ARENA_BYTES);
    for (size_t i = 0; i < cases; i++) {
        enum verdict verdict = random_scene(&r, s, true);
        must(verdict == ALLOWED, "the test's own rule refuses a closed-up arena");
        cut_scene(s, verdict, counts);
    }
    guarded_free(s->arena);
    free(s);
}
END_TEST

TCase *arena_cases(void)
{
    TCase *tests = tcase_create("arena");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, overlaps_in_one_arena);
    tcase_add_test(tests, arena_closed_up);
    return tests;
}

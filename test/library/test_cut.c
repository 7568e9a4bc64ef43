/*
 * Surgery on views, against brute force: mskp_plan_views, mskp_plan_cut, mskp_gather.
 *
 * Every test compares whole memory images: what the call has to write is written there, and every
 * other byte is as before. Buffers lie between guard pages.
 */
#include "cutting/surgery.h"

#include "by_id/by_id.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const mskp_dtype sizes[5] = {MSKP_DTYPE_BYTES_1, MSKP_DTYPE_BYTES_2, MSKP_DTYPE_BYTES_4,
                                    MSKP_DTYPE_BYTES_8, MSKP_DTYPE_BYTES_16};

/* ---- All small shapes, layouts and masks ---- */

enum { LAYOUTS = 48, SLOT = 64 * 16 + 16 };

typedef struct exhaustive {
    uint32_t ndim;
    size_t shape[MSKP_MAX_DIMS];
    network net;
    size_t layouts, bytes[5];
    mskp_tensor full[5][LAYOUTS];
    unsigned char before[5][LAYOUTS * SLOT];
    unsigned char *image;
    guarded memory;
    size_t plans, cuts;
} exhaustive;

static size_t permutations(uint32_t n, uint32_t orders[6][3])
{
    size_t count = 0;
    for (uint32_t code = 0; code < 27; code++) {
        uint32_t order[3] = {code / 9, code / 3 % 3, code % 3}, seen = 0;
        for (uint32_t i = 0; i < n; i++) seen |= 1u << order[i];
        bool rest = n == 3 || (n == 2 && order[2] == 0) || (order[1] == 0 && order[2] == 0);
        if (seen == (1u << n) - 1 && (rest || n == 3)) memcpy(orders[count++], order, sizeof order);
    }
    return count;
}

static void lay_out(exhaustive *x, rng *r)
{
    uint32_t orders[6][3];
    size_t n = permutations(x->ndim, orders);
    x->layouts = n << x->ndim;
    for (size_t d = 0; d < 5; d++) {
        unsigned char *start = x->memory.start;
        rng_fill(r, x->before[d], sizeof x->before[d]);
        for (size_t i = 0; i < x->layouts; i++) {
            mskp_tensor *view = &x->full[d][i];
            *view =
                view_dense_layout(sizes[d], x->ndim, x->shape, orders[i % n], (unsigned)(i / n));
            view_place(view, start);
            view_number(view, x->memory.start, x->before[d]);
            start += view_extent(view) + 16;
        }
        x->bytes[d] = (size_t)(start - x->memory.start) - 16;
    }
}

/* mskp_plan_cut, after mskp_plan_check, which must say the same. Had the check moved something, the
 * cut would find other elements or other shapes. */
static mskp_status checked_cut(const mskp_plan *plan, size_t params, size_t sets,
                               const move_by_id *moves, mskp_error *err)
{
    mskp_error found = *err;
    const mskp_status status = moved_by_id(mskp_plan_check, plan, params, sets, moves, &found);
    const mskp_status cut = cut_by_id(plan, params, sets, moves, err);
    must(status == cut && found.status == err->status && !strcmp(found.text, err->text),
         "%d and \"%s\", the cut says %d and \"%s\"", (int)status, found.text, (int)cut, err->text);
    return cut;
}

/* All layouts are sets of one call, which ends where the guard page begins. */
static void cut_all_layouts(exhaustive *x, size_t d, const kept_indices *kept)
{
    mskp_tensor views[LAYOUTS][2], small[2], after;
    move_by_id moves[LAYOUTS];
    size_t bytes = x->bytes[d], shift = (x->memory.size - bytes) / 16 * 16;
    if (x->plans % 2) shift = 0;
    unsigned char *memory = x->memory.start + shift;
    memcpy(memory, x->before[d], bytes);
    memcpy(x->image, x->before[d], bytes);
    for (size_t i = 0; i < x->layouts; i++) {
        views[i][0] = (mskp_tensor){0};
        views[i][1] = x->full[d][i];
        views[i][1].data = (unsigned char *)views[i][1].data + shift;
        moves[i] = (move_by_id){views[i], NULL};
    }
    mskp_error err = untouched;
    mskp_status status = checked_cut(x->net.plan, 1, x->layouts, moves, &err);
    must(status == MSKP_OK, "%d: %s", (int)status, err.text);
    must_be_untouched(&err);
    for (size_t i = 0; i < x->layouts; i++) {
        mskp_tensor from[2] = {{0}, x->full[d][i]};
        from[1].data = (unsigned char *)from[1].data + shift;
        after = view_after_cut(&from[1], kept);
        mskp_tensor got = view_resolved(views[i][1], x->ndim, kept->n);
        must(views_agree(&got, &after), "layout %zu of %zu", i, x->layouts);
        view_gather(&from[1], kept, memory, x->before[d], &after, memory, x->image);
        if (x->plans % 5 == d) {
            status = mskp_plan_views(x->net.plan, set_by_id(1, from), set_by_id(1, small), &err);
            must(status == MSKP_OK, "%d: %s", (int)status, err.text);
            got = view_resolved(small[1], x->ndim, kept->n);
            must(views_agree(&got, &after), "layout %zu of %zu", i, x->layouts);
        }
        x->cuts++;
    }
    must(memcmp(memory, x->image, bytes) == 0, "wrong bytes, element size %zu, %u axes",
         dtype_size(sizes[d]), x->ndim);
}

static void every_mask(exhaustive *x)
{
    const uint32_t *units[3] = {NULL, NULL, NULL};
    unsigned all[3] = {1, 1, 1}, mask[3];
    for (uint32_t a = 0; a < x->ndim; a++) {
        units[a] = mskp_param_units(x->net.graph, (mskp_param){1}, a, NULL, NULL);
        all[a] = (1u << x->shape[a]) - 1;
    }
    for (mask[0] = 1; mask[0] <= all[0]; mask[0]++)
        for (mask[1] = 1; mask[1] <= all[1]; mask[1]++)
            for (mask[2] = 1; mask[2] <= all[2]; mask[2]++) {
                unsigned less = 0;
                for (uint32_t a = 0; a < 3; a++) less += mask[a] != all[a];
                if (less > 2) continue;
                for (uint32_t a = 0; a < x->ndim; a++)
                    for (size_t i = 0; i < x->shape[a]; i++)
                        x->net.keep[units[a][i]] = mask[a] >> i & 1;
                network_plan(&x->net);
                kept_indices kept;
                kept_of(&x->net, (mskp_param){1}, &kept);
                for (size_t d = 0; d < 5; d++) cut_all_layouts(x, d, &kept);
                mskp_plan_destroy(x->net.plan);
                x->net.plan = NULL;
                x->plans++;
            }
}

START_TEST(every_small_view)
{
    exhaustive *x = calloc(1, sizeof *x);
    rng r = {1};
    must(x != NULL, "no memory");
    x->memory = guarded_make(LAYOUTS * SLOT);
    x->image = malloc(LAYOUTS * SLOT);
    size_t longest = scaled(100) < 50 ? 3 : 4; /* valgrind takes the smaller ones */
    for (x->ndim = 1; x->ndim <= 3; x->ndim++) {
        memset(x->shape, 0, sizeof x->shape);
        do {
            size_t shape[MSKP_MAX_DIMS], limits[3] = {longest, longest, longest};
            mskp_graph *graph = mskp_graph_create(NULL);
            for (uint32_t a = 0; a < x->ndim; a++) shape[a] = x->shape[a] + 1;
            mskp_param param = network_param(graph, 1, x->ndim, shape);
            for (uint32_t a = 0; a < x->ndim; a++)
                mskp_bind(graph, param, a, 0, mskp_fresh(graph, NULL, shape[a], 0, NULL));
            x->net = (network){.graph = network_finish(graph), .params = 1};
            x->net.units = mskp_graph_counts(graph).units;
            size_t index[MSKP_MAX_DIMS];
            memcpy(index, x->shape, sizeof index);
            memcpy(x->shape, shape, x->ndim * sizeof *shape);
            lay_out(x, &r);
            every_mask(x);
            network_free(&x->net);
            memcpy(x->shape, index, sizeof index);
            if (!index_next(x->shape, x->ndim, limits)) break;
        } while (true);
    }
    printf("%zu plans, %zu views cut in place\n", x->plans, x->cuts);
    guarded_free(x->memory);
    free(x->image);
    free(x);
}
END_TEST

static bool keeps_all(const mskp_tensor *view, const kept_indices *kept)
{
    return memcmp(view->shape, kept->n, view->ndim * sizeof *kept->n) == 0;
}

/* ---- Random views of up to 6 axes, one at a time ---- */

enum { ARENAS = 9 };
static guarded arenas[2][ARENAS];

/* A guarded arena of at least so many bytes, filled; the offset puts them at one of its ends. */
static guarded arena_for(rng *r, int which, size_t bytes, bool at_end, size_t *offset)
{
    size_t i = 0;
    while (i + 1 < ARENAS && ((size_t)4096 << i) < bytes) i++;
    if (arenas[which][i].start == NULL) arenas[which][i] = guarded_make((size_t)4096 << i);
    guarded g = arenas[which][i];
    must(bytes <= g.size, "%zu bytes", bytes);
    rng_fill(r, g.start, g.size);
    *offset = at_end ? g.size - bytes : 0;
    return g;
}

/* Fields that a view may leave 0 are 0 at times. */
static mskp_tensor abbreviated(rng *r, const mskp_tensor *view)
{
    mskp_tensor brief = *view, packed = *view;
    memset(packed.stride, 0, sizeof packed.stride);
    packed = view_resolved(packed, 0, NULL);
    if (!strides_agree(view, &packed) || rng_chance(r, 3)) return brief;
    memset(brief.stride, 0, sizeof brief.stride);
    if (rng_chance(r, 2)) brief = (mskp_tensor){.data = view->data, .dtype = view->dtype};
    return brief;
}

static const mskp_tensor nothing; /* entry 0 */

static void cut_one(rng *r, const network *n, const kept_indices *kept, const mskp_tensor *resolved,
                    guarded a, const unsigned char *before, size_t counts[3])
{
    mskp_tensor poison, views[2], small[2], after = view_after_cut(resolved, kept);
    memset(&poison, 0x5a, sizeof poison); /* entry 0 belongs to no tensor, and is never written */
    poison.data = NULL;
    poison.ndim = 0;
    poison.elements = 0;
    mskp_tensor from[2] = {poison, abbreviated(r, resolved)};
    move_by_id move = {from, NULL};
    mskp_error err = untouched;

    /* Where it will lie; over itself, too. */
    memset(small, 0x5a, sizeof small);
    small[0] = poison;
    memcpy(views, from, sizeof from);
    must(mskp_plan_views(n->plan, set_by_id(1, from), set_by_id(1, small), &err) == MSKP_OK, "%s",
         err.text);
    must(memcmp(&small[0], &poison, sizeof poison) == 0, "entry 0 was written");
    must(mskp_plan_views(n->plan, set_by_id(1, views), set_by_id(1, views), &err) == MSKP_OK, "%s",
         err.text);
    must(memcmp(&views[0], &poison, sizeof poison) == 0, "entry 0 was written");
    mskp_tensor got = view_resolved(small[1], after.ndim, after.shape);
    must(views_agree(&got, &after), "not where the rule says");
    got = view_resolved(views[1], after.ndim, after.shape);
    must(views_agree(&got, &after), "not where the rule says when small is full");
    must_hold(a, before, "mskp_plan_views touched data");

    /* Elsewhere; the source can only be read. */
    layout_kind kind = (layout_kind)rng_below(r, 3);
    mskp_tensor to = view_random_layout(r, kind, resolved->dtype, after.ndim, after.shape);
    size_t offset, extent = view_extent(&to);
    guarded b = arena_for(r, 1, extent, rng_chance(r, 2), &offset);
    view_place(&to, b.start + offset);
    unsigned char *image = copy_of(b);
    mskp_tensor target[2] = {poison, abbreviated(r, &to)};
    move.to = target;
    memcpy(views, from, sizeof from);
    memcpy(small, target, sizeof target);
    guarded_write(a, false);
    mskp_status status = checked_cut(n->plan, 1, 1, &move, &err);
    guarded_write(a, true);
    if (view_nested(&to)) {
        must(status == MSKP_OK, "%d: %s", (int)status, err.text);
        must_be_untouched(&err);
        view_gather(resolved, kept, a.start, before, &to, b.start, image);
        counts[0]++;
    } else {
        must_be_refused(status, MSKP_ERROR_OVERLAP, &err);
        err = untouched;
        counts[1]++;
    }
    must_hold(b, image, "elsewhere");
    must(memcmp(views, from, sizeof from) == 0, "from's views changed");
    must(memcmp(small, target, sizeof target) == 0, "to's views changed");
    free(image);

    /* In place. Where all stays, nothing is written. */
    image = copy_of(a);
    view_gather(resolved, kept, a.start, before, &after, a.start, image);
    move.to = NULL;
    bool whole = keeps_all(resolved, kept);
    if (whole) guarded_write(a, false);
    status = checked_cut(n->plan, 1, 1, &move, &err);
    if (whole) guarded_write(a, true);
    must(status == MSKP_OK, "%d: %s", (int)status, err.text);
    must_be_untouched(&err);
    must_hold(a, image, "in place");
    got = view_resolved(from[1], after.ndim, after.shape);
    must(views_agree(&got, &after), "in place: the view differs from that of mskp_plan_views");
    must(memcmp(&from[0], &poison, sizeof poison) == 0, "entry 0 was written");
    free(image);
}

START_TEST(random_views)
{
    size_t cases = scaled(20000), counts[3] = {0};
    rng r = {2};
    for (size_t i = 0; i < cases; i++) {
        network n;
        kept_indices kept;
        network_random(&r, &n, 1, rng_chance(&r, 8) ? 300 : 60);
        kept_of(&n, (mskp_param){1}, &kept);
        size_t shape[MSKP_MAX_DIMS], offset;
        uint32_t ndim = mskp_param_shape(n.graph, (mskp_param){1}, shape);
        mskp_dtype dtype = every_dtype[rng_below(&r, DTYPES)];
        layout_kind layout = (layout_kind)rng_below(&r, 3);
        mskp_tensor view = view_random_layout(&r, layout, dtype, ndim, shape);
        /* Elements of 16 bytes need be aligned to 8 only. */
        size_t odd = dtype_size(view.dtype) == 16 && rng_chance(&r, 2) ? 8 : 0;
        bool at_end = rng_chance(&r, 2);
        guarded a = arena_for(&r, 0, view_extent(&view) + odd, at_end, &offset);
        view_place(&view, a.start + offset + (at_end ? 0 : odd));
        if (view_nested(&view)) {
            view_number(&view, a.start, a.start);
            unsigned char *before = copy_of(a);
            cut_one(&r, &n, &kept, &view, a, before, counts);
            free(before);
        } else {
            unsigned char *before = copy_of(a);
            mskp_tensor from[2] = {nothing, view}, same[2] = {nothing, view}, small[2],
                        kept_small[2];
            memset(small, 0x5a, sizeof small);
            memcpy(kept_small, small, sizeof small);
            mskp_error err = untouched;
            must_be_refused(mskp_plan_views(n.plan, set_by_id(1, from), set_by_id(1, small), &err),
                            MSKP_ERROR_OVERLAP, &err);
            must(memcmp(small, kept_small, sizeof small) == 0, "views written on failure");
            move_by_id move = {from, NULL};
            err = untouched;
            must_be_refused(checked_cut(n.plan, 1, 1, &move, &err), MSKP_ERROR_OVERLAP, &err);
            must(strstr(err.text, "layer1.weight") != NULL, "no name: %s", err.text);
            must(memcmp(from, same, sizeof from) == 0, "views written on failure");
            must_hold(a, before, "refused, but written");
            free(before);
            counts[2]++;
        }
        network_free(&n);
    }
    printf("%zu random views cut, %zu targets and %zu sources refused\n", cases - counts[2],
           counts[1], counts[2]);
}
END_TEST

/* ---- mskp_gather: one axis gathered, in any order, with repetitions ---- */

static bool share_bytes(const mskp_tensor *a, const mskp_tensor *b, guarded g)
{
    uint64_t *map = calloc(g.size, sizeof *map);
    bool shared = false;
    must(map != NULL, "no memory");
    view_mark(a, g.start, map, 1);
    view_mark(b, g.start, map, 2);
    for (size_t i = 0; i < g.size; i++) shared = shared || map[i] == 3;
    free(map);
    return shared;
}

static void take_one(rng *r, size_t counts[2])
{
    uint32_t ndim = 1 + (uint32_t)rng_below(r, MSKP_MAX_DIMS), index[LONGEST_AXIS];
    uint32_t axis = (uint32_t)rng_below(r, ndim);
    size_t shape[MSKP_MAX_DIMS] = {0}, small[MSKP_MAX_DIMS] = {0};
    for (uint32_t a = 0; a < ndim; a++) small[a] = shape[a] = 1 + rng_below(r, ndim > 3 ? 3 : 5);
    small[axis] = 1 + rng_below(r, 8);
    kept_indices kept = {{0}, {{0}}};
    for (uint32_t a = 0; a < ndim; a++)
        for (kept.n[a] = 0; kept.n[a] < small[a]; kept.n[a]++)
            kept.index[a][kept.n[a]] = a == axis ? rng_below(r, shape[a]) : kept.n[a];
    for (size_t i = 0; i < small[axis]; i++) index[i] = (uint32_t)kept.index[axis][i];

    mskp_dtype dtype = every_dtype[rng_below(r, DTYPES)];
    layout_kind layouts[2] = {rng_chance(r, 4) ? LAYOUT_WILD : LAYOUT_GAPS, LAYOUT_DENSE};
    if (rng_chance(r, 2)) layouts[1] = rng_chance(r, 4) ? LAYOUT_WILD : LAYOUT_GAPS;
    mskp_tensor from = view_random_layout(r, layouts[0], dtype, ndim, shape);
    mskp_tensor to = view_random_layout(r, layouts[1], dtype, ndim, small);
    size_t offset, size = dtype_size(dtype), extents[2] = {view_extent(&from), view_extent(&to)};
    bool near = rng_chance(r, 3), first = rng_chance(r, 2), at_end = rng_chance(r, 2);
    size_t room = near ? 3 * size + (extents[0] > extents[1] ? extents[0] : extents[1])
                       : extents[0] + extents[1];
    guarded g = arena_for(r, 0, room, at_end, &offset);
    unsigned char *start = g.start + offset, *end = start + room;
    view_place(first ? &from : &to, start);
    if (near)
        view_place(first ? &to : &from, start + rng_below(r, 4) * size);
    else
        view_place(first ? &to : &from, end - extents[first]);
    bool good = view_nested(&from) && view_nested(&to) && !share_bytes(&from, &to, g);
    if (view_nested(&from)) view_number(&from, g.start, g.start);

    unsigned char *image = copy_of(g), *before = copy_of(g);
    mskp_tensor packed = abbreviated(r, &to);
    if (packed.ndim == 0) packed = to; /* mskp_gather wants views that are complete */
    mskp_error err = untouched;
    mskp_status status = mskp_gather(NULL, &from, axis, small[axis], index, &packed, &err);
    if (good) {
        must(status == MSKP_OK, "%d: %s", (int)status, err.text);
        must_be_untouched(&err);
        view_gather(&from, &kept, g.start, before, &to, g.start, image);
    } else {
        must_be_refused(status, MSKP_ERROR_OVERLAP, &err);
    }
    must_hold(g, image, "take");
    counts[good]++;
    free(image);
    free(before);
}

START_TEST(random_takes)
{
    size_t cases = scaled(20000), counts[2] = {0};
    rng r = {5};
    for (size_t i = 0; i < cases; i++) take_one(&r, counts);
    printf("take: %zu done, %zu refused\n", counts[1], counts[0]);
}
END_TEST

/* ---- Strides of axes of length 1 are ignored, by all that read tensors ---- */

START_TEST(ignored_strides)
{
    const size_t shape[5] = {1, 4, 1, 3, 1};
    const ptrdiff_t odd[] = {0, -1, 7, 1000000, PTRDIFF_MAX, PTRDIFF_MIN, PTRDIFF_MAX / 4 + 1};
    mskp_graph *graph = mskp_graph_create(NULL);
    mskp_param param = network_param(graph, 1, 5, shape);
    mskp_value four = mskp_fresh(graph, NULL, 4, 0, NULL),
               one = mskp_fresh(graph, NULL, 1, 0, NULL);
    mskp_bind(graph, param, 1, MSKP_ROLE_FILTER | MSKP_ROLE_SCALE, four);
    mskp_bind(graph, param, 2, MSKP_ROLE_CONSUMER, one);
    network n = {.graph = network_finish(graph), .params = 1, .units = 5, .keep = {1, 0, 1, 1, 1}};
    network_plan(&n);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        double scores[2][5], value[2];
        float numbers[2][48], gradients[2][48] = {{0}}, taken[2][24] = {{0}};
        for (size_t k = 0; k < 2; k++) {
            for (size_t j = 0; j < 48; j++) numbers[k][j] = (float)j - 20;
            const ptrdiff_t s = k ? odd[i] : 1;
            mskp_tensor set[2] = {{0}, {.data = numbers[k], .ndim = 5, .shape = {1, 4, 1, 3, 1}}};
            mskp_tensor slopes[2], half = {.data = taken[k], .ndim = 5, .shape = {1, 2, 1, 3, 1}};
            const ptrdiff_t strides[5] = {s, 8, s, 2, s}, small[5] = {s, 3, s, 1, s};
            memcpy(set[1].stride, strides, sizeof strides);
            memcpy(half.stride, small, sizeof small);
            memcpy(slopes, set, sizeof set);
            slopes[1].data = gradients[k];
            mskp_error err = untouched;
            const mskp_scoring scoring = {.roles = MSKP_ROLES_UNIT};
            const mskp_penalty penalty = {.roles = MSKP_ROLES_UNIT};
#define GOOD(call) must((call) == MSKP_OK, "%s", err.text)
            GOOD(mskp_score(graph, &scoring, set_by_id(1, set), scores_of(5, scores[k]), &err));
            GOOD(mskp_penalty_value(graph, mask_of(5, n.keep), &penalty, set_by_id(1, set),
                                    &value[k], &err));
            GOOD(mskp_penalty_gradient(graph, mask_of(5, n.keep), &penalty, 0.5, set_by_id(1, set),
                                       set_by_id(1, slopes), &err));
            GOOD(mskp_penalty_prox(graph, mask_of(5, n.keep), &penalty, 0.5, set_by_id(1, set),
                                   &err));
            GOOD(mskp_penalty_deadline(graph, mask_of(5, n.keep), &penalty, 1, set_by_id(1, set),
                                       &err));
            GOOD(mskp_gather(NULL, &set[1], 1, 2, (uint32_t[]){3, 1}, &half, &err));
            GOOD(mskp_plan_views(n.plan, set_by_id(1, slopes), set_by_id(1, slopes), &err));
            must(slopes[1].stride[1] == 8 && slopes[1].stride[3] == 2, "gaps were lost");
            GOOD(checked_cut(n.plan, 1, 1, &(move_by_id){set, NULL}, &err));
        }
        must(memcmp(scores[0], scores[1], sizeof scores[0]) == 0, "scores, %td", odd[i]);
        must(value[0] == value[1] && value[0] > 0, "value, %td", odd[i]);
        must(memcmp(gradients[0], gradients[1], sizeof gradients[0]) == 0, "slopes, %td", odd[i]);
        must(memcmp(numbers[0], numbers[1], sizeof numbers[0]) == 0, "values, %td", odd[i]);
        must(memcmp(taken[0], taken[1], sizeof taken[0]) == 0, "taken, %td", odd[i]);
    }
    network_free(&n);
}
END_TEST

/* Also by the rule that all strides of 0 mean packed. */
START_TEST(one_stride_that_is_ignored)
{
    float numbers[8] = {0, 1, 2, 3, 4, 5, 6, 7}, taken[3];
    const mskp_tensor from = {.data = numbers, .ndim = 2, .shape = {1, 8}, .stride = {5, 0}};
    const mskp_tensor to = {.data = taken, .ndim = 2, .shape = {1, 3}};
    mskp_error err = untouched;
    must(!mskp_gather(NULL, &from, 1, 3, (uint32_t[]){7, 0, 4}, &to, &err), "%s", err.text);
    must(taken[0] == 7 && taken[1] == 0 && taken[2] == 4, "taken");
}
END_TEST

/* ---- A parameter in another order of axes ---- */

/* mskp_param_view against the index of an array that is declared in that order. */
START_TEST(views_in_every_order_of_axes)
{
    const size_t shape[4] = {3, 2, 4, 5}, elements = 120;
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_param p = mskp_parameter(g, "w", 4, shape);
    for (uint32_t d = 0; d < 4; d++)
        mskp_bind(g, p, d, MSKP_ROLE_OTHER, mskp_fresh(g, NULL, shape[d], 0, NULL));
    mskp_error err = {0};
    mskp_tensor view = {0}, was = {.ndim = 77};
    const mskp_tensor never = was;
    ck_assert_int_eq(mskp_param_view(g, p, NULL, NULL, MSKP_DTYPE_F32, &was, &err),
                     MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_graph_finish(g, &err), MSKP_OK);
    float data[120];
    size_t good = 0;
    for (uint32_t code = 0; code < 625; code++) {
        const uint32_t order[4] = {code / 125, code / 25 % 5, code / 5 % 5, code % 5};
        uint32_t seen = 0;
        for (int i = 0; i < 4; i++) seen |= 1u << order[i];
        if (seen != 15) {
            ck_assert_int_eq(mskp_param_view(g, p, order, data, MSKP_DTYPE_F32, &was, &err),
                             MSKP_ERROR_BAD_ARGUMENT);
            ck_assert_mem_eq(&was, &never, sizeof was);
            continue;
        }
        good++;
        GOOD(mskp_param_view(g, p, order, data, MSKP_DTYPE_F32, &view, &err));
        must(view.ndim == 4 && view.elements == elements && view.data == data, "code %u", code);
        size_t i = 0, index[4];
        for (size_t n = 0; n < elements; n++, i++) { /* memory in order, the last axis fastest */
            size_t rest = n;
            ptrdiff_t at = 0;
            for (int k = 4; k-- > 0;) {
                index[order[k]] = rest % shape[order[k]];
                rest /= shape[order[k]];
            }
            for (int d = 0; d < 4; d++) at += (ptrdiff_t)index[d] * view.stride[d];
            must(at == (ptrdiff_t)n, "code %u: element %zu lies at %td", code, n, at);
        }
    }
    must(good == 24, "%zu orders", good);
    mskp_tensor plain;
    GOOD(mskp_param_view(g, p, NULL, data, MSKP_DTYPE_F64, &view, &err));
    GOOD(mskp_param_view(g, p, (uint32_t[]){0, 1, 2, 3}, data, MSKP_DTYPE_F64, &plain, &err));
    ck_assert_mem_eq(&view, &plain, sizeof view);
    const mskp_param none = {0}, other = {2};
    ck_assert_int_eq(mskp_param_view(g, none, NULL, data, MSKP_DTYPE_F32, &was, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_param_view(g, other, NULL, data, MSKP_DTYPE_F32, &was, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_param_view(g, p, NULL, data, (mskp_dtype)9, &was, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_param_view(NULL, p, NULL, data, MSKP_DTYPE_F32, &was, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_param_view(g, p, NULL, data, MSKP_DTYPE_F32, NULL, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_mem_eq(&was, &never, sizeof was);
    mskp_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cut");
    TCase *tests = tcase_create("cut");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, views_in_every_order_of_axes);
    tcase_add_test(tests, every_small_view);
    tcase_add_test(tests, random_views);
    tcase_add_test(tests, random_takes);
    tcase_add_test(tests, ignored_strides);
    tcase_add_test(tests, one_stride_that_is_ignored);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, arena_cases());
    suite_add_tcase(suite, large_cases());
    suite_add_tcase(suite, refusal_cases());
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

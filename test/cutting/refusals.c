/* What surgery refuses, with which status and sentence, and that it then has changed nothing. */
#include "surgery.h"

#include "by_id/by_id.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * 1 [5][4]   2 [5]   3 [7][5]   4 [6]   5 [5]   6 [7][5]
 *
 * The axes of length 5 lose their channels 1 and 3, the others nothing.
 */
enum { PARAMS = 6, SETS = 3, ROOM = 1024 };
static const size_t lost_axis[PARAMS + 1] = {0, 0, 0, 1, 2, 0, 1}; /* 2: none */
static const size_t shapes[PARAMS + 1][2] = {{0, 0}, {5, 4}, {5, 0}, {7, 5},
                                             {6, 0}, {5, 0}, {7, 5}};
static const uint32_t axes[PARAMS + 1] = {0, 2, 1, 2, 1, 1, 2};

typedef struct bench {
    network net;
    kept_indices kept[PARAMS + 1];
    guarded source, target;
    mskp_tensor from[SETS][PARAMS + 1], to[SETS][PARAMS + 1];
    move_by_id moves[SETS];
    size_t sets, params;
} bench;

static void bench_open(bench *b)
{
    mskp_graph *graph = mskp_graph_create(NULL);
    must(graph != NULL, "no memory");
    mskp_value shared = mskp_fresh(graph, "shared", 5, 0, NULL);
    for (size_t p = 1; p <= PARAMS; p++) {
        mskp_param param = network_param(graph, p, axes[p], shapes[p]);
        if (lost_axis[p] < 2)
            mskp_bind(graph, param, (uint32_t)lost_axis[p], MSKP_ROLE_OTHER, shared);
        else
            mskp_bind(graph, param, 0, MSKP_ROLE_OTHER, mskp_fresh(graph, "whole", 6, 0, NULL));
    }
    *b = (bench){.net = {.graph = network_finish(graph)}, .sets = SETS, .params = PARAMS};
    b->net.units = mskp_graph_counts(graph).units;
    memset(b->net.keep, 1, sizeof b->net.keep);
    const uint32_t *units = mskp_value_units(graph, shared, NULL);
    b->net.keep[units[1]] = b->net.keep[units[3]] = 0;
    network_plan(&b->net);
    for (uint32_t p = 1; p <= PARAMS; p++) kept_of(&b->net, (mskp_param){p}, &b->kept[p]);
    b->source = guarded_make(SETS * PARAMS * ROOM);
    b->target = guarded_make(SETS * PARAMS * ROOM);
}

static void bench_close(bench *b)
{
    guarded_free(b->source);
    guarded_free(b->target);
    network_free(&b->net);
}

/* All packed; set 0 in place, set 1 elsewhere, set 2 as the test chooses. */
static void bench_reset(bench *b, bool last_in_place)
{
    static const mskp_dtype types[SETS] = {MSKP_DTYPE_F32, MSKP_DTYPE_F64, MSKP_DTYPE_F32};
    rng r = {7};
    rng_fill(&r, b->source.start, b->source.size);
    rng_fill(&r, b->target.start, b->target.size);
    for (size_t s = 0; s < SETS; s++) {
        for (size_t p = 1; p <= PARAMS; p++) {
            size_t at = (s * PARAMS + p - 1) * ROOM;
            mskp_tensor *from = &b->from[s][p], *to = &b->to[s][p];
            *from = (mskp_tensor){.data = b->source.start + at, .dtype = types[s]};
            *from = view_resolved(*from, axes[p], shapes[p]);
            *to = (mskp_tensor){.data = b->target.start + at, .dtype = types[s]};
            *to = view_resolved(*to, axes[p], b->kept[p].n);
        }
        bool in_place = s == 0 || (s == 2 && last_in_place);
        b->moves[s] = (move_by_id){b->from[s], in_place ? NULL : b->to[s]};
    }
    b->sets = SETS;
    b->params = PARAMS;
}

static bool has_number(const char *text, size_t number)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%zu", number);
    for (const char *at = text; (at = strstr(at, digits)) != NULL; at++)
        if ((at == text || !isdigit((unsigned char)at[-1])) && !isdigit((unsigned char)at[n]))
            return true;
    return false;
}

#define BIT(status) (1u << (status))

/* Refused with one of the statuses; the sentence has the name (unless NULL) and both numbers
 * (unless equal); nothing has changed. */
static void refused_at(int line, bench *b, unsigned statuses, const char *name, size_t one,
                       size_t two)
{
    mskp_tensor from[SETS][PARAMS + 1], to[SETS][PARAMS + 1];
    unsigned char *source = copy_of(b->source), *target = copy_of(b->target);
    memcpy(from, b->from, sizeof from);
    memcpy(to, b->to, sizeof to);
    mskp_error err = untouched;
    mskp_status status = cut_by_id(b->net.plan, b->params, b->sets, b->moves, &err);
    must((int)status >= 0 && status < 32 && (statuses >> status & 1), "line %d: %d (%s)", line,
         (int)status, err.text);
    must_be_refused(status, status, &err);
    must(name == NULL || strstr(err.text, name) != NULL, "no %s in: %s", name, err.text);
    must(one == two || (has_number(err.text, one) && has_number(err.text, two)),
         "not both %zu and %zu in: %s", one, two, err.text);
    must(cut_by_id(b->net.plan, b->params, b->sets, b->moves, NULL) == status, "without err");
    must_hold(b->source, source, "sources");
    must_hold(b->target, target, "targets");
    must(memcmp(from, b->from, sizeof from) == 0, "from's views changed");
    must(memcmp(to, b->to, sizeof to) == 0, "to's views changed");
    free(source);
    free(target);
}

#define refused(...) refused_at(__LINE__, __VA_ARGS__)

/* Done, and right. */
static void done(bench *b)
{
    mskp_tensor after[SETS][PARAMS + 1];
    unsigned char *before = copy_of(b->source), *source = copy_of(b->source);
    unsigned char *target = copy_of(b->target);
    for (size_t s = 0; s < b->sets; s++)
        for (size_t p = 1; p <= b->params; p++) {
            after[s][p] = b->from[s][p];
            if (b->from[s][p].data == NULL) continue;
            mskp_tensor from = view_resolved(b->from[s][p], axes[p], shapes[p]), to;
            to = b->moves[s].to ? view_resolved(b->to[s][p], axes[p], b->kept[p].n)
                                : view_after_cut(&from, &b->kept[p]);
            if (b->moves[s].to == NULL) after[s][p] = to;
            bool inside = b->moves[s].to == NULL ||
                          ((unsigned char *)to.data >= b->source.start &&
                           (unsigned char *)to.data < b->source.start + b->source.size);
            view_gather(&from, &b->kept[p], b->source.start, before, &to,
                        inside ? b->source.start : b->target.start, inside ? source : target);
        }
    mskp_error err = untouched;
    mskp_status status = cut_by_id(b->net.plan, b->params, b->sets, b->moves, &err);
    must(status == MSKP_OK, "%d: %s", (int)status, err.text);
    must_be_untouched(&err);
    must_hold(b->source, source, "sources");
    must_hold(b->target, target, "targets");
    for (size_t s = 0; s < b->sets; s++)
        for (size_t p = 1; p <= b->params; p++) {
            mskp_tensor view = b->from[s][p];
            if (view.data) view = view_resolved(view, axes[p], b->kept[p].n);
            must(view.data ? views_agree(&view, &after[s][p]) : after[s][p].data == NULL,
                 "set %zu, parameter %zu", s, p);
        }
    free(before);
    free(source);
    free(target);
}

/* ---- All or nothing ---- */

START_TEST(one_bad_view_stops_all)
{
    bench b;
    bench_open(&b);
    mskp_tensor *from = &b.from[SETS - 1][3], *to = &b.to[SETS - 1][3];
    for (int in_place = 0; in_place < 2; in_place++) {
        bench_reset(&b, in_place);
        done(&b);
        bench_reset(&b, in_place);
        from->shape[1] = 6;
        refused(&b, BIT(MSKP_ERROR_BAD_SHAPE), "layer3.weight", 5, 6);
        bench_reset(&b, in_place);
        from->shape[0] = 0;
        refused(&b, BIT(MSKP_ERROR_BAD_SHAPE), "layer3.weight", 0, 7);
        bench_reset(&b, in_place);
        from->ndim = 1;
        refused(&b, BIT(MSKP_ERROR_BAD_SHAPE), "layer3.weight", 1, 2);
        bench_reset(&b, in_place);
        from->ndim = MSKP_MAX_DIMS + 1;
        refused(&b, BIT(MSKP_ERROR_BAD_SHAPE) | BIT(MSKP_ERROR_BAD_ARGUMENT), "layer3.weight", 0,
                0);
        bench_reset(&b, in_place);
        from->dtype = to->dtype = (mskp_dtype)5;
        refused(&b, BIT(MSKP_ERROR_BAD_ARGUMENT), "layer3.weight", 0, 0);
        bench_reset(&b, in_place);
        from->data = (unsigned char *)from->data + 2;
        refused(&b, BIT(MSKP_ERROR_BAD_ARGUMENT), "layer3.weight", 0, 0);
        bench_reset(&b, in_place);
        from->stride[0] = 0;
        refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer3.weight", 0, 0);
        bench_reset(&b, in_place);
        from->stride[0] = 4;
        refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer3.weight", 0, 0);
        bench_reset(&b, in_place);
        from->stride[0] = 2, from->stride[1] = 13;
        done(&b);
        bench_reset(&b, in_place);
        from->stride[0] = 2, from->stride[1] = 12;
        refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer3.weight", 0, 0);
        const ptrdiff_t huge[] = {PTRDIFF_MAX, PTRDIFF_MIN, PTRDIFF_MAX / 4, PTRDIFF_MIN / 4};
        for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
            bench_reset(&b, in_place);
            from->stride[0] = huge[i];
            refused(&b,
                    BIT(MSKP_ERROR_BAD_ARGUMENT) | BIT(MSKP_ERROR_BAD_SHAPE) |
                        BIT(MSKP_ERROR_UNSUPPORTED),
                    "layer3.weight", 0, 0);
        }
    }
    bench_close(&b);
}
END_TEST

START_TEST(alignment)
{
    bench b;
    bench_open(&b);
    for (size_t d = 0; d < DTYPES; d++)
        for (size_t off = 1; off < 16; off++) {
            size_t size = dtype_size(every_dtype[d]), align = size < 8 ? size : 8;
            bench_reset(&b, false);
            mskp_tensor *from = &b.from[SETS - 1][2], *to = &b.to[SETS - 1][2];
            from->dtype = to->dtype = every_dtype[d];
            from->data = (unsigned char *)from->data + off;
            if (off % align == 0)
                done(&b);
            else
                refused(&b, BIT(MSKP_ERROR_BAD_ARGUMENT), "layer2.weight", 0, 0);
            bench_reset(&b, false);
            from->dtype = to->dtype = every_dtype[d];
            to->data = (unsigned char *)to->data + off;
            if (off % align == 0)
                done(&b);
            else
                refused(&b, BIT(MSKP_ERROR_BAD_ARGUMENT), "layer2.weight", 0, 0);
        }
    bench_close(&b);
}
END_TEST

START_TEST(one_bad_target_stops_all)
{
    bench b;
    bench_open(&b);
    mskp_tensor *from = &b.from[SETS - 1][3], *to = &b.to[SETS - 1][3];
    bench_reset(&b, false);
    *to = b.from[SETS - 1][3];
    to->data = b.to[SETS - 1][2].data;
    refused(&b, BIT(MSKP_ERROR_BAD_SHAPE), "layer3.weight", 3, 5);
    bench_reset(&b, false);
    to->ndim = 1;
    refused(&b, BIT(MSKP_ERROR_BAD_SHAPE), "layer3.weight", 1, 2);
    bench_reset(&b, false);
    to->data = NULL;
    refused(&b, BIT(MSKP_ERROR_NO_DATA), "layer3.weight", 0, 0);
    bench_reset(&b, false);
    to->data = (unsigned char *)to->data + 1;
    refused(&b, BIT(MSKP_ERROR_BAD_ARGUMENT), "layer3.weight", 0, 0);
    const mskp_dtype others[] = {MSKP_DTYPE_F64, MSKP_DTYPE_BYTES_4, MSKP_DTYPE_F16, (mskp_dtype)5,
                                 (mskp_dtype)-1};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        bench_reset(&b, false);
        to->dtype = others[i];
        refused(&b, BIT(MSKP_ERROR_BAD_ARGUMENT) | BIT(MSKP_ERROR_UNSUPPORTED), "layer3.weight", 0,
                0);
    }
    bench_reset(&b, false);
    to->stride[0] = 0, to->stride[1] = 1;
    refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer3.weight", 0, 0);
    bench_reset(&b, false);
    to->stride[0] = -2;
    refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer3.weight", 0, 0);
    /* A tensor without data in `from` needs none in `to`, but a shape that is given there must
     * fit. */
    bench_reset(&b, false);
    from->data = NULL;
    *to = (mskp_tensor){.ndim = 99};
    refused(&b, BIT(MSKP_ERROR_BAD_SHAPE), "layer3.weight (to)", 99, 2);
    *to = (mskp_tensor){.elements = 1, .dtype = (mskp_dtype)5};
    refused(&b, BIT(MSKP_ERROR_BAD_ARGUMENT), "layer3.weight (to)", 0, 0);
    to->elements = 0;
    done(&b);
    bench_close(&b);
}
END_TEST

START_TEST(arguments)
{
    bench b;
    bench_open(&b);
    bench_reset(&b, true);
    mskp_tensor small[PARAMS + 1], before[PARAMS + 1];
    const unsigned mismatch = BIT(MSKP_ERROR_BAD_ARGUMENT) | BIT(MSKP_ERROR_OTHER_NETWORK);
    memset(small, 0x5a, sizeof small);
    memcpy(before, small, sizeof small);
    b.params = PARAMS - 1;
    refused(&b, mismatch, NULL, PARAMS - 1, PARAMS);
    b.params = PARAMS + 1;
    refused(&b, mismatch, NULL, PARAMS + 1, PARAMS);
    b.params = PARAMS;
    b.moves[SETS - 1].from = NULL;
    refused(&b, BIT(MSKP_ERROR_BAD_ARGUMENT), NULL, 0, 0);
    bench_reset(&b, true);
    mskp_error err;
#define IS_BAD(call) (err = untouched, must_be_refused(call, MSKP_ERROR_BAD_ARGUMENT, &err))
    must(cut_by_id(b.net.plan, PARAMS, 0, NULL, NULL) == MSKP_OK, "no sets");
    IS_BAD(cut_by_id(NULL, PARAMS, SETS, b.moves, &err));
    IS_BAD(cut_by_id(b.net.plan, PARAMS, SETS, NULL, &err));
    IS_BAD(mskp_plan_views(NULL, set_by_id(PARAMS, b.from[0]), set_by_id(PARAMS, small), &err));
    IS_BAD(mskp_plan_views(b.net.plan, set_by_id(PARAMS, NULL), set_by_id(PARAMS, small), &err));
    IS_BAD(
        mskp_plan_views(b.net.plan, set_by_id(PARAMS, b.from[0]), set_by_id(PARAMS, NULL), &err));
    b.from[0][PARAMS].dtype = (mskp_dtype)9;
    IS_BAD(
        mskp_plan_views(b.net.plan, set_by_id(PARAMS, b.from[0]), set_by_id(PARAMS, small), &err));
    must(strstr(err.text, "layer6.weight") != NULL, "%s", err.text);
    bench_reset(&b, true);
    b.from[0][PARAMS].shape[0] = 8;
    err = untouched;
    must_be_refused(
        mskp_plan_views(b.net.plan, set_by_id(PARAMS, b.from[0]), set_by_id(PARAMS, small), &err),
        MSKP_ERROR_BAD_SHAPE, &err);
    must(strstr(err.text, "layer6.weight") && has_number(err.text, 7) && has_number(err.text, 8),
         "%s", err.text);
    err = untouched;
    mskp_status status = mskp_plan_views(b.net.plan, set_by_id(PARAMS - 1, b.from[0]),
                                         set_by_id(PARAMS - 1, small), &err);
    must(status == MSKP_ERROR_BAD_ARGUMENT || status == MSKP_ERROR_OTHER_NETWORK, "%d",
         (int)status);
    must(memcmp(small, before, sizeof small) == 0, "views written on failure");
    bench_close(&b);
}
END_TEST

/* Masks that leave nothing of a value or of one group's channels; arguments of the plan. */
START_TEST(masks_that_keep_nothing)
{
    mskp_graph *g = mskp_graph_create(NULL), *small;
    mskp_plan *plan;
    uint8_t keep[10];
    mskp_error err;
    size_t n = 9;
    const mskp_value x = mskp_input(g, "x", 4, 1, (size_t[]){5});
    const mskp_param w = network_param(g, 1, 3, (size_t[]){6, 4, 1});
    const mskp_param grouped = network_param(g, 2, 3, (size_t[]){4, 3, 1});
    const mskp_value a = mskp_conv(g, "a", x, &(mskp_conv_desc){.weight = w});
    const mskp_value b = mskp_conv(
        g, "b", a,
        &(mskp_conv_desc){.weight = grouped, .groups = 2, .grouping = MSKP_GROUPING_TIED});
    network_finish(g);
    must(mskp_graph_counts(g).units == 5, "3 positions of two groups, 2 of the result's");
    memset(&plan, 0x5a, sizeof plan);
    memset(&small, 0x5a, sizeof small);
    mskp_plan *const no_plan = plan;
    mskp_graph *const no_small = small;
    for (unsigned mask = 0; mask < 32; mask++) {
        const uint32_t *of_a = mskp_value_units(g, a, NULL), *of_b = mskp_value_units(g, b, NULL);
        int in_a = 0, in_b = 0;
        for (unsigned u = 0; u < 5; u++) keep[u] = mask >> u & 1;
        for (int i = 0; i < 6; i++) in_a += keep[of_a[i]];
        for (int i = 0; i < 4; i++) in_b += keep[of_b[i]];
        err = untouched;
        const mskp_status status = mskp_plan_create(g, mask_of(5, keep), &plan, &small, &err);
        if (in_a && in_b) {
            must(status == MSKP_OK, "%s", err.text);
            (void)mskp_plan_value_kept(plan, a, &n);
            must(n == (size_t)in_a, "%zu of a", n);
            (void)mskp_plan_param_kept(plan, grouped, 1, &n);
            must(n * 2 == (size_t)in_a, "%zu of one group", n);
            mskp_plan_destroy(plan);
            mskp_graph_destroy(small);
            plan = no_plan;
            small = no_small;
            continue;
        }
        must_be_refused(status, MSKP_ERROR_NO_SOLUTION, &err);
        must(strncmp(err.text, in_a ? "b: " : "a: ", 3) == 0 && has_number(err.text, 0) &&
                 has_number(err.text, in_a ? 4 : 6),
             "%s", err.text);
        must(plan == no_plan && small == no_small, "refused, but something is made");
    }
    memset(keep, 1, sizeof keep);
    err = untouched;
    must_be_refused(mskp_plan_create(g, (mskp_mask){0}, &plan, &small, &err),
                    MSKP_ERROR_BAD_ARGUMENT, &err);
    err = untouched;
    must_be_refused(mskp_plan_create(g, mask_of(5, keep), NULL, &small, &err),
                    MSKP_ERROR_BAD_ARGUMENT, &err);
    err = untouched;
    must_be_refused(mskp_plan_create(g, mask_of(6, keep), &plan, &small, &err),
                    MSKP_ERROR_OTHER_NETWORK, &err);
    must(plan == no_plan && small == no_small, "refused, but something is made");
    must(mskp_plan_create(g, mask_of(5, keep), &plan, NULL, NULL) == MSKP_OK, "a plan");
    /* NULL with a count: all stay. NULL without: no such thing. */
    must(!mskp_plan_param_kept(plan, w, 0, &n) && n == 6, "%zu", n);
    must(!mskp_plan_param_kept(plan, w, 3, &n) && n == 0, "%zu", n);
    must(!mskp_plan_param_kept(plan, (mskp_param){3}, 0, &n) && n == 0, "%zu", n);
    must(!mskp_plan_param_kept(plan, (mskp_param){0}, 0, NULL), "no parameter");
    must(!mskp_plan_param_kept(NULL, w, 0, &n) && n == 0, "%zu", n);
    must(!mskp_plan_value_kept(plan, a, &n) && n == 6, "%zu", n);
    must(!mskp_plan_value_kept(plan, (mskp_value){4}, &n) && n == 0, "%zu", n);
    must(!mskp_plan_value_kept(plan, (mskp_value){0}, NULL), "no value");
    must(!mskp_plan_value_kept(NULL, a, &n) && n == 0, "%zu", n);
    must(mskp_plan_channels_kept(NULL, a, 0, 6) == 0, "counts of no plan");
    must(mskp_plan_channels_kept(plan, (mskp_value){0}, 0, 6) == 0, "counts of no value");
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
}
END_TEST

/* As many tensors as numbers of 32 bits can be sorted. One set stands for all. */
START_TEST(sets_have_a_largest_number)
{
    enum { MANY = 1 << 17, TIMES = 1 << 14 };
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_plan *plan;
    mskp_error err = untouched;
    const mskp_value v = mskp_fresh(g, "v", 1, 0, NULL);
    for (size_t p = 0; p < MANY; p++) mskp_attach(g, network_param(g, p, 1, (size_t[]){1}), v);
    network_finish(g);
    must(mskp_plan_create(g, mask_of(1, (uint8_t[]){1}), &plan, NULL, NULL) == MSKP_OK, "a plan");
    mskp_tensor *set = calloc(MANY + 1, sizeof *set);
    move_by_id *moves = calloc(TIMES, sizeof *moves);
    must(set != NULL && moves != NULL, "no memory");
    for (size_t s = 0; s < TIMES; s++) moves[s].from = set;
    must_be_refused(cut_by_id(plan, MANY, TIMES, moves, &err), MSKP_ERROR_UNSUPPORTED, &err);
    must(has_number(err.text, TIMES) && has_number(err.text, MANY), "%s", err.text);
    free(moves);
    free(set);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
}
END_TEST

START_TEST(long_names_are_shortened)
{
    char name[1001];
    for (size_t i = 0; i < sizeof name - 1; i++) name[i] = (char)('a' + i % 26);
    memcpy(name, "Front-end", 9);
    memcpy(name + sizeof name - 10, "Back-side", 10);
    mskp_graph *graph = mskp_graph_create(NULL);
    size_t shape[1] = {4};
    mskp_param param = mskp_parameter(graph, name, 1, shape);
    mskp_bind(graph, param, 0, MSKP_ROLE_OTHER, mskp_fresh(graph, NULL, 4, 0, NULL));
    network n = {.graph = network_finish(graph), .params = 1, .units = 4, .keep = {1, 0, 1, 1}};
    network_plan(&n);
    float data[4] = {0};
    mskp_tensor from[2] = {{0}, {.data = data, .ndim = 1, .shape = {123456}}};
    mskp_error err = untouched;
    must_be_refused(cut_by_id(n.plan, 1, 1, &(move_by_id){from, NULL}, &err), MSKP_ERROR_BAD_SHAPE,
                    &err);
    must(strstr(err.text, "Front-end") && strstr(err.text, "Back-side"), "%s", err.text);
    must(has_number(err.text, 123456) && has_number(err.text, 4), "%s", err.text);
    network_free(&n);
}
END_TEST

/* ---- Overlaps, one by one ---- */

START_TEST(overlaps_refused)
{
    bench b;
    bench_open(&b);
    mskp_tensor *from = b.from[SETS - 1], *to = b.to[SETS - 1];
    for (int in_place = 0; in_place < 2; in_place++) {
        /* The same memory as two parameters, wholly or by one element, and in two sets. */
        bench_reset(&b, true);
        if (!in_place) b.moves[0].to = b.to[0];
        from[6].data = from[3].data;
        refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer", 0, 0);
        bench_reset(&b, true);
        from[5].data = (float *)from[3].data + 20;
        refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer", 0, 0);
        bench_reset(&b, true);
        from[3].data = b.from[0][3].data;
        refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer3.weight", 0, 0);
    }
    bench_reset(&b, true);
    b.moves[SETS - 1].from = b.from[0];
    refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer", 0, 0);
    /* Whole tensors stay where they are, but nothing else may go there. */
    bench_reset(&b, false);
    to[5].data = b.from[0][4].data;
    refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer", 0, 0);
    /* Onto a source that is still to be read, of this set and of another. */
    bench_reset(&b, false);
    to[1].data = from[3].data;
    refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer1.weight", 0, 0);
    bench_reset(&b, false);
    b.to[1][2].data = (float *)from[6].data + 34;
    refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer2.weight", 0, 0);
    /* Above its own source; over it with other strides; two into one place. */
    bench_reset(&b, false);
    to[3].data = (float *)from[3].data + 1;
    refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer3.weight", 0, 0);
    bench_reset(&b, false);
    to[4].data = (float *)from[4].data + 5;
    refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer4.weight", 0, 0);
    bench_reset(&b, false);
    to[3].data = from[3].data;
    to[3].stride[0] = 1, to[3].stride[1] = 7;
    refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer3.weight", 0, 0);
    bench_reset(&b, false);
    to[3].data = (float *)from[3].data - 1;
    to[3].stride[0] = 4;
    refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer3.weight", 0, 0);
    bench_reset(&b, false);
    to[2].data = to[5].data;
    refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer", 0, 0);
    bench_reset(&b, false);
    to[2].data = b.to[1][6].data;
    refused(&b, BIT(MSKP_ERROR_OVERLAP), "layer", 0, 0);
    bench_close(&b);
}
END_TEST

START_TEST(overlaps_allowed)
{
    bench b;
    bench_open(&b);
    mskp_tensor *from = b.from[SETS - 1], *to = b.to[SETS - 1];
    /* In place, said by `to`; one element below; onto a source that was read before. */
    bench_reset(&b, false);
    for (size_t p = 1; p <= PARAMS; p++) to[p].data = from[p].data;
    done(&b);
    bench_reset(&b, false);
    for (size_t p = 1; p <= PARAMS; p++) to[p].data = (float *)from[p].data - 1;
    done(&b);
    bench_reset(&b, false);
    to[3].data = from[1].data, to[3].stride[0] = 1, to[3].stride[1] = 7;
    done(&b);
    /* Between the elements of another. */
    bench_reset(&b, false);
    from[3].stride[0] = 10, from[3].stride[1] = 2;
    to[2].data = (float *)from[3].data + 1, to[2].stride[0] = 2;
    done(&b);
    bench_close(&b);
}
END_TEST

/* gamma and beta side by side; two matrices in the columns of one; what is whole is not written;
 * what has no data is skipped. */
START_TEST(interleaved_in_place)
{
    bench b;
    bench_open(&b);
    for (int backwards = 0; backwards < 2; backwards++) {
        bench_reset(&b, true);
        for (size_t s = 0; s < SETS; s++) {
            size_t size = dtype_size(b.from[s][2].dtype);
            mskp_tensor *gamma = &b.from[s][2], *beta = &b.from[s][5];
            gamma->stride[0] = beta->stride[0] = backwards ? -2 : 2;
            view_place(gamma, b.source.start + s * PARAMS * ROOM);
            view_place(beta, view_start(gamma) + size);
            mskp_tensor *left = &b.from[s][3], *right = &b.from[s][6];
            left->stride[0] = right->stride[0] = backwards ? -10 : 10;
            view_place(left, b.source.start + (s * PARAMS + 2) * ROOM);
            view_place(right, view_start(left) + 5 * size);
            b.from[s][1].data = NULL;
        }
        b.moves[1].to = NULL;
        done(&b);
    }
    guarded apart = guarded_make(ROOM);
    bench_reset(&b, true);
    b.from[0][4].data = apart.start;
    guarded_write(apart, false);
    must(cut_by_id(b.net.plan, PARAMS, SETS, b.moves, NULL) == MSKP_OK, "whole tensor");
    must(b.from[0][4].data == apart.start, "moved");
    guarded_free(apart);
    for (size_t p = 1; p <= PARAMS; p++) b.from[0][p] = (mskp_tensor){0};
    must(cut_by_id(b.net.plan, PARAMS, 1, b.moves, NULL) == MSKP_OK, "no data at all");
    for (size_t p = 1; p <= PARAMS; p++) must(b.from[0][p].data == NULL, "%zu", p);
    /* Tensors without data whose shapes are given; a set that is given twice is cut once. */
    mskp_tensor once[PARAMS + 1];
    for (int twice = 0; twice < 2; twice++) {
        const move_by_id same[2] = {{b.from[0], NULL}, {b.from[0], NULL}};
        bench_reset(&b, true);
        for (size_t p = 1; p <= PARAMS; p++) b.from[0][p].data = NULL;
        must(cut_by_id(b.net.plan, PARAMS, twice ? 2 : 1, same, NULL) == MSKP_OK, "not here");
        if (!twice) memcpy(once, b.from[0], sizeof once);
    }
    must(memcmp(once, b.from[0], sizeof once) == 0, "the set was cut twice");
    must(once[3].shape[1] == 3 && once[3].shape[0] == 7, "the shape was not corrected");
    bench_close(&b);
}
END_TEST

/* ---- mskp_gather ---- */

static void *take_nothing(void *context, size_t bytes)
{
    (void)context;
    (void)bytes;
    return NULL;
}

static void free_nothing(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

START_TEST(takes_refused)
{
    float source[12], target[12], before[12];
    const uint32_t index[3] = {2, 0, 3}, wrong[3] = {2, 4, 0};
    rng r = {8};
    rng_fill(&r, target, sizeof target);
    memcpy(before, target, sizeof before);
    const mskp_tensor from = {.data = source, .ndim = 2, .shape = {4, 3}};
    const mskp_tensor to = {.data = target, .ndim = 2, .shape = {3, 3}};
    mskp_tensor x;
    mskp_error err;
#define REFUSED(expected, one, two, call)                                                \
    do {                                                                                 \
        err = untouched;                                                                 \
        must_be_refused(call, expected, &err);                                           \
        must((one) == (two) || (has_number(err.text, one) && has_number(err.text, two)), \
             "not both %d and %d in: %s", one, two, err.text);                           \
        must(memcmp(target, before, sizeof target) == 0, "refused, but written");        \
    } while (0)
    const mskp_services half = {.release = free_nothing}, odd = {.allocate = take_nothing};
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, 0, 0, mskp_gather(&half, &from, 0, 3, index, &to, &err));
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, 0, 0, mskp_gather(&odd, &from, 0, 3, index, &to, &err));
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, 0, 0, mskp_gather(NULL, NULL, 0, 3, index, &to, &err));
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, 0, 0, mskp_gather(NULL, &from, 0, 3, NULL, &to, &err));
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, 0, 0, mskp_gather(NULL, &from, 0, 3, index, NULL, &err));
    x = from;
    must(mskp_gather(NULL, &x, 2, 3, index, &to, NULL) != MSKP_OK, "no axis 2");
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, 4, 4, mskp_gather(NULL, &from, 0, 3, wrong, &to, &err));
    REFUSED(MSKP_ERROR_BAD_SHAPE, 2, 3, mskp_gather(NULL, &from, 0, 2, index, &to, &err));
    x = to, x.shape[1] = 2;
    REFUSED(MSKP_ERROR_BAD_SHAPE, 2, 3, mskp_gather(NULL, &from, 0, 3, index, &x, &err));
    x = to, x.ndim = 1;
    REFUSED(MSKP_ERROR_BAD_SHAPE, 1, 2, mskp_gather(NULL, &from, 0, 3, index, &x, &err));
    x = to, x.data = (char *)target + 2;
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, 0, 0, mskp_gather(NULL, &from, 0, 3, index, &x, &err));
    x = from, x.dtype = (mskp_dtype)5;
    REFUSED(MSKP_ERROR_BAD_ARGUMENT, 0, 0, mskp_gather(NULL, &x, 0, 3, index, &to, &err));
    x = to, x.stride[0] = 1, x.stride[1] = 1;
    REFUSED(MSKP_ERROR_OVERLAP, 0, 0, mskp_gather(NULL, &from, 0, 3, index, &x, &err));
    x = from, x.stride[0] = 1, x.stride[1] = 0;
    REFUSED(MSKP_ERROR_OVERLAP, 0, 0, mskp_gather(NULL, &x, 0, 3, index, &to, &err));
    x = from, x.data = target + 3;
    REFUSED(MSKP_ERROR_OVERLAP, 0, 0, mskp_gather(NULL, &x, 0, 3, index, &to, &err));
    x = from, x.data = NULL;
    REFUSED(MSKP_ERROR_NO_DATA, 0, 0, mskp_gather(NULL, &x, 0, 3, index, &to, &err));
    x = to, x.data = NULL;
    REFUSED(MSKP_ERROR_NO_DATA, 0, 0, mskp_gather(NULL, &from, 0, 3, index, &x, &err));
    /* Views must be complete, and alike. */
    x = (mskp_tensor){.data = target};
    must(mskp_gather(NULL, &from, 0, 3, index, &x, NULL) != MSKP_OK, "to without ndim");
    x = (mskp_tensor){.data = source};
    must(mskp_gather(NULL, &x, 0, 3, index, &to, NULL) != MSKP_OK, "from without ndim");
    x = to, x.dtype = MSKP_DTYPE_BYTES_4;
    must(mskp_gather(NULL, &from, 0, 3, index, &x, NULL) != MSKP_OK, "two types");
    /* Shapes that no memory has. */
    const struct {
        uint32_t ndim;
        size_t shape[3], n, said;
    } huge[] = {{0, {4, 3, 0}, 3, 0},
                {MSKP_MAX_DIMS + 1, {4, 3, 0}, 3, MSKP_MAX_DIMS + 1},
                {2, {4, 0, 0}, 3, 0},
                {3, {1, SIZE_MAX / 2, 3}, 3, 1},
                {3, {4, SIZE_MAX / 256, 1024}, 3, 2},
                {2, {4, 3, 0}, 0, 0},
                {2, {1, SIZE_MAX / 64, 0}, 128, 128},
                {2, {1, SIZE_MAX / 64, 0}, 3, 3}};
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        x = from, x.ndim = huge[i].ndim;
        memcpy(x.shape, huge[i].shape, sizeof huge[i].shape);
        mskp_tensor y = to;
        y.ndim = x.ndim;
        err = untouched;
        must_be_refused(mskp_gather(NULL, &x, 0, huge[i].n, index, &y, &err), MSKP_ERROR_BAD_SHAPE,
                        &err);
        must(has_number(err.text, huge[i].said), "%zu is not in: %s", huge[i].said, err.text);
    }
    must(memcmp(target, before, sizeof target) == 0, "refused, but written");
}
END_TEST

TCase *refusal_cases(void)
{
    TCase *tests = tcase_create("refusals");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, one_bad_view_stops_all);
    tcase_add_test(tests, one_bad_target_stops_all);
    tcase_add_test(tests, alignment);
    tcase_add_test(tests, arguments);
    tcase_add_test(tests, masks_that_keep_nothing);
    tcase_add_test(tests, sets_have_a_largest_number);
    tcase_add_test(tests, long_names_are_shortened);
    tcase_add_test(tests, overlaps_refused);
    tcase_add_test(tests, overlaps_allowed);
    tcase_add_test(tests, interleaved_in_place);
    tcase_add_test(tests, takes_refused);
    return tests;
}

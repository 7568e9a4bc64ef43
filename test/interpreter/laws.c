/* Laws that hold for every network, as requirements on one trial. */
#include "laws.h"

#include "by_id/by_id.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Nonzero means stays; any nonzero. */
uint8_t *random_mask(trial *t)
{
    uint8_t *keep = model_random_mask(&t->model, &t->mem, &t->r, rng_real(&t->r, 0.2, 0.9));
    for (size_t u = 0; u < t->units; u++)
        if (keep[u]) keep[u] = (uint8_t)rng_from(&t->r, 1, 255);
    return keep;
}

void zero_leaving(const net_param *q, uint32_t d, const uint32_t *unit, const uint8_t *keep)
{
    size_t index[MSKP_MAX_DIMS] = {0}, i = 0;
    do {
        if (unit[index[d]] != MSKP_PINNED && !keep[unit[index[d]]]) q->data[i] = 0;
        i++;
    } while (next_index(q->ndim, q->shape, index));
}

void zero_removed(const trial *t, const uint8_t *keep, uint32_t roles)
{
    for (size_t p = 1; p <= t->net->params; p++)
        for (uint32_t d = 0; d < t->net->param[p].ndim; d++) {
            const model_axis *x = &t->model.param[p].axis[d];
            if (x->unit && (x->roles & roles)) zero_leaving(&t->net->param[p], d, x->unit, keep);
        }
}

/* The largest difference of the outputs, over their largest number; NAN where one is not finite. */
double output_difference(const net *a, double *const *x, const net *b, double *const *y,
                         const net_kept *kept)
{
    double worst = 0;
    for (size_t k = 0; k < a->outputs; k++) {
        size_t v = a->output[k], n = a->node[v].channels * net_positions(&a->node[v]);
        double most = 0, off = 0;
        REQUIRE(b->node[v].channels == a->node[v].channels && !kept[v].index, "an output is cut");
        for (size_t i = 0; i < n; i++) {
            if (!isfinite(x[v][i]) || !isfinite(y[v][i])) return (double)NAN;
            most = fmax(most, fabs(x[v][i]));
            off = fmax(off, fabs(x[v][i] - y[v][i]));
        }
        if (off > 0) worst = fmax(worst, off / most);
    }
    return worst;
}

/* The tensors after the cut are those of the smaller recipe. */
static void require_numbers(const set *s, const net *small)
{
    for (size_t p = 1; p <= small->params; p++) {
        const net_param *q = &small->param[p];
        mskp_tensor v = view_resolve(&s->views[p], q->ndim, q->shape);
        size_t index[MSKP_MAX_DIMS] = {0}, i = 0;
        for (uint32_t d = 0; d < q->ndim; d++)
            REQUIRE(v.shape[d] == q->shape[d], "parameter %zu, axis %u", p, d);
        if (!shape_elements(q->ndim, q->shape)) continue;
        do {
            REQUIRE(memcmp(view_at(&v, index), &q->data[i], sizeof q->data[i]) == 0,
                    "parameter %zu, element %zu", p, i);
            i++;
        } while (next_index(q->ndim, q->shape, index));
    }
}

double zero_and_cut(trial *t, const uint8_t *keep, double **inputs)
{
    surgery s;
    zero_removed(t, keep, UINT32_MAX);
    surgery_begin(&s, t, t->graph, t->net, t->value, t->units, keep);
    set values = set_make(&t->mem, &t->r, t->net, MSKP_DTYPE_F64, VIEW_STYLES);
    set_numbers(&values, t->net);
    mskp_error err = {0};
    mskp_status status =
        cut_by_id(s.plan, t->net->params, 1, &(move_by_id){values.views, NULL}, &err);
    REQUIRE(status == MSKP_OK, "cut: %s", err.text);
    require_numbers(&values, s.net);
    double **whole = net_eval(t->net, &t->mem, inputs);
    const double d =
        output_difference(t->net, whole, s.net, net_eval(s.net, &t->mem, inputs), s.values);
    surgery_end(&s);
    return d;
}

/* Removes at random, but only units that are exact (or only those that are not). */
size_t remove_only(const trial *t, const uint8_t *exact, int wanted, uint8_t *keep)
{
    size_t removed = 0;
    for (size_t u = 0; u < t->units; u++) {
        if (exact[u] != wanted) keep[u] = 1;
        removed += !keep[u];
    }
    return removed;
}

double cut_difference(trial *t, const uint8_t *keep, uint32_t roles, double **inputs)
{
    surgery s;
    zero_removed(t, keep, roles);
    surgery_begin(&s, t, t->graph, t->net, t->value, t->units, keep);
    double **whole = net_eval(t->net, &t->mem, inputs);
    const double d =
        output_difference(t->net, whole, s.net, net_eval(s.net, &t->mem, inputs), s.values);
    surgery_end(&s);
    return d;
}

/* ---- Twice is once; the smaller network describes itself ---- */

/* A broadcast operand that now has as many channels as the others would be tied in a description
 * of the smaller network, and is not in the larger; the last group that is left would be none. */
static bool broadcast_lost(const net *n, const net *small)
{
    for (size_t k = 1; k <= n->nodes; k++) {
        if (small->node[k].vanished || small->node[k].shift) return true; /* cannot be described */
        if (n->node[k].groups > 1 && small->node[k].groups == 1) return true;
        if (n->node[k].op != small->node[k].op) return true; /* rewritten */
        if (n->node[k].op == NET_PRELU && n->node[k].channels > 1 && small->node[k].channels == 1)
            return true; /* one slope for all, and one for each, look alike */
        if (n->node[k].op != NET_COMBINE || n->node[k].channels == 1) continue;
        if (small->node[k].channels == 1)
            for (size_t i = 0; i < n->node[k].inputs; i++)
                if (n->node[n->node[k].in[i]].channels == 1) return true;
    }
    return false;
}

static bool describe_again(trial *t, const surgery *s)
{
    if (broadcast_lost(t->net, s->net)) return false;
    mskp_graph *fresh = mskp_graph_create(NULL);
    mskp_error err = {0};
    model m = model_make(&t->mem);
    net_describe(s->net, fresh, &m, NULL);
    mskp_status status = mskp_graph_finish(fresh, &err);
    REQUIRE(status == MSKP_OK, "the smaller recipe: %s", err.text);
    require_same_graph(fresh, s->small);
    require_model(s->small, &m);
    mskp_graph_destroy(fresh);
    return true;
}

/* A set cut by one plan and then by another, against the set cut by both at once. Dense views end
 * in the same places; one with gaps may lose them on the way, and then close up. */
static void same_cut(const set *a, const set *b, const net *full, const net *small)
{
    for (size_t p = 1; p <= small->params; p++) {
        const net_param *q = &small->param[p], *was = &full->param[p];
        mskp_tensor first = view_resolve(&a->buf[p].view, was->ndim, was->shape);
        mskp_tensor v = view_resolve(&a->views[p], q->ndim, q->shape);
        mskp_tensor w = view_resolve(&b->views[p], q->ndim, q->shape);
        size_t index[MSKP_MAX_DIMS] = {0}, span;
        (void)view_lowest(&first, &span);
        bool dense = span == shape_elements(was->ndim, was->shape);
        if (!shape_elements(q->ndim, q->shape)) continue;
        do {
            const unsigned char *x = view_at(&v, index), *y = view_at(&w, index);
            REQUIRE(!dense || x - a->buf[p].memory == y - b->buf[p].memory, "parameter %zu: views",
                    p);
            REQUIRE(memcmp(x, y, dtype_size(v.dtype)) == 0, "parameter %zu: bytes", p);
        } while (next_index(q->ndim, q->shape, index));
    }
}

/* Every value lists what is left of it, by the new numbers. */
static void require_renumbered(const trial *t, const mskp_graph *small, const uint8_t *keep,
                               const size_t *rank)
{
    for (uint32_t v = 1; v <= t->model.values; v++) {
        const model_value *mv = &t->model.value[v];
        size_t n, i = 0;
        const uint32_t *units = mskp_value_units(small, (mskp_value){v}, &n);
        for (size_t c = 0; c < mv->n; c++) {
            uint32_t u = mv->unit[c];
            if (u != MSKP_PINNED && !keep[u]) continue;
            REQUIRE(i < n && units[i] == (u == MSKP_PINNED ? u : rank[u]), "value %u, channel %zu",
                    v, c);
            i++;
        }
        REQUIRE(i == n, "value %u: %zu channels", v, n);
    }
}

bool require_twice_is_once(trial *t, uint8_t *keep)
{
    surgery one, two, both;
    surgery_begin(&one, t, t->graph, t->net, t->value, t->units, keep);
    const bool again = describe_again(t, &one);

    /* A second mask on what is left: units are numbered by the kept ones below. */
    size_t left = 0, *rank = arena_get(&t->mem, t->units + 1, sizeof *rank);
    for (size_t u = 0; u < t->units; u++) {
        rank[u] = left;
        left += keep[u] != 0;
    }
    REQUIRE(mskp_graph_counts(one.small).units == left, "%zu units left, %zu expected",
            mskp_graph_counts(one.small).units, left);
    require_renumbered(t, one.small, keep, rank);
    uint8_t *first = arena_copy(&t->mem, keep, t->units, 1);
    uint8_t *second = arena_get(&t->mem, left, 1);
    for (size_t u = 0; u < t->units; u++)
        if (keep[u] && rng_chance(&t->r, 0.4)) {
            keep[u] = 0;
            if (!model_mask_allowed(&t->model, keep)) keep[u] = 1;
        }
    for (size_t u = 0; u < t->units; u++)
        if (first[u]) second[rank[u]] = keep[u];

    surgery_begin(&two, t, one.small, one.net, t->value, left, second);
    surgery_begin(&both, t, t->graph, t->net, t->value, t->units, keep);
    require_same_graph(two.small, both.small);
    set a = set_make(&t->mem, &t->r, t->net, MSKP_DTYPE_F64, VIEW_STYLES);
    set_numbers(&a, t->net);
    set b = set_copy(&t->mem, &a);
    REQUIRE_OK(cut_by_id(one.plan, a.params, 1, &(move_by_id){a.views, NULL}, NULL));
    require_numbers(&a, one.net);
    REQUIRE_OK(cut_by_id(two.plan, a.params, 1, &(move_by_id){a.views, NULL}, NULL));
    REQUIRE_OK(cut_by_id(both.plan, b.params, 1, &(move_by_id){b.views, NULL}, NULL));
    require_numbers(&b, both.net);
    same_cut(&a, &b, t->net, both.net);
    surgery_end(&one);
    surgery_end(&two);
    surgery_end(&both);
    return again;
}

/* ---- Sets move alike, in place as elsewhere ---- */

static const mskp_dtype all_dtypes[] = {
    MSKP_DTYPE_F64,     MSKP_DTYPE_F32,     MSKP_DTYPE_F16,
    MSKP_DTYPE_BF16,    MSKP_DTYPE_BYTES_1, MSKP_DTYPE_BYTES_2,
    MSKP_DTYPE_BYTES_4, MSKP_DTYPE_BYTES_8, MSKP_DTYPE_BYTES_16};
enum { DTYPES = sizeof all_dtypes / sizeof *all_dtypes };

/* Each element is the one that the kept indices name. */
static void require_pattern(const mskp_tensor *view, const net_param *small, const net_param *full,
                            const net_kept *axes, uint64_t salt, size_t p)
{
    mskp_tensor v = view_resolve(view, small->ndim, small->shape);
    size_t index[MSKP_MAX_DIMS] = {0};
    unsigned char bytes[16];
    for (uint32_t d = 0; d < full->ndim; d++) REQUIRE(v.shape[d] == axes[d].n, "axis %u", d);
    if (!shape_elements(small->ndim, small->shape)) return;
    do {
        size_t at = 0;
        for (uint32_t d = 0; d < full->ndim; d++) {
            REQUIRE(v.shape[d] == axes[d].n, "parameter %zu, axis %u", p, d);
            at = at * full->shape[d] + (axes[d].index ? axes[d].index[index[d]] : index[d]);
        }
        pattern_of(salt, p, at, bytes);
        REQUIRE(memcmp(view_at(&v, index), bytes, dtype_size(v.dtype)) == 0,
                "parameter %zu: an element is not number %zu of before", p, at);
    } while (next_index(small->ndim, small->shape, index));
}

/* Bytes of the buffer that are no element of the view are as they were. */
static void require_gaps(const view_buf *buf, const unsigned char *before, uint32_t ndim,
                         const size_t *shape, size_t p)
{
    mskp_tensor v = view_resolve(&buf->view, ndim, shape);
    arena mem = {0};
    bool *used = arena_get(&mem, buf->bytes, sizeof *used);
    size_t index[MSKP_MAX_DIMS] = {0};
    if (shape_elements(ndim, shape)) do
            memset(used + (view_at(&v, index) - buf->memory), 1, dtype_size(v.dtype));
        while (next_index(ndim, shape, index));
    for (size_t i = 0; i < buf->bytes; i++)
        REQUIRE(used[i] || buf->memory[i] == (before ? before[i] : 0xA5),
                "parameter %zu: byte %zu is none of its own", p, i);
    arena_free(&mem);
}

/* What plan_views promises of one view. */
static void require_layout(const mskp_tensor *full, const mskp_tensor *small, const net_param *was,
                           const net_param *is, size_t p)
{
    mskp_tensor v = view_resolve(full, was->ndim, was->shape);
    mskp_tensor w = view_resolve(small, is->ndim, is->shape);
    size_t span, span_small;
    REQUIRE(view_lowest(&v, &span) == view_lowest(&w, &span_small), "parameter %zu: start", p);
    REQUIRE(v.dtype == w.dtype, "parameter %zu: type", p);
    if (!shape_elements(is->ndim, is->shape)) return;
    bool dense = span == shape_elements(was->ndim, was->shape);
    if (dense)
        REQUIRE(span_small == shape_elements(is->ndim, is->shape), "parameter %zu has gaps", p);
    for (uint32_t d = 0; d < is->ndim; d++) {
        REQUIRE(w.shape[d] == is->shape[d], "parameter %zu, axis %u", p, d);
        if (is->shape[d] == 1) continue;
        REQUIRE((v.stride[d] < 0) == (w.stride[d] < 0), "parameter %zu, axis %u: sign", p, d);
        if (!dense) REQUIRE(v.stride[d] == w.stride[d], "parameter %zu, axis %u: stride", p, d);
        for (uint32_t e = 0; e < is->ndim; e++)
            if (e != d && is->shape[e] > 1)
                REQUIRE((llabs(v.stride[d]) < llabs(v.stride[e])) ==
                            (llabs(w.stride[d]) < llabs(w.stride[e])),
                        "parameter %zu: order of axes %u and %u", p, d, e);
    }
}
void require_sets_move_alike(trial *t, const uint8_t *keep)
{
    surgery s;
    set in_place[DTYPES], from[DTYPES], to[DTYPES], in_place_was[DTYPES], from_was[DTYPES];
    move_by_id moves[2 * DTYPES];
    surgery_begin(&s, t, t->graph, t->net, t->value, t->units, keep);
    size_t params = t->net->params, absent = rng_below(&t->r, 3 * params + 1) + 1;
    mskp_tensor *predicted[DTYPES];
    for (size_t i = 0; i < DTYPES; i++) {
        in_place[i] = set_make(&t->mem, &t->r, t->net, all_dtypes[i], VIEW_STYLES);
        from[i] = set_make(&t->mem, &t->r, t->net, all_dtypes[i], VIEW_STYLES);
        to[i] = set_make(&t->mem, &t->r, s.net, all_dtypes[i], VIEW_STYLES);
        set_pattern(&in_place[i], t->net, i);
        set_pattern(&from[i], t->net, i);
        if (absent <= params) in_place[i].views[absent].data = NULL;
        if (absent <= params) from[i].views[absent].data = NULL;
        in_place_was[i] = set_copy(&t->mem, &in_place[i]);
        from_was[i] = set_copy(&t->mem, &from[i]);
        predicted[i] = arena_get(&t->mem, params + 1, sizeof *predicted[i]);
        REQUIRE_OK(mskp_plan_views(s.plan, set_by_id(params, in_place[i].views),
                                   set_by_id(params, predicted[i]), NULL));
        moves[2 * i] = (move_by_id){in_place[i].views, NULL};
        moves[2 * i + 1] = (move_by_id){from[i].views, to[i].views};
    }

    /* All or nothing: the last set is wrong. */
    set wrong = set_copy(&t->mem, &to[DTYPES - 1]);
    for (size_t p = 1; p <= params; p++) wrong.views[p].dtype = MSKP_DTYPE_BYTES_1;
    moves[2 * DTYPES - 1].to = wrong.views;
    mskp_error err = {0};
    if (params > (absent <= params ? 1 : 0)) {
        REQUIRE(cut_by_id(s.plan, params, 2 * DTYPES, moves, &err) != MSKP_OK,
                "another type was taken");
        REQUIRE(err.status != MSKP_OK && err.text[0], "no sentence");
    }
    for (size_t i = 0; i < DTYPES; i++)
        REQUIRE(set_same(&in_place[i], &in_place_was[i]) && set_same(&from[i], &from_was[i]),
                "a refused cut moved something");
    moves[2 * DTYPES - 1].to = to[DTYPES - 1].views;

    mskp_status status = cut_by_id(s.plan, params, 2 * DTYPES, moves, &err);
    REQUIRE(status == MSKP_OK, "%s", err.text);
    for (size_t i = 0; i < DTYPES; i++) {
        REQUIRE(set_same(&from[i], &from_was[i]), "the source changed");
        for (size_t p = 1; p <= params; p++) {
            const net_param *was = &t->net->param[p], *is = &s.net->param[p];
            view_buf *b = &in_place[i].buf[p];
            if (p == absent) {
                REQUIRE(!in_place[i].views[p].data, "data came from nowhere");
                require_gaps(&to[i].buf[p], to[i].buf[p].memory, is->ndim, is->shape, p);
                continue;
            }
            require_pattern(&in_place[i].views[p], is, was, s.axes[p], i, p);
            require_pattern(&to[i].views[p], is, was, s.axes[p], i, p);
            require_gaps(b, in_place_was[i].buf[p].memory, was->ndim, was->shape, p);
            require_gaps(&to[i].buf[p], NULL, is->ndim, is->shape, p);
            require_layout(&b->view, &in_place[i].views[p], was, is, p);
            require_layout(&b->view, &predicted[i][p], was, is, p);
            REQUIRE(memcmp(&predicted[i][p], &in_place[i].views[p], sizeof(mskp_tensor)) == 0,
                    "parameter %zu: the view is not the one that was said", p);
        }
    }
    surgery_end(&s);
}

/* ---- Costs ---- */

void require_costs(trial *t, const uint8_t *keep)
{
    surgery s;
    surgery_begin(&s, t, t->graph, t->net, t->value, t->units, keep);
    size_t values = t->model.values;
    mskp_cost total, *each = arena_get(&t->mem, values + 1, sizeof *each), alone;
    mskp_cost *expected = arena_get(&t->mem, values + 1, sizeof *expected);
    for (int round = 0; round < 3; round++) {
        const uint8_t *mask = round == 1 ? keep : NULL;
        const mskp_graph *g = round == 2 ? s.small : t->graph;
        mskp_cost brute = net_count(round ? s.net : t->net);
        mskp_cost slow = model_cost(&t->model, round ? keep : NULL, expected);
        memset(each, 0xFF, (values + 1) * sizeof *each);
        REQUIRE_OK(mskp_measure(g, mask_of(mask ? t->units : 0, mask), &total, each + 1, NULL));
        REQUIRE(total.macs == brute.macs, "%.0f MACs, the loops have %.0f", total.macs, brute.macs);
        REQUIRE(total.params == brute.params, "%.0f parameters, %.0f expected", total.params,
                brute.params);
        REQUIRE(slow.macs == brute.macs && slow.params == brute.params, "the model is wrong");
        for (size_t v = 1; v <= values; v++)
            REQUIRE(each[v].macs == expected[v].macs && each[v].params == expected[v].params,
                    "value %zu: %.0f MACs, %.0f expected; %.0f parameters, %.0f expected", v,
                    each[v].macs, expected[v].macs, each[v].params, expected[v].params);
        REQUIRE_OK(mskp_measure(g, mask_of(mask ? t->units : 0, mask), &alone, NULL, NULL));
        REQUIRE(alone.macs == total.macs && alone.params == total.params, "the total alone");
    }
    surgery_end(&s);
}

/*
 * Constants of channels that leave, handed on: what is said to be exact is, what is lost is within
 * its bound, and the bound is not far from what is lost. On random networks, whose removed units
 * have been zeroed in some of their roles.
 */
#include "interpreter/trial.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A trial: zeroed, handed on, cut ---- */

typedef struct handing {
    trial t;
    uint8_t *keep, *kept;
    size_t removed;
    set values;
    mskp_constants *c;
    mskp_constants_report total;
    double **inputs, **whole, **left; /* values of all nodes, before and after */
    net after;                        /* the recipe with what was written */
    surgery s;
} handing;

static void zero_slices(const trial *t, const uint8_t *keep, uint32_t roles)
{
    for (size_t p = 1; p <= t->net->params; p++) {
        const net_param *q = &t->net->param[p];
        size_t index[MSKP_MAX_DIMS] = {0}, i = 0;
        do {
            for (uint32_t d = 0; d < q->ndim; d++) {
                const model_axis *x = &t->model.param[p].axis[d];
                if (x->unit && (x->roles & roles) && x->unit[index[d]] != MSKP_PINNED &&
                    !keep[x->unit[index[d]]])
                    q->data[i] = 0;
            }
            i++;
        } while (next_index(q->ndim, q->shape, index));
    }
}

static void set_read(const set *s, arena *mem, const net *n, net *to)
{
    *to = *n;
    for (size_t p = 1; p <= n->params; p++) {
        net_param *q = &to->param[p];
        const mskp_tensor v = view_resolve(&s->buf[p].view, q->ndim, q->shape);
        size_t index[MSKP_MAX_DIMS] = {0}, i = 0;
        q->data = arena_get(mem, shape_elements(q->ndim, q->shape), sizeof *q->data);
        do q->data[i++] = view_get(&v, index);
        while (next_index(q->ndim, q->shape, index));
    }
}

/* Variances are positive; vectors are not so large that nothing else is seen. */
static void make_possible(net *n)
{
    for (size_t k = 1; k <= n->nodes; k++) {
        const size_t v = n->node[k].op == NET_NORM ? n->node[k].norm[3] : 0;
        for (size_t i = 0; v && i < n->param[v].shape[0]; i++)
            n->param[v].data[i] = fabs(n->param[v].data[i]);
    }
}

static uint32_t some_roles(rng *r)
{
    static const uint32_t roles[] = {
        MSKP_ROLE_SCALE, MSKP_ROLE_SCALE | MSKP_ROLE_FILTER, MSKP_ROLE_FILTER,
        MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT | MSKP_ROLE_FILTER, MSKP_ROLE_SCALE | MSKP_ROLE_FILTER};
    return roles[rng_below(r, sizeof roles / sizeof *roles)];
}

/* zeroed: by the library and not beforehand. */
static void handing_begin(handing *h, uint64_t seed, const net_options *options,
                          mskp_constants_way way, bool zeroed)
{
    mskp_error err = {0};
    *h = (handing){0};
    trial *t = &h->t;
    trial_begin(t, seed, options, NULL);
    make_possible(t->net);
    const uint32_t roles = some_roles(&t->r);
    h->keep = model_random_mask(&t->model, &t->mem, &t->r, rng_real(&t->r, 0.3, 0.95));
    h->kept = arena_get(&t->mem, t->units, 1);
    for (size_t u = 0; u < t->units; u++) h->removed += !h->keep[u];
    if (!zeroed) zero_slices(t, h->keep, roles);
    h->values = set_make(&t->mem, &t->r, t->net, MSKP_F64, VIEW_STYLES);
    set_numbers(&h->values, t->net);
    if (zeroed) zero_slices(t, h->keep, roles);
    const set before = set_copy(&t->mem, &h->values);
    const mskp_constants_desc desc = {.way = way, .zeroed = zeroed ? roles : 0};
    mskp_status status = mskp_constants_create(t->graph, t->units, h->keep, &desc, t->net->params,
                                               h->values.views, h->kept, &h->c, &err);
    REQUIRE(status == MSKP_OK, "create: %s", err.text);
    REQUIRE(set_same(&before, &h->values), "the preview wrote something");
    REQUIRE_OK(mskp_constants_total(h->c, &h->total, NULL));
    status = mskp_constants_apply(h->c, t->net->params, h->values.views, &err);
    REQUIRE(status == MSKP_OK, "apply: %s", err.text);
    set_read(&h->values, &t->mem, t->net, &h->after);
    h->inputs = net_random_inputs(t->net, &t->mem, &t->r);
    h->whole = net_eval(t->net, &t->mem, h->inputs);
    surgery_begin(&h->s, t, t->graph, &h->after, t->value, t->units, h->kept);
    h->left = net_eval(h->s.net, &t->mem, h->inputs);
}

static void handing_end(handing *h)
{
    surgery_end(&h->s);
    mskp_constants_destroy(h->c);
    trial_end(&h->t);
}

/* ---- Comparison of a node's value, before and after ---- */

typedef struct gap {
    double off, most; /* the largest difference, and number */
} gap;

/* What was folded into the mean of a batch norm behind it, for channel c. */
static double in_means(const handing *h, const mskp_constants_report *r, size_t c)
{
    const size_t p = r ? r->into.id : 0;
    for (size_t k = 1; p && k <= h->t.net->nodes; k++) {
        const net_node *t = &h->t.net->node[k];
        if (t->op == NET_NORM && t->norm[2] == p)
            return h->t.net->param[p].data[c] - h->after.param[p].data[c];
    }
    return 0;
}

/* Over channels that stay by themselves; NAN where something is not finite. */
static gap gap_of(const handing *h, size_t node, const mskp_constants_report *r)
{
    const net_node *t = &h->t.net->node[node];
    const net_kept *kept = &h->s.values[node];
    const size_t positions = net_positions(t);
    const uint32_t *units =
        mskp_value_units(h->t.graph, (mskp_value){(uint32_t)h->t.value[node]}, NULL);
    gap g = {0, 0};
    for (size_t i = 0; i < kept->n; i++) {
        const size_t c = kept->index ? kept->index[i] : i;
        if (units[c] != MSKP_PINNED && !h->keep[units[c]]) continue;
        for (size_t p = 0; p < positions; p++) {
            const double x = h->whole[node][c * positions + p];
            const double y = h->left[node][i * positions + p] + in_means(h, r, c);
            if (!isfinite(x) || !isfinite(y)) return (gap){(double)NAN, (double)NAN};
            g.off = fmax(g.off, fabs(x - y));
            g.most = fmax(g.most, fabs(x));
        }
    }
    return g;
}

/* The largest relative difference of the outputs. */
static double outputs_off(const handing *h)
{
    double worst = 0;
    for (size_t k = 0; k < h->t.net->outputs; k++) {
        const gap g = gap_of(h, h->t.net->output[k], NULL);
        if (isnan(g.off)) return (double)NAN;
        if (g.off > 0) worst = fmax(worst, g.off / g.most);
    }
    return worst;
}

/* The node that a report is of: values within an operator come before its own; a host's own
 * operator is known by its weight. */
static size_t node_of(const handing *h, const mskp_constants_report *r)
{
    const net *n = h->t.net;
    for (size_t k = 1; k <= n->nodes; k++) {
        const net_op op = n->node[k].op;
        if (r->consumer.id == r->reads.id && n->node[k].weight == r->weight.id &&
            (op == NET_GROUPED || op == NET_DEPTHWISE || op == NET_SCALE))
            return k;
    }
    for (size_t k = 1; k <= n->nodes; k++)
        if (h->t.value[k] >= r->consumer.id) return k;
    REQUIRE(false, "no operator makes value %u", r->consumer.id);
    return 0;
}

typedef struct ratios {
    double *all;
    size_t n, most;
} ratios;

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Each lossy consumer whose inputs are what they were: within its bound. */
static size_t check_bounds(handing *h, ratios *r)
{
    const net *n = h->t.net;
    const size_t count = mskp_constants_count(h->c);
    bool *clean = arena_get(&h->t.mem, n->nodes + 1, sizeof *clean);
    const mskp_constants_report **lossy = arena_get(&h->t.mem, n->nodes + 1, sizeof *lossy);
    mskp_constants_report *all = arena_get(&h->t.mem, count, sizeof *all);
    size_t *times = arena_get(&h->t.mem, n->nodes + 1, sizeof *times), checked = 0;
    for (size_t k = 0; k < count; k++) {
        REQUIRE_OK(mskp_constants_get(h->c, k, &all[k], NULL));
        if (all[k].exact) continue;
        REQUIRE(all[k].why && all[k].bound > 0, "lossy, without a reason or a bound");
        const size_t node = node_of(h, &all[k]);
        lossy[node] = &all[k];
        times[node]++;
    }
    for (size_t k = 1; k <= n->nodes; k++) {
        clean[k] = true;
        for (size_t i = 0; i < n->node[k].inputs; i++) clean[k] &= clean[n->node[k].in[i]];
        if (!clean[k] || !lossy[k]) continue;
        clean[k] = false;
        if (times[k] > 1 || lossy[k]->consumer.id != h->t.value[k] || isinf(lossy[k]->bound))
            continue;
        const gap g = gap_of(h, k, lossy[k]);
        if (isnan(g.off)) continue;
        REQUIRE(g.off <= lossy[k]->bound * (1 + 1e-9) + 1e-12 * g.most,
                "node %zu: off by %g, the bound is %g (%s)", k, g.off, lossy[k]->bound,
                lossy[k]->why);
        checked++;
        if (g.off > 1e-12 * g.most && r->n < r->most) r->all[r->n++] = lossy[k]->bound / g.off;
    }
    return checked;
}

/* ---- The law ---- */

typedef struct tally {
    size_t networks, removed, heard, exact, off, checked, carriers, overflowed;
    double median;
} tally;

static tally try_all(mskp_constants_way way, size_t count, bool zeroed)
{
    tally y = {.networks = count};
    arena mem = {0};
    ratios r = {.most = 100 * count};
    r.all = arena_get(&mem, r.most, sizeof *r.all);
    for (size_t k = 0; k < count; k++) {
        handing h;
        handing_begin(&h, test_seed() * 1000000 + k,
                      &(net_options){.constants = true, .inexact = k % 4 == 3}, way, zeroed);
        const double d = outputs_off(&h);
        y.removed += h.removed > 0;
        y.heard += h.total.folded + h.total.merged + h.total.dropped > 0;
        y.carriers += h.total.carriers;
        if (isnan(d)) {
            y.overflowed++;
        } else {
            y.off += d > 1e-6;
            y.exact += h.total.exact && h.total.folded + h.total.merged > 0;
            if (h.total.exact) REQUIRE(d <= 1e-12, "said to be exact, off by %g", d);
            y.checked += check_bounds(&h, &r);
        }
        handing_end(&h);
    }
    qsort(r.all, r.n, sizeof *r.all, by_size);
    if (r.n) y.median = r.all[r.n / 2];
    if (getenv("MSKP_TEST_VERBOSE"))
        printf("way %d: %zu networks, %zu lose units, constants heard in %zu, handed on exactly in "
               "%zu, off in %zu; %zu carriers; %zu bounds, median %g times what is lost\n",
               (int)way, y.networks, y.removed, y.heard, y.exact, y.off, y.carriers, y.checked,
               y.median);
    REQUIRE(y.overflowed * 20 <= count, "%zu networks of %zu are not finite", y.overflowed, count);
    arena_free(&mem);
    return y;
}

START_TEST(auto_holds)
{
    const size_t count = test_count(3000);
    const tally y = try_all(MSKP_CONSTANTS_AUTO, count, false);
    if (count < 500) return; /* too few for shares */
    REQUIRE(y.heard * 3 > count, "constants are heard in %zu only", y.heard);
    REQUIRE(y.exact * 4 > y.heard, "%zu of %zu are exact", y.exact, y.heard);
    REQUIRE(y.checked * 500 > count && y.median <= 100, "%zu bounds, median %g", y.checked, y.median);
}
END_TEST

START_TEST(merge_holds)
{
    const size_t count = test_count(2000);
    const tally y = try_all(MSKP_CONSTANTS_MERGE, count, true);
    if (count < 500) return;
    REQUIRE(y.carriers * 20 > count && y.exact * 4 > y.heard, "%zu carriers, %zu exact", y.carriers,
            y.exact);
}
END_TEST

START_TEST(fold_holds)
{
    const size_t count = test_count(2000);
    const tally y = try_all(MSKP_CONSTANTS_FOLD, count, false);
    if (count < 500) return;
    REQUIRE(y.carriers == 0, "%zu carriers", y.carriers);
    REQUIRE(y.checked * 20 > count && y.median <= 100, "%zu bounds, median %g", y.checked,
            y.median);
}
END_TEST

/* The control: what is dropped is off. */
START_TEST(drop_holds)
{
    const size_t count = test_count(2000);
    const tally y = try_all(MSKP_CONSTANTS_DROP, count, true);
    if (count < 500) return;
    REQUIRE(y.off * 2 > y.heard, "off in %zu of %zu only", y.off, y.heard);
    REQUIRE(y.checked * 10 > count && y.median <= 100, "%zu bounds, median %g", y.checked,
            y.median);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("constants");
    TCase *tcase = tcase_create("constants");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, auto_holds);
    tcase_add_test(tcase, merge_holds);
    tcase_add_test(tcase, fold_holds);
    tcase_add_test(tcase, drop_holds);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

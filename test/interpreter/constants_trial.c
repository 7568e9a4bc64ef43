/* Moves constants, and compares the network before and after. */
#include "constants_trial.h"

#include "vanish.h"

#include "by_id/by_id.h"
#include <math.h>
#include <string.h>

void zero_slices(const mskp_graph *graph, const net *n, const uint8_t *keep, uint32_t roles)
{
    for (uint32_t p = 1; p <= n->params; p++)
        for (uint32_t d = 0; d < n->param[p].ndim; d++) {
            uint32_t has;
            const uint32_t *unit = mskp_param_units(graph, (mskp_param){p}, d, &has, NULL);
            if (unit && (has & roles)) zero_leaving(&n->param[p], d, unit, keep);
        }
}

void set_read(const set *s, arena *mem, const net *n, net *to)
{
    *to = *n;
    for (size_t p = 1; p <= n->params; p++) {
        net_param *q = &to->param[p];
        const mskp_tensor v = view_resolve(&s->buf[p].view, q->ndim, q->shape);
        size_t index[MSKP_MAX_DIMS] = {0}, i = 0;
        q->data = arena_get(mem, shape_elements(q->ndim, q->shape), sizeof *q->data);
        if (!shape_elements(q->ndim, q->shape)) continue;
        do q->data[i++] = view_get(&v, index);
        while (next_index(q->ndim, q->shape, index));
    }
}

void make_possible(net *n)
{
    for (size_t k = 1; k <= n->nodes; k++) {
        const size_t v = n->node[k].op == NET_NORM ? n->node[k].norm[3] : 0;
        for (size_t i = 0; v && i < n->param[v].shape[0]; i++)
            n->param[v].data[i] = fabs(n->param[v].data[i]);
    }
}

void constants_trial_open(constants_trial *h)
{
    h->graph = h->t.graph;
    h->net = h->t.net;
    h->units = h->t.units;
    make_possible(h->net);
}

/* ---- A round ---- */

static void require_kept(constants_trial *h)
{
    size_t carriers = 0;
    uint8_t *carrier = arena_get(&h->t.mem, h->units, 1);
    REQUIRE_OK(get_carriers(h->c, h->units, carrier, NULL));
    for (size_t u = 0; u < h->units; u++) {
        carriers += carrier[u];
        REQUIRE(carrier[u] ? h->kept[u] == 1 && !h->keep[u] : h->kept[u] == (h->keep[u] != 0),
                "unit %zu: %u of %u, carrier %u", u, h->kept[u], h->keep[u], carrier[u]);
    }
    REQUIRE(carriers == h->total.carriers, "%zu carriers, %zu said", carriers, h->total.carriers);
}

static void require_reports(constants_trial *h)
{
    mskp_constants_report sum = {.exact = 1}, r;
    const mskp_constants_report *t = &h->total;
    REQUIRE_OK(mskp_constants_total(h->c, &h->total, NULL));
    for (size_t k = 0; k < mskp_constants_consumers(h->c); k++) {
        REQUIRE_OK(mskp_constants_consumer(h->c, k, &r, NULL));
        sum.folded += r.folded;
        sum.merged += r.merged;
        sum.dropped += r.dropped;
        sum.live += r.live;
        sum.exact = sum.exact && r.exact;
        sum.bound = fmax(sum.bound, r.bound);
        sum.share = fmax(sum.share, r.share);
        if (!sum.why) sum.why = r.why;
        REQUIRE(r.folded + r.merged + r.dropped + r.live, "report %zu is of nothing", k);
        REQUIRE(r.exact ? !r.why && r.bound <= 0 && !r.live : r.why && r.bound > 0,
                "report %zu: exact %u, a bound of %g", k, r.exact, r.bound);
        REQUIRE(r.exact ? r.share <= 0 : r.share > 0, "report %zu: exact %u, a share of %g", k,
                r.exact, r.share);
        REQUIRE(!r.merged == !r.carriers, "report %zu: %zu merged into %zu", k, r.merged,
                r.carriers);
    }
    REQUIRE(sum.folded == t->folded && sum.merged == t->merged && sum.dropped == t->dropped &&
                sum.live == t->live && sum.exact == t->exact && sum.why == t->why,
            "the total is no sum");
    REQUIRE(!(sum.bound < t->bound) && !(sum.bound > t->bound), "the total's bound");
    REQUIRE(!(sum.share < t->share) && !(sum.share > t->share), "the total's share");
    require_kept(h);
}

/* To the same values once more: refused, or nothing changes. */
static void apply_again(constants_trial *h)
{
    mskp_error err = {0};
    const set before = set_copy(&h->t.mem, &h->values);
    const mskp_status status = apply_constants(h->c, h->net->params, h->values.views, &err);
    REQUIRE(set_same(&before, &h->values), "a second time changes something");
    if (!status) return;
    h->refused = true;
    REQUIRE(status == MSKP_ERROR_BAD_STATE && err.status == status &&
                strstr(err.text, ", mskp_constants_create has seen "),
            "a second time: %s (%s)", mskp_status_text(status), err.text);
}

void move_constants(constants_trial *h, const mskp_constants_desc *desc, uint32_t roles)
{
    mskp_error err = {0};
    trial *t = &h->t;
    h->kept = arena_get(&t->mem, h->units, 1);
    for (size_t u = 0; u < h->units; u++) h->removed += !h->keep[u];
    if (!desc->zeroed) zero_slices(h->graph, h->net, h->keep, roles);
    h->values = set_make(&t->mem, &t->r, h->net, MSKP_DTYPE_F64, VIEW_STYLES);
    set_numbers(&h->values, h->net);
    if (desc->zeroed) zero_slices(h->graph, h->net, h->keep, roles);
    const set before = set_copy(&t->mem, &h->values);
    mskp_status status = create_constants(h->graph, h->units, h->keep, desc, h->net->params,
                                          h->values.views, h->kept, &h->c, &err);
    REQUIRE(status == MSKP_OK, "create: %s", err.text);
    REQUIRE(set_same(&before, &h->values), "the preview wrote something");
    require_reports(h);
    status = apply_constants(h->c, h->net->params, h->values.views, &err);
    REQUIRE(status == MSKP_OK, "apply: %s", err.text);
    apply_again(h);
    set_read(&h->values, &t->mem, h->net, &h->after);
    h->inputs = net_random_inputs(h->net, &t->mem, &t->r);
    h->whole = net_eval(h->net, &t->mem, h->inputs);
    surgery_begin(&h->s, t, h->graph, &h->after, t->value, h->units, h->kept);
    h->left = net_eval(h->s.net, &t->mem, h->inputs);
}

void round_end(constants_trial *h)
{
    surgery_end(&h->s);
    mskp_constants_destroy(h->c);
}

void constants_trial_end(constants_trial *h)
{
    round_end(h);
    trial_end(&h->t);
}

void second_round_begin(constants_trial *b, constants_trial *first)
{
    *b = (constants_trial){.t = first->t, .graph = first->s.small, .net = first->s.net};
    b->units = mskp_graph_counts(b->graph).units;
    b->keep = arena_get(&b->t.mem, b->units, 1);
    memset(b->keep, 1, b->units);
}

bool second_round_remove(constants_trial *b)
{
    mskp_plan *plan = NULL;
    for (size_t u = 0; u < b->units; u++) b->keep[u] = rng_chance(&b->t.r, 0.6);
    const mskp_status status =
        mskp_plan_create(b->graph, mask_of(b->units, b->keep), &plan, NULL, NULL);
    mskp_plan_destroy(plan);
    arena mem = {0};
    const bool modelled = net_vanish(&b->t, b->net, b->graph, b->t.value, b->keep,
                                     arena_get(&mem, b->net->nodes + 1, 1),
                                     arena_get(&mem, b->net->params + 1, sizeof(bool)));
    arena_free(&mem);
    return !status && modelled;
}

void second_round_end(constants_trial *b, constants_trial *first)
{
    first->t.mem = b->t.mem;
}

/* ---- Comparison of a node's value, before and after ---- */

typedef struct gap {
    double off, most; /* the largest difference, and number */
} gap;

/* What was folded into the mean of a batch norm behind it, for channel c. */
static double in_means(const constants_trial *h, const mskp_constants_report *r, size_t c)
{
    const size_t p = r ? r->into.id : 0;
    for (size_t k = 1; p && k <= h->net->nodes; k++) {
        const net_node *t = &h->net->node[k];
        if (t->op == NET_NORM && t->norm[2] == p)
            return h->net->param[p].data[c] - h->after.param[p].data[c];
    }
    return 0;
}

/* Channel c of a node stays by itself. */
static bool stays(const constants_trial *h, size_t node, size_t c)
{
    const uint32_t *units =
        mskp_value_units(h->graph, (mskp_value){(uint32_t)h->t.value[node]}, NULL);
    return units[c] == MSKP_PINNED || h->keep[units[c]];
}

/* Of the i-th channel that is left, which was channel c; NAN where something is not finite. */
static gap channel_gap(const constants_trial *h, size_t node, const mskp_constants_report *r,
                       size_t i, size_t c)
{
    const size_t positions = net_positions(&h->net->node[node]);
    gap g = {0, 0};
    for (size_t p = 0; p < positions; p++) {
        const double x = h->whole[node][c * positions + p];
        const double y = h->left[node][i * positions + p] + in_means(h, r, c);
        if (!isfinite(x) || !isfinite(y)) return (gap){(double)NAN, (double)NAN};
        g.off = fmax(g.off, fabs(x - y));
        g.most = fmax(g.most, fabs(x));
    }
    return g;
}

/* Over channels that stay by themselves; NAN where something is not finite. */
static gap gap_of(const constants_trial *h, size_t node, const mskp_constants_report *r)
{
    const net_kept *kept = &h->s.values[node];
    gap g = {0, 0};
    for (size_t i = 0; i < kept->n; i++) {
        const size_t c = kept->index ? kept->index[i] : i;
        if (!stays(h, node, c)) continue;
        const gap of = channel_gap(h, node, r, i, c);
        if (isnan(of.off)) return of;
        g.off = fmax(g.off, of.off);
        g.most = fmax(g.most, of.most);
    }
    return g;
}

/* The root of the squared weights of output c for the inputs that stay. */
static double spread_of(const constants_trial *h, const net_node *t, size_t c)
{
    const net_param *w = &h->net->param[t->weight];
    const size_t each = w->shape[1], taps = shape_elements(w->ndim - 2, w->shape + 2);
    const size_t group = c / (w->shape[0] / (t->groups ? t->groups : 1));
    double sum = 0;
    for (size_t i = 0; i < each; i++)
        for (size_t k = 0; k < taps; k++) {
            const double x = w->data[(c * each + i) * taps + k];
            if (stays(h, t->in[0], group * each + i)) sum += x * x;
        }
    return sqrt(sum);
}

/* No output channel is off by more than the share of what it varies by, and the share is not larger
 * than the bound over the smallest of these. */
static void check_share(const constants_trial *h, size_t node, const mskp_constants_report *r)
{
    const net_node *t = &h->net->node[node];
    const net_kept *kept = &h->s.values[node];
    double least = (double)INFINITY;
    if (!kept->n) return; /* it vanishes, and no weight stays */
    if (t->op != NET_CONV && t->op != NET_LINEAR) return;
    for (size_t i = 0; i < kept->n; i++) {
        const size_t c = kept->index ? kept->index[i] : i;
        if (!stays(h, node, c)) continue;
        const gap g = channel_gap(h, node, r, i, c);
        const double spread = spread_of(h, t, c);
        least = fmin(least, spread);
        if (spread > 0)
            REQUIRE(g.off <= r->share * spread * (1 + 1e-9) + 1e-12 * g.most,
                    "node %zu, channel %zu: off by %g, %g of %g", node, c, g.off, r->share, spread);
    }
    REQUIRE(r->share * least <= r->bound * (1 + 1e-9) || !(least > 0),
            "node %zu: a share of %g, a bound of %g, channels vary by %g and more", node, r->share,
            r->bound, least);
}

/* The largest relative difference of the outputs. */
double outputs_off(const constants_trial *h)
{
    double worst = 0;
    for (size_t k = 0; k < h->net->outputs; k++) {
        const gap g = gap_of(h, h->net->output[k], NULL);
        if (isnan(g.off)) return (double)NAN;
        if (g.off > 0) worst = fmax(worst, g.off / g.most);
    }
    return worst;
}

/* The node that a report is of: values within an operator come before its own; a custom
 * operator is known by its weight. */
static size_t node_of(const constants_trial *h, const mskp_constants_report *r)
{
    const net *n = h->net;
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

/* Each lossy consumer whose inputs are what they were: within its bound. */
size_t check_bounds(constants_trial *h, ratios *r)
{
    const net *n = h->net;
    const size_t count = mskp_constants_consumers(h->c);
    bool *clean = arena_get(&h->t.mem, n->nodes + 1, sizeof *clean);
    const mskp_constants_report **lossy = arena_get(&h->t.mem, n->nodes + 1, sizeof *lossy);
    mskp_constants_report *all = arena_get(&h->t.mem, count, sizeof *all);
    size_t *times = arena_get(&h->t.mem, n->nodes + 1, sizeof *times), checked = 0;
    for (size_t k = 0; k < count; k++) {
        REQUIRE_OK(mskp_constants_consumer(h->c, k, &all[k], NULL));
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
        check_share(h, k, lossy[k]);
        checked++;
        if (g.off > 1e-12 * g.most && r->n < r->most) r->all[r->n++] = lossy[k]->bound / g.off;
    }
    return checked;
}

/*
 * A budget of time on the small runtime: do scores over time give a faster network than scores over
 * multiply-accumulates, when both networks have equally many of these?
 *
 *     latency [NETWORK.safetensors | SEED [STEP [ROUNDS]]]
 *
 * Without a file the network is a ResNet-20 whose gammas are random numbers (SEED, 1). Each
 * operator of the network is timed alone, on one slice of images, at the widths STEP, 2 STEP ...
 * (4), each time beside one and the same convolution; the medians of PASSES ratios make a table of
 * costs. "Convolutions" is a table of convolutions and the linear layer alone; "all" has norms,
 * activations, additions, padding and pooling as well.
 *
 * Networks are chosen by the same scores, the sum of a unit's |gamma|, in these orders:
 *     score    as they are
 *     MACs     over the MACs that a unit saves
 *     time     over the time that it saves, by the table of all
 *     time^k   times MACs^(k-1), over time^k: units whose MACs are slow leave sooner
 *     best     of scores alone, and of time^k with k from 0 (per MAC) to 8, each at once and in 4
 *              rounds, the one whose network has the least time per MAC by the table of all, of
 *              those that lose no more scores than scores alone
 * What a unit saves is found for a block of BLOCK units of its family. Each of the 4 rounds removes
 * as much, and finds anew what a unit saves, as for the smaller network.
 *
 * For each round_to, the first three leave half of the time that the table predicts (demand
 * "time"). Then come pairs with equally many MACs, by scores alone and by each order of time, and
 * by MACs and by each of them: of the masks for many limits around half, two whose MACs differ by
 * at most 0.3 % of the dense network's or, if there are none, least.
 *
 * All are cut, and classify random images in turn with the dense network, ROUNDS (15) times: one
 * thread, processor time. Speedups are over the dense network: 1 / the share of MACs that is left,
 * what the two tables predict, and the median of the rounds. In the second line of a pair, "ratio"
 * is how many times as fast as the first network it is, as the table of all predicts it and as
 * measured; "lost" is the share of all scores that left.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "direct.h" /* of the runtime: its operators one by one */
#include "mskp/rules.h"
#include "mskp_convnet.h"
#include "timing.h"

enum { BATCH = 32, PASSES = 15, LIMITS = 60, BLOCK = 32 };
static const double LEFT = 0.5;
static const double EQUAL = 0.003;   /* shares of MACs that differ by less are equal */
static const double SHORTEST = 1e-4; /* seconds that one measurement takes at least */
static const size_t ROUND_TO[] = {1, 4, 8};

/* An order of removal: by scores alone, or by score * MACs^(power - 1) / time^power. */
typedef struct ranking {
    const char *name;
    bool priced;
    double power;
    size_t rounds; /* what a unit saves is found anew in each; 0: the best of several */
} ranking;
static const ranking SCORE = {"score", false, 0, 1}, MACS = {"MACs", true, 0, 1};
static const ranking TIMES[] = {{"time", true, 1, 1},
                                {"time^3", true, 3, 1},
                                {"time^6", true, 6, 1},
                                {.name = "best", .rounds = 0}};
enum { ORDERS = sizeof TIMES / sizeof *TIMES, NETWORKS = 1 + 3 * (3 + 4 * ORDERS) };

/* The costs of layers that do the same on equal shapes. */
typedef struct table {
    const cn_layer *layer, *in;
    size_t nout, nin, *widths_out, *widths_in;
    double *cost; /* microseconds per image */
} table;

typedef struct network {
    const char *order, *demand;
    size_t round_to;
    bool paired; /* with the network before it */
    cn_net *net;
    double macs, predicted[2], lost; /* of the dense network's, and of all scores */
    double *seconds;                 /* [rounds] */
} network;

typedef struct work {
    const char *path;
    uint64_t seed;
    mskp_graph *graph;
    cn_net *net; /* the dense one */
    size_t ntables, step, rounds;
    table *tables;
    mskp_budget budget[2]; /* tables: of all operators, of convolutions */
    mskp_layer_cost *costs[2];
    double whole[2];
    mskp_cost macs;
    mskp_scores gammas, scores;
    mskp_mask keep, best;
    network networks[NETWORKS];
    size_t nnetworks;
    cn_real *x, *y, *weights, *scratch, *images;
    mskp_error err;
} work;

static bool fail(const char *what, const char *sentence)
{
    fprintf(stderr, "latency: %s: %s\n", what, sentence);
    return false;
}

/* ---- one operator ---- */

static bool has_weights(const cn_layer *l)
{
    return l->kind == CN_CONV || l->kind == CN_LINEAR;
}

static void run_operator(const work *w, const cn_layer *l, cn_view x, cn_view y)
{
    cn_norm norm = {.mean = w->weights, .inverse = w->weights};
    switch (l->kind) {
    case CN_INPUT:
    case CN_SHIFT: /* what is left of a branch, which these networks keep */
        break;
    case CN_CONV:
    case CN_LINEAR:
        cn_conv_forward(cn_direct_kernels(), l, x, y, w->weights, l->bias ? w->weights : NULL,
                        w->scratch);
        break;
    case CN_BATCH_NORM:
        cn_norm_forward(x, y, &norm, w->weights, w->weights);
        break;
    case CN_RELU:
        cn_relu_forward(y, y); /* in place, as it runs in the network */
        break;
    case CN_ADD:
        cn_add_forward(y, x, y);
        break;
    case CN_PAD_CHANNELS:
        cn_pad_forward(l, x, y);
        break;
    case CN_POOL_MAX:
    case CN_POOL_AVERAGE:
        cn_pool_forward(l, x, y);
        break;
    case CN_GLOBAL_AVERAGE:
        cn_global_forward(x, y);
        break;
    case CN_CONCAT: /* ResNets do not have these */
    case CN_SCALE:
    case CN_SIGMOID:
    case CN_UPSAMPLE:
    case CN_NORMALIZE:
        break;
    }
}

static cn_view view_of(cn_real *data, const cn_layer *l, size_t channels)
{
    return (cn_view){data,     channels, l->height,
                     l->width, CN_SLICE, cn_plane(l->height, l->width, CN_SLICE)};
}

/* Microseconds per image. */
static double time_of(const work *w, const table *t, size_t out, size_t in)
{
    cn_layer l = *t->layer;
    l.channels = out;
    if (l.kind == CN_PAD_CHANNELS) {
        in = out / 2;
        l.before = (out - in) / 2;
        l.after = out - in - l.before;
    }
    const cn_view x = view_of(w->x, t->in, in), y = view_of(w->y, &l, out);
    run_operator(w, &l, x, y);
    for (size_t n = 1;; n *= 2) {
        const double start = timing_cpu();
        for (size_t i = 0; i < n; i++) run_operator(w, &l, x, y);
        const double took = timing_cpu() - start;
        if (took >= SHORTEST) return 1e6 * took / (double)(n * CN_SLICE);
    }
}

/* ---- the tables ---- */

static bool same(const table *t, const cn_layer *l, const cn_layer *in)
{
    const cn_layer *a = t->layer;
    return a->kind == l->kind && a->channels == l->channels && a->height == l->height &&
           a->width == l->width && a->bias == l->bias &&
           !memcmp(a->size, l->size, sizeof a->size) &&
           !memcmp(a->stride, l->stride, sizeof a->stride) &&
           !memcmp(a->pad, l->pad, sizeof a->pad) && t->in->channels == in->channels &&
           t->in->height == in->height && t->in->width == in->width;
}

/* step, 2 step ... full; full alone if these channels are no units. */
static size_t *widths(size_t full, size_t step, bool fixed, size_t *n)
{
    size_t *made = malloc((full / step + 1) * sizeof *made);
    *n = 0;
    for (size_t x = step; made && !fixed && x < full; x += step) made[(*n)++] = x;
    if (made) made[(*n)++] = full;
    return made;
}

static bool make_table(work *w, const cn_layer *l, const cn_layer *in)
{
    const cn_net *net = w->net;
    table *t = &w->tables[w->ntables++];
    *t = (table){.layer = l, .in = in};
    t->widths_out = widths(l->channels, w->step, l == &net->layers[net->layer_count - 1], &t->nout);
    if (has_weights(l))
        t->widths_in = widths(in->channels, w->step, in == &net->layers[0], &t->nin);
    const size_t cells = t->nout * (t->nin ? t->nin : 1);
    t->cost = malloc(cells * sizeof *t->cost);
    return t->widths_out && (t->widths_in || !has_weights(l)) && t->cost;
}

/* The last convolution, at its full widths. */
static const table *reference_of(const work *w)
{
    const table *last = w->tables;
    for (size_t k = 0; k < w->ntables; k++)
        if (w->tables[k].layer->kind == CN_CONV) last = &w->tables[k];
    return last;
}

/* Each cell is timed beside a reference, because the machine's speed changes while other programs
 * run: the cost is the median of the ratios times what the reference takes. */
static void measure_tables(work *w)
{
    const table *r = reference_of(w);
    double samples[PASSES], references[PASSES], sum = 0;
    size_t cells = 0;
    for (size_t k = 0; k < w->ntables; k++) {
        const table *t = &w->tables[k];
        const size_t columns = t->nin ? t->nin : 1;
        for (size_t i = 0; i < t->nout * columns; i++) {
            const size_t out = t->widths_out[i / columns];
            const size_t in = t->nin ? t->widths_in[i % columns] : out;
            for (size_t pass = 0; pass < PASSES; pass++) {
                references[pass] = time_of(w, r, r->layer->channels, r->in->channels);
                samples[pass] = time_of(w, t, out, in) / references[pass];
            }
            t->cost[i] = timing_median(samples, PASSES);
            sum += timing_median(references, PASSES);
            cells++;
        }
    }
    for (size_t k = 0; k < w->ntables; k++) {
        const table *t = &w->tables[k];
        for (size_t i = 0; i < t->nout * (t->nin ? t->nin : 1); i++)
            t->cost[i] *= sum / (double)cells;
    }
}

static cn_real *numbers(size_t n, uint64_t seed)
{
    cn_random random = {seed};
    cn_real *x = malloc(n * sizeof *x);
    for (size_t i = 0; x && i < n; i++) x[i] = (cn_real)cn_random_unit(&random);
    return x;
}

/* The costs of layer i are those of tables[which[i]]. */
static bool make_costs(work *w)
{
    const cn_net *net = w->net;
    size_t largest = 1, weights = 1, scratch = 1;
    w->tables = calloc(net->layer_count, sizeof *w->tables);
    size_t *which = calloc(net->layer_count, sizeof *which);
    bool good = w->tables && which;
    for (size_t i = 1; good && i < net->layer_count; i++) {
        const cn_layer *l = &net->layers[i], *in = &net->layers[l->in[0]];
        while (which[i] < w->ntables && !same(&w->tables[which[i]], l, in)) which[i]++;
        if (which[i] == w->ntables) good = make_table(w, l, in);
    }
    for (size_t i = 0; i < net->layer_count; i++) {
        const cn_layer *l = &net->layers[i];
        const size_t n = l->channels * cn_plane(l->height, l->width, CN_SLICE);
        if (n > largest) largest = n;
        if (has_weights(l) && cn_conv_work(l, &net->layers[l->in[0]]) > scratch)
            scratch = cn_conv_work(l, &net->layers[l->in[0]]);
    }
    for (size_t p = 0; p < net->param_count; p++)
        if (net->params[p].count > weights) weights = net->params[p].count;
    w->x = numbers(largest, 1), w->y = numbers(largest, 2);
    w->weights = numbers(weights, 3), w->scratch = numbers(scratch, 4);
    if ((good = good && w->x && w->y && w->weights && w->scratch)) measure_tables(w);
    for (size_t b = 0; good && b < 2; b++) {
        good = (w->costs[b] = calloc(net->layer_count, sizeof **w->costs)) != NULL;
        w->budget[b] = (mskp_budget){.kind = MSKP_BUDGET_TABLE, .layers = w->costs[b]};
        for (size_t i = 1; good && i < net->layer_count; i++) {
            const cn_layer *l = &net->layers[i];
            const table *t = &w->tables[which[i]];
            if (b && !has_weights(l)) continue;
            mskp_layer_cost *c = &w->costs[b][w->budget[b].nlayers++];
            *c = (mskp_layer_cost){.out = mskp_value_find(w->graph, l->name),
                                   .nout = t->nout,
                                   .widths_out = t->widths_out,
                                   .cost = t->cost};
            if (!t->nin) continue;
            c->in = mskp_value_find(w->graph, net->layers[l->in[0]].name);
            c->nin = t->nin, c->widths_in = t->widths_in;
        }
    }
    free(which);
    return good || fail("tables", "no memory");
}

/* ---- networks ---- */

static cn_net *open_network(const work *w)
{
    const char *path = w->path;
    const cn_options options = {.batch = BATCH, .threads = 1, .seed = 1};
    cn_error err;
    cn_random random = {w->seed};
    cn_net *net = path ? cn_load(path, &options, &err) : cn_resnet(20, 10, &options, &err);
    if (!net) fail(path ? path : "resnet20", err.text);
    for (size_t i = 0; net && !path && i < net->layer_count; i++)
        for (size_t c = 0; net->layers[i].kind == CN_BATCH_NORM && c < net->layers[i].channels; c++)
            net->params[net->layers[i].weight].value[c] = (cn_real)cn_random_unit(&random);
    return net;
}

/* The share of all scores that has left w->keep. */
static double lost_of(const work *w)
{
    double all = 0, lost = 0;
    for (size_t u = 0; u < w->gammas.n; u++) {
        all += w->gammas.unit[u];
        if (!w->keep.unit[u]) lost += w->gammas.unit[u];
    }
    return lost / all;
}

/* Cuts one more network by w->keep. */
static bool add_network(work *w, const char *order, const char *demand, size_t round_to)
{
    network *n = &w->networks[w->nnetworks++];
    mskp_plan *plan = NULL;
    cn_error err;
    mskp_cost cost;
    *n = (network){.order = order, .demand = demand, .round_to = round_to};
    n->seconds = malloc(w->rounds * sizeof *n->seconds);
    n->net = open_network(w);
    if (!n->seconds || !n->net) return fail(order, "no memory");
    if (mskp_measure(w->graph, w->keep, &cost, NULL, &w->err)) return fail(order, w->err.text);
    n->macs = cost.macs / w->macs.macs;
    for (size_t b = 0; b < 2; b++) {
        double amount;
        if (mskp_budget_measure(w->graph, w->keep, &w->budget[b], &amount, &w->err))
            return fail(order, w->err.text);
        n->predicted[b] = amount / w->whole[b];
    }
    n->lost = lost_of(w);
    if (mskp_plan_create(w->graph, w->keep, &plan, NULL, &w->err)) return fail(order, w->err.text);
    const bool good = cn_prune(n->net, w->graph, plan, NULL, &err) || fail(order, err.text);
    mskp_plan_destroy(plan);
    return good;
}

/* time[f], macs[f] <- what one of the family's units in w->keep saves, of BLOCK units, or of all
 * but one; 0 if there is only one. MSKP_NORMALIZER_MACS divides by the MACs, and
 * mskp_score_per_budget by the time if the family has more than BLOCK units; in a smaller family it
 * removes all units, and with them what the smallest widths of the table cost. */
static bool find_prices(work *w, double *time, double *macs)
{
    double whole, left;
    mskp_cost cost, less;
    mskp_status status = mskp_budget_measure(w->graph, w->keep, &w->budget[0], &whole, &w->err);
    if (!status) status = mskp_measure(w->graph, w->keep, &cost, NULL, &w->err);
    for (size_t f = 0; !status && f < mskp_graph_counts(w->graph).families; f++) {
        size_t size, stay = 0, n = 0, gone[BLOCK] = {0};
        const uint32_t *unit = mskp_family_units(w->graph, f, &size);
        for (size_t i = 0; i < size; i++) stay += w->keep.unit[unit[i]];
        for (size_t i = 0; i < size && n < BLOCK && n + 1 < stay; i++)
            if (w->keep.unit[unit[i]]) w->keep.unit[gone[n++] = unit[i]] = 0;
        status = mskp_budget_measure(w->graph, w->keep, &w->budget[0], &left, &w->err);
        if (!status) status = mskp_measure(w->graph, w->keep, &less, NULL, &w->err);
        for (size_t i = 0; i < n; i++) w->keep.unit[gone[i]] = 1;
        time[f] = n ? (whole - left) / (double)n : 0;
        macs[f] = n ? (cost.macs - less.macs) / (double)n : 0;
    }
    return !status || fail("prices", w->err.text);
}

/* w->scores <- in this order, for the units in w->keep; 0 for those that have left. */
static bool put_in_order(work *w, const ranking *by)
{
    const size_t families = mskp_graph_counts(w->graph).families;
    const uint32_t *family = mskp_unit_families(w->graph, NULL);
    double *time = malloc(families * sizeof *time), *macs = malloc(families * sizeof *macs);
    const bool good = time && macs && find_prices(w, time, macs);
    for (size_t u = 0; good && u < w->scores.n; u++) {
        const double t = time[family[u]], m = macs[family[u]];
        double x = w->gammas.unit[u];
        if (by->priced) x = t > 0 && m > 0 ? x / m * pow(m / t, by->power) : INFINITY;
        w->scores.unit[u] = w->keep.unit[u] ? x : 0;
    }
    free(time);
    free(macs);
    return good;
}

/* w->keep <- by this order, at most `limit` of the time or of the MACs; each round gives up the
 * same number of them. */
static bool choose_in(work *w, const ranking *by, bool time, size_t round_to, double limit)
{
    memset(w->keep.unit, 1, w->keep.n);
    for (size_t round = 1; round <= by->rounds; round++) {
        const double left = 1 - (1 - limit) * (double)round / (double)by->rounds;
        mskp_budget budget = w->budget[0];
        mskp_rule rule = {.round_to = round_to, .min_channels = 2};
        budget.limit = left * w->whole[0];
        if (time)
            rule.nbudgets = 1, rule.budgets = &budget;
        else
            rule.max_macs = left * w->macs.macs;
        if (!put_in_order(w, by)) return false;
        if (mskp_select(w->graph, w->scores, &rule, w->keep, NULL, &w->err))
            return fail(by->name, w->err.text);
    }
    return true;
}

/* What w->keep has lost of all scores, and *pace <- its time per MAC, by the table. */
static bool look(work *w, double *lost, double *pace)
{
    double amount = 0;
    mskp_cost cost;
    if (mskp_budget_measure(w->graph, w->keep, &w->budget[0], &amount, &w->err) ||
        mskp_measure(w->graph, w->keep, &cost, NULL, &w->err))
        return fail("best", w->err.text);
    *pace = amount / cost.macs;
    *lost = lost_of(w);
    return true;
}

static bool choose(work *w, const ranking *by, bool time, size_t round_to, double limit)
{
    if (by->rounds) return choose_in(w, by, time, round_to, limit);
    double most, lost, least, pace;
    if (!choose_in(w, &SCORE, time, round_to, limit) || !look(w, &most, &least)) return false;
    memcpy(w->best.unit, w->keep.unit, w->keep.n);
    for (size_t k = 0; k < 2 * 9; k++) {
        const ranking one = {"best", true, (double)(k / 2), k % 2 ? 4 : 1};
        if (!choose_in(w, &one, time, round_to, limit) || !look(w, &lost, &pace)) return false;
        if (lost > most || pace >= least) continue;
        least = pace;
        memcpy(w->best.unit, w->keep.unit, w->keep.n);
    }
    memcpy(w->keep.unit, w->best.unit, w->keep.n);
    return true;
}

static double limit_at(size_t i)
{
    return LEFT * (1.15 - 0.3 * (double)i / (LIMITS - 1));
}

/* masks[i] <- the share of the MACs that is left with limit_at(i) */
static bool try_limits(work *w, const ranking *by, size_t round_to, double *masks)
{
    for (size_t i = 0; i < LIMITS; i++) {
        mskp_cost cost;
        if (!choose(w, by, false, round_to, limit_at(i))) return false;
        if (mskp_measure(w->graph, w->keep, &cost, NULL, &w->err)) return fail("MACs", w->err.text);
        masks[i] = cost.macs / w->macs.macs;
    }
    return true;
}

/* Two networks with nearly as many MACs, the second by time. */
static bool choose_pair(work *w, const ranking *first, const double *masks_first,
                        const ranking *second, const double *masks_second, size_t round_to)
{
    double least = 1;
    size_t best[2] = {0, 0};
    for (size_t i = 0; i < LIMITS; i++)
        for (size_t j = 0; j < LIMITS; j++) {
            const double gap = fabs(masks_first[i] - masks_second[j]);
            const double far = fmax(gap, EQUAL) + 0.1 * fabs(masks_first[i] - LEFT);
            if (far < least) least = far, best[0] = i, best[1] = j;
        }
    if (!choose(w, first, false, round_to, limit_at(best[0])) ||
        !add_network(w, first->name, "MACs", round_to) ||
        !choose(w, second, false, round_to, limit_at(best[1])) ||
        !add_network(w, second->name, "MACs", round_to))
        return false;
    w->networks[w->nnetworks - 1].paired = true;
    return true;
}

static bool choose_for(work *w, size_t round_to)
{
    const ranking *halved[] = {&SCORE, &MACS, &TIMES[0]};
    for (size_t k = 0; k < 3; k++)
        if (!choose(w, halved[k], true, round_to, LEFT) ||
            !add_network(w, halved[k]->name, "time", round_to))
            return false;
    double score[LIMITS], macs[LIMITS], times[LIMITS];
    bool good = try_limits(w, &SCORE, round_to, score) && try_limits(w, &MACS, round_to, macs);
    for (size_t k = 0; good && k < ORDERS; k++)
        good = try_limits(w, &TIMES[k], round_to, times) &&
               choose_pair(w, &SCORE, score, &TIMES[k], times, round_to) &&
               choose_pair(w, &MACS, macs, &TIMES[k], times, round_to);
    return good;
}

static bool choose_all(work *w)
{
    memset(w->keep.unit, 1, w->keep.n);
    bool good = add_network(w, "dense", "", 0);
    for (size_t r = 0; good && r < sizeof ROUND_TO / sizeof *ROUND_TO; r++)
        good = choose_for(w, ROUND_TO[r]);
    return good;
}

/* ---- the comparison ---- */

static void race(work *w)
{
    for (size_t round = 0; round < w->rounds + 1; round++)
        for (size_t k = 0; k < w->nnetworks; k++) {
            network *n = &w->networks[k];
            const double start = timing_cpu();
            cn_forward(n->net, BATCH, w->images, false);
            if (round) n->seconds[round - 1] = timing_cpu() - start; /* the first round warms up */
        }
}

/* The median of the rounds' ratios. */
static double ratio(const work *w, const network *a, const network *b, double *memory)
{
    for (size_t i = 0; i < w->rounds; i++) memory[i] = a->seconds[i] / b->seconds[i];
    return timing_median(memory, w->rounds);
}

static bool print_results(const work *w)
{
    double *memory = malloc(w->rounds * sizeof *memory);
    if (!memory) return fail("results", "no memory");
    const network *dense = w->networks;
    const char *advice = cn_kernels_advice();
    if (advice) printf("%s\n", advice);
    memcpy(memory, dense->seconds, w->rounds * sizeof *memory);
    printf("dense: %.1f us per image; the table of all says %.1f, of convolutions %.1f\n",
           1e6 * timing_median(memory, w->rounds) / BATCH, w->whole[0], w->whole[1]);
    printf("%8s %-6s %-6s %6s %6s | %6s %6s %6s %8s | %s\n", "round_to", "demand", "order", "lost",
           "MACs", "1/MACs", "convs", "all", "measured", "ratio");
    for (size_t k = 1; k < w->nnetworks; k++) {
        const network *n = &w->networks[k];
        printf("%8zu %-6s %-6s %5.1f%% %5.1f%% | %6.3f %6.3f %6.3f", n->round_to, n->demand,
               n->order, 100 * n->lost, 100 * n->macs, 1 / n->macs, 1 / n->predicted[1],
               1 / n->predicted[0]);
        printf(" %8.3f |", ratio(w, dense, n, memory));
        if (n->paired)
            printf(" %.3f %.3f", n[-1].predicted[0] / n->predicted[0], ratio(w, n - 1, n, memory));
        printf("\n");
    }
    free(memory);
    return true;
}

/* Where the dense network's time goes, per operator and per MAC. */
static void print_layers(const work *w)
{
    const cn_net *net = w->net;
    printf("%-20s %6s %6s %6s %10s %8s\n", "layer, from the table", "in", "out", "side", "us/image",
           "ns/kMAC");
    for (size_t k = 0; k < w->ntables; k++) {
        const table *t = &w->tables[k];
        const size_t cells = t->nout * (t->nin ? t->nin : 1);
        const double cost = t->cost[cells - 1];
        printf("%-20s %6zu %6zu %6zu %10.2f", t->layer->name, t->in->channels, t->layer->channels,
               t->layer->height, cost);
        if (has_weights(t->layer))
            printf(" %8.1f", 1e6 * cost /
                                 (double)(t->layer->height * t->layer->width *
                                          net->params[t->layer->weight].count));
        printf("\n");
    }
}

static void close_work(work *w)
{
    for (size_t k = 0; k < w->ntables; k++) {
        free(w->tables[k].widths_out);
        free(w->tables[k].widths_in);
        free(w->tables[k].cost);
    }
    for (size_t k = 0; k < w->nnetworks; k++) {
        cn_destroy(w->networks[k].net);
        free(w->networks[k].seconds);
    }
    void *memory[] = {w->tables,      w->costs[0],  w->costs[1],  w->gammas.unit,
                      w->scores.unit, w->keep.unit, w->best.unit, w->x,
                      w->y,           w->weights,   w->scratch,   w->images};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) free(memory[i]);
    mskp_graph_destroy(w->graph);
    cn_destroy(w->net);
}

static bool prepare(work *w)
{
    if (!(w->net = open_network(w))) return false;
    w->graph = mskp_graph_create(NULL);
    cn_describe(w->net, w->graph);
    if (mskp_graph_finish(w->graph, &w->err)) return fail("network", w->err.text);
    const size_t units = mskp_graph_counts(w->graph).units;
    w->gammas = (mskp_scores){units, calloc(units, sizeof(double))};
    w->scores = (mskp_scores){units, calloc(units, sizeof(double))};
    w->keep = (mskp_mask){units, calloc(units, 1)};
    w->best = (mskp_mask){units, calloc(units, 1)};
    w->images = numbers(BATCH * CN_PIXELS, 5);
    const mskp_tensors values = {w->net->param_count,
                                 calloc(w->net->param_count, sizeof(mskp_tensor))};
    bool good = w->gammas.unit && w->scores.unit && w->keep.unit && w->best.unit && w->images &&
                values.view;
    if (!good) return fail("network", "no memory");
    cn_values(w->net, values);
    good = (!mskp_score(w->graph, NULL, values, w->gammas, &w->err) &&
            !mskp_measure(w->graph, (mskp_mask){0}, &w->macs, NULL, &w->err)) ||
           fail("network", w->err.text);
    free(values.view);
    good = good && make_costs(w);
    for (size_t b = 0; good && b < 2; b++)
        good =
            !mskp_budget_measure(w->graph, (mskp_mask){0}, &w->budget[b], &w->whole[b], &w->err) ||
            fail("tables", w->err.text);
    return good;
}

int main(int argc, char **argv)
{
    work w = {.seed = 1, .step = 4, .rounds = 15};
    if (argc > 1) {
        char *end;
        w.seed = strtoull(argv[1], &end, 10);
        if (*end) w.path = argv[1];
    }
    if (argc > 2) w.step = strtoul(argv[2], NULL, 10);
    if (argc > 3) w.rounds = strtoul(argv[3], NULL, 10);
    if (!w.step || !w.rounds) return fail("arguments", "STEP and ROUNDS are at least 1"), 2;
    bool good = prepare(&w) && choose_all(&w);
    if (good) {
        race(&w);
        print_layers(&w);
        good = print_results(&w);
    }
    close_work(&w);
    return good ? 0 : 1;
}

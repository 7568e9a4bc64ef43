/*
 * Operators that read channels which leave (consumers), and what these channels contribute to them.
 *
 * A consumer is an operator that mixes channels and has a weight that is not zero from a channel
 * that leaves to one that stays. For each output and tap the constants times the weights are summed
 * up. All else follows from these sums: the number that folding adds to a bias is the sum at most
 * positions (the largest class of taps), and the error of folding or dropping is the largest
 * difference over all outputs and classes of positions. What an output varies by is estimated as
 * the root of its squared weights, for inputs of variance 1, and a share is the error divided by
 * that.
 *
 * Recurrent layers, norms over several channels and operators of the host are consumers, too, of
 * which only counts are kept, because nothing can be folded into them.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "constants/hearing.h"
#include "constants/reading.h"
#include "constants/taps.h"
#include "describe/graph.h"
#include "describe/step.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/units.h"

static mskp_status no_memory(walker *w)
{
    if (!w->status)
        w->status = mskpi_fail(w->err, MSKP_ERROR_NO_MEMORY, "%s while looking for constants",
                               mskp_status_text(MSKP_ERROR_NO_MEMORY));
    return w->status;
}

/* ---- Uses of parameters ---- */

static int count_uses(const mskp_graph *g, hearings *h)
{
    h->uses = mskpi_alloc(&g->services, g->nparams + 1, sizeof *h->uses);
    if (!h->uses) return 1;
    for (size_t v = 1; v <= g->nvalues; v++)
        for (int k = 0; k < STEP_MOST_PARAMS && !g->steps[v].part; k++)
            h->uses[g->steps[v].params[k]]++;
    for (size_t k = 0; k < g->nreaders; k++) h->uses[g->readers[k].param]++;
    return 0;
}

/* ---- Consumers that are told of, and not written ---- */

/* Appends it; NULL: no memory. */
static hearing *new_hearing(walker *w, hearings *h, uint32_t value, uint32_t reads, uint32_t weight)
{
    const size_t in = w->graph->values[reads].view.n;
    hearing *all = mskpi_grow(&w->graph->services, h->all, &h->capacity, h->n, 1, sizeof *h->all);
    if (all) h->all = all;
    uint8_t *hears = all ? mskpi_alloc(&w->graph->services, in, sizeof *hears) : NULL;
    if (!hears) {
        no_memory(w);
        return NULL;
    }
    all[h->n] = (hearing){.value = value,
                          .reads = reads,
                          .weight = weight,
                          .form = {.in = in, .groups = 1},
                          .hears = hears};
    return &all[h->n++];
}

static void free_hearing(const mskp_services *host, hearing *x)
{
    mskpi_free(host, x->hears);
    mskpi_free(host, x->sums);
    mskpi_free(host, x->folded);
    mskpi_free(host, x->group);
}

/* Those that hear nothing are not told of. */
static void keep_if_heard(walker *w, hearings *h)
{
    hearing *x = &h->all[h->n - 1];
    if (!memchr(x->hears, HEARS_CONSTANT, x->form.in) &&
        !memchr(x->hears, HEARS_LIVE, x->form.in)) {
        free_hearing(&w->graph->services, x);
        h->n--;
    }
}

static int leaves_any(const walker *w, uint32_t value)
{
    const uint32_t *units = mskpi_units_of(w->graph, value);
    for (size_t c = 0; c < w->graph->values[value].view.n; c++)
        if (mskpi_is_removed(w->keep, units[c])) return 1;
    return 0;
}

static uint8_t heard_as(double k)
{
    return isnan(k) ? HEARS_LIVE : HEARS_CONSTANT;
}

/* By slices of an axis alone: recurrent layers, and operators of the host's own. */
static void hear_slices(walker *w, hearings *h, uint32_t value, uint32_t reads, uint32_t param,
                        uint32_t axis, const char *why)
{
    const double *k = w->constant + w->first[reads];
    if (w->status || !leaves_any(w, reads)) return;
    hearing *x = new_hearing(w, h, value, reads, param);
    if (!x) return;
    const uint32_t *units = mskpi_units_of(w->graph, reads);
    x->why = why;
    for (size_t i = 0; i < x->form.in && !w->status; i++)
        if (mskpi_is_removed(w->keep, units[i]) && k[i] != 0 && mskpi_walk_heard(w, param, axis, i))
            x->hears[i] = heard_as(k[i]);
    if (memchr(x->hears, HEARS_LIVE, x->form.in)) x->why = MSKPI_NOT_CONSTANT;
    keep_if_heard(w, h);
}

/* Statistics of several channels change with each that leaves, even a zero one. */
static void hear_statistics(walker *w, hearings *h, uint32_t value)
{
    const graph_step *s = &w->graph->steps[value];
    const uint32_t reads = w->graph->step_inputs[s->first_input];
    const double *k = w->constant + w->first[reads];
    const uint32_t *units = mskpi_units_of(w->graph, reads);
    if (!leaves_any(w, reads)) return;
    hearing *x = new_hearing(w, h, value, reads, 0);
    if (!x) return;
    x->why = "its statistics run over channels that leave";
    const size_t part = x->form.in / s->groups;
    for (size_t first = 0; first < x->form.in; first += part) {
        int stays = 0;
        for (size_t i = first; i < first + part; i++) stays |= !mskpi_is_removed(w->keep, units[i]);
        for (size_t i = first; stays && i < first + part; i++)
            if (mskpi_is_removed(w->keep, units[i])) x->hears[i] = heard_as(k[i]);
    }
    keep_if_heard(w, h);
}

/* Positions of query and key leave from products: without a trace if the query is zero, or the key
 * is the same everywhere (that adds the same to all, which softmax does not see). */
static void hear_products(walker *w, hearings *h, uint32_t value)
{
    const mskp_graph *g = w->graph;
    const graph_step *s = &g->steps[value];
    const uint32_t query = g->step_inputs[s->first_input + 1];
    const uint32_t key = g->step_inputs[s->first_input + 2];
    const double *q = w->constant + w->first[query], *k = w->constant + w->first[key];
    const uint32_t *units = mskpi_units_of(g, query);
    const size_t dim = g->values[key].view.n / s->groups;
    if (!s->option || !leaves_any(w, query)) return;
    hearing *x = new_hearing(w, h, value, query, 0);
    if (!x) return;
    x->why = "attention compares positions that leave";
    const size_t shared = x->form.in / dim / s->groups; /* query heads for each key head */
    for (size_t i = 0; i < x->form.in; i++)
        if (mskpi_is_removed(w->keep, units[i]) && q[i] != 0 &&
            isnan(k[i / dim / shared * dim + i % dim]))
            x->hears[i] = HEARS_LIVE;
    keep_if_heard(w, h);
}

/* ---- Consumers that mix by weights ---- */

typedef struct listener {
    walker *w;
    hearing *x;
    walk_weight weight;
    tap_classes taps;
    const uint32_t *in_units, *out_units;
    const double *k;
    double *room;     /* [taps] */
    double *loudness; /* [out] sums of |constant * weight| */
} listener;

/* Input i towards the outputs of its group that stay. */
static void hear_input(listener *l, size_t group, size_t i)
{
    hearing *x = l->x;
    const size_t each = x->form.out / x->form.groups;
    for (size_t o = group * each; o < (group + 1) * each && !l->w->status; o++) {
        if (mskpi_is_removed(l->w->keep, l->out_units[o])) continue;
        if (!mskpi_walk_taps(l->w, &l->weight, o, i, l->room)) continue;
        x->hears[i] = heard_as(l->k[i]);
        if (isnan(l->k[i])) return;
        for (size_t t = 0; t < x->form.taps; t++) {
            x->sums[o * x->form.taps + t] += l->k[i] * l->room[t];
            l->loudness[o] += fabs(l->k[i] * l->room[t]);
        }
    }
}

/* The larger; what is no number is without a bound. */
static double larger(double a, double b)
{
    return b <= a ? a : isnan(b) ? (double)INFINITY : b;
}

/* What output o is off by if its sums are dropped, and if that of most positions is folded. */
static void losses(const listener *l, size_t o, hearing_group *g)
{
    hearing *x = l->x;
    const double *sums = x->sums + o * x->form.taps;
    double all = 0, loud = 0;
    if (l->taps.too_many) { /* no more than all of them */
        for (size_t t = 0; t < x->form.taps; t++) {
            all += sums[t];
            loud += fabs(sums[t]);
        }
        x->folded[o] = all;
        g->drop = larger(g->drop, loud);
        g->fold = larger(g->fold, loud);
        return;
    }
    const double *at = mskpi_taps_sums(&l->taps, sums);
    x->folded[o] = at[l->taps.most];
    for (size_t c = 0; c < l->taps.classes; c++) {
        g->drop = larger(g->drop, fabs(at[c]));
        g->fold = larger(g->fold, fabs(at[c] - x->folded[o]));
    }
}

/* What an output varies by, if the inputs that stay have variance 1. */
static double spread(listener *l, size_t o, size_t first, size_t n)
{
    double sum = 0;
    for (size_t i = first; i < first + n; i++) {
        if (mskpi_is_removed(l->w->keep, l->in_units[i])) continue;
        if (!mskpi_walk_taps(l->w, &l->weight, o, i, l->room)) continue;
        for (size_t t = 0; t < l->x->form.taps; t++) sum += l->room[t] * l->room[t];
    }
    return sqrt(sum);
}

/* Without a spread, any loss is all. */
static double share(double loss, double of)
{
    return loss > 0 ? loss / of : 0;
}

static void hear_group(listener *l, size_t group)
{
    hearing *x = l->x;
    hearing_group *g = &x->group[group];
    const size_t in = x->form.in / x->form.groups, out = x->form.out / x->form.groups;
    for (size_t i = group * in; i < (group + 1) * in && !l->w->status; i++) {
        if (!mskpi_is_removed(l->w->keep, l->in_units[i]) || l->k[i] == 0) continue;
        hear_input(l, group, i);
        g->constants += x->hears[i] == HEARS_CONSTANT;
    }
    for (size_t o = group * out; g->constants && o < (group + 1) * out; o++) {
        if (mskpi_is_removed(l->w->keep, l->out_units[o])) continue;
        hearing_group mine = {0};
        losses(l, o, &mine);
        g->drop = larger(g->drop, mine.drop);
        g->fold = larger(g->fold, mine.fold);
        g->rounding = fmax(g->rounding, 1e-12 * l->loudness[o]);
        const double of = spread(l, o, group * in, in);
        g->drop_share = larger(g->drop_share, share(mine.drop, of));
        g->fold_share = larger(g->fold_share, share(mine.fold, of));
    }
}

static void hear_groups(listener *l)
{
    const mskp_services *host = &l->w->graph->services;
    hearing *x = l->x;
    l->loudness = mskpi_alloc(host, x->form.out, sizeof *l->loudness);
    l->room = mskpi_alloc(host, x->form.taps, sizeof *l->room);
    x->sums = mskpi_alloc(host, mskpi_product(x->form.out, x->form.taps), sizeof *x->sums);
    x->folded = mskpi_alloc(host, x->form.out, sizeof *x->folded);
    x->group = mskpi_alloc(host, x->form.groups, sizeof *x->group);
    if (!l->loudness || !l->room || !x->sums || !x->folded || !x->group) no_memory(l->w);
    for (size_t g = 0; g < x->form.groups && !l->w->status; g++) hear_group(l, g);
    mskpi_free(host, l->loudness);
    mskpi_free(host, l->room);
}

static void hear_mixing(walker *w, hearings *h, uint32_t value)
{
    const mskp_graph *g = w->graph;
    const graph_step *s = &g->steps[value];
    const uint32_t reads = g->step_inputs[s->first_input];
    if (!leaves_any(w, reads)) return;
    hearing *x = new_hearing(w, h, value, reads, s->params[0]);
    if (!x) return;
    listener l = {.w = w,
                  .x = x,
                  .in_units = mskpi_units_of(g, reads),
                  .out_units = mskpi_units_of(g, value),
                  .k = w->constant + w->first[reads]};
    if (!mskpi_walk_weight(w, value, &l.weight)) {
        x->mixes = 1;
        x->bias = s->params[1];
        x->form = l.weight.form;
        if (mskpi_taps_make(g, value, &l.taps)) no_memory(w);
        x->uniform = mskpi_taps_uniform(&l.taps) != 0;
        if (!w->status) hear_groups(&l);
        mskpi_taps_free(&g->services, &l.taps);
    }
    mskpi_walk_weight_free(w, &l.weight);
    keep_if_heard(w, h);
}

/* ---- All of them ---- */

static void hear_value(walker *w, hearings *h, uint32_t value)
{
    const graph_step *s = &w->graph->steps[value];
    switch (s->kind) {
    case STEP_CONV:
    case STEP_TRANSPOSED:
    case STEP_LINEAR:
        hear_mixing(w, h, value);
        break;
    case STEP_NORM:
        if (s->option >= MSKP_NORM_GROUP) hear_statistics(w, h, value);
        break;
    case STEP_ATTEND:
        hear_products(w, h, value);
        break;
    case STEP_RECURRENT:
        hear_slices(w, h, value, w->graph->step_inputs[s->first_input], s->params[0], 1,
                    "recurrent layers keep their constants");
        hear_slices(w, h, value, value, s->params[1], 1, "recurrent layers keep their constants");
        break;
    default:
        break;
    }
}

mskp_status mskpi_hearings(walker *w, hearings *h)
{
    const mskp_graph *g = w->graph;
    *h = (hearings){0};
    if (count_uses(g, h)) return no_memory(w);
    for (uint32_t v = 1; v <= g->nvalues && !w->status; v++) hear_value(w, h, v);
    for (size_t k = 0; k < g->nreaders && !w->status; k++) {
        const own_reader *r = &g->readers[k];
        if (r->roles & MSKP_ROLE_CONSUMER)
            hear_slices(w, h, r->value, r->value, r->param, r->axis,
                        "an operator of the host's own reads it");
    }
    for (size_t k = 0; k < h->n; k++)
        for (size_t i = 0; i < h->all[k].form.in; i++)
            h->all[k].live += h->all[k].hears[i] == HEARS_LIVE;
    return w->status;
}

void mskpi_hearings_free(const mskp_services *host, hearings *h)
{
    for (size_t k = 0; k < h->n; k++) free_hearing(host, &h->all[k]);
    mskpi_free(host, h->all);
    mskpi_free(host, h->uses);
}

/*
 * Consumers: the operators that read channels of removed units, and what these channels contribute
 * to their results.
 *
 * An operator is a consumer if it mixes channels and has a nonzero weight from a channel that is
 * removed, and is not zero, to a channel that stays. For each output and tap of a consumer the
 * constants are multiplied by the weights and summed up:
 *
 *     sums[o][t] = sum over removed constant inputs i of constant[i] * weight[o][i][t]
 *
 * Everything else follows from these sums and from the classes of positions (taps.c). A position of
 * class c loses sums[o][t], summed over the taps t that c sees. Folding can add one number to all
 * positions; it takes the number of the class with the most positions, so the error of a fold is
 * the largest difference between a class and that one, and the error of a drop is the largest
 * number of all. Both errors do occur if nothing else differs: they are tight bounds. Where the
 * classes are too many to know, the sum of all absolute values is a bound for both.
 *
 * In a branch that vanishes, all channels leave that an operator reads, and its result is a
 * constant. Convolutions there are consumers, whose border may be lost. The addition where the
 * branch ends is a consumer, too: the constants of its operand go into the shift that is left of
 * the operand, or are lost.
 *
 * Recurrent layers, norms over several channels, the products of attention, and custom operators
 * are consumers, too. Nothing can be folded into them, so only their inputs are listed.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "constants/consumers.h"
#include "constants/reading.h"
#include "constants/taps.h"
#include "describe/graph.h"
#include "describe/step.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/units.h"

static mskp_status count_uses(walker *w, consumer_list *list)
{
    const mskp_graph *g = w->graph;
    list->uses = mskpi_alloc(&g->services, g->nparams + 1, sizeof *list->uses);
    if (!list->uses) return mskpi_walk_no_memory(w);
    for (size_t v = 1; v <= g->nvalues; v++)
        for (int k = 0; k < STEP_MOST_PARAMS && !g->steps[v].part; k++)
            list->uses[g->steps[v].params[k]]++; /* uses[0] counts parameters that are not there */
    for (size_t k = 0; k < g->nreaders; k++) list->uses[g->readers[k].param]++;
    return MSKP_OK;
}

/* ---- The list ---- */

/* Appends a consumer that reads nothing yet. Returns NULL without memory, when the walk has
 * failed. */
static consumer *new_consumer(walker *w, consumer_list *list, uint32_t value, uint32_t reads,
                              uint32_t weight)
{
    const mskp_services *services = &w->graph->services;
    const size_t in = w->graph->values[reads].view.n;
    consumer *all = mskpi_grow(services, list->all, &list->capacity, list->n, 1, sizeof *list->all);
    if (all) list->all = all;
    uint8_t *input = all ? mskpi_alloc(services, in, sizeof *input) : NULL;
    if (!input) {
        mskpi_walk_no_memory(w);
        return NULL;
    }
    MSKPI_ASSERT(list->n < list->capacity);
    all[list->n] = (consumer){.value = value,
                              .reads = reads,
                              .weight = weight,
                              .form = {.in = in, .groups = 1},
                              .input = input};
    return &all[list->n++];
}

static void free_consumer(const mskp_services *services, consumer *x)
{
    mskpi_free(services, x->input);
    mskpi_free(services, x->sums);
    mskpi_free(services, x->folded);
    mskpi_free(services, x->group);
}

/* Takes the last consumer off the list again if it reads nothing. */
static void finish_consumer(walker *w, consumer_list *list)
{
    consumer *x = &list->all[list->n - 1];
    MSKPI_ASSERT(list->n > 0);
    for (size_t i = 0; i < x->form.in; i++) x->live += x->input[i] == READS_LIVE;
    if (x->live || memchr(x->input, READS_CONSTANT, x->form.in)) return;
    free_consumer(&w->graph->services, x);
    list->n--;
}

static bool has_removed(const walker *w, uint32_t value)
{
    const uint32_t *units = mskpi_units_of(w->graph, value);
    for (size_t c = 0; c < w->graph->values[value].view.n; c++)
        if (mskpi_is_removed(w->keep, units[c])) return true;
    return false;
}

/* What a consumer reads of a channel with this constant, if it reads the channel. */
static uint8_t input_of(double k)
{
    MSKPI_ASSERT(k != 0);
    return isnan(k) ? READS_LIVE : READS_CONSTANT;
}

/* ---- The ends of branches ---- */

/* list->reached <- the values that vanish and lead to an addition that stays. */
static mskp_status find_reached(walker *w, consumer_list *list)
{
    const mskp_graph *g = w->graph;
    list->reached = mskpi_alloc(&g->services, g->nvalues + 1, sizeof *list->reached);
    if (!list->reached) return mskpi_walk_no_memory(w);
    for (size_t v = g->nvalues; w->gone->any && v >= 1; v--) {
        const graph_step *s = &g->steps[v];
        const bool stays = mskpi_fate(w->gone, (uint32_t)v) == MSKP_FATE_STAYS;
        for (size_t k = 0; (stays || list->reached[v]) && k < s->ninputs; k++) {
            const uint32_t in = g->step_inputs[s->first_input + k];
            if (mskpi_fate(w->gone, in)) list->reached[in] = 1;
        }
    }
    return MSKP_OK;
}

/* An addition that stays, and one of its operands that vanishes. */
static void find_end(walker *w, consumer_list *list, uint32_t value, uint32_t operand)
{
    const mskp_graph *g = w->graph;
    const double *k = w->constant + w->first[operand];
    const uint32_t *units = mskpi_units_of(g, value);
    const bool same = g->values[operand].view.n == g->values[value].view.n; /* no broadcast */
    const bool shift = mskpi_fate(w->gone, operand) == MSKP_FATE_SHIFT;
    consumer *x = new_consumer(w, list, value, operand, 0);
    if (!x) return;
    x->ends = true;
    x->shift = shift ? g->steps[operand].params[1] : 0;
    x->folded = mskpi_alloc(&g->services, x->form.in, sizeof *x->folded);
    if (!x->folded) mskpi_walk_no_memory(w);
    for (size_t i = 0; i < x->form.in && !w->status; i++) {
        const double left = mskpi_walk_vector(w, x->shift, i, 0);
        if ((same && mskpi_is_removed(w->keep, units[i])) || k[i] == left) continue;
        x->input[i] = isnan(k[i]) ? READS_LIVE : READS_CONSTANT;
        x->folded[i] = k[i];
        if (!isnan(k[i])) x->off = fmax(x->off, fabs(k[i] - left));
    }
    finish_consumer(w, list);
}

static void find_ends(walker *w, consumer_list *list, uint32_t value)
{
    const graph_step *s = &w->graph->steps[value];
    for (size_t k = 0; k < s->ninputs && !w->status; k++) {
        const uint32_t in = w->graph->step_inputs[s->first_input + k];
        if (mskpi_fate(w->gone, in)) find_end(w, list, value, in);
    }
}

/* ---- Consumers that are only reported ---- */

/* An operator that reads by the slices of one axis: a recurrent layer, or a custom operator. */
static void find_slices(walker *w, consumer_list *list, uint32_t value, uint32_t reads,
                        uint32_t param, uint32_t axis, const char *why)
{
    const double *k = w->constant + w->first[reads];
    if (w->status || !has_removed(w, reads)) return;
    consumer *x = new_consumer(w, list, value, reads, param);
    if (!x) return;
    const uint32_t *units = mskpi_units_of(w->graph, reads);
    x->why = why;
    for (size_t i = 0; i < x->form.in && !w->status; i++)
        if (mskpi_is_removed(w->keep, units[i]) && k[i] != 0 &&
            mskpi_has_nonzero(w, param, axis, i, true))
            x->input[i] = input_of(k[i]);
    if (memchr(x->input, READS_LIVE, x->form.in)) x->why = MSKPI_NOT_CONSTANT;
    finish_consumer(w, list);
}

bool mskpi_is_broadcast(const mskp_graph *graph, uint32_t value, uint32_t in)
{
    return graph->values[in].view.n == 1 && graph->values[value].view.n > 1;
}

/* An element-wise operator that broadcasts the only channel of a value. The channel cannot be
 * removed while the value exists, and there is nothing into which its constant could be moved. */
static void find_broadcasts(walker *w, consumer_list *list, uint32_t value)
{
    const mskp_graph *g = w->graph;
    const graph_step *s = &g->steps[value];
    for (size_t i = 0; i < s->ninputs; i++) {
        const uint32_t in = g->step_inputs[s->first_input + i];
        const double k = w->constant[w->first[in]];
        if (!mskpi_is_broadcast(g, value, in) || !has_removed(w, in) || k == 0) continue;
        if (mskpi_fate(w->gone, in)) continue; /* find_ends reports it */
        consumer *x = new_consumer(w, list, value, in, 0);
        if (!x) return;
        x->why = isnan(k) ? MSKPI_NOT_CONSTANT : "an element-wise operator broadcasts it";
        x->input[0] = input_of(k);
        finish_consumer(w, list);
    }
}

/* A norm over several channels. Its statistics change with each channel that is removed, also with
 * one that is zero. */
static void find_statistics(walker *w, consumer_list *list, uint32_t value)
{
    const graph_step *s = &w->graph->steps[value];
    const uint32_t reads = w->graph->step_inputs[s->first_input];
    const double *k = w->constant + w->first[reads];
    const uint32_t *units = mskpi_units_of(w->graph, reads);
    if (!has_removed(w, reads)) return;
    consumer *x = new_consumer(w, list, value, reads, 0);
    if (!x) return;
    x->why = "its statistics run over channels that are removed";
    const size_t part = x->form.in / s->groups;
    MSKPI_ASSERT(part * s->groups == x->form.in);
    for (size_t first = 0; first < x->form.in; first += part) {
        bool keeps = false; /* a channel of this group stays */
        for (size_t i = first; i < first + part; i++)
            keeps = keeps || !mskpi_is_removed(w->keep, units[i]);
        for (size_t i = first; keeps && i < first + part; i++)
            if (mskpi_is_removed(w->keep, units[i]))
                x->input[i] = isnan(k[i]) ? READS_LIVE : READS_CONSTANT;
    }
    finish_consumer(w, list);
}

/* The products of query and key, from whose sums positions within heads are removed. The result is
 * the same if the query is zero there, or if the key is constant: the same number is then added to
 * the products with all keys, and softmax is invariant to that. */
static void find_products(walker *w, consumer_list *list, uint32_t value)
{
    const mskp_graph *g = w->graph;
    const graph_step *s = &g->steps[value];
    const uint32_t query = g->step_inputs[s->first_input + 1];
    const uint32_t key = g->step_inputs[s->first_input + 2];
    const double *q = w->constant + w->first[query], *k = w->constant + w->first[key];
    const uint32_t *units = mskpi_units_of(g, query);
    MSKPI_ASSERT(s->ninputs == 3);
    if (!s->option || !has_removed(w, query)) return; /* option 0: whole heads are removed */
    const size_t dim = g->values[key].view.n / s->groups;
    MSKPI_ASSERT(dim * s->groups == g->values[key].view.n);
    MSKPI_ASSERT(g->values[query].view.n % (dim * s->groups) == 0);
    consumer *x = new_consumer(w, list, value, query, 0);
    if (!x) return;
    x->why = "attention compares positions that are removed";
    const size_t shared = x->form.in / dim / s->groups; /* query heads for each key head */
    for (size_t i = 0; i < x->form.in; i++)
        if (mskpi_is_removed(w->keep, units[i]) && q[i] != 0 &&
            isnan(k[i / dim / shared * dim + i % dim]))
            x->input[i] = READS_LIVE;
    finish_consumer(w, list);
}

/* ---- Consumers that mix by weights ---- */

/* What is necessary to compute the sums of one consumer. */
typedef struct mixing {
    walker *w;
    consumer *x;
    walk_weight weight;
    tap_classes taps;
    const uint32_t *in_units, *out_units;
    const double *k;       /* [in] the constants of its input */
    double *buffer;        /* [taps] */
    double *absolute_sums; /* [out] sums of |constant * weight|, for the rounding */
} mixing;

/* Whether input i is no longer there after surgery. */
static bool leaves(const mixing *m, size_t i)
{
    return mskpi_fate(m->w->gone, m->x->value) || mskpi_is_removed(m->w->keep, m->in_units[i]);
}

/* Adds input i to the sums of the outputs of its group that stay. A live input adds nothing. */
static void add_input(mixing *m, size_t group, size_t i)
{
    consumer *x = m->x;
    const size_t each = x->form.out / x->form.groups;
    for (size_t o = group * each; o < (group + 1) * each && !m->w->status; o++) {
        if (mskpi_is_removed(m->w->keep, m->out_units[o])) continue;
        if (!mskpi_load_taps(m->w, &m->weight, o, i, m->buffer)) continue;
        x->input[i] = input_of(m->k[i]);
        if (isnan(m->k[i])) return;
        for (size_t t = 0; t < x->form.taps; t++) {
            x->sums[o * x->form.taps + t] += m->k[i] * m->buffer[t];
            m->absolute_sums[o] += fabs(m->k[i] * m->buffer[t]);
        }
    }
}

/* Returns the larger error. NaN, which comes from sums that overflow, counts as infinity. */
static double larger(double a, double b)
{
    return b <= a ? a : isnan(b) ? (double)INFINITY : b;
}

/* x->folded[o] <- what a fold adds; g->drop and g->fold <- the errors of output o. */
static void find_errors(const mixing *m, size_t o, consumer_group *g)
{
    consumer *x = m->x;
    const double *sums = x->sums + o * x->form.taps;
    double all = 0, absolute = 0;
    if (m->taps.too_many) {
        for (size_t t = 0; t < x->form.taps; t++) {
            all += sums[t];
            absolute += fabs(sums[t]);
        }
        x->folded[o] = all;
        g->drop = larger(g->drop, absolute);
        g->fold = larger(g->fold, absolute);
        return;
    }
    const double *at = mskpi_taps_sums(&m->taps, sums);
    MSKPI_ASSERT(m->taps.most < m->taps.classes);
    x->folded[o] = at[m->taps.most];
    for (size_t c = 0; c < m->taps.classes; c++) {
        g->drop = larger(g->drop, fabs(at[c]));
        g->fold = larger(g->fold, fabs(at[c] - x->folded[o]));
    }
}

/* Returns the output scale of output o, whose group has the n inputs from `first` on: of those that
 * stay or, if none do because the consumer vanishes, of all. */
static double output_scale(mixing *m, size_t o, size_t first, size_t n)
{
    double sum = 0;
    for (size_t i = first; i < first + n; i++) {
        if (leaves(m, i) && m->x->target != FOLD_BRANCH) continue;
        if (!mskpi_load_taps(m->w, &m->weight, o, i, m->buffer)) continue;
        for (size_t t = 0; t < m->x->form.taps; t++) sum += m->buffer[t] * m->buffer[t];
    }
    return sqrt(sum);
}

/* Returns an error as a share, which is infinite if no weight of the output stays. */
static double share(double error, double scale)
{
    return error > 0 ? error / scale : 0;
}

static void mix_group(mixing *m, size_t group)
{
    consumer *x = m->x;
    consumer_group *g = &x->group[group];
    const size_t in = x->form.in / x->form.groups, out = x->form.out / x->form.groups;
    for (size_t i = group * in; i < (group + 1) * in && !m->w->status; i++) {
        if (!leaves(m, i) || m->k[i] == 0) continue;
        add_input(m, group, i);
        g->constants += x->input[i] == READS_CONSTANT;
    }
    for (size_t o = group * out; g->constants && o < (group + 1) * out; o++) {
        if (mskpi_is_removed(m->w->keep, m->out_units[o])) continue;
        consumer_group of_output = {0};
        find_errors(m, o, &of_output);
        g->drop = larger(g->drop, of_output.drop);
        g->fold = larger(g->fold, of_output.fold);
        g->rounding = fmax(g->rounding, 1e-12 * m->absolute_sums[o]);
        const double scale = output_scale(m, o, group * in, in);
        g->drop_share = larger(g->drop_share, share(of_output.drop, scale));
        g->fold_share = larger(g->fold_share, share(of_output.fold, scale));
    }
}

static void mix_groups(mixing *m)
{
    const mskp_services *services = &m->w->graph->services;
    consumer *x = m->x;
    MSKPI_ASSERT(x->form.in % x->form.groups == 0 && x->form.out % x->form.groups == 0);
    MSKPI_ASSERT(m->taps.taps == x->form.taps);
    m->absolute_sums = mskpi_alloc(services, x->form.out, sizeof *m->absolute_sums);
    m->buffer = mskpi_alloc(services, x->form.taps, sizeof *m->buffer);
    x->sums = mskpi_alloc(services, mskpi_product(x->form.out, x->form.taps), sizeof *x->sums);
    x->folded = mskpi_alloc(services, x->form.out, sizeof *x->folded);
    x->group = mskpi_alloc(services, x->form.groups, sizeof *x->group);
    if (!m->absolute_sums || !m->buffer || !x->sums || !x->folded || !x->group)
        mskpi_walk_no_memory(m->w);
    for (size_t g = 0; g < x->form.groups && !m->w->status; g++) mix_group(m, g);
    mskpi_free(services, m->absolute_sums);
    mskpi_free(services, m->buffer);
}

static void find_mixing(walker *w, consumer_list *list, uint32_t value)
{
    const mskp_graph *g = w->graph;
    const graph_step *s = &g->steps[value];
    const uint32_t reads = g->step_inputs[s->first_input];
    if (!mskpi_fate(w->gone, value) && !has_removed(w, reads)) return;
    consumer *x = new_consumer(w, list, value, reads, s->params[0]);
    if (!x) return;
    mixing m = {.w = w,
                .x = x,
                .in_units = mskpi_units_of(g, reads),
                .out_units = mskpi_units_of(g, value),
                .k = w->constant + w->first[reads]};
    if (!mskpi_walk_weight(w, value, &m.weight)) {
        x->mixes = true;
        x->bias = s->params[1];
        x->form = m.weight.form;
        w->status = mskpi_taps_make(g, value, &m.taps, w->err);
        x->uniform = mskpi_is_uniform(&m.taps);
        if (mskpi_fate(w->gone, value)) x->target = FOLD_BRANCH;
        if (!w->status) mix_groups(&m);
        mskpi_taps_free(&g->services, &m.taps);
    }
    mskpi_walk_weight_free(w, &m.weight);
    finish_consumer(w, list);
}

/* ---- All of them ---- */

static void find_in_value(walker *w, consumer_list *list, uint32_t value)
{
    const graph_step *s = &w->graph->steps[value];
    const bool mixes = s->kind == STEP_CONV || s->kind == STEP_TRANSPOSED || s->kind == STEP_LINEAR;
    if (!w->graph->values[value].view.n) return; /* it has vanished before */
    if (mskpi_fate(w->gone, value)) {
        if (list->reached[value] && mixes) find_mixing(w, list, value);
        return;
    }
    switch (s->kind) {
    case STEP_CONV:
    case STEP_TRANSPOSED:
    case STEP_LINEAR:
        find_mixing(w, list, value);
        break;
    case STEP_NORM:
        if (s->option >= MSKP_NORM_GROUP) find_statistics(w, list, value);
        break;
    case STEP_ATTEND:
        find_products(w, list, value);
        break;
    case STEP_COMBINE:
        find_broadcasts(w, list, value);
        if (w->gone->any) find_ends(w, list, value);
        break;
    case STEP_RECURRENT:
        find_slices(w, list, value, w->graph->step_inputs[s->first_input], s->params[0], 1,
                    "recurrent layers keep their constants");
        find_slices(w, list, value, value, s->params[1], 1,
                    "recurrent layers keep their constants");
        break;
    default:
        break;
    }
}

mskp_status mskpi_find_consumers(walker *w, consumer_list *list)
{
    const mskp_graph *g = w->graph;
    *list = (consumer_list){0};
    if (count_uses(w, list) || find_reached(w, list)) return w->status;
    for (uint32_t v = 1; v <= g->nvalues && !w->status; v++) find_in_value(w, list, v);
    for (size_t k = 0; k < g->nreaders && !w->status; k++) {
        const own_reader *r = &g->readers[k];
        for (uint32_t v = mskpi_next_read(g, r, 1); v; v = mskpi_next_read(g, r, v + 1))
            find_slices(w, list, v, v, r->param, r->axis, "a custom operator reads it");
    }
    return w->status;
}

void mskpi_consumers_free(const mskp_services *services, consumer_list *list)
{
    for (size_t k = 0; k < list->n; k++) free_consumer(services, &list->all[k]);
    mskpi_free(services, list->all);
    mskpi_free(services, list->uses);
    mskpi_free(services, list->reached);
}

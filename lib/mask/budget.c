/*
 * Budgets: bytes of weights, memory for activations, and time, from a table or from the caller.
 *
 * Every kind is a function of the lengths of the lists of channels. Bytes of weights are a sum over
 * the terms of the cost, which amounts.c keeps up to date while lists become shorter. The other
 * kinds are computed anew each time they are asked for.
 *
 * Memory for activations is what a walk through the steps finds that adds the bytes of each value
 * at its own step, takes the highest sum, and subtracts the bytes of the values that no later step
 * reads. Who reads a value last is found once, from the last step to the first, because a value is
 * made before it is read. Values that nothing reads and that only give channels another place do
 * not take part: attention and custom operators are described with such values, to which they bind
 * weights.
 *
 * A table is linear between the widths that were measured: bilinear where a layer has two widths.
 */
#include "mask/budget.h"

#include <math.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "describe/step.h"
#include "mskp.h"
#include "mskp/rules.h"
#include "units/cost.h"
#include "units/units.h"

#define BYTES_LIMIT (UINT64_C(1) << 53)
enum { DEFAULT_SIZE = 4 };

static const char *const KIND[] = {"bytes", "activations", "table", "callback"};

const char *mskpi_budget_label(const mskp_budget *budget, size_t number, char buffer[LABEL_SIZE])
{
    char name[NAME_SIZE];
    const char *what = budget->name ? mskpi_short(budget->name, name) : "of no kind";
    if (!budget->name && (unsigned)budget->kind <= MSKP_BUDGET_CALLBACK) what = KIND[budget->kind];
    if (number == ONLY_BUDGET)
        (void)snprintf(buffer, LABEL_SIZE, "budget (%s)", what);
    else
        (void)snprintf(buffer, LABEL_SIZE, "budgets[%zu] (%s)", number, what);
    return buffer;
}

static mskp_status no_memory(mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while a budget is measured",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY));
}

/* a * b, or BYTES_LIMIT + 1 where the product is more than BYTES_LIMIT. */
static uint64_t bytes_product(uint64_t a, uint64_t b)
{
    return b && a > BYTES_LIMIT / b ? BYTES_LIMIT + 1 : a * b;
}

/* The bytes of one element of the parameter or value with this id. */
static uint64_t element_bytes(const mskp_budget *budget, uint32_t id)
{
    if (budget->element_sizes) return budget->element_sizes[id - 1];
    return budget->element_size ? budget->element_size : DEFAULT_SIZE;
}

static mskp_status too_large(const budget_state *b, mskp_error *err)
{
    char label[LABEL_SIZE];
    return mskpi_fail(err, MSKP_ERROR_UNSUPPORTED, "%s: the whole network has over 2^53 bytes",
                      mskpi_budget_label(b->budget, b->number, label));
}

/* ---- Bytes of weights ---- */

uint64_t mskpi_budget_element(const budget_state *b, uint32_t param)
{
    MSKPI_ASSERT(param);
    return b->budget->kind == MSKP_BUDGET_BYTES ? element_bytes(b->budget, param) : 0;
}

/* b->bytes <- the sum for these lengths, at most BYTES_LIMIT + 1. */
static void sum_bytes(budget_state *b, const vanishing *gone, const size_t *length)
{
    const unit_table *u = gone->graph->u;
    b->bytes = 0;
    for (size_t t = 0; t < u->nterms && b->bytes <= BYTES_LIMIT; t++) {
        const cost_term *term = &u->terms[t];
        if (term->is_params)
            b->bytes += bytes_product(mskpi_term_left(gone, term, length),
                                      element_bytes(b->budget, term->param));
    }
    if (b->bytes > BYTES_LIMIT) b->bytes = BYTES_LIMIT + 1;
}

static mskp_status open_bytes(budget_state *b, const vanishing *gone, const size_t *length,
                              mskp_error *err)
{
    sum_bytes(b, gone, length);
    return b->bytes > BYTES_LIMIT ? too_large(b, err) : MSKP_OK;
}

/* ---- Memory for activations ---- */

/* Whether an operator that is not known may read or make the value. */
static bool is_anyones(const mskp_graph *graph, uint32_t value)
{
    return graph->steps[value].own & OWN_READ || !graph->values[value].op;
}

/* Whether the value is not made if nothing reads it. */
static bool only_moves(step_kind kind)
{
    return kind == STEP_PART || kind == STEP_PLACES || kind == STEP_BLOCKS || kind == STEP_CONCAT ||
           kind == STEP_UNKNOWN;
}

/* The positions of a value. The values inside an attention are described without spatial axes:
 * projections have the positions of what they read, and the result those of the query. */
static uint64_t positions_of(const mskp_graph *graph, uint32_t value)
{
    const graph_step *step = &graph->steps[value];
    uint64_t n = 1;
    if (step->kind == STEP_ATTEND)
        return positions_of(graph, graph->step_inputs[step->first_input + 1]);
    if (step->kind == STEP_LINEAR) value = graph->step_inputs[step->first_input];
    for (uint32_t d = 0; d < graph->values[value].nspatial; d++)
        n = bytes_product(n, graph->values[value].spatial[d]);
    return n;
}

/* last[v] <- the step that reads value v last; nvalues for what stays to the end; 0 for a value
 * that is never made. */
static void find_readers(const mskp_graph *graph, uint32_t *last)
{
    for (uint32_t v = (uint32_t)graph->nvalues; v > 0; v--) {
        const graph_step *step = &graph->steps[v];
        if (is_anyones(graph, v)) last[v] = (uint32_t)graph->nvalues;
        if (!last[v] && only_moves(step->kind)) continue;
        if (last[v] < v) last[v] = v;
        for (uint32_t i = 0; i < step->ninputs; i++) {
            const uint32_t in = graph->step_inputs[step->first_input + i];
            MSKPI_ASSERT(in < v);
            if (last[in] < v) last[in] = v;
        }
    }
}

static mskp_status make_lifetimes(budget_state *b, const mskp_graph *graph, mskp_error *err)
{
    const mskp_services *services = &graph->services;
    const size_t n = graph->nvalues;
    lifetimes *a = &b->alive;
    uint32_t *last = mskpi_alloc(services, n + 1, sizeof *last);
    a->bytes = mskpi_alloc(services, n + 1, sizeof *a->bytes);
    a->first = mskpi_alloc(services, n + 3, sizeof *a->first);
    a->freed = mskpi_alloc(services, n, sizeof *a->freed);
    const bool failed = !last || !a->bytes || !a->first || !a->freed;
    if (!failed) {
        find_readers(graph, last);
        /* Counted two places late, so that filling moves the starts to where they belong. */
        for (uint32_t v = 1; v <= n; v++) {
            if (!last[v]) continue;
            a->first[last[v] + 2]++;
            if (graph->steps[v].kind != STEP_PARAM)
                a->bytes[v] = bytes_product(positions_of(graph, v), element_bytes(b->budget, v));
        }
        for (size_t i = 1; i <= n + 2; i++) a->first[i] += a->first[i - 1];
        for (uint32_t v = 1; v <= n; v++)
            if (last[v]) a->freed[a->first[last[v] + 1]++] = v;
    }
    mskpi_free(services, last);
    return failed ? no_memory(err) : MSKP_OK;
}

/* A shift that is left of an operand is a parameter, and no activation. */
static uint64_t value_bytes(const lifetimes *a, const vanishing *gone, const size_t *length,
                            uint32_t v)
{
    const bool made = mskpi_fate(gone, v) == MSKP_FATE_STAYS;
    return made ? bytes_product(a->bytes[v], length[gone->graph->values[v].list]) : 0;
}

/* The most bytes that are alive at once; BYTES_LIMIT + 1 where they are more than BYTES_LIMIT. */
static uint64_t peak_bytes(const lifetimes *a, const vanishing *gone, const size_t *length)
{
    uint64_t alive = 0, peak = 0;
    for (uint32_t v = 1; v <= gone->graph->nvalues; v++) {
        alive += value_bytes(a, gone, length, v);
        if (alive > BYTES_LIMIT) return BYTES_LIMIT + 1;
        if (alive > peak) peak = alive;
        for (size_t i = a->first[v]; i < a->first[v + 1]; i++)
            alive -= value_bytes(a, gone, length, a->freed[i]);
    }
    return peak;
}

static mskp_status open_lifetimes(budget_state *b, const vanishing *gone, const size_t *length,
                                  mskp_error *err)
{
    const mskp_status status = make_lifetimes(b, gone->graph, err);
    if (!status && peak_bytes(&b->alive, gone, length) > BYTES_LIMIT) return too_large(b, err);
    return status;
}

/* ---- Tables ---- */

/* *place <- the last of the widths that is at most w, or the first; returns how far w is from it to
 * the next one, from 0 to below 1. */
static double between(size_t n, const size_t *widths, size_t w, size_t *place)
{
    size_t low = 0, high = n; /* widths[low] <= w < widths[high] */
    *place = 0;
    if (w <= widths[0]) return 0;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (widths[middle] <= w)
            low = middle;
        else
            high = middle;
    }
    *place = low;
    if (widths[low] == w) return 0;
    MSKPI_ASSERT(high < n);
    return (double)(w - widths[low]) / (double)(widths[high] - widths[low]);
}

/* The number at `at` of those that are `step` apart, and a share of the way to the next one. */
static double mixed(const double *at, size_t step, double share)
{
    return share > 0 ? at[0] + share * (at[step] - at[0]) : at[0];
}

/* A layer that has vanished, or of which a shift is left, costs nothing. */
static double layer_cost(const mskp_layer_cost *l, const vanishing *gone, const size_t *length)
{
    const size_t columns = l->in.id ? l->nin : 1;
    const size_t out = mskpi_channels_left(gone, length, l->out.id);
    const size_t in = l->in.id ? mskpi_channels_left(gone, length, l->in.id) : 1;
    size_t row, column = 0;
    double across = 0;
    if (!out || !in) return 0;
    const double down = between(l->nout, l->widths_out, out, &row);
    if (l->in.id) across = between(l->nin, l->widths_in, in, &column);
    const double *at = l->cost + row * columns + column;
    const double first = mixed(at, 1, across);
    return down > 0 ? first + down * (mixed(at + columns, 1, across) - first) : first;
}

static double table_cost(const mskp_budget *budget, const vanishing *gone, const size_t *length)
{
    double sum = 0;
    for (size_t i = 0; i < budget->nlayers; i++)
        sum += layer_cost(&budget->layers[i], gone, length);
    return sum;
}

static mskp_status check_widths(const mskp_graph *graph, const char *label, const char *name,
                                mskp_value value, size_t n, const size_t *widths, mskp_error *err)
{
    char buffer[NAME_SIZE];
    if (!value.id || value.id > graph->nvalues)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: %s is no value, there are %zu", label,
                          name, graph->nvalues);
    if (!n || !widths)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: widths_%s are %zu", label, name,
                          widths ? n : 0);
    for (size_t i = 1; i < n; i++)
        if (widths[i] <= widths[i - 1])
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                              "%s: widths_%s[%zu] is %zu, after %zu; they must ascend", label, name,
                              i, widths[i], widths[i - 1]);
    const size_t full = graph->u->lists[graph->values[value.id].list].n;
    if (widths[n - 1] < full)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "%s: the last of widths_%s is %zu, %s has %zu channels", label, name,
                          widths[n - 1], mskpi_short(mskpi_value_name(graph, value.id), buffer),
                          full);
    return MSKP_OK;
}

static mskp_status check_layer(const mskp_graph *graph, const char *label, const mskp_layer_cost *l,
                               mskp_error *err)
{
    char value[NUMBER_SIZE];
    mskp_status status = check_widths(graph, label, "out", l->out, l->nout, l->widths_out, err);
    if (!status && l->in.id)
        status = check_widths(graph, label, "in", l->in, l->nin, l->widths_in, err);
    if (!status && !l->in.id && (l->nin || l->widths_in))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: nin is %zu, but in is {0}", label,
                          l->nin);
    if (!status && !l->cost)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: cost is NULL", label);
    const size_t n = mskpi_product(l->nout, l->in.id ? l->nin : 1);
    for (size_t i = 0; !status && i < n; i++)
        if (!isfinite(l->cost[i]))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "%s: cost[%zu] is %s", label, i,
                              mskpi_number(l->cost[i], value));
    return status;
}

static mskp_status check_table(const budget_state *b, const mskp_graph *graph, mskp_error *err)
{
    char label[LABEL_SIZE], layer[LABEL_SIZE + 32];
    mskp_status status = MSKP_OK;
    (void)mskpi_budget_label(b->budget, b->number, label);
    if (!b->budget->nlayers || !b->budget->layers)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: the table has no layers", label);
    for (size_t i = 0; !status && i < b->budget->nlayers; i++) {
        (void)snprintf(layer, sizeof layer, "%s: layers[%zu]", label, i);
        status = check_layer(graph, layer, &b->budget->layers[i], err);
    }
    return status;
}

/* ---- Callbacks ---- */

static mskp_status open_callback(budget_state *b, const mskp_graph *graph, mskp_error *err)
{
    char label[LABEL_SIZE];
    if (!b->budget->cost)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: cost is NULL",
                          mskpi_budget_label(b->budget, b->number, label));
    b->channels = mskpi_alloc(&graph->services, graph->nvalues, sizeof *b->channels);
    return b->channels ? MSKP_OK : no_memory(err);
}

static const size_t *fill_channels(budget_state *b, const vanishing *gone, const size_t *length)
{
    for (uint32_t v = 0; v < gone->graph->nvalues; v++)
        b->channels[v] = mskpi_channels_left(gone, length, v + 1);
    return b->channels;
}

/* ---- All kinds ---- */

mskp_status mskpi_budget_measure(budget_state *b, const vanishing *gone, const size_t *length,
                                 mskp_error *err)
{
    const mskp_budget *budget = b->budget;
    char label[LABEL_SIZE];
    if (budget->kind == MSKP_BUDGET_BYTES)
        b->value = (double)b->bytes;
    else if (budget->kind == MSKP_BUDGET_ACTIVATIONS)
        b->value = (double)peak_bytes(&b->alive, gone, length);
    else if (budget->kind == MSKP_BUDGET_TABLE)
        b->value = table_cost(budget, gone, length);
    else
        b->value = budget->cost(budget->context, gone->graph, fill_channels(b, gone, length));
    if (!isnan(b->value)) return MSKP_OK;
    return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "%s: the cost is NaN",
                      mskpi_budget_label(budget, b->number, label));
}

mskp_status mskpi_budget_open(budget_state *b, const vanishing *gone, const mskp_budget *budget,
                              size_t number, const size_t *length, mskp_error *err)
{
    char label[LABEL_SIZE];
    if ((unsigned)budget->kind > MSKP_BUDGET_CALLBACK)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: kind is %u, the last is %u",
                          mskpi_budget_label(budget, number, label), (unsigned)budget->kind,
                          (unsigned)MSKP_BUDGET_CALLBACK);
    *b = (budget_state){.budget = budget, .number = number};
    if (budget->kind == MSKP_BUDGET_BYTES) return open_bytes(b, gone, length, err);
    if (budget->kind == MSKP_BUDGET_ACTIVATIONS) return open_lifetimes(b, gone, length, err);
    if (budget->kind == MSKP_BUDGET_TABLE) return check_table(b, gone->graph, err);
    return open_callback(b, gone->graph, err);
}

void mskpi_budget_close(const mskp_graph *graph, budget_state *b)
{
    const mskp_services *services = &graph->services;
    mskpi_free(services, b->alive.bytes);
    mskpi_free(services, b->alive.first);
    mskpi_free(services, b->alive.freed);
    mskpi_free(services, b->channels);
}

mskp_status mskp_budget_measure(const mskp_graph *graph, mskp_mask keep, const mskp_budget *budget,
                                double *amount, mskp_error *err)
{
    budget_state b = {.budget = NULL};
    vanishing gone;
    mskp_status status = mskpi_check_optional_mask(graph, "keep", keep, err);
    if (!status) status = MSKPI_GIVEN(err, budget, amount);
    if (!status) status = mskpi_vanish_make(&gone, graph, err);
    if (status) return status;
    size_t *length = mskpi_alloc(&graph->services, graph->u->nlists, sizeof *length);
    if (length) {
        mskpi_list_lengths(graph, NULL, length);
        status = mskpi_budget_open(&b, &gone, budget, ONLY_BUDGET, length, err);
    } else {
        status = no_memory(err);
    }
    if (!status) {
        mskpi_list_lengths(graph, keep.unit, length);
        (void)mskpi_vanish(&gone, length, NULL); /* any mask can be measured, as by mskp_measure */
        if (budget->kind == MSKP_BUDGET_BYTES) sum_bytes(&b, &gone, length);
        status = mskpi_budget_measure(&b, &gone, length, err);
    }
    if (!status) *amount = b.value;
    mskpi_budget_close(graph, &b);
    mskpi_free(&graph->services, length);
    mskpi_vanish_free(&gone);
    return status;
}

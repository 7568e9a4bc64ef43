/*
 * Attention and recurrent layers. In both, one channel stands for many rows and columns of several
 * weights, so all of them are removed together. The library has lists for this: a list in
 * which a channel number stands several times is bound to the axis that has all these rows.
 *
 * Attention with whole heads has one channel per key and value head. The channel stands in all rows
 * and columns of its own head and of the query heads that it serves. Attention with positions has
 * one channel per position in a head, which stands in all heads at once; query and key share such
 * channels, because their scalar product runs over them, and so do value and output. A head is zero
 * once its values are zero, and a position of query and key adds nothing to any scalar product once
 * either of the two is zero.
 *
 * A hidden unit of a recurrent layer stands once in the rows of each gate, and once in the columns
 * of the hidden weight. The axis of all gates is bound to a list that holds the hidden units once
 * for each gate.
 */
#include <stdio.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/check.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "describe/step.h"
#include "describe/ties.h"
#include "describe/values.h"
#include "describe/zeros.h"
#include "mskp.h"
#include "mskp/operators.h"

/* Binds an axis of an optional parameter to the list of a value. */
static mskp_status bind(mskp_graph *graph, mskp_param p, uint32_t axis, uint32_t role,
                        mskp_value value, mskp_value by)
{
    if (!p.id) return MSKP_OK;
    return mskpi_bind(graph, p, axis, role, mskpi_view_of(graph, value), by.id);
}

/* When rows of a weight with an optional bias are zero. */
static zero_table row_zero(mskp_param bias)
{
    return ZERO_FILTER & (bias.id ? ZERO_SHIFT : ZERO_ALWAYS);
}

/* *out <- the value NAME.PART: the channels of `in`, each `repeat` times in a row, and all of this
 * `rounds` times. */
static mskp_status repeated(mskp_graph *graph, const char *name, const char *part, const char *op,
                            mskp_value in, size_t repeat, size_t rounds, zero_table zero,
                            mskp_value *out)
{
    const list_view from = mskpi_view_of(graph, in);
    const size_t n = mskpi_product(mskpi_product(from.n, repeat), rounds);
    const char *full;
    list_view view;
    if (mskpi_part_name(graph, name, part, &full) ||
        mskpi_new_list(graph, mskpi_label(full, op), n, &view))
        return mskpi_first_error(graph);
    for (size_t i = 0; i < n; i++)
        graph->listed[view.first + i] = graph->listed[from.first + i / repeat % from.n];
    if (mskpi_new_value(graph, full, op, view, 0, NULL, out)) return mskpi_first_error(graph);
    mskpi_zero_all(graph, out->id, zero);
    return MSKP_OK;
}

/* ---- Attention: checks ---- */

enum { QUERY, KEY, VALUE, OUTPUT, PROJECTIONS };

/* One of the four linear layers of an attention. Packed, key and value are further rows of query's
 * weight. */
typedef struct projection {
    const char *what;
    mskp_param weight, bias; /* {0}: packed into query */
    size_t rows, columns;    /* of the weight; rows 0: any */
    mskp_value reads, makes;
} projection;

/* An attention whose description was checked. */
typedef struct attention {
    const char *label, *name;
    const mskp_attention_desc *desc;
    graph_value in, memory;
    mskp_value source; /* from which keys and values are computed */
    bool positions;    /* units are positions in all heads, not heads */
    size_t kv_heads, per_kv, value_dim;
    size_t queries, keys, values, results; /* rows of the projections; columns of the output's */
    projection part[PROJECTIONS];
    mskp_value result; /* the weighted means, which the output projection reads */
} attention;

static mskp_status attention_sizes(mskp_graph *graph, attention *a)
{
    const mskp_attention_desc *d = a->desc;
    const size_t most = SIZE_MAX / 4; /* so that the sum of all rows does not overflow */
    size_t all;
    a->kv_heads = d->kv_heads ? d->kv_heads : d->heads;
    a->value_dim = d->value_dim ? d->value_dim : d->head_dim;
    if (!d->heads || !d->head_dim)
        return mskpi_refuse(graph, a->label, MSKP_ERROR_BAD_ARGUMENT, "%zu heads of %zu positions",
                            d->heads, d->head_dim);
    if (d->heads % a->kv_heads)
        return mskpi_refuse(graph, a->label, MSKP_ERROR_BAD_ARGUMENT,
                            "%zu heads are no multiple of %zu key and value heads", d->heads,
                            a->kv_heads);
    if ((unsigned)d->units > MSKP_ATTENTION_DIMS || d->packed > 1)
        return mskpi_refuse(graph, a->label, MSKP_ERROR_BAD_ARGUMENT,
                            "units is %u, packed is %u, not 0 or 1", (unsigned)d->units, d->packed);
    if (d->head_dim > most || a->value_dim > most ||
        !mskpi_product_fits(d->heads, d->head_dim + a->value_dim, &all) || all > most)
        return mskpi_refuse(graph, a->label, MSKP_ERROR_BAD_ARGUMENT,
                            "%zu heads of %zu positions (values: %zu) are too many", d->heads,
                            d->head_dim, a->value_dim);
    a->positions = d->units == MSKP_ATTENTION_DIMS;
    a->per_kv = d->heads / a->kv_heads;
    a->queries = d->heads * d->head_dim;
    a->keys = a->kv_heads * d->head_dim;
    a->values = a->kv_heads * a->value_dim;
    a->results = d->heads * a->value_dim;
    return MSKP_OK;
}

/* Fills in the projections, but for the values that they read and make. */
static void attention_parts(attention *a)
{
    const mskp_attention_desc *d = a->desc;
    const size_t in = a->in.view.n, memory = a->memory.view.n;
    const size_t rows = d->packed ? a->queries + a->keys + a->values : a->queries;
    a->part[QUERY] = (projection){"query", d->query, d->query_bias, rows, in, {0}, {0}};
    a->part[KEY] = (projection){"key", d->key, d->key_bias, a->keys, memory, {0}, {0}};
    a->part[VALUE] = (projection){"value", d->value, d->value_bias, a->values, memory, {0}, {0}};
    a->part[OUTPUT] = (projection){"output", d->output, d->output_bias, 0, a->results, {0}, {0}};
}

static mskp_status attention_params(mskp_graph *graph, attention *a)
{
    attention_parts(a);
    for (size_t i = 0; i < PROJECTIONS; i++) {
        const projection *p = &a->part[i];
        const bool absent = a->desc->packed && (i == KEY || i == VALUE);
        if (absent ? p->weight.id || p->bias.id : !p->weight.id)
            return mskpi_refuse(graph, a->label, MSKP_ERROR_BAD_ARGUMENT, "%s %s", p->what,
                                absent ? "is packed into query" : "has no weight");
        if (mskpi_check_param(graph, a->label, p->what, p->weight, 2,
                              (const size_t[]){p->rows, p->columns}))
            return mskpi_first_error(graph);
        const size_t length = p->rows ? p->rows : mskpi_length(graph, p->weight, 0);
        if (mskpi_check_param(graph, a->label, "bias", p->bias, 1, &length))
            return mskpi_first_error(graph);
    }
    if (a->desc->packed && a->desc->memory.id)
        return mskpi_refuse(graph, a->label, MSKP_ERROR_BAD_ARGUMENT,
                            "packed projections read one input");
    return MSKP_OK;
}

/* ---- Attention: lists ---- */

/* *out <- the new channels NAME.OP, which the rows and columns of projections consist of. */
static mskp_status new_heads(mskp_graph *graph, const attention *a, const char *op, size_t n,
                             mskp_value *out)
{
    const char *full;
    list_view view;
    if (mskpi_new_channels(graph, a->label, n, &view) ||
        mskpi_part_name(graph, a->name, op, &full) ||
        mskpi_new_value(graph, full, op, view, 0, NULL, out))
        return mskpi_first_error(graph);
    return MSKP_OK;
}

/* The result is a mean of values. Its channel i belongs to query head i / value_dim, and is made of
 * the same position of the value head that serves this query head. */
static mskp_status attend_step(mskp_graph *graph, const attention *a)
{
    const mskp_value inputs[] = {a->part[VALUE].makes, a->part[QUERY].makes, a->part[KEY].makes};
    const size_t dim = a->value_dim;
    graph_step *step;
    uint32_t *place;
    if (mskpi_add_step(graph, a->result, STEP_ATTEND, 3, inputs, &step) ||
        mskpi_add_places(graph, step, a->results, &place))
        return mskpi_first_error(graph);
    step->option = a->positions ? 1 : 0;
    step->groups = a->kv_heads;
    for (size_t i = 0; i < a->results; i++) {
        place[i] = (uint32_t)(i / dim / a->per_kv * dim + i % dim);
        MSKPI_ASSERT(place[i] < a->values);
    }
    return MSKP_OK;
}

/* Makes the lists of query, key, value and result from shared channels. */
static mskp_status attention_lists(mskp_graph *graph, attention *a)
{
    const mskp_attention_desc *d = a->desc;
    const bool positions = a->positions;
    const size_t dk = d->head_dim, dv = a->value_dim, kv = a->kv_heads, g = a->per_kv;
    const zero_table query = row_zero(d->query_bias);
    const zero_table key = row_zero(d->packed ? d->query_bias : d->key_bias);
    const zero_table value = row_zero(d->packed ? d->query_bias : d->value_bias);
    mskp_value qk, vo; /* the channels that query and key share, and value and output */
    if (new_heads(graph, a, positions ? "key_positions" : "heads", positions ? dk : kv, &qk))
        return mskpi_first_error(graph);
    vo = qk;
    if (positions && new_heads(graph, a, "value_positions", dv, &vo))
        return mskpi_first_error(graph);
    const struct {
        const char *op;
        mskp_value *to;
        size_t heads, dim; /* heads of this list per key and value head; rows of a head */
        mskp_value from;
        zero_table zero;
    } list[] = {{"query", &a->part[QUERY].makes, g, dk, qk, query},
                {"key", &a->part[KEY].makes, 1, dk, qk, key},
                {"value", &a->part[VALUE].makes, 1, dv, vo, value},
                {"result", &a->result, g, dv, vo, value}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (repeated(graph, a->name, list[i].op, list[i].op, list[i].from,
                     positions ? 1 : list[i].heads * list[i].dim,
                     positions ? list[i].heads * kv : 1, list[i].zero, list[i].to))
            return mskpi_first_error(graph);
    if (positions) { /* no weight reads these channels, but the scalar product does */
        const list_view view = mskpi_view_of(graph, qk);
        for (size_t i = 0; i < view.n; i++)
            graph->channels[graph->listed[view.first + i]].exact &= query | key;
    }
    return attend_step(graph, a);
}

/* ---- Attention: bindings, costs, steps ---- */

static mskp_status attention_bind(mskp_graph *graph, const attention *a)
{
    const projection *part = a->part;
    const mskp_value out = part[OUTPUT].makes, in = part[QUERY].reads;
    mskp_value rows[] = {part[QUERY].makes, part[KEY].makes, part[VALUE].makes};
    const char *full;
    if (a->desc->packed) {
        if (mskpi_part_name(graph, a->name, "packed", &full)) return mskpi_first_error(graph);
        rows[QUERY] = mskp_concat(graph, full, 3, rows);
        if (!rows[QUERY].id) return mskpi_first_error(graph);
        graph->steps[rows[QUERY].id] = (graph_step){0}; /* a mere list, which nothing computes */
    }
    mskpi_mark_consumed(graph, in.id);
    if (a->source.id != in.id) mskpi_mark_consumed(graph, a->source.id);
    for (size_t i = QUERY; i <= (a->desc->packed ? QUERY : VALUE); i++)
        if (bind(graph, part[i].weight, 0, MSKP_ROLE_FILTER, rows[i], out) ||
            bind(graph, part[i].weight, 1, MSKP_ROLE_CONSUMER, part[i].reads, out) ||
            bind(graph, part[i].bias, 0, MSKP_ROLE_SHIFT, rows[i], out))
            return mskpi_first_error(graph);
    mskpi_mark_consumed(graph, a->result.id);
    if (bind(graph, part[OUTPUT].weight, 0, MSKP_ROLE_FILTER, out, out) ||
        bind(graph, part[OUTPUT].weight, 1, MSKP_ROLE_CONSUMER, a->result, out) ||
        bind(graph, part[OUTPUT].bias, 0, MSKP_ROLE_SHIFT, out, out))
        return mskpi_first_error(graph);
    return MSKP_OK;
}

/* The projections cost their weights at each position, and each pair of positions costs a scalar
 * product over query and a weighted sum over values. */
static mskp_status attention_macs(mskp_graph *graph, const attention *a)
{
    const size_t t = mskpi_positions(&a->in), m = mskpi_positions(&a->memory);
    size_t pairs;
    if (!mskpi_product_fits(t, m, &pairs))
        return mskpi_refuse(graph, a->label, MSKP_ERROR_BAD_SHAPE,
                            "%zu by %zu positions are too many", t, m);
    for (size_t i = 0; i < PROJECTIONS; i++) {
        const mskp_param weight = a->part[i].weight;
        const size_t positions = i == KEY || i == VALUE ? m : t;
        if (weight.id && mskp_add_macs(graph, a->part[OUTPUT].makes, weight, positions))
            return mskpi_first_error(graph);
    }
    if (mskp_add_macs(graph, a->part[QUERY].makes, (mskp_param){0}, pairs) ||
        mskp_add_macs(graph, a->result, (mskp_param){0}, pairs))
        return mskpi_first_error(graph);
    return MSKP_OK;
}

/* Records each projection as a linear layer. */
static mskp_status attention_steps(mskp_graph *graph, const attention *a)
{
    const size_t first[PROJECTIONS] = {0, a->queries, a->queries + a->keys, 0}; /* row, if packed */
    for (size_t i = 0; i < PROJECTIONS; i++) {
        const bool packed = a->desc->packed && (i == KEY || i == VALUE);
        const projection *p = &a->part[i], *owner = packed ? &a->part[QUERY] : p;
        graph_step *s;
        if (mskpi_add_step(graph, p->makes, STEP_LINEAR, 1, &p->reads, &s))
            return mskpi_first_error(graph);
        s->params[0] = owner->weight.id;
        s->params[1] = owner->bias.id;
        s->first = packed ? first[i] : 0;
        s->part = packed;
    }
    return MSKP_OK;
}

mskp_value mskp_attention(mskp_graph *graph, const char *name, mskp_value in,
                          const mskp_attention_desc *desc)
{
    attention a = {.label = mskpi_label(name, "attention"), .name = name, .desc = desc};
    list_view view;
    mskp_value out;
    if (mskpi_get_value(graph, a.label, in, &a.in) || mskpi_check_desc(graph, a.label, desc))
        return NO_VALUE;
    a.source = desc->memory.id ? desc->memory : in;
    if (mskpi_get_value(graph, a.label, a.source, &a.memory) || attention_sizes(graph, &a) ||
        attention_params(graph, &a) || attention_lists(graph, &a) ||
        mskpi_new_channels(graph, a.label, mskpi_length(graph, desc->output, 0), &view) ||
        mskpi_new_value(graph, name, "attention", view, a.in.nspatial, a.in.spatial, &out))
        return NO_VALUE;
    mskpi_zero_all(graph, out.id, row_zero(desc->output_bias));
    a.part[QUERY].reads = in;
    a.part[KEY].reads = a.part[VALUE].reads = a.source;
    a.part[OUTPUT].reads = a.result;
    a.part[OUTPUT].makes = out;
    if (attention_bind(graph, &a) || attention_macs(graph, &a) || attention_steps(graph, &a))
        return NO_VALUE;
    return out;
}

/* ---- Recurrent layers ---- */

static const char *const RECURRENT_OP[] = {"lstm", "gru", "rnn"};
static const size_t RECURRENT_GATES[] = {4, 3, 1};

/* Checks the parameters of one layer in one direction. *units <- its number of hidden units. */
static mskp_status check_layer(mskp_graph *graph, const char *label, const mskp_recurrent_params *p,
                               size_t gates, size_t channels, size_t *units)
{
    graph_param input, hidden;
    *units = 0;
    if (mskpi_get_param(graph, label, "input weight", p->input, &input) ||
        mskpi_get_param(graph, label, "hidden weight", p->hidden, &hidden))
        return mskpi_first_error(graph);
    *units = hidden.ndim == 2 ? mskpi_length(graph, p->hidden, 1) : 0;
    const size_t rows = mskpi_product(*units, gates);
    if (mskpi_check_param(graph, label, "input weight", p->input, 2,
                          (const size_t[]){rows, channels}) ||
        mskpi_check_param(graph, label, "hidden weight", p->hidden, 2,
                          (const size_t[]){rows, *units}) ||
        mskpi_check_param(graph, label, "bias", p->input_bias, 1, &rows) ||
        mskpi_check_param(graph, label, "bias", p->hidden_bias, 1, &rows))
        return mskpi_first_error(graph);
    return MSKP_OK;
}

/* Binds the weights and biases of a layer with hidden units `h`, which stand in its gates once for
 * each gate. */
static mskp_status layer_bind(mskp_graph *graph, const mskp_recurrent_params *p, mskp_value in,
                              mskp_value h, mskp_value gates)
{
    const size_t positions = mskpi_positions(&graph->values[in.id]);
    mskpi_mark_consumed(graph, in.id);
    mskpi_mark_consumed(graph, h.id);
    if (bind(graph, p->input, 0, MSKP_ROLE_FILTER, gates, h) ||
        bind(graph, p->input, 1, MSKP_ROLE_CONSUMER, in, h) ||
        bind(graph, p->hidden, 0, MSKP_ROLE_FILTER, gates, h) ||
        bind(graph, p->hidden, 1, MSKP_ROLE_CONSUMER, h, h) ||
        bind(graph, p->input_bias, 0, MSKP_ROLE_SHIFT, gates, h) ||
        bind(graph, p->hidden_bias, 0, MSKP_ROLE_SHIFT, gates, h) ||
        mskp_add_macs(graph, h, p->input, positions) ||
        mskp_add_macs(graph, h, p->hidden, positions))
        return mskpi_first_error(graph);
    return MSKP_OK;
}

/* *out <- the hidden units NAME.hk of layer and direction k. */
static mskp_status recurrent_layer(mskp_graph *graph, const char *name, mskp_value in,
                                   const mskp_recurrent_desc *desc, size_t k, mskp_value *out)
{
    const char *op = RECURRENT_OP[desc->kind], *label = mskpi_label(name, op), *full;
    const size_t ngates = RECURRENT_GATES[desc->kind];
    const mskp_recurrent_params *p = &desc->params[k];
    const graph_value v = graph->values[in.id];
    char part[24];
    size_t units;
    list_view view;
    mskp_value h = NO_VALUE, gates = NO_VALUE;
    graph_step *step;
    snprintf(part, sizeof part, "h%zu", k);
    if (check_layer(graph, label, p, ngates, v.view.n, &units) ||
        mskpi_new_channels(graph, label, units, &view) ||
        mskpi_part_name(graph, name, part, &full) ||
        mskpi_new_value(graph, full, op, view, v.nspatial, v.spatial, &h))
        return mskpi_first_error(graph);
    /* From a first state of zero, a hidden unit stays zero once the rows of all its gates are zero.
     * The rows of the cell's gate (LSTM) and of the new state (GRU) are among them. */
    const zero_table zero = row_zero(p->input_bias.id ? p->input_bias : p->hidden_bias);
    mskpi_zero_all(graph, h.id, desc->state_given ? ZERO_NEVER : zero);
    snprintf(part, sizeof part, "gates%zu", k);
    if (repeated(graph, name, part, "gates", h, 1, ngates, ZERO_NEVER, &gates) ||
        layer_bind(graph, p, in, h, gates) ||
        (desc->state_given && mskpi_pin(graph, label, h, h.id)) ||
        mskpi_add_step(graph, h, STEP_RECURRENT, 1, &in, &step))
        return mskpi_first_error(graph);
    const mskp_param params[] = {p->input, p->hidden, p->input_bias, p->hidden_bias};
    for (size_t i = 0; i < STEP_MOST_PARAMS; i++) step->params[i] = params[i].id;
    *out = h;
    return MSKP_OK;
}

static mskp_status check_recurrent(mskp_graph *graph, const char *label,
                                   const mskp_recurrent_desc *desc)
{
    if ((unsigned)desc->kind > MSKP_RECURRENT_RNN || !desc->params)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT, "kind %u, there are %d%s",
                            (unsigned)desc->kind, MSKP_RECURRENT_RNN + 1,
                            desc->params ? "" : "; params is NULL");
    if (desc->bidirectional > 1 || desc->state_given > 1)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                            "bidirectional is %u, state_given is %u, not 0 or 1",
                            desc->bidirectional, desc->state_given);
    return MSKP_OK;
}

mskp_value mskp_recurrent(mskp_graph *graph, const char *name, mskp_value in,
                          const mskp_recurrent_desc *desc)
{
    const char *label = mskpi_label(name, "recurrent");
    graph_value v;
    if (mskpi_get_value(graph, label, in, &v) || mskpi_check_desc(graph, label, desc) ||
        check_recurrent(graph, label, desc))
        return NO_VALUE;
    const size_t layers = desc->layers ? desc->layers : 1;
    const size_t directions = desc->bidirectional ? 2 : 1;
    for (size_t layer = 0; layer < layers; layer++) {
        mskp_value both[2] = {NO_VALUE, NO_VALUE};
        for (size_t k = 0; k < directions; k++)
            if (recurrent_layer(graph, name, in, desc, layer * directions + k, &both[k]))
                return NO_VALUE;
        in = mskp_concat(graph, layer + 1 == layers ? name : NULL, directions, both);
        if (!in.id) return NO_VALUE;
    }
    return in;
}

/*
 * Attention and recurrent layers. One list of channels stands in several weights at once: the heads
 * in query, key, value and output; a hidden unit once in each gate. The axis that has all gates is
 * bound to a list in which the hidden units stand once for each gate.
 */
#include <stdio.h>

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

static const mskp_value NO_VALUE = {0};

static mskp_status bind(mskp_graph *graph, mskp_param p, uint32_t axis, uint32_t role,
                        mskp_value value, mskp_value by)
{
    if (!p.id) return MSKP_OK;
    return mskpi_bind(graph, p, axis, role, graph->values[value.id].view, by.id, by.id);
}

/* Channel i of the result is channel from(i) of `in`: each `repeat` times in a row, all of it
 * `rounds` times. */
static mskp_value repeated(mskp_graph *graph, const char *name, const char *op, mskp_value in,
                           size_t repeat, size_t rounds, zero_table zero)
{
    const size_t channels = graph->values[in.id].view.n;
    const size_t n = mskpi_product(mskpi_product(channels, repeat), rounds);
    list_view view;
    if (mskpi_new_list(graph, mskpi_who(name, op), n, &view)) return NO_VALUE;
    const size_t first = graph->values[in.id].view.first;
    for (size_t i = 0; i < n; i++)
        graph->listed[view.first + i] = graph->listed[first + i / repeat % channels];
    const mskp_value out = mskpi_new_value(graph, name, op, view, 0, NULL);
    if (out.id) mskpi_zero_all(graph, out.id, zero);
    return out;
}

/* ---- attention ---- */

/* The widths of an attention's projections, checked. */
typedef struct heads {
    const char *who, *name;
    const mskp_attention_desc *desc;
    graph_value in, memory;
    mskp_value from; /* keys and values are made of this */
    size_t kv_heads, per_kv, value_dim;
    size_t queries, keys, values, results; /* rows of the projections; columns of the output's */
    mskp_value q, k, v, r;                 /* their lists */
} heads;

static int attention_sizes(mskp_graph *graph, heads *h)
{
    const mskp_attention_desc *d = h->desc;
    char room[NAME_SIZE];
    const size_t most = SIZE_MAX / 4; /* so that the sums of rows below do not overflow */
    size_t all;
    h->kv_heads = d->kv_heads ? d->kv_heads : d->heads;
    h->value_dim = d->value_dim ? d->value_dim : d->head_dim;
    const char *who = mskpi_short(h->who, room);
    if (!d->heads || !d->head_dim)
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: %zu heads of %zu positions", who,
                         d->heads, d->head_dim);
    else if (d->heads % h->kv_heads)
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                         "%s: %zu heads are no multiple of %zu key and value heads", who, d->heads,
                         h->kv_heads);
    else if ((unsigned)d->units > MSKP_ATTENTION_DIMS || d->packed > 1)
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                         "%s: units is %u, packed is %u, not 0 or 1", who, (unsigned)d->units,
                         d->packed);
    else if (d->head_dim > most || h->value_dim > most ||
             !mskpi_product_fits(d->heads, d->head_dim + h->value_dim, &all) || all > most)
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                         "%s: %zu heads of %zu positions (values: %zu) are too many", who, d->heads,
                         d->head_dim, h->value_dim);
    else
        h->per_kv = d->heads / h->kv_heads;
    if (graph->error.status) return 1;
    h->queries = d->heads * d->head_dim;
    h->keys = h->kv_heads * d->head_dim;
    h->values = h->kv_heads * h->value_dim;
    h->results = d->heads * h->value_dim;
    return 0;
}

static int attention_params(mskp_graph *graph, const heads *h)
{
    const mskp_attention_desc *d = h->desc;
    char room[NAME_SIZE];
    const size_t c = h->in.view.n, m = h->memory.view.n;
    const size_t rows = d->packed ? h->queries + h->keys + h->values : h->queries;
    const struct {
        const char *what;
        mskp_param weight, bias;
        size_t rows, columns;
    } part[] = {{"query", d->query, d->query_bias, rows, c},
                {"key", d->key, d->key_bias, h->keys, m},
                {"value", d->value, d->value_bias, h->values, m},
                {"output", d->output, d->output_bias, 0, h->results}};
    for (size_t i = 0; i < 4; i++) {
        const int absent = d->packed && (i == 1 || i == 2);
        if (absent ? part[i].weight.id || part[i].bias.id : !part[i].weight.id) {
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: %s %s", mskpi_short(h->who, room),
                             part[i].what, absent ? "is packed into query" : "has no weight");
            return 1;
        }
        if (mskpi_check_param(graph, h->who, part[i].what, part[i].weight, 2,
                              (const size_t[]){part[i].rows, part[i].columns}))
            return 1;
        const size_t length = i == 3 ? mskpi_length(graph, part[i].weight, 0) : part[i].rows;
        if (mskpi_check_param(graph, h->who, "bias", part[i].bias, 1, &length)) return 1;
    }
    if (d->packed && d->memory.id) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: packed projections read one input",
                         mskpi_short(h->who, room));
        return 1;
    }
    return 0;
}

/*
 * Whole heads: one channel for each key and value head, which stands in all rows and columns of its
 * own and of the query heads that it serves. Positions: one channel for each position, in all heads
 * at once: query and key share theirs, value and output share theirs.
 * A head is silent if its values are zero; a position of query and key if either is.
 */
static int attention_lists(mskp_graph *graph, heads *h)
{
    const mskp_attention_desc *d = h->desc;
    const int positions = d->units == MSKP_ATTENTION_DIMS;
    const mskp_param biases[3] = {d->query_bias, d->packed ? d->query_bias : d->key_bias,
                                  d->packed ? d->query_bias : d->value_bias};
    const zero_table row[3] = {ZERO_FILTER & (biases[0].id ? ZERO_SHIFT : ZERO_ALWAYS),
                               ZERO_FILTER & (biases[1].id ? ZERO_SHIFT : ZERO_ALWAYS),
                               ZERO_FILTER & (biases[2].id ? ZERO_SHIFT : ZERO_ALWAYS)};
    mskp_value shared[2]; /* of query and key; of value and output */
    for (int i = 0; i < 2; i++) {
        const size_t n = !positions ? h->kv_heads : i ? h->value_dim : d->head_dim;
        list_view view;
        if (i && !positions) {
            shared[1] = shared[0];
            continue;
        }
        const char *op = !positions ? "heads" : i ? "value_positions" : "key_positions";
        if (mskpi_new_channels(graph, h->who, n, &view)) return 1;
        shared[i] = mskpi_new_value(graph, mskpi_part_name(graph, h->name, op), op, view, 0, NULL);
        if (!shared[i].id) return 1;
    }
    const size_t dk = d->head_dim, dv = h->value_dim, g = h->per_kv, kv = h->kv_heads;
    const struct {
        const char *op;
        mskp_value *to;
        size_t repeat, rounds;
        mskp_value from;
        zero_table zero;
    } list[] = {
        {"query", &h->q, positions ? 1 : g * dk, positions ? g * kv : 1, shared[0], row[0]},
        {"key", &h->k, positions ? 1 : dk, positions ? kv : 1, shared[0], row[1]},
        {"value", &h->v, positions ? 1 : dv, positions ? kv : 1, shared[1], row[2]},
        {"result", &h->r, positions ? 1 : g * dv, positions ? g * kv : 1, shared[1], row[2]}};
    for (size_t i = 0; i < 4; i++) {
        *list[i].to = repeated(graph, mskpi_part_name(graph, h->name, list[i].op), list[i].op,
                               list[i].from, list[i].repeat, list[i].rounds, list[i].zero);
        if (!list[i].to->id) return 1;
    }
    graph_step *step = mskpi_step(graph, h->r, STEP_ATTEND, 3, (mskp_value[]){h->v, h->q, h->k});
    uint32_t *place = step ? mskpi_places(graph, h->results, &step->first) : NULL;
    if (!place) return 1;
    step->option = positions != 0;
    step->groups = kv;
    for (size_t i = 0; i < h->results; i++) place[i] = (uint32_t)(i / dv / g * dv + i % dv);
    if (positions) { /* a product is zero if one factor is: no weights read these */
        const list_view view = graph->values[shared[0].id].view;
        for (size_t i = 0; i < view.n; i++)
            graph->channels[graph->listed[view.first + i]].exact &= row[0] | row[1];
    }
    return 0;
}

/* Query, key and value are linear in what they read; so is what is made of the result. */
static mskp_status attention_steps(mskp_graph *graph, const heads *h, mskp_value in, mskp_value out)
{
    const mskp_attention_desc *d = h->desc;
    const struct {
        mskp_value made, read;
        mskp_param weight, bias;
        size_t first;
    } part[] = {{h->q, in, d->query, d->query_bias, 0},
                {h->k, h->from, d->packed ? d->query : d->key,
                 d->packed ? d->query_bias : d->key_bias, d->packed ? h->queries : 0},
                {h->v, h->from, d->packed ? d->query : d->value,
                 d->packed ? d->query_bias : d->value_bias, d->packed ? h->queries + h->keys : 0},
                {out, h->r, d->output, d->output_bias, 0}};
    for (size_t i = 0; i < 4; i++) {
        graph_step *s = mskpi_step(graph, part[i].made, STEP_LINEAR, 1, &part[i].read);
        if (!s) return MSKP_ERROR_NO_MEMORY;
        s->params[0] = part[i].weight.id;
        s->params[1] = part[i].bias.id;
        s->first = part[i].first;
        s->part = d->packed && (i == 1 || i == 2);
    }
    return MSKP_OK;
}

static mskp_status attention_bind(mskp_graph *graph, const heads *h, mskp_value in, mskp_value out)
{
    const mskp_attention_desc *d = h->desc;
    mskp_status status = MSKP_OK;
    mskp_value rows[3] = {h->q, h->k, h->v};
    const mskp_param weight[3] = {d->query, d->key, d->value};
    const mskp_param bias[3] = {d->query_bias, d->key_bias, d->value_bias};
    const int parts = d->packed ? 1 : 3;
    if (d->packed) {
        rows[0] = mskp_concat(graph, mskpi_part_name(graph, h->name, "packed"), 3, rows);
        if (!rows[0].id) return graph->error.status;
    }
    mskpi_read(graph, in.id);
    if (h->from.id != in.id) mskpi_read(graph, h->from.id);
    for (int i = 0; !status && i < parts; i++) {
        status = bind(graph, weight[i], 0, MSKP_ROLE_FILTER, rows[i], out);
        if (!status) status = bind(graph, weight[i], 1, MSKP_ROLE_CONSUMER, i ? h->from : in, out);
        if (!status) status = bind(graph, bias[i], 0, MSKP_ROLE_SHIFT, rows[i], out);
    }
    mskpi_read(graph, h->r.id);
    if (!status) status = bind(graph, d->output, 0, MSKP_ROLE_FILTER, out, out);
    if (!status) status = bind(graph, d->output, 1, MSKP_ROLE_CONSUMER, h->r, out);
    if (!status) status = bind(graph, d->output_bias, 0, MSKP_ROLE_SHIFT, out, out);
    return status;
}

/* Projections; and for each pair of positions a product over query, and one over values. */
static mskp_status attention_macs(mskp_graph *graph, const heads *h, mskp_value out)
{
    const mskp_attention_desc *d = h->desc;
    char room[NAME_SIZE];
    const size_t t = mskpi_positions(&h->in), m = mskpi_positions(&h->memory);
    size_t pairs;
    mskp_status status = MSKP_OK;
    if (!mskpi_product_fits(t, m, &pairs))
        return mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                                "%s: %zu by %zu positions are too many", mskpi_short(h->who, room),
                                t, m);
    const mskp_param weight[4] = {d->query, d->key, d->value, d->output};
    for (int i = 0; !status && i < 4; i++)
        if (weight[i].id) status = mskp_add_macs(graph, out, weight[i], i == 1 || i == 2 ? m : t);
    if (!status) status = mskp_add_macs(graph, h->q, (mskp_param){0}, pairs);
    if (!status) status = mskp_add_macs(graph, h->r, (mskp_param){0}, pairs);
    return status;
}

mskp_value mskp_attention(mskp_graph *graph, const char *name, mskp_value in,
                          const mskp_attention_desc *desc)
{
    heads h = {.who = mskpi_who(name, "attention"), .name = name, .desc = desc};
    list_view view;
    if (mskpi_enter(graph, h.who, in, &h.in) || mskpi_described(graph, h.who, desc))
        return NO_VALUE;
    h.from = desc->memory.id ? desc->memory : in;
    if (mskpi_enter(graph, h.who, h.from, &h.memory) || attention_sizes(graph, &h) ||
        attention_params(graph, &h) || attention_lists(graph, &h) ||
        mskpi_new_channels(graph, h.who, mskpi_length(graph, desc->output, 0), &view))
        return NO_VALUE;
    const mskp_value out =
        mskpi_new_value(graph, name, "attention", view, h.in.nspatial, h.in.spatial);
    if (!out.id) return NO_VALUE;
    mskpi_zero_all(graph, out.id, ZERO_FILTER & (desc->output_bias.id ? ZERO_SHIFT : ZERO_ALWAYS));
    if (attention_bind(graph, &h, in, out) || attention_macs(graph, &h, out) ||
        attention_steps(graph, &h, in, out))
        return NO_VALUE;
    return out;
}

/* ---- recurrent layers ---- */

/* One layer in one direction: its hidden units, each once in every gate. */
static mskp_value recurrent_layer(mskp_graph *graph, const char *name, mskp_value in,
                                  const mskp_recurrent_desc *desc, size_t number)
{
    static const char *const op[] = {"lstm", "gru", "rnn"};
    static const size_t gates[] = {4, 3, 1};
    const char *who = mskpi_who(name, op[desc->kind]);
    const mskp_recurrent_params *p = &desc->params[number];
    char digits[24];
    const graph_value v = graph->values[in.id];
    list_view view;
    mskp_status status;
    if (!mskpi_param(graph, who, "input weight", p->input) ||
        !mskpi_param(graph, who, "hidden weight", p->hidden))
        return NO_VALUE;
    const uint32_t ndim = graph->params[p->hidden.id].ndim;
    const size_t units = ndim == 2 ? mskpi_length(graph, p->hidden, 1) : 0;
    const size_t rows = mskpi_product(units, gates[desc->kind]);
    if (mskpi_check_param(graph, who, "input weight", p->input, 2,
                          (const size_t[]){rows, v.view.n}) ||
        mskpi_check_param(graph, who, "hidden weight", p->hidden, 2,
                          (const size_t[]){rows, units}) ||
        mskpi_check_param(graph, who, "bias", p->input_bias, 1, &rows) ||
        mskpi_check_param(graph, who, "bias", p->hidden_bias, 1, &rows) ||
        mskpi_new_channels(graph, who, units, &view))
        return NO_VALUE;
    snprintf(digits, sizeof digits, "h%zu", number);
    const mskp_value h = mskpi_new_value(graph, mskpi_part_name(graph, name, digits),
                                         op[desc->kind], view, v.nspatial, v.spatial);
    if (!h.id) return NO_VALUE;
    /* From state zero, with the rows of all gates zero: the cell's and the new gate's are among
     * them, and nothing else would do. */
    const int bias = p->input_bias.id || p->hidden_bias.id;
    const zero_table zero = ZERO_FILTER & (bias ? ZERO_SHIFT : ZERO_ALWAYS);
    mskpi_zero_all(graph, h.id, desc->state_given ? ZERO_NEVER : zero);
    snprintf(digits, sizeof digits, "gates%zu", number);
    const mskp_value all = repeated(graph, mskpi_part_name(graph, name, digits), "gates", h, 1,
                                    gates[desc->kind], ZERO_NEVER);
    if (!all.id) return NO_VALUE;
    mskpi_read(graph, in.id);
    mskpi_read(graph, h.id);
    status = bind(graph, p->input, 0, MSKP_ROLE_FILTER, all, h);
    if (!status) status = bind(graph, p->input, 1, MSKP_ROLE_CONSUMER, in, h);
    if (!status) status = bind(graph, p->hidden, 0, MSKP_ROLE_FILTER, all, h);
    if (!status) status = bind(graph, p->hidden, 1, MSKP_ROLE_CONSUMER, h, h);
    if (!status) status = bind(graph, p->input_bias, 0, MSKP_ROLE_SHIFT, all, h);
    if (!status) status = bind(graph, p->hidden_bias, 0, MSKP_ROLE_SHIFT, all, h);
    if (!status) status = mskp_add_macs(graph, h, p->input, mskpi_positions(&v));
    if (!status) status = mskp_add_macs(graph, h, p->hidden, mskpi_positions(&v));
    if (!status && desc->state_given) status = mskpi_pin(graph, who, h, h.id);
    graph_step *step = status ? NULL : mskpi_step(graph, h, STEP_RECURRENT, 1, &in);
    if (!step) return NO_VALUE;
    const mskp_param params[] = {p->input, p->hidden, p->input_bias, p->hidden_bias};
    for (size_t i = 0; i < 4; i++) step->params[i] = params[i].id;
    return h;
}

mskp_value mskp_recurrent(mskp_graph *graph, const char *name, mskp_value in,
                          const mskp_recurrent_desc *desc)
{
    const char *who = mskpi_who(name, "recurrent");
    char room[NAME_SIZE];
    graph_value v;
    if (mskpi_enter(graph, who, in, &v) || mskpi_described(graph, who, desc)) return NO_VALUE;
    const size_t layers = desc->layers ? desc->layers : 1;
    if ((unsigned)desc->kind > MSKP_RECURRENT_RNN || !desc->params) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: kind %u, there are %d%s",
                         mskpi_short(who, room), (unsigned)desc->kind, MSKP_RECURRENT_RNN + 1,
                         desc->params ? "" : "; params is NULL");
        return NO_VALUE;
    }
    if (desc->bidirectional > 1 || desc->state_given > 1) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                         "%s: bidirectional is %u, state_given is %u, not 0 or 1",
                         mskpi_short(who, room), desc->bidirectional, desc->state_given);
        return NO_VALUE;
    }
    for (size_t layer = 0; layer < layers; layer++) {
        const char *last = layer + 1 == layers ? name : NULL;
        mskp_value both[2];
        const size_t directions = desc->bidirectional ? 2 : 1;
        for (size_t k = 0; k < directions; k++) {
            both[k] = recurrent_layer(graph, name, in, desc, layer * directions + k);
            if (!both[k].id) return NO_VALUE;
        }
        in = mskp_concat(graph, last, directions, both);
        if (!in.id) return NO_VALUE;
    }
    return in;
}

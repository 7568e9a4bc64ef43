/*
 * Answers that random networks hardly ever ask for: one small network, written down, for each.
 *
 * What must come out is said by the headers, or worked out by hand beside the network.
 */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id/by_id.h"
#include "guarded_memory/guarded_memory.h"
#include "mskp/methods.h"

/* ---- Networks with numbers ---- */

enum { PARAMS = 12, NUMBERS = 64 };

typedef struct net {
    mskp_graph *g;
    heap heap;
    size_t params;
    mskp_tensor view[PARAMS];
    double number[PARAMS][NUMBERS];
    mskp_tensors values;
    uint8_t keep[16];
} net;

/* An empty network, of which all units stay. */
static void net_begin(net *n)
{
    *n = (net){0};
    const mskp_services services = heap_services(&n->heap);
    n->g = mskp_graph_create(&services);
    must(n->g != NULL, "no graph");
    memset(n->keep, 1, sizeof n->keep);
}

/* A parameter [a] or, if b is not 0, [a][b], or [a][b][c], whose numbers are all x. */
static mskp_param filled(net *n, double x, size_t a, size_t b, size_t c)
{
    char name[16];
    snprintf(name, sizeof name, "p%zu", n->params + 1);
    must(n->params < PARAMS && a * (b ? b : 1) * (c ? c : 1) <= NUMBERS, "too large");
    for (size_t i = 0; i < NUMBERS; i++) n->number[n->params][i] = x;
    n->view[n->params] = (mskp_tensor){.data = n->number[n->params], .dtype = MSKP_DTYPE_F64};
    n->params++;
    return mskp_parameter(n->g, name, c ? 3 : b ? 2 : 1, (size_t[]){a, b, c});
}

static double *numbers(net *n, mskp_param p)
{
    return n->number[p.id - 1];
}

static mskp_value fresh(const net *n, size_t channels, uint32_t nspatial)
{
    return mskp_fresh(n->g, NULL, channels, nspatial, (size_t[]){5, 5, 5});
}

/* A batch norm with gamma 1 and beta 0, but for one channel, which has gamma 0 and this beta. */
static mskp_value with_constant(net *n, mskp_value in, size_t channels, size_t channel, double beta)
{
    const mskp_norm_desc desc = {.scale = filled(n, 1, channels, 0, 0),
                                 .shift = filled(n, 0, channels, 0, 0)};
    numbers(n, desc.scale)[channel] = 0;
    numbers(n, desc.shift)[channel] = beta;
    return mskp_norm(n->g, NULL, in, &desc);
}

static void net_finish(net *n)
{
    mskp_error err;
    must(!mskp_graph_finish(n->g, &err), "%s", err.text);
    n->values = (mskp_tensors){n->params, n->view};
}

static mskp_mask kept(net *n)
{
    return (mskp_mask){mskp_graph_counts(n->g).units, n->keep};
}

/* The unit of a channel of a value goes. */
static void net_remove(net *n, mskp_value v, size_t channel)
{
    size_t channels;
    const uint32_t *units = mskp_value_units(n->g, v, &channels);
    must(units && channel < channels && units[channel] < sizeof n->keep, "no such unit");
    n->keep[units[channel]] = 0;
}

static void net_end(net *n)
{
    mskp_graph_destroy(n->g);
    must(!n->heap.bad && !n->heap.live, "%s, %zu blocks are left", n->heap.bad ? n->heap.bad : "",
         n->heap.live);
}

static mskp_constants *created(net *n, mskp_constants_way way)
{
    mskp_constants *c = NULL;
    mskp_error err;
    const mskp_constants_desc desc = {.way = way};
    must(!mskp_constants_create(n->g, kept(n), &desc, n->values, &c, &err), "%s", err.text);
    return c;
}

/* The constants cannot be made; the sentence holds these words, and no number has changed. */
static void refused(net *n, mskp_status status, const char *words)
{
    double before[PARAMS][NUMBERS];
    mskp_constants *c = NULL;
    mskp_error err;
    memcpy(before, n->number, sizeof before);
    const mskp_status is = mskp_constants_create(n->g, kept(n), NULL, n->values, &c, &err);
    must(is == status && strstr(err.text, words), "status %d: %s", (int)is, err.text);
    must(!c && !memcmp(before, n->number, sizeof before), "something was written");
}

static mskp_constants_report reported(const mskp_constants *c, size_t k)
{
    mskp_constants_report r;
    mskp_error err;
    must(!mskp_constants_consumer(c, k, &r, &err), "%s", err.text);
    return r;
}

/* ---- Where constants are folded ---- */

/* A convolution without a bias, read by a batch norm with a mean of its own and by an instance norm
 * without statistics: the mean takes the constant, and the instance norm needs nothing. */
START_TEST(norms_side_by_side)
{
    for (int batch_first = 0; batch_first < 2; batch_first++) {
        net n;
        mskp_error err;
        mskp_plan *plan;
        net_begin(&n);
        const mskp_value in = with_constant(&n, fresh(&n, 2, 0), 2, 1, 5);
        const mskp_param weight = filled(&n, 3, 2, 2, 0);
        const mskp_value v = mskp_linear(n.g, NULL, in, weight, (mskp_param){0});
        const mskp_norm_desc batch = {.mean = filled(&n, 1, 2, 0, 0),
                                      .variance = filled(&n, 1, 2, 0, 0)},
                             instance = {.kind = MSKP_NORM_INSTANCE};
        mskp_norm(n.g, NULL, v, batch_first ? &batch : &instance);
        mskp_norm(n.g, NULL, v, batch_first ? &instance : &batch);
        net_finish(&n);
        net_remove(&n, in, 1);
        mskp_constants *c = created(&n, MSKP_CONSTANTS_AUTO);
        must(mskp_constants_consumers(c) == 1, "%zu consumers", mskp_constants_consumers(c));
        const mskp_constants_report r = reported(c, 0);
        must(r.exact && r.folded == 1 && r.into.id == batch.mean.id, "into %u", r.into.id);
        must(!mskp_constants_plan(c, &plan, NULL, &err), "%s", err.text);
        mskp_tensor *variance = mskp_tensor_of(n.values, batch.variance);
        *variance = (mskp_tensor){0}; /* nothing reads or writes it */
        must(!mskp_constants_apply(c, plan, n.values, &err), "%s", err.text);
        for (int o = 0; o < 2; o++)
            must(numbers(&n, batch.mean)[o] == 1 - 3 * 5, "mean %g", numbers(&n, batch.mean)[o]);
        mskp_plan_destroy(plan);
        mskp_constants_destroy(c);
        net_end(&n);
    }
}
END_TEST

START_TEST(nothing_to_fold_into)
{
    net n; /* the later of two means has no data */
    net_begin(&n);
    mskp_value in = with_constant(&n, fresh(&n, 2, 0), 2, 1, 5);
    mskp_value v = mskp_linear(n.g, NULL, in, filled(&n, 3, 2, 2, 0), (mskp_param){0});
    mskp_norm_desc norm[2];
    for (int k = 0; k < 2; k++) {
        norm[k] =
            (mskp_norm_desc){.mean = filled(&n, 0, 2, 0, 0), .variance = filled(&n, 1, 2, 0, 0)};
        mskp_norm(n.g, NULL, v, &norm[k]);
    }
    net_finish(&n);
    net_remove(&n, in, 1);
    mskp_tensor_of(n.values, norm[1].mean)->data = NULL;
    refused(&n, MSKP_ERROR_NO_DATA, "p6: its tensor in values has no data");
    net_end(&n);

    net_begin(&n); /* the bias has no data, and nobody had to read it before */
    in = with_constant(&n, fresh(&n, 2, 0), 2, 1, 5);
    const mskp_param bias = filled(&n, 0, 2, 0, 0);
    mskp_linear(n.g, NULL, in, filled(&n, 3, 2, 2, 0), bias);
    net_finish(&n);
    net_remove(&n, in, 1);
    mskp_tensor_of(n.values, bias)->data = NULL;
    refused(&n, MSKP_ERROR_NO_DATA, "p3: its tensor in values has no data");
    net_end(&n);

    net_begin(&n); /* a table has no data */
    const mskp_param table = filled(&n, 1, 4, 2, 0);
    v = mskp_embedding(n.g, NULL, table, 0, NULL);
    mskp_linear(n.g, NULL, v, filled(&n, 3, 2, 2, 0), (mskp_param){0});
    net_finish(&n);
    net_remove(&n, v, 1);
    mskp_tensor_of(n.values, table)->data = NULL;
    refused(&n, MSKP_ERROR_NO_DATA, "p1: its tensor in values has no data");
    net_end(&n);
}
END_TEST

/* Two layers share a bias, and fold the same numbers into the outputs that stay. */
START_TEST(shared_bias)
{
    for (int agree = 0; agree < 2; agree++) {
        net n;
        net_begin(&n);
        const mskp_value in = with_constant(&n, fresh(&n, 2, 0), 2, 1, 5);
        const mskp_param bias = filled(&n, 0, 3, 0, 0), first = filled(&n, 1, 3, 2, 0),
                         second = filled(&n, 1, 3, 2, 0);
        numbers(&n, second)[2 * 1 + 1] = 7; /* output 1 of the constant input 1 */
        const mskp_value v = mskp_linear(n.g, NULL, in, first, bias);
        mskp_linear(n.g, NULL, in, second, bias);
        mskp_bind(n.g, filled(&n, 1, 2, 0, 0), 0, MSKP_ROLE_CONSUMER, in); /* reads, and has none */
        net_finish(&n);
        net_remove(&n, in, 1);
        if (agree) net_remove(&n, v, 1);
        mskp_constants *c = created(&n, MSKP_CONSTANTS_FOLD);
        must(mskp_constants_consumers(c) == 3, "%zu consumers", mskp_constants_consumers(c));
        must(reported(c, 2).weight.id == 5 + 1 && !reported(c, 2).exact, "the operator of its own");
        for (size_t k = 0; k < 2; k++) {
            const mskp_constants_report r = reported(c, k);
            must(r.exact == (uint32_t)agree && r.into.id == (agree ? bias.id : 0), "into %u",
                 r.into.id);
            must(agree || strstr(r.why, "its bias is shared"), "%s", r.why);
        }
        mskp_constants_destroy(c);
        net_end(&n);
    }
}
END_TEST

/* Two padded convolutions share a bias, to which each would have to add what only some positions
 * need. */
START_TEST(shared_bias_at_a_border)
{
    net n;
    net_begin(&n);
    const mskp_value in = with_constant(&n, fresh(&n, 2, 1), 2, 1, 5);
    mskp_conv_desc conv = {.bias = filled(&n, 0, 1, 0, 0), .pad_before = {1}, .pad_after = {1}};
    for (int k = 0; k < 2; k++) {
        conv.weight = filled(&n, 3, 1, 2, 3);
        mskp_conv(n.g, NULL, in, &conv);
    }
    net_finish(&n);
    net_remove(&n, in, 1);
    mskp_constants *c = created(&n, MSKP_CONSTANTS_FOLD);
    must(mskp_constants_consumers(c) == 2, "%zu consumers", mskp_constants_consumers(c));
    for (size_t k = 0; k < 2; k++) {
        const mskp_constants_report r = reported(c, k);
        must(!r.exact && r.dropped == 1 && !r.into.id, "into %u", r.into.id);
        must(fabs(r.bound - 5 * 3 * 3) < 1e-6, "bound %g", r.bound);
    }
    mskp_constants_destroy(c);
    net_end(&n);
}
END_TEST

/* Two attentions share the packed weight and bias of query, key and value. These read other rows,
 * so each finds consumers of its bias that fold other numbers. */
START_TEST(shared_packed_bias)
{
    for (size_t kv_heads = 1; kv_heads <= 2; kv_heads++) {
        net n;
        net_begin(&n);
        const mskp_value in = with_constant(&n, fresh(&n, 2, 1), 2, 1, 5);
        const size_t rows = 2 + 2 * kv_heads;
        const mskp_attention_desc desc = {.query = filled(&n, 1, rows, 2, 0),
                                          .query_bias = filled(&n, 0, rows, 0, 0),
                                          .output = filled(&n, 1, 3, 2, 0),
                                          .heads = 2,
                                          .kv_heads = kv_heads,
                                          .head_dim = 1,
                                          .packed = 1};
        mskp_attention(n.g, "a", in, &desc);
        mskp_attention(n.g, "b", in, &desc);
        net_finish(&n);
        net_remove(&n, in, 1);
        mskp_constants *c = created(&n, MSKP_CONSTANTS_FOLD);
        must(mskp_constants_consumers(c) == 6, "%zu consumers", mskp_constants_consumers(c));
        for (size_t k = 0; k < 6; k++) {
            const mskp_constants_report r = reported(c, k);
            must(!r.exact && r.dropped == 1 && !r.into.id, "into %u", r.into.id);
            must(strstr(r.why, "its bias is shared"), "%s", r.why);
        }
        mskp_constants_destroy(c);
        net_end(&n);
    }
}
END_TEST

/* ---- Numbers ---- */

START_TEST(sums_that_do_not_fit)
{
    static const struct {
        double bias, beta, weight;
        mskp_dtype dtype; /* of the bias */
        bool fits;
    } cases[] = {
        {1, 5, 3, MSKP_DTYPE_F64, true},
        {1e300, 1e300, 2, MSKP_DTYPE_F64, true},
        {DBL_MAX, DBL_MAX, 1, MSKP_DTYPE_F64, false}, /* the sum is infinite */
        {0, 1e30, 1e30, MSKP_DTYPE_F32, false},       /* the sum is a double only */
        {0, 1e30, 1, MSKP_DTYPE_F32, true},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        net n;
        net_begin(&n);
        const mskp_value in = with_constant(&n, fresh(&n, 2, 0), 2, 1, cases[k].beta);
        const mskp_param bias = filled(&n, cases[k].bias, 1, 0, 0);
        mskp_linear(n.g, NULL, in, filled(&n, cases[k].weight, 1, 2, 0), bias);
        net_finish(&n);
        net_remove(&n, in, 1);
        mskp_tensor *view = mskp_tensor_of(n.values, bias);
        view->dtype = cases[k].dtype; /* all bytes are 0 where it is not F64 */
        if (cases[k].fits)
            mskp_constants_destroy(created(&n, MSKP_CONSTANTS_AUTO));
        else
            refused(&n, MSKP_ERROR_BAD_NUMBER, "of constants that leave, and does not fit");
        net_end(&n);
    }
}
END_TEST

/* Sums that overflow have no bound, and a difference of infinities is no number: the bound is
 * infinite. */
START_TEST(sums_that_overflow)
{
    net n;
    net_begin(&n);
    const mskp_norm_desc norm = {.scale = filled(&n, 0, 2, 0, 0), .shift = filled(&n, 1, 2, 0, 0)};
    const mskp_value in = mskp_norm(n.g, NULL, fresh(&n, 2, 1), &norm);
    const mskp_conv_desc conv = {
        .weight = filled(&n, DBL_MAX, 1, 2, 3), .pad_before = {1}, .pad_after = {1}};
    mskp_conv(n.g, NULL, in, &conv);
    net_finish(&n);
    for (size_t i = 0; i < 2; i++) net_remove(&n, in, i);
    mskp_constants *c = created(&n, MSKP_CONSTANTS_DROP);
    const mskp_constants_report r = reported(c, 0);
    must(isinf(r.bound) && isinf(r.share) && !r.exact, "bound %g", r.bound);
    mskp_constants_destroy(c);
    net_end(&n);
}
END_TEST

START_TEST(numbers_that_are_none)
{
    net n; /* the first NaN is named, not the one that is met later */
    net_begin(&n);
    mskp_value in = with_constant(&n, fresh(&n, 2, 0), 2, 0, 5);
    const mskp_param weight = filled(&n, 3, 1, 2, 0), bias = filled(&n, (double)NAN, 1, 0, 0);
    numbers(&n, weight)[0] = (double)NAN;
    mskp_linear(n.g, NULL, in, weight, bias);
    net_finish(&n);
    net_remove(&n, in, 0);
    refused(&n, MSKP_ERROR_BAD_NUMBER, "p3 (values): element 0,0 is NaN");
    net_end(&n);

    net_begin(&n); /* an operator of the caller's own reads a NaN, and more behind it */
    in = fresh(&n, 3, 0);
    const mskp_param own = filled(&n, (double)NAN, 3, 2, 0);
    mskp_bind(n.g, own, 0, MSKP_ROLE_CONSUMER, in);
    net_finish(&n);
    for (size_t i = 0; i < 3; i++) net_remove(&n, in, i);
    refused(&n, MSKP_ERROR_BAD_NUMBER, "p1 (values): element 0,0 is NaN");
    net_end(&n);

    net_begin(&n); /* the inputs' weight of a recurrent layer is read before the hidden one */
    in = fresh(&n, 2, 0);
    const mskp_recurrent_params params = {.input = filled(&n, (double)NAN, 2, 2, 0),
                                          .hidden = filled(&n, (double)NAN, 2, 2, 0)};
    mskp_recurrent(
        n.g, NULL, in,
        &(mskp_recurrent_desc){.kind = MSKP_RECURRENT_RNN, .layers = 1, .params = &params});
    net_finish(&n);
    net_remove(&n, in, 1);
    refused(&n, MSKP_ERROR_BAD_NUMBER, "p1 (values): element 0,1 is NaN");
    net_end(&n);
}
END_TEST

/* ---- Allocations that fail ---- */

/* Fails each allocation in turn. The last call, in which none fails, makes the constants. */
static mskp_constants *created_at_last(net *n, mskp_constants_way way)
{
    const mskp_constants_desc desc = {.way = way};
    mskp_constants *c = NULL;
    mskp_error err;
    for (size_t at = 1;; at++) {
        const size_t live = n->heap.live;
        n->heap.calls = 0;
        n->heap.fail_at = at;
        n->heap.fired = false;
        const mskp_status status = mskp_constants_create(n->g, kept(n), &desc, n->values, &c, &err);
        n->heap.fail_at = 0;
        if (!n->heap.fired) {
            must(!status, "%s", err.text);
            return c;
        }
        must(status == MSKP_ERROR_NO_MEMORY && !c && n->heap.live == live, "allocation %zu: %d", at,
             (int)status);
    }
}

/* A gate of one channel, which is removed, is broadcast over three channels. */
START_TEST(gates)
{
    static const double beta[] = {0, 5, (double)NAN}; /* NAN: gamma is not 0 */
    for (size_t k = 0; k < 3; k++) {
        net n;
        net_begin(&n);
        const mskp_value v = fresh(&n, 3, 0);
        mskp_value gate = with_constant(&n, fresh(&n, 1, 0), 1, 0, isnan(beta[k]) ? 0 : beta[k]);
        if (isnan(beta[k])) n.number[0][0] = 1;
        mskp_combine(n.g, NULL, MSKP_COMBINE_MULTIPLY, 2, (mskp_value[]){v, gate});
        net_finish(&n);
        net_remove(&n, gate, 0);
        mskp_constants *c = created_at_last(&n, MSKP_CONSTANTS_DROP);
        must(mskp_constants_consumers(c) == (k > 0), "%zu consumers", mskp_constants_consumers(c));
        if (k) {
            const mskp_constants_report r = reported(c, 0);
            must(!r.exact && isinf(r.bound) && r.live == (k == 2) && r.dropped == (k == 1), "%s",
                 r.why);
            must(strstr(r.why, k == 1 ? "broadcasts it" : "constant"), "%s", r.why);
        }
        mskp_constants_destroy(c);
        net_end(&n);
    }
}
END_TEST

START_TEST(attention_over_fewer_positions)
{
    net n;
    net_begin(&n);
    const mskp_attention_desc desc = {.query = filled(&n, 1, 4, 3, 0),
                                      .key = filled(&n, 1, 4, 3, 0),
                                      .value = filled(&n, 1, 4, 3, 0),
                                      .output = filled(&n, 1, 3, 4, 0),
                                      .heads = 2,
                                      .head_dim = 2,
                                      .units = MSKP_ATTENTION_DIMS};
    mskp_attention(n.g, "a", fresh(&n, 3, 1), &desc);
    net_finish(&n);
    net_remove(&n, mskp_value_find(n.g, "a.query"), 0);
    mskp_constants *c = created_at_last(&n, MSKP_CONSTANTS_AUTO);
    const mskp_constants_report r = reported(c, 0);
    must(r.live == 2 && strstr(r.why, "compares positions"), "%zu live: %s", r.live, r.why);
    mskp_constants_destroy(c);
    net_end(&n);
}
END_TEST

/* Two channels, the second of which has the constant 5, and a padded convolution that reads them.
 * It costs MACS multiply-accumulates with both, and half of it with one. */
enum { MACS = 5 * 2 * 3 };

static void two_channels(net *n)
{
    net_begin(n);
    const mskp_value in = with_constant(n, fresh(n, 2, 1), 2, 1, 5);
    const mskp_conv_desc conv = {
        .weight = filled(n, 1, 1, 2, 3), .pad_before = {1}, .pad_after = {1}};
    mskp_conv(n->g, NULL, in, &conv);
    net_finish(n);
    n->heap.calls = 0;
}

/* A selection within a rule, each of whose allocations fails in turn. */
START_TEST(selections)
{
    const double score[3] = {2, 1, 3};
    const mskp_scores scores = scores_of(3, score);
    const mskp_rule rule = {.max_macs = (double)MACS / 2, .max_params = 1000};
    const mskp_constants_desc drop = {.way = MSKP_CONSTANTS_DROP},
                              merge = {.way = MSKP_CONSTANTS_MERGE};
    net n;
    mskp_error err;
    mskp_status status;
    two_channels(&n);
    must(mskp_graph_counts(n.g).units == 3, "units");
    for (int constants = 0; constants < 2; constants++)
        for (size_t at = 1;; at++) {
            mskp_constants *c = NULL;
            uint8_t keep[3] = {7, 7, 7};
            const size_t live = n.heap.live;
            n.heap.calls = 0;
            n.heap.fail_at = at;
            n.heap.fired = false;
            if (constants)
                status = mskp_constants_select(n.g, scores, &rule, &drop, n.values, &c, &err);
            else
                status = mskp_select(n.g, scores, &rule, mask_of(3, keep), NULL, &err);
            n.heap.fail_at = 0;
            if (n.heap.fired) {
                must(status == MSKP_ERROR_NO_MEMORY && !c && n.heap.live == live && keep[1] == 7,
                     "allocation %zu: %d", at, (int)status);
                continue;
            }
            must(!status, "%s", err.text);
            if (constants)
                must(!mskp_constants_masks(c, mask_of(0, NULL), mask_of(0, NULL), mask_of(3, keep),
                                           &err),
                     "%s", err.text);
            must(keep[0] == 1 && keep[1] == 0 && keep[2] == 1, "%d %d %d", keep[0], keep[1],
                 keep[2]);
            mskp_constants_destroy(c);
            break;
        }
    /* As a carrier the second channel stays, and costs what the rule does not allow. */
    mskp_constants *c = NULL;
    status = mskp_constants_select(n.g, scores, &rule, &merge, n.values, &c, &err);
    must(status == MSKP_ERROR_NO_SOLUTION && !c, "status %d", (int)status);
    must(!strncmp(err.text, "max_macs is 15; with the units that stay", 40) &&
             strstr(err.text, "can be had is 30;"),
         "%s", err.text);
    net_end(&n);
}
END_TEST

/* 100 with all channels of the first value, and nothing with fewer. */
static double all_or_nothing(void *context, const mskp_graph *graph, const size_t *channels)
{
    (void)context, (void)graph;
    return channels[0] < 2 ? 0 : 100;
}

/* Sentences of rules that cannot hold: the only unit that can go stays to carry its constant. */
START_TEST(rules_that_carriers_break)
{
    const double score[3] = {(double)INFINITY, 1, 3};
    const mskp_constants_desc merge = {.way = MSKP_CONSTANTS_MERGE};
    const mskp_budget time = {
        .kind = MSKP_BUDGET_CALLBACK, .limit = 0.5, .cost = all_or_nothing, .name = "time"};
    const struct {
        mskp_rule rule;
        const char *sentence;
    } cases[] = {
        {{.remove_fraction = 0.4},
         "remove_fraction asks for 1 units; too many of the units that can go would stay to carry "
         "constants"},
        {{.nbudgets = 1, .budgets = &time},
         "budgets[0] (time) is 0.5; with the units that stay to carry constants, what is left when "
         "nothing more can go is 100;"},
    };
    net n;
    two_channels(&n);
    for (size_t k = 0; k < 2; k++) {
        mskp_error err;
        mskp_constants *c = NULL;
        const mskp_status status = mskp_constants_select(n.g, scores_of(3, score), &cases[k].rule,
                                                         &merge, n.values, &c, &err);
        must(status == MSKP_ERROR_NO_SOLUTION && !c, "case %zu: %d", k, (int)status);
        must(!strncmp(err.text, cases[k].sentence, strlen(cases[k].sentence)), "%s", err.text);
    }
    net_end(&n);
}
END_TEST

/* count channels with a constant of 5 each, and a padded convolution of them to one channel. */
static mskp_value carried(net *n, size_t count)
{
    const mskp_value in = with_constant(n, fresh(n, count, 1), count, 0, 5);
    const uint32_t last = (uint32_t)n->params;
    for (size_t i = 0; i < count; i++) numbers(n, (mskp_param){last - 1})[i] = 0;
    for (size_t i = 0; i < count; i++) numbers(n, (mskp_param){last})[i] = 5;
    const mskp_conv_desc conv = {
        .weight = filled(n, 1, 1, count, 3), .pad_before = {1}, .pad_after = {1}};
    mskp_conv(n->g, NULL, in, &conv);
    return in;
}

/* Two layers of 3 channels, which leave in turn. One of those that leave a layer stays to carry the
 * constants of the layer, so at least two must leave. 4 channels of 6 stay when two have left each
 * layer, and 5 when two have left the first: the second is then complete again, and stays as it
 * is. */
START_TEST(search_within_carriers)
{
    for (size_t channels = 4; channels <= 5; channels++) {
        net n;
        mskp_error err;
        mskp_constants *c = NULL;
        const mskp_constants_desc merge = {.way = MSKP_CONSTANTS_MERGE};
        const mskp_rule rule = {.max_macs = (double)channels * 5 * 3};
        double score[8];
        uint8_t selected[8], carriers[8];
        size_t left = 0, carry = 0;
        net_begin(&n);
        const mskp_value layer[2] = {carried(&n, 3), carried(&n, 3)};
        net_finish(&n);
        must(mskp_graph_counts(n.g).units == 8, "%zu units", mskp_graph_counts(n.g).units);
        for (int u = 0; u < 8; u++) score[u] = (double)INFINITY;
        for (size_t l = 0; l < 2; l++)
            for (size_t i = 0; i < 3; i++)
                score[mskp_value_units(n.g, layer[l], NULL)[i]] = (double)(2 * i + l);
        must(!mskp_constants_select(n.g, scores_of(8, score), &rule, &merge, n.values, &c, &err),
             "%s", err.text);
        must(!mskp_constants_masks(c, mask_of(8, selected), mask_of(8, carriers), (mskp_mask){0},
                                   &err),
             "%s", err.text);
        for (int u = 0; u < 8; u++) left += !selected[u], carry += carriers[u];
        const size_t layers = channels == 4 ? 2 : 1;
        must(left == 2 * layers && carry == layers, "%zu left, %zu carry", left, carry);
        mskp_constants_destroy(c);
        net_end(&n);
    }
}
END_TEST

/* Of 6 channels, which leave or stay in pairs, 4 leave by the rule, and one of these stays to carry
 * the constants. So another one stays: of the others that leave, the one with the highest score,
 * whether or not the score of the carrier is higher. */
START_TEST(multiples_with_carriers)
{
    for (size_t highest = 0; highest < 4; highest++) {
        net n;
        mskp_error err;
        mskp_constants *c = NULL;
        const mskp_constants_desc merge = {.way = MSKP_CONSTANTS_MERGE};
        const mskp_rule rule = {.max_macs = 4 * 5 * 3, .round_to = 2};
        double score[7];
        uint8_t selected[7], carriers[7];
        size_t carrier = 7, most = 7;
        net_begin(&n);
        const mskp_value layer = carried(&n, 6);
        net_finish(&n);
        const uint32_t *unit = mskp_value_units(n.g, layer, NULL);
        for (int u = 0; u < 7; u++) score[u] = (double)INFINITY;
        for (size_t i = 0; i < 6; i++) score[unit[i]] = i == highest ? 4.5 : (double)i;
        score[unit[4]] = 5, score[unit[5]] = 6;
        must(!mskp_constants_select(n.g, scores_of(7, score), &rule, &merge, n.values, &c, &err),
             "%s", err.text);
        must(!mskp_constants_masks(c, mask_of(7, selected), mask_of(7, carriers), (mskp_mask){0},
                                   &err),
             "%s", err.text);
        for (size_t i = 0; i < 4; i++)
            if (carriers[unit[i]]) carrier = i;
        must(carrier < 4, "no carrier");
        for (size_t i = 0; i < 4; i++)
            if (i != carrier && (most == 7 || score[unit[i]] > score[unit[most]])) most = i;
        for (size_t i = 0; i < 6; i++)
            must(selected[unit[i]] == (i >= 4 || i == most) && carriers[unit[i]] == (i == carrier),
                 "highest %zu, carrier %zu: channel %zu", highest, carrier, i);
        mskp_constants_destroy(c);
        net_end(&n);
    }
}
END_TEST

/* 5 channels keep multiples of 2. When one leaves, it carries its own constant, and the layer is
 * complete. When three leave, one of these carries, and another one stays to make 4. */
START_TEST(multiples_of_an_odd_layer)
{
    net n;
    mskp_error err;
    mskp_constants *c = NULL;
    const mskp_constants_desc merge = {.way = MSKP_CONSTANTS_MERGE};
    const mskp_rule rule = {.max_macs = 4 * 5 * 3, .round_to = 2};
    double score[6] = {1, 2, 3, 4, 5, (double)INFINITY};
    uint8_t selected[6], carriers[6];
    size_t stay = 0, carry = 0;
    net_begin(&n);
    carried(&n, 5);
    net_finish(&n);
    must(!mskp_constants_select(n.g, scores_of(6, score), &rule, &merge, n.values, &c, &err), "%s",
         err.text);
    must(!mskp_constants_masks(c, mask_of(6, selected), mask_of(6, carriers), (mskp_mask){0}, &err),
         "%s", err.text);
    for (int u = 0; u < 5; u++) stay += selected[u], carry += carriers[u];
    must(stay == 3 && selected[4] && selected[3] && carry == 1, "%zu stay, %zu carry", stay, carry);
    mskp_constants_destroy(c);
    net_end(&n);
}
END_TEST

static double minus_one(double x, const double *parameters)
{
    (void)parameters;
    return x - 1;
}

/* A carrier outputs 1, which the function makes 0: no unit can carry, and there is no bias. */
START_TEST(carriers_that_output_nothing)
{
    net n;
    net_begin(&n);
    mskp_value in = with_constant(&n, fresh(&n, 2, 1), 2, 1, 5);
    in = mskp_activation(
        n.g, NULL, in,
        &(mskp_activation_desc){.kind = MSKP_ACTIVATION_CUSTOM, .function = minus_one});
    const mskp_conv_desc conv = {
        .weight = filled(&n, 1, 1, 2, 3), .pad_before = {1}, .pad_after = {1}};
    mskp_conv(n.g, NULL, in, &conv);
    net_finish(&n);
    net_remove(&n, in, 1);
    mskp_constants *c = created(&n, MSKP_CONSTANTS_MERGE);
    must(mskp_constants_consumers(c) == 1, "%zu consumers", mskp_constants_consumers(c));
    const mskp_constants_report r = reported(c, 0);
    must(!r.merged && !r.carriers && r.dropped == 1, "%zu dropped", r.dropped);
    must(fabs(r.bound - (5 - 1) * 3) < 1e-6, "bound %g", r.bound);
    mskp_constants_destroy(c);
    net_end(&n);
}
END_TEST

/* A carrier is a unit: a pinned channel that the convolution reads, too, is none, and one that is
 * broadcast has no part in it. */
START_TEST(carriers_beside_pinned_channels)
{
    net n;
    mskp_error err;
    net_begin(&n);
    const mskp_value in = with_constant(&n, fresh(&n, 2, 1), 2, 1, 5), pinned = fresh(&n, 1, 1);
    mskp_pin(n.g, pinned);
    const mskp_value all = mskp_concat(n.g, "all", 2, (mskp_value[]){pinned, in});
    const mskp_conv_desc conv = {
        .weight = filled(&n, 1, 2, 3, 3), .pad_before = {1}, .pad_after = {1}};
    const mskp_value out = mskp_conv(n.g, NULL, all, &conv);
    mskp_combine(n.g, NULL, MSKP_COMBINE_MULTIPLY, 2, (mskp_value[]){out, pinned});
    net_finish(&n);
    net_remove(&n, in, 1);
    mskp_constants *c = created_at_last(&n, MSKP_CONSTANTS_MERGE);
    must(mskp_constants_consumers(c) == 1, "%zu consumers", mskp_constants_consumers(c));
    const mskp_constants_report r = reported(c, 0);
    must(r.exact && r.merged == 1 && r.carriers == 1, "%zu merged", r.merged);
    uint8_t carriers[16];
    const size_t units = mskp_graph_counts(n.g).units;
    must(!mskp_constants_masks(c, (mskp_mask){0}, mask_of(units, carriers), (mskp_mask){0}, &err),
         "%s", err.text);
    for (size_t u = 0; u < units; u++)
        must(carriers[u] == (u == mskp_value_units(n.g, in, NULL)[1]), "unit %zu", u);
    mskp_constants_destroy(c);
    net_end(&n);
}
END_TEST

/* ---- Applying ---- */

/* Two parameters whose elements alternate in memory share none, so both may be written; if they
 * share one, neither is. The one that is written begins before the other, or behind it. */
START_TEST(interleaved_values)
{
    enum { APART, SHARED };
    for (int sharing = APART; sharing <= SHARED; sharing++)
        for (int behind = 0; behind < 2; behind++) {
            net n;
            double room[12] = {0};
            mskp_error err;
            mskp_plan *plan;
            net_begin(&n);
            const mskp_value in = with_constant(&n, fresh(&n, 2, 0), 2, 1, 5);
            const mskp_param bias = filled(&n, 0, 3, 0, 0), other = filled(&n, 0, 3, 0, 0);
            mskp_value v = mskp_linear(n.g, NULL, in, filled(&n, 3, 3, 2, 0), bias);
            mskp_norm(n.g, NULL, v, &(mskp_norm_desc){.kind = MSKP_NORM_AFFINE, .shift = other});
            net_finish(&n);
            net_remove(&n, in, 1);
            const mskp_tensor apart = {.dtype = MSKP_DTYPE_F64,
                                       .ndim = 1,
                                       .shape = {3},
                                       .stride = {2},
                                       .data = room + behind};
            mskp_tensor *at_bias = mskp_tensor_of(n.values, bias),
                        *at_other = mskp_tensor_of(n.values, other);
            *at_bias = *at_other = apart;
            at_other->data = room + (sharing ? 2 : 1 - behind);
            if (sharing) at_bias->data = room + 4 * behind, at_other->stride[0] = 1;
            mskp_constants *c = created(&n, MSKP_CONSTANTS_AUTO);
            must(!mskp_constants_plan(c, &plan, NULL, &err), "%s", err.text);
            for (size_t at = 1;; at++) {
                n.heap.calls = 0;
                n.heap.fail_at = at;
                n.heap.fired = false;
                const mskp_status status = mskp_constants_apply(c, plan, n.values, &err);
                n.heap.fail_at = 0;
                double sum = 0;
                for (int i = 0; i < 12; i++) sum += room[i];
                if (!n.heap.fired) {
                    must(status == (sharing ? MSKP_ERROR_OVERLAP : MSKP_OK), "%d: %s", (int)status,
                         err.text);
                    must(!sharing || (strstr(err.text, "p3 would be written") && sum == 0), "%s",
                         err.text);
                    for (int i = 0; i < 3 && !sharing; i++)
                        must(room[behind + 2 * i] == 15 && room[1 - behind + 2 * i] == 0, "%g",
                             room[behind + 2 * i]);
                    break;
                }
                must(status == MSKP_ERROR_NO_MEMORY && sum == 0, "allocation %zu: %d", at,
                     (int)status);
            }
            mskp_plan_destroy(plan);
            mskp_constants_destroy(c);
            net_end(&n);
        }
}
END_TEST

/* A network of one linear layer, with a parameter and a value more, if asked. */
static void layer(net *n, size_t channels, bool param, bool value)
{
    net_begin(n);
    const mskp_value in = fresh(n, channels, 0);
    mskp_value v = mskp_linear(n->g, NULL, in, filled(n, 1, 2, channels, 0), (mskp_param){0});
    if (param)
        v = mskp_norm(n->g, NULL, v,
                      &(mskp_norm_desc){.kind = MSKP_NORM_AFFINE, .scale = filled(n, 1, 2, 0, 0)});
    if (value) mskp_activation(n->g, NULL, v, NULL);
    net_finish(n);
}

START_TEST(plans_of_others)
{
    static const char *const sentences[] = {
        "the plan is of a network of 5 units, 1 parameters and 2 values, the constants are of one "
        "of 4, 1 and 2",
        "the plan is of a network of 4 units, 2 parameters and 3 values, the constants are of one "
        "of 4, 1 and 3",
        "the plan is of a network of 4 units, 1 parameters and 3 values, the constants are of one "
        "of 4, 1 and 2"};
    net n, m;
    mskp_error err;
    mskp_plan *plan;
    for (int k = 0; k < 3; k++) { /* the units, the parameters, or the values differ */
        layer(&n, 2, false, k == 1);
        layer(&m, k == 0 ? 3 : 2, k == 1, k == 2);
        mskp_constants *c = created(&n, MSKP_CONSTANTS_AUTO);
        must(!mskp_plan_create(m.g, kept(&m), &plan, NULL, &err), "%s", err.text);
        must(mskp_constants_apply(c, plan, n.values, &err) == MSKP_ERROR_OTHER_NETWORK, "case %d",
             k);
        must(!strcmp(err.text, sentences[k]), "%s", err.text);
        mskp_plan_destroy(plan);
        mskp_constants_destroy(c);
        net_end(&n);
        net_end(&m);
    }
    for (int stays = 0; stays < 2; stays++) { /* another mask */
        layer(&n, 2, false, false);
        n.keep[1] = !stays;
        mskp_constants *c = created(&n, MSKP_CONSTANTS_DROP);
        n.keep[1] = (uint8_t)stays;
        must(!mskp_plan_create(n.g, kept(&n), &plan, NULL, &err), "%s", err.text);
        must(mskp_constants_apply(c, plan, n.values, &err) == MSKP_ERROR_OTHER_NETWORK, "other");
        must(strstr(err.text, stays ? "unit 1 stays by the plan, but not"
                                    : "unit 1 is removed by the plan, but not"),
             "%s", err.text);
        mskp_plan_destroy(plan);
        mskp_constants_destroy(c);
        net_end(&n);
    }
    mskp_constants *c = NULL;
    must(mskp_constants_again(NULL, (mskp_tensors){0}, &c, &err) == MSKP_ERROR_BAD_ARGUMENT,
         "again");
    must(!strcmp(err.text, "decided is NULL"), "%s", err.text);
}
END_TEST

/* A cut whose target alternates with its source in memory: it is not known without a map of their
 * bytes that they share no element. */
START_TEST(interleaved_target)
{
    net n;
    double room[8];
    mskp_error err;
    mskp_plan *plan;
    net_begin(&n);
    const mskp_value v = fresh(&n, 4, 0);
    mskp_bind(n.g, filled(&n, 0, 4, 0, 0), 0, MSKP_ROLE_FILTER, v);
    net_finish(&n);
    net_remove(&n, v, 1);
    net_remove(&n, v, 2);
    must(!mskp_plan_create(n.g, kept(&n), &plan, NULL, &err), "%s", err.text);
    for (size_t at = 1;; at++) {
        mskp_tensor from = {.data = room,
                            .dtype = MSKP_DTYPE_F64,
                            .ndim = 1,
                            .shape = {4},
                            .stride = {2}},
                    to = from;
        for (int i = 0; i < 8; i++) room[i] = i;
        to.data = room + 1;
        to.shape[0] = 2;
        const mskp_move move = {{1, &from}, {1, &to}};
        n.heap.calls = 0;
        n.heap.fail_at = at;
        n.heap.fired = false;
        const mskp_status status = mskp_plan_cut(plan, 1, &move, &err);
        n.heap.fail_at = 0;
        must(status == (n.heap.fired ? MSKP_ERROR_NO_MEMORY : MSKP_OK), "allocation %zu: %s", at,
             err.text);
        must(room[1] == (status ? 1 : 0) && room[3] == (status ? 3 : 6), "%g %g", room[1], room[3]);
        if (!n.heap.fired) break;
    }
    mskp_plan_destroy(plan);
    net_end(&n);
}
END_TEST

/* A group norm whose second group leaves as a whole keeps its statistics; one of which the second
 * channel of each group leaves does not. */
START_TEST(statistics_of_groups)
{
    for (int whole = 0; whole < 2; whole++) {
        net n;
        net_begin(&n);
        const mskp_norm_desc norm = {.kind = MSKP_NORM_GROUP,
                                     .groups = 2,
                                     .grouping = whole ? MSKP_GROUPING_WHOLE : MSKP_GROUPING_TIED,
                                     .accept_inexact = !whole,
                                     .scale = filled(&n, 1, 4, 0, 0),
                                     .shift = filled(&n, 0, 4, 0, 0)};
        const mskp_value in = fresh(&n, 4, 0);
        mskp_norm(n.g, NULL, in, &norm);
        net_finish(&n);
        net_remove(&n, in, 3);
        must(mskp_graph_counts(n.g).units == 2, "%zu units", mskp_graph_counts(n.g).units);
        mskp_constants *c = created_at_last(&n, MSKP_CONSTANTS_AUTO);
        must(mskp_constants_consumers(c) == (size_t)!whole, "consumers");
        if (!whole) {
            const mskp_constants_report r = reported(c, 0);
            must(r.live == 2 && !r.exact && isinf(r.bound), "%zu live", r.live);
        }
        mskp_constants_destroy(c);
        net_end(&n);
    }
}
END_TEST

static double plus_one(double x, const double *parameters)
{
    (void)parameters;
    return x + 1;
}

/* What a constant of 5 becomes, before a layer with the weight 3 folds it. */
START_TEST(what_constants_become)
{
    enum { INSTANCE, STATISTICS, CALL, NO_CALL, WAYS };
    static const double expected[WAYS] = {2, (double)NAN, 6, (double)NAN}; /* NAN: no constant */
    for (int way = 0; way < WAYS; way++) {
        net n;
        net_begin(&n);
        mskp_value in = with_constant(&n, fresh(&n, 2, 0), 2, 1, 5);
        mskp_norm_desc norm = {.kind = MSKP_NORM_INSTANCE};
        mskp_activation_desc custom = {.kind = MSKP_ACTIVATION_CUSTOM};
        if (way <= STATISTICS) norm.shift = filled(&n, 2, 2, 0, 0);
        if (way == STATISTICS) norm.mean = filled(&n, 1, 2, 0, 0);
        if (way == STATISTICS) norm.variance = filled(&n, 1, 2, 0, 0);
        if (way == CALL) custom.function = plus_one;
        in = way <= STATISTICS ? mskp_norm(n.g, NULL, in, &norm)
                               : mskp_activation(n.g, NULL, in, &custom);
        const mskp_param weight = filled(&n, 3, 1, 2, 0), bias = filled(&n, 0, 1, 0, 0);
        mskp_linear(n.g, NULL, in, weight, bias);
        net_finish(&n);
        net_remove(&n, in, 1);
        mskp_constants *c = created(&n, MSKP_CONSTANTS_AUTO);
        must(mskp_constants_consumers(c) == 1, "%zu consumers", mskp_constants_consumers(c));
        const mskp_constants_report r = reported(c, 0);
        mskp_error err;
        mskp_plan *plan;
        const bool live = isnan(expected[way]);
        must(r.live == live && r.folded == !live, "way %d", way);
        must(!mskp_constants_plan(c, &plan, NULL, &err), "%s", err.text);
        must(!mskp_constants_apply(c, plan, n.values, &err), "%s", err.text);
        must(numbers(&n, bias)[0] == (live ? 0 : 3 * expected[way]), "%g", numbers(&n, bias)[0]);
        mskp_plan_destroy(plan);
        mskp_constants_destroy(c);
        net_end(&n);
    }
}
END_TEST

/* A convolution over 5 positions, padded with 1, whose taps at a constant of 5 are a, a and b. The
 * weights of the other channel are so large that no unit is worth a carrier. */
START_TEST(borders)
{
    static const struct {
        double a, b, folded, bound;
        const char *why;
    } cases[] = {
        {1, 1, 5 * 3, 5 * 1, "the border"},       /* 2 taps at either end, 3 between: a fold */
        {1, -2, 0, 5 * 2, "dropped: the border"}, /* -1, 0 and 2: a fold would gain nothing */
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        net n;
        mskp_error err;
        mskp_plan *plan;
        net_begin(&n);
        const mskp_value in = with_constant(&n, fresh(&n, 4, 1), 4, 1, 5);
        numbers(&n, (mskp_param){1})[3] = 0; /* of the second group, too */
        numbers(&n, (mskp_param){2})[3] = 5;
        const mskp_conv_desc conv = {.weight = filled(&n, 1e6, 2, 2, 3),
                                     .bias = filled(&n, 0, 2, 0, 0),
                                     .groups = 2,
                                     .grouping = MSKP_GROUPING_TIED,
                                     .pad_before = {1},
                                     .pad_after = {1}};
        for (int g = 0; g < 2; g++)
            for (int t = 0; t < 3; t++)
                numbers(&n, conv.weight)[6 * g + 3 + t] = t < 2 ? cases[k].a : cases[k].b;
        mskp_conv(n.g, NULL, in, &conv);
        net_finish(&n);
        net_remove(&n, in, 1);
        mskp_constants *c = created(&n, MSKP_CONSTANTS_AUTO);
        must(mskp_constants_consumers(c) == 1, "%zu consumers", mskp_constants_consumers(c));
        const mskp_constants_report r = reported(c, 0);
        must(r.folded == (cases[k].folded > 0 ? 2 : 0) && r.folded + r.dropped == 2, "%zu folded",
             r.folded);
        must(!r.exact && fabs(r.bound - cases[k].bound) < 1e-6, "bound %g", r.bound);
        must(!strncmp(r.why, cases[k].why, strlen(cases[k].why)), "%s", r.why);
        must(!mskp_constants_plan(c, &plan, NULL, &err), "%s", err.text);
        must(!mskp_constants_apply(c, plan, n.values, &err), "%s", err.text);
        for (int o = 0; o < 2; o++)
            must(numbers(&n, conv.bias)[o] == cases[k].folded, "%g", numbers(&n, conv.bias)[o]);
        mskp_plan_destroy(plan);
        mskp_constants_destroy(c);
        net_end(&n);
    }
}
END_TEST

/* ---- Branches that vanish ---- */

enum { SCALE = 1, SHIFT, C1, Y, Y_BIAS, HEAD, HEAD_BIAS, C2, C2_BIAS };

/* x: 2, the second of which is 5, and head(y(x) + c2(c1(x))), with 2 channels in c1, and 3 in y and
 * c2. y[2] reads nothing and is 4. c2 has a bias of 7 if asked. c1 loses its channels. */
typedef struct branch {
    mskp_value x, c1, c2, sum;
} branch;

static branch make_branch(net *n, bool bias)
{
    branch b;
    net_begin(n);
    b.x = with_constant(n, fresh(n, 2, 0), 2, 1, 5);
    b.c1 = mskp_linear(n->g, "c1", b.x, filled(n, 1, 2, 2, 0), (mskp_param){0});
    const mskp_param weight = filled(n, 3, 3, 2, 0);
    const mskp_value y = mskp_linear(n->g, NULL, b.x, weight, filled(n, 4, 3, 0, 0));
    const mskp_param head = filled(n, 2, 1, 3, 0), head_bias = filled(n, 0, 1, 0, 0);
    const mskp_param narrow = filled(n, 1, 3, 2, 0);
    b.c2 = mskp_linear(n->g, "c2", b.c1, narrow, bias ? filled(n, 7, 3, 0, 0) : (mskp_param){0});
    b.sum = mskp_combine(n->g, "sum", MSKP_COMBINE_ADD, 2, (mskp_value[]){y, b.c2});
    mskp_linear(n->g, NULL, b.sum, head, head_bias);
    net_finish(n);
    must(head_bias.id == HEAD_BIAS && narrow.id == C2, "ids");
    numbers(n, weight)[4] = numbers(n, weight)[5] = 0;
    net_remove(n, b.c1, 0);
    net_remove(n, b.c1, 1);
    return b;
}

/* *n becomes what is left of it, and everything that is left stays. */
static void cut_to_smaller(net *n)
{
    mskp_error err;
    mskp_plan *plan;
    mskp_graph *small;
    must(!mskp_plan_create(n->g, kept(n), &plan, &small, &err), "%s", err.text);
    must(!mskp_plan_cut(plan, 1, &(mskp_move){n->values, MSKP_INIT}, &err), "%s", err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(n->g);
    n->g = small;
    memset(n->keep, 1, sizeof n->keep);
}

/* The addition takes what the branch adds, which is 5 + 5 + bias; in channel 0 it is the bias
 * alone, and channel 2 leaves. */
START_TEST(ends_of_branches)
{
    static const mskp_constants_way ways[] = {MSKP_CONSTANTS_AUTO, MSKP_CONSTANTS_DROP};
    for (int bias = 0; bias < 2; bias++)
        for (int w = 0; w < 2; w++) {
            net n;
            mskp_error err;
            mskp_plan *plan;
            const branch b = make_branch(&n, bias);
            for (int o = 0; o < 2; o++) n.number[C1 - 1][2 * o] = n.number[C2 - 1][o] = 0;
            net_remove(&n, b.sum, 2);
            mskp_constants *c = created(&n, ways[w]);
            mskp_constants_report r = {.live = 99};
            for (size_t k = 0; k < mskp_constants_consumers(c); k++) {
                r = reported(c, k);
                if (r.consumer.id == b.sum.id) break;
            }
            const bool written = bias && ways[w] != MSKP_CONSTANTS_DROP;
            must(r.consumer.id == b.sum.id && r.reads.id == b.c2.id && !r.live, "%zu live", r.live);
            must(r.folded == written && r.dropped == !written && r.exact == written, "%zu folded",
                 r.folded);
            must(r.into.id == (written ? C2_BIAS : 0), "into %u", r.into.id);
            must(r.bound == (written ? 0 : 10), "bound %g", r.bound);
            must(written ? !r.why : !!strstr(r.why, bias ? "dropped" : "nothing is left"), "%s",
                 r.why);
            must(!mskp_constants_plan(c, &plan, NULL, &err), "%s", err.text);
            must(!mskp_constants_apply(c, plan, n.values, &err), "%s", err.text);
            must(!bias || (n.number[C2_BIAS - 1][0] == 7 &&
                           n.number[C2_BIAS - 1][1] == (written ? 5 + 5 + 7 : 7)),
                 "%g", n.number[C2_BIAS - 1][1]);
            mskp_plan_destroy(plan);
            mskp_constants_destroy(c);
            net_end(&n);
        }
}
END_TEST

/* A branch of channels that are not constant writes nothing. */
START_TEST(a_live_end)
{
    net n;
    const branch b = make_branch(&n, true);
    mskp_constants *c = created(&n, MSKP_CONSTANTS_AUTO);
    size_t found = 0;
    for (size_t k = 0; k < mskp_constants_consumers(c); k++) {
        const mskp_constants_report r = reported(c, k);
        if (r.consumer.id != b.sum.id) continue;
        must(r.live == 3 && !r.folded && !r.dropped && !r.into.id, "%zu live", r.live);
        must(!r.exact && isinf(r.bound), "bound %g", r.bound);
        found++;
    }
    must(found == 1, "%zu ends", found);
    mskp_constants_destroy(c);
    net_end(&n);
}
END_TEST

/* Constants in a second round, after a branch has vanished in the first: c2 is its bias, or
 * nothing. */
START_TEST(constants_beside_what_vanished)
{
    for (int bias = 0; bias < 2; bias++) {
        net n;
        mskp_error err;
        mskp_plan *plan;
        const branch b = make_branch(&n, bias);
        cut_to_smaller(&n);
        size_t channels = 9;
        mskp_value_shape(n.g, b.c2, &channels, NULL);
        must(channels == (bias ? 3 : 0), "%zu channels", channels);
        net_remove(&n, b.x, 1);
        net_remove(&n, b.sum, 2);
        mskp_constants *c = created(&n, MSKP_CONSTANTS_AUTO);
        must(mskp_constants_consumers(c) == 2, "%zu consumers", mskp_constants_consumers(c));
        must(reported(c, 0).into.id == Y_BIAS && reported(c, 1).into.id == HEAD_BIAS, "into");
        must(reported(c, 0).exact && reported(c, 1).exact, "not exact");
        must(!mskp_constants_plan(c, &plan, NULL, &err), "%s", err.text);
        must(!mskp_constants_apply(c, plan, n.values, &err), "%s", err.text);
        for (int o = 0; o < 2; o++)
            must(n.number[Y_BIAS - 1][o] == 4 + 3 * 5, "%g", n.number[Y_BIAS - 1][o]);
        must(n.number[HEAD_BIAS - 1][0] == 2 * (4 + (bias ? 7 : 0)), "%g",
             n.number[HEAD_BIAS - 1][0]);
        mskp_plan_destroy(plan);
        mskp_constants_destroy(c);
        net_end(&n);
    }
}
END_TEST

/* A layer of a branch that vanishes shares its bias with one that stays, which takes no fold. */
START_TEST(bias_shared_with_a_branch)
{
    net n;
    net_begin(&n);
    const mskp_value x = with_constant(&n, fresh(&n, 2, 0), 2, 1, 5);
    const mskp_value c1 = mskp_linear(n.g, NULL, x, filled(&n, 1, 2, 2, 0), (mskp_param){0});
    const mskp_param bias = filled(&n, 0, 3, 0, 0), weight = filled(&n, 3, 3, 2, 0);
    const mskp_value c2 = mskp_linear(n.g, NULL, c1, filled(&n, 1, 3, 2, 0), bias);
    const mskp_value y = mskp_linear(n.g, NULL, x, weight, bias);
    mskp_combine(n.g, NULL, MSKP_COMBINE_ADD, 2, (mskp_value[]){y, c2});
    net_finish(&n);
    net_remove(&n, x, 1);
    net_remove(&n, c1, 0);
    net_remove(&n, c1, 1);
    mskp_constants *c = created(&n, MSKP_CONSTANTS_FOLD);
    size_t found = 0;
    for (size_t k = 0; k < mskp_constants_consumers(c); k++) {
        const mskp_constants_report r = reported(c, k);
        if (r.weight.id != weight.id) continue;
        must(!r.exact && r.dropped == 1 && !r.into.id, "into %u", r.into.id);
        must(fabs(r.bound - 3 * 5) < 1e-6, "bound %g", r.bound);
        must(strstr(r.why, "its bias is shared"), "%s", r.why);
        found++;
    }
    must(found == 1, "%zu consumers with the weight", found);
    mskp_constants_destroy(c);
    net_end(&n);
}
END_TEST

/* What has vanished is restored with zeros. Where it has no data, only the shape of its target
 * counts; where it has, the data of the small network, which has no elements, may lie anywhere. */
START_TEST(restoring_what_vanished)
{
    net n;
    mskp_error err;
    mskp_plan *plan;
    double back[PARAMS][NUMBERS];
    mskp_tensor to[PARAMS] = {{0}};
    make_branch(&n, true);
    must(!mskp_plan_create(n.g, kept(&n), &plan, NULL, &err), "%s", err.text);
    must(!mskp_plan_cut(plan, 1, &(mskp_move){n.values, MSKP_INIT}, &err), "%s", err.text);
    for (size_t p = 0; p < n.params; p++) {
        for (size_t i = 0; i < NUMBERS; i++) back[p][i] = 99;
        to[p] = (mskp_tensor){.data = back[p], .dtype = MSKP_DTYPE_F64};
    }
    const mskp_move move = {n.values, {n.params, to}};
    to[C1 - 1] = (mskp_tensor){.dtype = MSKP_DTYPE_F64, .ndim = 2, .shape = {2, 3}};
    must(mskp_plan_restore(plan, 1, &move, &err) == MSKP_ERROR_BAD_SHAPE, "another shape");
    must(!strcmp(err.text, "p3 (to): axis 1 of the tensor has length 3, 2 is expected"), "%s",
         err.text);
    must(back[Y - 1][0] == 99, "something was restored");
    to[C1 - 1].shape[1] = 2;
    n.view[C2 - 1].data = &back[Y - 1][2]; /* in the middle of what is written */
    must(!mskp_plan_restore(plan, 1, &move, &err), "%s", err.text);
    must(!to[C1 - 1].data && back[C1 - 1][0] == 99, "something without data was restored");
    for (int i = 0; i < 6; i++) {
        must(back[C2 - 1][i] == 0 && back[Y - 1][i] == (i < 4 ? 3 : 0), "%g", back[C2 - 1][i]);
        must(back[C2_BIAS - 1][i] == (i < 3 ? 7 : 99), "%g", back[C2_BIAS - 1][i]);
    }
    mskp_plan_destroy(plan);

    /* A second round: before it, too, the weights have no elements. */
    mskp_graph *small;
    must(!mskp_plan_create(n.g, kept(&n), &plan, &small, &err), "%s", err.text);
    mskp_plan_destroy(plan);
    memset(n.keep, 1, sizeof n.keep);
    n.keep[1] = 0;
    must(!mskp_plan_create(small, mask_of(mskp_graph_counts(small).units, n.keep), &plan, NULL,
                           &err),
         "%s", err.text);
    for (size_t p = 0; p < n.params; p++) n.view[p].data = n.number[p];
    must(!mskp_plan_cut(plan, 1, &(mskp_move){n.values, MSKP_INIT}, &err), "%s", err.text);
    for (size_t p = 0; p < n.params; p++)
        to[p] = (mskp_tensor){.data = back[p], .dtype = MSKP_DTYPE_F64};
    to[C1 - 1].data = &n.number[Y - 1][1]; /* in the middle of what is read */
    must(!mskp_plan_restore(plan, 1, &move, &err), "%s", err.text);
    for (int i = 0; i < 6; i++)
        must(back[Y - 1][i] == (i % 2 || i == 4 ? 0 : 3), "%d: %g", i, back[Y - 1][i]);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    net_end(&n);
}
END_TEST

/* ---- Other calls ---- */

START_TEST(handles_and_descriptions)
{
    mskp_error err;
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(g, "v", 2, 1, (size_t[]){5});
    const mskp_param p = mskp_parameter(g, "p", 1, (size_t[]){2});
    must(!mskp_param_name(NULL, p) && !mskp_value_name(NULL, v), "a name without a graph");
    must(!mskp_param_name(g, (mskp_param){0}) && !mskp_value_name(g, (mskp_value){0}), "id 0");
    must(!mskp_param_name(g, (mskp_param){2}) && !mskp_value_name(g, (mskp_value){2}), "id 2");
    must(!strcmp(mskp_param_name(g, p), "p") && !strcmp(mskp_value_name(g, v), "v"), "names");
    must(!mskp_opaque(NULL, "o", &(mskp_opaque_desc){.op = "x", .channels = 1}).id, "no graph");
    const mskp_pool_desc pool = {.size = {2}, .pad_after = {SIZE_MAX / 2}};
    must(!mskp_pool(g, "pool", v, &pool).id, "padded beyond all memory");
    must(mskp_graph_finish(g, &err) == MSKP_ERROR_BAD_SHAPE, "%s", err.text);
    const mskp_error first = err;
    must(!mskp_opaque(g, "o", &(mskp_opaque_desc){.op = "x", .channels = 1}).id, "a failed graph");
    must(mskp_graph_finish(g, &err) == first.status && !strcmp(err.text, first.text), "%s",
         err.text);
    mskp_graph_destroy(g);
    g = mskp_graph_create(NULL);
    must(!mskp_opaque(g, "o", NULL).id, "an operator without a description");
    must(mskp_graph_finish(g, &err) == MSKP_ERROR_BAD_ARGUMENT && strstr(err.text, "o: desc is"),
         "%s", err.text);
    mskp_graph_destroy(g);
}
END_TEST

/* The same widths, and names of the same length, but another name. */
START_TEST(mask_of_another_name)
{
    char text[400];
    size_t length;
    mskp_error err;
    uint8_t keep[2] = {1, 0}, read[2] = {7, 7};
    mskp_graph *g[2];
    for (int k = 0; k < 2; k++) {
        g[k] = mskp_graph_create(NULL);
        mskp_fresh(g[k], k ? "right" : "wrong", 2, 0, NULL);
        must(!mskp_graph_finish(g[k], &err), "%s", err.text);
    }
    must(!mskp_mask_write(g[0], mask_of(2, keep), sizeof text, text, &length, &err), "%s",
         err.text);
    must(mskp_mask_read(g[1], length, text, mask_of(2, read), &err) == MSKP_ERROR_OTHER_NETWORK,
         "another network");
    must(strstr(err.text, "value 1 is wrong of width 2, here it is right of width 2"), "%s",
         err.text);
    must(read[0] == 7 && read[1] == 7, "something was read");
    for (int k = 0; k < 2; k++) mskp_graph_destroy(g[k]);
}
END_TEST

/* A grouped convolution of the caller's own over concat(relu(a), sigmoid(a)): its weight is bound
 * to the first half, to which the second is tied. A channel of a that is zero leaves 0 in the first
 * half and 1/2 in the second, which the operator reads, too. */
START_TEST(groups_that_are_not_alike)
{
    const mskp_activation_desc relu = {.kind = MSKP_ACTIVATION_RELU};
    const mskp_activation_desc sigmoid = {.kind = MSKP_ACTIVATION_SIGMOID};
    float w[4] = {0, 0, 1, 2}, b[2] = {0, 1}, own[4] = {1, 2, 3, 4};
    uint8_t stays[2] = {0, 1};
    mskp_constants *c = NULL;
    mskp_constants_report total;
    mskp_error err;
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param pw = mskp_parameter(g, "w", 2, (size_t[]){2, 2});
    const mskp_param pb = mskp_parameter(g, "b", 1, (size_t[]){2});
    const mskp_param po = mskp_parameter(g, "own", 2, (size_t[]){2, 2});
    mskp_tensor view[3] = {{.data = w}, {.data = b}, {.data = own}};
    const mskp_value in = mskp_input(g, "in", 2, 0, NULL), a = mskp_linear(g, "a", in, pw, pb);
    const mskp_value halves[2] = {mskp_activation(g, "relu", a, &relu),
                                  mskp_activation(g, "sigmoid", a, &sigmoid)};
    const mskp_value all = mskp_concat(g, "all", 2, halves), out = mskp_fresh(g, "out", 2, 0, NULL);
    const mskp_value first = mskp_slice(g, "first", all, 0, 2);
    const mskp_value second = mskp_slice(g, "second", all, 2, 2);
    mskp_tie(g, first, second);
    mskp_bind(g, po, 0, MSKP_ROLE_FILTER, out);
    mskp_bind(g, po, 1, MSKP_ROLE_CONSUMER, first);
    mskp_output(g, out);
    must(!mskp_graph_finish(g, &err), "%s", err.text);
    must(mskp_graph_counts(g).units == 2, "%zu units", mskp_graph_counts(g).units);

    must(!mskp_constants_create(g, mask_of(2, stays), NULL, (mskp_tensors){3, view}, &c, &err),
         "%s", err.text);
    must(!mskp_constants_total(c, &total, &err), "%s", err.text);
    must(!total.exact && total.dropped == 1, "exact %u, %zu dropped", total.exact, total.dropped);
    mskp_constants_destroy(c);
    own[0] = own[2] = 0; /* the columns that read the channel */
    must(!mskp_constants_create(g, mask_of(2, stays), NULL, (mskp_tensors){3, view}, &c, &err),
         "%s", err.text);
    must(!mskp_constants_total(c, &total, &err), "%s", err.text);
    must(total.exact, "nothing is read, and it is not exact");
    mskp_constants_destroy(c);

    uint8_t exact[2];
    must(!mskp_exact(g, MSKP_ROLE_FILTER | MSKP_ROLE_SHIFT, mask_of(2, exact), &err), "%s",
         err.text);
    must(!exact[0] && !exact[1], "1/2 is read");
    must(!mskp_exact(g, MSKP_ROLE_CONSUMER, mask_of(2, exact), &err), "%s", err.text);
    must(exact[0] && exact[1], "nothing is read");
    mskp_graph_destroy(g);
}
END_TEST

START_TEST(penalties)
{
    net n;
    mskp_error err;
    const double weight[2] = {1, 1e308};
    net_begin(&n);
    const mskp_value v = fresh(&n, 2, 0);
    mskp_bind(n.g, filled(&n, 1, 2, 0, 0), 0, MSKP_ROLE_SCALE, v);
    net_finish(&n);
    static const mskp_target targets[] = {MSKP_TARGET_REMOVED, MSKP_TARGET_KEPT};
    for (size_t k = 0; k < 2; k++) {
        const mskp_penalty penalty = {.target = targets[k]};
        must(mskp_penalty_prox(n.g, (mskp_mask){0}, &penalty, 1, n.values, &err) ==
                 MSKP_ERROR_BAD_ARGUMENT,
             "a target without a mask");
        must(!strcmp(err.text, "keep is NULL, and the target is not MSKP_TARGET_ALL"), "%s",
             err.text);
    }
    const mskp_penalty all = {.target = MSKP_TARGET_ALL, .unit_weight = weight};
    must(mskp_penalty_prox(n.g, (mskp_mask){0}, &all, 100, n.values, &err) == MSKP_ERROR_BAD_NUMBER,
         "a product that is no number");
    must(strstr(err.text, "unit_weight[1]") && strstr(err.text, "times step is more than"), "%s",
         err.text);
    must(numbers(&n, (mskp_param){1})[0] == 1, "something was shrunk");
    /* A knee of 0 is no knee. */
    const mskp_penalty smooth = {.kind = MSKP_PENALTY_SMOOTH_L1, .target = MSKP_TARGET_ALL};
    must(!mskp_penalty_prox(n.g, (mskp_mask){0}, &smooth, 0.25, n.values, &err), "%s", err.text);
    must(numbers(&n, (mskp_param){1})[0] == 0.75, "%g", numbers(&n, (mskp_param){1})[0]);
    must(!mskp_penalty_prox(n.g, (mskp_mask){0}, &smooth, 2, n.values, &err), "%s", err.text);
    must(numbers(&n, (mskp_param){1})[0] == 0, "%g", numbers(&n, (mskp_param){1})[0]);
    net_end(&n);

    /* A unit with a row and a column shares their crossing with itself alone. */
    net_begin(&n);
    const mskp_value both = fresh(&n, 2, 0);
    const mskp_param p = filled(&n, 8, 2, 2, 0);
    mskp_bind(n.g, p, 0, MSKP_ROLE_FILTER, both);
    mskp_bind(n.g, p, 1, MSKP_ROLE_CONSUMER, both);
    net_finish(&n);
    net_remove(&n, both, 0);
    const double one[2] = {1, 1};
    mskp_penalty group = {.roles = MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER,
                          .target = MSKP_TARGET_REMOVED,
                          .unit_weight = one};
    must(!mskp_penalty_group_prox(n.g, kept(&n), &group, 0.25, n.values, &err), "%s", err.text);
    for (int i = 0; i < 4; i++)
        must(numbers(&n, p)[i] == (i < 3 ? 6 : 8), "%d: %g", i, numbers(&n, p)[i]);
    group.target = MSKP_TARGET_ALL;
    must(mskp_penalty_group_prox(n.g, kept(&n), &group, 0.25, n.values, &err) ==
             MSKP_ERROR_UNSUPPORTED,
         "two units that share elements");
    net_end(&n);
}
END_TEST

/* Channels 0 and 3 are one unit. */
START_TEST(reduced_channels)
{
    static const struct {
        mskp_reduce reduce;
        double first, last, expected;
    } cases[] = {{MSKP_REDUCE_MIN, 5, 2, 2}, {MSKP_REDUCE_MIN, 2, 5, 2},
                 {MSKP_REDUCE_MAX, 5, 2, 5}, {MSKP_REDUCE_MAX, 2, 5, 5},
                 {MSKP_REDUCE_SUM, 2, 5, 7}, {MSKP_REDUCE_MEAN, 2, 5, 3.5}};
    mskp_error err;
    double score[3];
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(g, "v", 3, 0, NULL);
    const mskp_value w = mskp_pick(g, "w", v, 4, (size_t[]){0, 1, 2, 0});
    must(!mskp_graph_finish(g, &err), "%s", err.text);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const double channel[4] = {cases[k].first, 11, 12, cases[k].last};
        const mskp_channel_scores given = {w, 4, channel};
        must(!mskp_score_channels(g, 1, &given, cases[k].reduce, scores_of(3, score), &err), "%s",
             err.text);
        must(score[0] == cases[k].expected && score[1] == 11 && score[2] == 12, "case %zu: %g", k,
             score[0]);
    }
    mskp_graph_destroy(g);
}
END_TEST

/* -1, 1 and 3 in one family: their range is 4, their mean 1, and their variance (4 + 0 + 4) / 3. */
START_TEST(scores_of_any_sign)
{
    static const double given[3] = {-1, 3, 1}, range[3] = {0, 1, 0.5};
    mskp_error err;
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_fresh(g, "v", 3, 0, NULL);
    must(!mskp_graph_finish(g, &err), "%s", err.text);
    for (int standard = 0; standard < 2; standard++) {
        double score[3];
        memcpy(score, given, sizeof score);
        must(!mskp_score_normalize(g, standard ? MSKP_NORMALIZER_STANDARD : MSKP_NORMALIZER_RANGE,
                                   0, scores_of(3, score), &err),
             "%s", err.text);
        for (int u = 0; u < 3; u++)
            must(fabs(score[u] - (standard ? (given[u] - 1) / sqrt(8.0 / 3) : range[u])) < 1e-15,
                 "unit %d: %g", u, score[u]);
    }
    mskp_graph_destroy(g);
}
END_TEST

START_TEST(weights_of_targets)
{
    static const struct {
        mskp_target target;
        double first, second;
    } cases[] = {
        {MSKP_TARGET_ALL, 0.5, 0.25}, {MSKP_TARGET_KEPT, 0.5, 0}, {MSKP_TARGET_REMOVED, 0, 0.25}};
    net n;
    mskp_error err;
    const double norm[2] = {2, 4};
    double weight[2];
    net_begin(&n);
    const mskp_value v = fresh(&n, 2, 0);
    mskp_bind(n.g, filled(&n, 1, 2, 0, 0), 0, MSKP_ROLE_SCALE, v);
    net_finish(&n);
    net_remove(&n, v, 1);
    for (size_t k = 0; k < 3; k++) {
        const mskp_penalty penalty = {.kind = MSKP_PENALTY_L2, .target = cases[k].target};
        const mskp_weighting lasso = {.kind = MSKP_WEIGHTING_GROUP_LASSO};
        must(!mskp_unit_weights(n.g, kept(&n), &penalty, &lasso, scores_of(2, norm),
                                scores_of(2, weight), &err),
             "%s", err.text);
        must(weight[0] == cases[k].first && weight[1] == cases[k].second, "%g %g", weight[0],
             weight[1]);
    }
    net_end(&n);
    net_begin(&n); /* no units */
    mskp_input(n.g, "in", 2, 0, NULL);
    net_finish(&n);
    weight[0] = 7;
    const mskp_penalty all = {.kind = MSKP_PENALTY_L2, .target = MSKP_TARGET_ALL};
    must(!mskp_unit_weights(n.g, (mskp_mask){0}, &all, &(mskp_weighting){.parameter = 0},
                            scores_of(0, norm), scores_of(0, weight), &err) &&
             weight[0] == 7,
         "%s", err.text);
    net_end(&n);
}
END_TEST

START_TEST(infinite_scores)
{
    mskp_error err;
    const double channel[4] = {1, (double)INFINITY, -(double)INFINITY, 2};
    double score[3];
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(g, "v", 3, 0, NULL);
    const mskp_value w = mskp_pick(g, "w", v, 4, (size_t[]){0, 1, 2, 0});
    must(!mskp_graph_finish(g, &err), "%s", err.text);
    const mskp_channel_scores given = {w, 4, channel};
    must(!mskp_score_channels(g, 1, &given, MSKP_REDUCE_SUM, scores_of(3, score), &err), "%s",
         err.text);
    must(score[0] == 3 && isinf(score[1]) && score[1] > 0 && isinf(score[2]) && score[2] < 0,
         "%g %g %g", score[0], score[1], score[2]);
    mskp_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corners");
    TCase *tests = tcase_create("corners");
    tcase_add_test(tests, norms_side_by_side);
    tcase_add_test(tests, nothing_to_fold_into);
    tcase_add_test(tests, shared_bias);
    tcase_add_test(tests, shared_bias_at_a_border);
    tcase_add_test(tests, shared_packed_bias);
    tcase_add_test(tests, sums_that_do_not_fit);
    tcase_add_test(tests, sums_that_overflow);
    tcase_add_test(tests, numbers_that_are_none);
    tcase_add_test(tests, gates);
    tcase_add_test(tests, attention_over_fewer_positions);
    tcase_add_test(tests, selections);
    tcase_add_test(tests, rules_that_carriers_break);
    tcase_add_test(tests, search_within_carriers);
    tcase_add_test(tests, multiples_with_carriers);
    tcase_add_test(tests, multiples_of_an_odd_layer);
    tcase_add_test(tests, carriers_that_output_nothing);
    tcase_add_test(tests, carriers_beside_pinned_channels);
    tcase_add_test(tests, interleaved_values);
    tcase_add_test(tests, plans_of_others);
    tcase_add_test(tests, interleaved_target);
    tcase_add_test(tests, statistics_of_groups);
    tcase_add_test(tests, what_constants_become);
    tcase_add_test(tests, borders);
    tcase_add_test(tests, ends_of_branches);
    tcase_add_test(tests, a_live_end);
    tcase_add_test(tests, constants_beside_what_vanished);
    tcase_add_test(tests, bias_shared_with_a_branch);
    tcase_add_test(tests, restoring_what_vanished);
    tcase_add_test(tests, handles_and_descriptions);
    tcase_add_test(tests, mask_of_another_name);
    tcase_add_test(tests, groups_that_are_not_alike);
    tcase_add_test(tests, penalties);
    tcase_add_test(tests, infinite_scores);
    tcase_add_test(tests, reduced_channels);
    tcase_add_test(tests, scores_of_any_sign);
    tcase_add_test(tests, weights_of_targets);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

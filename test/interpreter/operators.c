/* The oracle's networks, described by the operators' names alone. */
#include "dump.h"

#include "by_id/by_id.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const cJSON *value_of(const described *d, size_t v)
{
    return cJSON_GetArrayItem(dump_get(d->dump, "values"), (int)v);
}

static size_t channels_of(const described *d, size_t v)
{
    return (size_t)cJSON_GetArraySize(dump_get(value_of(d, v), "ids"));
}

static const size_t *size_of(described *d, size_t v)
{
    size_t n;
    return dump_numbers(&d->mem, dump_get(value_of(d, v), "hw"), &n);
}

static mskp_param param(const described *d, const cJSON *node, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(dump_get(node, "p"), key);
    uint32_t id = 0, found = 0;
    if (!item) return (mskp_param){0};
    const char *name = item->valuestring;
    cJSON_ArrayForEach(item, dump_get(d->dump, "params"))
    {
        id++;
        if (strcmp(item->string, name) == 0) found = id;
    }
    return (mskp_param){found};
}

static size_t attribute(const cJSON *node, const char *key)
{
    return dump_number(dump_get(dump_get(node, "a"), key));
}

static const char *word(const cJSON *node, const char *key)
{
    return dump_get(dump_get(node, "a"), key)->valuestring;
}

/* Values without spatial axes, as the oracle has them: of one by one. */
static mskp_value with_axes(described *d, mskp_value v)
{
    return mskp_unflatten(d->graph, NULL, v, 2, (size_t[]){1, 1}, 0);
}

static mskp_value convolve(described *d, const cJSON *node, size_t in, size_t out, bool transposed)
{
    const size_t st = attribute(node, "st"), pad = attribute(node, "pad");
    const size_t dil = attribute(node, "dil"), opad = attribute(node, "opad");
    const char *kind = word(node, "kind");
    mskp_conv_desc c = {.weight = param(d, node, "w"),
                        .bias = param(d, node, "b"),
                        .stride = {st, st},
                        .pad_before = {pad, pad},
                        .pad_after = {pad, pad},
                        .dilation = {dil, dil},
                        .groups = attribute(node, "g")};
    const mskp_value x = d->values[in];
    if (strcmp(kind, "whole") == 0) c.grouping = MSKP_GROUPING_WHOLE;
    if (strcmp(kind, "tied") == 0) c.grouping = MSKP_GROUPING_TIED;
    if (strcmp(word(node, "mode"), "zeros") != 0) c.padding = MSKP_PADDING_EXTENDED;
    if (transposed) c.output_pad[0] = c.output_pad[1] = opad;
    const mskp_value y =
        transposed ? mskp_conv_transposed(d->graph, NULL, x, &c) : mskp_conv(d->graph, NULL, x, &c);
    /* One group is a plain convolution here; the oracle can call it depthwise. */
    if (strcmp(kind, "dw") == 0 && c.groups == 1)
        for (size_t o = 0; o < channels_of(d, out); o++)
            mskp_tie(d->graph, x, mskp_slice(d->graph, NULL, y, o, 1));
    return y;
}

static mskp_value normalize(described *d, const cJSON *node, size_t in, mskp_norm_kind kind)
{
    mskp_norm_desc n = {.scale = param(d, node, "scale"),
                        .shift = param(d, node, "shift"),
                        .mean = param(d, node, "mean"),
                        .variance = param(d, node, "var"),
                        .kind = kind,
                        .accept_inexact = 1};
    if (kind == MSKP_NORM_GROUP) n.groups = attribute(node, "g");
    return mskp_norm(d->graph, NULL, d->values[in], &n);
}

/* Functions that the library does not have. */

static double absolute(double x, const double *parameters)
{
    (void)parameters;
    return fabs(x);
}

static double sine(double x, const double *parameters)
{
    (void)parameters;
    return sin(x);
}

static double cosine(double x, const double *parameters)
{
    (void)parameters;
    return cos(x);
}

static double softplus(double x, const double *parameters)
{
    (void)parameters;
    return x > 20 ? x : log1p(exp(x));
}

static double gauss(double x, const double *parameters)
{
    (void)parameters;
    return exp(-x * x);
}

static mskp_value apply_function(described *d, const cJSON *node, size_t in)
{
    static const struct {
        const char *name;
        mskp_activation_desc desc;
    } functions[] = {{"relu", {.kind = MSKP_ACTIVATION_RELU}},
                     {"tanh", {.kind = MSKP_ACTIVATION_TANH}},
                     {"silu", {.kind = MSKP_ACTIVATION_SILU}},
                     {"gelu", {.kind = MSKP_ACTIVATION_GELU}},
                     {"relu6", {.kind = MSKP_ACTIVATION_RELU6}},
                     {"lrelu", {.kind = MSKP_ACTIVATION_LEAKY_RELU, .parameters = {0.1}}},
                     {"elu", {.kind = MSKP_ACTIVATION_ELU}},
                     {"hswish", {.kind = MSKP_ACTIVATION_HARD_SWISH}},
                     {"sigmoid", {.kind = MSKP_ACTIVATION_SIGMOID}},
                     {"hsigmoid", {.kind = MSKP_ACTIVATION_HARD_SIGMOID}},
                     {"abs", {.kind = MSKP_ACTIVATION_CUSTOM, .function = absolute}},
                     {"sin", {.kind = MSKP_ACTIVATION_CUSTOM, .function = sine}},
                     {"cos", {.kind = MSKP_ACTIVATION_CUSTOM, .function = cosine}},
                     {"softplus", {.kind = MSKP_ACTIVATION_CUSTOM, .function = softplus}},
                     {"gauss", {.kind = MSKP_ACTIVATION_CUSTOM, .function = gauss}}};
    const char *name = word(node, "f");
    for (size_t k = 0; k < sizeof functions / sizeof *functions; k++)
        if (strcmp(functions[k].name, name) == 0)
            return mskp_activation(d->graph, NULL, d->values[in], &functions[k].desc);
    REQUIRE(false, "the oracle has a function %s", name);
    return (mskp_value){0};
}

static mskp_value pool(described *d, const cJSON *node, size_t in)
{
    const char *kind = word(node, "kind");
    const size_t k = attribute(node, "k"), st = attribute(node, "st"), pad = attribute(node, "pad");
    const bool counted = cJSON_IsTrue(dump_get(dump_get(node, "a"), "incl"));
    if (strcmp(kind, "gap") == 0)
        return mskp_pool(d->graph, NULL, d->values[in],
                         &(mskp_pool_desc){.kind = MSKP_POOL_GLOBAL_AVERAGE});
    const bool average = strcmp(kind, "avg") == 0;
    return mskp_pool(d->graph, NULL, d->values[in],
                     &(mskp_pool_desc){.kind = average ? MSKP_POOL_AVERAGE : MSKP_POOL_MAX,
                                       .size = {k, k},
                                       .stride = {st, st},
                                       .pad_before = {pad, pad},
                                       .pad_after = {pad, pad},
                                       .keeps_constants = average && pad && !counted});
}

static mskp_value attend(described *d, const cJSON *node, size_t in)
{
    const mskp_attention_desc a = {.query = param(d, node, "wq"),
                                   .key = param(d, node, "wk"),
                                   .value = param(d, node, "wv"),
                                   .output = param(d, node, "wo"),
                                   .query_bias = param(d, node, "bq"),
                                   .key_bias = param(d, node, "bk"),
                                   .value_bias = param(d, node, "bv"),
                                   .output_bias = param(d, node, "bo"),
                                   .heads = attribute(node, "h"),
                                   .head_dim = attribute(node, "dk"),
                                   .value_dim = attribute(node, "dv"),
                                   .units = strcmp(word(node, "kind"), "pos") == 0
                                                ? MSKP_ATTENTION_DIMS
                                                : MSKP_ATTENTION_HEADS};
    return mskp_attention(d->graph, NULL, d->values[in], &a);
}

static mskp_value recur(described *d, const cJSON *node, size_t in, mskp_recurrent_kind kind)
{
    const mskp_recurrent_params p = {param(d, node, "wih"), param(d, node, "whh"),
                                     param(d, node, "bih"), param(d, node, "bhh")};
    const size_t width = size_of(d, in)[1];
    const mskp_value row = mskp_pool(
        d->graph, NULL, d->values[in],
        &(mskp_pool_desc){.kind = MSKP_POOL_AVERAGE, .spatial = {1, width}, .keeps_constants = 1});
    return mskp_recurrent(d->graph, NULL, row, &(mskp_recurrent_desc){.kind = kind, .params = &p});
}

/* Operators with several results: true if it was one. */
static bool describe_parts(described *d, const cJSON *node, size_t in, const size_t *out, size_t n)
{
    const char *op = dump_get(node, "op")->valuestring;
    if (strcmp(op, "split") == 0) {
        for (size_t k = 0, at = 0; k < n; at += channels_of(d, out[k++]))
            d->values[out[k]] =
                mskp_slice(d->graph, NULL, d->values[in], at, channels_of(d, out[k]));
    } else if (strcmp(op, "chunk") == 0) {
        mskp_value *parts = arena_get(&d->mem, n, sizeof *parts);
        REQUIRE_OK(mskp_chunk(d->graph, NULL, d->values[in], n, 0, parts));
        for (size_t k = 0; k < n; k++) d->values[out[k]] = parts[k];
    } else {
        return false;
    }
    return true;
}

static mskp_value describe_node(described *d, const cJSON *node, const size_t *in, size_t n,
                                size_t out)
{
    static const char *const combine[] = {"add", "sub", "mul", "max"};
    const char *op = dump_get(node, "op")->valuestring;
    const size_t *hw = size_of(d, out);
    mskp_graph *g = d->graph;
    mskp_value x[64] = {{0}};
    REQUIRE(n <= 64, "%zu inputs", n);
    for (size_t k = 0; k < n; k++) x[k] = d->values[in[k]];
    for (int k = 0; k < 4; k++)
        if (strcmp(op, combine[k]) == 0) return mskp_combine(g, NULL, (mskp_combine_kind)k, n, x);
#define IS(name) (strcmp(op, name) == 0)
    if (IS("input")) return mskp_input(g, NULL, channels_of(d, out), 2, hw);
    if (IS("conv") || IS("tconv")) return convolve(d, node, in[0], out, op[0] == 't');
    if (IS("linear")) return mskp_linear(g, NULL, x[0], param(d, node, "w"), param(d, node, "b"));
    if (IS("bn")) return normalize(d, node, in[0], MSKP_NORM_BATCH);
    if (IS("inorm")) return normalize(d, node, in[0], MSKP_NORM_INSTANCE);
    if (IS("gnorm")) return normalize(d, node, in[0], MSKP_NORM_GROUP);
    if (IS("prelu")) return mskp_prelu(g, NULL, x[0], param(d, node, "slope"));
    if (IS("unary")) return apply_function(d, node, in[0]);
    if (IS("pool")) return pool(d, node, in[0]);
    if (IS("resize"))
        return mskp_pool(g, NULL, x[0],
                         &(mskp_pool_desc){.kind = MSKP_POOL_RESIZE,
                                           .spatial = {hw[0], hw[1]},
                                           .keeps_constants = 1});
    if (IS("concat")) return mskp_concat(g, NULL, n, x);
    if (IS("stack")) return mskp_concat_spatial(g, NULL, 0, n, x);
    if (IS("slice")) {
        const size_t a = attribute(node, "a");
        return mskp_slice(g, NULL, x[0], a, attribute(node, "b") - a);
    }
    if (IS("gather")) {
        size_t count,
            *positions = dump_numbers(&d->mem, dump_get(dump_get(node, "a"), "idx"), &count);
        return mskp_pick(g, NULL, x[0], count, positions);
    }
    if (IS("shuffle")) return mskp_channel_shuffle(g, NULL, x[0], attribute(node, "g"), 0);
    if (IS("pixshuf"))
        return mskp_pixel_shuffle(g, NULL, x[0], attribute(node, "r"),
                                  strcmp(word(node, "order"), "dcr") == 0
                                      ? MSKP_SHUFFLE_BLOCK_MAJOR
                                      : MSKP_SHUFFLE_CHANNEL_MAJOR);
    if (IS("unshuf"))
        return mskp_pixel_unshuffle(g, NULL, x[0], attribute(node, "r"),
                                    MSKP_SHUFFLE_CHANNEL_MAJOR);
    if (IS("cpad"))
        return mskp_pad_channels(g, NULL, x[0], attribute(node, "before"),
                                 attribute(node, "after"));
    if (IS("attn")) return attend(d, node, in[0]);
    if (IS("lstm")) return recur(d, node, in[0], MSKP_RECURRENT_LSTM);
    if (IS("gru")) return recur(d, node, in[0], MSKP_RECURRENT_GRU);
    if (IS("flatten"))
        return with_axes(d, mskp_flatten(g, NULL, x[0], strcmp(word(node, "order"), "cl") == 0));
    if (IS("unflatten")) return mskp_unflatten(g, NULL, mskp_flatten(g, NULL, x[0], 0), 2, hw, 0);
    REQUIRE(false, "the oracle has an operator %s", op);
    return (mskp_value){0};
}

static bool is_used(const described *d, const char *name)
{
    const cJSON *node, *p;
    cJSON_ArrayForEach(node, dump_get(d->dump, "nodes")) cJSON_ArrayForEach(
        p, dump_get(node, "p")) if (strcmp(p->valuestring, name) == 0) return true;
    return false;
}

void dump_describe(described *d, const cJSON *dump)
{
    const cJSON *item;
    *d = (described){.dump = dump};
    d->graph = mskp_graph_create(NULL);
    d->nvalues = (size_t)cJSON_GetArraySize(dump_get(d->dump, "values"));
    d->values = arena_get(&d->mem, d->nvalues, sizeof *d->values);
    cJSON_ArrayForEach(item, dump_get(d->dump, "params"))
    {
        size_t n, *shape = dump_numbers(&d->mem, dump_get(item, "shape"), &n);
        const mskp_param p = mskp_parameter(d->graph, item->string, (uint32_t)n, shape);
        if (is_used(d, item->string)) continue;
        /* The oracle made it for an operator that did not fit. */
        const mskp_value rest = mskp_fresh(d->graph, NULL, shape[0], 0, NULL);
        mskp_pin(d->graph, rest);
        mskp_bind(d->graph, p, 0, MSKP_ROLE_OTHER, rest);
    }
    cJSON_ArrayForEach(item, dump_get(d->dump, "nodes"))
    {
        size_t ni, no, *in = dump_numbers(&d->mem, dump_get(item, "i"), &ni);
        size_t *out = dump_numbers(&d->mem, dump_get(item, "o"), &no);
        if (ni && describe_parts(d, item, in[0], out, no)) continue;
        d->values[out[0]] = describe_node(d, item, in, ni, out[0]);
    }
    size_t n, *out = dump_numbers(&d->mem, dump_get(d->dump, "outputs"), &n);
    for (size_t k = 0; k < n; k++) mskp_output(d->graph, d->values[out[k]]);
}

/* ours[u]: our number of the oracle's unit u, MSKP_PINNED where not met yet. */
static void match(const described *d, const uint32_t *list, size_t n, const cJSON *ids,
                  uint32_t *ours, uint32_t *theirs, const char *what, size_t which)
{
    const cJSON *units = dump_get(d->dump, "unit_of_id"), *id;
    size_t i = 0;
    REQUIRE(list && n == (size_t)cJSON_GetArraySize(ids), "%s %zu: %zu channels, %d there", what,
            which, n, cJSON_GetArraySize(ids));
    cJSON_ArrayForEach(id, ids)
    {
        const double there = cJSON_GetNumberValue(cJSON_GetArrayItem(units, (int)dump_number(id)));
        const uint32_t here = list[i];
        REQUIRE((there < 0) == (here == MSKP_PINNED), "%s %zu, channel %zu: unit %d, %g there",
                what, which, i, (int)here, there);
        i++;
        if (there < 0) continue;
        uint32_t *a = &ours[(size_t)there], *b = &theirs[here];
        if (*a == MSKP_PINNED && *b == MSKP_PINNED) {
            *a = here;
            *b = (uint32_t)there;
        }
        REQUIRE(*a == here && *b == (uint32_t)there,
                "%s %zu, channel %zu: unit %u is the oracle's %u and %g", what, which, i - 1, here,
                *b, there);
    }
}

static void compare_kept(const described *d, const mskp_plan *plan)
{
    const cJSON *item, *axis;
    uint32_t p = 0;
    arena mem = {0};
    cJSON_ArrayForEach(item, dump_get(d->dump, "kept"))
    {
        p++;
        cJSON_ArrayForEach(axis, item)
        {
            const uint32_t k = (uint32_t)strtoul(axis->string, NULL, 10);
            size_t there, count, *kept = dump_numbers(&mem, axis, &there);
            const uint32_t *here = mskp_plan_param_kept(plan, (mskp_param){p}, k, &count);
            REQUIRE(count == there, "%s, axis %u: %zu kept, %zu there", item->string, k, count,
                    there);
            for (size_t i = 0; i < count; i++)
                REQUIRE((here ? here[i] : i) == kept[i], "%s, axis %u: index %zu", item->string, k,
                        i);
        }
    }
    arena_free(&mem);
}

uint8_t *dump_keep(described *d)
{
    const cJSON *item, *bind;
    uint32_t p = 0;
    size_t n;
    const size_t units = mskp_graph_counts(d->graph).units;
    REQUIRE(units == dump_number(dump_get(d->dump, "units")), "%zu units, %zu there", units,
            dump_number(dump_get(d->dump, "units")));
    uint32_t *ours = arena_get(&d->mem, units, sizeof *ours);
    uint32_t *theirs = arena_get(&d->mem, units, sizeof *theirs);
    for (size_t u = 0; u < units; u++) ours[u] = theirs[u] = MSKP_PINNED;
    for (size_t v = 0; v < d->nvalues; v++) {
        const uint32_t *list = mskp_value_units(d->graph, d->values[v], &n);
        match(d, list, n, dump_get(value_of(d, v), "ids"), ours, theirs, "value", v);
    }
    cJSON_ArrayForEach(item, dump_get(d->dump, "params"))
    {
        p++;
        cJSON_ArrayForEach(bind, dump_get(item, "binds"))
        {
            const uint32_t axis = (uint32_t)dump_number(cJSON_GetArrayItem(bind, 0));
            const uint32_t *list = mskp_param_units(d->graph, (mskp_param){p}, axis, NULL, &n);
            if (strcmp(cJSON_GetArrayItem(bind, 2)->valuestring, "fix") == 0) continue;
            match(d, list, n, cJSON_GetArrayItem(bind, 1), ours, theirs, item->string, axis);
        }
    }
    uint8_t *keep = arena_get(&d->mem, units, 1);
    memset(keep, 1, units);
    size_t nremoved, *removed = dump_numbers(&d->mem, dump_get(d->dump, "removed"), &nremoved);
    for (size_t i = 0; i < nremoved; i++) keep[ours[removed[i]]] = 0;
    return keep;
}

void dump_finish(described *d)
{
    mskp_error err = {0};
    REQUIRE(mskp_graph_finish(d->graph, &err) == MSKP_OK, "%s", err.text);
}

void dump_end(described *d)
{
    mskp_graph_destroy(d->graph);
    arena_free(&d->mem);
}

void operators_compare(const cJSON *dump)
{
    described d;
    mskp_error err = {0};
    mskp_plan *plan = NULL;
    mskp_cost cost;
    dump_describe(&d, dump);
    dump_finish(&d);
    const size_t units = mskp_graph_counts(d.graph).units;
    const uint8_t *keep = dump_keep(&d);
    for (int k = 0; k < 2; k++) {
        REQUIRE_OK(mskp_measure(d.graph, mask_of(units, k ? keep : NULL), &cost, NULL, NULL));
        double there = cJSON_GetNumberValue(cJSON_GetArrayItem(dump_get(dump, "macs"), k));
        REQUIRE(cost.macs == there, "%.0f MACs, %.0f there", cost.macs, there);
    }
    REQUIRE(mskp_plan_create(d.graph, mask_of(units, keep), &plan, NULL, &err) == MSKP_OK, "%s",
            err.text);
    compare_kept(&d, plan);
    mskp_plan_destroy(plan);
    dump_end(&d);
}

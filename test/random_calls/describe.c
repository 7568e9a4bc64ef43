/* Any description. Most calls fit together; a byte makes one of them absurd, and what comes after
 * it must fail. */
#include "random_calls.h"

#include "by_id/by_id.h"
#include <stdio.h>
#include <string.h>

enum { MOST_VALUES = 32 };

typedef struct caller {
    rng *r;
    limited_heap *heap;
    mskp_graph *g;
    bool wrong;         /* this call may get absurd arguments, */
    bool hole;          /* or nothing where something should be */
    const char *called; /* its name; NULL: derived */
    mskp_status first;  /* the first error; MSKP_OK: none yet */
    size_t values, params, names;
    char name[400];
} caller;

/* ---- Arguments ---- */

static size_t number(caller *c, size_t good)
{
    return c->wrong && rng_chance(c->r, 0.4) ? absurd(c->r) : good;
}

static size_t some(caller *c, size_t lo, size_t hi)
{
    return number(c, rng_from(c->r, lo, hi));
}

static const void *there(const caller *c, const void *what)
{
    return c->hole ? NULL : what;
}

static void spoiled(caller *c, void *desc, size_t bytes)
{
    if (c->wrong && rng_chance(c->r, 0.6)) spoil(c->r, desc, bytes);
}

/* A value of before, rather a late one; now and then one that is not there. */
static mskp_value value(caller *c)
{
    if (c->wrong && rng_chance(c->r, 0.2)) return (mskp_value){(uint32_t)absurd(c->r)};
    if (!c->values) return (mskp_value){0};
    size_t back = rng_below(c->r, c->values < 256 ? c->values : 256);
    return (mskp_value){(uint32_t)(c->values - back)};
}

typedef struct shape {
    size_t channels;
    uint32_t nspatial;
    size_t spatial[MSKP_MAX_SPATIAL];
} shape;

static shape shape_of(const caller *c, mskp_value v)
{
    shape s = {0};
    s.nspatial = mskp_value_shape(c->g, v, &s.channels, s.spatial);
    return s;
}

/* One that has as many channels (and the same positions), starting the search anywhere. */
static mskp_value fellow(caller *c, mskp_value like)
{
    const shape s = shape_of(c, like);
    const size_t start = rng_below(c->r, c->values + 1);
    if (c->wrong && rng_chance(c->r, 0.5)) return value(c);
    for (size_t k = 0; k < c->values; k++) {
        const mskp_value v = {(uint32_t)((start + k) % c->values + 1)};
        const shape o = shape_of(c, v);
        if (o.channels == s.channels && o.nspatial == s.nspatial &&
            !memcmp(o.spatial, s.spatial, s.nspatial * sizeof *s.spatial))
            return v;
    }
    return like;
}

/* Mostly none, which derives one. */
static const char *name(caller *c)
{
    static const char *const odd[] = {"",      " ",    "a b", "x",      "conv#2",
                                      "tab\t", "\x7f", "p1",  "x.query"};
    c->names++;
    if (c->wrong && rng_chance(c->r, 0.2)) return odd[rng_below(c->r, sizeof odd / sizeof *odd)];
    switch (rng_below(c->r, 4)) {
    case 0:
        (void)snprintf(c->name, sizeof c->name, "n%zu", c->names);
        return c->name;
    case 1: /* few of them, because long names take most of the time */
        (void)snprintf(c->name, sizeof c->name, c->names % 8 ? "q%zu" : "%0300zu", c->names);
        return c->name;
    default:
        return NULL;
    }
}

/* ---- Answers ---- */

/* What the first error is, asked by a call that needs nothing else. */
static mskp_status stuck(const caller *c)
{
    return mskp_output(c->g, (mskp_value){1});
}

static void answered(caller *c, mskp_status status)
{
    if (c->first)
        REQUIRE(status == c->first, "status %d after the first error, %d", (int)status,
                (int)c->first);
    c->first = status;
}

/* Handle 0 is an error, and that is known from then on. */
static void failed(caller *c)
{
    const mskp_status status = stuck(c);
    REQUIRE(status, "handle 0 without an error");
    answered(c, status);
}

static mskp_param new_param(caller *c, uint32_t ndim, const size_t *lengths)
{
    char text[24];
    size_t wild[MSKP_MAX_DIMS] = {0};
    (void)snprintf(text, sizeof text, "p%zu", c->params + 1);
    for (uint32_t d = 0; d < ndim && d < MSKP_MAX_DIMS; d++) wild[d] = number(c, lengths[d]);
    const mskp_param p = mskp_parameter(c->g, text, (uint32_t)number(c, ndim), there(c, wild));
    REQUIRE(!p.id || (p.id == c->params + 1 && !c->first), "parameter %u after %zu", p.id,
            c->params);
    if (p.id)
        c->params++;
    else
        failed(c);
    return p;
}

/* One of this shape: an old one now and then, which ties weights. */
static mskp_param param(caller *c, uint32_t ndim, const size_t *lengths)
{
    if (c->wrong && rng_chance(c->r, 0.1)) return (mskp_param){(uint32_t)absurd(c->r)};
    if (!rng_chance(c->r, 0.2)) return new_param(c, ndim, lengths);
    for (uint32_t p = (uint32_t)c->params; p > 0; p--) {
        size_t has[MSKP_MAX_DIMS];
        if (mskp_param_shape(c->g, (mskp_param){p}, has) == ndim &&
            !memcmp(has, lengths, ndim * sizeof *has))
            return (mskp_param){p};
    }
    return new_param(c, ndim, lengths);
}

static mskp_param matrix(caller *c, size_t rows, size_t columns)
{
    return param(c, 2, (size_t[]){rows, columns});
}

/* Or none. */
static mskp_param vector(caller *c, size_t n)
{
    return rng_chance(c->r, 0.5) ? param(c, 1, &n) : (mskp_param){0};
}

static void made(caller *c, mskp_value v)
{
    size_t channels;
    if (!v.id) {
        failed(c);
        return;
    }
    REQUIRE(!c->first, "value %u after error %d", v.id, (int)c->first);
    REQUIRE(v.id > c->values, "value %u again", v.id);
    c->values = v.id;
    REQUIRE(mskp_value_shape(c->g, v, &channels, NULL) <= MSKP_MAX_SPATIAL && channels,
            "value %u has %zu channels", v.id, channels);
    while (channels) /* parts of an operator are values, too */
        (void)mskp_value_shape(c->g, (mskp_value){(uint32_t)++c->values}, &channels, NULL);
    c->values--;
}

/* ---- Operators ---- */

static void call_ends(caller *c, size_t which)
{
    size_t spatial[MSKP_MAX_SPATIAL];
    const uint32_t n = (uint32_t)some(c, 0, 3);
    for (int d = 0; d < MSKP_MAX_SPATIAL; d++) spatial[d] = some(c, 1, 4);
    const size_t channels = some(c, 1, 6);
    const mskp_value in[2] = {value(c), value(c)};
    if (which == 0)
        made(c, mskp_input(c->g, c->called, channels, n, there(c, spatial)));
    else if (which == 1)
        made(c, mskp_fresh(c->g, c->called, channels, n, there(c, spatial)));
    else if (which == 2)
        made(c, mskp_opaque(c->g, c->called,
                            &(mskp_opaque_desc){c->wrong ? c->called : "own", rng_below(c->r, 3),
                                                there(c, in), channels, n, there(c, spatial)}));
    else if (which == 3)
        made(c, mskp_embedding(c->g, c->called, matrix(c, some(c, 1, 4), channels), n,
                               there(c, spatial)));
    else {
        const mskp_param p = matrix(c, some(c, 1, 4), channels);
        const uint32_t axis = (uint32_t)some(c, 0, 1), roles = (uint32_t)some(c, 0, 15);
        made(c, mskp_param_operand(c->g, c->called, p, axis, roles, n, there(c, spatial)));
    }
}

static size_t divisor(caller *c, size_t n)
{
    const size_t g = rng_from(c->r, 1, 4);
    if (rng_chance(c->r, 0.25)) return n;
    return n % g ? 1 : g;
}

static void call_conv(caller *c, bool transposed)
{
    const mskp_value in = value(c);
    const shape s = shape_of(c, in);
    const size_t g = divisor(c, s.channels ? s.channels : 1), out = g * rng_from(c->r, 1, 3);
    size_t lengths[MSKP_MAX_DIMS] = {out, s.channels / g};
    mskp_conv_desc d = {.groups = g, .grouping = (mskp_grouping)rng_below(c->r, 3)};
    if (transposed) {
        lengths[0] = s.channels;
        lengths[1] = out / g;
    }
    for (uint32_t k = 0; k < s.nspatial; k++) {
        lengths[2 + k] = rng_from(c->r, 1, 3);
        d.stride[k] = rng_below(c->r, 3);
        d.dilation[k] = rng_below(c->r, 3);
        d.pad_before[k] = transposed ? 0 : 2;
        d.pad_after[k] = transposed ? 0 : rng_from(c->r, 2, 3);
    }
    d.weight = param(c, s.nspatial + 2, lengths);
    d.bias = vector(c, out);
    spoiled(c, &d, sizeof d);
    made(c, transposed ? mskp_conv_transposed(c->g, c->called, in, there(c, &d))
                       : mskp_conv(c->g, c->called, in, there(c, &d)));
}

static void call_linear(caller *c)
{
    const mskp_value in = value(c);
    const size_t out = rng_from(c->r, 1, 6);
    const mskp_param weight = matrix(c, out, shape_of(c, in).channels);
    made(c, mskp_linear(c->g, c->called, in, weight, vector(c, out)));
}

static void call_norm(caller *c)
{
    const mskp_value in = value(c);
    const size_t n = shape_of(c, in).channels;
    mskp_norm_desc d = {.kind = (mskp_norm_kind)rng_below(c->r, 6), .scale = vector(c, n)};
    d.shift = vector(c, n);
    if (d.kind < MSKP_NORM_AFFINE) {
        d.mean = vector(c, n);
        d.variance = vector(c, n);
    }
    if (d.kind == MSKP_NORM_GROUP) d.groups = divisor(c, n ? n : 1);
    d.grouping = (mskp_grouping)rng_below(c->r, 3);
    d.accept_inexact = rng_chance(c->r, 0.7);
    spoiled(c, &d, sizeof d);
    made(c, mskp_norm(c->g, c->called, in, there(c, &d)));
}

static void call_pool(caller *c)
{
    const mskp_value in = value(c);
    const shape s = shape_of(c, in);
    mskp_pool_desc d = {.kind = (mskp_pool_kind)rng_below(c->r, 5)};
    for (uint32_t k = 0; k < s.nspatial; k++) {
        if (d.kind == MSKP_POOL_RESIZE) d.spatial[k] = rng_from(c->r, 1, 5);
        if (d.kind > MSKP_POOL_AVERAGE) continue;
        d.size[k] = rng_below(c->r, 3);
        d.stride[k] = rng_below(c->r, 3);
        d.pad_before[k] = d.pad_after[k] = 1;
        d.ceil_mode = rng_chance(c->r, 0.5);
    }
    spoiled(c, &d, sizeof d);
    made(c, mskp_pool(c->g, c->called, in, there(c, &d)));
}

static void call_each(caller *c, size_t which)
{
    const mskp_value in = value(c);
    mskp_activation_desc d = {.kind = (mskp_activation_kind)rng_below(c->r, 12)};
    const size_t n = rng_chance(c->r, 0.7) ? shape_of(c, in).channels : 1;
    spoiled(c, &d, sizeof d);
    if (which)
        made(c, mskp_prelu(c->g, c->called, in, param(c, 1, &n)));
    else
        made(c, mskp_activation(c->g, c->called, in, rng_chance(c->r, 0.8) ? &d : NULL));
}

static void call_several(caller *c, size_t which)
{
    mskp_value in[4];
    const size_t n = rng_from(c->r, 1, 4);
    in[0] = value(c);
    for (size_t k = 1; k < n; k++) in[k] = fellow(c, in[0]);
    const size_t said = c->wrong && rng_chance(c->r, 0.2) ? 0 : n;
    const shape s = shape_of(c, in[0]);
    if (which == 0)
        made(c,
             mskp_combine(c->g, c->called, (mskp_combine_kind)some(c, 0, 6), said, there(c, in)));
    else if (which == 1)
        made(c, mskp_concat(c->g, c->called, said, there(c, in)));
    else
        made(c, mskp_concat_spatial(c->g, c->called,
                                    (uint32_t)some(c, 0, s.nspatial ? s.nspatial - 1 : 0), said,
                                    there(c, in)));
}

static void call_parts(caller *c)
{
    mskp_value parts[6] = {{77}, {77}, {77}, {77}, {77}, {77}};
    const mskp_value in = value(c);
    const size_t channels = shape_of(c, in).channels;
    size_t n = rng_from(c->r, 1, 4);
    if (!c->wrong && channels % n) n = 1;
    const mskp_status status = mskp_chunk(c->g, c->called, in, n, (uint32_t)some(c, 0, 1), parts);
    answered(c, status);
    for (size_t k = 0; k < 6; k++) /* beyond the last: not touched */
        REQUIRE(k >= n ? parts[k].id == 77 : !parts[k].id == (status != MSKP_OK), "part %zu is %u",
                k, parts[k].id);
    for (size_t k = 1; k < n && !status; k++)
        REQUIRE(parts[k].id == parts[0].id + k, "part %zu is %u", k, parts[k].id);
    if (!status) made(c, parts[0]);
}

static void call_places(caller *c, size_t which)
{
    const mskp_value in = value(c);
    const shape s = shape_of(c, in);
    const size_t n = s.channels ? s.channels : 1, first = some(c, 0, n - 1);
    const size_t more[2] = {some(c, 0, 3), some(c, 0, 3)};
    size_t positions[8], spatial[MSKP_MAX_SPATIAL] = {1, 1, 1};
    for (int k = 0; k < 8; k++) positions[k] = some(c, 0, n - 1);
    if (which == 0)
        made(c, mskp_slice(c->g, c->called, in, first,
                           number(c, first < n ? rng_from(c->r, 1, n - first) : 1)));
    else if (which == 1)
        made(c, mskp_pad_channels(c->g, c->called, in, more[0], more[1]));
    else if (which == 2)
        made(c, mskp_pick(c->g, c->called, in, c->wrong ? rng_below(c->r, 9) : rng_from(c->r, 1, 8),
                          there(c, positions)));
    else if (which == 3)
        made(c, mskp_flatten(c->g, c->called, in, (uint32_t)some(c, 0, 1)));
    else if (which == 4) {
        spatial[0] = number(c, divisor(c, n));
        made(c, mskp_unflatten(c->g, c->called, in, (uint32_t)some(c, 1, 3), there(c, spatial),
                               (uint32_t)(c->wrong ? more[0] : more[0] % 2)));
    } else {
        for (uint32_t d = 0; d < s.nspatial; d++) spatial[0] *= s.spatial[d];
        spatial[1] = number(c, 1);
        made(c, mskp_reshape(c->g, c->called, in, (uint32_t)some(c, 1, 3), there(c, spatial)));
    }
}

static void call_shuffle(caller *c, size_t which)
{
    const mskp_value in = value(c);
    const shape s = shape_of(c, in);
    const mskp_shuffle_order order = (mskp_shuffle_order)some(c, 0, 1);
    const size_t groups = number(c, divisor(c, s.channels ? s.channels : 1));
    size_t block = 1, fits = 1;
    for (uint32_t d = 0; d < s.nspatial; d++) {
        block *= 2;
        if (s.spatial[d] % 2) fits = 0;
    }
    if (which == 0)
        made(c, mskp_channel_shuffle(c->g, c->called, in, groups, (uint32_t)some(c, 0, 1)));
    else if (which == 1)
        made(c,
             mskp_pixel_shuffle(c->g, c->called, in, number(c, s.channels % block ? 1 : 2), order));
    else
        made(c, mskp_pixel_unshuffle(c->g, c->called, in, number(c, fits ? 2 : 1), order));
}

static void call_attention(caller *c)
{
    const mskp_value in = value(c), memory = rng_chance(c->r, 0.3) ? value(c) : (mskp_value){0};
    const size_t n = shape_of(c, in).channels, out = rng_from(c->r, 1, 4);
    const size_t m = memory.id ? shape_of(c, memory).channels : n;
    mskp_attention_desc d = {.kv_heads = rng_from(c->r, 1, 2),
                             .head_dim = rng_from(c->r, 1, 2),
                             .value_dim = rng_from(c->r, 1, 2),
                             .packed = !memory.id && rng_chance(c->r, 0.3),
                             .units = (mskp_attention_units)rng_below(c->r, 2),
                             .memory = memory};
    d.heads = d.kv_heads * rng_from(c->r, 1, 2);
    const size_t q = d.heads * d.head_dim, k = d.kv_heads * d.head_dim,
                 v = d.kv_heads * d.value_dim;
    d.query = matrix(c, d.packed ? q + k + v : q, n);
    d.query_bias = vector(c, d.packed ? q + k + v : q);
    if (!d.packed) {
        d.key = matrix(c, k, m);
        d.value = matrix(c, v, m);
        d.key_bias = vector(c, k);
        d.value_bias = vector(c, v);
    }
    d.output = matrix(c, out, d.heads * d.value_dim);
    d.output_bias = vector(c, out);
    spoiled(c, &d, sizeof d);
    made(c, mskp_attention(c->g, c->called, in, there(c, &d)));
}

static void call_recurrent(caller *c)
{
    static const size_t gates[] = {4, 3, 1};
    const mskp_value in = value(c);
    mskp_recurrent_params p[4];
    mskp_recurrent_desc d = {.kind = (mskp_recurrent_kind)rng_below(c->r, 3),
                             .bidirectional = rng_chance(c->r, 0.4),
                             .layers = rng_from(c->r, 1, 2),
                             .state_given = rng_chance(c->r, 0.2)};
    const size_t both = d.bidirectional ? 2 : 1;
    size_t reads = shape_of(c, in).channels;
    for (size_t layer = 0; layer < d.layers; layer++) {
        const size_t units = rng_from(c->r, 1, 3), rows = gates[d.kind] * units;
        for (size_t k = layer * both; k < (layer + 1) * both; k++) {
            p[k].input = matrix(c, rows, reads);
            p[k].hidden = matrix(c, rows, units);
            p[k].input_bias = vector(c, rows);
            p[k].hidden_bias = vector(c, rows);
            spoiled(c, &p[k], sizeof p[k]);
        }
        reads = units * both;
    }
    /* Not the number of layers: there are no more in p. */
    if (c->wrong && rng_chance(c->r, 0.5)) d.kind = (mskp_recurrent_kind)absurd(c->r);
    d.params = c->wrong && rng_chance(c->r, 0.1) ? NULL : p;
    made(c, mskp_recurrent(c->g, c->called, in, there(c, &d)));
}

/* Ties, pins, binds: these make no value. */
static void call_primitive(caller *c, size_t which)
{
    const mskp_value v = value(c), w = fellow(c, v);
    const size_t n = shape_of(c, v).channels, lengths[2] = {n ? n : 1, rng_from(c->r, 1, 3)};
    const uint32_t roles = (uint32_t)some(c, 0, 63), axis = (uint32_t)number(c, 0);
    const mskp_param counted = {(uint32_t)some(c, 0, c->params)};
    if (which == 0)
        answered(c, mskp_tie(c->g, v, w));
    else if (which == 1)
        answered(c, rng_chance(c->r, 0.3) ? mskp_pin(c->g, v) : mskp_output(c->g, v));
    else if (which == 2)
        answered(c, mskp_bind(c->g, param(c, 2, lengths), axis, roles, v));
    else if (which == 3)
        answered(c, mskp_zero_if(c->g, v, c->wrong ? roles : roles % 15 + 1));
    else if (which == 4 && rng_chance(c->r, 0.3))
        (void)new_param(c, 1, lengths); /* attached at the end, or refused there */
    else if (which == 4)
        answered(c, mskp_attach(c->g, param(c, 2, lengths), v));
    else
        answered(c, mskp_add_macs(c->g, v, counted, some(c, 0, 9)));
}

static void step(caller *c)
{
    const size_t what = rng_below(c->r, 40);
    if (c->values == 0 || what < 5) {
        call_ends(c, what % 5);
    } else if (what < 9) {
        call_conv(c, what == 8);
    } else if (what < 11) {
        call_linear(c);
    } else if (what < 13) {
        call_norm(c);
    } else if (what < 14) {
        call_pool(c);
    } else if (what < 16) {
        call_each(c, what - 14);
    } else if (what < 21) {
        call_several(c, (what - 16) % 3);
    } else if (what < 22) {
        call_parts(c);
    } else if (what < 28) {
        call_places(c, what - 22);
    } else if (what < 31) {
        call_shuffle(c, what - 28);
    } else if (what < 32) {
        call_attention(c);
    } else if (what < 33) {
        call_recurrent(c);
    } else {
        call_primitive(c, what - 33 < 6 ? what - 33 : 0);
    }
}

/* ---- The end ---- */

static void require_unfinished(const mskp_graph *g)
{
    const mskp_counts n = mskp_graph_counts(g);
    mskp_coupling info;
    mskp_error err = {0};
    size_t count = 7;
    REQUIRE(!n.units && !n.families && !n.params && !n.values, "counts before finish");
    REQUIRE(!mskp_value_units(g, (mskp_value){1}, &count) && !count, "units before finish");
    REQUIRE(!mskp_unit_members(g, 0, &count) && !mskp_unit_families(g, &count), "before finish");
    require_sentence(mskp_value_coupling(g, (mskp_value){1}, &info, &err), &err);
    require_sentence(mskp_measure(g, (mskp_mask){0}, &(mskp_cost){0}, NULL, &err), &err);
}

/* Finishes, as often as it can be asked. */
static mskp_status finish(caller *c)
{
    mskp_error err = {0}, again = {0};
    require_unfinished(c->g);
    const size_t live = c->heap->live;
    mskp_status status = mskp_graph_finish(c->g, &err);
    if (!status) return MSKP_OK;
    require_sentence(status, &err);
    require_unfinished(c->g);
    REQUIRE(!c->first || status == c->first, "%s, but the first error was %d", err.text,
            (int)c->first);
    REQUIRE(c->heap->live == live, "finish failed and keeps %zu blocks", c->heap->live - live);
    if (status == MSKP_ERROR_NO_MEMORY)
        REQUIRE(may_be_empty(c->heap), "there was memory: %s", err.text);
    const mskp_status next = mskp_graph_finish(c->g, &again);
    if (!c->first && status == MSKP_ERROR_NO_MEMORY && c->heap->fail_at) {
        if (next) require_sentence(next, &again);
        return next;
    }
    if (next == MSKP_ERROR_NO_MEMORY && c->heap->fail_at) /* it fails later than the error before */
        require_sentence(next, &again);
    else
        REQUIRE(next == status && !strcmp(again.text, err.text), "%s, then: %s", err.text,
                again.text);
    return status;
}

/* Parameters of calls that came to nothing would be refused. */
static void attach_all(caller *c)
{
    for (uint32_t p = 1; p <= c->params && c->values; p++)
        answered(c, mskp_attach(c->g, (mskp_param){p}, (mskp_value){(uint32_t)c->values}));
}

static void spoil_services(rng *r, mskp_services *services)
{
    if (rng_chance(r, 0.5))
        services->release = NULL;
    else
        services->allocate = NULL;
}

mskp_graph *calls_describe(rng *r, limited_heap *p)
{
    mskp_services services = limited_heap_services(p);
    caller c = {.r = r, .heap = p};
    size_t after = 0;
    const size_t odd = rng_below(r, 64);
    const bool forgets = rng_chance(r, 0.1);
    const double odds = 0.02 * (double)(1u << rng_below(r, 5));
    if (!odd) spoil_services(r, &services);
    c.g = mskp_graph_create(&services);
    if (!c.g) {
        REQUIRE(p->empty && !p->live, "no graph, or %zu blocks are left", p->live);
        return NULL;
    }
    if (!odd) c.first = stuck(&c);
    while (r->left && c.values < MOST_VALUES && after < 3) {
        c.wrong = rng_chance(r, odds);
        c.hole = c.wrong && rng_chance(r, 0.1);
        c.called = name(&c);
        step(&c);
        after += c.first != MSKP_OK;
    }
    if (c.first == MSKP_ERROR_NO_MEMORY) REQUIRE(may_be_empty(p), "there was memory");
    if (p->empty) REQUIRE(c.first, "no memory, and no error");
    if (!forgets) attach_all(&c);
    if (finish(&c)) {
        mskp_graph_destroy(c.g);
        return NULL;
    }
    REQUIRE(!c.first, "finished after error %d", (int)c.first);
    REQUIRE(mskp_output(c.g, (mskp_value){1}) == MSKP_ERROR_BAD_STATE, "described on");
    REQUIRE(!mskp_fresh(c.g, NULL, 1, 0, NULL).id, "described on");
    REQUIRE(mskp_graph_counts(c.g).values >= c.values && mskp_graph_counts(c.g).params == c.params,
            "values or parameters");
    return c.g;
}

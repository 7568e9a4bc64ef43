/*
 * Each allocation of every call fails in turn: once, and together with all later ones.
 *
 * A call that runs out of memory returns MSKP_ERROR_NO_MEMORY, changes nothing, releases its
 * blocks, and does the same as without a failure when it is called again.
 */
#include "guarded_memory/guarded_memory.h"

#include "by_id/by_id.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Calls of malloc that bypass the caller's allocator, counted where malloc can be replaced
 * ---- */

#if defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANITIZED
#endif
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED
#endif

static volatile size_t mallocs, frees;

#if defined __GLIBC__ && !defined SANITIZED
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void __libc_free(void *memory);

void *malloc(size_t bytes)
{
    mallocs++;
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    mallocs++;
    return __libc_calloc(n, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    mallocs += memory == NULL;
    return __libc_realloc(memory, bytes);
}

void free(void *memory)
{
    frees += memory != NULL;
    __libc_free(memory);
}
#endif

/* ---- A network that uses every call of the description ---- */

/* Every call of the description fails from the first failure on, and not before. */
static void answered(const heap *h, bool good, const char *call)
{
    must(good == !h->fired, "%s %s, allocation %zu %s", call, good ? "went well" : "failed",
         h->fail_at, h->fired ? "has failed" : "has not failed yet");
}

typedef struct describer {
    mskp_graph *graph;
    const heap *heap;
} describer;

static mskp_param param(const describer *d, const char *name, uint32_t ndim, size_t a, size_t b)
{
    const size_t shape[MSKP_MAX_DIMS] = {a, b, 3, 3};
    mskp_param made = mskp_parameter(d->graph, name, ndim, shape);
    answered(d->heap, made.id != 0, name);
    return made;
}

#define MADE(value)  made(d, value, #value)
#define WENT(status) went(d, status, #status)

static mskp_value made(const describer *d, mskp_value value, const char *call)
{
    answered(d->heap, value.id != 0, call);
    return value;
}

static void went(const describer *d, mskp_status status, const char *call)
{
    must(status == (d->heap->fired ? MSKP_ERROR_NO_MEMORY : MSKP_OK), "%s: %d", call, (int)status);
}

enum { WIDTH = 40 };

static mskp_value block(const describer *d, const char *name, mskp_value in, size_t inputs)
{
    char text[6][40];
    static const char *const parts[6] = {"weight", "bias", "gamma", "beta", "mean", "variance"};
    for (int i = 0; i < 6; i++) snprintf(text[i], sizeof text[i], "%s.%s", name, parts[i]);
    mskp_conv_desc conv = {.pad_before = {1, 1}, .pad_after = {1, 1}};
    mskp_norm_desc norm = {.kind = MSKP_NORM_BATCH};
    conv.weight = param(d, text[0], 4, WIDTH, inputs);
    conv.bias = param(d, text[1], 1, WIDTH, 0);
    norm.scale = param(d, text[2], 1, WIDTH, 0);
    norm.shift = param(d, text[3], 1, WIDTH, 0);
    norm.mean = param(d, text[4], 1, WIDTH, 0);
    norm.variance = param(d, text[5], 1, WIDTH, 0);
    mskp_value v = MADE(mskp_conv(d->graph, name, in, &conv));
    v = MADE(mskp_norm(d->graph, NULL, v, &norm));
    return MADE(
        mskp_activation(d->graph, NULL, v, &(mskp_activation_desc){.kind = MSKP_ACTIVATION_RELU}));
}

/* The operators that the others do not use, each once. */
static void describe_others(const describer *d, mskp_value in)
{
    mskp_graph *g = d->graph;
    mskp_value parts[2] = {{0}};
    const mskp_param table = param(d, "entries", 2, 7, WIDTH);
    mskp_conv_desc conv = {.groups = 2,
                           .pad_before = {1, 1},
                           .pad_after = {1, 1},
                           .weight = param(d, "grouped", 4, WIDTH, WIDTH / 2)};
    mskp_value v = MADE(mskp_conv(g, NULL, in, &conv));
    conv = (mskp_conv_desc){.groups = WIDTH,
                            .pad_before = {1, 1},
                            .pad_after = {1, 1},
                            .weight = param(d, "depthwise", 4, WIDTH, 1)};
    v = MADE(mskp_conv_transposed(g, NULL, v, &conv));
    const mskp_norm_desc norm = {.kind = MSKP_NORM_GROUP, .groups = 2, .accept_inexact = 1};
    v = MADE(mskp_norm(g, NULL, v, &norm));
    v = MADE(mskp_prelu(g, NULL, v, param(d, "slope", 1, WIDTH, 0)));
    v = MADE(mskp_channel_shuffle(g, NULL, v, 2, 0));
    WENT(mskp_chunk(g, "halves", v, 2, 1, parts));
    v = MADE(mskp_concat(g, NULL, 2, (mskp_value[]){parts[1], parts[0]}));
    v = MADE(mskp_pixel_unshuffle(g, NULL, v, 2, MSKP_SHUFFLE_BLOCK_MAJOR));
    v = MADE(mskp_pixel_shuffle(g, NULL, v, 2, MSKP_SHUFFLE_CHANNEL_MAJOR));
    v = MADE(mskp_reshape(g, NULL, v, 1, (size_t[]){64}));
    mskp_value learned = MADE(mskp_embedding(g, NULL, table, 1, (size_t[]){64}));
    v = MADE(mskp_combine(g, NULL, MSKP_COMBINE_ADD, 2, (mskp_value[]){v, learned}));
    v = MADE(mskp_concat_spatial(g, NULL, 0, 2, (mskp_value[]){v, v}));
    const mskp_attention_desc attention = {.query = param(d, "qkv", 2, 12, WIDTH),
                                           .output = param(d, "o", 2, WIDTH, 4),
                                           .heads = 2,
                                           .head_dim = 2,
                                           .packed = 1};
    v = MADE(mskp_attention(g, "attention", v, &attention));
    const mskp_recurrent_params lstm = {
        param(d, "ih", 2, 12, WIDTH), param(d, "hh", 2, 12, 3), {0}, {0}};
    v = MADE(mskp_recurrent(g, NULL, v, &(mskp_recurrent_desc){.params = &lstm}));
    WENT(mskp_zero_if(g, v, MSKP_ROLE_FILTER));
    WENT(mskp_attach(g, param(d, "apart", 1, 1, 0), v));
}

static void describe(const describer *d)
{
    mskp_graph *g = d->graph;
    const size_t image[2] = {8, 8}, backwards[3] = {2, 1, 0};
    mskp_value in = MADE(mskp_input(g, "image", 3, 2, image));
    mskp_value a = block(d, "first", in, 3);
    mskp_value b = block(d, "second", a, WIDTH);
    mskp_value c = block(d, "third", b, WIDTH);
    mskp_value sum = MADE(mskp_combine(g, "sum", MSKP_COMBINE_ADD, 2, (mskp_value[]){a, c}));
    mskp_value half = MADE(mskp_slice(g, NULL, b, 0, WIDTH / 2));
    mskp_value wide = MADE(mskp_pad_channels(g, NULL, half, WIDTH / 4, WIDTH / 4));
    sum = MADE(mskp_combine(g, NULL, MSKP_COMBINE_MULTIPLY, 2, (mskp_value[]){sum, wide}));
    mskp_pool_desc pool = {.kind = MSKP_POOL_AVERAGE, .size = {4, 4}};
    sum = MADE(mskp_pool(g, NULL, sum, &pool));
    mskp_value some = MADE(mskp_pick(g, NULL, sum, 3, backwards));
    mskp_value both = MADE(mskp_concat(g, "both", 2, (mskp_value[]){sum, some}));
    mskp_value flat = MADE(mskp_flatten(g, NULL, both, 0));
    mskp_param last = param(d, "last.weight", 2, 10, 4 * (WIDTH + 3));
    mskp_value out = MADE(mskp_linear(g, "last", flat, last, param(d, "last.bias", 1, 10, 0)));
    WENT(mskp_output(g, out));
    /* An operator of the caller's own. */
    mskp_param own = param(d, "own.weight", 2, 6, WIDTH), table = param(d, "table", 2, 6, 5);
    mskp_value x = MADE(mskp_fresh(g, "own", 6, 0, NULL)),
               y = MADE(mskp_fresh(g, NULL, 6, 0, NULL));
    mskp_value z = MADE(mskp_fresh(g, "pinned", 5, 1, (size_t[]){7}));
    WENT(mskp_bind(g, own, 0, MSKP_ROLE_FILTER, x));
    WENT(mskp_bind(g, own, 1, MSKP_ROLE_CONSUMER, a));
    WENT(mskp_add_macs(g, x, own, 17));
    WENT(mskp_tie(g, x, y));
    WENT(mskp_bind(g, table, 0, MSKP_ROLE_CONSUMER, y));
    WENT(mskp_bind(g, table, 1, MSKP_ROLE_OTHER, z));
    WENT(mskp_pin(g, z));
    describe_others(d, c);
    mskp_value unknown = MADE(
        mskp_opaque(g, "unknown",
                    &(mskp_opaque_desc){"yolo", 2, (mskp_value[]){some, y}, 4, 1, (size_t[]){9}}));
    MADE(mskp_opaque(g, NULL, &(mskp_opaque_desc){"sink", 1, &unknown, 1, 0, NULL}));
}

/* So many names that every table must grow. */
static void describe_many(const describer *d)
{
    describe(d);
    for (int i = 0; i < 150; i++) {
        char name[20];
        snprintf(name, sizeof name, "extra%d", i);
        mskp_value v = MADE(mskp_fresh(d->graph, i % 2 ? name : NULL, 1, 0, NULL));
        WENT(mskp_bind(d->graph, param(d, name, 1, 1, 0), 0, MSKP_ROLE_OTHER, v));
    }
}

/* After a failure: the heap is sound, and as many blocks live as before. */
static void must_be_sound(const heap *h, size_t live)
{
    must(h->bad == NULL, "allocation %zu: the library %s", h->fail_at, h->bad);
    must(h->live == live, "allocation %zu: %zu blocks instead of %zu", h->fail_at, h->live, live);
}

static uint64_t reference(void)
{
    heap h = {0};
    mskp_services services = heap_services(&h);
    mskp_error err = {.text = ""};
    describer d = {mskp_graph_create(&services), &h};
    must(d.graph != NULL, "no graph");
    describe_many(&d);
    must(mskp_graph_finish(d.graph, &err) == MSKP_OK, "%s", err.text);
    uint64_t hash = graph_fingerprint(d.graph);
    mskp_graph_destroy(d.graph);
    must_be_sound(&h, 0);
    return hash;
}

static void must_be_out_of_memory(mskp_status status, const mskp_error *err, const heap *h)
{
    must(status == MSKP_ERROR_NO_MEMORY, "allocation %zu failed, but: %d (%s)", h->fail_at,
         (int)status, err->text);
    must(err->status == MSKP_ERROR_NO_MEMORY && err->text[0] != 0, "%d: no sentence",
         (int)err->status);
}

START_TEST(describing)
{
    const uint64_t whole = reference();
    size_t in_create = 0, in_describe = 0, in_finish = 0;
    for (int for_good = 0; for_good < 2; for_good++) {
        bool fired = true;
        for (size_t n = 1; fired; n++) {
            heap h = {.fail_at = n, .for_good = for_good};
            mskp_services services = heap_services(&h);
            describer d = {mskp_graph_create(&services), &h};
            must((d.graph == NULL) == h.fired, "create, allocation %zu", n);
            fired = h.fired;
            if (d.graph == NULL) {
                must_be_sound(&h, 0);
                in_create++;
                continue;
            }
            memset(&services, 0xee, sizeof services); /* it was copied */
            describe_many(&d);
            mskp_error err = {.status = MSKP_OK, .text = ""};
            fired = h.fired;
            if (h.fired) {
                /* The first error sticks, even when there is memory again. */
                for (int again = 0; again < 2; again++) {
                    mskp_status status = mskp_graph_finish(d.graph, &err);
                    must_be_out_of_memory(status, &err, &h);
                    h.for_good = false;
                }
                in_describe++;
            } else {
                mskp_status status = mskp_graph_finish(d.graph, &err);
                if (h.fired) {
                    size_t live = h.live;
                    must_be_out_of_memory(status, &err, &h);
                    mskp_counts count = mskp_graph_counts(d.graph);
                    must(count.units + count.families + count.params + count.values == 0,
                         "counts are not 0 before finish");
                    if (for_good) /* out of memory again, and nothing is lost on the way */
                        must_be_out_of_memory(mskp_graph_finish(d.graph, &err), &err, &h);
                    must_be_sound(&h, live);
                    h.fail_at = 0;
                    status = mskp_graph_finish(d.graph, &err);
                    in_finish++;
                }
                must(status == MSKP_OK, "%d: %s", (int)status, err.text);
                fired = h.fired;
                h.fail_at = 0;
                must(graph_fingerprint(d.graph) == whole, "allocation %zu: another graph", n);
            }
            mskp_graph_destroy(d.graph);
            must_be_sound(&h, 0);
        }
    }
    printf("failed allocations: %zu in create, %zu while describing, %zu in finish\n", in_create,
           in_describe, in_finish);
    must(in_create && in_describe && in_finish, "a phase was not reached");
}
END_TEST

/* A call with a wrong argument that also runs out of memory: one of the errors is kept. */
START_TEST(no_channels_and_no_memory)
{
    heap h = {0};
    mskp_services services = heap_services(&h);
    mskp_error err = {.text = ""};
    mskp_graph *graph = mskp_graph_create(&services);
    h.fail_at = h.calls + 1;
    must(mskp_fresh(graph, "none", 0, 0, NULL).id == 0 && h.fired, "0 channels");
    must_be_out_of_memory(mskp_graph_finish(graph, &err), &err, &h);
    mskp_graph_destroy(graph);
    must_be_sound(&h, 0);
}
END_TEST

/* ---- Each operator, at each filling of the graph's arrays ---- */

/* The arrays grow by doubling. So that each allocation of an operator falls on each of its steps,
 * the graph holds more and more before it. Its parameters are bound already: to bind is to tie. */
typedef struct recipe {
    mskp_graph *graph;
    mskp_value x, y;        /* 4 channels, 2 x 2 */
    mskp_value flat, other; /* 4 channels, no axes */
    const char *name;
    mskp_param made[16];
    size_t next;
} recipe;

/* The same parameters in the second call as in the first. */
static mskp_param again(recipe *r, uint32_t ndim, size_t a, size_t b)
{
    mskp_param *p = &r->made[r->next++];
    const size_t shape[MSKP_MAX_DIMS] = {a, b, 1, 1};
    char name[20];
    snprintf(name, sizeof name, "p%zu", r->next);
    if (!p->id) *p = mskp_parameter(r->graph, name, ndim, shape);
    return *p;
}

/* Inputs of operators that bind a parameter to them: another one in the second call. */
static mskp_value spatial(const recipe *r)
{
    return r->name[0] == 'a' ? r->x : r->y;
}

static mskp_value channels(const recipe *r)
{
    return r->name[0] == 'a' ? r->flat : r->other;
}

static const size_t two[2] = {2, 2};

/* Each makes a value, by a variant that the table below names. */
typedef mskp_value make_value(recipe *r, int variant);

static mskp_value make_input(recipe *r, int variant)
{
    (void)variant;
    return mskp_input(r->graph, r->name, 2, 2, two);
}

enum { PLAIN, TIED, WHOLE };

static mskp_conv_desc conv_of(recipe *r, int variant)
{
    mskp_conv_desc conv = {.groups = variant == PLAIN ? 1 : 2,
                           .grouping = variant == WHOLE ? MSKP_GROUPING_WHOLE : MSKP_GROUPING_TIED};
    conv.weight = again(r, 4, 4, 4 / conv.groups);
    conv.bias = again(r, 1, 4, 0);
    return conv;
}

static mskp_value make_conv(recipe *r, int variant)
{
    const mskp_conv_desc conv = conv_of(r, variant);
    return mskp_conv(r->graph, r->name, r->x, &conv);
}

static mskp_value make_conv_transposed(recipe *r, int variant)
{
    const mskp_conv_desc conv = conv_of(r, variant);
    return mskp_conv_transposed(r->graph, r->name, r->x, &conv);
}

static mskp_value make_linear(recipe *r, int variant)
{
    (void)variant;
    const mskp_param weight = again(r, 2, 4, 4);
    return mskp_linear(r->graph, r->name, channels(r), weight, again(r, 1, 4, 0));
}

static mskp_value make_embedding(recipe *r, int variant)
{
    (void)variant;
    return mskp_embedding(r->graph, r->name, again(r, 2, 7, 4), 2, two);
}

static mskp_value make_operand(recipe *r, int variant)
{
    (void)variant;
    return mskp_param_operand(r->graph, r->name, again(r, 2, 4, 3), 0, MSKP_ROLE_FILTER, 2, two);
}

enum { BATCH, GROUPS_TIED, GROUPS_WHOLE, LAYER };

static mskp_value make_norm(recipe *r, int variant)
{
    static const mskp_norm_desc descs[] = {
        [BATCH] = {.kind = MSKP_NORM_BATCH, .grouping = MSKP_GROUPING_TIED, .accept_inexact = 1},
        [GROUPS_TIED] = {.kind = MSKP_NORM_GROUP,
                         .groups = 2,
                         .grouping = MSKP_GROUPING_TIED,
                         .accept_inexact = 1},
        [GROUPS_WHOLE] = {.kind = MSKP_NORM_GROUP,
                          .groups = 2,
                          .grouping = MSKP_GROUPING_WHOLE,
                          .accept_inexact = 1},
        [LAYER] = {.kind = MSKP_NORM_LAYER, .grouping = MSKP_GROUPING_TIED},
    };
    mskp_norm_desc norm = descs[variant];
    norm.scale = again(r, 1, 4, 0);
    norm.shift = again(r, 1, 4, 0);
    if (variant == BATCH) norm.mean = again(r, 1, 4, 0), norm.variance = again(r, 1, 4, 0);
    return mskp_norm(r->graph, r->name, spatial(r), &norm);
}

static mskp_value make_prelu(recipe *r, int slopes)
{
    return mskp_prelu(r->graph, r->name, spatial(r), again(r, 1, (size_t)slopes, 0));
}

static mskp_value make_activation(recipe *r, int variant)
{
    (void)variant;
    return mskp_activation(r->graph, r->name, r->x, NULL);
}

static mskp_value make_pool(recipe *r, int variant)
{
    (void)variant;
    return mskp_pool(r->graph, r->name, r->x, &(mskp_pool_desc){.size = {2, 2}});
}

static mskp_value make_slice(recipe *r, int variant)
{
    (void)variant;
    return mskp_slice(r->graph, r->name, r->x, 1, 2);
}

/* All parts are made, or none. */
static mskp_value make_chunk(recipe *r, int variant)
{
    (void)variant;
    mskp_value part[4];
    const mskp_status status = mskp_chunk(r->graph, r->name, r->x, 4, 0, part);
    for (int i = 0; i < 4; i++)
        must(!part[i].id == (status != MSKP_OK), "part %d of a chunk: status %d", i, (int)status);
    return part[0];
}

static mskp_value make_pad(recipe *r, int variant)
{
    (void)variant;
    return mskp_pad_channels(r->graph, r->name, r->x, 3, 2);
}

static mskp_value make_flatten(recipe *r, int variant)
{
    (void)variant;
    return mskp_flatten(r->graph, r->name, r->x, 0);
}

static mskp_value make_unflatten(recipe *r, int channels_last)
{
    return mskp_unflatten(r->graph, r->name, r->flat, 1, two, (uint32_t)channels_last);
}

static mskp_value make_reshape(recipe *r, int variant)
{
    (void)variant;
    return mskp_reshape(r->graph, r->name, r->x, 1, (size_t[]){4});
}

static mskp_value make_channel_shuffle(recipe *r, int variant)
{
    (void)variant;
    return mskp_channel_shuffle(r->graph, r->name, r->x, 2, 0);
}

static mskp_value make_pixel_shuffle(recipe *r, int variant)
{
    (void)variant;
    return mskp_pixel_shuffle(r->graph, r->name, r->x, 2, MSKP_SHUFFLE_CHANNEL_MAJOR);
}

static mskp_value make_pixel_unshuffle(recipe *r, int variant)
{
    (void)variant;
    return mskp_pixel_unshuffle(r->graph, r->name, r->x, 2, MSKP_SHUFFLE_BLOCK_MAJOR);
}

enum { HEADS_FROM_MEMORY, DIMS, PACKED };

static mskp_value make_attention(recipe *r, int variant)
{
    mskp_attention_desc attention = {.heads = 2, .head_dim = 2, .packed = variant == PACKED};
    if (variant == HEADS_FROM_MEMORY) {
        attention.query_bias = again(r, 1, 4, 0);
        attention.key_bias = again(r, 1, 4, 0);
        attention.value_bias = again(r, 1, 4, 0);
        attention.output_bias = again(r, 1, 4, 0);
        attention.memory = r->y;
    }
    if (variant == DIMS) attention.units = MSKP_ATTENTION_DIMS;
    attention.query = again(r, 2, variant == PACKED ? 12 : 4, 4);
    if (variant != PACKED) attention.key = again(r, 2, 4, 4), attention.value = again(r, 2, 4, 4);
    attention.output = again(r, 2, 4, 4);
    return mskp_attention(r->graph, r->name, r->x, &attention);
}

enum { TWO_LAYERS, BOTH_DIRECTIONS };

static mskp_value make_recurrent(recipe *r, int variant)
{
    mskp_recurrent_params rnn[2];
    const mskp_recurrent_desc recurrent = {.kind = MSKP_RECURRENT_RNN,
                                           .params = rnn,
                                           .state_given = variant == TWO_LAYERS,
                                           .bidirectional = variant == BOTH_DIRECTIONS,
                                           .layers = variant == BOTH_DIRECTIONS ? 1 : 2};
    for (int i = 0; i < 2; i++) {
        rnn[i].input = again(r, 2, 4, 4);
        rnn[i].hidden = again(r, 2, 4, 4);
        rnn[i].input_bias = again(r, 1, 4, 0);
        rnn[i].hidden_bias = again(r, 1, 4, 0);
    }
    return mskp_recurrent(r->graph, r->name, r->x, &recurrent);
}

static mskp_value make_pick(recipe *r, int variant)
{
    (void)variant;
    return mskp_pick(r->graph, r->name, r->x, 2, (size_t[]){3, 1});
}

enum { ADDITION, CONCATENATION, SPATIAL_CONCATENATION, OPAQUE };

static mskp_value make_from_both(recipe *r, int variant)
{
    const mskp_value both[2] = {r->x, r->y};
    switch (variant) {
    case ADDITION:
        return mskp_combine(r->graph, r->name, MSKP_COMBINE_ADD, 2, both);
    case CONCATENATION:
        return mskp_concat(r->graph, r->name, 2, both);
    case SPATIAL_CONCATENATION:
        return mskp_concat_spatial(r->graph, r->name, 1, 2, both);
    default:
        return mskp_opaque(r->graph, r->name, &(mskp_opaque_desc){"odd", 2, both, 2, 0, NULL});
    }
}

enum { OUTPUT, TIE, BIND };

/* Calls that make no value return x if they went well. */
static mskp_value declare(recipe *r, int variant)
{
    const mskp_status status =
        variant == OUTPUT ? mskp_output(r->graph, r->x)
        : variant == TIE  ? mskp_tie(r->graph, r->x, r->y)
                          : mskp_bind(r->graph, again(r, 2, 3, 4), 1, MSKP_ROLE_OTHER, spatial(r));
    return status ? (mskp_value){0} : r->x;
}

static const struct {
    const char *name;
    make_value *make;
    int variant;
    bool in_finish; /* an axis has a list that no value has, so that finish allocates, too */
} operators[] = {
    {"input", make_input, 0, false},
    {"output", declare, OUTPUT, false},
    {"conv", make_conv, PLAIN, true},
    {"conv, tied groups", make_conv, TIED, true},
    {"conv, whole groups", make_conv, WHOLE, true},
    {"transposed", make_conv_transposed, PLAIN, true},
    {"transposed, tied groups", make_conv_transposed, TIED, true},
    {"transposed, whole groups", make_conv_transposed, WHOLE, true},
    {"linear", make_linear, 0, false},
    {"embedding", make_embedding, 0, false},
    {"operand", make_operand, 0, false},
    {"batch norm", make_norm, BATCH, false},
    {"group norm, tied", make_norm, GROUPS_TIED, false},
    {"group norm, whole", make_norm, GROUPS_WHOLE, false},
    {"layer norm", make_norm, LAYER, false},
    {"prelu, slopes", make_prelu, 4, false},
    {"prelu, one slope", make_prelu, 1, false},
    {"activation", make_activation, 0, false},
    {"pool", make_pool, 0, false},
    {"addition", make_from_both, ADDITION, false},
    {"slice", make_slice, 0, false},
    {"chunk", make_chunk, 0, false},
    {"pad", make_pad, 0, false},
    {"flatten", make_flatten, 0, false},
    {"unflatten", make_unflatten, 0, false},
    {"unflatten, channels last", make_unflatten, 1, false},
    {"reshape", make_reshape, 0, false},
    {"channel shuffle", make_channel_shuffle, 0, false},
    {"pixel shuffle", make_pixel_shuffle, 0, false},
    {"pixel unshuffle", make_pixel_unshuffle, 0, false},
    {"spatial concatenation", make_from_both, SPATIAL_CONCATENATION, false},
    {"attention, heads", make_attention, HEADS_FROM_MEMORY, false},
    {"attention, dims", make_attention, DIMS, false},
    {"attention, packed", make_attention, PACKED, false},
    {"recurrent, two layers", make_recurrent, TWO_LAYERS, false},
    {"recurrent, both directions", make_recurrent, BOTH_DIRECTIONS, false},
    {"opaque", make_from_both, OPAQUE, false},
    {"pick", make_pick, 0, false},
    {"concatenation", make_from_both, CONCATENATION, false},
    {"tie", declare, TIE, false},
    {"bind", declare, BIND, false},
};
enum { OPERATORS = sizeof operators / sizeof *operators, FILLINGS = 36 };

/* Returns whether the call went well. */
static bool operate(recipe *r, int which)
{
    r->next = 0;
    return operators[which].make(r, operators[which].variant).id != 0;
}

static recipe begin(heap *h, size_t filling, int which)
{
    const mskp_services services = heap_services(h);
    recipe r = {.graph = mskp_graph_create(&services), .name = "a"};
    r.x = mskp_input(r.graph, "x", 4, 2, two);
    r.y = mskp_fresh(r.graph, "y", 4, 2, two);
    r.flat = mskp_fresh(r.graph, "flat", 4, 0, NULL);
    r.other = mskp_fresh(r.graph, "other", 4, 0, NULL);
    const mskp_value one = mskp_fresh(r.graph, "one", 1, 0, NULL);
    must(operate(&r, which), "%s", operators[which].name);
    for (size_t i = 0; i < filling; i++) {
        mskp_pin(r.graph, r.flat);
        mskp_add_macs(r.graph, one, (mskp_param){0}, 1);
        must(mskp_pad_channels(r.graph, NULL, one, 0, 1).id != 0, "filling");
    }
    r.name = "b";
    return r;
}

START_TEST(every_operator_at_every_filling)
{
    size_t in_operators = 0, in_finish = 0, least[OPERATORS] = {0};
    for (int which = 0; which < OPERATORS; which++)
        for (size_t filling = 0; filling < FILLINGS; filling++) {
            bool fired = true;
            for (size_t n = 1; fired; n++) {
                heap h = {0};
                mskp_error err = {.text = ""};
                recipe r = begin(&h, filling, which);
                h.calls = 0;
                h.fail_at = n;
                const bool good = operate(&r, which);
                fired = h.fired;
                must(good == !fired, "%s, filling %zu, allocation %zu %s, but it %s",
                     operators[which].name, filling, n, fired ? "failed" : "went well",
                     good ? "went well" : "failed");
                if (fired) {
                    in_operators++;
                    least[which]++;
                    must_be_out_of_memory(mskp_graph_finish(r.graph, &err), &err, &h);
                } else {
                    if (!operators[which].in_finish) h.fail_at = 0;
                    const mskp_status status = mskp_graph_finish(r.graph, &err);
                    fired = h.fired;
                    if (fired) {
                        in_finish++;
                        must_be_out_of_memory(status, &err, &h);
                        h.fail_at = 0;
                        must(mskp_graph_finish(r.graph, &err) == MSKP_OK, "%s", err.text);
                    } else {
                        must(status == MSKP_OK, "%s: %s", operators[which].name, err.text);
                    }
                }
                mskp_graph_destroy(r.graph);
                must_be_sound(&h, 0);
            }
        }
    for (int which = 0; which < OPERATORS; which++)
        must(least[which] > 0, "%s never ran out of memory", operators[which].name);
    printf("failed allocations: %zu in operators, %zu in finish\n", in_operators, in_finish);
}
END_TEST

/* ---- Calls on a finished graph ---- */

enum { MOST_UNITS = 256, MOST_PARAMS = 32, POOL_BYTES = 1 << 20 };

/* All that a call may write lies in `out`, and is compared as a whole. */
typedef struct stage {
    heap heap;
    mskp_services services;
    mskp_graph *graph;
    mskp_plan *plan;
    mskp_graph *small;
    size_t units, params, values;
    double scores[MOST_UNITS], numbers[WIDTH];
    uint8_t keep[MOST_UNITS];
    const unsigned char *content; /* what out.pool starts with */
    char mask[1 << 14];           /* keep as text */
    size_t mask_length;
    double budget;             /* of MACs */
    mskp_constants *constants; /* of the values in `content` and of keep */
    mskp_plan *constants_plan; /* of `constants` */
    struct {
        double scores[MOST_UNITS], value, table[2 * MOST_UNITS];
        uint32_t streak[MOST_UNITS];
        mskp_family_rule families[MOST_UNITS];
        uint8_t keep[MOST_UNITS], carriers[MOST_UNITS], kept[MOST_UNITS];
        mskp_constants *constants;
        mskp_selection selection;
        mskp_cost total, per_value[64];
        mskp_coupling info;
        mskp_gauge gauge;
        mskp_plan *plan;
        mskp_graph *small;
        mskp_tensor values[MOST_PARAMS], gradients[MOST_PARAMS], to[MOST_PARAMS];
        size_t used, length;
        unsigned char pool[POOL_BYTES];
    } out;
} stage;

/* A set in the pool: packed, or every other element. */
static void make_set(stage *s, mskp_tensor *set, const mskp_graph *graph, ptrdiff_t step)
{
    memset(set, 0, MOST_PARAMS * sizeof *set);
    for (uint32_t p = 1; p <= s->params; p++) {
        mskp_tensor *t = &set[p];
        t->ndim = mskp_param_shape(graph, (mskp_param){p}, t->shape);
        ptrdiff_t stride = step;
        for (uint32_t a = t->ndim; a-- > 0;) {
            t->stride[a] = stride;
            stride *= (ptrdiff_t)t->shape[a];
        }
        t->data = s->out.pool + s->out.used;
        s->out.used += (size_t)stride * sizeof(float);
        must(s->out.used <= POOL_BYTES, "the pool is too small");
    }
}

static void fill_stage(stage *s)
{
    memset(&s->out, 0x5a, sizeof s->out);
    s->out.used = 0;
    memcpy(s->out.pool, s->content, POOL_BYTES);
    make_set(s, s->out.values, s->graph, 1);
    make_set(s, s->out.gradients, s->graph, 2);
    make_set(s, s->out.to, s->small, 1);
    mskp_plan_destroy(s->constants_plan); /* a plan whose constants were not applied yet */
    s->constants_plan = NULL;
    if (!s->constants) return;
    must(mskp_constants_plan(s->constants, &s->constants_plan, NULL, NULL) == MSKP_OK, "no plan");
}

typedef mskp_status call(stage *s, mskp_error *err);

static mskp_status call_score(stage *s, mskp_error *err)
{
    return mskp_score(s->graph, NULL, set_by_id(mskp_graph_counts(s->graph).params, s->out.values),
                      scores_of(s->units, s->out.scores), err);
}

static mskp_status call_score_joint(stage *s, mskp_error *err)
{
    const mskp_scoring scoring = {
        .magnitude = MSKP_MAGNITUDE_L2, .reduce = MSKP_REDUCE_JOINT, .roles = MSKP_ROLES_UNIT};
    return mskp_score(s->graph, &scoring,
                      set_by_id(mskp_graph_counts(s->graph).params, s->out.gradients),
                      scores_of(s->units, s->out.scores), err);
}

static mskp_status call_score_vote(stage *s, mskp_error *err)
{
    const mskp_scoring scoring = {.reduce = MSKP_REDUCE_VOTE, .vote_threshold = 0.3};
    return mskp_score(s->graph, &scoring,
                      set_by_id(mskp_graph_counts(s->graph).params, s->out.values),
                      scores_of(s->units, s->out.scores), err);
}

static mskp_status call_score_taylor(stage *s, mskp_error *err)
{
    const mskp_tensors values = set_by_id(mskp_graph_counts(s->graph).params, s->out.values);
    return mskp_score_taylor(s->graph, MSKP_TAYLOR_SQUARED_SUM, MSKP_ROLES_UNIT, values, values,
                             scores_of(s->units, s->out.scores), err);
}

/* The pattern that fills the scores is a number above 0. */
static mskp_status call_score_normalize(stage *s, mskp_error *err)
{
    return mskp_score_normalize(s->graph, MSKP_NORMALIZER_LAMP, 0,
                                scores_of(s->units, s->out.scores), err);
}

static mskp_status call_score_normalize_by_cost(stage *s, mskp_error *err)
{
    return mskp_score_normalize(s->graph, MSKP_NORMALIZER_PARAMS, 0,
                                scores_of(s->units, s->out.scores), err);
}

static mskp_status call_channel_stats(stage *s, mskp_error *err)
{
    const mskp_tensor batch = {
        .data = s->numbers, .dtype = MSKP_DTYPE_F64, .ndim = 2, .shape = {1, WIDTH}};
    mskp_channel_stats stats[WIDTH] = {{0}};
    return mskp_channel_stats_add(&s->services, &batch, 1, WIDTH, stats, err);
}

static mskp_status call_score_random(stage *s, mskp_error *err)
{
    return mskp_score_random(s->graph, 7, scores_of(s->units, s->out.scores), err);
}

static mskp_status call_weights(stage *s, mskp_error *err)
{
    const mskp_weighting adaptive = {.kind = MSKP_WEIGHTING_ADAPTIVE, .parameter = 4};
    const mskp_penalty l2 = {.kind = MSKP_PENALTY_L2};
    return mskp_unit_weights(s->graph, mask_of(s->units, s->keep), &l2, &adaptive,
                             scores_of(s->units, s->out.scores), scores_of(s->units, s->out.scores),
                             err);
}

static mskp_status call_weights_by_costs(stage *s, mskp_error *err)
{
    const mskp_weighting macs = {.kind = MSKP_WEIGHTING_MACS};
    return mskp_unit_weights(s->graph, mask_of(s->units, s->keep), NULL, &macs, (mskp_scores){0},
                             scores_of(s->units, s->out.scores), err);
}

static mskp_status call_score_channels(stage *s, mskp_error *err)
{
    const mskp_channel_scores given[2] = {{mskp_value_find(s->graph, "sum"), WIDTH, s->numbers},
                                          {mskp_value_find(s->graph, "second"), WIDTH, s->numbers}};
    return mskp_score_channels(s->graph, 2, given, MSKP_REDUCE_PRODUCT,
                               scores_of(s->units, s->out.scores), err);
}

static mskp_status call_measure(stage *s, mskp_error *err)
{
    return mskp_measure(s->graph, mask_of(s->units, s->keep), &s->out.total, s->out.per_value + 1,
                        err);
}

static mskp_status call_select(stage *s, mskp_error *err)
{
    const mskp_rule rule = {.remove_fraction = 0.1,
                            .remove_family_fraction = 0.1,
                            .min_channels = 2,
                            .round_to = 4,
                            .max_family_fraction = 0.9,
                            .locked = mask_of(s->units, s->keep)};
    return mskp_select(s->graph, scores_of(s->units, s->scores), &rule,
                       mask_of(s->units, s->out.keep), &s->out.selection, err);
}

static mskp_status call_select_budget(stage *s, mskp_error *err)
{
    mskp_cost all = {0, 0};
    mskp_status status = mskp_measure(s->graph, (mskp_mask){0}, &all, NULL, err);
    const mskp_rule rule = {.max_macs = 0.6 * all.macs};
    return status ? status
                  : mskp_select(s->graph, scores_of(s->units, s->scores), &rule,
                                mask_of(s->units, s->out.keep), NULL, err);
}

/* The sum of all widths. */
static double sum_of_widths(void *context, const mskp_graph *graph, const size_t *channels)
{
    double sum = 0;
    (void)context;
    for (size_t v = 0; v < mskp_graph_counts(graph).values; v++) sum += (double)channels[v];
    return sum;
}

static const mskp_budget ACTIVATIONS = {.kind = MSKP_BUDGET_ACTIVATIONS, .limit = 1e9};
static const mskp_budget WIDTHS = {
    .kind = MSKP_BUDGET_CALLBACK, .limit = 1e9, .cost = sum_of_widths};

/* Every kind of budget, and rules of families. */
static mskp_status call_select_rules(stage *s, mskp_error *err)
{
    const size_t widths[2] = {1, WIDTH};
    const mskp_layer_cost layer = {.out = mskp_value_find(s->graph, "second"),
                                   .nout = 2,
                                   .widths_out = widths,
                                   .cost = (double[]){1, 3}};
    const mskp_budget budgets[4] = {
        {.limit = 1e9},
        ACTIVATIONS,
        {.kind = MSKP_BUDGET_TABLE, .limit = 2.5, .nlayers = 1, .layers = &layer},
        WIDTHS};
    mskp_family_rule families[MOST_UNITS] = {{.max_fraction = 0.5}};
    const mskp_rule rule = {.nbudgets = 4,
                            .budgets = budgets,
                            .nfamilies = mskp_graph_counts(s->graph).families,
                            .families = families};
    return mskp_select(s->graph, scores_of(s->units, s->scores), &rule,
                       mask_of(s->units, s->out.keep), &s->out.selection, err);
}

static mskp_status call_budget_activations(stage *s, mskp_error *err)
{
    return mskp_budget_measure(s->graph, mask_of(s->units, s->keep), &ACTIVATIONS, &s->out.value,
                               err);
}

static mskp_status call_budget_callback(stage *s, mskp_error *err)
{
    return mskp_budget_measure(s->graph, mask_of(s->units, s->keep), &WIDTHS, &s->out.value, err);
}

static mskp_status call_score_per_budget(stage *s, mskp_error *err)
{
    return mskp_score_per_budget(s->graph, &WIDTHS, 2, scores_of(s->units, s->out.scores), err);
}

static mskp_status call_mask_match(stage *s, mskp_error *err)
{
    const char *const patterns[2] = {"sec*", "?umm"};
    const mskp_status status =
        mskp_mask_match(s->graph, 1, patterns, 0, mask_of(s->units, s->out.keep), err);
    must(mskp_mask_match(s->graph, 2, patterns, 0, mask_of(s->units, s->out.keep), NULL) ==
             MSKP_ERROR_BAD_NAME,
         "a pattern without a name");
    return status;
}

static mskp_status call_family_rules_set(stage *s, mskp_error *err)
{
    return mskp_family_rules_set(s->graph, mask_of(s->units, s->keep),
                                 &(mskp_family_rule){.max_fraction = 0.5, .round_to = 4},
                                 mskp_graph_counts(s->graph).families, s->out.families, err);
}

static mskp_status call_mask_vote(stage *s, mskp_error *err)
{
    const mskp_mask masks[2] = {mask_of(s->units, s->keep), mask_of(s->units, s->out.kept)};
    return mskp_mask_vote(s->graph, 2, masks, 1, mask_of(s->units, s->out.keep), err);
}

static mskp_status call_mask_hysteresis(stage *s, mskp_error *err)
{
    return mskp_mask_hysteresis(s->graph, mask_of(s->units, s->keep), 3, s->units, s->out.streak,
                                mask_of(s->units, s->out.keep), err);
}

static double count_of_flags(void *context, mskp_mask keep, size_t family, double fraction)
{
    double sum = 0;
    (void)context, (void)family, (void)fraction;
    for (size_t u = 0; u < keep.n; u++) sum += keep.unit[u];
    return sum;
}

static mskp_sensitivity_desc scan_of(void)
{
    static const double halves[2] = {0, 0.5};
    return (mskp_sensitivity_desc){2, halves, count_of_flags, NULL, NULL};
}

static mskp_status call_sensitivity(stage *s, mskp_error *err)
{
    const mskp_sensitivity_desc desc = scan_of();
    return mskp_sensitivity(s->graph, scores_of(s->units, s->scores), &desc,
                            2 * mskp_graph_counts(s->graph).families, s->out.table, err);
}

static mskp_status call_sensitivity_caps(stage *s, mskp_error *err)
{
    const mskp_sensitivity_desc desc = scan_of();
    return mskp_sensitivity_caps(s->graph, &desc, s->scores, 0.5,
                                 mskp_graph_counts(s->graph).families, s->out.families, err);
}

static mskp_status call_info(stage *s, mskp_error *err)
{
    return mskp_value_coupling(s->graph, mskp_value_find(s->graph, "sum"), &s->out.info, err);
}

/* Texts go where no tensor lies. */
static mskp_status call_mask_write(stage *s, mskp_error *err)
{
    return mskp_mask_write(s->graph, mask_of(s->units, s->keep), POOL_BYTES - s->out.used,
                           (char *)s->out.pool + s->out.used, &s->out.length, err);
}

static mskp_status call_mask_read(stage *s, mskp_error *err)
{
    return mskp_mask_read(s->graph, s->mask_length, s->mask, mask_of(s->units, s->out.keep), err);
}

static mskp_status call_mask_compose(stage *s, mskp_error *err)
{
    return mskp_mask_compose(s->graph, mask_of(s->units, s->keep),
                             mask_of(mskp_graph_counts(s->small).units, s->keep),
                             mask_of(s->units, s->out.keep), err);
}

static mskp_status call_report(stage *s, mskp_error *err)
{
    const mskp_report_options report = {.scores = scores_of(s->units, s->scores)};
    return mskp_report_json(s->graph, mask_of(s->units, s->keep), &report, POOL_BYTES - s->out.used,
                            (char *)s->out.pool + s->out.used, &s->out.length, err);
}

static mskp_status call_plan(stage *s, mskp_error *err)
{
    return mskp_plan_create(s->graph, mask_of(s->units, s->keep), &s->out.plan, NULL, err);
}

static mskp_status call_plan_small(stage *s, mskp_error *err)
{
    return mskp_plan_create(s->graph, mask_of(s->units, s->keep), &s->out.plan, &s->out.small, err);
}

static mskp_status call_views(stage *s, mskp_error *err)
{
    return mskp_plan_views(s->plan, set_by_id(s->params, s->out.gradients),
                           set_by_id(s->params, s->out.to), err);
}

static mskp_status call_cut_in_place(stage *s, mskp_error *err)
{
    const move_by_id moves[2] = {{s->out.values, NULL}, {s->out.gradients, NULL}};
    return cut_by_id(s->plan, s->params, 2, moves, err);
}

static mskp_status call_cut_elsewhere(stage *s, mskp_error *err)
{
    const move_by_id moves[2] = {{s->out.values, s->out.to}, {s->out.gradients, NULL}};
    return cut_by_id(s->plan, s->params, 2, moves, err);
}

/* Two sets, each in the gaps of the other. */
static mskp_status call_cut_interleaved(stage *s, mskp_error *err)
{
    mskp_tensor even[MOST_PARAMS], odd[MOST_PARAMS];
    memcpy(even, s->out.gradients, sizeof even);
    memcpy(odd, s->out.gradients, sizeof odd);
    for (uint32_t p = 1; p <= s->params; p++) odd[p].data = (float *)odd[p].data + 1;
    const move_by_id moves[2] = {{even, NULL}, {odd, NULL}};
    return cut_by_id(s->plan, s->params, 2, moves, err);
}

/* Into every other element, and those between. */
static mskp_status call_restore(stage *s, mskp_error *err)
{
    mskp_tensor odd[MOST_PARAMS];
    memcpy(odd, s->out.gradients, sizeof odd);
    for (uint32_t p = 1; p <= s->params; p++) odd[p].data = (float *)odd[p].data + 1;
    const move_by_id moves[2] = {{s->out.to, s->out.gradients}, {s->out.to, odd}};
    return restore_by_id(s->plan, s->params, 2, moves, err);
}

/* Interleaved, so that the check of overlaps has to look at elements. */
static mskp_status call_take(stage *s, mskp_error *err)
{
    const uint32_t index[4] = {3, 1, 1, 0};
    float *pool = (float *)(void *)s->out.pool;
    const mskp_tensor from = {.data = pool, .ndim = 2, .shape = {4, 500}, .stride = {2, 8}};
    const mskp_tensor to = {.data = pool + 1, .ndim = 2, .shape = {4, 500}, .stride = {2, 8}};
    return mskp_gather(&s->services, &from, 0, 4, index, &to, err);
}

static mskp_status call_gradient(stage *s, mskp_error *err)
{
    const mskp_penalty penalty = {
        .kind = MSKP_PENALTY_SMOOTH_L1, .roles = MSKP_ROLES_UNIT, .knee = 0.1};
    mskp_status status =
        mskp_penalty_gradient(s->graph, mask_of(s->units, s->keep), NULL, 1e-3,
                              set_by_id(mskp_graph_counts(s->graph).params, s->out.values),
                              set_by_id(mskp_graph_counts(s->graph).params, s->out.gradients), err);
    return status ? status
                  : mskp_penalty_gradient(
                        s->graph, mask_of(s->units, s->keep), &penalty, -2,
                        set_by_id(mskp_graph_counts(s->graph).params, s->out.values),
                        set_by_id(mskp_graph_counts(s->graph).params, s->out.gradients), err);
}

static mskp_status call_fade(stage *s, mskp_error *err)
{
    return mskp_penalty_fade(s->graph, mask_of(s->units, s->keep), NULL, 0.5,
                             set_by_id(mskp_graph_counts(s->graph).params, s->out.gradients), err);
}

/* Makes the object, and uses it: the calls of a step allocate nothing. */
static mskp_status call_prepared(stage *s, mskp_error *err)
{
    const size_t params = mskp_graph_counts(s->graph).params;
    const mskp_tensors values = set_by_id(params, s->out.values);
    const mskp_tensors gradients = set_by_id(params, s->out.gradients);
    mskp_prepared *prepared = NULL;
    mskp_status status = mskp_prepared_create(s->graph, mask_of(s->units, s->keep), NULL, values,
                                              gradients, &prepared, err);
    if (!status) status = mskp_prepared_fade(prepared, 0.5, gradients, err);
    if (!status) status = mskp_prepared_gradient(prepared, 1, values, gradients, err);
    if (!status) status = mskp_prepared_prox(prepared, 1, values, err);
    if (!status) status = mskp_prepared_deadline(prepared, 3, values, err);
    mskp_prepared_destroy(prepared);
    return status;
}

static mskp_status call_group_prox(stage *s, mskp_error *err)
{
    const mskp_penalty penalty = {.roles = MSKP_ROLE_SCALE, .unit_weight = s->scores};
    return mskp_penalty_group_prox(s->graph, mask_of(s->units, s->keep), &penalty, 0.5,
                                   set_by_id(mskp_graph_counts(s->graph).params, s->out.values),
                                   err);
}

static mskp_status call_shrink(stage *s, mskp_error *err)
{
    const mskp_penalty penalty = {.kind = MSKP_PENALTY_L2,
                                  .target = MSKP_TARGET_KEPT,
                                  .roles = MSKP_ROLE_FILTER,
                                  .unit_weight = s->scores};
    mskp_status status =
        mskp_penalty_prox(s->graph, mask_of(s->units, s->keep), NULL, 0.01,
                          set_by_id(mskp_graph_counts(s->graph).params, s->out.values), err);
    return status
               ? status
               : mskp_penalty_prox(s->graph, mask_of(s->units, s->keep), &penalty, 0.01,
                                   set_by_id(mskp_graph_counts(s->graph).params, s->out.gradients),
                                   err);
}

static mskp_status call_deadline(stage *s, mskp_error *err)
{
    return mskp_penalty_deadline(s->graph, mask_of(s->units, s->keep), NULL, 3,
                                 set_by_id(mskp_graph_counts(s->graph).params, s->out.values), err);
}

static mskp_status call_zero(stage *s, mskp_error *err)
{
    const mskp_penalty penalty = {.roles = MSKP_ROLES_UNIT, .skip_missing = 1};
    return mskp_penalty_zero(s->graph, mask_of(s->units, s->keep), &penalty,
                             set_by_id(mskp_graph_counts(s->graph).params, s->out.values), err);
}

static mskp_status call_gauge(stage *s, mskp_error *err)
{
    const mskp_penalty penalty = {.roles = MSKP_ROLES_UNIT, .target = MSKP_TARGET_KEPT};
    return mskp_penalty_gauge(s->graph, mask_of(s->units, s->keep), &penalty,
                              set_by_id(s->params, s->out.values), &s->out.gauge, err);
}

static mskp_status call_param_view(stage *s, mskp_error *err)
{
    return mskp_param_view(s->graph, (mskp_param){1}, (uint32_t[]){2, 0, 3, 1}, s->out.pool,
                           MSKP_DTYPE_F32, &s->out.values[1], err);
}

static mskp_status call_value(stage *s, mskp_error *err)
{
    const mskp_penalty penalty = {.roles = MSKP_ROLES_UNIT, .target = MSKP_TARGET_ALL};
    return mskp_penalty_value(s->graph, mask_of(s->units, s->keep), &penalty,
                              set_by_id(mskp_graph_counts(s->graph).params, s->out.values),
                              &s->out.value, err);
}

static mskp_tensors values_of(stage *s)
{
    return set_by_id(s->params, s->out.values);
}

static mskp_status call_constants(stage *s, mskp_error *err)
{
    const mskp_constants_desc desc = {.way = MSKP_CONSTANTS_MERGE, .zeroed = MSKP_ROLE_SCALE};
    return mskp_constants_create(s->graph, mask_of(s->units, s->keep), &desc, values_of(s),
                                 &s->out.constants, err);
}

/* Carriers break this budget, so that the constants of several numbers of blocks are worked out. */
static mskp_status call_constants_select(stage *s, mskp_error *err)
{
    const mskp_constants_desc desc = {.way = MSKP_CONSTANTS_MERGE, .zeroed = MSKP_ROLE_SCALE};
    const mskp_rule rule = {.max_macs = s->budget};
    return mskp_constants_select(s->graph, scores_of(s->units, s->scores), &rule, &desc,
                                 values_of(s), &s->out.constants, err);
}

/* Carriers break multiples of four, so that the constants of one number are worked out again. */
static mskp_status call_constants_select_rounded(stage *s, mskp_error *err)
{
    const mskp_constants_desc desc = {.way = MSKP_CONSTANTS_MERGE, .zeroed = MSKP_ROLE_SCALE};
    const mskp_rule rule = {.use_threshold = 1, .threshold = 0.3, .round_to = 4};
    return mskp_constants_select(s->graph, scores_of(s->units, s->scores), &rule, &desc,
                                 values_of(s), &s->out.constants, err);
}

static mskp_status call_constants_again(stage *s, mskp_error *err)
{
    return mskp_constants_again(s->constants, values_of(s), &s->out.constants, err);
}

static mskp_status call_constants_masks(stage *s, mskp_error *err)
{
    return mskp_constants_masks(s->constants, mask_of(s->units, s->out.keep),
                                mask_of(s->units, s->out.carriers), mask_of(s->units, s->out.kept),
                                err);
}

static mskp_status call_constants_plan(stage *s, mskp_error *err)
{
    return mskp_constants_plan(s->constants, &s->out.plan, &s->out.small, err);
}

/* The plan is made beforehand, so that every allocation that fails is one of mskp_constants_apply.
 * A refused call must not make the plan ready for the cut. */
static mskp_status call_constants_apply(stage *s, mskp_error *err)
{
    const mskp_move move = {values_of(s), MSKP_INIT};
    mskp_error early = {0};
    mskp_status status = mskp_constants_apply(s->constants, s->constants_plan, values_of(s), err);
    if (!status) return MSKP_OK;
    s->heap.fail_at = 0;
    must(mskp_plan_cut(s->constants_plan, 1, &move, &early) == MSKP_ERROR_BAD_STATE,
         "a plan whose constants were not applied: %s", early.text);
    return status;
}

static const struct {
    const char *name;
    call *run;
    bool allocates_nothing;
    enum { MAKES_NOTHING, MAKES_PLAN, MAKES_CONSTANTS } makes;
} calls[] = {
    {"mskp_score", call_score, false, MAKES_NOTHING},
    {"mskp_score joint", call_score_joint, false, MAKES_NOTHING},
    {"mskp_score vote", call_score_vote, false, MAKES_NOTHING},
    {"mskp_score_taylor", call_score_taylor, false, MAKES_NOTHING},
    {"mskp_score_normalize", call_score_normalize, false, MAKES_NOTHING},
    {"mskp_score_channels", call_score_channels, false, MAKES_NOTHING},
    {"mskp_score_normalize by cost", call_score_normalize_by_cost, false, MAKES_NOTHING},
    {"mskp_score_random", call_score_random, true, MAKES_NOTHING},
    {"mskp_channel_stats_add", call_channel_stats, false, MAKES_NOTHING},
    {"mskp_unit_weights", call_weights, false, MAKES_NOTHING},
    {"mskp_unit_weights by costs", call_weights_by_costs, false, MAKES_NOTHING},
    {"mskp_measure", call_measure, false, MAKES_NOTHING},
    {"mskp_select", call_select, false, MAKES_NOTHING},
    {"mskp_select budget", call_select_budget, false, MAKES_NOTHING},
    {"mskp_select rules", call_select_rules, false, MAKES_NOTHING},
    {"mskp_budget_measure activations", call_budget_activations, false, MAKES_NOTHING},
    {"mskp_score_per_budget", call_score_per_budget, false, MAKES_NOTHING},
    {"mskp_budget_measure callback", call_budget_callback, false, MAKES_NOTHING},
    {"mskp_mask_match", call_mask_match, true, MAKES_NOTHING},
    {"mskp_family_rules_set", call_family_rules_set, true, MAKES_NOTHING},
    {"mskp_mask_vote", call_mask_vote, true, MAKES_NOTHING},
    {"mskp_mask_hysteresis", call_mask_hysteresis, true, MAKES_NOTHING},
    {"mskp_sensitivity", call_sensitivity, false, MAKES_NOTHING},
    {"mskp_sensitivity_caps", call_sensitivity_caps, true, MAKES_NOTHING},
    {"mskp_value_coupling", call_info, false, MAKES_NOTHING},
    {"mskp_mask_write", call_mask_write, true, MAKES_NOTHING},
    {"mskp_mask_read", call_mask_read, false, MAKES_NOTHING},
    {"mskp_mask_compose", call_mask_compose, true, MAKES_NOTHING},
    {"mskp_report_json", call_report, false, MAKES_NOTHING},
    {"mskp_plan_create", call_plan, false, MAKES_PLAN},
    {"mskp_plan_create with small", call_plan_small, false, MAKES_PLAN},
    {"mskp_plan_views", call_views, false, MAKES_NOTHING},
    {"mskp_plan_cut in place", call_cut_in_place, false, MAKES_NOTHING},
    {"mskp_plan_cut elsewhere", call_cut_elsewhere, false, MAKES_NOTHING},
    {"mskp_plan_cut interleaved", call_cut_interleaved, false, MAKES_NOTHING},
    {"mskp_plan_restore", call_restore, false, MAKES_NOTHING},
    {"mskp_gather", call_take, false, MAKES_NOTHING},
    {"mskp_penalty_gradient", call_gradient, true, MAKES_NOTHING},
    {"mskp_penalty_prox", call_shrink, true, MAKES_NOTHING},
    {"mskp_penalty_deadline", call_deadline, true, MAKES_NOTHING},
    {"mskp_penalty_fade", call_fade, true, MAKES_NOTHING},
    {"mskp_prepared_create", call_prepared, false, MAKES_NOTHING},
    {"mskp_penalty_group_prox", call_group_prox, true, MAKES_NOTHING},
    {"mskp_penalty_zero", call_zero, true, MAKES_NOTHING},
    {"mskp_penalty_value", call_value, true, MAKES_NOTHING},
    {"mskp_penalty_gauge", call_gauge, true, MAKES_NOTHING},
    {"mskp_param_view", call_param_view, true, MAKES_NOTHING},
    {"mskp_constants_create", call_constants, false, MAKES_CONSTANTS},
    {"mskp_constants_select", call_constants_select, false, MAKES_CONSTANTS},
    {"mskp_constants_select rounded", call_constants_select_rounded, false, MAKES_CONSTANTS},
    {"mskp_constants_again", call_constants_again, false, MAKES_CONSTANTS},
    {"mskp_constants_masks", call_constants_masks, true, MAKES_NOTHING},
    {"mskp_constants_plan", call_constants_plan, false, MAKES_PLAN},
    {"mskp_constants_apply", call_constants_apply, false, MAKES_NOTHING},
};
enum { CALLS = sizeof calls / sizeof *calls };

/* The lists of a plan, which is then destroyed. */
static uint64_t plan_made(stage *s, uint64_t hash)
{
    for (uint32_t p = 1; p <= s->params; p++)
        for (uint32_t a = 0; a < mskp_param_shape(s->graph, (mskp_param){p}, NULL); a++) {
            size_t n = 0;
            const uint32_t *list = mskp_plan_param_kept(s->out.plan, (mskp_param){p}, a, &n);
            hash = hash_bytes(hash, &n, sizeof n);
            if (list) hash = hash_bytes(hash, list, n * sizeof *list);
        }
    mskp_plan *plan = s->out.plan;
    mskp_graph *small = s->out.small, *none;
    memset(&none, 0x5a, sizeof none);
    memset(&s->out.plan, 0x5a, sizeof s->out.plan);
    memset(&s->out.small, 0x5a, sizeof s->out.small);
    mskp_plan_destroy(plan);
    if (small != none) {
        uint64_t number = graph_fingerprint(small);
        hash = hash_bytes(hash, &number, sizeof number);
        mskp_graph_destroy(small);
    }
    return hash;
}

/* The total and the masks of constants, which are then destroyed. */
static uint64_t constants_made(stage *s, uint64_t hash)
{
    mskp_constants *c = s->out.constants;
    mskp_constants_report total = {.bound = 0};
    uint8_t masks[3][MOST_UNITS] = {{0}};
    must(mskp_constants_total(c, &total, NULL) == MSKP_OK, "no total");
    must(mskp_constants_masks(c, mask_of(s->units, masks[0]), mask_of(s->units, masks[1]),
                              mask_of(s->units, masks[2]), NULL) == MSKP_OK,
         "no masks");
    must(total.folded && total.merged && total.live && total.carriers,
         "%zu folded, %zu merged, %zu live", total.folded, total.merged, total.live);
    const size_t counts[4] = {total.folded, total.merged, total.live, total.carriers};
    memset(&s->out.constants, 0x5a, sizeof s->out.constants);
    mskp_constants_destroy(c);
    return hash_bytes(hash_bytes(hash, masks, sizeof masks), counts, sizeof counts);
}

/* What a call has made, in one number. */
static uint64_t result_of(stage *s, size_t c)
{
    uint64_t hash = HASH_START;
    if (calls[c].makes == MAKES_PLAN) hash = plan_made(s, hash);
    if (calls[c].makes == MAKES_CONSTANTS) hash = constants_made(s, hash);
    return hash_bytes(hash, &s->out, sizeof s->out);
}

static stage *stage_open(const mskp_services *services)
{
    stage *s = calloc(1, sizeof *s);
    must(s != NULL, "no memory");
    s->services = services ? *services : heap_services(&s->heap);
    describer d = {mskp_graph_create(services ? NULL : &s->services), &s->heap};
    mskp_error err = {.text = ""};
    describe(&d);
    s->graph = d.graph;
    must(mskp_graph_finish(s->graph, &err) == MSKP_OK, "%s", err.text);
    mskp_counts count = mskp_graph_counts(s->graph);
    s->units = count.units, s->params = count.params, s->values = count.values;
    must(s->units <= MOST_UNITS && s->params < MOST_PARAMS && s->values < 64, "a larger network");
    rng r = {21};
    for (size_t u = 0; u < s->units; u++) {
        s->scores[u] = fabs(rng_real(&r));
        s->keep[u] = u % 3 != 0 || u % 5 == 0;
    }
    for (size_t i = 0; i < WIDTH; i++) s->numbers[i] = rng_real(&r);
    float *content = malloc(POOL_BYTES);
    for (size_t i = 0; i < POOL_BYTES / sizeof *content; i++) content[i] = (float)rng_real(&r);
    s->content = (unsigned char *)content;
    must(mskp_plan_create(s->graph, mask_of(s->units, s->keep), &s->plan, &s->small, &err) ==
             MSKP_OK,
         "%s", err.text);
    must(mskp_mask_write(s->graph, mask_of(s->units, s->keep), sizeof s->mask, s->mask,
                         &s->mask_length, &err) == MSKP_OK,
         "%s", err.text);
    mskp_cost all;
    must(mskp_measure(s->graph, (mskp_mask){0}, &all, NULL, &err) == MSKP_OK, "%s", err.text);
    s->budget = 0.8 * all.macs;
    fill_stage(s);
    must(call_constants(s, &err) == MSKP_OK, "%s", err.text);
    s->constants = s->out.constants;
    fill_stage(s);
    return s;
}

static void stage_close(stage *s)
{
    /* In an order that uses what the plan and the small network keep for themselves. */
    mskp_graph_destroy(s->graph);
    mskp_constants_destroy(s->constants);
    mskp_plan_destroy(s->constants_plan);
    mskp_constants_destroy(NULL);
    mskp_error err = {.text = ""};
    must(call_cut_in_place(s, &err) == MSKP_OK, "without the graph: %s", err.text);
    mskp_plan_destroy(s->plan);
    mskp_graph_destroy(s->small);
    mskp_plan_destroy(NULL);
    mskp_graph_destroy(NULL);
    must_be_sound(&s->heap, 0);
    free((void *)(uintptr_t)s->content);
    free(s);
}

START_TEST(calls_on_a_finished_graph)
{
    stage *s = stage_open(NULL);
    unsigned char *before = malloc(sizeof s->out);
    const size_t live = s->heap.live;
    size_t failures = 0;
    for (size_t c = 0; c < CALLS; c++) {
        fill_stage(s);
        s->heap.calls = 0;
        mskp_error err = {.status = MSKP_OK, .text = ""};
        size_t behind = mallocs;
        mskp_status status = calls[c].run(s, &err);
        behind = mallocs - behind;
        must(status == MSKP_OK, "%s: %d: %s", calls[c].name, (int)status, err.text);
        must(behind == 0, "%s: %zu times malloc", calls[c].name, behind);
        size_t allocations = s->heap.calls;
        if (getenv("MSKP_TEST_VERBOSE"))
            printf("%s: %zu allocations\n", calls[c].name, allocations);
        must(!calls[c].allocates_nothing || allocations == 0, "%s: %zu allocations", calls[c].name,
             allocations);
        const uint64_t whole = result_of(s, c);
        must_be_sound(&s->heap, live);
        /* Under valgrind, each seventh of many. */
        const size_t step = allocations > 100 && scaled(100) < 50 ? 7 : 1;
        for (size_t n = 1; n <= allocations; n += step)
            for (int for_good = 0; for_good < 2; for_good++) {
                fill_stage(s);
                memcpy(before, &s->out, sizeof s->out);
                s->heap.calls = 0;
                s->heap.fail_at = n;
                s->heap.for_good = for_good;
                status = calls[c].run(s, &err);
                must(s->heap.fired, "%s: allocates now this, now that", calls[c].name);
                must_be_out_of_memory(status, &err, &s->heap);
                must(memcmp(before, &s->out, sizeof s->out) == 0, "%s: changed something, at %zu",
                     calls[c].name, n);
                must_be_sound(&s->heap, live);
                s->heap.fail_at = 0;
                s->heap.fired = false;
                status = calls[c].run(s, &err);
                must(status == MSKP_OK, "%s again: %d: %s", calls[c].name, (int)status, err.text);
                must(result_of(s, c) == whole, "%s again: another result", calls[c].name);
                must_be_sound(&s->heap, live);
                failures++;
            }
    }
    fill_stage(s);
    printf("%d calls, %zu failed allocations\n", CALLS, failures);
    free(before);
    stage_close(s);
}
END_TEST

/* Without services of the caller: all blocks of malloc are freed. */
START_TEST(malloc_and_free)
{
    const mskp_services none = {0};
    size_t balance = mallocs - frees, used = mallocs;
    stage *s = stage_open(&none);
    fill_stage(s);
    for (size_t c = 0; c < CALLS; c++) {
        mskp_error err = {.text = ""};
        fill_stage(s);
        mskp_status status = calls[c].run(s, &err);
        must(status == MSKP_OK, "%s: %d: %s", calls[c].name, (int)status, err.text);
        result_of(s, c);
    }
    fill_stage(s);
    stage_close(s);
    must(mallocs - frees == balance, "%zu blocks more", mallocs - frees - balance);
    if (mallocs == used) printf("malloc is not counted in this build\n");
}
END_TEST

START_TEST(halves_of_an_allocator_are_refused)
{
    /* A graph needs both functions or neither. */
    heap h = {0};
    mskp_services services = heap_services(&h);
    services.release = NULL;
    mskp_graph *graph = mskp_graph_create(&services);
    mskp_error err = {.status = MSKP_OK, .text = ""};
    if (graph != NULL) {
        mskp_status status = mskp_graph_finish(graph, &err);
        must(status == MSKP_ERROR_BAD_ARGUMENT && err.status == status, "%d", (int)status);
        mskp_graph_destroy(graph);
    }
    must(h.live == 0, "%zu blocks that cannot be released", h.live);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("alloc");
    TCase *tests = tcase_create("alloc");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, describing);
    tcase_add_test(tests, no_channels_and_no_memory);
    tcase_add_test(tests, every_operator_at_every_filling);
    tcase_add_test(tests, calls_on_a_finished_graph);
    tcase_add_test(tests, malloc_and_free);
    tcase_add_test(tests, halves_of_an_allocator_are_refused);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*
 * The memory of a network at work, all of it planned before the first step: which buffer holds
 * which layer's value, which one its gradient, and then one block for everything.
 */
#include "direct.h"

#include <stdlib.h>

static size_t slice_size(const cn_layer *l)
{
    return l->channels * cn_plane(l->height, l->width, CN_SLICE);
}

static cn_buffer *new_buffer(cn_engine *e, size_t size)
{
    cn_buffer *b = &e->buffers[e->buffer_count++];
    b->slice = size;
    return b;
}

/* ---- values ---- */

/* Functions of each number by itself, whose backward does not need what they read. */
static bool is_pointwise(cn_kind kind)
{
    return kind == CN_RELU || kind == CN_SIGMOID || kind == CN_SCALE;
}

/* They and add overwrite what they read, if nobody else wants it and backward does not need it: the
 * results of ReLU, sigmoid and max pooling are needed by their own backward, those of others only
 * by their readers. */
static bool overwrites(const cn_net *net, size_t i, const size_t *readers)
{
    const cn_layer *l = &net->layers[i];
    if (!cn_reads(net->layers, i, 0) || (!is_pointwise(l->kind) && l->kind != CN_ADD)) return false;
    const cn_kind read = net->layers[l->in[0]].kind;
    return readers[l->in[0]] == 1 && read != CN_INPUT && read != CN_RELU && read != CN_SIGMOID &&
           read != CN_POOL_MAX;
}

static bool assign_values(const cn_net *net, cn_engine *e, size_t *readers, cn_error *err)
{
    for (size_t i = 0; i < net->layer_count; i++)
        for (size_t k = 0; k < cn_input_count(&net->layers[i]); k++)
            readers[net->layers[i].in[k]]++;
    for (size_t i = 0; i < net->layer_count; i++) {
        const cn_layer *l = &net->layers[i];
        if (!readers[i] && i + 1 < net->layer_count)
            return cn_fail(err, "%s: layer %zu of %zu is read by no other", l->name, i,
                           net->layer_count);
        if (overwrites(net, i, readers))
            e->nodes[i].value = e->nodes[l->in[0]].value;
        else
            e->nodes[i].value = new_buffer(e, slice_size(l));
    }
    return true;
}

/* ---- gradients ---- */

/* Buffers are handed on from layer to layer; users counts the layers whose gradient a buffer is at
 * the moment. */
typedef struct gradients {
    cn_engine *e;
    size_t first; /* buffers before it are values */
    size_t *users;
} gradients;

static size_t *users_of(gradients *g, const cn_buffer *b)
{
    return &g->users[b - g->e->buffers];
}

/* A buffer that nobody uses any more, the tightest that is large enough, or the largest, made
 * larger. */
static cn_buffer *get_buffer(gradients *g, size_t size)
{
    cn_buffer *best = NULL;
    for (size_t i = g->first; i < g->e->buffer_count; i++) {
        cn_buffer *b = &g->e->buffers[i];
        if (g->users[i]) continue;
        if (!best || (best->slice < size ? b->slice > best->slice
                                         : b->slice >= size && b->slice < best->slice))
            best = b;
    }
    if (!best) best = new_buffer(g->e, size);
    if (best->slice < size) best->slice = size;
    *users_of(g, best) = 1;
    return best;
}

static void assign_gradient(const cn_net *net, gradients *g, size_t i, size_t k, cn_buffer *own)
{
    const cn_layer *l = &net->layers[i];
    const size_t in = l->in[k];
    cn_buffer **gradient = &g->e->nodes[in].gradient, *there = *gradient; /* NULL: none yet */
    cn_back *back = &g->e->nodes[i].back[k];
    if (!there) {
        const bool in_place =
            (is_pointwise(l->kind) || l->kind == CN_BATCH_NORM || l->kind == CN_NORMALIZE) &&
            *users_of(g, own) == 1;
        if (l->kind == CN_ADD || in_place) {
            *gradient = own;
            ++*users_of(g, own);
        } else {
            *gradient = get_buffer(g, slice_size(&net->layers[in]));
        }
    } else {
        back->add = true;
        if (*users_of(g, there) > 1) { /* somebody still reads it */
            back->copy = there;
            *gradient = get_buffer(g, slice_size(&net->layers[in]));
            --*users_of(g, there);
        }
    }
    back->to = *gradient;
}

static void assign_gradients(const cn_net *net, gradients *g)
{
    const size_t last = net->layer_count - 1;
    g->e->nodes[last].gradient = get_buffer(g, slice_size(&net->layers[last]));
    for (size_t i = last; i > 0; i--) {
        cn_buffer *own = g->e->nodes[i].gradient;
        for (size_t k = 0; k < cn_input_count(&net->layers[i]); k++)
            if (cn_reads(net->layers, i, k) && net->layers[net->layers[i].in[k]].kind != CN_INPUT)
                assign_gradient(net, g, i, k, own);
        if (own) --*users_of(g, own); /* a shift has none */
    }
}

/* ---- one block ---- */

typedef struct arena {
    char *base; /* NULL: only measure */
    size_t used;
    bool overflow;
} arena;

static void *take(arena *a, size_t n, size_t each, size_t bytes)
{
    size_t size;
    if (!cn_mul(n, each, &size) || !cn_mul(size, bytes, &size) || size > SIZE_MAX / 2 - a->used) {
        a->overflow = true;
        return NULL;
    }
    void *here = a->base ? a->base + a->used : NULL;
    a->used += (size + 63) / 64 * 64;
    return here;
}

static void carve(const cn_net *net, cn_engine *e, arena *a)
{
    const size_t real = sizeof(cn_real), slices = (net->options.batch + CN_SLICE - 1) / CN_SLICE;
    for (size_t i = 0; i < e->buffer_count; i++)
        e->buffers[i].data = take(a, slices, e->buffers[i].slice, real);
    for (size_t i = 0; i < net->layer_count; i++) {
        const cn_layer *l = &net->layers[i], *in = &net->layers[l->in[0]];
        cn_node *node = &e->nodes[i];
        if (l->kind == CN_CONV || l->kind == CN_LINEAR) {
            const size_t count = l->channels * in->channels * l->size[0] * l->size[1];
            node->packed = take(a, 1, cn_conv_packed(e->direct, count), real);
            node->partial = take(a, CN_LANES, count, real);
            if (l->bias) node->partial_bias = take(a, CN_LANES, l->channels, real);
            const size_t work = cn_conv_work(l, in);
            if (work > e->work_size) e->work_size = work;
        } else if (cn_shift_of(net->layers, i)) {
            node->partial_bias = take(a, CN_LANES, l->channels, real);
        } else if (l->kind == CN_BATCH_NORM) {
            node->norm.mean = take(a, 1, l->channels, real);
            node->norm.inverse = take(a, 1, l->channels, real);
            node->norm.slope = take(a, 1, l->channels, real);
            node->norm.centre = take(a, 1, l->channels, real);
            node->norm.sums = take(a, slices, 2 * l->channels, sizeof(double));
        }
    }
    e->work = take(a, CN_LANES, e->work_size, real);
    e->output = take(a, net->options.batch, net->outputs, real);
    e->output_gradient = take(a, net->options.batch, net->outputs, real);
}

cn_engine *cn_engine_create(const cn_net *net, cn_error *err)
{
    const size_t n = net->layer_count; /* a value, a gradient, at most one copy for each input */
    const size_t most = (2 + CN_MOST_INPUTS) * n;
    cn_engine *e = calloc(1, sizeof *e);
    size_t *counts = calloc(most + n, sizeof *counts);
    arena a = {0};
    bool done = false;
    if (e) {
        e->direct = cn_direct_kernels();
        e->nodes = calloc(n, sizeof *e->nodes);
        e->buffers = calloc(most, sizeof *e->buffers);
    }
    if (!e || !counts || !e->nodes || !e->buffers) {
        cn_fail(err, "no memory to plan %zu layers", n);
    } else if (assign_values(net, e, counts + most, err)) {
        assign_gradients(net, &(gradients){e, e->buffer_count, counts});
        carve(net, e, &a);
        if (!a.overflow) e->memory = calloc(1, a.used + 64);
        if (e->memory) {
            a = (arena){.base = (char *)e->memory + (64 - (uintptr_t)e->memory % 64)};
            carve(net, e, &a);
            done = true;
        } else {
            cn_fail(err, "no memory for %zu bytes, which a batch of %zu images needs", a.used,
                    net->options.batch);
        }
    }
    free(counts);
    if (done) return e;
    cn_engine_destroy(e);
    return NULL;
}

void cn_engine_destroy(cn_engine *engine)
{
    if (!engine) return;
    free(engine->memory);
    free(engine->buffers);
    free(engine->nodes);
    free(engine);
}

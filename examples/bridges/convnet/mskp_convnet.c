/* Describes a network to mskp, makes views of its tensors, and cuts it by a plan. */
#include "mskp_convnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- describe ---- */

static mskp_param param_handle(size_t index)
{
    return (mskp_param){index == CN_NONE ? 0 : (uint32_t)index + 1};
}

static mskp_value describe_pool(const cn_layer *l, mskp_graph *graph, mskp_value in)
{
    mskp_pool_desc desc = {.kind = l->kind == CN_POOL_MAX ? MSKP_POOL_MAX : MSKP_POOL_AVERAGE};
    for (size_t axis = 0; axis < 2; axis++) {
        desc.size[axis] = l->size[axis];
        desc.stride[axis] = l->stride[axis];
        desc.pad_before[axis] = desc.pad_after[axis] = l->pad[axis];
    }
    return mskp_pool(graph, l->name, in, &desc);
}

/* One number after the other. */
static mskp_value describe_function(const cn_layer *l, mskp_graph *graph, mskp_value in,
                                    mskp_activation_kind kind)
{
    return mskp_activation(
        graph, l->name, in,
        &(mskp_activation_desc){.kind = kind, .parameters = {l->kind == CN_SCALE ? l->factor : 0}});
}

static mskp_value describe_concat(const cn_layer *l, mskp_graph *graph)
{
    mskp_value in[CN_MOST_INPUTS];
    for (size_t k = 0; k < l->inputs; k++) in[k] = (mskp_value){(uint32_t)l->in[k] + 1};
    return mskp_concat(graph, l->name, l->inputs, in);
}

static mskp_value describe_conv(const cn_layer *l, mskp_graph *graph, mskp_value in)
{
    mskp_conv_desc desc = {.weight = param_handle(l->weight), .bias = param_handle(l->shift)};
    for (size_t axis = 0; axis < 2; axis++) {
        desc.stride[axis] = l->stride[axis];
        desc.pad_before[axis] = desc.pad_after[axis] = l->pad[axis];
    }
    return mskp_conv(graph, l->name, in, &desc);
}

/* Each layer makes one value, in order: layer i makes the value with id i + 1. */
static mskp_value describe_layer(const cn_layer *l, mskp_graph *graph)
{
    const mskp_value a = {(uint32_t)l->in[0] + 1}, b = {(uint32_t)l->in[1] + 1};
    switch (l->kind) {
    case CN_INPUT:
        return mskp_input(graph, l->name, l->channels, 2, (size_t[]){l->height, l->width});
    case CN_CONV:
        return describe_conv(l, graph, a);
    case CN_BATCH_NORM:
        return mskp_norm(graph, l->name, a,
                         &(mskp_norm_desc){.scale = param_handle(l->weight),
                                           .shift = param_handle(l->shift),
                                           .mean = param_handle(l->mean),
                                           .variance = param_handle(l->variance)});
    case CN_RELU:
        return describe_function(l, graph, a, MSKP_ACTIVATION_RELU);
    case CN_ADD:
        return mskp_combine(graph, l->name, MSKP_COMBINE_ADD, 2, (mskp_value[]){a, b});
    case CN_PAD_CHANNELS:
        return mskp_pad_channels(graph, l->name, a, l->before, l->after);
    case CN_POOL_MAX:
    case CN_POOL_AVERAGE:
        return describe_pool(l, graph, a);
    case CN_GLOBAL_AVERAGE:
        return mskp_pool(graph, l->name, a, &(mskp_pool_desc){.kind = MSKP_POOL_GLOBAL_AVERAGE});
    case CN_LINEAR:
        return mskp_linear(graph, l->name, a, param_handle(l->weight), param_handle(l->shift));
    case CN_SHIFT:
        return mskp_param_operand(graph, l->name, param_handle(l->shift), 0, MSKP_ROLE_SHIFT, 0,
                                  NULL);
    case CN_CONCAT:
        return describe_concat(l, graph);
    case CN_SCALE:
        return describe_function(l, graph, a, MSKP_ACTIVATION_MULTIPLY);
    case CN_SIGMOID:
        return describe_function(l, graph, a, MSKP_ACTIVATION_SIGMOID);
    case CN_UPSAMPLE:
        return mskp_pool(graph, l->name, a,
                         &(mskp_pool_desc){.kind = MSKP_POOL_RESIZE,
                                           .spatial = {l->height, l->width},
                                           .keeps_constants = 1});
    case CN_NORMALIZE: /* the length is of all channels, so they stay */
        return mskp_norm(graph, l->name, a, &(mskp_norm_desc){.kind = MSKP_NORM_RMS});
    }
    return (mskp_value){0};
}

void cn_describe(const cn_net *net, mskp_graph *graph)
{
    mskp_value last = {0};
    for (size_t i = 0; i < net->param_count; i++)
        mskp_parameter(graph, net->params[i].name, (uint32_t)net->params[i].dims,
                       net->params[i].shape);
    for (size_t i = 0; i < net->layer_count; i++) last = describe_layer(&net->layers[i], graph);
    mskp_output(graph, last);
}

/* ---- sets of views ---- */

static mskp_tensor view_of(const cn_param *p, void *data)
{
    mskp_tensor view = {.data = data, .dtype = CN_DTYPE, .ndim = (uint32_t)p->dims};
    memcpy(view.shape, p->shape, sizeof p->shape);
    return view;
}

void cn_values(const cn_net *net, mskp_tensors set)
{
    for (size_t i = 0; i < net->param_count; i++)
        set.view[i] = view_of(&net->params[i], net->params[i].value);
}

void cn_gradients(const cn_net *net, mskp_tensors set)
{
    for (size_t i = 0; i < net->param_count; i++)
        set.view[i] = view_of(&net->params[i], net->params[i].gradient);
}

void cn_momentum(const cn_net *net, mskp_tensors set)
{
    for (size_t i = 0; i < net->param_count; i++)
        set.view[i] = view_of(&net->params[i], net->params[i].momentum);
}

/* ---- surgery ---- */

/* The new widths and paddings of the layers, and the layers that vanish. All other shapes follow
 * from them. */
static void take_widths(const mskp_graph *graph, const mskp_plan *plan, size_t count,
                        cn_layer *layers)
{
    for (size_t i = 0; i < count; i++) {
        cn_layer *l = &layers[i];
        const mskp_fate fate = mskp_plan_fate(plan, (mskp_value){(uint32_t)i + 1});
        l->gone = fate == MSKP_FATE_VANISHES;
        if (fate == MSKP_FATE_SHIFT && l->kind == CN_BATCH_NORM) {
            l->kind = CN_SHIFT;
            mskp_plan_param_kept(plan, param_handle(l->shift), 0, &l->channels);
        } else if (l->kind == CN_CONV || l->kind == CN_LINEAR) {
            mskp_plan_param_kept(plan, param_handle(l->weight), 0, &l->channels);
        } else if (l->kind == CN_PAD_CHANNELS) {
            const mskp_value v = mskp_value_find(graph, l->name);
            const size_t end = l->channels - l->after;
            l->after = mskp_plan_channels_kept(plan, v, end, l->after);
            l->before = mskp_plan_channels_kept(plan, v, 0, l->before);
        }
    }
}

typedef struct cutting {
    const cn_net *net;
    mskp_plan *plan;
    const mskp_constants *constants;
    mskp_tensors values, momentum;
    cn_real *before; /* all values, to be restored if constants were moved and the cut fails */
} cutting;

static void restore(const cutting *c)
{
    const cn_real *from = c->before;
    for (size_t i = 0; i < c->net->param_count; from += c->net->params[i++].count)
        memcpy(c->net->params[i].value, from, c->net->params[i].count * sizeof *from);
}

static bool keep_values(cutting *c)
{
    size_t count = 1;
    for (size_t i = 0; i < c->net->param_count; i++) count += c->net->params[i].count;
    cn_real *to = c->before = malloc(count * sizeof *to);
    for (size_t i = 0; to && i < c->net->param_count; to += c->net->params[i++].count)
        memcpy(to, c->net->params[i].value, c->net->params[i].count * sizeof *to);
    return to;
}

/* The constants are moved at full size, right before the cut. */
static bool cut(void *context, cn_error *err)
{
    const cutting *c = context;
    const mskp_move moves[] = {{.from = c->values}, {.from = c->momentum}};
    mskp_error error;
    if (!(c->constants && mskp_constants_apply(c->constants, c->plan, c->values, &error))) {
        if (!mskp_plan_cut(c->plan, 2, moves, &error)) return true;
        if (c->constants) restore(c);
    }
    if (err) snprintf(err->text, sizeof err->text, "%s", error.text);
    return false;
}

bool cn_prune(cn_net *net, const mskp_graph *graph, mskp_plan *plan,
              const mskp_constants *constants, cn_error *err)
{
    const size_t n = net->param_count;
    cn_layer *layers = malloc(net->layer_count * sizeof *layers);
    mskp_tensor *views = calloc(2 * n + 1, sizeof *views);
    cutting c = {.net = net,
                 .plan = plan,
                 .constants = constants,
                 .values = {n, views},
                 .momentum = {n, views ? views + n : NULL}};
    bool good = false;
    if (layers && views && (!constants || keep_values(&c))) {
        memcpy(layers, net->layers, net->layer_count * sizeof *layers);
        take_widths(graph, plan, net->layer_count, layers);
        cn_values(net, c.values);
        cn_momentum(net, c.momentum);
        good = cn_resize(net, layers, cut, &c, err);
    } else if (err) {
        snprintf(err->text, sizeof err->text, "no memory to cut %zu parameters", n);
    }
    free(c.before);
    free(layers);
    free(views);
    return good;
}

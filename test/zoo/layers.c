#include "zoo/layers.h"

#include "by_id/by_id.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names and parameters ---- */

void at(net *n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(n->at, sizeof n->at, format, args);
    va_end(args);
}

text named(const net *n, const char *name, const char *suffix)
{
    text t;
    snprintf(t.s, sizeof t.s, "%s%s%s", n->at, name, suffix);
    return t;
}

mskp_param parameter(net *n, const char *name, const char *suffix, uint32_t ndim,
                     const size_t *lengths)
{
    return mskp_parameter(n->graph, named(n, name, suffix).s, ndim, lengths);
}

static mskp_param vector(net *n, const char *name, const char *suffix, size_t length)
{
    return parameter(n, name, suffix, 1, &length);
}

void record(net *n, const zoo_layer *layer)
{
    zoo_record *r = n->record;
    if (!r) return;
    zoo_layer *more = realloc(r->layer, (r->n + 1) * sizeof *more);
    if (!more) abort(); /* a test without its count is none */
    r->layer = more;
    r->layer[r->n++] = *layer;
}

/* ---- convolutions and linear layers ---- */

shape same(size_t out, size_t kernel, size_t stride)
{
    return (shape){
        .out = out, .kernel = {kernel, kernel}, .stride = stride, .pad = {kernel / 2, kernel / 2}};
}

shape valid(size_t out, size_t kernel, size_t stride)
{
    return (shape){.out = out, .kernel = {kernel, kernel}, .stride = stride};
}

shape rectangle(size_t out, size_t height, size_t width)
{
    return (shape){
        .out = out, .kernel = {height, width}, .stride = 1, .pad = {height / 2, width / 2}};
}

shape grouped(shape s, size_t groups)
{
    s.groups = groups;
    return s;
}

shape biased(shape s)
{
    s.bias = true;
    return s;
}

static map with_value(map x, mskp_value value)
{
    x.value = value;
    return x;
}

map conv(net *n, const char *name, map x, shape s)
{
    const size_t groups = s.groups ? s.groups : 1;
    const mskp_param weight = parameter(
        n, name, ".weight", 4, (size_t[]){s.out, x.channels / groups, s.kernel[0], s.kernel[1]});
    const mskp_conv_desc desc = {
        .weight = weight,
        .bias = s.bias ? vector(n, name, ".bias", s.out) : (mskp_param){0},
        .stride = {s.stride, s.stride},
        .pad_before = {s.pad[0], s.pad[1]},
        .pad_after = {s.pad[0], s.pad[1]},
        .groups = groups,
    };
    map y = {.channels = s.out, .nspatial = 2};
    y.value = mskp_conv(n->graph, named(n, name, "").s, x.value, &desc);
    for (int d = 0; d < 2; d++) y.size[d] = (x.size[d] + 2 * s.pad[d] - s.kernel[d]) / s.stride + 1;
    record(n, &(zoo_layer){.kind = ZOO_CONV,
                           .in = x.channels,
                           .out = s.out,
                           .groups = groups,
                           .kernel = {s.kernel[0], s.kernel[1]},
                           .in_size = {x.size[0], x.size[1]},
                           .out_size = {y.size[0], y.size[1]},
                           .weight = weight});
    return y;
}

/* Of windows that do not overlap, without pads and groups: all that the zoo needs. */
map conv_transposed(net *n, const char *name, map x, shape s)
{
    const mskp_param weight =
        parameter(n, name, ".weight", 4, (size_t[]){x.channels, s.out, s.kernel[0], s.kernel[1]});
    const mskp_conv_desc desc = {
        .weight = weight,
        .bias = s.bias ? vector(n, name, ".bias", s.out) : (mskp_param){0},
        .stride = {s.stride, s.stride},
    };
    map y = {.channels = s.out, .nspatial = 2};
    y.value = mskp_conv_transposed(n->graph, named(n, name, "").s, x.value, &desc);
    for (int d = 0; d < 2; d++) y.size[d] = (x.size[d] - 1) * s.stride + s.kernel[d];
    record(n, &(zoo_layer){.kind = ZOO_CONV_TRANSPOSED,
                           .in = x.channels,
                           .out = s.out,
                           .groups = 1,
                           .kernel = {s.kernel[0], s.kernel[1]},
                           .in_size = {x.size[0], x.size[1]},
                           .out_size = {y.size[0], y.size[1]},
                           .weight = weight});
    return y;
}

map conv_norm(net *n, const char *name, map x, shape s, mskp_activation_kind kind)
{
    x = conv(n, name, x, s);
    return activate(n, batch_norm(n, named(n, name, ".bn").s + strlen(n->at), x), kind);
}

map linear(net *n, const char *name, map x, size_t out)
{
    const mskp_param weight = parameter(n, name, ".weight", 2, (size_t[]){out, x.channels});
    map y = x;
    y.channels = out;
    y.value =
        mskp_linear(n->graph, named(n, name, "").s, x.value, weight, vector(n, name, ".bias", out));
    record(n, &(zoo_layer){.kind = ZOO_LINEAR,
                           .in = x.channels,
                           .out = out,
                           .groups = 1,
                           .kernel = {1, 1},
                           .in_size = {x.size[0], x.size[1]},
                           .out_size = {x.size[0], x.size[1]},
                           .weight = weight});
    return y;
}

/* ---- norms, activations ---- */

map batch_norm(net *n, const char *name, map x)
{
    const mskp_norm_desc desc = {
        .scale = vector(n, name, ".weight", x.channels),
        .shift = vector(n, name, ".bias", x.channels),
        .mean = vector(n, name, ".running_mean", x.channels),
        .variance = vector(n, name, ".running_var", x.channels),
    };
    return with_value(x, mskp_norm(n->graph, named(n, name, "").s, x.value, &desc));
}

map layer_norm(net *n, const char *name, map x, bool accept_inexact)
{
    const mskp_norm_desc desc = {
        .kind = MSKP_NORM_LAYER,
        .scale = vector(n, name, ".weight", x.channels),
        .shift = vector(n, name, ".bias", x.channels),
        .accept_inexact = accept_inexact,
    };
    return with_value(x, mskp_norm(n->graph, named(n, name, "").s, x.value, &desc));
}

map activate(net *n, map x, mskp_activation_kind kind)
{
    if (kind == MSKP_ACTIVATION_IDENTITY) return x;
    return with_value(
        x, mskp_activation(n->graph, NULL, x.value, &(mskp_activation_desc){.kind = kind}));
}

/* ---- pooling, sizes ---- */

static map pool(net *n, map x, mskp_pool_desc desc)
{
    const size_t size = desc.size[0], stride = desc.stride[0], pad = desc.pad_before[0];
    desc.size[1] = size;
    desc.stride[1] = stride;
    desc.pad_before[1] = desc.pad_after[0] = desc.pad_after[1] = pad;
    x.value = mskp_pool(n->graph, NULL, x.value, &desc);
    for (int d = 0; d < 2; d++) {
        const size_t room = x.size[d] + 2 * pad - size;
        x.size[d] = (desc.ceil_mode ? room + stride - 1 : room) / stride + 1;
    }
    return x;
}

map max_pool(net *n, map x, size_t size, size_t stride, size_t pad)
{
    return pool(n, x, (mskp_pool_desc){.size = {size}, .stride = {stride}, .pad_before = {pad}});
}

map max_pool_ceil(net *n, map x, size_t size, size_t stride)
{
    return pool(n, x, (mskp_pool_desc){.size = {size}, .stride = {stride}, .ceil_mode = 1});
}

map average_pool(net *n, map x, size_t size, size_t stride, size_t pad)
{
    return pool(
        n, x,
        (mskp_pool_desc){
            .kind = MSKP_POOL_AVERAGE, .size = {size}, .stride = {stride}, .pad_before = {pad}});
}

map global_average(net *n, map x)
{
    x.value =
        mskp_pool(n->graph, NULL, x.value, &(mskp_pool_desc){.kind = MSKP_POOL_GLOBAL_AVERAGE});
    x.size[0] = x.size[1] = 1;
    return x;
}

map resize(net *n, map x, size_t height, size_t width)
{
    x.value = mskp_pool(n->graph, NULL, x.value,
                        &(mskp_pool_desc){.kind = MSKP_POOL_RESIZE,
                                          .spatial = {height, x.nspatial > 1 ? width : 0}});
    x.size[0] = height;
    x.size[1] = width;
    return x;
}

map flatten(net *n, map x)
{
    return (map){.value = mskp_flatten(n->graph, NULL, x.value, 0),
                 .channels = x.channels * x.size[0] * x.size[1],
                 .size = {1, 1}};
}

/* ---- several maps ---- */

map add(net *n, const char *name, map a, map b)
{
    return with_value(a, mskp_combine(n->graph, name ? named(n, name, "").s : NULL,
                                      MSKP_COMBINE_ADD, 2, (mskp_value[]){a.value, b.value}));
}

map multiply(net *n, map a, map b)
{
    return with_value(a, mskp_combine(n->graph, NULL, MSKP_COMBINE_MULTIPLY, 2,
                                      (mskp_value[]){a.value, b.value}));
}

map concat(net *n, const char *name, size_t count, const map *maps)
{
    mskp_value values[8];
    map y = maps[0];
    y.channels = 0;
    for (size_t i = 0; i < count; i++) {
        values[i] = maps[i].value;
        y.channels += maps[i].channels;
    }
    y.value = mskp_concat(n->graph, name ? named(n, name, "").s : NULL, count, values);
    return y;
}

map squeeze_excite(net *n, map x, size_t squeezed, mskp_activation_kind kind,
                   mskp_activation_kind gate)
{
    map y = global_average(n, x);
    y = activate(n, conv(n, "squeeze", y, biased(same(squeezed, 1, 1))), kind);
    y = activate(n, conv(n, "excite", y, biased(same(x.channels, 1, 1))), gate);
    return multiply(n, x, y);
}

/* ---- ends ---- */

map input(net *n, size_t channels, size_t size)
{
    return (map){.value = mskp_input(n->graph, "image", channels, 2, (size_t[]){size, size}),
                 .channels = channels,
                 .size = {size, size},
                 .nspatial = 2};
}

void output(net *n, map x)
{
    mskp_output(n->graph, x.value);
}

void classify(net *n, map x)
{
    at(n, "%s", "");
    output(n, linear(n, "classifier", flatten(n, global_average(n, x)), 1000));
}

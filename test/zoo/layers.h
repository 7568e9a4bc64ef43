/*
 * The layers that the networks of the zoo are made of. Each declares its parameters on the way and
 * returns a map: the value, and its size by arithmetic of its own. Errors need no care: the first
 * one sticks to the graph.
 */
#ifndef MSKP_TEST_ZOO_LAYERS_H
#define MSKP_TEST_ZOO_LAYERS_H

#include "zoo/zoo.h"

#include "by_id/by_id.h"
#include <stdbool.h>

typedef struct net {
    mskp_graph *graph;
    zoo_record *record; /* NULL: nobody asks */
    char at[64];        /* what names begin with: see at() */
} net;

typedef struct map {
    mskp_value value;
    size_t channels, size[2];
    uint32_t nspatial; /* 0: no axes, size is {1, 1} */
} map;

/* A convolution. groups 0 means 1. */
typedef struct shape {
    size_t out, kernel[2], stride, pad[2], groups;
    bool bias;
} shape;

shape same(size_t out, size_t kernel, size_t stride);  /* pads kernel / 2 */
shape valid(size_t out, size_t kernel, size_t stride); /* pads nothing */
shape rectangle(size_t out, size_t height, size_t width);
shape grouped(shape s, size_t groups);
shape biased(shape s);

/* From here on names begin with this, printf style: at(n, "layer%zu.%zu.", ...). */
#if defined __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
void at(net *n, const char *format, ...);
typedef struct text {
    char s[128];
} text;
text named(const net *n, const char *name, const char *suffix);
mskp_param parameter(net *n, const char *name, const char *suffix, uint32_t ndim,
                     const size_t *lengths);

/* name may be NULL where a layer has no parameters. MSKP_ACTIVATION_IDENTITY as activation:
 * none. */
map input(net *n, size_t channels, size_t size);
void output(net *n, map x);
map conv(net *n, const char *name, map x, shape s);
map conv_transposed(net *n, const char *name, map x, shape s);
map conv_norm(net *n, const char *name, map x, shape s, mskp_activation_kind kind);
map linear(net *n, const char *name, map x, size_t out);
map batch_norm(net *n, const char *name, map x);
map layer_norm(net *n, const char *name, map x, bool accept_inexact);
map activate(net *n, map x, mskp_activation_kind kind);
map max_pool(net *n, map x, size_t size, size_t stride, size_t pad);
map max_pool_ceil(net *n, map x, size_t size, size_t stride); /* the last window may be partial */
map average_pool(net *n, map x, size_t size, size_t stride, size_t pad);
map global_average(net *n, map x);
map resize(net *n, map x, size_t height, size_t width); /* crops, too */
map flatten(net *n, map x);
map add(net *n, const char *name, map a, map b);
map multiply(net *n, map a, map b);
map concat(net *n, const char *name, size_t count, const map *maps);

/* Hu et al., CVPR 2018: x times a gate of its global averages. */
map squeeze_excite(net *n, map x, size_t squeezed, mskp_activation_kind kind,
                   mskp_activation_kind gate);
/* Global average, classifier of 1000 classes, the network's output. */
void classify(net *n, map x);

/* Writes a layer down, if somebody asks. */
void record(net *n, const zoo_layer *layer);

/* ---- the networks, by group; option: which of it, or a variant ---- */

enum { RESNET_18, RESNET_50, RESNEXT_50 };
enum { WITHOUT_AUX, WITH_AUX };
enum { EXACT, INEXACT };
enum { TIED, REWRITABLE };

void zoo_resnet(net *n, int which);
void zoo_regnet_y(net *n, int unused);
void zoo_vgg16(net *n, int unused);
void zoo_squeezenet(net *n, int minor_version);
void zoo_unet(net *n, int unused);
void zoo_mobilenet_v2(net *n, int unused);
void zoo_mobilenet_v3(net *n, int unused);
void zoo_efficientnet(net *n, int unused);
void zoo_densenet(net *n, int depth);
void zoo_shufflenet_v2(net *n, int rewritable);
void zoo_googlenet(net *n, int aux);
void zoo_inception_v3(net *n, int aux);
void zoo_inception_v4(net *n, int unused);
void zoo_inception_resnet_v2(net *n, int unused);
void zoo_convnext(net *n, int accept_inexact);
void zoo_vit(net *n, int accept_inexact);

#endif

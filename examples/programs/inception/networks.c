/*
 * The networks are made of modules, and a module of branches side by side, which are a table each:
 * one row is a branch, one entry of it a convolution with its batch norm and ReLU. Widths in tables
 * are the paper's.
 */
#include "networks.h"

#include <stdio.h>

/* ---- layers ---- */

typedef struct builder {
    const inception *how;
    cn_layer *layers;
    size_t count, capacity;
    const char *module; /* begins the names of layers: "a1." */
} builder;

static size_t append(builder *b, cn_layer layer, const char *name)
{
    snprintf(layer.name, sizeof layer.name, "%s%s", b->module, name);
    if (b->count < b->capacity) b->layers[b->count] = layer;
    return b->count++;
}

static size_t scaled(const builder *b, size_t width)
{
    const size_t small = (width + b->how->divisor / 2) / b->how->divisor;
    return small < 2 ? 2 : small;
}

/* A convolution, padded so that a stride of 1 keeps the image's size. Zeros end a branch. */
typedef struct step {
    size_t channels, height, width, stride;
} step;

static size_t convolution(builder *b, size_t in, const step *s, const char *name)
{
    char word[CN_NAME_SIZE];
    snprintf(word, sizeof word, "%s.norm", name);
    in = append(b,
                (cn_layer){.kind = CN_CONV,
                           .in = {in},
                           .channels = scaled(b, s->channels),
                           .size = {s->height, s->width},
                           .stride = {s->stride, s->stride},
                           .pad = {s->height / 2, s->width / 2}},
                name);
    in = append(b, (cn_layer){.kind = CN_BATCH_NORM, .in = {in}}, word);
    snprintf(word, sizeof word, "%s.relu", name);
    return append(b, (cn_layer){.kind = CN_RELU, .in = {in}}, word);
}

/* ---- branches ---- */

typedef enum first_step { NO_POOL, AVERAGE, MAX, MAX_HALVES } first_step;

/* pool: what comes before the convolutions. split: the last two stand side by side. */
typedef struct branch {
    first_step pool;
    bool split;
    step step[6];
} branch;

static size_t pooling(builder *b, size_t in, first_step kind, const char *name)
{
    const size_t stride = kind == MAX_HALVES ? 2 : 1;
    return append(b,
                  (cn_layer){.kind = kind == AVERAGE ? CN_POOL_AVERAGE : CN_POOL_MAX,
                             .in = {in},
                             .size = {3, 3},
                             .stride = {stride, stride},
                             .pad = {1, 1}},
                  name);
}

/* The branches side by side, and their concatenation. */
static size_t branches(builder *b, size_t in, size_t n, const branch *row)
{
    cn_layer all = {.kind = CN_CONCAT};
    for (size_t i = 0; i < n; i++) {
        char name[48];
        size_t last = in, before = in;
        snprintf(name, sizeof name, "branch%zu.pool", i + 1);
        if (row[i].pool) last = pooling(b, in, row[i].pool, name);
        for (size_t k = 0; k < 6 && row[i].step[k].channels; k++) {
            const bool ends = k == 5 || !row[i].step[k + 1].channels;
            snprintf(name, sizeof name, "branch%zu.conv%zu", i + 1, k + 1);
            if (row[i].split && ends)
                all.in[all.inputs++] = last;
            else
                before = last;
            last = convolution(b, before, &row[i].step[k], name);
        }
        all.in[all.inputs++] = last;
    }
    return all.inputs > 1 ? append(b, all, "concat") : all.in[0];
}

#define BRANCHES(b, in, ...) \
    branches(b, in, sizeof((branch[]){__VA_ARGS__}) / sizeof(branch), (branch[]){__VA_ARGS__})
#define BRANCH(...)             \
    {                           \
        .step = { __VA_ARGS__ } \
    }
/* size x size; that with stride 2; height x width */
#define CONV(channels, size)    \
    {                           \
        channels, size, size, 1 \
    }
#define HALVES(channels, size)  \
    {                           \
        channels, size, size, 2 \
    }
#define RECT(channels, height, width) \
    {                                 \
        channels, height, width, 1    \
    }

/* What a residual module ends with: the branches' channels become `channels` again, without norm or
 * ReLU; they are scaled, and added to what the module read. */
static size_t residual(builder *b, size_t in, size_t from, size_t channels)
{
    size_t at = append(
        b, (cn_layer){.kind = CN_CONV, .in = {from}, .channels = scaled(b, channels), .bias = true},
        "up");
    if (b->how->additions) {
        at = append(b, (cn_layer){.kind = CN_SCALE, .in = {at}, .factor = b->how->scale}, "scale");
        at = append(b, (cn_layer){.kind = CN_ADD, .in = {in, at}}, "add");
    }
    return append(b, (cn_layer){.kind = CN_RELU, .in = {at}}, "relu");
}

/* ---- stems ---- */

/* Figure 3, of Inception-v4 and Inception-ResNet-v2. Strides are left at one place of four. */
static size_t stem(builder *b, size_t at)
{
    b->module = "stem1.";
    at = BRANCHES(b, at, BRANCH(CONV(32, 3), CONV(32, 3), CONV(64, 3)));
    b->module = "stem2.";
    at = BRANCHES(b, at, {.pool = MAX_HALVES}, BRANCH(HALVES(96, 3)));
    b->module = "stem3.";
    at = BRANCHES(b, at, BRANCH(CONV(64, 1), CONV(96, 3)),
                  BRANCH(CONV(64, 1), RECT(64, 7, 1), RECT(64, 1, 7), CONV(96, 3)));
    b->module = "stem4.";
    return BRANCHES(b, at, BRANCH(CONV(192, 3)), {.pool = MAX});
}

/* Figure 14, of Inception-ResNet-v1. */
static size_t plain_stem(builder *b, size_t at)
{
    b->module = "stem1.";
    at = BRANCHES(b, at, BRANCH(CONV(32, 3), CONV(32, 3), CONV(64, 3)));
    b->module = "stem2.";
    return BRANCHES(b, at, {.pool = MAX_HALVES, .step = {CONV(80, 1), CONV(192, 3), CONV(256, 3)}});
}

/* ---- reductions ---- */

/* Figure 7, with k, l, m, n of table 1. */
static size_t reduction_a(builder *b, size_t at, size_t k, size_t l, size_t m, size_t n)
{
    b->module = "reduction_a.";
    return BRANCHES(b, at, {.pool = MAX_HALVES}, BRANCH(HALVES(n, 3)),
                    BRANCH(CONV(k, 1), CONV(l, 3), HALVES(m, 3)));
}

/* Figures 12 and 18: with 256, 256 and 256, and with 288, 288 and 320 channels. */
static size_t residual_reduction_b(builder *b, size_t at, size_t x, size_t y, size_t z)
{
    b->module = "reduction_b.";
    return BRANCHES(b, at, {.pool = MAX_HALVES}, BRANCH(CONV(256, 1), HALVES(384, 3)),
                    BRANCH(CONV(256, 1), HALVES(x, 3)),
                    BRANCH(CONV(256, 1), CONV(y, 3), HALVES(z, 3)));
}

/* ---- modules, by the name of the network and of the kind ---- */

/* Figure 4. */
static size_t v4_a(builder *b, size_t at)
{
    return BRANCHES(b, at, {.pool = AVERAGE, .step = {CONV(96, 1)}}, BRANCH(CONV(96, 1)),
                    BRANCH(CONV(64, 1), CONV(96, 3)),
                    BRANCH(CONV(64, 1), CONV(96, 3), CONV(96, 3)));
}

/* Figure 5. */
static size_t v4_b(builder *b, size_t at)
{
    return BRANCHES(
        b, at, {.pool = AVERAGE, .step = {CONV(128, 1)}}, BRANCH(CONV(384, 1)),
        BRANCH(CONV(192, 1), RECT(224, 1, 7), RECT(256, 7, 1)),
        BRANCH(CONV(192, 1), RECT(192, 1, 7), RECT(224, 7, 1), RECT(224, 1, 7), RECT(256, 7, 1)));
}

/* Figure 8. */
static size_t v4_reduction_b(builder *b, size_t at)
{
    b->module = "reduction_b.";
    return BRANCHES(b, at, {.pool = MAX_HALVES}, BRANCH(CONV(192, 1), HALVES(192, 3)),
                    BRANCH(CONV(256, 1), RECT(256, 1, 7), RECT(320, 7, 1), HALVES(320, 3)));
}

/* Figure 6. */
static size_t v4_c(builder *b, size_t at)
{
    return BRANCHES(b, at, {.pool = AVERAGE, .step = {CONV(256, 1)}}, BRANCH(CONV(256, 1)),
                    {.split = true, .step = {CONV(384, 1), RECT(256, 1, 3), RECT(256, 3, 1)}},
                    {.split = true,
                     .step = {CONV(384, 1), RECT(448, 1, 3), RECT(512, 3, 1), RECT(256, 3, 1),
                              RECT(256, 1, 3)}});
}

/* Figure 10. */
static size_t v1_a(builder *b, size_t at)
{
    return residual(b, at,
                    BRANCHES(b, at, BRANCH(CONV(32, 1)), BRANCH(CONV(32, 1), CONV(32, 3)),
                             BRANCH(CONV(32, 1), CONV(32, 3), CONV(32, 3))),
                    256);
}

/* Figure 11. */
static size_t v1_b(builder *b, size_t at)
{
    return residual(b, at,
                    BRANCHES(b, at, BRANCH(CONV(128, 1)),
                             BRANCH(CONV(128, 1), RECT(128, 1, 7), RECT(128, 7, 1))),
                    896);
}

/* Figure 13. */
static size_t v1_c(builder *b, size_t at)
{
    return residual(b, at,
                    BRANCHES(b, at, BRANCH(CONV(192, 1)),
                             BRANCH(CONV(192, 1), RECT(192, 1, 3), RECT(192, 3, 1))),
                    1792);
}

/* Figure 16. */
static size_t v2_a(builder *b, size_t at)
{
    return residual(b, at,
                    BRANCHES(b, at, BRANCH(CONV(32, 1)), BRANCH(CONV(32, 1), CONV(32, 3)),
                             BRANCH(CONV(32, 1), CONV(48, 3), CONV(64, 3))),
                    384);
}

/* Figure 17. */
static size_t v2_b(builder *b, size_t at)
{
    return residual(b, at,
                    BRANCHES(b, at, BRANCH(CONV(192, 1)),
                             BRANCH(CONV(128, 1), RECT(160, 1, 7), RECT(192, 7, 1))),
                    1152);
}

/* Figure 19. */
static size_t v2_c(builder *b, size_t at)
{
    return residual(b, at,
                    BRANCHES(b, at, BRANCH(CONV(192, 1)),
                             BRANCH(CONV(192, 1), RECT(224, 1, 3), RECT(256, 3, 1))),
                    2144);
}

/* ---- networks ---- */

static size_t repeat(builder *b, size_t at, size_t kind, size_t (*module)(builder *b, size_t at))
{
    for (size_t i = 0; i < b->how->modules[kind]; i++) {
        char name[32];
        snprintf(name, sizeof name, "%c%zu.", "abc"[kind], i + 1);
        b->module = name;
        at = module(b, at);
    }
    return at;
}

size_t inception_layers(const inception *how, size_t classes, size_t capacity, cn_layer *layers)
{
    static size_t (*const MODULES[INCEPTION_KINDS][3])(builder * b, size_t at) = {
        [INCEPTION_V4] = {v4_a, v4_b, v4_c},
        [INCEPTION_RESNET_V1] = {v1_a, v1_b, v1_c},
        [INCEPTION_RESNET_V2] = {v2_a, v2_b, v2_c},
    };
    const bool v1 = how->kind == INCEPTION_RESNET_V1, v4 = how->kind == INCEPTION_V4;
    builder b = {.how = how, .layers = layers, .capacity = capacity, .module = ""};
    size_t at =
        append(&b, (cn_layer){.kind = CN_INPUT, .channels = 3, .height = CN_SIDE, .width = CN_SIDE},
               "image");
    at = v1 ? plain_stem(&b, at) : stem(&b, at);
    at = repeat(&b, at, 0, MODULES[how->kind][0]);
    at = v4   ? reduction_a(&b, at, 192, 224, 256, 384)
         : v1 ? reduction_a(&b, at, 192, 192, 256, 384)
              : reduction_a(&b, at, 256, 256, 384, 384);
    at = repeat(&b, at, 1, MODULES[how->kind][1]);
    at = v4   ? v4_reduction_b(&b, at)
         : v1 ? residual_reduction_b(&b, at, 256, 256, 256)
              : residual_reduction_b(&b, at, 288, 288, 320);
    at = repeat(&b, at, 2, MODULES[how->kind][2]);
    b.module = "";
    at = append(&b, (cn_layer){.kind = CN_GLOBAL_AVERAGE, .in = {at}}, "average");
    append(&b, (cn_layer){.kind = CN_LINEAR, .in = {at}, .channels = classes, .bias = true},
           "linear");
    return b.count;
}

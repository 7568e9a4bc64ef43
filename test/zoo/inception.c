/*
 * Branches side by side. GoogLeNet: Szegedy et al., CVPR 2015; here as torchvision has it, with
 * batch norms and 3x3 convolutions where the paper has 5x5. Inception-v3: Szegedy et al., CVPR
 * 2016. Inception-v4 and Inception-ResNet-v2: Szegedy et al., arXiv 1602.07261, with the widths
 * that the published weights have.
 */
#include "zoo/layers.h"

#include "by_id/by_id.h"
#include <stdio.h>

/* A branch: first a pooling or none, then up to six convolutions, each with norm and relu. split:
 * the last two stand side by side. */
typedef enum first_step { NO_POOL, MAX_POOL, AVERAGE_POOL, SHRINKING_MAX_POOL } first_step;
typedef struct branch {
    first_step pool;
    bool split;
    shape step[6];
} branch;

static size_t steps(const branch *b)
{
    size_t count = 0;
    while (count < 6 && b->step[count].out) count++;
    return count;
}

static map pooled(net *n, map x, first_step pool)
{
    switch (pool) {
    case MAX_POOL:
        return max_pool(n, x, 3, 1, 1);
    case AVERAGE_POOL:
        return average_pool(n, x, 3, 1, 1);
    case SHRINKING_MAX_POOL:
        return max_pool(n, x, 3, 2, 0);
    case NO_POOL:
        break;
    }
    return x;
}

static map module(net *n, map x, size_t count, const branch *b)
{
    map out[8];
    size_t outs = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t all = steps(&b[i]);
        map y = pooled(n, x, b[i].pool), before = y;
        for (size_t k = 0; k < all; k++) {
            char name[64];
            snprintf(name, sizeof name, "branch%zu.%zu", i + 1, k + 1);
            if (b[i].split && k + 1 == all)
                out[outs++] = y;
            else
                before = y;
            y = conv_norm(n, name, before, b[i].step[k], MSKP_ACTIVATION_RELU);
        }
        out[outs++] = y;
    }
    return concat(n, "out", outs, out);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Convolutions one after the other: a module of one branch. */
#define SEQUENCE(n, x, ...) module(n, x, 1, &(branch){.step = {__VA_ARGS__}})

/* ---- GoogLeNet ---- */

/* The two auxiliary classifiers: of 4 x 4 averages, of 5 x 5 in Inception-v3. */
static void googlenet_aux(net *n, map x)
{
    x = SEQUENCE(n, resize(n, x, 4, 4), same(128, 1, 1));
    x = activate(n, linear(n, "fc1", flatten(n, x), 1024), MSKP_ACTIVATION_RELU);
    output(n, linear(n, "fc2", x, 1000));
}

void zoo_googlenet(net *n, int aux)
{
    static const struct {
        const char *name;
        size_t one, squeeze3, three, squeeze5, five, pool;
        size_t max_pool; /* size of the one that follows */
        bool aux;
    } table[] = {{"3a", 64, 96, 128, 16, 32, 32, 0, false},
                 {"3b", 128, 128, 192, 32, 96, 64, 3, false},
                 {"4a", 192, 96, 208, 16, 48, 64, 0, true},
                 {"4b", 160, 112, 224, 24, 64, 64, 0, false},
                 {"4c", 128, 128, 256, 24, 64, 64, 0, false},
                 {"4d", 112, 144, 288, 32, 64, 64, 0, true},
                 {"4e", 256, 160, 320, 32, 128, 128, 2, false},
                 {"5a", 256, 160, 320, 32, 128, 128, 0, false},
                 {"5b", 384, 192, 384, 48, 128, 128, 0, false}};
    at(n, "stem1.");
    map x = max_pool_ceil(n, SEQUENCE(n, input(n, 3, 224), same(64, 7, 2)), 3, 2);
    at(n, "stem2.");
    x = max_pool_ceil(n, SEQUENCE(n, x, same(64, 1, 1), same(192, 3, 1)), 3, 2);
    for (size_t i = 0; i < COUNT(table); i++) {
        const branch b[] = {{.step = {same(table[i].one, 1, 1)}},
                            {.step = {same(table[i].squeeze3, 1, 1), same(table[i].three, 3, 1)}},
                            {.step = {same(table[i].squeeze5, 1, 1), same(table[i].five, 3, 1)}},
                            {.pool = MAX_POOL, .step = {same(table[i].pool, 1, 1)}}};
        at(n, "inception%s.", table[i].name);
        x = module(n, x, COUNT(b), b);
        at(n, "aux%s.", table[i].name);
        if (aux == WITH_AUX && table[i].aux) googlenet_aux(n, x);
        if (table[i].max_pool) x = max_pool_ceil(n, x, table[i].max_pool, 2);
    }
    classify(n, x);
}

/* From 35 x 35 to 17 x 17: all three are alike here. */
static map to_17(net *n, map x, size_t squeeze, size_t middle, size_t out)
{
    const branch b[] = {{.step = {valid(384, 3, 2)}},
                        {.step = {same(squeeze, 1, 1), same(middle, 3, 1), valid(out, 3, 2)}},
                        {.pool = SHRINKING_MAX_POOL}};
    return module(n, x, COUNT(b), b);
}

/* ---- Inception-v3 ---- */

/* Inception-ResNet-v2 has one, too. */
static map v3_35(net *n, map x, size_t one, size_t pool)
{
    const branch b[] = {{.step = {same(one, 1, 1)}},
                        {.step = {same(48, 1, 1), same(64, 5, 1)}},
                        {.step = {same(64, 1, 1), same(96, 3, 1), same(96, 3, 1)}},
                        {.pool = AVERAGE_POOL, .step = {same(pool, 1, 1)}}};
    return module(n, x, COUNT(b), b);
}

static map v3_17(net *n, map x, size_t width)
{
    const branch b[] = {{.step = {same(192, 1, 1)}},
                        {.step = {same(width, 1, 1), rectangle(width, 1, 7), rectangle(192, 7, 1)}},
                        {.step = {same(width, 1, 1), rectangle(width, 7, 1), rectangle(width, 1, 7),
                                  rectangle(width, 7, 1), rectangle(192, 1, 7)}},
                        {.pool = AVERAGE_POOL, .step = {same(192, 1, 1)}}};
    return module(n, x, COUNT(b), b);
}

static map v3_to_8(net *n, map x)
{
    const branch b[] = {
        {.step = {same(192, 1, 1), valid(320, 3, 2)}},
        {.step = {same(192, 1, 1), rectangle(192, 1, 7), rectangle(192, 7, 1), valid(192, 3, 2)}},
        {.pool = SHRINKING_MAX_POOL}};
    return module(n, x, COUNT(b), b);
}

static map v3_8(net *n, map x)
{
    const branch b[] = {
        {.step = {same(320, 1, 1)}},
        {.split = true, .step = {same(384, 1, 1), rectangle(384, 1, 3), rectangle(384, 3, 1)}},
        {.split = true,
         .step = {same(448, 1, 1), same(384, 3, 1), rectangle(384, 1, 3), rectangle(384, 3, 1)}},
        {.pool = AVERAGE_POOL, .step = {same(192, 1, 1)}}};
    return module(n, x, COUNT(b), b);
}

static void v3_aux(net *n, map x)
{
    at(n, "aux.");
    x = SEQUENCE(n, average_pool(n, x, 5, 3, 0), same(128, 1, 1), valid(768, 5, 1));
    output(n, linear(n, "fc", flatten(n, global_average(n, x)), 1000));
}

/* Up to 35 x 35; Inception-ResNet-v2 begins so, too. */
static map v3_stem(net *n)
{
    at(n, "stem1.");
    map x = SEQUENCE(n, input(n, 3, 299), valid(32, 3, 2), valid(32, 3, 1), same(64, 3, 1));
    at(n, "stem2.");
    x = SEQUENCE(n, max_pool(n, x, 3, 2, 0), same(80, 1, 1), valid(192, 3, 1));
    return max_pool(n, x, 3, 2, 0);
}

void zoo_inception_v3(net *n, int aux)
{
    static const size_t pool[] = {32, 64, 64}, width[] = {128, 160, 160, 192};
    map x = v3_stem(n);
    for (size_t i = 0; i < COUNT(pool); i++) {
        at(n, "block35.%zu.", i + 1);
        x = v3_35(n, x, 64, pool[i]);
    }
    at(n, "to17.");
    x = to_17(n, x, 64, 96, 96);
    for (size_t i = 0; i < COUNT(width); i++) {
        at(n, "block17.%zu.", i + 1);
        x = v3_17(n, x, width[i]);
    }
    if (aux == WITH_AUX) v3_aux(n, x);
    at(n, "to8.");
    x = v3_to_8(n, x);
    for (size_t i = 0; i < 2; i++) {
        at(n, "block8.%zu.", i + 1);
        x = v3_8(n, x);
    }
    classify(n, x);
}

/* ---- Inception-v4 ---- */

static map v4_stem(net *n)
{
    const branch first[] = {{.pool = SHRINKING_MAX_POOL}, {.step = {valid(96, 3, 2)}}};
    const branch second[] = {
        {.step = {same(64, 1, 1), valid(96, 3, 1)}},
        {.step = {same(64, 1, 1), rectangle(64, 1, 7), rectangle(64, 7, 1), valid(96, 3, 1)}}};
    const branch third[] = {{.step = {valid(192, 3, 2)}}, {.pool = SHRINKING_MAX_POOL}};
    at(n, "stem1.");
    map x = SEQUENCE(n, input(n, 3, 299), valid(32, 3, 2), valid(32, 3, 1), same(64, 3, 1));
    at(n, "stem2.");
    x = module(n, x, COUNT(first), first);
    at(n, "stem3.");
    x = module(n, x, COUNT(second), second);
    at(n, "stem4.");
    return module(n, x, COUNT(third), third);
}

static map v4_35(net *n, map x)
{
    const branch b[] = {{.step = {same(96, 1, 1)}},
                        {.step = {same(64, 1, 1), same(96, 3, 1)}},
                        {.step = {same(64, 1, 1), same(96, 3, 1), same(96, 3, 1)}},
                        {.pool = AVERAGE_POOL, .step = {same(96, 1, 1)}}};
    return module(n, x, COUNT(b), b);
}

static map v4_17(net *n, map x)
{
    const branch b[] = {{.step = {same(384, 1, 1)}},
                        {.step = {same(192, 1, 1), rectangle(224, 1, 7), rectangle(256, 7, 1)}},
                        {.step = {same(192, 1, 1), rectangle(192, 7, 1), rectangle(224, 1, 7),
                                  rectangle(224, 7, 1), rectangle(256, 1, 7)}},
                        {.pool = AVERAGE_POOL, .step = {same(128, 1, 1)}}};
    return module(n, x, COUNT(b), b);
}

static map v4_to_8(net *n, map x)
{
    const branch b[] = {
        {.step = {same(192, 1, 1), valid(192, 3, 2)}},
        {.step = {same(256, 1, 1), rectangle(256, 1, 7), rectangle(320, 7, 1), valid(320, 3, 2)}},
        {.pool = SHRINKING_MAX_POOL}};
    return module(n, x, COUNT(b), b);
}

static map v4_8(net *n, map x)
{
    const branch b[] = {
        {.step = {same(256, 1, 1)}},
        {.split = true, .step = {same(384, 1, 1), rectangle(256, 1, 3), rectangle(256, 3, 1)}},
        {.split = true,
         .step = {same(384, 1, 1), rectangle(448, 3, 1), rectangle(512, 1, 3), rectangle(256, 1, 3),
                  rectangle(256, 3, 1)}},
        {.pool = AVERAGE_POOL, .step = {same(256, 1, 1)}}};
    return module(n, x, COUNT(b), b);
}

void zoo_inception_v4(net *n, int unused)
{
    (void)unused;
    map x = v4_stem(n);
    for (size_t i = 0; i < 4; i++) {
        at(n, "block35.%zu.", i + 1);
        x = v4_35(n, x);
    }
    at(n, "to17.");
    x = to_17(n, x, 192, 224, 256);
    for (size_t i = 0; i < 7; i++) {
        at(n, "block17.%zu.", i + 1);
        x = v4_17(n, x);
    }
    at(n, "to8.");
    x = v4_to_8(n, x);
    for (size_t i = 0; i < 3; i++) {
        at(n, "block8.%zu.", i + 1);
        x = v4_8(n, x);
    }
    classify(n, x);
}

/* ---- Inception-ResNet-v2 ---- */

/*
 * x + scale * (1x1 convolution of the branches). To scale by a constant is no activation, but like
 * identity it keeps zero at zero, which is all that matters here.
 */
static map scaled_residual(net *n, map x, size_t count, const branch *b, mskp_activation_kind kind)
{
    map y = conv(n, "up", module(n, x, count, b), biased(same(x.channels, 1, 1)));
    y.value = mskp_activation(n->graph, named(n, "scale", "").s, y.value,
                              &(mskp_activation_desc){.kind = MSKP_ACTIVATION_IDENTITY});
    return activate(n, add(n, "sum", x, y), kind);
}

static map residual_35(net *n, map x)
{
    const branch b[] = {{.step = {same(32, 1, 1)}},
                        {.step = {same(32, 1, 1), same(32, 3, 1)}},
                        {.step = {same(32, 1, 1), same(48, 3, 1), same(64, 3, 1)}}};
    return scaled_residual(n, x, COUNT(b), b, MSKP_ACTIVATION_RELU);
}

static map residual_17(net *n, map x)
{
    const branch b[] = {{.step = {same(192, 1, 1)}},
                        {.step = {same(128, 1, 1), rectangle(160, 1, 7), rectangle(192, 7, 1)}}};
    return scaled_residual(n, x, COUNT(b), b, MSKP_ACTIVATION_RELU);
}

static map residual_8(net *n, map x, mskp_activation_kind kind)
{
    const branch b[] = {{.step = {same(192, 1, 1)}},
                        {.step = {same(192, 1, 1), rectangle(224, 1, 3), rectangle(256, 3, 1)}}};
    return scaled_residual(n, x, COUNT(b), b, kind);
}

static map residual_to_8(net *n, map x)
{
    const branch b[] = {{.step = {same(256, 1, 1), valid(384, 3, 2)}},
                        {.step = {same(256, 1, 1), valid(288, 3, 2)}},
                        {.step = {same(256, 1, 1), same(288, 3, 1), valid(320, 3, 2)}},
                        {.pool = SHRINKING_MAX_POOL}};
    return module(n, x, COUNT(b), b);
}

void zoo_inception_resnet_v2(net *n, int unused)
{
    (void)unused;
    map x = v3_stem(n);
    at(n, "stem3.");
    x = v3_35(n, x, 96, 64);
    for (size_t i = 0; i < 10; i++) {
        at(n, "block35.%zu.", i + 1);
        x = residual_35(n, x);
    }
    at(n, "to17.");
    x = to_17(n, x, 256, 256, 384);
    for (size_t i = 0; i < 20; i++) {
        at(n, "block17.%zu.", i + 1);
        x = residual_17(n, x);
    }
    at(n, "to8.");
    x = residual_to_8(n, x);
    for (size_t i = 0; i < 10; i++) {
        at(n, "block8.%zu.", i + 1);
        x = residual_8(n, x, i < 9 ? MSKP_ACTIVATION_RELU : MSKP_ACTIVATION_IDENTITY);
    }
    at(n, "last.");
    classify(n, SEQUENCE(n, x, same(1536, 1, 1)));
}

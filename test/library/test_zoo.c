/* Networks of the literature: their costs, their tied and pinned channels, and their exact
 * units. */
#include "guarded_memory/guarded_memory.h"
#include "zoo/zoo.h"

#include "by_id/by_id.h"
#include <check.h>
#include <stdlib.h>
#include <string.h>

/*
 * params, macs   those of torchvision 0.14's modules: their parameters added up, and their
 *                convolutions, linear layers and attentions counted by forward hooks. Inception-v4
 *                and Inception-ResNet-v2: parameters as pytorchcv's tests have them, MACs by the
 *                layers alone. U-Net: unet_by_hand() below.
 * units          by what the papers say is added to what; EACH: nothing is, and each output channel
 *                that is not pinned is one
 * pinned         output channels, over all layers with weights, that are never removed
 */
typedef struct known {
    const char *name;
    double params, macs;
    size_t units, pinned;
} known;

enum {
    /* Streams of 4 stages, and what else a ResNet has. */
    R18 = 64 + 128 + 256 + 512,
    R50 = 64 + 4 * R18,
    /* MobileNet-v2: stem, streams, hidden channels, last. */
    V2 = 32 + (16 + 24 + 32 + 64 + 96 + 160 + 320) +
         6 * (16 + 24 + 24 + 32 * 3 + 64 * 4 + 96 * 3 + 160 * 3) + 1280,
    /* MobileNet-v3: the stem is stage 1's stream; squeezed channels; the classifier's hidden
     * ones. */
    V3 = 16 + (24 + 40 + 80 + 112 + 160) +
         (64 + 72 + 72 + 120 * 2 + 240 + 200 + 184 * 2 + 480 + 672 * 2 + 960 * 2) + 960 +
         (24 + 32 * 2 + 120 + 168 * 2 + 240 * 2) + 1280,
    B0 = 32 + (16 + 24 + 40 + 80 + 112 + 192 + 320) +
         6 * (16 + 24 * 2 + 40 * 2 + 80 * 3 + 112 * 3 + 192 * 4) + 1280 +
         (8 + 4 + 6 * 2 + 10 * 2 + 20 * 3 + 28 * 3 + 48 * 4),
    /* Half a stage's width for each branch, all but the passed-by halves new. */
    SHUFFLE = 24 + 58 * (2 * 4 + 1) + 116 * (2 * 8 + 1) + 232 * (2 * 4 + 1) + 1024,
    CONVNEXT = 4 * (3 * 96 + 3 * 192 + 9 * 384 + 3 * 768),
    VIT = 12 * (12 + 3072),
    /* Inception-ResNet-v2: up to 35 x 35, then blocks and transitions; the streams begin in
     * them. */
    IR2 = (32 + 32 + 64 + 80 + 192) + (96 + 48 + 64 + 64 + 96 + 96 + 64) +
          10 * (32 + 32 + 32 + 32 + 48 + 64) + (384 + 256 + 256 + 384) +
          20 * (192 + 128 + 160 + 192) + (256 + 384 + 256 + 288 + 256 + 288 + 320) +
          10 * (192 + 192 + 224 + 256) + 1536,
    EACH = 0,
};

static const known KNOWN[] = {
    {"resnet18", 11689512, 1814073344, R18 + 2 * R18, 1000},
    {"resnet50", 25557032, 4089184256, R50 + 2 * (3 * 64 + 4 * 128 + 6 * 256 + 3 * 512), 1000},
    {"resnext50_32x4d", 25028904, 4230479872, R50 + 2 * (3 * 4 + 4 * 8 + 6 * 16 + 3 * 32), 1000},
    {"regnet_y_400mf", 4344144, 401842848,
     32 + (48 + 104 + 208 + 440) + 16 * 2 * 8 +
         (8 + 12 + 26 * 2 + 26 + 52 * 5 + 52 + 110 * 5), /* 16 blocks of groups of 8 */
     1000},
    {"vgg16_bn", 138365992, 15470264320, 2 * 64 + 2 * 128 + 3 * 256 + 6 * 512 + 2 * 4096, 1000},
    {"squeezenet1_0", 1248424, 818924576, 96 + 9 * 2 * (16 + 32 + 48 + 64), 1000},
    {"squeezenet1_1", 1235496, 349151936, 64 + 9 * 2 * (16 + 32 + 48 + 64), 1000},
    {"unet", 31030658, 150428424448, 5 * R18 + 2 * 1024, 2},
    {"mobilenet_v2", 3504872, 300774272, V2, 1000},
    {"mobilenet_v3_large", 5483032, 216589760, V3, 1000},
    {"efficientnet_b0", 5288548, 385814752, B0, 1000},
    {"densenet121", 7978856, 2834161664, 64 + 58 * (128 + 32) + 128 + 256 + 512, 1000},
    {"densenet169", 14149480, 3359843328, 64 + 82 * (128 + 32) + 128 + 256 + 640, 1000},
    {"densenet201", 20013928, 4291365888, 64 + 98 * (128 + 32) + 128 + 256 + 896, 1000},
    /* One branch of each unit is hidden; the streams' units are what shuffles_by_hand() finds. */
    {"shufflenet_v2_x1_0", 2278604, 144907992,
     24 + (58 * 4 + 116 * 8 + 232 * 4) + (1 + 1 + 29) + 1024, 1000},
    {"shufflenet_v2_x1_0/rewritable", 2278604, 144907992, SHUFFLE, 1000},
    {"googlenet", 6624904, 1498376192, EACH, 1000},
    {"googlenet/aux", 13004888, 1506748416, EACH, 3000},
    {"inception_v3", 23834568, 5713216096, EACH, 1000},
    {"inception_v3/aux", 27161264, 5718899296, EACH, 2000},
    {"inception_v4", 42679816, 12253974624, EACH, 1000},
    {"inception_resnet_v2", 55843464, 13155794016, IR2, 1000},
    /* Pinned: each block's depthwise convolution and its result, stem and transitions. */
    {"convnext_tiny", 28589128, 4455531264, CONVNEXT, CONVNEXT / 2 + (96 + 192 + 384 + 768) + 1000},
    {"convnext_tiny/inexact", 28589128, 4455531264, CONVNEXT + 96 + 192 + 384 + 768, 1000},
    /* Pinned: the patches, each attention's and each MLP's result. */
    {"vit_b_16", 86567656, 17563828224, VIT, (1 + 2 * 12) * 768 + 1000},
    {"vit_b_16/inexact", 86567656, 17563828224, VIT + 768, 1000},
};
enum { NETWORKS = sizeof KNOWN / sizeof *KNOWN };

/* ---- a network of the zoo ---- */

typedef struct subject {
    const known *known;
    mskp_graph *graph;
    zoo_record record;
    mskp_counts counts;
    mskp_cost cost;
} subject;

static subject begin(const char *name)
{
    subject s = {.graph = NULL};
    mskp_error err = {0};
    for (size_t i = 0; i < NETWORKS; i++)
        if (strcmp(KNOWN[i].name, name) == 0) s.known = &KNOWN[i];
    must(s.known, "%s is not known", name);
    s.graph = zoo_make_recorded(name, NULL, &s.record);
    must(s.graph, "%s is not in the zoo", name);
    must(mskp_graph_finish(s.graph, &err) == MSKP_OK, "%s: %s", name, err.text);
    s.counts = mskp_graph_counts(s.graph);
    ck_assert_int_eq(mskp_measure(s.graph, (mskp_mask){0}, &s.cost, NULL, NULL), MSKP_OK);
    return s;
}

static void end(subject *s)
{
    mskp_graph_destroy(s->graph);
    zoo_record_free(&s->record);
}

static void *room(size_t n, size_t size)
{
    void *memory = calloc(n ? n : 1, size);
    must(memory, "no memory");
    return memory;
}

static mskp_coupling info(const subject *s, const char *value)
{
    mskp_coupling i;
    const mskp_value v = mskp_value_find(s->graph, value);
    must(v.id, "%s has no value %s", s->known->name, value);
    ck_assert_int_eq(mskp_value_coupling(s->graph, v, &i, NULL), MSKP_OK);
    return i;
}

/* ---- 1. Parameters ---- */

static size_t elements(const mskp_graph *graph, mskp_param p)
{
    size_t shape[MSKP_MAX_DIMS], n = 1;
    const uint32_t ndim = mskp_param_shape(graph, p, shape);
    for (uint32_t d = 0; d < ndim; d++) n *= shape[d];
    return n;
}

/* Without running statistics, which are known by their names. */
static size_t all_elements(const mskp_graph *graph)
{
    size_t n = 0;
    for (uint32_t p = 1; p <= mskp_graph_counts(graph).params; p++) {
        const char *name;
        param_info(graph, (mskp_param){p}, &name, NULL);
        if (!strstr(name, ".running_")) n += elements(graph, (mskp_param){p});
    }
    return n;
}

START_TEST(parameters_are_the_published_ones)
{
    subject s = begin(zoo_names[_i]);
    must(s.cost.params == s.known->params, "%s: %.0f, published are %.0f", s.known->name,
         s.cost.params, s.known->params);
    ck_assert_uint_eq(all_elements(s.graph), (size_t)s.known->params);
    end(&s);
}
END_TEST

/* Layer by layer, as in figure 1 of the paper. */
START_TEST(unet_by_hand)
{
    double params = 0, macs = 0;
    uint64_t in = 1, size = 572;
    for (size_t level = 0; level < 5; level++) {
        const uint64_t out = (uint64_t)64 << level;
        params += (double)((in * 9 + 1) * out + (out * 9 + 1) * out);
        macs += (double)((size - 2) * (size - 2) * 9 * in * out) +
                (double)((size - 4) * (size - 4) * 9 * out * out);
        in = out;
        size = level < 4 ? (size - 4) / 2 : size - 4;
    }
    for (size_t level = 4; level-- > 0;) {
        const uint64_t out = (uint64_t)64 << level;
        params += (double)((2 * out * 4 + 1) * out + (2 * out * 9 + 1) * out + (out * 9 + 1) * out);
        macs += (double)(size * size * 4 * 2 * out * out);
        size *= 2;
        macs += (double)((size - 2) * (size - 2) * 9 * 2 * out * out) +
                (double)((size - 4) * (size - 4) * 9 * out * out);
        size -= 4;
    }
    ck_assert_uint_eq(size, 388);
    subject s = begin("unet");
    ck_assert(s.cost.params == params + (64 + 1) * 2);
    ck_assert(s.cost.macs == macs + 388.0 * 388 * 64 * 2);
    end(&s);
}
END_TEST

/* ---- 2. Multiply-accumulates ---- */

static uint64_t product(const size_t pair[2])
{
    return (uint64_t)pair[0] * pair[1];
}

static uint64_t declared_macs(const zoo_layer *l)
{
    const uint64_t weights = product(l->kernel) * (l->in / l->groups) * l->out;
    const uint64_t before = product(l->in_size), after = product(l->out_size);
    switch (l->kind) {
    case ZOO_CONV_TRANSPOSED:
        return before * weights;
    case ZOO_ATTENTION: /* query, key, value and output; who looks at whom, and what is seen */
        return before * 4 * l->in * l->in + 2 * before * before * l->in;
    default:
        return after * weights;
    }
}

START_TEST(macs_are_those_of_the_layers)
{
    subject s = begin(zoo_names[_i]);
    uint64_t macs = 0;
    for (size_t i = 0; i < s.record.n; i++) macs += declared_macs(&s.record.layer[i]);
    must((double)macs == s.cost.macs, "%s: %.0f, its layers have %llu", s.known->name, s.cost.macs,
         (unsigned long long)macs);
    must(s.known->macs == s.cost.macs, "%s: %.0f, known are %.0f", s.known->name, s.cost.macs,
         s.known->macs);
    end(&s);
}
END_TEST

/* ---- 3. After a mask ---- */

static bool alive(const uint32_t *unit, size_t n, const uint8_t *keep)
{
    for (size_t i = 0; i < n; i++)
        if (unit[i] == MSKP_PINNED || keep[unit[i]]) return true;
    return false;
}

/* Removes about a part, but leaves every value and every axis a channel. */
static void random_mask(const subject *s, rng *r, double part, uint8_t *keep)
{
    size_t n;
    for (size_t u = 0; u < s->counts.units; u++) keep[u] = rng_real(r) >= 2 * part - 1;
    for (uint32_t v = 1; v <= s->counts.values; v++) {
        const uint32_t *unit = mskp_value_units(s->graph, (mskp_value){v}, &n);
        if (!alive(unit, n, keep)) keep[unit[rng_below(r, n)]] = 1;
    }
    for (uint32_t p = 1; p <= s->counts.params; p++)
        for (uint32_t d = 0; d < MSKP_MAX_DIMS; d++) {
            const uint32_t *unit = mskp_param_units(s->graph, (mskp_param){p}, d, NULL, &n);
            if (unit && !alive(unit, n, keep)) keep[unit[rng_below(r, n)]] = 1;
        }
}

/* By the shapes that the weights have now; positions are what they were. */
static uint64_t macs_left(const zoo_record *record, const mskp_graph *small)
{
    uint64_t macs = 0;
    for (size_t i = 0; i < record->n; i++) {
        const zoo_layer *l = &record->layer[i];
        const uint64_t at = product(l->kind == ZOO_CONV_TRANSPOSED ? l->in_size : l->out_size);
        macs += at * elements(small, l->weight);
        if (l->kind == ZOO_ATTENTION) {
            size_t rows[MSKP_MAX_DIMS], columns[MSKP_MAX_DIMS];
            mskp_param_shape(small, l->weight, rows);
            mskp_param_shape(small, l->projection, columns);
            macs += at * elements(small, l->projection) + at * at * (rows[0] / 3 + columns[1]);
        }
    }
    return macs;
}

START_TEST(costs_are_what_is_left)
{
    subject s = begin(zoo_names[_i]);
    uint8_t *keep = room(s.counts.units, 1);
    for (uint64_t seed = 1; seed <= scaled(4); seed++) {
        rng r = {seed * 0x9e3779b97f4a7c15u};
        mskp_plan *plan;
        mskp_graph *small;
        mskp_cost said, is;
        mskp_error err = {0};
        random_mask(&s, &r, 0.2 * (double)(1 + seed % 4), keep);
        ck_assert_int_eq(mskp_measure(s.graph, mask_of(s.counts.units, keep), &said, NULL, NULL),
                         MSKP_OK);
        const mskp_status status =
            mskp_plan_create(s.graph, mask_of(s.counts.units, keep), &plan, &small, &err);
        must(status == MSKP_OK, "%s, seed %llu: %s", s.known->name, (unsigned long long)seed,
             err.text);
        ck_assert_int_eq(mskp_measure(small, (mskp_mask){0}, &is, NULL, NULL), MSKP_OK);
        must(is.params == said.params && is.macs == said.macs,
             "%s, seed %llu: %.0f parameters and %.0f MACs, said were %.0f and %.0f", s.known->name,
             (unsigned long long)seed, is.params, is.macs, said.params, said.macs);
        must((double)all_elements(small) == is.params &&
                 (double)macs_left(&s.record, small) == is.macs,
             "%s, seed %llu: %.0f parameters and %.0f MACs, shapes say %zu and %llu", s.known->name,
             (unsigned long long)seed, is.params, is.macs, all_elements(small),
             (unsigned long long)macs_left(&s.record, small));
        must(is.params < s.cost.params && is.macs < s.cost.macs, "%s, seed %llu: nothing is saved",
             s.known->name, (unsigned long long)seed);
        mskp_plan_destroy(plan);
        mskp_graph_destroy(small);
    }
    free(keep);
    end(&s);
}
END_TEST

/* ---- 4. Half of it ---- */

START_TEST(half_of_the_macs)
{
    subject s = begin(zoo_names[_i]);
    rng r = {7};
    double *scores = room(s.counts.units, sizeof *scores);
    uint8_t *keep = room(s.counts.units, 1);
    mskp_selection selection;
    mskp_cost cost;
    mskp_error err = {0};
    for (size_t u = 0; u < s.counts.units; u++) scores[u] = rng_real(&r) + 1;
    const mskp_status status = mskp_select(s.graph, scores_of(s.counts.units, scores),
                                           &(mskp_rule){.max_macs = 0.5 * s.cost.macs},
                                           mask_of(s.counts.units, keep), &selection, &err);
    must(status == MSKP_OK, "%s: %s", s.known->name, err.text);
    ck_assert_int_eq(mskp_measure(s.graph, mask_of(s.counts.units, keep), &cost, NULL, NULL),
                     MSKP_OK);
    must(cost.macs <= 0.5 * s.cost.macs && cost.macs == selection.cost.macs,
         "%s: %.0f of %.0f are left, the selection says %.0f", s.known->name, cost.macs,
         s.cost.macs, selection.cost.macs);
    free(keep);
    free(scores);
    end(&s);
}
END_TEST

/* ---- 5. Tied and pinned ---- */

START_TEST(units_and_pinned_channels)
{
    subject s = begin(zoo_names[_i]);
    size_t pinned = 0, outputs = 0, n;
    for (size_t i = 0; i < s.record.n; i++) {
        const zoo_layer *l = &s.record.layer[i];
        const uint32_t axis = l->kind == ZOO_CONV_TRANSPOSED;
        const uint32_t *unit = mskp_param_units(
            s.graph, l->kind == ZOO_ATTENTION ? l->projection : l->weight, axis, NULL, &n);
        for (size_t k = 0; k < n; k++) pinned += unit[k] == MSKP_PINNED;
        outputs += l->out;
    }
    must(pinned == s.known->pinned, "%s: %zu channels are pinned, expected %zu", s.known->name,
         pinned, s.known->pinned);
    const size_t units = s.known->units == EACH ? outputs - pinned : s.known->units;
    must(s.counts.units == units, "%s: %zu units, expected %zu", s.known->name, s.counts.units,
         units);
    end(&s);
}
END_TEST

typedef struct fact {
    const char *network, *value;
    size_t channels, units, pinned, inexact;
} fact;

static const fact FACTS[] = {
    /* A stream is one list of units, however many blocks add to it. */
    {"resnet18", "stage1.2.sum", 64, 64, 0, 0},
    {"resnet18", "stage4.2.conv1", 512, 512, 0, 0},
    {"resnet50", "stage1.3.sum", 256, 256, 0, 0},
    {"resnet50", "classifier", 1000, 0, 1000, 0},
    /* 32 groups stay equal: position p of every group is removed at once. */
    {"resnext50_32x4d", "stage1.1.conv1", 128, 4, 0, 0},
    {"resnext50_32x4d", "stage1.1.conv2", 128, 4, 0, 0},
    {"resnext50_32x4d", "stage4.3.conv2", 1024, 32, 0, 0},
    {"resnext50_32x4d", "stage4.3.conv3", 2048, 2048, 0, 0},
    {"regnet_y_400mf", "stage4.6.conv2", 440, 8, 0, 0},
    {"regnet_y_400mf", "stage4.6.excite", 440, 8, 0, 0},
    {"regnet_y_400mf", "stage4.6.squeeze", 110, 110, 0, 0},
    {"vgg16_bn", "features.16.conv", 512, 512, 0, 0},
    {"squeezenet1_0", "fire9.out", 512, 512, 0, 0},
    {"unet", "up3.both", 1024, 1024, 0, 0},
    /* Depthwise: each hidden channel by itself. */
    {"mobilenet_v2", "stage2.1.expand", 96, 96, 0, 0},
    {"mobilenet_v2", "stage7.1.depthwise", 960, 960, 0, 0},
    {"mobilenet_v3_large", "block15.squeeze", 240, 240, 0, 0},
    {"mobilenet_v3_large", "block15.excite", 960, 960, 0, 0},
    {"efficientnet_b0", "stage1.1.squeeze", 8, 8, 0, 0},
    /* Nothing is added, all is carried along. */
    {"densenet121", "block1.1.out", 96, 96, 0, 0},
    {"densenet121", "block1.6.out", 256, 256, 0, 0},
    {"densenet121", "block1.6.conv1", 128, 128, 0, 0},
    {"densenet121", "block4.16.out", 1024, 1024, 0, 0},
    {"shufflenet_v2_x1_0/rewritable", "stage2.4.out", 116, 116, 0, 0},
    {"shufflenet_v2_x1_0/rewritable", "stage4.4.out", 464, 464, 0, 0},
    {"shufflenet_v2_x1_0", "stage4.1.conv1", 232, 232, 0, 0},
    {"googlenet", "inception3a.out", 256, 256, 0, 0},
    {"inception_v3", "block8.2.out", 2048, 2048, 0, 0},
    {"inception_v4", "block8.3.out", 1536, 1536, 0, 0},
    {"inception_resnet_v2", "block35.10.sum", 320, 320, 0, 0},
    {"inception_resnet_v2", "block8.10.sum", 2080, 2080, 0, 0},
    {"convnext_tiny", "stage1.1.sum", 96, 0, 96, 0},
    {"convnext_tiny", "stage1.1.mlp1", 384, 384, 0, 0},
    {"convnext_tiny/inexact", "stage1.1.sum", 96, 96, 0, 96},
    {"convnext_tiny/inexact", "stage1.1.mlp1", 384, 384, 0, 0},
    {"vit_b_16", "layer12.sum2", 768, 0, 768, 0},
    {"vit_b_16", "layer12.attention.heads", 12, 12, 0, 0},
    {"vit_b_16", "layer12.attention.packed", 2304, 12, 0, 0},
    {"vit_b_16", "layer12.mlp1", 3072, 3072, 0, 0},
    {"vit_b_16/inexact", "layer12.sum2", 768, 768, 0, 768},
    {"vit_b_16/inexact", "layer12.attention.packed", 2304, 12, 0, 0},
};

START_TEST(what_the_papers_imply)
{
    const fact *f = &FACTS[_i];
    subject s = begin(f->network);
    const mskp_coupling i = info(&s, f->value);
    must(i.channels == f->channels && i.units == f->units && i.pinned == f->pinned &&
             i.inexact == f->inexact,
         "%s, %s: %zu channels, %zu units, %zu pinned, %zu inexact", f->network, f->value,
         i.channels, i.units, i.pinned, i.inexact);
    end(&s);
}
END_TEST

/* Channels that are removed together: those of `value` begin with those of `other`. */
static const struct {
    const char *network, *value, *other;
} TOGETHER[] = {
    {"resnet18", "stage1.2.sum", "stem"},
    {"resnet18", "stage1.2.conv2", "stage1.1.conv2"},
    {"resnet50", "stage4.3.conv3", "stage4.1.shortcut"},
    {"regnet_y_400mf", "stage4.6.excite", "stage4.6.conv2"},
    {"unet", "up3.both", "down3.conv2"}, /* a crop changes no channels */
    {"mobilenet_v2", "stage1.1.depthwise", "stem"},
    {"mobilenet_v2", "stage7.1.depthwise", "stage7.1.expand"},
    {"mobilenet_v3_large", "block1.project", "stem"}, /* its block has a residual, v2's has none */
    {"mobilenet_v3_large", "block15.excite", "block15.expand"},
    {"densenet121", "block1.6.out", "stem"},
    {"inception_resnet_v2", "block35.1.up", "stem3.out"},
    {"inception_resnet_v2", "block8.10.up", "to8.out"},
    {"convnext_tiny/inexact", "stage1.1.depthwise", "stem.conv"},
    {"vit_b_16/inexact", "layer12.mlp2", "class_token"},
    {"vit_b_16/inexact", "layer12.attention", "patches"},
};

START_TEST(what_leaves_together)
{
    subject s = begin(TOGETHER[_i].network);
    size_t n, other_n;
    const char *value = TOGETHER[_i].value, *other = TOGETHER[_i].other;
    const uint32_t *unit = mskp_value_units(s.graph, mskp_value_find(s.graph, value), &n);
    const uint32_t *others = mskp_value_units(s.graph, mskp_value_find(s.graph, other), &other_n);
    must(unit && others && n >= other_n, "%s: %s and %s", s.known->name, value, other);
    for (size_t i = 0; i < other_n; i++)
        must(unit[i] != MSKP_PINNED && unit[i] == others[i], "%s: %s and %s, channel %zu",
             s.known->name, value, other, i);
    end(&s);
}
END_TEST

/* Who pins the residual stream: the first norm that looks at all of it. */
START_TEST(layer_norms_pin)
{
    static const struct {
        const char *network, *value, *by;
    } table[] = {{"convnext_tiny", "stage1.3.sum", "stem.norm"},
                 {"vit_b_16", "layer12.sum2", "layer1.norm1"},
                 {"vit_b_16", "patches", "layer1.norm1"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        subject s = begin(table[i].network);
        const mskp_coupling stream = info(&s, table[i].value);
        mskp_coupling by;
        ck_assert_int_eq(mskp_value_coupling(s.graph, stream.pinned_by, &by, NULL), MSKP_OK);
        ck_assert_str_eq(by.name, table[i].by);
        end(&s);
    }
}
END_TEST

/* ---- ShuffleNet's ties, by a model of its own ---- */

enum { MOST = 9 * 232 };

static size_t root(const size_t *parent, size_t i)
{
    while (parent[i] != i) i = parent[i];
    return i;
}

/* Equal halves lose the same positions; after a shuffle these alternate. */
static void shuffle(size_t *parent, size_t half, size_t *channel)
{
    size_t shuffled[2 * 232];
    for (size_t i = 0; i < half; i++) {
        parent[root(parent, channel[i])] = root(parent, channel[i + half]);
        shuffled[2 * i] = channel[i];
        shuffled[2 * i + 1] = channel[i + half];
    }
    memcpy(channel, shuffled, 2 * half * sizeof *channel);
}

static size_t stream_units(size_t half, size_t repeats)
{
    size_t parent[MOST], channel[2 * 232], n = 0, roots = 0;
    for (size_t i = 0; i < MOST; i++) parent[i] = i;
    for (size_t i = 0; i < 2 * half; i++) channel[i] = n++;
    shuffle(parent, half, channel);
    for (size_t unit = 1; unit < repeats; unit++) {
        for (size_t i = 0; i < half; i++) {
            parent[root(parent, channel[i])] = root(parent, channel[i + half]);
            channel[i + half] = n++;
        }
        shuffle(parent, half, channel);
    }
    for (size_t i = 0; i < n; i++) roots += parent[i] == i;
    return roots;
}

START_TEST(shuffles_by_hand)
{
    static const size_t half[3] = {58, 116, 232}, repeats[3] = {4, 8, 4};
    static const char *const last[3] = {"stage2.4.out", "stage3.8.out", "stage4.4.out"};
    subject s = begin("shufflenet_v2_x1_0");
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(info(&s, last[i]).units, stream_units(half[i], repeats[i]));
    end(&s);
}
END_TEST

/* ---- 6. Exact units ---- */

enum {
    GAMMA = MSKP_ROLE_SCALE,
    NORM = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT,
    ROW = MSKP_ROLE_FILTER | MSKP_ROLE_SHIFT
};

static void exactly(const subject *s, uint32_t roles, uint8_t *exact)
{
    ck_assert_int_eq(mskp_exact(s->graph, roles, mask_of(s->counts.units, exact), NULL), MSKP_OK);
}

/* in[u] <- 1 for the units of the values whose names end so; the rest stays as it is. */
static void units_of(const subject *s, const char *end_of_name, uint8_t *in)
{
    size_t n;
    for (uint32_t v = 1; v <= s->counts.values; v++) {
        mskp_coupling i;
        ck_assert_int_eq(mskp_value_coupling(s->graph, (mskp_value){v}, &i, NULL), MSKP_OK);
        const size_t length = strlen(i.name), tail = strlen(end_of_name);
        if (length < tail || strcmp(i.name + length - tail, end_of_name) != 0) continue;
        const uint32_t *unit = mskp_value_units(s->graph, (mskp_value){v}, &n);
        for (size_t k = 0; k < n; k++)
            if (unit[k] != MSKP_PINNED) in[unit[k]] = 1;
    }
}

/* Everything leaves exactly once nobody reads it, but for what a layer norm sees. Every scale here
 * has a shift beside it, so gamma alone is never enough. */
START_TEST(exact_in_all_networks)
{
    subject s = begin(zoo_names[_i]);
    uint8_t *exact = room(s.counts.units, 1), *seen = room(s.counts.units, 1);
    static const char *const streams[] = {"conv", "sum", "sum1", "class_token"};
    if (strstr(s.known->name, "/inexact"))
        for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
            units_of(&s, streams[i], seen);
    exactly(&s, MSKP_ROLE_CONSUMER, exact);
    for (size_t u = 0; u < s.counts.units; u++)
        must(exact[u] == !seen[u], "%s: unit %zu, exact %u", s.known->name, u, exact[u]);
    exactly(&s, MSKP_ROLES_UNIT, exact);
    for (size_t u = 0; u < s.counts.units; u++)
        must(exact[u] == !seen[u], "%s: unit %zu, exact %u", s.known->name, u, exact[u]);
    exactly(&s, GAMMA, exact);
    for (size_t u = 0; u < s.counts.units; u++)
        must(!exact[u], "%s: unit %zu leaves with gamma alone", s.known->name, u);
    free(seen);
    free(exact);
    end(&s);
}
END_TEST

/*
 * Zero gamma and beta are enough behind every batch norm: relu, hard-swish and swish of zero are
 * zero, and a gate is a factor of what is zero. What has no norm (squeezed channels, hidden layers
 * of the classifier, GELU layers, heads) leaves with its weights and bias. except: how such values
 * end.
 */
static const struct {
    const char *network, *except[3];
} WITHOUT_NORM[] = {
    {"resnet50", {0}},
    {"densenet121", {0}},
    {"inception_v4", {0}},
    {"shufflenet_v2_x1_0", {0}},
    {"mobilenet_v2", {0}},
    {"mobilenet_v3_large", {".squeeze", "hidden"}},
    {"efficientnet_b0", {".squeeze"}},
    {"regnet_y_400mf", {".squeeze"}},
    {"vgg16_bn", {"classifier.1", "classifier.2"}},
    {"convnext_tiny", {".mlp1"}},
    {"vit_b_16", {".mlp1", ".heads"}},
};

START_TEST(exact_behind_norms)
{
    subject s = begin(WITHOUT_NORM[_i].network);
    uint8_t *norm = room(s.counts.units, 1), *row = room(s.counts.units, 1),
            *except = room(s.counts.units, 1);
    for (size_t i = 0; WITHOUT_NORM[_i].except[i]; i++)
        units_of(&s, WITHOUT_NORM[_i].except[i], except);
    exactly(&s, NORM, norm);
    exactly(&s, ROW, row);
    for (size_t u = 0; u < s.counts.units; u++)
        must(norm[u] == !except[u] && row[u] == except[u],
             "%s: unit %zu, with norm %u, with weights %u", s.known->name, u, norm[u], row[u]);
    free(except);
    free(row);
    free(norm);
    end(&s);
}
END_TEST

/* Three streams, each carried on into the next by pooling; their scaled residuals have no norm. */
START_TEST(exact_scaled_residuals)
{
    subject s = begin("inception_resnet_v2");
    uint8_t *exact = room(s.counts.units, 1), *stream = room(s.counts.units, 1);
    size_t n = 0;
    units_of(&s, ".up", stream);
    exactly(&s, NORM, exact);
    for (size_t u = 0; u < s.counts.units; u++) {
        n += stream[u];
        ck_assert_uint_eq(exact[u], !stream[u]);
    }
    ck_assert_uint_eq(n, 2080);
    exactly(&s, NORM | MSKP_ROLE_FILTER, exact);
    for (size_t u = 0; u < s.counts.units; u++) ck_assert_uint_eq(exact[u], 1);
    free(stream);
    free(exact);
    end(&s);
}
END_TEST

/* ---- the zoo itself ---- */

START_TEST(names)
{
    size_t n = 0;
    while (zoo_names[n]) n++;
    ck_assert_uint_eq(n, NETWORKS);
    ck_assert_ptr_null(zoo_make("alexnet", NULL));
    for (size_t i = 0; i < n; i++) { /* recorded or not, it is the same network */
        subject s = begin(zoo_names[i]);
        mskp_graph *other = zoo_make(zoo_names[i], NULL);
        ck_assert_uint_eq(mskp_graph_counts(other).units, 0); /* not finished yet */
        ck_assert_int_eq(mskp_graph_finish(other, NULL), MSKP_OK);
        must(graph_fingerprint(other) == graph_fingerprint(s.graph), "%s", zoo_names[i]);
        mskp_graph_destroy(other);
        end(&s);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("zoo");
    TCase *tests = tcase_create("zoo");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, names);
    tcase_add_loop_test(tests, parameters_are_the_published_ones, 0, NETWORKS);
    tcase_add_test(tests, unet_by_hand);
    tcase_add_loop_test(tests, macs_are_those_of_the_layers, 0, NETWORKS);
    tcase_add_loop_test(tests, costs_are_what_is_left, 0, NETWORKS);
    tcase_add_loop_test(tests, half_of_the_macs, 0, NETWORKS);
    tcase_add_loop_test(tests, units_and_pinned_channels, 0, NETWORKS);
    tcase_add_loop_test(tests, what_the_papers_imply, 0, sizeof FACTS / sizeof *FACTS);
    tcase_add_loop_test(tests, what_leaves_together, 0, sizeof TOGETHER / sizeof *TOGETHER);
    tcase_add_test(tests, layer_norms_pin);
    tcase_add_test(tests, shuffles_by_hand);
    tcase_add_loop_test(tests, exact_in_all_networks, 0, NETWORKS);
    tcase_add_loop_test(tests, exact_behind_norms, 0, sizeof WITHOUT_NORM / sizeof *WITHOUT_NORM);
    tcase_add_test(tests, exact_scaled_residuals);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

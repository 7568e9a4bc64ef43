/*
 * How time and memory grow with the network: growth [MOST_CHANNELS [GIBIBYTES [NETWORK
 * [CHANNELS]]]]. With CHANNELS, that is the first size; with CHANNELS = MOST_CHANNELS nothing is
 * printed, and one size runs, as for a profiler.
 *
 * Made-up networks of a few shapes, doubled from size to size, without tensors. Each stage is timed
 * (processor time of one thread, medians), and beside them a bare loop over as many numbers as
 * there are units, which stores each by its score: that grows as caches make it grow. The most that
 * a stage held beyond what was there before is counted by the allocator. Exponents are slopes of
 * log time and log bytes by least squares, over all sizes and over the larger half of them, whose
 * arrays are all well above the caches.
 *
 * A network's size is given in two ways. channels: those that its layers make. entries: the lengths
 * of all values and of all bound axes together, which is what a caller has to name. For most shapes
 * both grow alike. In one dense block that gets deeper, entries grow as the square of channels: so
 * do the elements of its norms.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "by_id/by_id.h"
#include "timing.h"

static int failed_with(const mskp_error *err)
{
    fprintf(stderr, "growth: %s\n", err->text);
    return 1;
}

/* ---- networks: errors stick to the graph ---- */

typedef struct builder {
    mskp_graph *graph;
    size_t layers, channels;
    mskp_value *parts; /* of a dense block */
} builder;

enum { BLOCKS = 16, WIDTH = 64, NARROW = 8, GROWTH_RATE = 12 };

static mskp_param parameter(const builder *b, const char *what, uint32_t ndim, const size_t *shape)
{
    char name[64];
    snprintf(name, sizeof name, "layer%zu.%s", b->layers, what);
    return mskp_parameter(b->graph, name, ndim, shape);
}

static mskp_value conv(builder *b, mskp_value in, size_t width)
{
    size_t channels;
    mskp_value_shape(b->graph, in, &channels, NULL);
    b->layers++;
    b->channels += width;
    return mskp_conv(
        b->graph, NULL, in,
        &(mskp_conv_desc){.weight = parameter(b, "weight", 3, (size_t[]){width, channels, 1})});
}

static mskp_value norm(builder *b, mskp_value in)
{
    size_t channels;
    mskp_value_shape(b->graph, in, &channels, NULL);
    return mskp_norm(b->graph, NULL, in,
                     &(mskp_norm_desc){.scale = parameter(b, "scale", 1, &channels),
                                       .shift = parameter(b, "shift", 1, &channels),
                                       .mean = parameter(b, "mean", 1, &channels),
                                       .variance = parameter(b, "variance", 1, &channels)});
}

static mskp_value relu(builder *b, mskp_value in)
{
    return mskp_activation(b->graph, NULL, in,
                           &(mskp_activation_desc){.kind = MSKP_ACTIVATION_RELU});
}

static mskp_value layer(builder *b, mskp_value in, size_t width)
{
    return relu(b, norm(b, conv(b, in, width)));
}

static mskp_value input(const builder *b)
{
    return mskp_input(b->graph, NULL, 3, 1, (size_t[]){1});
}

static void chain(builder *b, size_t width, size_t depth)
{
    mskp_value x = input(b);
    for (size_t i = 0; i < depth; i++) x = layer(b, x, width);
}

static void chain_wider(builder *b, size_t channels)
{
    chain(b, channels / BLOCKS, BLOCKS);
}

static void chain_deeper(builder *b, size_t channels)
{
    chain(b, WIDTH, channels / WIDTH);
}

static void chain_narrow(builder *b, size_t channels)
{
    chain(b, NARROW, channels / NARROW);
}

static void residual(builder *b, size_t width, size_t blocks)
{
    mskp_value x = layer(b, input(b), width);
    for (size_t i = 0; i < blocks; i++) {
        const mskp_value inner = layer(b, x, width), branch = norm(b, conv(b, inner, width));
        x = relu(b, mskp_combine(b->graph, NULL, MSKP_COMBINE_ADD, 2, (mskp_value[]){x, branch}));
    }
}

static void residual_wider(builder *b, size_t channels)
{
    residual(b, channels / (2 * BLOCKS + 1), BLOCKS);
}

static void residual_deeper(builder *b, size_t channels)
{
    residual(b, WIDTH, channels / (2 * WIDTH));
}

/* Each layer reads all before it, and what entered the block. */
static mskp_value dense_block(builder *b, mskp_value in, size_t growth, size_t layers)
{
    mskp_value x = in;
    b->parts[0] = in;
    for (size_t i = 0; i < layers; i++) {
        b->parts[i + 1] = conv(b, relu(b, norm(b, x)), growth);
        x = mskp_concat(b->graph, NULL, i + 2, b->parts);
    }
    return x;
}

static void dense_wider(builder *b, size_t channels)
{
    const size_t growth = channels / (BLOCKS + 1);
    dense_block(b, conv(b, input(b), growth), growth, BLOCKS);
}

static void dense_blocks(builder *b, size_t channels)
{
    mskp_value x = input(b);
    while (b->channels < channels)
        x = dense_block(b, conv(b, x, 2 * GROWTH_RATE), GROWTH_RATE, BLOCKS);
}

static void dense_deeper(builder *b, size_t channels)
{
    dense_block(b, conv(b, input(b), GROWTH_RATE), GROWTH_RATE, channels / GROWTH_RATE - 1);
}

typedef struct network {
    const char *name, *what;
    void (*describe)(builder *b, size_t channels);
    size_t least; /* channels to begin with */
} network;

static const network networks[] = {
    {"chain-wider", "16 layers of growing width", chain_wider, 10000},
    {"chain-deeper", "a growing number of layers of 64 channels", chain_deeper, 10000},
    {"chain-narrow", "a growing number of layers of 8 channels", chain_narrow, 10000},
    {"residual-wider", "16 blocks on a stream of growing width", residual_wider, 10000},
    {"residual-deeper", "a growing number of blocks on a stream of 64 channels", residual_deeper,
     10000},
    {"dense-wider", "a dense block of 16 layers with a growing growth rate", dense_wider, 10000},
    {"dense-blocks", "a growing number of dense blocks of 16 layers, growth rate 12", dense_blocks,
     10000},
    {"dense-deeper", "one dense block of growing depth, growth rate 12", dense_deeper, 1250},
};

/* ---- stages ---- */

enum { DESCRIBE, FINISH, MEASURE, SELECT_MACS, SELECT_FRACTION, PLAN, BARE, STAGES };
static const char *const stage_names[STAGES] = {"describe", "finish", "measure", "sel-macs",
                                                "sel-frac", "plan",   "bare"};

enum { SIZES = 32, ROUNDS = 5 };

typedef struct result {
    double channels, entries;
    double seconds[STAGES], bytes[STAGES], peak; /* peak: of all stages, of all that is held */
} result;

typedef struct run {
    timing_memory memory;
    mskp_services services;
    double start;
    size_t before;
    double seconds[STAGES][ROUNDS];
} run;

static void stage_begins(run *r)
{
    r->before = r->memory.peak = r->memory.live;
    r->start = timing_cpu();
}

static void stage_ends(run *r, int stage, size_t round, result *out)
{
    r->seconds[stage][round] = timing_cpu() - r->start;
    out->bytes[stage] = (double)(r->memory.peak - r->before);
    if ((double)r->memory.peak > out->peak) out->peak = (double)r->memory.peak;
}

static double count_entries(const mskp_graph *g)
{
    const mskp_counts counts = mskp_graph_counts(g);
    double entries = 0;
    size_t n;
    for (uint32_t v = 1; v <= counts.values; v++) {
        mskp_value_units(g, (mskp_value){v}, &n);
        entries += (double)n;
    }
    for (uint32_t p = 1; p <= counts.params; p++) {
        const uint32_t ndim = mskp_param_shape(g, (mskp_param){p}, NULL);
        for (uint32_t d = 0; d < ndim; d++) {
            mskp_param_units(g, (mskp_param){p}, d, NULL, &n);
            entries += (double)n;
        }
    }
    return entries;
}

static void make_up(double *scores, size_t n)
{
    uint64_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        scores[i] = (double)(state >> 11) * 0x1p-53;
    }
}

/*
 * The machine's own growth, without the library: the numbers of all units by their scores, in an
 * order that memory does not have, as a sort leaves them. Linear in n; what it takes above that,
 * the caches took.
 */
static int bare(run *r, const double *scores, size_t n, size_t round, result *out)
{
    typedef struct item {
        double score;
        uint64_t unit;
    } item;
    item *items = malloc(n * sizeof *items), *sorted = malloc(n * sizeof *sorted);
    const int failed = !items || !sorted;
    for (size_t i = 0; !failed && i < n; i++) {
        items[i] = (item){scores[i], i};
        sorted[i] = (item){0, 0};
    }
    stage_begins(r);
    for (size_t i = 0; !failed && i < n; i++) {
        item *to = &sorted[(size_t)(items[i].score * (double)n)];
        to->score += items[i].score;
        to->unit += items[i].unit;
    }
    stage_ends(r, BARE, round, out);
    out->bytes[BARE] = (double)(2 * n * sizeof *items);
    free(items);
    free(sorted);
    return failed;
}

static int stages(run *r, mskp_graph *g, size_t n, size_t round, result *out, mskp_error *err)
{
    mskp_rule rule = {.max_macs = 1};
    mskp_cost full, half;
    mskp_plan *plan = NULL;
    mskp_graph *small = NULL;
    double *scores = malloc(n * sizeof *scores);
    uint8_t *keep = malloc(n);
    int failed = !scores || !keep || mskp_measure(g, (mskp_mask){0}, &full, NULL, err);
    if (!failed) {
        make_up(scores, n);
        rule = (mskp_rule){.remove_fraction = 0.5};
        stage_begins(r);
        failed =
            mskp_select(g, scores_of(n, scores), &rule, mask_of(n, keep), NULL, err) != MSKP_OK;
        stage_ends(r, SELECT_FRACTION, round, out);
    }
    if (!failed) {
        rule = (mskp_rule){.max_macs = 0.5 * full.macs};
        stage_begins(r);
        failed =
            mskp_select(g, scores_of(n, scores), &rule, mask_of(n, keep), NULL, err) != MSKP_OK;
        stage_ends(r, SELECT_MACS, round, out);
    }
    if (!failed) {
        stage_begins(r);
        failed = mskp_measure(g, mask_of(n, keep), &half, NULL, err) != MSKP_OK;
        stage_ends(r, MEASURE, round, out);
    }
    if (!failed) {
        stage_begins(r);
        failed = mskp_plan_create(g, mask_of(n, keep), &plan, &small, err) != MSKP_OK;
        stage_ends(r, PLAN, round, out);
    }
    failed = failed || bare(r, scores, n, round, out);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    free(scores);
    free(keep);
    return failed;
}

static int once(run *r, const network *net, size_t channels, size_t round, result *out,
                mskp_error *err)
{
    builder b = {.parts = malloc((channels + 2) * sizeof *b.parts)};
    stage_begins(r);
    b.graph = mskp_graph_create(&r->services);
    int failed = !b.graph || !b.parts;
    if (!failed) {
        net->describe(&b, channels);
        stage_ends(r, DESCRIBE, round, out);
        stage_begins(r);
        failed = mskp_graph_finish(b.graph, err) != MSKP_OK;
        stage_ends(r, FINISH, round, out);
    }
    if (!failed) {
        out->channels = (double)b.channels;
        out->entries = count_entries(b.graph);
        failed = stages(r, b.graph, mskp_graph_counts(b.graph).units, round, out, err);
    }
    mskp_graph_destroy(b.graph);
    free(b.parts);
    return failed;
}

static int measure(const network *net, size_t channels, result *out)
{
    run r = {0};
    mskp_error err = {.text = "no memory"};
    size_t rounds = 0;
    const double start = timing_now();
    r.services = timing_services(&r.memory);
    *out = (result){0};
    /* The first round finds memory that the process does not have yet; the others have it. */
    while (rounds < 3 || (rounds < ROUNDS && timing_now() - start < 2))
        if (once(&r, net, channels, rounds++, out, &err)) return failed_with(&err);
    for (int s = 0; s < STAGES; s++) out->seconds[s] = timing_median(r.seconds[s], rounds);
    return 0;
}

/* ---- tables ---- */

/* The slope of log y over log x by least squares. */
static double slope(const double *x, const double *y, size_t n)
{
    double mx = 0, my = 0, xx = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        mx += log(x[i]) / (double)n;
        my += log(y[i]) / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        xx += (log(x[i]) - mx) * (log(x[i]) - mx);
        xy += (log(x[i]) - mx) * (log(y[i]) - my);
    }
    return xx > 0 ? xy / xx : 0;
}

static void print_exponents(const char *title, const result *r, size_t n, int entries, int memory)
{
    double x[SIZES], y[SIZES];
    printf("%-32s", title);
    for (size_t i = 0; i < n; i++) x[i] = entries ? r[i].entries : r[i].channels;
    for (int s = 0; s < STAGES; s++) {
        for (size_t i = 0; i < n; i++) y[i] = memory ? r[i].bytes[s] : r[i].seconds[s];
        printf(" %8.3f", slope(x, y, n));
    }
    printf("\n");
}

static void print_table(const network *net, const result *r, size_t n)
{
    const size_t upper = n / 2;
    printf("\n%s: %s\n", net->name, net->what);
    printf("%10s %10s %10s", "channels", "entries", "peak MiB");
    for (int s = 0; s < STAGES; s++) printf(" %8s", stage_names[s]);
    printf("   ns per entry\n");
    for (size_t i = 0; i < n; i++) {
        printf("%10.0f %10.0f %10.1f", r[i].channels, r[i].entries, r[i].peak / 1048576);
        for (int s = 0; s < STAGES; s++) printf(" %8.2f", 1e9 * r[i].seconds[s] / r[i].entries);
        printf("\n");
    }
    printf("%-32s", "bytes per entry, largest size");
    for (int s = 0; s < STAGES; s++) printf(" %8.2f", r[n - 1].bytes[s] / r[n - 1].entries);
    printf("\n");
    for (int entries = 0; entries < 2; entries++) {
        const char *over = entries ? "entries" : "channels";
        char title[64];
        snprintf(title, sizeof title, "time over %s", over);
        print_exponents(title, r, n, entries, 0);
        snprintf(title, sizeof title, "  upper half of the sizes");
        print_exponents(title, r + upper, n - upper, entries, 0);
        snprintf(title, sizeof title, "bytes over %s", over);
        print_exponents(title, r, n, entries, 1);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const double most = argc > 1 ? strtod(argv[1], NULL) : 1.1e7;
    const double memory = (argc > 2 ? strtod(argv[2], NULL) : 12) * 0x1p30;
    const size_t least = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    static result results[SIZES];
#ifdef __GLIBC__
    /* What was freed stays with the process, so that no stage is timed with fresh pages. */
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, -1);
#endif
    for (size_t k = 0; k < sizeof networks / sizeof *networks; k++) {
        const network *net = &networks[k];
        size_t n = 0;
        if (argc > 3 && strcmp(argv[3], net->name)) continue;
        for (size_t c = least ? least : net->least; n < SIZES && (double)c <= most; c *= 2, n++) {
            /* the next is as much larger as the last was, by entries */
            if (n > 1 &&
                results[n - 1].peak * results[n - 1].entries / results[n - 2].entries > memory)
                break;
            fprintf(stderr, "%s: %zu channels\n", net->name, c);
            if (measure(net, c, &results[n])) return 1;
        }
        if (n > 1) print_table(net, results, n);
    }
    return 0;
}

/*
 * Bytes per second of what touches tensors, beside memcpy: bandwidth [ROUNDS [NETWORK]].
 *
 * Weights of networks, several sets of them, much more than the caches hold; medians of rounds in
 * turn, one thread. Bytes are those of the elements that are read, plus those that are written:
 *
 *   memcpy     n read and n written
 *   sum        n read: sum of squares of contiguous floats in double, a plain loop
 *   cut        each element that stays is read once and written once; in place, whole tensors are
 *              not touched
 *   score      each slice of a unit is read once: a weight between two units is read twice
 *   penalty    of each targeted element the value is read, the gradient read and written
 *
 * lines: the same for the cut, with the whole cache lines (64 bytes) of the source that hold such
 * elements. This much has to come from memory, so the ratio to memcpy of this is what can be 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id/by_id.h"
#include "interpreter/base.h"
#include "timing.h"
#include "zoo/zoo.h"

/* ---- networks ---- */

/* Equal layers in a row, 100 MB of weights and more. */
static mskp_graph *layers(size_t width, size_t kernel, size_t depth)
{
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_value x = mskp_input(g, NULL, width, 2, (size_t[]){1, 1});
    const size_t pad = kernel / 2;
    for (size_t i = 0; i < depth; i++) {
        char name[48];
        snprintf(name, sizeof name, "layer%zu.weight", i);
        if (kernel) {
            const size_t shape[] = {width, width, kernel, kernel};
            const mskp_param weight = mskp_parameter(g, name, 4, shape);
            x = mskp_conv(g, NULL, x,
                          &(mskp_conv_desc){
                              .weight = weight, .pad_before = {pad, pad}, .pad_after = {pad, pad}});
        } else {
            x = mskp_linear(g, NULL, x, mskp_parameter(g, name, 2, (size_t[]){width, width}),
                            (mskp_param){0});
        }
    }
    return g;
}

static mskp_graph *resnet50(void)
{
    return zoo_make("resnet50", NULL);
}

static mskp_graph *convs_3x3(void)
{
    return layers(512, 3, 12);
}

static mskp_graph *convs_1x1(void)
{
    return layers(1024, 1, 28);
}

static mskp_graph *linears(void)
{
    return layers(2048, 0, 7);
}

static const struct network {
    const char *name;
    mskp_graph *(*make)(void);
} networks[] = {
    {"resnet50", resnet50}, {"conv3x3", convs_3x3}, {"conv1x1", convs_1x1}, {"linear", linears}};

/* ---- what is measured ---- */

enum { SETS = 2, MOST_ROUNDS = 101 };
enum { MEMCPY, SUM, IN_PLACE, ELSEWHERE, SCORE_L1, SCORE_L2, PENALTY, WORKS };
static const char *const work_names[WORKS] = {
    "memcpy", "sum", "cut in place", "cut elsewhere", "score L1", "score L2", "penalty gradient"};

typedef struct bench {
    mskp_graph *graph;
    mskp_plan *plan;
    size_t params, units, floats; /* of a set */
    uint8_t *keep;
    double *scores;
    float *memory[SETS], *other[SETS];
    mskp_tensor *set[SETS], *scratch[SETS], *to[SETS];
    double bytes[WORKS], lines[WORKS];
    double seconds[WORKS][MOST_ROUNDS];
    double sink;
    mskp_error err;
} bench;

static void *room(size_t n, size_t size)
{
    void *memory = calloc(n ? n : 1, size);
    if (memory) return memory;
    fprintf(stderr, "bandwidth: no memory\n");
    exit(1);
}

static void need(bench *b, mskp_status status)
{
    if (!status) return;
    fprintf(stderr, "bandwidth: %s\n", b->err.text);
    exit(1);
}

static size_t elements(const bench *b, uint32_t p)
{
    size_t shape[MSKP_MAX_DIMS], n = 1;
    const uint32_t ndim = mskp_param_shape(b->graph, (mskp_param){p}, shape);
    for (uint32_t d = 0; d < ndim; d++) n *= shape[d];
    return n;
}

/* One stretch of memory for each set, in the order of the parameters, on lines of their own. */
static void make_sets(bench *b)
{
    rng random = rng_make(1);
    for (uint32_t p = 1; p <= b->params; p++) b->floats += (elements(b, p) + 15) / 16 * 16;
    for (size_t s = 0; s < SETS; s++) {
        size_t at = 0;
        b->memory[s] = room(b->floats, sizeof(float));
        b->other[s] = room(b->floats, sizeof(float));
        b->set[s] = room(b->params + 1, sizeof(mskp_tensor));
        b->scratch[s] = room(b->params + 1, sizeof(mskp_tensor));
        b->to[s] = room(b->params + 1, sizeof(mskp_tensor));
        for (size_t i = 0; i < b->floats; i++) {
            b->memory[s][i] = (float)rng_real(&random, -1, 1);
            b->other[s][i] = 1;
        }
        for (uint32_t p = 1; p <= b->params; p++) {
            b->set[s][p].data = b->memory[s] + at;
            b->to[s][p].data = b->other[s] + at;
            at += (elements(b, p) + 15) / 16 * 16;
        }
    }
}

static void make_plan(bench *b, size_t percent)
{
    rng random = rng_make(2);
    for (size_t u = 0; u < b->units; u++) b->keep[u] = rng_below(&random, 100) < percent;
    mskp_plan_destroy(b->plan);
    need(b, mskp_plan_create(b->graph, mask_of(b->units, b->keep), &b->plan, NULL, &b->err));
}

/* Elements of one parameter that stay, and the source lines that hold them. */
static void count_cut(bench *b, uint32_t p)
{
    size_t shape[MSKP_MAX_DIMS] = {0}, n[MSKP_MAX_DIMS], at[MSKP_MAX_DIMS] = {0};
    const uint32_t ndim = mskp_param_shape(b->graph, (mskp_param){p}, shape);
    const uint32_t *kept[MSKP_MAX_DIMS];
    size_t count = 0, lines = 0, last = SIZE_MAX;
    int whole = 1;
    for (uint32_t d = 0; d < ndim; d++) {
        kept[d] = mskp_plan_param_kept(b->plan, (mskp_param){p}, d, &n[d]);
        whole &= !kept[d];
    }
    for (int more = 1; more;) {
        size_t offset = 0;
        for (uint32_t d = 0; d < ndim; d++)
            offset = offset * shape[d] + (kept[d] ? kept[d][at[d]] : at[d]);
        count++;
        if (offset / 16 != last) lines++;
        last = offset / 16;
        uint32_t d = ndim;
        while (d > 0 && ++at[d - 1] == n[d - 1]) at[--d] = 0;
        more = d > 0;
    }
    for (int work = IN_PLACE; work <= ELSEWHERE; work++) {
        if (work == IN_PLACE && whole) continue;
        b->bytes[work] += 2.0 * SETS * 4 * (double)count;
        b->lines[work] += SETS * (64.0 * (double)lines + 4.0 * (double)count);
    }
}

/* How many of an axis's slices belong to units; of units that leave. */
static size_t count_slices(const bench *b, uint32_t p, uint32_t d, size_t *leaving)
{
    uint32_t roles;
    size_t length, n = 0;
    const uint32_t *unit = mskp_param_units(b->graph, (mskp_param){p}, d, &roles, &length);
    *leaving = 0;
    for (size_t i = 0; unit && (roles & MSKP_ROLES_UNIT) && i < length; i++) {
        if (unit[i] == MSKP_PINNED) continue;
        n++;
        *leaving += !b->keep[unit[i]];
    }
    return n;
}

static void count_bytes(bench *b)
{
    memset(b->bytes, 0, sizeof b->bytes);
    memset(b->lines, 0, sizeof b->lines);
    b->bytes[MEMCPY] = 2.0 * SETS * 4 * (double)b->floats;
    b->bytes[SUM] = SETS * 4.0 * (double)b->floats;
    for (uint32_t p = 1; p <= b->params; p++) {
        size_t shape[MSKP_MAX_DIMS];
        const uint32_t ndim = mskp_param_shape(b->graph, (mskp_param){p}, shape);
        double rest = (double)elements(b, p), read = 0;
        const double all = rest;
        count_cut(b, p);
        for (uint32_t d = 0; d < ndim; d++) {
            size_t leaving;
            read += all * (double)count_slices(b, p, d, &leaving) / (double)shape[d];
            rest -= rest * (double)leaving / (double)shape[d];
        }
        for (int work = SCORE_L1; work <= SCORE_L2; work++) b->bytes[work] += 4 * read;
        b->bytes[PENALTY] += 12 * (all - rest);
    }
}

static void work(bench *b, int which)
{
    move_by_id moves[SETS];
    mskp_scoring scoring = {.roles = MSKP_ROLES_UNIT, .reduce = MSKP_REDUCE_JOINT};
    const mskp_penalty penalty = {.roles = MSKP_ROLES_UNIT};
    switch (which) {
    case MEMCPY:
        for (size_t s = 0; s < SETS; s++)
            memcpy(b->other[s], b->memory[s], b->floats * sizeof(float));
        return;
    case SUM:
        for (size_t s = 0; s < SETS; s++) {
            double sum = 0;
            for (size_t i = 0; i < b->floats; i++)
                sum += (double)b->memory[s][i] * (double)b->memory[s][i];
            b->sink += sum;
        }
        return;
    case IN_PLACE:
    case ELSEWHERE:
        for (size_t s = 0; s < SETS; s++) {
            memcpy(b->scratch[s], b->set[s], (b->params + 1) * sizeof(mskp_tensor));
            moves[s] = (move_by_id){b->scratch[s], which == IN_PLACE ? NULL : b->to[s]};
        }
        need(b, cut_by_id(b->plan, b->params, SETS, moves, &b->err));
        return;
    case SCORE_L1:
    case SCORE_L2:
        scoring.magnitude = which == SCORE_L1 ? MSKP_MAGNITUDE_L1 : MSKP_MAGNITUDE_L2;
        need(b, mskp_score(b->graph, &scoring, set_by_id(b->params, b->set[0]),
                           scores_of(b->units, b->scores), &b->err));
        return;
    case PENALTY:
        need(b, mskp_penalty_gradient(b->graph, mask_of(b->units, b->keep), &penalty, 1e-4,
                                      set_by_id(b->params, b->set[0]),
                                      set_by_id(b->params, b->to[0]), &b->err));
        return;
    default:
        return;
    }
}

static void report(bench *b, const char *name, size_t percent, size_t rounds)
{
    double rate[WORKS];
    for (int w = 0; w < WORKS; w++)
        rate[w] = b->bytes[w] / timing_median(b->seconds[w], rounds) / 1e9;
    printf("\n%s, %zu %% of the units stay, %d sets of %.0f MB\n", name, percent, SETS,
           4e-6 * (double)b->floats);
    printf("%-18s %8s %8s %8s %8s\n", "", "GB/s", "/memcpy", "/sum", "lines");
    for (int w = 0; w < WORKS; w++) {
        printf("%-18s %8.2f %8.2f %8.2f", work_names[w], rate[w], rate[w] / rate[MEMCPY],
               rate[w] / rate[SUM]);
        if (b->lines[w] > 0) printf(" %8.2f", rate[w] * b->lines[w] / b->bytes[w] / rate[MEMCPY]);
        printf("\n");
    }
    fflush(stdout);
}

static void run(const struct network *network, size_t rounds)
{
    bench b = {.graph = network->make()};
    need(&b, b.graph ? mskp_graph_finish(b.graph, &b.err) : MSKP_ERROR_NO_MEMORY);
    const mskp_counts counts = mskp_graph_counts(b.graph);
    b.params = counts.params;
    b.units = counts.units;
    b.keep = room(b.units, 1);
    b.scores = room(b.units, sizeof *b.scores);
    make_sets(&b);
    for (size_t percent = 50; percent <= 90; percent += 40) {
        make_plan(&b, percent);
        count_bytes(&b);
        for (int w = 0; w < WORKS; w++) work(&b, w); /* warms up */
        for (size_t r = 0; r < rounds; r++)
            for (int w = 0; w < WORKS; w++) {
                const double start = timing_now();
                work(&b, w);
                b.seconds[w][r] = timing_now() - start;
            }
        report(&b, network->name, percent, rounds);
    }
    for (size_t s = 0; s < SETS; s++) {
        free(b.memory[s]);
        free(b.other[s]);
        free(b.set[s]);
        free(b.scratch[s]);
        free(b.to[s]);
    }
    free(b.keep);
    free(b.scores);
    mskp_plan_destroy(b.plan);
    mskp_graph_destroy(b.graph);
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 5;
    if (rounds < 1 || rounds > MOST_ROUNDS) rounds = 5;
    for (size_t k = 0; k < sizeof networks / sizeof *networks; k++)
        if (argc < 3 || !strcmp(argv[2], networks[k].name)) run(&networks[k], rounds);
    return 0;
}

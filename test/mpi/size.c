/* A large network over ranks: 10^6 units, 10^8 parameters. Run by name alone: test_mpi size. */
#include "ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LAYERS = 1000, WIDTH = 1000, INPUTS = 100 };

/* A number of one element, the same on all ranks. */
static float number(size_t layer, size_t element)
{
    uint64_t x = (layer * WIDTH * INPUTS + element + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
    return (float)(x >> 40) * 0x1p-24F - 0.5F;
}

/* Convolutions that read the same input. */
static mskp_graph *describe(void)
{
    mskp_graph *g = mskp_graph_create(NULL);
    REQUIRE(g, "no memory");
    const mskp_value in = mskp_input(g, "in", INPUTS, 0, NULL);
    for (size_t i = 0; i < LAYERS; i++) {
        char name[40];
        (void)snprintf(name, sizeof name, "w%zu", i);
        const mskp_param w = mskp_parameter(g, name, 2, (size_t[]){WIDTH, INPUTS});
        mskp_linear(g, NULL, in, w, (mskp_param){0});
    }
    REQUIRE_OK(mskp_graph_finish(g, NULL));
    return g;
}

/* Seconds of the clock, and of the processor, where the machine is shared. */
typedef struct watch {
    double clock, processor;
} watch;

static watch now(void)
{
    return (watch){MPI_Wtime(), (double)clock() / CLOCKS_PER_SEC};
}

/* Of the slowest rank. */
static void tell(const char *what, watch start)
{
    const watch end = now();
    double spent[2] = {end.clock - start.clock, end.processor - start.processor};
    MPI_Allreduce(MPI_IN_PLACE, spent, 2, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    if (!all_ranks.rank) printf("  %s: %.3f s, processor %.3f s\n", what, spent[0], spent[1]);
}

/* Rows first .. first + count - 1 of each layer. */
static float *make(size_t first, size_t count, mskp_tensor *view)
{
    float *data = malloc(LAYERS * count * INPUTS * sizeof *data + 1), *at = data;
    REQUIRE(data, "no memory for %zu rows", count);
    for (size_t i = 0; i < LAYERS; i++) {
        view[i] = (mskp_tensor){.data = at};
        for (size_t k = 0; k < count * INPUTS; k++) *at++ = number(i, first * INPUTS + k);
    }
    return data;
}

void test_size(void)
{
    const size_t rank = (size_t)all_ranks.rank, ranks = (size_t)all_ranks.ranks;
    const size_t first = WIDTH * rank / ranks, count = WIDTH * (rank + 1) / ranks - first;
    const mskp_scoring how = {.magnitude = MSKP_MAGNITUDE_L2, .roles = MSKP_ROLE_FILTER};
    const mskp_rule rule = {.remove_fraction = 0.5};
    static mskp_tensor view[LAYERS];
    static mskp_mpi_rows rows[LAYERS];
    mskp_error err;
    watch start = now();
    mskp_graph *g = describe();
    tell("describe", start);
    const size_t units = mskp_graph_counts(g).units;
    double *scores = calloc(units, sizeof *scores), *one = calloc(units, sizeof *one);
    uint8_t *keep = calloc(units, 1), *kept = calloc(units, 1);
    float *data = make(first, count, view);
    REQUIRE(units == LAYERS * WIDTH && scores && one && keep && kept, "%zu units", units);
    for (size_t i = 0; i < LAYERS; i++) rows[i] = (mskp_mpi_rows){first, count};
    const uint64_t bytes = all_ranks.bytes;
    start = now();
    REQUIRE(!mskp_mpi_score(&all_ranks, g, &how, rows, (mskp_tensors){LAYERS, view},
                            scores_of(units, scores), &err),
            "%s", err.text);
    tell("score", start);
    start = now();
    REQUIRE(!mskp_mpi_select(&all_ranks, g, scores_of(units, scores), &rule, mask_of(units, keep),
                             NULL, &err),
            "%s", err.text);
    tell("select", start);
    if (!rank)
        printf("  %llu bytes from each rank for %zu units\n",
               (unsigned long long)(all_ranks.bytes - bytes), units);
    free(data);
    if (!rank) data = make(0, WIDTH, view);
    MPI_Barrier(MPI_COMM_WORLD);
    start = now();
    if (!rank) /* one process, with all values */
        REQUIRE_OK(mskp_score(g, &how, (mskp_tensors){LAYERS, view}, scores_of(units, one), NULL));
    tell("score in one process", start);
    if (!rank) {
        REQUIRE_OK(mskp_select(g, scores_of(units, one), &rule, mask_of(units, kept), NULL, NULL));
        REQUIRE(!memcmp(one, scores, units * sizeof *one), "scores differ");
        REQUIRE(!memcmp(keep, kept, units), "masks differ");
        free(data);
    }
    free(scores);
    free(one);
    free(keep);
    free(kept);
    mskp_graph_destroy(g);
}

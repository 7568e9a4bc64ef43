/*
 * A large network over ranks: 10^6 units, 10^8 parameters. Run by name alone: test_mpi size. With
 * MSKP_TEST_SIZE=10000 in the environment there are 10^7 units, and the same number of parameters.
 */
#include "ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { WIDTH = 1000, PARAMETERS = 100 * 1000 * 1000 };

static size_t layers, inputs;

/* A number of one element, the same on all ranks. */
static float number(size_t layer, size_t element)
{
    uint64_t x = (layer * WIDTH * inputs + element + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
    return (float)(x >> 40) * 0x1p-24F - 0.5F;
}

/* Convolutions that read the same input. */
static mskp_graph *describe(void)
{
    mskp_graph *g = mskp_graph_create(NULL);
    REQUIRE(g, "no memory");
    const mskp_value in = mskp_input(g, "in", inputs, 0, NULL);
    for (size_t i = 0; i < layers; i++) {
        char name[40];
        (void)snprintf(name, sizeof name, "w%zu", i);
        const mskp_param w = mskp_parameter(g, name, 2, (size_t[]){WIDTH, inputs});
        mskp_linear(g, NULL, in, w, (mskp_param){0});
    }
    REQUIRE_OK(mskp_graph_finish(g, NULL));
    return g;
}

/* Seconds of the clock, and of the processor, where the machine is shared. */
typedef struct watch {
    double clock, processor;
    uint64_t bytes;
} watch;

static watch now(void)
{
    return (watch){MPI_Wtime(), (double)clock() / CLOCKS_PER_SEC, all_ranks.bytes};
}

/* Of the slowest rank. */
static void tell(const char *what, watch start)
{
    const watch end = now();
    double spent[2] = {end.clock - start.clock, end.processor - start.processor};
    MPI_Allreduce(MPI_IN_PLACE, spent, 2, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    if (!all_ranks.rank)
        printf("  %s: %.3f s, processor %.3f s, %llu bytes from each rank\n", what, spent[0],
               spent[1], (unsigned long long)(all_ranks.bytes - start.bytes));
}

/* Rows first .. first + count - 1 of each layer. */
static float *make(size_t first, size_t count, mskp_tensor *view)
{
    float *data = malloc(layers * count * inputs * sizeof *data + 1), *at = data;
    REQUIRE(data, "no memory for %zu rows", count);
    for (size_t i = 0; i < layers; i++) {
        view[i] = (mskp_tensor){.data = at};
        for (size_t k = 0; k < count * inputs; k++) *at++ = number(i, first * inputs + k);
    }
    return data;
}

/* The largest resident size of all ranks, in MiB, with what the tests themselves hold. */
static void tell_memory(void)
{
    struct rusage usage;
    REQUIRE(!getrusage(RUSAGE_SELF, &usage), "no usage");
    double most = (double)usage.ru_maxrss / 1024;
    MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    if (!all_ranks.rank) printf("  the largest rank had %.0f MiB\n", most);
}

/* What is compared: of all ranks, of spread scores, and of one process. */
typedef struct answers {
    double *scores[3];
    uint8_t *keep[3], *here;
} answers;

static answers make_answers(size_t units)
{
    answers a = {.here = calloc(units, 1)};
    bool got = a.here != NULL;
    for (int i = 0; i < 3; i++) {
        a.scores[i] = calloc(units, sizeof *a.scores[i]);
        a.keep[i] = calloc(units, 1);
        got = got && a.scores[i] && a.keep[i];
    }
    REQUIRE(got, "no memory for %zu units", units);
    return a;
}

static void free_answers(const answers *a)
{
    for (int i = 0; i < 3; i++) free(a->scores[i]), free(a->keep[i]);
    free(a->here);
}

static void score_and_select(const mskp_graph *g, const mskp_mpi_range *rows, mskp_tensors views,
                             const mskp_mpi_scoring *how, const mskp_rule *rule, const answers *a)
{
    const size_t units = mskp_graph_counts(g).units;
    const mskp_mpi_spread spread = {scores_of(units, a->scores[1]), mask_of(units, a->here)};
    mskp_error err;
    watch start = now();
    REQUIRE(!mskp_mpi_score(&all_ranks, g, how, rows, views, scores_of(units, a->scores[0]), &err),
            "%s", err.text);
    tell("scores", start);
    start = now();
    REQUIRE(!mskp_mpi_select(&all_ranks, g, scores_of(units, a->scores[0]), rule,
                             mask_of(units, a->keep[0]), NULL, &err),
            "%s", err.text);
    tell("mask", start);
    start = now();
    REQUIRE(!mskp_mpi_score_spread(&all_ranks, g, how, rows, views, spread, &err), "%s", err.text);
    tell("spread scores", start);
    start = now();
    const uint64_t calls = all_ranks.calls;
    REQUIRE(!mskp_mpi_select_spread(&all_ranks, g, spread, rule, mask_of(units, a->keep[1]), NULL,
                                    &err),
            "%s", err.text);
    tell("mask of spread scores", start);
    if (!all_ranks.rank)
        printf("    in %llu collective operations\n",
               (unsigned long long)(all_ranks.calls - calls));
    REQUIRE(!memcmp(a->keep[0], a->keep[1], units), "masks differ");
}

static void cut_rows(const mskp_graph *g, mskp_mask keep, mskp_mpi_range *rows, mskp_tensors views)
{
    mskp_plan *plan;
    mskp_error err;
    watch start = now();
    REQUIRE(!mskp_mpi_shard_plan(&all_ranks, g, keep, rows, rows, &plan, &err), "%s", err.text);
    tell("plan", start);
    start = now();
    for (size_t i = 0; i < layers; i++)
        if (!rows[i].count) views.view[i] = (mskp_tensor){.data = NULL};
    REQUIRE(!mskp_mpi_cut(&all_ranks, plan, 1, &(mskp_move){.from = views}, &err), "%s", err.text);
    tell("cut", start);
    mskp_plan_destroy(plan);
}

void test_size(void)
{
    const char *asked = getenv("MSKP_TEST_SIZE");
    layers = asked ? strtoul(asked, NULL, 10) : 1000;
    REQUIRE(layers && layers <= PARAMETERS / WIDTH, "MSKP_TEST_SIZE is %zu", layers);
    inputs = PARAMETERS / WIDTH / layers;
    const size_t rank = (size_t)all_ranks.rank, ranks = (size_t)all_ranks.ranks;
    const size_t first = WIDTH * rank / ranks, count = WIDTH * (rank + 1) / ranks - first;
    const mskp_mpi_scoring how = {
        .values = {.magnitude = MSKP_MAGNITUDE_L2, .roles = MSKP_ROLE_FILTER}};
    const mskp_rule rule = {.remove_fraction = 0.5};
    mskp_tensor *view = calloc(layers, sizeof *view);
    mskp_mpi_range *rows = calloc(layers, sizeof *rows);
    REQUIRE(view && rows, "no memory");
    watch start = now();
    mskp_graph *g = describe();
    tell("describe", start);
    const size_t units = mskp_graph_counts(g).units;
    REQUIRE(units == layers * WIDTH, "%zu units", units);
    const answers a = make_answers(units);
    const mskp_tensors views = {layers, view};
    float *data = make(first, count, view);
    for (size_t i = 0; i < layers; i++) rows[i] = (mskp_mpi_range){first, count, 0};
    score_and_select(g, rows, views, &how, &rule, &a);
    cut_rows(g, mask_of(units, a.keep[0]), rows, views);
    tell_memory();
    free(data);
    MPI_Barrier(MPI_COMM_WORLD);
    if (!rank) { /* one process, with all values */
        data = make(0, WIDTH, view);
        start = now();
        REQUIRE_OK(mskp_score(g, &how.values, views, scores_of(units, a.scores[2]), NULL));
        printf("  scores in one process: %.3f s\n", now().processor - start.processor);
        REQUIRE_OK(mskp_select(g, scores_of(units, a.scores[2]), &rule, mask_of(units, a.keep[2]),
                               NULL, NULL));
        REQUIRE(!memcmp(a.scores[2], a.scores[0], units * sizeof(double)), "scores differ");
        REQUIRE(!memcmp(a.keep[2], a.keep[0], units), "masks differ");
        free(data);
    }
    free_answers(&a);
    free(view);
    free(rows);
    mskp_graph_destroy(g);
}

/*
 * The caller's memory and threads. All memory of a graph and its plans comes from two functions,
 * and what can run in parallel goes through a third one. This page lends too little memory, so that
 * a call fails and changes nothing, lends more, and repeats the call. Its parallel loop stands for
 * a pool of threads: it runs forwards in one pass and backwards in the other, with the same result.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/tools.h> /* struct mskp_services */
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 64, ROOM = WIDTH * WIDTH };
static float number[2][2][ROOM];

/* The context of the three functions. mskp passes it on and does not look at it. */
typedef struct lending {
    size_t left, blocks, loops; /* bytes to lend, blocks not yet released, calls */
    int backwards;
} lending;

static void *allocate(void *context, size_t bytes)
{
    lending *lent = context;
    if (bytes > lent->left) return NULL;
    void *memory = malloc(bytes); /* aligned for any object, as it must be */
    if (memory) lent->left -= bytes, lent->blocks++;
    return memory;
}

static void release(void *context, void *memory)
{
    if (memory) ((lending *)context)->blocks--;
    free(memory);
}

static void parallel_for(void *context, size_t n, void (*work)(void *, size_t), void *work_context)
{
    lending *lent = context;
    lent->loops++;
    for (size_t i = 0; i < n; i++) work(work_context, lent->backwards ? n - 1 - i : i);
}

/* Removes half of the hidden channels of two linear layers. Returns whether all went well. */
static int prune(lending *lent, float (*weight)[ROOM])
{
    const mskp_services services = {lent, allocate, release, parallel_for};
    const mskp_scoring filters = {.roles = MSKP_ROLE_FILTER};
    const mskp_rule half = {.remove_fraction = 0.5};
    const size_t shape[] = {WIDTH, WIDTH};
    const mskp_param none = {0};
    mskp_tensor view[2] = {{.data = weight[0]}, {.data = weight[1]}};
    const mskp_tensors values = {2, view};
    double score[WIDTH];
    uint8_t stays[WIDTH];
    const mskp_mask keep = {WIDTH, stays};
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    mskp_graph *g = mskp_graph_create(&services); /* services is copied */
    const mskp_param w1 = mskp_parameter(g, "w1", 2, shape), w2 = mskp_parameter(g, "w2", 2, shape);
    const mskp_value h = mskp_linear(g, "h", mskp_input(g, "x", WIDTH, 0, NULL), w1, none);
    mskp_output(g, mskp_linear(g, "y", h, w2, none));
    lent->left = 1000;
    while (mskp_graph_finish(g, &err) == MSKP_ERROR_NO_MEMORY && lent->left < 1000000) {
        printf("with %zu bytes left: %s\n", lent->left, err.text);
        lent->left += 500000;
        err.status = MSKP_OK;
    }
    if (err.status || mskp_score(g, &filters, values, (mskp_scores){WIDTH, score}, &err) ||
        mskp_select(g, (mskp_scores){WIDTH, score}, &half, keep, NULL, &err) ||
        mskp_plan_create(g, keep, &plan, NULL, &err))
        goto failed;
    mskp_plan_cut(plan, 1, &(mskp_move){.from = values}, &err);
failed:
    if (err.status) fprintf(stderr, "services: %s\n", err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    printf("%zu parallel loops, %zu blocks not yet released\n", lent->loops, lent->blocks);
    return err.status == MSKP_OK && lent->blocks == 0 && lent->loops > 0;
}

int main(void)
{
    lending forwards = {.left = 1000000}, backwards = {.left = 1000000, .backwards = 1};
    for (size_t i = 0; i < 2 * ROOM; i++)
        number[0][i / ROOM][i % ROOM] = number[1][i / ROOM][i % ROOM] = (float)(i * i % 1009);
    int same = prune(&forwards, number[0]) && prune(&backwards, number[1]);
    for (size_t i = 0; i < 2 * ROOM && same; i++)
        same = fabsf(number[0][i / ROOM][i % ROOM] - number[1][i / ROOM][i % ROOM]) <= 0;
    if (!same)
        fprintf(stderr, "services: memory was lost, or the order of a loop changed the result\n");
    return !same;
}

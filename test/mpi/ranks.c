/* Runs the tests on every rank. A rank that hangs is ended after LIMIT seconds; the test of size,
 * which is run by name alone, has LONG seconds. */
#include "ranks.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIMIT = 280, LONG = 1800 };

mskp_mpi all_ranks;
failing_heap heap;
uint64_t trial_seed;

void require_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    printf("%s:%d: rank %d of %d, seed %llu: %s: %s\n", file, line, all_ranks.rank, all_ranks.ranks,
           (unsigned long long)trial_seed, condition, text);
    fflush(stdout);
    MPI_Abort(MPI_COMM_WORLD, 1);
    abort();
}

void require_same_bytes(const char *what, size_t n, const void *bytes)
{
    unsigned char *first = malloc(n + 1);
    REQUIRE(first, "no memory");
    if (n) memcpy(first, bytes, n);
    MPI_Bcast(first, (int)n, MPI_BYTE, 0, MPI_COMM_WORLD);
    REQUIRE(!n || !memcmp(first, bytes, n), "%s is another than on rank 0", what);
    free(first);
}

void require_same_answer(mskp_status status, const mskp_error *err)
{
    const int number = (int)status;
    char text[sizeof err->text] = "";
    if (status) (void)snprintf(text, sizeof text, "%s", err->text);
    int first = number;
    MPI_Bcast(&first, 1, MPI_INT, 0, MPI_COMM_WORLD);
    REQUIRE(first == number, "status %d, on rank 0 it is %d: %s", number, first, text);
    require_same_bytes("the sentence", sizeof text, text);
    REQUIRE(!status || err->status == status, "the error has status %d, not %d", err->status,
            status);
}

static void *allocate(void *context, size_t bytes)
{
    failing_heap *h = context;
    if (++h->calls == h->fail_at) return NULL;
    h->live++;
    return malloc(bytes);
}

static void release(void *context, void *memory)
{
    failing_heap *h = context;
    if (memory) h->live--;
    free(memory);
}

mskp_services heap_services(void)
{
    return (mskp_services){.context = &heap, .allocate = allocate, .release = release};
}

/* A set of ranks, each of which has the same rows. */
static bool has(uint64_t ranks, int rank)
{
    return ranks >> rank & 1;
}

/* Draws one or more ranks that are not among `taken`. */
static uint64_t some_ranks(rng *r, uint64_t taken, bool several)
{
    uint64_t ranks = 0;
    do {
        const int rank = (int)rng_below(r, (size_t)all_ranks.ranks);
        if (!has(taken, rank)) ranks |= UINT64_C(1) << rank;
    } while (!ranks || (several && rng_chance(r, 0.5)));
    return ranks;
}

/* Cuts an axis into ranges for groups of ranks, in any order. */
static void draw_ranges(rng *r, size_t length, mskp_mpi_range *mine)
{
    const uint64_t everyone = (UINT64_C(1) << all_ranks.ranks) - 1;
    uint64_t taken = 0;
    *mine = (mskp_mpi_range){0};
    for (size_t first = 0, count; first < length; first += count) {
        const bool replicas = rng_chance(r, 0.2);
        const uint64_t ranks = some_ranks(r, taken, replicas);
        taken |= ranks;
        count = taken == everyone || rng_chance(r, 0.2) ? length - first
                                                        : rng_from(r, 1, length - first);
        if (has(ranks, all_ranks.rank)) *mine = (mskp_mpi_range){first, count, 0};
    }
}

mskp_tensor *pieces_of(trial *t, const set *values, const mskp_mpi_range *ranges)
{
    const net *n = t->net;
    rng own = rng_make(rng_next(&t->r) + (uint64_t)all_ranks.rank);
    mskp_tensor *views = arena_get(&t->mem, n->params + 1, sizeof *views);
    for (size_t i = 1; i <= n->params; i++) {
        const net_param *q = &n->param[i];
        const mskp_tensor whole = view_resolve(&values->views[i], q->ndim, q->shape);
        const mskp_mpi_range range = ranges[i - 1];
        size_t shape[MSKP_MAX_DIMS], at[MSKP_MAX_DIMS] = {0};
        if (!range.count) continue;
        memcpy(shape, q->shape, sizeof shape);
        shape[range.axis] = range.count;
        views[i] = view_make(&t->mem, &own, whole.dtype, q->ndim, shape,
                             (view_style)rng_below(&own, VIEW_STYLES))
                       .view;
        const mskp_tensor piece = view_resolve(&views[i], q->ndim, shape);
        do {
            size_t from[MSKP_MAX_DIMS];
            memcpy(from, at, sizeof from);
            from[range.axis] += range.first;
            memcpy(view_at(&piece, at), view_at(&whole, from), dtype_size(whole.dtype));
        } while (next_index(q->ndim, shape, at));
    }
    return views;
}

pieces pieces_draw(trial *t, const set *values)
{
    const net *n = t->net;
    rng own = rng_make(rng_next(&t->r) + (uint64_t)all_ranks.rank);
    pieces p = {.ranges = arena_get(&t->mem, n->params + 1, sizeof *p.ranges)};
    for (size_t i = 1; i <= n->params; i++) {
        const net_param *q = &n->param[i];
        mskp_mpi_range *mine = &p.ranges[i - 1];
        const uint32_t axis = rng_chance(&t->r, 0.5) ? 0 : (uint32_t)rng_below(&t->r, q->ndim);
        draw_ranges(&t->r, q->shape[axis], mine);
        mine->axis = axis;
        p.split += mine->count && mine->count < q->shape[axis];
        p.columns += axis == 1 && mine->count && mine->count < q->shape[axis];
        if (mine->count == q->shape[axis]) { /* of whichever axis */
            mine->axis = (uint32_t)rng_below(&own, q->ndim);
            mine->count = q->shape[mine->axis];
        }
    }
    p.views = pieces_of(t, values, p.ranges);
    return p;
}

void require_range(const mskp_tensor *piece, const mskp_tensor *whole, mskp_mpi_range range,
                   uint8_t *seen)
{
    size_t at[MSKP_MAX_DIMS] = {0};
    for (uint32_t d = 0; d < whole->ndim; d++)
        REQUIRE(piece->ndim == whole->ndim &&
                    piece->shape[d] == (d == range.axis ? range.count : whole->shape[d]),
                "axis %u has %zu indices", d, piece->shape[d]);
    do {
        size_t from[MSKP_MAX_DIMS], element = 0;
        memcpy(from, at, sizeof from);
        from[range.axis] += range.first;
        REQUIRE(!memcmp(view_at(piece, at), view_at(whole, from), dtype_size(piece->dtype)),
                "axis %u: an element of index %zu is another", range.axis, from[range.axis]);
        for (uint32_t d = 0; d < whole->ndim; d++) element = element * whole->shape[d] + from[d];
        if (seen) seen[element] = 1;
    } while (next_index(piece->ndim, piece->shape, at));
}

/* A rank that ends without a word, while the others are in a call. */
static void die(void)
{
    if (all_ranks.rank == all_ranks.ranks - 1) _exit(3);
    mskp_mpi_agree(&all_ranks, MSKP_OK, NULL);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {{"scores", test_scores},
                 {"gradients", test_gradients},
                 {"layers", test_layers},
                 {"corners", test_corners},
                 {"votes", test_votes},
                 {"incomplete", test_incomplete},
                 {"join", test_join},
                 {"spread", test_spread},
                 {"tied", test_tied},
                 {"same", test_same},
                 {"sum", test_sum},
                 {"cut", test_cut},
                 {"overlaps", test_overlaps},
                 {"shard plan", test_shard_plan},
                 {"move", test_move},
                 {"constants", test_constants},
                 {"disagreement", test_disagreement},
                 {"failures", test_failures},
                 {"refusals", test_refusals},
                 {"size", test_size}};
    const mskp_services services = heap_services();
    mskp_error err;
    alarm(argc > 1 && !strcmp(argv[1], "size") ? LONG : LIMIT);
    if (MPI_Init(&argc, &argv) || mskp_mpi_open(MPI_COMM_WORLD, &services, &all_ranks, &err))
        return 1;
    const char *only = argc > 1 ? argv[1] : "";
    if (!strcmp(only, "die")) die();
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (*only ? strcmp(only, tests[i].name) != 0 : tests[i].run == test_size) continue;
        const double start = MPI_Wtime();
        tests[i].run();
        MPI_Barrier(MPI_COMM_WORLD);
        if (!all_ranks.rank) {
            printf("%d ranks, %s: passed (%.1f s)\n", all_ranks.ranks, tests[i].name,
                   MPI_Wtime() - start);
            fflush(stdout);
        }
    }
    mskp_mpi_close(&all_ranks);
    REQUIRE(!heap.live, "%zu blocks were not released", heap.live);
    return MPI_Finalize();
}

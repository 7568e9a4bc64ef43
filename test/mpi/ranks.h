/* What the tests over ranks share: the ranks, and a heap that fails on one of them. */
#ifndef TEST_MPI_RANKS_H
#define TEST_MPI_RANKS_H

#include "interpreter/elements.h"
#include "mskp_mpi.h"

extern mskp_mpi all_ranks; /* opened with failing_heap */

/* Requires that all ranks pass the same status and, after an error, the same sentence, which
 * begins with a rank. */
void require_same_answer(mskp_status status, const mskp_error *err);
/* Requires the same bytes on all ranks. */
void require_same_bytes(const char *what, size_t n, const void *bytes);

/* Counts allocations, and fails at one of them; 0: none. */
typedef struct failing_heap {
    size_t calls, fail_at, live;
} failing_heap;
extern failing_heap heap;
mskp_services heap_services(void);

/* Which ranges of each parameter are where, and this rank's pieces of a set. */
typedef struct pieces {
    mskp_mpi_range *ranges; /* [params] */
    mskp_tensor *views;     /* [params + 1], by id */
    size_t split, columns;  /* parameters of which this rank has a part, and a part of axis 1 */
} pieces;
/* Every choice that ranks share is drawn from t->r, so it is the same on all ranks. */
pieces pieces_draw(trial *t, const set *values);
/* This rank's pieces of another set, by id. */
mskp_tensor *pieces_of(trial *t, const set *values, const mskp_mpi_range *ranges);
/* Requires that a piece is this range of a whole tensor, whose views have shapes and strides.
 * seen: NULL, or a flag for each element of the whole, which become 1. */
void require_range(const mskp_tensor *piece, const mskp_tensor *whole, mskp_mpi_range range,
                   uint8_t *seen);

void test_scores(void);
void test_gradients(void);
void test_layers(void);
void test_corners(void);
void test_votes(void);
void test_incomplete(void);
void test_join(void);
void test_spread(void);
void test_tied(void);
void test_same(void);
void test_sum(void);
void test_cut(void);
void test_overlaps(void);
void test_shard_plan(void);
void test_move(void);
void test_constants(void);
void test_disagreement(void);
void test_failures(void);
void test_refusals(void);
void test_size(void); /* by name alone */

#endif

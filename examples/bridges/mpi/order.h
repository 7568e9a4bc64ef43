/* The order in which units leave, known in part: counts over all ranks, and units where needed. */
#ifndef MSKP_MPI_ORDER_H
#define MSKP_MPI_ORDER_H

#include "internal.h"

/* A unit in the order: by key, then by number. */
typedef struct place {
    uint64_t key; /* ascends with the score */
    uint32_t unit, family;
} place;

/* Places from the first to the last, both included. Either all units of these keys, or units of a
 * single key. */
typedef struct span {
    uint64_t key[2];
    uint32_t unit[2];
} span;

/* How many units of a family all ranks have in a bucket. */
typedef struct part {
    uint32_t family, count;
} part;

/* The units of some families in a span. */
typedef struct bucket {
    span span;
    size_t nparts, units; /* units: the sum over parts */
    part *part;
    place *known; /* [units] in order, the same on all ranks; NULL: only their numbers are known */
} bucket;

typedef struct ordering {
    mskp_mpi *mpi;
    const mskp_graph *graph;
    size_t units, families;
    const uint32_t *family; /* of each unit */
    place *mine;            /* what this rank has, by family, then in order */
    size_t nmine, *first;   /* first[families + 1] where each family begins in `mine` */
} ordering;

uint64_t mskpmpi_key_of(double score);

/* mine <- the units of this rank, given by ascending number, by family and in order. */
mskp_status mskpmpi_order_open(ordering *o, mskp_error *error);
void mskpmpi_order_close(ordering *o);

/* How many units this rank has in one part of a bucket. */
size_t mskpmpi_mine_in(const ordering *o, uint32_t family, const span *s);

/* A bucket is split into at most so many. */
enum { PIECES = 16 };
/* How many pieces a span has, and piece i of it. */
size_t mskpmpi_pieces(const span *s);
span mskpmpi_piece(const span *s, size_t i);
/* Collective: makes the spans of the buckets as small as their units allow. *counts <- for each
 * bucket, for each part, how many units all ranks have in each of PIECES pieces; the caller frees
 * it. What a rank finds wrong is an error on all. */
mskp_status mskpmpi_split(ordering *o, size_t n, bucket *const *chosen, uint32_t **counts,
                          mskp_error *error);
/* Collective: known <- the units of the buckets, which are sent to all ranks. */
mskp_status mskpmpi_reveal(ordering *o, size_t n, bucket *const *chosen, mskp_error *error);

#endif

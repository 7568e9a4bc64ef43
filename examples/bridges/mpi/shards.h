/* Who has which rows of a parameter, and who sums them up. */
#ifndef MSKP_MPI_SHARDS_H
#define MSKP_MPI_SHARDS_H

#include "internal.h"
#include "mskp/methods.h"
#include "mskp/operators.h"

/* A parameter. */
typedef struct shard {
    uint32_t ndim, chosen; /* chosen: bits of the axes whose slices are asked */
    size_t shape[MSKP_MAX_DIMS];
    size_t first[MSKP_MAX_DIMS]; /* where the sums of an axis begin */
    bool crosses;                /* a unit has slices on two axes */
    mskp_dtype dtype;
    whole_view piece; /* this rank's rows */
    /* The same on all ranks: */
    bool sent;  /* the rows have to meet on one rank */
    int target; /* which */
    /* What becomes of it on this rank: */
    mskp_mpi_rows summed; /* rows that this rank sums up */
    char *buffer;         /* NULL, or the whole parameter, packed */
} shard;

typedef struct sharding {
    mskp_mpi *mpi;
    const mskp_graph *graph;
    const mskp_mpi_rows *rows;
    mskp_tensors pieces;
    mskp_scoring how;
    size_t params, units, longest; /* longest: axis or value */
    shard *shard;                  /* [params] */
    size_t nsums, slices;          /* slices: sums that this rank makes */
    double *sums;                  /* [nsums] zeros; the indices of each axis together */
    int *maker;                    /* [nsums] the rank that makes the sum */
    uint64_t *entry, *entries;     /* what each rank has: [params][3], [ranks][params][3] */
    size_t *order;                 /* [ranks] room for sorting */
    int *counts, *starts;          /* [ranks] for MPI_Gatherv */
    uint64_t *load;                /* [ranks] bytes that are sent to each */
} sharding;

/* What is known without communication. shards_close frees it, also after an error. */
mskp_status mskpmpi_shards_open(sharding *s, mskp_error *error);
/* Collective: who sums up what. */
mskp_status mskpmpi_shards_place(sharding *s, mskp_error *error);
/* Collective: sends the rows that have to meet. */
mskp_status mskpmpi_shards_move(sharding *s, mskp_error *error);
void mskpmpi_shards_close(sharding *s);

/* The name of some rows of a parameter, "conv1.weight[4:8]", in `text`; or the parameter's own name
 * if they are all. */
enum { ROWS_NAME = 200 };
const char *mskpmpi_rows_name(const sharding *s, uint32_t id, mskp_mpi_rows rows,
                              char text[ROWS_NAME]);

#endif

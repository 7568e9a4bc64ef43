/* Who has which rows of a parameter, and who sums them up. */
#ifndef MSKP_MPI_SHARDS_H
#define MSKP_MPI_SHARDS_H

#include "internal.h"
#include "mskp/methods.h"
#include "mskp/operators.h"

/* Which rows of each parameter every rank has: entries[ranks][params][width]. */
enum { ROWS_FIRST, ROWS_COUNT, ROWS_DTYPE, ROWS_ENTRY };
typedef struct row_table {
    const mskp_graph *graph;
    size_t ranks, params, width; /* width: numbers of a rank and a parameter, ROWS_ENTRY or more */
    uint64_t *entries;
    size_t *order; /* [ranks] of one parameter, see mskpmpi_sort_ranks */
} row_table;

static inline const uint64_t *mskpmpi_entry(const row_table *t, size_t rank, uint32_t id)
{
    return t->entries + (rank * t->params + id - 1) * t->width;
}

/* Room for a table whose graph and width are set. mskpmpi_table_close frees it, also after an
 * error. */
mskp_status mskpmpi_table_open(mskp_mpi *mpi, row_table *table, mskp_error *error);
/* Collective: table <- of all ranks. mine: this rank's [params][width]. */
mskp_status mskpmpi_table_fill(mskp_mpi *mpi, row_table *table, const uint64_t *mine,
                               mskp_error *error);
void mskpmpi_table_close(const mskp_mpi *mpi, row_table *table);
/* order <- the ranks that have rows, by (first row, rank). Returns how many there are. */
size_t mskpmpi_sort_ranks(const row_table *table, uint32_t id);
/* Fails if the rows of the n sorted ranks are not the whole parameter, each once or in replicas, in
 * one dtype. */
mskp_status mskpmpi_check_rows(const row_table *table, uint32_t id, size_t n, mskp_error *error);
/* How many of the n sorted ranks, from i on, have the same rows. */
size_t mskpmpi_replicas(const row_table *table, uint32_t id, size_t n, size_t i);

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
    uint64_t *entry;               /* [params][ROWS_ENTRY] what this rank has */
    row_table table;
    int *counts, *starts; /* [ranks] for MPI_Gatherv */
    uint64_t *load;       /* [ranks] bytes that are sent to each */
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

/* Who has which range of a parameter, and who sums it up. */
#ifndef MSKP_MPI_SHARDS_H
#define MSKP_MPI_SHARDS_H

#include "internal.h"

enum { MOST_SETS = 2 }; /* values, gradients */

/* Which range of each parameter every rank has: entries[ranks][params][width]. The axis of a range
 * that is the whole parameter is 0. */
enum { RANGE_FIRST, RANGE_COUNT, RANGE_FORMAT, RANGE_ENTRY };
typedef struct range_table {
    const mskp_graph *graph;
    size_t ranks, params, width; /* width: numbers of a rank and a parameter, RANGE_ENTRY or more */
    uint64_t *entries;
    size_t *order; /* [ranks] of one parameter, see mskpmpi_sort_ranks */
} range_table;

static inline const uint64_t *mskpmpi_entry(const range_table *t, size_t rank, uint32_t id)
{
    return t->entries + (rank * t->params + id - 1) * t->width;
}

/* RANGE_FORMAT: the axis, and the dtypes of the sets. */
static inline uint64_t mskpmpi_format(uint32_t axis, mskp_dtype first, mskp_dtype second)
{
    return axis | (uint64_t)first << 8 | (uint64_t)second << 16;
}
static inline uint32_t mskpmpi_axis_of(const uint64_t *entry)
{
    return entry[RANGE_FORMAT] & 0xff;
}
static inline mskp_dtype mskpmpi_dtype_of(const uint64_t *entry, size_t set)
{
    return (mskp_dtype)(entry[RANGE_FORMAT] >> (8 + 8 * set) & 0xff);
}

/* Room for a table whose graph and width are set. mskpmpi_table_close frees it, also after an
 * error. */
mskp_status mskpmpi_table_open(mskp_mpi *mpi, range_table *table, mskp_error *error);
/* Collective: table <- of all ranks. mine: this rank's [params][width]. */
mskp_status mskpmpi_table_fill(mskp_mpi *mpi, range_table *table, const uint64_t *mine,
                               mskp_error *error);
void mskpmpi_table_close(const mskp_mpi *mpi, range_table *table);
/* order <- the ranks that have a range, by (first index, rank). Returns how many there are. */
size_t mskpmpi_sort_ranks(const range_table *table, uint32_t id);
/* Fails if the ranges of the n sorted ranks are not the whole parameter, each once or in replicas,
 * on one axis, in one dtype. */
mskp_status mskpmpi_check_whole(const range_table *table, uint32_t id, size_t n, mskp_error *error);
/* How many of the n sorted ranks, from i on, have the same range. */
size_t mskpmpi_replicas(const range_table *table, uint32_t id, size_t n, size_t i);

/* A parameter. */
typedef struct shard {
    uint32_t ndim, chosen; /* chosen: bits of the axes whose slices are asked */
    size_t shape[MSKP_MAX_DIMS];
    size_t first[MSKP_MAX_DIMS]; /* where the sums of an axis begin */
    bool crosses;                /* a unit has slices on two axes */
    whole_view piece[MOST_SETS]; /* this rank's range */
    mskp_dtype dtype[MOST_SETS]; /* the same on all ranks, as all that follows: */
    uint32_t axis;               /* of the ranges */
    bool sent;                   /* the ranges have to meet on one rank */
    int target;                  /* which */
    /* What becomes of it on this rank: */
    mskp_mpi_range summed;   /* what this rank sums up */
    char *buffer[MOST_SETS]; /* NULL, or the whole parameter, packed */
} shard;

typedef struct sharding {
    mskp_mpi *mpi;
    const mskp_graph *graph;
    const mskp_mpi_range *ranges;
    mskp_tensors set[MOST_SETS]; /* what this rank has */
    size_t sets;                 /* 2: scores from gradients */
    mskp_scoring how;
    mskp_taylor form;
    size_t params, units, longest; /* longest: axis or value */
    shard *shard;                  /* [params] */
    size_t nsums, slices;          /* slices: sums that this rank makes */
    double *sums;                  /* [nsums] zeros; the indices of each axis together */
    int *maker;                    /* [nsums] the rank that makes the sum */
    uint64_t *entry;               /* [params][RANGE_ENTRY] what this rank has */
    range_table table;
    int *counts, *starts; /* [ranks] for MPI_Gatherv */
    uint64_t *load;       /* [ranks] bytes that are sent to each */
} sharding;

/* What is known without communication. shards_close frees it, also after an error. */
mskp_status mskpmpi_shards_open(sharding *s, mskp_error *error);
/* Collective: who sums up what. */
mskp_status mskpmpi_shards_place(sharding *s, mskp_error *error);
/* Collective: sends the ranges that have to meet. */
mskp_status mskpmpi_shards_move(sharding *s, mskp_error *error);
void mskpmpi_shards_close(sharding *s);

static inline bool mskpmpi_has_gradients(const sharding *s)
{
    return s->sets == MOST_SETS;
}
/* The unit of each index of an axis of the network. */
static inline const uint32_t *mskpmpi_units_of(const sharding *s, uint32_t id, uint32_t axis)
{
    return mskp_param_units(s->graph, (mskp_param){id}, axis, NULL, NULL);
}
/* Prepares what crosses for sums of squares: product.c. */
mskp_status mskpmpi_multiply(const sharding *s, mskp_error *error);
/* owner[u] <- the rank that gets unit u: owner.c. */
void mskpmpi_find_owners(const sharding *s, int *owner);
/* Collective: sums[] <- of all slices of the units of this rank; others are 0. */
mskp_status mskpmpi_send_sums(sharding *s, const int *owner, mskp_error *error);

/* The part of an axis that a range has: all of it, unless it is the range's. */
static inline size_t mskpmpi_first_of(mskp_mpi_range range, uint32_t axis)
{
    return axis == range.axis ? range.first : 0;
}
static inline size_t mskpmpi_count_of(const shard *p, mskp_mpi_range range, uint32_t axis)
{
    return axis == range.axis ? range.count : p->shape[axis];
}

/* The name of a range of a parameter, "conv1.weight[4:8]" or "conv1.weight[:,4:8]", in `text`; or
 * the parameter's own name if the range is all of it. */
enum { RANGE_NAME = 200 };
const char *mskpmpi_range_name(const sharding *s, uint32_t id, mskp_mpi_range range,
                               char text[RANGE_NAME]);

#endif

/* A selection among units whose scores are spread over ranks. */
#ifndef MSKP_MPI_SPREAD_H
#define MSKP_MPI_SPREAD_H

#include "order.h"

typedef struct spreading {
    ordering order;
    const mskp_rule *rule; /* the caller's */
    bool all;              /* the rule needs the whole order */
    bool *tied;            /* [families] see mskpmpi_find_tied */
    size_t nbuckets;
    bucket *bucket; /* in order; nothing lies between two of them */
    /* What mskp_select is asked in place of the rule, and what it says. */
    mskp_rule asked;
    double *score;   /* [units] */
    mskp_mask keep;  /* [units] */
    size_t *size;    /* [families] units that can go */
    size_t *removed; /* [families] */
    size_t *named;   /* [families] those of `removed` that the rule names */
    size_t *passed;  /* [families] room */
    mskp_selection selection;
} spreading;

/* tied[f] <- whether it depends on other families when a limit closes family f. */
mskp_status mskpmpi_find_tied(mskp_mpi *mpi, const mskp_graph *graph, const mskp_rule *rule,
                              bool *tied, mskp_error *error);
size_t mskpmpi_floor_of(const mskp_rule *rule, size_t family);
size_t mskpmpi_block_of(const mskp_rule *rule, size_t family, size_t size, size_t removed);

/* Collective: removed <- how many units of each family the selection removes. */
mskp_status mskpmpi_count_removed(spreading *s, mskp_error *error);
/* Whether a bucket is better sent than split. */
bool mskpmpi_is_cheap(const bucket *b);
void mskpmpi_free_buckets(mskp_mpi *mpi, size_t n, bucket *b);

#endif

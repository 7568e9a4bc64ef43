/* Constants that are being handed on: the object, and the steps by which it is made. */
#ifndef MSKP_CONSTANTS_CONSTANTS_H
#define MSKP_CONSTANTS_CONSTANTS_H

#include "constants/hearing.h"
#include "mskp/constants.h"
#include "mskp/tools.h"

struct mskp_constants {
    mskp_services host;
    const mskp_graph *graph;
    mskp_constants_desc desc;
    hearings h;
    uint8_t *keep;       /* [units] 1: stays by itself */
    uint8_t *carries;    /* [units] 1: stays in order to carry */
    double *emits;       /* what carriers emit: by value and channel, from first on */
    size_t *first;       /* [values + 1] */
    uint32_t *norms;     /* [values + 1] the last batch norm that reads a value; 0: none */
    uint32_t *next_norm; /* [values + 1] and the one before */
    double *seen;        /* what stood where sums and columns go, in the order of the writer */
    size_t seen_count, seen_room;
};

const mskp_graph *mskpi_constants_graph(const mskp_constants *constants);
/* Does the unit stay, by itself or as a carrier? */
int mskpi_constants_keep(const mskp_constants *constants, size_t unit);
int mskpi_constants_carries(const mskp_constants *constants, size_t unit);

mskp_status mskpi_constants_no_memory(mskp_error *err);

/* targets.c */
int mskpi_is_absorbing(const graph_step *s);
int mskpi_has_own_mean(const mskp_constants *c, const graph_step *s);
/* Norms by what they read. others: [values + 1], 0. */
void mskpi_find_norms(mskp_constants *c, uint8_t *others);
void mskpi_find_target(const mskp_constants *c, hearing *x);
/* The better of fold and drop, or what was asked. */
hand_way mskpi_without_merge(const mskp_constants *c, const hearing *x, const hearing_group *g);
/* What a group loses, and the same as a share of what an output channel varies by. */
double mskpi_loss_of(const hearing *x, const hearing_group *g);
double mskpi_share_of(const hearing *x, const hearing_group *g);
/* Is it worth a unit? */
int mskpi_needs_merge(const mskp_constants *c, const hearing *x, const hearing_group *g);

/* carriers.c. known: what each channel is without carriers. */
mskp_status mskpi_merge(mskp_constants *c, walker *w, const double *known);

/* writing.c. write 0: can all be written? record: whose `seen` is written; NULL: it is compared
 * with. */
mskp_status mskpi_write_constants(const mskp_constants *c, mskp_tensors values,
                                  mskp_constants *record, int write, mskp_error *err);

#endif

/* Consumers: the operators that read channels of removed units. */
#ifndef MSKP_CONSTANTS_CONSUMERS_H
#define MSKP_CONSTANTS_CONSUMERS_H

#include <stdbool.h>

#include "constants/walk.h"
#include "mskp/constants.h"
#include "mskp/tools.h"

#define MSKPI_NOT_CONSTANT "channels that are removed are not constant"

/* What a consumer reads of one channel of its input. */
enum {
    READS_NOTHING,  /* the channel stays, or is zero, or has no weight to what stays */
    READS_CONSTANT, /* the channel is removed, and constant */
    READS_LIVE      /* the channel is removed, and not constant */
};

/* What becomes of a group's constants. */
typedef enum group_way {
    WAY_NONE, /* the group reads no constant */
    WAY_DROP,
    WAY_FOLD,
    WAY_MERGE
} group_way;

/* One group of a consumer's inputs and outputs. Errors are those of an element of an output
 * channel, the largest over the group's channels and over all positions. A share is an error
 * divided by the channel's output scale (mskp_constants_desc.merge_above). */
typedef struct consumer_group {
    double fold, drop;             /* the errors of the two ways */
    double fold_share, drop_share; /* the same as shares */
    double rounding;               /* how far the sums themselves may be off */
    size_t constants;              /* channels that are read and constant */
    group_way way;
    size_t column; /* WAY_MERGE: the channel of the input that carries */
} consumer_group;

/* Where a consumer's constants can be folded. */
typedef enum fold_target {
    FOLD_NOWHERE,
    FOLD_BIAS,
    FOLD_MEANS,
    FOLD_ABSORBED, /* norms behind the consumer subtract a constant by themselves */
    FOLD_BRANCH    /* the consumer vanishes; its result is a constant of the branch's end */
} fold_target;

typedef struct consumer {
    uint32_t value, reads; /* the operator's value, and the value that it reads */
    uint32_t weight, bias; /* 0: none */
    bool mixes;            /* it has a weight that the library can write; for other consumers only
                              `input` and `why` are filled in */
    bool uniform;          /* every position of its result sees the same taps */
    bool writes;           /* of the consumers that share a bias, the one for which it is written */
    fold_target target;
    weight_form form;      /* if it does not mix: `in`, and one group */
    uint8_t *input;        /* [in] READS_NOTHING, READS_CONSTANT or READS_LIVE */
    double *sums;          /* [out][taps] of constants times weights */
    double *folded;        /* [out] what folding adds to a bias; if it ends, [in] the constants */
    consumer_group *group; /* [groups] */
    size_t live;           /* how many inputs are READS_LIVE */
    const char *why;       /* why it cannot be exact, if that is known already */
    bool ends;             /* an addition; it reads the end of a branch that vanishes */
    uint32_t shift;        /* if it ends: the parameter that is left of the operand; 0: none */
    double off;            /* if it ends: the largest difference if nothing is written */
} consumer;

typedef struct consumer_list {
    consumer *all;
    size_t n, capacity;
    uint8_t *reached; /* [values + 1] 1: the value vanishes, but an addition that stays needs to
                         know its constants */
    uint32_t *uses;   /* [params + 1] how many operators use each parameter */
} consumer_list;

/* *list <- the consumers, in the order of the description. Free the list, also after an error. */
mskp_status mskpi_find_consumers(walker *w, consumer_list *list);
/* Whether an element-wise operator broadcasts the one channel of an input over many. */
bool mskpi_is_broadcast(const mskp_graph *graph, uint32_t value, uint32_t in);
void mskpi_consumers_free(const mskp_services *services, consumer_list *list);

#endif

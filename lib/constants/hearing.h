/* Operators that read channels which leave. */
#ifndef MSKP_CONSTANTS_HEARING_H
#define MSKP_CONSTANTS_HEARING_H

#include "constants/walk.h"
#include "mskp/constants.h"
#include "mskp/tools.h"

#define MSKPI_NOT_CONSTANT "channels that leave are not constant"

enum { HEARS_NOTHING, HEARS_CONSTANT, HEARS_LIVE };

typedef enum hand_way {
    WAY_NONE, /* no constant is heard */
    WAY_DROP,
    WAY_FOLD,
    WAY_MERGE
} hand_way;

/* One group of a consumer's inputs and outputs: what it does with its constants. */
typedef struct hearing_group {
    double fold, drop;             /* the largest error of an output channel at a position */
    double fold_share, drop_share; /* the same, in parts of what the channel varies by */
    double rounding;               /* of what sums of double precision can be off by */
    size_t constants;              /* channels */
    hand_way way;
    size_t column; /* WAY_MERGE: the channel of the input that carries */
} hearing_group;

/* Where a consumer's constants can be folded into. */
typedef enum fold_target {
    FOLD_NOWHERE,
    FOLD_BIAS,
    FOLD_MEANS,
    FOLD_ABSORBED /* norms with statistics of their own take away what is the same everywhere */
} fold_target;

/* An operator that hears channels that leave. */
typedef struct hearing {
    uint32_t value, reads;
    uint32_t weight, bias;
    uint8_t mixes; /* a weight that the library can write; else only counts are here */
    uint8_t uniform;
    uint8_t writes; /* the first of those that share a bias and fold the same */
    fold_target target;
    weight_form form;     /* of what does not mix: in, and one group */
    uint8_t *hears;       /* [in] */
    double *sums;         /* [out][taps]: of constants times weights */
    double *folded;       /* [out]: what to add to a bias */
    hearing_group *group; /* [groups] */
    size_t live;
    const char *why;
} hearing;

typedef struct hearings {
    hearing *all;
    size_t n, capacity;
    uint32_t *uses; /* [params + 1]: how many operators use it */
} hearings;

mskp_status mskpi_hearings(walker *w, hearings *h);
void mskpi_hearings_free(const mskp_services *host, hearings *h);

#endif

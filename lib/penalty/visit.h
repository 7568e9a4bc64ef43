/* The sweep over the targeted elements of one tensor. */
#ifndef MSKP_PENALTY_VISIT_H
#define MSKP_PENALTY_VISIT_H

#include <stdbool.h>

#include "base/view.h"
#include "mskp.h"
#include "penalty/elements.h"

/* One axis, and what begins with it. */
typedef struct sweep_axis {
    size_t length;
    size_t inner;         /* how many elements one index has */
    ptrdiff_t step[2];    /* bytes from one index to the next, in each set */
    const uint32_t *unit; /* the units of a targeted axis; NULL: not targeted */
    bool is_run;          /* this axis and all within it are one run of memory, in all sets */
    bool no_target;       /* neither this axis nor one within it is targeted */
} sweep_axis;

/* How a tensor is swept, in one set or in two with different layouts. It holds no data, so that it
 * serves all tensors of the same layouts. */
typedef struct penalty_sweep {
    uint32_t id, naxes;
    mskp_dtype dtype[2];
    size_t element[2];                  /* bytes */
    ptrdiff_t step[2];                  /* bytes from one element of a run to the next */
    sweep_axis axis[MSKP_MAX_DIMS + 1]; /* from the outermost to the innermost, and an empty one */
    uint32_t stripe; /* the axis that is swept as stripes; otherwise naxes + 1, which is no axis */
    bool alone;      /* no axis but this one is targeted */
    bool may_cross;  /* one of its units may also be one of another axis */
} penalty_sweep;

/* How many elements are changed at a time: while these are, the next ones come from memory, and the
 * amounts of a stripe stay in the first cache. */
enum { PART = 1024 };

/* Memory for a sweep in progress, on the caller's stack. */
typedef struct stripe_room {
    size_t n;    /* elements of the stripe */
    bool any;    /* one of them is targeted */
    size_t same; /* how many entries of `outside` are the amount of one unit without a weight */
    double base; /* the factor of the other units for which `inside` was computed; NaN: none */
    double weight[PART];         /* of the element's unit; 0: not targeted */
    double outside[PART];        /* the amount where no other unit is targeted */
    double inside[PART];         /* the amount where others are, whose factor is `base` */
    double outside_factor[PART]; /* mskpi_vector_factor of `outside`, where loops read it */
    double inside_factor[PART];
    int32_t mask[PART]; /* -1: targeted */
    int32_t all[PART];  /* -1 */
} stripe_room;

/* *sweep <- how to sweep the tensor of a parameter. value, second: its views in the job's sets;
 * second NULL: there is one set. unit[d]: the units of axis d if the axis has a targeted slice,
 * otherwise NULL. any_order: the elements need not be visited in their logical order. */
void mskpi_visit_make(penalty_sweep *sweep, uint32_t id, const tensor_view *value,
                      const tensor_view *second, const uint32_t *const unit[MSKP_MAX_DIMS],
                      bool any_order);

/* How a tensor is divided for threads: by pieces of the first axis. */
size_t mskpi_visit_pieces(size_t elements);

/* Does the job for piece number `piece` of `pieces`. value, second: of the job's sets; second is
 * NULL where mskpi_second_name is. set: that of `value`, 0 or 1. targets: NULL, or -1 for each
 * targeted entry of the graph's lists of units, otherwise 0. */
typedef struct sweep_piece {
    penalty_job *job;
    const int32_t *targets;
    uint32_t set;
    char *value, *second;
    size_t piece, pieces;
} sweep_piece;
void mskpi_visit(const penalty_sweep *sweep, const sweep_piece *piece, stripe_room *room);

/* Whether a unit is one of the job's targets. */
bool mskpi_is_target(const penalty_job *j, uint32_t unit);

#endif

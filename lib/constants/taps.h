/* Which kernel elements (taps) overlap the image at each output position. A position sees a tap if
 * it does. */
#ifndef MSKP_CONSTANTS_TAPS_H
#define MSKP_CONSTANTS_TAPS_H

#include <stdbool.h>

#include "mskp.h"
#include "mskp/constants.h"
#include "mskp/tools.h"

/* The positions on one axis that see the same taps: first, first + step, first + 2 step and so on,
 * `count` of them, with the step of the axis. Positions that see no tap are a class with count
 * 0. */
typedef struct tap_class {
    size_t first, count;
} tap_class;

typedef struct tap_axis {
    size_t taps, step, n;
    size_t most;        /* the class with the most positions; ties go to the one with more taps */
    tap_class *classes; /* [n] */
} tap_axis;

/* The classes on each axis. The classes of the operator are their products. */
typedef struct tap_classes {
    tap_axis axis[MSKP_MAX_SPATIAL];
    size_t taps, classes, most; /* the same over all axes */
    bool too_many;              /* there are too many classes, or positions to look at */
    double *buffer[2];          /* for mskpi_taps_sums; NULL if too_many */
} tap_classes;

/* *t <- the classes of a convolution, or of a linear layer (one class with one tap). Free them with
 * mskpi_taps_free, also after an error, which is always MSKP_ERROR_NO_MEMORY. */
mskp_status mskpi_taps_make(const mskp_graph *graph, uint32_t value, tap_classes *t,
                            mskp_error *err);
void mskpi_taps_free(const mskp_services *services, tap_classes *t);
/* Whether every position is known to see the same taps. */
bool mskpi_is_uniform(const tap_classes *t);
/* Returns for each class the sum of the numbers [taps] of the taps that it sees. The result is
 * valid until the next call. Must not be called if t->too_many is set. */
const double *mskpi_taps_sums(const tap_classes *t, const double *numbers);

#endif

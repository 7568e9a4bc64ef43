/* Which taps of a kernel see the image. */
#ifndef MSKP_CONSTANTS_TAPS_H
#define MSKP_CONSTANTS_TAPS_H

#include "mskp.h"
#include "mskp/constants.h"
#include "mskp/tools.h"

/* Taps of a kernel that see the image, at some positions: `count` from `first` on, each
 * tap_axis.step further. */
typedef struct tap_class {
    size_t first, count;
} tap_class;

typedef struct tap_axis {
    size_t taps, step, n;
    size_t most; /* the class of the most positions, of these the one with most taps */
    tap_class *classes;
} tap_axis;

/* On each axis the different sets of taps; on all of them the products. */
typedef struct tap_classes {
    tap_axis axis[MSKP_MAX_SPATIAL];
    size_t taps, classes, most;
    int too_many; /* positions to look at: nothing is known */
    double *room[2];
} tap_classes;

/* Those of a convolution, of a linear layer (one tap). 1: no memory. Free them in either case. */
int mskpi_taps_make(const mskp_graph *graph, uint32_t value, tap_classes *t);
void mskpi_taps_free(const mskp_services *host, tap_classes *t);
/* Does each position see the same taps? */
int mskpi_taps_uniform(const tap_classes *t);
/* [classes] the sums of numbers [taps] over each class. Valid until it is called again. */
const double *mskpi_taps_sums(const tap_classes *t, const double *numbers);

#endif

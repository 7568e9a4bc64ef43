/*
 * One small network, and others that differ from it in one thing each, for results that are
 * compared with a text that is written down. It has ties, padded zeros, a pinned channel among
 * others that are not pinned, a flattened value, and names that JSON must escape.
 */
#ifndef SMALL_NETWORK_SMALL_NETWORK_H
#define SMALL_NETWORK_SMALL_NETWORK_H

#include "by_id/by_id.h"

typedef enum small_change {
    SMALL_PLAIN,
    SMALL_VALUE_RENAMED, /* "c2" is "c2x" */
    SMALL_PARAM_RENAMED, /* "y.weight" is "z.weight" */
    SMALL_WIDER,         /* "c3" makes 6 channels and not 5 */
    SMALL_KERNEL,        /* "c3.weight" is 3 x 3 and not 1 x 1 */
    SMALL_TIED,          /* "s1" and "s2", channels of "c3", are tied */
    SMALL_REVERSED,      /* "c2" is added the other way round: other ties, as many units */
    SMALL_LONGER,        /* one more value, "more", at the end */
    SMALL_SHORTER,       /* no "y" */
    SMALL_LARGER,        /* of larger images: no difference to a mask */
    SMALL_CHANGES
} small_change;

/* Finished; NULL: no memory. */
mskp_graph *small_network_make(small_change change, const mskp_services *services);

#endif

/*
 * One little network, and others that differ from it in one thing each: for what is compared with a
 * text that is written down. It has ties, zeros that are padded, a channel that is pinned among others
 * that are not, a flattened value, and names that JSON must escape.
 */
#ifndef SMALL_NETWORK_SMALL_NETWORK_H
#define SMALL_NETWORK_SMALL_NETWORK_H

#include "by_id/by_id.h"

typedef enum little_change {
    LITTLE_PLAIN,
    LITTLE_VALUE_RENAMED, /* "c2" is "c2x" */
    LITTLE_PARAM_RENAMED, /* "y.weight" is "z.weight" */
    LITTLE_WIDER,         /* "c3" makes 6 channels and not 5 */
    LITTLE_KERNEL,        /* "c3.weight" is 3 x 3 and not 1 x 1 */
    LITTLE_TIED,          /* "s1" and "s2", channels of "c3", are tied */
    LITTLE_REVERSED,      /* "c2" is added the other way round: other ties, as many units */
    LITTLE_LONGER,        /* one more value, "more", at the end */
    LITTLE_SHORTER,       /* no "y" */
    LITTLE_LARGER,        /* of larger images: no difference to a mask */
    LITTLE_CHANGES
} little_change;

/* Finished; NULL: no memory. */
mskp_graph *little_make(little_change change, const mskp_services *host);

#endif

/* The graph of the network after surgery. */
#ifndef MSKP_SURGERY_SMALLER_H
#define MSKP_SURGERY_SMALLER_H

#include "mask/vanish.h"
#include "mskp.h"
#include "mskp/tools.h"

/* Returns a copy of n elements, or NULL without memory. */
void *mskpi_copy_of(const mskp_services *services, const void *from, size_t n, size_t size);
/* *small <- the same description over the channels that stay, as a finished graph. */
mskp_status mskpi_smaller_graph(const mskp_graph *g, const uint8_t *keep, const vanishing *v,
                                mskp_graph **small, mskp_error *err);

#endif

/* The smaller graph. */
#ifndef MSKP_SURGERY_SMALLER_H
#define MSKP_SURGERY_SMALLER_H

#include "mskp.h"
#include "mskp/tools.h"

/* A copy of n elements. NULL: no memory. */
void *mskpi_copy_of(const mskp_services *host, const void *from, size_t n, size_t size);
/* The same description over the channels that stay. NULL after a sentence. */
mskp_graph *mskpi_smaller(const mskp_graph *g, const uint8_t *keep, mskp_error *err);

#endif

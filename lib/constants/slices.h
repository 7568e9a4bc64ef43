/* Slices that become 0 or 1 when constants are applied. */
#ifndef MSKP_CONSTANTS_SLICES_H
#define MSKP_CONSTANTS_SLICES_H

#include <stdbool.h>

#include "base/view.h"
#include "constants/constants.h"

typedef struct slices {
    const mskp_constants *c;
    struct slice_axis *axis; /* [axes] of the graph */
    uint8_t *state;
    uint32_t *zeros;
    struct slice_piece *pieces;
    size_t npieces;
} slices;

/* Whether slices of a parameter become 0 or 1. */
bool mskpi_slices_change(const mskp_constants *c, uint32_t param);
/* *s <- what mskpi_slices_write does to the parameters with written[] set, whose views are in
 * views[]. Free it, also after an error. */
mskp_status mskpi_slices_make(const mskp_constants *c, const uint8_t *written,
                              const tensor_view *views, slices *s, mskp_error *err);
void mskpi_slices_write(const slices *s, const tensor_view *views);
void mskpi_slices_free(slices *s);

#endif

/* Slices that become 0 or 1 when constants are applied. */
#ifndef MSKP_CONSTANTS_SLICES_H
#define MSKP_CONSTANTS_SLICES_H

#include <stdbool.h>

#include "base/view.h"
#include "constants/constants.h"

/* What becomes of the slices of one axis. */
typedef struct slice_axis {
    const uint8_t *state;  /* [length] a content; NULL: no slice changes */
    const uint32_t *zeros; /* the indices of slices that become 0, ascending */
    size_t nzeros;
    bool ones; /* some slices become 1 */
} slice_axis;

typedef struct slice_piece {
    uint32_t param;
    size_t first, end; /* on the outermost axis */
} slice_piece;

typedef struct slice_changes {
    const mskp_constants *c;
    slice_axis *axis; /* [axes] of the graph */
    uint8_t *state;
    uint32_t *zeros;
    slice_piece *pieces;
    size_t npieces;
} slice_changes;

/* Whether slices of a parameter become 0 or 1. */
bool mskpi_slices_change(const mskp_constants *c, uint32_t param);
/* *s <- what mskpi_slices_write does to the parameters with written[] set, whose views are in
 * views[]. Free it, also after an error. */
mskp_status mskpi_slices_make(const mskp_constants *c, const uint8_t *written,
                              const tensor_view *views, slice_changes *s, mskp_error *err);
void mskpi_slices_write(const slice_changes *s, const tensor_view *views);
void mskpi_slices_free(slice_changes *s);

#endif

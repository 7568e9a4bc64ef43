/* One sweep over a parameter gives the sums of all slices on all of its chosen axes. */
#ifndef MSKP_SCORE_SWEEP_H
#define MSKP_SCORE_SWEEP_H

#include <stdbool.h>

#include "base/view.h"
#include "mskp.h"
#include "score/kernel.h"

/* A parameter in one or two sets; view[1] is NULL unless the term is a product. */
typedef struct operands {
    const tensor_view *view[2];
    slice_term term;
} operands;

/* A sweep, and how it is divided into tiles. sums[d] receives the sums of the slices on axis d;
 * NULL: none are wanted. parts[d]: where the sums of single tiles stand until they are joined. */
typedef struct sweep {
    operands of;
    size_t rows, columns, taps;            /* of the parameter */
    size_t tile_columns, tile_taps;        /* of a tile, unless it is the last */
    size_t row_tiles, column_tiles, tiles; /* tiles: of the parameter */
    double *sums[MSKP_MAX_DIMS], *parts[MSKP_MAX_DIMS];
} sweep;

/* A sweep without sums. */
sweep mskpi_sweep(operands of);
/* The length of parts[d] that sums on axis d need. */
size_t mskpi_sweep_parts(const sweep *s, uint32_t d);
/* The number of elements of a tile, if it is none of the last. */
size_t mskpi_tile_elements(const sweep *s);
/* Sums one tile, of s->tiles. Two tiles write to different addresses. */
void mskpi_sum_tile(const sweep *s, const kernels *k, size_t tile);
/* Joins the sums of all tiles. */
void mskpi_join_tiles(const sweep *s);

#endif

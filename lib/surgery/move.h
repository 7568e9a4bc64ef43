/* Moving the elements of one tensor. */
#ifndef MSKP_SURGERY_MOVE_H
#define MSKP_SURGERY_MOVE_H

#include <stdbool.h>

#include "base/view.h"

/* The loop over one axis, in ascending order of the addresses in the whole tensor. Step t < n
 * visits place whole * kept[next * t] of the whole, or whole * t where all indices stay. */
typedef struct move_axis {
    size_t n;
    const uint32_t *kept; /* the first index that is visited; NULL: all of them */
    ptrdiff_t next;       /* 1, or -1 where the indices descend */
    ptrdiff_t whole;      /* bytes for each index */
    ptrdiff_t part;       /* bytes for each step */
} move_axis;

/* All moves between a whole tensor and its part: rows of items. An item is a block of bytes that is
 * contiguous in both tensors. */
typedef struct mover {
    move_axis outer[MSKP_MAX_DIMS], row; /* the largest stride first */
    uint32_t nouter;
    size_t rows;        /* 0: the part has no elements */
    size_t bytes;       /* of an item */
    char *whole, *part; /* the places of index 0, or of the last one where all indices descend */
    char *low, *high;   /* the address range of the whole */
    size_t fetched;     /* bytes of each row that are prefetched */
    bool dense;         /* the whole has no gaps */
} mover;

/*
 * *m <- the moves between a whole tensor and its part: part[i, j, ...] is whole[kept[0][i],
 * kept[1][j], ...], where kept[d] NULL means all of axis d. Both views have data, the same ndim and
 * the same element size. The lists must outlive *m.
 */
void mskpi_mover_make(const tensor_view *whole, const tensor_view *part,
                      const uint32_t *const kept[MSKP_MAX_DIMS], mover *m);

/* part <- whole, for rows first .. first+n-1. Elements move in ascending order of their addresses
 * in the whole, provided that each list ascends. Addresses in the part then ascend, too, if its
 * strides have the signs and the order of the whole's. */
void mskpi_gather(const mover *m, size_t first, size_t n);

/* How many of the rows from `first` on mskpi_gather may take in pieces, in any order, when the
 * rows before `first` are done and the part lies on the whole. At least one. */
size_t mskpi_gather_at_once(const mover *m, size_t first, size_t piece);

/* whole <- part, and all bytes that are not of the part are 0, for rows first .. first+n-1 and
 * what lies between them and the next row. The two must not overlap. If the whole has gaps, the
 * rows must be all. */
void mskpi_restore(const mover *m, const tensor_view *whole, size_t first, size_t n);

#endif

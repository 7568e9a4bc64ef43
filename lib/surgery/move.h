/* Moving the elements of one tensor. */
#ifndef MSKP_SURGERY_MOVE_H
#define MSKP_SURGERY_MOVE_H

#include "base/view.h"

/*
 * Copies between a whole tensor and its part: part[i, j, ...] is whole[kept[0][i], kept[1][j],
 * ...], where kept[d] NULL means all of axis d. Both views have the same ndim and element size.
 * Elements move in ascending order of their addresses in the whole, provided that each kept[d]
 * ascends. Addresses in the part then ascend, too, if its strides have the signs and the order of
 * the whole's.
 */
void mskpi_gather(const tensor_view *part, const tensor_view *whole,
                  const uint32_t *const kept[MSKP_MAX_DIMS]);
void mskpi_scatter(const tensor_view *whole, const tensor_view *part,
                   const uint32_t *const kept[MSKP_MAX_DIMS]);
/* Sets all bytes of all elements to 0. */
void mskpi_clear(const tensor_view *v);

#endif

/* Tensor views by brute force: the rules of mskp.h, written as plainly as possible. */
#ifndef CUTTING_VIEWS_H
#define CUTTING_VIEWS_H

#include "by_id/by_id.h"
#include "guarded_memory/guarded_memory.h"

enum { LONGEST_AXIS = 16 };

/* The indices that stay, per axis. */
typedef struct kept_indices {
    size_t n[MSKP_MAX_DIMS];
    size_t index[MSKP_MAX_DIMS][LONGEST_AXIS];
} kept_indices;

#define EVERY_DTYPE                                                                          \
    {                                                                                        \
        MSKP_DTYPE_F32, MSKP_DTYPE_F64, MSKP_DTYPE_F16, MSKP_DTYPE_BF16, MSKP_DTYPE_BYTES_1, \
            MSKP_DTYPE_BYTES_2, MSKP_DTYPE_BYTES_4, MSKP_DTYPE_BYTES_8, MSKP_DTYPE_BYTES_16  \
    }
enum { DTYPES = 9 };
size_t dtype_size(mskp_dtype dtype);

/* The next index in row-major order; false after the last. Start with zeros. */
bool index_next(size_t index[MSKP_MAX_DIMS], uint32_t ndim, const size_t *shape);

/* Fills in the shape and the strides that {.data = p} and strides of 0 stand for. All functions
 * below need such resolved views. */
mskp_tensor view_resolved(mskp_tensor view, uint32_t ndim, const size_t *shape);

size_t view_count(const mskp_tensor *view);
/* In elements, from data. */
ptrdiff_t view_offset(const mskp_tensor *view, const size_t *index);
/* The element with the lowest address, in elements from data: never above 0. */
ptrdiff_t view_lowest(const mskp_tensor *view);
/* Bytes from the lowest address to behind the highest. */
size_t view_extent(const mskp_tensor *view);
unsigned char *view_start(const mskp_tensor *view);
/* data such that the lowest address is `start`. */
void view_place(mskp_tensor *view, unsigned char *start);
/* Sorted by |stride|, each axis steps over all that the smaller ones span. */
bool view_nested(const mskp_tensor *view);
bool view_dense(const mskp_tensor *view);

/* The rule of mskp_plan_views. */
mskp_tensor view_after_cut(const mskp_tensor *view, const kept_indices *kept);

/* Same place, type, shape, and strides where they matter. */
bool views_agree(const mskp_tensor *a, const mskp_tensor *b);
bool strides_agree(const mskp_tensor *a, const mskp_tensor *b);

/* Numbers the elements: each holds its logical index, times an odd number in one byte. */
void view_number(const mskp_tensor *view, const unsigned char *base, unsigned char *memory);

/* image <- what `to` has to hold; base is where image[0] and before[0] lie in memory. */
void view_gather(const mskp_tensor *from, const kept_indices *kept, const unsigned char *from_base,
                 const unsigned char *from_before, const mskp_tensor *to,
                 const unsigned char *to_base, unsigned char *to_image);

/* map[byte] |= bit for each byte of the view. */
void view_mark(const mskp_tensor *view, const unsigned char *base, uint64_t *map, uint64_t bit);
/* Whether any byte of the view is marked. */
bool view_marked(const mskp_tensor *view, const unsigned char *base, const uint64_t *map);

/* Dense, axes in `order` (outermost first), negative where the bit of the axis is set. */
mskp_tensor view_dense_layout(mskp_dtype dtype, uint32_t ndim, const size_t *shape,
                              const uint32_t *order, unsigned negative);

/* Dense, or with gaps, or (wild) with any strides, even such that do not nest. */
typedef enum layout_kind { LAYOUT_DENSE, LAYOUT_GAPS, LAYOUT_WILD } layout_kind;
mskp_tensor view_random_layout(rng *r, layout_kind kind, mskp_dtype dtype, uint32_t ndim,
                               const size_t *shape);

#endif

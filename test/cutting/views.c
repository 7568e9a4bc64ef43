#include "views.h"

#include "by_id/by_id.h"
#include <stdlib.h>
#include <string.h>

size_t dtype_size(mskp_dtype dtype)
{
    switch (dtype) {
    case MSKP_DTYPE_BYTES_1:
        return 1;
    case MSKP_DTYPE_F16:
    case MSKP_DTYPE_BF16:
    case MSKP_DTYPE_BYTES_2:
        return 2;
    case MSKP_DTYPE_F32:
    case MSKP_DTYPE_BYTES_4:
        return 4;
    case MSKP_DTYPE_F64:
    case MSKP_DTYPE_BYTES_8:
        return 8;
    case MSKP_DTYPE_BYTES_16:
        return 16;
    }
    return 0;
}

bool index_next(size_t index[MSKP_MAX_DIMS], uint32_t ndim, const size_t *shape)
{
    for (uint32_t a = ndim; a-- > 0;) {
        if (++index[a] < shape[a]) return true;
        index[a] = 0;
    }
    return false;
}

mskp_tensor view_resolved(mskp_tensor view, uint32_t ndim, const size_t *shape)
{
    if (view.ndim == 0) {
        view.ndim = ndim;
        memset(view.stride, 0, sizeof view.stride);
        memcpy(view.shape, shape, ndim * sizeof *shape);
    }
    bool packed = true;
    for (uint32_t a = 0; a < view.ndim; a++)
        if (view.stride[a] != 0) packed = false;
    if (packed) {
        size_t step = 1;
        for (uint32_t a = view.ndim; a-- > 0;) {
            view.stride[a] = (ptrdiff_t)step;
            step *= view.shape[a];
        }
    }
    return view;
}

/* Strides of axes of length 1 are ignored. */
static ptrdiff_t stride_of(const mskp_tensor *view, uint32_t axis)
{
    return view->shape[axis] == 1 ? 0 : view->stride[axis];
}

static ptrdiff_t absolute(ptrdiff_t x)
{
    return x < 0 ? -x : x;
}

size_t view_count(const mskp_tensor *view)
{
    size_t n = 1;
    for (uint32_t a = 0; a < view->ndim; a++) n *= view->shape[a];
    return n;
}

ptrdiff_t view_offset(const mskp_tensor *view, const size_t *index)
{
    ptrdiff_t offset = 0;
    for (uint32_t a = 0; a < view->ndim; a++) offset += (ptrdiff_t)index[a] * stride_of(view, a);
    return offset;
}

ptrdiff_t view_lowest(const mskp_tensor *view)
{
    ptrdiff_t offset = 0;
    for (uint32_t a = 0; a < view->ndim; a++)
        if (stride_of(view, a) < 0) offset += (ptrdiff_t)(view->shape[a] - 1) * stride_of(view, a);
    return offset;
}

static size_t span(const mskp_tensor *view)
{
    size_t n = 1;
    for (uint32_t a = 0; a < view->ndim; a++)
        n += (view->shape[a] - 1) * (size_t)absolute(stride_of(view, a));
    return n;
}

size_t view_extent(const mskp_tensor *view)
{
    return span(view) * dtype_size(view->dtype);
}

unsigned char *view_start(const mskp_tensor *view)
{
    return (unsigned char *)view->data + view_lowest(view) * (ptrdiff_t)dtype_size(view->dtype);
}

void view_place(mskp_tensor *view, unsigned char *start)
{
    view->data = start - view_lowest(view) * (ptrdiff_t)dtype_size(view->dtype);
}

bool view_nested(const mskp_tensor *view)
{
    for (uint32_t a = 0; a < view->ndim; a++) {
        /* Equal strides span each other, so neither steps over the other. */
        ptrdiff_t within = 0, mine = absolute(stride_of(view, a));
        if (view->shape[a] == 1) continue;
        for (uint32_t b = 0; b < view->ndim; b++)
            if (b != a && view->shape[b] > 1 && absolute(stride_of(view, b)) <= mine)
                within += (ptrdiff_t)(view->shape[b] - 1) * absolute(stride_of(view, b));
        if (mine <= within) return false;
    }
    return true;
}

bool view_dense(const mskp_tensor *view)
{
    return view_count(view) == span(view);
}

mskp_tensor view_after_cut(const mskp_tensor *view, const kept_indices *kept)
{
    mskp_tensor cut = *view;
    bool dense = view_dense(view), done[MSKP_MAX_DIMS] = {false};
    ptrdiff_t step = 1;
    for (uint32_t round = 0; round < view->ndim; round++) {
        /* The axes from the innermost in memory outwards. */
        uint32_t inner = MSKP_MAX_DIMS;
        for (uint32_t a = 0; a < view->ndim; a++)
            if (!done[a] && (inner == MSKP_MAX_DIMS ||
                             absolute(stride_of(view, a)) < absolute(stride_of(view, inner))))
                inner = a;
        done[inner] = true;
        cut.shape[inner] = kept->n[inner];
        if (dense && view->shape[inner] > 1) {
            cut.stride[inner] = view->stride[inner] < 0 ? -step : step;
            step *= (ptrdiff_t)kept->n[inner];
        }
    }
    if (view->data) view_place(&cut, view_start(view));
    return cut;
}

bool strides_agree(const mskp_tensor *a, const mskp_tensor *b)
{
    for (uint32_t i = 0; i < a->ndim; i++)
        if (stride_of(a, i) != stride_of(b, i)) return false;
    return true;
}

bool views_agree(const mskp_tensor *a, const mskp_tensor *b)
{
    return a->data == b->data && a->dtype == b->dtype && a->ndim == b->ndim &&
           memcmp(a->shape, b->shape, a->ndim * sizeof *a->shape) == 0 && strides_agree(a, b);
}

void view_gather(const mskp_tensor *from, const kept_indices *kept, const unsigned char *from_base,
                 const unsigned char *from_before, const mskp_tensor *to,
                 const unsigned char *to_base, unsigned char *to_image)
{
    size_t size = dtype_size(from->dtype), index[MSKP_MAX_DIMS] = {0}, old[MSKP_MAX_DIMS];
    ptrdiff_t width = (ptrdiff_t)size;
    ptrdiff_t source = (unsigned char *)from->data - from_base;
    ptrdiff_t target = (unsigned char *)to->data - to_base;
    do {
        for (uint32_t a = 0; a < from->ndim; a++) old[a] = kept->index[a][index[a]];
        memcpy(to_image + target + view_offset(to, index) * width,
               from_before + source + view_offset(from, old) * width, size);
    } while (index_next(index, to->ndim, to->shape));
}

void view_number(const mskp_tensor *view, const unsigned char *base, unsigned char *memory)
{
    size_t size = dtype_size(view->dtype), index[MSKP_MAX_DIMS] = {0}, logical = 0;
    ptrdiff_t origin = (unsigned char *)view->data - base;
    do {
        unsigned char *element = memory + origin + view_offset(view, index) * (ptrdiff_t)size;
        for (size_t i = 0; i < size; i++)
            element[i] = (unsigned char)(i % 2 ? logical >> 8 : logical * 37 + 11 + i);
        logical++;
    } while (index_next(index, view->ndim, view->shape));
}

void view_mark(const mskp_tensor *view, const unsigned char *base, uint64_t *map, uint64_t bit)
{
    size_t size = dtype_size(view->dtype), index[MSKP_MAX_DIMS] = {0};
    ptrdiff_t origin = (unsigned char *)view->data - base;
    do {
        ptrdiff_t at = origin + view_offset(view, index) * (ptrdiff_t)size;
        for (size_t i = 0; i < size; i++) map[at + (ptrdiff_t)i] |= bit;
    } while (index_next(index, view->ndim, view->shape));
}

bool view_marked(const mskp_tensor *view, const unsigned char *base, const uint64_t *map)
{
    size_t size = dtype_size(view->dtype), index[MSKP_MAX_DIMS] = {0};
    ptrdiff_t origin = (unsigned char *)view->data - base;
    do {
        ptrdiff_t at = origin + view_offset(view, index) * (ptrdiff_t)size;
        for (size_t i = 0; i < size; i++)
            if (map[at + (ptrdiff_t)i]) return true;
    } while (index_next(index, view->ndim, view->shape));
    return false;
}

mskp_tensor view_dense_layout(mskp_dtype dtype, uint32_t ndim, const size_t *shape,
                              const uint32_t *order, unsigned negative)
{
    mskp_tensor view = {.dtype = dtype, .ndim = ndim};
    memcpy(view.shape, shape, ndim * sizeof *shape);
    ptrdiff_t step = 1;
    for (uint32_t i = ndim; i-- > 0;) {
        uint32_t a = order[i];
        view.stride[a] = negative >> a & 1 ? -step : step;
        step *= (ptrdiff_t)shape[a];
    }
    return view;
}

static ptrdiff_t garbage(rng *r)
{
    const ptrdiff_t odd[] = {0, 1, -1, 3, -7, 1000, PTRDIFF_MAX, PTRDIFF_MIN};
    return odd[rng_below(r, sizeof odd / sizeof *odd)];
}

mskp_tensor view_random_layout(rng *r, layout_kind kind, mskp_dtype dtype, uint32_t ndim,
                               const size_t *shape)
{
    uint32_t order[MSKP_MAX_DIMS] = {0};
    for (uint32_t a = 0; a < ndim; a++) {
        size_t b = rng_below(r, a + 1);
        order[a] = order[b];
        order[b] = a;
    }
    unsigned negative = rng_chance(r, 2) ? 0 : (unsigned)rng_below(r, 1u << ndim);
    mskp_tensor view = view_dense_layout(dtype, ndim, shape, order, negative);
    ptrdiff_t spanned = 0, first = 0; /* the highest offset so far */
    for (uint32_t i = ndim; i-- > 0;) {
        uint32_t a = order[i];
        if (shape[a] == 1) {
            if (rng_chance(r, 2)) view.stride[a] = garbage(r);
            continue;
        }
        if (kind == LAYOUT_GAPS) {
            ptrdiff_t step = spanned + 1;
            if (rng_chance(r, 2)) step += (ptrdiff_t)rng_below(r, 4);
            view.stride[a] = negative >> a & 1 ? -step : step;
            spanned += (ptrdiff_t)(shape[a] - 1) * step;
        }
        if (kind == LAYOUT_WILD) {
            ptrdiff_t most = (ptrdiff_t)view_count(&view) + 2;
            if (most > 100) most = 100;
            view.stride[a] = (ptrdiff_t)rng_below(r, (size_t)(2 * most + 1)) - most;
        }
        /* All strides 0 would mean packed, so a longer axis must have another stride. */
        if (first == 0) first = view.stride[a];
    }
    if (kind == LAYOUT_WILD && first == 0)
        for (uint32_t a = 0; a < ndim; a++) view.stride[a] = shape[a] == 1 ? 0 : 1;
    return view;
}

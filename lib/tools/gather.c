/*
 * mskp_gather: one axis of one tensor, by any list of indices, without a graph. All checks come
 * before the first element moves; surgery/move.c moves the elements.
 */
#include "base/assert.h"
#include "base/element.h"
#include "base/memory.h"
#include "base/overlap.h"
#include "base/status.h"
#include "base/view.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "surgery/move.h"

static mskp_status check_tensors(const mskp_tensor *from, uint32_t axis, const mskp_tensor *to,
                                 mskp_error *err)
{
    if (!from->data || !to->data)
        return mskpi_fail(err, MSKP_ERROR_NO_DATA, "gather: %s has no data",
                          from->data ? "to" : "from");
    if (from->ndim < 1 || from->ndim > MSKP_MAX_DIMS || axis >= from->ndim)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                          "gather: axis %u of a tensor with %u axes (1 to %d)", axis, from->ndim,
                          MSKP_MAX_DIMS);
    if (to->ndim != from->ndim)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE, "gather: to has %u axes, from has %u",
                          to->ndim, from->ndim);
    if (to->dtype != from->dtype)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "gather: to has dtype %s, from has %s",
                          mskpi_dtype_name(to->dtype), mskpi_dtype_name(from->dtype));
    return MSKP_OK;
}

/* shape[] <- that of the result. Neither tensor may have so many elements that their bytes overflow
 * a ptrdiff_t. */
static mskp_status check_shape(const mskp_tensor *from, uint32_t axis, size_t n,
                               const uint32_t *index, size_t *shape, mskp_error *err)
{
    size_t span = 1;
    for (uint32_t d = 0; d < from->ndim; d++) {
        if (!from->shape[d] || !mskpi_product_fits(span, from->shape[d], &span) ||
            span > PTRDIFF_MAX / 16)
            return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE, "gather: axis %u of from has length %zu",
                              d, from->shape[d]);
        shape[d] = d == axis ? n : from->shape[d];
    }
    if (!n || !mskpi_product_fits(span / from->shape[axis], n, &span) || span > PTRDIFF_MAX / 16)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE, "gather: %zu indices", n);
    for (size_t i = 0; i < n; i++)
        if (index[i] >= from->shape[axis])
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                              "gather: index %zu is %u, axis %u of from has length %zu", i,
                              index[i], axis, from->shape[axis]);
    return MSKP_OK;
}

mskp_status mskp_gather(const mskp_services *given, const mskp_tensor *from, uint32_t axis,
                        size_t n, const uint32_t *index, const mskp_tensor *to, mskp_error *err)
{
    mskp_services services;
    tensor_view source, target;
    mover moves;
    const uint32_t *kept[MSKP_MAX_DIMS] = {NULL};
    size_t shape[MSKP_MAX_DIMS];
    bool hit = false;
    mskp_status status = mskpi_check_services(given, err);
    if (!status) status = MSKPI_GIVEN(err, from, to);
    if (!status && n) status = MSKPI_GIVEN(err, index);
    if (!status) status = check_tensors(from, axis, to, err);
    if (!status) status = check_shape(from, axis, n, index, shape, err);
    if (!status) status = mskpi_view(from, "gather: from", from->ndim, from->shape, &source, err);
    if (!status) status = mskpi_view(to, "gather: to", to->ndim, shape, &target, err);
    if (status) return status;
    mskpi_services_init(&services, given);
    status = mskpi_elements_meet(&services, &source, &target, &hit, err);
    if (status) return status;
    if (hit) return mskpi_fail(err, MSKP_ERROR_OVERLAP, "gather: from and to overlap");
    MSKPI_ASSERT(source.element == target.element); /* the dtypes are the same */
    kept[axis] = index;
    mskpi_mover_make(&source, &target, kept, &moves);
    mskpi_gather(&moves, 0, moves.rows);
    return MSKP_OK;
}

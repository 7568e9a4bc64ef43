/*
 * Tensor views. mskpi_view completes what a host says of a tensor (strides, order of axes, range of
 * addresses) and checks it against the shape that the tensor must have. No graph is known here.
 *
 * Axes must nest: sorted by the size of their strides, each stride must step over everything that
 * the axes with smaller strides span. So no two indices share an element, elements can be visited
 * in ascending order of addresses by plain loops, and an address can be turned back into indices by
 * division. A run is a group of last axes through which one stride leads, so that one loop serves
 * all of them.
 */
#include <stdio.h>
#include <string.h>

#include "base/element.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "mskp.h"

static size_t distance(ptrdiff_t stride)
{
    return stride < 0 ? (size_t)0 - (size_t)stride : (size_t)stride;
}

/* Axes by |stride|, largest first; axes of length 1 do not matter and go last. */
static void sort_axes(tensor_view *v)
{
    for (uint32_t d = 0; d < v->ndim; d++) {
        uint32_t at = d;
        const size_t mine = v->shape[d] > 1 ? distance(v->stride[d]) : 0;
        for (; at > 0; at--) {
            const uint32_t other = v->order[at - 1];
            if ((v->shape[other] > 1 ? distance(v->stride[other]) : 0) >= mine) break;
            v->order[at] = other;
        }
        v->order[at] = d;
    }
}

mskp_status mskpi_view(const mskp_tensor *tensor, const char *name, uint32_t ndim,
                       const size_t *shape, tensor_view *out, mskp_error *err)
{
    char room[NAME_ROOM];
    tensor_view v = {.data = tensor->data, .dtype = tensor->dtype, .ndim = ndim};
    int packed = 1;
    size_t span = 1, below = 0;
    name = mskpi_short(name, room);
    v.element = mskpi_element_size(tensor->dtype);
    if (!v.element)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: %u is no dtype", name,
                          (unsigned)tensor->dtype);
    if (tensor->ndim && tensor->ndim != ndim)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                          "%s: the tensor has %u axes, the parameter has %u", name, tensor->ndim,
                          ndim);
    for (uint32_t d = 0; !tensor->ndim && d < MSKP_MAX_DIMS; d++)
        if (tensor->shape[d] || tensor->stride[d])
            return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                              "%s: a shape (%zu) or stride (%td) is set on axis %u, but ndim is 0",
                              name, tensor->shape[d], tensor->stride[d], d);
    for (uint32_t d = 0; d < ndim; d++) {
        v.shape[d] = shape[d];
        if (tensor->ndim && tensor->shape[d] != shape[d])
            return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                              "%s: axis %u of the tensor has length %zu, %zu is expected", name, d,
                              tensor->shape[d], shape[d]);
        if (tensor->ndim && shape[d] > 1 && tensor->stride[d]) packed = 0;
    }
    for (uint32_t d = ndim; d-- > 0;) {
        v.stride[d] = packed ? (ptrdiff_t)span : shape[d] > 1 ? tensor->stride[d] : 0;
        span *= shape[d]; /* checked when the parameter was declared */
    }
    if ((uintptr_t)v.data % (v.element < 8 ? v.element : 8))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "%s: data is not aligned to its elements of %zu bytes", name, v.element);
    if (tensor->elements && tensor->elements != span)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                          "%s: the tensor has %zu elements, its shape asks for %zu", name,
                          tensor->elements, span);
    sort_axes(&v);
    /* From the smallest stride up: each must step over all that the smaller ones span. */
    for (uint32_t k = ndim; k-- > 0;) {
        const uint32_t d = v.order[k];
        size_t reach;
        if (v.shape[d] < 2) continue;
        if (distance(v.stride[d]) <= below)
            return mskpi_fail(err, MSKP_ERROR_OVERLAP,
                              "%s: a stride of %td on axis %u does not step over the %zu elements "
                              "that the axes within it span",
                              name, v.stride[d], d, below + 1);
        if (mskpi_times(distance(v.stride[d]), v.shape[d] - 1, &reach) ||
            reach > (size_t)PTRDIFF_MAX / 16 - below)
            return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                              "%s: axis %u of length %zu with stride %td is too long", name, d,
                              v.shape[d], v.stride[d]);
        below += reach;
    }
    v.extent = (below + 1) * v.element;
    v.low = v.data;
    for (uint32_t d = 0; d < ndim; d++)
        if (v.data && v.shape[d] > 1 && v.stride[d] < 0)
            v.low += v.stride[d] * (ptrdiff_t)((v.shape[d] - 1) * v.element);
    *out = v;
    return MSKP_OK;
}

mskp_status mskpi_check_set(mskp_tensors set, const char *name, size_t params, mskp_error *err)
{
    if (!set.view) return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s is NULL", name);
    if (set.n != params)
        return mskpi_fail(err, MSKP_ERROR_OTHER_NETWORK,
                          "%s: made for %zu parameters, the network has %zu", name, set.n, params);
    return MSKP_OK;
}

mskp_status mskpi_view_in(const mskp_tensor *tensor, const char *name, const char *set,
                          uint32_t ndim, const size_t *shape, tensor_view *view, mskp_error *err)
{
    char both[2 * NAME_ROOM], room[NAME_ROOM];
    const mskp_status status = mskpi_view(tensor, name, ndim, shape, view, NULL);
    if (!status || !err) return status;
    /* Once more, for the sentence: which tensor of the parameter is it? */
    snprintf(both, sizeof both, "%s (%s)", mskpi_short(name, room), set);
    return mskpi_view(tensor, both, ndim, shape, view, err);
}

const char *mskpi_index_text(const tensor_view *v, const char *at, char room[INDEX_ROOM])
{
    size_t left = (size_t)(at - v->low) / v->element, index[MSKP_MAX_DIMS] = {0};
    int length = 0;
    for (uint32_t k = 0; k < v->ndim; k++) { /* axes nest */
        const uint32_t d = v->order[k];
        if (v->shape[d] < 2) continue;
        const size_t step = distance(v->stride[d]), i = left / step;
        index[d] = v->stride[d] < 0 ? v->shape[d] - 1 - i : i;
        left %= step;
    }
    for (uint32_t d = 0; d < v->ndim; d++)
        length +=
            snprintf(room + length, INDEX_ROOM - (size_t)length, "%s%zu", d ? "," : "", index[d]);
    return room;
}

/* ---- runs ---- */

void mskpi_describe_view(const tensor_view *v, mskp_tensor *t)
{
    t->data = v->data;
    t->dtype = v->dtype;
    t->ndim = v->ndim;
    memcpy(t->shape, v->shape, sizeof t->shape);
    memcpy(t->stride, v->stride, sizeof t->stride);
    if (t->elements) t->elements = mskpi_elements(v);
}

size_t mskpi_elements(const tensor_view *v)
{
    size_t n = 1;
    for (uint32_t d = 0; d < v->ndim; d++) n *= v->shape[d];
    return n;
}

ptrdiff_t mskpi_run_step(const tensor_view *v, uint32_t axis)
{
    for (uint32_t d = v->ndim; d-- > axis;)
        if (v->shape[d] > 1) return v->stride[d];
    return 1;
}

void mskpi_runs(const tensor_view *const *views, size_t n, uint32_t ndim, uint8_t *run_axes)
{
    memset(run_axes, 1, ndim + 1);
    for (size_t k = 0; k < n; k++) {
        const tensor_view *v = views[k];
        ptrdiff_t next = 0; /* the stride that would continue the run; 0: none yet */
        for (uint32_t d = ndim; d-- > 0;) {
            if (v->shape[d] > 1) {
                if (next && v->stride[d] != next)
                    for (uint32_t e = 0; e <= d; e++) run_axes[e] = 0;
                if (next && v->stride[d] != next) break;
                next = v->stride[d] * (ptrdiff_t)v->shape[d];
            }
        }
    }
}

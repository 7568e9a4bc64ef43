/*
 * Tensor views. mskpi_view completes what the caller states of a tensor (strides, order of axes,
 * range of addresses) and checks it against the shape that the tensor must have.
 *
 * Axes must nest: sorted by the size of their strides, each stride must step over everything that
 * the axes with smaller strides span. Three properties follow, on which all later stages rely. No
 * two indices share an element. Loops over the axes, from the largest stride to the smallest, visit
 * the elements in ascending order of addresses. And an address can be turned back into indices by
 * division, as a number is into digits.
 *
 * A run is a group of last axes through which one stride leads, so one loop serves all of
 * them. A packed tensor is one run.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/element.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "mskp.h"

static size_t distance(ptrdiff_t stride)
{
    return stride < 0 ? (size_t)0 - (size_t)stride : (size_t)stride;
}

/* Sorts the axes by |stride|, largest first, by insertion. Axes of length 1 go last, because their
 * strides do not matter. */
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

/* Refuses a tensor whose number of axes or shape is stated, and is another. */
static mskp_status check_shape(const mskp_tensor *tensor, const char *name, uint32_t ndim,
                               const size_t *shape, mskp_error *err)
{
    if (tensor->ndim && tensor->ndim != ndim)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                          "%s: the tensor has %u axes, the parameter has %u", name, tensor->ndim,
                          ndim);
    for (uint32_t d = 0; !tensor->ndim && d < MSKP_MAX_DIMS; d++)
        if (tensor->shape[d] || tensor->stride[d])
            return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                              "%s: a shape (%zu) or stride (%td) is set on axis %u, but ndim is 0",
                              name, tensor->shape[d], tensor->stride[d], d);
    for (uint32_t d = 0; tensor->ndim && d < ndim; d++)
        if (tensor->shape[d] != shape[d])
            return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                              "%s: axis %u of the tensor has length %zu, %zu is expected", name, d,
                              tensor->shape[d], shape[d]);
    return MSKP_OK;
}

/* Whether no stride is stated that matters. */
static bool is_packed(const mskp_tensor *tensor, uint32_t ndim, const size_t *shape)
{
    for (uint32_t d = 0; tensor->ndim && d < ndim; d++)
        if (shape[d] > 1 && tensor->stride[d]) return false;
    return true;
}

/* Refuses axes that do not nest. *span <- the elements from the lowest to the highest, less one. */
static mskp_status check_nesting(const tensor_view *v, const char *name, size_t *span,
                                 mskp_error *err)
{
    size_t below = 0; /* the span of the axes with smaller strides, less one */
    for (uint32_t k = v->ndim; k-- > 0;) {
        const uint32_t d = v->order[k];
        size_t length;
        if (v->shape[d] < 2) continue;
        if (distance(v->stride[d]) <= below)
            return mskpi_fail(err, MSKP_ERROR_OVERLAP,
                              "%s: a stride of %td on axis %u does not step over the %zu elements "
                              "that the axes within it span",
                              name, v->stride[d], d, below + 1);
        if (!mskpi_product_fits(distance(v->stride[d]), v->shape[d] - 1, &length) ||
            length > (size_t)PTRDIFF_MAX / 16 - below)
            return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                              "%s: axis %u of length %zu with stride %td is too long", name, d,
                              v->shape[d], v->stride[d]);
        below += length;
    }
    *span = below;
    return MSKP_OK;
}

mskp_status mskpi_view(const mskp_tensor *tensor, const char *name, uint32_t ndim,
                       const size_t *shape, tensor_view *out, mskp_error *err)
{
    char buffer[NAME_SIZE];
    tensor_view v = {.data = tensor->data, .dtype = tensor->dtype, .ndim = ndim};
    size_t elements = 1, span = 0;
    MSKPI_ASSERT(ndim >= 1 && ndim <= MSKP_MAX_DIMS);
    name = mskpi_short(name, buffer);
    v.element = mskpi_element_size(tensor->dtype);
    if (!v.element)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: %u is no dtype", name,
                          (unsigned)tensor->dtype);
    mskp_status status = check_shape(tensor, name, ndim, shape, err);
    if (status) return status;
    const bool packed = is_packed(tensor, ndim, shape);
    for (uint32_t d = ndim; d-- > 0;) {
        v.shape[d] = shape[d];
        v.stride[d] = packed ? (ptrdiff_t)elements : shape[d] > 1 ? tensor->stride[d] : 0;
        MSKPI_ASSERT(!elements || shape[d] <= (size_t)PTRDIFF_MAX / 16 / elements); /* it fits */
        elements *= shape[d];
    }
    if ((uintptr_t)v.data % (v.element < 8 ? v.element : 8))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "%s: data is not aligned to its elements of %zu bytes", name, v.element);
    if (tensor->elements && tensor->elements != elements)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                          "%s: the tensor has %zu elements, its shape asks for %zu", name,
                          tensor->elements, elements);
    sort_axes(&v);
    status = check_nesting(&v, name, &span, err);
    if (status) return status;
    MSKPI_ASSERT(span + 1 >= elements && (!packed || !elements || span + 1 == elements));
    v.extent = elements ? (span + 1) * v.element : 0;
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
    char both[2 * NAME_SIZE], buffer[NAME_SIZE];
    const mskp_status status = mskpi_view(tensor, name, ndim, shape, view, NULL);
    if (!status || !err) return status;
    /* Names of sets are put together only for the sentence, which a second call makes. */
    snprintf(both, sizeof both, "%s (%s)", mskpi_short(name, buffer), set);
    return mskpi_view(tensor, both, ndim, shape, view, err);
}

const char *mskpi_index_text(const tensor_view *v, const char *at, char buffer[INDEX_SIZE])
{
    MSKPI_ASSERT(at >= v->low && (size_t)(at - v->low) < v->extent);
    size_t rest = (size_t)(at - v->low) / v->element, index[MSKP_MAX_DIMS] = {0};
    int length = 0;
    for (uint32_t k = 0; k < v->ndim; k++) {
        const uint32_t d = v->order[k];
        if (v->shape[d] < 2) continue;
        const size_t step = distance(v->stride[d]), i = rest / step;
        MSKPI_ASSERT(i < v->shape[d]); /* axes nest */
        index[d] = v->stride[d] < 0 ? v->shape[d] - 1 - i : i;
        rest %= step;
    }
    for (uint32_t d = 0; d < v->ndim; d++)
        length +=
            snprintf(buffer + length, INDEX_SIZE - (size_t)length, "%s%zu", d ? "," : "", index[d]);
    return buffer;
}

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

/* ---- Runs ---- */

ptrdiff_t mskpi_run_step(const tensor_view *v, uint32_t axis)
{
    MSKPI_ASSERT(axis <= v->ndim);
    for (uint32_t d = v->ndim; d-- > axis;)
        if (v->shape[d] > 1) return v->stride[d];
    return 1;
}

void mskpi_runs(const tensor_view *const *views, size_t n, uint32_t ndim, uint8_t *run_axes)
{
    memset(run_axes, 1, ndim + 1);
    for (size_t k = 0; k < n; k++) {
        const tensor_view *v = views[k];
        ptrdiff_t next = 0; /* the stride that would continue the run; 0: any would */
        MSKPI_ASSERT(v->ndim == ndim);
        for (uint32_t d = ndim; d-- > 0;) {
            if (v->shape[d] < 2) continue;
            if (next && v->stride[d] != next) {
                memset(run_axes, 0, d + 1);
                break;
            }
            next = v->stride[d] * (ptrdiff_t)v->shape[d];
        }
    }
}

/* Elements of a view in logical order, packed and unpacked. */
#include "internal.h"

#include <string.h>

size_t mskpmpi_element_size(mskp_dtype dtype)
{
    switch (dtype) {
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
    case MSKP_DTYPE_BYTES_1:
        return 1;
    }
    return 0;
}

mskp_status mskpmpi_view(const mskp_tensor *tensor, const char *name, uint32_t ndim,
                         const size_t *shape, whole_view *out, mskp_error *error)
{
    bool strides = false;
    whole_view v = {.data = tensor->data, .dtype = tensor->dtype, .ndim = ndim, .elements = 1};
    v.element = mskpmpi_element_size(tensor->dtype);
    if (!v.element)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "%.80s: no dtype has number %u", name,
                            (unsigned)tensor->dtype);
    if (tensor->ndim && tensor->ndim != ndim)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_SHAPE, "%.80s: %u axes, not %u", name,
                            tensor->ndim, ndim);
    for (uint32_t d = ndim; d-- > 0;) {
        if (tensor->ndim && tensor->shape[d] != shape[d])
            return mskpmpi_fail(error, MSKP_ERROR_BAD_SHAPE,
                                "%.80s: axis %u has length %zu, not %zu", name, d, tensor->shape[d],
                                shape[d]);
        strides |= tensor->ndim && tensor->stride[d];
        v.shape[d] = shape[d];
        v.stride[d] = (ptrdiff_t)v.elements;
        v.elements *= shape[d];
    }
    for (uint32_t d = 0; strides && d < ndim; d++)
        v.stride[d] = v.shape[d] > 1 ? tensor->stride[d] : 1;
    if (tensor->elements && tensor->elements < v.elements)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_SHAPE, "%.80s: %zu elements, %zu are needed",
                            name, tensor->elements, v.elements);
    *out = v;
    return MSKP_OK;
}

whole_view mskpmpi_part(whole_view view, uint32_t axis, size_t first, size_t count)
{
    view.data += (ptrdiff_t)first * view.stride[axis] * (ptrdiff_t)view.element;
    view.elements = view.elements / view.shape[axis] * count;
    view.shape[axis] = count;
    return view;
}

/* How many of the last axes lie next to each other; *run <- how many elements these are. */
static uint32_t run_of(const whole_view *v, size_t *run)
{
    uint32_t axes = 0;
    *run = 1;
    while (axes < v->ndim) {
        const uint32_t d = v->ndim - 1 - axes;
        if (v->shape[d] > 1 && v->stride[d] != (ptrdiff_t)*run) break;
        *run *= v->shape[d];
        axes++;
    }
    return axes;
}

/* Copies each run of neighbouring elements: to `to`, or, where that is NULL, from `from`. */
static void copy(const whole_view *v, size_t first, size_t n, const char *from, char *to)
{
    size_t run;
    const uint32_t outer = v->ndim - run_of(v, &run);
    while (n) {
        size_t rest = first / run;
        ptrdiff_t at = (ptrdiff_t)(first % run);
        for (uint32_t d = outer; d-- > 0;) {
            at += (ptrdiff_t)(rest % v->shape[d]) * v->stride[d];
            rest /= v->shape[d];
        }
        const size_t left = run - first % run, some = n < left ? n : left;
        char *place = v->data + at * (ptrdiff_t)v->element;
        const size_t bytes = some * v->element;
        if (to) {
            memcpy(to, place, bytes);
            to += bytes;
        } else {
            memcpy(place, from, bytes);
            from += bytes;
        }
        first += some;
        n -= some;
    }
}

void mskpmpi_pack(const whole_view *v, size_t first, size_t n, void *packed)
{
    copy(v, first, n, NULL, packed);
}

void mskpmpi_unpack(const whole_view *v, size_t first, size_t n, const void *packed)
{
    copy(v, first, n, packed, NULL);
}

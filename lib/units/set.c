/*
 * Sets of tensors, checked against a graph.
 *
 * A set has one tensor for each parameter, at index id - 1. The functions here complete the
 * tensor's view with the shape that the graph holds. Their sentences name the parameter and the
 * set, so that a caller finds the one tensor of hundreds that is wrong.
 */
#include "units/set.h"
#include "base/assert.h"
#include "base/element.h"
#include "base/status.h"
#include "base/view.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/tools.h"

/* mskpi_view_in with the name and the shape of a parameter. */
static mskp_status complete_view(const mskp_graph *graph, uint32_t id, const char *set,
                                 mskp_tensors tensors, tensor_view *view, mskp_error *err)
{
    size_t shape[MSKP_MAX_DIMS];
    const uint32_t ndim = mskp_param_shape(graph, (mskp_param){id}, shape);
    MSKPI_ASSERT(ndim > 0);
    return mskpi_view_in(&tensors.view[id - 1], mskpi_param_name(graph, id), set, ndim, shape, view,
                         err);
}

mskp_status mskpi_check_tensor(const mskp_graph *graph, uint32_t id, const char *set,
                               mskp_tensors tensors, tensor_view *view, mskp_error *err)
{
    MSKPI_ASSERT(id >= 1 && id <= tensors.n && tensors.n == graph->nparams);
    const mskp_tensor *tensor = &tensors.view[id - 1];
    if (!tensor->data && !tensor->ndim && !tensor->elements) return MSKP_OK;
    return complete_view(graph, id, set, tensors, view, err);
}

mskp_status mskpi_number_view(const mskp_graph *graph, uint32_t id, const char *set,
                              mskp_tensors tensors, tensor_view *view, mskp_error *err)
{
    MSKPI_ASSERT(id >= 1 && id <= tensors.n && tensors.n == graph->nparams);
    char buffer[NAME_SIZE];
    const mskp_tensor *tensor = &tensors.view[id - 1];
    const char *name = mskpi_short(mskpi_param_name(graph, id), buffer);
    if (!tensor->data)
        return mskpi_fail(err, MSKP_ERROR_NO_DATA, "%s: its tensor in %s has no data", name, set);
    if (mskpi_element_size(tensor->dtype) && !mskpi_is_number(tensor->dtype))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: dtype %s in %s holds no numbers", name,
                          mskpi_dtype_name(tensor->dtype), set);
    return complete_view(graph, id, set, tensors, view, err);
}

mskp_status mskp_param_view(const mskp_graph *graph, mskp_param param, const uint32_t *order,
                            void *data, mskp_dtype dtype, mskp_tensor *view, mskp_error *err)
{
    char buffer[NAME_SIZE];
    uint32_t named = 0; /* bit d: the order names axis d */
    mskp_tensor t = {.data = data, .dtype = dtype, .elements = 1};
    const mskp_status status = MSKPI_GIVEN(err, graph, view);
    if (status) return status;
    if (!graph->finished) return mskpi_fail(err, MSKP_ERROR_BAD_STATE, "the graph is not finished");
    t.ndim = mskp_param_shape(graph, param, t.shape);
    if (!t.ndim)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "no parameter has handle %u, there are %zu",
                          param.id, graph->nparams);
    const char *name = mskpi_short(mskpi_param_name(graph, param.id), buffer);
    if (!mskpi_element_size(dtype))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: %u is no dtype", name,
                          (unsigned)dtype);
    for (uint32_t k = t.ndim; k-- > 0;) {
        const uint32_t d = order ? order[k] : k;
        if (d >= t.ndim || named >> d & 1)
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                              "%s: order[%u] is axis %u; the parameter has %u axes, each stands in "
                              "the order once",
                              name, k, d, t.ndim);
        named |= 1u << d;
        t.stride[d] = (ptrdiff_t)t.elements;
        t.elements *= t.shape[d];
    }
    *view = t;
    return MSKP_OK;
}

mskp_status mskpi_refuse_number(const mskp_graph *graph, uint32_t id, const char *set,
                                const tensor_view *v, const char *at, mskp_error *err)
{
    char name[NAME_SIZE], index[INDEX_SIZE], number[NUMBER_SIZE];
    return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "%s (%s): element %s is %s",
                      mskpi_short(mskpi_param_name(graph, id), name), set,
                      mskpi_index_text(v, at, index),
                      mskpi_number(mskpi_load(at, v->dtype), number));
}

/*
 * Sets of tensors, checked against a graph. A set has one tensor for each parameter, at the
 * parameter's handle. These functions complete a tensor's view with the shape that the graph knows,
 * and their sentences name the parameter and the set.
 */
#include "units/set.h"
#include "base/element.h"
#include "base/status.h"
#include "base/view.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/tools.h"

mskp_status mskpi_check_tensor(const mskp_graph *graph, uint32_t id, const char *set,
                             mskp_tensors tensors, tensor_view *view, mskp_error *err)
{
    const mskp_tensor *tensor = &tensors.view[id - 1];
    size_t shape[MSKP_MAX_DIMS];
    if (!tensor->data && !tensor->ndim && !tensor->elements) return MSKP_OK;
    const char *name = mskpi_param_name(graph, id);
    const uint32_t ndim = mskp_param_shape(graph, (mskp_param){id}, shape);
    return mskpi_view_in(tensor, name, set, ndim, shape, view, err);
}

mskp_status mskpi_number_view(const mskp_graph *graph, uint32_t id, const char *set,
                              mskp_tensors tensors, tensor_view *view, mskp_error *err)
{
    char room[NAME_SIZE];
    size_t shape[MSKP_MAX_DIMS];
    const char *name = mskpi_param_name(graph, id);
    const uint32_t ndim = mskp_param_shape(graph, (mskp_param){id}, shape);
    if (!tensors.view[id - 1].data)
        return mskpi_fail(err, MSKP_ERROR_NO_DATA, "%s: its tensor in %s has no data",
                          mskpi_short(name, room), set);
    if (mskpi_element_size(tensors.view[id - 1].dtype) &&
        !mskpi_is_number(tensors.view[id - 1].dtype))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: dtype %s in %s holds no numbers",
                          mskpi_short(name, room), mskpi_dtype_name(tensors.view[id - 1].dtype),
                          set);
    return mskpi_view_in(&tensors.view[id - 1], name, set, ndim, shape, view, err);
}

mskp_status mskp_param_view(const mskp_graph *graph, mskp_param param, const uint32_t *order,
                            void *data, mskp_dtype dtype, mskp_tensor *view, mskp_error *err)
{
    char room[NAME_SIZE];
    uint32_t named = 0;
    mskp_tensor t = {.data = data, .dtype = dtype, .elements = 1};
    const mskp_status status = MSKPI_GIVEN(err, graph, view);
    if (status) return status;
    if (!graph->finished) return mskpi_fail(err, MSKP_ERROR_BAD_STATE, "the graph is not finished");
    t.ndim = mskp_param_shape(graph, param, t.shape);
    if (!t.ndim)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "no parameter has handle %u, there are %zu",
                          param.id, graph->nparams);
    const char *name = mskpi_short(mskpi_param_name(graph, param.id), room);
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

mskp_status mskpi_refuse_number(const mskp_graph *graph, uint32_t id, const tensor_view *v,
                             const char *at, mskp_error *err)
{
    char name[NAME_SIZE], index[INDEX_SIZE], number[32];
    return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "%s: element %s is %s",
                      mskpi_short(mskpi_param_name(graph, id), name),
                      mskpi_index_text(v, at, index),
                      mskpi_number(mskpi_load(at, v->dtype), number));
}

/*
 * Checks that several operators share: descriptions, flags, shapes of parameters, windows.
 *
 * A new operator goes into the file of its kind (convolution.c, norm.c, function.c, combine.c,
 * structure.c for what moves channels, sequence.c, ends.c) and has the form of all others. It first
 * checks all of its arguments, in the order in which a reader of the call would; each check is a
 * function that refuses with a sentence and returns a status. Then it makes its value, binds its
 * parameters, ties channels, and records its step. Handle {0}, which a failed operator returns, is
 * refused as an input; but the first error is kept, so its sentence is the one that the user sees.
 */
#include "describe/check.h"
#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/values.h"
#include "mskp.h"
#include "mskp/operators.h"

mskp_status mskpi_check_desc(mskp_graph *graph, const char *label, const void *desc)
{
    if (desc) return MSKP_OK;
    return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT, "desc is NULL");
}

mskp_status mskpi_check_flag(mskp_graph *graph, const char *label, const char *name, uint32_t flag)
{
    if (flag <= 1) return MSKP_OK;
    return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT, "%s is %u, not 0 or 1", name, flag);
}

size_t mskpi_length(const mskp_graph *graph, mskp_param p, uint32_t axis)
{
    MSKPI_ASSERT(p.id >= 1 && p.id <= graph->nparams && axis < graph->params[p.id].ndim);
    return graph->axes[graph->params[p.id].axis + axis].length;
}

mskp_status mskpi_check_param(mskp_graph *graph, const char *label, const char *what,
                              mskp_param handle, uint32_t ndim, const size_t *shape)
{
    graph_param p;
    if (!handle.id) return MSKP_OK;
    if (mskpi_get_param(graph, label, what, handle, &p)) return mskpi_first_error(graph);
    if (p.ndim != ndim)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE, "%s has %u axes, %u %s expected",
                            what, p.ndim, ndim, ndim == 1 ? "is" : "are");
    for (uint32_t d = 0; d < ndim; d++) {
        const size_t length = mskpi_length(graph, handle, d);
        if (!shape[d] || length == shape[d]) continue;
        if (ndim == 1)
            return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                                "%s has length %zu, there are %zu channels", what, length,
                                shape[d]);
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                            "axis %u of %s has length %zu, expected %zu", d, what, length,
                            shape[d]);
    }
    return MSKP_OK;
}

mskp_status mskpi_check_vector(mskp_graph *graph, const char *label, const char *what, mskp_param p,
                               size_t channels)
{
    return mskpi_check_param(graph, label, what, p, 1, &channels);
}

mskp_status mskpi_check_beyond_axes(mskp_graph *graph, const char *label, uint32_t nspatial,
                                    size_t n, const size_t *const *given)
{
    MSKPI_ASSERT(nspatial <= MSKP_MAX_SPATIAL);
    for (uint32_t d = nspatial; d < MSKP_MAX_SPATIAL; d++)
        for (size_t k = 0; k < n; k++)
            if (given[k][d])
                return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                                    "%zu is said of spatial axis %u, counted from 0, but the input "
                                    "has %u",
                                    given[k][d], d, nspatial);
    return MSKP_OK;
}

bool mskpi_window_fits(size_t in, size_t before, size_t after, size_t size, size_t dilation,
                       size_t stride, bool ceil_mode, size_t *out)
{
    size_t span; /* of the window, less one */
    MSKPI_ASSERT(size && dilation && stride);
    if (before > SIZE_MAX / 4 || after > SIZE_MAX / 4 || in > SIZE_MAX / 4 ||
        stride > SIZE_MAX / 4 || !mskpi_product_fits(dilation, size - 1, &span))
        return false;
    const size_t padded = in + before + after;
    if (span >= padded) return false;
    *out = (padded - span - 1) / stride + 1;
    if (ceil_mode && (padded - span - 1) % stride && *out * stride < in + before) ++*out;
    return true;
}

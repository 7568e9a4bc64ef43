/*
 * Checks that all operators share: values that enter, shapes of parameters, descriptions, windows.
 *
 * Every operator checks all of its arguments first, in the order in which a reader would, and makes
 * its value after that. Handle 0, which a failed operator returns, passes through all of them, and
 * only the first sentence stays.
 */
#include "describe/check.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/values.h"
#include "mskp.h"
#include "mskp/operators.h"

int mskpi_enter(mskp_graph *graph, const char *who, mskp_value in, graph_value *v)
{
    mskp_status status;
    if (!mskpi_describing(graph, &status)) return 1;
    const graph_value *found = mskpi_value(graph, who, in);
    if (!found) return 1;
    *v = *found;
    return 0;
}

size_t mskpi_length(const mskp_graph *graph, mskp_param p, uint32_t axis)
{
    return graph->axes[graph->params[p.id].axis + axis].length;
}

int mskpi_check_param(mskp_graph *graph, const char *who, const char *what, mskp_param p,
                      uint32_t ndim, const size_t *shape)
{
    char room[NAME_SIZE];
    if (!p.id) return 0;
    const graph_param *found = mskpi_param(graph, who, what, p);
    if (!found) return 1;
    if (found->ndim != ndim) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE, "%s: %s has %u axes, %u %s expected",
                         mskpi_short(who, room), what, found->ndim, ndim, ndim == 1 ? "is" : "are");
        return 1;
    }
    for (uint32_t d = 0; d < ndim; d++) {
        if (!shape[d] || mskpi_length(graph, p, d) == shape[d]) continue;
        if (ndim == 1)
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                             "%s: %s has length %zu, there are %zu channels",
                             mskpi_short(who, room), what, mskpi_length(graph, p, d), shape[d]);
        else
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                             "%s: axis %u of %s has length %zu, expected %zu",
                             mskpi_short(who, room), d, what, mskpi_length(graph, p, d), shape[d]);
        return 1;
    }
    return 0;
}

int mskpi_described(mskp_graph *graph, const char *who, const void *desc)
{
    char room[NAME_SIZE];
    if (desc) return 0;
    mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: desc is NULL", mskpi_short(who, room));
    return 1;
}

int mskpi_check_vector(mskp_graph *graph, const char *who, const char *what, mskp_param p,
                       size_t channels)
{
    return mskpi_check_param(graph, who, what, p, 1, &channels);
}

/* What is said of spatial axes must be said of axes that are there. 1 after a sentence. */
int mskpi_beyond_axes(mskp_graph *graph, const char *who, uint32_t nspatial, size_t n,
                      const size_t *const *given)
{
    char room[NAME_SIZE];
    for (uint32_t d = nspatial; d < MSKP_MAX_SPATIAL; d++)
        for (size_t k = 0; k < n; k++) {
            if (!given[k][d]) continue;
            mskpi_graph_fail(
                graph, MSKP_ERROR_BAD_ARGUMENT,
                "%s: %zu is said of spatial axis %u, counted from 0, but the input has "
                "%u",
                mskpi_short(who, room), given[k][d], d, nspatial);
            return 1;
        }
    return 0;
}

/* out = (in + before + after - dilation * (size - 1) - 1) / stride + 1; 1 if there is no such size.
 */
int mskpi_window(size_t in, size_t before, size_t after, size_t size, size_t dilation,
                 size_t stride, int ceil_mode, size_t *out)
{
    size_t reach, padded;
    if (before > SIZE_MAX / 4 || after > SIZE_MAX / 4 || in > SIZE_MAX / 4 ||
        stride > SIZE_MAX / 4 || !mskpi_product_fits(dilation, size - 1, &reach))
        return 1;
    padded = in + before + after;
    if (reach >= padded) return 1;
    *out = (padded - reach - 1) / stride + 1;
    if (ceil_mode && (padded - reach - 1) % stride) {
        /* A window that would start in the right pad does not count. */
        if (*out * stride < in + before) ++*out;
    }
    return 0;
}

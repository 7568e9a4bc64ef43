/*
 * Products of values and gradients of parameters in which slices of a unit cross.
 *
 * Where the squares of products are added up, the graph of all sums (score.c) holds sums of
 * squares, which must not be squared again, beside parameters in which slices cross. So such a
 * parameter becomes the magnitudes |w g| of its products, each of which is its own gradient: their
 * product is the square that the library makes of w and g. The library makes the products, too, and
 * reads numbers of any dtype: by a graph in which each element is a unit, some thousands at once.
 */
#include "mskp/operators.h"
#include "shards.h"

#include <string.h>

enum { AT_ONCE = 4096 };

/* A graph of n elements, each of which is a unit; NULL with *error. */
static mskp_graph *describe_elements(const sharding *s, size_t n, mskp_error *error)
{
    mskp_graph *graph = mskp_graph_create(&s->mpi->services);
    if (!graph) {
        (void)mskpmpi_no_memory(error, "elements", n);
        return NULL;
    }
    mskp_bind(graph, mskp_parameter(graph, "elements", 1, &n), 0, MSKP_ROLE_FILTER,
              mskp_fresh(graph, NULL, n, 0, NULL));
    if (!mskp_graph_finish(graph, error)) return graph;
    mskp_graph_destroy(graph);
    return NULL;
}

/* Elements that are in no slice of a unit become 0, because they may be anything. */
static void clear_pinned(const sharding *s, uint32_t id, size_t n)
{
    shard *p = &s->shard[id - 1];
    size_t at[MSKP_MAX_DIMS] = {0};
    const uint32_t *unit[MSKP_MAX_DIMS] = {0};
    for (uint32_t d = 0; d < p->ndim; d++)
        if (p->chosen & 1U << d)
            unit[d] = mskp_param_units(s->graph, (mskp_param){id}, d, NULL, NULL);
    for (size_t i = 0; i < n; i++) {
        bool read = false;
        for (uint32_t d = 0; d < p->ndim; d++) read |= unit[d] && unit[d][at[d]] != MSKP_PINNED;
        for (size_t k = 0; !read && k < MOST_SETS; k++) {
            const size_t size = mskpmpi_element_size(p->dtype[k]);
            memset(p->buffer[k] + i * size, 0, size);
        }
        for (uint32_t d = p->ndim; d-- > 0 && ++at[d] == p->shape[d];) at[d] = 0;
    }
}

/* products: n zeros. */
static mskp_status multiply(const sharding *s, const shard *p, size_t n, double *products,
                            mskp_error *error)
{
    mskp_graph *graph = NULL;
    mskp_status status = MSKP_OK;
    for (size_t at = 0, length = 0; !status && at < n; at += length) {
        const size_t some = n - at < AT_ONCE ? n - at : AT_ONCE;
        mskp_tensor view[MOST_SETS];
        for (size_t k = 0; k < MOST_SETS; k++)
            view[k] = (mskp_tensor){.data = p->buffer[k] + at * mskpmpi_element_size(p->dtype[k]),
                                    .dtype = p->dtype[k]};
        if (some != length) { /* the first ones, and the last ones if they are fewer */
            mskp_graph_destroy(graph);
            graph = describe_elements(s, some, error);
            length = some;
        }
        status = !graph
                     ? error->status
                     : mskp_score_taylor(graph, MSKP_TAYLOR_SUM_OF_ABSOLUTES, MSKP_ROLE_FILTER,
                                         (mskp_tensors){1, &view[0]}, (mskp_tensors){1, &view[1]},
                                         (mskp_scores){some, products + at}, error);
    }
    mskp_graph_destroy(graph);
    return status;
}

mskp_status mskpmpi_multiply(const sharding *s, mskp_error *error)
{
    if (!mskpmpi_has_gradients(s) || s->form != MSKP_TAYLOR_SUM_OF_SQUARES) return MSKP_OK;
    for (uint32_t id = 1; id <= s->params; id++) {
        shard *p = &s->shard[id - 1];
        size_t n = 1;
        if (!p->crosses) continue;
        for (uint32_t d = 0; d < p->ndim; d++) n *= p->shape[d];
        double *products = mskpmpi_get(s->mpi, n, sizeof *products);
        if (!products) return mskpmpi_no_memory(error, "elements", n);
        clear_pinned(s, id, n);
        const mskp_status status = multiply(s, p, n, products, error);
        for (size_t k = 0; k < MOST_SETS; k++) mskpmpi_free(s->mpi, p->buffer[k]);
        p->buffer[0] = (char *)products;
        p->dtype[0] = MSKP_DTYPE_F64;
        p->buffer[1] = NULL;
        if (status == MSKP_ERROR_BAD_NUMBER)
            return mskpmpi_fail(error, status,
                                "%.80s: a value, a gradient or their product is not finite",
                                mskp_param_name(s->graph, (mskp_param){id}));
        if (status) return status;
    }
    return MSKP_OK;
}

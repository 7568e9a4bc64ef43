/*
 * Feature maps as matrices of doubles: the checks of a batch of activations, and the sums that are
 * added to the caller's numbers when all images went well.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/element.h"
#include "base/memory.h"
#include "base/status.h"
#include "blas/maps.h"

static mskp_status check_maps(const char *what, const mskp_tensor *maps, uint32_t least,
                              uint32_t most, mskp_error *err)
{
    size_t elements = 1;
    if (!maps->data) return mskpi_fail(err, MSKP_ERROR_NO_DATA, "%s: maps has no data", what);
    if (mskpi_element_size(maps->dtype) && !mskpi_is_number(maps->dtype))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: dtype %s of maps holds no numbers",
                          what, mskpi_dtype_name(maps->dtype));
    if (maps->ndim != least && least == most)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE, "%s: maps has %u axes, not %u", what,
                          maps->ndim, least);
    if (maps->ndim < least || maps->ndim > most)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE, "%s: maps has %u axes, not %u to %u", what,
                          maps->ndim, least, most);
    for (uint32_t d = 0; d < maps->ndim; d++)
        if (!maps->shape[d] || !mskpi_product_fits(elements, maps->shape[d], &elements) ||
            elements > PTRDIFF_MAX / 16)
            return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE, "%s: axis %u of maps has length %zu", what,
                              d, maps->shape[d]);
    return MSKP_OK;
}

static mskp_status check_numbers(const char *what, size_t n, const double *channel, mskp_error *err)
{
    char number[NUMBER_SIZE];
    for (size_t i = 0; i < n; i++)
        if (!isfinite(channel[i]))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "%s: the number of channel %zu is %s",
                              what, i, mskpi_number(channel[i], number));
    return MSKP_OK;
}

mskp_status mskpi_begin_maps(map_batch *b, const char *what, const mskp_services *services,
                             const mskp_tensor *maps, uint32_t least, uint32_t most, size_t n,
                             const double *channel, mskp_error *err)
{
    char name[NAME_SIZE];
    const size_t length = strlen(what);
    mskp_status status = mskpi_check_services(services, err);
    if (!status) status = MSKPI_GIVEN(err, maps, channel);
    if (!status) status = check_maps(what, maps, least, most, err);
    if (status) return status;
    MSKPI_ASSERT(length + sizeof ": maps" <= sizeof name);
    memcpy(name, what, length);
    memcpy(name + length, ": maps", sizeof ": maps");
    *b = (map_batch){.what = what, .channels = maps->shape[1], .positions = 1};
    status = mskpi_view(maps, name, maps->ndim, maps->shape, &b->view, err);
    if (status) return status;
    if (n != b->channels)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE, "%s: %zu numbers, maps has %zu channels", what,
                          n, b->channels);
    if ((status = check_numbers(what, n, channel, err)) != MSKP_OK) return status;
    for (uint32_t d = 2; d < b->view.ndim; d++) b->positions *= b->view.shape[d];
    mskpi_services_init(&b->services, services);
    b->sum = mskpi_alloc(&b->services, n, sizeof *b->sum);
    return b->sum ? MSKP_OK : mskpi_refuse_memory(b, err);
}

mskp_status mskpi_end_maps(map_batch *b, mskp_status status, double *channel, mskp_error *err)
{
    for (size_t i = 0; !status && i < b->channels; i++)
        if (!isfinite(channel[i] + b->sum[i]))
            status = mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                                "%s: no double can hold the number of channel %zu", b->what, i);
    for (size_t i = 0; !status && i < b->channels; i++) channel[i] += b->sum[i];
    mskpi_free(&b->services, b->sum);
    return status;
}

double *mskpi_matrix(const map_batch *b, size_t n)
{
    return mskpi_alloc(&b->services, n + 2, sizeof(double));
}

row_view mskpi_image(const map_batch *b, size_t image)
{
    tensor_view v = b->view;
    MSKPI_ASSERT(image < v.shape[0]);
    v.data += v.stride[0] * (ptrdiff_t)(image * v.element);
    v.shape[0] = 1;
    return mskpi_rows(&v, 1);
}

mskp_status mskpi_refuse_element(const map_batch *b, const char *at, mskp_error *err)
{
    char index[INDEX_SIZE], number[NUMBER_SIZE];
    return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "%s: element %s of maps is %s", b->what,
                      mskpi_index_text(&b->view, at, index),
                      mskpi_number(mskpi_load(at, b->view.dtype), number));
}

mskp_status mskpi_refuse_memory(const map_batch *b, mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY,
                      "%s: %s for maps of %zu channels and %zu positions", b->what,
                      mskp_status_text(MSKP_ERROR_NO_MEMORY), b->channels, b->positions);
}

mskp_status mskpi_refuse_length(const map_batch *b, size_t rows, size_t columns, mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_UNSUPPORTED,
                      "%s: LAPACK cannot decompose a matrix of %zu x %zu", b->what, rows, columns);
}

mskp_status mskpi_refuse_image(const map_batch *b, size_t image, mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                      "%s: LAPACK's dgesdd did not converge for image %zu", b->what, image);
}

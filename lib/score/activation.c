/*
 * Statistics of activations, accumulated over batches.
 *
 * Of each channel, one batch gives the number of elements, how many of them are 0, their mean, the
 * mean of their magnitudes, and the sum of squares of their distances from the mean, in two passes.
 * Two such statistics, over n and over m elements with means d apart, become one by
 *
 *     mean = mean_n + d m / (n + m)          squares = squares_n + squares_m + d^2 n m / (n + m)
 *
 * (T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating Formulae and a Pairwise Algorithm for
 * Computing Sample Variances", 1979). No difference of two large sums occurs, as it would with the
 * sums of x and of x^2. Elements are visited in the order of their logical indices.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/element.h"
#include "base/memory.h"
#include "base/overlap.h"
#include "base/status.h"
#include "base/view.h"
#include "mskp.h"
#include "mskp/methods.h"
#include "mskp/tools.h"

typedef struct measuring {
    const tensor_view *batch;
    uint32_t axis;
    mskp_channel_stats *channel; /* [n] of this batch */
} measuring;

/* Moves to the next element of a channel. index counts the other axes, *at is its distance in bytes
 * from the channel's first element. Returns whether there is one. */
static bool next_element(const measuring *j, size_t *index, ptrdiff_t *at)
{
    const tensor_view *v = j->batch;
    for (uint32_t d = v->ndim; d-- > 0;) {
        const ptrdiff_t step = v->stride[d] * (ptrdiff_t)v->element;
        if (d == j->axis) continue;
        *at += step;
        if (++index[d] < v->shape[d]) return true;
        *at -= step * (ptrdiff_t)v->shape[d];
        index[d] = 0;
    }
    return false;
}

static void measure_channel(void *context, size_t c)
{
    const measuring *j = context;
    const tensor_view *v = j->batch;
    const char *first = v->data + v->stride[j->axis] * (ptrdiff_t)(c * v->element);
    mskp_channel_stats a = {0};
    size_t index[MSKP_MAX_DIMS] = {0};
    ptrdiff_t at = 0;
    do {
        const double x = mskpi_load(first + at, v->dtype);
        a.count++;
        a.zeros += !(x < 0 || x > 0);
        a.mean += x;
        a.magnitude += fabs(x);
    } while (next_element(j, index, &at));
    a.mean /= a.count;
    a.magnitude /= a.count;
    do { /* the index is back at its first number */
        const double d = mskpi_load(first + at, v->dtype) - a.mean;
        a.squares += d * d;
    } while (next_element(j, index, &at));
    j->channel[c] = a;
}

/* Both as one; the sums of one that has no elements do not count. */
static mskp_channel_stats merge(const mskp_channel_stats *a, const mskp_channel_stats *b)
{
    const double n = a->count, m = b->count, d = b->mean - a->mean;
    if (!(m > 0)) return *a;
    if (!(n > 0)) return *b;
    return (mskp_channel_stats){.count = n + m,
                                .zeros = a->zeros + b->zeros,
                                .mean = a->mean + d * (m / (n + m)),
                                .magnitude =
                                    a->magnitude + (b->magnitude - a->magnitude) * (m / (n + m)),
                                .squares = a->squares + b->squares + d * d * n * (m / (n + m))};
}

/* Whether the numbers can be a statistic. */
static bool is_statistic(const mskp_channel_stats *a)
{
    return a->count >= 0 && a->zeros >= 0 && a->zeros <= a->count && isfinite(a->count) &&
           isfinite(a->mean) && a->magnitude >= 0 && isfinite(a->magnitude) && a->squares >= 0 &&
           isfinite(a->squares);
}

/* into[c] <- both, of each channel; all or none. `from` is what the caller or a batch gave. */
static mskp_status merge_all(size_t n, const mskp_channel_stats *from, mskp_channel_stats *into,
                             mskp_error *err)
{
    for (size_t c = 0; c < n; c++) {
        if (!is_statistic(&from[c]) || !is_statistic(&into[c]))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                              "activations: the numbers of channel %zu are no statistic", c);
        const mskp_channel_stats both = merge(&into[c], &from[c]);
        if (!is_statistic(&both))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                              "activations: channel %zu: no double can hold the sum of squares", c);
    }
    for (size_t c = 0; c < n; c++) into[c] = merge(&into[c], &from[c]);
    return MSKP_OK;
}

mskp_status mskp_channel_stats_merge(size_t n, const mskp_channel_stats *from,
                                     mskp_channel_stats *into, mskp_error *err)
{
    mskp_status status = n ? MSKPI_GIVEN(err, from, into) : MSKP_OK;
    if (!status)
        status = mskpi_check_apart((call_array){"into", into, n * sizeof *into},
                                   (call_array){"from", from, n * sizeof *from}, err);
    return status ? status : merge_all(n, from, into, err);
}

static mskp_status check_batch(const mskp_tensor *batch, uint32_t axis, size_t n, mskp_error *err)
{
    size_t elements = 1;
    if (!batch->data)
        return mskpi_fail(err, MSKP_ERROR_NO_DATA, "activations: the batch has no data");
    if (batch->ndim < 1 || batch->ndim > MSKP_MAX_DIMS || axis >= batch->ndim)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                          "activations: axis %u of a batch with %u axes (1 to %d)", axis,
                          batch->ndim, MSKP_MAX_DIMS);
    if (batch->shape[axis] != n)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                          "activations: the batch has %zu channels on axis %u, and there is room "
                          "for %zu",
                          batch->shape[axis], axis, n);
    for (uint32_t d = 0; d < batch->ndim; d++)
        if (!batch->shape[d] || !mskpi_product_fits(elements, batch->shape[d], &elements) ||
            elements > PTRDIFF_MAX / 16)
            return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                              "activations: axis %u of the batch has length %zu", d,
                              batch->shape[d]);
    if (!mskpi_is_number(batch->dtype))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "activations: the batch has dtype %u, which holds no numbers",
                          (unsigned)batch->dtype);
    return MSKP_OK;
}

/* Names the first element of a channel that is not finite, if there is one. */
static mskp_status refuse(const measuring *j, size_t c, mskp_error *err)
{
    const tensor_view *v = j->batch;
    const char *first = v->data + v->stride[j->axis] * (ptrdiff_t)(c * v->element);
    char number[NUMBER_SIZE], where[INDEX_SIZE];
    size_t index[MSKP_MAX_DIMS] = {0};
    ptrdiff_t at = 0;
    do {
        const double x = mskpi_load(first + at, v->dtype);
        if (!isfinite(x))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "activations: element [%s] is %s",
                              mskpi_index_text(v, first + at, where), mskpi_number(x, number));
    } while (next_element(j, index, &at));
    return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                      "activations: channel %zu: no double can hold the sum of squares", c);
}

mskp_status mskp_channel_stats_add(const mskp_services *given, const mskp_tensor *batch,
                                   uint32_t axis, size_t n, mskp_channel_stats *channel,
                                   mskp_error *err)
{
    mskp_services services;
    tensor_view view;
    mskp_status status = mskpi_check_services(given, err);
    if (!status) status = MSKPI_GIVEN(err, batch);
    if (!status && n) status = MSKPI_GIVEN(err, channel);
    if (!status) status = check_batch(batch, axis, n, err);
    if (!status) status = mskpi_view(batch, "activations", batch->ndim, batch->shape, &view, err);
    if (status) return status;
    mskpi_services_init(&services, given);
    measuring j = {&view, axis, mskpi_alloc(&services, n, sizeof *j.channel)};
    if (!j.channel)
        return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while measuring %zu channels",
                          mskp_status_text(MSKP_ERROR_NO_MEMORY), n);
    mskpi_parallel(&services, n, measure_channel, &j);
    for (size_t c = 0; !status && c < n; c++)
        if (!is_statistic(&j.channel[c])) status = refuse(&j, c, err);
    if (!status) status = merge_all(n, j.channel, channel, err);
    mskpi_free(&services, j.channel);
    return status;
}

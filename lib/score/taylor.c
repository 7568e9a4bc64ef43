/*
 * Scores from values and gradients: how much the loss would change if a unit were zero, by the
 * first terms of the loss's Taylor series.
 *
 * Removing the elements w of a unit changes the loss, to first order, by -sum w g, where g is the
 * loss's gradient for w. mskp_taylor (methods.h) has a row for each way to make one number of the
 * products: the absolute value or the square is taken of each product or of the unit's sum, or the
 * sum keeps its sign. The sums over slices come from slice.c, which counts an element once where
 * slices of a unit cross, so the sum over a unit's slices is the sum over the unit's elements.
 *
 * One call adds one batch to the caller's numbers. The absolute value is taken in each batch:
 * signed sums of a trained network cancel over batches, because its mean gradient is near zero.
 */
#include <math.h>
#include <stdbool.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "describe/graph.h"
#include "mskp.h"
#include "mskp/methods.h"
#include "mskp/tools.h"
#include "score/slice.h"
#include "units/units.h"

/* What is summed over a unit's elements. */
static const slice_term TERM[] = {
    [MSKP_TAYLOR_ABSOLUTE_SUM] = SLICE_PRODUCT,
    [MSKP_TAYLOR_SQUARED_SUM] = SLICE_PRODUCT,
    [MSKP_TAYLOR_SUM_OF_ABSOLUTES] = SLICE_PRODUCT_MAGNITUDES,
    [MSKP_TAYLOR_SUM_OF_SQUARES] = SLICE_PRODUCT_SQUARES,
    [MSKP_TAYLOR_SUM] = SLICE_PRODUCT,
};
enum { FORMS = sizeof TERM / sizeof *TERM };

/* One batch's number of a unit; +infinity for a unit without a slice in these roles, NaN if it is
 * not finite. */
static double score_unit(const mskp_graph *graph, const slice_sums *sums, uint32_t roles,
                         mskp_taylor form, uint32_t unit)
{
    size_t n;
    bool any = false;
    double sum = 0;
    const mskp_member *m = mskp_unit_members(graph, unit, &n);
    for (size_t i = 0; i < n; i++) {
        if (!(m[i].roles & roles)) continue;
        any = true;
        sum += mskpi_slice_sum(graph, sums, &m[i]);
    }
    if (!any) return INFINITY;
    if (form == MSKP_TAYLOR_SQUARED_SUM) sum *= sum;
    if (!isfinite(sum)) return NAN;
    return form == MSKP_TAYLOR_SUM ? sum : fabs(sum);
}

/* Whether a score may become this sum: a number, or infinite for a unit without slices. */
static bool is_sum(double score, double batch)
{
    const double sum = score + batch;
    return isfinite(sum) || (isinf(batch) && !isnan(sum));
}

mskp_status mskp_score_taylor(const mskp_graph *graph, mskp_taylor form, uint32_t roles,
                              mskp_tensors values, mskp_tensors gradients, mskp_scores scores,
                              mskp_error *err)
{
    slice_sums sums = {0};
    char added[32], sum[32];
    mskp_status status = mskpi_check_scores(graph, "scores", scores, err);
    if (!status) status = mskpi_check_set(values, "values", graph->nparams, err);
    if (!status) status = mskpi_check_set(gradients, "gradients", graph->nparams, err);
    if (!status) status = mskpi_check_roles(err, "taylor: roles", roles);
    if (status) return status;
    if ((unsigned)form >= FORMS)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "taylor: form is %u, the last is %d",
                          (unsigned)form, FORMS - 1);
    if (!roles) roles = MSKP_ROLE_SCALE;
    status = mskpi_slice_sums(graph, roles, TERM[form], values, gradients, &sums, err);
    if (status) return status;
    double *batch = mskpi_alloc(&graph->services, scores.n, sizeof *batch);
    if (!batch)
        status = mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while scoring %zu units",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY), scores.n);
    for (uint32_t u = 0; !status && u < scores.n; u++) {
        batch[u] = score_unit(graph, &sums, roles, form, u);
        if (isnan(batch[u]))
            status = mskpi_refuse_sum(graph, &sums, roles, u, err);
        else if (!is_sum(scores.unit[u], batch[u]))
            status =
                mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "scores: unit %u: %s cannot be added to %s",
                           u, mskpi_number(batch[u], added), mskpi_number(scores.unit[u], sum));
    }
    for (size_t u = 0; !status && u < scores.n; u++) scores.unit[u] += batch[u];
    mskpi_free(&graph->services, batch);
    mskpi_slice_sums_free(&graph->services, &sums);
    return status;
}

/*
 * Scores that need no network's numbers, and thresholds that are read off scores.
 *
 * The valley. A penalty on all gammas leaves two groups, and a histogram of their logarithms shows
 * both with a valley between them. The histogram has bins of equal width from the smallest to the
 * largest score above 0; scores of 0 have a bin of their own at its left end, since they belong to
 * the left group however far away they are. Of a bin, the left peak is the fullest bin to its left,
 * the right peak the fullest to its right, and its prominence is the smaller peak less its own
 * count. A lone score far from the others makes a deep valley beside a peak of one score, so not
 * the deepest valley is taken but the most prominent. The threshold is in the middle of the longest
 * run of neighbours that have this prominence.
 */
#include <math.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/status.h"
#include "describe/graph.h"
#include "mskp.h"
#include "mskp/methods.h"
#include "mskp/tools.h"
#include "units/units.h"

mskp_status mskp_score_random(const mskp_graph *graph, uint64_t seed, mskp_scores scores,
                              mskp_error *err)
{
    const mskp_status status = mskpi_check_scores(graph, "scores", scores, err);
    if (status) return status;
    for (size_t u = 0; u < scores.n; u++) {
        scores.unit[u] = mskpi_uniform(mskpi_mix(mskpi_mix(0x9e3779b97f4a7c15u, seed), u));
    }
    return MSKP_OK;
}

enum { MOST_BINS = 256, USUAL_BINS = 64 };

typedef struct histogram {
    size_t bins;                 /* of scores above 0 */
    double least, width;         /* logarithms of base 10 */
    size_t count[MOST_BINS + 1]; /* [0] scores of 0; the others from 1 */
} histogram;

static mskp_status check_scores(mskp_scores scores, mskp_error *err)
{
    char number[NUMBER_SIZE];
    for (size_t u = 0; u < scores.n; u++)
        if (!(scores.unit[u] >= 0))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "valley: score %zu is %s, not 0 or more",
                              u, mskpi_number(scores.unit[u], number));
    return MSKP_OK;
}

static void count_scores(mskp_scores scores, size_t bins, histogram *h)
{
    double least = INFINITY, most = -INFINITY;
    for (size_t u = 0; u < scores.n; u++) {
        if (!(scores.unit[u] > 0) || isinf(scores.unit[u])) continue;
        least = fmin(least, log10(scores.unit[u]));
        most = fmax(most, log10(scores.unit[u]));
    }
    *h = (histogram){.bins = bins, .least = least, .width = (most - least) / (double)bins};
    for (size_t u = 0; u < scores.n; u++) {
        const double x = scores.unit[u];
        if (isinf(x)) continue;
        const double place = x > 0 && h->width > 0 ? (log10(x) - least) / h->width : 0;
        h->count[x > 0 ? 1 + (size_t)fmin(place, (double)bins - 1) : 0]++;
    }
}

/* prominence[b] <- of each bin; peak[b] <- the smaller of its peaks. Returns the largest
 * prominence. */
static size_t find_prominences(const histogram *h, size_t *prominence, size_t *peak)
{
    size_t most = 0, left = 0, right = 0;
    for (size_t b = h->bins + 1; b-- > 0;) {
        peak[b] = right;
        right = right > h->count[b] ? right : h->count[b];
    }
    for (size_t b = 0; b <= h->bins; b++) {
        if (left < peak[b]) peak[b] = left;
        left = left > h->count[b] ? left : h->count[b];
        prominence[b] = peak[b] > h->count[b] ? peak[b] - h->count[b] : 0;
        most = most > prominence[b] ? most : prominence[b];
    }
    return most;
}

/* The longest run of neighbours with this prominence, from *first to before *end. */
static void find_run(const size_t *prominence, size_t bins, size_t wanted, size_t *first,
                     size_t *end)
{
    size_t begin = 0;
    *first = *end = 0;
    for (size_t b = 0; b <= bins; b++) {
        if (prominence[b] != wanted)
            begin = b + 1;
        else if (b + 1 - begin > *end - *first)
            *first = begin, *end = b + 1;
    }
}

mskp_status mskp_valley(mskp_scores scores, size_t bins, double *threshold, double *depth,
                        mskp_error *err)
{
    histogram h;
    size_t prominence[MOST_BINS + 1], peak[MOST_BINS + 1], first, end;
    mskp_status status = MSKPI_GIVEN(err, threshold);
    if (!status && scores.n) status = MSKPI_GIVEN(err, scores.unit);
    if (!status) status = check_scores(scores, err);
    if (status) return status;
    if (bins == 1) return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "valley: 1 bin, fewer than 2");
    if (bins > MOST_BINS)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "valley: %zu bins, more than %d", bins,
                          MOST_BINS);
    count_scores(scores, bins ? bins : USUAL_BINS, &h);
    const size_t most = find_prominences(&h, prominence, peak);
    if (!most)
        return mskpi_fail(err, MSKP_ERROR_NO_SOLUTION,
                          "valley: a histogram of %zu scores in %zu bins has no valley", scores.n,
                          h.bins);
    find_run(prominence, h.bins, most, &first, &end);
    MSKPI_ASSERT(first > 0 && first < end); /* nothing is to the left of bin 0 */
    *threshold = pow(10, h.least + h.width * ((double)(first - 1 + end - 1) / 2));
    if (depth) *depth = (double)most / (double)peak[first];
    return MSKP_OK;
}

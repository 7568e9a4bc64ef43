/*
 * Scores of different families made comparable.
 *
 * Norms grow with the size of a layer, and so does what a layer's units cost. The ways of the field
 * to allow for it are of two kinds. One kind relates a score to the family's own scores: to their
 * mean, largest, sum, deviation from the mean, range, or a quantile, in LAMP to the sum of the
 * scores that are not smaller; or it says which share of the family's sum of squares the scores up
 * to this one have.
 * The other kind divides by what a unit costs, which is the same for all units of a family. Both
 * work family by family, so a residual stream, whose units occur in many layers, is one group.
 *
 * A new normalizer goes into mskp_normalizer (methods.h) and into normalize_family.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/sort.h"
#include "base/status.h"
#include "describe/graph.h"
#include "mskp.h"
#include "mskp/methods.h"
#include "mskp/tools.h"
#include "units/cost.h"
#include "units/units.h"

typedef struct normalizing {
    const mskp_graph *graph;
    mskp_normalizer by;
    double share;        /* of QUANTILE */
    const double *given; /* [units] */
    double *scores;      /* [units] the result */
    uint32_t *unit;      /* [units] the family's units with finite scores */
    uint32_t *buffer;    /* [units] for sorting */
    mskp_cost *price;    /* [families] by costs: what a unit costs */
} normalizing;

static bool by_cost(mskp_normalizer by)
{
    return by == MSKP_NORMALIZER_SIZE || by == MSKP_NORMALIZER_MACS || by == MSKP_NORMALIZER_PARAMS;
}

static bool takes_any_sign(mskp_normalizer by)
{
    return by == MSKP_NORMALIZER_STANDARD || by == MSKP_NORMALIZER_RANGE;
}

/* Whether a finite score may become +infinity: over a cost or a quantile of 0. */
static bool may_be_infinite(mskp_normalizer by)
{
    return by_cost(by) || by == MSKP_NORMALIZER_QUANTILE;
}

static bool is_higher(const void *context, uint32_t a, uint32_t b)
{
    const double *score = context;
    return score[a] != score[b] ? score[a] > score[b] : a > b;
}

/* x / y, where 0 / 0 is 0. */
static double share(double x, double y)
{
    return x == 0 ? 0 : x / y;
}

static double largest(const normalizing *j, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, j->given[j->unit[i]]);
    return most;
}

static double sum_of(const normalizing *j, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += j->given[j->unit[i]];
    return sum;
}

/* From the largest score to the smallest, each over the sum so far. */
static void normalize_lamp(const normalizing *j, size_t n)
{
    double sum = 0;
    mskpi_sort(j->unit, j->buffer, n, is_higher, j->given);
    for (size_t i = 0; i < n; i++) {
        const double x = j->given[j->unit[i]];
        sum += x;
        j->scores[j->unit[i]] = share(x, sum);
    }
}

/* From the smallest score to the largest, the sum of squares so far over that of all. */
static void normalize_energy(const normalizing *j, size_t n)
{
    double all = 0, sum = 0;
    mskpi_sort(j->unit, j->buffer, n, is_higher, j->given);
    for (size_t i = n; i-- > 0;) all += j->given[j->unit[i]] * j->given[j->unit[i]];
    for (size_t i = n; i-- > 0;) {
        const double x = j->given[j->unit[i]];
        sum += x * x;
        j->scores[j->unit[i]] = isfinite(all) ? share(sum, all) : NAN;
    }
}

static void normalize_standard(const normalizing *j, size_t n)
{
    const double mean = sum_of(j, n) / (double)n;
    double squares = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = j->given[j->unit[i]] - mean;
        squares += x * x;
    }
    const double deviation = sqrt(squares / (double)n);
    for (size_t i = 0; i < n; i++)
        j->scores[j->unit[i]] = share(j->given[j->unit[i]] - mean, deviation);
}

static void normalize_range(const normalizing *j, size_t n)
{
    double least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        least = fmin(least, j->given[j->unit[i]]);
        most = fmax(most, j->given[j->unit[i]]);
    }
    const double range = most - least;
    for (size_t i = 0; i < n; i++)
        j->scores[j->unit[i]] = isfinite(range) ? share(j->given[j->unit[i]] - least, range) : NAN;
}

/* Sorts the family's units, largest score first. 0 is +0, so that quotients are +infinity. */
static double quantile(const normalizing *j, size_t n)
{
    const size_t place = mskpi_fraction(j->share, n);
    mskpi_sort(j->unit, j->buffer, n, is_higher, j->given);
    return fabs(j->given[j->unit[place < n ? n - 1 - place : 0]]);
}

static double unit_price(const normalizing *j, size_t family)
{
    const mskp_cost cost = j->price[family];
    if (j->by == MSKP_NORMALIZER_SIZE) return sqrt(cost.params);
    return j->by == MSKP_NORMALIZER_MACS ? cost.macs : cost.params;
}

/* j->unit[0 .. n-1] are the units of the family with finite scores; n is not 0. */
static void normalize_family(const normalizing *j, size_t family, size_t n)
{
    if (j->by == MSKP_NORMALIZER_LAMP) {
        normalize_lamp(j, n);
    } else if (j->by == MSKP_NORMALIZER_ENERGY) {
        normalize_energy(j, n);
    } else if (j->by == MSKP_NORMALIZER_STANDARD) {
        normalize_standard(j, n);
    } else if (j->by == MSKP_NORMALIZER_RANGE) {
        normalize_range(j, n);
    } else if (by_cost(j->by)) {
        const double price = unit_price(j, family);
        for (size_t i = 0; i < n; i++) /* what saves nothing stays */
            j->scores[j->unit[i]] = price > 0 ? j->given[j->unit[i]] / price : INFINITY;
    } else {
        const double whole = j->by == MSKP_NORMALIZER_MAX        ? largest(j, n)
                             : j->by == MSKP_NORMALIZER_QUANTILE ? quantile(j, n)
                                                                 : sum_of(j, n);
        for (size_t i = 0; i < n; i++) {
            double *x = &j->scores[j->unit[i]];
            *x = j->by == MSKP_NORMALIZER_MEAN && whole > 0 ? *x * ((double)n / whole)
                                                            : share(*x, whole);
        }
    }
}

static mskp_status check_score(const normalizing *j, uint32_t unit, mskp_error *err)
{
    char number[NUMBER_SIZE];
    const double x = j->given[unit];
    if (isnan(x) || x == -INFINITY)
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "normalize: unit %u scores %s", unit,
                          mskpi_number(x, number));
    if (x < 0 && !takes_any_sign(j->by))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                          "normalize: unit %u scores %s; only MSKP_NORMALIZER_STANDARD and _RANGE "
                          "take scores below 0",
                          unit, mskpi_number(x, number));
    return MSKP_OK;
}

static mskp_status normalize(const normalizing *j, mskp_error *err)
{
    mskp_status status = MSKP_OK;
    for (size_t f = 0; f < j->graph->u->nfamilies; f++) {
        size_t size, n = 0;
        const uint32_t *unit = mskp_family_units(j->graph, f, &size);
        for (size_t i = 0; i < size; i++) {
            if ((status = check_score(j, unit[i], err)) != MSKP_OK) return status;
            if (isfinite(j->given[unit[i]])) j->unit[n++] = unit[i];
        }
        if (n) normalize_family(j, f, n);
        for (size_t i = 0; i < n; i++) {
            const double x = j->scores[j->unit[i]];
            if (isfinite(x) || may_be_infinite(j->by)) continue;
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                              "normalize: unit %u: no double can hold a sum over its family of "
                              "%zu, or the quotient",
                              j->unit[i], size);
        }
    }
    return MSKP_OK;
}

static mskp_status check_normalizer(mskp_normalizer by, double parameter, mskp_error *err)
{
    char number[NUMBER_SIZE];
    if ((unsigned)by > MSKP_NORMALIZER_QUANTILE)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "normalize: by is %u, the last is %d",
                          (unsigned)by, MSKP_NORMALIZER_QUANTILE);
    if (isnan(parameter))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "normalize: parameter is %s",
                          mskpi_number(parameter, number));
    if (by != MSKP_NORMALIZER_QUANTILE && parameter != 0)
        return mskpi_fail(
            err, MSKP_ERROR_BAD_ARGUMENT,
            "normalize: parameter is %s, but by is %u, not MSKP_NORMALIZER_QUANTILE (%d)",
            mskpi_number(parameter, number), (unsigned)by, MSKP_NORMALIZER_QUANTILE);
    if (parameter < 0 || parameter > 1)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "normalize: parameter is %s, outside 0 to 1",
                          mskpi_number(parameter, number));
    return MSKP_OK;
}

mskp_status mskp_score_normalize(const mskp_graph *graph, mskp_normalizer by, double parameter,
                                 mskp_scores scores, mskp_error *err)
{
    mskp_status status = mskpi_check_scores(graph, "scores", scores, err);
    if (!status) status = check_normalizer(by, parameter, err);
    if (status) return status;
    const mskp_services *services = &graph->services;
    normalizing j = {
        .graph = graph,
        .by = by,
        .share = parameter != 0 ? parameter : 0.5,
        .given = scores.unit,
        .scores = mskpi_alloc(services, scores.n, sizeof *j.scores),
        .unit = mskpi_alloc(services, scores.n, sizeof *j.unit),
        .buffer = mskpi_alloc(services, scores.n, sizeof *j.buffer),
        .price = mskpi_alloc(services, by_cost(by) ? graph->u->nfamilies : 0, sizeof *j.price)};
    if (!j.scores || !j.unit || !j.buffer || !j.price ||
        (by_cost(by) && !mskpi_unit_costs(graph, j.price))) {
        status = mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while normalizing %zu scores",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY), scores.n);
    } else {
        if (scores.n) memcpy(j.scores, scores.unit, scores.n * sizeof *j.scores);
        status = normalize(&j, err);
        if (!status && scores.n) memcpy(scores.unit, j.scores, scores.n * sizeof *j.scores);
    }
    mskpi_free(services, j.scores);
    mskpi_free(services, j.unit);
    mskpi_free(services, j.buffer);
    mskpi_free(services, j.price);
    return status;
}

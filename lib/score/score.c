/*
 * Scores: one number for each unit, from the magnitudes of the unit's slices or from numbers of the
 * caller.
 *
 * A score is computed in two steps. mskpi_slice_sums (slice.c) sums up every slice of the chosen
 * roles, and score_unit reduces the sums of one unit's slices to one number. Both steps divide the
 * work by parameter or into chunks of units of a fixed size, never by the number of threads, so the
 * result is the same bit for bit with and without the caller's parallel_for.
 *
 * The vote of [MaskSparsity] (mskp_scoring defines it) is a way to reduce several magnitudes to
 * one. A family's v is found first, once for all of its units: each tied batch norm marks the units
 * whose magnitude is at most the threshold, m is the smallest number of units that any of the norms
 * marks, and v is the most votes that at least m units reach. The score is then the v-th smallest
 * magnitude, so a selection with the same threshold removes exactly the units with at least v
 * votes.
 *
 * A unit without a slice of the chosen roles scores +infinity, and so it stays.
 *
 * A new kind of reduction goes into mskp_reduce (mskp.h), check_scoring, and score_unit here, and
 * for numbers of channels into add_number and finish_unit; a new magnitude into mskp_magnitude,
 * slice_magnitude, and `part` in slice.c. Scores from values and gradients are in taylor.c. A score
 * that needs pairs of filters (distances, angles) is not made of sums of slices: lib/blas has such
 * scores. A caller that measures such numbers itself passes them to mskp_score_channels.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/overlap.h"
#include "base/status.h"
#include "base/view.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/methods.h"
#include "mskp/tools.h"
#include "score/slice.h"
#include "units/units.h"

typedef struct scoring {
    const mskp_graph *graph;
    mskp_scoring how;
    slice_sums slices;
    double *scores; /* [units] */
    /* For MSKP_REDUCE_VOTE alone: */
    uint32_t *vote;     /* [families] v */
    size_t most_slices; /* of a unit */
    double *room;       /* [chunks][most_slices] the magnitudes of a unit */
} scoring;

/* Units are scored in chunks, so that each call of a caller's thread has some work. */
#define CHUNK 256

/* fraction * 2^exponent: a product that leaves the range of a double, if at all, only at its end,
 * so the order of its factors does not matter. */
typedef struct product {
    double fraction; /* 0, or its magnitude is in [0.5, 1) */
    int64_t exponent;
} product;

/* frexp, without a call for the numbers that nearly all products are made of. */
static inline double split(double x, int *exponent)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int field = (int)(bits >> 52 & 0x7ff);
    if (field == 0 || field == 0x7ff) return frexp(x, exponent);
    *exponent = field - 1022;
    bits = (bits & ~((uint64_t)0x7ff << 52)) | (uint64_t)1022 << 52;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void multiply(product *p, double x)
{
    int exponent, shift;
    const double fraction = split(x, &exponent);
    p->fraction = split(p->fraction * fraction, &shift);
    p->exponent += exponent + shift;
}

/* Infinite where no double can hold it. */
static double product_value(const product *p)
{
    enum { BEYOND = 2000 }; /* of the exponents of doubles, in both directions */
    const int64_t e = p->exponent < -BEYOND ? -BEYOND : p->exponent > BEYOND ? BEYOND : p->exponent;
    return ldexp(p->fraction, (int)e);
}

static bool is_scored(const scoring *job, const mskp_member *m)
{
    return (m->roles & job->how.roles) != 0;
}

static double slice_sum(const scoring *job, const mskp_member *m)
{
    MSKPI_ASSERT(is_scored(job, m));
    return mskpi_slice_sum(job->graph, &job->slices, m);
}

static double slice_magnitude(const scoring *job, const mskp_member *m)
{
    const double sum = slice_sum(job, m);
    return job->how.magnitude == MSKP_MAGNITUDE_L2 ? sqrt(sum) : sum;
}

/* to[] <- the magnitudes of a unit's scored slices. Returns how many there are. */
static size_t magnitudes(const scoring *job, uint32_t unit, double *to)
{
    size_t n, found = 0;
    const mskp_member *m = mskp_unit_members(job->graph, unit, &n);
    for (size_t i = 0; i < n; i++)
        if (is_scored(job, &m[i])) to[found++] = slice_magnitude(job, &m[i]);
    return found;
}

/*
 * Returns the k-th smallest of n >= k magnitudes, counted from 1. A magnitude that is not finite is
 * returned at once, because it is an error whatever k is. Each turn divides the range that the
 * result lies in by one of its magnitudes: what is less goes below it, and what is equal or greater
 * above. The order of x changes.
 */
static double kth_magnitude(double *x, size_t n, size_t k)
{
    size_t first = 0, last = n - 1;
    MSKPI_ASSERT(k >= 1 && k <= n);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return x[i];
    while (first < last) {
        const double middle = x[first + (last - first) / 2];
        size_t i = first, j = last;
        for (;;) {
            while (x[i] < middle) i++;
            while (x[j] > middle) j--;
            if (i >= j) break;
            const double less = x[j];
            x[j--] = x[i];
            x[i++] = less;
        }
        const size_t split_at = i > j ? i : i + 1; /* x[i] is `middle` if i is j */
        if (k - 1 < split_at)
            last = split_at - 1;
        else
            first = split_at;
    }
    return x[first];
}

/* The score by vote, from as many votes as the unit's family needs. room: [most_slices]. */
static double score_by_vote(const scoring *job, uint32_t unit, double *room)
{
    const size_t n = magnitudes(job, unit, room);
    const uint32_t v = job->vote[job->graph->u->family[unit]];
    if (!n) return INFINITY;
    const double score = kth_magnitude(room, n, v);
    return isfinite(score) ? score : NAN;
}

/* The score by any other reduction. Returns NaN if it is not finite. */
static double score_unit(const scoring *job, uint32_t unit)
{
    size_t n, nslices = 0;
    const mskp_member *m = mskp_unit_members(job->graph, unit, &n);
    const mskp_reduce reduce = job->how.reduce;
    double all = reduce == MSKP_REDUCE_MIN ? INFINITY : 0;
    product factors = {.fraction = 1};
    for (size_t i = 0; i < n; i++) {
        if (!is_scored(job, &m[i])) continue;
        nslices++;
        const double x =
            reduce == MSKP_REDUCE_JOINT ? slice_sum(job, &m[i]) : slice_magnitude(job, &m[i]);
        if (!isfinite(x)) return NAN;
        MSKPI_ASSERT(x >= 0);
        if (reduce == MSKP_REDUCE_MAX)
            all = x > all ? x : all;
        else if (reduce == MSKP_REDUCE_MIN)
            all = x < all ? x : all;
        else if (reduce == MSKP_REDUCE_PRODUCT)
            multiply(&factors, x);
        else
            all += x;
    }
    if (!nslices) return INFINITY;
    if (reduce == MSKP_REDUCE_PRODUCT) all = product_value(&factors);
    if (reduce == MSKP_REDUCE_MEAN) all /= (double)nslices;
    if (reduce == MSKP_REDUCE_JOINT && job->how.magnitude == MSKP_MAGNITUDE_L2) all = sqrt(all);
    return isfinite(all) ? all : NAN;
}

static void score_chunk(void *context, size_t chunk)
{
    const scoring *job = context;
    const size_t start = chunk * CHUNK, n = job->graph->u->n;
    const size_t end = start + CHUNK < n ? start + CHUNK : n;
    MSKPI_ASSERT(start < n);
    for (size_t u = start; u < end; u++)
        job->scores[u] = job->how.reduce == MSKP_REDUCE_VOTE
                             ? score_by_vote(job, (uint32_t)u, job->room + chunk * job->most_slices)
                             : score_unit(job, (uint32_t)u);
}

/* ---- the vote ---- */

/* Counts the marks of one unit's slices. marks[k] += 1 for each scored slice k that is marked.
 * Returns the unit's votes; *slices <- how many slices are scored. */
static size_t count_marks(const scoring *job, uint32_t unit, size_t *marks, size_t *slices)
{
    size_t votes = 0;
    *slices = magnitudes(job, unit, job->room);
    for (size_t k = 0; k < *slices; k++) {
        const bool marked = job->room[k] <= job->how.vote_threshold;
        marks[k] += marked;
        votes += marked;
    }
    return votes;
}

/*
 * Returns v of a family. All units of a family have slices on the same axes, so the slices at
 * one place of their member lists belong to the same norm.
 *   marks    [slices] zeros; receives how many units each norm marks
 *   tally    [slices + 1] zeros; receives how many units have each number of votes
 */
static uint32_t family_vote(const scoring *job, size_t family, size_t *marks, size_t *tally)
{
    size_t size, slices = 0, fewest = SIZE_MAX, reached = 0;
    const uint32_t *unit = mskp_family_units(job->graph, family, &size);
    for (size_t i = 0; i < size; i++) {
        size_t n;
        tally[count_marks(job, unit[i], marks, &n)]++;
        MSKPI_ASSERT(i == 0 || n == slices); /* units of a family have equally many slices */
        slices = n;
    }
    for (size_t k = 0; k < slices; k++)
        if (marks[k] < fewest) fewest = marks[k];
    for (size_t v = slices; v > 0; v--) {
        reached += tally[v];
        if (reached >= fewest) return (uint32_t)v;
    }
    MSKPI_ASSERT(!slices); /* every marked unit has a vote, so 1 vote is always enough */
    return 1;
}

static size_t most_slices(const unit_table *u)
{
    size_t most = 1;
    for (size_t i = 0; i < u->n; i++) {
        const size_t n = u->member_first[i + 1] - u->member_first[i];
        if (n > most) most = n;
    }
    return most;
}

static mskp_status count_votes(scoring *job, mskp_error *err)
{
    const mskp_graph *g = job->graph;
    const size_t most = job->most_slices = most_slices(g->u);
    const size_t chunks = (g->u->n + CHUNK - 1) / CHUNK;
    job->room = mskpi_alloc(&g->services, mskpi_product(most, chunks), sizeof *job->room);
    size_t *marks = mskpi_alloc(&g->services, most, sizeof *marks);
    size_t *tally = mskpi_alloc(&g->services, most + 1, sizeof *tally);
    mskp_status status = MSKP_OK;
    if (!marks || !tally || !job->room)
        status = mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while counting votes",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY));
    for (size_t f = 0; !status && f < g->u->nfamilies; f++) {
        memset(marks, 0, most * sizeof *marks);
        memset(tally, 0, (most + 1) * sizeof *tally);
        job->vote[f] = family_vote(job, f, marks, tally);
    }
    mskpi_free(&g->services, marks);
    mskpi_free(&g->services, tally);
    return status;
}

/* ---- mskp_score ---- */

static mskp_status check_scoring(const mskp_scoring *how, mskp_error *err)
{
    char number[32];
    if ((unsigned)how->magnitude > MSKP_MAGNITUDE_L2)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "scoring: magnitude is %u, the last is %d",
                          (unsigned)how->magnitude, MSKP_MAGNITUDE_L2);
    if ((unsigned)how->reduce > MSKP_REDUCE_PRODUCT)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "scoring: reduce is %u, the last is %d",
                          (unsigned)how->reduce, MSKP_REDUCE_PRODUCT);
    const mskp_status status = mskpi_check_roles(err, "scoring: roles", how->roles);
    if (status) return status;
    if (how->reduce != MSKP_REDUCE_VOTE && how->vote_threshold != 0)
        return mskpi_fail(
            err, MSKP_ERROR_BAD_ARGUMENT,
            "scoring: vote_threshold is %s, but reduce is %u, not MSKP_REDUCE_VOTE (%d)",
            mskpi_number(how->vote_threshold, number), (unsigned)how->reduce, MSKP_REDUCE_VOTE);
    const bool is_threshold = how->vote_threshold >= 0 && isfinite(how->vote_threshold);
    if (how->reduce == MSKP_REDUCE_VOTE && !is_threshold)
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                          "scoring: vote_threshold is %s, not 0 or more",
                          mskpi_number(how->vote_threshold, number));
    return MSKP_OK;
}

static mskp_status no_memory(size_t units, mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while scoring %zu units",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY), units);
}

/* job->scores[] <- the scores, from the sums of the slices. */
static mskp_status score_units(scoring *job, mskp_error *err)
{
    const size_t n = job->graph->u->n;
    if (job->how.reduce == MSKP_REDUCE_VOTE) {
        const mskp_status status = count_votes(job, err);
        if (status) return status;
    }
    mskpi_parallel(&job->graph->services, (n + CHUNK - 1) / CHUNK, score_chunk, job);
    for (uint32_t u = 0; u < n; u++)
        if (isnan(job->scores[u]))
            return mskpi_refuse_sum(job->graph, &job->slices, job->how.roles, u, err);
    return MSKP_OK;
}

mskp_status mskp_score(const mskp_graph *graph, const mskp_scoring *given, mskp_tensors values,
                       mskp_scores scores, mskp_error *err)
{
    scoring job = {.graph = graph};
    mskp_status status = mskpi_check_scores(graph, "scores", scores, err);
    if (!status) status = mskpi_check_set(values, "values", graph->nparams, err);
    if (status) return status;
    if (given) job.how = *given;
    if ((status = check_scoring(&job.how, err)) != MSKP_OK) return status;
    if (!job.how.roles) job.how.roles = MSKP_ROLE_SCALE;
    const bool squares = job.how.magnitude == MSKP_MAGNITUDE_L2;
    status = mskpi_slice_sums(graph, job.how.roles, squares ? SLICE_SQUARES : SLICE_MAGNITUDES,
                              values, (mskp_tensors){0}, &job.slices, err);
    if (status) return status;
    job.vote = mskpi_alloc(&graph->services, graph->u->nfamilies, sizeof *job.vote);
    job.scores = mskpi_alloc(&graph->services, scores.n, sizeof *job.scores);
    status = job.vote && job.scores ? score_units(&job, err) : no_memory(scores.n, err);
    if (!status && scores.n) memcpy(scores.unit, job.scores, scores.n * sizeof *scores.unit);
    mskpi_slice_sums_free(&graph->services, &job.slices);
    mskpi_free(&graph->services, job.vote);
    mskpi_free(&graph->services, job.room);
    mskpi_free(&graph->services, job.scores);
    return status;
}

/* ---- mskp_score_channels ---- */

/* The reduction of channels' numbers to units. Infinities are counted apart from sums and products,
 * so their order does not matter. */
typedef struct reduction {
    mskp_reduce reduce;
    bool sums;         /* SUM or MEAN */
    size_t *count;     /* [units] numbers so far */
    uint8_t *infinite; /* [units] UPWARD and DOWNWARD: the signs of the infinities among them */
    double *reduced;   /* [units] of the finite ones where sums, otherwise of all */
    product *factors;  /* [units] for PRODUCT, where an infinity has the factor 1 or -1 */
} reduction;

enum { UPWARD = 1, DOWNWARD = 2 };

static void add_number(const reduction *r, uint32_t unit, double x)
{
    double *score = &r->reduced[unit];
    const bool first = !r->count[unit]++;
    MSKPI_ASSERT(!isnan(x));
    if (isinf(x)) r->infinite[unit] |= x > 0 ? UPWARD : DOWNWARD;
    if (r->sums && isinf(x)) x = 0;
    if (r->reduce == MSKP_REDUCE_PRODUCT) {
        if (first) r->factors[unit].fraction = 1;
        multiply(&r->factors[unit], isinf(x) ? copysign(1, x) : x);
    } else if (first) {
        *score = x;
    } else if (r->reduce == MSKP_REDUCE_MAX) {
        *score = x > *score ? x : *score;
    } else if (r->reduce == MSKP_REDUCE_MIN) {
        *score = x < *score ? x : *score;
    } else {
        *score += x;
    }
}

/* Ends the reduction of one unit. */
static mskp_status finish_unit(const reduction *r, size_t unit, mskp_error *err)
{
    double *score = &r->reduced[unit];
    const size_t count = r->count[unit];
    const uint8_t infinite = r->infinite[unit];
    const bool multiplies = r->reduce == MSKP_REDUCE_PRODUCT;
    const char *what = NULL;
    if (!count)
        *score = INFINITY;
    else if (r->reduce == MSKP_REDUCE_MEAN)
        *score /= (double)count;
    else if (multiplies)
        *score = product_value(&r->factors[unit]);
    if (r->sums && infinite == (UPWARD | DOWNWARD))
        what = "infinities of both signs among";
    else if (multiplies && infinite && r->factors[unit].fraction == 0)
        what = "0 and an infinity among";
    else if (count && !infinite && isinf(*score))
        what = multiplies ? "no double can hold the product of" : "no double can hold the sum of";
    if (what)
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "unit %zu: %s its %zu numbers", unit, what,
                          count);
    if (r->sums && infinite) *score = infinite == UPWARD ? INFINITY : -INFINITY;
    if (multiplies && infinite) *score = copysign(INFINITY, r->factors[unit].fraction);
    return MSKP_OK;
}

static mskp_status check_numbers(const mskp_graph *graph, const mskp_channel_scores *given,
                                 mskp_scores scores, mskp_error *err)
{
    char room[NAME_SIZE];
    const uint32_t id = given->value.id;
    if (!id || id > graph->nvalues)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "no value has handle %u, there are %zu", id,
                          graph->nvalues);
    const char *name = mskpi_short(mskpi_value_name(graph, id), room);
    if (given->n != graph->values[id].view.n)
        return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE, "%s: %zu numbers, the value has %zu channels",
                          name, given->n, graph->values[id].view.n);
    if (!given->channel)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: channel is NULL", name);
    for (size_t i = 0; i < given->n; i++)
        if (isnan(given->channel[i]))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "%s: the number of channel %zu is NaN",
                              name, i);
    return mskpi_check_apart(mskpi_scores_array("scores", scores),
                             (call_array){name, given->channel, given->n * sizeof *given->channel},
                             err);
}

static mskp_status reduce_channels(const mskp_graph *graph, size_t n,
                                   const mskp_channel_scores *given, const reduction *r,
                                   mskp_error *err)
{
    for (size_t k = 0; k < n; k++) {
        size_t channels;
        const uint32_t *unit = mskp_value_units(graph, given[k].value, &channels);
        MSKPI_ASSERT(channels == given[k].n);
        for (size_t i = 0; i < channels; i++)
            if (unit[i] != MSKP_PINNED) add_number(r, unit[i], given[k].channel[i]);
    }
    for (size_t u = 0; u < graph->u->n; u++) {
        const mskp_status status = finish_unit(r, u, err);
        if (status) return status;
    }
    return MSKP_OK;
}

mskp_status mskp_score_channels(const mskp_graph *graph, size_t n, const mskp_channel_scores *given,
                                mskp_reduce reduce, mskp_scores scores, mskp_error *err)
{
    reduction r = {.reduce = reduce,
                   .sums = reduce == MSKP_REDUCE_SUM || reduce == MSKP_REDUCE_MEAN};
    mskp_status status = mskpi_check_scores(graph, "scores", scores, err);
    if (!status && n) status = MSKPI_GIVEN(err, given);
    if (status) return status;
    if ((unsigned)reduce > MSKP_REDUCE_MIN && reduce != MSKP_REDUCE_PRODUCT)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "numbers of channels are reduced by SUM, MEAN, MAX or MIN (0 to %d) or "
                          "PRODUCT (%d), not %u",
                          MSKP_REDUCE_MIN, MSKP_REDUCE_PRODUCT, (unsigned)reduce);
    for (size_t k = 0; k < n; k++)
        if ((status = check_numbers(graph, &given[k], scores, err)) != MSKP_OK) return status;
    const mskp_services *services = &graph->services;
    r.count = mskpi_alloc(services, scores.n, sizeof *r.count);
    r.infinite = mskpi_alloc(services, scores.n, sizeof *r.infinite);
    r.reduced = mskpi_alloc(services, scores.n, sizeof *r.reduced);
    r.factors =
        mskpi_alloc(services, reduce == MSKP_REDUCE_PRODUCT ? scores.n : 0, sizeof *r.factors);
    if (!r.count || !r.infinite || !r.reduced || !r.factors)
        status = no_memory(scores.n, err);
    else
        status = reduce_channels(graph, n, given, &r, err);
    if (!status && scores.n) memcpy(scores.unit, r.reduced, scores.n * sizeof *scores.unit);
    mskpi_free(services, r.count);
    mskpi_free(services, r.infinite);
    mskpi_free(services, r.reduced);
    mskpi_free(services, r.factors);
    return status;
}

/*
 * Scores: one number for each unit, from the norms of the unit's slices or from numbers of the
 * host.
 *
 * The work is divided into chunks of units of a fixed size, never by the number of threads, so that
 * the result is the same bit for bit with and without the host's parallel_for. A vote reduces the
 * norms of a unit's several slices to the v-th smallest of them. A unit without a slice of the
 * roles that are asked scores +infinity, and so it stays.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "score/slice.h"
#include "units/units.h"

typedef struct scoring {
    const mskp_graph *graph;
    mskp_scoring how;
    slice_sums slices;
    const uint32_t *vote; /* [families] v of the vote */
    double *scores;
} scoring;

/* Units in chunks, so that a host's threads get some work each. */
#define CHUNK 256

static double slice_sum(const scoring *job, const mskp_member *m)
{
    const graph_param *p = &job->graph->params[m->param.id];
    return job->slices.sums[job->slices.first[p->axis + m->axis] + m->index];
}

static double slice_norm(const scoring *job, const mskp_member *m)
{
    const double sum = slice_sum(job, m);
    return job->how.magnitude == MSKP_MAGNITUDE_L2 ? sqrt(sum) : sum;
}

/* The k-th smallest (from 1) norm of a unit's slices, of which there are k at least; ties do not
 * matter. */
static double kth_norm(const scoring *job, const mskp_member *m, size_t n, size_t k)
{
    double found = -1;
    for (size_t taken = 0; taken < k;) { /* climb through the different norms */
        double next = INFINITY;
        size_t same = 0;
        for (size_t i = 0; i < n; i++) {
            if (!(m[i].roles & job->how.roles)) continue;
            const double x = slice_norm(job, &m[i]);
            if (!isfinite(x)) return x; /* refused, whatever the others are */
            if (x > found && x < next) next = x, same = 0;
            if (x == next) same++;
        }
        found = next;
        taken += same;
    }
    return found;
}

/* NaN: not finite. */
static double score_unit(const scoring *job, uint32_t unit)
{
    size_t n, nslices = 0;
    const mskp_member *m = mskp_unit_members(job->graph, unit, &n);
    const mskp_reduce reduce = job->how.reduce;
    double all = reduce == MSKP_REDUCE_MIN ? INFINITY : 0;
    for (size_t i = 0; i < n; i++) {
        if (!(m[i].roles & job->how.roles)) continue;
        nslices++;
        if (reduce == MSKP_REDUCE_VOTE) continue;
        const double x =
            reduce == MSKP_REDUCE_JOINT ? slice_sum(job, &m[i]) : slice_norm(job, &m[i]);
        if (!isfinite(x)) return NAN;
        if (reduce == MSKP_REDUCE_MAX)
            all = x > all ? x : all;
        else if (reduce == MSKP_REDUCE_MIN)
            all = x < all ? x : all;
        else
            all += x;
    }
    if (!nslices) return INFINITY;
    if (reduce == MSKP_REDUCE_MEAN) all /= (double)nslices;
    if (reduce == MSKP_REDUCE_JOINT && job->how.magnitude == MSKP_MAGNITUDE_L2) all = sqrt(all);
    if (reduce == MSKP_REDUCE_VOTE)
        all = kth_norm(job, m, n, job->vote[job->graph->u->family[unit]]);
    return isfinite(all) ? all : NAN;
}

static void score_chunk(void *context, size_t chunk)
{
    const scoring *job = context;
    const size_t start = chunk * CHUNK, n = job->graph->u->n;
    const size_t end = start + CHUNK < n ? start + CHUNK : n;
    for (size_t u = start; u < end; u++) job->scores[u] = score_unit(job, (uint32_t)u);
}

/*
 * [MaskSparsity]'s vote: for each family, the highest number of votes that at least m of its units
 * reach, m being the smallest number that any of its tied slices marks. All units of a family have
 * the same axes, so the slices at one place of their member lists belong together.
 */
static int count_votes(const scoring *job, uint32_t *vote)
{
    const mskp_graph *g = job->graph;
    size_t most = 1;
    for (size_t u = 0; u < g->u->n; u++) {
        const size_t n = g->u->member_first[u + 1] - g->u->member_first[u];
        if (n > most) most = n;
    }
    size_t *marks = mskpi_alloc(&g->services, most, sizeof *marks);     /* by slice */
    size_t *reach = mskpi_alloc(&g->services, most + 1, sizeof *reach); /* by number of votes */
    if (!marks || !reach) {
        mskpi_free(&g->services, marks);
        mskpi_free(&g->services, reach);
        return 1;
    }
    for (uint32_t f = 0; f < g->u->nfamilies; f++) {
        size_t size, n, slices = 0, fewest = SIZE_MAX, reached = 0;
        const uint32_t *unit = mskp_family_units(g, f, &size);
        memset(marks, 0, most * sizeof *marks);
        memset(reach, 0, (most + 1) * sizeof *reach);
        for (size_t i = 0; i < size; i++) {
            const mskp_member *m = mskp_unit_members(g, unit[i], &n);
            size_t votes = 0;
            slices = 0;
            for (size_t k = 0; k < n; k++) {
                if (!(m[k].roles & job->how.roles)) continue;
                const int marked = slice_norm(job, &m[k]) <= job->how.vote_threshold;
                marks[slices++] += (size_t)marked;
                votes += (size_t)marked;
            }
            reach[votes]++;
        }
        for (size_t k = 0; k < slices; k++)
            if (marks[k] < fewest) fewest = marks[k];
        vote[f] = (uint32_t)slices;
        for (size_t v = slices; v > 0; v--) {
            reached += reach[v];
            if (reached >= fewest) {
                vote[f] = (uint32_t)v;
                break;
            }
        }
        if (!vote[f]) vote[f] = 1;
    }
    mskpi_free(&g->services, marks);
    mskpi_free(&g->services, reach);
    return 0;
}

static mskp_status check_scoring(const mskp_scoring *how, mskp_error *err)
{
    char room[32];
    if ((unsigned)how->magnitude > MSKP_MAGNITUDE_L2)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "scoring: magnitude is %u, the last is %d",
                          (unsigned)how->magnitude, MSKP_MAGNITUDE_L2);
    if ((unsigned)how->reduce > MSKP_REDUCE_VOTE)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "scoring: reduce is %u, the last is %d",
                          (unsigned)how->reduce, MSKP_REDUCE_VOTE);
    const mskp_status status = mskpi_check_roles(err, "scoring: roles", how->roles);
    if (status) return status;
    if (how->reduce != MSKP_REDUCE_VOTE && how->vote_threshold != 0)
        return mskpi_fail(
            err, MSKP_ERROR_BAD_ARGUMENT,
            "scoring: vote_threshold is %s, but reduce is %u, not MSKP_REDUCE_VOTE (%d)",
            mskpi_number(how->vote_threshold, room), (unsigned)how->reduce, MSKP_REDUCE_VOTE);
    if (how->reduce == MSKP_REDUCE_VOTE &&
        !(how->vote_threshold >= 0 && isfinite(how->vote_threshold)))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                          "scoring: vote_threshold is %s, not 0 or more",
                          mskpi_number(how->vote_threshold, room));
    return MSKP_OK;
}

/* Whose element made a score NaN? */
static mskp_status blame(const scoring *job, uint32_t unit, mskp_error *err)
{
    size_t n;
    char room[NAME_SIZE];
    const mskp_member *m = mskp_unit_members(job->graph, unit, &n);
    for (size_t i = 0; i < n; i++)
        if ((m[i].roles & job->how.roles) && !isfinite(slice_sum(job, &m[i])))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                              "%s: axis %u, index %u: an element is not finite, or the norm is not",
                              mskpi_short(mskpi_param_name(job->graph, m[i].param.id), room),
                              m[i].axis, m[i].index);
    return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "unit %u: the score is not finite", unit);
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
    status = mskpi_slice_sums(graph, job.how.roles, job.how.magnitude == MSKP_MAGNITUDE_L2, values,
                              &job.slices, err);
    if (status) return status;
    uint32_t *vote = mskpi_alloc(&graph->services, graph->u->nfamilies, sizeof *vote);
    job.scores = mskpi_alloc(&graph->services, scores.n, sizeof *job.scores);
    job.vote = vote;
    if (!vote || !job.scores)
        status = mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while scoring %zu units",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY), scores.n);
    if (!status && job.how.reduce == MSKP_REDUCE_VOTE && count_votes(&job, vote))
        status = mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while counting votes",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY));
    if (!status) {
        mskpi_parallel(&graph->services, (scores.n + CHUNK - 1) / CHUNK, score_chunk, &job);
        for (uint32_t u = 0; !status && u < scores.n; u++)
            if (isnan(job.scores[u])) status = blame(&job, u, err);
    }
    if (!status && scores.n) memcpy(scores.unit, job.scores, scores.n * sizeof *scores.unit);
    mskpi_slice_sums_free(&graph->services, &job.slices);
    mskpi_free(&graph->services, vote);
    mskpi_free(&graph->services, job.scores);
    return status;
}

mskp_status mskp_score_channels(const mskp_graph *graph, size_t n, const mskp_channel_scores *given,
                                mskp_reduce reduce, mskp_scores scores, mskp_error *err)
{
    char room[NAME_SIZE];
    mskp_status status = mskpi_check_scores(graph, "scores", scores, err);
    if (!status && n) status = MSKPI_GIVEN(err, given);
    if (status) return status;
    if ((unsigned)reduce > MSKP_REDUCE_MIN)
        return mskpi_fail(
            err, MSKP_ERROR_BAD_ARGUMENT,
            "numbers of channels are reduced by SUM, MEAN, MAX or MIN (0 to %d), not %u",
            MSKP_REDUCE_MIN, (unsigned)reduce);
    for (size_t k = 0; k < n; k++) {
        const uint32_t id = given[k].value.id;
        if (!id || id > graph->nvalues)
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "no value has handle %u, there are %zu",
                              id, graph->nvalues);
        const char *name = mskpi_short(mskpi_value_name(graph, id), room);
        if (given[k].n != graph->values[id].view.n)
            return mskpi_fail(err, MSKP_ERROR_BAD_SHAPE,
                              "%s: %zu numbers, the value has %zu channels", name, given[k].n,
                              graph->values[id].view.n);
        if (!given[k].channel)
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%s: channel is NULL", name);
        for (size_t i = 0; i < given[k].n; i++)
            if (isnan(given[k].channel[i]))
                return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                                  "%s: the number of channel %zu is NaN", name, i);
    }
    /* Infinities are counted apart from sums, so that their order does not matter. */
    enum { UPWARD = 1, DOWNWARD = 2 };
    const int sums = reduce == MSKP_REDUCE_SUM || reduce == MSKP_REDUCE_MEAN;
    size_t *seen = mskpi_alloc(&graph->services, scores.n, sizeof *seen);
    uint8_t *endless = mskpi_alloc(&graph->services, scores.n, sizeof *endless);
    double *reduced = mskpi_alloc(&graph->services, scores.n, sizeof *reduced);
    if (!seen || !endless || !reduced)
        status = mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while scoring %zu units",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY), scores.n);
    for (size_t k = 0; !status && k < n; k++) {
        size_t channels;
        const uint32_t *unit = mskp_value_units(graph, given[k].value, &channels);
        for (size_t i = 0; i < channels; i++) {
            double x = given[k].channel[i];
            if (unit[i] == MSKP_PINNED) continue;
            double *score = &reduced[unit[i]];
            if (isinf(x)) endless[unit[i]] |= x > 0 ? UPWARD : DOWNWARD;
            if (sums && isinf(x)) x = 0;
            if (!seen[unit[i]]++)
                *score = x;
            else if (reduce == MSKP_REDUCE_MAX)
                *score = x > *score ? x : *score;
            else if (reduce == MSKP_REDUCE_MIN)
                *score = x < *score ? x : *score;
            else
                *score += x;
        }
    }
    for (size_t u = 0; !status && u < scores.n; u++) {
        if (!seen[u])
            reduced[u] = INFINITY;
        else if (reduce == MSKP_REDUCE_MEAN)
            reduced[u] /= (double)seen[u];
        const int both = sums && endless[u] == (UPWARD | DOWNWARD);
        if (both || (seen[u] && !endless[u] && isinf(reduced[u])))
            status = mskpi_fail(
                err, MSKP_ERROR_BAD_NUMBER, "unit %zu: %s its %zu numbers", u,
                both ? "infinities of both signs among" : "no double can hold the sum of", seen[u]);
        if (sums && endless[u]) reduced[u] = endless[u] == UPWARD ? INFINITY : -INFINITY;
    }
    if (!status && scores.n) memcpy(scores.unit, reduced, scores.n * sizeof *scores.unit);
    mskpi_free(&graph->services, seen);
    mskpi_free(&graph->services, endless);
    mskpi_free(&graph->services, reduced);
    return status;
}

/*
 * Scores: one number per unit, from the norms of its slices, or from the host's own numbers.
 *
 * Sums run in the logical order of indices, in double precision, whatever the memory layout, so
 * that a score depends on the numbers alone.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "internal.h"

typedef struct scoring {
    const mskp_graph *graph;
    mskp_scoring how;
    const tensor_view *views; /* [params + 1] */
    const uint32_t *vote;     /* [families] v of the vote */
    double *scores;
} scoring;

/* A slice: one axis fixed. Where it crosses a slice of the same unit on an earlier axis, it skips.
 */
typedef struct slice {
    const tensor_view *view;
    uint32_t ndim;
    const uint32_t *skip[MSKP_MAX_DIMS]; /* units of an earlier axis; NULL: nothing to skip */
    uint32_t unit, fixed;
    int squared;
    double sum;
} slice;

static void add_elements(slice *s, const char *at, uint32_t d)
{
    const tensor_view *v = s->view;
    while (d == s->fixed) d++;
    if (d >= s->ndim) {
        const double x = mskpi_load(at, v->dtype);
        s->sum += s->squared ? x * x : fabs(x);
        return;
    }
    const ptrdiff_t step = v->stride[d] * (ptrdiff_t)v->element;
    const int last = d + 1 == s->ndim || (d + 2 == s->ndim && s->fixed == d + 1);
    for (size_t i = 0; i < v->shape[d]; i++, at += step) {
        if (s->skip[d] && s->skip[d][i] == s->unit) continue;
        if (!last) {
            add_elements(s, at, d + 1);
            continue;
        }
        const double x = mskpi_load(at, v->dtype);
        s->sum += s->squared ? x * x : fabs(x);
    }
}

/* sum |w| or sum w^2 over the elements of a slice that no earlier slice of its unit has. */
static double slice_sum(const scoring *job, const mskp_member *m, uint32_t unit)
{
    const mskp_graph *g = job->graph;
    const graph_param *p = &g->params[m->param.id];
    slice s = {.view = &job->views[m->param.id],
               .ndim = p->ndim,
               .unit = unit,
               .fixed = m->axis,
               .squared = job->how.norm == MSKP_NORM_L2};
    for (uint32_t d = 0; d < m->axis; d++) {
        const graph_axis *a = &g->axes[p->axis + d];
        if (a->list != NO_LIST && (a->roles & job->how.roles))
            s.skip[d] = g->u.list_units + g->u.lists[a->list].first;
    }
    add_elements(
        &s, s.view->data + s.view->stride[m->axis] * (ptrdiff_t)(m->index * s.view->element), 0);
    return s.sum;
}

static double slice_norm(const scoring *job, const mskp_member *m, uint32_t unit)
{
    const double sum = slice_sum(job, m, unit);
    return job->how.norm == MSKP_NORM_L2 ? sqrt(sum) : sum;
}

/* The k-th smallest (from 1) norm of a unit's slices, of which there are k at least; ties do not
 * matter. */
static double kth_norm(const scoring *job, const mskp_member *m, size_t n, uint32_t unit, size_t k)
{
    double found = -1;
    for (size_t taken = 0; taken < k;) { /* climb through the different norms */
        double next = INFINITY;
        size_t same = 0;
        for (size_t i = 0; i < n; i++) {
            if (!(m[i].roles & job->how.roles)) continue;
            const double x = slice_norm(job, &m[i], unit);
            if (!isfinite(x)) return x; /* refused, whatever the others are */
            if (x > found && x < next) next = x, same = 0;
            if (x == next) same++;
        }
        found = next;
        taken += same;
    }
    return found;
}

static void score_unit(const scoring *job, uint32_t unit)
{
    size_t n, slices = 0;
    const mskp_member *m = mskp_unit_members(job->graph, unit, &n);
    const mskp_reduce reduce = job->how.reduce;
    double all = reduce == MSKP_REDUCE_MIN ? INFINITY : 0;
    int nan = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(m[i].roles & job->how.roles)) continue;
        slices++;
        if (reduce == MSKP_REDUCE_VOTE) continue;
        const double x = reduce == MSKP_REDUCE_JOINT ? slice_sum(job, &m[i], unit)
                                                     : slice_norm(job, &m[i], unit);
        nan |= !isfinite(x);
        if (reduce == MSKP_REDUCE_MAX)
            all = x > all ? x : all;
        else if (reduce == MSKP_REDUCE_MIN)
            all = x < all ? x : all;
        else
            all += x;
    }
    if (!slices)
        all = INFINITY;
    else if (reduce == MSKP_REDUCE_MEAN)
        all /= (double)slices;
    else if (reduce == MSKP_REDUCE_JOINT && job->how.norm == MSKP_NORM_L2)
        all = sqrt(all);
    else if (reduce == MSKP_REDUCE_VOTE) {
        all = kth_norm(job, m, n, unit, job->vote[job->graph->u.family[unit]]);
        nan = !isfinite(all);
    }
    job->scores[unit] = nan || (slices && !isfinite(all)) ? NAN : all;
}

/* Units in chunks, so that a host's threads get some work each. */
#define CHUNK 64

static void score_chunk(void *context, size_t chunk)
{
    const scoring *job = context;
    const size_t end =
        (chunk + 1) * CHUNK < job->graph->u.n ? (chunk + 1) * CHUNK : job->graph->u.n;
    for (size_t u = chunk * CHUNK; u < end; u++) score_unit(job, (uint32_t)u);
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
    for (size_t u = 0; u < g->u.n; u++) {
        const size_t n = g->u.member_first[u + 1] - g->u.member_first[u];
        if (n > most) most = n;
    }
    size_t *marks = mskpi_alloc(&g->host, most, sizeof *marks);     /* by slice */
    size_t *reach = mskpi_alloc(&g->host, most + 1, sizeof *reach); /* by number of votes */
    if (!marks || !reach) {
        mskpi_free(&g->host, marks);
        mskpi_free(&g->host, reach);
        return 1;
    }
    for (uint32_t f = 0; f < g->u.nfamilies; f++) {
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
                const int marked = slice_norm(job, &m[k], unit[i]) <= job->how.vote_threshold;
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
    mskpi_free(&g->host, marks);
    mskpi_free(&g->host, reach);
    return 0;
}

static mskp_status check_scoring(const mskp_scoring *how, mskp_error *err)
{
    char room[32];
    if (mskpi_used(how->reserved, 4))
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "scoring: reserved fields must be 0");
    if ((unsigned)how->norm > MSKP_NORM_L2)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "scoring: norm %u, there are %d",
                          (unsigned)how->norm, MSKP_NORM_L2 + 1);
    if ((unsigned)how->reduce > MSKP_REDUCE_VOTE)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "scoring: reduce %u, there are %d",
                          (unsigned)how->reduce, MSKP_REDUCE_VOTE + 1);
    if (how->roles & ~(uint32_t)MSKP_ROLES_UNIT)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT,
                          "scoring: roles 0x%x, only FILTER, CONSUMER, SCALE and SHIFT (0x%x) have "
                          "norms",
                          how->roles, (unsigned)MSKP_ROLES_UNIT);
    if (how->reduce == MSKP_REDUCE_VOTE &&
        !(how->vote_threshold >= 0 && isfinite(how->vote_threshold)))
        return mskpi_fail(err, MSKP_BAD_NUMBER, "scoring: vote_threshold is %s, not 0 or more",
                          mskpi_number(how->vote_threshold, room));
    return MSKP_OK;
}

/* Whose element made a score NaN? */
static mskp_status blame(const scoring *job, uint32_t unit, mskp_error *err)
{
    size_t n;
    char room[NAME_ROOM];
    const mskp_member *m = mskp_unit_members(job->graph, unit, &n);
    for (size_t i = 0; i < n; i++)
        if ((m[i].roles & job->how.roles) && !isfinite(slice_sum(job, &m[i], unit)))
            return mskpi_fail(err, MSKP_BAD_NUMBER,
                              "%s: axis %u, index %u: an element is not finite, or the norm is not",
                              mskpi_short(mskpi_param_name(job->graph, m[i].param.id), room),
                              m[i].axis, m[i].index);
    return mskpi_fail(err, MSKP_BAD_NUMBER, "unit %u: the score is not finite", unit);
}

/* Does a parameter have slices of these roles that belong to a unit? */
static int has_slices(const mskp_graph *graph, const graph_param *p, uint32_t roles)
{
    for (uint32_t d = 0; d < p->ndim; d++) {
        const graph_axis *a = &graph->axes[p->axis + d];
        if (a->list == NO_LIST || !(a->roles & roles)) continue;
        const uint32_t *list = graph->u.list_units + graph->u.lists[a->list].first;
        for (size_t i = 0; i < a->length; i++)
            if (list[i] != MSKP_PINNED) return 1;
    }
    return 0;
}

static mskp_status view_set(const mskp_graph *graph, uint32_t roles, const mskp_tensor *values,
                            tensor_view *views, mskp_error *err)
{
    for (uint32_t p = 1; p <= graph->nparams; p++) {
        if (!has_slices(graph, &graph->params[p], roles)) continue;
        const mskp_status status = mskpi_number_view(graph, p, "values", values, &views[p], err);
        if (status) return status;
    }
    return MSKP_OK;
}

mskp_status mskp_score(const mskp_graph *graph, const mskp_scoring *given, size_t params,
                       const mskp_tensor *values, size_t units, double *scores, mskp_error *err)
{
    scoring job = {.graph = graph};
    mskp_status status = mskpi_check_units(graph, units, err);
    if (status) return status;
    if (!scores) return mskpi_fail(err, MSKP_BAD_ARGUMENT, "scores is NULL");
    if ((status = mskpi_check_set(values, "values", params, graph->nparams, err)) != MSKP_OK)
        return status;
    if (given) job.how = *given;
    if ((status = check_scoring(&job.how, err)) != MSKP_OK) return status;
    if (!job.how.roles) job.how.roles = MSKP_ROLE_SCALE;
    tensor_view *views = mskpi_alloc(&graph->host, graph->nparams + 1, sizeof *views);
    uint32_t *vote = mskpi_alloc(&graph->host, graph->u.nfamilies, sizeof *vote);
    job.scores = mskpi_alloc(&graph->host, units, sizeof *job.scores);
    job.views = views;
    job.vote = vote;
    if (!views || !vote || !job.scores)
        status = mskpi_fail(err, MSKP_NO_MEMORY, "%s while scoring %zu units",
                            mskp_status_text(MSKP_NO_MEMORY), units);
    if (!status) status = view_set(graph, job.how.roles, values, views, err);
    if (!status && job.how.reduce == MSKP_REDUCE_VOTE && count_votes(&job, vote))
        status = mskpi_fail(err, MSKP_NO_MEMORY, "%s while counting votes",
                            mskp_status_text(MSKP_NO_MEMORY));
    if (!status) {
        mskpi_parallel(&graph->host, (units + CHUNK - 1) / CHUNK, score_chunk, &job);
        for (uint32_t u = 0; !status && u < units; u++)
            if (isnan(job.scores[u])) status = blame(&job, u, err);
    }
    if (!status && units) memcpy(scores, job.scores, units * sizeof *scores);
    mskpi_free(&graph->host, views);
    mskpi_free(&graph->host, vote);
    mskpi_free(&graph->host, job.scores);
    return status;
}

mskp_status mskp_score_channels(const mskp_graph *graph, size_t n,
                                const mskp_channel_numbers *given, mskp_reduce reduce, size_t units,
                                double *scores, mskp_error *err)
{
    char room[NAME_ROOM];
    mskp_status status = mskpi_check_units(graph, units, err);
    if (status) return status;
    if ((n && !given) || !scores)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "given or scores is NULL");
    if ((unsigned)reduce > MSKP_REDUCE_MIN)
        return mskpi_fail(
            err, MSKP_BAD_ARGUMENT,
            "numbers of channels are reduced by SUM, MEAN, MAX or MIN (0 to %d), not %u",
            MSKP_REDUCE_MIN, (unsigned)reduce);
    for (size_t k = 0; k < n; k++) {
        const uint32_t id = given[k].value.id;
        if (!id || id > graph->nvalues)
            return mskpi_fail(err, MSKP_BAD_ARGUMENT, "no value has handle %u, there are %zu", id,
                              graph->nvalues);
        const char *name = mskpi_short(mskpi_value_name(graph, id), room);
        if (given[k].channels != graph->values[id].view.n)
            return mskpi_fail(err, MSKP_BAD_SHAPE, "%s: %zu numbers, the value has %zu channels",
                              name, given[k].channels, graph->values[id].view.n);
        if (!given[k].numbers)
            return mskpi_fail(err, MSKP_BAD_ARGUMENT, "%s: numbers is NULL", name);
        for (size_t i = 0; i < given[k].channels; i++)
            if (isnan(given[k].numbers[i]))
                return mskpi_fail(err, MSKP_BAD_NUMBER, "%s: the number of channel %zu is NaN",
                                  name, i);
    }
    size_t *seen = mskpi_alloc(&graph->host, units, sizeof *seen);
    if (!seen)
        return mskpi_fail(err, MSKP_NO_MEMORY, "%s while scoring %zu units",
                          mskp_status_text(MSKP_NO_MEMORY), units);
    for (size_t k = 0; k < n; k++) {
        size_t channels;
        const uint32_t *unit = mskp_value_units(graph, given[k].value, &channels);
        for (size_t i = 0; i < channels; i++) {
            const double x = given[k].numbers[i];
            if (unit[i] == MSKP_PINNED) continue;
            double *score = &scores[unit[i]];
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
    for (size_t u = 0; u < units; u++) {
        if (!seen[u])
            scores[u] = INFINITY;
        else if (reduce == MSKP_REDUCE_MEAN)
            scores[u] /= (double)seen[u];
    }
    mskpi_free(&graph->host, seen);
    return MSKP_OK;
}

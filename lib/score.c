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

/* Units in chunks, so that a host's threads get some work each. */
#define CHUNK 64

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
    for (size_t i = 0; i < v->shape[d]; i++, at += step)
        if (!s->skip[d] || s->skip[d][i] != s->unit) add_elements(s, at, d + 1);
}

/* Slices with neighbouring indices that skip nothing, side by side: each sum runs in its logical
 * order, and memory is read in stretches. */
typedef struct side_by_side {
    struct {
        size_t n;
        ptrdiff_t step; /* bytes */
    } loops[MSKP_MAX_DIMS + 1];
    uint32_t nloops; /* at least one */
    size_t n;        /* slices */
    ptrdiff_t next;  /* bytes to the next one */
    mskp_dtype dtype;
    int squared;
    double *sums;
} side_by_side;

/* The innermost loop, with constants for dtype and squared. */
static inline void add_stretch(const side_by_side *s, const char *at, mskp_dtype dtype, int squared)
{
    const size_t n = s->loops[s->nloops - 1].n;
    const ptrdiff_t step = s->loops[s->nloops - 1].step, next = s->next;
    const int across = (step < 0 ? -step : step) > (next < 0 ? -next : next);
    double *sums = s->sums;
    size_t k = 0;
    for (size_t i = 0; across && i < n; i++, at += step)
        for (size_t j = 0; j < s->n; j++) {
            const double x = mskpi_load(at + next * (ptrdiff_t)j, dtype);
            sums[j] += squared ? x * x : fabs(x);
        }
    for (; !across && k + 4 <= s->n; k += 4) { /* four at once, because a sum waits for itself */
        const char *from = at + next * (ptrdiff_t)k;
        double four[4] = {sums[k], sums[k + 1], sums[k + 2], sums[k + 3]};
        for (size_t i = 0; i < n; i++, from += step)
            for (ptrdiff_t j = 0; j < 4; j++) {
                const double x = mskpi_load(from + next * j, dtype);
                four[j] += squared ? x * x : fabs(x);
            }
        memcpy(sums + k, four, sizeof four);
    }
    for (; !across && k < s->n; k++) {
        const char *from = at + next * (ptrdiff_t)k;
        for (size_t i = 0; i < n; i++, from += step) {
            const double x = mskpi_load(from, dtype);
            sums[k] += squared ? x * x : fabs(x);
        }
    }
}

static void add_slices(const side_by_side *s, const char *at, uint32_t level)
{
    if (level + 1 < s->nloops) {
        for (size_t i = 0; i < s->loops[level].n; i++, at += s->loops[level].step)
            add_slices(s, at, level + 1);
    } else if (s->dtype == MSKP_F32 && s->squared) {
        add_stretch(s, at, MSKP_F32, 1);
    } else if (s->dtype == MSKP_F32) {
        add_stretch(s, at, MSKP_F32, 0);
    } else {
        add_stretch(s, at, s->dtype, s->squared);
    }
}

/* The axes but the fixed one, outermost first; those that make one run are one loop. */
static void make_loops(side_by_side *s, const tensor_view *v, uint32_t fixed)
{
    const ptrdiff_t element = (ptrdiff_t)v->element;
    s->next = v->stride[fixed] * element;
    s->loops[0].n = 1;
    s->nloops = 1;
    for (uint32_t d = 0; d < v->ndim; d++) {
        const ptrdiff_t step = v->stride[d] * element;
        if (d == fixed || v->shape[d] < 2) continue;
        if (s->loops[s->nloops - 1].n == 1) {
            s->nloops--;
        } else if (s->loops[s->nloops - 1].step == step * (ptrdiff_t)v->shape[d]) {
            s->loops[s->nloops - 1].n *= v->shape[d];
            s->loops[s->nloops - 1].step = step;
            continue;
        }
        s->loops[s->nloops].n = v->shape[d];
        s->loops[s->nloops++].step = step;
    }
}

/* Do a unit's channels stand in this list? Incidences ascend by list. */
static int stands_in(const unit_table *u, uint32_t unit, uint32_t list)
{
    size_t low = u->incidence_first[u->family[unit]];
    size_t high = u->incidence_first[u->family[unit] + 1];
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (u->incidences[middle].list == list) return 1;
        if (u->incidences[middle].list < list)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* sums[j] <- sum |w| or sum w^2 over the elements of the slice at m->index + j, which is one of unit
 * + j, that no earlier slice of this unit has. n units of one family. */
static void slice_sums(const scoring *job, const mskp_member *m, uint32_t unit, size_t n,
                       double *sums)
{
    const mskp_graph *g = job->graph;
    const graph_param *p = &g->params[m->param.id];
    const tensor_view *v = &job->views[m->param.id];
    const ptrdiff_t step = v->stride[m->axis] * (ptrdiff_t)v->element;
    const char *at = v->data + step * (ptrdiff_t)m->index;
    const int squared = job->how.norm == MSKP_NORM_L2;
    slice one = {.view = v, .ndim = p->ndim, .fixed = m->axis, .squared = squared};
    int crossing = 0;
    for (uint32_t d = 0; d < m->axis; d++) {
        const graph_axis *a = &g->axes[p->axis + d];
        if (a->list == NO_LIST || !(a->roles & job->how.roles)) continue;
        if (!stands_in(&g->u, unit, a->list)) continue;
        one.skip[d] = g->u.list_units + g->u.lists[a->list].first;
        crossing = 1;
    }
    if (!crossing) {
        side_by_side s = {.n = n, .dtype = v->dtype, .squared = squared, .sums = sums};
        for (size_t j = 0; j < n; j++) sums[j] = 0;
        make_loops(&s, v, m->axis);
        add_slices(&s, at, 0);
        return;
    }
    for (size_t j = 0; j < n; j++, at += step) {
        one.unit = unit + (uint32_t)j;
        one.sum = 0;
        add_elements(&one, at, 0);
        sums[j] = one.sum;
    }
}

static double slice_sum(const scoring *job, const mskp_member *m, uint32_t unit)
{
    double sum;
    slice_sums(job, m, unit, 1, &sum);
    return sum;
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

/* Are unit + j's slices those of unit, all j places further on? Units of a family have slices on the
 * same axes, in the same order. */
static int alike(const scoring *job, uint32_t unit, uint32_t j)
{
    size_t n;
    const mskp_member *a = mskp_unit_members(job->graph, unit, &n);
    const mskp_member *b = mskp_unit_members(job->graph, unit + j, &n);
    if (job->graph->u.family[unit] != job->graph->u.family[unit + j]) return 0;
    for (size_t k = 0; k < n; k++)
        if (a[k].index + j != b[k].index) return 0;
    return 1;
}

/* count units, each alike the first. */
static void score_units(const scoring *job, uint32_t unit, size_t count)
{
    size_t n, nslices = 0;
    const mskp_member *m = mskp_unit_members(job->graph, unit, &n);
    const mskp_reduce reduce = job->how.reduce;
    const int squared = job->how.norm == MSKP_NORM_L2;
    double all[CHUNK], sums[CHUNK];
    int nan[CHUNK] = {0};
    for (size_t j = 0; j < count; j++) all[j] = reduce == MSKP_REDUCE_MIN ? INFINITY : 0;
    for (size_t i = 0; i < n; i++) {
        if (!(m[i].roles & job->how.roles)) continue;
        nslices++;
        if (reduce == MSKP_REDUCE_VOTE) continue;
        slice_sums(job, &m[i], unit, count, sums);
        for (size_t j = 0; j < count; j++) {
            const double x = squared && reduce != MSKP_REDUCE_JOINT ? sqrt(sums[j]) : sums[j];
            nan[j] |= !isfinite(x);
            if (reduce == MSKP_REDUCE_MAX)
                all[j] = x > all[j] ? x : all[j];
            else if (reduce == MSKP_REDUCE_MIN)
                all[j] = x < all[j] ? x : all[j];
            else
                all[j] += x;
        }
    }
    for (size_t j = 0; j < count; j++) {
        const uint32_t u = unit + (uint32_t)j;
        if (!nslices)
            all[j] = INFINITY;
        else if (reduce == MSKP_REDUCE_MEAN)
            all[j] /= (double)nslices;
        else if (reduce == MSKP_REDUCE_JOINT && squared)
            all[j] = sqrt(all[j]);
        else if (reduce == MSKP_REDUCE_VOTE) {
            m = mskp_unit_members(job->graph, u, &n);
            all[j] = kth_norm(job, m, n, u, job->vote[job->graph->u.family[u]]);
            nan[j] = !isfinite(all[j]);
        }
        job->scores[u] = nan[j] || (nslices && !isfinite(all[j])) ? NAN : all[j];
    }
}

static void score_chunk(void *context, size_t chunk)
{
    const scoring *job = context;
    const size_t start = chunk * CHUNK, n = job->graph->u.n;
    const size_t end = start + CHUNK < n ? start + CHUNK : n;
    for (size_t u = start, count; u < end; u += count) {
        for (count = 1; u + count < end && alike(job, (uint32_t)u, (uint32_t)count);) count++;
        score_units(job, (uint32_t)u, count);
    }
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

/*
 * Scores of values, and of gradients, that are spread over ranks.
 *
 * The score of a unit is made of the sums over its slices (mskp_scoring). A sum of floating-point
 * numbers depends on their order, so the sum of a slice is never put together from parts: each
 * slice is summed by the library on one rank, and then these sums are put together, which is exact,
 * because each has one rank. Two graphs do this with public functions alone:
 *
 *   the graph of this rank   has the pieces that this rank sums up, and a unit of its own for each
 *                            slice of them, so that mskp_score gives the sum of each slice
 *   the graph of all sums    has the units of the network. In place of each axis with slices it has
 *                            a vector with one element per index, the magnitude of the slice, so
 *                            that mskp_score reduces them as it does in the network itself, votes
 *                            included, since units occur in the same lists
 *
 * A slice on axis 0 or 1 of a whole parameter, and the same slice of a range of this axis, have the
 * same sum, because the library adds the elements of such a slice in an order that depends on the
 * lengths of the other axes alone. So a parameter of which only slices on the axis of its ranges
 * are asked is summed up where its ranges are. Any other is sent to one rank. Where two slices of a
 * unit cross, the sum of a slice depends on the unit, so the parameter itself goes into the graph
 * of all sums, and to all ranks.
 *
 * Sums of squares come from mskp_score_taylor with the values as their own gradients. A vector of
 * magnitudes has the roots of such sums; the root of the rounded square of a number is the number,
 * so mskp_score gives them back as they are (S. Boldo, "Stupid is as Stupid Does: Taking the Square
 * Root of the Square of a Floating-Point Number", 2015). For a joint norm the sums themselves are
 * added up, and then the root is taken.
 *
 * Scores from gradients are sums over the slices of a unit, of w g, |w g| or (w g)^2, so the graph
 * of all sums has the sums of slices as values, and gradients of 1. Absolute values and squares of
 * a unit's sum come after the addition, so the slices have signed sums. Sums of squares are not
 * squared again, so what crosses goes into the graph of all sums as its products (product.c).
 */
#include "mskp/operators.h"
#include "shards.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The role of every axis in both graphs. */
#define ROLE MSKP_ROLE_FILTER

static bool is_joint_of_squares(const mskp_scoring *how)
{
    return how->magnitude == MSKP_MAGNITUDE_L2 && how->reduce == MSKP_REDUCE_JOINT;
}

/* ---- The graph of this rank ---- */

typedef struct here {
    mskp_graph *graph;
    mskp_tensor *view[MOST_SETS]; /* one per parameter of the graph */
    size_t params;
    size_t *index; /* [longest axis] */
    double *score; /* [slices] */
    size_t slices;
} here;

/* Binds indices first .. first+n-1 of an axis: a new channel for each that belongs to a unit, and
 * the channel `pinned` for the others. */
static void bind_slices(here *h, const uint32_t *unit, size_t n, mskp_value all, mskp_param param,
                        uint32_t axis, size_t pinned)
{
    for (size_t i = 0; i < n; i++) h->index[i] = unit[i] == MSKP_PINNED ? pinned : h->slices++;
    mskp_bind(h->graph, param, axis, ROLE, mskp_pick(h->graph, NULL, all, n, h->index));
}

/* Declares the range of a parameter that this rank sums up. */
static void declare_range(const sharding *s, const shard *p, uint32_t id, here *h, mskp_value all)
{
    char room[RANGE_NAME];
    size_t shape[MSKP_MAX_DIMS];
    const mskp_mpi_range range = p->summed;
    memcpy(shape, p->shape, sizeof shape);
    shape[range.axis] = range.count;
    const char *name = mskpmpi_range_name(s, id, range, room);
    const mskp_param param = mskp_parameter(h->graph, name, p->ndim, shape);
    for (uint32_t d = 0; d < p->ndim; d++)
        if (p->chosen & 1U << d)
            bind_slices(h, mskpmpi_units_of(s, id, d) + mskpmpi_first_of(range, d), shape[d], all,
                        param, d, s->slices);
    for (size_t k = 0; k < s->sets; k++)
        h->view[k][h->params] = p->buffer[k]
                                    ? (mskp_tensor){.data = p->buffer[k], .dtype = p->dtype[k]}
                                    : s->set[k].view[id - 1];
    h->params++;
}

static mskp_status open_here(const sharding *s, here *h, mskp_error *error)
{
    h->graph = mskp_graph_create(&s->mpi->services);
    h->view[0] = mskpmpi_get(s->mpi, MOST_SETS * s->params, sizeof *h->view[0]);
    h->index = mskpmpi_get(s->mpi, s->longest, sizeof *h->index);
    if (!h->graph || !h->view[0] || !h->index)
        return mskpmpi_no_memory(error, "parameters", s->params);
    h->view[1] = h->view[0] + s->params;
    const mskp_value all = mskp_fresh(h->graph, NULL, s->slices + 1, 0, NULL);
    mskp_pin(h->graph, mskp_pick(h->graph, NULL, all, 1, &s->slices));
    for (uint32_t id = 1; id <= s->params; id++)
        if (s->shard[id - 1].summed.count) declare_range(s, &s->shard[id - 1], id, h, all);
    const mskp_status status = mskp_graph_finish(h->graph, error);
    if (status) return status;
    h->score = mskpmpi_get(s->mpi, s->slices, sizeof *h->score);
    return h->score ? MSKP_OK : mskpmpi_no_memory(error, "slices", s->slices);
}

/* score[] <- of the slices that this rank sums up. Units of no slice score +infinity and are not
 * looked at. */
static mskp_status score_here(const sharding *s, const here *h, mskp_error *error)
{
    const mskp_tensors values = {h->params, h->view[0]}, gradients = {h->params, h->view[1]};
    const mskp_scores scores = {s->slices, h->score};
    const mskp_scoring plain = {.roles = ROLE};
    if (mskpmpi_has_gradients(s)) {
        const bool each =
            s->form == MSKP_TAYLOR_SUM_OF_ABSOLUTES || s->form == MSKP_TAYLOR_SUM_OF_SQUARES;
        return mskp_score_taylor(h->graph, each ? s->form : MSKP_TAYLOR_SUM, ROLE, values,
                                 gradients, scores, error);
    }
    if (s->how.magnitude == MSKP_MAGNITUDE_L2)
        return mskp_score_taylor(h->graph, MSKP_TAYLOR_SUM_OF_ABSOLUTES, ROLE, values, values,
                                 scores, error);
    return mskp_score(h->graph, &plain, values, scores, error);
}

/* sums[] <- of the slices that this rank sums up; all others stay 0. */
static mskp_status sum_here(const sharding *s, here *h, mskp_error *error)
{
    mskp_status status = score_here(s, h, error);
    size_t next = 0;
    for (uint32_t id = 1; !status && id <= s->params; id++) {
        const shard *p = &s->shard[id - 1];
        for (uint32_t d = 0; p->summed.count && d < p->ndim; d++) {
            if (!(p->chosen & 1U << d)) continue;
            const size_t first = mskpmpi_first_of(p->summed, d);
            const size_t n = mskpmpi_count_of(p, p->summed, d);
            const uint32_t *unit = mskpmpi_units_of(s, id, d);
            for (size_t i = first; i < first + n; i++)
                if (unit[i] != MSKP_PINNED) s->sums[p->first[d] + i] = h->score[next++];
        }
    }
    return status;
}

static void close_here(const sharding *s, here *h)
{
    mskp_graph_destroy(h->graph);
    mskpmpi_free(s->mpi, h->view[0]);
    mskpmpi_free(s->mpi, h->index);
    mskpmpi_free(s->mpi, h->score);
}

/* ---- The graph of all sums ---- */

typedef struct everywhere {
    mskp_graph *graph;
    mskp_tensor *view, *slope; /* values, and gradients where these are asked */
    size_t params;
    size_t *index;
    double *one; /* [longest] */
} everywhere;

/* The second set of a parameter that goes into the graph itself: its gradients; or the values, for
 * sums of squares. */
static mskp_tensor second_set(const shard *p)
{
    const size_t k = p->buffer[1] ? 1 : 0;
    return (mskp_tensor){.data = p->buffer[k], .dtype = p->dtype[k]};
}

/* A value whose channels belong to these units. */
static mskp_value list_of(everywhere *e, mskp_value all, size_t n, const uint32_t *unit,
                          size_t pinned)
{
    for (size_t i = 0; i < n; i++) e->index[i] = unit[i] == MSKP_PINNED ? pinned : unit[i];
    return mskp_pick(e->graph, NULL, all, n, e->index);
}

static void declare_sums(const sharding *s, uint32_t id, everywhere *e, mskp_value all)
{
    const shard *p = &s->shard[id - 1];
    char name[60];
    mskp_param param = {0};
    if (p->crosses) {
        param = mskp_parameter(e->graph, mskp_param_name(s->graph, (mskp_param){id}), p->ndim,
                               p->shape);
        e->view[e->params] = (mskp_tensor){.data = p->buffer[0], .dtype = p->dtype[0]};
        e->slope[e->params++] = second_set(p);
    }
    for (uint32_t d = 0; d < p->ndim; d++) {
        size_t n;
        const uint32_t *unit = mskp_param_units(s->graph, (mskp_param){id}, d, NULL, &n);
        if (!unit || !n) continue;
        const bool chosen = p->chosen & 1U << d;
        if (!chosen && s->how.reduce != MSKP_REDUCE_VOTE) continue; /* families count for votes */
        const mskp_value list = list_of(e, all, n, unit, s->units);
        if (chosen && p->crosses) mskp_bind(e->graph, param, d, ROLE, list);
        if (!chosen || p->crosses) continue;
        (void)snprintf(name, sizeof name, "sums#%" PRIu32 ".%" PRIu32, id, d);
        mskp_bind(e->graph, mskp_parameter(e->graph, name, 1, &n), 0, ROLE, list);
        e->view[e->params] = (mskp_tensor){.data = s->sums + p->first[d], .dtype = MSKP_DTYPE_F64};
        e->slope[e->params++] = (mskp_tensor){.data = e->one, .dtype = MSKP_DTYPE_F64};
    }
}

static mskp_status open_everywhere(const sharding *s, everywhere *e, mskp_error *error)
{
    const size_t vectors = s->params * MSKP_MAX_DIMS, values = mskp_graph_counts(s->graph).values;
    e->graph = mskp_graph_create(&s->mpi->services);
    e->view = mskpmpi_get(s->mpi, vectors, sizeof *e->view);
    e->slope = mskpmpi_get(s->mpi, vectors, sizeof *e->slope);
    e->index = mskpmpi_get(s->mpi, s->longest, sizeof *e->index);
    e->one = mskpmpi_get(s->mpi, s->longest, sizeof *e->one);
    if (!e->graph || !e->view || !e->slope || !e->index || !e->one)
        return mskpmpi_no_memory(error, "parameters", s->params);
    for (size_t i = 0; i < s->longest; i++) e->one[i] = 1;
    const mskp_value all = mskp_fresh(e->graph, NULL, s->units + 1, 0, NULL);
    mskp_pin(e->graph, mskp_pick(e->graph, NULL, all, 1, &s->units));
    for (uint32_t id = 1; id <= s->params; id++) declare_sums(s, id, e, all);
    for (uint32_t id = 1; s->how.reduce == MSKP_REDUCE_VOTE && id <= values; id++) {
        size_t n;
        const uint32_t *unit = mskp_value_units(s->graph, (mskp_value){id}, &n);
        if (unit && n) list_of(e, all, n, unit, s->units);
    }
    return mskp_graph_finish(e->graph, error);
}

/* scores <- the sums of slices, reduced as the scoring says. */
static mskp_status reduce_everywhere(const sharding *s, const everywhere *e, mskp_scores scores,
                                     mskp_error *error)
{
    const mskp_tensors values = {e->params, e->view}, slopes = {e->params, e->slope};
    mskp_scoring how = s->how;
    mskp_status status;
    how.roles = ROLE;
    if (mskpmpi_has_gradients(s)) { /* what is squared is so already, or is its own gradient */
        const bool squares = s->form == MSKP_TAYLOR_SUM_OF_SQUARES;
        return mskp_score_taylor(e->graph, squares ? MSKP_TAYLOR_SUM_OF_ABSOLUTES : s->form, ROLE,
                                 values, slopes, scores, error);
    }
    if (is_joint_of_squares(&how)) {
        status = mskp_score_taylor(e->graph, MSKP_TAYLOR_SUM_OF_ABSOLUTES, ROLE, values, slopes,
                                   scores, error);
        for (size_t u = 0; !status && u < scores.n; u++) scores.unit[u] = sqrt(scores.unit[u]);
        return status;
    }
    for (size_t i = 0; how.magnitude == MSKP_MAGNITUDE_L2 && i < s->nsums; i++)
        s->sums[i] = sqrt(s->sums[i]);
    return mskp_score(e->graph, &how, values, scores, error);
}

static void close_everywhere(const sharding *s, everywhere *e)
{
    mskp_graph_destroy(e->graph);
    mskpmpi_free(s->mpi, e->view);
    mskpmpi_free(s->mpi, e->slope);
    mskpmpi_free(s->mpi, e->index);
    mskpmpi_free(s->mpi, e->one);
}

/* ---- mskp_mpi_score, mskp_mpi_score_spread ---- */

/* What a call makes before it writes anything of the caller's. */
typedef struct scored {
    mskp_scores scores; /* the caller's */
    mskp_mask here;     /* the caller's, if scores are spread */
    bool spread;
    double *made; /* [units] */
    int *owner;   /* [units] if scores are spread */
} scored;

static mskp_status check_scoring(const sharding *s, mskp_error *error)
{
    const mskp_scoring *how = &s->how;
    if ((unsigned)how->magnitude > MSKP_MAGNITUDE_L2 || (unsigned)how->reduce > MSKP_REDUCE_PRODUCT)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT,
                            "scoring: magnitude is %u, reduce is %u, the last are %d and %d",
                            (unsigned)how->magnitude, (unsigned)how->reduce, MSKP_MAGNITUDE_L2,
                            MSKP_REDUCE_PRODUCT);
    if (how->roles & ~(uint32_t)MSKP_ROLES_UNIT)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "scoring: roles are %u, not of %u",
                            how->roles, (unsigned)MSKP_ROLES_UNIT);
    if ((unsigned)s->form > MSKP_TAYLOR_SUM)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "scoring: form is %u, the last is %d",
                            (unsigned)s->form, MSKP_TAYLOR_SUM);
    if (!mskpmpi_has_gradients(s) && s->form)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT,
                            "scoring: form is %u, and there are no gradients", (unsigned)s->form);
    if (mskpmpi_has_gradients(s) && (how->magnitude || how->reduce || how->vote_threshold != 0))
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT,
                            "scoring: magnitude is %u, reduce is %u, vote_threshold is %g, with "
                            "gradients they are 0",
                            (unsigned)how->magnitude, (unsigned)how->reduce, how->vote_threshold);
    return MSKP_OK;
}

/* What this rank can find wrong by itself. */
static mskp_status check_call(const sharding *s, const scored *out, mskp_error *error)
{
    static const char *const names[MOST_SETS] = {"pieces", "gradients"};
    mskp_status status = mskpmpi_check_graph(s->graph, error);
    if (!status) status = mskpmpi_check_scores(s->graph, out->scores, error);
    if (!status && out->spread) status = mskpmpi_check_mask(s->graph, "here", out->here, error);
    if (!status && out->spread)
        status = mskpmpi_check_apart(mskpmpi_scores_array(out->scores),
                                     mskpmpi_mask_array("here", out->here), error);
    for (size_t k = 0; !status && k < s->sets; k++)
        status = mskpmpi_check_set(s->graph, names[k], s->set[k], error);
    return status ? status : check_scoring(s, error);
}

/* made <- what a batch is added to: the caller's scores of the units that become this rank's. */
static void begin_scores(const sharding *s, const scored *out)
{
    for (size_t u = 0; mskpmpi_has_gradients(s) && u < out->scores.n; u++)
        if (!out->spread || out->owner[u] == s->mpi->rank) out->made[u] = out->scores.unit[u];
}

static mskp_status score(sharding *s, here *h, everywhere *e, const scored *out, mskp_error *error)
{
    mskp_mpi *mpi = s->mpi;
    mskp_status status = mskpmpi_shards_place(s, error);
    if (!status) status = mskpmpi_shards_move(s, error);
    if (status) return status;
    mskp_status local = open_here(s, h, error);
    if (!local) local = mskpmpi_multiply(s, error);
    if (!local) local = open_everywhere(s, e, error);
    if (!local) local = sum_here(s, h, error);
    status = mskpmpi_agree(mpi, local, error);
    if (status) return status;
    if (out->spread) mskpmpi_find_owners(s, out->owner);
    if (out->spread && s->how.reduce != MSKP_REDUCE_VOTE)
        status = mskpmpi_send_sums(s, out->owner, error);
    else
        status = mskpmpi_reduce(mpi, s->nsums, s->sums, MPI_UINT64_T, MPI_BOR, error);
    if (status) return status;
    begin_scores(s, out);
    local = reduce_everywhere(s, e, (mskp_scores){out->scores.n, out->made}, error);
    status = mskpmpi_agree(mpi, local, error);
    for (size_t u = 0; !status && u < out->scores.n; u++) {
        const bool mine = !out->spread || out->owner[u] == mpi->rank;
        if (mine) out->scores.unit[u] = out->made[u];
        if (out->spread) out->here.unit[u] = mine;
    }
    return status;
}

/* All ranks begin the call; their options have to be the same. */
static mskp_status enter(const sharding *s, const scored *out, mskp_status status,
                         mskp_error *error)
{
    const mskp_scoring *how = &s->how;
    const call_field network = {"the network's fingerprint is", FIELD_COUNT,
                                MSKP_ERROR_OTHER_NETWORK, status ? 0 : mskp_fingerprint(s->graph)};
    const call_field roles = {"scoring: roles are", FIELD_COUNT, MSKP_ERROR_BAD_ARGUMENT,
                              how->roles};
    const call_field slices = {"the number of slices in these roles is", FIELD_COUNT,
                               MSKP_ERROR_OTHER_NETWORK, s->nsums};
    if (mskpmpi_has_gradients(s)) {
        const bool all = !status && !out->spread; /* a rank may have its own numbers otherwise */
        const size_t bytes = all ? out->scores.n * sizeof *out->scores.unit : 0;
        const call_field field[] = {
            network,
            {"scoring: form is", FIELD_COUNT, MSKP_ERROR_BAD_ARGUMENT, (uint64_t)s->form},
            roles,
            {"the scores to which numbers are added", FIELD_HASH, MSKP_ERROR_BAD_NUMBER,
             mskpmpi_hash(HASH_START, out->scores.unit, bytes)},
            slices};
        return mskpmpi_enter(s->mpi,
                             out->spread ? CALL_SCORE_SPREAD_GRADIENTS : CALL_SCORE_GRADIENTS, 5,
                             field, status, error);
    }
    const call_field field[] = {
        network,
        {"scoring: magnitude is", FIELD_COUNT, MSKP_ERROR_BAD_ARGUMENT, (uint64_t)how->magnitude},
        {"scoring: reduce is", FIELD_COUNT, MSKP_ERROR_BAD_ARGUMENT, (uint64_t)how->reduce},
        roles,
        {"scoring: vote_threshold is", FIELD_REAL, MSKP_ERROR_BAD_ARGUMENT,
         mskpmpi_bits(how->vote_threshold)},
        slices};
    return mskpmpi_enter(s->mpi, out->spread ? CALL_SCORE_SPREAD : CALL_SCORE, 6, field, status,
                         error);
}

static mskp_status score_call(sharding *s, const mskp_mpi_scoring *scoring, scored *out,
                              mskp_error *err)
{
    mskp_error error = {0};
    mskp_mpi *mpi = s->mpi;
    here h = {0};
    everywhere e = {0};
    mskp_status status = mskpmpi_check_open(mpi, err);
    if (status) return status;
    s->sets = 1;
    if (scoring) {
        s->how = scoring->values;
        s->form = scoring->form;
        s->set[1] = scoring->gradients;
        s->sets += scoring->gradients.n || scoring->gradients.view;
    }
    if (!s->how.roles) s->how.roles = MSKP_ROLE_SCALE;
    status = check_call(s, out, &error);
    if (!status) status = mskpmpi_shards_open(s, &error);
    if (!status) {
        out->made = mskpmpi_get(mpi, out->scores.n, sizeof *out->made);
        if (out->spread) out->owner = mskpmpi_get(mpi, out->scores.n, sizeof *out->owner);
        if (!out->made || (out->spread && !out->owner))
            status = mskpmpi_no_memory(&error, "units", out->scores.n);
    }
    status = enter(s, out, status, &error);
    if (!status) status = score(s, &h, &e, out, &error);
    close_here(s, &h);
    close_everywhere(s, &e);
    mskpmpi_shards_close(s);
    mskpmpi_free(mpi, out->made);
    mskpmpi_free(mpi, out->owner);
    return mskpmpi_return(status, &error, err);
}

mskp_status mskp_mpi_score(mskp_mpi *mpi, const mskp_graph *graph, const mskp_mpi_scoring *scoring,
                           const mskp_mpi_range *ranges, mskp_tensors pieces, mskp_scores scores,
                           mskp_error *err)
{
    sharding s = {.mpi = mpi, .graph = graph, .ranges = ranges, .set = {pieces}};
    scored out = {.scores = scores};
    return score_call(&s, scoring, &out, err);
}

mskp_status mskp_mpi_score_spread(mskp_mpi *mpi, const mskp_graph *graph,
                                  const mskp_mpi_scoring *scoring, const mskp_mpi_range *ranges,
                                  mskp_tensors pieces, mskp_mpi_spread spread, mskp_error *err)
{
    sharding s = {.mpi = mpi, .graph = graph, .ranges = ranges, .set = {pieces}};
    scored out = {.scores = spread.scores, .here = spread.here, .spread = true};
    return score_call(&s, scoring, &out, err);
}

/*
 * Scores of values that are spread over ranks.
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
 * A slice of a whole parameter and the same slice of some of its rows have the same sum if the
 * slice is a row, because the library adds the elements of a slice in an order that depends on the
 * lengths of the other axes alone. So a parameter of which only slices on axis 0 are asked is
 * summed up where its rows are. Any other is sent to one rank. Where two slices of a unit cross,
 * the sum of a slice depends on the unit, so the parameter itself goes into the graph of all sums,
 * and to all ranks.
 *
 * Sums of squares come from mskp_score_taylor with the values as their own gradients. A vector of
 * magnitudes has the roots of such sums; the root of the rounded square of a number is the number,
 * so mskp_score gives them back as they are (S. Boldo, "Stupid is as Stupid Does: Taking the Square
 * Root of the Square of a Floating-Point Number", 2015). For a joint norm the sums themselves are
 * added up, and then the root is taken.
 */
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
    mskp_tensor *view; /* one per parameter of the graph */
    size_t params;
    size_t *index; /* [longest axis] */
    double *score; /* [slices] */
    size_t slices;
} here;

/* The unit of each index of an axis of the network. */
static const uint32_t *units_of(const sharding *s, uint32_t id, uint32_t axis)
{
    return mskp_param_units(s->graph, (mskp_param){id}, axis, NULL, NULL);
}

/* Binds indices first .. first+n-1 of an axis: a new channel for each that belongs to a unit, and
 * the channel `pinned` for the others. */
static void bind_slices(here *h, const uint32_t *unit, size_t n, mskp_value all, mskp_param param,
                        uint32_t axis, size_t pinned)
{
    for (size_t i = 0; i < n; i++) h->index[i] = unit[i] == MSKP_PINNED ? pinned : h->slices++;
    mskp_bind(h->graph, param, axis, ROLE, mskp_pick(h->graph, NULL, all, n, h->index));
}

/* Declares the rows of a parameter that this rank sums up. */
static void declare_rows(const sharding *s, const shard *p, uint32_t id, here *h, mskp_value all)
{
    char room[ROWS_NAME];
    size_t shape[MSKP_MAX_DIMS];
    const mskp_mpi_rows rows = p->summed;
    memcpy(shape, p->shape, sizeof shape);
    shape[0] = rows.count;
    const char *name = mskpmpi_rows_name(s, id, rows, room);
    const mskp_param param = mskp_parameter(h->graph, name, p->ndim, shape);
    for (uint32_t d = 0; d < p->ndim; d++)
        if (p->chosen & 1U << d)
            bind_slices(h, units_of(s, id, d) + (d ? 0 : rows.first), shape[d], all, param, d,
                        s->slices);
    h->view[h->params++] =
        p->buffer ? (mskp_tensor){.data = p->buffer, .dtype = p->dtype} : s->pieces.view[id - 1];
}

static mskp_status open_here(const sharding *s, here *h, mskp_error *error)
{
    h->graph = mskp_graph_create(&s->mpi->services);
    h->view = mskpmpi_get(s->mpi, s->params, sizeof *h->view);
    h->index = mskpmpi_get(s->mpi, s->longest, sizeof *h->index);
    if (!h->graph || !h->view || !h->index)
        return mskpmpi_no_memory(error, "parameters", s->params);
    const mskp_value all = mskp_fresh(h->graph, NULL, s->slices + 1, 0, NULL);
    mskp_pin(h->graph, mskp_pick(h->graph, NULL, all, 1, &s->slices));
    for (uint32_t id = 1; id <= s->params; id++)
        if (s->shard[id - 1].summed.count) declare_rows(s, &s->shard[id - 1], id, h, all);
    const mskp_status status = mskp_graph_finish(h->graph, error);
    if (status) return status;
    h->score = mskpmpi_get(s->mpi, s->slices, sizeof *h->score);
    return h->score ? MSKP_OK : mskpmpi_no_memory(error, "slices", s->slices);
}

/* sums[] <- of the slices that this rank sums up; all others stay 0. */
static mskp_status sum_here(const sharding *s, here *h, mskp_error *error)
{
    const mskp_tensors set = {h->params, h->view};
    const mskp_scores scores = {s->slices, h->score};
    const mskp_scoring plain = {.roles = ROLE};
    /* Units of no slice score +infinity and are not looked at. */
    mskp_status status = s->how.magnitude == MSKP_MAGNITUDE_L2
                             ? mskp_score_taylor(h->graph, MSKP_TAYLOR_SUM_OF_ABSOLUTES, ROLE, set,
                                                 set, scores, error)
                             : mskp_score(h->graph, &plain, set, scores, error);
    size_t next = 0;
    for (uint32_t id = 1; !status && id <= s->params; id++) {
        const shard *p = &s->shard[id - 1];
        for (uint32_t d = 0; p->summed.count && d < p->ndim; d++) {
            if (!(p->chosen & 1U << d)) continue;
            const size_t first = d ? 0 : p->summed.first, n = d ? p->shape[d] : p->summed.count;
            const uint32_t *unit = units_of(s, id, d);
            for (size_t i = first; i < first + n; i++)
                if (unit[i] != MSKP_PINNED) s->sums[p->first[d] + i] = h->score[next++];
        }
    }
    return status;
}

static void close_here(const sharding *s, here *h)
{
    mskp_graph_destroy(h->graph);
    mskpmpi_free(s->mpi, h->view);
    mskpmpi_free(s->mpi, h->index);
    mskpmpi_free(s->mpi, h->score);
}

/* ---- The graph of all sums ---- */

typedef struct everywhere {
    mskp_graph *graph;
    mskp_tensor *view, *ones; /* values, and gradients for the sums of squares */
    size_t params;
    size_t *index;
    double *one; /* [longest] */
} everywhere;

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
        e->view[e->params] = (mskp_tensor){.data = p->buffer, .dtype = p->dtype};
        e->ones[e->params] = e->view[e->params];
        e->params++;
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
        e->ones[e->params++] = (mskp_tensor){.data = e->one, .dtype = MSKP_DTYPE_F64};
    }
}

static mskp_status open_everywhere(const sharding *s, everywhere *e, mskp_error *error)
{
    const size_t vectors = s->params * MSKP_MAX_DIMS, values = mskp_graph_counts(s->graph).values;
    e->graph = mskp_graph_create(&s->mpi->services);
    e->view = mskpmpi_get(s->mpi, vectors, sizeof *e->view);
    e->ones = mskpmpi_get(s->mpi, vectors, sizeof *e->ones);
    e->index = mskpmpi_get(s->mpi, s->longest, sizeof *e->index);
    e->one = mskpmpi_get(s->mpi, s->longest, sizeof *e->one);
    if (!e->graph || !e->view || !e->ones || !e->index || !e->one)
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
    const mskp_tensors values = {e->params, e->view}, ones = {e->params, e->ones};
    mskp_scoring how = s->how;
    mskp_status status;
    how.roles = ROLE;
    if (is_joint_of_squares(&how)) {
        status = mskp_score_taylor(e->graph, MSKP_TAYLOR_SUM_OF_ABSOLUTES, ROLE, values, ones,
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
    mskpmpi_free(s->mpi, e->ones);
    mskpmpi_free(s->mpi, e->index);
    mskpmpi_free(s->mpi, e->one);
}

/* ---- scores that are spread over ranks ---- */

/* owner[u] <- the rank that gets unit u: the one that makes the first of its sums. */
static void find_owners(const sharding *s, int *owner)
{
    for (size_t u = 0; u < s->units; u++) owner[u] = -1;
    for (uint32_t id = 1; id <= s->params; id++) {
        const shard *p = &s->shard[id - 1];
        for (uint32_t d = 0; !p->crosses && d < p->ndim; d++) {
            if (!(p->chosen & 1U << d)) continue;
            const uint32_t *unit = units_of(s, id, d);
            for (size_t i = 0; i < p->shape[d]; i++)
                if (unit[i] != MSKP_PINNED && owner[unit[i]] < 0)
                    owner[unit[i]] = s->maker[p->first[d] + i];
        }
    }
    for (size_t u = 0; u < s->units; u++)
        if (owner[u] < 0) owner[u] = 0;
}

/* Goes through the sums that some rank makes for another one, in the same order on all ranks. What
 * is done with those that this rank sends and gets: */
typedef enum sums_pass { COUNT_SUMS, PACK_SUMS, UNPACK_SUMS } sums_pass;

static void pass_sums(const sharding *s, const int *owner, sums_pass what, exchange *x, double *out)
{
    const int me = s->mpi->rank;
    for (uint32_t id = 1; id <= s->params; id++) {
        const shard *p = &s->shard[id - 1];
        for (uint32_t d = 0; !p->crosses && d < p->ndim; d++) {
            if (!(p->chosen & 1U << d)) continue;
            const uint32_t *unit = units_of(s, id, d);
            for (size_t i = 0; i < p->shape[d]; i++) {
                const int from = s->maker[p->first[d] + i];
                const int to = unit[i] == MSKP_PINNED ? from : owner[unit[i]];
                double *sum = &s->sums[p->first[d] + i];
                if (from == to) continue;
                if (what == COUNT_SUMS) {
                    x->to[to] += from == me;
                    x->from[from] += to == me;
                } else if (what == PACK_SUMS && from == me) {
                    out[x->to_start[to]++] = *sum;
                } else if (what == UNPACK_SUMS && to == me) {
                    *sum = out[x->from_start[from]++];
                }
            }
        }
    }
}

/* Collective: sums[] <- of all slices of the units of this rank; others may stay 0. */
static mskp_status send_sums(sharding *s, const int *owner, mskp_error *error)
{
    exchange x;
    double *out = NULL, *in = NULL;
    mskp_status status = mskpmpi_exchange_open(s->mpi, &x, error);
    if (!status) {
        pass_sums(s, owner, COUNT_SUMS, &x, NULL);
        status = mskpmpi_exchange_lay_out(s->mpi, &x, error);
    }
    if (!status) {
        out = mskpmpi_get(s->mpi, x.sent, sizeof *out);
        in = mskpmpi_get(s->mpi, x.got, sizeof *in);
        if (!out || !in) status = mskpmpi_no_memory(error, "slices", x.sent + x.got);
    }
    status = mskpmpi_agree(s->mpi, status, error);
    if (!status) {
        pass_sums(s, owner, PACK_SUMS, &x, out);
        status = mskpmpi_exchange_lay_out(s->mpi, &x, error); /* the starts once more */
    }
    if (!status) status = mskpmpi_exchange(s->mpi, &x, sizeof *out, out, in, error);
    if (!status) pass_sums(s, owner, UNPACK_SUMS, &x, in);
    mskpmpi_free(s->mpi, out);
    mskpmpi_free(s->mpi, in);
    mskpmpi_exchange_close(s->mpi, &x);
    return status;
}

/* ---- mskp_mpi_score, mskp_mpi_score_spread ---- */

static mskp_status check_scoring(const mskp_scoring *how, mskp_error *error)
{
    if ((unsigned)how->magnitude > MSKP_MAGNITUDE_L2 || (unsigned)how->reduce > MSKP_REDUCE_PRODUCT)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT,
                            "scoring: magnitude is %u, reduce is %u, the last are %d and %d",
                            (unsigned)how->magnitude, (unsigned)how->reduce, MSKP_MAGNITUDE_L2,
                            MSKP_REDUCE_PRODUCT);
    if (how->roles & ~(uint32_t)MSKP_ROLES_UNIT)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "scoring: roles are %u, not of %u",
                            how->roles, (unsigned)MSKP_ROLES_UNIT);
    return MSKP_OK;
}

/* What this rank can find wrong by itself. */
static mskp_status check_call(const mskp_graph *graph, const mskp_scoring *how, mskp_tensors pieces,
                              mskp_scores scores, mskp_error *error)
{
    const mskp_counts counts = mskp_graph_counts(graph);
    if (!graph || !mskp_fingerprint(graph))
        return mskpmpi_fail(error, MSKP_ERROR_BAD_STATE, "graph is NULL or not finished");
    if (scores.n != counts.units || (counts.units && !scores.unit))
        return mskpmpi_fail(error, MSKP_ERROR_OTHER_NETWORK, "scores have %zu units, not %zu",
                            scores.unit ? scores.n : 0, counts.units);
    if (pieces.n != counts.params || (counts.params && !pieces.view))
        return mskpmpi_fail(error, MSKP_ERROR_OTHER_NETWORK, "pieces have %zu views, not %zu",
                            pieces.view ? pieces.n : 0, counts.params);
    return check_scoring(how, error);
}

/* What a call makes before it writes anything of the caller's. */
typedef struct scored {
    mskp_scores scores; /* the caller's */
    mskp_mask here;     /* the caller's, if scores are spread */
    bool spread;
    double *made; /* [units] */
    int *owner;   /* [units] if scores are spread */
} scored;

static mskp_status score(sharding *s, here *h, everywhere *e, const scored *out, mskp_error *error)
{
    mskp_mpi *mpi = s->mpi;
    mskp_status status = mskpmpi_shards_place(s, error);
    if (!status) status = mskpmpi_shards_move(s, error);
    if (status) return status;
    mskp_status local = open_here(s, h, error);
    if (!local) local = open_everywhere(s, e, error);
    if (!local) local = sum_here(s, h, error);
    status = mskpmpi_agree(mpi, local, error);
    if (status) return status;
    if (out->spread) find_owners(s, out->owner);
    if (out->spread && s->how.reduce != MSKP_REDUCE_VOTE)
        status = send_sums(s, out->owner, error);
    else
        status = mskpmpi_reduce(mpi, s->nsums, s->sums, MPI_UINT64_T, MPI_BOR, error);
    if (status) return status;
    local = reduce_everywhere(s, e, (mskp_scores){out->scores.n, out->made}, error);
    status = mskpmpi_agree(mpi, local, error);
    for (size_t u = 0; !status && u < out->scores.n; u++) {
        const bool mine = !out->spread || out->owner[u] == mpi->rank;
        if (mine) out->scores.unit[u] = out->made[u];
        if (out->spread) out->here.unit[u] = mine;
    }
    return status;
}

static mskp_status score_call(sharding *s, call_id id, const mskp_scoring *scoring, scored *out,
                              mskp_error *err)
{
    mskp_error error = {0};
    mskp_mpi *mpi = s->mpi;
    here h = {0};
    everywhere e = {0};
    if (scoring) s->how = *scoring;
    if (!s->how.roles) s->how.roles = MSKP_ROLE_SCALE;
    mskp_status status = check_call(s->graph, &s->how, s->pieces, out->scores, &error);
    if (!status && out->spread &&
        (out->here.n != out->scores.n || (out->here.n && !out->here.unit)))
        status = mskpmpi_fail(&error, MSKP_ERROR_OTHER_NETWORK, "here has %zu units, not %zu",
                              out->here.unit ? out->here.n : 0, out->scores.n);
    if (!status) status = mskpmpi_shards_open(s, &error);
    if (!status) {
        out->made = mskpmpi_get(mpi, out->scores.n, sizeof *out->made);
        if (out->spread) out->owner = mskpmpi_get(mpi, out->scores.n, sizeof *out->owner);
        if (!out->made || (out->spread && !out->owner))
            status = mskpmpi_no_memory(&error, "units", out->scores.n);
    }
    const call_field field[] = {
        {"the network's fingerprint is", FIELD_COUNT, MSKP_ERROR_OTHER_NETWORK,
         status ? 0 : mskp_fingerprint(s->graph)},
        {"scoring: magnitude is", FIELD_COUNT, MSKP_ERROR_BAD_ARGUMENT, (uint64_t)s->how.magnitude},
        {"scoring: reduce is", FIELD_COUNT, MSKP_ERROR_BAD_ARGUMENT, (uint64_t)s->how.reduce},
        {"scoring: roles are", FIELD_COUNT, MSKP_ERROR_BAD_ARGUMENT, s->how.roles},
        {"scoring: vote_threshold is", FIELD_REAL, MSKP_ERROR_BAD_ARGUMENT,
         mskpmpi_bits(s->how.vote_threshold)},
        {"the number of slices in these roles is", FIELD_COUNT, MSKP_ERROR_OTHER_NETWORK,
         s->nsums}};
    status = mskpmpi_enter(mpi, id, 6, field, status, &error);
    if (!status) status = score(s, &h, &e, out, &error);
    close_here(s, &h);
    close_everywhere(s, &e);
    mskpmpi_shards_close(s);
    mskpmpi_free(mpi, out->made);
    mskpmpi_free(mpi, out->owner);
    return mskpmpi_return(status, &error, err);
}

mskp_status mskp_mpi_score(mskp_mpi *mpi, const mskp_graph *graph, const mskp_scoring *scoring,
                           const mskp_mpi_rows *rows, mskp_tensors pieces, mskp_scores scores,
                           mskp_error *err)
{
    sharding s = {.mpi = mpi, .graph = graph, .rows = rows, .pieces = pieces};
    scored out = {.scores = scores};
    if (mpi) return score_call(&s, CALL_SCORE, scoring, &out, err);
    mskp_error error = {0};
    mskpmpi_fail(&error, MSKP_ERROR_BAD_ARGUMENT, "mpi is NULL");
    return mskpmpi_return(error.status, &error, err);
}

mskp_status mskp_mpi_score_spread(mskp_mpi *mpi, const mskp_graph *graph,
                                  const mskp_scoring *scoring, const mskp_mpi_rows *rows,
                                  mskp_tensors pieces, mskp_mpi_spread spread, mskp_error *err)
{
    sharding s = {.mpi = mpi, .graph = graph, .rows = rows, .pieces = pieces};
    scored out = {.scores = spread.scores, .here = spread.here, .spread = true};
    if (mpi) return score_call(&s, CALL_SCORE_SPREAD, scoring, &out, err);
    mskp_error error = {0};
    mskpmpi_fail(&error, MSKP_ERROR_BAD_ARGUMENT, "mpi is NULL");
    return mskpmpi_return(error.status, &error, err);
}

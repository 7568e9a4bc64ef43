/*
 * Scores that are put together, and one mask on all ranks.
 *
 * A selection depends on the graph, the scores and the rule alone, and the same input gives the
 * same mask. So the ranks compare hashes of scores and rule, and each selects by itself: no unit is
 * sent. Ties are no matter of their own, because the order of units is that of one process.
 */
#include "internal.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- mskp_mpi_join ---- */

static mskp_status join(mskp_mpi *mpi, mskp_mask here, mskp_scores scores, int *owner,
                        uint64_t *bits, mskp_error *error)
{
    for (size_t u = 0; u < scores.n; u++) owner[u] = here.unit[u] ? mpi->rank : INT_MAX;
    mskp_status status = mskpmpi_reduce(mpi, scores.n, owner, MPI_INT, MPI_MIN, error);
    for (size_t u = 0; !status && u < scores.n; u++)
        if (owner[u] == INT_MAX) /* all ranks see it */
            return mskpmpi_fail(error, MSKP_ERROR_NO_DATA, "no rank has a score of unit %zu", u);
    for (size_t u = 0; !status && u < scores.n; u++)
        bits[u] = owner[u] == mpi->rank ? mskpmpi_bits(scores.unit[u]) : 0;
    if (!status) status = mskpmpi_reduce(mpi, scores.n, bits, MPI_UINT64_T, MPI_BOR, error);
    if (!status && scores.n) memcpy(scores.unit, bits, scores.n * sizeof *scores.unit);
    return status;
}

mskp_status mskp_mpi_join(mskp_mpi *mpi, const mskp_graph *graph, mskp_mask here,
                          mskp_scores scores, mskp_error *err)
{
    mskp_error error = {0};
    int *owner = NULL;
    uint64_t *bits = NULL;
    mskp_status status = mskpmpi_check_open(mpi, err);
    if (status) return status;
    status = mskpmpi_check_graph(graph, &error);
    if (!status) status = mskpmpi_check_scores(graph, scores, &error);
    if (!status) status = mskpmpi_check_mask(graph, "here", here, &error);
    if (!status)
        status = mskpmpi_check_apart(mskpmpi_scores_array(scores), mskpmpi_mask_array("here", here),
                                     &error);
    if (!status) {
        owner = mskpmpi_get(mpi, scores.n, sizeof *owner);
        bits = mskpmpi_get(mpi, scores.n, sizeof *bits);
        if (!owner || !bits) status = mskpmpi_no_memory(&error, "units", scores.n);
    }
    const call_field field = {"the network's fingerprint is", FIELD_COUNT, MSKP_ERROR_OTHER_NETWORK,
                              status ? 0 : mskp_fingerprint(graph)};
    status = mskpmpi_enter(mpi, CALL_JOIN, 1, &field, status, &error);
    if (!status) status = join(mpi, here, scores, owner, bits, &error);
    mskpmpi_free(mpi, owner);
    mskpmpi_free(mpi, bits);
    return mskpmpi_return(status, &error, err);
}

/* ---- mskp_mpi_select ---- */

static uint64_t hash_number(uint64_t hash, uint64_t number)
{
    return mskpmpi_hash(hash, &number, sizeof number);
}

static uint64_t hash_real(uint64_t hash, double x)
{
    return hash_number(hash, mskpmpi_bits(x));
}

static uint64_t hash_sizes(uint64_t hash, size_t n, const size_t *size)
{
    hash = hash_number(hash, size != NULL);
    for (size_t i = 0; size && i < n; i++) hash = hash_number(hash, size[i]);
    return hash;
}

static uint64_t hash_layer(uint64_t hash, const mskp_layer_cost *l)
{
    const size_t n = l->nout * (l->nin ? l->nin : 1);
    hash = hash_number(hash_number(hash, l->out.id), l->in.id);
    hash = hash_sizes(hash_number(hash, l->nout), l->nout, l->widths_out);
    hash = hash_sizes(hash_number(hash, l->nin), l->nin, l->widths_in);
    for (size_t i = 0; l->cost && i < n; i++) hash = hash_real(hash, l->cost[i]);
    return hash;
}

static uint64_t hash_budget(uint64_t hash, const mskp_graph *graph, const mskp_budget *b)
{
    const mskp_counts counts = mskp_graph_counts(graph);
    hash = hash_real(hash_number(hash, (uint64_t)b->kind), b->limit);
    if (b->kind == MSKP_BUDGET_BYTES || b->kind == MSKP_BUDGET_ACTIVATIONS)
        hash = hash_sizes(hash_number(hash, b->element_size),
                          b->kind == MSKP_BUDGET_BYTES ? counts.params : counts.values,
                          b->element_sizes);
    if (b->kind != MSKP_BUDGET_TABLE) return hash;
    hash = hash_number(hash, b->nlayers);
    for (size_t i = 0; b->layers && i < b->nlayers; i++) hash = hash_layer(hash, &b->layers[i]);
    return hash;
}

/* Of every field that a selection depends on, but for callbacks and names. */
uint64_t mskpmpi_hash_rule(const mskp_graph *graph, const mskp_rule *r)
{
    uint64_t hash = hash_number(HASH_START, r->use_threshold != 0);
    hash = hash_real(hash_real(hash, r->threshold), r->remove_family_fraction);
    hash = hash_real(hash_real(hash_real(hash, r->remove_fraction), r->max_macs), r->max_params);
    hash = hash_number(hash_number(hash, r->min_channels), r->round_to);
    hash = hash_number(hash_real(hash, r->max_family_fraction), r->empty_branches != 0);
    hash = hash_number(hash_number(hash_number(hash, r->locked.n), r->nfamilies), r->nbudgets);
    for (size_t u = 0; r->locked.unit && u < r->locked.n; u++)
        hash = hash_number(hash, r->locked.unit[u] != 0);
    for (size_t i = 0; r->families && i < r->nfamilies; i++) {
        const mskp_family_rule *f = &r->families[i];
        hash = hash_real(hash_real(hash, f->remove_fraction), f->max_fraction);
        hash = hash_number(hash_number(hash, f->min_channels), f->round_to);
        hash = hash_number(hash, f->locked != 0);
    }
    for (size_t i = 0; r->budgets && i < r->nbudgets; i++)
        hash = hash_budget(hash, graph, &r->budgets[i]);
    return hash;
}

static void read_scores(const void *context, size_t first, size_t n, void *packed)
{
    const mskp_scores *scores = context;
    memcpy(packed, scores->unit + first, n * sizeof *scores->unit);
}

static void name_score(const void *context, size_t i, size_t capacity, char *text)
{
    (void)context;
    (void)snprintf(text, capacity, "the score of unit %zu", i);
}

static void number_score(const void *context, const void *element, size_t capacity, char *text)
{
    double x;
    (void)context;
    memcpy(&x, element, sizeof x);
    (void)snprintf(text, capacity, "%.17g", x);
}

mskp_status mskpmpi_is_same(mskp_mpi *mpi, uint64_t hash, bool *same, mskp_error *error)
{
    uint64_t least[2] = {hash, ~hash};
    const mskp_status status = mskpmpi_reduce(mpi, 2, least, MPI_UINT64_T, MPI_MIN, error);
    *same = least[0] == ~least[1];
    return status;
}

static mskp_status compare_scores(mskp_mpi *mpi, mskp_scores scores, mskp_error *error)
{
    const uint64_t hash = mskpmpi_hash(HASH_START, scores.unit, scores.n * sizeof *scores.unit);
    const compared array = {.context = &scores,
                            .n = scores.n,
                            .size = sizeof *scores.unit,
                            .status = MSKP_ERROR_BAD_NUMBER,
                            .read = read_scores,
                            .name = name_score,
                            .number = number_score};
    bool same;
    const mskp_status status = mskpmpi_is_same(mpi, hash, &same, error);
    return status || same ? status : mskpmpi_differs(mpi, &array, hash, error);
}

mskp_status mskpmpi_masks_differ(mskp_error *error)
{
    return mskpmpi_fail(error, MSKP_ERROR_BAD_STATE,
                        "masks differ between ranks, though scores and rules are the same: a "
                        "callback of a budget returns other numbers, or the libraries differ");
}

mskp_status mskpmpi_check_selection(const mskp_graph *graph, mskp_scores scores,
                                    const mskp_rule *rule, mskp_mask keep, mskp_error *error)
{
    const call_array written = mskpmpi_mask_array("keep", keep);
    mskp_status status = mskpmpi_check_graph(graph, error);
    if (!status) status = mskpmpi_check_scores(graph, scores, error);
    if (!status && !rule) status = mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "rule is NULL");
    if (!status && (rule->locked.n || rule->locked.unit))
        status = mskpmpi_check_mask(graph, "rule: locked", rule->locked, error);
    if (!status) status = mskpmpi_check_mask(graph, "keep", keep, error);
    if (!status) status = mskpmpi_check_apart(written, mskpmpi_scores_array(scores), error);
    if (status) return status;
    return mskpmpi_check_apart(written, mskpmpi_mask_array("locked", rule->locked), error);
}

/* What mskp_select gives on this rank. It is the caller's only if all ranks have the same. */
typedef struct outcome {
    mskp_mask keep;
    mskp_selection selection;
    bool unsolved; /* NO_SOLUTION, which also describes the end of the walk */
} outcome;

static mskp_status select_here(mskp_mpi *mpi, const mskp_graph *graph, mskp_scores scores,
                               const mskp_rule *rule, outcome *o, mskp_error *error)
{
    mskp_status status = mskp_select(graph, scores, rule, o->keep, &o->selection, error);
    bool same = true;
    o->unsolved = status == MSKP_ERROR_NO_SOLUTION;
    status = mskpmpi_agree(mpi, status, error);
    o->unsolved = o->unsolved && status == MSKP_ERROR_NO_SOLUTION;
    if (status) return status;
    status = mskpmpi_is_same(mpi, mskpmpi_hash(HASH_START, o->keep.unit, o->keep.n), &same, error);
    if (status || same) return status;
    return mskpmpi_masks_differ(error);
}

mskp_status mskp_mpi_select(mskp_mpi *mpi, const mskp_graph *graph, mskp_scores scores,
                            const mskp_rule *rule, mskp_mask keep, mskp_selection *selection,
                            mskp_error *err)
{
    mskp_error error = {0};
    outcome o = {0};
    mskp_status status = mskpmpi_check_open(mpi, err);
    if (status) return status;
    status = mskpmpi_check_selection(graph, scores, rule, keep, &error);
    o.keep.n = scores.n;
    if (!status && !(o.keep.unit = mskpmpi_get(mpi, scores.n, 1)))
        status = mskpmpi_no_memory(&error, "units", scores.n);
    const call_field field[] = {{"the network's fingerprint is", FIELD_COUNT,
                                 MSKP_ERROR_OTHER_NETWORK, status ? 0 : mskp_fingerprint(graph)},
                                {"fields of the rule", FIELD_HASH, MSKP_ERROR_BAD_ARGUMENT,
                                 status ? 0 : mskpmpi_hash_rule(graph, rule)}};
    status = mskpmpi_enter(mpi, CALL_SELECT, 2, field, status, &error);
    if (!status) status = compare_scores(mpi, scores, &error);
    if (!status) status = select_here(mpi, graph, scores, rule, &o, &error);
    if (!status && keep.n) memcpy(keep.unit, o.keep.unit, keep.n);
    if ((!status || o.unsolved) && selection) *selection = o.selection;
    mskpmpi_free(mpi, o.keep.unit);
    return mskpmpi_return(status, &error, err);
}

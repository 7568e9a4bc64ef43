/*
 * The mask of a selection among units whose scores are spread over ranks: who has which unit, how
 * many of each family go (spread.c), and then which.
 *
 * A unit counts on the lowest rank that has it, so each rank asks which units lower ranks have: one
 * bit for each unit, and another to see that every unit is on some rank. A family loses its first
 * units up to some place in the order. Mostly this place is known already: the end of a bucket, or
 * a unit of a bucket that was sent. Otherwise it lies in a bucket of which only numbers are known.
 * Then the family's part of the bucket is split until few units are left, and these are sent. Last,
 * each rank marks its own units that go, one bit for each unit.
 */
#include "spread.h"

#include <limits.h>
#include <math.h>
#include <string.h>

/* ---- who has what ---- */

static bool bit(const unsigned char *bits, size_t i)
{
    return bits[i / CHAR_BIT] >> i % CHAR_BIT & 1;
}

static void set_bit(unsigned char *bits, size_t i)
{
    bits[i / CHAR_BIT] |= (unsigned char)(1U << i % CHAR_BIT);
}

static size_t bytes_of(size_t bits)
{
    return bits / CHAR_BIT + 1;
}

/* mine <- the units of this rank that can go: those that no lower rank has. */
static void take_mine(spreading *s, mskp_mpi_spread spread, const unsigned char *lower)
{
    ordering *o = &s->order;
    for (uint32_t u = 0; u < o->units; u++)
        if (spread.here.unit[u] && !bit(lower, u) && isfinite(spread.scores.unit[u]) &&
            !(s->rule->locked.unit && s->rule->locked.unit[u]))
            o->mine[o->nmine++] = (place){mskpmpi_key_of(spread.scores.unit[u]), u, o->family[u]};
}

/* Collective: every unit is on one rank now. bits: room for two of each unit. */
static mskp_status find_mine(spreading *s, mskp_mpi_spread spread, unsigned char *bits,
                             mskp_error *error)
{
    ordering *o = &s->order;
    const size_t bytes = bytes_of(o->units);
    unsigned char *lower = bits + bytes;
    for (size_t u = 0; u < o->units; u++)
        if (spread.here.unit[u]) set_bit(bits, u);
    mskp_status status = mskpmpi_below(o->mpi, bytes, bits, lower, MPI_UINT8_T, MPI_BOR, error);
    if (!status) status = mskpmpi_reduce(o->mpi, bytes, bits, MPI_UINT8_T, MPI_BOR, error);
    for (size_t u = 0; !status && u < o->units; u++)
        if (!bit(bits, u)) /* all ranks see it */
            return mskpmpi_fail(error, MSKP_ERROR_NO_DATA, "no rank has a score of unit %zu", u);
    if (status) return status;
    take_mine(s, spread, lower);
    return mskpmpi_agree(o->mpi, mskpmpi_order_open(o, error), error);
}

/* bucket <- one with all units that can go, or two: those that the threshold names, and others. */
static mskp_status first_buckets(spreading *s, mskp_error *error)
{
    ordering *o = &s->order;
    const bool two = s->rule->use_threshold;
    const uint64_t key = two ? mskpmpi_key_of(s->rule->threshold) : 0;
    span whole = {{0, UINT64_MAX}, {0, UINT32_MAX}}, spans[2] = {whole, whole};
    uint32_t *counts = mskpmpi_get(o->mpi, 2 * o->families, sizeof *counts);
    mskp_status status = MSKP_OK;
    if (two) spans[0].key[1] = key, spans[1].key[0] = key + 1; /* no number has the last key */
    s->bucket = mskpmpi_get(o->mpi, 2, sizeof *s->bucket);
    if (!counts || !s->bucket) status = mskpmpi_no_memory(error, "families", o->families);
    for (size_t i = 0; !status && i < 1 + (size_t)two; i++) {
        bucket *b = &s->bucket[s->nbuckets++];
        b->span = spans[i];
        b->part = mskpmpi_get(o->mpi, o->families, sizeof *b->part);
        if (!b->part) status = mskpmpi_no_memory(error, "families", o->families);
        for (uint32_t f = 0; !status && f < o->families; f++)
            counts[2 * f + i] = (uint32_t)mskpmpi_mine_in(o, f, &b->span);
    }
    status = mskpmpi_agree(o->mpi, status, error);
    if (!status)
        status = mskpmpi_reduce(o->mpi, 2 * o->families, counts, MPI_UINT32_T, MPI_SUM, error);
    for (uint32_t f = 0; !status && f < o->families; f++)
        for (size_t i = 0; i < s->nbuckets; i++) {
            bucket *b = &s->bucket[i];
            if (!counts[2 * f + i]) continue;
            b->part[b->nparts++] = (part){f, counts[2 * f + i]};
            b->units += counts[2 * f + i];
        }
    mskpmpi_free(o->mpi, counts);
    return status;
}

/* ---- which units go ---- */

/* Where a family is cut: it loses its units up to this place. */
typedef struct cutting {
    span *last;   /* [families] up to its end */
    bucket *cell; /* [ncells] of one family each, of which some units go */
    size_t *goes; /* [ncells] how many */
    size_t ncells;
} cutting;

/* last <- up to this unit of a family in a bucket that is known; goes: from 1 on. */
static void cut_known(const bucket *b, uint32_t family, size_t goes, span *last)
{
    const place *p = b->known;
    while (p->family != family || --goes) p++;
    last->key[1] = p->key;
    last->unit[1] = p->unit;
}

/* Finds the ends of families that are known, and a cell for each of the others. */
static mskp_status start_cutting(spreading *s, cutting *c, mskp_error *error)
{
    mskp_mpi *mpi = s->order.mpi;
    const size_t families = s->order.families;
    c->last = mskpmpi_get(mpi, families, sizeof *c->last);
    c->cell = mskpmpi_get(mpi, families, sizeof *c->cell);
    c->goes = mskpmpi_get(mpi, families, sizeof *c->goes);
    if (!c->last || !c->cell || !c->goes) return mskpmpi_no_memory(error, "families", families);
    memset(s->passed, 0, families * sizeof *s->passed);
    for (size_t i = 0; i < s->nbuckets; i++) {
        const bucket *b = &s->bucket[i];
        for (size_t k = 0; k < b->nparts; k++) {
            const uint32_t f = b->part[k].family;
            const size_t before = s->passed[f], after = before + b->part[k].count;
            s->passed[f] = after;
            if (s->removed[f] <= before || s->removed[f] > after) continue;
            c->last[f] = b->span;
            if (s->removed[f] == after) continue;
            if (b->known) {
                cut_known(b, f, s->removed[f] - before, &c->last[f]);
                continue;
            }
            bucket *cell = &c->cell[c->ncells];
            *cell = (bucket){.span = b->span, .nparts = 1, .units = b->part[k].count};
            cell->part = mskpmpi_get(mpi, 1, sizeof *cell->part);
            c->goes[c->ncells++] = s->removed[f] - before;
            if (!cell->part) return mskpmpi_no_memory(error, "families", families);
            *cell->part = b->part[k];
        }
    }
    return MSKP_OK;
}

/* The piece of a cell in which its family is cut. */
static void narrow(bucket *cell, size_t *goes, const uint32_t *counts)
{
    size_t i = 0;
    for (; *goes > counts[i]; i++) *goes -= counts[i];
    cell->span = mskpmpi_piece(&cell->span, i);
    cell->units = cell->part->count = counts[i];
}

/* Makes all cells small and then known. Where a whole cell goes, its end is known, too. */
static mskp_status settle_cells(spreading *s, cutting *c, bucket **chosen, mskp_error *error)
{
    mskp_status status = MSKP_OK;
    for (size_t n = 1; !status && n;) {
        uint32_t *counts = NULL;
        n = 0;
        for (size_t i = 0; i < c->ncells; i++)
            if (c->goes[i] < c->cell[i].units && !mskpmpi_is_cheap(&c->cell[i]))
                chosen[n++] = &c->cell[i];
        if (n) status = mskpmpi_split(&s->order, n, chosen, &counts, error);
        for (size_t i = 0; !status && i < n; i++)
            narrow(chosen[i], &c->goes[chosen[i] - c->cell], counts + i * PIECES);
        mskpmpi_free(s->order.mpi, counts);
    }
    size_t n = 0;
    for (size_t i = 0; i < c->ncells; i++)
        if (c->goes[i] < c->cell[i].units) chosen[n++] = &c->cell[i];
    if (!status && n) status = mskpmpi_reveal(&s->order, n, chosen, error);
    for (size_t i = 0; !status && i < c->ncells; i++) {
        const bucket *b = &c->cell[i];
        c->last[b->part->family] = b->span;
        if (b->known) cut_known(b, b->part->family, c->goes[i], &c->last[b->part->family]);
    }
    return status;
}

/* bits <- the units of this rank that go. */
static void mark_mine(const spreading *s, const cutting *c, unsigned char *bits)
{
    for (uint32_t f = 0; f < s->order.families; f++) {
        if (!s->removed[f]) continue;
        span until = c->last[f];
        until.key[0] = 0;
        until.unit[0] = 0;
        const size_t n = mskpmpi_mine_in(&s->order, f, &until);
        for (size_t i = s->order.first[f]; i < s->order.first[f] + n; i++)
            set_bit(bits, s->order.mine[i].unit);
    }
}

static mskp_status find_removed(spreading *s, mskp_error *error)
{
    mskp_mpi *mpi = s->order.mpi;
    const size_t bytes = bytes_of(s->order.units);
    cutting c = {0};
    mskp_status status = start_cutting(s, &c, error);
    bucket **chosen = mskpmpi_get(mpi, c.ncells, sizeof *chosen);
    unsigned char *bits = mskpmpi_get(mpi, bytes, 1);
    if (!status && (!chosen || !bits)) status = mskpmpi_no_memory(error, "units", s->order.units);
    status = mskpmpi_agree(mpi, status, error);
    if (!status) status = settle_cells(s, &c, chosen, error);
    if (!status) {
        mark_mine(s, &c, bits);
        status = mskpmpi_reduce(mpi, bytes, bits, MPI_UINT8_T, MPI_BOR, error);
    }
    for (size_t u = 0; !status && u < s->order.units; u++) s->keep.unit[u] = !bit(bits, u);
    mskpmpi_free_buckets(mpi, c.ncells, c.cell);
    mskpmpi_free(mpi, c.last);
    mskpmpi_free(mpi, c.goes);
    mskpmpi_free(mpi, chosen);
    mskpmpi_free(mpi, bits);
    return status;
}

/* ---- mskp_mpi_select_spread ---- */

static mskp_status check_call(const mskp_graph *graph, mskp_mpi_spread spread,
                              const mskp_rule *rule, mskp_mask keep, mskp_error *error)
{
    const mskp_counts counts = mskp_graph_counts(graph);
    const size_t units = counts.units;
    const call_array here = mskpmpi_mask_array("here", spread.here);
    mskp_status status = mskpmpi_check_selection(graph, spread.scores, rule, keep, error);
    if (!status) status = mskpmpi_check_mask(graph, "here", spread.here, error);
    if (!status) status = mskpmpi_check_apart(mskpmpi_mask_array("keep", keep), here, error);
    if (status) return status;
    if (rule->families && rule->nfamilies != counts.families)
        return mskpmpi_fail(error, MSKP_ERROR_OTHER_NETWORK,
                            "rule: nfamilies is %zu, the graph has %zu families", rule->nfamilies,
                            counts.families);
    for (size_t u = 0; u < units; u++) {
        const double x = spread.scores.unit[u];
        if (spread.here.unit[u] && (isnan(x) || x == -(double)INFINITY))
            return mskpmpi_fail(error, MSKP_ERROR_BAD_NUMBER, "the score of unit %zu is %g", u, x);
    }
    return MSKP_OK;
}

static bool needs_all(const mskp_rule *rule)
{
    bool any = rule->empty_branches != 0;
    for (size_t i = 0; rule->budgets && i < rule->nbudgets; i++)
        any |= rule->budgets[i].kind == MSKP_BUDGET_TABLE ||
               rule->budgets[i].kind == MSKP_BUDGET_CALLBACK;
    return any;
}

static mskp_status open_spread(spreading *s, unsigned char **bits, mskp_error *error)
{
    ordering *o = &s->order;
    mskp_mpi *mpi = o->mpi;
    const mskp_counts counts = mskp_graph_counts(o->graph);
    o->units = counts.units;
    o->families = counts.families;
    o->family = mskp_unit_families(o->graph, NULL);
    o->mine = mskpmpi_get(mpi, o->units, sizeof *o->mine);
    *bits = mskpmpi_get(mpi, 2 * bytes_of(o->units), 1);
    s->asked = *s->rule;
    s->all = needs_all(s->rule);
    s->keep = (mskp_mask){o->units, mskpmpi_get(mpi, o->units, 1)};
    s->score = mskpmpi_get(mpi, o->units, sizeof *s->score);
    s->tied = mskpmpi_get(mpi, o->families, sizeof *s->tied);
    s->size = mskpmpi_get(mpi, o->families, sizeof *s->size);
    s->removed = mskpmpi_get(mpi, o->families, sizeof *s->removed);
    s->named = mskpmpi_get(mpi, o->families, sizeof *s->named);
    s->passed = mskpmpi_get(mpi, o->families, sizeof *s->passed);
    if (!o->mine || !*bits || !s->keep.unit || !s->score)
        return mskpmpi_no_memory(error, "units", o->units);
    if (!s->tied || !s->size || !s->removed || !s->named || !s->passed)
        return mskpmpi_no_memory(error, "families", o->families);
    for (size_t f = 0; f < o->families; f++) (void)mskp_family_units(o->graph, f, &s->size[f]);
    return mskpmpi_find_tied(mpi, o->graph, s->rule, s->tied, error);
}

static void close_spread(spreading *s)
{
    mskp_mpi *mpi = s->order.mpi;
    mskpmpi_free_buckets(mpi, s->nbuckets, s->bucket);
    mskpmpi_order_close(&s->order);
    mskpmpi_free(mpi, s->keep.unit);
    mskpmpi_free(mpi, s->score);
    mskpmpi_free(mpi, s->tied);
    mskpmpi_free(mpi, s->size);
    mskpmpi_free(mpi, s->removed);
    mskpmpi_free(mpi, s->named);
    mskpmpi_free(mpi, s->passed);
}

/* Fails if ranks remove other numbers of units, which a callback may have made. */
static mskp_status compare_removed(const spreading *s, mskp_error *error)
{
    bool same;
    const uint64_t hash =
        mskpmpi_hash(HASH_START, s->removed, s->order.families * sizeof *s->removed);
    const mskp_status status = mskpmpi_is_same(s->order.mpi, hash, &same, error);
    return status || same ? status : mskpmpi_masks_differ(error);
}

mskp_status mskp_mpi_select_spread(mskp_mpi *mpi, const mskp_graph *graph, mskp_mpi_spread spread,
                                   const mskp_rule *rule, mskp_mask keep, mskp_selection *selection,
                                   mskp_error *err)
{
    mskp_error error = {0};
    spreading s = {.order = {.mpi = mpi, .graph = graph}, .rule = rule};
    unsigned char *bits = NULL;
    mskp_status status = mskpmpi_check_open(mpi, err);
    if (status) return status;
    status = check_call(graph, spread, rule, keep, &error);
    if (!status) status = open_spread(&s, &bits, &error);
    const call_field field[] = {{"the network's fingerprint is", FIELD_COUNT,
                                 MSKP_ERROR_OTHER_NETWORK, status ? 0 : mskp_fingerprint(graph)},
                                {"fields of the rule", FIELD_HASH, MSKP_ERROR_BAD_ARGUMENT,
                                 status ? 0 : mskpmpi_hash_rule(graph, rule)}};
    status = mskpmpi_enter(mpi, CALL_SELECT_SPREAD, 2, field, status, &error);
    if (!status) status = find_mine(&s, spread, bits, &error);
    if (!status) status = first_buckets(&s, &error);
    if (!status) status = mskpmpi_count_removed(&s, &error);
    const bool unsolved = status == MSKP_ERROR_NO_SOLUTION;
    if (!status) status = compare_removed(&s, &error);
    if (!status) status = find_removed(&s, &error);
    if (!status && keep.n) memcpy(keep.unit, s.keep.unit, keep.n);
    if ((!status || unsolved) && selection) *selection = s.selection;
    close_spread(&s);
    mskpmpi_free(mpi, bits);
    return mskpmpi_return(status, &error, err);
}

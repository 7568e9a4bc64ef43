/*
 * A selection among units whose scores are spread over ranks, without sending all scores.
 *
 * mskp_select takes units in the order of their scores. What it does with a unit depends on the
 * unit's family and not on which unit of the family it is, so it removes the first so many units of
 * each family, and all it needs to find these numbers is the order of the families. So mskp_select
 * can be asked with other scores than the real ones, if the families come in the same order.
 *
 * At first one bucket has all units, and how many units each family has in it is known. Then:
 *
 *     ask mskp_select, where the units of one bucket have the same score, and which units of a
 *         family these are is made up: so many of each family as the bucket has
 *     if the order of families inside a bucket may matter, make this bucket known more precisely
 *         (order.c), and ask again; otherwise the numbers of removed units are the right ones
 *     find the last unit of each family that is removed; each rank marks its units up to that one
 *
 * When does the order inside a bucket matter? It does not if the walk of mskp_select passes the
 * bucket without an event that depends on other families:
 *
 *     - the walk stops in it, at the first block after which all demands hold. Demands on amounts
 *       never hold any less after a further block, so if they do not hold at the end of a bucket,
 *       they hold nowhere in it, in whatever order. This is not so for budgets that may rise (of
 *       tables and callbacks)
 *     - a limit closes a tied family (tied.c) in it. Numbers of channels only fall, so a block that
 *       fits at the end of a bucket fits everywhere in it
 *
 * With an event in a bucket, the order before it is settled nevertheless. So if no bucket of which
 * the order is unknown has an event, the walk is that of the real scores. With empty_branches,
 * whether a family can go depends on what else has gone, and each unit may be an event; there, and
 * with budgets that may rise, all units are sent. So they are if nothing solves the rule and there
 * are tied families, because mskp_select does not say then what it removed.
 */
#include "spread.h"

#include <math.h>
#include <string.h>

/* ---- buckets ---- */

void mskpmpi_free_buckets(mskp_mpi *mpi, size_t n, bucket *b)
{
    for (size_t i = 0; b && i < n; i++) {
        mskpmpi_free(mpi, b[i].part);
        mskpmpi_free(mpi, b[i].known);
    }
    mskpmpi_free(mpi, b);
}

/* Whether the order of families in a bucket is known. */
static bool is_settled(const bucket *b)
{
    return b->known || b->nparts <= 1;
}

/* Sending every unit of a bucket takes a few bytes for each unit; splitting it, and the next steps
 * that this makes necessary, some for each family. */
bool mskpmpi_is_cheap(const bucket *b)
{
    enum { STEPS = 3 };
    return b->units * 16 <= b->nparts * PIECES * sizeof(uint32_t) * STEPS;
}

/* *out <- the piece of a bucket, from the counts of its parts. */
static mskp_status make_piece(const spreading *s, const bucket *b, size_t i, const uint32_t *counts,
                              bucket *out, mskp_error *error)
{
    size_t n = 0;
    *out = (bucket){.span = mskpmpi_piece(&b->span, i)};
    for (size_t k = 0; k < b->nparts; k++) n += counts[k * PIECES + i] != 0;
    out->part = mskpmpi_get(s->order.mpi, n, sizeof *out->part);
    if (!out->part) return mskpmpi_no_memory(error, "families", n);
    for (size_t k = 0; k < b->nparts; k++) {
        const uint32_t count = counts[k * PIECES + i];
        if (!count) continue;
        out->part[out->nparts++] = (part){b->part[k].family, count};
        out->units += count;
    }
    return MSKP_OK;
}

/* Replaces the chosen buckets, which are some of s->bucket, in order, by their pieces. */
static mskp_status replace(spreading *s, size_t n, bucket *const *chosen, const uint32_t *counts,
                           mskp_error *error)
{
    mskp_mpi *mpi = s->order.mpi;
    const size_t most = s->nbuckets + n * (PIECES - 1);
    bucket *made = mskpmpi_get(mpi, most, sizeof *made);
    mskp_status status = made ? MSKP_OK : mskpmpi_no_memory(error, "buckets", most);
    size_t m = 0, c = 0;
    for (size_t i = 0; !status && i < s->nbuckets; i++) {
        bucket *b = &s->bucket[i];
        if (c == n || chosen[c] != b) {
            made[m++] = *b;
            b->part = NULL;
            b->known = NULL;
            continue;
        }
        const size_t pieces = mskpmpi_pieces(&b->span);
        for (size_t j = 0; !status && j < pieces; j++) {
            status = make_piece(s, b, j, counts, &made[m], error);
            if (!status && made[m].units)
                m++;
            else
                mskpmpi_free(mpi, made[m].part), made[m].part = NULL;
        }
        counts += b->nparts * PIECES;
        c++;
    }
    mskpmpi_free_buckets(mpi, s->nbuckets, s->bucket);
    s->bucket = made;
    s->nbuckets = m;
    return status;
}

/* ---- asking mskp_select ---- */

static bool is_locked(const spreading *s, uint32_t unit)
{
    return s->rule->locked.unit && s->rule->locked.unit[unit];
}

/* Gives the next unit of a family that can go a score. */
static void give(spreading *s, uint32_t family, double score)
{
    const uint32_t *unit = mskp_family_units(s->order.graph, family, NULL);
    size_t *at = &s->passed[family];
    while (is_locked(s, unit[*at])) ++*at;
    s->score[unit[(*at)++]] = score;
}

/* score <- made-up scores, in the order that is known. The rule's threshold becomes one of them. */
static void make_scores(spreading *s)
{
    const uint64_t last = s->rule->use_threshold ? mskpmpi_key_of(s->rule->threshold) : 0;
    double number = 0;
    if (s->rule->use_threshold && !isnan(s->rule->threshold)) s->asked.threshold = 0;
    memset(s->passed, 0, s->order.families * sizeof *s->passed);
    for (size_t u = 0; u < s->order.units; u++) s->score[u] = (double)INFINITY;
    for (size_t i = 0; i < s->nbuckets; i++) {
        const bucket *b = &s->bucket[i];
        number++;
        for (size_t k = 0; !b->known && k < b->nparts; k++)
            for (size_t j = 0; j < b->part[k].count; j++) give(s, b->part[k].family, number);
        for (size_t j = 0; b->known && j < b->units; j++) give(s, b->known[j].family, number++);
        if (s->asked.use_threshold && b->span.key[1] <= last) s->asked.threshold = number;
    }
}

static void count_removed(const spreading *s, size_t *removed)
{
    memset(removed, 0, s->order.families * sizeof *removed);
    for (size_t u = 0; u < s->order.units; u++) removed[s->order.family[u]] += !s->keep.unit[u];
}

static bool names_units(const mskp_rule *r)
{
    bool any = r->use_threshold || r->remove_family_fraction > 0;
    for (size_t f = 0; r->families && f < r->nfamilies; f++)
        any |= r->families[f].remove_fraction > 0;
    return any;
}

/* removed, named <- what mskp_select removes in the order that is known. */
static mskp_status ask(spreading *s, mskp_error *error)
{
    const mskp_scores scores = {s->order.units, s->score};
    make_scores(s);
    const mskp_rule asked = s->asked;
    mskp_status status = mskp_select(s->order.graph, scores, &asked, s->keep, &s->selection, error);
    if (status) return status;
    count_removed(s, s->removed);
    memset(s->named, 0, s->order.families * sizeof *s->named);
    if (!names_units(s->rule)) return MSKP_OK;
    mskp_rule without = asked;
    without.remove_fraction = without.max_macs = without.max_params = 0;
    without.nbudgets = 0;
    without.budgets = NULL;
    status = mskp_select(s->order.graph, scores, &without, s->keep, NULL, error);
    if (!status) count_removed(s, s->named);
    return status;
}

/* ---- events ---- */

/* matters[i] <- whether bucket i has an event. */
static void find_events(spreading *s, bool *matters)
{
    size_t stop = SIZE_MAX;
    memset(s->passed, 0, s->order.families * sizeof *s->passed);
    for (size_t i = 0; i < s->nbuckets; i++) {
        const bucket *b = &s->bucket[i];
        matters[i] = s->all;
        for (size_t k = 0; k < b->nparts; k++) {
            const uint32_t f = b->part[k].family;
            const size_t before = s->passed[f], after = before + b->part[k].count;
            const size_t r = s->removed[f];
            const size_t closes = r + mskpmpi_block_of(s->rule, f, s->size[f], r);
            if (r > s->named[f] && before < r && r <= after) stop = i;
            matters[i] |= s->tied[f] && before < closes && closes <= after;
            s->passed[f] = after;
        }
    }
    if (stop != SIZE_MAX) matters[stop] = true;
}

/* chosen <- the buckets that have to be known more precisely; returns how many. */
static size_t choose(spreading *s, const bool *matters, bool cheap, bucket **chosen)
{
    size_t n = 0;
    for (size_t i = 0; i < s->nbuckets; i++) {
        bucket *b = &s->bucket[i];
        if (matters[i] && !is_settled(b) && cheap == (s->all || mskpmpi_is_cheap(b)))
            chosen[n++] = b;
    }
    return n;
}

/* Makes the buckets that matter known more precisely. *settled <- there were none. */
static mskp_status refine(spreading *s, bool *settled, mskp_error *error)
{
    mskp_mpi *mpi = s->order.mpi;
    bool *matters = mskpmpi_get(mpi, s->nbuckets, sizeof *matters);
    bucket **chosen = mskpmpi_get(mpi, s->nbuckets, sizeof *chosen);
    uint32_t *counts = NULL;
    size_t n = 0;
    mskp_status status =
        matters && chosen ? MSKP_OK : mskpmpi_no_memory(error, "buckets", s->nbuckets);
    status = mskpmpi_agree(mpi, status, error);
    if (!status) {
        find_events(s, matters);
        *settled = true;
        n = choose(s, matters, true, chosen);
        if (n) *settled = false, status = mskpmpi_reveal(&s->order, n, chosen, error);
    }
    if (!status) {
        n = choose(s, matters, false, chosen);
        if (n) *settled = false, status = mskpmpi_split(&s->order, n, chosen, &counts, error);
        if (n && !status) status = mskpmpi_agree(mpi, replace(s, n, chosen, counts, error), error);
    }
    mskpmpi_free(mpi, counts);
    mskpmpi_free(mpi, matters);
    mskpmpi_free(mpi, chosen);
    return status;
}

static bool any_tied(const spreading *s)
{
    bool any = false;
    for (size_t f = 0; f < s->order.families; f++) any |= s->tied[f];
    return any;
}

/* All buckets in which the order is not known are sent, and asked once more. */
static mskp_status send_all(spreading *s, mskp_error *error)
{
    bool settled;
    s->all = true;
    mskp_status status = refine(s, &settled, error);
    return status ? status : mskpmpi_agree(s->order.mpi, ask(s, error), error);
}

mskp_status mskpmpi_count_removed(spreading *s, mskp_error *error)
{
    if (s->all) return send_all(s, error);
    for (bool settled = false; !settled;) {
        mskp_status status = mskpmpi_agree(s->order.mpi, ask(s, error), error);
        if (status == MSKP_ERROR_NO_SOLUTION && any_tied(s)) return send_all(s, error);
        if (!status) status = refine(s, &settled, error);
        if (status) return status;
    }
    return MSKP_OK;
}

/*
 * The selection of units within a rule, with the units that stay to carry constants counted.
 *
 * mskp_select removes blocks of units in an order that does not depend on how many it removes. For
 * each number of blocks, the constants of the removed units decide which of them stay as carriers,
 * and the network that is left costs more than the selection alone. A number of blocks is *enough*
 * if all demands on amounts hold for that network. The result is a number that is enough, while one
 * block less is not:
 *
 *   1. Without carriers, fewer than order.enough blocks are not enough, and carriers only add to
 *      the cost. So the search starts there, and usually ends there. (Of a table of times or a
 *      callback this is not known; with one of these, the search first goes down, block by block,
 *      as long as one block less is enough, too.)
 *   2. Otherwise the number grows by 1, 2, 4 ... blocks until it is enough, and bisection finds a
 *      border between a number that is not enough and one that is. The constants of every number
 *      that is tried are worked out anew. (Cost with carriers need not fall from block to block, so
 *      there may be several such borders; any of them satisfies the promise.)
 *
 * Carriers would also break the multiples that round_to asks for. Where a family with carriers does
 * not keep a multiple, further units of it stay, the ones with the highest scores first. Then fewer
 * constants are left to be carried, so the carriers are worked out again, until every family
 * fits. A family that is complete with its carriers stays as it is, without carriers. The number of
 * units that stay by the selection grows in each round; so the rounds end.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "constants/constants.h"
#include "describe/graph.h"
#include "mask/amounts.h"
#include "mask/rule.h"
#include "mask/select.h"
#include "mskp.h"
#include "mskp/constants.h"
#include "units/units.h"

typedef struct search {
    const mskp_graph *graph;
    const mskp_rule *rule;
    const mskp_constants_desc *desc;
    mskp_tensors values;
    removal_order order;
    mskp_mask keep, kept; /* what stays by the selection, and with carriers */
    size_t *family_kept;  /* [families] */
    size_t *round;        /* [families] units of a block */
    amounts left;         /* of the number of blocks that was tried last */
    mskp_error *err;
} search;

/*
 * Keeps further units of the families that do not keep a multiple. A family that is complete with
 * its carriers keeps all its units as they are: as carriers they would lose their filters for
 * nothing. Returns whether units were added to those that stay by the selection.
 */
static bool keep_multiples(search *s)
{
    const unit_table *u = s->graph->u;
    bool more = false;
    memset(s->family_kept, 0, u->nfamilies * sizeof *s->family_kept);
    for (size_t i = 0; i < u->n; i++) s->family_kept[u->family[i]] += s->kept.unit[i];
    for (size_t i = s->order.end[s->order.nblocks]; i-- > 0;) {
        const uint32_t unit = s->order.unit[i], f = u->family[unit];
        const size_t size = u->family_first[f + 1] - u->family_first[f];
        if (s->family_kept[f] % s->round[f] == 0 || s->family_kept[f] == size || s->kept.unit[unit])
            continue;
        MSKPI_ASSERT(!s->keep.unit[unit] && s->family_kept[f] < size);
        s->keep.unit[unit] = s->kept.unit[unit] = 1;
        s->family_kept[f]++;
        more = true;
    }
    for (size_t i = 0; i < u->n; i++) {
        const uint32_t f = u->family[i];
        const size_t size = u->family_first[f + 1] - u->family_first[f];
        if (s->keep.unit[i] || s->family_kept[f] < size) continue;
        s->keep.unit[i] = 1;
        more = true;
    }
    return more;
}

/* Removes the first `blocks` blocks. *constants <- their constants, *enough <- whether the demands
 * on amounts hold. */
static mskp_status try_blocks(search *s, size_t blocks, mskp_constants **constants, bool *enough)
{
    const mskp_mask none = {0, NULL};
    *constants = NULL;
    MSKPI_ASSERT(s->order.named <= blocks && blocks <= s->order.nblocks);
    memset(s->keep.unit, 1, s->keep.n);
    for (size_t i = 0; i < s->order.end[blocks]; i++) s->keep.unit[s->order.unit[i]] = 0;
    for (;;) {
        mskp_status status =
            mskp_constants_create(s->graph, s->keep, s->desc, s->values, constants, s->err);
        if (status) return status;
        MSKPI_MUST(mskp_constants_masks(*constants, none, none, s->kept, NULL));
        if (!keep_multiples(s)) break;
        mskp_constants_destroy(*constants);
        *constants = NULL;
    }
    mskpi_amounts_set(&s->left, s->kept.unit);
    const mskp_status status = mskpi_amounts_met(&s->left, enough, s->err);
    if (!status) return MSKP_OK;
    mskp_constants_destroy(*constants);
    *constants = NULL;
    return status;
}

/* Fails with the first demand that does not hold although everything that may be removed is. */
static mskp_status no_solution(const search *s)
{
    const unmet_demand d = mskpi_amounts_unmet(&s->left);
    char asked[NUMBER_SIZE], possible[NUMBER_SIZE];
    if (d.units)
        return mskpi_fail(s->err, MSKP_ERROR_NO_SOLUTION,
                          "remove_fraction asks for %zu units; too many of the units that can go "
                          "would stay to carry constants",
                          d.units);
    return mskpi_fail(s->err, MSKP_ERROR_NO_SOLUTION,
                      "%s is %s; with the units that stay to carry constants, %s is %s; another "
                      "way, a larger merge_above or a smaller round_to takes fewer of them",
                      d.text, mskpi_number(d.limit, asked),
                      d.may_rise ? "what is left when nothing more can go"
                                 : "the least that can be had",
                      mskpi_number(d.left, possible));
}

/* Replaces *best by the constants of this number of blocks, if these are enough. */
static mskp_status improve(search *s, size_t blocks, mskp_constants **best, bool *enough)
{
    mskp_constants *c;
    const mskp_status status = try_blocks(s, blocks, &c, enough);
    if (status) return status;
    if (*enough) {
        mskp_constants_destroy(*best);
        *best = c;
    } else {
        mskp_constants_destroy(c);
    }
    return MSKP_OK;
}

/* *best <- the constants of a number of blocks that is enough, while one block less is not. */
static mskp_status find(search *s, mskp_constants **best)
{
    const size_t last = s->order.nblocks;
    size_t low = s->order.enough, high = low; /* low: not enough; high: enough, once it is found */
    bool enough;
    mskp_status status = improve(s, high, best, &enough);
    bool down = !status && enough && mskpi_amounts_may_rise(s->rule);
    while (down && high > s->order.named) {
        status = improve(s, high - 1, best, &down);
        if (status) return status;
        high -= down;
        low = high;
    }
    for (size_t step = 1; !status && !enough; step *= 2) {
        low = high;
        if (low == last) return no_solution(s);
        high = last - low < step ? last : low + step;
        status = improve(s, high, best, &enough);
    }
    while (!status && high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        status = improve(s, middle, best, &enough);
        MSKPI_ASSERT(low < middle && middle < high);
        if (enough)
            high = middle;
        else
            low = middle;
    }
    return status;
}

mskp_status mskp_constants_select(const mskp_graph *graph, mskp_scores scores,
                                  const mskp_rule *rule, const mskp_constants_desc *desc,
                                  mskp_tensors values, mskp_constants **constants, mskp_error *err)
{
    search s = {.graph = graph, .rule = rule, .desc = desc, .values = values, .err = err};
    s.left.graph = graph;
    mskp_constants *best = NULL;
    mskp_status status = MSKPI_GIVEN(err, constants);
    if (!status) status = mskpi_removal_order(graph, scores, rule, &s.order, err);
    if (status) return status;
    const mskp_services *services = &graph->services;
    s.keep = (mskp_mask){scores.n, mskpi_alloc(services, scores.n, 1)};
    s.kept = (mskp_mask){scores.n, mskpi_alloc(services, scores.n, 1)};
    s.family_kept = mskpi_alloc(services, graph->u->nfamilies, sizeof *s.family_kept);
    s.round = mskpi_alloc(services, graph->u->nfamilies, sizeof *s.round);
    if (!s.keep.unit || !s.kept.unit || !s.family_kept || !s.round)
        status = mskpi_constants_no_memory(err);
    else
        status = mskpi_amounts_open(&s.left, graph, rule, err);
    for (size_t f = 0; !status && f < graph->u->nfamilies; f++)
        s.round[f] = mskpi_family_limits(graph, rule, f).round;
    if (!status) status = find(&s, &best);
    mskpi_amounts_close(&s.left);
    mskpi_free(services, s.round);
    mskpi_free(services, s.keep.unit);
    mskpi_free(services, s.kept.unit);
    mskpi_free(services, s.family_kept);
    mskpi_removal_order_free(services, &s.order);
    if (status)
        mskp_constants_destroy(best);
    else
        *constants = best;
    return status;
}

/*
 * The public calls on constants: making the object, and reporting what is in it.
 *
 * The object is made in five steps, each of which is a file of its own:
 *
 *     mskpi_walk                what does each channel output? (walk.c, reading.c)
 *     mskpi_find_consumers   who reads channels of removed units, and what are the sums? (taps.c)
 *     mskpi_find_target      where can each consumer fold, and is fold or drop better? (targets.c)
 *     mskpi_merge            which errors does a carrier remove? (carriers.c)
 *     mskpi_record_constants    does every result fit its dtype? (writing.c)
 *
 * Nothing is written to the values. The decisions are in the groups of the consumers, and reports
 * are computed from them on demand. The total is the sum of all reports, with the largest bound.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/overlap.h"
#include "base/status.h"
#include "base/view.h"
#include "constants/constants.h"
#include "constants/consumers.h"
#include "constants/reading.h"
#include "constants/walk.h"
#include "describe/graph.h"
#include "mask/vanish.h"
#include "mskp.h"
#include "mskp/constants.h"
#include "mskp/tools.h"
#include "units/cost.h"
#include "units/units.h"

static const char DROPPED[] = "constants are dropped";
static const char BORDER[] = "the border of the image sees other weights";
static const char BORDER_DROPPED[] =
    "dropped: the border of the image sees other weights, folding would lose more";
static const char NO_PLACE_TO_FOLD[] =
    "it has no bias, and what reads it are not only batch norms with running means of their own";
static const char NOTHING_LEFT[] = "a branch vanishes, and nothing is left that adds its constant";
static const char SHARED_BIAS[] = "its bias is shared with what needs other constants";
static const char SHARED_WEIGHT[] = "its weight is shared, and nothing can be merged into it";

/* ---- Making ---- */

/* Decides what becomes of the constants of each group: first without a carrier, then with. given:
 * as for mskpi_merge. */
static mskp_status decide(mskp_constants *c, walker *w, const uint8_t *given)
{
    const mskp_graph *g = c->graph;
    double *known = w->constant;
    size_t channels = 0;
    mskp_status status = mskpi_walk(w);
    if (!status) status = mskpi_find_consumers(w, &c->consumers);
    if (status) return status;
    for (size_t v = 1; v <= g->nvalues; v++) channels = mskpi_sum(channels, g->values[v].view.n);
    uint8_t *others = mskpi_alloc(&c->services, g->nvalues + 1, sizeof *others);
    c->carrier_output = mskpi_alloc(&c->services, channels, sizeof *c->carrier_output);
    if (!others || !c->carrier_output) {
        mskpi_free(&c->services, others);
        return mskpi_constants_no_memory(w->err);
    }
    mskpi_find_norms(c, others);
    mskpi_free(&c->services, others);
    for (size_t k = 0; k < c->consumers.n; k++) {
        consumer *x = &c->consumers.all[k];
        mskpi_find_target(c, x);
        for (size_t q = 0; x->mixes && q < x->form.groups; q++)
            if (x->group[q].constants) x->group[q].way = mskpi_without_merge(c, x, &x->group[q]);
    }
    if (c->desc.way == MSKP_CONSTANTS_DROP || c->desc.way == MSKP_CONSTANTS_FOLD) return MSKP_OK;
    w->constant = c->carrier_output;
    status = mskpi_merge(c, w, known, given);
    w->constant = known;
    return status;
}

static mskp_status check_desc(const mskp_constants_desc *d, mskp_error *err)
{
    char number[32];
    if ((unsigned)d->way > MSKP_CONSTANTS_MERGE)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "constants: way is %u, the last is %u",
                          (unsigned)d->way, (unsigned)MSKP_CONSTANTS_MERGE);
    if (!(d->merge_above >= 0 && d->merge_above < 1))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "constants: merge_above is %s, not in [0, 1)",
                          mskpi_number(d->merge_above, number));
    return mskpi_check_roles(err, "constants: zeroed", d->zeroed);
}

static mskp_status new_constants(const mskp_graph *graph, const uint8_t *keep,
                                 const mskp_constants_desc *desc, mskp_constants **out,
                                 mskp_error *err)
{
    const mskp_services *services = &graph->services;
    mskp_constants *c = mskpi_alloc(services, 1, sizeof *c);
    if (c) {
        c->services = *services;
        c->graph = graph;
        if (desc) c->desc = *desc;
        c->keep = mskpi_alloc(services, graph->u->n, sizeof *c->keep);
        c->carries = mskpi_alloc(services, graph->u->n, sizeof *c->carries);
        c->norms = mskpi_alloc(services, graph->nvalues + 1, sizeof *c->norms);
        c->next_norm = mskpi_alloc(services, graph->nvalues + 1, sizeof *c->next_norm);
    }
    if (!c || !c->keep || !c->carries || !c->norms || !c->next_norm) {
        mskp_constants_destroy(c);
        return mskpi_constants_no_memory(err);
    }
    for (size_t u = 0; u < graph->u->n; u++) c->keep[u] = keep[u] != 0;
    *out = c;
    return MSKP_OK;
}

/* *gone <- what vanishes. A mask that a plan would refuse lets nothing vanish here. */
static mskp_status find_gone(const mskp_graph *graph, const uint8_t *keep, vanishing *gone,
                             mskp_error *err)
{
    size_t *length = mskpi_alloc(&graph->services, graph->u->nlists, sizeof *length);
    const mskp_status status =
        length ? mskpi_vanish_make(gone, graph, err) : mskpi_constants_no_memory(err);
    if (!status) {
        mskpi_list_lengths(graph, keep, length);
        (void)mskpi_vanish(gone, length, NULL);
    }
    mskpi_free(&graph->services, length);
    return status;
}

static mskp_status make(const mskp_graph *graph, const uint8_t *keep,
                        const mskp_constants_desc *desc, const uint8_t *given, mskp_tensors values,
                        mskp_constants **constants, mskp_error *err)
{
    mskp_constants *c = NULL;
    walker w;
    vanishing gone = {0};
    mskp_status status = mskpi_check_set(values, "values", graph->nparams, err);
    if (!status) status = new_constants(graph, keep, desc, &c, err);
    if (status) return status;
    status = find_gone(graph, keep, &gone, err);
    if (!status) status = mskpi_walk_make(&w, graph, c->keep, &gone, c->desc.zeroed, values, err);
    if (!status) {
        c->first = w.first;
        status = decide(c, &w, given);
        w.first = NULL;
        mskpi_walk_free(&w);
    }
    mskpi_vanish_free(&gone);
    if (!status) status = mskpi_record_constants(c, values, err);
    if (status) {
        mskp_constants_destroy(c);
        return status;
    }
    *constants = c;
    return MSKP_OK;
}

mskp_status mskp_constants_create(const mskp_graph *graph, mskp_mask keep,
                                  const mskp_constants_desc *desc, mskp_tensors values,
                                  mskp_constants **constants, mskp_error *err)
{
    mskp_status status = mskpi_check_mask(graph, "keep", keep, err);
    if (!status) status = MSKPI_GIVEN(err, constants);
    if (!status && desc) status = check_desc(desc, err);
    return status ? status : make(graph, keep.unit, desc, NULL, values, constants, err);
}

mskp_status mskp_constants_again(const mskp_constants *decided, mskp_tensors values,
                                 mskp_constants **constants, mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, decided, constants);
    if (status) return status;
    /* The carriers are there in any case, so whatever they can serve is worth one. */
    mskp_constants_desc desc = decided->desc;
    if (desc.way == MSKP_CONSTANTS_AUTO) desc.way = MSKP_CONSTANTS_MERGE;
    return make(decided->graph, decided->keep, &desc, decided->carries, values, constants, err);
}

void mskp_constants_destroy(mskp_constants *c)
{
    if (!c) return;
    const mskp_services services = c->services;
    mskpi_consumers_free(&services, &c->consumers);
    mskpi_free(&services, c->keep);
    mskpi_free(&services, c->carries);
    mskpi_free(&services, c->carrier_output);
    mskpi_free(&services, c->first);
    mskpi_free(&services, c->norms);
    mskpi_free(&services, c->next_norm);
    mskpi_free(&services, c->recorded);
    mskpi_free(&services, c);
}

/* ---- Reports ---- */

const mskp_graph *mskpi_constants_graph(const mskp_constants *c)
{
    return c->graph;
}

bool mskpi_constants_keeps(const mskp_constants *c, size_t unit)
{
    return c->keep[unit] || c->carries[unit];
}

bool mskpi_constants_carries(const mskp_constants *c, size_t unit)
{
    MSKPI_ASSERT(unit < c->graph->u->n);
    MSKPI_ASSERT(!c->keep[unit] || !c->carries[unit]);
    return c->carries[unit];
}

size_t mskp_constants_consumers(const mskp_constants *constants)
{
    return constants ? constants->consumers.n : 0;
}

/* Returns the bias, or the first mean behind the consumer, into which its constants are folded. */
static uint32_t folded_into(const mskp_constants *c, const consumer *x)
{
    if (x->target == FOLD_BIAS) return x->bias;
    uint32_t first = 0; /* the chain has the norms in descending order of their values */
    for (uint32_t v = c->norms[x->value]; x->target == FOLD_MEANS && v; v = c->next_norm[v])
        if (mskpi_has_own_mean(c, &c->graph->steps[v])) first = c->graph->steps[v].params[2];
    return first;
}

/* Returns why a group is not exact. */
static const char *why_lost(const mskp_constants *c, const consumer *x, const consumer_group *g)
{
    if (c->desc.way == MSKP_CONSTANTS_DROP) return DROPPED;
    if (x->target == FOLD_BRANCH) return BORDER;
    if (c->desc.way != MSKP_CONSTANTS_FOLD && c->consumers.uses[x->weight] != 1)
        return SHARED_WEIGHT;
    if (x->target != FOLD_NOWHERE) return g->way == WAY_DROP ? BORDER_DROPPED : BORDER;
    return x->bias ? SHARED_BIAS : NO_PLACE_TO_FOLD;
}

/* Whether a group before group q has the same unit as its carrier. */
static bool is_carried_before(const mskp_constants *c, const consumer *x, size_t q)
{
    const uint32_t *units = mskpi_units_of(c->graph, x->reads);
    for (size_t p = 0; p < q; p++)
        if (x->group[p].way == WAY_MERGE && units[x->group[p].column] == units[x->group[q].column])
            return true;
    return false;
}

/* Adds one group to the report of its consumer. */
static void report_group(const mskp_constants *c, const consumer *x, size_t q,
                         mskp_constants_report *r)
{
    const consumer_group *g = &x->group[q];
    const double error = mskpi_error_of(x, g);
    MSKPI_ASSERT((g->way == WAY_NONE) == (g->constants == 0));
    MSKPI_ASSERT(error >= 0 && g->rounding >= 0);
    if (g->way == WAY_MERGE) {
        MSKPI_ASSERT(c->carries[mskpi_units_of(c->graph, x->reads)[g->column]]);
        r->merged += g->constants;
        r->carriers += !is_carried_before(c, x, q);
    } else if (g->way == WAY_FOLD) {
        r->folded += g->constants;
        r->into.id = folded_into(c, x);
    } else {
        r->dropped += g->constants;
    }
    if (!(error > 0)) return;
    r->exact = 0;
    r->bound = fmax(r->bound, error + g->rounding);
    r->share = fmax(r->share, mskpi_share_of(x, g));
    if (!r->why) r->why = why_lost(c, x, g);
}

/* The report of an addition where a branch ends. */
static mskp_constants_report report_end(const mskp_constants *c, const consumer *x)
{
    const bool written = x->shift && c->desc.way != MSKP_CONSTANTS_DROP;
    const double off = x->live ? (double)INFINITY : written ? 0 : x->off;
    size_t constants = 0;
    for (size_t i = 0; i < x->form.in; i++) constants += x->input[i] == READS_CONSTANT;
    return (mskp_constants_report){.consumer = {x->value},
                                   .reads = {x->reads},
                                   .into = {written && constants ? x->shift : 0},
                                   .folded = written ? constants : 0,
                                   .dropped = written ? 0 : constants,
                                   .live = x->live,
                                   .exact = !(off > 0),
                                   .bound = off,
                                   .share = off > 0 ? (double)INFINITY : 0,
                                   .why = x->live      ? MSKPI_NOT_CONSTANT
                                          : !(off > 0) ? NULL
                                          : x->shift   ? DROPPED
                                                       : NOTHING_LEFT};
}

static mskp_constants_report report_of(const mskp_constants *c, const consumer *x)
{
    if (x->ends) return report_end(c, x);
    mskp_constants_report r = {.consumer = {x->value},
                               .reads = {x->reads},
                               .weight = {x->weight},
                               .live = x->live,
                               .exact = x->mixes && !x->live,
                               .why = x->why};
    if (x->mixes)
        for (size_t q = 0; q < x->form.groups; q++) report_group(c, x, q, &r);
    else
        for (size_t i = 0; i < x->form.in; i++) r.dropped += x->input[i] == READS_CONSTANT;
    MSKPI_ASSERT(!x->mixes || x->live ||
                 r.folded + r.merged + r.dropped > 0); /* others are not on the list */
    if (!x->mixes || x->live) r.bound = r.share = (double)INFINITY;
    if (x->live && x->mixes) r.why = MSKPI_NOT_CONSTANT;
    return r;
}

mskp_status mskp_constants_consumer(const mskp_constants *constants, size_t index,
                                    mskp_constants_report *report, mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, constants, report);
    if (status) return status;
    if (index >= constants->consumers.n)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "there is no report %zu, only %zu of them",
                          index, constants->consumers.n);
    *report = report_of(constants, &constants->consumers.all[index]);
    return MSKP_OK;
}

mskp_status mskp_constants_total(const mskp_constants *constants, mskp_constants_report *total,
                                 mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, constants, total);
    if (status) return status;
    mskp_constants_report sum = {.exact = 1};
    for (size_t k = 0; k < constants->consumers.n; k++) {
        const mskp_constants_report r = report_of(constants, &constants->consumers.all[k]);
        sum.folded += r.folded;
        sum.merged += r.merged;
        sum.dropped += r.dropped;
        sum.live += r.live;
        sum.exact &= r.exact;
        sum.bound = fmax(sum.bound, r.bound);
        sum.share = fmax(sum.share, r.share);
        if (!sum.why) sum.why = r.why;
    }
    for (size_t u = 0; u < constants->graph->u->n; u++) sum.carriers += constants->carries[u];
    *total = sum;
    return MSKP_OK;
}

mskp_status mskp_constants_masks(const mskp_constants *constants, mskp_mask selected,
                                 mskp_mask carriers, mskp_mask kept, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, constants);
    if (!status) status = mskpi_check_optional_mask(constants->graph, "selected", selected, err);
    if (!status) status = mskpi_check_optional_mask(constants->graph, "carriers", carriers, err);
    if (!status) status = mskpi_check_optional_mask(constants->graph, "kept", kept, err);
    const call_array written[] = {mskpi_mask_array("selected", selected),
                                  mskpi_mask_array("carriers", carriers),
                                  mskpi_mask_array("kept", kept)};
    for (size_t i = 0; !status && i < 3; i++)
        status = mskpi_check_apart(written[i], written[(i + 1) % 3], err);
    if (status) return status;
    for (size_t u = 0; u < constants->graph->u->n; u++) {
        if (selected.unit) selected.unit[u] = constants->keep[u];
        if (carriers.unit) carriers.unit[u] = constants->carries[u];
        if (kept.unit) kept.unit[u] = constants->keep[u] || constants->carries[u];
    }
    return MSKP_OK;
}

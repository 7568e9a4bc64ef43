/*
 * The public calls on constants of channels that leave: making, applying, and reporting them.
 *
 * For each group of each consumer (hearing.c), what can be done without keeping a unit is decided
 * first (targets.c), and then what a carrier makes better (carriers.c). Reports are computed from
 * these decisions when they are asked for. The total is the sum of the reports, and its bound the
 * largest of theirs.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "constants/constants.h"
#include "constants/hearing.h"
#include "constants/reading.h"
#include "constants/walk.h"
#include "describe/graph.h"
#include "mskp.h"
#include "mskp/constants.h"
#include "mskp/tools.h"
#include "units/units.h"

static const char DROPPED[] = "constants are dropped";
static const char BORDER[] = "the border of the image sees other weights";
static const char BORDER_DROPPED[] =
    "dropped: the border of the image sees other weights, folding would lose more";
static const char NO_PLACE_TO_FOLD[] =
    "it has no bias, and what reads it are not only batch norms with running means of their own";
static const char SHARED_BIAS[] = "its bias is shared with what needs other constants";
static const char SHARED_WEIGHT[] = "its weight is shared, and nothing can be merged into it";

/* ---- The calls ---- */

/* What can be said without merging; then what merging makes better. */
static mskp_status decide(mskp_constants *c, walker *w)
{
    const mskp_graph *g = c->graph;
    double *known = w->constant;
    size_t channels = 0;
    mskp_status status = mskpi_walk(w);
    if (!status) status = mskpi_hearings(w, &c->h);
    if (status) return status;
    for (size_t v = 1; v <= g->nvalues; v++) channels += g->values[v].view.n;
    uint8_t *others = mskpi_alloc(&c->host, g->nvalues + 1, sizeof *others);
    c->emits = mskpi_alloc(&c->host, channels, sizeof *c->emits);
    if (!others || !c->emits) {
        mskpi_free(&c->host, others);
        return mskpi_constants_no_memory(w->err);
    }
    mskpi_find_norms(c, others);
    mskpi_free(&c->host, others);
    for (size_t k = 0; k < c->h.n; k++) {
        hearing *x = &c->h.all[k];
        mskpi_find_target(c, x);
        for (size_t q = 0; x->mixes && q < x->form.groups; q++)
            if (x->group[q].constants) x->group[q].way = mskpi_without_merge(c, x, &x->group[q]);
    }
    if (c->desc.way == MSKP_CONSTANTS_DROP || c->desc.way == MSKP_CONSTANTS_FOLD) return MSKP_OK;
    w->constant = c->emits;
    status = mskpi_merge(c, w, known);
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
    const mskp_services *host = &graph->services;
    mskp_constants *c = mskpi_alloc(host, 1, sizeof *c);
    if (c) {
        c->host = *host;
        c->graph = graph;
        if (desc) c->desc = *desc;
        c->keep = mskpi_alloc(host, graph->u->n, sizeof *c->keep);
        c->carries = mskpi_alloc(host, graph->u->n, sizeof *c->carries);
        c->norms = mskpi_alloc(host, graph->nvalues + 1, sizeof *c->norms);
        c->next_norm = mskpi_alloc(host, graph->nvalues + 1, sizeof *c->next_norm);
    }
    if (!c || !c->keep || !c->carries || !c->norms || !c->next_norm) {
        mskp_constants_destroy(c);
        return mskpi_constants_no_memory(err);
    }
    for (size_t u = 0; u < graph->u->n; u++) c->keep[u] = keep[u] != 0;
    *out = c;
    return MSKP_OK;
}

mskp_status mskp_constants_create(const mskp_graph *graph, mskp_mask keep,
                                  const mskp_constants_desc *desc, mskp_tensors values,
                                  mskp_constants **constants, mskp_error *err)
{
    mskp_constants *c = NULL;
    walker w;
    mskp_status status = mskpi_check_mask(graph, "keep", keep, err);
    if (!status) status = MSKPI_GIVEN(err, constants);
    if (!status && desc) status = check_desc(desc, err);
    if (!status) status = mskpi_check_set(values, "values", graph->nparams, err);
    if (!status) status = new_constants(graph, keep.unit, desc, &c, err);
    if (status) return status;
    status = mskpi_walk_make(&w, graph, c->keep, c->desc.zeroed, values, err);
    if (!status) {
        c->first = w.first;
        status = decide(c, &w);
        w.first = NULL;
        mskpi_walk_free(&w);
    }
    if (!status) status = mskpi_write_constants(c, values, c, 0, err);
    if (status) {
        mskp_constants_destroy(c);
        return status;
    }
    *constants = c;
    return MSKP_OK;
}

void mskp_constants_destroy(mskp_constants *c)
{
    if (!c) return;
    const mskp_services host = c->host;
    mskpi_hearings_free(&host, &c->h);
    mskpi_free(&host, c->keep);
    mskpi_free(&host, c->carries);
    mskpi_free(&host, c->emits);
    mskpi_free(&host, c->first);
    mskpi_free(&host, c->norms);
    mskpi_free(&host, c->next_norm);
    mskpi_free(&host, c->seen);
    mskpi_free(&host, c);
}

/* ---- Reports ---- */

const mskp_graph *mskpi_constants_graph(const mskp_constants *c)
{
    return c->graph;
}

int mskpi_constants_keep(const mskp_constants *c, size_t unit)
{
    return c->keep[unit] || c->carries[unit];
}

int mskpi_constants_carries(const mskp_constants *c, size_t unit)
{
    return c->carries[unit];
}

size_t mskp_constants_consumers(const mskp_constants *constants)
{
    return constants ? constants->h.n : 0;
}

static uint32_t folded_into(const mskp_constants *c, const hearing *x)
{
    if (x->target == FOLD_BIAS) return x->bias;
    uint32_t first = 0; /* in the order of the description, which the chain has backwards */
    for (uint32_t v = c->norms[x->value]; x->target == FOLD_MEANS && v; v = c->next_norm[v])
        if (mskpi_has_own_mean(c, &c->graph->steps[v])) first = c->graph->steps[v].params[2];
    return first;
}

/* Why a group's constants are lost. */
static const char *why_lost(const mskp_constants *c, const hearing *x, const hearing_group *g)
{
    if (c->desc.way == MSKP_CONSTANTS_DROP) return DROPPED;
    if (c->desc.way != MSKP_CONSTANTS_FOLD && c->h.uses[x->weight] != 1) return SHARED_WEIGHT;
    if (x->target != FOLD_NOWHERE) return g->way == WAY_DROP ? BORDER_DROPPED : BORDER;
    return x->bias ? SHARED_BIAS : NO_PLACE_TO_FOLD;
}

/* Does a group before this one have the same unit as carrier? */
static int carried_before(const mskp_constants *c, const hearing *x, size_t q)
{
    const uint32_t *units = mskpi_units_of(c->graph, x->reads);
    for (size_t p = 0; p < q; p++)
        if (x->group[p].way == WAY_MERGE && units[x->group[p].column] == units[x->group[q].column])
            return 1;
    return 0;
}

static void report_group(const mskp_constants *c, const hearing *x, size_t q,
                         mskp_constants_report *r)
{
    const hearing_group *g = &x->group[q];
    const double loss = mskpi_loss_of(x, g);
    if (g->way == WAY_MERGE) {
        r->merged += g->constants;
        r->carriers += !carried_before(c, x, q);
    } else if (g->way == WAY_FOLD) {
        r->folded += g->constants;
        r->into.id = folded_into(c, x);
    } else {
        r->dropped += g->constants;
    }
    if (!(loss > 0)) return;
    r->exact = 0;
    r->bound = fmax(r->bound, loss + g->rounding);
    r->share = fmax(r->share, mskpi_share_of(x, g));
    if (!r->why) r->why = why_lost(c, x, g);
}

static mskp_constants_report report_of(const mskp_constants *c, const hearing *x)
{
    mskp_constants_report r = {.consumer = {x->value},
                               .reads = {x->reads},
                               .weight = {x->weight},
                               .live = x->live,
                               .exact = x->mixes && !x->live,
                               .why = x->why};
    if (x->mixes)
        for (size_t q = 0; q < x->form.groups; q++) report_group(c, x, q, &r);
    else
        for (size_t i = 0; i < x->form.in; i++) r.dropped += x->hears[i] == HEARS_CONSTANT;
    if (!x->mixes || x->live) r.bound = r.share = (double)INFINITY;
    if (x->live && x->mixes) r.why = MSKPI_NOT_CONSTANT;
    return r;
}

mskp_status mskp_constants_consumer(const mskp_constants *constants, size_t index,
                                    mskp_constants_report *report, mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, constants, report);
    if (status) return status;
    if (index >= constants->h.n)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "there is no report %zu, only %zu of them",
                          index, constants->h.n);
    *report = report_of(constants, &constants->h.all[index]);
    return MSKP_OK;
}

mskp_status mskp_constants_total(const mskp_constants *constants, mskp_constants_report *total,
                                 mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, constants, total);
    if (status) return status;
    mskp_constants_report sum = {.exact = 1};
    for (size_t k = 0; k < constants->h.n; k++) {
        const mskp_constants_report r = report_of(constants, &constants->h.all[k]);
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
    if (status) return status;
    for (size_t u = 0; u < constants->graph->u->n; u++) {
        if (selected.unit) selected.unit[u] = constants->keep[u];
        if (carriers.unit) carriers.unit[u] = constants->carries[u];
        if (kept.unit) kept.unit[u] = constants->keep[u] || constants->carries[u];
    }
    return MSKP_OK;
}

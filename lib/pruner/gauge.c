/* What a pruner shows of itself: one struct, and one line of JSON. */
#include <math.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "pruner/pruner.h"

/* Marked units are ready to go when what is left of them is below this part of where they began. */
static const double READY = 1e-3;

/* ---- measuring ---- */

static mskp_status measure_slices(const mskp_pruner *p, mskp_tensors values, mskp_pruner_gauges *g,
                                  mskp_error *err)
{
    const mskp_graph *graph = mskp_pruner_graph(p);
    const mskp_mask keep = mskpi_pruner_keep(p);
    mskp_penalty penalty = p->how.penalty;
    mskp_status status = MSKP_OK;
    if (p->marked) status = mskpi_pruner_measure(p, keep, values, &g->left, err);
    penalty.target = p->marked ? MSKP_TARGET_KEPT : MSKP_TARGET_ALL;
    if (!status) status = mskp_penalty_gauge(graph, keep, &penalty, values, &g->kept, err);
    return status;
}

static mskp_status measure_costs(const mskp_pruner *p, mskp_pruner_gauges *g, mskp_error *err)
{
    const mskp_graph *graph = mskp_pruner_graph(p);
    mskp_cost now, after;
    mskp_status status = mskp_measure(graph, (mskp_mask){0, NULL}, &now, NULL, err);
    if (!status) status = mskp_measure(graph, mskp_pruner_mask(p), &after, NULL, err);
    if (status) return status;
    g->macs = now.macs / p->dense.macs;
    g->params = now.params / p->dense.params;
    g->macs_after = after.macs / p->dense.macs;
    g->params_after = after.params / p->dense.params;
    return MSKP_OK;
}

/* How well the scores tell units apart. A histogram without a valley is no error here. */
static mskp_status measure_scores(const mskp_pruner *p, mskp_tensors values, mskp_scores scores,
                                  mskp_pruner_gauges *g, mskp_error *err)
{
    double highest = -(double)INFINITY, lowest = (double)INFINITY;
    const mskp_status status = mskpi_pruner_score(p, values, scores, err);
    if (status) return status;
    g->threshold = (double)NAN;
    if (mskp_valley(scores, 0, &g->threshold, &g->valley, NULL))
        g->threshold = (double)NAN, g->valley = 0;
    g->gap = (double)NAN;
    for (size_t u = 0; p->marked && u < p->units; u++)
        if (p->keep[u])
            lowest = fmin(lowest, scores.unit[u]);
        else
            highest = fmax(highest, scores.unit[u]);
    if (g->marked) g->gap = lowest / highest;
    return MSKP_OK;
}

/* What a cut would do now. Where the rule and the carriers leave no way, the cut will be refused;
 * the figures are then those of the mask as it is. */
static mskp_status measure_constants(const mskp_pruner *p, mskp_tensors values,
                                     mskp_pruner_gauges *g, mskp_error *err)
{
    const mskp_constants_desc desc = mskpi_pruner_constants(p);
    mskp_constants_report total = {.exact = 1};
    mskp_constants *constants = NULL;
    mskp_error refused;
    mskp_status status = MSKP_OK;
    bool possible = true;
    if (p->marked) {
        status = mskpi_pruner_foresee(p, values, &constants, &g->unmarked, &refused);
        possible = status != MSKP_ERROR_NO_SOLUTION;
        if (!possible)
            status = mskp_constants_create(mskp_pruner_graph(p), mskpi_pruner_keep(p), &desc,
                                           values, &constants, &refused);
        if (!status) status = mskp_constants_total(constants, &total, &refused);
        mskp_constants_destroy(constants);
        if (status && err) *err = refused;
    }
    if (status) return status;
    /* The object takes what the pull is on for zero, in all units that leave. */
    g->exact = possible && total.exact && !(g->left.largest > 0) && !g->unmarked;
    g->bound = g->unmarked ? (double)INFINITY : total.bound;
    g->share = total.share;
    return MSKP_OK;
}

static double overlap(const mskp_pruner *p)
{
    size_t both = 0, any = 0;
    for (size_t u = 0; u < p->units; u++) {
        both += !p->keep[u] && !p->before[u];
        any += !p->keep[u] || !p->before[u];
    }
    return any ? (double)both / (double)any : 1;
}

mskp_status mskp_pruner_gauge(const mskp_pruner *pruner, mskp_tensors values,
                              mskp_pruner_gauges *gauges, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, pruner, gauges);
    if (status) return status;
    const mskp_pruner *p = pruner;
    const pruner_time t = mskpi_pruner_time(p);
    mskp_pruner_gauges g = {.stage = t.stage,
                            .step = p->step,
                            .steps_left = t.left,
                            .round = p->round,
                            .rounds = mskpi_pruner_rounds(p),
                            .units = p->units,
                            .strength = p->strength,
                            .move = p->move,
                            .start = p->start,
                            .residue = p->residue,
                            .overlap = p->again ? overlap(p) : (double)NAN};
    const mskp_scores scores = {p->units, mskpi_alloc(&p->services, p->units, sizeof(double))};
    if (!scores.unit)
        return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s for the gauges of a pruner",
                          mskp_status_text(MSKP_ERROR_NO_MEMORY));
    for (size_t u = 0; p->marked && u < p->units; u++) g.marked += !p->keep[u];
    if (!p->marked) g.start = g.residue = (double)NAN;
    status = measure_slices(p, values, &g, err);
    if (!status) status = measure_costs(p, &g, err);
    if (!status) status = measure_scores(p, values, scores, &g, err);
    if (!status) status = measure_constants(p, values, &g, err);
    mskpi_free(&p->services, scores.unit);
    if (status) return status;
    g.needed = t.pull_left ? mskpi_pruner_move(g.left.largest, t.pull_left) : 0;
    g.ready = !g.marked || (g.left.elements && g.left.largest <= READY * p->start);
    *gauges = g;
    return MSKP_OK;
}

/* ---- as text ---- */

static void put_key(text_writer *w, const char *key)
{
    mskpi_put(w, w->length > 1 ? ", \"" : "\"");
    mskpi_put(w, key);
    mskpi_put(w, "\": ");
}

static void put_number(text_writer *w, const char *key, double x)
{
    put_key(w, key);
    mskpi_put_json(w, x);
}

static void put_gauge(text_writer *w, const char *key, const mskp_gauge *g)
{
    put_key(w, key);
    mskpi_put(w, "{\"elements\": ");
    mskpi_put_count(w, g->elements);
    put_number(w, "zeros", (double)g->zeros);
    put_number(w, "largest", g->largest);
    put_number(w, "mean", g->mean);
    put_key(w, "below");
    for (size_t k = 0; k < MSKP_GAUGE_DECADES; k++) {
        mskpi_put(w, k ? ", " : "[");
        mskpi_put_count(w, g->below[k]);
    }
    mskpi_put(w, "]}");
}

static const char *stage_name(mskp_pruner_stage stage)
{
    static const char *const NAME[] = {"wait", "sparse", "masked", "tune"};
    return (unsigned)stage < sizeof NAME / sizeof *NAME ? NAME[stage] : "unknown";
}

static void put_gauges(text_writer *w, const void *context)
{
    const mskp_pruner_gauges *g = context;
    mskpi_put(w, "{");
    put_key(w, "stage");
    mskpi_put(w, "\"");
    mskpi_put(w, stage_name(g->stage));
    mskpi_put(w, "\"");
    put_number(w, "step", (double)g->step);
    put_number(w, "steps_left", (double)g->steps_left);
    put_number(w, "round", g->round);
    put_number(w, "rounds", g->rounds);
    put_number(w, "units", (double)g->units);
    put_number(w, "marked", (double)g->marked);
    put_number(w, "macs", g->macs);
    put_number(w, "params", g->params);
    put_number(w, "macs_after", g->macs_after);
    put_number(w, "params_after", g->params_after);
    put_number(w, "strength", g->strength);
    put_number(w, "move", g->move);
    put_number(w, "needed", g->needed);
    put_gauge(w, "left", &g->left);
    put_gauge(w, "kept", &g->kept);
    put_number(w, "start", g->start);
    put_number(w, "residue", g->residue);
    put_number(w, "threshold", g->threshold);
    put_number(w, "valley", g->valley);
    put_number(w, "gap", g->gap);
    put_number(w, "overlap", g->overlap);
    put_key(w, "exact");
    mskpi_put(w, g->exact ? "true" : "false");
    put_number(w, "unmarked", (double)g->unmarked);
    put_number(w, "bound", g->bound);
    put_number(w, "share", g->share);
    put_key(w, "ready");
    mskpi_put(w, g->ready ? "true" : "false");
    mskpi_put(w, "}");
}

mskp_status mskp_pruner_gauge_json(const mskp_pruner_gauges *gauges, size_t capacity, char *text,
                                   size_t *length, mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, gauges, length);
    return status ? status : mskpi_write(put_gauges, gauges, capacity, text, length, err);
}

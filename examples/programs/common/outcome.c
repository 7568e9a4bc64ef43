#define _POSIX_C_SOURCE 200809L
#include "outcome.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- taking ---- */

static bool no_memory(mskp_error *err)
{
    err->status = MSKP_ERROR_NO_MEMORY;
    snprintf(err->text, sizeof err->text, "there is no memory for a report of the layers");
    return false;
}

/* Why channels stay, in the words of the graph. */
static void explain(const mskp_graph *graph, mskp_value value, const mskp_coupling *info,
                    char held[OUTCOME_TEXT])
{
    mskp_coupling by;
    *held = 0;
    if (info->pinned && info->pinned_by.id == value.id)
        snprintf(held, OUTCOME_TEXT, "%zu stay: output", info->pinned);
    else if (info->pinned && !mskp_value_coupling(graph, info->pinned_by, &by, NULL))
        snprintf(held, OUTCOME_TEXT, "%zu stay: %.60s of %.120s", info->pinned, by.op, by.name);
    else if (info->units < info->channels && !mskp_value_coupling(graph, info->tied_by, &by, NULL))
        snprintf(held, OUTCOME_TEXT, "tied by %.60s of %.120s", by.op, by.name);
}

static size_t width_after(const mskp_graph *graph, mskp_value value, mskp_mask kept)
{
    size_t n, left = 0;
    const uint32_t *unit = mskp_value_units(graph, value, &n);
    for (size_t i = 0; i < n; i++)
        left += unit[i] == MSKP_PINNED || !kept.unit || kept.unit[unit[i]];
    return left;
}

static bool take_layer(outcome *o, const mskp_graph *graph, mskp_value value, mskp_mask kept,
                       const outcome_words *words)
{
    outcome_layer *l = &o->layer[o->layers];
    mskp_coupling info;
    char name[OUTCOME_TEXT], held[OUTCOME_TEXT];
    if (mskp_value_coupling(graph, value, &info, NULL)) return true;
    snprintf(name, sizeof name, "%.250s", info.name);
    explain(graph, value, &info, held);
    if (words) words->words(words->context, value, &info, name, held);
    l->width[0] = info.channels;
    /* An operator that has no costs any more vanished with its branch. */
    if (l->cost[1].macs > 0)
        l->width[1] = width_after(graph, value, kept);
    else
        snprintf(held, sizeof held, "the whole branch is gone");
    l->name = strdup(name);
    l->held = strdup(held);
    o->layers++;
    return l->name && l->held;
}

static bool take_layers(outcome *o, const mskp_graph *graph, mskp_mask kept,
                        const outcome_words *words, mskp_error *err)
{
    const size_t n = mskp_graph_counts(graph).values;
    mskp_cost *cost = calloc(2 * n + 1, sizeof *cost);
    o->layer = calloc(n + 1, sizeof *o->layer);
    bool good = (cost && o->layer) || no_memory(err);
    good = good && !mskp_measure(graph, (mskp_mask){0, NULL}, &o->cost[0], cost, err) &&
           !mskp_measure(graph, kept, &o->cost[1], cost + n, err);
    for (size_t v = 0; good && v < n; v++) {
        if (!(cost[v].macs > 0)) continue;
        o->layer[o->layers].cost[0] = cost[v];
        o->layer[o->layers].cost[1] = cost[n + v];
        good = take_layer(o, graph, (mskp_value){(uint32_t)v + 1}, kept, words) || no_memory(err);
    }
    free(cost);
    return good;
}

static char *copy_name(const char *name)
{
    return strdup(name ? name : "");
}

static bool take_consumers(outcome *o, const mskp_graph *graph, const mskp_constants *constants,
                           mskp_error *err)
{
    const size_t n = mskp_constants_consumers(constants);
    o->constants = constants != NULL;
    o->consumer = calloc(n + 1, sizeof *o->consumer);
    if (!o->consumer) return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        outcome_consumer *c = &o->consumer[i];
        if (mskp_constants_consumer(constants, i, &c->report, err)) return false;
        o->consumers++;
        c->name = copy_name(mskp_value_name(graph, c->report.consumer));
        c->reads = copy_name(mskp_value_name(graph, c->report.reads));
        c->into = copy_name(mskp_param_name(graph, c->report.into));
        c->why = copy_name(c->report.why);
        c->report.why = NULL;
        if (!c->name || !c->reads || !c->into || !c->why) return no_memory(err);
    }
    return true;
}

bool outcome_take(outcome *o, const mskp_graph *graph, mskp_mask kept,
                  const mskp_constants *constants, const outcome_words *words, mskp_error *err)
{
    outcome taken = {0};
    taken.units[0] = mskp_graph_counts(graph).units;
    for (size_t u = 0; u < kept.n; u++) taken.units[1] += kept.unit[u] != 0;
    const bool good = take_layers(&taken, graph, kept, words, err) &&
                      take_consumers(&taken, graph, constants, err);
    outcome_free(o);
    if (good)
        *o = taken;
    else
        outcome_free(&taken);
    return good;
}

void outcome_free(outcome *o)
{
    for (size_t i = 0; i < o->layers; i++) {
        free(o->layer[i].name);
        free(o->layer[i].held);
    }
    for (size_t i = 0; i < o->consumers; i++) {
        free(o->consumer[i].name);
        free(o->consumer[i].reads);
        free(o->consumer[i].into);
        free(o->consumer[i].why);
    }
    free(o->layer);
    free(o->consumer);
    *o = (outcome){0};
}

/* ---- showing ---- */

static void show_pictures(const outcome *o, page *p)
{
    page_bar *bar = calloc(o->layers + 1, sizeof *bar);
    if (!bar) {
        p->body.failed = true;
        return;
    }
    page_pictures(p);
    static const char *const titles[] = {"Channels", "Multiply-accumulates", "Parameters"};
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < o->layers; i++) {
            const outcome_layer *l = &o->layer[i];
            bar[i].name = l->name;
            bar[i].before = k == 0   ? (double)l->width[0]
                            : k == 1 ? l->cost[0].macs
                                     : l->cost[0].params;
            bar[i].after = k == 0   ? (double)l->width[1]
                           : k == 1 ? l->cost[1].macs
                                    : l->cost[1].params;
        }
        page_bars_add(p, &(page_bars){titles[k], "layers", o->layers, bar});
    }
    page_pictures_end(p);
    free(bar);
}

static void put_change(page *p, double before, double after)
{
    page_cell(p, "%.0f", before);
    page_cell(p, "%.0f", after);
    if (before > 0)
        page_cell(p, "%.1f", 100 * after / before);
    else
        page_cell(p, "%s", "");
}

static void put_costs(page *p, const mskp_cost cost[2])
{
    put_change(p, cost[0].macs, cost[1].macs);
    put_change(p, cost[0].params, cost[1].params);
}

/* A row of sums, which has no width. */
static void put_sums(page *p, const char *name, const mskp_cost cost[2], bool held)
{
    page_row(p, "%s", name);
    page_cell(p, "%s", "");
    page_cell(p, "%s", "");
    put_costs(p, cost);
    if (held) page_cell(p, "%s", "");
}

void outcome_show_layers(const outcome *o, page *p)
{
    static const page_column columns[] = {
        {"layer", PAGE_NAME},        {"channels", PAGE_NUMBER},
        {"after", PAGE_NUMBER},      {"MACs", PAGE_NUMBER},
        {"after", PAGE_NUMBER},      {"left, %", PAGE_NUMBER},
        {"parameters", PAGE_NUMBER}, {"after", PAGE_NUMBER},
        {"left, %", PAGE_NUMBER},    {"what holds channels", PAGE_PROSE}};
    const size_t all = sizeof columns / sizeof *columns;
    mskp_cost rest[2] = {o->cost[0], o->cost[1]};
    bool held = false; /* without a reason there is no column of reasons */
    if (!o->layers) return;
    for (size_t i = 0; i < o->layers; i++) held = held || *o->layer[i].held;
    show_pictures(o, p);
    page_table(p,
               "Every operator with multiply-accumulates (MACs), in the order of the network, "
               "before and after",
               held ? all : all - 1, columns);
    for (size_t i = 0; i < o->layers; i++) {
        const outcome_layer *l = &o->layer[i];
        page_row(p, "%s", l->name);
        page_cell(p, "%zu", l->width[0]);
        page_cell(p, "%zu", l->width[1]);
        put_costs(p, l->cost);
        if (held) page_cell(p, "%s", l->held);
        for (size_t k = 0; k < 2; k++) {
            rest[k].macs -= l->cost[k].macs;
            rest[k].params -= l->cost[k].params;
        }
    }
    if (rest[0].params > 0) put_sums(p, "norms and other operators", rest, held);
    put_sums(p, "all", o->cost, held);
    page_table_end(p);
}

static void put_bound(page *p, double bound)
{
    if (isfinite(bound))
        page_cell(p, "%.2g", bound);
    else
        page_cell(p, "not known");
}

void outcome_show_constants(const outcome *o, page *p)
{
    static const page_column columns[] = {
        {"operator", PAGE_NAME}, {"bound", PAGE_NUMBER},    {"of scale", PAGE_NUMBER},
        {"folded", PAGE_NUMBER}, {"merged", PAGE_NUMBER},   {"dropped", PAGE_NUMBER},
        {"live", PAGE_NUMBER},   {"carriers", PAGE_NUMBER}, {"why it is not exact", PAGE_PROSE},
        {"reads", PAGE_NAME},    {"into", PAGE_NAME}};
    if (!o->constants) return;
    page_say(p, "A channel that is removed can still have a constant output, which the operators "
                "behind it read. A constant is folded into a bias or a mean, merged into a unit "
                "that stays as its carrier, or dropped. A live channel is not constant, so what it "
                "adds is lost.");
    if (!o->consumers) {
        page_say(p, "No operator that stays reads such a constant.");
        return;
    }
    page_table(p,
               "Operators that read removed channels. No element of their results is off by more "
               "than the bound, which is also given as a share of the scale of the output",
               sizeof columns / sizeof *columns, columns);
    for (size_t i = 0; i < o->consumers; i++) {
        const outcome_consumer *c = &o->consumer[i];
        const mskp_constants_report *r = &c->report;
        page_row(p, "%s", c->name);
        if (r->exact) {
            page_cell(p, "exact");
            page_cell(p, "%s", "");
        } else {
            put_bound(p, r->bound);
            put_bound(p, r->share);
        }
        page_cell(p, "%zu", r->folded);
        page_cell(p, "%zu", r->merged);
        page_cell(p, "%zu", r->dropped);
        page_cell(p, "%zu", r->live);
        page_cell(p, "%zu", r->carriers);
        page_cell(p, "%s", c->why);
        page_cell(p, "%s", c->reads);
        page_cell(p, "%s", c->into);
    }
    page_table_end(p);
}

/*
 * Which operator tied or pinned the channels of a value, for mskp_value_coupling.
 *
 * The answer is read off the forest of ties (lib/describe/ties.c), whose paths were never
 * compressed: edges become younger on the path from a channel to its root, and where two paths
 * meet, the younger of the two edges into the meeting point is the tie that joined the two
 * channels.
 *
 * The channels of a value are taken in order, and each walks along its path. Every node on the path
 * notes the value, and the oldest edge by which a path of this value entered the node. A channel is
 * joined with earlier channels of the list where its path first enters a node that an earlier path
 * has entered. The tie is the younger of the channel's own edge into this node and the oldest edge
 * of the earlier paths. A walk stops where earlier paths entered a node by an edge that is no
 * younger: from there on they have noted edges that are at least as old. Each channel then counts
 * for the operator that joined it, and the operator with the most joins is reported.
 *
 * All of this depends on the list of channels alone. A norm and a function share their input's
 * list, so their answer is that of their input.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "describe/graph.h"
#include "describe/step.h"
#include "describe/ties.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/make.h"
#include "units/units.h"

typedef struct tracer {
    const mskp_graph *graph;
    const unit_table *u;
    uint32_t *entered;   /* [channels] the value whose paths entered the node last */
    uint32_t *oldest;    /* [channels] 1 + the event of the oldest edge into it; 0: it is listed */
    uint32_t *joins;     /* [values + 1] by operator; 0 between values */
    uint32_t *operators; /* [values + 1] the operators with joins */
} tracer;

/* Walks from channel c, which the list does not hold before, towards its root. Returns 1 + the
 * event that joined c with an earlier channel of the value; 0: none did. */
static uint32_t trace(tracer *t, uint32_t value, uint32_t c)
{
    const graph_channel *channels = t->graph->channels;
    uint32_t edge = 0, join = 0; /* 1 + event; 0: none */
    for (;; edge = 1 + channels[c].joined_at, c = channels[c].parent) {
        if (t->entered[c] == value) {
            if (!join) join = t->oldest[c] > edge ? t->oldest[c] : edge;
            MSKPI_ASSERT(join);
            if (edge >= t->oldest[c]) break;
        }
        t->entered[c] = value;
        t->oldest[c] = edge;
        if (channels[c].parent == c) break;
        MSKPI_ASSERT(edge <= 1 + channels[c].joined_at);
    }
    return join;
}

/* The operator with the most joins, the first of equals, and their number. Clears the counts. */
static void most_joins(tracer *t, size_t noperators, freedom *f)
{
    for (size_t k = 0; k < noperators; k++) {
        const uint32_t by = t->operators[k];
        MSKPI_ASSERT(t->joins[by] > 0);
        if (t->joins[by] > f->tied || (t->joins[by] == f->tied && by < f->tied_by)) {
            f->tied = t->joins[by];
            f->tied_by = by;
        }
        t->joins[by] = 0;
    }
}

static void trace_value(tracer *t, uint32_t value, freedom *f)
{
    const mskp_graph *g = t->graph;
    const list_view view = g->values[value].view;
    size_t noperators = 0, distinct = 0, joined = 0;
    uint32_t pinned = 0; /* 1 + the first event that pinned a channel */
    for (size_t i = 0; i < view.n; i++) {
        const uint32_t c = g->listed[view.first + i];
        if (t->u->of_channel[c] == MSKP_PINNED) {
            const uint32_t event = g->channels[mskpi_find_root(g, c)].pinned;
            MSKPI_ASSERT(event); /* mskpi_number_units noted it at the root */
            if (!f->pinned++ || event < pinned) pinned = event;
            continue;
        }
        const uint32_t mixes = t->u->inexact[t->u->of_channel[c]];
        if (mixes) f->inexact++;
        if (mixes && (!f->inexact_by || mixes < f->inexact_by)) f->inexact_by = mixes;
        if (t->entered[c] == value && !t->oldest[c]) continue; /* the same channel once more */
        distinct++;
        const uint32_t join = trace(t, value, c);
        if (!join) continue;
        joined++;
        const uint32_t by = g->events[join - 1];
        MSKPI_ASSERT(join <= g->nevents && by >= 1 && by <= g->nvalues);
        if (!t->joins[by]++) t->operators[noperators++] = by;
    }
    MSKPI_ASSERT(joined <= distinct && (!distinct || joined < distinct));
    f->units = distinct - joined;
    f->pinned_by = pinned ? g->events[pinned - 1] : 0;
    most_joins(t, noperators, f);
}

/* Returns an earlier value with the same list of channels in the same place; 0: none is known. */
static uint32_t same_before(const mskp_graph *g, uint32_t value)
{
    const graph_step *s = &g->steps[value];
    const uint32_t in = s->ninputs ? g->step_inputs[s->first_input] : 0;
    const list_view *a = &g->values[in].view, *b = &g->values[value].view;
    return in < value && a->first == b->first && a->n == b->n ? in : 0;
}

mskp_status mskpi_make_freedom(const mskp_graph *graph, unit_table *u, mskp_error *err)
{
    const mskp_services *services = &graph->services;
    tracer t = {.graph = graph,
                .u = u,
                .entered = mskpi_alloc(services, graph->nchannels, sizeof *t.entered),
                .oldest = mskpi_alloc(services, graph->nchannels, sizeof *t.oldest),
                .joins = mskpi_alloc(services, graph->nvalues + 1, sizeof *t.joins),
                .operators = mskpi_alloc(services, graph->nvalues + 1, sizeof *t.operators)};
    mskp_status status = MSKP_OK;
    u->freedom = mskpi_alloc(services, graph->nvalues + 1, sizeof *u->freedom);
    if (!t.entered || !t.oldest || !t.joins || !t.operators || !u->freedom)
        status = mskpi_no_units(graph, err);
    for (uint32_t v = 1; !status && v <= graph->nvalues; v++) {
        const uint32_t same = same_before(graph, v);
        if (same)
            u->freedom[v] = u->freedom[same];
        else
            trace_value(&t, v, &u->freedom[v]);
    }
    mskpi_free(services, t.entered);
    mskpi_free(services, t.oldest);
    mskpi_free(services, t.joins);
    mskpi_free(services, t.operators);
    return status;
}

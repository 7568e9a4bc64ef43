/*
 * Which operator tied or pinned the channels of a value, for mskp_value_coupling.
 *
 * The answer is read off the forest of ties (lib/describe/ties.c), which was never compressed. The
 * channels of a value are taken in order, and each walks to its root. Every node on the way notes
 * the value that passed it and the oldest edge by which a way of this value entered it. A channel
 * is joined with earlier channels of the list where its way first meets a node that an earlier way
 * has passed. Edges become younger towards the root, so that the younger of the two edges into the
 * meeting point made the tie: the channel's own, and the oldest of the earlier ones. A way may stop
 * where earlier ways came in by an edge that is at least as old. Joins are counted for each
 * operator, and the operator with the most joins is the one that is reported.
 */
#include "base/memory.h"
#include "describe/graph.h"
#include "describe/ties.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/make.h"
#include "units/units.h"

typedef struct tracer {
    const mskp_graph *graph;
    const unit_table *u;
    uint32_t *seen; /* [channels] the value that came by last */
    uint32_t
        *oldest; /* [channels] oldest edge into it on its ways: 1 + event; 0: it is listed itself */
    uint32_t *joins;  /* [values + 1] by operator; 0 between values */
    uint32_t *joiner; /* [values + 1] operators with joins */
} tracer;

/* 1 + the event that joined c with an earlier channel of this value; 0: none, or the same channel.
 */
static uint32_t trace(tracer *t, uint32_t value_id, uint32_t c)
{
    const graph_channel *channels = t->graph->channels;
    uint32_t edge = 0, met = 0;
    for (;; edge = 1 + channels[c].joined_at, c = channels[c].parent) {
        if (t->seen[c] == value_id) {
            if (!met) met = 1 + (t->oldest[c] > edge ? t->oldest[c] : edge);
            if (edge < t->oldest[c])
                t->oldest[c] = edge;
            else
                break; /* above, earlier ways are at least as old */
        } else {
            t->seen[c] = value_id;
            t->oldest[c] = edge;
        }
        if (channels[c].parent == c) break;
    }
    return met ? met - 1 : 0;
}

static void trace_value(tracer *t, uint32_t id, freedom *f)
{
    const mskp_graph *g = t->graph;
    const list_view view = g->values[id].view;
    size_t njoiners = 0, distinct = 0, joined = 0;
    uint32_t pinned = 0;
    for (size_t i = 0; i < view.n; i++) {
        const uint32_t c = g->listed[view.first + i];
        if (t->u->of_channel[c] == MSKP_PINNED) {
            const uint32_t event = g->channels[mskpi_find_root(g, c)].pinned;
            if (!f->pinned++ || event < pinned) pinned = event;
            continue;
        }
        const uint32_t mixes = t->u->inexact[t->u->of_channel[c]];
        if (mixes) f->inexact++;
        if (mixes && (!f->inexact_by || mixes < f->inexact_by)) f->inexact_by = mixes;
        if (t->seen[c] == id && !t->oldest[c]) continue; /* the same channel once more */
        distinct++;
        const uint32_t event = trace(t, id, c);
        if (!event) continue;
        joined++;
        const uint32_t by = g->events[event - 1];
        if (!t->joins[by]++) t->joiner[njoiners++] = by;
    }
    f->units = distinct - joined;
    f->pinned_by = pinned ? g->events[pinned - 1] : 0;
    for (size_t k = 0; k < njoiners; k++) {
        const uint32_t by = t->joiner[k];
        if (t->joins[by] > f->tied || (t->joins[by] == f->tied && by < f->tied_by)) {
            f->tied = t->joins[by];
            f->tied_by = by;
        }
        t->joins[by] = 0;
    }
}

int mskpi_make_freedom(const mskp_graph *graph, unit_table *u)
{
    const mskp_services *host = &graph->services;
    tracer t = {.graph = graph,
                .u = u,
                .seen = mskpi_alloc(host, graph->nchannels, sizeof *t.seen),
                .oldest = mskpi_alloc(host, graph->nchannels, sizeof *t.oldest),
                .joins = mskpi_alloc(host, graph->nvalues + 1, sizeof *t.joins),
                .joiner = mskpi_alloc(host, graph->nvalues + 1, sizeof *t.joiner)};
    u->freedom = mskpi_alloc(host, graph->nvalues + 1, sizeof *u->freedom);
    const int failed = !t.seen || !t.oldest || !t.joins || !t.joiner || !u->freedom;
    for (uint32_t v = 1; !failed && v <= graph->nvalues; v++) trace_value(&t, v, &u->freedom[v]);
    mskpi_free(host, t.seen);
    mskpi_free(host, t.oldest);
    mskpi_free(host, t.joins);
    mskpi_free(host, t.joiner);
    return failed;
}

/*
 * Units: classes of tied channels, numbered by their first channel; their families, members and
 * costs. Everything downstream is a loop over these arrays.
 */
#include <string.h>

#include "internal.h"

void mskpi_units_free(const mskp_host *host, unit_table *u)
{
    mskpi_free(host, u->of_channel);
    mskpi_free(host, u->exact);
    mskpi_free(host, u->inexact);
    mskpi_free(host, u->lists);
    mskpi_free(host, u->list_units);
    mskpi_free(host, u->family);
    mskpi_free(host, u->family_first);
    mskpi_free(host, u->family_units);
    mskpi_free(host, u->incidence_first);
    mskpi_free(host, u->incidences);
    mskpi_free(host, u->member_first);
    mskpi_free(host, u->members);
    mskpi_free(host, u->terms);
    mskpi_free(host, u->list_term_first);
    mskpi_free(host, u->list_terms);
    mskpi_free(host, u->freedom);
    memset(u, 0, sizeof *u);
}

/* Turns counts at [i + 1] into starts at [i]. */
static void prefix_sum(size_t *first, size_t n)
{
    for (size_t i = 0; i < n; i++) first[i + 1] += first[i];
}

/* ---- channels to units ---- */

static int number_units(mskp_graph *graph, unit_table *u)
{
    const mskp_host *host = &graph->host;
    const size_t n = graph->nchannels;
    uint32_t *number = mskpi_alloc(host, n, sizeof *number); /* by root; 0: not yet, else 1 + it */
    u->of_channel = mskpi_alloc(host, n, sizeof *u->of_channel);
    if (!number || !u->of_channel) {
        mskpi_free(host, number);
        return 1;
    }
    for (uint32_t c = 0; c < n; c++)
        if (graph->channels[c].pinned) { /* the root remembers the first event that pinned */
            const uint32_t root = mskpi_find_root(graph, c), event = graph->channels[c].pinned;
            uint32_t *first = &graph->channels[root].pinned;
            if (!*first || event < *first) *first = event;
            number[root] = MSKP_PINNED;
        }
    for (uint32_t c = 0; c < n; c++) {
        uint32_t *root = &number[mskpi_find_root(graph, c)];
        if (!*root) *root = (uint32_t)++u->n;
        u->of_channel[c] = *root == MSKP_PINNED ? MSKP_PINNED : *root - 1;
    }
    mskpi_free(host, number);
    u->exact = mskpi_alloc(host, u->n, sizeof *u->exact);
    u->inexact = mskpi_alloc(host, u->n, sizeof *u->inexact);
    if (!u->exact || !u->inexact) return 1;
    for (size_t i = 0; i < u->n; i++) u->exact[i] = ZERO_ALWAYS;
    for (uint32_t c = 0; c < n; c++) {
        if (u->of_channel[c] == MSKP_PINNED) continue;
        u->exact[u->of_channel[c]] &= graph->channels[c].exact;
        const uint32_t by = graph->channels[c].inexact;
        uint32_t *first = &u->inexact[u->of_channel[c]];
        if (by && (!*first || by < *first)) *first = by;
    }
    return 0;
}

/* ---- distinct lists ---- */

typedef struct view_slot {
    list_view view;
    uint32_t list; /* 1 + it; 0: empty */
} view_slot;

typedef struct list_maker {
    const mskp_graph *graph;
    unit_table *u;
    size_t used, capacity, lists_capacity; /* of list_units, lists */
    view_slot *by_view;                    /* hash tables */
    uint32_t *by_content;                  /* 1 + list; 0: empty */
    size_t mask;
    list_view last; /* the view that was asked for last, and its list: neighbours often share */
    uint32_t last_list;
} list_maker;

/* Looks it up, or makes it. 1: no memory. */
static int find_list(list_maker *m, list_view view, uint32_t value_id, uint32_t *number)
{
    const mskp_host *host = &m->graph->host;
    unit_table *u = m->u;
    size_t slot = mskpi_hash(&view, sizeof view) & m->mask, content;
    for (; m->by_view[slot].list; slot = (slot + 1) & m->mask)
        if (m->by_view[slot].view.first == view.first && m->by_view[slot].view.n == view.n) {
            *number = m->by_view[slot].list - 1;
            return 0;
        }
    uint32_t *grown = mskpi_grow(host, u->list_units, &m->capacity, m->used, view.n, sizeof *grown);
    if (!grown) return 1;
    u->list_units = grown;
    uint32_t *made = grown + m->used;
    for (size_t i = 0; i < view.n; i++) made[i] = u->of_channel[m->graph->listed[view.first + i]];
    content = mskpi_hash(made, view.n * sizeof *made) & m->mask;
    for (; m->by_content[content]; content = (content + 1) & m->mask) {
        const unit_list *l = &u->lists[m->by_content[content] - 1];
        if (l->n == view.n && !memcmp(grown + l->first, made, view.n * sizeof *made)) break;
    }
    if (!m->by_content[content]) {
        unit_list *lists =
            mskpi_grow(host, u->lists, &m->lists_capacity, u->nlists, 1, sizeof *lists);
        if (!lists) return 1;
        u->lists = lists;
        lists[u->nlists] = (unit_list){m->used, view.n, value_id, 0};
        m->by_content[content] = (uint32_t)++u->nlists;
        m->used += view.n;
    }
    m->by_view[slot] = (view_slot){view, m->by_content[content]};
    *number = m->by_content[content] - 1;
    return 0;
}

/* The list of a view. Equal views are one list, and so are equal contents. 1: no memory. */
static int list_of(list_maker *m, list_view view, uint32_t value_id, uint32_t *number)
{
    if (view.first != m->last.first || view.n != m->last.n) {
        if (find_list(m, view, value_id, &m->last_list)) return 1;
        m->last = view;
    }
    *number = m->last_list;
    return 0;
}

static int make_lists(mskp_graph *graph, unit_table *u)
{
    const mskp_host *host = &graph->host;
    list_maker m = {.graph = graph, .u = u};
    size_t slots = 16;
    int failed;
    while (slots < 2 * (graph->nvalues + graph->naxes + 1)) slots *= 2;
    m.mask = slots - 1;
    m.by_view = mskpi_alloc(host, slots, sizeof *m.by_view);
    m.by_content = mskpi_alloc(host, slots, sizeof *m.by_content);
    failed = !m.by_view || !m.by_content;
    for (uint32_t v = 1; !failed && v <= graph->nvalues; v++)
        failed = list_of(&m, graph->values[v].view, v, &graph->values[v].list);
    for (uint32_t p = 1; !failed && p <= graph->nparams; p++)
        for (uint32_t d = 0; !failed && d < graph->params[p].ndim; d++) {
            graph_axis *a = &graph->axes[graph->params[p].axis + d];
            if (a->view.n) failed = list_of(&m, a->view, 0, &a->list);
        }
    mskpi_free(host, m.by_view);
    mskpi_free(host, m.by_content);
    return failed;
}

/* ---- families ---- */

/*
 * A unit's incidence is the sequence of (list, how often) that it stands in. Sequences are kept as
 * paths of a tree: each list moves every unit that it holds from its node to a child. Units that
 * end at one node are a family. Linear in the lists' lengths, and exact.
 */
typedef struct node {
    uint32_t parent, list, times;
    uint32_t child, sibling; /* newest child; the child before it */
} node;

typedef struct tree {
    node *nodes; /* 0: the root, a unit in no list */
    size_t n, capacity;
} tree;

/* The child of `at` for so many times in this list. 1: no memory. */
static int child_of(const mskp_host *host, tree *t, uint32_t at, uint32_t list, uint32_t times,
                    uint32_t *found)
{
    for (uint32_t c = t->nodes[at].child; c && t->nodes[c].list == list; c = t->nodes[c].sibling)
        if (t->nodes[c].times == times) {
            *found = c;
            return 0;
        }
    node *nodes = mskpi_grow(host, t->nodes, &t->capacity, t->n, 1, sizeof *nodes);
    if (!nodes || t->n >= UINT32_MAX) return 1;
    t->nodes = nodes;
    nodes[t->n] = (node){at, list, times, 0, nodes[at].child};
    *found = nodes[at].child = (uint32_t)t->n++;
    return 0;
}

static int grow_tree(const mskp_host *host, unit_table *u, tree *t, uint32_t *at)
{
    uint32_t *times = mskpi_alloc(host, u->n, sizeof *times);
    uint32_t *touched = mskpi_alloc(host, u->n, sizeof *touched);
    int failed = !times || !touched;
    t->nodes = mskpi_grow(host, NULL, &t->capacity, 0, 1, sizeof *t->nodes);
    t->n = 1;
    failed |= !t->nodes;
    for (uint32_t l = 0; !failed && l < u->nlists; l++) {
        const uint32_t *list = u->list_units + u->lists[l].first;
        size_t ntouched = 0;
        for (size_t i = 0; i < u->lists[l].n; i++)
            if (list[i] != MSKP_PINNED && !times[list[i]]++) touched[ntouched++] = list[i];
        for (size_t i = 0; !failed && i < ntouched; i++) {
            const uint32_t unit = touched[i];
            failed = child_of(host, t, at[unit], l, times[unit], &at[unit]);
            u->lists[l].repeats |= times[unit] > 1;
            times[unit] = 0;
        }
    }
    mskpi_free(host, times);
    mskpi_free(host, touched);
    return failed;
}

static int make_families(const mskp_graph *graph, unit_table *u)
{
    const mskp_host *host = &graph->host;
    tree t = {0};
    size_t total = 0;
    int failed;
    uint32_t *number = NULL, *end_of = NULL; /* node -> 1 + family; family -> node */
    u->family = mskpi_alloc(host, u->n, sizeof *u->family);
    u->family_units = mskpi_alloc(host, u->n, sizeof *u->family_units);
    failed = !u->family || !u->family_units || grow_tree(host, u, &t, u->family);
    if (!failed) {
        number = mskpi_alloc(host, t.n, sizeof *number);
        end_of = mskpi_alloc(host, t.n, sizeof *end_of);
        failed = !number || !end_of;
    }
    for (size_t i = 0; !failed && i < u->n; i++) { /* from nodes to families, by first unit */
        uint32_t *f = &number[u->family[i]];
        if (!*f) {
            end_of[u->nfamilies] = u->family[i];
            *f = (uint32_t)++u->nfamilies;
        }
        u->family[i] = *f - 1;
    }
    if (!failed) {
        u->family_first = mskpi_alloc(host, u->nfamilies + 2, sizeof *u->family_first);
        u->incidence_first = mskpi_alloc(host, u->nfamilies + 1, sizeof *u->incidence_first);
        failed = !u->family_first || !u->incidence_first;
    }
    for (size_t f = 0; !failed && f < u->nfamilies; f++) {
        u->incidence_first[f] = total;
        for (uint32_t k = end_of[f]; k; k = t.nodes[k].parent) total++;
        u->incidence_first[f + 1] = total;
    }
    if (!failed) {
        u->incidences = mskpi_alloc(host, total, sizeof *u->incidences);
        failed = !u->incidences;
    }
    if (!failed) {
        for (size_t f = 0; f < u->nfamilies; f++) {
            size_t at = u->incidence_first[f + 1];
            for (uint32_t k = end_of[f]; k; k = t.nodes[k].parent)
                u->incidences[--at] = (incidence){t.nodes[k].list, t.nodes[k].times};
        }
        /* Counting sort: starts one place late, so that filling moves them where they belong. */
        for (size_t i = 0; i < u->n; i++) u->family_first[u->family[i] + 2]++;
        prefix_sum(u->family_first + 1, u->nfamilies);
        for (size_t i = 0; i < u->n; i++)
            u->family_units[u->family_first[u->family[i] + 1]++] = (uint32_t)i;
    }
    mskpi_free(host, t.nodes);
    mskpi_free(host, number);
    mskpi_free(host, end_of);
    return failed;
}

/* ---- members ---- */

/* Axes that follow each other and have one list. They are gone through at once, where no unit stands
 * in it twice: a unit's members are still in the order of parameters, axes, indices. */
typedef struct axis_run {
    uint32_t list;
    size_t n;
    mskp_member like[8]; /* without index */
} axis_run;

/* Counts, or fills; counts stand two places late and starts one, so that filling moves starts where
 * they belong. */
static void go_through(unit_table *u, axis_run *run, int fill)
{
    const uint32_t *list = u->list_units + u->lists[run->list].first;
    const size_t length = u->lists[run->list].n;
    for (uint32_t i = 0; i < length; i++) {
        if (list[i] == MSKP_PINNED) continue;
        if (!fill) {
            u->member_first[list[i] + 2] += run->n;
            continue;
        }
        mskp_member *to = u->members + u->member_first[list[i] + 1];
        u->member_first[list[i] + 1] += run->n;
        for (size_t k = 0; k < run->n; k++) {
            to[k] = run->like[k];
            to[k].index = i;
        }
    }
    run->n = 0;
}

static int make_members(const mskp_graph *graph, unit_table *u)
{
    const mskp_host *host = &graph->host;
    u->member_first = mskpi_alloc(host, u->n + 2, sizeof *u->member_first);
    if (!u->member_first) return 1;
    /* Twice over all slices: count, then fill. */
    for (int fill = 0;; fill++) {
        axis_run run = {.n = 0};
        for (uint32_t p = 1; p <= graph->nparams; p++)
            for (uint32_t d = 0; d < graph->params[p].ndim; d++) {
                const graph_axis *a = &graph->axes[graph->params[p].axis + d];
                if (a->list == NO_LIST) continue;
                if (run.n && (run.list != a->list || u->lists[a->list].repeats ||
                              run.n == sizeof run.like / sizeof *run.like))
                    go_through(u, &run, fill);
                run.list = a->list;
                run.like[run.n++] = (mskp_member){{p}, d, 0, a->roles};
            }
        if (run.n) go_through(u, &run, fill);
        if (fill) break;
        prefix_sum(u->member_first + 1, u->n);
        u->members = mskpi_alloc(host, u->member_first[u->n + 1], sizeof *u->members);
        if (!u->members) return 1;
    }
    return 0;
}

/* ---- costs ---- */

/* Statistics are no parameters. */
static int counts_as_parameter(const mskp_graph *graph, const graph_param *p)
{
    uint32_t roles = 0;
    for (uint32_t d = 0; d < p->ndim; d++) roles |= graph->axes[p->axis + d].roles;
    return !roles || (roles & ~(uint32_t)(MSKP_ROLE_MEAN | MSKP_ROLE_VARIANCE));
}

/* A term for the elements of a parameter. 1: its full size passes 2^53. */
static int param_term(const mskp_graph *graph, const graph_param *p, uint64_t each, cost_term *term,
                      size_t *full)
{
    size_t size;
    term->coefficient = each;
    if (each > SIZE_MAX) return 1;
    size = (size_t)each;
    for (uint32_t d = 0; d < p->ndim; d++) {
        const graph_axis *a = &graph->axes[p->axis + d];
        if (mskpi_times(size, a->length, &size)) return 1;
        if (a->list == NO_LIST)
            term->coefficient *= a->length;
        else
            term->lists[term->nlists++] = a->list;
    }
    *full = size;
    return 0;
}

static mskp_status make_terms(const mskp_graph *graph, unit_table *u, mskp_error *err)
{
    const mskp_host *host = &graph->host;
    const uint64_t most = UINT64_C(1) << 53;
    uint64_t total[2] = {0, 0};
    char room[NAME_ROOM];
    size_t full = 0;
    u->terms = mskpi_alloc(host, graph->nmacs + graph->nparams, sizeof *u->terms);
    u->list_term_first = mskpi_alloc(host, u->nlists + 2, sizeof *u->list_term_first);
    if (!u->terms || !u->list_term_first) return MSKP_NO_MEMORY;
    for (size_t i = 0; i < graph->nmacs + graph->nparams; i++) {
        cost_term term = {0};
        int over = 0;
        if (i < graph->nmacs) {
            const mac_entry *m = &graph->macs[i];
            const graph_value *v = &graph->values[m->value];
            term.value = m->value;
            if (m->param) {
                over = param_term(graph, &graph->params[m->param], m->per_element, &term, &full);
            } else {
                term.coefficient = m->per_element;
                term.lists[term.nlists++] = v->list;
                over = m->per_element > SIZE_MAX ||
                       mskpi_times((size_t)m->per_element, v->view.n, &full);
            }
        } else {
            const graph_param *p = &graph->params[i - graph->nmacs + 1];
            if (!counts_as_parameter(graph, p)) continue;
            term.value = p->owner;
            term.is_params = 1;
            over = param_term(graph, p, 1, &term, &full);
        }
        if (over || full > most || total[term.is_params] + full > most)
            return mskpi_fail(err, MSKP_UNSUPPORTED, "%s: with it the network has over 2^53 %s",
                              mskpi_short(mskpi_value_name(graph, term.value), room),
                              term.is_params ? "parameters" : "multiply-accumulates");
        total[term.is_params] += full;
        u->terms[u->nterms++] = term;
    }
    size_t links = 0;
    for (int fill = 0;; fill++) {
        for (size_t t = 0; t < u->nterms; t++)
            for (uint32_t k = 0; k < u->terms[t].nlists; k++) {
                const uint32_t l = u->terms[t].lists[k];
                if (fill)
                    u->list_terms[u->list_term_first[l + 1]++] = (uint32_t)t;
                else
                    u->list_term_first[l + 2]++, links++;
            }
        if (fill) break;
        prefix_sum(u->list_term_first + 1, u->nlists);
        u->list_terms = mskpi_alloc(host, links, sizeof *u->list_terms);
        if (!u->list_terms) return MSKP_NO_MEMORY;
    }
    return MSKP_OK;
}

/* ---- which operator tied what ---- */

/*
 * For each value: its units, and who joined its channels. A channel meets those before it in the
 * list where its way to the root meets one of theirs. Edges get younger towards the root, so they
 * were joined by the younger of the two edges into the meeting point, its own and the oldest of
 * theirs.
 */
typedef struct tracer {
    const mskp_graph *graph;
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
        if (g->u.of_channel[c] == MSKP_PINNED) {
            const uint32_t event = g->channels[mskpi_find_root(g, c)].pinned;
            if (!f->pinned++ || event < pinned) pinned = event;
            continue;
        }
        const uint32_t mixes = g->u.inexact[g->u.of_channel[c]];
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

static int make_freedom(const mskp_graph *graph, unit_table *u)
{
    const mskp_host *host = &graph->host;
    mskp_graph view = *graph; /* with the units that are being made */
    view.u = *u;
    tracer t = {.graph = &view,
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

mskp_status mskpi_units_make(mskp_graph *graph, mskp_error *err)
{
    unit_table u = {0};
    mskp_status status = MSKP_NO_MEMORY;
    if (!number_units(graph, &u) && !make_lists(graph, &u) && !make_families(graph, &u) &&
        !make_members(graph, &u) && !make_freedom(graph, &u))
        status = make_terms(graph, &u, err);
    if (!status) {
        graph->u = u;
        return MSKP_OK;
    }
    mskpi_units_free(&graph->host, &u);
    if (status == MSKP_NO_MEMORY)
        mskpi_fail(err, status, "%s while finishing a graph of %zu channels",
                   mskp_status_text(status), graph->nchannels);
    return status;
}

/* ---- what a host may ask ---- */

static int ready(const mskp_graph *graph)
{
    return graph && graph->finished;
}

mskp_status mskpi_check_units(const mskp_graph *graph, const char *array, size_t n, mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, graph);
    if (status) return status;
    if (!graph->finished) return mskpi_fail(err, MSKP_BAD_STATE, "the graph is not finished");
    if (n != graph->u.n)
        return mskpi_fail(err, MSKP_OTHER_NETWORK, "%s has %zu units, the graph has %zu", array, n,
                          graph->u.n);
    return MSKP_OK;
}

uint32_t mskpi_family_value(const mskp_graph *graph, size_t family)
{
    const unit_table *u = &graph->u;
    uint32_t first = UINT32_MAX;
    for (size_t i = u->incidence_first[family]; i < u->incidence_first[family + 1]; i++) {
        const uint32_t value = u->lists[u->incidences[i].list].value;
        if (value && value < first) first = value;
    }
    return first;
}

mskp_counts mskp_count(const mskp_graph *graph)
{
    mskp_counts counts = {0};
    if (ready(graph))
        counts = (mskp_counts){graph->u.n, graph->u.nfamilies, graph->nparams, graph->nvalues};
    return counts;
}

mskp_param mskp_param_find(const mskp_graph *graph, const char *name)
{
    if (!ready(graph) || !name) return (mskp_param){0};
    return (mskp_param){mskpi_name_find(graph, &graph->param_names, name)};
}

mskp_value mskp_value_find(const mskp_graph *graph, const char *name)
{
    if (!ready(graph) || !name) return (mskp_value){0};
    return (mskp_value){mskpi_name_find(graph, &graph->value_names, name)};
}

uint32_t mskp_param_info(const mskp_graph *graph, mskp_param handle, const char **name,
                         size_t shape[MSKP_MAX_DIMS])
{
    if (!ready(graph) || !handle.id || handle.id > graph->nparams) return 0;
    const graph_param *p = &graph->params[handle.id];
    if (name) *name = mskpi_param_name(graph, handle.id);
    for (uint32_t d = 0; shape && d < p->ndim; d++) shape[d] = graph->axes[p->axis + d].length;
    return p->ndim;
}

static const uint32_t *list_units(const mskp_graph *graph, uint32_t list, size_t *count)
{
    if (count) *count = graph->u.lists[list].n;
    return graph->u.list_units + graph->u.lists[list].first;
}

const uint32_t *mskp_param_units(const mskp_graph *graph, mskp_param handle, uint32_t d,
                                 uint32_t *roles, size_t *count)
{
    if (count) *count = 0;
    if (roles) *roles = 0;
    if (!ready(graph) || !handle.id || handle.id > graph->nparams ||
        d >= graph->params[handle.id].ndim)
        return NULL;
    const graph_axis *a = &graph->axes[graph->params[handle.id].axis + d];
    if (a->list == NO_LIST) return NULL;
    if (roles) *roles = a->roles;
    return list_units(graph, a->list, count);
}

uint32_t mskp_param_roles(const mskp_graph *graph, mskp_param handle)
{
    uint32_t roles = 0;
    if (!ready(graph) || !handle.id || handle.id > graph->nparams) return 0;
    const graph_param *p = &graph->params[handle.id];
    for (uint32_t d = 0; d < p->ndim; d++) roles |= graph->axes[p->axis + d].roles;
    return roles;
}

const uint32_t *mskp_value_units(const mskp_graph *graph, mskp_value handle, size_t *count)
{
    if (count) *count = 0;
    if (!ready(graph) || !handle.id || handle.id > graph->nvalues) return NULL;
    return list_units(graph, graph->values[handle.id].list, count);
}

const mskp_member *mskp_unit_members(const mskp_graph *graph, size_t unit, size_t *count)
{
    if (count) *count = 0;
    if (!ready(graph) || unit >= graph->u.n) return NULL;
    const size_t first = graph->u.member_first[unit];
    if (count) *count = graph->u.member_first[unit + 1] - first;
    return graph->u.members + first;
}

const uint32_t *mskp_unit_families(const mskp_graph *graph, size_t *count)
{
    if (count) *count = ready(graph) ? graph->u.n : 0;
    return ready(graph) ? graph->u.family : NULL;
}

const uint32_t *mskp_family_units(const mskp_graph *graph, size_t family, size_t *count)
{
    if (count) *count = 0;
    if (!ready(graph) || family >= graph->u.nfamilies) return NULL;
    const size_t first = graph->u.family_first[family];
    if (count) *count = graph->u.family_first[family + 1] - first;
    return graph->u.family_units + first;
}

mskp_status mskp_value_get_info(const mskp_graph *graph, mskp_value handle, mskp_value_info *info,
                                mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, graph, info);
    if (status) return status;
    if (!graph->finished) return mskpi_fail(err, MSKP_BAD_STATE, "the graph is not finished");
    if (!handle.id || handle.id > graph->nvalues)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "no value has handle %u, there are %zu",
                          handle.id, graph->nvalues);
    const graph_value *v = &graph->values[handle.id];
    const freedom *f = &graph->u.freedom[handle.id];
    *info = (mskp_value_info){.name = mskpi_value_name(graph, handle.id),
                              .op = v->op ? v->op : graph->text + v->own_op,
                              .nspatial = v->nspatial,
                              .channels = v->view.n,
                              .units = f->units,
                              .pinned = f->pinned,
                              .tied_by = {f->tied_by},
                              .tied = f->tied,
                              .pinned_by = {f->pinned_by},
                              .inexact = f->inexact,
                              .inexact_by = {f->inexact_by}};
    memcpy(info->spatial, v->spatial, sizeof info->spatial);
    return MSKP_OK;
}

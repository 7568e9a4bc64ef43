/*
 * The members of each unit (slices of parameters), and the terms of the network's cost.
 *
 * Members are found by a counting sort over all bound axes. A first pass counts the slices of each
 * unit, the sums of the counts are the places where the members of each unit begin, and a second
 * pass fills the members in. Both passes go over parameters, axes and indices in ascending order,
 * so that the members of a unit are in this order, too.
 *
 * The vectors of a batch norm are four axes with one list. Such neighbours are one run, and a pass
 * goes over the list once for the whole run.
 *
 * A cost term is a coefficient times the lengths of some lists. Axes that are not bound are part of
 * the coefficient. A mask changes a cost only through these lengths, so a selection recomputes
 * only the terms of the lists that it shortens; for each list, its terms are listed. Costs are
 * whole numbers of at most 2^53, which doubles hold exactly. A network with more is refused.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/make.h"
#include "units/units.h"

/* ---- Members ---- */

/* Consecutive bound axes with one list. No unit stands in the list twice, unless the run is a
 * single axis. Therefore the members of a unit, axis by axis, are still in order. */
typedef struct axis_run {
    uint32_t list;
    size_t n;
    mskp_member axis[8]; /* without index */
} axis_run;

/* Counts are kept two places late. Their sums are then starts one place late, and filling moves the
 * starts to where they belong. */
static void count_run(unit_table *u, const axis_run *run)
{
    const uint32_t *list = u->list_units + u->lists[run->list].first;
    for (size_t i = 0; i < u->lists[run->list].n; i++) {
        if (list[i] == MSKP_PINNED) continue;
        size_t *count = &u->member_first[list[i] + 2];
        *count = mskpi_sum(*count, run->n);
    }
}

static void fill_run(unit_table *u, const axis_run *run)
{
    const uint32_t *list = u->list_units + u->lists[run->list].first;
    for (size_t i = 0; i < u->lists[run->list].n; i++) {
        if (list[i] == MSKP_PINNED) continue;
        mskp_member *to = u->members + u->member_first[list[i] + 1];
        u->member_first[list[i] + 1] += run->n;
        for (size_t k = 0; k < run->n; k++) {
            to[k] = run->axis[k];
            to[k].index = (uint32_t)i;
        }
    }
}

static void visit_runs(const mskp_graph *graph, unit_table *u,
                       void (*visit)(unit_table *u, const axis_run *run))
{
    axis_run run = {.n = 0};
    for (uint32_t p = 1; p <= graph->nparams; p++)
        for (uint32_t d = 0; d < graph->params[p].ndim; d++) {
            const graph_axis *a = &graph->axes[graph->params[p].axis + d];
            if (a->list == NO_LIST) continue;
            MSKPI_ASSERT(a->list < u->nlists && u->lists[a->list].n == a->length);
            if (run.n && (run.list != a->list || u->lists[a->list].repeats ||
                          run.n == sizeof run.axis / sizeof *run.axis)) {
                visit(u, &run);
                run.n = 0;
            }
            run.list = a->list;
            run.axis[run.n++] = (mskp_member){{p}, d, 0, a->roles};
        }
    if (run.n) visit(u, &run);
}

mskp_status mskpi_make_members(const mskp_graph *graph, unit_table *u, mskp_error *err)
{
    const mskp_services *services = &graph->services;
    u->member_first = mskpi_alloc(services, u->n + 2, sizeof *u->member_first);
    if (!u->member_first) return mskpi_no_units(graph, err);
    visit_runs(graph, u, count_run);
    mskpi_prefix_sum(u->member_first + 1, u->n);
    const size_t total = u->member_first[u->n + 1];
    u->members = mskpi_alloc(services, total, sizeof *u->members);
    if (!u->members) return mskpi_no_units(graph, err);
    visit_runs(graph, u, fill_run);
    MSKPI_ASSERT(u->member_first[0] == 0 && u->member_first[u->n] == total);
    for (size_t i = 0; i < u->n; i++)
        for (size_t k = u->member_first[i] + 1; k < u->member_first[i + 1]; k++)
            MSKPI_ASSERT(mskpi_is_before(&u->members[k - 1], &u->members[k]));
    return MSKP_OK;
}

/* ---- Costs ---- */

#define COST_LIMIT (UINT64_C(1) << 53)

/* a * b, or COST_LIMIT + 1 where the product is more than COST_LIMIT. */
static uint64_t cost_product(uint64_t a, uint64_t b)
{
    return b && a > COST_LIMIT / b ? COST_LIMIT + 1 : a * b;
}

/* Whether the parameter counts among the network's parameters. Running statistics do not. */
static bool is_counted(const mskp_graph *graph, const graph_param *p)
{
    uint32_t roles = 0;
    for (uint32_t d = 0; d < p->ndim; d++) roles |= graph->axes[p->axis + d].roles;
    return !roles || (roles & ~(uint32_t)(MSKP_ROLE_MEAN | MSKP_ROLE_VARIANCE));
}

/* Adds a factor to a term for each axis of a parameter. Returns the term's value for the whole
 * network. */
static uint64_t param_term(const mskp_graph *graph, const graph_param *p, cost_term *term)
{
    uint64_t full = cost_product(term->coefficient, 1);
    term->param = (uint32_t)(p - graph->params);
    for (uint32_t d = 0; d < p->ndim; d++) {
        const graph_axis *a = &graph->axes[p->axis + d];
        full = cost_product(full, a->length);
        if (a->list == NO_LIST)
            term->coefficient *= a->length;
        else
            term->lists[term->nlists++] = a->list;
    }
    return full;
}

/* The term of one entry of multiply-accumulates. Returns its value for the whole network. */
static uint64_t mac_term(const mskp_graph *graph, const mac_entry *m, cost_term *term)
{
    const graph_value *v = &graph->values[m->value];
    MSKPI_ASSERT(m->value >= 1 && m->value <= graph->nvalues && m->param <= graph->nparams);
    *term = (cost_term){.coefficient = m->per_element, .value = m->value};
    uint64_t full;
    if (m->param) {
        full = param_term(graph, &graph->params[m->param], term);
    } else {
        term->lists[term->nlists++] = v->list;
        full = cost_product(m->per_element, v->view.n);
    }
    if (!m->each) return full;
    term->lists[term->nlists++] = graph->values[m->each].list;
    return cost_product(full, graph->values[m->each].view.n);
}

/* Appends a term, unless the sum of its kind, *total, exceeds the limit with it. */
static mskp_status add_term(const mskp_graph *graph, unit_table *u, const cost_term *term,
                            uint64_t full, uint64_t *total, mskp_error *err)
{
    char buffer[NAME_SIZE];
    MSKPI_ASSERT(*total <= COST_LIMIT && full <= COST_LIMIT + 1);
    if (*total + full > COST_LIMIT)
        return mskpi_fail(err, MSKP_ERROR_UNSUPPORTED, "%s: with it the network has over 2^53 %s",
                          mskpi_short(mskpi_value_name(graph, term->value), buffer),
                          term->is_params ? "parameters" : "multiply-accumulates");
    MSKPI_ASSERT(term->coefficient <= full || !full); /* what has vanished costs nothing */
    *total += full;
    u->terms[u->nterms++] = *term;
    return MSKP_OK;
}

static mskp_status list_terms(const mskp_graph *graph, unit_table *u, mskp_error *err)
{
    size_t links = 0;
    for (size_t t = 0; t < u->nterms; t++) {
        links += u->terms[t].nlists;
        for (uint32_t k = 0; k < u->terms[t].nlists; k++)
            u->list_term_first[u->terms[t].lists[k] + 2]++;
    }
    mskpi_prefix_sum(u->list_term_first + 1, u->nlists);
    u->list_terms = mskpi_alloc(&graph->services, links, sizeof *u->list_terms);
    if (!u->list_terms) return mskpi_no_units(graph, err);
    for (size_t t = 0; t < u->nterms; t++)
        for (uint32_t k = 0; k < u->terms[t].nlists; k++)
            u->list_terms[u->list_term_first[u->terms[t].lists[k] + 1]++] = (uint32_t)t;
    MSKPI_ASSERT(u->list_term_first[u->nlists] == links);
    return MSKP_OK;
}

mskp_status mskpi_make_terms(const mskp_graph *graph, unit_table *u, mskp_error *err)
{
    const mskp_services *services = &graph->services;
    uint64_t macs = 0, params = 0;
    mskp_status status = MSKP_OK;
    u->terms = mskpi_alloc(services, graph->nmacs + graph->nparams, sizeof *u->terms);
    u->list_term_first = mskpi_alloc(services, u->nlists + 2, sizeof *u->list_term_first);
    if (!u->terms || !u->list_term_first) return mskpi_no_units(graph, err);
    for (size_t i = 0; !status && i < graph->nmacs; i++) {
        cost_term term;
        const uint64_t full = mac_term(graph, &graph->macs[i], &term);
        status = add_term(graph, u, &term, full, &macs, err);
    }
    for (size_t i = 1; !status && i <= graph->nparams; i++) {
        const graph_param *p = &graph->params[i];
        cost_term term = {.coefficient = 1, .value = p->owner, .is_params = true};
        if (!is_counted(graph, p)) continue;
        const uint64_t full = param_term(graph, p, &term);
        status = add_term(graph, u, &term, full, &params, err);
    }
    return status ? status : list_terms(graph, u, err);
}

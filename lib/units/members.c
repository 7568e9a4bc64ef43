/*
 * The members of each unit (slices of parameters), and the terms of the network's cost.
 *
 * Members are found by a counting sort over all bound axes: a first pass counts the slices of each
 * unit, sums of the counts say where each unit's members begin, and a second pass fills them in.
 * Both passes go over the parameters in order, so that a unit's members are in the order of
 * parameters, axes and indices.
 *
 * A cost term is a product: a coefficient times the lengths of some lists. Axes that no list is
 * bound to are part of the coefficient. Costs are whole numbers below 2^53, so that doubles hold
 * them exactly; a network with more is refused. For each list the terms that depend on it are
 * noted, so that a selection recomputes only what a change touches.
 */
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/make.h"
#include "units/units.h"

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

int mskpi_make_members(const mskp_graph *graph, unit_table *u)
{
    const mskp_services *host = &graph->services;
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
        mskpi_prefix_sum(u->member_first + 1, u->n);
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
        if (!mskpi_product_fits(size, a->length, &size)) return 1;
        if (a->list == NO_LIST)
            term->coefficient *= a->length;
        else
            term->lists[term->nlists++] = a->list;
    }
    *full = size;
    return 0;
}

mskp_status mskpi_make_terms(const mskp_graph *graph, unit_table *u, mskp_error *err)
{
    const mskp_services *host = &graph->services;
    const uint64_t most = UINT64_C(1) << 53;
    uint64_t total[2] = {0, 0};
    char room[NAME_SIZE];
    size_t full = 0;
    u->terms = mskpi_alloc(host, graph->nmacs + graph->nparams, sizeof *u->terms);
    u->list_term_first = mskpi_alloc(host, u->nlists + 2, sizeof *u->list_term_first);
    if (!u->terms || !u->list_term_first) return MSKP_ERROR_NO_MEMORY;
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
                       !mskpi_product_fits((size_t)m->per_element, v->view.n, &full);
            }
        } else {
            const graph_param *p = &graph->params[i - graph->nmacs + 1];
            if (!counts_as_parameter(graph, p)) continue;
            term.value = p->owner;
            term.is_params = 1;
            over = param_term(graph, p, 1, &term, &full);
        }
        if (over || full > most || total[term.is_params] + full > most)
            return mskpi_fail(err, MSKP_ERROR_UNSUPPORTED,
                              "%s: with it the network has over 2^53 %s",
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
        mskpi_prefix_sum(u->list_term_first + 1, u->nlists);
        u->list_terms = mskpi_alloc(host, links, sizeof *u->list_terms);
        if (!u->list_terms) return MSKP_ERROR_NO_MEMORY;
    }
    return MSKP_OK;
}

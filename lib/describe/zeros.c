/*
 * Zero tables: what is known, before any training, of when a channel is zero.
 *
 * Every channel of every value has a table of 16 bits, one bit for each set of the four roles
 * FILTER, CONSUMER, SCALE and SHIFT. Bit r says whether the channel is zero once the slices of its
 * unit in the roles of set r are zero. Operators combine the tables of their inputs while the
 * network is described, where "and" is & and "or" is |. Examples: the result of a batch norm is
 * zero where scale and shift are; relu hands zero on; sigmoid does not; a sum is zero where all
 * terms are, a product where one factor is.
 *
 * A second table in each graph_channel says when the channel leaves without a trace. Each operator
 * that mixes channels restricts it by "the channel is zero, or my weights for it are" (mskpi_read).
 * mskp_exact, in the stage of units, looks up one bit of it. A value keeps one table where all its
 * channels have the same, and one for each channel in graph->zeros otherwise.
 */
#include "describe/zeros.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "describe/step.h"
#include "describe/values.h"
#include "mskp.h"
#include "mskp/operators.h"

zero_table mskpi_zero(const mskp_graph *graph, uint32_t value, size_t channel)
{
    const graph_value *v = &graph->values[value];
    return v->zeros ? graph->zeros[v->zeros - 1 + channel] : v->zero;
}

void mskpi_zero_all(mskp_graph *graph, uint32_t value, zero_table zero)
{
    graph->values[value].zero = zero;
    graph->values[value].zeros = 0;
}

zero_table *mskpi_zero_each(mskp_graph *graph, uint32_t value)
{
    graph_value *v = &graph->values[value];
    zero_table *zeros = mskpi_grow(&graph->services, graph->zeros, &graph->zeros_capacity,
                                   graph->nzeros, v->view.n, sizeof *zeros);
    if (!zeros) {
        mskpi_no_memory(graph);
        return NULL;
    }
    graph->zeros = zeros;
    return zeros + graph->nzeros;
}

/* What is the same everywhere is kept once. */
void mskpi_zero_filled(mskp_graph *graph, uint32_t value)
{
    graph_value *v = &graph->values[value];
    const zero_table *zero = graph->zeros + graph->nzeros;
    size_t i = 1;
    while (i < v->view.n && zero[i] == zero[0]) i++;
    if (i == v->view.n) {
        mskpi_zero_all(graph, value, zero[0]);
        return;
    }
    v->zeros = graph->nzeros + 1;
    graph->nzeros += v->view.n;
}

void mskpi_zero_same(mskp_graph *graph, uint32_t value, uint32_t from)
{
    graph->values[value].zero = graph->values[from].zero;
    graph->values[value].zeros = graph->values[from].zeros; /* both only read it from now on */
}

void mskpi_read(mskp_graph *graph, uint32_t value)
{
    const list_view view = graph->values[value].view;
    for (size_t i = 0; i < view.n; i++)
        graph->channels[graph->listed[view.first + i]].exact &=
            (zero_table)(mskpi_zero(graph, value, i) | ZERO_CONSUMER);
}

void mskpi_inexact(mskp_graph *graph, uint32_t value, uint32_t by)
{
    const list_view view = graph->values[value].view;
    for (size_t i = 0; i < view.n; i++) {
        graph_channel *c = &graph->channels[graph->listed[view.first + i]];
        c->exact = ZERO_NEVER;
        if (!c->inexact) c->inexact = by;
    }
}

mskp_status mskp_zero_if(mskp_graph *graph, mskp_value value, uint32_t roles)
{
    mskp_status status;
    char room[NAME_SIZE];
    if (!mskpi_describing(graph, &status)) return status;
    if (!mskpi_value(graph, "zero_if", value)) return graph->error.status;
    if (!roles || roles & ~(uint32_t)MSKP_ROLES_UNIT)
        return mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                                "%s: zero_if: roles is 0x%x, it must be made of FILTER, CONSUMER, "
                                "SCALE and SHIFT (0x%x)",
                                mskpi_short(mskpi_value_name(graph, value.id), room), roles,
                                (unsigned)MSKP_ROLES_UNIT);
    zero_table zero = ZERO_ALWAYS;
    if (roles & MSKP_ROLE_FILTER) zero &= ZERO_FILTER;
    if (roles & MSKP_ROLE_CONSUMER) zero &= ZERO_CONSUMER;
    if (roles & MSKP_ROLE_SCALE) zero &= ZERO_SCALE;
    if (roles & MSKP_ROLE_SHIFT) zero &= ZERO_SHIFT;
    mskpi_zero_all(graph, value.id, zero);
    graph->steps[value.id].own |= OWN_READ | OWN_ZERO;
    return MSKP_OK;
}

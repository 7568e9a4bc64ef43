/*
 * Zero tables: what is known, before any training, about when a channel is zero.
 *
 * Every channel of every value has a table of 16 bits, one bit for each set of the four roles
 * FILTER, CONSUMER, SCALE and SHIFT. Bit r says whether the channel is zero for every input, once
 * the slices of its unit in the roles of set r are zero. Operators combine the tables of their
 * inputs while the network is described. The result of a batch norm is zero once scale and shift
 * are; relu keeps the table of its input, while nothing is known after a sigmoid; a sum is zero
 * where all terms are, a product where one factor is.
 *
 * A second table, in each graph_channel, says when the channel can be removed exactly, that is,
 * without any effect on other channels. Each operator that mixes channels restricts it by "the
 * channel is zero, or the operator's weights for it are" (mskpi_mark_consumed). mskp_exact, in the
 * stage of units, reads one bit of it.
 *
 * A value keeps one table where all its channels have the same table, which is the common case.
 * Otherwise it has one for each channel in graph->zeros. Tables there never change, so values
 * share them.
 */
#include "describe/zeros.h"
#include "base/assert.h"
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
    MSKPI_ASSERT(value >= 1 && value <= graph->nvalues && channel < v->view.n);
    MSKPI_ASSERT(!v->zeros || v->zeros - 1 + v->view.n <= graph->nzeros);
    return v->zeros ? graph->zeros[v->zeros - 1 + channel] : v->zero;
}

void mskpi_zero_all(mskp_graph *graph, uint32_t value, zero_table zero)
{
    graph->values[value].zero = zero;
    graph->values[value].zeros = 0;
}

void mskpi_zero_same(mskp_graph *graph, uint32_t value, uint32_t from)
{
    MSKPI_ASSERT(from < value); /* an operator reads values that were made before */
    graph->values[value].zero = graph->values[from].zero;
    graph->values[value].zeros = graph->values[from].zeros;
}

mskp_status mskpi_zero_each(mskp_graph *graph, uint32_t value, zero_table **zero)
{
    zero_table *zeros = mskpi_grow(&graph->services, graph->zeros, &graph->zeros_capacity,
                                   graph->nzeros, graph->values[value].view.n, sizeof *zeros);
    if (!zeros) return mskpi_no_memory(graph);
    graph->zeros = zeros;
    *zero = zeros + graph->nzeros;
    return MSKP_OK;
}

/* The tables are behind the used part of graph->zeros, and stay there only if they differ. */
void mskpi_zero_filled(mskp_graph *graph, uint32_t value)
{
    graph_value *v = &graph->values[value];
    const zero_table *zero = graph->zeros + graph->nzeros;
    size_t i = 1;
    MSKPI_ASSERT(v->view.n >= 1 && v->view.n <= graph->zeros_capacity - graph->nzeros);
    while (i < v->view.n && zero[i] == zero[0]) i++;
    if (i == v->view.n) {
        mskpi_zero_all(graph, value, zero[0]);
        return;
    }
    v->zeros = graph->nzeros + 1;
    graph->nzeros += v->view.n;
}

void mskpi_mark_consumed(mskp_graph *graph, uint32_t value)
{
    const list_view view = graph->values[value].view;
    for (size_t i = 0; i < view.n; i++)
        graph->channels[graph->listed[view.first + i]].exact &=
            (zero_table)(mskpi_zero(graph, value, i) | ZERO_CONSUMER);
}

void mskpi_mark_inexact(mskp_graph *graph, uint32_t value, uint32_t by)
{
    const list_view view = graph->values[value].view;
    for (size_t i = 0; i < view.n; i++) {
        graph_channel *c = &graph->channels[graph->listed[view.first + i]];
        MSKPI_ASSERT(c->inexact <= by); /* operators come in order, so the first one is kept */
        c->exact = ZERO_NEVER;
        if (!c->inexact) c->inexact = by;
    }
}

mskp_status mskp_zero_if(mskp_graph *graph, mskp_value value, uint32_t roles)
{
    graph_value v;
    const mskp_status status = mskpi_get_value(graph, "zero_if", value, &v);
    if (status) return status;
    if (!roles || roles & ~(uint32_t)MSKP_ROLES_UNIT)
        return mskpi_refuse(graph, mskpi_value_name(graph, value.id), MSKP_ERROR_BAD_ARGUMENT,
                            "zero_if: roles is 0x%x, it must be made of FILTER, CONSUMER, SCALE "
                            "and SHIFT (0x%x)",
                            roles, (unsigned)MSKP_ROLES_UNIT);
    zero_table zero = ZERO_ALWAYS;
    if (roles & MSKP_ROLE_FILTER) zero &= ZERO_FILTER;
    if (roles & MSKP_ROLE_CONSUMER) zero &= ZERO_CONSUMER;
    if (roles & MSKP_ROLE_SCALE) zero &= ZERO_SCALE;
    if (roles & MSKP_ROLE_SHIFT) zero &= ZERO_SHIFT;
    mskpi_zero_all(graph, value.id, zero);
    graph->steps[value.id].own |= OWN_READ | OWN_ZERO;
    return MSKP_OK;
}

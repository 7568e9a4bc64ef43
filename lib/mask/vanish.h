/* What vanishes under a mask: operators that compute nothing any more. */
#ifndef MSKP_MASK_VANISH_H
#define MSKP_MASK_VANISH_H

#include <stdbool.h>

#include "describe/graph.h"
#include "mskp/tools.h"
#include "units/units.h"

typedef struct vanishing {
    const mskp_graph *graph;
    bool any;        /* something vanishes; if not, the arrays mean nothing */
    uint8_t *value;  /* [values + 1] an mskp_fate */
    uint8_t *param;  /* [params + 1] 1: the parameter vanishes */
    uint8_t *read;   /* [values + 1] 1: an operator reads the value */
    uint32_t *cause; /* [values + 1] the first value without channels that the value depends on */
    uint32_t *uses;  /* [params + 1] how many operators use the parameter */
} vanishing;

/* *v <- room for what vanishes from the graph, nothing yet. Free it with mskpi_vanish_free. */
mskp_status mskpi_vanish_make(vanishing *v, const mskp_graph *graph, mskp_error *err);
void mskpi_vanish_free(vanishing *v);

/* *v <- what vanishes once the lists have these lengths. MSKP_ERROR_NO_SOLUTION: the network cannot
 * be reduced to them; the sentence says why, and then nothing vanishes. Allocates nothing. */
mskp_status mskpi_vanish(vanishing *v, const size_t *length, mskp_error *err);

static inline mskp_fate mskpi_fate(const vanishing *v, uint32_t value)
{
    return v->any ? (mskp_fate)v->value[value] : MSKP_FATE_STAYS;
}

static inline bool mskpi_param_vanishes(const vanishing *v, uint32_t param)
{
    return v->any && v->param[param];
}

/* How many channels of a value are still made: none of one that has vanished. */
static inline size_t mskpi_channels_left(const vanishing *v, const size_t *length, uint32_t value)
{
    return mskpi_fate(v, value) == MSKP_FATE_VANISHES ? 0 : length[v->graph->values[value].list];
}

/* The term's value where the lists have the lengths that v was made for. */
uint64_t mskpi_term_left(const vanishing *v, const cost_term *term, const size_t *length);

#endif

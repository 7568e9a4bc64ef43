/* The units of a finished graph, and the arrays about them. */
#ifndef MSKP_UNITS_UNITS_H
#define MSKP_UNITS_UNITS_H

#include <stdbool.h>

#include "base/assert.h"
#include "describe/graph.h"
#include "mskp/tools.h"

/* A distinct list of units, with MSKP_PINNED for pinned channels. */
typedef struct unit_list {
    size_t first, n; /* in unit_table.list_units */
    uint32_t value;  /* the first value that has this list, for sentences; 0: only axes have it */
    bool repeats;    /* some unit stands in it more than once */
} unit_list;

/* `times` channels of each unit of a family stand in the list. */
typedef struct incidence {
    uint32_t list, times;
} incidence;

/* A part of the network's cost: coefficient * product of the lengths of the lists. */
typedef struct cost_term {
    uint64_t coefficient;
    uint32_t value; /* whose cost it is */
    uint32_t param; /* a parameter: all axes of it are factors; 0: none */
    bool is_params; /* the term counts parameters, not multiply-accumulates */
    uint32_t nlists;
    uint32_t lists[MSKP_MAX_DIMS + 1];
} cost_term;

/* What mskp_value_coupling returns about a value, with the fields of mskp_coupling. */
typedef struct freedom {
    size_t units, pinned, tied, inexact;
    uint32_t tied_by, pinned_by, inexact_by;
} freedom;

/* All that finish finds out. Arrays named X_first hold where each part begins in array X, and after
 * the last part where the array ends. */
typedef struct unit_table {
    size_t n;
    uint32_t *of_channel; /* [channels] the unit, or MSKP_PINNED */
    zero_table *exact;    /* [n] when the unit can be removed exactly */
    uint32_t *inexact; /* [n] the first value whose statistics mix one of its channels; 0: none */

    unit_list *lists; /* [nlists] in the order of the first values and axes that have them */
    uint32_t *list_units;
    size_t nlists;

    size_t nfamilies;
    uint32_t *family;        /* [n] */
    size_t *family_first;    /* [nfamilies + 1] */
    uint32_t *family_units;  /* [n] ascending in each family */
    size_t *incidence_first; /* [nfamilies + 1] */
    incidence *incidences;   /* of each family, by ascending list */

    size_t *member_first; /* [n + 1] */
    mskp_member *members; /* of each unit, by parameter, axis and index */

    cost_term *terms;
    size_t nterms;
    size_t *list_term_first; /* [nlists + 1] */
    uint32_t *list_terms;    /* of each list, the terms that depend on its length, ascending */

    freedom *freedom; /* [values + 1] */
} unit_table;

/* Finds the units of a described graph. The graph is unchanged on failure. */
mskp_status mskpi_units_make(mskp_graph *graph, mskp_error *err);

/* Refuses a graph that is NULL, not finished, or has another number of units. `array` is the name
 * of what has that many units, for the sentence. */
mskp_status mskpi_check_units(const mskp_graph *graph, const char *array, size_t units,
                              mskp_error *err);
/* The same for a mask and for scores; they also refuse an array that is NULL. */
mskp_status mskpi_check_mask(const mskp_graph *graph, const char *name, mskp_mask mask,
                             mskp_error *err);
mskp_status mskpi_check_scores(const mskp_graph *graph, const char *name, mskp_scores scores,
                               mskp_error *err);
/* The same for a mask that may be {0, NULL}. */
mskp_status mskpi_check_optional_mask(const mskp_graph *graph, const char *name, mskp_mask mask,
                                      mskp_error *err);

/* The name of the first value with the units of a family, which is the value of the operator that
 * made them; "-" for units that no value has any more, because the values vanished. */
const char *mskpi_family_name(const mskp_graph *graph, size_t family);

/* The unit of each channel of a value. */
static inline const uint32_t *mskpi_units_of(const mskp_graph *graph, uint32_t value)
{
    MSKPI_ASSERT(value >= 1 && value <= graph->nvalues);
    MSKPI_ASSERT(graph->values[value].list < graph->u->nlists);
    return graph->u->list_units + graph->u->lists[graph->values[value].list].first;
}

/*
 * Returns the first value, from v on, that the custom operator of a reader may read; 0: there is
 * none. Such an operator reads the reader's value. If the caller has tied this value, the operator
 * may also read every other tied value with the same units: the weight of a grouped convolution is
 * bound to the channels of one group, and the other groups are tied to them, but their channels may
 * hold other constants. (Two operators on one stream are then taken to read each other's values,
 * too, so more may be reported than is read, but never less.)
 */
static inline uint32_t mskpi_next_read(const mskp_graph *graph, const own_reader *reader,
                                       uint32_t v)
{
    const uint32_t own = reader->value;
    if (!(reader->roles & MSKP_ROLE_CONSUMER)) return 0;
    if (!(graph->steps[own].own & OWN_TIED)) return v <= own ? own : 0;
    for (; v <= graph->nvalues; v++)
        if (graph->steps[v].own & OWN_TIED && graph->values[v].list == graph->values[own].list)
            return v;
    return 0;
}

/* Whether an entry of a list of units is kept. keep NULL: all are. */
static inline bool mskpi_is_kept(const uint8_t *keep, uint32_t unit)
{
    return !keep || unit == MSKP_PINNED || keep[unit];
}

/* Whether an entry of a list of units is removed. */
static inline bool mskpi_is_removed(const uint8_t *keep, uint32_t unit)
{
    return unit != MSKP_PINNED && !keep[unit];
}

#endif

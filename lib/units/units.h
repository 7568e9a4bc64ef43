/* The units of a finished graph, and the arrays around them. */
#ifndef MSKP_UNITS_UNITS_H
#define MSKP_UNITS_UNITS_H

#include "describe/graph.h"
#include "mskp/tools.h"

/* Distinct lists of units; MSKP_PINNED for pinned channels. */
typedef struct unit_list {
    size_t first, n;  /* in list_units */
    uint32_t value;   /* the first value that has it, for sentences; 0: only axes have it */
    uint32_t repeats; /* some unit stands in it more than once */
} unit_list;

/* `times` channels of each unit of the family stand in the list. */
typedef struct incidence {
    uint32_t list, times;
} incidence;

/* A product of list lengths: coefficient * prod |list|. */
typedef struct cost_term {
    uint64_t coefficient;
    uint32_t value;
    uint32_t is_params; /* parameters, not MACs */
    uint32_t nlists;
    uint32_t lists[MSKP_MAX_DIMS];
} cost_term;

/* What mskp_coupling tells of a value. */
typedef struct freedom {
    size_t units, pinned, tied, inexact;
    uint32_t tied_by, pinned_by, inexact_by;
} freedom;

typedef struct unit_table {
    size_t n;
    uint32_t *of_channel; /* [channels] */
    zero_table *exact;    /* [n] */
    uint32_t *inexact; /* [n] the first value whose statistics mix one of its channels; 0: none */

    unit_list *lists;
    uint32_t *list_units;
    size_t nlists;

    size_t nfamilies;
    uint32_t *family;        /* [n] */
    size_t *family_first;    /* [nfamilies + 1] into family_units */
    uint32_t *family_units;  /* [n] */
    size_t *incidence_first; /* [nfamilies + 1] */
    incidence *incidences;

    size_t *member_first; /* [n + 1] */
    mskp_member *members;

    cost_term *terms;
    size_t nterms;
    size_t *list_term_first; /* [nlists + 1] into list_terms */
    uint32_t *list_terms;

    freedom *freedom; /* [values + 1] */
} unit_table;

/* Makes the units of a graph, from its description. */
mskp_status mskpi_units_make(mskp_graph *graph, mskp_error *err);

/* Is graph finished, and are there so many units? array: what has so many, for the sentence. */
mskp_status mskpi_check_units(const mskp_graph *graph, const char *array, size_t units,
                              mskp_error *err);
/* The same for a mask and for scores, which must not be NULL either. */
mskp_status mskpi_check_mask(const mskp_graph *graph, const char *name, mskp_mask mask,
                             mskp_error *err);
mskp_status mskpi_check_scores(const mskp_graph *graph, const char *name, mskp_scores scores,
                               mskp_error *err);
/* The same for a mask that may be {0, NULL}. */
mskp_status mskpi_check_optional_mask(const mskp_graph *graph, const char *name, mskp_mask mask,
                                      mskp_error *err);

/* Does this entry of a list of units stay? keep NULL: all do. */
static inline int mskpi_is_kept(const uint8_t *keep, uint32_t unit)
{
    return !keep || unit == MSKP_PINNED || keep[unit];
}
/* The first value with a family's units: each stands in one, that of the operator that made it. */
uint32_t mskpi_family_value(const mskp_graph *graph, size_t family);

/* The unit of each channel of a value. */
static inline const uint32_t *mskpi_units_of(const mskp_graph *graph, uint32_t value)
{
    return graph->u->list_units + graph->u->lists[graph->values[value].list].first;
}
static inline int mskpi_is_removed(const uint8_t *keep, uint32_t unit)
{
    return unit != MSKP_PINNED && !keep[unit];
}

#endif

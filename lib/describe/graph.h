/* A described network. */
#ifndef MSKP_DESCRIBE_GRAPH_H
#define MSKP_DESCRIBE_GRAPH_H

#include <stdbool.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/status.h"
#include "describe/names.h"
#include "describe/step.h"
#include "describe/zeros.h"
#include "mskp/operators.h"
#include "mskp/tools.h"

/* A list of channels: a view into the arena graph->listed. Operators that change no channels share
 * the view of their input. */
typedef struct list_view {
    size_t first, n;
} list_view;

typedef struct graph_value {
    size_t name;    /* offset into graph->text */
    const char *op; /* static text; NULL: the caller's own word, at offset own_op in graph->text */
    size_t own_op;
    list_view view;
    uint32_t nspatial;
    size_t spatial[MSKP_MAX_SPATIAL];
    uint32_t list;   /* after finish: the number of its list among the distinct lists */
    zero_table zero; /* the table of all its channels, if zeros is 0 */
    size_t zeros;    /* otherwise 1 + where the tables of its channels begin in graph->zeros */
} graph_value;

typedef struct graph_param {
    size_t name; /* offset into graph->text */
    uint32_t ndim;
    uint32_t axis;  /* the number of its first axis in graph->axes */
    uint32_t owner; /* the value that it was bound or attached to first; 0: none */
} graph_param;

typedef struct graph_axis {
    size_t length;
    list_view view;    /* n is 0 if the axis is not bound, and length if it is */
    uint32_t fixed_by; /* the first value whose operator reads all of the axis; 0: none */
    uint32_t roles;
    uint32_t list; /* after finish: the number of its distinct list; NO_LIST: not bound */
} graph_axis;

#define NO_LIST UINT32_MAX

/* Whether the axis is bound to channels. If it vanished (length 0), it is bound to none. */
static inline bool mskpi_is_bound(const graph_axis *a)
{
    return a->view.n == a->length;
}

/* A node of the union-find forest of ties (ties.c). Paths are not compressed, so the forest
 * also records when two channels were joined and, through the event, by which operator. */
typedef struct graph_channel {
    uint32_t parent;    /* itself, if it is a root */
    uint32_t size;      /* the number of channels of its tree, if it is a root */
    uint32_t joined_at; /* the event that made the edge to its parent */
    uint32_t pinned;    /* 1 + the event that pinned it first; 0: none */
    uint32_t inexact;   /* the first value whose operator's statistics mix it; 0: none */
    zero_table exact;   /* when it can be removed exactly: see zeros.c */
} graph_channel;

/* Multiply-accumulates per kept element of a parameter, or, if param is 0, per kept channel of the
 * value, and then for each kept channel of another value, if `each` is not 0. They count as a cost
 * of the value. */
typedef struct mac_entry {
    uint32_t value, param, each;
    uint64_t per_element;
} mac_entry;

struct mskp_graph {
    mskp_services services;
    mskp_error error; /* the first error of the description */
    bool finished;

    graph_param *params; /* by id; entry 0 is not used */
    size_t nparams, params_capacity;
    graph_axis *axes;
    size_t naxes, axes_capacity;
    graph_value *values; /* by id; entry 0 is not used */
    size_t nvalues, values_capacity;
    uint32_t *listed; /* the arena of lists of channels */
    size_t nlisted, listed_capacity;
    graph_channel *channels;
    size_t nchannels, channels_capacity;
    uint32_t *events; /* in the order of time: the value whose operator tied or pinned channels */
    size_t nevents, events_capacity;
    zero_table *zeros; /* of values whose channels have different tables */
    size_t nzeros, zeros_capacity;
    mac_entry *macs;
    size_t nmacs, macs_capacity;
    graph_step *steps; /* by value */
    size_t steps_capacity;
    uint32_t *step_inputs;
    size_t nstep_inputs, step_inputs_capacity;
    uint32_t *places;
    size_t nplaces, places_capacity;
    own_reader *readers;
    size_t nreaders, readers_capacity;
    char *text; /* all names, each with a terminating 0 */
    size_t text_used, text_capacity;
    name_table param_names, value_names;

    struct unit_table *u; /* what finish adds: units/units.h; NULL before */
};

/* Frees the graph and everything that was described, but not its units. */
void mskpi_description_free(mskp_graph *graph);

/* Refuses calls that describe a graph that is NULL, finished or failed. Such a call returns the
 * status and leaves the graph's error as it is. */
mskp_status mskpi_check_describing(const mskp_graph *graph);

/* Fills the graph's error with a sentence. There must be no earlier one. Returns the status. */
mskp_status mskpi_graph_fail(mskp_graph *graph, mskp_status status, const char *format, ...)
    MSKPI_PRINTF(3, 4);

/* The same, with a sentence that begins with the label of an operator or parameter: "conv1: ". */
mskp_status mskpi_refuse(mskp_graph *graph, const char *label, mskp_status status,
                         const char *format, ...) MSKPI_PRINTF(4, 5);

/* The same, because the allocator returned NULL. */
mskp_status mskpi_no_memory(mskp_graph *graph);

/* The status to return after a function that describes has failed. */
static inline mskp_status mskpi_first_error(const mskp_graph *graph)
{
    MSKPI_ASSERT(graph->error.status != MSKP_OK);
    return graph->error.status;
}

#endif

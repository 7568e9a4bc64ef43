/* A described network. */
#ifndef MSKP_DESCRIBE_GRAPH_H
#define MSKP_DESCRIBE_GRAPH_H

#include "describe/names.h"
#include "describe/step.h"
#include "describe/zeros.h"
#include "mskp/operators.h"
#include "mskp/tools.h"

/* Ids and channels are 32 bits wide; the last number stands for "none". */
#define MOST (UINT32_MAX - 1)

/* Lists of channels are views into one arena, so that operators that change no channels share
 * theirs. */
typedef struct list_view {
    size_t first, n;
} list_view;

typedef struct graph_value {
    size_t name;    /* offset into text */
    const char *op; /* static text; NULL: the host's own word, at own_op in text */
    size_t own_op;
    list_view view;
    uint32_t nspatial;
    size_t spatial[MSKP_MAX_SPATIAL];
    uint32_t list;   /* after finish: number of its distinct list */
    zero_table zero; /* of all its channels, if zeros is 0 */
    size_t zeros;    /* else 1 + where they start in graph->zeros */
} graph_value;

typedef struct graph_param {
    size_t name;
    uint32_t ndim;
    uint32_t axis;  /* its first axis in graph->axes */
    uint32_t owner; /* the value that it was first bound to; 0: not bound */
} graph_param;

typedef struct graph_axis {
    size_t length;
    list_view view; /* n == 0: not bound */
    uint32_t roles;
    uint32_t list; /* after finish; NO_LIST: not bound */
} graph_axis;

#define NO_LIST UINT32_MAX

/* Union-find by size without path compression: the forest then also tells when two channels were
 * joined (edges are younger towards the root), and with the event, by which operator. */
typedef struct graph_channel {
    uint32_t parent;
    uint32_t size;      /* of its tree, if it is a root */
    uint32_t joined_at; /* the event of the edge to its parent */
    uint32_t pinned;    /* 1 + the event that pinned it; 0: none */
    uint32_t inexact;   /* the value whose operator's statistics mix it with others; 0: none */
    zero_table exact;   /* when it leaves without a trace: see zeros.c */
} graph_channel;

typedef struct mac_entry {
    uint32_t value, param; /* param 0: per channel of value */
    uint64_t per_element;
} mac_entry;

struct mskp_graph {
    mskp_services services;
    mskp_error error; /* the first, while describing */
    int finished;

    graph_param *params; /* entry 0 is not used */
    size_t nparams, params_capacity;
    graph_axis *axes;
    size_t naxes, axes_capacity;
    graph_value *values; /* entry 0 is not used */
    size_t nvalues, values_capacity;
    uint32_t *listed; /* the arena of channel lists */
    size_t nlisted, listed_capacity;
    graph_channel *channels;
    size_t nchannels, channels_capacity;
    uint32_t *events; /* in the order of time: the value whose operator tied or pinned */
    size_t nevents, events_capacity;
    zero_table *zeros; /* of values whose channels differ */
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
    char *text; /* all names */
    size_t text_used, text_capacity;
    name_table param_names, value_names;

    struct unit_table *u; /* what finish adds: units/units.h; NULL before */
};

/* Frees all that was described, and the graph. */
void mskpi_description_free(mskp_graph *graph);

/* May calls that describe go on? If not, *status says why. */
int mskpi_describing(const mskp_graph *graph, mskp_status *status);
/* The first error sticks. Returns status. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
mskp_status
mskpi_graph_fail(mskp_graph *graph, mskp_status status, const char *format, ...);

mskp_status mskpi_no_memory(mskp_graph *graph);

#endif

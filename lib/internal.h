/*
 * What the library's files share. Order of stages: graph, operator -> unit -> slice, score ->
 * measure, select, maskfile -> penalty -> constants -> report, plan -> cut. A file uses the stages
 * before its own, never those after.
 */
#ifndef MSKP_INTERNAL_H
#define MSKP_INTERNAL_H

#include <math.h>
#include <string.h>

#include "mskp.h"

/* ---- status.c ---- */

/* Room for a name as it stands in a sentence. */
#define NAME_ROOM 72

/* Fills *err (which may be NULL) and returns status. Formats: %s %zu %u and the like, no floating
 * point (its look depends on the locale): see mskpi_number. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
mskp_status
mskpi_fail(mskp_error *err, mskp_status status, const char *format, ...);

/* MSKP_BAD_ARGUMENT with its name for the first of these pointers that is NULL. */
#define MSKPI_GIVEN(err, ...)                                                                  \
    mskpi_given(err, #__VA_ARGS__, sizeof(const void *[]){__VA_ARGS__} / sizeof(const void *), \
                (const void *const[]){__VA_ARGS__})
mskp_status mskpi_given(mskp_error *err, const char *names, size_t n, const void *const *pointers);

/* MSKP_BAD_ARGUMENT if there are others than those of MSKP_ROLES_UNIT. */
mskp_status mskpi_check_roles(mskp_error *err, const char *name, uint32_t roles);

/* name as a sentence shows it: shortened in the middle if it is longer than NAME_ROOM - 1, control
 * characters as question marks. */
const char *mskpi_short(const char *name, char room[NAME_ROOM]);

/* n bytes from outside, shortened in the middle likewise, without control characters. */
const char *mskpi_quote(const char *bytes, size_t n, char room[NAME_ROOM]);

/* A number for a sentence, the same in every locale; and with as many digits as reading it back takes. */
const char *mskpi_number(double x, char room[32]);
const char *mskpi_exact_number(double x, char room[32]);

/* ---- text.c ---- */

/* Text for the host's memory. */
typedef struct text_writer {
    char *to; /* NULL: only counts */
    size_t length;
} text_writer;
void mskpi_put_bytes(text_writer *w, const char *bytes, size_t n);
void mskpi_put(text_writer *w, const char *string);
void mskpi_put_count(text_writer *w, size_t n);
/* *length <- bytes of what `tell` puts; then puts it into text (NULL: not) with a 0 behind it, if
 * there is room for both. `tell` is called twice and must put the same. */
mskp_status mskpi_write(void (*tell)(text_writer *w, const void *what), const void *what,
                        size_t room, char *text, size_t *length, mskp_error *err);

/* ---- alloc.c ---- */

mskp_status mskpi_check_host(const mskp_host *host, mskp_error *err);
void mskpi_host_init(mskp_host *to, const mskp_host *from);
/* n elements of `size` bytes, cleared. n = 0 gives memory, too. NULL: no memory, or overflow. */
void *mskpi_alloc(const mskp_host *host, size_t n, size_t size);
void mskpi_free(const mskp_host *host, void *memory);
/* A growing array: returns it with room for `more` elements after `used`, perhaps moved, the new
 * room cleared. NULL: no memory, and the old array stays. */
void *mskpi_grow(const mskp_host *host, void *array, size_t *capacity, size_t used, size_t more,
                 size_t size);
void mskpi_parallel(const mskp_host *host, size_t n, void (*work)(void *context, size_t i),
                    void *context);
/* *product <- a * b; 1 if that overflows. */
int mskpi_times(size_t a, size_t b, size_t *product);
/* a * b; SIZE_MAX if that overflows. */
size_t mskpi_product(size_t a, size_t b);
/* Any byte of `reserved` not zero? */
int mskpi_used(const uint64_t *reserved, size_t n);
/* floor(fraction * n) for a fraction in [0, 1], forgiving the rounding of the product: 0.29 * 100 is
 * 29. */
size_t mskpi_fraction(double fraction, size_t n);

/* ---- sort.c ---- */

/* Merge sort by a strict total order; room for n more. */
void mskpi_sort(uint32_t *numbers, uint32_t *room, size_t n,
                int (*before)(const void *context, uint32_t a, uint32_t b), const void *context);

/* A key, and what goes with it. */
typedef struct sort_item {
    uint64_t key;
    uint32_t unit, family;
} sort_item;
/* Radix sort by ascending keys, equals in the order given; room for n more. Returns where the
 * result is: one of the two. */
sort_item *mskpi_sort_items(sort_item *items, sort_item *room, size_t n);

/* ---- the graph: what was described ---- */

/* Lists of channels are views into one arena, so that operators that change no channels share
 * theirs. */
typedef struct list_view {
    size_t first, n;
} list_view;

/* By set of roles (FILTER, CONSUMER, SCALE, SHIFT: 16 sets): bit r is set if something holds once
 * the slices of these roles r are zero. */
typedef uint16_t zero_table;
#define ZERO_NEVER    ((zero_table)0)
#define ZERO_ALWAYS   ((zero_table)0xffff)
#define ZERO_FILTER   ((zero_table)0xaaaa)
#define ZERO_CONSUMER ((zero_table)0xcccc)
#define ZERO_SCALE    ((zero_table)0xf0f0)
#define ZERO_SHIFT    ((zero_table)0xff00)

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
    zero_table exact;   /* when it leaves without a trace: see exact.c */
} graph_channel;

/* What an operator computes, as far as the walk of constants must know it: see constants.c. */
typedef enum step_kind {
    STEP_UNKNOWN = 0, /* anything; mskp_zero_if may say more */
    STEP_CONV,        /* params: weight, bias */
    STEP_TRANSPOSED,
    STEP_LINEAR,    /* rows from `first` on */
    STEP_TABLE,     /* params: the table */
    STEP_PARAM,     /* params: it; option: the axis */
    STEP_NORM,      /* params: scale, shift, mean, variance; option: mskp_norm_layer */
    STEP_PRELU,     /* params: slope */
    STEP_FUNCTION,  /* option: mskp_activation_kind */
    STEP_POOL,      /* option 1: what is constant stays so; 0: only zeros do */
    STEP_COMBINE,   /* option: mskp_combine_kind */
    STEP_STACK,     /* one after the other in space */
    STEP_PART,      /* channels from `first` on */
    STEP_PLACES,    /* channel i is channel places[first + i], or NO_PLACE: zero */
    STEP_BLOCKS,    /* channel i is made of places[first + i * groups + ...] */
    STEP_CONCAT,    /* inputs, one after the other */
    STEP_ATTEND,    /* of value, query, key: as STEP_PLACES. option 1: positions leave */
    STEP_RECURRENT, /* params: input weight, hidden weight, biases */
} step_kind;

#define NO_PLACE         UINT32_MAX
#define STEP_MOST_PARAMS 4

/* What a host's primitives say of a value besides. */
enum {
    OWN_READ = 1,    /* something else may read it */
    OWN_SCALED = 2,  /* it is more than its step says, but zero where that is zero */
    OWN_CHANGED = 4, /* it may be anything */
    OWN_ZERO = 8     /* when it is zero is the host's word (mskp_zero_if) */
};

typedef struct graph_step {
    step_kind kind;
    uint32_t option;
    uint32_t ninputs;
    uint32_t own;
    size_t first_input; /* in graph->step_inputs */
    uint32_t params[STEP_MOST_PARAMS];
    size_t first;
    size_t groups; /* of convolutions and group norms; of attention: key and value heads */
    uint8_t whole; /* whole groups leave */
    uint8_t part;  /* shares its parameters with the step before, other rows of them */
    uint8_t uniform_padding;
    uint8_t outside_root;
    union {
        struct {
            size_t stride[MSKP_MAX_SPATIAL], dilation[MSKP_MAX_SPATIAL], before[MSKP_MAX_SPATIAL];
        } conv;
        double epsilon;
        struct {
            double (*call)(double x, const double *parameters);
            double parameters[MSKP_FUNCTION_PARAMETERS];
        } function;
    } as;
} graph_step;

/* An operator of the host's own that uses a parameter: with this axis, in these roles, at this
 * value; roles 0: it only belongs to it. */
typedef struct own_reader {
    uint32_t param, axis, value, roles;
} own_reader;

typedef struct mac_entry {
    uint32_t value, param; /* param 0: per channel of value */
    uint64_t per_element;
} mac_entry;

typedef struct name_slot {
    uint32_t id, hash; /* id 0: empty */
} name_slot;

typedef struct name_table {
    name_slot *slot;
    size_t capacity, used;
} name_table;

/* ---- the graph: what finish adds (unit.c) ---- */

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

/* What mskp_value_info tells of a value. */
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

struct mskp_graph {
    mskp_host host;
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

    unit_table u;
};

/* ---- graph.c ---- */

const char *mskpi_param_name(const mskp_graph *graph, uint32_t param);
const char *mskpi_value_name(const mskp_graph *graph, uint32_t value);
/* May calls that describe go on? If not, *status says why. */
int mskpi_describing(const mskp_graph *graph, mskp_status *status);
/* The first error sticks. Returns status. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
mskp_status
mskpi_graph_fail(mskp_graph *graph, mskp_status status, const char *format, ...);
/* The value behind a handle, or NULL after a sentence. `who` is the operator's name, for it. */
const graph_value *mskpi_value(mskp_graph *graph, const char *who, mskp_value handle);
/* `what`: what the operator calls it, for sentences. */
const graph_param *mskpi_param(mskp_graph *graph, const char *who, const char *what,
                               mskp_param handle);
/* The operator's name with a part's, "block1.attn.query", for the value that is made next. NULL
 * stays NULL. */
const char *mskpi_part_name(mskp_graph *graph, const char *name, const char *part);
/* A value over a list; handle 0 on failure. name NULL: derived from op. */
mskp_value mskpi_new_value(mskp_graph *graph, const char *name, const char *op, list_view view,
                           uint32_t nspatial, const size_t *spatial);
/* n new channels, listed. 0: done. */
int mskpi_new_channels(mskp_graph *graph, const char *who, size_t n, list_view *view);
/* Room for a new list of n channels, not yet filled. 0: done. */
int mskpi_new_list(mskp_graph *graph, const char *who, size_t n, list_view *view);
/* `by`: the value whose operator pins. */
mskp_status mskpi_pin(mskp_graph *graph, const char *who, mskp_value handle, uint32_t by);
/* Copies the host's word for an operator to the graph's text. 1 after a sentence. */
int mskpi_own_op(mskp_graph *graph, const char *who, const char *op, size_t *offset);
mskp_status mskpi_tie_lists(mskp_graph *graph, list_view a, list_view b, uint32_t by);
/* All channels of a list, with each other; position p of every one of n equal parts. */
mskp_status mskpi_tie_all(mskp_graph *graph, list_view view, uint32_t by);
mskp_status mskpi_tie_parts(mskp_graph *graph, list_view view, size_t n, uint32_t by);
/* `owner`: the value that a parameter counts for, if this binds it first; `by`: the one whose
 * operator binds. */
mskp_status mskpi_bind(mskp_graph *graph, mskp_param handle, uint32_t axis, uint32_t roles,
                       list_view view, uint32_t owner, uint32_t by);
/* mskp_bind and mskp_attach by an operator that the library knows. */
mskp_status mskpi_bind_value(mskp_graph *graph, mskp_param handle, uint32_t axis, uint32_t roles,
                             mskp_value value);
mskp_status mskpi_attach(mskp_graph *graph, mskp_param handle, mskp_value value);
/* What computes a value; to be filled in. NULL: no memory, which has been said. */
graph_step *mskpi_step(mskp_graph *graph, mskp_value value, step_kind kind, size_t n,
                       const mskp_value *inputs);
/* Room for n places; *first <- where they begin. NULL: no memory, which has been said. */
uint32_t *mskpi_places(mskp_graph *graph, size_t n, size_t *first);
mskp_status mskpi_no_memory(mskp_graph *graph);
/* An operator's name as sentences call it. */
const char *mskpi_who(const char *name, const char *op);
uint32_t mskpi_find_root(const mskp_graph *graph, uint32_t channel);
size_t mskpi_hash(const void *bytes, size_t n);
uint32_t mskpi_name_find(const mskp_graph *graph, const name_table *table, const char *name);
size_t mskpi_positions(const graph_value *v);
int mskpi_names_copy(const mskp_host *host, name_table *to, const name_table *from);

/* ---- operator.c: what all operators check ---- */

/* The value that enters an operator, by copy: the arrays of a graph move while it grows. 1 after a
 * sentence. */
int mskpi_enter(mskp_graph *graph, const char *who, mskp_value in, graph_value *v);
size_t mskpi_length(const mskp_graph *graph, mskp_param p, uint32_t axis);
/* A parameter with so many axes, of these lengths (0: any). {0} is fine if it is optional. */
int mskpi_check_param(mskp_graph *graph, const char *who, const char *what, mskp_param p,
                      uint32_t ndim, const size_t *shape);
int mskpi_unreserved(mskp_graph *graph, const char *who, const uint64_t *reserved, size_t n);
int mskpi_described(mskp_graph *graph, const char *who, const void *desc);

/* ---- exact.c ---- */

zero_table mskpi_zero(const mskp_graph *graph, uint32_t value, size_t channel);
/* The same for all channels of a value. */
void mskpi_zero_all(mskp_graph *graph, uint32_t value, zero_table zero);
/* One for each channel, to be filled in; NULL: no memory. Then mskpi_zero_filled. */
zero_table *mskpi_zero_each(mskp_graph *graph, uint32_t value);
void mskpi_zero_filled(mskp_graph *graph, uint32_t value);
/* Channel i of a value is channel i of another. */
void mskpi_zero_same(mskp_graph *graph, uint32_t value, uint32_t from);
/* Something that is linear in these channels, by consumer slices of weights, reads them. */
void mskpi_read(mskp_graph *graph, uint32_t value);
/* They may leave, but not without a trace. */
void mskpi_inexact(mskp_graph *graph, uint32_t value, uint32_t by);

/* ---- unit.c ---- */

mskp_status mskpi_units_make(mskp_graph *graph, mskp_error *err);
void mskpi_units_free(const mskp_host *host, unit_table *u);
/* Is graph finished, and are there so many units? array: what has so many, for the sentence. */
mskp_status mskpi_check_units(const mskp_graph *graph, const char *array, size_t units,
                              mskp_error *err);

/* Does this entry of a list of units stay? keep NULL: all do. */
static inline int mskpi_stays(const uint8_t *keep, uint32_t unit)
{
    return !keep || unit == MSKP_PINNED || keep[unit];
}
/* The first value with a family's units: each stands in one, that of the operator that made it. */
uint32_t mskpi_family_value(const mskp_graph *graph, size_t family);

/* ---- measure.c ---- */

uint64_t mskpi_term_value(const cost_term *term, const size_t *list_length);
/* length[list] <- channels that stay. keep NULL: all. */
void mskpi_list_lengths(const mskp_graph *graph, const uint8_t *keep, size_t *length);

/* ---- maskfile.c ---- */

/* A hash of numbers, one after the other: of one that differs it differs for certain. In arithmetic
 * alone, so that it is the same for every byte order and width of size_t. */
uint64_t mskpi_mix(uint64_t hash, uint64_t number);

/* 16 hexadecimal digits. */
const char *mskpi_fingerprint_text(uint64_t fingerprint, char digits[17]);

/* ---- tensor.c ---- */

/* A complete view with its address range. */
typedef struct tensor_view {
    char *data;
    char *low;     /* lowest address */
    size_t extent; /* bytes from low to the end of the highest element */
    size_t element;
    mskp_dtype dtype;
    uint32_t ndim;
    size_t shape[MSKP_MAX_DIMS];
    ptrdiff_t stride[MSKP_MAX_DIMS]; /* elements */
    uint32_t order[MSKP_MAX_DIMS];   /* axes by |stride|, largest first */
} tensor_view;

/* Bytes of one element; 0: no such dtype. */
size_t mskpi_element_size(mskp_dtype dtype);
/* As sentences call it. */
const char *mskpi_dtype_name(mskp_dtype dtype);
/* Completes and checks a tensor that has data against the shape that it must have. */
mskp_status mskpi_view(const mskp_tensor *tensor, const char *name, uint32_t ndim,
                       const size_t *shape, tensor_view *out, mskp_error *err);
/* A set for `params` parameters, where the network has `network`. One whose entry 0 is used was
 * probably indexed from 0, and is one entry short. */
mskp_status mskpi_check_set(const mskp_tensor *set, const char *name, size_t params, size_t network,
                            mskp_error *err);
/* mskpi_view, whose sentence says which set the tensor is of: "gamma (gradients): ...". */
mskp_status mskpi_view_in(const mskp_tensor *tensor, const char *name, const char *set,
                          uint32_t ndim, const size_t *shape, tensor_view *view, mskp_error *err);
/* Whatever the set says of a parameter's tensor, here or not: does it fit? *view <- its view, if
 * something is said. */
mskp_status mskpi_check_said(const mskp_graph *graph, uint32_t id, const char *set,
                             const mskp_tensor *tensors, tensor_view *view, mskp_error *err);
/* Can be computed with? */
int mskpi_is_number(mskp_dtype dtype);
/* The view of a parameter's tensor in a set that is to be computed with. `set` is for sentences. */
mskp_status mskpi_number_view(const mskp_graph *graph, uint32_t id, const char *set,
                              const mskp_tensor *tensors, tensor_view *view, mskp_error *err);
/* Where the element at `at` stands: "3", or "3,0,1,1" where there are several axes. */
enum { INDEX_ROOM = 21 * MSKP_MAX_DIMS };
const char *mskpi_index_text(const tensor_view *v, const char *at, char room[INDEX_ROOM]);
/* MSKP_BAD_NUMBER, of the element at `at`: "bn1.bias: element 3 is nan". */
mskp_status mskpi_not_finite(const mskp_graph *graph, uint32_t id, const tensor_view *v,
                             const char *at, mskp_error *err);
/* All dtypes of numbers, in every floating-point mode. */
double mskpi_load_any(const char *from, mskp_dtype dtype);
void mskpi_store_any(char *to, mskp_dtype dtype, double x);
size_t mskpi_elements(const tensor_view *v);
/* The view as the host has it. Where t->elements is 0, it stays so. */
void mskpi_describe_view(const tensor_view *v, mskp_tensor *t);
/* run_axes[d] <- 1 if axes d .. ndim-1 are one run in each of the n views; [ndim] is 1. */
void mskpi_runs(const tensor_view *const *views, size_t n, uint32_t ndim, uint8_t *run_axes);
/* Elements from one of such a run to the next. */
ptrdiff_t mskpi_run_step(const tensor_view *v, uint32_t axis);

/* The same for loops, where floats are the common case. A denormal one goes through its bits, since
 * the hardware may read it as 0. */
static inline double mskpi_load(const char *from, mskp_dtype dtype)
{
    uint32_t bits;
    float f;
    if (dtype != MSKP_F32) return mskpi_load_any(from, dtype);
    memcpy(&bits, from, sizeof bits);
    memcpy(&f, from, sizeof f);
    return bits & 0x7f800000 ? (double)f : mskpi_load_any(from, dtype);
}

static inline void mskpi_store(char *to, mskp_dtype dtype, double x)
{
    const float f = (float)x;
    if (dtype == MSKP_F32 && fabs(x) >= 0x1p-126)
        memcpy(to, &f, sizeof f);
    else
        mskpi_store_any(to, dtype, x);
}

/* ---- overlap.c ---- */

/* Do the ranges of their addresses meet? */
int mskpi_ranges_meet(const tensor_view *a, const tensor_view *b);
/* *hit <- do they share a byte? Exact, also for views that interleave. */
mskp_status mskpi_elements_meet(const mskp_host *host, const tensor_view *a, const tensor_view *b,
                                int *hit, mskp_error *err);
/* Calls `meet` for each two of n views whose ranges meet, until one fails: a sweep by address. */
mskp_status mskpi_overlaps(const mskp_host *host, size_t n,
                           const tensor_view *(*view)(const void *context, uint32_t k),
                           mskp_status (*meet)(void *context, uint32_t a, uint32_t b,
                                               mskp_error *err),
                           void *context, mskp_error *err);

/* ---- slice.c ---- */

/* Sums over slices of some roles, each element of two slices of one unit counted for the first. */
typedef struct slice_sums {
    size_t *first; /* [axes] where those of an axis begin; NO_SUMS: it has none */
    double *sums;  /* those of pinned channels mean nothing */
} slice_sums;
#define NO_SUMS SIZE_MAX

/* Sums of |w|, or squared: of w^2, by the host's threads. */
mskp_status mskpi_slice_sums(const mskp_graph *graph, uint32_t roles, int squared,
                             const mskp_tensor *values, slice_sums *out, mskp_error *err);
void mskpi_slice_sums_free(const mskp_host *host, slice_sums *s);

/* ---- taps.c ---- */

/* Taps of a kernel that see the image, at some positions: `count` from `first` on, each
 * tap_axis.step further. */
typedef struct tap_class {
    size_t first, count;
} tap_class;

typedef struct tap_axis {
    size_t taps, step, n;
    size_t most; /* the class of the most positions, of these the one with most taps */
    tap_class *classes;
} tap_axis;

/* On each axis the different sets of taps; on all of them the products. */
typedef struct tap_classes {
    tap_axis axis[MSKP_MAX_SPATIAL];
    size_t taps, classes, most;
    int too_many; /* positions to look at: nothing is known */
    double *room[2];
} tap_classes;

/* Those of a convolution, of a linear layer (one tap). 1: no memory. Free them in either case. */
int mskpi_taps_make(const mskp_graph *graph, uint32_t value, tap_classes *t);
void mskpi_taps_free(const mskp_host *host, tap_classes *t);
/* Does each position see the same taps? */
int mskpi_taps_uniform(const tap_classes *t);
/* [classes] the sums of numbers [taps] over each class. Valid until it is called again. */
const double *mskpi_taps_sums(const tap_classes *t, const double *numbers);

/* ---- walk.c ---- */

/* Each channel of each value is constant, or live: NAN. */
typedef struct walker {
    const mskp_graph *graph;
    const mskp_tensor *values;
    const uint8_t *keep;
    uint32_t zeroed;        /* these slices of what leaves are taken for zero */
    const uint8_t *carrier; /* [units]: emits 1, not what it would; NULL: none does */
    size_t *first;          /* [values + 1] where a value's channels are */
    double *constant;
    tensor_view *views; /* [params + 1] of those that were read */
    uint8_t *viewed;
    uint8_t *zero_roles; /* [units] roles whose slices are all zero; UNKNOWN_ROLES: not looked at */
    mskp_status status;
    mskp_error *err;
} walker;

/* A weight [out][in / groups][taps] or, transposed, [in][out / groups][taps]; or rows of one, from
 * first_row on. */
typedef struct weight_form {
    size_t out, in, groups, taps, first_row;
    uint32_t transposed; /* also: which axis the outputs are on */
} weight_form;

typedef struct walk_weight {
    uint32_t param, bias;
    weight_form form;
    const tensor_view *view;
    const uint32_t *units[2]; /* by axis */
    uint32_t roles[2];
    ptrdiff_t *offset; /* [taps], in bytes */
} walk_weight;

mskp_status mskpi_walk_make(walker *w, const mskp_graph *graph, const uint8_t *keep,
                            uint32_t zeroed, const mskp_tensor *values, mskp_error *err);
void mskpi_walk_free(walker *w);
/* constant <- what each channel is. */
mskp_status mskpi_walk(walker *w);
/* The same, where carriers emit: what others emit is known. */
mskp_status mskpi_walk_carriers(walker *w, const uint8_t *carrier, const double *known);
mskp_status mskpi_walk_weight(walker *w, uint32_t value, walk_weight *x);
void mskpi_walk_weight_free(const walker *w, walk_weight *x);
/* Where a tap of output o and input i of a weight is. */
char *mskpi_weight_at(const tensor_view *v, const weight_form *f, size_t o, size_t i, size_t tap);
/* taps <- those of one output and one input channel. Returns whether one is not 0. */
int mskpi_walk_taps(walker *w, const walk_weight *x, size_t o, size_t i, double *taps);
/* Has a slice an element that is not 0, where the other axes' channels stay? */
int mskpi_walk_heard(walker *w, uint32_t param, uint32_t axis, size_t index);
/* The unit of each channel of a value. */
static inline const uint32_t *mskpi_units_of(const mskp_graph *graph, uint32_t value)
{
    return graph->u.list_units + graph->u.lists[graph->values[value].list].first;
}
static inline int mskpi_leaves(const uint8_t *keep, uint32_t unit)
{
    return unit != MSKP_PINNED && !keep[unit];
}

/* ---- hearing.c ---- */

#define MSKPI_NOT_CONSTANT "channels that leave are not constant"

enum { HEARS_NOTHING, HEARS_CONSTANT, HEARS_LIVE };

typedef enum hand_way {
    WAY_NONE, /* no constant is heard */
    WAY_DROP,
    WAY_FOLD,
    WAY_MERGE
} hand_way;

/* One group of a consumer's inputs and outputs: what it does with its constants. */
typedef struct hearing_group {
    double fold, drop;             /* the largest error of an output channel at a position */
    double fold_share, drop_share; /* the same, in parts of what the channel varies by */
    double rounding;               /* of what sums of double precision can be off by */
    size_t constants;              /* channels */
    hand_way way;
    size_t column; /* WAY_MERGE: the channel of the input that carries */
} hearing_group;

/* Where a consumer's constants can be folded into. */
typedef enum fold_target {
    FOLD_NOWHERE,
    FOLD_BIAS,
    FOLD_MEANS,
    FOLD_ABSORBED /* norms with statistics of their own take away what is the same everywhere */
} fold_target;

/* An operator that hears channels that leave. */
typedef struct hearing {
    uint32_t value, reads;
    uint32_t weight, bias;
    uint8_t mixes; /* a weight that the library can write; else only counts are here */
    uint8_t uniform;
    uint8_t writes; /* the first of those that share a bias and fold the same */
    fold_target target;
    weight_form form;     /* of what does not mix: in, and one group */
    uint8_t *hears;       /* [in] */
    double *sums;         /* [out][taps]: of constants times weights */
    double *folded;       /* [out]: what to add to a bias */
    hearing_group *group; /* [groups] */
    size_t live;
    const char *why;
} hearing;

typedef struct hearings {
    hearing *all;
    size_t n, capacity;
    uint32_t *uses; /* [params + 1]: how many operators use it */
} hearings;

mskp_status mskpi_hearings(walker *w, hearings *h);
void mskpi_hearings_free(const mskp_host *host, hearings *h);

/* ---- constants.c ---- */

const mskp_graph *mskpi_constants_graph(const mskp_constants *constants);
/* Does the unit stay, by itself or as a carrier? */
int mskpi_constants_keep(const mskp_constants *constants, size_t unit);
int mskpi_constants_carries(const mskp_constants *constants, size_t unit);

/* ---- plan.c ---- */

typedef struct kept_list {
    size_t first, n, full; /* first: in plan->kept; n == full: all stay, nothing stored */
} kept_list;

struct mskp_plan {
    mskp_host host;
    size_t nparams, nvalues, naxes;
    graph_param *params;
    graph_axis *axes;
    graph_value *values; /* [nvalues + 1] */
    kept_list *lists;
    uint32_t *kept;
    char *text;
};

/* What of an axis stays: *kept NULL: all. Returns the new length. */
size_t mskpi_plan_axis(const mskp_plan *plan, uint32_t param, uint32_t axis, const uint32_t **kept);
/* The view that `full` becomes in place, if `length` of each axis stays. */
void mskpi_cut_view(const tensor_view *full, const size_t *length, tensor_view *small);
/* The view that a parameter's tensor becomes in place, after checking it. */
mskp_status mskpi_plan_view(const mskp_plan *plan, uint32_t param, const mskp_tensor *full,
                            tensor_view *small, mskp_error *err);

#endif

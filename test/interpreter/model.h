/*
 * A slow, obvious model of what the header says about units: channels are numbers, joins are
 * relabelings, and everything is counted anew each time. It receives the same description as the
 * library, in primitives alone, and knows nothing of how the library works.
 *
 * Values and parameters have the library's numbers: from 1, in order of declaration.
 */
#ifndef INTERPRETER_MODEL_H
#define INTERPRETER_MODEL_H

#include "base.h"
#include "by_id/by_id.h"

typedef struct model_value {
    size_t n;
    uint32_t *channel;
    uint32_t *unit; /* after model_finish */
    uint32_t nspatial;
    size_t spatial[MSKP_MAX_SPATIAL];
} model_value;

typedef struct model_axis {
    uint32_t *channel; /* NULL: bound to nothing */
    uint32_t *unit;
    uint32_t roles;
    size_t fixed; /* the first value whose operator reads all of the axis; 0: none */
} model_axis;

typedef struct model_param {
    uint32_t ndim;
    size_t shape[MSKP_MAX_DIMS];
    model_axis axis[MSKP_MAX_DIMS];
    uint32_t roles;
    size_t first_value;
} model_param;

/* Two channels joined, or (a == b) one pinned. by: the value whose operator did it, 0: none. */
typedef struct model_event {
    uint32_t a, b;
    size_t by;
} model_event;

typedef struct model_work {
    size_t value, param;
    uint64_t per_element;
} model_work;

/* What the model gets wrong on purpose, so that a test can show that it notices. */
typedef enum model_fault_kind {
    MODEL_NO_FAULT,
    MODEL_NO_TIES,  /* channels that must be removed together are not tied */
    MODEL_NO_PINS,  /* channels that must stay are not pinned */
    MODEL_ROTATED,  /* the value lists its channels from the second on, the first last */
    MODEL_MISBOUND, /* so does the axis that is bound */
} model_fault_kind;
typedef struct model_fault {
    model_fault_kind kind;
    int row;        /* of which operator */
    uint32_t roles; /* MODEL_MISBOUND: of axes that have all of these */
} model_fault;

typedef struct model {
    arena *mem;
    int row; /* the operator that is being described */
    model_fault fault;
    size_t faults; /* how often it made a difference */
    size_t values, params, events, works, channels;
    size_t room_values, room_params, room_events, room_works;
    model_value *value; /* from 1 */
    model_param *param; /* from 1 */
    model_event *event;
    model_work *work;
    size_t blurs, room_blurs;
    model_event
        *blur; /* a: a channel that may be removed inexactly; by: the operator that makes it so */
    /* after model_finish */
    size_t units, families;
    uint32_t *unit_of; /* by channel */
    uint32_t *family;  /* by unit */
    size_t *family_size;
} model;

model model_make(arena *mem);
/* Is this fault due here? */
bool model_wrong(const model *m, model_fault_kind kind);
/* At an operator's end: the value that it made, if this is where it is rotated. */
void model_rotate(model *m, size_t value);

size_t model_parameter(model *m, uint32_t ndim, const size_t *shape);
size_t model_fresh(model *m, size_t channels, uint32_t nspatial, const size_t *spatial);
size_t model_pick(model *m, size_t from, size_t n, const size_t *positions);
size_t model_concat(model *m, size_t n, const size_t *values);
/* The same channels once more, with another spatial size. */
size_t model_alias(model *m, size_t from, uint32_t nspatial, const size_t *spatial);
/* by: the value whose operator this is part of, 0 if none. */
void model_tie(model *m, size_t a, size_t b, size_t by);
/* Channel i of one value and channel j of another. */
void model_join(model *m, size_t a, size_t i, size_t b, size_t j, size_t by);
void model_pin(model *m, size_t value, size_t by);
void model_bind(model *m, size_t param, uint32_t axis, uint32_t roles, size_t value, size_t by);
/* The first n channels of a value; owner: the value that the parameter counts for, if this is the
 * first. */
void model_bind_part(model *m, size_t param, uint32_t axis, uint32_t roles, size_t value, size_t n,
                     size_t owner, size_t by);
/* The operator of value `by` reads the axis as it is: whoever binds it pins. */
void model_fix(model *m, size_t param, uint32_t axis, size_t by);
/* The parameter counts for this value, if for none yet. */
void model_own(model *m, size_t param, size_t value);
/* These channels may be removed, but not exactly, because of the operator of value `by`. */
void model_inexact(model *m, size_t value, size_t by);
void model_macs(model *m, size_t value, size_t param, uint64_t per_element);
void model_finish(model *m);

/* keep NULL: everything. per_value: NULL, or values + 1 entries. */
mskp_cost model_cost(const model *m, const uint8_t *keep, mskp_cost *per_value);

/* Every list of channels: the values, then the bound axes of the parameters. NULL after the last.
 * param and axis may be NULL; param 0: a value. */
const uint32_t *model_list(const model *m, size_t k, size_t *n, size_t *param, uint32_t *axis);
size_t model_kept(const uint32_t *units, size_t n, const uint8_t *keep);

/* A random mask that leaves no list empty. */
uint8_t *model_random_mask(const model *m, arena *mem, rng *r, double keep_probability);
bool model_mask_allowed(const model *m, const uint8_t *keep);

/* Joins among the channels of a value that may leave, by the value whose operator made them;
 * [values + 1]. */
void model_joins(const model *m, size_t value, size_t *joins);
/* How many channels of a value may leave inexactly; *by: the first value that is why, or 0. */
size_t model_inexact_channels(const model *m, size_t value, size_t *by);
/* The first value that pinned a channel of this one; 0: none. */
size_t model_pinned_by(const model *m, size_t value);

#endif

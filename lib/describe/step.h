/* What computes each value, recorded for the stage of constants. */
#ifndef MSKP_DESCRIBE_STEP_H
#define MSKP_DESCRIBE_STEP_H

#include <stdbool.h>

#include "mskp.h"
#include "mskp/operators.h"

/* What an operator computes, in as much detail as the walk in constants/walk.c needs. */
typedef enum step_kind {
    STEP_UNKNOWN = 0, /* anything; mskp_zero_if may state when the result is zero */
    STEP_CONV,        /* params: weight, bias */
    STEP_TRANSPOSED,  /* params: weight, bias */
    STEP_LINEAR,      /* params: weight, bias; uses their rows from `first` on */
    STEP_TABLE,       /* params: the table, of which a row is looked up */
    STEP_PARAM,       /* params: the parameter that is the value; option: its axis of channels */
    STEP_NORM,        /* params: scale, shift, mean, variance; option: mskp_norm_kind */
    STEP_PRELU,       /* params: slope */
    STEP_FUNCTION,    /* option: mskp_activation_kind */
    STEP_POOL,        /* option 1: constants stay what they are; 0: only zeros do */
    STEP_COMBINE,     /* option: mskp_combine_kind */
    STEP_STACK,       /* the inputs one after the other along a spatial axis */
    STEP_PART,        /* channel i is the input's channel first + i */
    STEP_PLACES,      /* channel i is the input's channel places[first + i]; NO_PLACE: it is zero */
    STEP_BLOCKS,      /* channel i is made of `groups` ones, from places[first + i * groups] on */
    STEP_CONCAT,      /* the channels of the inputs, one input after the other */
    STEP_ATTEND,      /* channel i is a mean over the value's channel places[first + i]; inputs:
                       * value, query, key; option 1: units are positions in all heads */
    STEP_RECURRENT,   /* params: input weight, hidden weight, biases */
} step_kind;

#define NO_PLACE         UINT32_MAX
#define STEP_MOST_PARAMS 4

/* What the caller's primitives state of a value in addition to its step. */
enum {
    OWN_READ = 1,    /* an operator that the library does not know may read the value */
    OWN_SCALED = 2,  /* the value differs from its step, but is zero where the step is zero */
    OWN_CHANGED = 4, /* the value may be anything */
    OWN_ZERO = 8,    /* mskp_zero_if states when the value is zero */
    OWN_TIED = 16    /* mskp_tie has tied it to another value, channel by channel */
};

typedef struct graph_step {
    step_kind kind;
    uint32_t option;
    uint32_t ninputs;
    uint32_t own;       /* OWN_* bits */
    size_t first_input; /* in graph->step_inputs */
    uint32_t params[STEP_MOST_PARAMS];
    size_t first;         /* a row, a channel, or an index in graph->places, by kind */
    size_t groups;        /* of a convolution or group norm; attention: key and value heads */
    bool whole;           /* units are whole groups */
    bool part;            /* uses the parameters of the step before, but other rows of them */
    bool uniform_padding; /* a convolution that reads no zeros beyond the border */
    bool outside_root;    /* a norm that divides by sqrt(variance) + epsilon */
    union {
        struct {
            size_t stride[MSKP_MAX_SPATIAL], dilation[MSKP_MAX_SPATIAL], before[MSKP_MAX_SPATIAL];
        } conv;
        double epsilon;
        struct {
            double (*call)(double x, const double *parameters);
            double parameters[MSKP_MAX_FUNCTION_PARAMETERS];
        } function;
    } as;
} graph_step;

/* An operator of the caller's own that uses an axis of a parameter, in these roles, at this value.
 * roles 0: the parameter is attached to the value, and `axis` means nothing. */
typedef struct own_reader {
    uint32_t param, axis, value, roles;
} own_reader;

#endif

/* What computes each value, for the stage of constants. */
#ifndef MSKP_DESCRIBE_STEP_H
#define MSKP_DESCRIBE_STEP_H

#include "mskp.h"
#include "mskp/operators.h"

/* What an operator computes, as far as the walk of constants must know it: see constants/walk.c. */
typedef enum step_kind {
    STEP_UNKNOWN = 0, /* anything; mskp_zero_if may say more */
    STEP_CONV,        /* params: weight, bias */
    STEP_TRANSPOSED,
    STEP_LINEAR,    /* rows from `first` on */
    STEP_TABLE,     /* params: the table */
    STEP_PARAM,     /* params: it; option: the axis */
    STEP_NORM,      /* params: scale, shift, mean, variance; option: mskp_norm_kind */
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
            double parameters[MSKP_MAX_FUNCTION_PARAMETERS];
        } function;
    } as;
} graph_step;

/* An operator of the host's own that uses a parameter: with this axis, in these roles, at this
 * value; roles 0: it only belongs to it. */
typedef struct own_reader {
    uint32_t param, axis, value, roles;
} own_reader;

#endif

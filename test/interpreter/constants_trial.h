/*
 * One trial of constants: units are removed, slices of theirs in some roles become zero,
 * mskp_constants_* moves the constants, and surgery cuts the network. The laws: what is reported as
 * exact is exact, and what is lost is within its bound.
 */
#ifndef INTERPRETER_CONSTANTS_TRIAL_H
#define INTERPRETER_CONSTANTS_TRIAL_H

#include "by_id/by_id.h"
#include "laws.h"

typedef struct constants_trial {
    trial t;
    mskp_graph *graph; /* the trial's, or what a first round left of it */
    net *net;
    size_t units;
    uint8_t *keep, *kept;
    size_t removed;
    set values;
    mskp_constants *c;
    mskp_constants_report total;
    bool refused;                     /* when it was applied a second time */
    double **inputs, **whole, **left; /* values of all nodes, before and after */
    net after;                        /* the recipe with what was written */
    surgery s;
} constants_trial;

/* No variance is negative. */
void make_possible(net *n);

/* Fills h from h->t, whose variances become possible ones. The caller makes h->keep. */
void constants_trial_open(constants_trial *h);

/* Moves the constants of the units that h->keep removes. Their slices in these roles become zero:
 * the library does that if desc->zeroed names the roles; if it is 0, they are zero beforehand.
 * Making the object must write nothing, the total must be the sum of the reports, and only carriers
 * may stay in addition. */
void move_constants(constants_trial *h, const mskp_constants_desc *desc, uint32_t roles);
void round_end(constants_trial *h);
void constants_trial_end(constants_trial *h);

/* Begins a second round on the smaller network of the first, before move_constants; b->keep is all
 * 1. The trial's memory belongs to b until second_round_end. */
void second_round_begin(constants_trial *b, constants_trial *first);
/* Removes some units; false if that would leave a list empty. */
bool second_round_remove(constants_trial *b);
void second_round_end(constants_trial *b, constants_trial *first);

/* The largest relative difference of the outputs; NAN where one is not finite. */
double outputs_off(const constants_trial *h);

typedef struct ratios {
    double *all; /* bounds over what was lost */
    size_t n, most;
} ratios;

/* Each lossy consumer whose inputs are what they were must be within its bound; how many were
 * seen. */
size_t check_bounds(constants_trial *h, ratios *r);

/* The recipe with the set's numbers. */
void set_read(const set *s, arena *mem, const net *n, net *to);

/* Slices of removed units in these roles become zero. */
void zero_slices(const mskp_graph *graph, const net *n, const uint8_t *keep, uint32_t roles);

#endif

/*
 * Constants handed on, in one trial: units leave, some of their roles are zeroed, mskp_constants_* does
 * its work, what is left is cut. The laws: what is said to be exact is, what is lost is within its bound.
 */
#ifndef INTERPRETER_HANDING_H
#define INTERPRETER_HANDING_H

#include "by_id/by_id.h"
#include "laws.h"

typedef struct handing {
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
} handing;

/* No variance is negative. */
void make_possible(net *n);

/* The rest of h, of h->t, whose net becomes a possible one. The caller makes h->keep. */
void handing_of_trial(handing *h);

/* What becomes of the units that h->keep does not keep, whose slices of these roles are zero: by the
 * library if desc->zeroed says so, and beforehand if it is 0. The preview must write nothing, the total
 * be the sum of the reports, and nothing be kept besides but carriers. */
void hand_on(handing *h, const mskp_constants_desc *desc, uint32_t roles);
void round_end(handing *h);
void handing_end(handing *h);

/* What a first round left describes itself: a second one on it, up to hand_on, for whose units b->keep
 * is all 1. The trial's memory is b's until again_end. */
void again_begin(handing *b, handing *first);
/* Some units leave; false: that would leave a list empty. */
bool again_leave(handing *b);
void again_end(handing *b, handing *first);

/* The largest relative difference of the outputs; NAN where one is not finite. */
double outputs_off(const handing *h);

typedef struct ratios {
    double *all; /* bounds over what was lost */
    size_t n, most;
} ratios;

/* Each lossy consumer whose inputs are what they were must be within its bound; how many were seen. */
size_t check_bounds(handing *h, ratios *r);

/* The recipe with the set's numbers. */
void set_read(const set *s, arena *mem, const net *n, net *to);

/* Slices of units that leave, with these roles, become zero. */
void zero_slices(const mskp_graph *graph, const net *n, const uint8_t *keep, uint32_t roles);

#endif

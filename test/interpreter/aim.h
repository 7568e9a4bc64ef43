/* Random penalties, and what each means for one element. */
#ifndef INTERPRETER_AIM_H
#define INTERPRETER_AIM_H

#include "by_id/by_id.h"
#include "elements.h"

typedef struct aim {
    mskp_penalty penalty;
    const mskp_penalty *given; /* NULL now and then */
    const uint8_t *keep;
    bool *wanted; /* by unit */
    double *weight;
    uint32_t roles;
} aim;

aim *random_aim(trial *t);

/* How often the element counts: the weights of the targeted units that own it. -1: of none. */
double share_of(const trial *t, const aim *a, size_t param, const size_t *index);

double penalty_of(const aim *a, double w);
double slope_of(const aim *a, double w);
/* argmin of (v - w)^2 / 2 + step * penalty(v). */
double prox_of(const aim *a, double w, double step);
/* The number, rounded to the type: what view_set would store. */
double rounded(mskp_dtype dtype, double x);

#endif

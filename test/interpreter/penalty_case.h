/* Random penalties, and what each means for one element. */
#ifndef INTERPRETER_PENALTY_CASE_H
#define INTERPRETER_PENALTY_CASE_H

#include "by_id/by_id.h"
#include "elements.h"

typedef struct penalty_case {
    mskp_penalty penalty;
    const mskp_penalty *given; /* NULL now and then */
    const uint8_t *keep;
    bool *wanted; /* by unit */
    double *weight;
    uint32_t roles;
} penalty_case;

penalty_case *random_penalty_case(trial *t);

/* Calls f for each element of each tensor. */
typedef void element_visit(trial *t, const penalty_case *a, size_t param, const size_t *index,
                           void *context);
void each_element(trial *t, const penalty_case *a, element_visit *f, void *context);
/* The resolved view of a parameter as a set was made. */
mskp_tensor element_view(const trial *t, const set *s, size_t param);

/* The sum of the weights of the targeted units that own the element; -1 if there is none. */
double share_of(const trial *t, const penalty_case *a, size_t param, const size_t *index);

double penalty_of(const penalty_case *a, double w);
double slope_of(const penalty_case *a, double w);
/* argmin of (v - w)^2 / 2 + step * penalty(v). */
double prox_of(const penalty_case *a, double w, double step);
/* The number, rounded to the type: what view_set would store. */
double rounded(mskp_dtype dtype, double x);

#endif

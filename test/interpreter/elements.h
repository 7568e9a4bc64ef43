/* Units as sets of elements, one by one; floating-point modes. For scores and penalties. */
#ifndef INTERPRETER_ELEMENTS_H
#define INTERPRETER_ELEMENTS_H

#include "by_id/by_id.h"
#include "trial.h"

/* Is the element in a slice of the unit with one of these roles, and on which axis first?
 * MSKP_MAX_DIMS: no. */
uint32_t element_axis(const model *m, size_t param, const size_t *index, uint32_t unit,
                      uint32_t roles);

/* Has the tensor a slice of any unit with one of these roles (and wanted[unit], if not NULL)? */
bool tensor_has(const model *m, size_t param, uint32_t roles, const bool *wanted);

/* Odd multiples of 1/16 and some zeros of both signs: exact in every type, sums too. */
double exact_number(rng *r);

/* The parameters become exact numbers. */
void exact_net(net *n, rng *r);

/* A set of floating tensors, each of its own type and kind of view, with the net's numbers. */
set exact_set(trial *t, const net *n);

/* mode 1: flush-to-zero and denormals-are-zero on, where the machine has them; 0: off. */
void float_mode(int mode);

/* A loop over threads that runs backwards. */
extern const mskp_services backwards_services;

#endif

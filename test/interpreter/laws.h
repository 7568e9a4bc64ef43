/* Laws that hold for every network, as requirements on one trial: what tests and fuzz targets
 * try. */
#ifndef INTERPRETER_LAWS_H
#define INTERPRETER_LAWS_H

#include "trial.h"

/* A mask that leaves no list empty. Nonzero means stays; any nonzero. */
uint8_t *random_mask(trial *t);

/* Elements whose unit on axis d is removed become zero. */
void zero_leaving(const net_param *q, uint32_t d, const uint32_t *unit, const uint8_t *keep);

/* All slices of removed units with some of these roles become zero. */
void zero_removed(const trial *t, const uint8_t *keep, uint32_t roles);

/* The largest difference of the outputs, over their largest number; NAN where one is not finite. */
double output_difference(const net *a, double *const *x, const net *b, double *const *y,
                         const net_kept *kept);

/* Zeroes all of what is removed, cuts a set of tensors and the recipe: the tensors are the smaller
 * recipe's, and this is how far the outputs are off. */
double zero_and_cut(trial *t, const uint8_t *keep, double **inputs);
/* Zeroes these roles alone, and cuts the recipe. */
double cut_difference(trial *t, const uint8_t *keep, uint32_t roles, double **inputs);
/* Removes only the units that are exact (or only those that are not); returns how many. */
size_t remove_only(const trial *t, const uint8_t *exact, int wanted, uint8_t *keep);

/* Pruning by keep, and then some units more (keep then has both), equals pruning by both at once.
 * Was the smaller recipe described again? Not all can be. */
bool require_twice_is_once(trial *t, uint8_t *keep);

/* Sets of all dtypes and views, in place and elsewhere; or none, if one of them is wrong. */
void require_sets_move_alike(trial *t, const uint8_t *keep);

/* Of the whole network, under the mask, of the smaller graph: what the recipe's loops and the model
 * count. */
void require_costs(trial *t, const uint8_t *keep);

#endif

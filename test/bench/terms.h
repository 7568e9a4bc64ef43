/*
 * The penalties of three papers, each as a term of the gradient: calls of the library that are made
 * once in a step, between backward and the optimizer's step. Their strengths are those of the
 * papers' formulas. Where a network has units of one norm each, the terms are the papers'; what a
 * unit of several norms (of a residual stream) is, is said at each.
 *
 *   growing        gradients += strength w, on the filters of the units that a mask removes, with a
 *                  strength that grows: GReg-1, H. Wang, C. Qin, Y. Zhang, Y. Fu, "Neural Pruning
 *                  via Growing Regularization", ICLR 2021. The mask is made first, by the filters'
 *                  L1 norms. All filters of a unit are under the term.
 *   group          gradients += strength 2^(4 (max I - I) / (max I - min I)) w, on all slices of
 *                  all units, where I is the L2 norm of the unit, and the extremes are those of its
 *                  family, which is a group there: G. Fang, X. Ma, M. Song, M. Bi Mi, X. Wang,
 *                  "DepGraph", CVPR 2023.
 *   polarization   gradients += strength (t - sign(n - mean n) + mean sign(n - mean n)) sign w, on
 *                  all gammas, with t = 1.2, where n is |gamma|: T. Zhuang, Z. Zhang, Y. Huang, X.
 *                  Zeng, K. Shuang, X. Li, "Neuron-level Structured Pruning using Polarization
 *                  Regularizer", NeurIPS 2020. The n of a unit with several gammas is the mean of
 *                  their |gamma|, so that a unit is driven up or down as a whole. Their networks
 *                  begin with gammas in [0, a] and are held there; those of a trained network have
 *                  both signs, so |gamma| is held in [0, a].
 */
#ifndef BENCH_TERMS_H
#define BENCH_TERMS_H

#include <stdbool.h>
#include <stddef.h>

#include "mskp/methods.h"

#define TERMS_POLARIZATION 1.2 /* t */

/* Memory for a number and a flag per unit. */
typedef struct terms {
    const mskp_graph *graph;
    mskp_scores norms, weights;
    mskp_mask family;
} terms;

bool terms_open(terms *t, const mskp_graph *graph); /* false: no memory; close it all the same */
void terms_close(terms *t);

mskp_status terms_growing(const mskp_graph *graph, mskp_mask keep, double strength,
                          mskp_tensors values, mskp_tensors gradients, mskp_error *err);
mskp_status terms_group(terms *t, double strength, mskp_tensors values, mskp_tensors gradients,
                        mskp_error *err);
mskp_status terms_polarization(terms *t, double strength, mskp_tensors values,
                               mskp_tensors gradients, mskp_error *err);

/* The strength of `growing` in a step of a stage: it grows by equal amounts every 10 steps, as in
 * the paper, from 0 to 1 at three quarters of the stage, and stays there. */
double terms_growth(size_t step, size_t steps);

/* Compares the terms with their formulas, written out for the inner channels of a ResNet-8 with
 * random weights. Returns false and prints a sentence if one differs. */
bool terms_check(void);

#endif

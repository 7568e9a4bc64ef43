/*
 * mskp/methods.h - the methods of the field: more scores
 *
 * Include this header if the norms of mskp_score are not the scores that you want. docs/methods.md
 * has a row for each method, with its source and the call that computes it. The rules at the head
 * of mskp.h hold here, too.
 */
#ifndef MSKP_METHODS_H
#define MSKP_METHODS_H

#include "../mskp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ============================================================================================== */
/*                   Scores: your own, from gradients, across families                            */
/* ============================================================================================== */

/* The caller's own numbers, one for each channel of a value. n must be its number of channels. */
typedef struct mskp_channel_scores {
    mskp_value value;
    size_t n;
    const double *channel;
} mskp_channel_scores;

/* scores.unit[u] <- the numbers of all channels of unit u in the given values, reduced by SUM,
 * MEAN, MAX or MIN; +infinity for units that occur in none of them. For activations, relevance,
 * distances between filters, or anything else that the caller measures because mskp_score, which
 * knows only slices of one set, cannot. Infinities are allowed (but mskp_select refuses -infinity).
 * NaN, and sums that are not finite or not defined, are MSKP_ERROR_BAD_NUMBER. */
MSKP_STABLE mskp_status mskp_score_channels(const mskp_graph *graph, size_t n,
                                            const mskp_channel_scores *given, mskp_reduce reduce,
                                            mskp_scores scores, mskp_error *err);

/*
 * What mskp_score_taylor adds to a unit's score. The sums are over the unit's elements w, with
 * their gradients g: to first order, removing the unit changes the loss by -sum w g. Half of
 * SUM_OF_SQUARES, with one image per batch, is the second-order term with the diagonal of the
 * empirical Fisher matrix in place of the Hessian (LeCun et al., Optimal Brain Damage, 1989).
 */
typedef enum mskp_taylor {
    MSKP_TAYLOR_ABSOLUTE_SUM = 0,     /* |sum w g|: Molchanov et al., ICLR 2017, section 2.2; with
                                         the roles SCALE and SHIFT, a batch norm is the gate */
    MSKP_TAYLOR_SQUARED_SUM = 1,      /* (sum w g)^2: Molchanov et al., CVPR 2019, section 3, of a
                                         group of weights, and of a gate */
    MSKP_TAYLOR_SUM_OF_ABSOLUTES = 2, /* sum |w g|: parts of opposite signs do not cancel */
    MSKP_TAYLOR_SUM_OF_SQUARES = 3    /* sum (w g)^2: the same section, weight by weight */
} mskp_taylor;

/*
 * scores.unit[u] += one batch's number for unit u; +infinity for a unit without a slice in these
 * roles, so it stays. Set the scores to 0, then call this once per batch, when the gradients are
 * computed and no penalty was added to them yet. mskp_select looks at the order of scores alone, so
 * they need no division by the number of batches, except for a rule with a threshold.
 *   roles      which slices, of MSKP_ROLES_UNIT; 0 means MSKP_ROLE_SCALE
 *   values, gradients   sets, of any dtypes and strides. Data of parameters without such slices may
 *                       be NULL. The sign of the gradients does not matter.
 * An element where slices of a unit cross counts once. Sums are in double precision and do not
 * depend on threads or strides. MSKP_ERROR_BAD_NUMBER: an element, a sum, or a score that was given
 * is not finite (+infinity is allowed for units without such slices). On an error the scores are as
 * they were.
 */
MSKP_STABLE mskp_status mskp_score_taylor(const mskp_graph *graph, mskp_taylor form, uint32_t roles,
                                          mskp_tensors values, mskp_tensors gradients,
                                          mskp_scores scores, mskp_error *err);

/* What a score is divided by, so that scores of different families can be compared. */
typedef enum mskp_normalizer {
    MSKP_NORMALIZER_MEAN = 0,     /* the family's mean */
    MSKP_NORMALIZER_MAX = 1,      /* its largest score */
    MSKP_NORMALIZER_SUM = 2,      /* its sum */
    MSKP_NORMALIZER_STANDARD = 3, /* its deviation: (score - mean) / sqrt(mean (score - mean)^2) */
    MSKP_NORMALIZER_LAMP = 4,     /* the sum of this score and all after it in mskp_select's order:
                                     Lee et al., ICLR 2021, figure 1, of squared magnitudes */
    MSKP_NORMALIZER_SIZE = 5,     /* the square root of the parameters that the unit costs */
    MSKP_NORMALIZER_MACS = 6,     /* the MACs that the unit costs */
    MSKP_NORMALIZER_PARAMS = 7    /* the parameters that the unit costs */
} mskp_normalizer;

/*
 * scores.unit[u] <- the score over what `by` names, family by family; 0 / 0 is 0. A score of
 * +infinity stays, and counts in no mean, largest score or sum. What a unit costs is what the whole
 * network saves if this unit alone is removed; the score of a unit that costs nothing becomes
 * +infinity. All scores must be 0 or more, except for STANDARD. NaN, -infinity, and a result or a
 * sum that a double cannot hold are MSKP_ERROR_BAD_NUMBER. On an error the scores are as they were.
 */
MSKP_STABLE mskp_status mskp_score_normalize(const mskp_graph *graph, mskp_normalizer by,
                                             mskp_scores scores, mskp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_METHODS_H */

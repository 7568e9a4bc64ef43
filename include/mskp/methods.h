/*
 * mskp/methods.h - the methods of the field: more scores, thresholds and penalties
 *
 * Include this header if the norms of mskp_score are not the scores that you want, or a sum over
 * elements is not your penalty. docs/methods.md has a row for each method, with its source and the
 * call that computes it. The rules at the head of mskp.h hold here, too.
 */
#ifndef MSKP_METHODS_H
#define MSKP_METHODS_H

#include "../mskp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ============================================================================================== */
/*              Scores: your own, from gradients, across families, thresholds                     */
/* ============================================================================================== */

/* The caller's own numbers, one for each channel of a value. n must be its number of channels. */
typedef struct mskp_channel_scores {
    mskp_value value;
    size_t n;
    const double *channel;
} mskp_channel_scores;

/* scores.unit[u] <- the numbers of all channels of unit u in the given values, reduced by SUM,
 * MEAN, MAX, MIN or PRODUCT; +infinity for units that occur in none of them. For activations,
 * relevance, distances between filters, or anything else that the caller measures because
 * mskp_score, which knows only slices of one set, cannot. Infinities are allowed (but mskp_select
 * refuses -infinity). NaN, what is not defined (infinity - infinity, 0 x infinity), and sums and
 * products of finite numbers that a double cannot hold are MSKP_ERROR_BAD_NUMBER; a tiny product is
 * 0. */
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
    MSKP_TAYLOR_SUM_OF_SQUARES = 3,   /* sum (w g)^2: the same section, weight by weight */
    MSKP_TAYLOR_SUM = 4               /* sum w g, with its sign: below 0 where the loss would rise.
                                         With the Hessian times the gradient as g: GraSP (C. Wang
                                         et al., ICLR 2020) */
} mskp_taylor;

/*
 * scores.unit[u] += one batch's number for unit u; +infinity for a unit without a slice in these
 * roles, so it stays. Set the scores to 0, then call this once per batch, when the gradients are
 * computed and no penalty was added to them yet. mskp_select looks at the order of scores alone, so
 * they need no division by the number of batches, except for a rule with a threshold.
 *   roles      which slices, of MSKP_ROLES_UNIT; 0 means MSKP_ROLE_SCALE
 *   values, gradients   sets, of any dtypes and strides. Data of parameters without such slices may
 *                       be NULL. The sign of the gradients matters for MSKP_TAYLOR_SUM alone.
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
    MSKP_NORMALIZER_PARAMS = 7,   /* the parameters that the unit costs */
    MSKP_NORMALIZER_ENERGY = 8,   /* not a quotient of the score, but the sum of squares of this
                                     score and all before it, over that of the family. With the rule
                                     threshold = delta: the optimal threshold of Y. Ye et al., arXiv
                                     2003.04566, of |gamma| */
    MSKP_NORMALIZER_RANGE = 9,    /* its range: (score - smallest) / (largest - smallest) */
    MSKP_NORMALIZER_QUANTILE = 10 /* its quantile: of n scores in ascending order, the one at place
                                     floor(parameter x n), counted from 0, or the last one */
} mskp_normalizer;

/*
 * scores.unit[u] <- the score over what `by` names, family by family; 0 / 0 is 0, so the scores of
 * a family whose range or deviation is 0 become 0. A score of +infinity stays, and counts in no
 * statistic of the family. What a unit costs is what the whole network saves if this unit alone is
 * removed, apart from a branch that vanishes with it; the score of a unit that costs nothing
 * becomes +infinity. So does a score above 0 over a quantile that is 0, or so small that no double
 * can hold the quotient; where many scores are 0, choose a larger share.
 *   parameter   the share of QUANTILE, in [0, 1], where 0 means 0.5, the (upper) median; the
 *               rounding of decimal numbers is tolerated: 0.29 of 100 is 29. 0 for the others.
 * Scores must be 0 or more, except for STANDARD and RANGE. NaN, -infinity, and any other result, or
 * a sum, that a double cannot hold are MSKP_ERROR_BAD_NUMBER. On an error the scores are as they
 * were.
 */
MSKP_STABLE mskp_status mskp_score_normalize(const mskp_graph *graph, mskp_normalizer by,
                                             double parameter, mskp_scores scores, mskp_error *err);

/* scores.unit[u] <- a number in [0, 1) that depends on the seed and u alone: a control for other
 * scores. Allocates nothing. */
MSKP_EXPERIMENTAL mskp_status mskp_score_random(const mskp_graph *graph, uint64_t seed,
                                                mskp_scores scores, mskp_error *err);

/*
 * *threshold <- where a histogram of log |gamma|, or of any scores, has its most prominent valley:
 * for mskp_rule.threshold, after a penalty on all gammas has parted them into two groups.
 *   scores   0 or more, of any number; +infinity is passed over. Scores of 0 count as the left end.
 *   bins     of equal width, from the logarithm of the smallest score above 0 to that of the
 *            largest; 2 to 256, 0 means 64
 *   depth    NULL, or receives 1 - (count in the valley) / (count of the smaller of the two peaks
 *            beside it), in (0, 1]. Near 1, no scores are between the groups; a histogram of one
 *            group has chance valleys, whose depth is far from 1 unless its bins hold few scores.
 * MSKP_ERROR_NO_SOLUTION: the counts only rise, only fall, or rise and then fall.
 * MSKP_ERROR_BAD_NUMBER: a score below 0, or NaN. Allocates nothing.
 */
MSKP_EXPERIMENTAL mskp_status mskp_valley(mskp_scores scores, size_t bins, double *threshold,
                                          double *depth, mskp_error *err);

/* ============================================================================================== */
/*                             Statistics of activations                                          */
/* ============================================================================================== */

/*
 * What a program has seen of one channel, all 0 at first. Each field makes a number per channel,
 * which the program copies into an array for mskp_score_channels:
 *   mean                the mean activation
 *   magnitude           the mean of |a|
 *   zeros / count       the share of zeros (APoZ). H. Hu et al., "Network Trimming", arXiv
 *                       1607.03250; few zeros mean that a channel matters, so the score is
 *                       1 - zeros / count
 *   squares / count     the variance
 */
typedef struct mskp_channel_stats {
    double count, zeros; /* elements seen, and those among them that are 0 */
    double mean, magnitude;
    double squares; /* the sum of (a - mean)^2 */
} mskp_channel_stats;

/*
 * channel[c] <- with a batch added, for each channel c. Call it once per batch, with what flows out
 * of the operator (usually its activation).
 *   services   NULL, or the memory and threads to use
 *   batch      a complete view (ndim set) with numbers, of any dtype and strides; [N][C][H][W] has
 *              its channels on axis 1
 *   axis       the axis of the channels
 *   n          its length, and that of `channel`
 * The batch is read twice. Results do not depend on threads or strides, but on the order of
 * batches, in their last bits. MSKP_ERROR_BAD_NUMBER: an element is not finite, or a sum of squares
 * is not; then all channels are as they were.
 */
MSKP_EXPERIMENTAL mskp_status mskp_channel_stats_add(const mskp_services *services,
                                                     const mskp_tensor *batch, uint32_t axis,
                                                     size_t n, mskp_channel_stats *channel,
                                                     mskp_error *err);

/* into[c] <- both as one, for each of n channels: statistics of two ranks, or of two runs.
 * MSKP_ERROR_BAD_NUMBER: numbers that are no statistic (a negative count, more zeros than elements,
 * NaN), or a sum that no double can hold. MSKP_ERROR_OVERLAP: the arrays share memory. On an error
 * `into` is as it was. Allocates nothing. */
MSKP_EXPERIMENTAL mskp_status mskp_channel_stats_merge(size_t n, const mskp_channel_stats *from,
                                                       mskp_channel_stats *into, mskp_error *err);

/* ============================================================================================== */
/*                       Penalties that are no sums over elements                                 */
/* ============================================================================================== */

/*
 * A penalty R that depends on a norm n of each unit has, for an element w of unit u, a gradient
 * that is w, or sign(w), times a number of the unit. That number is a mskp_penalty.unit_weight. So
 * these penalties take three calls in a training step: mskp_score for the norms,
 * mskp_unit_weights, and mskp_penalty_gradient with the kind that is named here; or, of group
 * lasso, mskp_penalty_group_prox after the step, and never mskp_penalty_prox. MACS and PARAMS need
 * no norms, and the same weights serve all steps. The sums, the mean and the extremes are over the
 * penalty's targets.
 */
typedef enum mskp_weighting_kind {
    MSKP_WEIGHTING_GROUP_LASSO = 0,      /* kind L2, 1 / n: R = sum n */
    MSKP_WEIGHTING_GROUP_LASSO_SIZE = 1, /* kind L2, sqrt(size) / n: R = sum sqrt(size) n */
    MSKP_WEIGHTING_HOYER = 2,            /* kind L2: R = (sum n)^2 / sum n^2 */
    MSKP_WEIGHTING_POLARIZATION = 3,     /* kind L1: R = sum (t n - |n - mean n|) */
    MSKP_WEIGHTING_ADAPTIVE = 4, /* kind L2: 2^(a (max n - n) / (max n - min n)), 1 if all n are
                                    equal */
    MSKP_WEIGHTING_MACS = 5,     /* any kind: the MACs that the unit costs, over their mean */
    MSKP_WEIGHTING_PARAMS = 6    /* any kind: the parameters that it costs, over their mean */
} mskp_weighting_kind;

/*
 *   kind        GROUP_LASSO: W. Wen et al., "Learning Structured Sparsity in Deep Neural Networks",
 *               NIPS 2016. GROUP_LASSO_SIZE: M. Yuan, Y. Lin, "Model Selection and Estimation in
 *               Regression with Grouped Variables", 2006; `size` counts the unit's elements in the
 *               penalty's roles. HOYER: H. Yang, W. Wen, H. Li, "DeepHoyer", ICLR 2020; weights of
 *               large units are negative. POLARIZATION: T. Zhuang et al., "Neuron-level Structured
 *               Pruning using Polarization Regularizer", NeurIPS 2020; the weight, t - sign(n -
 *               mean) + (the mean of these signs), may be negative. ADAPTIVE: G. Fang et al.,
 *               "DepGraph", CVPR 2023. MACS: A. Gordon et al., "MorphNet", CVPR 2018.
 *   parameter   t of POLARIZATION; a of ADAPTIVE, where 0 means 4, as in the paper; 0 for the
 *               others
 */
typedef struct mskp_weighting {
    mskp_weighting_kind kind;
    double parameter;
} mskp_weighting;

/*
 * weights.unit[u] <- the weight of unit u, 0 for units that are no targets of the penalty.
 *   keep, penalty   as for mskp_penalty_gradient: the targets, the roles that `size` counts, and
 *                   the kind that is named above, which is checked; the other fields do not count.
 *                   penalty NULL: L1 on gamma of removed units
 *   norms           n of each unit. GROUP_LASSO, GROUP_LASSO_SIZE, HOYER: mskp_score with
 *                   MSKP_MAGNITUDE_L2, MSKP_REDUCE_JOINT and the penalty's roles. POLARIZATION:
 *                   with MSKP_MAGNITUDE_L1 and MSKP_REDUCE_SUM. ADAPTIVE: any score. {0, NULL} for
 *                   MACS and PARAMS. A unit with +infinity has no elements: its weight is 0, and it
 *                   counts in no sum, mean or extreme.
 *   weights         may be norms
 * Norms are 0 or more, except for ADAPTIVE; others are MSKP_ERROR_BAD_NUMBER, and so are weights
 * that no double can hold. Where a weight has a factor 1 / n, a norm of 0 has the weight 0, since
 * its elements do not move, and 1 / n is at most 2^1000. An element of two units receives the
 * gradient of both norms. The call allocates, and its time depends on the number of units alone.
 */
MSKP_EXPERIMENTAL mskp_status mskp_unit_weights(const mskp_graph *graph, mskp_mask keep,
                                                const mskp_penalty *penalty,
                                                const mskp_weighting *weighting, mskp_scores norms,
                                                mskp_scores weights, mskp_error *err);

/*
 * values <- values * max(0, 1 - step * weight) in the targeted slices, where `weight` is the
 * unit's penalty->unit_weight, not NULL: after the optimizer's step, with the weights of
 * GROUP_LASSO or GROUP_LASSO_SIZE of these values, this is the proximal map of step * R (M. Yuan,
 * Y. Lin, 2006). It is a map unit by unit only if units share no elements: if a tensor has elements
 * of two targeted units, as weights have with the roles FILTER and CONSUMER together, the call is
 * MSKP_ERROR_UNSUPPORTED and names the tensor. step = learning rate * strength, 0 or more.
 */
MSKP_EXPERIMENTAL mskp_status mskp_penalty_group_prox(const mskp_graph *graph, mskp_mask keep,
                                                      const mskp_penalty *penalty, double step,
                                                      mskp_tensors values, mskp_error *err);

/*
 * set <- set * max(0, 1 - amount * weight) in the targeted slices. With the gradients as the set,
 * before the penalty is added to them, the loss stops pulling at removed units while the penalty
 * drives them to zero: an amount of 1 resets these gradients (X. Ding et al., "ResRep", ICCV 2021),
 * and one that grows from 0 to 1 fades them out. An element in several targeted units counts for
 * the one with the largest weight. amount is 0 or more; unit_weight NULL means 1. penalty NULL:
 * gamma of removed units. kind and knee do not count.
 */
MSKP_EXPERIMENTAL mskp_status mskp_penalty_fade(const mskp_graph *graph, mskp_mask keep,
                                                const mskp_penalty *penalty, double amount,
                                                mskp_tensors set, mskp_error *err);

/* ============================================================================================== */
/*                                     Prepared penalties                                         */
/* ============================================================================================== */

/*
 * A penalty that is worked out once for many steps: which elements of which tensors a mask
 * targets, and whether all views fit. The calls below do what mskp_penalty_gradient, _prox,
 * _deadline and _fade do, bit for bit. They take a tenth of the time where few elements are
 * targeted, as with gamma alone; where many are, both take the same time.
 */
typedef struct mskp_prepared mskp_prepared;

/*
 * *prepared <- the penalty of this mask, for sets with these views; free it with
 * mskp_prepared_destroy.
 *   keep, penalty   as for mskp_penalty_gradient. Both are copied, and later changes of the mask
 *                   make no difference. What unit_weight and low_precision point to is not copied:
 *                   the arrays must live as long as the object, and each call reads them as they
 *                   are then, so weights may change from step to step.
 *   values          the set that the calls will be about
 *   gradients       the set of the gradients, or {0, NULL}: there will be no gradients
 * Everything is checked as in mskp_penalty_gradient (without gradients: as in mskp_penalty_gauge).
 * No pointer to data is kept: each call takes the sets anew, and their tensors may have moved. The
 * views must be those that were prepared, apart from data: after surgery, or when a tensor that had
 * no data has some, the calls are MSKP_ERROR_BAD_STATE with a sentence that names the tensor, and
 * the penalty must be prepared again. The graph must live as long as the object.
 */
MSKP_EXPERIMENTAL mskp_status mskp_prepared_create(const mskp_graph *graph, mskp_mask keep,
                                                   const mskp_penalty *penalty, mskp_tensors values,
                                                   mskp_tensors gradients, mskp_prepared **prepared,
                                                   mskp_error *err);
MSKP_EXPERIMENTAL void mskp_prepared_destroy(mskp_prepared *prepared); /* may be NULL */

/* As mskp_penalty_gradient. MSKP_ERROR_BAD_STATE: the object was made without gradients. This call
 * and the next three allocate nothing; any number of threads may use one object at once, each with
 * its own tensors. prepared must not be NULL. */
MSKP_EXPERIMENTAL mskp_status mskp_prepared_gradient(const mskp_prepared *prepared, double strength,
                                                     mskp_tensors values, mskp_tensors gradients,
                                                     mskp_error *err);
/* As mskp_penalty_prox. */
MSKP_EXPERIMENTAL mskp_status mskp_prepared_prox(const mskp_prepared *prepared, double step,
                                                 mskp_tensors values, mskp_error *err);
/* As mskp_penalty_deadline; with steps_left 0, as mskp_penalty_zero. Start values
 * (mskp_low_precision.start) have views of their own, which are checked in each call. */
MSKP_EXPERIMENTAL mskp_status mskp_prepared_deadline(const mskp_prepared *prepared,
                                                     uint64_t steps_left, mskp_tensors values,
                                                     mskp_error *err);
/* As mskp_penalty_fade. set: the gradients; or the values, if the object was made without
 * gradients. */
MSKP_EXPERIMENTAL mskp_status mskp_prepared_fade(const mskp_prepared *prepared, double amount,
                                                 mskp_tensors set, mskp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_METHODS_H */

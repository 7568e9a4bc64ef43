/*
 * mskp/constants.h - what a removed channel still outputs, and how to keep it
 *
 * Include this header if your penalty reaches gamma but not beta, or if your network has biases. A
 * channel whose gamma is 0 still outputs f(beta), the same number at every position and for every
 * input; a channel whose filter is zero outputs f(bias). Surgery alone takes these constants away
 * from everything that reads them. The calls of this header move the constants into other
 * parameters before the cut, on the values at full size. The outputs after the cut are then what
 * they were before; between the two, the full network computes something else.
 * The rules at the head of mskp.h hold here, too.
 *
 *   fold    adds the constant to the bias of the consumer, the operator that reads it. A bias
 *           shared by several operators is used only if all need the same correction. If the
 *           consumer has no bias, and nothing but batch norms with running means of their own reads
 *           its result, the constant is subtracted from these means. Instance norms without running
 *           statistics subtract it by themselves. Exact if every position of the result sees the
 *           same weights, which is not so at the border of an image that is padded with zeros.
 *   merge   keeps one of the removed units as a carrier of all constants of a consumer: its filters
 *           and scales become 0, its biases and shifts 1, and its column in the consumer's weight
 *           the weighted sum of the columns that are removed. Exact with any padding. It costs a
 *           unit; mskp_constants_select keeps that cost within the budget.
 *   drop    loses the constant, as surgery alone does.
 *
 * What cannot be exact is reported, with a bound, before anything is written. A program can then
 * train on, or include beta in the penalty. Where a gate multiplies f(beta) (squeeze and
 * excitation), the product differs from input to input, and only a beta of 0 helps.
 *
 * When constants are moved right after the selection, six calls do it:
 *
 *     mskp_constants_select(graph, scores, &rule, NULL, values, &constants, &err);
 *     mskp_constants_total(constants, &total, &err);                 // good enough?
 *     mskp_constants_plan(constants, &plan, &small, &err);           // can this be cut?
 *     mskp_constants_apply(constants, plan, values, &err);           // nothing was written before
 *     mskp_plan_cut(plan, 1, &move, &err);
 *     mskp_constants_destroy(constants);
 *
 * When a stage of penalized training lies between, select before that stage, with desc.zeroed set
 * to the roles that the penalty will drive to zero, so that the carriers are foreseen; penalize
 * what mskp_constants_masks calls not selected, and destroy the object. After the stage,
 * mskp_constants_create with that mask gives the object for plan, apply and cut. See docs/guide.md.
 *
 * mskp_constants_apply needs the plan, and a plan of mskp_constants_plan refuses to cut before the
 * constants were applied. (A plan of mskp_plan_create for the mask `kept` is not guarded.)
 *
 * The description must say what is computed: padding of convolutions, epsilon of norms, kinds and
 * parameters of activations, keeps_constants of pools. A custom operator counts as not constant
 * unless mskp_zero_if says that its result is zero. Of a batch norm without a mean or a variance,
 * channels with gamma 0 output the constant beta, and its other channels count as not constant.
 *
 *   mskp_activation_desc.function   f(x, parameters) of MSKP_ACTIVATION_CUSTOM, a pure function
 *           that the calls below call from the calling thread. NULL: constants end at the operator.
 *   mskp_pool_desc.keeps_constants   nonzero: a channel that has one number at all positions keeps
 *           it. If 0, this holds for max, global, and an average without pads, ceil_mode and
 *           spatial; other kinds keep only zeros.
 *
 * Compare: J. Ye, X. Lu, Z. Lin, J. Z. Wang, "Rethinking the Smaller-Norm-Less-Informative
 * Assumption in Channel Pruning of Convolution Layers", ICLR 2018, section 4.2, which folds into
 * the next convolution or batch norm and does not correct the border.
 */
#ifndef MSKP_CONSTANTS_H
#define MSKP_CONSTANTS_H

#include "../mskp.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * exact.unit[u] <- 1 if removing unit u changes nothing else, once its slices in these roles are
 * zero; otherwise 0. It is known before training, so it tells what must be penalized for surgery to
 * cost nothing. With gamma alone, a unit of a batch norm that has a shift still outputs a constant;
 * with gamma and beta it is zero behind relu, but not behind sigmoid; if the weights that read the
 * channel are zero (CONSUMER), the channel has no effect. 1 is a guarantee, provided that the
 * description is true, all numbers are finite, and no branch vanishes (mskp_fate): what a branch
 * still adds is then a constant. Custom operators count as never zero unless mskp_zero_if says
 * more.
 *   roles   a subset of MSKP_ROLES_UNIT; 0: nothing is zeroed
 */
MSKP_STABLE mskp_status mskp_exact(const mskp_graph *graph, uint32_t roles, mskp_mask exact,
                                   mskp_error *err);

/* What becomes of the constants of the removed units, worked out. */
typedef struct mskp_constants mskp_constants;

typedef enum mskp_constants_way {
    MSKP_CONSTANTS_AUTO = 0, /* fold where exact; merge where that is worth a unit; otherwise fold
                                 or drop, whichever loses less */
    MSKP_CONSTANTS_DROP = 1,
    MSKP_CONSTANTS_FOLD = 2, /* also where it is not exact; drop where there is no place for it */
    MSKP_CONSTANTS_MERGE = 3 /* fold where exact; merge wherever a unit can carry; otherwise AUTO */
} mskp_constants_way;

/*
 *   zeroed       slices of removed units in these roles (of MSKP_ROLES_UNIT) are taken for zero,
 *                and mskp_constants_apply sets them to zero. 0: values are taken as they are.
 *   merge_above  for AUTO, in [0, 1), 0 means 0.01: merge where the error of an output channel
 *                would otherwise exceed this share of the channel's output scale. The output scale
 *                is the root of the sum of the channel's squared weights for the inputs that stay:
 *                its standard deviation if these inputs are independent with variance 1.
 */
typedef struct mskp_constants_desc {
    mskp_constants_way way;
    uint32_t zeroed;
    double merge_above;
} mskp_constants_desc;

/*
 * Selects units within a rule, as mskp_select does, and works out what becomes of their constants,
 * so that the units that stay as carriers are within the rule, too: the network that will be cut
 * has at most max_macs and max_params, is within all budgets, loses at least remove_fraction, and
 * keeps multiples of round_to wherever mskp_select would; and with one block less removed, a demand
 * on amounts would not hold. Where carriers would break a multiple of round_to, up to round_to - 1
 * further units of the family stay, highest scores first; a family that would be complete stays
 * without carriers. Budgets of TABLE and CALLBACK can rise when more is removed, and not every
 * number of blocks is tried; so with them there may be a solution although none is found.
 *   desc       NULL: MSKP_CONSTANTS_AUTO, and values as they are
 *   values     a set; only what must be read, or would be written, needs data. NaN and infinities
 *              in what is read, and results that do not fit the dtype of their tensor, are
 *              MSKP_ERROR_BAD_NUMBER.
 *   constants  receives the object; free it with mskp_constants_destroy
 * MSKP_ERROR_NO_SOLUTION as for mskp_select, also if only the carriers break the budget. The graph
 * must outlive the object. Writes nothing else.
 */
MSKP_EXPERIMENTAL mskp_status mskp_constants_select(const mskp_graph *graph, mskp_scores scores,
                                                    const mskp_rule *rule,
                                                    const mskp_constants_desc *desc,
                                                    mskp_tensors values, mskp_constants **constants,
                                                    mskp_error *err);

/* The same for a mask that is given: carriers stay in addition to keep. */
MSKP_EXPERIMENTAL mskp_status mskp_constants_create(const mskp_graph *graph, mskp_mask keep,
                                                    const mskp_constants_desc *desc,
                                                    mskp_tensors values, mskp_constants **constants,
                                                    mskp_error *err);

/*
 * The same decision for other values of the same network, for instance an average of the weights:
 * the masks and the way are those of `decided`, and the sums are of the values given here. One plan
 * then serves both sets: make it from `decided`, apply each object to its own values, and cut both
 * sets in one call (examples/average.c). Constants that no carrier of `decided` can take are folded
 * or dropped, as the reports of the new object say. `decided` is only read, and may be destroyed
 * before the new object.
 *   values, constants   as for mskp_constants_select; the graph must outlive the object
 * A `decided` or `constants` of NULL is MSKP_ERROR_BAD_ARGUMENT. Other errors are those of
 * mskp_constants_create.
 */
MSKP_EXPERIMENTAL mskp_status mskp_constants_again(const mskp_constants *decided,
                                                   mskp_tensors values, mskp_constants **constants,
                                                   mskp_error *err);

/* constants may be NULL. May be called after mskp_graph_destroy. */
MSKP_EXPERIMENTAL void mskp_constants_destroy(mskp_constants *constants);

/*
 * The masks of the object; each may be {0, NULL}.
 *   selected   1: stays by the rule, or by the mask that was given. The others are what the penalty
 *              and mskp_penalty_zero are about.
 *   carriers   1: stays only to carry constants. Its gamma is no longer a score; lock the unit in
 *              the next round (mskp_rule.locked, in the numbers of the smaller graph), unless that
 *              round handles constants again and may merge the carriers of this one.
 *   kept       1: selected or carrier. The plan keeps these units; a mask file that is to lead to
 *              the same network holds this mask if its values are those after mskp_constants_apply,
 *              and `selected` if another process applies the constants.
 */
MSKP_EXPERIMENTAL mskp_status mskp_constants_masks(const mskp_constants *constants,
                                                   mskp_mask selected, mskp_mask carriers,
                                                   mskp_mask kept, mskp_error *err);

/*
 * One consumer: an operator whose weights for removed channels, towards what stays, are not all
 * zero, while these channels are not all zero either. (Norms with statistics over channels also
 * count channels that are zero.) In a branch that vanishes, all channels count that an operator
 * reads, and no unit is a carrier; an addition that loses an operand is a consumer, too.
 *   consumer, reads  its value, and the value whose channels it reads; for a custom operator both
 *                    are the value that it reads
 *   weight           its weight; {0}: a norm over channels, the products of attention, or an
 *                    addition
 *   folded, merged, dropped   how many channels are constant, by what becomes of them
 *   live             how many channels are not constant
 *   into             where the constants are folded: its bias, the first mean behind it, or the
 *                    shift that is left of an addition's operand (MSKP_FATE_SHIFT), whose elements
 *                    they replace; {0}: none
 *   carriers         units that stay to carry what is merged here
 *   exact            1: nothing is lost here. If its inputs are what they were, so is its result,
 *                    up to rounding to the dtypes of the tensors.
 *   bound            0 if exact. Otherwise no element of its result is further off, if the channels
 *                    that it still reads are what they were. Infinity: no bound is known.
 *   share            the largest error of an output channel as a share of its output scale (see
 *                    merge_above; in a branch that vanishes, of all inputs), which can be compared
 *                    between consumers. Infinity also if no other weight of the channel is left.
 *   why              why it is not exact; NULL if it is
 * Where norms behind the consumer subtract constants, exact, bound and share are about its result
 * minus the mean.
 */
typedef struct mskp_constants_report {
    mskp_value consumer, reads;
    mskp_param weight, into;
    size_t folded, merged, dropped, live, carriers;
    uint32_t exact;
    double bound, share;
    const char *why;
} mskp_constants_report;

/* The number of consumers, 0 for NULL; and one of them, in the order of the description (axes that
 * were bound by mskp_bind come last). */
MSKP_EXPERIMENTAL size_t mskp_constants_consumers(const mskp_constants *constants);
MSKP_EXPERIMENTAL mskp_status mskp_constants_consumer(const mskp_constants *constants, size_t index,
                                                      mskp_constants_report *report,
                                                      mskp_error *err);

/* Sums over all consumers; carriers: all units that carry; exact: all consumers are; bound, share:
 * the largest; why: of the first consumer that is not exact. Handles are {0}. */
MSKP_EXPERIMENTAL mskp_status mskp_constants_total(const mskp_constants *constants,
                                                   mskp_constants_report *total, mskp_error *err);

/* The plan that keeps the mask `kept`; arguments and errors as for mskp_plan_create. mskp_plan_cut
 * refuses the plan with MSKP_ERROR_BAD_STATE until mskp_constants_apply has succeeded with it. */
MSKP_EXPERIMENTAL mskp_status mskp_constants_plan(const mskp_constants *constants, mskp_plan **plan,
                                                  mskp_graph **small, mskp_error *err);

/*
 * values <- the values with their constants moved, all or nothing: the values from which the object
 * was made, or a copy of them (with other strides, or in another dtype that holds the same
 * numbers). Sums are in double precision and rounded once. Optimizer states of
 * what is written are stale; set them to zero: all slices of carriers, and the biases and means
 * that received constants (mskp_constants_report.into).
 *   plan   of mskp_constants_plan, or any plan that keeps the mask `kept` of this graph. The call
 *          changes it: no other thread may use the plan at the same time.
 *
 * Before anything is written, each element of a bias or mean to which a constant is added, of a
 * shift that becomes a constant, and of a carrier's column, must be the number that it was. So a
 * second call is refused (unless the first only set elements to 0 or 1), and so are values that
 * were trained further. Other elements are not compared: other betas, the weights that are summed,
 * and what becomes 0 or 1.
 *   MSKP_ERROR_BAD_STATE      an element is not the number that it was
 *   MSKP_ERROR_OVERLAP        a tensor that is written shares memory with another one, or the axes
 *                             of a view do not nest
 *   MSKP_ERROR_BAD_NUMBER     an element is not finite, or a result does not fit the dtype
 *   MSKP_ERROR_NO_DATA        a tensor that is written has no data
 *   MSKP_ERROR_BAD_SHAPE      a view has another shape than its parameter
 *   MSKP_ERROR_BAD_ARGUMENT   NULL; no such dtype, or one that cannot be computed with; data that
 *                             is not aligned
 *   MSKP_ERROR_OTHER_NETWORK  another number of parameters, or a plan that keeps another mask
 *   MSKP_ERROR_NO_MEMORY
 */
MSKP_EXPERIMENTAL mskp_status mskp_constants_apply(const mskp_constants *constants, mskp_plan *plan,
                                                   mskp_tensors values, mskp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_CONSTANTS_H */

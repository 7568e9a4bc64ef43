/*
 * mskp/rules.h - rules for layers by name, budgets of bytes, memory and time, rounds of pruning
 *
 * Include this header if mskp_rule alone does not say what you want to remove. docs/methods.md has
 * a row for each rule, with its source. The rules at the head of mskp.h hold here, too.
 */
#ifndef MSKP_RULES_H
#define MSKP_RULES_H

#include "../mskp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ============================================================================================== */
/*                                 Rules: layers by their names                                   */
/* ============================================================================================== */

/*
 * mask.unit[u] <- 1 if a name that fits a pattern belongs to a value with a channel of unit u, or
 * to a parameter with a slice of unit u; otherwise 0. Such a mask is what mskp_rule.locked takes
 * ("ignored layers"), and mskp_family_rules_set.
 *   patterns   n of them; a name fits if it fits one. '*' stands for any bytes, also none; '?' for
 *              one byte; [a-c] for one byte of a set, [!a-c] for one not in it. Any other byte, and
 *              each byte behind a backslash, stands for itself, and so does a [ that no ] closes.
 *              The whole name must fit.
 *   roles      which slices of parameters count, of MSKP_ROLES_UNIT; 0: those of every role but
 *              MSKP_ROLE_CONSUMER. So "fc.weight" means what fc makes, and not what fc reads.
 * A pattern that no value fits, and no parameter with an axis of these roles, is
 * MSKP_ERROR_BAD_NAME, so that a misspelled layer is not pruned by mistake. Values of pinned
 * channels (inputs, outputs) fit like others, but mark nothing. All units of a family get the same
 * flag. The call allocates nothing, and its time is at most the product of the lengths of pattern
 * and name, for each pair.
 */
MSKP_EXPERIMENTAL mskp_status mskp_mask_match(const mskp_graph *graph, size_t n,
                                              const char *const *patterns, uint32_t roles,
                                              mskp_mask mask, mskp_error *err);

/*
 * What mskp_rule says of all families, for one family alone. A field that is 0 leaves it at what
 * mskp_rule says.
 *   remove_fraction   in place of remove_family_fraction: units that are named
 *   max_fraction      in place of max_family_fraction; 1: no limit
 *   min_channels      in place of min_channels: after a block of this family is removed, no value
 *                     and no axis that it occurs in has fewer channels (or all, if it has fewer)
 *   round_to          in place of round_to; 1: any number
 *   locked            nonzero: all units of the family stay
 */
typedef struct mskp_family_rule {
    double remove_fraction, max_fraction;
    size_t min_channels, round_to;
    uint32_t locked;
} mskp_family_rule;

/*
 * Copies each field of *rule that is not 0 to the rules of the families that have a unit with a
 * nonzero flag in `which`; everything else in families stays as it is. Start with zeros and call it
 * once for each set of layers; a later call wins. Then set mskp_rule.families and nfamilies.
 *   families   n rules, n = mskp_graph_counts().families, in the order of families
 * A fraction outside 0 to 1 is MSKP_ERROR_BAD_ARGUMENT, another n MSKP_ERROR_OTHER_NETWORK.
 */
MSKP_EXPERIMENTAL mskp_status mskp_family_rules_set(const mskp_graph *graph, mskp_mask which,
                                                    const mskp_family_rule *rule, size_t n,
                                                    mskp_family_rule *families, mskp_error *err);

/* ============================================================================================== */
/*                          Rules: budgets of bytes, of memory, of time                           */
/* ============================================================================================== */

/* What a budget is about. BYTES and ACTIVATIONS never rise when a unit is removed. */
typedef enum mskp_budget_kind {
    MSKP_BUDGET_BYTES = 0,       /* of weights: of all parameters but running statistics */
    MSKP_BUDGET_ACTIVATIONS = 1, /* of values that are alive at the same time, at most */
    MSKP_BUDGET_TABLE = 2,       /* a sum of costs that were measured layer by layer */
    MSKP_BUDGET_CALLBACK = 3     /* what the caller's function makes of the widths */
} mskp_budget_kind;

/*
 * What one layer costs, in any unit of measure: measured at some widths, in between linear in each
 * width. Below the smallest width that was measured, the layer costs what it costs there.
 *   out, in    the values whose numbers of channels are the widths: the one that the layer makes,
 *              and the one that it reads. in {0}: the cost depends on `out` alone.
 *   widths_out, widths_in
 *              nout and nin of them, ascending; the last is at least the full number of channels.
 *              Without `in`, nin is 0 and widths_in NULL.
 *   cost       [nout][nin], or [nout] without `in`; finite
 */
typedef struct mskp_layer_cost {
    mskp_value out, in;
    size_t nout, nin;
    const size_t *widths_out, *widths_in;
    const double *cost;
} mskp_layer_cost;

/*
 * A demand on how much of the network is left, one of mskp_rule.budgets: at most `limit`. All hold
 * together, with max_macs, max_params and remove_fraction. Fields that a kind does not use are
 * ignored.
 *   limit      above 0, and absolute, as max_macs is: 0.5 * what mskp_budget_measure says first
 *   name       for sentences of errors; NULL: "bytes", "activations", "table" or "callback"
 *   element_size, element_sizes
 *              bytes of one element; 0: 4. element_sizes, unless it is NULL, has a size of its own
 *              for each parameter (BYTES) or value (ACTIVATIONS), in the order of ids; there, 0
 *              means that it does not count.
 *   layers     of TABLE: nlayers of them, added up in this order; other operators cost 0
 *   cost       of CALLBACK: channels[v - 1] is how many channels of the value with id v stay. It
 *              returns a number, the same for the same channels; NaN is MSKP_ERROR_BAD_NUMBER and
 *              ends the call. It runs in the thread of the call and must not use the rule's arrays.
 *   context    passed to it
 *
 * BYTES is a sum over parameters, exact in whole numbers. ACTIVATIONS counts channels x positions x
 * size. Operators run in the order in which they were described, and none works in place: a value
 * is there from its operator to the last operator that reads it. An output of the network, and a
 * value that an unknown operator may read or make (mskp_opaque; values that the caller binds, ties,
 * pins or attaches to), is there to the end; so with such operators the amount is an upper bound.
 * Parameters are no activations. A value that only moves channels or positions (slice, pick,
 * padding, shuffle, reshape, flatten, concatenation) and that nothing reads is not made. Inside an
 * attention, query, key, value and result have the positions of what they are computed from. What
 * an operator needs inside itself does not count. Operators of branches that vanish still count as
 * readers, and make nothing.
 *
 * After each block, mskp_select measures the budgets in their order, each only if all demands
 * before it hold. So it calls a callback at most once for each block, and once before the first. If
 * this takes too long, put the callback last, and let round_to make the blocks larger.
 * The result is the first place in the order of removal at which all demands hold. So one block
 * less is not enough, and a smaller limit removes a superset, whatever the kind. A TABLE or a
 * CALLBACK may rise from block to block. Its limit may then hold at the result and not at a later
 * place; and on MSKP_ERROR_NO_SOLUTION the sentence says what is left when nothing more can go, in
 * place of the least that is possible.
 */
typedef struct mskp_budget {
    mskp_budget_kind kind;
    double limit;
    const char *name;
    size_t element_size;
    const size_t *element_sizes;
    size_t nlayers;
    const mskp_layer_cost *layers;
    double (*cost)(void *context, const mskp_graph *graph, const size_t *channels);
    void *context;
} mskp_budget;

/* *amount <- what a budget is about, under a mask; keep {0, NULL}: of the whole network. The limit
 * does not count, and may be 0. BYTES and ACTIVATIONS of more than 2^53, and mistakes of *budget,
 * are errors, here and in every call that takes the rule. */
MSKP_EXPERIMENTAL mskp_status mskp_budget_measure(const mskp_graph *graph, mskp_mask keep,
                                                  const mskp_budget *budget, double *amount,
                                                  mskp_error *err);

/*
 * scores.unit[u] <- the score over what one unit of the family saves of the budget, so that units
 * leave first whose removal saves most for what they are worth. A budget alone decides when
 * mskp_select stops, and not which units leave. A score of +infinity stays.
 *   block   how many units of a family are removed for measuring, or all if it has fewer; the
 *           saving is divided by their number. 0 means 1. For measured times choose half a layer or
 *           more: they fall in steps, and what few units save is a small difference of two times.
 * Savings are those of the whole network. A budget of ACTIVATIONS is MSKP_ERROR_UNSUPPORTED: where
 * a peak does not depend on one family alone, no unit would save anything. Units that save nothing,
 * or less than nothing, score +infinity. Scores are 0 or more; others, and quotients that no double
 * can hold, are MSKP_ERROR_BAD_NUMBER. Errors of mskp_budget_measure are errors of this call. On an
 * error the scores are as they were. For MACs and parameters: mskp_score_normalize in
 * mskp/methods.h.
 */
MSKP_EXPERIMENTAL mskp_status mskp_score_per_budget(const mskp_graph *graph,
                                                    const mskp_budget *budget, size_t block,
                                                    mskp_scores scores, mskp_error *err);

/* ============================================================================================== */
/*                             Rules: how sensitive each family is                                */
/* ============================================================================================== */

/*
 *   fractions, nfractions   what a family loses, each in [0, 1], ascending
 *   accuracy   called with a mask that removes floor(fraction x size) units of one family, smallest
 *              scores first, as far as the limits allow it, and nothing else. It returns how good
 *              the network is without them (more is better; for a loss, return its negative), or
 *              NaN to end the scan. The flags are the library's and must not be changed.
 *   context    passed to it
 *   limits     NULL, or a rule whose limits hold in each mask (min_channels, round_to,
 *              max_family_fraction, locked, families); its demands do not count
 */
typedef struct mskp_sensitivity_desc {
    size_t nfractions;
    const double *fractions;
    double (*accuracy)(void *context, mskp_mask keep, size_t family, double fraction);
    void *context;
    const mskp_rule *limits;
} mskp_sensitivity_desc;

/*
 * table[f * nfractions + i] <- the accuracy without fractions[i] of family f. This is the
 * sensitivity of layers in Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017.
 * n = families x nfractions. The callback runs in the thread of the call, family by family, with
 * the fractions in their order. A mask that removes nothing is measured once for all families, and
 * a mask that removes as many units as the one before it is not measured again. If the callback
 * returns NaN, that is MSKP_ERROR_BAD_NUMBER, and the table stays as it was.
 */
MSKP_EXPERIMENTAL mskp_status mskp_sensitivity(const mskp_graph *graph, mskp_scores scores,
                                               const mskp_sensitivity_desc *desc, size_t n,
                                               double *table, mskp_error *err);

/*
 * The rule that uses the table. families[f].max_fraction <- the largest of the fractions such that
 * the accuracy is at least `least` with it and with all smaller ones; a smaller max_fraction above
 * 0 that is there already stays. If there is no such fraction above 0, families[f].locked <- 1.
 * Other fields stay as they are. n = mskp_graph_counts().families. Of *desc only the fractions
 * count. A NaN in the table is below `least`.
 */
MSKP_EXPERIMENTAL mskp_status mskp_sensitivity_caps(const mskp_graph *graph,
                                                    const mskp_sensitivity_desc *desc,
                                                    const double *table, double least, size_t n,
                                                    mskp_family_rule *families, mskp_error *err);

/* ============================================================================================== */
/*                                    Rules: round after round                                    */
/* ============================================================================================== */

/* How a fraction goes from one number to another, at the time t = round / rounds. */
typedef enum mskp_schedule {
    MSKP_SCHEDULE_LINEAR = 0,     /* from + (to - from) t */
    MSKP_SCHEDULE_CUBIC = 1,      /* to + (from - to) (1 - t)^3: Zhu and Gupta, "To prune, or not to
                                     prune", 2017 (arXiv 1710.01878) */
    MSKP_SCHEDULE_EXPONENTIAL = 2 /* 1 - (1 - from)^(1 - t) (1 - to)^t: each round removes the same
                                     share of what is left, as in the iterative pruning of Frankle
                                     and Carbin, ICLR 2019 */
} mskp_schedule;

/*
 * Returns the fraction that is to be removed in a round, which counts from 1: `from` for round 0,
 * `to` for the last round and all later ones, and in between a fraction between the two. For
 * instance, a program sets remove_fraction to the result, or max_macs to (1 - result) x the MACs of
 * the whole network. Returns NaN if `from` or `to` is outside [0, 1], or for no such schedule.
 */
MSKP_EXPERIMENTAL double mskp_schedule_at(mskp_schedule schedule, double from, double to,
                                          uint64_t round, uint64_t rounds);

/*
 * keep.unit[u] <- 0 if at least `votes` of the n masks remove unit u, otherwise 1.
 *   votes 1   what any mask removes is removed: the union of the removed units
 *   votes n   what all masks remove is removed: their intersection
 *   votes 2 of the masks {keep, low, high}, made by a low threshold and by a higher one
 *             A unit is removed when its score falls to the low threshold, and stays again when its
 *             score rises above the high one. For single weights this is the rule of Guo, Yao and
 *             Chen, "Dynamic Network Surgery for Efficient DNNs", NIPS 2016.
 * keep may be one of the masks. votes outside 1 to n is MSKP_ERROR_BAD_ARGUMENT. The result need
 * not hold to the limits of the rules that made the masks, and it can leave a value without
 * channels; mskp_plan_create refuses such a mask.
 */
MSKP_EXPERIMENTAL mskp_status mskp_mask_vote(const mskp_graph *graph, size_t n,
                                             const mskp_mask *masks, size_t votes, mskp_mask keep,
                                             mskp_error *err);

/*
 * Hysteresis in time, for masks of any rule: a unit changes its state in keep only after the
 * proposed mask has differed from keep in `rounds` calls in a row, this one included. A program
 * calls it once per round, with the mask in force as keep. rounds 0 means 1: keep becomes the
 * proposed mask. keep.unit[u] <- 1 or 0.
 *   streak   n counters of such calls, n = units; zeros before the first call
 * As after mskp_mask_vote, the result need not hold to the limits of a rule, and can leave a value
 * without channels.
 */
MSKP_EXPERIMENTAL mskp_status mskp_mask_hysteresis(const mskp_graph *graph, mskp_mask proposed,
                                                   uint32_t rounds, size_t n, uint32_t *streak,
                                                   mskp_mask keep, mskp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_RULES_H */

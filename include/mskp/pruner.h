/*
 * mskp/pruner.h - the whole method as an object: stages, masks, strengths and cuts in a loop
 *
 * Include this header if you do not want to write the stages of a pruning yourself. A program
 * describes its network, says once what has to go and when, and calls three functions in its
 * training loop:
 *
 *     static mskp_pruner_options options;              // zeros are defaults
 *     mskp_measure(graph, all, &cost, NULL, &err);     // all: {0, NULL}, the whole network
 *     options.rule.max_macs = 0.5 * cost.macs;
 *     options.steps = 10000, options.masked = 0.3;     // 3000 steps to bring channels to zero
 *     mskp_pruner *p = NULL;
 *     mskp_pruner_create(graph, &options, &p, &err);
 *     for (step = 0; step < 10000; step++) {
 *         while (mskp_pruner_due(p) == MSKP_PRUNER_DUE_CUT) // the channels are at zero
 *             if (mskp_pruner_cut(p, 3, sets, &err)) return; // values, gradients, momentum
 *         ...                                            // forward, backward
 *         mskp_pruner_before_step(p, rate, values, gradients, &err);
 *         ...                                            // the optimizer's step
 *         mskp_pruner_after_step(p, rate, values, &err);
 *     } // and once more the cut, if the masked stage is the last one; each call can fail
 *
 * The steps fall into stages, in this order, with the masked stage in as many rounds as are asked:
 *
 *     wait      nothing: training as it is
 *     sparse    a penalty on all units, so that scores tell them apart ([MaskSparsity], section 3)
 *     masked    the mask is made, marked units are driven to zero; at its end the cut is due
 *     tune      nothing: training of the smaller network
 *
 * The object uses public functions alone, so a program can leave it at any point and go on by hand.
 * It allocates when it is made, when a mask is made, in the first mskp_pruner_before_step after
 * that, and for a cut; never in another step. One thread at a time may use a pruner.
 * examples/pruner.c is a complete program. The rules at the head of mskp.h hold here, too.
 */
#ifndef MSKP_PRUNER_H
#define MSKP_PRUNER_H

#include "constants.h"
#include "methods.h"
#include "rules.h"
#include "tools.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How marked units reach zero.
 *   PROXIMAL  a soft threshold after the optimizer's step (mskp_penalty_prox): for any optimizer
 *   GRADIENT  a term of the gradient (mskp_penalty_gradient), as [MaskSparsity] has it: for
 *             gradient descent with or without momentum. Adam rescales it; use another.
 *   DEADLINE  each weight goes to zero in a straight line (mskp_penalty_deadline): for roles whose
 *             elements differ in size, such as MSKP_ROLES_UNIT. It has no strength.
 */
typedef enum mskp_pull {
    MSKP_PULL_PROXIMAL = 0,
    MSKP_PULL_GRADIENT = 1,
    MSKP_PULL_DEADLINE = 2
} mskp_pull;

/*
 * What has to go:
 *   rule        as for mskp_select, with absolute amounts, about the whole network. Arrays that it
 *               names must live as long as the pruner.
 *   scoring     what units are scored by, for mskp_score
 *   use_normalizer   nonzero: the scores are then normalized by mskp_score_normalize, with
 *               normalizer and normalizer_parameter
 *   score       NULL, or a function that scores units in place of both, for instance from gradients
 *               that the program has summed up. `graph` is the current graph. It returns MSKP_OK,
 *               or fills *err and returns its status.
 *   context     passed to it
 *   constants   what becomes of the constants of removed channels. zeroed 0: the roles of the
 *               penalty while a mask is selected, and at the cut these without MSKP_ROLE_SHIFT, so
 *               that what is left of a shift is moved rather than lost
 *
 * How it goes:
 *   penalty     roles, kind, knee, skip_missing and low_precision count; the target must be
 *               MSKP_TARGET_REMOVED, and unit_weight NULL. Where norms have a beta, roles of
 *               MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT leave no constant behind a relu.
 *   pull        how marked units reach zero
 *   strength    0: automatic. In each step the pruner measures the largest marked element, and
 *               chooses the strength that takes it to zero in the steps that are left, at the rate
 *               of this step. So no schedule of rates and no pull of the loss keeps marked units
 *               from zero. For the kind L1. Otherwise the strength of the penalty, which is yours;
 *               then only the steps of `settle` set marked elements to zero.
 *   momentum    of the optimizer, in [0, 1), for an automatic GRADIENT: a gradient moves a weight
 *               by rate / (1 - momentum) of it in the end. 0: the pruner finds this factor by what
 *               the weights do. Momentum answers late, so the last step takes away more than with
 *               the other pulls: see `residue` in the gauges.
 *   gradient_scale   what the gradients are multiplied by, finite; 0 means 1. -n where they are
 *               negative sums over n images (darknet); the loss scale where they still have it
 *   fade        nonzero: the task's gradient of marked units fades out over the pull, from whole to
 *               nothing (mskp_penalty_fade)
 *
 * When:
 *   steps       of the optimizer, all together; required, at most 2^53
 *   wait, sparse, masked   the shares of the steps that these stages take, each in [0, 1], together
 *               at most 1; the rest is for tuning. masked 0: units are cut as they are. Then
 *               mskp_pruner_prepare or mskp_pruner_cut selects them, unless mskp_pruner_mark made a
 *               mask before.
 *   sparse_strength   of the penalty on all units in the sparse stage, above 0 if there is one: L1,
 *               on the roles of `scoring`; after the step, or with MSKP_PULL_GRADIENT in the
 *               gradient
 *   settle      the share of the masked stage, at its end, in which marked units are already zero
 *               and are held there, so that others can take over their work
 *   rounds      in how many rounds the masked stage is divided; 0 means 1. After each round is a
 *               cut. Rounds demand more and more of max_macs, max_params, remove_fraction and
 *               budgets, by `schedule`, until the last one demands the rule. With more than one
 *               round, a rule with use_threshold, remove_family_fraction or families is
 *               MSKP_ERROR_UNSUPPORTED.
 *   schedule    how much goes in which round: mskp_schedule_at
 *   refresh     0, or the number of steps after which the mask is chosen anew within a round
 *   hysteresis  how many times in a row a new mask must differ for a unit to change its state; 0
 *               means 1 (mskp_mask_hysteresis)
 */
typedef struct mskp_pruner_options {
    mskp_rule rule;
    mskp_scoring scoring;
    uint32_t use_normalizer;
    mskp_normalizer normalizer;
    double normalizer_parameter;
    mskp_status (*score)(void *context, const mskp_graph *graph, mskp_tensors values,
                         mskp_scores scores, mskp_error *err);
    void *context;
    mskp_constants_desc constants;

    mskp_penalty penalty;
    mskp_pull pull;
    uint32_t fade;
    double strength, momentum, gradient_scale;

    uint64_t steps;
    double wait, sparse, sparse_strength, masked, settle;
    uint32_t rounds;
    mskp_schedule schedule;
    uint64_t refresh;
    uint32_t hysteresis;
} mskp_pruner_options;

typedef struct mskp_pruner mskp_pruner; /* the state of one pruning */

/*
 * *pruner <- a pruner of a finished graph, before its first step. Free it with mskp_pruner_destroy.
 * The options are copied. The graph must outlive the pruner, and so must what the options point to.
 * Options that a call of a round would refuse are refused here, before hours of training: also with
 * MSKP_ERROR_NO_SOLUTION, if the limits of the rule forbid the last round's demands (carriers of
 * constants may still break a budget later), and if no parameter has a slice in the roles of the
 * scoring or the penalty.
 */
MSKP_EXPERIMENTAL mskp_status mskp_pruner_create(const mskp_graph *graph,
                                                 const mskp_pruner_options *options,
                                                 mskp_pruner **pruner, mskp_error *err);
MSKP_EXPERIMENTAL void mskp_pruner_destroy(mskp_pruner *pruner); /* pruner may be NULL */

/* ============================================================================================== */
/*                                        In the loop                                             */
/* ============================================================================================== */

/*
 *   MASK  the masked stage begins, or a round of it, and there is no mask yet.
 *         mskp_pruner_before_step makes it, unless mskp_pruner_mark is called first.
 *   CUT   the round is over: call mskp_pruner_cut. Until then mskp_pruner_before_step is
 *         MSKP_ERROR_BAD_STATE.
 */
typedef enum mskp_pruner_due_kind {
    MSKP_PRUNER_DUE_NOTHING = 0,
    MSKP_PRUNER_DUE_MASK = 1,
    MSKP_PRUNER_DUE_CUT = 2
} mskp_pruner_due_kind;
/* What has to be done before the next step. NOTHING for NULL. */
MSKP_EXPERIMENTAL mskp_pruner_due_kind mskp_pruner_due(const mskp_pruner *pruner);

/*
 * gradients += the term of this step, after accumulation, all-reduce and clipping, and before the
 * optimizer's step. With `fade`, gradients of marked units are scaled first. If a mask is due, it
 * is made from these values.
 *   rate       the learning rate of the step, finite and 0 or more
 *   values, gradients   sets, as for mskp_penalty_gradient. gradients may be {0, NULL} unless this
 *              stage adds to them or scales them.
 * What the stage is, strengths, and what the step adds are the same on all ranks if their values
 * and gradients are. Errors are those of the calls that the stage makes. On an error nothing
 * changes, and a mask that was due is still due. A step that is begun again, because the optimizer
 * skipped it, counts once.
 */
MSKP_EXPERIMENTAL mskp_status mskp_pruner_before_step(mskp_pruner *pruner, double rate,
                                                      mskp_tensors values, mskp_tensors gradients,
                                                      mskp_error *err);

/* values <- after the proximal map or the deadline of this step, after the optimizer's step. Counts
 * the step. In the last step of a deadline, and of a pull with an automatic strength, the marked
 * slices become exactly 0, and so they do in each step of `settle`. rate, values: as above. On an
 * error the step is not counted. MSKP_ERROR_BAD_STATE: mskp_pruner_before_step was not called for
 * this step. */
MSKP_EXPERIMENTAL mskp_status mskp_pruner_after_step(mskp_pruner *pruner, double rate,
                                                     mskp_tensors values, mskp_error *err);

/*
 * Makes the mask that is due. Programs that do not call it get the same mask from their values in
 * mskp_pruner_before_step; it is for those that train on from other values ([MaskSparsity] goes
 * back to the weights before the sparse stage), or that have a mask.
 *   values   what units are scored by, and what constants are foreseen from
 *   keep     {0, NULL}: the mask is selected by the rule. Otherwise the mask, which is cut as it
 *            is.
 * A cut that is due without a mask (`masked` 0) takes one, too; what mskp_pruner_prepare worked out
 * before is then void. MSKP_ERROR_BAD_STATE: no mask is due, and no such cut.
 */
MSKP_EXPERIMENTAL mskp_status mskp_pruner_mark(mskp_pruner *pruner, mskp_tensors values,
                                               mskp_mask keep, mskp_error *err);

/* ============================================================================================== */
/*                                         The cut                                                */
/* ============================================================================================== */

/*
 * Cuts n sets to the units that stay, and begins the next round, or tuning. The constants of what
 * leaves are moved first. If carriers now cost more than was foreseen, or less, units are selected
 * again within the rule: marked ones first, in their order. So the network is then within every
 * budget; but units may leave that were not marked, and the output changes (`unmarked` in the
 * gauges). A penalty on MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT leaves no constant behind a relu, and so
 * no carrier.
 *   moves    as for mskp_plan_cut. moves[0].from are the values; at least one set.
 * All or nothing, with one exception: if mskp_plan_cut refuses a set, the constants have been moved
 * in the values already; the next call goes on from there. What the optimizer remembers of
 * carriers, and of biases and means that received constants, is stale: see mskp_constants_apply.
 * Which they are is said by the object that mskp_pruner_prepare hands out; call it before the cut.
 * MSKP_ERROR_BAD_STATE: no cut is due.
 */
MSKP_EXPERIMENTAL mskp_status mskp_pruner_cut(mskp_pruner *pruner, size_t n, const mskp_move *moves,
                                              mskp_error *err);

/*
 * The same in two steps, for programs that carry out surgery themselves (the bridges of
 * examples/bridges do, and tensors on a device). Works out what will be cut, and writes nothing.
 *   plan, constants   receive the plan and the object that made it, which stay the pruner's until
 *                     the next of these calls that goes well, a step, or mskp_pruner_cut. Apply the
 *                     constants, cut by the plan, then call mskp_pruner_cut_done. Each may be NULL.
 * A cut need not be due, only a mask be there: so a program can cut early, or look at what a cut
 * would do. Every call works it out anew.
 */
MSKP_EXPERIMENTAL mskp_status mskp_pruner_prepare(mskp_pruner *pruner, mskp_tensors values,
                                                  mskp_plan **plan,
                                                  const mskp_constants **constants,
                                                  mskp_error *err);
/* The network has been cut by the plan of the last mskp_pruner_prepare, since when no step was
 * taken: otherwise MSKP_ERROR_BAD_STATE. If the cut came early, the steps that were left of the
 * round go to tuning. */
MSKP_EXPERIMENTAL mskp_status mskp_pruner_cut_done(mskp_pruner *pruner, mskp_error *err);

/* The graph of the network as it is now: the caller's until the first cut, then one that the pruner
 * frees at the next cut or at its end. NULL for NULL. */
MSKP_EXPERIMENTAL const mskp_graph *mskp_pruner_graph(const mskp_pruner *pruner);
/* The mask of this round over the units of that graph; {0, NULL} if there is none, and for NULL.
 * The flags are the pruner's: do not change them. They stay until the next mask or cut. */
MSKP_EXPERIMENTAL mskp_mask mskp_pruner_mask(const mskp_pruner *pruner);

/* ============================================================================================== */
/*                                          Gauges                                                */
/* ============================================================================================== */

/* The stages, in their order; the head of this file describes each. */
typedef enum mskp_pruner_stage {
    MSKP_PRUNER_STAGE_WAIT = 0,
    MSKP_PRUNER_STAGE_SPARSE = 1,
    MSKP_PRUNER_STAGE_MASKED = 2,
    MSKP_PRUNER_STAGE_TUNE = 3
} mskp_pruner_stage;

/*
 *   stage, step, steps_left   steps that were counted; steps that are left in the stage (in the
 *                      masked stage, in the round)
 *   round, rounds      cuts that were made, and that will have been made
 *   units, marked      units of the current graph, and those that the mask removes; 0: no mask
 *   macs, params       shares of the first network's: now
 *   macs_after, params_after   and without the marked units (carriers not counted)
 *   strength           of the last step; 0: none, or a deadline
 *   move               by how much the term of the last step moves an element: rate x strength, for
 *                      GRADIENT over 1 - momentum
 *   needed             by how much the largest marked element has to move in the next step
 *   left, kept         of marked units in the penalty's roles, and of those that stay
 *   start              left.largest when the mask was made; residue: what it was right before a
 *                      step set it to 0 (NaN: not yet)
 *   threshold, valley  the deepest valley of a histogram of the units' scores, and its depth: how
 *                      well scores tell units apart (mskp_valley); NaN and 0: none
 *   gap                the smallest score of units that stay over the largest of marked ones;
 *                      infinite where these are 0
 *   overlap            marked in this mask and in the one before it in this round (`refresh`), over
 *                      marked in one of the two; NaN without two masks
 *   exact              nonzero: a cut now changes no output: left.largest is 0, no constant is
 *                      lost, and unmarked is 0; or there is no mask
 *   unmarked           units that a cut now would remove although they are not marked, because
 *                      carriers cost more than was foreseen. Such units were not driven to zero.
 *   bound, share       of mskp_constants_total for a cut now, with marked elements taken for 0; 0
 *                      without a mask. bound is infinite if unmarked is not 0.
 *   ready              nonzero: marked elements are at most 1e-3 of `start`, or nothing is marked
 */
typedef struct mskp_pruner_gauges {
    mskp_pruner_stage stage;
    uint64_t step, steps_left;
    uint32_t round, rounds;
    size_t units, marked;
    double macs, params, macs_after, params_after;
    double strength, move, needed;
    mskp_gauge left, kept;
    double start, residue;
    double threshold, valley, gap, overlap;
    uint32_t exact;
    size_t unmarked;
    double bound, share;
    uint32_t ready;
} mskp_pruner_gauges;

/* *gauges <- the state of the pruning with these values. Allocates, scores units (with the function
 * of the options, if there is one) and works out constants: once per epoch, not in each step.
 * Changes nothing of the pruner. */
MSKP_EXPERIMENTAL mskp_status mskp_pruner_gauge(const mskp_pruner *pruner, mskp_tensors values,
                                                mskp_pruner_gauges *gauges, mskp_error *err);
/* text <- the gauges as one line of JSON without a line feed; NaN and infinities become null.
 * capacity, text and length as for mskp_mask_write. */
MSKP_EXPERIMENTAL mskp_status mskp_pruner_gauge_json(const mskp_pruner_gauges *gauges,
                                                     size_t capacity, char *text, size_t *length,
                                                     mskp_error *err);

/* ============================================================================================== */
/*                                       Checkpoints                                              */
/* ============================================================================================== */

/* text <- the state of the pruner, for the program's checkpoint: lines of ASCII, the same on every
 * machine. capacity, text and length as for mskp_mask_write. */
MSKP_EXPERIMENTAL mskp_status mskp_pruner_write(const mskp_pruner *pruner, size_t capacity,
                                                char *text, size_t *length, mskp_error *err);

/*
 * *pruner <- the pruner that wrote the text. What follows is then the same, bit for bit, as without
 * the interruption, provided that values, gradients and rates are.
 *   graph, options   as for mskp_pruner_create: the whole network, also after cuts. The text does
 *                    not hold the options; steps, rounds and the kind of pull are compared.
 *   length, text     which need not end in 0, and may come from anywhere. Lines may end in CR LF,
 *                    and the last one in nothing. A damaged text is MSKP_ERROR_BAD_TEXT, one of
 *                    another network MSKP_ERROR_OTHER_NETWORK, and one by which nothing can be cut
 *                    is what mskp_plan_create says of that mask.
 *   plan             receives NULL if nothing was cut; otherwise a plan that cuts sets of the whole
 *                    network to the shapes that they had when the text was written. Make the
 *                    network, cut it by this plan, then load the checkpoint's values into it. Free
 *                    it with mskp_plan_destroy. plan may be NULL.
 */
MSKP_EXPERIMENTAL mskp_status mskp_pruner_read(const mskp_graph *graph,
                                               const mskp_pruner_options *options, size_t length,
                                               const char *text, mskp_pruner **pruner,
                                               mskp_plan **plan, mskp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_PRUNER_H */

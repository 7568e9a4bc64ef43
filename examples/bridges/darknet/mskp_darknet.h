/*
 * mskp_darknet.h - mskp for darknet: describes a network, penalizes it while it trains, and cuts it
 *
 *     parse_network_cfg -> mskp_darknet_describe -> mskp_darknet_hook -> mskp_pruner_create
 *                       -> [ train_network_datum, mskp_pruner_after_step ]* -> mskp_darknet_prune
 *
 * or by hand, with a mask and a strength of the program's own:
 *
 *     ... -> mskp_darknet_select -> [ train_network_datum ]* -> mskp_darknet_cut
 *
 * Between these calls a program may call the library itself (mskp_measure, mskp_mask_write ...)
 * with the graph, the sets and the mask below. The file needs ../mskp_bridge.h.
 *
 * The rules are mskp's: functions return a status and write one sentence, and a call that fails
 * leaves the network as it was. The bridge is not for networks on a GPU. darknet itself ends the
 * process when it cannot open a file, or when a .cfg is wrong.
 */
#ifndef MSKP_DARKNET_H
#define MSKP_DARKNET_H

#include "darknet.h"
#include "mskp_bridge.h"

/* What darknet keeps for each parameter. UPDATES are the negative gradient, summed over the
 * batch and the subdivisions, and the momentum, in one array. M and V exist only with adam=1. */
enum {
    MSKP_DARKNET_VALUES,
    MSKP_DARKNET_UPDATES,
    MSKP_DARKNET_M,
    MSKP_DARKNET_V,
    MSKP_DARKNET_SETS
};

typedef struct mskp_darknet {
    network *net; /* the caller's */
    mskp_graph *graph;
    mskp_graph *whole; /* the graph before the first cut of a pruner; NULL: there was none */
    mskp_tensors sets[MSKP_DARKNET_SETS];

    /* NULL, or the caller's: before each optimizer step its mskp_pruner_before_step is called. Its
     * gradient_scale must be mskp_darknet_scale. */
    mskp_pruner *pruner;

    /* By hand. The penalty: at first on gamma and beta, and off, because strength is 0. */
    mskp_mask keep; /* at first all 1 */
    mskp_penalty penalty;
    double strength;
    double seconds;   /* the time that the pruner or the penalty has taken so far */
    mskp_error error; /* darknet's hooks cannot fail: the first error in one */

    /* What becomes of constants. At first MSKP_CONSTANTS_AUTO, where gamma counts as 0. */
    mskp_constants_desc constants;
    mskp_constants_report report; /* of the last cut, summed over all consumers */

    int first; /* the hooked layer; -1: none */
    void (*update)(layer, update_args);
    struct mskp_darknet *next;
} mskp_darknet;

/*
 * Describes a network. Parameters are called "layer3.weights", ".biases" (beta, if there is batch
 * norm), ".scales" (gamma), ".rolling_mean", ".rolling_variance"; the value that layer 3 makes is
 * "layer3". Layers that the bridge does not know become opaque operators, named by darknet's word
 * for them: they pin what they read, and do not count as MACs or parameters. Layers whose weights
 * darknet would not find again in a file are refused.
 */
mskp_status mskp_darknet_describe(mskp_darknet *d, network *net, mskp_error *err);

/* From now on darknet adds the penalty in each optimizer step, before the step. *d must stay
 * where it is. One thread at a time may hook and train. */
mskp_status mskp_darknet_hook(mskp_darknet *d, mskp_error *err);

/* d->keep <- the units that stay within the rule, with the carriers of constants counted. scoring
 * and selection may be NULL; selection receives the number of removed units and the cost.
 * MSKP_ERROR_UNSUPPORTED: empty_branches, because branches cannot vanish in darknet. */
mskp_status mskp_darknet_select(mskp_darknet *d, const mskp_scoring *scoring, const mskp_rule *rule,
                                mskp_selection *selection, mskp_error *err);

/*
 * Surgery. Reads the network's .cfg, writes the .cfg of the pruned network, moves the constants of
 * removed channels as d->constants says, and cuts weights, statistics, momentum and moments. What
 * belongs to weights that constants replaced is cleared in momentum and moments. d->net stays where
 * it is, and so does all that it holds besides layers (seen, t, learning rate ...); pointers to its
 * old layers become invalid. Afterwards the graph is the smaller one, and keep is all 1.
 * MSKP_ERROR_UNSUPPORTED: the mask removes all of a residual branch.
 */
mskp_status mskp_darknet_cut(mskp_darknet *d, const char *cfg, const char *pruned_cfg,
                             mskp_error *err);

/* What darknet's updates are multiplied by, compared with the gradients of a mean over the images:
 * for mskp_pruner_options.gradient_scale. */
double mskp_darknet_scale(const mskp_darknet *d);

/* The same with the plan and the constants of mskp_pruner_prepare. Afterwards call
 * mskp_pruner_cut_done. The pruner's first graph, which is d->graph before its first cut, stays in
 * d->whole until mskp_darknet_free. So there is one pruner for each mskp_darknet_describe. */
mskp_status mskp_darknet_prune(mskp_darknet *d, mskp_plan *plan, const mskp_constants *constants,
                               const char *cfg, const char *pruned_cfg, mskp_error *err);

/* Call it before free_network. A struct that is all zero is left alone. */
void mskp_darknet_free(mskp_darknet *d);

#endif /* MSKP_DARKNET_H */

/*
 * mskp_darknet.h - mskp for darknet: a network is described, penalized while it trains, and cut
 *
 *     parse_network_cfg -> mskp_darknet_describe -> mskp_darknet_hook
 *                       -> [ train_network_datum ]* -> mskp_darknet_cut -> [ train_network_datum ]*
 *
 * Between these calls the library is used as it is: mskp_score, mskp_select, mskp_measure ... with
 * the graph and the sets below.
 *
 * Rules are mskp's: functions return a status and write one sentence; on failure the network is as
 * it was. Not for networks on a GPU. darknet itself ends the process when it cannot open a file or
 * does not like a .cfg.
 */
#ifndef MSKP_DARKNET_H
#define MSKP_DARKNET_H

#include "darknet.h"
#include "mskp.h"

/* What darknet keeps for each parameter. Updates are the negative gradient, summed over the batch and
 * the subdivisions, and the momentum, in one array. M and V are there with adam=1 only. */
enum {
    MSKP_DARKNET_VALUES,
    MSKP_DARKNET_UPDATES,
    MSKP_DARKNET_M,
    MSKP_DARKNET_V,
    MSKP_DARKNET_SETS
};

typedef struct mskp_darknet {
    network *net; /* the user's */
    mskp_graph *graph;
    size_t params, units;
    mskp_tensor *sets[MSKP_DARKNET_SETS];

    /* The penalty. The user fills in keep and strength; 0: none. It starts with gamma and beta. */
    uint8_t *keep; /* [units], at first all 1 */
    mskp_penalty penalty;
    double strength;
    double seconds;   /* that it has taken so far */
    mskp_error error; /* darknet's hooks cannot fail: the first error of the penalty */

    int first; /* the hooked layer; -1: none */
    void (*update)(layer, update_args);
    struct mskp_darknet *next;
} mskp_darknet;

/*
 * Describes a network. Parameters are called "layer3.weights", ".biases" (beta, if there is batch
 * norm), ".scales" (gamma), ".rolling_mean", ".rolling_variance"; the value that layer 3 makes is
 * "layer3". Layers that mskp does not know pin what reaches them, under darknet's word for them, and
 * are not counted as MACs or parameters. Refuses layers whose weights darknet would not find again in a file.
 */
mskp_status mskp_darknet_describe(mskp_darknet *d, network *net, mskp_error *err);

/* From now on darknet adds the penalty in each optimizer step, before the step. *d must stay where it
 * is. Hooking and training are for one thread at a time. */
mskp_status mskp_darknet_hook(mskp_darknet *d, mskp_error *err);

/*
 * Surgery. Reads the network's .cfg, writes the pruned network's, and cuts weights, statistics,
 * momentum and moments. d->net stays where it is, and so does all that it holds besides layers
 * (seen, t, learning rate ...); pointers to its old layers become invalid. The graph is then
 * the smaller one, and keep is all 1.
 */
mskp_status mskp_darknet_cut(mskp_darknet *d, const char *cfg, const char *pruned_cfg,
                             mskp_error *err);

/* Before free_network. Of an all-zero one: nothing. */
void mskp_darknet_free(mskp_darknet *d);

#endif /* MSKP_DARKNET_H */

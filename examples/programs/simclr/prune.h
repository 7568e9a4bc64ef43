/* The network's pruning: all that the program does with mskp is behind these functions. */
#ifndef SIMCLR_PRUNE_H
#define SIMCLR_PRUNE_H

#include "mskp/pruner.h"
#include "mskp_convnet.h"

typedef struct prune {
    cn_net *net;
    mskp_graph *graph; /* of the network before the cut */
    mskp_pruner *pruner;
    mskp_tensors values, gradients;
    mskp_cost dense;
} prune;

/* keep: the part of the multiply-accumulates that is left after `masked` of the `steps`; the others
 * are for tuning. Close it in either case. */
bool prune_open(prune *p, cn_net *net, double keep, size_t steps, size_t masked, cn_error *err);
void prune_close(prune *p);

/* Around each step of the optimizer. */
bool prune_before_step(prune *p, double rate, cn_error *err);
bool prune_after_step(prune *p, double rate, cn_error *err);
/* Whether the marked channels are at zero and have to go before the next step. */
bool prune_is_due(const prune *p);
bool prune_cut(prune *p, cn_error *err);

/* What the network costs as it is: before the cut, and after it. */
bool prune_cost(const prune *p, mskp_cost *cost, cn_error *err);

#endif

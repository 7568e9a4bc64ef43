/* prune.h - a network with its description to mskp: trained, scored, cut */
#ifndef RELEVANCE_PRUNE_H
#define RELEVANCE_PRUNE_H

#include "lrp.h"
#include "mskp_convnet.h"

typedef struct network {
    cn_net *net;
    mskp_graph *graph;
    mskp_tensors values, gradients;
} network;

/* Takes the net over, also after a failure. Close it in either case. */
bool network_open(network *n, cn_net *net, cn_error *err);
/* *to <- a network of the same layers and values. */
bool network_copy(const network *from, network *to, cn_error *err);
void network_close(network *n);

typedef struct lesson {
    const cn_data *images;
    size_t epochs;
    double rate; /* of the first step; it falls to 0 as a cosine */
    uint64_t seed;
} lesson;
/* SGD with Nesterov's momentum 0.9 and decay 1e-4, in batches of the network's size. */
bool network_train(network *n, const lesson *l, cn_error *err);

typedef enum score_kind { SCORE_RELEVANCE, SCORE_GAMMA, SCORE_TAYLOR, SCORE_CHANCE } score_kind;

/* Whether scores are divided by the mean of their family. OWN: those of RELEVANCE alone. The
 * relevance of every layer sums up to about the logit, so a channel of a wide layer has little. */
typedef enum normalize_kind { NORMALIZE_OWN, NORMALIZE_NONE, NORMALIZE_MEAN } normalize_kind;

typedef struct scoring {
    score_kind kind;
    normalize_kind normalize;
    const cn_data *images;
    size_t count; /* how many of the images, drawn by the seed; as many as there are at most */
    uint64_t seed;
    lrp_rules rules;
} scoring;
/*
 * scores.unit[u] <- what unit u is worth:
 *   RELEVANCE  |R| of a channel behind a ReLU, summed over its positions and over the images, for
 *              the logit of their labels; of a unit, the mean over its channels. Compare S.-K. Yeom
 *              et al., "Pruning by explaining", Pattern Recognition 115, 2021.
 *   GAMMA      |gamma|, the mean over the unit's norms
 *   TAYLOR     |sum w g| over gamma and beta, summed over batches of the same images
 *   CHANCE     a number of the seed
 */
bool network_score(const network *n, const scoring *how, mskp_scores scores, cn_error *err);

/* Removes units in the order of their scores until at most this part of the multiply-accumulates
 * is left; each value keeps two channels. *left <- the part that is left. */
bool network_cut(network *n, mskp_scores scores, double part, double *left, cn_error *err);

#endif

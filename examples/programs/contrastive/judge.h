/* What two trained towers are worth: classification by prompts, and the loss. */
#ifndef CONTRASTIVE_JUDGE_H
#define CONTRASTIVE_JUDGE_H

#include "convnet.h"
#include "texts.h"

/* Pairs that are compared with each other when the loss is measured, whatever the training took. */
enum { JUDGE_GROUP = 256 };

/*
 * data     images that no gradient came from, or those that were trained on
 * unseen   the classes whose images and names the training left out
 */
typedef struct judge {
    const cn_data *data;
    const texts *texts;
    const bool *unseen;
} judge;

/*
 * Shares in [0, 1]; NaN where there is no such image.
 *   seen     images of seen classes whose nearest name, among the names of seen classes, is right
 *   unseen   images of unseen classes, among the names of unseen classes
 *   among_all   images of unseen classes, among all names
 *   loss     the contrastive loss of the images of seen classes, in groups of JUDGE_GROUP
 * A name is the mean of the embeddings of all its texts, and "nearest" means the largest cosine.
 */
typedef struct judgement {
    double seen, unseen, among_all, loss;
} judgement;

/* In evaluation mode: batch norms take their running statistics. */
bool judge_towers(const judge *j, cn_net *images, cn_net *words, double log_scale, judgement *out,
                  cn_error *err);

#endif

/* The gradient of a loss over a whole batch, at the memory of a micro-batch. */
#ifndef CONTRASTIVE_ACCUMULATE_H
#define CONTRASTIVE_ACCUMULATE_H

#include "convnet.h"

/*
 * One network, which makes an embedding of each example of a batch.
 *   net       the caller's; a micro-batch has net->options.batch examples
 *   batch     the most examples of a batch
 *   fill      writes the inputs of the examples first ... first + n - 1 of the batch. It is called
 *             twice for each, and must write the same numbers.
 *   context   passed to it
 *   embeddings   batch x net->outputs, written by tower_embed
 *   slopes    of the loss by each embedding, as many; the caller writes them
 *   inputs, statistics, sum   private
 */
typedef struct tower {
    cn_net *net;
    size_t batch;
    void (*fill)(void *context, size_t first, size_t n, cn_real *inputs);
    void *context;
    cn_real *embeddings, *slopes;
    cn_real *inputs, *statistics, *sum;
} tower;

/* Takes memory for t->net and t->batch. Call tower_close also if it fails. */
bool tower_open(tower *t, cn_error *err);
void tower_close(tower *t); /* t may be all zero; the network stays the caller's */

/* The embeddings of the examples first ... first + n - 1, at most a micro-batch, in training mode:
 * batch norms take the statistics of these examples, and move the running ones. */
void tower_embed(tower *t, size_t first, size_t n);
/* The network's gradients <- the part of these examples in the gradient of the batch's loss, by
 * t->slopes. The examples of a tower_embed, and no others. The running statistics stay. */
void tower_return(tower *t, size_t first, size_t n);

/* The embeddings of the first n examples, micro-batch by micro-batch. */
void tower_embed_all(tower *t, size_t n);
/* The network's gradients <- that of the loss over the first n examples, by t->slopes. */
void tower_return_all(tower *t, size_t n);

#endif

/*
 * H. Pham et al., "Combined Scaling for Zero-shot Transfer Learning", arXiv 2111.10050, and L. Gao
 * et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", arXiv
 * 2101.06983. A contrastive loss is no sum over examples, because each one is compared with all
 * others. So adding up the gradients of micro-batches, each with a loss of its own, gives another
 * gradient than that of the whole batch. What does give it, by the chain rule:
 *
 *     1. tower_embed for each micro-batch    embeddings stay, what is between them and the images
 *                                            is overwritten by the next micro-batch
 *     2. the loss over all embeddings        and its derivative by each of them
 *     3. tower_return for each micro-batch   the same forward once more (rematerialization), then
 *                                            backward from its part of these derivatives; the
 *                                            gradients add up
 *
 * Batch norms see a micro-batch, in 1 and in 3, so the sum is exactly the gradient of the loss of
 * 2, in which each embedding depends on its micro-batch. It is that of one forward over the whole
 * batch only in networks without batch norm. Step 3 must not move the running statistics a second
 * time.
 */
#include "accumulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tower_open(tower *t, cn_error *err)
{
    const cn_net *net = t->net;
    const cn_layer *in = &net->layers[0];
    const size_t numbers = in->channels * in->height * in->width;
    size_t params = 1;
    for (size_t i = 0; i < net->param_count; i++) params += net->params[i].count;
    t->inputs = malloc(net->options.batch * numbers * sizeof *t->inputs);
    t->embeddings = malloc(t->batch * net->outputs * sizeof *t->embeddings);
    t->slopes = malloc(t->batch * net->outputs * sizeof *t->slopes);
    t->statistics = malloc(params * sizeof *t->statistics);
    t->sum = malloc(params * sizeof *t->sum);
    if (t->inputs && t->embeddings && t->slopes && t->statistics && t->sum) return true;
    if (err)
        snprintf(err->text, sizeof err->text, "no memory for %zu embeddings of %zu numbers",
                 t->batch, net->outputs);
    return false;
}

void tower_close(tower *t)
{
    free(t->inputs);
    free(t->embeddings);
    free(t->slopes);
    free(t->statistics);
    free(t->sum);
    t->inputs = t->embeddings = t->slopes = t->statistics = t->sum = NULL;
}

void tower_embed(tower *t, size_t first, size_t n)
{
    const size_t width = t->net->outputs;
    t->fill(t->context, first, n, t->inputs);
    memcpy(t->embeddings + first * width, cn_forward(t->net, n, t->inputs, true),
           n * width * sizeof *t->embeddings);
}

/* Copies the running statistics to t->statistics, or back. */
static void keep_statistics(tower *t, bool back)
{
    cn_real *kept = t->statistics;
    for (size_t i = 0; i < t->net->param_count; i++) {
        const cn_param *p = &t->net->params[i];
        if (p->trained) continue;
        memcpy(back ? p->value : kept, back ? kept : p->value, p->count * sizeof *kept);
        kept += p->count;
    }
}

void tower_return(tower *t, size_t first, size_t n)
{
    keep_statistics(t, false);
    t->fill(t->context, first, n, t->inputs);
    cn_forward(t->net, n, t->inputs, true);
    keep_statistics(t, true);
    cn_backward_from(t->net, t->slopes + first * t->net->outputs);
}

/* How many examples the micro-batch that begins with `first` has. */
static size_t micro_batch(const tower *t, size_t first, size_t n)
{
    const size_t micro = t->net->options.batch;
    return n - first < micro ? n - first : micro;
}

void tower_embed_all(tower *t, size_t n)
{
    for (size_t at = 0; at < n; at += t->net->options.batch)
        tower_embed(t, at, micro_batch(t, at, n));
}

void tower_return_all(tower *t, size_t n)
{
    for (size_t at = 0; at < n; at += t->net->options.batch) {
        cn_real *sum = t->sum;
        const bool last = n - at <= t->net->options.batch;
        tower_return(t, at, micro_batch(t, at, n));
        for (size_t i = 0; i < t->net->param_count; i++) {
            const cn_param *p = &t->net->params[i];
            if (!p->trained) continue;
            for (size_t k = 0; k < p->count; k++)
                sum[k] = at ? sum[k] + p->gradient[k] : p->gradient[k];
            if (last) memcpy(p->gradient, sum, p->count * sizeof *sum);
            sum += p->count;
        }
    }
}

/* Stochastic gradient descent and its learning rates. */
#include "internal.h"

#include <math.h>
#include <string.h>

typedef struct job {
    const cn_net *net;
    const cn_sgd *sgd;
} job;

static void update(void *context, size_t i)
{
    const job *s = context;
    const cn_param *p = &s->net->params[i];
    const cn_real rate = (cn_real)s->sgd->rate, momentum = (cn_real)s->sgd->momentum,
                  decay = (cn_real)s->sgd->decay;
    if (!p->trained) return;
    for (size_t k = 0; k < p->count; k++) {
        const cn_real g = p->gradient[k] + decay * p->value[k];
        const cn_real m = momentum * p->momentum[k] + g;
        p->momentum[k] = m;
        p->value[k] -= rate * (s->sgd->nesterov ? g + momentum * m : m);
    }
}

void cn_sgd_step(cn_net *net, const cn_sgd *sgd)
{
    cn_pool_run(net->engine->pool, net->param_count, update, &(job){net, sgd});
}

void cn_sgd_reset(cn_net *net)
{
    for (size_t i = 0; i < net->param_count; i++) {
        const cn_param *p = &net->params[i];
        if (p->trained) memset(p->momentum, 0, p->count * sizeof *p->momentum);
    }
}

double cn_rate_step(double rate, double factor, size_t epoch, size_t milestones,
                    const size_t *milestone)
{
    for (size_t i = 0; i < milestones; i++)
        if (milestone[i] <= epoch) rate *= factor;
    return rate;
}

double cn_rate_cosine(double rate, size_t step, size_t steps)
{
    if (step > steps) step = steps;
    return steps ? rate * (1 + cos(3.14159265358979323846 * (double)step / (double)steps)) / 2
                 : rate;
}

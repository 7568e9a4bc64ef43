/* A network takes over smaller widths. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Of `wanted` only what cn_resize promises to read. */
static void take_widths(size_t count, cn_layer *layers, const cn_layer *wanted)
{
    for (size_t i = 0; i < count; i++) {
        cn_layer *l = &layers[i];
        if (l->kind == CN_CONV || l->kind == CN_LINEAR) {
            l->channels = wanted[i].channels;
        } else if (l->kind == CN_PAD_CHANNELS) {
            l->before = wanted[i].before;
            l->after = wanted[i].after;
        }
    }
}

/* The parameters' memory stays where it is, so nothing may outgrow it; nor do the classes
 * change. */
static bool fits(const cn_net *net, const cn_net *small, cn_error *err)
{
    const cn_layer *last = &small->layers[small->layer_count - 1];
    if (last->channels != net->classes)
        return cn_fail(err, "%s: %zu channels instead of %zu classes", last->name, last->channels,
                       net->classes);
    for (size_t i = 0; i < net->param_count; i++)
        if (small->params[i].count > net->params[i].count)
            return cn_fail(err, "%s: %zu numbers do not fit where %zu were", small->params[i].name,
                           small->params[i].count, net->params[i].count);
    return true;
}

bool cn_resize(cn_net *net, const cn_layer *layers, bool (*cut)(void *context, cn_error *err),
               void *context, cn_error *err)
{
    cn_net small = *net;
    small.engine = NULL;
    small.layers = malloc(net->layer_count * sizeof *small.layers);
    small.params = malloc((net->param_count + 1) * sizeof *small.params);
    if (!small.layers || !small.params) {
        cn_fail(err, "no memory for a list of %zu layers", net->layer_count);
        goto failed;
    }
    /* The small network, everything that can fail, before the large one is touched. */
    memcpy(small.layers, net->layers, net->layer_count * sizeof *small.layers);
    take_widths(small.layer_count, small.layers, layers);
    if (!cn_infer(small.layer_count, small.layers, err)) goto failed;
    cn_list_params(small.layer_count, small.layers, small.params);
    if (!fits(net, &small, err)) goto failed;
    small.engine = cn_engine_create(&small, err);
    if (!small.engine || !cut(context, err)) goto failed;

    for (size_t i = 0; i < net->param_count; i++) {
        small.params[i].value = net->params[i].value;
        small.params[i].gradient = net->params[i].gradient;
        small.params[i].momentum = net->params[i].momentum;
    }
    small.engine->pool = net->engine->pool;
    cn_engine_destroy(net->engine);
    free(net->layers);
    free(net->params);
    *net = small;
    return true;
failed:
    cn_engine_destroy(small.engine);
    free(small.layers);
    free(small.params);
    return false;
}

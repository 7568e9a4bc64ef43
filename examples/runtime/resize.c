/* A network takes over smaller widths. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Of `wanted` only what cn_resize promises to read. */
static void take_widths(cn_layer *l, const cn_layer *wanted)
{
    if (l->kind == CN_CONV || l->kind == CN_LINEAR) {
        l->channels = wanted->channels;
    } else if (l->kind == CN_PAD_CHANNELS) {
        l->before = wanted->before;
        l->after = wanted->after;
    } else if (l->kind == CN_BATCH_NORM && wanted->kind == CN_SHIFT) {
        l->kind = CN_SHIFT;
        l->channels = wanted->channels;
        l->in[0] = 0; /* it reads nothing */
    }
}

/* small->layers <- those that stay, numbered anew. place: [layers] */
static bool take_layers(const cn_net *net, const cn_layer *wanted, cn_net *small, size_t *place,
                        cn_error *err)
{
    small->layer_count = 0;
    for (size_t i = 0; i < net->layer_count; i++) {
        cn_layer *l = &small->layers[small->layer_count];
        place[i] = wanted[i].gone ? CN_NONE : small->layer_count++;
        if (wanted[i].gone) continue;
        *l = net->layers[i];
        take_widths(l, &wanted[i]);
        size_t inputs = 0;
        for (size_t k = 0; k < cn_input_count(l); k++) {
            const size_t in = l->in[k];
            if (place[in] != CN_NONE)
                l->in[inputs++] = place[in];
            else if (l->kind != CN_CONCAT)
                return cn_fail(err, "%s: reads %s, which is taken out", l->name,
                               net->layers[in].name);
        }
        if (l->kind == CN_CONCAT) l->inputs = inputs;
    }
    return true;
}

/* The parameters' memory stays where it is, so nothing may outgrow it; nor does the output
 * change. place[i] <- which parameter of the network parameter i is. */
static bool fits(const cn_net *net, const cn_net *small, size_t *place, cn_error *err)
{
    const cn_layer *last = &small->layers[small->layer_count - 1],
                   *old = &net->layers[net->layer_count - 1];
    if (last->channels != old->channels || last->height != old->height || last->width != old->width)
        return cn_fail(err, "%s: the output is %zu x %zu x %zu; it cannot become %zu x %zu x %zu",
                       old->name, old->channels, old->height, old->width, last->channels,
                       last->height, last->width);
    for (size_t i = 0, k = 0; i < small->param_count; i++, k++) {
        while (strcmp(net->params[k].name, small->params[i].name) != 0) k++; /* the same order */
        place[i] = k;
        if (small->params[i].count > net->params[k].count)
            return cn_fail(err, "%s: %zu numbers do not fit where %zu were", small->params[i].name,
                           small->params[i].count, net->params[k].count);
    }
    return true;
}

bool cn_resize(cn_net *net, const cn_layer *layers, bool (*cut)(void *context, cn_error *err),
               void *context, cn_error *err)
{
    cn_net small = *net;
    small.engine = NULL;
    small.layers = malloc(net->layer_count * sizeof *small.layers);
    small.params = malloc((net->param_count + 1) * sizeof *small.params);
    size_t *place = calloc(net->layer_count + net->param_count, sizeof *place);
    if (!small.layers || !small.params || !place) {
        cn_fail(err, "no memory for a list of %zu layers", net->layer_count);
        goto failed;
    }
    /* The small network, everything that can fail, before the large one is touched. */
    if (!take_layers(net, layers, &small, place, err) ||
        !cn_infer(small.layer_count, small.layers, err))
        goto failed;
    small.param_count = cn_list_params(small.layer_count, small.layers, small.params);
    if (!fits(net, &small, place, err)) goto failed;
    small.engine = cn_engine_create(&small, err);
    if (!small.engine || !cut(context, err)) goto failed;

    for (size_t i = 0; i < small.param_count; i++) {
        cn_param *from = &net->params[place[i]];
        small.params[i].value = from->value;
        small.params[i].gradient = from->gradient;
        small.params[i].momentum = from->momentum;
        from->value = NULL;
    }
    for (size_t i = 0; i < net->param_count; i++) free(net->params[i].value); /* taken out */
    small.engine->pool = net->engine->pool;
    cn_engine_destroy(net->engine);
    free(net->layers);
    free(net->params);
    free(place);
    *net = small;
    return true;
failed:
    free(place);
    cn_engine_destroy(small.engine);
    free(small.layers);
    free(small.params);
    return false;
}

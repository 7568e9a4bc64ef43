/*
 * Forward and backward: the list of layers, walked in phases. Only batch norm looks at the whole
 * batch; between two of them, each slice goes through several layers while it is still in the
 * cache.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

static const double MOMENTUM = 0.1, EPSILON = 1e-5;

typedef struct phase {
    cn_net *net;
    size_t from, to; /* layers from <= i < to */
} phase;

typedef struct slice {
    size_t index, lane, images;
} slice;

static size_t images_of(const cn_engine *e, size_t index)
{
    const size_t left = e->images - index * CN_SLICE;
    return left < CN_SLICE ? left : CN_SLICE;
}

static cn_view view(const cn_net *net, size_t layer, const cn_buffer *buffer, slice s)
{
    const cn_layer *l = &net->layers[layer];
    return (cn_view){
        buffer->data + s.index * buffer->slice, l->channels, l->height, l->width, s.images,
        cn_plane(l->height, l->width, s.images)};
}

static cn_view value(const cn_net *net, size_t layer, slice s)
{
    return view(net, layer, net->engine->nodes[layer].value, s);
}

static double *norm_sums(const cn_net *net, size_t layer, slice s)
{
    return net->engine->nodes[layer].norm.sums + s.index * 2 * net->layers[layer].channels;
}

static const cn_real *param(const cn_net *net, size_t index)
{
    return index == CN_NONE ? NULL : net->params[index].value;
}

/* ---- forward ---- */

static void forward_layer(const cn_net *net, size_t i, slice s)
{
    const cn_engine *e = net->engine;
    const cn_layer *l = &net->layers[i];
    const cn_node *node = &e->nodes[i];
    const cn_view y = value(net, i, s), x = value(net, l->in[0], s);
    switch (l->kind) {
    case CN_INPUT:
        cn_input_forward(e->input + s.index * CN_SLICE * y.channels * y.height * y.width, y);
        return;
    case CN_CONV:
    case CN_LINEAR:
        cn_conv_forward(e->direct, l, x, y, node->packed, param(net, l->shift),
                        e->work + s.lane * e->work_size);
        return;
    case CN_BATCH_NORM:
        cn_norm_forward(x, y, &node->norm, param(net, l->weight), param(net, l->shift));
        return;
    case CN_RELU:
        cn_relu_forward(x, y);
        return;
    case CN_ADD:
        if (cn_shift_of(net->layers, i))
            cn_shift_forward(value(net, l->in[!cn_reads(net->layers, i, 0)], s), y,
                             param(net, cn_shift_of(net->layers, i)->shift));
        else
            cn_add_forward(x, value(net, l->in[1], s), y);
        return;
    case CN_SHIFT:
        return;
    case CN_PAD_CHANNELS:
        cn_pad_forward(l, x, y);
        return;
    case CN_POOL_MAX:
    case CN_POOL_AVERAGE:
        cn_pool_forward(l, x, y);
        return;
    case CN_GLOBAL_AVERAGE:
        cn_global_forward(x, y);
        return;
    case CN_CONCAT:
        for (size_t k = 0, first = 0; k < l->inputs; k++) {
            const cn_view part = value(net, l->in[k], s);
            cn_copy(part, cn_channels(y, first, part.channels), false);
            first += part.channels;
        }
        return;
    case CN_SCALE:
        cn_scale_forward(l, x, y);
        return;
    case CN_SIGMOID:
        cn_sigmoid_forward(x, y);
        return;
    case CN_UPSAMPLE:
        cn_upsample_forward(l, x, y);
        return;
    case CN_NORMALIZE:
        cn_normalize_forward(x, y);
        return;
    }
}

static void forward_lane(void *context, size_t lane)
{
    const phase *p = context;
    const cn_net *net = p->net;
    const cn_engine *e = net->engine;
    for (size_t k = lane; k < e->slices; k += CN_LANES) {
        const slice s = {k, lane, images_of(e, k)};
        for (size_t i = p->from; i < p->to; i++) forward_layer(net, i, s);
        if (p->to < net->layer_count)
            cn_norm_statistics(value(net, net->layers[p->to].in[0], s), norm_sums(net, p->to, s));
    }
}

/* Statistics of the batch from those of the slices, in the slices' order (Chan et al.'s update). */
static void merge_statistics(cn_net *net, size_t i)
{
    const cn_engine *e = net->engine;
    const cn_layer *l = &net->layers[i];
    const cn_norm *norm = &e->nodes[i].norm;
    cn_real *running_mean = net->params[l->mean].value,
            *running_variance = net->params[l->variance].value;
    for (size_t c = 0; c < l->channels; c++) {
        double count = 0, mean = 0, squares = 0;
        for (size_t k = 0; k < e->slices; k++) {
            const double *sums = norm->sums + (k * l->channels + c) * 2;
            const double more = (double)(images_of(e, k) * l->height * l->width),
                         gap = sums[0] - mean;
            squares += sums[1] + gap * gap * count * more / (count + more);
            mean += gap * more / (count + more);
            count += more;
        }
        norm->mean[c] = (cn_real)mean;
        norm->inverse[c] = (cn_real)(1 / sqrt(squares / count + EPSILON));
        const double unbiased = squares / (count > 1 ? count - 1 : 1);
        running_mean[c] = (cn_real)((1 - MOMENTUM) * (double)running_mean[c] + MOMENTUM * mean);
        running_variance[c] =
            (cn_real)((1 - MOMENTUM) * (double)running_variance[c] + MOMENTUM * unbiased);
    }
}

static void prepare_layer(void *context, size_t i)
{
    const cn_net *net = context;
    const cn_layer *l = &net->layers[i];
    const cn_node *node = &net->engine->nodes[i];
    if (node->packed) cn_conv_pack(net->engine->direct, &net->params[l->weight], node->packed);
    if (l->kind == CN_BATCH_NORM && !net->engine->training)
        for (size_t c = 0; c < l->channels; c++) {
            node->norm.mean[c] = net->params[l->mean].value[c];
            node->norm.inverse[c] =
                (cn_real)(1 / sqrt((double)net->params[l->variance].value[c] + EPSILON));
        }
}

/* From the last layer's own memory to n x channels x height x width. */
static void take_output(const cn_net *net)
{
    const cn_engine *e = net->engine;
    cn_real *to = e->output;
    for (size_t k = 0; k < e->slices; k++) {
        const cn_view v = value(net, net->layer_count - 1, (slice){k, 0, images_of(e, k)});
        for (size_t i = 0; i < v.images; i++)
            for (size_t c = 0; c < v.channels; c++)
                for (size_t p = 0; p < v.height * v.width; p++)
                    *to++ = v.data[c * v.plane + p * v.images + i];
    }
}

const cn_real *cn_forward(cn_net *net, size_t n, const cn_real *images, bool training)
{
    cn_engine *e = net->engine;
    if (!n || n > net->options.batch) return NULL;
    e->images = n;
    e->slices = (e->images + CN_SLICE - 1) / CN_SLICE;
    e->input = images;
    e->training = training;
    cn_pool_run(e->pool, net->layer_count, prepare_layer, net);
    for (size_t from = 0, to; from < net->layer_count; from = to) {
        to = from + 1;
        while (to < net->layer_count && !(training && net->layers[to].kind == CN_BATCH_NORM)) to++;
        cn_pool_run(e->pool, CN_LANES, forward_lane, &(phase){net, from, to});
        if (to < net->layer_count) merge_statistics(net, to);
    }
    take_output(net);
    return e->output;
}

/* ---- loss ---- */

static size_t best(const cn_real *row, size_t classes)
{
    size_t best = 0;
    for (size_t c = 1; c < classes; c++)
        if (row[c] > row[best]) best = c;
    return best;
}

/* probability <- softmax(row / temperature). Returns the logarithm of the sum of its exponentials,
 * so -log(probability[c]) is the result less row[c] / temperature. */
static double softmax(const cn_real *row, size_t classes, double temperature, double *probability)
{
    const double top = (double)row[best(row, classes)];
    double sum = 0;
    for (size_t c = 0; c < classes; c++)
        sum += probability[c] = exp(((double)row[c] - top) / temperature);
    for (size_t c = 0; c < classes; c++) probability[c] /= sum;
    return log(sum) + top / temperature;
}

double cn_loss(cn_net *net, const uint8_t *labels, size_t *right)
{
    const cn_engine *e = net->engine;
    const size_t classes = net->classes;
    double loss = 0, p[CN_MOST_CLASSES];
    if (!classes) return NAN;
    if (right) *right = 0;
    for (size_t i = 0; i < e->images; i++) {
        const cn_real *row = e->output + i * classes;
        cn_real *gradient = e->output_gradient + i * classes;
        loss += softmax(row, classes, 1, p) - (double)row[labels[i]];
        for (size_t c = 0; c < classes; c++)
            gradient[c] = (cn_real)((p[c] - (c == labels[i])) / (double)e->images);
        if (right) *right += best(row, classes) == labels[i];
    }
    return loss / (double)e->images;
}

double cn_loss_distilled(cn_net *net, const uint8_t *labels, const cn_distillation *from,
                         size_t *right)
{
    const cn_engine *e = net->engine;
    const size_t classes = net->classes;
    const double t = from->temperature, share = from->share;
    const double hard = cn_loss(net, labels, right);
    double soft = 0, p[CN_MOST_CLASSES], q[CN_MOST_CLASSES];
    if (!classes) return NAN;
    for (size_t i = 0; i < e->images; i++) {
        const cn_real *row = e->output + i * classes;
        cn_real *gradient = e->output_gradient + i * classes;
        const double all = softmax(row, classes, t, p);
        softmax(from->teacher + i * classes, classes, t, q);
        for (size_t c = 0; c < classes; c++) {
            soft += q[c] * (all - (double)row[c] / t);
            gradient[c] = (cn_real)((1 - share) * (double)gradient[c] +
                                    share * t * (p[c] - q[c]) / (double)e->images);
        }
    }
    return (1 - share) * hard + share * t * t * soft / (double)e->images;
}

void cn_predictions(const cn_net *net, uint8_t *predictions)
{
    const cn_engine *e = net->engine;
    for (size_t i = 0; i < e->images && net->classes; i++)
        predictions[i] = (uint8_t)best(e->output + i * net->classes, net->classes);
}

/* ---- backward ---- */

static void backward_layer(const cn_net *net, size_t i, slice s)
{
    const cn_engine *e = net->engine;
    const cn_layer *l = &net->layers[i];
    const cn_node *node = &e->nodes[i];
    const cn_back *back = &node->back[0];
    if (l->kind == CN_SHIFT) return;
    const cn_view y = value(net, i, s), x = value(net, l->in[0], s),
                  dy = view(net, i, node->gradient, s);
    cn_real *work = e->work + s.lane * e->work_size;
    if (node->packed) {
        const size_t count = net->params[l->weight].count;
        cn_conv_backward_weight(
            e->direct, l, x, dy, node->partial + s.lane * count,
            node->partial_bias ? node->partial_bias + s.lane * l->channels : NULL, work);
    }
    if (!node->packed && node->partial_bias)
        cn_shift_backward(dy, node->partial_bias + s.lane * l->channels);
    const size_t inputs = cn_input_count(l);
    for (size_t k = 0; k < inputs; k++)
        if (back[k].copy)
            cn_copy(view(net, l->in[k], back[k].copy, s), view(net, l->in[k], back[k].to, s),
                    false);
    if (!back->to && inputs == 1) return;
    const cn_view dx = back->to ? view(net, l->in[0], back->to, s) : (cn_view){0};
    switch (l->kind) {
    case CN_INPUT:
    case CN_SHIFT:
        return;
    case CN_CONV:
    case CN_LINEAR:
        cn_conv_backward_data(e->direct, l, dy, dx, node->packed, back->add, work);
        return;
    case CN_BATCH_NORM:
        cn_norm_backward(x, dy, dx, &node->norm, param(net, l->weight), back->add);
        return;
    case CN_RELU:
        cn_relu_backward(y, dy, dx, back->add);
        return;
    case CN_ADD:
        for (size_t k = 0; k < inputs; k++)
            if (back[k].to && back[k].to != node->gradient)
                cn_copy(dy, view(net, l->in[k], back[k].to, s), back[k].add);
        return;
    case CN_CONCAT:
        for (size_t k = 0, first = 0; k < inputs; k++) {
            const size_t count = net->layers[l->in[k]].channels;
            if (back[k].to)
                cn_copy(cn_channels(dy, first, count), view(net, l->in[k], back[k].to, s),
                        back[k].add);
            first += count;
        }
        return;
    case CN_SCALE:
        cn_scale_backward(l, dy, dx, back->add);
        return;
    case CN_SIGMOID:
        cn_sigmoid_backward(y, dy, dx, back->add);
        return;
    case CN_UPSAMPLE:
        cn_upsample_backward(l, dy, dx, back->add);
        return;
    case CN_NORMALIZE:
        cn_normalize_backward(x, dy, dx, back->add);
        return;
    case CN_PAD_CHANNELS:
        cn_pad_backward(l, dy, dx, back->add);
        return;
    case CN_POOL_MAX:
    case CN_POOL_AVERAGE:
        cn_pool_backward(l, x, y, dy, dx, back->add);
        return;
    case CN_GLOBAL_AVERAGE:
        cn_global_backward(dy, dx, back->add);
        return;
    }
}

static void backward_lane(void *context, size_t lane)
{
    const phase *p = context;
    const cn_net *net = p->net;
    const cn_engine *e = net->engine;
    for (size_t i = p->from; i < p->to; i++) {
        const cn_node *node = &e->nodes[i];
        if (node->packed) {
            const size_t count = net->params[net->layers[i].weight].count;
            memset(node->partial + lane * count, 0, count * sizeof *node->partial);
        }
        if (node->partial_bias)
            memset(node->partial_bias + lane * net->layers[i].channels, 0,
                   net->layers[i].channels * sizeof *node->partial_bias);
    }
    for (size_t k = lane; k < e->slices; k += CN_LANES) {
        const slice s = {k, lane, images_of(e, k)};
        for (size_t i = p->to; i-- > p->from;) backward_layer(net, i, s);
        if (p->from > 1) {
            const size_t i = p->from - 1;
            cn_norm_sums(value(net, net->layers[i].in[0], s), view(net, i, e->nodes[i].gradient, s),
                         &e->nodes[i].norm, norm_sums(net, i, s));
        }
    }
}

/* Gradients of gamma and beta, and what every element's gradient needs of the whole batch. */
static void merge_sums(cn_net *net, size_t i)
{
    const cn_engine *e = net->engine;
    const cn_layer *l = &net->layers[i];
    const cn_norm *norm = &e->nodes[i].norm;
    const double n = (double)(e->images * l->height * l->width);
    for (size_t c = 0; c < l->channels; c++) {
        double plain = 0, product = 0;
        for (size_t k = 0; k < e->slices; k++) {
            plain += norm->sums[(k * l->channels + c) * 2];
            product += norm->sums[(k * l->channels + c) * 2 + 1];
        }
        const double inverse = (double)norm->inverse[c];
        net->params[l->shift].gradient[c] = (cn_real)plain;
        net->params[l->weight].gradient[c] = (cn_real)(product * inverse);
        norm->centre[c] = (cn_real)(plain / n);
        norm->slope[c] = (cn_real)(product * inverse * inverse / n);
    }
}

/* Sums the lanes' gradients of one layer, in order. */
static void merge_weights(void *context, size_t i)
{
    const cn_net *net = context;
    const cn_layer *l = &net->layers[i];
    const cn_node *node = &net->engine->nodes[i];
    if (node->packed) {
        const cn_param *w = &net->params[l->weight];
        for (size_t lane = 1; lane < CN_LANES; lane++)
            for (size_t k = 0; k < w->count; k++)
                node->partial[k] += node->partial[lane * w->count + k];
        memset(w->gradient, 0, w->count * sizeof *w->gradient);
        cn_conv_unpack(node->partial, w, w->gradient);
    }
    if (!node->partial_bias) return;
    const cn_param *b = &net->params[node->packed ? l->shift : cn_shift_of(net->layers, i)->shift];
    memset(b->gradient, 0, b->count * sizeof *b->gradient);
    for (size_t lane = 0; lane < CN_LANES; lane++)
        for (size_t k = 0; k < b->count; k++)
            b->gradient[k] += node->partial_bias[lane * b->count + k];
}

/* From n x channels x height x width to the last layer's own memory. */
static void give_gradient(const cn_net *net, const cn_real *from)
{
    const cn_engine *e = net->engine;
    const size_t last = net->layer_count - 1;
    for (size_t k = 0; k < e->slices; k++) {
        const cn_view v = view(net, last, e->nodes[last].gradient, (slice){k, 0, images_of(e, k)});
        for (size_t i = 0; i < v.images; i++)
            for (size_t c = 0; c < v.channels; c++)
                for (size_t p = 0; p < v.height * v.width; p++)
                    v.data[c * v.plane + p * v.images + i] = *from++;
    }
}

void cn_backward_from(cn_net *net, const cn_real *gradient)
{
    cn_engine *e = net->engine;
    give_gradient(net, gradient);
    if (net->layers[net->layer_count - 1].kind == CN_BATCH_NORM) {
        cn_pool_run(e->pool, CN_LANES, backward_lane,
                    &(phase){net, net->layer_count, net->layer_count});
        merge_sums(net, net->layer_count - 1);
    }
    for (size_t to = net->layer_count, from; to > 1; to = from) {
        /* Down to the layer above the next batch norm, whose sums must be complete before it runs
         * itself. */
        for (from = to - 1; from > 1 && net->layers[from - 1].kind != CN_BATCH_NORM;) from--;
        cn_pool_run(e->pool, CN_LANES, backward_lane, &(phase){net, from, to});
        if (from > 1) merge_sums(net, from - 1);
    }
    cn_pool_run(e->pool, net->layer_count, merge_weights, net);
}

void cn_backward(cn_net *net)
{
    cn_backward_from(net, net->engine->output_gradient);
}

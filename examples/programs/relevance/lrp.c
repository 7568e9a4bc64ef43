/*
 * Layer-wise relevance propagation. Each layer divides the relevance R of its result among what it
 * reads, in proportion to the contributions z to the result, and no relevance is lost:
 *
 *     convolution, linear   s = R / sum z over all inputs and the bias, and an input x gets x times
 *                           the transposed convolution of s. The rule says which z count: lrp.h.
 *     batch norm            merged into its convolution, w gamma / sigma and
 *                           beta + (b - mean) gamma / sigma, so that it divides nothing of its own
 *     addition              an operand a gets a R / (a + b). A CN_SHIFT counts as a bias.
 *     average               an element x of a window of n gets (x / n) R / average
 *     maximum               the first of the greatest elements gets R
 *     ReLU, scale, a pool of size 1, concatenation, channels of padding, upsampling
 *                           R goes where the value came from
 *
 * Padding contributes 0, so it gets nothing. A bias gets its share and keeps it (node.bias), and so
 * does the stabilizer (node.stabilizer): a denominator d becomes d + stabilizer, or d - stabilizer
 * below 0. So the logit is the sum of the image's relevance and of all that biases and stabilizers
 * kept: lrp_missing. With LRP_BOX, biases cancel.
 */
#include "lrp.h"

#include "common/args.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t elements(const cn_layer *l)
{
    return l->channels * l->height * l->width;
}

static bool is_conv(const cn_layer *l)
{
    return l->kind == CN_CONV || l->kind == CN_LINEAR;
}

/* ---- rules ---- */

lrp_rules lrp_rules_of(lrp_preset preset)
{
    static const lrp_rules rules[] = {
        [LRP_PRESET_PLUS] = {LRP_BOX, LRP_POSITIVE, LRP_EPSILON, 1e-6, {0}, {0}},
        [LRP_PRESET_EPSILON] = {LRP_EPSILON, LRP_EPSILON, LRP_EPSILON, 1e-6, {0}, {0}},
        [LRP_PRESET_PAPER] = {LRP_EPSILON, LRP_EPSILON, LRP_POSITIVE, 1e-9, {0}, {0}}};
    uint8_t pixels[2 * CN_PIXELS] = {0}, labels[2] = {0};
    cn_real images[2 * CN_PIXELS];
    const cn_data extremes = {2, 1, pixels, labels};
    lrp_rules r = rules[preset];
    memset(pixels + CN_PIXELS, 255, CN_PIXELS); /* a black image and a white one */
    cn_draw(&extremes, 2, (size_t[]){0, 1}, NULL, images, labels);
    for (size_t c = 0; c < LRP_COLOURS; c++) {
        r.low[c] = (double)images[c * CN_SIDE * CN_SIDE];
        r.high[c] = (double)images[CN_PIXELS + c * CN_SIDE * CN_SIDE];
    }
    return r;
}

/* ---- the network with its norms merged ---- */

/* How many entries of `in` count. */
static size_t inputs_of(const cn_layer *l)
{
    if (l->kind == CN_INPUT || l->kind == CN_SHIFT) return 0;
    return l->kind == CN_ADD ? 2 : l->kind == CN_CONCAT ? l->inputs : 1;
}

static size_t readers_of(const cn_net *net, size_t layer)
{
    size_t n = 0;
    for (size_t i = 1; i < net->layer_count; i++)
        for (size_t k = 0; k < inputs_of(&net->layers[i]); k++) n += net->layers[i].in[k] == layer;
    return n;
}

/* Whether relevance can go through the layer. */
static bool check_layer(const cn_net *net, const cn_layer *l, cn_error *err)
{
    const cn_layer *in = &net->layers[l->in[0]];
    if (l->kind == CN_SIGMOID || l->kind == CN_NORMALIZE)
        return args_refuse(sizeof err->text, err->text, "%s: relevance has no rule for %s", l->name,
                           l->kind == CN_SIGMOID ? "a sigmoid" : "a normalization of length");
    return l->kind != CN_BATCH_NORM || (is_conv(in) && readers_of(net, l->in[0]) == 1) ||
           args_refuse(sizeof err->text, err->text,
                       "%s: the batch norm reads %s, which is %s, so they cannot be merged",
                       l->name, in->name,
                       is_conv(in) ? "read by other layers, too" : "no convolution");
}

static bool check(const cn_net *net, const lrp_rules *rules, cn_error *err)
{
    const cn_layer *image = &net->layers[0];
    if (!(rules->stabilizer > 0))
        return args_refuse(sizeof err->text, err->text,
                           "the stabilizer is %g, and has to be above 0", rules->stabilizer);
    if (rules->first == LRP_BOX && image->channels != LRP_COLOURS)
        return args_refuse(sizeof err->text, err->text,
                           "%s: images have %zu colours, and the box has the bounds of %d",
                           image->name, image->channels, LRP_COLOURS);
    if (!net->classes)
        return args_refuse(sizeof err->text, err->text,
                           "%s: the network has %zu outputs that are no classes, and relevance "
                           "begins at a class",
                           net->layers[net->layer_count - 1].name, net->outputs);
    for (size_t i = 1; i < net->layer_count; i++)
        if (!check_layer(net, &net->layers[i], err)) return false;
    for (size_t i = 0; i < net->param_count; i++)
        for (size_t k = 0; k < net->params[i].count; k++)
            if (!isfinite(net->params[i].value[k]))
                return args_refuse(sizeof err->text, err->text,
                                   "%s: element %zu is not a finite number", net->params[i].name,
                                   k);
    return true;
}

static double at(const cn_net *net, size_t param, size_t k)
{
    return param == CN_NONE ? 0 : (double)net->params[param].value[k];
}

/* The weights of a convolution and of the batch norm behind it, and their positive and negative
 * parts. norm: NULL if there is none. */
static void merge(const cn_net *net, const cn_layer *l, const cn_layer *norm, lrp_node *node)
{
    static const double EPSILON = 1e-5; /* the runtime's */
    const size_t rows = product_rows(&net->layers[l->in[0]], l);
    for (size_t c = 0; c < l->channels; c++) {
        double factor = 1, shift = at(net, l->shift, c);
        if (norm) {
            factor = at(net, norm->weight, c) / sqrt(at(net, norm->variance, c) + EPSILON);
            shift = at(net, norm->shift, c) + (shift - at(net, norm->mean, c)) * factor;
        }
        for (size_t k = 0; k < rows; k++)
            node->weight[0][c * rows + k] = at(net, l->weight, c * rows + k) * factor;
        node->shift[0][c] = shift;
    }
    for (size_t k = 0; k < l->channels * rows; k++) {
        node->weight[1][k] = fmax(node->weight[0][k], 0);
        node->weight[2][k] = fmin(node->weight[0][k], 0);
    }
    for (size_t c = 0; c < l->channels; c++) {
        node->shift[1][c] = fmax(node->shift[0][c], 0);
        node->shift[2][c] = fmin(node->shift[0][c], 0);
    }
}

/* Places in one block; base NULL only counts. */
typedef struct arena {
    double *base;
    size_t used;
} arena;

static double *take(arena *a, size_t n)
{
    double *here = a->base ? a->base + a->used : NULL;
    a->used += n;
    return here;
}

static void carve(lrp *e, arena *a)
{
    size_t most = 0, columns = 0;
    for (size_t i = 0; i < e->count; i++) {
        const cn_layer *l = &e->layers[i], *in = &e->layers[l->in[0]];
        lrp_node *node = &e->node[i];
        if (l->kind == CN_SHIFT) {
            node->shift[0] = take(a, l->channels);
            continue;
        }
        if (elements(l) > most) most = elements(l);
        if (l->kind == CN_BATCH_NORM) {
            node->value = e->node[l->in[0]].value;
            node->relevance = e->node[l->in[0]].relevance;
            continue;
        }
        node->value = take(a, elements(l));
        node->relevance = take(a, elements(l));
        if (!is_conv(l)) continue;
        const size_t rows = product_rows(in, l), all = rows * l->height * l->width;
        if (all > columns) columns = all;
        for (size_t k = 0; k < 3; k++) {
            node->weight[k] = take(a, l->channels * rows);
            node->shift[k] = take(a, l->channels);
        }
    }
    for (size_t k = 0; k < 2; k++) e->part[k] = take(a, most);
    e->columns = take(a, columns);
    e->sum = take(a, most);
    e->quotient = take(a, most);
}

/* The batch norm that reads layer i; NULL: none does. */
static const cn_layer *norm_of(const lrp *e, size_t i)
{
    for (size_t k = i + 1; k < e->count; k++)
        if (e->layers[k].kind == CN_BATCH_NORM && e->layers[k].in[0] == i) return &e->layers[k];
    return NULL;
}

static void fill(lrp *e, const cn_net *net)
{
    for (size_t i = 1; i < e->count; i++) {
        const cn_layer *l = &e->layers[i];
        if (is_conv(l)) merge(net, l, norm_of(e, i), &e->node[i]);
        for (size_t c = 0; l->kind == CN_SHIFT && c < l->channels; c++)
            e->node[i].shift[0][c] = at(net, l->shift, c);
    }
}

lrp *lrp_create(const cn_net *net, const lrp_rules *rules, cn_error *err)
{
    const size_t n = net->layer_count;
    if (!check(net, rules, err)) return NULL;
    lrp *e = calloc(1, sizeof *e);
    if (e) {
        *e = (lrp){.count = n, .classes = net->classes, .rules = *rules};
        e->layers = malloc(n * sizeof *e->layers);
        e->node = calloc(n, sizeof *e->node);
    }
    if (e && e->layers && e->node) {
        arena a = {0};
        memcpy(e->layers, net->layers, n * sizeof *e->layers);
        carve(e, &a);
        a.base = e->memory = calloc(a.used + 1, sizeof *e->memory);
        a.used = 0;
        if (e->memory) {
            carve(e, &a);
            fill(e, net);
            return e;
        }
    }
    args_refuse(sizeof err->text, err->text, "no memory for the relevance of %zu layers", n);
    lrp_destroy(e);
    return NULL;
}

void lrp_destroy(lrp *e)
{
    if (!e) return;
    free(e->memory);
    free(e->node);
    free(e->layers);
    free(e);
}

/* ---- windows of pools ---- */

typedef struct window {
    size_t begin[2], end[2], count;
} window;

/* What position (y, x) of a pool looks at; padding is not counted. */
static window window_of(const cn_layer *pool, const cn_layer *in, size_t y, size_t x)
{
    const size_t place[2] = {y, x}, length[2] = {in->height, in->width};
    window w = {{0, 0}, {in->height, in->width}, in->height * in->width};
    if (pool->kind == CN_GLOBAL_AVERAGE) return w;
    for (size_t axis = 0; axis < 2; axis++) {
        const size_t size = pool->size[axis] ? pool->size[axis] : 1,
                     stride = pool->stride[axis] ? pool->stride[axis] : 1, pad = pool->pad[axis],
                     first = place[axis] * stride;
        w.begin[axis] = first > pad ? first - pad : 0;
        w.end[axis] = first + size > pad ? first + size - pad : 0;
        if (w.end[axis] > length[axis]) w.end[axis] = length[axis];
    }
    w.count = (w.end[0] - w.begin[0]) * (w.end[1] - w.begin[1]);
    return w;
}

/* The place of the first of the greatest elements. */
static size_t greatest(const window *w, const double *plane, size_t width)
{
    size_t best = w->begin[0] * width + w->begin[1];
    for (size_t y = w->begin[0]; y < w->end[0]; y++)
        for (size_t x = w->begin[1]; x < w->end[1]; x++)
            if (plane[y * width + x] > plane[best]) best = y * width + x;
    return best;
}

static double average(const window *w, const double *plane, size_t width)
{
    double sum = 0;
    for (size_t y = w->begin[0]; y < w->end[0]; y++)
        for (size_t x = w->begin[1]; x < w->end[1]; x++) sum += plane[y * width + x];
    return sum / (double)w->count;
}

/* ---- forward ---- */

static void forward_pool(const lrp *e, size_t i)
{
    const cn_layer *l = &e->layers[i], *in = &e->layers[l->in[0]];
    const double *x = e->node[l->in[0]].value;
    double *to = e->node[i].value;
    for (size_t c = 0; c < l->channels; c++, x += in->height * in->width)
        for (size_t oy = 0; oy < l->height; oy++)
            for (size_t ox = 0; ox < l->width; ox++) {
                const window w = window_of(l, in, oy, ox);
                *to++ = l->kind == CN_POOL_MAX ? x[greatest(&w, x, in->width)]
                                               : average(&w, x, in->width);
            }
}

/* The operands of an addition; NULL for a CN_SHIFT, whose numbers go to *shift. */
static void operands(const lrp *e, size_t i, const double *value[2], const double **shift)
{
    *shift = NULL;
    for (size_t k = 0; k < 2; k++) {
        const size_t in = e->layers[i].in[k];
        value[k] = e->node[in].value;
        if (e->layers[in].kind == CN_SHIFT) *shift = e->node[in].shift[0];
    }
}

static void forward_add(const lrp *e, size_t i)
{
    const cn_layer *l = &e->layers[i];
    const double *value[2], *shift;
    operands(e, i, value, &shift);
    for (size_t k = 0; k < elements(l); k++)
        e->node[i].value[k] = (value[0] ? value[0][k] : 0) + (value[1] ? value[1][k] : 0) +
                              (shift ? shift[k / (l->height * l->width)] : 0);
}

/* Channels one after another; where a layer's channels begin is told by those before. */
static void forward_concat(const lrp *e, size_t i)
{
    double *to = e->node[i].value;
    for (size_t k = 0; k < e->layers[i].inputs; k++) {
        const size_t in = e->layers[i].in[k], n = elements(&e->layers[in]);
        memcpy(to, e->node[in].value, n * sizeof *to);
        to += n;
    }
}

/* The pixel that pixel k of an upsampled value is equal to. */
static size_t source_of(const cn_layer *l, const cn_layer *in, size_t k)
{
    const size_t c = k / (l->height * l->width), y = k / l->width % l->height, x = k % l->width;
    return (c * in->height + y * in->height / l->height) * in->width + x * in->width / l->width;
}

static void forward_layer(const lrp *e, size_t i)
{
    const cn_layer *l = &e->layers[i], *in = &e->layers[l->in[0]];
    const lrp_node *node = &e->node[i];
    const double *x = e->node[l->in[0]].value;
    const size_t positions = l->height * l->width;
    switch (l->kind) {
    case CN_INPUT:
    case CN_BATCH_NORM:
    case CN_SHIFT:
    case CN_SIGMOID: /* refused, as the next one */
    case CN_NORMALIZE:
        return;
    case CN_CONV:
    case CN_LINEAR:
        for (size_t k = 0; k < elements(l); k++) node->value[k] = node->shift[0][k / positions];
        product_unfold(in, l, x, e->columns);
        product_forward(in, l, node->weight[0], e->columns, node->value);
        return;
    case CN_RELU:
        for (size_t k = 0; k < elements(l); k++) node->value[k] = fmax(x[k], 0);
        return;
    case CN_ADD:
        forward_add(e, i);
        return;
    case CN_CONCAT:
        forward_concat(e, i);
        return;
    case CN_SCALE:
        for (size_t k = 0; k < elements(l); k++) node->value[k] = l->factor * x[k];
        return;
    case CN_UPSAMPLE:
        for (size_t k = 0; k < elements(l); k++) node->value[k] = x[source_of(l, in, k)];
        return;
    case CN_PAD_CHANNELS:
        memset(node->value, 0, elements(l) * sizeof *node->value);
        memcpy(node->value + l->before * positions, x, elements(in) * sizeof *x);
        return;
    case CN_POOL_MAX:
    case CN_POOL_AVERAGE:
    case CN_GLOBAL_AVERAGE:
        forward_pool(e, i);
        return;
    }
}

const double *lrp_forward(lrp *e, const cn_real *image)
{
    for (size_t k = 0; k < elements(&e->layers[0]); k++) e->node[0].value[k] = (double)image[k];
    for (size_t i = 1; i < e->count; i++) forward_layer(e, i);
    return e->node[e->count - 1].value;
}

size_t lrp_predicted(const lrp *e)
{
    const double *logit = e->node[e->count - 1].value;
    size_t best = 0;
    for (size_t c = 1; c < e->classes; c++)
        if (logit[c] > logit[best]) best = c;
    return best;
}

/* ---- backward ---- */

/* R / (d + stabilizer); what the stabilizer takes is added to *taken. */
static double divide(double r, double d, double stabilizer, double *taken)
{
    const double signed_one = d < 0 ? -stabilizer : stabilizer;
    const double quotient = r / (d + signed_one);
    *taken += signed_one * quotient;
    return quotient;
}

/* Inputs x, weights and biases whose products count in a denominator, with a sign. */
typedef struct term {
    const double *x, *weight, *bias; /* bias NULL: none */
    double sign;
} term;

/* A share `factor` of R is divided by one denominator, the sum of the terms. */
static void divide_by(lrp *e, size_t i, size_t terms, const term *t, double factor)
{
    const cn_layer *l = &e->layers[i], *in = &e->layers[l->in[0]];
    lrp_node *node = &e->node[i];
    double *to = e->node[l->in[0]].relevance;
    const size_t positions = l->height * l->width;
    memset(e->quotient, 0, elements(l) * sizeof *e->quotient); /* the denominators, for now */
    for (size_t k = 0; k < terms; k++) {
        for (size_t j = 0; j < elements(l); j++)
            e->sum[j] = t[k].bias ? t[k].bias[j / positions] : 0;
        product_unfold(in, l, t[k].x, e->columns);
        product_forward(in, l, t[k].weight, e->columns, e->sum);
        for (size_t j = 0; j < elements(l); j++) e->quotient[j] += t[k].sign * e->sum[j];
    }
    for (size_t j = 0; j < elements(l); j++) {
        e->quotient[j] = divide(factor * node->relevance[j], e->quotient[j], e->rules.stabilizer,
                                &node->stabilizer);
        for (size_t k = 0; k < terms; k++)
            if (t[k].bias) node->bias += t[k].sign * t[k].bias[j / positions] * e->quotient[j];
    }
    for (size_t k = 0; k < terms; k++) {
        product_backward(in, l, t[k].weight, e->quotient, e->columns);
        product_fold(in, l, e->columns, e->sum);
        for (size_t j = 0; j < elements(in); j++) to[j] += t[k].sign * t[k].x[j] * e->sum[j];
    }
}

static void backward_box(lrp *e, size_t i)
{
    const lrp_node *node = &e->node[i];
    const cn_layer *in = &e->layers[0];
    for (size_t k = 0; k < elements(in); k++) {
        const size_t colour = k / (in->height * in->width);
        e->part[0][k] = e->rules.low[colour];
        e->part[1][k] = e->rules.high[colour];
    }
    const term terms[] = {{e->node[0].value, node->weight[0], node->shift[0], 1},
                          {e->part[0], node->weight[1], node->shift[1], -1},
                          {e->part[1], node->weight[2], node->shift[2], -1}};
    divide_by(e, i, 3, terms, 1);
}

/* part[0], part[1] <- max(x, 0), min(x, 0). Returns how many of the two are not all 0. */
static size_t part_signs(const lrp *e, const cn_layer *in, const double *x)
{
    size_t parts = 1;
    for (size_t k = 0; k < elements(in); k++) {
        e->part[0][k] = fmax(x[k], 0);
        e->part[1][k] = fmin(x[k], 0);
        if (x[k] < 0) parts = 2;
    }
    return parts;
}

static void backward_conv(lrp *e, size_t i)
{
    const cn_layer *l = &e->layers[i], *in = &e->layers[l->in[0]];
    const lrp_node *node = &e->node[i];
    const lrp_rule rule = l->kind == CN_LINEAR   ? e->rules.last
                          : in->kind == CN_INPUT ? e->rules.first
                                                 : e->rules.inner;
    const double *x = e->node[l->in[0]].value;
    if (rule == LRP_BOX && in->kind == CN_INPUT) {
        backward_box(e, i);
    } else if (rule == LRP_EPSILON) {
        divide_by(e, i, 1, &(term){x, node->weight[0], node->shift[0], 1}, 1);
    } else {
        const size_t parts = part_signs(e, in, x);
        const term positive[] = {{e->part[0], node->weight[1], node->shift[1], 1},
                                 {e->part[1], node->weight[2], NULL, 1}},
                   negative[] = {{e->part[0], node->weight[2], node->shift[2], 1},
                                 {e->part[1], node->weight[1], NULL, 1}};
        divide_by(e, i, parts, positive, rule == LRP_TWO_ONE ? 2 : 1);
        if (rule == LRP_TWO_ONE) divide_by(e, i, parts, negative, -1);
    }
}

static void backward_add(lrp *e, size_t i)
{
    const cn_layer *l = &e->layers[i];
    lrp_node *node = &e->node[i];
    const double *value[2], *shift;
    operands(e, i, value, &shift);
    for (size_t k = 0; k < elements(l); k++) {
        const double a = value[0] ? value[0][k] : 0, b = value[1] ? value[1][k] : 0,
                     c = shift ? shift[k / (l->height * l->width)] : 0,
                     s = divide(node->relevance[k], a + b + c, e->rules.stabilizer,
                                &node->stabilizer);
        if (value[0]) e->node[l->in[0]].relevance[k] += a * s;
        if (value[1]) e->node[l->in[1]].relevance[k] += b * s;
        node->bias += c * s;
    }
}

static void backward_window(lrp *e, lrp_node *node, const window *w, size_t width, const double *x,
                            double *to, double r)
{
    const double share =
        divide(r, average(w, x, width), e->rules.stabilizer, &node->stabilizer) / (double)w->count;
    for (size_t y = w->begin[0]; y < w->end[0]; y++)
        for (size_t k = y * width + w->begin[1]; k < y * width + w->end[1]; k++)
            to[k] += x[k] * share;
}

static void backward_pool(lrp *e, size_t i)
{
    const cn_layer *l = &e->layers[i], *in = &e->layers[l->in[0]];
    const double *x = e->node[l->in[0]].value, *from = e->node[i].relevance;
    double *to = e->node[l->in[0]].relevance;
    const size_t plane = in->height * in->width;
    for (size_t c = 0; c < l->channels; c++, x += plane, to += plane)
        for (size_t oy = 0; oy < l->height; oy++)
            for (size_t ox = 0; ox < l->width; ox++, from++) {
                const window w = window_of(l, in, oy, ox);
                if (l->kind == CN_POOL_MAX || w.count == 1)
                    to[greatest(&w, x, in->width)] += *from;
                else
                    backward_window(e, &e->node[i], &w, in->width, x, to, *from);
            }
}

static void backward_concat(lrp *e, size_t i)
{
    const double *r = e->node[i].relevance;
    for (size_t k = 0; k < e->layers[i].inputs; k++) {
        const size_t in = e->layers[i].in[k];
        for (size_t j = 0; j < elements(&e->layers[in]); j++) e->node[in].relevance[j] += *r++;
    }
}

static void backward_layer(lrp *e, size_t i)
{
    const cn_layer *l = &e->layers[i], *in = &e->layers[l->in[0]];
    const double *r = e->node[i].relevance;
    double *to = e->node[l->in[0]].relevance;
    switch (l->kind) {
    case CN_INPUT:
    case CN_BATCH_NORM:
    case CN_SHIFT:
    case CN_SIGMOID: /* refused, as the next one */
    case CN_NORMALIZE:
        return;
    case CN_CONV:
    case CN_LINEAR:
        backward_conv(e, i);
        return;
    case CN_RELU:
    case CN_SCALE:
        for (size_t k = 0; k < elements(l); k++) to[k] += r[k];
        return;
    case CN_ADD:
        backward_add(e, i);
        return;
    case CN_CONCAT:
        backward_concat(e, i);
        return;
    case CN_UPSAMPLE:
        for (size_t k = 0; k < elements(l); k++) to[source_of(l, in, k)] += r[k];
        return;
    case CN_PAD_CHANNELS:
        for (size_t k = 0; k < elements(in); k++) to[k] += r[l->before * l->height * l->width + k];
        return;
    case CN_POOL_MAX:
    case CN_POOL_AVERAGE:
    case CN_GLOBAL_AVERAGE:
        backward_pool(e, i);
        return;
    }
}

void lrp_backward(lrp *e, size_t class)
{
    const lrp_node *last = &e->node[e->count - 1];
    for (size_t i = 0; i < e->count; i++) {
        lrp_node *node = &e->node[i];
        node->bias = node->stabilizer = 0;
        if (node->relevance)
            memset(node->relevance, 0, elements(&e->layers[i]) * sizeof *node->relevance);
    }
    last->relevance[class] = last->value[class];
    for (size_t i = e->count; i-- > 1;) backward_layer(e, i);
}

double lrp_missing(const lrp *e, size_t class)
{
    double sum = 0;
    for (size_t k = 0; k < elements(&e->layers[0]); k++) sum += e->node[0].relevance[k];
    for (size_t i = 0; i < e->count; i++) sum += e->node[i].bias + e->node[i].stabilizer;
    return e->node[e->count - 1].value[class] - sum;
}

/* The interpreter: every operator by its definition, in double, one loop after the other. */
#include "net.h"

#include <math.h>
#include <string.h>

/* Spatial sizes as three, missing ones 1. */
typedef struct box {
    size_t n[3];
} box;

static box box_of(const net_node *t)
{
    box b = {{1, 1, 1}};
    for (uint32_t d = 0; d < t->nspatial; d++) b.n[d] = t->spatial[d];
    return b;
}

static size_t place(box b, const size_t *at)
{
    return (at[0] * b.n[1] + at[1]) * b.n[2] + at[2];
}

static bool next_place(box b, size_t *at)
{
    return next_index(3, b.n, at);
}

static void conv(const net *n, const net_node *t, const double *x, double *y)
{
    const net_node *in = &n->node[t->in[0]];
    const net_param *w = &n->param[t->weight];
    box bi = box_of(in), bo = box_of(t), taps = {{1, 1, 1}};
    size_t pi = net_positions(in), po = net_positions(t), per = w->shape[1];
    size_t groups = in->channels / per, filters = t->channels / groups;
    for (uint32_t d = 2; d < w->ndim; d++) taps.n[d - 2] = w->shape[d];
    size_t ntaps = taps.n[0] * taps.n[1] * taps.n[2];
    for (size_t o = 0; o < t->channels; o++) {
        size_t out[3] = {0};
        do {
            double sum = 0;
            for (size_t i = 0; i < per; i++) {
                size_t channel = o / filters * per + i, tap[3] = {0};
                do {
                    size_t at[3] = {0};
                    bool inside = true;
                    for (uint32_t d = 0; d < in->nspatial; d++) {
                        size_t s = t->stride[d] ? t->stride[d] : 1;
                        size_t e = t->dilation[d] ? t->dilation[d] : 1;
                        size_t p = out[d] * s + tap[d] * e;
                        if (p < t->before[d] || p - t->before[d] >= bi.n[d])
                            inside = false;
                        else
                            at[d] = p - t->before[d];
                    }
                    if (inside)
                        sum += w->data[(o * per + i) * ntaps + place(taps, tap)] *
                               x[channel * pi + place(bi, at)];
                } while (next_place(taps, tap));
            }
            y[o * po + place(bo, out)] = sum + (t->bias ? n->param[t->bias].data[o] : 0);
        } while (next_place(bo, out));
    }
}

static void linear(const net *n, const net_node *t, const double *x, double *y)
{
    size_t positions = net_positions(t), ci = n->node[t->in[0]].channels;
    for (size_t o = 0; o < t->channels; o++)
        for (size_t p = 0; p < positions; p++) {
            double sum = 0;
            for (size_t i = 0; i < ci; i++)
                sum += n->param[t->weight].data[o * ci + i] * x[i * positions + p];
            y[o * positions + p] = sum + (t->bias ? n->param[t->bias].data[o] : 0);
        }
}

static void norm(const net *n, const net_node *t, const double *x, double *y)
{
    size_t positions = net_positions(t);
    for (size_t c = 0; c < t->channels; c++) {
        double v[4] = {1, 0, 0, 1};
        for (int k = 0; k < 4; k++)
            if (t->norm[k]) v[k] = n->param[t->norm[k]].data[c];
        for (size_t p = 0; p < positions; p++)
            y[c * positions + p] =
                v[0] * (x[c * positions + p] - v[2]) / sqrt(fabs(v[3]) + 1e-5) + v[1];
    }
}

static double clamp(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

static double function(int kind, double x)
{
    switch (kind) {
    case MSKP_RELU:
        return x > 0 ? x : 0;
    case MSKP_RELU6:
        return clamp(x, 0, 6);
    case MSKP_LEAKY_RELU:
        return x > 0 ? x : 0.1 * x;
    case MSKP_ELU:
        return x > 0 ? x : expm1(x);
    case MSKP_SIGMOID:
        return 1 / (1 + exp(-x));
    case MSKP_TANH:
        return tanh(x);
    case MSKP_SILU:
        return x / (1 + exp(-x));
    case MSKP_GELU:
        return 0.5 * x * (1 + erf(x / sqrt(2.0)));
    case MSKP_HARD_SIGMOID:
        return clamp(x / 6 + 0.5, 0, 1);
    case MSKP_HARD_SWISH:
        return x * clamp(x / 6 + 0.5, 0, 1);
    case MSKP_FUNCTION:
        return cos(x);
    default:
        return x;
    }
}

/* Windows see the image alone, not its padding; one that sees nothing gives 0. */
static void pool(const net *n, const net_node *t, const double *x, double *y)
{
    const net_node *in = &n->node[t->in[0]];
    box bi = box_of(in), bo = box_of(t);
    size_t pi = net_positions(in), po = net_positions(t);
    bool max = t->kind == MSKP_POOL_MAX || t->kind == MSKP_POOL_GLOBAL_MAX;
    for (size_t c = 0; c < t->channels; c++) {
        size_t out[3] = {0};
        do {
            size_t from[3] = {0}, to[3] = {1, 1, 1}, at[3] = {0}, seen = 0;
            double sum = 0, most = 0;
            for (uint32_t d = 0; d < in->nspatial; d++) {
                size_t window = t->window[d] ? t->window[d] : 1;
                size_t stride = t->stride[d] ? t->stride[d] : window;
                size_t lo = out[d] * stride, hi = lo + window;
                from[d] = lo > t->before[d] ? lo - t->before[d] : 0;
                to[d] = hi > t->before[d] ? hi - t->before[d] : 0;
                if (t->kind >= MSKP_POOL_GLOBAL_MAX) from[d] = 0, to[d] = bi.n[d];
                if (t->resize[d]) from[d] = out[d] * bi.n[d] / bo.n[d], to[d] = from[d] + 1;
            }
            do {
                bool inside = true;
                for (int d = 0; d < 3; d++) inside &= at[d] >= from[d] && at[d] < to[d];
                if (!inside) continue;
                double v = x[c * pi + place(bi, at)];
                if (!seen++ || v > most) most = v;
                sum += v;
            } while (next_place(bi, at));
            y[c * po + place(bo, out)] = !seen ? 0 : max ? most : sum / (double)seen;
        } while (next_place(bo, out));
    }
}

static void combine(const net *n, const net_node *t, double *const *values, double *y)
{
    box bo = box_of(t);
    size_t po = net_positions(t);
    for (size_t c = 0; c < t->channels; c++) {
        size_t out[3] = {0};
        do {
            double r = 0;
            for (size_t k = 0; k < t->inputs; k++) {
                const net_node *a = &n->node[t->in[k]];
                box ba = box_of(a);
                size_t at[3], ca = a->channels == 1 ? 0 : c;
                for (int d = 0; d < 3; d++) at[d] = ba.n[d] == 1 ? 0 : out[d];
                double v = values[t->in[k]][ca * net_positions(a) + place(ba, at)];
                if (k == 0)
                    r = v;
                else if (t->kind == MSKP_ADD)
                    r += v;
                else if (t->kind == MSKP_SUBTRACT)
                    r -= v;
                else if (t->kind == MSKP_MULTIPLY)
                    r *= v;
                else if (v > r)
                    r = v;
            }
            y[c * po + place(bo, out)] = r;
        } while (next_place(bo, out));
    }
}

static void shuffle(const net *n, const net_node *t, const double *x, double *y)
{
    const net_node *in = &n->node[t->in[0]];
    size_t h = t->spatial[0], w = t->spatial[1], pi = net_positions(in);
    for (size_t c = 0; c < t->channels; c++)
        for (size_t i = 0; i < h; i++)
            for (size_t j = 0; j < w; j++)
                y[(c * h + i) * w + j] =
                    x[(c * 4 + i % 2 * 2 + j % 2) * pi + i / 2 * in->spatial[1] + j / 2];
}

/* A function of everything that goes in, so that no channel of it could leave unnoticed. */
static void blend(const net *n, const net_node *t, double *const *values, double *y)
{
    const size_t count = t->channels * net_positions(t);
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t k = 0; k < t->inputs; k++) {
            const net_node *a = &n->node[t->in[k]];
            for (size_t j = 0; j < a->channels * net_positions(a); j++)
                sum += values[t->in[k]][j] * cos((double)(1 + i + 3 * j + 7 * k));
        }
        y[i] = tanh(sum);
    }
}

double **net_eval(const net *n, arena *mem, double *const *inputs)
{
    double **values = arena_get(mem, n->nodes + 1, sizeof *values);
    for (size_t k = 1; k <= n->nodes; k++) {
        const net_node *t = &n->node[k], *in = t->inputs ? &n->node[t->in[0]] : NULL;
        size_t po = net_positions(t), pi = in ? net_positions(in) : 0;
        double *y = arena_get(mem, t->channels * po, sizeof *y);
        const double *x = in ? values[t->in[0]] : NULL;
        values[k] = y;
        switch (t->op) {
        case NET_INPUT:
            memcpy(y, inputs[k], t->channels * po * sizeof *y);
            break;
        case NET_CONV:
        case NET_GROUPED:
        case NET_DEPTHWISE:
            conv(n, t, x, y);
            break;
        case NET_LINEAR:
            linear(n, t, x, y);
            break;
        case NET_NORM:
            norm(n, t, x, y);
            break;
        case NET_ACT:
            for (size_t i = 0; i < t->channels * po; i++) y[i] = function(t->kind, x[i]);
            break;
        case NET_POOL:
            pool(n, t, x, y);
            break;
        case NET_COMBINE:
            combine(n, t, values, y);
            break;
        case NET_SLICE:
            memcpy(y, x + t->first * pi, t->count * pi * sizeof *y);
            break;
        case NET_PAD:
            memcpy(y + t->first * po, x, in->channels * pi * sizeof *y);
            break;
        case NET_FLATTEN:
            for (size_t c = 0; c < in->channels; c++)
                for (size_t p = 0; p < pi; p++)
                    y[t->channels_last ? p * in->channels + c : c * pi + p] = x[c * pi + p];
            break;
        case NET_PICK:
            for (size_t c = 0; c < t->count; c++)
                memcpy(y + c * po, x + t->positions[c] * pi, pi * sizeof *y);
            break;
        case NET_CONCAT:
            for (size_t j = 0, at = 0; j < t->inputs; j++) {
                size_t count = n->node[t->in[j]].channels * po;
                memcpy(y + at, values[t->in[j]], count * sizeof *y);
                at += count;
            }
            break;
        case NET_OPAQUE:
            blend(n, t, values, y);
            break;
        case NET_SHUFFLE:
            shuffle(n, t, x, y);
            break;
        default: /* NET_SCALE */
            for (size_t i = 0; i < t->channels * po; i++)
                y[i] = x[i] * n->param[t->weight].data[i / po];
        }
    }
    return values;
}

double **net_random_inputs(const net *n, arena *mem, rng *r)
{
    double **inputs = arena_get(mem, n->nodes + 1, sizeof *inputs);
    for (size_t k = 1; k <= n->nodes; k++) {
        if (n->node[k].op != NET_INPUT) continue;
        size_t count = n->node[k].channels * net_positions(&n->node[k]);
        inputs[k] = arena_get(mem, count, sizeof **inputs);
        for (size_t i = 0; i < count; i++) inputs[k][i] = rng_real(r, -2, 2);
    }
    return inputs;
}

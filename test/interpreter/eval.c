/* The interpreter: every operator by its definition, in double, one loop after the other. */
#include "net.h"

#include "by_id/by_id.h"
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

/* Where position p of the padded axis lies in the image; false: nowhere. */
static bool in_image(const net_node *t, size_t p, size_t before, size_t size, size_t *at)
{
    if (p >= before && p - before < size) {
        *at = p - before;
        return true;
    }
    if (t->padding == NET_CIRCULAR) {
        *at = (p + size * before - before) % size;
    } else {
        const size_t beyond = p < before ? before - p : p - before - size + 1;
        const size_t step = t->padding == NET_REPLICATED ? 0 : beyond < size ? beyond : size - 1;
        *at = p < before ? step : size - 1 - (t->padding == NET_REPLICATED ? 0 : step);
    }
    return t->padding != NET_ZEROS;
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
                        inside &=
                            in_image(t, out[d] * s + tap[d] * e, t->before[d], bi.n[d], &at[d]);
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
        const double epsilon = t->epsilon > 0 ? t->epsilon : 1e-5;
        const double deviation =
            t->outside_root ? sqrt(fabs(v[3])) + epsilon : sqrt(fabs(v[3]) + epsilon);
        for (size_t p = 0; p < positions; p++)
            y[c * positions + p] = v[0] * (x[c * positions + p] - v[2]) / deviation + v[1];
    }
}

static double clamp(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

double net_own_function(double x, const double *parameters)
{
    return cos(x + parameters[3]);
}

static double function(const net_node *t, double x)
{
    switch (t->kind) {
    case MSKP_ACTIVATION_RELU:
        return x > 0 ? x : 0;
    case MSKP_ACTIVATION_RELU6:
        return clamp(x, 0, 6);
    case MSKP_ACTIVATION_LEAKY_RELU:
        return x > 0 ? x : (t->parameter != 0 ? t->parameter : 0.1) * x;
    case MSKP_ACTIVATION_ELU:
        return x > 0 ? x : (t->parameter != 0 ? t->parameter : 1) * expm1(x);
    case MSKP_ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-x));
    case MSKP_ACTIVATION_TANH:
        return tanh(x);
    case MSKP_ACTIVATION_SILU:
        return x / (1 + exp(-x));
    case MSKP_ACTIVATION_GELU:
        return 0.5 * x * (1 + erf(x / sqrt(2.0)));
    case MSKP_ACTIVATION_HARD_SIGMOID:
        return clamp(x / 6 + 0.5, 0, 1);
    case MSKP_ACTIVATION_HARD_SWISH:
        return x * clamp(x / 6 + 0.5, 0, 1);
    case MSKP_ACTIVATION_CUSTOM:
        return cos(x + t->parameter);
    case MSKP_ACTIVATION_GELU_TANH:
        return x / 2 + x / 2 * tanh(sqrt(8 / acos(-1.0)) / 2 * (x + 0.044715 * pow(x, 3)));
    case MSKP_ACTIVATION_MULTIPLY:
        return x * t->parameter;
    default:
        return x;
    }
}

/* Windows see the image alone, not its padding; one that sees nothing gives 0. */
/* Every input adds its kernel to the result around it. */
static void transposed(const net *n, const net_node *t, const double *x, double *y)
{
    const net_node *in = &n->node[t->in[0]];
    const net_param *w = &n->param[t->weight];
    box bi = box_of(in), bo = box_of(t), taps = {{1, 1, 1}};
    size_t pi = net_positions(in), po = net_positions(t), per = w->shape[1];
    size_t groups = t->channels / per, reads = in->channels / groups;
    for (uint32_t d = 2; d < w->ndim; d++) taps.n[d - 2] = w->shape[d];
    size_t ntaps = taps.n[0] * taps.n[1] * taps.n[2];
    for (size_t o = 0; o < t->channels; o++)
        for (size_t p = 0; p < po; p++) y[o * po + p] = t->bias ? n->param[t->bias].data[o] : 0;
    for (size_t i = 0; i < in->channels; i++)
        for (size_t o = 0; o < per; o++) {
            size_t at[3] = {0};
            do {
                size_t tap[3] = {0};
                do {
                    size_t out[3] = {0};
                    bool inside = true;
                    for (uint32_t d = 0; d < in->nspatial; d++) {
                        size_t s = t->stride[d] ? t->stride[d] : 1;
                        size_t e = t->dilation[d] ? t->dilation[d] : 1;
                        size_t p = at[d] * s + tap[d] * e;
                        if (p < t->before[d] || p - t->before[d] >= bo.n[d])
                            inside = false;
                        else
                            out[d] = p - t->before[d];
                    }
                    if (inside)
                        y[(i / reads * per + o) * po + place(bo, out)] +=
                            w->data[(i * per + o) * ntaps + place(taps, tap)] *
                            x[i * pi + place(bi, at)];
                } while (next_place(taps, tap));
            } while (next_place(bi, at));
        }
}

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
            double sum = 0, most = 0, all = 1;
            for (uint32_t d = 0; d < in->nspatial; d++) {
                size_t window = t->window[d] ? t->window[d] : 1;
                size_t stride = t->stride[d] ? t->stride[d] : window;
                size_t lo = out[d] * stride, hi = lo + window;
                all *= (double)window;
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
            if (!t->count_padding) all = (double)seen;
            y[c * po + place(bo, out)] = !seen ? 0 : max ? most : sum / all;
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
                else if (t->kind == MSKP_COMBINE_ADD)
                    r += v;
                else if (t->kind == MSKP_COMBINE_SUBTRACT)
                    r -= v;
                else if (t->kind == MSKP_COMBINE_MULTIPLY)
                    r *= v;
                else if (t->kind == MSKP_COMBINE_MAXIMUM)
                    r = v > r ? v : r;
                else if (t->kind == MSKP_COMBINE_MINIMUM)
                    r = v < r ? v : r;
                else
                    r += v; /* MSKP_COMBINE_AVERAGE */
            }
            if (t->kind == MSKP_COMBINE_AVERAGE) r /= (double)t->inputs;
            y[c * po + place(bo, out)] = r;
        } while (next_place(bo, out));
    }
}

/* Norms with statistics of their own input: over each channel's positions, or over parts of all. */
static void own_norm(const net *n, const net_node *t, const double *x, double *y)
{
    size_t p = net_positions(t), part = 1;
    if (t->norm_kind == MSKP_NORM_GROUP) part = t->channels / (t->groups ? t->groups : 1);
    if (t->norm_kind > MSKP_NORM_GROUP) part = t->channels;
    for (size_t first = 0; first < t->channels; first += part) {
        double mean = 0, square = 0;
        const double *from = x + first * p, count = (double)(part * p);
        for (size_t i = 0; i < part * p; i++) mean += from[i] / count;
        if (t->norm_kind == MSKP_NORM_RMS || t->norm_kind == MSKP_NORM_AFFINE) mean = 0;
        for (size_t i = 0; i < part * p; i++) square += (from[i] - mean) * (from[i] - mean) / count;
        const double scale = t->norm_kind == MSKP_NORM_AFFINE ? 1 : 1 / sqrt(square + 1e-3);
        for (size_t i = 0; i < part * p; i++) y[first * p + i] = (from[i] - mean) * scale;
    }
    for (size_t c = 0; c < t->channels; c++)
        for (size_t i = 0; i < p; i++) {
            double *v = &y[c * p + i];
            if (t->norm[0]) *v *= n->param[t->norm[0]].data[c];
            if (t->norm[1]) *v += n->param[t->norm[1]].data[c];
        }
}

/* Place in the block of a pixel shuffle, and the position around it, of position `at` of the fine
 * value. */
static size_t in_block(const net_node *fine, const net_node *coarse, size_t factor,
                       const size_t *at, size_t *outer)
{
    size_t inner = 0, o[3] = {0};
    for (uint32_t d = 0; d < fine->nspatial; d++) {
        inner = inner * factor + at[d] % factor;
        o[d] = at[d] / factor;
    }
    *outer = place(box_of(coarse), o);
    return inner;
}

static void pixels(const net *n, const net_node *t, const double *x, double *y)
{
    const net_node *in = &n->node[t->in[0]];
    const bool up = t->op == NET_PIXEL_SHUFFLE;
    const net_node *fine = up ? t : in, *coarse = up ? in : t;
    const size_t channels = fine->channels, block = coarse->channels / channels;
    for (size_t c = 0; c < channels; c++) {
        size_t at[3] = {0};
        do {
            size_t outer, inner = in_block(fine, coarse, t->factor, at, &outer);
            size_t k =
                t->kind == MSKP_SHUFFLE_BLOCK_MAJOR ? inner * channels + c : c * block + inner;
            size_t f = c * net_positions(fine) + place(box_of(fine), at);
            size_t g = k * net_positions(coarse) + outer;
            if (up)
                y[f] = x[g];
            else
                y[g] = x[f];
        } while (next_place(box_of(fine), at));
    }
}

static void stack(const net *n, const net_node *t, double *const *values, double *y)
{
    box bo = box_of(t);
    for (size_t c = 0; c < t->channels; c++) {
        size_t offset = 0;
        for (size_t k = 0; k < t->inputs; k++) {
            const net_node *a = &n->node[t->in[k]];
            box ba = box_of(a);
            size_t at[3] = {0};
            do {
                size_t to[3] = {at[0], at[1], at[2]};
                to[t->axis] += offset;
                y[c * net_positions(t) + place(bo, to)] =
                    values[t->in[k]][c * net_positions(a) + place(ba, at)];
            } while (next_place(ba, at));
            offset += a->spatial[t->axis];
        }
    }
}

/* Row r of a weight, from row `first` on, times the channels at one position; and its bias. */
static double project(const net *n, size_t weight, size_t bias, size_t row, const double *x,
                      size_t channels, size_t positions, size_t at)
{
    double sum = bias ? n->param[bias].data[row] : 0;
    for (size_t c = 0; c < channels; c++)
        sum += n->param[weight].data[row * channels + c] * x[c * positions + at];
    return sum;
}

static void attend(const net *n, const net_node *t, arena *mem, double *const *values, double *y)
{
    const net_node *in = &n->node[t->in[0]], *from = &n->node[t->in[t->inputs > 1 ? 1 : 0]];
    const double *x = values[t->in[0]], *z = values[t->in[t->inputs > 1 ? 1 : 0]];
    const size_t here = net_positions(in), there = net_positions(from);
    const size_t h = t->heads, kv = t->kv_heads, dk = t->dim, dv = t->value_dim;
    const size_t key = t->packed ? t->more[0] : t->more[1];
    const size_t value = t->packed ? t->more[0] : t->more[2];
    const size_t key_bias = t->packed ? t->more[4] : t->more[5];
    const size_t value_bias = t->packed ? t->more[4] : t->more[6];
    const size_t key_row = t->packed ? h * dk : 0, value_row = t->packed ? h * dk + kv * dk : 0;
    double *result = arena_get(mem, h * dv * here, sizeof *result);
    double *logit = arena_get(mem, there, sizeof *logit);
    for (size_t head = 0; head < h; head++) {
        const size_t pair = head / (h / kv);
        for (size_t p = 0; p < here; p++) {
            double most = -INFINITY, sum = 0;
            for (size_t q = 0; q < there; q++) {
                logit[q] = 0;
                for (size_t i = 0; i < dk; i++)
                    logit[q] += project(n, t->more[0], t->more[4], head * dk + i, x, in->channels,
                                        here, p) *
                                project(n, key, key_bias, key_row + pair * dk + i, z,
                                        from->channels, there, q);
                logit[q] *= t->scale;
                most = fmax(most, logit[q]);
            }
            for (size_t q = 0; q < there; q++) sum += logit[q] = exp(logit[q] - most);
            for (size_t i = 0; i < dv; i++)
                for (size_t q = 0; q < there; q++)
                    result[(head * dv + i) * here + p] +=
                        logit[q] / sum *
                        project(n, value, value_bias, value_row + pair * dv + i, z, from->channels,
                                there, q);
        }
    }
    for (size_t o = 0; o < t->channels; o++)
        for (size_t p = 0; p < here; p++)
            y[o * here + p] = project(n, t->more[3], t->more[7], o, result, h * dv, here, p);
}

static double squash(double x)
{
    return 1 / (1 + exp(-x));
}

/* One step of one direction: h and c of `units`, from a column of x. */
static void step(const net *n, const net_node *t, size_t k, const double *x, size_t channels,
                 size_t positions, size_t at, size_t units, double *h, double *c)
{
    const size_t w = net_recurrent_param(t, k, 0), u = net_recurrent_param(t, k, 1);
    const size_t bw = net_recurrent_param(t, k, 2), bu = net_recurrent_param(t, k, 3);
    double a[4], b[4], next[16];
    for (size_t j = 0; j < units; j++) {
        const size_t gates = t->kind == MSKP_RECURRENT_LSTM  ? 4
                             : t->kind == MSKP_RECURRENT_GRU ? 3
                                                             : 1;
        for (size_t g = 0; g < gates; g++) {
            a[g] = project(n, w, bw, g * units + j, x, channels, positions, at);
            b[g] = project(n, u, bu, g * units + j, h, units, 1, 0);
        }
        if (t->kind == MSKP_RECURRENT_LSTM) {
            c[j] = squash(a[1] + b[1]) * c[j] + squash(a[0] + b[0]) * tanh(a[2] + b[2]);
            next[j] = squash(a[3] + b[3]) * tanh(c[j]);
        } else if (t->kind == MSKP_RECURRENT_GRU) {
            const double z = squash(a[1] + b[1]);
            next[j] = (1 - z) * tanh(a[2] + squash(a[0] + b[0]) * b[2]) + z * h[j];
        } else {
            next[j] = tanh(a[0] + b[0]);
        }
    }
    memcpy(h, next, units * sizeof *h);
}

static void recur(const net *n, const net_node *t, arena *mem, const double *x, double *y)
{
    const size_t positions = net_positions(t), directions = t->bidirectional ? 2 : 1;
    size_t channels = n->node[t->in[0]].channels;
    for (size_t layer = 0; layer < t->layers; layer++) {
        const size_t units = net_recurrent_units(n, t, layer);
        double *made = arena_get(mem, units * directions * positions, sizeof *made);
        for (size_t k = 0; k < directions; k++) {
            double h[16] = {0}, c[16] = {0};
            for (size_t p = 0; p < positions; p++) {
                const size_t at = k ? positions - 1 - p : p;
                step(n, t, layer * directions + k, x, channels, positions, at, units, h, c);
                for (size_t j = 0; j < units; j++) made[(k * units + j) * positions + at] = h[j];
            }
        }
        x = made;
        channels = units * directions;
    }
    memcpy(y, x, t->channels * positions * sizeof *y);
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

/* A function of all inputs, so that the removal of any channel would be noticed. */
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
        if (t->vanished) continue;
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
            if (t->norm_kind == MSKP_NORM_BATCH || t->norm[2] || t->norm[3])
                norm(n, t, x, y);
            else
                own_norm(n, t, x, y);
            break;
        case NET_TCONV:
            transposed(n, t, x, y);
            break;
        case NET_PRELU:
            for (size_t i = 0; i < t->channels * po; i++) {
                const net_param *w = &n->param[t->weight];
                y[i] = x[i] > 0 ? x[i] : x[i] * w->data[w->shape[0] > 1 ? i / po : 0];
            }
            break;
        case NET_TABLE:
            for (size_t i = 0; i < t->channels * po; i++) {
                const net_param *w = &n->param[t->weight];
                y[i] = w->data[i % po * 7 % w->shape[0] * t->channels + i / po];
            }
            break;
        case NET_PARAM:
            for (size_t i = 0; i < t->channels * po; i++) {
                const net_param *w = &n->param[t->weight];
                /* of the other axis, if there is one, the sum */
                size_t others = w->ndim > 1 ? w->shape[!t->axis] : 1;
                for (size_t o = 0; o < others; o++)
                    y[i] += w->ndim == 1 ? w->data[i / po]
                            : t->axis    ? w->data[o * t->channels + i / po]
                                         : w->data[i / po * others + o];
            }
            break;
        case NET_CHUNK:
            memcpy(y, x + t->first * t->channels * pi, t->channels * pi * sizeof *y);
            break;
        case NET_CHANNEL_SHUFFLE:
            for (size_t c = 0; c < t->channels; c++) {
                const size_t each = t->channels / t->groups, to = c % each * t->groups + c / each;
                memcpy(y + to * po, x + c * po, po * sizeof *y);
            }
            break;
        case NET_PIXEL_SHUFFLE:
        case NET_PIXEL_UNSHUFFLE:
            pixels(n, t, x, y);
            break;
        case NET_UNFLATTEN:
            for (size_t c = 0; c < t->channels; c++)
                for (size_t p = 0; p < po; p++)
                    y[c * po + p] = x[t->channels_last ? p * t->channels + c : c * po + p];
            break;
        case NET_RESHAPE:
            memcpy(y, x, t->channels * po * sizeof *y);
            break;
        case NET_STACK:
            stack(n, t, values, y);
            break;
        case NET_ATTENTION:
            attend(n, t, mem, values, y);
            break;
        case NET_RECURRENT:
            recur(n, t, mem, x, y);
            break;
        case NET_ACT:
            for (size_t i = 0; i < t->channels * po; i++) y[i] = function(t, x[i]);
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

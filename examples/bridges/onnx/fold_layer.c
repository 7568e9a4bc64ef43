/*
 * Operators on known numbers that networks have as layers: products of matrices, softmax, norms,
 * one-hot vectors, and the numbers behind quantized weights. The table at the end has a row for
 * each operator. Sums are in double precision; the result is then rounded to the type of the
 * output. Numbers that vary are not computed with.
 */
#include "fold_inner.h"

#include <math.h>
#include <string.h>

/* ---- lines ---- */

/* A tensor seen as lines along some axes that stand together: line l begins at element
 * l / after * length * after + l % after, and its elements are `after` apart. */
typedef struct lines {
    size_t count, length, after;
} lines;

static size_t part(const shape *s, size_t first, size_t last)
{
    size_t p = 1;
    for (size_t d = first; d < last; d++) p *= s->dim[d];
    return p;
}

/* Axes first .. last-1. */
static lines lines_of(const shape *s, size_t first, size_t last)
{
    const size_t after = part(s, last, s->rank);
    return (lines){part(s, 0, first) * after, part(s, first, last), after};
}

static size_t place(const lines *l, size_t line, size_t i)
{
    return (line / l->after * l->length + i) * l->after + line % l->after;
}

/* *out <- real numbers with the shape and type of the first operand. */
static bool new_real(const call *c, numbers *out)
{
    const numbers *in = c->in[0];
    return fold_is(in->type, REALS) && !fold_varies(in) &&
           fold_new(out, in->type, &in->shape, false);
}

/* ---- softmax ---- */

static bool run_softmax(const call *c)
{
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    const bool old = c->opset < 13, logarithm = !strcmp(c->op->name, "LogSoftmax");
    size_t axis = 0;
    if (!in->shape.rank || !fold_axis_of(c, old ? 1 : -1, in->shape.rank, &axis) ||
        !new_real(c, out))
        return false;
    const lines l = lines_of(&in->shape, axis, old ? in->shape.rank : axis + 1);
    for (size_t k = 0; in->count && k < l.count; k++) {
        double most = -(double)INFINITY, sum = 0;
        for (size_t i = 0; i < l.length; i++) most = fmax(most, in->real[place(&l, k, i)]);
        for (size_t i = 0; i < l.length; i++) sum += exp(in->real[place(&l, k, i)] - most);
        for (size_t i = 0; i < l.length; i++) {
            const double x = in->real[place(&l, k, i)] - most;
            out->real[place(&l, k, i)] =
                fold_round(out->type, logarithm ? x - log(sum) : exp(x) / sum);
        }
    }
    return true;
}

/* ---- norms ---- */

/* The number for element i of a line: of the vector, or of none. */
static double of_vector(const numbers *v, size_t i, double otherwise)
{
    return v && v->count ? v->real[i % v->count] : otherwise;
}

static bool is_vector(const numbers *v, size_t length)
{
    return !v || (v->real && !fold_varies(v) && v->count == length);
}

static void statistics(const numbers *in, const lines *l, size_t line, double *mean,
                       double *variance)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < l->length; i++) sum += in->real[place(l, line, i)];
    *mean = sum / (double)l->length;
    for (size_t i = 0; i < l->length; i++) {
        const double d = in->real[place(l, line, i)] - *mean;
        squares += d * d;
    }
    *variance = squares / (double)l->length;
}

/* LayerNormalization and RMSNormalization: over all axes from one on. */
static bool run_layer_norm(const call *c)
{
    const numbers *in = c->in[0], *scale = c->in[1], *shift = fold_input(c, 2);
    numbers *out = &c->out[0];
    const bool centred = !strcmp(c->op->name, "LayerNormalization");
    size_t axis = 0;
    double epsilon = 0;
    if (c->n_out != 1 || !fold_axis_of(c, -1, in->shape.rank, &axis) ||
        !fold_float(c, "epsilon", 1e-5f, &epsilon))
        return false;
    const lines l = lines_of(&in->shape, axis, in->shape.rank);
    if (!l.length || !is_vector(scale, l.length) || !is_vector(shift, l.length) ||
        !new_real(c, out))
        return false;
    for (size_t k = 0; k < l.count; k++) {
        double mean = 0, variance = 0;
        statistics(in, &l, k, &mean, &variance);
        if (!centred) variance += mean * mean, mean = 0;
        const double over = 1 / sqrt(variance + epsilon);
        for (size_t i = 0; i < l.length; i++) {
            const double x = (in->real[place(&l, k, i)] - mean) * over;
            out->real[place(&l, k, i)] =
                fold_round(out->type, x * of_vector(scale, i, 1) + of_vector(shift, i, 0));
        }
    }
    return true;
}

static bool run_instance_norm(const call *c)
{
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    double epsilon = 0;
    if (in->shape.rank < 3 || !fold_float(c, "epsilon", 1e-5f, &epsilon)) return false;
    const size_t channels = in->shape.dim[1];
    const lines l = lines_of(&in->shape, 2, in->shape.rank);
    if (!l.length || !is_vector(c->in[1], channels) || !is_vector(c->in[2], channels) ||
        !new_real(c, out))
        return false;
    for (size_t k = 0; k < l.count; k++) {
        double mean = 0, variance = 0;
        statistics(in, &l, k, &mean, &variance);
        for (size_t i = 0; i < l.length; i++)
            out->real[place(&l, k, i)] = fold_round(
                out->type, (in->real[place(&l, k, i)] - mean) / sqrt(variance + epsilon) *
                                   c->in[1]->real[k % channels] +
                               c->in[2]->real[k % channels]);
    }
    return true;
}

/* The mean and variance of channel k over the batch and all positions. */
static void batch_statistics(const numbers *in, size_t channels, size_t k, double *mean,
                             double *variance)
{
    const size_t each = part(&in->shape, 2, in->shape.rank), batch = in->shape.dim[0];
    double sum = 0, squares = 0;
    for (size_t i = 0; i < batch * each; i++)
        sum += in->real[(i / each * channels + k) * each + i % each];
    *mean = sum / (double)(batch * each);
    for (size_t i = 0; i < batch * each; i++) {
        const double d = in->real[(i / each * channels + k) * each + i % each] - *mean;
        squares += d * d;
    }
    *variance = squares / (double)(batch * each);
}

/* In training mode (networks that standardize their weights are exported so), the statistics are
 * those of the input, and the other outputs are the running ones. */
static bool run_batch_norm(const call *c)
{
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    double epsilon = 0, momentum = 0;
    bool training = false, spatial = true;
    if (in->shape.rank < 2 || !fold_float(c, "epsilon", 1e-5f, &epsilon) ||
        !fold_flag(c, "training_mode", false, &training) ||
        !fold_flag(c, "spatial", true, &spatial) || !fold_float(c, "momentum", 0.9f, &momentum) ||
        !spatial || (training && c->opset < 14) || c->n_out != (training ? 3 : 1))
        return false;
    const size_t channels = in->shape.dim[1], each = part(&in->shape, 2, in->shape.rank);
    for (size_t k = 1; k < 5; k++)
        if (!is_vector(c->in[k], channels)) return false;
    if (!in->count || !new_real(c, out)) return false;
    for (size_t k = 1; k < c->n_out; k++)
        if (!fold_copy(c->in[2 + k], &c->in[2 + k]->shape, &c->out[k])) return false;
    for (size_t k = 0; k < channels; k++) {
        double mean = c->in[3]->real[k], variance = c->in[4]->real[k];
        if (training) {
            const double old_mean = momentum * mean, old_variance = momentum * variance;
            batch_statistics(in, channels, k, &mean, &variance);
            c->out[1].real[k] = fold_round(out->type, old_mean + (1 - momentum) * mean);
            c->out[2].real[k] = fold_round(out->type, old_variance + (1 - momentum) * variance);
        }
        const double scale = c->in[1]->real[k] / sqrt(variance + epsilon);
        for (size_t i = 0; i < in->shape.dim[0] * each; i++) {
            const size_t at = (i / each * channels + k) * each + i % each;
            out->real[at] =
                fold_round(out->type, (in->real[at] - mean) * scale + c->in[2]->real[k]);
        }
    }
    return true;
}

static bool run_lp_norm(const call *c)
{
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    int64_t p = 2;
    size_t axis = 0;
    if (!fold_int(c, "p", 2, &p) || (p != 1 && p != 2) ||
        !fold_axis_of(c, -1, in->shape.rank, &axis) || !new_real(c, out))
        return false;
    const lines l = lines_of(&in->shape, axis, axis + 1);
    for (size_t k = 0; in->count && k < l.count; k++) {
        double sum = 0;
        for (size_t i = 0; i < l.length; i++) {
            const double x = in->real[place(&l, k, i)];
            sum += p == 1 ? fabs(x) : x * x;
        }
        if (p == 2) sum = sqrt(sum);
        for (size_t i = 0; i < l.length; i++)
            out->real[place(&l, k, i)] =
                sum > 0 ? fold_round(out->type, in->real[place(&l, k, i)] / sum) : 0;
    }
    return true;
}

/* ---- products ---- */

typedef struct matrix {
    const double *at;
    size_t rows, columns, row, column; /* sizes, and steps from one to the next */
} matrix;

/* to[rows of a][columns of b] <- a b */
static void multiply(const matrix *a, const matrix *b, double *to)
{
    for (size_t i = 0; i < a->rows; i++)
        for (size_t j = 0; j < b->columns; j++) {
            double sum = 0;
            for (size_t k = 0; k < a->columns; k++)
                sum += a->at[i * a->row + k * a->column] * b->at[k * b->row + j * b->column];
            to[i * b->columns + j] = sum;
        }
}

static bool may_multiply(const call *c)
{
    const numbers *a = c->in[0], *b = c->in[1];
    return a->real && b->real && a->type == b->type && !fold_varies(a) && !fold_varies(b);
}

/* More multiplications take too long to be worth it. */
enum { MOST_PRODUCTS = 1 << 30 };

static bool run_matmul(const call *c)
{
    const numbers *a = c->in[0], *b = c->in[1];
    numbers *out = &c->out[0];
    if (!may_multiply(c) || a->shape.rank < 2 || b->shape.rank < 2) return false;
    const size_t ra = a->shape.rank - 2, rb = b->shape.rank - 2;
    const size_t m = a->shape.dim[ra], k = a->shape.dim[ra + 1], w = b->shape.dim[rb + 1];
    shape sa = {.rank = ra}, sb = {.rank = rb}, s;
    memcpy(sa.dim, a->shape.dim, ra * sizeof *sa.dim);
    memcpy(sb.dim, b->shape.dim, rb * sizeof *sb.dim);
    if (b->shape.dim[rb] != k || !shape_broadcast(&sa, &sb, &s) || s.rank + 2 > MAX_RANK)
        return false;
    walk wa = {.over = s}, wb = {.over = s};
    ptrdiff_t stride[MAX_RANK];
    fold_strides(&sa, stride);
    for (size_t d = 0; d < ra; d++)
        if (sa.dim[d] != 1) wa.stride[s.rank - ra + d] = stride[d];
    fold_strides(&sb, stride);
    for (size_t d = 0; d < rb; d++)
        if (sb.dim[d] != 1) wb.stride[s.rank - rb + d] = stride[d];
    const size_t batch = shape_count(&s);
    s.dim[s.rank++] = m;
    s.dim[s.rank++] = w;
    const size_t all = shape_count(&s);
    if ((k && all > MOST_PRODUCTS / k) || !fold_new(out, a->type, &s, false)) return false;
    for (size_t i = 0; out->count && i < batch; i++, walk_next(&wa), walk_next(&wb)) {
        const matrix x = {a->real + (size_t)wa.offset * m * k, m, k, k, 1};
        const matrix y = {b->real + (size_t)wb.offset * k * w, k, w, w, 1};
        multiply(&x, &y, out->real + i * m * w);
    }
    for (size_t i = 0; i < out->count; i++) out->real[i] = fold_round(out->type, out->real[i]);
    return true;
}

static matrix turned(const numbers *n, bool turn)
{
    const size_t rows = n->shape.dim[0], columns = n->shape.dim[1];
    return turn ? (matrix){n->real, columns, rows, 1, columns}
                : (matrix){n->real, rows, columns, columns, 1};
}

static bool run_gemm(const call *c)
{
    const numbers *bias = fold_input(c, 2);
    numbers *out = &c->out[0], wide = {0};
    bool ta = false, tb = false;
    double alpha = 1, beta = 1;
    if (!may_multiply(c) || c->in[0]->shape.rank != 2 || c->in[1]->shape.rank != 2 ||
        !fold_flag(c, "transA", false, &ta) || !fold_flag(c, "transB", false, &tb) ||
        !fold_float(c, "alpha", 1, &alpha) || !fold_float(c, "beta", 1, &beta))
        return false;
    const matrix a = turned(c->in[0], ta), b = turned(c->in[1], tb);
    const shape s = {2, {a.rows, b.columns}};
    const size_t all = shape_count(&s);
    if (a.columns != b.rows || (a.columns && all > MOST_PRODUCTS / a.columns)) return false;
    if (bias &&
        (bias->type != c->in[0]->type || fold_varies(bias) || !fold_broadcast(bias, &s, &wide)))
        return false;
    const bool good = fold_new(out, c->in[0]->type, &s, false);
    if (good) multiply(&a, &b, out->real);
    for (size_t i = 0; good && i < out->count; i++)
        out->real[i] =
            fold_round(out->type, alpha * out->real[i] + (wide.real ? beta * wide.real[i] : 0));
    numbers_free(&wide);
    return good;
}

/* ---- others ---- */

static bool run_one_hot(const call *c)
{
    const numbers *in = c->in[0], *depth = c->in[1], *values = c->in[2];
    numbers *out = &c->out[0];
    shape s = in->shape;
    size_t axis = 0;
    int64_t given = -1;
    if (!in->whole || fold_varies(in) || fold_varies(depth) || fold_varies(values) ||
        !depth->whole || depth->count != 1 || depth->whole[0] < 1 || values->count != 2 ||
        s.rank == MAX_RANK || !fold_int(c, "axis", -1, &given) ||
        !fold_axis(given, s.rank + 1, &axis))
        return false;
    memmove(s.dim + axis + 1, s.dim + axis, (s.rank - axis) * sizeof *s.dim);
    s.dim[axis] = (size_t)depth->whole[0];
    s.rank++;
    if (!fold_new(out, values->type, &s, false)) return false;
    const lines l = lines_of(&s, axis, axis + 1);
    for (size_t k = 0; k < in->count; k++) {
        if (c->opset < 11 && in->whole[k] < 0) return false;
        const int64_t n = depth->whole[0], at = in->whole[k] < 0 ? in->whole[k] + n : in->whole[k];
        for (size_t i = 0; i < l.length; i++)
            fold_put(out, place(&l, k, i), values, (int64_t)i == at);
    }
    return true;
}

/* (x - zero point) scale, with one pair for all, or one for each index of an axis. Scales of blocks
 * are not supported. */
static bool run_dequantize(const call *c)
{
    const numbers *in = c->in[0], *scale = c->in[1], *zero = fold_input(c, 2);
    numbers *out = &c->out[0];
    size_t axis = 0;
    int64_t block = 0;
    if (!in->whole || !scale->real || fold_varies(scale) || fold_varies(in) ||
        (zero && (!zero->whole || zero->count != scale->count || zero->type != in->type)) ||
        !fold_int(c, "block_size", 0, &block) || block || node_attribute(c->node, "output_dtype"))
        return false;
    if (scale->count > 1 &&
        (scale->shape.rank != 1 || c->opset < 13 || !fold_axis_of(c, 1, in->shape.rank, &axis) ||
         in->shape.dim[axis] != scale->count))
        return false;
    if (scale->count < 1 || !fold_new(out, scale->type, &in->shape, false)) return false;
    const size_t after = scale->count > 1 ? part(&in->shape, axis + 1, in->shape.rank) : 1;
    for (size_t i = 0; i < in->count; i++) {
        const size_t k = i / after % scale->count;
        const double x = (double)in->whole[i] - (zero ? (double)zero->whole[k] : 0);
        out->real[i] = fold_round(out->type, x * scale->real[k]);
    }
    return true;
}

static const fold_operator operators[] = {
    {"BatchNormalization", 5, 5, .run = run_batch_norm},
    {"Conv", 2, 3, .run = fold_run_conv},
    {"DequantizeLinear", 2, 3, .run = run_dequantize},
    {"Gemm", 2, 3, .run = run_gemm},
    {"InstanceNormalization", 3, 3, .run = run_instance_norm},
    {"LayerNormalization", 2, 3, .run = run_layer_norm},
    {"LogSoftmax", 1, 1, .run = run_softmax},
    {"LpNormalization", 1, 1, .run = run_lp_norm},
    {"MatMul", 2, 2, .run = run_matmul},
    {"OneHot", 3, 3, .run = run_one_hot},
    {"RMSNormalization", 2, 2, .run = run_layer_norm},
    {"Softmax", 1, 1, .run = run_softmax},
};

const fold_operator *fold_layer(const char *name)
{
    return fold_find(operators, sizeof operators / sizeof operators[0], name);
}

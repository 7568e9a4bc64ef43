/*
 * A convolution of known numbers: tables of places, which some networks project by a convolution of
 * kernel length 1. Sums are in double precision; the result is then rounded to the type of the
 * output.
 */
#include "fold_inner.h"
#include "net.h"

/* More multiplications take too long to be worth it. */
enum { MOST_PRODUCTS = 1 << 30 };

typedef struct convolution {
    const numbers *x, *w, *bias; /* bias may be NULL */
    window window;
    size_t channels, group_in, group_out; /* of x; of x and of the result in each group */
    size_t in, kernel, out;               /* positions of an image, a filter, a result */
} convolution;

/* *to <- the position in the image that the kernel's position k meets for the result's position o.
 * False: it lies in the padding. */
static bool meets(const convolution *v, size_t o, size_t k, size_t *to)
{
    const window *w = &v->window;
    size_t step = 1;
    *to = 0;
    for (size_t d = w->axes; d-- > 0;) {
        const size_t length = v->x->shape.dim[2 + d];
        const size_t at = o % w->out[d] * w->stride[d] + k % w->size[d] * w->dilation[d];
        if (at < w->before[d] || at - w->before[d] >= length) return false;
        *to += (at - w->before[d]) * step;
        step *= length;
        o /= w->out[d];
        k /= w->size[d];
    }
    return true;
}

/* The number of filter m at position o, for image i. */
static double number_at(const convolution *v, size_t i, size_t m, size_t o)
{
    const size_t first = m / v->group_out * v->group_in;
    const double *image = v->x->real + (i * v->channels + first) * v->in;
    const double *filter = v->w->real + m * v->group_in * v->kernel;
    double sum = v->bias ? v->bias->real[m] : 0;
    for (size_t k = 0; k < v->kernel; k++) {
        size_t at;
        if (!meets(v, o, k, &at)) continue;
        for (size_t c = 0; c < v->group_in; c++)
            sum += image[c * v->in + at] * filter[c * v->kernel + k];
    }
    return sum;
}

static bool is_plain(const numbers *n, const numbers *x)
{
    return n->real && n->type == x->type && !fold_varies(n);
}

static bool fits(convolution *v, const call *c, size_t *filters)
{
    const shape *x = &v->x->shape, *w = &v->w->shape;
    int64_t groups = 1;
    dims in = {.rank = x->rank};
    if (x->rank < 3 || x->rank > 2 + MSKP_MAX_SPATIAL || w->rank != x->rank ||
        !fold_int(c, "group", 1, &groups) || groups < 1)
        return false;
    for (size_t d = 0; d < x->rank; d++) in.dim[d] = x->dim[d];
    *filters = w->dim[0];
    v->channels = x->dim[1];
    v->group_in = w->dim[1];
    v->group_out = *filters / (size_t)groups;
    if (!v->group_out || *filters % (size_t)groups || v->group_in * (size_t)groups != v->channels)
        return false;
    if (v->bias && (v->bias->shape.rank != 1 || v->bias->count != *filters)) return false;
    if (!node_window(c->node, &in, w->dim + 2, &v->window)) return false;
    v->in = v->kernel = v->out = 1;
    for (size_t d = 0; d < v->window.axes; d++) {
        v->in *= x->dim[2 + d];
        v->kernel *= v->window.size[d];
        v->out *= v->window.out[d];
    }
    return v->in && v->kernel && v->out;
}

bool fold_run_conv(const call *c)
{
    convolution v = {.x = c->in[0], .w = c->in[1], .bias = fold_input(c, 2)};
    numbers *out = &c->out[0];
    size_t filters;
    if (!is_plain(v.x, v.x) || !is_plain(v.w, v.x) || (v.bias && !is_plain(v.bias, v.x)) ||
        !fits(&v, c, &filters))
        return false;
    shape s = {.rank = v.x->shape.rank, .dim = {v.x->shape.dim[0], filters}};
    for (size_t d = 0; d < v.window.axes; d++) s.dim[2 + d] = v.window.out[d];
    const size_t all = shape_count(&s), each = v.kernel * v.group_in;
    if (all > MOST_PRODUCTS / each || !fold_new(out, v.x->type, &s, false)) return false;
    for (size_t i = 0; i < out->count; i++)
        out->real[i] = fold_round(
            out->type, number_at(&v, i / (filters * v.out), i / v.out % filters, i % v.out));
    return true;
}

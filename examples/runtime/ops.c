/* The layers without parameters, on one slice. */
#include "internal.h"

#include <math.h>
#include <string.h>

static size_t elements(cn_view v)
{
    return v.height * v.width * v.images;
}

void cn_input_forward(const cn_real *images, cn_view y)
{
    const size_t pixels = y.height * y.width;
    for (size_t c = 0; c < y.channels; c++)
        for (size_t i = 0; i < y.images; i++) {
            const cn_real *from = images + (i * y.channels + c) * pixels;
            cn_real *to = y.data + c * y.plane + i;
            for (size_t p = 0; p < pixels; p++) to[p * y.images] = from[p];
        }
}

void cn_relu_forward(cn_view x, cn_view y)
{
    for (size_t c = 0; c < x.channels; c++) {
        const cn_real *from = x.data + c * x.plane;
        cn_real *to = y.data + c * y.plane;
        for (size_t i = 0; i < elements(x); i++) to[i] = from[i] > 0 ? from[i] : 0;
    }
}

void cn_relu_backward(cn_view y, cn_view dy, cn_view dx, bool add)
{
    for (size_t c = 0; c < y.channels; c++) {
        const cn_real *result = y.data + c * y.plane, *from = dy.data + c * dy.plane;
        cn_real *to = dx.data + c * dx.plane;
        for (size_t i = 0; i < elements(y); i++) {
            const cn_real g = from[i],
                          base = add ? to[i] : 0; /* loaded in any case: no branch, so vectors */
            to[i] = base + (result[i] > 0 ? g : 0);
        }
    }
}

void cn_add_forward(cn_view a, cn_view b, cn_view y)
{
    for (size_t c = 0; c < y.channels; c++) {
        const cn_real *p = a.data + c * a.plane, *q = b.data + c * b.plane;
        cn_real *to = y.data + c * y.plane;
        for (size_t i = 0; i < elements(y); i++) to[i] = p[i] + q[i];
    }
}

void cn_scale_forward(const cn_layer *layer, cn_view x, cn_view y)
{
    const cn_real factor = (cn_real)layer->factor;
    for (size_t c = 0; c < y.channels; c++) {
        const cn_real *from = x.data + c * x.plane;
        cn_real *to = y.data + c * y.plane;
        for (size_t i = 0; i < elements(y); i++) to[i] = factor * from[i];
    }
}

void cn_scale_backward(const cn_layer *layer, cn_view dy, cn_view dx, bool add)
{
    const cn_real factor = (cn_real)layer->factor;
    for (size_t c = 0; c < dx.channels; c++) {
        const cn_real *from = dy.data + c * dy.plane;
        cn_real *to = dx.data + c * dx.plane;
        for (size_t i = 0; i < elements(dx); i++) to[i] = (add ? to[i] : 0) + factor * from[i];
    }
}

void cn_sigmoid_forward(cn_view x, cn_view y)
{
    for (size_t c = 0; c < y.channels; c++) {
        const cn_real *from = x.data + c * x.plane;
        cn_real *to = y.data + c * y.plane;
        for (size_t i = 0; i < elements(y); i++) to[i] = (cn_real)(1 / (1 + exp(-(double)from[i])));
    }
}

void cn_sigmoid_backward(cn_view y, cn_view dy, cn_view dx, bool add)
{
    for (size_t c = 0; c < dx.channels; c++) {
        const cn_real *result = y.data + c * y.plane, *from = dy.data + c * dy.plane;
        cn_real *to = dx.data + c * dx.plane;
        for (size_t i = 0; i < elements(dx); i++)
            to[i] = (add ? to[i] : 0) + from[i] * result[i] * (1 - result[i]);
    }
}

void cn_shift_forward(cn_view x, cn_view y, const cn_real *shift)
{
    for (size_t c = 0; c < y.channels; c++) {
        const cn_real *from = x.data + c * x.plane;
        cn_real *to = y.data + c * y.plane;
        for (size_t i = 0; i < elements(y); i++) to[i] = from[i] + shift[c];
    }
}

void cn_shift_backward(cn_view dy, cn_real *dshift)
{
    for (size_t c = 0; c < dy.channels; c++) {
        double sum = 0;
        for (size_t i = 0; i < elements(dy); i++) sum += (double)dy.data[c * dy.plane + i];
        dshift[c] += (cn_real)sum;
    }
}

void cn_copy(cn_view from, cn_view to, bool add)
{
    for (size_t c = 0; c < from.channels; c++) {
        const cn_real *p = from.data + c * from.plane;
        cn_real *q = to.data + c * to.plane;
        if (add)
            for (size_t i = 0; i < elements(from); i++) q[i] += p[i];
        else
            memmove(q, p, elements(from) * sizeof *p);
    }
}

cn_view cn_channels(cn_view v, size_t first, size_t count)
{
    v.data += first * v.plane;
    v.channels = count;
    return v;
}

void cn_pad_forward(const cn_layer *layer, cn_view x, cn_view y)
{
    for (size_t c = 0; c < y.channels; c++) {
        cn_real *to = y.data + c * y.plane;
        if (c < layer->before || c >= layer->before + x.channels)
            memset(to, 0, elements(y) * sizeof *to);
        else
            memcpy(to, x.data + (c - layer->before) * x.plane, elements(y) * sizeof *to);
    }
}

void cn_pad_backward(const cn_layer *layer, cn_view dy, cn_view dx, bool add)
{
    cn_copy(cn_channels(dy, layer->before, dx.channels), dx, add);
}

/* The input pixels [*first, *end) that output pixel `at` looks at, along one axis. */
static void window(const cn_layer *layer, size_t axis, size_t at, size_t in, size_t *first,
                   size_t *end)
{
    const size_t begin = at * layer->stride[axis], pad = layer->pad[axis];
    *first = begin > pad ? begin - pad : 0;
    *end = begin + layer->size[axis] > pad ? begin + layer->size[axis] - pad : 0;
    if (*end > in) *end = in;
    if (*first > *end) *first = *end;
}

void cn_pool_forward(const cn_layer *layer, cn_view x, cn_view y)
{
    const bool max = layer->kind == CN_POOL_MAX;
    const size_t m = x.images;
    for (size_t c = 0; c < y.channels; c++)
        for (size_t oy = 0; oy < y.height; oy++)
            for (size_t ox = 0; ox < y.width; ox++) {
                cn_real *to = cn_row(y, c, oy) + ox * m;
                size_t y0, y1, x0, x1;
                window(layer, 0, oy, x.height, &y0, &y1);
                window(layer, 1, ox, x.width, &x0, &x1);
                const cn_real share = 1 / (cn_real)((y1 - y0) * (x1 - x0));
                for (size_t iy = y0; iy < y1; iy++)
                    for (size_t ix = x0; ix < x1; ix++) {
                        const cn_real *from = cn_row(x, c, iy) + ix * m;
                        if (iy == y0 && ix == x0)
                            memcpy(to, from, m * sizeof *to);
                        else if (max)
                            for (size_t i = 0; i < m; i++)
                                to[i] = from[i] > to[i] ? from[i] : to[i];
                        else
                            for (size_t i = 0; i < m; i++) to[i] += from[i];
                    }
                if (!max)
                    for (size_t i = 0; i < m; i++) to[i] *= share;
            }
}

void cn_pool_backward(const cn_layer *layer, cn_view x, cn_view y, cn_view dy, cn_view dx, bool add)
{
    const bool max = layer->kind == CN_POOL_MAX;
    const size_t m = dx.images;
    for (size_t c = 0; c < dy.channels; c++) {
        if (!add) memset(dx.data + c * dx.plane, 0, elements(dx) * sizeof *dx.data);
        for (size_t oy = 0; oy < dy.height; oy++)
            for (size_t ox = 0; ox < dy.width; ox++) {
                const cn_real *from = cn_row(dy, c, oy) + ox * m;
                size_t y0, y1, x0, x1;
                window(layer, 0, oy, dx.height, &y0, &y1);
                window(layer, 1, ox, dx.width, &x0, &x1);
                const cn_real share = 1 / (cn_real)((y1 - y0) * (x1 - x0));
                cn_real left[CN_SLICE]; /* the first of equal greatest ones gets it: no branch */
                memcpy(left, from, m * sizeof *left);
                for (size_t iy = y0; iy < y1; iy++)
                    for (size_t ix = x0; ix < x1; ix++) {
                        cn_real *to = cn_row(dx, c, iy) + ix * m;
                        if (!max) {
                            for (size_t i = 0; i < m; i++) to[i] += from[i] * share;
                            continue;
                        }
                        const cn_real *seen = cn_row(x, c, iy) + ix * m,
                                      *best = cn_row(y, c, oy) + ox * m;
                        for (size_t i = 0; i < m; i++) {
                            const bool greatest = seen[i] >= best[i];
                            to[i] += greatest ? left[i] : 0;
                            left[i] = greatest ? 0 : left[i];
                        }
                    }
            }
    }
}

void cn_global_forward(cn_view x, cn_view y)
{
    const size_t pixels = x.height * x.width, m = x.images;
    for (size_t c = 0; c < x.channels; c++) {
        const cn_real *from = x.data + c * x.plane;
        cn_real *to = y.data + c * y.plane;
        memcpy(to, from, m * sizeof *to);
        for (size_t p = 1; p < pixels; p++)
            for (size_t i = 0; i < m; i++) to[i] += from[p * m + i];
        for (size_t i = 0; i < m; i++) to[i] /= (cn_real)pixels;
    }
}

void cn_global_backward(cn_view dy, cn_view dx, bool add)
{
    const size_t pixels = dx.height * dx.width, m = dx.images;
    for (size_t c = 0; c < dx.channels; c++) {
        const cn_real *from = dy.data + c * dy.plane;
        cn_real *to = dx.data + c * dx.plane;
        for (size_t p = 0; p < pixels; p++)
            for (size_t i = 0; i < m; i++)
                to[p * m + i] = (add ? to[p * m + i] : 0) + from[i] / (cn_real)pixels;
    }
}

void cn_upsample_forward(const cn_layer *layer, cn_view x, cn_view y)
{
    const size_t m = x.images;
    for (size_t c = 0; c < y.channels; c++)
        for (size_t oy = 0; oy < y.height; oy++)
            for (size_t ox = 0; ox < y.width; ox++)
                memcpy(cn_row(y, c, oy) + ox * m,
                       cn_row(x, c, oy / layer->size[0]) + ox / layer->size[1] * m,
                       m * sizeof *y.data);
}

void cn_upsample_backward(const cn_layer *layer, cn_view dy, cn_view dx, bool add)
{
    const size_t m = dx.images;
    for (size_t c = 0; c < dy.channels; c++) {
        if (!add) memset(dx.data + c * dx.plane, 0, elements(dx) * sizeof *dx.data);
        for (size_t oy = 0; oy < dy.height; oy++)
            for (size_t ox = 0; ox < dy.width; ox++) {
                const cn_real *from = cn_row(dy, c, oy) + ox * m;
                cn_real *to = cn_row(dx, c, oy / layer->size[0]) + ox / layer->size[1] * m;
                for (size_t i = 0; i < m; i++) to[i] += from[i];
            }
    }
}

/* The length of each image's vector, or 1e-12 (PyTorch's least) if that is greater. */
static void lengths(cn_view x, double length[CN_SLICE])
{
    for (size_t i = 0; i < x.images; i++) {
        double sum = 0;
        for (size_t c = 0; c < x.channels; c++) {
            const double number = (double)x.data[c * x.plane + i];
            sum += number * number;
        }
        length[i] = fmax(sqrt(sum), 1e-12);
    }
}

void cn_normalize_forward(cn_view x, cn_view y)
{
    double length[CN_SLICE];
    lengths(x, length);
    for (size_t c = 0; c < y.channels; c++)
        for (size_t i = 0; i < y.images; i++)
            y.data[c * y.plane + i] = (cn_real)((double)x.data[c * x.plane + i] / length[i]);
}

/* dx = (dy - y * sum(y * dy)) / length, with y = x / length; the least length is a constant, whose
 * sum is left out. */
void cn_normalize_backward(cn_view x, cn_view dy, cn_view dx, bool add)
{
    double length[CN_SLICE], along[CN_SLICE] = {0};
    lengths(x, length);
    for (size_t i = 0; i < x.images; i++) {
        for (size_t c = 0; c < x.channels; c++)
            along[i] += (double)x.data[c * x.plane + i] * (double)dy.data[c * dy.plane + i];
        along[i] = length[i] > 1e-12 ? along[i] / (length[i] * length[i]) : 0;
    }
    for (size_t c = 0; c < dx.channels; c++)
        for (size_t i = 0; i < x.images; i++) {
            cn_real *to = &dx.data[c * dx.plane + i];
            const double gradient =
                ((double)dy.data[c * dy.plane + i] - (double)x.data[c * x.plane + i] * along[i]) /
                length[i];
            *to = (add ? *to : 0) + (cn_real)gradient;
        }
}

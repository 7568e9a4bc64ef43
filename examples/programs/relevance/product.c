/*
 * A convolution of one image as a product of matrices, in double precision. The image is unfolded:
 * row (channel, kernel element) of the columns holds, for each position of the result, the element
 * of the image that the kernel element meets there. A linear layer is a convolution of size 1.
 */
#include "lrp.h"

#include <cblas.h>
#include <string.h>

static size_t kernel_size(const cn_layer *conv, size_t axis)
{
    return conv->size[axis] ? conv->size[axis] : 1;
}

size_t product_rows(const cn_layer *in, const cn_layer *conv)
{
    return in->channels * kernel_size(conv, 0) * kernel_size(conv, 1);
}

/* Along one axis, position `at` of the result meets input element *from with kernel element k.
 * False: in the padding. */
static bool meets(const cn_layer *conv, size_t axis, size_t at, size_t k, size_t length,
                  size_t *from)
{
    const size_t place = at * (conv->stride[axis] ? conv->stride[axis] : 1) + k;
    *from = place - conv->pad[axis];
    return place >= conv->pad[axis] && *from < length;
}

/* Calls for each row of columns and each row of the result: columns[0..width) and the elements
 * x[from(ox)] that they stand for. fold: x += columns instead of columns <- x. */
static void each_row(const cn_layer *in, const cn_layer *conv, bool fold, double *x,
                     double *columns)
{
    const size_t tall = kernel_size(conv, 0), wide = kernel_size(conv, 1);
    const size_t positions = conv->height * conv->width;
    for (size_t row = 0; row < product_rows(in, conv); row++) {
        const size_t ky = row / wide % tall, kx = row % wide;
        double *plane = x + row / (tall * wide) * in->height * in->width;
        for (size_t oy = 0; oy < conv->height; oy++) {
            double *line = columns + row * positions + oy * conv->width;
            size_t iy, ix;
            const bool inside = meets(conv, 0, oy, ky, in->height, &iy);
            for (size_t ox = 0; ox < conv->width; ox++) {
                const bool here = inside && meets(conv, 1, ox, kx, in->width, &ix);
                if (!fold)
                    line[ox] = here ? plane[iy * in->width + ix] : 0;
                else if (here)
                    plane[iy * in->width + ix] += line[ox];
            }
        }
    }
}

void product_unfold(const cn_layer *in, const cn_layer *conv, const double *x, double *columns)
{
    each_row(in, conv, false, (double *)(uintptr_t)x, columns); /* which then only reads x */
}

void product_fold(const cn_layer *in, const cn_layer *conv, const double *columns, double *x)
{
    memset(x, 0, in->channels * in->height * in->width * sizeof *x);
    each_row(in, conv, true, x, (double *)(uintptr_t)columns); /* which then only reads columns */
}

void product_forward(const cn_layer *in, const cn_layer *conv, const double *weight,
                     const double *columns, double *y)
{
    const int out = (int)conv->channels, rows = (int)product_rows(in, conv),
              positions = (int)(conv->height * conv->width);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, out, positions, rows, 1, weight, rows,
                columns, positions, 1, y, positions);
}

void product_backward(const cn_layer *in, const cn_layer *conv, const double *weight,
                      const double *y, double *columns)
{
    const int out = (int)conv->channels, rows = (int)product_rows(in, conv),
              positions = (int)(conv->height * conv->width);
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows, positions, out, 1, weight, rows, y,
                positions, 0, columns, positions);
}

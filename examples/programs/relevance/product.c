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

/* One element of the columns: in row (channel, ky, kx), for position (oy, ox). *place <- where it
 * lies in x; false: in the padding. */
static bool find(const cn_layer *in, const cn_layer *conv, size_t row, size_t position,
                 size_t *place)
{
    const size_t tall = kernel_size(conv, 0), wide = kernel_size(conv, 1);
    size_t y, x;
    if (!meets(conv, 0, position / conv->width, row / wide % tall, in->height, &y) ||
        !meets(conv, 1, position % conv->width, row % wide, in->width, &x))
        return false;
    *place = (row / (tall * wide) * in->height + y) * in->width + x;
    return true;
}

void product_unfold(const cn_layer *in, const cn_layer *conv, const double *x, double *columns)
{
    const size_t positions = conv->height * conv->width;
    size_t place;
    for (size_t row = 0; row < product_rows(in, conv); row++)
        for (size_t k = 0; k < positions; k++)
            *columns++ = find(in, conv, row, k, &place) ? x[place] : 0;
}

void product_fold(const cn_layer *in, const cn_layer *conv, const double *columns, double *x)
{
    const size_t positions = conv->height * conv->width;
    size_t place;
    memset(x, 0, in->channels * in->height * in->width * sizeof *x);
    for (size_t row = 0; row < product_rows(in, conv); row++)
        for (size_t k = 0; k < positions; k++, columns++)
            if (find(in, conv, row, k, &place)) x[place] += *columns;
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

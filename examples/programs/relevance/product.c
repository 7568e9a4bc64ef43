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

/* Row (channel, ky, kx) of the columns meets one row of the image for each row oy of the result.
 * *begin <- where that row lies in x; false: in the padding. */
static bool find_row(const cn_layer *in, const cn_layer *conv, size_t row, size_t oy, size_t *begin)
{
    const size_t tall = kernel_size(conv, 0), wide = kernel_size(conv, 1);
    size_t y;
    if (!meets(conv, 0, oy, row / wide % tall, in->height, &y)) return false;
    *begin = (row / (tall * wide) * in->height + y) * in->width;
    return true;
}

void product_unfold(const cn_layer *in, const cn_layer *conv, const double *x, double *columns)
{
    const size_t rows = product_rows(in, conv);
    size_t begin, place;
    for (size_t row = 0; row < rows; row++)
        for (size_t oy = 0; oy < conv->height; oy++) {
            const bool inside = find_row(in, conv, row, oy, &begin);
            const size_t kx = row % kernel_size(conv, 1);
            for (size_t ox = 0; ox < conv->width; ox++)
                *columns++ =
                    inside && meets(conv, 1, ox, kx, in->width, &place) ? x[begin + place] : 0;
        }
}

void product_fold(const cn_layer *in, const cn_layer *conv, const double *columns, double *x)
{
    const size_t rows = product_rows(in, conv);
    size_t begin, place;
    memset(x, 0, in->channels * in->height * in->width * sizeof *x);
    for (size_t row = 0; row < rows; row++)
        for (size_t oy = 0; oy < conv->height; oy++, columns += conv->width) {
            const size_t kx = row % kernel_size(conv, 1);
            if (!find_row(in, conv, row, oy, &begin)) continue;
            for (size_t ox = 0; ox < conv->width; ox++)
                if (meets(conv, 1, ox, kx, in->width, &place)) x[begin + place] += columns[ox];
        }
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

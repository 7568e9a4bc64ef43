/*
 * Convolution (and the linear layer, a convolution of size 1 over one pixel) as matrix products
 * without im2col.
 *
 * In [channels][height][width][images], for one output row y and one kernel element (ky, kx), the
 * output pixels that this element reaches inside the image form one contiguous run per channel, and
 * so do the input pixels that it reads:
 *
 *     Y[out][run] += W[ky][kx][out][in] * X[in][run shifted]            forward
 *     dX[in][run shifted] += W^T[in][out] * dY[out][run]                gradient of the input
 *     dW[ky][kx][out][in] += dY[out][run] * X^T[run shifted][in]        gradient of the weights
 *
 * Padding costs nothing: what lies outside is left out. With a stride, pixels are first sorted by
 * their remainder (a small image per remainder, "phase"), in which the runs are contiguous again.
 */
#include "internal.h"

#include <cblas.h>
#include <string.h>

#ifdef CN_DOUBLE
#define GEMM cblas_dgemm
#else
#define GEMM cblas_sgemm
#endif

/* What one kernel element reads along one axis: output o <- input phase[o + shift], for o in
 * [first, end). */
typedef struct tap {
    size_t phase, first, end;
    ptrdiff_t shift;
} tap;

static tap make_tap(size_t k, size_t in, size_t out, size_t stride, size_t pad)
{
    /* input = output * stride + k - pad = (output + shift) * stride + phase */
    const ptrdiff_t s = (ptrdiff_t)stride, offset = (ptrdiff_t)k - (ptrdiff_t)pad;
    const ptrdiff_t phase = ((offset % s) + s) % s, shift = (offset - phase) / s;
    const ptrdiff_t here =
        (ptrdiff_t)in > phase ? ((ptrdiff_t)in - phase + s - 1) / s : 0; /* pixels of this phase */
    ptrdiff_t first = shift < 0 ? -shift : 0, end = here - shift;
    if (end > (ptrdiff_t)out) end = (ptrdiff_t)out;
    if (first > end) first = end = 0;
    return (tap){(size_t)phase, (size_t)first, (size_t)end, shift};
}

/* The image as the products see it: stride x stride phase images per channel. Stride 1: the image
 * itself. */
typedef struct phases {
    cn_real *data;
    size_t rows, columns; /* of the largest phase image */
    size_t sy, sx, images, plane;
} phases;

static phases make_phases(const cn_layer *layer, cn_view v, cn_real *work)
{
    phases p = {.data = v.data,
                .rows = v.height,
                .columns = v.width,
                .sy = 1,
                .sx = 1,
                .images = v.images,
                .plane = v.plane};
    if (layer->stride[0] > 1 || layer->stride[1] > 1) {
        p.sy = layer->stride[0];
        p.sx = layer->stride[1];
        p.data = work;
        p.rows = (v.height + p.sy - 1) / p.sy;
        p.columns = (v.width + p.sx - 1) / p.sx;
        p.plane = cn_plane(p.sy * p.rows * p.sx, p.columns, v.images);
    }
    return p;
}

static cn_real *phase_row(const phases *p, size_t py, size_t y, size_t px)
{
    return p->data + ((py * p->rows + y) * p->sx + px) * p->columns * p->images;
}

/* Sorts the pixels of v into phases. */
static void split(cn_view v, const phases *p)
{
    for (size_t c = 0; c < v.channels; c++)
        for (size_t y = 0; y < v.height; y++) {
            const cn_real *from = cn_row(v, c, y);
            for (size_t x = 0; x < v.width; x++, from += v.images)
                memcpy(phase_row(p, y % p->sy, y / p->sy, x % p->sx) + c * p->plane +
                           x / p->sx * v.images,
                       from, v.images * sizeof *from);
        }
}

/* The way back. */
static void merge(const phases *p, cn_view v, bool add)
{
    for (size_t c = 0; c < v.channels; c++)
        for (size_t y = 0; y < v.height; y++) {
            cn_real *to = cn_row(v, c, y);
            for (size_t x = 0; x < v.width; x++, to += v.images) {
                const cn_real *from = phase_row(p, y % p->sy, y / p->sy, x % p->sx) + c * p->plane +
                                      x / p->sx * v.images;
                for (size_t i = 0; i < v.images; i++) to[i] = add ? to[i] + from[i] : from[i];
            }
        }
}

size_t cn_conv_work(const cn_layer *layer, const cn_layer *in)
{
    if (layer->stride[0] <= 1 && layer->stride[1] <= 1) return 0;
    const cn_view v = {
        .channels = in->channels, .height = in->height, .width = in->width, .images = CN_SLICE};
    return in->channels * make_phases(layer, v, NULL).plane;
}

void cn_conv_pack(const cn_param *weight, cn_real *packed)
{
    const size_t pairs = weight->shape[0] * weight->shape[1], taps = weight->count / pairs;
    for (size_t i = 0; i < pairs; i++)
        for (size_t t = 0; t < taps; t++) packed[t * pairs + i] = weight->value[i * taps + t];
}

void cn_conv_unpack(const cn_real *packed, const cn_param *weight, cn_real *gradient)
{
    const size_t pairs = weight->shape[0] * weight->shape[1], taps = weight->count / pairs;
    for (size_t i = 0; i < pairs; i++)
        for (size_t t = 0; t < taps; t++) gradient[i * taps + t] += packed[t * pairs + i];
}

void cn_conv_forward(const cn_layer *layer, cn_view x, cn_view y, const cn_real *weight,
                     const cn_real *bias, cn_real *work)
{
    const phases p = make_phases(layer, x, work);
    const size_t run = y.width * y.images, m = y.images;
    if (p.data != x.data) split(x, &p);
    for (size_t oy = 0; oy < y.height; oy++) {
        for (size_t c = 0; c < y.channels; c++) {
            cn_real *row = cn_row(y, c, oy);
            const cn_real start = bias ? bias[c] : 0;
            for (size_t i = 0; i < run; i++) row[i] = start;
        }
        for (size_t ky = 0; ky < layer->size[0]; ky++) {
            const tap ty = make_tap(ky, x.height, y.height, p.sy, layer->pad[0]);
            if (oy < ty.first || oy >= ty.end) continue;
            for (size_t kx = 0; kx < layer->size[1]; kx++) {
                const tap tx = make_tap(kx, x.width, y.width, p.sx, layer->pad[1]);
                if (tx.first == tx.end) continue;
                const cn_real *w = weight + (ky * layer->size[1] + kx) * y.channels * x.channels;
                const cn_real *from =
                    phase_row(&p, ty.phase, (size_t)((ptrdiff_t)oy + ty.shift), tx.phase) +
                    (size_t)((ptrdiff_t)tx.first + tx.shift) * m;
                GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)y.channels,
                     (int)((tx.end - tx.first) * m), (int)x.channels, 1, w, (int)x.channels, from,
                     (int)p.plane, 1, cn_row(y, 0, oy) + tx.first * m, (int)y.plane);
            }
        }
    }
}

void cn_conv_backward_data(const cn_layer *layer, cn_view dy, cn_view dx, const cn_real *weight,
                           bool add, cn_real *work)
{
    const phases p = make_phases(layer, dx, work);
    const bool direct = p.data == dx.data;
    const size_t m = dy.images;
    for (size_t py = 0; py < p.sy; py++)
        for (size_t q = 0; q < p.rows; q++) {
            if (!(direct && add))
                for (size_t c = 0; c < dx.channels; c++)
                    memset(phase_row(&p, py, q, 0) + c * p.plane, 0,
                           p.sx * p.columns * m * sizeof *p.data);
            for (size_t ky = 0; ky < layer->size[0]; ky++) {
                const tap ty = make_tap(ky, dx.height, dy.height, p.sy, layer->pad[0]);
                const ptrdiff_t oy = (ptrdiff_t)q - ty.shift;
                if (ty.phase != py || oy < (ptrdiff_t)ty.first || oy >= (ptrdiff_t)ty.end) continue;
                for (size_t kx = 0; kx < layer->size[1]; kx++) {
                    const tap tx = make_tap(kx, dx.width, dy.width, p.sx, layer->pad[1]);
                    if (tx.first == tx.end) continue;
                    const cn_real *w =
                        weight + (ky * layer->size[1] + kx) * dy.channels * dx.channels;
                    cn_real *to = phase_row(&p, py, q, tx.phase) +
                                  (size_t)((ptrdiff_t)tx.first + tx.shift) * m;
                    GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, (int)dx.channels,
                         (int)((tx.end - tx.first) * m), (int)dy.channels, 1, w, (int)dx.channels,
                         cn_row(dy, 0, (size_t)oy) + tx.first * m, (int)dy.plane, 1, to,
                         (int)p.plane);
                }
            }
        }
    if (!direct) merge(&p, dx, add);
}

void cn_conv_backward_weight(const cn_layer *layer, cn_view x, cn_view dy, cn_real *dweight,
                             cn_real *dbias, cn_real *work)
{
    const phases p = make_phases(layer, x, work);
    const size_t m = dy.images;
    if (p.data != x.data) split(x, &p);
    for (size_t oy = 0; oy < dy.height; oy++)
        for (size_t ky = 0; ky < layer->size[0]; ky++) {
            const tap ty = make_tap(ky, x.height, dy.height, p.sy, layer->pad[0]);
            if (oy < ty.first || oy >= ty.end) continue;
            for (size_t kx = 0; kx < layer->size[1]; kx++) {
                const tap tx = make_tap(kx, x.width, dy.width, p.sx, layer->pad[1]);
                if (tx.first == tx.end) continue;
                const cn_real *from =
                    phase_row(&p, ty.phase, (size_t)((ptrdiff_t)oy + ty.shift), tx.phase) +
                    (size_t)((ptrdiff_t)tx.first + tx.shift) * m;
                GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, (int)dy.channels, (int)x.channels,
                     (int)((tx.end - tx.first) * m), 1, cn_row(dy, 0, oy) + tx.first * m,
                     (int)dy.plane, from, (int)p.plane, 1,
                     dweight + (ky * layer->size[1] + kx) * dy.channels * x.channels,
                     (int)x.channels);
            }
        }
    if (dbias)
        for (size_t c = 0; c < dy.channels; c++) {
            double sum = 0;
            for (size_t i = 0; i < dy.height * dy.width * m; i++)
                sum += (double)dy.data[c * dy.plane + i];
            dbias[c] += (cn_real)sum;
        }
}

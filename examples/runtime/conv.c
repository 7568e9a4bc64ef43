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
 *
 * Where the processor has kernels of direct.h, a run of results is computed once, with all kernel
 * elements that reach it. Otherwise OpenBLAS adds one kernel element after the other.
 */
#include "direct.h"

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

/* ---- Weights ---- */

size_t cn_conv_packed(const cn_direct *direct, size_t count)
{
    return direct ? 2 * count : count;
}

/* to <- for each block of outputs: [kernel elements][inputs][outputs of the block]. out, in: from
 * one output, or input, of the weights to the next. */
static void pack_blocks(const cn_direct *direct, const cn_real *weight, size_t taps, size_t outs,
                        size_t out, size_t ins, size_t in, cn_real *to)
{
    const size_t blocks = cn_blocks(outs, direct->block);
    for (size_t b = 0; b < blocks; b++)
        for (size_t t = 0; t < taps; t++)
            for (size_t c = 0; c < ins; c++)
                for (size_t o = cn_block(outs, blocks, b); o < cn_block(outs, blocks, b + 1); o++)
                    *to++ = weight[o * out + c * in + t];
}

void cn_conv_pack(const cn_direct *direct, const cn_param *weight, cn_real *packed)
{
    const size_t out = weight->shape[0], in = weight->shape[1], pairs = out * in;
    const size_t taps = weight->count / pairs;
    if (direct) {
        pack_blocks(direct, weight->value, taps, out, in * taps, in, taps, packed);
        pack_blocks(direct, weight->value, taps, in, taps, out, in * taps, packed + weight->count);
        return;
    }
    for (size_t i = 0; i < pairs; i++)
        for (size_t t = 0; t < taps; t++) packed[t * pairs + i] = weight->value[i * taps + t];
}

void cn_conv_unpack(const cn_real *packed, const cn_param *weight, cn_real *gradient)
{
    const size_t pairs = weight->shape[0] * weight->shape[1], taps = weight->count / pairs;
    for (size_t i = 0; i < pairs; i++)
        for (size_t t = 0; t < taps; t++) gradient[i * taps + t] += packed[t * pairs + i];
}

/* ---- Rows of results ---- */

/* What one kernel element adds to a row: pixels [first, end) of it, from `from` on. */
typedef struct reach {
    const cn_real *from;
    size_t element, first, end;
} reach;

/* A row of results and the kernel elements that reach it. */
typedef struct output_row {
    const cn_direct *direct;
    cn_run run; /* `to` is the beginning of the row */
    size_t width, images, count;
    reach reaches[CN_MOST_TAPS];
} output_row;

/* Adds the kernel elements to the row. Each piece of it is reached by the same ones throughout. */
static void row_flush(output_row *r)
{
    cn_run piece = r->run;
    cn_tap taps[CN_MOST_TAPS];
    piece.tap = taps;
    for (size_t x = 0, end; x < r->width; x = end) {
        end = r->width;
        piece.taps = 0;
        for (size_t k = 0; k < r->count; k++) {
            const reach *e = &r->reaches[k];
            if (e->end <= x) continue;
            const size_t next = e->first > x ? e->first : e->end;
            if (next < end) end = next;
            if (e->first <= x)
                taps[piece.taps++] = (cn_tap){e->from + (x - e->first) * r->images, e->element};
        }
        piece.n = (end - x) * r->images;
        piece.to = r->run.to + x * r->images;
        if (piece.taps || !piece.add) r->direct->run(&piece);
    }
    r->run.add = true;
    r->count = 0;
}

static void row_reach(output_row *r, reach e)
{
    if (e.first == e.end) return;
    if (r->count == CN_MOST_TAPS) row_flush(r);
    r->reaches[r->count++] = e;
}

/* ---- Forward ---- */

static void forward_direct(const cn_direct *direct, const cn_layer *layer, cn_view x, cn_view y,
                           const phases *p, const cn_real *weight, const cn_real *bias)
{
    const size_t elements = layer->size[0] * layer->size[1];
    for (size_t oy = 0; oy < y.height; oy++) {
        output_row r = {.direct = direct,
                        .run = {.weight = weight,
                                .bias = bias,
                                .elements = elements,
                                .in = x.channels,
                                .out = y.channels,
                                .from_plane = p->plane,
                                .to_plane = y.plane,
                                .to = cn_row(y, 0, oy)},
                        .width = y.width,
                        .images = y.images};
        for (size_t ky = 0; ky < layer->size[0]; ky++) {
            const tap ty = make_tap(ky, x.height, y.height, p->sy, layer->pad[0]);
            if (oy < ty.first || oy >= ty.end) continue;
            for (size_t kx = 0; kx < layer->size[1]; kx++) {
                const tap tx = make_tap(kx, x.width, y.width, p->sx, layer->pad[1]);
                const cn_real *from =
                    phase_row(p, ty.phase, (size_t)((ptrdiff_t)oy + ty.shift), tx.phase);
                row_reach(&r, (reach){from + ((ptrdiff_t)tx.first + tx.shift) * (ptrdiff_t)x.images,
                                      ky * layer->size[1] + kx, tx.first, tx.end});
            }
        }
        row_flush(&r);
    }
}

void cn_conv_forward(const cn_direct *direct, const cn_layer *layer, cn_view x, cn_view y,
                     const cn_real *weight, const cn_real *bias, cn_real *work)
{
    const phases p = make_phases(layer, x, work);
    const size_t run = y.width * y.images, m = y.images;
    if (p.data != x.data) split(x, &p);
    if (direct) {
        forward_direct(direct, layer, x, y, &p, weight, bias);
        return;
    }
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

/* ---- Backward ---- */

static void backward_data_direct(const cn_direct *direct, const cn_layer *layer, cn_view dy,
                                 cn_view dx, const phases *p, const cn_real *weight, bool add)
{
    const size_t elements = layer->size[0] * layer->size[1], m = dy.images;
    const size_t rows = p->sy * p->rows * p->sx;
    for (size_t k = 0; k < rows; k++) {
        const size_t px = k % p->sx, q = k / p->sx % p->rows, py = k / p->sx / p->rows;
        output_row r = {.direct = direct,
                        .run = {.weight = weight + elements * dy.channels * dx.channels,
                                .elements = elements,
                                .in = dy.channels,
                                .out = dx.channels,
                                .from_plane = dy.plane,
                                .to_plane = p->plane,
                                .to = phase_row(p, py, q, px),
                                .add = add},
                        .width = p->columns,
                        .images = m};
        for (size_t ky = 0; ky < layer->size[0]; ky++) {
            const tap ty = make_tap(ky, dx.height, dy.height, p->sy, layer->pad[0]);
            const ptrdiff_t oy = (ptrdiff_t)q - ty.shift;
            if (ty.phase != py || oy < (ptrdiff_t)ty.first || oy >= (ptrdiff_t)ty.end) continue;
            for (size_t kx = 0; kx < layer->size[1]; kx++) {
                const tap tx = make_tap(kx, dx.width, dy.width, p->sx, layer->pad[1]);
                if (tx.phase == px)
                    row_reach(&r, (reach){cn_row(dy, 0, (size_t)oy) + tx.first * m,
                                          ky * layer->size[1] + kx,
                                          (size_t)((ptrdiff_t)tx.first + tx.shift),
                                          (size_t)((ptrdiff_t)tx.end + tx.shift)});
            }
        }
        row_flush(&r);
    }
}

void cn_conv_backward_data(const cn_direct *direct, const cn_layer *layer, cn_view dy, cn_view dx,
                           const cn_real *weight, bool add, cn_real *work)
{
    const phases p = make_phases(layer, dx, work);
    const bool in_place = p.data == dx.data;
    const size_t m = dy.images;
    if (direct) {
        backward_data_direct(direct, layer, dy, dx, &p, weight, in_place && add);
        if (!in_place) merge(&p, dx, add);
        return;
    }
    for (size_t py = 0; py < p.sy; py++)
        for (size_t q = 0; q < p.rows; q++) {
            if (!(in_place && add))
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
    if (!in_place) merge(&p, dx, add);
}

/* A group of rows is as long as it takes for the sums at the end of a tile to be few beside the
 * products, and short enough to be in the cache for all kernel elements. */
enum { GROUP = 512 };

static void flush_outer(const cn_direct *direct, size_t count, const cn_outer *outer)
{
    if (!count) return;
    const size_t outs = cn_blocks(outer->out, direct->outer_out);
    const size_t ins = cn_blocks(outer->in, direct->outer_in);
    for (size_t b = 0; b < outs; b++)
        for (size_t k = 0; k < ins; k++) {
            const size_t o = cn_block(outer->out, outs, b), c = cn_block(outer->in, ins, k);
            for (size_t i = 0; i < count; i++)
                direct->outer(&outer[i], o, cn_block(outer->out, outs, b + 1) - o, c,
                              cn_block(outer->in, ins, k + 1) - c);
        }
}

static void backward_weight_direct(const cn_direct *direct, const cn_layer *layer, cn_view x,
                                   cn_view dy, const phases *p, cn_real *dweight)
{
    const size_t m = dy.images, rows = 1 + (GROUP - 1) / (dy.width * m);
    cn_outer outer[CN_MOST_TAPS];
    for (size_t top = 0; top < dy.height; top += rows) {
        const size_t bottom = dy.height - top < rows ? dy.height : top + rows;
        size_t count = 0;
        for (size_t k = 0; k < layer->size[0] * layer->size[1]; k++) {
            const size_t ky = k / layer->size[1], kx = k % layer->size[1];
            const tap ty = make_tap(ky, x.height, dy.height, p->sy, layer->pad[0]);
            const tap tx = make_tap(kx, x.width, dy.width, p->sx, layer->pad[1]);
            const size_t first = ty.first > top ? ty.first : top;
            const size_t end = ty.end < bottom ? ty.end : bottom;
            if (first >= end || tx.first == tx.end) continue;
            if (count == CN_MOST_TAPS) {
                flush_outer(direct, count, outer);
                count = 0;
            }
            cn_real *const to = dweight + k * dy.channels * x.channels;
            outer[count++] = (cn_outer){
                .n = (tx.end - tx.first) * m,
                .rows = end - first,
                .out = dy.channels,
                .in = x.channels,
                .a = cn_row(dy, 0, first) + tx.first * m,
                .b = phase_row(p, ty.phase, (size_t)((ptrdiff_t)first + ty.shift), tx.phase) +
                     (size_t)((ptrdiff_t)tx.first + tx.shift) * m,
                .a_plane = dy.plane,
                .b_plane = p->plane,
                .a_row = dy.width * m,
                .b_row = p->sx * p->columns * m,
                .to = to};
        }
        flush_outer(direct, count, outer);
    }
}

static void backward_bias(cn_view dy, cn_real *dbias)
{
    for (size_t c = 0; c < dy.channels; c++) {
        double sum = 0;
        for (size_t i = 0; i < dy.height * dy.width * dy.images; i++)
            sum += (double)dy.data[c * dy.plane + i];
        dbias[c] += (cn_real)sum;
    }
}

void cn_conv_backward_weight(const cn_direct *direct, const cn_layer *layer, cn_view x, cn_view dy,
                             cn_real *dweight, cn_real *dbias, cn_real *work)
{
    const phases p = make_phases(layer, x, work);
    const size_t m = dy.images;
    if (p.data != x.data) split(x, &p);
    if (dbias) backward_bias(dy, dbias);
    if (direct) {
        backward_weight_direct(direct, layer, x, dy, &p, dweight);
        return;
    }
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
}

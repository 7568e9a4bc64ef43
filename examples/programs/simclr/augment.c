/*
 * The views are those of SimCLR for CIFAR-10 (appendices A and B.9): a crop of random size and
 * place, stretched to the size of the image, a mirror, colour jitter in 8 views of 10, and grey. It
 * uses no blur on CIFAR-10, and neither does this file. Two things are simpler here:
 *
 *   - Changes of colour are made at once, by one matrix, in the order brightness, contrast,
 *     saturation, hue, and cut off at 0 and 1 once, at the end. In SimCLR the order is random, and
 *     each change cuts off.
 *   - The hue turns around the axis of greys in RGB, and not in HSV.
 *
 * With grey(x) = 0.299 r + 0.587 g + 0.114 b, and the mean m of grey over the view:
 *
 *     brightness  x <- b x                     b, c, s in [1 - 0.8 strength, 1 + 0.8 strength]
 *     contrast    x <- c x + (1 - c) b m
 *     saturation  x <- s x + (1 - s) grey(x)
 *     hue         x <- R x                     R: at most 0.2 strength of a whole turn
 *
 * Saturation and hue leave greys as they are, so all four together are
 * x <- b c R (s x + (1 - s) grey(x)) + (1 - c) b m.
 */
#include "augment.h"

#include <math.h>

enum { PLANE = CN_SIDE * CN_SIDE };
/* As cn_draw has them. */
static const double MEAN[3] = {0.485, 0.456, 0.406}, DEVIATION[3] = {0.229, 0.224, 0.225};
static const double GREY[3] = {0.299, 0.587, 0.114};
/* The share of views with colour jitter; the parts of its strength. */
static const double JITTERED = 0.8, PART = 0.8, TURN = 0.2;
static const double MOST_ASPECT = 4.0 / 3;

static double between(cn_random *random, double low, double high)
{
    return low + (high - low) * cn_random_unit(random);
}

/* ---- the crop ---- */

/* Where output pixel i is read along one axis: between two pixels, with the part of the second. */
typedef struct sample {
    size_t first, second;
    double part;
} sample;

/* A stretch of `length` pixels from `from` on, as the pixels of a whole side. */
static void read_stretch(double from, double length, bool mirrored, sample *to)
{
    for (size_t i = 0; i < CN_SIDE; i++) {
        const size_t at = mirrored ? CN_SIDE - 1 - i : i;
        double x = from + ((double)at + 0.5) * length / CN_SIDE - 0.5;
        x = fmin(fmax(x, 0), CN_SIDE - 1);
        to[i].first = (size_t)x;
        to[i].second = to[i].first + 1 < CN_SIDE ? to[i].first + 1 : to[i].first;
        to[i].part = x - (double)to[i].first;
    }
}

static void crop(const uint8_t *pixels, const augment *how, cn_random *random, double *view)
{
    sample across[CN_SIDE], down[CN_SIDE];
    const double least = how->least_area > 0 ? how->least_area : 1;
    const double area = between(random, least, 1) * PLANE;
    const double aspect = exp(between(random, -1, 1) * log(least < 1 ? MOST_ASPECT : 1));
    const double width = fmin(sqrt(area * aspect), CN_SIDE);
    const double height = fmin(sqrt(area / aspect), CN_SIDE);
    const double left = between(random, 0, CN_SIDE - width);
    const double top = between(random, 0, CN_SIDE - height);
    read_stretch(left, width, how->flip && cn_random_below(random, 2), across);
    read_stretch(top, height, false, down);
    for (size_t c = 0; c < 3; c++, pixels += PLANE)
        for (size_t y = 0; y < CN_SIDE; y++) {
            const uint8_t *a = pixels + down[y].first * CN_SIDE;
            const uint8_t *b = pixels + down[y].second * CN_SIDE;
            for (size_t x = 0; x < CN_SIDE; x++) {
                const sample *s = &across[x];
                const double up = a[s->first] + s->part * (a[s->second] - a[s->first]);
                const double low = b[s->first] + s->part * (b[s->second] - b[s->first]);
                *view++ = (up + down[y].part * (low - up)) / 255;
            }
        }
}

/* ---- the colours ---- */

/* By this part of a turn around the axis of greys (Rodrigues). */
static void rotation(double turn, double to[3][3])
{
    const double angle = 2 * acos(-1) * turn, c = cos(angle), s = sin(angle) / sqrt(3);
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 3; k++)
            to[i][k] = (1 - c) / 3 + (i == k ? c : k == (i + 1) % 3 ? -s : s);
}

static double mean_grey(const double *view)
{
    double sum = 0;
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < PLANE; i++) sum += GREY[c] * view[c * PLANE + i];
    return sum / PLANE;
}

typedef struct colours {
    double brightness, contrast, saturation, hue;
} colours;

static colours draw_colours(const augment *how, cn_random *random)
{
    colours change = {1, 1, 1, 0};
    if (how->colour > 0 && cn_random_unit(random) < JITTERED) {
        const double part = PART * how->colour, turn = TURN * how->colour;
        change.brightness = between(random, 1 - part, 1 + part);
        change.contrast = between(random, 1 - part, 1 + part);
        change.saturation = between(random, 1 - part, 1 + part);
        change.hue = between(random, -turn, turn);
    }
    if (how->grey > 0 && cn_random_unit(random) < how->grey) change.saturation = 0;
    return change;
}

static void recolour(const colours *change, double *view)
{
    double turn[3][3], matrix[3][3];
    const double gain = change->brightness * change->contrast;
    const double more = (1 - change->contrast) * change->brightness * mean_grey(view);
    rotation(change->hue, turn);
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 3; k++)
            matrix[i][k] =
                gain * (change->saturation * turn[i][k] + (1 - change->saturation) * GREY[k]);
    for (size_t p = 0; p < PLANE; p++) {
        const double x[3] = {view[p], view[PLANE + p], view[2 * PLANE + p]};
        for (size_t i = 0; i < 3; i++) {
            const double y = matrix[i][0] * x[0] + matrix[i][1] * x[1] + matrix[i][2] * x[2] + more;
            view[i * PLANE + p] = fmin(fmax(y, 0), 1);
        }
    }
}

/* ---- images ---- */

static void normalize(const double *view, cn_real *image)
{
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < PLANE; i++, view++)
            *image++ = (cn_real)((*view - MEAN[c]) / DEVIATION[c]);
}

void augment_view(const cn_data *data, size_t index, const augment *how, cn_random *random,
                  cn_real *image)
{
    double view[CN_PIXELS];
    crop(data->pixels + index * CN_PIXELS, how, random, view);
    const colours change = draw_colours(how, random);
    recolour(&change, view);
    normalize(view, image);
}

void augment_pairs(const cn_data *data, size_t n, const size_t *indices, const augment *how,
                   cn_random *random, cn_real *views)
{
    for (size_t i = 0; i < 2 * n; i++, views += CN_PIXELS)
        augment_view(data, indices[i % n], how, random, views);
}

void augment_noise(const cn_data *data, size_t n, const size_t *indices, double deviation,
                   cn_random *random, cn_real *noisy, cn_real *clean)
{
    for (size_t i = 0; i < n; i++, noisy += CN_PIXELS) {
        double view[CN_PIXELS];
        for (size_t k = 0; k < CN_PIXELS; k++) {
            const double x = data->pixels[indices[i] * CN_PIXELS + k] / 255.0;
            *clean++ = (cn_real)x;
            view[k] = x + deviation * cn_random_normal(random);
        }
        normalize(view, noisy);
    }
}

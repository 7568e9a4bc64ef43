/*
 * A data set that needs no file: ten kinds of shapes on noisy ground. Which pixels are bright says
 * little about the kind, because place, size, both colours and hence the sign of the contrast are
 * random; a convolutional network finds it easily. Only exact arithmetic (no sine, no exponential),
 * so that every machine draws the same pictures.
 */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

enum {
    DISC,
    RING,
    SQUARE,
    FRAME,
    TRIANGLE,
    CROSS,
    STRIPES_ACROSS,
    STRIPES_DOWN,
    STRIPES_SLANTED,
    CHECKERS,
    KINDS
};

static double between(cn_random *random, double low, double high)
{
    return low + (high - low) * cn_random_unit(random);
}

static bool odd(double x)
{
    return fmod(floor(x), 2) != 0;
}

/* Is the point (u, v) part of the figure, whose size is about 1? period: of the stripes. */
static bool inside(int kind, double u, double v, double period)
{
    const double square = fmax(fabs(u), fabs(v)), circle = u * u + v * v;
    switch (kind) {
    case DISC:
        return circle < 1;
    case RING:
        return circle < 1 && circle > 0.36;
    case SQUARE:
        return square < 0.9;
    case FRAME:
        return square < 0.9 && square > 0.55;
    case TRIANGLE:
        return v < 0.75 && 2 * fabs(u) < v + 1;
    case CROSS:
        return square < 1 && fmin(fabs(u), fabs(v)) < 0.28;
    case STRIPES_ACROSS:
        return square < 0.95 && odd(v / period);
    case STRIPES_DOWN:
        return square < 0.95 && odd(u / period);
    case STRIPES_SLANTED:
        return square < 0.95 && odd((u + v) / (1.4 * period));
    default:
        return square < 0.95 && odd(u / period) != odd(v / period);
    }
}

static uint8_t byte(double x)
{
    return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

static void draw(cn_random *random, int kind, uint8_t *pixels)
{
    double ground[3], figure[3], contrast;
    do {
        contrast = 0;
        for (int c = 0; c < 3; c++) {
            ground[c] = between(random, 20, 235);
            figure[c] = between(random, 20, 235);
            contrast += fabs(ground[c] - figure[c]);
        }
    } while (contrast < 240);
    const double size = between(random, 9, 14), period = between(random, 3, 4.5) / size;
    const double x0 = between(random, 12, 20), y0 = between(random, 12, 20);
    /* A turn by 2 atan(t), up to 23 degrees; waves across the ground, of any direction. */
    const double t = between(random, -0.2, 0.2), cosine = (1 - t * t) / (1 + t * t),
                 sine = 2 * t / (1 + t * t);
    const double wave_x = between(random, -0.2, 0.2), wave_y = between(random, -0.2, 0.2);
    for (int y = 0; y < CN_SIDE; y++)
        for (int x = 0; x < CN_SIDE; x++) {
            const double dx = (x - x0) / size, dy = (y - y0) / size, at = x * wave_x + y * wave_y;
            const bool in = inside(kind, cosine * dx + sine * dy, cosine * dy - sine * dx, period);
            const double wave = 40 * fabs(at - floor(at) - 0.5) - 10;
            uint64_t noise = cn_random_bits(random);
            for (int c = 0; c < 3; c++, noise >>= 16) {
                const double grain =
                    ((double)(noise & 255) + (double)(noise >> 8 & 255) - 255) * 0.15;
                pixels[(c * CN_SIDE + y) * CN_SIDE + x] =
                    byte((in ? figure[c] : ground[c] + wave) + grain);
            }
        }
}

bool cn_data_shapes(size_t count, uint64_t seed, cn_data *data, cn_error *err)
{
    size_t bytes;
    if (!cn_mul(count ? count : 1, CN_PIXELS, &bytes))
        return cn_fail(err, "%zu pictures are too many", count);
    cn_data d = {count, KINDS, malloc(bytes), malloc(count ? count : 1)};
    if (!d.pixels || !d.labels) {
        cn_data_free(&d);
        return cn_fail(err, "no memory for %zu pictures", count);
    }
    cn_random random = {seed};
    for (size_t i = 0; i < count; i++) {
        d.labels[i] = (uint8_t)(i % KINDS);
        draw(&random, d.labels[i], d.pixels + i * CN_PIXELS);
    }
    *data = d;
    return true;
}

/* The parts of the program simclr. NT-Xent is compared with PyTorch's numbers (nt_xent.h, which
 * test/torch/make-contrast made) and with finite differences, clusters with the best of all
 * partitions, batches with their promise, views with cn_draw and with laws, features with a head
 * that is computed here, and a whole training with one on images whose labels are others. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simclr/augment.h"
#include "simclr/batches.h"
#include "simclr/cluster.h"
#include "simclr/contrast.h"
#include "simclr/networks.h"
#include "simclr/probe.h"
#include "simclr/train.h"

#include "nt_xent.h"

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static const bool is_double = sizeof(cn_real) == sizeof(double);

static double number(cn_random *random)
{
    return 2 * cn_random_unit(random) - 1;
}

/* ---- NT-Xent ---- */

/* The vectors of make-contrast. */
static void fill(size_t count, size_t dims, cn_real *z)
{
    for (size_t i = 0; i < count; i += dims) {
        double v[16], squares = 0;
        for (size_t d = 0; d < dims; d++) {
            v[d] = (double)((i + d) * 7 % 13) - 6 + (double)((i + d) * 3 % 5) + 0.25;
            squares += v[d] * v[d];
        }
        for (size_t d = 0; d < dims; d++) z[i + d] = (cn_real)(v[d] / sqrt(squares));
    }
}

START_TEST(contrast_as_pytorch)
{
    for (size_t c = 0; c < COUNT(contrast_case); c++) {
        const size_t n = contrast_case[c].images, dims = contrast_case[c].dims;
        const size_t count = 2 * n * dims;
        /* Exponents, which are rounded numbers divided by the temperature. */
        const double tolerance = (is_double ? 1e-15 : 1e-6) / contrast_case[c].temperature;
        cn_real z[256], gradient[256];
        double *room = calloc(contrast_room(n), sizeof *room), worst = 0, most = 0;
        ck_assert_ptr_nonnull(room);
        fill(count, dims, z);
        const double loss = contrast_loss(n, dims, z, contrast_case[c].temperature, room, gradient);
        for (size_t i = 0; i < count; i++) {
            worst = fmax(worst, fabs((double)gradient[i] - contrast_gradient[c][i]));
            most = fmax(most, fabs(contrast_gradient[c][i]));
        }
        const double off = fabs(loss - contrast_case[c].loss);
        printf("NT-Xent %s, %zu images of %zu numbers, temperature %g: loss within %.2g of %.4g, "
               "gradient within %.2g of at most %.3g\n",
               CN_DTYPE_NAME, n, dims, contrast_case[c].temperature, off, contrast_case[c].loss,
               worst, most);
        ck_assert_double_le(off, 4 * tolerance);
        ck_assert_double_le(worst, 4 * tolerance * fmax(1, most));
        free(room);
    }
}
END_TEST

START_TEST(contrast_by_differences)
{
    enum { IMAGES = 5, DIMS = 4, NUMBERS = 2 * IMAGES * DIMS };
    cn_random random = {1};
    cn_real z[NUMBERS], gradient[NUMBERS], unused[NUMBERS];
    double room[4 * IMAGES * IMAGES];
    const double step = is_double ? 1e-5 : 1.0 / 64;
    ck_assert_uint_eq(contrast_room(IMAGES), COUNT(room));
    for (size_t i = 0; i < NUMBERS; i++) z[i] = (cn_real)number(&random);
    contrast_loss(IMAGES, DIMS, z, 0.5, room, gradient);
    for (size_t i = 0; i < NUMBERS; i++) {
        const cn_real was = z[i];
        z[i] = (cn_real)((double)was + step);
        const double above = contrast_loss(IMAGES, DIMS, z, 0.5, room, unused), high = (double)z[i];
        z[i] = (cn_real)((double)was - step);
        const double below = contrast_loss(IMAGES, DIMS, z, 0.5, room, unused);
        const double slope = (above - below) / (high - (double)z[i]);
        z[i] = was;
        ck_assert_double_eq_tol(slope, (double)gradient[i], is_double ? 1e-9 : 2e-3);
    }
}
END_TEST

/* ---- clusters ---- */

enum { POINTS = 8, PLANE_DIMS = 2, PARTS = 3 };

static double spread_of(size_t n, size_t dims, const cn_real *x, size_t k, const uint32_t *label)
{
    double sum = 0;
    for (size_t c = 0; c < k; c++)
        for (size_t d = 0; d < dims; d++) {
            double mean = 0;
            size_t size = 0;
            for (size_t i = 0; i < n; i++)
                if (label[i] == c) mean += (double)x[i * dims + d], size++;
            mean /= (double)size;
            for (size_t i = 0; i < n; i++)
                if (label[i] == c)
                    sum += ((double)x[i * dims + d] - mean) * ((double)x[i * dims + d] - mean);
        }
    return sum / (double)n;
}

static double distance_to_mean(const cn_real *x, const uint32_t *label, size_t i, size_t c)
{
    double sum = 0;
    for (size_t d = 0; d < PLANE_DIMS; d++) {
        double mean = 0;
        size_t size = 0;
        for (size_t k = 0; k < POINTS; k++)
            if (label[k] == c) mean += (double)x[k * PLANE_DIMS + d], size++;
        const double off = (double)x[i * PLANE_DIMS + d] - mean / (double)size;
        sum += off * off;
    }
    return sum;
}

/* Of all partitions of the points into PARTS clusters. */
static double best_spread(const cn_real *x)
{
    double best = INFINITY;
    for (size_t code = 0; code < 6561; code++) { /* 3 to the power of 8 */
        uint32_t label[POINTS];
        size_t sizes[PARTS] = {0}, rest = code;
        for (size_t i = 0; i < POINTS; i++, rest /= PARTS) {
            label[i] = (uint32_t)(rest % PARTS);
            sizes[label[i]]++;
        }
        if (sizes[0] && sizes[1] && sizes[2])
            best = fmin(best, spread_of(POINTS, PLANE_DIMS, x, PARTS, label));
    }
    return best;
}

START_TEST(clusters_of_a_few_points)
{
    cn_random random = {7};
    cn_error err;
    for (size_t set = 0; set < 20; set++) {
        cn_real x[POINTS * PLANE_DIMS];
        for (size_t i = 0; i < COUNT(x); i++) x[i] = (cn_real)number(&random);
        const double best = best_spread(x);
        double least = INFINITY;
        for (uint64_t seed = 0; seed < 60; seed++) {
            cn_random draws = {seed};
            uint32_t label[POINTS];
            double spread;
            ck_assert(cluster_points_into((cluster_points){POINTS, PLANE_DIMS, x}, PARTS, &draws,
                                          label, &spread, &err));
            const double tolerance = 1e-12;
            ck_assert_double_eq_tol(spread, spread_of(POINTS, PLANE_DIMS, x, PARTS, label),
                                    tolerance);
            ck_assert_double_ge(spread, best - tolerance);
            least = fmin(least, spread);
            for (size_t i = 0; i < POINTS; i++) /* no point is nearer to another mean */
                for (size_t c = 0; c < PARTS; c++)
                    ck_assert_double_le(distance_to_mean(x, label, i, label[i]),
                                        distance_to_mean(x, label, i, c) + tolerance);
        }
        ck_assert_double_eq_tol(least, best, 1e-12);
    }
}
END_TEST

START_TEST(clusters_far_apart)
{
    enum { GROUPS = 12, EACH = 9, DIMS = 5, N = GROUPS * EACH };
    cn_random random = {3};
    cn_error err;
    cn_real centre[GROUPS * DIMS], x[N * DIMS];
    uint32_t label[N], again[N];
    size_t good = 0;
    for (size_t i = 0; i < COUNT(centre); i++) centre[i] = (cn_real)(100 * number(&random));
    for (size_t i = 0; i < N * DIMS; i++)
        x[i] = (cn_real)((double)centre[i / DIMS % GROUPS * DIMS + i % DIMS] + number(&random));
    for (uint64_t seed = 0; seed < 20; seed++) {
        cn_random a = {seed}, b = {seed};
        size_t size[GROUPS] = {0}, mixed = 0;
        const cluster_points points = {N, DIMS, x};
        ck_assert(cluster_points_into(points, GROUPS, &a, label, NULL, &err));
        ck_assert(cluster_points_into(points, GROUPS, &b, again, NULL, &err));
        ck_assert_mem_eq(label, again, sizeof label);
        for (size_t i = 0; i < N; i++) {
            ck_assert_uint_lt(label[i], GROUPS);
            size[label[i]]++;
            mixed += label[i] != label[i % GROUPS];
        }
        for (size_t c = 0; c < GROUPS; c++) ck_assert_uint_gt(size[c], 0);
        good += !mixed;
    }
    printf("clusters: %zu of 20 seeds find 12 groups that are far apart\n", good);
    ck_assert_uint_ge(good, 10);
}
END_TEST

START_TEST(clusters_of_equal_points)
{
    cn_real x[10] = {1, 1, 1, 1, 1, 2, 2, 2, 2, 2};
    uint32_t label[10];
    size_t size[4] = {0};
    double spread;
    cn_random random = {1};
    cn_error err;
    ck_assert(cluster_points_into((cluster_points){10, 1, x}, 4, &random, label, &spread, &err));
    for (size_t i = 0; i < 10; i++) size[label[i]]++;
    for (size_t c = 0; c < 4; c++) ck_assert_uint_gt(size[c], 0);
    ck_assert_double_le(spread, 0);
    ck_assert(!cluster_points_into((cluster_points){10, 1, x}, 11, &random, label, &spread, &err));
    ck_assert_str_eq(err.text, "11 clusters cannot be made of 10 points");
    x[7] = NAN;
    ck_assert(!cluster_points_into((cluster_points){5, 2, x}, 4, &random, label, &spread, &err));
    ck_assert_str_eq(err.text, "number 1 of point 3 is not finite");
}
END_TEST

/* ---- batches ---- */

/* The most batches of `batch` images that any order of dealing can fill: with t batches, a class
 * has at most t images in them. */
static size_t most_batches(size_t classes, const size_t *size, size_t batch)
{
    for (size_t t = 0;; t++) {
        size_t places = 0;
        for (size_t c = 0; c < classes; c++) places += size[c] < t + 1 ? size[c] : t + 1;
        if (places < (t + 1) * batch) return t;
    }
}

START_TEST(batches_with_pseudo_classes)
{
    enum { IMAGES = 500, CLASSES = 30, BATCH = 12, DEALS = 60 };
    cn_random random = {5};
    cn_error err;
    batches b;
    uint32_t label[IMAGES];
    size_t size[CLASSES] = {0}, seen[IMAGES] = {0}, fewest = SIZE_MAX;
    for (size_t i = 0; i < IMAGES; i++) {
        const double u = cn_random_unit(&random);
        label[i] = (uint32_t)(u * u * CLASSES); /* small numbers are frequent */
        size[label[i]]++;
    }
    const size_t most = most_batches(CLASSES, size, BATCH);
    ck_assert_msg(batches_open(&b, IMAGES, BATCH, CLASSES, label, &err), "%s", err.text);
    for (size_t deal = 0; deal < DEALS; deal++) {
        bool used[IMAGES] = {false};
        size_t n = 0;
        do {
            const size_t *image = batches_next(&b, &random);
            for (size_t i = 0; i < BATCH; i++) {
                for (size_t k = 0; k < i; k++) ck_assert_uint_ne(label[image[i]], label[image[k]]);
                ck_assert(!used[image[i]]);
                used[image[i]] = true;
                seen[image[i]]++;
            }
            n++;
        } while (b.next < b.dealt);
        ck_assert_uint_le(n, most);
        if (n < fewest) fewest = n;
    }
    batches_close(&b);
    for (size_t i = 0; i < IMAGES; i++) ck_assert_uint_gt(seen[i], 0);
    printf("batches: at least %zu of at most %zu in each deal\n", fewest, most);
    ck_assert_uint_ge(2 * fewest, most);
}
END_TEST

START_TEST(batches_without)
{
    enum { IMAGES = 53, BATCH = 10 };
    cn_random random = {2};
    cn_error err;
    batches b;
    size_t first[BATCH];
    ck_assert(batches_open(&b, IMAGES, BATCH, 0, NULL, &err));
    memcpy(first, batches_next(&b, &random), sizeof first);
    for (size_t deal = 0; deal < 3; deal++) {
        bool used[IMAGES] = {false};
        ck_assert_uint_eq(b.dealt, IMAGES / BATCH);
        for (size_t s = 0; s < IMAGES / BATCH; s++)
            for (size_t i = 0; i < BATCH; i++) {
                const size_t image = b.image[s * BATCH + i];
                ck_assert_uint_lt(image, IMAGES);
                ck_assert(!used[image]);
                used[image] = true;
            }
        for (size_t s = 0; s < IMAGES / BATCH; s++) batches_next(&b, &random);
        ck_assert_mem_ne(first, b.image, sizeof first); /* another order */
    }
    batches_close(&b);
}
END_TEST

START_TEST(batches_that_cannot_be)
{
    const uint32_t label[6] = {0, 1, 1, 3, 3, 1};
    cn_error err;
    batches b;
    ck_assert(!batches_open(&b, 6, 4, 4, label, &err));
    ck_assert_str_eq(err.text, "a batch of 4 images needs as many pseudo-classes, but there are 3");
    batches_close(&b);
    ck_assert(!batches_open(&b, 6, 7, 0, NULL, &err));
    ck_assert_str_eq(err.text, "a batch of 7 images cannot be made of 6");
    batches_close(&b);
    ck_assert(!batches_open(&b, 6, 2, 3, label, &err));
    ck_assert_str_eq(err.text, "image 3 has a label that is not below 3");
    batches_close(&b);
}
END_TEST

/* ---- views ---- */

static cn_real *take_images(size_t n)
{
    cn_real *images = calloc(n * CN_PIXELS, sizeof *images);
    ck_assert_ptr_nonnull(images);
    return images;
}

static double farthest(size_t count, const cn_real *a, const cn_real *b)
{
    double most = 0;
    for (size_t i = 0; i < count; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* Back to a scale from 0 to 1. */
static double intensity(const cn_real *image, size_t i)
{
    static const double mean[3] = {0.485, 0.456, 0.406}, deviation[3] = {0.229, 0.224, 0.225};
    const size_t c = i / (CN_SIDE * CN_SIDE);
    return (double)image[i] * deviation[c] + mean[c];
}

START_TEST(views_without_change)
{
    const size_t index = 3;
    cn_data data;
    cn_error err;
    cn_random random = {1};
    uint8_t label;
    cn_real *drawn = take_images(3), *view = drawn + CN_PIXELS, *noisy = drawn + 2 * CN_PIXELS;
    cn_real *clean = take_images(1);
    size_t straight = 0, mirrored = 0;
    ck_assert(cn_data_shapes(4, 1, &data, &err));
    cn_draw(&data, 1, &index, NULL, drawn, &label);
    augment_view(&data, index, &(augment){0}, &random, view);
    ck_assert_double_le(farthest(CN_PIXELS, drawn, view), 1e-6);
    augment_noise(&data, 1, &index, 0, &random, noisy, clean);
    ck_assert_double_le(farthest(CN_PIXELS, drawn, noisy), 1e-6);
    for (size_t i = 0; i < CN_PIXELS; i++)
        ck_assert_double_eq_tol((double)clean[i], data.pixels[index * CN_PIXELS + i] / 255.0, 1e-7);
    for (size_t k = 0; k < 40; k++) {
        augment_view(&data, index, &(augment){.flip = true}, &random, view);
        if (farthest(CN_PIXELS, drawn, view) < 1e-6) straight++;
        for (size_t i = 0; i < CN_PIXELS; i++)
            noisy[i] = view[i / CN_SIDE * CN_SIDE + CN_SIDE - 1 - i % CN_SIDE];
        if (farthest(CN_PIXELS, drawn, noisy) < 1e-6) mirrored++;
    }
    ck_assert_uint_eq(straight + mirrored, 40);
    ck_assert_uint_gt(straight, 8);
    ck_assert_uint_gt(mirrored, 8);
    cn_data_free(&data);
    free(drawn);
    free(clean);
}
END_TEST

/* A picture that gets brighter from left to right stays one, and its slope is that of the crop. */
START_TEST(views_of_a_ramp)
{
    cn_data data;
    cn_error err;
    cn_random random = {11};
    cn_real *view = take_images(1);
    double least = INFINITY, most = 0;
    ck_assert(cn_data_shapes(1, 1, &data, &err));
    for (size_t i = 0; i < CN_PIXELS; i++) data.pixels[i] = (uint8_t)(7 * (i % CN_SIDE));
    for (size_t k = 0; k < 200; k++) {
        augment_view(&data, 0, &(augment){.least_area = 0.25}, &random, view);
        /* The outermost pixels can lie beyond the middle of the outermost pixels of the picture. */
        const double slope = (intensity(view, 20) - intensity(view, 10)) / 10 * 255 / 7;
        for (size_t i = 0; i < CN_PIXELS; i++) {
            const double x = intensity(view, i) * 255 / 7;
            ck_assert_double_ge(x, -1e-4);
            ck_assert_double_le(x, CN_SIDE - 1 + 1e-4);
            if (i % CN_SIDE > 1 && i % CN_SIDE + 1 < CN_SIDE && x > 0.01 && x < CN_SIDE - 1.01)
                ck_assert_double_eq_tol(x - intensity(view, i - 1) * 255 / 7, slope,
                                        intensity(view, i - 1) * 255 / 7 > 0.01 ? 1e-3 : 1);
        }
        least = fmin(least, slope);
        most = fmax(most, slope);
    }
    /* A part of 0.25 of the area at 3 : 4 is sqrt(0.25 * 0.75) = 0.433 wide. */
    ck_assert_double_ge(least, 0.432);
    ck_assert_double_lt(least, 0.6);
    ck_assert_double_le(most, 1.001);
    ck_assert_double_gt(most, 0.9);
    cn_data_free(&data);
    free(view);
}
END_TEST

/* Of a picture that is a plane, so is every crop: differences of two rows are the same in all
 * columns. */
START_TEST(views_of_a_plane)
{
    cn_data data;
    cn_error err;
    cn_random random = {12};
    cn_real *view = take_images(1);
    ck_assert(cn_data_shapes(1, 1, &data, &err));
    for (size_t i = 0; i < CN_PIXELS; i++)
        data.pixels[i] = (uint8_t)(4 * (i % CN_SIDE) + 3 * (i / CN_SIDE % CN_SIDE));
    for (size_t k = 0; k < 50; k++) {
        augment_view(&data, 0, &(augment){.least_area = 0.25}, &random, view);
        for (size_t i = CN_SIDE; i < CN_PIXELS; i++) {
            if (i / CN_SIDE % CN_SIDE == 0 || i % CN_SIDE == 0) continue;
            const double here = intensity(view, i) - intensity(view, i - CN_SIDE);
            const double left = intensity(view, i - 1) - intensity(view, i - CN_SIDE - 1);
            ck_assert_double_eq_tol(here, left, 1e-6);
        }
    }
    cn_data_free(&data);
    free(view);
}
END_TEST

/* A turn of hue keeps the length of a colour and the sum of its parts; brightness, contrast and
 * saturation multiply both by one number, if the colour has no luminance. The second pixel differs
 * from the first by such a colour. */
START_TEST(views_of_a_colour)
{
    enum { AREA = CN_SIDE * CN_SIDE };
    static const int colour[3] = {40, -30, 50};
    cn_data data;
    cn_error err;
    cn_random random = {13};
    cn_real *view = take_images(1);
    double least = INFINITY, most = -INFINITY;
    ck_assert(cn_data_shapes(1, 1, &data, &err));
    for (size_t i = 0; i < CN_PIXELS; i++)
        data.pixels[i] = (uint8_t)(100 + (i % 2 ? colour[i / AREA] : 0));
    for (size_t k = 0; k < 200; k++) {
        double squares = 0, sum = 0, first = 0;
        augment_view(&data, 0, &(augment){.colour = 0.25}, &random, view);
        for (size_t c = 0; c < 3; c++) {
            const double part = intensity(view, c * AREA + 1) - intensity(view, c * AREA);
            if (!c) first = part;
            squares += part * part;
            sum += part;
        }
        ck_assert_double_eq_tol(sqrt(squares) / sum, sqrt(5000.0) / 60, 2e-3);
        least = fmin(least, first / sum);
        most = fmax(most, first / sum);
    }
    /* At most 0.05 of a turn, to both sides. */
    ck_assert_double_lt(least, 0.45);
    ck_assert_double_gt(most, 0.85);
    cn_data_free(&data);
    free(view);
}
END_TEST

START_TEST(views_in_colours)
{
    enum { AREA = CN_SIDE * CN_SIDE };
    cn_data data;
    cn_error err;
    cn_random random = {4};
    cn_real *view = take_images(1);
    const augment jitter = {.colour = 0.5}, grey = {.colour = 0.5, .grey = 1};
    size_t changed = 0, coloured = 0;
    ck_assert(cn_data_shapes(10, 1, &data, &err));
    for (size_t k = 0; k < 200; k++) {
        augment_view(&data, k % 10, &grey, &random, view);
        for (size_t i = 0; i < AREA; i++) {
            ck_assert_double_eq_tol(intensity(view, i), intensity(view, AREA + i), 1e-5);
            ck_assert_double_eq_tol(intensity(view, i), intensity(view, 2 * AREA + i), 1e-5);
        }
        augment_view(&data, k % 10, &jitter, &random, view);
        double most = 0;
        for (size_t i = 0; i < CN_PIXELS; i++) {
            ck_assert_double_ge(intensity(view, i), -1e-6);
            ck_assert_double_le(intensity(view, i), 1 + 1e-6);
            most =
                fmax(most, fabs(intensity(view, i) - data.pixels[k % 10 * CN_PIXELS + i] / 255.0));
        }
        changed += most > 0.01;
    }
    ck_assert_uint_gt(changed, 130); /* 8 of 10 */
    ck_assert_uint_lt(changed, 185);
    /* A grey picture has no colours that could change. */
    memset(data.pixels, 100, CN_PIXELS);
    for (size_t k = 0; k < 50; k++) {
        augment_view(&data, 0, &jitter, &random, view);
        coloured += fabs(intensity(view, 5) - intensity(view, AREA + 5)) > 1e-5 ||
                    fabs(intensity(view, 5) - intensity(view, 2 * AREA + 5)) > 1e-5;
    }
    ck_assert_uint_eq(coloured, 0);
    cn_data_free(&data);
    free(view);
}
END_TEST

START_TEST(noise)
{
    cn_data data;
    cn_error err;
    cn_random random = {4};
    cn_real *noisy = take_images(1), *clean = take_images(1);
    double sum = 0, squares = 0;
    const size_t index = 1;
    ck_assert(cn_data_shapes(2, 1, &data, &err));
    augment_noise(&data, 1, &index, 0.1, &random, noisy, clean);
    for (size_t i = 0; i < CN_PIXELS; i++) {
        const double off = intensity(noisy, i) - (double)clean[i];
        sum += off;
        squares += off * off;
    }
    ck_assert_double_eq_tol(sum / CN_PIXELS, 0, 0.01);
    ck_assert_double_eq_tol(sqrt(squares / CN_PIXELS), 0.1, 0.01);
    cn_data_free(&data);
    free(noisy);
    free(clean);
}
END_TEST

/* ---- features and the probe ---- */

/* What the head of the network makes of features, computed here. */
static void head(const cn_net *net, const cn_real *x, double *z)
{
    const cn_param *w[4];
    static const char *const names[] = {"head.linear1.weight", "head.linear1.bias",
                                        "head.linear2.weight", "head.linear2.bias"};
    double hidden[256], squares = 0;
    for (size_t i = 0; i < 4; i++) w[i] = &net->params[cn_find_param(net, names[i])];
    for (size_t o = 0; o < w[1]->count; o++) {
        hidden[o] = (double)w[1]->value[o];
        for (size_t i = 0; i < w[0]->shape[1]; i++)
            hidden[o] += (double)w[0]->value[o * w[0]->shape[1] + i] * (double)x[i];
        hidden[o] = fmax(hidden[o], 0);
    }
    for (size_t o = 0; o < w[3]->count; o++) {
        z[o] = (double)w[3]->value[o];
        for (size_t i = 0; i < w[1]->count; i++)
            z[o] += (double)w[2]->value[o * w[1]->count + i] * hidden[i];
        squares += z[o] * z[o];
    }
    for (size_t o = 0; o < w[3]->count; o++) z[o] /= sqrt(squares);
}

START_TEST(features_and_head)
{
    cn_data data;
    cn_error err;
    probe_features f;
    const cn_options options = {.batch = 3, .seed = 5};
    cn_net *net = networks_simclr(&options, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    /* Not the first values, which the seed alone decides. */
    cn_random random = {6};
    for (size_t i = 0; i < net->param_count; i++)
        for (size_t k = 0; k < net->params[i].count; k++)
            net->params[i].value[k] =
                (cn_real)((double)net->params[i].value[k] + 0.1 * cn_random_unit(&random));
    cn_net *part = networks_features(net, NETWORKS_ENCODED, &err);
    ck_assert_msg(part != NULL, "%s", err.text);
    ck_assert(cn_data_shapes(5, 1, &data, &err));
    ck_assert(probe_take(part, &data, &f, &err));
    ck_assert_uint_eq(f.count, 5);
    cn_real *image = take_images(1);
    for (size_t i = 0; i < 5; i++) {
        uint8_t label;
        double z[CN_MOST_CLASSES];
        cn_draw(&data, 1, &i, NULL, image, &label);
        const cn_real *made = cn_forward(net, 1, image, false);
        head(net, f.x + i * f.dims, z);
        for (size_t k = 0; k < net->outputs; k++)
            ck_assert_double_eq_tol((double)made[k], z[k], is_double ? 1e-13 : 1e-5);
    }
    ck_assert_ptr_null(networks_features(net, "relu9", &err));
    ck_assert_str_eq(err.text, "the network has no layer relu9");
    probe_features_free(&f);
    free(image);
    cn_data_free(&data);
    cn_destroy(part);
    cn_destroy(net);
}
END_TEST

/* Features of 3 classes: apart by `gap`, with a feature that says nothing, and one that is always
 * the same. */
static double probe_of(double gap, uint64_t seed)
{
    enum { N = 300, DIMS = 4 };
    cn_random random = {seed};
    cn_error err;
    uint8_t label[2 * N];
    probe_features sets[2];
    double accuracy;
    for (size_t s = 0; s < 2; s++) {
        sets[s] = (probe_features){N, DIMS, calloc(N * DIMS, sizeof(cn_real))};
        ck_assert_ptr_nonnull(sets[s].x);
        for (size_t i = 0; i < N; i++) {
            cn_real *x = sets[s].x + i * DIMS;
            const size_t class = cn_random_below(&random, 3);
            label[s * N + i] = (uint8_t) class;
            x[0] = (cn_real)(1000 + gap * (class == 1) + number(&random));
            x[1] = (cn_real)(0.001 * (gap * (class == 2) + number(&random)));
            x[2] = (cn_real)number(&random);
            x[3] = (cn_real)0.1;
        }
    }
    const probe_labels labels = {3, label, label + N};
    ck_assert(probe_accuracy(&sets[0], &sets[1], &labels, 1, &accuracy, &err));
    probe_features_free(&sets[0]);
    probe_features_free(&sets[1]);
    return accuracy;
}

START_TEST(probes)
{
    const double apart = probe_of(4, 1), mixed = probe_of(0, 2);
    printf("probe: %.3f of classes that are apart, %.3f of classes that are not\n", apart, mixed);
    ck_assert_double_ge(apart, 0.99);
    ck_assert_double_eq_tol(mixed, 1.0 / 3, 0.09);
}
END_TEST

/* ---- a whole training ---- */

enum { IMAGES = 64, MOST = 80000 };

typedef struct trained {
    uint32_t label[IMAGES];
    train_cut cut;
    size_t count, gammas;
    cn_real value[MOST];
} trained;

static void train_all(const cn_data *data, size_t threads, bool guided, trained *to)
{
    const train_options how = {.epochs = {1, 1, 2, 1},
                               .batch = 16,
                               .clusters = 20,
                               .threads = threads,
                               .rate = 0.05,
                               .temperature = 0.1,
                               .macs = 0.5,
                               .seed = 1};
    cn_error err = {""};
    train t;
    double spread;
    memset(to, 0, sizeof *to);
    ck_assert_msg(train_pseudo_classes(data, &how, NULL, to->label, &spread, &err), "%s", err.text);
    ck_assert_msg(train_open(&t, data, &how, guided ? to->label : NULL, NULL, &err), "%s",
                  err.text);
    ck_assert_msg(train_encoder(&t, &err), "%s", err.text);
    ck_assert_msg(train_pruned(&t, &to->cut, NULL, NULL, &err), "%s", err.text);
    for (size_t i = 0; i < t.net->param_count; i++) {
        const cn_param *p = &t.net->params[i];
        ck_assert_uint_le(to->count + p->count, MOST);
        memcpy(to->value + to->count, p->value, p->count * sizeof *p->value);
        to->count += p->count;
        if (p->trained) to->gammas += p->count;
    }
    train_close(&t);
}

START_TEST(training)
{
    cn_data data;
    cn_error err;
    trained *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    ck_assert(a && b);
    ck_assert(cn_data_shapes(IMAGES, 1, &data, &err));
    train_all(&data, 1, true, a);
    printf("training %s: %.0f of %.0f MACs are left; NT-Xent %.6f before the cut, %.6f after; "
           "outputs within %.2g\n",
           CN_DTYPE_NAME, a->cut.after.macs, a->cut.before.macs, a->cut.loss[0], a->cut.loss[1],
           a->cut.difference);
    ck_assert_double_le(a->cut.after.macs, 0.5 * a->cut.before.macs);
    ck_assert_double_gt(a->cut.after.macs, 0.3 * a->cut.before.macs);
    ck_assert_double_le(a->cut.difference, is_double ? 1e-13 : 1e-5);
    /* The network is as large as its description says. */
    ck_assert_double_eq((double)a->gammas, a->cut.after.params);
    /* No label of the images has a say, and neither have threads. */
    for (size_t i = 0; i < IMAGES; i++) data.labels[i] = (uint8_t)((3 * i + 1) % 10);
    train_all(&data, 2, true, b);
    ck_assert_mem_eq(a->label, b->label, sizeof a->label);
    ck_assert_uint_eq(a->count, b->count);
    ck_assert_mem_eq(a->value, b->value, a->count * sizeof *a->value);
    /* Pseudo-classes have. */
    train_all(&data, 1, false, b);
    ck_assert(a->count != b->count || memcmp(a->value, b->value, a->count * sizeof *a->value) != 0);
    free(a);
    free(b);
    cn_data_free(&data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("simclr");
    TCase *tests = tcase_create("parts");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, contrast_as_pytorch);
    tcase_add_test(tests, contrast_by_differences);
    tcase_add_test(tests, clusters_of_a_few_points);
    tcase_add_test(tests, clusters_far_apart);
    tcase_add_test(tests, clusters_of_equal_points);
    tcase_add_test(tests, batches_with_pseudo_classes);
    tcase_add_test(tests, batches_without);
    tcase_add_test(tests, batches_that_cannot_be);
    tcase_add_test(tests, views_without_change);
    tcase_add_test(tests, views_of_a_ramp);
    tcase_add_test(tests, views_of_a_plane);
    tcase_add_test(tests, views_of_a_colour);
    tcase_add_test(tests, views_in_colours);
    tcase_add_test(tests, noise);
    tcase_add_test(tests, features_and_head);
    tcase_add_test(tests, probes);
    tcase_add_test(tests, training);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

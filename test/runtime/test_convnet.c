/* The runtime by itself, without any data: gradients against finite differences, threads,
 * optimizer, data, learning. */
#define _POSIX_C_SOURCE 200809L
#include "direct.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const bool exact = sizeof(cn_real) == sizeof(double);

/* How much of the long tests is wanted: valgrind runs set less than 1. */
static double scale(void)
{
    const char *text = getenv("MSKP_TEST_SCALE");
    return text ? atof(text) : 1;
}

static cn_net *make(size_t count, const cn_layer *layers, size_t batch, size_t threads)
{
    cn_error err = {""};
    cn_net *net = cn_create("test", count, layers,
                            &(cn_options){.batch = batch, .threads = threads, .seed = 7}, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    return net;
}

static cn_real *random_images(cn_random *random, const cn_net *net, size_t n, uint8_t *labels)
{
    const cn_layer *in = &net->layers[0];
    const size_t count = n * in->channels * in->height * in->width;
    cn_real *images = malloc(count * sizeof *images);
    ck_assert_ptr_nonnull(images);
    for (size_t i = 0; i < count; i++) images[i] = (cn_real)cn_random_normal(random);
    for (size_t i = 0; i < n; i++) labels[i] = (uint8_t)cn_random_below(random, net->classes);
    return images;
}

/* ---- gradients ---- */

/* from NULL: cn_loss. */
static double loss_of(cn_net *net, const uint8_t *labels, const cn_distillation *from)
{
    return from ? cn_loss_distilled(net, labels, from, NULL) : cn_loss(net, labels, NULL);
}

/* Central differences of the loss for some elements of every parameter. */
static void check_gradients_of(size_t count, const cn_layer *layers, size_t n, uint64_t seed,
                               const cn_distillation *from)
{
    if (!exact) return; /* differences in float would show nothing */
    const size_t samples = scale() < 1 ? 2 : 12;
    cn_random random = {seed};
    uint8_t labels[64];
    cn_net *net = make(count, layers, n, 1);
    cn_real *images = random_images(&random, net, n, labels);
    for (size_t i = 0; i < net->param_count; i++)
        for (size_t k = 0; net->params[i].trained && k < net->params[i].count; k++)
            net->params[i].value[k] += (cn_real)(0.3 * cn_random_normal(&random));
    cn_forward(net, n, images, true);
    loss_of(net, labels, from);
    cn_backward(net);
    double size = 1e-2; /* a bias before batch norm has gradient 0, and quotients as noisy as its
                            neighbours' */
    for (size_t i = 0; i < net->param_count; i++)
        for (size_t k = 0; net->params[i].trained && k < net->params[i].count; k++)
            size = fmax(size, fabs((double)net->params[i].gradient[k]));
    for (size_t i = 0; i < net->param_count; i++) {
        const cn_param *p = &net->params[i];
        for (size_t sample = 0; p->trained && sample < samples; sample++) {
            const size_t k = cn_random_below(&random, p->count);
            const cn_real old = p->value[k];
            const double h = 1e-6;
            double loss[2];
            for (int side = 0; side < 2; side++) {
                p->value[k] = old + (cn_real)(side ? h : -h);
                cn_forward(net, n, images, true);
                loss[side] = loss_of(net, labels, from);
            }
            p->value[k] = old;
            const double slope = (loss[1] - loss[0]) / (2 * h);
            if (fabs(slope - (double)p->gradient[k]) > 2e-6 * size) {
                char text[4096];
                cn_summary(net, text, sizeof text);
                ck_abort_msg("seed %llu, %s[%zu]: gradient %g, difference quotient %g\n%s",
                             (unsigned long long)seed, p->name, k, (double)p->gradient[k], slope,
                             text);
            }
        }
    }
    free(images);
    cn_destroy(net);
}

static void check_gradients(size_t count, const cn_layer *layers, size_t n, uint64_t seed)
{
    check_gradients_of(count, layers, n, seed, NULL);
}

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

START_TEST(gradient_conv)
{
    const cn_layer layers[] = {
        {.kind = CN_INPUT, .name = "image", .channels = 2, .height = 11, .width = 9},
        {.kind = CN_CONV,
         .name = "a",
         .in = {0},
         .channels = 3,
         .size = {3, 2},
         .stride = {2, 1},
         .pad = {1, 0},
         .bias = true},
        {.kind = CN_CONV,
         .name = "b",
         .in = {1},
         .channels = 4,
         .size = {5, 3},
         .stride = {3, 2},
         .pad = {4, 2}},
        {.kind = CN_RELU, .name = "c", .in = {2}},
        {.kind = CN_CONV,
         .name = "d",
         .in = {3},
         .channels = 2,
         .size = {1, 1},
         .stride = {2, 3},
         .bias = true},
        {.kind = CN_GLOBAL_AVERAGE, .name = "e", .in = {4}},
        {.kind = CN_LINEAR, .name = "f", .in = {5}, .channels = 3, .bias = true},
    };
    for (size_t n = 1; n < 20; n += 3) check_gradients(COUNT(layers), layers, n, n);
}
END_TEST

START_TEST(gradient_norm)
{
    const cn_layer layers[] = {
        {.kind = CN_INPUT, .name = "image", .channels = 2, .height = 5, .width = 4},
        {.kind = CN_BATCH_NORM, .name = "a", .in = {0}},
        {.kind = CN_CONV, .name = "b", .in = {1}, .channels = 3, .size = {3, 3}, .pad = {1, 1}},
        {.kind = CN_BATCH_NORM, .name = "c", .in = {2}},
        {.kind = CN_BATCH_NORM, .name = "d", .in = {3}},
        {.kind = CN_RELU, .name = "e", .in = {4}},
        {.kind = CN_GLOBAL_AVERAGE, .name = "f", .in = {5}},
        {.kind = CN_LINEAR, .name = "g", .in = {6}, .channels = 4},
        {.kind = CN_BATCH_NORM, .name = "h", .in = {7}},
    };
    for (size_t n = 4; n < 20; n += 5) check_gradients(COUNT(layers), layers, n, n);
}
END_TEST

/* Values that several layers read, also twice by one, before and after others have overwritten
 * theirs. */
START_TEST(gradient_add)
{
    const cn_layer layers[] = {
        {.kind = CN_INPUT, .name = "image", .channels = 2, .height = 4, .width = 5},
        {.kind = CN_CONV, .name = "a", .in = {0}, .channels = 3, .size = {3, 3}, .pad = {1, 1}},
        {.kind = CN_ADD, .name = "b", .in = {1, 1}},
        {.kind = CN_RELU, .name = "c", .in = {2}},
        {.kind = CN_ADD, .name = "d", .in = {3, 1}},
        {.kind = CN_BATCH_NORM, .name = "e", .in = {4}},
        {.kind = CN_ADD, .name = "f", .in = {4, 5}},
        {.kind = CN_ADD, .name = "g", .in = {6, 4}},
        {.kind = CN_RELU, .name = "h", .in = {4}},
        {.kind = CN_ADD, .name = "i", .in = {8, 7}},
        {.kind = CN_CONV, .name = "j", .in = {9}, .channels = 2, .size = {1, 1}},
        {.kind = CN_ADD, .name = "k", .in = {0, 10}},
        {.kind = CN_RELU, .name = "l", .in = {11}},
        {.kind = CN_GLOBAL_AVERAGE, .name = "m", .in = {12}},
    };
    check_gradients(COUNT(layers), layers, 11, 1);
}
END_TEST

START_TEST(gradient_pool)
{
    const cn_layer layers[] = {
        {.kind = CN_INPUT, .name = "image", .channels = 2, .height = 13, .width = 11},
        {.kind = CN_CONV, .name = "a", .in = {0}, .channels = 3, .size = {3, 3}, .pad = {1, 1}},
        {.kind = CN_POOL_MAX,
         .name = "b",
         .in = {1},
         .size = {3, 2},
         .stride = {2, 1},
         .pad = {1, 1}},
        {.kind = CN_POOL_AVERAGE,
         .name = "c",
         .in = {2},
         .size = {2, 3},
         .stride = {1, 3},
         .pad = {1, 2}},
        {.kind = CN_PAD_CHANNELS, .name = "d", .in = {3}, .before = 2, .after = 1},
        {.kind = CN_POOL_AVERAGE, .name = "e", .in = {1}, .size = {1, 1}, .stride = {2, 2}},
        {.kind = CN_GLOBAL_AVERAGE, .name = "f", .in = {4}},
        {.kind = CN_GLOBAL_AVERAGE, .name = "g", .in = {5}},
        {.kind = CN_PAD_CHANNELS, .name = "h", .in = {7}, .before = 0, .after = 3},
        {.kind = CN_ADD, .name = "i", .in = {6, 8}},
    };
    for (size_t n = 1; n < 20; n += 5) check_gradients(COUNT(layers), layers, n, n);
}
END_TEST

/* A value that a concatenation reads twice, with others; branches that are scaled and added. */
START_TEST(gradient_concat)
{
    const cn_layer layers[] = {
        {.kind = CN_INPUT, .name = "image", .channels = 2, .height = 6, .width = 5},
        {.kind = CN_CONV, .name = "a", .in = {0}, .channels = 3, .size = {1, 5}, .pad = {0, 2}},
        {.kind = CN_BATCH_NORM, .name = "b", .in = {1}},
        {.kind = CN_CONCAT, .name = "c", .in = {2, 0, 1, 2}, .inputs = 4},
        {.kind = CN_CONV, .name = "d", .in = {3}, .channels = 3, .size = {5, 1}, .pad = {2, 0}},
        {.kind = CN_SCALE, .name = "e", .in = {4}, .factor = 0.3},
        {.kind = CN_ADD, .name = "f", .in = {2, 5}},
        {.kind = CN_SCALE, .name = "g", .in = {6}, .factor = -2},
        {.kind = CN_RELU, .name = "h", .in = {6}},
        {.kind = CN_CONCAT, .name = "i", .in = {7, 8}, .inputs = 2},
        {.kind = CN_POOL_MAX, .name = "j", .in = {9}, .size = {3, 3}, .stride = {2, 2}},
        {.kind = CN_CONCAT, .name = "k", .in = {10}, .inputs = 1},
        {.kind = CN_GLOBAL_AVERAGE, .name = "l", .in = {11}},
    };
    for (size_t n = 4; n < 20; n += 5) check_gradients(COUNT(layers), layers, n, n);
}
END_TEST

/* Sigmoids of what others read or need, too, upsampling by unequal factors, vectors of length 1. */
START_TEST(gradient_functions)
{
    const cn_layer layers[] = {
        {.kind = CN_INPUT, .name = "image", .channels = 2, .height = 3, .width = 4},
        {.kind = CN_CONV, .name = "a", .in = {0}, .channels = 3, .size = {3, 3}, .pad = {1, 1}},
        {.kind = CN_SIGMOID, .name = "b", .in = {1}},
        {.kind = CN_SCALE, .name = "c", .in = {2}, .factor = 3},
        {.kind = CN_SIGMOID, .name = "d", .in = {3}},
        {.kind = CN_RELU, .name = "e", .in = {4}},
        {.kind = CN_UPSAMPLE, .name = "f", .in = {5}, .size = {3, 2}},
        {.kind = CN_CONV, .name = "g", .in = {6}, .channels = 4, .size = {3, 3}, .stride = {2, 2}},
        {.kind = CN_UPSAMPLE, .name = "h", .in = {2}},
        {.kind = CN_GLOBAL_AVERAGE, .name = "i", .in = {7}},
        {.kind = CN_GLOBAL_AVERAGE, .name = "j", .in = {8}},
        {.kind = CN_CONCAT, .name = "k", .in = {9, 10}, .inputs = 2},
        {.kind = CN_NORMALIZE, .name = "l", .in = {11}},
        {.kind = CN_SCALE, .name = "m", .in = {12}, .factor = 5},
        {.kind = CN_NORMALIZE, .name = "n", .in = {11}},
        {.kind = CN_ADD, .name = "o", .in = {13, 14}},
    };
    for (size_t n = 1; n < 20; n += 5) check_gradients(COUNT(layers), layers, n, n);
}
END_TEST

/* Networks drawn at random: any layer that fits, reading any earlier one; what nobody reads is
 * added up at the end. A convolution has at most `most` channels. */
static size_t random_network(cn_random *random, size_t most, cn_layer *layers)
{
    enum { BODY = 9 };
    size_t count = 1, shapes[64][3], ends[64], end_count = 0;
    bool read[64] = {false};
    layers[0] = (cn_layer){.kind = CN_INPUT,
                           .channels = 1 + cn_random_below(random, 3),
                           .height = 1 + cn_random_below(random, 9),
                           .width = 1 + cn_random_below(random, 9)};
    shapes[0][0] = layers[0].channels, shapes[0][1] = layers[0].height,
    shapes[0][2] = layers[0].width;
    while (count < BODY) {
        cn_layer l = {
            .in = {cn_random_below(random, 3) ? count - 1 : cn_random_below(random, count),
                   cn_random_below(random, count)}};
        size_t *in = shapes[l.in[0]], *other = shapes[l.in[1]], *out = shapes[count];
        static const cn_kind kinds[] = {CN_CONV,         CN_CONV,     CN_BATCH_NORM,   CN_RELU,
                                        CN_ADD,          CN_CONCAT,   CN_SCALE,        CN_SIGMOID,
                                        CN_PAD_CHANNELS, CN_POOL_MAX, CN_POOL_AVERAGE, CN_UPSAMPLE};
        l.kind = kinds[cn_random_below(random, COUNT(kinds))];
        memcpy(out, in, sizeof shapes[0]);
        if (l.kind == CN_ADD && memcmp(in, other, sizeof shapes[0])) continue;
        if (l.kind == CN_CONCAT && memcmp(in + 1, other + 1, 2 * sizeof *in)) continue;
        if (l.kind == CN_CONCAT) out[0] += other[0], l.inputs = 2;
        if (l.kind == CN_SCALE) l.factor = 0.1 + cn_random_unit(random);
        for (size_t axis = 0; axis < 2 && l.kind == CN_UPSAMPLE; axis++) {
            l.size[axis] = 1 + cn_random_below(random, 2);
            out[axis + 1] *= l.size[axis];
        }
        if (l.kind == CN_BATCH_NORM && in[1] * in[2] < 4) continue; /* two points have no slope */
        if (l.kind == CN_PAD_CHANNELS) {
            l.before = cn_random_below(random, 3);
            l.after = cn_random_below(random, 3);
            out[0] += l.before + l.after;
        }
        bool fits = true;
        if (l.kind == CN_CONV || l.kind == CN_POOL_MAX || l.kind == CN_POOL_AVERAGE)
            for (size_t axis = 0; axis < 2; axis++) {
                l.size[axis] = 1 + cn_random_below(random, 4);
                l.stride[axis] = 1 + cn_random_below(random, 3);
                l.pad[axis] = cn_random_below(random, l.kind == CN_CONV ? 4 : l.size[axis]);
                fits = fits && in[axis + 1] + 2 * l.pad[axis] >= l.size[axis];
                if (fits)
                    out[axis + 1] =
                        (in[axis + 1] + 2 * l.pad[axis] - l.size[axis]) / l.stride[axis] + 1;
            }
        if (!fits) continue;
        if (l.kind == CN_CONV) {
            out[0] = l.channels = 1 + cn_random_below(random, most);
            l.bias = cn_random_below(random, 2);
        }
        read[l.in[0]] = true;
        if (l.kind == CN_ADD || l.kind == CN_CONCAT) read[l.in[1]] = true;
        layers[count++] = l;
    }
    for (size_t i = 0; i < BODY; i++) {
        if (read[i]) continue;
        layers[count] = (cn_layer){.kind = CN_GLOBAL_AVERAGE, .in = {i}};
        layers[count + 1] = (cn_layer){
            .kind = CN_LINEAR, .in = {count}, .channels = 4, .bias = cn_random_below(random, 2)};
        ends[end_count++] = count + 1;
        count += 2;
    }
    for (size_t i = 1, sum = ends[0]; i < end_count; i++, sum = count++)
        layers[count] = (cn_layer){.kind = CN_ADD, .in = {sum, ends[i]}};
    for (size_t i = 0; i < count; i++) snprintf(layers[i].name, sizeof layers[i].name, "l%zu", i);
    return count;
}

START_TEST(gradient_random)
{
    for (uint64_t seed = 1; exact && (double)seed <= fmax(5, 300 * scale()); seed++) {
        cn_random random = {seed};
        cn_layer layers[64];
        const size_t count = random_network(&random, 5, layers);
        check_gradients(count, layers, 1 + cn_random_below(&random, 20), seed);
    }
}
END_TEST

/* ---- distillation ---- */

static const cn_layer DISTILLED[] = {
    {.kind = CN_INPUT, .name = "image", .channels = 2, .height = 5, .width = 4},
    {.kind = CN_CONV, .name = "a", .in = {0}, .channels = 3, .size = {3, 3}, .pad = {1, 1}},
    {.kind = CN_BATCH_NORM, .name = "b", .in = {1}},
    {.kind = CN_RELU, .name = "c", .in = {2}},
    {.kind = CN_GLOBAL_AVERAGE, .name = "d", .in = {3}},
    {.kind = CN_LINEAR, .name = "e", .in = {4}, .channels = 5, .bias = true},
};

START_TEST(gradient_distilled)
{
    cn_random random = {5};
    cn_real teacher[20 * 5];
    for (size_t i = 0; i < COUNT(teacher); i++)
        teacher[i] = (cn_real)(3 * cn_random_normal(&random));
    for (uint64_t seed = 1; seed <= 20; seed++) {
        const cn_distillation from = {teacher, 0.5 + 6 * cn_random_unit(&random),
                                      (double)(seed % 5) / 4};
        check_gradients_of(COUNT(DISTILLED), DISTILLED, 4 + cn_random_below(&random, 17), seed,
                           &from);
    }
}
END_TEST

static double largest_gradient(const cn_net *net)
{
    double largest = 0;
    for (size_t i = 0; i < net->param_count; i++)
        for (size_t k = 0; net->params[i].trained && k < net->params[i].count; k++)
            largest = fmax(largest, fabs((double)net->params[i].gradient[k]));
    return largest;
}

/* Cases in which the loss is known: of no share it is cn_loss; of a teacher that is sure of the
 * labels it is cn_loss at temperature 1, whatever the share; and from its own logits a network has
 * nothing to learn. */
START_TEST(distillation)
{
    enum { N = 9, CLASSES = 5 };
    const double tolerance = exact ? 1e-13 : 1e-5;
    cn_random random = {8};
    uint8_t labels[N];
    cn_real sure[N * CLASSES] = {0}, own[N * CLASSES];
    size_t right, taught;
    cn_net *net = make(COUNT(DISTILLED), DISTILLED, N, 1);
    cn_real *images = random_images(&random, net, N, labels);
    memcpy(own, cn_forward(net, N, images, true), sizeof own);
    const double plain = cn_loss(net, labels, &right);
    cn_backward(net);
    const double size = largest_gradient(net);
    ck_assert_double_gt(size, 0.01);
    for (size_t i = 0; i < N; i++) sure[i * CLASSES + labels[i]] = 1000;

    ck_assert(cn_loss_distilled(net, labels, &(cn_distillation){own, 3, 0}, &taught) == plain);
    ck_assert_uint_eq(taught, right);
    ck_assert_double_eq_tol(cn_loss_distilled(net, labels, &(cn_distillation){sure, 1, 0.7}, NULL),
                            plain, tolerance);
    cn_backward(net);
    ck_assert_double_eq_tol(largest_gradient(net), size, tolerance);

    double entropy = 0; /* of the own probabilities at temperature 2 */
    for (size_t i = 0; i < N; i++) {
        double sum = 0;
        for (size_t c = 0; c < CLASSES; c++) sum += exp((double)own[i * CLASSES + c] / 2);
        for (size_t c = 0; c < CLASSES; c++) {
            const double p = exp((double)own[i * CLASSES + c] / 2) / sum;
            entropy -= p * log(p) / N;
        }
    }
    ck_assert_double_eq_tol(cn_loss_distilled(net, labels, &(cn_distillation){own, 2, 1}, NULL),
                            4 * entropy, tolerance);
    cn_backward(net);
    ck_assert_double_lt(largest_gradient(net), tolerance * size);
    free(images);
    cn_destroy(net);
}
END_TEST

/* ---- the same whatever the kernels, up to roundings ---- */

/* The largest difference of what cn_forward and cn_backward give for two kinds of kernels, over the
 * largest number of the same parameter. */
static double kernels_differ(const char *kernels, uint64_t seed)
{
    cn_random random = {seed};
    cn_layer layers[64];
    cn_net *net[2];
    uint8_t labels[64];
    const cn_real *logits[2];
    const size_t count = random_network(&random, 30, layers), n = 1 + cn_random_below(&random, 20);
    /* Roundings decide what ReLU and max pooling take, and batch norm of few points magnifies them.
     * A channel padding of nothing is the identity. */
    for (size_t i = 0; i < count; i++) {
        cn_layer *l = &layers[i];
        if (l->kind == CN_RELU || l->kind == CN_BATCH_NORM) l->kind = CN_PAD_CHANNELS;
        if (l->kind == CN_POOL_MAX) l->kind = CN_POOL_AVERAGE;
    }
    setenv("CN_KERNELS", "openblas", 1);
    net[0] = make(count, layers, n, 1);
    setenv("CN_KERNELS", kernels, 1);
    net[1] = make(count, layers, n, 1);
    unsetenv("CN_KERNELS");
    cn_real *images = random_images(&random, net[0], n, labels);
    double worst = 0;
    for (size_t k = 0; k < 2; k++) {
        logits[k] = cn_forward(net[k], n, images, true);
        cn_loss(net[k], labels, NULL);
        cn_backward(net[k]);
    }
    for (size_t i = 0; i < net[0]->param_count; i++) {
        const cn_param *a = &net[0]->params[i], *b = &net[1]->params[i];
        double most = 1e-3, gap = 0;
        for (size_t k = 0; a->trained && k < a->count; k++) {
            most = fmax(most, fabs((double)a->gradient[k]));
            gap = fmax(gap, fabs((double)(a->gradient[k] - b->gradient[k])));
        }
        worst = fmax(worst, gap / most);
    }
    for (size_t i = 0; i < n * net[0]->classes; i++)
        worst = fmax(worst, fabs((double)(logits[0][i] - logits[1][i])) /
                                (1 + fabs((double)logits[0][i])));
    free(images);
    cn_destroy(net[0]);
    cn_destroy(net[1]);
    return worst;
}

/* Where there is no AVX-512, the same kernels are compared twice. */
START_TEST(kernels_agree)
{
    const char *const kernels[] = {"avx2", ""};
    if (!cn_direct_kernels()) {
        printf("skipped: kernels beside OpenBLAS, which this processor or this cn_real has not\n");
        return;
    }
    for (uint64_t seed = 1; (double)seed <= fmax(20, 300 * scale()); seed++)
        for (size_t k = 0; k < COUNT(kernels); k++) {
            const double gap = kernels_differ(kernels[k], seed);
            ck_assert_msg(gap < 1e-4, "seed %llu: %s differ by %g", (unsigned long long)seed,
                          *kernels[k] ? kernels[k] : "the best kernels", gap);
        }
}
END_TEST

/* ---- the same whatever the number of threads, bit for bit ---- */

static void train_two_steps(size_t threads, cn_real *result, size_t capacity)
{
    cn_random random = {3};
    cn_error err = {""};
    const size_t n = scale() < 1 ? 20 : 75; /* more slices than lanes, and the last one not full */
    uint8_t labels[75];
    cn_net *net = cn_resnet(8, 10, &(cn_options){.batch = n, .threads = threads, .seed = 1}, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    cn_real *images = random_images(&random, net, n, labels);
    for (int step = 0; step < 2; step++) {
        cn_forward(net, n, images, true);
        cn_loss(net, labels, NULL);
        cn_backward(net);
        cn_sgd_step(net, &(cn_sgd){.rate = 0.1, .momentum = 0.9, .decay = 1e-4});
    }
    size_t at = 0;
    for (size_t i = 0; i < net->param_count; i++) {
        ck_assert_uint_le(at + net->params[i].count, capacity);
        memcpy(result + at, net->params[i].value, net->params[i].count * sizeof *result);
        at += net->params[i].count;
    }
    free(images);
    cn_destroy(net);
}

START_TEST(threads_agree)
{
    enum { CAPACITY = 100000 };
    cn_real *one = calloc(CAPACITY, sizeof *one), *many = calloc(CAPACITY, sizeof *many);
    train_two_steps(1, one, CAPACITY);
    for (size_t threads = 2; threads <= 5; threads += 3) {
        train_two_steps(threads, many, CAPACITY);
        ck_assert_mem_eq(one, many, CAPACITY * sizeof *one);
    }
    free(one);
    free(many);
}
END_TEST

/* An image's logits do not depend on its company. */
START_TEST(batches_agree)
{
    cn_random random = {3};
    cn_error err = {""};
    uint8_t labels[21];
    cn_net *net = cn_resnet(8, 10, &(cn_options){.batch = 21, .threads = 2, .seed = 1}, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    cn_real *images = random_images(&random, net, 21, labels), all[210];
    memcpy(all, cn_forward(net, 21, images, false), sizeof all);
    for (size_t i = 0; i < 21; i++) {
        const cn_real *one = cn_forward(net, 1, images + i * CN_PIXELS, false);
        for (size_t c = 0; c < 10; c++)
            ck_assert_double_lt(fabs((double)(one[c] - all[i * 10 + c])), exact ? 1e-12 : 1e-4);
    }
    ck_assert_ptr_null(cn_forward(net, 0, images, false));
    ck_assert_ptr_null(cn_forward(net, 22, images, false));
    free(images);
    cn_destroy(net);
}
END_TEST

/* ---- networks ---- */

START_TEST(networks)
{
    cn_error err = {""};
    char text[8192];
    ck_assert_uint_eq(cn_resnet_layers(21, 10, NULL, 0), 0);
    ck_assert_ptr_null(cn_resnet(21, 10, NULL, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "21"));
    cn_net *net = cn_resnet(20, 10, NULL, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    size_t elements = 0;
    for (size_t i = 0; i < net->param_count; i++)
        elements += net->params[i].trained ? net->params[i].count : 0;
    ck_assert_uint_eq(elements, 269722); /* PyTorch's count */
    ck_assert_str_eq(net->model, "resnet20");
    const cn_layer *cut = &net->layers[cn_find_layer(net, "layer2.0.shortcut")];
    ck_assert_uint_eq(cut->before, 8);
    ck_assert_uint_eq(cut->after, 8);
    ck_assert_uint_eq(cn_find_layer(net, "layer9"), CN_NONE);
    ck_assert_uint_eq(net->params[cn_find_param(net, "linear.weight")].shape[1], 64);
    const size_t length = cn_summary(net, NULL, 0);
    ck_assert_uint_lt(length, sizeof text);
    ck_assert_uint_eq(cn_summary(net, text, sizeof text), length);
    ck_assert_uint_eq(strlen(text), length);
    cn_destroy(net);

    static const struct {
        const char *word; /* in the sentence */
        cn_layer layer;
    } bad[] = {
        {"not before it", {.kind = CN_RELU, .name = "x", .in = {1}}},
        {"does not fit", {.kind = CN_CONV, .name = "x", .channels = 1, .size = {6, 1}}},
        {"one pixel", {.kind = CN_LINEAR, .name = "x", .channels = 1}},
        {"1 to 6", {.kind = CN_CONCAT, .name = "x"}},
        {"1 to 6", {.kind = CN_CONCAT, .name = "x", .inputs = 7}},
        {"not before it", {.kind = CN_CONCAT, .name = "x", .in = {0, 1}, .inputs = 2}},
        {"factor", {.kind = CN_SCALE, .name = "x"}},
        {"factor", {.kind = CN_SCALE, .name = "x", .factor = NAN}},
        {"one pixel", {.kind = CN_NORMALIZE, .name = "x"}},
        {"too many", {.kind = CN_UPSAMPLE, .name = "x", .size = {1, SIZE_MAX / 2}}},
        {"too large", {.kind = CN_UPSAMPLE, .name = "x", .size = {50000, 5000}}},
        {"both called", {.kind = CN_RELU, .name = "image"}},
        {"no name", {.kind = CN_RELU, .name = ""}},
        {"no name", {.kind = CN_RELU, .name = "a b"}},
        {"empty or too large", {.kind = CN_CONV, .name = "x", .size = {5, 5}}},
        {"too large", {.kind = CN_CONV, .name = "x", .channels = 1000000000, .size = {5, 5}}},
        {"above the limit",
         {.kind = CN_CONV, .name = "x", .channels = 1, .pad = {SIZE_MAX / 2, 0}}},
        {"windows", {.kind = CN_POOL_MAX, .name = "x", .size = {2, 2}, .pad = {2, 0}}},
        {"only layer 0", {.kind = CN_INPUT, .name = "x", .channels = 1, .height = 1, .width = 1}},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        const cn_layer layers[] = {
            {.kind = CN_INPUT, .name = "image", .channels = 2, .height = 5, .width = 5},
            bad[i].layer};
        ck_assert_ptr_null(cn_create("", 2, layers, NULL, &err));
        ck_assert_msg(strstr(err.text, bad[i].word) != NULL, "%zu: %s", i, err.text);
    }
    const cn_layer pixels[] = {
        {.kind = CN_INPUT, .name = "image", .channels = 2, .height = 5, .width = 5},
        {.kind = CN_POOL_MAX, .name = "pool", .in = {0}, .size = {5, 1}},
        {.kind = CN_CONCAT, .name = "x", .in = {0, 1}, .inputs = 2}};
    ck_assert_ptr_null(cn_create("", COUNT(pixels), pixels, NULL, &err));
    ck_assert_str_eq(err.text, "x: image has 5 x 5 pixels, but pool has 1 x 5");
    const cn_layer shifts[] = {pixels[0],
                               {.kind = CN_SHIFT, .name = "shift", .channels = 2},
                               {.kind = CN_CONCAT, .name = "x", .in = {0, 1}, .inputs = 2}};
    ck_assert_ptr_null(cn_create("", COUNT(shifts), shifts, NULL, &err));
    ck_assert_msg(strstr(err.text, "x: reads shift, a shift") != NULL, "%s", err.text);
    ck_assert_ptr_null(cn_create("", 0, bad[0].word ? &bad[0].layer : NULL, NULL, NULL));
}
END_TEST

/* Packs the first two of three columns of "linear.weight", as if "conv" lost its last channel. */
typedef struct packing {
    cn_net *net;
    bool fail;
    size_t calls;
} packing;

static bool pack(void *context, cn_error *err)
{
    packing *p = context;
    p->calls++;
    if (p->fail) {
        snprintf(err->text, sizeof err->text, "no packing today");
        return false;
    }
    cn_real *value = p->net->params[cn_find_param(p->net, "linear.weight")].value;
    value[2] = value[3];
    value[3] = value[4];
    return true;
}

/* What must be refused, and that the network then answers as before. */
static void refuse_resize(packing *p, const cn_layer *layers, const cn_real *images,
                          const cn_real before[4], const char *word)
{
    cn_error err = {""};
    ck_assert(!cn_resize(p->net, layers, pack, p, &err));
    ck_assert_msg(strstr(err.text, word) != NULL, "%s", err.text);
    ck_assert_uint_eq(p->net->layers[1].channels, 3);
    ck_assert_mem_eq(cn_forward(p->net, 2, images, false), before, 4 * sizeof *before);
}

START_TEST(resize)
{
    cn_layer layers[] = {
        {.kind = CN_INPUT, .name = "image", .channels = 2, .height = 4, .width = 4},
        {.kind = CN_CONV, .name = "conv", .in = {0}, .channels = 3, .bias = true},
        {.kind = CN_GLOBAL_AVERAGE, .name = "average", .in = {1}},
        {.kind = CN_LINEAR, .name = "linear", .in = {2}, .channels = 2},
    };
    cn_random random = {5};
    cn_error err = {""};
    uint8_t labels[2];
    cn_real before[4];
    packing p = {.net = make(4, layers, 2, 1)};
    cn_real *images = random_images(&random, p.net, 2, labels);
    cn_real *value = p.net->params[cn_find_param(p.net, "linear.weight")].value;
    value[2] = value[5] = 0;
    memcpy(before, cn_forward(p.net, 2, images, false), sizeof before);

    layers[1].channels = 4;
    refuse_resize(&p, layers, images, before, "do not fit");
    layers[1].channels = 0;
    refuse_resize(&p, layers, images, before, "conv");
    layers[1].channels = 2;
    layers[3].channels = 1;
    refuse_resize(&p, layers, images, before, "cannot become 1 x 1 x 1");
    ck_assert_uint_eq(p.calls, 0);
    layers[3].channels = 2;
    p.fail = true;
    refuse_resize(&p, layers, images, before, "no packing today");

    p.fail = false;
    ck_assert_msg(cn_resize(p.net, layers, pack, &p, &err), "%s", err.text);
    ck_assert_uint_eq(p.calls, 2);
    ck_assert_uint_eq(p.net->layers[2].channels, 2);
    ck_assert_uint_eq(p.net->params[cn_find_param(p.net, "linear.weight")].count, 4);
    const cn_real *after = cn_forward(p.net, 2, images, true);
    for (size_t i = 0; i < 4; i++)
        ck_assert_double_lt(fabs((double)(after[i] - before[i])), exact ? 1e-14 : 1e-5);
    cn_loss(p.net, labels, NULL);
    cn_backward(p.net);
    free(images);
    cn_destroy(p.net);
}
END_TEST

/* ---- optimizer ---- */

START_TEST(sgd)
{
    cn_error err = {""};
    const cn_layer layers[] = {
        {.kind = CN_INPUT, .name = "image", .channels = 1, .height = 1, .width = 1},
        {.kind = CN_LINEAR, .name = "x", .channels = 2}};
    for (int nesterov = 0; nesterov < 2; nesterov++) {
        cn_net *net = cn_create("", 2, layers, NULL, &err);
        ck_assert_msg(net != NULL, "%s", err.text);
        cn_param *p = &net->params[0];
        double w = 1.5, m = 0;
        p->value[0] = 1.5;
        for (int step = 0; step < 4; step++) {
            const double g = 0.25 * step - 0.5, whole = g + 0.01 * w;
            p->gradient[0] = (cn_real)g;
            cn_sgd_step(
                net, &(cn_sgd){.rate = 0.1, .momentum = 0.9, .decay = 0.01, .nesterov = nesterov});
            m = 0.9 * m + whole;
            w -= 0.1 * (nesterov ? whole + 0.9 * m : m);
            ck_assert_double_lt(fabs((double)p->value[0] - w), exact ? 1e-14 : 1e-6);
        }
        cn_sgd_reset(net);
        ck_assert(p->momentum[0] == 0);
        cn_destroy(net);
    }
}
END_TEST

START_TEST(rates)
{
    const size_t at[] = {100, 150};
    ck_assert_double_eq_tol(cn_rate_step(0.1, 0.1, 99, 2, at), 0.1, 1e-15);
    ck_assert_double_eq_tol(cn_rate_step(0.1, 0.1, 100, 2, at), 0.01, 1e-15);
    ck_assert_double_eq_tol(cn_rate_step(0.1, 0.1, 199, 2, at), 0.001, 1e-15);
    ck_assert_double_eq_tol(cn_rate_cosine(0.1, 0, 100), 0.1, 1e-15);
    ck_assert_double_eq_tol(cn_rate_cosine(0.1, 50, 100), 0.05, 1e-15);
    ck_assert_double_eq_tol(cn_rate_cosine(0.1, 100, 100), 0, 1e-15);
}
END_TEST

/* ---- data ---- */

START_TEST(random_numbers)
{
    enum { N = 1000 };
    cn_random random = {1};
    size_t indices[N], counts[7] = {0};
    bool seen[N] = {false};
    double mean = 0, square = 0;
    ck_assert_uint_eq(cn_random_bits(&random),
                      0x910a2dec89025cc1u); /* splitmix64's first number for seed 1 */
    for (size_t i = 0; i < 7 * N; i++) counts[cn_random_below(&random, 7)]++;
    for (size_t i = 0; i < 7; i++) ck_assert(counts[i] > 850 && counts[i] < 1150);
    for (size_t i = 0; i < N; i++) {
        const double x = cn_random_normal(&random);
        mean += x / N;
        square += x * x / N;
        indices[i] = i;
    }
    ck_assert(fabs(mean) < 0.15 && fabs(square - 1) < 0.15);
    cn_shuffle(&random, N, indices);
    for (size_t i = 0; i < N; i++) {
        ck_assert(indices[i] < N && !seen[indices[i]]);
        seen[indices[i]] = true;
    }
}
END_TEST

START_TEST(augmentation)
{
    cn_error err = {""};
    cn_data data;
    ck_assert_msg(cn_data_shapes(3, 9, &data, &err), "%s", err.text);
    static cn_real plain[CN_PIXELS], other[CN_PIXELS];
    uint8_t label;
    const size_t index = 2;
    cn_random random = {4};
    cn_draw(&data, 1, &index, NULL, plain, &label);
    ck_assert_int_eq(label, 2);
    const float byte = data.pixels[2 * CN_PIXELS + 1024 + 5];
    ck_assert_double_eq_tol((double)plain[1024 + 5], (double)((byte / 255 - 0.456f) / 0.224f),
                            1e-6);
    for (int round = 0; round < 40; round++) {
        cn_draw(&data, 1, &index, &random, other, &label);
        int found = 0; /* is it one of the 81 crops, mirrored or not? */
        for (int k = 0; k < 162; k++) {
            bool same = true;
            for (int y = 0; same && y < 32; y++)
                for (int x = 0; same && x < 32; x++) {
                    const int fy = y + k / 2 % 9 - 4, fx = (k % 2 ? 31 - x : x) + k / 18 - 4;
                    const bool in = fy >= 0 && fy < 32 && fx >= 0 && fx < 32;
                    same = other[y * 32 + x] == (in ? plain[fy * 32 + fx] : 0);
                }
            found += same;
        }
        ck_assert_int_ge(found, 1);
    }
    cn_data_free(&data);
}
END_TEST

START_TEST(cifar_errors)
{
    cn_error err = {""};
    cn_data data = {0};
    char folder[64], path[128];
    ck_assert(!cn_data_cifar10("/nonexistent", true, &data, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/data_batch_1.bin"));
    snprintf(folder, sizeof folder, "/tmp/test_convnet_%ld", (long)getpid());
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    snprintf(path, sizeof path, "%s/test_batch.bin", folder);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    for (int i = 0; i < 2 * (CN_PIXELS + 1) + 5; i++) fputc(i == CN_PIXELS + 1 ? 3 : 0, file);
    fclose(file);
    ck_assert(!cn_data_cifar10(folder, false, &data, &err));
    ck_assert_msg(strstr(err.text, "record 3 of 10000") != NULL, "%s", err.text);
    remove(path);
    remove(folder);
}
END_TEST

/* Trains on 5,000 shapes; returns how many of 2,000 others are classified rightly. */
static double learn(cn_net *net, size_t epochs, double rate, bool augment)
{
    enum { N = 5000, TEST = 2000, BATCH = 128 };
    cn_error err = {""};
    cn_data train, test;
    cn_random random = {1};
    ck_assert(cn_data_shapes(N, 1, &train, &err) && cn_data_shapes(TEST, 2, &test, &err));
    cn_real *images = malloc(BATCH * CN_PIXELS * sizeof *images);
    uint8_t labels[BATCH];
    size_t indices[N], step = 0;
    for (size_t i = 0; i < N; i++) indices[i] = i;
    for (size_t epoch = 0; epoch < epochs; epoch++) {
        cn_shuffle(&random, N, indices);
        for (size_t at = 0; at + BATCH <= N; at += BATCH, step++) {
            cn_draw(&train, BATCH, indices + at, augment ? &random : NULL, images, labels);
            cn_forward(net, BATCH, images, true);
            cn_loss(net, labels, NULL);
            cn_backward(net);
            cn_sgd_step(net, &(cn_sgd){.rate = cn_rate_cosine(rate, step, epochs * (N / BATCH)),
                                       .momentum = 0.9,
                                       .decay = 5e-4,
                                       .nesterov = true});
        }
    }
    const size_t right = cn_evaluate(net, &test, NULL, NULL);
    cn_data_free(&train);
    cn_data_free(&test);
    free(images);
    return 100.0 * (double)right / TEST;
}

START_TEST(shapes_need_convolutions)
{
    if (exact) return; /* only the float build reports it */
    if (scale() < 1) {
        printf("skipped: learning, which takes long, as MSKP_TEST_SCALE is below 1\n");
        return;
    }
    cn_error err = {""};
    const cn_options options = {.batch = 128, .threads = 2, .seed = 1};
    const cn_layer layers[] = {
        {.kind = CN_INPUT, .name = "image", .channels = 3, .height = 32, .width = 32},
        {.kind = CN_CONV, .name = "all", .channels = 10, .size = {32, 32}, .bias = true}};
    cn_net *linear = cn_create("", 2, layers, &options, &err),
           *net = cn_resnet(8, 10, &options, &err);
    ck_assert_msg(linear && net, "%s", err.text);
    const double low = fmax(learn(linear, 10, 0.001, false), learn(linear, 5, 0.0001, false));
    const double high = learn(net, 5, 0.2, true);
    printf("shapes: linear classifier %.2f %%, resnet8 after 5 epochs %.2f %% of 2000\n", low,
           high);
    ck_assert_double_lt(low, 60);
    ck_assert_double_gt(high, 90);
    cn_destroy(linear);
    cn_destroy(net);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("convnet");
    TCase *cases = tcase_create("convnet");
    tcase_set_timeout(cases, 300);
    tcase_add_test(cases, gradient_conv);
    tcase_add_test(cases, gradient_norm);
    tcase_add_test(cases, gradient_add);
    tcase_add_test(cases, gradient_pool);
    tcase_add_test(cases, gradient_concat);
    tcase_add_test(cases, gradient_functions);
    tcase_add_test(cases, gradient_random);
    tcase_add_test(cases, gradient_distilled);
    tcase_add_test(cases, distillation);
    tcase_add_test(cases, kernels_agree);
    tcase_add_test(cases, threads_agree);
    tcase_add_test(cases, batches_agree);
    tcase_add_test(cases, networks);
    tcase_add_test(cases, resize);
    tcase_add_test(cases, sgd);
    tcase_add_test(cases, rates);
    tcase_add_test(cases, random_numbers);
    tcase_add_test(cases, augmentation);
    tcase_add_test(cases, cifar_errors);
    tcase_add_test(cases, shapes_need_convolutions);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Networks of the layers that ResNets do not have, and losses of the caller's: outputs and all
 * gradients are compared with PyTorch's (layers.h, which test/torch/make-layers made). */
#include "convnet.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layers.h"

enum { IMAGES = 2, CHANNELS = 2, HEIGHT = 3, WIDTH = 4 };

static const double tolerance = sizeof(cn_real) == sizeof(double) ? 1e-14 : 2e-6;

static const cn_layer IMAGE[] = {
    {.kind = CN_INPUT, .name = "x", .channels = CHANNELS, .height = HEIGHT, .width = WIDTH},
    {.kind = CN_CONV,
     .name = "a",
     .in = {0},
     .channels = 3,
     .size = {3, 3},
     .pad = {1, 1},
     .bias = true},
    {.kind = CN_RELU, .name = "b", .in = {1}},
    {.kind = CN_CONV, .name = "c", .in = {2}, .channels = 2, .size = {1, 3}, .pad = {0, 1}},
    {.kind = CN_CONV, .name = "d", .in = {2}, .channels = 2, .size = {3, 1}, .pad = {1, 0}},
    {.kind = CN_POOL_AVERAGE, .name = "e", .in = {2}, .size = {3, 3}, .pad = {1, 1}},
    {.kind = CN_CONCAT, .name = "all", .in = {3, 4, 5, 0}, .inputs = 4},
    {.kind = CN_CONV, .name = "f", .in = {6}, .channels = 3, .bias = true},
    {.kind = CN_SCALE, .name = "g", .in = {7}, .factor = 0.2},
    {.kind = CN_ADD, .name = "h", .in = {2, 8}},
    {.kind = CN_UPSAMPLE, .name = "i", .in = {9}, .size = {2, 3}},
    {.kind = CN_CONV,
     .name = "j",
     .in = {10},
     .channels = 1,
     .size = {3, 3},
     .pad = {1, 1},
     .bias = true},
    {.kind = CN_SIGMOID, .name = "k", .in = {11}},
};

static const cn_layer VECTOR[] = {
    {.kind = CN_INPUT, .name = "x", .channels = CHANNELS, .height = HEIGHT, .width = WIDTH},
    {.kind = CN_CONV, .name = "a", .in = {0}, .channels = 4, .size = {3, 3}, .pad = {1, 1}},
    {.kind = CN_RELU, .name = "b", .in = {1}},
    {.kind = CN_GLOBAL_AVERAGE, .name = "c", .in = {2}},
    {.kind = CN_LINEAR, .name = "d", .in = {3}, .channels = 5, .bias = true},
    {.kind = CN_NORMALIZE, .name = "e", .in = {4}},
};

/* The formulas of make-layers. */
static void numbers(size_t count, cn_real *to, size_t factor, size_t modulus, double divisor,
                    size_t first)
{
    for (size_t i = 0; i < count; i++)
        to[i] =
            (cn_real)(((double)((factor * i + first) % modulus) - (double)(modulus / 2)) / divisor);
}

static cn_net *make(size_t count, const cn_layer *layers)
{
    cn_error err = {""};
    cn_net *net = cn_create("", count, layers, &(cn_options){.batch = IMAGES}, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    for (size_t i = 0; i < net->param_count; i++)
        numbers(net->params[i].count, net->params[i].value, 7, 13, 16, 3 * i);
    return net;
}

static double farthest(size_t count, const cn_real *a, const double *b)
{
    double most = 0;
    for (size_t i = 0; i < count; i++) most = fmax(most, fabs((double)a[i] - b[i]));
    return most;
}

/* gradients: rows of `width`, one per parameter. */
static void compare(const char *name, cn_net *net, const double *output, const double *gradients,
                    size_t width)
{
    cn_real x[IMAGES * CHANNELS * HEIGHT * WIDTH];
    const size_t count = IMAGES * net->outputs;
    cn_real *slope = malloc(count * sizeof *slope);
    ck_assert_ptr_nonnull(slope);
    numbers(sizeof x / sizeof *x, x, 5, 17, 8, 0);
    numbers(count, slope, 3, 7, 4, 0);
    const double off = farthest(count, cn_forward(net, IMAGES, x, true), output);
    double worst = 0, size = 0;
    cn_backward_from(net, slope);
    for (size_t i = 0; i < net->param_count; i++) {
        const cn_param *p = &net->params[i];
        worst = fmax(worst, farthest(p->count, p->gradient, gradients + i * width));
        for (size_t k = 0; k < p->count; k++) size = fmax(size, fabs(gradients[i * width + k]));
    }
    printf("%s %s: outputs within %.2g, gradients within %.2g of at most %.3g\n", name,
           CN_DTYPE_NAME, off, worst, size);
    ck_assert_double_lt(off, tolerance);
    ck_assert_double_lt(worst, tolerance * fmax(1, size));
    free(slope);
    cn_destroy(net);
}

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

START_TEST(image)
{
    cn_net *net = make(COUNT(IMAGE), IMAGE);
    ck_assert_uint_eq(net->param_count, COUNT(image_gradients));
    ck_assert_uint_eq(net->outputs * IMAGES, COUNT(image_output[0]));
    ck_assert_uint_eq(net->classes, 0); /* the output is an image */
    compare("image", net, image_output[0], image_gradients[0], COUNT(image_gradients[0]));
}
END_TEST

START_TEST(vector)
{
    cn_net *net = make(COUNT(VECTOR), VECTOR);
    ck_assert_uint_eq(net->param_count, COUNT(vector_gradients));
    ck_assert_uint_eq(net->outputs * IMAGES, COUNT(vector_output[0]));
    ck_assert_uint_eq(net->classes, 5);
    compare("vector", net, vector_output[0], vector_gradients[0], COUNT(vector_gradients[0]));
}
END_TEST

/* What has no classes has no cross entropy; a vector of length 0 stays what it is. */
START_TEST(no_classes)
{
    cn_real x[IMAGES * CHANNELS * HEIGHT * WIDTH] = {0};
    uint8_t labels[IMAGES] = {0}, predictions[IMAGES] = {77, 77};
    cn_net *net = make(COUNT(IMAGE), IMAGE);
    cn_data data = {0};
    cn_forward(net, IMAGES, x, false);
    ck_assert(isnan(cn_loss(net, labels, NULL)));
    ck_assert(isnan(cn_loss_distilled(net, labels, &(cn_distillation){x, 1, 1}, NULL)));
    cn_predictions(net, predictions);
    ck_assert_uint_eq(predictions[0], 77);
    cn_destroy(net);

    const cn_layer layers[] = {
        {.kind = CN_INPUT, .name = "x", .channels = 3, .height = CN_SIDE, .width = CN_SIDE},
        {.kind = CN_UPSAMPLE, .name = "y", .in = {0}}};
    net = cn_create("", 2, layers, NULL, NULL);
    ck_assert_ptr_nonnull(net);
    ck_assert_uint_eq(cn_evaluate(net, &data, NULL, NULL), SIZE_MAX);
    cn_destroy(net);

    net = make(COUNT(VECTOR), VECTOR);
    for (size_t i = 0; i < net->param_count; i++)
        memset(net->params[i].value, 0, net->params[i].count * sizeof *net->params[i].value);
    const cn_real *y = cn_forward(net, IMAGES, x, false);
    for (size_t i = 0; i < IMAGES * net->outputs; i++) ck_assert(y[i] == 0);
    cn_destroy(net);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layers");
    TCase *cases = tcase_create("layers");
    tcase_add_test(cases, image);
    tcase_add_test(cases, vector);
    tcase_add_test(cases, no_classes);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

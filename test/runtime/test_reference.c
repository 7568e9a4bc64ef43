/*
 * The runtime against PyTorch: trained networks, their answers on CIFAR-10's test images and one
 * training step, as described in data/README.md of the folder that MSKP_SHARED names. MSKP_CIFAR
 * names a folder with CIFAR-10's binary files.
 */
#include "convnet.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *shared, *cifar;

static bool available(void)
{
    if (shared && cifar) return true;
    printf("skipped: a comparison with PyTorch, which needs MSKP_SHARED and MSKP_CIFAR\n");
    return false;
}

static void read_reference(int depth, cn_tensors *file)
{
    char path[4096];
    cn_error err = {""};
    snprintf(path, sizeof path, "%s/data/reference/resnet%d-reference.safetensors", shared, depth);
    ck_assert_msg(cn_tensors_read(path, file, &err), "%s", err.text);
}

static cn_net *load(int depth, size_t batch)
{
    char path[4096];
    cn_error err = {""};
    snprintf(path, sizeof path, "%s/data/resnet%d-cifar10.safetensors", shared, depth);
    cn_net *net = cn_load(path, &(cn_options){.batch = batch, .threads = 2}, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    return net;
}

static cn_real *tensor(const cn_tensors *file, const char *name, size_t count)
{
    const cn_tensor *t = cn_tensors_find(file, name);
    cn_error err = {""};
    ck_assert_msg(t != NULL, "%s is missing", name);
    cn_real *values = malloc(count * sizeof *values);
    ck_assert_ptr_nonnull(values);
    ck_assert_msg(cn_tensor_copy(t, count, values, &err), "%s", err.text);
    return values;
}

/* ||a - b|| / ||b|| */
static double distance(size_t n, const cn_real *a, const cn_real *b)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        size += (double)b[i] * (double)b[i];
    }
    return sqrt(difference / size);
}

static void check_eval(int depth, size_t right)
{
    const char *scale = getenv("MSKP_TEST_SCALE");
    if (!available()) return;
    if (scale && atof(scale) < 1) {
        printf("skipped: evaluation, which takes long, as MSKP_TEST_SCALE is below 1\n");
        return;
    }
    cn_tensors file;
    cn_data data;
    cn_error err = {""};
    cn_net *net = load(depth, 128);
    read_reference(depth, &file);
    ck_assert_msg(cn_data_cifar10(cifar, false, &data, &err), "%s", err.text);

    cn_real *images = malloc(64 * CN_PIXELS * sizeof *images), worst = 0;
    cn_real *expected = tensor(&file, "eval.logits", 640);
    uint8_t labels[64], *predictions = malloc(data.count);
    size_t indices[64];
    for (size_t i = 0; i < 64; i++) indices[i] = i;
    cn_draw(&data, 64, indices, NULL, images, labels);
    const cn_real *logits = cn_forward(net, 64, images, false);
    for (size_t i = 0; i < 640; i++)
        if (fabs((double)(logits[i] - expected[i])) > (double)worst)
            worst = (cn_real)fabs((double)(logits[i] - expected[i]));
    printf("resnet%d %s: eval.logits within %.2g\n", depth, CN_DTYPE_NAME, (double)worst);
    ck_assert_double_lt((double)worst, 1e-4);

    if (sizeof(cn_real) == sizeof(float)) {
        size_t flips = 0;
        const size_t found = cn_evaluate(net, &data, NULL, predictions);
        const uint8_t *theirs = cn_tensors_find(&file, "eval.predictions")->data;
        for (size_t i = 0; i < data.count; i++)
            if (predictions[i] != theirs[i]) {
                flips++;
                printf("resnet%d: image %zu is class %d here, %d in PyTorch\n", depth, i,
                       predictions[i], theirs[i]);
            }
        printf("resnet%d: %zu of %zu right, %zu predictions differ\n", depth, found, data.count,
               flips);
        ck_assert_uint_le(flips, 2);
        ck_assert_uint_le(found > right ? found - right : right - found, flips);
    }
    free(images);
    free(expected);
    free(predictions);
    cn_data_free(&data);
    cn_tensors_free(&file);
    cn_destroy(net);
}

/* One training step on train.input. In float one ReLU in three million may change sign, so that
 * only the size is checked. */
static void check_training(int depth)
{
    if (!available()) return;
    enum { N = 16 };
    const bool exact = sizeof(cn_real) == sizeof(double);
    const double limit = exact ? 1e-6 : 2e-2;
    cn_tensors file;
    cn_data data;
    cn_error err = {""};
    cn_net *net = load(depth, N);
    read_reference(depth, &file);
    ck_assert_msg(cn_data_cifar10(cifar, true, &data, &err), "%s", err.text);
    cn_real *images = tensor(&file, "train.input", N * CN_PIXELS),
            *loss = tensor(&file, "train.loss", 1);
    cn_real *expected = tensor(&file, "train.logits", N * 10);
    const cn_real *logits = cn_forward(net, N, images, true);
    double worst = distance(N * 10, logits, expected);
    const char *where = "train.logits";
    const double found = cn_loss(net, data.labels, NULL);
    ck_assert_double_lt(fabs(found - (double)loss[0]), limit * (double)loss[0]);
    cn_backward(net);

    size_t gradients = 0, statistics = 0;
    for (size_t i = 0; i < net->param_count; i++) {
        const cn_param *p = &net->params[i];
        char name[128];
        snprintf(name, sizeof name, "%s.%s", p->trained ? "grad" : "after", p->name);
        const cn_tensor *t = cn_tensors_find(&file, name);
        if (!t) continue; /* the file for resnet56 has a selection */
        cn_real *theirs = tensor(&file, name, p->count);
        const double off = distance(p->count, p->trained ? p->gradient : p->value, theirs);
        free(theirs);
        ck_assert_msg(off < limit, "%s is off by %g", name, off);
        if (off > worst) {
            worst = off;
            where = t->name;
        }
        *(p->trained ? &gradients : &statistics) += 1;
    }
    ck_assert_uint_eq(gradients + statistics + 5, file.count);
    printf("resnet%d %s: loss %.9f (PyTorch %.9f), %zu gradients and %zu statistics within %.2g "
           "(%s)\n",
           depth, CN_DTYPE_NAME, found, (double)loss[0], gradients, statistics, worst, where);
    free(images);
    free(loss);
    free(expected);
    cn_data_free(&data);
    cn_tensors_free(&file);
    cn_destroy(net);
}

START_TEST(eval_resnet20)
{
    check_eval(20, 8103);
}
END_TEST

START_TEST(eval_resnet56)
{
    check_eval(56, 8320);
}
END_TEST

START_TEST(training_resnet20)
{
    check_training(20);
}
END_TEST

START_TEST(training_resnet56)
{
    check_training(56);
}
END_TEST

int main(void)
{
    shared = getenv("MSKP_SHARED");
    cifar = getenv("MSKP_CIFAR");
    Suite *suite = suite_create("reference");
    TCase *cases = tcase_create("reference");
    tcase_set_timeout(cases, 300);
    tcase_add_test(cases, eval_resnet20);
    tcase_add_test(cases, eval_resnet56);
    tcase_add_test(cases, training_resnet20);
    tcase_add_test(cases, training_resnet56);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

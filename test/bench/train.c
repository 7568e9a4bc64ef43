/*
 * Images per second of the small runtime: train [MODEL [BATCH [THREADS [REPEATS]]]], one line per
 * repetition. compare-torch runs it in turn with PyTorch.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "convnet.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int run(cn_net *net, const cn_data *data, size_t batch, size_t repeats)
{
    const cn_sgd sgd = {.rate = 0.01, .momentum = 0.9, .decay = 1e-4, .nesterov = true};
    cn_random random = {1};
    cn_real *images = malloc(batch * CN_PIXELS * sizeof *images);
    uint8_t *labels = malloc(batch);
    size_t *indices = malloc(batch * sizeof *indices);
    const int failed = !images || !labels || !indices;
    for (size_t i = 0; !failed && i < batch; i++) indices[i] = i % data->count;
    for (size_t r = 0; !failed && r <= repeats; r++) {
        const double start = now();
        size_t steps = 0;
        do {
            cn_draw(data, batch, indices, &random, images, labels);
            cn_forward(net, batch, images, true);
            cn_loss(net, labels, NULL);
            cn_backward(net);
            cn_sgd_step(net, &sgd);
            steps++;
        } while (now() - start < 2.0);
        if (r) /* the first warms up */
            printf("%.1f\n", (double)(steps * batch) / (now() - start));
        fflush(stdout);
    }
    free(images);
    free(labels);
    free(indices);
    return failed;
}

int main(int argc, char **argv)
{
    const char *model = argc > 1 ? argv[1] : "resnet20";
    const size_t batch = argc > 2 ? strtoul(argv[2], NULL, 10) : 128;
    const size_t threads = argc > 3 ? strtoul(argv[3], NULL, 10) : 2;
    const size_t repeats = argc > 4 ? strtoul(argv[4], NULL, 10) : 3;
    cn_error err = {""};
    cn_data data = {0};
    cn_net *net = NULL;
    const cn_options options = {.batch = batch, .threads = threads, .seed = 1};
    if (!strncmp(model, "resnet", 6) && batch)
        net = cn_resnet(strtoul(model + 6, NULL, 10), 10, &options, &err);
    const int failed =
        !net || !cn_data_shapes(256, 1, &data, &err) || run(net, &data, batch, repeats);
    if (failed)
        fprintf(stderr, "train: %s\n", err.text[0] ? err.text : "bad arguments or no memory");
    cn_data_free(&data);
    cn_destroy(net);
    return failed;
}

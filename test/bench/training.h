/* What the benchmarks that train ResNets on CIFAR-10 share: images, of which some are held out, a
 * network with its description, steps, cuts, and lines of results. */
#ifndef BENCH_TRAINING_H
#define BENCH_TRAINING_H

#include "mskp/pruner.h"
#include "mskp_convnet.h"

enum { TRAINING_BATCH = 128, TRAINING_HELD_OUT = 5000 };
/* Of the optimizer, which is SGD as in Nesterov's method, with weight decay 1e-4. */
#define TRAINING_MOMENTUM 0.9

typedef struct training {
    const char *program; /* begins its messages */
    cn_data train, held, test;
    cn_net *net;
    cn_net *teacher;   /* NULL, or the network whose logits `net` learns, too */
    mskp_graph *graph; /* of `net` as it was opened */
    mskp_tensors values, gradients;
    cn_random random; /* the order of the images and their augmentation */
    size_t *order;
    cn_real *images; /* of a batch */
    uint8_t labels[TRAINING_BATCH];
    mskp_error err;
} training;

/* Prints a sentence about `what`; returns false. */
bool training_fail(const training *t, const char *what, const char *sentence);

/* Reads CIFAR-10's binary files. The last TRAINING_HELD_OUT training images are held out, to choose
 * settings by. MSKP_BENCH_IMAGES=N in the environment takes the first N images of each of the three
 * sets alone, to try a program out. */
bool training_images(training *t, const char *folder);
void training_images_free(training *t);
/* The steps of one epoch; images that fill no batch are left out. */
size_t training_steps(const training *t);
/* In percent. */
double training_accuracy(const training *t, const cn_data *data);

/* A network from a file, or one with random weights; its graph, its views, and the random numbers
 * of `seed`. Close it in either case, also if opening fails. */
bool training_load(training *t, const char *path, uint64_t seed);
bool training_make(training *t, size_t depth, uint64_t seed);
void training_close(training *t);
/* Replaces the network by one of its shape with random weights. */
bool training_restart(training *t, uint64_t seed);

/* Draws the batch of step number `step` and computes its gradients. The teacher takes part in the
 * loss with TRAINING_SHARE at temperature TRAINING_TEMPERATURE. */
bool training_gradients(training *t, size_t step);
#define TRAINING_SHARE       0.9
#define TRAINING_TEMPERATURE 4.0
void training_update(training *t, double rate);
/* Carries out the cut that is due. */
bool training_cut(training *t, mskp_pruner *pruner);

/* Whether the file has a line that begins in this way. */
bool training_has_line(const char *path, const char *begin);
/* Appends a line; a new file begins with the line `header`. */
bool training_add_line(const training *t, const char *path, const char *header, const char *line);

#endif

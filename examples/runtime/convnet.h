/*
 * convnet.h - a minimal training runtime for convolutional networks
 *
 * Small enough to be read in one sitting, fast enough for CIFAR-10 on two cores. A network is a
 * list of layers; forward, backward and whatever else is told of it are derived from that list.
 *
 *     cn_create -> [ cn_draw, cn_forward, cn_loss, cn_backward, cn_sgd_step ]* -> cn_save
 *
 * Rules that hold for every function:
 *   - Whatever can fail takes a cn_error (NULL is allowed) and returns false or NULL; the sentence
 *     in it names the thing and both numbers. Nothing exits, prints or aborts. On failure the
 *     network is as it was.
 *   - cn_create and cn_resize plan all memory; forward, backward and the update allocate nothing
 *     and cannot fail.
 *   - A network belongs to one thread of the host. Inside a call its own threads share the work;
 *     results do not depend on how many there are, bit for bit: the batch is always cut in the same
 *     way and sums are taken in the same order.
 *   - Compiled once for float and once, with CN_DOUBLE defined, for double.
 *   - Nearly all time goes into convolutions. On x86-64 processors with AVX2 or AVX-512, floats are
 *     multiplied by kernels of the runtime (direct.h); everything else by OpenBLAS, whose own
 *     threads are switched off (for the process). CN_KERNELS=openblas in the environment takes
 *     OpenBLAS everywhere, and CN_KERNELS=avx2 leaves AVX-512 out. OpenBLAS chooses its kernels
 *     when the program starts, and cautiously on processors that are newer than itself: see
 *     cn_kernels_advice.
 */
#ifndef CONVNET_H
#define CONVNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef CN_DOUBLE
typedef double cn_real;
#define CN_DTYPE_NAME "F64" /* in safetensors files */
#else
typedef float cn_real;
#define CN_DTYPE_NAME "F32"
#endif

#define CN_NAME_SIZE 96
#define CN_NONE      SIZE_MAX /* no layer, no parameter */

#define CN_MOST_CLASSES 256
#define CN_MOST_INPUTS  6 /* of a concatenation */

typedef struct cn_error {
    char text[256];
} cn_error;

/* ========================================================================== */
/*                            Networks are lists                              */
/* ========================================================================== */

typedef enum cn_kind {
    CN_INPUT,          /* channels, height, width; always and only layer 0 */
    CN_CONV,           /* channels (of the result), size, stride, pad, bias */
    CN_BATCH_NORM,     /* momentum 0.1, epsilon 1e-5, affine */
    CN_RELU,           /* nothing */
    CN_ADD,            /* in[0] + in[1], equal shapes; one may be a CN_SHIFT, for all pixels */
    CN_PAD_CHANNELS,   /* before, after: channels of zeros around the input's */
    CN_POOL_MAX,       /* size, stride, pad; padding never wins */
    CN_POOL_AVERAGE,   /* size, stride, pad; padding is not counted */
    CN_GLOBAL_AVERAGE, /* channels x 1 x 1 */
    CN_LINEAR,         /* channels (of the result), bias; input must be 1 x 1 */
    CN_SHIFT,          /* channels: a trained vector, which reads nothing; CN_ADD alone reads it */
    CN_CONCAT,         /* inputs: the channels of in[0], then of in[1] ... in[inputs - 1] */
    CN_SCALE,          /* factor: of all numbers; before CN_ADD it scales a residual branch */
    CN_SIGMOID,        /* 1 / (1 + exp(-x)) */
    CN_UPSAMPLE,       /* size: each pixel becomes size[0] x size[1] equal ones */
    CN_NORMALIZE,      /* a vector over its length, or over 1e-12; input must be 1 x 1 */
} cn_kind;

/*
 * One layer. The user fills in what its kind asks for; the rest stays zero. Pairs are {vertical,
 * horizontal}; a size or stride of 0 means 1. A layer reads earlier layers only; the last layer is
 * the output.
 *
 *     {.kind = CN_CONV, .name = "conv1", .in = {0}, .channels = 16, .size = {3, 3}, .pad = {1, 1}}
 *
 * Its parameters are called name.weight, name.bias, name.running_mean, name.running_var, as in
 * PyTorch. There is no layer for words: the sum of their trained vectors is a CN_LINEAR over an
 * input of vocabulary x 1 x 1, which says how often each word occurs (or its share, for the mean).
 */
typedef struct cn_layer {
    cn_kind kind;
    char name[CN_NAME_SIZE];
    size_t in[CN_MOST_INPUTS]; /* indices of the layers that it reads */
    size_t inputs;             /* CN_CONCAT: how many they are */
    size_t channels;
    size_t size[2], stride[2], pad[2];
    size_t before, after;
    double factor;
    bool bias;
    bool gone; /* for cn_resize alone: the layer is taken out */
    /* Filled in by cn_create (given for CN_INPUT): */
    size_t height, width;                 /* of the result */
    size_t weight, shift, mean, variance; /* indices of parameters, or CN_NONE */
} cn_layer;

/* One parameter, packed in row-major order: [out][in][height][width], [out][in], or [channels]. */
typedef struct cn_param {
    char name[CN_NAME_SIZE];
    size_t dims, shape[4], count; /* count: the product of shape */
    bool trained;                 /* false: running statistics; gradient and momentum are NULL */
    cn_real *value, *gradient, *momentum;
} cn_param;

typedef struct cn_options {
    size_t batch;   /* the most images that one call gets; 0: 128 */
    size_t threads; /* 0: 1 */
    uint64_t seed;  /* of the first weights */
} cn_options;

typedef struct cn_engine cn_engine; /* buffers and threads, private */

/* Read what you like; write to values, gradients and momentum only. */
typedef struct cn_net {
    char model[CN_NAME_SIZE]; /* "resnet20" ...; "" if unknown */
    size_t layer_count, param_count;
    cn_layer *layers;
    cn_param *params;
    size_t outputs; /* channels x height x width of the last layer */
    size_t classes; /* as many, if that is at most CN_MOST_CLASSES x 1 x 1; otherwise 0 */
    cn_options options;
    cn_engine *engine;
} cn_net;

/*
 * The CIFAR ResNet of depth 6n+2 (8, 20, 32, 44, 56, 110 ...) for 3 x 32 x 32 images, named as
 * PyTorch's state dict: conv1, bn1, layerS.B.conv1 ..., linear. Where shapes change the shortcut is
 * every second pixel (a pool of size 1, stride 2), then channels of zeros, half of them before and
 * half after.
 * Writes up to `capacity` layers; returns how many there are, or 0 for a depth that is not 6n+2.
 */
size_t cn_resnet_layers(size_t depth, size_t classes, cn_layer *layers, size_t capacity);

/*
 * Makes a network. `layers` is copied. Convolutions and linear weights start as He's normal
 * distribution (fan in), drawn from options.seed; gammas 1, shifts and biases 0. Free with
 * cn_destroy.
 */
cn_net *cn_create(const char *model, size_t count, const cn_layer *layers,
                  const cn_options *options, cn_error *err);
/* Both of the above. */
cn_net *cn_resnet(size_t depth, size_t classes, const cn_options *options, cn_error *err);
void cn_destroy(cn_net *net); /* net may be NULL */

/*
 * Makes the network smaller. `layers`: as many as net->layers; read are the `channels` of its
 * convolutions and linear layers, and `before` and `after` of its channel paddings. All other
 * shapes follow from them. No parameter may get larger, and the output keeps its shape.
 *   Layers that are `gone` are taken out, with their parameters. Of the layers that stay, only a
 * concatenation may read one, and does without it.
 * A batch norm whose kind is CN_SHIFT in `layers` becomes its shift, which keeps the name.
 *
 * First everything that can fail is done, then `cut` is called, once, while the network still is
 * what it was. It must pack what stays of each parameter's value and momentum at the beginning of
 * where it lies, in the small shape; or return false, with a sentence in err, and have changed
 * nothing. After true nothing fails any more. Gradients are undefined until the next cn_backward.
 * On failure the network is as it was.
 */
bool cn_resize(cn_net *net, const cn_layer *layers, bool (*cut)(void *context, cn_error *err),
               void *context, cn_error *err);

size_t cn_find_layer(const cn_net *net, const char *name); /* CN_NONE: no such layer */
size_t cn_find_param(const cn_net *net, const char *name); /* CN_NONE: no such parameter */

/* One line per layer: name, kind, shape of the result. As snprintf: returns the length needed. */
size_t cn_summary(const cn_net *net, char *text, size_t capacity);

/* ========================================================================== */
/*                                 Training                                   */
/* ========================================================================== */

/*
 * images: n x channels x height x width, the caller's, needed only during the call. Returns what
 * the last layer makes, n x channels x height x width (of a classifier the logits, n x classes), in
 * memory of the network that the next cn_forward overwrites; NULL, and nothing done, if n is 0 or
 * above options.batch.
 * training: batch norm takes the batch's statistics and moves the running ones; otherwise it takes
 * the running ones.
 */
const cn_real *cn_forward(cn_net *net, size_t n, const cn_real *images, bool training);

/*
 * Softmax cross entropy, the mean over the images of the last cn_forward. labels: one per image,
 * below classes. *right, if not NULL, gets how many were classified rightly. What cn_backward
 * starts from is left in the network. NaN, and nothing done, if net->classes is 0.
 */
double cn_loss(cn_net *net, const uint8_t *labels, size_t *right);

/*
 * Knowledge distillation: a network also learns the logits of another one, the teacher.
 *   teacher       its logits for these images, n x classes: what cn_forward of the teacher
 *                 returned. They are read during the call.
 *   temperature   T, above 0: logits are divided by T, so that classes of small probability count
 *   share         of the teacher in the loss, in [0, 1]
 */
typedef struct cn_distillation {
    const cn_real *teacher;
    double temperature, share;
} cn_distillation;
/*
 * As cn_loss, with the loss (1 - share) * cn_loss + share * T^2 * H. H is the mean cross entropy of
 * softmax(logits / T) against softmax(teacher / T), and T^2 makes up for the 1 / T^2 by which its
 * gradients are smaller: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural
 * Network", arXiv 1503.02531, section 2.
 */
double cn_loss_distilled(cn_net *net, const uint8_t *labels, const cn_distillation *from,
                         size_t *right);

/* Gradients of that loss, written (not added) to every trained parameter. After a cn_forward in
 * training mode. */
void cn_backward(cn_net *net);
/* The same for a loss of the caller's. gradient: of that loss by each number that cn_forward
 * returned, in the same order; read during the call. */
void cn_backward_from(cn_net *net, const cn_real *gradient);

/* Index of the greatest logit of each image, the first among equals; needs net->classes. */
void cn_predictions(const cn_net *net, uint8_t *predictions);

/* PyTorch's SGD, with g' = g + decay * w:
 *     m <- momentum * m + g',  w <- w - rate * (nesterov ? g' + momentum * m : m) */
typedef struct cn_sgd {
    double rate, momentum, decay;
    bool nesterov;
} cn_sgd;
void cn_sgd_step(cn_net *net, const cn_sgd *sgd);
void cn_sgd_reset(cn_net *net); /* momentum := 0 */

/* rate * factor for each milestone that is <= epoch. */
double cn_rate_step(double rate, double factor, size_t epoch, size_t milestones,
                    const size_t *milestone);
/* rate * (1 + cos(pi * step / steps)) / 2. */
double cn_rate_cosine(double rate, size_t step, size_t steps);

/* Runs work(context, i) for i in [0, n) on the network's threads, in any order. net: a cn_net, as a
 * void * so that a library can be handed this function as it is. */
void cn_parallel_for(void *net, size_t n, void (*work)(void *context, size_t i), void *context);

/* A sentence, if networks are computed by OpenBLAS, and with the kernels of any x86-64 processor on
 * one with AVX2, as it does where it is older than the processor; NULL if not. */
const char *cn_kernels_advice(void);

/* ========================================================================== */
/*                                   Data                                     */
/* ========================================================================== */

/* Random numbers: splitmix64. Same seed, same numbers, on every machine. */
typedef struct cn_random {
    uint64_t state;
} cn_random;
uint64_t cn_random_bits(cn_random *random);
size_t cn_random_below(cn_random *random, size_t bound); /* uniform; bound > 0 */
double cn_random_unit(cn_random *random);                /* [0, 1) */
double cn_random_normal(cn_random *random);              /* nearly: 12 uniform ones, minus 6 */
void cn_shuffle(cn_random *random, size_t n, size_t *indices);

/* Colour pictures of 32 x 32, as bytes: pixels [count][3][32][32], labels [count]. */
#define CN_SIDE   32
#define CN_PIXELS (3 * CN_SIDE * CN_SIDE)
typedef struct cn_data {
    size_t count, classes;
    uint8_t *pixels, *labels;
} cn_data;

/* CIFAR-10's binary files in `folder`: data_batch_1.bin ... data_batch_5.bin, or test_batch.bin. */
bool cn_data_cifar10(const char *folder, bool training, cn_data *data, cn_error *err);
/*
 * Ten kinds of shapes (disc, ring, square, frame, triangle, cross, stripes in three directions,
 * checkers) of random place, size and colours on a textured, noisy ground, drawn from `seed`. Needs
 * no file. A linear classifier gets few of them.
 */
bool cn_data_shapes(size_t count, uint64_t seed, cn_data *data, cn_error *err);
void cn_data_free(cn_data *data); /* an all-zero one: nothing */

/*
 * The n pictures data[indices[i]] as a batch: images n x 3 x 32 x 32, byte/255 minus (0.485, 0.456,
 * 0.406) over (0.229, 0.224, 0.225), computed in float; labels n. augment, if not NULL: padded by 4
 * zeros and cropped, mirrored, at random.
 */
void cn_draw(const cn_data *data, size_t n, const size_t *indices, cn_random *augment,
             cn_real *images, uint8_t *labels);

/*
 * Classifies all of it in evaluation mode, batch by batch; returns how many are right. loss and
 * predictions (count bytes) may be NULL. Returns SIZE_MAX when there is no memory for a batch or
 * the network does not fit the data.
 */
size_t cn_evaluate(cn_net *net, const cn_data *data, double *loss, uint8_t *predictions);

/* ========================================================================== */
/*                                   Files                                    */
/* ========================================================================== */

/* One tensor of a safetensors file. dtype as the format has it: "F32", "F64", "U8", "I64" ... */
typedef struct cn_tensor {
    const char *name, *dtype;
    size_t dims, shape[8], count, bytes;
    const void *data; /* little endian, perhaps not aligned */
} cn_tensor;

typedef struct cn_tensors {
    size_t count, meta_count;
    cn_tensor *tensors; /* in the order of their data */
    const char **meta;  /* key, value, key, value ...: 2 * meta_count strings */
    void *json, *bytes; /* private; NULL when the caller made this */
} cn_tensors;

/*
 * A strict reader. Overlapping tensors, gaps, trailing bytes, sizes that do not fit their shapes,
 * unknown types and names used twice are refused with a sentence; *file is then all zero.
 * cn_tensors_parse leaves the data where it is: `bytes` must live as long as *file. cn_tensors_read
 * looks at the length of the header before it takes memory for the rest; of what is no regular file
 * (a pipe) it reads 1 GiB at most.
 */
bool cn_tensors_parse(const void *bytes, size_t size, cn_tensors *file, cn_error *err);
bool cn_tensors_read(const char *path, cn_tensors *file, cn_error *err);
void cn_tensors_free(cn_tensors *file);
const cn_tensor *cn_tensors_find(const cn_tensors *file, const char *name); /* NULL: none */
const char *cn_tensors_meta(const cn_tensors *file, const char *key);       /* NULL: none */
/* F32 or F64, converted. count must be the tensor's. */
bool cn_tensor_copy(const cn_tensor *tensor, size_t count, cn_real *to, cn_error *err);
/* Refuses a tensor that is not F32 or F64, or has an element that is not finite as a cn_real. */
bool cn_tensor_check_finite(const cn_tensor *tensor, cn_error *err);
/* Writes name, dtype, dims, shape and data (little endian, as in a file that was read) of the
 * tensors, and the metadata; count and bytes are not read. A file that is there stays until the new
 * one is complete and on the disk (files.h). */
bool cn_tensors_write(const char *path, const cn_tensors *file, cn_error *err);
/* The same, but put(context, i, out) writes the data of tensor i with file_put (files.h), for each
 * tensor in turn, as many bytes as its shape needs; so a file can be written that is larger than
 * memory. No file is made if it returns false. */
struct file_output;
typedef bool (*cn_put)(void *context, size_t i, struct file_output *out);
bool cn_tensors_write_each(const char *path, const cn_tensors *file, cn_put put, void *context,
                           cn_error *err);

/*
 * Saves all parameters. Metadata: "model", and for every channel padding "NAME.pad" =
 * "before,after", because a pruned shortcut cannot be told from the shapes of the tensors.
 * extra: more metadata, key, value ... (2 * extras strings).
 */
bool cn_save(const cn_net *net, const char *path, size_t extras, const char *const *extra,
             cn_error *err);
/*
 * Makes the CIFAR ResNet that a file holds, pruned or not: the model's name from the metadata (or
 * from the names of the tensors when there is none), widths from the tensors' shapes, paddings from
 * the metadata. Of a block that has no more than NAME.bn2.bias, only the shift is left.
 */
cn_net *cn_load(const char *path, const cn_options *options, cn_error *err);
/* Values into a network that has these shapes already. All parameters must be there; other tensors
 * are an error, but for PyTorch's num_batches_tracked. */
bool cn_load_values(cn_net *net, const cn_tensors *file, cn_error *err);

#ifdef __cplusplus
}
#endif
#endif /* CONVNET_H */

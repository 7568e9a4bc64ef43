/*
 * What PyTorch computes in double precision, as tables: functions of one number, and layers over
 * one small image. values.c is made by make-values, which needs PyTorch; nothing else does.
 */
#ifndef TORCH_VALUES_H
#define TORCH_VALUES_H

#include <stddef.h>

#include "by_id/by_id.h"

enum { TORCH_POINTS = 52, TORCH_CURVES = 29, TORCH_IMAGES = 27 };

typedef enum torch_layer {
    TORCH_FUNCTION, /* of this kind */
    TORCH_CELU,     /* a custom: max(0, x) + min(0, a (exp(x / a) - 1)) */
    TORCH_HARDTANH, /* a custom: between two numbers */
    TORCH_PRELU,
    TORCH_BATCH_NORM
} torch_layer;

/* y[i] is f(torch_x[i]). parameters: as mskp_activation_desc has them; PReLU: the slope; batch
 * norm: scale, shift, mean, variance, epsilon. */
typedef struct torch_curve {
    const char *name;
    torch_layer layer;
    mskp_activation_kind kind;
    double parameters[5];
    double y[TORCH_POINTS];
} torch_curve;

extern const double torch_x[TORCH_POINTS];
extern const torch_curve torch_curves[TORCH_CURVES];

enum { TORCH_HEIGHT = 5, TORCH_WIDTH = 6, TORCH_MOST = 120 };

typedef enum torch_op { TORCH_CONV, TORCH_CONV_TRANSPOSED, TORCH_AVERAGE, TORCH_MAX } torch_op;
typedef enum torch_padding {
    TORCH_ZEROS,
    TORCH_REPLICATE,
    TORCH_REFLECT,
    TORCH_CIRCULAR
} torch_padding;

/* One channel becomes one of height x width positions; both axes alike but for the lengths. The
 * weight is torch_weight's first elements. */
typedef struct torch_image {
    const char *name;
    torch_op op;
    size_t kernel, stride, pad, dilation, output_pad;
    torch_padding padding;
    int ceil_mode, counts_padding;
    size_t height, width;
    double of_ones[TORCH_MOST]; /* of an image of ones */
    double of_x[TORCH_MOST];    /* of torch_pixels */
} torch_image;

extern const double torch_weight[9], torch_pixels[TORCH_HEIGHT * TORCH_WIDTH];
extern const torch_image torch_images[TORCH_IMAGES];

#endif

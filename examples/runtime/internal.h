/*
 * What the files of the runtime share; not for its users.
 *
 * A batch is cut into slices of CN_SLICE images, and slice s belongs to lane s mod CN_LANES. A lane
 * is what one thread works on at a time. Both numbers are fixed, so every sum has the same
 * order whatever the number of threads.
 *
 * Within a slice a value lies in memory as [channels][height][width][images]. Neighbouring pixels
 * are then whole runs of images apart, a row of pixels is contiguous, and a convolution is one
 * matrix product per row and kernel element, straight on the values: no copies, no padding, and
 * large enough for the BLAS because a run is several images long.
 */
#ifndef CONVNET_INTERNAL_H
#define CONVNET_INTERNAL_H

#include "convnet.h"

enum { CN_SLICE = 8, CN_LANES = 8 };

/* How many entries of `in` count. */
static inline size_t cn_input_count(const cn_layer *layer)
{
    switch (layer->kind) {
    case CN_INPUT:
    case CN_SHIFT:
        return 0;
    case CN_ADD:
        return 2;
    case CN_CONCAT:
        return layer->inputs;
    default:
        return 1;
    }
}

/* Whether layer i reads the values of its input k, which has some. */
static inline bool cn_reads(const cn_layer *layers, size_t i, size_t k)
{
    return k < cn_input_count(&layers[i]) && layers[layers[i].in[k]].kind != CN_SHIFT;
}

/* The shift that an addition adds; NULL: it adds none. */
static inline const cn_layer *cn_shift_of(const cn_layer *layers, size_t i)
{
    const cn_layer *l = &layers[i];
    for (size_t k = 0; k < 2 && l->kind == CN_ADD; k++)
        if (layers[l->in[k]].kind == CN_SHIFT) return &layers[l->in[k]];
    return NULL;
}

/* A layer's result, or its gradient, within one slice. */
typedef struct cn_view {
    cn_real *data;
    size_t channels, height, width, images;
    size_t plane; /* elements from one channel to the next */
} cn_view;

/* Channels a power of two apart would compete for the same cache lines; hence the odd line. */
static inline size_t cn_plane(size_t height, size_t width, size_t images)
{
    return (height * width * images + 15) / 16 * 16 + 16;
}

static inline cn_real *cn_row(cn_view v, size_t channel, size_t y)
{
    return v.data + channel * v.plane + y * v.width * v.images;
}

/* ---- errors (error.c) ---- */
bool cn_mul(size_t a, size_t b, size_t *product); /* false: overflow */
/* to <- the bytes of the values as files have them, little endian. */
void cn_encode(const cn_real *values, size_t count, unsigned char *to);
bool cn_fail(cn_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- threads (threads.c) ---- */
typedef struct cn_pool cn_pool;
cn_pool *cn_pool_create(size_t threads, cn_error *err);
void cn_pool_destroy(cn_pool *pool);
void cn_pool_run(cn_pool *pool, size_t n, void (*work)(void *context, size_t i), void *context);

/* ---- layers on one slice ----
 * x: what the layer reads, y: its result, d...: gradients; add: dx += instead of dx = */

/* conv.c. direct: kernels of direct.h, or NULL. weight: what cn_conv_pack packed, of cn_conv_packed
 * elements. work: of cn_conv_work elements, for strides above 1. dweight: [kernel elements], then
 * [out][in]. */
typedef struct cn_direct cn_direct;
size_t cn_conv_work(const cn_layer *layer, const cn_layer *in);
size_t cn_conv_packed(const cn_direct *direct, size_t count);
void cn_conv_pack(const cn_direct *direct, const cn_param *weight, cn_real *packed);
void cn_conv_unpack(const cn_real *packed, const cn_param *weight,
                    cn_real *gradient); /* gradient += */
void cn_conv_forward(const cn_direct *direct, const cn_layer *layer, cn_view x, cn_view y,
                     const cn_real *weight, const cn_real *bias, cn_real *work);
void cn_conv_backward_data(const cn_direct *direct, const cn_layer *layer, cn_view dy, cn_view dx,
                           const cn_real *weight, bool add, cn_real *work);
/* dweight, dbias += */
void cn_conv_backward_weight(const cn_direct *direct, const cn_layer *layer, cn_view x, cn_view dy,
                             cn_real *dweight, cn_real *dbias, cn_real *work);

/* norm.c. Per channel; sums: [channels][2], of this slice. */
typedef struct cn_norm {
    cn_real *mean, *inverse; /* [channels]: of the batch or running; 1 / sqrt(variance + epsilon) */
    cn_real *slope, *centre; /* [channels]: backward, the sums' share in the gradient */
    double *sums;            /* [slices][channels][2] */
} cn_norm;
void cn_norm_statistics(cn_view x, double *sums); /* mean, sum of squared distances from it */
void cn_norm_forward(cn_view x, cn_view y, const cn_norm *norm, const cn_real *gamma,
                     const cn_real *beta);
void cn_norm_sums(cn_view x, cn_view dy, const cn_norm *norm,
                  double *sums); /* sum dy, sum dy * (x - mean) */
void cn_norm_backward(cn_view x, cn_view dy, cn_view dx, const cn_norm *norm, const cn_real *gamma,
                      bool add);

/* ops.c */
void cn_input_forward(const cn_real *images, cn_view y); /* from n x c x h x w */
void cn_relu_forward(cn_view x, cn_view y);
void cn_relu_backward(cn_view y, cn_view dy, cn_view dx, bool add);
void cn_add_forward(cn_view a, cn_view b, cn_view y);
void cn_scale_forward(const cn_layer *layer, cn_view x, cn_view y);
void cn_scale_backward(const cn_layer *layer, cn_view dy, cn_view dx, bool add);
void cn_sigmoid_forward(cn_view x, cn_view y);
void cn_sigmoid_backward(cn_view y, cn_view dy, cn_view dx, bool add);
void cn_shift_forward(cn_view x, cn_view y, const cn_real *shift);
void cn_shift_backward(cn_view dy, cn_real *dshift); /* dshift += */
void cn_copy(cn_view from, cn_view to, bool add);
cn_view cn_channels(cn_view v, size_t first, size_t count); /* these channels of it */
void cn_pad_forward(const cn_layer *layer, cn_view x, cn_view y);
void cn_pad_backward(const cn_layer *layer, cn_view dy, cn_view dx, bool add);
void cn_pool_forward(const cn_layer *layer, cn_view x, cn_view y);
void cn_pool_backward(const cn_layer *layer, cn_view x, cn_view y, cn_view dy, cn_view dx,
                      bool add);
void cn_global_forward(cn_view x, cn_view y);
void cn_global_backward(cn_view dy, cn_view dx, bool add);
void cn_upsample_forward(const cn_layer *layer, cn_view x, cn_view y);
void cn_upsample_backward(const cn_layer *layer, cn_view dy, cn_view dx, bool add);
void cn_normalize_forward(cn_view x, cn_view y);
void cn_normalize_backward(cn_view x, cn_view dy, cn_view dx, bool add);

/* ---- memory of a network at work (engine.c) ---- */

/* One layer's value or gradient for the whole batch: slice s begins at data + s * slice, whoever
 * uses it, so buffers can be used again by layers of another size while other slices lag
 * behind. */
typedef struct cn_buffer {
    cn_real *data;
    size_t slice;
} cn_buffer;

/* Where a layer's backward puts the gradient of in[i]. */
typedef struct cn_back {
    cn_buffer *to;   /* NULL: nobody needs it */
    cn_buffer *copy; /* not NULL: copied into `to` first */
    bool add;
} cn_back;

typedef struct cn_node {
    cn_buffer *value;    /* may be an earlier layer's, overwritten */
    cn_buffer *gradient; /* as it is when this layer's backward runs */
    cn_back back[CN_MOST_INPUTS];
    cn_real *packed;       /* convolution: the weights, packed */
    cn_real *partial;      /* [lanes][count]: gradients of the packed weights */
    cn_real *partial_bias; /* [lanes][out]; of an addition: the gradient of its shift */
    cn_norm norm;
} cn_node;

struct cn_engine {
    cn_pool *pool;
    const cn_direct *direct; /* NULL: OpenBLAS */
    cn_node *nodes;
    cn_buffer *buffers;
    size_t buffer_count, buffer_capacity;
    cn_real *work; /* [lanes][work_size], for strided convolutions */
    size_t work_size;
    cn_real *output, *output_gradient; /* n x outputs */
    void *memory;
    /* The call at work */
    size_t images, slices;
    const cn_real *input;
    bool training;
};

/* Plans and allocates for `layers` (shapes filled in) and the parameters' sizes; touches nothing of
 * the net. */
cn_engine *cn_engine_create(const cn_net *net, cn_error *err);
void cn_engine_destroy(cn_engine *engine); /* not its pool */

/* net.c: shapes of all layers from layer 0's, checked; indices of parameters; their names and
 * shapes (NULL: count only). */
bool cn_infer(size_t count, cn_layer *layers, cn_error *err);
size_t cn_list_params(size_t count, cn_layer *layers, cn_param *params);

#endif /* CONVNET_INTERNAL_H */

/*
 * lrp.h - layer-wise relevance propagation through a network of the small runtime
 *
 * The logit of one class is divided among the channels and pixels of each layer, from the last
 * layer back to the image: S. Bach et al., "On pixel-wise explanations for non-linear classifier
 * decisions by layer-wise relevance propagation", PLOS ONE 10(7), 2015. lrp.c says what each kind
 * of layer does. One image at a time, in double precision, by a forward pass of its own, because
 * the runtime overwrites values that a relevance needs.
 *
 *     lrp_create -> [ lrp_forward, lrp_backward, look at node[i].relevance ]* -> lrp_destroy
 */
#ifndef RELEVANCE_LRP_H
#define RELEVANCE_LRP_H

#include "convnet.h"

/* How the relevance of a convolution's result is divided among what the convolution reads. */
typedef enum lrp_rule {
    LRP_EPSILON,  /* in proportion to x w */
    LRP_POSITIVE, /* in proportion to the positive x w */
    LRP_TWO_ONE,  /* twice by the positive x w, less once by the negative ones */
    LRP_BOX,      /* for images: in proportion to x w - low w+ - high w-, which is 0 or more;
                     elsewhere as LRP_POSITIVE */
} lrp_rule;

enum { LRP_COLOURS = 3 };
typedef struct lrp_rules {
    lrp_rule first, inner, last; /* convolutions of the image, other convolutions, linear layers */
    double stabilizer;           /* above 0; added to denominators, with their sign */
    double low[LRP_COLOURS], high[LRP_COLOURS]; /* LRP_BOX: what a pixel of the image can be */
} lrp_rules;

/* Of one layer. Arrays are [channels][height][width]; those of a batch norm are its
 * convolution's, which the norm is merged into. NULL for a CN_SHIFT. */
typedef struct lrp_node {
    double *value, *relevance;
    double bias, stabilizer; /* how much relevance the layer's biases and the stabilizer took */
    double *weight[3];       /* merged with the norm: all, what is positive, what is negative */
    double *shift[3];        /* the same of the biases, [channels] */
} lrp_node;

typedef struct lrp {
    size_t count, classes;
    cn_layer *layers; /* as the network's */
    lrp_node *node;   /* [count] */
    lrp_rules rules;
    double *part[2], *columns, *sum, *quotient; /* private: for one convolution */
    double *memory;                             /* private */
} lrp;

/* PLUS: LRP_BOX, LRP_POSITIVE, LRP_EPSILON. EPSILON: LRP_EPSILON everywhere. PAPER: what the
 * published code of arXiv 1712.08268 does, LRP_EPSILON in convolutions and LRP_POSITIVE in linear
 * layers. The box is that of cn_draw's images. */
typedef enum lrp_preset { LRP_PRESET_PLUS, LRP_PRESET_EPSILON, LRP_PRESET_PAPER } lrp_preset;
lrp_rules lrp_rules_of(lrp_preset preset);

/*
 * Copies the network's weights. Refused, with a sentence: a batch norm that cannot be merged into a
 * convolution, because it reads another kind of layer or one that others read, too; a sigmoid and a
 * normalization of length; an output that is no classes; LRP_BOX for images that have not 3
 * colours; a stabilizer of 0; and weights that are not finite.
 */
lrp *lrp_create(const cn_net *net, const lrp_rules *rules, cn_error *err);
void lrp_destroy(lrp *e); /* e may be NULL */

/* Fills in the values for one image, in evaluation mode. Returns the logits, [classes]. */
const double *lrp_forward(lrp *e, const cn_real *image);
/* The class of the greatest logit, the first among equals. */
size_t lrp_predicted(const lrp *e);
/* Fills in the relevances and what biases and stabilizers took, for the logit of one class. */
void lrp_backward(lrp *e, size_t class);
/* The logit less all that it was divided into: the relevance of the image, and what biases and
 * stabilizers took. 0 but for rounding. */
double lrp_missing(const lrp *e, size_t class);

/* product.c: a convolution as a product of matrices. columns: [in channels * kernel][positions]. */
size_t product_rows(const cn_layer *in, const cn_layer *conv);
/* columns <- what each position of the result reads, 0 where that lies in the padding. */
void product_unfold(const cn_layer *in, const cn_layer *conv, const double *x, double *columns);
/* x <- the sum of all columns that read an element; the transposed of product_unfold. */
void product_fold(const cn_layer *in, const cn_layer *conv, const double *columns, double *x);
/* y += weight * columns; columns <- transposed weight * y. */
void product_forward(const cn_layer *in, const cn_layer *conv, const double *weight,
                     const double *columns, double *y);
void product_backward(const cn_layer *in, const cn_layer *conv, const double *weight,
                      const double *y, double *columns);

#endif

/* maps.h - relevance and Salient Relevance of some images, as maps and as a file */
#ifndef RELEVANCE_MAPS_H
#define RELEVANCE_MAPS_H

#include "lrp.h"

enum { MAP = CN_SIDE * CN_SIDE };

/* Of n images. `class` is what each is explained for. */
typedef struct maps {
    size_t n, *class;
    double *relevance, *saliency; /* [n][MAP]: the sum over colours; its context-aware saliency */
    double missing;               /* the largest |lrp_missing| over |logit| */
    double bias;                  /* the mean share of the logit that biases kept */
} maps;

/* The maps of data[indices[i]]. class: for which class; NULL: for the one that is predicted. */
bool maps_make(const cn_net *net, const lrp_rules *rules, const cn_data *data, size_t n,
               const size_t *indices, const size_t *class, maps *m, cn_error *err);
void maps_free(maps *m);
/* Mean correlations with the same images' maps of another network: of |relevance|, of saliency. */
void maps_compare(const maps *a, const maps *b, double *relevance, double *saliency);

/*
 * Writes what others can be compared with, for the first n images and their predicted classes, as
 * a safetensors file: image, logits, class, and relevance.NAME for the image and each layer of
 * kind ReLU.
 */
bool maps_write(const char *path, const cn_net *net, const lrp_rules *rules, const cn_data *data,
                size_t n, cn_error *err);

#endif

/* What the files of mskp-safetensors share. */
#ifndef SAFETENSORS_PRUNE_H
#define SAFETENSORS_PRUNE_H

#include "convnet.h"
#include "mskp.h"

enum { SENTENCE = 400 };

/* A parameter of the graph is a tensor of the file: tensor[param.id - 1]. */
typedef struct network {
    mskp_graph *graph;
    size_t params;
    size_t *tensor; /* [file->count] */
} network;

/* *n <- the graph of the layers that a text names, see describe.c. On failure text is a sentence.
 * network_free frees it in either case. */
bool network_describe(const cn_tensors *file, char *layers, network *n, char text[SENTENCE]);
void network_free(network *n);

#endif

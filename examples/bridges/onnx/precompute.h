/* What a network computes from its parameters alone. */
#ifndef ONNX_PRECOMPUTE_H
#define ONNX_PRECOMPUTE_H

#include "net.h"

typedef struct precomputed {
    size_t tensors, nodes; /* tensors that are stored, and nodes that are gone */
    char first[160];       /* the name of the first of these tensors */
} precomputed;

/* Stores tensors that are computed from parameters, where the cut cannot go back to the parameter
 * itself. Before the network is described. */
bool precompute(model *m, const lengths *l, precomputed *report, failure *f);

#endif

/*
 * A described network with all that it needs: what mskp_onnx.h makes of bytes, and mskp-onnx of a
 * file. Who includes this header may also cut the network and write it.
 */
#ifndef ONNX_OBJECT_H
#define ONNX_OBJECT_H

#include "mskp_onnx.h"
#include "net.h"
#include "precompute.h"

struct mskp_onnx {
    model m;
    net n;
    mskp_graph *graph;  /* finished */
    bool cuts;          /* set before object_describe: the model will be cut and written again */
    precomputed stored; /* tensors that were computed from parameters */
    size_t *weight;     /* [parameters of the graph] the index in n.weights */
    size_t *source;     /* [parameters of the graph] the index in n.tensors of the data's name */
    size_t first_computed, end_computed; /* the tensors with what was computed */
    char **reasons;                      /* what stays, and why */
    size_t reason_count;
};

/* Describes o->m, which was read before, and finishes the graph. fixed: as in mskp_onnx_options.
 * What fails later with the network writes its sentence to f, too. The last call for o is
 * object_close, also if this one fails. */
bool object_describe(mskp_onnx *o, const lengths *l, bool fixed, failure *f);

/* Back to all zero. */
void object_close(mskp_onnx *o);

#endif

/*
 * Networks of the literature, described through the public header alone: no weights. For tests that
 * hold for real networks and not only for random ones, and for benchmarks.
 *
 * Names are torchvision's where it has the network. What follows a slash is a variant of it:
 *   /rewritable  chunks and shuffles of channels whose indices the caller will rewrite
 *   /inexact     layer norms that accept that their statistics change
 *   /aux         with the auxiliary classifiers that help training
 */
#ifndef MSKP_TEST_ZOO_H
#define MSKP_TEST_ZOO_H

#include "by_id/by_id.h"

/* The networks; NULL ends the list. */
extern const char *const zoo_names[];

/* Describes a network. The graph is not finished, so that a benchmark can time both and that what
 * is wrong is learned from mskp_graph_finish. NULL: no such network, or no memory. */
mskp_graph *zoo_make(const char *name, const mskp_services *services);

/* A layer that computes, as it was declared, with sizes by the zoo's own arithmetic: for counts
 * that do not ask the library. Sizes and kernel of one-dimensional layers: {n, 1}. */
typedef enum zoo_layer_kind {
    ZOO_CONV,
    ZOO_CONV_TRANSPOSED,
    ZOO_LINEAR,
    ZOO_ATTENTION, /* packed; over in_size[0] positions; in: the width of query, key, value, too */
} zoo_layer_kind;
typedef struct zoo_layer {
    zoo_layer_kind kind;
    size_t in, out, groups;
    size_t kernel[2], in_size[2], out_size[2];
    mskp_param weight, projection; /* projection: of an attention's result */
} zoo_layer;
typedef struct zoo_record {
    size_t n;
    zoo_layer *layer;
} zoo_record;

/* As zoo_make, and writes down the layers (all zero: none). */
mskp_graph *zoo_make_recorded(const char *name, const mskp_services *services, zoo_record *record);
void zoo_record_free(zoo_record *record);

#endif

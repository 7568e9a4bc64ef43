/* k-means: pseudo-classes of images that have no labels. */
#ifndef SIMCLR_CLUSTER_H
#define SIMCLR_CLUSTER_H

#include "convnet.h"

enum { CLUSTER_MOST_ROUNDS = 100 };

/* n points of `dims` numbers each. */
typedef struct cluster_points {
    size_t n, dims;
    const cn_real *x;
} cluster_points;

/*
 * Divides the points among k clusters, 1 <= k <= n, none of which is empty. The points are compared
 * by their squared distances.
 *   random   decides the first centres
 *   label    [n] receives the cluster of each point, below k
 *   spread   receives the mean squared distance of a point from the mean of its cluster; may be
 *            NULL
 * The result does not depend on the machine as far as its arithmetic follows IEEE 754.
 */
bool cluster_points_into(cluster_points points, size_t k, cn_random *random, uint32_t *label,
                         double *spread, cn_error *err);

#endif

/*
 * mskp/blas.h - the methods of the field that need linear algebra: filters that resemble each
 * other, ranks and independence of feature maps
 *
 * These calls are in a library of their own, libmskp-blas (pkg-config: mskp-blas), which needs
 * OpenBLAS; libmskp does not. The rules at the head of mskp.h hold here, too, except for what
 * OpenBLAS does:
 *
 *   results    Sums depend on the processor and on the number of OpenBLAS's threads, so results are
 *              not the same bit for bit. Each call says what holds of its numbers all the same.
 *   threads    OpenBLAS may start threads of its own (OPENBLAS_NUM_THREADS).
 *   memory     OpenBLAS keeps buffers of its own, and ends the process if it cannot have them. All
 *              other memory comes from `services`, which may be NULL (mskp/tools.h).
 */
#ifndef MSKP_BLAS_H
#define MSKP_BLAS_H

#include "../mskp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ============================================================================================== */
/*                                  Scores that compare filters                                   */
/* ============================================================================================== */

/*
 * The number of one filter among the filters of its weight.
 *   DISTANCE   the sum of its Euclidean distances to all others. Filters with a small sum are near
 *              the geometric median of all, so others can take their place: FPGM (He et al.,
 *              "Filter Pruning via Geometric Median for Deep Convolutional Neural Networks
 *              Acceleration", CVPR 2019).
 *   COSINE     1 - the largest cosine of the angle between the filter and any other one: 0 for a
 *              positive multiple of another filter, 2 if all others point the opposite way. The
 *              cosine keeps its sign, because a function such as ReLU makes different channels of
 *              a filter and its negative. A filter of zeros gets 0 and is no neighbour of others; a
 *              filter without a neighbour gets 1.
 */
typedef enum mskp_resemblance {
    MSKP_RESEMBLANCE_DISTANCE = 0,
    MSKP_RESEMBLANCE_COSINE = 1
} mskp_resemblance;

/*
 * scores.unit[u] <- the numbers of all filters of unit u, reduced by SUM, MEAN, MAX or MIN;
 * +infinity for a unit without a filter, so it stays. A filter is a slice in the role
 * MSKP_ROLE_FILTER: everything with one index on that axis. It is compared with all other indices
 * of this axis, also with those of pinned channels, which get no score themselves.
 *   Of a grouped convolution, filters of all groups are compared, element by element, although they
 * read different channels. Of a transposed convolution, the axis is the one of the channels that
 * it makes; with groups, one slice holds the filters at one position of all groups.
 *   values   a set, of any dtypes of numbers and any strides. Parameters without a filter of a unit
 *            are not read, and their data may be NULL.
 * Distances grow with the size of a filter: mskp_score_normalize makes families comparable.
 *   Computed in double precision, as a product of matrices: a weight [n][k] costs n^2 k / 2
 * multiply-accumulates, half of a product of [n][k] and [k][n]. The relative error of a distance is
 * at most about 1e-9, and so is that of 1 - cosine for angles above 1e-6. Equal filters have
 * distance 0 and 1 - cosine 0, exactly. Needs less than 20 MB, 32 bytes for each filter of the
 * widest weight, and 16 for each unit.
 * MSKP_ERROR_BAD_NUMBER: an element of a weight that is read is not finite, or a double cannot hold
 * the result.
 */
MSKP_EXPERIMENTAL mskp_status mskp_score_filters(const mskp_services *services,
                                                 const mskp_graph *graph, mskp_resemblance kind,
                                                 mskp_reduce reduce, mskp_tensors values,
                                                 mskp_scores scores, mskp_error *err);

/* ============================================================================================== */
/*                             Numbers per channel, from feature maps                             */
/* ============================================================================================== */

/*
 * These calls add one batch's numbers to `channel`, an array of n numbers, one for each channel.
 * Set them to 0, then call once per batch. mskp_score_channels (mskp/methods.h) makes scores of
 * them; mskp_select looks at the order of scores alone, so they need no division by the number of
 * images. On an error the numbers are as they were.
 *   maps   the activations of one value, a complete view [images][channels][spatial axes ...] of
 *          any dtype of numbers and any strides; n must be its number of channels
 * MSKP_ERROR_BAD_NUMBER: an element or a number that was given is not finite, or a result is not.
 * MSKP_ERROR_UNSUPPORTED: a length that is too large for LAPACK's 32-bit integers.
 */

/*
 * channel[c] += the rank of the feature map of channel c, summed over the images: HRank (Lin et
 * al., "HRank: Filter Pruning Using High-Rank Feature Map", CVPR 2020). maps is
 * [images][channels][height][width]. The rank is the number of singular values above
 * max(height, width) * epsilon * the largest one, as in numpy.linalg.matrix_rank and
 * torch.linalg.matrix_rank. epsilon is 2^-52 for F64 and 2^-23 for all other dtypes: half formats
 * count as converted to F32, which both of these functions require. Cost: one singular value
 * decomposition, without vectors, for each feature map.
 */
MSKP_EXPERIMENTAL mskp_status mskp_channel_ranks(const mskp_services *services,
                                                 const mskp_tensor *maps, size_t n, double *channel,
                                                 mskp_error *err);

/*
 * channel[c] += the independence of channel c, summed over the images: CHIP (Sui et al., "CHIP:
 * CHannel Independence-based Pruning for Compact Neural Networks", NeurIPS 2021). With X the matrix
 * [channels][positions] of one image, it is ||X||* - ||X with row c set to 0||*, where ||X||* is
 * the nuclear norm, the sum of the singular values. It is never negative, and 0 for a channel of
 * zeros. maps has any number of spatial axes, or none.
 *   Cost, with C channels, P positions and m = min(C, P): for each image one singular value
 * decomposition, and about 10 C m^2 operations for the norms without a channel (C P m more if C is
 * the larger). A decomposition for each of these norms would cost C times as much as the first. The
 * absolute error is of the order of C * 2^-52 * ||X||*. Memory: about 8 (C P + 6 C m) bytes. The
 * caller's parallel_for shares the work of the norms.
 */
MSKP_EXPERIMENTAL mskp_status mskp_channel_independence(const mskp_services *services,
                                                        const mskp_tensor *maps, size_t n,
                                                        double *channel, mskp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_BLAS_H */

/*
 * saliency.h - context-aware saliency of a map of numbers
 *
 * S. Goferman, L. Zelnik-Manor, A. Tal, "Context-Aware Saliency Detection", IEEE TPAMI 34(10),
 * 2012. Salient Relevance (H. Li, Y. Tian, K. Mueller, X. Chen, arXiv 1712.08268) computes it of a
 * relevance map in the place of an image, to see areas instead of single pixels. saliency.c says
 * how, and where it departs from the papers.
 */
#ifndef RELEVANCE_SALIENCY_H
#define RELEVANCE_SALIENCY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * saliency <- one number in [0, 1] for each element of a map [height][width], of finite numbers
 * whose magnitudes count. A map whose magnitudes are all the same has no salient element: all 0.
 * False: no memory.
 */
bool saliency_of(size_t height, size_t width, const double *map, double *saliency);

/* Pearson's correlation of two maps, in [-1, 1]; 0 if one of them does not vary. */
double saliency_correlation(size_t n, const double *a, const double *b);

#endif

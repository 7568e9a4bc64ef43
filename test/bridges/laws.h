/*
 * What must hold in every host, checked without the library's own loops: where a penalty lands, and
 * what surgery leaves. Each fails the running Check test with a sentence. In C++ include check.h after
 * all other headers: its macro `fail` breaks those of the standard library.
 */
#ifndef TEST_BRIDGES_LAWS_H
#define TEST_BRIDGES_LAWS_H

#include "by_id/by_id.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Copies of a set's float tensors, packed in the parameters' own order of axes; [params + 1], NULL
 * where there is no data. */
float **law_copy(const mskp_graph *graph, const mskp_tensor *set);
void law_free(const mskp_graph *graph, float **copy);

/*
 * gradients has changed since `before` by alpha * sign(w) in each element of `values` that lies in a
 * slice, of one of the roles, of a removed unit, and is the same to the bit everywhere else; and
 * `values` is what values_before says. Returns how many elements were hit, which must not be 0.
 */
size_t law_penalty_landed(const mskp_graph *graph, const uint8_t *keep, uint32_t roles,
                          double alpha, const mskp_tensor *values, float *const *values_before,
                          const mskp_tensor *gradients, float *const *gradients_before);

/*
 * Each tensor of small_set holds exactly the elements of `before` (copies of the full network's set)
 * that the mask keeps, in order; full is the network's graph before surgery. Tensors without data
 * must be without data before.
 */
void law_cut_exact(const mskp_graph *full, const uint8_t *keep, float *const *before,
                   const mskp_graph *small, const mskp_tensor *small_set);

/* The largest |a[i] - b[i]| is at most tolerance * max(1, largest |a[i]|); the sentence says both.
 * Not a number is never within. */
void law_close(const char *what, size_t n, const float *a, const float *b, double tolerance);

/* A mask that removes about a part of the units, at random, but leaves every axis and value a
 * channel; the same for the same seed. keep: [mskp_graph_counts().units]. */
void law_random_mask(const mskp_graph *graph, double part, uint64_t seed, uint8_t *keep);

#ifdef __cplusplus
}
#endif
#endif

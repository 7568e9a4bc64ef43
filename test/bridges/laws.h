/*
 * Laws that hold in every trainer, checked without the library's own loops: where a penalty lands,
 * what surgery leaves, and that constants survive it. A law that is broken fails the running Check
 * test with a sentence. In C++ include check.h after all other headers, because its macro `fail`
 * breaks those of the standard library.
 */
#ifndef TEST_BRIDGES_LAWS_H
#define TEST_BRIDGES_LAWS_H

#include "mskp.h"
#include "mskp/pruner.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Copies of a set's float tensors, packed in the parameters' own order of axes: one per parameter,
 * NULL where there is no data. */
float **law_copy(const mskp_graph *graph, mskp_tensors set);
void law_free(const mskp_graph *graph, float **copy);

size_t law_elements(const mskp_graph *graph, mskp_param param);

/* set <- 0 in the slices of removed units in these roles; tensors without data are passed over. */
void law_zero(const mskp_graph *graph, mskp_mask keep, uint32_t roles, mskp_tensors set);

/* Makes the channels of removed units constants that are not 0: their filters become 0, and so does
 * gamma of about half of these units; their shifts become random numbers between 0.25 and 1. In the
 * other units the running variance becomes so small that epsilon matters. The same seed gives the
 * same values. */
void law_make_constant(const mskp_graph *graph, mskp_mask keep, uint64_t seed, mskp_tensors values);

/*
 * The gradients have changed since `gradients_before` by alpha * sign(w) in each element that lies
 * in a slice of a removed unit in one of the roles, and are equal to the bit everywhere else. The
 * values are values_before. Returns how many elements have changed, which must not be 0.
 */
size_t law_penalty_landed(const mskp_graph *graph, mskp_mask keep, uint32_t roles, double alpha,
                          mskp_tensors values, float *const *values_before, mskp_tensors gradients,
                          float *const *gradients_before);

/* The largest |gamma| or |beta| of removed units. *count <- how many there are. */
double law_largest(const mskp_graph *graph, mskp_mask keep, mskp_tensors values, size_t *count);

/* What the tests of pruners have in common: 60 % of the MACs stay, gamma and beta go to zero
 * through the gradient, and there are two rounds. The strength is automatic. */
mskp_pruner_options law_options(const mskp_graph *graph, uint64_t steps, double momentum);

/*
 * Each tensor of small_set holds exactly the elements of `before` (copies of the full network's
 * set) that the mask keeps, in order. full is the network's graph before surgery. The same tensors
 * have no data before and after. Parameters that vanished are passed over.
 */
void law_cut_exact(const mskp_graph *full, mskp_mask keep, float *const *before,
                   const mskp_graph *small, mskp_tensors small_set);

/* The largest |a[i] - b[i]|; and a test that it is at most tolerance * max(1, largest |a[i]|),
 * with a sentence that names both numbers. NaN is never within the tolerance. */
double law_apart(size_t n, const float *a, const float *b);
void law_close(const char *what, size_t n, const float *a, const float *b, double tolerance);

/*
 * Surgery that carries constants: the outputs `carried` are those before the cut, if the report
 * says that all consumers are exact. The outputs `dropped`, of the same cut without constants,
 * differ by more than 100 times the tolerance, so that the test can fail. Returns whether the
 * report is exact.
 */
int law_carried(const char *what, const mskp_constants_report *total, size_t n, const float *before,
                const float *carried, const float *dropped, double tolerance);

/*
 * Of surgery that carries constants: what `desc` makes of them, asked before the cut; and
 * afterwards, in one set of the small network (gradients, momentum), that the slices of carriers
 * and the biases that constants were folded into are 0. law_stale_cleared returns how many elements
 * of gamma and beta are not 0.
 */
typedef struct law_constants {
    mskp_mask carriers, kept;
    size_t params;
    uint8_t *folded; /* one flag per parameter: constants are folded into it */
} law_constants;
law_constants law_ask_constants(const mskp_graph *graph, mskp_mask keep,
                                const mskp_constants_desc *desc, mskp_tensors values);
size_t law_stale_cleared(const law_constants *asked, const mskp_graph *small, mskp_tensors set);
void law_forget_constants(law_constants *asked);

/* keep <- a mask that removes about this part of the units, at random, but leaves every axis and
 * value a channel. The same seed gives the same mask. */
void law_random_mask(const mskp_graph *graph, double part, uint64_t seed, mskp_mask keep);

#ifdef __cplusplus
}
#endif
#endif

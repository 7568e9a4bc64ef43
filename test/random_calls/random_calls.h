/*
 * The public interface called with anything: sizes, handles and names that are good or absurd, as
 * bytes choose. The results are compared only with what the header promises of every call.
 */
#ifndef RANDOM_CALLS_RANDOM_CALLS_H
#define RANDOM_CALLS_RANDOM_CALLS_H

#include "by_id/by_id.h"
#include "interpreter/trial.h"

/* A heap of limited size, in which one allocation may be made to fail. */
typedef struct limited_heap {
    size_t live, bytes; /* blocks and bytes that are out */
    size_t most;        /* bytes at once */
    size_t asked;       /* allocations so far */
    size_t fail_at;     /* the one that fails; 0: none */
    bool empty;         /* one has failed */
#if POOLED
    block_pool blocks;
#endif
} limited_heap;

/* Whether a call may say that there is no memory. Where size_t has 32 bits, the library refuses a
 * block that is too large without asking for it. */
static inline bool may_be_empty(const limited_heap *p)
{
    return p->empty || SIZE_MAX <= UINT32_MAX;
}

mskp_services limited_heap_services(limited_heap *p);

/* The n-th allocation from now fails; 0: none. */
void limited_heap_fail(limited_heap *p, size_t n);

/* Describes whatever r's bytes choose, until they are used up. NULL: the description is refused, as
 * it should be. Else the graph is finished. */
mskp_graph *calls_describe(rng *r, limited_heap *p);

/* The arrays of a finished graph agree with each other. */
void require_consistent(const mskp_graph *graph);

/* Keep masks, plans, cuts, scores, selection and penalties with any arguments. */
void calls_finished(rng *r, limited_heap *p, const mskp_graph *graph);

/* Reports alone, and of these the text. */
void calls_report(rng *r, limited_heap *p, const mskp_graph *graph);

/* ---- What these share ---- */

/* The error is one of the table's, with a sentence that ends. */
void require_sentence(mskp_status status, const mskp_error *err);

/* A number that is seldom meant. */
size_t absurd(rng *r);
/* Replaces some word (4 or 8 bytes) of the object by another one. */
void spoil(rng *r, void *what, size_t bytes);

#endif

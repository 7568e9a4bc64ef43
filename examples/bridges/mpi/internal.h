/* What the files of this folder share. */
#ifndef MSKP_MPI_INTERNAL_H
#define MSKP_MPI_INTERNAL_H

#include <stdbool.h>

#include "mskp_mpi.h"

/* ---- Ranks: agree.c ---- */

/* *error <- the status and the sentence. Returns the status. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
mskp_status
mskpmpi_fail(mskp_error *error, mskp_status status, const char *format, ...);

/* Memory for n things of this size, zeroed; never NULL for n 0, unless there is none. */
void *mskpmpi_get(const mskp_mpi *mpi, size_t n, size_t size);
void mskpmpi_free(const mskp_mpi *mpi, void *memory);
mskp_status mskpmpi_no_memory(mskp_error *error, const char *what, size_t n);

/* Collective operations of any length. They fail only where the program's error handler lets MPI
 * return; ranks may then disagree. reduce works in place. */
mskp_status mskpmpi_reduce(mskp_mpi *mpi, size_t n, void *data, MPI_Datatype type, MPI_Op op,
                           mskp_error *error);
/* to <- the data of all lower ranks, reduced; zeros on rank 0. */
mskp_status mskpmpi_below(mskp_mpi *mpi, size_t n, void *data, void *to, MPI_Datatype type,
                          MPI_Op op, mskp_error *error);
mskp_status mskpmpi_broadcast(mskp_mpi *mpi, int root, size_t bytes, void *data, mskp_error *error);
mskp_status mskpmpi_gather_all(mskp_mpi *mpi, int bytes, const void *mine, void *all,
                               mskp_error *error);
/* What a rank sends to each rank, and gets from each, in elements: MPI_Alltoallv. Room for four
 * numbers of each rank, of which the caller fills the counts. */
typedef struct exchange {
    int *to, *from, *to_start, *from_start; /* [ranks] */
    size_t sent, got;                       /* the sums of `to` and `from` */
} exchange;
mskp_status mskpmpi_exchange_open(const mskp_mpi *mpi, exchange *x, mskp_error *error);
void mskpmpi_exchange_close(const mskp_mpi *mpi, exchange *x);
/* starts, sent, got <- by the counts. */
mskp_status mskpmpi_exchange_lay_out(const mskp_mpi *mpi, exchange *x, mskp_error *error);
mskp_status mskpmpi_exchange(mskp_mpi *mpi, const exchange *x, size_t element, const void *out,
                             void *in, mskp_error *error);
mskp_status mskpmpi_returned(int code, const char *function, mskp_error *error);

/* The functions of mskp_mpi.h; the numbers are sent. */
typedef enum call_id {
    CALL_AGREE = 1,
    CALL_SCORE,
    CALL_JOIN,
    CALL_SELECT,
    CALL_SAME,
    CALL_SUM,
    CALL_CUT,
    CALL_PLAN,
    CALL_SELECT_SPREAD,
    CALL_SCORE_SPREAD,
    CALL_MOVE,
    CALL_SCORE_GRADIENTS,
    CALL_SCORE_SPREAD_GRADIENTS,
    CALLS
} call_id;

/* A number that has to be the same on all ranks. text ends the sentence "rank 1: ..." of a
 * difference: "TEXT 3, on rank 0 it is 4", or, for numbers that mean nothing, TEXT alone. */
typedef enum field_kind { FIELD_COUNT, FIELD_REAL, FIELD_HASH } field_kind;
typedef struct call_field {
    const char *text;
    field_kind kind;
    mskp_status status; /* of a difference */
    uint64_t number;
} call_field;
enum { MOST_FIELDS = 6 };

/* The first thing that every function does: one all-reduce, after which all ranks go on, or return
 * the same error. local: what this rank found wrong by itself, with its sentence in *error. */
mskp_status mskpmpi_enter(mskp_mpi *mpi, call_id id, size_t n, const call_field *field,
                          mskp_status local, mskp_error *error);
/* The same between two steps of a function, where all ranks are known to be in it. */
mskp_status mskpmpi_agree(mskp_mpi *mpi, mskp_status local, mskp_error *error);
/* All ranks <- the error of one, with its rank in the sentence. Returns its status. */
mskp_status mskpmpi_spread(mskp_mpi *mpi, int root, mskp_error *error);
/* Copies an error to the caller's, which may be NULL. Returns its status. */
mskp_status mskpmpi_return(mskp_status status, const mskp_error *error, mskp_error *err);

uint64_t mskpmpi_bits(double x);

/* ---- What a rank finds wrong by itself: check.c ---- */

/* Every function calls it first, because ranks that are not open cannot agree about an error. err:
 * the caller's, which may be NULL. */
mskp_status mskpmpi_check_open(const mskp_mpi *mpi, mskp_error *err);
mskp_status mskpmpi_check_graph(const mskp_graph *graph, mskp_error *error);
/* Of a finished graph: arrays per unit, and sets. */
mskp_status mskpmpi_check_mask(const mskp_graph *graph, const char *name, mskp_mask mask,
                               mskp_error *error);
mskp_status mskpmpi_check_scores(const mskp_graph *graph, mskp_scores scores, mskp_error *error);
mskp_status mskpmpi_check_set(const mskp_graph *graph, const char *name, mskp_tensors set,
                              mskp_error *error);
/* An array of a call, with its name for sentences. */
typedef struct call_array {
    const char *name;
    const void *first; /* NULL: there is none */
    size_t bytes;
} call_array;
static inline call_array mskpmpi_mask_array(const char *name, mskp_mask mask)
{
    return (call_array){name, mask.unit, mask.n};
}
static inline call_array mskpmpi_scores_array(mskp_scores scores)
{
    return (call_array){"scores", scores.unit, scores.n * sizeof *scores.unit};
}
/* Refuses an array that the call writes if it shares a byte with another array of the call. */
mskp_status mskpmpi_check_apart(call_array written, call_array other, mskp_error *error);

/* ---- Selections: select.c ---- */

/* What both selections need: scores, rule and mask of a finished graph, and apart. */
mskp_status mskpmpi_check_selection(const mskp_graph *graph, mskp_scores scores,
                                    const mskp_rule *rule, mskp_mask keep, mskp_error *error);
/* Of every field that a selection depends on, but for callbacks and names. */
uint64_t mskpmpi_hash_rule(const mskp_graph *graph, const mskp_rule *rule);
/* *same <- whether a hash is the same on all ranks. Collective. */
mskp_status mskpmpi_is_same(mskp_mpi *mpi, uint64_t hash, bool *same, mskp_error *error);
mskp_status mskpmpi_masks_differ(mskp_error *error);
/* Fails on all ranks if masks differ, and names a rank and the first unit: same.c. Collective. */
mskp_status mskpmpi_compare_masks(mskp_mpi *mpi, mskp_mask keep, mskp_error *error);

/* ---- Tensors: pack.c ---- */

/* A view with all its strides, in elements. */
typedef struct whole_view {
    char *data;
    size_t element; /* bytes; 0: no such dtype */
    mskp_dtype dtype;
    uint32_t ndim;
    size_t shape[MSKP_MAX_DIMS], elements;
    ptrdiff_t stride[MSKP_MAX_DIMS];
} whole_view;

/* The bytes of one element; 0: no such dtype. */
size_t mskpmpi_element_size(mskp_dtype dtype);
/* *out <- the view of a tensor that must have this shape. */
mskp_status mskpmpi_view(const mskp_tensor *tensor, const char *name, uint32_t ndim,
                         const size_t *shape, whole_view *out, mskp_error *error);
/* Of a view, the part that is indices first .. first + count - 1 of an axis. */
whole_view mskpmpi_part(whole_view view, uint32_t axis, size_t first, size_t count);
/* Copies n elements from the view, the first of them number `first` in logical order, and back. */
void mskpmpi_pack(const whole_view *v, size_t first, size_t n, void *packed);
void mskpmpi_unpack(const whole_view *v, size_t first, size_t n, const void *packed);

/* ---- Ranges: table.c ---- */

/* Fails if the parameter has no such axis, or the axis no such indices. */
mskp_status mskpmpi_check_range(const mskp_graph *graph, uint32_t id, mskp_mpi_range range,
                                mskp_error *error);
/* The range of a parameter; ranges NULL: all of it. */
mskp_mpi_range mskpmpi_range_of(const mskp_mpi_range *ranges, uint32_t id, const size_t *shape);
/* A range that is empty or all of the parameter is one of axis 0. */
mskp_mpi_range mskpmpi_canonical(mskp_mpi_range range, const size_t *shape);

/* ---- Differences: same.c ---- */

#define HASH_START UINT64_C(0x9e3779b97f4a7c15)
uint64_t mskpmpi_hash(uint64_t hash, const void *bytes, size_t n);

/* An array that has to be the same on all ranks, and differs. */
typedef struct compared {
    const void *context;
    size_t n, size; /* elements, and bytes of each */
    mskp_status status;
    void (*read)(const void *context, size_t first, size_t n, void *packed);
    /* text <- the name of element i, and what it is: "keep[3] is 0" in two parts. */
    void (*name)(const void *context, size_t i, size_t capacity, char *text);
    void (*number)(const void *context, const void *element, size_t capacity, char *text);
} compared;
/* Fails on all ranks, and names a rank and the first element that differs. hash: of this rank's
 * array, not the same on all ranks. Collective. */
mskp_status mskpmpi_differs(mskp_mpi *mpi, const compared *array, uint64_t hash, mskp_error *error);

#endif

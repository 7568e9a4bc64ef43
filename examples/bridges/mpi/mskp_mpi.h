/*
 * mskp_mpi.h - mskp over the ranks of an MPI program
 *
 * Copy this folder into a program that trains over MPI. The library knows nothing of ranks, and
 * these files call its public functions alone. They use collective operations of MPI alone, so any
 * MPI 3 will do.
 *
 *     mskp_mpi_score     scores of values, or of values and gradients, that are spread over ranks:
 *                        by parameter, or by ranges of an axis
 *     mskp_mpi_join      scores that each rank has measured for some of the units
 *     mskp_mpi_select    one mask on all ranks
 *     mskp_mpi_score_spread, mskp_mpi_select_spread
 *                        the same, where each rank has the scores of some units
 *     mskp_mpi_same      checks that network, mask and values are the same on all ranks
 *     mskp_mpi_sum       sums of gradients that do not depend on the number of ranks
 *     mskp_mpi_cut       surgery on all ranks or on none
 *     mskp_mpi_shard_plan   the plan by which a rank cuts the ranges that it has
 *     mskp_mpi_move      moves ranges to other ranks, so that all have equally much again
 *     mskp_mpi_agree     makes the failure of one rank the failure of all
 *
 * Rules for every function that takes a mskp_mpi:
 *   collective   All ranks call it, in the same order. Ranks that call different functions of this
 *                header, for different networks or with different options, get an error that names
 *                the first such rank, and nobody waits. A rank that makes no call at all lets the
 *                others wait, as with every collective operation.
 *   errors       All ranks return the same status, and the same sentence in *err, which begins with
 *                the rank that failed. The outputs of all ranks are then as they were.
 *   results      All ranks get the same result. It does not depend on the number of ranks, bit for
 *                bit, and the sentences say where that is impossible.
 *   memory       comes from mskp_mpi.services.
 *   arrays       A NULL that the comment does not allow is MSKP_ERROR_BAD_ARGUMENT. An array per
 *                unit that is written overlaps no other; otherwise MSKP_ERROR_OVERLAP.
 * err may be NULL. A mskp_mpi that is NULL is MSKP_ERROR_BAD_ARGUMENT on this rank alone, and one
 * that is not open, all zero or closed, MSKP_ERROR_BAD_STATE: such a rank cannot reach the others.
 */
#ifndef MSKP_MPI_H
#define MSKP_MPI_H

#include <mpi.h>

#include "mskp.h"
#include "mskp/methods.h"
#include "mskp/rules.h"
#include "mskp/tools.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The ranks of a program. The fields may be read, and most_bytes may be set, on all ranks alike.
 *   comm       a duplicate of the program's communicator, so messages of these functions and of the
 *              program never meet
 *   services   where memory comes from; threads are used for the sums of scores
 *   calls, bytes   collective operations so far, and what this rank has put into them. What an
 *              operation sends over the network depends on the implementation of MPI: an all-reduce
 *              of n bytes usually sends 2 n (ranks - 1) / ranks from each rank.
 *   most_bytes   mskp_mpi_move sends so many bytes at once, or an index for each rank if that is
 *              more; 0: 2^31 - 1
 */
typedef struct mskp_mpi {
    MPI_Comm comm;
    int rank, ranks;
    mskp_services services;
    uint64_t calls, bytes;
    size_t most_bytes;
    void *room; /* of mskp_mpi_sum, kept from call to call */
    size_t room_bytes;
} mskp_mpi;

/* *mpi <- these ranks. services: copied, or NULL (malloc, no threads); allocate and release are
 * both set, or neither. Collective, but for errors of this rank alone: MSKP_ERROR_BAD_ARGUMENT for
 * an mpi that is NULL or a comm that is MPI_COMM_NULL, MSKP_ERROR_BAD_STATE before MPI_Init and
 * after MPI_Finalize. */
mskp_status mskp_mpi_open(MPI_Comm comm, const mskp_services *services, mskp_mpi *mpi,
                          mskp_error *err);
/* Frees what mskp_mpi_open made; mpi may be NULL, or all zero. Collective. */
void mskp_mpi_close(mskp_mpi *mpi);

/* Returns MSKP_OK if all ranks pass MSKP_OK. Otherwise all return the status of the lowest rank
 * that failed, and *err <- its sentence. For calls of the program's own that can fail on one rank:
 * pass what the call returned, and the same err, which may not be NULL where status is not 0. */
mskp_status mskp_mpi_agree(mskp_mpi *mpi, mskp_status status, mskp_error *err);

/* ---- Shards --------------------------------------------------------------------------------- */

/*
 * Which part of a parameter a rank has: indices first .. first + count - 1 of an axis, with all
 * indices of the other axes; count 0: none. So {4, 8} are rows 4 to 11, and {4, 8, 1} columns,
 * which of a linear layer or a convolution are inputs. Each index must be on some rank. All ranges
 * of a parameter are of one axis. Any two ranks have the same range of a parameter, which must then
 * have equal numbers, or no index in common. The numbers are not compared: the README says how a
 * program does that.
 */
typedef struct mskp_mpi_range {
    size_t first, count;
    uint32_t axis;
} mskp_mpi_range;

/*
 * How units are scored. NULL or {0}: as mskp_score does it without a scoring.
 *   values      what mskp_score is told. With gradients, its roles alone count, and its other
 *               fields must be 0.
 *   gradients   {0, NULL}: none. Otherwise one view per parameter, of the same ranges as the
 *               values; the dtype may be another one. One batch's numbers of mskp_score_taylor are
 *               then added to the scores.
 *   form        what is added; 0 without gradients
 */
typedef struct mskp_mpi_scoring {
    mskp_scoring values;
    mskp_tensors gradients;
    mskp_taylor form;
} mskp_mpi_scoring;

/*
 * scores.unit[u] <- what mskp_score would give if one rank had all values, bit for bit, on every
 * rank; with gradients, what mskp_score_taylor would. Each rank passes the same scores then.
 *   ranges   one entry per parameter; NULL: every rank has all of every parameter, and they share
 *            the work
 *   pieces   one view per parameter: the values that this rank has. The shape is that of the
 *            parameter, but for the range's axis, which has length ranges[p].count; a view with
 *            ndim 0 is a packed piece of this shape.
 * Sums of floating-point numbers depend on their order, so sums of ranks are not added up. Each
 * slice is summed on one rank, by the library, and the sums of slices are sent:
 *   - 8 bytes for each slice in the scoring's roles: with gamma alone, 8 bytes for each batch norm
 *     that a unit has. All reductions, also MSKP_REDUCE_VOTE, are then made on every rank.
 *   - Where slices on the axis of the ranges alone are asked, and this is axis 0 or 1, nothing else
 *     is sent: filters that are spread by rows, inputs (MSKP_ROLE_CONSUMER) that are spread by
 *     columns. Otherwise the ranges, of gradients, too, are sent to one rank, parameter by
 *     parameter to the rank with the least so far. Where two slices of a unit cross (mskp_scoring),
 *     the whole parameter is sent to all ranks.
 *   - 24 bytes for each parameter, on each rank, and less than 200 bytes to check the call.
 * Errors are those of mskp_score or mskp_score_taylor; a parameter that is not whole is
 * MSKP_ERROR_NO_DATA, and scores that differ between ranks, where numbers are added to them,
 * MSKP_ERROR_BAD_NUMBER.
 * MSKP_ERROR_UNSUPPORTED: ranges that must be sent and have 2 GiB or more for each index.
 */
mskp_status mskp_mpi_score(mskp_mpi *mpi, const mskp_graph *graph, const mskp_mpi_scoring *scoring,
                           const mskp_mpi_range *ranges, mskp_tensors pieces, mskp_scores scores,
                           mskp_error *err);

/* scores.unit[u] <- the score of unit u on the lowest rank whose flag here.unit[u] is not 0; 12
 * bytes for each unit. A unit that no rank has is MSKP_ERROR_NO_DATA. */
mskp_status mskp_mpi_join(mskp_mpi *mpi, const mskp_graph *graph, mskp_mask here,
                          mskp_scores scores, mskp_error *err);

/* ---- Scores that are spread over ranks ------------------------------------------------------- */

/*
 * Scores of which each rank has some: scores.unit[u] counts where here.unit[u] is not 0. Where
 * several ranks have a unit, the lowest of them counts.
 */
typedef struct mskp_mpi_spread {
    mskp_scores scores;
    mskp_mask here;
} mskp_mpi_spread;

/*
 * spread <- the scores of mskp_mpi_score, bit for bit, of each unit on one rank alone: the first
 * that sums up a slice of it. On other ranks here.unit[u] becomes 0, and the score stays as it was.
 * A sum of a slice is sent only if another rank has the unit, 8 bytes each, so with gamma alone
 * nothing is sent of layers that no shortcut connects. MSKP_REDUCE_VOTE needs the sums of all
 * slices, which are sent as mskp_mpi_score does. With gradients, numbers are added to the score
 * that the unit has on its rank; this is the same rank in each call for the same roles and ranges.
 * The rest is that of mskp_mpi_score.
 */
mskp_status mskp_mpi_score_spread(mskp_mpi *mpi, const mskp_graph *graph,
                                  const mskp_mpi_scoring *scoring, const mskp_mpi_range *ranges,
                                  mskp_tensors pieces, mskp_mpi_spread spread, mskp_error *err);

/*
 * keep.unit[u] <- what mskp_select would give if one rank had all scores, ties included, on every
 * rank. Scores are not collected: ranks count how many units of each family lie in buckets of the
 * order, and only where the order of single units decides are these sent.
 *   - three bits for each unit: who has it, twice, and whether it goes
 *   - 4 to 8 bytes for each family, and then, for each bucket that the walk of mskp_select ends in
 *     or closes a family in, 64 bytes for each of its families and each time that it is split, and
 *     16 bytes for each unit of a bucket that is not worth splitting
 *   - 16 bytes for each unit in all, as in a collection of scores, for rules with empty_branches
 *     and for budgets of tables and callbacks, because no number of units in a bucket says when
 *     these hold; and if there is no solution where families share a value (a concatenation) and
 *     can be closed by that
 * Errors and *selection are those of mskp_mpi_select; a unit that no rank has is
 * MSKP_ERROR_NO_DATA. A rank needs some 40 bytes for each unit that it has, and 10 for each other.
 */
mskp_status mskp_mpi_select_spread(mskp_mpi *mpi, const mskp_graph *graph, mskp_mpi_spread spread,
                                   const mskp_rule *rule, mskp_mask keep, mskp_selection *selection,
                                   mskp_error *err);

/* ---- One mask, one network ------------------------------------------------------------------ */

/*
 * mskp_select on every rank, and a check that scores and rules are the same, so masks are, too.
 * Every rank selects by itself, so less than 200 bytes are sent, whatever the number of units.
 * Scores that differ are MSKP_ERROR_BAD_NUMBER, with the rank and the first unit. Callbacks of
 * budgets are not compared; a mask that a callback made different is MSKP_ERROR_BAD_STATE.
 * On MSKP_ERROR_NO_SOLUTION *selection, which may be NULL, is what mskp_select says.
 */
mskp_status mskp_mpi_select(mskp_mpi *mpi, const mskp_graph *graph, mskp_scores scores,
                            const mskp_rule *rule, mskp_mask keep, mskp_selection *selection,
                            mskp_error *err);

/*
 * Checks that the network (its fingerprint), the mask and all elements of the values are the same
 * on all ranks, bit for bit. keep {0, NULL}: no mask; views without data count as the same if all
 * ranks have none. Sends 16 bytes for each parameter, and 16 for the mask.
 *   A network that differs is MSKP_ERROR_OTHER_NETWORK. A mask or an element that differs is
 * MSKP_ERROR_BAD_STATE, and the sentence names a rank, the unit or the element with its unit, and
 * both numbers. The rank is the lowest that differs from what most ranks have; with two ranks, the
 * second.
 */
mskp_status mskp_mpi_same(mskp_mpi *mpi, const mskp_graph *graph, mskp_mask keep,
                          mskp_tensors values, mskp_error *err);

/* ---- Training ------------------------------------------------------------------------------- */

/*
 * sum[i] <- the sum of part[k][i] over all parts of all ranks, n numbers each. A rank may have any
 * number of parts, also none. The result depends on the parts alone, bit for bit, and not on their
 * order or on which rank has which: numbers are added as 64-bit integers, whose unit is chosen for
 * each 1024 neighbouring numbers by the largest of them in all parts. With P parts, the unit is
 * 2^-61 P of a power of two above the largest number, or less; smaller numbers are rounded to it.
 *   sum may be one of this rank's parts, and overlaps no part otherwise. NaN and infinities are
 * MSKP_ERROR_BAD_NUMBER, and so is a sum that no float can hold. Sends 8 bytes for each number, and
 * allocates if n is larger than in all calls before.
 */
mskp_status mskp_mpi_sum(mskp_mpi *mpi, size_t parts, const float *const *part, size_t n,
                         float *sum, mskp_error *err);

/* mskp_plan_cut on every rank, or on none: all ranks cut, into memory of this call where a move is
 * in place, and only if all of them have succeeded are tensors and views of `from` changed. A `to`
 * of the caller's may have been written if a rank has no memory, and after no other error. Each
 * rank's plan cuts what that rank has, so plans may differ between ranks. Errors are those of
 * mskp_plan_cut. Needs the memory of the smaller sets until the call returns. */
mskp_status mskp_mpi_cut(mskp_mpi *mpi, const mskp_plan *plan, size_t n, const mskp_move *moves,
                         mskp_error *err);

/*
 * *plan <- what has to be cut of the ranges that this rank has, for mskp_mpi_cut or any function
 * that takes a plan; free it with mskp_plan_destroy. small[p] <- which range of the small parameter
 * this rank has afterwards. Nothing changes its rank, so ranks may have unequally much afterwards.
 *   ranges one entry per parameter; NULL: all of every parameter
 *   small  one entry per parameter; may be ranges, and overlaps no array otherwise
 * The sets to cut have one view per parameter, of this rank's ranges. Where small[p].count is 0,
 * because nothing was here or nothing is left, the view must be {0}. What the plan says of values
 * means nothing. For the small network, call mskp_plan_create on every rank. A mask that differs
 * between ranks is MSKP_ERROR_BAD_STATE, with the unit.
 */
mskp_status mskp_mpi_shard_plan(mskp_mpi *mpi, const mskp_graph *graph, mskp_mask keep,
                                const mskp_mpi_range *ranges, mskp_mpi_range *small,
                                mskp_plan **plan, mskp_error *err);

/* The range of an axis 0 of this length that a rank has if all have equally many indices, or one
 * more: the lower ranks. For another axis, set the field. {0, 0} with ranks below 1, or with a rank
 * outside of [0, ranks). */
mskp_mpi_range mskp_mpi_share(size_t length, int rank, int ranks);

/*
 * Moves ranges to the ranks that are to have them, by MPI_Alltoallv: after a cut, or whenever. The
 * axis may change, so rows can become columns; a rank that is to have all of every parameter
 * collects them.
 *   graph    has the shapes: after a cut, the small network of mskp_plan_create
 *   from, to what this rank has, and what it is to have; one entry per parameter. Each index of a
 *            parameter that any rank is to have must be on some rank; of replicas the rank itself
 *            or any one of them sends. Ranges of `from` are of one axis; those of `to` may be of
 *            any, also on each rank of another, and may overlap.
 *   moves    n sets: `from` has the pieces that are here, `to` views with room for the pieces of
 *            this rank, apart from them. Parameters without data here count as ranges that are not
 *            here, and views of `to` without data as ranges that are not wanted, so a parameter
 *            that no rank has, such as the momentum of one that is frozen, is passed over.
 * Sends what changes its rank, and 48 bytes for each parameter and set. Needs memory for what is
 * sent and got at once, most_bytes of each at most.
 */
mskp_status mskp_mpi_move(mskp_mpi *mpi, const mskp_graph *graph, const mskp_mpi_range *from,
                          const mskp_mpi_range *to, size_t n, const mskp_move *moves,
                          mskp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_MPI_H */

/*
 * Ranks that succeed together or fail together.
 *
 * Every function begins with mskpmpi_enter: an all-reduce of one record per rank. The record holds
 * the function's number, what has to be the same on all ranks (the network's fingerprint, options),
 * and whether this rank has found an error by itself, such as a bad argument or no memory. The
 * record is always equally long, so ranks that call different functions meet in the same
 * all-reduce, and see that they do. For each number x of the record, the minimum of x and the
 * minimum of ~x (which is the complement of the maximum of x) are taken in the same reduction: x is
 * the same everywhere if and only if the two are complements.
 *
 * After an error, one rank's sentence is broadcast: that of the lowest rank that failed by itself,
 * otherwise that of the lowest rank whose record differs from rank 0's. So all ranks return the
 * same.
 *
 * Steps between the communications of one function end in mskpmpi_agree, which needs less, because
 * all ranks are in the same function.
 */
#include "internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

mskp_status mskpmpi_fail(mskp_error *error, mskp_status status, const char *format, ...)
{
    va_list list;
    error->status = status;
    va_start(list, format);
    (void)vsnprintf(error->text, sizeof error->text, format, list);
    va_end(list);
    return status;
}

mskp_status mskpmpi_no_memory(mskp_error *error, const char *what, size_t n)
{
    return mskpmpi_fail(error, MSKP_ERROR_NO_MEMORY, "%s for %zu %s",
                        mskp_status_text(MSKP_ERROR_NO_MEMORY), n, what);
}

mskp_status mskpmpi_return(mskp_status status, const mskp_error *error, mskp_error *err)
{
    if (status && err) *err = *error;
    return status;
}

mskp_status mskpmpi_returned(int code, const char *function, mskp_error *error)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    if (code == MPI_SUCCESS) return MSKP_OK;
    MPI_Error_string(code, text, &length);
    return mskpmpi_fail(error, MSKP_ERROR_BAD_STATE, "%s failed: %.150s", function, text);
}

/* ---- memory ---- */

void *mskpmpi_get(const mskp_mpi *mpi, size_t n, size_t size)
{
    const mskp_services *s = &mpi->services;
    if (n > (SIZE_MAX - 1) / size) return NULL;
    const size_t bytes = n * size + 1;
    void *memory = s->allocate ? s->allocate(s->context, bytes) : malloc(bytes);
    if (memory) memset(memory, 0, bytes);
    return memory;
}

void mskpmpi_free(const mskp_mpi *mpi, void *memory)
{
    const mskp_services *s = &mpi->services;
    if (!memory) return;
    if (s->release)
        s->release(s->context, memory);
    else
        free(memory);
}

/* ---- collective operations ---- */

/* Counts of MPI are ints. */
enum { MOST_AT_ONCE = 1 << 26 };

static size_t at_once(size_t n)
{
    return n < MOST_AT_ONCE ? n : MOST_AT_ONCE;
}

static void count(mskp_mpi *mpi, size_t bytes)
{
    mpi->calls++;
    mpi->bytes += bytes;
}

mskp_status mskpmpi_reduce(mskp_mpi *mpi, size_t n, void *data, MPI_Datatype type, MPI_Op op,
                           mskp_error *error)
{
    int size = 0;
    mskp_status status = mskpmpi_returned(MPI_Type_size(type, &size), "MPI_Type_size", error);
    for (size_t i = 0; !status && i < n; i += at_once(n - i)) {
        const size_t some = at_once(n - i);
        count(mpi, some * (size_t)size);
        status = mskpmpi_returned(MPI_Allreduce(MPI_IN_PLACE, (char *)data + i * (size_t)size,
                                                (int)some, type, op, mpi->comm),
                                  "MPI_Allreduce", error);
    }
    return status;
}

mskp_status mskpmpi_below(mskp_mpi *mpi, size_t n, void *data, void *to, MPI_Datatype type,
                          MPI_Op op, mskp_error *error)
{
    int size = 0;
    mskp_status status = mskpmpi_returned(MPI_Type_size(type, &size), "MPI_Type_size", error);
    for (size_t i = 0; !status && i < n; i += at_once(n - i)) {
        const size_t some = at_once(n - i), at = i * (size_t)size;
        count(mpi, some * (size_t)size);
        status = mskpmpi_returned(
            MPI_Exscan((char *)data + at, (char *)to + at, (int)some, type, op, mpi->comm),
            "MPI_Exscan", error);
        if (!mpi->rank) memset((char *)to + at, 0, some * (size_t)size); /* MPI leaves it open */
    }
    return status;
}

mskp_status mskpmpi_broadcast(mskp_mpi *mpi, int root, size_t bytes, void *data, mskp_error *error)
{
    mskp_status status = MSKP_OK;
    for (size_t i = 0; !status && i < bytes; i += at_once(bytes - i)) {
        const size_t some = at_once(bytes - i);
        count(mpi, mpi->rank == root ? some : 0);
        status = mskpmpi_returned(MPI_Bcast((char *)data + i, (int)some, MPI_BYTE, root, mpi->comm),
                                  "MPI_Bcast", error);
    }
    return status;
}

mskp_status mskpmpi_gather_all(mskp_mpi *mpi, int bytes, const void *mine, void *all,
                               mskp_error *error)
{
    count(mpi, (size_t)bytes);
    return mskpmpi_returned(MPI_Allgather(mine, bytes, MPI_BYTE, all, bytes, MPI_BYTE, mpi->comm),
                            "MPI_Allgather", error);
}

mskp_status mskpmpi_exchange_open(const mskp_mpi *mpi, exchange *x, mskp_error *error)
{
    const size_t ranks = (size_t)mpi->ranks;
    *x = (exchange){.to = mskpmpi_get(mpi, 4 * ranks, sizeof *x->to)};
    if (!x->to) return mskpmpi_no_memory(error, "ranks", ranks);
    x->from = x->to + ranks;
    x->to_start = x->from + ranks;
    x->from_start = x->to_start + ranks;
    return MSKP_OK;
}

void mskpmpi_exchange_close(const mskp_mpi *mpi, exchange *x)
{
    mskpmpi_free(mpi, x->to);
}

mskp_status mskpmpi_exchange_lay_out(const mskp_mpi *mpi, exchange *x, mskp_error *error)
{
    x->sent = x->got = 0;
    for (int rank = 0; rank < mpi->ranks; rank++) {
        if (x->sent > INT_MAX || x->got > INT_MAX) break;
        x->to_start[rank] = (int)x->sent;
        x->from_start[rank] = (int)x->got;
        x->sent += (size_t)x->to[rank];
        x->got += (size_t)x->from[rank];
    }
    if (x->sent > INT_MAX || x->got > INT_MAX)
        return mskpmpi_fail(error, MSKP_ERROR_UNSUPPORTED,
                            "%zu numbers have to be sent, at most %d are possible",
                            x->sent > x->got ? x->sent : x->got, INT_MAX);
    return MSKP_OK;
}

mskp_status mskpmpi_exchange(mskp_mpi *mpi, const exchange *x, size_t element, const void *out,
                             void *in, mskp_error *error)
{
    MPI_Datatype type;
    mskp_status status = mskpmpi_returned(MPI_Type_contiguous((int)element, MPI_BYTE, &type),
                                          "MPI_Type_contiguous", error);
    if (status) return status;
    status = mskpmpi_returned(MPI_Type_commit(&type), "MPI_Type_commit", error);
    count(mpi, (x->sent - (size_t)x->to[mpi->rank]) * element);
    if (!status)
        status = mskpmpi_returned(MPI_Alltoallv(out, x->to, x->to_start, type, in, x->from,
                                                x->from_start, type, mpi->comm),
                                  "MPI_Alltoallv", error);
    MPI_Type_free(&type);
    return status;
}

/* ---- agreement ---- */

mskp_status mskpmpi_spread(mskp_mpi *mpi, int root, mskp_error *error)
{
    mskp_error sent = {0};
    int number = 0;
    if (mpi->rank == root) sent = *error, number = (int)error->status;
    mskp_status failed = mskpmpi_broadcast(mpi, root, sizeof number, &number, error);
    if (!failed) failed = mskpmpi_broadcast(mpi, root, sizeof sent.text, sent.text, error);
    if (failed) return failed;
    sent.text[sizeof sent.text - 1] = 0;
    return mskpmpi_fail(error, (mskp_status)number, "rank %d: %.238s", root, sent.text);
}

/* The lowest rank for which `is` holds; -1: none. */
static mskp_status lowest_rank(mskp_mpi *mpi, bool is, int *rank, mskp_error *error)
{
    int lowest = is ? mpi->rank : INT_MAX;
    const mskp_status status = mskpmpi_reduce(mpi, 1, &lowest, MPI_INT, MPI_MIN, error);
    *rank = lowest == INT_MAX ? -1 : lowest;
    return status;
}

mskp_status mskpmpi_agree(mskp_mpi *mpi, mskp_status local, mskp_error *error)
{
    int rank;
    const mskp_status status = lowest_rank(mpi, local != MSKP_OK, &rank, error);
    if (status) return status;
    return rank < 0 ? MSKP_OK : mskpmpi_spread(mpi, rank, error);
}

/* A record: the number of the function, its fields, zeros. */
enum { RECORD = 1 + MOST_FIELDS };
/* In place of a rank. MPICH 4.0 compares MPI_UINT64_T as signed numbers. */
static const uint64_t NOBODY = INT64_MAX;

static const char *const NAME[CALLS] = {"nothing",
                                        "mskp_mpi_agree",
                                        "mskp_mpi_score",
                                        "mskp_mpi_join",
                                        "mskp_mpi_select",
                                        "mskp_mpi_same",
                                        "mskp_mpi_sum",
                                        "mskp_mpi_cut",
                                        "mskp_mpi_shard_plan",
                                        "mskp_mpi_select_spread",
                                        "mskp_mpi_score_spread",
                                        "mskp_mpi_move",
                                        "mskp_mpi_score with gradients",
                                        "mskp_mpi_score_spread with gradients"};

static double real_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

uint64_t mskpmpi_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* *error <- how this rank's record differs from rank 0's. */
static void tell_difference(const uint64_t *mine, const uint64_t *first, const call_field *field,
                            mskp_error *error)
{
    size_t i = 0;
    while (i < RECORD - 1 && mine[i] == first[i]) i++;
    const call_field *f = i ? &field[i - 1] : NULL;
    if (!f)
        mskpmpi_fail(error, MSKP_ERROR_BAD_STATE, "%s is called here, and %s on rank 0",
                     NAME[mine[0]], NAME[first[0] < CALLS ? first[0] : 0]);
    else if (f->kind == FIELD_HASH)
        mskpmpi_fail(error, f->status, "%s differ from those of rank 0", f->text);
    else if (f->kind == FIELD_REAL)
        mskpmpi_fail(error, f->status, "%s %.17g, on rank 0 it is %.17g", f->text, real_of(mine[i]),
                     real_of(first[i]));
    else
        mskpmpi_fail(error, f->status, "%s %" PRIu64 ", on rank 0 it is %" PRIu64, f->text, mine[i],
                     first[i]);
}

static mskp_status name_difference(mskp_mpi *mpi, const uint64_t *mine, const call_field *field,
                                   mskp_error *error)
{
    uint64_t first[RECORD];
    int rank;
    memcpy(first, mine, sizeof first);
    mskp_status status = mskpmpi_broadcast(mpi, 0, sizeof first, first, error);
    const bool differs = memcmp(first, mine, sizeof first) != 0;
    if (!status) status = lowest_rank(mpi, differs, &rank, error);
    if (status) return status;
    if (differs) tell_difference(mine, first, field, error);
    return mskpmpi_spread(mpi, rank, error);
}

mskp_status mskpmpi_enter(mskp_mpi *mpi, call_id id, size_t n, const call_field *field,
                          mskp_status local, mskp_error *error)
{
    uint64_t mine[RECORD] = {id}, least[2 * RECORD + 1];
    for (size_t i = 0; !local && i < n; i++) mine[1 + i] = field[i].number;
    for (size_t i = 0; i < RECORD; i++) least[2 * i] = mine[i], least[2 * i + 1] = ~mine[i];
    least[2 * RECORD] = local ? (uint64_t)mpi->rank : NOBODY;
    const mskp_status status =
        mskpmpi_reduce(mpi, 2 * RECORD + 1, least, MPI_UINT64_T, MPI_MIN, error);
    if (status) return status;
    if (least[2 * RECORD] != NOBODY) return mskpmpi_spread(mpi, (int)least[2 * RECORD], error);
    bool same = true;
    for (size_t i = 0; i < RECORD; i++) same &= least[2 * i] == ~least[2 * i + 1];
    return same ? MSKP_OK : name_difference(mpi, mine, field, error);
}

/* ---- the public part ---- */

/* MPI ends the program where it is asked about no communicator, or too early or too late. */
static mskp_status check_comm(MPI_Comm comm, const mskp_mpi *mpi, mskp_error *error)
{
    int begun = 0, ended = 0;
    if (!mpi) return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "mpi is NULL");
    if (MPI_Initialized(&begun) || MPI_Finalized(&ended) || !begun || ended)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_STATE, "%s",
                            ended ? "MPI_Finalize was called" : "MPI_Init was not called");
    if (comm == MPI_COMM_NULL)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "comm is MPI_COMM_NULL");
    return MSKP_OK;
}

mskp_status mskp_mpi_open(MPI_Comm comm, const mskp_services *services, mskp_mpi *mpi,
                          mskp_error *err)
{
    mskp_error error = {0};
    mskp_mpi m = {.services = services ? *services : (mskp_services){0}};
    mskp_status status = check_comm(comm, mpi, &error);
    if (!status) status = mskpmpi_returned(MPI_Comm_dup(comm, &m.comm), "MPI_Comm_dup", &error);
    if (status) return mskpmpi_return(status, &error, err);
    status = mskpmpi_returned(MPI_Comm_rank(m.comm, &m.rank), "MPI_Comm_rank", &error);
    if (!status)
        status = mskpmpi_returned(MPI_Comm_size(m.comm, &m.ranks), "MPI_Comm_size", &error);
    mskp_status local = MSKP_OK;
    if (!status && !m.services.allocate != !m.services.release)
        local = mskpmpi_fail(&error, MSKP_ERROR_BAD_ARGUMENT,
                             "services: allocate and release must both be set, or neither");
    if (!status) status = mskpmpi_agree(&m, local, &error);
    m.calls = m.bytes = 0;
    if (status)
        MPI_Comm_free(&m.comm);
    else
        *mpi = m;
    return mskpmpi_return(status, &error, err);
}

void mskp_mpi_close(mskp_mpi *mpi)
{
    if (mskpmpi_check_open(mpi, NULL)) return;
    mskpmpi_free(mpi, mpi->room);
    MPI_Comm_free(&mpi->comm);
    memset(mpi, 0, sizeof *mpi);
}

mskp_status mskp_mpi_agree(mskp_mpi *mpi, mskp_status status, mskp_error *err)
{
    mskp_error error = {0};
    const mskp_status closed = mskpmpi_check_open(mpi, err);
    if (closed) return closed;
    if (status && err) error = *err;
    if (status && (!err || err->status != status))
        mskpmpi_fail(&error, status, "%s", mskp_status_text(status));
    status = mskpmpi_enter(mpi, CALL_AGREE, 0, NULL, status, &error);
    return mskpmpi_return(status, &error, err);
}

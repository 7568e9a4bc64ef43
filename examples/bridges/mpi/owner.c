/*
 * Scores that stay where they are: which rank has the score of which unit, and the sums of slices
 * that it needs from others.
 *
 * A unit belongs to the rank that makes the first of its sums; one that has none, or has slices in
 * parameters alone that are whole on every rank, to rank 0. All ranks know who makes which sum, so
 * they go through all of them in the same order, and no sum is sent with its number.
 */
#include "shards.h"

void mskpmpi_find_owners(const sharding *s, int *owner)
{
    for (size_t u = 0; u < s->units; u++) owner[u] = -1;
    for (uint32_t id = 1; id <= s->params; id++) {
        const shard *p = &s->shard[id - 1];
        for (uint32_t d = 0; !p->crosses && d < p->ndim; d++) {
            if (!(p->chosen & 1U << d)) continue;
            const uint32_t *unit = mskpmpi_units_of(s, id, d);
            for (size_t i = 0; i < p->shape[d]; i++)
                if (unit[i] != MSKP_PINNED && owner[unit[i]] < 0)
                    owner[unit[i]] = s->maker[p->first[d] + i];
        }
    }
    for (size_t u = 0; u < s->units; u++)
        if (owner[u] < 0) owner[u] = 0;
}

/* Goes through the sums that some rank makes for another one, in the same order on all ranks. What
 * is done with those that this rank sends and gets: */
typedef enum sums_pass { COUNT_SUMS, PACK_SUMS, UNPACK_SUMS } sums_pass;

static void pass_sums(const sharding *s, const int *owner, sums_pass what, exchange *x, double *out)
{
    const int me = s->mpi->rank;
    for (uint32_t id = 1; id <= s->params; id++) {
        const shard *p = &s->shard[id - 1];
        for (uint32_t d = 0; !p->crosses && d < p->ndim; d++) {
            if (!(p->chosen & 1U << d)) continue;
            const uint32_t *unit = mskpmpi_units_of(s, id, d);
            for (size_t i = 0; i < p->shape[d]; i++) {
                const int from = s->maker[p->first[d] + i];
                const int to = unit[i] == MSKP_PINNED ? from : owner[unit[i]];
                double *sum = &s->sums[p->first[d] + i];
                if (from == to) continue;
                if (what == COUNT_SUMS) {
                    x->to[to] += from == me;
                    x->from[from] += to == me;
                } else if (what == PACK_SUMS && from == me) {
                    out[x->to_start[to]++] = *sum;
                    *sum = 0; /* so that what is not whole here is 0 */
                } else if (what == UNPACK_SUMS && to == me) {
                    *sum = out[x->from_start[from]++];
                }
            }
        }
    }
}

mskp_status mskpmpi_send_sums(sharding *s, const int *owner, mskp_error *error)
{
    exchange x;
    double *out = NULL, *in = NULL;
    mskp_status status = mskpmpi_exchange_open(s->mpi, &x, error);
    if (!status) {
        pass_sums(s, owner, COUNT_SUMS, &x, NULL);
        status = mskpmpi_exchange_lay_out(s->mpi, &x, error);
    }
    if (!status) {
        out = mskpmpi_get(s->mpi, x.sent, sizeof *out);
        in = mskpmpi_get(s->mpi, x.got, sizeof *in);
        if (!out || !in) status = mskpmpi_no_memory(error, "slices", x.sent + x.got);
    }
    status = mskpmpi_agree(s->mpi, status, error);
    if (!status) {
        pass_sums(s, owner, PACK_SUMS, &x, out);
        status = mskpmpi_exchange_lay_out(s->mpi, &x, error); /* the starts once more */
    }
    if (!status) status = mskpmpi_exchange(s->mpi, &x, sizeof *out, out, in, error);
    if (!status) pass_sums(s, owner, UNPACK_SUMS, &x, in);
    mskpmpi_free(s->mpi, out);
    mskpmpi_free(s->mpi, in);
    mskpmpi_exchange_close(s->mpi, &x);
    return status;
}

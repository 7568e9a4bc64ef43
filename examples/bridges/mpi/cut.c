/*
 * Surgery on all ranks or on none.
 *
 * mskp_plan_cut checks everything before the first byte moves, but on one rank; another rank may
 * have no memory for its checks. So each rank first cuts into memory of this call, which leaves its
 * tensors as they were. If all ranks have succeeded, each copies the small tensors to where a cut
 * in place would leave them. These copies cannot fail.
 *
 * A cut into other memory lets tensors overlap that a cut in place would destroy, and then the last
 * copy would destroy them. So mskp_plan_check looks at the caller's own moves first, all sets
 * together.
 */
#include "internal.h"

#include <string.h>

/* One move: the views after a cut in place, and the packed tensors that lie elsewhere meanwhile. */
typedef struct stage {
    mskp_tensors small, packed;
    char *data;
} stage;

static size_t aligned(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

/* Makes a stage for a move in place; others need none. The names of parameters are not known. */
static mskp_status open_stage(const mskp_mpi *mpi, const mskp_plan *plan, const mskp_move *move,
                              stage *s, mskp_error *error)
{
    const size_t n = move->from.n;
    size_t bytes = 0;
    if (move->to.view || move->to.n) return MSKP_OK;
    s->small = (mskp_tensors){n, mskpmpi_get(mpi, n, sizeof *s->small.view)};
    s->packed = (mskp_tensors){n, mskpmpi_get(mpi, n, sizeof *s->packed.view)};
    if (!s->small.view || !s->packed.view) return mskpmpi_no_memory(error, "parameters", n);
    mskp_status status = mskp_plan_views(plan, move->from, s->small, error);
    for (int pass = 0; !status && pass < 2; pass++) {
        if (pass && !(s->data = mskpmpi_get(mpi, bytes + 16, 1)))
            return mskpmpi_no_memory(error, "bytes of small tensors", bytes);
        bytes = 0;
        for (size_t i = 0; !status && i < n; i++) {
            const mskp_tensor *t = &s->small.view[i];
            whole_view v;
            if (!t->data) continue;
            status = mskpmpi_view(t, "a small tensor", t->ndim, t->shape, &v, error);
            if (status) return status;
            if (pass) s->packed.view[i] = (mskp_tensor){s->data + bytes, .dtype = t->dtype};
            bytes += aligned(v.elements * v.element);
        }
    }
    return status;
}

static void close_stage(const mskp_mpi *mpi, stage *s)
{
    mskpmpi_free(mpi, s->small.view);
    mskpmpi_free(mpi, s->packed.view);
    mskpmpi_free(mpi, s->data);
}

/* from <- its small tensors and views. */
static void finish_stage(const stage *s, mskp_tensors from)
{
    for (size_t i = 0; i < s->small.n; i++) {
        const mskp_tensor *t = &s->small.view[i];
        mskp_error none;
        whole_view v;
        if (!t->data && !from.view[i].ndim && !from.view[i].elements) continue; /* never had one */
        from.view[i] = *t;
        if (!t->data || mskpmpi_view(t, "", t->ndim, t->shape, &v, &none)) continue;
        mskpmpi_unpack(&v, 0, v.elements, s->packed.view[i].data);
    }
}

static mskp_status cut(mskp_mpi *mpi, const mskp_plan *plan, size_t n, const mskp_move *moves,
                       stage *stages, mskp_move *staged, mskp_error *error)
{
    mskp_status status = MSKP_OK;
    for (size_t i = 0; !status && i < n; i++) {
        status = open_stage(mpi, plan, &moves[i], &stages[i], error);
        staged[i] = moves[i];
        if (stages[i].data) staged[i].to = stages[i].packed;
    }
    return status ? status : mskp_plan_cut(plan, n, staged, error);
}

mskp_status mskp_mpi_cut(mskp_mpi *mpi, const mskp_plan *plan, size_t n, const mskp_move *moves,
                         mskp_error *err)
{
    mskp_error error = {0};
    stage *stages = NULL;
    mskp_move *staged = NULL;
    mskp_status status = mskpmpi_check_open(mpi, err);
    if (status) return status;
    status = mskp_plan_check(plan, n, moves, &error);
    if (!status) {
        stages = mskpmpi_get(mpi, n, sizeof *stages);
        staged = mskpmpi_get(mpi, n, sizeof *staged);
        if (!stages || !staged) status = mskpmpi_no_memory(&error, "moves", n);
    }
    const call_field field = {"the number of moves is", FIELD_COUNT, MSKP_ERROR_BAD_ARGUMENT, n};
    status = mskpmpi_enter(mpi, CALL_CUT, 1, &field, status, &error); /* no `to` is written yet */
    if (!status)
        status = mskpmpi_agree(mpi, cut(mpi, plan, n, moves, stages, staged, &error), &error);
    for (size_t i = 0; !status && i < n; i++)
        if (stages[i].data) finish_stage(&stages[i], moves[i].from);
    for (size_t i = 0; stages && i < n; i++) close_stage(mpi, &stages[i]);
    mskpmpi_free(mpi, stages);
    mskpmpi_free(mpi, staged);
    return mskpmpi_return(status, &error, err);
}

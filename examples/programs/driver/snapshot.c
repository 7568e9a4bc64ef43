#include <stdlib.h>

#include "internal.h"
#include "mskp/tools.h"

size_t element_size(mskp_dtype dtype)
{
    switch (dtype) {
    case MSKP_DTYPE_F64:
        return 8;
    case MSKP_DTYPE_F16:
    case MSKP_DTYPE_BF16:
        return 2;
    default:
        return 4;
    }
}

/* The packed view of parameter i, of the dtype that the set has it in. */
static bool packed(trainer *t, mskp_tensors set, size_t i, void *data, mskp_tensor *view)
{
    mskp_error err;
    const mskp_param param = {(uint32_t)i + 1};
    return !mskp_param_view(t->graph, param, NULL, data, set.view[i].dtype, view, &err) ||
           trainer_fail(t, "%s", err.text);
}

bool snapshot_make(trainer *t, mskp_tensors set, snapshot *s)
{
    size_t bytes = 0, longest = 1;
    *s = (snapshot){.n = set.n};
    s->view = calloc(set.n + 1, sizeof *s->view);
    if (!s->view) return trainer_fail(t, "no memory for views of %zu tensors", set.n);
    for (size_t i = 0; i < set.n; i++) {
        if (!packed(t, set, i, NULL, &s->view[i])) return false;
        if (s->view[i].shape[0] > longest) longest = s->view[i].shape[0];
        /* Every tensor begins at a multiple of 16 bytes. */
        bytes += (s->view[i].elements * element_size(set.view[i].dtype) + 15) / 16 * 16;
    }
    s->memory = malloc(bytes + 1);
    s->index = malloc(longest * sizeof *s->index);
    if (!s->memory || !s->index) return trainer_fail(t, "no memory for a copy of the network");
    for (size_t i = 0; i < longest; i++) s->index[i] = (uint32_t)i;
    char *at = s->memory;
    for (size_t i = 0; i < set.n; i++) {
        s->view[i].data = set.view[i].data ? at : NULL;
        at += (s->view[i].elements * element_size(set.view[i].dtype) + 15) / 16 * 16;
    }
    return true;
}

/* mskp_gather along the first axis, with all indices in their order, copies a tensor between
 * any two layouts. */
static bool copy(trainer *t, const snapshot *s, mskp_tensors set, bool save)
{
    mskp_error err;
    for (size_t i = 0; i < s->n; i++) {
        mskp_tensor theirs = set.view[i];
        if (!theirs.data || !s->view[i].data) continue;
        if (!theirs.ndim && !packed(t, set, i, theirs.data, &theirs)) return false;
        const mskp_tensor *from = save ? &theirs : &s->view[i], *to = save ? &s->view[i] : &theirs;
        if (mskp_gather(NULL, from, 0, theirs.shape[0], s->index, to, &err))
            return trainer_fail(t, "%s", err.text);
    }
    return true;
}

bool snapshot_save(trainer *t, snapshot *s, mskp_tensors set)
{
    return copy(t, s, set, true);
}

bool snapshot_restore(trainer *t, const snapshot *s, mskp_tensors set)
{
    return copy(t, s, set, false);
}

void snapshot_free(snapshot *s)
{
    free(s->view);
    free(s->memory);
    free(s->index);
    *s = (snapshot){0};
}

/* ---- of the job ---- */

bool make_room(job *j)
{
    trainer *t = j->t;
    snapshot_free(&j->values);
    snapshot_free(&j->state);
    return snapshot_make(t, t->values, &j->values) && snapshot_make(t, t->state, &j->state);
}

bool save_state(job *j)
{
    trainer *t = j->t;
    return fetch(t) && snapshot_save(t, &j->values, t->values) &&
           snapshot_save(t, &j->state, t->state);
}

bool restore_values(job *j, const snapshot *values)
{
    return snapshot_restore(j->t, values, j->t->values) && store(j->t);
}

bool restore_state(job *j)
{
    trainer *t = j->t;
    return restore_values(j, &j->values) &&
           (t->state.n ? snapshot_restore(t, &j->state, t->state) : t->reset(t));
}

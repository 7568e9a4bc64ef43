/*
 * Weights that are infinite or no numbers. A table may have -infinity in the row of an entry that
 * is never read, and trained files have other such numbers in places that do not matter. The
 * library refuses to score by them, so units whose scored slices have one stay, and all others are
 * scored without them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"

/* Whether the element of this size is infinite or no number: all bits of its exponent are 1. */
static bool is_unfinite(mskp_dtype type, const char *at)
{
    uint64_t d;
    uint32_t f;
    uint16_t h;
    switch (type) {
    case MSKP_DTYPE_F64:
        memcpy(&d, at, sizeof d);
        return (d >> 52 & 0x7ff) == 0x7ff;
    case MSKP_DTYPE_F32:
        memcpy(&f, at, sizeof f);
        return (f >> 23 & 0xff) == 0xff;
    case MSKP_DTYPE_F16:
        memcpy(&h, at, sizeof h);
        return (h >> 10 & 0x1f) == 0x1f;
    case MSKP_DTYPE_BF16:
        memcpy(&h, at, sizeof h);
        return (h >> 7 & 0xff) == 0xff;
    default:
        return false;
    }
}

/* Whether one of the elements is. Nearly all weights are finite, and these loops, which branch
 * nowhere, say so at the speed of memory. */
static bool any_unfinite(mskp_dtype type, const char *at, size_t n)
{
    const uint16_t exponent = type == MSKP_DTYPE_BF16 ? 0x7f80 : 0x7c00;
    bool found = false;
    for (size_t i = 0; type == MSKP_DTYPE_F32 && i < n; i++) {
        uint32_t f;
        memcpy(&f, at + i * sizeof f, sizeof f);
        found |= (f & 0x7f800000) == 0x7f800000;
    }
    for (size_t i = 0; type == MSKP_DTYPE_F64 && i < n; i++) found |= is_unfinite(type, at + 8 * i);
    for (size_t i = 0; (type == MSKP_DTYPE_F16 || type == MSKP_DTYPE_BF16) && i < n; i++) {
        uint16_t h;
        memcpy(&h, at + i * sizeof h, sizeof h);
        found |= (h & exponent) == exponent;
    }
    return found;
}

static size_t size_of(mskp_dtype type)
{
    return type == MSKP_DTYPE_F64 ? 8 : type == MSKP_DTYPE_F32 ? 4 : 2;
}

/* Marks the units that have element i of the data in a slice with one of these roles. */
static void mark(job *j, const weight *w, size_t i, uint32_t roles, unfinite *u)
{
    size_t at[MAX_RANK];
    for (size_t k = w->data->n_dims; k--; i /= (size_t)w->data->dims[k])
        at[k] = i % (size_t)w->data->dims[k];
    for (uint32_t axis = 0; axis < w->ndim; axis++) {
        uint32_t has = 0;
        size_t count = 0;
        const uint32_t *units = mskp_param_units(j->graph, w->param, axis, &has, &count);
        const size_t index = at[w->order[axis]];
        if (!units || !(has & roles) || index >= count || units[index] == MSKP_PINNED) continue;
        if (u->unit[units[index]]) continue;
        u->unit[units[index]] = 1;
        if (!u->units++) u->first = mskp_param_name(j->graph, w->param);
    }
}

enum { BLOCK = 4096 }; /* elements that are looked at together */

static bool take(job *j, const weight *w, uint32_t roles, unfinite *u)
{
    mskp_tensor *view = &u->values.view[w->param.id - 1];
    const size_t size = size_of(view->dtype), count = tensor_elements(w->data);
    const char *data = view->data;
    char *copy = NULL;
    for (size_t i = 0; data && i < count; i++) {
        const size_t block = count - i < BLOCK ? count - i : BLOCK;
        if (i % BLOCK == 0 && !any_unfinite(view->dtype, data + i * size, block)) {
            i += block - 1;
            continue;
        }
        if (!is_unfinite(view->dtype, data + i * size)) continue;
        mark(j, w, i, roles, u);
        if (!copy && !(copy = try_malloc(count * size)))
            return fail(&j->f, "no memory for a copy of %.120s", w->data->name);
        if (!u->copies[w->param.id - 1]) memcpy(copy, data, count * size);
        u->copies[w->param.id - 1] = copy;
        memset(copy + i * size, 0, size);
    }
    if (copy) view->data = copy;
    return true;
}

bool unfinite_open(job *j, uint32_t roles, unfinite *u)
{
    const size_t params = j->values.n, units = j->counts.units;
    *u = (unfinite){.unit = try_calloc(units ? units : 1, 1)};
    u->values = (mskp_tensors){params, try_malloc((params ? params : 1) * sizeof *u->values.view)};
    u->copies = try_calloc(params ? params : 1, sizeof *u->copies);
    if (!u->unit || !u->values.view || !u->copies)
        return fail(&j->f, "no memory to score %zu units", units);
    memcpy(u->values.view, j->values.view, params * sizeof *u->values.view);
    for (size_t i = 0; i < j->onnx.n.weight_count; i++)
        if (j->onnx.n.weights[i].param.id && !take(j, &j->onnx.n.weights[i], roles, u))
            return false;
    return true;
}

void unfinite_close(unfinite *u)
{
    for (size_t i = 0; u->copies && i < u->values.n; i++) free(u->copies[i]);
    free(u->copies);
    free(u->values.view);
    free(u->unit);
    *u = (unfinite){.first = NULL};
}

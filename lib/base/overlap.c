/*
 * Do tensors share memory? One question is about two tensors, the other about any two of many.
 *
 * For many tensors a sweep goes through the views in ascending order of their lowest addresses. The
 * sweep keeps the list of open views, whose ranges reach beyond the current address. A view that
 * ends at or before the lowest address of the next one is closed; the others are the views whose
 * ranges the next one meets, and the caller's function is called for each of them.
 *
 * Where two ranges meet, the views may still interleave without a common byte (a fused matrix,
 * gamma beside beta). Then one view's bytes are marked in a bitmap over its range, and the other
 * view's bytes are looked up there, which is exact.
 */
#include "base/overlap.h"
#include "base/memory.h"
#include "base/sort.h"
#include "base/status.h"
#include "base/view.h"
#include "mskp.h"
#include "mskp/tools.h"

static mskp_status no_memory(mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while checking overlaps",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY));
}

/* ---- two ---- */

static void mark_elements(const tensor_view *v, uint32_t d, char *at, char *low, size_t extent,
                          uint8_t *bits, int test, int *hit)
{
    if (d < v->ndim) {
        const ptrdiff_t step = v->shape[d] > 1 ? v->stride[d] * (ptrdiff_t)v->element : 0;
        for (size_t i = 0; i < v->shape[d] && !*hit; i++)
            mark_elements(v, d + 1, at + step * (ptrdiff_t)i, low, extent, bits, test, hit);
        return;
    }
    for (size_t b = 0; b < v->element; b++) {
        const uintptr_t offset = (uintptr_t)(at + b) - (uintptr_t)low;
        if (offset >= extent) continue;
        if (!test)
            bits[offset / 8] |= (uint8_t)(1u << offset % 8);
        else if (bits[offset / 8] >> offset % 8 & 1)
            *hit = 1;
    }
}

static int is_dense(const tensor_view *v)
{
    return mskpi_elements(v) * v->element == v->extent;
}

int mskpi_ranges_meet(const tensor_view *a, const tensor_view *b)
{
    const uintptr_t p = (uintptr_t)a->low, q = (uintptr_t)b->low;
    return p < q + b->extent && q < p + a->extent;
}

mskp_status mskpi_elements_meet(const mskp_services *host, const tensor_view *a,
                                const tensor_view *b, int *hit, mskp_error *err)
{
    *hit = 0;
    if (!mskpi_ranges_meet(a, b)) return MSKP_OK;
    if (is_dense(a) && is_dense(b)) {
        *hit = 1;
        return MSKP_OK;
    }
    char *low = (uintptr_t)a->low > (uintptr_t)b->low ? a->low : b->low;
    const uintptr_t end_a = (uintptr_t)a->low + a->extent, end_b = (uintptr_t)b->low + b->extent;
    const size_t extent = (size_t)((end_a < end_b ? end_a : end_b) - (uintptr_t)low);
    uint8_t *bits = mskpi_alloc(host, extent / 8 + 1, 1);
    if (!bits) return no_memory(err);
    mark_elements(a, 0, a->data, low, extent, bits, 0, hit);
    mark_elements(b, 0, b->data, low, extent, bits, 1, hit);
    mskpi_free(host, bits);
    return MSKP_OK;
}

/* ---- among many ---- */

typedef struct sweep {
    const tensor_view *(*view)(const void *context, uint32_t k);
    const void *context;
} sweep;

static int low_before(const void *context, uint32_t a, uint32_t b)
{
    const sweep *s = context;
    const uintptr_t x = (uintptr_t)s->view(s->context, a)->low;
    const uintptr_t y = (uintptr_t)s->view(s->context, b)->low;
    return x != y ? x < y : a < b;
}

mskp_status mskpi_overlaps(const mskp_services *host, size_t n,
                           const tensor_view *(*view)(const void *context, uint32_t k),
                           mskp_status (*meet)(void *context, uint32_t a, uint32_t b,
                                               mskp_error *err),
                           void *context, mskp_error *err)
{
    const sweep by_address = {view, context};
    uint32_t *sorted = mskpi_alloc(host, n, sizeof *sorted);
    uint32_t *open = mskpi_alloc(host, n, sizeof *open);
    mskp_status status = MSKP_OK;
    size_t nopen = 0;
    if (!sorted || !open) {
        status = no_memory(err);
    } else {
        for (uint32_t i = 0; i < n; i++) sorted[i] = i;
        mskpi_sort(sorted, open, n, low_before, &by_address);
        for (size_t i = 0; !status && i < n; i++) {
            const tensor_view *v = view(context, sorted[i]);
            size_t still = 0;
            for (size_t k = 0; k < nopen; k++) {
                const tensor_view *o = view(context, open[k]);
                if ((uintptr_t)o->low + o->extent <= (uintptr_t)v->low) continue;
                open[still++] = open[k];
                if (!status) status = meet(context, open[k], sorted[i], err);
            }
            nopen = still;
            open[nopen++] = sorted[i];
        }
    }
    mskpi_free(host, sorted);
    mskpi_free(host, open);
    return status;
}

/*
 * Which tensors share memory: a question about two tensors, and one about all pairs of many. And
 * whether two arrays of a call do.
 *
 * For many tensors, a sweep goes through the views in ascending order of their lowest addresses. It
 * keeps a list of open views, whose ranges extend beyond the current address. When the sweep comes
 * to a view, it closes the open views that end at or before the lowest address of this view. The
 * ranges of all others meet this view's range, and the sweep reports each of these pairs. So n
 * views with k meeting pairs take O(n log n + n + k) steps.
 *
 * Where two ranges meet, the views may still interleave without a common byte: two parts of a fused
 * matrix, or gamma and beta that alternate. If both views are gap-free, meeting ranges mean that
 * they share a byte. Otherwise a bitmap over the common range marks the bytes of one view, and the
 * bytes of the other view are looked up there.
 */
#include "base/overlap.h"
#include "base/assert.h"
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

/* ---- Two views ---- */

/* One bit for each byte of an address range. */
typedef struct byte_map {
    char *low;
    size_t extent;
    uint8_t *bits;
} byte_map;

/* Visits the bytes of a view inside the map's range, from axis d on and from the element at `at`
 * on. Marks these bytes; or, if `look_up` is set, returns whether one of them is marked. */
static bool visit_bytes(const tensor_view *v, uint32_t d, char *at, const byte_map *map,
                        bool look_up)
{
    if (d < v->ndim) {
        const ptrdiff_t step = v->shape[d] > 1 ? v->stride[d] * (ptrdiff_t)v->element : 0;
        for (size_t i = 0; i < v->shape[d]; i++)
            if (visit_bytes(v, d + 1, at + step * (ptrdiff_t)i, map, look_up)) return true;
        return false;
    }
    for (size_t b = 0; b < v->element; b++) {
        const uintptr_t offset = (uintptr_t)(at + b) - (uintptr_t)map->low;
        if (offset >= map->extent)
            continue; /* bytes below the range wrap around to large offsets */
        if (!look_up)
            map->bits[offset / 8] |= (uint8_t)(1u << offset % 8);
        else if (map->bits[offset / 8] >> offset % 8 & 1)
            return true;
    }
    return false;
}

static bool is_dense(const tensor_view *v)
{
    MSKPI_ASSERT(mskpi_elements(v) * v->element <= v->extent); /* axes nest: no element twice */
    return mskpi_elements(v) * v->element == v->extent;
}

bool mskpi_ranges_meet(const tensor_view *a, const tensor_view *b)
{
    const uintptr_t p = (uintptr_t)a->low, q = (uintptr_t)b->low;
    return a->extent && b->extent && p < q + b->extent && q < p + a->extent;
}

mskp_status mskpi_elements_meet(const mskp_services *services, const tensor_view *a,
                                const tensor_view *b, bool *meet, mskp_error *err)
{
    *meet = false;
    if (!mskpi_ranges_meet(a, b)) return MSKP_OK;
    if (is_dense(a) && is_dense(b)) {
        *meet = true;
        return MSKP_OK;
    }
    const uintptr_t end_a = (uintptr_t)a->low + a->extent, end_b = (uintptr_t)b->low + b->extent;
    byte_map map = {.low = (uintptr_t)a->low > (uintptr_t)b->low ? a->low : b->low};
    map.extent = (size_t)((end_a < end_b ? end_a : end_b) - (uintptr_t)map.low);
    MSKPI_ASSERT(map.extent > 0 && map.extent <= a->extent && map.extent <= b->extent);
    map.bits = mskpi_alloc(services, map.extent / 8 + 1, 1);
    if (!map.bits) return no_memory(err);
    visit_bytes(a, 0, a->data, &map, false);
    *meet = visit_bytes(b, 0, b->data, &map, true);
    mskpi_free(services, map.bits);
    return MSKP_OK;
}

/* ---- Two arrays ---- */

mskp_status mskpi_check_apart(call_array written, call_array other, mskp_error *err)
{
    const uintptr_t a = (uintptr_t)written.first, b = (uintptr_t)other.first;
    const bool both = a && b && written.bytes && other.bytes;
    if (!both || (a <= b ? b - a >= written.bytes : a - b >= other.bytes)) return MSKP_OK;
    return mskpi_fail(err, MSKP_ERROR_OVERLAP, "%s and %s overlap", written.name, other.name);
}

mskp_status mskpi_check_apart_or_same(call_array written, call_array other, mskp_error *err)
{
    return written.first == other.first ? MSKP_OK : mskpi_check_apart(written, other, err);
}

/* ---- All pairs of many views ---- */

typedef struct view_source {
    const tensor_view *(*view)(const void *context, uint32_t k);
    const void *context;
} view_source;

/* The order of the sweep: by lowest address, and by number where two views begin at one address. */
static bool begins_before(const void *context, uint32_t a, uint32_t b)
{
    const view_source *s = context;
    const uintptr_t x = (uintptr_t)s->view(s->context, a)->low;
    const uintptr_t y = (uintptr_t)s->view(s->context, b)->low;
    return x != y ? x < y : a < b;
}

mskp_status mskpi_overlaps(const mskp_services *services, size_t n,
                           const tensor_view *(*view)(const void *context, uint32_t k),
                           mskp_status (*meet)(void *context, uint32_t a, uint32_t b,
                                               mskp_error *err),
                           void *context, mskp_error *err)
{
    const view_source source = {view, context};
    uint32_t *sorted = mskpi_alloc(services, n, sizeof *sorted);
    uint32_t *open = mskpi_alloc(services, n, sizeof *open);
    mskp_status status = MSKP_OK;
    size_t nopen = 0;
    if (!sorted || !open) {
        status = no_memory(err);
    } else {
        for (uint32_t i = 0; i < n; i++) sorted[i] = i;
        mskpi_sort(sorted, open, n, begins_before, &source);
        for (size_t i = 0; !status && i < n; i++) {
            const tensor_view *v = view(context, sorted[i]);
            size_t still_open = 0;
            for (size_t k = 0; k < nopen; k++) {
                const tensor_view *o = view(context, open[k]);
                MSKPI_ASSERT((uintptr_t)o->low <= (uintptr_t)v->low);
                if ((uintptr_t)o->low + o->extent <= (uintptr_t)v->low) continue;
                open[still_open++] = open[k];
                if (!status) status = meet(context, open[k], sorted[i], err);
            }
            nopen = still_open;
            MSKPI_ASSERT(nopen <= i);
            open[nopen++] = sorted[i];
        }
    }
    mskpi_free(services, sorted);
    mskpi_free(services, open);
    return status;
}

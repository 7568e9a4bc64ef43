/*
 * A mask as text (mskp_mask_write), the fingerprint of a network (mskp_fingerprint), and two masks
 * as one (mskp_mask_compose).
 *
 * A mask file, whose grammar is docs/mask-file.md, states everything twice. The lines of families
 * decide which units stay. The lines of values state what follows for the channels, and the reader
 * (maskread.c) checks them against the families. Every unit occurs in the value that makes it, so
 * no single line can be changed without contradicting another one. A checksum would serve the
 * same purpose, but a person who edits the file could not correct it.
 *
 * put_mask produces the text. mskpi_write (base/text.c) calls it twice, first to count the bytes
 * and then to write them, so the text needs no memory but the caller's.
 *
 * The fingerprint hashes, number by number, the names and shapes of all parameters, the names and
 * lengths of all values, and the unit of each channel and index. It is computed over numbers and
 * not over memory, so it does not depend on the byte order, the width of size_t, or the way in
 * which the library numbers its lists.
 *
 * A new kind of line goes into put_mask here, into the reader (maskread.c), and into the grammar,
 * with another version in the first line.
 */
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/overlap.h"
#include "base/status.h"
#include "base/text.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/units.h"

/* ---- the fingerprint ---- */

static uint64_t mix_name(uint64_t h, const char *name)
{
    const size_t n = strlen(name);
    for (size_t i = 0; i < n; i++) h = mskpi_mix(h, (unsigned char)name[i]);
    return mskpi_mix(h, n);
}

uint64_t mskp_fingerprint(const mskp_graph *graph)
{
    uint64_t h = 1; /* the version of this function */
    if (!graph || !graph->finished) return 0;
    h = mskpi_mix(mskpi_mix(h, graph->nparams), graph->nvalues);
    for (uint32_t p = 1; p <= graph->nparams; p++) {
        h = mskpi_mix(mix_name(h, mskpi_param_name(graph, p)), graph->params[p].ndim);
        for (uint32_t d = 0; d < graph->params[p].ndim; d++) {
            const graph_axis *a = &graph->axes[graph->params[p].axis + d];
            h = mskpi_mix(mskpi_mix(h, a->length), a->list != NO_LIST);
            if (a->list == NO_LIST) continue;
            const unit_list *list = &graph->u->lists[a->list];
            MSKPI_ASSERT(list->n == a->length);
            for (size_t i = 0; i < list->n; i++)
                h = mskpi_mix(h, graph->u->list_units[list->first + i]);
        }
    }
    for (uint32_t v = 1; v <= graph->nvalues; v++) {
        size_t n;
        const uint32_t *unit = mskp_value_units(graph, (mskp_value){v}, &n);
        h = mskpi_mix(mix_name(h, mskpi_value_name(graph, v)), n);
        for (size_t i = 0; i < n; i++) h = mskpi_mix(h, unit[i]);
    }
    return h + !h; /* 0 stands for a graph that is not finished */
}

/* ---- writing ---- */

typedef struct mask {
    const mskp_graph *graph;
    const uint8_t *keep;
    char fingerprint[17];
} mask;

static size_t kept_of(const uint8_t *keep, const uint32_t *unit, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) kept += mskpi_is_kept(keep, unit[i]) != 0;
    return kept;
}

/* Puts " keeps 5 of 16: 0-3,7" for a list of n units. */
static void put_kept(text_writer *w, const uint8_t *keep, const uint32_t *unit, size_t n)
{
    const char *comma = "";
    mskpi_put(w, " keeps ");
    mskpi_put_count(w, kept_of(keep, unit, n));
    mskpi_put(w, " of ");
    mskpi_put_count(w, n);
    mskpi_put(w, ": ");
    for (size_t i = 0; i < n; i++) {
        const size_t first = i;
        if (!mskpi_is_kept(keep, unit[i])) continue;
        while (i + 1 < n && mskpi_is_kept(keep, unit[i + 1])) i++;
        mskpi_put(w, comma);
        mskpi_put_count(w, first);
        if (i > first) {
            mskpi_put(w, "-");
            mskpi_put_count(w, i);
        }
        comma = ",";
    }
    mskpi_put(w, *comma ? "\n" : "none\n");
}

static void put_mask(text_writer *w, const void *what)
{
    const mask *m = what;
    const mskp_graph *g = m->graph;
    size_t n, kept = 0;
    mskpi_put(w, "mskp mask 1\nnetwork ");
    mskpi_put(w, m->fingerprint);
    mskpi_put(w, "\n");
    for (size_t f = 0; f < g->u->nfamilies; f++) {
        const uint32_t *unit = mskp_family_units(g, f, &n);
        mskpi_put(w, "family ");
        mskpi_put_count(w, f);
        mskpi_put(w, " at ");
        mskpi_put(w, mskpi_family_name(g, f));
        put_kept(w, m->keep, unit, n);
    }
    for (uint32_t v = 1; v <= g->nvalues; v++) {
        const uint32_t *unit = mskp_value_units(g, (mskp_value){v}, &n);
        mskpi_put(w, "value ");
        mskpi_put(w, mskpi_value_name(g, v));
        put_kept(w, m->keep, unit, n);
    }
    for (size_t u = 0; u < g->u->n; u++) kept += m->keep[u] != 0;
    mskpi_put(w, "end keeps ");
    mskpi_put_count(w, kept);
    mskpi_put(w, " of ");
    mskpi_put_count(w, g->u->n);
    mskpi_put(w, " units\n");
}

mskp_status mskp_mask_write(const mskp_graph *graph, mskp_mask keep, size_t capacity, char *text,
                            size_t *length, mskp_error *err)
{
    mskp_status status = mskpi_check_mask(graph, "keep", keep, err);
    if (!status) status = MSKPI_GIVEN(err, length);
    if (status) return status;
    mask m = {.graph = graph, .keep = keep.unit};
    mskpi_fingerprint_text(mskp_fingerprint(graph), m.fingerprint);
    return mskpi_write(put_mask, &m, capacity, text, length, err);
}

/* ---- two masks as one ---- */

mskp_status mskp_mask_compose(const mskp_graph *first, mskp_mask keep, mskp_mask small_keep,
                              mskp_mask both, mskp_error *err)
{
    mskp_status status = mskpi_check_mask(first, "keep", keep, err);
    size_t left = 0;
    if (!status && !small_keep.unit)
        status = mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "small_keep is NULL");
    if (!status) status = mskpi_check_mask(first, "both", both, err);
    if (status) return status;
    for (size_t u = 0; u < keep.n; u++) left += keep.unit[u] != 0;
    if (small_keep.n != left)
        return mskpi_fail(err, MSKP_ERROR_OTHER_NETWORK,
                          "small_keep has %zu units, keep keeps %zu of %zu", small_keep.n, left,
                          keep.n);
    const call_array written = mskpi_mask_array("both", both);
    status = mskpi_check_apart_or_same(written, mskpi_mask_array("keep", keep), err);
    if (!status)
        status =
            mskpi_check_apart_or_same(written, mskpi_mask_array("small_keep", small_keep), err);
    if (status) return status;
    /* The loop runs from the end, because `both` may be one of the masks: what is still to be read
     * of either mask then lies below what is written. */
    for (size_t u = keep.n; u-- > 0;) both.unit[u] = keep.unit[u] && small_keep.unit[--left];
    MSKPI_ASSERT(!left);
    return MSKP_OK;
}

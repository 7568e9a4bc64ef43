/*
 * Masks made of masks: votes, and changes that have to last.
 *
 * Both look at each unit by itself, and read the unit's flags before they write one. So the result
 * of a vote may be one of the masks that are read.
 */
#include "base/overlap.h"
#include "base/status.h"
#include "describe/graph.h"
#include "mskp.h"
#include "mskp/rules.h"
#include "units/units.h"

static mskp_status check_masks(const mskp_graph *graph, size_t n, const mskp_mask *masks,
                               mskp_mask keep, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, masks);
    for (size_t i = 0; !status && i < n; i++) {
        status = mskpi_check_mask(graph, "masks", masks[i], err);
        if (!status)
            status = mskpi_check_apart_or_same(mskpi_mask_array("keep", keep),
                                               mskpi_mask_array("masks", masks[i]), err);
    }
    return status;
}

mskp_status mskp_mask_vote(const mskp_graph *graph, size_t n, const mskp_mask *masks, size_t votes,
                           mskp_mask keep, mskp_error *err)
{
    mskp_status status = mskpi_check_mask(graph, "keep", keep, err);
    if (!status) status = check_masks(graph, n, masks, keep, err);
    if (status) return status;
    if (!votes || votes > n)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "votes is %zu, outside 1 to %zu", votes, n);
    for (size_t u = 0; u < keep.n; u++) {
        size_t against = 0;
        for (size_t i = 0; i < n; i++) against += !masks[i].unit[u];
        keep.unit[u] = against < votes;
    }
    return MSKP_OK;
}

mskp_status mskp_mask_hysteresis(const mskp_graph *graph, mskp_mask proposed, uint32_t rounds,
                                 size_t n, uint32_t *streak, mskp_mask keep, mskp_error *err)
{
    mskp_status status = mskpi_check_mask(graph, "proposed", proposed, err);
    if (!status) status = mskpi_check_mask(graph, "keep", keep, err);
    if (!status) status = MSKPI_GIVEN(err, streak);
    if (!status) status = mskpi_check_units(graph, "streak", n, err);
    const call_array flags = mskpi_mask_array("proposed", proposed);
    const call_array counters = {"streak", streak, n * sizeof *streak};
    const call_array in_force = mskpi_mask_array("keep", keep);
    if (!status) status = mskpi_check_apart(in_force, flags, err);
    if (!status) status = mskpi_check_apart(in_force, counters, err);
    if (!status) status = mskpi_check_apart(counters, flags, err);
    for (size_t u = 0; !status && u < n; u++) {
        const bool stays = keep.unit[u] != 0, differs = (proposed.unit[u] != 0) != stays;
        const bool lasts = differs && (rounds < 2 || streak[u] >= rounds - 1);
        streak[u] = differs && !lasts ? streak[u] + 1 : 0;
        keep.unit[u] = stays != lasts;
    }
    return status;
}

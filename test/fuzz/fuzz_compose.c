/*
 * Two masks as one. Bytes describe a network and choose two masks, the second over the units that
 * the first leaves. Cutting by one and then by the other must give the same network and keep the
 * same channels as cutting by what mskp_mask_compose makes of them, and that mask must survive
 * being written as text and read.
 */
#include <string.h>

#include "by_id/by_id.h"
#include "fuzz.h"
#include "network.h"

static uint8_t *any_mask(arena *mem, rng *r, size_t n)
{
    uint8_t *keep = arena_get(mem, n, 1);
    for (size_t i = 0; i < n; i++) keep[i] = !rng_chance(r, 0.2);
    return keep;
}

/* Indices that two cuts leave, one after the other, are those that one cut leaves. */
static void require_kept(const mskp_graph *g, const mskp_plan *one, const mskp_plan *two,
                         const mskp_plan *both)
{
    for (uint32_t v = 1; v <= mskp_graph_counts(g).values; v++) {
        size_t n, left, all;
        const uint32_t *first = mskp_plan_value_kept(one, (mskp_value){v}, &n);
        const uint32_t *second = mskp_plan_value_kept(two, (mskp_value){v}, &left);
        const uint32_t *at_once = mskp_plan_value_kept(both, (mskp_value){v}, &all);
        REQUIRE(left == all && left <= n, "value %u: %zu channels, at once %zu", v, left, all);
        for (size_t i = 0; i < left; i++) {
            const uint32_t k = second ? second[i] : (uint32_t)i;
            const uint32_t was = first ? first[k] : k, is = at_once ? at_once[i] : (uint32_t)i;
            REQUIRE(was == is, "value %u, channel %zu was %u, at once %u", v, i, was, is);
        }
    }
}

static void require_text(arena *mem, const mskp_graph *g, size_t units, uint8_t *keep)
{
    size_t length, again;
    uint8_t *read = arena_get(mem, units, 1);
    mskp_error err = {0};
    REQUIRE_OK(mskp_mask_write(g, mask_of(units, keep), 0, NULL, &length, NULL));
    char *text = arena_get(mem, length + 1, 1);
    REQUIRE_OK(mskp_mask_write(g, mask_of(units, keep), length + 1, text, &again, NULL));
    REQUIRE(again == length && strlen(text) == length, "%zu bytes, %zu said", again, length);
    const mskp_status status = mskp_mask_read(g, length, text, mask_of(units, read), &err);
    REQUIRE(!status, "%s", err.text);
    REQUIRE(!memcmp(read, keep, units), "another mask was read");
}

static void compose(rng *r, arena *mem, const mskp_graph *g)
{
    const size_t units = mskp_graph_counts(g).units;
    size_t left = 0;
    mskp_plan *one = NULL, *two = NULL, *all = NULL;
    mskp_graph *less = NULL, *least = NULL, *at_once = NULL;
    uint8_t *first = any_mask(mem, r, units), *both = arena_get(mem, units, 1);
    for (size_t i = 0; i < units; i++) left += first[i];
    uint8_t *second = any_mask(mem, r, left);
    REQUIRE_OK(mskp_mask_compose(g, mask_of(units, first), mask_of(left, second),
                                 mask_of(units, both), NULL));
    require_text(mem, g, units, both);
    const mskp_status status = mskp_plan_create(g, mask_of(units, first), &one, &less, NULL);
    const mskp_status at_end = mskp_plan_create(g, mask_of(units, both), &all, &at_once, NULL);
    if (!status) {
        REQUIRE(mskp_graph_counts(less).units == left, "%zu units of %zu are left",
                mskp_graph_counts(less).units, left);
        const mskp_status then = mskp_plan_create(less, mask_of(left, second), &two, &least, NULL);
        REQUIRE(then == at_end, "two cuts: %d, one: %d", (int)then, (int)at_end);
    } /* both at once may let an operator vanish that the first mask robs of one input alone */
    if (two && all) {
        require_kept(g, one, two, all);
        require_same_graph(least, at_once);
    }
    mskp_plan_destroy(one);
    mskp_plan_destroy(two);
    mskp_plan_destroy(all);
    mskp_graph_destroy(less);
    mskp_graph_destroy(least);
    mskp_graph_destroy(at_once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    network n;
    arena mem = {0};
    if (size < 2) return 0;
    network_begin(&n, data, size);
    n.heap.most = SIZE_MAX; /* it was for one network, and these are up to four */
    if (n.graph) compose(&n.r, &mem, n.graph);
    arena_free(&mem);
    network_end(&n);
    return 0;
}

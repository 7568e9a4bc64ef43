/*
 * Reports: bytes describe a network by the public interface, choose a mask, scores and constants,
 * and what mskp_report_json writes is read back by cJSON. It must say the library's own numbers.
 */
#include "by_id/by_id.h"
#include "failed.h"
#include "fuzz.h"
#include "random_calls/random_calls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    limited_heap p = {.most = 1 << 18};
    if (size < 2) return 0;
    rng r = rng_steered(data[1], size - 2, data + 2);
    const size_t spare = r.left / 2; /* for the report */
    rng first = r;
    first.left -= spare;
    mskp_graph *graph = calls_describe(&first, &p);
    if (graph) {
        r = rng_steered(data[0], first.left + spare, first.bytes);
        calls_report(&r, &p, graph);
        mskp_graph_destroy(graph);
    }
    REQUIRE(!p.live, "%zu blocks are left", p.live);
    return 0;
}

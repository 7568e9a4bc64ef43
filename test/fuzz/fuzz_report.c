/*
 * Reports on networks that bytes describe. What mskp_report_json writes for any mask, scores and
 * constants is read back by cJSON. It must say the library's own numbers.
 */
#include "by_id/by_id.h"
#include "fuzz.h"
#include "network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    network n;
    if (size < 2) return 0;
    network_begin(&n, data, size);
    if (n.graph) calls_report(&n.r, &n.heap, n.graph);
    network_end(&n);
    return 0;
}

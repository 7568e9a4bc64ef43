/* The reader of masks: any bytes are refused with a sentence, or are a mask that can be written. */
#include <string.h>

#include "by_id/by_id.h"
#include "fuzz.h"
#include "small_network/small_network.h"

enum { MOST_UNITS = 64, ROOM = 4096 };

static mskp_graph *graph; /* one for all inputs */

static void refused(mskp_status status, const mskp_error *err, const uint8_t *keep)
{
    FUZZ_REQUIRE(status == MSKP_ERROR_BAD_TEXT || status == MSKP_ERROR_OTHER_NETWORK ||
                     status == MSKP_ERROR_UNSUPPORTED,
                 mskp_status_text(status));
    FUZZ_REQUIRE(err->status == status && err->text[0], err->text);
    FUZZ_REQUIRE(memchr(err->text, 0, sizeof err->text), "a sentence ends");
    for (size_t i = 0; i < sizeof err->text && err->text[i]; i++)
        FUZZ_REQUIRE((unsigned char)err->text[i] >= ' ' && err->text[i] != 127, err->text);
    for (size_t u = 0; u < MOST_UNITS; u++) FUZZ_REQUIRE(keep[u] == 0xA5, "a mask is touched");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t keep[MOST_UNITS], again[MOST_UNITS];
    char text[ROOM];
    size_t length;
    mskp_error err = {.status = MSKP_OK, .text = ""};
    if (!graph) graph = small_network_make(SMALL_PLAIN, NULL);
    FUZZ_REQUIRE(graph, "no memory");
    const size_t units = mskp_graph_counts(graph).units;
    FUZZ_REQUIRE(units && units < MOST_UNITS, "units");
    memset(keep, 0xA5, sizeof keep);
    const mskp_status status =
        mskp_mask_read(graph, size, (const char *)data, mask_of(units, keep), &err);
    if (status) {
        refused(status, &err, keep);
        return 0;
    }
    for (size_t u = 0; u < units; u++) FUZZ_REQUIRE(keep[u] <= 1, "neither 0 nor 1");
    FUZZ_REQUIRE(keep[units] == 0xA5, "one more is touched");
    FUZZ_REQUIRE(!mskp_mask_write(graph, mask_of(units, keep), ROOM, text, &length, &err),
                 err.text);
    FUZZ_REQUIRE(!mskp_mask_read(graph, length, text, mask_of(units, again), &err), err.text);
    FUZZ_REQUIRE(!memcmp(keep, again, units), "another mask");
    return 0;
}

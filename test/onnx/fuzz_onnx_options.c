/*
 * Command lines of mskp-onnx: bytes are words, each ended by 0. A line that is refused has a
 * sentence. One that is taken has every number within its bounds and at most one demand that
 * excludes others, reads and writes different files, and gives the same when it is read once more.
 */
#include <string.h>

#include "fuzz/fuzz.h"
#include "mskp/constants.h"
#include "options.h"

enum { MOST_WORDS = 24, LONGEST = 40 };

static void require_sense(const options *o)
{
    FUZZ_REQUIRE(o->files.count == 1 || o->files.count == 2, "files");
    FUZZ_REQUIRE(o->macs >= 0 && o->macs <= 1 && o->params >= 0 && o->params <= 1, "macs, params");
    FUZZ_REQUIRE(o->ratio <= 1 && o->score <= SCORE_UNIT_L2, "ratio, score");
    FUZZ_REQUIRE(o->constants <= NO_CONSTANTS && o->reduce < 8, "constants, reduce");
    FUZZ_REQUIRE(!o->mask || (o->macs <= 0 && o->params <= 0 && o->ratio < 0 && o->threshold < 0),
                 "a mask and another demand");
    for (size_t i = 1; i < o->files.count; i++)
        FUZZ_REQUIRE(strcmp(o->files.text[0], o->files.text[i]) != 0, "the input is overwritten");
    if (o->mask && o->save_mask)
        FUZZ_REQUIRE(strcmp(o->mask, o->save_mask) != 0, "the mask is overwritten");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[MOST_WORDS * LONGEST], *word[MOST_WORDS + 1];
    char why[400] = "", again[400] = "", *to = text;
    static options o, p;
    int n = 1;
    word[0] = (char *)"mskp-onnx";
    for (size_t i = 0; i < size && n < MOST_WORDS; i++) {
        word[n++] = to;
        for (size_t k = 0; i < size && data[i]; i++)
            if (++k < LONGEST) *to++ = (char)data[i];
        *to++ = 0;
    }
    word[n] = NULL;
    const bool good = options_read(n, word, &o, sizeof why, why);
    FUZZ_REQUIRE(options_read(n, word, &p, sizeof again, again) == good, "not the same answer");
    FUZZ_REQUIRE(!strcmp(why, again), "not the same sentence");
    if (!good)
        FUZZ_REQUIRE(why[0] && memchr(why, 0, sizeof why), "no sentence");
    else if (!o.help)
        require_sense(&o);
    FUZZ_REQUIRE(o.files.count == p.files.count && o.keep.count == p.keep.count &&
                     o.lengths.count == p.lengths.count && o.mask == p.mask,
                 "not the same line");
    return 0;
}

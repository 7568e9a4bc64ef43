/*
 * Masks as text: what is written is read as the same mask, by any process; whatever else is
 * refused, with the sentence that it deserves.
 */
#define _POSIX_C_SOURCE 200809L

#include "interpreter/trial.h"
#include "small_network/small_network.h"

#include "by_id/by_id.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program; /* this one, to be run once more */

/* ---- What all tests share ---- */

/* Exactly its length in memory, without a terminating 0: a sanitizer sees what is read beyond. */
typedef struct text {
    size_t length;
    char *bytes;
} text;

static text text_of(arena *mem, const char *bytes, size_t length)
{
    return (text){length, arena_copy(mem, bytes, length, 1)};
}

static text mask_text(arena *mem, const mskp_graph *g, size_t units, const uint8_t *keep)
{
    size_t length = 12345, again;
    mskp_error err = {0};
    REQUIRE(!mskp_mask_write(g, mask_of(units, keep), 0, NULL, &length, &err), "%s", err.text);
    char *bytes = arena_get(mem, length + 1, 1);
    memset(bytes, 0x5A, length + 1);
    REQUIRE(mskp_mask_write(g, mask_of(units, keep), length, bytes, &again, &err) ==
                MSKP_ERROR_BAD_ARGUMENT,
            "no room for the 0");
    REQUIRE(err.status == MSKP_ERROR_BAD_ARGUMENT && again == length, "%s", err.text);
    for (size_t i = 0; i <= length; i++) REQUIRE(bytes[i] == 0x5A, "byte %zu is touched", i);
    REQUIRE_OK(mskp_mask_write(g, mask_of(units, keep), length + 1, bytes, &again, &err));
    REQUIRE(again == length && strlen(bytes) == length, "%zu bytes, not %zu", again, length);
    return text_of(mem, bytes, length);
}

/* keep is 0 or 1, or untouched after a sentence. */
static mskp_status read_mask(const mskp_graph *g, text t, size_t units, uint8_t *keep,
                             mskp_error *err)
{
    *err = (mskp_error){0};
    memset(keep, 0xA5, units);
    const mskp_status status = mskp_mask_read(g, t.length, t.bytes, mask_of(units, keep), err);
    REQUIRE(status == err->status && !status == !err->text[0], "%d: %s", (int)status, err->text);
    for (size_t u = 0; u < units; u++)
        REQUIRE(status ? keep[u] == 0xA5 : keep[u] <= 1, "unit %zu is %u", u, keep[u]);
    return status;
}

static void require_refused(const mskp_graph *g, text t, size_t units, const char *what, size_t i)
{
    mskp_error err;
    arena mem = {0};
    uint8_t *keep = arena_get(&mem, units, 1);
    const mskp_status status = read_mask(g, t, units, keep, &err);
    REQUIRE(status == MSKP_ERROR_BAD_TEXT || status == MSKP_ERROR_OTHER_NETWORK, "%s %zu: %d %s",
            what, i, (int)status, err.text);
    arena_free(&mem);
}

static bool same_mask(const uint8_t *a, const uint8_t *b, size_t units)
{
    for (size_t u = 0; u < units; u++)
        if (!a[u] != !b[u]) return false;
    return true;
}

/* ---- Round trips ---- */

/* Each line once more, left out, or in the place of the next. */
static void spoil_lines(const mskp_graph *g, arena *mem, text t, size_t units)
{
    size_t first = 0, line = 1;
    for (size_t i = 0; i < t.length; i++) {
        if (t.bytes[i] != '\n') continue;
        const size_t n = i + 1 - first, rest = t.length - i - 1;
        char *bytes = arena_get(mem, t.length + n, 1);
        memcpy(bytes, t.bytes, i + 1);
        memcpy(bytes + i + 1, t.bytes + first, n + rest);
        require_refused(g, text_of(mem, bytes, t.length + n), units, "twice: line", line);
        memcpy(bytes, t.bytes, first);
        memcpy(bytes + first, t.bytes + i + 1, rest);
        require_refused(g, text_of(mem, bytes, t.length - n), units, "without line", line);
        const char *next = memchr(t.bytes + i + 1, '\n', rest);
        if (next) {
            const size_t m = (size_t)(next + 1 - (t.bytes + i + 1));
            memcpy(bytes + first, t.bytes + i + 1, m);
            memcpy(bytes + first + m, t.bytes + first, n);
            memcpy(bytes + i + 1 + m, t.bytes + i + 1 + m, rest - m);
            require_refused(g, text_of(mem, bytes, t.length), units, "swapped: line", line);
        }
        first = i + 1;
        line++;
    }
}

START_TEST(round_trips)
{
    size_t bytes = 0, count = test_count(600);
    for (size_t k = 0; k < count; k++) {
        trial t, other;
        mskp_error err;
        trial_begin(&other, test_seed() * 1000000 + k, NULL, NULL);
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        uint8_t *keep = model_random_mask(&t.model, &t.mem, &t.r, rng_real(&t.r, 0, 1));
        if (k % 7 == 0) memset(keep, k % 2, t.units); /* also one that no plan would take */
        uint8_t *back = arena_get(&t.mem, t.units, 1);
        const text w = mask_text(&t.mem, t.graph, t.units, keep);
        bytes += w.length;
        REQUIRE(!read_mask(t.graph, w, t.units, back, &err), "%s", err.text);
        REQUIRE(same_mask(keep, back, t.units), "another mask is read");

        /* The same mask in other numbers, of the same network described once more. */
        for (size_t u = 0; u < t.units; u++)
            if (keep[u]) keep[u] = (uint8_t)rng_from(&t.r, 1, 255);
        REQUIRE(mskp_fingerprint(t.graph) == mskp_fingerprint(other.graph), "fingerprints");
        const text same = mask_text(&t.mem, other.graph, t.units, keep);
        REQUIRE(same.length == w.length && !memcmp(same.bytes, w.bytes, w.length), "another text");

        for (size_t i = 0; i < (k < 20 ? w.length : 20); i++) {
            const size_t length = k < 20 ? i : rng_below(&t.r, w.length);
            require_refused(t.graph, text_of(&t.mem, w.bytes, length), t.units, "cut at", length);
        }
        if (k % 4 == 0) spoil_lines(t.graph, &t.mem, w, t.units);

        /* The smaller network is another one, unless nothing left. */
        if (model_mask_allowed(&t.model, keep)) {
            mskp_plan *plan;
            mskp_graph *small;
            REQUIRE_OK(mskp_plan_create(t.graph, mask_of(t.units, keep), &plan, &small, NULL));
            const size_t left = mskp_graph_counts(small).units;
            uint8_t *all = arena_get(&t.mem, t.units, 1);
            memset(all, 1, t.units);
            const text of_small = mask_text(&t.mem, small, left, all);
            const mskp_status status = read_mask(t.graph, of_small, t.units, back, &err);
            REQUIRE(status == (left < t.units ? MSKP_ERROR_OTHER_NETWORK : MSKP_OK), "%s",
                    err.text);
            REQUIRE((mskp_fingerprint(small) == mskp_fingerprint(t.graph)) == (left == t.units),
                    "fingerprints of %zu and %zu units", left, t.units);
            mskp_plan_destroy(plan);
            mskp_graph_destroy(small);
        }
        trial_end(&t);
        trial_end(&other);
    }
    if (getenv("MSKP_TEST_VERBOSE")) printf("%zu bytes a mask\n", bytes / count);
}
END_TEST

/* ---- Damage: one byte is never another mask ---- */

static void mutate(const mskp_graph *g, arena *mem, text w, size_t units, const uint8_t *keep,
                   size_t at, unsigned char byte, size_t *accepted)
{
    mskp_error err;
    text t = text_of(mem, w.bytes, w.length);
    uint8_t back[128];
    REQUIRE(units <= sizeof back, "%zu units", units);
    t.bytes[at] = (char)byte;
    if (read_mask(g, t, units, back, &err)) return;
    *accepted += 1;
    REQUIRE(same_mask(keep, back, units), "byte %zu as %u: another mask", at, byte);
}

START_TEST(one_byte)
{
    mskp_graph *g = small_network_make(SMALL_PLAIN, NULL);
    const size_t units = mskp_graph_counts(g).units;
    size_t accepted = 0, tried = 0;
    trial_seed = 0;
    for (unsigned mask = 0; mask < 4; mask++) {
        arena mem = {0};
        uint8_t keep[128];
        for (size_t u = 0; u < units; u++) keep[u] = mask == 3 || (mask && u % 3 != mask);
        const text w = mask_text(&mem, g, units, keep);
        for (size_t at = 0; at < w.length; at++) {
            arena few = {0};
            for (unsigned bit = 1; bit < 256; bit++) {
                if (mask && bit % 8 != 1 && (bit & (bit - 1))) continue; /* all, and then some */
                const unsigned char byte = (unsigned char)((unsigned char)w.bytes[at] ^ bit);
                mutate(g, &few, w, units, keep, at, byte, &accepted);
                tried++;
            }
            arena_free(&few);
        }
        arena_free(&mem);
    }
    mskp_graph_destroy(g);
    /* 1-2 may be 1,2. */
    REQUIRE(accepted && accepted < 50, "%zu of %zu are read", accepted, tried);
    if (getenv("MSKP_TEST_VERBOSE")) printf("%zu of %zu texts are read\n", accepted, tried);
}
END_TEST

START_TEST(one_byte_of_any_network)
{
    size_t accepted = 0;
    for (size_t k = 0; k < test_count(200); k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        uint8_t *keep = model_random_mask(&t.model, &t.mem, &t.r, rng_real(&t.r, 0, 1));
        const text w = mask_text(&t.mem, t.graph, t.units, keep);
        for (size_t i = 0; i < 100; i++) {
            const size_t at = rng_below(&t.r, w.length);
            const char *likely = "0123456789,- \r\n";
            const unsigned char byte = rng_chance(&t.r, 0.7)
                                           ? (unsigned char)likely[rng_below(&t.r, 15)]
                                           : (unsigned char)rng_below(&t.r, 256);
            mutate(t.graph, &t.mem, w, t.units, keep, at, byte, &accepted);
        }
        trial_end(&t);
    }
}
END_TEST

/* ---- Edited texts, and the sentences that refuse them ---- */

static const char golden[] = "mskp mask 1\n"
                             "network c06598e2bc63d08e\n"
                             "family 0 at c1 keeps 3 of 4: 0,2-3\n"
                             "family 1 at pad keeps 1 of 2: 1\n"
                             "family 2 at c3 keeps 1 of 1: 0\n"
                             "family 3 at c3 keeps 0 of 1: none\n"
                             "family 4 at c3 keeps 2 of 2: 0-1\n"
                             "value x keeps 2 of 2: 0-1\n"
                             "value c1 keeps 3 of 4: 0,2-3\n"
                             "value n1 keeps 3 of 4: 0,2-3\n"
                             "value r\"1\\\xc3\xa4 keeps 3 of 4: 0,2-3\n"
                             "value c2 keeps 3 of 4: 0-1,3\n"
                             "value p\xff keeps 3 of 4: 0,2-3\n"
                             "value sum keeps 3 of 4: 0,2-3\n"
                             "value pad keeps 4 of 6: 0,2-3,5\n"
                             "value c3 keeps 4 of 5: 0-1,3-4\n"
                             "value s0 keeps 1 of 1: 0\n"
                             "value s1 keeps 1 of 1: 0\n"
                             "value s2 keeps 0 of 1: none\n"
                             "value resize keeps 4 of 5: 0-1,3-4\n"
                             "value f keeps 16 of 20: 0-7,12-19\n"
                             "value y keeps 3 of 3: 0-2\n"
                             "end keeps 7 of 10 units\n";

static const uint8_t golden_keep[10] = {1, 0, 1, 1, 0, 1, 1, 0, 1, 1};

/* The text with `from` replaced by `to`, once. */
static text edited(arena *mem, const char *from, const char *to)
{
    const char *at = strstr(golden, from);
    REQUIRE(at, "\"%s\" is not in the text", from);
    const size_t before = (size_t)(at - golden), n = strlen(to), after = strlen(at + strlen(from));
    char *bytes = arena_get(mem, before + n + after, 1);
    memcpy(bytes, golden, before);
    memcpy(bytes + before, to, n);
    memcpy(bytes + before + n, at + strlen(from), after);
    return (text){before + n + after, bytes};
}

static const struct {
    const char *from, *to;
    mskp_status status;
    const char *sentence;
} edits[] = {
    /* allowed */
    {"f keeps 16 of 20: 0-7", "f keeps 16 of 20: 0,1-5,6,7-7", MSKP_OK, ""},
    {"keeps 2 of 2: 0-1", "keeps 02 of 2: 00-001", MSKP_OK, ""},
    {"units\n", "units\r\n", MSKP_OK, ""},
    {"mask 1\n", "mask 1\r\n", MSKP_OK, ""},
    {"mask 1\n", "mask 01\n", MSKP_OK, ""},
    {"family 1 at pad keeps 1 of 2: 1", "family 01 at pad keeps 001 of 2: 1-1", MSKP_OK, ""},
    /* the head */
    {"mskp mask 1", "{\"mask\": 1}", MSKP_ERROR_BAD_TEXT,
     "line 1: \"{\"mask\":\" where \"mskp\" should be"},
    {"mskp mask 1", "mskp", MSKP_ERROR_BAD_TEXT, "line 1: \"\" where \"mask\" should be"},
    {"mskp mask 1", "mskp mask one", MSKP_ERROR_BAD_TEXT,
     "line 1: \"one\" where a number should be"},
    {"mskp mask 1", "mskp mask 2", MSKP_ERROR_UNSUPPORTED,
     "line 1: version 2 of the format, this library reads version 1"},
    {"mskp mask 1", "mskp mask 1 of mine", MSKP_ERROR_BAD_TEXT,
     "line 1: \"of mine\" where the line should end"},
    {"mskp mask 1", "\xef\xbb\xbfmskp mask 1", MSKP_ERROR_BAD_TEXT,
     "line 1: a byte order mark (EF BB BF) where \"mskp\" should be"},
    {"mskp mask 1", " mskp mask 1", MSKP_ERROR_BAD_TEXT, "line 1: a blank too many behind \"\""},
    {"mskp mask 1", "mskp  mask 1", MSKP_ERROR_BAD_TEXT,
     "line 1: a blank too many behind \"mskp\""},
    {"mskp mask 1", "mskp mask 1 ", MSKP_ERROR_BAD_TEXT,
     "line 1: a blank too many behind \"mskp mask 1\""},
    {"mskp mask 1\n", "mskp mask 1 \r\n", MSKP_ERROR_BAD_TEXT,
     "line 1: a blank too many behind \"mskp mask 1\""},
    {"mskp mask 1", "mskp\tmask 1", MSKP_ERROR_BAD_TEXT, "line 1: a tab (code 9) behind \"mskp\""},
    {"mskp mask 1\n", "mskp mask 1\r\r\n", MSKP_ERROR_BAD_TEXT,
     "line 1: a carriage return (code 13) behind \"mskp mask 1\""},
    {"mskp mask 1\n", "mskp mask 1\r", MSKP_ERROR_BAD_TEXT,
     "line 1: a carriage return (code 13) behind \"mskp mask 1\""},
    {"mskp mask 1", "mskp mask 18446744073709551616", MSKP_ERROR_BAD_TEXT,
     "line 1: 18446744073709551616 is too large a number"},
    {"network", "of", MSKP_ERROR_BAD_TEXT, "line 2: \"of\" where \"network\" should be"},
    {"d08e\n", "d08e \n", MSKP_ERROR_BAD_TEXT,
     "line 2: a blank too many behind \"network c06598e2bc63d08e\""},
    {"d08e\n", "d08f 1\n", MSKP_ERROR_BAD_TEXT, "line 2: \"1\" where the line should end"},
    {"d08e\n", "d08\n", MSKP_ERROR_BAD_TEXT,
     "line 2: \"c06598e2bc63d08\" where 16 digits, 0 to 9 and a to f, should be"},
    {"d08e\n", "d08e0\n", MSKP_ERROR_BAD_TEXT, "line 2: \"c06598e2bc63d08e0\" where 16 digits"},
    {"d08e\n", "d08E\n", MSKP_ERROR_BAD_TEXT, "line 2: \"c06598e2bc63d08E\" where 16 digits"},
    {"d08e\n", "d08g\n", MSKP_ERROR_BAD_TEXT, "line 2: \"c06598e2bc63d08g\" where 16 digits"},
    {"d08e\n", "d08\xc3\n", MSKP_ERROR_BAD_TEXT, "line 2: \"c06598e2bc63d08\xc3\" where 16 digits"},
    {"d08e\n", "d08f\n", MSKP_ERROR_OTHER_NETWORK,
     "line 2: another network, c06598e2bc63d08f and not c06598e2bc63d08e: its values and families "
     "are the same, but not its parameters, or what is tied; or this line is damaged"},
    {" c06598e2bc63d08e\n", "\n", MSKP_ERROR_BAD_TEXT, "line 2: \"\" where 16 digits"},
    /* families */
    {"family 1", "family 0", MSKP_ERROR_BAD_TEXT, "line 4: family 0 where family 1 should be"},
    {"family 1", "familia 1", MSKP_ERROR_BAD_TEXT,
     "line 4: \"familia\" where \"family\" should be"},
    {"family 1", "family one", MSKP_ERROR_BAD_TEXT, "line 4: \"one\" where a number should be"},
    {"family 1 at", "family 1 in", MSKP_ERROR_BAD_TEXT, "line 4: \"in\" where \"at\" should be"},
    {"at pad", "at paddy", MSKP_ERROR_BAD_TEXT, "line 4: \"paddy\" where \"pad\" should be"},
    {"at pad keeps 1 of 2: 1", "at pad keeps 1 of 3: 1", MSKP_ERROR_BAD_TEXT,
     "line 4: \"of 3\" should be \"of 2\""},
    {"at pad keeps 1 of 2: 1", "at pad keeps 1 of 2 1", MSKP_ERROR_BAD_TEXT,
     "line 4: \"2\" where a number and : should be"},
    {"at pad keeps 1 of 2: 1", "at pad keeps 1 of 2; 1", MSKP_ERROR_BAD_TEXT,
     "line 4: \"2;\" where a number and : should be"},
    {"at pad keeps 1 of 2: 1", "at pad keeps 1 out 2: 1", MSKP_ERROR_BAD_TEXT,
     "line 4: \"out\" where \"of\" should be"},
    {"at pad keeps 1 of 2: 1", "at pad loses 1 of 2: 1", MSKP_ERROR_BAD_TEXT,
     "line 4: \"loses\" where \"keeps\" should be"},
    {"at pad keeps 1 of 2: 1", "at pad keeps -1 of 2: 1", MSKP_ERROR_BAD_TEXT,
     "line 4: \"-1\" where a number should be"},
    {"at pad keeps 1 of 2: 1", "at pad keeps 2 of 2: 1", MSKP_ERROR_BAD_TEXT,
     "line 4: says that it keeps 2, and lists 1"},
    {"at pad keeps 1 of 2: 1", "at pad keeps 0 of 2: none", MSKP_ERROR_BAD_TEXT,
     "line 15: pad keeps channel 5, but line 4 lacks index 1 of family 1"},
    {"at pad keeps 1 of 2: 1", "at pad keeps 2 of 2: 0-1", MSKP_ERROR_BAD_TEXT,
     "line 15: pad lacks channel 4, but line 4 keeps index 0 of family 1"},
    {"at c1 keeps 3 of 4: 0,2-3", "at c1 keeps 3 of 4: 0,2-4", MSKP_ERROR_BAD_TEXT,
     "line 3: index 4 is out of range, of 4 the last is 3"},
    {"at c1 keeps 3 of 4: 0,2-3", "at c1 keeps 3 of 4: 0,3-2", MSKP_ERROR_BAD_TEXT,
     "line 3: index 2 after 3, indices must ascend"},
    {"at c1 keeps 3 of 4: 0,2-3", "at c1 keeps 4 of 4: 0,2-3,3", MSKP_ERROR_BAD_TEXT,
     "line 3: index 3 after 3, indices must ascend"},
    {"at c1 keeps 3 of 4: 0,2-3", "at c1 keeps 3 of 4: 2-3,0", MSKP_ERROR_BAD_TEXT,
     "line 3: index 0 after 3, indices must ascend"},
    {"at c1 keeps 3 of 4: 0,2-3", "at c1 keeps 3 of 4: 0, 2-3", MSKP_ERROR_BAD_TEXT,
     "line 3: \"0,\" where indices like 0-3,7 or \"none\" should be"},
    {"at c1 keeps 3 of 4: 0,2-3", "at c1 keeps 3 of 4: 0,2-", MSKP_ERROR_BAD_TEXT,
     "line 3: \"0,2-\""},
    {"at c1 keeps 3 of 4: 0,2-3", "at c1 keeps 3 of 4: 0;2-3", MSKP_ERROR_BAD_TEXT,
     "line 3: \"0;2-3\""},
    {"at c1 keeps 3 of 4: 0,2-3", "at c1 keeps 3 of 4: 1-2-3", MSKP_ERROR_BAD_TEXT,
     "line 3: \"1-2-3\""},
    {"at c1 keeps 3 of 4: 0,2-3", "at c1 keeps 3 of 4: ", MSKP_ERROR_BAD_TEXT,
     "line 3: a blank too many behind \"family 0 at c1 keeps 3 of 4:\""},
    {"at c1 keeps 3 of 4: 0,2-3", "at c1 keeps 3 of 4:", MSKP_ERROR_BAD_TEXT, "line 3: \"\" where"},
    {"at c1 keeps 3 of 4: 0,2-3", "at c1 keeps 3 of 4: 0,2-3 # mine", MSKP_ERROR_BAD_TEXT,
     "line 3: \"# mine\" where the line should end"},
    {"0,2-3", "0,2-18446744073709551615", MSKP_ERROR_BAD_TEXT,
     "line 3: index 18446744073709551615 is out of range"},
    {"0,2-3", "0,2-18446744073709551619", MSKP_ERROR_BAD_TEXT,
     "line 3: index 18446744073709551619 is out of range, of 4 the last is 3"},
    {"0,2-3", "0,99999999999999999999999999-3", MSKP_ERROR_BAD_TEXT,
     "line 3: index 99999999999999999999999999 is out of range, of 4 the last is 3"},
    {"at c1 keeps 3", "at c1 keeps 99999999999999999999999999", MSKP_ERROR_BAD_TEXT,
     "line 3: 99999999999999999999999999 is too large a number"},
    {"at c1 keeps 3 of 4:", "at c1 keeps 3 of 18446744073709551615:", MSKP_ERROR_BAD_TEXT,
     "line 3: 18446744073709551615 is too large a number"},
    {"0,2-3", "0,\x7f", MSKP_ERROR_BAD_TEXT,
     "line 3: a control character (code 127) behind \"family 0 at c1 keeps 3 of 4: 0,\""},
    {"family 4 at c3 keeps 2 of 2: 0-1\n", "", MSKP_ERROR_BAD_TEXT,
     "line 7: \"value\" where \"family\" should be"},
    /* values */
    {"value x keeps 2 of 2: 0-1", "value x keeps 1 of 2: 1", MSKP_ERROR_BAD_TEXT,
     "line 8: x lacks channel 0, which never leaves"},
    {"value c2 keeps 3 of 4: 0-1,3", "value c2 keeps 3 of 4: 0,2-3", MSKP_ERROR_BAD_TEXT,
     "line 12: c2 lacks channel 1, but line 3 keeps index 2 of family 0"},
    {"value c2 keeps 3 of 4: 0-1,3", "value c2 keeps 4 of 4: 0-3", MSKP_ERROR_BAD_TEXT,
     "line 12: c2 keeps channel 2, but line 3 lacks index 1 of family 0"},
    {"value c2 keeps 3 of 4: 0-1,3", "value c2 keeps 3 of 5: 0-1,3", MSKP_ERROR_BAD_TEXT,
     "line 12: \"of 5\" should be \"of 4\""},
    {"value c2", "value c1", MSKP_ERROR_BAD_TEXT, "line 12: \"c1\" where \"c2\" should be"},
    {"value c2", "value c", MSKP_ERROR_BAD_TEXT, "line 12: \"c\" where \"c2\" should be"},
    {"value c2", "valve c2", MSKP_ERROR_BAD_TEXT, "line 12: \"valve\" where \"value\" should be"},
    {"value y keeps 3 of 3: 0-2\n", "value y keeps 3 of 3: 0-2\n\n", MSKP_ERROR_BAD_TEXT,
     "line 23: \"\" where \"end\" should be"},
    {"value y keeps 3 of 3: 0-2\n", "", MSKP_ERROR_BAD_TEXT,
     "line 22: \"end\" where \"value\" should be"},
    /* the end */
    {"end keeps 7 of 10 units", "end keeps 8 of 10 units", MSKP_ERROR_BAD_TEXT,
     "line 23: \"keeps 8 of 10\" should be \"keeps 7 of 10\""},
    {"end keeps 7 of 10 units", "end keeps 7 of 11 units", MSKP_ERROR_BAD_TEXT,
     "line 23: \"keeps 7 of 11\" should be \"keeps 7 of 10\""},
    {"end keeps", "end has", MSKP_ERROR_BAD_TEXT, "line 23: \"has\" where \"keeps\" should be"},
    {"7 of 10 units", "all of 10 units", MSKP_ERROR_BAD_TEXT, "line 23: \"all\" where a number"},
    {"7 of 10 units", "7 by 10 units", MSKP_ERROR_BAD_TEXT, "line 23: \"by\" where \"of\""},
    {"7 of 10 units", "7 of ten units", MSKP_ERROR_BAD_TEXT, "line 23: \"ten\" where a number"},
    {"10 units", "10 channels", MSKP_ERROR_BAD_TEXT,
     "line 23: \"channels\" where \"units\" should be"},
    {"10 units", "10 units left", MSKP_ERROR_BAD_TEXT,
     "line 23: \"left\" where the line should end"},
    {"10 units\n", "10 units\n\n", MSKP_ERROR_BAD_TEXT,
     "line 24: something follows the line \"end\""},
    {"10 units\n", "10 units", MSKP_ERROR_BAD_TEXT,
     "the text ends within line 23; its last line must begin with \"end\""},
    {"end keeps 7 of 10 units\n", "", MSKP_ERROR_BAD_TEXT,
     "the text ends before line 23; its last"},
};

START_TEST(edits_are_read_or_refused)
{
    mskp_graph *g = small_network_make(SMALL_PLAIN, NULL);
    arena mem = {0};
    trial_seed = 0;
    ck_assert_uint_eq(mskp_graph_counts(g).units, sizeof golden_keep);
    const text w = mask_text(&mem, g, sizeof golden_keep, golden_keep);
    ck_assert_msg(w.length == strlen(golden) && !memcmp(w.bytes, golden, w.length), "%.*s",
                  (int)w.length, w.bytes);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        mskp_error err;
        uint8_t keep[sizeof golden_keep];
        const text t = edited(&mem, edits[i].from, edits[i].to);
        const mskp_status status = read_mask(g, t, sizeof keep, keep, &err);
        ck_assert_msg(status == edits[i].status &&
                          !strncmp(err.text, edits[i].sentence, strlen(edits[i].sentence)),
                      "\"%s\" -> \"%s\": %d: %s", edits[i].from, edits[i].to, (int)status,
                      err.text);
        if (!status) ck_assert(same_mask(keep, golden_keep, sizeof keep));
    }
    arena_free(&mem);
    mskp_graph_destroy(g);
}
END_TEST

/* All line ends of another kind; and a file of this repository's, as another build wrote it. */
START_TEST(files_are_read)
{
    static const char *const names[] = {"some", "crlf", "other-9"};
    mskp_graph *g = small_network_make(SMALL_PLAIN, NULL);
    trial_seed = 0;
    for (size_t i = 0; i < 3; i++) {
        char path[100], bytes[2048];
        uint8_t keep[sizeof golden_keep];
        mskp_error err;
        (void)snprintf(path, sizeof path, "test/fuzz/corpus/mask/%s", names[i]);
        FILE *file = fopen(path, "rb");
        ck_assert_msg(file != NULL, "%s is not here", path);
        const size_t n = fread(bytes, 1, sizeof bytes, file);
        (void)fclose(file);
        ck_assert_msg((memchr(bytes, '\r', n) != NULL) == (i == 1), "%s", path);
        const mskp_status status = read_mask(g, (text){n, bytes}, sizeof keep, keep, &err);
        ck_assert_msg(!status && same_mask(keep, golden_keep, sizeof keep), "%s: %s", path,
                      err.text);
    }
    mskp_graph_destroy(g);
}
END_TEST

/* ---- Other networks ---- */

static const struct {
    small_change change;
    const char *here, *there; /* their network reads our mask, ours reads theirs */
} others[] = {
    {SMALL_VALUE_RENAMED,
     "line 12: another network: value 5 is c2 of width 4, here it is c2x of width 4",
     "line 12: another network: value 5 is c2x of width 4, here it is c2 of width 4"},
    {SMALL_PARAM_RENAMED, "line 2: another network, c06598e2bc63d08e and not ",
     "line 2: another network, "},
    {SMALL_KERNEL, "line 2: another network, c06598e2bc63d08e and not ",
     "line 2: another network, "},
    {SMALL_REVERSED, "line 2: another network, c06598e2bc63d08e and not ",
     "line 2: another network, "},
    {SMALL_WIDER, "line 16: another network: value 9 is c3 of width 5, here it is c3 of width 6",
     "line 16: another network: value 9 is c3 of width 6, here it is c3 of width 5"},
    {SMALL_TIED, "line 6: another network: family 3 is c3 of width 1, here it is c3 of width 2",
     "line 6: another network: family 3 is c3 of width 2, here it is c3 of width 1"},
    {SMALL_LONGER, "another network: the mask names 15 of this one's 16 values",
     "line 23: another network: value 16 is more there, this one has 15"},
    {SMALL_SHORTER, "line 22: another network: value 15 is y there, this one has 14",
     "another network: the mask names 14 of this one's 15 values"},
};

START_TEST(other_networks_are_refused)
{
    mskp_graph *ours = small_network_make(SMALL_PLAIN, NULL);
    mskp_error err;
    uint8_t keep[64], all[64];
    arena mem = {0};
    const text golden_text = text_of(&mem, golden, strlen(golden));
    trial_seed = 0;
    memset(all, 1, sizeof all);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        mskp_graph *theirs = small_network_make(others[i].change, NULL);
        const size_t units = mskp_graph_counts(theirs).units;
        ck_assert_int_eq(read_mask(theirs, golden_text, units, keep, &err),
                         MSKP_ERROR_OTHER_NETWORK);
        ck_assert_msg(!strncmp(err.text, others[i].here, strlen(others[i].here)), "%zu: %s", i,
                      err.text);
        const text t = mask_text(&mem, theirs, units, all);
        ck_assert_int_eq(read_mask(ours, t, sizeof golden_keep, keep, &err),
                         MSKP_ERROR_OTHER_NETWORK);
        ck_assert_msg(!strncmp(err.text, others[i].there, strlen(others[i].there)), "%zu: %s", i,
                      err.text);
        ck_assert(mskp_fingerprint(ours) != mskp_fingerprint(theirs));
        mskp_graph_destroy(theirs);
    }

    /* What is cut short or damaged besides is still refused as another network's. */
    mskp_graph *theirs = small_network_make(SMALL_PARAM_RENAMED, NULL);
    for (size_t n = 0; n < golden_text.length; n++) {
        const mskp_status status =
            read_mask(theirs, text_of(&mem, golden, n), sizeof golden_keep, keep, &err);
        ck_assert(status == MSKP_ERROR_OTHER_NETWORK || (n < 37 && status == MSKP_ERROR_BAD_TEXT));
    }
    static const char *const damage[][2] = {
        {"family 2", "family two"},       {"family 2 at", "family 2 in"},
        {"value c1 keeps", "value c1"},   {"keeps 3 of 4", "keeps x of 4"},
        {"keeps 3 of 4", "keeps 3 in 4"}, {"keeps 3 of 4:", "keeps 3 of 4"}};
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        const text t = edited(&mem, damage[i][0], damage[i][1]);
        ck_assert_int_eq(read_mask(theirs, t, sizeof golden_keep, keep, &err),
                         MSKP_ERROR_OTHER_NETWORK);
        ck_assert_msg(strstr(err.text, "the mask names"), "%s", err.text);
    }
    mskp_graph_destroy(theirs);

    /* A mask means the same for images of another size. */
    theirs = small_network_make(SMALL_LARGER, NULL);
    ck_assert_int_eq(read_mask(theirs, golden_text, sizeof golden_keep, keep, &err), MSKP_OK);
    mskp_graph_destroy(theirs);
    mskp_graph_destroy(ours);
    arena_free(&mem);
}
END_TEST

/* ---- Long names, many families, nothing to prune ---- */

START_TEST(names_of_any_length)
{
    enum { LONG = 5000 };
    char name[LONG + 1];
    arena mem = {0};
    trial_seed = 0;
    memset(name, 'n', LONG);
    name[LONG] = 0;
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_fresh(g, name, 300, 0, NULL);
    name[LONG - 1] = 'm';
    mskp_fresh(g, name, 1, 0, NULL);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    uint8_t keep[301], back[301];
    for (size_t u = 0; u < 301; u++) keep[u] = u % 7 < 3;
    const text w = mask_text(&mem, g, 301, keep);
    mskp_error err;
    ck_assert_int_eq(read_mask(g, w, 301, back, &err), MSKP_OK);
    ck_assert(same_mask(keep, back, 301));
    w.bytes[100 + LONG / 2] = 'x'; /* in line 3, within the name */
    ck_assert_int_eq(read_mask(g, w, 301, back, &err), MSKP_ERROR_BAD_TEXT);
    ck_assert_msg(!strncmp(err.text, "line 3: \"nnnn", 13) && strlen(err.text) < 200, "%s",
                  err.text);
    mskp_graph_destroy(g);

    g = mskp_graph_create(NULL);
    mskp_input(g, "x", 3, 0, NULL);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    const text none = mask_text(&mem, g, 0, keep);
    ck_assert_int_eq(read_mask(g, none, 0, back, &err), MSKP_OK);
    ck_assert(strstr(none.bytes, "value x keeps 3 of 3: 0-2\nend keeps 0 of 0 units\n"));
    mskp_graph_destroy(g);
    arena_free(&mem);
}
END_TEST

START_TEST(arguments)
{
    mskp_graph *g = mskp_graph_create(NULL), *small = small_network_make(SMALL_PLAIN, NULL);
    mskp_error err = {0};
    uint8_t keep[10] = {0};
    char bytes[16];
    size_t length = 77;
    mskp_input(g, "x", 1, 0, NULL);
    ck_assert_uint_eq(mskp_fingerprint(NULL), 0);
    ck_assert_uint_eq(mskp_fingerprint(g), 0);
    ck_assert_int_eq(mskp_mask_write(NULL, mask_of(0, keep), 16, bytes, &length, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_mask_write(g, mask_of(0, keep), 16, bytes, &length, &err),
                     MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_mask_write(small, mask_of(9, keep), 16, bytes, &length, &err),
                     MSKP_ERROR_OTHER_NETWORK);
    ck_assert_int_eq(mskp_mask_write(small, (mskp_mask){0}, 16, bytes, &length, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_mask_write(small, mask_of(10, keep), 16, bytes, NULL, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_uint_eq(length, 77);
    ck_assert_int_eq(mskp_mask_write(small, mask_of(10, keep), 16, bytes, &length, NULL),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_uint_gt(length, 600);
    ck_assert_int_eq(mskp_mask_read(NULL, 1, "x", mask_of(0, keep), &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_mask_read(g, 1, "x", mask_of(0, keep), &err), MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_mask_read(small, 1, "x", mask_of(11, keep), &err),
                     MSKP_ERROR_OTHER_NETWORK);
    ck_assert_int_eq(mskp_mask_read(small, 1, NULL, mask_of(10, keep), &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_mask_read(small, 1, "x", (mskp_mask){0}, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_mask_read(small, 0, "", mask_of(10, keep), NULL), MSKP_ERROR_BAD_TEXT);
    ck_assert_int_eq(mskp_mask_read(small, strlen(golden) + 1, golden, mask_of(10, keep), &err),
                     MSKP_ERROR_BAD_TEXT); /* with its 0 */
    mskp_graph_destroy(g);
    mskp_graph_destroy(small);
}
END_TEST

/* ---- Two processes ---- */

/* All bytes that a cut with this mask leaves, of a network and tensors that a seed decides. */
static text cut_bytes(trial *t, const uint8_t *keep)
{
    surgery s;
    mskp_error err = {0};
    size_t bytes = 0;
    rng r = rng_make(99);
    surgery_begin(&s, t, t->graph, t->net, t->value, t->units, keep);
    set values = set_make(&t->mem, &r, t->net, MSKP_DTYPE_F64, VIEW_STYLES);
    set more = set_make(&t->mem, &r, t->net, MSKP_DTYPE_BYTES_2, VIEW_STYLES);
    set_numbers(&values, t->net);
    set_pattern(&more, t->net, 5);
    REQUIRE(!cut_by_id(s.plan, t->net->params, 2,
                       (move_by_id[]){{values.views, NULL}, {more.views, NULL}}, &err),
            "%s", err.text);
    for (size_t p = 1; p <= t->net->params; p++) bytes += values.buf[p].bytes + more.buf[p].bytes;
    text all = {bytes, arena_get(&t->mem, bytes, 1)};
    for (size_t p = 1, at = 0; p <= t->net->params; p++) {
        memcpy(all.bytes + at, values.buf[p].memory, values.buf[p].bytes);
        at += values.buf[p].bytes;
        memcpy(all.bytes + at, more.buf[p].memory, more.buf[p].bytes);
        at += more.buf[p].bytes;
    }
    surgery_end(&s);
    return all;
}

static void file_put(const char *path, text t)
{
    FILE *file = fopen(path, "wb");
    REQUIRE(file && fwrite(t.bytes, 1, t.length, file) == t.length && !fclose(file), "%s", path);
}

static text file_get(arena *mem, const char *path)
{
    FILE *file = fopen(path, "rb");
    REQUIRE(file && !fseek(file, 0, SEEK_END), "%s", path);
    const long n = ftell(file);
    REQUIRE(n >= 0 && !fseek(file, 0, SEEK_SET), "%s", path);
    text t = {(size_t)n, arena_get(mem, (size_t)n, 1)};
    REQUIRE(fread(t.bytes, 1, t.length, file) == t.length && !fclose(file), "%s", path);
    return t;
}

/* `PROGRAM cut SEED MASK RESULT`: the other process. */
static int cut_by_file(char **argument)
{
    trial t;
    mskp_error err = {0};
    trial_begin(&t, strtoull(argument[2], NULL, 10), NULL, NULL);
    uint8_t *keep = arena_get(&t.mem, t.units, 1);
    const text w = file_get(&t.mem, argument[3]);
    if (mskp_mask_read(t.graph, w.length, w.bytes, mask_of(t.units, keep), &err)) {
        fprintf(stderr, "%s: %s\n", argument[3], err.text);
        return EXIT_FAILURE;
    }
    file_put(argument[4], cut_bytes(&t, keep));
    trial_end(&t);
    return EXIT_SUCCESS;
}

START_TEST(two_processes_one_mask_file)
{
    char mask[] = "/tmp/mskp-mask-XXXXXX", result[] = "/tmp/mskp-cut-XXXXXX";
    const int mask_file = mkstemp(mask), result_file = mkstemp(result);
    ck_assert(mask_file >= 0 && result_file >= 0 && !close(mask_file) && !close(result_file));
    for (size_t k = 0; k < test_count(40); k++) {
        trial t;
        char seed[32];
        const uint64_t number = test_seed() * 1000000 + k;
        (void)snprintf(seed, sizeof seed, "%llu", (unsigned long long)number);
        trial_begin(&t, number, NULL, NULL);
        uint8_t *keep = model_random_mask(&t.model, &t.mem, &t.r, 0.5);
        file_put(mask, mask_text(&t.mem, t.graph, t.units, keep));
        (void)fflush(NULL);
        const pid_t other = fork();
        if (!other) {
            const char *emulator = getenv("MSKP_TEST_EMULATOR"); /* what this program runs in */
            if (emulator)
                execlp(emulator, emulator, program, "cut", seed, mask, result, (char *)NULL);
            else
                execl(program, program, "cut", seed, mask, result, (char *)NULL);
            _exit(EXIT_FAILURE);
        }
        int status = -1;
        REQUIRE(other > 0 && waitpid(other, &status, 0) == other && status == 0,
                "the other process: %d", status);
        const text ours = cut_bytes(&t, keep), theirs = file_get(&t.mem, result);
        REQUIRE(ours.length == theirs.length && !memcmp(ours.bytes, theirs.bytes, ours.length),
                "%zu and %zu bytes", ours.length, theirs.length);
        trial_end(&t);
    }
    ck_assert(!unlink(mask) && !unlink(result));
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "cut")) return cut_by_file(argv);
    program = argv[0];
    Suite *suite = suite_create("maskfile");
    TCase *tcase = tcase_create("maskfile");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, round_trips);
    tcase_add_test(tcase, one_byte);
    tcase_add_test(tcase, one_byte_of_any_network);
    tcase_add_test(tcase, edits_are_read_or_refused);
    tcase_add_test(tcase, files_are_read);
    tcase_add_test(tcase, other_networks_are_refused);
    tcase_add_test(tcase, names_of_any_length);
    tcase_add_test(tcase, arguments);
    tcase_add_test(tcase, two_processes_one_mask_file);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

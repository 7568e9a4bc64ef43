/*
 * Reading a mask from text. docs/mask-file.md has the grammar: lines of words, with one blank
 * between two words.
 *
 * The reader takes the text line by line and each line word by word. It expects exactly what the
 * writer (maskwrite.c) would have written for this network, except for the indices, so a parse
 * is a sequence of calls of `expect`, and every refusal names the line and the word.
 *
 *     mskp mask 1                             read_head
 *     network 0123456789abcdef                read_network
 *     family 0 at conv keeps 5 of 8: 0-4      read_family, for each family: sets the mask
 *     value conv keeps 5 of 8: 0-4            read_value, for each value: must agree with the mask
 *     end keeps 5 of 8 units                  read_end
 *
 * If the fingerprint in the second line is that of another network, other_lines compares the names
 * and lengths in the text with those of this network, in order to say where the two differ. The
 * text may come from anywhere: no byte is read at or after `end`, no word need be terminated, and
 * the caller's mask is written only after the last line.
 */
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/units.h"

typedef struct reader {
    const mskp_graph *graph;
    mskp_error *err;
    const char *at, *end; /* the lines that are still to be read */
    size_t line;          /* the number of the current line, from 1 */
    const char *rest;     /* the words of the line that are still to be read; NULL: none is left */
    const char *line_end;
    const char *word; /* the current word, not terminated */
    size_t length;    /* its length */
    uint8_t *keep;    /* [units] 1 or 0 */
    uint8_t *kept;    /* [longest list] 1 or 0, by index in the list of the current line */
} reader;

/* Family f stands in line FIRST_FAMILY_LINE + f. */
enum { FIRST_FAMILY_LINE = 3 };

static const char *quote(const reader *r, char room[NAME_SIZE])
{
    return mskpi_quote(r->word, r->length, room);
}

/* Refuses a line with other white space than one blank between two words, or control characters. */
static mskp_status check_line(const reader *r)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    const size_t n = (size_t)(r->line_end - r->rest);
    char room[NAME_SIZE];
    if (r->line == 1 && n >= 3 && !memcmp(r->rest, byte_order_mark, 3))
        return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                          "line 1: a byte order mark (EF BB BF) where \"mskp\" should be");
    for (const char *at = r->rest; at < r->line_end; at++) {
        const unsigned byte = (unsigned char)*at;
        if (byte < ' ' || byte == 127)
            return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT, "line %zu: %s (code %u) behind \"%s\"",
                              r->line,
                              byte == '\t'   ? "a tab"
                              : byte == '\r' ? "a carriage return"
                                             : "a control character",
                              byte, mskpi_quote(r->rest, (size_t)(at - r->rest), room));
        if (byte == ' ' && (at == r->rest || at + 1 == r->line_end || at[1] == ' '))
            return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                              "line %zu: a blank too many behind \"%s\"", r->line,
                              mskpi_quote(r->rest, (size_t)(at - r->rest), room));
    }
    return MSKP_OK;
}

static mskp_status next_line(reader *r)
{
    const size_t left = (size_t)(r->end - r->at);
    const char *stop = left ? memchr(r->at, '\n', left) : NULL;
    if (!stop)
        return mskpi_fail(
            r->err, MSKP_ERROR_BAD_TEXT,
            "the text ends %s line %zu; its last line must begin with \"end\", and each "
            "end in a line feed",
            left ? "within" : "before", r->line + 1);
    r->line++;
    r->rest = r->at;
    r->line_end = stop > r->at && stop[-1] == '\r' ? stop - 1 : stop;
    r->at = stop + 1;
    return check_line(r);
}

/* Takes the next word of the line. At the end of the line its length is 0. */
static void next_word(reader *r)
{
    MSKPI_ASSERT(!r->rest || r->rest <= r->line_end);
    r->word = r->rest ? r->rest : r->line_end;
    const char *blank = memchr(r->word, ' ', (size_t)(r->line_end - r->word));
    r->length = (size_t)((blank ? blank : r->line_end) - r->word);
    r->rest = blank ? blank + 1 : NULL;
}

static bool word_is(const reader *r, const char *wanted)
{
    return r->length == strlen(wanted) && !memcmp(r->word, wanted, r->length);
}

/* Takes the next word, which must be this one. */
static mskp_status expect(reader *r, const char *wanted)
{
    char room[NAME_SIZE], wanted_room[NAME_SIZE];
    next_word(r);
    if (word_is(r, wanted)) return MSKP_OK;
    return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT, "line %zu: \"%s\" where \"%s\" should be",
                      r->line, quote(r, room), mskpi_short(wanted, wanted_room));
}

static mskp_status expect_end_of_line(reader *r)
{
    char room[NAME_SIZE];
    if (!r->rest) return MSKP_OK;
    return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT, "line %zu: \"%s\" where the line should end",
                      r->line, mskpi_quote(r->rest, (size_t)(r->line_end - r->rest), room));
}

/* *number <- the number whose digits begin at *at, and *at <- their end. SIZE_MAX, which is no
 * number of anything, stands for every larger number. Returns whether there is a digit. */
static bool has_digits(const char **at, const char *end, size_t *number)
{
    const char *first = *at;
    *number = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        const size_t digit = (size_t)(**at - '0');
        *number = *number > (SIZE_MAX - digit) / 10 ? SIZE_MAX : 10 * *number + digit;
    }
    return *at > first;
}

/* Takes the next word, which must be a number followed by `mark`. */
static mskp_status read_number(reader *r, const char *mark, size_t *number)
{
    char room[NAME_SIZE];
    next_word(r);
    const char *at = r->word, *end = r->word + r->length;
    if (!has_digits(&at, end, number) || (size_t)(end - at) != strlen(mark) ||
        memcmp(at, mark, strlen(mark)) != 0)
        return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                          "line %zu: \"%s\" where a number%s%s should be", r->line, quote(r, room),
                          *mark ? " and " : "", mark);
    if (*number == SIZE_MAX)
        return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT, "line %zu: %s is too large a number",
                          r->line, mskpi_quote(r->word, (size_t)(at - r->word), room));
    return MSKP_OK;
}

static mskp_status no_indices(const reader *r)
{
    char room[NAME_SIZE];
    return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                      "line %zu: \"%s\" where indices like 0-3,7 or \"none\" should be", r->line,
                      quote(r, room));
}

/* *index <- the index that begins at *at, which must be below n, and *at <- its end. */
static mskp_status read_index(const reader *r, const char **at, size_t n, size_t *index)
{
    const char *first = *at;
    char room[NAME_SIZE];
    if (!has_digits(at, r->word + r->length, index)) return no_indices(r);
    if (*index < n) return MSKP_OK;
    return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                      "line %zu: index %s is out of range, of %zu the last is %zu", r->line,
                      mskpi_quote(first, (size_t)(*at - first), room), n, n - 1);
}

/* Takes a word such as "0-3,7": r->kept[i] <- 1 for these indices i, 0 for the others below n. */
static mskp_status read_ranges(reader *r, size_t n, size_t *count)
{
    size_t next = 0;
    *count = 0;
    memset(r->kept, 0, n);
    next_word(r);
    if (word_is(r, "none")) return MSKP_OK;
    for (const char *at = r->word, *end = at + r->length;; at++) {
        size_t first, last;
        mskp_status status = read_index(r, &at, n, &first);
        last = first;
        if (!status && at < end && *at == '-') {
            at++;
            status = read_index(r, &at, n, &last);
        }
        if (status) return status;
        if (at < end && *at != ',') return no_indices(r);
        if (first < next || last < first)
            return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                              "line %zu: index %zu after %zu, indices must ascend", r->line,
                              last < first ? last : first, last < first ? first : next - 1);
        MSKPI_ASSERT(next <= first && first <= last && last < n);
        memset(r->kept + first, 1, last - first + 1);
        *count += last - first + 1;
        next = last + 1;
        MSKPI_ASSERT(*count <= n);
        if (at == end) return MSKP_OK;
    }
}

/* Takes "keeps 5 of 16: 0-3,7" to the end of the line, for a list that has n entries here. */
static mskp_status read_kept(reader *r, size_t n)
{
    mskp_status status;
    size_t stated, size, count;
    if ((status = expect(r, "keeps")) || (status = read_number(r, "", &stated)) ||
        (status = expect(r, "of")) || (status = read_number(r, ":", &size)))
        return status;
    if (size != n)
        return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT, "line %zu: \"of %zu\" should be \"of %zu\"",
                          r->line, size, n);
    if ((status = read_ranges(r, n, &count)) || (status = expect_end_of_line(r))) return status;
    if (stated != count)
        return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                          "line %zu: says that it keeps %zu, and lists %zu", r->line, stated,
                          count);
    return MSKP_OK;
}

static mskp_status read_family(reader *r, size_t f)
{
    mskp_status status;
    size_t n, number;
    const uint32_t *unit = mskp_family_units(r->graph, f, &n);
    if ((status = next_line(r)) || (status = expect(r, "family")) ||
        (status = read_number(r, "", &number)))
        return status;
    if (number != f)
        return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                          "line %zu: family %zu where family %zu should be", r->line, number, f);
    if ((status = expect(r, "at")) || (status = expect(r, mskpi_family_name(r->graph, f))) ||
        (status = read_kept(r, n)))
        return status;
    for (size_t i = 0; i < n; i++) r->keep[unit[i]] = r->kept[i];
    return MSKP_OK;
}

/* Fails because the line of value v keeps or lacks channel i, and the family of its unit does
 * not. */
static mskp_status disagree(const reader *r, uint32_t v, size_t i, uint32_t unit)
{
    char room[NAME_SIZE];
    const char *name = mskpi_short(mskpi_value_name(r->graph, v), room);
    size_t n, at = 0;
    if (unit == MSKP_PINNED)
        return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                          "line %zu: %s lacks channel %zu, which never leaves", r->line, name, i);
    const uint32_t family = r->graph->u->family[unit];
    const uint32_t *units = mskp_family_units(r->graph, family, &n);
    while (units[at] != unit) at++;
    MSKPI_ASSERT(at < n); /* a unit stands in the list of its family */
    return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                      "line %zu: %s %s channel %zu, but line %zu %s index %zu of family %u",
                      r->line, name, r->kept[i] ? "keeps" : "lacks", i,
                      FIRST_FAMILY_LINE + (size_t)family, r->kept[i] ? "lacks" : "keeps", at,
                      family);
}

static mskp_status read_value(reader *r, uint32_t v)
{
    mskp_status status;
    size_t n;
    const uint32_t *unit = mskp_value_units(r->graph, (mskp_value){v}, &n);
    if ((status = next_line(r)) || (status = expect(r, "value")) ||
        (status = expect(r, mskpi_value_name(r->graph, v))) || (status = read_kept(r, n)))
        return status;
    for (size_t i = 0; i < n; i++)
        if (r->kept[i] != (mskpi_is_kept(r->keep, unit[i]) != 0)) return disagree(r, v, i, unit[i]);
    return MSKP_OK;
}

static mskp_status read_end(reader *r)
{
    mskp_status status;
    const size_t units = r->graph->u->n;
    size_t stated, of, kept = 0;
    if ((status = next_line(r)) || (status = expect(r, "end")) || (status = expect(r, "keeps")) ||
        (status = read_number(r, "", &stated)) || (status = expect(r, "of")) ||
        (status = read_number(r, "", &of)) || (status = expect(r, "units")) ||
        (status = expect_end_of_line(r)))
        return status;
    for (size_t u = 0; u < units; u++) kept += r->keep[u];
    if (stated != kept || of != units)
        return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                          "line %zu: \"keeps %zu of %zu\" should be \"keeps %zu of %zu\"", r->line,
                          stated, of, kept, units);
    if (r->at != r->end)
        return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                          "line %zu: something follows the line \"end\"", r->line + 1);
    return MSKP_OK;
}

/* ---- where another network differs ---- */

/* Looks for the next line of a family, or else of a value. *name <- the name in it, *n <- the
 * length of its list. Returns whether there is such a line, and it can be read. */
static bool has_next(reader *r, bool families, const char **name, size_t *name_length, size_t *n)
{
    size_t number;
    while (!next_line(r)) {
        next_word(r);
        if (!word_is(r, families ? "family" : "value")) continue;
        if (families && (read_number(r, "", &number) || expect(r, "at"))) return false;
        next_word(r);
        *name = r->word;
        *name_length = r->length;
        return !expect(r, "keeps") && !read_number(r, "", &number) && !expect(r, "of") &&
               !read_number(r, ":", n);
    }
    return false;
}

/* Fails at the first family, or else value, whose name or length is another one in the text. The
 * search goes on from the current line with a reader of its own, whose errors nobody sees. */
static mskp_status other_lines(const reader *r, bool families)
{
    const char *what = families ? "family" : "value";
    const mskp_graph *g = r->graph;
    const size_t here = families ? g->u->nfamilies : g->nvalues;
    reader scan = *r;
    size_t there = 0, n;
    char room[NAME_SIZE], here_room[NAME_SIZE];
    const char *name;
    scan.err = NULL;
    for (size_t length, n_there; has_next(&scan, families, &name, &length, &n_there); there++) {
        const size_t id = families ? there : there + 1; /* values count from 1 */
        MSKPI_ASSERT(there <= here);
        mskpi_quote(name, length, room);
        if (there == here)
            return mskpi_fail(r->err, MSKP_ERROR_OTHER_NETWORK,
                              "line %zu: another network: %s %zu is %s there, this one has %zu",
                              scan.line, what, id, room, here);
        const char *name_here =
            families ? mskpi_family_name(g, there) : mskpi_value_name(g, (uint32_t)id);
        if (families)
            mskp_family_units(g, there, &n);
        else
            mskp_value_units(g, (mskp_value){(uint32_t)id}, &n);
        if (n != n_there || length != strlen(name_here) || memcmp(name, name_here, length) != 0)
            return mskpi_fail(
                r->err, MSKP_ERROR_OTHER_NETWORK,
                "line %zu: another network: %s %zu is %s of width %zu, here it is %s of width %zu",
                scan.line, what, id, room, n_there, mskpi_short(name_here, here_room), n);
    }
    if (there == here) return MSKP_OK;
    return mskpi_fail(r->err, MSKP_ERROR_OTHER_NETWORK,
                      "another network: the mask names %zu of this one's %zu %s", there, here,
                      families ? "families" : "values");
}

static mskp_status other_network(const reader *r, const char *fingerprint)
{
    mskp_status status;
    char room[NAME_SIZE];
    if ((status = other_lines(r, false)) || (status = other_lines(r, true))) return status;
    return mskpi_fail(r->err, MSKP_ERROR_OTHER_NETWORK,
                      "line 2: another network, %s and not %s: its values and families are the "
                      "same, but not its parameters, or what is tied; or this line is damaged",
                      quote(r, room), fingerprint);
}

/* ---- the mask ---- */

static mskp_status read_head(reader *r)
{
    mskp_status status;
    size_t version;
    if ((status = next_line(r)) || (status = expect(r, "mskp")) || (status = expect(r, "mask")) ||
        (status = read_number(r, "", &version)))
        return status;
    if (version != 1)
        return mskpi_fail(r->err, MSKP_ERROR_UNSUPPORTED,
                          "line 1: version %zu of the format, this library reads version 1",
                          version);
    return expect_end_of_line(r);
}

static mskp_status read_network(reader *r)
{
    mskp_status status;
    char room[NAME_SIZE], fingerprint[17];
    if ((status = next_line(r)) || (status = expect(r, "network"))) return status;
    next_word(r);
    size_t good = 0;
    while (good < r->length && memchr("0123456789abcdef", r->word[good], 16)) good++;
    if (r->length != 16 || good != 16)
        return mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                          "line 2: \"%s\" where 16 digits, 0 to 9 and a to f, should be",
                          quote(r, room));
    if ((status = expect_end_of_line(r)) != MSKP_OK) return status;
    mskpi_fingerprint_text(mskp_fingerprint(r->graph), fingerprint);
    return word_is(r, fingerprint) ? MSKP_OK : other_network(r, fingerprint);
}

static mskp_status read_mask(reader *r)
{
    mskp_status status = read_head(r);
    if (!status) status = read_network(r);
    MSKPI_ASSERT(status || r->line + 1 == FIRST_FAMILY_LINE);
    for (size_t f = 0; !status && f < r->graph->u->nfamilies; f++) status = read_family(r, f);
    for (uint32_t v = 1; !status && v <= r->graph->nvalues; v++) status = read_value(r, v);
    return status ? status : read_end(r);
}

static size_t longest_list(const unit_table *u)
{
    size_t longest = u->n; /* no family is longer */
    for (size_t l = 0; l < u->nlists; l++)
        if (u->lists[l].n > longest) longest = u->lists[l].n;
    return longest;
}

mskp_status mskp_mask_read(const mskp_graph *graph, size_t length, const char *text, mskp_mask keep,
                           mskp_error *err)
{
    mskp_status status = mskpi_check_mask(graph, "keep", keep, err);
    if (!status) status = MSKPI_GIVEN(err, text);
    if (status) return status;
    reader r = {.graph = graph, .err = err, .at = text, .end = text + length};
    r.keep = mskpi_alloc(&graph->services, keep.n, 1);
    r.kept = mskpi_alloc(&graph->services, longest_list(graph->u), 1);
    if (!r.keep || !r.kept)
        status = mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while reading a mask",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY));
    else
        status = read_mask(&r);
    if (!status) memcpy(keep.unit, r.keep, keep.n);
    mskpi_free(&graph->services, r.keep);
    mskpi_free(&graph->services, r.kept);
    return status;
}

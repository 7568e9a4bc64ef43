/*
 * The state of a pruner as text, and back.
 *
 *     mskp pruner 1
 *     network 0123456789abcdef                    the fingerprint of the whole network
 *     options STEPS ROUNDS PULL                   for comparison
 *     step STEP begun 0 round ROUND mask none     begun: between before_step and after_step;
 *                                                 mask: none, given, selected
 *     pull START RESIDUE RESPONSE SEEN PULLED WINDOW STRENGTH MOVE
 *     cut                                         for each unit of the whole network: was cut,
 *     unit KEEP BEFORE STREAK SCORE               or is there; KEEP is 1 without a mask; BEFORE is
 *                                                 - in all lines without a mask before
 *     end 0123456789abcdef                        a hash of all bytes before this line
 *
 * Numbers that are no counts are the 16 hexadecimal digits of a double's bits, so that they come
 * back exactly, in every locale; a NaN has the same digits on every machine. Nobody edits such a
 * text, so a hash protects it. Programs do move it between systems: lines may end in CR LF, and the
 * last one in nothing. Otherwise a text that is taken is one that this pruner would write. All that
 * follows from these lines and the options is worked out: the smaller graph is made from the whole
 * network and the units that were cut, which gives the same graph as the cuts one after the other.
 *
 * The text may come from anywhere. A reader takes words one by one and never reads at or after the
 * end; the pruner that is being filled is thrown away after the first mistake.
 */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "pruner/pruner.h"

/* ---- writing ---- */

static const char *const MASKS[] = {"none", "given", "selected"};

static void put_word(text_writer *w, const char *word)
{
    mskpi_put(w, " ");
    mskpi_put(w, word);
}

static void put_number(text_writer *w, uint64_t n)
{
    mskpi_put(w, " ");
    mskpi_put_count(w, n);
}

/* The only NaN of a text: machines differ in theirs, and some change one that is loaded. */
static const uint64_t NAN_BITS = (uint64_t)0x7ff8 << 48;

static void put_double(text_writer *w, double x)
{
    char digits[17];
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (isnan(x)) bits = NAN_BITS;
    put_word(w, mskpi_fingerprint_text(bits, digits));
}

static void put_units(text_writer *w, const mskp_pruner *p)
{
    const size_t all = mskp_graph_counts(p->first).units;
    for (size_t i = 0, u = 0; i < all; i++) {
        if (!p->total[i]) {
            mskpi_put(w, "cut\n");
            continue;
        }
        mskpi_put(w, p->keep[u] ? "unit 1" : "unit 0");
        mskpi_put(w, !p->again ? " -" : p->before[u] ? " 1" : " 0");
        put_number(w, p->streak[u]);
        put_double(w, p->chosen[u]);
        mskpi_put(w, "\n");
        u++;
    }
}

static void put_state(text_writer *w, const void *context)
{
    const mskp_pruner *p = context;
    char digits[17];
    mskpi_put(w, "mskp pruner 1\nnetwork");
    put_word(w, mskpi_fingerprint_text(mskp_fingerprint(p->first), digits));
    mskpi_put(w, "\noptions");
    put_number(w, p->how.steps);
    put_number(w, mskpi_pruner_rounds(p));
    put_number(w, (uint64_t)p->how.pull);
    mskpi_put(w, "\nstep");
    put_number(w, p->step);
    put_word(w, p->stepping ? "begun 1" : "begun 0");
    put_word(w, "round");
    put_number(w, p->round);
    put_word(w, "mask");
    put_word(w, MASKS[p->marked ? 1 + p->scored : 0]);
    mskpi_put(w, "\npull");
    put_double(w, p->start);
    put_double(w, p->residue);
    put_double(w, p->response);
    put_double(w, p->seen);
    put_double(w, p->pulled);
    put_number(w, p->window);
    put_double(w, p->strength);
    put_double(w, p->move);
    mskpi_put(w, "\n");
    put_units(w, p);
}

/* Carriage returns do not count. In a text that is taken, they stand before line feeds only. */
static uint64_t hash_of(const char *text, size_t n)
{
    uint64_t h = 1;
    for (size_t i = 0; i < n; i++)
        if (text[i] != '\r') h = mskpi_mix(h, (unsigned char)text[i]);
    return h;
}

/* The text without its last line, which is a hash of the lines before. */
enum { END_LENGTH = sizeof "end 0123456789abcdef\n" - 1 };

mskp_status mskp_pruner_write(const mskp_pruner *pruner, size_t capacity, char *text,
                              size_t *length, mskp_error *err)
{
    char digits[17];
    text_writer w = {NULL, 0};
    const mskp_status status = MSKPI_GIVEN(err, pruner, length);
    if (status) return status;
    if (pruner->applied)
        return mskpi_fail(err, MSKP_ERROR_BAD_STATE,
                          "pruner: the cut at step %llu was begun and is not complete",
                          (unsigned long long)pruner->step);
    put_state(&w, pruner);
    *length = mskpi_sum(w.length, END_LENGTH);
    if (!text) return MSKP_OK;
    if (capacity <= *length)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "text has room for %zu bytes, needed are %zu", capacity,
                          mskpi_sum(*length, 1));
    w = (text_writer){text, 0};
    put_state(&w, pruner);
    const uint64_t hash = hash_of(text, w.length);
    mskpi_put(&w, "end");
    put_word(&w, mskpi_fingerprint_text(hash, digits));
    mskpi_put(&w, "\n");
    text[w.length] = 0;
    return MSKP_OK;
}

/* ---- reading ---- */

typedef struct reader {
    const char *at, *end;
    size_t line;
    bool at_start; /* of the next line */
    mskp_error *err;
    mskp_status status; /* of the first mistake; later words are empty */
    char word[24];      /* the longest word has 20 digits */
} reader;

static void refuse(reader *r, const char *wanted)
{
    char room[NAME_SIZE];
    if (r->status) return;
    for (char *c = r->word; *c; c++)
        if (*c < ' ' || *c > '~') *c = '?';
    if (r->at == r->end && !*r->word)
        r->status = mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT,
                               "line %zu: the text ends where %s should be", r->line, wanted);
    else
        r->status = mskpi_fail(r->err, MSKP_ERROR_BAD_TEXT, "line %zu: \"%s\" where %s should be",
                               r->line, mskpi_quote(r->word, strlen(r->word), room), wanted);
}

/* Takes a word, which ends with a blank; or, where `stop` is a line feed, with the line or the
 * text. A 0 byte ends nothing, and is in no word. */
static const char *take(reader *r, char stop)
{
    size_t n = 0;
    const char *at = r->at;
    r->line += r->at_start;
    r->at_start = false;
    while (at < r->end && *at && *at != ' ' && *at != '\r' && *at != '\n' && n + 1 < sizeof r->word)
        r->word[n++] = *at++;
    r->word[n] = 0;
    const bool last = stop == '\n' && at == r->end;
    if (stop == '\n' && r->end - at > 1 && *at == '\r') at++;
    if (!last && (at == r->end || *at != stop))
        refuse(r, stop == ' ' ? "a word and a blank" : "a word and the end of the line");
    else
        r->at = last ? at : at + 1, r->at_start = stop == '\n';
    if (r->status) r->word[0] = 0;
    return r->word;
}

static void expect(reader *r, const char *word, char stop)
{
    if (strcmp(take(r, stop), word)) refuse(r, word);
}

static uint64_t take_number(reader *r, char stop, uint64_t most)
{
    uint64_t n = 0;
    const char *c = take(r, stop);
    bool good = *c && (*c != '0' || !c[1]);
    for (; good && *c; c++) {
        const unsigned digit = (unsigned)(unsigned char)*c - '0';
        good = digit <= 9 && n <= (UINT64_MAX - digit) / 10;
        if (good) n = n * 10 + digit;
    }
    if (!good || n > most) refuse(r, good ? "a smaller number" : "a number");
    return n;
}

static uint64_t take_bits(reader *r, char stop)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t bits = 0;
    size_t n = 0;
    for (const char *c = take(r, stop); *c; c++, n++) {
        const char *digit = strchr(digits, *c);
        if (!digit) break;
        bits = bits << 4 | (uint64_t)(digit - digits);
    }
    if (n != 16 || r->word[n]) refuse(r, "16 hexadecimal digits");
    return bits;
}

static double take_double(reader *r, char stop)
{
    const uint64_t bits = take_bits(r, stop);
    double x;
    if (bits << 1 > (uint64_t)0x7ff << 53 && bits != NAN_BITS) refuse(r, "another number");
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A word of some, as its index. */
static size_t take_choice(reader *r, char stop, size_t n, const char *const *words)
{
    const char *word = take(r, stop);
    size_t i = 0;
    while (i < n && strcmp(word, words[i])) i++;
    if (i == n) refuse(r, "another word");
    return i;
}

/* How many units the text is about, if all of its lines are there. */
static size_t count_units(const reader *r)
{
    size_t lines = 0;
    for (const char *c = r->at; c < r->end; c++)
        lines += (c == r->at || c[-1] == '\n') && (*c == 'c' || *c == 'u');
    return lines;
}

static void read_head(reader *r, mskp_pruner *p)
{
    expect(r, "mskp", ' ');
    expect(r, "pruner", ' ');
    expect(r, "1", '\n');
    expect(r, "network", ' ');
    const uint64_t fingerprint = take_bits(r, '\n'), own = mskp_fingerprint(p->first);
    if (!r->status && fingerprint != own) {
        char theirs[17], ours[17];
        r->status =
            mskpi_fail(r->err, MSKP_ERROR_OTHER_NETWORK,
                       "the pruner's text is of a network of %zu units (%s), the graph has "
                       "%zu (%s)",
                       count_units(r), mskpi_fingerprint_text(fingerprint, theirs),
                       mskp_graph_counts(p->first).units, mskpi_fingerprint_text(own, ours));
    }
    expect(r, "options", ' ');
    const uint64_t steps = take_number(r, ' ', UINT64_MAX);
    const uint64_t rounds = take_number(r, ' ', UINT64_MAX);
    const uint64_t pull = take_number(r, '\n', UINT64_MAX);
    if (!r->status && (steps != p->how.steps || rounds != mskpi_pruner_rounds(p) ||
                       pull != (uint64_t)p->how.pull))
        r->status = mskpi_fail(
            r->err, MSKP_ERROR_BAD_ARGUMENT,
            "pruner: %llu steps, %u rounds and pull %u; the text is of %llu, %llu and %llu",
            (unsigned long long)p->how.steps, mskpi_pruner_rounds(p), (unsigned)p->how.pull,
            (unsigned long long)steps, (unsigned long long)rounds, (unsigned long long)pull);
}

static void read_state(reader *r, mskp_pruner *p)
{
    expect(r, "step", ' ');
    p->step = take_number(r, ' ', UINT64_MAX / 2);
    expect(r, "begun", ' ');
    p->stepping = take_number(r, ' ', 1);
    expect(r, "round", ' ');
    p->round = (uint32_t)take_number(r, ' ', mskpi_pruner_rounds(p));
    expect(r, "mask", ' ');
    const size_t mask = take_choice(r, '\n', sizeof MASKS / sizeof *MASKS, MASKS);
    p->marked = mask > 0;
    p->scored = mask > 1;
    expect(r, "pull", ' ');
    p->start = take_double(r, ' ');
    p->residue = take_double(r, ' ');
    p->response = take_double(r, ' ');
    if (!(p->response > 0 && isfinite(p->response))) refuse(r, "a finite number above 0");
    p->seen = take_double(r, ' ');
    p->pulled = take_double(r, ' ');
    p->window = (uint32_t)take_number(r, ' ', UINT32_MAX);
    p->strength = take_double(r, ' ');
    p->move = take_double(r, '\n');
}

static void read_units(reader *r, mskp_pruner *p)
{
    static const char *const kinds[] = {"cut", "unit"}, *const flags[] = {"0", "1", "-"};
    const size_t all = mskp_graph_counts(p->first).units;
    size_t left = 0;
    for (size_t i = 0; i < all && !r->status; i++) {
        const bool there = r->at < r->end && *r->at == 'u';
        p->total[i] = take_choice(r, there ? ' ' : '\n', 2, kinds) == 1;
        if (!there) continue;
        p->locked[left] = p->locked[i];
        p->keep[left] = take_choice(r, ' ', 2, flags) == 1;
        if (!p->keep[left] && !p->marked) refuse(r, "another flag");
        const size_t before = take_choice(r, ' ', 3, flags);
        if (left ? p->again != (before != 2) : before != 2 && !p->scored) refuse(r, "another flag");
        p->again = before != 2;
        p->before[left] = before == 1;
        p->streak[left] = (uint32_t)take_number(r, ' ', UINT32_MAX);
        p->chosen[left] = take_double(r, '\n');
        if (isnan(p->chosen[left++])) refuse(r, "a score");
    }
    p->units = left;
}

/* Whether the step and the round can have such a mask, and can have cut what was cut. */
static mskp_status check_state(const mskp_pruner *p, mskp_error *err)
{
    const size_t cut = mskp_graph_counts(p->first).units - p->units;
    if (p->marked && mskpi_pruner_time(p).stage != MSKP_PRUNER_STAGE_MASKED)
        return mskpi_fail(err, MSKP_ERROR_BAD_TEXT,
                          "line 4: a mask at step %llu of round %u, where none can be",
                          (unsigned long long)p->step, p->round);
    if (cut && !p->round)
        return mskpi_fail(err, MSKP_ERROR_BAD_TEXT, "%zu of %zu units were cut in 0 cuts", cut,
                          cut + p->units);
    return MSKP_OK;
}

/* Makes the graph of what was not cut. */
static mskp_status make_graph(mskp_pruner *p, mskp_plan **plan, mskp_error *err)
{
    const mskp_mask total = {mskp_graph_counts(p->first).units, p->total};
    return p->round ? mskp_plan_create(p->first, total, plan, &p->own, err) : MSKP_OK;
}

mskp_status mskp_pruner_read(const mskp_graph *graph, const mskp_pruner_options *options,
                             size_t length, const char *text, mskp_pruner **pruner,
                             mskp_plan **plan, mskp_error *err)
{
    mskp_pruner *p = NULL;
    mskp_plan *made = NULL;
    mskp_status status = MSKPI_GIVEN(err, text, pruner);
    if (!status) status = mskp_pruner_create(graph, options, &p, err);
    if (status) return status;
    reader r = {.at = text, .end = text + length, .line = 1, .err = err};
    read_head(&r, p);
    if (!r.status) read_state(&r, p);
    if (!r.status) read_units(&r, p);
    const uint64_t hash = r.status ? 0 : hash_of(text, (size_t)(r.at - text));
    expect(&r, "end", ' ');
    if (take_bits(&r, '\n') != hash) refuse(&r, "the hash of the lines before");
    status = r.status;
    if (!status && r.at != r.end)
        status = mskpi_fail(err, MSKP_ERROR_BAD_TEXT, "line %zu: the text goes on after its end",
                            r.line + 1);
    if (!status) status = check_state(p, err);
    if (!status) status = make_graph(p, &made, err);
    if (status) {
        mskp_pruner_destroy(p);
        return status;
    }
    *pruner = p;
    if (plan)
        *plan = made;
    else
        mskp_plan_destroy(made);
    return MSKP_OK;
}

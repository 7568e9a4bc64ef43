/*
 * Command lines: bytes are words, each ended by 0 and cut at LONGEST. The first byte chooses who
 * reads them:
 *
 *     the driver    the options of the training programs, with --model and files or without
 *     a table       one option of each kind that common/args.h has
 *
 * A line that is refused has a sentence. One that is taken has every number within its bounds, and
 * gives the same when it is read once more; in the table also with "--name=value" for two words,
 * and from what args_write says of it.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <string.h>

#include "common/args.h"
#include "driver/internal.h"
#include "fuzz.h"

enum { MOST_WORDS = 24, LONGEST = 40 };

typedef struct line {
    int n;
    char *word[MOST_WORDS + 1];
    char text[MOST_WORDS * (2 * LONGEST + 2)];
} line;

static line *split(const uint8_t *data, size_t size)
{
    static line l;
    char *to = l.text;
    l.n = 1;
    l.word[0] = (char *)"program";
    for (size_t i = 0; i < size && l.n < MOST_WORDS; i++) {
        l.word[l.n++] = to;
        for (size_t k = 0; i < size && data[i]; i++)
            if (++k < LONGEST) *to++ = (char)data[i];
        *to++ = 0;
    }
    l.word[l.n] = NULL;
    return &l;
}

static void require_sentence(const char *text, size_t room)
{
    FUZZ_REQUIRE(text[0] && memchr(text, 0, room), "no sentence");
}

static bool within(double x, double least, double most)
{
    return x >= least && x <= most;
}

/* ---- The driver ---- */

static bool no_file(trainer *t, const char *path)
{
    return trainer_fail(t, "%s: is not read", path);
}

static void require_sense(const driver_options *o)
{
    FUZZ_REQUIRE(within(o->macs, 1e-6, 1), "macs");
    FUZZ_REQUIRE(o->images <= 50000 && o->penalty <= DRIVER_PENALTY_DEADLINE, "images, penalty");
    FUZZ_REQUIRE(o->on <= DRIVER_ON_GAMMA_BETA && o->mask <= DRIVER_MASK_FILTERS, "on, mask");
    FUZZ_REQUIRE(o->constants < 4, "constants");
    FUZZ_REQUIRE(o->batch && o->threads, "batch, threads");
    FUZZ_REQUIRE(o->rate > 0 && isfinite(o->rate), "rate");
    FUZZ_REQUIRE(o->help || (isfinite(o->strength) && o->strength >= 0), "strength");
    FUZZ_REQUIRE(o->help || o->strength > 0 ||
                     (o->penalty != DRIVER_PENALTY_L2 && o->penalty != DRIVER_PENALTY_SMOOTH_L1),
                 "a penalty without a strength");
    FUZZ_REQUIRE(isfinite(o->global_strength) && o->global_strength >= 0, "global strength");
    for (size_t k = 0; k < DRIVER_STAGES && !o->help; k++)
        FUZZ_REQUIRE(o->epochs[k] <= o->asked[k] && o->asked[k] <= 1000000, "epochs");
}

static bool same_number(double a, double b)
{
    return (isnan(a) && isnan(b)) || (a >= b && a <= b);
}

static void require_same(const driver_options *a, const driver_options *b)
{
    const char *const *p = &a->data, *const *q = &b->data;
    for (size_t k = 0; k < 9; k++) FUZZ_REQUIRE(p[k] == q[k], "another path");
    FUZZ_REQUIRE(same_number(a->macs, b->macs) && same_number(a->strength, b->strength) &&
                     same_number(a->global_strength, b->global_strength) &&
                     same_number(a->rate, b->rate),
                 "another number");
    FUZZ_REQUIRE(!memcmp(a->epochs, b->epochs, sizeof a->epochs), "other epochs");
    FUZZ_REQUIRE(!memcmp(&a->lock, &b->lock, sizeof a->lock), "other locks");
    FUZZ_REQUIRE(a->model == b->model && a->images == b->images && a->penalty == b->penalty &&
                     a->on == b->on && a->mask == b->mask && a->constants == b->constants &&
                     a->batch == b->batch && a->threads == b->threads && a->seed == b->seed &&
                     a->evaluate == b->evaluate && a->help == b->help && a->resume == b->resume,
                 "another choice");
}

static void read_driver(line *l, uint8_t how)
{
    const trainer program = {.name = "program",
                             .models = how & 2 ? "resnet8|resnet20" : NULL,
                             .options = {.epochs = {3, 2, 2, 1}},
                             .checkpoints = (how & 16) != 0,
                             .load = how & 8 ? no_file : NULL};
    trainer t = program, again = program;
    const bool good = options_read(&t, l->n, l->word);
    FUZZ_REQUIRE(options_read(&again, l->n, l->word) == good, "not the same answer");
    FUZZ_REQUIRE(!strcmp(t.error, again.error), "not the same sentence");
    require_same(&t.options, &again.options);
    if (!good)
        require_sentence(t.error, sizeof t.error);
    else
        require_sense(&t.options);
    if (!program.models) FUZZ_REQUIRE(!t.options.model, "a model");
    if (!program.checkpoints)
        FUZZ_REQUIRE(!t.options.checkpoint && !t.options.resume, "a checkpoint");
    if (!program.load)
        FUZZ_REQUIRE(!t.options.weights && !t.options.masked && !t.options.save_masked, "a file");
}

/* ---- A table ---- */

typedef struct all_kinds {
    const char *path;
    double number;
    size_t count, counts[3], choice, ending;
    bool flag;
    arg_words words, free;
    size_t fence; /* nothing is written behind the fields */
} all_kinds;

#define AT(field) offsetof(all_kinds, field)
static const arg TABLE[] = {
    {"path", "FILE", ARG_PATH, AT(path), 0, 0, ""},
    {"number", "X", ARG_NUMBER, AT(number), -2, 1e3, ""},
    {"count", "N", ARG_COUNT, AT(count), 2, 1e6, ""},
    {"counts", "A,B,C", ARG_COUNTS, AT(counts), 3, 99, ""},
    {"choice", "one|two|three", ARG_CHOICE, AT(choice), 0, 0, ""},
    {"ending", "net8|net20|net110", ARG_CHOICE_NUMBER, AT(ending), 0, 0, ""},
    {"flag", NULL, ARG_FLAG, AT(flag), 0, 0, ""},
    {"words", "WORD", ARG_WORDS, AT(words), 0, 4, ""},
    {"", "WORD", ARG_WORDS, AT(free), 0, 2, ""}};
enum { KINDS = sizeof TABLE / sizeof *TABLE };

static all_kinds nothing(void)
{
    const all_kinds a = {.count = 2, .ending = 8, .fence = 77};
    return a;
}

/* The same line, with every option and its value in one word. */
static line *joined(const line *l)
{
    static line j;
    char *to = j.text;
    j.n = 0;
    for (int i = 0; i < l->n; i++) {
        const char *word = l->word[i];
        const bool two = i > 0 && !strncmp(word, "--", 2) && !strchr(word, '=') &&
                         strcmp(word, "--flag") != 0 && i + 1 < l->n;
        const int length = two ? snprintf(to, 2 * LONGEST + 2, "%s=%s", word, l->word[++i])
                               : snprintf(to, 2 * LONGEST + 2, "%s", word);
        j.word[j.n++] = to;
        to += length + 1;
    }
    j.word[j.n] = NULL;
    return &j;
}

static bool same_text(const char *a, const char *b)
{
    return !a == !b && (!a || !strcmp(a, b));
}

static bool same_words(const arg_words *a, const arg_words *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) same = same_text(a->text[i], b->text[i]);
    return same;
}

/* What args_write says of all fields but the words is read as the same. */
static void require_written(const all_kinds *a)
{
    char texts[KINDS][2 * LONGEST + 400], other[400] = "", *words[KINDS + 2] = {(char *)"program"};
    all_kinds b = nothing();
    int n = 1;
    for (size_t k = 0; k < KINDS; k++) {
        const arg *option = &TABLE[k];
        char value[2 * LONGEST + 300] = "";
        FILE *to = fmemopen(value, sizeof value, "w");
        FUZZ_REQUIRE(to, "no stream");
        if (option->kind != ARG_WORDS) args_write(to, option, a);
        fclose(to);
        if (option->kind == ARG_FLAG ? a->flag : *value != 0) {
            const char *end = option->kind == ARG_CHOICE_NUMBER ? "net" : "";
            const bool flag = option->kind == ARG_FLAG;
            (void)snprintf(texts[k], sizeof texts[k], flag ? "--%s" : "--%s=%s%s", option->name,
                           end, value);
            words[n++] = texts[k];
        }
    }
    FUZZ_REQUIRE(args_read(n, words, KINDS, TABLE, &b, sizeof other, other), other);
    FUZZ_REQUIRE(same_text(a->path, b.path) && a->number <= b.number && a->number >= b.number &&
                     a->count == b.count && a->choice == b.choice && a->ending == b.ending &&
                     a->flag == b.flag && !memcmp(a->counts, b.counts, sizeof a->counts),
                 "what is written is something else");
}

static void read_table(line *l)
{
    char text[400] = "", other[400] = "";
    all_kinds a = nothing(), b = nothing();
    const bool good = args_read(l->n, l->word, KINDS, TABLE, &a, sizeof text, text);
    FUZZ_REQUIRE(a.fence == 77, "written behind the end");
    if (!good) {
        require_sentence(text, sizeof text);
        return;
    }
    require_written(&a);
    line *j = joined(l);
    FUZZ_REQUIRE(args_read(j->n, j->word, KINDS, TABLE, &b, sizeof other, other), other);
    FUZZ_REQUIRE(within(a.number, -2, 1e3) && within((double)a.count, 2, 1e6), "bounds");
    FUZZ_REQUIRE(a.choice < 3 && (a.ending == 8 || a.ending == 20 || a.ending == 110), "choice");
    for (size_t k = 0; k < 3; k++)
        FUZZ_REQUIRE(a.counts[k] <= 99 && a.counts[k] == b.counts[k], "counts");
    FUZZ_REQUIRE(a.words.count <= 4 && a.free.count <= 2, "too many words");
    FUZZ_REQUIRE(same_text(a.path, b.path) && same_number(a.number, b.number) &&
                     a.count == b.count && a.choice == b.choice && a.ending == b.ending &&
                     a.flag == b.flag && same_words(&a.words, &b.words) &&
                     same_words(&a.free, &b.free),
                 "one word instead of two is something else");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    line *l = split(data + 1, size - 1);
    if (data[0] & 1)
        read_driver(l, data[0]);
    else
        read_table(l);
    return 0;
}

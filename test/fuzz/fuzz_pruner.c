/*
 * The reader of a pruner's state: any bytes are refused with a sentence, or are the text that the
 * pruner which they make writes, and it can be used.
 *
 * The first byte chooses the options, and whether the hash at the end of the text is corrected, so
 * that what is behind it is reached.
 */
#include <string.h>

#include "base/hash.h"
#include "fuzz.h"
#include "mskp/pruner.h"
#include "small_network/small_network.h"

enum { SETS = 2, PARAMS = 6, ROOM = 400, TEXT = 4096, STEPS = 12 };

static mskp_graph *graph; /* one for all inputs */

typedef struct training {
    mskp_pruner *p;
    _Alignas(8) double number[SETS][ROOM]; /* also where doubles are aligned to 4 */
    mskp_tensor view[SETS][PARAMS];
} training;

static mskp_pruner_options options_of(unsigned choice)
{
    return (mskp_pruner_options){.rule = {.remove_fraction = 0.4},
                                 .scoring = {.roles = MSKP_ROLES_UNIT},
                                 .constants = {.way = MSKP_CONSTANTS_MERGE},
                                 .pull = (mskp_pull)(choice % 3),
                                 .fade = choice / 4 % 2,
                                 .strength = choice / 8 % 2,
                                 .steps = STEPS,
                                 .wait = 0.1,
                                 .sparse = 0.25,
                                 .sparse_strength = 0.01,
                                 .masked = choice / 16 % 2 ? 0 : 0.6,
                                 .settle = 0.25,
                                 .rounds = choice / 32 % 2 ? 3 : 0,
                                 .refresh = 1,
                                 .hysteresis = 2};
}

static void require_sentence(mskp_status status, const mskp_error *err)
{
    FUZZ_REQUIRE(err->status == status && err->text[0], err->text);
    FUZZ_REQUIRE(memchr(err->text, 0, sizeof err->text), "a sentence ends");
    for (size_t i = 0; i < sizeof err->text && err->text[i]; i++)
        FUZZ_REQUIRE((unsigned char)err->text[i] >= ' ' && err->text[i] != 127, err->text);
}

/* A text whose last line is "end", and a hash, which is replaced by that of the lines before. The
 * text is as long as before. */
static void correct_hash(size_t length, char *text)
{
    static const char line[] = "end 0123456789abcdef\n";
    const size_t last = sizeof line - 1;
    char digits[17];
    uint64_t hash = 1;
    if (length < last || memcmp(text + length - last, line, 4)) return;
    for (size_t i = 0; i < length - last; i++)
        if (text[i] != '\r') hash = mskpi_mix(hash, (unsigned char)text[i]);
    memcpy(text + length - last + 4, mskpi_fingerprint_text(hash, digits), 16);
}

/* A text that was taken, as a pruner writes it: lines end in a line feed alone. */
static size_t unify(size_t length, char *text)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++)
        if (text[i] != '\r') text[n++] = text[i];
    if (text[n - 1] != '\n') text[n++] = '\n';
    return n;
}

static mskp_tensors set_of(training *t, int which)
{
    return (mskp_tensors){PARAMS, t->view[which]};
}

/* Numbers in packed tensors of the network as it is. */
static void fill(training *t)
{
    for (int s = 0; s < SETS; s++) {
        size_t used = 0;
        for (uint32_t p = 1; p <= PARAMS; p++) {
            size_t shape[MSKP_MAX_DIMS], n = 1;
            const uint32_t ndim = mskp_param_shape(mskp_pruner_graph(t->p), (mskp_param){p}, shape);
            for (uint32_t d = 0; d < ndim; d++) n *= shape[d];
            FUZZ_REQUIRE(used + n <= ROOM, "a larger network");
            t->view[s][p - 1] = (mskp_tensor){.data = t->number[s] + used, .dtype = MSKP_DTYPE_F64};
            used += n;
        }
        for (size_t i = 0; i < ROOM; i++) t->number[s][i] = (double)((i * 7 + 3) % 15) - 7.25;
    }
}

/* Steps and cuts, until a call is refused. */
static void use(training *t)
{
    mskp_error err = {.text = ""};
    mskp_pruner_gauges gauges;
    fill(t);
    mskp_status status = mskp_pruner_gauge(t->p, set_of(t, 0), &gauges, &err);
    if (status) require_sentence(status, &err);
    for (int n = 0; n < 2 * STEPS && !status; n++) {
        const mskp_move moves[SETS] = {{.from = set_of(t, 0)}, {.from = set_of(t, 1)}};
        if (mskp_pruner_due(t->p) == MSKP_PRUNER_DUE_CUT) {
            status = mskp_pruner_cut(t->p, SETS, moves, &err);
        } else {
            status = mskp_pruner_before_step(t->p, 0.25, moves[0].from, moves[1].from, &err);
            if (!status) status = mskp_pruner_after_step(t->p, 0.25, moves[0].from, &err);
        }
        if (status) require_sentence(status, &err);
    }
}

/* The plan leads to the pruner's network. */
static void require_plan(const mskp_plan *plan, const mskp_pruner *p)
{
    FUZZ_REQUIRE((plan != NULL) == (mskp_pruner_graph(p) != graph), "a plan without a cut");
    for (uint32_t q = 1; plan && q <= PARAMS; q++) {
        size_t shape[MSKP_MAX_DIMS], n;
        const uint32_t ndim = mskp_param_shape(mskp_pruner_graph(p), (mskp_param){q}, shape);
        for (uint32_t d = 0; d < ndim; d++)
            if (mskp_plan_param_kept(plan, (mskp_param){q}, d, &n) || n)
                FUZZ_REQUIRE(n == shape[d], "the plan leads to another shape");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT], again[TEXT];
    static training t;
    mskp_error err = {.status = MSKP_OK, .text = ""};
    mskp_plan *plan = NULL;
    size_t length;
    if (!graph) graph = small_network_make(SMALL_PLAIN, NULL);
    FUZZ_REQUIRE(graph && mskp_graph_counts(graph).params == PARAMS, "no memory");
    if (!size || size >= TEXT) return 0;
    const unsigned choice = *data++;
    const mskp_pruner_options options = options_of(choice % 64);
    memcpy(text, data, --size);
    if (choice < 192) correct_hash(size, text);
    t.p = NULL;
    /* What is behind the text must not be read. */
    char *exact = malloc(size ? size : 1);
    FUZZ_REQUIRE(exact, "no memory");
    memcpy(exact, text, size);
    const mskp_status status = mskp_pruner_read(graph, &options, size, exact, &t.p, &plan, &err);
    free(exact);
    if (status) {
        require_sentence(status, &err);
        FUZZ_REQUIRE(!t.p && !plan, "something was made");
        return 0;
    }
    FUZZ_REQUIRE(!mskp_pruner_write(t.p, TEXT, again, &length, &err), err.text);
    size = unify(size, text);
    FUZZ_REQUIRE(length == size && !memcmp(text, again, size), "another text");
    require_plan(plan, t.p);
    use(&t);
    mskp_plan_destroy(plan);
    mskp_pruner_destroy(t.p);
    return 0;
}

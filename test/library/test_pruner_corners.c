/*
 * Corners of the pruner: what a text may say, numbers that are no numbers, rates of 0, steps that
 * are begun twice. One layer of scales is small enough for answers that are worked out by hand.
 */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "by_id/by_id.h"
#include "mskp/pruner.h"

enum { UNITS = 4, TEXT = 2048 };

typedef struct layer {
    mskp_graph *graph;
    mskp_pruner *p;
    _Alignas(8) double gamma[UNITS]; /* also where doubles are aligned to 4 */
    _Alignas(8) double slope[UNITS];
    mskp_tensor value, gradient;
    mskp_error err;
} layer;

static const mskp_pruner_options HALF = {.rule = {.remove_fraction = 0.5}, .steps = 8, .masked = 1};

static mskp_tensors values(layer *l)
{
    return (mskp_tensors){1, &l->value};
}

static mskp_tensors slopes(layer *l)
{
    return (mskp_tensors){1, &l->gradient};
}

static void layer_open(layer *l, const mskp_pruner_options *options)
{
    memset(l, 0, sizeof *l);
    l->graph = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(l->graph, "v", UNITS, 0, NULL);
    const mskp_param gamma = mskp_parameter(l->graph, "gamma", 1, (size_t[]){UNITS});
    ck_assert_int_eq(mskp_bind(l->graph, gamma, 0, MSKP_ROLE_SCALE, v), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(l->graph, NULL), MSKP_OK);
    for (int u = 0; u < UNITS; u++) l->gamma[u] = u + 1, l->slope[u] = 0.5;
    l->value = (mskp_tensor){.data = l->gamma, .dtype = MSKP_DTYPE_F64};
    l->gradient = (mskp_tensor){.data = l->slope, .dtype = MSKP_DTYPE_F64};
    ck_assert_msg(!mskp_pruner_create(l->graph, options, &l->p, &l->err), "%s", l->err.text);
}

static void layer_close(layer *l)
{
    mskp_pruner_destroy(l->p);
    mskp_graph_destroy(l->graph);
}

static mskp_status before(layer *l, double rate)
{
    return mskp_pruner_before_step(l->p, rate, values(l), slopes(l), &l->err);
}

static void step(layer *l, double rate)
{
    ck_assert_msg(!before(l, rate), "%s", l->err.text);
    ck_assert_msg(!mskp_pruner_after_step(l->p, rate, values(l), &l->err), "%s", l->err.text);
}

static mskp_pruner_gauges gauges(layer *l)
{
    mskp_pruner_gauges g;
    ck_assert_msg(!mskp_pruner_gauge(l->p, values(l), &g, &l->err), "%s", l->err.text);
    return g;
}

static void write_text(const layer *l, char text[TEXT])
{
    size_t length;
    ck_assert_int_eq(mskp_pruner_write(l->p, TEXT, text, &length, NULL), MSKP_OK);
}

/* The call is refused in these words, and the numbers and the pruner stay as they were. */
#define REFUSED(l, call, expected, words)                            \
    do {                                                             \
        const layer was_ = *(l);                                     \
        char text_[TEXT], now_[TEXT];                                \
        write_text(l, text_);                                        \
        ck_assert_int_eq(call, expected);                            \
        ck_assert_str_eq((l)->err.text, words);                      \
        write_text(l, now_);                                         \
        ck_assert_str_eq(text_, now_);                               \
        ck_assert_mem_eq(was_.gamma, (l)->gamma, sizeof was_.gamma); \
        ck_assert_mem_eq(was_.slope, (l)->slope, sizeof was_.slope); \
    } while (0)

/* ---- Texts ---- */

/* The last line <- the hash of the lines before. */
static void correct_hash(char *text)
{
    char digits[17], *end = strstr(text, "end ");
    uint64_t hash = 1;
    for (const char *c = text; c < end; c++) hash = mskpi_mix(hash, (unsigned char)*c);
    memcpy(end + 4, mskpi_fingerprint_text(hash, digits), 16);
}

/* text <- with the first `from` in place of `to`, which may be of another length. */
static void replace(char text[TEXT], const char *from, const char *to)
{
    char rest[TEXT], *at = strstr(text, from);
    ck_assert_msg(at != NULL, "no %s in\n%s", from, text);
    strcpy(rest, at + strlen(from));
    strcpy(at, to);
    strcat(text, rest);
}

#define ONE "3ff0000000000000"
/* Of the text that these change, with a mask after two steps of eight. */
static const struct {
    const char *from, *to, *sentence; /* NULL: the text is taken */
} EDITS[] = {
    {"mskp pruner 1", "mskp mask 1", "line 1: \"mask\" where pruner should be"},
    {"pruner 1", "pruner 2", "line 1: \"2\" where 1 should be"},
    {"options 8 1 0", "options 9 1 0",
     "pruner: 8 steps, 1 rounds and pull 0; the text is of 9, 1 and 0"},
    {"options 8 1 0", "options 8 2 0",
     "pruner: 8 steps, 1 rounds and pull 0; the text is of 8, 2 and 0"},
    {"options 8 1 0", "options 8 1 1",
     "pruner: 8 steps, 1 rounds and pull 0; the text is of 8, 1 and 1"},
    {"options 8", "options 88888888888888888888",
     "line 3: \"88888888888888888888\" where a number should be"},
    {"options 8", "options 18446744073709551615",
     "pruner: 8 steps, 1 rounds and pull 0; the text is of 18446744073709551615, 1 and 0"},
    {"options 8", "options 18446744073709551616",
     "line 3: \"18446744073709551616\" where a number should be"},
    {"step 2", "step 02", "line 4: \"02\" where a number should be"},
    {"step 2", "step ", "line 4: \"\" where a number should be"},
    {"step 2", "step 2x", "line 4: \"2x\" where a number should be"},
    {"step 2", "step -2", "line 4: \"-2\" where a number should be"},
    {"step 2", "step 9999999999999999999",
     "line 4: \"9999999999999999999\" where a smaller number should be"},
    {"step 2", "step 2222222222222222222222222",
     "line 4: \"22222222222222222222222\" where a word and a blank should be"},
    {"step 2", "step\n2", "line 4: \"step\" where a word and a blank should be"},
    {"step 2", "step \x02", "line 4: \"?\" where a number should be"},
    {"step 2", "step 0", NULL},
    {"begun 0", "begun 2", "line 4: \"2\" where a smaller number should be"},
    {"begun 0", "begun 1", NULL},
    {"round 0", "round 2", "line 4: \"2\" where a smaller number should be"},
    {"round 0", "round 1", "line 4: a mask at step 2 of round 1, where none can be"},
    {"selected", "chosen", "line 4: \"chosen\" where another word should be"},
    {"selected", "given", NULL},
    {"selected", "none", "line 6: \"0\" where another flag should be"},
    {"selected\n", "selected ",
     "line 4: \"selected\" where a word and the end of the line should be"},
    {ONE, "0000000000000000",
     "line 5: \"0000000000000000\" where a finite number above 0 should be"},
    {ONE, "bff0000000000000",
     "line 5: \"bff0000000000000\" where a finite number above 0 should be"},
    {ONE, "7ff0000000000000",
     "line 5: \"7ff0000000000000\" where a finite number above 0 should be"},
    {ONE, "7ff8000000000000",
     "line 5: \"7ff8000000000000\" where a finite number above 0 should be"},
    {ONE, "3FF0000000000000", "line 5: \"3FF0000000000000\" where 16 hexadecimal digits should be"},
    {ONE, "3ff000000000000", "line 5: \"3ff000000000000\" where 16 hexadecimal digits should be"},
    {ONE, "3ff00000000000000",
     "line 5: \"3ff00000000000000\" where 16 hexadecimal digits should be"},
    {ONE, "3ff0000000000001", NULL},
    {"7ff8000000000000", "fff8000000000000",
     "line 5: \"fff8000000000000\" where another number should be"},
    {"7ff8000000000000", "7ff0000000000001",
     "line 5: \"7ff0000000000001\" where another number should be"},
    {"7ff8000000000000", "fff0000000000000", NULL}, /* an infinity */
    {"unit 0 - 0", "unit 0 2 0", "line 6: \"2\" where another word should be"},
    {"unit 0 - 0", "unit 2 - 0", "line 6: \"2\" where another word should be"},
    {"unit 0 - 0", "unit 0 - 4294967296",
     "line 6: \"4294967296\" where a smaller number should be"},
    {"unit 0 - 0", "unit 0 - 4294967295", NULL},
    {"unit 0 - 0", "unit 0 1 0", "line 7: \"-\" where another flag should be"},
    {"unit 0 - 0", "units 0 - 0", "line 6: \"units\" where another word should be"},
    {"4010000000000000", "7ff8000000000000",
     "line 9: \"7ff8000000000000\" where a score should be"},
    {"unit 0 - 0 " ONE, "cut", "1 of 4 units were cut in 0 cuts"},
    {"unit 0 - 0 " ONE "\n", "", "line 9: \"end\" where a word and the end of the line should be"},
    {"end ", "unit 1 - 0 " ONE "\nend ", "line 10: \"unit\" where end should be"},
};

START_TEST(texts_that_were_edited)
{
    layer l;
    char text[TEXT], edited[TEXT], again[TEXT];
    size_t length;
    layer_open(&l, &HALF);
    step(&l, 0.25);
    step(&l, 0.25);
    /* The first pull of a parabola with n = 8 takes 2/9 of the largest marked element, 2. */
    write_text(&l, text);
    for (size_t i = 0; i < sizeof EDITS / sizeof *EDITS; i++) {
        mskp_pruner *q = NULL;
        mskp_plan *plan = NULL;
        strcpy(edited, text);
        replace(edited, EDITS[i].from, EDITS[i].to);
        correct_hash(edited);
        const mskp_status status =
            mskp_pruner_read(l.graph, &HALF, strlen(edited), edited, &q, &plan, &l.err);
        if (EDITS[i].sentence) {
            ck_assert_msg(status && !q && !plan, "edit %zu: %d", i, (int)status);
            ck_assert_str_eq(l.err.text, EDITS[i].sentence);
            continue;
        }
        ck_assert_msg(!status, "edit %zu: %s", i, l.err.text);
        ck_assert_int_eq(mskp_pruner_write(q, TEXT, again, &length, NULL), MSKP_OK);
        ck_assert_str_eq(again, edited);
        mskp_pruner_destroy(q);
    }
    layer_close(&l);
}
END_TEST

/* The hash, what is behind it, and a 0 byte within a word. */
START_TEST(ends_of_texts)
{
    layer l;
    char text[TEXT];
    mskp_pruner *q = NULL;
    layer_open(&l, &HALF);
    write_text(&l, text);
    const size_t n = strlen(text);
    ck_assert_int_eq(mskp_pruner_read(l.graph, &HALF, n + 1, text, &q, NULL, &l.err),
                     MSKP_ERROR_BAD_TEXT);
    ck_assert_str_eq(l.err.text, "line 11: the text goes on after its end");
    text[n - 2] = text[n - 2] == '0' ? '1' : '0';
    ck_assert_int_eq(mskp_pruner_read(l.graph, &HALF, n, text, &q, NULL, &l.err),
                     MSKP_ERROR_BAD_TEXT);
    ck_assert_msg(strstr(l.err.text, "where the hash of the lines before should be") != NULL, "%s",
                  l.err.text);
    char *zero = strstr(text, "step 0");
    memcpy(zero, "step\0000", 6);
    ck_assert_int_eq(mskp_pruner_read(l.graph, &HALF, n, text, &q, NULL, &l.err),
                     MSKP_ERROR_BAD_TEXT);
    ck_assert_str_eq(l.err.text, "line 4: \"step\" where a word and a blank should be");
    ck_assert_ptr_null(q);
    layer_close(&l);
}
END_TEST

/* Another system ends lines in CR LF, and an editor leaves out the last line feed. Any other part
 * of a text is refused. */
START_TEST(texts_that_were_moved)
{
    layer l;
    char text[TEXT], moved[2 * TEXT], again[TEXT];
    size_t length = 0;
    mskp_pruner *q = NULL;
    layer_open(&l, &HALF);
    step(&l, 0.25);
    write_text(&l, text);
    for (const char *c = text; *c; c++) {
        if (*c == '\n') moved[length++] = '\r';
        moved[length++] = *c;
    }
    for (size_t n = 0; n <= length; n++) {
        const bool whole = n == length || n == length - 2; /* without CR LF */
        const mskp_status status = mskp_pruner_read(l.graph, &HALF, n, moved, &q, NULL, &l.err);
        ck_assert_msg((status == MSKP_OK) == whole, "%zu of %zu bytes: %s", n, length, l.err.text);
        if (status) continue;
        write_text(&(layer){.p = q}, again);
        ck_assert_str_eq(again, text);
        mskp_pruner_destroy(q);
        q = NULL;
    }
    for (size_t n = 0; n < strlen(text); n++) {
        const bool whole = n == strlen(text) - 1;
        const mskp_status status = mskp_pruner_read(l.graph, &HALF, n, text, &q, NULL, &l.err);
        ck_assert_msg((status == MSKP_OK) == whole, "%zu of %zu bytes: %s", n, strlen(text),
                      l.err.text);
        if (!status) mskp_pruner_destroy(q);
        q = NULL;
    }
    ck_assert_int_eq(mskp_pruner_read(l.graph, &HALF, 12, text, &q, NULL, &l.err),
                     MSKP_ERROR_BAD_TEXT);
    ck_assert_str_eq(l.err.text, "line 1: the text ends where 1 should be");
    replace(text, "network ", "network f");
    ck_assert_int_eq(mskp_pruner_read(l.graph, &HALF, strlen(text), text, &q, NULL, &l.err),
                     MSKP_ERROR_BAD_TEXT);
    replace(text, "network f", "network ");
    *strstr(text, "\noptions") = 0;
    char *digit = text + strlen(text) - 1, own[17];
    *digit = *digit == '0' ? '1' : '0';
    text[strlen(text)] = '\n';
    char sentence[200];
    snprintf(sentence, sizeof sentence,
             "the pruner's text is of a network of 4 units (%.16s), the graph has 4 (%s)",
             strstr(text, "network ") + 8, mskpi_fingerprint_text(mskp_fingerprint(l.graph), own));
    ck_assert_int_eq(mskp_pruner_read(l.graph, &HALF, strlen(text), text, &q, NULL, &l.err),
                     MSKP_ERROR_OTHER_NETWORK);
    ck_assert_str_eq(l.err.text, sentence);
    layer_close(&l);
}
END_TEST

/* Units that were masked before are in the text only if the mask was selected; none can be in a
 * stage before; and a plan that cannot be is refused. */
START_TEST(texts_of_other_stages)
{
    static const mskp_pruner_options late = {
        .rule = {.remove_fraction = 0.5}, .steps = 8, .wait = 0.25, .masked = 0.5};
    layer l;
    char text[TEXT];
    mskp_pruner *q = NULL;
    layer_open(&l, &late);
    write_text(&l, text);
    replace(text, "mask none", "mask given");
    correct_hash(text);
    ck_assert_int_eq(mskp_pruner_read(l.graph, &late, strlen(text), text, &q, NULL, &l.err),
                     MSKP_ERROR_BAD_TEXT);
    ck_assert_str_eq(l.err.text, "line 4: a mask at step 0 of round 0, where none can be");
    write_text(&l, text);
    replace(text, "unit 1 - 0", "unit 1 1 0");
    correct_hash(text);
    ck_assert_int_eq(mskp_pruner_read(l.graph, &late, strlen(text), text, &q, NULL, &l.err),
                     MSKP_ERROR_BAD_TEXT);
    write_text(&l, text);
    replace(text, "round 0", "round 1");
    for (int u = 0; u < UNITS; u++) replace(text, "unit 1 - 0 0000000000000000", "cut");
    correct_hash(text);
    ck_assert_int_eq(mskp_pruner_read(l.graph, &late, strlen(text), text, &q, NULL, &l.err),
                     MSKP_ERROR_NO_SOLUTION);
    ck_assert_ptr_null(q);
    layer_close(&l);
}
END_TEST

/* Between the two calls of a step the text says that the step was begun, and so it goes on. */
START_TEST(text_within_a_step)
{
    layer l;
    char text[TEXT], end[2][TEXT];
    layer_open(&l, &HALF);
    step(&l, 0.25);
    ck_assert_int_eq(before(&l, 0.25), MSKP_OK);
    write_text(&l, text);
    for (int k = 0; k < 2; k++) {
        double gamma[UNITS];
        memcpy(gamma, l.gamma, sizeof gamma);
        ck_assert_int_eq(mskp_pruner_after_step(l.p, 0.25, values(&l), NULL), MSKP_OK);
        write_text(&l, end[k]);
        memcpy(l.gamma, gamma, sizeof gamma);
        mskp_pruner_destroy(l.p);
        ck_assert_int_eq(mskp_pruner_read(l.graph, &HALF, strlen(text), text, &l.p, NULL, &l.err),
                         MSKP_OK);
    }
    ck_assert_str_eq(end[0], end[1]);
    layer_close(&l);
}
END_TEST

/* ---- Steps ---- */

/* NaN and infinities among marked elements; a soft threshold cannot be chosen by them. */
START_TEST(elements_that_are_no_numbers)
{
    static const double bad[] = {(double)NAN, (double)INFINITY};
    for (int k = 0; k < 2; k++) {
        mskp_pruner_options options = HALF;
        options.fade = 1;
        options.pull = k ? MSKP_PULL_GRADIENT : MSKP_PULL_PROXIMAL;
        layer l;
        layer_open(&l, &options);
        step(&l, 0.25);
        for (int i = 0; i < 2; i++) {
            char words[80];
            (void)snprintf(words, sizeof words, "pruner: the largest marked element is %s",
                           i ? "infinity" : "NaN");
            if (!k) ck_assert_int_eq(before(&l, 0.25), MSKP_OK);
            const double was = l.gamma[0];
            l.gamma[0] = bad[i];
            if (k)
                REFUSED(&l, before(&l, 0.25), MSKP_ERROR_BAD_NUMBER, words);
            else
                REFUSED(&l, mskp_pruner_after_step(l.p, 0.25, values(&l), &l.err),
                        MSKP_ERROR_BAD_NUMBER, words);
            l.gamma[0] = was;
        }
        step(&l, 0.25);
        layer_close(&l);
    }
}
END_TEST

/* A gauge of several NaN has NaN as the largest, and as the mean. */
START_TEST(gauge_of_no_numbers)
{
    static const mskp_penalty all = {.target = MSKP_TARGET_ALL};
    layer l;
    mskp_gauge g;
    layer_open(&l, &HALF);
    l.gamma[1] = l.gamma[2] = (double)NAN;
    ck_assert_int_eq(mskp_penalty_gauge(l.graph, mask_of(0, NULL), &all, values(&l), &g, NULL),
                     MSKP_OK);
    ck_assert(isnan(g.largest) && isnan(g.mean) && g.elements == UNITS && g.below[0] == 0);
    layer_close(&l);
}
END_TEST

/* A step that is refused after its mask was made has no mask; then it is made once. */
START_TEST(refused_gradients)
{
    mskp_pruner_options options = HALF;
    options.pull = MSKP_PULL_GRADIENT;
    options.fade = 1;
    layer l;
    layer_open(&l, &options);
    l.gradient.ndim = 1;
    l.gradient.shape[0] = UNITS + 1;
    REFUSED(&l, before(&l, 0.25), MSKP_ERROR_BAD_SHAPE,
            "gamma (gradients): axis 0 of the tensor has length 5, 4 is expected");
    ck_assert_int_eq(mskp_pruner_due(l.p), MSKP_PRUNER_DUE_MASK);
    options.pull = MSKP_PULL_PROXIMAL;
    layer_close(&l);
    layer_open(&l, &options);
    REFUSED(&l, mskp_pruner_before_step(l.p, 0.25, values(&l), (mskp_tensors){0, NULL}, &l.err),
            MSKP_ERROR_BAD_ARGUMENT, "set is NULL");
    ck_assert_int_eq(mskp_pruner_due(l.p), MSKP_PRUNER_DUE_MASK);
    layer_close(&l);
}
END_TEST

/* So is a set of values that became another one within the step, in each step of a pull and after
 * it. */
START_TEST(refused_values)
{
    for (int pull = 0; pull < 3; pull++)
        for (int automatic = 0; automatic < 2; automatic++) {
            mskp_pruner_options options = HALF;
            options.pull = (mskp_pull)pull;
            options.strength = automatic ? 0 : 0.25;
            options.settle = 0.25;
            layer l;
            layer_open(&l, &options);
            for (int n = 0; n < 8; n++) {
                ck_assert_int_eq(before(&l, 0.25), MSKP_OK);
                mskp_tensor wrong = l.value;
                wrong.elements = UNITS + 1;
                /* A term of the gradient was added before; nothing is left to do to the values. */
                if (pull != MSKP_PULL_GRADIENT || n > 5 || (automatic && n == 5))
                    REFUSED(&l,
                            mskp_pruner_after_step(l.p, 0.25, (mskp_tensors){1, &wrong}, &l.err),
                            MSKP_ERROR_BAD_SHAPE,
                            "gamma (values): the tensor has 5 elements, its shape asks for 4");
                ck_assert_int_eq(mskp_pruner_after_step(l.p, 0.25, values(&l), NULL), MSKP_OK);
            }
            layer_close(&l);
        }
}
END_TEST

START_TEST(rates)
{
    static const double bad[] = {-0.5, (double)INFINITY, (double)NAN};
    static const char *const name[] = {"-0.5", "infinity", "NaN"};
    layer l;
    layer_open(&l, &HALF);
    for (int i = 0; i < 3; i++) {
        char words[80];
        (void)snprintf(words, sizeof words, "pruner: rate is %s, not a finite number, 0 or more",
                       name[i]);
        REFUSED(&l, before(&l, bad[i]), MSKP_ERROR_BAD_NUMBER, words);
        REFUSED(&l, mskp_pruner_after_step(l.p, bad[i], values(&l), &l.err), MSKP_ERROR_BAD_NUMBER,
                words);
    }
    /* A soft threshold needs no rate: 2/9 of the largest marked element, which is 2. */
    step(&l, 0);
    ck_assert_double_eq_tol(l.gamma[1], 2 - 4.0 / 9, 1e-15);
    ck_assert_double_eq_tol(gauges(&l).move, 4.0 / 9, 1e-15);
    ck_assert_double_eq(gauges(&l).strength, 0);
    layer_close(&l);
}
END_TEST

/* A term of the gradient needs one: at a rate of 0, or of almost 0, there is no term, and what the
 * weights did says nothing about the optimizer. */
START_TEST(gradients_at_no_rate)
{
    static const double rate[] = {0, 1e-320};
    mskp_pruner_options options = HALF;
    options.pull = MSKP_PULL_GRADIENT;
    options.gradient_scale = 2;
    options.steps = 64;
    for (int k = 0; k < 2; k++) {
        layer l;
        layer_open(&l, &options);
        for (int n = 0; n < 20; n++) {
            ck_assert_int_eq(before(&l, rate[k]), MSKP_OK);
            for (int u = 0; u < UNITS; u++) ck_assert_double_eq(l.slope[u], 0.5);
            ck_assert_double_eq(gauges(&l).strength, 0);
            ck_assert_int_eq(mskp_pruner_after_step(l.p, rate[k], values(&l), NULL), MSKP_OK);
        }
        /* 44 steps are left: 2 x 2 / 45 = rate x strength, and twice the strength is added. */
        ck_assert_int_eq(before(&l, 0.5), MSKP_OK);
        ck_assert_double_eq_tol(gauges(&l).strength, 8.0 / 45, 1e-15);
        ck_assert_double_eq_tol(l.slope[0], 0.5 + 16.0 / 45, 1e-15);
        ck_assert_double_eq(l.slope[2], 0.5);
        layer_close(&l);
    }
}
END_TEST

/* The largest doubles are halved without an overflow on the way. */
START_TEST(largest_elements)
{
    layer l;
    mskp_pruner_options options = HALF;
    options.steps = 2;
    layer_open(&l, &options);
    for (int u = 0; u < UNITS; u++) l.gamma[u] = (u + 1) * 0x1p1021;
    step(&l, 0.25);
    /* n = 2: the largest marked one, 2, has to move by 2/3 of it. */
    ck_assert_double_eq(l.gamma[0], 0);
    ck_assert_double_eq_tol(l.gamma[1] / 0x1p1021, 2.0 / 3, 1e-15);
    ck_assert_double_eq_tol(gauges(&l).needed / 0x1p1021, 2.0 / 3, 1e-15);
    layer_close(&l);
}
END_TEST

/* A step that is begun again, because the optimizer skipped it, counts once: refreshed masks and
 * what is learned about the optimizer are the same. */
START_TEST(steps_that_are_begun_twice)
{
    mskp_pruner_options options = HALF;
    options.steps = 24;
    options.refresh = 2;
    options.hysteresis = 3;
    for (int pull = 0; pull < 3; pull++) {
        char text[2][TEXT];
        options.pull = (mskp_pull)pull;
        for (int k = 0; k < 2; k++) {
            layer l;
            layer_open(&l, &options);
            for (int n = 0; n < 23; n++) {
                if (k) ck_assert_int_eq(before(&l, 0.25), MSKP_OK);
                for (int u = 0; u < UNITS; u++) l.slope[u] = 0.5;
                ck_assert_int_eq(before(&l, 0.25), MSKP_OK);
                for (int u = 0; u < UNITS; u++) l.gamma[u] -= 0.25 * (l.slope[u] - 0.5);
                /* Now other units are worth less. */
                if (n == 3) l.gamma[3] = 0.01;
                ck_assert_int_eq(mskp_pruner_after_step(l.p, 0.25, values(&l), NULL), MSKP_OK);
            }
            write_text(&l, text[k]);
            layer_close(&l);
        }
        ck_assert_str_eq(text[0], text[1]);
        ck_assert_msg(strstr(text[0], "unit 0 0 0 ") || strstr(text[0], "unit 0 1 0 "), "%s",
                      text[0]);
    }
}
END_TEST

/* A mask that was given is not chosen anew. */
START_TEST(given_masks_stay)
{
    static const uint8_t keep[UNITS] = {1, 1, 0, 7};
    mskp_pruner_options options = HALF;
    options.refresh = 1;
    layer l;
    layer_open(&l, &options);
    ck_assert_int_eq(mskp_pruner_mark(l.p, values(&l), mask_of(UNITS, keep), NULL), MSKP_OK);
    REFUSED(&l, mskp_pruner_mark(l.p, values(&l), mask_of(UNITS, keep), &l.err),
            MSKP_ERROR_BAD_STATE, "pruner: there is a mask already at step 0");
    for (int n = 0; n < 8; n++) {
        step(&l, 0.25);
        for (int u = 0; u < UNITS; u++)
            ck_assert_uint_eq(mskp_pruner_mask(l.p).unit[u], keep[u] != 0);
    }
    ck_assert_double_eq(l.gamma[2], 0);
    ck_assert_double_eq(l.gamma[0], 1);
    layer_close(&l);
}
END_TEST

/* ---- Masks and cuts ---- */

/* A plan that was prepared in a step is void when the step is over. */
START_TEST(plans_within_a_step)
{
    layer l;
    mskp_plan *plan = NULL;
    layer_open(&l, &HALF);
    ck_assert_int_eq(before(&l, 0.25), MSKP_OK);
    ck_assert_int_eq(mskp_pruner_prepare(l.p, values(&l), &plan, NULL, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_pruner_after_step(l.p, 0.25, values(&l), NULL), MSKP_OK);
    REFUSED(&l, mskp_pruner_cut_done(l.p, &l.err), MSKP_ERROR_BAD_STATE,
            "pruner: no cut was prepared since step 1");
    layer_close(&l);
}
END_TEST

/* Without a masked stage no mask is due, but a cut that is due takes one: a given one, or one that
 * is selected by other values than those that are cut. What was prepared before is void. */
START_TEST(masks_of_a_cut)
{
    static const uint8_t given[UNITS] = {1, 1, 0, 1};
    static const double other[UNITS] = {0.25, 3, 2, 0.5};
    mskp_pruner_options options = HALF;
    options.masked = 0;
    for (int selected = 0; selected < 2; selected++) {
        layer l;
        double gamma[UNITS];
        char text[TEXT];
        mskp_plan *plan = NULL;
        mskp_pruner *again = NULL;
        layer_open(&l, &options);
        memcpy(gamma, l.gamma, sizeof gamma);
        ck_assert_int_eq(mskp_pruner_due(l.p), MSKP_PRUNER_DUE_CUT);
        ck_assert_int_eq(mskp_pruner_prepare(l.p, values(&l), NULL, NULL, NULL), MSKP_OK);
        if (selected) memcpy(l.gamma, other, sizeof other);
        ck_assert_int_eq(mskp_pruner_mark(l.p, values(&l),
                                          selected ? mask_of(0, NULL) : mask_of(UNITS, given),
                                          NULL),
                         MSKP_OK);
        memcpy(l.gamma, gamma, sizeof gamma);
        REFUSED(&l, mskp_pruner_cut_done(l.p, &l.err), MSKP_ERROR_BAD_STATE,
                "pruner: no cut was prepared since step 0");
        REFUSED(&l, mskp_pruner_mark(l.p, values(&l), mask_of(UNITS, given), &l.err),
                MSKP_ERROR_BAD_STATE, "pruner: there is a mask already at step 0");
        for (int u = 0; u < UNITS; u++)
            ck_assert_uint_eq(mskp_pruner_mask(l.p).unit[u],
                              selected ? other[u] > 1 : given[u] != 0);
        /* The state of such a cut is written and read. */
        write_text(&l, text);
        ck_assert_int_eq(
            mskp_pruner_read(l.graph, &options, strlen(text), text, &again, NULL, NULL), MSKP_OK);
        ck_assert_mem_eq(mskp_pruner_mask(again).unit, mskp_pruner_mask(l.p).unit, UNITS);
        mskp_pruner_destroy(again);
        ck_assert_int_eq(mskp_pruner_prepare(l.p, values(&l), &plan, NULL, NULL), MSKP_OK);
        ck_assert_uint_eq(mskp_graph_counts(mskp_pruner_graph(l.p)).units, UNITS);
        ck_assert_int_eq(mskp_pruner_cut_done(l.p, NULL), MSKP_OK);
        ck_assert_uint_eq(mskp_graph_counts(mskp_pruner_graph(l.p)).units, selected ? 2 : 3);
        layer_close(&l);
    }
}
END_TEST

/* A rule that is met by the whole network marks nothing: two such masks are the same, and there is
 * nothing to wait for. Its limits ask for nothing more in an earlier round. */
START_TEST(masks_that_remove_nothing)
{
    const mskp_pruner_options options = {
        .rule = {.max_params = 100}, .steps = 12, .masked = 1, .rounds = 2, .refresh = 2};
    layer l;
    layer_open(&l, &options);
    for (int n = 0; n < 6; n++) step(&l, 0.25);
    const mskp_pruner_gauges g = gauges(&l);
    ck_assert(g.marked == 0 && g.ready && g.overlap == 1 && g.left.elements == 0);
    ck_assert(isinf(g.gap) || isnan(g.gap));
    const mskp_move move = {.from = values(&l)};
    ck_assert_int_eq(mskp_pruner_cut(l.p, 1, &move, NULL), MSKP_OK);
    ck_assert_uint_eq(mskp_graph_counts(mskp_pruner_graph(l.p)).units, UNITS);
    layer_close(&l);
}
END_TEST

/* Of three units that two masks mark, both mark one. */
START_TEST(masks_that_change)
{
    static const double numbers[UNITS] = {9, 0.5, 3, 0.25};
    static const uint8_t first[UNITS] = {0, 0, 1, 1}, second[UNITS] = {1, 0, 1, 0};
    mskp_pruner_options options = HALF;
    options.refresh = 1;
    layer l;
    layer_open(&l, &options);
    step(&l, 0.25);
    ck_assert_mem_eq(mskp_pruner_mask(l.p).unit, first, sizeof first);
    ck_assert(isnan(gauges(&l).overlap));
    memcpy(l.gamma, numbers, sizeof numbers);
    ck_assert_int_eq(before(&l, 0.25), MSKP_OK);
    ck_assert_mem_eq(mskp_pruner_mask(l.p).unit, second, sizeof second);
    ck_assert_double_eq(gauges(&l).overlap, 1.0 / 3);
    ck_assert_double_eq(gauges(&l).left.largest, 0.5);
    ck_assert_double_eq(gauges(&l).gap, 3 / 0.5);
    layer_close(&l);
}
END_TEST

/* Shifts that are 0 when the mask is made and not at the cut need a carrier, so that one more unit
 * must leave, which was not marked: four numbers for each unit, and room for two units. */
START_TEST(carriers_that_were_not_foreseen)
{
    double weight[4] = {1, 2, 3, 4}, gamma[4] = {4, 3, 2, 1}, beta[4] = {0}, head[4] = {1, 1, 1, 1};
    mskp_tensor view[4] = {{.data = weight, .dtype = MSKP_DTYPE_F64},
                           {.data = gamma, .dtype = MSKP_DTYPE_F64},
                           {.data = beta, .dtype = MSKP_DTYPE_F64},
                           {.data = head, .dtype = MSKP_DTYPE_F64}};
    const mskp_tensors set = {4, view};
    const mskp_move move = {.from = set};
    const mskp_pruner_options options = {.rule = {.max_params = 8},
                                         .constants = {.way = MSKP_CONSTANTS_MERGE},
                                         .steps = 4,
                                         .masked = 1,
                                         .settle = 0.5};
    mskp_norm_desc norm = {.kind = MSKP_NORM_AFFINE};
    mskp_pruner *p = NULL;
    mskp_pruner_gauges g;
    mskp_error err = {0};
    mskp_graph *graph = mskp_graph_create(NULL);
    const mskp_param w = mskp_parameter(graph, "w", 2, (size_t[]){4, 1});
    norm.scale = mskp_parameter(graph, "gamma", 1, (size_t[]){4});
    norm.shift = mskp_parameter(graph, "beta", 1, (size_t[]){4});
    const mskp_param h = mskp_parameter(graph, "head", 2, (size_t[]){1, 4});
    mskp_value v = mskp_linear(graph, "v", mskp_input(graph, "x", 1, 0, NULL), w, (mskp_param){0});
    v = mskp_norm(graph, "norm", v, &norm);
    mskp_output(graph, mskp_linear(graph, "y", v, h, (mskp_param){0}));
    ck_assert_msg(!mskp_graph_finish(graph, &err), "%s", err.text);
    ck_assert_msg(!mskp_pruner_create(graph, &options, &p, &err), "%s", err.text);
    for (int step = 0; step < 4; step++) {
        ck_assert_int_eq(mskp_pruner_before_step(p, 1, set, (mskp_tensors){0, NULL}, &err),
                         MSKP_OK);
        ck_assert_int_eq(mskp_pruner_after_step(p, 1, set, &err), MSKP_OK);
    }
    ck_assert_int_eq(mskp_pruner_gauge(p, set, &g, &err), MSKP_OK);
    ck_assert(g.marked == 2 && g.unmarked == 0 && g.exact && g.ready && g.bound == 0);
    for (int u = 0; u < 4; u++) beta[u] = 0.5;
    ck_assert_int_eq(mskp_pruner_gauge(p, set, &g, &err), MSKP_OK);
    ck_assert(g.marked == 2 && g.unmarked == 1 && !g.exact && g.ready && isinf(g.bound));
    ck_assert_msg(!mskp_pruner_cut(p, 1, &move, &err), "%s", err.text);
    ck_assert_uint_eq(mskp_graph_counts(mskp_pruner_graph(p)).units, 2);
    mskp_pruner_destroy(p);
    mskp_graph_destroy(graph);
}
END_TEST

START_TEST(options_at_their_limits)
{
    static const mskp_family_rule none = {0};
    const struct {
        mskp_pruner_options options;
        const char *sentence; /* NULL: taken */
    } CASES[] = {
        {{.steps = ((uint64_t)1 << 53) + 1},
         "pruner: steps is 9007199254740993, outside 1 to 2^53"},
        {{.steps = (uint64_t)1 << 53}, NULL},
        {{.steps = 9, .strength = (double)INFINITY}, "pruner: strength is infinity, not 0 or more"},
        {{.steps = 9, .sparse_strength = -1}, "pruner: sparse_strength is -1, not 0 or more"},
        {{.steps = 9, .momentum = -0.5}, "pruner: momentum is -0.5, not from 0 to below 1"},
        {{.steps = 9, .momentum = 0.75}, NULL},
        {{.steps = 9, .gradient_scale = 0.5}, NULL},
        {{.rule = {.nfamilies = 1, .families = &none}, .steps = 9, .rounds = 2},
         "pruner: 2 rounds, and a rule with families, which is about one mask"},
        {{.rule = {.nfamilies = 1, .families = &none}, .steps = 9, .rounds = 1}, NULL},
        {{.rule = {.nbudgets = SIZE_MAX}, .steps = 9},
         "rule: budgets is NULL, and nbudgets is %zu"},
        {{.steps = 9, .wait = 0.1, .sparse = 0.2, .sparse_strength = 1, .masked = 0.7}, NULL},
        {{.steps = 9, .sparse = 0.25, .masked = 0.5},
         "pruner: sparse is 0.25 and sparse_strength is 0; a stage without a penalty is `wait`"},
        {{.rule = {.max_params = 1, .min_channels = 3}, .steps = 9},
         "max_params is 1 (it is absolute, not a fraction), the least that can be had is 3 (0 of 4 "
         "units are locked or score +infinity; others are held back by min_channels)"},
        {{.rule = {.max_params = 1, .round_to = 2, .max_family_fraction = 0.5}, .steps = 9},
         "max_params is 1 (it is absolute, not a fraction), the least that can be had is 2 (0 of 4 "
         "units are locked or score +infinity; others are held back by round_to, the largest "
         "fraction of a family)"},
    };
    layer l;
    layer_open(&l, &HALF);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        mskp_pruner_options options = CASES[i].options;
        mskp_pruner *q = NULL;
        if (!options.rule.nbudgets) options.rule.remove_fraction = 0.25;
        const mskp_status status = mskp_pruner_create(l.graph, &options, &q, &l.err);
        ck_assert_msg(!CASES[i].sentence == !status, "case %zu: %d %s", i, (int)status, l.err.text);
        if (status && !strchr(CASES[i].sentence, '%'))
            ck_assert_str_eq(l.err.text, CASES[i].sentence);
        ck_assert_msg(!status || status != MSKP_ERROR_NO_MEMORY, "case %zu: %s", i, l.err.text);
        mskp_pruner_destroy(q);
    }
    layer_close(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pruner_corners");
    TCase *tests = tcase_create("pruner_corners");
    tcase_add_test(tests, texts_that_were_edited);
    tcase_add_test(tests, ends_of_texts);
    tcase_add_test(tests, texts_that_were_moved);
    tcase_add_test(tests, carriers_that_were_not_foreseen);
    tcase_add_test(tests, texts_of_other_stages);
    tcase_add_test(tests, text_within_a_step);
    tcase_add_test(tests, elements_that_are_no_numbers);
    tcase_add_test(tests, gauge_of_no_numbers);
    tcase_add_test(tests, refused_gradients);
    tcase_add_test(tests, refused_values);
    tcase_add_test(tests, rates);
    tcase_add_test(tests, gradients_at_no_rate);
    tcase_add_test(tests, largest_elements);
    tcase_add_test(tests, steps_that_are_begun_twice);
    tcase_add_test(tests, given_masks_stay);
    tcase_add_test(tests, plans_within_a_step);
    tcase_add_test(tests, masks_of_a_cut);
    tcase_add_test(tests, masks_that_remove_nothing);
    tcase_add_test(tests, masks_that_change);
    tcase_add_test(tests, options_at_their_limits);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

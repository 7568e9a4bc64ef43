/*
 * The limits of 32 bits, and of memory, in a library that is built with small ones.
 *
 * test.mk builds the library with -DMSKP_TEST_LIMITS, so this program can run into each limit of
 * lib/base/limits.h. A network at the limit must be accepted, and the first one above it refused
 * with the sentence that names both numbers. What was described before must still be there.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id/by_id.h"
#include "guarded_memory/guarded_memory.h"

/* What lib/base/limits.h says for this build, written once more. */
enum { MOST = 253, MOST_BYTES = 1 << 17, MOST_ON_AXIS = 16, MOST_POSITIONS = 64 };

static mskp_graph *new_graph(void)
{
    mskp_graph *graph = mskp_graph_create(NULL);
    must(graph != NULL, "no graph");
    return graph;
}

/* The description has failed with this status and sentence, and stays failed. The graph goes. */
static void failed(mskp_graph *graph, mskp_status status, const char *sentence)
{
    mskp_error err;
    for (int again = 0; again < 2; again++) {
        const mskp_status is = mskp_graph_finish(graph, &err);
        must(is == status && err.status == status, "status %d: %s", (int)is, err.text);
        must(!strcmp(err.text, sentence), "'%s', expected '%s'", err.text, sentence);
        must(!mskp_fresh(graph, NULL, 1, 0, NULL).id, "a failed graph grows");
    }
    mskp_graph_destroy(graph);
}

static void finished(mskp_graph *graph)
{
    mskp_error err;
    must(!mskp_graph_finish(graph, &err), "%s", err.text);
    mskp_graph_destroy(graph);
}

START_TEST(lengths)
{
    const size_t fits[1] = {MOST}, longer[2] = {3, MOST + 1};
    mskp_graph *graph = new_graph();
    const mskp_param p = mskp_parameter(graph, "p", 1, fits);
    must(p.id == 1, "the longest axis is refused");
    must(!mskp_parameter(graph, "q", 2, longer).id, "too long an axis");
    must(mskp_param_shape(graph, p, NULL) == 1 && !mskp_param_find(graph, "q").id, "p and no q");
    failed(graph, MSKP_ERROR_BAD_SHAPE, "q: axis 1 has length 254, which is too long");
}
END_TEST

START_TEST(axes)
{
    for (int more = 0; more < 2; more++) {
        const size_t shape[MSKP_MAX_DIMS] = {1, 1, 1, 1, 1};
        mskp_graph *graph = new_graph();
        const mskp_value v = mskp_fresh(graph, "v", 1, 0, NULL);
        char name[16];
        mskp_param last = {0};
        for (int i = 0; i < MOST / 5 + 1 + more; i++) { /* 50 parameters of 5 axes, and 3 axes */
            snprintf(name, sizeof name, "p%d", i);
            last = mskp_parameter(graph, name,
                                  i < MOST / 5    ? 5
                                  : i == MOST / 5 ? MOST % 5
                                                  : 1,
                                  shape);
            (void)mskp_attach(graph, last, v);
        }
        must((last.id != 0) == !more, "%d more", more);
        if (more)
            failed(graph, MSKP_ERROR_UNSUPPORTED,
                   "p51: 1 more axes; the parameters have 253 of at most 253");
        else
            finished(graph);
    }
}
END_TEST

START_TEST(values)
{
    for (int more = 0; more < 2; more++) {
        mskp_graph *graph = new_graph();
        mskp_value v = mskp_fresh(graph, "v", 1, 0, NULL);
        for (int i = 1; i < MOST + more; i++)
            v = mskp_activation(graph, NULL, v, &(mskp_activation_desc){0});
        must((v.id == MOST) == !more, "value %u", v.id);
        if (more)
            failed(graph, MSKP_ERROR_UNSUPPORTED,
                   "identity#254: one more value; the graph has 253 of at most 253");
        else
            finished(graph);
    }
}
END_TEST

START_TEST(channels)
{
    size_t n;
    mskp_graph *graph = new_graph();
    const mskp_value a = mskp_fresh(graph, "a", MOST - 3, 0, NULL);
    const mskp_value b = mskp_fresh(graph, "b", 3, 0, NULL);
    const mskp_value both = mskp_concat(graph, "both", 2, (mskp_value[]){a, b});
    must(both.id == 3, "as many channels as fit");
    must(!mskp_fresh(graph, "c", 1, 0, NULL).id, "one more channel");
    must(mskp_value_shape(graph, both, &n, NULL) == 0 && n == MOST, "%zu channels", n);
    failed(graph, MSKP_ERROR_UNSUPPORTED, "c: 1 more channels; the graph has 253 of at most 253");

    graph = new_graph(); /* a list of more channels than there are */
    const mskp_value c = mskp_fresh(graph, "c", 127, 0, NULL);
    must(!mskp_concat(graph, "d", 2, (mskp_value[]){c, c}).id, "254 channels");
    failed(graph, MSKP_ERROR_BAD_SHAPE, "d: 254 channels, a value has 1 to 253");

    graph = new_graph(); /* the sum of a long concatenation is not formed to its end */
    const mskp_value d = mskp_fresh(graph, "d", 200, 0, NULL);
    must(!mskp_concat(graph, "e", 3, (mskp_value[]){d, d, {99}}).id, "400 channels and more");
    failed(graph, MSKP_ERROR_BAD_SHAPE, "e: 400 channels, a value has 1 to 253");

    graph = new_graph();
    mskp_value parts[1] = {{77}};
    const mskp_value e = mskp_fresh(graph, "e", 6, 0, NULL);
    must(mskp_chunk(graph, "f", e, SIZE_MAX, 0, parts), "more parts than any array has");
    must(parts[0].id == 77, "parts of an array that cannot be are written");
    mskp_graph_destroy(graph);
}
END_TEST

START_TEST(ties)
{
    for (int more = 0; more < 2; more++) {
        mskp_graph *graph = new_graph();
        const mskp_value a = mskp_fresh(graph, "a", 2, 0, NULL);
        const mskp_value b = mskp_fresh(graph, "b", 2, 0, NULL);
        mskp_status status = MSKP_OK;
        for (int i = 0; i < MOST + 1 + more; i++) status = mskp_tie(graph, a, b);
        must((status == MSKP_OK) == !more, "status %d", (int)status);
        if (more)
            failed(graph, MSKP_ERROR_UNSUPPORTED,
                   "254 ties and pins, and one more; a graph has at most 254");
        else
            finished(graph);
    }
}
END_TEST

/* n channels, and as many lists of them as there are bits: list b has the channels whose number has
 * bit b, and so all channels differ in the lists that they stand in. */
static mskp_graph *told_apart(size_t n, uint32_t *lists)
{
    mskp_graph *graph = new_graph();
    size_t place[MOST];
    const mskp_value all = mskp_fresh(graph, "all", n, 0, NULL);
    *lists = 1;
    for (size_t bit = 1; bit < n; bit *= 2, ++*lists) {
        size_t k = 0;
        for (size_t c = 0; c < n; c++)
            if (c & bit) place[k++] = c;
        must(mskp_pick(graph, NULL, all, k, place).id, "bit %zu", bit);
    }
    return graph;
}

/* The prefixes of the incidences that differ: the list of all, and then the sets of bits below. */
static size_t combinations(size_t n)
{
    size_t count = 1;
    for (size_t bit = 1; bit < n; bit *= 2)
        for (size_t set = bit; set < 2 * bit && set < n; set++) count++;
    return count;
}

START_TEST(families)
{
    uint32_t lists;
    mskp_error err;
    for (int more = 0; more < 2; more++) {
        const size_t n = MOST - 1;
        must(combinations(n) == MOST - 1, "%zu combinations", combinations(n));
        mskp_graph *graph = told_apart(n, &lists);
        /* One list more moves the units in it on: one unit is at the limit, two are above. */
        must(mskp_pick(graph, "last", mskp_value_find(graph, "all"), 1 + (size_t)more,
                       (size_t[]){7, 9})
                 .id,
             "the last list");
        for (int again = 0; again < 2; again++) {
            const mskp_status status = mskp_graph_finish(graph, &err);
            if (more) {
                must(status == MSKP_ERROR_UNSUPPORTED, "status %d", (int)status);
                must(!strcmp(err.text, "the units stand in 253 combinations of lists and one more; "
                                       "at most 253 are told apart"),
                     "%s", err.text);
                must(!mskp_graph_counts(graph).units, "half of a graph is finished");
            } else if (!again) {
                must(!status, "%s", err.text);
                must(mskp_graph_counts(graph).families == n, "%zu families",
                     (size_t)mskp_graph_counts(graph).families);
            }
        }
        mskp_graph_destroy(graph);
    }
}
END_TEST

START_TEST(memory)
{
    mskp_graph *graph = new_graph();
    char *name = malloc(MOST_BYTES + 1);
    must(name != NULL, "no memory for the test");
    memset(name, 'x', MOST_BYTES);
    name[MOST_BYTES] = 0;
    name[MOST_BYTES - 40] = 0; /* the text grows to its limit */
    must(mskp_fresh(graph, "a", 1, 0, NULL).id == 1, "a");
    must(mskp_fresh(graph, name, 1, 0, NULL).id == 2, "the longest name");
    must(mskp_fresh(graph, "bb", 1, 0, NULL).id == 3, "the rest of the text");
    must(mskp_value_find(graph, name).id == 2, "the longest name is found");
    name[MOST_BYTES - 40] = 'x';
    must(!mskp_fresh(graph, name, 1, 0, NULL).id, "a text above the limit");
    must(mskp_value_find(graph, "a").id == 1 && mskp_value_find(graph, "bb").id == 3, "names");
    free(name);
    failed(graph, MSKP_ERROR_NO_MEMORY, "the allocator returned NULL while describing the network");
}
END_TEST

/* A convolution of 2 channels, of which the second has gamma 0 and beta 1, into one, padded. */
typedef struct padded {
    mskp_graph *graph;
    float *weight, scale[2], shift[2];
    mskp_tensor view[3];
} padded;

static void padded_make(padded *p, uint32_t nspatial, size_t taps, size_t in, size_t pad,
                        bool transposed)
{
    const size_t image[3] = {in, in, in}, two[1] = {2};
    size_t shape[5] = {transposed ? 2 : 1, transposed ? 1 : 2, taps, taps, taps}, n = 2;
    mskp_conv_desc conv = {0};
    mskp_norm_desc norm = {.kind = MSKP_NORM_BATCH};
    mskp_error err;
    *p = (padded){.graph = new_graph(), .scale = {1, 0}, .shift = {0, 1}};
    for (uint32_t d = 0; d < nspatial; d++) n *= taps, conv.pad_before[d] = conv.pad_after[d] = pad;
    p->weight = malloc(n * sizeof *p->weight);
    must(p->weight != NULL, "no memory for the test");
    for (size_t i = 0; i < n; i++) {
        size_t sum = 0;
        for (size_t d = 0, rest = i; d < nspatial; d++, rest /= taps) sum += rest % taps;
        p->weight[i] = sum % 2 ? -1 : 1;
    }
    norm.scale = mskp_parameter(p->graph, "scale", 1, two);
    norm.shift = mskp_parameter(p->graph, "shift", 1, two);
    conv.weight = mskp_parameter(p->graph, "weight", 2 + nspatial, shape);
    mskp_value v = mskp_fresh(p->graph, "in", 2, nspatial, image);
    v = mskp_norm(p->graph, NULL, v, &norm);
    v = transposed ? mskp_conv_transposed(p->graph, "conv", v, &conv)
                   : mskp_conv(p->graph, "conv", v, &conv);
    mskp_output(p->graph, v);
    must(!mskp_graph_finish(p->graph, &err), "%s", err.text);
    p->view[0].data = p->scale;
    p->view[1].data = p->shift;
    p->view[2].data = p->weight;
}

/* The consumer's report, or the status if there is none. */
static mskp_status padded_report(const padded *p, mskp_constants_report *report, mskp_error *err)
{
    uint8_t keep[2] = {1, 0};
    mskp_constants *constants = NULL;
    const mskp_status status = mskp_constants_create(
        p->graph, mask_of(2, keep), &(mskp_constants_desc){.way = MSKP_CONSTANTS_DROP},
        (mskp_tensors){3, (mskp_tensor *)p->view}, &constants, err);
    if (status) {
        must(constants == NULL, "an object of a failed call");
        return status;
    }
    must(mskp_constants_consumers(constants) == 1, "one consumer");
    must(!mskp_constants_consumer(constants, 0, report, err), "%s", err->text);
    mskp_constants_destroy(constants);
    return MSKP_OK;
}

static void padded_free(padded *p)
{
    mskp_graph_destroy(p->graph);
    free(p->weight);
}

/* The weights are 1 and -1 in turn on each axis, so parts of a window sum to 1 at most, as long as
 * the library looks at each part. Above the limits the bound is the sum of all magnitudes. */
START_TEST(positions)
{
    static const struct {
        uint32_t nspatial;
        size_t taps, in, pad;
        bool transposed;
        double bound;
    } cases[] = {
        {1, 8, 40, 7, false, 1},                /* 7 classes at each border, and one within */
        {1, 9, 40, 8, false, 9},                /* 8 at each border: one class too many */
        {1, 2, MOST_POSITIONS - 1, 0, true, 1}, /* a transposed one looks at each position */
        {1, 2, MOST_POSITIONS, 0, true, 2},
        {3, 3, 20, 2, false, 1},  /* 5 classes on each axis, 125 in all */
        {3, 4, 20, 3, false, 64}, /* 7 classes on each axis, 343 in all */
        {2, 17, 20, 0, false, 1}, /* 289 taps, and one class: no more numbers than taps */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        padded p;
        mskp_constants_report report;
        mskp_error err;
        padded_make(&p, cases[i].nspatial, cases[i].taps, cases[i].in, cases[i].pad,
                    cases[i].transposed);
        must(!padded_report(&p, &report, &err), "case %zu: %s", i, err.text);
        must(!report.exact && fabs(report.bound - cases[i].bound) < 1e-6,
             "case %zu: bound %g, expected %g", i, report.bound, cases[i].bound);
        padded_free(&p);
    }
}
END_TEST

/* A channel of 5, a transposed convolution of it with the taps 1 and 2 and a bias of 1, and an
 * addition. All of the branch vanishes. Where each position is looked at, most see both taps, and
 * at the borders one tap is missing. Above the limit the bound is the sum of all magnitudes. */
START_TEST(positions_of_a_branch)
{
    for (size_t in = MOST_POSITIONS - 1; in <= MOST_POSITIONS; in++) {
        const size_t one[2] = {1, 1}, taps[3] = {1, 1, 2};
        float number[6][2] = {{1}, {0}, {5}, {1, 2}, {1}, {1, 1}};
        mskp_tensor view[6] = {{0}};
        mskp_error err;
        mskp_plan *plan;
        mskp_constants *c;
        mskp_constants_report report;
        mskp_graph *g = new_graph();
        for (int p = 0; p < 6; p++) view[p].data = number[p];
        const mskp_value x = mskp_input(g, "x", 1, 1, &in);
        mskp_conv_desc point = {.weight = mskp_parameter(g, "c1", 3, (size_t[]){1, 1, 1})};
        const mskp_norm_desc norm = {.scale = mskp_parameter(g, "scale", 1, one),
                                     .shift = mskp_parameter(g, "shift", 1, one)};
        const mskp_conv_desc conv = {.weight = mskp_parameter(g, "weight", 3, taps),
                                     .bias = mskp_parameter(g, "bias", 1, one)};
        const mskp_conv_desc beside = {.weight = mskp_parameter(g, "beside", 3, taps)};
        mskp_value v = mskp_norm(g, "norm", mskp_conv(g, "c1", x, &point), &norm);
        v = mskp_conv_transposed(g, "conv", v, &conv);
        v = mskp_combine(g, "sum", MSKP_COMBINE_ADD, 2,
                         (mskp_value[]){mskp_conv_transposed(g, "beside", x, &beside), v});
        mskp_output(g, v);
        must(!mskp_graph_finish(g, &err), "%s", err.text);
        must(mskp_graph_counts(g).units == 1, "%zu units", mskp_graph_counts(g).units);
        uint8_t keep[1] = {0};
        const mskp_tensors set = {6, view};
        must(!mskp_constants_create(g, mask_of(1, keep), NULL, set, &c, &err), "%s", err.text);
        must(mskp_constants_consumers(c) == 2, "%zu consumers", mskp_constants_consumers(c));
        must(!mskp_constants_consumer(c, 0, &report, &err), "%s", err.text);
        const double bound = in < MOST_POSITIONS ? 5 * 3 - 5 * 1 : 5 * 3;
        must(!report.exact && fabs(report.bound - bound) < 1e-6, "bound %g", report.bound);
        must(!mskp_constants_plan(c, &plan, NULL, &err), "%s", err.text);
        must(!mskp_constants_apply(c, plan, set, &err), "%s", err.text);
        must(number[4][0] == 5 * 3 + 1, "bias %g", (double)number[4][0]);
        mskp_plan_destroy(plan);
        mskp_constants_destroy(c);
        mskp_graph_destroy(g);
    }
}
END_TEST

/* More taps than a block of memory may hold numbers. */
START_TEST(taps)
{
    padded p;
    mskp_constants_report report;
    mskp_error err;
    padded_make(&p, 2, 129, 129, 0, false);
    const mskp_status status = padded_report(&p, &report, &err);
    must(status == MSKP_ERROR_NO_MEMORY &&
             !strcmp(err.text, "the allocator returned NULL while looking for constants"),
         "status %d: %s", (int)status, err.text);
    for (int i = 0; i < 2 * 129 * 129; i++) must(fabsf(p.weight[i]) == 1, "weight %d", i);
    padded_free(&p);
}
END_TEST

START_TEST(sets)
{
    enum { SETS = 64, FIT = 63 }; /* two views for each of two parameters and each set */
    const size_t four[1] = {4};
    float number[SETS][4];
    mskp_tensor view[SETS];
    mskp_move move[SETS];
    uint8_t keep[4] = {1, 0, 0, 1};
    mskp_plan *plan;
    mskp_error err;
    mskp_graph *graph = new_graph();
    const mskp_value v = mskp_fresh(graph, "v", 4, 0, NULL);
    mskp_bind(graph, mskp_parameter(graph, "p", 1, four), 0, MSKP_ROLE_FILTER, v);
    must(!mskp_graph_finish(graph, &err), "%s", err.text);
    must(!mskp_plan_create(graph, mask_of(4, keep), &plan, NULL, &err), "%s", err.text);
    for (int s = 0; s < SETS; s++) {
        for (int i = 0; i < 4; i++) number[s][i] = (float)i;
        view[s] = (mskp_tensor){.data = number[s]};
        move[s] = (mskp_move){{1, &view[s]}, MSKP_INIT};
    }
    must(mskp_plan_cut(plan, SETS, move, &err) == MSKP_ERROR_UNSUPPORTED, "too many sets");
    must(!strcmp(err.text, "64 sets of 1 parameters are too many"), "%s", err.text);
    for (int s = 0; s < SETS; s++) must(number[s][1] == 1 && !view[s].ndim, "set %d was cut", s);
    must(!mskp_plan_cut(plan, FIT, move, &err), "%s", err.text);
    for (int s = 0; s < FIT; s++) must(number[s][1] == 3, "set %d was not cut", s);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(graph);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("limits");
    TCase *tests = tcase_create("limits");
    tcase_add_test(tests, lengths);
    tcase_add_test(tests, axes);
    tcase_add_test(tests, values);
    tcase_add_test(tests, channels);
    tcase_add_test(tests, ties);
    tcase_add_test(tests, families);
    tcase_add_test(tests, memory);
    tcase_add_test(tests, positions);
    tcase_add_test(tests, positions_of_a_branch);
    tcase_add_test(tests, taps);
    tcase_add_test(tests, sets);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures != 0;
}

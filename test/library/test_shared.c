/*
 * One parameter that two operators use: whatever the two say of its axes must agree, or the
 * channels must stay.
 *
 * Every pair of operators, in both orders, shares a parameter of a random shape. What each operator
 * reads is made by a layer of its own, and a layer of its own reads what it makes, so that all
 * channels may be removed where nothing forbids it. Random masks are planned, and the small network
 * is described anew from the small shapes alone, by the words of the header (the number of groups
 * is what the input has over what one group of the weight reads, and so on). The library must
 * accept the description, and it must give each value as many channels as the plan says.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id/by_id.h"
#include "interpreter/trial.h"

/* ---- Operators that use one parameter ---- */

typedef enum kind {
    CONV,
    CONV_TIED,
    CONV_WHOLE,
    TRANSPOSED,
    TRANSPOSED_TIED,
    TRANSPOSED_WHOLE,
    LINEAR,
    EMBEDDING,
    OPERAND_0,
    OPERAND_1,
    ATTENTION_QUERY,
    ATTENTION_VALUE,
    ATTENTION_OUTPUT,
    LSTM_INPUT,
    LSTM_HIDDEN,
    ATTACHED,
    BOUND_0,
    BOUND_1,
    KINDS
} kind;

static const char *const NAME[KINDS] = {"conv",
                                        "conv, groups tied",
                                        "conv, groups whole",
                                        "transposed",
                                        "transposed, groups tied",
                                        "transposed, groups whole",
                                        "linear",
                                        "embedding",
                                        "operand of axis 0",
                                        "operand of axis 1",
                                        "attention's query",
                                        "attention's value",
                                        "attention's output",
                                        "LSTM's input weight",
                                        "LSTM's hidden weight",
                                        "attached",
                                        "bound on axis 0",
                                        "bound on axis 1"};

/* Does the kind take a weight with one kernel axis, or one without? */
static bool has_kernel(kind k)
{
    return k <= TRANSPOSED_WHOLE;
}

static bool any_form(kind k)
{
    return k >= ATTACHED || k == OPERAND_0 || k == OPERAND_1;
}

/* The network: for each of the two operators a layer before and a layer behind. */
typedef struct network {
    mskp_graph *graph;
    const mskp_graph *was; /* NULL: described for the first time; else the small shapes are its */
    size_t rows, columns, kernel; /* of the shared parameter; kernel 0: no such axis */
    mskp_param shared;
    size_t groups[2];
    int params, values;
} network;

static size_t length_of(const network *n, const char *name, uint32_t axis, size_t first)
{
    size_t shape[MSKP_MAX_DIMS];
    if (!n->was) return first;
    const mskp_param p = mskp_param_find(n->was, name);
    REQUIRE(axis < mskp_param_shape(n->was, p, shape), "%s", name);
    return shape[axis];
}

static mskp_param matrix(network *n, const char *name, size_t rows, size_t columns)
{
    const size_t shape[2] = {length_of(n, name, 0, rows), length_of(n, name, 1, columns)};
    return mskp_parameter(n->graph, name, 2, shape);
}

static mskp_param kernel(network *n, const char *name, size_t rows, size_t columns)
{
    const size_t shape[3] = {length_of(n, name, 0, rows), length_of(n, name, 1, columns), 1};
    return mskp_parameter(n->graph, name, 3, shape);
}

static size_t channels_of(const network *n, mskp_value v)
{
    size_t channels;
    mskp_value_shape(n->graph, v, &channels, NULL);
    return channels;
}

/* The names of the i-th operator's own parameters. */
static const char *own(int i, const char *what)
{
    static char names[8][24];
    static int next;
    char *name = names[next++ % 8];
    snprintf(name, 24, "%s%d", what, i);
    return name;
}

/* `channels` channels that may be removed, in space or without. */
static mskp_value made(network *n, int i, size_t channels, bool space)
{
    const size_t length = 4;
    const mskp_value x = mskp_input(n->graph, own(i, "x"), 2, 1, &length);
    if (space)
        return mskp_conv(n->graph, own(i, "before"), x,
                         &(mskp_conv_desc){.weight = kernel(n, own(i, "in"), channels, 2)});
    return mskp_linear(n->graph, own(i, "before"), x, matrix(n, own(i, "in"), channels, 2),
                       (mskp_param){0});
}

static mskp_value conv(network *n, int i, kind k)
{
    const bool transposed = k >= TRANSPOSED;
    const int form = (int)k - (transposed ? TRANSPOSED : CONV);
    const size_t rows = length_of(n, "shared", 0, n->rows),
                 columns = length_of(n, "shared", 1, n->columns);
    size_t groups = form ? n->groups[i] : 1;
    const size_t reads = transposed ? n->rows : n->columns * groups;
    const mskp_value in = made(n, i, reads, true);
    /* As the header says of mskp_plan_param_kept. */
    if (n->was && form)
        groups = transposed ? channels_of(n, (mskp_value){0}) : channels_of(n, in) / columns;
    if (n->was && form && transposed) {
        size_t out;
        mskp_value_shape(n->was, mskp_value_find(n->was, own(i, "op")), &out, NULL);
        groups = out / columns;
    }
    (void)rows;
    const mskp_conv_desc desc = {.weight = n->shared,
                                 .groups = groups,
                                 .grouping = form == 2   ? MSKP_GROUPING_WHOLE
                                             : form == 1 ? MSKP_GROUPING_TIED
                                                         : MSKP_GROUPING_AUTO};
    return transposed ? mskp_conv_transposed(n->graph, own(i, "op"), in, &desc)
                      : mskp_conv(n->graph, own(i, "op"), in, &desc);
}

static mskp_value attention(network *n, int i, kind k)
{
    const size_t dim = 1, heads = k == ATTENTION_OUTPUT ? n->columns : n->rows;
    const size_t reads = k == ATTENTION_OUTPUT ? 3 : n->columns;
    const mskp_value in = made(n, i, reads, false);
    mskp_attention_desc d = {.head_dim = dim};
    d.query = k == ATTENTION_QUERY ? n->shared : matrix(n, own(i, "q"), heads, reads);
    d.key = matrix(n, own(i, "k"), heads, reads);
    d.value = k == ATTENTION_VALUE ? n->shared : matrix(n, own(i, "v"), heads, reads);
    d.output = k == ATTENTION_OUTPUT ? n->shared : matrix(n, own(i, "o"), 3, heads);
    d.heads = heads;
    if (n->was) {
        char name[32];
        snprintf(name, sizeof name, "%s.heads", own(i, "op"));
        mskp_value_shape(n->was, mskp_value_find(n->was, name), &d.heads, NULL);
    }
    return mskp_attention(n->graph, own(i, "op"), in, &d);
}

static mskp_value lstm(network *n, int i, kind k)
{
    const size_t units = n->rows / 4, reads = k == LSTM_INPUT ? n->columns : 3;
    const mskp_value in = made(n, i, reads, false);
    const mskp_recurrent_params p = {
        .input = k == LSTM_INPUT ? n->shared : matrix(n, own(i, "wi"), 4 * units, reads),
        .hidden = k == LSTM_HIDDEN ? n->shared : matrix(n, own(i, "wh"), 4 * units, units)};
    return mskp_recurrent(n->graph, own(i, "op"), in, &(mskp_recurrent_desc){.params = &p});
}

static mskp_value operate(network *n, int i, kind k)
{
    const size_t length = 4;
    mskp_value v = {0};
    switch (k) {
    case LINEAR:
        return mskp_linear(n->graph, own(i, "op"), made(n, i, n->columns, false), n->shared,
                           (mskp_param){0});
    case EMBEDDING:
        return mskp_embedding(n->graph, own(i, "op"), n->shared, 1, &length);
    case OPERAND_0:
    case OPERAND_1:
        return mskp_param_operand(n->graph, own(i, "op"), n->shared, k == OPERAND_1,
                                  MSKP_ROLE_FILTER, 1, &length);
    case ATTENTION_QUERY:
    case ATTENTION_VALUE:
    case ATTENTION_OUTPUT:
        return attention(n, i, k);
    case LSTM_INPUT:
    case LSTM_HIDDEN:
        return lstm(n, i, k);
    case ATTACHED:
        v = made(n, i, 3, false);
        mskp_attach(n->graph, n->shared, v);
        return v;
    case BOUND_0:
    case BOUND_1:
        v = made(n, i, k == BOUND_0 ? n->rows : n->columns, false);
        mskp_bind(n->graph, n->shared, k == BOUND_1, MSKP_ROLE_CONSUMER, v);
        return v;
    default:
        return conv(n, i, k);
    }
}

static void behind(network *n, int i, mskp_value v)
{
    const mskp_value pooled =
        mskp_pool(n->graph, own(i, "pool"), v, &(mskp_pool_desc){.kind = MSKP_POOL_GLOBAL_MAX});
    mskp_output(n->graph,
                mskp_linear(n->graph, own(i, "y"), pooled,
                            matrix(n, own(i, "out"), 2, channels_of(n, v)), (mskp_param){0}));
}

static mskp_status describe(network *n, const kind k[2], mskp_error *err)
{
    const size_t shape[3] = {length_of(n, "shared", 0, n->rows),
                             length_of(n, "shared", 1, n->columns), n->kernel};
    n->graph = mskp_graph_create(NULL);
    n->shared = mskp_parameter(n->graph, "shared", n->kernel ? 3 : 2, shape);
    for (int i = 0; i < 2; i++) behind(n, i, operate(n, i, k[i]));
    return mskp_graph_finish(n->graph, err);
}

/* ---- The law ---- */

typedef struct tally {
    size_t networks, plans, removed;
} tally;

static void require_fits(const network *n, const mskp_graph *small, const kind k[2])
{
    network again = *n;
    mskp_error err = {0};
    again.was = small;
    REQUIRE(describe(&again, k, &err) == MSKP_OK, "%s and %s: the small network is refused: %s",
            NAME[k[0]], NAME[k[1]], err.text);
    const size_t values = mskp_graph_counts(small).values;
    REQUIRE(mskp_graph_counts(again.graph).values == values, "values");
    for (uint32_t v = 1; v <= values; v++) {
        size_t a, b;
        mskp_value_shape(small, (mskp_value){v}, &a, NULL);
        mskp_value_shape(again.graph, (mskp_value){v}, &b, NULL);
        REQUIRE(a == b, "%s and %s: %s keeps %zu channels, described anew it has %zu", NAME[k[0]],
                NAME[k[1]], mskp_value_name(small, (mskp_value){v}), a, b);
    }
    mskp_graph_destroy(again.graph);
}

static void try_pair(const kind k[2], uint64_t seed, tally *y)
{
    rng r = rng_make(seed);
    mskp_error err = {0};
    trial_seed = seed;
    network n = {.kernel = has_kernel(k[0]) || has_kernel(k[1]) ? 1 : 0,
                 .rows = 4 * rng_from(&r, 1, 2),
                 .columns = rng_from(&r, 1, 4)};
    if (k[0] == LSTM_HIDDEN || k[1] == LSTM_HIDDEN) n.columns = n.rows / 4;
    for (int i = 0; i < 2; i++) {
        const size_t of = rng_chance(&r, 0.5) ? 2 : 4;
        n.groups[i] = of;
    }
    if (describe(&n, k, &err)) { /* sizes do not fit: a pair that cannot be */
        mskp_graph_destroy(n.graph);
        return;
    }
    y->networks++;
    const size_t units = mskp_graph_counts(n.graph).units;
    uint8_t *keep = calloc(units + 1, 1);
    for (int mask = 0; mask < 8; mask++) {
        mskp_plan *plan;
        mskp_graph *small;
        size_t removed = 0;
        for (size_t u = 0; u < units; u++) {
            keep[u] = mask == 0 ? u != rng_below(&r, units) : rng_chance(&r, 0.6);
            removed += !keep[u];
        }
        if (mskp_plan_create(n.graph, mask_of(units, keep), &plan, &small, NULL)) continue;
        y->plans++;
        y->removed += removed;
        require_fits(&n, small, k);
        mskp_plan_destroy(plan);
        mskp_graph_destroy(small);
    }
    free(keep);
    mskp_graph_destroy(n.graph);
}

START_TEST(all_pairs)
{
    tally y = {0};
    for (int a = 0; a < KINDS; a++)
        for (int b = 0; b < KINDS; b++) {
            const kind k[2] = {(kind)a, (kind)b};
            if (has_kernel(k[0]) != has_kernel(k[1]) && !any_form(k[0]) && !any_form(k[1]))
                continue;
            if (any_form(k[0]) && any_form(k[1]) && (a + b) % 2) continue;
            for (uint64_t s = 0; s < 12; s++)
                try_pair(k, test_seed() * 1000000 + ((uint64_t)a * KINDS + (uint64_t)b) * 100 + s,
                         &y);
        }
    if (getenv("MSKP_TEST_VERBOSE"))
        printf("%zu networks, %zu plans, %zu units removed\n", y.networks, y.plans, y.removed);
    REQUIRE(y.networks > 500 && y.plans > 1000 && y.removed > 1000, "%zu networks, %zu plans, %zu",
            y.networks, y.plans, y.removed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shared");
    TCase *tests = tcase_create("shared");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, all_pairs);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

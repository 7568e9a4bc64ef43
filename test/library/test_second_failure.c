/*
 * Allocations that fail while an operator ties or pins what another operator has bound.
 *
 * test_alloc.c fails each allocation of each operator. A second operator that uses the same
 * parameter ties lists and pins channels, which needs memory at places of its own. Each scenario
 * here describes such a pair. It runs at many fill levels of the record of ties and of the text of
 * names, so that each array grows at each call, and each of its allocations fails in turn.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id/by_id.h"
#include "guarded_memory/guarded_memory.h"

static mskp_param param(mskp_graph *g, const char *name, uint32_t ndim, size_t a, size_t b,
                        size_t c)
{
    return mskp_parameter(g, name, ndim, (size_t[]){a, b, c});
}

static mskp_value fresh(mskp_graph *g, const char *name, size_t channels)
{
    return mskp_fresh(g, name, channels, 1, (size_t[]){5});
}

static void embedding_first(mskp_graph *g)
{
    mskp_embedding(g, NULL, param(g, "table", 2, 4, 3, 0), 0, NULL);
}

static void operand_first(mskp_graph *g)
{
    mskp_param_operand(g, NULL, param(g, "operand", 1, 3, 0, 0), 0, MSKP_ROLE_FILTER, 0, NULL);
}

/* A table whose entries are the outputs of a linear layer, and whose channels are its inputs. */
static void tied_embedding(mskp_graph *g)
{
    const mskp_param table = param(g, "table", 2, 4, 3, 0);
    mskp_linear(g, NULL, fresh(g, "in", 3), table, (mskp_param){0});
    mskp_embedding(g, NULL, table, 0, NULL);
}

static void operand_of_weight(mskp_graph *g)
{
    const mskp_param weight = param(g, "weight", 2, 4, 3, 0);
    mskp_linear(g, NULL, fresh(g, "in", 3), weight, (mskp_param){0});
    mskp_param_operand(g, NULL, weight, 1, MSKP_ROLE_FILTER, 0, NULL);
}

static void single_slope(mskp_graph *g)
{
    const mskp_param slope = param(g, "slope", 1, 1, 0, 0);
    mskp_bind(g, slope, 0, MSKP_ROLE_FILTER, fresh(g, "one", 1));
    mskp_prelu(g, NULL, fresh(g, "in", 4), slope);
}

static void bound_after_attached(mskp_graph *g)
{
    const mskp_param p = param(g, "p", 1, 4, 0, 0);
    mskp_attach(g, p, fresh(g, "d", 2));
    mskp_bind(g, p, 0, MSKP_ROLE_FILTER, fresh(g, "c", 4));
}

static void attached_after_bound(mskp_graph *g)
{
    const mskp_param p = param(g, "p", 1, 4, 0, 0);
    mskp_bind(g, p, 0, MSKP_ROLE_FILTER, fresh(g, "c", 4));
    mskp_attach(g, p, fresh(g, "d", 2));
}

static void bound_taps(mskp_graph *g)
{
    const mskp_conv_desc conv = {.weight = param(g, "weight", 3, 2, 4, 3)};
    mskp_bind(g, conv.weight, 2, MSKP_ROLE_FILTER, fresh(g, "taps", 3));
    mskp_conv(g, NULL, fresh(g, "in", 4), &conv);
}

static void bound_depthwise(mskp_graph *g)
{
    const mskp_conv_desc conv = {.weight = param(g, "weight", 3, 4, 1, 3), .groups = 4};
    mskp_bind(g, conv.weight, 1, MSKP_ROLE_FILTER, fresh(g, "one", 1));
    mskp_conv(g, NULL, fresh(g, "in", 4), &conv);
}

static void attention_twice(mskp_graph *g)
{
    const mskp_value in = fresh(g, "in", 4);
    const mskp_attention_desc desc = {.query = param(g, "qkv", 2, 12, 4, 0),
                                      .query_bias = param(g, "bias", 1, 12, 0, 0),
                                      .output = param(g, "out", 2, 4, 4, 0),
                                      .heads = 2,
                                      .head_dim = 2,
                                      .packed = 1};
    mskp_attention(g, "d", in, &desc);
    mskp_attention(g, "c", fresh(g, "other", 4), &desc);
}

static void recurrent(mskp_graph *g)
{
    const mskp_recurrent_params params = {.input = param(g, "input", 2, 6, 4, 0),
                                          .hidden = param(g, "hidden", 2, 6, 2, 0)};
    mskp_recurrent(
        g, "r", fresh(g, "in", 4),
        &(mskp_recurrent_desc){.kind = MSKP_RECURRENT_GRU, .layers = 1, .params = &params});
}

static const struct {
    const char *name;
    void (*describe)(mskp_graph *g);
} scenarios[] = {{"embedding first", embedding_first},
                 {"operand first", operand_first},
                 {"tied embedding", tied_embedding},
                 {"operand of a weight", operand_of_weight},
                 {"single slope", single_slope},
                 {"bound after attached", bound_after_attached},
                 {"attached after bound", attached_after_bound},
                 {"bound taps", bound_taps},
                 {"bound depthwise", bound_depthwise},
                 {"attention twice", attention_twice},
                 {"recurrent", recurrent}};

/* Describes a scenario with so many ties, and so long a name, before it. Returns whether an
 * allocation has failed. */
static bool fails(size_t scenario, size_t ties, size_t length, size_t fail_at)
{
    char name[200];
    heap h = {.fail_at = fail_at};
    mskp_error err = {0};
    const mskp_services services = heap_services(&h);
    mskp_graph *g = mskp_graph_create(&services);
    if (g) {
        memset(name, 'x', length);
        name[length] = 0;
        const mskp_value a = mskp_fresh(g, name, 1, 0, NULL);
        const mskp_value b = mskp_fresh(g, "b", 1, 0, NULL);
        for (size_t i = 0; i < ties; i++) mskp_tie(g, a, b);
        scenarios[scenario].describe(g);
        h.fail_at = 0; /* what is described is either complete, or has failed */
        const mskp_status status = mskp_graph_finish(g, &err);
        must(status == (h.fired ? MSKP_ERROR_NO_MEMORY : MSKP_OK),
             "%s, %zu ties, allocation %zu: %d, %s", scenarios[scenario].name, ties, fail_at,
             (int)status, err.text);
        must((mskp_graph_counts(g).values != 0) == !h.fired, "a failed graph is finished");
    } else {
        must(h.fired, "no graph");
    }
    mskp_graph_destroy(g);
    must(!h.bad && !h.live, "%s: %s, %zu blocks are left", scenarios[scenario].name,
         h.bad ? h.bad : "", h.live);
    return h.fired;
}

START_TEST(ties_and_pins)
{
    size_t failures = 0;
    for (size_t s = 0; s < sizeof scenarios / sizeof *scenarios; s++) {
        for (size_t ties = 0; ties <= 33; ties++)
            for (size_t at = 1; fails(s, ties, 1, at); at++) failures++;
        for (size_t length = 1; length < 130; length++)
            for (size_t at = 1; fails(s, 0, length, at); at++) failures++;
    }
    printf("%zu failed allocations\n", failures);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("second failure");
    TCase *tests = tcase_create("second failure");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, ties_and_pins);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

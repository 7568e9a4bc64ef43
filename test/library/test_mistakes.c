/* What hosts get wrong in ways that would go unnoticed: each is refused, and nothing changes. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id/by_id.h"

enum { W = 1, GAMMA, FC, PARAMS = FC };

typedef struct host {
    mskp_graph *graph;
    float w[12], gamma[4], fc[8], gradient[4];
    mskp_tensor values[PARAMS + 1], gradients[PARAMS + 1];
    mskp_error err;
} host;

static void set_up(host *h)
{
    memset(h, 0, sizeof *h);
    h->graph = mskp_graph_create(NULL);
    const mskp_param w = mskp_parameter(h->graph, "w", 2, (size_t[]){4, 3});
    const mskp_param gamma = mskp_parameter(h->graph, "gamma", 1, (size_t[]){4});
    const mskp_param fc = mskp_parameter(h->graph, "fc", 2, (size_t[]){2, 4});
    mskp_value v =
        mskp_linear(h->graph, "hidden", mskp_input(h->graph, "x", 3, 0, NULL), w, (mskp_param){0});
    v = mskp_norm(h->graph, "bn", v, &(mskp_norm_desc){.scale = gamma});
    mskp_output(h->graph, mskp_linear(h->graph, "out", v, fc, (mskp_param){0}));
    ck_assert_int_eq(mskp_graph_finish(h->graph, &h->err), MSKP_OK);
    for (int i = 0; i < 12; i++) h->w[i] = (float)i;
    for (int i = 0; i < 8; i++) h->fc[i] = (float)-i;
    for (int i = 0; i < 4; i++) h->gamma[i] = 1 + (float)i;
    h->values[W].data = h->w;
    h->values[GAMMA].data = h->gamma;
    h->values[FC].data = h->fc;
    h->gradients[GAMMA].data = h->gradient;
}

/* Refused with this status and these words, the host's memory as it was. */
#define REFUSED(h, call, expected, words)                                         \
    do {                                                                          \
        const host before = *(h);                                                 \
        ck_assert_int_eq(call, expected);                                         \
        ck_assert_msg(strstr((h)->err.text, words) != NULL, "%s", (h)->err.text); \
        (h)->err = before.err;                                                    \
        ck_assert_mem_eq(h, &before, sizeof before);                              \
    } while (0)

static const uint8_t KEEP[4] = {0, 1, 1, 0};

/* A set that is made for another number of parameters, by every call that takes one. */
START_TEST(sets_of_another_network)
{
    host h;
    mskp_plan *plan;
    double scores[4], value;
    const mskp_tensor *v;
    set_up(&h);
    v = h.values;
    ck_assert_int_eq(mskp_plan_create(h.graph, mask_of(4, KEEP), &plan, NULL, NULL), MSKP_OK);
    for (size_t params = 0; params < 6; params++) {
        char words[60];
        if (params == PARAMS) continue;
        snprintf(words, sizeof words, "made for %zu parameters, the network has 3", params);
#define OTHER(call) REFUSED(&h, call, MSKP_ERROR_OTHER_NETWORK, words)
        OTHER(mskp_score(h.graph, NULL, set_by_id(params, v), scores_of(4, scores), &h.err));
        OTHER(mskp_penalty_gradient(h.graph, mask_of(4, KEEP), NULL, 1, set_by_id(params, v),
                                    set_by_id(params, h.gradients), &h.err));
        OTHER(mskp_penalty_prox(h.graph, mask_of(4, KEEP), NULL, 1, set_by_id(params, v), &h.err));
        OTHER(mskp_penalty_deadline(h.graph, mask_of(4, KEEP), NULL, 1, set_by_id(params, v),
                                    &h.err));
        OTHER(mskp_penalty_zero(h.graph, mask_of(4, KEEP), NULL, set_by_id(params, v), &h.err));
        OTHER(mskp_penalty_value(h.graph, mask_of(4, KEEP), NULL, set_by_id(params, v), &value,
                                 &h.err));
        OTHER(mskp_plan_views(plan, set_by_id(params, v), set_by_id(params, h.gradients), &h.err));
        OTHER(cut_by_id(plan, params, 1, &(move_by_id){h.values, NULL}, &h.err));
    }
    mskp_plan_destroy(plan);
    mskp_graph_destroy(h.graph);
}
END_TEST

/* Tensors that a penalty or a cut does not touch, or that are not here, must fit all the same. */
START_TEST(what_is_said_is_checked)
{
    host h;
    mskp_plan *plan;
    set_up(&h);
    ck_assert_int_eq(mskp_plan_create(h.graph, mask_of(4, KEEP), &plan, NULL, NULL), MSKP_OK);
    h.values[FC].ndim = 2; /* the penalty is about gamma alone */
    h.values[FC].shape[0] = 2;
    h.values[FC].shape[1] = 5;
    REFUSED(&h,
            mskp_penalty_gradient(h.graph, mask_of(4, KEEP), NULL, 1, set_by_id(PARAMS, h.values),
                                  set_by_id(PARAMS, h.gradients), &h.err),
            MSKP_ERROR_BAD_SHAPE, "fc (values): axis 1 of the tensor has length 5, 4 is expected");
    h.values[FC].data = NULL; /* not here, but its shape is said */
    REFUSED(
        &h,
        mskp_penalty_prox(h.graph, mask_of(4, KEEP), NULL, 1, set_by_id(PARAMS, h.values), &h.err),
        MSKP_ERROR_BAD_SHAPE, "fc (values): axis 1");
    REFUSED(&h, cut_by_id(plan, PARAMS, 1, &(move_by_id){h.values, NULL}, &h.err),
            MSKP_ERROR_BAD_SHAPE, "fc: axis 1");
    h.values[FC] = (mskp_tensor){.elements = 9};
    REFUSED(&h, cut_by_id(plan, PARAMS, 1, &(move_by_id){h.values, NULL}, &h.err),
            MSKP_ERROR_BAD_SHAPE, "fc: the tensor has 9 elements");
    h.values[FC] = (mskp_tensor){.elements = 8};
    h.gradients[GAMMA] = (mskp_tensor){.ndim = 1, .shape = {4}, .elements = 4};
    h.gradients[W].elements = 7;
    REFUSED(&h,
            mskp_penalty_gradient(h.graph, mask_of(4, KEEP), NULL, 1, set_by_id(PARAMS, h.values),
                                  set_by_id(PARAMS, h.gradients), &h.err),
            MSKP_ERROR_BAD_SHAPE, "w (gradients): the tensor has 7 elements");
    h.gradients[W].elements = 0;
    const move_by_id both[2] = {{h.values, NULL}, {h.gradients, NULL}};
    ck_assert_int_eq(cut_by_id(plan, PARAMS, 2, both, &h.err), MSKP_OK);
    ck_assert_uint_eq(h.gradients[GAMMA].shape[0], 2); /* what was said is corrected, */
    ck_assert_uint_eq(h.gradients[GAMMA].elements, 2);
    ck_assert_ptr_null(h.gradients[GAMMA].data);
    ck_assert_uint_eq(h.values[FC].elements, 4);
    ck_assert_uint_eq(h.gradients[W].ndim, 0); /* what was not is left alone */
    mskp_plan_destroy(plan);
    mskp_graph_destroy(h.graph);
}
END_TEST

/* So must targets, also those of tensors that are not here. */
START_TEST(what_is_said_of_targets_is_checked)
{
    host h;
    mskp_plan *plan;
    mskp_tensor none[PARAMS + 1] = {{0}}, to[PARAMS + 1] = {{0}};
    const move_by_id move = {none, to};
    set_up(&h);
    ck_assert_int_eq(mskp_plan_create(h.graph, mask_of(4, KEEP), &plan, NULL, NULL), MSKP_OK);
    to[FC] = (mskp_tensor){.ndim = 2, .shape = {2, 4}};
    REFUSED(&h, cut_by_id(plan, PARAMS, 1, &move, &h.err), MSKP_ERROR_BAD_SHAPE,
            "fc (to): axis 1 of the tensor has length 4, 2 is expected");
    ck_assert_int_eq(restore_by_id(plan, PARAMS, 1, &move, &h.err), MSKP_OK);
    to[FC].shape[1] = 2;
    ck_assert_int_eq(cut_by_id(plan, PARAMS, 1, &move, &h.err), MSKP_OK);
    REFUSED(&h, restore_by_id(plan, PARAMS, 1, &move, &h.err), MSKP_ERROR_BAD_SHAPE,
            "fc (to): axis 1 of the tensor has length 2, 4 is expected");
    mskp_plan_destroy(plan);
    mskp_graph_destroy(h.graph);
}
END_TEST

/* A host that says how much it allocated is told when that is another tensor's size. */
START_TEST(tensors_of_another_size)
{
    host h;
    mskp_plan *plan;
    double scores[4];
    set_up(&h);
    ck_assert_int_eq(mskp_plan_create(h.graph, mask_of(4, KEEP), &plan, NULL, NULL), MSKP_OK);
    h.values[W].elements = 12;
    h.values[GAMMA].elements = 5;
    REFUSED(
        &h, mskp_score(h.graph, NULL, set_by_id(PARAMS, h.values), scores_of(4, scores), &h.err),
        MSKP_ERROR_BAD_SHAPE, "gamma (values): the tensor has 5 elements, its shape asks for 4");
    REFUSED(&h, cut_by_id(plan, PARAMS, 1, &(move_by_id){h.values, NULL}, &h.err),
            MSKP_ERROR_BAD_SHAPE, "gamma: the tensor has 5 elements");
    h.values[GAMMA].elements = 4;
    mskp_tensor small[PARAMS + 1] = {{0}};
    ck_assert_int_eq(
        mskp_plan_views(plan, set_by_id(PARAMS, h.values), set_by_id(PARAMS, small), &h.err),
        MSKP_OK);
    ck_assert_int_eq(cut_by_id(plan, PARAMS, 1, &(move_by_id){h.values, NULL}, &h.err), MSKP_OK);
    ck_assert_mem_eq(small, h.values, sizeof small);
    ck_assert_uint_eq(small[W].elements, 6); /* corrected where it was said */
    ck_assert_uint_eq(small[GAMMA].elements, 2);
    ck_assert_uint_eq(small[FC].elements, 0);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(h.graph);
}
END_TEST

START_TEST(shape_or_strides_without_ndim)
{
    host h;
    mskp_plan *plan;
    set_up(&h);
    ck_assert_int_eq(mskp_plan_create(h.graph, mask_of(4, KEEP), &plan, NULL, NULL), MSKP_OK);
    h.values[W].stride[0] = 1;
    REFUSED(&h, cut_by_id(plan, PARAMS, 1, &(move_by_id){h.values, NULL}, &h.err),
            MSKP_ERROR_BAD_SHAPE, "w: a shape (0) or stride (1)");
    h.values[W].stride[0] = 0;
    h.values[W].shape[1] = 77;
    REFUSED(&h, cut_by_id(plan, PARAMS, 1, &(move_by_id){h.values, NULL}, &h.err),
            MSKP_ERROR_BAD_SHAPE, "w: a shape (77)");
    mskp_plan_destroy(plan);
    mskp_graph_destroy(h.graph);
}
END_TEST

START_TEST(values_as_their_own_gradients)
{
    host h;
    set_up(&h);
    REFUSED(&h,
            mskp_penalty_gradient(h.graph, mask_of(4, KEEP), NULL, 1, set_by_id(PARAMS, h.values),
                                  set_by_id(PARAMS, h.values), &h.err),
            MSKP_ERROR_OVERLAP, "gamma: values and gradients");
    mskp_graph_destroy(h.graph);
}
END_TEST

START_TEST(a_threshold_that_is_not_asked)
{
    host h;
    const double scores[4] = {1, 2, 3, 4};
    uint8_t keep[4] = {9, 9, 9, 9};
    set_up(&h);
    REFUSED(&h,
            mskp_select(h.graph, scores_of(4, scores),
                        &(mskp_rule){.threshold = 3.5, .remove_fraction = 0.25}, mask_of(4, keep),
                        NULL, &h.err),
            MSKP_ERROR_BAD_ARGUMENT, "threshold is 3.5, but use_threshold is 0");
    ck_assert_uint_eq(keep[0], 9);
    mskp_graph_destroy(h.graph);
}
END_TEST

START_TEST(scores_that_say_nothing)
{
    host h;
    const double scores[4] = {INFINITY, INFINITY, INFINITY, INFINITY};
    uint8_t keep[4];
    set_up(&h);
    REFUSED(&h,
            mskp_select(h.graph, scores_of(4, scores), &(mskp_rule){.max_macs = 10},
                        mask_of(4, keep), NULL, &h.err),
            MSKP_ERROR_NO_SOLUTION,
            "max_macs is 10, the least that can be had is 20 (4 of 4 units");
    mskp_graph_destroy(h.graph);
}
END_TEST

START_TEST(sentences_name_the_call)
{
    mskp_error err;
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_output(g, (mskp_value){0});
    ck_assert_int_eq(mskp_graph_finish(g, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "output: no value"));
    mskp_graph_destroy(g);
    g = mskp_graph_create(NULL);
    mskp_combine(g, "sum", MSKP_COMBINE_ADD, 2, NULL);
    ck_assert_int_eq(mskp_graph_finish(g, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "sum: values is NULL");
    mskp_graph_destroy(g);
}
END_TEST

/* Which of several it is. */
START_TEST(nulls_are_named)
{
    host h;
    mskp_plan *plan, *no_plan = NULL;
    mskp_constants *c, *no_constants = NULL;
    mskp_constants_report r = {.bound = 0};
    mskp_coupling info;
    mskp_tensor view = {0};
    const mskp_rule rule = {.remove_fraction = 0.5};
    const uint32_t index[2] = {0, 1};
    double scores[4] = {0};
    uint8_t keep[4] = {0};
    uint32_t map[4] = {0};
    size_t n = 0;
    set_up(&h);
    const mskp_graph *g = h.graph;
    mskp_tensor *v = h.values;
    ck_assert_int_eq(mskp_plan_create(g, mask_of(4, KEEP), &plan, NULL, NULL), MSKP_OK);
    ck_assert_int_eq(create_constants(g, 4, KEEP, NULL, PARAMS, v, keep, &c, NULL), MSKP_OK);
#define MISSING(call, name)                              \
    do {                                                 \
        ck_assert_int_eq(call, MSKP_ERROR_BAD_ARGUMENT); \
        ck_assert_str_eq(h.err.text, name " is NULL");   \
    } while (0)
    MISSING(mskp_value_coupling(NULL, (mskp_value){1}, &info, &h.err), "graph");
    MISSING(mskp_value_coupling(g, (mskp_value){1}, NULL, &h.err), "coupling");
    MISSING(mskp_param_view(NULL, (mskp_param){1}, NULL, NULL, MSKP_DTYPE_F32, &view, &h.err),
            "graph");
    MISSING(mskp_param_view(g, (mskp_param){1}, NULL, NULL, MSKP_DTYPE_F32, NULL, &h.err), "view");
    MISSING(mskp_select(g, scores_of(4, NULL), &rule, mask_of(4, keep), NULL, &h.err), "scores");
    MISSING(mskp_select(g, scores_of(4, scores), NULL, mask_of(4, keep), NULL, &h.err), "rule");
    MISSING(mskp_select(g, scores_of(4, scores), &rule, (mskp_mask){0}, NULL, &h.err), "keep");
    MISSING(mskp_mask_write(g, (mskp_mask){0}, 0, NULL, &n, &h.err), "keep");
    MISSING(mskp_mask_write(g, mask_of(4, keep), 0, NULL, NULL, &h.err), "length");
    MISSING(mskp_mask_read(g, 0, NULL, mask_of(4, keep), &h.err), "text");
    MISSING(mskp_mask_read(g, 0, "", (mskp_mask){0}, &h.err), "keep");
    MISSING(mskp_mask_compose(g, (mskp_mask){0}, mask_of(2, keep), mask_of(4, keep), &h.err),
            "keep");
    MISSING(mskp_mask_compose(g, mask_of(4, KEEP), (mskp_mask){0}, mask_of(4, keep), &h.err),
            "small_keep");
    MISSING(mskp_mask_compose(g, mask_of(4, KEEP), mask_of(2, keep), (mskp_mask){0}, &h.err),
            "both");
    MISSING(create_constants(g, 4, NULL, NULL, PARAMS, v, keep, &c, &h.err), "keep");
    MISSING(create_constants(g, 4, KEEP, NULL, PARAMS, v, keep, NULL, &h.err), "constants");
    MISSING(mskp_constants_consumer(no_constants, 0, &r, &h.err), "constants");
    MISSING(mskp_constants_consumer(c, 0, NULL, &h.err), "report");
    MISSING(mskp_constants_total(no_constants, &r, &h.err), "constants");
    MISSING(mskp_constants_total(c, NULL, &h.err), "total");
    MISSING(get_carriers(no_constants, 4, keep, &h.err), "constants");
    MISSING(get_carriers(c, 4, NULL, &h.err), "carrier");
    MISSING(apply_constants(no_constants, PARAMS, v, &h.err), "constants");
    MISSING(mskp_plan_param_map(no_plan, (mskp_param){1}, 0, 4, map, &h.err), "plan");
    MISSING(mskp_plan_param_map(plan, (mskp_param){1}, 0, 4, NULL, &h.err), "map");
    MISSING(mskp_plan_value_map(no_plan, (mskp_value){1}, 4, map, &h.err), "plan");
    MISSING(mskp_plan_value_map(plan, (mskp_value){1}, 4, NULL, &h.err), "map");
    MISSING(mskp_plan_views(no_plan, set_by_id(PARAMS, v), set_by_id(PARAMS, v), &h.err), "plan");
    MISSING(mskp_plan_views(plan, set_by_id(PARAMS, v), set_by_id(PARAMS, NULL), &h.err), "small");
    MISSING(mskp_gather(NULL, NULL, 0, 2, index, v, &h.err), "from");
    MISSING(mskp_gather(NULL, v, 0, 2, index, NULL, &h.err), "to");
    MISSING(mskp_gather(NULL, v, 0, 2, NULL, v, &h.err), "index");
    mskp_plan_destroy(plan);
    mskp_constants_destroy(c);
    mskp_graph_destroy(h.graph);
}
END_TEST

/* Which array is too long or too short. */
START_TEST(arrays_of_another_length_are_named)
{
    host h;
    double scores[5] = {0};
    uint8_t keep[5] = {0};
    set_up(&h);
#define LONG(call, name)                                                    \
    do {                                                                    \
        ck_assert_int_eq(call, MSKP_ERROR_OTHER_NETWORK);                   \
        ck_assert_str_eq(h.err.text, name " has 5 units, the graph has 4"); \
    } while (0)
    LONG(mskp_score(h.graph, NULL, set_by_id(PARAMS, h.values), scores_of(5, scores), &h.err),
         "scores");
    LONG(mskp_score_channels(h.graph, 0, NULL, MSKP_REDUCE_SUM, scores_of(5, scores), &h.err),
         "scores");
    LONG(mskp_select(h.graph, scores_of(5, scores), &(mskp_rule){.remove_fraction = 1},
                     mask_of(5, keep), NULL, &h.err),
         "scores");
    LONG(mskp_exact(h.graph, 0, mask_of(5, keep), &h.err), "exact");
    LONG(mskp_measure(h.graph, mask_of(5, keep), NULL, NULL, &h.err), "keep");
    LONG(mskp_mask_read(h.graph, 0, "", mask_of(5, keep), &h.err), "keep");
    LONG(mskp_penalty_prox(h.graph, mask_of(5, keep), NULL, 1, set_by_id(PARAMS, h.values), &h.err),
         "keep");
    mskp_constants *c;
    ck_assert_int_eq(create_constants(h.graph, 4, KEEP, NULL, PARAMS, h.values, keep, &c, NULL),
                     MSKP_OK);
    LONG(get_carriers(c, 5, keep, &h.err), "carriers");
    mskp_constants_destroy(c);
    mskp_graph_destroy(h.graph);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mistakes");
    TCase *tests = tcase_create("mistakes");
    tcase_add_test(tests, sets_of_another_network);
    tcase_add_test(tests, tensors_of_another_size);
    tcase_add_test(tests, what_is_said_is_checked);
    tcase_add_test(tests, what_is_said_of_targets_is_checked);
    tcase_add_test(tests, shape_or_strides_without_ndim);
    tcase_add_test(tests, values_as_their_own_gradients);
    tcase_add_test(tests, a_threshold_that_is_not_asked);
    tcase_add_test(tests, scores_that_say_nothing);
    tcase_add_test(tests, sentences_name_the_call);
    tcase_add_test(tests, nulls_are_named);
    tcase_add_test(tests, arrays_of_another_length_are_named);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

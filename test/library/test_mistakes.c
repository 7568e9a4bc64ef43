/* Mistakes of callers that would otherwise go unnoticed: each is refused, and nothing changes. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id/by_id.h"
#include "mskp/pruner.h"

enum { W = 1, GAMMA, FC, PARAMS = FC };

typedef struct caller {
    mskp_graph *graph;
    float w[12], gamma[4], fc[8], gradient[4];
    mskp_tensor values[PARAMS + 1], gradients[PARAMS + 1];
    mskp_error err;
} caller;

static void set_up(caller *h)
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

/* Refused with this status and these words, the caller's memory as it was. */
#define REFUSED(h, call, expected, words)                                         \
    do {                                                                          \
        const caller before = *(h);                                               \
        ck_assert_int_eq(call, expected);                                         \
        ck_assert_msg(strstr((h)->err.text, words) != NULL, "%s", (h)->err.text); \
        (h)->err = before.err;                                                    \
        ck_assert_mem_eq(h, &before, sizeof before);                              \
    } while (0)

static const uint8_t KEEP[4] = {0, 1, 1, 0};

/* Halves the network: step 0 is of the sparse stage, step 1 is masked, and then a cut is due. */
static const mskp_pruner_options HALVES = {.rule = {.remove_fraction = 0.5},
                                           .pull = MSKP_PULL_GRADIENT,
                                           .steps = 4,
                                           .sparse = 0.25,
                                           .sparse_strength = 0.5,
                                           .masked = 0.25};

/* A pruner before its first step, or before another one. */
static mskp_pruner *pruner_at(const caller *h, const mskp_pruner_options *options, int step)
{
    static float slopes[3][12];
    mskp_pruner *p = NULL;
    caller trained = *h; /* another set, so that the caller's stays as it is */
    mskp_tensor slope[PARAMS + 1] = {{0}};
    for (int i = 0; i < PARAMS; i++) slope[i + 1].data = slopes[i];
    trained.values[W].data = trained.w;
    trained.values[GAMMA].data = trained.gamma;
    trained.values[FC].data = trained.fc;
    const mskp_tensors values = set_by_id(PARAMS, trained.values);
    ck_assert_int_eq(mskp_pruner_create(h->graph, options, &p, NULL), MSKP_OK);
    for (int i = 0; i < step; i++) {
        ck_assert_int_eq(mskp_pruner_before_step(p, 0.25, values, set_by_id(PARAMS, slope), NULL),
                         MSKP_OK);
        ck_assert_int_eq(mskp_pruner_after_step(p, 0.25, values, NULL), MSKP_OK);
    }
    return p;
}

/* A set that is made for another number of parameters, by every call that takes one. */
START_TEST(sets_of_another_network)
{
    caller h;
    mskp_plan *plan;
    mskp_constants *constants, *made = NULL;
    const mskp_rule half = {.remove_fraction = 0.5};
    const double order[4] = {1, 2, 3, 4};
    double scores[4], value;
    const mskp_tensor *v;
    mskp_pruner_options after = HALVES;
    mskp_gauge gauge;
    mskp_pruner_gauges gauges;
    set_up(&h);
    v = h.values;
    after.pull = MSKP_PULL_PROXIMAL;
    mskp_pruner *const sparse = pruner_at(&h, &HALVES, 0), *const mask = pruner_at(&h, &HALVES, 1),
                       *const cut = pruner_at(&h, &HALVES, 2),
                       *const prox = pruner_at(&h, &after, 0);
    ck_assert_int_eq(
        mskp_pruner_before_step(prox, 0.25, set_by_id(PARAMS, v), set_by_id(0, NULL), NULL),
        MSKP_OK);
    ck_assert_int_eq(mskp_pruner_due(mask), MSKP_PRUNER_DUE_MASK);
    ck_assert_int_eq(mskp_pruner_due(cut), MSKP_PRUNER_DUE_CUT);
    ck_assert_int_eq(mskp_plan_create(h.graph, mask_of(4, KEEP), &plan, NULL, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_constants_create(h.graph, mask_of(4, KEEP), NULL, set_by_id(PARAMS, v),
                                           &constants, NULL),
                     MSKP_OK);
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
        OTHER(restore_by_id(plan, params, 1, &(move_by_id){h.values, h.gradients}, &h.err));
        OTHER(mskp_constants_create(h.graph, mask_of(4, KEEP), NULL, set_by_id(params, v), &made,
                                    &h.err));
        OTHER(mskp_constants_select(h.graph, scores_of(4, order), &half, NULL, set_by_id(params, v),
                                    &made, &h.err));
        OTHER(mskp_constants_apply(constants, plan, set_by_id(params, v), &h.err));
        OTHER(mskp_penalty_gauge(h.graph, mask_of(4, KEEP), NULL, set_by_id(params, v), &gauge,
                                 &h.err));
        const mskp_tensors wrong = set_by_id(params, v), slopes = set_by_id(params, h.gradients);
        OTHER(mskp_pruner_before_step(sparse, 0.25, wrong, slopes, &h.err));
        OTHER(mskp_pruner_before_step(sparse, 0.25, set_by_id(PARAMS, v), slopes, &h.err));
        OTHER(mskp_pruner_before_step(mask, 0.25, wrong, slopes, &h.err));
        OTHER(mskp_pruner_before_step(mask, 0.25, set_by_id(PARAMS, v), slopes, &h.err));
        OTHER(mskp_pruner_after_step(prox, 0.25, wrong, &h.err));
        OTHER(mskp_pruner_mark(mask, wrong, mask_of(0, NULL), &h.err));
        OTHER(mskp_pruner_mark(mask, wrong, mask_of(4, KEEP), &h.err));
        OTHER(mskp_pruner_prepare(cut, wrong, NULL, NULL, &h.err));
        OTHER(mskp_pruner_cut(cut, 1, &(mskp_move){.from = wrong}, &h.err));
        OTHER(mskp_pruner_gauge(cut, wrong, &gauges, &h.err));
        ck_assert_ptr_null(made);
    }
    mskp_pruner_destroy(sparse);
    mskp_pruner_destroy(mask);
    mskp_pruner_destroy(cut);
    mskp_pruner_destroy(prox);
    mskp_constants_destroy(constants);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(h.graph);
}
END_TEST

/* The shapes of tensors that a penalty or a cut does not touch, or that have no data, are
 * checked. */
START_TEST(untouched_tensors_are_checked)
{
    caller h;
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
    h.values[FC].data = NULL; /* no data, but a shape */
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
    ck_assert_uint_eq(h.gradients[GAMMA].shape[0], 2); /* a shape that was given is corrected, */
    ck_assert_uint_eq(h.gradients[GAMMA].elements, 2);
    ck_assert_ptr_null(h.gradients[GAMMA].data);
    ck_assert_uint_eq(h.values[FC].elements, 4);
    ck_assert_uint_eq(h.gradients[W].ndim, 0); /* and one that was not given stays 0 */
    mskp_plan_destroy(plan);
    mskp_graph_destroy(h.graph);
}
END_TEST

/* So are the shapes of targets, also of tensors without data. */
START_TEST(untouched_targets_are_checked)
{
    caller h;
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

/* A number of elements that is not the parameter's is refused. */
START_TEST(tensors_of_another_size)
{
    caller h;
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
    ck_assert_uint_eq(small[W].elements, 6); /* corrected where it was given */
    ck_assert_uint_eq(small[GAMMA].elements, 2);
    ck_assert_uint_eq(small[FC].elements, 0);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(h.graph);
}
END_TEST

START_TEST(shape_or_strides_without_ndim)
{
    caller h;
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
    caller h;
    set_up(&h);
    REFUSED(&h,
            mskp_penalty_gradient(h.graph, mask_of(4, KEEP), NULL, 1, set_by_id(PARAMS, h.values),
                                  set_by_id(PARAMS, h.values), &h.err),
            MSKP_ERROR_OVERLAP, "gamma: values and gradients");
    mskp_graph_destroy(h.graph);
}
END_TEST

START_TEST(a_threshold_without_use_threshold)
{
    caller h;
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

START_TEST(scores_without_any_finite_number)
{
    caller h;
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

static double no_accuracy(void *context, mskp_mask keep, size_t family, double fraction)
{
    (void)context, (void)keep, (void)family;
    return fraction;
}

/* The sentence names the argument that is NULL. */
#define MISSING(call, name)                              \
    do {                                                 \
        ck_assert_int_eq(call, MSKP_ERROR_BAD_ARGUMENT); \
        ck_assert_str_eq(h.err.text, name " is NULL");   \
    } while (0)

static void pruner_nulls(const caller *given)
{
    caller h = *given;
    const mskp_graph *g = h.graph;
    const mskp_tensors v = set_by_id(PARAMS, h.values), slopes = set_by_id(PARAMS, h.gradients);
    const mskp_move move = {.from = v};
    mskp_pruner *p = pruner_at(given, &HALVES, 2), *none = NULL, *made = NULL;
    mskp_pruner_gauges gauges;
    mskp_gauge gauge;
    size_t n = 0;
    MISSING(mskp_penalty_gauge(g, mask_of(4, KEEP), NULL, v, NULL, &h.err), "gauge");
    MISSING(mskp_penalty_gauge(NULL, mask_of(4, KEEP), NULL, v, &gauge, &h.err), "graph");
    MISSING(mskp_pruner_create(NULL, &HALVES, &made, &h.err), "graph");
    MISSING(mskp_pruner_create(g, NULL, &made, &h.err), "options");
    MISSING(mskp_pruner_create(g, &HALVES, NULL, &h.err), "pruner");
    MISSING(mskp_pruner_before_step(none, 0.25, v, slopes, &h.err), "pruner");
    MISSING(mskp_pruner_after_step(none, 0.25, v, &h.err), "pruner");
    MISSING(mskp_pruner_mark(none, v, mask_of(0, NULL), &h.err), "pruner");
    MISSING(mskp_pruner_cut(none, 1, &move, &h.err), "pruner");
    MISSING(mskp_pruner_cut(p, 1, NULL, &h.err), "moves");
    MISSING(mskp_pruner_prepare(none, v, NULL, NULL, &h.err), "pruner");
    MISSING(mskp_pruner_cut_done(none, &h.err), "pruner");
    MISSING(mskp_pruner_gauge(none, v, &gauges, &h.err), "pruner");
    MISSING(mskp_pruner_gauge(p, v, NULL, &h.err), "gauges");
    MISSING(mskp_pruner_gauge_json(NULL, 0, NULL, &n, &h.err), "gauges");
    MISSING(mskp_pruner_gauge_json(&gauges, 0, NULL, NULL, &h.err), "length");
    MISSING(mskp_pruner_write(none, 0, NULL, &n, &h.err), "pruner");
    MISSING(mskp_pruner_write(p, 0, NULL, NULL, &h.err), "length");
    MISSING(mskp_pruner_read(NULL, &HALVES, 0, "", &made, NULL, &h.err), "graph");
    MISSING(mskp_pruner_read(g, NULL, 0, "", &made, NULL, &h.err), "options");
    MISSING(mskp_pruner_read(g, &HALVES, 0, NULL, &made, NULL, &h.err), "text");
    MISSING(mskp_pruner_read(g, &HALVES, 0, "", NULL, NULL, &h.err), "pruner");
    ck_assert_int_eq(mskp_pruner_due(NULL), MSKP_PRUNER_DUE_NOTHING);
    ck_assert_ptr_null(mskp_pruner_graph(NULL));
    ck_assert_ptr_null(mskp_pruner_mask(NULL).unit);
    ck_assert_ptr_null(made);
    mskp_pruner_destroy(NULL);
    mskp_pruner_destroy(p);
}

START_TEST(nulls_are_named)
{
    caller h;
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
    MISSING(mskp_value_coupling(NULL, (mskp_value){1}, &info, &h.err), "graph");
    MISSING(mskp_value_coupling(g, (mskp_value){1}, NULL, &h.err), "coupling");
    MISSING(mskp_param_view(NULL, (mskp_param){1}, NULL, NULL, MSKP_DTYPE_F32, &view, &h.err),
            "graph");
    MISSING(mskp_param_view(g, (mskp_param){1}, NULL, NULL, MSKP_DTYPE_F32, NULL, &h.err), "view");
    MISSING(mskp_select(g, scores_of(4, NULL), &rule, mask_of(4, keep), NULL, &h.err), "scores");
    MISSING(mskp_select(g, scores_of(4, scores), NULL, mask_of(4, keep), NULL, &h.err), "rule");
    MISSING(mskp_select(g, scores_of(4, scores), &rule, (mskp_mask){0}, NULL, &h.err), "keep");
    const mskp_mask flags = mask_of(4, keep);
    const mskp_budget bytes = {.limit = 1};
    const mskp_family_rule none = {0};
    const mskp_sensitivity_desc scan = {1, (double[]){0.5}, no_accuracy, NULL, NULL};
    mskp_family_rule families[4] = {{0}};
    const size_t f = mskp_graph_counts(g).families;
    MISSING(mskp_mask_match(g, 1, NULL, 0, flags, &h.err), "patterns");
    MISSING(mskp_mask_match(g, 0, NULL, 0, (mskp_mask){0}, &h.err), "mask");
    MISSING(mskp_mask_match(NULL, 0, NULL, 0, flags, &h.err), "graph");
    MISSING(mskp_family_rules_set(g, flags, NULL, f, families, &h.err), "rule");
    MISSING(mskp_family_rules_set(g, flags, &none, f, NULL, &h.err), "families");
    MISSING(mskp_budget_measure(g, flags, NULL, scores, &h.err), "budget");
    MISSING(mskp_budget_measure(g, flags, &bytes, NULL, &h.err), "amount");
    MISSING(mskp_mask_vote(g, 1, NULL, 1, flags, &h.err), "masks");
    MISSING(mskp_mask_vote(g, 1, &flags, 1, (mskp_mask){0}, &h.err), "keep");
    MISSING(mskp_mask_hysteresis(g, flags, 1, 4, NULL, flags, &h.err), "streak");
    MISSING(mskp_mask_hysteresis(g, (mskp_mask){0}, 1, 4, map, flags, &h.err), "proposed");
    MISSING(mskp_sensitivity(g, scores_of(4, scores), NULL, f, scores, &h.err), "desc");
    MISSING(mskp_sensitivity(g, scores_of(4, scores), &scan, f, NULL, &h.err), "table");
    MISSING(mskp_sensitivity_caps(g, &scan, NULL, 0, f, families, &h.err), "table");
    MISSING(mskp_sensitivity_caps(g, NULL, scores, 0, f, families, &h.err), "desc");
    MISSING(mskp_sensitivity_caps(g, &scan, scores, 0, f, NULL, &h.err), "families");
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
    MISSING(
        mskp_constants_select(g, scores_of(4, NULL), &rule, NULL, set_by_id(PARAMS, v), &c, &h.err),
        "scores");
    MISSING(mskp_constants_select(g, scores_of(4, scores), NULL, NULL, set_by_id(PARAMS, v), &c,
                                  &h.err),
            "rule");
    MISSING(mskp_constants_select(g, scores_of(4, scores), &rule, NULL, set_by_id(PARAMS, v), NULL,
                                  &h.err),
            "constants");
    MISSING(get_carriers(no_constants, 4, keep, &h.err), "constants");
    MISSING(mskp_constants_plan(no_constants, &plan, NULL, &h.err), "constants");
    MISSING(mskp_constants_plan(c, NULL, NULL, &h.err), "plan");
    MISSING(mskp_constants_apply(no_constants, plan, set_by_id(PARAMS, v), &h.err), "constants");
    MISSING(mskp_constants_apply(c, NULL, set_by_id(PARAMS, v), &h.err), "plan");
    MISSING(mskp_plan_param_map(no_plan, (mskp_param){1}, 0, 4, map, &h.err), "plan");
    MISSING(mskp_plan_param_map(plan, (mskp_param){1}, 0, 4, NULL, &h.err), "map");
    MISSING(mskp_plan_value_map(no_plan, (mskp_value){1}, 4, map, &h.err), "plan");
    MISSING(mskp_plan_value_map(plan, (mskp_value){1}, 4, NULL, &h.err), "map");
    MISSING(mskp_plan_views(no_plan, set_by_id(PARAMS, v), set_by_id(PARAMS, v), &h.err), "plan");
    MISSING(mskp_plan_views(plan, set_by_id(PARAMS, v), set_by_id(PARAMS, NULL), &h.err), "small");
    MISSING(mskp_gather(NULL, NULL, 0, 2, index, v, &h.err), "from");
    MISSING(mskp_gather(NULL, v, 0, 2, index, NULL, &h.err), "to");
    MISSING(mskp_gather(NULL, v, 0, 2, NULL, v, &h.err), "index");
    pruner_nulls(&h);
    mskp_plan_destroy(plan);
    mskp_constants_destroy(c);
    mskp_graph_destroy(h.graph);
}
END_TEST

/* ---- Masks and scores of another number of units ---- */

enum { UNITS = 4, LONGEST = 6 };

/* What the calls of the table below are given, and all that they may write. */
typedef struct arrays {
    caller h;
    mskp_constants *constants;
    mskp_mask right, wrong, removed; /* `removed` has one flag per unit that `right` keeps */
    mskp_scores right_scores, wrong_scores;
    mskp_rule rule, locked;
    uint8_t flags[2][LONGEST], small_flags[LONGEST];
    double scores[2][LONGEST], table[UNITS];
    uint32_t streak[UNITS];
    mskp_family_rule families[UNITS];
    mskp_cost per_value[LONGEST];
    mskp_channel_stats stats[LONGEST];
    mskp_plan *plan;
    mskp_graph *small;
    mskp_constants *made;
    mskp_pruner *pruner;
    mskp_gauge gauge;
    double value;
    size_t length;
    char text[8];
} arrays;

typedef mskp_status wrong_call(arrays *a, mskp_error *err);

#define WRONG_CALL(name, call)                                      \
    static mskp_status wrong_##name(arrays *a, mskp_error *err)     \
    {                                                               \
        const mskp_graph *g = a->h.graph;                           \
        const mskp_tensors values = set_by_id(PARAMS, a->h.values); \
        (void)g, (void)values;                                      \
        return call;                                                \
    }

WRONG_CALL(score, mskp_score(g, NULL, values, a->wrong_scores, err))
WRONG_CALL(score_taylor, mskp_score_taylor(g, MSKP_TAYLOR_SQUARED_SUM, 0, values,
                                           set_by_id(PARAMS, a->h.gradients), a->wrong_scores, err))
WRONG_CALL(score_normalize, mskp_score_normalize(g, MSKP_NORMALIZER_MEAN, 0, a->wrong_scores, err))
WRONG_CALL(score_random, mskp_score_random(g, 1, a->wrong_scores, err))
static const mskp_weighting LASSO;
static const mskp_penalty L2 = {.kind = MSKP_PENALTY_L2};
static const mskp_penalty WEIGHED = {.unit_weight = (const double[UNITS]){0}};
WRONG_CALL(weights,
           mskp_unit_weights(g, a->wrong, &L2, &LASSO, a->right_scores, a->right_scores, err))
WRONG_CALL(weights_norms,
           mskp_unit_weights(g, a->right, &L2, &LASSO, a->wrong_scores, a->right_scores, err))
WRONG_CALL(weights_out,
           mskp_unit_weights(g, a->right, &L2, &LASSO, a->right_scores, a->wrong_scores, err))
WRONG_CALL(fade, mskp_penalty_fade(g, a->wrong, NULL, 1, values, err))
static mskp_status prepare_once(const mskp_graph *g, mskp_mask keep, mskp_tensors values,
                                mskp_error *err)
{
    mskp_prepared *prepared = NULL;
    const mskp_status status =
        mskp_prepared_create(g, keep, NULL, values, (mskp_tensors){0}, &prepared, err);
    mskp_prepared_destroy(prepared);
    return status;
}
WRONG_CALL(prepared, prepare_once(g, a->wrong, values, err))
WRONG_CALL(group_prox, mskp_penalty_group_prox(g, a->wrong, &WEIGHED, 1, values, err))
WRONG_CALL(score_channels, mskp_score_channels(g, 0, NULL, MSKP_REDUCE_SUM, a->wrong_scores, err))
WRONG_CALL(select, mskp_select(g, a->wrong_scores, &a->rule, a->right, NULL, err))
WRONG_CALL(select_keep, mskp_select(g, a->right_scores, &a->rule, a->wrong, NULL, err))
WRONG_CALL(select_locked, mskp_select(g, a->right_scores, &a->locked, a->right, NULL, err))
WRONG_CALL(match, mskp_mask_match(g, 0, NULL, 0, a->wrong, err))
WRONG_CALL(which, mskp_family_rules_set(g, a->wrong, &(mskp_family_rule){0},
                                        mskp_graph_counts(g).families, a->families, err))
WRONG_CALL(budget, mskp_budget_measure(g, a->wrong, &(mskp_budget){.limit = 1}, &a->value, err))
WRONG_CALL(per_budget,
           mskp_score_per_budget(g, &(mskp_budget){.limit = 1}, 1, a->wrong_scores, err))
WRONG_CALL(vote, mskp_mask_vote(g, 1, &a->right, 1, a->wrong, err))
WRONG_CALL(masks, mskp_mask_vote(g, 1, &a->wrong, 1, a->right, err))
WRONG_CALL(proposed, mskp_mask_hysteresis(g, a->wrong, 2, UNITS, a->streak, a->right, err))
WRONG_CALL(in_force, mskp_mask_hysteresis(g, a->right, 2, UNITS, a->streak, a->wrong, err))
WRONG_CALL(sensitivity,
           mskp_sensitivity(g, a->wrong_scores,
                            &(mskp_sensitivity_desc){1, (double[]){0}, no_accuracy, NULL, NULL},
                            mskp_graph_counts(g).families, a->table, err))
WRONG_CALL(exact, mskp_exact(g, 0, a->wrong, err))
WRONG_CALL(measure, mskp_measure(g, a->wrong, NULL, NULL, err))
WRONG_CALL(mask_write, mskp_mask_write(g, a->wrong, sizeof a->text, a->text, &a->length, err))
WRONG_CALL(mask_read, mskp_mask_read(g, 0, "", a->wrong, err))
WRONG_CALL(compose_keep, mskp_mask_compose(g, a->wrong, a->removed, a->right, err))
WRONG_CALL(compose_both, mskp_mask_compose(g, a->right, a->removed, a->wrong, err))
WRONG_CALL(report, mskp_report_json(g, a->wrong, NULL, 0, NULL, &a->length, err))
WRONG_CALL(report_scores,
           mskp_report_json(g, a->right, &(mskp_report_options){.scores = a->wrong_scores}, 0, NULL,
                            &a->length, err))
WRONG_CALL(gradient, mskp_penalty_gradient(g, a->wrong, NULL, 1, values,
                                           set_by_id(PARAMS, a->h.gradients), err))
WRONG_CALL(prox, mskp_penalty_prox(g, a->wrong, NULL, 1, values, err))
WRONG_CALL(deadline, mskp_penalty_deadline(g, a->wrong, NULL, 1, values, err))
WRONG_CALL(zero, mskp_penalty_zero(g, a->wrong, NULL, values, err))
WRONG_CALL(value, mskp_penalty_value(g, a->wrong, NULL, values, &a->value, err))
WRONG_CALL(gauge, mskp_penalty_gauge(g, a->wrong, NULL, values, &a->gauge, err))
WRONG_CALL(pruner_locked,
           mskp_pruner_create(g, &(mskp_pruner_options){.rule = a->locked, .steps = 1}, &a->pruner,
                              err))
WRONG_CALL(plan, mskp_plan_create(g, a->wrong, &a->plan, &a->small, err))
WRONG_CALL(constants, mskp_constants_create(g, a->wrong, NULL, values, &a->made, err))
WRONG_CALL(constants_select,
           mskp_constants_select(g, a->wrong_scores, &a->rule, NULL, values, &a->made, err))
WRONG_CALL(constants_locked,
           mskp_constants_select(g, a->right_scores, &a->locked, NULL, values, &a->made, err))
WRONG_CALL(selected, mskp_constants_masks(a->constants, a->wrong, (mskp_mask){0}, a->right, err))
WRONG_CALL(carriers, mskp_constants_masks(a->constants, (mskp_mask){0}, a->wrong, a->right, err))
WRONG_CALL(kept, mskp_constants_masks(a->constants, a->right, (mskp_mask){0}, a->wrong, err))

static const struct {
    wrong_call *call;
    const char *name, *array;
} wrong_calls[] = {
    {wrong_score, "mskp_score", "scores"},
    {wrong_score_taylor, "mskp_score_taylor", "scores"},
    {wrong_score_normalize, "mskp_score_normalize", "scores"},
    {wrong_score_channels, "mskp_score_channels", "scores"},
    {wrong_score_random, "mskp_score_random", "scores"},
    {wrong_weights, "mskp_unit_weights", "keep"},
    {wrong_weights_norms, "mskp_unit_weights", "norms"},
    {wrong_weights_out, "mskp_unit_weights", "weights"},
    {wrong_fade, "mskp_penalty_fade", "keep"},
    {wrong_prepared, "mskp_prepared_create", "keep"},
    {wrong_group_prox, "mskp_penalty_group_prox", "keep"},
    {wrong_select, "mskp_select", "scores"},
    {wrong_select_keep, "mskp_select", "keep"},
    {wrong_select_locked, "mskp_select", "rule: locked"},
    {wrong_match, "mskp_mask_match", "mask"},
    {wrong_which, "mskp_family_rules_set", "which"},
    {wrong_budget, "mskp_budget_measure", "keep"},
    {wrong_per_budget, "mskp_score_per_budget", "scores"},
    {wrong_vote, "mskp_mask_vote", "keep"},
    {wrong_masks, "mskp_mask_vote", "masks"},
    {wrong_proposed, "mskp_mask_hysteresis", "proposed"},
    {wrong_in_force, "mskp_mask_hysteresis", "keep"},
    {wrong_sensitivity, "mskp_sensitivity", "scores"},
    {wrong_exact, "mskp_exact", "exact"},
    {wrong_measure, "mskp_measure", "keep"},
    {wrong_mask_write, "mskp_mask_write", "keep"},
    {wrong_mask_read, "mskp_mask_read", "keep"},
    {wrong_compose_keep, "mskp_mask_compose", "keep"},
    {wrong_compose_both, "mskp_mask_compose", "both"},
    {wrong_report, "mskp_report_json", "keep"},
    {wrong_report_scores, "mskp_report_json", "report: scores"},
    {wrong_gradient, "mskp_penalty_gradient", "keep"},
    {wrong_prox, "mskp_penalty_prox", "keep"},
    {wrong_deadline, "mskp_penalty_deadline", "keep"},
    {wrong_zero, "mskp_penalty_zero", "keep"},
    {wrong_value, "mskp_penalty_value", "keep"},
    {wrong_gauge, "mskp_penalty_gauge", "keep"},
    {wrong_pruner_locked, "mskp_pruner_create", "rule: locked"},
    {wrong_plan, "mskp_plan_create", "keep"},
    {wrong_constants, "mskp_constants_create", "keep"},
    {wrong_constants_select, "mskp_constants_select", "scores"},
    {wrong_constants_locked, "mskp_constants_select", "rule: locked"},
    {wrong_selected, "mskp_constants_masks", "selected"},
    {wrong_carriers, "mskp_constants_masks", "carriers"},
    {wrong_kept, "mskp_constants_masks", "kept"},
};
enum { WRONG_CALLS = sizeof wrong_calls / sizeof *wrong_calls };

static void arrays_open(arrays *a)
{
    memset(a, 0, sizeof *a);
    set_up(&a->h);
    memcpy(a->flags[0], KEEP, sizeof KEEP);
    memcpy(a->flags[1], KEEP, sizeof KEEP);
    for (size_t i = 0; i < LONGEST; i++) a->scores[0][i] = a->scores[1][i] = (double)i;
    a->right = (mskp_mask){UNITS, a->flags[0]};
    a->removed = (mskp_mask){2, a->small_flags};
    a->right_scores = (mskp_scores){UNITS, a->scores[0]};
    a->rule = a->locked = (mskp_rule){.remove_fraction = 0.5};
    a->length = 77;
    a->value = 77;
    ck_assert_int_eq(mskp_constants_create(a->h.graph, a->right, NULL,
                                           set_by_id(PARAMS, a->h.values), &a->constants, NULL),
                     MSKP_OK);
}

static void arrays_close(arrays *a)
{
    mskp_constants_destroy(a->constants);
    mskp_graph_destroy(a->h.graph);
}

/* The sentence names the array and both lengths, and everything stays as it was. */
START_TEST(arrays_of_another_length_are_named)
{
    static const size_t lengths[] = {0, 3, 5};
    const size_t n = lengths[(size_t)_i % 3], k = (size_t)_i / 3;
    arrays a, before;
    mskp_error err = {0};
    char sentence[80];
    arrays_open(&a);
    a.wrong = a.locked.locked = (mskp_mask){n, a.flags[1]};
    a.wrong_scores = (mskp_scores){n, a.scores[1]};
    memcpy(&before, &a, sizeof a);
    const mskp_status status = wrong_calls[k].call(&a, &err);
    ck_assert_msg(status == MSKP_ERROR_OTHER_NETWORK, "%s, %s of %zu units: status %d",
                  wrong_calls[k].name, wrong_calls[k].array, n, (int)status);
    (void)snprintf(sentence, sizeof sentence, "%s has %zu units, the graph has 4",
                   wrong_calls[k].array, n);
    ck_assert_msg(!strcmp(err.text, sentence), "%s: \"%s\", expected \"%s\"", wrong_calls[k].name,
                  err.text, sentence);
    ck_assert_msg(!memcmp(&before, &a, sizeof a), "%s changed something", wrong_calls[k].name);
    arrays_close(&a);
}
END_TEST

/* The same calls with arrays of the right length go well. */
START_TEST(arrays_of_the_right_length_are_taken)
{
    arrays a;
    mskp_error err = {0};
    arrays_open(&a);
    a.wrong = a.locked.locked = (mskp_mask){UNITS, a.flags[1]};
    a.wrong_scores = (mskp_scores){UNITS, a.scores[1]};
    const mskp_status status = wrong_calls[_i].call(&a, &err);
    if (wrong_calls[_i].call == wrong_mask_write) /* eight bytes are too few for its text */
        ck_assert_int_eq(status, MSKP_ERROR_BAD_ARGUMENT);
    else if (wrong_calls[_i].call == wrong_mask_read) /* and "" is no mask */
        ck_assert_int_eq(status, MSKP_ERROR_BAD_TEXT);
    else
        ck_assert_msg(status == MSKP_OK, "%s, %s: %s", wrong_calls[_i].name, wrong_calls[_i].array,
                      err.text);
    mskp_plan_destroy(a.plan);
    mskp_graph_destroy(a.small);
    mskp_constants_destroy(a.made);
    mskp_pruner_destroy(a.pruner);
    arrays_close(&a);
}
END_TEST

/* ---- Arrays that overlap ---- */

/* A mask over the first bytes of another array; and what begins behind an array's first entry. */
static mskp_mask mask_at(void *at)
{
    return (mskp_mask){UNITS, at};
}

static mskp_mask next_mask(mskp_mask m)
{
    return (mskp_mask){m.n, m.unit + 1};
}

#define SCAN     (&(mskp_sensitivity_desc){1, (double[]){0}, no_accuracy, NULL, NULL})
#define FAMILIES mskp_graph_counts(g).families

WRONG_CALL(select_over_scores,
           mskp_select(g, a->right_scores, &a->rule, mask_at(a->scores[0]), NULL, err))
WRONG_CALL(select_over_locked, mskp_select(g, a->right_scores, &a->locked, a->wrong, NULL, err))
WRONG_CALL(vote_over_mask, mskp_mask_vote(g, 1, &a->right, 1, next_mask(a->right), err))
WRONG_CALL(keep_over_proposed,
           mskp_mask_hysteresis(g, a->right, 2, UNITS, a->streak, a->right, err))
WRONG_CALL(keep_over_streak,
           mskp_mask_hysteresis(g, a->wrong, 2, UNITS, a->streak, mask_at(a->streak), err))
WRONG_CALL(streak_over_proposed,
           mskp_mask_hysteresis(g, mask_at(a->streak + 1), 2, UNITS, a->streak, a->right, err))
WRONG_CALL(both_over_keep, mskp_mask_compose(g, a->right, a->removed, next_mask(a->right), err))
WRONG_CALL(both_over_small,
           mskp_mask_compose(g, a->right, a->removed, mask_at(a->small_flags + 1), err))
WRONG_CALL(carriers_over_selected,
           mskp_constants_masks(a->constants, a->right, next_mask(a->right), a->wrong, err))
WRONG_CALL(kept_over_carriers,
           mskp_constants_masks(a->constants, (mskp_mask){0}, a->right, a->right, err))
WRONG_CALL(kept_over_selected,
           mskp_constants_masks(a->constants, a->right, (mskp_mask){0}, a->right, err))
WRONG_CALL(weights_over_norms, mskp_unit_weights(g, a->right, &L2, &LASSO, a->right_scores,
                                                 (mskp_scores){UNITS, a->scores[0] + 1}, err))
WRONG_CALL(weights_over_keep, mskp_unit_weights(g, mask_at(a->scores[1] + 1), &L2, &LASSO,
                                                a->right_scores, a->wrong_scores, err))
WRONG_CALL(costs_over_keep, mskp_measure(g, mask_at(a->per_value + 1), NULL, a->per_value, err))
WRONG_CALL(families_over_which, mskp_family_rules_set(g, mask_at(a->families), &a->families[2],
                                                      FAMILIES, a->families, err))
WRONG_CALL(table_over_scores,
           mskp_sensitivity(g, a->right_scores, SCAN, FAMILIES, a->scores[0], err))
WRONG_CALL(families_over_table,
           mskp_sensitivity_caps(g, SCAN, (void *)a->families, 0, FAMILIES, a->families, err))
WRONG_CALL(scores_over_numbers,
           mskp_score_channels(g, 1,
                               &(mskp_channel_scores){mskp_value_find(g, "hidden"), UNITS,
                                                      a->scores[0] + 1},
                               MSKP_REDUCE_SUM, a->right_scores, err))
WRONG_CALL(stats_over_stats, mskp_channel_stats_merge(UNITS, a->stats, a->stats + 1, err))

static const struct {
    wrong_call *call;
    const char *sentence;
} overlaps[] = {
    {wrong_select_over_scores, "keep and scores overlap"},
    {wrong_select_over_locked, "keep and locked overlap"},
    {wrong_vote_over_mask, "keep and masks overlap"},
    {wrong_keep_over_proposed, "keep and proposed overlap"},
    {wrong_keep_over_streak, "keep and streak overlap"},
    {wrong_streak_over_proposed, "streak and proposed overlap"},
    {wrong_both_over_keep, "both and keep overlap"},
    {wrong_both_over_small, "both and small_keep overlap"},
    {wrong_carriers_over_selected, "selected and carriers overlap"},
    {wrong_kept_over_carriers, "carriers and kept overlap"},
    {wrong_kept_over_selected, "kept and selected overlap"},
    {wrong_weights_over_norms, "weights and norms overlap"},
    {wrong_weights_over_keep, "weights and keep overlap"},
    {wrong_costs_over_keep, "per_value and keep overlap"},
    {wrong_families_over_which, "families and which overlap"},
    {wrong_table_over_scores, "table and scores overlap"},
    {wrong_families_over_table, "families and table overlap"},
    {wrong_scores_over_numbers, "scores and hidden overlap"},
    {wrong_stats_over_stats, "into and from overlap"},
};
enum { OVERLAPS = sizeof overlaps / sizeof *overlaps };

START_TEST(overlapping_arrays_are_refused)
{
    arrays a, before;
    mskp_error err = {0};
    arrays_open(&a);
    a.wrong = a.locked.locked = (mskp_mask){UNITS, a.flags[1]};
    a.wrong_scores = (mskp_scores){UNITS, a.scores[1]};
    memcpy(&before, &a, sizeof a);
    ck_assert_msg(overlaps[_i].call(&a, &err) == MSKP_ERROR_OVERLAP, "not \"%s\"",
                  overlaps[_i].sentence);
    ck_assert_int_eq(err.status, MSKP_ERROR_OVERLAP);
    ck_assert_str_eq(err.text, overlaps[_i].sentence);
    ck_assert_msg(!memcmp(&before, &a, sizeof a), "%s: something changed", overlaps[_i].sentence);
    arrays_close(&a);
}
END_TEST

/* Arrays that touch, and those that the header lets be the same. */
START_TEST(arrays_side_by_side_are_taken)
{
    uint8_t flags[3 * UNITS];
    arrays a;
    arrays_open(&a);
    const mskp_graph *g = a.h.graph;
    const mskp_penalty all = {.kind = MSKP_PENALTY_L2, .target = MSKP_TARGET_ALL};
    memset(flags, 1, sizeof flags);
    const mskp_mask first = mask_at(flags), second = mask_at(flags + UNITS);
    const mskp_mask third = mask_at(flags + 2 * (size_t)UNITS), masks[] = {first, second, third};
    ck_assert_int_eq(mskp_mask_vote(g, 3, masks, 1, second, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_mask_hysteresis(g, first, 2, UNITS, a.streak, second, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_constants_masks(a.constants, first, second, third, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_mask_compose(g, first, (mskp_mask){2, flags + UNITS}, second, NULL),
                     MSKP_OK);
    ck_assert_int_eq(
        mskp_unit_weights(g, (mskp_mask){0}, &all, &LASSO, a.right_scores, a.right_scores, NULL),
        MSKP_OK);
    arrays_close(&a);
}
END_TEST

/* The small mask has one flag per unit that the first mask keeps, not one per unit of the graph. */
START_TEST(small_masks_of_another_length)
{
    arrays a;
    arrays_open(&a);
    for (size_t n = 0; n <= UNITS; n++) {
        if (n == 2) continue;
        char words[40];
        (void)snprintf(words, sizeof words, "small_keep has %zu units", n);
        REFUSED(
            &a.h,
            mskp_mask_compose(a.h.graph, a.right, (mskp_mask){n, a.small_flags}, a.right, &a.h.err),
            MSKP_ERROR_OTHER_NETWORK, words);
        ck_assert_mem_eq(a.flags[0], KEEP, sizeof KEEP);
    }
    arrays_close(&a);
}
END_TEST

/* An allocation that failed must not pass for the whole network. */
START_TEST(null_masks_with_a_length)
{
    caller h;
    mskp_cost cost = {7, 7};
    set_up(&h);
    const mskp_mask lost = {4, NULL}, none = {0, NULL};
    const mskp_penalty all = {.target = MSKP_TARGET_ALL};
    const mskp_tensors values = set_by_id(PARAMS, h.values);
    ck_assert_int_eq(mskp_measure(h.graph, lost, &cost, NULL, &h.err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(h.err.text, "keep is NULL, and has 4 units");
    ck_assert(cost.macs >= 7 && cost.macs <= 7);
    ck_assert_int_eq(mskp_penalty_prox(h.graph, lost, &all, 1, values, NULL),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_measure(h.graph, none, &cost, NULL, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_penalty_prox(h.graph, none, &all, 1, values, NULL), MSKP_OK);
    mskp_graph_destroy(h.graph);
}
END_TEST

/* Each mask of mskp_constants_masks may be left out, also all of them. */
START_TEST(masks_of_constants_may_be_left_out)
{
    const mskp_mask none = {0};
    arrays a;
    arrays_open(&a);
    for (unsigned which = 0; which < 8; which++) {
        uint8_t flags[3][UNITS];
        memset(flags, 9, sizeof flags);
        ck_assert_int_eq(mskp_constants_masks(a.constants,
                                              which & 1 ? mask_of(UNITS, flags[0]) : none,
                                              which & 2 ? mask_of(UNITS, flags[1]) : none,
                                              which & 4 ? mask_of(UNITS, flags[2]) : none, NULL),
                         MSKP_OK);
        for (unsigned m = 0; m < 3; m++)
            for (size_t u = 0; u < UNITS; u++)
                ck_assert_uint_eq(flags[m][u], !(which >> m & 1) ? 9 : m == 1 ? 0 : KEEP[u]);
    }
    arrays_close(&a);
}
END_TEST

/* A mask that is given to a pruner, of another number of units, lost, or one that nothing cuts. */
START_TEST(masks_for_a_pruner)
{
    static const uint8_t keep[LONGEST] = {0}, one[LONGEST] = {0, 1, 1, 1};
    caller h;
    set_up(&h);
    mskp_pruner *p = pruner_at(&h, &HALVES, 1);
    const mskp_tensors values = set_by_id(PARAMS, h.values);
    REFUSED(&h, mskp_pruner_mark(p, values, mask_of(3, one), &h.err), MSKP_ERROR_OTHER_NETWORK,
            "keep has 3 units, the graph has 4");
    REFUSED(&h, mskp_pruner_mark(p, values, (mskp_mask){0, (uint8_t *)one}, &h.err),
            MSKP_ERROR_OTHER_NETWORK, "keep has 0 units, the graph has 4");
    REFUSED(&h, mskp_pruner_mark(p, values, (mskp_mask){4, NULL}, &h.err), MSKP_ERROR_BAD_ARGUMENT,
            "keep is NULL");
    REFUSED(&h, mskp_pruner_mark(p, values, mask_of(4, keep), &h.err), MSKP_ERROR_NO_SOLUTION,
            "hidden");
    ck_assert_int_eq(mskp_pruner_due(p), MSKP_PRUNER_DUE_MASK);
    ck_assert_ptr_null(mskp_pruner_mask(p).unit);
    ck_assert_int_eq(mskp_pruner_mark(p, values, mask_of(4, one), &h.err), MSKP_OK);
    ck_assert_mem_eq(mskp_pruner_mask(p).unit, one, 4);
    mskp_pruner_destroy(p);
    mskp_graph_destroy(h.graph);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mistakes");
    TCase *tests = tcase_create("mistakes");
    tcase_add_test(tests, sets_of_another_network);
    tcase_add_test(tests, tensors_of_another_size);
    tcase_add_test(tests, untouched_tensors_are_checked);
    tcase_add_test(tests, untouched_targets_are_checked);
    tcase_add_test(tests, shape_or_strides_without_ndim);
    tcase_add_test(tests, values_as_their_own_gradients);
    tcase_add_test(tests, a_threshold_without_use_threshold);
    tcase_add_test(tests, scores_without_any_finite_number);
    tcase_add_test(tests, sentences_name_the_call);
    tcase_add_test(tests, nulls_are_named);
    tcase_add_loop_test(tests, arrays_of_another_length_are_named, 0, 3 * WRONG_CALLS);
    tcase_add_loop_test(tests, arrays_of_the_right_length_are_taken, 0, WRONG_CALLS);
    tcase_add_loop_test(tests, overlapping_arrays_are_refused, 0, OVERLAPS);
    tcase_add_test(tests, arrays_side_by_side_are_taken);
    tcase_add_test(tests, small_masks_of_another_length);
    tcase_add_test(tests, null_masks_with_a_length);
    tcase_add_test(tests, masks_of_constants_may_be_left_out);
    tcase_add_test(tests, masks_for_a_pruner);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

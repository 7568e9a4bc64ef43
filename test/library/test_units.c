/*
 * Units, members, families and what mskp_value_coupling reports, against the slow model; weight
 * tying; errors of description.
 */
#include "interpreter/oracle.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Random networks ---- */

START_TEST(random_networks_are_as_the_model_says)
{
    size_t tied = 0, count = test_count(1500);
    for (size_t k = 0; k < count; k++) {
        trial t;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        require_model(t.graph, &t.model);
        size_t *joins = arena_get(&t.mem, t.model.values + 1, sizeof *joins);
        for (uint32_t v = 1; v <= t.model.values; v++) {
            mskp_coupling info;
            size_t most = 0;
            REQUIRE_OK(mskp_value_coupling(t.graph, (mskp_value){v}, &info, NULL));
            REQUIRE(info.pinned_by.id == model_pinned_by(&t.model, v), "%s: pinned by %u, not %zu",
                    info.name, info.pinned_by.id, model_pinned_by(&t.model, v));
            model_joins(&t.model, v, joins);
            for (size_t b = 1; b <= t.model.values; b++)
                if (joins[b] > most) most = joins[b];
            if (joins[0]) continue; /* a custom tie has no operator */
            REQUIRE(info.tied == most, "%s: %zu joins, %zu expected", info.name, info.tied, most);
            REQUIRE(most ? joins[info.tied_by.id] == most : info.tied_by.id == 0, "%s: tied by %u",
                    info.name, info.tied_by.id);
            tied += most > 0;
        }
        trial_end(&t);
    }
    REQUIRE(tied * 20 > count, "ties in %zu values only", tied);
}
END_TEST

START_TEST(same_recipe_same_graph)
{
    /* The same recipe twice, in two graphs, gives the same in every respect. */
    for (size_t k = 0; k < test_count(100); k++) {
        trial a, b;
        trial_begin(&a, test_seed() * 1000000 + k, NULL, NULL);
        trial_begin(&b, test_seed() * 1000000 + k, NULL, NULL);
        require_same_graph(a.graph, b.graph);
        trial_end(&a);
        trial_end(&b);
    }
}
END_TEST

/* Another model of units, over many more operators, where it can be run. */
START_TEST(the_oracle_agrees)
{
    const char *why = oracle_compare(test_seed() * 1000, test_count(1000));
    if (!why) return;
    printf("skipped: comparison with the oracle: %s\n", why);
    (void)fflush(stdout);
}
END_TEST

/* ---- A network by hand ---- */

#define SHAPE(...)                                                 \
    (sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t)), (size_t[]) \
    {                                                              \
        __VA_ARGS__                                                \
    }

START_TEST(tied_weights_tie_their_channels)
{
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_param first = mskp_parameter(g, "first", SHAPE(4, 2, 1));
    mskp_param twice = mskp_parameter(g, "twice", SHAPE(4, 4, 3));
    mskp_param gamma = mskp_parameter(g, "gamma", SHAPE(4));
    mskp_param last = mskp_parameter(g, "last", SHAPE(1, 4));
    mskp_value x = mskp_input(g, "x", 2, 1, (size_t[]){9});
    mskp_value a = mskp_conv(g, "a", x, &(mskp_conv_desc){.weight = first});
    mskp_value b = mskp_conv(g, "b", a, &(mskp_conv_desc){.weight = twice});
    mskp_value c = mskp_conv(g, "c", b, &(mskp_conv_desc){.weight = twice});
    mskp_value d = mskp_norm(g, "d", c, &(mskp_norm_desc){.scale = gamma});
    mskp_value e = mskp_linear(g, "e", d, last, (mskp_param){0});
    mskp_error err = {0};
    ck_assert_int_eq(mskp_output(g, e), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, &err), MSKP_OK);

    /* b's output is c's input and the first use's output is the second's: all four are one. */
    mskp_counts counts = mskp_graph_counts(g);
    ck_assert_uint_eq(counts.units, 4);
    ck_assert_uint_eq(counts.families, 1);
    uint32_t roles;
    size_t n;
    const uint32_t *units = mskp_param_units(g, twice, 1, &roles, &n);
    ck_assert_uint_eq(n, 4);
    ck_assert_uint_eq(roles, MSKP_ROLE_CONSUMER);
    for (uint32_t i = 0; i < 4; i++) ck_assert_uint_eq(units[i], i);
    ck_assert_ptr_null(mskp_param_units(g, twice, 2, NULL, NULL));

    /* first 0; twice 0 and 1; gamma 0; last 1. */
    const mskp_member *m = mskp_unit_members(g, 2, &n);
    const mskp_member expected[] = {{first, 0, 2, MSKP_ROLE_FILTER},
                                    {twice, 0, 2, MSKP_ROLE_FILTER},
                                    {twice, 1, 2, MSKP_ROLE_CONSUMER},
                                    {gamma, 0, 2, MSKP_ROLE_SCALE},
                                    {last, 1, 2, MSKP_ROLE_CONSUMER}};
    ck_assert_uint_eq(n, 5);
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_eq(m[i].param.id, expected[i].param.id);
        ck_assert_uint_eq(m[i].axis, expected[i].axis);
        ck_assert_uint_eq(m[i].index, expected[i].index);
        ck_assert_uint_eq(m[i].roles, expected[i].roles);
    }

    mskp_coupling info;
    ck_assert_int_eq(mskp_value_coupling(g, e, &info, NULL), MSKP_OK);
    ck_assert_str_eq(info.name, "e");
    ck_assert_str_eq(info.op, "linear");
    ck_assert_uint_eq(info.pinned, 1);
    ck_assert_uint_eq(info.pinned_by.id, e.id);
    size_t spatial[MSKP_MAX_SPATIAL];
    ck_assert_uint_eq(mskp_value_shape(g, e, NULL, spatial), 1);
    ck_assert_uint_eq(spatial[0], 5);
    ck_assert_uint_eq(mskp_value_find(g, "c").id, c.id);
    ck_assert_uint_eq(mskp_param_find(g, "gamma").id, gamma.id);
    ck_assert_uint_eq(mskp_value_find(g, "gamma").id, 0);
    ck_assert_uint_eq(mskp_param_find(g, "c").id, 0);
    mskp_graph_destroy(g);
}
END_TEST

/* What a bridge can ask while it describes, and after. */
START_TEST(shapes_and_roles_can_be_asked)
{
    mskp_graph *g = mskp_graph_create(NULL), *small;
    mskp_plan *plan;
    mskp_error err = {0};
    mskp_cost cost;
    size_t channels = 77, spatial[MSKP_MAX_SPATIAL] = {0}, shape[MSKP_MAX_DIMS];
    const uint8_t keep[4] = {1, 0, 0, 1};
    mskp_param w = mskp_parameter(g, "w", 3, (size_t[]){4, 3, 2});
    mskp_param gamma = mskp_parameter(g, "gamma", 1, (size_t[]){4});
    mskp_param slope = mskp_parameter(g, "slope", 2, (size_t[]){1, 5});
    mskp_value x = mskp_input(g, "x", 3, 1, (size_t[]){9});
    mskp_value v = mskp_conv(g, "conv", x, &(mskp_conv_desc){.weight = w});
    ck_assert_uint_eq(mskp_value_shape(g, v, &channels, spatial), 1);
    ck_assert_uint_eq(channels, 4);
    ck_assert_uint_eq(spatial[0], 8);
    v = mskp_norm(g, "bn", v, &(mskp_norm_desc){.scale = gamma});
    ck_assert_int_eq(mskp_attach(g, slope, v), MSKP_OK);
    mskp_value padded = mskp_pad_channels(g, "padded", v, 2, 3);
    ck_assert_uint_eq(mskp_param_roles(g, w), 0); /* not yet */
    ck_assert_msg(!mskp_graph_finish(g, &err), "%s", err.text);
    ck_assert_uint_eq(mskp_value_shape(g, padded, NULL, NULL), 1);
    ck_assert_uint_eq(mskp_value_shape(g, (mskp_value){9}, &channels, spatial), 0);
    ck_assert_uint_eq(channels, 0);
    ck_assert_uint_eq(mskp_value_shape(NULL, v, &channels, NULL), 0);
    ck_assert_uint_eq(mskp_param_roles(g, w), MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER);
    ck_assert_uint_eq(mskp_param_roles(g, gamma), MSKP_ROLE_SCALE);
    ck_assert_uint_eq(mskp_param_roles(g, slope), 0);
    ck_assert_uint_eq(mskp_param_roles(g, (mskp_param){0}), 0);
    ck_assert_uint_eq(mskp_param_roles(g, (mskp_param){4}), 0);
    /* An attached parameter is counted, and stays whole. Units: 4 of conv, 5 of the zeros. */
    mskp_cost each[9];
    ck_assert_int_eq(mskp_measure(g, (mskp_mask){0}, &cost, each + 1, NULL), MSKP_OK);
    ck_assert_double_eq(cost.params, 24 + 4 + 5);
    ck_assert_double_eq(each[v.id].params, 4 + 5);
    uint8_t all[9] = {keep[0], keep[1], keep[2], keep[3], 0, 1, 1, 0, 1};
    ck_assert_msg(!mskp_plan_create(g, mask_of(9, all), &plan, &small, &err), "%s", err.text);
    ck_assert_uint_eq(mskp_param_shape(small, slope, shape), 2);
    ck_assert_uint_eq(shape[1], 5);
    ck_assert_uint_eq(mskp_plan_channels_kept(plan, padded, 0, 2), 1);
    ck_assert_uint_eq(mskp_plan_channels_kept(plan, padded, 2, 4), 2);
    ck_assert_uint_eq(mskp_plan_channels_kept(plan, padded, 6, 3), 2);
    ck_assert_uint_eq(mskp_plan_channels_kept(plan, padded, 0, SIZE_MAX), 5);
    ck_assert_uint_eq(mskp_plan_channels_kept(plan, padded, 8, SIZE_MAX), 1);
    ck_assert_uint_eq(mskp_plan_channels_kept(plan, padded, 9, 1), 0);
    ck_assert_uint_eq(mskp_plan_channels_kept(plan, x, 1, 1), 1); /* all of x stay */
    ck_assert_uint_eq(mskp_plan_channels_kept(plan, x, 1, SIZE_MAX), 2);
    ck_assert_uint_eq(mskp_plan_channels_kept(plan, x, 3, 1), 0);
    ck_assert_uint_eq(mskp_plan_channels_kept(plan, (mskp_value){0}, 0, 9), 0);
    ck_assert_uint_eq(mskp_plan_channels_kept(NULL, x, 0, 9), 0);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    mskp_graph_destroy(small);
}
END_TEST

/* What an operator that mskp does not know pins, and by which name reports call it. */
START_TEST(unknown_operators_are_named)
{
    mskp_graph *g = mskp_graph_create(NULL), *small;
    mskp_plan *plan;
    mskp_error err = {0};
    mskp_coupling info;
    uint8_t keep[8];
    char op[] = "yolo";
    const size_t side[2] = {5, 5};
    mskp_param w[3] = {mskp_parameter(g, "w0", 4, (size_t[]){4, 3, 1, 1}),
                       mskp_parameter(g, "w1", 4, (size_t[]){4, 4, 1, 1}),
                       mskp_parameter(g, "w2", 4, (size_t[]){4, 4, 1, 1})};
    mskp_value x = mskp_input(g, "x", 3, 2, side);
    mskp_value a = mskp_conv(g, "a", x, &(mskp_conv_desc){.weight = w[0]});
    mskp_value b = mskp_conv(g, "b", a, &(mskp_conv_desc){.weight = w[1]});
    mskp_value unknown = mskp_opaque(g, NULL, &(mskp_opaque_desc){op, 1, &b, 6, 1, (size_t[]){7}});
    mskp_value c = mskp_conv(g, "c", a, &(mskp_conv_desc){.weight = w[2]});
    memset(op, 'x', sizeof op - 1); /* was copied */
    ck_assert_int_eq(mskp_output(g, unknown), MSKP_OK);
    ck_assert_msg(!mskp_graph_finish(g, &err), "%s", err.text);
    ck_assert_uint_eq(mskp_graph_counts(g).units, 8); /* a's and c's */
    for (size_t u = 0; u < 8; u++) keep[u] = u % 4 > 0;
    ck_assert_msg(!mskp_plan_create(g, mask_of(8, keep), &plan, &small, &err), "%s", err.text);
    const mskp_graph *both[2] = {g, small};
    for (int i = 0; i < 2; i++) { /* also the words of the smaller graph are its own */
        ck_assert_int_eq(mskp_value_coupling(both[i], unknown, &info, NULL), MSKP_OK);
        ck_assert_str_eq(info.op, "yolo");
        ck_assert_str_eq(info.name, "yolo#4");
        ck_assert_uint_eq(info.channels, 6);
        ck_assert_uint_eq(info.pinned, 6);
        ck_assert_uint_eq(info.pinned_by.id, unknown.id);
        size_t spatial[MSKP_MAX_SPATIAL];
        ck_assert_uint_eq(mskp_value_shape(both[i], unknown, NULL, spatial), 1);
        ck_assert_uint_eq(spatial[0], 7);
        ck_assert_int_eq(mskp_value_coupling(both[i], b, &info, NULL), MSKP_OK);
        ck_assert_uint_eq(info.pinned, 4);
        ck_assert_uint_eq(info.pinned_by.id, unknown.id); /* not b itself, not the output */
        ck_assert_int_eq(mskp_value_coupling(both[i], c, &info, NULL), MSKP_OK);
        ck_assert_uint_eq(info.pinned, 0);
        ck_assert_uint_eq(info.units, i ? 3 : 4);
        if (i == 0) mskp_graph_destroy(g);
    }
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
}
END_TEST

START_TEST(roles_add_up)
{
    /* A bias that is also a scale; a weight that reads and makes the same channels. */
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_param p = mskp_parameter(g, "p", SHAPE(3));
    mskp_value v = mskp_fresh(g, "v", 3, 0, NULL), w = mskp_fresh(g, "w", 3, 0, NULL);
    uint32_t roles;
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SHIFT, v), MSKP_OK);
    ck_assert_int_eq(mskp_bind(g, p, 0, MSKP_ROLE_SCALE, w), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    ck_assert_uint_eq(mskp_graph_counts(g).units, 3);
    (void)mskp_param_units(g, p, 0, &roles, NULL);
    ck_assert_uint_eq(roles, MSKP_ROLE_SHIFT | MSKP_ROLE_SCALE);
    size_t n;
    (void)mskp_unit_members(g, 0, &n);
    ck_assert_uint_eq(n, 1);
    mskp_graph_destroy(g);
}
END_TEST

/* ---- Errors of description ---- */

/* A small beginning for every case. */
typedef struct base {
    mskp_graph *g;
    mskp_value x;           /* 3 channels, 8 x 6 */
    mskp_value flat;        /* 5 channels, no axes */
    mskp_param w;           /* weight [4][3][3][3] */
    mskp_param v4, v7, l25; /* vectors; a linear weight [2][5] */
} base;

static base begin(void)
{
    base b = {.g = mskp_graph_create(NULL)};
    b.x = mskp_input(b.g, "x", 3, 2, (size_t[]){8, 6});
    b.flat = mskp_fresh(b.g, "flat", 5, 0, NULL);
    b.w = mskp_parameter(b.g, "w", SHAPE(4, 3, 3, 3));
    b.v4 = mskp_parameter(b.g, "v4", SHAPE(4));
    b.v7 = mskp_parameter(b.g, "v7", SHAPE(7));
    b.l25 = mskp_parameter(b.g, "l25", SHAPE(2, 5));
    return b;
}

/* A number out of range: the header leaves open whether that is BAD_SHAPE, BAD_ARGUMENT or
 * UNSUPPORTED. */
#define RANGE ((mskp_status)1000)

/* The description after the wrong call: the status, the words, and that it sticks. */
static void refused(base *b, bool returned_error, const char *what, mskp_status status,
                    const char *const *words)
{
    mskp_error err = {0};
    if (status == RANGE) {
        mskp_status said = mskp_output(b->g, b->x);
        bool open = said == MSKP_ERROR_BAD_SHAPE || said == MSKP_ERROR_UNSUPPORTED;
        status = open ? said : MSKP_ERROR_BAD_ARGUMENT;
    }
    ck_assert_msg(returned_error, "%s: the call itself returned no error", what);
    ck_assert_msg(mskp_input(b->g, "later", 1, 0, NULL).id == 0, "%s does not stick", what);
    ck_assert_msg(mskp_output(b->g, b->x) == status, "%s: later calls return %s", what,
                  mskp_status_text(mskp_output(b->g, b->x)));
    (void)mskp_parameter(b->g, "a blank", SHAPE(3)); /* another error, which must not win */
    mskp_status got = mskp_graph_finish(b->g, &err);
    ck_assert_msg(got == status, "%s: %s instead of %s (%s)", what, mskp_status_text(got),
                  mskp_status_text(status), err.text);
    ck_assert_msg(err.status == status, "%s: err holds another status", what);
    ck_assert_msg(memchr(err.text, 0, sizeof err.text) != NULL, "%s: no end", what);
    for (size_t i = 0; words[i]; i++)
        ck_assert_msg(strstr(err.text, words[i]) != NULL, "%s: \"%s\" lacks \"%s\"", what, err.text,
                      words[i]);
    ck_assert_uint_eq(mskp_graph_counts(b->g).units, 0);
    mskp_graph_destroy(b->g);
}

/* call: an expression of b that makes a value, or a status with REFUSED_STATUS. */
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The words with the number in them, until they are asked for once more. SIZE_MAX is not the same
 * everywhere. */
static const char *with(const char *before, size_t number, const char *after)
{
    static char text[80];
    (void)snprintf(text, sizeof text, "%s%zu%s", before, number, after);
    return text;
}

/* A size_t of 64 bits, which some sizes need that no memory holds. */
static const bool wide = SIZE_MAX > UINT32_MAX;

#define REFUSED_PLAIN(call, status, words)                 \
    do {                                                   \
        base b = begin();                                  \
        bool returned_error = (call).id == 0;              \
        refused(&b, returned_error, #call, status, words); \
    } while (0)
#define REFUSED_STATUS(call, status, words)                \
    do {                                                   \
        base b = begin();                                  \
        bool returned_error = (call) != MSKP_OK;           \
        refused(&b, returned_error, #call, status, words); \
    } while (0)

START_TEST(conv_is_checked)
{
#define CONV(in, ...) mskp_conv(b.g, "layer", (in), &(mskp_conv_desc){__VA_ARGS__})
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .padding = (mskp_padding)2), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("layer", "padding 2", "2"));
    REFUSED_PLAIN(mskp_conv(b.g, "layer", b.x, NULL), MSKP_ERROR_BAD_ARGUMENT, WORDS("layer"));
    REFUSED_PLAIN(CONV(b.x, .weight = {0}), MSKP_ERROR_BAD_ARGUMENT, WORDS("layer"));
    REFUSED_PLAIN(CONV(b.x, .weight = {99}), MSKP_ERROR_BAD_ARGUMENT, WORDS("layer"));
    REFUSED_PLAIN(CONV((mskp_value){0}, .weight = b.w), MSKP_ERROR_BAD_ARGUMENT, WORDS("layer"));
    REFUSED_PLAIN(CONV((mskp_value){99}, .weight = b.w), MSKP_ERROR_BAD_ARGUMENT, WORDS("layer"));
    REFUSED_PLAIN(CONV(mskp_slice(b.g, "s", b.x, 0, 2), .weight = b.w), MSKP_ERROR_BAD_SHAPE,
                  WORDS("layer", "3", "2"));
    REFUSED_PLAIN(CONV(b.flat, .weight = b.w), MSKP_ERROR_BAD_SHAPE, WORDS("layer"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.l25), MSKP_ERROR_BAD_SHAPE, WORDS("layer", "2"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .bias = b.v7), MSKP_ERROR_BAD_SHAPE,
                  WORDS("layer", "7", "4"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .bias = b.l25), MSKP_ERROR_BAD_SHAPE, WORDS("layer"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .pad_after = {0, 0, 1}), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("layer", "1", "axis 2"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .dilation = {1, 1, 6}), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("layer", "6", "axis 2"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .dilation = {4, 1}), MSKP_ERROR_BAD_SHAPE,
                  WORDS("layer", "8", "3", "4"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .groups = 2), MSKP_ERROR_BAD_SHAPE,
                  WORDS("layer", "3", "2"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .groups = 3), MSKP_ERROR_BAD_SHAPE,
                  WORDS("layer", "4", "3"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .grouping = (mskp_grouping)3), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("layer", "grouping 3"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .output_pad = {1}), MSKP_ERROR_BAD_SHAPE,
                  WORDS("layer", "output_pad is 1"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .pad_before = {SIZE_MAX, 0}), MSKP_ERROR_BAD_SHAPE,
                  WORDS("layer"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .dilation = {SIZE_MAX, 1}), MSKP_ERROR_BAD_SHAPE,
                  WORDS("layer"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .pad_after = {0, SIZE_MAX}), MSKP_ERROR_BAD_SHAPE,
                  WORDS("layer", "axis 1"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .stride = {1, SIZE_MAX}), MSKP_ERROR_BAD_SHAPE,
                  WORDS("layer", "axis 1"));
    REFUSED_PLAIN(CONV(mskp_fresh(b.g, "y", 3, 2, (size_t[]){1, SIZE_MAX / 2}), .weight = b.w,
                       .pad_before = {2}),
                  MSKP_ERROR_BAD_SHAPE, WORDS("layer", "axis 1"));
    /* Each axis fits, all positions together do not. */
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .pad_before = {SIZE_MAX / 8, SIZE_MAX / 8}),
                  MSKP_ERROR_BAD_SHAPE, WORDS("layer", "axis 1"));
    REFUSED_PLAIN(CONV(b.x, .weight = b.w, .bias = {99}), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("layer", "99"));
    REFUSED_PLAIN(mskp_conv(b.g, "x", b.x, &(mskp_conv_desc){.weight = b.w}), MSKP_ERROR_BAD_NAME,
                  WORDS("x"));
}
END_TEST

static double half(double x, const double *parameters)
{
    return x / 2 + parameters[0];
}

START_TEST(linear_layers_are_checked)
{
    const mskp_param none = {0};
    REFUSED_PLAIN(mskp_linear(b.g, "fc", b.x, b.l25, none), MSKP_ERROR_BAD_SHAPE,
                  WORDS("fc", "5", "3"));
    REFUSED_PLAIN(mskp_linear(b.g, "fc", b.flat, b.l25, b.v4), MSKP_ERROR_BAD_SHAPE,
                  WORDS("fc", "4", "2"));
    REFUSED_PLAIN(mskp_linear(b.g, "fc", b.flat, b.w, none), MSKP_ERROR_BAD_SHAPE, WORDS("fc"));
    REFUSED_PLAIN(mskp_linear(b.g, "fc", b.flat, none, none), MSKP_ERROR_BAD_ARGUMENT, WORDS("fc"));
    REFUSED_PLAIN(mskp_norm(b.g, "bn", b.x, &(mskp_norm_desc){.shift = b.v4}), MSKP_ERROR_BAD_SHAPE,
                  WORDS("bn", "4", "3"));
    REFUSED_PLAIN(mskp_norm(b.g, "bn", b.x, &(mskp_norm_desc){.mean = b.w}), MSKP_ERROR_BAD_SHAPE,
                  WORDS("bn"));
    REFUSED_PLAIN(mskp_norm(b.g, "bn", b.x, NULL), MSKP_ERROR_BAD_ARGUMENT, WORDS("bn"));
}
END_TEST

START_TEST(activations_and_epsilons_are_checked)
{
    REFUSED_PLAIN(
        mskp_activation(b.g, "act", b.x, &(mskp_activation_desc){.kind = (mskp_activation_kind)14}),
        MSKP_ERROR_BAD_ARGUMENT, WORDS("act", "14"));
#define ACT(...) mskp_activation(b.g, "act", b.x, &(mskp_activation_desc){__VA_ARGS__})
    REFUSED_PLAIN(ACT(.kind = MSKP_ACTIVATION_RELU, .parameters = {0.5}), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("act", "parameters[0]", "0.5"));
    REFUSED_PLAIN(ACT(.kind = MSKP_ACTIVATION_ELU, .parameters = {1, 2}), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("act", "parameters[1]", "2"));
    REFUSED_PLAIN(ACT(.kind = MSKP_ACTIVATION_MULTIPLY, .parameters = {(double)INFINITY}),
                  MSKP_ERROR_BAD_NUMBER, WORDS("act", "parameters[0]", "finite"));
    REFUSED_PLAIN(
        ACT(.kind = MSKP_ACTIVATION_CUSTOM, .function = half, .parameters = {0, 0, 0, (double)NAN}),
        MSKP_ERROR_BAD_NUMBER, WORDS("act", "parameters[3]", "finite"));
    REFUSED_PLAIN(ACT(.kind = MSKP_ACTIVATION_CUSTOM, .parameters = {1}), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("act", "parameters[0]"));
    REFUSED_PLAIN(ACT(.kind = MSKP_ACTIVATION_GELU, .function = half), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("act", "function", "8"));
    REFUSED_PLAIN(mskp_norm(b.g, "bn", b.x, &(mskp_norm_desc){.epsilon = -1}),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("bn", "epsilon", "-1"));
    REFUSED_PLAIN(mskp_norm(b.g, "bn", b.x, &(mskp_norm_desc){.epsilon = 1.5}),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("bn", "epsilon", "1.5"));
    REFUSED_PLAIN(mskp_norm(b.g, "bn", b.x, &(mskp_norm_desc){.epsilon = (double)NAN}),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("bn", "epsilon"));
    REFUSED_PLAIN(mskp_norm(b.g, "bn", b.x, &(mskp_norm_desc){.epsilon_outside_root = 2}),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("bn", "epsilon_outside_root 2"));
    REFUSED_PLAIN(mskp_activation(b.g, "act", (mskp_value){0}, NULL), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("act"));
}
END_TEST

START_TEST(pools_are_checked)
{
#define POOL(...) mskp_pool(b.g, "pool", b.x, &(mskp_pool_desc){__VA_ARGS__})
    REFUSED_PLAIN(POOL(.keeps_constants = 2), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("pool", "constants 2"));
    REFUSED_PLAIN(POOL(.size = {9, 2}), MSKP_ERROR_BAD_SHAPE, WORDS("pool", "9", "8"));
    REFUSED_PLAIN(POOL(.kind = (mskp_pool_kind)5), MSKP_ERROR_BAD_ARGUMENT, WORDS("pool", "5"));
    REFUSED_PLAIN(POOL(.kind = MSKP_POOL_RESIZE, .spatial = {3}), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("pool", "spatial[1] is 0"));
    REFUSED_PLAIN(POOL(.kind = MSKP_POOL_RESIZE, .spatial = {3, 3}, .size = {2, 2}),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("pool", "resizing"));
    REFUSED_PLAIN(POOL(.kind = MSKP_POOL_GLOBAL_MAX, .size = {2, 0}), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("pool"));
    REFUSED_PLAIN(POOL(.kind = MSKP_POOL_GLOBAL_AVERAGE, .ceil_mode = 1), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("pool"));
    REFUSED_PLAIN(mskp_pool(b.g, "pool", b.flat,
                            &(mskp_pool_desc){.kind = MSKP_POOL_GLOBAL_MAX, .ceil_mode = 1}),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("pool", "global", "ceil_mode"));
    REFUSED_PLAIN(mskp_chunk(b.g, "", b.x, 3, 0, (mskp_value[3]){{0}}) ? (mskp_value){0} : b.x,
                  MSKP_ERROR_BAD_NAME, WORDS("needs a name"));
    REFUSED_PLAIN(mskp_conv_transposed(
                      b.g, "up", mskp_input(b.g, "dot", 3, SHAPE(1)),
                      &(mskp_conv_desc){.weight = mskp_parameter(b.g, "up.w", SHAPE(3, 2, 6)),
                                        .stride = {SIZE_MAX},
                                        .output_pad = {SIZE_MAX - 1}}),
                  MSKP_ERROR_BAD_SHAPE, WORDS("up"));
    REFUSED_PLAIN(POOL(.kind = MSKP_POOL_GLOBAL_AVERAGE, .stride = {0, 1}), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("pool"));
    REFUSED_PLAIN(POOL(.size = {2, 2, 3}), MSKP_ERROR_BAD_ARGUMENT, WORDS("pool", "3", "axis 2"));
    REFUSED_PLAIN(POOL(.spatial = {2, 2, 5}), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("pool", "5", "axis 2"));
    REFUSED_PLAIN(POOL(.size = {2, 2}, .pad_before = {SIZE_MAX, 0}, .pad_after = {SIZE_MAX, 0}),
                  MSKP_ERROR_BAD_SHAPE, WORDS("pool"));
}
END_TEST

START_TEST(fixed_pools_are_checked)
{
    const mskp_pool_kind fixed[] = {MSKP_POOL_GLOBAL_MAX, MSKP_POOL_GLOBAL_AVERAGE,
                                    MSKP_POOL_RESIZE};
    for (int i = 0; i < 3; i++) {
        REFUSED_PLAIN(POOL(.kind = fixed[i], .size = {0, 2}), MSKP_ERROR_BAD_ARGUMENT,
                      WORDS("pool"));
        REFUSED_PLAIN(POOL(.kind = fixed[i], .stride = {2}), MSKP_ERROR_BAD_ARGUMENT,
                      WORDS("pool"));
        REFUSED_PLAIN(POOL(.kind = fixed[i], .pad_before = {1}), MSKP_ERROR_BAD_ARGUMENT,
                      WORDS("pool"));
        REFUSED_PLAIN(POOL(.kind = fixed[i], .pad_after = {1}), MSKP_ERROR_BAD_ARGUMENT,
                      WORDS("pool"));
        REFUSED_PLAIN(POOL(.kind = fixed[i], .ceil_mode = 1), MSKP_ERROR_BAD_ARGUMENT,
                      WORDS("pool"));
    }
    REFUSED_PLAIN(mskp_pool(b.g, "pool", b.x, NULL), MSKP_ERROR_BAD_ARGUMENT, WORDS("pool"));
}
END_TEST

START_TEST(combinations_are_checked)
{
#define LIST(...) \
    (sizeof((mskp_value[]){__VA_ARGS__}) / sizeof(mskp_value)), (mskp_value[]){__VA_ARGS__}
    REFUSED_PLAIN(mskp_combine(b.g, "sum", MSKP_COMBINE_ADD, LIST(b.x, b.flat)), RANGE,
                  WORDS("sum", "3", "5"));
    REFUSED_PLAIN(mskp_combine(b.g, "sum", MSKP_COMBINE_ADD,
                               LIST(b.x, mskp_fresh(b.g, "y", 3, 2, (size_t[]){8, 5}))),
                  MSKP_ERROR_BAD_SHAPE, WORDS("sum", "y"));
    /* Equal numbers of positions on different axes: the sentence names the first axis that
     * differs. */
    REFUSED_PLAIN(mskp_combine(b.g, "sum", MSKP_COMBINE_ADD,
                               LIST(b.x, mskp_fresh(b.g, "y", 3, 2, (size_t[]){12, 4}))),
                  RANGE, WORDS("sum", "y", "axis 0", "12", "8"));
    REFUSED_PLAIN(mskp_combine(b.g, "sum", MSKP_COMBINE_ADD,
                               LIST(b.x, mskp_fresh(b.g, "y", 3, 1, (size_t[]){8}))),
                  MSKP_ERROR_BAD_SHAPE, WORDS("sum", "y has 1 spatial", "have 2"));
    REFUSED_PLAIN(mskp_combine(b.g, "sum", MSKP_COMBINE_ADD, 0, &b.x), RANGE, WORDS("sum"));
    REFUSED_PLAIN(mskp_combine(b.g, "sum", MSKP_COMBINE_ADD, 1, NULL), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("sum"));
    REFUSED_PLAIN(mskp_combine(b.g, "sum", (mskp_combine_kind)7, LIST(b.x)), RANGE,
                  WORDS("sum", "7"));
    REFUSED_PLAIN(mskp_combine(b.g, "sum", MSKP_COMBINE_ADD, LIST(b.x, (mskp_value){77})),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("sum"));
}
END_TEST

START_TEST(slices_and_pads_are_checked)
{
    REFUSED_PLAIN(mskp_slice(b.g, "part", b.flat, 4, 2), RANGE, WORDS("part", "5"));
    REFUSED_PLAIN(mskp_slice(b.g, "part", b.flat, 4, 0), RANGE, WORDS("part"));
    REFUSED_PLAIN(mskp_slice(b.g, "part", b.flat, 2, SIZE_MAX), RANGE, WORDS("part"));
    REFUSED_PLAIN(mskp_slice(b.g, "part", b.flat, SIZE_MAX, 2), RANGE, WORDS("part"));
    REFUSED_PLAIN(mskp_pad_channels(b.g, "pad", b.flat, SIZE_MAX, 1), RANGE, WORDS("pad"));
    REFUSED_PLAIN(mskp_pad_channels(b.g, "pad", b.flat, 1, SIZE_MAX), RANGE, WORDS("pad"));
    REFUSED_PLAIN(mskp_flatten(b.g, "flatten", b.x, 2), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("flatten", "2"));
    REFUSED_PLAIN(mskp_flatten(b.g, "x", b.flat, 0), MSKP_ERROR_BAD_NAME, WORDS("x"));
}
END_TEST

START_TEST(opaque_operators_are_checked)
{
#define OPAQUE(op, n, in, channels) \
    mskp_opaque(b.g, "odd", &(mskp_opaque_desc){op, n, in, channels, 0, NULL})
    REFUSED_PLAIN(OPAQUE(NULL, 1, &b.x, 2), MSKP_ERROR_BAD_NAME, WORDS("kind of operator"));
    REFUSED_PLAIN(OPAQUE("a b", 1, &b.x, 2), MSKP_ERROR_BAD_NAME, WORDS("a b", "blank"));
    REFUSED_PLAIN(OPAQUE("a-kind-of-operator-with-32-bytes", 1, &b.x, 2), MSKP_ERROR_BAD_NAME,
                  WORDS("odd", "32", "31"));
    REFUSED_PLAIN(OPAQUE("yolo", 1, NULL, 2), MSKP_ERROR_BAD_ARGUMENT, WORDS("odd", "inputs"));
    REFUSED_PLAIN(OPAQUE("yolo", 1, &b.x, 0), MSKP_ERROR_BAD_SHAPE, WORDS("odd", "0 channels"));
    REFUSED_PLAIN(OPAQUE("yolo", 2, ((mskp_value[]){b.x, {99}}), 2), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("odd", "99"));
    REFUSED_PLAIN(mskp_opaque(b.g, "x", &(mskp_opaque_desc){"yolo", 0, NULL, 2, 0, NULL}),
                  MSKP_ERROR_BAD_NAME, WORDS("x"));
    REFUSED_PLAIN(mskp_opaque(b.g, "odd", &(mskp_opaque_desc){"yolo", 0, NULL, 2, 1, NULL}),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("odd", "spatial"));
}
END_TEST

START_TEST(picks_and_concatenations_are_checked)
{
    REFUSED_PLAIN(mskp_pick(b.g, "pick", b.flat, SHAPE(1, 5)), RANGE, WORDS("pick", "5"));
    REFUSED_PLAIN(mskp_pick(b.g, "pick", b.flat, 0, (size_t[]){1}), RANGE, WORDS("pick"));
    REFUSED_PLAIN(mskp_pick(b.g, "pick", b.flat, 1, NULL), MSKP_ERROR_BAD_ARGUMENT, WORDS("pick"));
    REFUSED_PLAIN(mskp_pick(b.g, "pick", (mskp_value){99}, SHAPE(0)), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("pick", "99"));
    REFUSED_PLAIN(mskp_concat(b.g, "cat", LIST(b.x, b.flat)), RANGE, WORDS("cat"));
    REFUSED_PLAIN(mskp_concat(b.g, "cat", LIST(b.x, mskp_fresh(b.g, "y", 1, 2, (size_t[]){8, 1}))),
                  RANGE, WORDS("cat", "y"));
    REFUSED_PLAIN(mskp_concat(b.g, "cat", 0, &b.x), RANGE, WORDS("cat"));
    REFUSED_PLAIN(mskp_concat(b.g, "cat", 1, NULL), MSKP_ERROR_BAD_ARGUMENT, WORDS("cat"));
    REFUSED_PLAIN(mskp_concat(b.g, "cat", LIST(b.x, (mskp_value){99})), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("cat", "99"));
}
END_TEST

START_TEST(primitives_are_checked)
{
    REFUSED_STATUS(mskp_tie(b.g, b.x, b.flat), MSKP_ERROR_BAD_SHAPE, WORDS("x", "flat", "3", "5"));
    REFUSED_STATUS(mskp_tie(b.g, b.x, (mskp_value){0}), MSKP_ERROR_BAD_ARGUMENT, WORDS(""));
    /* Of two wrong handles the first is named. */
    REFUSED_STATUS(mskp_tie(b.g, (mskp_value){98}, (mskp_value){99}), MSKP_ERROR_BAD_ARGUMENT,
                   WORDS("tie", "98"));
    REFUSED_STATUS(mskp_bind(b.g, b.v4, 0, MSKP_ROLE_SCALE, (mskp_value){99}),
                   MSKP_ERROR_BAD_ARGUMENT, WORDS("bind", "99"));
    REFUSED_STATUS(mskp_pin(b.g, (mskp_value){99}), MSKP_ERROR_BAD_ARGUMENT, WORDS(""));
    REFUSED_STATUS(mskp_output(b.g, (mskp_value){0}), MSKP_ERROR_BAD_ARGUMENT, WORDS(""));
    REFUSED_STATUS(mskp_bind(b.g, b.v7, 0, MSKP_ROLE_SCALE, b.flat), MSKP_ERROR_BAD_SHAPE,
                   WORDS("v7", "7", "5"));
    REFUSED_STATUS(mskp_bind(b.g, b.v7, 1, MSKP_ROLE_SCALE, b.flat), RANGE, WORDS("v7", "1"));
    REFUSED_STATUS(mskp_bind(b.g, b.l25, 1, 64, b.flat), MSKP_ERROR_BAD_ARGUMENT,
                   WORDS("l25", "40"));
    REFUSED_STATUS(mskp_bind(b.g, (mskp_param){0}, 0, 0, b.flat), MSKP_ERROR_BAD_ARGUMENT,
                   WORDS(""));
    REFUSED_STATUS(mskp_attach(b.g, b.w, (mskp_value){0}), MSKP_ERROR_BAD_ARGUMENT,
                   WORDS("attach"));
    REFUSED_STATUS(mskp_attach(b.g, (mskp_param){99}, b.x), MSKP_ERROR_BAD_ARGUMENT,
                   WORDS("attach"));
    REFUSED_STATUS(mskp_add_macs(b.g, (mskp_value){0}, b.w, 1), MSKP_ERROR_BAD_ARGUMENT, WORDS(""));
    REFUSED_STATUS(mskp_add_macs(b.g, b.x, (mskp_param){99}, 1), MSKP_ERROR_BAD_ARGUMENT,
                   WORDS(""));
    REFUSED_STATUS(mskp_macs_for_each(b.g, (mskp_value){0}, b.x), MSKP_ERROR_BAD_ARGUMENT,
                   WORDS("macs"));
    REFUSED_STATUS(mskp_macs_for_each(b.g, b.x, (mskp_value){99}), MSKP_ERROR_BAD_ARGUMENT,
                   WORDS("macs", "99"));
}
END_TEST

START_TEST(norms_are_checked)
{
#define NORM(...) mskp_norm(b.g, "n", b.x, &(mskp_norm_desc){__VA_ARGS__})
    REFUSED_PLAIN(NORM(.kind = (mskp_norm_kind)6), MSKP_ERROR_BAD_ARGUMENT, WORDS("n", "kind 6"));
    REFUSED_PLAIN(NORM(.kind = MSKP_NORM_GROUP, .groups = 2), MSKP_ERROR_BAD_SHAPE,
                  WORDS("n", "2", "3"));
    REFUSED_PLAIN(mskp_norm(b.g, "n", mskp_fresh(b.g, "f", 4, 0, NULL),
                            &(mskp_norm_desc){.scale = b.v4, .shift = b.v4}),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("n: scale and shift are one parameter"));
    REFUSED_PLAIN(NORM(.kind = MSKP_NORM_LAYER, .groups = 3), MSKP_ERROR_BAD_SHAPE,
                  WORDS("n: groups is 3"));
    REFUSED_PLAIN(NORM(.kind = MSKP_NORM_LAYER, .mean = b.v7), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("layer_norm", "statistics"));
    REFUSED_PLAIN(NORM(.kind = MSKP_NORM_LAYER, .variance = b.v7), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("layer_norm", "statistics"));
    REFUSED_PLAIN(NORM(.grouping = (mskp_grouping)3), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("n", "grouping 3"));
}
END_TEST

START_TEST(transposed_convolutions_are_checked)
{
#define UP(...) mskp_conv_transposed(b.g, "up", b.x, &(mskp_conv_desc){__VA_ARGS__})
    REFUSED_PLAIN(UP(.weight = b.w, .padding = MSKP_PADDING_EXTENDED), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("up", "padding 1", "transposed"));
    REFUSED_PLAIN(UP(.weight = b.w), MSKP_ERROR_BAD_SHAPE, WORDS("up", "expects 4", "has 3"));
#define UP_TOO_FAR(...)                                                                   \
    REFUSED_PLAIN(UP(.weight = mskp_parameter(b.g, "t", SHAPE(3, 2, 3, 3)), __VA_ARGS__), \
                  MSKP_ERROR_BAD_SHAPE, WORDS("up", "axis 0 of length 8"))
    UP_TOO_FAR(.dilation = {SIZE_MAX});
    UP_TOO_FAR(.dilation = {SIZE_MAX / 8});
    UP_TOO_FAR(.stride = {SIZE_MAX});
    UP_TOO_FAR(.stride = {SIZE_MAX / 8});
    UP_TOO_FAR(.pad_before = {SIZE_MAX});
    UP_TOO_FAR(.pad_after = {SIZE_MAX});
    UP_TOO_FAR(.output_pad = {1});
    UP_TOO_FAR(.pad_before = {5}, .pad_after = {5}); /* of 7 + 2 + 1 positions */
}
END_TEST

START_TEST(slopes_and_operands_are_checked)
{
    REFUSED_PLAIN(mskp_prelu(b.g, "p", b.x, b.v7), MSKP_ERROR_BAD_SHAPE,
                  WORDS("p", "slope", "7", "3"));
    REFUSED_PLAIN(mskp_prelu(b.g, "p", b.x, b.l25), MSKP_ERROR_BAD_SHAPE,
                  WORDS("p", "slope", "2 axes"));
    REFUSED_PLAIN(mskp_prelu(b.g, "p", b.x, (mskp_param){0}), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("p", "0"));
    REFUSED_PLAIN(mskp_embedding(b.g, "e", (mskp_param){99}, 0, NULL), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("e", "99"));
    REFUSED_PLAIN(mskp_param_operand(b.g, "e", (mskp_param){99}, 0, 0, 0, NULL),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("e", "99"));
    REFUSED_PLAIN(mskp_param_operand(b.g, "e", b.v7, 0, 64, 0, NULL), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("v7", "0x40"));
    REFUSED_PLAIN(mskp_embedding(b.g, "e", b.v7, 0, NULL), MSKP_ERROR_BAD_SHAPE,
                  WORDS("e", "1 axes"));
    REFUSED_PLAIN(mskp_param_operand(b.g, "e", b.v7, 1, MSKP_ROLE_SCALE, 0, NULL),
                  MSKP_ERROR_BAD_SHAPE, WORDS("e", "axis 1"));
}
END_TEST

START_TEST(chunks_and_shuffles_are_checked)
{
    mskp_value parts[5];
    REFUSED_PLAIN(mskp_channel_shuffle(b.g, "s", b.flat, 2, 0), MSKP_ERROR_BAD_SHAPE,
                  WORDS("s", "5", "2"));
    REFUSED_PLAIN(mskp_channel_shuffle(b.g, "s", b.flat, 5, 2), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("s", "rewritable"));
    REFUSED_PLAIN(mskp_channel_shuffle(b.g, "s", b.flat, 0, 0), MSKP_ERROR_BAD_SHAPE,
                  WORDS("s", "5", "parts of 0"));
    REFUSED_STATUS(mskp_chunk(b.g, "c", (mskp_value){99}, 1, 0, parts), MSKP_ERROR_BAD_ARGUMENT,
                   WORDS("c", "99"));
    REFUSED_STATUS(mskp_chunk(b.g, "c", b.flat, 5, 2, parts), MSKP_ERROR_BAD_ARGUMENT,
                   WORDS("c", "rewritable"));
    REFUSED_STATUS(mskp_chunk(b.g, "c", b.flat, 2, 0, parts), MSKP_ERROR_BAD_SHAPE,
                   WORDS("c", "5", "2"));
    REFUSED_STATUS(mskp_chunk(b.g, "c", b.flat, 0, 0, parts), MSKP_ERROR_BAD_SHAPE,
                   WORDS("c", "0"));
    REFUSED_STATUS(mskp_chunk(b.g, "c", b.flat, 5, 0, NULL), MSKP_ERROR_BAD_ARGUMENT,
                   WORDS("parts"));
    REFUSED_PLAIN(mskp_pixel_shuffle(b.g, "s", b.x, 2, MSKP_SHUFFLE_CHANNEL_MAJOR),
                  MSKP_ERROR_BAD_SHAPE, WORDS("s", "3", "4"));
    REFUSED_PLAIN(mskp_pixel_shuffle(b.g, "s", b.x, 0, MSKP_SHUFFLE_CHANNEL_MAJOR),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("s", "factor 0"));
    REFUSED_PLAIN(mskp_pixel_shuffle(b.g, "s", b.flat, 1, (mskp_shuffle_order)2),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("s", "0 spatial"));
    REFUSED_PLAIN(mskp_pixel_shuffle(b.g, "s", b.x, 1, (mskp_shuffle_order)2),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("s", "order 2"));
    REFUSED_PLAIN(mskp_pixel_shuffle(b.g, "s", b.x, SIZE_MAX, MSKP_SHUFFLE_BLOCK_MAJOR),
                  MSKP_ERROR_BAD_SHAPE, WORDS("s", "3"));
    REFUSED_PLAIN(mskp_pixel_shuffle(b.g, "s", mskp_fresh(b.g, "y", 4, SHAPE(SIZE_MAX / 2)), 4,
                                     MSKP_SHUFFLE_BLOCK_MAJOR),
                  MSKP_ERROR_BAD_SHAPE, WORDS("s", "4 times", "axis 0", "too long"));
    REFUSED_PLAIN(mskp_pixel_unshuffle(b.g, "s", b.x, 0, MSKP_SHUFFLE_BLOCK_MAJOR),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("s", "factor 0"));
    REFUSED_PLAIN(mskp_pixel_unshuffle(b.g, "s", b.x, 4, MSKP_SHUFFLE_BLOCK_MAJOR),
                  MSKP_ERROR_BAD_SHAPE, WORDS("s", "axis 1", "6", "4"));
}
END_TEST

START_TEST(other_axes_are_checked)
{
    const size_t two[2] = {2, 2};
    REFUSED_PLAIN(mskp_unflatten(b.g, "u", b.x, 2, two, 0), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("u", "2"));
    REFUSED_PLAIN(mskp_unflatten(b.g, "u", b.flat, 2, two, 0), MSKP_ERROR_BAD_SHAPE,
                  WORDS("u", "5", "4"));
    REFUSED_PLAIN(mskp_unflatten(b.g, "u", (mskp_value){99}, 2, two, 0), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("u", "99"));
    REFUSED_PLAIN(mskp_unflatten(b.g, "u", b.x, 0, NULL, 0), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("u", "2 spatial"));
    REFUSED_PLAIN(mskp_unflatten(b.g, "u", b.flat, 2, NULL, 0), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("u", "spatial is NULL"));
    REFUSED_PLAIN(mskp_unflatten(b.g, "u", b.flat, 2, two, 2), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("u", "channels_last is 2"));
    REFUSED_PLAIN(mskp_unflatten(b.g, "u", b.flat, SHAPE(0), 0), MSKP_ERROR_BAD_SHAPE,
                  WORDS("u", "5", "parts of 0"));
    REFUSED_PLAIN(mskp_unflatten(b.g, "u", b.flat, SHAPE(SIZE_MAX, 5), 0), MSKP_ERROR_BAD_SHAPE,
                  WORDS("u", "5"));
    REFUSED_PLAIN(mskp_unflatten(b.g, "u", b.flat, SHAPE(1, 1, 1, 5), 0), MSKP_ERROR_BAD_SHAPE,
                  WORDS("u", "4 spatial axes"));
    REFUSED_PLAIN(mskp_reshape(b.g, "r", b.x, 2, NULL), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("r", "spatial is NULL"));
    REFUSED_PLAIN(mskp_reshape(b.g, "r", b.x, SHAPE(8, 6, 1, 1)), MSKP_ERROR_BAD_SHAPE,
                  WORDS("r", "4 spatial axes"));
    REFUSED_PLAIN(mskp_reshape(b.g, "r", b.x, SHAPE(SIZE_MAX, 2)), MSKP_ERROR_BAD_SHAPE,
                  WORDS("r", "48 positions"));
    REFUSED_PLAIN(
        mskp_reshape(b.g, "r", mskp_fresh(b.g, "y", 1, SHAPE(SIZE_MAX)), SHAPE(SIZE_MAX, 2)),
        MSKP_ERROR_BAD_SHAPE, WORDS("r", "axis 1", "2"));
    REFUSED_PLAIN(
        mskp_flatten(b.g, "f", mskp_fresh(b.g, "y", 3, SHAPE(SIZE_MAX / (wide ? 4 : 2))), 0),
        MSKP_ERROR_BAD_SHAPE, WORDS("f"));
    REFUSED_PLAIN(mskp_flatten(b.g, "f", mskp_fresh(b.g, "y", 3, SHAPE(SIZE_MAX)), 1),
                  MSKP_ERROR_BAD_SHAPE, WORDS("f"));
    REFUSED_PLAIN(mskp_reshape(b.g, "r", b.x, 2, two), MSKP_ERROR_BAD_SHAPE, WORDS("r", "48", "4"));
}
END_TEST

START_TEST(spatial_concatenation_is_checked)
{
    REFUSED_PLAIN(mskp_concat_spatial(b.g, "s", 2, LIST(b.x)), MSKP_ERROR_BAD_SHAPE,
                  WORDS("s", "axis 2"));
    REFUSED_PLAIN(mskp_concat_spatial(b.g, "s", 0, LIST(b.x, b.flat)), MSKP_ERROR_BAD_SHAPE,
                  WORDS("s", "flat", "5", "3"));
    REFUSED_PLAIN(mskp_concat_spatial(b.g, "s", 0, 1, NULL), MSKP_ERROR_BAD_ARGUMENT, WORDS("s"));
    REFUSED_PLAIN(mskp_concat_spatial(b.g, "s", 0, 0, &b.x), MSKP_ERROR_BAD_ARGUMENT, WORDS("s"));
    REFUSED_PLAIN(mskp_concat_spatial(b.g, "s", 0, LIST(b.x, (mskp_value){99})),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("s", "99"));
    REFUSED_PLAIN(
        mskp_concat_spatial(b.g, "s", 0, LIST(b.x, mskp_fresh(b.g, "y", 3, SHAPE(7, 6, 1)))),
        MSKP_ERROR_BAD_SHAPE, WORDS("s", "y", "3 spatial", "(3, 2)"));
    REFUSED_PLAIN(mskp_concat_spatial(b.g, "s", 0, LIST(b.x, mskp_fresh(b.g, "y", 3, SHAPE(7, 5)))),
                  MSKP_ERROR_BAD_SHAPE, WORDS("s", "y", "length 5", "axis 1", "value 6"));
    REFUSED_PLAIN(mskp_concat_spatial(b.g, "s", 0, LIST(b.x, mskp_fresh(b.g, "y", 2, SHAPE(8, 6)))),
                  MSKP_ERROR_BAD_SHAPE, WORDS("s", "y", "2 channels", "(3, 2)"));
    REFUSED_PLAIN(mskp_concat_spatial(b.g, "s", 0,
                                      LIST(mskp_fresh(b.g, "y", 1, SHAPE(SIZE_MAX - 3)),
                                           mskp_fresh(b.g, "z", 1, SHAPE(9)))),
                  MSKP_ERROR_BAD_SHAPE, WORDS("s", "z", "length 9", "axis 0", "too long"));
}
END_TEST

START_TEST(attention_is_checked)
{
#define ATTEND(...) mskp_attention(b.g, "a", b.flat, &(mskp_attention_desc){__VA_ARGS__})
    REFUSED_PLAIN(ATTEND(.heads = 3, .kv_heads = 2, .head_dim = 1), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("a", "3 heads", "2 key"));
    REFUSED_PLAIN(ATTEND(.heads = 1, .head_dim = 1), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("a", "query has no"));
    REFUSED_PLAIN(ATTEND(.heads = 1, .head_dim = 3, .query = b.l25), MSKP_ERROR_BAD_SHAPE,
                  WORDS("a", "query", "2", "3"));
    REFUSED_PLAIN(ATTEND(.heads = 1, .head_dim = 1, .packed = 1, .query = b.l25, .key = b.l25),
                  MSKP_ERROR_BAD_SHAPE, WORDS("a", "query", "expected 3"));
    REFUSED_PLAIN(ATTEND(.heads = 0, .head_dim = 1), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("a", "0 heads"));
    REFUSED_PLAIN(ATTEND(.heads = 2, .head_dim = 0), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("a", "2 heads of 0"));
    REFUSED_PLAIN(ATTEND(.heads = 2, .head_dim = 2, .kv_heads = 3), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("a: 2 heads are no multiple of 3 key"));
    REFUSED_PLAIN(ATTEND(.heads = 1, .head_dim = 1, .units = (mskp_attention_units)2),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("a", "units is 2"));
    REFUSED_PLAIN(ATTEND(.heads = 1, .head_dim = 1, .packed = 2), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("a", "packed is 2"));
    REFUSED_PLAIN(ATTEND(.heads = 1, .head_dim = 1, .memory = {99}), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("a", "99"));
}
END_TEST

START_TEST(large_attention_is_checked)
{
    /* Sizes whose sums and products of rows overflow, some of them to what the weight has. */
    REFUSED_PLAIN(ATTEND(.heads = 1, .head_dim = SIZE_MAX / 2 + 2, .value_dim = SIZE_MAX - 1,
                         .packed = 1, .query = b.l25),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("a", with("1 heads of ", SIZE_MAX / 2 + 2, " ")));
    REFUSED_PLAIN(ATTEND(.heads = 1, .head_dim = SIZE_MAX / 2 + 1, .value_dim = 2, .packed = 1,
                         .query = b.l25),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("a", with("1 heads of ", SIZE_MAX / 2 + 1, " ")));
    REFUSED_PLAIN(ATTEND(.heads = 1, .head_dim = 1, .value_dim = SIZE_MAX), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("a", "1 heads of 1", with("", SIZE_MAX, ")")));
    REFUSED_PLAIN(ATTEND(.heads = SIZE_MAX / 2, .head_dim = 2), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("a", with("", SIZE_MAX / 2, " heads")));
    REFUSED_PLAIN(ATTEND(.heads = SIZE_MAX / 6, .head_dim = 1), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("a", with("", SIZE_MAX / 6, " heads")));
    REFUSED_PLAIN(ATTEND(.heads = 1, .head_dim = 2, .query = b.l25), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("a", "key has no"));
    REFUSED_PLAIN(ATTEND(.heads = 1, .head_dim = 2, .query = b.l25, .query_bias = b.v7),
                  MSKP_ERROR_BAD_SHAPE, WORDS("a", "bias", "7", "2"));
}
END_TEST

START_TEST(packed_attention_is_checked)
{
#define PACKED(...)                                                                                \
    ATTEND(.heads = 1, .head_dim = 2, .packed = 1, .query = mskp_parameter(b.g, "q", SHAPE(6, 5)), \
           .output = mskp_parameter(b.g, "o", SHAPE(3, 2)), __VA_ARGS__)
    REFUSED_PLAIN(PACKED(.value = b.l25), MSKP_ERROR_BAD_ARGUMENT, WORDS("a", "value is packed"));
    REFUSED_PLAIN(PACKED(.key_bias = b.v7), MSKP_ERROR_BAD_ARGUMENT, WORDS("a", "key is packed"));
    REFUSED_PLAIN(PACKED(.output_bias = b.v7), MSKP_ERROR_BAD_SHAPE, WORDS("a", "bias", "7", "3"));
    REFUSED_PLAIN(PACKED(.memory = b.flat), MSKP_ERROR_BAD_ARGUMENT, WORDS("a", "read one input"));
    REFUSED_PLAIN((b.flat = mskp_fresh(b.g, "y", 5, SHAPE(SIZE_MAX / 2)), PACKED(.kv_heads = 0)),
                  MSKP_ERROR_BAD_SHAPE, WORDS("a", with("", SIZE_MAX / 2, " by"), "too many"));
    REFUSED_PLAIN(mskp_attention(b.g, "a", b.flat, NULL), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("a", "desc"));
}
END_TEST

START_TEST(recurrent_layers_are_checked)
{
#define RECUR(...) mskp_recurrent(b.g, "r", b.flat, &(mskp_recurrent_desc){__VA_ARGS__})
/* clang-format off */
#define SAME_TWICE (mskp_recurrent_params[]){{b.l25, b.l25, {0}, {0}}}
    /* clang-format on */
    REFUSED_PLAIN(RECUR(.params = NULL), MSKP_ERROR_BAD_ARGUMENT, WORDS("r", "params is NULL"));
    REFUSED_PLAIN(RECUR(.kind = (mskp_recurrent_kind)3, .params = SAME_TWICE),
                  MSKP_ERROR_BAD_ARGUMENT, WORDS("r", "kind 3"));
    REFUSED_PLAIN(RECUR(.kind = MSKP_RECURRENT_RNN, .params = SAME_TWICE), MSKP_ERROR_BAD_SHAPE,
                  WORDS("r", "2", "5"));
    REFUSED_PLAIN(mskp_recurrent(b.g, "r", b.flat, NULL), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("r", "desc"));
    REFUSED_PLAIN(RECUR(.bidirectional = 2, .params = SAME_TWICE), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("r", "bidirectional is 2"));
    REFUSED_PLAIN(RECUR(.state_given = 2, .params = SAME_TWICE), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("r", "state_given is 2"));
    REFUSED_PLAIN((b.flat.id = 99, RECUR(.params = SAME_TWICE)), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("r", "99"));
}
END_TEST

START_TEST(recurrent_weights_are_checked)
{
#define RNN(input, hidden, bias, more) \
    RECUR(.kind = MSKP_RECURRENT_RNN,  \
          .params = (mskp_recurrent_params[]){{input, hidden, bias, more}})
#define NONE      ((mskp_param){0})
#define SQUARE(n) mskp_parameter(b.g, "square", SHAPE(n, n))
    REFUSED_PLAIN(RNN(NONE, b.l25, NONE, NONE), MSKP_ERROR_BAD_ARGUMENT, WORDS("r", "none"));
    REFUSED_PLAIN(RNN(b.l25, NONE, NONE, NONE), MSKP_ERROR_BAD_ARGUMENT, WORDS("r", "none"));
    REFUSED_PLAIN(RNN(b.l25, ((mskp_param){99}), NONE, NONE), MSKP_ERROR_BAD_ARGUMENT,
                  WORDS("r", "99"));
    REFUSED_PLAIN(RNN(b.l25, b.v7, NONE, NONE), MSKP_ERROR_BAD_SHAPE,
                  WORDS("r", "hidden weight has 1 axes"));
    REFUSED_PLAIN(RNN(b.l25, SQUARE(3), NONE, NONE), MSKP_ERROR_BAD_SHAPE,
                  WORDS("r", "input weight", "2", "expected 3"));
    REFUSED_PLAIN(RNN(b.l25, mskp_parameter(b.g, "wide", SHAPE(3, 2)), NONE, NONE),
                  MSKP_ERROR_BAD_SHAPE, WORDS("r", "hidden weight", "3", "expected 2"));
    REFUSED_PLAIN(RNN(b.l25, SQUARE(2), b.v7, NONE), MSKP_ERROR_BAD_SHAPE,
                  WORDS("r", "bias", "7", "2"));
    REFUSED_PLAIN(RNN(b.l25, SQUARE(2), NONE, b.v4), MSKP_ERROR_BAD_SHAPE,
                  WORDS("r", "bias", "4", "2"));
}
END_TEST

START_TEST(zero_if_is_checked)
{
    REFUSED_STATUS(mskp_zero_if(b.g, b.flat, 0), MSKP_ERROR_BAD_ARGUMENT, WORDS("flat", "0x0"));
    REFUSED_STATUS(mskp_zero_if(b.g, b.flat, 16), MSKP_ERROR_BAD_ARGUMENT, WORDS("flat", "0x10"));
    REFUSED_STATUS(mskp_zero_if(b.g, (mskp_value){0}, 1), MSKP_ERROR_BAD_ARGUMENT,
                   WORDS("zero_if"));
}
END_TEST

/* A chunk that fails returns handles {0}. */
START_TEST(chunks_that_fail_are_no_handles)
{
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_value parts[2] = {{77}, {77}};
    ck_assert_int_ne(mskp_chunk(g, "c", mskp_input(g, "x", 5, 0, NULL), 2, 0, parts), MSKP_OK);
    ck_assert_uint_eq(parts[0].id + parts[1].id, 0);
    mskp_graph_destroy(g);

    /* Also where the first part was made, and the second cannot be. */
    g = mskp_graph_create(NULL);
    (void)mskp_fresh(g, "c.1", 1, 0, NULL);
    parts[0] = parts[1] = (mskp_value){7};
    ck_assert_int_eq(mskp_chunk(g, "c", mskp_input(g, "x", 4, 0, NULL), 2, 0, parts),
                     MSKP_ERROR_BAD_NAME);
    ck_assert_uint_eq(parts[0].id, 0);
    ck_assert_uint_eq(parts[1].id, 0);
    mskp_graph_destroy(g);
}
END_TEST

START_TEST(names_and_sizes_are_checked)
{
    REFUSED_PLAIN(mskp_parameter(b.g, "w", SHAPE(1)), MSKP_ERROR_BAD_NAME, WORDS("w"));
    REFUSED_PLAIN(mskp_parameter(b.g, NULL, SHAPE(1)), MSKP_ERROR_BAD_NAME, WORDS(""));
    REFUSED_PLAIN(mskp_parameter(b.g, "", SHAPE(1)), MSKP_ERROR_BAD_NAME, WORDS(""));
    REFUSED_PLAIN(mskp_parameter(b.g, "two words", SHAPE(1)), MSKP_ERROR_BAD_NAME, WORDS("two"));
    REFUSED_PLAIN(mskp_parameter(b.g, "tab\t", SHAPE(1)), MSKP_ERROR_BAD_NAME, WORDS("tab"));
    REFUSED_PLAIN(mskp_parameter(b.g, "del\x7f", SHAPE(1)), MSKP_ERROR_BAD_NAME, WORDS("del"));
    REFUSED_PLAIN(mskp_parameter(b.g, "new\nline", SHAPE(1)), MSKP_ERROR_BAD_NAME,
                  WORDS("new?line"));
    REFUSED_PLAIN(mskp_fresh(b.g, "\x1b[m", 0, 0, NULL), MSKP_ERROR_BAD_SHAPE, WORDS("?[m"));
    REFUSED_PLAIN(mskp_parameter(b.g, "p", 0, (size_t[]){1}), RANGE, WORDS("p", "0"));
    REFUSED_PLAIN(mskp_parameter(b.g, "p", SHAPE(1, 1, 1, 1, 1, 1, 1)), RANGE, WORDS("p", "7"));
    REFUSED_PLAIN(mskp_parameter(b.g, "p", SHAPE(2, 0)), RANGE, WORDS("p"));
    REFUSED_PLAIN(mskp_parameter(b.g, "p", SHAPE(SIZE_MAX / 2, 3)), RANGE, WORDS("p"));
    const unsigned most = wide ? 31 : 13; /* the logarithm of a length */
    REFUSED_PLAIN(mskp_parameter(b.g, "p", SHAPE(8, 1u << (most - 1), 1u << most)),
                  MSKP_ERROR_BAD_SHAPE, WORDS("p", "axis 2", with("", (size_t)1 << most, "")));
    REFUSED_PLAIN(mskp_parameter(b.g, "p", SHAPE(7, 1u << most, 1u << (most - 1))),
                  MSKP_ERROR_BAD_SHAPE,
                  WORDS("p", "axis 2", with("", (size_t)1 << (most - 1), "")));
    REFUSED_PLAIN(mskp_input(b.g, "flat", 1, 0, NULL), MSKP_ERROR_BAD_NAME, WORDS("flat"));
    REFUSED_PLAIN(mskp_input(b.g, "a b", 1, 0, NULL), MSKP_ERROR_BAD_NAME, WORDS("a b"));
    REFUSED_PLAIN(mskp_input(b.g, "i", 0, 0, NULL), RANGE, WORDS("i"));
    REFUSED_PLAIN(mskp_input(b.g, "i", 1, 4, (size_t[]){1, 1, 1, 1}), RANGE, WORDS("i", "4"));
    REFUSED_PLAIN(mskp_input(b.g, "i", 1, 2, (size_t[]){1, 0}), RANGE, WORDS("i"));
    REFUSED_PLAIN(mskp_input(b.g, "i", 2, 2, (size_t[]){SIZE_MAX, 3}), RANGE, WORDS("i"));
    REFUSED_PLAIN(mskp_fresh(b.g, "f", 0, 0, NULL), RANGE, WORDS("f"));
}
END_TEST

START_TEST(null_shapes_are_refused)
{
    REFUSED_PLAIN(mskp_input(b.g, "i", 1, 2, NULL), MSKP_ERROR_BAD_ARGUMENT, WORDS("i"));
    REFUSED_PLAIN(mskp_parameter(b.g, "p", 2, NULL), MSKP_ERROR_BAD_ARGUMENT, WORDS("p"));
}
END_TEST

START_TEST(parameters_must_be_bound)
{
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_param p = mskp_parameter(g, "lonely.weight", SHAPE(3));
    mskp_error err = {0};
    ck_assert_uint_eq(p.id, 1);
    ck_assert_int_ne(mskp_graph_finish(g, &err), MSKP_OK);
    ck_assert_ptr_nonnull(strstr(err.text, "lonely.weight"));
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_ERROR_BAD_SHAPE); /* err may be NULL */
    mskp_graph_destroy(g);
    g = mskp_graph_create(NULL);
    (void)mskp_fresh(g, "v", 0, 0, NULL);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_ERROR_BAD_SHAPE);
    mskp_graph_destroy(g);
}
END_TEST

static void release_nothing(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

START_TEST(services_are_checked)
{
    mskp_services services = {.release = release_nothing};
    mskp_error err = {0};
    mskp_graph *g = mskp_graph_create(&services);
    ck_assert_uint_eq(mskp_fresh(g, "v", 1, 0, NULL).id, 0);
    ck_assert_int_eq(mskp_graph_finish(g, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_str_eq(err.text, "services: allocate and release must both be set, or neither");
    mskp_graph_destroy(g);
}
END_TEST

/* Without axes there is one position, and nothing changes. */
START_TEST(no_axes_become_none)
{
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value v = mskp_fresh(g, "v", 3, 0, NULL);
    const mskp_value made[] = {mskp_unflatten(g, "u", v, 0, NULL, 0),
                               mskp_reshape(g, "r", v, 0, NULL), mskp_flatten(g, "f", v, 0)};
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    ck_assert_uint_eq(mskp_graph_counts(g).units, 3);
    for (int i = 0; i < 3; i++) {
        size_t n;
        const uint32_t *unit = mskp_value_units(g, made[i], &n);
        ck_assert_uint_eq(n, 3);
        for (uint32_t k = 0; k < 3; k++) ck_assert_uint_eq(unit[k], k);
        ck_assert_uint_eq(mskp_value_shape(g, made[i], NULL, NULL), 0);
    }
    mskp_graph_destroy(g);
}
END_TEST

START_TEST(long_names_are_shortened)
{
    char name[2000];
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_error err;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    memcpy(name, "begin", 5);
    memcpy(name + sizeof name - 4, "end", 3);
    memset(&err, 0x55, sizeof err);
    (void)mskp_parameter(g, name, SHAPE(3));
    ck_assert_int_ne(mskp_graph_finish(g, &err), MSKP_OK);
    ck_assert_ptr_nonnull(memchr(err.text, 0, sizeof err.text));
    ck_assert_ptr_nonnull(strstr(err.text, "begin"));
    ck_assert_ptr_nonnull(strstr(err.text, "end"));
    mskp_graph_destroy(g);
}
END_TEST

/* The sentence about the names is short, the names are not. */
START_TEST(parts_of_long_names)
{
    char name[300], part[320];
    static const char *const parts[] = {".heads", ".query", ".key", ".value", ".result", ".packed",
                                        ".0",     ".3",     ".h0",  ".h1",    ".gates0"};
    memset(name, 'n', sizeof name - 1);
    for (size_t length = 60; length < sizeof name; length += 7) {
        mskp_graph *g = mskp_graph_create(NULL);
        mskp_value four[4], x = mskp_input(g, "x", 4, 0, NULL);
        const mskp_param w = mskp_parameter(g, "w", SHAPE(4, 4));
        const mskp_attention_desc attention = {.query = mskp_parameter(g, "q", SHAPE(12, 4)),
                                               .output = w,
                                               .heads = 2,
                                               .head_dim = 2,
                                               .packed = 1};
        const mskp_recurrent_params rnn[2] = {{w, w, {0}, {0}}, {w, w, {0}, {0}}};
        name[length] = 0;
        name[0] = 'a';
        (void)mskp_attention(g, name, x, &attention);
        name[0] = 'r';
        (void)mskp_recurrent(
            g, name, x,
            &(mskp_recurrent_desc){.kind = MSKP_RECURRENT_RNN, .layers = 2, .params = rnn});
        name[0] = 'c';
        (void)mskp_chunk(g, name, x, 4, 1, four);
        ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            name[0] = i < 6 ? 'a' : i < 8 ? 'c' : 'r';
            (void)snprintf(part, sizeof part, "%s%s", name, parts[i]);
            const mskp_value v = mskp_value_find(g, part);
            ck_assert_msg(v.id != 0, "there is no %s", part);
            if (i == 6 || i == 7) ck_assert_uint_eq(v.id, four[i == 6 ? 0 : 3].id);
        }
        mskp_graph_destroy(g);
        name[length] = 'n';
    }
}
END_TEST

/* ---- Limits ---- */

/* A list may be too long although the channels are few; and a sum of lengths that overflows 32 bits
 * may be small again. */
START_TEST(lists_have_a_longest)
{
    enum { MANY = 1 << 16 };
    mskp_value *same = malloc((MANY + 1) * sizeof *same);
    ck_assert_ptr_nonnull(same);
    for (size_t n = MANY; n <= MANY + 1; n++) {
        mskp_graph *g = mskp_graph_create(NULL);
        mskp_error err = {0};
        const mskp_value v = mskp_fresh(g, "v", MANY, 0, NULL);
        for (size_t i = 0; i < n; i++) same[i] = v;
        ck_assert_uint_eq(mskp_concat(g, "long", n, same).id, 0);
        ck_assert_int_eq(mskp_graph_finish(g, &err), MSKP_ERROR_BAD_SHAPE);
        ck_assert_ptr_nonnull(strstr(err.text, "long: 4294"));
        mskp_graph_destroy(g);
    }
    free(same);
}
END_TEST

/* Axes share a list, so a small graph has more members than 32 bits can count. */
START_TEST(members_have_a_most)
{
    enum { MANY = 1 << 16 };
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_error err = {0};
    char name[16];
    const mskp_value v = mskp_fresh(g, "v", MANY, 0, NULL);
    for (int i = 0; i <= MANY; i++) {
        (void)snprintf(name, sizeof name, "p%d", i);
        (void)mskp_bind(g, mskp_parameter(g, name, SHAPE(MANY)), 0, MSKP_ROLE_SCALE, v);
    }
    ck_assert_int_eq(mskp_graph_finish(g, &err), MSKP_ERROR_NO_MEMORY);
    ck_assert_ptr_nonnull(strstr(err.text, "65536 channels"));
    mskp_graph_destroy(g);
}
END_TEST

/* Costs are whole numbers up to 2^53; so many parameters are counted where size_t has 64 bits. */
START_TEST(costs_have_a_largest)
{
    const size_t half = (size_t)1 << (wide ? 26 : 13); /* squared: 2^52, or 2^26 */
    for (int how = 0; how < (wide ? 7 : 6); how++) {
        mskp_graph *g = mskp_graph_create(NULL);
        mskp_error err = {0};
        mskp_cost all;
        const mskp_value v = mskp_fresh(g, "v", 2, 0, NULL);
        const mskp_param one = mskp_parameter(g, "one", SHAPE(half, half));
        const mskp_param two = mskp_parameter(g, "two", SHAPE(half, half));
        const mskp_param w = mskp_parameter(g, "w", SHAPE(2));
        ck_assert_int_eq(mskp_bind(g, w, 0, MSKP_ROLE_MEAN, v), MSKP_OK); /* is not counted */
        mskp_attach(g, one, v);
        mskp_attach(g, two, v);
        mskp_add_macs(g, v, (mskp_param){0}, (uint64_t)1 << 51);
        mskp_add_macs(g, v, w, (uint64_t)1 << 51);
        /* That was 2^53 of both, and is allowed. */
        if (how == 1) mskp_add_macs(g, v, w, 1);
        if (how == 2) mskp_add_macs(g, v, (mskp_param){0}, 1);
        if (how == 3) mskp_add_macs(g, v, (mskp_param){0}, UINT64_MAX);
        if (how == 4) mskp_add_macs(g, v, one, (uint64_t)1 << 63);
        if (how == 5) mskp_add_macs(g, v, one, 3);
        if (how == 6) mskp_attach(g, mskp_parameter(g, "three", SHAPE(1)), v);
        const mskp_status status = mskp_graph_finish(g, &err);
        if (how == 0) {
            ck_assert_int_eq(status, MSKP_OK);
            ck_assert_int_eq(mskp_measure(g, (mskp_mask){0}, &all, NULL, NULL), MSKP_OK);
            ck_assert(all.macs == 0x1p53 && all.params == (wide ? 0x1p53 : 0x1p27));
        } else {
            ck_assert_int_eq(status, MSKP_ERROR_UNSUPPORTED);
            ck_assert_int_eq(err.status, MSKP_ERROR_UNSUPPORTED);
            ck_assert_ptr_nonnull(strstr(err.text, "v: with it"));
            ck_assert_ptr_nonnull(strstr(err.text, how == 6 ? "parameters" : "accumulates"));
            ck_assert_uint_eq(mskp_graph_counts(g).values, 0);
        }
        mskp_graph_destroy(g);
    }
}
END_TEST

/* A network without parameters, and one without anything. */
/* A cost for each channel of another value: the product of three widths, also of the smaller
 * graph, and of parameters the same number as ever. */
START_TEST(costs_for_each_channel)
{
    enum { A = 5, B = 4, UNITS = A + B, EACH = 3, MORE = 7 };
    for (uint32_t bits = 0; bits < 1u << UNITS; bits++) {
        mskp_graph *g = mskp_graph_create(NULL), *small;
        mskp_plan *plan;
        mskp_error err;
        mskp_cost cost;
        uint8_t keep[UNITS];
        size_t a_left = 0, b_left = 0;
        const mskp_value a = mskp_fresh(g, "a", A, 0, NULL), b = mskp_fresh(g, "b", B, 0, NULL);
        const mskp_param w = mskp_parameter(g, "w", SHAPE(2, A));
        ck_assert_int_eq(mskp_bind(g, w, 1, MSKP_ROLE_CONSUMER, a), MSKP_OK);
        ck_assert_int_eq(mskp_add_macs(g, a, w, EACH), MSKP_OK);
        ck_assert_int_eq(mskp_add_macs(g, a, (mskp_param){0}, MORE), MSKP_OK);
        ck_assert_int_eq(mskp_macs_for_each(g, a, b), MSKP_OK);
        ck_assert_int_eq(mskp_add_macs(g, a, (mskp_param){0}, 1), MSKP_OK); /* not for each */
        ck_assert_msg(!mskp_graph_finish(g, &err), "%s", err.text);
        ck_assert_uint_eq(mskp_graph_counts(g).units, UNITS);
        for (size_t u = 0; u < UNITS; u++) {
            keep[u] = bits >> u & 1;
            *(u < A ? &a_left : &b_left) += keep[u];
        }
        if (a_left && b_left) {
            const double macs = (double)((2 * EACH + MORE) * a_left * b_left + a_left);
            const mskp_mask mask = mask_of(UNITS, keep);
            ck_assert_int_eq(mskp_measure(g, mask, &cost, NULL, NULL), MSKP_OK);
            ck_assert_double_eq(cost.macs, macs);
            ck_assert_double_eq(cost.params, (double)(2 * a_left));
            ck_assert_msg(!mskp_plan_create(g, mask, &plan, &small, &err), "%s", err.text);
            ck_assert_int_eq(mskp_measure(small, (mskp_mask){0}, &cost, NULL, NULL), MSKP_OK);
            ck_assert_double_eq(cost.macs, macs);
            mskp_plan_destroy(plan);
            mskp_graph_destroy(small);
        }
        mskp_graph_destroy(g);
    }
}
END_TEST

START_TEST(a_cost_has_one_factor)
{
    mskp_error err;
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value a = mskp_fresh(g, "a", 2, 0, NULL), b = mskp_fresh(g, "b", 2, 0, NULL);
    mskp_add_macs(g, a, (mskp_param){0}, 1);
    ck_assert_int_eq(mskp_macs_for_each(g, a, b), MSKP_OK);
    ck_assert_int_eq(mskp_macs_for_each(g, a, a), MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_graph_finish(g, &err), MSKP_ERROR_BAD_STATE);
    ck_assert_ptr_nonnull(strstr(err.text, "the cost of value 1"));
    ck_assert_ptr_nonnull(strstr(err.text, "channel of value 2"));
    mskp_graph_destroy(g);
}
END_TEST

START_TEST(nothing_is_something)
{
    for (int empty = 0; empty < 2; empty++) {
        mskp_graph *g = mskp_graph_create(NULL), *small;
        mskp_plan *plan;
        mskp_cost cost = {7, 7};
        uint8_t keep[2] = {0, 1};
        const size_t units = empty ? 0 : 2;
        if (!empty) (void)mskp_fresh(g, "v", 2, 0, NULL);
        ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
        ck_assert_uint_eq(mskp_param_find(g, "v").id, 0);
        ck_assert_uint_eq(mskp_value_find(g, "v").id, empty ? 0 : 1);
        ck_assert_uint_eq(mskp_graph_counts(g).units, units);
        ck_assert_int_eq(mskp_measure(g, mask_of(units, keep), &cost, NULL, NULL), MSKP_OK);
        ck_assert(cost.macs == 0 && cost.params == 0);
        ck_assert_int_eq(mskp_plan_create(g, mask_of(units, keep), &plan, &small, NULL), MSKP_OK);
        mskp_graph_destroy(g);
        ck_assert_uint_eq(mskp_graph_counts(small).units, empty ? 0 : 1);
        ck_assert_uint_eq(mskp_graph_counts(small).values, empty ? 0 : 1);
        ck_assert_uint_eq(mskp_value_find(small, "v").id, empty ? 0 : 1);
        ck_assert_uint_eq(mskp_param_find(small, "v").id, 0);
        const mskp_tensor nothing[1] = {{0}};
        ck_assert_int_eq(cut_by_id(plan, 0, 1, &(move_by_id){(mskp_tensor[]){{0}}, nothing}, NULL),
                         MSKP_OK);
        mskp_plan_destroy(plan);
        mskp_graph_destroy(small);
    }
}
END_TEST

/* Parts that start at one channel and end at another each. */
START_TEST(slices_from_one_channel)
{
    enum { WIDE = 300 };
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value all = mskp_fresh(g, "all", WIDE, 0, NULL);
    mskp_value part[WIDE + 1];
    size_t n;
    for (size_t k = 1; k <= WIDE; k++) part[k] = mskp_slice(g, NULL, all, 0, k);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    for (size_t k = 1; k <= WIDE; k++) {
        const uint32_t *unit = mskp_value_units(g, part[k], &n);
        ck_assert_uint_eq(n, k);
        for (uint32_t i = 0; i < k; i++) ck_assert_uint_eq(unit[i], i);
    }
    /* Channel i stands in the parts of i + 1 channels and more: no two in the same. */
    ck_assert_uint_eq(mskp_graph_counts(g).families, WIDE);
    mskp_graph_destroy(g);
}
END_TEST

/* ---- What mskp_value_coupling reports ---- */

/* inexact_by names the first norm, whatever the order of the channels. */
START_TEST(the_first_norm_is_named)
{
    for (int order = 0; order < 2; order++) {
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_norm_desc inexact = {.kind = MSKP_NORM_LAYER, .accept_inexact = 1};
        mskp_value v[3], both;
        mskp_coupling info;
        for (int i = 0; i < 3; i++) v[i] = mskp_fresh(g, NULL, 2, 0, NULL);
        const mskp_value first = mskp_norm(g, "first", v[0], &inexact);
        const mskp_value second = mskp_norm(g, "second", v[1], &inexact);
        both = mskp_concat(g, NULL, LIST(order ? second : first, v[2], order ? first : second));
        ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
        ck_assert_int_eq(mskp_value_coupling(g, both, &info, NULL), MSKP_OK);
        ck_assert_uint_eq(info.inexact, 4);
        ck_assert_uint_eq(info.inexact_by.id, first.id);
        mskp_graph_destroy(g);
    }
}
END_TEST

/* A norm mixes what is tied to its input, too. */
START_TEST(what_is_tied_is_inexact)
{
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_norm_desc inexact = {.kind = MSKP_NORM_LAYER, .accept_inexact = 1};
    mskp_value v[2];
    mskp_coupling info;
    for (int i = 0; i < 2; i++) v[i] = mskp_fresh(g, NULL, 2, 0, NULL);
    const mskp_value sum = mskp_combine(g, NULL, MSKP_COMBINE_ADD, 2, v);
    const mskp_value norm = mskp_norm(g, "norm", sum, &inexact);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(mskp_value_coupling(g, v[i], &info, NULL), MSKP_OK);
        ck_assert_uint_eq(info.inexact, 2);
        ck_assert_uint_eq(info.inexact_by.id, norm.id);
    }
    mskp_graph_destroy(g);
}
END_TEST

/* More parts than channels: all of the caller's parts are {0}, and without an array there are
 * none. */
START_TEST(chunk_of_too_many_parts)
{
    enum { MOST = 64 };
    const size_t counts[] = {4, MOST, SIZE_MAX, SIZE_MAX / 2, (size_t)UINT32_MAX + 1};
    mskp_value part = {7};
    ck_assert_int_eq(mskp_chunk(NULL, "c", (mskp_value){1}, 1, 0, &part), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_uint_eq(part.id, 0);
    for (int i = 0; i < 5; i++)
        for (uint32_t id = 0; id < 2; id++) {
            mskp_graph *g = mskp_graph_create(NULL);
            const mskp_value v = mskp_input(g, "v", 3, 0, NULL);
            const bool fits = counts[i] <= MOST;
            mskp_value parts[MOST + 1];
            for (int k = 0; k <= MOST; k++) parts[k].id = 7;
            ck_assert_int_ne(
                mskp_chunk(g, "c", id ? v : (mskp_value){0}, counts[i], 0, fits ? parts : NULL),
                MSKP_OK);
            for (size_t k = 0; k <= MOST; k++)
                ck_assert_uint_eq(parts[k].id, fits && k < counts[i] ? 0 : 7);
            mskp_graph_destroy(g);
        }
}
END_TEST

/* A sentence is one line of whole characters, whatever the name is. */
START_TEST(names_in_sentences)
{
    char name[200], umlauts[201] = "";
    mskp_error err = {0};
    mskp_graph *g = mskp_graph_create(NULL);
    mskp_parameter(g, "a\nb\x1b[2J\x7f", 1, (size_t[]){1});
    ck_assert_int_eq(mskp_graph_finish(g, &err), MSKP_ERROR_BAD_NAME);
    ck_assert_msg(strstr(err.text, "a?b?[2J?") != NULL, "%s", err.text);
    mskp_graph_destroy(g);
    for (size_t i = 0; i < 99; i++) memcpy(umlauts + 2 * i, "\xc3\xa4", 3);
    for (size_t k = 0; k < 4; k++) { /* of two bytes each, cut at even and odd places */
        snprintf(name, sizeof name, "%s%.*s%s", k & 1 ? "x" : "", 180, umlauts, k & 2 ? "y" : "");
        g = mskp_graph_create(NULL);
        mskp_parameter(g, name, 0, NULL);
        mskp_graph_finish(g, &err);
        for (const char *c = err.text; *c; c++) {
            if (*c == '\xc3') ck_assert_msg(c[1] == '\xa4', "half a character: %s", err.text);
            if (*c == '\xa4') ck_assert_msg(c[-1] == '\xc3', "half a character: %s", err.text);
        }
        ck_assert_ptr_nonnull(strstr(err.text, "..."));
        mskp_graph_destroy(g);
    }
    memset(name, 0x80, 100); /* second halves alone: nothing of it is shown */
    name[100] = 0;
    g = mskp_graph_create(NULL);
    mskp_parameter(g, name, 0, NULL);
    mskp_graph_finish(g, &err);
    ck_assert_msg(strstr(err.text, "...") && !strchr(err.text, '\x80'), "%s", err.text);
    mskp_graph_destroy(g);
}
END_TEST

/* A group norm of no groups is of one, which is a layer norm's. */
START_TEST(one_group_is_all)
{
    for (int accept = 0; accept < 2; accept++)
        for (int grouping = 0; grouping < 3; grouping++) {
            mskp_graph *g = mskp_graph_create(NULL);
            mskp_norm_desc norm = {.kind = MSKP_NORM_GROUP,
                                   .grouping = (mskp_grouping)grouping,
                                   .accept_inexact = (uint32_t)accept};
            mskp_coupling one, layer;
            mskp_value v[3];
            v[0] = mskp_norm(g, "v0", mskp_fresh(g, NULL, 4, 0, NULL), &norm);
            norm.groups = 1;
            v[1] = mskp_norm(g, "v1", mskp_fresh(g, NULL, 4, 0, NULL), &norm);
            norm = (mskp_norm_desc){.kind = MSKP_NORM_LAYER, .accept_inexact = (uint32_t)accept};
            v[2] = mskp_norm(g, "v2", mskp_fresh(g, NULL, 4, 0, NULL), &norm);
            ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
            ck_assert_int_eq(mskp_value_coupling(g, v[2], &layer, NULL), MSKP_OK);
            ck_assert_uint_eq(layer.pinned, accept ? 0 : 4);
            for (int i = 0; i < 2; i++) {
                ck_assert_int_eq(mskp_value_coupling(g, v[i], &one, NULL), MSKP_OK);
                ck_assert_uint_eq(one.units, layer.units);
                ck_assert_uint_eq(one.pinned, layer.pinned);
                ck_assert_uint_eq(one.tied, layer.tied);
                ck_assert_uint_eq(one.inexact, layer.inexact);
            }
            mskp_graph_destroy(g);
        }
}
END_TEST

/* Bound or attached before: nothing is done. */
START_TEST(parameters_count_where_they_came_first)
{
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param bound = mskp_parameter(g, "bound", SHAPE(2));
    const mskp_param apart = mskp_parameter(g, "apart", SHAPE(3));
    const mskp_value a = mskp_fresh(g, "a", 2, 0, NULL), b = mskp_fresh(g, "b", 2, 0, NULL);
    mskp_cost each[2] = {{7, 7}, {7, 7}};
    ck_assert_int_eq(mskp_bind(g, bound, 0, MSKP_ROLE_SCALE, a), MSKP_OK);
    ck_assert_int_eq(mskp_attach(g, bound, b), MSKP_OK);
    ck_assert_int_eq(mskp_attach(g, apart, b), MSKP_OK);
    ck_assert_int_eq(mskp_attach(g, apart, a), MSKP_OK);
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_measure(g, (mskp_mask){0}, NULL, each, NULL), MSKP_OK);
    ck_assert(each[0].params == 2 && each[1].params == 3);
    ck_assert_int_eq(mskp_measure(g, (mskp_mask){0}, NULL, NULL, NULL), MSKP_OK);
    mskp_graph_destroy(g);
}
END_TEST

/* A unit is exact if it is zero with these roles, or if the weights that read it are zero. */
START_TEST(zero_as_the_caller_declares)
{
    for (uint32_t said = 1; said <= MSKP_ROLES_UNIT; said++) {
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_param w = mskp_parameter(g, "w", SHAPE(2, 3));
        const mskp_value v = mskp_fresh(g, "v", 3, 0, NULL);
        ck_assert_int_eq(mskp_zero_if(g, v, said), MSKP_OK);
        mskp_output(g, mskp_linear(g, "out", v, w, (mskp_param){0}));
        ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
        for (uint32_t roles = 0; roles <= MSKP_ROLES_UNIT; roles++) {
            uint8_t exact[3] = {9, 9, 9};
            const int expected = (said & ~roles) == 0 || roles & MSKP_ROLE_CONSUMER ? 1 : 0;
            ck_assert_int_eq(mskp_exact(g, roles, mask_of(3, exact), NULL), MSKP_OK);
            for (int i = 0; i < 3; i++)
                ck_assert_msg(exact[i] == expected, "zero if 0x%x, asked 0x%x: %u", said, roles,
                              exact[i]);
        }
        mskp_graph_destroy(g);
    }
}
END_TEST

/* A hidden unit is zero with its rows, and with its biases where it has any. */
START_TEST(zero_of_hidden_units)
{
    for (int biases = 0; biases < 4; biases++) {
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_param none = {0}, w = mskp_parameter(g, "w", SHAPE(1, 2));
        const mskp_recurrent_params p = {mskp_parameter(g, "ih", SHAPE(2, 3)),
                                         mskp_parameter(g, "hh", SHAPE(2, 2)),
                                         biases & 1 ? mskp_parameter(g, "ib", SHAPE(2)) : none,
                                         biases & 2 ? mskp_parameter(g, "hb", SHAPE(2)) : none};
        const mskp_value h =
            mskp_recurrent(g, "h", mskp_input(g, "x", 3, SHAPE(5)),
                           &(mskp_recurrent_desc){.kind = MSKP_RECURRENT_RNN, .params = &p});
        uint8_t exact[2];
        mskp_output(g, mskp_linear(g, "out", h, w, none));
        ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
        ck_assert_int_eq(mskp_exact(g, MSKP_ROLE_FILTER, mask_of(2, exact), NULL), MSKP_OK);
        ck_assert_uint_eq(exact[0], biases == 0);
        ck_assert_int_eq(mskp_exact(g, MSKP_ROLE_FILTER | MSKP_ROLE_SHIFT, mask_of(2, exact), NULL),
                         MSKP_OK);
        ck_assert_uint_eq(exact[0], 1);
        ck_assert_int_eq(mskp_exact(g, MSKP_ROLE_SHIFT, mask_of(2, exact), NULL), MSKP_OK);
        ck_assert_uint_eq(exact[0], 0);
        mskp_graph_destroy(g);
    }
}
END_TEST

/* The answer of mskp_exact for unit 0, one bit for each set of roles. */
static uint32_t exact_of(mskp_graph *g)
{
    uint32_t bits = 0;
    uint8_t exact[8];
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    for (uint32_t roles = 0; roles <= MSKP_ROLES_UNIT; roles++) {
        ck_assert_int_eq(mskp_exact(g, roles, mask_of(mskp_graph_counts(g).units, exact), NULL),
                         MSKP_OK);
        bits |= (uint32_t)exact[0] << roles;
    }
    mskp_graph_destroy(g);
    return bits;
}

/* Sets of roles that have one of these. */
static uint32_t sets_with(uint32_t any)
{
    uint32_t bits = 0;
    for (uint32_t roles = 0; roles <= MSKP_ROLES_UNIT; roles++)
        if (roles & any) bits |= UINT32_C(1) << roles;
    return bits;
}

/* y has no bias: zero with its filters. What a caller binds or attaches to it may make it anything,
 * but for a factor, and but for what the caller says itself, before or after. */
START_TEST(zero_of_what_a_caller_adds_to)
{
    enum { NOTHING, FACTOR, READER, BIAS, FILTER, OTHER, ATTACHED, SAID_FIRST, SAID_LAST, CASES };
    const uint32_t filter = sets_with(MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER);
    const uint32_t consumer = sets_with(MSKP_ROLE_CONSUMER);
    for (int how = 0; how < CASES; how++) {
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_param none = {0}, w = mskp_parameter(g, "w", SHAPE(2, 3));
        const mskp_param v = mskp_parameter(g, "v", SHAPE(1, 2));
        const mskp_param p = mskp_parameter(g, "p", SHAPE(2));
        const mskp_value y = mskp_linear(g, "y", mskp_input(g, "in", 3, 0, NULL), w, none);
        if (how == SAID_FIRST) mskp_zero_if(g, y, MSKP_ROLE_FILTER);
        if (how == ATTACHED)
            mskp_attach(g, p, y);
        else if (how != NOTHING)
            mskp_bind(g, p, 0,
                      how == FACTOR   ? MSKP_ROLE_SCALE
                      : how == READER ? MSKP_ROLE_CONSUMER
                      : how == FILTER ? MSKP_ROLE_FILTER
                      : how == OTHER  ? MSKP_ROLE_OTHER
                                      : MSKP_ROLE_SHIFT,
                      y);
        else
            mskp_bind(g, p, 0, MSKP_ROLE_OTHER, mskp_fresh(g, "side", 2, 0, NULL));
        if (how == SAID_LAST) mskp_zero_if(g, y, MSKP_ROLE_FILTER);
        mskp_output(g, mskp_linear(g, "out", y, v, none));
        const bool known = how <= READER || how >= SAID_FIRST;
        ck_assert_msg(exact_of(g) == (known ? filter : consumer), "case %d", how);
    }
}
END_TEST

/* (0 - mean) / deviation is zero where the mean is that of its own zeros. */
START_TEST(zero_of_running_statistics)
{
    for (int how = 0; how < 4; how++) { /* bit 0: a mean, bit 1: a variance */
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_param none = {0}, w = mskp_parameter(g, "w", SHAPE(2, 3, 1));
        const mskp_param v = mskp_parameter(g, "v", SHAPE(1, 2, 1));
        const mskp_value y =
            mskp_conv(g, "y", mskp_input(g, "in", 3, SHAPE(4)), &(mskp_conv_desc){.weight = w});
        const mskp_value z = mskp_norm(
            g, "z", y,
            &(mskp_norm_desc){.kind = MSKP_NORM_INSTANCE,
                              .mean = how & 1 ? mskp_parameter(g, "m", SHAPE(2)) : none,
                              .variance = how & 2 ? mskp_parameter(g, "s", SHAPE(2)) : none});
        mskp_output(g, mskp_conv(g, "out", z, &(mskp_conv_desc){.weight = v}));
        ck_assert_msg(exact_of(g) == sets_with(how ? MSKP_ROLE_CONSUMER
                                                   : MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER),
                      "case %d", how);
    }
}
END_TEST

/* One channel that is multiplied with all of another value: it cannot be removed. */
START_TEST(zero_of_what_all_channels_read)
{
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param none = {0}, w = mskp_parameter(g, "w", SHAPE(1, 3));
    const mskp_value in = mskp_input(g, "in", 3, 0, NULL);
    const mskp_value s = mskp_linear(g, "s", in, w, none);
    mskp_output(g, mskp_combine(g, "y", MSKP_COMBINE_MULTIPLY, LIST(in, s)));
    ck_assert_uint_eq(exact_of(g), 0);
}
END_TEST

/* A parameter as an operand is zero with any of its roles, a quotient never, as far as is known. */
START_TEST(zero_of_operands)
{
    for (int divide = 0; divide < 2; divide++)
        for (uint32_t bound = 0; bound <= MSKP_ROLES_UNIT; bound++) {
            if (bound & MSKP_ROLE_CONSUMER) continue; /* it reads nothing */
            mskp_graph *g = mskp_graph_create(NULL);
            const mskp_param p = mskp_parameter(g, "p", SHAPE(2));
            const mskp_param w = mskp_parameter(g, "w", SHAPE(1, 2));
            mskp_value v = mskp_param_operand(g, "v", p, 0, bound, 0, NULL);
            if (divide) v = mskp_combine(g, NULL, MSKP_COMBINE_DIVIDE, LIST(v, v));
            mskp_output(g, mskp_linear(g, "out", v, w, (mskp_param){0}));
            ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
            for (uint32_t roles = 0; roles <= MSKP_ROLES_UNIT; roles++) {
                uint8_t exact[2] = {9, 9};
                const int expected =
                    (!divide && (roles & bound)) || roles & MSKP_ROLE_CONSUMER ? 1 : 0;
                ck_assert_int_eq(mskp_exact(g, roles, mask_of(2, exact), NULL), MSKP_OK);
                ck_assert_msg(exact[0] == expected && exact[1] == expected,
                              "bound 0x%x, asked 0x%x: %u", bound, roles, exact[0]);
            }
            mskp_graph_destroy(g);
        }
}
END_TEST

/* ---- States ---- */

/* Three operators: 18 units, 4 parameters, 5 values. */
typedef struct described {
    base b;
    mskp_value c, d, e;
} described;

static described describe(void)
{
    described f = {.b = begin()};
    const base *b = &f.b;
    f.c = mskp_conv(b->g, "c", b->x, &(mskp_conv_desc){.weight = b->w, .bias = b->v4});
    f.d = mskp_linear(b->g, "d", b->flat, b->l25, (mskp_param){0});
    f.e = mskp_fresh(b->g, "e", 7, 0, NULL);
    ck_assert_int_eq(mskp_bind(b->g, b->v7, 0, 0, f.e), MSKP_OK);
    return f;
}

START_TEST(before_finish_there_are_only_names_and_shapes)
{
    described f = describe();
    mskp_coupling info;
    mskp_error err = {0};
    mskp_cost cost;
    double scores[32];
    size_t n = 99;
    const mskp_counts counts = mskp_graph_counts(f.b.g);
    ck_assert_uint_eq(counts.units + counts.families + counts.params + counts.values, 0);
    ck_assert_ptr_null(mskp_value_units(f.b.g, f.c, &n));
    ck_assert_ptr_null(mskp_param_units(f.b.g, f.b.w, 0, NULL, NULL));
    ck_assert_ptr_null(mskp_unit_members(f.b.g, 0, NULL));
    ck_assert_ptr_null(mskp_unit_families(f.b.g, NULL));
    ck_assert_ptr_null(mskp_family_units(f.b.g, 0, NULL));
    ck_assert_uint_eq(mskp_param_shape(f.b.g, f.b.w, NULL), 4);
    ck_assert_uint_eq(mskp_param_roles(f.b.g, f.b.w), 0);
    ck_assert_ptr_null(mskp_unit_families(f.b.g, &n));
    ck_assert_uint_eq(n, 0);
    ck_assert_uint_eq(mskp_value_find(f.b.g, "c").id, f.c.id);
    ck_assert_uint_eq(mskp_param_find(f.b.g, "w").id, f.b.w.id);
    ck_assert_uint_eq(mskp_param_find(f.b.g, "none").id, 0);
    ck_assert_str_eq(mskp_value_name(f.b.g, f.c), "c");
    ck_assert_str_eq(mskp_param_name(f.b.g, f.b.w), "w");
    ck_assert_ptr_null(mskp_param_name(f.b.g, (mskp_param){99}));
    ck_assert_ptr_null(mskp_value_name(f.b.g, (mskp_value){0}));
    ck_assert_int_eq(mskp_value_coupling(f.b.g, f.c, &info, &err), MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(err.status, MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_measure(f.b.g, (mskp_mask){0}, &cost, NULL, NULL), MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_score(f.b.g, NULL, set_by_id(mskp_graph_counts(f.b.g).params, NULL),
                                scores_of(0, scores), NULL) == MSKP_OK,
                     0);
    mskp_graph_destroy(f.b.g);
}
END_TEST

START_TEST(finish_counts_and_leaves_the_error_alone)
{
    described f = describe();
    mskp_error err;
    mskp_counts counts;
    err = (mskp_error){.status = MSKP_ERROR_NO_DATA, .text = "untouched"};
    ck_assert_int_eq(mskp_graph_finish(f.b.g, &err), MSKP_OK);
    ck_assert_int_eq(err.status, MSKP_ERROR_NO_DATA);
    ck_assert_str_eq(err.text, "untouched");
    counts = mskp_graph_counts(f.b.g);
    ck_assert_uint_eq(counts.units, 4 + 5 + 2 + 7);
    ck_assert_uint_eq(counts.params, 4);
    ck_assert_uint_eq(counts.values, 5);
    mskp_graph_destroy(f.b.g);
}
END_TEST

START_TEST(after_finish_nothing_is_described)
{
    described f = describe();
    ck_assert_int_eq(mskp_graph_finish(f.b.g, NULL), MSKP_OK);
    const mskp_param none = {0};
    mskp_error err = {0};
    ck_assert_int_eq(mskp_graph_finish(f.b.g, &err), MSKP_ERROR_BAD_STATE);
    ck_assert_uint_eq(mskp_parameter(f.b.g, "late", SHAPE(1)).id, 0);
    ck_assert_uint_eq(mskp_input(f.b.g, "late", 1, 0, NULL).id, 0);
    ck_assert_uint_eq(mskp_fresh(f.b.g, "late", 1, 0, NULL).id, 0);
    ck_assert_uint_eq(mskp_conv(f.b.g, NULL, f.b.x, &(mskp_conv_desc){.weight = f.b.w}).id, 0);
    ck_assert_uint_eq(mskp_linear(f.b.g, NULL, f.b.flat, f.b.l25, none).id, 0);
    ck_assert_uint_eq(mskp_norm(f.b.g, NULL, f.b.x, &(mskp_norm_desc){.scale = none}).id, 0);
    ck_assert_uint_eq(mskp_activation(f.b.g, NULL, f.b.x, NULL).id, 0);
    ck_assert_uint_eq(mskp_pool(f.b.g, NULL, f.b.x, &(mskp_pool_desc){.size = {2}}).id, 0);
    ck_assert_uint_eq(mskp_combine(f.b.g, NULL, MSKP_COMBINE_ADD, LIST(f.b.x, f.b.x)).id, 0);
    ck_assert_uint_eq(mskp_slice(f.b.g, NULL, f.b.x, 0, 1).id, 0);
    ck_assert_uint_eq(mskp_pad_channels(f.b.g, NULL, f.b.x, 0, 1).id, 0);
    ck_assert_uint_eq(mskp_flatten(f.b.g, NULL, f.b.x, 0).id, 0);
    ck_assert_uint_eq(mskp_pick(f.b.g, NULL, f.b.x, SHAPE(1)).id, 0);
    ck_assert_uint_eq(mskp_concat(f.b.g, NULL, LIST(f.b.x)).id, 0);
    const mskp_counts counts = mskp_graph_counts(f.b.g);
    ck_assert_uint_eq(counts.units, 18);
    ck_assert_uint_eq(counts.values, 5);
    mskp_graph_destroy(f.b.g);
}
END_TEST

START_TEST(after_finish_no_further_operator_is_described)
{
    described f = describe();
    ck_assert_int_eq(mskp_graph_finish(f.b.g, NULL), MSKP_OK);
    const mskp_param none = {0};
    const size_t six[2] = {6, 8};
    mskp_value part = {5};
    const mskp_recurrent_desc recurrent = {
        .kind = MSKP_RECURRENT_RNN,
        .params = &(mskp_recurrent_params){f.b.l25, f.b.l25, none, none}};
    const mskp_attention_desc attention = {.heads = 1, .head_dim = 1};
    ck_assert_uint_eq(
        mskp_conv_transposed(f.b.g, NULL, f.b.x, &(mskp_conv_desc){.weight = f.b.w}).id, 0);
    ck_assert_uint_eq(mskp_embedding(f.b.g, NULL, f.b.l25, 0, NULL).id, 0);
    ck_assert_uint_eq(mskp_param_operand(f.b.g, NULL, f.b.v4, 0, MSKP_ROLE_SCALE, 0, NULL).id, 0);
    ck_assert_uint_eq(mskp_prelu(f.b.g, NULL, f.b.flat, f.b.v4).id, 0);
    ck_assert_int_eq(mskp_chunk(f.b.g, NULL, f.b.x, 1, 0, &part), MSKP_ERROR_BAD_STATE);
    ck_assert_uint_eq(part.id, 0);
    ck_assert_uint_eq(mskp_unflatten(f.b.g, NULL, f.b.flat, 0, NULL, 0).id, 0);
    ck_assert_uint_eq(mskp_reshape(f.b.g, NULL, f.b.x, 2, six).id, 0);
    ck_assert_uint_eq(mskp_channel_shuffle(f.b.g, NULL, f.b.x, 1, 0).id, 0);
    ck_assert_uint_eq(mskp_pixel_shuffle(f.b.g, NULL, f.b.x, 1, MSKP_SHUFFLE_CHANNEL_MAJOR).id, 0);
    ck_assert_uint_eq(mskp_pixel_unshuffle(f.b.g, NULL, f.b.x, 1, MSKP_SHUFFLE_CHANNEL_MAJOR).id,
                      0);
    ck_assert_uint_eq(mskp_concat_spatial(f.b.g, NULL, 0, LIST(f.b.x)).id, 0);
    ck_assert_uint_eq(mskp_attention(f.b.g, NULL, f.b.flat, &attention).id, 0);
    ck_assert_uint_eq(mskp_recurrent(f.b.g, NULL, f.b.flat, &recurrent).id, 0);
    ck_assert_uint_eq(mskp_opaque(f.b.g, NULL, &(mskp_opaque_desc){"op", 0, NULL, 1, 0, NULL}).id,
                      0);
    const mskp_counts counts = mskp_graph_counts(f.b.g);
    ck_assert_uint_eq(counts.units, 18);
    ck_assert_uint_eq(counts.values, 5);
    mskp_graph_destroy(f.b.g);
}
END_TEST

START_TEST(after_finish_nothing_is_declared)
{
    described f = describe();
    ck_assert_int_eq(mskp_graph_finish(f.b.g, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_zero_if(f.b.g, f.e, MSKP_ROLE_SCALE), MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_attach(f.b.g, f.b.v4, f.c), MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_output(f.b.g, f.d), MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_tie(f.b.g, f.d, f.d), MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_pin(f.b.g, f.d), MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_bind(f.b.g, f.b.v4, 0, 0, f.c), MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_add_macs(f.b.g, f.c, f.b.w, 1), MSKP_ERROR_BAD_STATE);
    const mskp_counts counts = mskp_graph_counts(f.b.g);
    ck_assert_uint_eq(counts.units, 18);
    ck_assert_uint_eq(counts.values, 5);
    mskp_graph_destroy(f.b.g);
}
END_TEST

START_TEST(handles_of_another_graph_have_nothing)
{
    described f = describe();
    ck_assert_int_eq(mskp_graph_finish(f.b.g, NULL), MSKP_OK);
    const mskp_counts counts = mskp_graph_counts(f.b.g);
    mskp_coupling info;
    size_t n = 99;
    /* Handles of another graph, or none. */
    ck_assert_ptr_null(mskp_value_units(f.b.g, (mskp_value){0}, &n));
    ck_assert_ptr_null(mskp_value_units(f.b.g, (mskp_value){6}, NULL));
    ck_assert_ptr_null(mskp_param_units(f.b.g, (mskp_param){5}, 0, NULL, NULL));
    ck_assert_ptr_null(mskp_param_units(f.b.g, f.b.w, 4, NULL, NULL));
    ck_assert_ptr_null(mskp_param_units(f.b.g, (mskp_param){0}, 0, NULL, NULL));
    ck_assert_ptr_null(mskp_value_units(f.b.g, (mskp_value){6}, NULL));
    ck_assert_uint_eq(mskp_param_roles(f.b.g, (mskp_param){0}), 0);
    ck_assert_uint_eq(mskp_param_roles(f.b.g, (mskp_param){5}), 0);
    ck_assert_uint_eq(mskp_value_shape(f.b.g, (mskp_value){0}, &n, NULL), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_uint_eq(mskp_value_find(f.b.g, NULL).id, 0);
    ck_assert_uint_eq(mskp_param_find(f.b.g, NULL).id, 0);
    ck_assert_uint_eq(mskp_param_shape(f.b.g, (mskp_param){0}, NULL), 0);
    ck_assert_uint_eq(mskp_param_shape(f.b.g, (mskp_param){5}, NULL), 0);
    ck_assert_uint_eq(mskp_param_shape(f.b.g, f.b.w, NULL), 4);
    ck_assert_ptr_null(mskp_unit_members(f.b.g, 18, NULL));
    ck_assert_ptr_null(mskp_family_units(f.b.g, counts.families, NULL));
    ck_assert_int_eq(mskp_value_coupling(f.b.g, (mskp_value){6}, &info, NULL),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_value_coupling(f.b.g, f.c, NULL, NULL), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_value_coupling(f.b.g, (mskp_value){0}, &info, NULL),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_value_coupling(NULL, f.c, &info, NULL), MSKP_ERROR_BAD_ARGUMENT);
    mskp_graph_destroy(f.b.g);
}
END_TEST

START_TEST(counts_may_be_left_out)
{
    described f = describe();
    ck_assert_int_eq(mskp_graph_finish(f.b.g, NULL), MSKP_OK);
    size_t n = 99;
    /* Without a count, the same array. */
    ck_assert_ptr_eq(mskp_unit_families(f.b.g, NULL), mskp_unit_families(f.b.g, &n));
    ck_assert_uint_eq(n, 18);
    ck_assert_ptr_eq(mskp_unit_members(f.b.g, 17, NULL), mskp_unit_members(f.b.g, 17, &n));
    ck_assert_uint_eq(n, 1);
    ck_assert_ptr_eq(mskp_family_units(f.b.g, 0, NULL), mskp_family_units(f.b.g, 0, &n));
    ck_assert_uint_eq(n, 5);
    mskp_graph_destroy(f.b.g);
}
END_TEST

START_TEST(masks_of_another_length_are_refused)
{
    described f = describe();
    ck_assert_int_eq(mskp_graph_finish(f.b.g, NULL), MSKP_OK);
    mskp_error err = {0};
    mskp_cost cost;
    uint8_t keep[32];
    memset(keep, 1, sizeof keep);
    ck_assert_int_eq(mskp_measure(f.b.g, mask_of(17, keep), &cost, NULL, &err),
                     MSKP_ERROR_OTHER_NETWORK);
    ck_assert_ptr_nonnull(strstr(err.text, "17"));
    ck_assert_ptr_nonnull(strstr(err.text, "18"));
    mskp_graph_destroy(f.b.g);
}
END_TEST

START_TEST(null_is_refused)
{
    mskp_error err = {0};
    mskp_counts counts = mskp_graph_counts(NULL);
    ck_assert_uint_eq(counts.units + counts.families + counts.params + counts.values, 0);
    ck_assert_int_eq(mskp_graph_finish(NULL, &err), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(err.status, MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_uint_eq(mskp_parameter(NULL, "p", SHAPE(1)).id, 0);
    ck_assert_uint_eq(mskp_input(NULL, "p", 1, 0, NULL).id, 0);
    ck_assert_int_eq(mskp_output(NULL, (mskp_value){1}), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_uint_eq(mskp_value_find(NULL, "x").id, 0);
    ck_assert_ptr_null(mskp_value_units(NULL, (mskp_value){1}, NULL));
    ck_assert_ptr_null(mskp_unit_members(NULL, 0, NULL));
    ck_assert_ptr_null(mskp_unit_families(NULL, NULL));
    ck_assert_ptr_null(mskp_param_units(NULL, (mskp_param){1}, 0, NULL, NULL));
    ck_assert_uint_eq(mskp_param_shape(NULL, (mskp_param){1}, NULL), 0);
    ck_assert_uint_eq(mskp_value_shape(NULL, (mskp_value){1}, NULL, NULL), 0);
    ck_assert_uint_eq(mskp_param_find(NULL, "x").id, 0);
    ck_assert_int_eq(mskp_measure(NULL, (mskp_mask){0}, NULL, NULL, NULL), MSKP_ERROR_BAD_ARGUMENT);
    mskp_graph_destroy(NULL);
    mskp_plan_destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("units");
    TCase *tcase = tcase_create("units");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, random_networks_are_as_the_model_says);
    tcase_add_test(tcase, same_recipe_same_graph);
    tcase_add_test(tcase, the_oracle_agrees);
    tcase_add_test(tcase, tied_weights_tie_their_channels);
    tcase_add_test(tcase, unknown_operators_are_named);
    tcase_add_test(tcase, shapes_and_roles_can_be_asked);
    tcase_add_test(tcase, roles_add_up);
    tcase_add_test(tcase, conv_is_checked);
    tcase_add_test(tcase, linear_layers_are_checked);
    tcase_add_test(tcase, activations_and_epsilons_are_checked);
    tcase_add_test(tcase, pools_are_checked);
    tcase_add_test(tcase, fixed_pools_are_checked);
    tcase_add_test(tcase, combinations_are_checked);
    tcase_add_test(tcase, slices_and_pads_are_checked);
    tcase_add_test(tcase, opaque_operators_are_checked);
    tcase_add_test(tcase, picks_and_concatenations_are_checked);
    tcase_add_test(tcase, primitives_are_checked);
    tcase_add_test(tcase, norms_are_checked);
    tcase_add_test(tcase, transposed_convolutions_are_checked);
    tcase_add_test(tcase, slopes_and_operands_are_checked);
    tcase_add_test(tcase, chunks_and_shuffles_are_checked);
    tcase_add_test(tcase, other_axes_are_checked);
    tcase_add_test(tcase, spatial_concatenation_is_checked);
    tcase_add_test(tcase, attention_is_checked);
    tcase_add_test(tcase, large_attention_is_checked);
    tcase_add_test(tcase, packed_attention_is_checked);
    tcase_add_test(tcase, recurrent_layers_are_checked);
    tcase_add_test(tcase, recurrent_weights_are_checked);
    tcase_add_test(tcase, zero_if_is_checked);
    tcase_add_test(tcase, chunks_that_fail_are_no_handles);
    tcase_add_test(tcase, names_and_sizes_are_checked);
    tcase_add_test(tcase, null_shapes_are_refused);
    tcase_add_test(tcase, parameters_must_be_bound);
    tcase_add_test(tcase, long_names_are_shortened);
    tcase_add_test(tcase, parts_of_long_names);
    tcase_add_test(tcase, lists_have_a_longest);
    if (!wide) tcase_add_test(tcase, members_have_a_most); /* 64 bits would take the memory */
    tcase_add_test(tcase, costs_have_a_largest);
    tcase_add_test(tcase, costs_for_each_channel);
    tcase_add_test(tcase, a_cost_has_one_factor);
    tcase_add_test(tcase, nothing_is_something);
    tcase_add_test(tcase, slices_from_one_channel);
    tcase_add_test(tcase, the_first_norm_is_named);
    tcase_add_test(tcase, what_is_tied_is_inexact);
    tcase_add_test(tcase, chunk_of_too_many_parts);
    tcase_add_test(tcase, names_in_sentences);
    tcase_add_test(tcase, one_group_is_all);
    tcase_add_test(tcase, parameters_count_where_they_came_first);
    tcase_add_test(tcase, zero_as_the_caller_declares);
    tcase_add_test(tcase, zero_of_hidden_units);
    tcase_add_test(tcase, services_are_checked);
    tcase_add_test(tcase, no_axes_become_none);
    tcase_add_test(tcase, zero_of_operands);
    tcase_add_test(tcase, zero_of_what_a_caller_adds_to);
    tcase_add_test(tcase, zero_of_running_statistics);
    tcase_add_test(tcase, zero_of_what_all_channels_read);
    tcase_add_test(tcase, before_finish_there_are_only_names_and_shapes);
    tcase_add_test(tcase, finish_counts_and_leaves_the_error_alone);
    tcase_add_test(tcase, after_finish_nothing_is_described);
    tcase_add_test(tcase, after_finish_no_further_operator_is_described);
    tcase_add_test(tcase, after_finish_nothing_is_declared);
    tcase_add_test(tcase, handles_of_another_graph_have_nothing);
    tcase_add_test(tcase, counts_may_be_left_out);
    tcase_add_test(tcase, masks_of_another_length_are_refused);
    tcase_add_test(tcase, null_is_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

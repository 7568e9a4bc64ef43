/*
 * Attention over a sequence of tokens, in which two query heads share each key and value head:
 *
 *     tokens -> embedding + positions = x -> x + attention(x)
 *
 * The channels of x are outputs and stay. What may be removed are either whole heads (a key and
 * value head with its two query heads), or single dimensions, each of all heads together. Both are
 * tried. With the slices of the removed units at zero, biases included, surgery changes no output.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/operators.h>
#include <mskp/tools.h> /* mskp_penalty_zero */
#include <stdio.h>

enum { WORDS = 11, LENGTH = 6, DIM = 8, SIZE = LENGTH * DIM };
enum { HEADS = 4, KV_HEADS = 2, HEAD_DIM = 4, VALUE_DIM = 3, ROWS = HEADS * HEAD_DIM };
enum { KEYS = KV_HEADS * HEAD_DIM, VALUES = KV_HEADS * VALUE_DIM, WIDTH = HEADS * VALUE_DIM };
enum { TABLE, PLACE, QUERY, KEY, VALUE, RESULT, BIAS, PARAMS = BIAS + 4 };
static const char *const name[PARAMS] = {"table",  "places", "query",  "key",    "value",
                                         "result", "bias.q", "bias.k", "bias.v", "bias.r"};
static const size_t shape[PARAMS][2] = {{WORDS, DIM},  {LENGTH, DIM}, {ROWS, DIM}, {KEYS, DIM},
                                        {VALUES, DIM}, {DIM, WIDTH},  {ROWS},      {KEYS},
                                        {VALUES},      {DIM}};
static float number[PARAMS][ROWS * DIM];
static mskp_tensor view[PARAMS];

static mskp_graph *describe(mskp_attention_units units)
{
    mskp_param p[PARAMS];
    mskp_value v[2];
    mskp_graph *g = mskp_graph_create(NULL);
    for (size_t k = 0; k < PARAMS; k++) {
        const uint32_t ndim = shape[k][1] ? 2 : 1;
        view[k] = (mskp_tensor){number[k], .ndim = ndim, .shape = {shape[k][0], shape[k][1]}};
        p[k] = mskp_parameter(g, name[k], ndim, shape[k]);
        for (size_t i = 0; i < ROWS * DIM; i++) number[k][i] = sinf((float)(i * i % 101 + k));
    }
    mskp_attention_desc a = {.heads = HEADS, .kv_heads = KV_HEADS, .units = units};
    a.query = p[QUERY], a.key = p[KEY], a.value = p[VALUE];
    a.query_bias = p[BIAS], a.key_bias = p[BIAS + 1], a.value_bias = p[BIAS + 2];
    a.output = p[RESULT], a.output_bias = p[BIAS + 3], a.head_dim = HEAD_DIM,
    a.value_dim = VALUE_DIM;
    v[0] = mskp_embedding(g, "words", p[TABLE], 1, (size_t[]){LENGTH});
    v[1] = mskp_param_operand(g, "places", p[PLACE], 1, MSKP_ROLE_FILTER, 1, (size_t[]){LENGTH});
    v[0] = mskp_combine(g, "x", MSKP_COMBINE_ADD, 2, v);
    v[1] = mskp_attention(g, "attention", v[0], &a);
    mskp_output(g, mskp_combine(g, "sum", MSKP_COMBINE_ADD, 2, v));
    return g;
}

/* y[position][out] <- w x[position] + bias */
static void linear(int k, const float *x, float *y)
{
    const size_t out = view[k].shape[0], in = view[k].shape[1];
    for (size_t i = 0; i < LENGTH * out; i++) {
        y[i] = number[BIAS + k - QUERY][i % out];
        for (size_t c = 0; c < in; c++) y[i] += number[k][i % out * in + c] * x[i / out * in + c];
    }
}

/* What the heads compute, side by side, from what they read. */
static void attend(size_t heads, const float *q, const float *k, const float *v, float *h)
{
    const size_t rows = view[QUERY].shape[0], width = view[RESULT].shape[1];
    for (size_t i = 0; i < LENGTH * width; i++) {
        const size_t dim = rows / heads, wide = width / heads;
        const size_t head = i % width / wide, shared = head / (HEADS / KV_HEADS);
        float total = 0, sum = 0;
        for (size_t s = 0; s < LENGTH; s++) {
            const float *query = &q[i / width * rows + head * dim];
            const float *key = &k[s * view[KEY].shape[0] + shared * dim];
            float dot = 0;
            for (size_t d = 0; d < dim; d++) dot += query[d] * key[d];
            dot = expf(dot / sqrtf(HEAD_DIM)); /* dim may be smaller, but the scale must stay */
            total += dot, sum += dot * v[s * view[VALUE].shape[0] + shared * wide + i % wide];
        }
        h[i] = sum / total;
    }
}

static void run(size_t heads, float *x)
{
    float h[LENGTH * ROWS], q[LENGTH * ROWS], k[LENGTH * ROWS], v[LENGTH * ROWS];
    for (size_t i = 0; i < SIZE; i++)
        x[i] = number[TABLE][i / DIM * 5 % WORDS * DIM + i % DIM] + number[PLACE][i];
    linear(QUERY, x, q), linear(KEY, x, k), linear(VALUE, x, v);
    attend(heads, q, k, v, h);
    linear(RESULT, h, q);
    for (size_t i = 0; i < SIZE; i++) x[i] += q[i];
}

static int prune(mskp_attention_units units, size_t n)
{
    const mskp_scoring filters = {.roles = MSKP_ROLE_FILTER, .magnitude = MSKP_MAGNITUDE_L2};
    const mskp_penalty all = {.roles = MSKP_ROLES_UNIT};
    const mskp_tensors values = {PARAMS, view};
    uint8_t stays[HEAD_DIM + VALUE_DIM];
    const mskp_scores scores = {n, (double[HEAD_DIM + VALUE_DIM]){0}};
    const mskp_mask keep = {n, stays};
    float before[SIZE], after[SIZE];
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    int wrong = 1;
    mskp_graph *g = describe(units);
    if (mskp_graph_finish(g, &err) || mskp_score(g, &filters, values, scores, &err) ||
        mskp_select(g, scores, &(mskp_rule){.remove_fraction = 0.5}, keep, NULL, &err) ||
        mskp_penalty_zero(g, keep, &all, values, &err) ||
        mskp_plan_create(g, keep, &plan, NULL, &err))
        goto failed;
    run(HEADS, before);
    if (mskp_plan_cut(plan, 1, &(mskp_move){.from = values}, &err)) goto failed;
    const size_t q = view[QUERY].shape[0], k = view[KEY].shape[0], v = view[VALUE].shape[0];
    run(units == MSKP_ATTENTION_HEADS ? q / HEAD_DIM : HEADS, after);
    printf("%zu of %zu units stay: query %zu, key %zu, value %zu rows\n", n - n / 2, n, q, k, v);
    wrong = q * KV_HEADS != k * HEADS || view[RESULT].shape[0] != DIM;
    for (size_t i = 0; i < SIZE; i++) wrong |= !(fabsf(after[i] - before[i]) < 1e-6f);
    if (wrong) fprintf(stderr, "attention: surgery changed an output, or left rows behind\n");
failed:
    if (err.status) fprintf(stderr, "attention: %s\n", err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    return wrong || err.status;
}

int main(void)
{
    return prune(MSKP_ATTENTION_HEADS, KV_HEADS) ||
           prune(MSKP_ATTENTION_DIMS, HEAD_DIM + VALUE_DIM);
}

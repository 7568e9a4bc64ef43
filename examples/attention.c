/*
 * Attention over a sequence of tokens: whole heads are removed. The network:
 *
 *     tokens -> embedding + positions = x -> x + attention(norm x)
 *
 * The norm pins the channels of x, because its statistics mix all of them. So the heads are the
 * only units. The slices of the removed heads are set to zero; then surgery changes no
 * output.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/operators.h>
#include <mskp/tools.h> /* mskp_penalty_zero */
#include <stdio.h>
#include <string.h>

enum { WORDS = 11, LENGTH = 6, DIM = 8, HEADS = 4, HEAD_DIM = 2, SIZE = LENGTH * DIM };
enum { TABLE, PLACE, NORM, QUERY, KEY, VALUE, RESULT, PARAMS };
static const char *const name[PARAMS] = {"embedding", "positions", "norm",  "query",
                                         "key",       "value",     "result"};
static const size_t shape[PARAMS][2] = {{WORDS, DIM}, {LENGTH, DIM}, {DIM},     {DIM, DIM},
                                        {DIM, DIM},   {DIM, DIM},    {DIM, DIM}};
static float number[PARAMS][WORDS * DIM];
static mskp_tensor view[PARAMS];

static mskp_graph *describe(void)
{
    mskp_param p[PARAMS];
    mskp_value v[2];
    mskp_graph *g = mskp_graph_create(NULL);
    for (size_t k = 0; k < PARAMS; k++) {
        view[k] = (mskp_tensor){.data = number[k], .ndim = k == NORM ? 1 : 2};
        memcpy(view[k].shape, shape[k], sizeof shape[k]);
        p[k] = mskp_parameter(g, name[k], view[k].ndim, shape[k]);
        for (size_t i = 0; i < WORDS * DIM; i++) number[k][i] = sinf((float)(i * i % 101 + k));
    }
    const mskp_norm_desc norm = {.kind = MSKP_NORM_RMS, .scale = p[NORM]};
    mskp_attention_desc attention = {.heads = HEADS, .head_dim = HEAD_DIM};
    attention.query = p[QUERY], attention.key = p[KEY], attention.value = p[VALUE];
    attention.output = p[RESULT];
    v[0] = mskp_embedding(g, "words", p[TABLE], 1, (size_t[]){LENGTH});
    v[1] = mskp_param_operand(g, "places", p[PLACE], 1, MSKP_ROLE_FILTER, 1, (size_t[]){LENGTH});
    v[0] = mskp_combine(g, "x", MSKP_COMBINE_ADD, 2, v);
    v[1] = mskp_attention(g, "attention", mskp_norm(g, "rms", v[0], &norm), &attention);
    mskp_output(g, mskp_combine(g, "sum", MSKP_COMBINE_ADD, 2, v));
    return g;
}

/* y[position][out] <- w x[position] */
static void linear(int k, const float *x, float *y)
{
    const size_t out = view[k].shape[0], in = view[k].shape[1];
    for (size_t i = 0; i < LENGTH * out; i++) {
        y[i] = 0;
        for (size_t c = 0; c < in; c++) y[i] += number[k][i % out * in + c] * x[i / out * in + c];
    }
}

/* What the heads compute, side by side, from what they read. */
static void attend(size_t width, const float *q, const float *k, const float *v, float *h)
{
    for (size_t i = 0; i < LENGTH * width; i++) {
        const size_t at = i / width * width + i % width / HEAD_DIM * HEAD_DIM, head = at % width;
        float total = 0;
        h[i] = 0;
        for (size_t s = 0; s < LENGTH; s++) {
            float dot = 0;
            for (size_t d = 0; d < HEAD_DIM; d++) dot += q[at + d] * k[s * width + head + d];
            const float weight = expf(dot / sqrtf(HEAD_DIM));
            total += weight, h[i] += weight * v[s * width + i % width];
        }
        h[i] /= total;
    }
}

static void run(float *x)
{
    float y[SIZE], q[SIZE], k[SIZE], v[SIZE];
    for (size_t t = 0; t < LENGTH; t++) {
        float *at = &x[t * DIM], sum = 1e-5f;
        for (size_t c = 0; c < DIM; c++) {
            at[c] = number[TABLE][t * 5 % WORDS * DIM + c] + number[PLACE][t * DIM + c];
            sum += at[c] * at[c] / DIM;
        }
        for (size_t c = 0; c < DIM; c++) y[t * DIM + c] = number[NORM][c] * at[c] / sqrtf(sum);
    }
    linear(QUERY, y, q), linear(KEY, y, k), linear(VALUE, y, v);
    attend(view[QUERY].shape[0], q, k, v, y);
    linear(RESULT, y, q);
    for (size_t i = 0; i < SIZE; i++) x[i] += q[i];
}

int main(void)
{
    const mskp_scoring filters = {.roles = MSKP_ROLE_FILTER, .magnitude = MSKP_MAGNITUDE_L2};
    const mskp_penalty all = {.roles = MSKP_ROLES_UNIT};
    const mskp_tensors values = {PARAMS, view};
    double score[HEADS];
    uint8_t stays[HEADS];
    const mskp_scores scores = {HEADS, score};
    const mskp_mask keep = {HEADS, stays};
    float before[SIZE], after[SIZE];
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    int wrong = 0;
    mskp_graph *g = describe();
    if (mskp_graph_finish(g, &err) || mskp_score(g, &filters, values, scores, &err) ||
        mskp_select(g, scores, &(mskp_rule){.remove_fraction = 0.5}, keep, NULL, &err) ||
        mskp_penalty_zero(g, keep, &all, values, &err) ||
        mskp_plan_create(g, keep, &plan, NULL, &err))
        goto failed;
    run(before);
    if (mskp_plan_cut(plan, 1, &(mskp_move){.from = values}, &err)) goto failed;
    run(after);
    printf("%zu of %d heads stay, and query is [%zu][%zu]\n", view[QUERY].shape[0] / HEAD_DIM,
           HEADS, view[QUERY].shape[0], view[QUERY].shape[1]);
    printf("first output: %g with zeros, %g after surgery\n", (double)before[0], (double)after[0]);
    for (size_t i = 0; i < SIZE; i++) wrong |= !(fabsf(after[i] - before[i]) < 1e-6f);
    if (wrong) fprintf(stderr, "attention: surgery changed an output\n");
failed:
    if (err.status) fprintf(stderr, "attention: %s\n", err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    return wrong || err.status;
}

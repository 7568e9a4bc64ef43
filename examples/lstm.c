/*
 * A recurrent layer: a hidden unit of an LSTM occurs once in each of its four gates, in the rows of
 * two weights and two biases, and in the columns of the weights that read the hidden state. All of
 * these slices are removed together. The weights are those of PyTorch, with the gates in the order
 * input, forget, cell, output. mskp does not need to know the order.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/operators.h> /* mskp_recurrent */
#include <mskp/tools.h>     /* mskp_unit_members, mskp_param_name, mskp_penalty_zero */
#include <stdio.h>

enum { STEPS = 10, IN = 3, HIDDEN = 6, OUT = 2 };
enum { INPUT, RECURRENT, BIAS, HEAD, PARAMS };
static const char *const name[PARAMS] = {"weight_ih", "weight_hh", "bias_ih", "head"};
static const size_t shape[PARAMS][2] = {
    {4 * HIDDEN, IN}, {4 * HIDDEN, HIDDEN}, {4 * HIDDEN, 1}, {OUT, HIDDEN}};
static float number[PARAMS][4 * HIDDEN * HIDDEN];

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* Runs the network of `hidden` units over a signal, and returns its outputs at the last step. */
static void run(size_t hidden, float *out)
{
    float h[HIDDEN] = {0}, cell[HIDDEN] = {0}, gate[4 * HIDDEN] = {0};
    for (int step = 0; step < STEPS; step++) {
        for (size_t k = 0; k < 4 * hidden; k++) {
            gate[k] = number[BIAS][k];
            for (size_t i = 0; i < IN; i++)
                gate[k] += number[INPUT][k * IN + i] * cosf((float)(step * (int)i));
            for (size_t j = 0; j < hidden; j++) gate[k] += number[RECURRENT][k * hidden + j] * h[j];
        }
        for (size_t j = 0; j < hidden; j++) {
            cell[j] = sigmoid(gate[hidden + j]) * cell[j] +
                      sigmoid(gate[j]) * tanhf(gate[2 * hidden + j]);
            h[j] = sigmoid(gate[3 * hidden + j]) * tanhf(cell[j]);
        }
    }
    for (size_t o = 0; o < OUT; o++) {
        out[o] = 0;
        for (size_t j = 0; j < hidden; j++) out[o] += number[HEAD][o * hidden + j] * h[j];
    }
}

int main(void)
{
    const mskp_scoring filters = {.roles = MSKP_ROLE_FILTER, .reduce = MSKP_REDUCE_JOINT};
    const mskp_rule half = {.remove_fraction = 0.5};
    const mskp_penalty all = {.roles = MSKP_ROLES_UNIT};
    mskp_tensor view[PARAMS] = {{0}};
    const mskp_tensors values = {PARAMS, view};
    double score[HIDDEN];
    uint8_t stays[HIDDEN];
    const mskp_scores scores = {HIDDEN, score};
    const mskp_mask keep = {HIDDEN, stays};
    float before[OUT], after[OUT];
    size_t members;
    mskp_param p[PARAMS];
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    int wrong = 0;
    mskp_graph *g = mskp_graph_create(NULL);
    for (size_t k = 0; k < PARAMS; k++) {
        p[k] = mskp_parameter(g, name[k], k == BIAS ? 1 : 2, shape[k]);
        view[k].data = number[k];
        for (size_t i = 0; i < 4 * HIDDEN * HIDDEN; i++)
            number[k][i] = sinf((float)(i * i % 101 + k));
    }
    const mskp_recurrent_params layer = {
        .input = p[INPUT], .hidden = p[RECURRENT], .input_bias = p[BIAS]};
    const mskp_recurrent_desc lstm = {.kind = MSKP_RECURRENT_LSTM, .params = &layer};
    mskp_value v = mskp_input(g, "signal", IN, 1, (size_t[]){STEPS});
    v = mskp_recurrent(g, "lstm", v, &lstm);
    mskp_output(g, mskp_linear(g, "out", v, p[HEAD], (mskp_param){0}));
    if (mskp_graph_finish(g, &err)) goto failed;

    const mskp_member *member = mskp_unit_members(g, 0, &members);
    printf("unit 0 is");
    for (size_t i = 0; i < members; i++)
        printf(" %s[%s%u]", mskp_param_name(g, member[i].param), member[i].axis ? ":, " : "",
               member[i].index);
    if (mskp_score(g, &filters, values, scores, &err) ||
        mskp_select(g, scores, &half, keep, NULL, &err) ||
        mskp_penalty_zero(g, keep, &all, values, &err) ||
        mskp_plan_create(g, keep, &plan, NULL, &err))
        goto failed;
    run(HIDDEN, before);
    if (mskp_plan_cut(plan, 1, &(mskp_move){.from = values}, &err)) goto failed;
    run(view[HEAD].shape[1], after);
    printf("\nweight_hh was [%d][%d] and is [%zu][%zu]\n", 4 * HIDDEN, HIDDEN,
           view[RECURRENT].shape[0], view[RECURRENT].shape[1]);
    for (int o = 0; o < OUT; o++) {
        printf("output %d: %g with zeros, %g after surgery\n", o, (double)before[o],
               (double)after[o]);
        wrong |= !(fabsf(after[o] - before[o]) < 1e-6f * fabsf(before[o]));
    }
    wrong |= members != 4 * 3 + 2 || view[RECURRENT].shape[0] != 4 * HIDDEN / 2;
    if (wrong) fprintf(stderr, "lstm: surgery changed the outputs, or left gates behind\n");
failed:
    if (err.status) fprintf(stderr, "lstm: %s\n", err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    return wrong || err.status;
}

/*
 * Recurrent layers: a hidden unit occurs once in each gate (four of an LSTM, three of a GRU), in
 * the rows of two weights and two biases, and in the columns of the weights that read the state.
 * All of these slices are removed together. mskp need not know the order of the gates, here that of
 * PyTorch. The page prunes an LSTM, and a GRU with two directions, each of which has units of its
 * own. If the first state is given from outside, a unit need not be zero, and none may be removed.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/operators.h> /* mskp_recurrent */
#include <mskp/tools.h>     /* mskp_unit_members, mskp_param_name, mskp_penalty_zero */
#include <stdio.h>

enum { STEPS = 10, IN = 3, HIDDEN = 6, OUT = 2, UNITS = 2 * HIDDEN, MOST = 4 * HIDDEN * HIDDEN };
enum { INPUT, RECURRENT, INPUT_BIAS, HIDDEN_BIAS, EACH, PARAMS = 2 * EACH + 1 };
static const char *const name[2 * EACH] = {"w_ih",      "w_hh",      "b_ih",      "b_hh",
                                           "back.w_ih", "back.w_hh", "back.b_ih", "back.b_hh"};
static float number[PARAMS][MOST];
static mskp_tensor view[PARAMS];

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* Describes a network of one or two directions, with the head as its last parameter. */
static mskp_graph *describe(mskp_recurrent_desc desc, size_t gates, size_t sides)
{
    mskp_param p[PARAMS];
    mskp_graph *g = mskp_graph_create(NULL);
    for (size_t k = 0; k <= sides * EACH; k++) {
        const size_t head = k == sides * EACH, part = k % EACH, rows = head ? OUT : gates * HIDDEN;
        const size_t columns = head ? sides * HIDDEN : part == INPUT ? IN : HIDDEN;
        const uint32_t ndim = head || part <= RECURRENT ? 2 : 1;
        view[k] = (mskp_tensor){number[k], .ndim = ndim, .shape = {rows, columns * (ndim - 1)}};
        p[k] = mskp_parameter(g, head ? "head" : name[k], ndim, view[k].shape);
        for (size_t i = 0; i < MOST; i++) number[k][i] = sinf((float)(i * i % 101 + k));
    }
    const mskp_recurrent_params params[] = {
        {.input = p[0], .hidden = p[1], .input_bias = p[2], .hidden_bias = p[3]},
        {.input = p[4], .hidden = p[5], .input_bias = p[6], .hidden_bias = p[7]}};
    desc.params = params, desc.bidirectional = sides == 2;
    mskp_value v = mskp_input(g, "signal", IN, 1, (size_t[]){STEPS});
    v = mskp_recurrent(g, "layer", v, &desc);
    mskp_output(g, mskp_linear(g, "out", v, p[sides * EACH], (mskp_param){0}));
    return g;
}

/* out <- the head's results for the last states of all directions. */
static void run(size_t gates, size_t sides, float *out)
{
    size_t column = 0;
    for (size_t o = 0; o < OUT; o++) out[o] = 0;
    for (size_t side = 0; side < sides; side++) {
        float(*w)[MOST] = &number[side * EACH], h[HIDDEN] = {0}, cell[HIDDEN] = {0};
        float x[4 * HIDDEN] = {0}, y[4 * HIDDEN] = {0}; /* what input and state add to each gate */
        const size_t n = view[side * EACH + RECURRENT].shape[1],
                     total = view[sides * EACH].shape[1];
        for (int step = 0; step < STEPS; step++) {
            const float at = (float)(side ? STEPS - 1 - step : step);
            for (size_t k = 0; k < gates * n; k++) {
                x[k] = w[INPUT_BIAS][k], y[k] = w[HIDDEN_BIAS][k];
                for (size_t i = 0; i < IN; i++) x[k] += w[INPUT][k * IN + i] * cosf(at * (float)i);
                for (size_t j = 0; j < n; j++) y[k] += w[RECURRENT][k * n + j] * h[j];
            }
            for (size_t j = 0; j < n; j++) {
                const float first = sigmoid(x[j] + y[j]), second = sigmoid(x[n + j] + y[n + j]);
                const float *a = &x[2 * n + j], *b = &y[2 * n + j];
                cell[j] = second * cell[j] + first * tanhf(*a + *b);
                h[j] = gates == 4 ? sigmoid(a[n] + b[n]) * tanhf(cell[j])
                                  : (1 - second) * tanhf(*a + first * *b) + second * h[j];
            }
        }
        for (size_t j = 0; j < n; j++, column++)
            for (size_t o = 0; o < OUT; o++)
                out[o] += number[sides * EACH][o * total + column] * h[j];
    }
}

static int prune(mskp_recurrent_desc desc, size_t gates, size_t sides)
{
    const mskp_scoring filters = {.roles = MSKP_ROLE_FILTER, .reduce = MSKP_REDUCE_JOINT};
    const mskp_tensors values = {sides * EACH + 1, view};
    uint8_t stays[UNITS];
    const mskp_scores scores = {sides * HIDDEN, (double[UNITS]){0}};
    const mskp_mask keep = {sides * HIDDEN, stays};
    float before[OUT], after[OUT];
    size_t members;
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    int wrong = 0;
    mskp_graph *g = describe(desc, gates, sides);
    if (mskp_graph_finish(g, &err)) goto failed;
    const mskp_member *member = mskp_unit_members(g, 0, &members);
    printf("unit 0 of %zu is", mskp_graph_counts(g).units);
    for (size_t i = 0; i < members; i++)
        printf(" %s[%s%u]", mskp_param_name(g, member[i].param), member[i].axis ? ":, " : "",
               member[i].index);
    if (mskp_score(g, &filters, values, scores, &err) ||
        mskp_select(g, scores, &(mskp_rule){.remove_fraction = 0.5}, keep, NULL, &err) ||
        mskp_penalty_zero(g, keep, &(mskp_penalty){.roles = MSKP_ROLES_UNIT}, values, &err) ||
        mskp_plan_create(g, keep, &plan, NULL, &err))
        goto failed;
    run(gates, sides, before);
    if (mskp_plan_cut(plan, 1, &(mskp_move){.from = values}, &err)) goto failed;
    run(gates, sides, after);
    printf("\nfirst output: %g with zeros, %g after surgery\n", (double)before[0],
           (double)after[0]);
    for (int o = 0; o < OUT; o++)
        wrong |= !(fabsf(after[o] - before[o]) < 1e-6f * fabsf(before[o]));
    wrong |= members != gates * 4 + 2 || view[sides * EACH].shape[1] != sides * HIDDEN / 2;
    if (wrong) fprintf(stderr, "lstm: surgery changed the outputs, or left gates behind\n");
failed:
    if (err.status) fprintf(stderr, "lstm: %s\n", err.text);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    return wrong || err.status;
}

int main(void)
{
    mskp_recurrent_desc lstm = {.kind = MSKP_RECURRENT_LSTM}, gru = {.kind = MSKP_RECURRENT_GRU};
    int wrong = prune(lstm, 4, 1) + prune(gru, 3, 2);
    gru.state_given = 1;
    mskp_graph *g = describe(gru, 3, 2);
    if (mskp_graph_finish(g, NULL) || mskp_graph_counts(g).units)
        wrong++, fprintf(stderr, "lstm: a unit whose first state is given could be removed\n");
    mskp_graph_destroy(g);
    return wrong != 0;
}

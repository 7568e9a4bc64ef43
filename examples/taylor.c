/*
 * Which channels does the loss need? A channel with large weights may feed a layer that hardly
 * reads it. Norms of filters keep such a channel; a score from values and gradients removes it.
 *
 *     in -> h = relu(w1 in + b1) -> y = w2 h,    loss = mean of (y - target)^2 / 2
 *
 * Channels 0 to 3 of h have three times the weights of the others, and w2 reads 0.02 of them. Half
 * of the channels leave, by two scores: the L1 norm of filters, and MSKP_TAYLOR_ABSOLUTE_SUM over a
 * channel's row of w1 and its element of b1. With relu this sum of w g is h times the gradient for
 * h, which is what Molchanov et al. (ICLR 2017) measure on activations. There is one call per
 * input, so that the absolute value is taken for each of them, as in the paper.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/methods.h>
#include <stdio.h>
#include <string.h>

enum { IN = 4, WIDTH = 8, INPUTS = 100 };
enum { W1, B1, W2, PARAMS };
typedef struct numbers {
    float w1[WIDTH * IN], b1[WIDTH], w2[WIDTH];
} numbers;
static float input[INPUTS][IN], target[INPUTS];

static void fill(numbers *v)
{
    for (int i = 0; i < WIDTH * IN; i++)
        v->w1[i] = (i / IN < 4 ? 3.0F : 1.0F) * cosf(2.3F * (float)i);
    for (int j = 0; j < WIDTH; j++)
        v->b1[j] = 0.5F, v->w2[j] = j < 4 ? 0.02F : 1.0F - 0.1F * (float)j;
    for (int i = 0; i < INPUTS * IN; i++) input[i / IN][i % IN] = sinf((float)(i * i % 997));
}

/* The network's output for one input; h may be NULL. After the cut, width is 4. */
static float output(const numbers *v, int width, const float *x, float *h)
{
    float y = 0;
    for (int j = 0; j < width; j++) {
        float sum = v->b1[j];
        for (int i = 0; i < IN; i++) sum += v->w1[j * IN + i] * x[i];
        const float active = sum > 0 ? sum : 0;
        if (h) h[j] = active;
        y += v->w2[j] * active;
    }
    return y;
}

static double loss(const numbers *v, int width)
{
    double sum = 0;
    for (int n = 0; n < INPUTS; n++) {
        const double wrong = (double)(output(v, width, input[n], NULL) - target[n]);
        sum += wrong * wrong / 2;
    }
    return sum / INPUTS;
}

/* *g <- the gradient of one input's loss. */
static void gradient(const numbers *v, int n, numbers *g)
{
    float h[WIDTH];
    const float wrong = output(v, WIDTH, input[n], h) - target[n];
    for (int j = 0; j < WIDTH; j++) {
        g->w2[j] = wrong * h[j];
        g->b1[j] = h[j] > 0 ? wrong * v->w2[j] : 0;
        for (int i = 0; i < IN; i++) g->w1[j * IN + i] = g->b1[j] * input[n][i];
    }
}

static void view_of(numbers *v, mskp_tensor view[PARAMS])
{
    float *const data[PARAMS] = {v->w1, v->b1, v->w2};
    for (int k = 0; k < PARAMS; k++) view[k] = (mskp_tensor){.data = data[k]};
}

/* Keeps the better half and cuts *v; *left <- what the loss is then. */
static mskp_status halve(const mskp_graph *g, mskp_scores scores, numbers v, double *left,
                         mskp_error *err)
{
    static const mskp_rule half = {.remove_fraction = 0.5};
    uint8_t stays[WIDTH];
    const mskp_mask keep = {WIDTH, stays};
    mskp_tensor view[PARAMS];
    mskp_plan *plan = NULL;
    view_of(&v, view);
    mskp_status status = mskp_select(g, scores, &half, keep, NULL, err);
    if (!status) status = mskp_plan_create(g, keep, &plan, NULL, err);
    if (!status) status = mskp_plan_cut(plan, 1, &(mskp_move){.from = {PARAMS, view}}, err);
    if (!status) *left = loss(&v, WIDTH / 2);
    mskp_plan_destroy(plan);
    return status;
}

int main(void)
{
    static const size_t shape[PARAMS][2] = {{WIDTH, IN}, {WIDTH}, {1, WIDTH}};
    const mskp_scoring norms = {.roles = MSKP_ROLE_FILTER};
    const mskp_activation_desc relu = {.kind = MSKP_ACTIVATION_RELU};
    double by_norm[WIDTH], by_taylor[WIDTH] = {0}, left[2] = {0};
    numbers v, slope;
    mskp_tensor value[PARAMS], grad[PARAMS];
    mskp_error err = {0};
    int wrong = 0;
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param w1 = mskp_parameter(g, "w1", 2, shape[W1]);
    const mskp_param b1 = mskp_parameter(g, "b1", 1, shape[B1]);
    const mskp_param w2 = mskp_parameter(g, "w2", 2, shape[W2]);
    const mskp_value in = mskp_input(g, "in", IN, 0, NULL);
    const mskp_value h = mskp_activation(g, "h", mskp_linear(g, "w1x", in, w1, b1), &relu);
    mskp_output(g, mskp_linear(g, "y", h, w2, (mskp_param){0}));

    fill(&v);
    for (int n = 0; n < INPUTS; n++)
        target[n] = output(&v, WIDTH, input[n], NULL) + 0.1F * sinf((float)n);
    view_of(&v, value), view_of(&slope, grad);
    const mskp_tensors values = {PARAMS, value}, gradients = {PARAMS, grad};
    if (mskp_graph_finish(g, &err) ||
        mskp_score(g, &norms, values, (mskp_scores){WIDTH, by_norm}, &err))
        goto failed;
    for (int n = 0; n < INPUTS; n++) {
        gradient(&v, n, &slope);
        if (mskp_score_taylor(g, MSKP_TAYLOR_ABSOLUTE_SUM, MSKP_ROLE_FILTER | MSKP_ROLE_SHIFT,
                              values, gradients, (mskp_scores){WIDTH, by_taylor}, &err))
            goto failed;
    }
    printf("channel  norm  taylor\n");
    for (int u = 0; u < WIDTH; u++)
        printf("%7d %5.2f %7.4f\n", u, by_norm[u], by_taylor[u] / INPUTS);
    if (halve(g, (mskp_scores){WIDTH, by_norm}, v, &left[0], &err) ||
        halve(g, (mskp_scores){WIDTH, by_taylor}, v, &left[1], &err))
        goto failed;
    printf("loss: %.4f; without half of the channels: %.4f by norm, %.4f by taylor\n",
           loss(&v, WIDTH), left[0], left[1]);
    if (!(left[1] < left[0]))
        wrong = 1, fprintf(stderr, "taylor: the norm should lose more than the other score\n");
failed:
    if (err.status) fprintf(stderr, "taylor: %s\n", err.text);
    mskp_graph_destroy(g);
    return wrong || err.status;
}

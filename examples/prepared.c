/*
 * A penalty that is prepared once for many steps. What a penalty checks and works out in each call
 * (the mask, all views, which elements are targeted) does not change from step to step, and where
 * only the scales are penalized it takes most of the time. So the program prepares the penalty when
 * it has made the mask.
 *
 * Eight scales are trained: loss = sum (scale - 1)^2 / 2, and four of them are to be removed. The
 * task's gradient of these fades out, a penalty of the gradient pulls them, a proximal step follows
 * the optimizer, and the last steps are a deadline. A second set of scales goes through the simple
 * calls, and must be the same bit for bit. After surgery the prepared penalty is refused.
 */
#include <mskp.h>
#include <mskp/methods.h>
#include <mskp/operators.h> /* mskp_fresh, mskp_bind */
#include <stdio.h>

enum { UNITS = 8, STEPS = 60, DEADLINE = 10, SETS = 2 };
static const double rate = 0.05;
static float scale[SETS][UNITS], slope[SETS][UNITS];

/* One step with gradient descent. prepared NULL: by the simple calls. */
static mskp_status step(const mskp_graph *g, mskp_mask keep, const mskp_prepared *prepared,
                        int left, int set, mskp_tensor *view, mskp_error *err)
{
    const mskp_tensors values = {1, &view[2 * set]}, gradients = {1, &view[2 * set + 1]};
    const double fade = 1 - (double)left / STEPS;
    mskp_status status;
    for (int u = 0; u < UNITS; u++) slope[set][u] = scale[set][u] - 1;
    status = prepared ? mskp_prepared_fade(prepared, fade, gradients, err)
                      : mskp_penalty_fade(g, keep, NULL, fade, gradients, err);
    if (!status)
        status = prepared ? mskp_prepared_gradient(prepared, 0.2, values, gradients, err)
                          : mskp_penalty_gradient(g, keep, NULL, 0.2, values, gradients, err);
    for (int u = 0; u < UNITS; u++) scale[set][u] -= (float)(rate * (double)slope[set][u]);
    if (!status && left >= DEADLINE)
        status = prepared ? mskp_prepared_prox(prepared, rate * 0.1, values, err)
                          : mskp_penalty_prox(g, keep, NULL, rate * 0.1, values, err);
    else if (!status)
        status = prepared ? mskp_prepared_deadline(prepared, (uint64_t)left, values, err)
                          : mskp_penalty_deadline(g, keep, NULL, (uint64_t)left, values, err);
    return status;
}

int main(void)
{
    mskp_tensor view[2 * SETS] = {
        {.data = scale[0]}, {.data = slope[0]}, {.data = scale[1]}, {.data = slope[1]}};
    const mskp_mask keep = {UNITS, (uint8_t[UNITS]){0, 1, 0, 1, 0, 1, 0, 1}};
    mskp_prepared *prepared = NULL;
    mskp_plan *plan = NULL;
    mskp_error err = {0}, refusal = {0};
    int wrong = 0;
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value x = mskp_fresh(g, "x", UNITS, 0, NULL);
    mskp_bind(g, mskp_parameter(g, "scale", 1, (size_t[]){UNITS}), 0, MSKP_ROLE_SCALE, x);
    for (int u = 0; u < UNITS; u++) scale[0][u] = scale[1][u] = 1.0f / (float)(u + 1);
    if (mskp_graph_finish(g, &err) ||
        mskp_prepared_create(g, keep, NULL, (mskp_tensors){1, &view[0]},
                             (mskp_tensors){1, &view[1]}, &prepared, &err))
        goto failed;
    for (int left = STEPS; left-- > 0;)
        for (int set = 0; set < SETS; set++) /* other tensors with the same views */
            if (step(g, keep, set ? NULL : prepared, left, set, view, &err)) goto failed;
    printf("scales:");
    for (int u = 0; u < UNITS; u++) printf(" %.4f", (double)scale[0][u]);
    printf("\n");
    for (int u = 0; u < UNITS; u++)
        wrong |= keep.unit[u] ? !(scale[0][u] > 0.9f) : scale[0][u] < 0 || scale[0][u] > 0;
    if (wrong) fprintf(stderr, "prepared: a scale is not where the penalty should bring it\n");
    for (int u = 0; u < UNITS; u++)
        if (scale[0][u] < scale[1][u] || scale[0][u] > scale[1][u])
            wrong = 1, fprintf(stderr, "prepared: the simple calls give another scale %d\n", u);

    const mskp_move move = {.from = {1, &view[0]}};
    if (mskp_plan_create(g, keep, &plan, NULL, &err) || mskp_plan_cut(plan, 1, &move, &err))
        goto failed;
    if (mskp_prepared_prox(prepared, 1, (mskp_tensors){1, &view[0]}, &refusal) !=
        MSKP_ERROR_BAD_STATE)
        wrong = 1, fprintf(stderr, "prepared: another view was taken\n");
    printf("after surgery: %s\n", refusal.text);
failed:
    if (err.status) fprintf(stderr, "prepared: %s\n", err.text);
    mskp_prepared_destroy(prepared);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
    return wrong || err.status;
}
